package egress

import (
	"fmt"
	"net/netip"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	corev1 "k8s.io/api/core/v1"
	networkingv1 "k8s.io/api/networking/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"pgregory.net/rapid"
)

func drawSelector(t *rapid.T, label string) *metav1.LabelSelector {
	return rapid.SampledFrom([]*metav1.LabelSelector{
		everything(), is(modelLabel, "opus"), is(modelLabel, "haiku"), is("app", "vllm"), is("app", "web"),
		expr("app", metav1.LabelSelectorOpNotIn, "web"), expr("app", metav1.LabelSelectorOpExists),
		expr("nobody", metav1.LabelSelectorOpDoesNotExist), expr(modelLabel, metav1.LabelSelectorOpExists),
		expr("app", "Matches"), is("not a key", "x"),
	}).Draw(t, label).DeepCopy()
}

// drawSmallCIDR draws from a space small enough to enumerate, of both families.
func drawSmallCIDR(t *rapid.T, label string) string {
	bits := rapid.IntRange(0, 6).Draw(t, label+" size")
	last := rapid.IntRange(0, 63).Draw(t, label+" address")
	if rapid.Bool().Draw(t, label+" IPv6") {
		return netip.PrefixFrom(netip.MustParseAddr(fmt.Sprintf("2001:db8::%x", last)), 122+bits).Masked().String()
	}
	return netip.PrefixFrom(netip.MustParseAddr(fmt.Sprintf("192.0.2.%d", last)), 26+bits).Masked().String()
}

func drawPeer(t *rapid.T) networkingv1.NetworkPolicyPeer {
	var p networkingv1.NetworkPolicyPeer
	if rapid.Bool().Draw(t, "has ipBlock") {
		except := rapid.SliceOfN(rapid.Custom(func(t *rapid.T) string { return drawSmallCIDR(t, "except") }), 0, 3)
		p = block(drawSmallCIDR(t, "cidr"), except.Draw(t, "excepts")...)
		if rapid.IntRange(0, 9).Draw(t, "spoilt") == 0 {
			p.IPBlock.CIDR = rapid.SampledFrom([]string{"", "0.0.0.0/0", "::ffff:192.0.2.0/120", "x"}).Draw(t, "odd cidr")
		}
	}
	if rapid.IntRange(0, 2).Draw(t, "has namespaceSelector") == 0 {
		p.NamespaceSelector = drawSelector(t, "namespaceSelector")
	}
	if rapid.IntRange(0, 2).Draw(t, "has podSelector") == 0 {
		p.PodSelector = drawSelector(t, "podSelector")
	}
	return p
}

func drawPolicy(t *rapid.T) networkingv1.NetworkPolicy {
	name := rapid.SampledFrom([]string{"a", "b", "c", "d", "e"}).Draw(t, "name")
	p := newPolicy(name, selecting(drawSelector(t, "selects")))
	p.Spec.PolicyTypes = rapid.SampledFrom([][]networkingv1.PolicyType{
		nil, {networkingv1.PolicyTypeEgress}, {networkingv1.PolicyTypeIngress},
		{networkingv1.PolicyTypeIngress, networkingv1.PolicyTypeEgress},
	}).Draw(t, "types")
	if rapid.IntRange(0, 5).Draw(t, "elsewhere") == 0 {
		p.Namespace = "other"
	}
	if rapid.IntRange(0, 4).Draw(t, "deleted") == 0 {
		deleting(&p)
	}
	for range rapid.IntRange(0, 3).Draw(t, "rules") {
		peers := rapid.SliceOfN(rapid.Custom(drawPeer), 0, 3).Draw(t, "to")
		p.Spec.Egress = append(p.Spec.Egress, networkingv1.NetworkPolicyEgressRule{To: peers})
	}
	return p
}

func drawPolicies(t *rapid.T) []networkingv1.NetworkPolicy {
	return rapid.SliceOfN(rapid.Custom(drawPolicy), 0, 6).Draw(t, "policies")
}

func drawRule(t *rapid.T) Rule {
	cidrs := rapid.SliceOfN(rapid.Custom(func(t *rapid.T) string { return drawSmallCIDR(t, "allowed") }), 0, 4)
	rule, err := ParseRule(cidrs.Draw(t, "allowed CIDRs"))
	if err != nil {
		t.Fatal(err)
	}
	return rule
}

func drawPod(t *rapid.T) *corev1.Pod {
	pod := newPod()
	if rapid.IntRange(0, 3).Draw(t, "unlabelled") == 0 {
		pod.Labels = nil
	}
	return pod
}

