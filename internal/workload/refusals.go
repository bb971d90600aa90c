package workload

import (
	"cmp"
	"fmt"
	"maps"
	"slices"
	"strings"
	"sync"
	"time"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/types"
)

// retryEviction is how long to wait before pods that are to go and still run are tried again.
const retryEviction = 5 * time.Second

// refusals remembers what budgets refuse. What protects a pod protects all that are like it, so none of these is tried until
// retryEviction has passed; the next one comes first then, should each have a budget of its own after all.
type refusals struct {
	mu sync.Mutex
	of map[alike]refusal
}

// alike is what budgets tell pods apart by, as far as it can be known without looking at them: what makes the pods, which
// says what labels they have, and whether they count as healthy.
type alike struct {
	maker types.UID
	phase corev1.PodPhase
	ready bool
}

func alikeTo(pod *corev1.Pod) alike {
	return alike{maker: cmp.Or(controller(pod), pod.UID), phase: pod.Status.Phase, ready: Ready(pod)}
}

// refusal is what was said of pods that are alike.
type refusal struct {
	at time.Time
	// last is the pod that was tried last, and told the one that people are told of: the same as long as it is still true.
	last, told, words string
}

func (r refusal) String() string { return fmt.Sprintf("pod %s: %s", r.told, r.words) }

// resting gives the refusal for which a pod is not to be tried now.
func (r *refusals) resting(pod *corev1.Pod, now time.Time) (refusal, bool) {
	r.mu.Lock()
	defer r.mu.Unlock()
	known, ok := r.of[alikeTo(pod)]
	return known, ok && now.Before(known.at.Add(retryEviction))
}

// note takes down that a pod was refused, while pods were to go. What rests no more and is not asked for is forgotten.
func (r *refusals) note(pod *corev1.Pod, pods []*corev1.Pod, words string, now time.Time) refusal {
	r.mu.Lock()
	defer r.mu.Unlock()
	maps.DeleteFunc(r.of, func(_ alike, old refusal) bool { return now.After(old.at.Add(2 * retryEviction)) })
	like := alikeTo(pod)
	next := refusal{at: now, last: pod.Name, told: pod.Name, words: words}
	if known := r.of[like]; known.words == words && slices.ContainsFunc(pods, func(p *corev1.Pod) bool { return p.Name == known.told }) {
		next.told = known.told
	}
	if r.of == nil {
		r.of = map[alike]refusal{}
	}
	r.of[like] = next
	return next
}

// inTurn gives pods by name, and after all others those of which one alike was tried before.
func (r *refusals) inTurn(pods []*corev1.Pod) []*corev1.Pod {
	r.mu.Lock()
	defer r.mu.Unlock()
	had := func(p *corev1.Pod) int {
		if p.Name <= r.of[alikeTo(p)].last {
			return 1
		}
		return 0
	}
	return slices.SortedFunc(slices.Values(pods), func(a, b *corev1.Pod) int {
		return cmp.Or(cmp.Compare(had(a), had(b)), strings.Compare(a.Name, b.Name))
	})
}
