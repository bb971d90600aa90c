package admission

import (
	"maps"

	admissionv1 "k8s.io/api/admissionregistration/v1"
	apiequality "k8s.io/apimachinery/pkg/api/equality"
)

// Same says whether an object in the API server is what it should be: the same spec, to the last field, and our labels.
func Same(want, have Object) bool {
	labels := map[string]string{}
	maps.Copy(labels, have.GetLabels())
	maps.Copy(labels, want.GetLabels())
	return maps.Equal(labels, have.GetLabels()) && apiequality.Semantic.DeepEqual(specOf(want), specOf(have))
}

func specOf(o Object) any {
	switch o := o.(type) {
	case *admissionv1.MutatingAdmissionPolicy:
		return o.Spec
	case *admissionv1.MutatingAdmissionPolicyBinding:
		return o.Spec
	case *admissionv1.ValidatingAdmissionPolicy:
		return o.Spec
	case *admissionv1.ValidatingAdmissionPolicyBinding:
		return o.Spec
	}
	return nil
}
