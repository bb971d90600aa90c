package integration

import (
	"context"
	"maps"
	"math"
	"slices"
	"strconv"
	"sync"
	"time"

	. "github.com/onsi/ginkgo/v2"
	. "github.com/onsi/gomega"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/watch"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/interlock-dev/interlock/api/v1alpha1"
)

// entry is one version of the clearances, a pod or a model; the others are nil.
type entry struct {
	// version is the resourceVersion, which grows over all kinds: all are in one etcd.
	version int64
	// seen is when the test learnt of it, which is later than it was.
	seen       time.Time
	deleted    bool
	clearances *corev1.ConfigMap
	pod        *corev1.Pod
	model      *v1alpha1.ModelDeployment
}

// history keeps every version of the clearances, the pods and the models of a namespace since it began, so that a test can
// tell what came first, and what never was.
type history struct {
	mu      sync.Mutex
	entries []entry
}

func (w *world) watch(ctx context.Context) *history {
	GinkgoHelper()
	h := &history{}
	for _, list := range []client.ObjectList{&corev1.ConfigMapList{}, &corev1.PodList{}, &v1alpha1.ModelDeploymentList{}} {
		Expect(api.List(ctx, list, client.InNamespace(w.ns))).To(Succeed())
		watcher, err := api.Watch(ctx, list, &client.ListOptions{
			Namespace: w.ns, Raw: &metav1.ListOptions{ResourceVersion: list.GetResourceVersion()}})
		Expect(err).NotTo(HaveOccurred())
		DeferCleanup(watcher.Stop)
		go h.record(watcher)
	}
	return h
}

func (h *history) record(watcher watch.Interface) {
	for event := range watcher.ResultChan() {
		e := entry{deleted: event.Type == watch.Deleted, seen: time.Now()}
		switch o := event.Object.(type) {
		case *corev1.ConfigMap:
			if o.Name != v1alpha1.ClearancesName {
				continue
			}
			e.clearances, e.version = o, version(o)
		case *corev1.Pod:
			e.pod, e.version = o, version(o)
		case *v1alpha1.ModelDeployment:
			e.model, e.version = o, version(o)
		default:
			continue
		}
		h.mu.Lock()
		h.entries = append(h.entries, e)
		h.mu.Unlock()
	}
}

func version(o client.Object) int64 {
	v, err := strconv.ParseInt(o.GetResourceVersion(), 10, 64)
	if err != nil {
		panic(err)
	}
	return v
}

// of gives the entries that meet a condition, in order.
func (h *history) of(condition func(entry) bool) []entry {
	h.mu.Lock()
	defer h.mu.Unlock()
	found := slices.DeleteFunc(slices.Clone(h.entries), func(e entry) bool { return !condition(e) })
	slices.SortStableFunc(found, func(a, b entry) int { return int(a.version - b.version) })
	return found
}

// What entries are looked for by.
func dropsClearance(model string) func(entry) bool {
	return func(e entry) bool { return e.clearances != nil && (e.deleted || !clears(e.clearances, model)) }
}

// clearsAfter gives the clearances of a model after the first entry that meets a condition.
func (h *history) clearsAfter(condition func(entry) bool, model string) []entry {
	first := h.of(condition)
	return h.of(func(e entry) bool {
		return len(first) > 0 && e.clearances != nil && e.version > first[0].version && clears(e.clearances, model)
	})
}

func revokes(model string) func(entry) bool {
	return func(e entry) bool {
		return e.model != nil && e.model.Name == model && e.model.Status.Verdict == v1alpha1.OutcomeRevoked
	}
}

// saidOf gives all conditions that a model had while it was revoked.
func (h *history) saidOf(model string) []metav1.Condition {
	var said []metav1.Condition
	for _, e := range h.of(revokes(model)) {
		said = append(said, e.model.Status.Conditions...)
	}
	return said
}

func goesAway(e entry) bool { return e.pod != nil && e.pod.DeletionTimestamp != nil }

// leastReady gives how few pods of a workload were ready and here to stay at the moments at which one of them left, of
// those that were ready when the history began and those that came since.
func (h *history) leastReady(app string, before []corev1.Pod) int {
	steady, left, least := map[string]bool{}, map[string]bool{}, math.MaxInt
	for i := range before {
		steady[before[i].Name] = before[i].Labels["app"] == app
	}
	for _, e := range h.of(func(e entry) bool { return e.pod != nil && e.pod.Labels["app"] == app }) {
		steady[e.pod.Name] = e.pod.DeletionTimestamp == nil && !e.deleted && slices.ContainsFunc(e.pod.Status.Conditions,
			func(c corev1.PodCondition) bool { return c.Type == corev1.PodReady && c.Status == corev1.ConditionTrue })
		if (e.deleted || e.pod.DeletionTimestamp != nil) && !left[e.pod.Name] {
			left[e.pod.Name] = true
			least = min(least, len(slices.DeleteFunc(slices.Collect(maps.Values(steady)), func(is bool) bool { return !is })))
		}
	}
	return least
}

// deletedAt is when the deletion of a pod was asked for.
func (e entry) deletedAt() time.Time {
	return e.pod.DeletionTimestamp.Add(-time.Duration(*e.pod.DeletionGracePeriodSeconds) * time.Second)
}
