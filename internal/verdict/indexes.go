package verdict

import (
	corev1 "k8s.io/api/core/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/interlock-dev/interlock/api/v1alpha1"
	"github.com/interlock-dev/interlock/internal/evidence"
)

// The indexes by which objects are listed.
const (
	// ByModel lists pods by the model that they name.
	ByModel = "model"
	// ByDigest lists CapabilityAssessments, RiskReports and ModelDeployments by the weights that they are about.
	ByDigest = "digest"
	// BySubject lists Attestations and ModelDeployments by the digests of what the ones are about and the others are.
	BySubject = "subject"
)

// unknown is the subject of Attestations of which the subjects cannot be told by looking at them.
const unknown = "unknown"

// Index is one that a reader must have.
type Index struct {
	Object  client.Object
	Field   string
	Extract client.IndexerFunc
}

// Indexes are those that a Gatherer lists by, and those by which it is found which models an object bears on. The cluster is
// what identifies it in statements.
func Indexes(cluster string) []Index {
	return []Index{
		{&corev1.Pod{}, ByModel, func(o client.Object) []string { return []string{o.GetLabels()[v1alpha1.ModelLabel]} }},
		{&v1alpha1.ModelDeployment{}, ByDigest, func(o client.Object) []string {
			return []string{o.(*v1alpha1.ModelDeployment).Spec.Model.Digest}
		}},
		{&v1alpha1.CapabilityAssessment{}, ByDigest, func(o client.Object) []string {
			return o.(*v1alpha1.CapabilityAssessment).Spec.Digests
		}},
		{&v1alpha1.RiskReport{}, ByDigest, func(o client.Object) []string { return o.(*v1alpha1.RiskReport).Spec.Digests }},
		{&v1alpha1.Attestation{}, BySubject, subjects},
		{&v1alpha1.ModelDeployment{}, BySubject, subjectsOf(cluster)},
	}
}

// subjects are the digests of what an Attestation is about.
func subjects(o client.Object) []string {
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

// subjectsOf gives the digests by which statements may be about a model, but for the one of its namespace, which a model does
// not tell.
func subjectsOf(cluster string) client.IndexerFunc {
	return func(o client.Object) []string {
		return []string{
			o.(*v1alpha1.ModelDeployment).Spec.Model.Digest,
			evidence.EnvironmentSubject(cluster), evidence.EnvironmentSubject(cluster, o.GetNamespace()),
		}
	}
}

// NamespaceSubject is the digest by which statements name a namespace, with its UID.
func NamespaceSubject(cluster string, ns client.Object) string {
	return evidence.EnvironmentSubject(cluster, ns.GetName(), string(ns.GetUID()))
}
