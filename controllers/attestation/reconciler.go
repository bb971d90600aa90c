package attestation

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	apiequality "k8s.io/apimachinery/pkg/api/equality"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/util/wait"
	"k8s.io/utils/clock"
	ctrl "sigs.k8s.io/controller-runtime"
	"sigs.k8s.io/controller-runtime/pkg/builder"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/event"
	"sigs.k8s.io/controller-runtime/pkg/handler"
	"sigs.k8s.io/controller-runtime/pkg/predicate"
	"sigs.k8s.io/controller-runtime/pkg/reconcile"

	"github.com/interlock-dev/interlock/api/v1alpha1"
	"github.com/interlock-dev/interlock/controllers/fair"
	"github.com/interlock-dev/interlock/controllers/tenants"
	"github.com/interlock-dev/interlock/internal/decision"
	"github.com/interlock-dev/interlock/internal/evidence"
	"github.com/interlock-dev/interlock/internal/tenancy"
)

// FieldManager owns the status of Attestations.
const FieldManager = "interlock-attestation"

// Reconciler fetches what Attestations name, and reports on them.
type Reconciler struct {
	Client     client.Client
	Store      *Store
	Registries Registries
	Clock      clock.PassiveClock
	shares     *shares
}

// workers is how many Attestations are looked at, and so fetched, at once: those of many namespaces, each of which has a few turns.
const workers = 32

// +kubebuilder:rbac:groups=interlock.dev,resources=attestations;scalingpolicies,verbs=list;watch
// +kubebuilder:rbac:groups=interlock.dev,resources=attestations/status,verbs=patch

// SetupWithManager watches Attestations, and the policies that say whom to trust.
func (r *Reconciler) SetupWithManager(mgr ctrl.Manager) error {
	r.shares = newShares(r.Clock, r.Store.shared)
	specChanged := builder.WithPredicates(predicate.GenerationChangedPredicate{})
	return ctrl.NewControllerManagedBy(mgr).
		Named("attestation").
		WithOptions(fair.Options(workers, nil)).
		For(&v1alpha1.Attestation{}, specChanged).
		Watches(&v1alpha1.ScalingPolicy{}, handler.EnqueueRequestsFromMapFunc(r.all), specChanged).
		Complete(r)
}

func (r *Reconciler) all(ctx context.Context, _ client.Object) []reconcile.Request {
	list := &v1alpha1.AttestationList{}
	if err := r.Client.List(ctx, list, client.UnsafeDisableDeepCopy); err != nil {
		ctrl.LoggerFrom(ctx).Error(err, "List Attestations")
		return nil
	}
	requests := make([]reconcile.Request, 0, len(list.Items))
	for i := range list.Items {
		requests = append(requests, reconcile.Request{NamespacedName: client.ObjectKeyFromObject(&list.Items[i])})
	}
	return requests
}

// Reconcile fetches what one Attestation names, if it has to be, and reports on it.
func (r *Reconciler) Reconcile(ctx context.Context, req ctrl.Request) (ctrl.Result, error) {
	a := &v1alpha1.Attestation{}
	if err := r.Client.Get(ctx, req.NamespacedName, a); err != nil {
		if apierrors.IsNotFound(err) {
			r.Store.forget(req.NamespacedName)
		}
		return ctrl.Result{}, client.IgnoreNotFound(err)
	}
	var waits string
	again := tenants.Retry
	if !tenancy.IsAttestationStub(a) {
		again, waits = r.fetch(ctx, a)
	}
	policies := &v1alpha1.ScalingPolicyList{}
	if err := r.Client.List(ctx, policies, client.UnsafeDisableDeepCopy); err != nil {
		return ctrl.Result{}, fmt.Errorf("list ScalingPolicies: %w", err)
	}
	if err := r.report(ctx, a, policies.Items, waits); err != nil {
		return ctrl.Result{}, err
	}
	return ctrl.Result{RequeueAfter: again}, nil
}

