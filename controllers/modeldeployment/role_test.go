package modeldeployment

import (
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	rbacv1 "k8s.io/api/rbac/v1"
	"sigs.k8s.io/yaml"

	"github.com/interlock-dev/interlock/internal/workload"
)

// The role lets the operator change just the kinds that it stops, and read those besides whose owners it follows: a right
// that is missing stops nothing, and one too many is a right that nobody needs.
func TestRoleCoversTheKindsOfWorkload(t *testing.T) {
	kinds, err := workload.LoadKinds("")
	if err != nil {
		t.Fatal(err)
	}
	raw, err := os.ReadFile(filepath.Join("..", "..", "config", "rbac", "role.yaml"))
	if err != nil {
		t.Fatal(err)
	}
	role := &rbacv1.ClusterRole{}
	if err := yaml.Unmarshal(raw, role); err != nil {
		t.Fatal(err)
	}
	want, have := map[string][]string{}, map[string][]string{}
	for kind := range kinds.All() {
		verbs := []string{"get"}
		if kind.Stop != nil {
			verbs = []string{"get", "list", "patch"}
		}
		if kind.Kind != "Pod" { // whose rights are those of more than this
			want[strings.ToLower(kind.Kind)+"s."+kind.Group] = verbs
		}
	}
	others := []string{"", "events.k8s.io", "networking.k8s.io", "coordination.k8s.io", "gateway.networking.k8s.io", "rbac.authorization.k8s.io"}
	for _, rule := range role.Rules {
		for _, group := range rule.APIGroups {
			if strings.HasSuffix(group, "interlock.dev") || strings.HasPrefix(group, "admissionregistration") ||
				slices.Contains(others, group) && !slices.Contains(rule.Resources, "replicationcontrollers") {
				continue
			}
			for _, resource := range rule.Resources {
				have[resource+"."+group] = rule.Verbs
			}
		}
	}
	if diff := cmp.Diff(want, have); diff != "" {
		t.Errorf("rights on kinds of workload (-table +role); see the markers in workloads.go:\n%s", diff)
	}
}
