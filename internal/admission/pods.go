package admission

import (
	"fmt"
	"slices"
	"strings"

	admissionv1 "k8s.io/api/admissionregistration/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/interlock-dev/interlock/api/v1alpha1"
	"github.com/interlock-dev/interlock/internal/decision"
)

// admit judges a new pod after all mutation: it is small enough to be judged, names no weights of others, and is held, or need
// not name a model, or its model's lease lasts and it
// meets every pod rule that the model is asked for. The creation time, which the API server has set by now, is the
// clock.
func admit(namespaces *metav1.LabelSelector, rules []Rule) Object {
	asItShouldBe := fmt.Sprintf("(%s != '' ? %s ||\n%s :\n%s) &&\n!%s",
		modelOf, gated, cleared(modelOf, inLease+" && !"+isOpened(modelOf)+meetsRules(rules)), uncovered, namesTaken(modelOf))
	validations := []admissionv1.Validation{
		fits(),
		namesModel("variables.large"),
		deny("variables.named == '' || "+held+" || "+isCleared("variables.named"),
			"the model is not cleared, and the pod lacks the scheduling gate "+v1alpha1.ClearanceGate,
			fmt.Sprintf(`'model "' + variables.named + '" is not cleared, and the pod lacks the scheduling gate %s, which the policy %s adds'`,
				v1alpha1.ClearanceGate, HoldPolicy)),
		deny("variables.clearance == '' || "+held+" || dyn(object.metadata.creationTimestamp) < "+endOf("variables.clearance"), // to the type checker it is a timestamp
			"the clearance of the model has run out",
			`'the clearance of model "' + variables.named + '" ran out at ' + `+endOf("variables.clearance")+` + ', and Interlock has not renewed it: no new pod may start'`),
		canBeRead(held),
		staysClosed(held),
	}
	return validating(AdmitPolicy, admissionv1.ValidatingAdmissionPolicySpec{
		ParamKind:        clearancesKind(),
		MatchConstraints: match(namespaces, resources("", "v1", onCreate, "pods")),
		MatchConditions:  []admissionv1.MatchCondition{{Name: "not-as-it-should-be", Expression: fmt.Sprintf("!(%s &&\n(%s))", small, asItShouldBe)}},
		Variables:        podVariables(inTime),
		Validations:      slices.Concat(validations, ruleValidations(rules, held), ownWeights("variables.large")),
	})
}

// guard judges a change of a living pod: the model it names is frozen, only the operator takes the gate away, and a pod
// past the gate gets no label that would undo a safeguard, and may change only while its model is cleared and in ways that
// meet the rules.
func guard(namespaces *metav1.LabelSelector, install Install, rules []Rule) Object {
	validations := []admissionv1.Validation{
		fits(),
		deny("!("+relabelled+")", frozenMessage, ""),
		deny(fmt.Sprintf("%s || !%s || request.userInfo.username == %s", held, oldGated, quoted(install.Username)),
			fmt.Sprintf("only Interlock takes the scheduling gate %s away, once the model is cleared", v1alpha1.ClearanceGate), ""),
		namesModel(held),
		staysClosed(held),
		deny(held+" || variables.named == '' || "+isCleared("variables.named"),
			"the model is not cleared",
			`'model "' + variables.named + '" is not cleared: its pods can neither be released nor changed'`),
		canBeRead(held),
	}
	return validating(GuardPolicy, admissionv1.ValidatingAdmissionPolicySpec{
		ParamKind:        clearancesKind(),
		MatchConstraints: match(namespaces, resources("", "v1", onUpdate, "pods", "pods/ephemeralcontainers", "pods/resize")),
		MatchConditions: []admissionv1.MatchCondition{{
			Name:       "changes-what-runs",
			Expression: fmt.Sprintf("%s || object.spec != oldObject.spec || (!(%s) && %s && %s)", relabelled, noOpenings, otherLabels, isOpened(modelOf))}},
		Variables:   podVariables(anyTime),
		Validations: append(append(validations, ruleValidations(rules, held)...), ownWeights(held)...),
	})
}

var frozenMessage = fmt.Sprintf("the label %s cannot change once the pod exists; delete the pod and create it anew", v1alpha1.ModelLabel)

