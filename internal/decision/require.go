package decision

import (
	"cmp"
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/interlock-dev/interlock/api/v1alpha1"
)

// requirement is what a policy asks of one model.
type requirement struct {
	// deployment and security are the highest levels that hold the model on each axis.
	deployment, security string
	// top is the place of the higher of the two.
	top int
	// obligations by the name of the Safeguard.
	obligations []obligation
	// unspecified says what is asked for and not told.
	unspecified []string
	// reported says what is asked for and not told by what does not hold the model.
	reported []string
	// disputed says what is asked beyond what the model declares.
	disputed string
	// thresholds are what the assessments say of each.
	thresholds []threshold

	// asked is one entry for each time that a level or a threshold asks for a Safeguard.
	asked []asked
}

// obligation is what all levels and thresholds together ask of one Safeguard.
type obligation struct {
	safeguard       string
	requiredBy      []string
	force           v1alpha1.Force
	minimumStrength v1alpha1.Strength
	unwaivable      bool
}

// asked is one obligation and by what it is asked, with a force no stronger than that of the demand for it.
type asked struct {
	*v1alpha1.Obligation
	force v1alpha1.Force
	by    string
}

// demand is a level that somebody or something asks for on one axis.
type demand struct {
	axis  v1alpha1.Axis
	level int
	force v1alpha1.Force
	why   string
}

var axes = [...]v1alpha1.Axis{v1alpha1.AxisDeployment, v1alpha1.AxisSecurity}

const (
	becauseOfBaseline = "baseline"
	becauseDeclared   = "declared"
)

// require gathers all demands on a model, and asks for the safeguards of all levels up to the demanded ones.
func require(in Input) (requirement, error) {
	policy := in.Policy
	if policy == nil || in.Model == nil {
		return requirement{}, errors.New("no ScalingPolicy, or no ModelDeployment that declares the model")
	}
	declared := level(policy, in.Model.Spec.AssessedLevel)
	if declared < 0 {
		return requirement{}, fmt.Errorf("assessedLevel %q is not a level of policy %s, which has %s",
			in.Model.Spec.AssessedLevel, policy.Name, strings.Join(levelNames(policy), ", "))
	}
	baseline := level(policy, policy.Spec.BaselineLevel)
	if baseline < 0 {
		return requirement{}, fmt.Errorf("baselineLevel %q is not a level of policy %s", policy.Spec.BaselineLevel, policy.Name)
	}
	req := requirement{thresholds: assess(in), asked: make([]asked, 0, 64)}
	demands, err := req.demands(policy)
	if err != nil {
		return requirement{}, err
	}
	for _, axis := range axes {
		demands = append(demands,
			demand{axis, baseline, v1alpha1.ForceBinding, becauseOfBaseline},
			demand{axis, declared, v1alpha1.ForceBinding, becauseDeclared})
	}
	audience := audienceOf(in.Model)
	req.deployment = req.levels(policy, v1alpha1.AxisDeployment, demands, audience)
	req.security = req.levels(policy, v1alpha1.AxisSecurity, demands, audience)
	req.top = max(level(policy, req.deployment), level(policy, req.security), 0)
	req.disputed = disputed(policy, declared, demands)
	for i := range req.thresholds {
		if t := &req.thresholds[i]; t.asks() {
			req.ask(t.definition.Safeguards, v1alpha1.ForceBinding, t.why, audience)
		}
	}
	req.merge()
	return req, nil
}

// demands are the levels that thresholds ask for.
func (req *requirement) demands(policy *v1alpha1.ScalingPolicy) ([]demand, error) {
	var demands []demand
	for i := range req.thresholds {
		t := &req.thresholds[i]
		if !t.asks() {
			continue
		}
		if t.definition.Unspecified != "" {
			req.unspecified = append(req.unspecified, fmt.Sprintf("the policy does not say all that %s asks for (%s): %s",
				OneLine(t.definition.Name, maxReason/2), t.state(), t.definition.Unspecified))
		}
		for _, axis := range axes {
			for _, d := range t.definition.Demands {
				l := level(policy, d.Level)
				switch {
				case l < 0:
					return nil, fmt.Errorf("threshold %s of policy %s demands %q, which is not a level of it", t.definition.Name, policy.Name, d.Level)
				case !slices.Contains(axes[:], d.Axis):
					return nil, fmt.Errorf("threshold %s of policy %s demands %s on %q, which is not an axis", t.definition.Name, policy.Name, d.Level, d.Axis)
				case d.Axis == axis:
					demands = append(demands, demand{axis, l, orBinding(d.Force), t.why})
				}
			}
		}
	}
	return demands, nil
}

