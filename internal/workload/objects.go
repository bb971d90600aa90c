package workload

import (
	"context"
	"encoding/json"
	"slices"

	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/types"
	"sigs.k8s.io/controller-runtime/pkg/client"
)

// objects reads and changes objects of any kind that is served, whatever its version, and keeps none of them.
type objects struct {
	client client.Client
	// live reads past the cache, so that no kind has to be kept in memory.
	live   client.Reader
	mapper meta.RESTMapper
	// manager owns the fields that are changed.
	manager string
}

func (s *objects) get(ctx context.Context, ref Ref, into client.Object) error {
	mapping, err := s.mapper.RESTMapping(schema.GroupKind{Group: ref.Group, Kind: ref.Kind})
	if err != nil {
		return err
	}
	into.GetObjectKind().SetGroupVersionKind(mapping.GroupVersionKind)
	return s.live.Get(ctx, client.ObjectKey{Namespace: ref.Namespace, Name: ref.Name}, into)
}

// pageSize is how many objects are read at once: anybody can bear our labels, and fill megabytes of metadata.
const pageSize = 20

// each goes through the metadata of the objects of a kind that bear a label. There are none if the kind is not served.
func (s *objects) each(ctx context.Context, group, kind, label string, do func(o *metav1.PartialObjectMetadata)) error {
	mapping, err := s.mapper.RESTMapping(schema.GroupKind{Group: group, Kind: kind})
	if err != nil {
		return ignoreNoMatch(err)
	}
	for page := ""; ; {
		list := &metav1.PartialObjectMetadataList{}
		list.SetGroupVersionKind(mapping.GroupVersionKind.GroupVersion().WithKind(kind + "List"))
		if err := s.live.List(ctx, list, client.HasLabels{label}, client.Limit(pageSize), client.Continue(page)); err != nil {
			return err
		}
		for i := range list.Items {
			do(&list.Items[i])
		}
		if page = list.Continue; page == "" {
			return nil
		}
	}
}

// ignoreNoMatch takes a kind that is not served for one of which there are no objects.
func ignoreNoMatch(err error) error {
	if meta.IsNoMatchError(err) {
		return nil
	}
	return err
}

// patch changes just the version that was read, which becomes the new one.
func (s *objects) patch(ctx context.Context, o *unstructured.Unstructured, patch map[string]any) error {
	set(patch, o.GetResourceVersion(), "metadata", "resourceVersion")
	raw, err := json.Marshal(patch)
	if err != nil {
		return err
	}
	return s.client.Patch(ctx, o, client.RawPatch(types.MergePatchType, raw), client.FieldOwner(s.manager))
}

// unmark takes a label and an annotation of ours away, and us from the owners of fields: the field that was changed and
// restored is whose it was, and the next to apply it meets no conflict with us.
func (s *objects) unmark(ctx context.Context, o *unstructured.Unstructured, label, annotation string) error {
	others := slices.DeleteFunc(o.GetManagedFields(), func(e metav1.ManagedFieldsEntry) bool { return e.Manager == s.manager })
	return s.patch(ctx, o, map[string]any{"metadata": map[string]any{
		"labels":        map[string]any{label: nil},
		"annotations":   map[string]any{annotation: nil},
		"managedFields": others,
	}})
}
