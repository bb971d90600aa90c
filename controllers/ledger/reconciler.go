// Package ledger writes what was decided of all models of a namespace into the LimitRange that the API server enforces and the
// ClearanceLedger that it tells people, many models in one write, and keeps them as they should be.
package ledger

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	corev1 "k8s.io/api/core/v1"
	apiequality "k8s.io/apimachinery/pkg/api/equality"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/utils/clock"
	ctrl "sigs.k8s.io/controller-runtime"
	"sigs.k8s.io/controller-runtime/pkg/builder"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/handler"
	"sigs.k8s.io/controller-runtime/pkg/log"
	"sigs.k8s.io/controller-runtime/pkg/predicate"
	"sigs.k8s.io/controller-runtime/pkg/reconcile"

	"github.com/interlock-dev/interlock/api/v1alpha1"
	"github.com/interlock-dev/interlock/controllers/fair"
	"github.com/interlock-dev/interlock/controllers/fresh"
	"github.com/interlock-dev/interlock/controllers/metrics"
	"github.com/interlock-dev/interlock/controllers/verdicts"
	"github.com/interlock-dev/interlock/internal/admission"
	"github.com/interlock-dev/interlock/internal/verdict"
)

// FieldManager owns both.
const FieldManager = "interlock-ledger"

// catchUp is how long to wait for a cache that is behind.
const catchUp = 100 * time.Millisecond

// Reconciler writes the clearances and the ledger of a namespace.
type Reconciler struct {
	Client client.Client
	Board  *verdicts.Board
	// Install says which namespaces are never enrolled.
	Install admission.Install
	Clock   clock.PassiveClock

	sources sources
}

// RBAC sees no name at a creation: the API takes no other name of a ledger, and LedgerPolicy no LimitRange from us that we may
// not change. The API server takes an admission policy only from who may get all objects of its parameter kind. Of LimitRanges
// it asks for the name "*", which no LimitRange can have, so that is what is granted.
// +kubebuilder:rbac:groups=interlock.dev,resources=clearanceledgers,verbs=get;list;watch;create
// +kubebuilder:rbac:groups=interlock.dev,resources=clearanceledgers,resourceNames=interlock,verbs=update;delete
// +kubebuilder:rbac:groups="",resources=limitranges,verbs=create
// +kubebuilder:rbac:groups="",resources=limitranges,resourceNames="*",verbs=get
// +kubebuilder:rbac:groups="",resources=limitranges,resourceNames=interlock-clearances,verbs=get;list;watch;update;delete

// SetupWithManager watches what changes either. Requests name a namespace.
func (r *Reconciler) SetupWithManager(mgr ctrl.Manager) error {
	return ctrl.NewControllerManagedBy(mgr).
		Named("ledger").
		WithOptions(fair.Options(4, nil)).
		WatchesMetadata(&corev1.Namespace{}, handler.EnqueueRequestsFromMapFunc(byName), builder.WithPredicates(predicate.LabelChangedPredicate{})).
		Watches(&corev1.LimitRange{}, handler.EnqueueRequestsFromMapFunc(byNamespace)).
		Watches(&v1alpha1.ModelDeployment{}, r.declarationsHandler()).
		Watches(&v1alpha1.ClearanceLedger{}, handler.EnqueueRequestsFromMapFunc(byNamespace)).
		WatchesRawSource(r.Board.Changes()).
		Complete(r)
}

func byName(_ context.Context, o client.Object) []reconcile.Request { return request(o.GetName()) }

func byNamespace(_ context.Context, o client.Object) []reconcile.Request {
	return request(o.GetNamespace())
}

func request(namespace string) []reconcile.Request {
	return []reconcile.Request{{NamespacedName: types.NamespacedName{Name: namespace}}}
}

