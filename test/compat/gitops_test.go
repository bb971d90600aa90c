package compat

import (
	"cmp"
	"context"
	"fmt"
	"maps"
	"os"
	"slices"
	"strings"
	"sync"
	"time"

	. "github.com/onsi/ginkgo/v2"
	. "github.com/onsi/gomega"
	admissionv1 "k8s.io/api/admissionregistration/v1"
	appsv1 "k8s.io/api/apps/v1"
	autoscalingv1 "k8s.io/api/autoscaling/v1"
	autoscalingv2 "k8s.io/api/autoscaling/v2"
	corev1 "k8s.io/api/core/v1"
	networkingv1 "k8s.io/api/networking/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/interlock-dev/interlock/api/v1alpha1"
	"github.com/interlock-dev/interlock/internal/testing/builder"
	"github.com/interlock-dev/interlock/internal/workload"
)

// stillVariable says for how long nothing may change beside a GitOps tool, when that is to be longer than in each run.
const stillVariable = "INTERLOCK_COMPAT_STILL"

// healEvery is how often a GitOps tool looks whether the cluster is as Git says, and makes it so.
const healEvery = 2 * time.Second

// gitOps is a tool that applies what stands in Git again and again.
type gitOps struct {
	name string
	// apply is how it does so, in the words of kubectl.
	apply []string

	mu     sync.Mutex
	git    map[string]string
	healed int
	err    error
}

// gitOpsTools gives Flux, which applies on the server and takes what others own, and Argo CD, which merges three ways.
func gitOpsTools() []*gitOps {
	return []*gitOps{
		{name: "flux", apply: []string{"apply", "--server-side", "--force-conflicts", "--field-manager=kustomize-controller", "-f", "-"}},
		{name: "argocd", apply: []string{"apply", "--field-manager=argocd-controller", "-f", "-"}},
	}
}

// commit writes a file into Git.
func (g *gitOps) commit(file, content string) {
	g.mu.Lock()
	defer g.mu.Unlock()
	if g.git == nil {
		g.git = map[string]string{}
	}
	g.git[file] = content
}

// heal runs the tool until the test ends.
func (g *gitOps) heal() {
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan struct{})
	DeferCleanup(func() { cancel(); <-done })
	go func() {
		defer close(done)
		for ctx.Err() == nil {
			g.mu.Lock()
			manifests := strings.Join(slices.Collect(maps.Values(g.git)), "---\n")
			g.mu.Unlock()
			_, err := st.As(st.Kubeconfig()).RunWithInput(ctx, manifests, g.apply...)
			g.mu.Lock()
			g.healed, g.err = g.healed+1, err
			g.mu.Unlock()
			select {
			case <-ctx.Done():
			case <-time.After(healEvery):
			}
		}
	}()
}

// awaitRound waits until the round that is under way has ended: the tool then knows what was committed before.
func (g *gitOps) awaitRound(ctx context.Context) {
	GinkgoHelper()
	before, _ := g.rounds()
	Eventually(func() int { n, _ := g.rounds(); return n }).WithContext(ctx).Should(BeNumerically(">", before), g.name)
}

// rounds says how often the tool has run, and how it went the last time.
func (g *gitOps) rounds() (int, error) {
	g.mu.Lock()
	defer g.mu.Unlock()
	return g.healed, g.err
}

