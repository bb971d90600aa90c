package workload

import (
	_ "embed"
	"fmt"
	"iter"
	"os"
	"regexp"
	"slices"
	"strings"

	"k8s.io/apimachinery/pkg/runtime/schema"
	"sigs.k8s.io/yaml"
)

//go:embed kinds.yaml
var builtin []byte

// Kind is what differs from one kind of workload to another.
type Kind struct {
	Group string `json:"group"`
	Kind  string `json:"kind"`
	// Stop says how it is stopped; nil, it cannot be.
	Stop *Setting `json:"stop,omitempty"`
	// StopOwned says that what this one owns is to be stopped (too).
	StopOwned bool `json:"stopOwned,omitempty"`
	// CannotStop says why it cannot be stopped, and nothing that it owns either, since it would start that again.
	CannotStop string `json:"cannotStop,omitempty"`
	// Weights are the paths at which it names weights: see find.
	Weights []string `json:"weights,omitempty"`
	// Templates are the paths of the templates of its pods. A star stands for every element.
	Templates []string `json:"templates,omitempty"`
	// Adds says what its controller adds to the pods, which does not stand in the templates.
	Adds string `json:"adds,omitempty"`
}

// Setting is what stops a workload: a field or an annotation that has a value.
type Setting struct {
	// Field under spec, as "spec.replicas".
	Field string `json:"field,omitempty"`
	// Annotation of the workload.
	Annotation string `json:"annotation,omitempty"`
	// Value that stops it.
	Value any `json:"value"`
}

func (s *Setting) path() []string {
	if s.Annotation != "" {
		return []string{"metadata", "annotations", s.Annotation}
	}
	return strings.Split(s.Field, ".")
}

// Kinds is the table of kinds. The zero value knows none.
type Kinds struct {
	list   []Kind
	byKind map[schema.GroupKind]*Kind
}

// LoadKinds gives the kinds that are built in, and those of a file, if one is named, which go first.
func LoadKinds(file string) (*Kinds, error) {
	own, err := parseKinds(builtin)
	if err != nil || file == "" {
		return newKinds(own), err
	}
	raw, err := os.ReadFile(file)
	if err != nil {
		return nil, fmt.Errorf("read the kinds of workload: %w", err)
	}
	more, err := parseKinds(raw)
	if err != nil {
		return nil, fmt.Errorf("kinds of workload in %s: %w", file, err)
	}
	return newKinds(append(more, own...)), nil
}

func newKinds(list []Kind) *Kinds {
	k := &Kinds{byKind: map[schema.GroupKind]*Kind{}}
	for i := range list {
		gk := schema.GroupKind{Group: list[i].Group, Kind: list[i].Kind}
		if k.byKind[gk] == nil {
			k.byKind[gk] = &list[i]
			k.list = append(k.list, list[i])
		}
	}
	return k
}

// Of gives what is known of a kind; nil, nothing is.
func (k *Kinds) Of(group, kind string) *Kind {
	return k.byKind[schema.GroupKind{Group: group, Kind: kind}]
}

// All gives every kind of the table.
func (k *Kinds) All() iter.Seq[Kind] { return slices.Values(k.list) }

func parseKinds(raw []byte) ([]Kind, error) {
	var table struct {
		Kinds []Kind `json:"kinds"`
	}
	if err := yaml.UnmarshalStrict(raw, &table); err != nil {
		return nil, err
	}
	seen := map[schema.GroupKind]bool{}
	for i := range table.Kinds {
		k := &table.Kinds[i]
		gk := schema.GroupKind{Group: k.Group, Kind: k.Kind}
		if err := k.check(); err != nil {
			return nil, fmt.Errorf("kinds[%d] (%s): %w", i, gk, err)
		}
		if seen[gk] {
			return nil, fmt.Errorf("kinds[%d] (%s): stands there twice; keep one", i, gk)
		}
		seen[gk] = true
	}
	return table.Kinds, nil
}

// fieldUnderSpec keeps the table to what says how a workload is to be: nothing else of an object stops it.
var fieldUnderSpec = regexp.MustCompile(`^spec(\.[A-Za-z][A-Za-z0-9]*)+$`)

// weightsPath is one for find, and for what says how a workload is to be.
var weightsPath = regexp.MustCompile(`^spec(\.[A-Za-z0-9_/*]+)+(\|[A-Za-z0-9_*]+(\.[A-Za-z0-9_/*]+)*)?$`)

// templatePath is one for TemplatesIn.
var templatePath = regexp.MustCompile(`^spec(\.([A-Za-z][A-Za-z0-9]*|\*))+$`)

func (k *Kind) check() error {
	switch {
	case k.Kind == "":
		return fmt.Errorf("kind is missing")
	case k.CannotStop != "" && (k.Stop != nil || k.StopOwned):
		return fmt.Errorf("cannotStop excludes stop and stopOwned; leave out one or the other")
	case slices.ContainsFunc(k.Weights, func(path string) bool { return !weightsPath.MatchString(path) }):
		return fmt.Errorf("weights has a path that is none under spec, such as spec.predictor.*.storageUri (docs/weights.md)")
	case slices.ContainsFunc(k.Templates, func(path string) bool { return !templatePath.MatchString(path) }):
		return fmt.Errorf("templates has a path that is none under spec, such as spec.template")
	case k.CannotStop == "" && k.Stop == nil && !k.StopOwned && len(k.Weights)+len(k.Templates) == 0:
		return fmt.Errorf("give stop, stopOwned, cannotStop, weights or templates, or there is nothing to know of this kind")
	case k.Stop == nil:
		return nil
	case (k.Stop.Field == "") == (k.Stop.Annotation == ""):
		return fmt.Errorf("stop has either field or annotation")
	case k.Stop.Annotation == "" && !fieldUnderSpec.MatchString(k.Stop.Field):
		return fmt.Errorf("stop.field %q is no path under spec, such as spec.replicas", k.Stop.Field)
	case k.Stop.Annotation != "" && !isString(k.Stop.Value):
		return fmt.Errorf("stop.value of an annotation is a string: put it in quotes")
	case k.Stop.Value == nil:
		return fmt.Errorf("stop.value is missing: the value that stops the workload")
	}
	return nil
}

func isString(v any) bool {
	_, ok := v.(string)
	return ok
}
