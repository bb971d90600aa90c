// Package check says what would become of manifests on a cluster with Interlock, before they are applied.
//
// It asks the same code as a cluster: internal/verdict judges the models, and the API server's own evaluator the pods, by the
// policies of internal/admission. It reads nothing but the world that it is handed.
package check

import (
	"cmp"
	"context"
	"fmt"
	"maps"
	"slices"
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"

	"github.com/interlock-dev/interlock/api/v1alpha1"
	"github.com/interlock-dev/interlock/internal/admission"
	"github.com/interlock-dev/interlock/internal/admission/inprocess"
	"github.com/interlock-dev/interlock/internal/manifests"
	"github.com/interlock-dev/interlock/internal/safeguard"
	"github.com/interlock-dev/interlock/internal/verdict"
	"github.com/interlock-dev/interlock/internal/workload"
)

// Fate is what would become of the pods of a workload.
type Fate string

const (
	// FateStarts means that they would run.
	FateStarts Fate = "Starts"
	// FateHeld means that they would be created and wait at the gate.
	FateHeld Fate = "Held"
	// FateRefused means that the API server would not take them.
	FateRefused Fate = "Refused"
	// FateUnknown means that the manifests do not tell.
	FateUnknown Fate = "Unknown"
	// FateFree means that Interlock has no say in them.
	FateFree Fate = "Free"
)

// What is said of a model that is not judged, beside the outcomes of a decision.
const (
	OutcomeNotEnforced v1alpha1.Outcome = "NotEnforced"
	OutcomeUnknown     v1alpha1.Outcome = "Unknown"
)

// Passes says whether nothing keeps the pods of a workload from running, as far as Interlock goes.
func (w *Workload) Passes() bool { return w.Fate == FateStarts || w.Fate == FateFree }

// Passes says whether a model would be cleared, or need not be.
func (m *Model) Passes() bool {
	return m.Verdict == v1alpha1.OutcomeCleared || m.Verdict == OutcomeNotEnforced
}

// Input is what is to be checked.
type Input struct {
	World *manifests.World
	// Objects that would be applied. The World has applied them.
	Objects  []manifests.Object
	Kinds    *workload.Kinds
	Compiler *Compiler
	// Policy is enforced in all namespaces of the objects, whatever their labels say. Empty, the labels say it.
	Policy  string
	Install admission.Install
	// EvidenceNamespace and Cluster are as the operator has them.
	EvidenceNamespace, Cluster string
	Now                        time.Time
}

// Result is what would become of it.
type Result struct {
	Models    []Model    `json:"models,omitempty"`
	Workloads []Workload `json:"workloads,omitempty"`
	// NotShown is all that the manifests alone cannot tell.
	NotShown []string `json:"notShown,omitempty"`
	// Incomplete says that a part of the cluster could not be read, so that nothing passes.
	Incomplete bool `json:"incomplete,omitempty"`
	// Foreign counts the objects that Interlock does not look at.
	Foreign int `json:"foreign"`
}

// Model is what would be decided of a model.
type Model struct {
	Namespace string             `json:"namespace"`
	Name      string             `json:"name"`
	At        manifests.Position `json:"at"`
	Policy    string             `json:"policy"`
	Verdict   v1alpha1.Outcome   `json:"verdict"`
	Reason    string             `json:"reason"`
	Message   string             `json:"message"`
	// DeploymentLevel and SecurityLevel are those that would be required.
	DeploymentLevel string     `json:"deploymentLevel,omitempty"`
	SecurityLevel   string     `json:"securityLevel,omitempty"`
	ValidUntil      *time.Time `json:"validUntil,omitempty"`
	SafeguardsMet   string     `json:"safeguardsMet,omitempty"`
	// Findings are what would hold the model, those of its pods apart.
	Findings []Finding `json:"findings,omitempty"`
	// Previews are the verdicts under policies that are only warned of or audited.
	Previews []Preview `json:"previews,omitempty"`
}

// Preview is the verdict under a policy that is not enforced.
type Preview struct {
	Label   string           `json:"label"`
	Policy  string           `json:"policy"`
	Verdict v1alpha1.Outcome `json:"verdict"`
	Message string           `json:"message"`
}

// Workload is what would become of the pods of one template.
type Workload struct {
	Kind      string `json:"kind"`
	Namespace string `json:"namespace"`
	Name      string `json:"name"`
	// Template is the path of the template in the workload.
	Template string             `json:"template,omitempty"`
	At       manifests.Position `json:"at"`
	// Model that the pods would name.
	Model string `json:"model,omitempty"`
	Fate  Fate   `json:"fate"`
	Why   string `json:"why,omitempty"`
	// Findings are all that is wrong with the pods.
	Findings []Finding `json:"findings,omitempty"`
}