// inGit is what a team keeps in Git: its namespace, its model, a Deployment whose replicas it sets, one whose replicas it
// leaves to an autoscaler, and an InferenceService. The autoscaler is that of Kubernetes; it has no metrics, and sees to the
// least that there may be.
const inGit = `
apiVersion: v1
kind: Namespace
metadata: {name: NAMESPACE, labels: {interlock.dev/enforce: POLICY, interlock.dev/model: llm}}
---
apiVersion: interlock.dev/v1alpha1
kind: ModelDeployment
metadata: {name: llm, namespace: NAMESPACE}
spec: {model: {name: llm, digest: "DIGEST"}, assessedLevel: ASL-2, audience: General}
---
apiVersion: apps/v1
kind: Deployment
metadata: {name: fixed, namespace: NAMESPACE}
spec:
  replicas: 2
  selector: {matchLabels: {app: fixed}}
  template: {metadata: {labels: {app: fixed}}, spec: {containers: [{name: server, image: registry.example/server}]}}
---
apiVersion: apps/v1
kind: Deployment
metadata: {name: scaled, namespace: NAMESPACE}
spec:
  selector: {matchLabels: {app: scaled}}
  template: {metadata: {labels: {app: scaled}}, spec: {containers: [{name: server, image: registry.example/server}]}}
---
apiVersion: autoscaling/v2
kind: HorizontalPodAutoscaler
metadata: {name: scaled, namespace: NAMESPACE}
spec:
  scaleTargetRef: {apiVersion: apps/v1, kind: Deployment, name: scaled}
  minReplicas: 2
  maxReplicas: 4
  metrics: [{type: Resource, resource: {name: cpu, target: {type: Utilization, averageUtilization: 80}}}]
---
apiVersion: serving.kserve.io/v1beta1
kind: InferenceService
metadata: {name: inference, namespace: NAMESPACE}
spec: {predictor: {model: {modelFormat: {name: sklearn}, storageUri: "gs://bucket/model"}}}
`

// limitsEgress is the safeguard that the policies ask for.
const limitsEgress = `
apiVersion: networking.k8s.io/v1
kind: NetworkPolicy
metadata: {name: deny-egress, namespace: NAMESPACE}
spec: {podSelector: {}, policyTypes: [Egress]}
`

// gitOpsNamespace is one of a team's namespaces that a tool keeps.
type gitOpsNamespace struct {
	tool         *gitOps
	name, policy string
}

func (n gitOpsNamespace) commit(manifests ...string) {
	n.tool.commit(n.name, strings.NewReplacer("NAMESPACE", n.name, "POLICY", n.policy, "DIGEST", builder.Digest).Replace(strings.Join(manifests, "---")))
}

func (n gitOpsNamespace) served() *served { return &served{namespace: n.name} }

// await waits until the three workloads are in these states, with so many pods.
func (n gitOpsNamespace) await(ctx context.Context, fixed, scaled, inference OmegaMatcher) {
	GinkgoHelper()
	Eventually(n.served().model).WithContext(ctx).Should(HaveField("Status.Workloads", HaveExactElements(
		SatisfyAll(HaveField("Name", "fixed"), fixed), SatisfyAll(HaveField("Name", "scaled"), scaled),
		SatisfyAll(HaveField("Name", "inference"), inference))), n.name)
}

func (n gitOpsNamespace) autoscaler(ctx context.Context) (*autoscalingv2.HorizontalPodAutoscaler, error) {
	a := &autoscalingv2.HorizontalPodAutoscaler{}
	return a, api.Get(ctx, client.ObjectKey{Namespace: n.name, Name: "scaled"}, a)
}

func are(state v1alpha1.WorkloadState, pods int) OmegaMatcher {
	return SatisfyAll(HaveField("State", state), HaveField("Pods", BeEquivalentTo(pods)))
}

