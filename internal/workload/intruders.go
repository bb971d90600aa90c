package workload

import (
	"sync"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/apimachinery/pkg/util/resourceversion"
	"sigs.k8s.io/controller-runtime/pkg/client"
)

// Intruders knows which pods passed the gate after their model's clearance had gone. The API server reads clearances from a
// cache of its own, which is behind for moments. The versions of all objects have one order, so that it can be told. What
// came before this process began is not known: such a pod is treated as one that ran.
type Intruders struct {
	mu sync.Mutex
	// revoked holds the version of the clearances by which a model lost its own.
	revoked map[types.NamespacedName]string
	// passed holds the version in which a pod was first seen past the gate.
	passed map[types.UID]string
}

// Lost notes that a model lost its clearance, by the version of the clearances that says so.
func (i *Intruders) Lost(model types.NamespacedName, version string) {
	i.mu.Lock()
	defer i.mu.Unlock()
	if i.revoked == nil {
		i.revoked = map[types.NamespacedName]string{}
	}
	i.revoked[model] = version
}

// Regained notes that a model has a clearance again.
func (i *Intruders) Regained(model types.NamespacedName) {
	i.mu.Lock()
	defer i.mu.Unlock()
	delete(i.revoked, model)
}

// Pass notes that a pod is past the gate.
func (i *Intruders) Pass(pod client.Object) {
	i.mu.Lock()
	defer i.mu.Unlock()
	if i.passed == nil {
		i.passed = map[types.UID]string{}
	}
	i.passed[pod.GetUID()] = pod.GetResourceVersion()
}

// Gone notes that a pod is no more.
func (i *Intruders) Gone(pod client.Object) {
	i.mu.Lock()
	defer i.mu.Unlock()
	delete(i.passed, pod.GetUID())
}

// Among gives those of a model's pods that came in after its clearance had gone.
func (i *Intruders) Among(model types.NamespacedName, pods []*corev1.Pod) []*corev1.Pod {
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
