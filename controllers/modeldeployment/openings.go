package modeldeployment

import (
	"fmt"

	"k8s.io/apimachinery/pkg/labels"

	"github.com/interlock-dev/interlock/api/v1alpha1"
	"github.com/interlock-dev/interlock/internal/admission"
	"github.com/interlock-dev/interlock/internal/decision"
	"github.com/interlock-dev/interlock/internal/safeguard"
)

// closeOpenings notes the labels that would open the pods of a model, for the API server to refuse them. If they are too many
// for that, the safeguards that they would undo are not in place, as anybody who edits pods could undo them.
func (g *gathered) closeOpenings(safeguards []*safeguard.Compiled, asked decision.Asked, findings map[string]decision.Finding) {
	var all []labels.Requirements
	var open []string
	for _, sg := range safeguards {
		if !asked.Holds(sg.Name) {
			continue
		}
		openings := sg.Openings(g.key(), g.around)
		if len(openings) > 0 {
			open = append(open, sg.Name)
		}
		for _, o := range openings {
			all = append(all, o.Labels)
		}
	}
	var fits bool
	if g.openings, fits = admission.Openings(all); fits {
		return
	}
	g.openings = nil
	for _, name := range open {
		findings[name] = decision.Finding{State: v1alpha1.SafeguardMissing, Strength: v1alpha1.StrengthObserved,
			Message: fmt.Sprintf("%d NetworkPolicies of the namespace would open the pods if these came to bear their labels, which are too many for the API server to refuse", len(all)),
			Remedy:  "serve the model from a namespace with fewer NetworkPolicies, or have these select fewer labels"}
	}
}
