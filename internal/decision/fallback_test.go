package decision_test

import (
	"fmt"
	"math/rand/v2"
	"strings"
	"testing"

	"github.com/interlock-dev/interlock/api/v1alpha1"
	"github.com/interlock-dev/interlock/internal/decision"
	"github.com/interlock-dev/interlock/internal/testing/builder"
)

func fallbackPolicy() *v1alpha1.ScalingPolicy {
	return builder.ScalingPolicy("rsp").Level(builder.Level(builder.ASL2)).Level(builder.Level(builder.ASL3)).Build()
}

func standing(name string, outcome v1alpha1.Outcome, level string, ready int) decision.Standing {
	return decision.Standing{
		Name: name, Declaration: builder.ModelDeployment("n", name).Build(), Outcome: outcome,
		DeploymentLevel: level, SecurityLevel: level, Admitted: ready, Ready: ready}
}

func TestFallBack(t *testing.T) {
	const cleared, held, revoked = v1alpha1.OutcomeCleared, v1alpha1.OutcomeHeld, v1alpha1.OutcomeRevoked
	type in = decision.FallbackInput
	for name, tc := range map[string]struct {
		model   decision.Standing
		change  func(*in)
		course  decision.Course
		reason  string
		message string
	}{
		"revoked":               {standing("big", revoked, builder.ASL3, 2), nil, decision.CourseTurn, v1alpha1.ReasonFallenBack, "Revoked, and model small serves"},
		"held, no pod runs":     {standing("big", held, builder.ASL3, 0), nil, decision.CourseTurn, v1alpha1.ReasonFallenBack, "Held"},
		"cleared, and ready":    {standing("big", cleared, builder.ASL3, 1), nil, decision.CourseReturn, v1alpha1.ReasonNotNeeded, "is cleared"},
		"cleared, nothing runs": {standing("big", cleared, builder.ASL3, 0), nil, decision.CourseStay, v1alpha1.ReasonAwaitingPods, "no pod of it is ready"},
		"not decided":           {standing("big", "", builder.ASL3, 1), nil, decision.CourseStay, v1alpha1.ReasonNotNeeded, "not been decided"},
		"at the same level":     {standing("big", revoked, builder.ASL2, 1), nil, decision.CourseTurn, v1alpha1.ReasonFallenBack, ""},
		"nothing is enforced": {standing("big", revoked, builder.ASL3, 1), func(in *in) { in.Enforced = false },
			decision.CourseReturn, v1alpha1.ReasonNotNeeded, "no policy is enforced"},
		"no fallback": {standing("big", revoked, builder.ASL3, 1), func(in *in) { in.Fallback = decision.Standing{Name: "small"} },
			decision.CourseStay, v1alpha1.ReasonFallbackNotFound, `no ModelDeployment "small" in this namespace`},
		"no fallback, and cleared": {standing("big", cleared, builder.ASL3, 1), func(in *in) { in.Fallback = decision.Standing{Name: "small"} },
			decision.CourseReturn, v1alpha1.ReasonNotNeeded, "could not fall back now: there is no"},
		"fallback with a fallback": {standing("big", revoked, builder.ASL3, 1), func(in *in) {
			in.Fallback.Declaration.Spec.Fallback = &v1alpha1.Fallback{ModelDeployment: "big"}
		}, decision.CourseStay, v1alpha1.ReasonFallbackChained, "names a fallback itself"},
		"itself": {standing("small", revoked, builder.ASL3, 1), nil, decision.CourseStay, v1alpha1.ReasonFallbackChained, ""},
		"fallback revoked": {standing("big", revoked, builder.ASL3, 1), func(in *in) { in.Fallback.Outcome = revoked },
			decision.CourseStay, v1alpha1.ReasonFallbackNotCleared, "small, the fallback, is not cleared"},
		"fallback not decided": {standing("big", revoked, builder.ASL3, 1), func(in *in) { in.Fallback.Outcome = "" },
			decision.CourseStay, v1alpha1.ReasonFallbackNotCleared, ""},
		"fallback above on one axis": {standing("big", revoked, builder.ASL2, 1), func(in *in) { in.Fallback.SecurityLevel = builder.ASL3 },
			decision.CourseStay, v1alpha1.ReasonFallbackAbove, "at ASL-3 on the security axis, which is above ASL-2 of model big"},
		"level of the fallback unknown": {standing("big", revoked, builder.ASL3, 1), func(in *in) { in.Fallback.DeploymentLevel = "" },
			decision.CourseStay, v1alpha1.ReasonFallbackAbove, "cannot be told"},
		"level of the model unknown": {standing("big", held, "ASL-9", 0), nil, decision.CourseStay, v1alpha1.ReasonFallbackAbove, "cannot be told"},
		"no such policy": {standing("big", held, builder.ASL3, 0), func(in *in) { in.Policy = nil },
			decision.CourseStay, v1alpha1.ReasonFallbackAbove, "does not exist"},
		"fallback without ready pods": {standing("big", revoked, builder.ASL3, 1), func(in *in) { in.Fallback.Ready = 0 },
			decision.CourseStay, v1alpha1.ReasonFallbackNotReady, "no pod of model small"},
	} {
		t.Run(name, func(t *testing.T) {
			in := decision.FallbackInput{Enforced: true, Policy: fallbackPolicy(), Model: tc.model, Fallback: standing("small", cleared, builder.ASL2, 1)}
			if tc.change != nil {
				tc.change(&in)
			}
			v := decision.FallBack(in)
			if v.Course != tc.course || v.Reason != tc.reason || !strings.Contains(v.Message, tc.message) {
				t.Errorf("%+v\nwant %s, %s, %q", v, tc.course, tc.reason, tc.message)
			}
		})
	}
}

