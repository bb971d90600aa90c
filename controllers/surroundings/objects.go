package surroundings

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"time"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/types"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/log"

	"github.com/interlock-dev/interlock/api/v1alpha1"
	"github.com/interlock-dev/interlock/internal/decision"
)

// managerOf owns what a Safeguard puts around models: one for each, so that they fight one another as little as others.
func managerOf(safeguard string) string { return managerPrefix + safeguard }

const managerPrefix = "interlock-adjust-"

// followAll watches the kinds of what is wanted, and of what was applied before, as the status has it: an operator that was
// restarted knows by it where to look. What it finds there is ours only if it bears our marks itself.
func (r *Reconciler) followAll(ctx context.Context, md *v1alpha1.ModelDeployment, w wanted) (ready bool, err error) {
	all := map[schema.GroupVersionKind]bool{}
	for _, o := range w.objects {
		all[o.kind] = true
	}
	for kind := range kindsIn(md) {
		all[kind] = true
	}
	for kind := range all {
		synced, why, err := r.kinds.follow(ctx, kind)
		if err != nil || !synced && why == "" {
			return false, err
		}
	}
	return true, nil
}

// keep applies what is wanted where it is not there as it should be, and says of each what has become of it, and how long to
// wait before another look.
func (r *Reconciler) keep(ctx context.Context, md *v1alpha1.ModelDeployment, w wanted) (results []v1alpha1.ObjectResult, wait time.Duration, err error) {
	var errs []error
	for _, o := range w.objects {
		state, message, err := r.keepOne(ctx, client.ObjectKeyFromObject(md), o)
		if err != nil {
			errs = append(errs, fmt.Errorf("apply %s %s: %w", o.kind.Kind, o.name, err))
			continue
		}
		switch state {
		case v1alpha1.ObjectPending:
			wait = sooner(wait, catchUp)
		case v1alpha1.ObjectForeign, v1alpha1.ObjectFailed:
			wait = sooner(wait, recheck)
		}
		results = append(results, result(o, state, message))
	}
	return results, wait, errors.Join(errs...)
}

func (r *Reconciler) keepOne(ctx context.Context, model types.NamespacedName, o object) (state v1alpha1.ObjectState, message string, err error) {
	if o.what == nil {
		return v1alpha1.ObjectFailed, o.wrong, nil
	}
	if _, why, err := r.kinds.follow(ctx, o.kind); err != nil || why != "" {
		return v1alpha1.ObjectFailed, why, err
	}
	have, err := r.find(ctx, o)
	if err != nil {
		return "", "", err
	}
	digest := decision.SpecDigest(o.what.Object)
	switch {
	case have == nil:
	case !ours(have, o.safeguard, model.Name):
		return v1alpha1.ObjectForeign, whose(have), nil
	case have.DeletionTimestamp != nil:
		return v1alpha1.ObjectPending, "the former one is being deleted", nil
	case r.applied.is(model, o, version{digest, have.UID, have.ResourceVersion}):
		return v1alpha1.ObjectApplied, "", nil
	}
	return r.apply(ctx, model, o, have, digest)
}

// find gives the object as it is; nil, it is not there. The cache does not see objects without our label, nor the newest.
func (r *Reconciler) find(ctx context.Context, o object) (*metav1.PartialObjectMetadata, error) {
	for _, reader := range []client.Reader{r.kinds.cache, r.Live} {
		have := metadataOf(o.kind)
		err := reader.Get(ctx, client.ObjectKeyFromObject(o.what), have)
		if err == nil {
			return have, nil
		}
		if !apierrors.IsNotFound(err) {
			return nil, err
		}
	}
	return nil, nil
}

// ours says whether a Safeguard put an object around a model: its manager has applied it, which a copy of the object does not
// show, and it does not say otherwise.
func ours(have *metav1.PartialObjectMetadata, safeguard, model string) bool {
	says := func(label, value string) bool {
		have, ok := have.Labels[label]
		return !ok || have == value
	}
	return says(v1alpha1.AdjustedForLabel, model) && says(v1alpha1.AdjustedByLabel, safeguard) &&
		slices.ContainsFunc(have.ManagedFields, func(e metav1.ManagedFieldsEntry) bool {
			return e.Manager == managerOf(safeguard) && e.Operation == metav1.ManagedFieldsOperationApply
		})
}

// whose tells of an object that is not ours.
func whose(have *metav1.PartialObjectMetadata) string {
	if safeguard, model := have.Labels[v1alpha1.AdjustedByLabel], have.Labels[v1alpha1.AdjustedForLabel]; safeguard != "" && model != "" {
		return fmt.Sprintf("one of that name is there for Safeguard %s and model %s, and is left alone", safeguard, model)
	}
	return "one of that name is there that Interlock did not make, and is left alone; rename or delete it"
}

