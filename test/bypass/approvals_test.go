package bypass

import (
	"context"
	"strings"
	"time"

	. "github.com/onsi/ginkgo/v2"
	. "github.com/onsi/gomega"
	admissionv1 "k8s.io/api/admissionregistration/v1"
	corev1 "k8s.io/api/core/v1"
	rbacv1 "k8s.io/api/rbac/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/client-go/rest"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/interlock-dev/interlock/api/v1alpha1"
	"github.com/interlock-dev/interlock/internal/admission"
	"github.com/interlock-dev/interlock/internal/decision"
	"github.com/interlock-dev/interlock/internal/testing/builder"
	"github.com/interlock-dev/interlock/internal/testing/stack"
)

const (
	needsVerb       = "needs the RBAC verb approve"
	nobodyElse      = "is noted by the API server"
	noImpersonation = "cannot be made by impersonating"
	notInterlock    = "Interlock itself can neither approve nor waive"
)

func approvalTricks() {
	It("28: an approval through impersonation is refused, of whomever and in whatever form", func(ctx SpecContext) {
		t := newTenant(ctx, policyName)
		grantCluster(ctx, platform, t.namespace+"-impersonator", rbacv1.PolicyRule{
			APIGroups: []string{""}, Resources: []string{"users", "groups"}, Verbs: []string{"impersonate"}})
		platform.waitMay(ctx, "", "impersonate", "", "users")
		for _, as := range []rest.ImpersonationConfig{{UserName: officer.name}, {UserName: officer.name, Groups: []string{"system:masters"}}} {
			posing := impersonating(platform.name, as)
			Expect(posing.Create(ctx, t.approval("posed", "rso"))).To(beRefusedBy(admission.AuthorityPolicy, noImpersonation))
			applying := patching("server-side apply", types.ApplyPatchType, "", anything{"spec": t.approval("posed", "rso").Spec})
			Expect(applying.do(ctx, posing, t.approval("posed", "rso"))).To(beRefusedBy(admission.AuthorityPolicy, noImpersonation))
		}
		Expect(impersonating(platform.name, rest.ImpersonationConfig{UserName: insider.name}).Create(ctx, t.waiver("posed"))).
			To(beRefusedBy(admission.AuthorityPolicy, noImpersonation))
		Expect(officer.Create(ctx, t.approval("own", "rso"))).To(Succeed())
	})

	It("28: the verb to approve counts only where no owner of a namespace can grant it", func(ctx SpecContext) {
		t := newTenant(ctx, policyName)
		role := &rbacv1.Role{ObjectMeta: metav1.ObjectMeta{Namespace: t.namespace, Name: "rso"}, Rules: []rbacv1.PolicyRule{{
			APIGroups: []string{v1alpha1.GroupVersion.Group}, Resources: []string{"approvals"}, ResourceNames: []string{"rso"},
			Verbs: []string{v1alpha1.ApproveVerb}}}}
		Expect(t.owner.Create(ctx, role)).To(Succeed())
		Expect(t.owner.Create(ctx, &rbacv1.RoleBinding{
			ObjectMeta: metav1.ObjectMeta{Namespace: t.namespace, Name: "rso"},
			RoleRef:    rbacv1.RoleRef{APIGroup: rbacv1.GroupName, Kind: "Role", Name: "rso"}, Subjects: owner.subjects()})).To(Succeed())
		Expect(t.owner.Create(ctx, t.approval("mine", "rso"))).To(beRefusedBy(admission.AuthorityPolicy, needsVerb))

		By("nor for another role than one's own")
		Expect(officer.Create(ctx, t.approval("other", "ceo"))).To(beRefusedBy(admission.AuthorityPolicy, needsVerb))
	})

	It("29: who approved, asked or wrote is what the API server saw, whatever a manifest says and whoever edits it later", func(ctx SpecContext) {
		t := newTenant(ctx, policyName)
		forged := &v1alpha1.Requester{Username: "somebody-else", UID: "7", Credential: "X509SHA256=7"}
		a, w := t.approval("a", "rso"), t.waiver("w")
		a.Spec.Approver, w.Spec.Requester = forged, forged
		Expect(officer.Create(ctx, a)).To(Succeed())
		Expect(a.Spec.Approver).To(And(HaveField("Username", officer.name), HaveField("Credential", HavePrefix("X509SHA256="))))
		Expect(t.owner.Create(ctx, w)).To(Succeed())
		Expect(w.Spec.Requester).To(And(HaveField("Username", owner.name), HaveField("Credential", HavePrefix("X509SHA256="))))

		another := anything{"username": "somebody-else"}
		expectUnchanged(ctx, a, "approver", another)
		expectUnchanged(ctx, w, "requester", another)

		md := builder.ModelDeployment(t.namespace, "posing").Build()
		md.Annotations = map[string]string{v1alpha1.CreatedByAnnotation: "somebody-else", v1alpha1.EditedByAnnotation: "somebody-else"}
		Expect(t.editor.Create(ctx, md)).To(Succeed())
		Expect(md.Annotations).To(And(HaveKeyWithValue(v1alpha1.CreatedByAnnotation, editor.name), HaveKeyWithValue(v1alpha1.EditedByAnnotation, editor.name)))
		repose := client.RawPatch(types.MergePatchType, []byte(`{"metadata":{"annotations":{"interlock.dev/edited-by":"somebody-else"}}}`))
		Expect(t.owner.Patch(ctx, md, repose)).To(Succeed())
		Expect(md.Annotations).To(HaveKeyWithValue(v1alpha1.EditedByAnnotation, editor.name))
		Expect(t.owner.Patch(ctx, md, client.RawPatch(types.MergePatchType,
			[]byte(`{"metadata":{"annotations":{"interlock.dev/edited-by":"erin"}},"spec":{"audience":"Internal"}}`)))).To(Succeed())
		Expect(md.Annotations).To(And(HaveKeyWithValue(v1alpha1.CreatedByAnnotation, editor.name), HaveKeyWithValue(v1alpha1.EditedByAnnotation, owner.name)))
	})

	It("29: the status of an approval or waiver is nobody's to write", func(ctx SpecContext) {
		t := newTenant(ctx, policyName)
		a, w := t.approval("a", "rso"), t.waiver("w")
		Expect(officer.Create(ctx, a)).To(Succeed())
		Expect(t.owner.Create(ctx, w)).To(Succeed())
		for _, o := range []client.Object{a, w} {
			expectRefused(ctx, t.owner, o, []edit{patching("merge patch", types.MergePatchType, "status", anything{"status": anything{"observedGeneration": 7}})},
				"interlock-ledgers", onlyInterlock)
		}
	})

	It("30: with its token, and more rights than it has, Interlock can neither approve, waive nor attest, nor write what it decides by", func(ctx SpecContext) {
		t := newTenant(ctx, policyName)
		config, _, err := cluster.ServiceAccount(ctx, stack.Namespace, stack.ServiceAccount)
		Expect(err).NotTo(HaveOccurred())
		stolen := person{clientOf(config), "system:serviceaccount:" + stack.Namespace + ":" + stack.ServiceAccount}
		policy := &v1alpha1.ScalingPolicy{ObjectMeta: metav1.ObjectMeta{Name: policyName}}
		loosened := client.RawPatch(types.MergePatchType, []byte(`{"spec":{"lease":"24h"}}`))

		By("as it is, RBAC refuses it")
		for _, o := range []client.Object{t.approval("a", "rso"), t.waiver("w"), builder.Safeguard("planted").Egress().Build(), newAssessment("planted"), newRiskReport("planted"),
			builder.Attestation(t.namespace, "planted", reviewed(time.Hour).Sign(redTeam))} {
			Expect(stolen.Create(ctx, o)).To(MatchError(ContainSubstring("cannot create resource")))
		}
		Expect(stolen.Patch(ctx, policy.DeepCopy(), loosened)).To(MatchError(ContainSubstring("cannot patch resource")))
		Expect(stolen.Delete(ctx, policy.DeepCopy())).To(MatchError(ContainSubstring("cannot delete resource")))
		Expect(impersonatingAs(config, officer.name).Create(ctx, t.approval("a", "rso"))).To(MatchError(ContainSubstring("cannot impersonate")))
		other := &corev1.LimitRange{ObjectMeta: metav1.ObjectMeta{Namespace: t.namespace, Name: "limits-of-another"}}
		Expect(stolen.Get(ctx, client.ObjectKeyFromObject(other), other.DeepCopy())).To(MatchError(ContainSubstring("cannot get resource")))
		Expect(stolen.Create(ctx, other)).To(beRefusedBy(admission.LedgerPolicy, "Interlock creates no LimitRange that it may not change"))

		By("with all rights on our kinds, admission does")
		grantCluster(ctx, person{name: stolen.name}, t.namespace+"-stolen", rbacv1.PolicyRule{
			APIGroups: []string{v1alpha1.GroupVersion.Group}, Resources: []string{rbacv1.ResourceAll}, Verbs: []string{rbacv1.VerbAll}})
		DeferCleanup(func(ctx SpecContext) {
			Expect(admin.Delete(ctx, &rbacv1.ClusterRoleBinding{ObjectMeta: metav1.ObjectMeta{Name: t.namespace + "-stolen"}})).To(Succeed())
		})
		stolen.waitMay(ctx, "", "create", v1alpha1.GroupVersion.Group, "approvals")
		for _, o := range []client.Object{t.approval("a", "rso"), t.waiver("w"), builder.Safeguard("planted").Egress().Build(), newAssessment("planted"), newRiskReport("planted"),
			builder.Attestation(t.namespace, "planted", reviewed(time.Hour).Sign(redTeam))} {
			Expect(stolen.Create(ctx, o)).To(beRefusedBy(admission.AuthorityPolicy, notInterlock))
		}
		Expect(stolen.Patch(ctx, policy.DeepCopy(), loosened)).To(beRefusedBy(admission.AuthorityPolicy, notInterlock))
		Expect(stolen.Delete(ctx, policy.DeepCopy())).To(beRefusedBy(admission.AuthorityPolicy, notInterlock))
		failed := builder.Attestation(t.namespace, "failed", reviewed(time.Hour).With(map[string]any{"result": "Failed"}).Sign(redTeam))
		Expect(admin.Create(ctx, failed)).To(Succeed())
		Expect(stolen.Delete(ctx, failed)).To(beRefusedBy(admission.AuthorityPolicy, notInterlock))
	})

	It("28: nobody approves what they asked for, whatever roles they hold", func(ctx SpecContext) {
		t := newTenant(ctx, waivingName)
		w := t.waiver("w")
		Expect(admin.Create(ctx, w)).To(Succeed())
		t.waitWaiver(ctx, w, v1alpha1.WaiverPending)
		for _, role := range []string{"rso", "ceo"} {
			Expect(admin.Create(ctx, t.approvalOf(w, role))).To(Succeed())
		}
		Expect(chief.Create(ctx, t.approvalOf(w, "ceo"))).To(Succeed())
		t.stays(ctx, w, v1alpha1.WaiverPending)

		By("and one person fills one role")
		Expect(officer.Create(ctx, t.approvalOf(w, "rso"))).To(Succeed())
		t.waitWaiver(ctx, w, v1alpha1.WaiverInForce)
		t.waitVerdict(ctx, llama, v1alpha1.OutcomeCleared)
	})

	It("29: an approval of something else than there is now does not count, and one that is withdrawn no longer", func(ctx SpecContext) {
		t := newTenant(ctx, waivingName)
		w := t.waiver("w")
		Expect(t.owner.Create(ctx, w)).To(Succeed())
		t.waitWaiver(ctx, w, v1alpha1.WaiverPending)
		first := t.approvalOf(w, "rso")
		Expect(officer.Create(ctx, first)).To(Succeed())
		Expect(chief.Create(ctx, t.approvalOf(w, "ceo"))).To(Succeed())
		t.waitVerdict(ctx, llama, v1alpha1.OutcomeCleared)

		By("replacing the waiver by one of the same name that asks for more time")
		Expect(t.owner.Delete(ctx, w)).To(Succeed())
		longer := t.waiver("w")
		longer.Spec.NotAfter = metav1.NewTime(time.Now().Add(50 * time.Minute))
		Expect(t.owner.Create(ctx, longer)).To(Succeed())
		t.waitVerdict(ctx, llama, v1alpha1.OutcomeHeld)
		t.stays(ctx, longer, v1alpha1.WaiverPending)

		By("withdrawing an approval")
		second := t.approvalOf(longer, "rso")
		Expect(officer.Create(ctx, second)).To(Succeed())
		Expect(chief.Create(ctx, t.approvalOf(longer, "ceo"))).To(Succeed())
		t.waitVerdict(ctx, llama, v1alpha1.OutcomeCleared)
		Expect(officer.Delete(ctx, second)).To(Succeed())
		t.waitVerdict(ctx, llama, v1alpha1.OutcomeHeld)
	})

	It("31: overlapping waivers end with the strictest of them, and none outlasts its end", func(ctx SpecContext) {
		t := newTenant(ctx, waivingName)
		short, long := t.waiver("short"), t.waiver("long")
		var end time.Time
		for _, w := range []*v1alpha1.Waiver{long, short} {
			if w == short {
				end = time.Now().Add(15 * time.Second).Truncate(time.Second)
				w.Spec.NotAfter = metav1.NewTime(end)
			}
			Expect(t.owner.Create(ctx, w)).To(Succeed())
			t.waitWaiver(ctx, w, v1alpha1.WaiverPending)
			Expect(officer.Create(ctx, t.approvalOf(w, "rso"))).To(Succeed())
			Expect(chief.Create(ctx, t.approvalOf(w, "ceo"))).To(Succeed())
			t.waitWaiver(ctx, w, v1alpha1.WaiverInForce)
		}
		md := &v1alpha1.ModelDeployment{}
		Eventually(ctx, func(g Gomega) {
			g.Expect(admin.Get(ctx, t.key(llama), md)).To(Succeed())
			g.Expect(md.Status.ValidUntil).To(HaveField("Time", BeTemporally("==", end)))
		}).Should(Succeed())
		Eventually(ctx, func(g Gomega) {
			g.Expect(admin.Get(ctx, t.key(llama), md)).To(Succeed())
			g.Expect(md.Status.Verdict).To(Equal(v1alpha1.OutcomeHeld))
		}).WithTimeout(25 * time.Second).Should(Succeed())
		t.waiting(ctx, t.pod("after").Model(llama))
	})

	It("31: a waiver that is too long, of what cannot be waived, or a wildcard, waives nothing", func(ctx SpecContext) {
		t := newTenant(ctx, waivingName)
		tooLong, unwaivable, wildcard := t.waiver("too-long"), t.waiver("unwaivable"), t.waiver("wildcard")
		tooLong.Spec.NotAfter = metav1.NewTime(time.Now().Add(61 * time.Minute))
		unwaivable.Spec.Safeguards = []string{egressLimited, imagePinned}
		wildcard.Spec.Safeguards = []string{"*"}
		Expect(t.owner.Create(ctx, wildcard)).To(MatchError(ContainSubstring("spec.safeguards")))
		for _, w := range []*v1alpha1.Waiver{tooLong, unwaivable} {
			Expect(t.owner.Create(ctx, w)).To(Succeed())
			t.waitWaiver(ctx, w, v1alpha1.WaiverRefused)
			Expect(officer.Create(ctx, t.approvalOf(w, "rso"))).To(Succeed())
			Expect(chief.Create(ctx, t.approvalOf(w, "ceo"))).To(Succeed())
			t.stays(ctx, w, v1alpha1.WaiverRefused)
		}
		t.waiting(ctx, t.pod("held").Model(llama))
	})

	It("31: an exemption is of the pods that it names, in one namespace, and ends to the second with Interlock dead", func(ctx SpecContext) {
		t, other := newTenant(ctx, exemptingName), newTenant(ctx, exemptingName)
		end := time.Now().Add(20 * time.Second).Truncate(time.Second)
		w := builder.Waiver(t.namespace, "w").Model(small).Safeguards(imagePinned).Pods("canary").NotAfter(end).Build()
		wildcard := builder.Waiver(t.namespace, "wildcard").Model(small).Safeguards(imagePinned).Pods("*").NotAfter(end).Build()
		Expect(t.owner.Create(ctx, wildcard)).To(MatchError(ContainSubstring("spec.pods")))
		noRule := builder.Waiver(t.namespace, "no-rule").Model(llama).Safeguards(egressLimited).Pods("canary").NotAfter(end).Build()
		Expect(t.owner.Create(ctx, noRule)).To(Succeed())
		t.waitWaiver(ctx, noRule, v1alpha1.WaiverRefused)
		unpinned := func(t *tenant, name string) *builder.PodBuilder {
			return t.pod(name).Model(small).Image(builder.TaggedImage)
		}
		refused := beRefusedBy(admission.AdmitPolicy, "an image is not pinned by digest")
		Expect(t.owner.Create(ctx, w)).To(Succeed())
		t.waitWaiver(ctx, w, v1alpha1.WaiverPending)
		Expect(t.editor.Create(ctx, unpinned(t, "canary").Build())).To(refused)
		Expect(officer.Create(ctx, t.approvalOf(w, "rso"))).To(Succeed())
		Expect(chief.Create(ctx, t.approvalOf(w, "ceo"))).To(Succeed())
		Eventually(ctx, func() error { return t.editor.Create(ctx, unpinned(t, "canary").Build(), client.DryRunAll) }).Should(Succeed())
		canary := t.running(ctx, unpinned(t, "canary"))

		By("letting in no other pod")
		Expect(t.editor.Create(ctx, unpinned(t, "canary-2").Build())).To(refused)
		Expect(t.editor.Create(ctx, unpinned(t, "").With(func(p *corev1.Pod) { p.GenerateName = "canary" }).Build())).To(refused)
		Expect(other.editor.Create(ctx, unpinned(other, "canary").Build())).To(refused)
		fixed := t.running(ctx, t.pod("fixed").Model(small))
		expectRefused(ctx, t.editor, fixed, imageEdits(builder.TaggedImage), admission.GuardPolicy, "an image is not pinned by digest")
		expectRefused(ctx, t.editor, canary, labelEdits[*corev1.Pod]("", v1alpha1.ModelLabel, llama), admission.GuardPolicy, "cannot change once the pod exists")

		By("letting it in no longer once the exemption has ended")
		withoutManager()
		Expect(t.editor.Delete(ctx, canary, client.GracePeriodSeconds(0))).To(Succeed())
		Eventually(ctx, func() error { return t.editor.Create(ctx, unpinned(t, "canary").Build(), client.DryRunAll) }).
			WithTimeout(25 * time.Second).Should(refused)
		Expect(time.Now()).To(BeTemporally(">=", end))
		Expect(t.editor.Create(ctx, t.pod("canary").Model(small).Build())).To(Succeed())
	})

	It("32: an approval or waiver of one namespace says nothing of another", func(ctx SpecContext) {
		t, other := newTenant(ctx, waivingName), newTenant(ctx, waivingName)
		w := t.waiver("w")
		Expect(t.owner.Create(ctx, w)).To(Succeed())
		t.waitWaiver(ctx, w, v1alpha1.WaiverPending)
		for _, role := range []string{"rso", "ceo"} {
			elsewhere := t.approvalOf(w, role)
			elsewhere.Namespace = other.namespace
			Expect(map[string]person{"rso": officer, "ceo": chief}[role].Create(ctx, elsewhere)).To(Succeed())
		}
		other.waiting(ctx, other.pod("held").Model(llama))
		t.waiting(ctx, t.pod("held").Model(llama)) // for which the model is decided anew
		t.stays(ctx, w, v1alpha1.WaiverPending)
	})

	It("33: with the mutation that notes the approver deleted and Interlock dead, nothing is approved or asked for", func(ctx SpecContext) {
		t := newTenant(ctx, policyName)
		withoutManager()
		remove(ctx, named[admissionv1.MutatingAdmissionPolicyBinding](admission.StampPolicy), named[admissionv1.MutatingAdmissionPolicy](admission.StampPolicy))
		Eventually(ctx, func() error { return officer.Create(ctx, t.approval("a", "rso"), client.DryRunAll) }).
			Should(beRefusedBy(admission.AuthorityPolicy, nobodyElse))
		forged := t.approval("a", "rso")
		forged.Spec.Approver = &v1alpha1.Requester{Username: "somebody-else"}
		Expect(officer.Create(ctx, forged)).To(beRefusedBy(admission.AuthorityPolicy, nobodyElse))
		Expect(t.owner.Create(ctx, t.waiver("w"))).To(beRefusedBy(admission.AuthorityPolicy, nobodyElse))
		startManager(ctx)
		waitEnforced(ctx)
		Eventually(ctx, func() error { return officer.Create(ctx, t.approval("a", "rso")) }).Should(Succeed())
	})
}

