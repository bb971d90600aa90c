// Package surroundings keeps the objects that Safeguards put around models (spec.adjust.objects): it applies them where the
// verdict that is enforced asks for their Safeguard, repairs them, and removes them when they are asked for no more.
//
// It fights nobody: a field that somebody else has set, and an object that somebody else has made, stay, and are reported.
// Whether the objects bring about what their Safeguard asks for is judged by its method, as if the team had made them.
package surroundings

import (
	"context"
	"time"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/labels"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/client-go/tools/events"
	"k8s.io/utils/clock"
	ctrl "sigs.k8s.io/controller-runtime"
	"sigs.k8s.io/controller-runtime/pkg/builder"
	"sigs.k8s.io/controller-runtime/pkg/cache"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/handler"
	"sigs.k8s.io/controller-runtime/pkg/predicate"
	"sigs.k8s.io/controller-runtime/pkg/reconcile"

	"github.com/interlock-dev/interlock/api/v1alpha1"
	"github.com/interlock-dev/interlock/controllers/fair"
	"github.com/interlock-dev/interlock/controllers/verdicts"
	"github.com/interlock-dev/interlock/internal/adjust"
	"github.com/interlock-dev/interlock/internal/safeguard"
	"github.com/interlock-dev/interlock/internal/verdict"
)

// FieldManager owns what is reported on ModelDeployments. What a Safeguard puts around models is owned by a manager of its
// own: see managerOf.
const FieldManager = "interlock-surroundings"

const (
	// recheck is how long until what could not be applied is tried again: an object that is not ours may have gone, a right
	// or a kind may have come, and nothing tells of these.
	recheck = 10 * time.Second
	// catchUp is how long to wait for a cache that is behind.
	catchUp = 100 * time.Millisecond
)

// Reconciler keeps what is around models. Requests name a model, declared or not.
type Reconciler struct {
	Client client.Client
	// Live reads past the cache.
	Live     client.Reader
	Board    *verdicts.Board
	Compiler *safeguard.Compiler
	Clock    clock.PassiveClock
	Events   events.EventRecorder

	kinds   *kinds
	applied applied
}

// Of other kinds the operator has the rights that roles with the label interlock.dev/aggregate-to-manager give it.
// +kubebuilder:rbac:groups=networking.k8s.io,resources=networkpolicies,verbs=get;list;watch;create;patch;delete
// +kubebuilder:rbac:groups=interlock.dev,resources=modeldeployments,verbs=get;list;watch
// +kubebuilder:rbac:groups=interlock.dev,resources=modeldeployments/status,verbs=patch

// SetupWithManager watches verdicts, models, and what was applied. A change of a Safeguard that a model needs comes as a new
// verdict.
func (r *Reconciler) SetupWithManager(mgr ctrl.Manager) error {
	ours, err := cache.New(mgr.GetConfig(), cache.Options{
		HTTPClient: mgr.GetHTTPClient(), Scheme: mgr.GetScheme(), Mapper: mgr.GetRESTMapper(), ReaderFailOnMissingInformer: true, DefaultTransform: slim,
		DefaultLabelSelector: labels.SelectorFromSet(labels.Set{v1alpha1.ManagedByLabel: v1alpha1.ManagedBy})})
	if err != nil {
		return err
	}
	if err := mgr.Add(ours); err != nil {
		return err
	}
	r.kinds = newKinds(ours, mgr.GetAPIReader(), mgr.GetRESTMapper(), r.Clock)
	return ctrl.NewControllerManagedBy(mgr).
		Named("surroundings").
		WithOptions(fair.Options(4, nil)).
		For(&v1alpha1.ModelDeployment{}, builder.WithPredicates(predicate.GenerationChangedPredicate{})).
		Watches(&v1alpha1.Safeguard{}, handler.EnqueueRequestsFromMapFunc(func(context.Context, client.Object) []reconcile.Request {
			return []reconcile.Request{{}}
		}), builder.WithPredicates(predicate.GenerationChangedPredicate{})).
		WatchesRawSource(r.Board.Models()).
		WatchesRawSource(r.kinds.changes()).
		Complete(r)
}

