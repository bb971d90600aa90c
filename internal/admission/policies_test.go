package admission_test

import (
	"encoding/json"
	"errors"
	"fmt"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/cel-go/cel"
	"github.com/google/go-cmp/cmp"
	admissionv1 "k8s.io/api/admissionregistration/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	metav1validation "k8s.io/apimachinery/pkg/apis/meta/v1/validation"
	"k8s.io/apimachinery/pkg/util/validation"
	"k8s.io/apimachinery/pkg/util/validation/field"
	plugincel "k8s.io/apiserver/pkg/admission/plugin/cel"
	"k8s.io/apiserver/pkg/admission/plugin/policy/mutating/patch"
	"k8s.io/apiserver/pkg/cel/environment"
	"pgregory.net/rapid"

	"github.com/interlock-dev/interlock/api/v1alpha1"
	"github.com/interlock-dev/interlock/internal/admission"
	"github.com/interlock-dev/interlock/internal/safeguard"
)

// awkward are rules whose texts have in them what texts may have.
func awkward() []admission.Rule {
	return append(rulesOfTests(),
		admission.Rule{Safeguard: "lines", Remedy: "first\nthen\r\nat last\n", Validations: []v1alpha1.PodValidation{
			{Expression: "\n\n  object.spec.containers.size() > 0 // some\n\n// really\n", Message: "none"}}},
		admission.Rule{Safeguard: "quotes", Remedy: `say "please" and 'thank you' \ %s`, Validations: []v1alpha1.PodValidation{
			{Expression: `object.metadata.name != "'\"\\" && object.metadata.name != '''"'''`, Message: `a "quoted" 'name' %d`}}},
		admission.Rule{Safeguard: "a", Validations: []v1alpha1.PodValidation{{Expression: "object.spec.?hostIPC.orValue(false) == false", Message: "m"}}})
}

// long are more rules than one expression can hold, all of them met by any pod of the tests.
func long() []admission.Rule {
	var rules []admission.Rule
	for i := range 30 {
		rules = append(rules, admission.Rule{Safeguard: fmt.Sprintf("long-%d", i), Remedy: "none", Validations: []v1alpha1.PodValidation{
			{Expression: "object.metadata.name != '" + strings.Repeat("x", 4000) + "'", Message: "m"}}})
	}
	return rules
}

// deep is as deep as the operator lets a rule be.
func deep(t *testing.T, within string) []admission.Rule {
	t.Helper()
	compiler, err := safeguard.NewCompiler()
	if err != nil {
		t.Fatal(err)
	}
	for depth := 250; depth > 200; depth-- {
		validations := []v1alpha1.PodValidation{{Expression: strings.Repeat("[1].all(x, ", depth) + within + strings.Repeat(")", depth), Message: "m"}}
		if _, err := compiler.Compile(&v1alpha1.Safeguard{Spec: v1alpha1.SafeguardSpec{PodRule: &v1alpha1.PodRule{Validations: validations}}}); err == nil {
			return []admission.Rule{{Safeguard: "deep", Validations: validations}}
		}
	}
	t.Fatal("no rule of a depth over 200 compiles")
	return nil
}