// approvalOf is one of a waiver as it is now.
func (t *tenant) approvalOf(w *v1alpha1.Waiver, role string) *v1alpha1.Approval {
	return builder.Approval(t.namespace, role+"-").Role(role).Of(v1alpha1.SubjectWaiver, w.Name, decision.DigestOfWaiver(w)).Build()
}

// waitWaiver waits until a waiver is said to be in a state.
func (t *tenant) waitWaiver(ctx context.Context, w *v1alpha1.Waiver, state v1alpha1.WaiverState) {
	GinkgoHelper()
	Eventually(ctx, t.stateOf(w)).Should(Equal(state))
}

// stays asserts that a waiver stays in a state, and that its model is not cleared.
func (t *tenant) stays(ctx context.Context, w *v1alpha1.Waiver, state v1alpha1.WaiverState) {
	GinkgoHelper()
	t.waitWaiver(ctx, w, state)
	Consistently(ctx, t.stateOf(w)).WithTimeout(time.Second).Should(Equal(state))
	t.waitVerdict(ctx, llama, v1alpha1.OutcomeHeld)
}

func (t *tenant) stateOf(w *v1alpha1.Waiver) func(context.Context) (v1alpha1.WaiverState, error) {
	return func(ctx context.Context) (v1alpha1.WaiverState, error) {
		err := admin.Get(ctx, client.ObjectKeyFromObject(w), w)
		return w.Status.State, err
	}
}

