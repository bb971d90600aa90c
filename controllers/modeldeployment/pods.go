package modeldeployment

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/log"

	"github.com/interlock-dev/interlock/api/v1alpha1"
	"github.com/interlock-dev/interlock/controllers/metrics"
)

// release takes our gate from held pods, and leaves the gates of others. While gated a pod could be changed, so the very
// version that was judged is named as a precondition: one that has changed since is judged again.
func (r *Reconciler) release(ctx context.Context, held []*corev1.Pod) error {
	var errs []error
	for _, pod := range held {
		if pod.DeletionTimestamp != nil {
			continue
		}
		err := r.releasePod(ctx, pod)
		switch {
		case err == nil:
			metrics.GatesReleased.Inc()
		case apierrors.IsNotFound(err), apierrors.IsConflict(err):
		default:
			errs = append(errs, fmt.Errorf("release pod %s: %w", pod.Name, err))
		}
	}
	return errors.Join(errs...)
}

func (r *Reconciler) releasePod(ctx context.Context, pod *corev1.Pod) error {
	patch, err := json.Marshal(map[string]any{
		"metadata": map[string]any{"uid": pod.UID, "resourceVersion": pod.ResourceVersion},
		"spec":     map[string]any{"schedulingGates": []map[string]any{{"$patch": "delete", "name": v1alpha1.ClearanceGate}}},
	})
	if err != nil {
		return err
	}
	log.FromContext(ctx).V(1).Info("Releasing pod", "pod", client.ObjectKeyFromObject(pod))
	target := &corev1.Pod{ObjectMeta: metav1.ObjectMeta{Namespace: pod.Namespace, Name: pod.Name}}
	return r.Client.Patch(ctx, target, client.RawPatch(types.StrategicMergePatchType, patch), client.FieldOwner(FieldManager))
}
