package modeldeployment

import (
	"context"
	"fmt"
	"slices"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/interlock-dev/interlock/api/v1alpha1"
	"github.com/interlock-dev/interlock/controllers/verdicts"
	"github.com/interlock-dev/interlock/internal/admission"
	"github.com/interlock-dev/interlock/internal/decision"
	"github.com/interlock-dev/interlock/internal/safeguard"
	"github.com/interlock-dev/interlock/internal/workload"
)

// replace brings pods into line that were created before the adjustments of their model, which can be made at creation
// alone. It returns when to look again. What there is to do is worked out in workload.Replacement; all that has to last over
// a restart is in status.
func (r *Reconciler) replace(ctx context.Context, now time.Time, g *gathered, enforced verdicts.Judgement, report *report) (time.Time, error) {
	if len(enforced.Adjustments) == 0 {
		return time.Time{}, nil
	}
	all, err := r.replacement(ctx, now, g, enforced)
	if err != nil {
		report.status.Replacement = g.model.Status.Replacement
		return time.Time{}, err
	}
	plan := all.Plan(now)
	took, err := plan.Do(ctx, r.Client)
	if took {
		all.Last = now.UTC().Truncate(time.Second)
	}
	if plan.State != "" {
		report.replacement(all, plan)
	}
	return plan.Next, err
}

// replacement gathers what is known of the replacement of a model's pods.
func (r *Reconciler) replacement(ctx context.Context, now time.Time, g *gathered, enforced verdicts.Judgement) (workload.Replacement, error) {
	all := workload.Replacement{
		Model: client.ObjectKeyFromObject(g.model), Cleared: enforced.Verdict.Cleared(),
		PerMinute: decision.ReplacementsPerMinute(g.enforcedPolicy()), Since: now.UTC().Truncate(time.Second)}
	var given []string
	for _, rule := range g.givenBy(enforced.Adjustments) {
		given = append(given, rule.Given())
	}
	for _, pod := range g.pods {
		all.Pods = append(all.Pods, workload.Replaceable{Pod: pod, Held: safeguard.Held(pod), Outdated: !admission.Adjusted(pod, given)})
	}
	inForce, err := r.adjusts(ctx, g, enforced)
	if err != nil {
		return all, err
	}
	if known := g.model.Status.Replacement; known != nil {
		all.State = known.State
		if known.LastEvictionTime != nil {
			all.Last = known.LastEvictionTime.Time
		}
		if inForce && slices.Equal(g.model.Status.Adjustments, shown(enforced.Adjustments)) {
			all.Since = known.Since.Time
		}
	}
	if all.Count() == 0 || !all.Cleared {
		return all, nil
	}
	if err := r.rivals(ctx, enforced.Policy, &all); err != nil {
		return all, err
	}
	all.Wanted, err = r.Workloads.Wanted(ctx, g.pods)
	return all, err
}

// adjusts says whether the API server gives the model's pods all that they are to be given, as far as can be known.
func (r *Reconciler) adjusts(ctx context.Context, g *gathered, enforced verdicts.Judgement) (bool, error) {
	data, err := verdicts.Enforced(ctx, r.Client, g.model.Namespace)
	if err != nil {
		return false, err
	}
	settles := slices.ContainsFunc(enforced.Adjustments, func(name string) bool { _, ok := g.pending[name]; return ok })
	return !settles && slices.Equal(admission.Find(data, g.model.Name).Adjustments, enforced.Adjustments), nil
}

// rivals finds the other models under a policy whose pods are being replaced, and when the last one was.
func (r *Reconciler) rivals(ctx context.Context, policy string, all *workload.Replacement) error {
	models := &v1alpha1.ModelDeploymentList{}
	if err := r.Client.List(ctx, models, client.UnsafeDisableDeepCopy); err != nil {
		return fmt.Errorf("list ModelDeployments: %w", err)
	}
	for i := range models.Items {
		md := &models.Items[i]
		key, its := types.NamespacedName{Namespace: md.Namespace, Name: md.Name}, md.Status.Replacement
		if its == nil || md.Status.Policy != policy || key == all.Model {
			continue
		}
		rival := workload.Rival{Model: key}
		if its.LastEvictionTime != nil {
			rival.Last = its.LastEvictionTime.Time
		}
		if rival.Last.After(all.LastOfAll) {
			all.LastOfAll = rival.Last
		}
		if its.State == v1alpha1.ReplacementReplacing {
			all.Rivals = append(all.Rivals, rival)
		}
	}
	return nil
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
