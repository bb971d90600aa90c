package compat

import (
	"context"
	"encoding/json"
	"fmt"
	"time"

	. "github.com/onsi/ginkgo/v2"
	. "github.com/onsi/gomega"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/interlock-dev/interlock/api/v1alpha1"
	"github.com/interlock-dev/interlock/internal/testing/builder"
	"github.com/interlock-dev/interlock/internal/workload"
)

// served is one workload in a namespace of its own, whose pods all serve the namespace's default model, so that a project's
// manifest is used as it is.
type served struct {
	namespace string
	object    *unstructured.Unstructured
	standIn   standIn
	pods      int
	// nowhere says that no node takes its pods, which are past the gate all the same.
	nowhere bool
	// cannotStop says that the kind knows no way.
	cannotStop bool
	// owned is the kind of what it owns, which is stopped too.
	owned string
}

const model = "llm"

var _ = Describe("Workloads of other projects", func() {
	It("are held and released, stopped in the way of their kind, stay so, and are started as they were", func(ctx SpecContext) {
		all := workloads(ctx)
		createPolicy(ctx, "compat", v1alpha1.ShortfallStop)
		By("serving a model that is not cleared")
		for i := range all {
			all[i].create(ctx, "compat")
		}
		for i := range all {
			all[i].awaitHeld(ctx)
		}

		By("serving a cleared model")
		for i := range all {
			Expect(api.Create(ctx, builder.NetworkPolicy(all[i].namespace, "deny-egress").Build())).To(Succeed())
		}
		for i := range all {
			all[i].awaitRunning(ctx)
		}
		manifests := map[string]string{}
		for i := range all {
			manifests[all[i].namespace] = all[i].manifest(ctx)
		}

		By("losing the safeguard")
		for i := range all {
			Expect(api.Delete(ctx, builder.NetworkPolicy(all[i].namespace, "deny-egress").Build())).To(Succeed())
		}
		for i := range all {
			all[i].awaitStopped(ctx)
		}

		By("keeping still")
		awaitStill(ctx, 3*time.Second, func(ctx context.Context) map[string]string {
			versions := map[string]string{}
			for i := range all {
				for _, o := range all[i].settled(ctx) {
					versions[fmt.Sprintf("%s %T", all[i].namespace, o)] = o.GetResourceVersion()
				}
			}
			return versions
		})

		By("having the safeguard again")
		for i := range all {
			Expect(api.Create(ctx, builder.NetworkPolicy(all[i].namespace, "deny-egress").Build())).To(Succeed())
		}
		for i := range all {
			all[i].awaitRunning(ctx)
			Eventually(func() string { return all[i].manifest(ctx) }).Should(Equal(manifests[all[i].namespace]), all[i].namespace)
		}
	}, NodeTimeout(3*time.Minute))
})

