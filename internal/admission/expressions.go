package admission

import (
	"fmt"
	"slices"
	"strconv"
	"strings"

	"github.com/interlock-dev/interlock/api/v1alpha1"
)

// CEL that several policies share. `object` is a Pod, `params` the ConfigMap with the clearances of its namespace.
var (
	// modelOf is the model that a pod names, or ''.
	modelOf = fmt.Sprintf(`object.metadata.?labels['%s'].orValue('')`, v1alpha1.ModelLabel)

	// defaultModel is the model of pods that name none, or ''.
	defaultModel = fmt.Sprintf(`params.data.?%s.orValue('')`, defaultModelKey)

	// relabelled says whether a change of a pod changes the model that it names. A label that comes or goes while it is
	// empty counts as well, since selectors tell these apart; '-' is no value that a label can have.
	relabelled = fmt.Sprintf(`object.metadata.?labels['%[1]s'].orValue('-') != oldObject.metadata.?labels['%[1]s'].orValue('-')`, v1alpha1.ModelLabel)

	// gated says whether the pod carries our gate.
	gated    = fmt.Sprintf(`object.spec.?schedulingGates.orValue([]).exists(g, g.name == '%s')`, v1alpha1.ClearanceGate)
	oldGated = strings.ReplaceAll(gated, "object.", "oldObject.")

	// uncovered says whether the pod need not name a model: the namespace covers accelerators only, and no container
	// asks for an extended resource (their names, and no others, have a domain) or a device claim.
	uncovered = fmt.Sprintf(`(params.data.?%s.orValue('') == '%s' && object.spec.?resourceClaims.orValue([]).size() == 0 &&
  [dyn(object.spec.containers), dyn(object.spec.?initContainers.orValue([]))].all(cs, cs.all(c,
    !c.?resources.limits.orValue({}).exists(r, r.contains('/')) && !c.?resources.requests.orValue({}).exists(r, r.contains('/')))))`,
		coverageKey, v1alpha1.CoverageAccelerators)
)

// clearanceOf is CEL for the clearance of a model: an optional text, of which endOf and setOf are the parts.
func clearanceOf(model string) string { return of(modelPrefix, model) }

// of is CEL for what is said under a prefix of something, such as a model, if anything is.
func of(prefix, name string) string { return fmt.Sprintf("params.data[?'%s' + %s]", prefix, name) }

func endOf(clearance string) string {
	return fmt.Sprintf("%s.substring(0, %d)", clearance, lengthOfClock)
}

func setOf(clearance string) string {
	return fmt.Sprintf("%s.substring(%d)", clearance, lengthOfClock+1)
}

// lengthOfClock is that of each text that clock gives.
const lengthOfClock = len("2026-05-14T08:30:00Z")

// cleared is CEL for whether a model has a clearance that meets a condition, which sees it as `clearance`.
func cleared(model, condition string) string {
	return fmt.Sprintf("%s.optMap(clearance, %s).orValue(false)", clearanceOf(model), condition)
}

// inLease is whether the lease of `clearance` lasts for the pod.
var inLease = "object.metadata.creationTimestamp < " + endOf("clearance")

// exemptions is CEL for those of the pod that meet the condition, which sees the parts of each in the list `e`: pod,
// Safeguard, end. They are looked for once a pod is found to break a rule: one that breaks none pays nothing for them.
func exemptions(condition string) string {
	return fmt.Sprintf(`%s.orValue('').split('\n').map(e, e.split(' ')).filter(e, e[0] == object.metadata.name%s)`,
		of(exemptPrefix, "variables.named"), condition)
}

const (
	anyTime = ``
	inTime  = ` && dyn(object.metadata.creationTimestamp) < e[2]`
)

// asks is CEL for whether the rules of a clearance or notice name a Safeguard.
func asks(rules, safeguard string) string {
	return fmt.Sprintf(`%s.contains(',%s,')`, rules, safeguard)
}

// declaredBy is CEL for the sources of its weights that a model declares.
func declaredBy(model string) string {
	return fmt.Sprintf("%s.optMap(w, w.split(' ')).orValue([])", of(weightsPrefix, model))
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

// meetsRules is CEL, to follow a condition on `clearance`, for whether the pod meets all rules that it names. If all rules
// together are too long for one expression, it is whether there are none to meet, and validations judge the pods of which
// that is not so.
func meetsRules(rules []Rule) string {
	var all []string
	for _, r := range rules {
		if len(r.Validations) > 0 {
			all = append(all, fmt.Sprintf("(%s ? %s : true)", asks("rules", r.Safeguard), r.expression(declaredBy(modelOf))))
		}
	}
	if len(all) == 0 {
		return ""
	}
	met := seeingContainers(v1alpha1.AllContainers, strings.Join(all, " &&\n  "))
	if len(met) > maxJoined {
		met = fmt.Sprintf("rules == '%s'", RuleNames(nil))
	}
	return fmt.Sprintf(" &&\n  %s.optMap(rules, %s).orValue(false)", of(rulesPrefix, setOf("clearance")), met)
}

// quoted writes text as a CEL string.
func quoted(text string) string { return strconv.Quote(text) }
