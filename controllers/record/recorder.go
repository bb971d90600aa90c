// Package record writes each change of a verdict into the decision record, and says which are there.
//
// A clearance takes effect only once it is there. What takes a clearance away waits for nothing, and is written as soon as
// that can be done.
package record

import (
	"context"
	"fmt"
	"sync"
	"time"

	"k8s.io/apimachinery/pkg/types"
	"k8s.io/client-go/util/workqueue"
	"k8s.io/utils/clock"
	"sigs.k8s.io/controller-runtime/pkg/log"
	"sigs.k8s.io/controller-runtime/pkg/reconcile"
	"sigs.k8s.io/controller-runtime/pkg/source"

	"github.com/interlock-dev/interlock/controllers/metrics"
	"github.com/interlock-dev/interlock/internal/decision"
	"github.com/interlock-dev/interlock/internal/record"
)

const (
	// maxBatch is the most entries that are written at once.
	maxBatch = 256
	// maxWaiting is how many decisions on one model wait at the most while the log cannot be written: the last two become one.
	maxWaiting = 16
	// maxFailure is the longest that a failure is worded.
	maxFailure = 300
	// The waits between attempts to write a log that could not be written.
	firstRetry, lastRetry = 100 * time.Millisecond, 5 * time.Second
	// ending is how long an operator that ends waits for the last checkpoint.
	ending = 3 * time.Second
)

// Store is where the record is kept.
type Store interface {
	// Open opens the store, anew if it has failed, and gives the chains to follow it with: those given, or what it knows.
	Open(ctx context.Context, chains *record.Chains) (*record.Chains, error)
	// Append lets the chains follow what others have written, writes the entries that next makes then, and lets the chains
	// follow these.
	Append(ctx context.Context, chains *record.Chains, next func() ([][]byte, error)) error
	// Close ends in order.
	Close(ctx context.Context, chains *record.Chains) error
}

// Recorder writes the record. It is safe for concurrent use.
type Recorder struct {
	store Store
	by    record.Verifier
	clock clock.Clock
	leads func() bool
	work  chan struct{}
	// following are the chains that Start reads and writes by; they become chains when all is read.
	following *record.Chains

	mu sync.Mutex
	// chains are nil until the record was read.
	chains  *record.Chains
	waiting map[types.NamespacedName][]record.Decision
	// refused are decisions that can never be written, and why.
	refused map[types.NamespacedName]refusal
	// failure says why nothing can be written.
	failure string
	// pace of each namespace, and next is how long until one may go on that had to wait; zero, none had to.
	pace pace
	next time.Duration
	// slowed are the models that have to wait for that.
	slowed map[types.NamespacedName]bool
	queue  workqueue.TypedRateLimitingInterface[reconcile.Request]
}

type refusal struct{ content, why string }

// NewRecorder returns a Recorder that has read nothing yet, for decisions of a verifier.
func NewRecorder(store Store, by record.Verifier, c clock.Clock, leads func() bool) *Recorder {
	return &Recorder{store: store, by: by, clock: c, leads: leads, work: make(chan struct{}, 1),
		waiting: map[types.NamespacedName][]record.Decision{}, refused: map[types.NamespacedName]refusal{}, pace: pace{}, slowed: map[types.NamespacedName]bool{}}
}

// Note takes a decision that is to be recorded unless it is what was recorded last, and says whether it is there. When
// that changes, the model is looked at again.
func (r *Recorder) Note(d record.Decision) (recorded bool) {
	r.mu.Lock()
	defer r.mu.Unlock()
	content, waiting := d.Content(), r.waiting[d.Model]
	if n := len(waiting); n > 0 && waiting[n-1].Content() == content || r.refused[d.Model].content == content {
		return false
	}
	delete(r.refused, d.Model)
	if n := len(waiting); n > 0 && (waiting[n-1].Clears() || n == maxWaiting) {
		d, waiting = d.After(waiting[n-1]), waiting[:n-1]
	}
	if len(waiting) == 0 && d.Changes == 0 && r.chains != nil && is(r.chains, d, content) {
		delete(r.waiting, d.Model)
		return true
	}
	r.waiting[d.Model] = append(waiting, d)
	select {
	case r.work <- struct{}{}:
	default: // It will be seen.
	}
	return false
}

// is says whether a decision is the last of its model, or the end of what has not begun.
func is(chains *record.Chains, d record.Decision, content string) bool {
	last, known := chains.Last(d.Model)
	return known && last.Content == content || !known && d.Ends()
}

// Failure says why a decision on a model that waits is not recorded; empty when nothing is known to be wrong.
func (r *Recorder) Failure(model types.NamespacedName) string {
	r.mu.Lock()
	defer r.mu.Unlock()
	if why := r.refused[model].why; why != "" {
		return why
	}
	if r.slowed[model] && r.failure == "" {
		return fmt.Sprintf("the verdicts of namespace %s change faster than they are recorded, which is %d a second at the most", model.Namespace, perSecond)
	}
	return r.failure
}

// Backlog counts the decisions that wait, and says how long the oldest has.
func (r *Recorder) Backlog() (n int, age time.Duration) {
	r.mu.Lock()
	defer r.mu.Unlock()
	for _, waiting := range r.waiting {
		n += len(waiting)
		age = max(age, r.clock.Since(waiting[0].At))
	}
	return n, age
}

