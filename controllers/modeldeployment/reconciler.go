// Package modeldeployment acts on the verdict on each model.
//
// One pass: gather what is known, judge it, post the verdict to be enforced (a clearance once it is recorded), and once the
// API server enforces it, release or take out pods, and report. It must not judge anything itself: that is internal/verdict.
package modeldeployment

import (
	"context"
	"errors"
	"time"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/client-go/tools/events"
	"k8s.io/utils/clock"
	ctrl "sigs.k8s.io/controller-runtime"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/log"

	"github.com/interlock-dev/interlock/api/v1alpha1"
	"github.com/interlock-dev/interlock/controllers/fresh"
	"github.com/interlock-dev/interlock/controllers/metrics"
	recordctrl "github.com/interlock-dev/interlock/controllers/record"
	"github.com/interlock-dev/interlock/controllers/verdicts"
	"github.com/interlock-dev/interlock/internal/admission"
	"github.com/interlock-dev/interlock/internal/decision"
	"github.com/interlock-dev/interlock/internal/record"
	"github.com/interlock-dev/interlock/internal/safeguard"
	"github.com/interlock-dev/interlock/internal/verdict"
	"github.com/interlock-dev/interlock/internal/workload"
)

// FieldManager owns the status of ModelDeployments and the removal of gates.
const FieldManager = "interlock-modeldeployment"

// catchUp is how long to wait for a cache that is behind.
const catchUp = 100 * time.Millisecond

// Reconciler decides on models.
type Reconciler struct {
	Client   client.Client
	Gatherer *verdict.Gatherer
	Compiler *safeguard.Compiler
	Board    *verdicts.Board
	Record   *recordctrl.Recorder
	// Workloads finds what owns pods, stops it and starts it again.
	Workloads *workload.Workloads
	// Fresh proves that what is known is current.
	Fresh   *fresh.Prover
	Sources Sources
	Clock   clock.PassiveClock
	Events  events.EventRecorder

	intruders workload.Intruders
	evictor   workload.Evictor
}

// pass is one pass over a model.
type pass struct {
	*verdict.Snapshot
	judged verdict.Result
	// proof says how fresh the snapshot is; without one, nothing may be loosened by it.
	proof fresh.Proof
	// workloads own the pods, and stopDue says that they are to be stopped.
	workloads []workload.Workload
	stopDue   bool
	report    *report
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
	p, err := r.judge(ctx, r.Clock.Now(), md)
	if err != nil {
		return ctrl.Result{}, err
	}
	if r.mustWait(req.NamespacedName, p) {
		return ctrl.Result{RequeueAfter: catchUp}, nil
	}
	if !r.post(p) {
		return r.awaitRecord(ctx, p)
	}
	if p.judged.IsEnforced && !p.agrees() {
		return again(p.Now, p.judged.Revisit), nil
	}
	p.report = newReport(p.Snapshot, &p.judged)
	if p.judged.IsEnforced {
		p.report.recorded(r.unrecorded(p))
	}
	var foundErr, listErr error
	p.workloads, foundErr = r.Workloads.Find(ctx, p.Pods)
	next, err := r.act(ctx, p)
	due, replaceErr := r.replace(ctx, p)
	p.report.status.Workloads, listErr = r.Workloads.Describe(ctx, p.Key(), p.workloads, p.stopDue,
		func(pod *corev1.Pod) bool { return !safeguard.Held(pod) })
	behind, reportErr := r.report(ctx, md, p.report)
	next = decision.Sooner(decision.Sooner(p.judged.Revisit, next), due)
	if behind {
		next = decision.Sooner(next, p.Now.Add(catchUp))
	}
	return again(p.Now, next), errors.Join(foundErr, err, replaceErr, listErr, reportErr)
}

// mustWait says that a cleared model lacks nothing but evidence that this process has not fetched yet. Not to know for a while is no
// reason to revoke: the lease of the model runs on to its end, and no further.
func (r *Reconciler) mustWait(model types.NamespacedName, p *pass) bool {
	_, decided := r.Board.Get(model)
	return !decided && p.judged.OnlyUnfetched
}

// act brings the pods into line with the verdict that is enforced, and returns when to look again.
func (r *Reconciler) act(ctx context.Context, p *pass) (time.Time, error) {
	if p.judged.Shortfall.Short() && !p.judged.OnlyWaits {
		expelled := r.expel(ctx, p)
		next, err := r.shortfall(ctx, p)
		return next, errors.Join(expelled, err)
	}
	proven := fresh.Bind(ctx, p.proof)
	next, err := r.rest(ctx, p)
	switch p.judged.Enforced.Verdict.Outcome {
	case v1alpha1.OutcomeCleared:
		err = errors.Join(err, r.release(proven, p.judged.Fit(p.Held())))
	case "": // Nothing is enforced here any more, so nothing may hold a pod.
		err = errors.Join(err, r.release(proven, p.Held()))
	}
	return next, err
}

// expel takes out at once the pods that came in after the revocation: they never served, so no step of the policy waits for them.
func (r *Reconciler) expel(ctx context.Context, p *pass) error {
	found := r.intruders.Among(p.Key(), p.Admitted())
	eviction, err := r.evictor.Evict(ctx, r.Client, p.Now, found, decision.Measures{Force: true})
	metrics.Evicted(eviction)
	return err
}

// agrees says whether the API server enforces the verdict already: what clears a model must stand there before a
// gate goes, and what holds it before a pod goes.
func (p *pass) agrees() bool {
	enforced := p.judged.Enforced
	if p.Clearances == nil || admission.PolicyOf(p.Clearances) != enforced.Policy {
		return p.Terminating() && !enforced.Verdict.Cleared() // where nothing can start any more, whatever is enforced
	}
	if !enforced.Verdict.Cleared() {
		return !p.judged.Stands.Cleared()
	}
	return p.judged.Stands.Equal(enforced.Standing())
}

// again gives the result by which a model is looked at again at a time; one that is zero never comes.
func again(now, at time.Time) ctrl.Result {
	if at.IsZero() {
		return ctrl.Result{}
	}
	return ctrl.Result{RequeueAfter: max(at.Sub(now), time.Millisecond)}
}
