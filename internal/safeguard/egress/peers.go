package egress

import (
	"errors"
	"fmt"
	"net/netip"
	"slices"

	corev1 "k8s.io/api/core/v1"
	networkingv1 "k8s.io/api/networking/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/labels"
	"k8s.io/apimachinery/pkg/selection"

	"go4.org/netipx"
)

// judgeRules judges the egress rules of one policy, each alone: a union stays inside an allow-list exactly when every
// part of it does.
func (r Rule) judgeRules(policy string, rules []networkingv1.NetworkPolicyEgressRule) []string {
	var violations []string
	for i := range rules {
		if len(rules[i].To) == 0 {
			violations = append(violations, fmt.Sprintf("%s egress[%d] has no to, which allows every destination%s",
				policy, i, onPorts(rules[i].Ports)))
		}
		for j := range rules[i].To {
			for _, fault := range r.judgePeer(&rules[i].To[j]) {
				violations = append(violations, fmt.Sprintf("%s egress[%d].to[%d] %s", policy, i, j, fault))
			}
		}
	}
	return violations
}

func onPorts(ports []networkingv1.NetworkPolicyPort) string {
	if len(ports) == 0 {
		return ""
	}
	return " on its ports"
}

// judgePeer returns what is wrong with one peer. The API server refuses some of what is looked for here, but a manifest
// may not have been through it, and network plugins differ on what they make of such peers.
func (r Rule) judgePeer(peer *networkingv1.NetworkPolicyPeer) []string {
	selects := peer.NamespaceSelector != nil || peer.PodSelector != nil
	if peer.IPBlock == nil && !selects {
		return []string{"is an empty peer, which may be read as every destination"}
	}
	var faults []string
	if peer.IPBlock != nil {
		faults = r.judgeBlock(peer.IPBlock)
	}
	if peer.IPBlock != nil && selects {
		faults = append(faults, fmt.Sprintf("has ipBlock %s beside a selector, so what it allows is not known",
			quote(peer.IPBlock.CIDR, maxValue)))
	}
	return append(faults, judgeSelectors(peer)...)
}

// judgeSelectors refuses a peer that names neither a namespace nor a pod. An allow-list says what is allowed, so a
// selector which only excludes, or asks for a label that everything bears, names no more than an empty one.
func judgeSelectors(peer *networkingv1.NetworkPolicyPeer) []string {
	namespaces, namespacesFault := judgeSelector("namespaceSelector", peer.NamespaceSelector)
	pods, podsFault := judgeSelector("podSelector", peer.PodSelector)
	faults := slices.Concat(namespacesFault, podsFault)
	if len(faults) > 0 || peer.NamespaceSelector == nil {
		return faults // without a namespaceSelector a peer stays in the policy's own namespace
	}
	// The API server gives every namespace a label with its name.
	if !namesNothing(namespaces, corev1.LabelMetadataName) || peer.PodSelector != nil && !namesNothing(pods, "") {
		return nil
	}
	reach := "reaches every pod of the cluster"
	if !namespaces.Empty() || peer.PodSelector != nil && !pods.Empty() {
		reach = "reaches every pod of the cluster that it does not exclude"
	}
	return []string{fmt.Sprintf("%s (namespaceSelector %s, podSelector %s)",
		reach, show(peer.NamespaceSelector, namespaces), show(peer.PodSelector, pods))}
}

func judgeSelector(field string, selector *metav1.LabelSelector) (labels.Selector, []string) {
	parsed, err := parseSelector(selector)
	if err != nil {
		return nil, []string{fmt.Sprintf("has an invalid %s, so what it allows is not known: %s",
			field, plain(err.Error(), maxReason))}
	}
	return parsed, nil
}

// namesNothing is true of a selector that an object without labels would match, as it matches whatever nobody has
// thought of; universal is a label key that every object bears.
func namesNothing(selector labels.Selector, universal string) bool {
	requirements, selectable := selector.Requirements()
	if !selectable {
		return false
	}
	for _, requirement := range requirements {
		if requirement.Key() == universal && requirement.Operator() == selection.Exists {
			continue
		}
		if !requirement.Matches(labels.Set{}) {
			return false
		}
	}
	return true
}

func show(selector *metav1.LabelSelector, parsed labels.Selector) string {
	switch {
	case selector == nil:
		return "none"
	case parsed.Empty():
		return "{}"
	default:
		return quote(parsed.String(), maxValue)
	}
}

// judgeBlock holds every address of the block, less its excepts, against what is allowed. An except that cannot be read
// takes nothing away.
func (r Rule) judgeBlock(block *networkingv1.IPBlock) []string {
	cidr, err := parseCIDR(block.CIDR)
	if err != nil {
		return []string{fmt.Sprintf("ipBlock %s %v", quote(block.CIDR, maxValue), err)}
	}
	var faults []string
	var reach netipx.IPSetBuilder
	reach.AddPrefix(cidr)
	for _, except := range block.Except {
		prefix, err := parseCIDR(except)
		if err != nil {
			faults = append(faults, fmt.Sprintf("ipBlock %s except %s %v",
				quote(block.CIDR, maxValue), quote(except, maxValue), err))
			continue
		}
		reach.RemovePrefix(prefix)
	}
	reached, err := reach.IPSet()
	if err != nil {
		return append(faults, fmt.Sprintf("ipBlock %s cannot be judged", quote(block.CIDR, maxValue)))
	}
	for _, addresses := range reached.Ranges() {
		if r.Allowed == nil || !r.Allowed.ContainsRange(addresses) {
			return append(faults, fmt.Sprintf("ipBlock %s reaches %s, which is not allowed",
				quote(block.CIDR, maxValue), firstOutside(addresses, r.Allowed)))
		}
	}
	return faults
}

// firstOutside gives people an address to go by. Subtracting a set costs far more than asking it, so this is done only
// for a block that has failed.
func firstOutside(addresses netipx.IPRange, allowed *netipx.IPSet) netip.Addr {
	var rest netipx.IPSetBuilder
	rest.AddRange(addresses)
	rest.RemoveSet(allowed)
	outside, err := rest.IPSet()
	if err != nil || len(outside.Ranges()) == 0 {
		return addresses.From()
	}
	return outside.Ranges()[0].From()
}

// parseCIDR reads a CIDR strictly. Leading zeros and IPv4-mapped IPv6 addresses are refused: one reader takes 010.0.0.0
// for octal, and ::ffff:10.0.0.0 for IPv4, where another does not.
func parseCIDR(cidr string) (netip.Prefix, error) {
	prefix, err := netip.ParsePrefix(cidr)
	if err != nil {
		return netip.Prefix{}, errors.New("is not a CIDR (want ADDRESS/BITS, without leading zeros)")
	}
	if prefix.Addr().Is4In6() {
		return netip.Prefix{}, errors.New("is an IPv4-mapped IPv6 CIDR: write it as IPv4")
	}
	return prefix, nil
}
