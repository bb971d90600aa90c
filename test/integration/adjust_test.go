package integration

import (
	"context"
	"strings"

	. "github.com/onsi/ginkgo/v2"
	. "github.com/onsi/gomega"
	admissionv1 "k8s.io/api/admissionregistration/v1"
	batchv1 "k8s.io/api/batch/v1"
	corev1 "k8s.io/api/core/v1"
	nodev1 "k8s.io/api/node/v1"
	"k8s.io/apimachinery/pkg/api/resource"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/interlock-dev/interlock/api/v1alpha1"
	"github.com/interlock-dev/interlock/internal/testing/builder"
)

const (
	sidecarRule = "object.spec.?initContainers.orValue([]).exists(c, c.name == 'guard' && c.?restartPolicy.orValue('') == 'Always')"
	userRule    = "object.spec.?securityContext.?runAsNonRoot.orValue(false)"
)

// adjusting is a world whose policy asks at ASL-2 for a guard and for a user, and gives both to pods. The guard runs in a
// runtime class that costs 20Mi.
func adjusting(ctx context.Context) *world {
	GinkgoHelper()
	w := namesOnly(ctx)
	sandbox := &nodev1.RuntimeClass{ObjectMeta: metav1.ObjectMeta{Name: w.policy}, Handler: "kata",
		Overhead: &nodev1.Overhead{PodFixed: corev1.ResourceList{corev1.ResourceMemory: resource.MustParse("20Mi")}}}
	w.also(ctx, sandbox,
		builder.Safeguard(w.policy+"-guard").Remedy("add the guard").PodRule(sidecarRule, "no guard").AdjustPod(v1alpha1.PodAdjustment{
			Annotations:      map[string]string{"kubernetes.io/egress-bandwidth": "10M"},
			RuntimeClassName: sandbox.Name,
			Sidecars: []v1alpha1.Sidecar{{Name: "guard", Image: builder.PinnedImage,
				VolumeMounts: []corev1.VolumeMount{{Name: "guard-token", MountPath: "/var/run/guard"}}}},
			Volumes: []v1alpha1.SidecarVolume{{Name: "guard-token", Projected: &corev1.ProjectedVolumeSource{Sources: []corev1.VolumeProjection{{
				ServiceAccountToken: &corev1.ServiceAccountTokenProjection{Audience: "guard", Path: "token"}}}}}},
		}).Build(),
		builder.Safeguard(w.policy+"-user").Remedy("run as a user").PodRule(userRule, "may run as root").AdjustPod(v1alpha1.PodAdjustment{
			SecurityContext:          &v1alpha1.PodSecurity{RunAsNonRoot: new(true)},
			ContainerSecurityContext: &v1alpha1.ContainerSecurity{AllowPrivilegeEscalation: new(false), DropCapabilities: []string{"NET_RAW"}},
		}).Build())
	w.createPolicy(ctx, demanding(w.policy+"-guard", w.policy+"-user"))
	w.enrol(ctx)
	return w
}

// demanding lets ASL-2 ask for more Safeguards.
func demanding(names ...string) option {
	return func(p *v1alpha1.ScalingPolicySpec) {
		for _, name := range names {
			p.Levels[0].Deployment.Safeguards = append(p.Levels[0].Deployment.Safeguards, v1alpha1.Obligation{Safeguard: name, Force: v1alpha1.ForceBinding})
		}
	}
}

// replacing sets how many running pods are replaced in a minute.
func replacing(perMinute int32) option {
	return func(p *v1alpha1.ScalingPolicySpec) { p.ReplacementsPerMinute = &perMinute }
}

func (w *world) replacement(model string) func(context.Context) (*v1alpha1.Replacement, error) {
	return func(ctx context.Context) (*v1alpha1.Replacement, error) {
		return w.model(ctx, model).Status.Replacement, nil
	}
}

