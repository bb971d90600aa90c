package integration

import (
	"context"
	"strconv"
	"time"

	. "github.com/onsi/ginkgo/v2"
	. "github.com/onsi/gomega"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/interlock-dev/interlock/api/v1alpha1"
	"github.com/interlock-dev/interlock/internal/testing/builder"
)

var _ = Describe("A model's way", func() {
	It("is held with reasons, released when all is in place, revoked and taken out when something is lost", func(ctx SpecContext) {
		const after = 2 * time.Second
		w := newWorld(ctx, evict(after, time.Minute))
		server := w.deployment("server", 2, w.loosePod("llm"))
		create(ctx, w.modelDeployment("llm", builder.ASL3), server)

		By("holding its pods and telling for each safeguard what is missing and what to do")
		w.awaitHeld(ctx, "llm", 2)
		Eventually(w.safeguardsMet("llm")).WithContext(ctx).Should(Equal("0/3"))
		Eventually(w.modelReady("llm")).WithContext(ctx).Should(condition(metav1.ConditionFalse, v1alpha1.ReasonSafeguardsMissing, pinnedMessage))
		Eventually(func() *v1alpha1.PodCounts { return w.model(ctx, "llm").Status.Pods }).Should(HaveValue(Equal(v1alpha1.PodCounts{Held: 2})))
		status := w.model(ctx, "llm").Status
		Expect(status.Shortfall).To(BeNil())
		Expect(status.Safeguards).To(HaveExactElements(
			missing(w.classifier, classifierMessage, "add the container"),
			missing(w.egress, "no NetworkPolicy", "apply a NetworkPolicy"),
			missing(w.pinned, pinnedMessage, pinnedRemedy)))

		By("counting the safeguards as they are added, one by one")
		create(ctx, w.denyEgress())
		Eventually(w.safeguardsMet("llm")).WithContext(ctx).Should(Equal("1/3"))
		update(ctx, server, func() { server.Spec.Template.Spec = w.pinnedPod("llm").Build().Spec })
		Eventually(w.safeguardsMet("llm")).WithContext(ctx).Should(Equal("2/3"))
		Expect(w.verdict("llm")(ctx)).To(Equal(v1alpha1.OutcomeHeld))
		Expect(w.podsOf("llm")(ctx)).To(HaveEach(beHeld()))

		By("releasing the pods once the last is in place")
		update(ctx, server, func() { server.Spec.Template.Spec = w.fitPod("llm").Build().Spec })
		w.awaitCleared(ctx, "llm", 2)
		Expect(w.modelReady("llm")(ctx)).To(condition(metav1.ConditionTrue, v1alpha1.ReasonCleared, "3 safeguards"))

		By("revoking it when its NetworkPolicy goes: first the ledger, then the pods, and not before the step's time")
		history := w.watch(ctx)
		Expect(api.Delete(ctx, w.denyEgress())).To(Succeed())
		since := w.awaitShortfall(ctx, "llm", HaveField("Blocked", BeEmpty())).Since

		By("gating the replacements of the evicted pods")
		w.awaitHeld(ctx, "llm", 2)
		Expect(w.model(ctx, "llm").Status.Shortfall).To(HaveField("QuietSince", Not(BeNil())), "it is remembered for a while")
		revoked, evicted := history.of(dropsClearance("llm")), history.of(goesAway)
		Expect(revoked).NotTo(BeEmpty())
		Expect(evicted).NotTo(BeEmpty())
		Expect(revoked[0].version).To(BeNumerically("<", evicted[0].version), "the ledger must be written before a pod goes")
		Expect(evicted[0].deletedAt()).To(BeTemporally(">=", since.Add(after)))

		By("releasing it again when the NetworkPolicy is back")
		create(ctx, w.denyEgress())
		w.awaitCleared(ctx, "llm", 2)

		By("having told of each turn once")
		Eventually(w.events("ModelDeployment", "llm")).WithContext(ctx).Should(
			Equal(map[string]int{"Held": 2, "Cleared": 2, "Revoked": 1, "Evict": 1}))
	})

	It("does not depend on the order in which manifests are applied", func(ctx SpecContext) {
		w := namesOnly(ctx)
		By("applying the Deployment to a namespace that is enrolled under a policy which does not exist yet")
		w.enrol(ctx)
		create(ctx, w.deployment("server", 1, w.pinnedPod("llm")))
		w.awaitPods(ctx, "llm", 1, beHeld())

		By("then the ModelDeployment")
		create(ctx, w.modelDeployment("llm", builder.ASL2))
		Eventually(w.modelReady("llm")).WithContext(ctx).Should(
			condition(metav1.ConditionFalse, v1alpha1.ReasonPolicyNotFound, strconv.Quote(w.policy)))

		By("then the policy")
		create(ctx, w.scalingPolicy())
		Eventually(w.modelReady("llm")).WithContext(ctx).Should(
			condition(metav1.ConditionFalse, v1alpha1.ReasonSafeguardsMissing, strconv.Quote(w.pinned)+" does not exist"))
		Expect(w.podsOf("llm")(ctx)).To(HaveEach(beHeld()))

		By("then the Safeguards")
		create(ctx, w.safeguards()...)
		w.awaitCleared(ctx, "llm", 1)
	})

	It("is not locked up by a rollout from pods that do not meet to pods that do", func(ctx SpecContext) {
		w := newWorld(ctx)
		server := w.deployment("server", 1, w.loosePod("llm"))
		create(ctx, server)
		w.awaitPods(ctx, "llm", 1, beHeld())
		create(ctx, w.modelDeployment("llm", builder.ASL2))
		w.awaitHeld(ctx, "llm", 1)

		update(ctx, server, func() { server.Spec.Template.Spec = w.pinnedPod("llm").Build().Spec })
		w.awaitCleared(ctx, "llm", 1)
		Expect(w.podsOf("llm")(ctx)).To(HaveEach(haveImage(builder.PinnedImage)))
	})

	It("is held until the API server enforces a pod rule that is new", func(ctx SpecContext) {
		w := newWorld(ctx)
		create(ctx, w.modelDeployment("llm", builder.ASL2))
		Eventually(w.verdict("llm")).WithContext(ctx).Should(Equal(v1alpha1.OutcomeCleared))
		// From here on a pod that breaks the rule must not get in, however new the rule is.
		Expect(api.Create(ctx, w.loosePod("llm").Build())).To(MatchError(ContainSubstring(pinnedMessage)))
	})
})

func (w *world) denyEgress() client.Object { return builder.NetworkPolicy(w.ns, "deny-egress").Build() }

func (w *world) safeguardsMet(model string) func(context.Context) (string, error) {
	return func(ctx context.Context) (string, error) { return w.model(ctx, model).Status.SafeguardsMet, nil }
}

// missing matches what is said of a safeguard that is not in place.
func missing(name, message, remedy string) OmegaMatcher {
	return SatisfyAll(
		HaveField("Name", name), HaveField("State", v1alpha1.SafeguardMissing), HaveField("RequiredBy", Not(BeEmpty())),
		HaveField("Message", ContainSubstring(message)), HaveField("Remedy", ContainSubstring(remedy)))
}
