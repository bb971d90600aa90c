package decision_test

import (
	"encoding/json"
	"fmt"
	"maps"
	"slices"
	"strings"
	"testing"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"pgregory.net/rapid"

	"github.com/interlock-dev/interlock/api/v1alpha1"
	"github.com/interlock-dev/interlock/internal/decision"
)

// now lies within a half hour, at whose end an hour's lease is renewed; the lease itself ends at 09:00.
var now = time.Date(2026, 5, 14, 8, 10, 0, 0, time.UTC)

func newPolicy(levels ...v1alpha1.Level) *v1alpha1.ScalingPolicy {
	return &v1alpha1.ScalingPolicy{
		ObjectMeta: metav1.ObjectMeta{Name: "rsp-v2.2"},
		Spec:       v1alpha1.ScalingPolicySpec{Title: "RSP", BaselineLevel: levels[0].Name, Levels: levels},
	}
}

func newLevel(name string, deployment, security v1alpha1.Standard) v1alpha1.Level {
	return v1alpha1.Level{Name: name, Deployment: deployment, Security: security}
}

func asks(obligations ...v1alpha1.Obligation) v1alpha1.Standard {
	return v1alpha1.Standard{Safeguards: obligations}
}

func nothing() v1alpha1.Standard { return v1alpha1.Standard{NotRequired: "nothing is added"} }

func unspecified(why string) v1alpha1.Standard { return v1alpha1.Standard{Unspecified: why} }

func binding(safeguard string) v1alpha1.Obligation {
	return v1alpha1.Obligation{Safeguard: safeguard, Force: v1alpha1.ForceBinding}
}

func forced(safeguard string, force v1alpha1.Force) v1alpha1.Obligation {
	return v1alpha1.Obligation{Safeguard: safeguard, Force: force}
}

func proven(safeguard string, atLeast v1alpha1.Strength) v1alpha1.Obligation {
	return v1alpha1.Obligation{Safeguard: safeguard, MinimumStrength: atLeast}
}

func newModel(level string) *v1alpha1.ModelDeployment {
	return &v1alpha1.ModelDeployment{
		ObjectMeta: metav1.ObjectMeta{Namespace: "serving", Name: "opus"},
		Spec:       v1alpha1.ModelDeploymentSpec{AssessedLevel: level},
	}
}

func inPlace() decision.Finding {
	return decision.Finding{State: v1alpha1.SafeguardSatisfied, Strength: v1alpha1.StrengthEnforced, Message: "in place", Remedy: "keep it so"}
}

func until(f decision.Finding, end time.Time) decision.Finding {
	f.ValidUntil = end
	return f
}

func broken(state v1alpha1.SafeguardState, message, remedy string) decision.Finding {
	return decision.Finding{State: state, Strength: v1alpha1.StrengthObserved, Message: message, Remedy: remedy}
}

func input(policy *v1alpha1.ScalingPolicy, model *v1alpha1.ModelDeployment, findings map[string]decision.Finding) decision.Input {
	return decision.Input{Now: now, PolicyName: "rsp-v2.2", Policy: policy, Model: model, Findings: findings}
}

// copied shares nothing with the original.
func copied(in decision.Input) decision.Input {
	in.Policy, in.Model, in.Findings = in.Policy.DeepCopy(), in.Model.DeepCopy(), maps.Clone(in.Findings)
	return in
}

// bytes is what two verdicts must agree in.
func bytes(t interface{ Fatal(...any) }, v decision.Verdict) string {
	b, err := json.Marshal(v)
	if err != nil {
		t.Fatal(err)
	}
	return string(b)
}

// text writes a verdict as a person would be told it.
func text(v decision.Verdict) string {
	var b strings.Builder
	fmt.Fprintf(&b, "%s, %s: %s\n", v.Outcome, v.Reason, v.Message)
	if v.DeploymentLevel != "" {
		fmt.Fprintf(&b, "levels %s and %s, %q met\n", v.DeploymentLevel, v.SecurityLevel, v.SafeguardsMet())
	}
	if !v.ValidUntil.IsZero() {
		fmt.Fprintf(&b, "valid until %s\n", v.ValidUntil.Format(time.RFC3339))
	}
	if !v.Revisit.IsZero() {
		fmt.Fprintf(&b, "look again at %s\n", v.Revisit.Format(time.RFC3339))
	}
	for _, s := range v.Safeguards {
		fmt.Fprintf(&b, "- %s (%s, %s): %s", s.Name, s.Force, s.State, s.Message)
		if s.ValidUntil != nil {
			fmt.Fprintf(&b, " [until %s]", s.ValidUntil.Format(time.RFC3339))
		}
		if s.Remedy != "" {
			fmt.Fprintf(&b, " -> %s", s.Remedy)
		}
		fmt.Fprintf(&b, "\n  by %s\n", strings.Join(s.RequiredBy, "; "))
	}
	return b.String()
}

