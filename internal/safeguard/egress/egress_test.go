package egress

import (
	"slices"
	"strconv"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	corev1 "k8s.io/api/core/v1"
	networkingv1 "k8s.io/api/networking/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/labels"
	apitypes "k8s.io/apimachinery/pkg/types"
	"k8s.io/apimachinery/pkg/util/intstr"
)

const (
	modelLabel = "interlock.dev/model"
	notHeld    = "no NetworkPolicy with policyType Egress selects the pod"
	notCIDR    = " is not a CIDR (want ADDRESS/BITS, without leading zeros)"
	isMapped   = " is an IPv4-mapped IPv6 CIDR: write it as IPv4"
)

var frozen = labels.Set{modelLabel: "opus"}

func newPod() *corev1.Pod {
	return &corev1.Pod{ObjectMeta: metav1.ObjectMeta{
		Name: "p", Namespace: "serving",
		Labels: map[string]string{modelLabel: "opus", "app": "vllm"},
	}}
}

type option func(*networkingv1.NetworkPolicy)

// newPolicy returns a policy that isolates the pod and allows nothing, changed by the options.
func newPolicy(name string, options ...option) networkingv1.NetworkPolicy {
	policy := networkingv1.NetworkPolicy{
		ObjectMeta: metav1.ObjectMeta{Name: name, Namespace: "serving"},
		Spec:       networkingv1.NetworkPolicySpec{PolicyTypes: []networkingv1.PolicyType{networkingv1.PolicyTypeEgress}},
	}
	for _, o := range options {
		o(&policy)
	}
	return policy
}

func inNamespace(namespace string) option {
	return func(p *networkingv1.NetworkPolicy) { p.Namespace = namespace }
}

func types(types ...networkingv1.PolicyType) option {
	return func(p *networkingv1.NetworkPolicy) { p.Spec.PolicyTypes = types }
}

func selecting(selector *metav1.LabelSelector) option {
	return func(p *networkingv1.NetworkPolicy) { p.Spec.PodSelector = *selector }
}

func deleting(p *networkingv1.NetworkPolicy) {
	now := metav1.Unix(1, 0)
	p.DeletionTimestamp = &now
}

func rule(ports []networkingv1.NetworkPolicyPort, to ...networkingv1.NetworkPolicyPeer) option {
	return func(p *networkingv1.NetworkPolicy) {
		p.Spec.Egress = append(p.Spec.Egress, networkingv1.NetworkPolicyEgressRule{Ports: ports, To: to})
	}
}

func to(peers ...networkingv1.NetworkPolicyPeer) option { return rule(nil, peers...) }

func block(cidr string, except ...string) networkingv1.NetworkPolicyPeer {
	return networkingv1.NetworkPolicyPeer{IPBlock: &networkingv1.IPBlock{CIDR: cidr, Except: except}}
}

func peer(namespaces, pods *metav1.LabelSelector) networkingv1.NetworkPolicyPeer {
	return networkingv1.NetworkPolicyPeer{NamespaceSelector: namespaces, PodSelector: pods}
}

func everything() *metav1.LabelSelector { return &metav1.LabelSelector{} }

func is(key, value string) *metav1.LabelSelector {
	return &metav1.LabelSelector{MatchLabels: map[string]string{key: value}}
}

func expr(key string, op metav1.LabelSelectorOperator, values ...string) *metav1.LabelSelector {
	return &metav1.LabelSelector{MatchExpressions: []metav1.LabelSelectorRequirement{
		{Key: key, Operator: op, Values: values},
	}}
}

func mustRule(t testing.TB, cidrs ...string) Rule {
	t.Helper()
	r, err := ParseRule(cidrs)
	if err != nil {
		t.Fatal(err)
	}
	return r
}

type judgeCase struct {
	pod      func(*corev1.Pod)
	frozen   labels.Set // nil: the model label
	policies []networkingv1.NetworkPolicy
	allowed  []string
	want     []string
}

func (c judgeCase) run(t *testing.T) {
	t.Helper()
	pod, stable := newPod(), frozen
	if c.pod != nil {
		c.pod(pod)
	}
	if c.frozen != nil {
		stable = c.frozen
	}
	got := Judge(pod, stable, c.policies, mustRule(t, c.allowed...))
	if diff := cmp.Diff(c.want, got); diff != "" {
		t.Errorf("Judge (-want +got):\n%s", diff)
	}
}

func runCases(t *testing.T, cases map[string]judgeCase) {
	t.Helper()
	for name, c := range cases {
		t.Run(name, c.run)
	}
}

