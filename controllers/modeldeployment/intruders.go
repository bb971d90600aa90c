package modeldeployment

import (
	"context"
	"sync"
	"time"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/apimachinery/pkg/util/resourceversion"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/interlock-dev/interlock/controllers/metrics"
	"github.com/interlock-dev/interlock/internal/decision"
)

// intruders knows which pods passed the gate after their model's clearance had gone. The API server reads clearances from a
// cache of its own, which is behind for moments. The versions of all objects have one order, so that it can be told. What
// came before this process began is not known: such a pod is treated as one that ran.
type intruders struct {
	mu sync.Mutex
	// revoked holds the version of the clearances by which a model lost its own.
	revoked map[types.NamespacedName]string
	// passed holds the version in which a pod was first seen past the gate.
	passed map[types.UID]string
}

// lost notes that a model lost its clearance, and regained that it has one again.
func (i *intruders) lost(model types.NamespacedName, version string) {
	i.mu.Lock()
	defer i.mu.Unlock()
	if i.revoked == nil {
		i.revoked = map[types.NamespacedName]string{}
	}
	i.revoked[model] = version
}

func (i *intruders) regained(model types.NamespacedName) {
	i.mu.Lock()
	defer i.mu.Unlock()
	delete(i.revoked, model)
}

// pass notes that a pod is past the gate, and gone that it is no more.
func (i *intruders) pass(pod client.Object) {
	i.mu.Lock()
	defer i.mu.Unlock()
	if i.passed == nil {
		i.passed = map[types.UID]string{}
	}
	i.passed[pod.GetUID()] = pod.GetResourceVersion()
}

func (i *intruders) gone(pod client.Object) {
	i.mu.Lock()
	defer i.mu.Unlock()
	delete(i.passed, pod.GetUID())
}

// among gives those of a model's pods that came in after its clearance had gone.
func (i *intruders) among(model types.NamespacedName, pods []*corev1.Pod) []*corev1.Pod {
	i.mu.Lock()
	defer i.mu.Unlock()
	revoked, ok := i.revoked[model]
	if !ok {
		return nil
	}
	var found []*corev1.Pod
	for _, pod := range pods {
		if order, err := resourceversion.CompareResourceVersion(i.passed[pod.UID], revoked); err == nil && order > 0 {
			found = append(found, pod)
		}
	}
	return found
}

// expel takes out at once the pods that came in after the revocation: they never served, so no step of the policy waits for them.
func (r *Reconciler) expel(ctx context.Context, now time.Time, g *gathered) error {
	found := r.intruders.among(client.ObjectKeyFromObject(g.model), g.admitted())
	eviction, err := r.evictor.Evict(ctx, r.Client, now, found, decision.Measures{Force: true})
	metrics.Evicted(eviction)
	return err
}
