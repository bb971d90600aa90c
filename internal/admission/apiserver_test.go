package admission_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/cel-go/cel"
	celtypes "github.com/google/cel-go/common/types"
	admissionv1 "k8s.io/api/admissionregistration/v1"
	corev1 "k8s.io/api/core/v1"
	apiequality "k8s.io/apimachinery/pkg/api/equality"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/labels"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/schema"
	apiadmission "k8s.io/apiserver/pkg/admission"
	plugincel "k8s.io/apiserver/pkg/admission/plugin/cel"
	"k8s.io/apiserver/pkg/admission/plugin/policy/mutating/patch"
	"k8s.io/apiserver/pkg/admission/plugin/webhook/matchconditions"
	"k8s.io/apiserver/pkg/admission/plugin/webhook/predicates/rules"
	celconfig "k8s.io/apiserver/pkg/apis/cel"
	"k8s.io/apiserver/pkg/authentication/user"
	"k8s.io/apiserver/pkg/authorization/authorizer"
	"k8s.io/apiserver/pkg/cel/environment"
	clientgoscheme "k8s.io/client-go/kubernetes/scheme"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/interlock-dev/interlock/api/v1alpha1"
	"github.com/interlock-dev/interlock/internal/admission"
	"github.com/interlock-dev/interlock/internal/testing/builder"
)

// apiServer judges requests as the API server does, in process, with the API server's own compiler, evaluator and
// patcher. What it adds around them follows dispatcher.go and validator.go of
// k8s.io/apiserver/pkg/admission/plugin/policy/{mutating,validating}, which cannot be imported without a server's worth
// of modules.
type apiServer struct {
	mutating   []mutator
	validating []validator

	namespace *corev1.Namespace
	params    map[string]client.Object
	now       time.Time
	// before137 shows objects to CEL as API servers before 1.37 do: converted as a whole, rather than looked into.
	before137 bool
	// allowed are the checks that the authorizer answers with yes, as "user verb resource/name".
	allowed []string
}

type mutator struct {
	policy   *admissionv1.MutatingAdmissionPolicy
	bindings []*admissionv1.MutatingAdmissionPolicyBinding
	compiler *plugincel.CompositedCompiler
	matcher  matchconditions.Matcher
	patchers []patch.Patcher
}

type validator struct {
	policy               *admissionv1.ValidatingAdmissionPolicy
	bindings             []*admissionv1.ValidatingAdmissionPolicyBinding
	compiler             *plugincel.CompositedCompiler
	matcher              matchconditions.Matcher
	validations, wording plugincel.ConditionEvaluator
}

// request is what somebody asks of the API server.
type request struct {
	user         string
	impersonated bool // so there is no credential in the user's extra
	operation    apiadmission.Operation
	resource     schema.GroupVersionResource
	subresource  string
	dryRun       bool
	object, old  runtime.Object
}

// answer is what comes of it. A request is allowed if it was denied by nobody.
type answer struct {
	object   runtime.Object
	denials  []string
	warnings []string
	audits   []string
}

var scheme = func() *runtime.Scheme {
	s := runtime.NewScheme()
	if err := errors.Join(clientgoscheme.AddToScheme(s), v1alpha1.AddToScheme(s)); err != nil {
		panic(err)
	}
	return s
}()

var (
	install = admission.Install{Username: "system:serviceaccount:interlock-system:interlock", Namespace: "interlock-system"}
	base    = sync.OnceValue(func() *environment.EnvSet {
		return environment.MustBaseEnvSet(environment.DefaultCompatibilityVersion())
	})
)

// newAPIServer has one namespace, "serving", with these labels.
func newAPIServer(t testing.TB, objects []admission.Object, namespaceLabels map[string]string) *apiServer {
	t.Helper()
	namespace := builder.Namespace("serving").Label(corev1.LabelMetadataName, "serving")
	for key, value := range namespaceLabels {
		namespace.Label(key, value)
	}
	s := &apiServer{
		namespace: namespace.Build(),
		params:    map[string]client.Object{},
		now:       time.Date(2026, 5, 14, 8, 10, 0, 0, time.UTC),
	}
	for _, o := range objects {
		switch o := o.(type) {
		case *admissionv1.MutatingAdmissionPolicy:
			s.mutating = append(s.mutating, once(t, o, compileMutation))
		case *admissionv1.ValidatingAdmissionPolicy:
			s.validating = append(s.validating, once(t, o, compileValidation))
		}
	}
	for _, o := range objects {
		switch o := o.(type) {
		case *admissionv1.MutatingAdmissionPolicyBinding:
			for i := range s.mutating {
				if s.mutating[i].policy.Name == o.Spec.PolicyName {
					s.mutating[i].bindings = append(s.mutating[i].bindings, o)
				}
			}
		case *admissionv1.ValidatingAdmissionPolicyBinding:
			for i := range s.validating {
				if s.validating[i].policy.Name == o.Spec.PolicyName {
					s.validating[i].bindings = append(s.validating[i].bindings, o)
				}
			}
		}
	}
	return s
}

