package workload

import (
	"testing"

	"github.com/google/go-cmp/cmp"
	corev1 "k8s.io/api/core/v1"
	networkingv1 "k8s.io/api/networking/v1"
	"k8s.io/apimachinery/pkg/types"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/interlock-dev/interlock/internal/testing/builder"
)

var llm = types.NamespacedName{Namespace: "n", Name: "llm"}

// policyWith gives a policy that isolates the model llm, changed.
func policyWith(change func(*networkingv1.NetworkPolicy)) *networkingv1.NetworkPolicy {
	p := &networkingv1.NetworkPolicy{Spec: isolationSpec("llm")}
	p.Namespace, p.Name = "n", "interlock-isolate-llm"
	change(p)
	return p
}

func TestIsIsolation(t *testing.T) {
	for name, tc := range map[string]struct {
		change func(*networkingv1.NetworkPolicy)
		want   bool
	}{
		"as we write it":          {func(*networkingv1.NetworkPolicy) {}, true},
		"of another name":         {func(p *networkingv1.NetworkPolicy) { p.Name = "mine" }, false},
		"that selects other pods": {func(p *networkingv1.NetworkPolicy) { p.Name = "interlock-isolate-other" }, false},
		"that allows to enter":    {func(p *networkingv1.NetworkPolicy) { p.Spec.Ingress = []networkingv1.NetworkPolicyIngressRule{{}} }, false},
		"that allows to leave":    {func(p *networkingv1.NetworkPolicy) { p.Spec.Egress = []networkingv1.NetworkPolicyEgressRule{{}} }, false},
		"that is only about entering": {func(p *networkingv1.NetworkPolicy) {
			p.Spec.PolicyTypes = []networkingv1.PolicyType{networkingv1.PolicyTypeIngress}
		}, false},
	} {
		t.Run(name, func(t *testing.T) {
			if got := IsIsolation(policyWith(tc.change)); got != tc.want {
				t.Errorf("is isolation = %v, want %v", got, tc.want)
			}
		})
	}
}

func TestIsolateAndEnd(t *testing.T) {
	opened := policyWith(func(p *networkingv1.NetworkPolicy) {
		p.Spec.Egress = []networkingv1.NetworkPolicyEgressRule{{}}
		p.Labels = map[string]string{"kept": "yes"}
	})
	for name, there := range map[string][]client.Object{
		"from nothing":                     nil,
		"again, what somebody has changed": {opened},
		"what is isolated":                 {policyWith(func(*networkingv1.NetworkPolicy) {})},
	} {
		t.Run(name, func(t *testing.T) {
			c := serverWith(t, there...)
			list := func() []networkingv1.NetworkPolicy {
				l := &networkingv1.NetworkPolicyList{}
				if err := c.List(t.Context(), l); err != nil {
					t.Fatal(err)
				}
				return l.Items
			}
			stale := list()
			for range 2 { // the second time with a cache that does not know of the first
				if err := Isolate(t.Context(), c, llm, stale); err != nil && len(there) == 0 {
					t.Fatal(err)
				}
			}
			if got := list(); len(got) != 1 || !IsIsolation(&got[0]) {
				t.Fatalf("isolated by %+v", got)
			}
			if err := EndIsolation(t.Context(), c, types.NamespacedName{Namespace: "n", Name: "other"}, list()); err != nil || len(list()) != 1 {
				t.Fatalf("the isolation of another model was ended: %v", err)
			}
			if err := EndIsolation(t.Context(), c, llm, list()); err != nil || len(list()) != 0 {
				t.Errorf("still isolated by %+v: %v", list(), err)
			}
		})
	}
}

func TestExposed(t *testing.T) {
	in, out := networkingv1.PolicyTypeIngress, networkingv1.PolicyTypeEgress
	policy := func(name string, ingress, egress bool, kinds ...networkingv1.PolicyType) *networkingv1.NetworkPolicy {
		p := builder.NetworkPolicy("n", name).Build()
		p.Spec.PolicyTypes = kinds
		if ingress {
			p.Spec.Ingress = []networkingv1.NetworkPolicyIngressRule{{}}
		}
		if egress {
			p.Spec.Egress = []networkingv1.NetworkPolicyEgressRule{{}}
		}
		return p
	}
	unreadable := policy("unreadable", true, false, in)
	unreadable.Spec.PodSelector.MatchLabels = map[string]string{"a b": "c d"}
	elsewhere := builder.NetworkPolicy("n", "elsewhere").Selecting("app", "other").AllowCIDR("0.0.0.0/0").Build()
	const open = "NetworkPolicies that still allow traffic: "
	pod := func() *builder.PodBuilder { return builder.Pod("n", "a").Model("llm") }
	for name, tc := range map[string]struct {
		pod      *corev1.Pod
		policies []*networkingv1.NetworkPolicy
		want     string
	}{
		"none":                   {pod().Build(), nil, ""},
		"ours":                   {pod().Build(), []*networkingv1.NetworkPolicy{policyWith(func(*networkingv1.NetworkPolicy) {})}, ""},
		"two, sorted":            {pod().Build(), []*networkingv1.NetworkPolicy{policy("b", true, false, in), policy("a", false, true, out)}, open + "a, b"},
		"one that denies":        {pod().Build(), []*networkingv1.NetworkPolicy{policy("deny", false, false, in, out)}, ""},
		"one without types":      {pod().Build(), []*networkingv1.NetworkPolicy{policy("old", true, false)}, open + "old"},
		"rules of another type":  {pod().Build(), []*networkingv1.NetworkPolicy{policy("a", false, true, in)}, ""},
		"one of other pods":      {pod().Build(), []*networkingv1.NetworkPolicy{elsewhere}, ""},
		"one that is unreadable": {pod().Build(), []*networkingv1.NetworkPolicy{unreadable}, open + "unreadable"},
		"on the host":            {pod().HostNetwork().Build(), nil, "1 pods, such as a, are on the network of their node, where no NetworkPolicy binds"},
	} {
		t.Run(name, func(t *testing.T) {
			var policies []networkingv1.NetworkPolicy
			for _, p := range tc.policies {
				policies = append(policies, *p)
			}
			if diff := cmp.Diff(tc.want, Exposed([]*corev1.Pod{tc.pod}, policies)); diff != "" {
				t.Errorf("exposed (-want +got):\n%s", diff)
			}
		})
	}
}
