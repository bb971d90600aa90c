// Package check judges a history: what the API server told, in the order in which etcd took it, of pods, clearances and
// their causes. It says where Interlock broke what it promises.
//
// It is pure: it imports nothing but the standard library, and knows no clock. Test it on histories made by hand.
package check

import (
	"cmp"
	"fmt"
	"slices"
	"time"
)

// Kind is what an event tells of.
type Kind string

const (
	// Pod events tell of one pod of a model.
	Pod Kind = "Pod"
	// Clearance events tell of the standing of one model. When it ends counts, not that it was written again.
	Clearance Kind = "Clearance"
	// Cause events tell of an object without which a model may not be cleared.
	Cause Kind = "Cause"
)

// Event is one change.
type Event struct {
	// Revision is etcd's, in which all changes have one order.
	Revision int64
	// At is when the recorder was told. It may be late, and is never early.
	At   time.Time
	Kind Kind
	// Model is that of the pod, that which is cleared, or that which needs the cause.
	Model string
	// Name of the pod, with its UID, or of the cause.
	Name string `json:",omitempty"`
	// There says that the pod, the clearance or the cause is there.
	There bool
	// Until is when a clearance ends.
	Until time.Time `json:",omitzero"`
	// Gated says that a pod is held, and Leaving that it is on its way out.
	Gated   bool `json:",omitempty"`
	Leaving bool `json:",omitempty"`
}

// Span is a time in which Interlock could not act, such as while it was paused or the API server was down.
type Span struct {
	From, To time.Time
	Why      string
}

// Decision is an entry of the decision record.
type Decision struct {
	Model   string
	At      time.Time
	Cleared bool
}

// History is all that happened.
type History struct {
	Events []Event
	// Hindered are the times in which no deadline runs.
	Hindered []Span
	// Record has the entries of the decision record, in their order; nil, it is not looked at.
	Record []Decision
	// End is when the recorder stopped: what was due later is not judged.
	End time.Time
}

// Bounds are what Interlock promises.
type Bounds struct {
	// Lag is how long after a revocation the API server may still let a pod in, by a copy of the clearances that is old.
	Lag time.Duration
	// TakenOut is how long such a pod may stay.
	TakenOut time.Duration
	// Fresh is how old that may be on which a clearance rests. Pauses do not make it longer.
	Fresh time.Duration
	// Revoked is how long a clearance may outlast its cause.
	Revoked time.Duration
	// Cleared is how long a model that conforms may be held, and a pod of a cleared model.
	Cleared time.Duration
}

// Violation is a promise that was broken.
type Violation struct {
	Rule     string
	Model    string
	Revision int64
	At       time.Time
	Text     string
}

func (v Violation) String() string {
	return fmt.Sprintf("%s: %s at revision %d, %s: %s", v.Rule, v.Model, v.Revision, v.At.Format("15:04:05.000"), v.Text)
}

// The rules.
const (
	RulePastTheGate = "no pod passes the gate after its model's revocation"
	RuleTakenOut    = "a pod that came in as its model was revoked is taken out"
	RuleCause       = "no clearance without its cause"
	RuleRevoked     = "a clearance does not outlast its cause"
	RuleHeld        = "nothing that conforms is held for ever"
	RuleRecord      = "no clearance that is not in the record"
)

// Check gives what was broken, in the order in which it happened.
func Check(h History, b Bounds) []Violation {
	c := &checker{history: h, bounds: b, models: map[string]*model{}}
	events := slices.Clone(h.Events)
	slices.SortStableFunc(events, func(x, y Event) int { return cmp.Compare(x.Revision, y.Revision) })
	for _, e := range events {
		m := c.model(e.Model)
		switch e.Kind {
		case Cause:
			c.cause(m, e)
		case Clearance:
			c.clearance(m, e)
		case Pod:
			c.pod(m, e)
		}
	}
	c.end()
	slices.SortStableFunc(c.found, func(x, y Violation) int { return cmp.Compare(x.Revision, y.Revision) })
	return c.found
}

type checker struct {
	history History
	bounds  Bounds
	models  map[string]*model
	found   []Violation
}

// model is what is known of one at a point of the history.
type model struct {
	name string
	// causes that are there, and those that were.
	causes map[string]bool
	// turned is the event by which the causes became, or ceased to be, complete.
	turned   Event
	conforms bool
	// cleared is the clearance that stands, and changed the event by which it came or went.
	cleared bool
	until   time.Time
	changed Event
	pods    map[string]*pod
}

type pod struct {
	// admitted is the event by which it passed the gate; zero, it has not.
	admitted Event
	// held is the last event that showed it at the gate.
	held Event
	// intruder says that it passed after the revocation of its model.
	intruder bool
	leaving  bool
}

func (c *checker) model(name string) *model {
	m, ok := c.models[name]
	if !ok {
		m = &model{name: name, causes: map[string]bool{}, pods: map[string]*pod{}}
		c.models[name] = m
	}
	return m
}

