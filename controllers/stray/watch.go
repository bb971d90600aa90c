package stray

import (
	"context"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/labels"
	"k8s.io/apimachinery/pkg/selection"
	"k8s.io/apimachinery/pkg/types"
	ctrl "sigs.k8s.io/controller-runtime"
	"sigs.k8s.io/controller-runtime/pkg/builder"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/event"
	"sigs.k8s.io/controller-runtime/pkg/handler"
	"sigs.k8s.io/controller-runtime/pkg/predicate"
	"sigs.k8s.io/controller-runtime/pkg/reconcile"

	"github.com/interlock-dev/interlock/api/v1alpha1"
	"github.com/interlock-dev/interlock/controllers/fair"
)

// namelessSelectors select the pods that name no model.
var namelessSelectors = []labels.Selector{
	labels.NewSelector().Add(mustRequire(v1alpha1.ModelLabel, selection.DoesNotExist)),
	labels.SelectorFromSet(labels.Set{v1alpha1.ModelLabel: ""}),
}

func mustRequire(key string, op selection.Operator) labels.Requirement {
	req, err := labels.NewRequirement(key, op, nil)
	if err != nil {
		panic(err)
	}
	return *req
}

// SetupWithManager watches for enrolment, of which the label of the namespace and the creation of clearances are signs, for
// namespaces that terminate, for models that come and go, and for policies, which say what is done. Requests name a namespace.
func (r *Reconciler) SetupWithManager(mgr ctrl.Manager) error {
	comesOrGoes := builder.WithPredicates(predicate.Funcs{UpdateFunc: func(event.UpdateEvent) bool { return false }})
	return ctrl.NewControllerManagedBy(mgr).
		Named("stray").
		WithOptions(fair.Options(4, nil)).
		WatchesMetadata(&corev1.Namespace{}, handler.EnqueueRequestsFromMapFunc(byName), builder.WithPredicates(enrolmentChanged())).
		Watches(&corev1.LimitRange{}, handler.EnqueueRequestsFromMapFunc(byNamespace), comesOrGoes).
		Watches(&v1alpha1.ModelDeployment{}, handler.EnqueueRequestsFromMapFunc(byNamespace), comesOrGoes).
		Watches(&v1alpha1.ScalingPolicy{}, handler.EnqueueRequestsFromMapFunc(r.namespacesUnder), builder.WithPredicates(predicate.GenerationChangedPredicate{})).
		Complete(r)
}

func byName(_ context.Context, o client.Object) []reconcile.Request { return request(o.GetName()) }

func byNamespace(_ context.Context, o client.Object) []reconcile.Request {
	return request(o.GetNamespace())
}

func request(namespace string) []reconcile.Request {
	return []reconcile.Request{{NamespacedName: types.NamespacedName{Name: namespace}}}
}

func (r *Reconciler) namespacesUnder(ctx context.Context, policy client.Object) []reconcile.Request {
	list := &metav1.PartialObjectMetadataList{}
	list.SetGroupVersionKind(corev1.SchemeGroupVersion.WithKind("NamespaceList"))
	if err := r.Client.List(ctx, list, client.MatchingLabels{v1alpha1.EnforceLabel: policy.GetName()}, client.UnsafeDisableDeepCopy); err != nil {
		ctrl.LoggerFrom(ctx).Error(err, "List namespaces")
		return nil
	}
	var all []reconcile.Request
	for i := range list.Items {
		all = append(all, request(list.Items[i].Name)...)
	}
	return all
}

// enrolmentChanged lets through what changes which pods are strays, or what is done about them.
func enrolmentChanged() predicate.Predicate {
	return predicate.Or(predicate.LabelChangedPredicate{}, predicate.Funcs{UpdateFunc: func(e event.UpdateEvent) bool {
		return (e.ObjectOld.GetDeletionTimestamp() == nil) != (e.ObjectNew.GetDeletionTimestamp() == nil)
	}})
}