// Finding is one thing that is wrong, and what to do about it.
type Finding struct {
	// Safeguard that asks for it; empty, Interlock itself does.
	Safeguard string `json:"safeguard,omitempty"`
	// Holds says that it keeps pods from running. Else it is reported only.
	Holds   bool               `json:"holds"`
	At      manifests.Position `json:"at"`
	Message string             `json:"message"`
	Remedy  string             `json:"remedy,omitempty"`
}

// Passes says whether every model would be cleared and every pod would start.
func (r *Result) Passes() bool {
	return !r.Incomplete && !slices.ContainsFunc(r.Models, func(m Model) bool { return !m.Passes() }) &&
		!slices.ContainsFunc(r.Workloads, func(w Workload) bool { return !w.Passes() })
}

// Compiler compiles what several checks have in common once. It is safe for concurrent use.
type Compiler struct {
	safeguards *safeguard.Compiler
	policies   *inprocess.Compiler
}

// NewCompiler returns a Compiler that has compiled nothing yet.
func NewCompiler() (*Compiler, error) {
	safeguards, err := safeguard.NewCompiler()
	return &Compiler{safeguards, inprocess.NewCompiler()}, err
}

// Run checks the input. The error tells of what could not be looked at.
func Run(ctx context.Context, in Input) (*Result, error) {
	c := &checking{Input: in, result: &Result{}, pods: map[string][]manifests.Pod{}}
	for _, step := range []func(context.Context) error{c.workloads, c.enrol, c.compile, c.namespaces} {
		if err := step(ctx); err != nil {
			return nil, err
		}
	}
	c.notShown()
	return c.result, nil
}

// checking is one check on its way.
type checking struct {
	Input
	result *Result
	// pods by namespace.
	pods map[string][]manifests.Pod
	// enrolled are the namespaces to be judged, by name.
	enrolled map[string]*corev1.Namespace

	gatherer   *verdict.Gatherer
	safeguards map[string]*safeguard.Compiled
	policies   *inprocess.Policies
	// declared are the models of the cluster.
	declared []admission.Declaration
	above    func(level, other string) bool
}

// workloads makes the pods of all workloads.
func (c *checking) workloads(context.Context) error {
	for _, o := range c.Objects {
		gvk := o.GroupVersionKind()
		kind := c.Kinds.Of(gvk.Group, gvk.Kind)
		if kind == nil {
			if !manifests.Bears(gvk) {
				c.result.Foreign++
			}
			continue
		}
		pods, err := manifests.Pods(o, kind)
		if err != nil {
			c.unknown(o, fmt.Sprintf("no pods can be made of it: %v", err))
			continue
		}
		if len(pods) == 0 {
			c.unknown(o, fmt.Sprintf("the controller of %s makes its pods, and its manifest does not tell how they look; see what Interlock says of them on a cluster", gvk.Kind))
			continue
		}
		if kind.Adds != "" {
			c.result.NotShown = append(c.result.NotShown, fmt.Sprintf("%s: its controller adds %s", manifests.Title(o, gvk.Kind), kind.Adds))
		}
		c.pods[o.GetNamespace()] = append(c.pods[o.GetNamespace()], pods...)
	}
	return nil
}

func (c *checking) unknown(o manifests.Object, why string) {
	c.result.Workloads = append(c.result.Workloads, Workload{Kind: o.GetKind(), Namespace: o.GetNamespace(), Name: o.GetName(),
		At: o.At(), Fate: FateUnknown, Why: why})
}

// enrol finds the namespaces in which a policy is enforced.
func (c *checking) enrol(ctx context.Context) error {
	c.enrolled = map[string]*corev1.Namespace{}
	names := map[string]bool{}
	for _, o := range c.Objects {
		if gvk := o.GroupVersionKind(); gvk.Kind == "ModelDeployment" || c.Kinds.Of(gvk.Group, gvk.Kind) != nil {
			names[o.GetNamespace()] = true
		}
	}
	for _, name := range slices.Sorted(maps.Keys(names)) {
		ns, err := c.namespace(ctx, name)
		if err != nil {
			return err
		}
		if ns == nil {
			c.result.NotShown = append(c.result.NotShown, fmt.Sprintf("namespace %s is not among the manifests, so it is not known which policy it enforces: "+
				"add the Namespace, or name the policy with --policy", name))
			err = c.leave(ctx, name, FateUnknown, OutcomeUnknown, "it is not known which policy namespace "+name+" enforces")
		} else if _, enforced := c.Install.Enforced(ns); enforced {
			c.enrolled[name] = ns
		} else {
			err = c.leave(ctx, name, FateFree, OutcomeNotEnforced,
				fmt.Sprintf("namespace %s enforces no policy: it has no label %s", name, v1alpha1.EnforceLabel))
		}
		if err != nil {
			return err
		}
	}
	return nil
}

