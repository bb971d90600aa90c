package modeldeployment

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	corev1 "k8s.io/api/core/v1"
	networkingv1 "k8s.io/api/networking/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/interlock-dev/interlock/api/v1alpha1"
	"github.com/interlock-dev/interlock/controllers/assessment"
	"github.com/interlock-dev/interlock/controllers/attestation"
	"github.com/interlock-dev/interlock/controllers/fresh"
	"github.com/interlock-dev/interlock/controllers/verdicts"
	"github.com/interlock-dev/interlock/internal/admission"
	"github.com/interlock-dev/interlock/internal/decision"
	"github.com/interlock-dev/interlock/internal/safeguard"
	"github.com/interlock-dev/interlock/internal/workload"
)

// gathered is all that the decision on one model rests on.
type gathered struct {
	model *v1alpha1.ModelDeployment
	// labels of the namespace.
	labels    map[string]string
	enrolment []enrolment
	// assessments of the model's weights.
	assessments []v1alpha1.CapabilityAssessment
	// riskReports that cover the model's weights.
	riskReports []v1alpha1.RiskReport
	// approvals in the model's namespace and in the one that serves all, and waivers of the namespace.
	approvals []v1alpha1.Approval
	waivers   []v1alpha1.Waiver
	// shared is the namespace that serves all.
	shared string
	// safeguards are all that exist.
	safeguards []v1alpha1.Safeguard
	pods       []*corev1.Pod
	// workloads that own the pods, and whether they are to be stopped.
	workloads []workload.Workload
	stopDue   bool
	// networkPolicies are all of the namespace; around has those that are not ours.
	networkPolicies []networkingv1.NetworkPolicy
	around          safeguard.Surroundings
	// compiled Safeguards by name, and for those that cannot be used, why.
	compiled map[string]*safeguard.Compiled
	unusable map[string]string
	// evidence says what becomes of attestations.
	evidence *attestation.Source
	// environment says by which digests statements name the model's namespace.
	environment safeguard.Environment
	// attestations that may be about the model.
	attestations []*v1alpha1.Attestation
	// unfetched names the Safeguards that what lies in a registry might show, which has not been fetched yet.
	unfetched map[string]bool
	// dated is when the next statement that is dated in the future comes to count; zero, there is none.
	dated time.Time
	// given holds what Safeguards give to pods, by name.
	given map[string]admission.Rule
	// closed names the Safeguards that refuse requests into running pods.
	closed map[string]bool
	// podRules names the Safeguards that are pod rules, and readsWeights those of them that look at what is declared of weights.
	podRules, readsWeights map[string]bool
	// pending names those pod rules that the API server does not enforce yet, and when it will.
	pending map[string]time.Time
	// lookAgain is when the owners of the pods, which nobody watches, and pods that should be gone are looked at again. Zero means
	// never.
	lookAgain time.Time
	// settled is the time at which that of a rule that the model needs comes; zero, it waits for none.
	settled time.Time
	// onlyWaits says that the model meets all that is asked and waits for nothing but that.
	onlyWaits bool
	// standing says that the model is cleared now, and lease until when; clearances are those of the namespace.
	standing   bool
	lease      time.Time
	clearances map[string]string
	// proof says how fresh all this is; without one, nothing may be loosened by it.
	proof fresh.Proof
	// openings are the labels that would undo safeguards which the policy that is enforced asks for.
	openings []string
	// known is what was remembered of the model's shortfall before it was judged, and shortfall what is since.
	known, shortfall decision.Shortfall
	// terminating says that the namespace is on its way out.
	terminating bool
	// inspection is by the Safeguards of the policy that is enforced, and basis what the verdict under it rests on.
	inspection safeguard.Inspection
	basis      []decision.Object
}

// enrolment is one label of the namespace and the policy that it names, nil when there is none.
type enrolment struct {
	label, policyName string
	policy            *v1alpha1.ScalingPolicy
}

