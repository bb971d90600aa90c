package bypass

import (
	"time"

	. "github.com/onsi/ginkgo/v2"
	. "github.com/onsi/gomega"
	corev1 "k8s.io/api/core/v1"
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
	leavesOut        = "no clearance leaves it out"
	noPerson         = "is no person"
	noOwner          = "no owner reference"
	needsWithdraw    = "needs the RBAC verb withdraw"
	foreverUnchecked = "\n0 2099-01-01T00:00:00Z ,,\n"
	forever          = "\n0 2099-01-01T00:00:00Z ,image-pinned,\n"
)

func identityTricks() {
	It("30: with the identity of Interlock nobody gets a pod past a rule that its policy asks of every model", func(ctx SpecContext) {
		t := newTenant(ctx, policyName)
		config, _, err := cluster.ServiceAccount(ctx, stack.Namespace, stack.ServiceAccount)
		Expect(err).NotTo(HaveOccurred())
		stolen := clientOf(config)
		write := func(change func(data map[string]string)) error {
			cm := t.clearances(ctx)
			change(cm.Annotations)
			return stolen.Update(ctx, cm)
		}
		refused := func(words string) OmegaMatcher { return beRefusedBy(admission.LedgerPolicy, words) }
		Expect(write(func(data map[string]string) {
			data["interlock.dev/leases"], data["interlock.dev/clearances"] = foreverUnchecked, forgedClearances
		})).To(refused(leavesOut))
		Expect(write(func(data map[string]string) {
			data["interlock.dev/leases"], data["interlock.dev/clearances"] = "\n0 ,image-pinned, 2099-01-01T00:00:00Z ,,\n", "\nllama 0 ,image-pinned,\n"
		})).To(refused("a lease has a number"))
		Expect(write(func(data map[string]string) {
			data["interlock.dev/leases"], data["interlock.dev/clearances"], data["interlock.dev/exemptions"] = forever, forgedClearances, "\nllama/free 2099-01-01T00:00:00Z,image-pinned\n"
		})).To(refused(leavesOut))
		Expect(write(func(data map[string]string) { data["interlock.dev/coverage"] = v1alpha1.CoverageAccelerators })).To(refused("what its labels say"))
		Expect(write(func(data map[string]string) { data["interlock.dev/policy"] = laxName })).To(refused("what its labels say"))
		Expect(stolen.Update(ctx, &corev1.Namespace{ObjectMeta: metav1.ObjectMeta{Name: t.namespace}})).To(MatchError(ContainSubstring("cannot update resource")))

		By("nor by what is planted before a namespace is enrolled, or under a policy that is gone")
		later := builder.Namespace("later-").Build()
		Expect(admin.Create(ctx, later)).To(Succeed())
		planted := builder.Clearances(later.Name, policyName).Clear(llama, time.Now().Add(time.Hour), imagePinned).Build()
		Expect(stolen.Create(ctx, planted)).To(refused("only of one that is enrolled"))
		nowhere := builder.Namespace("nowhere-").Enforce("no-such-policy").Build()
		Expect(admin.Create(ctx, nowhere)).To(Succeed())
		planted = builder.Clearances(nowhere.Name, "no-such-policy").Clear(llama, time.Now().Add(time.Hour)).Build()
		Expect(client.IgnoreAlreadyExists(stolen.Create(ctx, planted))).To(refused("there is no ScalingPolicy"))

		By("and what it can write lets no pod past the rule")
		Eventually(ctx, func() error {
			return write(func(data map[string]string) {
				data["interlock.dev/leases"], data["interlock.dev/clearances"] = forever, forgedClearances
			})
		}).Should(Succeed())
		free := t.pod("free").Model(llama).Image(builder.TaggedImage).With(func(p *corev1.Pod) { p.Spec.HostNetwork = true }).Build()
		err = t.editor.Create(ctx, free)
		if err == nil { // Interlock was quicker, and the pod waits
			Expect(free).To(beHeld())
		} else { // by the rule, or because Interlock was quicker for one of the two policies
			Expect(err).To(beRefusedBy(admission.AdmitPolicy, ""))
		}
		Expect(stolen.Create(ctx, t.pod("own").Model(llama).Build())).To(MatchError(ContainSubstring("cannot create resource")))
	})

	It("54: what is approved, attested or found is not handed to the garbage collector", func(ctx SpecContext) {
		t := newTenant(ctx, policyName)
		handle := &corev1.ConfigMap{ObjectMeta: metav1.ObjectMeta{Namespace: t.namespace, Name: "handle"}}
		Expect(t.editor.Create(ctx, handle)).To(Succeed())
		owner := []metav1.OwnerReference{{APIVersion: "v1", Kind: "ConfigMap", Name: handle.Name, UID: handle.UID}}
		failed := builder.Attestation(t.namespace, "failed", reviewed(time.Hour).With(map[string]any{"result": "Failed"}).Sign(redTeam))
		assessment, report := newAssessment(t.namespace+"-severe"), newRiskReport(t.namespace+"-newest")
		assessment.Spec.Outcomes[0].Outcome = v1alpha1.AssessmentReached
		for o, by := range map[client.Object]client.Client{failed: t.owner, assessment: insider, report: insider, t.waiver("w"): t.owner, t.approval("a", "rso"): officer} {
			owned := o.DeepCopyObject().(client.Object)
			owned.SetOwnerReferences(owner)
			Expect(by.Create(ctx, owned)).To(beRefusedBy(admission.AuthorityPolicy, noOwner))
			Expect(by.Create(ctx, o)).To(Succeed())
			add := client.RawPatch(types.MergePatchType, []byte(`{"metadata":{"ownerReferences":[{"apiVersion":"v1","kind":"ConfigMap","name":"handle","uid":"`+string(handle.UID)+`"}]}}`))
			Expect(insider.Patch(ctx, o, add)).To(beRefusedBy(admission.AuthorityPolicy, noOwner))
			DeferCleanup(func(ctx SpecContext) { Expect(client.IgnoreNotFound(admin.Delete(ctx, o))).To(Succeed()) })
		}
	})

	It("54: what may say that a model is dangerous is deleted by nobody without the verb to withdraw it", func(ctx SpecContext) {
		t := newTenant(ctx, policyName)
		grantCluster(ctx, platform, t.namespace+"-cleaner", rbacv1.PolicyRule{
			APIGroups: []string{v1alpha1.GroupVersion.Group}, Resources: []string{"capabilityassessments", "riskreports"}, Verbs: []string{"delete", "deletecollection", "list"}})
		platform.waitMay(ctx, "", "delete", v1alpha1.GroupVersion.Group, "capabilityassessments")
		severe, harmless, report := newAssessment(t.namespace+"-severe"), newAssessment(t.namespace+"-harmless"), newRiskReport(t.namespace+"-newest")
		severe.Spec.Outcomes[0].Outcome = v1alpha1.AssessmentInconclusive
		for _, o := range []client.Object{severe, harmless, report} {
			o.SetLabels(map[string]string{"of": t.namespace})
			Expect(insider.Create(ctx, o)).To(Succeed())
		}
		Expect(platform.Delete(ctx, severe)).To(beRefusedBy(admission.AuthorityPolicy, needsWithdraw))
		Expect(platform.Delete(ctx, report)).To(beRefusedBy(admission.AuthorityPolicy, needsWithdraw))
		Expect(platform.DeleteAllOf(ctx, &v1alpha1.CapabilityAssessment{}, client.MatchingLabels{"of": t.namespace})).To(beRefusedBy(admission.AuthorityPolicy, needsWithdraw))
		Expect(client.IgnoreNotFound(platform.Delete(ctx, harmless))).To(Succeed())
		Expect(insider.Delete(ctx, severe)).To(Succeed())
		Expect(insider.Delete(ctx, report)).To(Succeed())
	})

	It("55: a ServiceAccount, whose token its namespace's editor may ask for, and a node approve and request nothing", func(ctx SpecContext) {
		t := newTenant(ctx, waivingName)
		account := &corev1.ServiceAccount{ObjectMeta: metav1.ObjectMeta{Namespace: t.namespace, Name: "bot"}}
		Expect(t.editor.Create(ctx, account)).To(Succeed())
		config, _, err := cluster.ServiceAccount(ctx, t.namespace, account.Name)
		Expect(err).NotTo(HaveOccurred())
		bot := person{clientOf(config), "system:serviceaccount:" + t.namespace + ":bot"}
		grantCluster(ctx, bot, t.namespace+"-bot", append(approves("rso"), rbacv1.PolicyRule{
			APIGroups: []string{v1alpha1.GroupVersion.Group}, Resources: []string{"waivers"}, Verbs: []string{"create"}})...)
		bot.waitMay(ctx, "", "create", v1alpha1.GroupVersion.Group, "waivers")
		w := t.waiver("w")
		Expect(t.owner.Create(ctx, w)).To(Succeed())
		t.waitWaiver(ctx, w, v1alpha1.WaiverPending)
		Expect(bot.Create(ctx, t.approvalOf(w, "rso"))).To(beRefusedBy(admission.AuthorityPolicy, noPerson))
		Expect(bot.Create(ctx, t.waiver("bots"))).To(beRefusedBy(admission.AuthorityPolicy, noPerson))

		By("under a policy that says nothing of them, though another lets them in")
		letting := builder.ScalingPolicy(t.namespace).Level(builder.Level(builder.ASL2).Deployment(imagePinned)).Build()
		letting.Spec.SignOffs = []v1alpha1.SignOff{{Role: "rso", Purpose: "approves waivers", ApproverRole: "rso", Approves: []v1alpha1.ApprovalRule{{
			Kind: v1alpha1.SubjectWaiver, ServiceAccounts: []v1alpha1.ServiceAccountRight{v1alpha1.ServiceAccountsApprove, v1alpha1.ServiceAccountsRequest}}}}}
		Expect(admin.Create(ctx, letting)).To(Succeed())
		DeferCleanup(func(ctx SpecContext) { Expect(admin.Delete(ctx, letting)).To(Succeed()) })
		Eventually(ctx, func() error { return bot.Create(ctx, t.approvalOf(w, "rso")) }).Should(Succeed())
		Expect(chief.Create(ctx, t.approvalOf(w, "ceo"))).To(Succeed())
		bots := t.waiver("bots")
		Expect(bot.Create(ctx, bots)).To(Succeed())
		t.waitWaiver(ctx, bots, v1alpha1.WaiverRefused)
		t.stays(ctx, w, v1alpha1.WaiverPending)

		By("and a node in no way")
		grantCluster(ctx, person{name: "system:node:node-0"}, t.namespace+"-node", approves("rso")...)
		node := person{nodeIdentity(ctx, "node-0"), "system:node:node-0"}
		node.waitMay(ctx, "", "create", v1alpha1.GroupVersion.Group, "approvals")
		Expect(node.Create(ctx, t.approvalOf(w, "rso"))).To(beRefusedBy(admission.AuthorityPolicy, noPerson))
	})

	It("55: an approval through constrained impersonation is refused as any other", func(ctx SpecContext) {
		t := newTenant(ctx, policyName)
		grantCluster(ctx, platform, t.namespace+"-constrained",
			rbacv1.PolicyRule{APIGroups: []string{"authentication.k8s.io"}, Resources: []string{"users"}, Verbs: []string{"impersonate:user-info"}},
			rbacv1.PolicyRule{APIGroups: []string{v1alpha1.GroupVersion.Group}, Resources: []string{"approvals", "waivers"}, Verbs: []string{"impersonate-on:user-info:create"}})
		platform.waitMay(ctx, "", "impersonate:user-info", "authentication.k8s.io", "users")
		posing := impersonating(platform.name, rest.ImpersonationConfig{UserName: officer.name})
		Expect(posing.Create(ctx, t.approval("posed", "rso"))).To(beRefusedBy(admission.AuthorityPolicy, noImpersonation))
		Expect(impersonating(platform.name, rest.ImpersonationConfig{UserName: insider.name}).Create(ctx, t.waiver("posed"))).
			To(beRefusedBy(admission.AuthorityPolicy, noImpersonation))

		By("whoever may not impersonate credentials cannot make one up")
		forging := impersonating(platform.name, rest.ImpersonationConfig{UserName: officer.name,
			Extra: map[string][]string{admission.DefaultCredential: {"X509SHA256=00"}}})
		Expect(forging.Create(ctx, t.approval("forged", "rso"))).To(MatchError(ContainSubstring("cannot impersonate")))
	})
}
