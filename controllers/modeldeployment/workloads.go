package modeldeployment

import (
	"cmp"
	"context"
	"errors"
	"slices"

	corev1 "k8s.io/api/core/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/interlock-dev/interlock/api/v1alpha1"
	"github.com/interlock-dev/interlock/internal/decision"
	"github.com/interlock-dev/interlock/internal/safeguard"
	"github.com/interlock-dev/interlock/internal/workload"
)

// The kinds of internal/workload/kinds.yaml: get, to follow the owners of pods and to look at what was stopped; list, to
// find after a restart what was stopped before it; patch, to stop and to start again, in the same request as the note of
// what to restore. Those that are never stopped are only read.
// +kubebuilder:rbac:groups="",resources=replicationcontrollers,verbs=get;list;patch
// +kubebuilder:rbac:groups="",resources=pods,verbs=get
// +kubebuilder:rbac:groups=apps,resources=deployments;statefulsets;replicasets,verbs=get;list;patch
// +kubebuilder:rbac:groups=apps,resources=daemonsets,verbs=get
// +kubebuilder:rbac:groups=batch,resources=jobs;cronjobs,verbs=get;list;patch
// +kubebuilder:rbac:groups=leaderworkerset.x-k8s.io,resources=leaderworkersets,verbs=get;list;patch
// +kubebuilder:rbac:groups=jobset.x-k8s.io,resources=jobsets,verbs=get;list;patch
// +kubebuilder:rbac:groups=serving.kserve.io,resources=inferenceservices;llminferenceservices,verbs=get;list;patch
// +kubebuilder:rbac:groups=ray.io,resources=rayclusters;rayservices;rayjobs;raycronjobs,verbs=get;list;patch
// +kubebuilder:rbac:groups=argoproj.io,resources=rollouts,verbs=get;list;patch
// +kubebuilder:rbac:groups=serving.knative.dev,resources=services;configurations;revisions,verbs=get

// maxWorkloads is the most that the API takes.
const maxWorkloads = 64

// stop stops the workloads that own pods of the model, once the measures ask for it. Those that were stopped before are
// left alone.
func (r *Reconciler) stop(ctx context.Context, g *gathered, measures decision.Measures) error {
	if !measures.Stop {
		return nil
	}
	isDefault := g.labels[v1alpha1.ModelLabel] == g.model.Name
	var errs []error
	for i := range g.workloads {
		w := &g.workloads[i]
		for _, target := range w.Targets {
			refused, err := r.Workloads.Stop(ctx, target, g.model.Name, isDefault)
			if refused != "" {
				w.CannotStop = refused
			}
			errs = append(errs, err)
		}
	}
	g.stopDue = true
	return errors.Join(errs...)
}

// describeWorkloads lists the workloads that own pods of the model, and those that were stopped for it.
func (r *Reconciler) describeWorkloads(ctx context.Context, g *gathered) ([]v1alpha1.Workload, error) {
	stopped := map[workload.Ref]v1alpha1.WorkloadState{}
	var errs []error
	for _, ref := range r.Workloads.StoppedFor(client.ObjectKeyFromObject(g.model)) {
		state, err := r.Workloads.Look(ctx, ref)
		errs = append(errs, err)
		if state != "" {
			stopped[ref] = state
		}
	}
	all := make([]v1alpha1.Workload, 0, len(g.workloads)+len(stopped))
	for i := range g.workloads {
		w := &g.workloads[i]
		state, message := stopped[w.Ref], ""
		switch {
		case state != "":
		case g.stopDue && w.CannotStop != "":
			state, message = v1alpha1.WorkloadCannotBeStopped, w.CannotStop
		case slices.ContainsFunc(w.Pods, func(p *corev1.Pod) bool { return !safeguard.Held(p) }):
			state = v1alpha1.WorkloadRunning
		default:
			state = v1alpha1.WorkloadHeld
		}
		all = append(all, describe(w.Ref, state, len(w.Pods), message))
		for _, target := range w.Targets {
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

func describe(ref workload.Ref, state v1alpha1.WorkloadState, pods int, message string) v1alpha1.Workload {
	if state == v1alpha1.WorkloadStartedByOthers {
		message = "it was stopped, and something else has started it since, such as an autoscaler; its new pods are held"
	}
	return v1alpha1.Workload{
		Group: ref.Group, Kind: ref.Kind, Name: ref.Name, State: state, Pods: int32(pods), Message: boundedTo(maxBlocked, message)}
}
