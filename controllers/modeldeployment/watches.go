package modeldeployment

import (
	corev1 "k8s.io/api/core/v1"
	networkingv1 "k8s.io/api/networking/v1"
	apiequality "k8s.io/apimachinery/pkg/api/equality"
	ctrl "sigs.k8s.io/controller-runtime"
	"sigs.k8s.io/controller-runtime/pkg/builder"
	"sigs.k8s.io/controller-runtime/pkg/event"
	"sigs.k8s.io/controller-runtime/pkg/predicate"
	"sigs.k8s.io/controller-runtime/pkg/reconcile"

	"github.com/interlock-dev/interlock/api/v1alpha1"
	"github.com/interlock-dev/interlock/controllers/attestation"
	"github.com/interlock-dev/interlock/controllers/fair"
	"github.com/interlock-dev/interlock/controllers/podrules"
	"github.com/interlock-dev/interlock/controllers/retry"
	"github.com/interlock-dev/interlock/controllers/wake"
	"github.com/interlock-dev/interlock/internal/safeguard"
	"github.com/interlock-dev/interlock/internal/verdict"
)

// Sources wake models besides what is watched.
type Sources struct {
	Models *wake.Models
	// Store tells of evidence that was fetched, and Rules of rules that came into force.
	Store *attestation.Store
	Rules *podrules.Register
}

// SetupWithManager watches all that a verdict rests on.
func (r *Reconciler) SetupWithManager(mgr ctrl.Manager) error {
	specChanged, models := builder.WithPredicates(predicate.GenerationChangedPredicate{}), r.Sources.Models
	return ctrl.NewControllerManagedBy(mgr).
		Named("modeldeployment").
		WithOptions(fair.Options(16, r.mayRevoke)).
		For(&v1alpha1.ModelDeployment{}). // and its status: whoever decided by a status older than its own last one decides again
		Watches(&corev1.Pod{}, wake.By(wake.OfPod), builder.WithPredicates(r.podChanged())).
		Watches(&networkingv1.NetworkPolicy{}, wake.By(models.Around), specChanged).
		WatchesMetadata(&corev1.Namespace{}, wake.By(models.Of), builder.WithPredicates(namespaceChanged())).
		Watches(&v1alpha1.ScalingPolicy{}, wake.By(models.All), specChanged).
		Watches(&v1alpha1.Safeguard{}, wake.By(models.All), specChanged).
		Watches(&v1alpha1.CapabilityAssessment{}, wake.By(models.Assessed), specChanged).
		Watches(&v1alpha1.RiskReport{}, wake.By(models.Assessed), specChanged).
		Watches(&v1alpha1.Attestation{}, wake.By(models.Attested), specChanged).
		WatchesRawSource(r.Sources.Store.Arrivals(wake.By(models.Attested))).
		Watches(&v1alpha1.Approval{}, wake.By(models.Approved), specChanged).
		Watches(&v1alpha1.Waiver{}, wake.By(wake.OfWaiver), specChanged).
		Watches(&corev1.LimitRange{}, wake.OnClearances(models, &r.intruders)).
		WatchesRawSource(r.Record.Changes()).
		WatchesRawSource(r.Board.Recalled()).
		WatchesRawSource(retry.Recall("stopped workloads", r.Workloads.Recall)).
		WatchesRawSource(r.Sources.Rules.Changes(wake.By(models.All))).
		Complete(r)
}

// namespaceChanged lets through another enrolment, and the beginning of the end.
func namespaceChanged() predicate.Predicate {
	return predicate.Or(predicate.LabelChangedPredicate{}, predicate.Funcs{UpdateFunc: func(e event.UpdateEvent) bool {
		return (e.ObjectOld.GetDeletionTimestamp() == nil) != (e.ObjectNew.GetDeletionTimestamp() == nil)
	}})
}

// mayRevoke says whether a request is about a model that is cleared: what has happened to it can take that away.
func (r *Reconciler) mayRevoke(req reconcile.Request) bool {
	judgements, _ := r.Board.Get(req.NamespacedName)
	enforced, ok := verdict.Under(judgements, v1alpha1.EnforceLabel)
	return ok && enforced.Verdict.Cleared()
}

// podChanged lets through what bears on a verdict or on a count, and not each heartbeat of a pod's status. It notes when pods
// pass the gate.
func (r *Reconciler) podChanged() predicate.Predicate {
	return predicate.Funcs{CreateFunc: func(e event.CreateEvent) bool {
		if pod, ok := e.Object.(*corev1.Pod); ok && !e.IsInInitialList && !safeguard.Held(pod) {
			r.intruders.Pass(pod)
		}
		return true
	}, DeleteFunc: func(e event.DeleteEvent) bool {
		r.intruders.Gone(e.Object)
		return true
	}, UpdateFunc: func(e event.UpdateEvent) bool {
		before, ok1 := e.ObjectOld.(*corev1.Pod)
		after, ok2 := e.ObjectNew.(*corev1.Pod)
		if ok1 && ok2 && safeguard.Held(before) && !safeguard.Held(after) {
			r.intruders.Pass(after)
		}
		return !ok1 || !ok2 || before.Status.Phase != after.Status.Phase ||
			(before.DeletionTimestamp == nil) != (after.DeletionTimestamp == nil) ||
			!apiequality.Semantic.DeepEqual(before.Labels, after.Labels) ||
			!apiequality.Semantic.DeepEqual(before.Annotations, after.Annotations) ||
			!apiequality.Semantic.DeepEqual(before.Spec, after.Spec)
	}}
}
