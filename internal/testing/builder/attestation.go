package builder

import (
	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/empty"
	"github.com/google/go-containerregistry/pkg/v1/mutate"
	"github.com/google/go-containerregistry/pkg/v1/static"
	"github.com/google/go-containerregistry/pkg/v1/types"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/interlock-dev/interlock/api/v1alpha1"
)

// Attestation makes an Attestation of an envelope or bundle.
func Attestation(namespace, name, content string) *v1alpha1.Attestation {
	return &v1alpha1.Attestation{ObjectMeta: metav1.ObjectMeta{Namespace: namespace, Name: name}, Spec: v1alpha1.AttestationSpec{Content: content}}
}

// AttestationIn makes an Attestation of what lies in a registry.
func AttestationIn(namespace, name, reference string) *v1alpha1.Attestation {
	return &v1alpha1.Attestation{ObjectMeta: metav1.ObjectMeta{Namespace: namespace, Name: name}, Spec: v1alpha1.AttestationSpec{OCI: reference}}
}

// AttestationAbout makes an Attestation of what refers to a subject in a registry.
func AttestationAbout(namespace, name, subject, artifactType string) *v1alpha1.Attestation {
	return &v1alpha1.Attestation{ObjectMeta: metav1.ObjectMeta{Namespace: namespace, Name: name}, Spec: v1alpha1.AttestationSpec{
		Referrers: &v1alpha1.Referrers{Subject: subject, ArtifactType: artifactType}}}
}

// EvidenceImage makes what envelopes and bundles lie in a registry as: a manifest with a layer for each.
func EvidenceImage(contents ...string) (v1.Image, error) {
	layers := make([]v1.Layer, 0, len(contents))
	for _, content := range contents {
		layers = append(layers, static.NewLayer([]byte(content), "application/vnd.dsse.envelope.v1+json"))
	}
	return mutate.AppendLayers(mutate.MediaType(empty.Image, types.OCIManifestSchema1), layers...)
}
