package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"syscall"
	"testing"
	"time"

	celgo "github.com/google/cel-go/cel"
	admissionv1 "k8s.io/api/admissionregistration/v1"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/apimachinery/pkg/util/yaml"
	"k8s.io/apiserver/pkg/admission"
	"k8s.io/apiserver/pkg/admission/plugin/cel"
	"k8s.io/apiserver/pkg/admission/plugin/policy/mutating/patch"
	"k8s.io/apiserver/pkg/admission/plugin/webhook/matchconditions"
	celconfig "k8s.io/apiserver/pkg/apis/cel"
	"k8s.io/apiserver/pkg/authentication/user"
	"k8s.io/apiserver/pkg/cel/environment"
	clientgoscheme "k8s.io/client-go/kubernetes/scheme"

	"github.com/interlock-dev/interlock/api/v1alpha1"
	ours "github.com/interlock-dev/interlock/internal/admission"
	"github.com/interlock-dev/interlock/internal/safeguard"
	"github.com/interlock-dev/interlock/internal/testing/builder"
)

// These benchmarks run the two policies that every new pod meets through the evaluator of the API server, in this
// process and without the rest of the API server, so that one formulation can be compared with another:
//
//	go test ./test/bench -run '^$' -bench . -count 10
func BenchmarkHotPath(b *testing.B) {
	for _, models := range []int{1, 100, 1000} {
		for _, with := range []struct {
			name  string
			asked bool
		}{{"rules", true}, {"norules", false}} {
			h := newHotPath(b, models, with.asked)
			b.Run(fmt.Sprintf("cleared/%s/%d", with.name, models), func(b *testing.B) {
				measure(b, func() { h.create(b, modelName(models/2), false) })
			})
			b.Run(fmt.Sprintf("held/%s/%d", with.name, models), func(b *testing.B) {
				measure(b, func() { h.create(b, heldModel, true) })
			})
		}
	}
}

// hotPath is what the API server makes of HoldPolicy and AdmitPolicy.
type hotPath struct {
	hold, admit matchconditions.Matcher
	patcher     patch.Patcher
	mutating    *cel.CompositedCompiler
	objects     admission.ObjectInterfaces
	clearances  *corev1.LimitRange
	namespace   *corev1.Namespace
}

func newHotPath(b *testing.B, models int, askRules bool) *hotPath {
	b.Helper()
	h := &hotPath{
		objects:    admission.NewObjectInterfacesFromScheme(clientgoscheme.Scheme),
		clearances: clearances(b, models, askRules),
		namespace:  &corev1.Namespace{ObjectMeta: metav1.ObjectMeta{Name: "ns"}},
	}
	install := ours.Install{Namespace: "interlock-system", Username: "system:serviceaccount:interlock-system:interlock"}
	var rules []ours.Rule
	for _, sg := range safeguards(b) {
		if sg.Spec.PodRule != nil {
			rules = append(rules, ours.Rule{Safeguard: sg.Name, Remedy: sg.Spec.Remedy, Validations: sg.Spec.PodRule.Validations})
		}
	}
	for _, o := range ours.Policies(install, rules) {
		switch p := o.(type) {
		case *admissionv1.MutatingAdmissionPolicy:
			if p.Name != ours.HoldPolicy {
				continue
			}
			h.mutating = compiler(b, p.Spec.Variables)
			h.hold = matcher(h.mutating, p.Spec.MatchConditions)
			h.patcher = patch.NewJSONPatcher(h.mutating.CompileMutatingEvaluator(
				&patch.JSONPatchCondition{Expression: p.Spec.Mutations[0].JSONPatch.Expression},
				cel.OptionalVariableDeclarations{HasParams: true, HasAuthorizer: true, HasPatchTypes: true}, environment.StoredExpressions))
		case *admissionv1.ValidatingAdmissionPolicy:
			if p.Name == ours.AdmitPolicy {
				h.admit = matcher(compiler(b, p.Spec.Variables), p.Spec.MatchConditions)
			}
		}
	}
	return h
}

func compiler(b *testing.B, variables []admissionv1.Variable) *cel.CompositedCompiler {
	b.Helper()
	c, err := cel.NewCompositedCompiler(environment.MustBaseEnvSet(environment.DefaultCompatibilityVersion()))
	if err != nil {
		b.Fatal(err)
	}
	for _, v := range variables {
		c.CompileAndStoreVariable(variable(v),
			cel.OptionalVariableDeclarations{HasParams: true, HasAuthorizer: true}, environment.StoredExpressions)
	}
	return c
}

func matcher(c *cel.CompositedCompiler, conditions []admissionv1.MatchCondition) matchconditions.Matcher {
	var accessors []cel.ExpressionAccessor
	for i := range conditions {
		accessors = append(accessors, (*matchconditions.MatchCondition)(&conditions[i]))
	}
	declared := cel.OptionalVariableDeclarations{HasParams: true, HasAuthorizer: true}
	return matchconditions.NewMatcher(c.CompileCondition(accessors, declared, environment.StoredExpressions), new(admissionv1.Fail), "policy", "validate", "bench")
}

// clearances gives those of some models as the API server keeps them.
func clearances(b *testing.B, models int, askRules bool) *corev1.LimitRange {
	b.Helper()
	rules := []string{egressSafeguard}
	if askRules {
		rules = nil
		for _, sg := range safeguards(b) {
			rules = append(rules, sg.Name)
		}
	}
	all := builder.Clearances("ns", packPolicy)
	for i := range models {
		all.Clear(modelName(i), time.Now().Add(time.Hour), rules...)
	}
	return all.Build()
}

