// Package podrules keeps which pod rules the API server enforces, on the way from the controller that puts them there to
// the one that decides on models: a model must not be cleared on the strength of a rule that nobody enforces yet.
package podrules

import (
	"fmt"
	"sync"
	"time"

	"k8s.io/apimachinery/pkg/types"
	"k8s.io/utils/clock"
	"sigs.k8s.io/controller-runtime/pkg/event"
	"sigs.k8s.io/controller-runtime/pkg/handler"
	"sigs.k8s.io/controller-runtime/pkg/source"

	"github.com/interlock-dev/interlock/api/v1alpha1"
)

// settling is how long API servers may take to enforce a policy after it was stored. Each looks once a second whether
// policies have changed, and compiles them then; the rest is for its watch and for a busy machine.
const settling = 2 * time.Second

// Register holds what is known of the pod rule of each Safeguard. It is safe for concurrent use.
type Register struct {
	clock   clock.PassiveClock
	mu      sync.Mutex
	rules   map[types.UID]state
	changes chan event.GenericEvent
}

// state of the pod rule of one generation of a Safeguard.
type state struct {
	generation int64
	// inForce is from when the API servers enforce the rule.
	inForce time.Time
	// refused says why they never will.
	refused error
}

// NewRegister returns a Register that knows of no rule.
func NewRegister(c clock.PassiveClock) *Register {
	return &Register{clock: c, rules: map[types.UID]state{}, changes: make(chan event.GenericEvent, 1)}
}

// Set notes of all Safeguards with a pod rule whether the API server has just stored it, or refused it. Renewed says that
// what it had stored had been tampered with, so that all rules come into force anew.
func (r *Register) Set(stored []*v1alpha1.Safeguard, refused map[types.UID]error, renewed bool) {
	r.mu.Lock()
	defer r.mu.Unlock()
	rules := map[types.UID]state{}
	changed := false
	for _, sg := range stored {
		now := state{generation: sg.Generation, inForce: r.clock.Now().Add(settling), refused: refused[sg.UID]}
		have, ok := r.rules[sg.UID]
		if ok && !renewed && have.generation == now.generation && (have.refused == nil) == (now.refused == nil) {
			now.inForce = have.inForce
		} else {
			changed = true
		}
		rules[sg.UID] = now
	}
	r.rules = rules
	if !changed {
		return
	}
	select {
	case r.changes <- event.GenericEvent{Object: &v1alpha1.Safeguard{}}:
	default: // One that waits says all there is to say.
	}
}

// Check says how long it takes until the API servers enforce the pod rule of a Safeguard; zero, they do. The error says
// why they never will.
func (r *Register) Check(sg *v1alpha1.Safeguard, now time.Time) (time.Duration, error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	s, ok := r.rules[sg.UID]
	switch {
	case !ok || s.generation != sg.Generation:
		return settling, nil
	case s.refused != nil:
		return 0, fmt.Errorf("the API server does not enforce it: %w", s.refused)
	}
	return max(s.inForce.Sub(now), 0), nil
}

// Changes is a source that wakes the controller that decides on models, through a handler that names them.
func (r *Register) Changes(h handler.EventHandler) source.Source {
	return source.Channel(r.changes, h)
}
