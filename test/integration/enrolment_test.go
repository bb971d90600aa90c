package integration

import (
	"context"
	"time"

	. "github.com/onsi/ginkgo/v2"
	. "github.com/onsi/gomega"
	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	eventsv1 "k8s.io/api/events/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/interlock-dev/interlock/api/v1alpha1"
	"github.com/interlock-dev/interlock/internal/testing/builder"
)

var _ = Describe("A namespace", func() {
	It("names the model of pods that name none", func(ctx SpecContext) {
		w := newWorld(ctx)
		w.label(ctx, map[string]string{v1alpha1.ModelLabel: "llm"})
		Eventually(func() string { return w.clearances(ctx).Annotations["interlock.dev/defaultModel"] }).Should(Equal("llm"))
		nameless := builder.Pod(w.ns, "early").Build()
		Eventually(func() error { return api.Create(ctx, nameless.DeepCopy(), client.DryRunAll) }).Should(Succeed(), "until the API server has seen it too")
		create(ctx, nameless)
		Expect(nameless).To(SatisfyAll(HaveField("Labels", HaveKeyWithValue(v1alpha1.ModelLabel, "llm")), haveGate(v1alpha1.ClearanceGate)))
		w.awaitPods(ctx, "llm", 1, beHeld())

		create(ctx, w.modelDeployment("llm", builder.ASL2))
		w.awaitCleared(ctx, "llm", 1)
		create(ctx, builder.Pod(w.ns, "late").Build())
		w.awaitPods(ctx, "llm", 2, beRunning())
		Expect(api.Create(ctx, builder.Pod(w.ns, "loose").Image(builder.TaggedImage).Build())).To(MatchError(ContainSubstring(pinnedMessage)))
	})

	It("may ask only pods with accelerators to name a model", func(ctx SpecContext) {
		w := newWorld(ctx)
		Expect(api.Create(ctx, builder.Pod(w.ns, "cpu").Build())).To(MatchError(ContainSubstring("must name the ModelDeployment")))
		w.label(ctx, map[string]string{v1alpha1.CoverageLabel: v1alpha1.CoverageAccelerators})
		Eventually(func() error { return api.Create(ctx, builder.Pod(w.ns, "cpu").Build()) }).Should(Succeed())
		Eventually(w.getPod("cpu")).WithContext(ctx).Should(beRunning())

		Expect(api.Create(ctx, builder.Pod(w.ns, "gpu").GPUs(1).Build())).To(MatchError(ContainSubstring("must name the ModelDeployment")))
		initial := builder.Pod(w.ns, "gpu-in-init").InitContainer("warm-up", builder.PinnedImage).GPUsInInit(1).Build()
		Expect(api.Create(ctx, initial)).To(MatchError(ContainSubstring("must name the ModelDeployment")))
		create(ctx, w.pinnedPod("llm").GPUs(1).Build())
		w.awaitPods(ctx, "llm", 1, beHeld())
	})

	It("has the pods that run in it judged when it is enrolled", func(ctx SpecContext) {
		const after = 10 * time.Second
		w := namesOnly(ctx)
		w.createPolicy(ctx, evict(after, 0))
		create(ctx, w.modelDeployment("good", builder.ASL2), w.deployment("good", 1, w.pinnedPod("good")),
			w.modelDeployment("bad", builder.ASL2), w.deployment("bad", 2, w.loosePod("bad")),
			w.pinnedPod("undeclared").Build(),
			w.deployment("nameless", 1, builder.Pod(w.ns, "")))
		nameless := w.podsBy(client.MatchingLabels{"app": "nameless"})
		for model, n := range map[string]int{"good": 1, "bad": 2, "undeclared": 1} {
			w.awaitPods(ctx, model, n, beRunning())
		}
		Eventually(nameless).WithContext(ctx).Should(SatisfyAll(HaveLen(1), HaveEach(beRunning())))
		history := w.watch(ctx)

		w.enrol(ctx)
		By("revoking the model whose pods do not meet, and clearing the one whose pods do")
		Eventually(func() []metav1.Condition { return history.saidOf("bad") }).Should(ContainElement(condition(metav1.ConditionFalse, v1alpha1.ReasonSafeguardsMissing, "2 of 2 pods")))
		enrolled := w.clearances(ctx).CreationTimestamp
		Eventually(w.verdict("good")).WithContext(ctx).Should(Equal(v1alpha1.OutcomeCleared))

		By("taking out what does not meet by the steps of the policy")
		w.awaitHeld(ctx, "bad", 2)
		Eventually(w.podsOf("undeclared")).WithContext(ctx).Should(BeEmpty())
		Eventually(nameless).WithContext(ctx).Should(BeEmpty())
		for _, e := range history.of(goesAway) {
			Expect(e.pod.Labels).NotTo(HaveKeyWithValue(v1alpha1.ModelLabel, "good"))
			Expect(e.deletedAt()).To(BeTemporally(">=", enrolled.Add(after)), e.pod.Name)
		}
		Expect(w.podsOf("good")(ctx)).To(HaveEach(beRunning()))

		By("telling of the strays once, and refusing their replacement")
		Eventually(w.events("LimitRange", v1alpha1.ClearancesName)).WithContext(ctx).Should(Equal(map[string]int{"StrayPods": 1, "StrayPodsGone": 1}))
		Eventually(func(g Gomega) {
			d := &appsv1.Deployment{}
			g.Expect(api.Get(ctx, client.ObjectKey{Namespace: w.ns, Name: "nameless"}, d)).To(Succeed())
			g.Expect(d.Status.Conditions).To(ContainElement(SatisfyAll(
				HaveField("Type", appsv1.DeploymentReplicaFailure), HaveField("Message", ContainSubstring("must name the ModelDeployment")))))
		}).WithContext(ctx).Should(Succeed())
	})

	It("lets pods that meet everything run while new rules come into force, though its policy evicts at once", func(ctx SpecContext) {
		w := namesOnly(ctx)
		create(ctx, w.modelDeployment("good", builder.ASL2), w.deployment("good", 2, w.pinnedPod("good")))
		w.awaitPods(ctx, "good", 2, beRunning())
		w.awaitAdmitted(ctx, "good", 2)
		history := w.watch(ctx)
		w.label(ctx, map[string]string{v1alpha1.EnforceLabel: w.policy})
		Eventually(w.modelReady("good")).WithContext(ctx).Should(condition(metav1.ConditionFalse, v1alpha1.ReasonPolicyNotFound, w.policy))

		w.createPolicy(ctx, evict(0, 0))
		Eventually(w.verdict("good")).WithContext(ctx).Should(Equal(v1alpha1.OutcomeCleared))
		Expect(history.saidOf("good")).To(ContainElement(condition(metav1.ConditionFalse, v1alpha1.ReasonSafeguardsMissing, "the rule is new")))
		Expect(history.of(goesAway)).To(BeEmpty())
	})

	It("tells of strays that a budget protects once, however often they are tried", func(ctx SpecContext) {
		w := namesOnly(ctx)
		w.createPolicy(ctx, evict(0, 0))
		create(ctx, w.noEviction("stray", "app", "stray"), builder.Pod(w.ns, "stray").Label("app", "stray").Build())
		Eventually(w.getPod("stray")).WithContext(ctx).Should(beRunning())
		w.enrol(ctx)
		Eventually(w.events("LimitRange", v1alpha1.ClearancesName)).WithContext(ctx).Should(Equal(map[string]int{"StrayPods": 1}))
		Consistently(w.events("LimitRange", v1alpha1.ClearancesName), "7s").WithContext(ctx).Should(Equal(map[string]int{"StrayPods": 1}))
		Expect(w.getPod("stray")(ctx)).To(beRunning())

		Expect(api.Delete(ctx, w.noEviction("stray", "app", "stray"))).To(Succeed())
		Eventually(gone(ctx, builder.Pod(w.ns, "stray").Build())).Should(BeTrue())
	})

	It("is left alone once it is enrolled no more: its ledgers go, and its pods are free", func(ctx SpecContext) {
		w := newWorld(ctx)
		w.clearedModel(ctx, "good")
		create(ctx, w.deployment("bad", 1, w.loosePod("bad")), w.pinnedPod("undeclared").Gate("example.com/quota").Build())
		w.awaitPods(ctx, "bad", 1, beHeld())
		w.awaitPods(ctx, "undeclared", 1, haveGate(v1alpha1.ClearanceGate))
		create(ctx, w.modelDeployment("bad", builder.ASL2))
		w.awaitHeld(ctx, "bad", 1)
		history := w.watch(ctx)

		w.label(ctx, map[string]string{v1alpha1.EnforceLabel: ""})
		for _, o := range []client.Object{
			&corev1.LimitRange{ObjectMeta: metav1.ObjectMeta{Namespace: w.ns, Name: v1alpha1.ClearancesName}},
			&v1alpha1.ClearanceLedger{ObjectMeta: metav1.ObjectMeta{Namespace: w.ns, Name: v1alpha1.LedgerName}},
		} {
			Eventually(gone(ctx, o)).Should(BeTrue())
		}
		w.awaitPods(ctx, "bad", 1, beRunning())
		w.awaitPods(ctx, "undeclared", 1, HaveField("Spec.SchedulingGates", ConsistOf(HaveField("Name", "example.com/quota"))))
		for _, model := range []string{"good", "bad"} {
			Eventually(w.modelReady(model)).WithContext(ctx).Should(condition(metav1.ConditionFalse, v1alpha1.ReasonNotEnrolled, "nothing holds this model"))
			Expect(w.model(ctx, model).Status).To(SatisfyAll(HaveField("Verdict", BeEmpty()), HaveField("Safeguards", BeEmpty())))
		}
		create(ctx, builder.Pod(w.ns, "anything").Image(builder.TaggedImage).Build())
		Expect(history.of(goesAway)).To(BeEmpty())
	})

	It("takes out the pods of a model whose declaration is taken back, and leaves the others", func(ctx SpecContext) {
		w := newWorld(ctx, evict(time.Second, 0))
		w.clearedModel(ctx, "kept")
		w.clearedModel(ctx, "undone")
		history := w.watch(ctx)
		Expect(api.Delete(ctx, w.modelDeployment("undone", builder.ASL2))).To(Succeed())
		w.awaitPods(ctx, "undone", 1, beHeld())
		Expect(history.of(dropsClearance("kept"))).To(BeEmpty())
		Expect(w.podsOf("kept")(ctx)).To(HaveEach(beRunning()))
	})
})

// events counts the events on an object by their reason, to be polled. One that was sent again counts as often.
func (w *world) events(kind, name string) func(context.Context) (map[string]int, error) {
	return func(ctx context.Context) (map[string]int, error) {
		list := &eventsv1.EventList{}
		err := api.List(ctx, list, client.InNamespace(w.ns))
		n := map[string]int{}
		for _, e := range list.Items {
			if e.Regarding.Kind != kind || e.Regarding.Name != name {
				continue
			}
			n[e.Reason]++
			if e.Series != nil {
				n[e.Reason] += int(e.Series.Count) - 1
			}
		}
		return n, err
	}
}
