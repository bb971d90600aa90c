package bypass

import (
	"context"
	"slices"

	. "github.com/onsi/ginkgo/v2"
	. "github.com/onsi/gomega"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/resource"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/interlock-dev/interlock/api/v1alpha1"
	"github.com/interlock-dev/interlock/internal/testing/builder"
)

func objectTricks() {
	It("1: a pod kept alive by a finalizer after its deletion is guarded as any other", func(ctx SpecContext) {
		t := newTenant(ctx, policyName)
		held := t.waiting(ctx, t.pod("held").Model(llama).Finalizer("example.com/keep"))
		runs := t.running(ctx, t.pod("runs").Model(small).Finalizer("example.com/keep"))
		for _, pod := range []*corev1.Pod{held, runs} {
			Expect(t.editor.Delete(ctx, pod)).To(Succeed())
			Expect(admin.Get(ctx, client.ObjectKeyFromObject(pod), pod)).To(Succeed())
			Expect(pod.DeletionTimestamp).NotTo(BeNil())
			DeferCleanup(func(ctx SpecContext) {
				Expect(patching("merge patch", types.MergePatchType, "", anything{"metadata": anything{"finalizers": nil}}).
					do(ctx, t.editor, pod)).To(Succeed(), "whoever may edit pods can let it go")
			})
		}
		expectRefused(ctx, t.editor, held, gateRemovals(), "interlock-guard", "only Interlock takes the scheduling gate")
		expectRefused(ctx, t.editor, held, labelEdits[*corev1.Pod]("", v1alpha1.ModelLabel, small), "interlock-guard", "cannot change once the pod exists")
		expectRefused(ctx, t.editor, runs, imageEdits(builder.TaggedImage), "interlock-guard", "an image is not pinned by digest")
	})

	It("2: the model that a pod names is frozen, whether the pod runs or is held, and whatever the form of the request", func(ctx SpecContext) {
		t := newTenant(ctx, policyName)
		runs := t.running(ctx, t.pod("runs").Model(small))
		held := t.waiting(ctx, t.pod("held").Model(llama))
		for pod, other := range map[*corev1.Pod]string{runs: llama, held: small} {
			forms := append(labelEdits[*corev1.Pod]("", v1alpha1.ModelLabel, other), strippingEdits[*corev1.Pod]("", v1alpha1.ModelLabel)...)
			forms = append(forms, labelEdits[*corev1.Pod]("", v1alpha1.ModelLabel, "")...)
			expectRefused(ctx, t.editor, pod, forms, "interlock-guard", "cannot change once the pod exists")
			t.expectUntouched(ctx, pod)
		}
	})

	It("2: the model that a pod names is frozen for who may write subresources of pods as well", func(ctx SpecContext) {
		t := newTenant(ctx, policyName)
		runs := t.running(ctx, t.pod("runs").Model(small))
		held := t.waiting(ctx, t.pod("held").Model(llama))
		for pod, other := range map[*corev1.Pod]string{runs: llama, held: small} {
			forms := append(labelEdits[*corev1.Pod]("status", v1alpha1.ModelLabel, other), strippingEdits[*corev1.Pod]("status", v1alpha1.ModelLabel)...)
			expectRefused(ctx, t.owner, pod, forms, "interlock-identity", "cannot change once the pod exists")
			for _, subresource := range []string{"ephemeralcontainers", "resize"} {
				// Kubernetes itself drops what these do not mean to change, so the request may well succeed.
				_ = labelEdits[*corev1.Pod](subresource, v1alpha1.ModelLabel, other)[0].do(ctx, t.owner, pod)
			}
			t.expectUntouched(ctx, pod)
		}
	})

	It("2: a Binding cannot bring another model, or none, along", func(ctx SpecContext) {
		t := newTenant(ctx, policyName)
		pod := t.pod("to-bind").Model(small).Scheduler("mine").Build()
		Expect(t.owner.Create(ctx, pod)).To(Succeed())
		for _, label := range []string{llama, ""} {
			binding := bindingTo(pod, "node-0")
			binding.Labels = map[string]string{v1alpha1.ModelLabel: label}
			Expect(t.owner.SubResource("binding").Create(ctx, pod, binding)).To(beRefusedBy("interlock-identity", "a Binding cannot set the label"))
			Expect(t.owner.Create(ctx, binding)).To(beRefusedBy("interlock-identity", "a Binding cannot set the label"), "the legacy resource bindings")
		}
		t.expectUntouched(ctx, pod)
		binding := bindingTo(pod, "node-0")
		binding.Labels = map[string]string{"topology.kubernetes.io/zone": "a"}
		Expect(t.owner.SubResource("binding").Create(ctx, pod, binding)).To(Succeed(), "schedulers set other labels")
	})

	It("2: a pod that names no model, and need not, is given no name later, not even an empty one", func(ctx SpecContext) {
		t := newTenant(ctx, policyName, func(b *builder.NamespaceBuilder) { b.Accelerators() })
		pod := t.running(ctx, t.pod("cpu"))
		for _, name := range []string{"", small} {
			give := anything{"metadata": anything{"labels": anything{v1alpha1.ModelLabel: name}}}
			expectRefused(ctx, t.editor, pod, []edit{patching("merge patch", types.MergePatchType, "", give)}, "interlock-guard", "cannot change once the pod exists")
			expectRefused(ctx, t.owner, pod, []edit{patching("merge patch", types.MergePatchType, "status", give)}, "interlock-identity", "cannot change once the pod exists")
		}
	})

	It("2: pods that ran before enrolment under no name, an empty one or one that nobody declared are taken out", func(ctx SpecContext) {
		namespace := builder.Namespace("later-").Build()
		Expect(admin.Create(ctx, namespace)).To(Succeed())
		t := &tenant{namespace: namespace.Name, editor: admin, owner: admin}
		Expect(admin.Create(ctx, builder.ModelDeployment(t.namespace, small).Build())).To(Succeed())
		t.waitServiceAccount(ctx)
		declared := t.running(ctx, t.pod("declared").Model(small))
		strays := []*corev1.Pod{
			t.running(ctx, t.pod("nameless")), t.running(ctx, t.pod("empty").Model("")), t.running(ctx, t.pod("undeclared").Model("ghost"))}
		enrol := labelEdits[*corev1.Namespace]("", v1alpha1.EnforceLabel, evictingName)[0]
		Expect(enrol.do(ctx, enroller, namespace)).To(Succeed())
		for _, pod := range strays {
			t.waitGone(ctx, pod)
		}
		t.waitVerdict(ctx, small, v1alpha1.OutcomeCleared)
		t.expectUntouched(ctx, declared)
	})

	It("5: a pod must name its model whatever it brings the model in by", func(ctx SpecContext) {
		t := newTenant(ctx, policyName)
		pods := map[string]*builder.PodBuilder{
			"image":          t.pod("x"),
			"init container": t.pod("x").InitContainer("weights", builder.PinnedImage),
			"sidecar":        t.pod("x").Sidecar("server-2", builder.PinnedImage),
			"environment":    t.pod("x").Env("MODEL", "llama"),
			"arguments":      t.pod("x").With(func(p *corev1.Pod) { p.Spec.Containers[0].Args = []string{"--model=llama"} }),
			"image volume": t.pod("x").Volume("weights", corev1.VolumeSource{
				Image: &corev1.ImageVolumeSource{Reference: builder.PinnedImage}}),
			"ConfigMap": t.pod("x").Volume("weights", corev1.VolumeSource{
				ConfigMap: &corev1.ConfigMapVolumeSource{LocalObjectReference: corev1.LocalObjectReference{Name: "llama"}}}),
			"claim": t.pod("x").Volume("weights", corev1.VolumeSource{
				PersistentVolumeClaim: &corev1.PersistentVolumeClaimVolumeSource{ClaimName: "llama"}}),
			"empty label": t.pod("x").Model(""),
		}
		for by, b := range pods {
			Expect(t.editor.Create(ctx, b.Build())).To(beRefusedBy("interlock-admit", "must name the ModelDeployment"), by)
		}
		for by, b := range pods {
			pod := b.Model(llama).With(func(p *corev1.Pod) { p.Name, p.GenerateName = "", "by-" }).Build()
			Expect(t.editor.Create(ctx, pod)).To(Succeed(), by)
			Expect(pod).To(beHeld(), by)
		}
	})

	It("5: where only accelerators are covered, no way of asking for one goes unnoticed", func(ctx SpecContext) {
		t := newTenant(ctx, policyName, func(b *builder.NamespaceBuilder) { b.Accelerators() })
		Expect(t.editor.Create(ctx, t.pod("cpu").Build())).To(Succeed(), "a pod without accelerators need not name a model")
		claim := corev1.PodResourceClaim{Name: "gpu", ResourceClaimTemplateName: new("gpu")}
		for how, b := range map[string]*builder.PodBuilder{
			"a container":       t.pod("x").GPUs(1),
			"an init container": t.pod("x").InitContainer("weights", builder.PinnedImage).GPUsInInit(1),
			"a sidecar":         t.pod("x").Sidecar("server-2", builder.PinnedImage).GPUsInInit(1),
			"a second container": t.pod("x").Container("server-2", builder.PinnedImage).With(func(p *corev1.Pod) {
				p.Spec.Containers[1].Resources.Limits = corev1.ResourceList{"amd.com/gpu": resource.MustParse("1")}
			}),
			"an empty label": t.pod("x").GPUs(1).Model(""),
			"a device claim": t.pod("x").With(func(p *corev1.Pod) { p.Spec.ResourceClaims = []corev1.PodResourceClaim{claim} }),
			"a device class": t.pod("x").With(func(p *corev1.Pod) {
				p.Spec.Containers[0].Resources.Limits = corev1.ResourceList{"deviceclass.resource.kubernetes.io/gpu": resource.MustParse("1")}
			}),
		} {
			Expect(t.editor.Create(ctx, b.Build())).To(beRefusedBy("interlock-admit", "must name the ModelDeployment"), how)
		}
		t.waiting(ctx, t.pod("gpu").GPUs(1).Model(llama))
	})

	It("5: what a pod rule asks of images it asks of every container and volume, also of those that come later", func(ctx SpecContext) {
		t := newTenant(ctx, policyName)
		for where, b := range map[string]*builder.PodBuilder{
			"container":      t.pod("x").Image(builder.TaggedImage),
			"second one":     t.pod("x").Container("other", builder.TaggedImage),
			"init container": t.pod("x").InitContainer("weights", builder.TaggedImage),
			"sidecar":        t.pod("x").Sidecar("weights", builder.TaggedImage),
			"volume": t.pod("x").Volume("weights", corev1.VolumeSource{
				Image: &corev1.ImageVolumeSource{Reference: builder.TaggedImage}}),
		} {
			Expect(t.editor.Create(ctx, b.Model(small).Build())).To(beRefusedBy("interlock-admit", "Safeguard image-pinned"), where)
		}
		pod := t.running(ctx, t.pod("runs").Model(small).InitContainer("init", builder.PinnedImage))
		expectRefused(ctx, t.editor, pod, imageEdits(builder.TaggedImage), "interlock-guard", "Safeguard image-pinned")
		Expect(t.owner.SubResource("ephemeralcontainers").Update(ctx, debugged(pod, builder.TaggedImage))).
			To(beRefusedBy("interlock-guard", "Safeguard image-pinned"))
		t.expectUntouched(ctx, pod)
		Expect(t.owner.SubResource("ephemeralcontainers").Update(ctx, debugged(pod, builder.PinnedImage))).To(Succeed())
	})

	It("5: what is slipped into a pod while it waits at the gate is judged when it is to be released", func(ctx SpecContext) {
		t := newTenant(ctx, policyName)
		good := t.waiting(ctx, t.pod("good").Model(llama))
		swapped := t.waiting(ctx, t.pod("swapped").Model(llama))
		debugged := debugged(t.waiting(ctx, t.pod("debugged").Model(llama)), builder.TaggedImage)
		Expect(imageEdits(builder.TaggedImage)[0].do(ctx, t.editor, swapped)).To(Succeed(), "while held, a pod may be changed")
		Expect(t.owner.SubResource("ephemeralcontainers").Update(ctx, debugged)).To(Succeed())
		t.limitEgress(ctx)
		t.waitRunning(ctx, good)
		for _, pod := range []*corev1.Pod{swapped, debugged} {
			Consistently(ctx, func(g Gomega) {
				g.Expect(admin.Get(ctx, client.ObjectKeyFromObject(pod), pod)).To(Succeed())
				g.Expect(pod).To(beHeld())
			}, "500ms").Should(Succeed())
		}
		Expect(imageEdits(builder.PinnedImage)[0].do(ctx, t.editor, swapped)).To(Succeed())
		t.waitRunning(ctx, swapped)
	})

	It("8: an owner that is forged, or cleared itself, clears nothing", func(ctx SpecContext) {
		t := newTenant(ctx, policyName)
		cleared := replicaSet(t.pod("x").Model(small).Label("app", "small"), "cleared", 1)
		Expect(t.editor.Create(ctx, cleared)).To(Succeed())
		Eventually(ctx, func(g Gomega) {
			g.Expect(admin.Get(ctx, client.ObjectKeyFromObject(cleared), cleared)).To(Succeed())
			g.Expect(cleared.Status.ReadyReplicas).To(BeEquivalentTo(1))
		}).Should(Succeed())
		owner := *metav1.NewControllerRef(cleared, schemeKind(cleared))
		Expect(t.editor.Create(ctx, t.pod("nameless").Label("app", "small").Owner(owner).Build())).
			To(beRefusedBy("interlock-admit", "must name the ModelDeployment"))
		for name, owner := range map[string]metav1.OwnerReference{
			"real":   owner,
			"forged": {APIVersion: "apps/v1", Kind: "ReplicaSet", Name: cleared.Name, UID: "00000000-0000-0000-0000-000000000000", Controller: new(true)},
			"mirror": {APIVersion: "v1", Kind: "Node", Name: "node-0", UID: "00000000-0000-0000-0000-000000000000", Controller: new(true)},
		} {
			t.waiting(ctx, t.pod(name).Model(llama).Owner(owner))
		}
	})

	It("10: a pod of an uncleared model is held in whatever form it is created", func(ctx SpecContext) {
		t := newTenant(ctx, policyName)
		t.waiting(ctx, t.pod("created").Model(llama))
		t.waiting(ctx, t.pod("generated-").Model(llama))
		full := t.pod("full").Model(llama).Build()
		full.APIVersion, full.Kind = "v1", "Pod"
		Expect(t.editor.Patch(ctx, full, client.Apply, client.ForceOwnership, client.FieldOwner("attacker"))).To(Succeed()) //nolint:staticcheck // the form that old clients send
		Expect(full).To(beHeld())
		full.ManagedFields, full.Spec.SchedulingGates = nil, nil
		Expect(t.editor.Patch(ctx, full, client.Apply, client.ForceOwnership, client.FieldOwner("attacker"))).To(Succeed()) //nolint:staticcheck // see above
		Expect(full).To(beHeld(), "applied again without the gate")
		Expect(t.editor.DeleteAllOf(ctx, &corev1.Pod{}, client.InNamespace(t.namespace), client.GracePeriodSeconds(0))).To(Succeed())
		t.waiting(ctx, t.pod("created").Model(llama))
	})

	It("10: a name that resembles a cleared one, or is made to be misread, clears nothing", func(ctx SpecContext) {
		t := newTenant(ctx, policyName)
		for _, name := range []string{"smal", "mall", "small-2", "a-small", "small.", ".small", "Small", "SMALL", "small_", "s", "sma.ll",
			"small" + "\u00a0", "\u0455mall", " small", "small ", "small llama", " ", ",small,", "small,llama", "small\n", "'", `"`, "$", "*", "%20"} {
			pod := t.pod("named-").Model(name).Build()
			err := t.editor.Create(ctx, pod)
			if err == nil {
				Expect(pod).To(beHeld(), "%q", name)
				continue
			}
			Expect(err).To(beRefusedByKubernetes("metadata.labels"), "%q", name)
		}
		Expect(admin.Create(ctx, builder.ModelDeployment(t.namespace, "small.x").Build())).
			To(MatchError(ContainSubstring("must be a DNS label")), "a model cannot be declared under a name that could be misread")
		t.running(ctx, t.pod("runs").Model(small))
	})

	It("12: a field that a request drops, or that a client does not know, loosens nothing", func(ctx SpecContext) {
		t := newTenant(ctx, policyName)
		held := t.waiting(ctx, t.pod("held").Model(llama))
		for _, e := range []edit{
			updating("", func(p *corev1.Pod) { p.Spec = corev1.PodSpec{Containers: p.Spec.Containers} }),
			updating("", func(p *corev1.Pod) { p.Labels, p.Annotations = nil, nil }),
			updating("", func(p *corev1.Pod) { p.Spec.SchedulingGates, p.ManagedFields = nil, nil }),
		} {
			Expect(e.do(ctx, t.editor, held)).NotTo(Succeed())
		}
		t.expectUntouched(ctx, held)
	})
}

