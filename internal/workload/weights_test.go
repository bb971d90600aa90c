package workload

import (
	"context"
	"errors"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	appsv1 "k8s.io/api/apps/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/client/interceptor"
	"sigs.k8s.io/yaml"

	"github.com/interlock-dev/interlock/internal/testing/builder"
)

func TestWhatWorkloadsNameWeightsBy(t *testing.T) {
	kinds, err := LoadKinds("")
	if err != nil {
		t.Fatal(err)
	}
	const kserve, ray = "serving.kserve.io", "ray.io"
	for name, tc := range map[string]struct {
		group, kind, spec string
		want              []Named
	}{
		"nothing": {kserve, "InferenceService", `{predictor: {minReplicas: 1}}`, nil},
		"of a model": {kserve, "InferenceService", `{predictor: {minReplicas: 1, model: {modelFormat: {name: x}, storageUri: "s3://a"}}}`,
			[]Named{{"s3://a", "InferenceService x, spec.predictor.*.storageUri"}}},
		"of a framework": {kserve, "InferenceService", `{predictor: {sklearn: {storageUri: "gs://a"}}}`,
			[]Named{{"gs://a", "InferenceService x, spec.predictor.*.storageUri"}}},
		"several": {kserve, "InferenceService", `{predictor: {storageUris: [{uri: "hf://a", mountPath: /a}, {uri: "hf://b"}]}, transformer: {storageUris: [{uri: "hf://c"}]}}`,
			[]Named{{"hf://a", "InferenceService x, spec.*.storageUris.*.uri"}, {"hf://b", "InferenceService x, spec.*.storageUris.*.uri"}, {"hf://c", "InferenceService x, spec.*.storageUris.*.uri"}}},
		"in a bucket of a Secret": {kserve, "InferenceService", `{predictor: {model: {storage: {key: k, path: a}}}}`,
			[]Named{{"a", "InferenceService x, spec.predictor.*.storage.path"}}},
		"a model with adapters": {kserve, "LLMInferenceService", `{model: {uri: "hf://a", name: a, lora: {adapters: [{uri: "hf://b", name: b}, {uri: "hf://c"}]}}}`,
			[]Named{{"hf://a", "LLMInferenceService x, spec.model.uri"}, {"hf://b", "LLMInferenceService x, spec.model.lora.adapters.*.uri"}, {"hf://c", "LLMInferenceService x, spec.model.lora.adapters.*.uri"}}},
		"Ray Serve LLM": {ray, "RayService", `{serveConfigV2: "applications: [{args: {llm_configs: [{model_loading_config: {model_id: a, model_source: b}, lora_config: {dynamic_lora_loading_path: 's3://c'}}]}}]"}`,
			[]Named{{"b", "RayService x, spec.serveConfigV2|applications.*.args.llm_configs.*.model_loading_config.model_source/model_id"},
				{"s3://c", "RayService x, spec.serveConfigV2|applications.*.args.llm_configs.*.lora_config.dynamic_lora_loading_path"}}},
		"Ray Serve LLM, by the name alone": {ray, "RayService", `{serveConfigV2: "applications: [{args: {llm_configs: [{model_loading_config: {model_id: a}}]}}]"}`,
			[]Named{{"a", "RayService x, spec.serveConfigV2|applications.*.args.llm_configs.*.model_loading_config.model_source/model_id"}}},
		"Ray Serve LLM, of a mirror": {ray, "RayService", `{serveConfigV2: "applications: [{args: {llm_configs: [{model_loading_config: {model_id: a, model_source: {bucket_uri: 's3://a'}}}]}}]"}`,
			[]Named{{"s3://a", "RayService x, spec.serveConfigV2|applications.*.args.llm_configs.*.model_loading_config.model_source.bucket_uri"}}},
		"Ray Serve LLM, a file": {ray, "RayService", `{serveConfigV2: "applications: [{args: {llm_configs: [configs/a.yaml]}}]"}`,
			[]Named{{"configs/a.yaml", "RayService x, spec.serveConfigV2|applications.*.args.llm_configs.*"}}},
		"another application of Ray": {ray, "RayService", `{serveConfigV2: "applications: [{import_path: 'fruit:app', args: {}}]"}`, nil},
		"no YAML": {ray, "RayService", `{serveConfigV2: "applications: ["}`,
			[]Named{{"", "RayService x, spec.serveConfigV2 is no YAML, so what it names is not known"}}},
	} {
		t.Run(name, func(t *testing.T) {
			var spec map[string]any
			if err := yaml.Unmarshal([]byte(tc.spec), &spec); err != nil {
				t.Fatal(err)
			}
			got := kinds.Of(tc.group, tc.kind).NamedBy(Ref{Group: tc.group, Kind: tc.kind, Name: "x"}, map[string]any{"spec": spec})
			if diff := cmp.Diff(tc.want, got); diff != "" {
				t.Errorf("named (-want +got):\n%s", diff)
			}
		})
	}
}

func TestWeightsOfOwners(t *testing.T) {
	d := deployment("llm", 1)
	image := d.Spec.Template.Spec.Containers[0].Image
	pod := builder.Pod("n", "a").Owner(ownedBy("Deployment", d.Name, string(d.UID))).Build()
	for name, tc := range map[string]struct {
		err  error
		want []Named
		// fails says that nothing is found out.
		fails bool
	}{
		"read":     {nil, []Named{{image, "Deployment server, spec.template.spec.containers.*.image"}}, false},
		"gone":     {apierrors.NewNotFound(schema.GroupResource{}, d.Name), nil, false},
		"no right": {apierrors.NewForbidden(schema.GroupResource{}, d.Name, nil), []Named{{"", "the operator has no right to read Deployment server (docs/weights.md)"}}, false},
		"no word":  {errors.New("no word"), nil, true},
	} {
		t.Run(name, func(t *testing.T) {
			reads := 0
			server := interceptor.NewClient(serverWith(t, d.DeepCopy()), interceptor.Funcs{
				Get: func(ctx context.Context, c client.WithWatch, key client.ObjectKey, o client.Object, opts ...client.GetOption) error {
					if o.GetObjectKind().GroupVersionKind() == appsv1.SchemeGroupVersion.WithKind("Deployment") {
						reads++
						if tc.err != nil && reads > 1 { // after its owner was looked up
							return tc.err
						}
					}
					return c.Get(ctx, key, o, opts...)
				}})
			w := workloadsOn(t, server)
			w.Kinds = newKinds([]Kind{{Group: "apps", Kind: "Deployment", Weights: []string{"spec.template.spec.containers.*.image"}}})
			for range 2 { // looked up, and remembered for a moment
				got, err := w.Weights(t.Context(), pod)
				if (err != nil) != tc.fails || err != nil && !strings.Contains(err.Error(), "Deployment server") {
					t.Errorf("error %v, want one: %v", err, tc.fails)
				}
				if diff := cmp.Diff(tc.want, got); diff != "" {
					t.Errorf("named (-want +got):\n%s", diff)
				}
			}
			if !tc.fails && reads != 2 {
				t.Errorf("read %d times, want twice: its owner, and what it names", reads)
			}
		})
	}
}