func workloads(ctx context.Context) []served {
	GinkgoHelper()
	const (
		raySamples    = "config/samples/"
		kserveSamples = "docs/samples/"
	)
	return []served{
		{namespace: "deployment", object: inline(`{apiVersion: apps/v1, kind: Deployment, metadata: {name: server}, spec: {replicas: 2, selector: {matchLabels: {app: server}}, template: ` + pod + `}}`), pods: 2},
		{namespace: "statefulset", object: inline(`{apiVersion: apps/v1, kind: StatefulSet, metadata: {name: server}, spec: {replicas: 2, serviceName: server, podManagementPolicy: Parallel, selector: {matchLabels: {app: server}}, template: ` + pod + `}}`), pods: 2},
		{namespace: "replicaset", object: inline(`{apiVersion: apps/v1, kind: ReplicaSet, metadata: {name: server}, spec: {replicas: 2, selector: {matchLabels: {app: server}}, template: ` + pod + `}}`), pods: 2},
		{namespace: "replicationcontroller", object: inline(`{apiVersion: v1, kind: ReplicationController, metadata: {name: server}, spec: {replicas: 2, selector: {app: server}, template: ` + pod + `}}`), pods: 2},
		{namespace: "daemonset", object: inline(`{apiVersion: apps/v1, kind: DaemonSet, metadata: {name: server}, spec: {selector: {matchLabels: {app: server}}, template: ` + pod + `}}`), pods: 3, cannotStop: true},
		{namespace: "job", object: inline(`{apiVersion: batch/v1, kind: Job, metadata: {name: batch}, spec: {parallelism: 2, template: ` + podOnce + `}}`), pods: 2, nowhere: true},
		{namespace: "cronjob", object: inline(`{apiVersion: batch/v1, kind: CronJob, metadata: {name: nightly}, spec: {schedule: "* * * * *", concurrencyPolicy: Forbid, jobTemplate: {spec: {template: ` + podOnce + `}}}}`), standIn: cronJob, pods: 1, nowhere: true, owned: "Job"},
		{namespace: "jobset", object: inline(`{apiVersion: jobset.x-k8s.io/v1alpha2, kind: JobSet, metadata: {name: batch}, spec: {replicatedJobs: [{name: driver, template: {spec: {template: ` + podOnce + `}}}, {name: workers, replicas: 2, template: {spec: {parallelism: 2, completions: 2, template: ` + podOnce + `}}}]}}`), pods: 5, nowhere: true},
		{namespace: "lws", object: lws.sample(ctx, "config/samples/leaderworkerset_v1_leaderworkerset.yaml", "LeaderWorkerSet")[0], pods: 12},
		{namespace: "raycluster", object: kuberay.sample(ctx, raySamples+"ray-cluster.sample.yaml", "RayCluster")[0], standIn: rayCluster, pods: 2},
		{namespace: "rayservice", object: kuberay.sample(ctx, raySamples+"ray-service.sample.yaml", "RayService")[0], standIn: rayService, pods: 2},
		{namespace: "kserve", object: kserve.sample(ctx, kserveSamples+"v1beta1/sklearn/v1/sklearn.yaml", "InferenceService")[0], standIn: inferenceService, pods: 1},
		{namespace: "kserve-llm", object: kserve.sample(ctx, kserveSamples+"llmisvc/single-node-gpu/llm-inference-service-qwen2-7b-gpu.yaml", "LLMInferenceService")[0], standIn: llmInferenceService, pods: 3},
		{namespace: "knative", object: knative.sample(ctx, "test/test_images/helloworld/service.yaml", "Service")[0], standIn: knativeService, pods: 1, cannotStop: true},
		{namespace: "rollout", object: rollouts.sample(ctx, "examples/rollout-canary.yaml", "Rollout")[0], standIn: rollout, pods: 5},
		{namespace: "fleet", object: inline(`{apiVersion: example.com/v1, kind: Fleet, metadata: {name: armada}, spec: {ships: 2}}`), standIn: fleet, pods: 2},
	}
}

// Templates of pods. KWOK completes the pods of Jobs as soon as they run, so these pass the gate and find no node.
const (
	pod     = `{metadata: {labels: {app: server}}, spec: {containers: [{name: server, image: registry.example/server}]}}`
	podOnce = `{spec: {restartPolicy: Never, nodeSelector: {no: such-node}, containers: [{name: server, image: registry.example/server}]}}`
)

func inline(manifest string) *unstructured.Unstructured {
	GinkgoHelper()
	return decode([]byte(manifest))[0]
}

// createPolicy makes a policy that asks for limited egress and takes one step at once where that is lost.
func createPolicy(ctx context.Context, name string, step v1alpha1.ShortfallAction) {
	GinkgoHelper()
	egress := builder.Safeguard(name + "-egress").Egress().Build()
	policy := builder.ScalingPolicy(name).Lease(24 * time.Hour).Level(builder.Level(builder.ASL2).Security(egress.Name)).Build()
	policy.Spec.Levels[0].OnShortfall = []v1alpha1.ShortfallStep{{Action: step}}
	Expect(api.Create(ctx, egress)).To(Succeed())
	Expect(api.Create(ctx, policy)).To(Succeed())
}

func (s *served) create(ctx context.Context, policy string) {
	GinkgoHelper()
	ns := builder.Namespace(s.namespace).Build()
	ns.Labels = map[string]string{v1alpha1.EnforceLabel: policy, v1alpha1.ModelLabel: model}
	for _, o := range []client.Object{ns, builder.ModelDeployment(s.namespace, model).Build()} {
		Expect(api.Create(ctx, o)).To(Succeed())
	}
	Eventually(func() error {
		return api.Get(ctx, client.ObjectKey{Namespace: s.namespace, Name: "default"}, &corev1.ServiceAccount{})
	}).Should(Succeed())
	s.object.SetNamespace(s.namespace)
	Expect(api.Create(ctx, s.object)).To(Succeed(), s.namespace)
	if s.standIn != nil {
		s.standIn.run(s.object)
	}
}

