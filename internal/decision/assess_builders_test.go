package decision_test

import (
	"fmt"
	"strings"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/interlock-dev/interlock/api/v1alpha1"
	"github.com/interlock-dev/interlock/internal/decision"
)

// noon is the time of the tests of assessments: within a half hour, at whose end an hour's lease is renewed.
var noon = time.Date(2026, 5, 14, 12, 10, 0, 0, time.UTC)

// weights gives the digest of the nth model.
func weights(n int) string { return fmt.Sprintf("sha256:%064x", n) }

// watched is a model of the weights 1, served to everybody.
func watched(level string) *v1alpha1.ModelDeployment {
	return &v1alpha1.ModelDeployment{
		ObjectMeta: metav1.ObjectMeta{Namespace: "serving", Name: "opus"},
		Spec: v1alpha1.ModelDeploymentSpec{
			Model: v1alpha1.Model{Name: "opus", Digest: weights(1)}, AssessedLevel: level},
	}
}

// filed is an assessment of the weights 1, with outcomes such as "CBRN-3 RuledOut".
func filed(name string, at time.Time, outcomes ...string) v1alpha1.CapabilityAssessment {
	a := v1alpha1.CapabilityAssessment{
		ObjectMeta: metav1.ObjectMeta{Name: name},
		Spec: v1alpha1.CapabilityAssessmentSpec{Model: "opus", Digests: []string{weights(1)},
			AssessedAt: metav1.Time{Time: at}, Evaluator: v1alpha1.Evaluator{Name: "evaluations"}},
	}
	for _, o := range outcomes {
		threshold, outcome, _ := strings.Cut(o, " ")
		a.Spec.Outcomes = append(a.Spec.Outcomes, v1alpha1.ThresholdOutcome{
			Threshold: threshold, Outcome: v1alpha1.AssessmentOutcome(outcome), Method: "tests"})
	}
	return a
}

// superseding names older assessments as out of force.
func superseding(a v1alpha1.CapabilityAssessment, older ...string) v1alpha1.CapabilityAssessment {
	a.Spec.Supersedes = append(a.Spec.Supersedes, older...)
	return a
}

// large is as much as a policy, its Safeguards and its assessments hold for the goal of 30 microseconds.
func large(safeguards, thresholds, assessments int) decision.Input {
	policy := &v1alpha1.ScalingPolicy{ObjectMeta: metav1.ObjectMeta{Name: "large"}, Spec: v1alpha1.ScalingPolicySpec{
		BaselineLevel: "ASL-1",
		Assessment:    &v1alpha1.AssessmentRules{MaxAgeMonths: new(int32(6)), MaxComputeFactor: new(int32(4))},
	}}
	in := decision.Input{Now: noon, PolicyName: policy.Name, Policy: policy, Model: watched("ASL-1"), Findings: map[string]decision.Finding{}}
	in.Model.Spec.Model.EffectiveCompute = "3.2e26"
	for l := range 5 {
		policy.Spec.Levels = append(policy.Spec.Levels, v1alpha1.Level{Name: fmt.Sprintf("ASL-%d", l+1)})
	}
	for i := range safeguards {
		name := fmt.Sprintf("safeguard-%02d", i)
		level := &policy.Spec.Levels[i%5]
		standard := &level.Deployment
		if i/5%2 == 1 {
			standard = &level.Security
		}
		standard.Safeguards = append(standard.Safeguards, v1alpha1.Obligation{
			Safeguard: name, Force: v1alpha1.ForceBinding, MinimumStrength: v1alpha1.StrengthAttested})
		in.Findings[name] = decision.Finding{State: v1alpha1.SafeguardSatisfied, Strength: v1alpha1.StrengthObserved,
			Message: "in place", ValidUntil: noon.Add(time.Duration(i+1) * time.Hour)}
	}
	var outcomes []string
	for i := range thresholds {
		name := fmt.Sprintf("threshold-%02d", i)
		policy.Spec.Thresholds = append(policy.Spec.Thresholds, v1alpha1.Threshold{Name: name, Demands: []v1alpha1.ThresholdDemand{
			{Axis: v1alpha1.AxisDeployment, Level: policy.Spec.Levels[i%5].Name}, {Axis: v1alpha1.AxisSecurity, Level: policy.Spec.Levels[(i+2)%5].Name}}})
		outcomes = append(outcomes, name+" "+[]string{"RuledOut", "RuledOut", "RuledOut", "Reached"}[i%4])
	}
	for i := range assessments {
		a := filed(fmt.Sprintf("assessment-%02d", i), noon.AddDate(0, 0, -i-1), outcomes...)
		a.Spec.EffectiveCompute = "1.1e26"
		if i > 0 {
			a.Spec.Supersedes = []string{fmt.Sprintf("assessment-%02d", i+1)}
		}
		in.Assessments = append(in.Assessments, a)
	}
	return in
}

// assessed is a model of ASL-2 under a policy, with all safeguards in place.
func assessed(policy *v1alpha1.ScalingPolicy, assessments ...v1alpha1.CapabilityAssessment) decision.Input {
	in := decision.Input{Now: noon, PolicyName: policy.Name, Policy: policy, Model: watched("ASL-2"), Assessments: assessments,
		Findings: map[string]decision.Finding{}}
	for _, name := range decision.Named(policy) {
		in.Findings[name] = decision.Finding{State: v1alpha1.SafeguardSatisfied, Strength: v1alpha1.StrengthEnforced, Message: "in place"}
	}
	return in
}

// said writes what the assessments say of each threshold, a line each.
func said(v decision.Verdict) []string {
	var lines []string
	for _, t := range v.Thresholds {
		line := fmt.Sprintf("%s %s", t.Name, t.State)
		if t.Assessment != "" {
			line += " by " + t.Assessment
		}
		if t.TreatedAs != "" {
			line += fmt.Sprintf(", %s", t.TreatedAs)
		}
		if t.ValidUntil != nil {
			line += " until " + t.ValidUntil.Format(time.RFC3339)
		}
		lines = append(lines, line)
	}
	return lines
}

// told writes a verdict as a person would be told it.
func told(v decision.Verdict) string {
	var b strings.Builder
	fmt.Fprintf(&b, "%s, %s: %s\n", v.Outcome, v.Reason, v.Message)
	if v.DeploymentLevel+v.SecurityLevel != "" {
		fmt.Fprintf(&b, "levels %s and %s\n", v.DeploymentLevel, v.SecurityLevel)
	}
	if v.Disputed != "" {
		fmt.Fprintf(&b, "disputed: %s\n", v.Disputed)
	}
	if v.Reported != "" {
		fmt.Fprintf(&b, "reported: %s\n", v.Reported)
	}
	for _, line := range said(v) {
		fmt.Fprintf(&b, "* %s\n", line)
	}
	for _, s := range v.Safeguards {
		fmt.Fprintf(&b, "- %s (%s, %s) by %s\n", s.Name, s.Force, s.State, strings.Join(s.RequiredBy, "; "))
	}
	return b.String()
}
