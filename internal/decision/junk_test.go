package decision_test

import (
	"testing"

	"pgregory.net/rapid"

	"github.com/interlock-dev/interlock/api/v1alpha1"
	"github.com/interlock-dev/interlock/internal/decision"
	"github.com/interlock-dev/interlock/internal/diff"
)

// TestWhatTheAPIWouldRefuse puts names that are missing, doubled or of nothing into policies and models. Such a policy may
// come from a file: it is compared, decided under and digested without a panic, and clears nothing that it cannot read.
func TestWhatTheAPIWouldRefuse(t *testing.T) {
	garble := func(t *rapid.T, in *decision.Input) {
		name := func() string {
			return pick(t, "name", []string{"", "ASL-1", "ASL-2", "ASL-9", "CBRN-3", "s1", "\xff\n"})
		}
		for i := range in.Policy.Spec.Levels {
			l := &in.Policy.Spec.Levels[i]
			if onceIn(t, 3, "garbled level") {
				l.Name = name()
			}
			if onceIn(t, 3, "garbled standard") {
				l.Security = v1alpha1.Standard{Safeguards: []v1alpha1.Obligation{{Safeguard: name()}, {Safeguard: name(), Force: "Sworn", MinimumStrength: "Sworn", Audiences: []v1alpha1.Audience{"All"}}}}
			}
		}
		for i := range in.Policy.Spec.Thresholds {
			th := &in.Policy.Spec.Thresholds[i]
			if onceIn(t, 3, "garbled threshold") {
				th.Name = name()
			}
			if onceIn(t, 3, "garbled demand") {
				th.Demands = append(th.Demands, v1alpha1.ThresholdDemand{Axis: v1alpha1.Axis(name()), Level: name(), Force: "Sworn"})
			}
		}
		if onceIn(t, 4, "garbled baseline") {
			in.Policy.Spec.BaselineLevel = name()
		}
		if onceIn(t, 4, "garbled model") {
			in.Model.Spec.AssessedLevel, in.Model.Spec.Audience = name(), "All"
		}
		if onceIn(t, 4, "no levels") {
			in.Policy.Spec.Levels = nil
		}
		if r := in.Policy.Spec.Assessment; r != nil && onceIn(t, 3, "garbled rules") {
			r.MaxAgeMonths, r.MaxComputeFactor, r.Stale, r.Supersession = new(int32(-7)), new(int32(0)), "Sworn", "Sworn"
		}
	}
	rapid.Check(t, func(t *rapid.T) {
		in, other := anyInput(t), anyInput(t)
		before := cloned(in)
		garble(t, &in)
		garble(t, &other)
		v := decision.Decide(in)
		decision.DigestUsed(in, v)
		decision.DigestUsed(in, decision.Verdict{})
		diff.Compare(diff.Framework{Policy: in.Policy}, diff.Framework{Policy: other.Policy})
		diff.Compare(diff.Framework{Policy: before.Policy}, diff.Framework{Policy: in.Policy})
		if changes := diff.Compare(diff.Framework{Policy: in.Policy}, diff.Framework{Policy: in.Policy}); len(changes) > 0 {
			t.Fatalf("differs from itself: %v", lines(changes))
		}
		if len(in.Policy.Spec.Levels) == 0 && v.Cleared() {
			t.Fatalf("cleared under no level: %s", told(v))
		}
	})
}
