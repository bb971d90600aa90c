package integration

import (
	"maps"

	"k8s.io/apimachinery/pkg/runtime"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/interlock-dev/interlock/api/v1alpha1"
)

// What the API server must not take of weights, fallbacks and objects around models.
func init() {
	const inAnyCase = "interlock.dev/model is part of it in any case"
	ours := map[string]string{v1alpha1.ModelLabel: "llm"}
	ports := []v1alpha1.FallbackPort{{Name: "http", Port: 80}}
	maps.Copy(refused, map[string]refusal{
		"weights by a tag":    {sourceOf("oci://registry.example.com/weights:v1"), "a source oci:// is REGISTRY/NAME@sha256:"},
		"weights by a branch": {sourceOf("hf://org/name@main"), "a source hf:// is ORGANISATION/NAME@COMMIT"},
		"a resource rule of nothing": {safeguardWith(func(sg *v1alpha1.Safeguard) {
			sg.Spec.PodRule, sg.Spec.Resource = nil, &v1alpha1.ResourceRule{}
		}), "resource has exactly one of egress and weights"},
		"an object for all models": {safeguardWith(func(sg *v1alpha1.Safeguard) {
			sg.Spec.Adjust = &v1alpha1.Adjustment{Objects: []v1alpha1.AdjustmentObject{{
				APIVersion: "v1", Kind: "ConfigMap", Name: "wall", Manifest: &runtime.RawExtension{Raw: []byte(`{"data":{"a":"b"}}`)}}}}
		}), "the name must hold $(model.name)"},

		"a fallback for no clients":               {fallbackWith(func(f *v1alpha1.Fallback) { f.Services = nil }), "name in services or httpRoutes what clients go through"},
		"a Service of our own without ports":      {fallbackService(func(s *v1alpha1.FallbackService) { s.Mode = v1alpha1.FallbackOwn }), "ports are needed in mode Own"},
		"ports of somebody else's Service":        {fallbackService(func(s *v1alpha1.FallbackService) { s.Ports = ports }), "ports are needed in mode Own"},
		"a selector of somebody else's Service":   {fallbackService(func(s *v1alpha1.FallbackService) { s.Selector = map[string]string{"a": "b"} }), "the selector is that of the Service itself in mode Turn"},
		"a Service that picks pods of some model": {fallbackService(func(s *v1alpha1.FallbackService) { s.Mode, s.Ports, s.Selector = v1alpha1.FallbackOwn, ports, ours }), inAnyCase},
		"a Service that falls back on another's":  {fallbackService(func(s *v1alpha1.FallbackService) { s.FallbackSelector = ours }), inAnyCase},
		"a route from a Service to the same Service": {fallbackWith(func(f *v1alpha1.Fallback) {
			f.HTTPRoutes = []v1alpha1.FallbackRoute{{Name: "chat", Backends: []v1alpha1.FallbackBackend{{Service: "llm", FallbackService: "llm"}}}}
		}), "service and fallbackService must differ"},
	})
}

func sourceOf(source string) func() client.Object {
	return modelWith(func(md *v1alpha1.ModelDeployment) { md.Spec.Model.Sources = []string{source} })
}

func fallbackWith(change func(*v1alpha1.Fallback)) func() client.Object {
	return modelWith(func(md *v1alpha1.ModelDeployment) {
		md.Spec.Fallback = &v1alpha1.Fallback{ModelDeployment: "safer", Services: []v1alpha1.FallbackService{{Name: "chat", Mode: v1alpha1.FallbackTurn}}}
		change(md.Spec.Fallback)
	})
}

func fallbackService(change func(*v1alpha1.FallbackService)) func() client.Object {
	return fallbackWith(func(f *v1alpha1.Fallback) { change(&f.Services[0]) })
}
