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
	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/watch"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/interlock-dev/interlock/api/v1alpha1"
)

// entry is one version of the clearances, a pod or a model; the others are nil.
type entry struct {
	// object is its kind and name.
	object string
	// version is the resourceVersion, which grows over all kinds: all are in one etcd.
	version int64
	// seen is when the test learnt of it, which is later than it was.
	seen       time.Time
	deleted    bool
	clearances *corev1.LimitRange
	pod        *corev1.Pod
	model      *v1alpha1.ModelDeployment
}

// history keeps every version of the clearances, the pods and the models of a namespace since it began, so that a test can
// tell what came first, and what never was.
type history struct {
	// listed gives the versions of what there is now, by the object.
	listed func() (map[string]int64, error)

	mu      sync.Mutex
	entries []entry
	// latest has the versions of what there is, as far as the history has come.
	latest map[string]int64
}

func (w *world) watch(ctx context.Context) *history {
	GinkgoHelper()
	lists := []client.ObjectList{&corev1.LimitRangeList{}, &corev1.PodList{}, &v1alpha1.ModelDeploymentList{}}
	h := &history{listed: func() (map[string]int64, error) {
		versions := map[string]int64{}
		for _, list := range lists {
			if err := api.List(ctx, list, client.InNamespace(w.ns)); err != nil {
				return nil, err
			}
			if err := meta.EachListItem(list, func(o runtime.Object) error {
				if e, ok := entryOf(o); ok {
					versions[e.object] = e.version
				}
				return nil
			}); err != nil {
				return nil, err
			}
		}
		return versions, nil
	}}
	var err error
	h.latest, err = h.listed()
	Expect(err).NotTo(HaveOccurred())
	for _, list := range lists {
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
		e, ok := entryOf(event.Object)
		if !ok {
			continue
		}
		e.deleted, e.seen = event.Type == watch.Deleted, time.Now()
		h.mu.Lock()
		h.entries = append(h.entries, e)
		h.latest[e.object] = e.version
		if e.deleted {
			delete(h.latest, e.object)
		}
		h.mu.Unlock()
	}
}

// entryOf gives the entry of an object; false, histories keep none of it.
func entryOf(o runtime.Object) (entry, bool) {
	switch o := o.(type) {
	case *corev1.LimitRange:
		return entry{object: "clearances", version: version(o), clearances: o}, o.Name == v1alpha1.ClearancesName
	case *corev1.Pod:
		return entry{object: "pod " + o.Name, version: version(o), pod: o}, true
	case *v1alpha1.ModelDeployment:
		return entry{object: "model " + o.Name, version: version(o), model: o}, true
	}
	return entry{}, false
}

func version(o client.Object) int64 {
	v, err := strconv.ParseInt(o.GetResourceVersion(), 10, 64)
	if err != nil {
		panic(err)
	}
	return v
}

// catchUp waits until the history has come to what there is now: a watch may tell of it later than a test learns of it
// by asking.
func (h *history) catchUp() {
	GinkgoHelper()
	Eventually(func(g Gomega) {
		now, err := h.listed()
		g.Expect(err).NotTo(HaveOccurred())
		h.mu.Lock()
		defer h.mu.Unlock()
		g.Expect(h.latest).To(Equal(now))
	}).Should(Succeed())
}

// of gives the entries up to now that meet a condition, in order.
func (h *history) of(condition func(entry) bool) []entry {
	GinkgoHelper()
	h.catchUp()
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
