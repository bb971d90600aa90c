// Package safeguard owns the verification methods: whether what a Safeguard asks for is in place for the pods of a model.
//
// It reads no API server: what it looks at is handed to it. It must not import controllers, nor the admission package,
// which enforces the same pod rules.
package safeguard

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/google/cel-go/cel"
	celtypes "github.com/google/cel-go/common/types"
	"github.com/google/cel-go/common/types/ref"
	corev1 "k8s.io/api/core/v1"
	networkingv1 "k8s.io/api/networking/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/labels"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/apimachinery/pkg/util/version"
	celconfig "k8s.io/apiserver/pkg/apis/cel"
	"k8s.io/apiserver/pkg/cel/common"
	"k8s.io/apiserver/pkg/cel/environment"

	"github.com/interlock-dev/interlock/api/v1alpha1"
	"github.com/interlock-dev/interlock/internal/adjust"
	"github.com/interlock-dev/interlock/internal/decision"
	"github.com/interlock-dev/interlock/internal/safeguard/egress"
)

// Surroundings are the objects around the pods of a namespace that verification methods look at.
type Surroundings struct {
	// Now is when the pods are judged.
	Now             time.Time
	NetworkPolicies []networkingv1.NetworkPolicy
	// Weights are the sources that the model declares of its weights.
	Weights []string
	// Exempt are the Safeguards by which a pod is not judged, by its name.
	Exempt map[string][]string
	// Named is what the owners of each pod name weights by, and under no UID the workloads that are stopped for the model.
	Named map[types.UID][]Named
}

// Named is something that names weights.
type Named struct {
	// Weights as they stand there.
	Weights string
	// Where they stand, or why that cannot be told: then there are no weights.
	Where string
}

// Compiled is a Safeguard whose verification method is ready for use.
type Compiled struct {
	Name     string
	Remedy   string
	Strength v1alpha1.Strength
	// SpecDigest identifies what the Safeguard asks.
	SpecDigest string
	// Objects that it puts around a model that needs it.
	Objects []adjust.Template
	// evidence is the rule by which statements are judged; nil for methods that judge pods.
	evidence *evidenceRule
	// onlyReported says that what breaks it is not held for that.
	onlyReported bool
	// needsNoPod says that the method tells something where there is no pod yet.
	needsNoPod bool
	// judge says what is wrong with a pod, each in a line; nothing when nothing is.
	judge func(pod *corev1.Pod, around Surroundings) []string
	// openings are the labels that can be edited and would make a pod break it; nil for methods that look at no labels.
	openings func(pod *corev1.Pod, around Surroundings) []egress.Opening
}

// Openings gives the labels that would make pods of a model break the Safeguard, as the objects around them select by these.
func (c *Compiled) Openings(model types.NamespacedName, around Surroundings) []egress.Opening {
	if c.openings == nil {
		return nil
	}
	return c.openings(leastPod(model), around)
}

// OnlyReported gives the same Safeguard for a policy under which it does not hold what breaks it.
func (c *Compiled) OnlyReported() *Compiled {
	reported := *c
	reported.onlyReported = true
	return &reported
}

// Compiler compiles Safeguards and keeps what it compiled, by identity and generation. It is safe for concurrent use.
type Compiler struct {
	// pods and predicates are the environments of expressions on these.
	pods, predicates *cel.Env
	// containers lists all containers of a pod, commands what each is started with.
	containers, commands cel.Program

	mu   sync.Mutex
	kept map[types.UID]compilation
}

type compilation struct {
	generation int64
	compiled   *Compiled
	err        error
}

// NewCompiler returns a Compiler for the CEL that the API servers which Interlock supports all understand.
func NewCompiler() (*Compiler, error) {
	pods, err := newEnv(cel.Variable("object", cel.DynType), cel.Variable("containers", cel.DynType),
		cel.Variable("commands", cel.DynType), cel.Variable("weights", cel.ListType(cel.StringType)))
	if err != nil {
		return nil, err
	}
	predicates, err := newEnv(cel.Variable("predicate", cel.DynType))
	if err != nil {
		return nil, err
	}
	containers, err := prepared(pods, v1alpha1.AllContainers)
	if err != nil {
		return nil, err
	}
	commands, err := prepared(pods, v1alpha1.Commands)
	if err != nil {
		return nil, err
	}
	return &Compiler{pods: pods, predicates: predicates, containers: containers, commands: commands, kept: map[types.UID]compilation{}}, nil
}

