package check

import (
	"slices"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
)

var (
	nine   = time.Date(2026, 5, 14, 9, 0, 0, 0, time.UTC)
	bounds = Bounds{Lag: time.Second, TakenOut: 5 * time.Second, Fresh: 2 * time.Second, Lease: 2 * time.Hour, Revoked: 5 * time.Second,
		Cleared: 10 * time.Second}
)

const here, gone = true, false

// after gives the time so many seconds after nine.
func after(seconds float64) time.Time { return nine.Add(time.Duration(seconds * float64(time.Second))) }

// at gives an event at a revision that came so many seconds after nine.
func at(revision int64, seconds float64, kind Kind, there bool, change ...func(*Event)) Event {
	e := Event{Revision: revision, At: after(seconds), Kind: kind, Model: "llm", Name: "x", There: there, Until: after(3600)}
	for _, f := range change {
		f(&e)
	}
	return e
}

func gated(e *Event)   { e.Gated = true }
func leaving(e *Event) { e.Leaving = true }
func other(e *Event)   { e.Model = "other" }

func until(seconds float64) func(*Event) { return func(e *Event) { e.Until = after(seconds) } }
func named(name string) func(*Event)     { return func(e *Event) { e.Name = name } }

// paused is the manager, and down an API server.
func paused(from, to float64) Span { return Span{From: after(from), To: after(to), Over: after(to)} }
func down(from, to float64) Span {
	return Span{From: after(from), To: after(to), Over: after(to), Store: true}
}

// stale are the copies of one API server.
func stale(from, to float64) Span {
	return Span{From: after(from), To: after(to), Over: after(to), Stale: true}
}

// clears and revokes are what befalls a model in most histories, which last a minute.
var (
	clears  = []Event{at(1, 0, Cause, here), at(2, 0.1, Clearance, here)}
	revokes = []Event{at(10, 20, Cause, gone), at(11, 20.1, Clearance, gone)}
)

type history struct {
	events   []Event
	needs    []string
	hindered []Span
	record   []Decision
	want     []string
}

func judge(t *testing.T, histories map[string]history) {
	t.Helper()
	for name, h := range histories {
		t.Run(name, func(t *testing.T) {
			needs := map[string][]string{"llm": {"x"}}
			if h.needs != nil {
				needs["llm"] = h.needs
			}
			var got []string
			for _, v := range Check(History{Events: h.events, Needs: needs, Hindered: h.hindered, Record: h.record, End: after(60)}, bounds) {
				got = append(got, v.Rule)
			}
			if diff := cmp.Diff(h.want, got); diff != "" {
				t.Errorf("violations (-want +got):\n%s", diff)
			}
		})
	}
}

func join(parts ...[]Event) []Event { return slices.Concat(parts...) }

func TestPodsAtTheGate(t *testing.T) {
	judge(t, map[string]history{
		"nothing":                      {},
		"cleared, served, and revoked": {events: join(clears, []Event{at(3, 1, Pod, here)}, revokes)},
		"held, released by clearance":  {events: join([]Event{at(0, -1, Pod, here, gated)}, clears, []Event{at(3, 1, Pod, here)})},
		"events come in another order": {events: []Event{clears[1], at(3, 0, Pod, here), clears[0]}},
		"a pod comes in long after": {
			events: join(clears, revokes, []Event{at(12, 22, Pod, here), at(13, 23, Pod, gone)}),
			want:   []string{RulePastTheGate}},
		"a pod comes in when the API server runs again": {
			events:   join(clears, revokes, []Event{at(12, 22, Pod, here), at(13, 23, Pod, gone)}),
			hindered: []Span{down(20.2, 21.8)}},
		"a pod comes in long after, while the manager is paused": {
			events:   join(clears, revokes, []Event{at(12, 22, Pod, here), at(13, 23, Pod, gone)}),
			hindered: []Span{paused(20.2, 21.8)},
			want:     []string{RulePastTheGate}},
		"a pod comes in long after, by copies that stand still": {
			events:   join(clears, revokes, []Event{at(12, 22, Pod, here), at(13, 23, Pod, gone)}),
			hindered: []Span{stale(19, 23)}},
		"a pod comes in by copies that stand still, and the last lease is over": {
			events: []Event{at(1, 0, Cause, here), at(2, 0.1, Clearance, here, until(21)), at(10, 20, Cause, gone), at(11, 20.1, Clearance, gone),
				at(12, 24, Pod, here), at(13, 25, Pod, gone)},
			hindered: []Span{stale(19, 26)},
			want:     []string{RulePastTheGate}},
		"a pod is released long after": {
			events: join([]Event{at(1, -1, Pod, here, gated)}, clears, revokes, []Event{at(12, 22, Pod, here), at(13, 23, Pod, gone)}),
			want:   []string{RulePastTheGate}},
		"a pod comes in that was never cleared": {
			events: []Event{at(1, 1, Pod, here), at(2, 2, Pod, gone)},
			want:   []string{RulePastTheGate}},
		"a pod waits at the gate of a model that is revoked, and goes": {
			events: join(clears, revokes, []Event{at(12, 22, Pod, here, gated), at(13, 23, Pod, gone)})},
		"another model is cleared, and this one is not": {
			events: join(clears, []Event{at(5, 3, Pod, here, other), at(6, 4, Pod, gone, other)}),
			want:   []string{RulePastTheGate}},
		"a pod comes in as the lease ends": {
			events: []Event{at(1, 0, Cause, here), at(2, 0.1, Clearance, here, until(55)), at(3, 55.5, Pod, here)}},
		"a pod comes in long after the lease is over": {
			events: []Event{at(1, 0, Cause, here), at(2, 0.1, Clearance, here, until(55)), at(3, 57, Pod, here)},
			want:   []string{RulePastTheGate}},
	})
}

