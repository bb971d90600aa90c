package modeldeployment

import (
	"context"
	"errors"
	"slices"
	"time"

	corev1 "k8s.io/api/core/v1"
	networkingv1 "k8s.io/api/networking/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/interlock-dev/interlock/api/v1alpha1"
	"github.com/interlock-dev/interlock/controllers/fresh"
	"github.com/interlock-dev/interlock/controllers/metrics"
	"github.com/interlock-dev/interlock/controllers/verdicts"
	"github.com/interlock-dev/interlock/internal/decision"
	"github.com/interlock-dev/interlock/internal/workload"
)

// What the steps write. Pods are read and written in pods.go, workloads in workloads.go.
// +kubebuilder:rbac:groups=networking.k8s.io,resources=networkpolicies,verbs=create;update;delete

// remember gives what is remembered of the model's shortfall, now that it was judged.
func (g *gathered) remember(now time.Time, enforced verdicts.Judgement) decision.Shortfall {
	known, v := g.known, enforced.Verdict
	if !known.Short() {
		known = known.Quiet(now)
	}
	policy := g.enforcedPolicy()
	steps := decision.ScheduleOf(policy, v.DeploymentLevel, v.SecurityLevel)
	switch v.Outcome {
	case "": // Nothing is enforced here any more.
		return decision.Shortfall{}
	case v1alpha1.OutcomeRevoked:
		if g.onlyWaits {
			return known
		}
		return known.Continue(steps, now)
	case v1alpha1.OutcomeHeld:
		// It goes on though no pod runs any more: until the model is cleared, where the policy stops workloads.
		if !known.IsZero() && decision.Stops(policy, v.DeploymentLevel, v.SecurityLevel) {
			return known.Continue(steps, now)
		}
	}
	return known.Quiet(now)
}

// reported gives the shortfall that a status tells of. It is what there is if the clearances were lost.
func reported(s *v1alpha1.Shortfall) decision.Shortfall {
	if s == nil {
		return decision.Shortfall{}
	}
	known := decision.Shortfall{Since: s.Since.UTC()}
	if s.QuietSince != nil && s.RememberedUntil != nil {
		known.QuietSince, known.Wait = s.QuietSince.UTC(), s.RememberedUntil.Sub(s.QuietSince.Time)
	}
	return known
}

// shortfall takes the policy's steps against the pods that run without clearance, and returns when the next is due. Each
// step is tried whatever became of the others.
func (r *Reconciler) shortfall(ctx context.Context, now time.Time, g *gathered, enforced verdicts.Judgement, report *report) (time.Time, error) {
	measures := decision.OnShortfall(g.enforcedPolicy(), g.shortfall.Since, now,
		enforced.Verdict.DeploymentLevel, enforced.Verdict.SecurityLevel)
	if g.terminating { // and takes no new object, such as what would isolate its pods
		measures.Evict = measures.Evict || measures.Isolate || measures.Stop
	}
	s := g.statusOf(measures)
	report.status.Shortfall = s

	isolated := r.isolate(ctx, g, measures, s)
	eviction, evicted := r.evictor.Evict(ctx, r.Client, now, g.admitted(), measures)
	metrics.Evicted(eviction)
	s.Blocked = boundedTo(maxBlocked, eviction.Obstacle)
	stopped := r.stop(ctx, g, measures)
	return decision.Sooner(measures.Next, eviction.Next), errors.Join(isolated, evicted, stopped)
}

// rest keeps what was done on a shortfall while no pod runs without clearance, and takes it back once that is over. It
// returns when that is.
func (r *Reconciler) rest(ctx context.Context, now time.Time, g *gathered, enforced verdicts.Judgement, report *report) (time.Time, error) {
	if g.shortfall.IsZero() {
		return time.Time{}, r.standDown(fresh.Bind(ctx, g.proof), client.ObjectKeyFromObject(g.model), g.networkPolicies)
	}
	taken := g.shortfall.Taken(g.enforcedPolicy(), now, enforced.Verdict.DeploymentLevel, enforced.Verdict.SecurityLevel)
	s := g.statusOf(taken)
	report.status.Shortfall = s
	if g.shortfall.Short() { // and its pods are left alone, since they wait for nothing but a rule
		return time.Time{}, nil
	}
	s.QuietSince, s.RememberedUntil = &metav1.Time{Time: g.shortfall.QuietSince}, &metav1.Time{Time: g.shortfall.Ends()}
	return g.shortfall.Ends(), r.isolate(ctx, g, taken, s)
}

func (g *gathered) statusOf(measures decision.Measures) *v1alpha1.Shortfall {
	s := &v1alpha1.Shortfall{Since: metav1.NewTime(g.shortfall.Since), Step: measures.Step()}
	if !measures.Next.IsZero() {
		s.NextStepTime = &metav1.Time{Time: measures.Next}
	}
	return s
}

// isolate keeps pods cut off that run without clearance, or did so in this shortfall, from when the measures ask for it.
// What is isolated stays so, though the level that asked for it is not asked for any more.
func (r *Reconciler) isolate(ctx context.Context, g *gathered, measures decision.Measures, s *v1alpha1.Shortfall) error {
	model := client.ObjectKeyFromObject(g.model)
	ran := slices.DeleteFunc(g.admitted(), func(p *corev1.Pod) bool { return !ranIn(g.shortfall, p) })
	if len(ran) == 0 {
		if !g.shortfall.Short() {
			ctx = fresh.Bind(ctx, g.proof)
		}
		return workload.EndIsolation(ctx, r.Client, model, g.networkPolicies)
	}
	if !measures.Isolate || g.terminating {
		return nil
	}
	s.Exposed = boundedTo(maxBlocked, workload.Exposed(ran, g.networkPolicies))
	return workload.Isolate(ctx, r.Client, model, g.networkPolicies)
}

// ranIn says whether a pod that is past the gate ran in a shortfall: none gets past it while the model is short. Times are in
// whole seconds.
func ranIn(s decision.Shortfall, p *corev1.Pod) bool {
	at := scheduledAt(p)
	return s.Short() || !at.After(s.Since) || at.Before(s.QuietSince.Add(-time.Second))
}

// scheduledAt is when a pod got past its gates.
func scheduledAt(p *corev1.Pod) time.Time {
	for _, c := range p.Status.Conditions {
		if c.Type == corev1.PodScheduled && c.Status == corev1.ConditionTrue && !c.LastTransitionTime.IsZero() {
			return c.LastTransitionTime.Time
		}
	}
	return p.CreationTimestamp.Time
}

// standDown takes back what was done on a shortfall that is over.
func (r *Reconciler) standDown(ctx context.Context, model types.NamespacedName, policies []networkingv1.NetworkPolicy) error {
	errs := []error{workload.EndIsolation(ctx, r.Client, model, policies)}
	for _, ref := range r.Workloads.StoppedFor(model) {
		errs = append(errs, r.Workloads.Start(ctx, ref))
	}
	return errors.Join(errs...)
}
