package workload

import (
	"bytes"
	"encoding/json"
	"fmt"

	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"

	"github.com/interlock-dev/interlock/api/v1alpha1"
)

// read gives the value that a workload has; nil, it has none.
func (s *Setting) read(o *unstructured.Unstructured) (json.RawMessage, error) {
	value, found, err := unstructured.NestedFieldNoCopy(o.Object, s.path()...)
	if err != nil {
		return nil, fmt.Errorf("read what stops %s %s: %w; correct the kind's entry in the table", o.GetKind(), o.GetName(), err)
	}
	if !found || value == nil {
		return nil, nil
	}
	return json.Marshal(value)
}

// stops says whether a value is the one that stops.
func (s *Setting) stops(value json.RawMessage) bool {
	want, err := json.Marshal(s.Value)
	return err == nil && bytes.Equal(want, value)
}

// patch gives the merge patch that sets a value; nil takes it away.
func (s *Setting) patch(value any) map[string]any {
	if raw, ok := value.(json.RawMessage); ok && raw == nil {
		value = nil
	}
	patch := map[string]any{}
	set(patch, value, s.path()...)
	return patch
}

// set puts a value under a path and leaves what else is there.
func set(into map[string]any, value any, path ...string) {
	for _, key := range path[:len(path)-1] {
		below, ok := into[key].(map[string]any)
		if !ok {
			below = map[string]any{}
			into[key] = below
		}
		into = below
	}
	into[path[len(path)-1]] = value
}

// modelsNamed gives the models that a manifest names in the label of models, wherever that stands: each kind has its pod
// templates elsewhere.
func modelsNamed(value any) map[string]bool {
	names := map[string]bool{}
	var visit func(any)
	visit = func(value any) {
		switch v := value.(type) {
		case map[string]any:
			for key, below := range v {
				if name, ok := below.(string); ok && key == v1alpha1.ModelLabel {
					names[name] = true
				}
				visit(below)
			}
		case []any:
			for _, below := range v {
				visit(below)
			}
		}
	}
	visit(value)
	return names
}
