package modeldeployment

import (
	"context"
	"slices"
	"time"

	"k8s.io/apimachinery/pkg/types"

	"github.com/interlock-dev/interlock/api/v1alpha1"
	"github.com/interlock-dev/interlock/controllers/verdicts"
	"github.com/interlock-dev/interlock/internal/decision"
	"github.com/interlock-dev/interlock/internal/safeguard"
)

// attestations gives those that may be about the model, if any Safeguard asks for evidence.
func (r *Reconciler) attestations(ctx context.Context, g *gathered) ([]*v1alpha1.Attestation, error) {
	for _, compiled := range g.compiled {
		if compiled.Attestable() {
			var err error
			if g.environment, err = r.Evidence.Environment(ctx, g.model.Namespace); err != nil {
				return nil, err
			}
			return r.Evidence.About(ctx, g.model, g.environment)
		}
	}
	return nil, nil
}

// attest judges the Safeguards that rest on evidence.
func (g *gathered) attest(e enrolment, now time.Time, attestable []*safeguard.Compiled, findings map[string]decision.Finding) {
	if len(attestable) == 0 || e.policy == nil {
		return
	}
	in := g.evidence.Case(now, g.model, g.environment, e.policy, g.attestations)
	in.Standing = g.standing
	for _, compiled := range attestable {
		found := compiled.Attest(in)
		findings[compiled.Name] = found.Finding
		g.dated = decision.Sooner(g.dated, found.Next)
		if found.Unfetched && e.label == v1alpha1.EnforceLabel {
			g.unfetched[compiled.Name] = true
		}
	}
}

// mustWait says that a model which is cleared, and which has not been decided since this process began, lacks
// nothing but evidence that has not been fetched since then: not to know for a while is no reason to revoke, and the lease
// that it has runs on to its end and no further.
func (r *Reconciler) mustWait(model types.NamespacedName, g *gathered, judgements []verdicts.Judgement) bool {
	if _, decided := r.Board.Get(model); decided || !g.standing {
		return false
	}
	enforced, ok := verdicts.Under(judgements, v1alpha1.EnforceLabel)
	return ok && g.onlyUnfetched(enforced.Verdict)
}

// onlyUnfetched says whether nothing holds the model but evidence that has not been fetched since this process began.
func (g *gathered) onlyUnfetched(v decision.Verdict) bool {
	if v.Reason != v1alpha1.ReasonSafeguardsMissing {
		return false
	}
	holding := v.Rules()
	return !slices.ContainsFunc(v.Safeguards, func(s v1alpha1.SafeguardResult) bool {
		return s.State != v1alpha1.SafeguardSatisfied && slices.Contains(holding, s.Name) && !g.unfetched[s.Name]
	})
}
