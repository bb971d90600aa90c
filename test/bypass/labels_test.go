package bypass

import (
	"context"
	"slices"
	"strings"

	. "github.com/onsi/ginkgo/v2"
	. "github.com/onsi/gomega"
	corev1 "k8s.io/api/core/v1"
	networkingv1 "k8s.io/api/networking/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"

	"github.com/interlock-dev/interlock/api/v1alpha1"
	"github.com/interlock-dev/interlock/internal/admission"
	"github.com/interlock-dev/interlock/internal/testing/builder"
	"github.com/interlock-dev/interlock/internal/testing/stack"
)

const underPolicy = "put it under a NetworkPolicy"

// openTo lets whatever a selector selects send traffic anywhere, and returns once the API server knows what that opens.
func (t *tenant) openTo(ctx context.Context, name string, selector metav1.LabelSelector, opening string) {
	GinkgoHelper()
	policy := builder.NetworkPolicy(t.namespace, name).Egress(networkingv1.NetworkPolicyEgressRule{}).Build()
	policy.Spec.PodSelector = selector
	Expect(t.editor.Create(ctx, policy)).To(Succeed())
	Eventually(ctx, func() []string { return admission.Find(t.clearances(ctx).Annotations, llama).Openings }).Should(ContainElement(opening))
}

// stripping are the forms of taking a label away that leave the model's label alone.
func stripping(subresource, key string) []edit {
	return slices.DeleteFunc(strippingEdits[*corev1.Pod](subresource, key), func(e edit) bool { return strings.Contains(e.form, "all labels") })
}

