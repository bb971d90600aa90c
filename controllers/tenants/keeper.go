// Package tenants keeps what is held of tenants' objects within the bounds of internal/tenancy, and reads anew what there is room
// for by now. It judges nothing.
package tenants

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	corev1 "k8s.io/api/core/v1"
	networkingv1 "k8s.io/api/networking/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	toolscache "k8s.io/client-go/tools/cache"
	"k8s.io/utils/clock"
	"sigs.k8s.io/controller-runtime/pkg/cache"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/log"

	"github.com/interlock-dev/interlock/api/v1alpha1"
	"github.com/interlock-dev/interlock/internal/tenancy"
)

// Retry is how long until a stub is looked at again for which there was no room.
const Retry = 30 * time.Second

// catchUp is how long to wait for a cache that is behind.
const catchUp = 100 * time.Millisecond

// namespacesAtOnce is how many namespaces are read at once.
const namespacesAtOnce = 100

// Keeper fills the stubs of enrolled namespaces. It is safe for concurrent use.
type Keeper struct {
	Shares *tenancy.Shares
	// Live reads past the cache.
	Live  client.Reader
	Clock clock.PassiveClock

	mu sync.Mutex
	// read has what was read in the place of stubs.
	read map[types.UID]reading
	// told has the versions of stubs of which the log says that there is no room.
	told map[types.UID]string
}

// reading is what came of reading an object of which the cache has a stub.
type reading struct {
	// stub is the version of the stub.
	stub string
	// object is nil if there was no room for it.
	object client.Object
	at     time.Time
}

// +kubebuilder:rbac:groups="",resources=namespaces,verbs=list;watch
// +kubebuilder:rbac:groups="",resources=pods,verbs=get;list;watch
// +kubebuilder:rbac:groups=interlock.dev,resources=attestations,verbs=get;list;watch
// +kubebuilder:rbac:groups=networking.k8s.io,resources=networkpolicies,verbs=get;list;watch

// Watch finds out which namespaces are enrolled before anything is cached, and follows what comes and goes from then on.
func (k *Keeper) Watch(ctx context.Context, informers cache.Informers) error {
	if err := k.enrolments(ctx); err != nil {
		return fmt.Errorf("find the namespaces that are enrolled: %w", err)
	}
	namespace := &metav1.PartialObjectMetadata{}
	namespace.SetGroupVersionKind(corev1.SchemeGroupVersion.WithKind("Namespace"))
	enrol := func(o any) {
		if ns, ok := o.(*metav1.PartialObjectMetadata); ok {
			k.Shares.Enrol(ns.Name, enrolled(ns))
		}
	}
	leave := func(o any) {
		if m, err := toolscache.DeletionHandlingObjectToName(o); err == nil {
			k.Shares.Enrol(m.Name, false)
		}
	}
	what := toolscache.ResourceEventHandlerFuncs{UpdateFunc: func(_, o any) { k.forget(o, false) }, DeleteFunc: func(o any) { k.forget(o, true) }}
	return errors.Join(
		handle(ctx, informers, namespace, toolscache.ResourceEventHandlerFuncs{AddFunc: enrol, UpdateFunc: func(_, o any) { enrol(o) }, DeleteFunc: leave}),
		handle(ctx, informers, &corev1.Pod{}, what),
		handle(ctx, informers, &networkingv1.NetworkPolicy{}, what),
		handle(ctx, informers, &v1alpha1.Attestation{}, what))
}

func handle(ctx context.Context, informers cache.Informers, kind client.Object, handler toolscache.ResourceEventHandler) error {
	informer, err := informers.GetInformer(ctx, kind, cache.BlockUntilSynced(false))
	if err != nil {
		return fmt.Errorf("watch %T: %w", kind, err)
	}
	_, err = informer.AddEventHandler(handler)
	return err
}

func (k *Keeper) enrolments(ctx context.Context) error {
	for page := ""; ; {
		list := &metav1.PartialObjectMetadataList{}
		list.SetGroupVersionKind(corev1.SchemeGroupVersion.WithKind("NamespaceList"))
		if err := k.Live.List(ctx, list, client.Limit(namespacesAtOnce), client.Continue(page)); err != nil {
			return err
		}
		for i := range list.Items {
			k.Shares.Enrol(list.Items[i].Name, enrolled(&list.Items[i]))
		}
		if page = list.Continue; page == "" {
			return nil
		}
	}
}

func enrolled(ns *metav1.PartialObjectMetadata) bool {
	for _, label := range v1alpha1.PolicyLabels {
		if _, ok := ns.Labels[label]; ok {
			return true
		}
	}
	return false
}

