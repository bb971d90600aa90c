package workload

import (
	"cmp"
	"context"
	"errors"
	"slices"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/types"

	"github.com/interlock-dev/interlock/api/v1alpha1"
	"github.com/interlock-dev/interlock/internal/decision"
)

// The most workloads, and the longest text of one, that the API takes.
const (
	maxWorkloads = 64
	maxMessage   = 300
)

// Describe lists workloads that own pods of a model, and those that were stopped for it. Stopping says that they are to be
// stopped, and running which pods are past the gate.
func (w *Workloads) Describe(
	ctx context.Context, model types.NamespacedName, found []Workload, stopping bool, running func(*corev1.Pod) bool,
) ([]v1alpha1.Workload, error) {
	stopped := map[Ref]v1alpha1.WorkloadState{}
	var errs []error
	for _, ref := range w.StoppedFor(model) {
		state, err := w.Look(ctx, ref)
		errs = append(errs, err)
		if state != "" {
			stopped[ref] = state
		}
	}
	all := make([]v1alpha1.Workload, 0, len(found)+len(stopped))
	for i := range found {
		one := &found[i]
		state, message := stopped[one.Ref], ""
		switch {
		case state != "":
		case stopping && one.CannotStop != "":
			state, message = v1alpha1.WorkloadCannotBeStopped, one.CannotStop
		case slices.ContainsFunc(one.Pods, running):
			state = v1alpha1.WorkloadRunning
		default:
			state = v1alpha1.WorkloadHeld
		}
		all = append(all, describe(one.Ref, state, len(one.Pods), message))
		for _, target := range one.Targets {
			delete(stopped, target)
		}
	}
	for ref, state := range stopped {
		all = append(all, describe(ref, state, 0, ""))
	}
	slices.SortFunc(all, func(a, b v1alpha1.Workload) int {
		return cmp.Or(cmp.Compare(a.Kind, b.Kind), cmp.Compare(a.Group, b.Group), cmp.Compare(a.Name, b.Name))
	})
	return all[:min(len(all), maxWorkloads)], errors.Join(errs...)
}

func describe(ref Ref, state v1alpha1.WorkloadState, pods int, message string) v1alpha1.Workload {
	if state == v1alpha1.WorkloadStartedByOthers {
		message = "it was stopped, and something else has started it since, such as an autoscaler; its new pods are held"
	}
	return v1alpha1.Workload{Group: ref.Group, Kind: ref.Kind, Name: ref.Name, State: state, Pods: int32(pods),
		Message: decision.OneLine(message, maxMessage)}
}
