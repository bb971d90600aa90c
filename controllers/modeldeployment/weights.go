package modeldeployment

import (
	"context"
	"slices"
	"time"

	"k8s.io/apimachinery/pkg/types"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/interlock-dev/interlock/api/v1alpha1"
	"github.com/interlock-dev/interlock/internal/decision"
	"github.com/interlock-dev/interlock/internal/safeguard"
	"github.com/interlock-dev/interlock/internal/workload"
)

// weights gives what the model declares of its weights, in order, if a Safeguard that holds it under a verdict looks at that
// in pods.
func (g *gathered) weights(v decision.Verdict) []string {
	if !slices.ContainsFunc(v.Rules(), func(name string) bool { return g.readsWeights[name] }) {
		return nil
	}
	return slices.Sorted(slices.Values(g.model.Spec.Model.Sources))
}

// weightsNamed finds what workloads of the model name weights by, if a policy asks for that.
func (r *Reconciler) weightsNamed(ctx context.Context, now time.Time, g *gathered) error {
	asked := slices.ContainsFunc(g.safeguards, func(sg v1alpha1.Safeguard) bool {
		return sg.Spec.Resource != nil && sg.Spec.Resource.Weights != nil &&
			slices.ContainsFunc(g.enrolment, func(e enrolment) bool { return e.policy != nil && slices.Contains(decision.Named(e.policy), sg.Name) })
	})
	if !asked {
		return nil
	}
	stopped, err := r.Workloads.WeightsOfStopped(ctx, client.ObjectKeyFromObject(g.model))
	if err != nil {
		return err
	}
	g.around.Named = map[types.UID][]safeguard.Named{"": namedBy(stopped)}
	for _, pod := range g.pods {
		named, err := r.Workloads.Weights(ctx, pod)
		if err != nil {
			return err
		}
		g.around.Named[pod.UID] = namedBy(named)
	}
	if len(g.pods)+len(stopped) > 0 {
		g.lookAgain = decision.Sooner(g.lookAgain, now.Add(lookAtOwners))
	}
	return nil
}

func namedBy(workloads []workload.Named) []safeguard.Named {
	all := make([]safeguard.Named, len(workloads))
	for i, n := range workloads {
		all[i] = safeguard.Named(n)
	}
	return all
}
