// Package inprocess judges requests under Interlock's policies as an API server does, with its own compiler, evaluator and
// patcher, and without one. So the command line and tests come to the same answer as a cluster.
//
// What an API server does around these follows dispatcher.go and validator.go of
// k8s.io/apiserver/pkg/admission/plugin/policy/{mutating,validating}, which cannot be imported without a server's worth of
// modules. It must not import controllers.
package inprocess

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

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
	"k8s.io/apiserver/pkg/admission/plugin/webhook/predicates/rules"
	celconfig "k8s.io/apiserver/pkg/apis/cel"
	"k8s.io/apiserver/pkg/authentication/user"
	"k8s.io/apiserver/pkg/authorization/authorizer"

	"github.com/interlock-dev/interlock/internal/admission"
)

// Server answers requests in one namespace.
type Server struct {
	Policies *Policies
	// Scheme knows the kinds of all objects.
	Scheme    *runtime.Scheme
	Namespace *corev1.Namespace
	// Params are the objects that policies read, by name.
	Params map[string]admission.Object
	// Now is when objects are created.
	Now time.Time
	// Authorizer may be nil, and then nobody may do anything beside the request itself.
	Authorizer authorizer.UnconditionalAuthorizer
	// Before137 shows objects to CEL as API servers before 1.37 do: converted as a whole, rather than looked into.
	Before137 bool
}

// Request is what somebody asks of the API server.
type Request struct {
	User        user.Info
	Operation   apiadmission.Operation
	Resource    schema.GroupVersionResource
	Subresource string
	DryRun      bool
	Object, Old runtime.Object
}

// Answer is what comes of a request. It is allowed if nothing denies it.
type Answer struct {
	Object                    runtime.Object
	Denials, Warnings, Audits []Message
}

// Message is what one policy says.
type Message struct{ Policy, Text string }

func (m Message) String() string { return m.Policy + ": " + m.Text }

// Serve does what an API server does with a request, from mutation to judgement. The error tells of a request that no API
// server would be asked.
func (s *Server) Serve(r Request) (a Answer, err error) {
	if r.Object != nil {
		r.Object, err = s.shown(r.Object)
	}
	if r.Old != nil && err == nil {
		r.Old, err = s.shown(r.Old)
	}
	if err != nil {
		return a, err
	}
	sent := r.Object
	for _, m := range s.Policies.mutating {
		err = errors.Join(err, s.mutate(m, &r, &a))
	}
	if !apiequality.Semantic.DeepEqual(sent, r.Object) {
		for _, m := range s.Policies.mutating {
			if m.policy.Spec.ReinvocationPolicy == admissionv1.IfNeededReinvocationPolicy {
				err = errors.Join(err, s.mutate(m, &r, &a))
			}
		}
	}
	if o, ok := r.Object.(metav1.Object); ok && r.Operation == apiadmission.Create {
		o.SetCreationTimestamp(metav1.NewTime(s.Now.Truncate(time.Second)))
		o.SetUID("made-by-the-api-server")
	}
	for _, v := range s.Policies.validating {
		err = errors.Join(err, s.validate(v, r, &a))
	}
	a.Object = r.Object
	return a, err
}

// shown gives a copy of an object as CEL gets to see it.
func (s *Server) shown(o runtime.Object) (runtime.Object, error) {
	o = o.DeepCopyObject()
	kinds, _, err := s.Scheme.ObjectKinds(o)
	if err != nil {
		return nil, err
	}
	o.GetObjectKind().SetGroupVersionKind(kinds[0])
	if !s.Before137 {
		return o, nil
	}
	return apiadmission.ConvertObjectToUnstructured(o)
}

func (s *Server) attributes(r Request) (*apiadmission.VersionedAttributes, error) {
	some := r.Object
	if some == nil {
		some = r.Old
	}
	about := some.(metav1.Object)
	kind, namespace := some.GetObjectKind().GroupVersionKind(), about.GetNamespace()
	if kind.Kind == "Namespace" {
		namespace = about.GetName()
	}
	attributes := apiadmission.NewAttributesRecord(r.Object, r.Old, kind, namespace, about.GetName(), r.Resource, r.Subresource,
		r.Operation, nil, r.DryRun, r.User)
	return apiadmission.NewVersionedAttributes(attributes, kind, apiadmission.NewObjectInterfacesFromScheme(s.Scheme))
}

// matches says whether both a policy and a binding are about a request.
func (s *Server) matches(attributes apiadmission.Attributes, constraints ...*admissionv1.MatchResources) (bool, error) {
	for _, c := range constraints {
		for _, selected := range []struct {
			by   *metav1.LabelSelector
			what labels.Set
		}{{c.NamespaceSelector, s.Namespace.Labels}, {c.ObjectSelector, nil}} {
			selector, err := metav1.LabelSelectorAsSelector(selected.by)
			if err != nil {
				return false, err
			}
			if !selector.Matches(selected.what) {
				return false, nil
			}
		}
		if len(c.ResourceRules) > 0 && !slices.ContainsFunc(c.ResourceRules, func(rule admissionv1.NamedRuleWithOperations) bool {
			return (&rules.Matcher{Rule: rule.RuleWithOperations, Attr: attributes}).Matches()
		}) {
			return false, nil
		}
	}
	return true, nil
}