// expectUnchanged asserts that no form of an edit changes a field of the spec.
func expectUnchanged(ctx context.Context, o client.Object, field string, value anything) {
	GinkgoHelper()
	version := o.GetResourceVersion()
	for _, e := range []edit{
		patching("merge patch", types.MergePatchType, "", anything{"spec": anything{field: value}}),
		patching("JSON patch", types.JSONPatchType, "", []anything{{"op": "replace", "path": "/spec/" + field + "/username", "value": "x"}}),
		patching("JSON patch that removes", types.JSONPatchType, "", []anything{{"op": "remove", "path": "/spec/" + field}}),
	} {
		Expect(e.do(ctx, admin, o)).To(MatchError(ContainSubstring("never edited")), e.form)
	}
	Expect(admin.Get(ctx, client.ObjectKeyFromObject(o), o)).To(Succeed())
	Expect(o.GetGeneration()).To(BeEquivalentTo(1), "resourceVersion was %s", version)
}

// approval is one in a role, of an assessment that need not exist.
func (t *tenant) approval(name, role string) *v1alpha1.Approval {
	return builder.Approval(t.namespace, name).Role(role).Of(v1alpha1.SubjectAssessment, "some-assessment", builder.Digest).Build()
}

// waiver asks that llama be served without limited egress.
func (t *tenant) waiver(name string) *v1alpha1.Waiver {
	return builder.Waiver(t.namespace, name).Model(llama).Safeguards(egressLimited).NotAfter(time.Now().Add(40 * time.Minute)).Build()
}