// TestFallBackNeverLeadsToWhatIsNotCleared draws standings of all kinds.
func TestFallBackNeverLeadsToWhatIsNotCleared(t *testing.T) {
	r := rand.New(rand.NewPCG(1, 2))
	pick := func(names ...string) string { return names[r.IntN(len(names))] }
	draw := func(name string) decision.Standing {
		s := standing(name, v1alpha1.Outcome(pick("", "Cleared", "Held", "Revoked")), "", r.IntN(2))
		s.DeploymentLevel, s.SecurityLevel = pick("", builder.ASL2, builder.ASL3), pick(builder.ASL2, builder.ASL3)
		s.Admitted += r.IntN(2)
		if r.IntN(5) == 0 {
			s.Declaration = nil
		} else if r.IntN(4) == 0 {
			s.Declaration.Spec.Fallback = &v1alpha1.Fallback{}
		}
		return s
	}
	seen := map[decision.Course]int{}
	for range 20_000 {
		in := decision.FallbackInput{Enforced: r.IntN(10) > 0, Policy: fallbackPolicy(), Model: draw("big"), Fallback: draw("small")}
		v := decision.FallBack(in)
		seen[v.Course]++
		told := fmt.Sprintf("%s: %+v, %+v, enforced %v", v.Course, in.Model, in.Fallback, in.Enforced)
		if v.Course == decision.CourseTurn && (in.Fallback.Outcome != v1alpha1.OutcomeCleared || in.Fallback.Ready == 0 || in.Model.Outcome == v1alpha1.OutcomeCleared || !in.Enforced) {
			t.Fatal("turned to what is not cleared and ready, or without need: ", told)
		}
		if v.Course == decision.CourseTurn && (in.Fallback.DeploymentLevel > in.Model.DeploymentLevel || in.Fallback.SecurityLevel > in.Model.SecurityLevel) {
			t.Fatal("turned upwards: ", told)
		}
		if v.Course == decision.CourseReturn && in.Enforced && (in.Model.Outcome != v1alpha1.OutcomeCleared || in.Model.Ready == 0) {
			t.Fatal("returned to what is not cleared and ready: ", told)
		}
		if decision.MayReturn(in.Enforced, in.Model) && in.Enforced && in.Model.Outcome != v1alpha1.OutcomeCleared && in.Model.Admitted > 0 {
			t.Fatal("may return to pods that run without clearance: ", told)
		}
		if v.Reason == "" || v.Message == "" {
			t.Fatal("does not say why: ", told)
		}
	}
	if seen[decision.CourseTurn] < 100 || seen[decision.CourseReturn] < 100 || seen[decision.CourseStay] < 100 {
		t.Errorf("drawn too seldom: %v", seen)
	}
}