// Reconcile writes the clearances of one namespace first, and then what is told of them. A namespace that terminates takes no
// new objects, and is enforced as before by those that it has: its pods may run on for as long as they like to.
func (r *Reconciler) Reconcile(ctx context.Context, req ctrl.Request) (ctrl.Result, error) {
	ns := &metav1.PartialObjectMetadata{}
	ns.SetGroupVersionKind(corev1.SchemeGroupVersion.WithKind("Namespace"))
	if err := r.Client.Get(ctx, client.ObjectKey{Name: req.Name}, ns); err != nil {
		return ctrl.Result{}, client.IgnoreNotFound(err)
	}
	if req.Name == admission.CanaryNamespace && r.enforced(ns) {
		return ctrl.Result{}, nil // The canary writes the clearances there.
	}
	models := &v1alpha1.ModelDeploymentList{}
	if err := r.Client.List(ctx, models, client.InNamespace(req.Name), client.UnsafeDisableDeepCopy); err != nil {
		return ctrl.Result{}, fmt.Errorf("list ModelDeployments: %w", err)
	}
	declared, err := r.sources.of(ctx, r.Client, req.Name)
	if err != nil {
		return ctrl.Result{}, err
	}
	clearances := &corev1.LimitRange{ObjectMeta: metav1.ObjectMeta{Namespace: req.Name, Name: v1alpha1.ClearancesName}}
	write := func(allowed func(is, was admission.Standing) admission.Standing) error {
		return r.keep(ctx, ns, clearances, r.enforced(ns), func() context.Context {
			return r.fillClearances(ctx, clearances, ns, models.Items, declared, allowed)
		})
	}
	err = write(asDecided)
	if apierrors.IsForbidden(err) {
		// The API server may not have heard yet of a policy or label that we know. What is revoked is revoked all the same.
		return ctrl.Result{}, errors.Join(err, write(takenBack))
	}
	if err == nil {
		ledger := &v1alpha1.ClearanceLedger{ObjectMeta: metav1.ObjectMeta{Namespace: req.Name, Name: v1alpha1.LedgerName}}
		err = r.keep(ctx, ns, ledger, enrolled(ns), func() context.Context {
			ledger.Spec = r.notices(ns, models.Items)
			return ctx
		})
	}
	if apierrors.IsConflict(err) || apierrors.IsAlreadyExists(err) || errors.Is(err, fresh.ErrLapsed) {
		// The cache is behind; what it lacks wakes us, and if it does not, this does.
		return ctrl.Result{RequeueAfter: catchUp}, nil
	}
	if err == nil && undeclared(clearances.Annotations, models.Items) {
		return ctrl.Result{RequeueAfter: closedAgain}, nil
	}
	return ctrl.Result{}, err
}

// enforced says whether the API server needs clearances here: also for a label without a value, which its policies go by.
func (r *Reconciler) enforced(ns *metav1.PartialObjectMetadata) bool {
	_, enforced := r.Install.Enforced(ns)
	return enforced
}

func enrolled(ns *metav1.PartialObjectMetadata) bool {
	return slices.ContainsFunc(v1alpha1.PolicyLabels[:], func(label string) bool {
		_, labelled := ns.Labels[label]
		return labelled
	})
}

// keep brings one object to what fill makes of it, or away if it should not be. It writes in the context that fill gives.
func (r *Reconciler) keep(ctx context.Context, ns *metav1.PartialObjectMetadata, o client.Object, wanted bool, fill func() context.Context) error {
	err := r.Client.Get(ctx, client.ObjectKeyFromObject(o), o)
	switch {
	case apierrors.IsNotFound(err) && (!wanted || ns.DeletionTimestamp != nil):
		return nil
	case apierrors.IsNotFound(err):
		ctx = fill()
		metrics.LedgerWrites.WithLabelValues(o.GetName()).Inc()
		return r.Client.Create(ctx, o, client.FieldOwner(FieldManager))
	case err != nil:
		return fmt.Errorf("get %s: %w", o.GetName(), err)
	case !wanted:
		return r.remove(ctx, o)
	}
	before := o.DeepCopyObject()
	ctx = fill()
	if apiequality.Semantic.DeepEqual(before, o) {
		return nil
	}
	// One empty entry takes away who manages what, which the API server would otherwise convert for each pod.
	o.SetManagedFields([]metav1.ManagedFieldsEntry{{}})
	log.FromContext(ctx).V(1).Info("Writing", "object", client.ObjectKeyFromObject(o))
	metrics.LedgerWrites.WithLabelValues(o.GetName()).Inc()
	return r.Client.Update(ctx, o, client.FieldOwner(FieldManager))
}

// remove deletes an object, and lets nobody's finalizer keep it.
func (r *Reconciler) remove(ctx context.Context, o client.Object) error {
	if len(o.GetFinalizers()) > 0 {
		o.SetFinalizers(nil)
		if err := r.Client.Update(ctx, o, client.FieldOwner(FieldManager)); err != nil {
			return client.IgnoreNotFound(err)
		}
	}
	return client.IgnoreNotFound(r.Client.Delete(ctx, o, client.Preconditions{UID: new(o.GetUID())}))
}