// TestPoliciesAreValid asks what the API server's own validation asks, as pkg/apis/admissionregistration/validation of
// k8s.io/kubernetes has it, which cannot be imported. A policy that is refused leaves the one before it in force.
func TestPoliciesAreValid(t *testing.T) {
	for name, rules := range map[string][]admission.Rule{
		"no rules": nil, "rules": rulesOfTests(), "awkward rules": awkward(), "many long rules": long(), "a deep rule": deep(t, "true"), "a deep rule on weights": deep(t, "weights == []"),
	} {
		t.Run(name, func(t *testing.T) {
			policies, bound := map[string]bool{}, map[string]bool{}
			for _, o := range admission.Policies(install, rules) {
				if errs := validation.IsDNS1123Subdomain(o.GetName()); errs != nil {
					t.Errorf("name %q: %v", o.GetName(), errs)
				}
				if o.GetObjectKind().GroupVersionKind().GroupVersion() != admissionv1.SchemeGroupVersion || o.GetLabels()[v1alpha1.ManagedByLabel] != v1alpha1.ManagedBy {
					t.Errorf("%s is a %s with labels %v", o.GetName(), o.GetObjectKind().GroupVersionKind(), o.GetLabels())
				}
				var err error
				switch o := o.(type) {
				case *admissionv1.MutatingAdmissionPolicy:
					policies[o.Name] = true
					err = validMutating(o.Spec)
				case *admissionv1.ValidatingAdmissionPolicy:
					policies[o.Name] = true
					err = validValidating(o.Spec)
				case *admissionv1.MutatingAdmissionPolicyBinding:
					bound[o.Spec.PolicyName] = true
					err = validMatch(o.Spec.MatchResources, false)
				case *admissionv1.ValidatingAdmissionPolicyBinding:
					bound[o.Spec.PolicyName] = true
					err = validMatch(o.Spec.MatchResources, false)
					if len(o.Spec.ValidationActions) != 1 {
						t.Errorf("%s: actions %v", o.Name, o.Spec.ValidationActions)
					}
				}
				if err != nil {
					t.Errorf("%s: %v", o.GetName(), err)
				}
			}
			if diff := cmp.Diff(policies, bound); diff != "" {
				t.Errorf("policies without binding, or the other way round (-policies +bound):\n%s", diff)
			}
		})
	}
}

func validMutating(spec admissionv1.MutatingAdmissionPolicySpec) error {
	compiler, err := plugincel.NewCompositedCompiler(base())
	if err != nil {
		return err
	}
	errs := []error{validMatch(spec.MatchConstraints, true), validCommon(compiler, spec.ParamKind, spec.Variables, spec.MatchConditions)}
	if spec.ReinvocationPolicy == "" || spec.FailurePolicy == nil || len(spec.Mutations) == 0 {
		errs = append(errs, errors.New("no reinvocationPolicy, failurePolicy or mutations"))
	}
	for _, m := range spec.Mutations {
		options := plugincel.OptionalVariableDeclarations{HasParams: spec.ParamKind != nil, HasAuthorizer: true, HasPatchTypes: true}
		errs = append(errs, compile(compiler, &patch.JSONPatchCondition{Expression: m.JSONPatch.Expression}, options))
	}
	return errors.Join(errs...)
}

var lineBreaks = regexp.MustCompile(`[\n\r]`)

func validValidating(spec admissionv1.ValidatingAdmissionPolicySpec) error {
	compiler, err := plugincel.NewCompositedCompiler(base())
	if err != nil {
		return err
	}
	errs := []error{validMatch(spec.MatchConstraints, true), validCommon(compiler, spec.ParamKind, spec.Variables, spec.MatchConditions)}
	if spec.FailurePolicy == nil || len(spec.Validations) == 0 {
		errs = append(errs, errors.New("no failurePolicy or validations"))
	}
	options := plugincel.OptionalVariableDeclarations{HasParams: spec.ParamKind != nil, HasAuthorizer: true}
	wording := plugincel.OptionalVariableDeclarations{HasParams: spec.ParamKind != nil}
	for _, v := range spec.Validations {
		errs = append(errs, compile(compiler, &expression{text: v.Expression, types: []*cel.Type{cel.BoolType}}, options))
		if v.MessageExpression != "" {
			errs = append(errs, compile(compiler, &expression{text: v.MessageExpression, types: []*cel.Type{cel.StringType}}, wording))
		}
		if text := strings.TrimSpace(v.Message); text == "" || lineBreaks.MatchString(text) {
			errs = append(errs, fmt.Errorf("message %q", v.Message))
		}
		if v.Reason == nil || *v.Reason != metav1.StatusReasonForbidden {
			errs = append(errs, fmt.Errorf("reason %v", v.Reason))
		}
	}
	return errors.Join(errs...)
}

