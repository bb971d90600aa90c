// Package workload owns how pods are taken out of service.
//
// It acts on what it is told to and decides nothing. It must not import controllers.
package workload

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"slices"
	"strings"
	"time"

	corev1 "k8s.io/api/core/v1"
	policyv1 "k8s.io/api/policy/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/utils/ptr"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/log"

	"github.com/interlock-dev/interlock/internal/decision"
)

const (
	// forcedGrace is how long a pod may take to end once the policy's deadline has come, counted from when it was told to.
	forcedGrace = 30 * time.Second
	// longestGrace is how long one may take that is evicted, where the policy names no deadline or a later one. What a pod
	// asks for itself counts if it is less: a long grace period is no way to go on serving.
	longestGrace = 5 * time.Minute
)

// maxObstacle is the longest that is said of what keeps pods from going.
const maxObstacle = 1024

// Eviction is how taking pods out of service went.
type Eviction struct {
	// Evicted, Deleted, Blocked and Failed count the attempts by what came of them.
	Evicted, Deleted, Blocked, Failed int
	// Obstacle says in one line what keeps pods from going; empty when nothing does.
	Obstacle string
	// Next is when to try again; zero, there is nothing to try.
	Next time.Time
}

// Evictor takes pods out of service. The zero value is ready.
type Evictor struct{ refusals refusals }

// Evict takes pods out of service by the measures. Each pod is named by UID, so a namesake that came since is left alone.
// What one pod meets with keeps no other from going, except that those wait which the same budget protects. A deadline
// waits for no budget, and for nothing that one refused. One that is on its way out already is hurried if it takes longer than
// it may. The error tells what is no budget's doing.
func (v *Evictor) Evict(ctx context.Context, c client.Client, now time.Time, pods []*corev1.Pod, measures decision.Measures) (Eviction, error) {
	if !measures.Evict && !measures.Force || len(pods) == 0 {
		return Eviction{}, nil
	}
	e := Eviction{Next: now.Add(retryEviction)}
	var obstacles []string
	var errs []error
	for _, pod := range v.refusals.inTurn(pods) {
		end := endOf(pod, measures, now)
		count, take := &e.Evicted, evict
		switch {
		case ended(pod):
			obstacles = append(obstacles, outlasts(pod))
			continue
		case pod.DeletionTimestamp != nil && now.Before(end) && !pod.DeletionTimestamp.After(end):
			e.Next = decision.Sooner(e.Next, end)
			continue
		case pod.DeletionTimestamp != nil || measures.Force:
			count, take = &e.Deleted, hurry
		default:
			if known, rests := v.refusals.resting(pod, now); rests {
				obstacles, e.Next = append(obstacles, known.String()), decision.Sooner(e.Next, known.at.Add(retryEviction))
				continue
			}
		}
		err := take(ctx, c, pod, graceUntil(pod, end, now))
		switch {
		case err == nil:
		case blocked(err):
			count = &e.Blocked
			obstacles = append(obstacles, v.refusals.note(pod, pods, wording(err), now).String())
		default:
			count = &e.Failed
			obstacles = append(obstacles, fmt.Sprintf("pod %s: %s", pod.Name, wording(err)))
			errs = append(errs, fmt.Errorf("take out pod %s: %w", pod.Name, err))
		}
		*count++
	}
	if len(obstacles) > 0 {
		// Always the same one, whatever came first.
		e.Obstacle = decision.OneLine(fmt.Sprintf("%d of %d pods, such as %s", len(obstacles), len(pods), slices.Min(obstacles)), maxObstacle)
	}
	return e, errors.Join(errs...)
}

// told is when a pod was told to end: now, if it has not been.
func told(pod *corev1.Pod, now time.Time) time.Time {
	if pod.DeletionTimestamp == nil {
		return now
	}
	return pod.DeletionTimestamp.Add(-time.Duration(ptr.Deref(pod.DeletionGracePeriodSeconds, 0)) * time.Second)
}

