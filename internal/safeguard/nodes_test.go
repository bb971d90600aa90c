package safeguard

import (
	"testing"

	"github.com/google/go-cmp/cmp"
	rbacv1 "k8s.io/api/rbac/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

func TestNodeAccess(t *testing.T) {
	role := func(name string, group, resource, verb string) rbacv1.ClusterRole {
		return rbacv1.ClusterRole{ObjectMeta: metav1.ObjectMeta{Name: name}, Rules: []rbacv1.PolicyRule{
			{APIGroups: []string{""}, Resources: []string{"pods"}, Verbs: []string{"get"}},
			{APIGroups: []string{group}, Resources: []string{resource}, Verbs: []string{verb}}}}
	}
	binding := func(name, role string, subjects ...rbacv1.Subject) rbacv1.ClusterRoleBinding {
		return rbacv1.ClusterRoleBinding{ObjectMeta: metav1.ObjectMeta{Name: name}, Subjects: subjects,
			RoleRef: rbacv1.RoleRef{APIGroup: rbacv1.GroupName, Kind: "ClusterRole", Name: role}}
	}
	user := func(name string) rbacv1.Subject { return rbacv1.Subject{Kind: rbacv1.UserKind, Name: name} }
	account := func(namespace, name string) rbacv1.Subject {
		return rbacv1.Subject{Kind: rbacv1.ServiceAccountKind, Namespace: namespace, Name: name}
	}
	roles := []rbacv1.ClusterRole{
		role("all", "*", "*", "*"), role("proxies", "", "*/proxy", "create"), role("named", "", "nodes/proxy", "get"),
		role("lists", "*", "*", "list"), role("nodes", "", "nodes", "*"), role("metrics", "", "nodes/metrics", "get"), role("other-group", "metrics.k8s.io", "*", "*"),
	}
	bindings := []rbacv1.ClusterRoleBinding{
		binding("cluster-admin", "all", rbacv1.Subject{Kind: rbacv1.GroupKind, Name: "system:masters"}),
		binding("collector", "all", account("kube-system", "generic-garbage-collector")),
		binding("kubelets", "named", user("kube-apiserver-kubelet-client")),
		binding("monitoring", "named", account("monitoring", "prometheus"), account("monitoring", "prometheus")),
		binding("platform", "all", rbacv1.Subject{Kind: rbacv1.GroupKind, Name: "platform"}, user("pat")),
		binding("debug", "proxies", user("dora")),
		binding("readers", "lists", user("a")), binding("nodes", "nodes", user("b")), binding("scrapers", "metrics", user("c")),
		binding("others", "other-group", user("d")), binding("dangling", "no-such-role", user("e")),
	}
	want := []string{
		"Group platform by ClusterRoleBinding platform", "ServiceAccount monitoring/prometheus by ClusterRoleBinding monitoring",
		"User dora by ClusterRoleBinding debug", "User pat by ClusterRoleBinding platform",
	}
	if diff := cmp.Diff(want, NodeAccess(roles, bindings)); diff != "" {
		t.Errorf("-want +got:\n%s", diff)
	}
}
