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
	"k8s.io/client-go/tools/events"
	"k8s.io/utils/clock"
	ctrl "sigs.k8s.io/controller-runtime"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/interlock-dev/interlock/api/v1alpha1"
	"github.com/interlock-dev/interlock/controllers/metrics"
	"github.com/interlock-dev/interlock/internal/admission"
	"github.com/interlock-dev/interlock/internal/decision"
	"github.com/interlock-dev/interlock/internal/safeguard"
	"github.com/interlock-dev/interlock/internal/workload"
)

// SinceAnnotation on the clearances is since when there are strays in its namespace, from which the steps count. Only the
// operator can write it, as all of these. It also tells that people have been told.
const SinceAnnotation = "interlock.dev/strays-since"

const (
	// recount is how long until strays that still run are counted again, and how long after its enrolment a namespace is
	// looked at again: a pod may have been on its way in.
	recount = time.Minute
	// inventory is how long until a namespace without strays is looked at again, should one have slipped through.
	inventory = 10 * time.Minute
	// catchUp is how long to wait for a cache that is behind.
	catchUp = 100 * time.Millisecond
)

// Reconciler takes strays out of service, by steps that count from when they were first seen. What names no model is at
// least what every model is, so the steps are those of the baseline level. What names one that is not declared may be
// anything, and had its declaration taken back, perhaps, to escape the steps of its level: the strictest of all levels
// apply.
type Reconciler struct {
	Client client.Client
	// Live reads past the cache, which holds only pods that name a model, and may not know a new ModelDeployment yet.
	Live   client.Reader
	Clock  clock.PassiveClock
	Events events.EventRecorder

	evictor workload.Evictor
}

// +kubebuilder:rbac:groups=interlock.dev,resources=modeldeployments,verbs=get;list;watch

// Reconcile counts the strays of one namespace and takes the step that is due.
func (r *Reconciler) Reconcile(ctx context.Context, req ctrl.Request) (ctrl.Result, error) {
	clearances := &corev1.ConfigMap{}
	if err := r.Client.Get(ctx, req.NamespacedName, clearances); err != nil {
		return ctrl.Result{}, client.IgnoreNotFound(err)
	}
	now := r.Clock.Now()
	found, err := r.strays(ctx, clearances)
	if err != nil {
		return ctrl.Result{}, err
	}
	since, err := r.note(ctx, clearances, found, now)
	switch {
	case apierrors.IsConflict(err):
		return ctrl.Result{RequeueAfter: catchUp}, nil
	case err != nil:
		return ctrl.Result{}, err
	case found.count() > 0:
		return r.act(ctx, clearances, found, since, now)
	case now.Sub(clearances.CreationTimestamp.Time) < recount:
		return ctrl.Result{RequeueAfter: recount}, nil
	}
	return ctrl.Result{RequeueAfter: inventory}, nil
}

// act takes the steps that are due. Without a policy none is: the strays stay until somebody says what is to be done.
func (r *Reconciler) act(ctx context.Context, clearances *corev1.ConfigMap, found strays, since, now time.Time) (ctrl.Result, error) {
	policy := &v1alpha1.ScalingPolicy{}
	if err := r.Client.Get(ctx, client.ObjectKey{Name: admission.PolicyOf(clearances.Data)}, policy); err != nil {
		if apierrors.IsNotFound(err) {
			return ctrl.Result{RequeueAfter: recount}, nil
		}
		return ctrl.Result{}, err
	}
	wait := recount
	var errs []error
	for _, s := range []struct {
		pods     []*corev1.Pod
		measures decision.Measures
	}{
		{found.nameless, decision.OnShortfall(policy, since, now)},
		{found.undeclared, strictest(policy, since, now)},
	} {
		if len(s.pods) == 0 {
			continue
		}
		// No model names these pods, or what made them, so there is nothing else to isolate or stop.
		s.measures.Evict = s.measures.Evict || s.measures.Isolate || s.measures.Stop
		eviction, err := r.evictor.Evict(ctx, r.Client, now, s.pods, s.measures)
		metrics.Evicted(eviction)
		errs = append(errs, err)
		if next := decision.Sooner(s.measures.Next, eviction.Next); !next.IsZero() {
			wait = min(wait, max(next.Sub(now), time.Millisecond))
		}
	}
	return ctrl.Result{RequeueAfter: wait}, errors.Join(errs...)
}

// strictest gives the measures that any level takes.
func strictest(policy *v1alpha1.ScalingPolicy, since, now time.Time) decision.Measures {
	var all decision.Measures
	for _, level := range policy.Spec.Levels {
		all = all.And(decision.OnShortfall(policy, since, now, level.Name))
	}
	return all
}

// note keeps on the clearances since when there are strays, and tells people when that begins and ends.
func (r *Reconciler) note(ctx context.Context, clearances *corev1.ConfigMap, found strays, now time.Time) (time.Time, error) {
	noted, known := clearances.Annotations[SinceAnnotation]
	since, err := time.Parse(time.RFC3339, noted)
	some := found.count() > 0
	switch {
	case !some && !known, some && err == nil && !since.After(now):
		return since, nil
	case !some:
		delete(clearances.Annotations, SinceAnnotation)
	default:
		since = now.UTC().Truncate(time.Second)
		if clearances.Annotations == nil {
			clearances.Annotations = map[string]string{}
		}
		clearances.Annotations[SinceAnnotation] = since.Format(time.RFC3339)
	}
	if err := r.Client.Update(ctx, clearances, client.FieldOwner(FieldManager)); err != nil {
		return since, err
	}
	if some {
		r.Events.Eventf(clearances, nil, corev1.EventTypeWarning, "StrayPods", "Inventory", "%s; policy %s says what becomes of them",
			found, admission.PolicyOf(clearances.Data))
	} else {
		r.Events.Eventf(clearances, nil, corev1.EventTypeNormal, "StrayPodsGone", "Inventory",
			"every pod that runs here belongs to a declared model, or need not")
	}
	return since, nil
}

// strays are pods in service that no declared model answers for.
type strays struct {
	// nameless pods name no model though they should. An empty name is none.
	nameless []*corev1.Pod
	// undeclared pods name one that does not exist.
	undeclared []*corev1.Pod
}

func (s strays) count() int { return len(s.nameless) + len(s.undeclared) }

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

func (r *Reconciler) strays(ctx context.Context, clearances *corev1.ConfigMap) (strays, error) {
	unlabelled, labelled := &corev1.PodList{}, &corev1.PodList{}
	here := client.InNamespace(clearances.Namespace)
	if err := errors.Join(
		r.Live.List(ctx, unlabelled, here, client.MatchingLabelsSelector{Selector: unlabelledSelector}),
		r.Client.List(ctx, labelled, here, client.UnsafeDisableDeepCopy)); err != nil {
		return strays{}, fmt.Errorf("list pods: %w", err)
	}
	var found strays
	declared := map[string]bool{}
	for _, list := range [][]corev1.Pod{unlabelled.Items, labelled.Items} {
		for i := range list {
			pod := &list[i]
			model := pod.Labels[v1alpha1.ModelLabel]
			switch {
			case !safeguard.Living(pod) || safeguard.Held(pod):
				continue
			case model == "":
				if admission.Covered(pod, admission.CoverageOf(clearances.Data)) {
					found.nameless = append(found.nameless, pod)
				}
				continue
			}
			if _, asked := declared[model]; !asked {
				var err error
				if declared[model], err = r.declared(ctx, pod.Namespace, model); err != nil {
					return strays{}, err
				}
			}
			if !declared[model] {
				found.undeclared = append(found.undeclared, pod)
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
