package workload

import (
	"context"
	"fmt"
	"maps"
	"slices"

	corev1 "k8s.io/api/core/v1"
	apiequality "k8s.io/apimachinery/pkg/api/equality"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/util/intstr"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/log"

	"github.com/interlock-dev/interlock/api/v1alpha1"
)

// Owning is a Service that Interlock makes for a model, and where it is to lead.
type Owning struct {
	Spec v1alpha1.FallbackService
	// Selector to pick pods by; nil leaves the one that it has.
	Selector map[string]string
}

// Own keeps a Service as it is to be, and gives the selector that it has then. It makes none its own that somebody else
// made, and says so.
func (t *Traffic) Own(ctx context.Context, md *v1alpha1.ModelDeployment, o Owning) (selector map[string]string, why string, err error) {
	key := client.ObjectKey{Namespace: md.Namespace, Name: o.Spec.Name}
	ref := Ref{Kind: "Service", Namespace: key.Namespace, Name: key.Name}
	have := &corev1.Service{}
	err = t.live.Get(ctx, key, have)
	switch {
	case apierrors.IsNotFound(err):
		have = &corev1.Service{ObjectMeta: metav1.ObjectMeta{
			Namespace: key.Namespace, Name: key.Name, Labels: map[string]string{FallbackLabel: md.Name},
			OwnerReferences: []metav1.OwnerReference{{
				APIVersion: v1alpha1.GroupVersion.String(), Kind: "ModelDeployment", Name: md.Name, UID: md.UID, Controller: new(true)}}}}
		have.Spec.Selector, have.Spec.Ports = o.Selector, portsOf(o.Spec)
		if have.Spec.Selector == nil {
			have.Spec.Selector = SelectorOf(md.Name, o.Spec.Selector)
		}
		log.FromContext(ctx).Info("Making Service", "service", key, "selector", have.Spec.Selector)
		err = t.client.Create(ctx, have, client.FieldOwner(t.manager))
	case err != nil:
	case !metav1.IsControlledBy(have, md):
		return nil, "it exists, and Interlock did not make it; take it away, name another, or let it be turned (mode Turn)", nil
	default:
		err = t.correct(ctx, md, have, o)
	}
	if apierrors.IsInvalid(err) || apierrors.IsForbidden(err) {
		return nil, err.Error(), nil
	}
	if err != nil {
		return nil, "", fmt.Errorf("keep %s: %w", ref, err)
	}
	t.learn(ref, led{model: md.Name, owned: true})
	return have.Spec.Selector, "", nil
}

// correct brings a Service that is ours to what it should be. What the API server has set stays.
func (t *Traffic) correct(ctx context.Context, md *v1alpha1.ModelDeployment, have *corev1.Service, o Owning) error {
	before := have.DeepCopy()
	if o.Selector != nil {
		have.Spec.Selector = o.Selector
	}
	if !samePorts(have.Spec.Ports, portsOf(o.Spec)) {
		have.Spec.Ports = portsOf(o.Spec)
	}
	if have.Labels[FallbackLabel] != md.Name {
		labels := maps.Clone(have.Labels)
		if labels == nil {
			labels = map[string]string{}
		}
		labels[FallbackLabel] = md.Name
		have.Labels = labels
	}
	if apiequality.Semantic.DeepEqual(before, have) {
		return nil
	}
	log.FromContext(ctx).Info("Correcting Service", "service", client.ObjectKeyFromObject(have), "selector", have.Spec.Selector)
	return t.client.Patch(ctx, have, client.MergeFromWithOptions(before, client.MergeFromWithOptimisticLock{}), client.FieldOwner(t.manager))
}

// Disown takes away a Service that was made for a model and is not asked for any more.
func (t *Traffic) Disown(ctx context.Context, md *v1alpha1.ModelDeployment, ref Ref) error {
	have := &corev1.Service{}
	err := t.live.Get(ctx, client.ObjectKey{Namespace: ref.Namespace, Name: ref.Name}, have)
	if err == nil && metav1.IsControlledBy(have, md) {
		log.FromContext(ctx).Info("Removing Service that is not asked for any more", "service", ref)
		err = t.client.Delete(ctx, have, client.Preconditions{UID: &have.UID})
	}
	if client.IgnoreNotFound(err) != nil {
		return fmt.Errorf("remove %s: %w", ref, err)
	}
	t.forget(ref)
	return nil
}

func portsOf(s v1alpha1.FallbackService) []corev1.ServicePort {
	var ports []corev1.ServicePort
	for _, p := range s.Ports {
		port := corev1.ServicePort{Name: p.Name, Port: p.Port, Protocol: corev1.ProtocolTCP, TargetPort: intstr.FromInt32(p.Port)}
		if p.TargetPort != nil {
			port.TargetPort = *p.TargetPort
		}
		if p.AppProtocol != "" {
			port.AppProtocol = &p.AppProtocol
		}
		ports = append(ports, port)
	}
	return ports
}

// samePorts compares what is ours to say.
func samePorts(a, b []corev1.ServicePort) bool {
	return slices.EqualFunc(a, b, func(a, b corev1.ServicePort) bool {
		a.NodePort, b.NodePort = 0, 0
		return apiequality.Semantic.DeepEqual(a, b)
	})
}
