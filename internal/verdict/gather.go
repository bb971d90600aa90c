package verdict

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	corev1 "k8s.io/api/core/v1"
	networkingv1 "k8s.io/api/networking/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/interlock-dev/interlock/api/v1alpha1"
	"github.com/interlock-dev/interlock/internal/admission"
	"github.com/interlock-dev/interlock/internal/decision"
	"github.com/interlock-dev/interlock/internal/safeguard"
	"github.com/interlock-dev/interlock/internal/workload"
)

// rereadOwners is how often the owners of pods are looked at for weights that they name: nothing says when these change
// without a change of pods.
const rereadOwners = 20 * time.Second

// Gatherer reads what judgements rest on. What no reader has comes in by the interfaces.
type Gatherer struct {
	// Reader lists by Indexes: the cache of an operator, or what stands in files.
	Reader client.Reader
	// Install says which namespaces are never enrolled, and names that whose Approvals count for all.
	Install admission.Install
	// EvidenceNamespace holds Attestations for the models of all namespaces.
	EvidenceNamespace string
	// Cluster identifies the cluster in statements.
	Cluster  string
	Evidence Evidence
	// Rules may be nil: then API servers enforce what they are asked to.
	Rules Rules
	// Stubs may be nil where the reader has none.
	Stubs Stubs
	// Workloads may be nil: then it is not known what workloads name weights by.
	Workloads Workloads
	// Memory may be nil: then a shortfall is what the clearances and the status of the model tell.
	Memory Memory
}

// Rules tell whether API servers enforce what was written for them.
type Rules interface {
	// Check says how long it takes until they enforce the rule of a Safeguard; zero, they do. The error says why they never will.
	Check(sg *v1alpha1.Safeguard, now time.Time) (time.Duration, error)
}

// Stubs put objects in the place of stubs of them, as far as there is room, and say how soon to look again. Zero means that no
// stubs are left.
type Stubs interface {
	Pods(ctx context.Context, pods []*corev1.Pod) (again time.Duration, err error)
	NetworkPolicies(ctx context.Context, policies []networkingv1.NetworkPolicy) (again time.Duration, err error)
	Attestations(ctx context.Context, all []*v1alpha1.Attestation) error
}

// Workloads tell what workloads name weights by.
type Workloads interface {
	Weights(ctx context.Context, pod *corev1.Pod) ([]workload.Named, error)
	WeightsOfStopped(ctx context.Context, model types.NamespacedName) ([]workload.Named, error)
}

// Memory holds shortfalls on their way into the clearances.
type Memory interface {
	// Shortfall gives what is remembered of a model, given the clearances of its namespace.
	Shortfall(model types.NamespacedName, written map[string]string) decision.Shortfall
}

// Gather reads all that the judgement on a model rests on.
func (g *Gatherer) Gather(ctx context.Context, now time.Time, md *v1alpha1.ModelDeployment) (*Snapshot, error) {
	s := &Snapshot{Now: now, Model: md, SharedNamespace: g.Install.Namespace}
	for _, read := range []func(context.Context, *Snapshot) error{
		g.safeguards, g.enrolments, g.assessments, g.signed, g.around, g.fill, g.weights, g.evidence,
	} {
		if err := read(ctx, s); err != nil {
			return nil, err
		}
	}
	return s, nil
}

// GatherUndeclared reads what there is of a model that is not declared: its pods, what is around them, and what is enforced.
func (g *Gatherer) GatherUndeclared(ctx context.Context, now time.Time, model types.NamespacedName) (*Snapshot, error) {
	s := &Snapshot{Now: now, Model: &v1alpha1.ModelDeployment{ObjectMeta: metav1.ObjectMeta{Namespace: model.Namespace, Name: model.Name}}}
	for _, read := range []func(context.Context, *Snapshot) error{g.enrolments, g.around} {
		if err := read(ctx, s); err != nil {
			return nil, err
		}
	}
	return s, nil
}

