// Package admission keeps the policies in the API server as they should be: it compiles them anew when a Safeguard
// changes, repairs them when somebody else changes or deletes them, and says on each Safeguard and ScalingPolicy whether
// it is in use.
package admission

import (
	"context"
	"errors"
	"fmt"

	admissionv1 "k8s.io/api/admissionregistration/v1"
	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/client-go/tools/events"
	"k8s.io/client-go/util/retry"
	"k8s.io/client-go/util/workqueue"
	ctrl "sigs.k8s.io/controller-runtime"
	"sigs.k8s.io/controller-runtime/pkg/builder"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/handler"
	"sigs.k8s.io/controller-runtime/pkg/log"
	"sigs.k8s.io/controller-runtime/pkg/predicate"
	"sigs.k8s.io/controller-runtime/pkg/reconcile"
	"sigs.k8s.io/controller-runtime/pkg/source"

	"github.com/interlock-dev/interlock/api/v1alpha1"
	"github.com/interlock-dev/interlock/internal/admission"
	"github.com/interlock-dev/interlock/internal/safeguard"
)

// FieldManager owns the policies, their bindings, and the status of Safeguards and ScalingPolicies.
const FieldManager = "interlock-admission"

// Reconciler keeps the policies. There is one request for all of them.
type Reconciler struct {
	Client client.Client
	// Live reads past the cache, which sees only objects that bear our label.
	Live     client.Reader
	Compiler *safeguard.Compiler
	Install  admission.Install
	Events   events.EventRecorder

	// kept names the objects that this process has seen as they should be: finding one otherwise is drift.
	kept map[string]bool
}

// +kubebuilder:rbac:groups=admissionregistration.k8s.io,resources=mutatingadmissionpolicies;mutatingadmissionpolicybindings;validatingadmissionpolicies;validatingadmissionpolicybindings,verbs=get;list;watch;create;update
// +kubebuilder:rbac:groups=interlock.dev,resources=safeguards;scalingpolicies,verbs=get;list;watch
// +kubebuilder:rbac:groups=interlock.dev,resources=safeguards/status;scalingpolicies/status,verbs=get;patch;update

// SetupWithManager watches what the policies are compiled from, and the policies.
func (r *Reconciler) SetupWithManager(mgr ctrl.Manager) error {
	r.kept = map[string]bool{}
	request := reconcile.Request{NamespacedName: types.NamespacedName{Name: "policies"}}
	all := handler.EnqueueRequestsFromMapFunc(func(context.Context, client.Object) []reconcile.Request { return []reconcile.Request{request} })
	atStart := source.Func(func(_ context.Context, q workqueue.TypedRateLimitingInterface[reconcile.Request]) error {
		q.Add(request)
		return nil
	})
	specChanged := builder.WithPredicates(predicate.GenerationChangedPredicate{})
	changed := builder.WithPredicates(predicate.Or(predicate.GenerationChangedPredicate{}, predicate.LabelChangedPredicate{}))
	return ctrl.NewControllerManagedBy(mgr).
		Named("admission").
		WatchesRawSource(atStart).
		Watches(&v1alpha1.Safeguard{}, all, specChanged).
		Watches(&v1alpha1.ScalingPolicy{}, all, specChanged).
		Watches(&admissionv1.MutatingAdmissionPolicy{}, all, changed).
		Watches(&admissionv1.MutatingAdmissionPolicyBinding{}, all, changed).
		Watches(&admissionv1.ValidatingAdmissionPolicy{}, all, changed).
		Watches(&admissionv1.ValidatingAdmissionPolicyBinding{}, all, changed).
		Complete(r)
}

