package integration

import (
	"context"
	"strings"
	"time"

	. "github.com/onsi/ginkgo/v2"
	. "github.com/onsi/gomega"
	admissionv1 "k8s.io/api/admissionregistration/v1"
	corev1 "k8s.io/api/core/v1"
	policyv1 "k8s.io/api/policy/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/interlock-dev/interlock/api/v1alpha1"
	"github.com/interlock-dev/interlock/internal/testing/builder"
)

var _ = Describe("Taking out pods", func() {
	// lose takes a safeguard away from a model at ASL-3 that is cleared.
	lose := func(ctx context.Context, w *world) {
		GinkgoHelper()
		Expect(api.Delete(ctx, w.denyEgress())).To(Succeed())
		Eventually(w.verdict("llm")).WithContext(ctx).Should(Equal(v1alpha1.OutcomeRevoked))
	}

	It("comes after the ledger, also where the policy evicts at once", func(ctx SpecContext) {
		w := newWorld(ctx, evict(0, 0))
		create(ctx, w.denyEgress(), w.modelDeployment("llm", builder.ASL3), w.deployment("server", 3, w.fitPod("llm")))
		w.awaitCleared(ctx, "llm", 3)
		history := w.watch(ctx)
		Expect(api.Delete(ctx, w.denyEgress())).To(Succeed())
		w.awaitHeld(ctx, "llm", 3)
		revoked, evicted := history.of(dropsClearance("llm")), history.of(goesAway)
		Expect(revoked).NotTo(BeEmpty())
		Expect(evicted).NotTo(BeEmpty())
		Expect(revoked[0].version).To(BeNumerically("<", evicted[0].version))
	})

	It("respects a disruption budget, says which, and deletes when the policy's deadline has come", func(ctx SpecContext) {
		const force = 7 * time.Second
		w := newWorld(ctx, evict(0, force))
		// What is said of it is longer than the API takes.
		budget := w.noEviction("never-a-pod-less-"+strings.Repeat("x", 200), v1alpha1.ModelLabel, "llm")
		create(ctx, w.denyEgress(), budget,
			w.modelDeployment("llm", builder.ASL3), w.deployment("server", 2, w.fitPod("llm")))
		w.awaitCleared(ctx, "llm", 2)
		history := w.watch(ctx)
		lose(ctx, w)

		shortfall := w.awaitShortfall(ctx, "llm", SatisfyAll(
			HaveField("Step", v1alpha1.ShortfallEvict), HaveField("NextStepTime", Not(BeNil())),
			HaveField("Blocked", SatisfyAll(ContainSubstring("2 of 2 pods"), ContainSubstring("disruption budget"), ContainSubstring("never-a-pod-less")))))
		Expect(shortfall.NextStepTime.Time).To(BeTemporally("==", shortfall.Since.Add(force)))

		w.awaitHeld(ctx, "llm", 2)
		evicted := history.of(goesAway)
		Expect(evicted).NotTo(BeEmpty())
		Expect(evicted[0].deletedAt()).To(BeTemporally(">=", shortfall.Since.Add(force)))
		Eventually(w.events("ModelDeployment", "llm")).WithContext(ctx).Should(And(HaveKeyWithValue("Revoked", 1), HaveKeyWithValue("Evict", 1)))
	})

	It("is not stopped by a pod that several budgets protect, which the API server takes for an error", func(ctx SpecContext) {
		w := newWorld(ctx, evict(0, 0))
		create(ctx, w.denyEgress(), w.noEviction("one", "app", "a-protected"), w.noEviction("two", "app", "a-protected"),
			w.modelDeployment("llm", builder.ASL3), w.deployment("a-protected", 1, w.fitPod("llm")), w.deployment("b-free", 1, w.fitPod("llm")))
		w.awaitCleared(ctx, "llm", 2)
		lose(ctx, w)

		Eventually(w.shortfall("llm")).WithContext(ctx).Should(HaveField("Blocked", ContainSubstring("more than one PodDisruptionBudget")))
		Eventually(w.podsBy(map[string]string{"app": "b-free"})).WithContext(ctx).Should(SatisfyAll(HaveLen(1), HaveEach(beHeld())))
		Expect(w.podsBy(map[string]string{"app": "a-protected"})(ctx)).To(HaveEach(beRunning()))
		Expect(api.Delete(ctx, w.noEviction("one", "app", "a-protected"))).To(Succeed())
		Eventually(w.shortfall("llm")).WithContext(ctx).Should(HaveField("Blocked", ContainSubstring("disruption budget two")))
	})

	It("says what stands in the way when evictions fail for a reason that nobody foresaw, and goes on once it is gone", func(ctx SpecContext) {
		w := newWorld(ctx, evict(0, 0))
		create(ctx, w.denyEgress(), w.modelDeployment("llm", builder.ASL3), w.deployment("server", 1, w.fitPod("llm")))
		w.awaitCleared(ctx, "llm", 1)
		policy, binding := w.refuseEvictions()
		create(ctx, policy, binding)
		DeferCleanup(func(ctx SpecContext) {
			Expect(api.Delete(ctx, binding)).To(Succeed())
			Expect(api.Delete(ctx, policy)).To(Succeed())
		})
		Eventually(func() error {
			pods, err := w.podsOf("llm")(ctx)
			Expect(err).NotTo(HaveOccurred())
			return evictDry(ctx, &pods[0])
		}).Should(MatchError(ContainSubstring("nobody leaves")))
		lose(ctx, w)

		Eventually(w.shortfall("llm")).WithContext(ctx).Should(HaveField("Blocked", ContainSubstring("nobody leaves")))
		Expect(w.podsOf("llm")(ctx)).To(HaveEach(beRunning()))
		update(ctx, binding, func() { binding.Spec.ValidationActions = []admissionv1.ValidationAction{admissionv1.Audit} })
		w.awaitHeld(ctx, "llm", 1)
	})

	It("is not put off by a declaration that is taken back and made anew", func(ctx SpecContext) {
		w := newWorld(ctx, evict(time.Hour, 0))
		create(ctx, w.denyEgress(), w.modelDeployment("llm", builder.ASL3), w.deployment("server", 1, w.fitPod("llm")))
		w.awaitCleared(ctx, "llm", 1)
		lose(ctx, w)
		since := w.awaitShortfall(ctx, "llm", HaveField("Step", BeEmpty())).Since
		Eventually(func() time.Time { return time.Now() }).Should(BeTemporally(">", since.Add(2*time.Second)))

		Expect(api.Delete(ctx, w.modelDeployment("llm", builder.ASL3))).To(Succeed())
		Eventually(w.events("LimitRange", v1alpha1.ClearancesName)).WithContext(ctx).Should(HaveKeyWithValue("StrayPods", 1))
		create(ctx, w.modelDeployment("llm", builder.ASL3))
		Eventually(w.shortfall("llm")).WithContext(ctx).Should(HaveField("Since.Time", BeTemporally("==", since.Time)))
	})

	It("lets no pod's own grace outlast the deadline", func(ctx SpecContext) {
		const force = 6 * time.Second
		w := namesOnly(ctx)
		w.createPolicy(ctx, evict(0, force))
		node := w.silentNode(ctx)
		slow := w.loosePod("llm").With(func(p *corev1.Pod) {
			p.Name, p.GenerateName = "slow", ""
			p.Spec.NodeName = node
			p.Spec.TerminationGracePeriodSeconds = new(int64(3600))
		}).Build()
		create(ctx, w.modelDeployment("llm", builder.ASL2), slow)
		w.awaitAdmitted(ctx, "llm", 1)
		history := w.watch(ctx)
		w.enrol(ctx)

		Eventually(func() []entry { return history.of(goesAway) }).ShouldNot(BeEmpty())
		Expect(*history.of(goesAway)[0].pod.DeletionGracePeriodSeconds).To(BeNumerically("<=", force/time.Second))
		Eventually(w.podsOf("llm")).WithContext(ctx).Should(BeEmpty(), "its node does not say that it has ended")
		Expect(time.Now()).To(BeTemporally(">=", w.clearances(ctx).CreationTimestamp.Add(force-time.Second)))
	})
})

