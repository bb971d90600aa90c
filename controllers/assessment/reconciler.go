// Package assessment says on each CapabilityAssessment whether it can count as written. It decides nothing: what an
// assessment means for a model is internal/decision's.
package assessment

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"time"

	apiequality "k8s.io/apimachinery/pkg/api/equality"
	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/utils/clock"
	ctrl "sigs.k8s.io/controller-runtime"
	"sigs.k8s.io/controller-runtime/pkg/builder"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/controller"
	"sigs.k8s.io/controller-runtime/pkg/handler"
	"sigs.k8s.io/controller-runtime/pkg/predicate"
	"sigs.k8s.io/controller-runtime/pkg/reconcile"

	"github.com/interlock-dev/interlock/api/v1alpha1"
	"github.com/interlock-dev/interlock/controllers/retry"
	"github.com/interlock-dev/interlock/internal/decision"
	"github.com/interlock-dev/interlock/internal/verdict"
)

const (
	// BySuperseded is the index of CapabilityAssessments by the names of those that they supersede.
	BySuperseded = "supersedes"
	// FieldManager owns the status of CapabilityAssessments.
	FieldManager = "interlock-assessment"
)

// Reconciler reports on assessments.
type Reconciler struct {
	Client client.Client
	Clock  clock.PassiveClock
}

// +kubebuilder:rbac:groups=interlock.dev,resources=capabilityassessments;modeldeployments;scalingpolicies,verbs=list;watch
// +kubebuilder:rbac:groups=interlock.dev,resources=capabilityassessments/status,verbs=patch

// SetupWithManager watches assessments and what they are about.
func (r *Reconciler) SetupWithManager(mgr ctrl.Manager) error {
	specChanged := builder.WithPredicates(predicate.GenerationChangedPredicate{})
	return ctrl.NewControllerManagedBy(mgr).
		Named("assessment").
		WithOptions(controller.Options{MaxConcurrentReconciles: 4, RateLimiter: retry.Limiter()}).
		For(&v1alpha1.CapabilityAssessment{}, specChanged).
		Watches(&v1alpha1.CapabilityAssessment{}, handler.EnqueueRequestsFromMapFunc(superseded), specChanged).
		Watches(&v1alpha1.ModelDeployment{}, handler.EnqueueRequestsFromMapFunc(r.ofModel), specChanged).
		Watches(&v1alpha1.ScalingPolicy{}, handler.EnqueueRequestsFromMapFunc(r.all), specChanged).
		Complete(r)
}

func superseded(_ context.Context, o client.Object) []reconcile.Request {
	var older []reconcile.Request
	if a, ok := o.(*v1alpha1.CapabilityAssessment); ok {
		for _, name := range a.Spec.Supersedes {
			older = append(older, reconcile.Request{NamespacedName: types.NamespacedName{Name: name}})
		}
	}
	return older
}

func (r *Reconciler) ofModel(ctx context.Context, o client.Object) []reconcile.Request {
	if md, ok := o.(*v1alpha1.ModelDeployment); ok {
		return r.list(ctx, client.MatchingFields{verdict.ByDigest: md.Spec.Model.Digest})
	}
	return nil
}

func (r *Reconciler) all(ctx context.Context, _ client.Object) []reconcile.Request {
	return r.list(ctx)
}

func (r *Reconciler) list(ctx context.Context, opts ...client.ListOption) []reconcile.Request {
	list := &v1alpha1.CapabilityAssessmentList{}
	if err := r.Client.List(ctx, list, append(opts, client.UnsafeDisableDeepCopy)...); err != nil {
		ctrl.LoggerFrom(ctx).Error(err, "List CapabilityAssessments")
		return nil
	}
	requests := make([]reconcile.Request, 0, len(list.Items))
	for i := range list.Items {
		requests = append(requests, reconcile.Request{NamespacedName: types.NamespacedName{Name: list.Items[i].Name}})
	}
	return requests
}

