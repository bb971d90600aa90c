package diff

import (
	"fmt"
	"slices"
	"strings"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/interlock-dev/interlock/api/v1alpha1"
	"github.com/interlock-dev/interlock/internal/decision"
)

// probe is a model that is put to both policies, of which one thing holds: it declares a level, or has reached one
// threshold.
type probe struct {
	kind     probeKind
	subject  string
	audience v1alpha1.Audience
	// answers of the policy before and the one after.
	answers [2]answer
}

type probeKind int

const (
	probeLevel probeKind = iota
	probeThreshold
)

// everyModel is the subject of a model that declares the lowest level and has reached nothing.
const everyModel = ""

// answer is what a policy asks of a probe.
type answer struct {
	// asks by the name that the Safeguard has in both.
	asks map[string]*decision.RequiredSafeguard
	// held says why nothing clears the model; empty, something may.
	held string
	// failed says that it is held since what it is asked cannot be derived.
	failed bool
	steps  decision.Schedule
}

var audiences = []v1alpha1.Audience{v1alpha1.AudienceGeneral, v1alpha1.AudienceTrustedUsers, v1alpha1.AudienceInternal}

// probe puts all probes to both policies.
func (d *difference) probe() {
	for _, audience := range audiences {
		add := func(kind probeKind, subject string, declares pair, reached string) {
			p := probe{kind: kind, subject: subject, audience: audience}
			for side := range p.answers {
				p.answers[side] = d.answer(side, declares.of(side), reached, audience)
			}
			d.probes = append(d.probes, p)
		}
		lowest := pair{lowestLevel(d.before.Policy), lowestLevel(d.after.Policy)}
		add(probeLevel, everyModel, lowest, "")
		for _, p := range d.levels {
			add(probeLevel, p.name(), pair{d.orNextBelow(0, p), d.orNextBelow(1, p)}, "")
		}
		for _, name := range d.thresholds() {
			add(probeThreshold, name, lowest, name)
		}
	}
}

func lowestLevel(p *v1alpha1.ScalingPolicy) string {
	if len(p.Spec.Levels) == 0 {
		return ""
	}
	return p.Spec.Levels[0].Name
}

// orNextBelow gives the name of a level on one side, or of the nearest of the levels below it that are there.
func (d *difference) orNextBelow(side int, p pair) string {
	if name := p.of(side); name != "" {
		return name
	}
	other := d.side(1 - side).Policy
	for i := decision.LevelPlace(other, p.of(1-side)) - 1; i >= 0; i-- {
		at := slices.IndexFunc(d.levels, func(q pair) bool { return q.of(1-side) == other.Spec.Levels[i].Name })
		if at >= 0 && d.levels[at].of(side) != "" {
			return d.levels[at].of(side)
		}
	}
	return lowestLevel(d.side(side).Policy)
}

// answer derives what a policy asks of a model for which all thresholds but one are ruled out.
func (d *difference) answer(side int, declares, reached string, audience v1alpha1.Audience) answer {
	const digest = "sha256:"
	policy := d.side(side).Policy.DeepCopy()
	policy.Spec.SignOffs = nil // what is asked of models is compared as it is once all is approved
	assessment := v1alpha1.CapabilityAssessment{Spec: v1alpha1.CapabilityAssessmentSpec{
		Digests: []string{digest}, EffectiveCompute: "1e99", AssessedAt: metav1.Time{Time: time.Unix(0, 0)}}}
	for i := range policy.Spec.Thresholds {
		o := v1alpha1.ThresholdOutcome{Threshold: policy.Spec.Thresholds[i].Name, Outcome: v1alpha1.AssessmentRuledOut}
		if o.Threshold == reached {
			o.Outcome = v1alpha1.AssessmentReached
		}
		assessment.Spec.Outcomes = append(assessment.Spec.Outcomes, o)
	}
	req, err := decision.Require(decision.Input{
		Now: assessment.Spec.AssessedAt.Time, Policy: policy, Assessments: []v1alpha1.CapabilityAssessment{assessment},
		Model: &v1alpha1.ModelDeployment{Spec: v1alpha1.ModelDeploymentSpec{
			Model: v1alpha1.Model{Digest: digest, EffectiveCompute: "1"}, AssessedLevel: declares, Audience: audience}}})
	a := answer{asks: map[string]*decision.RequiredSafeguard{}, steps: decision.ScheduleOf(policy, req.DeploymentLevel, req.SecurityLevel)}
	switch {
	case err != nil:
		a.held, a.failed = err.Error(), true
	case len(req.Unspecified) > 0:
		a.held = strings.Join(req.Unspecified, "; ")
	}
	for i := range req.Safeguards {
		a.asks[nameOf(d.safeguards, side, req.Safeguards[i].Name)] = &req.Safeguards[i]
	}
	return a
}