func TestJudgeHostNetwork(t *testing.T) {
	runCases(t, map[string]judgeCase{
		"hostNetwork escapes even a policy that denies all, and nothing else need be said": {
			pod:      func(p *corev1.Pod) { p.Spec.HostNetwork = true },
			policies: []networkingv1.NetworkPolicy{newPolicy("deny"), newPolicy("open", to())},
			want:     []string{"the pod uses hostNetwork, and NetworkPolicies do not apply to it"},
		},
	})
}

func TestJudgeIsolation(t *testing.T) {
	const through = " selects the pod only through labels that may change while it lives "
	runCases(t, map[string]judgeCase{
		"no policy at all": {want: []string{notHeld}},
		"empty podSelector holds the pod": {
			policies: []networkingv1.NetworkPolicy{newPolicy("deny")},
		},
		"frozen label holds the pod": {
			policies: []networkingv1.NetworkPolicy{newPolicy("deny", selecting(is(modelLabel, "opus")))},
		},
		"expressions on the frozen label hold the pod": {
			policies: []networkingv1.NetworkPolicy{newPolicy("deny", selecting(&metav1.LabelSelector{
				MatchExpressions: []metav1.LabelSelectorRequirement{
					{Key: modelLabel, Operator: metav1.LabelSelectorOpExists},
					{Key: modelLabel, Operator: metav1.LabelSelectorOpNotIn, Values: []string{"haiku"}},
					{Key: modelLabel, Operator: metav1.LabelSelectorOpIn, Values: []string{"opus", "sonnet"}},
				},
			}))},
		},
		"frozen label of another value": {
			policies: []networkingv1.NetworkPolicy{newPolicy("deny", selecting(is(modelLabel, "haiku")))},
			want:     []string{notHeld},
		},
		"policy of another namespace": {
			policies: []networkingv1.NetworkPolicy{newPolicy("deny", inNamespace("other"))},
			want:     []string{notHeld},
		},
		"Ingress alone": {
			policies: []networkingv1.NetworkPolicy{newPolicy("deny", types(networkingv1.PolicyTypeIngress))},
			want:     []string{notHeld},
		},
		"Ingress and Egress": {
			policies: []networkingv1.NetworkPolicy{
				newPolicy("deny", types(networkingv1.PolicyTypeIngress, networkingv1.PolicyTypeEgress))},
		},
		"no policyTypes and no egress rules govern ingress only": {
			policies: []networkingv1.NetworkPolicy{newPolicy("deny", types())},
			want:     []string{notHeld},
		},
		"no policyTypes but egress rules govern egress": {
			policies: []networkingv1.NetworkPolicy{newPolicy("dns", types(), to(peer(nil, everything())))},
		},
		"label that may change": {
			policies: []networkingv1.NetworkPolicy{newPolicy("deny", selecting(is("app", "vllm")))},
			want:     []string{`NetworkPolicy "deny"` + through + `("app"): select on "interlock.dev/model" alone or every pod`},
		},
		"frozen label together with one that may change": {
			policies: []networkingv1.NetworkPolicy{newPolicy("deny", selecting(&metav1.LabelSelector{
				MatchLabels: map[string]string{modelLabel: "opus", "app": "vllm"}}))},
			want: []string{`NetworkPolicy "deny"` + through + `("app"): select on "interlock.dev/model" alone or every pod`},
		},
		"absence of a label may change as well": {
			policies: []networkingv1.NetworkPolicy{
				newPolicy("deny", selecting(expr("quarantine", metav1.LabelSelectorOpDoesNotExist)))},
			want: []string{`NetworkPolicy "deny"` + through +
				`("quarantine"): select on "interlock.dev/model" alone or every pod`},
		},
		"value other than may change as well": {
			policies: []networkingv1.NetworkPolicy{
				newPolicy("deny", selecting(expr("app", metav1.LabelSelectorOpNotIn, "debug")))},
			want: []string{`NetworkPolicy "deny"` + through + `("app"): select on "interlock.dev/model" alone or every pod`},
		},
		"one that holds makes up for one that does not": {
			policies: []networkingv1.NetworkPolicy{
				newPolicy("a", selecting(is("app", "vllm"))), newPolicy("b")},
		},
		"of several that do not hold the first by name is told": {
			policies: []networkingv1.NetworkPolicy{
				newPolicy("b", selecting(is("app", "vllm"))), newPolicy("a", selecting(is("app", "vllm")))},
			want: []string{`NetworkPolicy "a"` + through + `("app"): select on "interlock.dev/model" alone or every pod`},
		},
		"frozen label that the pod does not bear selects nothing": {
			pod:      func(p *corev1.Pod) { delete(p.Labels, modelLabel) },
			policies: []networkingv1.NetworkPolicy{newPolicy("deny", selecting(is(modelLabel, "opus")))},
			want:     []string{notHeld},
		},
		"frozen label that the pod bears with another value is not frozen": {
			pod:      func(p *corev1.Pod) { p.Labels[modelLabel] = "haiku" },
			policies: []networkingv1.NetworkPolicy{newPolicy("deny", selecting(is(modelLabel, "haiku")))},
			want:     []string{`NetworkPolicy "deny"` + through + `("interlock.dev/model"): select on every pod`},
		},
		"nothing is frozen": {
			frozen:   labels.Set{},
			policies: []networkingv1.NetworkPolicy{newPolicy("deny", selecting(is(modelLabel, "opus")))},
			want:     []string{`NetworkPolicy "deny"` + through + `("interlock.dev/model"): select on every pod`},
		},
		"policy that is being deleted does not hold": {
			policies: []networkingv1.NetworkPolicy{newPolicy("deny", deleting)},
			want:     []string{notHeld + `, save for NetworkPolicy "deny", which is being deleted`},
		},
		"invalid podSelector is not taken for one that does not match": {
			policies: []networkingv1.NetworkPolicy{
				newPolicy("deny"), newPolicy("odd", selecting(expr("app", "Matches", "x")))},
			want: []string{`NetworkPolicy "odd" has an invalid podSelector, so whether it selects the pod is not known: ` +
				`"Matches" is not a valid label selector operator`},
		},
		"invalid podSelector does not hold": {
			policies: []networkingv1.NetworkPolicy{newPolicy("odd", selecting(expr(modelLabel, metav1.LabelSelectorOpIn)))},
			want: []string{`NetworkPolicy "odd" has an invalid podSelector, so whether it selects the pod is not known: ` +
				`values: Invalid value: null: for 'in', 'notin' operators, values set can't be empty`, notHeld},
		},
		"invalid podSelector of a policy without egress is no matter": {
			policies: []networkingv1.NetworkPolicy{newPolicy("deny"), newPolicy("odd",
				types(networkingv1.PolicyTypeIngress), selecting(expr("app", "Matches")))},
		},
	})
}