// Reconcile reports on one assessment.
func (r *Reconciler) Reconcile(ctx context.Context, req ctrl.Request) (ctrl.Result, error) {
	a := &v1alpha1.CapabilityAssessment{}
	if err := r.Client.Get(ctx, req.NamespacedName, a); err != nil {
		return ctrl.Result{}, client.IgnoreNotFound(err)
	}
	now := r.Clock.Now()
	ready, err := r.ready(ctx, a, now)
	if err != nil {
		return ctrl.Result{}, err
	}
	supersededBy, err := r.supersededBy(ctx, a)
	if err != nil {
		return ctrl.Result{}, err
	}
	before := a.DeepCopy()
	a.Status.ObservedGeneration, a.Status.SupersededBy, a.Status.Digest = a.Generation, supersededBy, decision.DigestOfAssessment(a)
	meta.SetStatusCondition(&a.Status.Conditions, ready)
	if !apiequality.Semantic.DeepEqual(before.Status, a.Status) {
		if err := r.Client.Status().Patch(ctx, a, client.MergeFrom(before), client.FieldOwner(FieldManager)); err != nil {
			return ctrl.Result{}, client.IgnoreNotFound(err)
		}
	}
	var wait time.Duration
	if at := a.Spec.AssessedAt.Time; now.Before(at) {
		wait = at.Sub(now)
	}
	return ctrl.Result{RequeueAfter: wait}, nil
}

func (r *Reconciler) ready(ctx context.Context, a *v1alpha1.CapabilityAssessment, now time.Time) (metav1.Condition, error) {
	c := metav1.Condition{Type: v1alpha1.ConditionReady, Status: metav1.ConditionFalse, ObservedGeneration: a.Generation}
	unknown, err := r.unknownThresholds(ctx, a)
	if err != nil {
		return c, err
	}
	served, err := r.served(ctx, a)
	if err != nil {
		return c, err
	}
	switch {
	case now.Before(a.Spec.AssessedAt.Time):
		c.Reason = v1alpha1.ReasonDateInFuture
		c.Message = fmt.Sprintf("assessedAt is %s, which has not come yet; until then it rules nothing out, while danger that it found counts", a.Spec.AssessedAt.UTC().Format(time.RFC3339))
	case len(unknown) > 0:
		c.Reason = v1alpha1.ReasonThresholdUnknown
		c.Message = fmt.Sprintf("no ScalingPolicy has a threshold named %s; outcomes of others count", strings.Join(unknown, ", "))
	case !served:
		c.Reason = v1alpha1.ReasonModelUnknown
		c.Message = "no ModelDeployment serves weights with one of these digests; compare spec.digests with spec.model.digest there"
	default:
		c.Status, c.Reason, c.Message = metav1.ConditionTrue, v1alpha1.ReasonAccepted, "counts for the models that serve these weights"
	}
	return c, nil
}

func (r *Reconciler) unknownThresholds(ctx context.Context, a *v1alpha1.CapabilityAssessment) ([]string, error) {
	policies := &v1alpha1.ScalingPolicyList{}
	if err := r.Client.List(ctx, policies, client.UnsafeDisableDeepCopy); err != nil {
		return nil, fmt.Errorf("list ScalingPolicies: %w", err)
	}
	var unknown []string
	for _, o := range a.Spec.Outcomes {
		known := slices.ContainsFunc(policies.Items, func(p v1alpha1.ScalingPolicy) bool {
			return slices.ContainsFunc(p.Spec.Thresholds, func(t v1alpha1.Threshold) bool { return t.Name == o.Threshold })
		})
		if !known {
			unknown = append(unknown, o.Threshold)
		}
	}
	return unknown, nil
}

func (r *Reconciler) served(ctx context.Context, a *v1alpha1.CapabilityAssessment) (bool, error) {
	for _, digest := range a.Spec.Digests {
		models := &v1alpha1.ModelDeploymentList{}
		if err := r.Client.List(ctx, models, client.MatchingFields{verdict.ByDigest: digest}, client.UnsafeDisableDeepCopy); err != nil {
			return false, fmt.Errorf("list ModelDeployments: %w", err)
		}
		if len(models.Items) > 0 {
			return true, nil
		}
	}
	return false, nil
}

// supersededBy gives the newest assessment that names this one.
func (r *Reconciler) supersededBy(ctx context.Context, a *v1alpha1.CapabilityAssessment) (string, error) {
	newer := &v1alpha1.CapabilityAssessmentList{}
	if err := r.Client.List(ctx, newer, client.MatchingFields{BySuperseded: a.Name}, client.UnsafeDisableDeepCopy); err != nil {
		return "", fmt.Errorf("list CapabilityAssessments: %w", err)
	}
	var by *v1alpha1.CapabilityAssessment
	for i := range newer.Items {
		n := &newer.Items[i]
		if n.Spec.AssessedAt.After(a.Spec.AssessedAt.Time) && (by == nil || n.Spec.AssessedAt.After(by.Spec.AssessedAt.Time)) {
			by = n
		}
	}
	if by == nil {
		return "", nil
	}
	return by.Name, nil
}