var errNoParam = errors.New("failed to configure binding: no params found for policy binding with `Deny` parameterNotFoundAction")

// param finds the object that a binding names; false when the policy is to be left alone for want of it.
func (s *Server) param(ref *admissionv1.ParamRef) (param runtime.Object, goOn bool, err error) {
	if ref == nil {
		return nil, true, nil
	}
	have, ok := s.Params[ref.Name]
	if !ok {
		if *ref.ParameterNotFoundAction == admissionv1.AllowAction {
			return nil, false, nil
		}
		return nil, false, errNoParam
	}
	if _, builtIn := have.(*corev1.LimitRange); builtIn {
		param, err = s.shown(have)
		return param, err == nil, err
	}
	content, err := runtime.DefaultUnstructuredConverter.ToUnstructured(have)
	return &unstructured.Unstructured{Object: content}, err == nil, err
}

func (s *Server) mutate(m mutator, r *Request, a *Answer) error {
	for _, binding := range m.bindings {
		versioned, err := s.attributes(*r)
		if err != nil {
			return err
		}
		matches, err := s.matches(versioned, m.policy.Spec.MatchConstraints, binding.Spec.MatchResources)
		if err != nil {
			return err
		}
		if !matches {
			continue
		}
		deny := func(err error) {
			if *m.policy.Spec.FailurePolicy == admissionv1.Fail {
				a.Denials = append(a.Denials, Message{m.policy.Name, err.Error()})
			}
		}
		param, goOn, err := s.param(binding.Spec.ParamRef)
		if err != nil {
			deny(err)
		}
		if !goOn {
			continue
		}
		ctx := m.compiler.CreateContext(context.Background())
		if m.matcher != nil {
			if match := m.matcher.Match(ctx, versioned, param, s.authorizer()); match.Error != nil {
				deny(match.Error)
				continue
			} else if !match.Matches {
				continue
			}
		}
		for _, patcher := range m.patchers {
			patched, err := patcher.Patch(ctx, patch.Request{
				MatchedResource: r.Resource, VersionedAttributes: versioned, ObjectInterfaces: apiadmission.NewObjectInterfacesFromScheme(s.Scheme),
				OptionalVariables: plugincel.OptionalVariableBindings{VersionedParams: param, Authorizer: s.authorizer()}, Namespace: s.Namespace,
			}, celconfig.RuntimeCELCostBudget)
			if err != nil {
				deny(err)
				continue
			}
			versioned.UpdateObject(patched)
			r.Object = patched
		}
	}
	return nil
}

func (s *Server) validate(v validator, r Request, a *Answer) error {
	for _, binding := range v.bindings {
		versioned, err := s.attributes(r)
		if err != nil {
			return err
		}
		matches, err := s.matches(versioned, v.policy.Spec.MatchConstraints, binding.Spec.MatchResources)
		if err != nil {
			return err
		}
		if !matches {
			continue
		}
		say := func(text string) {
			message := Message{v.policy.Name, text}
			switch binding.Spec.ValidationActions[0] {
			case admissionv1.Deny:
				a.Denials = append(a.Denials, message)
			case admissionv1.Warn:
				a.Warnings = append(a.Warnings, message)
			case admissionv1.Audit:
				a.Audits = append(a.Audits, message)
			}
		}
		fail := func(err error) {
			if *v.policy.Spec.FailurePolicy == admissionv1.Fail {
				say(err.Error())
			}
		}
		param, goOn, err := s.param(binding.Spec.ParamRef)
		if err != nil {
			fail(err)
		}
		if !goOn {
			continue
		}
		ctx := v.compiler.CreateContext(context.Background())
		if v.matcher != nil {
			if match := v.matcher.Match(ctx, versioned, param, s.authorizer()); match.Error != nil {
				fail(match.Error)
				continue
			} else if !match.Matches {
				continue
			}
		}
		s.judge(ctx, v, versioned, r, param, say, fail)
	}
	return nil
}

func (s *Server) judge(ctx context.Context, v validator, versioned *apiadmission.VersionedAttributes, r Request, param runtime.Object, say func(string), fail func(error)) {
	asked := plugincel.CreateAdmissionRequest(versioned, metav1.GroupVersionResource(r.Resource), metav1.GroupVersionKind(versioned.VersionedKind))
	bindings := plugincel.OptionalVariableBindings{VersionedParams: param, Authorizer: s.authorizer()}
	namespace := plugincel.CreateNamespaceObject(s.Namespace)
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

func (s *Server) authorizer() authorizer.UnconditionalAuthorizer {
	if s.Authorizer != nil {
		return s.Authorizer
	}
	return nobody{}
}

// nobody lets nobody do anything.
type nobody struct{}

// Authorize has no opinion.
func (nobody) Authorize(context.Context, authorizer.Attributes) (authorizer.Decision, string, error) {
	return authorizer.DecisionNoOpinion, "", nil
}
