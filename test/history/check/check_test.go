package check

import (
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
)

var (
	nine   = time.Date(2026, 5, 14, 9, 0, 0, 0, time.UTC)
	bounds = Bounds{Lag: time.Second, TakenOut: 5 * time.Second, Fresh: 2 * time.Second, Revoked: 5 * time.Second, Cleared: 10 * time.Second}
)

// at gives an event at a revision that came so many seconds after nine.
func at(revision int64, seconds float64, kind Kind, there bool, change ...func(*Event)) Event {
	e := Event{Revision: revision, At: nine.Add(time.Duration(seconds * float64(time.Second))), Kind: kind, Model: "llm", Name: "x", There: there,
		Until: nine.Add(time.Hour)}
	for _, f := range change {
		f(&e)
	}
	return e
}

func gated(e *Event)   { e.Gated = true }
func leaving(e *Event) { e.Leaving = true }

func until(seconds int) func(*Event) {
	return func(e *Event) { e.Until = nine.Add(time.Duration(seconds) * time.Second) }
}

func TestCheck(t *testing.T) {
	const here, gone = true, false
	clears := []Event{at(1, 0, Cause, here), at(2, 0.1, Clearance, here)}
	revokes := []Event{at(10, 20, Cause, gone), at(11, 20.1, Clearance, gone)}
	for name, tc := range map[string]struct {
		events   []Event
		hindered []Span
		record   []Decision
		want     []string
	}{
		"nothing":                      {},
		"cleared, served, and revoked": {events: join(clears, []Event{at(3, 1, Pod, here)}, revokes)},
		"held, released by clearance":  {events: join([]Event{at(0, -1, Pod, here, gated)}, clears, []Event{at(3, 1, Pod, here)})},
		"events come in another order": {events: []Event{clears[1], at(3, 0, Pod, here), clears[0]}},

		"a pod comes in just as its model is revoked":                  {events: join(clears, revokes, []Event{at(12, 20.5, Pod, here), at(13, 22, Pod, here, leaving), at(14, 50, Pod, gone)})},
		"such a pod stays":                                             {events: join(clears, revokes, []Event{at(12, 20.5, Pod, here)}), want: []string{RuleTakenOut}},
		"such a pod stays for a while":                                 {events: join(clears, revokes, []Event{at(12, 20.5, Pod, here), at(13, 27, Pod, gone)}), want: []string{RuleTakenOut}},
		"such a pod stays while the operator is paused":                {events: join(clears, revokes, []Event{at(12, 20.5, Pod, here), at(13, 27, Pod, gone)}), hindered: []Span{{nine.Add(21 * time.Second), nine.Add(26 * time.Second), "paused"}}},
		"a pod comes in long after":                                    {events: join(clears, revokes, []Event{at(12, 22, Pod, here), at(13, 23, Pod, gone)}), want: []string{RulePastTheGate}},
		"a pod is released long after":                                 {events: join([]Event{at(1, -1, Pod, here, gated)}, clears, revokes, []Event{at(12, 22, Pod, here), at(13, 23, Pod, gone)}), want: []string{RulePastTheGate}},
		"a pod comes in that was never cleared":                        {events: []Event{at(1, 1, Pod, here), at(2, 2, Pod, gone)}, want: []string{RulePastTheGate}},
		"a pod waits at the gate of a model that is revoked, and goes": {events: join(clears, revokes, []Event{at(12, 22, Pod, here, gated), at(13, 23, Pod, gone)})},
		"another model is cleared, and this one is not":                {events: join(clears, []Event{at(5, 3, Pod, here, func(e *Event) { e.Model = "other" }), at(6, 4, Pod, gone, func(e *Event) { e.Model = "other" })}), want: []string{RulePastTheGate}},
		"cleared long after its cause went":                            {events: join(clears, revokes, []Event{at(12, 24, Clearance, here), at(13, 24.1, Clearance, gone)}), want: []string{RuleCause}},
		"cleared a moment after its cause went":                        {events: join(clears, revokes, []Event{at(12, 21, Clearance, here), at(13, 21.1, Clearance, gone)})},
		"a pause is no excuse":                                         {events: join(clears, revokes, []Event{at(12, 24, Clearance, here), at(13, 24.1, Clearance, gone)}), hindered: []Span{{nine.Add(20 * time.Second), nine.Add(24 * time.Second), "paused"}}, want: []string{RuleCause}},
		"renewed long after its cause went":                            {events: []Event{at(1, 0, Cause, here), at(2, 0, Clearance, here), at(3, 1, Cause, gone), at(4, 4, Clearance, here, until(7200)), at(5, 5, Clearance, gone)}, want: []string{RuleCause}},
		"written again, and no longer, after its cause went":           {events: []Event{at(1, 0, Cause, here), at(2, 0, Clearance, here), at(3, 1, Cause, gone), at(4, 4, Clearance, here), at(5, 5, Clearance, gone)}},
		"one of two causes goes":                                       {events: join([]Event{at(0, -1, Cause, here, func(e *Event) { e.Name = "approval" })}, clears, []Event{at(4, 3, Cause, gone, func(e *Event) { e.Name = "approval" }), at(5, 9.5, Clearance, gone)}), want: []string{RuleRevoked}},
		"revoked late":                                                 {events: join(clears, []Event{at(10, 20, Cause, gone), at(11, 25.1, Clearance, gone)}), want: []string{RuleRevoked}},
		"never revoked":                                                {events: join(clears, []Event{at(10, 20, Cause, gone)}), want: []string{RuleRevoked}},
		"never revoked, but its lease is over":                         {events: []Event{at(1, 0, Cause, here), at(2, 0, Clearance, here, until(30)), at(10, 20, Cause, gone)}},
		"revoked late, since the API server was down":                  {events: join(clears, []Event{at(10, 20, Cause, gone), at(11, 28, Clearance, gone)}), hindered: []Span{{nine.Add(19 * time.Second), nine.Add(27 * time.Second), "down"}}},
		"hindered twice at a time":                                     {events: join(clears, []Event{at(10, 20, Cause, gone), at(11, 28, Clearance, gone)}), hindered: []Span{{nine.Add(20 * time.Second), nine.Add(22 * time.Second), "down"}, {nine.Add(20 * time.Second), nine.Add(22 * time.Second), "paused"}}, want: []string{RuleRevoked}},
		"its cause comes back before it is revoked":                    {events: join(clears, []Event{at(10, 20, Cause, gone), at(11, 22, Cause, here)})},
		"held for ever":                                                {events: []Event{at(1, 0, Cause, here)}, want: []string{RuleHeld}},
		"held for long":                                                {events: []Event{at(1, 0, Cause, here), at(2, 11, Clearance, here)}, want: []string{RuleHeld}},
		"a pod waits for ever":                                         {events: join(clears, []Event{at(3, 1, Pod, here, gated)}), want: []string{RuleHeld}},
		"a pod waits, but not for long":                                {events: join(clears, []Event{at(3, 55, Pod, here, gated)})},
		"a clearance is recorded":                                      {events: clears, record: []Decision{{"llm", nine, true}}},
		"a clearance is not recorded":                                  {events: clears, record: []Decision{{"llm", nine, false}, {"other", nine, true}}, want: []string{RuleRecord}},
		"a clearance is recorded afterwards":                           {events: clears, record: []Decision{{"llm", nine.Add(time.Second), true}}, want: []string{RuleRecord}},
	} {
		t.Run(name, func(t *testing.T) {
			var got []string
			for _, v := range Check(History{Events: tc.events, Hindered: tc.hindered, Record: tc.record, End: nine.Add(time.Minute)}, bounds) {
				got = append(got, v.Rule)
			}
			if diff := cmp.Diff(tc.want, got); diff != "" {
				t.Errorf("violations (-want +got):\n%s", diff)
			}
		})
	}
}

func join(parts ...[]Event) []Event {
	var all []Event
	for _, p := range parts {
		all = append(all, p...)
	}
	return all
}
