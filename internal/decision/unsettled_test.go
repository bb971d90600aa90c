package decision_test

import (
	"strings"
	"testing"

	"github.com/interlock-dev/interlock/api/v1alpha1"
	"github.com/interlock-dev/interlock/internal/decision"
)

// TestWhyNothingSettlesAThreshold holds that whoever reads a status learns why a threshold is not ruled out, and what to do.
func TestWhyNothingSettlesAThreshold(t *testing.T) {
	rules := v1alpha1.AssessmentRules{MaxAgeMonths: new(int32(6)), MaxComputeFactor: new(int32(4))}
	sized := func(a v1alpha1.CapabilityAssessment, compute string) []v1alpha1.CapabilityAssessment {
		a.Spec.EffectiveCompute = compute
		return []v1alpha1.CapabilityAssessment{a}
	}
	lately, before := noon.AddDate(0, -1, 0), noon.AddDate(0, -7, 0)
	for name, tc := range map[string]struct {
		filed           []v1alpha1.CapabilityAssessment
		compute         string
		onlyIfFound     bool
		unapproved      bool
		message, remedy string
	}{
		"it is ruled out": {filed: sized(filed("a", lately, "CBRN-3 RuledOut"), "1e26"), compute: "1e26"},
		"it is reached":   {filed: sized(filed("a", lately, "CBRN-3 Reached"), "1e26"), compute: "1e26"},
		"nobody speaks of it": {compute: "1e26",
			message: "no assessment of the model's weights rules it out", remedy: "file a CapabilityAssessment of "},
		"nobody found it, and it asks for nothing": {compute: "1e26", onlyIfFound: true,
			message: "no assessment of the model's weights finds it, so it asks for nothing"},
		"it is left open": {filed: sized(filed("a", lately, "CBRN-3 Inconclusive"), "1e26"), compute: "1e26",
			message: "CapabilityAssessment a does not rule it out", remedy: "or put in place all that it asks for"},
		"the evaluations are saturated": {filed: sized(filed("a", lately, "CBRN-3 Saturated"), "1e26"), compute: "1e26",
			message: "the evaluations of CapabilityAssessment a are saturated", remedy: "or put in place all that it asks for"},
		"it is too old": {filed: sized(filed("a", before, "CBRN-3 RuledOut"), "1e26"), compute: "1e26",
			message: "CapabilityAssessment a ruled it out for 6 months, until ", remedy: "assess sha256:"},
		"the model does not say its compute": {filed: sized(filed("a", lately, "CBRN-3 RuledOut"), "1e26"),
			message: "and ModelDeployment llm does not say its own", remedy: "set spec.model.effectiveCompute of ModelDeployment llm"},
		"the assessment does not say its compute": {filed: sized(filed("a", lately, "CBRN-3 RuledOut"), ""), compute: "1e26",
			message: "and does not say it", remedy: "file a CapabilityAssessment that says its effectiveCompute"},
		"the model has outgrown it": {filed: sized(filed("a", lately, "CBRN-3 RuledOut"), "1e26"), compute: "4e26",
			message: "the model has 4e26 operations of effective compute, 4 times the 1e26 of CapabilityAssessment a or more", remedy: "assess sha256:"},
		"it is too old, and the model has outgrown it": {filed: sized(filed("a", before, "CBRN-3 RuledOut"), "1e26"), compute: "4e26",
			message: "the model has 4e26 operations of effective compute", remedy: "assess sha256:"},
		"it is not approved": {filed: sized(filed("a", lately, "CBRN-3 RuledOut"), "1e26"), compute: "1e26", unapproved: true,
			message: "CapabilityAssessment a rules it out, but is not approved as policy ",
			remedy:  "have it approved by rso: kubectl interlock approve capabilityassessment/a"},
	} {
		t.Run(name, func(t *testing.T) {
			policy := framework(rules, "CBRN-3")
			policy.Spec.Thresholds[0].OnlyIfFound = &tc.onlyIfFound
			if tc.unapproved {
				policy.Spec.SignOffs = []v1alpha1.SignOff{{Role: "Officer", ApproverRole: "rso",
					Approves: []v1alpha1.ApprovalRule{{Kind: v1alpha1.SubjectAssessment}}}}
			}
			in := assessed(policy, tc.filed...)
			in.Model.Name, in.Model.Spec.Model.EffectiveCompute = "llm", tc.compute
			got := decision.Decide(in).Thresholds[0]
			if !strings.Contains(got.Message, tc.message) || (tc.message == "") != (got.Message == "") {
				t.Errorf("message %q, want %q", got.Message, tc.message)
			}
			if !strings.Contains(got.Remedy, tc.remedy) || (tc.remedy == "") != (got.Remedy == "") {
				t.Errorf("remedy %q, want %q", got.Remedy, tc.remedy)
			}
		})
	}
}
