package admission_test

import (
	"fmt"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	apiadmission "k8s.io/apiserver/pkg/admission"

	"github.com/interlock-dev/interlock/api/v1alpha1"
	"github.com/interlock-dev/interlock/internal/admission"
	"github.com/interlock-dev/interlock/internal/decision"
	"github.com/interlock-dev/interlock/internal/testing/boundary"
	"github.com/interlock-dev/interlock/internal/testing/builder"
)

// TestTheLeaseEndsWithTheAssessment decides when an assessment is about to become too old, and lets nobody decide again:
// the API server's own clock ends what the verdict rests on, in the very second.
func TestTheLeaseEndsWithTheAssessment(t *testing.T) {
	server := newAPIServer(t, admission.Policies(install, nil), enforced)
	for name, age := range boundary.Ages {
		ends := age.EndsAt()
		policy := builder.ScalingPolicy("rsp").Lease(24*time.Hour).
			Level(builder.Level(builder.ASL2).Security("a")).Level(builder.Level(builder.ASL3).Security("b")).
			Threshold("CBRN-3", builder.ASL3).Assessments(v1alpha1.AssessmentRules{MaxAgeMonths: &age.Months}).Build()
		v := decision.Decide(decision.Input{
			Now: ends.Add(-1), PolicyName: "rsp", Policy: policy, Model: builder.ModelDeployment("serving", "opus").Build(),
			Assessments: []v1alpha1.CapabilityAssessment{*builder.Assessment("a", age.MadeAt()).Outcome(v1alpha1.AssessmentRuledOut, "CBRN-3").Build()},
			Findings:    map[string]decision.Finding{"a": {State: v1alpha1.SafeguardSatisfied, Strength: v1alpha1.StrengthEnforced}}})
		if !v.Cleared() {
			t.Fatalf("%s: %s: %s", name, v.Reason, v.Message)
		}
		clearances := clearing(standing{"opus", admission.Standing{ValidUntil: v.ValidUntil, Rules: v.Rules()}})
		for now, counts := range age.Around() {
			bothServers(t, fmt.Sprintf("%s/%s", name, now.Sub(ends)), server, func(t *testing.T, s *apiServer) {
				s.put(clearances).now = now
				p := pod().Model("opus").Build()
				p.CreationTimestamp = metav1.NewTime(ends.AddDate(0, 0, -1)) // which the API server does not believe
				a := s.serve(t, request{user: "ann", operation: apiadmission.Create, resource: pods, object: p})
				var want []string
				if !counts {
					want = []string{fmt.Sprintf(
						`interlock-admit: the clearance of model "opus" ran out at %s, and Interlock has not renewed it: no new pod may start`, age.Ends)}
				}
				if diff := cmp.Diff(want, a.denials); diff != "" {
					t.Errorf("denials (-want +got):\n%s", diff)
				}
			})
		}
	}
}
