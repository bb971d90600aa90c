package bypass

import (
	"context"
	"time"

	. "github.com/onsi/ginkgo/v2"
	. "github.com/onsi/gomega"
	admissionv1 "k8s.io/api/admissionregistration/v1"
	appsv1 "k8s.io/api/apps/v1"
	autoscalingv1 "k8s.io/api/autoscaling/v1"
	autoscalingv2 "k8s.io/api/autoscaling/v2"
	batchv1 "k8s.io/api/batch/v1"
	corev1 "k8s.io/api/core/v1"
	networkingv1 "k8s.io/api/networking/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/types"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/client/apiutil"

	"github.com/interlock-dev/interlock/api/v1alpha1"
	"github.com/interlock-dev/interlock/internal/admission"
	"github.com/interlock-dev/interlock/internal/testing/builder"
)

func workloadTricks() {
	It("6: the pods of an uncleared model are held whatever makes them", func(ctx SpecContext) {
		t := newTenant(ctx, policyName)
		workloads := map[string]client.Object{}
		for _, w := range []func(*builder.PodBuilder, string, int32) client.Object{
			anyOf(deployment), anyOf(replicaSet), anyOf(statefulSet), anyOf(daemonSet), anyOf(replicationController), anyOf(job), anyOf(cronJob),
		} {
			o := w(t.pod("x").Model(llama), "w", 1)
			kind := schemeKind(o).Kind
			o = w(t.pod("x").Model(llama).Label("by", kind), "w", 1)
			Expect(t.editor.Create(ctx, o)).To(Succeed(), kind)
			workloads[kind] = o
		}
		skipToNextRun(ctx, workloads["CronJob"])
		for kind := range workloads {
			Eventually(ctx, func(g Gomega) {
				pods := t.pods(ctx, "by", kind)
				g.Expect(pods).NotTo(BeEmpty(), kind)
				for i := range pods {
					g.Expect(&pods[i]).To(beHeld(), kind)
				}
			}).Should(Succeed())
		}
		// A kind that Interlock has never heard of makes its pods like anybody else.
		unknown := metav1.OwnerReference{APIVersion: "example.com/v1", Kind: "Server", Name: "s", UID: "00000000-0000-0000-0000-000000000000", Controller: new(true)}
		t.waiting(ctx, t.pod("of-a-server").Model(llama).Owner(unknown))

		t.limitEgress(ctx)
		for kind := range workloads {
			Eventually(ctx, func(g Gomega) {
				pods := t.pods(ctx, "by", kind)
				g.Expect(pods).NotTo(BeEmpty(), kind)
				g.Expect(pods[0].Spec.NodeName).NotTo(BeEmpty(), "%s: released once cleared", kind)
			}).Should(Succeed())
		}
	})

	It("6: a workload whose template names no model gets no pod, and is told why", func(ctx SpecContext) {
		t := newTenant(ctx, policyName)
		rs := replicaSet(t.pod("x").Label("app", "nameless"), "nameless", 1)
		Expect(t.editor.Create(ctx, rs)).To(Succeed())
		Eventually(ctx, func(g Gomega) {
			g.Expect(admin.Get(ctx, client.ObjectKeyFromObject(rs), rs)).To(Succeed())
			g.Expect(rs.Status.Conditions).To(ContainElement(And(
				HaveField("Type", appsv1.ReplicaSetReplicaFailure), HaveField("Message", ContainSubstring("must name the ModelDeployment")))))
		}).Should(Succeed())
		Expect(t.pods(ctx, "app", "nameless")).To(BeEmpty())
	})

	It("7: raising the scale after revocation brings up nothing but held pods", func(ctx SpecContext) {
		t := newTenant(ctx, evictingName)
		t.limitEgress(ctx)
		t.waitVerdict(ctx, llama, v1alpha1.OutcomeCleared)
		d := deployment(t.pod("x").Model(llama).Label("app", "llama"), "llama", 2)
		Expect(t.editor.Create(ctx, d)).To(Succeed())
		Eventually(ctx, func(g Gomega) {
			g.Expect(admin.Get(ctx, client.ObjectKeyFromObject(d), d)).To(Succeed())
			g.Expect(d.Status.ReadyReplicas).To(BeEquivalentTo(2))
		}).Should(Succeed())

		t.openEgress(ctx)
		allHeld := func(n int) {
			GinkgoHelper()
			Eventually(ctx, func(g Gomega) {
				pods := t.pods(ctx, "app", "llama")
				g.Expect(pods).To(HaveLen(n))
				for i := range pods {
					g.Expect(&pods[i]).To(beHeld())
				}
			}).Should(Succeed())
		}
		allHeld(2)
		for n, scaler := range map[int32]person{4: editor, 6: owner} {
			scale := &autoscalingv1.Scale{ObjectMeta: metav1.ObjectMeta{Namespace: t.namespace, Name: d.Name}, Spec: autoscalingv1.ScaleSpec{Replicas: n}}
			Expect(scaler.SubResource("scale").Update(ctx, d, client.WithSubResourceBody(scale))).To(Succeed())
			allHeld(int(n))
		}
		autoscaler := &autoscalingv2.HorizontalPodAutoscaler{
			ObjectMeta: metav1.ObjectMeta{Namespace: t.namespace, Name: d.Name},
			Spec: autoscalingv2.HorizontalPodAutoscalerSpec{
				ScaleTargetRef: autoscalingv2.CrossVersionObjectReference{APIVersion: "apps/v1", Kind: "Deployment", Name: d.Name},
				MinReplicas:    new(int32(8)), MaxReplicas: 9}}
		Expect(t.editor.Create(ctx, autoscaler)).To(Succeed())
		allHeld(8)
		t.limitEgress(ctx)
		Eventually(ctx, func(g Gomega) {
			g.Expect(admin.Get(ctx, client.ObjectKeyFromObject(d), d)).To(Succeed())
			g.Expect(d.Status.ReadyReplicas).To(BeNumerically(">", 2), "restored")
		}).Should(Succeed())
	})

	It("11: another team's mutator cannot strip the gate, nor undo what a pod rule asks for, after us", func(ctx SpecContext) {
		t := newTenant(ctx, policyName)
		mutates(ctx, t, "image", `[JSONPatch{op: "replace", path: "/spec/containers/0/image", value: "`+builder.TaggedImage+`"}]`)
		mutates(ctx, t, "gate", `has(object.spec.schedulingGates) ? [JSONPatch{op: "remove", path: "/spec/schedulingGates"}] : []`)
		mutates(ctx, t, "to-llama", `[JSONPatch{op: "add", path: "/metadata/labels/interlock.dev~1model", value: "llama"}]`)
		mutates(ctx, t, "strip", `!("interlock.dev/model" in object.metadata.labels) ? [] : [JSONPatch{op: "remove", path: "/metadata/labels/interlock.dev~1model"}]`)

		Expect(t.editor.Create(ctx, t.pod("x").Model(small).Label("mutate", "image").Build())).
			To(beRefusedBy("interlock-admit", "Safeguard image-pinned"))
		Expect(t.editor.Create(ctx, t.pod("x").Model(small).Label("mutate", "strip").Build())).
			To(beRefusedBy("interlock-admit", "must name the ModelDeployment"))
		for name, model := range map[string]string{"gate": llama, "to-llama": small} {
			pod := t.pod(name).Model(model).Label("mutate", name).Build()
			if err := t.editor.Create(ctx, pod); err != nil {
				Expect(err).To(beRefusedBy("interlock-admit", "lacks the scheduling gate"), name)
				continue
			}
			Expect(pod.Labels).To(HaveKeyWithValue(v1alpha1.ModelLabel, llama), name)
			Expect(pod).To(beHeld(), name)
		}
	})

	It("7: the pods of a revoked model are isolated, which is no evidence for it, and stay until it is time to evict", func(ctx SpecContext) {
		t := newTenant(ctx, isolatingName)
		t.limitEgress(ctx)
		pod := t.running(ctx, t.pod("x").Model(llama))
		t.openEgress(ctx)
		isolation := &networkingv1.NetworkPolicy{}
		Eventually(ctx, func() error { return admin.Get(ctx, t.key("interlock-isolate-"+llama), isolation) }).Should(Succeed())
		first := isolation.UID
		Consistently(ctx, func(g Gomega) {
			g.Expect(admin.Get(ctx, t.key(isolation.Name), isolation)).To(Succeed())
			g.Expect(isolation.UID).To(Equal(first), "it neither ended nor began anew")
			g.Expect(admission.Find(t.clearances(ctx).Annotations, llama).Cleared()).To(BeFalse())
			g.Expect(admin.Get(ctx, client.ObjectKeyFromObject(pod), pod)).To(Succeed())
			g.Expect(pod.DeletionTimestamp).To(BeNil())
		}, "1s").Should(Succeed())
	})

	It("11: a pod has what its model's pods are to be given, whoever creates it", func(ctx SpecContext) {
		t := newTenant(ctx, adjustingName)
		pod := t.running(ctx, t.pod("x").Model(small))
		Expect(pod.Spec.InitContainers).To(ContainElement(HaveField("Name", "guard")))
	})

	It("41: adjustments that do not agree hold the models that need both", func(ctx SpecContext) {
		t := newTenant(ctx, adjustingName)
		md := &v1alpha1.ModelDeployment{}
		Expect(admin.Get(ctx, t.key(llama), md)).To(Succeed())
		Expect(md.Status.Conditions).To(ContainElement(HaveField("Message", ContainSubstring("set spec.nodeSelector[pool] to different values"))))
		t.waiting(ctx, t.pod("x").Model(llama))
	})

	It("11: a pod that a mutator gives to another model is judged as a pod of that model", func(ctx SpecContext) {
		t := newTenant(ctx, policyName)
		mutates(ctx, t, "to-small", `has(object.spec.schedulingGates) ? [JSONPatch{op: "add", path: "/metadata/labels/interlock.dev~1model", value: "small"}] : []`)
		bad := t.waiting(ctx, t.pod("bad").Model(llama).Label("mutate", "to-small").Image(builder.TaggedImage))
		good := t.waiting(ctx, t.pod("good").Model(llama).Label("mutate", "to-small"))
		Expect(good.Labels).To(HaveKeyWithValue(v1alpha1.ModelLabel, small))
		t.waitRunning(ctx, good)
		Consistently(ctx, func(g Gomega) {
			g.Expect(admin.Get(ctx, client.ObjectKeyFromObject(bad), bad)).To(Succeed())
			g.Expect(bad).To(beHeld(), "it breaks a rule of the model that it names by now")
		}, "500ms").Should(Succeed())
	})
}

