package integration

import (
	"context"
	"fmt"
	"time"

	. "github.com/onsi/ginkgo/v2"
	. "github.com/onsi/gomega"
	corev1 "k8s.io/api/core/v1"
	discoveryv1 "k8s.io/api/discovery/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/interlock-dev/interlock/api/v1alpha1"
	"github.com/interlock-dev/interlock/internal/testing/builder"
	"github.com/interlock-dev/interlock/internal/workload"
)

var _ = Describe("Falling back", func() {
	const takeOver = 40 * time.Second
	own := map[string]string{"app": "big", v1alpha1.ModelLabel: "big"}
	big, small := workload.SelectorOf("big", nil), workload.SelectorOf("small", nil)

	// serve lets clients reach big by the Service chat, which is its team's, and by front, which is Interlock's.
	serve := func(ctx context.Context, w *world) *corev1.Service {
		GinkgoHelper()
		chat := &corev1.Service{
			ObjectMeta: metav1.ObjectMeta{Namespace: w.ns, Name: "chat"},
			Spec:       corev1.ServiceSpec{Selector: own, Ports: []corev1.ServicePort{{Name: "http", Port: 80}}},
		}
		md := w.modelDeployment("big", builder.ASL3)
		md.Spec.Fallback = &v1alpha1.Fallback{ModelDeployment: "small", Services: []v1alpha1.FallbackService{
			{Name: "chat"}, {Name: "front", Mode: v1alpha1.FallbackOwn, Ports: []v1alpha1.FallbackPort{{Name: "http", Port: 80}}}}}
		create(ctx, w.denyEgress(), chat, md, w.deployment("big", 1, w.fitPod("big")))
		w.awaitCleared(ctx, "big", 1) // before there is a fallback, to which clients would go if it were cleared first
		w.clearedModel(ctx, "small")
		Eventually(w.selectorOf("front")).WithContext(ctx).Should(Equal(big))
		Expect(w.selectorOf("chat")(ctx)).To(Equal(own))
		return chat
	}

	It("goes to a model that is cleared and ready, comes back, and outlives the manager at each step", func(ctx SpecContext) {
		w := newWorld(ctx, step(v1alpha1.ShortfallEvict, 0))
		chat := serve(ctx, w)
		Eventually(w.conditionOf("big", v1alpha1.ConditionFallenBack)).WithContext(ctx).Should(
			condition(metav1.ConditionFalse, v1alpha1.ReasonNotNeeded, "the model is cleared"))
		Expect(api.Delete(ctx, w.denyEgress())).To(Succeed())
		awaitTurned := func() {
			GinkgoHelper()
			Eventually(w.selectorOf("chat"), takeOver).WithContext(ctx).Should(Equal(small))
			Eventually(w.selectorOf("front"), takeOver).WithContext(ctx).Should(Equal(small))
			Eventually(w.conditionOf("big", v1alpha1.ConditionFallenBack)).WithContext(ctx).Should(
				condition(metav1.ConditionTrue, v1alpha1.ReasonFallenBack, "Service chat, Service front lead to model small"))
		}
		awaitTurned()
		for _, service := range []string{"chat", "front"} {
			Eventually(w.modelsBehind(service)).WithContext(ctx).Should(HaveExactElements("small"))
		}
		Eventually(w.events("ModelDeployment", "big")).WithContext(ctx).Should(HaveKeyWithValue("FallenBack", 1))
		w.awaitHeld(ctx, "big", 1)

		By("keeping still, with a fallback that lost its own clearance as well: nobody is sent back to what is held")
		md := w.modelDeployment("small", builder.ASL2)
		update(ctx, md, func() { md.Spec.AssessedLevel = builder.ASL3 })
		Eventually(w.conditionOf("big", v1alpha1.ConditionFallenBack)).WithContext(ctx).Should(
			condition(metav1.ConditionTrue, v1alpha1.ReasonFallbackNotCleared, "small, the fallback, is not cleared"))
		versions := func(g Gomega) string {
			all := w.model(ctx, "big").ResourceVersion
			for _, name := range []string{"chat", "front"} {
				service := &corev1.Service{}
				g.Expect(api.Get(ctx, client.ObjectKey{Namespace: w.ns, Name: name}, service)).To(Succeed())
				all += " " + service.ResourceVersion
			}
			return all
		}
		still := versions(Default)
		Consistently(versions, "2s").Should(Equal(still))

		By("being killed after the turn, while the model is cleared again")
		Expect(manager.Kill()).To(Succeed())
		DeferCleanup(needManager)
		create(ctx, w.denyEgress())
		update(ctx, md, func() { md.Spec.AssessedLevel = builder.ASL2 })
		startManager(ctx)
		Eventually(w.selectorOf("chat"), takeOver).WithContext(ctx).Should(Equal(own))
		Eventually(w.selectorOf("front"), takeOver).WithContext(ctx).Should(Equal(big))
		w.awaitCleared(ctx, "big", 1)
		Eventually(w.conditionOf("big", v1alpha1.ConditionFallenBack)).WithContext(ctx).Should(
			condition(metav1.ConditionFalse, v1alpha1.ReasonNotNeeded, "the model is cleared"))
		w.expectNotTurned(ctx, chat)
		Eventually(w.modelsBehind("chat")).WithContext(ctx).Should(HaveExactElements("big"))

		By("being killed halfway through the return, of what the declaration does not name any more")
		w.awaitCleared(ctx, "small", 1)
		Expect(api.Delete(ctx, w.denyEgress())).To(Succeed())
		awaitTurned()
		Expect(manager.Kill()).To(Succeed())
		update(ctx, chat, func() { chat.Spec.Selector = own })
		declared := w.model(ctx, "big")
		update(ctx, declared, func() { declared.Spec.Fallback = nil })
		create(ctx, w.denyEgress())
		startManager(ctx)
		Eventually(gone(ctx, &corev1.Service{ObjectMeta: metav1.ObjectMeta{Namespace: w.ns, Name: "front"}}), takeOver).Should(BeTrue())
		w.expectNotTurned(ctx, chat)
		Expect(chat.Spec.Selector).To(Equal(own))
		Eventually(w.conditionOf("big", v1alpha1.ConditionFallenBack)).WithContext(ctx).Should(HaveField("Type", BeEmpty()))
	}, NodeTimeout(3*time.Minute))

	It("is given up where a GitOps tool keeps undoing it, and leaves the tool no conflict behind", func(ctx SpecContext) {
		w := newWorld(ctx, step(v1alpha1.ShortfallEvict, 0))
		chat := serve(ctx, w)
		manifest := fmt.Sprintf(`{"apiVersion": "v1", "kind": "Service", "metadata": {"name": "chat"}, "spec": {"selector": {"app": "big", "%s": "big"}, "ports": [{"name": "http", "port": 80}]}}`, v1alpha1.ModelLabel)
		heal := func(args ...string) {
			GinkgoHelper()
			w.apply(ctx, manifest, append([]string{"--server-side", "--field-manager=argocd-controller"}, args...)...)
		}
		heal("--force-conflicts")
		Expect(api.Delete(ctx, w.denyEgress())).To(Succeed())
		md := w.model(ctx, "big")
		for i := range 3 {
			Eventually(w.selectorOf("chat")).WithContext(ctx).Should(Equal(small))
			heal("--force-conflicts")
			update(ctx, md, func() { md.Labels["healed"] = fmt.Sprint(i) }) // looks at once
		}
		Eventually(w.conditionOf("big", v1alpha1.ConditionFallenBack)).WithContext(ctx).Should(
			condition(metav1.ConditionFalse, v1alpha1.ReasonContested, "not turned: Service chat: it was turned 3 times"))
		Expect(w.selectorOf("chat")(ctx)).To(Equal(own))
		Expect(w.selectorOf("front")(ctx)).To(Equal(small), "which no tool owns")
		create(ctx, w.denyEgress())
		w.expectNotTurned(ctx, chat)
		heal()
	})
})

