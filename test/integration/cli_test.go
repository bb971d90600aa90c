package integration

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"time"

	. "github.com/onsi/ginkgo/v2"
	. "github.com/onsi/gomega"
	rbacv1 "k8s.io/api/rbac/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/interlock-dev/interlock/api/v1alpha1"
	"github.com/interlock-dev/interlock/internal/testing/builder"
)

// invisible is what a name may hold on the API server that would take effect on a terminal: the beginning of an escape
// sequence in one character, and a change of the direction of text.
const invisible = "\u009b31m\u202e"

// interlock runs the plugin through kubectl as the user of a kubeconfig, and gives what it prints and its exit code.
func interlock(ctx context.Context, kubeconfig string, args ...string) (string, int) {
	GinkgoHelper()
	out, err := st.As(kubeconfig).Run(ctx, append([]string{"interlock"}, args...)...)
	exit := (*exec.ExitError)(nil)
	if errors.As(err, &exit) {
		return out, exit.ExitCode()
	}
	Expect(err).NotTo(HaveOccurred())
	return out, 0
}

// user makes a user with some of the ClusterRoles that come with Interlock, and gives the kubeconfig.
func user(ctx context.Context, name string, roles ...string) string {
	GinkgoHelper()
	_, kubeconfig, err := st.User(name)
	Expect(err).NotTo(HaveOccurred())
	for _, role := range roles {
		create(ctx, &rbacv1.ClusterRoleBinding{
			ObjectMeta: metav1.ObjectMeta{Name: name + "-" + role},
			RoleRef:    rbacv1.RoleRef{APIGroup: rbacv1.GroupName, Kind: "ClusterRole", Name: role},
			Subjects:   []rbacv1.Subject{{APIGroup: rbacv1.GroupName, Kind: rbacv1.UserKind, Name: name}},
		})
	}
	return kubeconfig
}

// manifestFile writes objects to a file as people keep them.
func manifestFile(name string, objects ...client.Object) string {
	GinkgoHelper()
	var documents []string
	for _, o := range objects {
		documents = append(documents, manifest(o))
	}
	path := filepath.Join(GinkgoT().TempDir(), name)
	Expect(os.WriteFile(path, []byte(strings.Join(documents, "\n---\n")), 0o600)).To(Succeed())
	return path
}

