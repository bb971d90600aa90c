package decision_test

import (
	"slices"
	"testing"
	"time"
	_ "time/tzdata" // so that the places of the tests exist on any machine

	"github.com/google/go-cmp/cmp"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"pgregory.net/rapid"

	"github.com/interlock-dev/interlock/api/v1alpha1"
	"github.com/interlock-dev/interlock/internal/decision"
)

func clock(text string) time.Time {
	at, err := time.Parse(time.RFC3339Nano, text)
	if err != nil {
		panic(err)
	}
	return at
}

// TestTimeOnlyActsAtNamedTimes looks at a verdict again before the time that it names, just at it, and after.
func TestTimeOnlyActsAtNamedTimes(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		in := drawInput(t)
		v := decision.Decide(in)
		want := bytes(t, v)
		last := in.Now.AddDate(10, 0, 0)
		if !v.Revisit.IsZero() {
			if !v.Revisit.After(in.Now) {
				t.Fatalf("decided at %s, and looked at again at %s", in.Now, v.Revisit)
			}
			last = v.Revisit.Add(-1)
		}
		later := in
		for _, at := range []time.Time{last, in.Now.Add(time.Duration(rapid.Int64Range(0, int64(last.Sub(in.Now))).Draw(t, "later")))} {
			later.Now = at
			if diff := cmp.Diff(want, bytes(t, decision.Decide(later))); diff != "" {
				t.Fatalf("from %s to %s, though nothing is to happen before %s (-before +after):\n%s", in.Now, at, v.Revisit, diff)
			}
		}
		if !v.Revisit.IsZero() && !v.Cleared() { // a lease is renewed whether that moves its end or not
			later.Now = v.Revisit
			then := decision.Decide(later)
			v.Revisit, then.Revisit = time.Time{}, time.Time{}
			if bytes(t, v) == bytes(t, then) {
				t.Fatalf("named for nothing: %s\n%s", later.Now, text(v))
			}
		}
	})
}

func TestClearanceEndsWithWhatItRestsOn(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		in := drawCleared(t)
		v := decision.Decide(in)
		lease := decision.DefaultLease
		if in.Policy.Spec.Lease != nil {
			lease = in.Policy.Spec.Lease.Duration
		}
		if !v.ValidUntil.After(in.Now) || v.ValidUntil.After(in.Now.Add(lease)) {
			t.Fatalf("decided at %s for a lease of %s until %s", in.Now, lease, v.ValidUntil)
		}
		if v.Revisit.After(v.ValidUntil) {
			t.Fatalf("to be renewed at %s, after its end at %s", v.Revisit, v.ValidUntil)
		}
		if v.ValidUntil.Nanosecond() != 0 || v.ValidUntil.Location() != time.UTC {
			t.Fatalf("no full second in UTC: %s", v.ValidUntil)
		}
		for _, name := range v.Rules() {
			if end := in.Findings[name].ValidUntil; !end.IsZero() && v.ValidUntil.After(end) {
				t.Fatalf("until %s, but %s ends at %s", v.ValidUntil, name, end)
			}
		}
		in.Now = v.ValidUntil
		if again := decision.Decide(in); again.Cleared() && !again.ValidUntil.After(v.ValidUntil) {
			t.Fatalf("cleared at its own end: %s", text(again))
		}
	})
}

