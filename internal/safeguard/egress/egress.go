// Package egress judges what a pod may send traffic to: whether NetworkPolicies isolate it for egress in a way that its
// editors cannot walk out of, and whether all that those policies allow, taken together, stays inside an allow-list.
//
// It owns the reading of NetworkPolicies and nothing else. It is pure: it must not import our API types, a client,
// controller-runtime or any other package of this module, only k8s.io/api, k8s.io/apimachinery, go4.org/netipx and the
// standard library. It takes no clock and does no I/O; the same input gives the same sentences. It remembers what it has read of a
// policy, which is a tenant's and may be large, so that this is not read again for each pod.
//
// What it cannot see, and what other safeguards must answer for: whether the cluster's network plugin enforces
// NetworkPolicies at all, policies of other kinds that are evaluated before them or add to them, further network
// interfaces of a pod, and what the destinations that are allowed do with what they are sent.
package egress

import (
	"fmt"
	"slices"
	"strings"

	corev1 "k8s.io/api/core/v1"
	networkingv1 "k8s.io/api/networking/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/labels"

	"go4.org/netipx"
)

// Rule is what the safeguard allows. The zero Rule allows no destination outside the cluster.
type Rule struct {
	// Allowed holds the destinations outside the cluster that ipBlocks may name; nil means none.
	Allowed *netipx.IPSet

	readings *readings
}

// ParseRule makes a Rule of the CIDRs that ipBlocks may name. A CIDR with bits set beyond its prefix is refused, since
// it may have been meant as the one address or as the whole network.
func ParseRule(cidrs []string) (Rule, error) {
	var allowed netipx.IPSetBuilder
	for i, cidr := range cidrs {
		prefix, err := parseCIDR(cidr)
		if err == nil && prefix != prefix.Masked() {
			err = fmt.Errorf("has bits set beyond its prefix: write %s for the network", prefix.Masked())
		}
		if err != nil {
			return Rule{}, fmt.Errorf("allowed CIDR [%d] %s %w", i, quote(cidr, maxValue), err)
		}
		allowed.AddPrefix(prefix)
	}
	set, err := allowed.IPSet()
	if err != nil {
		return Rule{}, fmt.Errorf("allowed CIDRs: %w", err)
	}
	return Rule{Allowed: set, readings: &readings{}}, nil
}

// Judge returns what is wrong with what the pod may send traffic to, given the NetworkPolicies of its namespace: one
// short sentence for each violation, sorted, nil when nothing is wrong. Policies of other namespaces are ignored, and
// their order does not matter. Each sentence is printable ASCII of at most 512 bytes.
//
// frozen holds the labels of the pod which cannot change while it lives. Only a policy that selects the pod by these
// alone isolates it: any other label can be edited on a living pod, which would walk out of the policy. Labels that come
// with the binding to a node count as any that a selector may ask for. For what other labels would open see Openings.
func Judge(pod *corev1.Pod, frozen labels.Set, policies []networkingv1.NetworkPolicy, rule Rule) []string {
	if pod.Spec.HostNetwork {
		return []string{"the pod uses hostNetwork, and NetworkPolicies do not apply to it"}
	}

	var violations []string
	isolation := isolation{firm: firmLabels(pod, frozen)}
	for i := range policies {
		policy := &policies[i]
		governs := governsEgress(&policy.Spec)
		// Rules of a policy that does not name Egress allow nothing by the API's words, but there are network plugins
		// that add them to the union all the same (Cilium does), so what they would open is judged too.
		if policy.Namespace != pod.Namespace || !governs && len(policy.Spec.Egress) == 0 {
			continue
		}
		if why, unread := policy.Annotations[Unread]; unread {
			violations = append(violations, fmt.Sprintf("%s was not looked at, so it may allow everything: %s", nameOf(policy), plain(why, maxReason)))
			continue
		}
		read := rule.read(policy)
		if read.wrong != nil {
			violations = append(violations, fmt.Sprintf("%s has an invalid podSelector, so whether it selects the pod "+
				"is not known: %s", nameOf(policy), plain(read.wrong.Error(), maxReason)))
			continue
		}
		if !mayMatch(read.selector, pod) {
			continue
		}
		violations = append(violations, read.faults...)
		if governs {
			isolation.add(nameOf(policy), policy, read.selector)
		}
	}
	if violation := isolation.violation(); violation != "" {
		violations = append(violations, violation)
	}
	slices.Sort(violations)
	return slices.Compact(violations)
}

