package decision

import (
	"fmt"
	"strings"
	"time"

	"github.com/interlock-dev/interlock/api/v1alpha1"
)

// unsettled says why no assessment rules a threshold out, and what to do about it. Both are empty where an assessment rules it out or
// finds it reached.
func (t *threshold) unsettled(in Input) (message, remedy string) {
	const orMeet = ", or put in place all that it asks for"
	switch t.severity {
	case silent:
		if !t.asks() {
			return "no assessment of the model's weights finds it, so it asks for nothing", ""
		}
		return "no assessment of the model's weights rules it out", t.file(in)
	case unapproved:
		return fmt.Sprintf("CapabilityAssessment %s rules it out, but is not approved as policy %s asks", t.by.Name, in.PolicyName),
			fmt.Sprintf("have it approved by %s: kubectl interlock approve capabilityassessment/%s",
				assessmentApprovers(in.Policy), t.by.Name)
	case stale:
		return t.by.lapsed(in)
	case inconclusive:
		return fmt.Sprintf("CapabilityAssessment %s does not rule it out", t.by.Name), t.file(in) + orMeet
	case saturated:
		return fmt.Sprintf("the evaluations of CapabilityAssessment %s are saturated, so they do not rule it out", t.by.Name),
			t.file(in) + orMeet
	}
	return "", ""
}

// file says which assessment would settle a threshold.
func (t *threshold) file(in Input) string {
	return fmt.Sprintf("file a CapabilityAssessment of %s with an outcome for %s", in.Model.Spec.Model.Digest, t.definition.Name)
}

// lapsed says why an assessment no longer rules anything out. One that was outgrown is so at any time, so that time alone never
// gives another reason.
func (a *assessment) lapsed(in Input) (message, remedy string) {
	rules, served := RulesOf(in.Policy), in.Model.Spec.Model
	again := fmt.Sprintf("assess %s again, and file a CapabilityAssessment of it", served.Digest)
	switch {
	case !a.outgrown:
		return fmt.Sprintf("CapabilityAssessment %s ruled it out for %d months, until %s",
			a.Name, *rules.MaxAgeMonths, a.ends.Format(time.RFC3339)), again
	case served.EffectiveCompute == "":
		return fmt.Sprintf("CapabilityAssessment %s counts only for models with less than %d times its effective compute, "+
				"and ModelDeployment %s does not say its own", a.Name, *rules.MaxComputeFactor, in.Model.Name),
			"set spec.model.effectiveCompute of ModelDeployment " + in.Model.Name
	case a.Spec.EffectiveCompute == "":
		return fmt.Sprintf("CapabilityAssessment %s counts only for models with less than %d times its effective compute, "+
				"and does not say it", a.Name, *rules.MaxComputeFactor),
			"file a CapabilityAssessment that says its effectiveCompute"
	}
	return fmt.Sprintf("the model has %s operations of effective compute, %d times the %s of CapabilityAssessment %s or more",
		served.EffectiveCompute, *rules.MaxComputeFactor, a.Spec.EffectiveCompute, a.Name), again
}

// assessmentApprovers names the roles that approve assessments.
func assessmentApprovers(policy *v1alpha1.ScalingPolicy) string {
	var roles []string
	for _, s := range askedSignOffs(policy, v1alpha1.SubjectAssessment, len(policy.Spec.Levels)) {
		roles = append(roles, s.role)
	}
	return strings.Join(roles, " and ")
}