// fetch gets what lies in a registry, and says how long to wait until it is to be done again, or what it waits for. Zero means
// never. What cannot be had is tried again, more and more seldom, and meanwhile says so.
func (r *Reconciler) fetch(ctx context.Context, a *v1alpha1.Attestation) (again time.Duration, waits string) {
	before, now := r.Store.download(a), r.Clock.Now()
	rest := max(before.listed.Add(r.Store.refresh).Sub(now), before.attempted.Add(before.wait).Sub(now))
	switch {
	case a.Spec.Content != "" || a.Spec.OCI != "" && len(before.found) > 0:
		return 0, ""
	case rest > 0:
		return rest, ""
	}
	if again, waits = r.shares.take(a.Namespace); again > 0 {
		return again, waits
	}
	defer r.shares.give(a.Namespace)
	next, spend := download{listed: before.listed}, r.shares.spender(a.Namespace)
	rest = 0
	if a.Spec.OCI != "" {
		next.found, next.err = r.Registries.fetch(ctx, a.Spec.OCI, spend)
	} else if next.found, next.err = r.Registries.refer(ctx, a.Spec.Referrers, before.found, spend); next.err == nil {
		next.listed, rest = now, wait.Jitter(r.Store.refresh, 0.1)
	}
	next.attempted = r.Clock.Now()
	err := r.Store.put(a, next)
	if err != nil {
		rest = r.Store.download(a).wait
		ctrl.LoggerFrom(ctx).Error(err, "Fetch evidence", "again", rest)
	}
	refound := err == nil && (before.never(a) || !now.Before(before.listed.Add(leaseOf*r.Store.refresh)))
	if news := len(next.found) > 0 || refound || err != nil && before.err == nil; !news {
		return rest, ""
	}
	select {
	case r.Store.arrivals <- event.GenericEvent{Object: a}:
	case <-ctx.Done():
	}
	return rest, ""
}

func (r *Reconciler) report(ctx context.Context, a *v1alpha1.Attestation, policies []v1alpha1.ScalingPolicy, waits string) error {
	before := a.DeepCopy()
	a.Status = r.status(a, policies, waits)
	if apiequality.Semantic.DeepEqual(before.Status, a.Status) {
		return nil
	}
	return client.IgnoreNotFound(r.Client.Status().Patch(ctx, a, client.MergeFrom(before), client.FieldOwner(FieldManager)))
}

// The longest lists and texts that the API takes.
const (
	maxSigners       = 32
	maxSubjects      = 16
	maxSubject       = 200
	maxMessage       = 1024
	maxPredicateType = 300
)

