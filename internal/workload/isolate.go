package workload

import (
	"cmp"
	"context"
	"fmt"
	"slices"
	"strings"
	"time"

	corev1 "k8s.io/api/core/v1"
	networkingv1 "k8s.io/api/networking/v1"
	apiequality "k8s.io/apimachinery/pkg/api/equality"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/labels"
	"k8s.io/apimachinery/pkg/types"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/log"

	"github.com/interlock-dev/interlock/api/v1alpha1"
	"github.com/interlock-dev/interlock/internal/decision"
)

// isolationPrefix and the name of a model make the name of the NetworkPolicy that isolates it. Whatever bears such a name
// is taken for ours.
const isolationPrefix = "interlock-isolate-"

// IsolatedBy gives the model that a NetworkPolicy isolates by its name.
func IsolatedBy(policy string) (model string, ok bool) {
	return strings.CutPrefix(policy, isolationPrefix)
}

// isolationSpec selects the pods of a model by the label that is frozen, and allows nothing.
func isolationSpec(model string) networkingv1.NetworkPolicySpec {
	return networkingv1.NetworkPolicySpec{
		PodSelector: metav1.LabelSelector{MatchLabels: map[string]string{v1alpha1.ModelLabel: model}},
		PolicyTypes: []networkingv1.PolicyType{networkingv1.PolicyTypeIngress, networkingv1.PolicyTypeEgress},
	}
}

// IsIsolation says whether a NetworkPolicy is ours, and just as we write it: it allows nothing, so leaving it out of what
// a team has in place hides nothing.
func IsIsolation(p *networkingv1.NetworkPolicy) bool {
	model, ok := IsolatedBy(p.Name)
	return ok && apiequality.Semantic.DeepEqual(p.Spec, isolationSpec(model))
}

// Isolate cuts the pods of a model off, as far as a NetworkPolicy can. Of one that somebody has changed nothing is left.
func Isolate(ctx context.Context, c client.Client, model types.NamespacedName, there []networkingv1.NetworkPolicy) error {
	log := log.FromContext(ctx).WithValues("model", model)
	have := isolationOf(model, there)
	var err error
	switch {
	case have == nil:
		log.Info("Isolating pods")
		policy := &networkingv1.NetworkPolicy{
			ObjectMeta: metav1.ObjectMeta{Namespace: model.Namespace, Name: isolationPrefix + model.Name}, Spec: isolationSpec(model.Name)}
		err = c.Create(ctx, policy, client.FieldOwner(FieldManager))
	case !IsIsolation(have):
		log.Info("Isolating pods again: somebody has changed what isolates them")
		policy := have.DeepCopy()
		policy.Spec = isolationSpec(model.Name)
		err = c.Update(ctx, policy, client.FieldOwner(FieldManager))
	}
	if err != nil && !apierrors.IsAlreadyExists(err) {
		return fmt.Errorf("isolate the pods of %s: %w", model, err)
	}
	return nil
}

// Isolated says whether a NetworkPolicy is there that isolates a model.
func Isolated(model types.NamespacedName, there []networkingv1.NetworkPolicy) bool {
	have := isolationOf(model, there)
	return have != nil && have.DeletionTimestamp == nil
}

// EndIsolation takes what isolates a model away, if that is there.
func EndIsolation(ctx context.Context, c client.Client, model types.NamespacedName, there []networkingv1.NetworkPolicy) error {
	have := isolationOf(model, there)
	if have == nil || have.DeletionTimestamp != nil {
		return nil
	}
	log.FromContext(ctx).Info("Ending the isolation of pods", "model", model)
	if err := client.IgnoreNotFound(c.Delete(ctx, have.DeepCopy())); err != nil {
		return fmt.Errorf("end the isolation of %s: %w", model, err)
	}
	return nil
}

func isolationOf(model types.NamespacedName, there []networkingv1.NetworkPolicy) *networkingv1.NetworkPolicy {
	i := slices.IndexFunc(there, func(p networkingv1.NetworkPolicy) bool {
		return p.Namespace == model.Namespace && p.Name == isolationPrefix+model.Name
	})
	if i < 0 {
		return nil
	}
	return &there[i]
}

// Exposed says in one line what still lets traffic of isolated pods through; empty when nothing does that a NetworkPolicy
// could stop. NetworkPolicies only allow: what any of them allows, no other takes away.
func Exposed(pods []*corev1.Pod, there []networkingv1.NetworkPolicy) string {
	var open []string
	for i := range there {
		p := &there[i]
		if allows(p) && selectsAny(p, pods) {
			open = append(open, p.Name)
		}
	}
	slices.Sort(open)
	var parts []string
	if len(open) > 0 {
		parts = append(parts, "NetworkPolicies that still allow traffic: "+strings.Join(open, ", "))
	}
	onHost := slices.DeleteFunc(slices.Clone(pods), func(p *corev1.Pod) bool { return !p.Spec.HostNetwork })
	if len(onHost) > 0 {
		first := slices.MinFunc(onHost, func(a, b *corev1.Pod) int { return cmp.Compare(a.Name, b.Name) })
		parts = append(parts, fmt.Sprintf("%d pods, such as %s, are on the network of their node, where no NetworkPolicy binds", len(onHost), first.Name))
	}
	return strings.Join(parts, "; ")
}

func allows(p *networkingv1.NetworkPolicy) bool {
	governs := func(t networkingv1.PolicyType) bool {
		return len(p.Spec.PolicyTypes) == 0 || slices.Contains(p.Spec.PolicyTypes, t)
	}
	return len(p.Spec.Ingress) > 0 && governs(networkingv1.PolicyTypeIngress) || len(p.Spec.Egress) > 0 && governs(networkingv1.PolicyTypeEgress)
}

// selectsAny takes a selector that cannot be read for one that selects.
func selectsAny(p *networkingv1.NetworkPolicy, pods []*corev1.Pod) bool {
	selector, err := metav1.LabelSelectorAsSelector(&p.Spec.PodSelector)
	return len(pods) > 0 && (err != nil ||
		slices.ContainsFunc(pods, func(pod *corev1.Pod) bool { return selector.Matches(labels.Set(pod.Labels)) }))
}

// RanIn says whether a pod that is past the gate ran in a shortfall: none gets past it while the model is short. Times are in
// whole seconds.
func RanIn(s decision.Shortfall, p *corev1.Pod) bool {
	at := scheduledAt(p)
	return s.Short() || !at.After(s.Since) || at.Before(s.QuietSince.Add(-time.Second))
}

// scheduledAt is when a pod got past its gates.
func scheduledAt(p *corev1.Pod) time.Time {
	for _, c := range p.Status.Conditions {
		if c.Type == corev1.PodScheduled && c.Status == corev1.ConditionTrue && !c.LastTransitionTime.IsZero() {
			return c.LastTransitionTime.Time
		}
	}
	return p.CreationTimestamp.Time
}