// Changes is a source of requests that name the models to be looked at again.
func (r *Recorder) Changes() source.Source {
	return source.Func(func(_ context.Context, queue workqueue.TypedRateLimitingInterface[reconcile.Request]) error {
		r.mu.Lock()
		defer r.mu.Unlock()
		r.queue = queue
		r.wakeRecorded()
		return nil
	})
}

// wakeRecorded has all models looked at of which the record speaks: one may have been deleted while nobody led.
func (r *Recorder) wakeRecorded() {
	if r.chains == nil || r.queue == nil {
		return
	}
	for _, l := range r.chains.Snapshot().Last {
		r.wake(types.NamespacedName(l.Model))
	}
}

// NeedLeaderElection lets the leader alone write.
func (r *Recorder) NeedLeaderElection() bool { return true }

// Start writes until the context ends.
func (r *Recorder) Start(ctx context.Context) error {
	retry := firstRetry
	for {
		work, again := r.work, (<-chan time.Time)(nil)
		if err := r.Write(ctx); err != nil && ctx.Err() == nil {
			log.FromContext(ctx).Error(err, "Write the decision record; new clearances wait")
			r.fail(err)
			work, again = nil, r.clock.After(retry) // not at each new decision
			retry = min(2*retry, lastRetry)
		} else {
			retry = firstRetry
		}
		if again == nil && r.next > 0 {
			again = r.clock.After(r.next)
		}
		select {
		case <-ctx.Done():
			return r.finish()
		case <-again:
		case <-work:
		}
	}
}

func (r *Recorder) finish() error {
	ctx, cancel := context.WithTimeout(context.Background(), ending)
	defer cancel()
	if r.following == nil {
		return nil
	}
	return r.store.Close(ctx, r.following)
}

// Write writes all that waits, in batches. Start does so whenever something does.
func (r *Recorder) Write(ctx context.Context) error {
	if r.following == nil || r.failure != "" {
		chains, err := r.store.Open(ctx, r.following)
		if err != nil {
			return err
		}
		r.following = chains
	}
	for {
		var taken []record.Decision
		err := r.store.Append(ctx, r.following, func() (entries [][]byte, err error) {
			entries, taken = r.entries(r.following)
			return entries, nil
		})
		if err != nil {
			return err
		}
		if left := r.done(taken); left == 0 || len(taken) == 0 {
			return nil
		}
	}
}

// entries makes the next entry of each model on which a decision waits, and says which decisions it has seen to. Where a
// namespace must wait, the decisions on a model become one, which tells for how many it stands.
func (r *Recorder) entries(chains *record.Chains) (entries [][]byte, taken []record.Decision) {
	r.mu.Lock()
	defer r.mu.Unlock()
	now := r.clock.Now()
	r.pace.forget(now)
	r.next = 0
	if !r.leads() { // another operator decides now, and writes it down
		return nil, nil
	}
	for model, waiting := range r.waiting {
		if len(entries) == maxBatch {
			break
		}
		d := waiting[0]
		if d.Changes == 0 && is(chains, d, d.Content()) {
			taken = append(taken, d)
			continue
		}
		if wait := r.pace.take(model.Namespace, now, chains.Living); wait > 0 {
			for _, later := range waiting[1:] {
				d = later.After(d)
			}
			r.waiting[model] = []record.Decision{d}
			if !r.slowed[model] {
				r.slowed[model] = true
				r.wake(model) // for people to be told
			}
			if r.next == 0 || wait < r.next {
				r.next = wait
			}
			continue
		}
		taken = append(taken, d)
		last, _ := chains.Last(model)
		entry, err := d.Entry(r.by, last)
		if err != nil {
			r.refused[model] = refusal{d.Content(), decision.OneLine(err.Error(), maxFailure)}
			continue
		}
		entries = append(entries, entry)
	}
	return entries, taken
}

// done lets go of what was seen to, wakes its models, and says how many decisions are left.
func (r *Recorder) done(taken []record.Decision) (left int) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.failure = ""
	if r.chains == nil {
		r.chains = r.following
		r.wakeRecorded()
	}
	for i := range taken {
		d := &taken[i]
		delete(r.slowed, d.Model)
		switch waiting := r.waiting[d.Model]; {
		case len(waiting) == 0 || waiting[0].Content() != d.Content():
		case len(waiting) == 1:
			delete(r.waiting, d.Model)
		default:
			r.waiting[d.Model] = waiting[1:]
		}
		r.wake(d.Model)
	}
	return len(r.waiting)
}

// fail notes a failure, of which the first wording stays until the record is written again, and wakes whoever waits.
func (r *Recorder) fail(err error) {
	metrics.RecordFailures.Inc()
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.failure == "" {
		r.failure = decision.OneLine(err.Error(), maxFailure)
	}
	for model := range r.waiting {
		r.wake(model)
	}
}

func (r *Recorder) wake(model types.NamespacedName) {
	if r.queue != nil {
		r.queue.Add(reconcile.Request{NamespacedName: model})
	}
}
