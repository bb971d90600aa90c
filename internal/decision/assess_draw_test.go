package decision_test

import (
	"encoding/json"
	"fmt"
	"maps"
	"testing"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"pgregory.net/rapid"

	"github.com/interlock-dev/interlock/api/v1alpha1"
	"github.com/interlock-dev/interlock/internal/decision"
)

var (
	thresholdNames  = []string{"AI-4", "CBRN-3", "Cyber"}
	assessmentNames = []string{"a", "b", "c", "d"}
	safeguardNames  = []string{"s1", "s2", "s3", "s4"}
	anyOutcome      = []v1alpha1.AssessmentOutcome{v1alpha1.AssessmentRuledOut, v1alpha1.AssessmentSaturated, v1alpha1.AssessmentInconclusive, v1alpha1.AssessmentReached, "Excluded"}
	anyForce        = []v1alpha1.Force{v1alpha1.ForceBinding, "", v1alpha1.ForceLaw, v1alpha1.ForceDiscretionary, v1alpha1.ForceRecommendation}
	anyTreatment    = []v1alpha1.Treatment{"", v1alpha1.TreatAsReached, v1alpha1.TreatHold}
	anyAudience     = []v1alpha1.Audience{"", v1alpha1.AudienceGeneral, v1alpha1.AudienceTrustedUsers, v1alpha1.AudienceInternal}
	anyStrength     = []v1alpha1.Strength{"", v1alpha1.StrengthDeclared, v1alpha1.StrengthAttested, v1alpha1.StrengthObserved, v1alpha1.StrengthEnforced}
	anyCompute      = []string{"", "1e26", "4e26", "3.99e26", "much"}
)

func pick[T any](t *rapid.T, what string, from []T) T { return rapid.SampledFrom(from).Draw(t, what) }

// onceIn is true about once in n times.
func onceIn(t *rapid.T, n int, what string) bool { return rapid.IntRange(1, n).Draw(t, what) == n }

// some picks each of a few values or leaves it out.
func some[T any](t *rapid.T, what string, from []T) []T {
	var picked []T
	for i, v := range from {
		if rapid.Bool().Draw(t, fmt.Sprintf("%s %d", what, i)) {
			picked = append(picked, v)
		}
	}
	return picked
}

func anObligationOf(t *rapid.T, safeguard string) v1alpha1.Obligation {
	o := v1alpha1.Obligation{Safeguard: safeguard, Force: pick(t, "force", anyForce)}
	if onceIn(t, 5, "has minimum") {
		o.MinimumStrength = pick(t, "minimum", anyStrength)
	}
	if onceIn(t, 5, "has audiences") {
		o.Audiences = some(t, "audience", anyAudience[1:])
	}
	return o
}

func someObligations(t *rapid.T) []v1alpha1.Obligation {
	var obligations []v1alpha1.Obligation
	for _, name := range some(t, "safeguard", safeguardNames) {
		obligations = append(obligations, anObligationOf(t, name))
	}
	return obligations
}

func aStandardOf(t *rapid.T) v1alpha1.Standard {
	obligations := someObligations(t)
	switch {
	case onceIn(t, 12, "unspecified"):
		return v1alpha1.Standard{Unspecified: "not written yet"}
	case len(obligations) == 0:
		return v1alpha1.Standard{NotRequired: "nothing is added"}
	}
	return v1alpha1.Standard{Safeguards: obligations}
}

