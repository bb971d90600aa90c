package manifests

import (
	"bytes"
	"context"
	"fmt"
	"io/fs"
	"maps"
	"slices"
	"strings"
	"sync"

	"k8s.io/apiextensions-apiserver/pkg/apis/apiextensions"
	apiextensionsv1 "k8s.io/apiextensions-apiserver/pkg/apis/apiextensions/v1"
	structuralschema "k8s.io/apiextensions-apiserver/pkg/apiserver/schema"
	schemacel "k8s.io/apiextensions-apiserver/pkg/apiserver/schema/cel"
	"k8s.io/apiextensions-apiserver/pkg/apiserver/schema/defaulting"
	"k8s.io/apiextensions-apiserver/pkg/apiserver/schema/pruning"
	"k8s.io/apiextensions-apiserver/pkg/apiserver/validation"
	"k8s.io/apimachinery/pkg/api/validate/content"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/util/validation/field"
	celconfig "k8s.io/apiserver/pkg/apis/cel"
	"sigs.k8s.io/yaml"

	"github.com/interlock-dev/interlock/api/v1alpha1"
	"github.com/interlock-dev/interlock/config/crd"
)

// definition is what an API server knows of one of our kinds.
type definition struct {
	namespaced bool
	structural *structuralschema.Structural
	validator  validation.SchemaValidator
	rules      *schemacel.Validator
}

// definitions of our kinds are each read when the kind is first met.
var definitions = sync.OnceValues(func() (map[string]func() (*definition, error), error) {
	files, err := fs.Glob(crd.Bases, "bases/*.yaml")
	if err != nil {
		return nil, err
	}
	all := map[string]func() (*definition, error){}
	for _, file := range files {
		text, err := crd.Bases.ReadFile(file)
		if err != nil {
			return nil, err
		}
		// The kind stands in a line of its own, and reading the whole definition is what costs.
		_, rest, _ := bytes.Cut(text, []byte("\n    kind: "))
		kind, _, _ := bytes.Cut(rest, []byte("\n"))
		all[string(kind)] = sync.OnceValues(func() (*definition, error) { return define(text) })
	}
	return all, nil
})

func define(text []byte) (*definition, error) {
	external := &apiextensionsv1.CustomResourceDefinition{}
	if err := yaml.Unmarshal(text, external); err != nil {
		return nil, err
	}
	given := external.Spec.Versions[0].Schema
	internal := &apiextensions.CustomResourceValidation{}
	if err := apiextensionsv1.Convert_v1_CustomResourceValidation_To_apiextensions_CustomResourceValidation(given, internal, nil); err != nil {
		return nil, err
	}
	d := &definition{namespaced: external.Spec.Scope == apiextensionsv1.NamespaceScoped}
	var err error
	if d.structural, err = structuralschema.NewStructural(internal.OpenAPIV3Schema); err != nil {
		return nil, err
	}
	if d.validator, _, err = validation.NewSchemaValidator(internal.OpenAPIV3Schema); err != nil {
		return nil, err
	}
	d.rules = schemacel.NewValidator(d.structural, true, celconfig.PerCallLimit)
	return d, nil
}

// complete gives an object of one of our kinds the defaults that an API server would, or says why it would refuse it.
func complete(o Object) error {
	if o.GroupVersionKind().Group != v1alpha1.GroupVersion.Group {
		return nil
	}
	known, err := definitions()
	if err != nil {
		return err
	}
	of := known[o.GetKind()]
	if of == nil || o.GroupVersionKind().Version != v1alpha1.GroupVersion.Version {
		return fmt.Errorf("%s is no kind of this version of Interlock, which has %s of %s",
			o.GroupVersionKind().GroupVersion().WithKind(o.GetKind()), strings.Join(slices.Sorted(maps.Keys(known)), ", "), v1alpha1.GroupVersion)
	}
	d, err := of()
	if err != nil {
		return err
	}
	if unknown := pruning.PruneWithOptions(o.Object, d.structural, true, structuralschema.UnknownFieldPathOptions{TrackUnknownFieldPaths: true}); len(unknown) > 0 {
		return fmt.Errorf("%s is no field of a %s", strings.Join(unknown, ", "), o.GetKind())
	}
	defaulting.Default(o.Object, d.structural)
	wrong := validation.ValidateCustomResource(nil, o.Object, d.validator)
	if why := content.IsPathSegmentName(o.GetName()); len(why) > 0 {
		wrong = append(wrong, field.Invalid(field.NewPath("metadata", "name"), o.GetName(), strings.Join(why, "; ")))
	}
	if len(wrong) == 0 && d.rules != nil {
		wrong, _ = d.rules.Validate(context.Background(), nil, d.structural, o.Object, nil, celconfig.RuntimeCELCostBudget)
	}
	return wrong.ToAggregate()
}

// clusterScoped are the kinds of others that we look at and that are in no namespace.
var clusterScoped = []schema.GroupKind{{Kind: "Namespace"}}

func namespaced(gk schema.GroupKind) bool {
	if gk.Group != v1alpha1.GroupVersion.Group {
		return !slices.Contains(clusterScoped, gk)
	}
	known, err := definitions()
	if err != nil || known[gk.Kind] == nil {
		return true
	}
	d, err := known[gk.Kind]()
	return err != nil || d.namespaced
}
