package admission

import (
	"fmt"
	"slices"
	"strconv"
	"strings"

	"github.com/interlock-dev/interlock/api/v1alpha1"
)

// CEL that several policies share. `object` is a Pod, `params` the LimitRange with the clearances of its namespace.
var (
	// modelOf is the model that a pod names, or ''.
	modelOf = fmt.Sprintf(`object.metadata.?labels['%s'].orValue('')`, v1alpha1.ModelLabel)

	// defaultModel is the model of pods that name none, or ''.
	defaultModel = textOf(defaultModelKey)

	// relabelled says whether a change of a pod changes the model that it names. A label that comes or goes while it is
	// empty counts as well, since selectors tell these apart; '-' is no value that a label can have.
	relabelled = fmt.Sprintf(`object.metadata.?labels['%[1]s'].orValue('-') != oldObject.metadata.?labels['%[1]s'].orValue('-')`, v1alpha1.ModelLabel)

	// gated says whether the pod carries our gate.
	gated    = fmt.Sprintf(`object.spec.?schedulingGates.orValue([]).exists(g, g.name == '%s')`, v1alpha1.ClearanceGate)
	oldGated = strings.ReplaceAll(gated, "object.", "oldObject.")
)

// textOf is CEL for one of the texts of the clearances, see Clearances.
func textOf(key string) string { return fmt.Sprintf("params.metadata.annotations['%s']", key) }

// isCleared is CEL for whether a model has a clearance, however long ago that ended.
func isCleared(model string) string {
	return fmt.Sprintf(`%s.contains('\n' + %s + ' ')`, textOf(clearancesKey), model)
}

// cleared is CEL for whether a model has a clearance that meets a condition, which sees it as `clearance`.
func cleared(model, condition string) string {
	return fmt.Sprintf("[%s].exists(clearance, %s && %s)", clearanceOf(model), readable("clearance"), condition)
}

// clearanceOf is CEL for the clearance of a model, which holds its end and then its rules; empty, it has none.
func clearanceOf(model string) string { return lineOf(leasesKey, lineOf(clearancesKey, model)) }

// readable is CEL for whether a clearance is one and tells its rules.
func readable(clearance string) string { return clearance + ".endsWith(',')" }

// lineOf is CEL for what stands behind a name in a text of the clearances; empty, nothing does. It takes no part of the whole text
// with substring, which would make an array of its characters.
func lineOf(key, name string) string {
	return fmt.Sprintf(`[%s.split('\n' + %s + ' ', 2)].map(parts, parts.size() == 2 ? parts[1].split('\n', 2)[0] : '')[0]`, textOf(key), name)
}

// endOf is CEL for the time that a text begins with, as clock writes it.
func endOf(text string) string {
	return fmt.Sprintf("%s.substring(0, %d)", text, len("2026-05-14T08:30:00Z"))
}

// inLease is whether the lease of `clearance` lasts for the pod.
var inLease = "object.metadata.creationTimestamp < " + endOf("clearance")

// exemptions is CEL for those of the pod that meet the condition, each "UNTIL,SAFEGUARD", which sees them as `e`. They are looked
// for once a pod is found to break a rule: one that breaks none pays nothing for them.
func exemptions(condition string) string {
	return fmt.Sprintf(`%s.split(' ').filter(e, e != '' && %s)`, lineOf(exemptionsKey, "variables.named + '/' + object.metadata.name"), condition)
}

var (
	anyTime = `true`
	inTime  = `dyn(object.metadata.creationTimestamp) < ` + endOf("e")
)

// asks is CEL for whether the rules of a clearance or notice name a Safeguard.
func asks(rules, safeguard string) string {
	return fmt.Sprintf(`%s.contains(',%s,')`, rules, safeguard)
}

// declaredBy is CEL for the sources of its weights that a model declares.
func declaredBy(model string) string {
	return fmt.Sprintf("%s.split(' ').filter(s, s != '')", lineOf(weightsKey, model))
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

// seeingContainers shows rules the variables `containers` and `commands`, which are made once for all of them. They are of the
// dynamic type as the operator has them: what compiles there must compile here.
func seeingContainers(containers, rules string) string {
	if strings.Contains(rules, commandsVariable) {
		rules = seeingCommands("true", rules)
	}
	return fmt.Sprintf("[dyn(%s)].all(containers, %s)", containers, rules)
}

// seeingCommands shows rules the variable `commands`, which is made only if one that reads it is asked for.
func seeingCommands(asked, rules string) string {
	return fmt.Sprintf("[%s ? dyn(%s) : dyn([])].all(%s, %s)", asked, v1alpha1.Commands, commandsVariable, rules)
}

// commandsVariable is the variable of pod rules that holds what containers are started with.
const commandsVariable = "commands"

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
	var all, reading []string
	for _, r := range rules {
		if slices.ContainsFunc(r.Validations, func(v v1alpha1.PodValidation) bool { return strings.Contains(v.Expression, commandsVariable) }) {
			reading = append(reading, asks("clearance", r.Safeguard))
		}
		if len(r.Validations) > 0 {
			all = append(all, fmt.Sprintf("(%s ? %s : true)", asks("clearance", r.Safeguard), r.expression(declaredBy(modelOf))))
		}
	}
	if len(all) == 0 {
		return ""
	}
	together := strings.Join(all, " &&\n  ")
	if len(reading) > 0 {
		together = seeingCommands(strings.Join(reading, " || "), together)
	}
	met := fmt.Sprintf("[dyn(%s)].all(containers, %s)", v1alpha1.AllContainers, together)
	if len(met) > maxJoined {
		met = fmt.Sprintf("clearance.endsWith(' %s')", RuleNames(nil))
	}
	return " &&\n  " + met
}

// quoted writes text as a CEL string.
func quoted(text string) string { return strconv.Quote(text) }