// anyPolicy draws a policy of up to four levels and three thresholds. No threshold demands two levels on one axis, since
// what is then disputed is told in the policy's order.
func anyPolicy(t *rapid.T) *v1alpha1.ScalingPolicy {
	policy := &v1alpha1.ScalingPolicy{ObjectMeta: metav1.ObjectMeta{Name: "drawn"}}
	for i := range rapid.IntRange(1, 4).Draw(t, "levels") {
		policy.Spec.Levels = append(policy.Spec.Levels, v1alpha1.Level{Name: fmt.Sprintf("ASL-%d", i+1), Deployment: aStandardOf(t), Security: aStandardOf(t)})
	}
	aLevel := func(what string) string { return pick(t, what, policy.Spec.Levels).Name }
	policy.Spec.BaselineLevel = policy.Spec.Levels[0].Name
	if onceIn(t, 4, "higher baseline") {
		policy.Spec.BaselineLevel = aLevel("baseline")
	}
	for _, name := range some(t, "threshold", thresholdNames) {
		threshold := v1alpha1.Threshold{Name: name, Domain: "drawn", Definition: "can do it"}
		for _, axis := range some(t, "axis", []v1alpha1.Axis{v1alpha1.AxisSecurity, v1alpha1.AxisDeployment}) {
			threshold.Demands = append(threshold.Demands, v1alpha1.ThresholdDemand{Axis: axis, Level: aLevel("demand"), Force: pick(t, "force of demand", anyForce)})
		}
		if onceIn(t, 3, "safeguards besides") {
			threshold.Safeguards = someObligations(t)
		}
		if onceIn(t, 12, "left open") {
			threshold.Unspecified = "not written yet"
		}
		if onceIn(t, 12, "only if found") {
			threshold.OnlyIfFound = new(true)
		}
		policy.Spec.Thresholds = append(policy.Spec.Thresholds, threshold)
	}
	if onceIn(t, 5, "no rules") {
		return policy
	}
	rules := &v1alpha1.AssessmentRules{
		Unassessed: pick(t, "unassessed", anyTreatment), Stale: pick(t, "stale", anyTreatment), Inconclusive: pick(t, "inconclusive", anyTreatment),
		Supersession: pick(t, "supersession", []v1alpha1.Supersession{"", v1alpha1.SupersedeNamed, v1alpha1.SupersedeIndependentEvaluator, v1alpha1.SupersedeNever}),
	}
	if rapid.Bool().Draw(t, "ages") {
		rules.MaxAgeMonths = new(rapid.Int32Range(1, 12).Draw(t, "months"))
	}
	if onceIn(t, 3, "grows") {
		rules.MaxComputeFactor = new(int32(4))
	}
	policy.Spec.Assessment = rules
	return policy
}

// aDate draws a date around noon: mostly in the past, sometimes just now or to come, now and then of another time zone.
func aDate(t *rapid.T) time.Time {
	at := noon.AddDate(0, -rapid.IntRange(0, 14).Draw(t, "months ago"), -rapid.IntRange(0, 3).Draw(t, "days ago"))
	if onceIn(t, 6, "to come") {
		at = noon.Add(time.Duration(rapid.Int64Range(0, int64(48*time.Hour)).Draw(t, "ahead")))
	}
	if onceIn(t, 4, "on another clock") {
		at = at.In(time.FixedZone("elsewhere", rapid.IntRange(-12, 14).Draw(t, "hours from UTC")*3600))
	}
	return at
}

func anAssessment(t *rapid.T, name string) v1alpha1.CapabilityAssessment {
	a := filed(name, aDate(t))
	a.Spec.EffectiveCompute = pick(t, "assessed compute", anyCompute)
	a.Spec.Supersedes = some(t, "supersedes", assessmentNames)
	if rapid.Bool().Draw(t, "says whether it is independent") {
		a.Spec.Evaluator.Independent = new(rapid.Bool().Draw(t, "independent"))
	}
	for _, name := range some(t, "outcome", append(thresholdNames, "of no policy")) {
		outcome := v1alpha1.AssessmentRuledOut
		if onceIn(t, 3, "not ruled out") {
			outcome = pick(t, "outcome", anyOutcome)
		}
		a.Spec.Outcomes = append(a.Spec.Outcomes, v1alpha1.ThresholdOutcome{Threshold: name, Outcome: outcome, Method: "drawn"})
	}
	switch rapid.IntRange(0, 9).Draw(t, "weights") {
	case 0:
		a.Spec.Digests = []string{weights(2)}
	case 1:
		a.Spec.Digests = []string{weights(2), weights(1)}
	}
	return a
}

