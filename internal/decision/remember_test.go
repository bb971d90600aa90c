package decision_test

import (
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"

	"github.com/interlock-dev/interlock/api/v1alpha1"
	"github.com/interlock-dev/interlock/internal/decision"
)

// spell is a time in which pods run without clearance, or none does.
type spell struct {
	short bool
	lasts time.Duration
}

// live lets spells follow each other, and looks at each step, at each end, and once a minute.
func live(steps decision.Schedule, spells ...spell) (s decision.Shortfall, at time.Time) {
	at = now
	for _, spell := range spells {
		s = look(s, steps, at, spell.short)
		for end := at.Add(spell.lasts); at.Before(end); {
			at = decision.Sooner(end, at.Add(time.Minute))
			s = look(s, steps, at, spell.short)
		}
	}
	return s, at
}

func look(s decision.Shortfall, steps decision.Schedule, at time.Time, short bool) decision.Shortfall {
	if short {
		return s.Continue(steps, at)
	}
	return s.Quiet(at)
}

func TestShortfallIsRemembered(t *testing.T) {
	const minute, second = time.Minute, time.Second
	evict := decision.ScheduleOf(stepsOf(evicts(after(5*minute), after(time.Hour)), nil), "ASL-2")
	atOnce := decision.ScheduleOf(stepsOf(evicts(nil, nil), nil), "ASL-2")
	forced := decision.ScheduleOf(stepsOf(evicts(nil, after(time.Hour)), nil), "ASL-2")
	none := decision.ScheduleOf(stepsOf(nil, nil), "ASL-2")
	short := func(d time.Duration) spell { return spell{true, d} }
	quiet := func(d time.Duration) spell { return spell{false, d} }
	for name, tc := range map[string]struct {
		steps  decision.Schedule
		spells []spell
		want   decision.Shortfall
	}{
		"never short":                        {evict, []spell{quiet(time.Hour)}, decision.Shortfall{}},
		"short":                              {evict, []spell{short(minute)}, decision.Shortfall{Since: now, Wait: 5 * minute}},
		"past the first step":                {evict, []spell{short(6 * minute)}, decision.Shortfall{Since: now, Wait: time.Hour}},
		"past the last":                      {evict, []spell{short(2 * time.Hour)}, decision.Shortfall{Since: now, Wait: time.Hour}},
		"quiet, not for long enough":         {evict, []spell{short(minute), quiet(5*minute - second)}, decision.Shortfall{Since: now, Wait: 5 * minute, QuietSince: now.Add(minute)}},
		"quiet for long enough":              {evict, []spell{short(minute), quiet(5 * minute)}, decision.Shortfall{}},
		"quiet again and again":              {evict, []spell{short(minute), quiet(4 * minute), short(second), quiet(4 * minute)}, decision.Shortfall{Since: now, Wait: time.Hour, QuietSince: now.Add(5*minute + second)}},
		"short again before the first step":  {evict, []spell{short(minute), quiet(minute), short(minute)}, decision.Shortfall{Since: now, Wait: 5 * minute}},
		"short again after it has ended":     {evict, []spell{short(minute), quiet(5 * minute), short(minute)}, decision.Shortfall{Since: now.Add(6 * minute), Wait: 5 * minute}},
		"just before force":                  {evict, []spell{short(time.Hour - second), quiet(time.Hour - second), short(0)}, decision.Shortfall{Since: now, Wait: time.Hour}},
		"a step at once, and no other":       {atOnce, []spell{short(minute), quiet(0)}, decision.Shortfall{}},
		"a step at once, and force to come":  {forced, []spell{short(minute), quiet(minute)}, decision.Shortfall{Since: now, Wait: time.Hour, QuietSince: now.Add(minute)}},
		"no step":                            {none, []spell{short(minute)}, decision.Shortfall{Since: now}},
		"no step, and quiet":                 {none, []spell{short(minute), quiet(0)}, decision.Shortfall{}},
		"quiet for part of a second is less": {evict, []spell{short(minute + 1), quiet(5*minute - 1)}, decision.Shortfall{Since: now, Wait: 5 * minute, QuietSince: now.Add(minute + second)}},
	} {
		t.Run(name, func(t *testing.T) {
			got, _ := live(tc.steps, tc.spells...)
			if diff := cmp.Diff(tc.want, got); diff != "" {
				t.Errorf("(-want +got):\n%s", diff)
			}
		})
	}
}

