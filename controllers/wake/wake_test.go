package wake

import (
	"slices"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	clientgoscheme "k8s.io/client-go/kubernetes/scheme"
	"k8s.io/client-go/util/workqueue"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/client/fake"
	"sigs.k8s.io/controller-runtime/pkg/event"
	"sigs.k8s.io/controller-runtime/pkg/reconcile"

	"github.com/interlock-dev/interlock/api/v1alpha1"
	"github.com/interlock-dev/interlock/internal/evidence"
	"github.com/interlock-dev/interlock/internal/testing/builder"
	"github.com/interlock-dev/interlock/internal/verdict"
	"github.com/interlock-dev/interlock/internal/workload"
)

const otherDigest = "sha256:ffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff"

// models are a and b in the namespace one, of which b has other weights, and c in the namespace two.
func models(t *testing.T) *Models {
	t.Helper()
	scheme := runtime.NewScheme()
	for _, add := range []func(*runtime.Scheme) error{clientgoscheme.AddToScheme, v1alpha1.AddToScheme} {
		if err := add(scheme); err != nil {
			t.Fatal(err)
		}
	}
	b := fake.NewClientBuilder().WithScheme(scheme).WithObjects(
		builder.Namespace("one").Build(), builder.Namespace("two").Build(),
		builder.ModelDeployment("one", "a").Build(), builder.ModelDeployment("one", "b").Digest(otherDigest).Build(),
		builder.ModelDeployment("two", "c").Build(), builder.Pod("two", "pod").Model("undeclared").Build())
	for _, index := range verdict.Indexes("cluster") {
		b.WithIndex(index.Object, index.Field, index.Extract)
	}
	return &Models{Reader: b.Build(), SharedNamespace: "shared", EvidenceNamespace: "evidence", Cluster: "cluster",
		Speaks: func(a *v1alpha1.Attestation) ([]string, bool) { return a.Finalizers, a.Finalizers != nil }}
}

func named(requests []reconcile.Request) []string {
	var names []string
	for _, r := range requests {
		names = append(names, r.String())
	}
	slices.Sort(names)
	return slices.Compact(names)
}

func TestModels(t *testing.T) {
	m := models(t)
	attestation := func(namespace string, subjects ...string) *v1alpha1.Attestation {
		a := builder.Attestation(namespace, "x", "")
		a.Finalizers = subjects
		return a
	}
	two := evidence.EnvironmentSubject("cluster", "two", "")
	for name, tc := range map[string]struct {
		got  []reconcile.Request
		want []string
	}{
		"a policy":                          {m.All(t.Context(), nil), []string{"one/a", "one/b", "two/c"}},
		"a NetworkPolicy":                   {m.Around(t.Context(), builder.NetworkPolicy("one", "x").Build()), []string{"one/a", "one/b"}},
		"one that isolates":                 {m.Around(t.Context(), builder.NetworkPolicy("two", "interlock-isolate-x").Build()), []string{"two/c", "two/x"}},
		"a namespace":                       {m.Of(t.Context(), builder.Namespace("two").Build()), []string{"two/c", "two/undeclared"}},
		"an assessment":                     {m.Assessed(t.Context(), builder.Assessment("x", time.Time{}).Build()), []string{"one/a", "two/c"}},
		"an approval":                       {m.Approved(t.Context(), builder.Approval("two", "x").Build()), []string{"two/c"}},
		"an approval for all":               {m.Approved(t.Context(), builder.Approval("shared", "x").Build()), []string{"one/a", "one/b", "two/c"}},
		"a waiver":                          {OfWaiver(t.Context(), builder.Waiver("one", "x").Model("a").Build()), []string{"one/a"}},
		"evidence on weights":               {m.Attested(t.Context(), attestation("one", otherDigest)), []string{"one/b"}},
		"evidence on weights, for all":      {m.Attested(t.Context(), attestation("evidence", builder.Digest)), []string{"one/a", "two/c"}},
		"evidence on a namespace":           {m.Attested(t.Context(), attestation("two", two)), []string{"two/c"}},
		"evidence on another namespace":     {m.Attested(t.Context(), attestation("one", two)), nil},
		"evidence on a namespace, for all":  {m.Attested(t.Context(), attestation("evidence", two)), []string{"two/c"}},
		"evidence on nobody knows what":     {m.Attested(t.Context(), attestation("one")), []string{"one/a", "one/b"}},
		"the same in the namespace for all": {m.Attested(t.Context(), attestation("evidence")), []string{"one/a", "one/b", "two/c"}},
	} {
		t.Run(name, func(t *testing.T) {
			if diff := cmp.Diff(tc.want, named(tc.got)); diff != "" {
				t.Errorf("-want +got:\n%s", diff)
			}
		})
	}
}

func TestOnClearances(t *testing.T) {
	end := time.Date(2026, 6, 1, 12, 0, 0, 0, time.UTC)
	clearances := func(policy, version string, models ...string) *corev1.LimitRange {
		b := builder.Clearances("one", policy)
		for _, model := range models {
			b.Clear(model, end)
		}
		c := b.Build()
		c.ResourceVersion = version
		return c
	}
	for name, tc := range map[string]struct {
		before, after *corev1.LimitRange
		want          []string
		// intruder says that a pod of b which came after this is one.
		intruder bool
	}{
		"one model lost its clearance": {clearances("rsp", "5", "a", "b"), clearances("rsp", "10", "a"), []string{"one/b"}, true},
		"one model got one":            {clearances("rsp", "5", "a"), clearances("rsp", "10", "a", "b"), []string{"one/b"}, false},
		"nothing changed":              {clearances("rsp", "5", "a"), clearances("rsp", "10", "a"), nil, false},
		"the policy changed":           {clearances("rsp", "5", "a"), clearances("next", "10", "a"), []string{"one/a", "one/b"}, false},
	} {
		t.Run(name, func(t *testing.T) {
			intruders, q := &workload.Intruders{}, workqueue.NewTypedRateLimitingQueue(workqueue.DefaultTypedControllerRateLimiter[reconcile.Request]())
			OnClearances(models(t), intruders).Update(t.Context(), event.UpdateEvent{ObjectOld: tc.before, ObjectNew: tc.after}, q)
			var woken []reconcile.Request
			for q.Len() > 0 {
				request, _ := q.Get()
				woken = append(woken, request)
			}
			if diff := cmp.Diff(tc.want, named(woken)); diff != "" {
				t.Errorf("-want +got:\n%s", diff)
			}
			pod := &corev1.Pod{ObjectMeta: metav1.ObjectMeta{Namespace: "one", Name: "late", UID: "late", ResourceVersion: "20"}}
			intruders.Pass(pod)
			if got := len(intruders.Among(client.ObjectKey{Namespace: "one", Name: "b"}, []*corev1.Pod{pod})) > 0; got != tc.intruder {
				t.Errorf("an intruder: %v, want %v", got, tc.intruder)
			}
		})
	}
}
