// Package builder makes objects for tests: each function gives an object that the API server accepts, methods change
// what a test is about, and Build hands it out.
//
// Of this module it may import the API types, and internal/admission for what the operator tells the API server.
package builder

import (
	"maps"
	"strings"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

// Digest is a digest of the right form.
var Digest = "sha256:" + strings.Repeat("0123456789abcdef", 4)

// PinnedImage names an image by its digest, TaggedImage by a tag that can move.
var (
	PinnedImage = "registry.example/vllm@" + Digest
	TaggedImage = "registry.example/vllm:latest"
)

func setLabel(o metav1.Object, key, value string) {
	labels := maps.Clone(o.GetLabels())
	if labels == nil {
		labels = map[string]string{}
	}
	labels[key] = value
	o.SetLabels(labels)
}
