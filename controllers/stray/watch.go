package stray

import (
	"context"

	"k8s.io/apimachinery/pkg/labels"
	"k8s.io/apimachinery/pkg/selection"
	"k8s.io/apimachinery/pkg/types"
	ctrl "sigs.k8s.io/controller-runtime"
	"sigs.k8s.io/controller-runtime/pkg/builder"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/controller"
	"sigs.k8s.io/controller-runtime/pkg/event"
	"sigs.k8s.io/controller-runtime/pkg/handler"
	"sigs.k8s.io/controller-runtime/pkg/predicate"
	"sigs.k8s.io/controller-runtime/pkg/reconcile"

	"github.com/interlock-dev/interlock/api/v1alpha1"
	"github.com/interlock-dev/interlock/controllers/retry"
)

// FieldManager owns what is noted on ledgers.
const FieldManager = "interlock-stray"

var unlabelledSelector = labels.NewSelector().Add(mustRequire(v1alpha1.ModelLabel, selection.DoesNotExist))

func mustRequire(key string, op selection.Operator) labels.Requirement {
	req, err := labels.NewRequirement(key, op, nil)
	if err != nil {
		panic(err)
	}
	return *req
}

// SetupWithManager watches for enrolment, of which the creation of a ledger is the sign, for models that come and go, and
// for policies, which say what is done. Requests name a ledger.
func (r *Reconciler) SetupWithManager(mgr ctrl.Manager) error {
	comesOrGoes := builder.WithPredicates(predicate.Funcs{UpdateFunc: func(event.UpdateEvent) bool { return false }})
	return ctrl.NewControllerManagedBy(mgr).
		Named("stray").
		WithOptions(controller.Options{RateLimiter: retry.Limiter()}).
		Watches(&v1alpha1.ClearanceLedger{}, handler.EnqueueRequestsFromMapFunc(ledgerOf), enrolmentChanged()).
		Watches(&v1alpha1.ModelDeployment{}, handler.EnqueueRequestsFromMapFunc(ledgerOf), comesOrGoes).
		Watches(&v1alpha1.ScalingPolicy{}, handler.EnqueueRequestsFromMapFunc(r.ledgersUnder), builder.WithPredicates(predicate.GenerationChangedPredicate{})).
		Complete(r)
}

func ledgerOf(_ context.Context, o client.Object) []reconcile.Request {
	return []reconcile.Request{{NamespacedName: types.NamespacedName{Namespace: o.GetNamespace(), Name: v1alpha1.LedgerName}}}
}

func (r *Reconciler) ledgersUnder(ctx context.Context, policy client.Object) []reconcile.Request {
	ledgers := &v1alpha1.ClearanceLedgerList{}
	if err := r.Client.List(ctx, ledgers, client.UnsafeDisableDeepCopy); err != nil {
		ctrl.LoggerFrom(ctx).Error(err, "List ClearanceLedgers")
		return nil
	}
	var all []reconcile.Request
	for i := range ledgers.Items {
		if l := &ledgers.Items[i]; l.Name == v1alpha1.LedgerName && l.Spec.Policy == policy.GetName() {
			all = append(all, ledgerOf(ctx, l)...)
		}
	}
	return all
}

// enrolmentChanged lets through what changes which pods are strays or what is done about them, and not each clearance.
func enrolmentChanged() builder.WatchesOption {
	return builder.WithPredicates(predicate.Funcs{UpdateFunc: func(e event.UpdateEvent) bool {
		before, ok1 := e.ObjectOld.(*v1alpha1.ClearanceLedger)
		after, ok2 := e.ObjectNew.(*v1alpha1.ClearanceLedger)
		return !ok1 || !ok2 || before.Spec.Policy != after.Spec.Policy || before.Spec.Coverage != after.Spec.Coverage
	}})
}
