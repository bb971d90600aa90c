package workload

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"reflect"
	"slices"
	"sync"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/client-go/util/retry"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/log"

	"github.com/interlock-dev/interlock/api/v1alpha1"
)

// TrafficManager owns what leads clients to a fallback, for as long as it does, and the Services that Interlock makes.
const TrafficManager = "interlock-fallback"

const (
	// FallbackLabel names the model for which a Service or HTTPRoute was turned, or a Service made. They are found by it.
	FallbackLabel = "interlock.dev/fallback-for"
	// TurnedAnnotation holds what is to be restored. It is written in one request with the turn.
	TurnedAnnotation = "interlock.dev/turned"
)

// mostTurns is how often one thing is turned while a model is not cleared: what undoes it that often means to.
const mostTurns = 3

// Traffic turns what leads clients to a model to its fallback, and back. What it remembers is read from the cluster again
// by whoever comes after it.
type Traffic struct {
	objects

	mu sync.Mutex
	// led holds what bears our label.
	led map[Ref]led
}

// led is what is known of a Service or HTTPRoute that bears our label.
type led struct {
	model string
	// owned says that it is a Service which Interlock made.
	owned bool
	// turns counts how often it was turned.
	turns int
}

// NewTraffic gives a Traffic that remembers nothing yet: see Recall.
func NewTraffic(c client.Client, live client.Reader, mapper meta.RESTMapper) *Traffic {
	return &Traffic{objects: objects{c, live, mapper, TrafficManager}, led: map[Ref]led{}}
}

// Fallback is a model and the one that serves instead.
type Fallback struct {
	// Model that clients want, and Instead, the one that serves: ModelDeployments of one namespace.
	Namespace, Model, Instead string
	// IsDefault says that pods of the namespace which name no model are of the one that clients want.
	IsDefault bool
	// Ready says whether a pod of the fallback is that a selector picks.
	Ready func(selector map[string]string) bool
}

// Turning is what is to lead to a fallback, and how.
type Turning struct {
	Ref `json:"-"`
	// Selector is what a Service is to pick pods by.
	Selector map[string]string `json:"selector,omitempty"`
	// Backends of an HTTPRoute, each by the Service in whose place it comes.
	Backends map[string]string `json:"backends,omitempty"`
}

// Turned tells where something leads after an attempt to turn it.
type Turned struct {
	// Leads says that it leads to the fallback.
	Leads bool
	// Why it does not, for people to mend.
	Why string
	// Contested says that something else undoes it.
	Contested bool
}

// turnedMark is what TurnedAnnotation holds.
type turnedMark struct {
	// UID of the object: a copy of its manifest was not turned.
	UID types.UID `json:"uid"`
	// Former value of the field that leads clients.
	Former json.RawMessage `json:"former"`
	Turning
}

func turnedMarkOf(o *unstructured.Unstructured) (turnedMark, bool) {
	var m turnedMark
	err := json.Unmarshal([]byte(o.GetAnnotations()[TurnedAnnotation]), &m)
	m.Turning.Ref = Ref{Group: o.GroupVersionKind().Group, Kind: o.GetKind(), Namespace: o.GetNamespace(), Name: o.GetName()}
	return m, err == nil && m.UID == o.GetUID()
}

// former gives the value that is to be restored.
func (m turnedMark) former() (value any, err error) {
	err = json.Unmarshal(m.Former, &value)
	return value, err
}

