package record

import (
	"fmt"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"k8s.io/apimachinery/pkg/types"
	clocktesting "k8s.io/utils/clock/testing"

	"github.com/interlock-dev/interlock/internal/record"
)

// TestAFloodIsCoalesced: of a namespace whose models change twice a second no more is written than its pace allows, and
// what is written says for how many decisions it stands; another namespace is not kept waiting.
func TestAFloodIsCoalesced(t *testing.T) {
	const models, flaps = 50, 40
	store := &memory{}
	clock := clocktesting.NewFakeClock(start)
	r := NewRecorder(store, record.Verifier{ID: "operator"}, clock, func() bool { return true })
	note := func(model types.NamespacedName, clears bool) bool {
		d := decided(model.Name, revoked, "Lost")
		if clears {
			d = decided(model.Name, cleared, "R")
		}
		d.Model, d.At = model, clock.Now()
		return r.Note(d)
	}
	write := func() {
		t.Helper()
		if err := r.Write(t.Context()); err != nil {
			t.Fatal(err)
		}
	}
	flapping := func(i int) types.NamespacedName {
		return types.NamespacedName{Namespace: "noisy", Name: fmt.Sprintf("m%d", i)}
	}
	for i := range 2 * flaps {
		for m := range models {
			note(flapping(m), i%2 == 1)
		}
		write()
		clock.Step(time.Second / 2)
	}
	allowed := atOnce + atOncePerModels*models + perSecond*flaps
	if n := len(store.entries); n > allowed || n < atOnce {
		t.Errorf("%d entries of %d decisions, want no more than %d", n, 2*flaps*models, allowed)
	}
	other := types.NamespacedName{Namespace: "quiet", Name: "llm"}
	note(other, true)
	write()
	if !note(other, true) {
		t.Error("another namespace waits as well")
	}
	if n := len(r.pace); n != 2 {
		t.Errorf("the pace of %d namespaces is kept", n)
	}

	waits := r.Failure(flapping(0)) + r.Failure(flapping(1)) + r.Failure(flapping(2))
	if r.next <= 0 || waits == "" {
		t.Errorf("goes on in %s, and says %q", r.next, waits)
	}
	for range models {
		clock.Step(time.Second)
		write()
	}
	if n, _ := r.Backlog(); n != 0 {
		t.Errorf("%d wait for ever", n)
	}
	told, chains := map[string]int{}, record.NewChains(record.Snapshot{})
	for i, e := range store.entries {
		if err := chains.Follow(uint64(i), []byte(e)); err != nil {
			t.Fatal(err)
		}
		s, err := record.Parse([]byte(e))
		if err != nil {
			t.Fatal(err)
		}
		n := 1
		if c := s.Predicate.Coalesced; c != nil {
			n = c.Changes
		}
		told[s.Predicate.Model.Name] += n
	}
	all := 0
	for m := range models {
		all += told[flapping(m).Name]
		if !note(flapping(m), true) {
			t.Errorf("%s is not recorded as cleared", flapping(m))
		}
	}
	if all <= len(store.entries) {
		t.Errorf("%d decisions are told by %d entries: none says for how many it stands", all, len(store.entries))
	}
	clock.Step(time.Hour)
	write()
	if diff := cmp.Diff(0, len(r.pace)); diff != "" {
		t.Errorf("the pace of namespaces is kept for ever: %s", diff)
	}
}