func TestJudgeBlocks(t *testing.T) {
	allowed := []string{"192.0.2.0/24", "198.51.100.0/25", "198.51.100.128/25", "2001:db8::/32"}
	reaches := func(cidr, address string) []string {
		return []string{`NetworkPolicy "x" egress[0].to[0] ipBlock "` + cidr + `" reaches ` + address +
			", which is not allowed"}
	}
	noCIDR := func(what string) []string {
		return []string{`NetworkPolicy "x" egress[0].to[0] ipBlock ` + what + notCIDR}
	}
	mapped := func(what string) []string {
		return []string{`NetworkPolicy "x" egress[0].to[0] ipBlock ` + what + isMapped}
	}
	cases := map[string]struct {
		cidr   string
		except []string
		want   []string
	}{
		"what is allowed":                 {cidr: "192.0.2.0/24"},
		"one address of it":               {cidr: "192.0.2.7/32"},
		"two allowed halves make a whole": {cidr: "198.51.100.0/24"},
		"IPv6 inside":                     {cidr: "2001:db8:1::/48"},
		"all of IPv4":                     {cidr: "0.0.0.0/0", want: reaches("0.0.0.0/0", "0.0.0.0")},
		"all of IPv4 under an address":    {cidr: "192.0.2.1/0", want: reaches("192.0.2.1/0", "0.0.0.0")},
		"all of IPv6":                     {cidr: "::/0", want: reaches("::/0", "::")},
		"lower half of IPv4":              {cidr: "0.0.0.0/1", want: reaches("0.0.0.0/1", "0.0.0.0")},
		"upper half of IPv4":              {cidr: "128.0.0.0/1", want: reaches("128.0.0.0/1", "128.0.0.0")},
		"one bit too wide":                {cidr: "192.0.2.0/23", want: reaches("192.0.2.0/23", "192.0.3.0")},
		"one address too low": {
			cidr: "192.0.1.255/32",
			want: reaches("192.0.1.255/32", "192.0.1.255"),
		},
		"IPv6 one bit too wide":          {cidr: "2001:db8::/31", want: reaches("2001:db8::/31", "2001:db9::")},
		"host bits mean the network":     {cidr: "192.0.2.77/24"},
		"except takes the surplus away":  {cidr: "192.0.2.0/23", except: []string{"192.0.3.0/24"}},
		"except with host bits does too": {cidr: "192.0.2.0/23", except: []string{"192.0.3.9/24"}},
		"except in pieces": {
			cidr:   "192.0.2.0/23",
			except: []string{"192.0.3.128/25", "192.0.3.0/25"},
		},
		"except leaves one address": {
			cidr: "192.0.2.0/23",
			except: []string{"192.0.3.0/25", "192.0.3.128/26", "192.0.3.192/27", "192.0.3.224/28",
				"192.0.3.240/29", "192.0.3.248/30", "192.0.3.252/31", "192.0.3.254/32"},
			want: reaches("192.0.2.0/23", "192.0.3.255"),
		},
		"except of the other family": {
			cidr:   "::/0",
			except: []string{"0.0.0.0/0"},
			want:   reaches("::/0", "::"),
		},
		"except of a hole in the whole": {
			cidr:   "0.0.0.0/0",
			except: []string{"10.0.0.0/8"},
			want:   reaches("0.0.0.0/0", "0.0.0.0"),
		},
		"except that cannot be read": {
			cidr:   "192.0.2.0/24",
			except: []string{"192.0.2.0"},
			want:   noCIDR(`"192.0.2.0/24" except "192.0.2.0"`),
		},
		"except that is mapped": {
			cidr:   "192.0.2.0/24",
			except: []string{"::ffff:192.0.2.0/120"},
			want:   mapped(`"192.0.2.0/24" except "::ffff:192.0.2.0/120"`),
		},
		"empty":                             {cidr: "", want: noCIDR(`""`)},
		"bare address":                      {cidr: "192.0.2.1", want: noCIDR(`"192.0.2.1"`)},
		"too many bits":                     {cidr: "192.0.2.1/33", want: noCIDR(`"192.0.2.1/33"`)},
		"signed bits":                       {cidr: "192.0.2.0/+24", want: noCIDR(`"192.0.2.0/+24"`)},
		"leading zeros, octal to some":      {cidr: "0300.0.2.0/24", want: noCIDR(`"0300.0.2.0/24"`)},
		"hexadecimal":                       {cidr: "0xc0.0.2.0/24", want: noCIDR(`"0xc0.0.2.0/24"`)},
		"space before":                      {cidr: " 192.0.2.0/24", want: noCIDR(`" 192.0.2.0/24"`)},
		"newline after":                     {cidr: "192.0.2.0/24\n", want: noCIDR(`"192.0.2.0/24\n"`)},
		"zone":                              {cidr: "fe80::1%eth0/64", want: noCIDR(`"fe80::1%eth0/64"`)},
		"IPv4-mapped":                       {cidr: "::ffff:192.0.2.0/120", want: mapped(`"::ffff:192.0.2.0/120"`)},
		"IPv4-mapped in hexadecimal":        {cidr: "::ffff:c000:200/120", want: mapped(`"::ffff:c000:200/120"`)},
		"IPv4-mapped address, bits for all": {cidr: "::ffff:192.0.2.0/0", want: mapped(`"::ffff:192.0.2.0/0"`)},
		"IPv4-compatible is IPv6, not allowed": {
			cidr: "::192.0.2.0/120",
			want: reaches("::192.0.2.0/120", "::c000:200"),
		},
		"NAT64 is IPv6, not allowed": {
			cidr: "64:ff9b::192.0.2.0/120",
			want: reaches("64:ff9b::192.0.2.0/120", "64:ff9b::c000:200"),
		},
	}
	for name, c := range cases {
		t.Run(name, judgeCase{
			allowed:  allowed,
			policies: []networkingv1.NetworkPolicy{newPolicy("x", to(block(c.cidr, c.except...)))},
			want:     c.want,
		}.run)
	}
}

