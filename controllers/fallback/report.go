package fallback

import (
	"context"
	"fmt"
	"slices"
	"strings"

	corev1 "k8s.io/api/core/v1"
	apiequality "k8s.io/apimachinery/pkg/api/equality"
	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/interlock-dev/interlock/api/v1alpha1"
	"github.com/interlock-dev/interlock/controllers/status"
	"github.com/interlock-dev/interlock/internal/decision"
)

// maxMessage is the longest that is said.
const maxMessage = 1024

// conditionOf tells where clients are: with the fallback only if all that the declaration names leads there.
func conditionOf(md *v1alpha1.ModelDeployment, v decision.FallbackVerdict, outcomes []outcome) metav1.Condition {
	var turned, not []string
	contested := false
	for _, o := range outcomes {
		switch {
		case o.Leads:
			turned = append(turned, o.String())
		case o.Why != "":
			not = append(not, fmt.Sprintf("%s: %s", o.Ref, o.Why))
			contested = contested || o.Contested
		}
	}
	c := metav1.Condition{Type: v1alpha1.ConditionFallenBack, Status: metav1.ConditionFalse, Reason: v.Reason, ObservedGeneration: md.Generation}
	parts := []string{v.Message}
	if len(turned) > 0 {
		parts = append(parts, fmt.Sprintf("%s lead to model %s", strings.Join(turned, ", "), md.Spec.Fallback.ModelDeployment))
	}
	if len(not) > 0 {
		parts = append(parts, "not turned: "+strings.Join(not, "; "))
	}
	switch {
	case v.Course == decision.CourseTurn && contested:
		c.Reason = v1alpha1.ReasonContested
	case v.Course == decision.CourseTurn && len(turned) < len(outcomes):
		c.Reason = v1alpha1.ReasonNotTurned
	case len(turned) == len(outcomes):
		c.Status = metav1.ConditionTrue
	case len(turned) == 0 && v.Reason == v1alpha1.ReasonAwaitingPods: // and nobody awaits them elsewhere
		c.Reason = v1alpha1.ReasonNotNeeded
	}
	c.Message = decision.OneLine(strings.Join(parts, "; "), maxMessage)
	return c
}

// told says whether a model has the condition.
func told(md *v1alpha1.ModelDeployment) bool {
	return meta.FindStatusCondition(md.Status.Conditions, v1alpha1.ConditionFallenBack) != nil
}

// report writes the condition if it differs, or takes it away, and after that an event if it has changed its mind.
func (r *Reconciler) report(ctx context.Context, md *v1alpha1.ModelDeployment, c *metav1.Condition) error {
	after := md.DeepCopy()
	was := meta.FindStatusCondition(md.Status.Conditions, v1alpha1.ConditionFallenBack)
	if c == nil {
		meta.RemoveStatusCondition(&after.Status.Conditions, v1alpha1.ConditionFallenBack)
	} else {
		meta.SetStatusCondition(&after.Status.Conditions, *c)
	}
	if apiequality.Semantic.DeepEqual(md.Status, after.Status) {
		return nil
	}
	written, _, err := status.Write(ctx, r.Client, md, after, FieldManager) // if the cache is behind, what it lacks wakes us
	if written {
		r.tell(after, was, c)
	}
	return err
}

// tell sends an event when clients have gone, have come back, or should go and do not.
func (r *Reconciler) tell(md *v1alpha1.ModelDeployment, was, is *metav1.Condition) {
	quiet := []string{"", v1alpha1.ReasonNotNeeded}
	before, now := "", ""
	if was != nil {
		before = was.Reason
	}
	if is != nil {
		now = is.Reason
	}
	switch {
	case before == now || slices.Contains(quiet, before) && slices.Contains(quiet, now):
	case slices.Contains(quiet, now):
		if was.Status == metav1.ConditionTrue {
			r.Events.Eventf(md, nil, corev1.EventTypeNormal, "Returned", "Return", "clients are with this model again")
		}
	default:
		kind := corev1.EventTypeWarning
		if now == v1alpha1.ReasonAwaitingPods {
			kind = corev1.EventTypeNormal
		}
		r.Events.Eventf(md, nil, kind, now, "FallBack", "%s", is.Message)
	}
}