// Reconcile compiles and keeps all policies.
func (r *Reconciler) Reconcile(ctx context.Context, _ ctrl.Request) (ctrl.Result, error) {
	safeguards, policies := &v1alpha1.SafeguardList{}, &v1alpha1.ScalingPolicyList{}
	if err := errors.Join(r.Client.List(ctx, safeguards), r.Client.List(ctx, policies)); err != nil {
		return ctrl.Result{}, fmt.Errorf("list Safeguards and ScalingPolicies: %w", err)
	}
	r.Compiler.Forget(safeguards.Items)
	rules, unusable := r.compile(safeguards.Items)

	var errs []error
	for _, o := range admission.Policies(r.Install, rules) {
		if err := r.keep(ctx, o); err != nil {
			errs = append(errs, fmt.Errorf("keep %s %s: %w", o.GetObjectKind().GroupVersionKind().Kind, o.GetName(), err))
		}
	}
	errs = append(errs, r.report(ctx, safeguards.Items, policies.Items, unusable))
	return ctrl.Result{}, errors.Join(errs...)
}

// compile gives the pod rules of all Safeguards that compile, and what is wrong with the others.
func (r *Reconciler) compile(safeguards []v1alpha1.Safeguard) (rules []admission.Rule, unusable map[string]error) {
	unusable = map[string]error{}
	for i := range safeguards {
		sg := &safeguards[i]
		if _, err := r.Compiler.Compile(sg); err != nil {
			unusable[sg.Name] = err
			continue
		}
		if sg.Spec.PodRule != nil {
			rules = append(rules, admission.Rule{Safeguard: sg.Name, Remedy: sg.Spec.Remedy, Validations: sg.Spec.PodRule.Validations})
		}
	}
	return rules, unusable
}

// keep brings one object to what it should be. It replaces the whole spec, since what others have put beside our fields
// (an exclusion, a match condition) could switch it off.
func (r *Reconciler) keep(ctx context.Context, want admission.Object) error {
	key := want.GetObjectKind().GroupVersionKind().Kind + "/" + want.GetName()
	have, err := r.read(ctx, r.Client, want)
	if apierrors.IsNotFound(err) {
		created := want.DeepCopyObject().(admission.Object)
		err = r.Client.Create(ctx, created, client.FieldOwner(FieldManager))
		if apierrors.IsAlreadyExists(err) {
			have, err = r.read(ctx, r.Live, want)
		} else {
			r.drifted(ctx, key, created, "was deleted", err)
			return err
		}
	}
	if err != nil {
		return err
	}
	// The status of a policy is written after each change of it, which no event tells us of: without another look the
	// repair would wait for its turn.
	return retry.OnError(retry.DefaultRetry, apierrors.IsConflict, func() error {
		conflict := r.replace(ctx, key, want, have)
		if apierrors.IsConflict(conflict) {
			if have, err = r.read(ctx, r.Live, want); err != nil {
				return err
			}
		}
		return conflict
	})
}

// read gives the object as it is now, in an object of its own, so that nothing of what it should be shows through.
func (r *Reconciler) read(ctx context.Context, from client.Reader, want admission.Object) (admission.Object, error) {
	o, err := r.Client.Scheme().New(want.GetObjectKind().GroupVersionKind())
	if err != nil {
		return nil, err
	}
	have := o.(admission.Object)
	return have, from.Get(ctx, client.ObjectKeyFromObject(want), have)
}

func (r *Reconciler) replace(ctx context.Context, key string, want, have admission.Object) error {
	if admission.Same(want, have) {
		r.kept[key] = true
		return nil
	}
	update := want.DeepCopyObject().(admission.Object)
	update.SetResourceVersion(have.GetResourceVersion())
	err := r.Client.Update(ctx, update, client.FieldOwner(FieldManager))
	r.drifted(ctx, key, update, "was changed", err)
	return err
}

// drifted raises the alarm if an object that was as it should be is not, and tells of its repair. The event is on the
// object as it was written: with its UID `kubectl describe` shows it, and with its resourceVersion each repair has an event
// of its own, where a second one on the same reference would wait for half an hour to be counted.
func (r *Reconciler) drifted(ctx context.Context, key string, o admission.Object, what string, repair error) {
	if repair != nil {
		return // it is tried again, and the alarm raised then
	}
	if !r.kept[key] {
		r.kept[key] = true
		return
	}
	log.FromContext(ctx).Info("Repaired drift of enforcement", "object", key, "drift", what)
	driftRepairs.Inc()
	r.Events.Eventf(o, nil, corev1.EventTypeWarning, "EnforcementDrift", "Repair", "%s %s and has been restored", key, what)
}