func TestJudgeRules(t *testing.T) {
	anywhere := `NetworkPolicy "x" egress[0] has no to, which allows every destination`
	httpsPort := intstr.FromInt32(443)
	https := []networkingv1.NetworkPolicyPort{{Port: &httpsPort}}
	runCases(t, map[string]judgeCase{
		"no to": {policies: []networkingv1.NetworkPolicy{newPolicy("x", to())}, want: []string{anywhere}},
		"no to on port": {
			policies: []networkingv1.NetworkPolicy{newPolicy("x", rule(https))},
			want:     []string{anywhere + " on its ports"},
		},
		"empty to": {
			policies: []networkingv1.NetworkPolicy{newPolicy("x", to([]networkingv1.NetworkPolicyPeer{}...))},
			want:     []string{anywhere},
		},
		"port does not narrow a block": {
			policies: []networkingv1.NetworkPolicy{newPolicy("x", rule(https, block("0.0.0.0/0")))},
			want:     []string{`NetworkPolicy "x" egress[0].to[0] ipBlock "0.0.0.0/0" reaches 0.0.0.0, which is not allowed`},
		},
		"Rule of no CIDRs allows no block": {
			policies: []networkingv1.NetworkPolicy{newPolicy("x", to(block("192.0.2.1/32")))},
			want:     []string{`NetworkPolicy "x" egress[0].to[0] ipBlock "192.0.2.1/32" reaches 192.0.2.1, which is not allowed`},
		},
		"every rule and peer is judged": {
			allowed: []string{"192.0.2.0/24"},
			policies: []networkingv1.NetworkPolicy{newPolicy("x",
				to(block("192.0.2.0/24"), block("198.51.100.0/24")), to(peer(nil, everything())), to())},
			want: []string{
				`NetworkPolicy "x" egress[0].to[1] ipBlock "198.51.100.0/24" reaches 198.51.100.0, which is not allowed`,
				`NetworkPolicy "x" egress[2] has no to, which allows every destination`,
			},
		},
		"both halves of IPv4 in two policies": {
			policies: []networkingv1.NetworkPolicy{
				newPolicy("hi", to(block("128.0.0.0/1"))), newPolicy("lo", to(block("0.0.0.0/1")))},
			want: []string{
				`NetworkPolicy "hi" egress[0].to[0] ipBlock "128.0.0.0/1" reaches 128.0.0.0, which is not allowed`,
				`NetworkPolicy "lo" egress[0].to[0] ipBlock "0.0.0.0/1" reaches 0.0.0.0, which is not allowed`,
			},
		},
		"open policy beside one that denies all": {
			policies: []networkingv1.NetworkPolicy{newPolicy("deny"), newPolicy("x", to())},
			want:     []string{anywhere},
		},
		"except of one policy filled by another": {
			allowed: []string{"192.0.2.0/25"},
			policies: []networkingv1.NetworkPolicy{
				newPolicy("a", to(block("192.0.2.0/24", "192.0.2.128/25"))), newPolicy("b", to(block("192.0.2.128/25")))},
			want: []string{`NetworkPolicy "b" egress[0].to[0] ipBlock "192.0.2.128/25" reaches 192.0.2.128, which is not allowed`},
		},
		"selected by a label that may change counts for what it allows": {
			policies: []networkingv1.NetworkPolicy{newPolicy("deny"), newPolicy("x", selecting(is("app", "vllm")), to())},
			want:     []string{anywhere},
		},
		"being deleted counts for what it still allows": {
			policies: []networkingv1.NetworkPolicy{newPolicy("deny"), newPolicy("x", deleting, to())},
			want:     []string{anywhere},
		},
		"no policyTypes but rules": {
			policies: []networkingv1.NetworkPolicy{newPolicy("deny"), newPolicy("x", types(), to())},
			want:     []string{anywhere},
		},
		"policyTypes without Egress: the rules count, isolation does not": {
			policies: []networkingv1.NetworkPolicy{newPolicy("x", types(networkingv1.PolicyTypeIngress), to())},
			want:     []string{anywhere, notHeld},
		},
		"not selected": {
			policies: []networkingv1.NetworkPolicy{newPolicy("deny"), newPolicy("x", selecting(is("app", "web")), to())},
		},
		"of another namespace": {
			policies: []networkingv1.NetworkPolicy{newPolicy("deny"), newPolicy("x", inNamespace("other"), to())},
		},
	})
}

