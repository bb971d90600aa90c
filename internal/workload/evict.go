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

// forcedGraceSeconds is the longest that a pod which is deleted by force may take to end, so that a long grace period
// is no way to go on serving.
const forcedGraceSeconds = 30

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
// waits for no budget, and for nothing that one refused. The error tells what is no budget's doing.
func (v *Evictor) Evict(ctx context.Context, c client.Client, now time.Time, pods []*corev1.Pod, measures decision.Measures) (Eviction, error) {
	if !measures.Evict && !measures.Force || len(pods) == 0 {
		return Eviction{}, nil
	}
	e := Eviction{Next: now.Add(retryEviction)}
	var obstacles []string
	var errs []error
	for _, pod := range v.refusals.inTurn(pods) {
		if pod.DeletionTimestamp != nil && !lingers(pod, measures) {
			continue
		}
		count, take := &e.Evicted, evict
		if measures.Force {
			count, take = &e.Deleted, forceOut
		} else if known, rests := v.refusals.resting(pod, now); rests {
			obstacles, e.Next = append(obstacles, known.String()), decision.Sooner(e.Next, known.at.Add(retryEviction))
			continue
		}
		err := take(ctx, c, pod)
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

// lingers says whether a pod that is on its way out takes longer than force allows.
func lingers(pod *corev1.Pod, measures decision.Measures) bool {
	return measures.Force && ptr.Deref(pod.DeletionGracePeriodSeconds, 0) > forcedGraceSeconds
}

func evict(ctx context.Context, c client.Client, pod *corev1.Pod) error {
	log.FromContext(ctx).Info("Evicting pod", "pod", client.ObjectKeyFromObject(pod))
	err := c.SubResource("eviction").Create(ctx, pod, &policyv1.Eviction{
		ObjectMeta:    metav1.ObjectMeta{Namespace: pod.Namespace, Name: pod.Name},
		DeleteOptions: &metav1.DeleteOptions{Preconditions: metav1.NewUIDPreconditions(string(pod.UID))},
	})
	return ignoreGone(err)
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

func forceOut(ctx context.Context, c client.Client, pod *corev1.Pod) error {
	log.FromContext(ctx).Info("Deleting pod by force of the policy's deadline", "pod", client.ObjectKeyFromObject(pod))
	grace := min(ptr.Deref(pod.Spec.TerminationGracePeriodSeconds, forcedGraceSeconds), forcedGraceSeconds)
	return ignoreGone(c.Delete(ctx, pod, client.GracePeriodSeconds(grace), client.Preconditions{UID: &pod.UID}))
}

// ignoreGone takes a pod that is gone, or whose name another pod has by now, for done. Whoever is wrong about that finds
// out at the next attempt.
func ignoreGone(err error) error {
	if apierrors.IsNotFound(err) || apierrors.IsConflict(err) {
		return nil
	}
	return err
}
