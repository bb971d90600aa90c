package verdicts

import (
	"fmt"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/client-go/util/workqueue"
	"sigs.k8s.io/controller-runtime/pkg/reconcile"
	"sigs.k8s.io/controller-runtime/pkg/source"

	"github.com/interlock-dev/interlock/api/v1alpha1"
	"github.com/interlock-dev/interlock/controllers/fresh"
	"github.com/interlock-dev/interlock/internal/decision"
	"github.com/interlock-dev/interlock/internal/verdict"
)

// woken is a queue that notes which namespaces are to be looked at, and after how long.
type woken struct {
	workqueue.TypedRateLimitingInterface[reconcile.Request]
	mu         sync.Mutex
	namespaces []string
}

func (w *woken) AddAfter(r reconcile.Request, after time.Duration) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if r.Namespace != "" || after <= 0 || after > time.Second {
		w.namespaces = append(w.namespaces, fmt.Sprintf("%s after %s", r, after))
		return
	}
	w.namespaces = append(w.namespaces, r.Name)
}

// since gives what was woken since the last call.
func (w *woken) since() []string {
	w.mu.Lock()
	defer w.mu.Unlock()
	namespaces := w.namespaces
	w.namespaces = nil
	return namespaces
}

func start(t *testing.T, b *Board) *woken {
	t.Helper()
	w := &woken{}
	if err := b.Changes().Start(t.Context(), w); err != nil {
		t.Fatal(err)
	}
	return w
}

func judged(outcome v1alpha1.Outcome, until time.Time) []verdict.Judgement {
	return []verdict.Judgement{{Label: v1alpha1.EnforceLabel, Policy: "rsp", PolicyDigest: "sha256:1", Verdict: decision.Verdict{Outcome: outcome, ValidUntil: until,
		Safeguards: []v1alpha1.SafeguardResult{{Name: "a", Force: v1alpha1.ForceBinding}, {Name: "b", Force: v1alpha1.ForceDiscretionary}}}}}
}

func named(name string) types.NamespacedName {
	return types.NamespacedName{Namespace: "serving", Name: name}
}

var nine = time.Date(2026, 5, 14, 9, 0, 0, 0, time.UTC)

func TestBoard(t *testing.T) {
	b := NewBoard()
	if _, decided := b.Get(named("opus")); decided {
		t.Error("decided before anything was put")
	}
	b.Put(named("opus"), judged(v1alpha1.OutcomeHeld, time.Time{}), fresh.Proof{}) // before anybody listens
	w := start(t, b)

	for _, step := range []struct {
		name string
		do   func()
		want []string
	}{
		{"the same again", func() { b.Put(named("opus"), judged(v1alpha1.OutcomeHeld, time.Time{}), fresh.Proof{}) }, nil},
		{"another outcome", func() { b.Put(named("opus"), judged(v1alpha1.OutcomeCleared, nine), fresh.Proof{}) }, []string{"serving"}},
		{"the same, decided anew", func() { b.Put(named("opus"), judged(v1alpha1.OutcomeCleared, nine), fresh.Proof{}) }, nil},
		{"another end", func() { b.Put(named("opus"), judged(v1alpha1.OutcomeCleared, nine.Add(time.Minute)), fresh.Proof{}) }, []string{"serving"}},
		{"another model", func() { b.Put(named("haiku"), judged(v1alpha1.OutcomeCleared, nine), fresh.Proof{}) }, []string{"serving"}},
		{"no judgement any more", func() { b.Put(named("haiku"), nil, fresh.Proof{}) }, []string{"serving"}},
		{"a namesake elsewhere", func() {
			b.Put(types.NamespacedName{Namespace: "other", Name: "opus"}, judged(v1alpha1.OutcomeCleared, nine), fresh.Proof{})
		}, []string{"other"}},
		{"dropped", func() { b.Drop(named("haiku")) }, []string{"serving"}},
	} {
		step.do()
		if diff := cmp.Diff(step.want, w.since()); diff != "" {
			t.Errorf("%s wakes (-want +got):\n%s", step.name, diff)
		}
	}

	got, decided := b.Get(named("opus"))
	if diff := cmp.Diff(judged(v1alpha1.OutcomeCleared, nine.Add(time.Minute)), got); !decided || diff != "" {
		t.Errorf("opus, decided %v (-want +got):\n%s", decided, diff)
	}
	if _, decided := b.Get(named("haiku")); decided {
		t.Error("haiku is dropped and still there")
	}
}