// endOf is until when a pod that is taken out may run on.
func endOf(pod *corev1.Pod, measures decision.Measures, now time.Time) time.Time {
	since := told(pod, now)
	if measures.Force {
		end := since.Add(forcedGrace)
		if pod.DeletionTimestamp != nil {
			end = decision.Sooner(end, pod.DeletionTimestamp.Time)
		}
		return end
	}
	return decision.Sooner(since.Add(longestGrace), measures.ForceAt)
}

// graceUntil gives the seconds, from when a pod is told to end, that it may take to be gone by a time: as many as it asks for
// itself, if these are less. None are left if that time has passed.
func graceUntil(pod *corev1.Pod, end, now time.Time) int64 {
	if !now.Before(end) {
		return 0
	}
	own := ptr.Deref(pod.Spec.TerminationGracePeriodSeconds, int64(forcedGrace/time.Second))
	return max(min(own, int64(end.Sub(told(pod, now))/time.Second)), 1)
}

// ended says whether a pod was told to end at once: there is nothing more to do about it.
func ended(pod *corev1.Pod) bool {
	return pod.DeletionTimestamp != nil && ptr.Deref(pod.DeletionGracePeriodSeconds, 0) == 0
}

// outlasts says why a pod that was told to end at once may still be there.
func outlasts(pod *corev1.Pod) string {
	if len(pod.Finalizers) > 0 {
		return fmt.Sprintf("pod %s: it was deleted without grace, and its finalizers keep the object: %s", pod.Name, strings.Join(pod.Finalizers, ", "))
	}
	return fmt.Sprintf("pod %s: it was deleted without grace, and its node %s has not said that it is gone", pod.Name, pod.Spec.NodeName)
}

func evict(ctx context.Context, c client.Client, pod *corev1.Pod, grace int64) error {
	log.FromContext(ctx).Info("Evicting pod", "pod", client.ObjectKeyFromObject(pod), "grace", grace)
	err := c.SubResource("eviction").Create(ctx, pod, &policyv1.Eviction{
		ObjectMeta:    metav1.ObjectMeta{Namespace: pod.Namespace, Name: pod.Name},
		DeleteOptions: &metav1.DeleteOptions{Preconditions: metav1.NewUIDPreconditions(string(pod.UID)), GracePeriodSeconds: &grace},
	})
	return ignoreGone(err)
}

// hurry deletes a pod past any budget, which keeps none that is on its way out already.
func hurry(ctx context.Context, c client.Client, pod *corev1.Pod, grace int64) error {
	log.FromContext(ctx).Info("Deleting pod by force of the policy's deadline", "pod", client.ObjectKeyFromObject(pod), "grace", grace)
	return ignoreGone(c.Delete(ctx, pod, client.GracePeriodSeconds(grace), client.Preconditions{UID: &pod.UID}))
}

// blocked says whether an eviction must wait for somebody else: a budget allows none now (429), or several budgets select
// the pod, which the API server answers with code 500 and no reason.
func blocked(err error) bool {
	status, ok := errors.AsType[*apierrors.StatusError](err)
	return apierrors.IsTooManyRequests(err) || ok && status.ErrStatus.Code == http.StatusInternalServerError
}

// wording gives what the API server says, and what it says of the causes, such as which budget it was.
func wording(err error) string {
	status, ok := errors.AsType[*apierrors.StatusError](err)
	if !ok || status.ErrStatus.Details == nil {
		return err.Error()
	}
	words := []string{err.Error()}
	for _, cause := range status.ErrStatus.Details.Causes {
		words = append(words, cause.Message)
	}
	return strings.Join(words, " ")
}

// ignoreGone takes a pod that is gone, or whose name another pod has by now, for done. Whoever is wrong about that finds
// out at the next attempt.
func ignoreGone(err error) error {
	if apierrors.IsNotFound(err) || apierrors.IsConflict(err) {
		return nil
	}
	return err
}