// mutates makes a mutator, as the member of another team, for pods of the tenant that bear the label mutate with its
// name, and waits until it works.
func mutates(ctx context.Context, t *tenant, name, expression string) {
	GinkgoHelper()
	meta := metav1.ObjectMeta{Name: name + "-" + t.namespace}
	policy := &admissionv1.MutatingAdmissionPolicy{ObjectMeta: meta, Spec: admissionv1.MutatingAdmissionPolicySpec{
		FailurePolicy:      new(admissionv1.Fail),
		ReinvocationPolicy: admissionv1.IfNeededReinvocationPolicy, // so that it has its turn after ours, whatever the order
		MatchConstraints: &admissionv1.MatchResources{ResourceRules: []admissionv1.NamedRuleWithOperations{{
			RuleWithOperations: admissionv1.RuleWithOperations{
				Operations: []admissionv1.OperationType{admissionv1.Create},
				Rule:       admissionv1.Rule{APIGroups: []string{""}, APIVersions: []string{"v1"}, Resources: []string{"pods", "configmaps"}}}}}},
		Mutations: []admissionv1.Mutation{{PatchType: admissionv1.PatchTypeJSONPatch, JSONPatch: &admissionv1.JSONPatch{
			Expression: `object.kind == "ConfigMap" ? [JSONPatch{op: "add", path: "/data", value: {"mutated": "yes"}}] : ` + expression}}},
	}}
	binding := &admissionv1.MutatingAdmissionPolicyBinding{ObjectMeta: meta, Spec: admissionv1.MutatingAdmissionPolicyBindingSpec{
		PolicyName: policy.Name,
		MatchResources: &admissionv1.MatchResources{
			NamespaceSelector: &metav1.LabelSelector{MatchLabels: map[string]string{corev1.LabelMetadataName: t.namespace}},
			ObjectSelector:    &metav1.LabelSelector{MatchLabels: map[string]string{"mutate": name}}}}}
	for _, o := range []client.Object{policy, binding} {
		Expect(mutatorOwner.Create(ctx, o)).To(Succeed())
		DeferCleanup(func(ctx SpecContext) { Expect(mutatorOwner.Delete(ctx, o)).To(Succeed()) })
	}
	Eventually(ctx, func(g Gomega) {
		probe := &corev1.ConfigMap{ObjectMeta: metav1.ObjectMeta{Namespace: t.namespace, Name: "probe", Labels: map[string]string{"mutate": name}}}
		g.Expect(t.editor.Create(ctx, probe, client.DryRunAll)).To(Succeed())
		g.Expect(probe.Data).To(HaveKey("mutated"))
	}).Should(Succeed())
}

