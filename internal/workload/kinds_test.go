package workload

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

func TestLoadKindsRefusesWhatItCannotUse(t *testing.T) {
	for name, tc := range map[string]struct{ table, want string }{
		"no YAML":                        {"kinds: [", "kinds of workload in"},
		"a field that nobody knows":      {"kinds: [{kind: Foo, stopp: {}}]", "stopp"},
		"no kind":                        {"kinds: [{group: a, stop: {field: spec.x, value: 0}}]", "kinds[0] (.a): kind is missing"},
		"nothing to know":                {"kinds: [{kind: Foo}]", "give stop, stopOwned, cannotStop, weights or templates"},
		"both ways":                      {"kinds: [{kind: Foo, cannotStop: no, stopOwned: true}]", "excludes"},
		"neither field nor annotation":   {"kinds: [{kind: Foo, stop: {value: 0}}]", "either field or annotation"},
		"field and annotation":           {"kinds: [{kind: Foo, stop: {field: spec.x, annotation: y, value: 0}}]", "either field or annotation"},
		"a field that says who it is":    {"kinds: [{kind: Foo, stop: {field: metadata.finalizers, value: 0}}]", "no path under spec"},
		"a field of a list":              {"kinds: [{kind: Foo, stop: {field: 'spec.groups[0].replicas', value: 0}}]", "no path under spec"},
		"a field without a value":        {"kinds: [{kind: Foo, stop: {field: spec.replicas}}]", "stop.value is missing"},
		"an annotation that is a number": {"kinds: [{kind: Foo, stop: {annotation: a/b, value: 0}}]", "put it in quotes"},
		"weights of a status":            {"kinds: [{kind: Foo, weights: [status.uri]}]", "none under spec"},
		"a kind twice":                   {"kinds: [{kind: Foo, stopOwned: true}, {kind: Foo, stopOwned: true}]", "kinds[1] (Foo): stands there twice"},
	} {
		t.Run(name, func(t *testing.T) {
			file := filepath.Join(t.TempDir(), "kinds.yaml")
			if err := os.WriteFile(file, []byte(tc.table), 0o600); err != nil {
				t.Fatal(err)
			}
			if _, err := LoadKinds(file); err == nil || !strings.Contains(err.Error(), tc.want) {
				t.Errorf("error %v, want one with %q", err, tc.want)
			}
		})
	}
	if _, err := LoadKinds(filepath.Join(t.TempDir(), "none")); err == nil {
		t.Error("a file that is not there is taken for none")
	}
}

func TestLoadKindsOfAFileWinOverThoseBuiltIn(t *testing.T) {
	file := filepath.Join(t.TempDir(), "kinds.yaml")
	table := "kinds: [{group: example.com, kind: Fleet, stop: {field: spec.ships, value: 0}}, {group: apps, kind: Deployment, cannotStop: our own reason}]"
	if err := os.WriteFile(file, []byte(table), 0o600); err != nil {
		t.Fatal(err)
	}
	kinds, err := LoadKinds(file)
	if err != nil {
		t.Fatal(err)
	}
	for name, tc := range map[string]struct {
		group, kind string
		want        *Kind
	}{
		"added":    {"example.com", "Fleet", &Kind{Group: "example.com", Kind: "Fleet", Stop: &Setting{Field: "spec.ships", Value: 0.0}}},
		"replaced": {"apps", "Deployment", &Kind{Group: "apps", Kind: "Deployment", CannotStop: "our own reason"}},
		"kept":     {"batch", "Job", &Kind{Group: "batch", Kind: "Job", Stop: &Setting{Field: "spec.suspend", Value: true}, Templates: []string{"spec.template"}}},
		"unknown":  {"example.com", "Deployment", nil},
	} {
		t.Run(name, func(t *testing.T) {
			if diff := cmp.Diff(tc.want, kinds.Of(tc.group, tc.kind)); diff != "" {
				t.Errorf("kind (-want +got):\n%s", diff)
			}
		})
	}
}