// awaitShortfall waits until pods of a model run without clearance, and what is said of that matches, and returns it.
func (w *world) awaitShortfall(ctx context.Context, model string, matcher OmegaMatcher) *v1alpha1.Shortfall {
	GinkgoHelper()
	var shortfall *v1alpha1.Shortfall
	Eventually(func(g Gomega) {
		shortfall = w.model(ctx, model).Status.Shortfall
		g.Expect(shortfall).NotTo(BeNil())
		g.Expect(shortfall).To(matcher)
	}).WithContext(ctx).Should(Succeed())
	return shortfall
}

func (w *world) shortfall(model string) func(context.Context) (*v1alpha1.Shortfall, error) {
	return func(ctx context.Context) (*v1alpha1.Shortfall, error) {
		return w.model(ctx, model).Status.Shortfall, nil
	}
}

// refuseEvictions gives a policy of somebody else by which no pod of the namespace can be evicted.
func (w *world) refuseEvictions() (*admissionv1.ValidatingAdmissionPolicy, *admissionv1.ValidatingAdmissionPolicyBinding) {
	name := metav1.ObjectMeta{Name: w.ns + "-no-evictions"}
	return &admissionv1.ValidatingAdmissionPolicy{ObjectMeta: name, Spec: admissionv1.ValidatingAdmissionPolicySpec{
			MatchConstraints: &admissionv1.MatchResources{ResourceRules: []admissionv1.NamedRuleWithOperations{{
				RuleWithOperations: admissionv1.RuleWithOperations{
					Operations: []admissionv1.OperationType{admissionv1.Create},
					Rule:       admissionv1.Rule{APIGroups: []string{""}, APIVersions: []string{"v1"}, Resources: []string{"pods/eviction"}},
				}}}},
			Validations: []admissionv1.Validation{{Expression: "false", Message: "nobody leaves"}},
		}}, &admissionv1.ValidatingAdmissionPolicyBinding{ObjectMeta: name, Spec: admissionv1.ValidatingAdmissionPolicyBindingSpec{
			PolicyName:        name.Name,
			ValidationActions: []admissionv1.ValidationAction{admissionv1.Deny},
			MatchResources: &admissionv1.MatchResources{NamespaceSelector: &metav1.LabelSelector{
				MatchLabels: map[string]string{corev1.LabelMetadataName: w.ns}}},
		}}
}

// evictDry asks whether a pod could be evicted.
func evictDry(ctx context.Context, pod *corev1.Pod) error {
	return api.SubResource("eviction").Create(ctx, pod, &policyv1.Eviction{
		DeleteOptions: &metav1.DeleteOptions{DryRun: []string{metav1.DryRunAll}}})
}

// silentNode makes a node without a kubelet: what is bound to it never starts, and never ends.
func (w *world) silentNode(ctx context.Context) string {
	GinkgoHelper()
	node := &corev1.Node{
		ObjectMeta: metav1.ObjectMeta{Name: w.ns + "-silent"},
		Spec:       corev1.NodeSpec{Unschedulable: true},
	}
	create(ctx, node)
	DeferCleanup(func(ctx SpecContext) { Expect(api.Delete(ctx, node)).To(Succeed()) })
	return node.Name
}
