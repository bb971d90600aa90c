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

// Span is a time in which something was interfered with.
type Span struct {
	From, To time.Time
	// Over is when Interlock has to be able to act again.
	Over time.Time
	// Store says that an API server or etcd was slow, stood still or was down.
	Store bool `json:",omitempty"`
	// Stale says that the copies of one API server stood still, and all else went on: no deadline but that of the copies stands
	// still.
	Stale bool `json:",omitempty"`
	Why   string
}

// Decision is an entry of the decision record.
type Decision struct {
	Model string
	// At is in whole seconds.
	At      time.Time
	Cleared bool
	// Approvals are the causes that it names as such.
	Approvals []string `json:",omitempty"`
}

// History is all that happened.
type History struct {
	Events []Event
	// Needs names the causes without which a model may not be cleared. A model that is not named never may.
	Needs map[string][]string
	// Hindered are the times in which no deadline of Interlock's runs, and those in which copies stood still.
	Hindered []Span
	// Record has the entries of the decision record, in their order; nil, it is not looked at.
	Record []Decision
	// End is when the recorder stopped: what was due later is not judged.
	End time.Time
}

// Bounds are what Interlock promises.
type Bounds struct {
	// Lag is how long after a revocation an API server that runs may still let a pod in, by a copy of the clearances that is old.
	Lag time.Duration
	// TakenOut is how long such a pod may stay.
	TakenOut time.Duration
	// Fresh is how old that may be on which a clearance rests. Pauses do not make it longer.
	Fresh time.Duration
	// Lease is how far ahead the end of a clearance may lie.
	Lease time.Duration
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
	RuleLease       = "a clearance ends with its lease"
	RuleRevoked     = "a clearance does not outlast its cause"
	RuleHeld        = "nothing that conforms is held for ever"
	RuleRecord      = "the record is complete"
	RuleOrder       = "the record is in order"
	RuleApproval    = "no approval counts that is not there"
)

// Check gives what was broken, in the order in which it happened.
func Check(h History, b Bounds) []Violation {
	h.Events = slices.Clone(h.Events)
	slices.SortStableFunc(h.Events, func(x, y Event) int { return cmp.Compare(x.Revision, y.Revision) })
	c := &checker{history: h, bounds: b, models: map[string]*model{}}
	c.record()
	for _, e := range h.Events {
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
	// needs are the causes that have to be there, and causes says which are.
	needs  []string
	causes map[string]bool
	// turned is the event by which the causes became, or ceased to be, complete.
	turned   Event
	conforms bool
	// cleared is the clearance that stands, and changed the event by which it came or went.
	cleared bool
	until   time.Time
	changed Event
	// came is when the last clearance did, and lease the latest end that any had.
	came, lease time.Time
	pods        map[string]*pod
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
		m = &model{name: name, needs: c.history.Needs[name], causes: map[string]bool{}, pods: map[string]*pod{}}
		c.models[name] = m
	}
	return m
}

// cause follows what a model needs: it conforms while all of that is there.
func (c *checker) cause(m *model, e Event) {
	m.causes[e.Name] = e.There
	conforms := len(m.needs) > 0
	for _, name := range m.needs {
		conforms = conforms && m.causes[name]
	}
	if conforms != m.conforms {
		c.due(m, e.At)
		m.conforms, m.turned = conforms, e
	}
}

// clearance judges one that comes, is renewed or goes.
func (c *checker) clearance(m *model, e Event) {
	if e.There && (!m.cleared || e.Until.After(m.until)) {
		c.extended(m, e)
	}
	if e.There && !m.cleared {
		c.revocationRecorded(m, e.At)
		m.came = e.At
	}
	if e.There != m.cleared {
		c.due(m, e.At)
		m.changed = e
	}
	m.cleared, m.until = e.There, e.Until
	if e.There {
		m.lease = later(m.lease, e.Until)
	}
}

// extended judges a clearance that is new or renewed.
func (c *checker) extended(m *model, e Event) {
	gone := e.At.Sub(m.turned.At)
	switch {
	case m.conforms:
	case m.turned.At.IsZero():
		c.violate(RuleCause, e, "what it needs was never there")
	case gone > c.bounds.Fresh:
		c.violate(RuleCause, e, "its cause was gone since revision %d, for %s", m.turned.Revision, short(gone))
	}
	if ahead := e.Until.Sub(e.At); ahead > c.bounds.Lease {
		c.violate(RuleLease, e, "it lasts for %s more", short(ahead))
	}
	if !c.recorded(m.name, e.At) {
		c.violate(RuleRecord, e, "the record has no such decision before it")
	}
	if m.cleared {
		c.due(m, e.At) // by then its lease may have been over for long
	}
}

