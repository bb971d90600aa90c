package admission

import (
	"os"
	"path/filepath"
	"slices"
	"testing"

	"github.com/google/go-cmp/cmp"
	rbacv1 "k8s.io/api/rbac/v1"
	"sigs.k8s.io/yaml"

	"github.com/interlock-dev/interlock/internal/admission"
)

// The role names the policies that the operator may change: one that is missing could not be kept, and one too many is a
// right that nobody needs.
func TestRoleNamesThePoliciesThatAreKept(t *testing.T) {
	raw, err := os.ReadFile(filepath.Join("..", "..", "config", "rbac", "role.yaml"))
	if err != nil {
		t.Fatal(err)
	}
	role := &rbacv1.ClusterRole{}
	if err := yaml.Unmarshal(raw, role); err != nil {
		t.Fatal(err)
	}
	want := map[string][]string{}
	for _, o := range admission.Policies(admission.Install{}, nil) {
		resource := map[string]string{
			"MutatingAdmissionPolicy": "mutatingadmissionpolicies", "MutatingAdmissionPolicyBinding": "mutatingadmissionpolicybindings",
			"ValidatingAdmissionPolicy": "validatingadmissionpolicies", "ValidatingAdmissionPolicyBinding": "validatingadmissionpolicybindings",
		}[o.GetObjectKind().GroupVersionKind().Kind]
		want[resource] = append(want[resource], o.GetName())
		slices.Sort(want[resource])
	}
	for _, verb := range []string{"get", "update"} {
		have := map[string][]string{}
		for _, rule := range role.Rules {
			if !slices.Contains(rule.APIGroups, "admissionregistration.k8s.io") || !slices.Contains(rule.Verbs, verb) {
				continue
			}
			for _, resource := range rule.Resources {
				have[resource] = append(have[resource], rule.ResourceNames...)
				slices.Sort(have[resource])
			}
		}
		if diff := cmp.Diff(want, have); diff != "" {
			t.Errorf("names that the role lets the operator %s (-policies +role); see the markers in reconciler.go:\n%s", verb, diff)
		}
	}
}
