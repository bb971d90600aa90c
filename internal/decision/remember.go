package decision

import (
	"time"

	"github.com/interlock-dev/interlock/api/v1alpha1"
)

// Shortfall is what is remembered of a model of which pods run, or ran, without clearance. The zero value says that there is
// no shortfall.
//
// A shortfall begins when pods run without clearance. It does not end when they no longer do: whoever undoes the cause just
// before each step would put the steps off for ever. It ends once no pod has run without clearance, and without a break, for
// as long as the next step would have taken from the beginning. Until then Since stays, so a step that falls due meanwhile
// is taken as soon as the model is short again, and what was done is not undone.
type Shortfall struct {
	// Since is when it began: the steps count from here.
	Since time.Time
	// Wait is how long it is remembered after it was short last: the time from the beginning to the first step that had not
	// fallen due then; if all had, to the last. It is the longest of all that a policy asked for since the beginning.
	Wait time.Duration
	// QuietSince is since when no pod runs without clearance; zero, some do.
	QuietSince time.Time
}

// IsZero says that there is no shortfall.
func (s Shortfall) IsZero() bool { return s.Since.IsZero() }

// Short says whether pods run without clearance now.
func (s Shortfall) Short() bool { return !s.IsZero() && s.QuietSince.IsZero() }

// Ends is when the shortfall ends if nothing runs without clearance until then; zero, it is not known: it lasts, or there is
// none.
func (s Shortfall) Ends() time.Time {
	if s.QuietSince.IsZero() {
		return time.Time{}
	}
	return s.QuietSince.Add(s.Wait)
}

// Continue gives the shortfall while pods run without clearance: the one that is remembered, or one that begins now.
func (s Shortfall) Continue(steps Schedule, now time.Time) Shortfall {
	if !s.Short() {
		s = s.Quiet(now) // one that has ended is none
	}
	began := now.UTC().Truncate(time.Second)
	if s.IsZero() {
		s = Shortfall{Since: began}
	}
	if s.Since.After(began) { // the clock was put back
		s.Since = began
	}
	s.QuietSince = time.Time{}
	s.Wait = max(s.Wait, steps.wait(now.Sub(s.Since)))
	return s
}

// Quiet gives what is left of the shortfall while no pod runs without clearance: zero, it is over. Its times have no fractions
// of a second, as the API keeps none, and it lasts no shorter for that.
func (s Shortfall) Quiet(now time.Time) Shortfall {
	if s.IsZero() {
		return s
	}
	second := now.UTC().Add(time.Second - 1).Truncate(time.Second)
	if s.QuietSince.IsZero() || s.QuietSince.After(second) {
		s.QuietSince = second
	}
	if s.Wait <= 0 || !now.Before(s.Ends()) {
		return Shortfall{}
	}
	return s
}

// Taken gives the measures that had been taken when the model was short last. They stay until the shortfall is over, though
// nothing is added to them.
func (s Shortfall) Taken(policy *v1alpha1.ScalingPolicy, now time.Time, levels ...string) Measures {
	last := now
	if !s.QuietSince.IsZero() {
		last = s.QuietSince
	}
	return OnShortfall(policy, s.Since, last, levels...)
}

// wait is the time from the beginning of a shortfall to the first step that is not due after some time; if all are, to the
// last.
func (s Schedule) wait(passed time.Duration) time.Duration {
	var next, last time.Duration = never, 0
	for _, at := range s {
		last = max(last, at)
		if at > passed && (next == never || at < next) {
			next = at
		}
	}
	if next != never {
		return next
	}
	return last
}