func (g *Gatherer) safeguards(ctx context.Context, s *Snapshot) error {
	safeguards := &v1alpha1.SafeguardList{}
	if err := g.Reader.List(ctx, safeguards); err != nil {
		return fmt.Errorf("list Safeguards: %w", err)
	}
	s.Safeguards = safeguards.Items
	if g.Rules == nil {
		return nil
	}
	s.Enforcement = map[string]Enforcement{}
	for i := range s.Safeguards {
		sg := &s.Safeguards[i]
		if _, ok := admission.RuleOf(sg); !ok {
			continue
		}
		wait, err := g.Rules.Check(sg, s.Now)
		s.Enforcement[sg.Name] = Enforcement{Wait: wait, Refused: err}
	}
	return nil
}

// enrolments finds the policies that the namespace names. A policy that does not exist is part of the answer; a look-up
// that fails is an error.
func (g *Gatherer) enrolments(ctx context.Context, s *Snapshot) error {
	ns := &metav1.PartialObjectMetadata{}
	ns.SetGroupVersionKind(corev1.SchemeGroupVersion.WithKind("Namespace"))
	if err := g.Reader.Get(ctx, client.ObjectKey{Name: s.Model.Namespace}, ns); err != nil {
		return fmt.Errorf("get namespace: %w", err)
	}
	if _, enforced := g.Install.Enforced(ns); !enforced {
		delete(ns.Labels, v1alpha1.EnforceLabel)
	}
	s.Namespace = ns
	for _, label := range v1alpha1.PolicyLabels {
		name, ok := ns.Labels[label]
		if !ok {
			continue
		}
		e := Enrolment{Label: label, PolicyName: name}
		if name != "" { // which no policy has
			policy := &v1alpha1.ScalingPolicy{}
			switch err := g.Reader.Get(ctx, client.ObjectKey{Name: name}, policy); {
			case err == nil:
				e.Policy = policy
			case !apierrors.IsNotFound(err):
				return fmt.Errorf("get ScalingPolicy: %w", err)
			}
		}
		s.Enrolments = append(s.Enrolments, e)
	}
	return nil
}

// assessments gathers what is known of the model's weights.
func (g *Gatherer) assessments(ctx context.Context, s *Snapshot) error {
	about := client.MatchingFields{ByDigest: s.Model.Spec.Model.Digest}
	assessments, reports := &v1alpha1.CapabilityAssessmentList{}, &v1alpha1.RiskReportList{}
	if err := g.Reader.List(ctx, assessments, about, client.UnsafeDisableDeepCopy); err != nil {
		return fmt.Errorf("list CapabilityAssessments: %w", err)
	}
	if err := g.Reader.List(ctx, reports, about, client.UnsafeDisableDeepCopy); err != nil {
		return fmt.Errorf("list RiskReports: %w", err)
	}
	s.Assessments, s.RiskReports = assessments.Items, reports.Items
	return nil
}

// signed gathers what people have approved, and the waivers.
func (g *Gatherer) signed(ctx context.Context, s *Snapshot) error {
	for _, namespace := range slices.Compact([]string{s.Model.Namespace, s.SharedNamespace}) {
		approvals := &v1alpha1.ApprovalList{}
		if err := g.Reader.List(ctx, approvals, client.InNamespace(namespace), client.UnsafeDisableDeepCopy); err != nil {
			return fmt.Errorf("list Approvals: %w", err)
		}
		s.Approvals = append(s.Approvals, approvals.Items...)
	}
	waivers := &v1alpha1.WaiverList{}
	if err := g.Reader.List(ctx, waivers, client.InNamespace(s.Model.Namespace), client.UnsafeDisableDeepCopy); err != nil {
		return fmt.Errorf("list Waivers: %w", err)
	}
	s.Waivers = waivers.Items
	return nil
}

// around gathers the pods of the model, the NetworkPolicies of the namespace, and what is enforced and remembered of the model.
func (g *Gatherer) around(ctx context.Context, s *Snapshot) error {
	pods, policies, here := &corev1.PodList{}, &networkingv1.NetworkPolicyList{}, client.InNamespace(s.Model.Namespace)
	if err := g.Reader.List(ctx, pods, here, client.MatchingFields{ByModel: s.Model.Name}, client.UnsafeDisableDeepCopy); err != nil {
		return fmt.Errorf("list pods: %w", err)
	}
	for i := range pods.Items {
		if safeguard.Living(&pods.Items[i]) {
			s.Pods = append(s.Pods, &pods.Items[i])
		}
	}
	if err := g.Reader.List(ctx, policies, here, client.UnsafeDisableDeepCopy); err != nil {
		return fmt.Errorf("list NetworkPolicies: %w", err)
	}
	s.NetworkPolicies = policies.Items
	var err error
	if s.Clearances, err = Clearances(ctx, g.Reader, s.Model.Namespace); err != nil {
		return err
	}
	if g.Memory != nil {
		s.Shortfall = g.Memory.Shortfall(s.Key(), s.Clearances)
	} else {
		s.Shortfall = admission.ShortfallOf(s.Clearances, s.Model.Name)
	}
	if s.Shortfall.IsZero() {
		s.Shortfall = reported(s.Model.Status.Shortfall)
	}
	return nil
}