func TestJudgeZeroRuleAllowsNoBlock(t *testing.T) {
	for _, cidr := range []string{"192.0.2.1/32", "0.0.0.0/0", "2001:db8::1/128", "::/0"} {
		policies := []networkingv1.NetworkPolicy{newPolicy("x", to(block(cidr)))}
		if got := Judge(newPod(), frozen, policies, Rule{}); len(got) != 1 || !strings.Contains(got[0], cidr) {
			t.Errorf("%s: got %q", cidr, got)
		}
	}
}

func TestJudgePeers(t *testing.T) {
	const (
		at    = `NetworkPolicy "x" egress[0].to[0] `
		whole = at + "reaches every pod of the cluster "
		rest  = at + "reaches every pod of the cluster that it does not exclude "
	)
	cases := map[string]struct {
		peer networkingv1.NetworkPolicyPeer
		want []string
	}{
		"entirely empty": {
			want: []string{at + "is an empty peer, which may be read as every destination"},
		},
		"every pod of the own namespace":  {peer: peer(nil, everything())},
		"pods of the own namespace":       {peer: peer(nil, is("app", "guard"))},
		"own namespace, all but some":     {peer: peer(nil, expr("app", metav1.LabelSelectorOpNotIn, "web"))},
		"a namespace":                     {peer: peer(is("kubernetes.io/metadata.name", "kube-system"), nil)},
		"pods by name in every namespace": {peer: peer(everything(), is("k8s-app", "kube-dns"))},
		"pods by key in every namespace":  {peer: peer(everything(), expr("k8s-app", metav1.LabelSelectorOpExists))},
		"a namespace, every pod but some": {
			peer: peer(is("team", "a"), expr("app", metav1.LabelSelectorOpNotIn, "web")),
		},
		"namespaces by a key": {peer: peer(expr("team", metav1.LabelSelectorOpExists), everything())},
		"every namespace, no podSelector": {
			peer: peer(everything(), nil),
			want: []string{whole + "(namespaceSelector {}, podSelector none)"},
		},
		"every namespace, empty podSelector": {
			peer: peer(everything(), everything()),
			want: []string{whole + "(namespaceSelector {}, podSelector {})"}},
		"every namespace by the label that all bear": {
			peer: peer(expr("kubernetes.io/metadata.name", metav1.LabelSelectorOpExists), nil),
			want: []string{rest + `(namespaceSelector "kubernetes.io/metadata.name", podSelector none)`}},
		"every namespace without a label that none bears": {
			peer: peer(expr("nobody", metav1.LabelSelectorOpDoesNotExist), everything()),
			want: []string{rest + `(namespaceSelector "!nobody", podSelector {})`}},
		"every namespace but one": {
			peer: peer(expr("kubernetes.io/metadata.name", metav1.LabelSelectorOpNotIn, "nowhere"), nil),
			want: []string{rest + `(namespaceSelector "kubernetes.io/metadata.name notin (nowhere)", podSelector none)`}},
		"every namespace, every pod but some": {
			peer: peer(everything(), expr("app", metav1.LabelSelectorOpNotIn, "x")),
			want: []string{rest + `(namespaceSelector {}, podSelector "app notin (x)")`}},
		"invalid namespaceSelector": {
			peer: peer(expr("team", "Equals", "a"), nil),
			want: []string{at + `has an invalid namespaceSelector, so what it allows is not known: ` +
				`"Equals" is not a valid label selector operator`}},
		"invalid podSelector": {
			peer: peer(nil, expr("app", metav1.LabelSelectorOpExists, "a")),
			want: []string{at + `has an invalid podSelector, so what it allows is not known: values: Invalid value: ["a"]: ` +
				`values set must be empty for exists and does not exist`}},
		"invalid podSelector beside a namespace": {
			peer: peer(is("team", "a"), expr("app", "")),
			want: []string{at + `has an invalid podSelector, so what it allows is not known: ` +
				`"" is not a valid label selector operator`}},
		"block beside a selector": {
			peer: networkingv1.NetworkPolicyPeer{PodSelector: everything(), IPBlock: &networkingv1.IPBlock{CIDR: "192.0.2.0/24"}},
			want: []string{at + `has ipBlock "192.0.2.0/24" beside a selector, so what it allows is not known`}},
		"block beside every pod": {
			peer: networkingv1.NetworkPolicyPeer{NamespaceSelector: everything(), IPBlock: &networkingv1.IPBlock{CIDR: "::/0"}},
			want: []string{
				at + `has ipBlock "::/0" beside a selector, so what it allows is not known`,
				at + `ipBlock "::/0" reaches ::, which is not allowed`,
				whole + "(namespaceSelector {}, podSelector none)"}},
	}
	for name, c := range cases {
		t.Run(name, judgeCase{
			allowed:  []string{"192.0.2.0/24"},
			policies: []networkingv1.NetworkPolicy{newPolicy("x", to(c.peer))},
			want:     c.want,
		}.run)
	}
}

