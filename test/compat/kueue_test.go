package compat

import (
	"context"
	"encoding/json"
	"net/http"
	"time"

	. "github.com/onsi/ginkgo/v2"
	. "github.com/onsi/gomega"
	admissionv1 "k8s.io/api/admissionregistration/v1"
	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	rbacv1 "k8s.io/api/rbac/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/controller/controllerutil"
	"sigs.k8s.io/controller-runtime/pkg/webhook"
	"sigs.k8s.io/controller-runtime/pkg/webhook/admission"

	"github.com/interlock-dev/interlock/api/v1alpha1"
	"github.com/interlock-dev/interlock/internal/testing/builder"
	"github.com/interlock-dev/interlock/internal/testing/controlplane"
)

// Names of Kueue's.
const (
	kueueGate    = "kueue.x-k8s.io/admission"
	kueueQueue   = "kueue.x-k8s.io/queue-name"
	kueueManaged = "kueue.x-k8s.io/managed" // a label, and a finalizer
)

// kueue stands in for Kueue's integration of plain pods and of what owns them. Its webhook gates each pod that names a queue, and
// adds a label and a finalizer; admission takes its gate away and narrows where the pod may run, by one merge patch of the
// version that was read; the finalizer goes when the pod is on its way out.
type kueue struct{ client client.Client }

// startKueue starts it with the rights on pods that Kueue has.
func startKueue(ctx context.Context) kueue {
	GinkgoHelper()
	meta := metav1.ObjectMeta{Name: "kueue-controller-manager", Namespace: "kueue-system"}
	for _, o := range []client.Object{
		builder.Namespace(meta.Namespace).Build(),
		&corev1.ServiceAccount{ObjectMeta: meta},
		&rbacv1.ClusterRole{ObjectMeta: metav1.ObjectMeta{Name: meta.Name}, Rules: []rbacv1.PolicyRule{
			{APIGroups: []string{""}, Resources: []string{"pods"}, Verbs: []string{"get", "list", "watch", "update", "patch", "delete"}}}},
		&rbacv1.ClusterRoleBinding{ObjectMeta: metav1.ObjectMeta{Name: meta.Name}, RoleRef: rbacv1.RoleRef{APIGroup: rbacv1.GroupName, Kind: "ClusterRole", Name: meta.Name},
			Subjects: []rbacv1.Subject{{Kind: rbacv1.ServiceAccountKind, Namespace: meta.Namespace, Name: meta.Name}}},
	} {
		Expect(api.Create(ctx, o)).To(Succeed())
	}
	config, _, err := st.ServiceAccount(ctx, meta.Namespace, meta.Name)
	Expect(err).NotTo(HaveOccurred())
	c, err := client.New(config, client.Options{Scheme: api.Scheme()})
	Expect(err).NotTo(HaveOccurred())

	port, err := controlplane.FreePort()
	Expect(err).NotTo(HaveOccurred())
	dir := GinkgoT().TempDir()
	Expect(st.ServingCertificate(dir)).To(Succeed())
	server := webhook.NewServer(webhook.Options{Host: "127.0.0.1", Port: port, CertDir: dir})
	server.Register("/mutate--v1-pod", &admission.Webhook{Handler: admission.HandlerFunc(queuePod)})
	serving, stop := context.WithCancel(context.Background())
	done := make(chan error)
	go func() { done <- server.Start(serving) }()
	DeferCleanup(func() { stop(); Expect(<-done).NotTo(HaveOccurred()) })
	Eventually(func() error { return server.StartedChecker()(nil) }).Should(Succeed())

	hook := &admissionv1.MutatingWebhookConfiguration{
		ObjectMeta: metav1.ObjectMeta{Name: "kueue-mutating-webhook-configuration"},
		Webhooks: []admissionv1.MutatingWebhook{{
			Name: "mpod.kb.io", AdmissionReviewVersions: []string{"v1"}, SideEffects: new(admissionv1.SideEffectClassNone), FailurePolicy: new(admissionv1.Fail),
			ClientConfig:   admissionv1.WebhookClientConfig{URL: new("https://" + loopback(port) + "/mutate--v1-pod"), CABundle: st.RESTConfig().CAData},
			ObjectSelector: &metav1.LabelSelector{MatchExpressions: []metav1.LabelSelectorRequirement{{Key: kueueQueue, Operator: metav1.LabelSelectorOpExists}}},
			Rules: []admissionv1.RuleWithOperations{{Operations: []admissionv1.OperationType{admissionv1.Create},
				Rule: admissionv1.Rule{APIGroups: []string{""}, APIVersions: []string{"v1"}, Resources: []string{"pods"}}}},
		}}}
	Expect(api.Create(ctx, hook)).To(Succeed())
	DeferCleanup(func(ctx SpecContext) { Expect(api.Delete(ctx, hook)).To(Succeed()) })
	return kueue{c}
}

// queuePod is the webhook.
func queuePod(_ context.Context, request admission.Request) admission.Response {
	pod := &corev1.Pod{}
	if err := json.Unmarshal(request.Object.Raw, pod); err != nil {
		return admission.Errored(http.StatusBadRequest, err)
	}
	controllerutil.AddFinalizer(pod, kueueManaged)
	pod.Labels[kueueManaged] = "true"
	pod.Spec.SchedulingGates = append(pod.Spec.SchedulingGates, corev1.PodSchedulingGate{Name: kueueGate})
	raw, err := json.Marshal(pod)
	if err != nil {
		return admission.Errored(http.StatusInternalServerError, err)
	}
	return admission.PatchResponseFromRaw(request.Object.Raw, raw)
}

