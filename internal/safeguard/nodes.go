package safeguard

import (
	"fmt"
	"slices"

	rbacv1 "k8s.io/api/rbac/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

// NodeAccess names to whom RBAC gives `nodes/proxy`, each with the binding that does: they reach into containers through the
// kubelet, past all admission. It leaves out the cluster's own components. It does not see who has a credential that the
// kubelet takes, who is on a node, who may give themselves this right, or what another authorizer allows.
func NodeAccess(roles []rbacv1.ClusterRole, bindings []rbacv1.ClusterRoleBinding) []string {
	giving := map[string]bool{}
	for i := range roles {
		giving[roles[i].Name] = slices.ContainsFunc(roles[i].Rules, givesNodes)
	}
	var who []string
	for i := range bindings {
		b := &bindings[i]
		if b.RoleRef.Kind != "ClusterRole" || !giving[b.RoleRef.Name] {
			continue
		}
		for _, s := range b.Subjects {
			if !ofTheCluster(s) {
				who = append(who, fmt.Sprintf("%s by ClusterRoleBinding %s", subject(s), b.Name))
			}
		}
	}
	slices.Sort(who)
	return slices.Compact(who)
}

// givesNodes says whether a rule lets somebody run commands by way of a kubelet: by GET as well, since a websocket begins so.
func givesNodes(rule rbacv1.PolicyRule) bool {
	has := func(have []string, wanted ...string) bool {
		return slices.ContainsFunc(have, func(h string) bool { return slices.Contains(wanted, h) })
	}
	return has(rule.Verbs, "get", "create", rbacv1.VerbAll) && has(rule.APIGroups, "", rbacv1.APIGroupAll) &&
		has(rule.Resources, "nodes/proxy", "*/proxy", rbacv1.ResourceAll)
}

// ofTheCluster are its administrators, who may do all there is whatever RBAC says, and the components that run it.
func ofTheCluster(s rbacv1.Subject) bool {
	switch s.Kind {
	case rbacv1.GroupKind:
		return s.Name == "system:masters"
	case rbacv1.ServiceAccountKind:
		return s.Namespace == metav1.NamespaceSystem
	}
	return slices.Contains([]string{"kube-apiserver-kubelet-client", "system:kube-controller-manager", "system:kube-scheduler"}, s.Name)
}

func subject(s rbacv1.Subject) string {
	if s.Kind == rbacv1.ServiceAccountKind {
		return fmt.Sprintf("ServiceAccount %s/%s", s.Namespace, s.Name)
	}
	return s.Kind + " " + s.Name
}
