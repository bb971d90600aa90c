package tenancy

import (
	"fmt"
	"maps"
	"slices"
	"strings"

	corev1 "k8s.io/api/core/v1"
	networkingv1 "k8s.io/api/networking/v1"
	apiequality "k8s.io/apimachinery/pkg/api/equality"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/interlock-dev/interlock/api/v1alpha1"
)

// maxWhy is the longest that is said of why there is a stub.
const maxWhy = 200

// notEnrolled is why nothing is held of what is in a namespace that is not enrolled.
const notEnrolled = "its namespace was not enrolled when it was read"

// Pod leaves of a pod what is looked at, and a stub if there is no room for that or its namespace is not enrolled. A pod rule
// judges what is to run, as the API server does when it is created, and who replaces pods or falls back asks whether they are
// ready.
func (s *Shares) Pod(pod *corev1.Pod) {
	pod.ManagedFields, pod.Status = nil, slimStatus(pod.Status)
	switch {
	case IsStub(pod):
	case !s.Enrolled(pod.Namespace):
		s.Release(pod.UID)
		CutPod(pod, notEnrolled)
	default:
		if size := Size(pod); !s.Take(pod.Namespace, pod.UID, size) {
			CutPod(pod, noRoom("the pod", size))
		}
	}
}

func slimStatus(of corev1.PodStatus) corev1.PodStatus {
	status := corev1.PodStatus{Phase: of.Phase}
	for _, c := range of.Conditions {
		if c.Type == corev1.PodReady {
			status.Conditions = []corev1.PodCondition{{Type: c.Type, Status: c.Status}}
		}
	}
	return status
}

// CutPod leaves a stub: what it takes to count a pod, to release it and to take it out of service, and nothing to judge it by.
func CutPod(pod *corev1.Pod, why string) {
	held := slices.ContainsFunc(pod.Spec.SchedulingGates, func(g corev1.PodSchedulingGate) bool { return g.Name == v1alpha1.ClearanceGate })
	hostNetwork := pod.Spec.HostNetwork
	pod.Spec = corev1.PodSpec{HostNetwork: hostNetwork}
	if held {
		pod.Spec.SchedulingGates = []corev1.PodSchedulingGate{{Name: v1alpha1.ClearanceGate}}
	}
	cutMeta(&pod.ObjectMeta, why)
}

// IsStub says whether a pod is a stub. Any other has containers: the API server sees to that.
func IsStub(pod *corev1.Pod) bool {
	return len(pod.Spec.Containers) == 0 && pod.Annotations[v1alpha1.UnreadAnnotation] != ""
}

// NetworkPolicy leaves of a NetworkPolicy what is looked at, and a stub if there is no room for that or its namespace is not
// enrolled. A stub selects every pod and allows everything.
func (s *Shares) NetworkPolicy(policy *networkingv1.NetworkPolicy) {
	if IsPolicyStub(policy) { // or one that says the same of itself, and is judged as if it were
		cutPolicy(policy, policy.Annotations[v1alpha1.UnreadAnnotation])
		return
	}
	policy.ManagedFields, policy.Annotations = nil, nil
	if !s.Enrolled(policy.Namespace) {
		s.Release(policy.UID)
		cutPolicy(policy, notEnrolled)
	} else if size := Size(policy); !s.Take(policy.Namespace, policy.UID, size) {
		cutPolicy(policy, noRoom("it", size))
	}
}

func cutPolicy(policy *networkingv1.NetworkPolicy, why string) {
	policy.Spec = openPolicy()
	cutMeta(&policy.ObjectMeta, why)
}

// openPolicy selects every pod and allows everything.
func openPolicy() networkingv1.NetworkPolicySpec {
	return networkingv1.NetworkPolicySpec{
		PolicyTypes: []networkingv1.PolicyType{networkingv1.PolicyTypeIngress, networkingv1.PolicyTypeEgress},
		Ingress:     []networkingv1.NetworkPolicyIngressRule{{}}, Egress: []networkingv1.NetworkPolicyEgressRule{{}},
	}
}

// IsPolicyStub says whether a NetworkPolicy is a stub.
func IsPolicyStub(policy *networkingv1.NetworkPolicy) bool {
	return policy.Annotations[v1alpha1.UnreadAnnotation] != "" && apiequality.Semantic.DeepEqual(policy.Spec, openPolicy())
}

// Attestation leaves of an Attestation what is looked at, and a stub if there is no room for that. It may have been about any model
// of its namespace, and against it.
func (s *Shares) Attestation(a *v1alpha1.Attestation) {
	if IsAttestationStub(a) {
		return
	}
	delete(a.Annotations, v1alpha1.UnreadAnnotation)
	Trim(a)
	if size := Size(a); !s.Take(a.Namespace, a.UID, size) {
		a.Spec = v1alpha1.AttestationSpec{}
		cutMeta(&a.ObjectMeta, noRoom("it", size))
	}
}

// IsAttestationStub says whether an Attestation is a stub. Any other says where its evidence is: its schema sees to that.
func IsAttestationStub(a *v1alpha1.Attestation) bool {
	return a.Annotations[v1alpha1.UnreadAnnotation] != "" && a.Spec.Content == "" && a.Spec.OCI == "" && a.Spec.Referrers == nil
}

// ours begins the keys of annotations that are looked at.
const ours = "interlock.dev/"

// Trim takes from the metadata of an object what nobody looks at and may be large. The rest of it is bounded by its schema.
func Trim(o metav1.Object) {
	o.SetManagedFields(nil)
	annotations := o.GetAnnotations()
	maps.DeleteFunc(annotations, func(key, _ string) bool { return !strings.HasPrefix(key, ours) })
	if labels := o.GetLabels(); Size(&labels) > Small {
		o.SetLabels(nil)
	}
	if owners := o.GetOwnerReferences(); Size(&owners) > Small { // that there are some is looked at
		o.SetOwnerReferences([]metav1.OwnerReference{{Kind: "Many"}})
	}
	if finalizers := o.GetFinalizers(); Size(&finalizers) > Small {
		o.SetFinalizers(nil)
	}
}

func noRoom(what string, size int64) string {
	return fmt.Sprintf("%s takes %s of memory, and its namespace has no room for that; make it or others of the namespace smaller", what, bytes(size))
}

func bytes(size int64) string {
	if size >= 1<<20 {
		return fmt.Sprintf("%.1f MiB", float64(size)/(1<<20))
	}
	return fmt.Sprintf("%d KiB", size>>10)
}

// cutMeta leaves of metadata what is needed to name an object, and labels and owners if these are small.
func cutMeta(m *metav1.ObjectMeta, why string) {
	cut := metav1.ObjectMeta{
		Name: m.Name, Namespace: m.Namespace, UID: m.UID, ResourceVersion: m.ResourceVersion, Generation: m.Generation,
		CreationTimestamp: m.CreationTimestamp, DeletionTimestamp: m.DeletionTimestamp, DeletionGracePeriodSeconds: m.DeletionGracePeriodSeconds,
		Annotations: map[string]string{v1alpha1.UnreadAnnotation: why[:min(len(why), maxWhy)]},
	}
	if Size(&m.Labels) <= Small {
		cut.Labels = m.Labels
	} else if model, ok := m.Labels[v1alpha1.ModelLabel]; ok {
		cut.Labels = map[string]string{v1alpha1.ModelLabel: model}
	}
	if Size(&m.OwnerReferences) <= Small {
		cut.OwnerReferences = m.OwnerReferences
	}
	*m = cut
}
