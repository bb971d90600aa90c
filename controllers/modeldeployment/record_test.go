package modeldeployment

import (
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/interlock-dev/interlock/api/v1alpha1"
	"github.com/interlock-dev/interlock/controllers/verdicts"
	"github.com/interlock-dev/interlock/internal/decision"
	"github.com/interlock-dev/interlock/internal/record"
	"github.com/interlock-dev/interlock/internal/safeguard"
	"github.com/interlock-dev/interlock/internal/testing/builder"
)

func TestARecordNamesWhatTheVerdictRestsOn(t *testing.T) {
	g := &gathered{
		model:    builder.ModelDeployment("n", "llm").Build(),
		basis:    []decision.Object{{Kind: "Attestation", Namespace: "n", Name: "report", Digest: "sha256:a"}},
		compiled: map[string]*safeguard.Compiled{"red-team": {SpecDigest: "sha256:b"}, "not-asked-for": {SpecDigest: "sha256:c"}},
	}
	d := g.record(time.Now(), verdicts.Judgement{Verdict: decision.Verdict{
		Outcome: v1alpha1.OutcomeCleared, Safeguards: []v1alpha1.SafeguardResult{{Name: "red-team"}, {Name: "does-not-exist"}}}})
	want := []record.Input{
		{Kind: "Attestation", Namespace: "n", Name: "report", Digest: "sha256:a"}, {Kind: "Safeguard", Name: "red-team", Digest: "sha256:b"}}
	if diff := cmp.Diff(want, d.Inputs); diff != "" {
		t.Errorf("-want +got:\n%s", diff)
	}
}
