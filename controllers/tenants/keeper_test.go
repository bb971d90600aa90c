package tenants

import (
	"context"
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	corev1 "k8s.io/api/core/v1"
	networkingv1 "k8s.io/api/networking/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	testclock "k8s.io/utils/clock/testing"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/client/fake"
	"sigs.k8s.io/controller-runtime/pkg/client/interceptor"

	"github.com/interlock-dev/interlock/api/v1alpha1"
	"github.com/interlock-dev/interlock/internal/tenancy"
)

const mib = 1 << 20

func fat(name string) *corev1.Pod {
	return &corev1.Pod{ObjectMeta: metav1.ObjectMeta{Namespace: "n", Name: name, UID: types.UID(name)},
		Spec: corev1.PodSpec{Containers: []corev1.Container{{Name: "c", Args: []string{strings.Repeat("a", mib)}}}}}
}

// serving gives a keeper of an API server with some objects, and a count of what it reads.
func serving(total int64, objects ...client.Object) (*Keeper, *int, *testclock.FakePassiveClock) {
	reads := 0
	server := interceptor.NewClient(fake.NewClientBuilder().WithObjects(objects...).Build(), interceptor.Funcs{
		Get: func(ctx context.Context, c client.WithWatch, key client.ObjectKey, o client.Object, opts ...client.GetOption) error {
			reads++
			return c.Get(ctx, key, o, opts...)
		}})
	clock := testclock.NewFakePassiveClock(time.Unix(0, 0))
	return &Keeper{Shares: tenancy.NewShares(total), Live: server, Clock: clock}, &reads, clock
}

// stubs gives what the cache has of pods that came while their namespace was not enrolled.
func stubs(pods ...*corev1.Pod) []*corev1.Pod {
	var all []*corev1.Pod
	for _, pod := range pods {
		stub := pod.DeepCopy()
		tenancy.NewShares(0).Pod(stub)
		all = append(all, stub)
	}
	return all
}

func TestStubsAreFilledWhenTheNamespaceIsEnrolled(t *testing.T) {
	pod := fat("a")
	k, reads, _ := serving(100*mib, pod.DeepCopy())
	look := func() (*corev1.Pod, time.Duration) {
		pods := stubs(pod)
		again, err := k.Pods(t.Context(), pods)
		if err != nil {
			t.Fatal(err)
		}
		return pods[0], again
	}
	if got, again := look(); !tenancy.IsStub(got) || again != catchUp || *reads != 0 {
		t.Errorf("before it is known to be enrolled: stub %v, again in %s, %d reads", tenancy.IsStub(got), again, *reads)
	}
	k.Shares.Enrol("n", true)
	for range 2 { // read once
		got, again := look()
		if again != 0 || *reads != 1 {
			t.Errorf("again in %s, %d reads, want one", again, *reads)
		}
		if diff := cmp.Diff(pod.Spec, got.Spec); diff != "" {
			t.Errorf("filled (-want +got):\n%s", diff)
		}
	}
	k.forget(pod, true)
	if held, _ := k.Shares.Count(); held != 0 {
		t.Errorf("%d bytes are held of a pod that is gone", held)
	}
}

func TestStubsStayWhereThereIsNoRoom(t *testing.T) {
	one, two := fat("a"), fat("b")
	k, reads, clock := serving(3*mib, one.DeepCopy(), two.DeepCopy())
	k.Shares.Enrol("n", true)
	look := func() (left int) {
		pods := stubs(one, two)
		again, err := k.Pods(t.Context(), pods)
		if err != nil {
			t.Fatal(err)
		}
		for _, pod := range pods {
			if tenancy.IsStub(pod) {
				left++
			}
		}
		if left > 0 != (again == Retry) {
			t.Errorf("%d stubs are left, and it is to be looked again in %s", left, again)
		}
		return left
	}
	if left := look(); left != 1 || *reads != 2 {
		t.Errorf("%d stubs are left after %d reads, want one after two", left, *reads)
	}
	clock.SetTime(clock.Now().Add(2 * Retry))
	if left := look(); left != 1 || *reads != 2 {
		t.Errorf("%d stubs are left after %d reads though nothing has become free", left, *reads)
	}
	k.forget(one, true)
	pods := stubs(two)
	if again, err := k.Pods(t.Context(), pods); err != nil || again != 0 || tenancy.IsStub(pods[0]) {
		t.Errorf("when there is room: again in %s, error %v", again, err)
	}
}

func TestStubsOfNetworkPolicies(t *testing.T) {
	policy := &networkingv1.NetworkPolicy{
		ObjectMeta: metav1.ObjectMeta{Namespace: "n", Name: "a", UID: "a", Annotations: map[string]string{v1alpha1.UnreadAnnotation: "forged"}},
		Spec:       networkingv1.NetworkPolicySpec{PolicyTypes: []networkingv1.PolicyType{networkingv1.PolicyTypeEgress}}}
	k, _, _ := serving(mib, policy.DeepCopy())
	k.Shares.Enrol("n", true)
	stub := policy.DeepCopy()
	tenancy.NewShares(0).NetworkPolicy(stub)
	list := []networkingv1.NetworkPolicy{*stub}
	again, err := k.NetworkPolicies(t.Context(), list)
	if err != nil || again != 0 {
		t.Fatalf("again in %s, error %v", again, err)
	}
	if diff := cmp.Diff(policy.Spec, list[0].Spec); diff != "" || len(list[0].Annotations) != 0 {
		t.Errorf("filled (-want +got):\n%s, annotations %v", diff, list[0].Annotations)
	}
}

// TestNotKnowingIsAnError: a pod that cannot be read is not taken for one that is gone.
func TestNotKnowingIsAnError(t *testing.T) {
	k, _, _ := serving(mib)
	k.Shares.Enrol("n", true)
	if again, err := k.Pods(t.Context(), stubs(fat("gone"))); err != nil || again != Retry {
		t.Errorf("of a pod that is gone: again in %s, error %v", again, err)
	}
	k.Live = interceptor.NewClient(fake.NewFakeClient(), interceptor.Funcs{
		Get: func(context.Context, client.WithWatch, client.ObjectKey, client.Object, ...client.GetOption) error {
			return errors.New("no word")
		}})
	if _, err := k.Pods(t.Context(), stubs(fat("a"))); err == nil {
		t.Error("no error though it could not be read")
	}
}