// due judges whether a model was in a state for too long that it leaves now.
func (c *checker) due(m *model, now time.Time) {
	since := m.turned
	if m.changed.At.After(since.At) {
		since = m.changed
	}
	if since.At.IsZero() {
		return
	}
	lasted, lapsed := c.unhindered(since.At, now), c.unhindered(later(since.At, m.until), now)
	switch {
	case m.conforms && !m.cleared && lasted > c.bounds.Cleared:
		c.violate(RuleHeld, since, "it was held for %s though all that it needs was there", short(lasted))
	case m.conforms && m.cleared && lapsed > c.bounds.Cleared:
		c.violate(RuleHeld, since, "its lease was over for %s though all that it needs was there", short(lapsed))
	case !m.conforms && m.cleared && lasted > c.bounds.Revoked && now.Before(m.until):
		c.violate(RuleRevoked, since, "it was cleared for %s without its cause", short(lasted))
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
		p.admitted, p.intruder = e, !m.cleared
		c.passed(m, e)
	}
	if e.Leaving && !p.leaving {
		c.stayed(m, p, e.At)
		p.leaving = true
	}
}

// passed judges a pod that passes the gate of a model that is not cleared, or not any more.
func (c *checker) passed(m *model, e Event) {
	late := c.ran(m.changed.At, e.At, func(s Span) bool { return s.Store || s.Stale })
	end := m.until
	if !m.cleared {
		end = m.lease
	}
	lapsed := c.ran(end, e.At, func(s Span) bool { return s.Store })
	switch {
	case !m.cleared && m.changed.At.IsZero():
		c.violate(RulePastTheGate, e, "pod %s passed, and it was never cleared", e.Name)
	case !m.cleared && late > c.bounds.Lag:
		c.violate(RulePastTheGate, e, "pod %s passed %s after revision %d revoked it", e.Name, short(late), m.changed.Revision)
	case lapsed > c.bounds.Lag:
		c.violate(RulePastTheGate, e, "pod %s passed %s after its lease was over", e.Name, short(lapsed))
	}
}

// stayed judges an intruder that leaves.
func (c *checker) stayed(m *model, p *pod, now time.Time) {
	if !p.intruder || p.leaving || m.cleared {
		return
	}
	if lasted := c.unhindered(p.admitted.At, now); lasted > c.bounds.TakenOut {
		c.violate(RuleTakenOut, p.admitted, "it stayed for %s", short(lasted))
	}
}

// end judges what still lasts when the history ends.
func (c *checker) end() {
	for _, m := range c.models {
		c.due(m, c.history.End)
		if !m.cleared {
			c.revocationRecorded(m, c.history.End)
		}
		for _, p := range m.pods {
			c.stayed(m, p, c.history.End)
			c.waits(m, p)
		}
	}
}

// waits judges a pod that is at the gate when the history ends.
func (c *checker) waits(m *model, p *pod) {
	lasted := c.unhindered(later(p.held.At, m.changed.At), c.history.End)
	if p.admitted.At.IsZero() && !p.leaving && m.cleared && m.conforms && lasted > c.bounds.Cleared {
		c.violate(RuleHeld, p.held, "pod %s waits at the gate for %s though its model is cleared", p.held.Name, short(lasted))
	}
}

// Unhindered gives how much of a history Interlock could act in.
func Unhindered(h History) time.Duration {
	if len(h.Events) == 0 {
		return 0
	}
	return (&checker{history: h}).unhindered(h.Events[0].At, h.End)
}

// unhindered gives how much of a time Interlock could act.
func (c *checker) unhindered(from, to time.Time) time.Duration {
	var spans []Span
	for _, s := range c.history.Hindered {
		if !s.Stale {
			spans = append(spans, Span{From: s.From, To: s.Over})
		}
	}
	return without(spans, from, to)
}

// ran gives how much of a time was not disturbed by some spans.
func (c *checker) ran(from, to time.Time, disturbed func(Span) bool) time.Duration {
	return without(slices.DeleteFunc(slices.Clone(c.history.Hindered), func(s Span) bool { return !disturbed(s) }), from, to)
}

// without gives how long a time is without some spans, which may overlap.
func without(spans []Span, from, to time.Time) time.Duration {
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

func short(d time.Duration) time.Duration { return d.Round(time.Millisecond) }

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