func TestDecidedWithoutJudgementIsDecided(t *testing.T) {
	b := NewBoard()
	b.Put(named("opus"), nil, fresh.Proof{})
	if judgements, decided := b.Get(named("opus")); !decided || len(judgements) != 0 {
		t.Errorf("decided: %v, %v: a model of a namespace that is not enrolled keeps its old clearance for ever", decided, judgements)
	}
}

func TestCount(t *testing.T) {
	b := NewBoard()
	b.Put(named("a"), judged(v1alpha1.OutcomeCleared, nine), fresh.Proof{})
	b.Put(named("b"), judged(v1alpha1.OutcomeCleared, nine), fresh.Proof{})
	b.Put(named("c"), judged(v1alpha1.OutcomeRevoked, nine), fresh.Proof{})
	b.Put(named("not-enrolled"), nil, fresh.Proof{})
	missing := judged(v1alpha1.OutcomeHeld, nine)
	missing[0].PolicyDigest, missing[0].Policy = "", "a name that anybody may have put on a namespace"
	b.Put(named("d"), missing, fresh.Proof{})
	tried := append(judged(v1alpha1.OutcomeCleared, nine), judged(v1alpha1.OutcomeHeld, nine)[0], judged(v1alpha1.OutcomeHeld, nine)[0])
	tried[1].Label, tried[1].Policy, tried[2].Label = v1alpha1.WarnLabel, "next", v1alpha1.AuditLabel
	b.Put(named("e"), tried, fresh.Proof{})
	got := map[string]int{}
	for standing, n := range b.Count() {
		got[standing.Mode+" "+standing.Policy+" "+standing.Outcome] = n
	}
	want := map[string]int{"enforce rsp Cleared": 3, "enforce rsp Revoked": 1, "enforce  Held": 1, "warn next Held": 1, "audit rsp Held": 1}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("count (-want +got):\n%s", diff)
	}
}

func TestBoardServesManyAtOnce(t *testing.T) {
	b := NewBoard()
	w := start(t, b)
	var wg sync.WaitGroup
	for worker := range 8 {
		wg.Go(func() {
			for i := range 200 {
				model := named(fmt.Sprintf("model-%d", worker))
				b.Put(model, judged(v1alpha1.OutcomeCleared, nine.Add(time.Duration(i)*time.Second)), fresh.Proof{})
				if judgements, decided := b.Get(model); !decided || !judgements[0].Verdict.ValidUntil.Equal(nine.Add(time.Duration(i)*time.Second)) {
					t.Errorf("put %d, got %v", i, judgements)
				}
				b.Count()
				if i%50 == 49 {
					b.Drop(model)
				}
			}
		})
	}
	wg.Wait()
	if namespaces := w.since(); len(namespaces) != 8*(200+4) || len(slices.Compact(namespaces)) != 1 {
		t.Errorf("woken %d times: %v", len(namespaces), slices.Compact(namespaces))
	}
}

// asking is a queue that asks the board before it takes a request, as fair queues do.
type asking struct {
	workqueue.TypedRateLimitingInterface[reconcile.Request]
	board *Board
	asked int
}

func (a *asking) Add(r reconcile.Request) {
	a.board.Get(r.NamespacedName)
	a.asked++
}

func TestWhoIsToldMayAsk(t *testing.T) {
	b := NewBoard()
	q := &asking{board: b}
	for _, s := range []source.Source{b.Models(), b.Recalled()} {
		if err := s.Start(t.Context(), q); err != nil {
			t.Fatal(err)
		}
	}
	b.Put(named("opus"), judged(v1alpha1.OutcomeHeld, time.Time{}), fresh.Proof{})
	b.Remember(named("opus"), decision.Shortfall{}, decision.Shortfall{Since: nine}, nine)
	b.Recall(named("opus"))
	b.Drop(named("opus"))
	if q.asked != 4 {
		t.Errorf("told %d times, want 4", q.asked)
	}
}