func TestPodsThatComeInAsTheirModelIsRevoked(t *testing.T) {
	judge(t, map[string]history{
		"it leaves": {
			events: join(clears, revokes, []Event{at(12, 20.5, Pod, here), at(13, 22, Pod, here, leaving), at(14, 50, Pod, gone)})},
		"it stays": {
			events: join(clears, revokes, []Event{at(12, 20.5, Pod, here)}),
			want:   []string{RuleTakenOut}},
		"it stays for a while": {
			events: join(clears, revokes, []Event{at(12, 20.5, Pod, here), at(13, 27, Pod, gone)}),
			want:   []string{RuleTakenOut}},
		"it stays while the manager is paused": {
			events:   join(clears, revokes, []Event{at(12, 20.5, Pod, here), at(13, 27, Pod, gone)}),
			hindered: []Span{paused(21, 26)}},
		"it stays, and copies stand still": {
			events:   join(clears, revokes, []Event{at(12, 20.5, Pod, here), at(13, 27, Pod, gone)}),
			hindered: []Span{stale(20, 40)},
			want:     []string{RuleTakenOut}},
		"it stays while another API server stands still, which hinders no manager": {
			events:   join(clears, revokes, []Event{at(12, 20.5, Pod, here), at(13, 27, Pod, gone)}),
			hindered: []Span{{From: after(20), To: after(26), Over: after(20), Store: true}},
			want:     []string{RuleTakenOut}},
	})
}

