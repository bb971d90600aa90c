// Package diff owns what a change of a policy weakens.
//
// It puts models of every kind to both policies, and compares what internal/decision asks of them. It is pure.
package diff

import (
	"cmp"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/interlock-dev/interlock/api/v1alpha1"
	"github.com/interlock-dev/interlock/internal/decision"
)

// Framework is a policy with the Safeguards that it names.
type Framework struct {
	Policy *v1alpha1.ScalingPolicy
	// Safeguards by name. One that is not here cannot be shown, so it holds the models that need it.
	Safeguards map[string]v1alpha1.SafeguardSpec
}

// Effect is what a change of a framework means for models.
type Effect string

const (
	// Weakens: less is required of some model, or what is required may be met by what did not meet it before.
	Weakens Effect = "Weakens"
	// Strengthens: more is required of some model, or what met a requirement may no longer do so.
	Strengthens Effect = "Strengthens"
	// Neutral: the same is required of every model.
	Neutral Effect = "Neutral"
)

// Subject is the kind of thing that changed.
type Subject string

const (
	// SubjectPolicy is the policy as a whole.
	SubjectPolicy Subject = "policy"
	// SubjectLevel is a level, or their order.
	SubjectLevel Subject = "level"
	// SubjectBaseline is the level that is asked of every model.
	SubjectBaseline Subject = "baseline"
	// SubjectThreshold is a capability threshold and what it leads to.
	SubjectThreshold Subject = "threshold"
	// SubjectSafeguard is what is asked of models about one Safeguard.
	SubjectSafeguard Subject = "safeguard"
	// SubjectVerification is how one Safeguard is verified.
	SubjectVerification Subject = "verification"
	// SubjectTrust is whose signatures count as evidence.
	SubjectTrust Subject = "trust"
	// SubjectAssessment is a rule on when assessments count.
	SubjectAssessment Subject = "assessment"
	// SubjectShortfall is what is done about running pods.
	SubjectShortfall Subject = "shortfall"
	// SubjectLease is how long a clearance lasts.
	SubjectLease Subject = "lease"
	// SubjectSignOff is who has to approve what.
	SubjectSignOff Subject = "sign-off"
	// SubjectWaiver is what may be waived, and for how long.
	SubjectWaiver Subject = "waiver"
	// SubjectText is wording, sources, sign-offs for the reader and the like, which hold no model.
	SubjectText Subject = "text"
)

// Change is one difference between two frameworks.
type Change struct {
	What Subject
	// Where names what changed, such as the Safeguard or the threshold.
	Where string
	// Before and After say what it was and is.
	Before, After string
	Effect        Effect
	// Why says for which models, or what else the effect is judged by.
	Why string
}

// Compare says how one framework differs from another that replaces it, weakening changes first.
//
// It is judged by what is required of models: a finite set of them is put to the same derivation as real ones under both
// policies. That set tells all there is to tell, since requirements only add up: a model is asked for whatever any of the
// things that hold of it asks for, so it is enough to try each of them alone, for each audience - declaring each level,
// reaching each threshold, and nothing at all.
//
// Where text replaces text whose meaning cannot be compared, such as one CEL expression by another, the old check is gone
// and a new one is there: that both weakens and strengthens, and is listed as both, since not knowing is no clearance. For
// the same reason a standard that is no longer left open weakens: models that nothing could clear now can be cleared.
//
// Diff(a, a) is empty, and Diff(b, a) lists what Diff(a, b) does, the other way round.
func Compare(before, after Framework) []Change {
	if before.Policy == nil || after.Policy == nil {
		return diffOfNone(before.Policy, after.Policy)
	}
	d := newDifference(before, after)
	d.compareLevels()
	d.compareThresholds()
	d.compareSafeguards()
	d.compareVerification()
	d.compareTrust()
	d.compareShortfall()
	d.compareLease()
	d.compareAssessment()
	d.compareAuthority()
	d.compareTexts()
	slices.SortFunc(d.changes, func(a, b Change) int {
		return cmp.Or(slices.Index(effects, a.Effect)-slices.Index(effects, b.Effect), cmp.Compare(a.What, b.What),
			cmp.Compare(a.Where, b.Where), cmp.Compare(a.Before, b.Before), cmp.Compare(a.After, b.After), cmp.Compare(a.Why, b.Why))
	})
	return slices.Compact(d.changes)
}

