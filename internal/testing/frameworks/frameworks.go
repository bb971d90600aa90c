// Package frameworks makes policies with their Safeguards for tests of what decides by them and of what compares them.
package frameworks

import (
	"fmt"
	"slices"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/interlock-dev/interlock/api/v1alpha1"
	"github.com/interlock-dev/interlock/internal/diff"
)

// Compared is a framework with one Safeguard of each method.
func Compared() diff.Framework {
	pods := func(expressions ...string) v1alpha1.SafeguardSpec {
		s := v1alpha1.SafeguardSpec{Title: "pods", Remedy: "mend it", PodRule: &v1alpha1.PodRule{}}
		for _, e := range expressions {
			s.PodRule.Validations = append(s.PodRule.Validations, v1alpha1.PodValidation{Expression: e, Message: "it is not so"})
		}
		return s
	}
	return diff.Framework{Policy: RSP(), Safeguards: map[string]v1alpha1.SafeguardSpec{
		"usage-policy": {Title: "usage policy", Evidence: &v1alpha1.EvidenceRule{
			PredicateType: "urn:usage", Issuer: "policy team", Signers: []string{"policy-team"}, MaxAgeDays: new(int32(180))}},
		"image-pinned": pods(`object.spec.containers.all(c, c.image.contains("@sha256:"))`, "has(object.spec.nodeName)"),
		"classifier":   pods("object.spec.containers.exists(c, c.name == 'guard')"),
		"egress-closed": {Title: "egress", Resource: &v1alpha1.ResourceRule{
			Egress: &v1alpha1.EgressRule{AllowedCIDRs: []string{"10.0.0.0/8"}}}},
		"affirmative-case": {Title: "case", Evidence: &v1alpha1.EvidenceRule{PredicateType: "urn:case", Issuer: "alignment team"}},
		"vetting":          {Title: "vetting", Evidence: &v1alpha1.EvidenceRule{PredicateType: "urn:vetting", Issuer: "trust team"}},
	}}
}

// CopyOf shares nothing with a framework.
func CopyOf(f diff.Framework) diff.Framework {
	c := diff.Framework{Policy: f.Policy.DeepCopy(), Safeguards: map[string]v1alpha1.SafeguardSpec{}}
	for name, spec := range f.Safeguards {
		c.Safeguards[name] = *spec.DeepCopy()
	}
	return c
}

// Lines writes changes, one a line.
func Lines(changes []diff.Change) []string {
	var lines []string
	for _, c := range changes {
		lines = append(lines, fmt.Sprintf("%s %s %s: %s -> %s | %s", c.Effect, c.What, c.Where, c.Before, c.After, c.Why))
	}
	return lines
}

// Count gives how many changes have an effect.
func Count(changes []diff.Change, effect diff.Effect) int {
	n := 0
	for _, c := range changes {
		if c.Effect == effect {
			n++
		}
	}
	return n
}

// Small has two levels and, for each name, a threshold that asks for the higher one on the security axis.
func Small(rules v1alpha1.AssessmentRules, thresholds ...string) *v1alpha1.ScalingPolicy {
	standard := func(safeguard string) v1alpha1.Standard {
		return v1alpha1.Standard{Safeguards: []v1alpha1.Obligation{{Safeguard: safeguard}}}
	}
	policy := &v1alpha1.ScalingPolicy{ObjectMeta: metav1.ObjectMeta{Name: "rsp"}, Spec: v1alpha1.ScalingPolicySpec{
		Title: "RSP", BaselineLevel: "ASL-2", Assessment: &rules,
		Levels: []v1alpha1.Level{
			{Name: "ASL-2", Deployment: standard("usage-policy"), Security: standard("image-pinned")},
			{Name: "ASL-3", Deployment: standard("classifier"), Security: standard("egress-closed")},
		},
	}}
	for _, name := range thresholds {
		policy.Spec.Thresholds = append(policy.Spec.Thresholds, v1alpha1.Threshold{
			Name: name, Domain: "CBRN", Definition: "can do it",
			Demands: []v1alpha1.ThresholdDemand{{Axis: v1alpha1.AxisSecurity, Level: "ASL-3"}}})
	}
	return policy
}

// RSP is a policy in which thresholds ask for levels on each axis, with more or less force, and for safeguards besides.
func RSP() *v1alpha1.ScalingPolicy {
	policy := Small(v1alpha1.AssessmentRules{MaxAgeMonths: new(int32(6)), Inconclusive: v1alpha1.TreatHold},
		"CBRN-3", "CBRN-4", "R&D-4", "Cyber", "Watched")
	policy.Spec.Levels = append(policy.Spec.Levels, v1alpha1.Level{Name: "ASL-4",
		Deployment: v1alpha1.Standard{NotRequired: "nothing is published"}, Security: v1alpha1.Standard{Unspecified: "not written yet"}})
	for i := range policy.Spec.Thresholds {
		t := &policy.Spec.Thresholds[i]
		switch t.Name {
		case "CBRN-3":
			t.Demands = append(t.Demands, v1alpha1.ThresholdDemand{Axis: v1alpha1.AxisDeployment, Level: "ASL-3"})
		case "CBRN-4":
			t.Demands[0].Level = "ASL-4"
		case "R&D-4":
			t.Safeguards = []v1alpha1.Obligation{
				{Safeguard: "affirmative-case", MinimumStrength: v1alpha1.StrengthAttested}, {Safeguard: "egress-closed", Force: v1alpha1.ForceLaw}}
		case "Cyber":
			t.Demands[0].Force = v1alpha1.ForceRecommendation
		case "Watched":
			t.Demands, t.NotRequired = nil, "it is only watched"
		}
	}
	policy.Spec.Levels[1].Deployment.Safeguards = append(policy.Spec.Levels[1].Deployment.Safeguards,
		v1alpha1.Obligation{Safeguard: "vetting", Audiences: []v1alpha1.Audience{v1alpha1.AudienceTrustedUsers}, Force: v1alpha1.ForceDiscretionary})
	return policy
}

// Hours is a time of some hours.
func Hours(n int) *metav1.Duration { return &metav1.Duration{Duration: time.Duration(n) * time.Hour} }

// Evict is the one step of evicting pods.
func Evict(after, force *metav1.Duration) []v1alpha1.ShortfallStep {
	return []v1alpha1.ShortfallStep{{Action: v1alpha1.ShortfallEvict, After: after, ForceAfter: force}}
}

// Obligation asks for a Safeguard.
func Obligation(name string) v1alpha1.Obligation { return v1alpha1.Obligation{Safeguard: name} }

// Threshold gives one of a framework.
func Threshold(f *diff.Framework, name string) *v1alpha1.Threshold {
	i := slices.IndexFunc(f.Policy.Spec.Thresholds, func(t v1alpha1.Threshold) bool { return t.Name == name })
	return &f.Policy.Spec.Thresholds[i]
}

// Change changes one Safeguard of a framework, if it is there.
func Change(f *diff.Framework, name string, change func(*v1alpha1.SafeguardSpec)) {
	if spec, ok := f.Safeguards[name]; ok {
		change(&spec)
		f.Safeguards[name] = spec
	}
}