// admit lets a pod, as it was read, past Kueue's gate.
func (k kueue) admit(ctx context.Context, pod *corev1.Pod) error {
	admitted := pod.DeepCopy()
	admitted.Spec.SchedulingGates = nil
	for _, gate := range pod.Spec.SchedulingGates {
		if gate.Name != kueueGate {
			admitted.Spec.SchedulingGates = append(admitted.Spec.SchedulingGates, gate)
		}
	}
	admitted.Spec.NodeSelector = map[string]string{corev1.LabelOSStable: "linux"} // that of the flavour
	return k.client.Patch(ctx, admitted, client.MergeFromWithOptions(pod, client.MergeFromWithOptimisticLock{}))
}

// finalize lets pods go that are on their way out.
func (k kueue) finalize(ctx context.Context, pods []corev1.Pod) {
	GinkgoHelper()
	for i := range pods {
		if pods[i].DeletionTimestamp == nil {
			continue
		}
		gone := pods[i].DeepCopy()
		controllerutil.RemoveFinalizer(gone, kueueManaged)
		Expect(client.IgnoreNotFound(k.client.Patch(ctx, gone, client.MergeFrom(&pods[i])))).To(Succeed())
	}
}

func waitingAt(gates ...string) OmegaMatcher {
	want := make([]corev1.PodSchedulingGate, 0, len(gates))
	for _, gate := range gates {
		want = append(want, corev1.PodSchedulingGate{Name: gate})
	}
	return SatisfyAll(HaveField("Spec.SchedulingGates", ConsistOf(want)), HaveField("Spec.NodeName", BeEmpty()))
}

func runningInFlavour() OmegaMatcher {
	return SatisfyAll(HaveField("Status.Phase", corev1.PodRunning), HaveField("Spec.NodeSelector", HaveKey(corev1.LabelOSStable)))
}

var _ = Describe("Kueue's gate and ours", func() {
	It("are on the same pods, and each is taken away by its owner alone, in either order", func(ctx SpecContext) {
		k := startKueue(ctx)
		createPolicy(ctx, "kueue", v1alpha1.ShortfallEvict)
		s := &served{namespace: "kueue", object: inline(`{apiVersion: apps/v1, kind: Deployment, metadata: {name: server}, spec: {replicas: 2, selector: {matchLabels: {app: server}}, template: ` +
			`{metadata: {labels: {app: server, ` + kueueQueue + `: gpus}}, spec: {containers: [{name: server, image: registry.example/server}]}}}}`)}
		s.create(ctx, "kueue")
		pods := func(ctx context.Context) ([]corev1.Pod, error) {
			list := &corev1.PodList{}
			err := api.List(ctx, list, client.InNamespace("kueue"))
			return list.Items, err
		}
		both := waitingAt(kueueGate, v1alpha1.ClearanceGate)
		Eventually(pods).WithContext(ctx).Should(HaveExactElements(both, both))
		waiting, err := pods(ctx)
		Expect(err).NotTo(HaveOccurred())
		first, second := &waiting[0], &waiting[1]

		By("Kueue first, of one pod")
		Expect(k.admit(ctx, first)).To(Succeed())
		Eventually(pods).WithContext(ctx).Should(ConsistOf(waitingAt(v1alpha1.ClearanceGate), both))

		By("Interlock first, of the other")
		Expect(api.Create(ctx, builder.NetworkPolicy("kueue", "deny-egress").Build())).To(Succeed())
		Eventually(pods).WithContext(ctx).Should(ConsistOf(runningInFlavour(), waitingAt(kueueGate)))
		Expect(apierrors.IsConflict(k.admit(ctx, second))).To(BeTrue(), "what Kueue read before brings no gate back")
		Expect(api.Get(ctx, client.ObjectKeyFromObject(second), second)).To(Succeed())
		Expect(k.admit(ctx, second)).To(Succeed())
		Eventually(pods).WithContext(ctx).Should(HaveExactElements(runningInFlavour(), runningInFlavour()))

		By("evicting pods that wait for Kueue to let them go")
		Expect(api.Delete(ctx, builder.NetworkPolicy("kueue", "deny-egress").Build())).To(Succeed())
		leaving := HaveField("DeletionTimestamp", Not(BeNil()))
		Eventually(pods).WithContext(ctx).Should(ConsistOf(leaving, leaving, both, both))
		awaitStill(ctx, 2*healEvery, func(ctx context.Context) map[string]string {
			versions := map[string]string{}
			now, err := pods(ctx)
			Expect(err).NotTo(HaveOccurred())
			for i := range now {
				versions[now[i].Name] = now[i].ResourceVersion
			}
			return versions
		})
		now, err := pods(ctx)
		Expect(err).NotTo(HaveOccurred())
		k.finalize(ctx, now)
		Eventually(pods).WithContext(ctx).Should(HaveExactElements(both, both))

		server := &appsv1.Deployment{ObjectMeta: metav1.ObjectMeta{Namespace: "kueue", Name: "server"}}
		Expect(api.Delete(ctx, server, client.PropagationPolicy(metav1.DeletePropagationBackground))).To(Succeed())
		Eventually(func(ctx context.Context) ([]corev1.Pod, error) {
			left, err := pods(ctx)
			k.finalize(ctx, left)
			return left, err
		}).WithContext(ctx).Should(BeEmpty())
	}, NodeTimeout(2*time.Minute))
})