func (s *served) model(ctx context.Context) (*v1alpha1.ModelDeployment, error) {
	md := &v1alpha1.ModelDeployment{}
	return md, api.Get(ctx, client.ObjectKey{Namespace: s.namespace, Name: model}, md)
}

// declare changes what the model says its weights are found by.
func (s *served) declare(ctx context.Context, sources ...string) {
	GinkgoHelper()
	md, err := s.model(ctx)
	Expect(err).NotTo(HaveOccurred())
	before := md.DeepCopy()
	md.Spec.Model.Sources = sources
	Expect(api.Patch(ctx, md, client.MergeFrom(before))).To(Succeed())
}

func (s *served) workload(state v1alpha1.WorkloadState, pods int) OmegaMatcher {
	itself := SatisfyAll(
		HaveField("Group", s.object.GroupVersionKind().Group), HaveField("Kind", s.object.GetKind()), HaveField("Name", s.object.GetName()),
		HaveField("State", state), HaveField("Pods", BeEquivalentTo(pods)))
	if s.owned != "" && state == v1alpha1.WorkloadStopped {
		return HaveField("Status.Workloads", HaveExactElements(itself, SatisfyAll(HaveField("Kind", s.owned), HaveField("State", state))))
	}
	return HaveField("Status.Workloads", HaveExactElements(itself))
}

func (s *served) awaitHeld(ctx context.Context) {
	GinkgoHelper()
	Eventually(s.model).WithContext(ctx).Should(s.workload(v1alpha1.WorkloadHeld, s.pods), s.namespace)
}

func (s *served) awaitRunning(ctx context.Context) {
	GinkgoHelper()
	phase := corev1.PodRunning
	if s.nowhere {
		phase = corev1.PodPending
	}
	Eventually(s.pastTheGate(phase)).WithContext(ctx).Should(Equal(s.pods), s.namespace)
	Eventually(s.model).WithContext(ctx).Should(s.workload(v1alpha1.WorkloadRunning, s.pods), s.namespace)
}

func (s *served) awaitStopped(ctx context.Context) {
	GinkgoHelper()
	state, pods := v1alpha1.WorkloadStopped, 0
	if s.cannotStop {
		state, pods = v1alpha1.WorkloadCannotBeStopped, s.pods
	}
	Eventually(s.model).WithContext(ctx).Should(s.workload(state, pods), s.namespace)
}

// pastTheGate counts the pods of the model that are in a phase and held by nothing; -1, others are there besides.
func (s *served) pastTheGate(phase corev1.PodPhase) func(context.Context) (int, error) {
	return func(ctx context.Context) (int, error) {
		list := &corev1.PodList{}
		err := api.List(ctx, list, client.InNamespace(s.namespace))
		for _, p := range list.Items {
			if p.Labels[v1alpha1.ModelLabel] != model || len(p.Spec.SchedulingGates) > 0 || p.Status.Phase != phase || p.DeletionTimestamp != nil {
				return -1, err
			}
		}
		return len(list.Items), err
	}
}

// settled gives what must keep still: the workload, its model, and what the operator writes around them.
func (s *served) settled(ctx context.Context) []client.Object {
	GinkgoHelper()
	md, err := s.model(ctx)
	Expect(err).NotTo(HaveOccurred())
	return []client.Object{md, s.now(ctx)}
}

func (s *served) now(ctx context.Context) *unstructured.Unstructured {
	GinkgoHelper()
	o := &unstructured.Unstructured{}
	o.SetGroupVersionKind(s.object.GroupVersionKind())
	Expect(api.Get(ctx, client.ObjectKeyFromObject(s.object), o)).To(Succeed())
	return o
}

// manifest gives what a team wrote: spec, labels and annotations, and that no field is ours.
func (s *served) manifest(ctx context.Context) string {
	GinkgoHelper()
	o := s.now(ctx)
	ours := 0
	for _, entry := range o.GetManagedFields() {
		if entry.Manager == workload.FieldManager {
			ours++
		}
	}
	raw, err := json.Marshal(map[string]any{"spec": o.Object["spec"], "labels": o.GetLabels(), "annotations": o.GetAnnotations(), "ours": ours})
	Expect(err).NotTo(HaveOccurred())
	return string(raw)
}