// fillClearances writes what the API server reads for each pod. A model that has not been decided since this process began
// keeps the standing that it has, no longer and under the same policy only: its lease runs on, and is neither renewed nor
// cut short because we know less than before. What its pods are given stays as well. A clearance that is new, renewed or
// changed is written only while it is proved that what it rests on is current, which the returned context sees to; else
// the model is decided anew.
func (r *Reconciler) fillClearances(
	ctx context.Context, o *corev1.LimitRange, ns *metav1.PartialObjectMetadata, models []v1alpha1.ModelDeployment,
	sources string, allowed func(is, was admission.Standing) admission.Standing) context.Context {
	clearances := admission.Clearances{Sources: sources,
		Policy: ns.Labels[v1alpha1.EnforceLabel], DefaultModel: ns.Labels[v1alpha1.ModelLabel], Coverage: ns.Labels[v1alpha1.CoverageLabel],
		Models: map[string]admission.Standing{}, Shortfalls: r.Board.Shortfalls(ns.Name, o.Annotations, r.Clock.Now())}
	var proofs []fresh.Proof
	for i := range models {
		model := client.ObjectKeyFromObject(&models[i])
		var stands admission.Standing
		if admission.PolicyOf(o.Annotations) == clearances.Policy {
			stands = admission.Find(o.Annotations, model.Name)
		}
		judgements, proof, decided := r.Board.Proven(model)
		j, ok := verdict.Under(judgements, v1alpha1.EnforceLabel)
		switch standing := j.Standing(); {
		case !decided:
			clearances.Models[model.Name] = stands
		case !ok || j.Policy != clearances.Policy: // decided under another policy than the one that is enforced now
		case !standing.Cleared() || standing.Equal(stands):
			clearances.Models[model.Name] = standing
		case proof.Holds():
			clearances.Models[model.Name] = standing
			proofs = append(proofs, proof)
		default:
			clearances.Models[model.Name] = stands
			r.Board.Recall(model)
		}
		clearances.Models[model.Name] = allowed(clearances.Models[model.Name], stands)
	}
	r.keepClosed(ctx, ns.Name, clearances, o.Annotations)
	annotations, left := clearances.Annotations()
	if len(left) > 0 {
		log.FromContext(ctx).Info("The clearances have no room for these models, so their pods are held: serve them from another namespace", "models", left)
	}
	o.Annotations, o.Labels = annotations, map[string]string{v1alpha1.ManagedByLabel: v1alpha1.ManagedBy}
	o.Finalizers, o.OwnerReferences, o.Spec = nil, nil, corev1.LimitRangeSpec{}
	return fresh.Bind(ctx, proofs...)
}

// keepClosed keeps refusing requests into the pods of models that are no longer declared, until these are gone: whoever takes a
// declaration back must not get in by that.
func (r *Reconciler) keepClosed(ctx context.Context, namespace string, clearances admission.Clearances, before map[string]string) {
	for name, safeguards := range admission.Connected(before) {
		if _, declared := clearances.Models[name]; declared {
			continue
		}
		pods := &corev1.PodList{}
		err := r.Client.List(ctx, pods, client.InNamespace(namespace), client.MatchingLabels{v1alpha1.ModelLabel: name}, client.Limit(1))
		if err != nil || len(pods.Items) > 0 {
			clearances.Models[name] = admission.Standing{Connect: safeguards}
		}
	}
}

// closedAgain is how soon it is looked again whether there are still pods of models that are no longer declared.
const closedAgain = 10 * time.Second

// undeclared says whether requests are refused for a model that is no longer declared.
func undeclared(data map[string]string, models []v1alpha1.ModelDeployment) bool {
	connected := admission.Connected(data)
	for i := range models {
		delete(connected, models[i].Name)
	}
	return len(connected) > 0
}

func asDecided(is, _ admission.Standing) admission.Standing { return is }

// takenBack gives of a standing no clearance but one that was there before, which the API server takes whatever it has heard.
func takenBack(is, was admission.Standing) admission.Standing {
	cleared := is.Cleared() && was.Cleared()
	is.ValidUntil, is.Rules, is.Exemptions = time.Time{}, nil, nil
	if cleared {
		is.ValidUntil, is.Rules = was.ValidUntil, was.Rules
	}
	return is
}

// maxNotices is the most that is said in one ledger: etcd takes 1.5 MiB an object.
const maxNotices = 1_000_000

// notices gives the ledger that the API server reads when a workload is applied. Of models for which there is no room it says
// no more than that they are declared.
func (r *Reconciler) notices(ns *metav1.PartialObjectMetadata, models []v1alpha1.ModelDeployment) v1alpha1.ClearanceLedgerSpec {
	spec := v1alpha1.ClearanceLedgerSpec{Policy: ns.Labels[v1alpha1.EnforceLabel], DefaultModel: ns.Labels[v1alpha1.ModelLabel]}
	for i := range models {
		judgements, _ := r.Board.Get(client.ObjectKeyFromObject(&models[i]))
		for _, j := range judgements {
			spec.Notices = append(spec.Notices, v1alpha1.Notice{Model: models[i].Name, Label: j.Label,
				Rules: admission.RuleNames(j.Verdict.Rules()), Message: j.Advice, Weights: j.Weights})
		}
	}
	slices.SortFunc(spec.Notices, func(a, b v1alpha1.Notice) int { return strings.Compare(a.Model+" "+a.Label, b.Model+" "+b.Label) })
	size := 0
	for i := range spec.Notices {
		n := &spec.Notices[i]
		size += len(n.Model) + len(n.Label) + len(n.Rules) + len(n.Message) + len(strings.Join(n.Weights, ",")) + 100
		if size > maxNotices {
			*n = v1alpha1.Notice{Model: n.Model, Label: n.Label, Rules: admission.RuleNames(nil)}
		}
	}
	return spec
}
