package workload

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/types"
	"sigs.k8s.io/yaml"
)

const (
	// rememberWeights is how long it is remembered what weights a workload names: for the pods of one that come at once.
	rememberWeights = 3 * time.Second
	// maxNamed is the most that one workload names; more are not looked at, and said to be too many.
	maxNamed = 100
)

var errNoYAML = errors.New("is no YAML, so what it names is not known")

// Named is something that a workload names weights by.
type Named struct {
	// Weights as they stand there.
	Weights string
	// Where they stand, or why that cannot be told: then there are no weights.
	Where string
}

// Weights gives what the owners of a pod name weights by, as far as the table says where that stands.
func (w *Workloads) Weights(ctx context.Context, pod *corev1.Pod) ([]Named, error) {
	chain, err := w.owners(ctx, pod)
	if err != nil {
		return nil, fmt.Errorf("find the owners of pod %s: %w", pod.Name, err)
	}
	return w.weightsOf(ctx, chain)
}

// WeightsOfStopped gives what the workloads name weights by that were stopped for a model, and so have no pods.
func (w *Workloads) WeightsOfStopped(ctx context.Context, model types.NamespacedName) ([]Named, error) {
	return w.weightsOf(ctx, w.StoppedFor(model))
}

func (w *Workloads) weightsOf(ctx context.Context, refs []Ref) ([]Named, error) {
	var all []Named
	for _, ref := range refs {
		kind := w.Kinds.Of(ref.Group, ref.Kind)
		if kind == nil || len(kind.Weights) == 0 {
			continue
		}
		named, err := w.named(ctx, ref, kind)
		if err != nil {
			return nil, fmt.Errorf("read what weights %s names: %w", ref, err)
		}
		all = append(all, named...)
	}
	return all, nil
}

func (w *Workloads) named(ctx context.Context, ref Ref, kind *Kind) ([]Named, error) {
	if known, ok := w.weights.Get(ref); ok {
		return known.([]Named), nil
	}
	object := &unstructured.Unstructured{}
	var named []Named
	switch err := w.get(ctx, ref, object); {
	case apierrors.IsForbidden(err):
		named = []Named{{Where: fmt.Sprintf("the operator has no right to read %s (docs/weights.md)", ref)}}
	case apierrors.IsNotFound(ignoreNoMatch(err)) || ignoreNoMatch(err) == nil && err != nil: // what is gone loads nothing more
	case err != nil:
		return nil, err
	default:
		named = kind.NamedBy(ref, object.Object)
	}
	w.weights.Add(ref, named, rememberWeights)
	return named, nil
}

// NamedBy gives what an object names weights by.
func (k *Kind) NamedBy(ref Ref, object map[string]any) []Named {
	var all []Named
	add := func(n Named) {
		if !slices.Contains(all, n) {
			all = append(all, n)
		}
	}
	for _, path := range k.Weights {
		for _, value := range find(object, path) {
			switch v := value.(type) {
			case string:
				if v != "" {
					add(Named{Weights: v, Where: fmt.Sprintf("%s, %s", ref, path)})
				}
			case error:
				text, _, _ := strings.Cut(path, "|")
				add(Named{Where: fmt.Sprintf("%s, %s %v", ref, text, v)})
			}
		}
	}
	if len(all) > maxNamed {
		all = append(all[:maxNamed], Named{Where: fmt.Sprintf("%s names weights at more than %d places", ref, maxNamed)})
	}
	return all
}

// find gives what stands at a path, an error where that cannot be read. A part of the path is a key; several keys with a
// slash between, of which the first that is there counts; or a star, every element. What stands behind a bar is looked for
// in a text of YAML.
func find(value any, path string) []any {
	head, rest, inText := strings.Cut(path, "|")
	found := []any{value}
	for part := range strings.SplitSeq(head, ".") {
		var below []any
		for _, v := range found {
			below = append(below, step(v, part)...)
		}
		found = below
	}
	if !inText {
		return found
	}
	var all []any
	for _, v := range found {
		text, ok := v.(string)
		if !ok {
			continue
		}
		var read any
		if err := yaml.Unmarshal([]byte(text), &read); err != nil {
			all = append(all, errNoYAML)
			continue
		}
		all = append(all, find(read, rest)...)
	}
	return all
}

func step(value any, part string) []any {
	switch v := value.(type) {
	case map[string]any:
		if part == "*" {
			var all []any
			for _, key := range slices.Sorted(maps.Keys(v)) {
				all = append(all, v[key])
			}
			return all
		}
		for key := range strings.SplitSeq(part, "/") {
			if below, ok := v[key]; ok && below != nil {
				return []any{below}
			}
		}
	case []any:
		if part == "*" {
			return v
		}
	}
	return nil
}
