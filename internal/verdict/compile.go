package verdict

import (
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/interlock-dev/interlock/api/v1alpha1"
	"github.com/interlock-dev/interlock/internal/admission"
	"github.com/interlock-dev/interlock/internal/decision"
	"github.com/interlock-dev/interlock/internal/safeguard"
)

// compiled are the Safeguards of a snapshot, by name.
type compiled struct {
	usable map[string]*safeguard.Compiled
	// unusable says why the others cannot be used.
	unusable map[string]string
	// rules are what the API server enforces, and wait is how long it takes until it does, where it does not yet.
	rules map[string]admission.Rule
	wait  map[string]time.Duration
	// podRules are those that are pod rules.
	podRules map[string]bool
}

func compileAll(compiler *safeguard.Compiler, s *Snapshot) compiled {
	c := compiled{
		usable: make(map[string]*safeguard.Compiled, len(s.Safeguards)), unusable: map[string]string{},
		rules: map[string]admission.Rule{}, wait: map[string]time.Duration{}, podRules: map[string]bool{}}
	for i := range s.Safeguards {
		sg := &s.Safeguards[i]
		usable, err := compiler.Compile(sg)
		if rule, ok := admission.RuleOf(sg); ok && err == nil {
			c.rules[sg.Name], c.podRules[sg.Name] = rule, sg.Spec.PodRule != nil
			enforcement := s.Enforcement[sg.Name]
			if err = enforcement.Refused; enforcement.Wait > 0 {
				c.wait[sg.Name] = enforcement.Wait
			}
		}
		if err != nil {
			c.unusable[sg.Name] = err.Error()
			continue
		}
		c.usable[sg.Name] = usable
	}
	return c
}

// specs gives the digests of what the Safeguards that can be used ask, and of whom the policy believes that.
func (c compiled) specs(policy *v1alpha1.ScalingPolicy) map[string]string {
	specs := make(map[string]string, len(c.usable))
	for name, sg := range c.usable {
		specs[name] = sg.SpecDigest
		if sg.Attestable() && policy != nil {
			specs[name] += decision.TrustDigest(policy.Spec.Trust, sg.Signers())
		}
	}
	return specs
}

// given are the rules of those of the named Safeguards that give pods something, in order.
func (c compiled) given(safeguards []string) []admission.Rule {
	var given []admission.Rule
	for _, name := range slices.Sorted(slices.Values(safeguards)) {
		if rule, ok := c.rules[name]; ok && rule.Adjust != nil {
			given = append(given, rule)
		}
	}
	return given
}

// maxAdvice is the longest advice that the API takes.
const maxAdvice = 1024

// advice words what is missing besides pod rules, which are judged on the template of the workload that is applied.
func (c compiled) advice(model, policy string, v decision.Verdict) string {
	if v.Cleared() {
		return ""
	}
	var parts []string
	for i := range v.Safeguards {
		sg := &v.Safeguards[i]
		met := sg.State == v1alpha1.SafeguardSatisfied || sg.State == v1alpha1.SafeguardWaived
		if !met && !(c.podRules[sg.Name] && sg.State == v1alpha1.SafeguardMissing) {
			parts = append(parts, fmt.Sprintf("%s: %s. %s", sg.Name, sg.Message, sg.Remedy))
		}
	}
	switch {
	case len(v.Safeguards) == 0:
		parts = []string{v.Message}
	case len(parts) == 0:
		return ""
	}
	return decision.OneLine(fmt.Sprintf("model %q is not cleared under %s: %s", model, policy, strings.Join(parts, "; ")), maxAdvice)
}
