// Package retry says how soon a controller tries again what has failed.
package retry

import (
	"time"

	"k8s.io/client-go/util/workqueue"
	"sigs.k8s.io/controller-runtime/pkg/reconcile"
)

// longest is the longest that a request waits. The default of a quarter of an hour would let deadlines of a policy pass,
// and a revocation wait, long after what had failed is well again.
const longest = 10 * time.Second

// Limiter returns the rate limiter of a controller.
func Limiter() workqueue.TypedRateLimiter[reconcile.Request] {
	return workqueue.NewTypedItemExponentialFailureRateLimiter[reconcile.Request](5*time.Millisecond, longest)
}
