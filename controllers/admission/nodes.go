package admission

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"time"

	rbacv1 "k8s.io/api/rbac/v1"
	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/interlock-dev/interlock/api/v1alpha1"
	"github.com/interlock-dev/interlock/internal/decision"
	"github.com/interlock-dev/interlock/internal/safeguard"
)

const (
	// nodesAgain is how often it is looked up who has nodes/proxy.
	nodesAgain = 5 * time.Minute
	// rolesAtOnce is how many roles or bindings are read in one request.
	rolesAtOnce = 200
	// maxNodeAccess is the longest that is said of who has it.
	maxNodeAccess = 1024
)

// nodes is what is known of who has nodes/proxy.
type nodes struct {
	who    []string
	err    error
	looked time.Time
}

// +kubebuilder:rbac:groups=rbac.authorization.k8s.io,resources=clusterroles;clusterrolebindings,verbs=list

// lookAtNodes looks up who has nodes/proxy, if a Safeguard refuses connections and nobody has looked for a while. It reads live:
// roles grow with the cluster, and none is kept.
func (r *Reconciler) lookAtNodes(ctx context.Context, safeguards []v1alpha1.Safeguard) {
	refuses := func(sg v1alpha1.Safeguard) bool { return sg.Spec.Connect != nil }
	if !slices.ContainsFunc(safeguards, refuses) || r.Clock.Since(r.nodes.looked) < nodesAgain {
		return
	}
	r.nodes.looked = r.Clock.Now()
	r.nodes.who, r.nodes.err = r.nodeAccess(ctx)
}

func (r *Reconciler) nodeAccess(ctx context.Context) ([]string, error) {
	roles, bindings := &rbacv1.ClusterRoleList{}, &rbacv1.ClusterRoleBindingList{}
	var allRoles []rbacv1.ClusterRole
	var allBindings []rbacv1.ClusterRoleBinding
	for more := true; more; more = roles.Continue != "" {
		if err := r.Live.List(ctx, roles, client.Limit(rolesAtOnce), client.Continue(roles.Continue)); err != nil {
			return nil, fmt.Errorf("list ClusterRoles: %w", err)
		}
		allRoles = append(allRoles, roles.Items...)
	}
	for more := true; more; more = bindings.Continue != "" {
		if err := r.Live.List(ctx, bindings, client.Limit(rolesAtOnce), client.Continue(bindings.Continue)); err != nil {
			return nil, fmt.Errorf("list ClusterRoleBindings: %w", err)
		}
		allBindings = append(allBindings, bindings.Items...)
	}
	return safeguard.NodeAccess(allRoles, allBindings), nil
}

// nodesClosed says on a Safeguard that refuses connections who gets past that.
func (r *Reconciler) nodesClosed(sg *v1alpha1.Safeguard) {
	if sg.Spec.Connect == nil {
		meta.RemoveStatusCondition(&sg.Status.Conditions, v1alpha1.ConditionNodesClosed)
		return
	}
	c := metav1.Condition{Type: v1alpha1.ConditionNodesClosed, ObservedGeneration: sg.Generation}
	switch {
	case r.nodes.err != nil:
		c.Status, c.Reason, c.Message = metav1.ConditionUnknown, v1alpha1.ReasonNodeAccessUnknown, "who has nodes/proxy could not be looked up: "+r.nodes.err.Error()
	case len(r.nodes.who) > 0:
		c.Status, c.Reason, c.Message = metav1.ConditionFalse, v1alpha1.ReasonNodeAccess,
			"these reach into containers through nodes/proxy, past admission: "+strings.Join(r.nodes.who, ", ")+". Take that right from whoever does not need it"
	default:
		c.Status, c.Reason, c.Message = metav1.ConditionTrue, v1alpha1.ReasonNoNodeAccess, "RBAC gives nodes/proxy to nobody but the cluster's own components and system:masters"
	}
	c.Message = decision.OneLine(c.Message, maxNodeAccess)
	meta.SetStatusCondition(&sg.Status.Conditions, c)
}
