package fallback

import (
	"context"
	"fmt"
	"slices"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/labels"
	"k8s.io/apimachinery/pkg/types"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/interlock-dev/interlock/api/v1alpha1"
	"github.com/interlock-dev/interlock/internal/admission"
	"github.com/interlock-dev/interlock/internal/decision"
	"github.com/interlock-dev/interlock/internal/safeguard"
	"github.com/interlock-dev/interlock/internal/verdict"
	"github.com/interlock-dev/interlock/internal/workload"
)

// scene is all that it rests on where the clients of a model go.
type scene struct {
	model types.NamespacedName
	// md declares the model; nil, nothing does.
	md *v1alpha1.ModelDeployment
	// isDefault says that pods of the namespace which name no model are of this one.
	isDefault bool
	input     decision.FallbackInput
	// serving are the pods of the fallback that are ready.
	serving []*corev1.Pod
}

func (r *Reconciler) gather(ctx context.Context, model types.NamespacedName) (*scene, error) {
	s := &scene{model: model}
	ns := &metav1.PartialObjectMetadata{}
	ns.SetGroupVersionKind(corev1.SchemeGroupVersion.WithKind("Namespace"))
	if err := r.Client.Get(ctx, client.ObjectKey{Name: model.Namespace}, ns); err != nil {
		return nil, fmt.Errorf("get namespace: %w", err)
	}
	s.isDefault = ns.Labels[v1alpha1.ModelLabel] == model.Name
	var name string
	if name, s.input.Enforced = r.Install.Enforced(ns); name != "" {
		policy := &v1alpha1.ScalingPolicy{}
		switch err := r.Client.Get(ctx, client.ObjectKey{Name: name}, policy); {
		case err == nil:
			s.input.Policy = policy
		case !apierrors.IsNotFound(err):
			return nil, fmt.Errorf("get ScalingPolicy: %w", err)
		}
	}
	enforced, err := verdict.Clearances(ctx, r.Client, model.Namespace)
	if err != nil {
		return nil, err
	}
	if s.input.Model, _, err = r.standing(ctx, model, enforced); err != nil {
		return nil, err
	}
	if s.md = s.input.Model.Declaration; s.md == nil || s.md.Spec.Fallback == nil {
		return s, nil
	}
	other := types.NamespacedName{Namespace: model.Namespace, Name: s.md.Spec.Fallback.ModelDeployment}
	s.input.Fallback, s.serving, err = r.standing(ctx, other, enforced)
	return s, err
}

// standing tells how a model stands by what is decided and what is enforced, and which of its pods are ready.
func (r *Reconciler) standing(ctx context.Context, model types.NamespacedName, enforced map[string]string) (decision.Standing, []*corev1.Pod, error) {
	s := decision.Standing{Name: model.Name}
	md := &v1alpha1.ModelDeployment{}
	switch err := r.Client.Get(ctx, model, md); {
	case err == nil:
		s.Declaration = md
	case !apierrors.IsNotFound(err):
		return s, nil, fmt.Errorf("get ModelDeployment: %w", err)
	}
	if judgements, decided := r.Board.Get(model); decided && s.Declaration != nil {
		if j, ok := verdict.Under(judgements, v1alpha1.EnforceLabel); ok && j.Policy == admission.PolicyOf(enforced) {
			s.DeploymentLevel, s.SecurityLevel = j.Verdict.DeploymentLevel, j.Verdict.SecurityLevel
			if j.Verdict.Cleared() == r.Clock.Now().Before(admission.Find(enforced, model.Name).ValidUntil) {
				s.Outcome = j.Verdict.Outcome
			}
		}
	}
	list := &corev1.PodList{}
	if err := r.Client.List(ctx, list, client.InNamespace(model.Namespace), client.MatchingFields{verdict.ByModel: model.Name},
		client.UnsafeDisableDeepCopy); err != nil {
		return s, nil, fmt.Errorf("list pods: %w", err)
	}
	var serving []*corev1.Pod
	for i := range list.Items {
		pod := &list.Items[i]
		if !safeguard.Living(pod) || safeguard.Held(pod) {
			continue
		}
		s.Admitted++
		if workload.Ready(pod) && pod.DeletionTimestamp == nil {
			serving = append(serving, pod)
		}
	}
	s.Ready = len(serving)
	return s, serving, nil
}

// by is the fallback as what is turned needs to know it.
func (s *scene) by() workload.Fallback {
	return workload.Fallback{
		Model: s.model.Name, Instead: s.input.Fallback.Name, IsDefault: s.isDefault,
		Ready: func(selector map[string]string) bool {
			return slices.ContainsFunc(s.serving, func(p *corev1.Pod) bool { return labels.SelectorFromSet(selector).Matches(labels.Set(p.Labels)) })
		}}
}

// turnings are what the declaration wants turned.
func (s *scene) turnings() []workload.Turning {
	var all []workload.Turning
	if s.md == nil || s.md.Spec.Fallback == nil {
		return nil
	}
	f := s.md.Spec.Fallback
	for _, service := range f.Services {
		if service.Mode != v1alpha1.FallbackOwn {
			all = append(all, workload.TurnService(s.md.Namespace, service.Name, f.ModelDeployment, service.FallbackSelector))
		}
	}
	for _, route := range f.HTTPRoutes {
		all = append(all, workload.TurnRoute(s.md.Namespace, route.Name, route.Backends))
	}
	return all
}

func (s *scene) turns(ref workload.Ref) bool {
	return slices.ContainsFunc(s.turnings(), func(t workload.Turning) bool { return t.Ref == ref })
}

// owned are the Services that the declaration wants Interlock to make.
func (s *scene) owned() []v1alpha1.FallbackService {
	var all []v1alpha1.FallbackService
	if s.md == nil || s.md.Spec.Fallback == nil {
		return nil
	}
	for _, service := range s.md.Spec.Fallback.Services {
		if service.Mode == v1alpha1.FallbackOwn {
			all = append(all, service)
		}
	}
	return all
}

func (s *scene) owns(ref workload.Ref) bool {
	return slices.ContainsFunc(s.owned(), func(service v1alpha1.FallbackService) bool { return service.Name == ref.Name })
}
