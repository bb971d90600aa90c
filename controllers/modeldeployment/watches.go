package modeldeployment

import (
	"context"
	"slices"

	corev1 "k8s.io/api/core/v1"
	networkingv1 "k8s.io/api/networking/v1"
	apiequality "k8s.io/apimachinery/pkg/api/equality"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/client-go/util/workqueue"
	ctrl "sigs.k8s.io/controller-runtime"
	"sigs.k8s.io/controller-runtime/pkg/builder"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/event"
	"sigs.k8s.io/controller-runtime/pkg/handler"
	"sigs.k8s.io/controller-runtime/pkg/predicate"
	"sigs.k8s.io/controller-runtime/pkg/reconcile"

	"github.com/interlock-dev/interlock/api/v1alpha1"
	"github.com/interlock-dev/interlock/controllers/assessment"
	"github.com/interlock-dev/interlock/controllers/attestation"
	"github.com/interlock-dev/interlock/controllers/fair"
	"github.com/interlock-dev/interlock/controllers/retry"
	"github.com/interlock-dev/interlock/controllers/verdicts"
	"github.com/interlock-dev/interlock/internal/admission"
	"github.com/interlock-dev/interlock/internal/safeguard"
	"github.com/interlock-dev/interlock/internal/workload"
)

// SetupWithManager watches all that a verdict rests on.
func (r *Reconciler) SetupWithManager(mgr ctrl.Manager) error {
	specChanged := builder.WithPredicates(predicate.GenerationChangedPredicate{})
	return ctrl.NewControllerManagedBy(mgr).
		Named("modeldeployment").
		WithOptions(fair.Options(16, r.mayRevoke)).
		For(&v1alpha1.ModelDeployment{}). // and its status: whoever decided by a status older than its own last one decides again
		Watches(&corev1.Pod{}, handler.EnqueueRequestsFromMapFunc(modelOfPod), builder.WithPredicates(r.podChanged())).
		Watches(&networkingv1.NetworkPolicy{}, handler.EnqueueRequestsFromMapFunc(r.modelsAround), specChanged).
		WatchesMetadata(&corev1.Namespace{}, handler.EnqueueRequestsFromMapFunc(r.modelsOfNamespace), builder.WithPredicates(namespaceChanged())).
		Watches(&v1alpha1.ScalingPolicy{}, handler.EnqueueRequestsFromMapFunc(r.allModels), specChanged).
		Watches(&v1alpha1.Safeguard{}, handler.EnqueueRequestsFromMapFunc(r.allModels), specChanged).
		Watches(&v1alpha1.CapabilityAssessment{}, handler.EnqueueRequestsFromMapFunc(r.modelsAssessed), specChanged).
		Watches(&v1alpha1.RiskReport{}, handler.EnqueueRequestsFromMapFunc(r.modelsReported), specChanged).
		Watches(&v1alpha1.Attestation{}, handler.EnqueueRequestsFromMapFunc(r.modelsAttested), specChanged).
		WatchesRawSource(r.Evidence.Store.Arrivals(handler.EnqueueRequestsFromMapFunc(r.modelsAttested))).
		Watches(&v1alpha1.Approval{}, handler.EnqueueRequestsFromMapFunc(r.modelsApproved), specChanged).
		Watches(&v1alpha1.Waiver{}, handler.EnqueueRequestsFromMapFunc(modelWaived), specChanged).
		Watches(&corev1.LimitRange{}, clearancesHandler{r}).
		WatchesRawSource(r.Record.Changes()).
		WatchesRawSource(r.Board.Recalled()).
		WatchesRawSource(retry.Recall("stopped workloads", r.Workloads.Recall)).
		WatchesRawSource(r.Rules.Changes(handler.EnqueueRequestsFromMapFunc(r.allModels))).
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
	enforced, ok := verdicts.Under(judgements, v1alpha1.EnforceLabel)
	return ok && enforced.Verdict.Cleared()
}