// TestJudgeSentences holds what people read within bounds, whatever those who write policies put into them.
func TestJudgeSentences(t *testing.T) {
	for name, hostile := range map[string]string{
		"long":           strings.Repeat("a", 5000),
		"control":        strings.Repeat("\x1b[2J\r\n\x00", 200),
		"right to left":  strings.Repeat("\u202e", 400),
		"not UTF-8":      strings.Repeat("\xff\xc0", 400),
		"astral":         strings.Repeat("\U000e0001", 400),
		"quotes":         strings.Repeat(`"\`, 400),
		"line separator": "\u2028\u2029\u0085",
	} {
		t.Run(name, func(t *testing.T) {
			bad := expr(hostile, metav1.LabelSelectorOperator(hostile), hostile)
			long := expr(strings.Repeat("a", 253)+"/"+strings.Repeat("b", 63), metav1.LabelSelectorOpDoesNotExist)
			var manyPeers []networkingv1.NetworkPolicyPeer
			for range 1000 {
				manyPeers = append(manyPeers, peer(long, long), peer(bad, bad))
			}
			pod := newPod()
			pod.Labels = map[string]string{hostile: hostile}
			got := Judge(pod, labels.Set{hostile: hostile}, []networkingv1.NetworkPolicy{
				newPolicy(hostile, to(block(hostile)), to(block("192.0.2.0/24", hostile)), to(manyPeers...), to()),
				newPolicy(hostile, selecting(bad)),
				newPolicy(hostile, selecting(is(hostile, hostile))),
				newPolicy(hostile, selecting(long), deleting),
			}, Rule{})
			if len(got) < 4 {
				t.Fatalf("only %d violations: %q", len(got), got)
			}
			for _, violation := range got {
				checkSentence(t, violation)
			}
			_, err := ParseRule([]string{"192.0.2.0/24", hostile})
			if err == nil {
				t.Fatal("ParseRule took it")
			}
			checkSentence(t, err.Error())
		})
	}
}

func TestJudgeIsolationSentenceIsBounded(t *testing.T) {
	pod, many, stable := newPod(), &metav1.LabelSelector{MatchLabels: map[string]string{}}, labels.Set{}
	for _, c := range "abcdefghijklmnopqrstuvwxyz" {
		key := strings.Repeat(string(c), 60)
		pod.Labels[key], many.MatchLabels[key] = "v", "v"
		stable["frozen/"+key] = "v"
		pod.Labels["frozen/"+key] = "v"
	}
	got := Judge(pod, stable, []networkingv1.NetworkPolicy{newPolicy(strings.Repeat("n", 253), selecting(many))}, Rule{})
	if len(got) != 1 || !strings.Contains(got[0], "may change") {
		t.Fatalf("got %q", got)
	}
	checkSentence(t, got[0])
}

// TestJudgeInvalidSelectorIsStable: of several faults the same is named each time, though maps have no order.
func TestJudgeInvalidSelectorIsStable(t *testing.T) {
	odd := &metav1.LabelSelector{MatchLabels: map[string]string{}}
	for _, c := range "abcdefgh" {
		odd.MatchLabels[string(c)+" "] = "x"
	}
	policies := []networkingv1.NetworkPolicy{newPolicy("odd", selecting(odd), to(peer(odd, odd)))}
	first := Judge(newPod(), frozen, policies, Rule{})
	for range 50 {
		if diff := cmp.Diff(first, Judge(newPod(), frozen, policies, Rule{})); diff != "" {
			t.Fatalf("same input, other words (-first +later):\n%s", diff)
		}
	}
}

// TestPlain stands by itself, since today's selector errors already quote what others wrote.
func TestPlain(t *testing.T) {
	for in, want := range map[string]string{
		"fine: \"x\"": "fine: \"x\"", "a\x1b\nb": "a??b", "\u202eé\xff": "???", "0123456789abcdef": "0123456789...",
	} {
		if got := plain(in, 10); got != want {
			t.Errorf("plain(%q) = %q, want %q", in, got, want)
		}
	}
}

func checkSentence(t testing.TB, s string) {
	t.Helper()
	if len(s) > 512 {
		t.Errorf("%d bytes long: %q", len(s), s)
	}
	for _, r := range s {
		if r < ' ' || r > '~' {
			t.Errorf("holds %U: %q", r, s)
			break
		}
	}
}

func TestParseRule(t *testing.T) {
	cases := map[string]struct {
		cidrs []string
		want  []string // prefixes
		err   string
	}{
		"none": {},
		"both families": {
			cidrs: []string{"192.0.2.0/24", "2001:db8::/32"},
			want:  []string{"192.0.2.0/24", "2001:db8::/32"},
		},
		"halves merge":  {cidrs: []string{"192.0.2.128/25", "192.0.2.0/25"}, want: []string{"192.0.2.0/24"}},
		"twice is once": {cidrs: []string{"192.0.2.0/24", "192.0.2.0/24"}, want: []string{"192.0.2.0/24"}},
		"empty entry":   {cidrs: []string{""}, err: `allowed CIDR [0] ""` + notCIDR},
		"bare address": {
			cidrs: []string{"192.0.2.0/24", "192.0.2.1"},
			err:   `allowed CIDR [1] "192.0.2.1"` + notCIDR,
		},
		"leading zeros": {cidrs: []string{"010.0.0.0/8"}, err: `allowed CIDR [0] "010.0.0.0/8"` + notCIDR},
		"host bits": {
			cidrs: []string{"10.0.0.1/8"},
			err:   `allowed CIDR [0] "10.0.0.1/8" has bits set beyond its prefix: write 10.0.0.0/8 for the network`,
		},
		"host bits, IPv6": {
			cidrs: []string{"2001:db8::1/32"},
			err:   `allowed CIDR [0] "2001:db8::1/32" has bits set beyond its prefix: write 2001:db8::/32 for the network`,
		},
		"IPv4-mapped": {
			cidrs: []string{"::ffff:10.0.0.0/104"},
			err:   `allowed CIDR [0] "::ffff:10.0.0.0/104"` + isMapped,
		},
		"one bad spoils it": {
			cidrs: []string{"192.0.2.0/24", "x", "198.51.100.0/24"},
			err:   `allowed CIDR [1] "x"` + notCIDR,
		},
	}
	for name, c := range cases {
		t.Run(name, func(t *testing.T) {
			got, err := ParseRule(c.cidrs)
			if c.err != "" {
				if err == nil || err.Error() != c.err {
					t.Fatalf("error %v, want %s", err, c.err)
				}
				if got.Allowed != nil {
					t.Errorf("allows %v beside the error", got.Allowed.Prefixes())
				}
				return
			}
			if err != nil {
				t.Fatal(err)
			}
			var prefixes []string
			for _, p := range got.Allowed.Prefixes() {
				prefixes = append(prefixes, p.String())
			}
			if diff := cmp.Diff(c.want, prefixes); diff != "" {
				t.Errorf("allowed (-want +got):\n%s", diff)
			}
		})
	}
}

func TestJudgeUnreadPolicy(t *testing.T) {
	unread := func(p *networkingv1.NetworkPolicy) { p.Annotations = map[string]string{Unread: "it takes 2 MiB"} }
	runCases(t, map[string]judgeCase{
		"may allow everything": {policies: []networkingv1.NetworkPolicy{newPolicy("good"), newPolicy("fat", unread, to())},
			want: []string{`NetworkPolicy "fat" was not looked at, so it may allow everything: it takes 2 MiB`}},
		"isolates nothing": {policies: []networkingv1.NetworkPolicy{newPolicy("fat", unread)},
			want: []string{`NetworkPolicy "fat" was not looked at, so it may allow everything: it takes 2 MiB`, notHeld}},
		"of another namespace": {policies: []networkingv1.NetworkPolicy{newPolicy("good"), newPolicy("fat", unread, to(), inNamespace("other"))}},
	})
}

// TestJudgeReadsAPolicyOnce: what is judged of a policy once is not judged again for each pod, until it changes.
func TestJudgeReadsAPolicyOnce(t *testing.T) {
	of := func(generation int64, options ...option) []networkingv1.NetworkPolicy {
		policy := newPolicy("a", options...)
		policy.UID, policy.Generation = "a", generation
		return []networkingv1.NetworkPolicy{policy}
	}
	r := mustRule(t)
	if got := Judge(newPod(), frozen, of(1), r); got != nil {
		t.Fatalf("got %q", got)
	}
	if got := Judge(newPod(), frozen, of(1, to()), r); got != nil {
		t.Errorf("a policy of the same generation was read again: %q", got)
	}
	if got := Judge(newPod(), frozen, of(2, to()), r); len(got) != 1 {
		t.Errorf("a policy that has changed was not read again: %q", got)
	}
	if got := Judge(newPod(), frozen, of(1, to()), mustRule(t)); len(got) != 1 {
		t.Errorf("a policy was not read anew under another rule: %q", got)
	}
}

// TestReadingsAreBounded: a tenant may write as many policies as it likes.
func TestReadingsAreBounded(t *testing.T) {
	r := mustRule(t)
	long := make([]string, maxSelector-2)
	for i := range long {
		long[i] = "v" + strconv.Itoa(i)
	}
	policy := newPolicy("a", selecting(expr("app", metav1.LabelSelectorOpNotIn, long...)))
	policy.Generation = 1
	for i := range 400 {
		policy.UID = apitypes.UID(strconv.Itoa(i))
		Judge(newPod(), frozen, []networkingv1.NetworkPolicy{policy}, r)
	}
	held := 0
	for _, generation := range []map[version]*reading{r.readings.young, r.readings.old} {
		for _, read := range generation {
			held += read.size()
		}
	}
	if held > 2*maxReadings || held == 0 {
		t.Errorf("%d bytes are held, want at most %d", held, 2*maxReadings)
	}
}

func TestJudgeHugePolicies(t *testing.T) {
	many := make([]networkingv1.NetworkPolicyPeer, 100)
	for i := range many {
		many[i] = peer(everything(), nil)
	}
	got := Judge(newPod(), frozen, []networkingv1.NetworkPolicy{newPolicy("many", to(many...))}, Rule{})
	if len(got) != maxTold+1 || !slices.Contains(got, `NetworkPolicy "many" breaks the rule in 80 more places`) {
		t.Errorf("told %d faults of one policy: %q", len(got), got)
	}
	values := make([]string, maxSelector)
	for i := range values {
		values[i] = strconv.Itoa(i)
	}
	got = Judge(newPod(), frozen, []networkingv1.NetworkPolicy{newPolicy("wide", selecting(expr("app", metav1.LabelSelectorOpNotIn, values...)))}, Rule{})
	if len(got) != 2 || !strings.Contains(got[0], "it has 1001 requirements and values, and no more than 1000 are looked at") {
		t.Errorf("of a podSelector that is too large: %q", got)
	}
}
