package admission

import (
	"fmt"
	"maps"
	"slices"
	"strings"

	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/interlock-dev/interlock/api/v1alpha1"
	"github.com/interlock-dev/interlock/internal/decision"
	"github.com/interlock-dev/interlock/internal/evidence"
)

// signersKnown says on a policy which of the signers that its Safeguards ask for it does not trust, or what is wrong with
// those that it has. A policy that asks for no evidence says nothing.
func signersKnown(p *v1alpha1.ScalingPolicy, safeguards []v1alpha1.Safeguard) {
	asked := map[string]string{}
	named := decision.Named(p)
	for i := range safeguards {
		sg := &safeguards[i]
		if sg.Spec.Evidence == nil || !slices.Contains(named, sg.Name) {
			continue
		}
		for _, signer := range sg.Spec.Evidence.Signers {
			asked[signer] = sg.Name
		}
	}
	if len(asked) == 0 && p.Spec.Trust == nil {
		meta.RemoveStatusCondition(&p.Status.Conditions, v1alpha1.ConditionSignersKnown)
		return
	}
	c := metav1.Condition{Type: v1alpha1.ConditionSignersKnown, Status: metav1.ConditionFalse, ObservedGeneration: p.Generation}
	trust, err := evidence.ParseTrust(p.Spec.Trust)
	var absent []string
	for _, signer := range slices.Sorted(maps.Keys(asked)) {
		if key, why := trust.Key(signer); key == "" && why == nil {
			absent = append(absent, fmt.Sprintf("%s (for %s)", signer, asked[signer]))
		}
	}
	switch {
	case err != nil:
		c.Reason, c.Message = v1alpha1.ReasonInvalidTrust, fmt.Sprintf("spec.trust: %v", err)
	case len(absent) > 0:
		c.Reason = v1alpha1.ReasonSignersUnknown
		c.Message = fmt.Sprintf("nobody can sign evidence as %s; add them to spec.trust.signers", strings.Join(absent, ", "))
	default:
		c.Status, c.Reason, c.Message = metav1.ConditionTrue, v1alpha1.ReasonAccepted, "every signer that is asked for is trusted"
	}
	c.Message = decision.OneLine(c.Message, maxTold)
	meta.SetStatusCondition(&p.Status.Conditions, c)
}

// maxTold is the longest that a condition says of signers.
const maxTold = 1024
