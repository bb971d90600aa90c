package bypass

import (
	. "github.com/onsi/ginkgo/v2"
	. "github.com/onsi/gomega"
	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/types"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/interlock-dev/interlock/api/v1alpha1"
	"github.com/interlock-dev/interlock/internal/testing/builder"
)

const foreignGate = "example.com/quota"

func gateTricks() {
	It("13: nobody but Interlock takes the gate away, whatever the form of the request", func(ctx SpecContext) {
		t := newTenant(ctx, policyName)
		pod := t.waiting(ctx, t.pod("held").Model(llama))
		expectRefused(ctx, t.editor, pod, gateRemovals(), "interlock-guard", "only Interlock takes the scheduling gate")
		expectRefused(ctx, t.owner, pod, gateRemovals()[:1], "interlock-guard", "only Interlock takes the scheduling gate")
		expectRefused(ctx, admin, pod, gateRemovals()[:1], "interlock-guard", "only Interlock takes the scheduling gate")
		for _, subresource := range []string{"status", "ephemeralcontainers", "resize"} {
			_ = updating(subresource, func(p *corev1.Pod) { p.Spec.SchedulingGates = nil }).do(ctx, t.owner, pod)
		}
		t.expectUntouched(ctx, pod)
	})

	It("13: a gate that its author applied as his own is not his to take away", func(ctx SpecContext) {
		t := newTenant(ctx, policyName)
		pod := t.pod("applied").Model(llama).Gate(v1alpha1.ClearanceGate).Build()
		pod.APIVersion, pod.Kind = "v1", "Pod"
		without := pod.DeepCopy()
		without.Spec.SchedulingGates = nil
		Expect(t.editor.Patch(ctx, pod, client.Apply, client.FieldOwner("attacker"))).To(Succeed()) //nolint:staticcheck // the form that old clients send
		Expect(pod).To(beHeld())
		Expect(t.editor.Patch(ctx, without, client.Apply, client.FieldOwner("attacker"))). //nolint:staticcheck // see above
													To(beRefusedBy("interlock-guard", "only Interlock takes the scheduling gate"))
		t.expectUntouched(ctx, pod)
	})

	It("13: a pod created with our gate already is released when its model is cleared, not before", func(ctx SpecContext) {
		t := newTenant(ctx, policyName)
		t.waitRunningSoon(ctx, t.pod("of-small").Model(small).Gate(v1alpha1.ClearanceGate).Build())
		pod := t.waiting(ctx, t.pod("of-llama").Model(llama).Gate(v1alpha1.ClearanceGate))
		Expect(pod.Spec.SchedulingGates).To(HaveLen(1))
		t.limitEgress(ctx)
		t.waitRunning(ctx, pod)
	})

	It("13: a gate of somebody else survives our release, and ours survives theirs", func(ctx SpecContext) {
		t := newTenant(ctx, policyName)
		pod := t.waiting(ctx, t.pod("both").Model(llama).Gate(foreignGate))
		twin := t.waiting(ctx, t.pod("twin").Model(llama).Gate(foreignGate))
		removeForeign := patching("strategic merge patch", types.StrategicMergePatchType, "",
			anything{"spec": anything{"schedulingGates": []anything{{"$patch": "delete", "name": foreignGate}}}})
		Expect(removeForeign.do(ctx, t.editor, twin)).To(Succeed())
		Expect(admin.Get(ctx, client.ObjectKeyFromObject(twin), twin)).To(Succeed())
		Expect(twin).To(beHeld())

		t.limitEgress(ctx)
		t.waitRunning(ctx, twin)
		Eventually(ctx, func(g Gomega) {
			g.Expect(admin.Get(ctx, client.ObjectKeyFromObject(pod), pod)).To(Succeed())
			g.Expect(pod.Spec.SchedulingGates).To(Equal([]corev1.PodSchedulingGate{{Name: foreignGate}}))
		}).Should(Succeed())
		Expect(pod.Spec.NodeName).To(BeEmpty())
		Expect(removeForeign.do(ctx, t.editor, pod)).To(Succeed())
		t.waitRunning(ctx, pod)
	})

	It("14: no node, scheduler or Binding leads past the gate", func(ctx SpecContext) {
		t := newTenant(ctx, policyName)
		Expect(t.editor.Create(ctx, t.pod("placed").Model(llama).Node("node-0").Build())).
			To(beRefusedByKubernetes("nodeName"), "a pod that is placed by its author")
		pod := t.waiting(ctx, t.pod("scheduled").Model(llama).Scheduler("mine"))
		plain := t.waiting(ctx, t.pod("plain").Model(llama))
		for _, p := range []*corev1.Pod{pod, plain} {
			Expect(t.owner.SubResource("binding").Create(ctx, p, bindingTo(p, "node-0"))).To(Satisfy(apierrors.IsConflict))
			Expect(t.owner.Create(ctx, bindingTo(p, "node-0"))).To(Satisfy(apierrors.IsConflict), "the legacy resource bindings")
			for _, e := range []edit{
				patching("merge patch", types.MergePatchType, "", anything{"spec": anything{"nodeName": "node-0"}}),
				patching("JSON patch", types.JSONPatchType, "", []anything{{"op": "add", "path": "/spec/nodeName", "value": "node-0"}}),
				patching("merge patch of gate and node", types.MergePatchType, "", anything{"spec": anything{"nodeName": "node-0", "schedulingGates": nil}}),
			} {
				Expect(e.do(ctx, t.owner, p)).NotTo(Succeed(), e.form)
			}
			t.expectUntouched(ctx, p)
		}
		placed := t.running(ctx, t.pod("placed-of-small").Model(small).Node("node-0"))
		Expect(placed.Spec.NodeName).To(Equal("node-0"))
	})

	It("15: a pod that poses as the mirror of a static one is held, or refused", func(ctx SpecContext) {
		t := newTenant(ctx, policyName)
		mirror := func(b *builder.PodBuilder) *corev1.Pod {
			return b.Annotation(corev1.MirrorPodAnnotationKey, "forged").Node("node-0").Build()
		}
		for who, c := range map[string]client.Client{"editor": t.editor, "owner": t.owner} {
			Expect(c.Create(ctx, mirror(t.pod("mirror")))).To(beRefusedBy("interlock-admit", "must name the ModelDeployment"), who)
			Expect(c.Create(ctx, mirror(t.pod("mirror").Model(llama)))).To(beRefusedByKubernetes("nodeName"), who)
			Expect(c.Create(ctx, mirror(t.pod("mirror").Model(small).Image(builder.TaggedImage)))).To(beRefusedBy("interlock-admit", "image-pinned"), who)
		}
		// A node can be made to run a pod by writing a file to its disk, and tells of it in this way.
		node := nodeIdentity(ctx, "node-0")
		Expect(node.Create(ctx, onNode(ctx, mirror(t.pod("mirror"))))).To(beRefusedBy("interlock-admit", "must name the ModelDeployment"))
		Expect(node.Create(ctx, onNode(ctx, mirror(t.pod("mirror").Model(llama))))).To(beRefusedByKubernetes("nodeName"))
	})

	It("16: a held pod whose status is written to look ready is held as before", func(ctx SpecContext) {
		t := newTenant(ctx, policyName)
		pod := t.waiting(ctx, t.pod("held").Model(llama))
		ready := anything{"status": anything{"phase": "Running", "conditions": []anything{{"type": "Ready", "status": "True"}}}}
		Expect(patching("strategic merge patch", types.StrategicMergePatchType, "status", ready).do(ctx, t.owner, pod)).To(Succeed())
		t.expectUntouched(ctx, pod)
		expectRefused(ctx, t.editor, pod, gateRemovals()[:1], "interlock-guard", "only Interlock takes the scheduling gate")
		Eventually(ctx, func(g Gomega) {
			md := &v1alpha1.ModelDeployment{}
			g.Expect(editor.Get(ctx, t.key(llama), md)).To(Succeed())
			g.Expect(md.Status.Verdict).To(Equal(v1alpha1.OutcomeHeld))
			g.Expect(md.Status.Pods).To(HaveValue(Equal(v1alpha1.PodCounts{Held: 1})))
		}).Should(Succeed())
	})
}