// compiled policies of all tests, by what they say.
var compiled sync.Map

// once compiles a policy, unless a test before has.
func once[P, C any](t testing.TB, policy P, compile func(testing.TB, P) C) C {
	t.Helper()
	says, err := json.Marshal(policy)
	if err != nil {
		t.Fatal(err)
	}
	if have, ok := compiled.Load(string(says)); ok {
		return have.(C)
	}
	c := compile(t, policy)
	compiled.Store(string(says), c)
	return c
}

func (s *apiServer) put(param client.Object) *apiServer {
	s.params[param.GetName()] = param
	return s
}

// expression is any CEL of a policy, with the types that it may yield.
type expression struct {
	name, text string
	types      []*cel.Type
}

func (e *expression) GetExpression() string    { return e.text }
func (e *expression) ReturnTypes() []*cel.Type { return e.types }
func (e *expression) GetName() string          { return e.name }

// compiling is what policies of both kinds have in common.
func compiling(t testing.TB, name string, failure *admissionv1.FailurePolicyType, hasParams bool, variables []admissionv1.Variable,
	conditions []admissionv1.MatchCondition) (*plugincel.CompositedCompiler, matchconditions.Matcher, plugincel.OptionalVariableDeclarations) {
	t.Helper()
	compiler, err := plugincel.NewCompositedCompiler(base())
	if err != nil {
		t.Fatal(err)
	}
	options := plugincel.OptionalVariableDeclarations{HasParams: hasParams, HasAuthorizer: true}
	for _, v := range variables {
		compiled := compiler.CompileAndStoreVariable(&expression{v.Name, v.Expression, []*cel.Type{cel.AnyType, cel.DynType}}, options, environment.StoredExpressions)
		if compiled.Error != nil {
			t.Fatalf("%s: variable %s: %v", name, v.Name, compiled.Error)
		}
	}
	var accessors []plugincel.ExpressionAccessor
	for i := range conditions {
		accessors = append(accessors, (*matchconditions.MatchCondition)(&conditions[i]))
	}
	if len(conditions) == 0 {
		return compiler, nil, options
	}
	evaluator := compiler.CompileCondition(accessors, options, environment.StoredExpressions)
	for _, err := range evaluator.CompilationErrors() {
		t.Fatalf("%s: match condition: %v", name, err)
	}
	return compiler, matchconditions.NewMatcher(evaluator, failure, "policy", "validate", name), options
}

func compileMutation(t testing.TB, p *admissionv1.MutatingAdmissionPolicy) mutator {
	t.Helper()
	compiler, matcher, options := compiling(t, p.Name, p.Spec.FailurePolicy, p.Spec.ParamKind != nil, p.Spec.Variables, p.Spec.MatchConditions)
	options.HasPatchTypes = true
	m := mutator{policy: p, compiler: compiler, matcher: matcher}
	for _, mut := range p.Spec.Mutations {
		if mut.PatchType != admissionv1.PatchTypeJSONPatch {
			t.Fatalf("%s: patch type %s: teach it to this test", p.Name, mut.PatchType)
		}
		compiled := compiler.CompileMutatingEvaluator(&patch.JSONPatchCondition{Expression: mut.JSONPatch.Expression}, options, environment.StoredExpressions)
		if errs := compiled.CompilationErrors(); len(errs) > 0 {
			t.Fatalf("%s: mutation: %v", p.Name, errs)
		}
		m.patchers = append(m.patchers, patch.NewJSONPatcher(compiled))
	}
	return m
}

func compileValidation(t testing.TB, p *admissionv1.ValidatingAdmissionPolicy) validator {
	t.Helper()
	compiler, matcher, options := compiling(t, p.Name, p.Spec.FailurePolicy, p.Spec.ParamKind != nil, p.Spec.Variables, p.Spec.MatchConditions)
	var conditions, messages []plugincel.ExpressionAccessor
	for _, v := range p.Spec.Validations {
		conditions = append(conditions, &expression{text: v.Expression, types: []*cel.Type{cel.BoolType}})
		var message plugincel.ExpressionAccessor
		if v.MessageExpression != "" {
			message = &expression{text: v.MessageExpression, types: []*cel.Type{cel.StringType}}
		}
		messages = append(messages, message)
	}
	v := validator{policy: p, compiler: compiler, matcher: matcher,
		validations: compiler.CompileCondition(conditions, options, environment.StoredExpressions)}
	options.HasAuthorizer = false
	v.wording = compiler.CompileCondition(messages, options, environment.StoredExpressions)
	for _, err := range slices.Concat(v.validations.CompilationErrors(), v.wording.CompilationErrors()) {
		t.Fatalf("%s: %v", p.Name, err)
	}
	return v
}