// podChanged lets through what bears on a verdict or on a count, and not each heartbeat of a pod's status. It notes when pods
// pass the gate.
func (r *Reconciler) podChanged() predicate.Predicate {
	return predicate.Funcs{CreateFunc: func(e event.CreateEvent) bool {
		if pod, ok := e.Object.(*corev1.Pod); ok && !e.IsInInitialList && !safeguard.Held(pod) {
			r.intruders.pass(pod)
		}
		return true
	}, DeleteFunc: func(e event.DeleteEvent) bool {
		r.intruders.gone(e.Object)
		return true
	}, UpdateFunc: func(e event.UpdateEvent) bool {
		before, ok1 := e.ObjectOld.(*corev1.Pod)
		after, ok2 := e.ObjectNew.(*corev1.Pod)
		if ok1 && ok2 && safeguard.Held(before) && !safeguard.Held(after) {
			r.intruders.pass(after)
		}
		return !ok1 || !ok2 || before.Status.Phase != after.Status.Phase ||
			(before.DeletionTimestamp == nil) != (after.DeletionTimestamp == nil) ||
			!apiequality.Semantic.DeepEqual(before.Labels, after.Labels) ||
			!apiequality.Semantic.DeepEqual(before.Annotations, after.Annotations) ||
			!apiequality.Semantic.DeepEqual(before.Spec, after.Spec)
	}}
}

func modelOfPod(_ context.Context, pod client.Object) []reconcile.Request {
	return requests(pod.GetNamespace(), pod.GetLabels()[v1alpha1.ModelLabel])
}

func (r *Reconciler) modelsOfNamespaceOf(ctx context.Context, o client.Object) []reconcile.Request {
	return r.models(ctx, client.InNamespace(o.GetNamespace()))
}

// modelsAround names the models that a NetworkPolicy may bear on, and the one that it isolates, declared or not.
func (r *Reconciler) modelsAround(ctx context.Context, policy client.Object) []reconcile.Request {
	all := r.modelsOfNamespaceOf(ctx, policy)
	if model, ok := workload.IsolatedBy(policy.GetName()); ok {
		all = append(all, requests(policy.GetNamespace(), model)...)
	}
	return all
}

// modelsOfNamespace names the models that are declared in a namespace and those that pods there name besides, which are
// free to go once the namespace is not enrolled any more.
func (r *Reconciler) modelsOfNamespace(ctx context.Context, ns client.Object) []reconcile.Request {
	all := r.models(ctx, client.InNamespace(ns.GetName()))
	pods := &corev1.PodList{}
	if err := r.Client.List(ctx, pods, client.InNamespace(ns.GetName()), client.UnsafeDisableDeepCopy); err != nil {
		ctrl.LoggerFrom(ctx).Error(err, "List pods")
		return all
	}
	for i := range pods.Items {
		all = append(all, modelOfPod(ctx, &pods.Items[i])...)
	}
	return all
}

func (r *Reconciler) allModels(ctx context.Context, _ client.Object) []reconcile.Request {
	return r.models(ctx)
}

func (r *Reconciler) modelsAssessed(ctx context.Context, o client.Object) []reconcile.Request {
	if a, ok := o.(*v1alpha1.CapabilityAssessment); ok {
		return r.modelsOfWeights(ctx, a.Spec.Digests)
	}
	return nil
}

func (r *Reconciler) modelsReported(ctx context.Context, o client.Object) []reconcile.Request {
	if report, ok := o.(*v1alpha1.RiskReport); ok {
		return r.modelsOfWeights(ctx, report.Spec.Digests)
	}
	return nil
}

func (r *Reconciler) modelsOfWeights(ctx context.Context, digests []string) []reconcile.Request {
	var all []reconcile.Request
	for _, digest := range digests {
		all = append(all, r.models(ctx, client.MatchingFields{assessment.ByDigest: digest})...)
	}
	return all
}

// modelsAttested names the models that an Attestation is about by its own account; if that is not known, all that it may
// be about.
func (r *Reconciler) modelsAttested(ctx context.Context, o client.Object) []reconcile.Request {
	a, ok := o.(*v1alpha1.Attestation)
	if !ok {
		return nil
	}
	var where []client.ListOption
	if a.Namespace != r.Evidence.Namespace {
		where = append(where, client.InNamespace(a.Namespace))
	}
	subjects, known := r.Evidence.Store.Speaks(a)
	if !known {
		return r.models(ctx, where...)
	}
	var all []reconcile.Request
	for _, subject := range subjects {
		all = append(all, r.models(ctx, append([]client.ListOption{client.MatchingFields{attestation.BySubject: subject}}, where...)...)...)
	}
	for _, namespace := range r.namespacesAttested(ctx, a.Namespace, subjects) {
		all = append(all, r.models(ctx, client.InNamespace(namespace))...)
	}
	return all
}

