package main

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"time"
)

const (
	kubernetesModule = "k8s.io/kubernetes"
	etcdModule       = "go.etcd.io/etcd/server/v3"
	kwokModule       = "sigs.k8s.io/kwok"
)

// stageFiles are the KWOK stages that make nodes Ready and scheduled pods run, complete and go, with no kubelet.
var stageFiles = []string{
	"node/fast/node-initialize.yaml",
	"node/heartbeat-with-lease/node-heartbeat-with-lease.yaml",
	"pod/fast/pod-ready.yaml",
	"pod/fast/pod-complete.yaml",
	"pod/fast/pod-delete.yaml",
}

// A toolchain builds components with the go command, in the module that this package is part of.
type toolchain struct {
	// env is what `go env` says of all that may change the bytes of a binary.
	env string
	// modules holds go.mod and go.sum.
	modules string
	// kubernetes, etcd and kwok are the versions that go.mod selects.
	kubernetes, etcd, kwok string
}

func newToolchain(ctx context.Context) (*toolchain, error) {
	env, err := goCommand(ctx, "env", "GOVERSION", "GOOS", "GOARCH", "GOAMD64", "GOARM64", "GOEXPERIMENT", "GOFIPS140")
	if err != nil {
		return nil, err
	}
	versions, err := goCommand(ctx, "list", "-m", "-f", "{{.Version}}", kubernetesModule, etcdModule, kwokModule)
	if err != nil {
		return nil, err
	}
	tc := &toolchain{env: string(env)}
	if _, err := fmt.Sscan(string(versions), &tc.kubernetes, &tc.etcd, &tc.kwok); err != nil {
		return nil, fmt.Errorf("cannot read the versions of %s, %s and %s from go.mod: %w",
			kubernetesModule, etcdModule, kwokModule, err)
	}
	for _, name := range []string{"go.mod", "go.sum"} {
		content, err := os.ReadFile(name)
		if err != nil {
			return nil, fmt.Errorf("%w; run this as `go run -C hack/controlplane .`", err)
		}
		tc.modules += string(content)
	}
	return tc, nil
}

// components lists what a control plane is made of, those first which may be needed first.
func (tc *toolchain) components() []component {
	return []component{
		{name: "etcd", pkg: etcdModule, version: tc.etcd},
		{name: "kube-apiserver", pkg: kubernetesModule + "/cmd/kube-apiserver", version: tc.kubernetes},
		{name: "kube-controller-manager", pkg: kubernetesModule + "/cmd/kube-controller-manager", version: tc.kubernetes},
		{name: "kube-scheduler", pkg: kubernetesModule + "/cmd/kube-scheduler", version: tc.kubernetes},
		{name: "kubectl", pkg: kubernetesModule + "/cmd/kubectl", version: tc.kubernetes},
		{name: "kwok", pkg: kwokModule + "/cmd/kwok", version: tc.kwok},
	}
}

// identity is everything about this toolchain that determines the bytes it makes.
func (tc *toolchain) identity() string {
	return strings.Join([]string{tc.env, tc.modules, strings.Join(tc.buildArgs(), " "), strings.Join(stageFiles, " ")}, "\n")
}

// build compiles c into the file out.
func (tc *toolchain) build(ctx context.Context, c component, out string) error {
	_, err := goCommand(ctx, slices.Concat(tc.buildArgs(), []string{"-o", out, c.pkg})...)
	return err
}

func (tc *toolchain) buildArgs() []string {
	return []string{"build", "-trimpath", "-buildvcs=false", "-ldflags=-s -w " + versionStamps(tc.kubernetes)}
}

// versionStamps has the linker write the version into the binaries, as the release build does. Without it the API
// server calls itself v0.0.0-master, and clients that parse the version fail. Commit and date are fixed, so that
// the same modules give the same bytes.
func versionStamps(version string) string {
	major, rest, _ := strings.Cut(strings.TrimPrefix(version, "v"), ".")
	minor, _, _ := strings.Cut(rest, ".")
	var flags []string
	for _, pkg := range []string{"k8s.io/component-base/version", "k8s.io/client-go/pkg/version"} {
		for _, stamp := range [][2]string{
			{"gitVersion", version},
			{"gitMajor", major},
			{"gitMinor", minor},
			{"gitTreeState", "clean"},
			{"gitCommit", "module"},
			{"buildDate", "1970-01-01T00:00:00Z"},
		} {
			flags = append(flags, fmt.Sprintf("-X %s.%s=%s", pkg, stamp[0], stamp[1]))
		}
	}
	return strings.Join(flags, " ")
}

// copyStages copies the stage files out of the KWOK module into the folder dir.
func (tc *toolchain) copyStages(ctx context.Context, dir string) error {
	out, err := goCommand(ctx, "mod", "download", "-json", kwokModule)
	if err != nil {
		return err
	}
	var module struct{ Dir string }
	if err := json.Unmarshal(out, &module); err != nil {
		return fmt.Errorf("go mod download -json %s: %w", kwokModule, err)
	}
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return err
	}
	for _, name := range stageFiles {
		content, err := os.ReadFile(filepath.Join(module.Dir, "kustomize", "stage", filepath.FromSlash(name)))
		if err != nil {
			return fmt.Errorf("stage of KWOK %s: %w", tc.kwok, err)
		}
		if err := os.WriteFile(filepath.Join(dir, filepath.Base(name)), content, 0o644); err != nil {
			return err
		}
	}
	return nil
}

// goCommand runs the go command and returns what it prints. Settings of the user's that would change the bytes of a
// binary are overridden.
func goCommand(ctx context.Context, args ...string) ([]byte, error) {
	cmd := exec.CommandContext(ctx, "go", args...)
	cmd.Env = append(os.Environ(), "CGO_ENABLED=0", "GOFLAGS=-mod=readonly", "GOWORK=off")
	cmd.Cancel = func() error { return cmd.Process.Signal(os.Interrupt) }
	cmd.WaitDelay = 10 * time.Second
	var stderr bytes.Buffer
	cmd.Stderr = &stderr
	out, err := cmd.Output()
	if ctx.Err() != nil {
		return nil, context.Cause(ctx)
	}
	if err != nil {
		return nil, fmt.Errorf("go %s: %w\n%s", args[0], err, bytes.TrimSpace(stderr.Bytes()))
	}
	return out, nil
}