// apply never forces: what somebody else has set stays as it is. The UID keeps it from what may have come in the place of
// the object that was looked at.
func (r *Reconciler) apply(ctx context.Context, model types.NamespacedName, o object, have *metav1.PartialObjectMetadata, digest string) (v1alpha1.ObjectState, string, error) {
	what := o.what.DeepCopy()
	if have != nil {
		what.SetUID(have.UID)
	}
	err := r.Client.Apply(ctx, client.ApplyConfigurationFromUnstructured(what), client.FieldOwner(managerOf(o.safeguard)))
	if err == nil {
		if have == nil || have.ResourceVersion != what.GetResourceVersion() {
			log.FromContext(ctx).Info("Applied object around model", "kind", o.kind.GroupKind(), "object", client.ObjectKeyFromObject(what), "safeguard", o.safeguard)
		}
		r.applied.note(model, o, version{digest, what.GetUID(), what.GetResourceVersion()})
		return v1alpha1.ObjectApplied, "", nil
	}
	if held := heldByOthers(err); held != "" {
		return v1alpha1.ObjectConflict, "somebody else has set " + held + "; have that taken back, or delete the object, and it is made anew", nil
	}
	if apierrors.IsForbidden(err) {
		return v1alpha1.ObjectFailed, "the API server refuses it: " + err.Error(), nil
	}
	if refusal(err) {
		return v1alpha1.ObjectFailed, "the API server does not take it: " + err.Error(), nil
	}
	return "", "", err
}

// heldByOthers names the fields that others have set to another value; empty, the error is not about that.
func heldByOthers(err error) string {
	var status apierrors.APIStatus
	if !apierrors.IsConflict(err) || !errors.As(err, &status) || status.Status().Details == nil {
		return ""
	}
	var held []string
	for _, cause := range status.Status().Details.Causes {
		if cause.Type == metav1.CauseTypeFieldManagerConflict {
			held = append(held, fmt.Sprintf("%s (%s)", cause.Field, cause.Message))
		}
	}
	return strings.Join(held, ", ")
}

// refusal says whether the API server has looked at an object and will say the same again. One that does not fit its schema
// it calls an internal error.
func refusal(err error) bool {
	return apierrors.IsInvalid(err) || apierrors.IsBadRequest(err) || apierrors.IsNotFound(err) || apierrors.IsMethodNotSupported(err) ||
		apierrors.IsRequestEntityTooLargeError(err) || apierrors.IsInternalError(err) || apierrors.ReasonForError(err) == metav1.StatusReasonUnknown && isStatus(err)
}

func isStatus(err error) bool {
	var status apierrors.APIStatus
	return errors.As(err, &status)
}

// removeOthers removes what Safeguards have put around a model and ask for no more, and tells of what it could not remove.
func (r *Reconciler) removeOthers(ctx context.Context, model types.NamespacedName, w wanted) (left []v1alpha1.ObjectResult, err error) {
	type asking struct {
		safeguard string
		schema.GroupKind
		name string
	}
	asked := map[asking]bool{}
	for _, o := range w.objects {
		asked[asking{o.safeguard, o.kind.GroupKind(), o.name}] = true
	}
	var errs []error
	for _, kind := range r.kinds.followed() {
		list := listOf(kind)
		if err := r.kinds.cache.List(ctx, list, client.InNamespace(model.Namespace), client.MatchingLabels{v1alpha1.AdjustedForLabel: model.Name}); err != nil {
			return nil, fmt.Errorf("list what is around the model of kind %s: %w", kind.GroupKind(), err)
		}
		for i := range list.Items {
			have := &list.Items[i]
			by := have.Labels[v1alpha1.AdjustedByLabel]
			if asked[asking{by, kind.GroupKind(), have.Name}] || have.DeletionTimestamp != nil || !ours(have, by, model.Name) {
				continue
			}
			o := object{safeguard: by, kind: kind, name: have.Name}
			if w.unclear[by] {
				left = append(left, result(o, v1alpha1.ObjectPending, "it stays as it is until its Safeguard can be used"))
				continue
			}
			log.FromContext(ctx).Info("Removing object around model", "kind", kind.GroupKind(), "object", client.ObjectKeyFromObject(have), "safeguard", by)
			have.SetGroupVersionKind(kind)
			err := r.Client.Delete(ctx, have, client.Preconditions{UID: &have.UID, ResourceVersion: &have.ResourceVersion})
			switch {
			case apierrors.IsForbidden(err):
				left = append(left, result(o, v1alpha1.ObjectFailed, "no Safeguard asks for it any more, and it cannot be removed: "+err.Error()))
			case client.IgnoreNotFound(err) != nil:
				errs = append(errs, err)
			}
		}
	}
	return left, errors.Join(errs...)
}

// applied remembers what was applied around each model, so that what is as it was left needs no request. It is safe for
// concurrent use.
type applied struct {
	mu     sync.Mutex
	models map[types.NamespacedName]map[objectKey]version
}

type objectKey struct {
	kind schema.GroupVersionKind
	name string
}

// version is of an object: what was applied, and what became of it.
type version struct {
	digest          string
	uid             types.UID
	resourceVersion string
}

func (a *applied) note(model types.NamespacedName, o object, v version) {
	a.mu.Lock()
	defer a.mu.Unlock()
	if a.models == nil {
		a.models = map[types.NamespacedName]map[objectKey]version{}
	}
	if a.models[model] == nil {
		a.models[model] = map[objectKey]version{}
	}
	a.models[model][objectKey{o.kind, o.name}] = v
}

func (a *applied) is(model types.NamespacedName, o object, v version) bool {
	a.mu.Lock()
	defer a.mu.Unlock()
	return a.models[model][objectKey{o.kind, o.name}] == v
}

func (a *applied) forget(model types.NamespacedName) {
	a.mu.Lock()
	defer a.mu.Unlock()
	delete(a.models, model)
}