func validCommon(compiler *plugincel.CompositedCompiler, param *admissionv1.ParamKind, variables []admissionv1.Variable, conditions []admissionv1.MatchCondition) error {
	var errs []error
	options := plugincel.OptionalVariableDeclarations{HasParams: param != nil, HasAuthorizer: true}
	stateless := plugincel.NewCompiler(base()) // match conditions see no variables
	for _, c := range conditions {
		errs = append(errs, compile(stateless, &expression{text: strings.TrimSpace(c.Expression), types: []*cel.Type{cel.BoolType}}, options))
		for _, wrong := range validation.IsQualifiedName(c.Name) {
			errs = append(errs, fmt.Errorf("match condition %q: %s", c.Name, wrong))
		}
	}
	for _, v := range variables {
		if !regexp.MustCompile(`^[_a-zA-Z][_a-zA-Z0-9]*$`).MatchString(v.Name) || slices.Contains([]string{"n", "y", "no", "yes", "on", "off"}, v.Name) {
			errs = append(errs, fmt.Errorf("variable %q", v.Name))
		}
		result := compiler.CompileAndStoreVariable(&expression{v.Name, v.Expression, []*cel.Type{cel.AnyType, cel.DynType}}, options, environment.NewExpressions)
		if result.Error != nil {
			errs = append(errs, fmt.Errorf("variable %s: %w", v.Name, result.Error))
		}
	}
	return errors.Join(errs...)
}

func compile(compiler plugincel.Compiler, e plugincel.ExpressionAccessor, options plugincel.OptionalVariableDeclarations) error {
	if result := compiler.CompileCELExpression(e, options, environment.NewExpressions); result.Error != nil {
		return fmt.Errorf("%s: %w", e.GetExpression(), result.Error)
	}
	return nil
}

func validMatch(m *admissionv1.MatchResources, rules bool) error {
	if m == nil || m.MatchPolicy == nil || m.NamespaceSelector == nil || m.ObjectSelector == nil || (len(m.ResourceRules) > 0) != rules {
		return fmt.Errorf("match resources %+v", m)
	}
	return metav1validation.ValidateLabelSelector(m.NamespaceSelector, metav1validation.LabelSelectorValidationOptions{}, field.NewPath("namespaceSelector")).ToAggregate()
}

// TestEveryDefaultIsFilledIn sets what pkg/apis/admissionregistration/v1/defaults.go of k8s.io/kubernetes sets. What the
// API server fills in would otherwise look like drift, and be repaired for ever.
func TestEveryDefaultIsFilledIn(t *testing.T) {
	matching := func(m *admissionv1.MatchResources) {
		if m.MatchPolicy == nil {
			m.MatchPolicy = new(admissionv1.Equivalent)
		}
		if m.NamespaceSelector == nil {
			m.NamespaceSelector = &metav1.LabelSelector{}
		}
		if m.ObjectSelector == nil {
			m.ObjectSelector = &metav1.LabelSelector{}
		}
		for i := range m.ResourceRules {
			if m.ResourceRules[i].Scope == nil {
				m.ResourceRules[i].Scope = new(admissionv1.AllScopes)
			}
		}
	}
	for _, o := range admission.Policies(install, rulesOfTests()) {
		stored := o.DeepCopyObject().(admission.Object)
		switch o := stored.(type) {
		case *admissionv1.MutatingAdmissionPolicy:
			matching(o.Spec.MatchConstraints)
			if o.Spec.FailurePolicy == nil {
				o.Spec.FailurePolicy = new(admissionv1.Fail)
			}
		case *admissionv1.ValidatingAdmissionPolicy:
			matching(o.Spec.MatchConstraints)
			if o.Spec.FailurePolicy == nil {
				o.Spec.FailurePolicy = new(admissionv1.Fail)
			}
		case *admissionv1.MutatingAdmissionPolicyBinding:
			matching(o.Spec.MatchResources)
		case *admissionv1.ValidatingAdmissionPolicyBinding:
			matching(o.Spec.MatchResources)
		}
		if diff := cmp.Diff(o, stored); diff != "" {
			t.Errorf("%s as compiled and as stored (-compiled +stored):\n%s", o.GetName(), diff)
		}
		if !admission.Same(o, stored) {
			t.Errorf("%s looks like drift", o.GetName())
		}
	}
}

