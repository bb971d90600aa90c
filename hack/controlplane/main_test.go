package main

import (
	"context"
	"errors"
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

func TestKeyChangesWithWhateverDeterminesTheBytes(t *testing.T) {
	components := func(existing, stamp string) []component {
		return []component{{name: "etcd", pkg: "example.com/etcd", existing: existing, stamp: stamp}}
	}
	base := key("v1.37.2", "flags", components("", ""))
	if again := key("v1.37.2", "flags", components("", "")); again != base {
		t.Errorf("same input gave %s and %s", base, again)
	}
	if !strings.HasPrefix(base, "v1.37.2-") {
		t.Errorf("key %s does not begin with the version", base)
	}
	seen := map[string]string{base: "base"}
	for name, k := range map[string]string{
		"version":             key("v1.37.3", "flags", components("", "")),
		"flags":               key("v1.37.2", "other flags", components("", "")),
		"binary of the user":  key("v1.37.2", "flags", components("/bin/etcd", "1 1")),
		"changed binary":      key("v1.37.2", "flags", components("/bin/etcd", "1 2")),
		"different component": key("v1.37.2", "flags", []component{{name: "etcd", pkg: "example.com/other"}}),
	} {
		if other, dup := seen[k]; dup {
			t.Errorf("%s: key %s is that of %s", name, k, other)
		}
		seen[k] = name
	}
}

func TestIdentityHoldsModulesFlagsAndToolchain(t *testing.T) {
	tc := toolchain{env: "go1.26.8\nlinux\namd64", modules: "example.com/m v1.0.0 h1:sum=", kubernetes: "v1.37.2"}
	for _, want := range []string{
		tc.env, tc.modules, "-trimpath",
		"-X k8s.io/component-base/version.gitVersion=v1.37.2",
		"-X k8s.io/client-go/pkg/version.gitMinor=37",
	} {
		if !strings.Contains(tc.identity(), want) {
			t.Errorf("identity lacks %q", want)
		}
	}
}

func TestInterruptedBuildIsNotUsed(t *testing.T) {
	ctx := t.Context()
	components := []component{{name: "etcd"}, {name: "kubectl"}}
	interrupted := errors.New("interrupted")
	fail := true
	built := 0
	c := cache{
		root:     t.TempDir(),
		progress: io.Discard,
		build: func(_ context.Context, comp component, out string) error {
			if fail && comp.name == "kubectl" {
				// Half a binary stays behind, as when the process is killed.
				return errors.Join(os.WriteFile(out, []byte("hal"), 0o755), interrupted)
			}
			built++
			return os.WriteFile(out, []byte(comp.name), 0o755)
		},
		stages: func(_ context.Context, dir string) error { return os.Mkdir(dir, 0o755) },
	}

	if _, err := c.ensure(ctx, "v1-abc", components); !errors.Is(err, interrupted) {
		t.Fatalf("ensure = %v, want %v", err, interrupted)
	}
	if complete(filepath.Join(c.root, "v1-abc"), components) {
		t.Fatal("an interrupted build counts as complete")
	}

	fail, built = false, 0
	dir, err := c.ensure(ctx, "v1-abc", components)
	if err != nil {
		t.Fatal(err)
	}
	if content, err := os.ReadFile(filepath.Join(dir, "kubectl")); err != nil || string(content) != "kubectl" {
		t.Errorf("kubectl = %q, %v; want the whole binary", content, err)
	}
	if built != len(components) {
		t.Errorf("%d components built after the interruption, want all %d again", built, len(components))
	}
	if _, err := c.ensure(ctx, "v1-abc", components); err != nil || built != len(components) {
		t.Errorf("a finished build is not used again: %v, %d built", err, built)
	}
}

func TestBinariesOfTheUserAreLinkedAndOnlyTheRestIsBuilt(t *testing.T) {
	assets := t.TempDir()
	if err := os.WriteFile(filepath.Join(assets, "etcd"), []byte("the user's"), 0o755); err != nil {
		t.Fatal(err)
	}
	components, err := findExisting([]component{{name: "etcd"}, {name: "kwok"}}, assets)
	if err != nil {
		t.Fatal(err)
	}
	var built []string
	c := cache{
		root:     t.TempDir(),
		progress: io.Discard,
		build: func(_ context.Context, comp component, out string) error {
			built = append(built, comp.name)
			return os.WriteFile(out, nil, 0o755)
		},
		stages: func(context.Context, string) error { return nil },
	}
	dir, err := c.ensure(t.Context(), "v1-abc", components)
	if err != nil {
		t.Fatal(err)
	}
	if len(built) != 1 || built[0] != "kwok" {
		t.Errorf("built %v, want only kwok", built)
	}
	if content, err := os.ReadFile(filepath.Join(dir, "etcd")); err != nil || string(content) != "the user's" {
		t.Errorf("etcd = %q, %v", content, err)
	}
	if _, err := findExisting(components, filepath.Join(assets, "missing")); err == nil {
		t.Error("a KUBEBUILDER_ASSETS that does not exist is not reported")
	}
}
