package modeldeployment

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/log"

	"github.com/interlock-dev/interlock/api/v1alpha1"
	"github.com/interlock-dev/interlock/controllers/verdicts"
	"github.com/interlock-dev/interlock/internal/admission"
)

// replaceAfter is how old a held pod must be for it to be replaced. The API servers know of an adjustment by then; where
// they do not, since something is wrong, a pod is replaced this often and not oftener.
const replaceAfter = 5 * time.Second

// replaceHeld takes away held pods that came before the adjustments of their model, which can be made at creation alone:
// a workload that was applied before its ModelDeployment would wait at the gate for ever. They serve nobody, so no budget
// counts, and what controls them makes others. It returns when to look again. A pod that nothing controls stays.
func (r *Reconciler) replaceHeld(ctx context.Context, now time.Time, g *gathered, enforced verdicts.Judgement) (next time.Time, err error) {
	early := slices.DeleteFunc(g.held(), func(p *corev1.Pod) bool {
		return p.DeletionTimestamp != nil || metav1.GetControllerOf(p) == nil || admission.Adjusted(p, enforced.Adjustments)
	})
	if len(early) == 0 {
		return time.Time{}, nil
	}
	ledger := &v1alpha1.ClearanceLedger{}
	if err := r.Client.Get(ctx, client.ObjectKey{Namespace: g.model.Namespace, Name: v1alpha1.LedgerName}, ledger); err != nil {
		return time.Time{}, client.IgnoreNotFound(err)
	}
	if !slices.Equal(admission.FindAdjustments(ledger.Spec.Adjustments, g.model.Name), enforced.Adjustments) {
		return now.Add(catchUp), nil
	}
	var errs []error
	for _, pod := range early {
		if due := pod.CreationTimestamp.Add(replaceAfter); due.After(now) {
			next = sooner(next, due)
			continue
		}
		log.FromContext(ctx).Info("Replacing held pod that lacks adjustments", "pod", client.ObjectKeyFromObject(pod), "adjustments", enforced.Adjustments)
		err := r.Client.Delete(ctx, pod, client.Preconditions{UID: &pod.UID, ResourceVersion: &pod.ResourceVersion})
		if err != nil && !apierrors.IsNotFound(err) && !apierrors.IsConflict(err) {
			errs = append(errs, fmt.Errorf("replace pod %s: %w", pod.Name, err))
		}
	}
	return next, errors.Join(errs...)
}
