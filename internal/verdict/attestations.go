package verdict

import (
	"cmp"
	"context"
	"fmt"
	"slices"

	"k8s.io/apimachinery/pkg/types"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/interlock-dev/interlock/api/v1alpha1"
	"github.com/interlock-dev/interlock/internal/evidence"
	"github.com/interlock-dev/interlock/internal/safeguard"
)

// Evidence verifies what Attestations bring.
type Evidence interface {
	// Trust gives whom a policy trusts. The error tells of what cannot be used.
	Trust(policy *v1alpha1.ScalingPolicy) (*evidence.Trust, error)
	// Attested gives what becomes of the statements that an Attestation brings under a trust.
	Attested(a *v1alpha1.Attestation, trust *evidence.Trust) []safeguard.Attested
}

// evidence gathers what Attestations bring, for each policy that asks for evidence.
func (g *Gatherer) evidence(ctx context.Context, s *Snapshot) error {
	var about []*v1alpha1.Attestation
	for i := range s.Enrolments {
		e := &s.Enrolments[i]
		if !s.names(e.Policy, func(sg *v1alpha1.Safeguard) bool { return sg.Spec.Evidence != nil }) {
			continue
		}
		if about == nil {
			s.Environment = safeguard.Environment{Namespace: NamespaceSubject(g.Cluster, s.Namespace),
				Cluster: evidence.EnvironmentSubject(g.Cluster), WithoutUID: evidence.EnvironmentSubject(g.Cluster, s.Namespace.Name)}
			var err error
			if about, err = g.about(ctx, s.Model, s.Environment); err != nil {
				return err
			}
		}
		e.Trust, _ = g.Evidence.Trust(e.Policy) // what is wrong with it is said where a signer is asked for, and on the policy
		for _, a := range about {
			for _, found := range g.Evidence.Attested(a, e.Trust) {
				found.Leaving = leaving(a)
				e.Attested = append(e.Attested, found)
			}
		}
	}
	return nil
}

// about gives the Attestations that are about a model by their own account, and those whose account is not known: in its
// namespace and in the one for all, the oldest first.
func (g *Gatherer) about(ctx context.Context, md *v1alpha1.ModelDeployment, in safeguard.Environment) ([]*v1alpha1.Attestation, error) {
	seen := map[types.NamespacedName]bool{}
	all := []*v1alpha1.Attestation{}
	for _, namespace := range slices.Compact([]string{md.Namespace, g.EvidenceNamespace}) {
		for _, subject := range append(subjectsOf(g.Cluster)(md), in.Namespace, unknown) {
			list := &v1alpha1.AttestationList{}
			if err := g.Reader.List(ctx, list, client.InNamespace(namespace), client.MatchingFields{BySubject: subject},
				client.UnsafeDisableDeepCopy); err != nil {
				return nil, fmt.Errorf("list Attestations: %w", err)
			}
			for i := range list.Items {
				if key := client.ObjectKeyFromObject(&list.Items[i]); !seen[key] {
					seen[key] = true
					all = append(all, &list.Items[i])
				}
			}
		}
	}
	if g.Stubs != nil {
		if err := g.Stubs.Attestations(ctx, all); err != nil {
			return nil, err
		}
	}
	slices.SortFunc(all, func(a, b *v1alpha1.Attestation) int {
		return cmp.Or(a.CreationTimestamp.Compare(b.CreationTimestamp.Time), cmp.Compare(a.Namespace, b.Namespace), cmp.Compare(a.Name, b.Name))
	})
	return all, nil
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
