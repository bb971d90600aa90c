package integration

import (
	"context"
	"encoding/json"

	. "github.com/onsi/ginkgo/v2"
	. "github.com/onsi/gomega"
	appsv1 "k8s.io/api/apps/v1"
	batchv1 "k8s.io/api/batch/v1"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/client/apiutil"

	"github.com/interlock-dev/interlock/api/v1alpha1"
	"github.com/interlock-dev/interlock/internal/testing/builder"
)

// workloads gives one of each kind that people apply, named after its kind, all with the same pod.
func (w *world) workloads(pod func() *builder.PodBuilder) map[string]client.Object {
	of := func(name string) (metav1.ObjectMeta, *metav1.LabelSelector, corev1.PodTemplateSpec) {
		return metav1.ObjectMeta{Namespace: w.ns, Name: name},
			&metav1.LabelSelector{MatchLabels: map[string]string{"app": name}}, pod().Label("app", name).Template()
	}
	stateful := &appsv1.StatefulSet{}
	stateful.ObjectMeta, stateful.Spec.Selector, stateful.Spec.Template = of("statefulset")
	daemon := &appsv1.DaemonSet{}
	daemon.ObjectMeta, daemon.Spec.Selector, daemon.Spec.Template = of("daemonset")
	replicas := &appsv1.ReplicaSet{}
	replicas.ObjectMeta, replicas.Spec.Selector, replicas.Spec.Template = of("replicaset")
	job := &batchv1.Job{}
	job.ObjectMeta, _, job.Spec.Template = of("job")
	job.Spec.Template.Spec.RestartPolicy = corev1.RestartPolicyNever
	cron := &batchv1.CronJob{Spec: batchv1.CronJobSpec{Schedule: "0 0 1 1 *"}}
	cron.ObjectMeta, _, cron.Spec.JobTemplate.Spec.Template = of("cronjob")
	cron.Spec.JobTemplate.Spec.Template.Spec.RestartPolicy = corev1.RestartPolicyNever
	return map[string]client.Object{
		"Deployment": w.deployment("deployment", 1, pod()), "StatefulSet": stateful, "DaemonSet": daemon, "ReplicaSet": replicas,
		"Job": job, "CronJob": cron}
}

// manifest gives an object as kubectl takes it.
func manifest(o client.Object) string {
	GinkgoHelper()
	gvk, err := apiutil.GVKForObject(o, api.Scheme())
	Expect(err).NotTo(HaveOccurred())
	o.GetObjectKind().SetGroupVersionKind(gvk)
	text, err := json.Marshal(o)
	Expect(err).NotTo(HaveOccurred())
	return string(text)
}

// tried gives what kubectl prints when an object is applied without effect, to be polled: after a rule is new, the API
// server takes a moment to know it.
func (w *world) tried(o client.Object) func(context.Context) (string, error) {
	return func(ctx context.Context) (string, error) {
		return st.As(st.Kubeconfig()).RunWithInput(ctx, manifest(o), "apply", "-n", w.ns, "-f", "-", "--dry-run=server")
	}
}

var _ = Describe("kubectl apply of a workload", func() {
	saysAllThatIsMissing := SatisfyAll(
		ContainSubstring("Warning: "), ContainSubstring(pinnedMessage), ContainSubstring(pinnedRemedy),
		ContainSubstring(classifierMessage), ContainSubstring("no NetworkPolicy"), ContainSubstring("apply a NetworkPolicy"))

	for _, label := range []string{v1alpha1.EnforceLabel, v1alpha1.WarnLabel} {
		It("warns of what its model lacks where the label is "+label, func(ctx SpecContext) {
			w := namesOnly(ctx)
			w.createPolicy(ctx)
			w.label(ctx, map[string]string{label: w.policy})

			Eventually(w.tried(w.deployment("early", 1, w.loosePod("llm")))).WithContext(ctx).Should(
				ContainSubstring(`no ModelDeployment "llm" is declared`))
			create(ctx, w.modelDeployment("llm", builder.ASL3))
			for kind, workload := range w.workloads(func() *builder.PodBuilder { return w.loosePod("llm") }) {
				Eventually(w.tried(workload)).WithContext(ctx).Should(saysAllThatIsMissing, kind)
			}
			nameless := builder.Pod(w.ns, "")
			Expect(w.tried(w.deployment("nameless", 1, nameless))(ctx)).To(ContainSubstring("names no model in the label"))

			By("applying it in earnest")
			Expect(w.apply(ctx, manifest(w.deployment("server", 1, w.loosePod("llm"))))).To(saysAllThatIsMissing)

			By("applying what lacks nothing")
			create(ctx, w.denyEgress())
			Eventually(w.tried(w.deployment("fit", 1, w.fitPod("llm")))).WithContext(ctx).Should(
				SatisfyAll(ContainSubstring("created"), Not(ContainSubstring("Warning:"))))
		})
	}

	It("is neither denied nor held, and its model is shown the verdict to come, where a policy only warns", func(ctx SpecContext) {
		w := namesOnly(ctx)
		w.createPolicy(ctx, evict(0, 0))
		w.label(ctx, map[string]string{v1alpha1.WarnLabel: w.policy})
		create(ctx, w.modelDeployment("llm", builder.ASL2), w.deployment("server", 1, w.loosePod("llm")))
		w.awaitPods(ctx, "llm", 1, beRunning())
		Eventually(func() []v1alpha1.Preview { return w.model(ctx, "llm").Status.Previews }).Should(ConsistOf(SatisfyAll(
			HaveField("Label", v1alpha1.WarnLabel), HaveField("Policy", w.policy), HaveField("Verdict", v1alpha1.OutcomeRevoked),
			HaveField("SafeguardsMet", "0/1"), HaveField("Message", ContainSubstring(pinnedMessage)))))
		Eventually(w.modelReady("llm")).WithContext(ctx).Should(condition(metav1.ConditionFalse, v1alpha1.ReasonNotEnrolled, v1alpha1.EnforceLabel))
		Expect(w.podsOf("llm")(ctx)).To(HaveEach(beRunning()))
	})

	It("is neither warned of, nor denied, nor held where a policy only audits", func(ctx SpecContext) {
		w := namesOnly(ctx)
		w.createPolicy(ctx)
		w.label(ctx, map[string]string{v1alpha1.AuditLabel: w.policy})
		create(ctx, w.modelDeployment("llm", builder.ASL2))
		Eventually(func() []v1alpha1.Preview { return w.model(ctx, "llm").Status.Previews }).Should(
			ConsistOf(SatisfyAll(HaveField("Label", v1alpha1.AuditLabel), HaveField("Policy", w.policy))))
		server := w.deployment("server", 1, w.loosePod("llm"))
		Expect(w.apply(ctx, manifest(server))).To(SatisfyAll(ContainSubstring("created"), Not(ContainSubstring("Warning:"))))
		w.awaitPods(ctx, "llm", 1, beRunning())
	})
})
