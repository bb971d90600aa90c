package bypass

import (
	"context"
	"time"

	. "github.com/onsi/ginkgo/v2"
	. "github.com/onsi/gomega"
	admissionv1 "k8s.io/api/admissionregistration/v1"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/resource"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/types"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/interlock-dev/interlock/api/v1alpha1"
	"github.com/interlock-dev/interlock/internal/admission"
	"github.com/interlock-dev/interlock/internal/testing/builder"
)

const onlyInterlock = "only Interlock writes its verdicts"

func authorityTricks() {
	It("9: another version of a kind is guarded as the one that Interlock knows", func(ctx SpecContext) {
		t := newTenant(ctx, policyName)
		md := older(ctx, "modeldeployments")
		Eventually(ctx, func() error { return admin.Get(ctx, t.key(llama), md) }).Should(Succeed())
		Expect(unstructured.SetNestedField(md.Object, "Cleared", "status", "verdict")).To(Succeed())
		Expect(t.owner.Status().Update(ctx, md)).To(beRefusedBy("interlock-ledgers", onlyInterlock))
		t.waiting(ctx, t.pod("held").Model(llama))
	})

	It("10: nobody but Interlock writes, replaces or deletes clearances, in whatever form", func(ctx SpecContext) {
		t := newTenant(ctx, policyName)
		before := t.clearances(ctx)
		forged := anything{"metadata": anything{"annotations": anything{clearancesKey: forgedClearances}}}
		forms := []edit{
			patching("merge patch", types.MergePatchType, "", forged),
			patching("JSON patch", types.JSONPatchType, "", []anything{{"op": "replace", "path": "/metadata/annotations/interlock.dev~1clearances", "value": forgedClearances}}),
			patching("server-side apply with force", types.ApplyPatchType, "", forged),
			updating("", func(cm *corev1.LimitRange) { cm.Annotations[clearancesKey] = forgedClearances }),
			updating("", func(cm *corev1.LimitRange) { cm.Spec.Limits = []corev1.LimitRangeItem{{Type: corev1.LimitTypePod}} }),
			updating("", func(cm *corev1.LimitRange) { cm.Finalizers = []string{"example.com/stay"} }),
			{"delete", func(ctx context.Context, c client.Client, o client.Object) error { return c.Delete(ctx, o) }},
			{"delete in the background", func(ctx context.Context, c client.Client, o client.Object) error {
				return c.Delete(ctx, o, client.PropagationPolicy(metav1.DeletePropagationForeground), client.GracePeriodSeconds(0))
			}},
			{"delete collection", func(ctx context.Context, c client.Client, _ client.Object) error {
				return c.DeleteAllOf(ctx, &corev1.LimitRange{}, client.InNamespace(t.namespace))
			}},
		}
		for _, c := range []client.Client{t.owner, insider, admin} {
			expectRefused(ctx, c, before, forms, "interlock-ledgers", onlyInterlock)
		}
		for _, form := range forms {
			Expect(form.do(ctx, t.editor, before.DeepCopy())).To(MatchError(ContainSubstring("cannot")), "the role edit alone: %s", form.form)
		}
		Expect(t.clearances(ctx)).To(Equal(before))
		t.waiting(ctx, t.pod("held").Model(llama))
	})

	It("10: no clearances and no ledger are planted in a namespace before it is enrolled", func(ctx SpecContext) {
		namespace := builder.Namespace("later-").Build()
		Expect(admin.Create(ctx, namespace)).To(Succeed())
		clearances := builder.Clearances(namespace.Name, policyName).Clear(llama, time.Now().Add(time.Hour)).Build()
		ledger := &v1alpha1.ClearanceLedger{ObjectMeta: metav1.ObjectMeta{Namespace: namespace.Name, Name: v1alpha1.LedgerName}}
		for planted, forged := range map[client.Object]anything{clearances: {"metadata": anything{"annotations": anything{"interlock.dev/policy": policyName}}}, ledger: {"spec": anything{"policy": policyName}}} {
			Expect(insider.Create(ctx, planted)).To(beRefusedBy("interlock-ledgers", onlyInterlock))
			Expect(patching("server-side apply", types.ApplyPatchType, "", forged).do(ctx, insider, planted)).
				To(beRefusedBy("interlock-ledgers", onlyInterlock))
		}
	})

	It("10: clearances that were planted before Interlock was installed clear nothing once it is, however they cling", func(ctx SpecContext) {
		withoutManager()
		remove(ctx, named[admissionv1.ValidatingAdmissionPolicyBinding](admission.LedgerPolicy))
		namespace := builder.Namespace("planted-").Build()
		Expect(admin.Create(ctx, namespace)).To(Succeed())
		planted := builder.Clearances(namespace.Name, policyName).Clear(llama, time.Now().Add(time.Hour)).Build()
		planted.Finalizers, planted.Labels = []string{"example.com/stay"}, nil
		planted.Spec.Limits = []corev1.LimitRangeItem{{Type: corev1.LimitTypePod, Max: corev1.ResourceList{corev1.ResourceCPU: resource.MustParse("0")}}}
		Eventually(ctx, func() error { return insider.Create(ctx, planted) }).Should(Succeed())
		Expect(admin.Patch(ctx, namespace, client.RawPatch(types.MergePatchType, []byte(`{"metadata":{"labels":{"interlock.dev/enforce":"`+policyName+`"}}}`)))).To(Succeed())
		startManager(ctx)
		waitEnforced(ctx)
		Expect(admin.Create(ctx, builder.ModelDeployment(namespace.Name, llama).Level(builder.ASL3).Build())).To(Succeed())
		Eventually(ctx, func(g Gomega) {
			cm := &corev1.LimitRange{}
			g.Expect(admin.Get(ctx, client.ObjectKeyFromObject(planted), cm)).To(Succeed())
			g.Expect(cm.Finalizers).To(BeEmpty())
			g.Expect(cm.Spec.Limits).To(BeEmpty())
			g.Expect(admission.Find(cm.Annotations, llama).Cleared()).To(BeFalse())
		}).Should(Succeed())
	})

	It("29: a status is nobody's to write, and nothing rests on one that comes in a manifest", func(ctx SpecContext) {
		t := newTenant(ctx, policyName)
		md := &v1alpha1.ModelDeployment{}
		Expect(admin.Get(ctx, t.key(llama), md)).To(Succeed())
		cleared := anything{"status": anything{"verdict": "Cleared", "conditions": []anything{{
			"type": "Ready", "status": "True", "reason": "Cleared", "message": "forged", "lastTransitionTime": "2026-01-01T00:00:00Z"}}}}
		forms := []edit{
			patching("merge patch", types.MergePatchType, "status", cleared),
			patching("JSON patch", types.JSONPatchType, "status", []anything{{"op": "replace", "path": "/status/verdict", "value": "Cleared"}}),
			patching("server-side apply with force", types.ApplyPatchType, "status", cleared),
			updating("status", func(md *v1alpha1.ModelDeployment) { md.Status.Verdict = v1alpha1.OutcomeCleared }),
		}
		for _, c := range []client.Client{t.owner, insider} {
			expectRefused(ctx, c, md, forms, "interlock-ledgers", onlyInterlock)
		}
		accepted := anything{"status": anything{"observedGeneration": 7}}
		for _, o := range []client.Object{
			&v1alpha1.ScalingPolicy{ObjectMeta: metav1.ObjectMeta{Name: policyName}}, &v1alpha1.Safeguard{ObjectMeta: metav1.ObjectMeta{Name: imagePinned}},
		} {
			expectRefused(ctx, insider, o, []edit{patching("merge patch", types.MergePatchType, "status", accepted)}, "interlock-ledgers", onlyInterlock)
		}

		forged := builder.ModelDeployment(t.namespace, "forged").Level(builder.ASL3).Build()
		forged.Status.Verdict = v1alpha1.OutcomeCleared
		Expect(t.editor.Create(ctx, forged)).To(Succeed())
		t.waitVerdict(ctx, "forged", v1alpha1.OutcomeHeld)
		t.waiting(ctx, t.pod("held").Model("forged"))
		t.waiting(ctx, t.pod("held-as-well").Model(llama))
	})

	It("29: taking back the declaration of a model does not keep its pods in service", func(ctx SpecContext) {
		t := newTenant(ctx, evictingName)
		t.limitEgress(ctx)
		t.waitVerdict(ctx, llama, v1alpha1.OutcomeCleared)
		pod := t.running(ctx, t.pod("runs").Model(llama))
		Expect(t.editor.Delete(ctx, builder.ModelDeployment(t.namespace, llama).Build())).To(Succeed())
		t.waitGone(ctx, pod)
	})
}

