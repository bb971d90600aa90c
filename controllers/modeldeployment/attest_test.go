package modeldeployment_test

import (
	"strings"
	"testing"
	"time"

	"sigs.k8s.io/controller-runtime/pkg/client"

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
			objects := append([]client.Object{
				builder.Namespace("serving").Enforce("rsp").Build(), builder.ModelDeployment("serving", "llm").Build(),
				builder.Clearances("serving", "rsp").Clear("llm", end, "closed", "reviewed").Build(),
				builder.Safeguard("reviewed").Evidence("urn:review", "red-team").Build(), builder.Safeguard("closed").Egress().Build(),
				builder.ScalingPolicy("rsp").Level(builder.Level(builder.ASL2).Deployment("reviewed").Security("closed")).Trust("red-team", signing.Fixed(1).PEM).Build(),
			}, tc.more...)
			if !strings.Contains(name, "else") {
				objects = append(objects, builder.NetworkPolicy("serving", "closed").Build())
			}
			o := newOperator(t, objects...)
			o.at(t, now)
			s := admission.Find(o.clearances(t), "llm")
			if s.Cleared() != tc.want || tc.want && !s.ValidUntil.Equal(end) {
				t.Errorf("cleared until %s, want %v, and then until %s as before", s.ValidUntil, tc.want, end)
			}
		})
	}
}