// job is one that fails with its first pod.
func (w *world) job(name string, pod *builder.PodBuilder) *batchv1.Job {
	return &batchv1.Job{ObjectMeta: metav1.ObjectMeta{Namespace: w.ns, Name: name}, Spec: batchv1.JobSpec{
		BackoffLimit: new(int32(0)), Template: pod.Label("app", name).RestartPolicy(corev1.RestartPolicyNever).Template()}}
}

// also creates objects that go with the test.
func (w *world) also(ctx context.Context, objects ...client.Object) {
	GinkgoHelper()
	for _, o := range objects {
		create(ctx, o)
		DeferCleanup(func(ctx SpecContext) { Expect(client.IgnoreNotFound(api.Delete(ctx, o))).To(Succeed()) })
	}
}

func (w *world) given(model string) func(context.Context) ([]string, error) {
	return func(ctx context.Context) ([]string, error) {
		md := &v1alpha1.ModelDeployment{}
		err := api.Get(ctx, client.ObjectKey{Namespace: w.ns, Name: model}, md)
		return md.Status.Adjustments, err
	}
}

// guarded matches a pod that was given all.
func guarded(names ...string) OmegaMatcher {
	return SatisfyAll(
		HaveField("Annotations", SatisfyAll(HaveKeyWithValue(v1alpha1.AdjustedAnnotation, MatchRegexp("^"+strings.Join(names, ":[0-9a-f]{8},")+":[0-9a-f]{8}$")),
			HaveKeyWithValue("kubernetes.io/egress-bandwidth", "10M"))),
		HaveField("Spec.InitContainers", ContainElement(SatisfyAll(HaveField("Name", "guard"),
			HaveField("RestartPolicy", HaveValue(Equal(corev1.ContainerRestartPolicyAlways)))))),
		HaveField("Spec.Volumes", ContainElement(HaveField("Name", "guard-token"))),
		HaveField("Spec.Overhead", HaveKey(corev1.ResourceMemory)), // by the RuntimeClass plugin, after us
		HaveField("Spec.SecurityContext.RunAsNonRoot", HaveValue(BeTrue())),
		HaveField("Spec.Containers", HaveEach(SatisfyAll(HaveField("SecurityContext.AllowPrivilegeEscalation", HaveValue(BeFalse())),
			HaveField("SecurityContext.Capabilities.Drop", ConsistOf(corev1.Capability("NET_RAW")))))))
}