func TestOrderOfRulesDoesNotMatter(t *testing.T) {
	want, err := json.Marshal(admission.Policies(install, awkward()))
	if err != nil {
		t.Fatal(err)
	}
	rapid.Check(t, func(t *rapid.T) {
		rules := rapid.Permutation(awkward()).Draw(t, "order")
		before := slices.Clone(rules)
		got, err := json.Marshal(admission.Policies(install, rules))
		if err != nil {
			t.Fatal(err)
		}
		if string(got) != string(want) {
			t.Fatalf("other bytes in the order %v", rules)
		}
		if diff := cmp.Diff(before, rules); diff != "" {
			t.Fatalf("the rules were put in another order:\n%s", diff)
		}
	})
}

// TestEnforcementFailsClosed holds what must not be lost in tuning: whatever bears on pods refuses when it cannot tell.
func TestEnforcementFailsClosed(t *testing.T) {
	for _, o := range admission.Policies(install, rulesOfTests()) {
		failure, speaksOnly := admissionv1.Fail, strings.HasPrefix(o.GetName(), admission.NoticePolicy) || o.GetName() == admission.AuditPolicy
		if speaksOnly {
			failure = admissionv1.Ignore
		}
		switch o := o.(type) {
		case *admissionv1.MutatingAdmissionPolicy:
			if *o.Spec.FailurePolicy != failure {
				t.Errorf("%s fails as %s", o.Name, *o.Spec.FailurePolicy)
			}
		case *admissionv1.ValidatingAdmissionPolicy:
			if *o.Spec.FailurePolicy != failure {
				t.Errorf("%s fails as %s", o.Name, *o.Spec.FailurePolicy)
			}
		case *admissionv1.MutatingAdmissionPolicyBinding:
			if p := o.Spec.ParamRef; p != nil && *p.ParameterNotFoundAction != admissionv1.DenyAction {
				t.Errorf("%s without a parameter: %s", o.Name, *p.ParameterNotFoundAction)
			}
		case *admissionv1.ValidatingAdmissionPolicyBinding:
			if p := o.Spec.ParamRef; p != nil && !speaksOnly && *p.ParameterNotFoundAction != admissionv1.DenyAction {
				t.Errorf("%s without a parameter: %s", o.Name, *p.ParameterNotFoundAction)
			}
			if denies := slices.Contains(o.Spec.ValidationActions, admissionv1.Deny); denies == speaksOnly {
				t.Errorf("%s: actions %v", o.Name, o.Spec.ValidationActions)
			}
		}
	}
}

