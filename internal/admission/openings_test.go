package admission_test

import (
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	corev1 "k8s.io/api/core/v1"
	networkingv1 "k8s.io/api/networking/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/labels"
	apiadmission "k8s.io/apiserver/pkg/admission"
	"pgregory.net/rapid"

	"github.com/interlock-dev/interlock/api/v1alpha1"
	"github.com/interlock-dev/interlock/internal/admission"
	"github.com/interlock-dev/interlock/internal/safeguard/egress"
	"github.com/interlock-dev/interlock/internal/testing/builder"
)

func (s standing) opening(openings ...string) standing {
	s.Openings = openings
	return s
}

// selecting gives the requirements of a selector, as "a=b,c in (d, e),!f".
func selecting(t *testing.T, selector string) labels.Requirements {
	t.Helper()
	parsed, err := labels.Parse(selector)
	if err != nil {
		t.Fatal(err)
	}
	requirements, _ := parsed.Requirements()
	return requirements
}

func TestOpenings(t *testing.T) {
	for name, tc := range map[string]struct {
		selectors, want []string
	}{
		"a label":                            {[]string{"wide=yes"}, []string{"wide:in:|yes|"}},
		"an empty value":                     {[]string{"wide="}, []string{"wide:in:||"}},
		"every operator":                     {[]string{"a in (y, x),b notin (y, x),c,!d"}, []string{"a:in:|x|y|;b:notin:|x|y|;c:notin:|-|;d:in:|-|"}},
		"the same label of many":             {[]string{"app=b", "app=a", "app=a", "app in (c, b)"}, []string{"app:in:|a|b|c|"}},
		"a label beside others, alike":       {[]string{"app=a,tier=web", "app=b,tier=web"}, []string{"app:in:|a|b|;tier:in:|web|"}},
		"a label beside others, not alike":   {[]string{"app=a,tier=web", "app=b,tier=db"}, []string{"app:in:|b|;tier:in:|db|", "app:in:|a|;tier:in:|web|"}},
		"one that is there, and one that is": {[]string{"app", "app=a", "app notin (a)"}, []string{"app:notin:|-|", "app:notin:|a|", "app:in:|a|"}},
	} {
		t.Run(name, func(t *testing.T) {
			var all []labels.Requirements
			for _, s := range tc.selectors {
				all = append(all, selecting(t, s))
			}
			got, fits := admission.Openings(all)
			if diff := cmp.Diff(tc.want, got); diff != "" || !fits {
				t.Errorf("fits: %v (-want +got):\n%s", fits, diff)
			}
		})
	}
}

// TestOpeningsAreBounded: what costs the API server too much is not written.
func TestOpeningsAreBounded(t *testing.T) {
	of := func(n int) []labels.Requirements {
		var all []labels.Requirements
		for i := range n {
			all = append(all, selecting(t, fmt.Sprintf("app.kubernetes.io/name=name-%d,app.kubernetes.io/instance=instance-%d", i, i)))
		}
		return all
	}
	if _, fits := admission.Openings(of(300)); !fits {
		t.Error("those of 300 applications do not fit")
	}
	if _, fits := admission.Openings(of(30_000)); fits {
		t.Error("those of 30,000 applications fit")
	}
	// As costly as they can be for their size, they are still judged.
	var many []labels.Requirements
	for i := range 3000 {
		if more := append(slices.Clone(many), selecting(t, fmt.Sprintf("a!=%c%d,b", 'a'+i%26, i))); func() bool { _, fits := admission.Openings(more); return fits }() {
			many = more
			continue
		}
		break
	}
	openings, _ := admission.Openings(many)
	server := newAPIServer(t, admission.Policies(install, nil), enforced).put(clearing(cleared("opus", "09:00:00").opening(openings...)))
	a := server.serve(t, request{user: "ann", operation: apiadmission.Create, resource: pods, object: pod().Model("opus").Label("a", "x").Build()})
	if len(a.denials) > 0 {
		t.Errorf("with %d openings: %q", len(openings), a.denials)
	}
}