var _ = Describe("Adjustments", func() {
	It("bring pods into line, held or cleared, and say so", func(ctx SpecContext) {
		w := adjusting(ctx)
		names := []string{w.policy + "-guard", w.policy + "-user"}
		create(ctx, w.modelDeployment("llm", builder.ASL2), w.modelDeployment("strict", builder.ASL3))
		Eventually(w.given("llm")).WithContext(ctx).Should(Equal(names))
		Eventually(w.given("strict")).WithContext(ctx).Should(Equal(names))
		Eventually(func(g Gomega) {
			for _, model := range []string{"llm", "strict"} {
				g.Expect(w.enforced(ctx, model).Adjustments).To(Equal(names))
			}
		}).WithContext(ctx).Should(Succeed())

		out := w.apply(ctx, "apiVersion: apps/v1\nkind: Deployment\nmetadata: {name: told}\nspec:\n  replicas: 0\n  selector: {matchLabels: {app: told}}\n"+
			"  template:\n    metadata: {labels: {app: told, interlock.dev/model: llm}}\n    spec: {containers: [{name: server, image: '"+builder.PinnedImage+"'}]}\n")
		Expect(out).NotTo(ContainSubstring("no guard"), "nobody is warned of what pods will be given")

		create(ctx, w.deployment("llm", 2, w.pinnedPod("llm")), w.deployment("strict", 1, w.pinnedPod("strict")))
		w.awaitCleared(ctx, "llm", 2)
		Expect(w.podsOf("llm")(ctx)).To(HaveEach(guarded(names...)))
		Eventually(w.podsOf("strict")).WithContext(ctx).Should(SatisfyAll(HaveLen(1), HaveEach(SatisfyAll(beHeld(), guarded(names...)))),
			"it is released as it is, and made anew if it was there before the API server knew what to give it")
	})

	It("bring running pods into line one by one, also after a kill, and stop where a budget or nobody would bring them back", func(ctx SpecContext) {
		w := namesOnly(ctx)
		guard := builder.Safeguard(w.policy+"-guard").PodRule("true", "never").Build()
		w.also(ctx, guard)
		w.createPolicy(ctx, demanding(guard.Name), replacing(600))
		w.enrol(ctx)
		budget, bare := w.noEviction("nobody-leaves", "app", "llm"), w.pinnedPod("llm").Build()
		create(ctx, w.modelDeployment("llm", builder.ASL2), w.deployment("llm", 2, w.pinnedPod("llm")), budget, bare)
		w.awaitCleared(ctx, "llm", 3)
		before, err := w.podsOf("llm")(ctx)
		Expect(err).NotTo(HaveOccurred())
		history := w.watch(ctx)

		By("giving what the pods do not have yet, among it a node that there is not yet, and asking for it later")
		update(ctx, guard, func() {
			guard.Spec.Adjust = &v1alpha1.Adjustment{Pod: &v1alpha1.PodAdjustment{
				NodeSelector: map[string]string{w.policy: "here"}, Sidecars: []v1alpha1.Sidecar{{Name: "guard", Image: builder.PinnedImage}}}}
		})
		Eventually(w.replacement("llm")).WithContext(ctx).Should(HaveValue(SatisfyAll(HaveField("State", v1alpha1.ReplacementBlocked),
			HaveField("Outdated", BeEquivalentTo(3)), HaveField("Message", ContainSubstring("nobody-leaves")))))
		Expect(api.Delete(ctx, budget)).To(Succeed())

		By("being killed when one pod was replaced, and keeping to the policy's pace when it is back")
		inTheMiddle := func(message string) OmegaMatcher {
			return HaveValue(SatisfyAll(HaveField("State", v1alpha1.ReplacementReplacing), HaveField("Outdated", BeEquivalentTo(2)),
				HaveField("LastEvictionTime", Not(BeNil())), HaveField("Message", ContainSubstring(message))))
		}
		Eventually(w.replacement("llm")).WithContext(ctx).Should(inTheMiddle("waits until pod llm-"))
		Expect(manager.Kill()).To(Succeed())
		DeferCleanup(needManager)
		pace := func(perMinute int32) {
			policy := w.scalingPolicy()
			update(ctx, policy, func() { replacing(perMinute)(&policy.Spec) })
		}
		pace(1)
		node := &corev1.Node{ObjectMeta: metav1.ObjectMeta{Name: "node-0"}}
		update(ctx, node, func() { node.Labels[w.policy] = "here" })
		DeferCleanup(func(ctx SpecContext) { update(ctx, node, func() { delete(node.Labels, w.policy) }) })
		served := w.podsBy(map[string]string{"app": "llm"})
		Eventually(served).WithContext(ctx).Should(SatisfyAll(HaveLen(2), HaveEach(beRunning())))
		startManager(ctx)
		Eventually(w.replacement("llm")).WithContext(ctx).Should(inTheMiddle("at most 1 a minute"))
		pace(600)
		sidecars := func(args ...string) OmegaMatcher {
			return SatisfyAll(HaveLen(2), HaveEach(SatisfyAll(beRunning(), HaveField("Spec.InitContainers", ConsistOf(HaveField("Args", Equal(args)))))))
		}
		Eventually(served).WithContext(ctx).Should(sidecars())
		Eventually(w.replacement("llm")).WithContext(ctx).Should(HaveValue(SatisfyAll(HaveField("State", v1alpha1.ReplacementBlocked),
			HaveField("Outdated", BeEquivalentTo(1)), HaveField("Message", ContainSubstring("nothing would make pod "+bare.Name)))))
		Expect(history.leastReady("llm", before)).To(Equal(1), "of two, while they went one by one")
		Eventually(w.events("ModelDeployment", "llm")).WithContext(ctx).Should(SatisfyAll(HaveKeyWithValue("ReplacingPods", 1), HaveKeyWithValue("ReplacementBlocked", 2)))

		Expect(api.Delete(ctx, bare, client.GracePeriodSeconds(0))).To(Succeed())
		Eventually(w.replacement("llm")).WithContext(ctx).Should(BeNil())

		By("giving something else, to pods that meet the rule as they are")
		update(ctx, guard, func() {
			guard.Spec.PodRule.Validations[0].Expression = sidecarRule
			guard.Spec.Adjust.Pod.Sidecars[0].Args = []string{"--strict"}
		})
		Eventually(served).WithContext(ctx).Should(sidecars("--strict"))
		Eventually(w.replacement("llm")).WithContext(ctx).Should(BeNil())
		Eventually(safeguardReady(guard.Name)).WithContext(ctx).Should(HaveField("Status", metav1.ConditionTrue))
		Expect(w.verdict("llm")(ctx)).To(Equal(v1alpha1.OutcomeCleared))
		Expect(history.of(dropsClearance("llm"))).To(BeEmpty(), "it was cleared all the while")
	})

	It("come too late for pods that wait already, which are made anew, unless that counts as their failure", func(ctx SpecContext) {
		w := adjusting(ctx)
		job := w.job("batch", w.pinnedPod("llm"))
		create(ctx, w.deployment("early", 2, w.pinnedPod("llm")), job)
		w.awaitPods(ctx, "llm", 3, beHeld())
		create(ctx, w.modelDeployment("llm", builder.ASL2))
		Eventually(w.podsBy(map[string]string{"app": "early"})).WithContext(ctx).Should(SatisfyAll(HaveLen(2),
			HaveEach(SatisfyAll(guarded(w.policy+"-guard", w.policy+"-user"), beRunning()))))
		Eventually(w.replacement("llm")).WithContext(ctx).Should(HaveValue(SatisfyAll(HaveField("State", v1alpha1.ReplacementBlocked),
			HaveField("Outdated", BeEquivalentTo(1)), HaveField("Message", ContainSubstring("suspend and resume")))))
		Expect(w.podsBy(map[string]string{"app": "batch"})(ctx)).To(SatisfyAll(HaveLen(1), HaveEach(beHeld())))

		By("doing what the message says")
		update(ctx, job, func() { job.Spec.Suspend = new(true) })
		Eventually(w.podsBy(map[string]string{"app": "batch"})).WithContext(ctx).Should(BeEmpty())
		update(ctx, job, func() { job.Spec.Suspend = new(false) })
		Eventually(func(g Gomega) {
			g.Expect(api.Get(ctx, client.ObjectKeyFromObject(job), job)).To(Succeed())
			g.Expect(job.Status.Succeeded).To(BeEquivalentTo(1))
		}).WithContext(ctx).Should(Succeed())
		Expect(w.podsBy(map[string]string{"app": "batch"})(ctx)).To(HaveEach(guarded(w.policy+"-guard", w.policy+"-user")))
	})

	It("leave what a pod says itself to the rule, and what another mutator takes away", func(ctx SpecContext) {
		w := adjusting(ctx)
		w.clearedModel(ctx, "llm")
		By("judging the team's own words")
		rootly := w.pinnedPod("llm").With(func(p *corev1.Pod) { p.Spec.SecurityContext = &corev1.PodSecurityContext{RunAsNonRoot: new(false)} })
		Expect(api.Create(ctx, rootly.Build())).To(MatchError(ContainSubstring("may run as root")))

		By("judging what is left after another's mutation")
		strip := &admissionv1.MutatingAdmissionPolicy{ObjectMeta: metav1.ObjectMeta{Name: "strip-" + w.ns}, Spec: admissionv1.MutatingAdmissionPolicySpec{
			ReinvocationPolicy: admissionv1.IfNeededReinvocationPolicy,
			MatchConstraints: &admissionv1.MatchResources{ResourceRules: []admissionv1.NamedRuleWithOperations{{RuleWithOperations: admissionv1.RuleWithOperations{
				Operations: []admissionv1.OperationType{admissionv1.Create},
				Rule:       admissionv1.Rule{APIGroups: []string{""}, APIVersions: []string{"v1"}, Resources: []string{"pods"}}}}}},
			Mutations: []admissionv1.Mutation{{PatchType: admissionv1.PatchTypeJSONPatch, JSONPatch: &admissionv1.JSONPatch{
				Expression: `has(object.spec.initContainers) ? [JSONPatch{op: "remove", path: "/spec/initContainers"},
  JSONPatch{op: "add", path: "/metadata/annotations/stripped", value: "yes"}] : []`}}}}}
		w.also(ctx, strip, &admissionv1.MutatingAdmissionPolicyBinding{ObjectMeta: strip.ObjectMeta, Spec: admissionv1.MutatingAdmissionPolicyBindingSpec{
			PolicyName: strip.Name, MatchResources: &admissionv1.MatchResources{
				NamespaceSelector: &metav1.LabelSelector{MatchLabels: map[string]string{corev1.LabelMetadataName: w.ns}}}}})
		Eventually(ctx, func(g Gomega) {
			pod := w.pinnedPod("llm").Build()
			if err := api.Create(ctx, pod, client.DryRunAll); err != nil {
				g.Expect(err).To(MatchError(SatisfyAll(ContainSubstring("interlock-admit"), ContainSubstring("no guard"))))
				return
			}
			g.Expect(pod.Annotations).To(HaveKey("stripped"), "the other has had its turn")
			g.Expect(pod).To(HaveValue(guarded(w.policy+"-guard", w.policy+"-user")), "and so have we, once more")
		}).Should(Succeed())
	})

	It("that do not agree are found when the policy is accepted, and hold the models that need both", func(ctx SpecContext) {
		w := namesOnly(ctx)
		one, other := w.policy+"-one", w.policy+"-other"
		w.also(ctx,
			builder.Safeguard(one).PodRule("true", "never").AdjustPod(v1alpha1.PodAdjustment{NodeSelector: map[string]string{"pool": "a"}}).Build(),
			builder.Safeguard(other).PodRule("true", "never").AdjustPod(v1alpha1.PodAdjustment{NodeSelector: map[string]string{"pool": "b"}}).Build())
		w.createPolicy(ctx, demanding(one, other))
		w.enrol(ctx)
		const words = " set spec.nodeSelector[pool] to different values"
		Eventually(policyReady(w.policy)).WithContext(ctx).Should(condition(metav1.ConditionFalse, v1alpha1.ReasonAdjustmentConflict,
			"Safeguards "+one+" and "+other+words))
		create(ctx, w.modelDeployment("llm", builder.ASL2))
		Eventually(w.modelReady("llm")).WithContext(ctx).Should(condition(metav1.ConditionFalse, v1alpha1.ReasonSafeguardsMissing, words))

		sg := &v1alpha1.Safeguard{ObjectMeta: metav1.ObjectMeta{Name: other}}
		update(ctx, sg, func() { sg.Spec.Adjust.Pod.NodeSelector["pool"] = "a" })
		Eventually(policyReady(w.policy)).WithContext(ctx).Should(condition(metav1.ConditionTrue, v1alpha1.ReasonAccepted, "in use"))
		Eventually(w.verdict("llm")).WithContext(ctx).Should(Equal(v1alpha1.OutcomeCleared))
	})
})