// Pods puts pods of an enrolled namespace in the place of stubs, as far as there is room, and says how soon to look again. Zero means
// that no stubs are left.
func (k *Keeper) Pods(ctx context.Context, pods []*corev1.Pod) (again time.Duration, err error) {
	for i, pod := range pods {
		if !tenancy.IsStub(pod) {
			continue
		}
		full := &corev1.Pod{}
		o, err := k.fill(ctx, pod, full, func() bool { k.Shares.Pod(full); return !tenancy.IsStub(full) })
		if err != nil {
			return 0, fmt.Errorf("read pod %s: %w", pod.Name, err)
		}
		if o == nil {
			again = k.again(pod.Namespace)
			continue
		}
		pods[i] = o.(*corev1.Pod)
	}
	return again, nil
}

// NetworkPolicies puts NetworkPolicies in the place of stubs, as Pods does.
func (k *Keeper) NetworkPolicies(ctx context.Context, policies []networkingv1.NetworkPolicy) (again time.Duration, err error) {
	for i := range policies {
		if !tenancy.IsPolicyStub(&policies[i]) {
			continue
		}
		full := &networkingv1.NetworkPolicy{}
		o, err := k.fill(ctx, &policies[i], full, func() bool {
			full.Annotations = nil
			k.Shares.NetworkPolicy(full)
			return !tenancy.IsPolicyStub(full)
		})
		if err != nil {
			return 0, fmt.Errorf("read NetworkPolicy %s: %w", policies[i].Name, err)
		}
		if o == nil {
			again = k.again(policies[i].Namespace)
			continue
		}
		policies[i] = *o.(*networkingv1.NetworkPolicy)
	}
	return again, nil
}

// Attestations puts Attestations in the place of stubs, as Pods does.
func (k *Keeper) Attestations(ctx context.Context, all []*v1alpha1.Attestation) error {
	for i, a := range all {
		if !tenancy.IsAttestationStub(a) {
			continue
		}
		full := &v1alpha1.Attestation{}
		o, err := k.fill(ctx, a, full, func() bool { k.Shares.Attestation(full); return !tenancy.IsAttestationStub(full) })
		if err != nil {
			return fmt.Errorf("read Attestation %s: %w", a.Name, err)
		}
		if o != nil {
			all[i] = o.(*v1alpha1.Attestation)
		}
	}
	return nil
}

// again says how soon to look again at a namespace with stubs: at once, if it is not known here yet that it is enrolled.
func (k *Keeper) again(namespace string) time.Duration {
	if !k.Shares.Enrolled(namespace) {
		return catchUp
	}
	return Retry
}

// fill gives the object that a stub stands for. There is none if there is no room for it or it is gone.
func (k *Keeper) fill(ctx context.Context, stub, full client.Object, kept func() bool) (client.Object, error) {
	now := k.Clock.Now()
	k.mu.Lock()
	have, known := k.read[stub.GetUID()]
	k.mu.Unlock()
	if known && have.stub == stub.GetResourceVersion() && (have.object != nil || now.Before(have.at.Add(Retry))) {
		return have.object, nil
	}
	if _, declared := stub.(*v1alpha1.Attestation); !declared && !k.Shares.Enrolled(stub.GetNamespace()) {
		return nil, nil
	}
	if !k.Shares.MayFit(stub.GetUID()) {
		k.tell(ctx, stub)
		return nil, nil
	}
	if err := k.Live.Get(ctx, client.ObjectKeyFromObject(stub), full); err != nil {
		return nil, client.IgnoreNotFound(err)
	}
	if full.GetUID() != stub.GetUID() {
		return nil, nil
	}
	made := reading{stub: stub.GetResourceVersion(), at: now}
	if kept() {
		made.object = full
	}
	k.mu.Lock()
	defer k.mu.Unlock()
	if k.read == nil {
		k.read = map[types.UID]reading{}
	}
	k.read[stub.GetUID()] = made
	return made.object, nil
}

// tell logs once that there is no room for a version of an object.
func (k *Keeper) tell(ctx context.Context, stub client.Object) {
	k.mu.Lock()
	defer k.mu.Unlock()
	if k.told[stub.GetUID()] == stub.GetResourceVersion() {
		return
	}
	if k.told == nil {
		k.told = map[types.UID]string{}
	}
	k.told[stub.GetUID()] = stub.GetResourceVersion()
	log.FromContext(ctx).Info("An object is not looked at, since its namespace has no room for it in memory", "kind", fmt.Sprintf("%T", stub),
		"object", client.ObjectKeyFromObject(stub), "why", stub.GetAnnotations()[v1alpha1.UnreadAnnotation])
}

// forget drops what was read in the place of a stub that is no more, and its room if the object is gone.
func (k *Keeper) forget(o any, gone bool) {
	if last, ok := o.(toolscache.DeletedFinalStateUnknown); ok {
		o = last.Obj
	}
	m, ok := o.(metav1.Object)
	if !ok {
		return
	}
	if gone {
		k.Shares.Release(m.GetUID())
	}
	k.mu.Lock()
	defer k.mu.Unlock()
	delete(k.read, m.GetUID())
	if gone {
		delete(k.told, m.GetUID())
	}
}