// TestLabelsThatOpen is about labels that would bring a pod under a NetworkPolicy that opens it.
func TestLabelsThatOpen(t *testing.T) {
	server := newAPIServer(t, admission.Policies(install, rulesOfTests()), enforced).put(clearing(
		cleared("opus", "09:00:00").opening("wide:in:|yes|", "app:in:|web|;tier:notin:|db|"), cleared("sonnet", "09:00:00"),
		standing{model: "haiku"}.opening("wide:in:|yes|"), cleared("lost", "09:00:00").opening("restricted:in:|-|")))
	opened := func(policy, model, by string) []string {
		return []string{fmt.Sprintf("interlock-%s: labels of the pod (%s) put it under a NetworkPolicy that lets it send traffic where model %q may not: "+
			"have the pod go without them, or have that NetworkPolicy select other labels", policy, by, model)}
	}
	const (
		status  = "interlock-identity: the labels of a pod that names a model cannot change together with its status: change them by themselves"
		notHaik = `interlock-guard: model "haiku" is not cleared: its pods can neither be released nor changed`
	)
	of := func(model string) *builder.PodBuilder { return pod().Model(model) }
	for name, tc := range map[string]struct {
		subresource  string
		old, changed *builder.PodBuilder // without old, it is a new pod
		denied       []string
	}{
		"born open":                              {"", nil, of("opus").Label("wide", "yes"), opened("admit", "opus", "wide")},
		"born with another value":                {"", nil, of("opus").Label("wide", "no"), nil},
		"born open for another model":            {"", nil, of("sonnet").Label("wide", "yes"), nil},
		"born without what keeps it closed":      {"", nil, of("lost"), opened("admit", "lost", "restricted")},
		"born with what keeps it closed":         {"", nil, of("lost").Label("restricted", ""), nil},
		"born with one of two":                   {"", nil, of("opus").Label("app", "web").Label("tier", "db"), nil},
		"born with two":                          {"", nil, of("opus").Label("app", "web").Label("tier", "front"), opened("admit", "opus", "app, tier")},
		"born with all":                          {"", nil, of("opus").Label("app", "web").Label("wide", "yes"), opened("admit", "opus", "app, tier or wide")},
		"opened later":                           {"", of("opus"), of("opus").Label("wide", "yes"), opened("guard", "opus", "wide")},
		"opened later, of a model that is held":  {"", of("haiku"), of("haiku").Label("wide", "yes"), append(opened("guard", "haiku", "wide"), notHaik)},
		"opened later by a label less":           {"", of("lost").Label("restricted", "1"), of("lost"), opened("guard", "lost", "restricted")},
		"opened with its status":                 {"status", of("opus"), of("opus").Label("wide", "yes"), []string{status}},
		"another label with its status":          {"status", of("opus"), of("opus").Label("narrow", "yes"), []string{status}},
		"another label with that of no model":    {"status", pod(), pod().Label("wide", "yes"), nil},
		"another label later":                    {"", of("opus"), of("opus").Label("narrow", "yes"), nil},
		"closed again":                           {"", of("opus").Label("wide", "yes"), of("opus"), nil},
		"open, and changed otherwise":            {"", of("opus").Label("wide", "yes"), of("opus").Label("wide", "yes").Annotation("a", "b"), nil},
		"while it waits":                         {"", of("opus").Gate(gate), of("opus").Gate(gate).Label("wide", "yes"), nil},
		"open, to be released":                   {"", of("opus").Label("wide", "yes").Gate(gate), of("opus").Label("wide", "yes"), opened("guard", "opus", "wide")},
		"to be released, and opened at that":     {"", of("opus").Gate(gate), of("opus").Label("wide", "yes"), opened("guard", "opus", "wide")},
		"no model any more, which is seen to be": {"", of("sonnet"), of("sonnet").Label("wide", "yes"), nil},
	} {
		bothServers(t, name, server, func(t *testing.T, s *apiServer) {
			r := request{user: install.Username, operation: apiadmission.Create, resource: pods, subresource: tc.subresource, object: tc.changed.Build()}
			if tc.old != nil {
				r.operation, r.old = apiadmission.Update, tc.old.Build()
			}
			if diff := cmp.Diff(tc.denied, s.serve(t, r).denials); diff != "" {
				t.Errorf("denials (-want +got):\n%s", diff)
			}
		})
	}
}

var labelKeys = []string{v1alpha1.ModelLabel, "app", "app.kubernetes.io/name", "tier"}

func drawLabels(t *rapid.T) map[string]string {
	drawn := map[string]string{}
	for _, key := range labelKeys[1:] {
		if chance(t, "has "+key, 2) {
			drawn[key] = oneOf(t, key, "", "a", "b", "a-b", "opus")
		}
	}
	return drawn
}

func drawSelector(t *rapid.T) metav1.LabelSelector {
	s := metav1.LabelSelector{MatchLabels: map[string]string{}}
	for range rapid.IntRange(0, 2).Draw(t, "labels") {
		s.MatchLabels[oneOf(t, "key", labelKeys...)] = oneOf(t, "value", "", "a", "b", "opus")
	}
	for range rapid.IntRange(0, 2).Draw(t, "expressions") {
		e := metav1.LabelSelectorRequirement{Key: oneOf(t, "key", labelKeys...), Operator: oneOf(t, "operator",
			metav1.LabelSelectorOpIn, metav1.LabelSelectorOpNotIn, metav1.LabelSelectorOpExists, metav1.LabelSelectorOpDoesNotExist)}
		if e.Operator == metav1.LabelSelectorOpIn || e.Operator == metav1.LabelSelectorOpNotIn {
			e.Values = rapid.SliceOfNDistinct(rapid.SampledFrom([]string{"", "a", "b", "a-b", "opus", "haiku"}), 1, 3, rapid.ID).Draw(t, "values")
		}
		s.MatchExpressions = append(s.MatchExpressions, e)
	}
	return s
}

