package policies

import (
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	networkingv1 "k8s.io/api/networking/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"

	"github.com/interlock-dev/interlock/api/v1alpha1"
	"github.com/interlock-dev/interlock/internal/decision"
	"github.com/interlock-dev/interlock/internal/safeguard"
)

// samplePod is the pod that a sample Deployment makes.
func samplePod(t *testing.T, file string) *corev1.Pod {
	t.Helper()
	d := &appsv1.Deployment{}
	read(t, filepath.Join(samplesDir, file), d)
	return &corev1.Pod{
		ObjectMeta: metav1.ObjectMeta{Name: d.Name, Namespace: d.Namespace, UID: "pod", Labels: d.Spec.Template.Labels},
		Spec:       d.Spec.Template.Spec,
	}
}

func sampleModel(t *testing.T) *v1alpha1.ModelDeployment {
	t.Helper()
	m := &v1alpha1.ModelDeployment{}
	read(t, filepath.Join(samplesDir, "modeldeployment.yaml"), m)
	return m
}

func sampleNetworkPolicies(t *testing.T) []networkingv1.NetworkPolicy {
	t.Helper()
	path := filepath.Join(samplesDir, "networkpolicy.yaml")
	var policies []networkingv1.NetworkPolicy
	for _, document := range documentsOf(t, path) {
		p := networkingv1.NetworkPolicy{}
		decode(t, path, document, &p)
		policies = append(policies, p)
	}
	return policies
}

// verdict decides on the sample model as the operator does, and returns what is amiss with its pods.
func verdict(t *testing.T, model *v1alpha1.ModelDeployment, pods []*corev1.Pod, policies []networkingv1.NetworkPolicy) decision.Verdict {
	t.Helper()
	p := loadPack(t, rsp22)
	in := safeguard.Inspect(types.NamespacedName{Namespace: model.Namespace, Name: model.Name},
		compile(t, p.safeguards), pods, safeguard.Surroundings{NetworkPolicies: policies, Weights: model.Spec.Model.Sources})
	return decision.Decide(decision.Input{
		Now: time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC), PolicyName: p.policy.Name, Policy: p.policy, Model: model, Findings: in.Findings})
}

func missing(v decision.Verdict) []string {
	var names []string
	for _, r := range v.Safeguards {
		if r.State != v1alpha1.SafeguardSatisfied {
			names = append(names, r.Name)
		}
	}
	return names
}

func TestGuardedSampleIsCleared(t *testing.T) {
	v := verdict(t, sampleModel(t), []*corev1.Pod{samplePod(t, "deployment-guarded.yaml")}, sampleNetworkPolicies(t))
	if !v.Cleared() {
		t.Errorf("the guarded sample is %s: %s", v.Outcome, v.Message)
	}
}

func TestGuardedSampleNeedsItsNetworkPolicy(t *testing.T) {
	v := verdict(t, sampleModel(t), []*corev1.Pod{samplePod(t, "deployment-guarded.yaml")}, nil)
	if diff := cmp.Diff([]string{"egress-allow-list"}, missing(v)); diff != "" {
		t.Errorf("missing without NetworkPolicies (-want +got):\n%s", diff)
	}
}

func TestBareSampleLacksMostOfIt(t *testing.T) {
	v := verdict(t, sampleModel(t), []*corev1.Pod{samplePod(t, "deployment-bare.yaml")}, nil)
	want := []string{"dedicated-nodes", "egress-allow-list", "guard-in-path", "image-pinned", "input-classifier",
		"no-legacy-token", "output-classifier", "pod-hardening", "weights-declared"}
	if diff := cmp.Diff(want, missing(v)); diff != "" {
		t.Errorf("missing (-want +got):\n%s", diff)
	}
}

func TestBareSampleLacksItsWeightsAtTheBaseline(t *testing.T) {
	model := sampleModel(t)
	model.Spec.AssessedLevel = "ASL-2"
	v := verdict(t, model, []*corev1.Pod{samplePod(t, "deployment-bare.yaml")}, nil)
	if diff := cmp.Diff([]string{"weights-declared"}, missing(v)); diff != "" || v.Required != 3 {
		t.Errorf("at ASL-2 the bare sample is %s with %s safeguards, missing (-want +got):\n%s", v.Outcome, v.SafeguardsMet(), diff)
	}
}

func TestNothingClearsALevelWhoseSafeguardsAreUnspecified(t *testing.T) {
	model := sampleModel(t)
	model.Spec.AssessedLevel = "ASL-4"
	v := verdict(t, model, []*corev1.Pod{samplePod(t, "deployment-guarded.yaml")}, sampleNetworkPolicies(t))
	if v.Cleared() || v.Reason != v1alpha1.ReasonSafeguardsUnspecified || v.Met != v.Required {
		t.Errorf("at ASL-4 the guarded sample is %s (%s, %s): %s", v.Outcome, v.Reason, v.SafeguardsMet(), v.Message)
	}
}

func TestSamplesFitTogether(t *testing.T) {
	namespace, model := &corev1.Namespace{}, sampleModel(t)
	read(t, filepath.Join(samplesDir, "namespace.yaml"), namespace)
	if model.Namespace != namespace.Name || namespace.Labels[v1alpha1.EnforceLabel] != rsp22 {
		t.Errorf("the model is in namespace %s; namespace %s enforces %s", model.Namespace, namespace.Name, namespace.Labels[v1alpha1.EnforceLabel])
	}
	bare, guarded := &appsv1.Deployment{}, &appsv1.Deployment{}
	read(t, filepath.Join(samplesDir, "deployment-bare.yaml"), bare)
	read(t, filepath.Join(samplesDir, "deployment-guarded.yaml"), guarded)
	for _, d := range []*appsv1.Deployment{bare, guarded} {
		if d.Namespace != namespace.Name || d.Spec.Template.Labels[v1alpha1.ModelLabel] != model.Name || *d.Spec.Replicas != 3 {
			t.Errorf("Deployment %s/%s with %d replicas serves %s", d.Namespace, d.Name, *d.Spec.Replicas, d.Spec.Template.Labels[v1alpha1.ModelLabel])
		}
		if gpus := d.Spec.Template.Spec.Containers[0].Resources.Limits["nvidia.com/gpu"]; gpus.Value() != 1 {
			t.Errorf("Deployment %s asks for %s GPUs, want 1", d.Name, &gpus)
		}
	}
	if bare.Name != guarded.Name || !cmp.Equal(bare.Spec.Selector, guarded.Spec.Selector) {
		t.Error("one sample Deployment cannot be applied over the other")
	}
	weights := slices.IndexFunc(guarded.Spec.Template.Spec.Volumes, func(v corev1.Volume) bool { return v.Image != nil })
	if weights < 0 || !strings.HasSuffix(guarded.Spec.Template.Spec.Volumes[weights].Image.Reference, "@"+model.Spec.Model.Digest) {
		t.Error("the guarded sample does not mount the weights that the model declares")
	}
	for _, p := range sampleNetworkPolicies(t) {
		if p.Namespace != namespace.Name || !cmp.Equal(p.Spec.PodSelector.MatchLabels, map[string]string{v1alpha1.ModelLabel: model.Name}) {
			t.Errorf("NetworkPolicy %s/%s selects %v", p.Namespace, p.Name, p.Spec.PodSelector.MatchLabels)
		}
	}
}