// TestEndOfAFinding is about the very second: a clearance ends at validUntil, not after it.
func TestEndOfAFinding(t *testing.T) {
	policy := newPolicy(newLevel("ASL-2", asks(binding("a"), forced("b", v1alpha1.ForceDiscretionary)), nothing()))
	for name, tc := range map[string]struct {
		now, a, b           string
		outcome             v1alpha1.Outcome
		validUntil, revisit string
	}{
		"before the end": {now: "2026-05-14T08:10:00Z", a: "2026-05-14T08:10:01Z",
			outcome: v1alpha1.OutcomeCleared, validUntil: "2026-05-14T08:10:01Z", revisit: "2026-05-14T08:10:01Z"},
		"a nanosecond before the end": {now: "2026-05-14T08:10:00.999999999Z", a: "2026-05-14T08:10:01Z",
			outcome: v1alpha1.OutcomeCleared, validUntil: "2026-05-14T08:10:01Z", revisit: "2026-05-14T08:10:01Z"},
		"at the end": {now: "2026-05-14T08:10:01Z", a: "2026-05-14T08:10:01Z", outcome: v1alpha1.OutcomeHeld},
		"fractions of the end are dropped": {now: "2026-05-14T08:10:00.2Z", a: "2026-05-14T08:10:01.9Z",
			outcome: v1alpha1.OutcomeCleared, validUntil: "2026-05-14T08:10:01Z", revisit: "2026-05-14T08:10:01Z"},
		"so it ends with its second": {now: "2026-05-14T08:10:01.1Z", a: "2026-05-14T08:10:01.9Z", outcome: v1alpha1.OutcomeHeld},
		"an end in another place of the earth": {now: "2026-05-14T08:10:00Z", a: "2026-05-14T10:40:00+02:00",
			outcome: v1alpha1.OutcomeCleared, validUntil: "2026-05-14T08:40:00Z", revisit: "2026-05-14T08:30:00Z"},
		"later than the lease": {now: "2026-05-14T08:10:00Z", a: "2027-01-01T00:00:00Z",
			outcome: v1alpha1.OutcomeCleared, validUntil: "2026-05-14T09:00:00Z", revisit: "2026-05-14T08:30:00Z"},
		"what does not hold is looked at, and ends nothing": {now: "2026-05-14T08:10:00Z", b: "2026-05-14T08:20:00Z",
			outcome: v1alpha1.OutcomeCleared, validUntil: "2026-05-14T09:00:00Z", revisit: "2026-05-14T08:20:00Z"},
	} {
		t.Run(name, func(t *testing.T) {
			findings := map[string]decision.Finding{"a": inPlace(), "b": inPlace()}
			for safeguard, end := range map[string]string{"a": tc.a, "b": tc.b} {
				if end != "" {
					findings[safeguard] = until(inPlace(), clock(end))
				}
			}
			in := input(policy, newModel("ASL-2"), findings)
			in.Now = clock(tc.now)
			v := decision.Decide(in)
			got := []string{string(v.Outcome), shown(v.ValidUntil), shown(v.Revisit)}
			if diff := cmp.Diff([]string{string(tc.outcome), tc.validUntil, tc.revisit}, got); diff != "" {
				t.Errorf("outcome, validUntil, revisit (-want +got):\n%s", diff)
			}
		})
	}
}

func shown(t time.Time) string {
	if t.IsZero() {
		return ""
	}
	return t.Format(time.RFC3339Nano)
}

func leaseOf(d time.Duration) *v1alpha1.ScalingPolicy {
	return &v1alpha1.ScalingPolicy{Spec: v1alpha1.ScalingPolicySpec{Lease: &metav1.Duration{Duration: d}}}
}

func TestLeaseEnd(t *testing.T) {
	for name, tc := range map[string]struct {
		policy          *v1alpha1.ScalingPolicy
		now, end, renew string
	}{
		"an hour unless said otherwise": {&v1alpha1.ScalingPolicy{}, "2026-05-14T08:10:00Z", "2026-05-14T09:00:00Z", "2026-05-14T08:30:00Z"},
		"on the grid":                   {leaseOf(time.Hour), "2026-05-14T08:30:00Z", "2026-05-14T09:30:00Z", "2026-05-14T09:00:00Z"},
		"just before":                   {leaseOf(time.Hour), "2026-05-14T08:29:59.999999999Z", "2026-05-14T09:00:00Z", "2026-05-14T08:30:00Z"},
		"ten seconds":                   {leaseOf(10 * time.Second), "2026-05-14T08:10:03Z", "2026-05-14T08:10:10Z", "2026-05-14T08:10:05Z"},
		"an odd number of seconds":      {leaseOf(11 * time.Second), "2026-05-14T08:10:04Z", "2026-05-14T08:10:10Z", "2026-05-14T08:10:05Z"},
		"with a fraction":               {leaseOf(2999 * time.Millisecond), "2026-05-14T08:10:04.5Z", "2026-05-14T08:10:06Z", "2026-05-14T08:10:05Z"},
		"too short":                     {leaseOf(time.Millisecond), "2026-05-14T08:10:04Z", "2026-05-14T08:10:06Z", "2026-05-14T08:10:05Z"},
		"none":                          {leaseOf(0), "2026-05-14T08:10:04Z", "2026-05-14T08:10:06Z", "2026-05-14T08:10:05Z"},
		"negative":                      {leaseOf(-time.Hour), "2026-05-14T08:10:04Z", "2026-05-14T08:10:06Z", "2026-05-14T08:10:05Z"},
		"a day":                         {leaseOf(24 * time.Hour), "2026-05-14T08:10:00Z", "2026-05-15T00:00:00Z", "2026-05-14T12:00:00Z"},
		"over a leap second":            {leaseOf(time.Hour), "2016-12-31T23:45:00Z", "2017-01-01T00:30:00Z", "2017-01-01T00:00:00Z"},
		"over a leap day":               {leaseOf(24 * time.Hour), "2028-02-29T13:00:00Z", "2028-03-01T12:00:00Z", "2028-03-01T00:00:00Z"},
	} {
		t.Run(name, func(t *testing.T) {
			end, renew := decision.LeaseEnd(tc.policy, clock(tc.now))
			if diff := cmp.Diff([]string{tc.end, tc.renew}, []string{shown(end), shown(renew)}); diff != "" {
				t.Errorf("end, renewal (-want +got):\n%s", diff)
			}
		})
	}
}

