package decision

import (
	"fmt"
	"slices"
	"strings"

	"github.com/interlock-dev/interlock/api/v1alpha1"
)

// requirement is what a policy asks of one model.
type requirement struct {
	deployment, security string
	obligations          []obligation
	unspecified          []string
	// place of each Safeguard among the obligations, until these are sorted.
	place map[string]int
}

// obligation is what all levels together ask of one Safeguard.
type obligation struct {
	safeguard       string
	requiredBy      []string
	force           v1alpha1.Force
	minimumStrength v1alpha1.Strength
}

// demand is a level that somebody or something asks for, on both axes.
type demand struct {
	level int
	why   string
}

// require finds the highest level that anything asks for on each axis, and the safeguards of all levels up to it.
func require(policy *v1alpha1.ScalingPolicy, model *v1alpha1.ModelDeployment) (requirement, error) {
	if policy == nil || model == nil {
		return requirement{}, fmt.Errorf("no ScalingPolicy, or no ModelDeployment that declares the model")
	}
	declared := level(policy, model.Spec.AssessedLevel)
	if declared < 0 {
		return requirement{}, fmt.Errorf("assessedLevel %q is not a level of policy %s, which has %s",
			model.Spec.AssessedLevel, policy.Name, strings.Join(levelNames(policy), ", "))
	}
	baseline := level(policy, policy.Spec.BaselineLevel)
	if baseline < 0 {
		return requirement{}, fmt.Errorf("baselineLevel %q is not a level of policy %s", policy.Spec.BaselineLevel, policy.Name)
	}
	top := demand{baseline, "baseline of the policy"}
	if declared >= baseline {
		top = demand{declared, "declared " + model.Spec.AssessedLevel}
	}

	req := requirement{place: map[string]int{}}
	for _, axis := range []v1alpha1.Axis{v1alpha1.AxisDeployment, v1alpha1.AxisSecurity} {
		req.add(policy, axis, top)
	}
	req.deployment = policy.Spec.Levels[top.level].Name
	req.security = policy.Spec.Levels[top.level].Name
	slices.SortFunc(req.obligations, byName)
	return req, nil
}

// add asks for the standards of one axis of all levels up to the demanded one.
func (req *requirement) add(policy *v1alpha1.ScalingPolicy, axis v1alpha1.Axis, d demand) {
	for i := range policy.Spec.Levels[:d.level+1] {
		l := &policy.Spec.Levels[i]
		standard := standardOf(l, axis)
		by := fmt.Sprintf("%s %s (%s)", l.Name, axis, d.why)
		req.obligations = slices.Grow(req.obligations, len(standard.Safeguards))
		if standard.Unspecified != "" {
			req.unspecified = append(req.unspecified, fmt.Sprintf("the safeguards of %s are unspecified: %s", by, standard.Unspecified))
		}
		if len(standard.Safeguards) == 0 && standard.Unspecified == "" && standard.NotRequired == "" {
			req.unspecified = append(req.unspecified, by+" lists no safeguards and does not say that none is required")
		}
		for _, o := range standard.Safeguards {
			req.merge(o, by)
		}
	}
}

// merge keeps the strongest of what several levels or axes ask of one Safeguard.
func (req *requirement) merge(o v1alpha1.Obligation, by string) {
	i, ok := req.place[o.Safeguard]
	if !ok {
		req.place[o.Safeguard] = len(req.obligations)
		req.obligations = append(req.obligations, obligation{
			safeguard: o.Safeguard, requiredBy: []string{by}, force: forceOf(o), minimumStrength: o.MinimumStrength})
		return
	}
	have := &req.obligations[i]
	have.requiredBy = append(have.requiredBy, by)
	if forceRank(forceOf(o)) > forceRank(have.force) {
		have.force = forceOf(o)
	}
	if demanded(o.MinimumStrength) > demanded(have.minimumStrength) {
		have.minimumStrength = o.MinimumStrength
	}
}

// Rules names the Safeguards that a policy asks of a model and that hold it; nil when that cannot be told.
func (v Verdict) Rules() []string {
	var names []string
	for _, r := range v.Safeguards {
		if holds(r.Force) {
			names = append(names, r.Name)
		}
	}
	return names
}

func forceOf(o v1alpha1.Obligation) v1alpha1.Force {
	if o.Force == "" {
		return v1alpha1.ForceBinding
	}
	return o.Force
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
	return slices.IndexFunc(policy.Spec.Levels, func(l v1alpha1.Level) bool { return l.Name == name })
}

func levelNames(policy *v1alpha1.ScalingPolicy) []string {
	names := make([]string, 0, len(policy.Spec.Levels))
	for _, l := range policy.Spec.Levels {
		names = append(names, l.Name)
	}
	return names
}
