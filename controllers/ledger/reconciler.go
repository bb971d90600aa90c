// Package ledger writes what was decided of all models of a namespace into its ClearanceLedgers, many models in one
// write, and keeps them as they should be.
package ledger

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"time"

	corev1 "k8s.io/api/core/v1"
	apiequality "k8s.io/apimachinery/pkg/api/equality"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	ctrl "sigs.k8s.io/controller-runtime"
	"sigs.k8s.io/controller-runtime/pkg/builder"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/controller"
	"sigs.k8s.io/controller-runtime/pkg/handler"
	"sigs.k8s.io/controller-runtime/pkg/log"
	"sigs.k8s.io/controller-runtime/pkg/predicate"
	"sigs.k8s.io/controller-runtime/pkg/reconcile"

	"github.com/interlock-dev/interlock/api/v1alpha1"
	"github.com/interlock-dev/interlock/controllers/metrics"
	"github.com/interlock-dev/interlock/controllers/retry"
	"github.com/interlock-dev/interlock/controllers/verdicts"
	"github.com/interlock-dev/interlock/internal/admission"
	"github.com/interlock-dev/interlock/internal/decision"
)

// FieldManager owns the ledgers.
const FieldManager = "interlock-ledger"

// catchUp is how long to wait for a cache that is behind.
const catchUp = 100 * time.Millisecond

// Reconciler writes the ledgers of a namespace.
type Reconciler struct {
	Client client.Client
	Board  *verdicts.Board
	// Install says which namespaces are never enrolled.
	Install admission.Install
}

// Ledgers are created whatever their name, since RBAC sees no name at a creation; the API takes no other than these two.
// The API server takes an admission policy only from who may get all objects of its parameter kind.
// +kubebuilder:rbac:groups=interlock.dev,resources=clearanceledgers,verbs=get;list;watch;create
// +kubebuilder:rbac:groups=interlock.dev,resources=clearanceledgers,resourceNames=interlock;interlock-notices,verbs=update;delete

