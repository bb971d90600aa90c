package integration

import (
	"context"
	"time"

	. "github.com/onsi/ginkgo/v2"
	. "github.com/onsi/gomega"
	appsv1 "k8s.io/api/apps/v1"
	autoscalingv1 "k8s.io/api/autoscaling/v1"
	networkingv1 "k8s.io/api/networking/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/interlock-dev/interlock/api/v1alpha1"
	"github.com/interlock-dev/interlock/internal/testing/builder"
	"github.com/interlock-dev/interlock/internal/workload"
)

// never is later than any test lasts.
const never = time.Hour

var _ = Describe("The steps on a shortfall", func() {
	lose := func(ctx context.Context, w *world) {
		GinkgoHelper()
		Expect(api.Delete(ctx, w.denyEgress())).To(Succeed())
	}
	regain := func(ctx context.Context, w *world) {
		GinkgoHelper()
		create(ctx, w.denyEgress())
	}
	serve := func(ctx context.Context, w *world, pods int32) {
		GinkgoHelper()
		create(ctx, w.denyEgress(), w.modelDeployment("llm", builder.ASL3), w.deployment("server", pods, w.fitPod("llm")))
		w.awaitCleared(ctx, "llm", int(pods))
	}

	It("warn, and leave it at that", func(ctx SpecContext) {
		w := newWorld(ctx, step(v1alpha1.ShortfallWarn, 0), step(v1alpha1.ShortfallEvict, never))
		serve(ctx, w, 1)
		lose(ctx, w)
		w.awaitShortfall(ctx, "llm", SatisfyAll(HaveField("Step", v1alpha1.ShortfallWarn), HaveField("NextStepTime", Not(BeNil()))))
		Eventually(w.events("ModelDeployment", "llm")).WithContext(ctx).Should(HaveKeyWithValue("Warn", 1))
		Expect(w.podsOf("llm")(ctx)).To(HaveEach(beRunning()))
		Expect(w.workloadsOf("llm")(ctx)).To(HaveExactElements(beWorkload("Deployment", "server", v1alpha1.WorkloadRunning, 1)))
	})

	It("isolate pods, which stay, say what still lets traffic through, and end with the shortfall", func(ctx SpecContext) {
		w := newWorld(ctx, step(v1alpha1.ShortfallIsolate, 0))
		serve(ctx, w, 2)
		gateway := builder.NetworkPolicy(w.ns, "from-gateway").Build()
		gateway.Spec.PolicyTypes = []networkingv1.PolicyType{networkingv1.PolicyTypeIngress}
		gateway.Spec.Ingress = []networkingv1.NetworkPolicyIngressRule{{}}
		create(ctx, gateway)
		history := w.watch(ctx)
		lose(ctx, w)

		isolation := w.isolation("llm")
		Eventually(there(ctx, isolation)).Should(BeTrue())
		Expect(isolation.Spec.PodSelector.MatchLabels).To(Equal(map[string]string{v1alpha1.ModelLabel: "llm"}))
		Expect(isolation.Spec.Ingress).To(BeEmpty())
		Expect(isolation.Spec.Egress).To(BeEmpty())
		w.awaitShortfall(ctx, "llm", SatisfyAll(
			HaveField("Step", v1alpha1.ShortfallIsolate), HaveField("Exposed", ContainSubstring("from-gateway"))))

		By("not taking its own policy for the safeguard that is missing")
		first := isolation.UID
		Consistently(func(g Gomega) {
			g.Expect(api.Get(ctx, client.ObjectKeyFromObject(isolation), isolation)).To(Succeed())
			g.Expect(isolation.UID).To(Equal(first))
		}, "1s").Should(Succeed())
		Expect(history.clearsAfter(dropsClearance("llm"), "llm")).To(BeEmpty())
		Expect(w.podsOf("llm")(ctx)).To(SatisfyAll(HaveLen(2), HaveEach(beRunning())))

		By("putting it back when somebody opens it, or takes it away")
		update(ctx, isolation, func() { isolation.Spec.Ingress = []networkingv1.NetworkPolicyIngressRule{{}} })
		Eventually(func(g Gomega) {
			g.Expect(api.Get(ctx, client.ObjectKeyFromObject(isolation), isolation)).To(Succeed())
			g.Expect(isolation.Spec.Ingress).To(BeEmpty())
		}).Should(Succeed())
		was := isolation.UID
		Expect(api.Delete(ctx, isolation)).To(Succeed())
		Eventually(func(g Gomega) {
			g.Expect(api.Get(ctx, client.ObjectKeyFromObject(isolation), isolation)).To(Succeed())
			g.Expect(isolation.UID).NotTo(Equal(was))
		}).Should(Succeed())

		By("not being escaped by taking the declaration back")
		Expect(api.Delete(ctx, w.modelDeployment("llm", builder.ASL3))).To(Succeed())
		Eventually(w.events("LimitRange", v1alpha1.ClearancesName)).WithContext(ctx).Should(HaveKeyWithValue("StrayPods", 1))
		create(ctx, w.modelDeployment("llm", builder.ASL3))

		regain(ctx, w)
		Eventually(w.verdict("llm")).WithContext(ctx).Should(Equal(v1alpha1.OutcomeCleared))
		Eventually(gone(ctx, isolation)).Should(BeTrue())
	})

	It("stop workloads, which a budget does not delay, and start them again as they were", func(ctx SpecContext) {
		w := newWorld(ctx, step(v1alpha1.ShortfallStop, 0))
		create(ctx, w.noEviction("never-a-pod-less", v1alpha1.ModelLabel, "llm"))
		serve(ctx, w, 3)
		lose(ctx, w)
		w.awaitStopped(ctx, "llm", "server")
		Expect(w.getDeployment(ctx, "server")).To(HaveField("Spec.Replicas", HaveValue(BeEquivalentTo(0))))
		Eventually(w.events("ModelDeployment", "llm")).WithContext(ctx).Should(HaveKeyWithValue("Stop", 1))

		By("keeping still")
		// The status is the deployment controller's, which writes it once more when it has counted the pods that end.
		wanted := func() []any {
			d := w.getDeployment(ctx, "server")
			return []any{d.Spec, d.Labels, d.Annotations}
		}
		Eventually(func() int32 { return w.getDeployment(ctx, "server").Status.Replicas }).Should(BeZero())
		before := wanted()
		Consistently(wanted, "2s").Should(Equal(before))

		regain(ctx, w)
		w.awaitCleared(ctx, "llm", 3)
		w.expectNoTrace(ctx, "server")
		Eventually(w.workloadsOf("llm")).WithContext(ctx).Should(HaveExactElements(beWorkload("Deployment", "server", v1alpha1.WorkloadRunning, 3)))
	})

	It("do not fight what starts a workload again, whose pods the gate holds", func(ctx SpecContext) {
		w := newWorld(ctx, step(v1alpha1.ShortfallStop, 0))
		serve(ctx, w, 2)
		lose(ctx, w)
		w.awaitStopped(ctx, "llm", "server")

		scale := &autoscalingv1.Scale{Spec: autoscalingv1.ScaleSpec{Replicas: 1}}
		Expect(api.SubResource("scale").Update(ctx, w.getDeployment(ctx, "server"), client.WithSubResourceBody(scale))).To(Succeed())
		w.awaitPods(ctx, "llm", 1, beHeld())
		Eventually(w.workloadsOf("llm")).WithContext(ctx).Should(HaveExactElements(SatisfyAll(
			beWorkload("Deployment", "server", v1alpha1.WorkloadStartedByOthers, 1), HaveField("Message", ContainSubstring("autoscaler")))))
		Consistently(func() int32 { return *w.getDeployment(ctx, "server").Spec.Replicas }, "2s").Should(BeEquivalentTo(1))

		regain(ctx, w)
		w.awaitCleared(ctx, "llm", 1)
		w.expectNoTrace(ctx, "server")
	})

	It("stop what was evicted before, at its time, and what is made later", func(ctx SpecContext) {
		w := newWorld(ctx, step(v1alpha1.ShortfallEvict, 0), step(v1alpha1.ShortfallStop, 3*time.Second))
		serve(ctx, w, 1)
		lose(ctx, w)
		w.awaitStopped(ctx, "llm", "server")
		create(ctx, w.deployment("another", 1, w.fitPod("llm")))
		w.awaitStopped(ctx, "llm", "another")
		regain(ctx, w)
		w.awaitCleared(ctx, "llm", 2)
	})

	It("leave alone what a pod only claims as its owner", func(ctx SpecContext) {
		w := newWorld(ctx, step(v1alpha1.ShortfallStop, 0))
		create(ctx, w.modelDeployment("innocent", builder.ASL2), w.deployment("innocent", 1, w.pinnedPod("innocent")))
		w.awaitCleared(ctx, "innocent", 1)
		victim := w.getDeployment(ctx, "innocent")
		create(ctx, w.denyEgress(), w.modelDeployment("llm", builder.ASL3),
			w.fitPod("llm").Owner(metav1.OwnerReference{
				APIVersion: "apps/v1", Kind: "Deployment", Name: victim.Name, UID: victim.UID, Controller: new(true)}).Build())
		w.awaitCleared(ctx, "llm", 1)
		lose(ctx, w)
		Eventually(w.workloadsOf("llm")).WithContext(ctx).Should(HaveExactElements(SatisfyAll(
			beWorkload("Deployment", "innocent", v1alpha1.WorkloadCannotBeStopped, 1), HaveField("Message", ContainSubstring("does not name model llm")))))
		Expect(w.podsOf("innocent")(ctx)).To(SatisfyAll(HaveLen(1), HaveEach(beRunning())))
	})

	It("are taken back with the enrolment, and with the declaration once no pod runs", func(ctx SpecContext) {
		w := newWorld(ctx, step(v1alpha1.ShortfallStop, 0))
		serve(ctx, w, 1)
		lose(ctx, w)
		w.awaitStopped(ctx, "llm", "server")
		Expect(api.Delete(ctx, w.modelDeployment("llm", builder.ASL3))).To(Succeed())
		w.awaitPods(ctx, "llm", 1, beHeld())
		w.expectNoTrace(ctx, "server")
		w.label(ctx, map[string]string{v1alpha1.EnforceLabel: ""})
		w.awaitPods(ctx, "llm", 1, beRunning())
	})

	Describe("survive a manager that is killed", func() {
		restart := func(ctx context.Context, meanwhile func()) {
			GinkgoHelper()
			Expect(manager.Kill()).To(Succeed())
			DeferCleanup(needManager)
			meanwhile()
			startManager(ctx)
		}
		const takeOver = 40 * time.Second

		It("before it starts again what it stopped", func(ctx SpecContext) {
			w := newWorld(ctx, step(v1alpha1.ShortfallStop, 0))
			serve(ctx, w, 2)
			lose(ctx, w)
			w.awaitStopped(ctx, "llm", "server")
			restart(ctx, func() { regain(ctx, w) })
			Eventually(w.podsOf("llm"), takeOver).WithContext(ctx).Should(SatisfyAll(HaveLen(2), HaveEach(beRunning())))
			w.expectNoTrace(ctx, "server")
		})

		It("and a declaration that goes meanwhile", func(ctx SpecContext) {
			w := newWorld(ctx, step(v1alpha1.ShortfallStop, 0), step(v1alpha1.ShortfallIsolate, 0))
			serve(ctx, w, 1)
			bare := w.fitPod("llm").Build()
			create(ctx, bare)
			lose(ctx, w)
			Eventually(w.workloadsOf("llm")).WithContext(ctx).Should(ContainElement(beWorkload("Deployment", "server", v1alpha1.WorkloadStopped, 0)))
			Eventually(there(ctx, w.isolation("llm"))).Should(BeTrue())
			restart(ctx, func() {
				Expect(api.Delete(ctx, w.modelDeployment("llm", builder.ASL3))).To(Succeed())
				Expect(api.Delete(ctx, bare, client.GracePeriodSeconds(0))).To(Succeed())
			})
			Eventually(w.podsOf("llm"), takeOver).WithContext(ctx).Should(SatisfyAll(HaveLen(1), HaveEach(beHeld())))
			Eventually(gone(ctx, w.isolation("llm")), takeOver).Should(BeTrue())
			w.expectNoTrace(ctx, "server")
		})

		It("halfway through starting, when the value is back and the note is not gone", func(ctx SpecContext) {
			w := newWorld(ctx, step(v1alpha1.ShortfallStop, 0))
			serve(ctx, w, 2)
			lose(ctx, w)
			w.awaitStopped(ctx, "llm", "server")
			restart(ctx, func() {
				server := w.getDeployment(ctx, "server")
				update(ctx, server, func() { server.Spec.Replicas = new(int32(2)) })
				regain(ctx, w)
			})
			Eventually(w.podsOf("llm"), takeOver).WithContext(ctx).Should(SatisfyAll(HaveLen(2), HaveEach(beRunning())))
			w.expectNoTrace(ctx, "server")
		})

		It("while pods are isolated", func(ctx SpecContext) {
			w := newWorld(ctx, step(v1alpha1.ShortfallIsolate, 0))
			serve(ctx, w, 1)
			lose(ctx, w)
			Eventually(there(ctx, w.isolation("llm"))).Should(BeTrue())
			restart(ctx, func() { regain(ctx, w) })
			Eventually(gone(ctx, w.isolation("llm")), takeOver).Should(BeTrue())
			w.awaitCleared(ctx, "llm", 1)
		})
	})
})

