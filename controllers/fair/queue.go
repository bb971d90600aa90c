// Package fair queues the work of controllers so that no namespace waits for another.
//
// Each namespace has a lane of its own, and the lanes take turns: what one tenant makes Interlock do, by however many objects,
// delays others by one request at a time. At most half of the workers serve one namespace, so that slow requests of one do not
// occupy them all. Lanes with something urgent go first.
package fair

import (
	"sync"

	"k8s.io/client-go/util/workqueue"
	"sigs.k8s.io/controller-runtime/pkg/controller"
	"sigs.k8s.io/controller-runtime/pkg/reconcile"

	"github.com/interlock-dev/interlock/controllers/metrics"
	"github.com/interlock-dev/interlock/controllers/retry"
)

// ordinaryTurn is the turn, of so many, at which what is not urgent goes first: else it could wait for ever.
const ordinaryTurn = 4

// Options are those of a controller with some workers and a fair queue. A request is urgent if it may revoke something; where
// the function is nil, none is.
func Options(workers int, urgent func(reconcile.Request) bool) controller.Options {
	return controller.Options{
		MaxConcurrentReconciles: workers,
		RateLimiter:             retry.Limiter(),
		NewQueue: func(name string, limiter workqueue.TypedRateLimiter[reconcile.Request]) workqueue.TypedRateLimitingInterface[reconcile.Request] {
			q := newQueue(max(workers/2, 1), urgent)
			metrics.QueueDepth(name, q.Len)
			delaying := workqueue.NewTypedDelayingQueueWithConfig(workqueue.TypedDelayingQueueConfig[reconcile.Request]{Name: name, Queue: q})
			return workqueue.NewTypedRateLimitingQueueWithConfig(limiter,
				workqueue.TypedRateLimitingQueueConfig[reconcile.Request]{Name: name, DelayingQueue: delaying})
		},
	}
}

// queue hands out each request once, however often it was added, and never to two workers at a time.
type queue struct {
	// most is how many requests of one namespace are worked on at once.
	most   int
	urgent func(reconcile.Request) bool

	mu      sync.Mutex
	changed *sync.Cond
	// waiting requests have been added and not been handed out since; those of them that a worker has are in no lane.
	waiting map[reconcile.Request]bool
	working map[reconcile.Request]bool
	// busy counts the requests of each namespace that workers have.
	busy map[string]int
	// pressing holds what is urgent, and ordinary the rest.
	pressing, ordinary lanes
	turn               int
	closed             bool
}

func newQueue(most int, urgent func(reconcile.Request) bool) *queue {
	q := &queue{most: most, urgent: urgent, waiting: map[reconcile.Request]bool{}, working: map[reconcile.Request]bool{}, busy: map[string]int{},
		pressing: lanes{requests: map[string][]reconcile.Request{}}, ordinary: lanes{requests: map[string][]reconcile.Request{}}}
	q.changed = sync.NewCond(&q.mu)
	return q
}

// Add lets a request wait for its turn, unless it does already.
func (q *queue) Add(req reconcile.Request) {
	urgent := q.urgent != nil && q.urgent(req)
	q.mu.Lock()
	defer q.mu.Unlock()
	if q.closed || q.waiting[req] {
		return
	}
	q.waiting[req] = true
	if q.working[req] {
		return
	}
	q.line(req, urgent)
}

func (q *queue) line(req reconcile.Request, urgent bool) {
	if urgent {
		q.pressing.add(req)
	} else {
		q.ordinary.add(req)
	}
	q.changed.Signal()
}

// Get waits for a request whose turn it is.
func (q *queue) Get() (req reconcile.Request, shutdown bool) {
	q.mu.Lock()
	defer q.mu.Unlock()
	for !q.closed {
		if req, ok := q.next(); ok {
			delete(q.waiting, req)
			q.working[req] = true
			q.busy[req.Namespace]++
			return req, false
		}
		q.changed.Wait()
	}
	return req, true
}

func (q *queue) next() (req reconcile.Request, ok bool) {
	first, second := &q.pressing, &q.ordinary
	if q.turn++; q.turn%ordinaryTurn == 0 {
		first, second = second, first
	}
	if req, ok = first.take(q.mayServe); ok {
		return req, true
	}
	return second.take(q.mayServe)
}

func (q *queue) mayServe(namespace string) bool { return q.busy[namespace] < q.most }

// Done says that a worker has done with a request. If it was added meanwhile, it waits again.
func (q *queue) Done(req reconcile.Request) {
	urgent := q.urgent != nil && q.urgent(req)
	q.mu.Lock()
	defer q.mu.Unlock()
	delete(q.working, req)
	if q.busy[req.Namespace]--; q.busy[req.Namespace] == 0 {
		delete(q.busy, req.Namespace)
	}
	if q.waiting[req] {
		q.line(req, urgent)
	}
	q.changed.Signal() // the namespace may be served again
}

// Len counts the requests that wait for a worker.
func (q *queue) Len() int {
	q.mu.Lock()
	defer q.mu.Unlock()
	return len(q.waiting)
}

// ShutDown lets nothing more be handed out.
func (q *queue) ShutDown() {
	q.mu.Lock()
	defer q.mu.Unlock()
	q.closed = true
	q.changed.Broadcast()
}

// ShutDownWithDrain is ShutDown: a controller starts nothing more when it ends.
func (q *queue) ShutDownWithDrain() { q.ShutDown() }

// ShuttingDown says whether it was shut down.
func (q *queue) ShuttingDown() bool {
	q.mu.Lock()
	defer q.mu.Unlock()
	return q.closed
}

// lanes hold the requests of each namespace in order, and whose turn it is.
type lanes struct {
	requests map[string][]reconcile.Request
	// turns are the namespaces that have requests, the next one first.
	turns []string
}

func (l *lanes) add(req reconcile.Request) {
	if len(l.requests[req.Namespace]) == 0 {
		l.turns = append(l.turns, req.Namespace)
	}
	l.requests[req.Namespace] = append(l.requests[req.Namespace], req)
}

// take gives the first request of the first namespace that may be served, which then goes to the end of the line.
func (l *lanes) take(mayServe func(namespace string) bool) (req reconcile.Request, ok bool) {
	for i, namespace := range l.turns {
		if !mayServe(namespace) {
			continue
		}
		lane := l.requests[namespace]
		req, lane = lane[0], lane[1:]
		l.turns = append(l.turns[:i], l.turns[i+1:]...)
		if len(lane) == 0 {
			delete(l.requests, namespace)
		} else {
			l.requests[namespace] = lane
			l.turns = append(l.turns, namespace)
		}
		return req, true
	}
	return req, false
}
