package surroundings

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"

	corev1 "k8s.io/api/core/v1"
	apiequality "k8s.io/apimachinery/pkg/api/equality"
	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/interlock-dev/interlock/api/v1alpha1"
	"github.com/interlock-dev/interlock/controllers/status"
	"github.com/interlock-dev/interlock/internal/decision"
)

// What the API takes.
const (
	maxObjects   = 128
	maxMessage   = 300
	maxCondition = 1024
)

func result(o object, state v1alpha1.ObjectState, message string) v1alpha1.ObjectResult {
	return v1alpha1.ObjectResult{Safeguard: o.safeguard, APIVersion: o.kind.GroupVersion().String(), Kind: o.kind.Kind, Name: o.name,
		State: state, Message: decision.OneLine(message, maxMessage)}
}

// kindsIn gives the kinds of what the status of a model lists.
func kindsIn(md *v1alpha1.ModelDeployment) map[schema.GroupVersionKind]bool {
	kinds := map[schema.GroupVersionKind]bool{}
	if md != nil {
		for _, o := range md.Status.Objects {
			kinds[schema.FromAPIVersionAndKind(o.APIVersion, o.Kind)] = true
		}
	}
	return kinds
}

// announce lists what is about to be applied before it is: whatever becomes of the operator, the next one finds it again.
func (r *Reconciler) announce(ctx context.Context, md *v1alpha1.ModelDeployment, w wanted) (behind bool, err error) {
	listed := kindsIn(md)
	if !slices.ContainsFunc(w.objects, func(o object) bool { return !listed[o.kind] }) {
		return false, nil
	}
	results := slices.Clone(md.Status.Objects)
	for _, o := range w.objects {
		if !listed[o.kind] {
			results = append(results, result(o, v1alpha1.ObjectPending, ""))
		}
	}
	return r.report(ctx, md, results)
}

// report writes what has become of the objects, if that is new. It says so when the cache was behind.
func (r *Reconciler) report(ctx context.Context, md *v1alpha1.ModelDeployment, results []v1alpha1.ObjectResult) (behind bool, err error) {
	slices.SortStableFunc(results, func(a, b v1alpha1.ObjectResult) int {
		return cmp.Or(cmp.Compare(a.Safeguard, b.Safeguard), cmp.Compare(a.Kind, b.Kind), cmp.Compare(a.Name, b.Name))
	})
	before := md.DeepCopy()
	md.Status.Objects = results[:min(len(results), maxObjects)]
	setAdjusted(&md.Status.Conditions, results, md.Generation)
	if apiequality.Semantic.DeepEqual(before.Status, md.Status) {
		return false, nil
	}
	written, behind, err := status.Write(ctx, r.Client, before, md, FieldManager)
	if !written {
		return behind, err
	}
	r.tell(before, md)
	for kind := range kindsIn(before) {
		if !kindsIn(md)[kind] {
			return false, r.letGo(ctx, md)
		}
	}
	return false, nil
}

// setAdjusted says whether all objects are in place. Where none is asked for there is nothing to say.
func setAdjusted(conditions *[]metav1.Condition, results []v1alpha1.ObjectResult, generation int64) {
	if len(results) == 0 {
		meta.RemoveStatusCondition(conditions, v1alpha1.ConditionAdjusted)
		return
	}
	c := metav1.Condition{Type: v1alpha1.ConditionAdjusted, Status: metav1.ConditionTrue, Reason: v1alpha1.ReasonObjectsInPlace,
		Message: fmt.Sprintf("objects in place: %d", len(results)), ObservedGeneration: generation}
	var troubles []string
	for _, o := range results {
		switch o.State {
		case v1alpha1.ObjectApplied:
			continue
		case v1alpha1.ObjectConflict, v1alpha1.ObjectForeign:
			c.Reason = v1alpha1.ReasonObjectConflict
		default:
			if len(troubles) == 0 {
				c.Reason = v1alpha1.ReasonObjectsNotInPlace
			}
		}
		troubles = append(troubles, fmt.Sprintf("%s %s: %s", o.Kind, o.Name, cmp.Or(o.Message, "it is about to be applied")))
	}
	if len(troubles) > 0 {
		c.Status, c.Message = metav1.ConditionFalse, decision.OneLine(strings.Join(troubles, "; "), maxCondition)
	}
	meta.SetStatusCondition(conditions, c)
}

// tell makes it seen when a person has to do something.
func (r *Reconciler) tell(before, after *v1alpha1.ModelDeployment) {
	was, is := meta.FindStatusCondition(before.Status.Conditions, v1alpha1.ConditionAdjusted), meta.FindStatusCondition(after.Status.Conditions, v1alpha1.ConditionAdjusted)
	pending := slices.ContainsFunc(after.Status.Objects, func(o v1alpha1.ObjectResult) bool { return o.State == v1alpha1.ObjectPending })
	if is == nil || is.Status == metav1.ConditionTrue || pending || was != nil && was.Message == is.Message {
		return
	}
	r.Events.Eventf(after, nil, corev1.EventTypeWarning, is.Reason, "Adjust", "%s", is.Message)
}

// letGo ends the watches on kinds that no Safeguard names and of which no model has an object. The cache may not know the
// newest of one model, which is handed over.
func (r *Reconciler) letGo(ctx context.Context, newest *v1alpha1.ModelDeployment) error {
	safeguards, models := &v1alpha1.SafeguardList{}, &v1alpha1.ModelDeploymentList{}
	if err := errors.Join(r.Client.List(ctx, safeguards, client.UnsafeDisableDeepCopy), r.Client.List(ctx, models, client.UnsafeDisableDeepCopy)); err != nil {
		return err
	}
	inUse := kindsIn(newest)
	for i := range safeguards.Items {
		if adjust := safeguards.Items[i].Spec.Adjust; adjust != nil {
			for _, o := range adjust.Objects {
				inUse[schema.FromAPIVersionAndKind(o.APIVersion, o.Kind)] = true
			}
		}
	}
	for i := range models.Items {
		if newest != nil && models.Items[i].UID == newest.UID {
			continue
		}
		for kind := range kindsIn(&models.Items[i]) {
			inUse[kind] = true
		}
	}
	return r.kinds.retain(ctx, inUse)
}