// status says of a statement what every policy makes of it, and what it waits for.
func (r *Reconciler) status(a *v1alpha1.Attestation, policies []v1alpha1.ScalingPolicy, waits string) v1alpha1.AttestationStatus {
	status := v1alpha1.AttestationStatus{ObservedGeneration: a.Generation, Conditions: slices.Clone(a.Status.Conditions)}
	ready := metav1.Condition{Type: v1alpha1.ConditionReady, Status: metav1.ConditionFalse, ObservedGeneration: a.Generation, Reason: v1alpha1.ReasonUntrusted}
	var refused, malformed []string
	untrusted := map[string][]string{}
	for i := range max(len(policies), 1) {
		trust, name := nobody, "(there is none)"
		if i < len(policies) {
			name = policies[i].Name
			trust, _ = r.Store.Trust(&policies[i])
		}
		for _, found := range r.Store.Attested(a, trust) {
			switch {
			case found.Statement != nil:
				accepted, why := signers(trust, found.Statement)
				for _, signer := range accepted {
					status.Signers = append(status.Signers, name+"/"+signer)
				}
				refused = append(refused, why...)
				describe(&status, found.Statement)
			case errors.Is(found.Err, evidence.ErrUntrusted):
				untrusted[found.Err.Error()] = append(untrusted[found.Err.Error()], name)
			case found.Unfetched || found.Fetching:
				ready.Reason, refused = v1alpha1.ReasonNotFetched, []string{unfetched(found.Err, waits)}
			default:
				ready.Reason, malformed = v1alpha1.ReasonMalformed, append(malformed, strings.TrimPrefix(found.Name+": ", client.ObjectKeyFromObject(a).String()+": ")+found.Err.Error())
			}
		}
	}
	if d := r.Store.download(a); a.Spec.Referrers != nil && !d.never(a) {
		if len(d.found) == 0 {
			ready.Reason, refused = v1alpha1.ReasonNoneFound, []string{"nothing of this type refers to the subject"}
		}
		if d.err != nil || waits != "" {
			refused = append(refused, "it could not be looked up again: "+unfetched(d.err, waits))
		}
	}
	// The fewest policies first: those know the signer, and say what is wrong.
	for _, why := range slices.SortedFunc(maps.Keys(untrusted), func(a, b string) int {
		return cmp.Or(cmp.Compare(len(untrusted[a]), len(untrusted[b])), cmp.Compare(a, b))
	}) {
		refused = append(refused, fmt.Sprintf("policy %s: %s", strings.Join(slices.Compact(untrusted[why]), ", "), why))
	}
	status.Signers = slices.Compact(slices.Sorted(slices.Values(status.Signers)))
	malformed = slices.Compact(slices.Sorted(slices.Values(malformed)))
	ready.Message = strings.Join(slices.Compact(append(refused, malformed...)), "; ")
	if len(status.Signers) > 0 {
		ready.Status, ready.Reason, ready.Message = metav1.ConditionTrue, v1alpha1.ReasonVerified, "signed by "+strings.Join(status.Signers, ", ")
		if len(malformed) > 0 {
			ready.Message += "; not all of it counts: " + strings.Join(malformed, "; ")
		}
		if status.Time != nil && status.Time.After(r.Clock.Now()) {
			ready.Message += fmt.Sprintf("; it is dated %s and does not count before", status.Time.UTC().Format(time.RFC3339))
		}
	}
	status.Signers = status.Signers[:min(len(status.Signers), maxSigners)]
	ready.Message = decision.OneLine(ready.Message, maxMessage)
	meta.SetStatusCondition(&status.Conditions, ready)
	return status
}

// unfetched says why something was not fetched, and what it waits for.
func unfetched(err error, waits string) string {
	switch {
	case waits != "" && err != nil:
		return fmt.Sprintf("%s; before that: %v", waits, err)
	case err != nil:
		return err.Error()
	}
	return cmp.Or(waits, "it is being fetched")
}

// nobody is whom no policy trusts.
var nobody, _ = evidence.ParseTrust(nil)

// signers gives those whose signatures a statement bears and count, and why others do not.
func signers(trust *evidence.Trust, s *evidence.Statement) (accepted, refused []string) {
	for _, signature := range s.Signatures {
		for _, signer := range trust.Bearers(signature) {
			ok, why := trust.Accepts(signer, signature)
			if ok {
				accepted = append(accepted, signer)
			} else if why != nil {
				refused = append(refused, why.Error())
			}
		}
	}
	return accepted, refused
}

func describe(status *v1alpha1.AttestationStatus, s *evidence.Statement) {
	if status.Time != nil && s.Time.Before(status.Time.Time) {
		return
	}
	status.PredicateType, status.Time = decision.OneLine(s.PredicateType, maxPredicateType), nil
	if !s.Undated() {
		status.Time = &metav1.Time{Time: s.Time.Truncate(time.Second)}
	}
	status.Subjects = nil
	for _, subject := range s.Subjects[:min(len(s.Subjects), maxSubjects)] {
		status.Subjects = append(status.Subjects, decision.OneLine(subject, maxSubject))
	}
}
