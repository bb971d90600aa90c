package admission_test

import (
	"strings"
	"testing"

	"github.com/google/cel-go/cel"
	admissionv1 "k8s.io/api/admissionregistration/v1"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	apiadmission "k8s.io/apiserver/pkg/admission"
	plugincel "k8s.io/apiserver/pkg/admission/plugin/cel"
	"k8s.io/apiserver/pkg/cel/environment"

	"github.com/interlock-dev/interlock/api/v1alpha1"
	"github.com/interlock-dev/interlock/internal/admission"
	"github.com/interlock-dev/interlock/internal/safeguard"
)

// FuzzRules takes any expression, name and texts that a Safeguard may have. What the operator compiles, the API server
// must compile as a part of the policies, must not let undo what stands around it, and must judge alike.
func FuzzRules(f *testing.F) {
	for _, expression := range []string{
		"true", "false", "true // so", "false //", "true\r// x", "'''\n'''== ''", "object.spec.containers.all(c, c.image != '')", "object.metadata.name == \"\\\"\"",
		"true) || (true", "true)) || true || ((true", "{}.size() == 0", "[1, 2].exists(clearance, clearance == 2)", "object.spec.nodeSelector.x == 'y' || true",
		strings.Repeat("(", 240) + "true" + strings.Repeat(")", 240), "dyn(1)", "1 / 0 == 1", "true ? true : object.nope", "r'\\' == ''", "b'' == b\"\"",
	} {
		f.Add(expression, "a message", "a remedy")
	}
	f.Add("true", "m\u2028n", "first\nsecond")
	f.Add("false", "'+ x +'", "\"\\")
	compiler, err := safeguard.NewCompiler()
	if err != nil {
		f.Fatal(err)
	}
	policyCompiler, err := plugincel.NewCompositedCompiler(base())
	if err != nil {
		f.Fatal(err)
	}
	options := plugincel.OptionalVariableDeclarations{HasParams: true, HasAuthorizer: true}
	for _, v := range []string{"named", "model", "notices", "clearance", "containers", "declared", "exemptions", "template", "held", "large", "small", "opened",
		"exempted", "policy", "leases", "added", "before", "clears"} {
		policyCompiler.CompileAndStoreVariable(&expression{v, "dyn(null)", []*cel.Type{cel.AnyType, cel.DynType}}, options, environment.NewExpressions)
	}
	f.Fuzz(func(t *testing.T, text, message, remedy string) {
		if len(text) > 4096 || text == "" || strings.ContainsAny(message, "\n\r") {
			return
		}
		validations := []v1alpha1.PodValidation{{Expression: text, Message: message}}
		compiled, err := compiler.Compile(&v1alpha1.Safeguard{ObjectMeta: metav1.ObjectMeta{Name: "fuzzed"},
			Spec: v1alpha1.SafeguardSpec{PodRule: &v1alpha1.PodRule{Validations: validations}}})
		if err != nil {
			return
		}
		objects := admission.Policies(install, []admission.Rule{{Safeguard: "fuzzed", Remedy: remedy, Validations: validations}})
		for _, o := range objects {
			policy, ok := o.(*admissionv1.ValidatingAdmissionPolicy)
			if !ok {
				continue
			}
			for _, v := range policy.Spec.Validations {
				if !strings.HasPrefix(v.Message, "Safeguard fuzzed: ") {
					continue
				}
				if err := compile(policyCompiler, &expression{text: v.Expression, types: []*cel.Type{cel.BoolType}}, options); err != nil {
					t.Errorf("%s: %v", policy.Name, err)
				}
				if lineBreaks.MatchString(strings.TrimSpace(v.Message)) {
					t.Errorf("%s: message %q", policy.Name, v.Message)
				}
			}
		}
		if t.Failed() {
			return
		}
		p := pod().Model("opus").Build()
		p.CreationTimestamp, p.UID = metav1.NewTime(at("08:10:00")), "made-by-the-api-server"
		first, second := brokenFor(compiled, p), brokenFor(compiled, p)
		if first != second { // it goes through a map in any order
			return
		}
		server := newAPIServer(t, objects, enforced).put(clearing(cleared("opus", "09:00:00", "fuzzed"), cleared("free", "09:00:00")))
		a := server.serve(t, request{user: "ann", operation: apiadmission.Create, resource: pods, object: pod().Model("opus").Build()})
		if (len(a.denials) > 0) != (first != "") {
			t.Errorf("the operator says %q, the API server %q", first, a.denials)
		}
		for what, other := range map[string]*corev1.Pod{"runs free": pod().Model("free").Build(), "waits": pod().Model("opus").Gate(gate).Build()} {
			if a := server.serve(t, request{user: "ann", operation: apiadmission.Create, resource: pods, object: other}); len(a.denials) > 0 {
				t.Errorf("a pod that %s is refused: %q", what, a.denials)
			}
		}
		none := server.serve(t, request{user: "ann", operation: apiadmission.Create, resource: pods, object: pod().Build()})
		if len(none.denials) == 0 {
			t.Error("a pod that names no model passes")
		}
	})
}
