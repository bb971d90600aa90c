package admission

import (
	"cmp"
	"fmt"
	"slices"
	"strings"

	admissionv1 "k8s.io/api/admissionregistration/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/interlock-dev/interlock/api/v1alpha1"
	"github.com/interlock-dev/interlock/internal/decision"
)

// DefaultCredential is the key of a user's extra in which the API server itself notes by which certificate or token the
// user authenticated. Impersonation, also the constrained kind (verbs "impersonate:..."), replaces all of a user's extra, and so
// leaves none unless whoever impersonates may impersonate this key as well.
const DefaultCredential = "authentication.kubernetes.io/credential-id"

// Kinds of which an annotation says who wrote them.
var authored = []string{"capabilityassessments", "modeldeployments", "riskreports", "safeguards", "scalingpolicies"}

// stamp writes into what people sign, ask for or write who did so. What a manifest says of that is overwritten.
func stamp(install Install) Object {
	group, version := v1alpha1.GroupVersion.Group, v1alpha1.GroupVersion.Version
	person := `{"username": request.userInfo.username, "uid": request.userInfo.?uid.orValue(''), "credential": variables.credential}`
	return &admissionv1.MutatingAdmissionPolicy{
		TypeMeta:   metav1.TypeMeta{APIVersion: admissionv1.SchemeGroupVersion.String(), Kind: "MutatingAdmissionPolicy"},
		ObjectMeta: meta(StampPolicy),
		Spec: admissionv1.MutatingAdmissionPolicySpec{
			MatchConstraints: match(selector(),
				resources(group, version, onCreate, "approvals", "waivers"), resources(group, version, onApply, authored...)),
			FailurePolicy:      new(admissionv1.Fail),
			ReinvocationPolicy: admissionv1.IfNeededReinvocationPolicy,
			Variables:          authorship(install),
			Mutations: []admissionv1.Mutation{{
				PatchType: admissionv1.PatchTypeJSONPatch,
				JSONPatch: &admissionv1.JSONPatch{Expression: fmt.Sprintf(`request.resource.resource == 'approvals' ? [JSONPatch{op: "add", path: "/spec/approver", value: %[1]s}] :
request.resource.resource == 'waivers' ? [JSONPatch{op: "add", path: "/spec/requester", value: %[1]s}] :
  (has(object.metadata.annotations) ? [] : [JSONPatch{op: "add", path: "/metadata/annotations", value: {}}]) + %[2]s + %[3]s`,
					person, patchAnnotation(v1alpha1.CreatedByAnnotation, "createdBy"), patchAnnotation(v1alpha1.EditedByAnnotation, "editedBy"))},
			}},
		},
	}
}

func stampBinding() Object {
	return &admissionv1.MutatingAdmissionPolicyBinding{
		TypeMeta:   metav1.TypeMeta{APIVersion: admissionv1.SchemeGroupVersion.String(), Kind: "MutatingAdmissionPolicyBinding"},
		ObjectMeta: meta(StampPolicy),
		Spec:       admissionv1.MutatingAdmissionPolicyBindingSpec{PolicyName: StampPolicy, MatchResources: match(selector())}}
}

func patchAnnotation(key, variable string) string {
	return fmt.Sprintf(`[JSONPatch{op: "add", path: "/metadata/annotations/%s", value: variables.%s}]`, strings.ReplaceAll(key, "/", "~1"), variable)
}

// authorship is who wrote the object of the request: the user, unless it is not known who that was, since the request
// impersonates somebody. What is only relabelled keeps its author.
func authorship(install Install) []admissionv1.Variable {
	of := func(object, key string) string {
		return fmt.Sprintf("%s.metadata.?annotations['%s'].orValue('')", object, key)
	}
	return []admissionv1.Variable{
		{Name: "credential", Expression: install.credential()},
		{Name: "user", Expression: "variables.credential == '' ? '' : request.userInfo.username"},
		{Name: "createdBy", Expression: "oldObject == null ? variables.user : " + of("oldObject", v1alpha1.CreatedByAnnotation)},
		{Name: "editedBy", Expression: "oldObject == null || object.spec != oldObject.spec ? variables.user : " + of("oldObject", v1alpha1.EditedByAnnotation)},
	}
}

// credential is CEL for what says by which credential the user authenticated; empty, nothing does.
func (i Install) credential() string {
	return fmt.Sprintf("request.userInfo.?extra[%s].orValue([]).join(' ')", quoted(cmp.Or(i.Credential, DefaultCredential)))
}

