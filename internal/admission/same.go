package admission

import (
	"maps"
	"strings"

	admissionv1 "k8s.io/api/admissionregistration/v1"
	corev1 "k8s.io/api/core/v1"
	apiequality "k8s.io/apimachinery/pkg/api/equality"

	"github.com/interlock-dev/interlock/api/v1alpha1"
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

// Covered says whether a pod must name a model, as `uncovered` says the opposite of in CEL.
func Covered(pod *corev1.Pod, coverage string) bool {
	if coverage != v1alpha1.CoverageAccelerators || len(pod.Spec.ResourceClaims) > 0 {
		return true
	}
	for _, containers := range [][]corev1.Container{pod.Spec.Containers, pod.Spec.InitContainers} {
		for _, c := range containers {
			for _, list := range []corev1.ResourceList{c.Resources.Limits, c.Resources.Requests} {
				for name := range list {
					if strings.Contains(string(name), "/") {
						return true
					}
				}
			}
		}
	}
	return false
}