func TestCausesOfClearances(t *testing.T) {
	const approval = "approval"
	judge(t, map[string]history{
		"cleared long after its cause went": {
			events: join(clears, revokes, []Event{at(12, 24, Clearance, here), at(13, 24.1, Clearance, gone)}),
			want:   []string{RuleCause}},
		"cleared a moment after its cause went": {
			events: join(clears, revokes, []Event{at(12, 21, Clearance, here), at(13, 21.1, Clearance, gone)})},
		"a pause is no excuse": {
			events:   join(clears, revokes, []Event{at(12, 24, Clearance, here), at(13, 24.1, Clearance, gone)}),
			hindered: []Span{paused(20, 24)},
			want:     []string{RuleCause}},
		"renewed long after its cause went": {
			events: []Event{at(1, 0, Cause, here), at(2, 0, Clearance, here), at(3, 1, Cause, gone),
				at(4, 4, Clearance, here, until(7200)), at(5, 5, Clearance, gone)},
			want: []string{RuleCause}},
		"written again, and no longer, after its cause went": {
			events: []Event{at(1, 0, Cause, here), at(2, 0, Clearance, here), at(3, 1, Cause, gone),
				at(4, 4, Clearance, here), at(5, 5, Clearance, gone)}},
		"cleared without a cause": {
			events: []Event{at(1, 0, Clearance, here), at(2, 1, Clearance, gone)},
			want:   []string{RuleCause}},
		"cleared by the cause of another": {
			events: []Event{at(1, 0, Cause, here, other), at(2, 1, Clearance, here), at(3, 2, Clearance, gone)},
			want:   []string{RuleCause}},
		"cleared, and nobody knows what it needs": {
			events: []Event{at(1, 0, Cause, here, other), at(2, 1, Clearance, here, other), at(3, 2, Clearance, gone, other)},
			want:   []string{RuleCause}},
		"cleared by an approval": {
			needs:  []string{"x", approval},
			events: []Event{at(1, 0, Cause, here), at(2, 40, Cause, here, named(approval)), at(3, 41, Clearance, here)}},
		"cleared before the approval": {
			needs:  []string{"x", approval},
			events: []Event{at(1, 0, Cause, here), at(2, 40, Clearance, here), at(3, 41, Cause, here, named(approval))},
			want:   []string{RuleCause}},
		"one of two causes goes": {
			needs: []string{"x", approval},
			events: join([]Event{at(0, -1, Cause, here, named(approval))}, clears,
				[]Event{at(4, 3, Cause, gone, named(approval)), at(5, 9.5, Clearance, gone)}),
			want: []string{RuleRevoked}},
		"cleared for longer than a lease": {
			events: []Event{at(1, 0, Cause, here), at(2, 1, Clearance, here, until(7202))},
			want:   []string{RuleLease}},
		"renewed for longer than a lease": {
			events: join(clears, []Event{at(3, 1, Clearance, here, until(7202))}),
			want:   []string{RuleLease}},
		"something goes that it does not need": {
			events: join([]Event{at(0, -1, Cause, here, named(approval))}, clears, []Event{at(4, 3, Cause, gone, named(approval))})},
	})
}

func TestRevocationInTime(t *testing.T) {
	late := join(clears, []Event{at(10, 20, Cause, gone), at(11, 28, Clearance, gone)})
	judge(t, map[string]history{
		"revoked in time":                  {events: join(clears, revokes)},
		"revoked late":                     {events: late, want: []string{RuleRevoked}},
		"never revoked":                    {events: join(clears, []Event{at(10, 20, Cause, gone)}), want: []string{RuleRevoked}},
		"revoked late, as all was down":    {events: late, hindered: []Span{down(19, 27)}},
		"revoked late, after a short fall": {events: late, hindered: []Span{down(20, 22), paused(20, 22)}, want: []string{RuleRevoked}},
		"revoked late, as it took time to recover": {
			events: late, hindered: []Span{{From: after(19), To: after(20), Over: after(26)}}},
		"never revoked, but its lease is over": {
			events: []Event{at(1, 0, Cause, here), at(2, 0, Clearance, here, until(30)), at(10, 20, Cause, gone)}},
		"its cause comes back before it is revoked": {
			events: join(clears, []Event{at(10, 20, Cause, gone), at(11, 22, Cause, here)})},
	})
}

func TestNothingIsHeldForEver(t *testing.T) {
	judge(t, map[string]history{
		"held for ever": {events: []Event{at(1, 0, Cause, here)}, want: []string{RuleHeld}},
		"held for long": {events: []Event{at(1, 0, Cause, here), at(2, 11, Clearance, here)}, want: []string{RuleHeld}},
		"held for long, while the manager is paused": {
			events: []Event{at(1, 0, Cause, here), at(2, 11, Clearance, here)}, hindered: []Span{paused(0, 5)}},
		"a pod waits for ever":          {events: join(clears, []Event{at(3, 1, Pod, here, gated)}), want: []string{RuleHeld}},
		"a pod waits, but not for long": {events: join(clears, []Event{at(3, 55, Pod, here, gated)})},
		"its lease ends, and is never renewed": {
			events: []Event{at(1, 0, Cause, here), at(2, 0, Clearance, here, until(30))},
			want:   []string{RuleHeld}},
		"its lease is renewed late": {
			events: []Event{at(1, 0, Cause, here), at(2, 0, Clearance, here, until(30)), at(3, 45, Clearance, here)},
			want:   []string{RuleHeld}},
		"its lease is renewed in time": {
			events: []Event{at(1, 0, Cause, here), at(2, 0, Clearance, here, until(30)), at(3, 25, Clearance, here)}},
	})
}

