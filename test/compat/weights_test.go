package compat

import (
	"strings"

	. "github.com/onsi/ginkgo/v2"
	. "github.com/onsi/gomega"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/interlock-dev/interlock/api/v1alpha1"
	"github.com/interlock-dev/interlock/internal/testing/builder"
)

var _ = Describe("Weights that workloads of other projects name", func() {
	It("are compared with what the model declares, wherever the kind names them", func(ctx SpecContext) {
		const policyName, commit = "compat-weights", "9213176726f574b556790deb65791e0c5aa438b6"
		policy := builder.ScalingPolicy(policyName).Level(builder.Level(builder.ASL2).Security("compat-workload-weights")).Build()
		policy.Spec.Levels[0].OnShortfall = []v1alpha1.ShortfallStep{{Action: v1alpha1.ShortfallStop}}
		Expect(api.Create(ctx, builder.Safeguard("compat-workload-weights").WorkloadWeights().Build())).To(Succeed())
		Expect(api.Create(ctx, policy)).To(Succeed())

		llm := kserve.sample(ctx, "docs/samples/llmisvc/single-node-gpu/llm-inference-service-qwen2-7b-gpu.yaml", "LLMInferenceService")[0]
		uri, _, err := unstructured.NestedString(llm.Object, "spec", "model", "uri")
		Expect(err).NotTo(HaveOccurred())
		Expect(unstructured.SetNestedField(llm.Object, uri+":"+commit, "spec", "model", "uri")).To(Succeed())
		Expect(unstructured.SetNestedSlice(llm.Object, []any{map[string]any{"name": "sql", "uri": "s3://adapters/sql"}},
			"spec", "model", "lora", "adapters")).To(Succeed())
		ray := kuberay.sample(ctx, "config/samples/ray-service.llm-serve.yaml", "RayService")[0]
		serve, _, err := unstructured.NestedString(ray.Object, "spec", "serveConfigV2")
		Expect(err).NotTo(HaveOccurred())
		Expect(unstructured.SetNestedField(ray.Object, strings.ReplaceAll(serve, "model_source: Qwen/", "model_source: s3://models/"), "spec", "serveConfigV2")).To(Succeed())

		// What each names, and of that what is not declared for a while.
		type declared struct {
			served
			kept    []string
			lacking string
		}
		all := []declared{
			{served{namespace: "weights-kserve", object: kserve.sample(ctx, "docs/samples/v1beta1/sklearn/v1/sklearn.yaml", "InferenceService")[0], standIn: inferenceService, pods: 1},
				[]string{"gs://kfserving-examples/models/sklearn/1.0"}, "gs://kfserving-examples/models/sklearn/1.0/model"},
			{served{namespace: "weights-llm", object: llm, standIn: llmInferenceService, pods: 3},
				[]string{uri + ":" + commit}, "s3://adapters/sql"},
			{served{namespace: "weights-ray", object: ray, standIn: rayService, pods: 2},
				nil, "s3://models/Qwen2.5-7B-Instruct"},
		}
		By("serving what a model declares")
		for i := range all {
			s := &all[i]
			ns := builder.Namespace(s.namespace).Enforce(policyName).DefaultModel(model).Build()
			s.object.SetNamespace(s.namespace)
			for _, o := range []client.Object{ns, builder.ModelDeployment(s.namespace, model).Sources(append(s.kept, s.lacking)...).Build(), s.object} {
				Expect(api.Create(ctx, o)).To(Succeed(), s.namespace)
			}
			s.standIn.run(s.object)
		}
		for i := range all {
			all[i].awaitRunning(ctx)
		}

		By("declaring it no more")
		for i := range all {
			all[i].declare(ctx, all[i].kept...)
		}
		for i := range all {
			s := &all[i]
			s.awaitStopped(ctx)
			Eventually(s.model).WithContext(ctx).Should(SatisfyAll(
				HaveField("Status.Verdict", Not(Equal(v1alpha1.OutcomeCleared))),
				HaveField("Status.Safeguards", ContainElement(HaveField("Message", ContainSubstring("%q, which the model does not declare", s.lacking))))), s.namespace)
		}
		for i := range all {
			Consistently(all[i].model, "500ms").WithContext(ctx).Should(HaveField("Status.Verdict", Not(Equal(v1alpha1.OutcomeCleared))),
				"to stop a workload does not make its weights any others")
		}

		By("declaring it again")
		for i := range all {
			all[i].declare(ctx, append(all[i].kept, all[i].lacking)...)
		}
		for i := range all {
			all[i].awaitRunning(ctx)
		}
	})
})
