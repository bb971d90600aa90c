package modeldeployment_test

import (
	"testing"
	"time"

	networkingv1 "k8s.io/api/networking/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/interlock-dev/interlock/api/v1alpha1"
	"github.com/interlock-dev/interlock/internal/testing/builder"
)

// TestIsolationIsNoEvidence: what isolates a model that lacks limited egress limits its egress. Were that to count, it would
// clear the model and so end itself, again and again.
func TestIsolationIsNoEvidence(t *testing.T) {
	policy := builder.ScalingPolicy("rsp").Lease(24 * time.Hour).Level(builder.Level(builder.ASL2).Security("egress")).Build()
	policy.Spec.Levels[0].OnShortfall = []v1alpha1.ShortfallStep{{Action: v1alpha1.ShortfallIsolate}}
	o := newOperator(t, policy,
		builder.Namespace("serving").Enforce("rsp").Build(), builder.ModelDeployment("serving", "llm").Build(),
		builder.Safeguard("egress").Egress().Build(), builder.Pod("serving", "a").Model("llm").Build())
	begin := time.Date(2026, time.January, 1, 0, 0, 0, 0, time.UTC)
	for i := range 5 {
		md, _ := o.at(t, begin.Add(time.Duration(i)*time.Second))
		if md.Status.Verdict != v1alpha1.OutcomeRevoked || md.Status.Shortfall == nil || md.Status.Shortfall.Step != v1alpha1.ShortfallIsolate {
			t.Fatalf("pass %d: %s, want it revoked and isolated", i, said(md))
		}
		isolation := &networkingv1.NetworkPolicy{}
		if err := o.client.Get(t.Context(), client.ObjectKey{Namespace: "serving", Name: "interlock-isolate-llm"}, isolation); err != nil {
			t.Fatalf("pass %d: %v", i, err)
		}
	}
}
