package workload

import (
	"slices"

	"k8s.io/apimachinery/pkg/types"
)

// TurnedFor lists what was turned for a model and not returned, sorted.
func (t *Traffic) TurnedFor(model types.NamespacedName) []Ref { return t.ledFor(model, false) }

// OwnedFor lists the Services that were made for a model, sorted.
func (t *Traffic) OwnedFor(model types.NamespacedName) []Ref { return t.ledFor(model, true) }

func (t *Traffic) ledFor(model types.NamespacedName, owned bool) []Ref {
	t.mu.Lock()
	defer t.mu.Unlock()
	var refs []Ref
	for ref, l := range t.led {
		if l.model == model.Name && ref.Namespace == model.Namespace && l.owned == owned {
			refs = append(refs, ref)
		}
	}
	slices.SortFunc(refs, CompareRefs)
	return refs
}

// learn notes what was found, unless more is known.
func (t *Traffic) learn(ref Ref, l led) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if _, known := t.led[ref]; !known {
		t.led[ref] = l
	}
}

func (t *Traffic) note(ref Ref, model string) { t.learn(ref, led{model: model}) }

func (t *Traffic) count(ref Ref, model string) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.led[ref] = led{model: model, turns: t.led[ref].turns + 1}
}

func (t *Traffic) turns(ref Ref) int {
	t.mu.Lock()
	defer t.mu.Unlock()
	return t.led[ref].turns
}

func (t *Traffic) knows(ref Ref) bool {
	t.mu.Lock()
	defer t.mu.Unlock()
	_, ok := t.led[ref]
	return ok
}

func (t *Traffic) forget(ref Ref) {
	t.mu.Lock()
	defer t.mu.Unlock()
	delete(t.led, ref)
}
