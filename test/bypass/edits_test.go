package bypass

import (
	"context"
	"encoding/json"
	"strings"

	. "github.com/onsi/ginkgo/v2"
	. "github.com/onsi/gomega"
	"k8s.io/apimachinery/pkg/types"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/client/apiutil"
)

// edit is one form in which an object can be changed.
type edit struct {
	form string
	do   func(ctx context.Context, c client.Client, o client.Object) error
}

// anything is a part of an object in JSON.
type anything = map[string]any

// patching gives the edit that sends a patch, to a subresource unless that is empty.
func patching(form string, kind types.PatchType, subresource string, body any) edit {
	return edit{form + of(subresource), func(ctx context.Context, c client.Client, o client.Object) error {
		GinkgoHelper()
		sent := body
		if kind == types.ApplyPatchType {
			sent = applied(o, body.(anything))
		}
		raw, err := json.Marshal(sent)
		Expect(err).NotTo(HaveOccurred())
		patch := client.RawPatch(kind, raw)
		o = o.DeepCopyObject().(client.Object)
		switch {
		case kind == types.ApplyPatchType && subresource == "":
			return c.Patch(ctx, o, patch, client.ForceOwnership, client.FieldOwner("attacker"))
		case kind == types.ApplyPatchType:
			return c.SubResource(subresource).Patch(ctx, o, patch, client.ForceOwnership, client.FieldOwner("attacker"))
		case subresource == "":
			return c.Patch(ctx, o, patch)
		default:
			return c.SubResource(subresource).Patch(ctx, o, patch)
		}
	}}
}

// applied adds to a part of an object what server-side apply needs.
func applied(o client.Object, part anything) anything {
	GinkgoHelper()
	kind, err := apiutil.GVKForObject(o, scheme)
	Expect(err).NotTo(HaveOccurred())
	whole := anything{"apiVersion": kind.GroupVersion().String(), "kind": kind.Kind}
	for key, value := range part {
		whole[key] = value
	}
	metadata := anything{"name": o.GetName()}
	if o.GetNamespace() != "" {
		metadata["namespace"] = o.GetNamespace()
	}
	if given, ok := part["metadata"].(anything); ok {
		for key, value := range given {
			metadata[key] = value
		}
	}
	whole["metadata"] = metadata
	return whole
}

// updating gives the edit that reads the object, changes it and writes it back whole.
func updating[T client.Object](subresource string, change func(T)) edit {
	return edit{"update" + of(subresource), func(ctx context.Context, c client.Client, o client.Object) error {
		GinkgoHelper()
		now := o.DeepCopyObject().(T)
		Expect(admin.Get(ctx, client.ObjectKeyFromObject(o), now)).To(Succeed())
		change(now)
		if subresource == "" {
			return c.Update(ctx, now)
		}
		return c.SubResource(subresource).Update(ctx, now)
	}}
}

func of(subresource string) string {
	if subresource == "" {
		return ""
	}
	return " of " + subresource
}

// labelEdits are all forms of setting a label of an object that bears it.
func labelEdits[T client.Object](subresource, key, value string) []edit {
	part := func() anything { return anything{"metadata": anything{"labels": anything{key: value}}} }
	return []edit{
		patching("merge patch", types.MergePatchType, subresource, part()),
		patching("strategic merge patch", types.StrategicMergePatchType, subresource, part()),
		patching("JSON patch", types.JSONPatchType, subresource, []anything{{"op": "replace", "path": labelPath(key), "value": value}}),
		patching("JSON patch that removes and adds", types.JSONPatchType, subresource, []anything{
			{"op": "remove", "path": labelPath(key)}, {"op": "add", "path": labelPath(key), "value": value}}),
		patching("server-side apply with force", types.ApplyPatchType, subresource, part()),
		updating(subresource, func(o T) {
			labels := o.GetLabels()
			labels[key] = value
			o.SetLabels(labels)
		}),
	}
}

// strippingEdits are all forms of taking a label away.
func strippingEdits[T client.Object](subresource, key string) []edit {
	part := func() anything { return anything{"metadata": anything{"labels": anything{key: nil}}} }
	return []edit{
		patching("merge patch to null", types.MergePatchType, subresource, part()),
		patching("strategic merge patch to null", types.StrategicMergePatchType, subresource, part()),
		patching("merge patch of all labels to null", types.MergePatchType, subresource, anything{"metadata": anything{"labels": nil}}),
		patching("strategic merge patch that replaces all labels", types.StrategicMergePatchType, subresource,
			anything{"metadata": anything{"labels": anything{"$patch": "replace", "other": "label"}}}),
		patching("JSON patch that removes", types.JSONPatchType, subresource, []anything{{"op": "remove", "path": labelPath(key)}}),
		patching("JSON patch that moves", types.JSONPatchType, subresource,
			[]anything{{"op": "move", "from": labelPath(key), "path": labelPath("other")}}),
		updating(subresource, func(o T) {
			labels := o.GetLabels()
			delete(labels, key)
			o.SetLabels(labels)
		}),
	}
}

func labelPath(key string) string {
	return "/metadata/labels/" + strings.ReplaceAll(key, "/", "~1")
}
