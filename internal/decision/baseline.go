package decision

import (
	"slices"

	"github.com/interlock-dev/interlock/api/v1alpha1"
)

// AlwaysAsked names the Safeguards that a policy asks of every model and that no Waiver can cover: whatever is decided of a model
// under it, its clearance names them.
func AlwaysAsked(policy *v1alpha1.ScalingPolicy) []string {
	baseline := level(policy, policy.Spec.BaselineLevel)
	if baseline < 0 {
		return nil
	}
	var common []string
	for i, audience := range []v1alpha1.Audience{v1alpha1.AudienceInternal, v1alpha1.AudienceTrustedUsers, v1alpha1.AudienceGeneral} {
		names := alwaysAskedFor(policy, baseline, audience)
		if i == 0 {
			common = names
		}
		common = slices.DeleteFunc(common, func(name string) bool { return !slices.Contains(names, name) })
	}
	return common
}

func alwaysAskedFor(policy *v1alpha1.ScalingPolicy, baseline int, audience v1alpha1.Audience) (names []string) {
	waivers := len(askedSignOffs(policy, v1alpha1.SubjectWaiver, len(policy.Spec.Levels))) > 0 && longestWaiver(policy, baseline) > 0
	var req requirement
	for _, axis := range axes {
		req.levels(policy, axis, []demand{{axis, baseline, v1alpha1.ForceBinding, becauseOfBaseline}}, audience)
	}
	req.merge()
	for i := range req.obligations {
		if o := &req.obligations[i]; holds(o.force) && (o.unwaivable || !waivers) {
			names = append(names, o.safeguard)
		}
	}
	return names
}