// serve does what the API server does with a request, from mutation to judgement.
func (s *apiServer) serve(t failing, r request) answer {
	t.Helper()
	a := answer{object: r.object}
	if r.object != nil {
		r.object = s.shown(t, r.object)
	}
	if r.old != nil {
		r.old = s.shown(t, r.old)
	}
	sent := r.object
	for _, m := range s.mutating {
		s.mutate(t, m, &r, &a)
	}
	if !apiequality.Semantic.DeepEqual(sent, r.object) {
		for _, m := range s.mutating {
			if m.policy.Spec.ReinvocationPolicy == admissionv1.IfNeededReinvocationPolicy {
				s.mutate(t, m, &r, &a)
			}
		}
	}
	if r.operation == apiadmission.Create {
		o := r.object.(metav1.Object)
		o.SetCreationTimestamp(metav1.NewTime(s.now.Truncate(time.Second)))
		o.SetUID("made-by-the-api-server")
	}
	for _, v := range s.validating {
		s.validate(t, v, r, &a)
	}
	a.object = r.object
	return a
}

// failing is what a test or a drawn case of one can do.
type failing interface {
	Helper()
	Fatal(...any)
	Fatalf(string, ...any)
}

// shown gives a copy of an object as CEL gets to see it.
func (s *apiServer) shown(t failing, o runtime.Object) runtime.Object {
	o = o.DeepCopyObject()
	kinds, _, err := scheme.ObjectKinds(o)
	if err != nil {
		t.Fatal(err)
	}
	o.GetObjectKind().SetGroupVersionKind(kinds[0])
	if !s.before137 {
		return o
	}
	u, err := apiadmission.ConvertObjectToUnstructured(o)
	if err != nil {
		t.Fatal(err)
	}
	return u
}

func (s *apiServer) attributes(t failing, r request) *apiadmission.VersionedAttributes {
	some := r.object
	if some == nil {
		some = r.old
	}
	kind, namespace := some.GetObjectKind().GroupVersionKind(), some.(metav1.Object).GetNamespace()
	if kind.Kind == "Namespace" {
		namespace = some.(metav1.Object).GetName()
	}
	attributes := apiadmission.NewAttributesRecord(r.object, r.old, kind, namespace, some.(metav1.Object).GetName(), r.resource, r.subresource,
		r.operation, nil, r.dryRun, userOf(r))
	versioned, err := apiadmission.NewVersionedAttributes(attributes, kind, apiadmission.NewObjectInterfacesFromScheme(scheme))
	if err != nil {
		t.Fatal(err)
	}
	return versioned
}

func userOf(r request) user.Info {
	info := &user.DefaultInfo{Name: r.user}
	if !r.impersonated {
		info.UID, info.Extra = "uid-of-"+r.user, map[string][]string{admission.DefaultCredential: {"X509SHA256=" + r.user}}
	}
	return info
}

// matches says whether both a policy and a binding are about a request.
func (s *apiServer) matches(t failing, r request, attributes apiadmission.Attributes, constraints ...*admissionv1.MatchResources) bool {
	for _, c := range constraints {
		for _, selected := range []struct {
			by   *metav1.LabelSelector
			what labels.Set
		}{{c.NamespaceSelector, s.namespace.Labels}, {c.ObjectSelector, nil}} {
			selector, err := metav1.LabelSelectorAsSelector(selected.by)
			if err != nil {
				t.Fatal(err)
			}
			if !selector.Matches(selected.what) {
				return false
			}
		}
		if len(c.ResourceRules) > 0 && !slices.ContainsFunc(c.ResourceRules, func(rule admissionv1.NamedRuleWithOperations) bool {
			return (&rules.Matcher{Rule: rule.RuleWithOperations, Attr: attributes}).Matches()
		}) {
			return false
		}
	}
	return true
}

// param finds the object that a binding names; false when the policy is to be left alone for want of it.
func (s *apiServer) param(t failing, ref *admissionv1.ParamRef) (param runtime.Object, goOn bool, err error) {
	if ref == nil {
		return nil, true, nil
	}
	param, ok := s.params[ref.Name]
	if !ok {
		if *ref.ParameterNotFoundAction == admissionv1.AllowAction {
			return nil, false, nil
		}
		return nil, false, fmt.Errorf("failed to configure binding: no params found for policy binding with `Deny` parameterNotFoundAction")
	}
	if _, builtIn := param.(*corev1.LimitRange); builtIn {
		return s.shown(t, param), true, nil
	}
	content, err := runtime.DefaultUnstructuredConverter.ToUnstructured(param)
	if err != nil {
		t.Fatal(err)
	}
	return &unstructured.Unstructured{Object: content}, true, nil
}

