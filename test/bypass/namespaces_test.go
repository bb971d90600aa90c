package bypass

import (
	"context"

	. "github.com/onsi/ginkgo/v2"
	. "github.com/onsi/gomega"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/interlock-dev/interlock/api/v1alpha1"
	"github.com/interlock-dev/interlock/internal/testing/builder"
)

func namespaceTricks() {
	It("3: no request to a namespace, its status or its finalizers takes it out of enrolment without the right to", func(ctx SpecContext) {
		t := newTenant(ctx, policyName)
		namespace := t.object(ctx)
		for _, subresource := range []string{"", "status", "finalize"} {
			forms := append(strippingEdits[*corev1.Namespace](subresource, v1alpha1.EnforceLabel),
				labelEdits[*corev1.Namespace](subresource, v1alpha1.EnforceLabel, laxName)...)
			forms = append(forms, labelEdits[*corev1.Namespace](subresource, v1alpha1.EnforceLabel, "")...)
			if subresource == "finalize" { // which takes no patches
				forms = onlyUpdates(forms)
			}
			for _, p := range []person{platform, switcher, owner} {
				expectRefused(ctx, p, namespace, forms, "interlock-enrolment", "needs the RBAC verb enroll on")
			}
		}
		// Posing as a namespace that is never enrolled: Kubernetes itself sets that label anew at each write.
		for _, e := range labelEdits[*corev1.Namespace]("", corev1.LabelMetadataName, metav1.NamespaceSystem) {
			_ = e.do(ctx, platform, namespace)
		}
		Expect(t.object(ctx).Labels).To(Equal(namespace.Labels))
		t.waiting(ctx, t.pod("held").Model(llama))
	})

	It("3: coverage, warning and audit are as much a part of the enrolment as its enforcement", func(ctx SpecContext) {
		t := newTenant(ctx, policyName, func(b *builder.NamespaceBuilder) { b.Warn(laxName).Audit(laxName) })
		namespace := t.object(ctx)
		for _, label := range []string{v1alpha1.WarnLabel, v1alpha1.AuditLabel} {
			forms := append(strippingEdits[*corev1.Namespace]("", label), labelEdits[*corev1.Namespace]("status", label, policyName)...)
			expectRefused(ctx, platform, namespace, forms, "interlock-enrolment", "needs the RBAC verb enroll")
		}
		for _, coverage := range []string{v1alpha1.CoverageAccelerators, ""} {
			add := patching("merge patch", types.MergePatchType, "", anything{"metadata": anything{"labels": anything{v1alpha1.CoverageLabel: coverage}}})
			for _, p := range []person{platform, switcher, owner} {
				expectRefused(ctx, p, namespace, []edit{add}, "interlock-enrolment", "needs the RBAC verb enroll")
			}
		}
		Expect(t.object(ctx).Labels).To(Equal(namespace.Labels))
		Expect(t.editor.Create(ctx, t.pod("nameless").Build())).To(beRefusedBy("interlock-admit", "must name the ModelDeployment"))
	})

	It("3: who may enrol under one policy can neither leave another for it nor narrow its coverage; who may under both can", func(ctx SpecContext) {
		t := newTenant(ctx, policyName)
		namespace := t.object(ctx)
		toLax := labelEdits[*corev1.Namespace]("", v1alpha1.EnforceLabel, laxName)
		expectRefused(ctx, switcher, namespace, toLax, "interlock-enrolment", `needs the RBAC verb enroll on scalingpolicies bypass, bypass-lax`)
		Expect(toLax[0].do(ctx, enroller, namespace)).To(Succeed())
		t.waitVerdict(ctx, llama, v1alpha1.OutcomeCleared)
		namespace = t.object(ctx)
		Expect(strippingEdits[*corev1.Namespace]("", v1alpha1.EnforceLabel)[0].do(ctx, switcher, namespace)).To(Succeed(), "the lax policy is his")
	})

	It("3: nobody creates a namespace under a policy, or with a coverage, that he may not enrol under", func(ctx SpecContext) {
		for name, b := range map[string]*builder.NamespaceBuilder{
			"enforce":  builder.Namespace("new-").Enforce(policyName),
			"lax":      builder.Namespace("new-").Enforce(laxName),
			"unknown":  builder.Namespace("new-").Enforce("no-such-policy"),
			"empty":    builder.Namespace("new-").Enforce(""),
			"warn":     builder.Namespace("new-").Warn(policyName),
			"audit":    builder.Namespace("new-").Audit(policyName),
			"coverage": builder.Namespace("new-").Accelerators(),
		} {
			Expect(platform.Create(ctx, b.Build())).To(beRefusedBy("interlock-enrolment", "needs the RBAC verb enroll"), name)
		}
		for _, namespace := range []string{metav1.NamespaceSystem, "interlock-system"} {
			o := &corev1.Namespace{ObjectMeta: metav1.ObjectMeta{Name: namespace}}
			forms := labelEdits[*corev1.Namespace]("", v1alpha1.EnforceLabel, policyName)[:1]
			expectRefused(ctx, enroller, o, forms, "interlock-enrolment", "can never be enrolled")
		}
	})

	It("3: the default model of a namespace neither clears a pod that names another nor spares it a rule", func(ctx SpecContext) {
		t := newTenant(ctx, policyName)
		setDefault := patching("merge patch", types.MergePatchType, "", anything{"metadata": anything{"labels": anything{v1alpha1.ModelLabel: small}}})
		Expect(setDefault.do(ctx, platform, t.object(ctx))).To(Succeed())
		Eventually(ctx, func(g Gomega) {
			pod := t.pod("probe").Build()
			g.Expect(t.editor.Create(ctx, pod, client.DryRunAll)).To(Succeed())
			g.Expect(pod.Labels).To(HaveKeyWithValue(v1alpha1.ModelLabel, small))
		}).Should(Succeed())
		t.waiting(ctx, t.pod("held").Model(llama))
		Expect(t.editor.Create(ctx, t.pod("x").Image(builder.TaggedImage).Build())).To(beRefusedBy("interlock-admit", "Safeguard image-pinned"))
		pod := t.running(ctx, t.pod("runs").Model(""))
		Expect(pod.Labels).To(HaveKeyWithValue(v1alpha1.ModelLabel, small), "an empty name is none")
	})
}

// object reads the namespace.
func (t *tenant) object(ctx context.Context) *corev1.Namespace {
	GinkgoHelper()
	namespace := &corev1.Namespace{}
	Expect(admin.Get(ctx, client.ObjectKey{Name: t.namespace}, namespace)).To(Succeed())
	return namespace
}

func onlyUpdates(forms []edit) []edit {
	var updates []edit
	for _, e := range forms {
		if e.form == "update of finalize" {
			updates = append(updates, e)
		}
	}
	return updates
}
