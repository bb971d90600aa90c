// Package admission keeps the policies in the API server as they should be: it compiles them anew when a Safeguard
// changes, repairs them when somebody else changes or deletes them, and says on each Safeguard and ScalingPolicy whether
// it is in use.
package admission

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"sync/atomic"
	"time"

	admissionv1 "k8s.io/api/admissionregistration/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/client-go/tools/events"
	"k8s.io/client-go/util/workqueue"
	"k8s.io/utils/clock"
	ctrl "sigs.k8s.io/controller-runtime"
	"sigs.k8s.io/controller-runtime/pkg/builder"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/controller"
	"sigs.k8s.io/controller-runtime/pkg/handler"
	"sigs.k8s.io/controller-runtime/pkg/predicate"
	"sigs.k8s.io/controller-runtime/pkg/reconcile"
	"sigs.k8s.io/controller-runtime/pkg/source"

	"github.com/interlock-dev/interlock/api/v1alpha1"
	"github.com/interlock-dev/interlock/controllers/podrules"
	"github.com/interlock-dev/interlock/controllers/retry"
	"github.com/interlock-dev/interlock/internal/admission"
	"github.com/interlock-dev/interlock/internal/safeguard"
)

// FieldManager owns the policies, their bindings, and the status of Safeguards and ScalingPolicies.
const FieldManager = "interlock-admission"

// catchUp is how long to wait for a cache that is behind.
const catchUp = 100 * time.Millisecond

// Reconciler keeps the policies. There is one request for all of them.
type Reconciler struct {
	Client client.Client
	// Live reads past the cache, which sees only objects that bear our label, and those late.
	Live     client.Reader
	Compiler *safeguard.Compiler
	Rules    *podrules.Register
	Install  admission.Install
	Events   events.EventRecorder
	Clock    clock.PassiveClock
	// Canary is told of each repair, which counts once the API servers show that it is in force.
	Canary interface{ Repaired() }

	nodes nodes
	// written holds each object as this process last found or left it in the API server: what differs later is drift.
	written map[string]admission.Object
	// repaired says that drift was repaired since all was last as it should be.
	repaired bool
	// outcome of the last attempt to put the policies into the API server; nil, there was none.
	outcome atomic.Pointer[outcome]
}

type outcome struct{ err error }

var errRefused = errors.New("the API server does not enforce it")

// Enforcing gives an error unless the API server has all policies, as far as is known.
func (r *Reconciler) Enforcing() error {
	last := r.outcome.Load()
	if last == nil {
		return errors.New("the policies have not been put into the API server yet")
	}
	return last.err
}

// Policies are created whatever their name, since RBAC sees no name at a creation; ours alone can be changed. A test sees to
// it that these are their names.
// +kubebuilder:rbac:groups=admissionregistration.k8s.io,resources=mutatingadmissionpolicies;mutatingadmissionpolicybindings;validatingadmissionpolicies;validatingadmissionpolicybindings,verbs=list;watch;create
// +kubebuilder:rbac:groups=admissionregistration.k8s.io,resources=mutatingadmissionpolicies;mutatingadmissionpolicybindings,resourceNames=interlock-hold;interlock-stamp,verbs=get;update
// +kubebuilder:rbac:groups=admissionregistration.k8s.io,resources=validatingadmissionpolicies,resourceNames=interlock-admit;interlock-guard;interlock-identity;interlock-ledgers;interlock-enrolment;interlock-notice;interlock-audit;interlock-authority;interlock-connect;interlock-canary,verbs=get;update
// +kubebuilder:rbac:groups=admissionregistration.k8s.io,resources=validatingadmissionpolicybindings,resourceNames=interlock-admit;interlock-guard;interlock-identity;interlock-ledgers;interlock-enrolment;interlock-notice-enforce;interlock-notice-warn;interlock-audit;interlock-authority;interlock-connect;interlock-canary,verbs=get;update
// +kubebuilder:rbac:groups=interlock.dev,resources=safeguards;scalingpolicies;modeldeployments,verbs=list;watch
// +kubebuilder:rbac:groups="",resources=namespaces,verbs=list;watch
// +kubebuilder:rbac:groups=interlock.dev,resources=safeguards/status;scalingpolicies/status,verbs=patch