// Turn lets something lead to the fallback of a model. It does so a few times, and then leaves it to whatever undoes it,
// until it was returned: nobody is fought.
//
// Whoever may declare a model may name anything in its fallback. So what is turned must name the model itself, somewhere in
// its manifest, or name none in a namespace whose default the model is.
func (t *Traffic) Turn(ctx context.Context, turning Turning, f Fallback) (turned Turned, err error) {
	err = retry.RetryOnConflict(retry.DefaultBackoff, func() error {
		turned, err = t.turn(ctx, turning, f)
		return err
	})
	switch {
	case apierrors.IsNotFound(err):
		return Turned{Why: "it does not exist"}, nil
	case meta.IsNoMatchError(err):
		return Turned{Why: fmt.Sprintf("the cluster has no kind %s of group %s", turning.Kind, turning.Group)}, nil
	case apierrors.IsForbidden(err) || apierrors.IsInvalid(err):
		return Turned{Why: err.Error()}, nil
	case err != nil:
		return Turned{}, fmt.Errorf("turn %s: %w", turning.Ref, err)
	}
	return turned, nil
}

func (t *Traffic) turn(ctx context.Context, turning Turning, f Fallback) (Turned, error) {
	o := &unstructured.Unstructured{}
	if err := t.get(ctx, turning.Ref, o); err != nil {
		return Turned{}, err
	}
	now, _, err := unstructured.NestedFieldCopy(o.Object, turning.field()...)
	if err != nil {
		return Turned{}, err
	}
	m, marked := turnedMarkOf(o)
	if marked {
		t.note(turning.Ref, f.Model)
	}
	if turning.leads(now) && (!marked || reflect.DeepEqual(turning, m.Turning)) {
		return Turned{Leads: true}, nil
	}
	former := now
	if marked && m.leads(now) { // as the declaration wanted it before
		if former, err = m.former(); err != nil {
			return Turned{}, err
		}
	}
	value, why := turning.apply(former)
	if why == "" {
		why, err = t.objection(ctx, o, marked, turning, f)
	}
	if why != "" || err != nil {
		return Turned{Why: why}, err
	}
	if t.turns(turning.Ref) >= mostTurns {
		return Turned{Contested: true, Why: fmt.Sprintf("it was turned %d times, and something else undid it each time, such as a GitOps tool", mostTurns)}, nil
	}
	mark := turnedMark{UID: o.GetUID(), Turning: turning}
	if mark.Former, err = json.Marshal(former); err != nil {
		return Turned{}, err
	}
	note, err := json.Marshal(mark)
	if err != nil {
		return Turned{}, err
	}
	log.FromContext(ctx).Info("Turning clients to the fallback", "by", turning.Ref, "model", f.Model, "fallback", f.Instead)
	patch := map[string]any{}
	set(patch, replacing(now, value), turning.field()...)
	set(patch, map[string]any{FallbackLabel: f.Model}, "metadata", "labels")
	set(patch, string(note), "metadata", "annotations", TurnedAnnotation)
	if err := t.patch(ctx, o, patch); err != nil {
		return Turned{}, err
	}
	t.count(turning.Ref, f.Model)
	return Turned{Leads: true}, nil
}

// objection says why something that could be turned must not be.
func (t *Traffic) objection(ctx context.Context, o *unstructured.Unstructured, marked bool, turning Turning, f Fallback) (string, error) {
	if names := modelsNamed(o.Object); !marked && !names[f.Model] && (len(names) > 0 || !f.IsDefault) {
		return fmt.Sprintf("it does not name model %s; put the label %s on it", f.Model, v1alpha1.ModelLabel), nil
	}
	selectors := map[string]map[string]string{}
	if turning.Kind == "Service" {
		selectors["it"] = turning.Selector
	}
	for _, name := range turning.Backends {
		service := &unstructured.Unstructured{}
		ref := Ref{Kind: "Service", Namespace: turning.Namespace, Name: name}
		if err := t.get(ctx, ref, service); apierrors.IsNotFound(err) {
			return fmt.Sprintf("%s of the fallback does not exist", ref), nil
		} else if err != nil {
			return "", err
		}
		selectors[ref.String()], _, _ = unstructured.NestedStringMap(service.Object, "spec", "selector")
	}
	for _, by := range slices.Sorted(maps.Keys(selectors)) {
		selector := selectors[by]
		switch {
		case selector[v1alpha1.ModelLabel] != f.Instead:
			return fmt.Sprintf("the selector of %s does not hold %s: %s, so it may pick pods of other models", by, v1alpha1.ModelLabel, f.Instead), nil
		case !f.Ready(selector):
			return fmt.Sprintf("no pod of model %s that %s would pick is ready", f.Instead, by), nil
		}
	}
	return "", nil
}

