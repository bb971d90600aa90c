package admission

import (
	"fmt"
	"strings"

	admissionv1 "k8s.io/api/admissionregistration/v1"

	"github.com/interlock-dev/interlock/api/v1alpha1"
)

// ledgers lets nobody but the operator write clearances, notices or the status of our kinds, whatever RBAC says. What is of a namespace may go with it. RBAC sees no name at a creation and lets the operator
// create any LimitRange, so it is asked here whether the operator may change it too, as it may where adjustments have some. What it
// may not write into clearances is said by floor.
func ledgers(install Install, rules []Rule, frameworks []Framework) Object {
	group, version := v1alpha1.GroupVersion.Group, v1alpha1.GroupVersion.Version
	byOperator := "request.userInfo.username == " + quoted(install.Username)
	return validating(LedgerPolicy, admissionv1.ValidatingAdmissionPolicySpec{
		MatchConstraints: match(selector(),
			resources("", "v1", onWrite, "limitranges"), resources(group, version, onWrite, "clearanceledgers"),
			resources(group, version, onUpdate, "modeldeployments/status", "scalingpolicies/status", "safeguards/status",
				"capabilityassessments/status", "safetyroadmaps/status", "attestations/status", "approvals/status", "waivers/status")),
		MatchConditions: []admissionv1.MatchCondition{{
			Name: "others-own-limitrange", Expression: fmt.Sprintf("!(%s) || %s", foreignLimitRange, byOperator)}},
		Variables: floorVariables(),
		Validations: append([]admissionv1.Validation{
			deny(byOperator+" || (request.operation == 'DELETE' && has(namespaceObject.metadata.deletionTimestamp))",
				"only Interlock writes its verdicts: change the ModelDeployment, the policy or the safeguards instead", ""),
			deny(fmt.Sprintf("!(%s) || request.operation != 'CREATE' || authorizer.group('').resource('limitranges').namespace(request.namespace).name(object.metadata.name).check('patch').allowed()", foreignLimitRange),
				"Interlock creates no LimitRange that it may not change", ""),
		}, floor(rules, frameworks)...),
	})
}

// foreignLimitRange is CEL for whether the request is about a LimitRange that holds no clearances. The object tells its name: a
// deletion of all objects of a kind names none.
var foreignLimitRange = fmt.Sprintf("request.resource.resource == 'limitranges' && (object == null ? oldObject : object).metadata.name != '%s'",
	v1alpha1.ClearancesName)

// enrolment lets the labels that put a namespace under a policy be changed only by who has the verb for the policy that
// a label names before and for the one that it names afterwards, and never on namespaces that the cluster needs to come
// up. Each label has a validation of its own, since one expression may ask the authorizer twice and no more: a third
// question would cost more than the API server lets an expression spend.
func enrolment(install Install) Object {
	validations := []admissionv1.Validation{
		deny(fmt.Sprintf("!(object.metadata.name in %s) || %s == '-'", list(install.NeverEnrolled()), labelOf("object", v1alpha1.EnforceLabel)),
			"this namespace can never be enrolled: the cluster or Interlock would not come up again", ""),
		mayEnroll(v1alpha1.EnforceLabel, changes(v1alpha1.EnforceLabel)+" || "+changes(v1alpha1.CoverageLabel)),
		mayEnroll(v1alpha1.WarnLabel, changes(v1alpha1.WarnLabel)),
		mayEnroll(v1alpha1.AuditLabel, changes(v1alpha1.AuditLabel)),
	}
	anyChange := strings.Join([]string{
		changes(v1alpha1.EnforceLabel), changes(v1alpha1.WarnLabel), changes(v1alpha1.AuditLabel), changes(v1alpha1.CoverageLabel)}, " || ")
	return validating(EnrolmentPolicy, admissionv1.ValidatingAdmissionPolicySpec{
		MatchConstraints: match(selector(), resources("", "v1", onApply, "namespaces", "namespaces/status", "namespaces/finalize")),
		MatchConditions:  []admissionv1.MatchCondition{{Name: "labels-change", Expression: anyChange}},
		Validations:      validations,
	})
}

// mayEnroll asks for the verb on the policies that a label names before and afterwards when a condition is met. An empty
// name, or none at all, asks for the verb on all policies.
func mayEnroll(label, when string) admissionv1.Validation {
	policies := fmt.Sprintf("[%s, %s].filter(p, p != '-')", labelOf("oldObject", label), labelOf("object", label))
	return deny(fmt.Sprintf("!(%[1]s) || (%[2]s.size() == 0 ? [''] : %[2]s).all(p, authorizer.group('%[3]s').resource('scalingpolicies').name(p).check('%[4]s').allowed())",
		when, policies, v1alpha1.GroupVersion.Group, v1alpha1.EnrollVerb),
		"whoever changes the enrolment of a namespace needs the RBAC verb enroll on the scalingpolicies concerned",
		fmt.Sprintf(`'user "' + request.userInfo.username + '" needs the RBAC verb enroll on scalingpolicies ' + %s.join(', ') + ' to change the enrolment of this namespace'`, policies))
}

// changes is CEL for whether the request changes a label. To be there and empty is not the same as to be absent:
// selectors tell these apart.
func changes(label string) string {
	return fmt.Sprintf("%s != %s", labelOf("object", label), labelOf("oldObject", label))
}

// labelOf is CEL for the value of a label, '-' when it is absent, or when there is no such object; no label has that
// value.
func labelOf(object, label string) string {
	return fmt.Sprintf("(%[1]s == null ? '-' : %[1]s.metadata.?labels['%[2]s'].orValue('-'))", object, label)
}

func list(values []string) string { return "['" + strings.Join(values, "', '") + "']" }