// SetupWithManager watches what the policies are compiled from, and the policies.
func (r *Reconciler) SetupWithManager(mgr ctrl.Manager) error {
	r.written = map[string]admission.Object{}
	request := reconcile.Request{NamespacedName: types.NamespacedName{Name: "policies"}}
	all := handler.EnqueueRequestsFromMapFunc(func(context.Context, client.Object) []reconcile.Request { return []reconcile.Request{request} })
	atStart := source.Func(func(_ context.Context, q workqueue.TypedRateLimitingInterface[reconcile.Request]) error {
		q.Add(request)
		return nil
	})
	changed := builder.WithPredicates(predicate.Or(predicate.GenerationChangedPredicate{}, predicate.LabelChangedPredicate{}))
	return ctrl.NewControllerManagedBy(mgr).
		Named("admission").
		WithOptions(controller.Options{RateLimiter: retry.Limiter()}).
		WatchesRawSource(atStart).
		Watches(&v1alpha1.Safeguard{}, all). // and the status, here and below: one reported from a cache that was behind is reported anew
		Watches(&v1alpha1.ScalingPolicy{}, all).
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
	ruled, unusable := r.compile(safeguards.Items)
	refused, err := r.enforce(ctx, ruled, frameworks(policies.Items))
	r.outcome.Store(&outcome{err})
	if apierrors.IsConflict(err) {
		return ctrl.Result{RequeueAfter: catchUp}, nil
	}
	for _, sg := range ruled {
		if why := cmp.Or(refused[sg.UID], err); why != nil {
			unusable[sg.Name] = fmt.Errorf("%w: %s", errRefused, summary(why))
		}
	}
	r.lookAtNodes(ctx, safeguards.Items)
	behind, reportErr := r.report(ctx, safeguards.Items, policies.Items, unusable)
	switch err = errors.Join(err, reportErr); {
	case err != nil:
		return ctrl.Result{}, err
	case !behind:
		return ctrl.Result{RequeueAfter: nodesAgain}, nil
	}
	return ctrl.Result{RequeueAfter: catchUp}, nil
}

// compile gives the usable Safeguards with something for the API server to do, a pod rule or an adjustment, and what is wrong with those of any method that do not.
func (r *Reconciler) compile(safeguards []v1alpha1.Safeguard) (ruled []*v1alpha1.Safeguard, unusable map[string]error) {
	unusable = map[string]error{}
	for i := range safeguards {
		sg := &safeguards[i]
		if _, err := r.Compiler.Compile(sg); err != nil {
			unusable[sg.Name] = err
		} else if _, ok := admission.RuleOf(sg); ok {
			ruled = append(ruled, sg)
		}
	}
	return ruled, unusable
}

// enforce puts the policies into the API server, and says which rules it refuses. Those are left out, so that one bad
// rule keeps no other from being enforced.
func (r *Reconciler) enforce(ctx context.Context, ruled []*v1alpha1.Safeguard, frameworks []admission.Framework) (map[types.UID]error, error) {
	var refused map[types.UID]error
	err := r.keepAll(ctx, admission.Policies(r.Install, rules(ruled, nil), frameworks...))
	if tooMuch(err) {
		if refused, err = r.isolate(ctx, ruled); err != nil {
			return nil, err
		}
		err = r.keepAll(ctx, admission.Policies(r.Install, rules(ruled, refused), frameworks...))
	}
	if err != nil {
		return nil, err
	}
	r.Rules.Set(ruled, refused, r.repaired)
	r.repaired = false
	return refused, nil
}

func frameworks(policies []v1alpha1.ScalingPolicy) []admission.Framework {
	all := make([]admission.Framework, 0, len(policies))
	for i := range policies {
		all = append(all, admission.FrameworkOf(&policies[i]))
	}
	return all
}

// rules gives what the API server does for Safeguards, but for those that are refused.
func rules(ruled []*v1alpha1.Safeguard, refused map[types.UID]error) []admission.Rule {
	all := make([]admission.Rule, 0, len(ruled))
	for _, sg := range ruled {
		if rule, ok := admission.RuleOf(sg); ok && refused[sg.UID] == nil {
			all = append(all, rule)
		}
	}
	return all
}
