package policies

import (
	"path/filepath"
	"testing"

	networkingv1 "k8s.io/api/networking/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/types"

	"github.com/interlock-dev/interlock/api/v1alpha1"
	"github.com/interlock-dev/interlock/internal/adjust"
	"github.com/interlock-dev/interlock/internal/safeguard"
)

// The sample brings its own Safeguard about, with no NetworkPolicy of the team's.
func TestSampleOfKeptEgressIsEnough(t *testing.T) {
	const name = "egress-allow-list"
	patch := &v1alpha1.Safeguard{}
	read(t, filepath.Join(samplesDir, "kept-egress", "safeguard-patch.yaml"), patch)
	sg := loadPack(t, rsp22).safeguards[name]
	sg.Spec.Adjust = patch.Spec.Adjust
	compiled := compile(t, map[string]*v1alpha1.Safeguard{name: sg})
	model := sampleModel(t)
	o, err := compiled[0].Objects[0].Object(adjust.Values{Model: model.Name, Digest: model.Spec.Model.Digest, Namespace: model.Namespace,
		Policy: rsp22, Safeguard: name})
	if err != nil {
		t.Fatal(err)
	}
	policy := networkingv1.NetworkPolicy{}
	if err := runtime.DefaultUnstructuredConverter.FromUnstructuredWithValidation(o.Object, &policy, true); err != nil {
		t.Fatal(err)
	}
	key := types.NamespacedName{Namespace: model.Namespace, Name: model.Name}
	found := safeguard.Inspect(key, compiled, nil, safeguard.Surroundings{NetworkPolicies: []networkingv1.NetworkPolicy{policy}}).Findings[name]
	if found.State != v1alpha1.SafeguardSatisfied {
		t.Errorf("found %s: %s", found.State, found.Message)
	}
}
