package approval

import (
	"context"
	"fmt"
	"slices"
	"time"

	corev1 "k8s.io/api/core/v1"
	apiequality "k8s.io/apimachinery/pkg/api/equality"
	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/client-go/tools/events"
	"k8s.io/utils/clock"
	ctrl "sigs.k8s.io/controller-runtime"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/handler"
	"sigs.k8s.io/controller-runtime/pkg/reconcile"

	"github.com/interlock-dev/interlock/api/v1alpha1"
	"github.com/interlock-dev/interlock/controllers/fair"
	"github.com/interlock-dev/interlock/controllers/status"
	"github.com/interlock-dev/interlock/internal/decision"
)

// longestNotice is how long before its end a waiver is said to end, or a quarter of its time if that is shorter.
const longestNotice = 24 * time.Hour

// catchUp is how long to wait for a cache that is behind.
const catchUp = 100 * time.Millisecond

// Waivers reports on waivers, from what was decided of their models.
type Waivers struct {
	Client client.Client
	Clock  clock.PassiveClock
	Events events.EventRecorder
}

// +kubebuilder:rbac:groups="";events.k8s.io,resources=events,verbs=create;patch

// SetupWithManager watches waivers and the models that they are about.
func (r *Waivers) SetupWithManager(mgr ctrl.Manager) error {
	return ctrl.NewControllerManagedBy(mgr).
		Named("waiver").
		WithOptions(fair.Options(2, nil)).
		For(&v1alpha1.Waiver{}).
		Watches(&v1alpha1.ModelDeployment{}, handler.EnqueueRequestsFromMapFunc(r.ofModel)).
		Complete(r)
}

func (r *Waivers) ofModel(ctx context.Context, md client.Object) []reconcile.Request {
	list := &v1alpha1.WaiverList{}
	if err := r.Client.List(ctx, list, client.InNamespace(md.GetNamespace()), client.UnsafeDisableDeepCopy); err != nil {
		ctrl.LoggerFrom(ctx).Error(err, "List Waivers")
		return nil
	}
	var requests []reconcile.Request
	for i := range list.Items {
		if list.Items[i].Spec.Model == md.GetName() {
			requests = append(requests, reconcile.Request{NamespacedName: types.NamespacedName{Namespace: md.GetNamespace(), Name: list.Items[i].Name}})
		}
	}
	return requests
}

// Reconcile reports on one waiver.
func (r *Waivers) Reconcile(ctx context.Context, req ctrl.Request) (ctrl.Result, error) {
	w := &v1alpha1.Waiver{}
	if err := r.Client.Get(ctx, req.NamespacedName, w); err != nil {
		return ctrl.Result{}, client.IgnoreNotFound(err)
	}
	md := &v1alpha1.ModelDeployment{}
	err := r.Client.Get(ctx, client.ObjectKey{Namespace: w.Namespace, Name: w.Spec.Model}, md)
	if client.IgnoreNotFound(err) != nil {
		return ctrl.Result{}, fmt.Errorf("get ModelDeployment: %w", err)
	}
	now := r.Clock.Now()
	before := w.DeepCopy()
	next := stand(w, md, now)
	if !apiequality.Semantic.DeepEqual(before.Status, w.Status) {
		written, behind, err := status.Write(ctx, r.Client, before, w, FieldManager)
		if behind {
			return ctrl.Result{RequeueAfter: catchUp}, nil
		}
		if !written {
			return ctrl.Result{}, err
		}
		r.tell(before, w)
	}
	if next.IsZero() {
		return ctrl.Result{}, nil
	}
	return ctrl.Result{RequeueAfter: max(next.Sub(now), time.Millisecond)}, nil
}

// stand sets the status of a waiver, and returns when time alone changes it.
func stand(w *v1alpha1.Waiver, md *v1alpha1.ModelDeployment, now time.Time) (next time.Time) {
	result := v1alpha1.WaiverResult{Message: fmt.Sprintf("there is no ModelDeployment %q in this namespace", w.Spec.Model)}
	reason := v1alpha1.ReasonModelUnknown
	if md.Name != "" {
		result.Message, reason = "no policy that is enforced here has been asked yet", v1alpha1.ReasonNotDecided
	}
	if at := slices.IndexFunc(md.Status.Waivers, func(r v1alpha1.WaiverResult) bool { return r.Name == w.Name }); at >= 0 {
		result = md.Status.Waivers[at]
		reason = string(result.State)
	}
	end := w.Spec.NotAfter.UTC()
	if !now.Before(end) && result.State != v1alpha1.WaiverRefused {
		result.State, result.Message, reason = v1alpha1.WaiverExpired, "ended at "+end.Format(time.RFC3339), string(v1alpha1.WaiverExpired)
	}
	inForce := metav1.ConditionFalse
	if result.State == v1alpha1.WaiverInForce {
		inForce = metav1.ConditionTrue
	}
	w.Status.ObservedGeneration, w.Status.Digest, w.Status.State = w.Generation, decision.DigestOfWaiver(w), result.State
	meta.SetStatusCondition(&w.Status.Conditions, metav1.Condition{
		Type: v1alpha1.ConditionReady, Status: inForce, Reason: reason, Message: result.Message, ObservedGeneration: w.Generation})

	warnAt := end.Add(-min(longestNotice, end.Sub(w.CreationTimestamp.Time)/4))
	ending := metav1.Condition{Type: v1alpha1.ConditionEnding, Status: metav1.ConditionFalse, Reason: v1alpha1.ReasonNotYet,
		Message: "it is not near its end", ObservedGeneration: w.Generation}
	if inForce == metav1.ConditionTrue && !now.Before(warnAt) {
		ending.Status, ending.Reason = metav1.ConditionTrue, v1alpha1.ReasonEndsSoon
		ending.Message = fmt.Sprintf("ends at %s: then model %s is held unless %s is put in place", end.Format(time.RFC3339), w.Spec.Model, w.Spec.Safeguards)
	}
	meta.SetStatusCondition(&w.Status.Conditions, ending)
	switch {
	case now.Before(warnAt):
		return warnAt
	case now.Before(end):
		return end
	}
	return time.Time{}
}

// tell says once when a waiver comes into force, is about to end, and has ended or been refused.
func (r *Waivers) tell(before, after *v1alpha1.Waiver) {
	message := meta.FindStatusCondition(after.Status.Conditions, v1alpha1.ConditionReady).Message
	if before.Status.State != after.Status.State && after.Status.State != "" {
		kind := corev1.EventTypeWarning // also when it is in force: a safeguard is missing
		if after.Status.State == v1alpha1.WaiverPending {
			kind = corev1.EventTypeNormal
		}
		r.Events.Eventf(after, nil, kind, "Waiver"+string(after.Status.State), "Waive", "%s", message)
	}
	if ending := meta.FindStatusCondition(after.Status.Conditions, v1alpha1.ConditionEnding); ending.Status == metav1.ConditionTrue &&
		!meta.IsStatusConditionTrue(before.Status.Conditions, v1alpha1.ConditionEnding) {
		r.Events.Eventf(after, nil, corev1.EventTypeWarning, "WaiverEnding", "Waive", "%s", ending.Message)
	}
}
