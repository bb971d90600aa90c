// Package verdicts keeps what was decided of each model in memory, on its way from the controller that decides to the one
// that has it enforced. A restarted operator begins with none, and so clears nothing that it has not decided again.
package verdicts

import (
	"context"
	"reflect"
	"sync"
	"time"

	"k8s.io/apimachinery/pkg/types"
	"k8s.io/client-go/util/workqueue"
	"sigs.k8s.io/controller-runtime/pkg/reconcile"
	"sigs.k8s.io/controller-runtime/pkg/source"

	"github.com/interlock-dev/interlock/api/v1alpha1"
	"github.com/interlock-dev/interlock/controllers/fresh"
	"github.com/interlock-dev/interlock/controllers/metrics"
	"github.com/interlock-dev/interlock/internal/verdict"
)

// gathering is how long the first change of a namespace waits for others, so that many models need one write.
const gathering = 10 * time.Millisecond

// Board holds the judgements on every model. It is safe for concurrent use.
type Board struct {
	mu     sync.Mutex
	models map[types.NamespacedName][]verdict.Judgement
	// proofs say how fresh that was on which the judgements rest.
	proofs map[types.NamespacedName]fresh.Proof
	// shortfalls that were noted since this process began. One that is over is there for a while, to be taken off what is written.
	shortfalls map[types.NamespacedName]noted
	// listeners are told of each model that was decided anew.
	listeners []listener
	// recallers are told of each model that is to be decided anew.
	recallers []listener
}

type listener = func(model types.NamespacedName)

// NewBoard returns a Board with nothing on it.
func NewBoard() *Board {
	return &Board{models: map[types.NamespacedName][]verdict.Judgement{}, proofs: map[types.NamespacedName]fresh.Proof{}, shortfalls: map[types.NamespacedName]noted{}}
}

// Put notes the judgements on a model, and wakes who listens if they have changed. What loosens by them has to be written
// while the proof holds.
func (b *Board) Put(model types.NamespacedName, judgements []verdict.Judgement, proof fresh.Proof) {
	b.note(model, func() []listener {
		have, ok := b.models[model]
		b.models[model], b.proofs[model] = judgements, proof
		if ok && reflect.DeepEqual(have, judgements) {
			return nil
		}
		return b.listeners
	})
}

// Proven is Get, and says how fresh that was on which the judgements rest.
func (b *Board) Proven(model types.NamespacedName) (judgements []verdict.Judgement, proof fresh.Proof, decided bool) {
	b.mu.Lock()
	defer b.mu.Unlock()
	judgements, decided = b.models[model]
	return judgements, b.proofs[model], decided
}

// Recall forgets the judgements on a model, since they may rest on what is out of date, and has it decided anew.
func (b *Board) Recall(model types.NamespacedName) {
	b.note(model, func() []listener {
		b.forget(model)
		return b.recallers
	})
}

// Recalled is a source of requests that name the models to be decided anew.
func (b *Board) Recalled() source.Source {
	return source.Func(func(_ context.Context, q queue) error {
		b.mu.Lock()
		defer b.mu.Unlock()
		b.recallers = append(b.recallers, func(model types.NamespacedName) { q.Add(reconcile.Request{NamespacedName: model}) })
		return nil
	})
}

func (b *Board) forget(model types.NamespacedName) {
	delete(b.models, model)
	delete(b.proofs, model)
}

// Drop forgets a model that is gone.
func (b *Board) Drop(model types.NamespacedName) {
	b.note(model, func() []listener {
		b.forget(model)
		return b.listeners
	})
}

// Get gives the judgements on a model; false when it has not been decided yet.
func (b *Board) Get(model types.NamespacedName) ([]verdict.Judgement, bool) {
	b.mu.Lock()
	defer b.mu.Unlock()
	judgements, ok := b.models[model]
	return judgements, ok
}

// note changes what is on the board of a model, and then tells those whom the change names. They may ask the board in turn, so
// it is not locked by then.
func (b *Board) note(model types.NamespacedName, change func() []listener) {
	b.mu.Lock()
	told := change()
	b.mu.Unlock()
	for _, tell := range told {
		tell(model)
	}
}

type queue = workqueue.TypedRateLimitingInterface[reconcile.Request]

// Changes is a source of requests that name the namespaces whose models were decided anew.
func (b *Board) Changes() source.Source {
	return b.source(func(q queue, model types.NamespacedName) {
		q.AddAfter(reconcile.Request{NamespacedName: types.NamespacedName{Name: model.Namespace}}, gathering)
	})
}

// Models is a source of requests that name the models that were decided anew.
func (b *Board) Models() source.Source {
	return b.source(func(q queue, model types.NamespacedName) { q.Add(reconcile.Request{NamespacedName: model}) })
}

func (b *Board) source(add func(queue, types.NamespacedName)) source.Source {
	return source.Func(func(_ context.Context, q queue) error {
		b.mu.Lock()
		defer b.mu.Unlock()
		b.listeners = append(b.listeners, func(model types.NamespacedName) { add(q, model) })
		return nil
	})
}

// modes are what a namespace does with a policy, by the label that names it.
var modes = map[string]string{v1alpha1.EnforceLabel: "enforce", v1alpha1.WarnLabel: "warn", v1alpha1.AuditLabel: "audit"}

// Count counts the models by the verdict under each policy that their namespace names.
func (b *Board) Count() map[metrics.Standing]int {
	b.mu.Lock()
	defer b.mu.Unlock()
	n := map[metrics.Standing]int{}
	for _, judgements := range b.models {
		for _, j := range judgements {
			s := metrics.Standing{Mode: modes[j.Label], Outcome: string(j.Verdict.Outcome)}
			if j.PolicyDigest != "" {
				s.Policy = j.Policy
			}
			n[s]++
		}
	}
	return n
}

// CountWaived counts, by the policy that is enforced, the safeguards from which waivers excuse models or single pods.
func (b *Board) CountWaived() map[string]metrics.Waived {
	b.mu.Lock()
	defer b.mu.Unlock()
	n := map[string]metrics.Waived{}
	for _, judgements := range b.models {
		j, ok := verdict.Under(judgements, v1alpha1.EnforceLabel)
		if !ok || j.PolicyDigest == "" {
			continue
		}
		w := n[j.Policy]
		for i := range j.Verdict.Safeguards {
			if s := &j.Verdict.Safeguards[i]; s.State == v1alpha1.SafeguardWaived {
				w.Safeguards++
				if w.FirstEnd.IsZero() || s.ValidUntil.Time.Before(w.FirstEnd) {
					w.FirstEnd = s.ValidUntil.Time
				}
			}
		}
		for _, e := range j.Verdict.Exemptions {
			w.Safeguards++
			if w.FirstEnd.IsZero() || e.Until.Before(w.FirstEnd) {
				w.FirstEnd = e.Until
			}
		}
		n[j.Policy] = w
	}
	return n
}
