package admission_test

import (
	"strings"
	"testing"

	admissionv1 "k8s.io/api/admissionregistration/v1"

	"github.com/interlock-dev/interlock/api/v1alpha1"
	"github.com/interlock-dev/interlock/internal/admission"
)

// What the policy on connections asks is what Safeguards say, and there is always something that it asks.
func TestConnectPolicy(t *testing.T) {
	rule := admission.Rule{Safeguard: "no-interactive", Remedy: "Ask who is on call", Connect: &v1alpha1.ConnectRule{
		Refuse: []v1alpha1.ConnectKind{v1alpha1.ConnectExec, v1alpha1.ConnectProxy},
		Except: []v1alpha1.ConnectException{{Group: `a "group"`, Reason: "incidents"}, {User: "rita", Reason: "audit"}}}}
	for name, tc := range map[string]struct {
		rules []admission.Rule
		want  []string
	}{
		"nobody asks": {nil, []string{`'interlock.dev/connect' in params.metadata.annotations`}},
		"one asks": {[]admission.Rule{{Safeguard: "other"}, rule}, []string{`'interlock.dev/connect' in params.metadata.annotations`,
			`!(request.subResource in ['exec', 'proxy']) || !params.metadata.annotations['interlock.dev/connect'].contains(',no-interactive,') || ` +
				`(variables.credential != '' && ("a \"group\"" in request.userInfo.?groups.orValue([]) || request.userInfo.username == "rita"))`}},
	} {
		t.Run(name, func(t *testing.T) {
			var got []admissionv1.Validation
			for _, o := range admission.Policies(admission.Install{}, tc.rules) {
				if p, ok := o.(*admissionv1.ValidatingAdmissionPolicy); ok && p.Name == admission.ConnectPolicy {
					got = p.Spec.Validations
				}
			}
			if len(got) != len(tc.want) {
				t.Fatalf("validations = %+v", got)
			}
			for i, want := range tc.want {
				if got[i].Expression != want {
					t.Errorf("expression = %s\nwant         %s", got[i].Expression, want)
				}
				if strings.Contains(got[i].Message, "\n") || len(got[i].Message) == 0 {
					t.Errorf("message = %q", got[i].Message)
				}
			}
		})
	}
}