func (r *Reconciler) gather(ctx context.Context, now time.Time, md *v1alpha1.ModelDeployment) (*gathered, error) {
	g := &gathered{model: md, evidence: r.Evidence, shared: r.Install.Namespace, unfetched: map[string]bool{}}
	safeguards := &v1alpha1.SafeguardList{}
	if err := r.Client.List(ctx, safeguards); err != nil {
		return nil, fmt.Errorf("list Safeguards: %w", err)
	}
	g.safeguards = safeguards.Items
	r.compile(g, now, safeguards.Items)
	if err := r.enrolments(ctx, g); err != nil {
		return nil, err
	}
	assessments := &v1alpha1.CapabilityAssessmentList{}
	if err := r.Client.List(ctx, assessments, client.MatchingFields{assessment.ByDigest: md.Spec.Model.Digest}, client.UnsafeDisableDeepCopy); err != nil {
		return nil, fmt.Errorf("list CapabilityAssessments: %w", err)
	}
	g.assessments = assessments.Items
	reports := &v1alpha1.RiskReportList{}
	if err := r.Client.List(ctx, reports, client.MatchingFields{assessment.ByDigest: md.Spec.Model.Digest}, client.UnsafeDisableDeepCopy); err != nil {
		return nil, fmt.Errorf("list RiskReports: %w", err)
	}
	g.riskReports = reports.Items
	if err := r.signed(ctx, g); err != nil {
		return nil, err
	}
	var err error
	if g.pods, err = r.pods(ctx, client.ObjectKeyFromObject(md)); err != nil {
		return nil, err
	}
	if err := r.clearance(ctx, g); err != nil {
		return nil, err
	}
	if err := r.surroundings(ctx, g); err != nil {
		return nil, err
	}
	if err := r.fill(ctx, now, g); err != nil {
		return nil, err
	}
	if err := r.weightsNamed(ctx, now, g); err != nil {
		return nil, err
	}
	if g.attestations, err = r.attestations(ctx, g); err != nil {
		return nil, err
	}
	return g, nil
}

// surroundings gathers the NetworkPolicies of the namespace.
func (r *Reconciler) surroundings(ctx context.Context, g *gathered) error {
	policies := &networkingv1.NetworkPolicyList{}
	if err := r.Client.List(ctx, policies, client.InNamespace(g.model.Namespace), client.UnsafeDisableDeepCopy); err != nil {
		return fmt.Errorf("list NetworkPolicies: %w", err)
	}
	g.networkPolicies, g.around.Weights = policies.Items, g.model.Spec.Model.Sources
	return nil
}

// fill puts what is judged in the place of stubs, where the namespace is enrolled. What isolates models is left out of what is
// around the pods: else what is done about a lack of NetworkPolicies would make up for it.
func (r *Reconciler) fill(ctx context.Context, now time.Time, g *gathered) error {
	if len(g.enrolment) == 0 {
		return nil
	}
	pods, podsErr := r.Tenants.Pods(ctx, g.pods)
	policies, policiesErr := r.Tenants.NetworkPolicies(ctx, g.networkPolicies)
	for _, again := range []time.Duration{pods, policies} {
		if again > 0 {
			g.lookAgain = decision.Sooner(g.lookAgain, now.Add(again))
		}
	}
	g.around.NetworkPolicies = slices.DeleteFunc(slices.Clone(g.networkPolicies), func(p networkingv1.NetworkPolicy) bool {
		return workload.IsIsolation(&p)
	})
	return errors.Join(podsErr, policiesErr)
}

// signed gathers what people have approved, and the waivers.
func (r *Reconciler) signed(ctx context.Context, g *gathered) error {
	for _, namespace := range slices.Compact([]string{g.model.Namespace, g.shared}) {
		approvals := &v1alpha1.ApprovalList{}
		if err := r.Client.List(ctx, approvals, client.InNamespace(namespace), client.UnsafeDisableDeepCopy); err != nil {
			return fmt.Errorf("list Approvals: %w", err)
		}
		g.approvals = append(g.approvals, approvals.Items...)
	}
	waivers := &v1alpha1.WaiverList{}
	if err := r.Client.List(ctx, waivers, client.InNamespace(g.model.Namespace), client.UnsafeDisableDeepCopy); err != nil {
		return fmt.Errorf("list Waivers: %w", err)
	}
	g.waivers = waivers.Items
	return nil
}