func TestRecord(t *testing.T) {
	decided := func(seconds float64, cleared bool, approvals ...string) Decision {
		return Decision{Model: "llm", At: after(seconds), Cleared: cleared, Approvals: approvals}
	}
	again := join(clears, revokes, []Event{at(20, 40, Cause, here), at(21, 40.1, Clearance, here)})
	comesAndGoes := join(clears, revokes)
	judge(t, map[string]history{
		"a clearance is recorded": {events: clears, record: []Decision{decided(0, true)}},
		"a clearance is not recorded": {
			events: clears, record: []Decision{decided(0, false), {Model: "other", At: nine, Cleared: true}}, want: []string{RuleRecord}},
		"a clearance is recorded afterwards": {events: clears, record: []Decision{decided(1, true)}, want: []string{RuleRecord}},
		"all is recorded":                    {events: again, record: []Decision{decided(0, true), decided(20, false), decided(40, true)}},
		"the second clearance is not recorded": {
			events: again, record: []Decision{decided(0, true), decided(20, false)}, want: []string{RuleRecord}},
		"a revocation is not recorded":        {events: again, record: []Decision{decided(0, true)}, want: []string{RuleRecord}},
		"the last revocation is not recorded": {events: comesAndGoes, record: []Decision{decided(0, true)}, want: []string{RuleRecord}},
		"a revocation is not recorded, as the manager was killed": {
			events: again, record: []Decision{decided(0, true)}, hindered: []Span{paused(20, 38)}},
		"a lease is renewed as the revocation is decided": {
			events: join(clears, []Event{at(9, 20, Clearance, here, until(7200))}, revokes),
			record: []Decision{decided(0, true), decided(19.9, false)}},
		"the revocation is decided before the clearance is written": {
			events: []Event{at(1, 0, Cause, here), at(2, 1.1, Clearance, here), at(3, 0.9, Cause, gone), at(4, 1.3, Clearance, gone)},
			record: []Decision{decided(0, true), decided(0, false)}},
		"the revocation of the clearance before is recorded, and this one's is not": {
			events: join(again, []Event{at(30, 50, Cause, gone), at(31, 50.1, Clearance, gone)}),
			record: []Decision{decided(0, true), decided(20, false), decided(40, true)}, want: []string{RuleRecord}},
		"cleared and revoked within a second": {
			events: []Event{at(1, 0, Cause, here), at(2, 0.5, Clearance, here), at(3, 0.7, Cause, gone), at(4, 0.9, Clearance, gone)},
			record: []Decision{decided(0, true), decided(0, false)}},
		"an old entry follows a new one": {
			events: clears, record: []Decision{decided(0, true), decided(-1, true)}, want: []string{RuleOrder}},
		"an entry of the leader before, which holds the model, follows a new one": {
			events: clears, record: []Decision{decided(0, true), decided(-2, false), decided(0, true)}},
		"an entry that holds the model and is much older follows a new one": {
			events: clears, record: []Decision{decided(0, true), decided(-3, false), decided(0, true)}, want: []string{RuleOrder}},
		"an approval counts": {
			events: clears, record: []Decision{decided(0, true, "x")}},
		"an approval counts that was withdrawn a moment ago": {
			events: comesAndGoes, record: []Decision{decided(0, true, "x"), decided(20, false), decided(21, true, "x"), decided(21.1, false)}},
		"an approval counts that was withdrawn": {
			events: comesAndGoes, record: []Decision{decided(0, true, "x"), decided(20, false), decided(24, true, "x"), decided(24.1, false)},
			want: []string{RuleApproval}},
		"an approval counts that comes later": {
			events: join(clears[:1], []Event{at(2, 1, Clearance, here), at(3, 5, Cause, here, named("y"))}),
			needs:  []string{"x", "y"}, record: []Decision{decided(0, true, "y")},
			want: []string{RuleApproval, RuleCause}},
		"an approval counts that the model does not need": {
			events: join(clears, []Event{at(0, -1, Cause, here, named("self"))}), record: []Decision{decided(0, true, "self")},
			want: []string{RuleApproval}},
		"an approval counts that never was": {
			events: clears, record: []Decision{decided(0, true, "y")}, want: []string{RuleApproval}},
	})
}