// diffOfNone compares with no policy at all, which holds every model.
func diffOfNone(before, after *v1alpha1.ScalingPolicy) []Change {
	const none, why = "no such policy", "a policy that does not exist holds every model"
	switch {
	case before != nil:
		return []Change{{What: SubjectPolicy, Before: before.Name, After: none, Effect: Strengthens, Why: why}}
	case after != nil:
		return []Change{{What: SubjectPolicy, Before: none, After: after.Name, Effect: Weakens, Why: why}}
	}
	return nil
}

var effects = []Effect{Weakens, Strengthens, Neutral}

// difference is a comparison in the making.
type difference struct {
	before, after Framework
	// levels and safeguards of both, paired by name, or else as renamed.
	levels, safeguards []pair
	probes             []probe
	changes            []Change
}

// pair is the name of one thing in each framework; empty, it is not there.
type pair struct{ before, after string }

func (p pair) name() string    { return cmp.Or(p.before, p.after) }
func (p pair) both() bool      { return p.before != "" && p.after != "" }
func (p pair) renamed() bool   { return p.both() && p.before != p.after }
func (p pair) of(i int) string { return [...]string{p.before, p.after}[i] }

// shift is in which directions something moved; both, if one part did the one and another part the other.
type shift struct{ weaker, stronger bool }

func (s *shift) add(other shift) {
	s.weaker, s.stronger = s.weaker || other.weaker, s.stronger || other.stronger
}

// raised is a shift from one rank of strictness to another.
func raised[T cmp.Ordered](before, after T) shift {
	return shift{weaker: after < before, stronger: after > before}
}

// What anybody wrote goes to terminals, so it is put on one line. The longest expression has room in maxChange.
const (
	maxText   = 1024
	maxChange = 8192
)

// note lists a change, as two if it both weakens and strengthens.
func (d *difference) note(c Change, s shift) {
	c.Where, c.Before, c.After = decision.OneLine(c.Where, maxText), decision.OneLine(c.Before, maxChange), decision.OneLine(c.After, maxChange)
	if s.weaker {
		c.Effect = Weakens
		d.changes = append(d.changes, c)
	}
	if s.stronger {
		c.Effect = Strengthens
		d.changes = append(d.changes, c)
	}
	if s == (shift{}) {
		c.Effect = Neutral
		d.changes = append(d.changes, c)
	}
}

func newDifference(before, after Framework) *difference {
	d := &difference{before: before, after: after}
	d.levels = pairLevels(before.Policy, after.Policy)
	d.safeguards = pairSafeguards(before, after)
	d.probe()
	return d
}

// pairLevels pairs levels by name. Those that are left between the same neighbours and ask for the same Safeguards are
// renamed.
func pairLevels(before, after *v1alpha1.ScalingPolicy) []pair {
	gone, added := levelsBetween(before, after), levelsBetween(after, before)
	var pairs []pair
	for _, last := range append([]string{""}, decision.EveryLevel(before)...) {
		if last != "" && decision.LevelPlace(after, last) >= 0 {
			pairs = append(pairs, pair{last, last})
		}
		left := added[last]
		for _, name := range gone[last] {
			i := slices.IndexFunc(left, func(other string) bool { return addsOf(before, name) == addsOf(after, other) })
			if i < 0 {
				pairs = append(pairs, pair{before: name})
				continue
			}
			pairs = append(pairs, pair{name, left[i]})
			left = slices.Delete(slices.Clone(left), i, i+1)
		}
		for _, name := range left {
			pairs = append(pairs, pair{after: name})
		}
		delete(gone, last)
		delete(added, last)
	}
	return pairs
}