// clearancesKey is the annotation of the clearances that says which models are cleared.
const clearancesKey = "interlock.dev/clearances"

// forgedClearances clear both models.
const forgedClearances = "\nllama 0\nsmall 0\n"

// clearances reads what the API server reads at every pod.
func (t *tenant) clearances(ctx context.Context) *corev1.LimitRange {
	GinkgoHelper()
	cm := &corev1.LimitRange{}
	Expect(admin.Get(ctx, t.key(v1alpha1.ClearancesName), cm)).To(Succeed())
	return cm
}

// older serves a kind in an older version as well, and returns an object of that version.
func older(ctx context.Context, plural string) *unstructured.Unstructured {
	GinkgoHelper()
	crd := &unstructured.Unstructured{}
	crd.SetGroupVersionKind(schema.GroupVersionKind{Group: "apiextensions.k8s.io", Version: "v1", Kind: "CustomResourceDefinition"})
	Expect(admin.Get(ctx, client.ObjectKey{Name: plural + "." + v1alpha1.GroupVersion.Group}, crd)).To(Succeed())
	before := crd.DeepCopy()
	versions, _, err := unstructured.NestedSlice(crd.Object, "spec", "versions")
	Expect(err).NotTo(HaveOccurred())
	old := runtime.DeepCopyJSON(versions[0].(anything))
	old["name"], old["storage"] = "v1alpha0", false
	Expect(unstructured.SetNestedSlice(crd.Object, append(versions, old), "spec", "versions")).To(Succeed())
	Expect(admin.Update(ctx, crd)).To(Succeed())
	DeferCleanup(func(ctx SpecContext) {
		Expect(admin.Patch(ctx, before, client.RawPatch(types.JSONPatchType, []byte(`[{"op":"remove","path":"/spec/versions/1"}]`)))).To(Succeed())
	})
	o := &unstructured.Unstructured{}
	kind, _, _ := unstructured.NestedString(crd.Object, "spec", "names", "kind")
	o.SetGroupVersionKind(schema.GroupVersionKind{Group: v1alpha1.GroupVersion.Group, Version: "v1alpha0", Kind: kind})
	return o
}
