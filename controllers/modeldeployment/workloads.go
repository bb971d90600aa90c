package modeldeployment

import (
	"context"
	"errors"

	"github.com/interlock-dev/interlock/api/v1alpha1"
	"github.com/interlock-dev/interlock/internal/decision"
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

// stop stops the workloads that own pods of the model, once the measures ask for it. Those that were stopped before are
// left alone.
func (r *Reconciler) stop(ctx context.Context, p *pass, measures decision.Measures) error {
	if !measures.Stop {
		return nil
	}
	isDefault := p.Namespace.Labels[v1alpha1.ModelLabel] == p.Model.Name
	var errs []error
	for i := range p.workloads {
		w := &p.workloads[i]
		for _, target := range w.Targets {
			refused, err := r.Workloads.Stop(ctx, target, p.Model.Name, isDefault)
			if refused != "" {
				w.CannotStop = refused
			}
			errs = append(errs, err)
		}
	}
	p.stopDue = true
	return errors.Join(errs...)
}
