// Package modeldeployment decides on each model and acts on its pods.
//
// One pass: gather what is known, decide, post the verdict for the ledger, and once the ledger says the same, release
// or take out pods, and report. It must not decide anything itself: that is internal/decision.
package modeldeployment

import (
	"context"
	"time"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/client-go/tools/events"
	"k8s.io/utils/clock"
	ctrl "sigs.k8s.io/controller-runtime"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/interlock-dev/interlock/api/v1alpha1"
	"github.com/interlock-dev/interlock/controllers/verdicts"
	"github.com/interlock-dev/interlock/internal/admission"
	"github.com/interlock-dev/interlock/internal/safeguard"
)

// PodsByModel is the index of pods by the model that they name.
const PodsByModel = "model"

// FieldManager owns the status of ModelDeployments and the removal of gates.
const FieldManager = "interlock-modeldeployment"

// retryEviction is how long to wait before pods that a budget protects are tried again.
const retryEviction = 5 * time.Second

// Reconciler decides on models.
type Reconciler struct {
	Client   client.Client
	Board    *verdicts.Board
	Compiler *safeguard.Compiler
	Clock    clock.PassiveClock
	Events   events.EventRecorder
}

// +kubebuilder:rbac:groups=interlock.dev,resources=modeldeployments,verbs=get;list;watch
// +kubebuilder:rbac:groups=interlock.dev,resources=modeldeployments/status,verbs=get;patch;update
// +kubebuilder:rbac:groups=interlock.dev,resources=scalingpolicies;safeguards;clearanceledgers;capabilityassessments,verbs=get;list;watch
// +kubebuilder:rbac:groups="",resources=namespaces,verbs=get;list;watch
// +kubebuilder:rbac:groups="",resources=pods,verbs=get;list;watch;patch;delete
// +kubebuilder:rbac:groups="",resources=pods/eviction,verbs=create
// +kubebuilder:rbac:groups=networking.k8s.io,resources=networkpolicies,verbs=get;list;watch
// +kubebuilder:rbac:groups="";events.k8s.io,resources=events,verbs=create;patch

// Reconcile decides on one model.
func (r *Reconciler) Reconcile(ctx context.Context, req ctrl.Request) (ctrl.Result, error) {
	md := &v1alpha1.ModelDeployment{}
	if err := r.Client.Get(ctx, req.NamespacedName, md); err != nil {
		if apierrors.IsNotFound(err) {
			r.Board.Drop(req.NamespacedName)
		}
		return ctrl.Result{}, client.IgnoreNotFound(err)
	}
	now := r.Clock.Now()
	g, err := r.gather(ctx, md)
	if err != nil {
		return ctrl.Result{}, err
	}
	judgements := g.decide(now)
	r.Board.Put(req.NamespacedName, judgements)

	enforced, isEnforced := verdicts.Under(judgements, v1alpha1.EnforceLabel)
	if isEnforced {
		agrees, err := r.ledgerAgrees(ctx, md, enforced)
		if err != nil || !agrees {
			return ctrl.Result{RequeueAfter: revisit(now, enforced.Verdict.Revisit)}, err
		}
	}
	report := newReport(md, g, judgements)
	next, err := r.act(ctx, now, g, enforced, report)
	if reportErr := r.report(ctx, md, report); err == nil {
		err = reportErr
	}
	for _, j := range judgements {
		next = sooner(next, j.Verdict.Revisit)
	}
	return ctrl.Result{RequeueAfter: revisit(now, next)}, err
}

// act brings the pods into line with the verdict that is enforced, and returns when to look again.
func (r *Reconciler) act(ctx context.Context, now time.Time, g *gathered, enforced verdicts.Judgement, report *report) (time.Time, error) {
	switch enforced.Verdict.Outcome {
	case v1alpha1.OutcomeCleared:
		return time.Time{}, r.release(ctx, g)
	case v1alpha1.OutcomeRevoked:
		return r.shortfall(ctx, now, g, enforced, report)
	default:
		return time.Time{}, nil
	}
}

// ledgerAgrees says whether the API server enforces the verdict already: what clears a model must stand there before a
// gate goes, and what holds it before a pod goes.
func (r *Reconciler) ledgerAgrees(ctx context.Context, md *v1alpha1.ModelDeployment, enforced verdicts.Judgement) (bool, error) {
	ledger := &v1alpha1.ClearanceLedger{}
	key := client.ObjectKey{Namespace: md.Namespace, Name: v1alpha1.LedgerName}
	if err := r.Client.Get(ctx, key, ledger); err != nil {
		return false, client.IgnoreNotFound(err)
	}
	if ledger.Spec.Policy != enforced.Policy {
		return false, nil
	}
	have, found := admission.Find(ledger.Spec.Clearances, md.Name)
	if !enforced.Verdict.Cleared() {
		return !found, nil
	}
	return found && have.Equal(enforced.Entry(md.Name)), nil
}

// sooner gives the earlier of two times, of which zero is never.
func sooner(a, b time.Time) time.Time {
	if a.IsZero() || !b.IsZero() && b.Before(a) {
		return b
	}
	return a
}

// revisit gives how long to wait for a time; zero, for ever.
func revisit(now, at time.Time) time.Duration {
	if at.IsZero() {
		return 0
	}
	return max(at.Sub(now), time.Millisecond)
}
