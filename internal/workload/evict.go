// Package workload owns how pods are taken out of service.
//
// It acts on what it is told to and decides nothing. It must not import controllers.
package workload

import (
	"context"
	"fmt"

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

// Eviction is how taking pods out of service went.
type Eviction struct {
	// Gone counts the pods whose eviction or deletion was accepted now.
	Gone int
	// Blocked says what keeps some from being evicted; empty when nothing does.
	Blocked string
}

// Evict takes pods out of service by the measures. Each pod is named by UID, so a namesake that came since is left alone.
func Evict(ctx context.Context, c client.Client, pods []*corev1.Pod, measures decision.Measures) (Eviction, error) {
	var e Eviction
	for _, pod := range pods {
		switch {
		case pod.DeletionTimestamp != nil && !lingers(pod, measures):
			continue
		case measures.Force:
			if err := forceOut(ctx, c, pod); err != nil {
				return e, err
			}
			e.Gone++
		case measures.Evict:
			err := evict(ctx, c, pod)
			if why := blockedBy(err); why != "" {
				e.Blocked = fmt.Sprintf("pod %s: %s", pod.Name, why)
				continue
			}
			if err != nil {
				return e, err
			}
			e.Gone++
		}
	}
	return e, nil
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

// blockedBy says why an eviction must be tried again later: a budget allows none now (429), or several budgets select
// the pod, which the API server answers with an internal error.
func blockedBy(err error) string {
	if apierrors.IsTooManyRequests(err) || apierrors.IsInternalError(err) {
		return err.Error()
	}
	return ""
}

func forceOut(ctx context.Context, c client.Client, pod *corev1.Pod) error {
	log.FromContext(ctx).Info("Deleting pod by force of the policy's deadline", "pod", client.ObjectKeyFromObject(pod))
	grace := min(ptr.Deref(pod.Spec.TerminationGracePeriodSeconds, forcedGraceSeconds), forcedGraceSeconds)
	return ignoreGone(c.Delete(ctx, pod, client.GracePeriodSeconds(grace), client.Preconditions{UID: &pod.UID}))
}

// ignoreGone takes a pod that is gone, or whose name another pod has by now, for done.
func ignoreGone(err error) error {
	if apierrors.IsNotFound(err) || apierrors.IsConflict(err) {
		return nil
	}
	return err
}