// identity lets nothing beside a change of the pod itself, which GuardPolicy judges, change labels of a pod that names a model:
// the status of a pod is written together with its labels, and a Binding overwrites them. It reads no clearances, since
// kubelets write the status often.
func identity(namespaces *metav1.LabelSelector) Object {
	foreign := fmt.Sprintf("object.metadata.?labels.orValue({}).exists(k, !(k in %s))", list(bindingLabels))
	return validating(IdentityPolicy, admissionv1.ValidatingAdmissionPolicySpec{
		MatchConstraints: match(namespaces,
			resources("", "v1", onUpdate, "pods/status"), resources("", "v1", onCreate, "pods/binding", "bindings")),
		MatchConditions: []admissionv1.MatchCondition{{
			Name:       "changes-labels",
			Expression: fmt.Sprintf("oldObject == null ? %s : %s && %s", foreign, otherLabels, labelledModel)}},
		Validations: []admissionv1.Validation{
			deny("oldObject == null || !("+relabelled+")", frozenMessage, ""),
			deny("oldObject == null || "+relabelled, "the labels of a pod that names a model cannot change together with its status: change them by themselves", ""),
			deny("oldObject != null", fmt.Sprintf("a Binding cannot set the label %s, nor any other than %s",
				v1alpha1.ModelLabel, strings.Join(bindingLabels, " and ")), ""),
		},
	})
}

// held is whether the pod waits at the gate.
const held = "variables.held"

// podVariables sees those exemptions that meet a condition.
func podVariables(exempt string) []admissionv1.Variable {
	return []admissionv1.Variable{
		{Name: "large", Expression: "!" + small},
		{Name: "named", Expression: modelOf},
		{Name: "held", Expression: "variables.large || " + gated},
		{Name: "clearance", Expression: clearanceOf("variables.named")},
		{Name: "containers", Expression: v1alpha1.AllContainers},
		{Name: "declared", Expression: declaredBy("variables.named")},
		{Name: "exemptions", Expression: exemptions(exempt)},
		{Name: "opened", Expression: opened("variables.named")},
	}
}

// staysClosed refuses labels that would undo a safeguard, unless the condition excuses the pod.
func staysClosed(excuse string) admissionv1.Validation {
	return deny(fmt.Sprintf("%s || %s || variables.opened.size() == 0", excuse, noOpenings),
		"labels of the pod put it under a NetworkPolicy that lets it send traffic where its model may not", openedMessage)
}

// namesModel refuses a pod that names no model where it must, unless the condition excuses it.
func namesModel(excuse string) admissionv1.Validation {
	return deny(fmt.Sprintf("%s || variables.named != '' || %s", excuse, uncovered), fmt.Sprintf(
		"the namespace is enrolled with Interlock: a pod must name the ModelDeployment that it serves in the label %s", v1alpha1.ModelLabel), "")
}

// canBeRead refuses a pod whose model has a clearance that does not tell its rules, unless the condition excuses it.
func canBeRead(excuse string) admissionv1.Validation {
	return deny(fmt.Sprintf("%s || !%s || %s", excuse, isCleared("variables.named"), readable("variables.clearance")), "the clearance of the model cannot be read: Interlock writes it anew", "")
}

// ruleValidations refuse what breaks a pod rule that the model is asked for, unless the condition excuses it or the pod is
// exempted from it.
func ruleValidations(rules []Rule, excuse string) []admissionv1.Validation {
	var validations []admissionv1.Validation
	for _, r := range rules {
		for _, v := range r.Validations {
			validations = append(validations, deny(
				fmt.Sprintf("%s || !%s || %s || variables.exemptions.exists(e, e.endsWith(',%s'))",
					excuse, asks("variables.clearance", r.Safeguard), seeingContainers("variables.containers", judged(v, "variables.declared")), r.Safeguard),
				ruleMessage(r, v.Message), ""))
		}
	}
	return validations
}

// ruleMessage is one line: the API server refuses a policy with any message that is not, and with it the rules of all
// other Safeguards.
func ruleMessage(r Rule, message string) string {
	return decision.OneLine(fmt.Sprintf("Safeguard %s: %s. %s", r.Safeguard, message, r.Remedy), maxRuleMessage)
}

// maxRuleMessage leaves room for the longest name, message and remedy.
const maxRuleMessage = 1024

func deny(expression, message, messageExpression string) admissionv1.Validation {
	return admissionv1.Validation{
		Expression: expression, Message: message, MessageExpression: messageExpression, Reason: new(metav1.StatusReasonForbidden)}
}
