// Package stray deals with pods that are in service though no declared model answers for them: those that ran before
// their namespace was enrolled and name no model, and those whose ModelDeployment does not exist, or does so no more. No
// new one can come: the API server refuses or holds it.
package stray

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/client-go/tools/events"
	"k8s.io/utils/clock"
	ctrl "sigs.k8s.io/controller-runtime"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/interlock-dev/interlock/api/v1alpha1"
	"github.com/interlock-dev/interlock/controllers/metrics"
	"github.com/interlock-dev/interlock/controllers/verdicts"
	"github.com/interlock-dev/interlock/internal/admission"
	"github.com/interlock-dev/interlock/internal/decision"
	"github.com/interlock-dev/interlock/internal/safeguard"
	"github.com/interlock-dev/interlock/internal/tenancy"
	"github.com/interlock-dev/interlock/internal/workload"
)

const (
	// recount is how long until strays that still run are counted again, and how long after its enrolment a namespace is
	// looked at again: a pod may have been on its way in.
	recount = time.Minute
	// inventory is how long until a namespace without strays is looked at again, should one have slipped through.
	inventory = 10 * time.Minute
	// pageSize is how many pods are read at once: each may have 1.5 MB, and take several times that when it is read.
	pageSize = 20
)

// Reconciler takes strays out of service, by steps that count from when they were first seen. What names no model is at
// least what every model is, so the steps are those of the baseline level. What names one that is not declared may be
// anything, and had its declaration taken back, perhaps, to escape the steps of its level: the strictest of all levels
// apply. The policy is the one that the label of the namespace names, so that a namespace which terminates, and has lost its
// clearances, is dealt with as any other.
type Reconciler struct {
	Client client.Client
	// Live reads past the cache, which holds only pods that name a model, and may not know a new ModelDeployment yet.
	Live client.Reader
	// Board remembers since when there are strays.
	Board *verdicts.Board
	// Install says which namespaces are never enrolled.
	Install admission.Install
	Clock   clock.PassiveClock
	Events  events.EventRecorder

	evictor workload.Evictor
}

// +kubebuilder:rbac:groups=interlock.dev,resources=modeldeployments,verbs=get;list;watch

// Reconcile counts the strays of one namespace and takes the step that is due.
func (r *Reconciler) Reconcile(ctx context.Context, req ctrl.Request) (ctrl.Result, error) {
	ns := &metav1.PartialObjectMetadata{}
	ns.SetGroupVersionKind(corev1.SchemeGroupVersion.WithKind("Namespace"))
	if err := r.Client.Get(ctx, client.ObjectKey{Name: req.Name}, ns); err != nil {
		return ctrl.Result{}, client.IgnoreNotFound(err)
	}
	name, enforced := r.Install.Enforced(ns)
	if !enforced {
		return ctrl.Result{}, nil
	}
	policy, err := r.policy(ctx, name)
	if err != nil {
		return ctrl.Result{}, err
	}
	found, err := r.strays(ctx, ns)
	if err != nil {
		return ctrl.Result{}, err
	}
	now := r.Clock.Now()
	clearances := &corev1.LimitRange{ObjectMeta: metav1.ObjectMeta{Namespace: ns.Name, Name: v1alpha1.ClearancesName}}
	switch err := r.Client.Get(ctx, client.ObjectKeyFromObject(clearances), clearances); {
	case apierrors.IsNotFound(err) && ns.DeletionTimestamp == nil:
		return ctrl.Result{}, nil // They are about to come, and before that nothing is done to pods.
	case client.IgnoreNotFound(err) != nil:
		return ctrl.Result{}, err
	}
	s := r.remember(ns, clearances, found, policy, now)
	if found.count() > 0 {
		return r.act(ctx, clearances, found, s, policy, now)
	}
	if now.Sub(clearances.CreationTimestamp.Time) < recount {
		return ctrl.Result{RequeueAfter: recount}, nil
	}
	return ctrl.Result{RequeueAfter: inventory}, nil
}

// policy gives the policy of a name; nil, there is none.
func (r *Reconciler) policy(ctx context.Context, name string) (*v1alpha1.ScalingPolicy, error) {
	policy := &v1alpha1.ScalingPolicy{}
	if name == "" { // No policy has such a name, and the client asks for none.
		return nil, nil
	}
	if err := r.Client.Get(ctx, client.ObjectKey{Name: name}, policy); err != nil {
		return nil, client.IgnoreNotFound(err)
	}
	return policy, nil
}

// act takes the steps that are due. Without a policy none is: the strays stay until somebody says what is to be done.
func (r *Reconciler) act(ctx context.Context, clearances *corev1.LimitRange, found strays, s decision.Shortfall,
	policy *v1alpha1.ScalingPolicy, now time.Time) (ctrl.Result, error) {
	wait := recount
	var errs []error
	for model, pods := range found.byModel() {
		since, levels := s.Since, []string(nil)
		if model != "" {
			// Its own shortfall may have begun before its declaration was taken back.
			known := r.Board.Shortfall(types.NamespacedName{Namespace: clearances.Namespace, Name: model}, clearances.Annotations)
			since, levels = decision.Sooner(since, known.Since), decision.EveryLevel(policy)
		}
		measures := decision.OnShortfall(policy, since, now, levels...)
		// No model names these pods, or what made them, so there is nothing else to isolate or stop.
		measures.Evict = measures.Evict || measures.Isolate || measures.Stop
		eviction, err := r.evictor.Evict(ctx, r.Client, now, pods, measures)
		metrics.Evicted(eviction)
		errs = append(errs, err)
		if next := decision.Sooner(measures.Next, eviction.Next); !next.IsZero() {
			wait = min(wait, max(next.Sub(now), time.Millisecond))
		}
	}
	return ctrl.Result{RequeueAfter: wait}, errors.Join(errs...)
}

