package wake

import (
	"context"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/client-go/util/workqueue"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/event"
	"sigs.k8s.io/controller-runtime/pkg/handler"
	"sigs.k8s.io/controller-runtime/pkg/reconcile"

	"github.com/interlock-dev/interlock/internal/admission"
	"github.com/interlock-dev/interlock/internal/workload"
)

// OnClearances gives a handler that wakes the models whose clearance has changed, which of a thousand are few. It tells the
// intruders which model has lost its clearance, and which has one again.
func OnClearances(models *Models, intruders *workload.Intruders) handler.EventHandler {
	all := func(ctx context.Context, clearances client.Object, q queue) {
		for _, request := range models.Beside(ctx, clearances) {
			q.Add(request)
		}
	}
	return handler.Funcs{
		CreateFunc:  func(ctx context.Context, e event.CreateEvent, q queue) { all(ctx, e.Object, q) },
		DeleteFunc:  func(ctx context.Context, e event.DeleteEvent, q queue) { all(ctx, e.Object, q) },
		GenericFunc: func(ctx context.Context, e event.GenericEvent, q queue) { all(ctx, e.Object, q) },
		UpdateFunc: func(ctx context.Context, e event.UpdateEvent, q queue) {
			before, ok1 := e.ObjectOld.(*corev1.LimitRange)
			after, ok2 := e.ObjectNew.(*corev1.LimitRange)
			if !ok1 || !ok2 || admission.PolicyOf(before.Annotations) != admission.PolicyOf(after.Annotations) {
				all(ctx, e.ObjectNew, q)
				return
			}
			for _, model := range admission.Changed(before.Annotations, after.Annotations) {
				request := Requests(after.Namespace, model)[0]
				had, has := admission.Find(before.Annotations, model).Cleared(), admission.Find(after.Annotations, model).Cleared()
				switch {
				case has:
					intruders.Regained(request.NamespacedName)
				case had:
					intruders.Lost(request.NamespacedName, after.ResourceVersion)
				}
				q.Add(request)
			}
		}}
}

type queue = workqueue.TypedRateLimitingInterface[reconcile.Request]