// levels asks for the standards of one axis of every level up to the highest demanded, each with the strongest force
// that demands it, and returns the name of the highest that holds the model.
func (req *requirement) levels(policy *v1alpha1.ScalingPolicy, axis v1alpha1.Axis, demands []demand, audience v1alpha1.Audience) string {
	highest := ""
	for i := range policy.Spec.Levels {
		l := &policy.Spec.Levels[i]
		force, ok := strongest(demands, axis, i)
		if !ok {
			break
		}
		if holds(force) {
			highest = l.Name
		}
		standard := standardOf(l, axis)
		if len(standard.Safeguards) == 0 && standard.Unspecified == "" && (standard.NotRequired != "" || !holds(force)) {
			continue
		}
		by := reason(l.Name, axis, i, demands)
		req.ask(standard.Safeguards, force, by, audience)
		switch {
		case !holds(force) && standard.Unspecified != "":
			req.reported = append(req.reported, fmt.Sprintf("the policy does not say what %s asks for with force %s: %s", by, force, standard.Unspecified))
		case !holds(force):
		case standard.Unspecified != "":
			req.unspecified = append(req.unspecified, fmt.Sprintf("the policy does not say what %s asks for: %s", by, standard.Unspecified))
		case len(standard.Safeguards) == 0:
			req.unspecified = append(req.unspecified, by+" lists no safeguards and does not say that none is required")
		}
	}
	return highest
}

// strongest gives the greatest force with which a level is demanded on an axis.
func strongest(demands []demand, axis v1alpha1.Axis, level int) (force v1alpha1.Force, ok bool) {
	for i := range demands {
		d := &demands[i]
		if d.axis == axis && d.level >= level && (!ok || forceRank(d.force) > forceRank(force)) {
			force, ok = d.force, true
		}
	}
	return force, ok
}

// What the API takes of the reasons for which a Safeguard is required.
const (
	maxRequiredBy = 32
	maxReason     = 200
)

// reason words by what a level is demanded on an axis, such as "ASL-3 Security (CBRN-3 Reached, declared)".
func reason(name string, axis v1alpha1.Axis, level int, demands []demand) string {
	text := make([]byte, 0, 2*maxReason)
	text = append(text, name...)
	text = append(text, ' ')
	text = append(text, axis...)
	separator, last := " (", ""
	for i := range demands {
		d := &demands[i]
		if d.axis != axis || d.level < level || d.why == last {
			continue
		}
		text = append(text, separator...)
		text = append(text, d.why...)
		separator, last = ", ", d.why
		if len(text) > maxReason {
			break
		}
	}
	return OneLine(string(append(text, ')')), maxReason)
}

// ask notes obligations to the model's audience.
func (req *requirement) ask(obligations []v1alpha1.Obligation, atMost v1alpha1.Force, by string, audience v1alpha1.Audience) {
	for i := range obligations {
		o := &obligations[i]
		if len(o.Audiences) > 0 && !slices.Contains(o.Audiences, audience) {
			continue
		}
		force := orBinding(o.Force)
		if forceRank(atMost) < forceRank(force) {
			force = atMost
		}
		req.asked = append(req.asked, asked{o, force, by})
	}
}