var _ = Describe("GitOps tools that heal every few seconds", func() {
	It("and Interlock leave each other still, whatever becomes of a model", func(ctx SpecContext) {
		createPolicy(ctx, "gitops-stop", v1alpha1.ShortfallStop)
		createPolicy(ctx, "gitops-isolate", v1alpha1.ShortfallIsolate)
		tools := gitOpsTools()
		var cleared, held, stopped, isolated []gitOpsNamespace
		for _, tool := range tools {
			cleared = append(cleared, gitOpsNamespace{tool, tool.name + "-cleared", "gitops-stop"})
			held = append(held, gitOpsNamespace{tool, tool.name + "-held", "gitops-stop"})
			stopped = append(stopped, gitOpsNamespace{tool, tool.name + "-stopped", "gitops-stop"})
			isolated = append(isolated, gitOpsNamespace{tool, tool.name + "-isolated", "gitops-isolate"})
		}
		for _, n := range slices.Concat(cleared, stopped, isolated) {
			n.commit(inGit, limitsEgress)
		}
		for _, n := range held {
			n.commit(inGit)
		}
		for _, tool := range tools {
			tool.heal()
		}
		for _, n := range slices.Concat(cleared, held, stopped, isolated) {
			inference := &unstructured.Unstructured{}
			inference.SetGroupVersionKind(inferenceServices)
			inference.SetNamespace(n.name)
			inference.SetName("inference")
			standIn(inferenceService).run(inference)
		}
		running := func(of ...[]gitOpsNamespace) {
			GinkgoHelper()
			for _, n := range slices.Concat(of...) {
				n.await(ctx, are(v1alpha1.WorkloadRunning, 2), are(v1alpha1.WorkloadRunning, 2), are(v1alpha1.WorkloadRunning, 1))
			}
		}
		running(cleared, stopped, isolated)

		By("losing the safeguard")
		for _, n := range slices.Concat(stopped, isolated) {
			n.commit(inGit)
		}
		for _, tool := range tools {
			tool.awaitRound(ctx)
		}
		for _, n := range slices.Concat(stopped, isolated) {
			Expect(api.Delete(ctx, builder.NetworkPolicy(n.name, "deny-egress").Build())).To(Succeed()) // as the tool prunes it
		}
		for _, n := range held {
			n.await(ctx, are(v1alpha1.WorkloadHeld, 2), are(v1alpha1.WorkloadHeld, 2), are(v1alpha1.WorkloadHeld, 1))
		}
		for _, n := range stopped {
			// Git says how many replicas one has, and so it is started again: its pods are held. Of the others Git says nothing.
			n.await(ctx, are(v1alpha1.WorkloadStartedByOthers, 2), are(v1alpha1.WorkloadStopped, 0), are(v1alpha1.WorkloadStopped, 0))
			Eventually(n.autoscaler).WithContext(ctx).Should(HaveField("Status.Conditions", ContainElement(
				HaveField("Reason", "ScalingDisabled"))), "%s: the autoscaler leaves alone what is stopped", n.name)
		}
		for _, n := range isolated {
			Eventually(func() error {
				return api.Get(ctx, client.ObjectKey{Namespace: n.name, Name: "interlock-isolate-llm"}, &networkingv1.NetworkPolicy{})
			}).Should(Succeed(), n.name)
		}
		running(cleared, isolated)

		written := writtenBeside(tools)
		awaitStill(ctx, stillFor(), written)
		before := written(ctx)
		for _, tool := range tools {
			tool.awaitRound(ctx)
			tool.awaitRound(ctx) // a whole one
			_, err := tool.rounds()
			Expect(err).NotTo(HaveOccurred(), tool.name)
		}
		Expect(differing(before, written(ctx))).To(BeEmpty())

		By("an autoscaler that starts from none, as that of KEDA does")
		woken := stopped[0]
		scale := &autoscalingv1.Scale{Spec: autoscalingv1.ScaleSpec{Replicas: 1}}
		server := &appsv1.Deployment{ObjectMeta: metav1.ObjectMeta{Namespace: woken.name, Name: "scaled"}}
		Expect(api.SubResource("scale").Update(ctx, server, client.WithSubResourceBody(scale))).To(Succeed())
		woken.await(ctx, are(v1alpha1.WorkloadStartedByOthers, 2), are(v1alpha1.WorkloadStartedByOthers, 2), are(v1alpha1.WorkloadStopped, 0))
		pods := &corev1.PodList{}
		Expect(api.List(ctx, pods, client.InNamespace(woken.name))).To(Succeed())
		Expect(pods.Items).To(SatisfyAll(HaveLen(4), HaveEach(waitingAt(v1alpha1.ClearanceGate))))
		awaitStill(ctx, 3*healEvery, written)

		By("having the safeguard again")
		for _, n := range slices.Concat(stopped, isolated) {
			n.commit(inGit, limitsEgress)
		}
		running(cleared, stopped, isolated)
		Expect(tracesBeside(ctx, tools)).To(BeEmpty())
	}, NodeTimeout(3*time.Minute+4*stillFor()))
})