// pods gives the living pods of a model.
func (r *Reconciler) pods(ctx context.Context, model types.NamespacedName) ([]*corev1.Pod, error) {
	list := &corev1.PodList{}
	if err := r.Client.List(ctx, list, client.InNamespace(model.Namespace), client.MatchingFields{PodsByModel: model.Name},
		client.UnsafeDisableDeepCopy); err != nil {
		return nil, fmt.Errorf("list pods: %w", err)
	}
	var pods []*corev1.Pod
	for i := range list.Items {
		if safeguard.Living(&list.Items[i]) {
			pods = append(pods, &list.Items[i])
		}
	}
	return pods, nil
}

func (r *Reconciler) compile(g *gathered, now time.Time, safeguards []v1alpha1.Safeguard) {
	g.compiled, g.unusable, g.podRules, g.readsWeights = map[string]*safeguard.Compiled{}, map[string]string{}, map[string]bool{}, map[string]bool{}
	g.pending, g.given, g.closed = map[string]time.Time{}, map[string]admission.Rule{}, map[string]bool{}
	for i := range safeguards {
		sg := &safeguards[i]
		compiled, err := r.Compiler.Compile(sg)
		if rule, ok := admission.RuleOf(sg); ok && err == nil {
			g.podRules[sg.Name], g.readsWeights[sg.Name] = sg.Spec.PodRule != nil, rule.ReadsWeights()
			if rule.Adjust != nil {
				g.given[sg.Name] = rule
			}
			g.closed[sg.Name] = rule.Connect != nil
			var wait time.Duration
			if wait, err = r.Rules.Check(sg, now); wait > 0 {
				g.pending[sg.Name] = now.Add(wait)
			}
		}
		if err != nil {
			g.unusable[sg.Name] = err.Error()
			continue
		}
		g.compiled[sg.Name] = compiled
	}
}

// enrolments finds the policies that the namespace names. A policy that does not exist is part of the answer; a look-up
// that fails is an error.
func (r *Reconciler) enrolments(ctx context.Context, g *gathered) error {
	ns, err := r.namespace(ctx, g.model.Namespace)
	if err != nil {
		return err
	}
	g.labels, g.terminating = ns.Labels, ns.DeletionTimestamp != nil
	labels := ns.Labels
	for _, label := range v1alpha1.PolicyLabels {
		name, ok := labels[label]
		if !ok {
			continue
		}
		e := enrolment{label: label, policyName: name}
		policy := &v1alpha1.ScalingPolicy{}
		err := r.Client.Get(ctx, client.ObjectKey{Name: name}, policy)
		switch {
		case name == "": // No policy has such a name, and the client asks for none.
		case err == nil:
			e.policy = policy
		case !apierrors.IsNotFound(err):
			return fmt.Errorf("get ScalingPolicy: %w", err)
		}
		g.enrolment = append(g.enrolment, e)
	}
	return nil
}

// namespace gives a namespace with its labels, less the one that enforces a policy where that is never done.
func (r *Reconciler) namespace(ctx context.Context, name string) (*metav1.PartialObjectMetadata, error) {
	ns := &metav1.PartialObjectMetadata{}
	ns.SetGroupVersionKind(corev1.SchemeGroupVersion.WithKind("Namespace"))
	if err := r.Client.Get(ctx, client.ObjectKey{Name: name}, ns); err != nil {
		return nil, fmt.Errorf("get namespace: %w", err)
	}
	if _, enforced := r.Install.Enforced(ns); !enforced {
		delete(ns.Labels, v1alpha1.EnforceLabel)
	}
	return ns, nil
}

