package admission

import (
	"fmt"
	"strings"

	admissionv1 "k8s.io/api/admissionregistration/v1"

	"github.com/interlock-dev/interlock/api/v1alpha1"
)

// ledgers lets nobody but the operator write a ledger or the status of our kinds, whatever RBAC says. A ledger may go
// with its namespace.
func ledgers(install Install) Object {
	group, version := v1alpha1.GroupVersion.Group, v1alpha1.GroupVersion.Version
	return validating(LedgerPolicy, admissionv1.ValidatingAdmissionPolicySpec{
		MatchConstraints: match(selector(),
			resources(group, version, onWrite, "clearanceledgers"),
			resources(group, version, onUpdate, "modeldeployments/status", "scalingpolicies/status", "safeguards/status")),
		Validations: []admissionv1.Validation{deny(
			fmt.Sprintf("request.userInfo.username == %s || (request.operation == 'DELETE' && has(namespaceObject.metadata.deletionTimestamp))",
				quoted(install.Username)),
			"only Interlock writes its verdicts: change the ModelDeployment, the policy or the safeguards instead", "")},
	})
}

// enrolment lets the labels that put a namespace under a policy be changed only by who has the verb for each policy that
// they name before and after, and never on namespaces that the cluster needs to come up.
func enrolment(install Install) Object {
	labels := []string{v1alpha1.EnforceLabel, v1alpha1.WarnLabel, v1alpha1.AuditLabel}
	guarded := append(labels, v1alpha1.CoverageLabel)
	return validating(EnrolmentPolicy, admissionv1.ValidatingAdmissionPolicySpec{
		MatchConstraints: match(selector(), resources("", "v1", onApply, "namespaces", "namespaces/status", "namespaces/finalize")),
		MatchConditions: []admissionv1.MatchCondition{{
			Name: "labels-change", Expression: fmt.Sprintf("%s.exists(l, %s != %s)", list(guarded), labelOf("object", "l"), labelOf("oldObject", "l"))}},
		Variables: []admissionv1.Variable{{
			Name: "policies",
			Expression: fmt.Sprintf("(%[1]s.map(l, %[2]s) + %[1]s.map(l, %[3]s)).filter(p, p != '')",
				list(labels), labelOf("object", "l"), labelOf("oldObject", "l"))}},
		Validations: []admissionv1.Validation{
			deny(fmt.Sprintf("!(object.metadata.name in %s) || %s == ''", list(install.NeverEnrolled()), labelOf("object", "'"+v1alpha1.EnforceLabel+"'")),
				"this namespace can never be enrolled: the cluster or Interlock would not come up again", ""),
			deny(fmt.Sprintf("variables.policies.all(p, authorizer.group('%s').resource('scalingpolicies').name(p).check('%s').allowed())",
				v1alpha1.GroupVersion.Group, v1alpha1.EnrollVerb),
				"whoever changes the enrolment of a namespace needs the RBAC verb enroll on the scalingpolicies concerned",
				`'user "' + request.userInfo.username + '" needs the RBAC verb enroll on scalingpolicies ' + variables.policies.join(', ') + ' to change the enrolment of this namespace'`),
			deny(fmt.Sprintf("variables.policies.size() > 0 || authorizer.group('%s').resource('scalingpolicies').check('%s').allowed()",
				v1alpha1.GroupVersion.Group, v1alpha1.EnrollVerb),
				"whoever changes the coverage of a namespace needs the RBAC verb enroll on scalingpolicies", ""),
		},
	})
}

// labelOf is CEL for the value of a label, ” when it is absent, or when there is no such object.
func labelOf(object, label string) string {
	return fmt.Sprintf("(%[1]s == null ? '' : %[1]s.metadata.?labels[%[2]s].orValue(''))", object, label)
}

func list(values []string) string { return "['" + strings.Join(values, "', '") + "']" }