var _ = Describe("kubectl interlock diff", func() {
	It("compares the cluster with what it would be after an apply", func(ctx SpecContext) {
		w := namesOnly(ctx)
		w.createPolicy(ctx)
		admin := st.Kubeconfig()

		By("finding no difference in what was applied, whatever defaults the API server has set")
		out, code := interlock(ctx, admin, "diff", "-f", manifestFile("same.json", append(w.safeguards(), w.scalingPolicy())...))
		Expect(out).To(ContainSubstring("Nothing differs."))
		Expect(code).To(BeZero())

		By("taking Safeguards from the cluster that the file does not hold")
		weaker := w.scalingPolicy(func(p *v1alpha1.ScalingPolicySpec) {
			p.Levels[0].Deployment.Safeguards[0].Force = v1alpha1.ForceRecommendation
		})
		out, code = interlock(ctx, admin, "diff", "-f", manifestFile("weaker.json", weaker))
		Expect(out).To(ContainSubstring("Weakens: safeguard " + w.pinned))
		Expect(out).NotTo(ContainSubstring("Strengthens"))
		Expect(code).To(Equal(3))

		By("comparing the other way round")
		stronger := manifestFile("weaker.json", weaker)
		out, code = interlock(ctx, admin, "diff", stronger, w.policy)
		Expect(out).To(ContainSubstring("Strengthens: safeguard " + w.pinned))
		Expect(out).NotTo(ContainSubstring("Weakens"))
		Expect(code).To(BeZero())

		By("noticing a Safeguard that alone has changed")
		rules := w.safeguards()
		rules[0].(*v1alpha1.Safeguard).Spec.PodRule.Validations[0].Expression = "true"
		out, code = interlock(ctx, admin, "diff", "-f", manifestFile("safeguards.json", append(rules, w.scalingPolicy())...), "-o", "json")
		Expect(code).To(Equal(3))
		var document struct {
			Comparisons []struct {
				Changes []struct{ Effect, What, Where string }
			}
		}
		Expect(json.Unmarshal([]byte(out), &document)).To(Succeed())
		Expect(document.Comparisons).To(HaveLen(1))
		Expect(document.Comparisons[0].Changes).To(ContainElement(
			SatisfyAll(HaveField("Effect", "Weakens"), HaveField("What", "verification"), HaveField("Where", w.pinned))))

		By("taking a policy that is not there yet for what lets its namespaces' models be cleared")
		fresh := w.scalingPolicy()
		fresh.Name = w.policy + "-new"
		out, code = interlock(ctx, admin, "diff", "-f", manifestFile("new.json", fresh))
		Expect(out).To(ContainSubstring("no policy (cluster) -> " + fresh.Name))
		Expect(code).To(Equal(3))
		out, code = interlock(ctx, admin, "diff", "-f", manifestFile("new.json", fresh), w.policy)
		Expect(out).To(ContainSubstring("Nothing differs."))
		Expect(code).To(BeZero())
	})

	It("says in one line what it cannot do", func(ctx SpecContext) {
		w := namesOnly(ctx)
		policy := manifestFile("policy.json", append(w.safeguards(), w.scalingPolicy())...)
		for _, tc := range []struct {
			kubeconfig string
			args       []string
			want       string
		}{
			{st.Kubeconfig(), []string{"-f", policy, "no-such-policy"}, `ScalingPolicy "no-such-policy" is not on the cluster`},
			{st.Kubeconfig(), []string{"-f", manifestFile("alone.json", w.scalingPolicy())}, "asks for Safeguard " + w.classifier + ", which is not there"},
			{user(ctx, w.ns+"-stranger"), []string{"-f", policy}, "list ScalingPolicies: scalingpolicies.interlock.dev is forbidden"},
		} {
			out, code := interlock(ctx, tc.kubeconfig, append([]string{"diff"}, tc.args...)...)
			Expect(code).To(Equal(1))
			Expect(out).To(HavePrefix("error: "))
			Expect(out).To(ContainSubstring(tc.want))
			Expect(strings.Count(out, "\n")).To(Equal(1), out)
		}
	})
})

