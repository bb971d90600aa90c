package integration

import (
	. "github.com/onsi/ginkgo/v2"
	. "github.com/onsi/gomega"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/interlock-dev/interlock/api/v1alpha1"
	"github.com/interlock-dev/interlock/internal/testing/builder"
)

var _ = Describe("Releasing pods", func() {
	It("takes our gate and leaves those of others", func(ctx SpecContext) {
		const foreign = "example.com/quota"
		w := newWorld(ctx)
		create(ctx, builder.Pod(w.ns, "shared").Model("llm").Gate(foreign).Build())
		Expect(w.getPod("shared")(ctx)).To(SatisfyAll(haveGate(foreign), haveGate(v1alpha1.ClearanceGate)))
		create(ctx, w.modelDeployment("llm", builder.ASL2))
		Eventually(w.getPod("shared")).WithContext(ctx).Should(HaveField("Spec.SchedulingGates", ConsistOf(corev1.PodSchedulingGate{Name: foreign})))

		pod := builder.Pod(w.ns, "shared").Build()
		update(ctx, pod, func() { pod.Spec.SchedulingGates = nil })
		Eventually(w.getPod("shared")).WithContext(ctx).Should(beRunning())
	})

	It("judges each pod as it is then, not as it was when it came", func(ctx SpecContext) {
		w := newWorld(ctx)
		for _, name := range []string{"stays-fit", "turns-loose", "turns-fit"} {
			create(ctx, builder.Pod(w.ns, name).Model("llm").Build())
		}
		setImage := func(name, image string) {
			pod := builder.Pod(w.ns, name).Build()
			update(ctx, pod, func() { pod.Spec.Containers[0].Image = image })
		}
		setImage("turns-loose", builder.TaggedImage)
		setImage("turns-fit", builder.TaggedImage)
		create(ctx, w.modelDeployment("llm", builder.ASL2))
		Eventually(w.getPod("stays-fit")).WithContext(ctx).Should(beRunning())
		Eventually(w.verdict("llm")).WithContext(ctx).Should(Equal(v1alpha1.OutcomeCleared))
		Expect(w.podsOf("llm")(ctx)).To(ContainElement(SatisfyAll(HaveField("Name", "turns-loose"), beHeld())))

		setImage("turns-fit", builder.PinnedImage)
		Eventually(w.getPod("turns-fit")).WithContext(ctx).Should(beRunning())
		Expect(w.getPod("turns-loose")(ctx)).To(beHeld())
		Eventually(func() *v1alpha1.PodCounts { return w.model(ctx, "llm").Status.Pods }).Should(HaveValue(Equal(v1alpha1.PodCounts{Held: 1, Admitted: 2})))
	})

	It("follows what the safety team writes: a Safeguard and a policy that are edited take effect", func(ctx SpecContext) {
		w := newWorld(ctx)
		w.clearedModel(ctx, "llm")

		By("asking for a container more in the Safeguard that a running pod met")
		sg := builder.Safeguard(w.pinned).Build()
		update(ctx, sg, func() {
			sg.Spec.PodRule.Validations = append(sg.Spec.PodRule.Validations, v1alpha1.PodValidation{Expression: classifierRule, Message: classifierMessage})
		})
		Eventually(w.verdict("llm")).WithContext(ctx).Should(Equal(v1alpha1.OutcomeRevoked))
		update(ctx, sg, func() { sg.Spec.PodRule.Validations = sg.Spec.PodRule.Validations[:1] })
		Eventually(w.verdict("llm")).WithContext(ctx).Should(Equal(v1alpha1.OutcomeCleared))

		By("asking for another Safeguard in the policy")
		policy := w.scalingPolicy()
		update(ctx, policy, func() { policy.Spec.Levels[0].Security = builder.Level("").Security(w.egress).Build().Security })
		Eventually(w.verdict("llm")).WithContext(ctx).Should(Equal(v1alpha1.OutcomeRevoked))
		Expect(w.safeguardsMet("llm")(ctx)).To(Equal("1/2"))
		create(ctx, w.denyEgress())
		Eventually(w.verdict("llm")).WithContext(ctx).Should(Equal(v1alpha1.OutcomeCleared))

		By("raising the level at which the model was assessed")
		md := w.modelDeployment("llm", builder.ASL3)
		update(ctx, md, func() { md.Spec.AssessedLevel = builder.ASL3 })
		Eventually(w.modelReady("llm")).WithContext(ctx).Should(condition(metav1.ConditionFalse, v1alpha1.ReasonSafeguardsMissing, classifierMessage))
		Expect(w.model(ctx, "llm").Status).To(SatisfyAll(HaveField("ObservedGeneration", md.Generation), HaveField("DeploymentLevel", builder.ASL3)))
		update(ctx, md, func() { md.Spec.AssessedLevel = builder.ASL2 })
		Eventually(w.verdict("llm")).WithContext(ctx).Should(Equal(v1alpha1.OutcomeCleared))

		By("keeping the pods that never broke anything running")
		Expect(w.podsOf("llm")(ctx)).To(SatisfyAll(HaveLen(1), HaveEach(beRunning())))
	})

	It("refuses a new pod of a cleared model that breaks a rule, with what to do", func(ctx SpecContext) {
		w := newWorld(ctx)
		w.clearedModel(ctx, "llm")
		Expect(api.Create(ctx, w.loosePod("llm").Build())).To(MatchError(SatisfyAll(
			ContainSubstring("Safeguard "+w.pinned), ContainSubstring(pinnedMessage), ContainSubstring(pinnedRemedy))))
		Expect(api.Create(ctx, w.pinnedPod("llm").Build(), client.DryRunAll)).To(Succeed())
	})
})
