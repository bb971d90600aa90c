package check

import (
	"slices"
	"time"
)

// record judges the decision record by itself, and by which approvals there were. A leader that was just deposed may still write an
// entry that holds a model and is older than its successor's, by no more than anything may be old; none that clears one.
func (c *checker) record() {
	last := map[string]time.Time{}
	for _, d := range c.history.Record {
		e := Event{Model: d.Model, At: d.At}
		early := last[d.Model].Sub(d.At)
		if d.Cleared && early > 0 || early > c.bounds.Fresh {
			c.violate(RuleOrder, e, "the entry before it is of %s", last[d.Model].Format("15:04:05.000"))
		}
		last[d.Model] = later(last[d.Model], d.At)
		for _, name := range d.Approvals {
			if d.Cleared && !c.approved(d, name) {
				c.violate(RuleApproval, e, "%s counts", name)
			}
		}
	}
}

// approved says whether an approval that a decision names is one that the model needs, and was there.
func (c *checker) approved(d Decision, name string) bool {
	if !slices.Contains(c.history.Needs[d.Model], name) {
		return false
	}
	there := false
	for _, e := range c.history.Events {
		switch {
		case e.Kind != Cause || e.Model != d.Model || e.Name != name:
		case e.At.After(d.At.Add(c.bounds.Fresh)):
			return there
		case e.There:
			there = true
		default:
			there = d.At.Sub(e.At) <= c.bounds.Fresh
		}
	}
	return there
}

// recorded says whether the record had a model cleared at some time, or a moment before: the decision that takes the clearance
// away may be recorded while the last renewal is on its way.
func (c *checker) recorded(name string, by time.Time) bool {
	if c.history.Record == nil {
		return true
	}
	moment, cleared := by.Add(-c.bounds.Fresh), false
	for _, d := range c.history.Record {
		switch {
		case d.Model != name || d.At.After(by):
		case d.At.Before(moment):
			cleared = d.Cleared
		default:
			cleared = cleared || d.Cleared
		}
	}
	return cleared
}

// revocationRecorded judges a revocation that lasted until now: one that lasts for long is in the record.
func (c *checker) revocationRecorded(m *model, now time.Time) {
	if c.history.Record == nil || m.came.IsZero() || c.unhindered(m.changed.At, now) <= c.bounds.Revoked {
		return
	}
	revoked := false // by a decision that follows the one which cleared the model
	for _, d := range c.history.Record {
		switch {
		case d.Model != m.name || d.At.After(now):
		case !d.Cleared:
			revoked = true
		case !d.At.After(m.came):
			revoked = false
		}
	}
	if !revoked {
		c.violate(RuleRecord, m.changed, "the record does not have that it was revoked")
	}
}
