package modeldeployment_test

import (
	"strings"
	"testing"
	"time"

	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/interlock-dev/interlock/api/v1alpha1"
	"github.com/interlock-dev/interlock/internal/admission"
	"github.com/interlock-dev/interlock/internal/testing/builder"
	"github.com/interlock-dev/interlock/internal/testing/signing"
)

// TestAClearanceOutlivesARestartWhileEvidenceCannotBeFetched, and no other does: not to know for a while is no reason to
// revoke, and what is known to be missing is one.
func TestAClearanceOutlivesARestartWhileEvidenceCannotBeFetched(t *testing.T) {
	now := time.Date(2026, 6, 1, 12, 0, 0, 0, time.UTC)
	end := now.Add(20 * time.Minute)
	for name, tc := range map[string]struct {
		more []client.Object
		want bool
	}{
		"evidence in a registry":              {[]client.Object{builder.AttestationIn("serving", "review", "registry.example/x@"+builder.Digest)}, true},
		"no evidence at all":                  {nil, false},
		"something else is lost besides":      {[]client.Object{builder.AttestationIn("serving", "review", "registry.example/x@"+builder.Digest), builder.NetworkPolicy("serving", "open").AllowCIDR("192.168.0.0/16").Build()}, false},
		"evidence in another namespace alone": {[]client.Object{builder.AttestationIn("other", "review", "registry.example/x@"+builder.Digest)}, false},
	} {
		t.Run(name, func(t *testing.T) {
			ledger := &v1alpha1.ClearanceLedger{Spec: v1alpha1.ClearanceLedgerSpec{Policy: "rsp",
				Clearances: admission.Clearances([]admission.Entry{{Model: "llm", ValidUntil: end, Rules: []string{"closed", "reviewed"}}})}}
			ledger.Namespace, ledger.Name = "serving", v1alpha1.LedgerName
			objects := append([]client.Object{
				builder.Namespace("serving").Enforce("rsp").Build(), builder.ModelDeployment("serving", "llm").Build(), ledger,
				builder.Safeguard("reviewed").Evidence("urn:review", "red-team").Build(), builder.Safeguard("closed").Egress().Build(),
				builder.ScalingPolicy("rsp").Level(builder.Level(builder.ASL2).Deployment("reviewed").Security("closed")).Trust("red-team", signing.Fixed(1).PEM).Build(),
			}, tc.more...)
			if !strings.Contains(name, "else") {
				objects = append(objects, builder.NetworkPolicy("serving", "closed").Build())
			}
			o := newOperator(t, objects...)
			o.at(t, now)
			if err := o.client.Get(t.Context(), client.ObjectKeyFromObject(ledger), ledger); err != nil {
				t.Fatal(err)
			}
			entry, cleared := admission.Find(ledger.Spec.Clearances, "llm")
			if cleared != tc.want || cleared && !entry.ValidUntil.Equal(end) {
				t.Errorf("cleared = %v until %s, want %v until %s as before", cleared, entry.ValidUntil, tc.want, end)
			}
		})
	}
}
