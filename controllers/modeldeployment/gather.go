package modeldeployment

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"time"

	corev1 "k8s.io/api/core/v1"
	networkingv1 "k8s.io/api/networking/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/interlock-dev/interlock/api/v1alpha1"
	"github.com/interlock-dev/interlock/controllers/verdicts"
	"github.com/interlock-dev/interlock/internal/decision"
	"github.com/interlock-dev/interlock/internal/safeguard"
)

// gathered is all that the decision on one model rests on.
type gathered struct {
	model     *v1alpha1.ModelDeployment
	enrolment []enrolment
	pods      []*corev1.Pod
	around    safeguard.Surroundings
	// compiled Safeguards by name, and for those that cannot be used, why.
	compiled map[string]*safeguard.Compiled
	unusable map[string]string
	// podRules names the Safeguards that are pod rules.
	podRules map[string]bool
	// inspection is by the Safeguards of the policy that is enforced.
	inspection safeguard.Inspection
}

// enrolment is one label of the namespace and the policy that it names, nil when there is none.
type enrolment struct {
	label, policyName, digest string
	policy                    *v1alpha1.ScalingPolicy
}

func (r *Reconciler) gather(ctx context.Context, md *v1alpha1.ModelDeployment) (*gathered, error) {
	g := &gathered{model: md}
	safeguards := &v1alpha1.SafeguardList{}
	if err := r.Client.List(ctx, safeguards); err != nil {
		return nil, fmt.Errorf("list Safeguards: %w", err)
	}
	r.compile(g, safeguards.Items)
	if err := r.enrolments(ctx, g, safeguards.Items); err != nil {
		return nil, err
	}
	pods := &corev1.PodList{}
	if err := r.Client.List(ctx, pods, client.InNamespace(md.Namespace), client.MatchingFields{PodsByModel: md.Name},
		client.UnsafeDisableDeepCopy); err != nil {
		return nil, fmt.Errorf("list pods: %w", err)
	}
	for i := range pods.Items {
		if safeguard.Living(&pods.Items[i]) {
			g.pods = append(g.pods, &pods.Items[i])
		}
	}
	policies := &networkingv1.NetworkPolicyList{}
	if err := r.Client.List(ctx, policies, client.InNamespace(md.Namespace), client.UnsafeDisableDeepCopy); err != nil {
		return nil, fmt.Errorf("list NetworkPolicies: %w", err)
	}
	g.around.NetworkPolicies = policies.Items
	return g, nil
}

func (r *Reconciler) compile(g *gathered, safeguards []v1alpha1.Safeguard) {
	g.compiled, g.unusable, g.podRules = map[string]*safeguard.Compiled{}, map[string]string{}, map[string]bool{}
	for i := range safeguards {
		sg := &safeguards[i]
		g.podRules[sg.Name] = sg.Spec.PodRule != nil
		compiled, err := r.Compiler.Compile(sg)
		if err != nil {
			g.unusable[sg.Name] = err.Error()
			continue
		}
		g.compiled[sg.Name] = compiled
	}
}

// enrolments finds the policies that the namespace names. A policy that does not exist is part of the answer; a look-up
// that fails is an error.
func (r *Reconciler) enrolments(ctx context.Context, g *gathered, safeguards []v1alpha1.Safeguard) error {
	ns := &metav1.PartialObjectMetadata{}
	ns.SetGroupVersionKind(corev1.SchemeGroupVersion.WithKind("Namespace"))
	if err := r.Client.Get(ctx, client.ObjectKey{Name: g.model.Namespace}, ns); err != nil {
		return fmt.Errorf("get namespace: %w", err)
	}
	for _, label := range []string{v1alpha1.EnforceLabel, v1alpha1.WarnLabel, v1alpha1.AuditLabel} {
		name, ok := ns.Labels[label]
		if !ok {
			continue
		}
		e := enrolment{label: label, policyName: name}
		policy := &v1alpha1.ScalingPolicy{}
		err := r.Client.Get(ctx, client.ObjectKey{Name: name}, policy)
		switch {
		case err == nil:
			e.policy, e.digest = policy, decision.Digest(policy, safeguards)
		case !apierrors.IsNotFound(err):
			return fmt.Errorf("get ScalingPolicy: %w", err)
		}
		g.enrolment = append(g.enrolment, e)
	}
	return nil
}

// decide gives the judgement under each policy that the namespace names.
func (g *gathered) decide(now time.Time) []verdicts.Judgement {
	judgements := make([]verdicts.Judgement, 0, len(g.enrolment))
	for _, e := range g.enrolment {
		findings := map[string]decision.Finding{}
		if e.policy != nil {
			findings = g.inspect(e)
		}
		v := decision.Decide(decision.Input{
			Now: now, PolicyName: e.policyName, Policy: e.policy, Model: g.model, Findings: findings, AdmittedPods: len(g.admitted())})
		judgements = append(judgements, verdicts.Judgement{
			Label: e.label, Policy: e.policyName, PolicyDigest: e.digest, Verdict: v, Advice: g.advice(e.policyName, v)})
	}
	return judgements
}

// inspect judges the pods by the Safeguards that a policy asks for.
func (g *gathered) inspect(e enrolment) map[string]decision.Finding {
	var usable []*safeguard.Compiled
	required, reported := decision.Required(e.policy, g.model), decision.Reported(e.policy, g.model)
	for _, name := range required {
		compiled, ok := g.compiled[name]
		if ok && slices.Contains(reported, name) {
			compiled = compiled.OnlyReported()
		}
		if ok {
			usable = append(usable, compiled)
		}
	}
	key := types.NamespacedName{Namespace: g.model.Namespace, Name: g.model.Name}
	inspection := safeguard.Inspect(key, usable, g.pods, g.around)
	for _, name := range required {
		if why, ok := g.unusable[name]; ok {
			inspection.Findings[name] = decision.Finding{
				State: v1alpha1.SafeguardUnknown, Message: "the Safeguard cannot be used: " + why, Remedy: "have the Safeguard corrected"}
		}
	}
	if e.label == v1alpha1.EnforceLabel {
		g.inspection = inspection
	}
	return inspection.Findings
}

// advice words what is missing besides pod rules, which are judged on the template of the workload that is applied.
func (g *gathered) advice(policy string, v decision.Verdict) string {
	if v.Cleared() {
		return ""
	}
	var parts []string
	for _, s := range v.Safeguards {
		if s.State != v1alpha1.SafeguardSatisfied && !(g.podRules[s.Name] && s.State == v1alpha1.SafeguardMissing) {
			parts = append(parts, fmt.Sprintf("%s: %s. %s", s.Name, s.Message, s.Remedy))
		}
	}
	switch {
	case len(v.Safeguards) == 0:
		parts = []string{v.Message}
	case len(parts) == 0:
		return ""
	}
	return bounded(fmt.Sprintf("model %q is not cleared under %s: %s", g.model.Name, policy, strings.Join(parts, "; ")))
}

// admitted pods are past the gate.
func (g *gathered) admitted() []*corev1.Pod {
	return slices.DeleteFunc(slices.Clone(g.pods), safeguard.Held)
}

// held pods wait at it.
func (g *gathered) held() []*corev1.Pod {
	return slices.DeleteFunc(slices.Clone(g.pods), func(p *corev1.Pod) bool { return !safeguard.Held(p) })
}
