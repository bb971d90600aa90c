package policies

import (
	"bytes"
	"encoding/base64"
	"encoding/json"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/interlock-dev/interlock/api/v1alpha1"
	"github.com/interlock-dev/interlock/internal/evidence"
	"github.com/interlock-dev/interlock/internal/safeguard"
)

// The sample of evidence shows its Safeguard for the sample model, under the sample policy and under no other.
func TestSampleEvidenceCounts(t *testing.T) {
	folder := filepath.Join(samplesDir, "evidence")
	policy, sg, a := &v1alpha1.ScalingPolicy{}, &v1alpha1.Safeguard{}, &v1alpha1.Attestation{}
	read(t, filepath.Join(folder, "policy.yaml"), policy)
	read(t, filepath.Join(folder, "safeguard.yaml"), sg)
	read(t, filepath.Join(folder, "attestation.yaml"), a)

	statement, err := os.ReadFile(filepath.Join(folder, "statement.json"))
	if err != nil {
		t.Fatal(err)
	}
	var envelope struct{ Payload string }
	if err := json.Unmarshal([]byte(a.Spec.Content), &envelope); err != nil {
		t.Fatal(err)
	}
	if payload, err := base64.StdEncoding.DecodeString(envelope.Payload); err != nil || !bytes.Equal(payload, statement) {
		t.Errorf("attestation.yaml holds another statement than statement.json (%v)", err)
	}
	compiler, err := safeguard.NewCompiler()
	if err != nil {
		t.Fatal(err)
	}
	compiled, err := compiler.Compile(sg)
	if err != nil {
		t.Fatal(err)
	}
	for name, tc := range map[string]struct {
		trust *v1alpha1.Trust
		want  v1alpha1.SafeguardState
	}{
		"the sample policy":    {policy.Spec.Trust, v1alpha1.SafeguardSatisfied},
		"one that has no keys": {nil, v1alpha1.SafeguardMissing},
	} {
		t.Run(name, func(t *testing.T) {
			trust, err := evidence.ParseTrust(tc.trust)
			if err != nil {
				t.Fatal(err)
			}
			found := safeguard.Attested{Name: "team-a/misuse-red-team"}
			found.Statement, found.Err = evidence.Verify([]byte(a.Spec.Content), trust)
			got := compiled.Attest(safeguard.Case{
				Now: time.Date(2026, 11, 1, 0, 0, 0, 0, time.UTC), Policy: policy.Name, Trust: trust, Weights: sampleModel(t).Spec.Model.Digest,
				Environment: safeguard.Environment{Namespace: evidence.EnvironmentSubject("cluster", "team-a", "uid")}, Attested: []safeguard.Attested{found}})
			if got.State != tc.want {
				t.Errorf("found %s: %s (%v)", got.State, got.Message, found.Err)
			}
		})
	}
}
