package workload

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	corev1 "k8s.io/api/core/v1"
	policyv1 "k8s.io/api/policy/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/interlock-dev/interlock/internal/decision"
	"github.com/interlock-dev/interlock/internal/testing/builder"
)

// server notes what it is asked, and answers as it is told for the pod.
type server struct {
	client.Client
	asked   []string
	answers map[string]error
}

func (s *server) Delete(_ context.Context, o client.Object, opts ...client.DeleteOption) error {
	options := (&client.DeleteOptions{}).ApplyOptions(opts).AsDeleteOptions()
	s.asked = append(s.asked, fmt.Sprintf("delete %s/%s of %s within %ds", o.GetNamespace(), o.GetName(), *options.Preconditions.UID, *options.GracePeriodSeconds))
	return s.answers[o.GetName()]
}

func (s *server) SubResource(name string) client.SubResourceClient {
	return subresource{server: s, name: name}
}

type subresource struct {
	client.SubResourceClient
	server *server
	name   string
}

func (s subresource) Create(_ context.Context, o, sub client.Object, _ ...client.SubResourceCreateOption) error {
	eviction := sub.(*policyv1.Eviction)
	if eviction.Name != o.GetName() || eviction.Namespace != o.GetNamespace() || eviction.DeleteOptions.GracePeriodSeconds == nil {
		return fmt.Errorf("eviction of %s: %+v", o.GetName(), eviction)
	}
	s.server.asked = append(s.server.asked, fmt.Sprintf("%s %s/%s of %s within %ds", s.name, o.GetNamespace(), o.GetName(),
		*eviction.DeleteOptions.Preconditions.UID, *eviction.DeleteOptions.GracePeriodSeconds))
	return s.server.answers[o.GetName()]
}

func aPod(name string, changes ...func(*corev1.Pod)) *corev1.Pod {
	b := builder.Pod("serving", name).With(func(p *corev1.Pod) {
		p.UID, p.Spec.TerminationGracePeriodSeconds = types.UID("uid-"+name), nil
	})
	for _, change := range changes {
		b.With(change)
	}
	return b.Build()
}

func grace(seconds int64) func(*corev1.Pod) {
	return func(p *corev1.Pod) { p.Spec.TerminationGracePeriodSeconds = &seconds }
}

// leaving was told to end some time ago, and given some seconds.
func leaving(seconds int64, ago time.Duration) func(*corev1.Pod) {
	return func(p *corev1.Pod) {
		p.DeletionTimestamp = &metav1.Time{Time: begin.Add(time.Duration(seconds)*time.Second - ago)}
		p.DeletionGracePeriodSeconds = &seconds
	}
}

func finalized(p *corev1.Pod) { p.Finalizers = []string{"example.com/stay"} }