// create does what the API server does with our policies when a pod is created, the second pass after a mutation too.
func (h *hotPath) create(b *testing.B, model string, held bool) {
	b.Helper()
	pod := newPod("ns", "pod", model)
	for range 2 {
		if pod = h.mutate(b, pod); !held {
			break
		}
	}
	if gated(pod) != held {
		b.Fatalf("gated: %v", gated(pod))
	}
	pod.CreationTimestamp = metav1.Now()
	if h.match(b, h.admit, attributes(pod), converted{h.clearances}) {
		b.Fatal("a pod that is as it should be is judged further")
	}
}

func (h *hotPath) mutate(b *testing.B, pod *corev1.Pod) *corev1.Pod {
	b.Helper()
	attr := attributes(pod)
	if !h.match(b, h.hold, attr, h.clearances) {
		return pod
	}
	patched, err := h.patcher.Patch(h.mutating.CreateContext(context.Background()), patch.Request{
		MatchedResource: attr.GetResource(), VersionedAttributes: attr, ObjectInterfaces: h.objects,
		OptionalVariables: cel.OptionalVariableBindings{VersionedParams: h.clearances}, Namespace: h.namespace,
	}, celconfig.RuntimeCELCostBudget)
	if err != nil {
		b.Fatal(err)
	}
	return patched.(*corev1.Pod)
}

// converted is a parameter as validating policies are given it: the API server copies it into an unstructured object each
// time, to add its kind.
type converted struct{ *corev1.LimitRange }

func (c converted) MarshalJSON() ([]byte, error) { return nil, errors.ErrUnsupported }
func (c converted) UnmarshalJSON([]byte) error   { return errors.ErrUnsupported }
func (c converted) ToUnstructured() any {
	content, err := runtime.DefaultUnstructuredConverter.ToUnstructured(c.LimitRange)
	if err != nil {
		panic(err) // a LimitRange can be converted
	}
	return content
}

func (h *hotPath) match(b *testing.B, m matchconditions.Matcher, attr *admission.VersionedAttributes, param runtime.Object) bool {
	b.Helper()
	result := m.Match(context.Background(), attr, param, nil)
	if result.Error != nil {
		b.Fatal(result.Error)
	}
	return result.Matches
}

func attributes(pod *corev1.Pod) *admission.VersionedAttributes {
	kind, resource := corev1.SchemeGroupVersion.WithKind("Pod"), corev1.SchemeGroupVersion.WithResource("pods")
	return &admission.VersionedAttributes{
		Attributes: admission.NewAttributesRecord(pod, nil, kind, pod.Namespace, pod.Name, resource, "", admission.Create, &metav1.CreateOptions{}, false,
			&user.DefaultInfo{Name: "admin", Groups: []string{"system:masters"}}),
		VersionedObject: admission.NewLazyObject(pod), VersionedKind: kind,
	}
}

// measure reports processor time as well, which on a busy machine is steadier than time.
func measure(b *testing.B, run func()) {
	b.Helper()
	b.ReportAllocs()
	var before, after syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &before); err != nil {
		b.Fatal(err)
	}
	for b.Loop() {
		run()
	}
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &after); err != nil {
		b.Fatal(err)
	}
	used := after.Utime.Nano() + after.Stime.Nano() - before.Utime.Nano() - before.Stime.Nano()
	b.ReportMetric(float64(used)/float64(b.N), "cpu-ns/op")
}

// safeguards are those of the pack that the level of a cleared model asks for, which is all.
func safeguards(b *testing.B) []*v1alpha1.Safeguard {
	b.Helper()
	files, err := filepath.Glob("../../config/policies/" + packPolicy + "/safeguards/*.yaml")
	if err != nil || len(files) == 0 {
		b.Fatalf("no safeguards: %v", err)
	}
	var all []*v1alpha1.Safeguard
	for _, file := range files {
		content, err := os.ReadFile(file)
		if err != nil {
			b.Fatal(err)
		}
		sg := &v1alpha1.Safeguard{}
		if err := yaml.Unmarshal(content, sg); err != nil {
			b.Fatal(err)
		}
		all = append(all, sg)
	}
	return all
}

// variable is what the compiler of the API server takes.
type variable admissionv1.Variable

func (v variable) GetName() string            { return v.Name }
func (v variable) GetExpression() string      { return v.Expression }
func (v variable) ReturnTypes() []*celgo.Type { return []*celgo.Type{celgo.AnyType, celgo.DynType} }

// BenchmarkPodRules says what each pod rule of the pack costs for one pod.
func BenchmarkPodRules(b *testing.B) {
	compiler, err := safeguard.NewCompiler()
	if err != nil {
		b.Fatal(err)
	}
	pod := newPod("ns", "pod", modelName(0))
	for _, sg := range safeguards(b) {
		if sg.Spec.PodRule == nil {
			continue
		}
		b.Run(sg.Name, func(b *testing.B) {
			compiled, err := compiler.Compile(sg)
			if err != nil {
				b.Fatal(err)
			}
			measure(b, func() {
				safeguard.Inspect(types.NamespacedName{}, []*safeguard.Compiled{compiled}, []*corev1.Pod{pod}, safeguard.Surroundings{})
			})
		})
	}
}