// merge keeps the strongest of what several levels, axes or thresholds ask of one Safeguard.
func (req *requirement) merge() {
	order := make([]int, len(req.asked))
	for i := range order {
		order[i] = i
	}
	slices.SortFunc(order, func(a, b int) int {
		return cmp.Or(strings.Compare(req.asked[a].Safeguard, req.asked[b].Safeguard), a-b)
	})
	reasons := make([]string, len(order))
	req.obligations = make([]obligation, 0, len(order))
	for i, at := range order {
		a := &req.asked[at]
		reasons[i] = a.by
		last := len(req.obligations) - 1
		if last < 0 || req.obligations[last].safeguard != a.Safeguard {
			req.obligations = append(req.obligations, obligation{a.Safeguard, reasons[i : i+1 : i+1], a.force, a.MinimumStrength, isUnwaivable(a.Obligation)})
			continue
		}
		have := &req.obligations[last]
		have.requiredBy = append(have.requiredBy, a.by)
		if forceRank(a.force) > forceRank(have.force) {
			have.force = a.force
		}
		if demanded(a.MinimumStrength) > demanded(have.minimumStrength) {
			have.minimumStrength = a.MinimumStrength
		}
		have.unwaivable = have.unwaivable || isUnwaivable(a.Obligation)
	}
	for i := range req.obligations {
		req.obligations[i].requiredBy = fewEnough(req.obligations[i].requiredBy)
	}
}

func isUnwaivable(o *v1alpha1.Obligation) bool { return o.Unwaivable != nil && *o.Unwaivable }

// fewEnough ends a list of reasons that is too long for the API with how many more there are.
func fewEnough(reasons []string) []string {
	if len(reasons) <= maxRequiredBy {
		return reasons
	}
	shown := maxRequiredBy - 1
	return append(reasons[:shown:shown], fmt.Sprintf("and %d more", len(reasons)-shown))
}

// disputed words which demands that hold the model exceed what it declares.
func disputed(policy *v1alpha1.ScalingPolicy, declared int, demands []demand) string {
	var b strings.Builder
	last := ""
	for i := range demands {
		d := &demands[i]
		if d.level <= declared || !holds(d.force) || d.why == becauseOfBaseline {
			continue
		}
		switch last {
		case d.why:
			b.WriteString(" and ")
		case "":
			b.WriteString("declared " + policy.Spec.Levels[declared].Name + ", but " + d.why + " asks for ")
		default:
			b.WriteString(", " + d.why + " asks for ")
		}
		b.WriteString(policy.Spec.Levels[d.level].Name + " " + string(d.axis))
		last = d.why
	}
	return OneLine(b.String(), maxMessage)
}

// audienceOf gives the widest audience where a model names none that is known.
func audienceOf(model *v1alpha1.ModelDeployment) v1alpha1.Audience {
	switch a := model.Spec.Audience; a {
	case v1alpha1.AudienceInternal, v1alpha1.AudienceTrustedUsers:
		return a
	}
	return v1alpha1.AudienceGeneral
}

func orBinding(f v1alpha1.Force) v1alpha1.Force {
	if f == "" {
		return v1alpha1.ForceBinding
	}
	return f
}

var forces = []v1alpha1.Force{
	v1alpha1.ForceRecommendation, v1alpha1.ForceDiscretionary, v1alpha1.ForceLaw, v1alpha1.ForceBinding,
}

// forceRank orders forces from the weakest; an unknown one binds as strongly as any.
func forceRank(f v1alpha1.Force) int {
	if i := slices.Index(forces, f); i >= 0 {
		return i
	}
	return len(forces)
}

func standardOf(l *v1alpha1.Level, axis v1alpha1.Axis) *v1alpha1.Standard {
	if axis == v1alpha1.AxisDeployment {
		return &l.Deployment
	}
	return &l.Security
}

// level gives the place of a level in the policy's order, or -1.
func level(policy *v1alpha1.ScalingPolicy, name string) int {
	for i := range policy.Spec.Levels {
		if policy.Spec.Levels[i].Name == name {
			return i
		}
	}
	return -1
}

func levelNames(policy *v1alpha1.ScalingPolicy) []string {
	names := make([]string, 0, len(policy.Spec.Levels))
	for i := range policy.Spec.Levels {
		names = append(names, policy.Spec.Levels[i].Name)
	}
	return names
}
