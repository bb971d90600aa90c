package bypass

import (
	"context"

	. "github.com/onsi/ginkgo/v2"
	. "github.com/onsi/gomega"
	"github.com/onsi/gomega/types"
	admissionv1 "k8s.io/api/admissionregistration/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/interlock-dev/interlock/api/v1alpha1"
	"github.com/interlock-dev/interlock/internal/admission"
)

// staleness is about an API server that believes clearances of which nothing is true any more (kubernetes/kubernetes#130887).
func staleness() {
	It("45: whichever of our policies and bindings are gone for a while, verdicts of afterwards are enforced", func(ctx SpecContext) {
		t := newTenant(ctx, policyName)
		hold := []client.Object{named[admissionv1.MutatingAdmissionPolicyBinding](admission.HoldPolicy), named[admissionv1.MutatingAdmissionPolicy](admission.HoldPolicy)}
		var judging []client.Object
		for _, name := range []string{admission.AdmitPolicy, admission.GuardPolicy} {
			judging = append(judging, named[admissionv1.ValidatingAdmissionPolicy](name), named[admissionv1.ValidatingAdmissionPolicyBinding](name))
		}
		for _, gone := range []struct {
			what    string
			objects []client.Object
		}{
			{"the mutation's binding", hold[:1]}, {"the mutation", hold[1:]},
			{"both judgements, policies first", judging}, {"all", append(hold, judging...)},
		} {
			By("without " + gone.what)
			withoutManager()
			remove(ctx, gone.objects...)
			t.waitUnseen(ctx, gone.objects)
			startManager(ctx)
			waitEnforced(ctx)

			t.limitEgress(ctx)
			t.waitVerdict(ctx, llama, v1alpha1.OutcomeCleared)
			t.waitBorn(ctx, llama, Not(beHeld()))
			t.openEgress(ctx)
			t.waitVerdict(ctx, llama, v1alpha1.OutcomeHeld)
			t.waitBorn(ctx, llama, beHeld())
		}
	})
}

// waitUnseen waits until the API server goes by none of these objects.
func (t *tenant) waitUnseen(ctx context.Context, gone []client.Object) {
	GinkgoHelper()
	for _, o := range gone {
		switch o.GetName() {
		case admission.HoldPolicy:
			Eventually(ctx, func(g Gomega) {
				pod := t.pod("probe").Model(llama).Build()
				if t.editor.Create(ctx, pod, client.DryRunAll) == nil {
					g.Expect(pod).NotTo(beHeld())
				}
			}).Should(Succeed())
		case admission.AdmitPolicy:
			Eventually(ctx, func() error { return t.editor.Create(ctx, t.pod("probe").Build(), client.DryRunAll) }).
				ShouldNot(beRefusedBy(admission.AdmitPolicy, ""))
		}
	}
}

// waitBorn waits until a new pod of a model would be as it should be.
func (t *tenant) waitBorn(ctx context.Context, model string, should types.GomegaMatcher) {
	GinkgoHelper()
	Eventually(ctx, func(g Gomega) {
		pod := t.pod("probe").Model(model).Build()
		g.Expect(t.editor.Create(ctx, pod, client.DryRunAll)).To(Succeed())
		g.Expect(pod).To(should)
	}).Should(Succeed())
}
