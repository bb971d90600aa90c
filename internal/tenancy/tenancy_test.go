package tenancy

import (
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	corev1 "k8s.io/api/core/v1"
	networkingv1 "k8s.io/api/networking/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"

	"github.com/interlock-dev/interlock/api/v1alpha1"
	"github.com/interlock-dev/interlock/internal/safeguard/egress"
)

const mib = 1 << 20

// taken takes objects of one size until there is no room for more.
func taken(s *Shares, namespace string, size int64) (sum int64) {
	for i := range 10_000 {
		if !s.Take(namespace, types.UID(namespace+string(rune('0'+i))), size) {
			break
		}
		sum += size
	}
	return sum
}

func TestWhoeverTakesMuchLeavesRoomForOthers(t *testing.T) {
	s := NewShares(120*mib, "operator")
	for _, namespace := range []string{"a", "b", "c"} {
		s.Enrol(namespace, true)
	}
	var got []int64
	for _, namespace := range []string{"a", "b", "c", "not-enrolled", "nor-this"} {
		got = append(got, taken(s, namespace, mib)/mib)
	}
	if diff := cmp.Diff([]int64{60, 30, 15, 7, 0}, got); diff != "" {
		t.Errorf("MiB of each namespace in turn (-want +got):\n%s", diff)
	}
	before, _ := s.Count()
	if !s.Take("operator", "own", 500*mib) {
		t.Error("the operator has no room in its own namespace")
	}
	if after, _ := s.Count(); after != before {
		t.Errorf("what is in the operator's namespace takes %d bytes from tenants", after-before)
	}
	if !s.Take("a", "small", Small) {
		t.Error("there is no room for an object that is as small as its stub")
	}
}

func TestRoomIsGivenBack(t *testing.T) {
	s := NewShares(100 * mib)
	s.Enrol("a", true)
	for _, step := range []struct {
		uid  types.UID
		size int64
		want bool
	}{
		{"one", 40 * mib, true},
		{"one", 40 * mib, true}, // the same again, as it changes
		{"two", 40 * mib, false},
		{"one", 5 * mib, true},
		{"two", 40 * mib, true},
	} {
		if got := s.Take("a", step.uid, step.size); got != step.want {
			t.Errorf("room for %d MiB of %s: %v, want %v", step.size/mib, step.uid, got, step.want)
		}
	}
	if s.Take("a", "three", 40*mib) || s.MayFit("three") {
		t.Error("there is room for more than half")
	}
	s.Release("two")
	if !s.MayFit("three") {
		t.Error("what was released is not free")
	}
	s.Release("one")
	s.Release("three")
	if held, refused := s.Count(); held != 0 || refused != 0 {
		t.Errorf("%d bytes are held and %d refused when all is gone", held, refused)
	}
}

func fatPod(namespace string) *corev1.Pod {
	return &corev1.Pod{
		ObjectMeta: metav1.ObjectMeta{Namespace: namespace, Name: "fat", UID: "1", ResourceVersion: "7",
			Labels:      map[string]string{v1alpha1.ModelLabel: "m"},
			Annotations: map[string]string{v1alpha1.UnreadAnnotation: "forged"}, Finalizers: []string{strings.Repeat("f", mib)}},
		Spec: corev1.PodSpec{SchedulingGates: []corev1.PodSchedulingGate{{Name: v1alpha1.ClearanceGate}, {Name: "other"}},
			Containers: []corev1.Container{{Name: "c", Args: []string{strings.Repeat("a", mib)}}}},
		Status: corev1.PodStatus{Phase: corev1.PodPending, Message: "long"},
	}
}

func TestPodsAreCut(t *testing.T) {
	for name, tc := range map[string]struct {
		namespace string
		total     int64
		want      string
	}{
		"held":         {"enrolled", 100 * mib, ""},
		"no room":      {"enrolled", 2 * mib, "the pod takes 2.0 MiB of memory, and its namespace has no room for that; make it or others of the namespace smaller"},
		"not enrolled": {"other", 100 * mib, "its namespace was not enrolled when it was read"},
	} {
		t.Run(name, func(t *testing.T) {
			s := NewShares(tc.total)
			s.Enrol("enrolled", true)
			pod := fatPod(tc.namespace)
			s.Pod(pod)
			first := pod.DeepCopy()
			s.Pod(pod) // caches may ask twice
			if diff := cmp.Diff(first, pod); diff != "" {
				t.Errorf("cut again, it is another (-first +again):\n%s", diff)
			}
			if pod.Status.Message != "" || pod.Status.Phase != corev1.PodPending {
				t.Errorf("status %+v", pod.Status)
			}
			if tc.want == "" {
				if IsStub(pod) {
					t.Fatal("a pod with a forged annotation is taken for a stub")
				}
				return
			}
			if !IsStub(pod) || pod.Annotations[v1alpha1.UnreadAnnotation] != tc.want || Size(pod) > 2*Small {
				t.Errorf("stub of %d bytes: %q, want %q", Size(pod), pod.Annotations[v1alpha1.UnreadAnnotation], tc.want)
			}
			if pod.Labels[v1alpha1.ModelLabel] != "m" || pod.ResourceVersion != "7" || len(pod.Spec.SchedulingGates) != 1 {
				t.Errorf("a stub lacks what it takes to release a pod: %+v", pod)
			}
		})
	}
}

