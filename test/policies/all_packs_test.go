package policies

import (
	"maps"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/interlock-dev/interlock/api/v1alpha1"
)

// TestAllPacksAtOnce holds that the one kustomization has what the packs have that it is made of, and nothing else.
func TestAllPacksAtOnce(t *testing.T) {
	want := builtPack{safeguards: map[string]v1alpha1.Safeguard{}}
	for _, name := range packNames(t) {
		if name == packRSP22Complete { // is packRSP22 under another name
			continue
		}
		pack := buildPack(t, name)
		want.policies = append(want.policies, *pack.policy(t))
		maps.Copy(want.safeguards, pack.safeguards)
	}
	got := buildPack(t, "")
	if diff := cmp.Diff(want.safeguards, got.safeguards); diff != "" {
		t.Errorf("Safeguards (-in the packs +in all at once):\n%s", diff)
	}
	byName := func(policies []v1alpha1.ScalingPolicy) map[string]v1alpha1.ScalingPolicy {
		m := map[string]v1alpha1.ScalingPolicy{}
		for _, p := range policies {
			m[p.Name] = p
		}
		return m
	}
	if diff := cmp.Diff(byName(want.policies), byName(got.policies)); diff != "" || len(got.policies) != len(want.policies) {
		t.Errorf("ScalingPolicies (-in the packs +in all at once):\n%s", diff)
	}
}
