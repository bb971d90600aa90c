package decision_test

import (
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"pgregory.net/rapid"

	"github.com/interlock-dev/interlock/api/v1alpha1"
	"github.com/interlock-dev/interlock/internal/decision"
)

func after(d time.Duration) *metav1.Duration { return &metav1.Duration{Duration: d} }

func evicts(start, force *metav1.Duration) []v1alpha1.ShortfallStep {
	return []v1alpha1.ShortfallStep{{Action: v1alpha1.ShortfallEvict, After: start, ForceAfter: force}}
}

func stepsOf(baseline, higher []v1alpha1.ShortfallStep) *v1alpha1.ScalingPolicy {
	policy := newPolicy(newLevel("ASL-2", nothing(), nothing()), newLevel("ASL-3", nothing(), nothing()))
	policy.Spec.Levels[0].OnShortfall, policy.Spec.Levels[1].OnShortfall = baseline, higher
	return policy
}

func TestOnShortfall(t *testing.T) {
	atOnce, later, forced := evicts(nil, nil), evicts(after(time.Minute), nil), evicts(after(time.Minute), after(5*time.Minute))
	at := func(since time.Duration) *time.Time { next := now.Add(since); return &next }
	lost := stepsOf(atOnce, atOnce)
	lost.Spec.BaselineLevel = "ASL-9"
	for name, tc := range map[string]struct {
		policy       *v1alpha1.ScalingPolicy
		level        string
		passed       time.Duration
		evict, force bool
		next         *time.Time
	}{
		"no policy":                        {nil, "ASL-2", time.Hour, false, false, nil},
		"no steps":                         {stepsOf(nil, atOnce), "ASL-2", time.Hour, false, false, nil},
		"at once":                          {stepsOf(atOnce, nil), "ASL-2", 0, true, false, nil},
		"of the model's own level":         {stepsOf(nil, atOnce), "ASL-3", 0, true, false, nil},
		"of the baseline, level unknown":   {stepsOf(atOnce, nil), "ASL-9", 0, true, false, nil},
		"of the baseline, level not told":  {stepsOf(atOnce, nil), "", 0, true, false, nil},
		"neither level nor baseline known": {lost, "ASL-9", time.Hour, false, false, nil},
		"not yet":                          {stepsOf(later, nil), "ASL-2", time.Minute - 1, false, false, at(time.Minute)},
		"due":                              {stepsOf(later, nil), "ASL-2", time.Minute, true, false, nil},
		"both to come":                     {stepsOf(forced, nil), "ASL-2", 0, false, false, at(time.Minute)},
		"force to come":                    {stepsOf(forced, nil), "ASL-2", time.Minute, true, false, at(5 * time.Minute)},
		"force just before":                {stepsOf(forced, nil), "ASL-2", 5*time.Minute - 1, true, false, at(5 * time.Minute)},
		"force due":                        {stepsOf(forced, nil), "ASL-2", 5 * time.Minute, true, true, nil},
		"force at once":                    {stepsOf(evicts(nil, after(0)), nil), "ASL-2", 0, true, true, nil},
		"force before eviction evicts":     {stepsOf(evicts(after(time.Hour), after(time.Minute)), nil), "ASL-2", time.Minute, true, true, nil},
		"the clock was put back":           {stepsOf(atOnce, nil), "ASL-2", -time.Second, false, false, at(0)},
		"the clock was put back, forced":   {stepsOf(forced, nil), "ASL-2", -time.Hour, false, false, at(time.Minute)},
		"a later step of the same kind adds nothing": {stepsOf(append(evicts(after(time.Minute), nil), evicts(after(time.Hour), nil)...), nil),
			"ASL-2", time.Minute, true, false, nil},
	} {
		t.Run(name, func(t *testing.T) {
			want := decision.Measures{Evict: tc.evict, Force: tc.force}
			if tc.next != nil {
				want.Next = *tc.next
			}
			if tc.policy != nil {
				for _, s := range tc.policy.Spec.Levels[0].OnShortfall {
					if s.ForceAfter != nil {
						want.ForceAt = now.Add(s.ForceAfter.Duration)
					}
				}
			}
			got := decision.OnShortfall(tc.policy, now, now.Add(tc.passed), tc.level)
			if diff := cmp.Diff(want, got); diff != "" {
				t.Errorf("measures (-want +got):\n%s", diff)
			}
			wantStep := v1alpha1.ShortfallAction("")
			if tc.evict {
				wantStep = v1alpha1.ShortfallEvict
			}
			if got.Step() != wantStep {
				t.Errorf("step %q, want %q", got.Step(), wantStep)
			}
		})
	}
}

func step(action v1alpha1.ShortfallAction, start *metav1.Duration) v1alpha1.ShortfallStep {
	return v1alpha1.ShortfallStep{Action: action, After: start}
}

