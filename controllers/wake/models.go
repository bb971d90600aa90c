// Package wake names the models that are to be judged anew when an object changes. It judges nothing.
package wake

import (
	"context"
	"slices"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	ctrl "sigs.k8s.io/controller-runtime"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/handler"
	"sigs.k8s.io/controller-runtime/pkg/reconcile"

	"github.com/interlock-dev/interlock/api/v1alpha1"
	"github.com/interlock-dev/interlock/internal/verdict"
	"github.com/interlock-dev/interlock/internal/workload"
)

// Models finds models by what bears on them.
type Models struct {
	// Reader lists by verdict.Indexes.
	Reader client.Reader
	// SharedNamespace holds Approvals for the models of all namespaces, and EvidenceNamespace Attestations.
	SharedNamespace, EvidenceNamespace string
	// Cluster identifies the cluster in statements.
	Cluster string
	// Speaks gives the subjects that an Attestation is about by its own account; false, if that is not known.
	Speaks func(a *v1alpha1.Attestation) (subjects []string, known bool)
}

// By gives a handler that wakes the models which a function names.
func By(models handler.MapFunc) handler.EventHandler {
	return handler.EnqueueRequestsFromMapFunc(models)
}

// Requests names one model.
func Requests(namespace, name string) []reconcile.Request {
	return []reconcile.Request{{NamespacedName: types.NamespacedName{Namespace: namespace, Name: name}}}
}

// OfPod names the model of a pod.
func OfPod(_ context.Context, pod client.Object) []reconcile.Request {
	return Requests(pod.GetNamespace(), pod.GetLabels()[v1alpha1.ModelLabel])
}

// OfWaiver names the model that a Waiver is about.
func OfWaiver(_ context.Context, o client.Object) []reconcile.Request {
	if w, ok := o.(*v1alpha1.Waiver); ok {
		return Requests(w.Namespace, w.Spec.Model)
	}
	return nil
}

// All names all models.
func (m *Models) All(ctx context.Context, _ client.Object) []reconcile.Request { return m.list(ctx) }

// Beside names the models that are declared in the namespace of an object.
func (m *Models) Beside(ctx context.Context, o client.Object) []reconcile.Request {
	return m.list(ctx, client.InNamespace(o.GetNamespace()))
}

// Around names the models that a NetworkPolicy may bear on, and the one that it isolates, declared or not.
func (m *Models) Around(ctx context.Context, policy client.Object) []reconcile.Request {
	all := m.Beside(ctx, policy)
	if model, ok := workload.IsolatedBy(policy.GetName()); ok {
		all = append(all, Requests(policy.GetNamespace(), model)...)
	}
	return all
}

// Of names the models that are declared in a namespace, and those that pods there name. These pods are free to go once the namespace is
// not enrolled any more.
func (m *Models) Of(ctx context.Context, ns client.Object) []reconcile.Request {
	all := m.list(ctx, client.InNamespace(ns.GetName()))
	pods := &corev1.PodList{}
	if err := m.Reader.List(ctx, pods, client.InNamespace(ns.GetName()), client.UnsafeDisableDeepCopy); err != nil {
		ctrl.LoggerFrom(ctx).Error(err, "List pods")
		return all
	}
	for i := range pods.Items {
		all = append(all, OfPod(ctx, &pods.Items[i])...)
	}
	return all
}

// Assessed names the models that a CapabilityAssessment or a RiskReport is about.
func (m *Models) Assessed(ctx context.Context, o client.Object) []reconcile.Request {
	var digests []string
	switch about := o.(type) {
	case *v1alpha1.CapabilityAssessment:
		digests = about.Spec.Digests
	case *v1alpha1.RiskReport:
		digests = about.Spec.Digests
	}
	var all []reconcile.Request
	for _, digest := range digests {
		all = append(all, m.list(ctx, client.MatchingFields{verdict.ByDigest: digest})...)
	}
	return all
}

// Attested names the models that an Attestation says it is about. If nobody knows what it says, these are all that it may be about.
func (m *Models) Attested(ctx context.Context, o client.Object) []reconcile.Request {
	a, ok := o.(*v1alpha1.Attestation)
	if !ok {
		return nil
	}
	var where []client.ListOption
	if a.Namespace != m.EvidenceNamespace {
		where = append(where, client.InNamespace(a.Namespace))
	}
	subjects, known := m.Speaks(a)
	if !known {
		return m.list(ctx, where...)
	}
	var all []reconcile.Request
	for _, subject := range subjects {
		all = append(all, m.list(ctx, append([]client.ListOption{client.MatchingFields{verdict.BySubject: subject}}, where...)...)...)
	}
	for _, namespace := range m.namespaces(ctx, a.Namespace, subjects) {
		all = append(all, m.list(ctx, client.InNamespace(namespace))...)
	}
	return all
}

// namespaces names those that an Attestation is about: all may be, of one in the namespace for all.
func (m *Models) namespaces(ctx context.Context, from string, subjects []string) []string {
	namespaces := &metav1.PartialObjectMetadataList{}
	namespaces.SetGroupVersionKind(corev1.SchemeGroupVersion.WithKind("NamespaceList"))
	if err := m.Reader.List(ctx, namespaces, client.UnsafeDisableDeepCopy); err != nil {
		ctrl.LoggerFrom(ctx).Error(err, "List namespaces")
		return nil
	}
	var named []string
	for i := range namespaces.Items {
		ns := &namespaces.Items[i]
		if (from == m.EvidenceNamespace || from == ns.Name) && slices.Contains(subjects, verdict.NamespaceSubject(m.Cluster, ns)) {
			named = append(named, ns.Name)
		}
	}
	return named
}

// Approved names the models for which an Approval may count: those of its namespace, and all if that serves all.
func (m *Models) Approved(ctx context.Context, o client.Object) []reconcile.Request {
	if o.GetNamespace() == m.SharedNamespace {
		return m.list(ctx)
	}
	return m.Beside(ctx, o)
}

func (m *Models) list(ctx context.Context, opts ...client.ListOption) []reconcile.Request {
	list := &v1alpha1.ModelDeploymentList{}
	if err := m.Reader.List(ctx, list, append(opts, client.UnsafeDisableDeepCopy)...); err != nil {
		ctrl.LoggerFrom(ctx).Error(err, "List ModelDeployments")
		return nil
	}
	var all []reconcile.Request
	for i := range list.Items {
		all = append(all, Requests(list.Items[i].Namespace, list.Items[i].Name)...)
	}
	return all
}
