package decision

import (
	"fmt"
	"slices"
	"strings"

	"github.com/interlock-dev/interlock/api/v1alpha1"
)

// requirement is what a policy asks of one model.
type requirement struct {
	// deployment and security are the highest levels that hold the model on each axis.
	deployment, security string
	obligations          []obligation
	// unspecified says what is asked for and not told.
	unspecified []string
	// disputed says what is asked beyond what the model declares.
	disputed string
	// thresholds are what the assessments say of each.
	thresholds []threshold
}

// obligation is what all levels and thresholds together ask of one Safeguard.
type obligation struct {
	safeguard       string
	requiredBy      []string
	force           v1alpha1.Force
	minimumStrength v1alpha1.Strength
}

// demand is a level that somebody or something asks for on one axis.
type demand struct {
	axis  v1alpha1.Axis
	level int
	force v1alpha1.Force
	why   string
}

var axes = []v1alpha1.Axis{v1alpha1.AxisDeployment, v1alpha1.AxisSecurity}

// require gathers all demands on a model, and asks for the safeguards of all levels up to the demanded ones.
func require(in Input) (requirement, error) {
	policy := in.Policy
	declared := level(policy, in.Model.Spec.AssessedLevel)
	if declared < 0 {
		return requirement{}, fmt.Errorf("assessedLevel %q is not a level of policy %s, which has %s",
			in.Model.Spec.AssessedLevel, policy.Name, strings.Join(levelNames(policy), ", "))
	}
	baseline := level(policy, policy.Spec.BaselineLevel)
	if baseline < 0 {
		return requirement{}, fmt.Errorf("baselineLevel %q is not a level of policy %s", policy.Spec.BaselineLevel, policy.Name)
	}
	req := requirement{thresholds: assess(in)}
	demands, err := req.demands(policy)
	if err != nil {
		return requirement{}, err
	}
	for _, axis := range axes {
		demands = append(demands,
			demand{axis, baseline, v1alpha1.ForceBinding, "baseline"},
			demand{axis, declared, v1alpha1.ForceBinding, "declared"})
	}
	audience := in.Model.Spec.Audience
	if audience == "" {
		audience = v1alpha1.AudienceGeneral
	}
	req.deployment = req.levels(policy, v1alpha1.AxisDeployment, demands, audience)
	req.security = req.levels(policy, v1alpha1.AxisSecurity, demands, audience)
	req.disputed = disputed(policy, declared, demands)
	for _, t := range req.thresholds {
		if t.asReached() {
			req.add(t.definition.Safeguards, v1alpha1.ForceBinding, t.why(), audience)
		}
	}
	slices.SortFunc(req.obligations, byName)
	return req, nil
}

// demands are the levels that thresholds ask for.
func (req *requirement) demands(policy *v1alpha1.ScalingPolicy) ([]demand, error) {
	var demands []demand
	for _, t := range req.thresholds {
		if !t.asReached() {
			continue
		}
		if t.definition.Unspecified != "" {
			req.unspecified = append(req.unspecified, fmt.Sprintf("what %s asks for is unspecified: %s", t.why(), t.definition.Unspecified))
		}
		for _, d := range t.definition.Demands {
			l := level(policy, d.Level)
			if l < 0 {
				return nil, fmt.Errorf("threshold %s of policy %s demands %q, which is not a level of it", t.definition.Name, policy.Name, d.Level)
			}
			demands = append(demands, demand{d.Axis, l, orBinding(d.Force), t.why()})
		}
	}
	return demands, nil
}

