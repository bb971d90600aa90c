// Package modeldeployment decides on each model and acts on its pods.
//
// One pass: gather what is known, decide, post the verdict to be enforced (a clearance once it is recorded), and once the
// API server enforces it, release or take out pods, and report. It must not decide anything itself: that is internal/decision.
package modeldeployment

import (
	"context"
	"errors"
	"time"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/client-go/tools/events"
	"k8s.io/utils/clock"
	ctrl "sigs.k8s.io/controller-runtime"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/log"

	"github.com/interlock-dev/interlock/api/v1alpha1"
	"github.com/interlock-dev/interlock/controllers/attestation"
	"github.com/interlock-dev/interlock/controllers/fresh"
	"github.com/interlock-dev/interlock/controllers/podrules"
	recordctrl "github.com/interlock-dev/interlock/controllers/record"
	"github.com/interlock-dev/interlock/controllers/tenants"
	"github.com/interlock-dev/interlock/controllers/verdicts"
	"github.com/interlock-dev/interlock/internal/admission"
	"github.com/interlock-dev/interlock/internal/decision"
	"github.com/interlock-dev/interlock/internal/record"
	"github.com/interlock-dev/interlock/internal/safeguard"
	"github.com/interlock-dev/interlock/internal/workload"
)

// PodsByModel is the index of pods by the model that they name.
const PodsByModel = "model"

// FieldManager owns the status of ModelDeployments and the removal of gates.
const FieldManager = "interlock-modeldeployment"

const (
	// lookAtOwners is how often the owners of pods are looked at for weights that they name: nothing says when these change
	// without a change of pods.
	lookAtOwners = 20 * time.Second
	// catchUp is how long to wait for a cache that is behind.
	catchUp = 100 * time.Millisecond
)

// Reconciler decides on models.
type Reconciler struct {
	Client   client.Client
	Board    *verdicts.Board
	Record   *recordctrl.Recorder
	Rules    *podrules.Register
	Compiler *safeguard.Compiler
	// Workloads finds what owns pods, stops it and starts it again.
	Workloads *workload.Workloads
	// Evidence finds Attestations, and says what becomes of them.
	Evidence *attestation.Source
	// Fresh proves that what is known is current.
	Fresh *fresh.Prover
	// Tenants reads anew what the cache holds only a stub of.
	Tenants *tenants.Keeper
	// Install says which namespaces are never enrolled.
	Install admission.Install
	Clock   clock.PassiveClock
	Events  events.EventRecorder

	intruders intruders
	evictor   workload.Evictor
}

// +kubebuilder:rbac:groups=interlock.dev,resources=modeldeployments;scalingpolicies;safeguards;clearanceledgers;capabilityassessments;riskreports;attestations;approvals;waivers,verbs=list;watch
// +kubebuilder:rbac:groups=interlock.dev,resources=modeldeployments/status,verbs=patch
// +kubebuilder:rbac:groups="",resources=namespaces,verbs=get;list;watch
// +kubebuilder:rbac:groups="",resources=pods,verbs=list;watch;patch;delete
// +kubebuilder:rbac:groups="",resources=pods/eviction,verbs=create
// +kubebuilder:rbac:groups=networking.k8s.io,resources=networkpolicies,verbs=list;watch
// +kubebuilder:rbac:groups="";events.k8s.io,resources=events,verbs=create;patch

// Reconcile decides on one model. If something is to be loosened by what may be out of date, it waits until that is current.
func (r *Reconciler) Reconcile(ctx context.Context, req ctrl.Request) (ctrl.Result, error) {
	result, err := r.reconcile(ctx, req)
	if errors.Is(err, fresh.ErrBehind) || errors.Is(err, fresh.ErrLapsed) {
		log.FromContext(ctx).V(1).Info("Looking again before anything is loosened", "because", err.Error())
		return ctrl.Result{RequeueAfter: catchUp}, nil
	}
	return result, err
}

