package check

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"

	corev1 "k8s.io/api/core/v1"
	networkingv1 "k8s.io/api/networking/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/types"
	apiadmission "k8s.io/apiserver/pkg/admission"
	"k8s.io/apiserver/pkg/authentication/user"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/interlock-dev/interlock/api/v1alpha1"
	"github.com/interlock-dev/interlock/internal/adjust"
	"github.com/interlock-dev/interlock/internal/admission"
	"github.com/interlock-dev/interlock/internal/admission/inprocess"
	"github.com/interlock-dev/interlock/internal/evidence"
	"github.com/interlock-dev/interlock/internal/manifests"
	"github.com/interlock-dev/interlock/internal/safeguard"
	"github.com/interlock-dev/interlock/internal/verdict"
	"github.com/interlock-dev/interlock/internal/workload"
)

// namespaces judges all that is enrolled, in the way of a cluster: the pods are created, what the model asks for is given to them and
// put around them, the models are judged, and the pods are admitted by that.
func (c *checking) namespaces(ctx context.Context) error {
	for _, name := range slices.Sorted(maps.Keys(c.enrolled)) {
		models, err := c.models(ctx, name)
		if err != nil {
			return err
		}
		standings := map[string]admission.Standing{}
		pods, err := c.created(name, standings)
		if err != nil {
			return err
		}
		results, err := c.judge(ctx, models, pods)
		if err != nil {
			return err
		}
		for model, r := range results {
			standings[model] = admission.Standing{Adjustments: r.Enforced.Adjustments}
		}
		if err := c.surround(models, results); err != nil {
			return err
		}
		if pods, err = c.created(name, standings); err != nil {
			return err
		}
		if results, err = c.judge(ctx, models, pods); err != nil {
			return err
		}
		for model, r := range results {
			standings[model] = r.Enforced.Standing()
		}
		for i := range models {
			c.report(&models[i], results[models[i].Name], pods)
		}
		for i, p := range c.pods[name] {
			if err := c.admit(p, pods[i], standings, results); err != nil {
				return err
			}
		}
	}
	return nil
}

// models gives the models of a namespace, in order.
func (c *checking) models(ctx context.Context, namespace string) ([]v1alpha1.ModelDeployment, error) {
	list := &v1alpha1.ModelDeploymentList{}
	if err := c.World.List(ctx, list, client.InNamespace(namespace)); err != nil {
		return nil, fmt.Errorf("list ModelDeployments: %w", err)
	}
	slices.SortFunc(list.Items, func(a, b v1alpha1.ModelDeployment) int { return strings.Compare(a.Name, b.Name) })
	return list.Items, nil
}

// created gives the pods of a namespace as an API server would create them while the models stand so.
func (c *checking) created(namespace string, standings map[string]admission.Standing) ([]*corev1.Pod, error) {
	var pods []*corev1.Pod
	for _, p := range c.pods[namespace] {
		a, err := c.create(p.Pod, standings)
		if err != nil {
			return nil, fmt.Errorf("%s: %w", manifests.Title(p.Of, p.Of.GetKind()), err)
		}
		pod := a.Object.(*corev1.Pod)
		pod.UID = p.UID // one of its own, by which findings are told apart
		pods = append(pods, pod)
	}
	return pods, nil
}

// create asks the API server's evaluator for a pod.
func (c *checking) create(pod *corev1.Pod, standings map[string]admission.Standing) (inprocess.Answer, error) {
	ns := c.enrolled[pod.Namespace]
	annotations, left := admission.Clearances{
		Sources: admission.Sources(ns.Name, c.declared, c.above), Policy: ns.Labels[v1alpha1.EnforceLabel],
		DefaultModel: ns.Labels[v1alpha1.ModelLabel], Coverage: ns.Labels[v1alpha1.CoverageLabel], Models: standings}.Annotations()
	if len(left) > 0 {
		return inprocess.Answer{}, fmt.Errorf("the clearances of namespace %s have no room for %s: serve them from another namespace", ns.Name, strings.Join(left, ", "))
	}
	clearances := &corev1.LimitRange{ObjectMeta: metav1.ObjectMeta{Namespace: ns.Name, Name: v1alpha1.ClearancesName, Annotations: annotations,
		Labels: map[string]string{v1alpha1.ManagedByLabel: v1alpha1.ManagedBy}}}
	server := &inprocess.Server{Policies: c.policies, Scheme: manifests.Scheme, Namespace: ns, Now: c.Now,
		Params: map[string]admission.Object{v1alpha1.ClearancesName: clearances}}
	return server.Serve(inprocess.Request{User: &user.DefaultInfo{Name: "somebody"}, Operation: apiadmission.Create,
		Resource: corev1.SchemeGroupVersion.WithResource("pods"), Object: pod})
}

