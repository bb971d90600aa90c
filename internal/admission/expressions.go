package admission

import (
	"fmt"
	"slices"
	"strconv"
	"strings"

	"github.com/interlock-dev/interlock/api/v1alpha1"
)

// CEL that several policies share. `object` is a Pod, `params` the ClearanceLedger of its namespace.
var (
	// modelOf is the model that a pod names, or ''.
	modelOf = fmt.Sprintf(`object.metadata.?labels['%s'].orValue('')`, v1alpha1.ModelLabel)

	// relabelled says whether a change of a pod changes the model that it names. A label that comes or goes while it is
	// empty counts as well, since selectors tell these apart; '-' is no value that a label can have.
	relabelled = fmt.Sprintf(`object.metadata.?labels['%[1]s'].orValue('-') != oldObject.metadata.?labels['%[1]s'].orValue('-')`, v1alpha1.ModelLabel)

	// gated says whether the pod carries our gate.
	gated    = fmt.Sprintf(`object.spec.?schedulingGates.orValue([]).exists(g, g.name == '%s')`, v1alpha1.ClearanceGate)
	oldGated = strings.ReplaceAll(gated, "object.", "oldObject.")

	// uncovered says whether the pod need not name a model: the namespace covers accelerators only, and no container
	// asks for an extended resource (their names, and no others, have a domain) or a device claim.
	uncovered = fmt.Sprintf(`(params.spec.?coverage.orValue('') == '%s' && object.spec.?resourceClaims.orValue([]).size() == 0 &&
  [dyn(object.spec.containers), dyn(object.spec.?initContainers.orValue([]))].all(cs, cs.all(c,
    !c.?resources.limits.orValue({}).exists(r, r.contains('/')) && !c.?resources.requests.orValue({}).exists(r, r.contains('/')))))`,
		v1alpha1.CoverageAccelerators)
)

// clearance is CEL for a clearance of a model that also meets the condition, which sees it as `clearance`. Both the
// name and the list have a blank on either side.
func clearance(model, condition string) string {
	return fmt.Sprintf(`params.spec.?clearances.orValue([]).exists(clearance, clearance.models.contains(' ' + %s + ' ')%s)`, model, condition)
}

// exemptions is CEL for those of the pod that names a model and meet the condition, which sees each as `exemption`. They
// are looked for once a pod is found to break a rule: one that breaks none pays nothing for them.
func exemptions(condition string) string {
	return fmt.Sprintf(`params.spec.?exemptions.orValue([]).filter(exemption, exemption.pods.contains(' ' + variables.named + '/' + object.metadata.name + ' ')%s)`, condition)
}

const (
	inLease = ` && object.metadata.creationTimestamp < clearance.validUntil`
	anyTime = ``
	inTime  = ` && object.metadata.creationTimestamp < exemption.validUntil`
)

// asks is CEL for whether the rules of a clearance or notice name a Safeguard.
func asks(rules, safeguard string) string {
	return fmt.Sprintf(`%s.contains(',%s,')`, rules, safeguard)
}

// declaredBy is CEL for the sources of its weights that a model declares, as the ledger says. A line break stands on either
// side of a line and a blank behind the name, so no name is found within another, or within a source.
func declaredBy(model string) string {
	return fmt.Sprintf(`[params.spec.?weights.orValue('').split('\n' + %s + ' ', 2)].map(parts, parts.size() == 2 ? parts[1].split('\n', 2)[0].split(' ') : [])[0]`, model)
}

// ReadsWeights says whether the rule looks at what a model declares of its weights, or may: the word stands in it.
func (r Rule) ReadsWeights() bool { return slices.ContainsFunc(r.Validations, readsWeights) }

func readsWeights(v v1alpha1.PodValidation) bool {
	return strings.Contains(v.Expression, weightsVariable)
}

// weightsVariable is the variable of pod rules that holds what a model declares of its weights.
const weightsVariable = "weights"

// judged is CEL for whether the pod meets a validation. What the model declares is looked up only for one that reads it.
func judged(v v1alpha1.PodValidation, declared string) string {
	if readsWeights(v) {
		return fmt.Sprintf("[%s].all(%s, %s)", declared, weightsVariable, enclosed(v.Expression))
	}
	return enclosed(v.Expression)
}

// seeingContainers shows rules the variable `containers`, which is made once for all of them. It is of the dynamic type as
// the operator has it: what compiles there must compile here.
func seeingContainers(containers, rules string) string {
	return fmt.Sprintf("[dyn(%s)].all(containers, %s)", containers, rules)
}

// expression joins the validations of a rule. Each stands on lines of its own, so that a comment at its end takes
// nothing with it; as each compiles alone, none can close our parenthesis.
func (r Rule) expression(declared string) string {
	parts := make([]string, 0, len(r.Validations))
	for _, v := range r.Validations {
		parts = append(parts, judged(v, declared))
	}
	return strings.Join(parts, " && ")
}

func enclosed(expression string) string { return "(\n" + expression + "\n)" }

// maxJoined is the most that rules may have together to be judged in one expression, of which CEL takes 100,000
// characters; the rest is for what stands around them.
const maxJoined = 90_000

// meetsRules is CEL, to follow a clearance, for whether the pod meets all rules that it names. If all rules together are
// too long for one expression, it is whether there are none to meet, and validations judge the pods of which that is
// not so.
func meetsRules(rules []Rule) string {
	var b strings.Builder
	for _, r := range rules {
		if len(r.Validations) == 0 {
			continue
		}
		fmt.Fprintf(&b, " &&\n  (%s ? %s : true)", asks("clearance.rules", r.Safeguard), r.expression(declaredBy(modelOf)))
	}
	switch {
	case b.Len() > maxJoined:
		return fmt.Sprintf(" && clearance.rules == '%s'", RuleNames(nil))
	case b.Len() == 0:
		return ""
	}
	return " && " + seeingContainers(v1alpha1.AllContainers, strings.TrimPrefix(b.String(), " &&"))
}

// quoted writes text as a CEL string.
func quoted(text string) string { return strconv.Quote(text) }