// skipToNextRun makes a CronJob run now.
func skipToNextRun(ctx context.Context, o client.Object) {
	GinkgoHelper()
	last := metav1.NewTime(time.Now().Add(-2 * time.Minute))
	Expect(patching("merge patch", types.MergePatchType, "status", anything{"status": anything{"lastScheduleTime": last}}).do(ctx, admin, o)).To(Succeed())
}

func anyOf[T client.Object](of func(*builder.PodBuilder, string, int32) T) func(*builder.PodBuilder, string, int32) client.Object {
	return func(b *builder.PodBuilder, name string, n int32) client.Object { return of(b, name, n) }
}

func parts(b *builder.PodBuilder, name string) (metav1.ObjectMeta, corev1.PodTemplateSpec, *metav1.LabelSelector) {
	pod := b.Build()
	return metav1.ObjectMeta{Namespace: pod.Namespace, Name: name}, b.Template(), &metav1.LabelSelector{MatchLabels: pod.Labels}
}

func deployment(b *builder.PodBuilder, name string, n int32) *appsv1.Deployment {
	meta, template, selector := parts(b, name)
	return &appsv1.Deployment{ObjectMeta: meta, Spec: appsv1.DeploymentSpec{Replicas: &n, Selector: selector, Template: template}}
}

func replicaSet(b *builder.PodBuilder, name string, n int32) *appsv1.ReplicaSet {
	meta, template, selector := parts(b, name)
	return &appsv1.ReplicaSet{ObjectMeta: meta, Spec: appsv1.ReplicaSetSpec{Replicas: &n, Selector: selector, Template: template}}
}

