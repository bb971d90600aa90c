package bypass

import (
	"context"

	. "github.com/onsi/ginkgo/v2"
	. "github.com/onsi/gomega"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/interlock-dev/interlock/api/v1alpha1"
	"github.com/interlock-dev/interlock/internal/testing/builder"
)

func fallbackTricks() {
	const other, elsewhere = "other", "elsewhere"
	revokedPair := func(ctx context.Context) *tenant {
		GinkgoHelper()
		t := newTenant(ctx, policyName)
		Expect(t.editor.Create(ctx, builder.ModelDeployment(t.namespace, other).Level(builder.ASL3).Build())).To(Succeed())
		t.limitEgress(ctx)
		for _, model := range []string{llama, other, small} {
			t.waitVerdict(ctx, model, v1alpha1.OutcomeCleared)
			t.running(ctx, t.pod(model).Model(model).Label("app", model))
		}
		t.service(ctx, "chat", map[string]string{"app": llama, v1alpha1.ModelLabel: llama})
		t.openEgress(ctx)
		t.waitVerdict(ctx, llama, v1alpha1.OutcomeRevoked)
		t.waitVerdict(ctx, other, v1alpha1.OutcomeRevoked)
		return t
	}

	It("32: no fallback leads to a model that is revoked, falls back itself or is of another namespace, nor turns what is not its model's", func(ctx SpecContext) {
		t := revokedPair(ctx)
		Expect(admin.Create(ctx, builder.ModelDeployment("default", elsewhere).Build())).To(Succeed())
		DeferCleanup(func(ctx SpecContext) {
			Expect(admin.Delete(ctx, builder.ModelDeployment("default", elsewhere).Build())).To(Succeed())
		})
		t.service(ctx, "payments", map[string]string{"app": "payments"})

		t.fallBack(ctx, llama, other, "chat")
		t.waitNotFallenBack(ctx, llama, v1alpha1.ReasonFallbackNotCleared)
		t.fallBack(ctx, small, llama, "chat")
		t.fallBack(ctx, llama, small, "chat")
		t.waitNotFallenBack(ctx, llama, v1alpha1.ReasonFallbackChained)
		t.fallBack(ctx, llama, elsewhere, "chat")
		t.waitNotFallenBack(ctx, llama, v1alpha1.ReasonFallbackNotFound)
		Expect(t.selector(ctx, "chat")).To(HaveKeyWithValue(v1alpha1.ModelLabel, llama))

		t.fallBack(ctx, llama, small, "payments")
		t.fallBack(ctx, small, "", "")
		t.waitNotFallenBack(ctx, llama, v1alpha1.ReasonNotTurned)
		Expect(t.selector(ctx, "payments")).To(Equal(map[string]string{"app": "payments"}))

		t.fallBack(ctx, llama, small, "chat")
		Eventually(ctx, func() map[string]string { return t.selector(ctx, "chat") }).Should(Equal(map[string]string{v1alpha1.ModelLabel: small}))
	})

	It("8: no change of a declaration sends clients back to pods that run without clearance", func(ctx SpecContext) {
		t := revokedPair(ctx)
		t.fallBack(ctx, llama, small, "chat")
		turned := func() map[string]string { return t.selector(ctx, "chat") }
		Eventually(ctx, turned).Should(Equal(map[string]string{v1alpha1.ModelLabel: small}))

		t.fallBack(ctx, llama, "", "")
		Consistently(ctx, turned, "1s").Should(HaveKeyWithValue(v1alpha1.ModelLabel, small))
		Expect(t.editor.Delete(ctx, builder.ModelDeployment(t.namespace, llama).Build())).To(Succeed())
		Consistently(ctx, turned, "1s").Should(HaveKeyWithValue(v1alpha1.ModelLabel, small))
		Expect(t.editor.Delete(ctx, t.pod(llama).Build(), client.GracePeriodSeconds(0))).To(Succeed())
		Eventually(ctx, turned).Should(HaveKeyWithValue(v1alpha1.ModelLabel, llama), "nothing serves it any more")
	})
}

// service makes a Service as the editor.
func (t *tenant) service(ctx context.Context, name string, selector map[string]string) {
	GinkgoHelper()
	Expect(t.editor.Create(ctx, &corev1.Service{
		ObjectMeta: metav1.ObjectMeta{Namespace: t.namespace, Name: name},
		Spec:       corev1.ServiceSpec{Selector: selector, Ports: []corev1.ServicePort{{Port: 80}}},
	})).To(Succeed())
}

func (t *tenant) selector(ctx context.Context, service string) map[string]string {
	GinkgoHelper()
	s := &corev1.Service{}
	Expect(admin.Get(ctx, t.key(service), s)).To(Succeed())
	return s.Spec.Selector
}

// fallBack has a model name another as its fallback, as the editor; none, if that is empty.
func (t *tenant) fallBack(ctx context.Context, model, fallback, service string) {
	GinkgoHelper()
	Eventually(ctx, func() error {
		md := &v1alpha1.ModelDeployment{}
		if err := t.editor.Get(ctx, t.key(model), md); err != nil {
			return err
		}
		md.Spec.Fallback = nil
		if fallback != "" {
			md.Spec.Fallback = &v1alpha1.Fallback{ModelDeployment: fallback, Services: []v1alpha1.FallbackService{{Name: service}}}
		}
		return t.editor.Update(ctx, md)
	}).Should(Succeed())
}

// waitNotFallenBack waits until it is said why a model does not fall back, as it is declared now.
func (t *tenant) waitNotFallenBack(ctx context.Context, model, reason string) {
	GinkgoHelper()
	Eventually(ctx, func(g Gomega) {
		md := &v1alpha1.ModelDeployment{}
		g.Expect(t.editor.Get(ctx, t.key(model), md)).To(Succeed())
		g.Expect(meta.FindStatusCondition(md.Status.Conditions, v1alpha1.ConditionFallenBack)).To(HaveValue(And(
			HaveField("Status", metav1.ConditionFalse), HaveField("Reason", reason), HaveField("ObservedGeneration", md.Generation))))
	}).Should(Succeed())
}
