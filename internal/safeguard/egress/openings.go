package egress

import (
	"slices"

	corev1 "k8s.io/api/core/v1"
	networkingv1 "k8s.io/api/networking/v1"
	"k8s.io/apimachinery/pkg/labels"
)

// Opening is a NetworkPolicy under which a pod would break the rule, and the labels that would bring the pod under it.
type Opening struct {
	// Policy is its name.
	Policy string
	// Labels must all be met for the policy to select the pod. There is at least one; none is about a frozen label.
	Labels labels.Requirements
}

// Openings returns the NetworkPolicies of a namespace that do not select a pod by its frozen labels alone, but would break
// the rule once they select it, in the order of the policies. As long as no label of the pod meets any of them, no change
// of its labels opens it. Policies that Judge holds against every pod of these labels are not among them.
func Openings(namespace string, frozen labels.Set, policies []networkingv1.NetworkPolicy, rule Rule) []Opening {
	var openings []Opening
	for i := range policies {
		policy := &policies[i]
		if policy.Namespace != namespace || len(policy.Spec.Egress) == 0 {
			continue
		}
		read := rule.read(policy)
		if read.wrong != nil {
			continue // Judge holds it against every pod
		}
		editable, may := editable(read.selector, frozen)
		if may && len(editable) > 0 && len(read.faults) > 0 {
			openings = append(openings, Opening{Policy: policy.Name, Labels: editable})
		}
	}
	return openings
}

// editable returns what a selector asks of labels that can be edited; false if the frozen labels keep it from selecting.
func editable(selector labels.Selector, frozen labels.Set) (labels.Requirements, bool) {
	requirements, selectable := selector.Requirements()
	var rest labels.Requirements
	for _, r := range requirements {
		switch _, isFrozen := frozen[r.Key()]; {
		case isFrozen && !r.Matches(frozen):
			return nil, false
		case !isFrozen && !setByBinding(r.Key()):
			rest = append(rest, r)
		}
	}
	return rest, selectable
}

// setByBinding is true of the labels that a pod gets when it is bound to a node: what they will be is not known before.
func setByBinding(key string) bool {
	return slices.Contains(BindingLabels, key)
}

// BindingLabels are the keys of the labels that the API server gives to a pod when it is bound, after those of its node.
var BindingLabels = []string{corev1.LabelTopologyZone, corev1.LabelTopologyRegion}

// mayMatch says whether a selector matches a pod, or may once the pod is bound.
func mayMatch(selector labels.Selector, pod *corev1.Pod) bool {
	requirements, selectable := selector.Requirements()
	return selectable && !slices.ContainsFunc(requirements, func(r labels.Requirement) bool {
		return !setByBinding(r.Key()) && !r.Matches(labels.Set(pod.Labels))
	})
}
