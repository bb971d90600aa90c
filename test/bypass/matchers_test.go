package bypass

import (
	"fmt"
	"slices"

	. "github.com/onsi/gomega"
	"github.com/onsi/gomega/gcustom"
	"github.com/onsi/gomega/types"
	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"

	"github.com/interlock-dev/interlock/api/v1alpha1"
)

// beRefusedBy matches the error of a request that an admission policy of ours refused in these words. A refusal by
// RBAC, or by somebody else, does not match: it would hide that ours is missing.
func beRefusedBy(policy, words string) types.GomegaMatcher {
	return And(
		Satisfy(apierrors.IsForbidden),
		MatchError(ContainSubstring("ValidatingAdmissionPolicy '%s'", policy)),
		MatchError(ContainSubstring(words)))
}

// beRefusedByKubernetes matches the error of a request that the API server refuses of itself.
func beRefusedByKubernetes(words string) types.GomegaMatcher {
	return And(
		Satisfy(func(err error) bool { return apierrors.IsInvalid(err) || apierrors.IsConflict(err) }),
		MatchError(ContainSubstring(words)))
}

// beHeld matches a pod that waits at our gate, and on no node.
func beHeld() types.GomegaMatcher {
	return gcustom.MakeMatcher(func(actual any) (bool, error) {
		pod, ok := actual.(*corev1.Pod)
		if !ok {
			return false, fmt.Errorf("want a *Pod, have %T", actual)
		}
		reported := slices.ContainsFunc(pod.Status.Conditions, func(c corev1.PodCondition) bool {
			return c.Type == corev1.PodScheduled && c.Reason == corev1.PodReasonSchedulingGated
		})
		return gatedBy(pod, v1alpha1.ClearanceGate) && reported && pod.Spec.NodeName == "", nil
	}).WithTemplate("Expected pod {{.Actual.Namespace}}/{{.Actual.Name}} {{.To}} be held at the gate; " +
		"it has gates {{.Actual.Spec.SchedulingGates}}, node {{printf \"%q\" .Actual.Spec.NodeName}}, conditions {{.Actual.Status.Conditions}}")
}

func gatedBy(pod *corev1.Pod, gate string) bool {
	return slices.ContainsFunc(pod.Spec.SchedulingGates, func(g corev1.PodSchedulingGate) bool { return g.Name == gate })
}