// Look says where something leads that may have been turned.
func (t *Traffic) Look(ctx context.Context, turning Turning) (Turned, error) {
	if !t.knows(turning.Ref) {
		return Turned{}, nil
	}
	o := &unstructured.Unstructured{}
	err := t.get(ctx, turning.Ref, o)
	if apierrors.IsNotFound(err) || meta.IsNoMatchError(err) {
		return Turned{Why: "it does not exist any more"}, nil
	}
	if err != nil {
		return Turned{}, fmt.Errorf("look at %s, which was turned: %w", turning.Ref, err)
	}
	now, _, err := unstructured.NestedFieldNoCopy(o.Object, turning.field()...)
	return Turned{Leads: turning.leads(now)}, err
}

// Return lets something lead to its model again, if it was turned. What somebody else has changed meanwhile stays as it is,
// unless it still leads to the fallback.
func (t *Traffic) Return(ctx context.Context, ref Ref) error {
	if !t.knows(ref) {
		return nil
	}
	err := retry.RetryOnConflict(retry.DefaultBackoff, func() error { return t.back(ctx, ref) })
	if err != nil && !apierrors.IsNotFound(err) && !meta.IsNoMatchError(err) {
		return fmt.Errorf("return %s: %w", ref, err)
	}
	t.forget(ref)
	return nil
}

// back restores the former value first, and takes our marks away when that is done: whoever comes in between finds them.
func (t *Traffic) back(ctx context.Context, ref Ref) error {
	o := &unstructured.Unstructured{}
	if err := t.get(ctx, ref, o); err != nil {
		return err
	}
	if m, marked := turnedMarkOf(o); marked {
		now, _, err := unstructured.NestedFieldCopy(o.Object, m.field()...)
		if err != nil {
			return err
		}
		former, err := m.former()
		if err != nil {
			return err
		}
		if value := m.undo(now, former); !reflect.DeepEqual(now, value) {
			log.FromContext(ctx).Info("Returning clients to the model", "by", ref)
			patch := map[string]any{}
			set(patch, replacing(now, value), m.field()...)
			if err := t.patch(ctx, o, patch); err != nil {
				return err
			}
		}
	}
	return t.unmark(ctx, o, FallbackLabel, TurnedAnnotation)
}

// Recall finds what was turned and made before, and returns the models for which it was.
func (t *Traffic) Recall(ctx context.Context) ([]types.NamespacedName, error) {
	var models []types.NamespacedName
	var errs []error
	for _, kind := range []Ref{{Kind: "Service"}, {Group: GatewayGroup, Kind: "HTTPRoute"}} {
		err := t.each(ctx, kind.Group, kind.Kind, FallbackLabel, func(o *metav1.PartialObjectMetadata) {
			model := o.Labels[FallbackLabel]
			kind.Namespace, kind.Name = o.Namespace, o.Name
			t.learn(kind, led{model: model, owned: ownedFor(o, model)})
			models = append(models, types.NamespacedName{Namespace: o.Namespace, Name: model})
		})
		if err != nil {
			errs = append(errs, fmt.Errorf("list what was turned of kind %s: %w", kind.Kind, err))
		}
	}
	return models, errors.Join(errs...)
}

// ownedFor says whether Interlock made a Service for a model.
func ownedFor(o client.Object, model string) bool {
	by := metav1.GetControllerOf(o)
	return by != nil && by.APIVersion == v1alpha1.GroupVersion.String() && by.Kind == "ModelDeployment" && by.Name == model
}
