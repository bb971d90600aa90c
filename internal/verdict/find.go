package verdict

import (
	"fmt"
	"slices"
	"time"

	"k8s.io/apimachinery/pkg/labels"

	"github.com/interlock-dev/interlock/api/v1alpha1"
	"github.com/interlock-dev/interlock/internal/admission"
	"github.com/interlock-dev/interlock/internal/decision"
	"github.com/interlock-dev/interlock/internal/safeguard"
)

// findings are what was found of the Safeguards that a policy asks for.
type findings struct {
	byName map[string]decision.Finding
	// inspection is that of the pods, by the Safeguards that can be used.
	inspection safeguard.Inspection
	// unfetched are the Safeguards that might be shown by what lies in a registry and has not been fetched yet.
	unfetched map[string]bool
	// openings are the labels that would undo a safeguard.
	openings []string
	// revisit is when the findings change though nothing else does. Zero means never.
	revisit time.Time
}

// find judges the pods, and the evidence, by the Safeguards that a policy asks for.
func find(s *Snapshot, c compiled, e *Enrolment, in decision.Input, around safeguard.Surroundings, cleared bool) findings {
	var inspectable, attestable []*safeguard.Compiled
	asked := decision.AskedOf(in)
	for _, name := range asked.Required {
		sg, ok := c.usable[name]
		if ok && (slices.Contains(asked.Reported, name) || slices.Contains(asked.Waived, name)) {
			sg = sg.OnlyReported()
		}
		switch {
		case ok && sg.Attestable():
			attestable = append(attestable, sg)
		case ok:
			inspectable = append(inspectable, sg)
		}
	}
	around.Exempt = asked.Exempt
	f := findings{inspection: safeguard.Inspect(s.Key(), inspectable, s.Pods, around)}
	f.byName, f.revisit = f.inspection.Findings, f.inspection.Revisit
	f.closeOpenings(s, inspectable, asked, around)
	f.unusable(c, asked.Required)
	f.attest(s, e, attestable, cleared)
	f.conflicts(c, asked.Required)
	return f
}

// unusable takes Safeguards for unknown that cannot be used.
func (f *findings) unusable(c compiled, required []string) {
	for _, name := range required {
		if why, ok := c.unusable[name]; ok {
			f.byName[name] = decision.Finding{
				State: v1alpha1.SafeguardUnknown, Message: "the Safeguard cannot be used: " + why, Remedy: "have the Safeguard corrected"}
		}
	}
}

// conflicts takes Safeguards for unknown whose adjustments contradict each other.
func (f *findings) conflicts(c compiled, required []string) {
	for _, conflict := range admission.Conflicts(c.given(required)) {
		for _, name := range []string{conflict.One, conflict.Other} {
			f.byName[name] = decision.Finding{
				State: v1alpha1.SafeguardUnknown, Message: conflict.String(), Remedy: "have the adjustments of the Safeguards agree"}
		}
	}
}

// attest judges the Safeguards that rest on evidence.
func (f *findings) attest(s *Snapshot, e *Enrolment, attestable []*safeguard.Compiled, cleared bool) {
	if len(attestable) == 0 {
		return
	}
	in := safeguard.Case{
		Now: s.Now, Policy: e.PolicyName, Trust: e.Trust, Weights: s.Model.Spec.Model.Digest,
		Environment: s.Environment, Standing: cleared, Attested: e.Attested}
	f.unfetched = map[string]bool{}
	for _, sg := range attestable {
		found := sg.Attest(in)
		f.byName[sg.Name], f.unfetched[sg.Name] = found.Finding, found.Unfetched
		f.revisit = decision.Sooner(f.revisit, found.Next)
	}
}

// lacksOnlyUnfetched says whether nothing holds the model but evidence that has not been fetched since this process began.
func (f *findings) lacksOnlyUnfetched(v decision.Verdict) bool {
	if v.Reason != v1alpha1.ReasonSafeguardsMissing {
		return false
	}
	holding := v.Rules()
	return !slices.ContainsFunc(v.Safeguards, func(sg v1alpha1.SafeguardResult) bool {
		return sg.State != v1alpha1.SafeguardSatisfied && slices.Contains(holding, sg.Name) && !f.unfetched[sg.Name]
	})
}

// closeOpenings notes the labels that would open the pods of a model, for the API server to refuse them. If they are too many
// for that, the safeguards that they would undo are not in place, as anybody who edits pods could undo them.
func (f *findings) closeOpenings(s *Snapshot, safeguards []*safeguard.Compiled, asked decision.Asked, around safeguard.Surroundings) {
	var all []labels.Requirements
	var open []string
	for _, sg := range safeguards {
		if !asked.Holds(sg.Name) {
			continue
		}
		openings := sg.Openings(s.Key(), around)
		if len(openings) > 0 {
			open = append(open, sg.Name)
		}
		for _, o := range openings {
			all = append(all, o.Labels)
		}
	}
	var fits bool
	if f.openings, fits = admission.Openings(all); fits {
		return
	}
	f.openings = nil
	for _, name := range open {
		f.byName[name] = decision.Finding{State: v1alpha1.SafeguardMissing, Strength: v1alpha1.StrengthObserved,
			Message: fmt.Sprintf("%d NetworkPolicies of the namespace would open the pods if these came to bear their labels, "+
				"which are too many for the API server to refuse", len(all)),
			Remedy: "serve the model from a namespace with fewer NetworkPolicies, or have these select fewer labels"}
	}
}
