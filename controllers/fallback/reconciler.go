// Package fallback turns the clients of a model that is not cleared to the one that its declaration names, and back.
//
// One pass: gather how both models stand, let internal/decision say where clients go, have internal/workload turn what the
// declaration names, and report. It goes by what is enforced, and not by status.
package fallback

import (
	"context"
	"errors"
	"time"

	"k8s.io/client-go/tools/events"
	"k8s.io/utils/clock"
	ctrl "sigs.k8s.io/controller-runtime"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/interlock-dev/interlock/api/v1alpha1"
	"github.com/interlock-dev/interlock/controllers/verdicts"
	"github.com/interlock-dev/interlock/internal/admission"
	"github.com/interlock-dev/interlock/internal/decision"
	"github.com/interlock-dev/interlock/internal/workload"
)

// ByFallback is the index of ModelDeployments by the fallback that they name.
const ByFallback = "fallback"

// FieldManager owns the condition FallenBack of ModelDeployments.
const FieldManager = "interlock-fallback"

const (
	// recheck is how soon it is looked again at what leads to a fallback, or should: nothing of it is watched.
	recheck = 5 * time.Second
	// upkeep is how often it is looked at a Service that Interlock made, while its model is cleared.
	upkeep = time.Minute
)

// Reconciler turns clients to fallbacks, and back.
type Reconciler struct {
	Client client.Client
	Board  *verdicts.Board
	// Traffic is what leads clients.
	Traffic *workload.Traffic
	// Install says which namespaces are never enrolled.
	Install admission.Install
	Clock   clock.PassiveClock
	Events  events.EventRecorder
}

// Services and HTTPRoutes: get, to look at what a declaration names; list, to find after a restart what was turned before
// it; patch, to turn it and back in the same request as the note of what to restore. Services are created and deleted in
// mode Own alone.
// +kubebuilder:rbac:groups="",resources=services,verbs=get;list;create;patch;delete
// +kubebuilder:rbac:groups=gateway.networking.k8s.io,resources=httproutes,verbs=get;list;patch

// Reconcile sees to the clients of one model, declared or not.
func (r *Reconciler) Reconcile(ctx context.Context, req ctrl.Request) (ctrl.Result, error) {
	s, err := r.gather(ctx, req.NamespacedName)
	if err != nil {
		return ctrl.Result{}, client.IgnoreNotFound(err) // with the namespace goes all that was turned in it
	}
	done, err := r.unasked(ctx, s)
	wait := time.Duration(0)
	if !done {
		wait = recheck
	}
	if s.md == nil || s.md.Spec.Fallback == nil {
		if s.md != nil && done {
			err = errors.Join(err, r.report(ctx, s.md, nil))
		}
		return ctrl.Result{RequeueAfter: wait}, err
	}
	verdict := decision.FallBack(s.input)
	outcomes, followErr := r.follow(ctx, s, verdict.Course)
	condition := conditionOf(s.md, verdict, outcomes)
	reportErr := r.report(ctx, s.md, &condition)
	switch {
	case verdict.Course == decision.CourseTurn || anyLeads(outcomes):
		wait = recheck
	case done && len(s.owned()) > 0:
		wait = upkeep
	}
	return ctrl.Result{RequeueAfter: wait}, errors.Join(err, followErr, reportErr)
}

// unasked puts back what the declaration does not name any more, and takes away the Services that were made for it. It
// says whether nothing of that is left.
func (r *Reconciler) unasked(ctx context.Context, s *scene) (done bool, err error) {
	var errs []error
	done = true
	for _, ref := range r.Traffic.TurnedFor(s.model) {
		if s.turns(ref) {
			continue
		}
		if !decision.MayReturn(s.input.Enforced, s.input.Model) {
			done = false
			continue
		}
		errs = append(errs, r.Traffic.Return(ctx, ref))
	}
	for _, ref := range r.Traffic.OwnedFor(s.model) {
		if s.md != nil && !s.owns(ref) { // with the declaration it goes anyway
			errs = append(errs, r.Traffic.Disown(ctx, s.md, ref))
		}
	}
	return done, errors.Join(errs...)
}

// outcome is where one thing leads.
type outcome struct {
	workload.Ref
	workload.Turned
}

func anyLeads(outcomes []outcome) bool {
	for _, o := range outcomes {
		if o.Leads {
			return true
		}
	}
	return false
}

// follow takes a course with all that the declaration names. What one meets with keeps no other from it.
func (r *Reconciler) follow(ctx context.Context, s *scene, course decision.Course) ([]outcome, error) {
	var outcomes []outcome
	var errs []error
	for _, t := range s.turnings() {
		turned, err := r.turn(ctx, s, t, course)
		outcomes, errs = append(outcomes, outcome{t.Ref, turned}), append(errs, err)
	}
	for _, service := range s.owned() {
		turned, err := r.own(ctx, s, service, course)
		outcomes = append(outcomes, outcome{workload.Ref{Kind: "Service", Namespace: s.md.Namespace, Name: service.Name}, turned})
		errs = append(errs, err)
	}
	return outcomes, errors.Join(errs...)
}

func (r *Reconciler) turn(ctx context.Context, s *scene, t workload.Turning, course decision.Course) (workload.Turned, error) {
	switch course {
	case decision.CourseTurn:
		return r.Traffic.Turn(ctx, t, s.by())
	case decision.CourseReturn:
		return workload.Turned{}, r.Traffic.Return(ctx, t.Ref)
	}
	return r.Traffic.Look(ctx, t)
}

func (r *Reconciler) own(ctx context.Context, s *scene, service v1alpha1.FallbackService, course decision.Course) (workload.Turned, error) {
	o := workload.Owning{Spec: service}
	why := ""
	switch toFallback := workload.SelectorOf(s.input.Fallback.Name, service.FallbackSelector); course {
	case decision.CourseTurn:
		if o.Selector = toFallback; !s.by().Ready(toFallback) {
			o.Selector, why = nil, "no pod of the fallback that it would pick is ready"
		}
	case decision.CourseReturn:
		o.Selector = workload.SelectorOf(s.md.Name, service.Selector)
	}
	selector, refused, err := r.Traffic.Own(ctx, s.md, o)
	if refused != "" {
		why = refused
	}
	leads := selector[v1alpha1.ModelLabel] == s.input.Fallback.Name
	if leads {
		why = ""
	}
	return workload.Turned{Leads: leads, Why: why}, err
}