// governsEgress applies the API server's default for absent policyTypes, which a manifest that was never submitted
// lacks: Egress only if there are egress rules.
func governsEgress(spec *networkingv1.NetworkPolicySpec) bool {
	if len(spec.PolicyTypes) == 0 {
		return len(spec.Egress) > 0
	}
	return slices.Contains(spec.PolicyTypes, networkingv1.PolicyTypeEgress)
}

// firmLabels returns the keys of the frozen labels that the pod really bears. The others select nothing, whatever the
// caller holds the pod to be.
func firmLabels(pod *corev1.Pod, frozen labels.Set) []string {
	var firm []string
	for key, value := range frozen {
		if actual, borne := pod.Labels[key]; borne && actual == value {
			firm = append(firm, key)
		}
	}
	slices.Sort(firm)
	return firm
}

// isolation gathers, over the policies that select a pod, whether one of them holds it for as long as it lives.
type isolation struct {
	firm  []string // keys of labels which cannot change
	held  bool
	loose []string // sentences on policies that the pod could walk out of
	going []string // policies which are being deleted
}

func (i *isolation) add(name string, policy *networkingv1.NetworkPolicy, selector labels.Selector) {
	if policy.DeletionTimestamp != nil {
		i.going = append(i.going, name)
		return
	}
	loose := i.looseKeys(selector)
	if len(loose) == 0 {
		i.held = true
		return
	}
	remedy := "every pod"
	if len(i.firm) > 0 {
		remedy = quote(strings.Join(i.firm, ", "), maxValue) + " alone or every pod"
	}
	i.loose = append(i.loose, fmt.Sprintf("%s selects the pod only through labels that may change while it lives (%s): "+
		"select on %s", name, quote(strings.Join(loose, ", "), maxValue), remedy))
}

// looseKeys returns the keys of the selector that may change on a living pod, sorted.
func (i *isolation) looseKeys(selector labels.Selector) []string {
	var loose []string
	requirements, _ := selector.Requirements()
	for _, requirement := range requirements {
		if !slices.Contains(i.firm, requirement.Key()) {
			loose = append(loose, requirement.Key())
		}
	}
	slices.Sort(loose)
	return slices.Compact(loose)
}

// violation says what isolation lacks. One policy is enough, so of several that nearly do, the first by name is told.
func (i *isolation) violation() string {
	const none = "no NetworkPolicy with policyType Egress selects the pod"
	switch {
	case i.held:
		return ""
	case len(i.loose) > 0:
		return slices.Min(i.loose)
	case len(i.going) > 0:
		return none + ", save for " + slices.Min(i.going) + ", which is being deleted"
	default:
		return none
	}
}

func sizeOf(selector *metav1.LabelSelector) int {
	if selector == nil {
		return 0
	}
	n := len(selector.MatchLabels) + len(selector.MatchExpressions)
	for i := range selector.MatchExpressions {
		n += len(selector.MatchExpressions[i].Values)
	}
	return n
}

// parseSelector converts a selector and, if it is invalid, names the same fault each time: the conversion of
// apimachinery walks a map, and a sentence that changes by chance would be written to a status over and over.
func parseSelector(selector *metav1.LabelSelector) (labels.Selector, error) {
	if n := sizeOf(selector); n > maxSelector {
		return nil, fmt.Errorf("it has %d requirements and values, and no more than %d are looked at", n, maxSelector)
	}
	parsed, err := metav1.LabelSelectorAsSelector(selector)
	if err == nil {
		return parsed, nil
	}
	for _, key := range sortedKeys(selector.MatchLabels) {
		one := metav1.LabelSelector{MatchLabels: map[string]string{key: selector.MatchLabels[key]}}
		if _, err := metav1.LabelSelectorAsSelector(&one); err != nil {
			return nil, err
		}
	}
	return nil, err
}