// gateRemovals are all forms of taking our gate from a pod.
func gateRemovals() []edit {
	gates := func(value any) anything { return anything{"spec": anything{"schedulingGates": value}} }
	return []edit{
		patching("merge patch to null", types.MergePatchType, "", gates(nil)),
		patching("merge patch to nothing", types.MergePatchType, "", gates([]anything{})),
		patching("strategic merge patch that deletes", types.StrategicMergePatchType, "",
			gates([]anything{{"$patch": "delete", "name": v1alpha1.ClearanceGate}})),
		patching("strategic merge patch that replaces", types.StrategicMergePatchType, "", gates([]anything{{"$patch": "replace"}})),
		patching("JSON patch that removes one", types.JSONPatchType, "", []anything{{"op": "remove", "path": "/spec/schedulingGates/0"}}),
		patching("JSON patch that removes all", types.JSONPatchType, "", []anything{{"op": "remove", "path": "/spec/schedulingGates"}}),
		patching("JSON patch that replaces", types.JSONPatchType, "", []anything{{"op": "replace", "path": "/spec/schedulingGates", "value": []anything{}}}),
		updating("", func(p *corev1.Pod) { p.Spec.SchedulingGates = nil }),
		updating("", func(p *corev1.Pod) {
			p.Spec.SchedulingGates = nil
			p.Spec.NodeSelector = map[string]string{corev1.LabelHostname: "node-0"}
		}),
	}
}
