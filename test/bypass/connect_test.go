package bypass

import (
	"context"
	"time"

	. "github.com/onsi/ginkgo/v2"
	. "github.com/onsi/gomega"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/client-go/kubernetes"
	clientgoscheme "k8s.io/client-go/kubernetes/scheme"
	"k8s.io/client-go/rest"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/interlock-dev/interlock/api/v1alpha1"
	"github.com/interlock-dev/interlock/internal/admission"
	"github.com/interlock-dev/interlock/internal/testing/builder"
)

const (
	// closedName lets nobody but its responders reach into running pods of models at ASL-3.
	closedName = "bypass-closed"
	// notEntered is its Safeguard, and responders are whom that excepts.
	notEntered = "not-entered"
	responders = "bypass-responders"
)

// closedPack gives the policy under which nobody reaches into running pods.
func closedPack() []client.Object {
	entered := builder.Safeguard(notEntered).PodRule(
		"object.spec.?ephemeralContainers.orValue([]).size() == 0", "an ephemeral container is in the pod").Build()
	entered.Spec.Connect = &v1alpha1.ConnectRule{
		Refuse: []v1alpha1.ConnectKind{v1alpha1.ConnectExec, v1alpha1.ConnectAttach, v1alpha1.ConnectPortForward, v1alpha1.ConnectProxy},
		Except: []v1alpha1.ConnectException{{Group: responders, Reason: "incidents"}}}
	return []client.Object{entered,
		builder.ScalingPolicy(closedName).Level(builder.Level(builder.ASL2).Deployment(imagePinned)).
			Level(builder.Level(builder.ASL3).Security(egressLimited).Deployment(notEntered)).Build()}
}

// ways into a running pod, each by its name and a request that asks for it.
func ways(ctx context.Context, config *rest.Config, pod *corev1.Pod) map[string]error {
	GinkgoHelper()
	clients, err := kubernetes.NewForConfig(config)
	Expect(err).NotTo(HaveOccurred())
	core := clients.CoreV1().RESTClient()
	of := func(request *rest.Request, resource, name string) *rest.Request {
		return request.Namespace(pod.Namespace).Resource(resource).Name(name).Timeout(5 * time.Second)
	}
	exec := &corev1.PodExecOptions{Container: pod.Spec.Containers[0].Name, Command: []string{"id"}, Stdout: true}
	return map[string]error{
		"exec":             of(core.Post(), "pods", pod.Name).SubResource("exec").VersionedParams(exec, clientgoscheme.ParameterCodec).Do(ctx).Error(),
		"exec by GET":      of(core.Get(), "pods", pod.Name).SubResource("exec").VersionedParams(exec, clientgoscheme.ParameterCodec).Do(ctx).Error(),
		"attach":           of(core.Post(), "pods", pod.Name).SubResource("attach").Do(ctx).Error(),
		"port-forward":     of(core.Post(), "pods", pod.Name).SubResource("portforward").Do(ctx).Error(),
		"proxy":            of(core.Get(), "pods", pod.Name+":8080").SubResource("proxy").Suffix("v1/models").Do(ctx).Error(),
		"proxy by PUT":     of(core.Put(), "pods", pod.Name).SubResource("proxy").Do(ctx).Error(),
		"a Service":        of(core.Get(), "services", "server").SubResource("proxy").Do(ctx).Error(),
		"a Service's port": of(core.Post(), "services", "http:server:8080").SubResource("proxy").Suffix("load").Do(ctx).Error(),
	}
}

func connectTricks() {
	It("59: nobody reaches into a running pod where a model needs that, whichever pod it is and whoever asks", func(ctx SpecContext) {
		open, closed := newTenant(ctx, closedName), newTenant(ctx, closedName)
		Expect(open.editor.Delete(ctx, builder.ModelDeployment(open.namespace, llama).Build())).To(Succeed())
		closed.limitEgress(ctx)
		closed.waitVerdict(ctx, llama, v1alpha1.OutcomeCleared)
		serving, beside := closed.running(ctx, closed.pod("serving").Model(llama)), closed.running(ctx, closed.pod("beside").Model(small))
		elsewhere := open.running(ctx, open.pod("elsewhere").Model(small))

		for who, config := range map[string]*rest.Config{"an administrator": cluster.RESTConfig(), "the namespace's owner": configOf(owner.name)} {
			for _, pod := range []*corev1.Pod{serving, beside} {
				for way, err := range ways(ctx, config, pod) {
					Expect(err).To(beRefusedBy(admission.ConnectPolicy, "Safeguard "+notEntered), "%s of %s by %s", way, pod.Name, who)
				}
			}
			Eventually(ctx, func(g Gomega) {
				for way, err := range ways(ctx, config, elsewhere) {
					g.Expect(err).NotTo(beRefusedBy(admission.ConnectPolicy, ""), "%s of %s by %s", way, elsewhere.Name, who)
				}
			}).Should(Succeed())
		}

		By("excepting who is listed, and nobody who impersonates them")
		responder, _, err := cluster.User("rita", responders, "system:masters")
		Expect(err).NotTo(HaveOccurred())
		for way, err := range ways(ctx, responder, serving) {
			Expect(err).NotTo(beRefusedBy(admission.ConnectPolicy, ""), "%s by who is excepted", way)
		}
		posing := rest.CopyConfig(cluster.RESTConfig())
		posing.Impersonate = rest.ImpersonationConfig{UserName: "rita", Groups: []string{responders, "system:masters"}}
		for way, err := range ways(ctx, posing, serving) {
			Expect(err).To(beRefusedBy(admission.ConnectPolicy, ""), "%s by who impersonates somebody excepted", way)
		}

		By("adding a container to it")
		joined := serving.DeepCopy()
		joined.Spec.EphemeralContainers = []corev1.EphemeralContainer{{EphemeralContainerCommon: corev1.EphemeralContainerCommon{Name: "debug", Image: builder.PinnedImage}}}
		Expect(admin.SubResource("ephemeralcontainers").Update(ctx, joined)).To(beRefusedBy(admission.GuardPolicy, "Safeguard "+notEntered))

		By("revoking the model, and taking its declaration back while its pod runs")
		closed.openEgress(ctx)
		closed.waitVerdict(ctx, llama, v1alpha1.OutcomeRevoked)
		for way, err := range ways(ctx, cluster.RESTConfig(), serving) {
			Expect(err).To(beRefusedBy(admission.ConnectPolicy, ""), "%s of a model that lost its clearance", way)
		}
		Expect(admin.Patch(ctx, serving, client.RawPatch(types.MergePatchType, []byte(`{"metadata":{"finalizers":["example.com/stays"]}}`)))).To(Succeed())
		DeferCleanup(func(ctx SpecContext) {
			Expect(client.IgnoreNotFound(admin.Patch(ctx, serving, client.RawPatch(types.MergePatchType, []byte(`{"metadata":{"finalizers":null}}`))))).To(Succeed())
		})
		Expect(closed.editor.Delete(ctx, builder.ModelDeployment(closed.namespace, llama).Build())).To(Succeed())
		Consistently(ctx, func(g Gomega) {
			for way, err := range ways(ctx, cluster.RESTConfig(), serving) {
				g.Expect(err).To(beRefusedBy(admission.ConnectPolicy, ""), "%s of a model that is no longer declared", way)
			}
		}).WithTimeout(2 * time.Second).Should(Succeed())
	})
}

func configOf(name string) *rest.Config {
	GinkgoHelper()
	config, _, err := cluster.User(name)
	Expect(err).NotTo(HaveOccurred())
	return config
}
