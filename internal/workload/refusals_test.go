package workload

import (
	"context"
	"fmt"
	"slices"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/interlock-dev/interlock/internal/decision"
)

// budgets evicts pods as long as the budget of each has some to spare, and notes what it is asked.
type budgets struct {
	client.Client
	// of names the budget of a pod; none, it has none.
	of     func(pod client.Object) string
	spare  map[string]int
	asked  []string
	absent map[string]bool
}

func (b *budgets) SubResource(string) client.SubResourceClient { return evictions{budgets: b} }

type evictions struct {
	client.SubResourceClient
	budgets *budgets
}

func (e evictions) Create(_ context.Context, pod, _ client.Object, _ ...client.SubResourceCreateOption) error {
	b := e.budgets
	b.asked = append(b.asked, pod.GetName())
	if budget := b.of(pod); budget != "" {
		if b.spare[budget] == 0 {
			return apierrors.NewTooManyRequests("the budget "+budget+" protects it", 0)
		}
		b.spare[budget]--
	}
	b.absent[pod.GetName()] = true
	return nil
}

func (b *budgets) Delete(_ context.Context, pod client.Object, _ ...client.DeleteOption) error {
	b.asked = append(b.asked, "delete "+pod.GetName())
	b.absent[pod.GetName()] = true
	return nil
}

// madeBy gives pods that are ready, of one controller.
func madeBy(controller string, names ...string) []*corev1.Pod {
	var pods []*corev1.Pod
	for _, name := range names {
		pods = append(pods, aPod(name, func(p *corev1.Pod) {
			p.OwnerReferences = []metav1.OwnerReference{{Kind: "ReplicaSet", Name: controller, UID: types.UID(controller), Controller: new(true)}}
			p.Status = corev1.PodStatus{Phase: corev1.PodRunning, Conditions: []corev1.PodCondition{{Type: corev1.PodReady, Status: corev1.ConditionTrue}}}
		}))
	}
	return pods
}

func failing(p *corev1.Pod) { p.Status.Conditions = nil }

func TestRefusalsRest(t *testing.T) {
	evict, force := decision.Measures{Evict: true}, decision.Measures{Evict: true, Force: true}
	all := func(pod client.Object) string { return "all" }
	type pass struct {
		after    time.Duration
		measures decision.Measures
		asked    []string
		// next is when to try again, seen from the pass.
		next time.Duration
		told string
	}
	protects := func(waiting, pods int, told, budget string) string {
		return fmt.Sprintf("%d of %d pods, such as pod %s: the budget %s protects it", waiting, pods, told, budget)
	}
	for name, tc := range map[string]struct {
		pods   []*corev1.Pod
		of     func(client.Object) string
		spare  map[string]int
		passes []pass
	}{
		"what a budget refuses rests, whatever else happens, and so do those that are like it": {
			pods: madeBy("vllm", "a", "b", "c", "d"), of: all, spare: map[string]int{"all": 1}, passes: []pass{
				{0, evict, []string{"a", "b"}, 5 * time.Second, protects(3, 4, "b", "all")},
				{time.Second, evict, nil, 4 * time.Second, protects(3, 3, "b", "all")},
				{4999 * time.Millisecond, evict, nil, time.Millisecond, protects(3, 3, "b", "all")},
				{5 * time.Second, evict, []string{"c"}, 5 * time.Second, protects(3, 3, "b", "all")},
				{5 * time.Second, evict, nil, 5 * time.Second, protects(3, 3, "b", "all")},
			}},
		"a deadline waits for no rest": {
			pods: madeBy("vllm", "a", "b"), of: all, passes: []pass{
				{0, evict, []string{"a"}, 5 * time.Second, protects(2, 2, "a", "all")},
				{time.Second, force, []string{"delete b", "delete a"}, 5 * time.Second, ""},
			}},
		"pods of others, and those that count otherwise, are tried": {
			pods: append(madeBy("vllm", "a", "b"), append(madeBy("guard", "c"), aPod("d", failing), aPod("e", failing))...),
			of: func(pod client.Object) string {
				if slices.Contains([]string{"a", "b", "d"}, pod.GetName()) {
					return "all"
				}
				return ""
			}, passes: []pass{{0, evict, []string{"a", "c", "d", "e"}, 5 * time.Second, protects(3, 5, "a", "all")}}},
		"pods of one workload with a budget each all get their turn": {
			pods: madeBy("vllm", "a", "b", "c"), of: client.Object.GetName, spare: map[string]int{"c": 1}, passes: []pass{
				{0, evict, []string{"a"}, 5 * time.Second, protects(3, 3, "a", "a")},
				{5 * time.Second, evict, []string{"b"}, 5 * time.Second, protects(3, 3, "b", "b")},
				{10 * time.Second, evict, []string{"c", "a"}, 5 * time.Second, protects(2, 3, "a", "a")},
				{15 * time.Second, evict, []string{"b"}, 5 * time.Second, protects(2, 2, "b", "b")},
			}},
	} {
		t.Run(name, func(t *testing.T) {
			server := &budgets{of: tc.of, spare: tc.spare, absent: map[string]bool{}}
			var evictor Evictor
			for i, p := range tc.passes {
				now := begin.Add(p.after)
				pods := slices.DeleteFunc(slices.Clone(tc.pods), func(p *corev1.Pod) bool { return server.absent[p.Name] })
				server.asked = nil
				got, err := evictor.Evict(t.Context(), server, now, pods, p.measures)
				if err != nil {
					t.Fatal(err)
				}
				if diff := cmp.Diff(p.asked, server.asked); diff != "" {
					t.Errorf("pass %d: asked of the API server (-want +got):\n%s", i, diff)
				}
				if diff := cmp.Diff(p.told, got.Obstacle); diff != "" {
					t.Errorf("pass %d: obstacle (-want +got):\n%s", i, diff)
				}
				if wait := got.Next.Sub(now); wait != p.next {
					t.Errorf("pass %d: tried again in %s, want in %s", i, wait, p.next)
				}
			}
		})
	}
}

// TestRefusalsAreFew counts what a budget refuses while a fleet's worth of pods waits for its deadline and wakes the operator
// ten times a second.
func TestRefusalsAreFew(t *testing.T) {
	var names []string
	for i := range 20 {
		names = append(names, fmt.Sprintf("vllm-%02d", i))
	}
	server := &budgets{of: func(client.Object) string { return "all" }, spare: map[string]int{"all": 5}, absent: map[string]bool{}}
	var evictor Evictor
	refused := 0
	for at := begin; at.Before(begin.Add(time.Minute)); at = at.Add(100 * time.Millisecond) {
		pods := slices.DeleteFunc(madeBy("vllm", names...), func(p *corev1.Pod) bool { return server.absent[p.Name] })
		e, err := evictor.Evict(t.Context(), server, at, pods, decision.Measures{Evict: true})
		if err != nil {
			t.Fatal(err)
		}
		refused += e.Blocked
	}
	if len(server.absent) != 5 || refused != 12 {
		t.Errorf("%d evicted and %d refused in a minute, want 5 and one each 5 s: 12", len(server.absent), refused)
	}
}
