package workload

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"sync"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/apimachinery/pkg/util/cache"
	"k8s.io/client-go/util/retry"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/log"

	"github.com/interlock-dev/interlock/api/v1alpha1"
)

// FieldManager owns what stops a workload, for as long as it is stopped.
const FieldManager = "interlock-workload"

// What is written on a workload together with what stops it, in one request: so it is never stopped without a trace.
const (
	// StoppedForLabel names the model for which a workload was stopped. Stopped workloads are found by it.
	StoppedForLabel = "interlock.dev/stopped-for"
	// StoppedAnnotation holds what is to be restored.
	StoppedAnnotation = "interlock.dev/stopped"
)

// Workloads finds workloads, stops them and starts them again. What it remembers is read from the cluster again by whoever
// comes after it.
type Workloads struct {
	objects
	Kinds *Kinds

	// parents remembers the controller of each owner, by UID, and weights for a moment what it names weights by.
	parents, weights *cache.LRUExpireCache

	mu sync.Mutex
	// stopped holds the workloads that bear the label, and for which model.
	stopped map[Ref]string
}

// New gives Workloads that remember nothing yet: see Recall.
func New(c client.Client, live client.Reader, mapper meta.RESTMapper, kinds *Kinds) *Workloads {
	return &Workloads{objects: objects{c, live, mapper, FieldManager}, Kinds: kinds,
		parents: cache.NewLRUExpireCache(knownOwners), weights: cache.NewLRUExpireCache(knownOwners), stopped: map[Ref]string{}}
}

// Recall finds the workloads that were stopped before, and returns the models for which they were.
func (w *Workloads) Recall(ctx context.Context) ([]types.NamespacedName, error) {
	var models []types.NamespacedName
	var errs []error
	for kind := range w.Kinds.All() {
		if kind.Stop == nil {
			continue
		}
		err := w.each(ctx, kind.Group, kind.Kind, StoppedForLabel, func(o *metav1.PartialObjectMetadata) {
			if _, marked := markOf(o); !marked {
				return
			}
			model := o.Labels[StoppedForLabel]
			w.note(Ref{Group: kind.Group, Kind: kind.Kind, Namespace: o.Namespace, Name: o.Name}, model)
			models = append(models, types.NamespacedName{Namespace: o.Namespace, Name: model})
		})
		if err != nil {
			errs = append(errs, fmt.Errorf("list what was stopped of kind %s: %w", kind.Kind, err))
		}
	}
	return models, errors.Join(errs...)
}

func (w *Workloads) note(ref Ref, model string) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.stopped[ref] = model
}

func (w *Workloads) forget(ref Ref) {
	w.mu.Lock()
	defer w.mu.Unlock()
	delete(w.stopped, ref)
}

func (w *Workloads) isStopped(ref Ref) bool {
	w.mu.Lock()
	defer w.mu.Unlock()
	_, ok := w.stopped[ref]
	return ok
}

// StoppedFor lists the workloads that were stopped for a model, sorted.
func (w *Workloads) StoppedFor(model types.NamespacedName) []Ref {
	w.mu.Lock()
	defer w.mu.Unlock()
	var refs []Ref
	for ref, name := range w.stopped {
		if name == model.Name && ref.Namespace == model.Namespace {
			refs = append(refs, ref)
		}
	}
	slices.SortFunc(refs, CompareRefs)
	return refs
}

// mark is what StoppedAnnotation holds.
type mark struct {
	// UID of the workload: a copy of its manifest, or a child to which a controller hands annotations on, was not stopped.
	UID types.UID `json:"uid"`
	// Former value of what stops it; absent, it had none.
	Former json.RawMessage `json:"former,omitempty"`
}

func markOf(o client.Object) (mark, bool) {
	var m mark
	err := json.Unmarshal([]byte(o.GetAnnotations()[StoppedAnnotation]), &m)
	return m, err == nil && m.UID == o.GetUID()
}