// authority lets nobody but people, under their own name, approve, ask for waivers and write what binds, and nobody approve
// without the verb for the role. The verb is asked for in the whole cluster: in a namespace its owner may grant what he
// likes. ServiceAccounts, of whose tokens many may ask, count as people only where a framework says so. What is approved, attested
// and found is taken away by people alone, and not by the garbage collector.
func authority(install Install, frameworks []Framework) Object {
	group, version := v1alpha1.GroupVersion.Group, v1alpha1.GroupVersion.Version
	const approval, waiver = "request.resource.resource == 'approvals'", "request.resource.resource == 'waivers'"
	const made, kept = "oldObject == null", "(object == null || oldObject == null)"
	is := func(person string) string {
		return fmt.Sprintf(`(%[1]s.?username.orValue('') == request.userInfo.username && %[1]s.?uid.orValue('') == request.userInfo.?uid.orValue('') &&
  %[1]s.?credential.orValue('') == variables.credential)`, person)
	}
	annotated := func(key, variable string) string { // or not at all: who wrote it is not known then
		return fmt.Sprintf("object.metadata.?annotations['%s'].orValue('') in ['', variables.%s]", key, variable)
	}
	return validating(AuthorityPolicy, admissionv1.ValidatingAdmissionPolicySpec{
		MatchConstraints: match(selector(),
			resources(group, version, onWrite, append([]string{"approvals", "waivers", "attestations"}, authored...)...)),
		Variables: authorship(install),
		Validations: []admissionv1.Validation{
			deny(fmt.Sprintf("request.userInfo.username != %s", quoted(install.Username)),
				"Interlock itself can neither approve nor waive nor attest, nor write what it decides by", ""),
			deny(fmt.Sprintf("!(%s || %s) || !(%s) || variables.credential != ''", approval, waiver, made),
				"an approval or waiver cannot be made by impersonating somebody, nor with a credential of which the API server knows no id: authenticate under your own name", ""),
			deny(fmt.Sprintf("!(%s) || !(%s) || authorizer.group('%s').resource('approvals').name(dyn(object).spec.role).check('%s').allowed()",
				approval, made, group, v1alpha1.ApproveVerb),
				"whoever approves needs the RBAC verb approve on the approvals of the role, granted by a ClusterRoleBinding",
				`'user "' + request.userInfo.username + '" needs the RBAC verb approve on approvals "' + dyn(object).spec.role + '", granted by a ClusterRoleBinding, to approve in that role'`),
			deny(fmt.Sprintf("object == null || (%s ? !(%s) || %s : %s ? !(%s) || %s : %s && %s)",
				approval, made, is("dyn(object).spec.?approver"), waiver, made, is("dyn(object).spec.?requester"),
				annotated(v1alpha1.CreatedByAnnotation, "createdBy"), annotated(v1alpha1.EditedByAnnotation, "editedBy")),
				fmt.Sprintf("who approves, asks or writes is noted by the API server (policy %s), and by nobody else", StampPolicy), ""),
			deny(fmt.Sprintf("!(%s || %s) || %s || object.spec == oldObject.spec", approval, waiver, kept),
				"an approval or waiver is never edited: delete it, and make another", ""),
			deny(fmt.Sprintf("!(%s) || !(%s || %s) || !request.userInfo.username.startsWith('%s') || %s",
				made, approval, waiver, decision.SystemPrefix, serviceAccountMay(frameworks)),
				"only people approve and request waivers: no part of the cluster does, and no ServiceAccount unless a ScalingPolicy says so (serviceAccounts in approves)",
				`'"' + request.userInfo.username + '" is no person: only people approve and request waivers, unless a ScalingPolicy lets ServiceAccounts do so (serviceAccounts in approves)'`),
			deny(fmt.Sprintf("object == null || !(%s) || %s.all(o, oldObject != null && %s.exists(p, p.uid == o.uid))", evidential, ownersOf("object"), ownersOf("oldObject")),
				"it must bear no owner reference: whoever deletes the owner would have it deleted", ""),
			deny(fmt.Sprintf("object != null || !(%s) || !(request.userInfo.username in %s) || %s.size() == 0 || (namespaceObject != null && has(namespaceObject.metadata.deletionTimestamp))",
				evidential, list(collectors), ownersOf("oldObject")),
				"the garbage collector takes no approval, waiver or evidence away: delete it yourself, or take its owner references out", ""),
			deny(fmt.Sprintf("object != null || !(%s) || authorizer.group('%s').resource(request.resource.resource).name(oldObject.metadata.name).check('%s').allowed()",
				dangerous, group, v1alpha1.WithdrawVerb),
				"whoever deletes a risk report, or an assessment that does not rule everything out, needs the RBAC verb withdraw on it: file a newer one instead",
				`'user "' + request.userInfo.username + '" needs the RBAC verb withdraw on ' + request.resource.resource + ' "' + oldObject.metadata.name + '" to delete it: it may be evidence of danger. File a newer one instead'`),
		},
	})
}

// collectors are the names under which the garbage collector acts: a ServiceAccount of its own, or the whole controller manager.
var collectors = []string{"system:serviceaccount:kube-system:generic-garbage-collector", "system:kube-controller-manager"}

// CEL on what people sign, request or find.
const (
	// evidential is whether a request is about it, in whatever kind.
	evidential = "request.resource.resource in ['approvals', 'attestations', 'capabilityassessments', 'riskreports', 'waivers']"
	// dangerous is whether the old object may say that a model is dangerous: without it, an older one that says less may count.
	dangerous = `(request.resource.resource == 'riskreports' ||
  request.resource.resource == 'capabilityassessments' && dyn(oldObject).spec.?outcomes.orValue([]).exists(o, o.outcome != 'RuledOut'))`
)

func ownersOf(object string) string { return object + ".metadata.?ownerReferences.orValue([])" }

// serviceAccountMay is CEL for whether the user is a ServiceAccount that some framework lets do what it asks. Which framework
// applies is known to the operator alone, which asks that one.
func serviceAccountMay(frameworks []Framework) string {
	var roles []string
	mayRequest := false
	for _, f := range frameworks {
		roles = append(roles, f.ApproverRoles...)
		mayRequest = mayRequest || f.MayRequest
	}
	slices.Sort(roles)
	may := fmt.Sprintf("(request.resource.resource == 'waivers' ? %t : ", mayRequest)
	if len(roles) == 0 {
		may += "false)"
	} else {
		may += fmt.Sprintf("dyn(object).spec.role in %s)", list(slices.Compact(roles)))
	}
	return fmt.Sprintf("(request.userInfo.username.startsWith('%s') && %s)", decision.ServiceAccountPrefix, may)
}