func newAssessment(name string) *v1alpha1.CapabilityAssessment {
	return &v1alpha1.CapabilityAssessment{ObjectMeta: metav1.ObjectMeta{Name: name}, Spec: v1alpha1.CapabilityAssessmentSpec{
		Model: "x", Digests: []string{builder.Digest}, AssessedAt: metav1.NewTime(time.Now().Add(-time.Hour)), Evaluator: v1alpha1.Evaluator{Name: "x"},
		Outcomes: []v1alpha1.ThresholdOutcome{{Threshold: "x", Outcome: v1alpha1.AssessmentRuledOut, Method: "x"}}}}
}

// impersonating gives a client by which a person acts as somebody else.
func impersonating(name string, as rest.ImpersonationConfig) client.Client {
	GinkgoHelper()
	config, _, err := cluster.User(name)
	Expect(err).NotTo(HaveOccurred())
	config.Impersonate = as
	return clientOf(config)
}

func impersonatingAs(config *rest.Config, name string) client.Client {
	config = rest.CopyConfig(config)
	config.Impersonate = rest.ImpersonationConfig{UserName: name}
	return clientOf(config)
}

// grantCluster gives a person rights in the whole cluster, until the spec ends or the binding is deleted.
func grantCluster(ctx context.Context, p person, name string, rules ...rbacv1.PolicyRule) {
	GinkgoHelper()
	grant(ctx, name, rules...)
	subject := p.subjects()
	if parts := strings.Split(p.name, ":"); len(parts) == 4 && parts[1] == "serviceaccount" {
		subject = []rbacv1.Subject{{Kind: rbacv1.ServiceAccountKind, Namespace: parts[2], Name: parts[3]}}
	}
	Expect(admin.Create(ctx, &rbacv1.ClusterRoleBinding{
		ObjectMeta: metav1.ObjectMeta{Name: name}, Subjects: subject,
		RoleRef: rbacv1.RoleRef{APIGroup: rbacv1.GroupName, Kind: "ClusterRole", Name: name}})).To(Succeed())
}

func newRiskReport(name string) *v1alpha1.RiskReport {
	return &v1alpha1.RiskReport{
		ObjectMeta: metav1.ObjectMeta{Name: name},
		Spec: v1alpha1.RiskReportSpec{
			Source: v1alpha1.Source{Document: "Risk Report"}, Document: builder.Digest, Date: "2026-05-01", Digests: []string{builder.Digest}}}
}
