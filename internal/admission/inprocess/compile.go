package inprocess

import (
	"encoding/json"
	"fmt"
	"sync"

	"github.com/google/cel-go/cel"
	admissionv1 "k8s.io/api/admissionregistration/v1"
	plugincel "k8s.io/apiserver/pkg/admission/plugin/cel"
	"k8s.io/apiserver/pkg/admission/plugin/policy/mutating/patch"
	"k8s.io/apiserver/pkg/admission/plugin/webhook/matchconditions"
	"k8s.io/apiserver/pkg/cel/environment"

	"github.com/interlock-dev/interlock/internal/admission"
)

// Policies are compiled policies with their bindings.
type Policies struct {
	mutating   []mutator
	validating []validator
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

// WithoutMutation gives the same policies without those that change objects.
func (p *Policies) WithoutMutation() *Policies { return &Policies{validating: p.validating} }

// Compiler compiles policies as API servers do, and keeps each by its content. It is safe for concurrent use.
type Compiler struct {
	base *environment.EnvSet
	kept sync.Map
}

// NewCompiler returns a Compiler for the CEL that all supported API servers understand.
func NewCompiler() *Compiler {
	return &Compiler{base: environment.MustBaseEnvSet(environment.DefaultCompatibilityVersion())}
}

// Compile compiles policies. The error names the policy that an API server would not take, and why.
func (c *Compiler) Compile(objects []admission.Object) (*Policies, error) {
	p := &Policies{}
	for _, o := range objects {
		var err error
		switch o := o.(type) {
		case *admissionv1.MutatingAdmissionPolicy:
			var m mutator
			m, err = once(c, o, c.mutation)
			p.mutating = append(p.mutating, m)
		case *admissionv1.ValidatingAdmissionPolicy:
			var v validator
			v, err = once(c, o, c.validation)
			p.validating = append(p.validating, v)
		}
		if err != nil {
			return nil, fmt.Errorf("policy %s: %w", o.GetName(), err)
		}
	}
	for _, o := range objects {
		switch o := o.(type) {
		case *admissionv1.MutatingAdmissionPolicyBinding:
			for i := range p.mutating {
				if p.mutating[i].policy.Name == o.Spec.PolicyName {
					p.mutating[i].bindings = append(p.mutating[i].bindings, o)
				}
			}
		case *admissionv1.ValidatingAdmissionPolicyBinding:
			for i := range p.validating {
				if p.validating[i].policy.Name == o.Spec.PolicyName {
					p.validating[i].bindings = append(p.validating[i].bindings, o)
				}
			}
		}
	}
	return p, nil
}

// once compiles a policy unless it has been compiled before.
func once[P, C any](c *Compiler, policy P, compile func(P) (C, error)) (compiled C, err error) {
	says, err := json.Marshal(policy)
	if err != nil {
		return compiled, err
	}
	if have, ok := c.kept.Load(string(says)); ok {
		return have.(C), nil
	}
	if compiled, err = compile(policy); err == nil {
		c.kept.Store(string(says), compiled)
	}
	return compiled, err
}

// expression is any CEL of a policy, with the types that it may yield.
type expression struct {
	name, text string
	types      []*cel.Type
}

// GetExpression gives the CEL.
func (e *expression) GetExpression() string { return e.text }

// ReturnTypes are those that it may yield.
func (e *expression) ReturnTypes() []*cel.Type { return e.types }

// GetName is how other expressions name it, if it is a variable.
func (e *expression) GetName() string { return e.name }

// common compiles what policies of both kinds have.
func (c *Compiler) common(name string, failure *admissionv1.FailurePolicyType, hasParams bool, variables []admissionv1.Variable,
	conditions []admissionv1.MatchCondition) (*plugincel.CompositedCompiler, matchconditions.Matcher, plugincel.OptionalVariableDeclarations, error) {
	options := plugincel.OptionalVariableDeclarations{HasParams: hasParams, HasAuthorizer: true}
	compiler, err := plugincel.NewCompositedCompiler(c.base)
	if err != nil {
		return nil, nil, options, err
	}
	for _, v := range variables {
		compiled := compiler.CompileAndStoreVariable(&expression{v.Name, v.Expression, []*cel.Type{cel.AnyType, cel.DynType}}, options, environment.StoredExpressions)
		if compiled.Error != nil {
			return nil, nil, options, fmt.Errorf("variable %s: %w", v.Name, compiled.Error)
		}
	}
	if len(conditions) == 0 {
		return compiler, nil, options, nil
	}
	var accessors []plugincel.ExpressionAccessor
	for i := range conditions {
		accessors = append(accessors, (*matchconditions.MatchCondition)(&conditions[i]))
	}
	evaluator := compiler.CompileCondition(accessors, options, environment.StoredExpressions)
	for _, err := range evaluator.CompilationErrors() {
		return nil, nil, options, fmt.Errorf("match condition: %w", err)
	}
	return compiler, matchconditions.NewMatcher(evaluator, failure, "policy", "validate", name), options, nil
}

func (c *Compiler) mutation(p *admissionv1.MutatingAdmissionPolicy) (m mutator, err error) {
	m.policy = p
	var options plugincel.OptionalVariableDeclarations
	m.compiler, m.matcher, options, err = c.common(p.Name, p.Spec.FailurePolicy, p.Spec.ParamKind != nil, p.Spec.Variables, p.Spec.MatchConditions)
	if err != nil {
		return m, err
	}
	options.HasPatchTypes = true
	for _, mutation := range p.Spec.Mutations {
		if mutation.PatchType != admissionv1.PatchTypeJSONPatch {
			return m, fmt.Errorf("patch type %s is not known here", mutation.PatchType)
		}
		compiled := m.compiler.CompileMutatingEvaluator(&patch.JSONPatchCondition{Expression: mutation.JSONPatch.Expression}, options, environment.StoredExpressions)
		for _, err := range compiled.CompilationErrors() {
			return m, fmt.Errorf("mutation: %w", err)
		}
		m.patchers = append(m.patchers, patch.NewJSONPatcher(compiled))
	}
	return m, nil
}

func (c *Compiler) validation(p *admissionv1.ValidatingAdmissionPolicy) (v validator, err error) {
	v.policy = p
	var options plugincel.OptionalVariableDeclarations
	v.compiler, v.matcher, options, err = c.common(p.Name, p.Spec.FailurePolicy, p.Spec.ParamKind != nil, p.Spec.Variables, p.Spec.MatchConditions)
	if err != nil {
		return v, err
	}
	var conditions, messages []plugincel.ExpressionAccessor
	for _, given := range p.Spec.Validations {
		conditions = append(conditions, &expression{text: given.Expression, types: []*cel.Type{cel.BoolType}})
		var message plugincel.ExpressionAccessor
		if given.MessageExpression != "" {
			message = &expression{text: given.MessageExpression, types: []*cel.Type{cel.StringType}}
		}
		messages = append(messages, message)
	}
	v.validations = v.compiler.CompileCondition(conditions, options, environment.StoredExpressions)
	options.HasAuthorizer = false
	v.wording = v.compiler.CompileCondition(messages, options, environment.StoredExpressions)
	for _, err := range append(v.validations.CompilationErrors(), v.wording.CompilationErrors()...) {
		return v, err
	}
	return v, nil
}
