package main

import (
	"context"
	"fmt"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/interlock-dev/interlock/api/v1alpha1"
)

const (
	// packPolicy asks for pod rules and for the egress safeguard.
	packPolicy = "bench-rules"
	// bareRulesPolicy asks for the egress safeguard alone, so that no pod rule is asked of any pod.
	bareRulesPolicy = "bench-no-rules"
	// cleared is a level whose safeguards are in place here, heldLevel one that no policy has: what names it is held.
	clearedLevel, heldLevel = "ASL-3", "ASL-99"
)

func (cl *cluster) applyPolicies(ctx context.Context) error {
	names := []string{}
	for _, sg := range safeguards() {
		if err := cl.client.Create(ctx, sg); err != nil {
			return fmt.Errorf("create Safeguard %s: %w", sg.Name, err)
		}
		names = append(names, sg.Name)
	}
	for _, p := range []*v1alpha1.ScalingPolicy{policy(packPolicy, names...), policy(bareRulesPolicy, "egress")} {
		if err := cl.client.Create(ctx, p); err != nil {
			return fmt.Errorf("create ScalingPolicy %s: %w", p.Name, err)
		}
	}
	return nil
}

func policy(name string, safeguards ...string) *v1alpha1.ScalingPolicy {
	var asked []v1alpha1.Obligation
	for _, sg := range safeguards {
		asked = append(asked, v1alpha1.Obligation{Safeguard: sg})
	}
	return &v1alpha1.ScalingPolicy{
		ObjectMeta: metav1.ObjectMeta{Name: name},
		Spec: v1alpha1.ScalingPolicySpec{
			Title: "Benchmark", Source: v1alpha1.Source{Document: "none", Standing: "Proposal"}, BaselineLevel: clearedLevel,
			Lease: &metav1.Duration{Duration: 24 * time.Hour},
			Levels: []v1alpha1.Level{{
				Name: clearedLevel, Deployment: v1alpha1.Standard{Safeguards: asked}, Security: v1alpha1.Standard{NotRequired: "a benchmark"}}},
		},
	}
}

const every = "(object.spec.containers + object.spec.?initContainers.orValue([]) + object.spec.?ephemeralContainers.orValue([]))"

func safeguards() []*v1alpha1.Safeguard {
	rule := func(name string, expressions ...string) *v1alpha1.Safeguard {
		sg := &v1alpha1.Safeguard{
			ObjectMeta: metav1.ObjectMeta{Name: name},
			Spec:       v1alpha1.SafeguardSpec{Title: name, Sources: []v1alpha1.Source{{Document: "none"}}, Remedy: "nothing", PodRule: &v1alpha1.PodRule{}}}
		for _, e := range expressions {
			sg.Spec.PodRule.Validations = append(sg.Spec.PodRule.Validations, v1alpha1.PodValidation{Expression: e, Message: name})
		}
		return sg
	}
	return []*v1alpha1.Safeguard{
		rule("image-pinned", every+".all(c, c.image.matches('^[^@]+@sha256:[0-9a-f]{64}$'))"),
		rule("classifiers", "object.spec.containers.exists(c, c.name == 'input-classifier') && object.spec.containers.exists(c, c.name == 'output-classifier')"),
		rule("hardening",
			every+`.all(c, c.?securityContext.allowPrivilegeEscalation.orValue(true) == false && c.?securityContext.privileged.orValue(false) == false &&
c.?securityContext.readOnlyRootFilesystem.orValue(false) && c.?securityContext.capabilities.drop.orValue([]).exists(d, d == 'ALL'))`,
			"object.spec.?securityContext.seccompProfile.type.orValue('') == 'RuntimeDefault'"),
		rule("no-host-access", `!object.spec.?hostNetwork.orValue(false) && !object.spec.?hostPID.orValue(false) && !object.spec.?hostIPC.orValue(false) &&
object.spec.?volumes.orValue([]).all(v, !has(v.hostPath))`),
		rule("dedicated-nodes", "object.spec.?nodeSelector['interlock.dev/dedicated'].orValue('') == 'weights'"),
		rule("no-token", "object.spec.?automountServiceAccountToken.orValue(true) == false"),
		{ObjectMeta: metav1.ObjectMeta{Name: "egress"},
			Spec: v1alpha1.SafeguardSpec{Title: "egress", Sources: []v1alpha1.Source{{Document: "none"}}, Remedy: "nothing",
				Resource: &v1alpha1.ResourceRule{Egress: &v1alpha1.EgressRule{}}}},
	}
}
