package main

import (
	"context"
	"fmt"
	"path/filepath"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/interlock-dev/interlock/api/v1alpha1"
	"github.com/interlock-dev/interlock/internal/testing/controlplane"
)

const (
	// packPolicy is the policy of the pack that is shipped: ten pod rules and the egress safeguard.
	packPolicy = "anthropic-rsp-v2.2"
	// plainPolicy asks for the egress safeguard alone, so that no rule is asked of any pod.
	plainPolicy = "bench-no-pod-rules"
	// clearedLevel asks for all that the pack has. heldLevel is one that no policy has: a model of it is held.
	clearedLevel, heldLevel = "ASL-3", "ASL-99"

	egressSafeguard = "egress-allow-list"
)

// lease outlasts the benchmark, which goes on without the operator.
const lease = 24 * time.Hour

func (cl *cluster) applyPolicies(ctx context.Context) error {
	root, err := controlplane.ModuleRoot()
	if err != nil {
		return err
	}
	if _, err := cl.Kubectl(ctx, "apply", "--server-side", "-k", filepath.Join(root, "config", "policies", packPolicy)); err != nil {
		return err
	}
	if _, err := cl.Kubectl(ctx, "patch", "scalingpolicy", packPolicy, "--type=merge", "--patch",
		fmt.Sprintf(`{"spec": {"lease": %q}}`, lease.String())); err != nil {
		return err
	}
	if err := cl.assess(ctx); err != nil {
		return err
	}
	return cl.client.Create(ctx, plain(plainPolicy))
}

// plain gives a policy that asks for the egress safeguard alone, and takes these steps when that is lost.
func plain(name string, onShortfall ...v1alpha1.ShortfallStep) *v1alpha1.ScalingPolicy {
	return &v1alpha1.ScalingPolicy{
		ObjectMeta: metav1.ObjectMeta{Name: name},
		Spec: v1alpha1.ScalingPolicySpec{
			Title: "No pod rules", Source: v1alpha1.Source{Document: "none", Standing: "Proposal"}, BaselineLevel: clearedLevel,
			Lease: &metav1.Duration{Duration: lease},
			Levels: []v1alpha1.Level{{
				Name:        clearedLevel,
				Deployment:  v1alpha1.Standard{NotRequired: "a benchmark"},
				Security:    v1alpha1.Standard{Safeguards: []v1alpha1.Obligation{{Safeguard: egressSafeguard}}},
				OnShortfall: onShortfall}},
		},
	}
}

// assess rules out all thresholds of the pack for the weights that all models here have.
func (cl *cluster) assess(ctx context.Context) error {
	pack := &v1alpha1.ScalingPolicy{}
	if err := cl.client.Get(ctx, client.ObjectKey{Name: packPolicy}, pack); err != nil {
		return err
	}
	assessment := &v1alpha1.CapabilityAssessment{
		ObjectMeta: metav1.ObjectMeta{Name: "bench"},
		Spec: v1alpha1.CapabilityAssessmentSpec{
			EffectiveCompute: compute,
			Model:            "a model", Digests: []string{digest}, AssessedAt: metav1.Now(), Evaluator: v1alpha1.Evaluator{Name: "nobody"}},
	}
	for _, t := range pack.Spec.Thresholds {
		assessment.Spec.Outcomes = append(assessment.Spec.Outcomes, v1alpha1.ThresholdOutcome{
			Threshold: t.Name, Outcome: v1alpha1.AssessmentRuledOut, Method: "none"})
	}
	return cl.client.Create(ctx, assessment)
}
