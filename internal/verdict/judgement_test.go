package verdict

import (
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/interlock-dev/interlock/api/v1alpha1"
	"github.com/interlock-dev/interlock/internal/admission"
	"github.com/interlock-dev/interlock/internal/decision"
)

func TestUnder(t *testing.T) {
	judgements := []Judgement{{Label: v1alpha1.WarnLabel, Policy: "next"}, {Label: v1alpha1.EnforceLabel, Policy: "rsp"}}
	for label, policy := range map[string]string{v1alpha1.EnforceLabel: "rsp", v1alpha1.WarnLabel: "next", v1alpha1.AuditLabel: ""} {
		if j, ok := Under(judgements, label); j.Policy != policy || ok != (policy != "") {
			t.Errorf("under %s: %v, %+v", label, ok, j)
		}
	}
}

func TestStanding(t *testing.T) {
	nine := time.Date(2026, 6, 1, 9, 0, 0, 0, time.UTC)
	for outcome, want := range map[v1alpha1.Outcome]admission.Standing{
		v1alpha1.OutcomeCleared: {ValidUntil: nine, Rules: []string{"a"}, Adjustments: []string{"guard"}, Weights: []string{"oci://a"}},
		v1alpha1.OutcomeHeld:    {Adjustments: []string{"guard"}, Weights: []string{"oci://a"}},
	} {
		j := Judgement{Adjustments: []string{"guard"}, Weights: []string{"oci://a"}, Verdict: decision.Verdict{
			Outcome: outcome, ValidUntil: nine, Safeguards: []v1alpha1.SafeguardResult{
				{Name: "a", Force: v1alpha1.ForceBinding}, {Name: "b", Force: v1alpha1.ForceDiscretionary}}}}
		if diff := cmp.Diff(want, j.Standing()); diff != "" {
			t.Errorf("%s (-want +got):\n%s", outcome, diff)
		}
	}
}