func TestPoliciesAreCut(t *testing.T) {
	s := NewShares(2 * mib)
	s.Enrol("n", true)
	policy := &networkingv1.NetworkPolicy{
		ObjectMeta: metav1.ObjectMeta{Namespace: "n", Name: "fat", UID: "1", Annotations: map[string]string{v1alpha1.UnreadAnnotation: "forged"}},
		Spec:       networkingv1.NetworkPolicySpec{PodSelector: metav1.LabelSelector{MatchLabels: map[string]string{"a": strings.Repeat("b", mib)}}}}
	small := policy.DeepCopy()
	small.Spec, small.Annotations, small.UID = networkingv1.NetworkPolicySpec{}, nil, "2"
	s.NetworkPolicy(small)
	if IsPolicyStub(small) {
		t.Error("a small policy was cut")
	}
	s.NetworkPolicy(policy)
	if policy.Annotations[v1alpha1.UnreadAnnotation] == "forged" {
		t.Error("a policy that says of itself that it is not read is taken for a stub")
	}
	s.NetworkPolicy(policy)
	if !IsPolicyStub(policy) || len(policy.Spec.Egress) != 1 || len(policy.Spec.PodSelector.MatchLabels) != 0 {
		t.Errorf("a stub must select all pods and allow everything: %+v", policy)
	}
}

// TestSizeCountsMemory: what is small as text may be large in memory.
func TestSizeCountsMemory(t *testing.T) {
	pod := &corev1.Pod{Spec: corev1.PodSpec{Containers: []corev1.Container{{Env: make([]corev1.EnvVar, 100_000)}}}}
	if size := Size(pod); size < 3*mib {
		t.Errorf("100,000 empty variables take %d bytes", size)
	}
	if size := Size(&corev1.Pod{}); size < 500 || size > 4<<10 {
		t.Errorf("an empty pod takes %d bytes", size)
	}
}

func TestOneNameOfTheAnnotation(t *testing.T) {
	if egress.Unread != v1alpha1.UnreadAnnotation {
		t.Errorf("%q for policies and %q for pods", egress.Unread, v1alpha1.UnreadAnnotation)
	}
}

func TestAttestationsAreCut(t *testing.T) {
	s := NewShares(mib)
	s.Enrol("n", true)
	long := strings.Repeat("x", mib)
	a := &v1alpha1.Attestation{
		ObjectMeta: metav1.ObjectMeta{Namespace: "n", Name: "a", UID: "1",
			Annotations: map[string]string{v1alpha1.UnreadAnnotation: "forged", "example.com/note": long}, Labels: map[string]string{"l": long}},
		Spec: v1alpha1.AttestationSpec{Content: "{}"}}
	s.Attestation(a)
	if IsAttestationStub(a) || len(a.Annotations) != 0 || a.Labels != nil {
		t.Errorf("of what is looked at the rest is left: %d annotations", len(a.Annotations))
	}
	a.Spec.Content = long
	for range 2 {
		s.Attestation(a)
		if !IsAttestationStub(a) || a.Spec.Content != "" {
			t.Error("an Attestation for which there is no room is held")
		}
	}
}

func TestTrimLeavesWhatIsLookedAt(t *testing.T) {
	md := &v1alpha1.ModelDeployment{ObjectMeta: metav1.ObjectMeta{
		Annotations: map[string]string{v1alpha1.CreatedByAnnotation: "jane", "example.com/x": "y"}, Labels: map[string]string{"team": "a"}}}
	want := md.DeepCopy()
	delete(want.Annotations, "example.com/x")
	Trim(md)
	if diff := cmp.Diff(want, md); diff != "" {
		t.Errorf("trimmed (-want +got):\n%s", diff)
	}
	md.OwnerReferences = []metav1.OwnerReference{{Name: strings.Repeat("x", mib)}}
	Trim(md)
	if len(md.OwnerReferences) != 1 || Size(md) > 4*Small {
		t.Errorf("of large owner references %d are left in %d bytes, want a small one", len(md.OwnerReferences), Size(md))
	}
}