// expectRefused asserts that an object cannot be changed in any of these forms, and that it is Interlock who refuses it.
func expectRefused(ctx context.Context, c client.Client, o client.Object, forms []edit, policy, words string) {
	GinkgoHelper()
	for _, e := range forms {
		Expect(e.do(ctx, c, o)).To(beRefusedBy(policy, words), "%s of %s", e.form, o.GetName())
	}
}

// imageEdits are forms of changing the image of a pod's first container.
func imageEdits(image string) []edit {
	part := anything{"spec": anything{"containers": []anything{{"name": "server", "image": image}}}}
	return []edit{
		patching("strategic merge patch", types.StrategicMergePatchType, "", part),
		patching("JSON patch", types.JSONPatchType, "", []anything{{"op": "replace", "path": "/spec/containers/0/image", "value": image}}),
		patching("server-side apply with force", types.ApplyPatchType, "", part),
		updating("", func(p *corev1.Pod) { p.Spec.Containers[0].Image = image }),
	}
}

// debugged gives the pod with an ephemeral container.
func debugged(pod *corev1.Pod, image string) *corev1.Pod {
	pod = pod.DeepCopy()
	pod.Spec.EphemeralContainers = append(slices.Clone(pod.Spec.EphemeralContainers), corev1.EphemeralContainer{
		EphemeralContainerCommon: corev1.EphemeralContainerCommon{
			Name: "debug", Image: image, ImagePullPolicy: corev1.PullIfNotPresent, TerminationMessagePolicy: corev1.TerminationMessageReadFile}})
	return pod
}

func bindingTo(pod *corev1.Pod, node string) *corev1.Binding {
	return &corev1.Binding{
		ObjectMeta: metav1.ObjectMeta{Namespace: pod.Namespace, Name: pod.Name},
		Target:     corev1.ObjectReference{Kind: "Node", Name: node}}
}
