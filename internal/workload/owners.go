package workload

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/types"
)

const (
	// longestChain is the most owners above a pod that are followed: references that lead in a circle end here.
	longestChain = 10
	// knownOwners is how many owners are remembered, and rememberOwner for how long: who owns them hardly ever changes.
	knownOwners   = 8192
	rememberOwner = 10 * time.Minute
)

// Ref names a workload.
type Ref struct {
	Group, Kind, Namespace, Name string
}

func (r Ref) String() string { return r.Kind + " " + r.Name }

// Workload is what owns pods: the highest of their owners that can be stopped, or the highest there is.
type Workload struct {
	Ref
	// Pods that it owns, of those that were asked for.
	Pods []*corev1.Pod
	// Targets are to be stopped for it to have no pods.
	Targets []Ref
	// CannotStop says why there are no targets.
	CannotStop string
}

// Find gives the workloads that own pods, sorted. Where owners could not be looked up, the error says so, and what is
// known of them stands in their place.
func (w *Workloads) Find(ctx context.Context, pods []*corev1.Pod) ([]Workload, error) {
	found := map[Ref]*Workload{}
	var errs []error
	for _, pod := range pods {
		chain, err := w.owners(ctx, pod)
		if err != nil {
			errs = append(errs, fmt.Errorf("find the owners of pod %s: %w", pod.Name, err))
		}
		one := w.plan(pod, chain)
		all := found[one.Ref]
		if all == nil {
			found[one.Ref] = &one
			continue
		}
		all.Pods = append(all.Pods, pod)
		for _, t := range one.Targets {
			if !slices.Contains(all.Targets, t) {
				all.Targets = append(all.Targets, t)
			}
		}
	}
	list := make([]Workload, 0, len(found))
	for _, one := range found {
		list = append(list, *one)
	}
	slices.SortFunc(list, func(a, b Workload) int { return CompareRefs(a.Ref, b.Ref) })
	return list, errors.Join(errs...)
}

// CompareRefs orders by kind, then by name.
func CompareRefs(a, b Ref) int {
	return cmp.Or(cmp.Compare(a.Kind, b.Kind), cmp.Compare(a.Group, b.Group), cmp.Compare(a.Namespace, b.Namespace), cmp.Compare(a.Name, b.Name))
}

// plan says what is to be stopped of a pod's owners, of which the nearest comes first: the highest that can be, since it
// would start again what stands below it.
func (w *Workloads) plan(pod *corev1.Pod, chain []Ref) Workload {
	if len(chain) == 0 {
		return Workload{Ref: Ref{Kind: "Pod", Namespace: pod.Namespace, Name: pod.Name}, Pods: []*corev1.Pod{pod},
			CannotStop: "nothing owns this pod, so there is nothing to stop; Evict takes it out"}
	}
	one := Workload{Ref: chain[len(chain)-1], Pods: []*corev1.Pod{pod}}
	for _, ref := range slices.Backward(chain) {
		kind := w.Kinds.Of(ref.Group, ref.Kind)
		switch {
		case kind == nil:
			continue
		case kind.CannotStop != "":
			return Workload{Ref: ref, Pods: one.Pods, Targets: one.Targets, CannotStop: kind.CannotStop}
		case kind.Stop != nil:
			if len(one.Targets) == 0 {
				one.Ref = ref
			}
			one.Targets = append(one.Targets, ref)
		}
		if !kind.StopOwned {
			break
		}
	}
	if len(one.Targets) == 0 {
		one.CannotStop = fmt.Sprintf("the operator has no way to stop a %s; add its kind with --workload-kinds (docs/workloads.md)", one.Kind)
	}
	return one
}

// owners gives the chain of controllers above a pod, the nearest first, as far as it can be followed: the objects of a
// kind that is not in the table are not looked at.
func (w *Workloads) owners(ctx context.Context, pod *corev1.Pod) ([]Ref, error) {
	var chain []Ref
	for owner := metav1.GetControllerOf(pod); owner != nil && len(chain) < longestChain; {
		gk := schema.FromAPIVersionAndKind(owner.APIVersion, owner.Kind).GroupKind()
		ref := Ref{Group: gk.Group, Kind: gk.Kind, Namespace: pod.Namespace, Name: owner.Name}
		if gk.Kind != "Pod" {
			chain = append(chain, ref)
		}
		if w.Kinds.Of(ref.Group, ref.Kind) == nil {
			break
		}
		next, err := w.ownerOf(ctx, ref, owner.UID)
		if err != nil {
			return chain, err
		}
		owner = next
	}
	return chain, nil
}

// ownerOf gives the controller of an object; nil, it has none, is gone, or is of a kind that is not served.
func (w *Workloads) ownerOf(ctx context.Context, ref Ref, uid types.UID) (*metav1.OwnerReference, error) {
	if known, ok := w.parents.Get(uid); ok {
		return known.(*metav1.OwnerReference), nil
	}
	object := &metav1.PartialObjectMetadata{}
	err := w.get(ctx, ref, object)
	var owner *metav1.OwnerReference
	switch {
	case apierrors.IsNotFound(err) || apierrors.IsForbidden(err) || meta.IsNoMatchError(err): // what stops it says so
	case err != nil:
		return nil, err
	case object.UID == uid: // another is a namesake of what owned the pod
		owner = metav1.GetControllerOf(object)
	}
	w.parents.Add(uid, owner, rememberOwner)
	return owner, nil
}

// Wanted gives how many pods the controllers of some pods want, by their UID. Where a kind does not tell, or is not known,
// its controllers are left out.
func (w *Workloads) Wanted(ctx context.Context, pods []*corev1.Pod) (map[types.UID]int, error) {
	wanted, seen := map[types.UID]int{}, map[types.UID]bool{}
	for _, pod := range pods {
		owner := metav1.GetControllerOf(pod)
		if owner == nil || seen[owner.UID] {
			continue
		}
		seen[owner.UID] = true
		gk := schema.FromAPIVersionAndKind(owner.APIVersion, owner.Kind).GroupKind()
		if w.Kinds.Of(gk.Group, gk.Kind) == nil {
			continue
		}
		object := &unstructured.Unstructured{}
		err := w.get(ctx, Ref{Group: gk.Group, Kind: gk.Kind, Namespace: pod.Namespace, Name: owner.Name}, object)
		switch {
		case apierrors.IsNotFound(err) || apierrors.IsForbidden(err) || meta.IsNoMatchError(err):
		case err != nil:
			return nil, fmt.Errorf("find how many pods %s %s wants: %w", owner.Kind, owner.Name, err)
		case object.GetUID() == owner.UID:
			for _, path := range [][]string{{"spec", "replicas"}, {"status", "desiredNumberScheduled"}} {
				if n, found, err := unstructured.NestedInt64(object.Object, path...); found && err == nil {
					wanted[owner.UID] = int(n)
				}
			}
		}
	}
	return wanted, nil
}
