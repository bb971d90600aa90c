// Package stray deals with pods that ran in a namespace before it was enrolled and name no model. No new one can come:
// the API server refuses it.
package stray

import (
	"context"
	"fmt"
	"time"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/client-go/tools/events"
	"k8s.io/utils/clock"
	ctrl "sigs.k8s.io/controller-runtime"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/handler"
	"sigs.k8s.io/controller-runtime/pkg/reconcile"

	"github.com/interlock-dev/interlock/api/v1alpha1"
	"github.com/interlock-dev/interlock/internal/admission"
	"github.com/interlock-dev/interlock/internal/decision"
	"github.com/interlock-dev/interlock/internal/safeguard"
	"github.com/interlock-dev/interlock/internal/workload"
)

// recount is how long until strays that still run are counted again.
const recount = time.Minute

// Reconciler takes strays out of service by the steps of the policy's baseline level, counted from when the namespace
// was enrolled: what serves an unknown model is at least what every model is.
type Reconciler struct {
	Client client.Client
	// Live reads past the cache, which holds only pods that name a model.
	Live   client.Reader
	Clock  clock.PassiveClock
	Events events.EventRecorder
}

// SetupWithManager watches for enrolment, of which the creation of a ledger is the sign.
func (r *Reconciler) SetupWithManager(mgr ctrl.Manager) error {
	return ctrl.NewControllerManagedBy(mgr).
		Named("stray").
		Watches(&v1alpha1.ClearanceLedger{}, handler.EnqueueRequestsFromMapFunc(func(_ context.Context, o client.Object) []reconcile.Request {
			if o.GetName() != v1alpha1.LedgerName {
				return nil
			}
			return []reconcile.Request{{NamespacedName: types.NamespacedName{Namespace: o.GetNamespace(), Name: o.GetName()}}}
		}), enrolmentChanged()).
		Complete(r)
}

// Reconcile counts the strays of one namespace and takes the step that is due.
func (r *Reconciler) Reconcile(ctx context.Context, req ctrl.Request) (ctrl.Result, error) {
	ledger := &v1alpha1.ClearanceLedger{}
	if err := r.Client.Get(ctx, req.NamespacedName, ledger); err != nil {
		return ctrl.Result{}, client.IgnoreNotFound(err)
	}
	strays, err := r.strays(ctx, ledger)
	if err != nil || len(strays) == 0 {
		return ctrl.Result{}, err
	}
	policy := &v1alpha1.ScalingPolicy{}
	if err := r.Client.Get(ctx, client.ObjectKey{Name: ledger.Spec.Policy}, policy); err != nil {
		return ctrl.Result{RequeueAfter: recount}, client.IgnoreNotFound(err)
	}
	now := r.Clock.Now()
	measures := decision.OnShortfall(policy, ledger.CreationTimestamp.Time, now)
	r.Events.Eventf(ledger, nil, corev1.EventTypeWarning, "StrayPods", "Inventory",
		"%d pods that ran before enrolment, such as %s, name no model in the label %s; policy %s evicts them by the steps of %s",
		len(strays), strays[0].Name, v1alpha1.ModelLabel, policy.Name, policy.Spec.BaselineLevel)
	if _, err := workload.Evict(ctx, r.Client, strays, measures); err != nil {
		return ctrl.Result{}, err
	}
	wait := recount
	if !measures.Next.IsZero() {
		wait = min(wait, max(measures.Next.Sub(now), time.Millisecond))
	}
	return ctrl.Result{RequeueAfter: wait}, nil
}

func (r *Reconciler) strays(ctx context.Context, ledger *v1alpha1.ClearanceLedger) ([]*corev1.Pod, error) {
	pods := &corev1.PodList{}
	unnamed := client.MatchingLabelsSelector{Selector: unnamedSelector}
	if err := r.Live.List(ctx, pods, client.InNamespace(ledger.Namespace), unnamed); err != nil {
		return nil, fmt.Errorf("list pods that name no model: %w", err)
	}
	var strays []*corev1.Pod
	for i := range pods.Items {
		if pod := &pods.Items[i]; safeguard.Living(pod) && admission.Covered(pod, ledger.Spec.Coverage) {
			strays = append(strays, pod)
		}
	}
	return strays, nil
}