func statefulSet(b *builder.PodBuilder, name string, n int32) *appsv1.StatefulSet {
	meta, template, selector := parts(b, name)
	return &appsv1.StatefulSet{ObjectMeta: meta, Spec: appsv1.StatefulSetSpec{Replicas: &n, Selector: selector, Template: template}}
}

func daemonSet(b *builder.PodBuilder, name string, _ int32) *appsv1.DaemonSet {
	meta, template, selector := parts(b, name)
	return &appsv1.DaemonSet{ObjectMeta: meta, Spec: appsv1.DaemonSetSpec{Selector: selector, Template: template}}
}

func replicationController(b *builder.PodBuilder, name string, n int32) *corev1.ReplicationController {
	meta, template, selector := parts(b, name)
	return &corev1.ReplicationController{ObjectMeta: meta, Spec: corev1.ReplicationControllerSpec{Replicas: &n, Selector: selector.MatchLabels, Template: &template}}
}

func job(b *builder.PodBuilder, name string, n int32) *batchv1.Job {
	meta, template, _ := parts(b.RestartPolicy(corev1.RestartPolicyNever), name)
	return &batchv1.Job{ObjectMeta: meta, Spec: batchv1.JobSpec{Completions: &n, Template: template}}
}

func cronJob(b *builder.PodBuilder, name string, n int32) *batchv1.CronJob {
	j := job(b, name, n)
	return &batchv1.CronJob{ObjectMeta: j.ObjectMeta, Spec: batchv1.CronJobSpec{
		Schedule: "* * * * *", JobTemplate: batchv1.JobTemplateSpec{Spec: j.Spec}}}
}

func schemeKind(o client.Object) schema.GroupVersionKind {
	GinkgoHelper()
	kind, err := apiutil.GVKForObject(o, scheme)
	Expect(err).NotTo(HaveOccurred())
	return kind
}
