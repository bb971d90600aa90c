package manifests

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	corev1 "k8s.io/api/core/v1"
	networkingv1 "k8s.io/api/networking/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/types"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/client/apiutil"

	"github.com/interlock-dev/interlock/api/v1alpha1"
	"github.com/interlock-dev/interlock/internal/verdict"
)

// Scheme knows the kinds that judgements rest on.
var Scheme = func() *runtime.Scheme {
	s := runtime.NewScheme()
	if err := errors.Join(corev1.AddToScheme(s), networkingv1.AddToScheme(s), v1alpha1.AddToScheme(s)); err != nil {
		panic(err) // only a kind that is registered twice
	}
	return s
}()

// Bears says whether a judgement may rest on objects of a kind, other than workloads.
func Bears(gvk schema.GroupVersionKind) bool {
	return gvk.Group == v1alpha1.GroupVersion.Group ||
		slices.Contains([]schema.GroupKind{{Kind: "Namespace"}, {Group: networkingv1.GroupName, Kind: "NetworkPolicy"}}, gvk.GroupKind())
}

// World is what a cluster would hold once manifests were applied. It reads as a client.Reader.
type World struct {
	objects map[schema.GroupKind][]client.Object
	sources map[objectKey]Object
	indexes []verdict.Index
	// live is what the manifests are laid over; nil, nothing.
	live client.Reader
	// unread says which kinds could not be read from there, and why.
	unread map[schema.GroupKind]error
}

type objectKey struct {
	schema.GroupKind
	types.NamespacedName
}

// NewWorld gives the world in which nothing has been applied. Live may be nil.
func NewWorld(live client.Reader) *World {
	return &World{objects: map[schema.GroupKind][]client.Object{}, sources: map[objectKey]Object{}, indexes: verdict.Indexes(""),
		live: live, unread: map[schema.GroupKind]error{}}
}

// SetNamespace puts an object into a namespace if it is of a kind that has one, and names none.
func SetNamespace(o *Object, namespace string) {
	if o.GetNamespace() == "" && namespaced(o.GroupVersionKind().GroupKind()) {
		o.SetNamespace(namespace)
	}
}

// Apply applies objects at a time. Those of kinds that no judgement rests on are left out.
func (w *World) Apply(objects []Object, now time.Time) (problems []Problem) {
	for _, o := range objects {
		if err := w.apply(o, now); err != nil {
			problems = append(problems, Problem{Position: o.At(), Object: Title(o, o.GetKind()), Err: err})
		}
	}
	return problems
}

func (w *World) apply(o Object, now time.Time) error {
	gvk := o.GroupVersionKind()
	if gvk.Group == v1alpha1.GroupVersion.Group {
		if err := complete(o); err != nil {
			return err
		}
	}
	if !Bears(gvk) {
		return nil
	}
	forget(o, now)
	typed, err := Scheme.New(gvk)
	if err != nil {
		return fmt.Errorf("the version %s of %s is not known; write it in another", gvk.Version, gvk.Kind)
	}
	if err := runtime.DefaultUnstructuredConverter.FromUnstructuredWithValidation(o.Object, typed, true); err != nil {
		return withoutPrefix(err)
	}
	return w.put(typed.(client.Object), o)
}

// withoutPrefix gives what is wrong without what every error of strict decoding begins with.
func withoutPrefix(err error) error {
	return errors.New(strings.TrimPrefix(err.Error(), "strict decoding error: "))
}

// forget leaves out of an object what a file cannot know: what the API server and operators write, and by whom it was applied.
func forget(o Object, now time.Time) {
	delete(o.Object, "status")
	if spec, ok := o.Object["spec"].(map[string]any); ok {
		delete(spec, map[string]string{"Approval": "approver", "Waiver": "requester"}[o.GetKind()])
	}
	o.SetResourceVersion("")
	o.SetManagedFields(nil)
	o.SetDeletionTimestamp(nil)
	o.SetUID("")
	o.SetGeneration(1)
	o.SetCreationTimestamp(metav1.NewTime(now.Truncate(time.Second)))
	annotations := o.GetAnnotations()
	delete(annotations, v1alpha1.EditedByAnnotation)
	delete(annotations, v1alpha1.CreatedByAnnotation)
	o.SetAnnotations(annotations)
}

func (w *World) put(o client.Object, from Object) error {
	gvk, err := apiutil.GVKForObject(o, Scheme)
	if err != nil {
		return err
	}
	key := objectKey{gvk.GroupKind(), client.ObjectKeyFromObject(o)}
	if before, there := w.sources[key]; there {
		return fmt.Errorf("it stands at %s already; keep one of the two", before.At())
	}
	w.sources[key] = from
	w.objects[key.GroupKind] = append(w.objects[key.GroupKind], o)
	return nil
}

// Replace puts an object in the place of the one of its name, or where there was none.
func (w *World) Replace(o client.Object) error {
	gvk, err := apiutil.GVKForObject(o, Scheme)
	if err != nil {
		return err
	}
	others := slices.DeleteFunc(w.objects[gvk.GroupKind()], func(other client.Object) bool {
		return client.ObjectKeyFromObject(other) == client.ObjectKeyFromObject(o)
	})
	w.objects[gvk.GroupKind()] = append(others, o)
	return nil
}