// aboutAllowances leaves out the one sentence on isolation, which further policies may well put right.
func aboutAllowances(violations []string) []string {
	return slices.DeleteFunc(slices.Clone(violations), func(v string) bool {
		return strings.HasPrefix(v, notHeld) || strings.Contains(v, "may change while it lives")
	})
}

func missing(from, all []string) []string {
	return slices.DeleteFunc(slices.Clone(all), func(v string) bool { return slices.Contains(from, v) })
}

func TestOrderDoesNotMatter(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		pod, policies, rule := drawPod(t), drawPolicies(t), drawRule(t)
		want := Judge(pod, frozen, policies, rule)
		shuffled := rapid.Permutation(policies).Draw(t, "shuffled")
		if diff := cmp.Diff(want, Judge(pod, frozen, shuffled, rule)); diff != "" {
			t.Fatalf("shuffled (-want +got):\n%s", diff)
		}
		if !slices.IsSorted(want) || want != nil && len(want) == 0 {
			t.Fatalf("not sorted, or empty where it should be nil: %#v", want)
		}
		if len(slices.Compact(slices.Clone(want))) != len(want) {
			t.Fatalf("said twice: %q", want)
		}
	})
}

func TestAddingAPolicyRemovesNoViolationAboutAllowances(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		pod, policies, rule := drawPod(t), drawPolicies(t), drawRule(t)
		before := aboutAllowances(Judge(pod, frozen, policies, rule))
		after := Judge(pod, frozen, append(policies, drawPolicy(t)), rule)
		if lost := missing(after, before); len(lost) > 0 {
			t.Fatalf("gone after adding a policy: %q", lost)
		}
	})
}

var indices = regexp.MustCompile(`egress\[\d+\](\.to\[\d+\])?`)

func withoutIndices(violations []string) []string {
	bare := make([]string, 0, len(violations))
	for _, v := range violations {
		bare = append(bare, indices.ReplaceAllString(v, "egress"))
	}
	return bare
}

// TestRemovingAllowancesAddsNoViolation removes a rule, or a peer that is not the last of its rule (a rule without peers
// allows everything). policyTypes are explicit: without them a policy that loses its last rule no longer governs egress.
func TestRemovingAllowancesAddsNoViolation(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		pod, policies, rule := drawPod(t), drawPolicies(t), drawRule(t)
		for i := range policies {
			if policies[i].Spec.PolicyTypes == nil {
				policies[i].Spec.PolicyTypes = []networkingv1.PolicyType{networkingv1.PolicyTypeEgress}
			}
		}
		before := withoutIndices(Judge(pod, frozen, policies, rule))
		var removed []networkingv1.NetworkPolicy
		for i := range policies {
			policy := policies[i].DeepCopy()
			rules := &policy.Spec.Egress
			if len(*rules) > 0 {
				at := rapid.IntRange(0, len(*rules)-1).Draw(t, "rule")
				peers := &(*rules)[at].To
				if len(*peers) > 1 && rapid.Bool().Draw(t, "peer only") {
					gone := rapid.IntRange(0, len(*peers)-1).Draw(t, "peer")
					*peers = slices.Delete(*peers, gone, gone+1)
				} else {
					*rules = slices.Delete(*rules, at, at+1)
				}
			}
			removed = append(removed, *policy)
		}
		after := withoutIndices(Judge(pod, frozen, removed, rule))
		if added := missing(before, after); len(added) > 0 {
			t.Fatalf("new after removing allowances: %q", added)
		}
	})
}

func TestInputIsNotMutated(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		pod, policies, rule := drawPod(t), drawPolicies(t), drawRule(t)
		podBefore, stable, ranges := pod.DeepCopy(), frozen, rule.Allowed.Ranges()
		var before []networkingv1.NetworkPolicy
		for i := range policies {
			before = append(before, *policies[i].DeepCopy())
		}
		first := Judge(pod, stable, policies, rule)
		if diff := cmp.Diff(podBefore, pod); diff != "" {
			t.Errorf("pod (-before +after):\n%s", diff)
		}
		if len(policies) > 0 {
			if diff := cmp.Diff(before, policies); diff != "" {
				t.Errorf("policies (-before +after):\n%s", diff)
			}
		}
		if !slices.Equal(ranges, rule.Allowed.Ranges()) {
			t.Error("rule has changed")
		}
		if diff := cmp.Diff(first, Judge(pod, stable, policies, rule)); diff != "" {
			t.Errorf("judged twice (-first +second):\n%s", diff)
		}
	})
}

