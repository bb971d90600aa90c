package attestation

import (
	"cmp"
	"context"
	"fmt"
	"slices"
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/interlock-dev/interlock/api/v1alpha1"
	"github.com/interlock-dev/interlock/controllers/tenants"
	"github.com/interlock-dev/interlock/internal/evidence"
	"github.com/interlock-dev/interlock/internal/safeguard"
)

// BySubject is the index of Attestations and ModelDeployments by the digests of what the ones are about and the others are.
const BySubject = "subject"

// unknown is the value of the index for Attestations whose subjects cannot be told by looking at them.
const unknown = "unknown"

// Source finds the evidence for a model.
type Source struct {
	Client client.Reader
	Store  *Store
	// Tenants reads anew what the cache holds only a stub of.
	Tenants *tenants.Keeper
	// Namespace holds evidence for the models of all namespaces.
	Namespace string
	// Cluster identifies the cluster in statements.
	Cluster string
}

// ClusterID gives what identifies a cluster: the UID of its namespace kube-system, which lasts as long as the cluster.
func ClusterID(ctx context.Context, live client.Reader) (string, error) {
	list := &metav1.PartialObjectMetadataList{}
	list.SetGroupVersionKind(corev1.SchemeGroupVersion.WithKind("NamespaceList"))
	if err := live.List(ctx, list, client.MatchingFields{"metadata.name": metav1.NamespaceSystem}); err != nil {
		return "", fmt.Errorf("look up namespace %s: %w", metav1.NamespaceSystem, err)
	}
	if len(list.Items) != 1 || list.Items[0].UID == "" {
		return "", fmt.Errorf("namespace %s, whose UID identifies the cluster, was not found", metav1.NamespaceSystem)
	}
	return string(list.Items[0].UID), nil
}

// Subjects is the index function of Attestations.
func Subjects(o client.Object) []string {
	a := o.(*v1alpha1.Attestation)
	if a.Spec.Content == "" {
		return []string{unknown}
	}
	subjects, ok := evidence.Subjects([]byte(a.Spec.Content))
	if !ok {
		return []string{unknown}
	}
	return subjects
}

// SubjectsOf is the index function of ModelDeployments: the digests by which statements may be about a model, but for the one of
// its namespace, which a model does not tell.
func SubjectsOf(cluster string) client.IndexerFunc {
	return func(o client.Object) []string {
		return []string{o.(*v1alpha1.ModelDeployment).Spec.Model.Digest, evidence.EnvironmentSubject(cluster), evidence.EnvironmentSubject(cluster, o.GetNamespace())}
	}
}

// Named gives those of some namespaces that are among the subjects of a statement.
func (s *Source) Named(subjects []string, namespaces []metav1.PartialObjectMetadata) []string {
	var named []string
	for i := range namespaces {
		if ns := &namespaces[i]; slices.Contains(subjects, s.namespaceSubject(ns)) {
			named = append(named, ns.Name)
		}
	}
	return named
}

func (s *Source) namespaceSubject(ns *metav1.PartialObjectMetadata) string {
	return evidence.EnvironmentSubject(s.Cluster, ns.Name, string(ns.UID))
}

// Environment gives the digests by which statements name a namespace.
func (s *Source) Environment(ctx context.Context, namespace string) (safeguard.Environment, error) {
	ns := &metav1.PartialObjectMetadata{}
	ns.SetGroupVersionKind(corev1.SchemeGroupVersion.WithKind("Namespace"))
	if err := s.Client.Get(ctx, client.ObjectKey{Name: namespace}, ns); err != nil {
		return safeguard.Environment{}, fmt.Errorf("get namespace: %w", err)
	}
	return safeguard.Environment{
		Namespace: s.namespaceSubject(ns), Cluster: evidence.EnvironmentSubject(s.Cluster), WithoutUID: evidence.EnvironmentSubject(s.Cluster, namespace)}, nil
}

// About gives the Attestations that are about a model by their own account, and those whose account is not known: in its
// namespace and in the one for all, the oldest first.
func (s *Source) About(ctx context.Context, md *v1alpha1.ModelDeployment, in safeguard.Environment) ([]*v1alpha1.Attestation, error) {
	seen := map[types.UID]bool{}
	var all []*v1alpha1.Attestation
	for _, namespace := range slices.Compact([]string{md.Namespace, s.Namespace}) {
		for _, subject := range append(SubjectsOf(s.Cluster)(md), in.Namespace, unknown) {
			list := &v1alpha1.AttestationList{}
			if err := s.Client.List(ctx, list, client.InNamespace(namespace), client.MatchingFields{BySubject: subject}, client.UnsafeDisableDeepCopy); err != nil {
				return nil, fmt.Errorf("list Attestations: %w", err)
			}
			for i := range list.Items {
				if a := &list.Items[i]; !seen[a.UID] {
					seen[a.UID] = true
					all = append(all, a)
				}
			}
		}
	}
	if err := s.Tenants.Attestations(ctx, all); err != nil {
		return nil, err
	}
	slices.SortFunc(all, func(a, b *v1alpha1.Attestation) int {
		return cmp.Or(a.CreationTimestamp.Compare(b.CreationTimestamp.Time), cmp.Compare(a.Namespace, b.Namespace), cmp.Compare(a.Name, b.Name))
	})
	return all, nil
}

// Case gives what there is to judge a model by under a policy.
func (s *Source) Case(now time.Time, md *v1alpha1.ModelDeployment, in safeguard.Environment, policy *v1alpha1.ScalingPolicy, about []*v1alpha1.Attestation) safeguard.Case {
	trust, _ := s.Store.Trust(policy) // what is wrong with it is said where a signer is asked for, and on the policy
	c := safeguard.Case{Now: now, Policy: policy.Name, Trust: trust, Weights: md.Spec.Model.Digest, Environment: in}
	for _, a := range about {
		for _, found := range s.Store.Attested(a, trust) {
			found.Leaving = leaving(a)
			c.Attested = append(c.Attested, found)
		}
	}
	return c
}

// leaving says why an Attestation may be gone at any moment without anybody's having decided so; empty, it may not.
func leaving(a *v1alpha1.Attestation) string {
	switch {
	case a.DeletionTimestamp != nil:
		return "is being deleted"
	case len(a.OwnerReferences) > 0:
		return "bears an owner reference, with whose owner it would vanish: bring it anew without one"
	}
	return ""
}