func labelTricks() {
	It("48: what one model declares as its weights is named under no other label, and under none at all, in any enrolled namespace", func(ctx SpecContext) {
		t := newTenant(ctx, policyName, func(b *builder.NamespaceBuilder) { b.Accelerators() })
		far := newTenant(ctx, policyName)
		Expect(t.declaring(ctx, llama, "oci://"+ourImage, "pvc://llama", "s3://models/llama")).To(Succeed())
		for tenant, known := range map[*tenant]string{t: "pvc://llama", far: "s3://models"} {
			Eventually(ctx, func() string { return tenant.clearances(ctx).Annotations["interlock.dev/sources"] }).Should(ContainSubstring(known))
		}
		claim := volume(corev1.VolumeSource{PersistentVolumeClaim: &corev1.PersistentVolumeClaimVolumeSource{ClaimName: "llama"}})
		for way, change := range map[string]func(*corev1.Pod){
			"an image volume": image(ourImage), "the same from a mirror": image("mirror.example.com/x" + ourImage[strings.Index(ourImage, "@"):]),
			"a claim": claim, "an argument": args("--model", "s3://models/llama/"),
			"the image of a container": func(p *corev1.Pod) { p.Spec.Containers[0].Image = ourImage },
		} {
			for _, pod := range []*builder.PodBuilder{t.pod("x").Model(small), t.pod("x")} {
				Expect(t.editor.Create(ctx, pod.With(change).Build())).To(beRefusedBy(admission.AdmitPolicy, "which another ModelDeployment declares"), way)
			}
		}
		Expect(far.editor.Create(ctx, far.pod("x").Model(small).With(image(ourImage)).Build())).To(beRefusedBy(admission.AdmitPolicy, "which another ModelDeployment declares"))
		Expect(far.editor.Create(ctx, far.pod("its-own-claim").Model(small).With(claim).Build())).To(Succeed())
		t.waiting(ctx, t.pod("its-own").Model(llama).With(image(ourImage)))
	})

	It("47: no label that would open a pod comes onto one, at its birth or later, in whatever form", func(ctx SpecContext) {
		t := newTenant(ctx, evictingName)
		t.limitEgress(ctx)
		t.waitVerdict(ctx, llama, v1alpha1.OutcomeCleared)
		runs := t.running(ctx, t.pod("runs").Model(llama).Label("restricted", "yes").Label("wide", "no"))
		t.openTo(ctx, "wide", metav1.LabelSelector{MatchLabels: map[string]string{"wide": "yes"}}, "wide:in:|yes|")
		t.openTo(ctx, "unrestricted", metav1.LabelSelector{MatchExpressions: []metav1.LabelSelectorRequirement{
			{Key: "restricted", Operator: metav1.LabelSelectorOpDoesNotExist}}}, "restricted:in:|-|")

		Expect(t.editor.Create(ctx, t.pod("born").Model(llama).Label("restricted", "").Label("wide", "yes").Build())).To(beRefusedBy(admission.AdmitPolicy, underPolicy))
		Expect(t.editor.Create(ctx, t.pod("born").Model(llama).Build())).To(beRefusedBy(admission.AdmitPolicy, underPolicy))
		forms := append(labelEdits[*corev1.Pod]("", "wide", "yes"), stripping("", "restricted")...)
		expectRefused(ctx, t.editor, runs, forms, admission.GuardPolicy, underPolicy)
		forms = append(labelEdits[*corev1.Pod]("status", "wide", "yes"), stripping("status", "restricted")...)
		expectRefused(ctx, t.owner, runs, forms, admission.IdentityPolicy, "together with its status")
		t.running(ctx, t.pod("closed").Model(llama).Label("restricted", "no").Label("wide", "no"))

		unbound := t.pod("unbound").Model(llama).Label("restricted", "yes").Scheduler("mine").Build()
		Expect(t.owner.Create(ctx, unbound)).To(Succeed())
		binding := bindingTo(unbound, "node-0")
		binding.Labels = map[string]string{"wide": "yes"}
		Expect(t.owner.SubResource("binding").Create(ctx, unbound, binding)).To(beRefusedBy(admission.IdentityPolicy, "a Binding cannot set"))

		t.waitVerdict(ctx, llama, v1alpha1.OutcomeCleared)
		t.expectUntouched(ctx, runs)
		Expect(t.editor.Create(ctx, t.pod("of-another").Model(small).Label("wide", "yes").Build())).To(Succeed(), "small may send traffic anywhere")
	})

	It("47: a pod that got such a label while it was held stays at the gate until it is rid of it", func(ctx SpecContext) {
		t := newTenant(ctx, policyName)
		open := t.waiting(ctx, t.pod("open").Model(llama).Label("wide", "yes"))
		closed := t.waiting(ctx, t.pod("closed").Model(llama))
		t.openTo(ctx, "wide", metav1.LabelSelector{MatchLabels: map[string]string{"wide": "yes"}}, "wide:in:|yes|")
		t.limitEgress(ctx)
		t.waitRunning(ctx, closed)
		t.expectUntouched(ctx, open)
		config, _, err := cluster.ServiceAccount(ctx, stack.Namespace, stack.ServiceAccount)
		Expect(err).NotTo(HaveOccurred())
		release := anything{"metadata": anything{"name": open.Name}, "spec": anything{"schedulingGates": []anything{{"$patch": "delete", "name": v1alpha1.ClearanceGate}}}}
		Expect(patching("as Interlock", types.StrategicMergePatchType, "", release).do(ctx, clientOf(config), open)).To(beRefusedBy(admission.GuardPolicy, underPolicy))
		Expect(patching("", types.MergePatchType, "", anything{"metadata": anything{"labels": anything{"wide": nil}}}).do(ctx, t.editor, open)).To(Succeed())
		t.waitRunning(ctx, open)
	})

	It("47: labels stay closed to the pods of a model that is revoked while they run on, and a policy that opens them all revokes it", func(ctx SpecContext) {
		t := newTenant(ctx, policyName)
		t.limitEgress(ctx)
		t.waitVerdict(ctx, llama, v1alpha1.OutcomeCleared)
		runs := t.running(ctx, t.pod("runs").Model(llama).Label("wide", "no"))
		t.openTo(ctx, "wide", metav1.LabelSelector{MatchLabels: map[string]string{"wide": "yes"}}, "wide:in:|yes|")
		all := builder.NetworkPolicy(t.namespace, "all").Model(llama).Egress(networkingv1.NetworkPolicyEgressRule{}).Build()
		Expect(t.editor.Create(ctx, all)).To(Succeed())
		t.waitVerdict(ctx, llama, v1alpha1.OutcomeRevoked)
		expectRefused(ctx, t.editor, runs, labelEdits[*corev1.Pod]("", "wide", "yes"), admission.GuardPolicy, underPolicy)
		Expect(t.editor.Delete(ctx, all)).To(Succeed())
	})
}