// IsMissing says whether an error of Get means that there is no such object.
func IsMissing(err error) bool { return apierrors.IsNotFound(err) }

// ReplacePods has the world hold these pods and no others.
func (w *World) ReplacePods(pods []*corev1.Pod) {
	all := make([]client.Object, len(pods))
	for i := range pods {
		all[i] = pods[i]
	}
	w.objects[schema.GroupKind{Kind: "Pod"}] = all
}

// Source gives where an object stands; false if it stands in no file.
func (w *World) Source(kind schema.GroupKind, name types.NamespacedName) (Object, bool) {
	o, ok := w.sources[objectKey{kind, name}]
	return o, ok
}

// Unread says which kinds could not be read from the cluster, and why.
func (w *World) Unread() map[schema.GroupKind]error { return w.unread }

// Get reads one object.
func (w *World) Get(ctx context.Context, key client.ObjectKey, into client.Object, opts ...client.GetOption) error {
	gvk, err := apiutil.GVKForObject(into, Scheme)
	if err != nil {
		return err
	}
	for _, o := range w.objects[gvk.GroupKind()] {
		if client.ObjectKeyFromObject(o) == key {
			return fill(o, into)
		}
	}
	if w.live != nil && gvk.Kind != "Pod" {
		err := w.live.Get(ctx, key, into, opts...)
		if !w.forbidden(gvk.GroupKind(), err) {
			return err
		}
	}
	return apierrors.NewNotFound(schema.GroupResource{Group: gvk.Group, Resource: strings.ToLower(gvk.Kind)}, key.Name)
}

// forbidden notes that a kind may not be read.
func (w *World) forbidden(kind schema.GroupKind, err error) bool {
	if !apierrors.IsForbidden(err) {
		return false
	}
	w.unread[kind] = err
	return true
}

func fill(o, into client.Object) error {
	if partial, ok := into.(*metav1.PartialObjectMetadata); ok {
		kind := partial.GroupVersionKind()
		*partial = *meta.AsPartialObjectMetadata(o).DeepCopy()
		partial.SetGroupVersionKind(kind)
		return nil
	}
	content, err := runtime.DefaultUnstructuredConverter.ToUnstructured(o)
	if err != nil {
		return err
	}
	return runtime.DefaultUnstructuredConverter.FromUnstructured(content, into)
}

// List reads all objects of a kind that the options select.
func (w *World) List(ctx context.Context, into client.ObjectList, opts ...client.ListOption) error {
	gvk, err := apiutil.GVKForObject(into, Scheme)
	if err != nil {
		return err
	}
	gvk.Kind = strings.TrimSuffix(gvk.Kind, "List")
	options := (&client.ListOptions{}).ApplyOptions(opts)
	all := slices.Clone(w.objects[gvk.GroupKind()])
	if w.live != nil && gvk.Kind != "Pod" { // the pods that would be made stand for those that are there
		live, err := w.lived(ctx, gvk.GroupKind(), into, options.Namespace)
		if err != nil {
			return err
		}
		all = append(all, live...)
	}
	all = slices.DeleteFunc(all, func(o client.Object) bool { return !w.selects(gvk.GroupKind(), o, options) })
	items := make([]runtime.Object, len(all))
	for i := range all {
		items[i] = all[i]
	}
	return meta.SetList(into, items)
}

// lived gives what the cluster has and the manifests do not replace.
func (w *World) lived(ctx context.Context, kind schema.GroupKind, like client.ObjectList, namespace string) ([]client.Object, error) {
	list := like.DeepCopyObject().(client.ObjectList)
	if err := w.live.List(ctx, list, client.InNamespace(namespace)); err != nil {
		if w.forbidden(kind, err) {
			return nil, nil
		}
		return nil, err
	}
	var all []client.Object
	err := meta.EachListItem(list, func(item runtime.Object) error {
		o := item.(client.Object)
		if _, replaced := w.sources[objectKey{kind, client.ObjectKeyFromObject(o)}]; !replaced {
			all = append(all, o)
		}
		return nil
	})
	return all, err
}

func (w *World) selects(kind schema.GroupKind, o client.Object, options *client.ListOptions) bool {
	if options.Namespace != "" && o.GetNamespace() != options.Namespace {
		return false
	}
	if options.FieldSelector == nil {
		return true
	}
	for _, r := range options.FieldSelector.Requirements() {
		if !slices.Contains(w.indexed(kind, r.Field, o), r.Value) {
			return false
		}
	}
	return true
}

func (w *World) indexed(kind schema.GroupKind, field string, o client.Object) []string {
	for _, index := range w.indexes {
		if gvk, err := apiutil.GVKForObject(index.Object, Scheme); err == nil && gvk.GroupKind() == kind && index.Field == field {
			return index.Extract(o)
		}
	}
	return nil
}