// SetupWithManager watches what changes a ledger. Requests name a namespace.
func (r *Reconciler) SetupWithManager(mgr ctrl.Manager) error {
	return ctrl.NewControllerManagedBy(mgr).
		Named("ledger").
		WithOptions(controller.Options{MaxConcurrentReconciles: 4, RateLimiter: retry.Limiter()}).
		WatchesMetadata(&corev1.Namespace{}, handler.EnqueueRequestsFromMapFunc(byName), builder.WithPredicates(predicate.LabelChangedPredicate{})).
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

// Reconcile writes the ledgers of one namespace.
func (r *Reconciler) Reconcile(ctx context.Context, req ctrl.Request) (ctrl.Result, error) {
	ns := &metav1.PartialObjectMetadata{}
	ns.SetGroupVersionKind(corev1.SchemeGroupVersion.WithKind("Namespace"))
	if err := r.Client.Get(ctx, client.ObjectKey{Name: req.Name}, ns); err != nil {
		return ctrl.Result{}, client.IgnoreNotFound(err)
	}
	if ns.DeletionTimestamp != nil {
		return ctrl.Result{}, nil
	}
	models := &v1alpha1.ModelDeploymentList{}
	if err := r.Client.List(ctx, models, client.InNamespace(req.Name), client.UnsafeDisableDeepCopy); err != nil {
		return ctrl.Result{}, fmt.Errorf("list ModelDeployments: %w", err)
	}
	err := r.keep(ctx, ns, v1alpha1.LedgerName, r.enforced(ns), func(have v1alpha1.ClearanceLedgerSpec) v1alpha1.ClearanceLedgerSpec {
		return r.clearances(ctx, ns, models.Items, have)
	})
	if err == nil {
		err = r.keep(ctx, ns, v1alpha1.NoticesName, enrolled(ns), func(v1alpha1.ClearanceLedgerSpec) v1alpha1.ClearanceLedgerSpec {
			return r.notices(ns, models.Items)
		})
	}
	if apierrors.IsConflict(err) || apierrors.IsAlreadyExists(err) {
		// The cache is behind; what it lacks wakes us, and if it does not, this does.
		return ctrl.Result{RequeueAfter: catchUp}, nil
	}
	return ctrl.Result{}, err
}

// enforced says whether the API server needs a ledger here: also for a label without a value, which its policies go by.
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

// keep brings one ledger to what it should be, or away if it should not be.
func (r *Reconciler) keep(ctx context.Context, ns *metav1.PartialObjectMetadata, name string, wanted bool,
	compile func(have v1alpha1.ClearanceLedgerSpec) v1alpha1.ClearanceLedgerSpec) error {
	ledger := &v1alpha1.ClearanceLedger{}
	err := r.Client.Get(ctx, client.ObjectKey{Namespace: ns.Name, Name: name}, ledger)
	switch {
	case apierrors.IsNotFound(err) && !wanted:
		return nil
	case apierrors.IsNotFound(err):
		ledger = &v1alpha1.ClearanceLedger{ObjectMeta: metav1.ObjectMeta{Namespace: ns.Name, Name: name}}
		ledger.Spec = compile(v1alpha1.ClearanceLedgerSpec{})
		metrics.LedgerWrites.WithLabelValues(name).Inc()
		return r.Client.Create(ctx, ledger, client.FieldOwner(FieldManager))
	case err != nil:
		return fmt.Errorf("get ClearanceLedger: %w", err)
	case !wanted:
		return client.IgnoreNotFound(r.Client.Delete(ctx, ledger, client.Preconditions{UID: &ledger.UID}))
	}
	spec := compile(ledger.Spec)
	if apiequality.Semantic.DeepEqual(ledger.Spec, spec) {
		return nil
	}
	ledger.Spec = spec
	// One empty entry takes away who manages what, which the API server would otherwise convert for each pod.
	ledger.ManagedFields = []metav1.ManagedFieldsEntry{{}}
	log.FromContext(ctx).V(1).Info("Writing ledger", "ledger", client.ObjectKeyFromObject(ledger))
	metrics.LedgerWrites.WithLabelValues(name).Inc()
	return r.Client.Update(ctx, ledger, client.FieldOwner(FieldManager))
}

// clearances gives the ledger that the API server reads for each pod. A model that has not been decided since this
// process began keeps the clearance that it has, no longer and under the same policy only: its lease runs on, and is
// neither renewed nor cut short because we know less than before. What its pods are given stays as well.
func (r *Reconciler) clearances(ctx context.Context, ns *metav1.PartialObjectMetadata, models []v1alpha1.ModelDeployment, have v1alpha1.ClearanceLedgerSpec) v1alpha1.ClearanceLedgerSpec {
	spec := v1alpha1.ClearanceLedgerSpec{
		Policy: ns.Labels[v1alpha1.EnforceLabel], DefaultModel: ns.Labels[v1alpha1.ModelLabel], Coverage: ns.Labels[v1alpha1.CoverageLabel]}
	var entries []admission.Entry
	adjustments, weights := map[string][]string{}, map[string][]string{}
	exempt := map[string][]decision.Exemption{}
	for i := range models {
		name := models[i].Name
		judgements, decided := r.Board.Get(client.ObjectKeyFromObject(&models[i]))
		if !decided {
			if have.Policy != spec.Policy {
				continue
			}
			if entry, ok := admission.Find(have.Clearances, name); ok {
				entries = append(entries, entry)
				exempt[name] = admission.FindExemptions(have.Exemptions, name)
			}
			adjustments[name] = admission.FindAdjustments(have.Adjustments, name)
			weights[name] = admission.FindWeights(have.Weights, name)
			continue
		}
		j, ok := verdicts.Under(judgements, v1alpha1.EnforceLabel)
		if !ok || j.Policy != spec.Policy {
			continue
		}
		if j.Verdict.Cleared() {
			entries = append(entries, j.Entry(name))
			exempt[name] = j.Verdict.Exemptions
		}
		adjustments[name], weights[name] = j.Adjustments, j.Weights
	}
	spec.Exemptions = admission.Exempt(exempt)
	spec.Clearances, spec.Adjustments, spec.Weights = admission.Clearances(entries), admission.Adjustments(adjustments), weightsOf(ctx, weights)
	return spec
}

func weightsOf(ctx context.Context, sources map[string][]string) string {
	lines, left := admission.Weights(sources)
	if len(left) > 0 {
		log.FromContext(ctx).Info("The ledger has no room for what these models declare of their weights, so their pods are held: declare fewer sources, or serve them from another namespace", "models", left)
	}
	return lines
}

// notices gives the ledger that the API server reads when a workload is applied.
func (r *Reconciler) notices(ns *metav1.PartialObjectMetadata, models []v1alpha1.ModelDeployment) v1alpha1.ClearanceLedgerSpec {
	spec := v1alpha1.ClearanceLedgerSpec{Policy: ns.Labels[v1alpha1.EnforceLabel], DefaultModel: ns.Labels[v1alpha1.ModelLabel]}
	weights := map[string][]string{}
	for i := range models {
		judgements, _ := r.Board.Get(client.ObjectKeyFromObject(&models[i]))
		for _, j := range judgements {
			if len(j.Weights) > 0 {
				weights[models[i].Name] = j.Weights
			}
			spec.Notices = append(spec.Notices, v1alpha1.Notice{
				Model: models[i].Name, Label: j.Label, Rules: admission.RuleNames(j.Verdict.Rules()), Message: j.Advice})
		}
	}
	spec.Weights, _ = admission.Weights(weights)
	slices.SortFunc(spec.Notices, func(a, b v1alpha1.Notice) int { return strings.Compare(a.Model+" "+a.Label, b.Model+" "+b.Label) })
	return spec
}