// clearance finds what is enforced of the model.
func (r *Reconciler) clearance(ctx context.Context, g *gathered) error {
	enforced, err := verdicts.Enforced(ctx, r.Client, g.model.Namespace)
	s := admission.Find(enforced, g.model.Name)
	g.standing, g.lease, g.clearances = s.Cleared(), s.ValidUntil, enforced
	if g.known = r.Board.Shortfall(client.ObjectKeyFromObject(g.model), enforced); g.known.IsZero() {
		g.known = reported(g.model.Status.Shortfall)
	}
	return err
}

// decide gives the judgement under each policy that the namespace names.
func (g *gathered) decide(now time.Time) []verdicts.Judgement {
	judgements := make([]verdicts.Judgement, 0, len(g.enrolment))
	for _, e := range g.enrolment {
		in := decision.Input{
			Now: now, PolicyName: e.policyName, Policy: e.policy, Model: g.model, Assessments: g.assessments, RiskReports: g.riskReports, AdmittedPods: len(g.admitted()),
			Specs: g.specs(e.policy), PodRules: g.podRules, Approvals: g.approvals, Waivers: g.waivers, SharedNamespace: g.shared}
		if decision.AsksApprovalOf(e.policy, v1alpha1.SubjectPolicy) {
			in.PolicyDigest, in.PolicyAuthors = decision.Digest(e.policy, g.safeguards), g.authorsOf(e.policy)
		}
		in.Findings = g.inspect(e, in)
		if e.label == v1alpha1.EnforceLabel {
			g.awaitRules(in)
		}
		v := decision.Decide(in)
		if e.label == v1alpha1.EnforceLabel {
			g.basis = decision.Basis(in, v)
		}
		judgements = append(judgements, verdicts.Judgement{
			Label: e.label, Policy: e.policyName, PolicyDigest: decision.DigestUsed(in, v), Verdict: v, Advice: g.advice(e.policyName, v),
			Adjustments: g.adjustments(v), Connect: g.connects(v), Weights: g.weights(v), Openings: g.openings})
	}
	return judgements
}

func (g *gathered) key() types.NamespacedName {
	return types.NamespacedName{Namespace: g.model.Namespace, Name: g.model.Name}
}

// authorsOf names who wrote a policy and the Safeguards that it names.
func (g *gathered) authorsOf(policy *v1alpha1.ScalingPolicy) []string {
	authors := decision.AuthorsOf(policy.Annotations)
	named := decision.Named(policy)
	for i := range g.safeguards {
		if slices.Contains(named, g.safeguards[i].Name) {
			authors = append(authors, decision.AuthorsOf(g.safeguards[i].Annotations)...)
		}
	}
	return authors
}

// specs gives the digests of what the Safeguards that can be used ask, and of whom the policy believes that.
func (g *gathered) specs(policy *v1alpha1.ScalingPolicy) map[string]string {
	specs := make(map[string]string, len(g.compiled))
	for name, compiled := range g.compiled {
		specs[name] = compiled.SpecDigest
		if compiled.Attestable() && policy != nil {
			specs[name] += decision.TrustDigest(policy.Spec.Trust, compiled.Signers())
		}
	}
	return specs
}

// inspect judges the pods, and the evidence, by the Safeguards that a policy asks for.
func (g *gathered) inspect(e enrolment, in decision.Input) map[string]decision.Finding {
	var usable, attestable []*safeguard.Compiled
	asked := decision.AskedOf(in)
	for _, name := range asked.Required {
		compiled, ok := g.compiled[name]
		if ok && (slices.Contains(asked.Reported, name) || slices.Contains(asked.Waived, name)) {
			compiled = compiled.OnlyReported()
		}
		switch {
		case ok && compiled.Attestable():
			attestable = append(attestable, compiled)
		case ok:
			usable = append(usable, compiled)
		}
	}
	around := g.around
	around.Now, around.Exempt = in.Now, asked.Exempt
	inspection := safeguard.Inspect(g.key(), usable, g.pods, around)
	g.lookAgain = decision.Sooner(g.lookAgain, inspection.Revisit)
	g.closeOpenings(usable, asked, inspection.Findings)
	for _, name := range asked.Required {
		if why, ok := g.unusable[name]; ok {
			inspection.Findings[name] = decision.Finding{
				State: v1alpha1.SafeguardUnknown, Message: "the Safeguard cannot be used: " + why, Remedy: "have the Safeguard corrected"}
		}
	}
	g.attest(e, in.Now, attestable, inspection.Findings)
	for _, c := range admission.Conflicts(g.givenBy(asked.Required)) {
		for _, name := range []string{c.One, c.Other} {
			inspection.Findings[name] = decision.Finding{
				State: v1alpha1.SafeguardUnknown, Message: c.String(), Remedy: "have the adjustments of the Safeguards agree"}
		}
	}
	if e.label == v1alpha1.EnforceLabel {
		g.inspection = inspection
	}
	return inspection.Findings
}

