package stray

import (
	"context"

	corev1 "k8s.io/api/core/v1"
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
	"github.com/interlock-dev/interlock/internal/admission"
)

// FieldManager owns what is noted on clearances.
const FieldManager = "interlock-stray"

var unlabelledSelector = labels.NewSelector().Add(mustRequire(v1alpha1.ModelLabel, selection.DoesNotExist))

func mustRequire(key string, op selection.Operator) labels.Requirement {
	req, err := labels.NewRequirement(key, op, nil)
	if err != nil {
		panic(err)
	}
	return *req
}

// SetupWithManager watches for enrolment, of which the creation of clearances is the sign, for models that come and go, and
// for policies, which say what is done. Requests name clearances.
func (r *Reconciler) SetupWithManager(mgr ctrl.Manager) error {
	comesOrGoes := builder.WithPredicates(predicate.Funcs{UpdateFunc: func(event.UpdateEvent) bool { return false }})
	return ctrl.NewControllerManagedBy(mgr).
		Named("stray").
		WithOptions(controller.Options{RateLimiter: retry.Limiter()}).
		Watches(&corev1.ConfigMap{}, handler.EnqueueRequestsFromMapFunc(clearancesOf), enrolmentChanged()).
		Watches(&v1alpha1.ModelDeployment{}, handler.EnqueueRequestsFromMapFunc(clearancesOf), comesOrGoes).
		Watches(&v1alpha1.ScalingPolicy{}, handler.EnqueueRequestsFromMapFunc(r.clearancesUnder), builder.WithPredicates(predicate.GenerationChangedPredicate{})).
		Complete(r)
}

func clearancesOf(_ context.Context, o client.Object) []reconcile.Request {
	return []reconcile.Request{{NamespacedName: types.NamespacedName{Namespace: o.GetNamespace(), Name: v1alpha1.ClearancesName}}}
}

func (r *Reconciler) clearancesUnder(ctx context.Context, policy client.Object) []reconcile.Request {
	enforced := &corev1.ConfigMapList{} // of which the cache has no others
	if err := r.Client.List(ctx, enforced, client.UnsafeDisableDeepCopy); err != nil {
		ctrl.LoggerFrom(ctx).Error(err, "List clearances")
		return nil
	}
	var all []reconcile.Request
	for i := range enforced.Items {
		if c := &enforced.Items[i]; admission.PolicyOf(c.Data) == policy.GetName() {
			all = append(all, clearancesOf(ctx, c)...)
		}
	}
	return all
}

// enrolmentChanged lets through what changes which pods are strays or what is done about them, and not each clearance.
func enrolmentChanged() builder.WatchesOption {
	return builder.WithPredicates(predicate.Funcs{UpdateFunc: func(e event.UpdateEvent) bool {
		before, ok1 := e.ObjectOld.(*corev1.ConfigMap)
		after, ok2 := e.ObjectNew.(*corev1.ConfigMap)
		return !ok1 || !ok2 || admission.PolicyOf(before.Data) != admission.PolicyOf(after.Data) ||
			admission.CoverageOf(before.Data) != admission.CoverageOf(after.Data)
	}})
}