func TestSame(t *testing.T) {
	for _, want := range admission.Policies(install, rulesOfTests()) {
		t.Run(want.GetObjectKind().GroupVersionKind().Kind+"/"+want.GetName(), func(t *testing.T) {
			changed := func(change func(admission.Object)) admission.Object {
				have := want.DeepCopyObject().(admission.Object)
				change(have)
				return have
			}
			for name, have := range map[string]admission.Object{
				"as it is": changed(func(admission.Object) {}),
				"what the API server and others add": changed(func(o admission.Object) {
					o.SetResourceVersion("7")
					o.SetUID("x")
					o.SetGeneration(3)
					o.SetCreationTimestamp(metav1.NewTime(time.Unix(1, 0)))
					o.SetAnnotations(map[string]string{"who": "someone"})
					o.GetLabels()["more"] = "label"
					o.GetObjectKind().SetGroupVersionKind(admissionv1.SchemeGroupVersion.WithKind(""))
				}),
			} {
				if !admission.Same(want, have) {
					t.Errorf("%s: not the same", name)
				}
			}
			for name, have := range map[string]admission.Object{
				"no labels":             changed(func(o admission.Object) { o.SetLabels(nil) }),
				"another's label":       changed(func(o admission.Object) { o.SetLabels(map[string]string{v1alpha1.ManagedByLabel: "someone"}) }),
				"another policy's spec": admission.Policies(install, nil)[0],
			} {
				if name == "another policy's spec" && want.GetName() == admission.HoldPolicy {
					continue
				}
				if admission.Same(want, have) {
					t.Errorf("%s: the same", name)
				}
			}
			rapid.Check(t, func(t *rapid.T) {
				have, what := spoilt(t, want)
				if admission.Same(want, have) {
					t.Fatalf("the same after a change of %s", what)
				}
			})
		})
	}
}

// spoilt changes, removes or adds one thing anywhere in the spec of an object.
func spoilt(t *rapid.T, o admission.Object) (spoilt admission.Object, what string) {
	text, err := json.Marshal(o)
	if err != nil {
		t.Fatal(err)
	}
	content := map[string]any{}
	if err := json.Unmarshal(text, &content); err != nil {
		t.Fatal(err)
	}
	path := []string{}
	node := content["spec"]
	set := func(value any) { content["spec"] = value }
	for {
		switch here := node.(type) {
		case map[string]any:
			keys := slices.Sorted(func(yield func(string) bool) {
				for key := range here {
					if !yield(key) {
						return
					}
				}
			})
			if len(keys) > 0 {
				key := oneOf(t, "key", keys...)
				path, node, set = append(path, key), here[key], func(value any) {
					if here[key] = value; value == nil {
						delete(here, key)
					}
				}
				continue
			}
			set(map[string]any{"matchLabels": map[string]any{"exempt": "me"}}) // the empty things are selectors
		case []any:
			i := rapid.IntRange(0, len(here)-1).Draw(t, "index")
			if _, deeper := here[i].(map[string]any); deeper && chance(t, "gone", 4) {
				set(slices.Delete(slices.Clone(here), i, i+1))
				path = append(path, "less")
				break
			}
			path, node, set = append(path, fmt.Sprint(i)), here[i], func(value any) { here[i] = value }
			continue
		case string:
			set(here + "x")
		default:
			t.Fatalf("%T at %v", here, path)
		}
		break
	}
	spoiltText, err := json.Marshal(content)
	if err != nil {
		t.Fatal(err)
	}
	spoilt = o.DeepCopyObject().(admission.Object)
	switch s := spoilt.(type) {
	case *admissionv1.MutatingAdmissionPolicy:
		s.Spec = admissionv1.MutatingAdmissionPolicySpec{}
	case *admissionv1.ValidatingAdmissionPolicy:
		s.Spec = admissionv1.ValidatingAdmissionPolicySpec{}
	case *admissionv1.MutatingAdmissionPolicyBinding:
		s.Spec = admissionv1.MutatingAdmissionPolicyBindingSpec{}
	case *admissionv1.ValidatingAdmissionPolicyBinding:
		s.Spec = admissionv1.ValidatingAdmissionPolicyBindingSpec{}
	}
	if err := json.Unmarshal(spoiltText, spoilt); err != nil {
		t.Fatal(err)
	}
	return spoilt, strings.Join(path, ".")
}

// expression is any CEL of a policy, with the types that it may yield.
type expression struct {
	name, text string
	types      []*cel.Type
}

func (e *expression) GetExpression() string    { return e.text }
func (e *expression) ReturnTypes() []*cel.Type { return e.types }
func (e *expression) GetName() string          { return e.name }
