// Package adjust says what Interlock puts around a model: the objects in spec.adjust.objects of the Safeguards that it
// needs, with the values of the model filled in.
//
// It is pure: it returns objects and applies none.
package adjust

import (
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"

	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/util/json"
	"k8s.io/apimachinery/pkg/util/validation"

	"github.com/interlock-dev/interlock/api/v1alpha1"
)

// ErrInvalid is in every error of Parse.
var ErrInvalid = errors.New("spec.adjust.objects cannot be used")

const (
	// largest is the most bytes that a manifest may have.
	largest = 16 << 10
	// reserved begins the names of Interlock's own objects, of which some count as Interlock's by their name alone.
	reserved = "interlock-"
	// labelGroup is in the keys of Interlock's own labels and annotations.
	labelGroup = "interlock.dev"
)

// Template is one object of a Safeguard before the values of a model are filled in.
type Template struct {
	// Kind of the object.
	Kind schema.GroupVersionKind
	// Name of the object, without the values.
	Name    string
	content map[string]any
}

// Parse reads the objects of a Safeguard. The error says in one line what is wrong, where, and what to do.
func Parse(sg *v1alpha1.Safeguard) ([]Template, error) {
	if sg.Spec.Adjust == nil {
		return nil, nil
	}
	var templates []Template
	for i := range sg.Spec.Adjust.Objects {
		t, err := parse(&sg.Spec.Adjust.Objects[i])
		if err != nil {
			return nil, fmt.Errorf("%w: spec.adjust.objects[%d]%w", ErrInvalid, i, err)
		}
		templates = append(templates, t)
	}
	return templates, nil
}

// parse gives errors that begin with the field, seen from the object.
func parse(o *v1alpha1.AdjustmentObject) (Template, error) {
	gv, err := schema.ParseGroupVersion(o.APIVersion)
	if err != nil {
		return Template{}, fmt.Errorf(".apiVersion: %w", err)
	}
	t := Template{Kind: gv.WithKind(o.Kind), Name: o.Name}
	if why := Refused(t.Kind.GroupKind()); why != "" {
		return Template{}, fmt.Errorf(".kind: %s is refused, since it %s", t.Kind.GroupKind(), why)
	}
	if t.content, err = contentOf(o.Manifest); err != nil {
		return Template{}, err
	}
	if !strings.Contains(o.Name, "$(model.name)") {
		return Template{}, errors.New(".name: it must hold $(model.name), so that each model of a namespace has an object of its own")
	}
	if _, err := t.Object(longest); err != nil {
		return Template{}, err
	}
	return t, nil
}

func contentOf(manifest *runtime.RawExtension) (map[string]any, error) {
	if manifest == nil || len(manifest.Raw) == 0 {
		return nil, errors.New(".manifest: it is empty; write the object there, such as its spec")
	}
	if len(manifest.Raw) > largest {
		return nil, fmt.Errorf(".manifest: it has %d bytes; %d are the most", len(manifest.Raw), largest)
	}
	var content map[string]any
	if err := json.Unmarshal(manifest.Raw, &content); err != nil {
		return nil, fmt.Errorf(".manifest: %w", err)
	}
	for _, field := range []string{"apiVersion", "kind", "status"} {
		if _, has := content[field]; has {
			return nil, fmt.Errorf(".manifest.%s: it cannot be set here; take it away", field)
		}
	}
	return content, checkMetadata(content["metadata"])
}

// checkMetadata lets a manifest say nothing of its object that is for Interlock to say: where it is, whose it is.
func checkMetadata(metadata any) error {
	if metadata == nil {
		return nil
	}
	fields, ok := metadata.(map[string]any)
	if !ok {
		return errors.New(".manifest.metadata: it must be an object")
	}
	for _, field := range slices.Sorted(maps.Keys(fields)) {
		if field != "labels" && field != "annotations" {
			return fmt.Errorf(".manifest.metadata.%s: only labels and annotations can be set; take it away", field)
		}
		entries, ok := fields[field].(map[string]any)
		if !ok {
			return fmt.Errorf(".manifest.metadata.%s: it must be a map", field)
		}
		for _, key := range slices.Sorted(maps.Keys(entries)) {
			if _, ok := entries[key].(string); !ok {
				return fmt.Errorf(".manifest.metadata.%s[%s]: the value must be a text; put it in quotes", field, key)
			}
			if prefix, _, _ := strings.Cut(key, "/"); key == v1alpha1.ManagedByLabel || within(prefix, labelGroup) {
				return fmt.Errorf(".manifest.metadata.%s[%s]: it is Interlock's own; take it away", field, key)
			}
		}
	}
	return nil
}

// Object gives the object for a model, in its namespace and with the labels by which it is found again.
func (t Template) Object(v Values) (*unstructured.Unstructured, error) {
	name, err := v.expand(t.Name)
	if err != nil {
		return nil, fmt.Errorf(".name: %w", err)
	}
	if wrong := validation.IsDNS1123Subdomain(name); len(wrong) > 0 {
		return nil, fmt.Errorf(".name: %q: %s", name, strings.Join(wrong, "; "))
	}
	if strings.HasPrefix(name, reserved) {
		return nil, fmt.Errorf(".name: %q begins with %q, as only Interlock's own objects do; begin it with something else", name, reserved)
	}
	filled, err := v.fill(t.content, ".manifest")
	if err != nil {
		return nil, err
	}
	o := &unstructured.Unstructured{Object: filled.(map[string]any)}
	o.SetGroupVersionKind(t.Kind)
	o.SetNamespace(v.Namespace)
	o.SetName(name)
	labels := o.GetLabels()
	if labels == nil {
		labels = map[string]string{}
	}
	maps.Copy(labels, Labels(v.Model, v.Safeguard))
	o.SetLabels(labels)
	return o, nil
}

// Labels are of the objects that a Safeguard asks for around a model.
func Labels(model, safeguard string) map[string]string {
	return map[string]string{v1alpha1.ManagedByLabel: v1alpha1.ManagedBy, v1alpha1.AdjustedForLabel: model, v1alpha1.AdjustedByLabel: safeguard}
}