func (s *apiServer) mutate(t failing, m mutator, r *request, a *answer) {
	for _, binding := range m.bindings {
		versioned := s.attributes(t, *r)
		if !s.matches(t, *r, versioned, m.policy.Spec.MatchConstraints, binding.Spec.MatchResources) {
			continue
		}
		deny := func(err error) {
			if *m.policy.Spec.FailurePolicy == admissionv1.Fail {
				a.denials = append(a.denials, fmt.Sprintf("%s: %v", m.policy.Name, err))
			}
		}
		param, goOn, err := s.param(t, binding.Spec.ParamRef)
		if err != nil {
			deny(err)
		}
		if !goOn {
			continue
		}
		ctx := m.compiler.CreateContext(context.Background())
		if m.matcher != nil {
			if match := m.matcher.Match(ctx, versioned, param, s); match.Error != nil {
				deny(match.Error)
				continue
			} else if !match.Matches {
				continue
			}
		}
		for _, patcher := range m.patchers {
			patched, err := patcher.Patch(ctx, patch.Request{
				MatchedResource: r.resource, VersionedAttributes: versioned, ObjectInterfaces: apiadmission.NewObjectInterfacesFromScheme(scheme),
				OptionalVariables: plugincel.OptionalVariableBindings{VersionedParams: param, Authorizer: s}, Namespace: s.namespace,
			}, celconfig.RuntimeCELCostBudget)
			if err != nil {
				deny(err)
				continue
			}
			versioned.UpdateObject(patched)
			r.object = patched
		}
	}
}

func (s *apiServer) validate(t failing, v validator, r request, a *answer) {
	for _, binding := range v.bindings {
		versioned := s.attributes(t, r)
		if !s.matches(t, r, versioned, v.policy.Spec.MatchConstraints, binding.Spec.MatchResources) {
			continue
		}
		say := func(message string) {
			message = v.policy.Name + ": " + message
			switch binding.Spec.ValidationActions[0] {
			case admissionv1.Deny:
				a.denials = append(a.denials, message)
			case admissionv1.Warn:
				a.warnings = append(a.warnings, message)
			case admissionv1.Audit:
				a.audits = append(a.audits, message)
			}
		}
		fail := func(err error) {
			if *v.policy.Spec.FailurePolicy == admissionv1.Fail {
				say(err.Error())
			}
		}
		param, goOn, err := s.param(t, binding.Spec.ParamRef)
		if err != nil {
			fail(err)
		}
		if !goOn {
			continue
		}
		ctx := v.compiler.CreateContext(context.Background())
		if v.matcher != nil {
			if match := v.matcher.Match(ctx, versioned, param, s); match.Error != nil {
				fail(match.Error)
				continue
			} else if !match.Matches {
				continue
			}
		}
		s.judge(ctx, v, versioned, r, param, say, fail)
	}
}

func (s *apiServer) judge(ctx context.Context, v validator, versioned *apiadmission.VersionedAttributes, r request, param runtime.Object, say func(string), fail func(error)) {
	asked := plugincel.CreateAdmissionRequest(versioned, metav1.GroupVersionResource(r.resource), metav1.GroupVersionKind(versioned.VersionedKind))
	bindings := plugincel.OptionalVariableBindings{VersionedParams: param, Authorizer: s}
	namespace := plugincel.CreateNamespaceObject(s.namespace)
	results, left, err := v.validations.ForInput(ctx, versioned, asked, bindings, namespace, celconfig.RuntimeCELCostBudget)
	if err != nil {
		fail(err)
		return
	}
	bindings.Authorizer = nil
	messages, _, err := v.wording.ForInput(ctx, versioned, asked, bindings, namespace, left)
	for i, result := range results {
		switch {
		case result.Error != nil:
			fail(result.Error)
		case err != nil:
			fail(fmt.Errorf("failed messageExpression: %w", err))
		case result.EvalResult != celtypes.True:
			message := v.policy.Spec.Validations[i].Message
			if messages[i].Error == nil && messages[i].EvalResult != nil {
				if text, ok := messages[i].EvalResult.Value().(string); ok && strings.TrimSpace(text) != "" && !strings.Contains(text, "\n") {
					message = strings.TrimSpace(text)
				}
			}
			say(message)
		}
	}
}

// Authorize lets a test say what a user may do.
func (s *apiServer) Authorize(_ context.Context, a authorizer.Attributes) (authorizer.Decision, string, error) {
	if slices.Contains(s.allowed, fmt.Sprintf("%s %s %s/%s", a.GetUser().GetName(), a.GetVerb(), a.GetResource(), a.GetName())) {
		return authorizer.DecisionAllow, "", nil
	}
	return authorizer.DecisionNoOpinion, "", nil
}
