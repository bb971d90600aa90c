package surroundings

import (
	"context"
	"fmt"
	"maps"
	"slices"
	"strings"
	"sync"
	"time"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/types"
	toolscache "k8s.io/client-go/tools/cache"
	"k8s.io/client-go/util/workqueue"
	"k8s.io/utils/clock"
	"sigs.k8s.io/controller-runtime/pkg/cache"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/reconcile"
	"sigs.k8s.io/controller-runtime/pkg/source"

	"github.com/interlock-dev/interlock/api/v1alpha1"
	"github.com/interlock-dev/interlock/internal/adjust"
)

// kinds watches the metadata of what Interlock manages, of just the kinds that are followed. It is safe for concurrent use.
type kinds struct {
	cache  cache.Cache
	live   client.Reader
	mapper meta.RESTMapper
	clock  clock.PassiveClock

	mu        sync.Mutex
	informers map[schema.GroupVersionKind]cache.Informer
	// unusable kinds are not asked about again for a while, however many models name them.
	unusable map[schema.GroupVersionKind]unusable
	queue    workqueue.TypedRateLimitingInterface[reconcile.Request]
}

// slim leaves of metadata what tells whose an object is: anybody may give an object our labels, and fill megabytes of metadata.
func slim(o any) (any, error) {
	m, ok := o.(*metav1.PartialObjectMetadata)
	if !ok {
		return o, nil
	}
	marks := map[string]string{}
	for _, label := range []string{v1alpha1.ManagedByLabel, v1alpha1.AdjustedForLabel, v1alpha1.AdjustedByLabel} {
		if value, ok := m.Labels[label]; ok {
			marks[label] = value
		}
	}
	var applied []metav1.ManagedFieldsEntry
	for _, e := range m.ManagedFields {
		if strings.HasPrefix(e.Manager, managerPrefix) {
			applied = append(applied, metav1.ManagedFieldsEntry{Manager: e.Manager, Operation: e.Operation})
		}
	}
	m.ObjectMeta = metav1.ObjectMeta{Name: m.Name, Namespace: m.Namespace, UID: m.UID, ResourceVersion: m.ResourceVersion,
		Labels: marks, ManagedFields: applied, DeletionTimestamp: m.DeletionTimestamp}
	return m, nil
}

type unusable struct {
	why   string
	until time.Time
}

func newKinds(c cache.Cache, live client.Reader, mapper meta.RESTMapper, clock clock.PassiveClock) *kinds {
	return &kinds{cache: c, live: live, mapper: mapper, clock: clock,
		informers: map[schema.GroupVersionKind]cache.Informer{}, unusable: map[schema.GroupVersionKind]unusable{}}
}

// changes is a source of requests that name the models of whose surroundings something has changed.
func (k *kinds) changes() source.Source {
	return source.Func(func(_ context.Context, queue workqueue.TypedRateLimitingInterface[reconcile.Request]) error {
		k.mu.Lock()
		defer k.mu.Unlock()
		k.queue = queue
		return nil
	})
}

// follow watches a kind, and says whether all objects of it that are ours have been read, or why it cannot be used.
func (k *kinds) follow(ctx context.Context, kind schema.GroupVersionKind) (ready bool, why string, err error) {
	k.mu.Lock()
	defer k.mu.Unlock()
	if informer, ok := k.informers[kind]; ok {
		return informer.HasSynced(), "", nil
	}
	if u, ok := k.unusable[kind]; ok && k.clock.Now().Before(u.until) {
		return false, u.why, nil
	}
	delete(k.unusable, kind)
	if why, err = k.try(ctx, kind); err != nil {
		return false, "", err
	}
	if why != "" {
		k.unusable[kind] = unusable{why, k.clock.Now().Add(recheck)}
		return false, why, nil
	}
	informer, err := k.cache.GetInformer(ctx, metadataOf(kind), cache.BlockUntilSynced(false))
	if err != nil {
		return false, "", fmt.Errorf("watch %s: %w", kind.GroupKind(), err)
	}
	if _, err := informer.AddEventHandler(k.handler()); err != nil {
		return false, "", fmt.Errorf("watch %s: %w", kind.GroupKind(), err)
	}
	k.informers[kind] = informer
	return informer.HasSynced(), "", nil
}