// anyInput draws a policy, a model and what evaluators found of it. Most safeguards are in place, for about half of the
// models to be cleared.
func anyInput(t *rapid.T) decision.Input {
	policy := anyPolicy(t)
	in := decision.Input{Now: noon, PolicyName: policy.Name, Policy: policy, Findings: map[string]decision.Finding{},
		AdmittedPods: rapid.IntRange(0, 1).Draw(t, "admitted"), Model: watched(policy.Spec.Levels[0].Name)}
	if onceIn(t, 3, "declares more") {
		in.Model.Spec.AssessedLevel = pick(t, "declared", policy.Spec.Levels).Name
	}
	in.Model.Spec.Audience = pick(t, "audience", anyAudience)
	in.Model.Spec.Model.EffectiveCompute = pick(t, "compute", anyCompute)
	for _, name := range safeguardNames {
		f := decision.Finding{State: v1alpha1.SafeguardSatisfied, Strength: v1alpha1.StrengthEnforced, Message: "in place"}
		if onceIn(t, 15, "missing") {
			f.State = v1alpha1.SafeguardMissing
		}
		if onceIn(t, 6, "weak") {
			f.Strength = pick(t, "strength", anyStrength)
		}
		if onceIn(t, 4, "ends") {
			f.ValidUntil = noon.Add(time.Duration(rapid.IntRange(-100, 20000).Draw(t, "ends in")) * time.Second)
		}
		in.Findings[name] = f
	}
	for _, name := range some(t, "assessment", assessmentNames) {
		in.Assessments = append(in.Assessments, anAssessment(t, name))
	}
	return in
}

// cloned shares nothing with the original.
func cloned(in decision.Input) decision.Input {
	in.Policy, in.Model, in.Findings = in.Policy.DeepCopy(), in.Model.DeepCopy(), maps.Clone(in.Findings)
	var assessments []v1alpha1.CapabilityAssessment
	for i := range in.Assessments {
		assessments = append(assessments, *in.Assessments[i].DeepCopy())
	}
	in.Assessments = assessments
	return in
}

// verbatim is what two verdicts must agree in.
func verbatim(t interface{ Fatal(...any) }, v decision.Verdict) string {
	b, err := json.MarshalIndent(v, "", " ")
	if err != nil {
		t.Fatal(err)
	}
	return string(b)
}

// TestDrawnAssessmentsAreOfAllKinds keeps the properties from holding for want of cases.
func TestDrawnAssessmentsAreOfAllKinds(t *testing.T) {
	const drawn = 1500
	counts := map[string]int{}
	for seed := range drawn {
		in := rapid.Custom(anyInput).Example(seed)
		v := decision.Decide(in)
		counts[v.Reason]++
		for _, threshold := range v.Thresholds {
			counts[string(threshold.State)]++
			counts[string(threshold.State)+", "+string(threshold.TreatedAs)]++
		}
		if v.Disputed != "" {
			counts["disputed"]++
		}
		if v.DeploymentLevel != v.SecurityLevel {
			counts["axes apart"]++
		}
		without := cloned(in)
		for i := range without.Assessments {
			without.Assessments[i].Spec.Supersedes = nil
		}
		if verbatim(t, v) != verbatim(t, decision.Decide(without)) {
			counts["superseded"]++
		}
	}
	for _, kind := range []string{
		v1alpha1.ReasonCleared, v1alpha1.ReasonSafeguardsMissing, v1alpha1.ReasonSafeguardsUnspecified, v1alpha1.ReasonNotAssessed,
		"RuledOut", "Reached", "Inconclusive, Hold", "Inconclusive, AsReached", "Saturated", "Stale, Hold", "Stale, AsReached",
		"Unassessed, Hold", "Unassessed, AsReached", "disputed", "axes apart", "superseded",
	} {
		if counts[kind] < drawn/50 {
			t.Errorf("only %d of %d inputs are %s: %v", counts[kind], drawn, kind, counts)
		}
	}
}
