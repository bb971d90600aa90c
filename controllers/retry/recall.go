package retry

import (
	"context"
	"time"

	"k8s.io/apimachinery/pkg/types"
	"k8s.io/apimachinery/pkg/util/wait"
	"k8s.io/client-go/util/workqueue"
	ctrl "sigs.k8s.io/controller-runtime"
	"sigs.k8s.io/controller-runtime/pkg/reconcile"
	"sigs.k8s.io/controller-runtime/pkg/source"
)

// Recall is a source of requests for what a process before this one has left to be seen to. Until it is found without an
// error it is looked for again.
func Recall(what string, find func(context.Context) ([]types.NamespacedName, error)) source.Source {
	return source.Func(func(ctx context.Context, q workqueue.TypedRateLimitingInterface[reconcile.Request]) error {
		go func() {
			_ = wait.PollUntilContextCancel(ctx, 5*time.Second, true, func(ctx context.Context) (bool, error) {
				found, err := find(ctx)
				for _, name := range found {
					q.Add(reconcile.Request{NamespacedName: name})
				}
				if err != nil {
					ctrl.LoggerFrom(ctx).Error(err, "Find what was left to be seen to", "what", what)
				}
				return err == nil, nil
			})
		}()
		return nil
	})
}