// remember keeps on the board since when there are strays, for the clearances to keep, and tells people when that begins and
// ends. In a namespace that terminates they have been there since that began at the latest: what kept the time may be gone.
func (r *Reconciler) remember(ns *metav1.PartialObjectMetadata, clearances *corev1.LimitRange, found strays, policy *v1alpha1.ScalingPolicy,
	now time.Time) decision.Shortfall {
	key := types.NamespacedName{Namespace: ns.Name, Name: admission.Strays}
	known := r.Board.Shortfall(key, clearances.Annotations)
	s := known.Quiet(now)
	some := found.count() > 0
	if some {
		s = known
		if known.IsZero() && ns.DeletionTimestamp != nil {
			s = s.Continue(decision.Schedule{}, ns.DeletionTimestamp.Time)
		}
		s = s.Continue(decision.ScheduleOf(policy, decision.EveryLevel(policy)...), now)
	}
	r.Board.Remember(key, known, s, now)
	switch {
	case some && known.Quiet(now).IsZero() && !known.Short():
		r.Events.Eventf(clearances, nil, corev1.EventTypeWarning, "StrayPods", "Inventory", "%s; policy %s says what becomes of them",
			found, ns.Labels[v1alpha1.EnforceLabel])
	case !some && known.Short():
		r.Events.Eventf(clearances, nil, corev1.EventTypeNormal, "StrayPodsGone", "Inventory",
			"every pod that runs here belongs to a declared model, or need not")
	}
	return s
}

// strays are pods in service that no declared model answers for.
type strays struct {
	// nameless pods name no model though they should. An empty name is none.
	nameless []*corev1.Pod
	// undeclared pods name one that does not exist.
	undeclared []*corev1.Pod
}

func (s strays) count() int { return len(s.nameless) + len(s.undeclared) }

// byModel gives them by the model that they name; empty, none.
func (s strays) byModel() map[string][]*corev1.Pod {
	all := map[string][]*corev1.Pod{}
	if len(s.nameless) > 0 {
		all[""] = s.nameless
	}
	for _, pod := range s.undeclared {
		model := pod.Labels[v1alpha1.ModelLabel]
		all[model] = append(all[model], pod)
	}
	return all
}

// String tells of the strays in one line.
func (s strays) String() string {
	var parts []string
	if n := len(s.nameless); n > 0 {
		parts = append(parts, fmt.Sprintf("%d pods run here, such as %s, that name no model in the label %s", n, s.nameless[0].Name, v1alpha1.ModelLabel))
	}
	if n := len(s.undeclared); n > 0 {
		parts = append(parts, fmt.Sprintf("%d pods run here, such as %s, whose model %q no ModelDeployment declares",
			n, s.undeclared[0].Name, s.undeclared[0].Labels[v1alpha1.ModelLabel]))
	}
	return strings.Join(parts, "; ")
}

func (r *Reconciler) strays(ctx context.Context, ns *metav1.PartialObjectMetadata) (strays, error) {
	var found strays
	var err error
	if found.nameless, err = r.nameless(ctx, ns); err != nil {
		return strays{}, fmt.Errorf("list pods: %w", err)
	}
	labelled := &corev1.PodList{}
	if err := r.Client.List(ctx, labelled, client.InNamespace(ns.Name), client.UnsafeDisableDeepCopy); err != nil {
		return strays{}, fmt.Errorf("list pods: %w", err)
	}
	declared := map[string]bool{}
	for i := range labelled.Items {
		pod := &labelled.Items[i]
		model := pod.Labels[v1alpha1.ModelLabel]
		if !inService(pod) || model == "" { // the nameless are found by what the cache may not have
			continue
		}
		if _, asked := declared[model]; !asked {
			if declared[model], err = r.declared(ctx, pod.Namespace, model); err != nil {
				return strays{}, err
			}
		}
		if !declared[model] {
			found.undeclared = append(found.undeclared, pod)
		}
	}
	return found, nil
}

func inService(pod *corev1.Pod) bool { return safeguard.Living(pod) && !safeguard.Held(pod) }

// nameless finds the pods that name no model though they must. They may be many and large, so they are read page by page, and of
// each only a stub is kept.
func (r *Reconciler) nameless(ctx context.Context, ns *metav1.PartialObjectMetadata) ([]*corev1.Pod, error) {
	var found []*corev1.Pod
	for _, selector := range namelessSelectors {
		for page := ""; ; {
			list := &corev1.PodList{}
			if err := r.Live.List(ctx, list, client.InNamespace(ns.Name), client.MatchingLabelsSelector{Selector: selector},
				client.Limit(pageSize), client.Continue(page)); err != nil {
				return nil, err
			}
			for i := range list.Items {
				pod := &list.Items[i]
				if !inService(pod) {
					continue
				}
				if admission.Covered(pod, ns.Labels[v1alpha1.CoverageLabel]) {
					tenancy.CutPod(pod, "it is a stray")
					found = append(found, pod.DeepCopy()) // which lets go of the page
				}
			}
			if page = list.Continue; page == "" {
				break
			}
		}
	}
	return found, nil
}

// declared says whether a model exists. That it does not is asked of the API server: no pod goes because a cache is slow.
func (r *Reconciler) declared(ctx context.Context, namespace, name string) (bool, error) {
	for _, reader := range []client.Reader{r.Client, r.Live} {
		err := reader.Get(ctx, client.ObjectKey{Namespace: namespace, Name: name}, &v1alpha1.ModelDeployment{})
		if !apierrors.IsNotFound(err) {
			return err == nil, err
		}
	}
	return false, nil
}