var (
	names     = []string{"a", "b", "c", "d", "e"}
	forces    = []v1alpha1.Force{v1alpha1.ForceRecommendation, v1alpha1.ForceDiscretionary, v1alpha1.ForceLaw, v1alpha1.ForceBinding, "", "Sworn"}
	strengths = []v1alpha1.Strength{"", v1alpha1.StrengthDeclared, v1alpha1.StrengthAttested, v1alpha1.StrengthObserved, v1alpha1.StrengthEnforced}
	states    = []v1alpha1.SafeguardState{v1alpha1.SafeguardSatisfied, v1alpha1.SafeguardMissing, v1alpha1.SafeguardExpired, v1alpha1.SafeguardUnknown}
	levels    = []string{"ASL-1", "ASL-2", "ASL-3", "ASL-4"}
)

func oneOf[T any](t *rapid.T, what string, values ...T) T {
	return rapid.SampledFrom(values).Draw(t, what)
}

// chance is true about once in n times.
func chance(t *rapid.T, what string, n int) bool { return rapid.IntRange(1, n).Draw(t, what) == 1 }

func drawObligation(t *rapid.T) v1alpha1.Obligation {
	o := v1alpha1.Obligation{Safeguard: oneOf(t, "safeguard", names...), Force: oneOf(t, "force", forces...)}
	if chance(t, "has minimum", 3) {
		o.MinimumStrength = oneOf(t, "minimum", strengths...)
	}
	return o
}

func drawStandard(t *rapid.T) v1alpha1.Standard {
	switch rapid.IntRange(0, 29).Draw(t, "standard") {
	case 0:
		return unspecified("the text does not tell")
	case 1:
		return v1alpha1.Standard{}
	case 2, 3, 4, 5, 6, 7, 8, 9, 10, 11:
		return nothing()
	}
	drawn := rapid.SliceOfNDistinct(rapid.Custom(drawObligation), 1, 3, func(o v1alpha1.Obligation) string { return o.Safeguard })
	return asks(drawn.Draw(t, "obligations")...)
}

func drawPolicy(t *rapid.T) *v1alpha1.ScalingPolicy {
	var drawn []v1alpha1.Level
	for _, name := range levels[:rapid.IntRange(1, len(levels)).Draw(t, "levels")] {
		drawn = append(drawn, newLevel(name, drawStandard(t), drawStandard(t)))
	}
	policy := newPolicy(drawn...)
	policy.Spec.BaselineLevel = oneOf(t, "baseline", drawn...).Name
	if chance(t, "has lease", 2) {
		policy.Spec.Lease = &metav1.Duration{Duration: time.Duration(rapid.Int64Range(int64(2*time.Second), int64(24*time.Hour)).Draw(t, "lease"))}
	}
	return policy
}

// drawTime draws a time in the days around now, often on or just beside a full second.
func drawTime(t *rapid.T, what string) time.Time {
	at := now.Add(time.Duration(rapid.IntRange(-7200, 7200).Draw(t, what)) * time.Second)
	return at.Add(oneOf(t, what+" fraction", 0, 0, 1, -1, 500*time.Millisecond))
}

func drawFinding(t *rapid.T) decision.Finding {
	f := inPlace()
	if chance(t, "not in place", 12) {
		f.State = oneOf(t, "state", append(states, "", "Lost")...)
	}
	if chance(t, "weaker", 6) {
		f.Strength = oneOf(t, "strength", append(strengths, "Sworn")...)
	}
	if chance(t, "ends", 4) {
		f.ValidUntil = drawTime(t, "finding ends")
	}
	return f
}

// drawInput draws inputs of which about a third clear the model.
func drawInput(t *rapid.T) decision.Input {
	policy := drawPolicy(t)
	in := decision.Input{
		Now: drawTime(t, "now"), PolicyName: policy.Name, Policy: policy, Model: newModel(oneOf(t, "assessed", policy.Spec.Levels...).Name),
		AdmittedPods: rapid.IntRange(0, 2).Draw(t, "admitted"), Findings: map[string]decision.Finding{},
	}
	if chance(t, "declares a level of another policy", 12) {
		in.Model.Spec.AssessedLevel = "ASL-9"
	}
	for _, name := range names {
		if !chance(t, "not looked at", 25) {
			in.Findings[name] = drawFinding(t)
		}
	}
	return in
}

// drawCleared draws inputs that clear the model.
func drawCleared(t *rapid.T) decision.Input {
	return rapid.Custom(drawInput).Filter(func(in decision.Input) bool { return decision.Decide(in).Cleared() }).Draw(t, "cleared input")
}

// TestDrawnInputsAreOfBothKinds keeps the properties from holding for want of cases.
func TestDrawnInputsAreOfBothKinds(t *testing.T) {
	count := map[string]int{}
	for seed := range 400 {
		v := decision.Decide(rapid.Custom(drawInput).Example(seed))
		count[v.Reason]++
	}
	for _, reason := range []string{
		v1alpha1.ReasonCleared, v1alpha1.ReasonSafeguardsMissing, v1alpha1.ReasonSafeguardsUnspecified, v1alpha1.ReasonLevelUnknown,
	} {
		if count[reason] < 20 {
			t.Errorf("only %d of 400 inputs give %s: %v", count[reason], reason, count)
		}
	}
	if reasons := slices.Sorted(maps.Keys(count)); len(reasons) != 4 {
		t.Errorf("reasons %v", reasons)
	}
}