func TestMeasuresOfEachAction(t *testing.T) {
	all := []v1alpha1.ShortfallStep{
		step(v1alpha1.ShortfallHold, nil), step(v1alpha1.ShortfallWarn, nil), step(v1alpha1.ShortfallIsolate, after(time.Minute)),
		step(v1alpha1.ShortfallEvict, after(2*time.Minute)), step(v1alpha1.ShortfallStop, after(3*time.Minute)),
	}
	for name, tc := range map[string]struct {
		policy *v1alpha1.ScalingPolicy
		passed time.Duration
		want   decision.Measures
		step   v1alpha1.ShortfallAction
	}{
		"hold alone does nothing to pods": {stepsOf(all[:1], nil), time.Hour, decision.Measures{}, ""},
		"warn":                            {stepsOf(all, nil), 0, decision.Measures{Warn: true, Next: now.Add(time.Minute)}, v1alpha1.ShortfallWarn},
		"isolate": {stepsOf(all, nil), time.Minute,
			decision.Measures{Warn: true, Isolate: true, Next: now.Add(2 * time.Minute)}, v1alpha1.ShortfallIsolate},
		"evict": {stepsOf(all, nil), 2 * time.Minute,
			decision.Measures{Warn: true, Isolate: true, Evict: true, Next: now.Add(3 * time.Minute)}, v1alpha1.ShortfallEvict},
		"stop": {stepsOf(all, nil), 3 * time.Minute,
			decision.Measures{Warn: true, Isolate: true, Evict: true, Stop: true}, v1alpha1.ShortfallStop},
		"the steps of both levels": {stepsOf(all[1:2], all[4:]), 3 * time.Minute,
			decision.Measures{Warn: true, Stop: true}, v1alpha1.ShortfallStop},
		"the sooner of two levels": {stepsOf(all[4:], []v1alpha1.ShortfallStep{step(v1alpha1.ShortfallStop, nil)}), 0,
			decision.Measures{Stop: true}, v1alpha1.ShortfallStop},
		"an action that is not known": {stepsOf([]v1alpha1.ShortfallStep{step("Explode", nil)}, nil), 0, decision.Measures{}, ""},
	} {
		t.Run(name, func(t *testing.T) {
			got := decision.OnShortfall(tc.policy, now, now.Add(tc.passed), "ASL-3")
			if diff := cmp.Diff(tc.want, got); diff != "" {
				t.Errorf("measures (-want +got):\n%s", diff)
			}
			if got.Step() != tc.step {
				t.Errorf("step %q, want %q", got.Step(), tc.step)
			}
		})
	}
}

func TestStops(t *testing.T) {
	stops := []v1alpha1.ShortfallStep{step(v1alpha1.ShortfallStop, after(time.Hour))}
	for name, tc := range map[string]struct {
		policy *v1alpha1.ScalingPolicy
		level  string
		want   bool
	}{
		"no policy":                      {nil, "ASL-2", false},
		"no step":                        {stepsOf(evicts(nil, nil), nil), "ASL-3", false},
		"of the level":                   {stepsOf(nil, stops), "ASL-3", true},
		"of a level above":               {stepsOf(nil, stops), "ASL-2", false},
		"of the level before":            {stepsOf(stops, nil), "ASL-3", true},
		"of the baseline, level unknown": {stepsOf(stops, nil), "ASL-9", true},
	} {
		t.Run(name, func(t *testing.T) {
			if got := decision.Stops(tc.policy, tc.level); got != tc.want {
				t.Errorf("stops = %v, want %v", got, tc.want)
			}
		})
	}
}

// TestAndTakesWhatEitherTakes: measures of two sources add up and none is lost.
func TestAndTakesWhatEitherTakes(t *testing.T) {
	sooner, later := now.Add(time.Minute), now.Add(time.Hour)
	got := decision.Measures{Warn: true, Evict: true, Next: later}.And(decision.Measures{Isolate: true, Force: true, Stop: true, Next: sooner})
	want := decision.Measures{Warn: true, Isolate: true, Evict: true, Force: true, Stop: true, Next: sooner}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("measures (-want +got):\n%s", diff)
	}
	if diff := cmp.Diff(want, want.And(decision.Measures{})); diff != "" {
		t.Errorf("with none (-want +got):\n%s", diff)
	}
}

// TestShortfallOnlyGetsWorse: as time goes by measures are added and none is taken back, each at the time that was named
// for it.
func TestShortfallOnlyGetsWorse(t *testing.T) {
	drawDelay := rapid.Custom(func(t *rapid.T) *metav1.Duration {
		return oneOf(t, "delay", nil, after(time.Duration(rapid.Int64Range(0, int64(time.Hour)).Draw(t, "time"))))
	})
	rapid.Check(t, func(t *rapid.T) {
		var steps []v1alpha1.ShortfallStep
		for range rapid.IntRange(0, 3).Draw(t, "steps") {
			if action := oneOf(t, "action", v1alpha1.ShortfallWarn, v1alpha1.ShortfallIsolate, v1alpha1.ShortfallEvict, v1alpha1.ShortfallStop); action != v1alpha1.ShortfallEvict {
				steps = append(steps, step(action, drawDelay.Draw(t, "after")))
				continue
			}
			steps = append(steps, evicts(drawDelay.Draw(t, "after"), drawDelay.Draw(t, "force"))...)
		}
		policy := stepsOf(steps, nil)
		at := now.Add(time.Duration(rapid.Int64Range(int64(-time.Hour), int64(time.Hour)).Draw(t, "passed")))
		before := decision.Measures{}
		for range 10 {
			m := decision.OnShortfall(policy, now, at, "ASL-2")
			if kept := before.And(m); kept.Warn != m.Warn || kept.Isolate != m.Isolate || kept.Evict != m.Evict ||
				kept.Force != m.Force || kept.Stop != m.Stop || m.Force && !m.Evict {
				t.Fatalf("from %+v to %+v", before, m)
			}
			if at.Before(now) && m.Step() != "" {
				t.Fatalf("before the shortfall began: %+v", m)
			}
			if m.Next.IsZero() {
				if end := decision.OnShortfall(policy, now, at.AddDate(1, 0, 0), "ASL-2"); end != m {
					t.Fatalf("nothing is left to do, and yet %+v becomes %+v", m, end)
				}
				return
			}
			if !m.Next.After(at) {
				t.Fatalf("next at %s, which is not after %s", m.Next, at)
			}
			if just := decision.OnShortfall(policy, now, m.Next.Add(-1), "ASL-2"); just != m {
				t.Fatalf("before %s comes, %+v becomes %+v", m.Next, m, just)
			}
			before, at = m, m.Next
		}
		t.Fatalf("there is always a next: %+v", before)
	})
}
