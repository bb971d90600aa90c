package fallback

import (
	"context"

	corev1 "k8s.io/api/core/v1"
	apiequality "k8s.io/apimachinery/pkg/api/equality"
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
	"github.com/interlock-dev/interlock/controllers/retry"
	"github.com/interlock-dev/interlock/internal/safeguard"
	"github.com/interlock-dev/interlock/internal/workload"
)

// SetupWithManager watches what bears on where clients go. Services and HTTPRoutes are not watched: those of a cluster are
// many, and those that matter are looked at while it matters.
func (r *Reconciler) SetupWithManager(mgr ctrl.Manager) error {
	return ctrl.NewControllerManagedBy(mgr).
		Named("fallback").
		WithOptions(fair.Options(4, nil)).
		Watches(&v1alpha1.ModelDeployment{}, handler.EnqueueRequestsFromMapFunc(r.concerned)). // and its status: verdicts
		Watches(&corev1.Pod{}, handler.EnqueueRequestsFromMapFunc(r.concernedByPod), builder.WithPredicates(serviceChanged())).
		WatchesMetadata(&corev1.Namespace{}, handler.EnqueueRequestsFromMapFunc(r.allOf), builder.WithPredicates(predicate.LabelChangedPredicate{})).
		Watches(&corev1.LimitRange{}, handler.EnqueueRequestsFromMapFunc(r.allIn)).
		WatchesRawSource(retry.Recall("what leads to fallbacks", r.Traffic.Recall)).
		Complete(r)
}

// serviceChanged lets through that a pod comes into service or goes out of it.
func serviceChanged() predicate.Predicate {
	type service struct{ living, held, ready, leaving bool }
	of := func(o client.Object) service {
		pod, ok := o.(*corev1.Pod)
		if !ok {
			return service{}
		}
		return service{safeguard.Living(pod), safeguard.Held(pod), workload.Ready(pod), pod.DeletionTimestamp != nil}
	}
	return predicate.Funcs{UpdateFunc: func(e event.UpdateEvent) bool {
		return of(e.ObjectOld) != of(e.ObjectNew) || !apiequality.Semantic.DeepEqual(e.ObjectOld.GetLabels(), e.ObjectNew.GetLabels())
	}}
}

// concerned names a model if clients of it may have to go somewhere else, and those whose fallback it is.
func (r *Reconciler) concerned(ctx context.Context, o client.Object) []reconcile.Request {
	return r.concernedBy(ctx, types.NamespacedName{Namespace: o.GetNamespace(), Name: o.GetName()})
}

func (r *Reconciler) concernedByPod(ctx context.Context, pod client.Object) []reconcile.Request {
	return r.concernedBy(ctx, types.NamespacedName{Namespace: pod.GetNamespace(), Name: pod.GetLabels()[v1alpha1.ModelLabel]})
}

func (r *Reconciler) concernedBy(ctx context.Context, model types.NamespacedName) []reconcile.Request {
	all := r.models(ctx, model.Namespace, model.Name)
	md := &v1alpha1.ModelDeployment{}
	err := r.Client.Get(ctx, model, md)
	if err == nil && (md.Spec.Fallback != nil || told(md)) || len(r.Traffic.TurnedFor(model))+len(r.Traffic.OwnedFor(model)) > 0 {
		all = append(all, reconcile.Request{NamespacedName: model})
	}
	return all
}

// allOf names the models of a namespace that name a fallback.
func (r *Reconciler) allOf(ctx context.Context, ns client.Object) []reconcile.Request {
	return r.models(ctx, ns.GetName(), Any)
}

func (r *Reconciler) allIn(ctx context.Context, clearances client.Object) []reconcile.Request {
	return r.models(ctx, clearances.GetNamespace(), Any)
}

// Any is the value in the index of models that name a fallback, whichever: no model has such a name.
const Any = "*"

// Indexed gives what a ModelDeployment is found by in the index ByFallback.
func Indexed(o client.Object) []string {
	md, ok := o.(*v1alpha1.ModelDeployment)
	if !ok || md.Spec.Fallback == nil {
		return nil
	}
	return []string{Any, md.Spec.Fallback.ModelDeployment}
}

func (r *Reconciler) models(ctx context.Context, namespace, fallback string) []reconcile.Request {
	list := &v1alpha1.ModelDeploymentList{}
	if err := r.Client.List(ctx, list, client.InNamespace(namespace), client.MatchingFields{ByFallback: fallback}, client.UnsafeDisableDeepCopy); err != nil {
		ctrl.LoggerFrom(ctx).Error(err, "List ModelDeployments")
		return nil
	}
	var all []reconcile.Request
	for i := range list.Items {
		all = append(all, reconcile.Request{NamespacedName: client.ObjectKeyFromObject(&list.Items[i])})
	}
	return all
}