// judge says in which directions what is asked of one kind of models moved, besides what moved for every model.
func (d *difference) judge(subject string, kind probeKind) shift {
	var s shift
	for i := range d.probes {
		p := &d.probes[i]
		if p.subject != subject || p.kind != kind {
			continue
		}
		everybody := slices.IndexFunc(d.probes, func(q probe) bool {
			return q.kind == probeLevel && q.subject == everyModel && q.audience == p.audience
		})
		s.add(p.moved(&d.probes[everybody]))
	}
	return s
}

// moved compares the answers, but for what moved in the same way for every model.
func (p *probe) moved(everybody *probe) shift {
	alone := p == everybody
	var s shift
	if alone || p.steps() != everybody.steps() {
		s.add(hastened(p.answers[0].steps, p.answers[1].steps))
	}
	if alone || p.opened() != everybody.opened() {
		s.add(p.opened())
	}
	if p.moot() {
		return s
	}
	for side := range p.answers {
		for name := range p.answers[side].asks {
			if alone || p.strictness(name) != everybody.strictness(name) {
				was, is := p.strictness(name)[0], p.strictness(name)[1]
				s.add(raised(was, is))
			}
		}
	}
	return s
}

func (p *probe) steps() [2]decision.Schedule {
	return [2]decision.Schedule{p.answers[0].steps, p.answers[1].steps}
}

// strictness of what is asked about a Safeguard, before and after.
func (p *probe) strictness(safeguard string) [2]int {
	return [2]int{strictness(p.answers[0].asks[safeguard]), strictness(p.answers[1].asks[safeguard])}
}

// opened compares whether anything can clear the model.
func (p *probe) opened() shift {
	return shift{weaker: p.answers[0].held != "" && p.answers[1].held == "", stronger: p.answers[0].held == "" && p.answers[1].held != ""}
}

// moot says that Safeguards do not matter, since the model is held whatever it has, before or after.
func (p *probe) moot() bool { return p.answers[0].held != "" || p.answers[1].held != "" }

// strictness orders what is asked about one Safeguard: nothing that holds the model is the least.
func strictness(asked *decision.RequiredSafeguard) int {
	if asked == nil {
		return 0
	}
	return asked.Strictness()
}

// asks words what is asked about one Safeguard.
func asks(asked *decision.RequiredSafeguard) string {
	switch {
	case asked == nil:
		return "not asked for"
	case asked.MinimumStrength == "":
		return string(asked.Force)
	}
	return fmt.Sprintf("%s, at least %s", asked.Force, asked.MinimumStrength)
}

// compareSafeguards lists for each Safeguard how what is asked of models differs, and the models that can be cleared now
// or no longer.
func (d *difference) compareSafeguards() {
	for _, p := range d.safeguards {
		found := d.compareSafeguard(p.name())
		switch before, after := d.listed(0, p.name()), d.listed(1, p.name()); {
		case p.renamed():
			d.note(Change{What: SubjectSafeguard, Where: p.name(), Before: p.before, After: p.after, Why: "renamed: it is verified in the same way"}, shift{})
		case !found && before != after:
			d.note(Change{What: SubjectSafeguard, Where: p.name(), Before: before, After: after, Why: "the same is asked of every model"}, shift{})
		}
	}
	for i := range d.probes {
		p := &d.probes[i]
		if p.subject == everyModel || p.opened() == (shift{}) {
			continue
		}
		what := SubjectLevel
		if p.kind == probeThreshold {
			what = SubjectThreshold
		}
		state := func(a answer) string {
			if a.held != "" {
				return "nothing clears it"
			}
			return "its safeguards clear it"
		}
		d.note(Change{What: what, Where: p.subject, Before: state(p.answers[0]), After: state(p.answers[1]),
			Why: decision.OneLine(p.answers[0].held+p.answers[1].held, maxText)}, p.opened())
	}
}