// cause follows what a model needs: it conforms while all that was ever there is there.
func (c *checker) cause(m *model, e Event) {
	m.causes[e.Name] = e.There
	conforms := true
	for _, there := range m.causes {
		conforms = conforms && there
	}
	if conforms != m.conforms {
		c.due(m, e.At)
		m.conforms, m.turned = conforms, e
	}
}

// clearance judges one that comes, is renewed or goes.
func (c *checker) clearance(m *model, e Event) {
	extends := e.There && (!m.cleared || e.Until.After(m.until))
	if extends && !m.conforms && e.At.Sub(m.turned.At) > c.bounds.Fresh {
		c.violate(RuleCause, e, "its cause was gone since revision %d, for %s", m.turned.Revision, e.At.Sub(m.turned.At).Round(time.Millisecond))
	}
	if e.There && !m.cleared && c.history.Record != nil && !c.recorded(m.name, e.At) {
		c.violate(RuleRecord, e, "the record has no such decision before it")
	}
	if e.There != m.cleared {
		c.due(m, e.At)
		m.changed = e
	}
	m.cleared, m.until = e.There, e.Until
}

// recorded says whether the decision to clear a model was recorded by some time.
func (c *checker) recorded(name string, by time.Time) bool {
	return slices.ContainsFunc(c.history.Record, func(d Decision) bool { return d.Model == name && d.Cleared && !d.At.After(by) })
}

// due judges whether a model was in a state for too long that it leaves now.
func (c *checker) due(m *model, now time.Time) {
	since := m.turned
	if m.changed.At.After(since.At) {
		since = m.changed
	}
	lasted := c.unhindered(since.At, now)
	switch {
	case since.At.IsZero() || m.conforms == m.cleared:
	case m.conforms && lasted > c.bounds.Cleared:
		c.violate(RuleHeld, since, "it was held for %s though all that it needs was there", lasted.Round(time.Millisecond))
	case !m.conforms && lasted > c.bounds.Revoked && now.Before(m.until):
		c.violate(RuleRevoked, since, "it was cleared for %s without its cause", lasted.Round(time.Millisecond))
	}
}

// pod judges one that passes the gate, and follows it until it is gone.
func (c *checker) pod(m *model, e Event) {
	p, known := m.pods[e.Name]
	if !known {
		p = &pod{}
		m.pods[e.Name] = p
	}
	switch {
	case !e.There:
		c.stayed(m, p, e.At)
		delete(m.pods, e.Name)
	case e.Gated:
		if p.held.At.IsZero() {
			p.held = e
		}
	case p.admitted.At.IsZero():
		p.admitted = e
		p.intruder = !m.cleared
		revoked := !m.changed.At.IsZero() && !m.cleared
		if late := e.At.Sub(m.changed.At); p.intruder && (!revoked || late > c.bounds.Lag) {
			c.violate(RulePastTheGate, e, "pod %s passed %s after revision %d revoked it", e.Name, late.Round(time.Millisecond), m.changed.Revision)
		}
	}
	if e.Leaving && !p.leaving {
		c.stayed(m, p, e.At)
		p.leaving = true
	}
}

// stayed judges an intruder that leaves.
func (c *checker) stayed(m *model, p *pod, now time.Time) {
	if !p.intruder || p.leaving || m.cleared {
		return
	}
	if lasted := c.unhindered(p.admitted.At, now); lasted > c.bounds.TakenOut {
		c.violate(RuleTakenOut, p.admitted, "it stayed for %s", lasted.Round(time.Millisecond))
	}
}

// end judges what still lasts when the history ends.
func (c *checker) end() {
	for _, m := range c.models {
		c.due(m, c.history.End)
		for _, p := range m.pods {
			c.stayed(m, p, c.history.End)
			since := p.held.At
			if m.changed.At.After(since) {
				since = m.changed.At
			}
			if lasted := c.unhindered(since, c.history.End); p.admitted.At.IsZero() && !p.leaving && m.cleared && m.conforms && lasted > c.bounds.Cleared {
				c.violate(RuleHeld, p.held, "pod %s waits at the gate for %s though its model is cleared", p.held.Name, lasted.Round(time.Millisecond))
			}
		}
	}
}

// unhindered gives how much of a time Interlock could act.
func (c *checker) unhindered(from, to time.Time) time.Duration {
	spans := slices.Clone(c.history.Hindered)
	slices.SortFunc(spans, func(x, y Span) int { return x.From.Compare(y.From) })
	left, begin := to.Sub(from), from
	for _, s := range spans {
		f, t := later(s.From, begin), earlier(s.To, to)
		if t.After(f) {
			left -= t.Sub(f)
			begin = t
		}
	}
	return left
}

func later(x, y time.Time) time.Time {
	if x.After(y) {
		return x
	}
	return y
}

func earlier(x, y time.Time) time.Time {
	if x.Before(y) {
		return x
	}
	return y
}

func (c *checker) violate(rule string, e Event, format string, args ...any) {
	c.found = append(c.found, Violation{Rule: rule, Model: e.Model, Revision: e.Revision, At: e.At, Text: fmt.Sprintf(format, args...)})
}
