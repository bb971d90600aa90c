package admission

import (
	"fmt"
	"strings"

	admissionv1 "k8s.io/api/admissionregistration/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/interlock-dev/interlock/api/v1alpha1"
)

// hold adds the gate to every new pod whose model is not cleared, the default model to those that name none, and to those
// of models that are to be adjusted, cleared or not, what they lack of that: one policy, since each costs another
// evaluation, and one patch, since each costs another rewriting of the pod. A pod without a model and
// without a default is left alone here: AdmitPolicy judges it. Whether the lease has run out cannot be seen in a mutation,
// where the pod has no creation time yet: AdmitPolicy refuses it then, as it does a pod that is too large to be judged, which is
// not rewritten here.
//
// A pod that names its model, carries the gate and lacks nothing has all that this adds. It must not match: the API server
// comes here a second time with each pod that was mutated, and an empty patch costs as much as any, since the pod is
// written out as JSON and read back.
func hold(namespaces *metav1.LabelSelector, rules []Rule) Object {
	lacks := fmt.Sprintf("%s != '' ? !%s && !%s : %s != ''",
		modelOf, isCleared(modelOf), gated, defaultModel)
	patch := patchLabel() + " +\n" + patchGate()
	variables := []admissionv1.Variable{
		{Name: "named", Expression: modelOf},
		{Name: "model", Expression: "variables.named != '' ? variables.named : " + defaultModel},
	}
	if pieces := pieces(rules); len(pieces) > 0 {
		lacks = fmt.Sprintf("(%s) ||\n%s && %s", lacks, small, lacksForModel(pieces))
		patch += " +\n" + patchAdjustments(pieces)
		variables = append(variables,
			admissionv1.Variable{Name: "given", Expression: given},
			admissionv1.Variable{Name: "lacking", Expression: givenNames + " != '' && " + lacking(pieces, givenNames)})
	}
	return &admissionv1.MutatingAdmissionPolicy{
		TypeMeta:   metav1.TypeMeta{APIVersion: admissionv1.SchemeGroupVersion.String(), Kind: "MutatingAdmissionPolicy"},
		ObjectMeta: meta(HoldPolicy),
		Spec: admissionv1.MutatingAdmissionPolicySpec{
			ParamKind:          clearancesKind(),
			MatchConstraints:   match(namespaces, resources("", "v1", onCreate, "pods")),
			FailurePolicy:      new(admissionv1.Fail),
			ReinvocationPolicy: admissionv1.IfNeededReinvocationPolicy,
			MatchConditions:    []admissionv1.MatchCondition{{Name: "lacks-something", Expression: fmt.Sprintf("(%s) &&\n%s", lacks, small)}},
			Variables:          variables,
			Mutations: []admissionv1.Mutation{{
				PatchType: admissionv1.PatchTypeJSONPatch,
				JSONPatch: &admissionv1.JSONPatch{Expression: patch},
			}},
		},
	}
}

func patchLabel() string {
	return fmt.Sprintf(`(variables.named != '' ? [] :
  has(object.metadata.labels) ? [JSONPatch{op: "add", path: "/metadata/labels/%[2]s", value: variables.model}] :
  [JSONPatch{op: "add", path: "/metadata/labels", value: {"%[1]s": variables.model}}])`,
		v1alpha1.ModelLabel, strings.ReplaceAll(v1alpha1.ModelLabel, "/", "~1"))
}

func patchGate() string {
	return fmt.Sprintf(`(%[1]s || %[2]s ? [] :
  object.spec.?schedulingGates.orValue([]).size() > 0 ? [JSONPatch{op: "add", path: "/spec/schedulingGates/-", value: {"name": "%[3]s"}}] :
  [JSONPatch{op: "add", path: "/spec/schedulingGates", value: [{"name": "%[3]s"}]}])`,
		gated, isCleared("variables.model"), v1alpha1.ClearanceGate)
}

func holdBinding(namespaces *metav1.LabelSelector) Object {
	return &admissionv1.MutatingAdmissionPolicyBinding{
		TypeMeta:   metav1.TypeMeta{APIVersion: admissionv1.SchemeGroupVersion.String(), Kind: "MutatingAdmissionPolicyBinding"},
		ObjectMeta: meta(HoldPolicy),
		Spec: admissionv1.MutatingAdmissionPolicyBindingSpec{
			PolicyName: HoldPolicy, ParamRef: clearances(), MatchResources: match(namespaces)}}
}