// Reconcile brings what is around one model to what it should be. A request without a name comes of a Safeguard, which may
// have been the last to name a kind.
func (r *Reconciler) Reconcile(ctx context.Context, req ctrl.Request) (ctrl.Result, error) {
	if req.Name == "" {
		return ctrl.Result{}, r.letGo(ctx, nil)
	}
	md, err := r.model(ctx, req.NamespacedName)
	if err != nil {
		return ctrl.Result{}, err
	}
	wanted, known, err := r.plan(ctx, req.NamespacedName, md)
	if err != nil || !known {
		return ctrl.Result{}, err
	}
	ready, err := r.followAll(ctx, md, wanted)
	if err != nil || !ready {
		return ctrl.Result{RequeueAfter: catchUp}, err
	}
	if behind, err := r.announce(ctx, md, wanted); err != nil || behind {
		return ctrl.Result{RequeueAfter: catchUp}, err
	}
	results, wait, keepErr := r.keep(ctx, md, wanted)
	left, removeErr := r.removeOthers(ctx, req.NamespacedName, wanted)
	if len(left) > 0 {
		wait = sooner(wait, recheck)
	}
	for _, err := range []error{keepErr, removeErr} {
		if apierrors.IsConflict(err) {
			return ctrl.Result{RequeueAfter: catchUp}, nil
		}
		if err != nil {
			return ctrl.Result{}, err
		}
	}
	if md == nil {
		r.applied.forget(req.NamespacedName)
		return ctrl.Result{RequeueAfter: wait}, nil
	}
	behind, err := r.report(ctx, md, append(results, left...))
	if behind {
		wait = sooner(wait, catchUp)
	}
	return ctrl.Result{RequeueAfter: wait}, err
}

// model gives the declaration of a model; nil, there is none (any more). That there is none is asked of the API server:
// nothing goes because a cache is slow.
func (r *Reconciler) model(ctx context.Context, key client.ObjectKey) (*v1alpha1.ModelDeployment, error) {
	md := &v1alpha1.ModelDeployment{}
	for _, reader := range []client.Reader{r.Client, r.Live} {
		err := reader.Get(ctx, key, md)
		switch {
		case err == nil && md.DeletionTimestamp != nil:
			return nil, nil
		case !apierrors.IsNotFound(err):
			return md, err
		}
	}
	return nil, nil
}

// wanted is what is to be around a model.
type wanted struct {
	objects []object
	// unclear names the Safeguards that are asked for and cannot be used: what they have put there stays as it is.
	unclear map[string]bool
}

// object is one that a Safeguard asks for.
type object struct {
	safeguard string
	kind      schema.GroupVersionKind
	name      string
	// what is to be applied; nil, and wrong says why there is nothing.
	what  *unstructured.Unstructured
	wrong string
}

// plan gives what is to be around a model. It is not known before the model was decided, nor while its policy is not there or
// does not know its level: then all stays as it is.
func (r *Reconciler) plan(ctx context.Context, key client.ObjectKey, md *v1alpha1.ModelDeployment) (w wanted, known bool, err error) {
	w.unclear = map[string]bool{}
	if md == nil {
		return w, true, nil
	}
	judgements, decided := r.Board.Get(key)
	if !decided {
		return w, false, nil
	}
	enforced, ok := verdict.Under(judgements, v1alpha1.EnforceLabel)
	if !ok {
		return w, true, nil
	}
	if enforced.PolicyDigest == "" || enforced.Verdict.Reason == v1alpha1.ReasonLevelUnknown {
		return w, false, nil
	}
	for _, name := range enforced.Verdict.Rules() {
		sg := &v1alpha1.Safeguard{}
		if err := r.Client.Get(ctx, client.ObjectKey{Name: name}, sg); client.IgnoreNotFound(err) != nil {
			return w, false, err
		}
		compiled, err := r.Compiler.Compile(sg) // one that does not exist has no verification method
		if err != nil {
			w.unclear[name] = true
			continue
		}
		for _, template := range compiled.Objects {
			w.objects = append(w.objects, objectOf(template, md, adjust.Values{Model: md.Name, Digest: md.Spec.Model.Digest,
				Namespace: md.Namespace, Policy: enforced.Policy, Safeguard: name}))
		}
	}
	return w, true, nil
}

// objectOf fills in the values of a model. The object goes with its ModelDeployment also when no operator is there to see to it.
func objectOf(template adjust.Template, md *v1alpha1.ModelDeployment, values adjust.Values) object {
	o := object{safeguard: values.Safeguard, kind: template.Kind, name: template.Name}
	what, err := template.Object(values)
	if err != nil {
		o.wrong = err.Error()
		return o
	}
	what.SetOwnerReferences([]metav1.OwnerReference{{
		APIVersion: v1alpha1.GroupVersion.String(), Kind: "ModelDeployment", Name: md.Name, UID: md.UID}})
	o.what, o.name = what, what.GetName()
	return o
}

// sooner gives the shorter wait, of which zero is for ever.
func sooner(a, b time.Duration) time.Duration {
	if a == 0 || b != 0 && b < a {
		return b
	}
	return a
}