func stillFor() time.Duration {
	if long, err := time.ParseDuration(os.Getenv(stillVariable)); err == nil {
		return long
	}
	return 10 * time.Second
}

var (
	deployments       = schema.GroupVersionKind{Group: "apps", Version: "v1", Kind: "Deployment"}
	inferenceServices = schema.GroupVersionKind{Group: "serving.kserve.io", Version: "v1beta1", Kind: "InferenceService"}
)

// writtenBeside reads the version of all that the tools or Interlock write in the namespaces of the tools, and of what
// Interlock writes for the cluster.
func writtenBeside(tools []*gitOps) func(context.Context) map[string]string {
	kinds := []schema.GroupVersionKind{deployments, inferenceServices, {Group: "apps", Version: "v1", Kind: "ReplicaSet"},
		{Version: "v1", Kind: "Namespace"}, {Version: "v1", Kind: "Pod"}, {Group: "networking.k8s.io", Version: "v1", Kind: "NetworkPolicy"}}
	for _, ours := range []string{"ModelDeployment", "ClearanceLedger", "ScalingPolicy", "Safeguard"} {
		kinds = append(kinds, v1alpha1.GroupVersion.WithKind(ours))
	}
	for _, compiled := range []string{"Validating", "Mutating"} {
		for _, kind := range []string{"AdmissionPolicy", "AdmissionPolicyBinding"} {
			kinds = append(kinds, admissionv1.SchemeGroupVersion.WithKind(compiled+kind))
		}
	}
	return func(ctx context.Context) map[string]string {
		GinkgoHelper()
		written := map[string]string{}
		for _, kind := range kinds {
			for _, o := range metadataOf(ctx, kind) {
				if o.Namespace == "" && kind.Kind != "Namespace" || keeps(tools, cmp.Or(o.Namespace, o.Name)) {
					written[fmt.Sprintf("%s %s/%s", kind.Kind, o.Namespace, o.Name)] = o.ResourceVersion
				}
			}
		}
		return written
	}
}

// keeps says whether a namespace is kept by one of the tools.
func keeps(tools []*gitOps, namespace string) bool {
	return slices.ContainsFunc(tools, func(t *gitOps) bool { return strings.HasPrefix(namespace, t.name+"-") })
}

// tracesBeside names the workloads on which something is left that tells of a stop.
func tracesBeside(ctx context.Context, tools []*gitOps) []string {
	GinkgoHelper()
	var traces []string
	for _, kind := range []schema.GroupVersionKind{deployments, inferenceServices} {
		for _, o := range metadataOf(ctx, kind) {
			ours := slices.ContainsFunc(o.ManagedFields, func(e metav1.ManagedFieldsEntry) bool { return e.Manager == workload.FieldManager })
			if _, labelled := o.Labels[workload.StoppedForLabel]; keeps(tools, o.Namespace) && (ours || labelled) {
				traces = append(traces, fmt.Sprintf("%s %s/%s", kind.Kind, o.Namespace, o.Name))
			}
		}
	}
	return traces
}

func metadataOf(ctx context.Context, kind schema.GroupVersionKind) []metav1.PartialObjectMetadata {
	GinkgoHelper()
	list := &metav1.PartialObjectMetadataList{}
	list.SetGroupVersionKind(kind.GroupVersion().WithKind(kind.Kind + "List"))
	Expect(api.List(ctx, list)).To(Succeed(), kind.Kind)
	return list.Items
}