func (r *Reconciler) reconcile(ctx context.Context, req ctrl.Request) (ctrl.Result, error) {
	md := &v1alpha1.ModelDeployment{}
	if err := r.Client.Get(ctx, req.NamespacedName, md); err != nil {
		if apierrors.IsNotFound(err) {
			r.Board.Drop(req.NamespacedName)
			r.Record.Note(record.Ended(req.NamespacedName, record.OutcomeUndeclared, r.Clock.Now()))
			return r.undeclared(ctx, r.Clock.Now(), req.NamespacedName, r.Fresh.Last(req.Namespace))
		}
		return ctrl.Result{}, err
	}
	now := r.Clock.Now()
	g, judgements, err := r.decide(ctx, now, md)
	if err != nil {
		return ctrl.Result{}, err
	}
	if r.mustWait(req.NamespacedName, g, judgements) {
		return ctrl.Result{RequeueAfter: catchUp}, nil
	}
	next := decision.Sooner(g.lookAgain, decision.Sooner(g.settled, g.dated))
	for _, j := range judgements {
		next = decision.Sooner(next, j.Verdict.Revisit)
	}
	enforced, isEnforced := verdicts.Under(judgements, v1alpha1.EnforceLabel)
	g.shortfall = g.remember(now, enforced)
	if !r.post(now, g, judgements) {
		return r.awaitRecord(ctx, now, next, g, judgements)
	}
	if isEnforced {
		agrees, err := r.agrees(ctx, g, enforced)
		if err != nil || !agrees {
			return ctrl.Result{RequeueAfter: revisit(now, next)}, err
		}
	}
	report := newReport(md, g, judgements)
	if isEnforced {
		report.recorded(r.unrecorded(now, g, enforced))
	}
	var foundErr, listErr error
	g.workloads, foundErr = r.Workloads.Find(ctx, g.pods)
	again, err := r.act(ctx, now, g, enforced, report)
	due, replaceErr := r.replace(ctx, now, g, enforced, report)
	again = decision.Sooner(again, due)
	report.status.Workloads, listErr = r.describeWorkloads(ctx, g)
	behind, reportErr := r.report(ctx, md, report)
	if behind {
		again = decision.Sooner(again, now.Add(catchUp))
	}
	return ctrl.Result{RequeueAfter: revisit(now, decision.Sooner(next, again))}, errors.Join(foundErr, err, replaceErr, listErr, reportErr)
}

// act brings the pods into line with the verdict that is enforced, and returns when to look again.
func (r *Reconciler) act(ctx context.Context, now time.Time, g *gathered, enforced verdicts.Judgement, report *report) (time.Time, error) {
	if g.shortfall.Short() && !g.onlyWaits {
		expelled := r.expel(ctx, now, g)
		next, err := r.shortfall(ctx, now, g, enforced, report)
		return next, errors.Join(expelled, err)
	}
	proven := fresh.Bind(ctx, g.proof)
	again, err := r.rest(ctx, now, g, enforced, report)
	switch enforced.Verdict.Outcome {
	case v1alpha1.OutcomeCleared:
		err = errors.Join(err, r.release(proven, g.fit()))
	case "": // Nothing is enforced here any more, so nothing may hold a pod.
		err = errors.Join(err, r.release(proven, g.held()))
	}
	return again, err
}

// agrees says whether the API server enforces the verdict already: what clears a model must stand there before a
// gate goes, and what holds it before a pod goes.
func (r *Reconciler) agrees(ctx context.Context, g *gathered, enforced verdicts.Judgement) (bool, error) {
	data, err := verdicts.Enforced(ctx, r.Client, g.model.Namespace)
	if err != nil || data == nil || admission.PolicyOf(data) != enforced.Policy {
		return g.terminating && !enforced.Verdict.Cleared(), err // where nothing can start any more, whatever is enforced
	}
	have := admission.Find(data, g.model.Name)
	if !enforced.Verdict.Cleared() {
		return !have.Cleared(), nil
	}
	return have.Equal(enforced.Standing()), nil
}

// revisit gives how long to wait for a time; zero, for ever.
func revisit(now, at time.Time) time.Duration {
	if at.IsZero() {
		return 0
	}
	return max(at.Sub(now), time.Millisecond)
}