func drawNetworkPolicy(t *rapid.T) networkingv1.NetworkPolicy {
	p := networkingv1.NetworkPolicy{ObjectMeta: metav1.ObjectMeta{Namespace: oneOf(t, "namespace", "serving", "serving", "serving", "elsewhere")},
		Spec: networkingv1.NetworkPolicySpec{PodSelector: drawSelector(t), PolicyTypes: []networkingv1.PolicyType{networkingv1.PolicyTypeEgress}}}
	p.Spec.Egress = oneOf(t, "egress", nil, []networkingv1.NetworkPolicyEgressRule{{}}, []networkingv1.NetworkPolicyEgressRule{
		{To: []networkingv1.NetworkPolicyPeer{{IPBlock: &networkingv1.IPBlock{CIDR: oneOf(t, "block", "10.0.0.0/8", "0.0.0.0/0")}}}}})
	return p
}

// TestNoLabelsOpen draws the NetworkPolicies of a namespace, a pod and changes of its labels: those that the API server takes
// leave the pod under no policy that opens it, but under those which open every pod of the model. Those that it refuses would not.
func TestNoLabelsOpen(t *testing.T) {
	server := newAPIServer(t, admission.Policies(install, nil), enforced)
	rule, err := egress.ParseRule([]string{"10.0.0.0/8"})
	if err != nil {
		t.Fatal(err)
	}
	frozen := labels.Set{v1alpha1.ModelLabel: "opus"}
	refused, taken := 0, 0
	rapid.Check(t, func(t *rapid.T) {
		policies := rapid.SliceOfN(rapid.Custom(drawNetworkPolicy), 0, 5).Draw(t, "policies")
		for i := range policies {
			policies[i].Name = fmt.Sprintf("p%d", i)
		}
		var all []labels.Requirements
		for _, o := range egress.Openings("serving", frozen, policies, rule) {
			all = append(all, o.Labels)
		}
		openings, _ := admission.Openings(all)
		server.put(clearing(cleared("opus", "09:00:00").opening(openings...), cleared("sonnet", "09:00:00")))
		server.before137 = rapid.Bool().Draw(t, "before 1.37")
		open := func(p *corev1.Pod) string {
			return strings.Join(slices.DeleteFunc(egress.Judge(p, frozen, policies, rule), func(said string) bool { return !strings.Contains(said, "egress[") }), "\n")
		}
		always := open(&corev1.Pod{ObjectMeta: metav1.ObjectMeta{Namespace: "serving", Labels: frozen}})
		var before *corev1.Pod
		for range rapid.IntRange(1, 4).Draw(t, "changes") {
			after := pod().Build()
			after.Labels = drawLabels(t)
			after.Labels[v1alpha1.ModelLabel] = "opus"
			r := request{user: "ann", operation: apiadmission.Create, resource: pods, object: after}
			if before != nil {
				r.operation, r.old = apiadmission.Update, before
			}
			denials := server.serve(t, r).denials
			opens := slices.ContainsFunc(strings.Split(open(after), "\n"), func(said string) bool { return !strings.Contains(always, said) })
			switch {
			case len(denials) == 0 && opens && before != nil && cmp.Equal(before.Labels, after.Labels):
			case len(denials) == 0 && opens:
				t.Fatalf("taken: %v, open by %s, with %q", after.Labels, open(after), openings)
			case len(denials) > 0 && !opens && !slices.ContainsFunc(all, func(r labels.Requirements) bool {
				return labels.NewSelector().Add(r...).Matches(labels.Set(after.Labels))
			}):
				t.Fatalf("refused: %v, with %q: %q", after.Labels, openings, denials)
			case len(denials) > 0:
				refused++
			default:
				taken++
				before = after
			}
		}
	})
	if refused == 0 || taken == 0 {
		t.Errorf("%d changes were taken and %d refused: nothing is shown", taken, refused)
	}
}

// TestLabelsOfBindings: what a Binding may bring along is what the safeguard expects of it.
func TestLabelsOfBindings(t *testing.T) {
	server := newAPIServer(t, admission.Policies(install, nil), enforced).put(clearing())
	for _, key := range append(slices.Clone(egress.BindingLabels), "zone", "topology.kubernetes.io/rack", v1alpha1.ModelLabel) {
		a := server.serve(t, request{user: "scheduler", operation: apiadmission.Create, resource: pods, subresource: "binding", object: &corev1.Binding{
			ObjectMeta: metav1.ObjectMeta{Namespace: "serving", Name: "vllm-0", Labels: map[string]string{key: "a"}}, Target: corev1.ObjectReference{Kind: "Node", Name: "gpu-0"}}})
		if want := !slices.Contains(egress.BindingLabels, key); want != (len(a.denials) > 0) {
			t.Errorf("%s: %q", key, a.denials)
		}
	}
}
