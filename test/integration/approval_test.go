package integration

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"time"

	. "github.com/onsi/ginkgo/v2"
	. "github.com/onsi/gomega"
	corev1 "k8s.io/api/core/v1"
	rbacv1 "k8s.io/api/rbac/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/interlock-dev/interlock/api/v1alpha1"
	"github.com/interlock-dev/interlock/internal/testing/builder"
)

// signedOffBy lets a role approve kinds of things.
func signedOffBy(role string, rules ...v1alpha1.ApprovalRule) option {
	return func(p *v1alpha1.ScalingPolicySpec) {
		p.SignOffs = append(p.SignOffs, v1alpha1.SignOff{Role: "Role " + role, Purpose: "tests", ApproverRole: role, Approves: rules})
	}
}

// waivable lets safeguards of every level be waived for up to an hour.
func waivable(p *v1alpha1.ScalingPolicySpec) {
	for i := range p.Levels {
		p.Levels[i].LongestWaiver = &metav1.Duration{Duration: time.Hour}
	}
}

// officer is a user who may approve in some roles, and read and approve in the namespace of the world.
type officer struct {
	name, kubeconfig string
	client.Client
}

// newOfficer makes one with the roles that config/rbac has for it.
func (w *world) newOfficer(ctx context.Context, name string, roles ...string) officer {
	GinkgoHelper()
	name = w.ns + "-" + name
	config, kubeconfig, err := st.User(name)
	Expect(err).NotTo(HaveOccurred())
	c, err := client.New(config, client.Options{Scheme: api.Scheme()})
	Expect(err).NotTo(HaveOccurred())
	o := officer{name, kubeconfig, c}
	role := &rbacv1.ClusterRole{ObjectMeta: metav1.ObjectMeta{Name: name}, Rules: []rbacv1.PolicyRule{{
		APIGroups: []string{v1alpha1.GroupVersion.Group}, Resources: []string{"approvals"}, ResourceNames: roles, Verbs: []string{v1alpha1.ApproveVerb}}}}
	create(ctx, role)
	for suffix, clusterRole := range map[string]string{"-approver": "interlock-approver", "-roles": name} {
		create(ctx, &rbacv1.ClusterRoleBinding{
			ObjectMeta: metav1.ObjectMeta{Name: name + suffix},
			RoleRef:    rbacv1.RoleRef{APIGroup: rbacv1.GroupName, Kind: "ClusterRole", Name: clusterRole},
			Subjects:   []rbacv1.Subject{{APIGroup: rbacv1.GroupName, Kind: rbacv1.UserKind, Name: name}}})
	}
	Eventually(ctx, func() error { return o.List(ctx, &v1alpha1.ApprovalList{}) }).Should(Succeed())
	return o
}

// approve runs the very command that the status of a model gives for a sign-off.
func (o officer) approve(ctx context.Context, w *world, model, role string, kind v1alpha1.SubjectKind) {
	GinkgoHelper()
	var remedy string
	Eventually(w.signOff(model, role, kind)).WithContext(ctx).Should(HaveField("Remedy", HavePrefix("printf ")))
	found, err := w.signOff(model, role, kind)(ctx)
	Expect(err).NotTo(HaveOccurred())
	remedy = found.Remedy
	Eventually(ctx, func() (string, error) {
		cmd := exec.CommandContext(ctx, "sh", "-c", remedy) // #nosec G204 -- that is what people are told to do
		cmd.Env = append(os.Environ(), "KUBECONFIG="+o.kubeconfig, "PATH="+filepath.Dir(st.KubectlPath())+string(os.PathListSeparator)+os.Getenv("PATH"))
		out, err := cmd.CombinedOutput()
		return string(out), err
	}).Should(ContainSubstring("created"))
}

// signOff gives what is said of one, to be polled.
func (w *world) signOff(model, role string, kind v1alpha1.SubjectKind) func(context.Context) (v1alpha1.SignOffResult, error) {
	return func(ctx context.Context) (v1alpha1.SignOffResult, error) {
		md := &v1alpha1.ModelDeployment{}
		if err := api.Get(ctx, client.ObjectKey{Namespace: w.ns, Name: model}, md); err != nil {
			return v1alpha1.SignOffResult{}, err
		}
		for _, s := range md.Status.SignOffs {
			if s.Role == role && s.Kind == kind {
				return s, nil
			}
		}
		return v1alpha1.SignOffResult{}, fmt.Errorf("no sign-off of a %s in role %s: %v", kind, role, md.Status.SignOffs)
	}
}