// isolation is the NetworkPolicy that isolates a model.
func (w *world) isolation(model string) *networkingv1.NetworkPolicy {
	return &networkingv1.NetworkPolicy{ObjectMeta: metav1.ObjectMeta{Namespace: w.ns, Name: "interlock-isolate-" + model}}
}

func there(ctx context.Context, o client.Object) func() bool {
	return func() bool { return api.Get(ctx, client.ObjectKeyFromObject(o), o) == nil }
}

func (w *world) getDeployment(ctx context.Context, name string) *appsv1.Deployment {
	GinkgoHelper()
	d := &appsv1.Deployment{}
	Expect(api.Get(ctx, client.ObjectKey{Namespace: w.ns, Name: name}, d)).To(Succeed())
	return d
}

func (w *world) workloadsOf(model string) func(context.Context) ([]v1alpha1.Workload, error) {
	return func(ctx context.Context) ([]v1alpha1.Workload, error) {
		return w.model(ctx, model).Status.Workloads, nil
	}
}

func beWorkload(kind, name string, state v1alpha1.WorkloadState, pods int) OmegaMatcher {
	return SatisfyAll(HaveField("Kind", kind), HaveField("Name", name), HaveField("State", state), HaveField("Pods", BeEquivalentTo(pods)))
}

// awaitStopped waits until a Deployment is stopped for a model and has no pods left.
func (w *world) awaitStopped(ctx context.Context, model, name string) {
	GinkgoHelper()
	Eventually(w.workloadsOf(model)).WithContext(ctx).Should(ContainElement(beWorkload("Deployment", name, v1alpha1.WorkloadStopped, 0)))
	Eventually(w.podsBy(map[string]string{"app": name})).WithContext(ctx).Should(BeEmpty())
}

// expectNoTrace waits until nothing on a Deployment tells that it was ever stopped.
func (w *world) expectNoTrace(ctx context.Context, name string) {
	GinkgoHelper()
	Eventually(func(g Gomega) {
		d := w.getDeployment(ctx, name)
		g.Expect(d.Labels).NotTo(HaveKey(workload.StoppedForLabel))
		g.Expect(d.Annotations).NotTo(HaveKey(workload.StoppedAnnotation))
		g.Expect(d.ManagedFields).NotTo(ContainElement(HaveField("Manager", workload.FieldManager)))
	}).Should(Succeed())
}