// try says why a kind cannot be used.
func (k *kinds) try(ctx context.Context, kind schema.GroupVersionKind) (why string, err error) {
	if why := adjust.Refused(kind.GroupKind()); why != "" {
		return fmt.Sprintf("no %s is kept, since it %s", kind.GroupKind(), why), nil
	}
	mapping, err := k.mapper.RESTMapping(kind.GroupKind(), kind.Version)
	switch {
	case meta.IsNoMatchError(err):
		return fmt.Sprintf("the cluster has no kind %s in %s (yet)", kind.Kind, kind.GroupVersion()), nil
	case err != nil:
		return "", fmt.Errorf("find kind %s: %w", kind.GroupKind(), err)
	case mapping.Scope.Name() != meta.RESTScopeNameNamespace:
		return fmt.Sprintf("%s is not namespaced, so no model can have one", kind.GroupKind()), nil
	}
	err = k.live.List(ctx, listOf(kind), client.Limit(1), client.MatchingLabels{v1alpha1.ManagedByLabel: v1alpha1.ManagedBy})
	if apierrors.IsForbidden(err) {
		return rightsWanted(mapping.Resource.GroupResource()), nil
	}
	return "", err
}

// rightsWanted tells a person what to do about a right that is missing.
func rightsWanted(resource schema.GroupResource) string {
	return fmt.Sprintf("the operator has no right to keep %s; have it given by a ClusterRole with the label %s (docs/adjust.md)",
		resource, "interlock.dev/aggregate-to-manager")
}

func (k *kinds) handler() toolscache.ResourceEventHandler {
	wake := func(o any) {
		if tombstone, ok := o.(toolscache.DeletedFinalStateUnknown); ok {
			o = tombstone.Obj
		}
		m, err := meta.Accessor(o)
		if err != nil || m.GetLabels()[v1alpha1.AdjustedForLabel] == "" {
			return
		}
		k.queue.Add(reconcile.Request{NamespacedName: types.NamespacedName{
			Namespace: m.GetNamespace(), Name: m.GetLabels()[v1alpha1.AdjustedForLabel]}})
	}
	return toolscache.ResourceEventHandlerFuncs{AddFunc: wake, DeleteFunc: wake, UpdateFunc: func(before, after any) {
		wake(before) // somebody may have changed the label
		wake(after)
	}}
}

// followed lists the kinds that are watched.
func (k *kinds) followed() []schema.GroupVersionKind {
	k.mu.Lock()
	defer k.mu.Unlock()
	return slices.Collect(maps.Keys(k.informers))
}

// retain ends the watches on all kinds but those in use.
func (k *kinds) retain(ctx context.Context, inUse map[schema.GroupVersionKind]bool) error {
	k.mu.Lock()
	defer k.mu.Unlock()
	for kind := range k.informers {
		if inUse[kind] {
			continue
		}
		if err := k.cache.RemoveInformer(ctx, metadataOf(kind)); err != nil {
			return fmt.Errorf("end the watch on %s: %w", kind.GroupKind(), err)
		}
		delete(k.informers, kind)
	}
	return nil
}

func metadataOf(kind schema.GroupVersionKind) *metav1.PartialObjectMetadata {
	o := &metav1.PartialObjectMetadata{}
	o.SetGroupVersionKind(kind)
	return o
}

func listOf(kind schema.GroupVersionKind) *metav1.PartialObjectMetadataList {
	list := &metav1.PartialObjectMetadataList{}
	list.SetGroupVersionKind(kind.GroupVersion().WithKind(kind.Kind + "List"))
	return list
}