// TestBlocksAgreeWithCounting compares the set arithmetic with going through the addresses one by one.
func TestBlocksAgreeWithCounting(t *testing.T) {
	drawMany := func(t *rapid.T, what string) []netip.Prefix {
		draw := rapid.Custom(func(t *rapid.T) netip.Prefix { return netip.MustParsePrefix(drawSmallCIDR(t, what)) })
		return rapid.SliceOfN(draw, 0, 5).Draw(t, what)
	}
	within := func(prefixes []netip.Prefix, a netip.Addr) bool {
		return slices.ContainsFunc(prefixes, func(p netip.Prefix) bool { return p.Contains(a) })
	}
	text := func(prefixes []netip.Prefix) []string {
		var s []string
		for _, p := range prefixes {
			s = append(s, p.String())
		}
		return s
	}
	rapid.Check(t, func(t *rapid.T) {
		allowed, except := drawMany(t, "allowed"), drawMany(t, "except")
		cidr := netip.MustParsePrefix(drawSmallCIDR(t, "cidr"))
		rule, err := ParseRule(text(allowed))
		if err != nil {
			t.Fatal(err)
		}
		var want []string
		for a := cidr.Addr(); cidr.Contains(a); a = a.Next() {
			if !within(except, a) && !within(allowed, a) {
				want = []string{fmt.Sprintf(`NetworkPolicy "x" egress[0].to[0] ipBlock "%s" reaches %s, which is not allowed`,
					cidr, a)}
				break
			}
		}
		got := Judge(newPod(), frozen, []networkingv1.NetworkPolicy{
			newPolicy("x", to(block(cidr.String(), text(except)...)))}, rule)
		if diff := cmp.Diff(want, got); diff != "" {
			t.Fatalf("%s except %v, allowed %v (-counted +got):\n%s", cidr, except, allowed, diff)
		}
	})
}

func FuzzJudge(f *testing.F) {
	for _, seed := range [][3]string{
		{"192.0.2.0/24", "192.0.2.0/25", "192.0.2.0/26"}, {"2001:db8::/32", "::/0", "2001:db8::/32"},
		{"::ffff:10.0.0.0/104", "::ffff:10.0.0.1/0", "::ffff:0:0/96"}, {"010.0.0.0/8", "10.0.0.0/08", "10/8"},
		{"fe80::1%eth0/64", "fe80::%25/64", "255.255.255.255/32"}, {"", "/", "\x00/\xff"},
		{"ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff/128", "ffff::/16", "0.0.0.0/32"},
	} {
		f.Add(seed[0], seed[1], seed[2])
	}
	f.Fuzz(func(t *testing.T, allowed, cidr, except string) {
		rule, err := ParseRule([]string{allowed})
		if err != nil {
			checkSentence(t, err.Error())
		}
		selector := expr(allowed, metav1.LabelSelectorOperator(except), cidr)
		for _, violation := range Judge(newPod(), frozen, []networkingv1.NetworkPolicy{
			newPolicy(cidr, to(block(cidr, except)), to(peer(selector, is(allowed, cidr))), to(block(except))),
			newPolicy(except, selecting(is(cidr, except)), to()),
		}, rule) {
			checkSentence(t, violation)
		}
		if err == nil {
			same := Judge(newPod(), frozen, []networkingv1.NetworkPolicy{newPolicy("same", to(block(allowed)))}, rule)
			if same != nil {
				t.Errorf("%q is not inside itself: %q", allowed, same)
			}
			if rule.Allowed.Contains(netip.MustParseAddr("203.0.113.1")) {
				return
			}
			wider := newPolicy("wider", to(block(allowed), block("203.0.113.1/32")))
			if Judge(newPod(), frozen, []networkingv1.NetworkPolicy{wider}, rule) == nil {
				t.Errorf("allowing %q lets 203.0.113.1 through", allowed)
			}
		}
	})
}

func BenchmarkJudge(b *testing.B) {
	var cidrs []string
	for i := range 16 {
		cidrs = append(cidrs, fmt.Sprintf("198.51.%d.0/25", i), fmt.Sprintf("2001:db8:%x::/48", i*2))
	}
	rule, policies := mustRule(b, cidrs...), []networkingv1.NetworkPolicy{newPolicy("deny")}
	for i := range 19 {
		policies = append(policies, newPolicy(fmt.Sprintf("policy-%d", i), selecting(is("app", "vllm")),
			to(block(fmt.Sprintf("198.51.%d.0/24", i%16), fmt.Sprintf("198.51.%d.128/25", i%16)),
				block(fmt.Sprintf("2001:db8:%x::/64", i%16*2))),
			to(peer(is(corev1.LabelMetadataName, "kube-system"), is("k8s-app", "kube-dns")))))
	}
	pod := newPod()
	if got := Judge(pod, frozen, policies, rule); got != nil {
		b.Fatal(got)
	}
	b.ReportAllocs()
	for b.Loop() {
		Judge(pod, frozen, policies, rule)
	}
}