// levelsBetween groups the levels of a policy that another does not have by the last one before them that it has.
func levelsBetween(p, other *v1alpha1.ScalingPolicy) map[string][]string {
	between := map[string][]string{}
	last := ""
	for _, name := range decision.EveryLevel(p) {
		if decision.LevelPlace(other, name) >= 0 {
			last = name
		} else {
			between[last] = append(between[last], name)
		}
	}
	return between
}

// addsOf writes which Safeguards a level adds on each axis.
func addsOf(p *v1alpha1.ScalingPolicy, name string) string {
	var parts []string
	l := &p.Spec.Levels[decision.LevelPlace(p, name)]
	for _, axis := range decision.Axes() {
		s := decision.StandardOf(l, axis)
		parts = append(parts, fmt.Sprintf("%s is left open: %t", axis, s.Unspecified != ""))
		for _, o := range s.Safeguards {
			parts = append(parts, fmt.Sprintf("%s %s", axis, o.Safeguard))
		}
	}
	slices.Sort(parts)
	return strings.Join(parts, ", ")
}

// pairSafeguards pairs the Safeguards that the policies name by name. Those that are left and are verified in the same
// way are renamed.
func pairSafeguards(before, after Framework) []pair {
	was, is := decision.Named(before.Policy), decision.Named(after.Policy)
	var pairs []pair
	left := map[string][]string{}
	for _, name := range is {
		if slices.Contains(was, name) {
			pairs = append(pairs, pair{name, name})
		} else {
			how := methodOf(after, name).key()
			left[how] = append(left[how], name)
		}
	}
	for _, name := range was {
		if slices.Contains(is, name) {
			continue
		}
		how := methodOf(before, name).key()
		if same := left[how]; how != "" && len(same) > 0 {
			pairs = append(pairs, pair{name, same[0]})
			left[how] = same[1:]
			continue
		}
		pairs = append(pairs, pair{before: name})
	}
	for _, names := range left {
		for _, name := range names {
			pairs = append(pairs, pair{after: name})
		}
	}
	slices.SortFunc(pairs, func(a, b pair) int { return cmp.Or(cmp.Compare(a.name(), b.name()), cmp.Compare(a.after, b.after)) })
	return pairs
}

// compareLevels lists levels that came, went, were renamed or put in another order, and the baseline. What changed within
// a level is listed by Safeguard.
func (d *difference) compareLevels() {
	const none = "no such level"
	all := shift{}
	for _, p := range d.levels {
		moved := d.judge(p.name(), probeLevel)
		all.add(moved)
		c := Change{What: SubjectLevel, Where: p.name(), Before: cmp.Or(p.before, none), After: cmp.Or(p.after, none)}
		switch {
		case !p.both():
			c.Why = "judged by what is asked at the next level below where it is not there; a model that declares it there is held"
			d.note(c, moved)
		case p.renamed():
			c.Why = fmt.Sprintf("models that declare %s are held until they declare %s", p.before, p.after)
			d.note(c, shift{})
		}
	}
	if before, after := d.order(0), d.order(1); before != after {
		all.add(d.judge(everyModel, probeLevel))
		d.note(Change{What: SubjectLevel, Where: "order", Before: before, After: after, Why: "judged by what is asked at each level"}, all)
	}
	was, is := d.before.Policy.Spec.BaselineLevel, d.after.Policy.Spec.BaselineLevel
	if was != is && !slices.Contains(d.levels, pair{was, is}) {
		d.note(Change{What: SubjectBaseline, Before: was, After: is, Why: "judged by what is asked of every model"}, d.judge(everyModel, probeLevel))
	}
}

// order writes the order of the levels that both have.
func (d *difference) order(side int) string {
	var names []string
	for _, name := range decision.EveryLevel(d.side(side).Policy) {
		if i := slices.IndexFunc(d.levels, func(p pair) bool { return p.of(side) == name }); i >= 0 && d.levels[i].both() {
			names = append(names, d.levels[i].name())
		}
	}
	return strings.Join(names, ", ")
}

func (d *difference) side(i int) Framework { return [...]Framework{d.before, d.after}[i] }