// compareSafeguard groups models by what is asked of them before and after.
func (d *difference) compareSafeguard(name string) (found bool) {
	type group struct {
		before, after string
		moot          bool
	}
	moved := map[group]shift{}
	models := map[group][]*probe{}
	for i := range d.probes {
		p := &d.probes[i]
		before, after := p.answers[0].asks[name], p.answers[1].asks[name]
		g := group{asks(before), asks(after), p.moot()}
		if g.before == g.after || p.answers[0].failed || p.answers[1].failed {
			continue
		}
		if s := p.strictness(name); !g.moot {
			moved[g] = raised(s[0], s[1])
		}
		models[g] = append(models[g], p)
	}
	for g, probes := range models {
		why := "of " + describe(probes)
		if g.moot {
			if models[group{g.before, g.after, false}] != nil {
				continue // listed of others
			}
			why += ", which are held whatever they have"
		}
		d.note(Change{What: SubjectSafeguard, Where: name, Before: g.before, After: g.after, Why: why}, moved[g])
	}
	return len(models) > 0
}

// describe words of which models a change is.
func describe(probes []*probe) string {
	servedTo := map[string][]string{}
	var names []string
	for _, p := range probes {
		name := p.String()
		if servedTo[name] == nil {
			names = append(names, name)
		}
		servedTo[name] = append(servedTo[name], string(p.audience))
	}
	all := servedTo[(&probe{}).String()]
	var parts []string
	for i, name := range names {
		who := servedTo[name]
		if i > 0 && len(without(who, all)) == 0 {
			continue // said of every model already
		}
		if len(who) < len(audiences) {
			name += " served to " + strings.Join(who, ", ")
		}
		parts = append(parts, name)
	}
	return strings.Join(parts, "; ")
}

func (p *probe) String() string {
	switch {
	case p.kind == probeThreshold:
		return "models that reach " + p.subject
	case p.subject == everyModel:
		return "every model"
	}
	return "models at " + p.subject
}

// listed writes where a policy asks for a Safeguard.
func (d *difference) listed(side int, name string) string {
	var places []string
	add := func(where string, obligations []v1alpha1.Obligation) {
		for _, o := range obligations {
			if nameOf(d.safeguards, side, o.Safeguard) == name {
				places = append(places, where+terms(o))
			}
		}
	}
	policy := d.side(side).Policy
	for i := range policy.Spec.Levels {
		l := &policy.Spec.Levels[i]
		for _, axis := range decision.Axes() {
			add(nameOf(d.levels, side, l.Name)+" "+string(axis), decision.StandardOf(l, axis).Safeguards)
		}
	}
	for i := range policy.Spec.Thresholds {
		add(policy.Spec.Thresholds[i].Name, policy.Spec.Thresholds[i].Safeguards)
	}
	slices.Sort(places)
	return strings.Join(places, ", ")
}

// hastened compares schedules: sooner is stricter.
func hastened(before, after decision.Schedule) shift {
	haste := func(d time.Duration) time.Duration {
		if d == decision.Never {
			return -1 << 62
		}
		return -d
	}
	var moved shift
	for i := range before {
		moved.add(raised(haste(before[i]), haste(after[i])))
	}
	return moved
}

// compareShortfall groups models by what is done about their pods.
func (d *difference) compareShortfall() {
	models := map[[2]decision.Schedule][]*probe{}
	for i := range d.probes {
		p := &d.probes[i]
		if steps := p.steps(); steps[0] != steps[1] {
			models[steps] = append(models[steps], p)
		}
	}
	for steps, probes := range models {
		d.note(Change{What: SubjectShortfall, Before: steps[0].String(), After: steps[1].String(), Why: "of " + describe(probes)}, hastened(steps[0], steps[1]))
	}
}
