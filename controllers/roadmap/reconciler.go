// Package roadmap says on each SafetyRoadmap how its goals stand today. What that is, internal/report tells.
package roadmap

import (
	"context"
	"fmt"
	"strings"
	"time"

	corev1 "k8s.io/api/core/v1"
	apiequality "k8s.io/apimachinery/pkg/api/equality"
	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/tools/events"
	"k8s.io/utils/clock"
	ctrl "sigs.k8s.io/controller-runtime"
	"sigs.k8s.io/controller-runtime/pkg/builder"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/predicate"

	"github.com/interlock-dev/interlock/api/v1alpha1"
	"github.com/interlock-dev/interlock/internal/report"
)

// FieldManager owns the status of SafetyRoadmaps.
const FieldManager = "interlock-roadmap"

// Reconciler reports on roadmaps.
type Reconciler struct {
	Client client.Client
	Clock  clock.PassiveClock
	Events events.EventRecorder
}

// +kubebuilder:rbac:groups=interlock.dev,resources=safetyroadmaps,verbs=list;watch
// +kubebuilder:rbac:groups=interlock.dev,resources=safetyroadmaps/status,verbs=patch

// SetupWithManager watches roadmaps.
func (r *Reconciler) SetupWithManager(mgr ctrl.Manager) error {
	return ctrl.NewControllerManagedBy(mgr).
		Named("roadmap").
		For(&v1alpha1.SafetyRoadmap{}, builder.WithPredicates(predicate.GenerationChangedPredicate{})).
		Complete(r)
}

// Reconcile reports on one roadmap, and looks again when a day changes how a goal stands.
func (r *Reconciler) Reconcile(ctx context.Context, req ctrl.Request) (ctrl.Result, error) {
	roadmap := &v1alpha1.SafetyRoadmap{}
	if err := r.Client.Get(ctx, req.NamespacedName, roadmap); err != nil {
		return ctrl.Result{}, client.IgnoreNotFound(err)
	}
	now := r.Clock.Now()
	goals, next, unreadable := report.Goals(roadmap.Spec, now)
	before := roadmap.DeepCopy()
	roadmap.Status.ObservedGeneration, roadmap.Status.Goals = roadmap.Generation, goals
	missed := tally(&roadmap.Status, len(roadmap.Spec.Goals))
	meta.SetStatusCondition(&roadmap.Status.Conditions, ready(roadmap.Generation, missed, unreadable))

	if !apiequality.Semantic.DeepEqual(before.Status, roadmap.Status) {
		if err := r.Client.Status().Patch(ctx, roadmap, client.MergeFrom(before), client.FieldOwner(FieldManager)); err != nil {
			return ctrl.Result{}, client.IgnoreNotFound(err)
		}
		if roadmap.Status.GoalsMissed > before.Status.GoalsMissed {
			r.Events.Eventf(roadmap, nil, corev1.EventTypeWarning, v1alpha1.ReasonGoalsMissed, "Report", "goals missed: %s", strings.Join(missed, ", "))
		}
	}
	var wait time.Duration
	if !next.IsZero() {
		wait = max(next.Sub(now), time.Millisecond)
	}
	return ctrl.Result{RequeueAfter: wait}, nil
}

// tally counts the goals, and names those that were missed.
func tally(status *v1alpha1.SafetyRoadmapStatus, set int) (missed []string) {
	done := 0
	for _, g := range status.Goals {
		switch g.State {
		case v1alpha1.GoalDone:
			done++
		case v1alpha1.GoalMissed:
			missed = append(missed, g.Name)
		}
	}
	status.GoalsDone, status.GoalsMissed = fmt.Sprintf("%d/%d", done, set), int32(len(missed))
	return missed
}

func ready(generation int64, missed []string, unreadable error) metav1.Condition {
	c := metav1.Condition{Type: v1alpha1.ConditionReady, Status: metav1.ConditionFalse, ObservedGeneration: generation}
	switch {
	case unreadable != nil:
		c.Reason, c.Message = v1alpha1.ReasonGoalUnreadable, unreadable.Error()
	case len(missed) > 0:
		c.Reason, c.Message = v1alpha1.ReasonGoalsMissed, "goals missed: "+strings.Join(missed, ", ")
	default:
		c.Status, c.Reason, c.Message = metav1.ConditionTrue, v1alpha1.ReasonOnTrack, "no goal is past its date"
	}
	return c
}
