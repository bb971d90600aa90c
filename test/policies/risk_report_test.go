package policies

import (
	"strings"
	"testing"
	"time"

	"github.com/interlock-dev/interlock/api/v1alpha1"
	"github.com/interlock-dev/interlock/internal/evidence"
	"github.com/interlock-dev/interlock/internal/safeguard"
	"github.com/interlock-dev/interlock/internal/testing/signing"
)

// A Risk Report is current for six months from its publication, whichever models it names, and only if what it covers was at most 30
// days old then (RSP v3.4, section 3.1).
func TestRiskReportIsCurrent(t *testing.T) {
	const name = "rsp-risk-report"
	sg := loadPack(t, packRSP34).safeguards[name]
	compiled := compile(t, map[string]*v1alpha1.Safeguard{name: sg})[0]
	developer := signing.Fixed(1)
	trust, err := evidence.ParseTrust(&v1alpha1.Trust{Signers: []v1alpha1.Signer{{Name: "developer", Key: developer.PEM}}})
	if err != nil {
		t.Fatal(err)
	}
	here, weights := evidence.EnvironmentSubject("cluster", "serving", "uid"), "sha256:"+strings.Repeat("ab", 32)
	published := time.Date(2026, 8, 14, 15, 0, 0, 0, time.UTC)
	covers := func(date string) map[string]any { return map[string]any{"coverageDate": date} }

	for name, tc := range map[string]struct {
		says    map[string]any
		subject string
		// days after publication.
		days int
		want v1alpha1.SafeguardState
	}{
		"the day it comes":                        {covers("2026-07-15"), here, 0, v1alpha1.SafeguardSatisfied},
		"nearly six months later":                 {covers("2026-07-15"), here, 183, v1alpha1.SafeguardSatisfied},
		"six months later":                        {covers("2026-07-15"), here, 184, v1alpha1.SafeguardExpired},
		"it covers what was there the same day":   {covers("2026-08-14"), here, 1, v1alpha1.SafeguardSatisfied},
		"it covers what was there 31 days before": {covers("2026-07-14"), here, 1, v1alpha1.SafeguardMissing},
		"it covers what is to come":               {covers("2026-08-15"), here, 1, v1alpha1.SafeguardMissing},
		"it does not say which day it covers":     {nil, here, 1, v1alpha1.SafeguardMissing},
		"it says so in another form":              {covers("15 July 2026"), here, 1, v1alpha1.SafeguardMissing},
		"a statement that it names the model":     {covers("2026-07-15"), weights, 1, v1alpha1.SafeguardMissing},
		"a statement about another namespace":     {covers("2026-07-15"), evidence.EnvironmentSubject("cluster", "other", "uid"), 1, v1alpha1.SafeguardMissing},
	} {
		t.Run(name, func(t *testing.T) {
			statement := signing.Review(sg.Spec.Evidence.PredicateType, published, tc.subject).With(map[string]any{
				"kind": "Report", "report": map[string]any{"digest": map[string]any{"sha256": strings.Repeat("cd", 32)}}}).With(tc.says)
			found := safeguard.Attested{Name: "serving/report"}
			found.Statement, found.Err = evidence.Verify([]byte(statement.Sign(developer)), trust)
			got := compiled.Attest(safeguard.Case{
				Now: published.AddDate(0, 0, tc.days), Policy: packRSP34, Trust: trust, Weights: weights,
				Environment: safeguard.Environment{Namespace: here}, Attested: []safeguard.Attested{found}})
			if got.State != tc.want {
				t.Errorf("%s, want %s: %s (%v)", got.State, tc.want, got.Message, found.Err)
			}
		})
	}
}
