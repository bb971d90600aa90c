package modeldeployment

import (
	"context"
	"errors"
	"time"

	networkingv1 "k8s.io/api/networking/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/interlock-dev/interlock/api/v1alpha1"
	"github.com/interlock-dev/interlock/controllers/metrics"
	"github.com/interlock-dev/interlock/controllers/verdicts"
	"github.com/interlock-dev/interlock/internal/decision"
	"github.com/interlock-dev/interlock/internal/workload"
)

// What the steps write. Pods are read and written in pods.go, workloads in workloads.go.
// +kubebuilder:rbac:groups=networking.k8s.io,resources=networkpolicies,verbs=create;update;delete

// shortfall takes the policy's steps against the pods that run without clearance, and returns when the next is due. Each
// step is tried whatever became of the others.
func (r *Reconciler) shortfall(ctx context.Context, now time.Time, g *gathered, enforced verdicts.Judgement, report *report) (time.Time, error) {
	since := r.shortfalls.begin(client.ObjectKeyFromObject(g.model), g.model.Status.Shortfall, now)
	measures := decision.OnShortfall(g.policy(v1alpha1.EnforceLabel), since, now,
		enforced.Verdict.DeploymentLevel, enforced.Verdict.SecurityLevel)
	s := &v1alpha1.Shortfall{Since: metav1.NewTime(since), Step: measures.Step()}
	report.status.Shortfall = s

	isolated := r.isolate(ctx, g, measures, s)
	eviction, evicted := r.evictor.Evict(ctx, r.Client, now, g.admitted(), measures)
	metrics.Evicted(eviction)
	s.Blocked = boundedTo(maxBlocked, eviction.Obstacle)
	stopped := r.stop(ctx, g, measures)

	next := measures.Next
	if !next.IsZero() {
		s.NextStepTime = &metav1.Time{Time: next}
	}
	return decision.Sooner(next, eviction.Next), errors.Join(isolated, evicted, stopped)
}

// lasts says whether a shortfall goes on though no pod runs any more: until the model is cleared, where the policy stops
// workloads.
func (r *Reconciler) lasts(g *gathered, enforced verdicts.Judgement) bool {
	return r.shortfalls.known(client.ObjectKeyFromObject(g.model), g.model.Status.Shortfall) &&
		decision.Stops(g.policy(v1alpha1.EnforceLabel), enforced.Verdict.DeploymentLevel, enforced.Verdict.SecurityLevel)
}

// isolate keeps the pods cut off for as long as the measures ask for it and any runs.
func (r *Reconciler) isolate(ctx context.Context, g *gathered, measures decision.Measures, s *v1alpha1.Shortfall) error {
	model := client.ObjectKeyFromObject(g.model)
	if !measures.Isolate || len(g.admitted()) == 0 {
		return workload.EndIsolation(ctx, r.Client, model, g.networkPolicies)
	}
	s.Exposed = boundedTo(maxBlocked, workload.Exposed(g.admitted(), g.networkPolicies))
	return workload.Isolate(ctx, r.Client, model, g.networkPolicies)
}

// standDown takes back what was done on a shortfall that is over.
func (r *Reconciler) standDown(ctx context.Context, model types.NamespacedName, policies []networkingv1.NetworkPolicy) error {
	r.shortfalls.end(model)
	errs := []error{workload.EndIsolation(ctx, r.Client, model, policies)}
	for _, ref := range r.Workloads.StoppedFor(model) {
		errs = append(errs, r.Workloads.Start(ctx, ref))
	}
	return errors.Join(errs...)
}