// namespacesAttested names the namespaces that an Attestation is about: all may be, of one in the namespace for all.
func (r *Reconciler) namespacesAttested(ctx context.Context, from string, subjects []string) []string {
	namespaces := &metav1.PartialObjectMetadataList{}
	namespaces.SetGroupVersionKind(corev1.SchemeGroupVersion.WithKind("NamespaceList"))
	if err := r.Client.List(ctx, namespaces, client.UnsafeDisableDeepCopy); err != nil {
		ctrl.LoggerFrom(ctx).Error(err, "List namespaces")
		return nil
	}
	return slices.DeleteFunc(r.Evidence.Named(subjects, namespaces.Items), func(name string) bool {
		return from != r.Evidence.Namespace && name != from
	})
}

// modelsApproved names those for which an approval may count: those of its namespace, and all if that serves all.
func (r *Reconciler) modelsApproved(ctx context.Context, o client.Object) []reconcile.Request {
	if o.GetNamespace() == r.Install.Namespace {
		return r.models(ctx)
	}
	return r.modelsOfNamespaceOf(ctx, o)
}

func modelWaived(_ context.Context, o client.Object) []reconcile.Request {
	if w, ok := o.(*v1alpha1.Waiver); ok {
		return requests(w.Namespace, w.Spec.Model)
	}
	return nil
}

func (r *Reconciler) models(ctx context.Context, opts ...client.ListOption) []reconcile.Request {
	list := &v1alpha1.ModelDeploymentList{}
	if err := r.Client.List(ctx, list, append(opts, client.UnsafeDisableDeepCopy)...); err != nil {
		ctrl.LoggerFrom(ctx).Error(err, "List ModelDeployments")
		return nil
	}
	var all []reconcile.Request
	for i := range list.Items {
		all = append(all, requests(list.Items[i].Namespace, list.Items[i].Name)...)
	}
	return all
}

func requests(namespace, name string) []reconcile.Request {
	return []reconcile.Request{{NamespacedName: types.NamespacedName{Namespace: namespace, Name: name}}}
}

// clearancesHandler wakes the models whose standing has changed, which of a thousand are few.
type clearancesHandler struct{ r *Reconciler }

type queue = workqueue.TypedRateLimitingInterface[reconcile.Request]

// Create wakes all models of the namespace.
func (h clearancesHandler) Create(ctx context.Context, e event.CreateEvent, q queue) {
	h.all(ctx, e.Object, q)
}

// Delete wakes all models of the namespace.
func (h clearancesHandler) Delete(ctx context.Context, e event.DeleteEvent, q queue) {
	h.all(ctx, e.Object, q)
}

// Generic wakes all models of the namespace.
func (h clearancesHandler) Generic(ctx context.Context, e event.GenericEvent, q queue) {
	h.all(ctx, e.Object, q)
}

// Update wakes the models whose standing has come, gone or changed.
func (h clearancesHandler) Update(ctx context.Context, e event.UpdateEvent, q queue) {
	before, ok1 := e.ObjectOld.(*corev1.LimitRange)
	after, ok2 := e.ObjectNew.(*corev1.LimitRange)
	if !ok1 || !ok2 || admission.PolicyOf(before.Annotations) != admission.PolicyOf(after.Annotations) {
		h.all(ctx, e.ObjectNew, q)
		return
	}
	for _, model := range admission.Changed(before.Annotations, after.Annotations) {
		request := requests(after.Namespace, model)[0]
		switch had, has := admission.Find(before.Annotations, model).Cleared(), admission.Find(after.Annotations, model).Cleared(); {
		case has:
			h.r.intruders.regained(request.NamespacedName)
		case had:
			h.r.intruders.lost(request.NamespacedName, after.ResourceVersion)
		}
		q.Add(request)
	}
}

func (h clearancesHandler) all(ctx context.Context, clearances client.Object, q queue) {
	for _, req := range h.r.modelsOfNamespaceOf(ctx, clearances) {
		q.Add(req)
	}
}
