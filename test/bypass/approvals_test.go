package bypass

import (
	"context"
	"strings"
	"time"

	. "github.com/onsi/ginkgo/v2"
	. "github.com/onsi/gomega"
	admissionv1 "k8s.io/api/admissionregistration/v1"
	rbacv1 "k8s.io/api/rbac/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/client-go/rest"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/interlock-dev/interlock/api/v1alpha1"
	"github.com/interlock-dev/interlock/internal/admission"
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

	It("30: with its token, and more rights than it has, Interlock can neither approve nor waive nor write what it decides by", func(ctx SpecContext) {
		t := newTenant(ctx, policyName)
		config, _, err := cluster.ServiceAccount(ctx, stack.Namespace, stack.ServiceAccount)
		Expect(err).NotTo(HaveOccurred())
		stolen := person{clientOf(config), "system:serviceaccount:" + stack.Namespace + ":" + stack.ServiceAccount}
		policy := &v1alpha1.ScalingPolicy{ObjectMeta: metav1.ObjectMeta{Name: policyName}}
		loosened := client.RawPatch(types.MergePatchType, []byte(`{"spec":{"lease":"24h"}}`))

		By("as it is, RBAC refuses it")
		for _, o := range []client.Object{t.approval("a", "rso"), t.waiver("w"), builder.Safeguard("planted").Egress().Build(), newAssessment("planted")} {
			Expect(stolen.Create(ctx, o)).To(MatchError(ContainSubstring("cannot create resource")))
		}
		Expect(stolen.Patch(ctx, policy.DeepCopy(), loosened)).To(MatchError(ContainSubstring("cannot patch resource")))
		Expect(stolen.Delete(ctx, policy.DeepCopy())).To(MatchError(ContainSubstring("cannot delete resource")))
		Expect(impersonatingAs(config, officer.name).Create(ctx, t.approval("a", "rso"))).To(MatchError(ContainSubstring("cannot impersonate")))

		By("with all rights on our kinds, admission does")
		grantCluster(ctx, person{name: stolen.name}, t.namespace+"-stolen", rbacv1.PolicyRule{
			APIGroups: []string{v1alpha1.GroupVersion.Group}, Resources: []string{rbacv1.ResourceAll}, Verbs: []string{rbacv1.VerbAll}})
		DeferCleanup(func(ctx SpecContext) {
			Expect(admin.Delete(ctx, &rbacv1.ClusterRoleBinding{ObjectMeta: metav1.ObjectMeta{Name: t.namespace + "-stolen"}})).To(Succeed())
		})
		stolen.waitMay(ctx, "", "create", v1alpha1.GroupVersion.Group, "approvals")
		for _, o := range []client.Object{t.approval("a", "rso"), t.waiver("w"), builder.Safeguard("planted").Egress().Build(), newAssessment("planted")} {
			Expect(stolen.Create(ctx, o)).To(beRefusedBy(admission.AuthorityPolicy, notInterlock))
		}
		Expect(stolen.Patch(ctx, policy.DeepCopy(), loosened)).To(beRefusedBy(admission.AuthorityPolicy, notInterlock))
		Expect(stolen.Delete(ctx, policy.DeepCopy())).To(beRefusedBy(admission.AuthorityPolicy, notInterlock))
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
	return builder.Waiver(t.namespace, name).Model(llama).Safeguards(egressLimited).NotAfter(time.Now().Add(time.Hour)).Build()
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