// TestShortfallOfALaxerLevel: a level that is declared lower, or a policy with fewer steps, does not let it be forgotten sooner.
func TestShortfallOfALaxerLevel(t *testing.T) {
	policy := stepsOf(nil, evicts(after(time.Minute), after(time.Hour)))
	s := decision.Shortfall{}.Continue(decision.ScheduleOf(policy, "ASL-3"), now)
	s = s.Continue(decision.ScheduleOf(policy, "ASL-2"), now.Add(10*time.Second)).Quiet(now.Add(20 * time.Second))
	want := decision.Shortfall{Since: now, Wait: time.Minute, QuietSince: now.Add(20 * time.Second)}
	if diff := cmp.Diff(want, s); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
}

func TestShortfallWhenTheClockIsPutBack(t *testing.T) {
	steps := decision.ScheduleOf(stepsOf(evicts(after(time.Minute), nil), nil), "ASL-2")
	s, _ := live(steps, spell{true, time.Second})
	back := now.Add(-time.Hour)
	if got := s.Continue(steps, back); !got.Since.Equal(back) {
		t.Errorf("short since %s, want %s", got.Since, back)
	}
	if got := s.Quiet(now.Add(time.Second)).Quiet(back); !got.Ends().Equal(back.Add(time.Minute)) {
		t.Errorf("ends at %s, and would be remembered for longer than a minute", got.Ends())
	}
}

// TestFlappingPutsNoStepOff: whatever short and quiet times follow each other, as long as none of the quiet ones lasts long
// enough, each step that is due by the first beginning is due. One that lasts long enough ends the shortfall, and time alone
// changes what is remembered of a quiet model at its end and at no other time.
func TestFlappingPutsNoStepOff(t *testing.T) {
	ended, lasted := 0, 0
	rapid.Check(t, func(t *rapid.T) {
		policy := stepsOf(someSteps(t), someSteps(t))
		steps := decision.ScheduleOf(policy, "ASL-3")
		seconds := func(what string, most time.Duration) time.Duration {
			return time.Duration(rapid.Int64Range(0, int64(most/time.Second)).Draw(t, what)) * time.Second
		}
		s, at := live(steps, spell{true, seconds("short first", 5*time.Hour)})
		since := s.Since
		for range rapid.IntRange(1, 5).Draw(t, "flaps") {
			if s.Wait == 0 {
				break
			}
			quiet := seconds("quiet", s.Wait+time.Hour)
			resting := s.Quiet(at)
			if in := seconds("looked at after", quiet); in < s.Wait && resting.Quiet(at.Add(in)) != resting {
				t.Fatalf("%+v changes %s later, to %+v", resting, in, resting.Quiet(at.Add(in)))
			}
			long := quiet >= s.Wait
			at = at.Add(quiet)
			if over := resting.Quiet(at).IsZero(); over != long {
				t.Fatalf("quiet for %s of %s: over %v", quiet, s.Wait, over)
			}
			if long {
				ended++
				since = at
			} else {
				lasted++
			}
			s = resting.Continue(steps, at)
			if !s.Since.Equal(since) {
				t.Fatalf("began at %s, want %s", s.Since, since)
			}
			for i, m := range []decision.Measures{decision.OnShortfall(policy, since, at, "ASL-3"), s.Taken(policy, at, "ASL-3")} {
				if diff := cmp.Diff(decision.OnShortfall(policy, s.Since, at, "ASL-3"), m); diff != "" {
					t.Fatalf("%d (-want +got):\n%s", i, diff)
				}
			}
			length := seconds("short", 3*time.Hour)
			for end := at.Add(length); at.Before(end); {
				at = decision.Sooner(end, at.Add(10*time.Minute))
				s = s.Continue(steps, at)
			}
		}
	})
	if ended == 0 || lasted == 0 {
		t.Errorf("%d shortfalls ended and %d lasted: the property says nothing", ended, lasted)
	}
}

// TestWordsForEachAction: people are told of each step.
func TestWordsForEachAction(t *testing.T) {
	for _, action := range shortfallActions {
		words := decision.StepWords(action)
		if (words == decision.StepWords("")) != (action == v1alpha1.ShortfallHold) {
			t.Errorf("%s: %q", action, words)
		}
	}
}