func (w *world) selectorOf(service string) func(context.Context) (map[string]string, error) {
	return func(ctx context.Context) (map[string]string, error) {
		s := &corev1.Service{}
		err := api.Get(ctx, client.ObjectKey{Namespace: w.ns, Name: service}, s)
		return s.Spec.Selector, client.IgnoreNotFound(err)
	}
}

// modelsBehind gives the models of the pods to which a Service leads, each once.
func (w *world) modelsBehind(service string) func(context.Context) ([]string, error) {
	return func(ctx context.Context) ([]string, error) {
		slices := &discoveryv1.EndpointSliceList{}
		if err := api.List(ctx, slices, client.InNamespace(w.ns), client.MatchingLabels{discoveryv1.LabelServiceName: service}); err != nil {
			return nil, err
		}
		seen := map[string]bool{}
		var models []string
		for _, slice := range slices.Items {
			for _, e := range slice.Endpoints {
				pod := &corev1.Pod{}
				if err := api.Get(ctx, client.ObjectKey{Namespace: w.ns, Name: e.TargetRef.Name}, pod); err != nil {
					return nil, err
				}
				if model := pod.Labels[v1alpha1.ModelLabel]; !seen[model] {
					seen[model] = true
					models = append(models, model)
				}
			}
		}
		return models, nil
	}
}

// expectNotTurned waits until nothing on a Service tells that it was ever turned, and reads it.
func (w *world) expectNotTurned(ctx context.Context, service *corev1.Service) {
	GinkgoHelper()
	Eventually(func(g Gomega) {
		g.Expect(api.Get(ctx, client.ObjectKeyFromObject(service), service)).To(Succeed())
		g.Expect(service.Labels).NotTo(HaveKey(workload.FallbackLabel))
		g.Expect(service.Annotations).NotTo(HaveKey(workload.TurnedAnnotation))
		g.Expect(service.ManagedFields).NotTo(ContainElement(HaveField("Manager", workload.TrafficManager)))
	}, 40*time.Second).Should(Succeed())
}