// Stop stops a workload for a model. One that was stopped before is left alone, whatever became of it since: nobody is
// fought over it. It returns why nothing was done, where that is for people to mend.
//
// Whoever may create a pod may have it name any owner. So the workload must name the model itself, somewhere in its
// manifest, or name none in a namespace whose default the model is.
func (w *Workloads) Stop(ctx context.Context, ref Ref, model string, isDefault bool) (refused string, err error) {
	if w.isStopped(ref) {
		return "", nil
	}
	err = retry.RetryOnConflict(retry.DefaultBackoff, func() error {
		refused, err = w.stop(ctx, ref, model, isDefault)
		return err
	})
	switch {
	case apierrors.IsNotFound(err) || meta.IsNoMatchError(err):
		return "", nil
	case apierrors.IsForbidden(err) || apierrors.IsInvalid(err):
		return err.Error(), nil
	case err != nil:
		return "", fmt.Errorf("stop %s: %w", ref, err)
	}
	return refused, nil
}

func (w *Workloads) stop(ctx context.Context, ref Ref, model string, isDefault bool) (refused string, err error) {
	o := &unstructured.Unstructured{}
	if err := w.get(ctx, ref, o); err != nil {
		return "", err
	}
	if _, marked := markOf(o); marked {
		w.note(ref, model)
		return "", nil
	}
	setting := w.Kinds.Of(ref.Group, ref.Kind).Stop
	former, err := setting.read(o)
	if err != nil || setting.stops(former) {
		return "", err
	}
	if names := modelsNamed(o.Object); !names[model] && (len(names) > 0 || !isDefault) {
		return fmt.Sprintf("%s does not name model %s; put the label %s on it or on its pod template", ref, model, v1alpha1.ModelLabel), nil
	}
	note, err := json.Marshal(mark{UID: o.GetUID(), Former: former})
	if err != nil {
		return "", err
	}
	log.FromContext(ctx).Info("Stopping workload", "workload", ref)
	patch := setting.patch(setting.Value)
	set(patch, map[string]any{StoppedForLabel: model}, "metadata", "labels")
	set(patch, string(note), "metadata", "annotations", StoppedAnnotation)
	if err := w.patch(ctx, o, patch); err != nil {
		return "", err
	}
	w.note(ref, model)
	return "", nil
}

// Look says what has become of a workload that was stopped; nothing when it is gone.
func (w *Workloads) Look(ctx context.Context, ref Ref) (v1alpha1.WorkloadState, error) {
	o := &unstructured.Unstructured{}
	err := w.get(ctx, ref, o)
	if apierrors.IsNotFound(err) || meta.IsNoMatchError(err) {
		w.forget(ref)
		return "", nil
	}
	if err != nil {
		return v1alpha1.WorkloadStopped, fmt.Errorf("look at %s, which was stopped: %w", ref, err)
	}
	setting := w.Kinds.Of(ref.Group, ref.Kind).Stop
	now, err := setting.read(o)
	if err != nil || setting.stops(now) {
		return v1alpha1.WorkloadStopped, err
	}
	return v1alpha1.WorkloadStartedByOthers, nil
}

// Start starts a workload that was stopped, unless somebody has done so.
func (w *Workloads) Start(ctx context.Context, ref Ref) error {
	err := retry.RetryOnConflict(retry.DefaultBackoff, func() error { return w.start(ctx, ref) })
	if err != nil && !apierrors.IsNotFound(err) && !meta.IsNoMatchError(err) {
		return fmt.Errorf("start %s: %w", ref, err)
	}
	w.forget(ref)
	return nil
}

// start restores the former value first, and takes our marks away when that is done: whoever comes in between finds them.
func (w *Workloads) start(ctx context.Context, ref Ref) error {
	o := &unstructured.Unstructured{}
	if err := w.get(ctx, ref, o); err != nil {
		return err
	}
	m, marked := markOf(o)
	if marked {
		setting := w.Kinds.Of(ref.Group, ref.Kind).Stop
		now, err := setting.read(o)
		if err != nil {
			return err
		}
		if setting.stops(now) {
			log.FromContext(ctx).Info("Starting workload again", "workload", ref)
			if err := w.patch(ctx, o, setting.patch(m.Former)); err != nil {
				return err
			}
		}
	}
	return w.unmark(ctx, o, StoppedForLabel, StoppedAnnotation)
}
