package safeguard

import (
	"testing"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/types"

	"github.com/interlock-dev/interlock/api/v1alpha1"
	"github.com/interlock-dev/interlock/internal/testing/builder"
)

func TestWeightsOfWorkloads(t *testing.T) {
	pod := builder.Pod("n", "x").Build()
	pod.UID = "pod"
	named := func(weights string) []Named { return []Named{{Weights: weights, Where: "Service s, spec.uri"}} }
	for name, tc := range map[string]struct {
		pods    []*corev1.Pod
		weights []string
		named   map[types.UID][]Named
		want    string
	}{
		"no pod":                {nil, nil, nil, ""},
		"a pod of no owner":     {[]*corev1.Pod{pod}, nil, nil, ""},
		"declared":              {[]*corev1.Pod{pod}, []string{"s3://b", "s3://a"}, map[types.UID][]Named{"pod": named("s3://a")}, ""},
		"not declared":          {[]*corev1.Pod{pod}, []string{"s3://b"}, map[types.UID][]Named{"pod": named("s3://a")}, `1 of 1 pods, such as x: Service s, spec.uri names "s3://a", which the model does not declare`},
		"declared in part":      {[]*corev1.Pod{pod}, []string{"s3://a"}, map[types.UID][]Named{"pod": named("s3://a/b")}, `1 of 1 pods, such as x: Service s, spec.uri names "s3://a/b", which the model does not declare`},
		"nothing is declared":   {[]*corev1.Pod{pod}, nil, map[types.UID][]Named{"pod": named("s3://a")}, `1 of 1 pods, such as x: Service s, spec.uri names "s3://a", which the model does not declare`},
		"not known":             {[]*corev1.Pod{pod}, []string{""}, map[types.UID][]Named{"pod": {{Where: "no right to read Service s"}}}, "1 of 1 pods, such as x: no right to read Service s"},
		"one that is stopped":   {nil, []string{"s3://b"}, map[types.UID][]Named{"": named("s3://a")}, `Service s, spec.uri names "s3://a", which the model does not declare`},
		"stopped, and declared": {nil, []string{"s3://a"}, map[types.UID][]Named{"": named("s3://a")}, ""},
		"one beside that is stopped": {[]*corev1.Pod{pod}, []string{"s3://b"}, map[types.UID][]Named{"pod": named("s3://b"), "": named("s3://a")},
			`1 of 1 pods, such as x: Service s, spec.uri names "s3://a", which the model does not declare`},
	} {
		t.Run(name, func(t *testing.T) {
			compiler, err := NewCompiler()
			if err != nil {
				t.Fatal(err)
			}
			compiled, err := compiler.Compile(builder.Safeguard("w").WorkloadWeights().Build())
			if err != nil {
				t.Fatal(err)
			}
			f := Inspect(types.NamespacedName{Namespace: "n", Name: "m"}, []*Compiled{compiled}, tc.pods, Surroundings{Weights: tc.weights, Named: tc.named}).Findings["w"]
			if tc.want == "" && f.State == v1alpha1.SafeguardSatisfied {
				return
			}
			if f.State != v1alpha1.SafeguardMissing || f.Message != tc.want || f.Strength != v1alpha1.StrengthObserved {
				t.Errorf("found %s (%s): %q, want %q", f.State, f.Strength, f.Message, tc.want)
			}
		})
	}
}
