package decision_test

import (
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/interlock-dev/interlock/api/v1alpha1"
	"github.com/interlock-dev/interlock/internal/decision"
)

// compared is a framework with one Safeguard of each method.
func compared() decision.Framework {
	pods := func(expressions ...string) v1alpha1.SafeguardSpec {
		s := v1alpha1.SafeguardSpec{Title: "pods", Remedy: "mend it", PodRule: &v1alpha1.PodRule{}}
		for _, e := range expressions {
			s.PodRule.Validations = append(s.PodRule.Validations, v1alpha1.PodValidation{Expression: e, Message: "it is not so"})
		}
		return s
	}
	return decision.Framework{Policy: rsp(), Safeguards: map[string]v1alpha1.SafeguardSpec{
		"usage-policy":     {Title: "usage policy", Evidence: &v1alpha1.EvidenceRule{PredicateType: "urn:usage", Issuer: "policy team", Signers: []string{"policy-team"}, MaxAgeDays: new(int32(180))}},
		"image-pinned":     pods(`object.spec.containers.all(c, c.image.contains("@sha256:"))`, "has(object.spec.nodeName)"),
		"classifier":       pods("object.spec.containers.exists(c, c.name == 'guard')"),
		"egress-closed":    {Title: "egress", Resource: &v1alpha1.ResourceRule{Egress: &v1alpha1.EgressRule{AllowedCIDRs: []string{"10.0.0.0/8"}}}},
		"affirmative-case": {Title: "case", Evidence: &v1alpha1.EvidenceRule{PredicateType: "urn:case", Issuer: "alignment team"}},
		"vetting":          {Title: "vetting", Evidence: &v1alpha1.EvidenceRule{PredicateType: "urn:vetting", Issuer: "trust team"}},
	}}
}

func copyOf(f decision.Framework) decision.Framework {
	c := decision.Framework{Policy: f.Policy.DeepCopy(), Safeguards: map[string]v1alpha1.SafeguardSpec{}}
	for name, spec := range f.Safeguards {
		c.Safeguards[name] = *spec.DeepCopy()
	}
	return c
}

// lines writes changes, one a line.
func lines(changes []decision.Change) []string {
	var lines []string
	for _, c := range changes {
		lines = append(lines, fmt.Sprintf("%s %s %s: %s -> %s | %s", c.Effect, c.What, c.Where, c.Before, c.After, c.Why))
	}
	return lines
}

// diffCase is how one framework becomes another, and what is told of it.
type diffCase struct {
	before, after func(*decision.Framework)
	want          []string
}

// checkDiff also compares the other way round, and holds that frameworks are left as they are.
func checkDiff(t *testing.T, cases map[string]diffCase) {
	for name, tc := range cases {
		t.Run(name, func(t *testing.T) {
			before, after := compared(), compared()
			if tc.before != nil {
				tc.before(&before)
			}
			if tc.after != nil {
				tc.after(&after)
			}
			unchanged := [2]decision.Framework{copyOf(before), copyOf(after)}
			got := decision.Diff(before, after)
			if diff := cmp.Diff(tc.want, lines(got)); diff != "" {
				t.Errorf("(-want +got):\n%s", diff)
			}
			back := decision.Diff(after, before)
			if count(got, decision.Weakens) != count(back, decision.Strengthens) || count(got, decision.Strengthens) != count(back, decision.Weakens) || len(got) != len(back) {
				t.Errorf("the other way round:\n%s", strings.Join(lines(back), "\n"))
			}
			if diff := cmp.Diff(unchanged, [2]decision.Framework{before, after}); diff != "" {
				t.Errorf("mutated (-before +after):\n%s", diff)
			}
		})
	}
}

func count(changes []decision.Change, effect decision.Effect) int {
	n := 0
	for _, c := range changes {
		if c.Effect == effect {
			n++
		}
	}
	return n
}

func hours(n int) *metav1.Duration { return &metav1.Duration{Duration: time.Duration(n) * time.Hour} }

func evict(after, force *metav1.Duration) []v1alpha1.ShortfallStep {
	return []v1alpha1.ShortfallStep{{Action: v1alpha1.ShortfallEvict, After: after, ForceAfter: force}}
}

func obligation(name string) v1alpha1.Obligation { return v1alpha1.Obligation{Safeguard: name} }

func threshold(f *decision.Framework, name string) *v1alpha1.Threshold {
	i := slices.IndexFunc(f.Policy.Spec.Thresholds, func(t v1alpha1.Threshold) bool { return t.Name == name })
	return &f.Policy.Spec.Thresholds[i]
}
