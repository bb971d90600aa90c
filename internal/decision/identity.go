package decision

import (
	"slices"
	"strings"

	"github.com/interlock-dev/interlock/api/v1alpha1"
)

// Names that begin with SystemPrefix are those of the cluster's own parts, and with ServiceAccountPrefix of ServiceAccounts: both
// prefixes are Kubernetes' own. Whether any other name is that of a person, nobody can see from it.
const (
	SystemPrefix         = "system:"
	ServiceAccountPrefix = SystemPrefix + "serviceaccount:"
)

func isServiceAccount(username string) bool { return strings.HasPrefix(username, ServiceAccountPrefix) }

// isPartOfCluster says whether a name is that of a node or of another part of the cluster, to which no policy gives a say.
func isPartOfCluster(username string) bool {
	return strings.HasPrefix(username, SystemPrefix) && !isServiceAccount(username)
}

func lets(rule *v1alpha1.ApprovalRule, right v1alpha1.ServiceAccountRight) bool {
	return slices.Contains(rule.ServiceAccounts, right)
}

// ServiceAccountApprovers names the roles in which a policy lets ServiceAccounts approve anything.
func ServiceAccountApprovers(policy *v1alpha1.ScalingPolicy) []string {
	var roles []string
	for i := range policy.Spec.SignOffs {
		s := &policy.Spec.SignOffs[i]
		if slices.ContainsFunc(s.Approves, func(r v1alpha1.ApprovalRule) bool { return lets(&r, v1alpha1.ServiceAccountsApprove) }) {
			roles = append(roles, s.ApproverRole)
		}
	}
	return roles
}

// ServiceAccountsRequest says whether a policy lets ServiceAccounts request any waiver.
func ServiceAccountsRequest(policy *v1alpha1.ScalingPolicy) bool {
	return slices.ContainsFunc(policy.Spec.SignOffs, func(s v1alpha1.SignOff) bool {
		return slices.ContainsFunc(s.Approves, func(r v1alpha1.ApprovalRule) bool { return lets(&r, v1alpha1.ServiceAccountsRequest) })
	})
}