// judge judges the models of a namespace with these pods.
func (c *checking) judge(ctx context.Context, models []v1alpha1.ModelDeployment, pods []*corev1.Pod) (map[string]*verdict.Result, error) {
	c.World.ReplacePods(pods)
	results := map[string]*verdict.Result{}
	for i := range models {
		s, err := c.gatherer.Gather(ctx, c.Now, &models[i])
		if err != nil {
			return nil, fmt.Errorf("ModelDeployment %s: %w", client.ObjectKeyFromObject(&models[i]), err)
		}
		r := verdict.Judge(c.Compiler.safeguards, s)
		results[models[i].Name] = &r
	}
	return results, nil
}

// surround puts the NetworkPolicies there that Safeguards ask for around models. No judgement rests on objects of other kinds.
func (c *checking) surround(models []v1alpha1.ModelDeployment, results map[string]*verdict.Result) error {
	for i := range models {
		md := &models[i]
		enforced := results[md.Name].Enforced
		for _, name := range enforced.Verdict.Rules() {
			compiled := c.safeguards[name]
			if compiled == nil {
				continue
			}
			for _, template := range compiled.Objects {
				if template.Kind != networkingv1.SchemeGroupVersion.WithKind("NetworkPolicy") {
					continue
				}
				o, err := template.Object(adjust.Values{Model: md.Name, Digest: md.Spec.Model.Digest, Namespace: md.Namespace,
					Policy: enforced.Policy, Safeguard: name})
				if err != nil {
					continue // The operator says so, and applies nothing.
				}
				policy := &networkingv1.NetworkPolicy{}
				if err := runtime.DefaultUnstructuredConverter.FromUnstructured(o.Object, policy); err != nil {
					continue // The API server refuses it.
				}
				if err := c.World.Replace(policy); err != nil {
					return err
				}
			}
		}
	}
	return nil
}

// at gives where a model is declared. One of the cluster is declared nowhere in the manifests.
func (c *checking) at(md *v1alpha1.ModelDeployment) manifests.Position {
	source, fromFile := c.World.Source(v1alpha1.GroupVersion.WithKind("ModelDeployment").GroupKind(), client.ObjectKeyFromObject(md))
	if !fromFile {
		return manifests.Position{}
	}
	return source.At("spec")
}

// report says what would be decided of a model. Findings about its pods are said of their workloads.
func (c *checking) report(md *v1alpha1.ModelDeployment, r *verdict.Result, pods []*corev1.Pod) {
	v := r.Enforced.Verdict
	m := Model{Namespace: md.Namespace, Name: md.Name, At: c.at(md), Policy: r.Enforced.Policy, Verdict: v.Outcome, Reason: v.Reason, Message: v.Message,
		DeploymentLevel: v.DeploymentLevel, SecurityLevel: v.SecurityLevel, SafeguardsMet: v.SafeguardsMet()}
	if !v.ValidUntil.IsZero() {
		m.ValidUntil = &v.ValidUntil
	}
	holding := v.Rules()
	for i := range v.Safeguards {
		s := &v.Safeguards[i]
		ofPods := slices.ContainsFunc(pods, func(p *corev1.Pod) bool { return r.Broken(p)[s.Name] != "" })
		if s.State != v1alpha1.SafeguardSatisfied && s.State != v1alpha1.SafeguardWaived && !ofPods {
			m.Findings = append(m.Findings, Finding{Safeguard: s.Name, Holds: slices.Contains(holding, s.Name), At: m.At, Message: s.Message, Remedy: s.Remedy})
		}
	}
	for i := range v.Thresholds {
		if t := &v.Thresholds[i]; t.Message != "" {
			holds := v.Reason == v1alpha1.ReasonSafeguardsUnspecified && strings.Contains(v.Message, t.Name)
			m.Findings = append(m.Findings, Finding{Holds: holds, At: m.At, Message: fmt.Sprintf("threshold %s is %s: %s", t.Name, t.State, t.Message), Remedy: t.Remedy})
		}
	}
	for i := range v.SignOffs {
		s := &v.SignOffs[i]
		if int32(len(s.Approvers)) < s.People {
			m.Findings = append(m.Findings, Finding{Holds: !v.Cleared(), At: m.At, Remedy: s.Remedy,
				Message: fmt.Sprintf("%s %s lacks the approval of %d in role %s, and no file can give it", s.Kind, s.Name, s.People-int32(len(s.Approvers)), s.Role)})
		}
	}
	for _, j := range r.Judgements {
		if j.Label != v1alpha1.EnforceLabel {
			m.Previews = append(m.Previews, Preview{Label: j.Label, Policy: j.Policy, Verdict: j.Verdict.Outcome, Message: j.Verdict.Message})
		}
	}
	c.result.Models = append(c.result.Models, m)
}

