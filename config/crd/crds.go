// Package crd holds the CustomResourceDefinitions of Interlock, for programs that judge manifests without a cluster.
package crd

import "embed"

// Bases are the generated definitions.
//
//go:embed bases/*.yaml
var Bases embed.FS