// Clearances reads what the API server enforces of the models of a namespace, see admission.Find; nil, of none.
func Clearances(ctx context.Context, reader client.Reader, namespace string) (map[string]string, error) {
	clearances := &corev1.LimitRange{}
	key := client.ObjectKey{Namespace: namespace, Name: v1alpha1.ClearancesName}
	if err := reader.Get(ctx, key, clearances); client.IgnoreNotFound(err) != nil {
		return nil, fmt.Errorf("get clearances: %w", err)
	}
	return clearances.Annotations, nil
}

// reported gives the shortfall that a status tells of. It is what there is if the clearances were lost.
func reported(s *v1alpha1.Shortfall) decision.Shortfall {
	if s == nil {
		return decision.Shortfall{}
	}
	known := decision.Shortfall{Since: s.Since.UTC()}
	if s.QuietSince != nil && s.RememberedUntil != nil {
		known.QuietSince, known.Wait = s.QuietSince.UTC(), s.RememberedUntil.Sub(s.QuietSince.Time)
	}
	return known
}

// fill puts what is judged in the place of stubs, where the namespace is enrolled.
func (g *Gatherer) fill(ctx context.Context, s *Snapshot) error {
	if len(s.Enrolments) == 0 || g.Stubs == nil {
		return nil
	}
	pods, podsErr := g.Stubs.Pods(ctx, s.Pods)
	policies, policiesErr := g.Stubs.NetworkPolicies(ctx, s.NetworkPolicies)
	for _, again := range []time.Duration{pods, policies} {
		if again > 0 {
			s.Reread = decision.Sooner(s.Reread, s.Now.Add(again))
		}
	}
	return errors.Join(podsErr, policiesErr)
}

// weights finds what workloads of the model name weights by, if a policy asks for that.
func (g *Gatherer) weights(ctx context.Context, s *Snapshot) error {
	asked := slices.ContainsFunc(s.Enrolments, func(e Enrolment) bool {
		return s.names(e.Policy, func(sg *v1alpha1.Safeguard) bool { return sg.Spec.Resource != nil && sg.Spec.Resource.Weights != nil })
	})
	if !asked || g.Workloads == nil {
		return nil
	}
	stopped, err := g.Workloads.WeightsOfStopped(ctx, s.Key())
	if err != nil {
		return err
	}
	s.WeightsNamed = map[types.UID][]safeguard.Named{"": namedBy(stopped)}
	for _, pod := range s.Pods {
		named, err := g.Workloads.Weights(ctx, pod)
		if err != nil {
			return err
		}
		s.WeightsNamed[pod.UID] = namedBy(named)
	}
	if len(s.Pods)+len(stopped) > 0 {
		s.Reread = decision.Sooner(s.Reread, s.Now.Add(rereadOwners))
	}
	return nil
}

func namedBy(workloads []workload.Named) []safeguard.Named {
	all := make([]safeguard.Named, len(workloads))
	for i, n := range workloads {
		all[i] = safeguard.Named(n)
	}
	return all
}

// names says whether a policy names a Safeguard of some sort.
func (s *Snapshot) names(policy *v1alpha1.ScalingPolicy, sort func(*v1alpha1.Safeguard) bool) bool {
	if policy == nil {
		return false
	}
	var named []string
	for i := range s.Safeguards {
		if !sort(&s.Safeguards[i]) {
			continue
		}
		if named == nil {
			named = decision.Named(policy)
		}
		if slices.Contains(named, s.Safeguards[i].Name) {
			return true
		}
	}
	return false
}