var _ = Describe("kubectl interlock calendar", func() {
	It("lists what lapses for the models of a namespace, and everything for who may read it", func(ctx SpecContext) {
		threshold := "Cyber " + invisible
		w := newWorld(ctx, func(p *v1alpha1.ScalingPolicySpec) {
			p.Assessment = &v1alpha1.AssessmentRules{MaxAgeMonths: new(int32(3))}
			p.Thresholds = []v1alpha1.Threshold{{
				Name: threshold, Domain: "Cyber", Definition: "It can.", Source: v1alpha1.Source{Document: "Test"},
				Demands: []v1alpha1.ThresholdDemand{{Axis: v1alpha1.AxisSecurity, Level: p.Levels[1].Name}}}}
		})
		assessment := &v1alpha1.CapabilityAssessment{
			ObjectMeta: metav1.ObjectMeta{Name: w.ns},
			Spec: v1alpha1.CapabilityAssessmentSpec{
				Model: "llm", Digests: []string{w.digest("llm")}, AssessedAt: metav1.NewTime(time.Now().AddDate(0, -2, 0)),
				Evaluator: v1alpha1.Evaluator{Name: "Test"},
				Outcomes:  []v1alpha1.ThresholdOutcome{{Threshold: threshold, Outcome: v1alpha1.AssessmentRuledOut, Method: "Tests"}}}}
		roadmap := &v1alpha1.SafetyRoadmap{ObjectMeta: metav1.ObjectMeta{Name: w.ns}, Spec: v1alpha1.SafetyRoadmapSpec{
			Goals: []v1alpha1.Goal{{
				Name: "goal-of-" + w.ns, Pillar: "Security" + invisible, Goal: "Do it.", DateSet: "2026-01-01",
				TargetDate: v1alpha1.Date(time.Now().AddDate(0, 0, 5).Format(time.DateOnly))}}}}
		create(ctx, assessment, roadmap)
		DeferCleanup(func(ctx SpecContext) {
			Expect(api.Delete(ctx, assessment)).To(Succeed())
			Expect(api.Delete(ctx, roadmap)).To(Succeed())
		})
		create(ctx, w.served("llm").Build(), w.deployment("llm", 1, w.pinnedPod("llm")))
		w.awaitCleared(ctx, "llm", 1)

		officer := user(ctx, w.ns+"-officer", "interlock-safety-team")
		var all string
		Eventually(ctx, func() int {
			var code int
			all, code = interlock(ctx, officer, "calendar", "-A", "-o", "wide")
			return code
		}).Should(BeZero(), "until the API server knows of the rights")
		assessmentLine := fmt.Sprintf(`(?m)^(30|90)d .* Assessment +%s +ruling out Cyber 31m under %s +%s/llm$`, w.ns, w.policy, w.ns)
		Expect(all).To(MatchRegexp(assessmentLine))
		Expect(all).To(MatchRegexp(`(?m)^7d .* Goal +%s +the day of goal goal-of-%s \(Security31m, Planned\)`, w.ns, w.ns))
		Expect(all).NotTo(MatchRegexp(`Clearance +%s/llm`, w.ns), "the operator renews it")
		Expect(all).NotTo(ContainSubstring("\u009b"))
		Expect(all).NotTo(ContainSubstring("\u202e"))

		By("counting it for the metrics")
		for kind, within := range map[string]string{"Assessment": "90d", "Goal": "7d"} {
			Expect(metric(fmt.Sprintf("interlock_expiries{kind=%q,within=%q}", kind, within))).To(BeNumerically(">=", 1), kind)
		}

		By("leaving out what does not bear on the models of the namespace")
		mine, code := interlock(ctx, officer, "calendar", "-n", w.ns, "-o", "wide")
		Expect(code).To(BeZero())
		Expect(mine).To(MatchRegexp(assessmentLine))
		Expect(mine).NotTo(ContainSubstring("Goal"))
		none, code := interlock(ctx, officer, "calendar", "-n", "default")
		Expect(code).To(BeZero())
		Expect(none).To(Equal("Nothing lapses within 90d for the models of namespace default; --all-namespaces lists everything.\n"))

		By("refusing rather than leaving out what the user may not read")
		viewer := user(ctx, w.ns+"-viewer", "interlock-policy-viewer")
		out, code := interlock(ctx, viewer, "calendar", "-A")
		Expect(code).To(Equal(1))
		Expect(out).To(MatchRegexp(`^error: list ModelDeployments: .* is forbidden.*\n$`))
	})
})

