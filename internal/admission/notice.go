package admission

import (
	"fmt"
	"strings"

	admissionv1 "k8s.io/api/admissionregistration/v1"

	"github.com/interlock-dev/interlock/api/v1alpha1"
	"github.com/interlock-dev/interlock/internal/decision"
)

// template is CEL for the pod template of a workload.
const template = "(has(object.spec.jobTemplate) ? object.spec.jobTemplate.spec.template : object.spec.template)"

// notice tells whoever applies a workload what its model lacks under the policies that the namespace names in the
// labels, and which pod rules the template breaks. It only speaks: it fails open.
func notice(name string, rules []Rule, labels ...string) Object {
	validations := []admissionv1.Validation{
		deny(`variables.model != ''`, fmt.Sprintf(
			"the pod template names no model in the label %s: its pods will be refused if they need one", v1alpha1.ModelLabel), ""),
		deny(`variables.model == '' || variables.notices.size() > 0`,
			"the pod template names a model that is not declared",
			`'no ModelDeployment "' + variables.model + '" is declared in this namespace: pods that name it are held until it is'`),
		deny(`variables.notices.all(n, !has(n.message))`,
			"the model is not cleared",
			`variables.notices.filter(n, has(n.message)).map(n, n.message).join(' | ')`),
	}
	for _, r := range rules {
		// What pods are given is not in their template yet, so that says nothing of whether they meet the rule.
		if len(r.Validations) == 0 || r.Adjust != nil {
			continue
		}
		validations = append(validations, deny(
			fmt.Sprintf("!variables.notices.exists(n, %s) || [variables.template].all(object, %s)", asks("n.rules", r.Safeguard),
				seeingContainers(v1alpha1.AllContainers, r.expression("variables.declared"))),
			ruleMessage(r, r.Validations[0].Message), breaks(r)))
	}
	return validating(name, admissionv1.ValidatingAdmissionPolicySpec{
		ParamKind:     &admissionv1.ParamKind{APIVersion: v1alpha1.GroupVersion.String(), Kind: "ClearanceLedger"},
		FailurePolicy: new(admissionv1.Ignore),
		MatchConstraints: match(selector(),
			resources("apps", "v1", onApply, "deployments", "statefulsets", "daemonsets", "replicasets"),
			resources("batch", "v1", onApply, "jobs", "cronjobs")),
		MatchConditions: []admissionv1.MatchCondition{
			{Name: "not-made-by-a-controller", Expression: "!object.metadata.?ownerReferences.orValue([]).exists(o, o.?controller.orValue(false))"},
			// As a variable, kube-controller-manager would check its types again with each validation, for each kind of workload.
			{Name: "small-enough-to-judge", Expression: fmt.Sprintf("[%s].all(object, %s)", template, small)},
		},
		Variables: []admissionv1.Variable{
			{Name: "template", Expression: template},
			{Name: "named", Expression: fmt.Sprintf("variables.template.metadata.?labels['%s'].orValue('')", v1alpha1.ModelLabel)},
			{Name: "model", Expression: "variables.named != '' ? variables.named : params.spec.?defaultModel.orValue('')"},
			{Name: "notices", Expression: fmt.Sprintf("params.spec.?notices.orValue([]).filter(n, n.model == variables.model && n.label in %s)", list(labels))},
			{Name: "declared", Expression: "[variables.notices.filter(n, has(n.weights))].map(ns, ns.size() > 0 ? ns[0].weights : [])[0]"},
		},
		Validations: validations,
	})
}

// breaks is CEL that words all that a template breaks of a rule, so that its remedy is said once: of warnings that are
// longer than 4096 characters together, the API server shows but the first 256 of each.
func breaks(r Rule) string {
	if len(r.Validations) == 1 {
		return ""
	}
	said := make([]string, 0, len(r.Validations))
	for _, v := range r.Validations {
		said = append(said, fmt.Sprintf("%s ? '' : %s", judged(v, "variables.declared"), quoted(decision.OneLine(v.Message, maxRuleMessage))))
	}
	return fmt.Sprintf("%s + [variables.template].map(object, [dyn(%s)].map(containers, [dyn(%s)].map(%s, [%s].filter(m, m != '').join('; '))[0])[0])[0] + %s",
		quoted("Safeguard "+r.Safeguard+": "), v1alpha1.AllContainers, v1alpha1.Commands, commandsVariable,
		strings.Join(said, ",\n"), quoted(". "+decision.OneLine(r.Remedy, maxRuleMessage)))
}