// compareThresholds lists thresholds that came or went or lead to something else.
func (d *difference) compareThresholds() {
	const none = "no such threshold"
	for _, name := range d.thresholds() {
		before, after := d.leadsTo(0, name), d.leadsTo(1, name)
		if before == after {
			continue
		}
		moved := d.judge(name, probeThreshold)
		if before == "" || after == "" { // models that are not assessed for it may be held
			moved.add(shift{weaker: before != "" && d.holdsUnsettled(0), stronger: after != "" && d.holdsUnsettled(1)})
		}
		if was, is := d.awaits(0, name), d.awaits(1, name); before != "" && after != "" {
			moved.add(shift{weaker: is && !was, stronger: was && !is})
		}
		d.note(Change{What: SubjectThreshold, Where: name, Before: cmp.Or(before, none), After: cmp.Or(after, none),
			Why: "judged by what is asked of models that reach it"}, moved)
	}
}

// nothing is what a threshold leads to that is only watched.
const nothing = "nothing"

// thresholds of both, by name.
func (d *difference) thresholds() []string {
	var names []string
	for side := range 2 {
		for _, t := range d.side(side).Policy.Spec.Thresholds {
			names = append(names, t.Name)
		}
	}
	slices.Sort(names)
	return slices.Compact(names)
}

// awaits says whether a threshold asks for nothing until an assessment finds it.
func (d *difference) awaits(side int, name string) bool {
	return slices.ContainsFunc(d.side(side).Policy.Spec.Thresholds, func(t v1alpha1.Threshold) bool {
		return t.Name == name && decision.IsOnlyIfFound(&t)
	})
}

// leadsTo writes what a threshold asks for, with the names that levels and Safeguards had before; empty, there is no such
// threshold.
func (d *difference) leadsTo(side int, name string) string {
	var parts []string
	for _, t := range d.side(side).Policy.Spec.Thresholds {
		if t.Name != name {
			continue
		}
		for _, demand := range t.Demands {
			part := fmt.Sprintf("%s %s", nameOf(d.levels, side, demand.Level), demand.Axis)
			if force := decision.ForceOf(demand.Force); force != v1alpha1.ForceBinding {
				part += fmt.Sprintf(" (%s)", force)
			}
			parts = append(parts, part)
		}
		for _, o := range t.Safeguards {
			parts = append(parts, nameOf(d.safeguards, side, o.Safeguard)+terms(o))
		}
		if t.Unspecified != "" {
			parts = append(parts, "what is left open")
		}
		if len(parts) == 0 {
			return nothing
		}
	}
	slices.Sort(parts)
	text := strings.Join(parts, ", ")
	if text != "" && d.awaits(side, name) {
		text += ", only if found"
	}
	return text
}

// nameOf gives the name that something has in both frameworks.
func nameOf(pairs []pair, side int, name string) string {
	if i := slices.IndexFunc(pairs, func(p pair) bool { return p.of(side) == name }); i >= 0 {
		return pairs[i].name()
	}
	return name
}

// terms writes on what terms an obligation asks for its Safeguard.
func terms(o v1alpha1.Obligation) string {
	parts := []string{string(decision.ForceOf(o.Force))}
	if o.MinimumStrength != "" {
		parts = append(parts, "at least "+string(o.MinimumStrength))
	}
	for _, a := range slices.Sorted(slices.Values(o.Audiences)) {
		parts = append(parts, string(a))
	}
	return " (" + strings.Join(parts, ", ") + ")"
}

// compareLease compares how long models keep scaling with nobody to decide.
func (d *difference) compareLease() {
	lease := func(f Framework) time.Duration {
		end, renew := decision.LeaseEnd(f.Policy, time.Time{})
		return 2 * end.Sub(renew)
	}
	if before, after := lease(d.before), lease(d.after); before != after {
		d.note(Change{What: SubjectLease, Before: before.String(), After: after.String(),
			Why: "a clearance lasts this long with nobody to renew it"}, raised(-before, -after))
	}
}