func (w *world) getWaiver(name string) func(context.Context) (*v1alpha1.Waiver, error) {
	return func(ctx context.Context) (*v1alpha1.Waiver, error) {
		o := &v1alpha1.Waiver{}
		return o, api.Get(ctx, client.ObjectKey{Namespace: w.ns, Name: name}, o)
	}
}

var _ = Describe("Sign-offs", func() {
	It("let a model be served without a safeguard until the second at which its waiver ends", func(ctx SpecContext) {
		w := newWorld(ctx, evict(0, time.Second), waivable, signedOffBy("rso", v1alpha1.ApprovalRule{Kind: v1alpha1.SubjectWaiver}))
		rso := w.newOfficer(ctx, "rhea", "rso")
		create(ctx, w.modelDeployment("llm", builder.ASL3), w.deployment("server", 1, w.pinnedPod("llm")), w.denyEgress())
		w.awaitHeld(ctx, "llm", 1)
		Eventually(w.safeguardsMet("llm")).WithContext(ctx).Should(Equal("2/3"))

		By("requesting a waiver of the classifier, which waives nothing by itself")
		end := time.Now().Add(25 * time.Second).UTC().Truncate(time.Second)
		waiver := builder.Waiver(w.ns, "no-classifier").Model("llm").Safeguards(w.classifier).NotAfter(end).Build()
		create(ctx, waiver)
		Eventually(w.getWaiver(waiver.Name)).WithContext(ctx).Should(And(
			HaveField("Status.State", v1alpha1.WaiverPending), HaveField("Status.Digest", HavePrefix("sha256:"))))
		Expect(w.verdict("llm")(ctx)).To(Equal(v1alpha1.OutcomeHeld))

		By("not counting the approval of who asked for it, though they may approve in the role")
		state, err := w.getWaiver(waiver.Name)(ctx)
		Expect(err).NotTo(HaveOccurred())
		own := builder.Approval(w.ns, "own").Role("rso").Of(v1alpha1.SubjectWaiver, waiver.Name, state.Status.Digest).Build()
		create(ctx, own)
		Eventually(w.signOff("llm", "rso", v1alpha1.SubjectWaiver)).WithContext(ctx).Should(And(
			HaveField("Message", ContainSubstring("asked for it")), HaveField("Approvers", BeEmpty())))
		Eventually(ready(own, func(a *v1alpha1.Approval) []metav1.Condition { return a.Status.Conditions })).WithContext(ctx).
			Should(condition(metav1.ConditionFalse, v1alpha1.ReasonSelfApproval, "somebody else"))

		By("clearing the model once somebody else has approved it, and saying so wherever one looks")
		rso.approve(ctx, w, "llm", "rso", v1alpha1.SubjectWaiver)
		w.awaitCleared(ctx, "llm", 1)
		status := w.model(ctx, "llm").Status
		Expect(status.SafeguardsMet).To(Equal("2/3, 1 waived"))
		Expect(status.ValidUntil.Time).To(BeTemporally("==", end))
		Expect(status.Conditions).To(ContainElement(And(HaveField("Type", v1alpha1.ConditionWaived), condition(metav1.ConditionTrue, v1alpha1.ReasonSafeguardsWaived, waiver.Name))))
		Expect(status.Safeguards).To(ContainElement(And(HaveField("Name", w.classifier), HaveField("State", v1alpha1.SafeguardWaived),
			HaveField("Waiver", waiver.Name), HaveField("Message", ContainSubstring(classifierMessage)))))
		Eventually(w.getWaiver(waiver.Name)).WithContext(ctx).Should(HaveField("Status.State", v1alpha1.WaiverInForce))
		Eventually(func() float64 { return metric(`interlock_waived_safeguards{policy="` + w.policy + `"}`) }).Should(BeEquivalentTo(1))
		Expect(metric(`interlock_waiver_first_end_timestamp_seconds{policy="` + w.policy + `"}`)).To(BeEquivalentTo(end.Unix()))

		By("holding it again when the waiver has ended, and taking its pods out")
		Eventually(w.verdict("llm")).WithContext(ctx).WithTimeout(time.Minute).Should(Equal(v1alpha1.OutcomeHeld))
		w.awaitPods(ctx, "llm", 1, beHeld())
		Expect(time.Now()).To(BeTemporally(">=", end))
		Expect(w.model(ctx, "llm").Status.Conditions).To(ContainElement(And(HaveField("Type", v1alpha1.ConditionWaived), HaveField("Status", metav1.ConditionFalse))))
		Eventually(w.events("Waiver", waiver.Name)).WithContext(ctx).Should(Equal(map[string]int{
			"WaiverPending": 1, "WaiverInForce": 1, "WaiverEnding": 1, "WaiverExpired": 1}))
	})

	It("of two people in two roles are asked for a decision, and die with what was decided", func(ctx SpecContext) {
		decides := v1alpha1.ApprovalRule{Kind: v1alpha1.SubjectDecision, FromLevel: builder.ASL3, NoticeTo: []string{"Board of Directors"}}
		w := newWorld(ctx, evict(0, time.Second), signedOffBy("ceo", decides), signedOffBy("rso", decides))
		create(ctx, w.modelDeployment("small", builder.ASL2), w.deployment("small", 1, w.pinnedPod("small")), w.denyEgress())
		w.awaitCleared(ctx, "small", 1) // below the level from which it is asked
		create(ctx, w.modelDeployment("llm", builder.ASL3), w.deployment("server", 1, w.fitPod("llm")))
		w.awaitHeld(ctx, "llm", 1)
		Eventually(w.modelReady("llm")).WithContext(ctx).Should(condition(metav1.ConditionFalse, v1alpha1.ReasonNotApproved, "0 of 1 in role ceo"))

		By("counting one person once, though she holds both roles")
		both := w.newOfficer(ctx, "both", "ceo", "rso")
		both.approve(ctx, w, "llm", "ceo", v1alpha1.SubjectDecision)
		Eventually(w.signOff("llm", "ceo", v1alpha1.SubjectDecision)).WithContext(ctx).Should(HaveField("Approvers", HaveExactElements(both.name)))
		both.approve(ctx, w, "llm", "rso", v1alpha1.SubjectDecision)
		Consistently(w.verdict("llm")).WithContext(ctx).WithTimeout(time.Second).Should(Equal(v1alpha1.OutcomeHeld))

		By("clearing it once another has approved")
		w.newOfficer(ctx, "cleo", "ceo", "rso").approve(ctx, w, "llm", missingRole(ctx, w), v1alpha1.SubjectDecision)
		w.awaitCleared(ctx, "llm", 1)

		By("holding it when something else is to be served")
		before := w.model(ctx, "llm").Status.DecisionDigest
		md := w.modelDeployment("llm", builder.ASL3)
		update(ctx, md, func() { md.Spec.Audience = v1alpha1.AudienceInternal })
		w.awaitHeld(ctx, "llm", 1)
		Expect(w.model(ctx, "llm").Status.DecisionDigest).NotTo(Equal(before))
		update(ctx, md, func() { md.Spec.Audience = v1alpha1.AudienceGeneral })
		w.awaitCleared(ctx, "llm", 1)

		By("holding it when an approval is withdrawn")
		Expect(both.DeleteAllOf(ctx, &v1alpha1.Approval{}, client.InNamespace(w.ns))).NotTo(Succeed(), "one at a time")
		approvals := &v1alpha1.ApprovalList{}
		Expect(api.List(ctx, approvals, client.InNamespace(w.ns))).To(Succeed())
		Expect(both.Delete(ctx, &approvals.Items[0])).To(Succeed())
		w.awaitHeld(ctx, "llm", 1)
	})

	It("are asked for the risk report that covers a model, and for the next one when that is filed", func(ctx SpecContext) {
		w := newWorld(ctx, evict(0, time.Second), signedOffBy("rso", v1alpha1.ApprovalRule{Kind: v1alpha1.SubjectRiskReport}))
		md := w.modelDeployment("llm", builder.ASL2)
		md.Spec.Model.Digest = w.digest("llm")
		create(ctx, md, w.deployment("server", 1, w.pinnedPod("llm")), w.denyEgress())
		Eventually(w.modelReady("llm")).WithContext(ctx).Should(condition(metav1.ConditionFalse, v1alpha1.ReasonNotApproved, "no RiskReport covers the model's weights"))

		rhea := w.newOfficer(ctx, "rhea", "rso")
		publish(ctx, w.riskReport("may", "llm"))
		rhea.approve(ctx, w, "llm", "rso", v1alpha1.SubjectRiskReport)
		w.awaitCleared(ctx, "llm", 1)

		publish(ctx, w.riskReport("june", "llm"))
		w.awaitHeld(ctx, "llm", 1)
		Eventually(w.modelReady("llm")).WithContext(ctx).Should(condition(metav1.ConditionFalse, v1alpha1.ReasonNotApproved, "RiskReport "+w.ns+"-june"))
	})

	It("are asked for what an assessment rules out, and not for the danger that it finds", func(ctx SpecContext) {
		w := assessedWorld(ctx, v1alpha1.AssessmentRules{}, signedOffBy("rso", v1alpha1.ApprovalRule{Kind: v1alpha1.SubjectAssessment}))
		file(ctx, w.filed("may", "llm", time.Hour, v1alpha1.AssessmentRuledOut))
		create(ctx, w.served("llm").Build(), w.deployment("server", 1, w.pinnedPod("llm")))
		w.awaitHeld(ctx, "llm", 1)
		Eventually(w.standing("llm")).WithContext(ctx).Should(Equal("Unapproved by " + w.ns + "-may"))

		w.newOfficer(ctx, "rhea", "rso").approve(ctx, w, "llm", "rso", v1alpha1.SubjectAssessment)
		w.awaitCleared(ctx, "llm", 1)
		Expect(w.standing("llm")(ctx)).To(Equal("RuledOut by " + w.ns + "-may"))

		file(ctx, w.filed("june", "llm", time.Minute, v1alpha1.AssessmentReached))
		Eventually(w.standing("llm")).WithContext(ctx).Should(Equal("Reached by " + w.ns + "-june"))
	})

	It("of a policy are asked for anew when the policy or a Safeguard of it changes, from the namespace that serves all", func(ctx SpecContext) {
		w := newWorld(ctx, signedOffBy("board", v1alpha1.ApprovalRule{Kind: v1alpha1.SubjectPolicy}))
		create(ctx, w.modelDeployment("llm", builder.ASL2), w.deployment("server", 1, w.pinnedPod("llm")))
		Eventually(w.modelReady("llm")).WithContext(ctx).Should(condition(metav1.ConditionFalse, v1alpha1.ReasonNotApproved, "role board"))
		Eventually(policyReady(w.policy)).WithContext(ctx).Should(condition(metav1.ConditionTrue, v1alpha1.ReasonAccepted, "in use"))
		digest := func(ctx context.Context) string {
			p := &v1alpha1.ScalingPolicy{}
			Expect(api.Get(ctx, client.ObjectKey{Name: w.policy}, p)).To(Succeed())
			return p.Status.Digest
		}
		board := w.newOfficer(ctx, "bea", "board")
		Eventually(ctx, func() error {
			return board.Create(ctx, builder.Approval("interlock-system", w.ns).Role("board").Of(v1alpha1.SubjectPolicy, w.policy, digest(ctx)).Build())
		}).Should(Succeed())
		w.awaitCleared(ctx, "llm", 1)

		sg := &v1alpha1.Safeguard{ObjectMeta: metav1.ObjectMeta{Name: w.pinned}}
		update(ctx, sg, func() { sg.Spec.Title = "another title" })
		Eventually(w.modelReady("llm")).WithContext(ctx).Should(condition(metav1.ConditionFalse, v1alpha1.ReasonNotApproved, "role board"))
		Expect(w.podsOf("llm")(ctx)).To(HaveEach(HaveField("Status.Phase", corev1.PodRunning)))
	})
})

// missingRole gives the role that still has to approve the decision on llm.
func missingRole(ctx context.Context, w *world) string {
	GinkgoHelper()
	for _, s := range w.model(ctx, "llm").Status.SignOffs {
		if s.Remedy != "" {
			return s.Role
		}
	}
	Fail("no sign-off is missing")
	return ""
}