// levels asks for the standards of one axis of every level up to the highest demanded, each with the strongest force
// that demands it, and returns the name of the highest that holds the model.
func (req *requirement) levels(policy *v1alpha1.ScalingPolicy, axis v1alpha1.Axis, demands []demand, audience v1alpha1.Audience) string {
	highest := ""
	for i, l := range policy.Spec.Levels {
		force, why, ok := strongest(demands, axis, i)
		if !ok {
			break
		}
		if holds(force) {
			highest = l.Name
		}
		standard := standardOf(l, axis)
		by := bounded(fmt.Sprintf("%s %s (%s)", l.Name, axis, why), maxRequiredBy)
		switch {
		case len(standard.Safeguards) > 0:
			req.add(standard.Safeguards, force, by, audience)
		case !holds(force) || standard.NotRequired != "":
		case standard.Unspecified != "":
			req.unspecified = append(req.unspecified, fmt.Sprintf("the safeguards of %s are unspecified: %s", by, standard.Unspecified))
		default:
			req.unspecified = append(req.unspecified, by+" lists no safeguards and does not say that none is required")
		}
	}
	return highest
}

// maxRequiredBy is the longest reason that the API takes.
const maxRequiredBy = 200

// strongest gives the greatest force with which a level is demanded on an axis, and by what.
func strongest(demands []demand, axis v1alpha1.Axis, level int) (force v1alpha1.Force, why string, ok bool) {
	var whys []string
	for _, d := range demands {
		if d.axis != axis || d.level < level {
			continue
		}
		if !ok || forceRank(d.force) > forceRank(force) {
			force = d.force
		}
		ok = true
		if !slices.Contains(whys, d.why) {
			whys = append(whys, d.why)
		}
	}
	return force, strings.Join(whys, ", "), ok
}

// add asks for safeguards, with a force no stronger than that of the demand for them.
func (req *requirement) add(obligations []v1alpha1.Obligation, atMost v1alpha1.Force, by string, audience v1alpha1.Audience) {
	for _, o := range obligations {
		if len(o.Audiences) > 0 && !slices.Contains(o.Audiences, audience) {
			continue
		}
		o.Force = orBinding(o.Force)
		if forceRank(atMost) < forceRank(o.Force) {
			o.Force = atMost
		}
		req.merge(o, by)
	}
}

// merge keeps the strongest of what several levels, axes or thresholds ask of one Safeguard.
func (req *requirement) merge(o v1alpha1.Obligation, by string) {
	i := slices.IndexFunc(req.obligations, func(have obligation) bool { return have.safeguard == o.Safeguard })
	if i < 0 {
		req.obligations = append(req.obligations, obligation{o.Safeguard, []string{by}, o.Force, o.MinimumStrength})
		return
	}
	have := &req.obligations[i]
	have.requiredBy = append(have.requiredBy, by)
	if forceRank(o.Force) > forceRank(have.force) {
		have.force = o.Force
	}
	if rank(o.MinimumStrength) > rank(have.minimumStrength) {
		have.minimumStrength = o.MinimumStrength
	}
}

// disputed words which demands that hold the model exceed what it declares.
func disputed(policy *v1alpha1.ScalingPolicy, declared int, demands []demand) string {
	var parts []string
	for _, d := range demands {
		if d.level > declared && holds(d.force) && d.why != "baseline" {
			parts = append(parts, fmt.Sprintf("%s asks for %s %s", d.why, policy.Spec.Levels[d.level].Name, d.axis))
		}
	}
	if len(parts) == 0 {
		return ""
	}
	return fmt.Sprintf("declared %s, but %s", policy.Spec.Levels[declared].Name, strings.Join(parts, ", "))
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

func standardOf(l v1alpha1.Level, axis v1alpha1.Axis) v1alpha1.Standard {
	if axis == v1alpha1.AxisDeployment {
		return l.Deployment
	}
	return l.Security
}

// level gives the place of a level in the policy's order, or -1.
func level(policy *v1alpha1.ScalingPolicy, name string) int {
	return slices.IndexFunc(policy.Spec.Levels, func(l v1alpha1.Level) bool { return l.Name == name })
}

func levelNames(policy *v1alpha1.ScalingPolicy) []string {
	names := make([]string, 0, len(policy.Spec.Levels))
	for _, l := range policy.Spec.Levels {
		names = append(names, l.Name)
	}
	return names
}

func bounded(text string, most int) string {
	if len(text) <= most {
		return text
	}
	return strings.ToValidUTF8(text[:most-3], "") + "..."
}
