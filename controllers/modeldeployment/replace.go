package modeldeployment

import (
	"context"
	"slices"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/interlock-dev/interlock/api/v1alpha1"
	"github.com/interlock-dev/interlock/internal/admission"
	"github.com/interlock-dev/interlock/internal/decision"
	"github.com/interlock-dev/interlock/internal/safeguard"
	"github.com/interlock-dev/interlock/internal/workload"
)

// replace brings pods into line that were created before the adjustments of their model, which can be made at creation
// alone. It returns when to look again. What there is to do is worked out in workload.Replacement; all that has to last over
// a restart is in status.
func (r *Reconciler) replace(ctx context.Context, p *pass) (time.Time, error) {
	if len(p.judged.Enforced.Adjustments) == 0 {
		return time.Time{}, nil
	}
	all, err := r.replacement(ctx, p)
	if err != nil {
		p.report.status.Replacement = p.Model.Status.Replacement
		return time.Time{}, err
	}
	plan := all.Plan(p.Now)
	took, err := plan.Do(ctx, r.Client)
	if took {
		all.Last = p.Now.UTC().Truncate(time.Second)
	}
	if plan.State != "" {
		p.report.replacement(all, plan)
	}
	return plan.Next, err
}

// replacement gathers what is known of the replacement of a model's pods.
func (r *Reconciler) replacement(ctx context.Context, p *pass) (workload.Replacement, error) {
	enforced := p.judged.Enforced
	all := workload.Replacement{
		Model: p.Key(), Cleared: enforced.Verdict.Cleared(),
		PerMinute: decision.ReplacementsPerMinute(p.EnforcedPolicy()), Since: p.Now.UTC().Truncate(time.Second)}
	for _, pod := range p.Pods {
		all.Pods = append(all.Pods, workload.Replaceable{Pod: pod, Held: safeguard.Held(pod), Outdated: !admission.Adjusted(pod, p.judged.Given)})
	}
	if known := p.Model.Status.Replacement; known != nil {
		all.State = known.State
		if known.LastEvictionTime != nil {
			all.Last = known.LastEvictionTime.Time
		}
		if p.adjusts() && slices.Equal(p.Model.Status.Adjustments, shown(enforced.Adjustments)) {
			all.Since = known.Since.Time
		}
	}
	if all.Count() == 0 || !all.Cleared {
		return all, nil
	}
	if err := all.FindRivals(ctx, r.Client, enforced.Policy); err != nil {
		return all, err
	}
	var err error
	all.Wanted, err = r.Workloads.Wanted(ctx, p.Pods)
	return all, err
}

// adjusts says whether the API server gives the model's pods all that they are to be given, as far as can be known.
func (p *pass) adjusts() bool {
	return !p.judged.Settles && slices.Equal(p.judged.Stands.Adjustments, p.judged.Enforced.Adjustments)
}

func (r *report) replacement(all workload.Replacement, plan workload.Plan) {
	s := &v1alpha1.Replacement{
		State: plan.State, Outdated: int32(all.Count()), Since: metav1.NewTime(all.Since),
		Message: decision.OneLine(plan.Message, maxBlocked)}
	if !all.Last.IsZero() {
		s.LastEvictionTime = &metav1.Time{Time: all.Last}
	}
	r.status.Replacement = s
}