// namespace gives a namespace as it is to be judged; nil, nothing is known of it.
func (c *checking) namespace(ctx context.Context, name string) (*corev1.Namespace, error) {
	ns := &metav1.PartialObjectMetadata{}
	ns.SetGroupVersionKind(corev1.SchemeGroupVersion.WithKind("Namespace"))
	err := c.World.Get(ctx, types.NamespacedName{Name: name}, ns)
	if manifests.IsMissing(err) {
		if c.Policy == "" {
			return nil, nil
		}
		ns.Name, err = name, nil
	}
	if err != nil {
		return nil, fmt.Errorf("get namespace %s: %w", name, err)
	}
	labels := maps.Clone(ns.Labels)
	if labels == nil {
		labels = map[string]string{}
	}
	labels[corev1.LabelMetadataName] = name
	if c.Policy != "" {
		labels[v1alpha1.EnforceLabel] = c.Policy
	}
	judged := &corev1.Namespace{ObjectMeta: metav1.ObjectMeta{Name: name, UID: ns.UID, Labels: labels, Annotations: ns.Annotations}}
	return judged, c.World.Replace(judged)
}

// leave says of the models and pods of a namespace that they are not judged.
func (c *checking) leave(ctx context.Context, namespace string, fate Fate, outcome v1alpha1.Outcome, why string) error {
	for _, p := range c.pods[namespace] {
		w := workloadOf(p)
		w.Fate, w.Why = fate, why
		c.result.Workloads = append(c.result.Workloads, w)
	}
	delete(c.pods, namespace)
	models, err := c.models(ctx, namespace)
	for i := range models {
		c.result.Models = append(c.result.Models, Model{
			Namespace: namespace, Name: models[i].Name, At: c.at(&models[i]), Verdict: outcome, Reason: string(outcome), Message: why})
	}
	return err
}

func workloadOf(p manifests.Pod) Workload {
	w := Workload{Kind: p.Of.GetKind(), Namespace: p.Namespace, Name: cmp.Or(p.Of.GetName(), p.Of.GetGenerateName()), At: p.At(), Model: p.Labels[v1alpha1.ModelLabel]}
	for i, part := range p.Template {
		if i > 0 {
			w.Template += "."
		}
		w.Template += part
	}
	return w
}

// compile makes the policies ready that judge pods.
func (c *checking) compile(ctx context.Context) (err error) {
	if len(c.enrolled) == 0 {
		return nil
	}
	c.gatherer = &verdict.Gatherer{Reader: c.World, Install: c.Install, EvidenceNamespace: c.EvidenceNamespace, Cluster: c.Cluster,
		Evidence: inline{}, Workloads: naming{c}}
	safeguards, policies, models := &v1alpha1.SafeguardList{}, &v1alpha1.ScalingPolicyList{}, &v1alpha1.ModelDeploymentList{}
	if err := c.World.List(ctx, safeguards); err != nil {
		return fmt.Errorf("list Safeguards: %w", err)
	}
	if err := c.World.List(ctx, policies); err != nil {
		return fmt.Errorf("list ScalingPolicies: %w", err)
	}
	if err := c.World.List(ctx, models); err != nil {
		return fmt.Errorf("list ModelDeployments: %w", err)
	}
	var rules []admission.Rule
	c.safeguards = map[string]*safeguard.Compiled{}
	for i := range safeguards.Items {
		sg := &safeguards.Items[i]
		compiled, err := c.Compiler.safeguards.Compile(sg)
		if err != nil {
			continue // The verdict says what is wrong with it.
		}
		c.safeguards[sg.Name] = compiled
		if rule, ok := admission.RuleOf(sg); ok {
			rules = append(rules, rule)
		}
	}
	c.declared, c.above = admission.Declarations(models.Items), admission.Above(policies.Items)
	objects := slices.DeleteFunc(admission.Policies(c.Install, rules), func(o admission.Object) bool {
		return o.GetName() != admission.HoldPolicy && o.GetName() != admission.AdmitPolicy
	})
	c.policies, err = c.Compiler.policies.Compile(objects)
	return err
}

// notShown says what only a cluster can tell.
func (c *checking) notShown() {
	for kind, err := range c.World.Unread() {
		c.result.Incomplete = true
		c.result.NotShown = append(c.result.NotShown, fmt.Sprintf("%s of the cluster could not be read, and count as if there were none: %v", kind.Kind, err))
	}
	slices.Sort(c.result.NotShown)
	c.result.NotShown = slices.Compact(c.result.NotShown)
	slices.SortStableFunc(c.result.Workloads, func(a, b Workload) int {
		return cmp.Or(cmp.Compare(a.Namespace, b.Namespace), cmp.Compare(a.Kind, b.Kind), cmp.Compare(a.Name, b.Name), cmp.Compare(a.Template, b.Template))
	})
}