func TestLeaseEndLiesOnAGrid(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		lease := time.Duration(rapid.Int64Range(int64(2*time.Second), int64(24*time.Hour)).Draw(t, "lease"))
		at := time.Unix(rapid.Int64Range(-1<<33, 1<<34).Draw(t, "now"), rapid.Int64Range(0, 999_999_999).Draw(t, "nanoseconds"))
		end, renew := decision.LeaseEnd(leaseOf(lease), at)
		half := end.Sub(renew)
		if half < lease/2-time.Second || half > lease/2 || half%time.Second != 0 {
			t.Fatalf("half of %s is %s", lease, half)
		}
		if left := end.Sub(at); left <= half || left > lease {
			t.Fatalf("a lease of %s lasts %s from %s", lease, left, at)
		}
		if !end.Truncate(half).Equal(end) || end.Nanosecond() != 0 || end.Location() != time.UTC {
			t.Fatalf("%s is not on the grid of %s", end, half)
		}
		if sameEnd, sameRenew := decision.LeaseEnd(leaseOf(lease), renew.Add(-1)); sameEnd != end || sameRenew != renew {
			t.Fatalf("until just before %s the end moves from %s to %s", renew, end, sameEnd)
		}
		if next, _ := decision.LeaseEnd(leaseOf(lease), renew); next != end.Add(half) {
			t.Fatalf("renewed at %s to %s", renew, next)
		}
	})
}

// TestNoLeaseOutlastsWhatThePolicySays includes leases that the API refuses, except those too short to be told in
// seconds.
func TestNoLeaseOutlastsWhatThePolicySays(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		lease := time.Duration(rapid.Int64().Draw(t, "lease"))
		end, renew := decision.LeaseEnd(leaseOf(lease), now)
		if !renew.After(now) || !end.After(renew) || end.After(now.Add(max(lease, 2*time.Second))) {
			t.Fatalf("a lease of %s from %s: renewed at %s, ends at %s", lease, now, renew, end)
		}
	})
}

// TestClocksOfAllPlacesAgree walks over the nights on which clocks are put forward and back, and the end of a year with
// a leap second.
func TestClocksOfAllPlacesAgree(t *testing.T) {
	for _, place := range []string{"Europe/Berlin", "America/New_York", "Australia/Lord_Howe", "Asia/Kathmandu", "Pacific/Apia"} {
		location, err := time.LoadLocation(place)
		if err != nil {
			t.Fatal(err)
		}
		for _, night := range []string{"2026-03-28T22:00:00Z", "2026-10-24T22:00:00Z", "2026-11-01T04:00:00Z", "2016-12-31T21:00:00Z", "2011-12-29T20:00:00Z"} {
			before := time.Time{}
			for minute := range 6 * 60 {
				at := clock(night).Add(time.Duration(minute) * time.Minute)
				end, renew := decision.LeaseEnd(leaseOf(time.Hour), at.In(location))
				wantEnd, wantRenew := decision.LeaseEnd(leaseOf(time.Hour), at)
				if end != wantEnd || renew != wantRenew {
					t.Fatalf("%s at %s: ends at %s, and in UTC at %s", place, at, end, wantEnd)
				}
				if end.Before(before) || end.Unix()-at.Unix() > 3600 {
					t.Fatalf("%s at %s: ends at %s, after %s", place, at, end, before)
				}
				before = end
			}
		}
	}
}

// TestLedgersCompareEndsAsText is what the API server relies on: it compares the ends with creation times as strings.
func TestLedgersCompareEndsAsText(t *testing.T) {
	var ends []string
	for day := range 800 {
		end, _ := decision.LeaseEnd(leaseOf(13*time.Hour), clock("2026-12-30T23:59:59Z").AddDate(0, 0, day))
		ends = append(ends, end.Format(time.RFC3339))
		if text := ends[len(ends)-1]; len(text) != 20 || text[19] != 'Z' {
			t.Fatalf("end %q", text)
		}
	}
	if !slices.IsSorted(ends) {
		t.Errorf("later ends do not compare as later: %v", ends)
	}
}
