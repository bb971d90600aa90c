package fresh

import (
	"context"
	"errors"
	"testing"
	"time"

	"k8s.io/client-go/tools/leaderelection/resourcelock"
	clocktesting "k8s.io/utils/clock/testing"
)

// lock is one that is written, or fails to be.
type lock struct {
	resourcelock.Interface
	holder string
	err    error
}

func (l *lock) Get(context.Context) (*resourcelock.LeaderElectionRecord, []byte, error) {
	return &resourcelock.LeaderElectionRecord{HolderIdentity: l.holder}, nil, l.err
}

func (*lock) Identity() string                                                  { return "me" }
func (l *lock) Create(context.Context, resourcelock.LeaderElectionRecord) error { return l.err }
func (l *lock) Update(context.Context, resourcelock.LeaderElectionRecord) error { return l.err }

func TestALeaderHoldsForAsLongAsNobodyElseCan(t *testing.T) {
	const lasts = 10 * time.Second
	mine, free := resourcelock.LeaderElectionRecord{HolderIdentity: "me"}, resourcelock.LeaderElectionRecord{}
	for name, tc := range map[string]struct {
		do    func(*Lead, *clocktesting.FakePassiveClock, *lock)
		holds bool
	}{
		"it never led": {func(*Lead, *clocktesting.FakePassiveClock, *lock) {}, false},
		"it took the lock": {func(l *Lead, _ *clocktesting.FakePassiveClock, _ *lock) {
			_ = l.Create(t.Context(), mine)
		}, true},
		"it renewed the lock a moment ago": {func(l *Lead, c *clocktesting.FakePassiveClock, _ *lock) {
			_ = l.Update(t.Context(), mine)
			c.SetTime(c.Now().Add(lasts - 1))
		}, true},
		"it was paused for as long as the lock lasts": {func(l *Lead, c *clocktesting.FakePassiveClock, _ *lock) {
			_ = l.Update(t.Context(), mine)
			c.SetTime(c.Now().Add(lasts))
		}, false},
		"it cannot renew the lock": {func(l *Lead, c *clocktesting.FakePassiveClock, to *lock) {
			_ = l.Update(t.Context(), mine)
			c.SetTime(c.Now().Add(lasts - time.Second))
			to.err = errors.New("no answer")
			_ = l.Update(t.Context(), mine)
			c.SetTime(c.Now().Add(time.Second))
		}, false},
		"it gave the lock back": {func(l *Lead, _ *clocktesting.FakePassiveClock, _ *lock) {
			_ = l.Update(t.Context(), mine)
			_ = l.Update(t.Context(), free)
		}, false},
		"it gave the lock back, and heard nothing": {func(l *Lead, _ *clocktesting.FakePassiveClock, to *lock) {
			_ = l.Update(t.Context(), mine)
			to.err = errors.New("no answer")
			_ = l.Update(t.Context(), free)
		}, false},
	} {
		t.Run(name, func(t *testing.T) {
			to, now := &lock{}, clocktesting.NewFakePassiveClock(time.Date(2026, 5, 14, 9, 0, 0, 0, time.UTC))
			l := &Lead{Interface: to, clock: now, lasts: lasts}
			tc.do(l, now, to)
			if got := l.Holds(); got != tc.holds {
				t.Errorf("holds = %v, want %v", got, tc.holds)
			}
			pulse := NewPulse(now, l)
			if got := pulse.Begin().Holds(); got != tc.holds {
				t.Errorf("a proof holds = %v, want %v", got, tc.holds)
			}
		})
	}
	if !(*Lead)(nil).Holds() {
		t.Error("an operator that needs no lock does not lead")
	}
}

func TestALeaderEndsOnceAnotherLeads(t *testing.T) {
	for name, tc := range map[string]struct {
		led    bool
		holder string
		err    error
		ended  bool
	}{
		"it leads":                           {true, "me", nil, false},
		"another leads, and it stands by":    {false, "other", nil, false},
		"another took the lock from it":      {true, "other", nil, true},
		"somebody emptied the lock":          {true, "", nil, true},
		"it cannot be told who has the lock": {true, "other", errors.New("no answer"), false},
	} {
		t.Run(name, func(t *testing.T) {
			var ended error
			now := clocktesting.NewFakePassiveClock(time.Now())
			l := &Lead{Interface: &lock{holder: tc.holder, err: tc.err}, clock: now, lasts: time.Hour, end: func(err error) { ended = err }}
			if tc.led {
				l.set(now.Now())
			}
			_, _, _ = l.Get(t.Context())
			if got := ended != nil; got != tc.ended || l.Holds() != (tc.led && !tc.ended) {
				t.Errorf("ended = %v, holds = %v", ended, l.Holds())
			}
		})
	}
}