var _ = Describe("kubectl interlock explain and approve", func() {
	It("tell what is lacking, and make approvals that count until what was approved changes, and none that would not count", func(ctx SpecContext) {
		w := newWorld(ctx, waivable, signedOffBy("rso", v1alpha1.ApprovalRule{Kind: v1alpha1.SubjectWaiver, NoticeTo: []string{"Board"}}))
		rhea := w.newOfficer(ctx, "rhea", "rso")
		create(ctx, w.modelDeployment("llm", builder.ASL3), w.deployment("server", 1, w.pinnedPod("llm")), w.denyEgress())
		waiver := func(reason string) *v1alpha1.Waiver {
			o := builder.Waiver(w.ns, "no-classifier").Model("llm").Safeguards(w.classifier).NotAfter(time.Now().Add(20 * time.Minute)).Build()
			o.Spec.Reason = reason
			return o
		}
		asked := waiver("its image is broken" + invisible)
		create(ctx, asked)
		approve := func(kubeconfig string, more ...string) (string, int) {
			GinkgoHelper()
			return interlock(ctx, kubeconfig, append([]string{"approve", "waiver", asked.Name, "-n", w.ns, "--role=rso"}, more...)...)
		}

		By("telling who may look at the namespace what is lacking, and what to do")
		Eventually(w.signOff("llm", "rso", v1alpha1.SubjectWaiver)).WithContext(ctx).Should(HaveField("Approvers", BeEmpty()))
		Eventually(w.safeguardsMet("llm")).WithContext(ctx).Should(Equal("2/3"))
		explain := func(more ...string) string {
			GinkgoHelper()
			out, code := interlock(ctx, rhea.kubeconfig, append([]string{"explain", "llm", "-n", w.ns}, more...)...)
			Expect(code).To(BeZero(), out)
			return out
		}
		told := explain()
		Expect(told).To(HavePrefix("ModelDeployment " + w.ns + "/llm: Held\n"))
		Expect(told).To(MatchRegexp(`(?m)^Safeguard %s: Missing \(Binding\)\n  required by  .*\n  found        .*%s.*\n  do           add the container`, w.classifier, classifierMessage))
		Expect(told).To(MatchRegexp(`(?m)^Approval of Waiver no-classifier in role rso: 0 of 1\n  do           kubectl interlock approve waiver no-classifier -n %s --role rso$`, w.ns))
		Expect(told).To(ContainSubstring("Waiver no-classifier: Pending\n"))

		By("refusing what would not count before anything is created")
		out, code := approve(rhea.kubeconfig, "--yes")
		Expect(code).To(Equal(1))
		Expect(out).To(ContainSubstring("ScalingPolicy " + w.policy + " asks that Board be told before"))
		out, code = approve(st.Kubeconfig(), "--yes", "--notice-given-to=Board")
		Expect(code).To(Equal(1))
		Expect(out).To(ContainSubstring("wrote what is approved, or asked for it"))
		stranger := user(ctx, w.ns+"-stranger", "interlock-approver")
		Eventually(ctx, func() string {
			out, _ := approve(stranger, "--yes", "--notice-given-to=Board")
			return out
		}).Should(ContainSubstring(`needs the RBAC verb approve on approvals "rso"`))
		out, code = approve(rhea.kubeconfig, "--notice-given-to=Board")
		Expect(code).To(Equal(1))
		Expect(out).To(ContainSubstring("Approve it? [y/N]"))
		approvals := &v1alpha1.ApprovalList{}
		Expect(api.List(ctx, approvals, client.InNamespace(w.ns))).To(Succeed())
		Expect(approvals.Items).To(BeEmpty())

		By("showing what is approved, by whom, and clearing the model")
		out, code = approve(rhea.kubeconfig, "--notice-given-to=Board", "--yes")
		Expect(code).To(BeZero(), out)
		Expect(out).To(ContainSubstring("reason       its image is broken31m\n"))
		Expect(out).To(ContainSubstring("as " + rhea.name + ", in namespace " + w.ns + "; asked for by ScalingPolicy " + w.policy))
		Expect(out).To(MatchRegexp(`(?m)^approval.interlock.dev/rso-\S+ created$`))
		w.awaitCleared(ctx, "llm", 1)
		var document struct {
			Verdict, SafeguardsMet string
			Safeguards             []v1alpha1.SafeguardResult
		}
		Expect(json.Unmarshal([]byte(explain("-o", "json")), &document)).To(Succeed())
		Expect(document.Verdict).To(BeEquivalentTo(v1alpha1.OutcomeCleared))
		Expect(document.SafeguardsMet).To(Equal("2/3, 1 waived"))
		Expect(document.Safeguards[0]).To(And(HaveField("Name", w.classifier), HaveField("State", v1alpha1.SafeguardWaived), HaveField("Waiver", asked.Name)))
		Expect(explain()).To(ContainSubstring("Approval of Waiver no-classifier in role rso: 1 of 1\n  approved by  " + rhea.name + "\n"))

		By("not counting once something else stands under the name that was approved")
		Expect(api.Delete(ctx, asked)).To(Succeed())
		create(ctx, waiver("something else"))
		Eventually(w.getWaiver(asked.Name)).WithContext(ctx).Should(HaveField("Status.State", v1alpha1.WaiverPending))
		Eventually(w.verdict("llm")).WithContext(ctx).Should(Equal(v1alpha1.OutcomeRevoked))
		Expect(w.signOff("llm", "rso", v1alpha1.SubjectWaiver)(ctx)).To(HaveField("Message", ContainSubstring("another digest")))

		By("counting again for what a file says that the command wrote, and she creates")
		out, code = approve(rhea.kubeconfig, "--notice-given-to=Board", "--dry-run=client", "-o", "json")
		Expect(code).To(BeZero(), out)
		_, err := st.As(rhea.kubeconfig).RunWithInput(ctx, out[strings.Index(out, "\n{"):], "create", "-f", "-")
		Expect(err).NotTo(HaveOccurred())
		w.awaitCleared(ctx, "llm", 1)
	})
})