func TestEvict(t *testing.T) {
	gvr := corev1.Resource("pods")
	budget := apierrors.NewTooManyRequests("Cannot evict pod as it would violate the pod's disruption budget.", 10)
	budget.ErrStatus.Details.Causes = []metav1.StatusCause{{Type: policyv1.DisruptionBudgetCause, Message: "The disruption budget vllm needs 1 healthy pods and has 1 currently"}}
	budgets := &apierrors.StatusError{ErrStatus: metav1.Status{Code: 500, Message: "This pod has more than one PodDisruptionBudget, which the eviction subresource does not support."}}
	forbidden := apierrors.NewForbidden(gvr, "x", errors.New("a webhook\nsaid no"))
	evict, force := decision.Measures{Evict: true}, decision.Measures{Evict: true, Force: true}
	for name, tc := range map[string]struct {
		measures decision.Measures
		pods     []*corev1.Pod
		answers  map[string]error
		asked    []string
		want     Eviction
		err      []string
	}{
		"nothing is due":     {measures: decision.Measures{}, pods: []*corev1.Pod{aPod("a"), aPod("b", leaving(3600, 0))}},
		"no pods":            {measures: force},
		"eviction, by name":  {measures: evict, pods: []*corev1.Pod{aPod("b"), aPod("a")}, asked: []string{"eviction serving/a of uid-a within 30s", "eviction serving/b of uid-b within 30s"}, want: Eviction{Evicted: 2}},
		"already on its way": {measures: evict, pods: []*corev1.Pod{aPod("a", leaving(60, 0)), aPod("b")}, asked: []string{"eviction serving/b of uid-b within 30s"}, want: Eviction{Evicted: 1}},
		"a long grace is cut": {measures: evict, pods: []*corev1.Pod{aPod("a", grace(315360000)), aPod("b", grace(200))},
			asked: []string{"eviction serving/a of uid-a within 300s", "eviction serving/b of uid-b within 200s"}, want: Eviction{Evicted: 2}},
		"a grace ends with the deadline": {measures: decision.Measures{Evict: true, ForceAt: begin.Add(100 * time.Second)}, pods: []*corev1.Pod{aPod("a", grace(3600)), aPod("b")},
			asked: []string{"eviction serving/a of uid-a within 100s", "eviction serving/b of uid-b within 30s"}, want: Eviction{Evicted: 2}},
		"leaving for years": {measures: evict, pods: []*corev1.Pod{aPod("a", grace(315360000), leaving(315360000, time.Minute))},
			asked: []string{"delete serving/a of uid-a within 300s"}, want: Eviction{Deleted: 1}},
		"leaving for years, beyond the deadline": {measures: decision.Measures{Evict: true, ForceAt: begin.Add(40 * time.Second)}, pods: []*corev1.Pod{aPod("a", grace(315360000), leaving(315360000, time.Minute))},
			asked: []string{"delete serving/a of uid-a within 100s"}, want: Eviction{Deleted: 1}},
		"leaving for longer than it may": {measures: evict, pods: []*corev1.Pod{aPod("a", leaving(30, 5*time.Minute)), aPod("b", leaving(315360000, 5*time.Minute))},
			asked: []string{"delete serving/a of uid-a within 0s", "delete serving/b of uid-b within 0s"}, want: Eviction{Deleted: 2}},
		"told to end at once, and there": {measures: evict, pods: []*corev1.Pod{aPod("a", leaving(0, time.Minute), finalized)},
			want: Eviction{Obstacle: "1 of 1 pods, such as pod a: it was deleted without grace, and its finalizers keep the object: example.com/stay"}},
		"a budget blocks one": {measures: evict, pods: []*corev1.Pod{aPod("a"), aPod("b")}, answers: map[string]error{"a": budget},
			asked: []string{"eviction serving/a of uid-a within 30s", "eviction serving/b of uid-b within 30s"},
			want:  Eviction{Evicted: 1, Blocked: 1, Obstacle: "1 of 2 pods, such as pod a: Cannot evict pod as it would violate the pod's disruption budget. The disruption budget vllm needs 1 healthy pods and has 1 currently"}},
		"several budgets": {measures: evict, pods: []*corev1.Pod{aPod("a")}, answers: map[string]error{"a": budgets}, asked: []string{"eviction serving/a of uid-a within 30s"},
			want: Eviction{Blocked: 1, Obstacle: "1 of 1 pods, such as pod a: This pod has more than one PodDisruptionBudget, which the eviction subresource does not support."}},
		"gone since": {measures: evict, pods: []*corev1.Pod{aPod("a")}, answers: map[string]error{"a": apierrors.NewNotFound(gvr, "a")}, asked: []string{"eviction serving/a of uid-a within 30s"}, want: Eviction{Evicted: 1}},
		"a namesake since": {measures: evict, pods: []*corev1.Pod{aPod("a")}, answers: map[string]error{"a": apierrors.NewConflict(gvr, "a", errors.New("the UID differs"))},
			asked: []string{"eviction serving/a of uid-a within 30s"}, want: Eviction{Evicted: 1}},
		"one that fails protects no other": {measures: evict, pods: []*corev1.Pod{aPod("a"), aPod("b"), aPod("c")}, answers: map[string]error{"a": forbidden, "c": forbidden},
			asked: []string{"eviction serving/a of uid-a within 30s", "eviction serving/b of uid-b within 30s", "eviction serving/c of uid-c within 30s"},
			want:  Eviction{Evicted: 1, Failed: 2, Obstacle: "2 of 3 pods, such as pod a: pods \"x\" is forbidden: a webhook said no"}, err: []string{"take out pod a: ", "take out pod c: "}},
		"an answer that is none": {measures: evict, pods: []*corev1.Pod{aPod("a")}, answers: map[string]error{"a": errors.New("connection refused")}, asked: []string{"eviction serving/a of uid-a within 30s"},
			want: Eviction{Failed: 1, Obstacle: "1 of 1 pods, such as pod a: connection refused"}, err: []string{"take out pod a: connection refused"}},
		"force":                          {measures: force, pods: []*corev1.Pod{aPod("a"), aPod("b")}, asked: []string{"delete serving/a of uid-a within 30s", "delete serving/b of uid-b within 30s"}, want: Eviction{Deleted: 2}},
		"force alone is enough":          {measures: decision.Measures{Force: true}, pods: []*corev1.Pod{aPod("a")}, asked: []string{"delete serving/a of uid-a within 30s"}, want: Eviction{Deleted: 1}},
		"force, a short grace is kept":   {measures: force, pods: []*corev1.Pod{aPod("a", grace(5))}, asked: []string{"delete serving/a of uid-a within 5s"}, want: Eviction{Deleted: 1}},
		"force, a long grace is cut":     {measures: force, pods: []*corev1.Pod{aPod("a", grace(86400))}, asked: []string{"delete serving/a of uid-a within 30s"}, want: Eviction{Deleted: 1}},
		"force, leaving in time":         {measures: force, pods: []*corev1.Pod{aPod("a", leaving(30, 0))}},
		"force, leaving in its own time": {measures: force, pods: []*corev1.Pod{aPod("a", grace(86400), leaving(86400, time.Second))}, asked: []string{"delete serving/a of uid-a within 30s"}, want: Eviction{Deleted: 1}},
		"force, told to end before":      {measures: force, pods: []*corev1.Pod{aPod("a", grace(86400), leaving(86400, time.Hour)), aPod("b", leaving(30, 30*time.Second))}, asked: []string{"delete serving/a of uid-a within 0s", "delete serving/b of uid-b within 0s"}, want: Eviction{Deleted: 2}},
		"force, one that fails protects no other": {measures: force, pods: []*corev1.Pod{aPod("a"), aPod("b")}, answers: map[string]error{"a": forbidden},
			asked: []string{"delete serving/a of uid-a within 30s", "delete serving/b of uid-b within 30s"},
			want:  Eviction{Deleted: 1, Failed: 1, Obstacle: "1 of 2 pods, such as pod a: pods \"x\" is forbidden: a webhook said no"}, err: []string{"take out pod a: "}},
		"force, gone since": {measures: force, pods: []*corev1.Pod{aPod("a")}, answers: map[string]error{"a": apierrors.NewNotFound(gvr, "a")}, asked: []string{"delete serving/a of uid-a within 30s"}, want: Eviction{Deleted: 1}},
	} {
		t.Run(name, func(t *testing.T) {
			s := &server{answers: tc.answers}
			given := slices.Clone(tc.pods)
			got, err := new(Evictor).Evict(t.Context(), s, begin, tc.pods, tc.measures)
			if again := (tc.measures.Evict || tc.measures.Force) && len(tc.pods) > 0; again != got.Next.Equal(begin.Add(retryEviction)) {
				t.Errorf("tried again at %s, want in %s: %v", got.Next, retryEviction, again)
			}
			got.Next = time.Time{}
			if diff := cmp.Diff(tc.asked, s.asked); diff != "" {
				t.Errorf("asked of the API server (-want +got):\n%s", diff)
			}
			if diff := cmp.Diff(tc.want, got); diff != "" {
				t.Errorf("eviction (-want +got):\n%s", diff)
			}
			if (err != nil) != (tc.err != nil) {
				t.Errorf("error %v, want one: %v", err, tc.err != nil)
			}
			for _, part := range tc.err {
				if err == nil || !strings.Contains(err.Error(), part) {
					t.Errorf("want %q in: %v", part, err)
				}
			}
			if !slices.Equal(given, tc.pods) {
				t.Error("the pods were put in another order")
			}
		})
	}
}