// prepared compiles an expression of our own.
func prepared(env *cel.Env, expression string) (cel.Program, error) {
	ast, issues := env.Compile(expression)
	if issues.Err() != nil {
		return nil, fmt.Errorf("prepare CEL: %w", issues.Err())
	}
	program, err := env.Program(ast)
	if err != nil {
		return nil, fmt.Errorf("prepare CEL: %w", err)
	}
	return program, nil
}

// newEnv gives an environment with some variables.
func newEnv(variables ...cel.EnvOption) (*cel.Env, error) {
	set, err := environment.MustBaseEnvSet(environment.DefaultCompatibilityVersion()).Extend(environment.VersionedOptions{
		IntroducedVersion: version.MajorMinor(1, 0),
		EnvOptions:        variables,
	})
	if err != nil {
		return nil, fmt.Errorf("prepare CEL: %w", err)
	}
	env, err := set.Env(environment.NewExpressions)
	if err != nil {
		return nil, fmt.Errorf("prepare CEL: %w", err)
	}
	return env, nil
}

// Compile makes a Safeguard ready for use. The error says in one line what is wrong with it and where. What has no
// identity, since it comes from a file, is not kept.
func (c *Compiler) Compile(sg *v1alpha1.Safeguard) (*Compiled, error) {
	if sg.UID == "" {
		return c.compile(sg)
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	if have, ok := c.kept[sg.UID]; ok && have.generation == sg.Generation {
		return have.compiled, have.err
	}
	compiled, err := c.compile(sg)
	c.kept[sg.UID] = compilation{sg.Generation, compiled, err}
	return compiled, err
}

// Forget drops what was compiled for Safeguards other than these.
func (c *Compiler) Forget(except []v1alpha1.Safeguard) {
	live := map[types.UID]bool{}
	for i := range except {
		live[except[i].UID] = true
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	for uid := range c.kept {
		if !live[uid] {
			delete(c.kept, uid)
		}
	}
}

func (c *Compiler) compile(sg *v1alpha1.Safeguard) (*Compiled, error) {
	compiled := &Compiled{Name: sg.Name, Remedy: sg.Spec.Remedy, SpecDigest: decision.SpecDigest(&sg.Spec)}
	switch {
	case sg.Spec.PodRule != nil:
		judge, err := c.podRule(sg.Spec.PodRule)
		if err != nil {
			return nil, err
		}
		compiled.Strength, compiled.judge = v1alpha1.StrengthEnforced, judge
	case sg.Spec.Resource != nil && sg.Spec.Resource.Egress != nil:
		rule, err := egress.ParseRule(sg.Spec.Resource.Egress.AllowedCIDRs)
		if err != nil {
			return nil, fmt.Errorf("spec.resource.egress.allowedCIDRs: %w", err)
		}
		compiled.Strength, compiled.needsNoPod = v1alpha1.StrengthObserved, true
		compiled.judge = func(pod *corev1.Pod, around Surroundings) []string {
			return egress.Judge(pod, frozenLabels(pod), around.NetworkPolicies, rule)
		}
		compiled.openings = func(pod *corev1.Pod, around Surroundings) []egress.Opening {
			return egress.Openings(pod.Namespace, frozenLabels(pod), around.NetworkPolicies, rule)
		}
	case sg.Spec.Resource != nil && sg.Spec.Resource.Weights != nil:
		compiled.Strength, compiled.needsNoPod, compiled.judge = v1alpha1.StrengthObserved, true, undeclared
	case sg.Spec.Evidence != nil:
		rule, err := c.evidence(sg.Spec.Evidence)
		if err != nil {
			return nil, err
		}
		compiled.Strength, compiled.evidence = v1alpha1.StrengthAttested, rule
	default:
		return nil, fmt.Errorf("spec: no verification method that this version of Interlock knows")
	}
	var err error
	compiled.Objects, err = adjust.Parse(sg)
	if err != nil {
		return nil, err
	}
	return compiled, nil
}

// undeclared says which weights the owners of a pod name that the model does not declare, and those workloads that have
// no pods since they are stopped for it: else it would be cleared for as long as it takes them to start again.
func undeclared(pod *corev1.Pod, around Surroundings) []string {
	var wrong []string
	named := around.Named[""]
	if pod.UID != "" {
		named = slices.Concat(around.Named[pod.UID], named)
	}
	for _, n := range named {
		switch {
		case n.Weights == "":
			wrong = append(wrong, n.Where)
		case !slices.Contains(around.Weights, n.Weights):
			wrong = append(wrong, fmt.Sprintf("%s names %q, which the model does not declare", n.Where, n.Weights))
		}
	}
	return wrong
}

// frozenLabels are those that cannot change while the pod lives: GuardPolicy sees to that.
func frozenLabels(pod *corev1.Pod) labels.Set {
	return labels.Set{v1alpha1.ModelLabel: pod.Labels[v1alpha1.ModelLabel]}
}

// roomAround is the depth of what policies put around an expression, which CEL counts against its limit: a policy that
// does not compile for one expression enforces no other either.
const roomAround = 10

// maxError is the longest that is said of an expression, of which CEL quotes the whole with each error.
const maxError = 600

type podValidation struct {
	program cel.Program
	message string
}

// podRule compiles expressions as the API server will. Nothing but `object`, `containers`, `commands` and `weights` is declared, so an
// expression can see nothing that the API server would show it and we could not.
func (c *Compiler) podRule(rule *v1alpha1.PodRule) (func(*corev1.Pod, Surroundings) []string, error) {
	validations := make([]podValidation, 0, len(rule.Validations))
	for i, v := range rule.Validations {
		program, err := c.program(c.pods, v.Expression)
		if err != nil {
			return nil, fmt.Errorf("spec.podRule.validations[%d].expression: %w", i, err)
		}
		validations = append(validations, podValidation{program, v.Message})
	}
	return func(pod *corev1.Pod, around Surroundings) []string {
		activation := c.activation(pod, around)
		var wrong []string
		for _, v := range validations {
			switch result, _, err := v.program.Eval(activation); {
			case err != nil:
				wrong = append(wrong, fmt.Sprintf("the rule cannot be evaluated: %v", err))
			case result.Value() != true:
				wrong = append(wrong, v.message)
			}
		}
		return wrong
	}, nil
}

// activation is what pod rules see. Containers and commands are listed when a rule first asks for them.
func (c *Compiler) activation(pod *corev1.Pod, around Surroundings) map[string]any {
	object := common.SchemalessTypedToVal(typed(pod))
	containers := func() ref.Val { return evaluated(c.containers, map[string]any{"object": object}) }
	commands := func() ref.Val { return evaluated(c.commands, map[string]any{"containers": containers}) }
	return map[string]any{"object": object, "containers": containers, "commands": commands, "weights": around.Weights}
}

func evaluated(program cel.Program, activation map[string]any) ref.Val {
	value, _, err := program.Eval(activation)
	if err != nil {
		return celtypes.WrapErr(err)
	}
	return value
}

// typed gives a pod its kind, which clients drop and the API server shows to expressions.
func typed(pod *corev1.Pod) *corev1.Pod {
	shallow := *pod
	shallow.TypeMeta = metav1.TypeMeta{APIVersion: corev1.SchemeGroupVersion.String(), Kind: "Pod"}
	return &shallow
}

func (c *Compiler) program(env *cel.Env, expression string) (cel.Program, error) {
	ast, issues := env.Compile(expression)
	if issues.Err() != nil {
		return nil, errors.New(decision.OneLine(issues.Err().Error(), maxError))
	}
	enclosed := strings.Repeat("(", roomAround) + "\n" + expression + "\n" + strings.Repeat(")", roomAround)
	if _, issues := env.Parse(enclosed); issues.Err() != nil {
		return nil, errors.New("is nested too deeply to be part of the policies that enforce it")
	}
	if out := ast.OutputType(); !out.IsExactType(cel.BoolType) && !out.IsExactType(cel.DynType) {
		return nil, fmt.Errorf("must yield a bool, but yields %s", out)
	}
	return env.Program(ast, cel.CostLimit(celconfig.PerCallLimit))
}