// givenBy gives what those of the named Safeguards give to pods that give anything.
func (g *gathered) givenBy(safeguards []string) []admission.Rule {
	var given []admission.Rule
	for _, name := range slices.Sorted(slices.Values(safeguards)) {
		if rule, ok := g.given[name]; ok {
			given = append(given, rule)
		}
	}
	return given
}

// adjustments names the Safeguards that hold the model under a verdict and give its pods something.
func (g *gathered) adjustments(v decision.Verdict) []string {
	var names []string
	for _, rule := range g.givenBy(v.Rules()) {
		names = append(names, rule.Safeguard)
	}
	return names
}

// connects names the Safeguards that hold the model under a verdict and refuse requests into running pods.
func (g *gathered) connects(v decision.Verdict) []string {
	return slices.DeleteFunc(v.Rules(), func(name string) bool { return !g.closed[name] })
}

// awaitRules lets a model that is not cleared wait until the API server enforces all pod rules that it needs: until then
// nothing would keep out a pod that breaks one. A model that is cleared is not revoked because a rule is new; its pods
// are judged by it all the same.
func (g *gathered) awaitRules(in decision.Input) {
	if g.standing || len(g.pending) == 0 {
		return
	}
	met := decision.Decide(in).Cleared()
	for name, at := range g.pending {
		if f, asked := in.Findings[name]; !asked || f.State != v1alpha1.SafeguardSatisfied {
			continue
		}
		in.Findings[name] = decision.Finding{
			State: v1alpha1.SafeguardUnknown, Message: "the rule is new, and the API server does not enforce it yet",
			Remedy: "wait some seconds"}
		g.onlyWaits = met
		if at.After(g.settled) {
			g.settled = at
		}
	}
}

// advice words what is missing besides pod rules, which are judged on the template of the workload that is applied.
func (g *gathered) advice(policy string, v decision.Verdict) string {
	if v.Cleared() {
		return ""
	}
	var parts []string
	for _, s := range v.Safeguards {
		if s.State != v1alpha1.SafeguardSatisfied && s.State != v1alpha1.SafeguardWaived && !(g.podRules[s.Name] && s.State == v1alpha1.SafeguardMissing) {
			parts = append(parts, fmt.Sprintf("%s: %s. %s", s.Name, s.Message, s.Remedy))
		}
	}
	switch {
	case len(v.Safeguards) == 0:
		parts = []string{v.Message}
	case len(parts) == 0:
		return ""
	}
	return bounded(fmt.Sprintf("model %q is not cleared under %s: %s", g.model.Name, policy, strings.Join(parts, "; ")))
}

// admitted pods are past the gate.
func (g *gathered) admitted() []*corev1.Pod {
	return slices.DeleteFunc(slices.Clone(g.pods), safeguard.Held)
}

// fit pods are held and have nothing wrong with them.
func (g *gathered) fit() []*corev1.Pod {
	return slices.DeleteFunc(g.held(), func(p *corev1.Pod) bool { return !g.inspection.Fit(p) })
}

// held pods wait at it.
func (g *gathered) held() []*corev1.Pod {
	return slices.DeleteFunc(slices.Clone(g.pods), func(p *corev1.Pod) bool { return !safeguard.Held(p) })
}
