package modeldeployment

import (
	"context"
	"errors"
	"slices"
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/interlock-dev/interlock/api/v1alpha1"
	"github.com/interlock-dev/interlock/controllers/fresh"
	"github.com/interlock-dev/interlock/controllers/metrics"
	"github.com/interlock-dev/interlock/internal/decision"
	"github.com/interlock-dev/interlock/internal/verdict"
	"github.com/interlock-dev/interlock/internal/workload"
)

// What the steps write. Pods are read and written in pods.go, workloads in workloads.go.
// +kubebuilder:rbac:groups=networking.k8s.io,resources=networkpolicies,verbs=create;update;delete

// shortfall takes the policy's steps against the pods that run without clearance, and returns when the next is due. Each
// step is tried whatever became of the others.
func (r *Reconciler) shortfall(ctx context.Context, p *pass) (time.Time, error) {
	v := p.judged.Enforced.Verdict
	measures := decision.OnShortfall(p.EnforcedPolicy(), p.judged.Shortfall.Since, p.Now, v.DeploymentLevel, v.SecurityLevel)
	if p.Terminating() { // and takes no new object, such as what would isolate its pods
		measures.Evict = measures.Evict || measures.Isolate || measures.Stop
	}
	s := statusOf(p.judged.Shortfall, measures)
	p.report.status.Shortfall = s

	isolated := r.isolate(ctx, p, measures, s)
	eviction, evicted := r.evictor.Evict(ctx, r.Client, p.Now, p.Admitted(), measures)
	metrics.Evicted(eviction)
	s.Blocked = decision.OneLine(eviction.Obstacle, maxBlocked)
	stopped := r.stop(ctx, p, measures)
	return decision.Sooner(measures.Next, eviction.Next), errors.Join(isolated, evicted, stopped)
}

// rest keeps what was done on a shortfall while no pod runs without clearance, and takes it back once that is over. It
// returns when that is.
func (r *Reconciler) rest(ctx context.Context, p *pass) (time.Time, error) {
	known, v := p.judged.Shortfall, p.judged.Enforced.Verdict
	if known.IsZero() {
		return time.Time{}, r.standDown(fresh.Bind(ctx, p.proof), p.Snapshot)
	}
	taken := known.Taken(p.EnforcedPolicy(), p.Now, v.DeploymentLevel, v.SecurityLevel)
	s := statusOf(known, taken)
	p.report.status.Shortfall = s
	if known.Short() { // and its pods are left alone, since they wait for nothing but a rule
		return time.Time{}, nil
	}
	s.QuietSince, s.RememberedUntil = &metav1.Time{Time: known.QuietSince}, &metav1.Time{Time: known.Ends()}
	return known.Ends(), r.isolate(ctx, p, taken, s)
}

func statusOf(known decision.Shortfall, measures decision.Measures) *v1alpha1.Shortfall {
	s := &v1alpha1.Shortfall{Since: metav1.NewTime(known.Since), Step: measures.Step()}
	if !measures.Next.IsZero() {
		s.NextStepTime = &metav1.Time{Time: measures.Next}
	}
	return s
}

// isolate keeps pods cut off that run without clearance, or did so in this shortfall, from when the measures ask for it.
// What is isolated stays so, though the level that asked for it is not asked for any more.
func (r *Reconciler) isolate(ctx context.Context, p *pass, measures decision.Measures, s *v1alpha1.Shortfall) error {
	known := p.judged.Shortfall
	ran := slices.DeleteFunc(p.Admitted(), func(pod *corev1.Pod) bool { return !workload.RanIn(known, pod) })
	if len(ran) == 0 {
		if !known.Short() {
			ctx = fresh.Bind(ctx, p.proof)
		}
		return workload.EndIsolation(ctx, r.Client, p.Key(), p.NetworkPolicies)
	}
	if !measures.Isolate || p.Terminating() {
		return nil
	}
	s.Exposed = decision.OneLine(workload.Exposed(ran, p.NetworkPolicies), maxBlocked)
	return workload.Isolate(ctx, r.Client, p.Key(), p.NetworkPolicies)
}

// standDown takes back what was done on a shortfall that is over.
func (r *Reconciler) standDown(ctx context.Context, s *verdict.Snapshot) error {
	errs := []error{workload.EndIsolation(ctx, r.Client, s.Key(), s.NetworkPolicies)}
	for _, ref := range r.Workloads.StoppedFor(s.Key()) {
		errs = append(errs, r.Workloads.Start(ctx, ref))
	}
	return errors.Join(errs...)
}
