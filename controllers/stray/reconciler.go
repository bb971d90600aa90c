// Package stray deals with pods that are in service though no declared model answers for them: those that ran before
// their namespace was enrolled and name no model, and those whose ModelDeployment does not exist, or does so no more. No
// new one can come: the API server refuses or holds it.
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

// Reconciler takes strays out of service, by steps that count from when the namespace was enrolled. What names no model is
// at least what every model is, so the steps are those of the baseline level. What names one that is not declared may be
// anything, and had its declaration taken back, perhaps, to escape the steps of its level: the strictest of all levels
// apply.
type Reconciler struct {
	Client client.Client
	// Live reads past the cache, which holds only pods that name a model.
	Live   client.Reader
	Clock  clock.PassiveClock
	Events events.EventRecorder
}

// SetupWithManager watches for enrolment, of which the creation of a ledger is the sign, and for declarations that are
// taken back.
func (r *Reconciler) SetupWithManager(mgr ctrl.Manager) error {
	return ctrl.NewControllerManagedBy(mgr).
		Named("stray").
		Watches(&v1alpha1.ClearanceLedger{}, handler.EnqueueRequestsFromMapFunc(func(ctx context.Context, o client.Object) []reconcile.Request {
			if o.GetName() != v1alpha1.LedgerName {
				return nil
			}
			return ledgerOf(ctx, o)
		}), enrolmentChanged()).
		Watches(&v1alpha1.ModelDeployment{}, handler.EnqueueRequestsFromMapFunc(ledgerOf), deleted()).
		Complete(r)
}

func ledgerOf(_ context.Context, o client.Object) []reconcile.Request {
	return []reconcile.Request{{NamespacedName: types.NamespacedName{Namespace: o.GetNamespace(), Name: v1alpha1.LedgerName}}}
}

// Reconcile counts the strays of one namespace and takes the steps that are due.
func (r *Reconciler) Reconcile(ctx context.Context, req ctrl.Request) (ctrl.Result, error) {
	ledger := &v1alpha1.ClearanceLedger{}
	if err := r.Client.Get(ctx, req.NamespacedName, ledger); err != nil {
		return ctrl.Result{}, client.IgnoreNotFound(err)
	}
	named := &corev1.PodList{}
	if err := r.Client.List(ctx, named, client.InNamespace(req.Namespace), client.UnsafeDisableDeepCopy); err != nil {
		return ctrl.Result{}, fmt.Errorf("list pods: %w", err)
	}
	nameless, err := r.nameless(ctx, ledger, named.Items)
	if err != nil {
		return ctrl.Result{}, err
	}
	undeclared, err := r.undeclared(ctx, named.Items)
	if err != nil || len(nameless)+len(undeclared) == 0 {
		return ctrl.Result{}, err
	}
	policy := &v1alpha1.ScalingPolicy{}
	if err := r.Client.Get(ctx, client.ObjectKey{Name: ledger.Spec.Policy}, policy); err != nil {
		return ctrl.Result{RequeueAfter: recount}, client.IgnoreNotFound(err)
	}
	now, since := r.Clock.Now(), ledger.CreationTimestamp.Time
	wait := recount
	for _, strays := range []struct {
		pods     []*corev1.Pod
		what     string
		measures decision.Measures
	}{
		{nameless, fmt.Sprintf("ran before enrolment and name no model in the label %s: the steps of %s apply", v1alpha1.ModelLabel, policy.Spec.BaselineLevel),
			decision.OnShortfall(policy, policy.Spec.BaselineLevel, since, now)},
		{undeclared, "name a model that no ModelDeployment declares: the strictest steps apply", strictest(policy, since, now)},
	} {
		if len(strays.pods) == 0 {
			continue
		}
		r.Events.Eventf(ledger, nil, corev1.EventTypeWarning, "StrayPods", "Inventory",
			"%d pods, such as %s, %s, as policy %s says", len(strays.pods), strays.pods[0].Name, strays.what, policy.Name)
		if _, err := workload.Evict(ctx, r.Client, strays.pods, strays.measures); err != nil {
			return ctrl.Result{}, err
		}
		if !strays.measures.Next.IsZero() {
			wait = min(wait, max(strays.measures.Next.Sub(now), time.Millisecond))
		}
	}
	return ctrl.Result{RequeueAfter: wait}, nil
}

// strictest gives the measures that any level takes.
func strictest(policy *v1alpha1.ScalingPolicy, since, now time.Time) decision.Measures {
	var all decision.Measures
	for _, level := range policy.Spec.Levels {
		m := decision.OnShortfall(policy, level.Name, since, now)
		all.Evict, all.Force = all.Evict || m.Evict, all.Force || m.Force
		if all.Next.IsZero() || !m.Next.IsZero() && m.Next.Before(all.Next) {
			all.Next = m.Next
		}
	}
	return all
}

// nameless lists the pods in service that should name a model and name none. An empty name is none.
func (r *Reconciler) nameless(ctx context.Context, ledger *v1alpha1.ClearanceLedger, named []corev1.Pod) ([]*corev1.Pod, error) {
	pods := &corev1.PodList{}
	unnamed := client.MatchingLabelsSelector{Selector: unnamedSelector}
	if err := r.Live.List(ctx, pods, client.InNamespace(ledger.Namespace), unnamed); err != nil {
		return nil, fmt.Errorf("list pods that name no model: %w", err)
	}
	var strays []*corev1.Pod
	for _, list := range [][]corev1.Pod{pods.Items, named} {
		for i := range list {
			pod := &list[i]
			if pod.Labels[v1alpha1.ModelLabel] == "" && safeguard.Living(pod) && admission.Covered(pod, ledger.Spec.Coverage) {
				strays = append(strays, pod)
			}
		}
	}
	return strays, nil
}

// undeclared picks the pods in service that name a model which is not declared.
func (r *Reconciler) undeclared(ctx context.Context, named []corev1.Pod) ([]*corev1.Pod, error) {
	declared := map[string]bool{}
	var strays []*corev1.Pod
	for i := range named {
		pod := &named[i]
		model := pod.Labels[v1alpha1.ModelLabel]
		if model == "" || !safeguard.Living(pod) || safeguard.Held(pod) {
			continue
		}
		if _, asked := declared[model]; !asked {
			var err error
			if declared[model], err = r.declares(ctx, client.ObjectKey{Namespace: pod.Namespace, Name: model}); err != nil {
				return nil, err
			}
		}
		if !declared[model] {
			strays = append(strays, pod)
		}
	}
	return strays, nil
}

// declares says whether a model is declared. The cache may not have seen a new declaration yet, so the API server has the
// last word on one that is missing.
func (r *Reconciler) declares(ctx context.Context, model client.ObjectKey) (bool, error) {
	for _, reader := range []client.Reader{r.Client, r.Live} {
		err := reader.Get(ctx, model, &v1alpha1.ModelDeployment{})
		if err == nil {
			return true, nil
		}
		if client.IgnoreNotFound(err) != nil {
			return false, fmt.Errorf("get ModelDeployment: %w", err)
		}
	}
	return false, nil
}
