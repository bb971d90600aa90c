package egress

import (
	"fmt"
	"testing"

	"github.com/google/go-cmp/cmp"
	corev1 "k8s.io/api/core/v1"
	networkingv1 "k8s.io/api/networking/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/labels"
)

func TestOpenings(t *testing.T) {
	frozen := labels.Set{"model": "opus"}
	everywhere := []networkingv1.NetworkPolicyEgressRule{{}}
	expression := func(key string, operator metav1.LabelSelectorOperator, values ...string) metav1.LabelSelector {
		return metav1.LabelSelector{MatchExpressions: []metav1.LabelSelectorRequirement{{Key: key, Operator: operator, Values: values}}}
	}
	of := func(l map[string]string) metav1.LabelSelector { return metav1.LabelSelector{MatchLabels: l} }
	for name, tc := range map[string]struct {
		selector  metav1.LabelSelector
		egress    []networkingv1.NetworkPolicyEgressRule
		namespace string
		want      string
	}{
		"by a label":                              {of(map[string]string{"wide": "yes"}), everywhere, "serving", "wide=yes"},
		"by a label, of another namespace":        {of(map[string]string{"wide": "yes"}), everywhere, "elsewhere", ""},
		"by a label, to where the model may send": {of(map[string]string{"wide": "yes"}), []networkingv1.NetworkPolicyEgressRule{{To: []networkingv1.NetworkPolicyPeer{{IPBlock: &networkingv1.IPBlock{CIDR: "10.1.0.0/16"}}}}}, "serving", ""},
		"by a label, to nowhere":                  {of(map[string]string{"wide": "yes"}), nil, "serving", ""},
		"by a label and the model":                {of(map[string]string{"wide": "yes", "model": "opus"}), everywhere, "serving", "wide=yes"},
		"by a label and another model":            {of(map[string]string{"wide": "yes", "model": "haiku"}), everywhere, "serving", ""},
		"by other models":                         {expression("model", metav1.LabelSelectorOpNotIn, "opus"), everywhere, "serving", ""},
		"by the model alone, which Judge sees":    {of(map[string]string{"model": "opus"}), everywhere, "serving", ""},
		"all pods, which Judge sees":              {metav1.LabelSelector{}, everywhere, "serving", ""},
		"those without a label":                   {expression("restricted", metav1.LabelSelectorOpDoesNotExist), everywhere, "serving", "!restricted"},
		"a zone, which Judge sees":                {of(map[string]string{corev1.LabelTopologyZone: "a"}), everywhere, "serving", ""},
		"a label in a zone":                       {of(map[string]string{corev1.LabelTopologyZone: "a", "wide": "yes"}), everywhere, "serving", "wide=yes"},
		"none, as it is not valid":                {expression("wide", "Like", "x"), everywhere, "serving", ""},
	} {
		t.Run(name, func(t *testing.T) {
			rule, err := ParseRule([]string{"10.0.0.0/8"})
			if err != nil {
				t.Fatal(err)
			}
			policies := []networkingv1.NetworkPolicy{{ObjectMeta: metav1.ObjectMeta{Namespace: tc.namespace, Name: "p"},
				Spec: networkingv1.NetworkPolicySpec{PodSelector: tc.selector, Egress: tc.egress, PolicyTypes: []networkingv1.PolicyType{networkingv1.PolicyTypeEgress}}}}
			got := ""
			for _, o := range Openings("serving", frozen, policies, rule) {
				got += fmt.Sprint(labels.NewSelector().Add(o.Labels...))
			}
			if diff := cmp.Diff(tc.want, got); diff != "" {
				t.Errorf("(-want +got):\n%s", diff)
			}
		})
	}
}

// TestZonesAreNotKnownBeforehand: a pod gets the labels of its node's zone when it is bound, so a policy that selects by them
// may select it then.
func TestZonesAreNotKnownBeforehand(t *testing.T) {
	pod := &corev1.Pod{ObjectMeta: metav1.ObjectMeta{Namespace: "serving", Labels: map[string]string{"model": "opus"}}}
	policies := []networkingv1.NetworkPolicy{{ObjectMeta: metav1.ObjectMeta{Namespace: "serving", Name: "zonal"}, Spec: networkingv1.NetworkPolicySpec{
		PodSelector: metav1.LabelSelector{MatchLabels: map[string]string{corev1.LabelTopologyZone: "a"}},
		Egress:      []networkingv1.NetworkPolicyEgressRule{{}}, PolicyTypes: []networkingv1.PolicyType{networkingv1.PolicyTypeEgress}}}}
	got := Judge(pod, labels.Set{"model": "opus"}, policies, Rule{})
	want := []string{
		`NetworkPolicy "zonal" egress[0] has no to, which allows every destination`,
		`NetworkPolicy "zonal" selects the pod only through labels that may change while it lives ("topology.kubernetes.io/zone"): select on "model" alone or every pod`,
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
}
