// Package approval says on each Approval and Waiver whether it counts, and until when. It decides nothing: what sign-offs
// and waivers mean for a model is internal/decision's, which looks at their specs.
package approval

import (
	"context"
	"fmt"

	apiequality "k8s.io/apimachinery/pkg/api/equality"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	ctrl "sigs.k8s.io/controller-runtime"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/handler"
	"sigs.k8s.io/controller-runtime/pkg/reconcile"

	"github.com/interlock-dev/interlock/api/v1alpha1"
	"github.com/interlock-dev/interlock/controllers/fair"
	"github.com/interlock-dev/interlock/internal/decision"
)

const (
	// BySubject is the index of Approvals by what they are about.
	BySubject = "subject"
	// FieldManager owns the status of Approvals and Waivers.
	FieldManager = "interlock-approval"
)

// Subject is what an Approval is found by in the index.
func Subject(kind v1alpha1.SubjectKind, name string) string { return string(kind) + "/" + name }

// Reconciler reports on approvals.
type Reconciler struct {
	Client client.Client
}

// +kubebuilder:rbac:groups=interlock.dev,resources=approvals;waivers;capabilityassessments;modeldeployments;riskreports;scalingpolicies,verbs=list;watch
// +kubebuilder:rbac:groups=interlock.dev,resources=approvals/status;waivers/status,verbs=patch

// SetupWithManager watches approvals and what they are about.
func (r *Reconciler) SetupWithManager(mgr ctrl.Manager) error {
	about := func(kind v1alpha1.SubjectKind) handler.EventHandler {
		return handler.EnqueueRequestsFromMapFunc(func(ctx context.Context, o client.Object) []reconcile.Request { return r.of(ctx, kind, o) })
	}
	return ctrl.NewControllerManagedBy(mgr).
		Named("approval").
		WithOptions(fair.Options(2, nil)).
		For(&v1alpha1.Approval{}).
		Watches(&v1alpha1.CapabilityAssessment{}, about(v1alpha1.SubjectAssessment)).
		Watches(&v1alpha1.Waiver{}, about(v1alpha1.SubjectWaiver)).
		Watches(&v1alpha1.ModelDeployment{}, about(v1alpha1.SubjectDecision)).
		Watches(&v1alpha1.ScalingPolicy{}, about(v1alpha1.SubjectPolicy)).
		Watches(&v1alpha1.RiskReport{}, about(v1alpha1.SubjectRiskReport)).
		Complete(r)
}

func (r *Reconciler) of(ctx context.Context, kind v1alpha1.SubjectKind, o client.Object) []reconcile.Request {
	list := &v1alpha1.ApprovalList{}
	if err := r.Client.List(ctx, list, client.InNamespace(o.GetNamespace()), client.MatchingFields{BySubject: Subject(kind, o.GetName())},
		client.UnsafeDisableDeepCopy); err != nil {
		ctrl.LoggerFrom(ctx).Error(err, "List Approvals")
		return nil
	}
	requests := make([]reconcile.Request, 0, len(list.Items))
	for i := range list.Items {
		requests = append(requests, reconcile.Request{NamespacedName: types.NamespacedName{Namespace: list.Items[i].Namespace, Name: list.Items[i].Name}})
	}
	return requests
}

// Reconcile reports on one approval.
func (r *Reconciler) Reconcile(ctx context.Context, req ctrl.Request) (ctrl.Result, error) {
	a := &v1alpha1.Approval{}
	if err := r.Client.Get(ctx, req.NamespacedName, a); err != nil {
		return ctrl.Result{}, client.IgnoreNotFound(err)
	}
	ready, err := r.ready(ctx, a)
	if err != nil {
		return ctrl.Result{}, err
	}
	before := a.DeepCopy()
	a.Status.ObservedGeneration = a.Generation
	meta.SetStatusCondition(&a.Status.Conditions, ready)
	if apiequality.Semantic.DeepEqual(before.Status, a.Status) {
		return ctrl.Result{}, nil
	}
	err = r.Client.Status().Patch(ctx, a, client.MergeFrom(before), client.FieldOwner(FieldManager))
	return ctrl.Result{}, client.IgnoreNotFound(err)
}

func (r *Reconciler) ready(ctx context.Context, a *v1alpha1.Approval) (metav1.Condition, error) {
	c := metav1.Condition{Type: v1alpha1.ConditionReady, Status: metav1.ConditionFalse, ObservedGeneration: a.Generation}
	digest, authors, err := r.subject(ctx, a)
	switch {
	case apierrors.IsNotFound(err):
		c.Reason = v1alpha1.ReasonSubjectNotFound
		c.Message = fmt.Sprintf("there is no %s %q", a.Spec.Subject.Kind, a.Spec.Subject.Name)
		return c, nil
	case err != nil:
		return c, fmt.Errorf("look up what is approved: %w", err)
	}
	if c.Reason, c.Message = decision.Objection(a, digest, authors); c.Reason == "" {
		c.Status, c.Reason = metav1.ConditionTrue, v1alpha1.ReasonAccepted
		c.Message = fmt.Sprintf("counts where a policy asks for the approval of role %s", a.Spec.Role)
	}
	return c, nil
}

// subject gives the digest of what is approved, as it is now, and who wrote it.
func (r *Reconciler) subject(ctx context.Context, a *v1alpha1.Approval) (digest string, authors []string, err error) {
	o, err := r.Client.Scheme().New(v1alpha1.GroupVersion.WithKind(string(a.Spec.Subject.Kind)))
	if err != nil {
		return "", nil, err
	}
	key := client.ObjectKey{Namespace: a.Namespace, Name: a.Spec.Subject.Name}
	if decision.ClusterScoped(a.Spec.Subject.Kind) {
		key.Namespace = ""
	}
	if err := r.Client.Get(ctx, key, o.(client.Object)); err != nil {
		return "", nil, err
	}
	digest, authors = decision.Approvable(o)
	return digest, authors, nil
}
