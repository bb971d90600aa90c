package integration

import (
	"time"

	. "github.com/onsi/ginkgo/v2"
	. "github.com/onsi/gomega"

	"github.com/interlock-dev/interlock/api/v1alpha1"
	"github.com/interlock-dev/interlock/internal/testing/builder"
)

var _ = Describe("A manager that is restarted", func() {
	It("clears and revokes by what is so then, and takes nothing back because it knows less than before", func(ctx SpecContext) {
		w := newWorld(ctx, evict(0, 0))
		create(ctx, w.denyEgress())
		w.clearedModel(ctx, "untouched")
		create(ctx, w.modelDeployment("loses", builder.ASL3), w.deployment("loses", 1, w.fitPod("loses")))
		w.awaitCleared(ctx, "loses", 1)
		create(ctx, w.deployment("gains", 1, w.loosePod("gains")))
		w.awaitPods(ctx, "gains", 1, beHeld())
		create(ctx, w.modelDeployment("gains", builder.ASL2))
		w.awaitHeld(ctx, "gains", 1)
		create(ctx, w.modelDeployment("undone", builder.ASL2))
		Eventually(w.verdict("undone")).WithContext(ctx).Should(Equal(v1alpha1.OutcomeCleared))

		By("changing the world while nobody looks")
		Expect(manager.Stop(ctx)).To(Succeed())
		DeferCleanup(needManager)
		Expect(api.Delete(ctx, w.denyEgress())).To(Succeed())
		Expect(api.Delete(ctx, w.modelDeployment("undone", builder.ASL2))).To(Succeed())
		gains := w.deployment("gains", 1, w.pinnedPod("gains"))
		update(ctx, gains, func() { gains.Spec.Template.Spec = w.pinnedPod("gains").Build().Spec })
		create(ctx, w.pinnedPod("untouched").Build())
		history := w.watch(ctx)

		startManager(ctx)
		w.awaitHeld(ctx, "loses", 1)
		w.awaitCleared(ctx, "gains", 1)
		w.awaitPods(ctx, "untouched", 2, beRunning())
		Eventually(func() bool { return w.enforced(ctx, "undone").Cleared() }).Should(BeFalse())
		Expect(history.of(dropsClearance("untouched"))).To(BeEmpty())
		for _, e := range history.of(goesAway) {
			Expect(e.pod.Labels).NotTo(HaveKeyWithValue(v1alpha1.ModelLabel, "untouched"))
		}
		Eventually(w.events("ModelDeployment", "untouched")).WithContext(ctx).Should(HaveKeyWithValue("Cleared", 1))
		Consistently(w.events("ModelDeployment", "untouched"), "1s").WithContext(ctx).Should(HaveKeyWithValue("Cleared", 1))
	})

	It("is followed by one that stands by, soon after it was killed", func(ctx SpecContext) {
		w := newWorld(ctx)
		w.clearedModel(ctx, "llm")
		first := manager
		DeferCleanup(needManager)
		startManager(ctx) // returns when it is ready, though it does not lead
		history := w.watch(ctx)

		Expect(first.Kill()).To(Succeed())
		create(ctx, w.modelDeployment("new", builder.ASL2))
		Eventually(w.verdict("new"), 40*time.Second).WithContext(ctx).Should(Equal(v1alpha1.OutcomeCleared))
		Expect(history.of(dropsClearance("llm"))).To(BeEmpty())
		Expect(w.podsOf("llm")(ctx)).To(HaveEach(beRunning()))
	})
})

// needManager starts a manager if none runs: whatever becomes of a test, the next ones need one.
func needManager(ctx SpecContext) {
	if !manager.Running() {
		startManager(ctx)
	}
}