// admit says what would become of a pod once its model is decided.
func (c *checking) admit(p manifests.Pod, judged *corev1.Pod, standings map[string]admission.Standing, results map[string]*verdict.Result) error {
	a, err := c.create(p.Pod, standings)
	if err != nil {
		return err
	}
	w := workloadOf(p)
	w.Model = judged.Labels[v1alpha1.ModelLabel]
	r := results[w.Model]
	if r != nil {
		w.Findings = c.broken(p, judged, r)
	}
	for _, d := range a.Denials {
		if !slices.ContainsFunc(w.Findings, func(f Finding) bool { return strings.HasPrefix(d.Text, "Safeguard "+f.Safeguard+":") }) {
			w.Findings = append(w.Findings, Finding{Holds: true, At: p.At("metadata"), Message: d.Text})
		}
	}
	switch {
	case w.Model == "" && len(a.Denials) == 0:
		w.Fate, w.Why = FateFree, "it names no model, and asks for no accelerator"
	case len(a.Denials) > 0:
		w.Fate, w.Why = FateRefused, "the API server refuses its pods"
	case r == nil:
		w.Fate, w.Why = FateHeld, fmt.Sprintf("no ModelDeployment %s is declared in namespace %s: apply one, or correct the label "+v1alpha1.ModelLabel, w.Model, p.Namespace)
	case !r.Enforced.Verdict.Cleared():
		w.Fate, w.Why = FateHeld, fmt.Sprintf("model %s would not be cleared", w.Model)
	default:
		w.Fate = FateStarts
	}
	c.result.Workloads = append(c.result.Workloads, w)
	return nil
}

// broken says what is wrong with a pod, by each Safeguard that is asked for.
func (c *checking) broken(p manifests.Pod, judged *corev1.Pod, r *verdict.Result) []Finding {
	var all []Finding
	holding, wrong := r.Enforced.Verdict.Rules(), r.Broken(judged)
	for _, name := range slices.Sorted(maps.Keys(wrong)) {
		f := Finding{Safeguard: name, Holds: slices.Contains(holding, name), At: p.At("spec"), Message: wrong[name]}
		if compiled := c.safeguards[name]; compiled != nil {
			f.Remedy = compiled.Remedy
		}
		all = append(all, f)
	}
	return all
}

// inline verifies what Attestations hold themselves. What lies in registries is not asked for.
type inline struct{}

// Trust gives whom a policy trusts.
func (inline) Trust(policy *v1alpha1.ScalingPolicy) (*evidence.Trust, error) {
	return evidence.ParseTrust(policy.Spec.Trust)
}

var errInRegistry = errors.New("it lies in a registry, which is not asked")

// Attested verifies the statement of an Attestation.
func (inline) Attested(a *v1alpha1.Attestation, trust *evidence.Trust) []safeguard.Attested {
	found := safeguard.Attested{Name: a.Namespace + "/" + a.Name}
	if a.Spec.Content == "" {
		found.Err, found.Unfetched = errInRegistry, true
		return []safeguard.Attested{found}
	}
	found.Statement, found.Err = evidence.Verify([]byte(a.Spec.Content), trust)
	if found.Statement != nil && found.Statement.Undated() {
		found.Statement = found.Statement.SeenBy(a.CreationTimestamp.Time)
	}
	return []safeguard.Attested{found}
}

// naming tells what workloads name weights by, of those that stand in the manifests.
type naming struct{ *checking }

// Weights gives what the workload of a pod names weights by.
func (n naming) Weights(_ context.Context, pod *corev1.Pod) ([]workload.Named, error) {
	for _, p := range n.pods[pod.Namespace] {
		if p.UID == pod.UID {
			gvk := p.Of.GroupVersionKind()
			return n.Kinds.Of(gvk.Group, gvk.Kind).NamedBy(workload.Ref{Group: gvk.Group, Kind: gvk.Kind, Namespace: p.Namespace, Name: p.Of.GetName()}, p.Of.Object), nil
		}
	}
	return nil, nil
}

// WeightsOfStopped gives nothing: no workload is stopped before it is applied.
func (naming) WeightsOfStopped(context.Context, types.NamespacedName) ([]workload.Named, error) {
	return nil, nil
}
