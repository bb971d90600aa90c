// Package fresh proves that what the operator holds in its caches is current, before anything is loosened by it.
//
// A cache may be behind without knowing it: the process was paused, or a watch stands still while its connection lives. To
// tighten by what is old does no harm. To loosen by it frees what was revoked meanwhile. So whoever loosens takes a Proof
// first, decides by what the caches hold after that, and binds its writes to the proof.
//
// It may import the API types, internal/admission and metrics, and no other controller.
package fresh

import (
	"context"
	"errors"
	"net/http"
	"sync"
	"time"

	"k8s.io/utils/clock"
)

const (
	// bound is how long a proof holds: a write that loosens rests on nothing older.
	bound = 5 * time.Second
	// longestGap is how long the process may stand still before all proofs end. A machine under load does for less.
	longestGap = time.Second
	// beat is how often it is noted that the process runs.
	beat = 100 * time.Millisecond
)

// ErrLapsed says that a proof ended before what rests on it was sent.
var ErrLapsed = errors.New("what this rests on may be out of date: it is read again")

// Pulse notices that the process stood still, or that another one may lead.
type Pulse struct {
	clock clock.PassiveClock
	lead  *Lead

	mu   sync.Mutex
	last time.Time
	gaps int
}

// NewPulse begins a pulse of an operator that leads by a lock, or by none. Run keeps it going.
func NewPulse(c clock.PassiveClock, lead *Lead) *Pulse {
	return &Pulse{clock: c, lead: lead, last: c.Now()}
}

// Run notes that the process runs, until the context ends.
func (p *Pulse) Run(ctx context.Context) {
	ticker := clock.RealClock{}.NewTicker(beat)
	defer ticker.Stop()
	for {
		select {
		case <-ticker.C():
			p.look()
		case <-ctx.Done():
			return
		}
	}
}

// look gives the time, and how often the process has stood still until now.
func (p *Pulse) look() (now time.Time, gaps int) {
	p.mu.Lock()
	defer p.mu.Unlock()
	now = p.clock.Now()
	if elapsed(p.last, now) > longestGap {
		p.gaps++
	}
	p.last = now
	return now, p.gaps
}

// elapsed goes by the clock that shows more: one of them stands still while a machine sleeps.
func elapsed(from, to time.Time) time.Duration {
	return max(to.Sub(from), to.Round(0).Sub(from.Round(0)))
}

// Begin gives a proof of what is read from now on.
func (p *Pulse) Begin() Proof {
	now, gaps := p.look()
	return Proof{pulse: p, at: now, gaps: gaps}
}

// Proof says that the caches held, at one time, all that had been written until then. The zero value proves nothing.
type Proof struct {
	pulse *Pulse
	at    time.Time
	gaps  int
}

// Holds says whether the proof is young enough, the process has not stood still since, and nobody else can lead.
func (p Proof) Holds() bool { return p.within(bound) }

func (p Proof) within(age time.Duration) bool {
	if p.pulse == nil {
		return false
	}
	now, gaps := p.pulse.look()
	return gaps == p.gaps && elapsed(p.at, now) <= age && p.pulse.lead.Holds()
}

// older gives the one of two proofs that ends first.
func (p Proof) older(other Proof) Proof {
	if p.pulse == nil || other.pulse != nil && p.at.Before(other.at) {
		return p
	}
	return other
}

type boundTo struct{}

// Bind lets the writes that are made with the context be sent only while all the proofs hold. See Transport.
func Bind(ctx context.Context, proofs ...Proof) context.Context {
	if len(proofs) == 0 {
		return ctx
	}
	first := proofs[0]
	for _, p := range proofs[1:] {
		first = first.older(p)
	}
	return context.WithValue(ctx, boundTo{}, first)
}

// lapsed says whether a request is bound to a proof that does not hold any more.
func lapsed(request *http.Request) bool {
	proof, isBound := request.Context().Value(boundTo{}).(Proof)
	return isBound && request.Method != http.MethodGet && !proof.Holds()
}
