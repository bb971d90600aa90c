package verdict

import (
	"github.com/interlock-dev/interlock/api/v1alpha1"
	"github.com/interlock-dev/interlock/internal/decision"
)

// remember gives what is remembered of the model's shortfall, now that it was judged.
func remember(s *Snapshot, r *Result) decision.Shortfall {
	known, v := s.Shortfall, r.Enforced.Verdict
	if !known.Short() {
		known = known.Quiet(s.Now)
	}
	policy := s.EnforcedPolicy()
	steps := decision.ScheduleOf(policy, v.DeploymentLevel, v.SecurityLevel)
	switch v.Outcome {
	case "": // Nothing is enforced here any more.
		return decision.Shortfall{}
	case v1alpha1.OutcomeRevoked:
		if r.OnlyWaits {
			return known
		}
		return known.Continue(steps, s.Now)
	case v1alpha1.OutcomeHeld:
		// It goes on though no pod runs any more: until the model is cleared, where the policy stops workloads.
		if !known.IsZero() && decision.Stops(policy, v.DeploymentLevel, v.SecurityLevel) {
			return known.Continue(steps, s.Now)
		}
	}
	return known.Quiet(s.Now)
}

// Undeclared gives what is remembered of the shortfall of a model that is not declared, and whether its namespace enforces a
// policy: where it does, pods past the gate run without clearance, and the model may be of any level.
func Undeclared(s *Snapshot) (shortfall decision.Shortfall, enforced bool) {
	if _, enforced = s.Namespace.Labels[v1alpha1.EnforceLabel]; !enforced {
		return decision.Shortfall{}, false
	}
	if len(s.Admitted()) == 0 {
		return s.Shortfall.Quiet(s.Now), true
	}
	policy := s.EnforcedPolicy()
	return s.Shortfall.Continue(decision.ScheduleOf(policy, decision.EveryLevel(policy)...), s.Now), true
}
