package fresh

import (
	"net/http"
	"testing"
	"time"

	"k8s.io/utils/clock"
	clocktesting "k8s.io/utils/clock/testing"
)

func TestTheTimeIsTheAPIServers(t *testing.T) {
	begin := time.Date(2026, 5, 14, 9, 0, 0, 0, time.UTC)
	// An answer comes so long after the clock began, took so long, and is dated so long after begin.
	type answer struct{ at, took, dated time.Duration }
	for name, tc := range map[string]struct {
		answers []answer
		// want is how far the API server is found to be ahead.
		want time.Duration
	}{
		"nothing is known yet":                      {nil, 0},
		"they agree":                                {[]answer{{10 * time.Second, 0, 10 * time.Second}}, 0},
		"they agree to the second":                  {[]answer{{10*time.Second + 900*time.Millisecond, 0, 10 * time.Second}}, 0},
		"the API server is an hour ahead":           {[]answer{{0, 0, time.Hour}}, time.Hour},
		"the API server is an hour behind":          {[]answer{{0, 0, -time.Hour}}, -time.Hour + time.Second},
		"a slow answer may have been dated early":   {[]answer{{10 * time.Second, 5 * time.Second, 5 * time.Second}}, 0},
		"a slow answer tells less than a quick one": {[]answer{{0, 0, time.Hour}, {20 * time.Second, 15 * time.Second, time.Hour + 6*time.Second}}, time.Hour},
		"the API server's clock is set right again": {[]answer{{0, 0, time.Hour}, {10 * time.Second, 0, 10 * time.Second}}, time.Second},
	} {
		t.Run(name, func(t *testing.T) {
			own := clocktesting.NewFakeClock(begin)
			c := NewClock(own)
			for _, a := range tc.answers {
				own.SetTime(begin.Add(a.at - a.took))
				sent := c.plain()
				own.SetTime(begin.Add(a.at))
				c.heard(t.Context(), sent, &http.Response{Header: http.Header{"Date": {begin.Add(a.dated).Format(http.TimeFormat)}}})
			}
			if got := c.Ahead(); got != tc.want {
				t.Errorf("the API server is ahead by %s, want %s", got, tc.want)
			}
			if got := c.Now(); !got.Equal(own.Now().Add(tc.want)) {
				t.Errorf("it is %s", got)
			}
		})
	}
}

func TestAnAnswerWithoutADateTellsNothing(t *testing.T) {
	c := NewClock(clocktesting.NewFakeClock(time.Now()))
	for _, date := range []string{"", "yesterday"} {
		c.heard(t.Context(), c.plain(), &http.Response{Header: http.Header{"Date": {date}}})
	}
	if got := c.Ahead(); got != 0 {
		t.Errorf("the API server is ahead by %s", got)
	}
}

// jumpy is a clock that somebody sets. Then the time that it shows jumps, and the time that passes does not.
type jumpy struct {
	clock.Clock
	shown time.Time
	ran   time.Duration
}

func (j *jumpy) Now() time.Time                { return j.shown }
func (j *jumpy) Since(time.Time) time.Duration { return j.ran }
func (j *jumpy) pass(d time.Duration)          { j.shown, j.ran = j.shown.Add(d), j.ran+d }
func (j *jumpy) set(d time.Duration)           { j.shown = j.shown.Add(d) }

func TestAMachineWhoseClockIsSetChangesNothing(t *testing.T) {
	own := &jumpy{shown: time.Date(2026, 5, 14, 9, 0, 0, 0, time.UTC)}
	c := NewClock(own)
	began := c.Now()
	own.pass(time.Second)
	own.set(time.Hour)
	if got := c.Now().Sub(began); got != time.Second {
		t.Errorf("%s passed, want a second", got)
	}
	if got := c.Ahead(); got != -time.Hour {
		t.Errorf("the API server is ahead by %s, want -1h", got)
	}
}
