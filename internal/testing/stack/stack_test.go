package stack_test

import (
	"context"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/interlock-dev/interlock/internal/testing/controlplane"
	"github.com/interlock-dev/interlock/internal/testing/stack"
)

func TestStackInstallsWithKubectlAndActsAsUsers(t *testing.T) {
	if os.Getenv(controlplane.AssetsVariable) == "" {
		t.Skipf("starts a control plane: run it with `make test`, which sets %s", controlplane.AssetsVariable)
	}
	ctx, cancel := context.WithTimeout(t.Context(), 3*time.Minute)
	defer cancel()
	dir, config := t.TempDir(), t.TempDir()
	write(t, config, "kustomization.yaml", `
resources: [all.yaml]
`)
	write(t, config, "all.yaml", `
apiVersion: v1
kind: Namespace
metadata: {name: interlock-system}
---
apiVersion: v1
kind: ServiceAccount
metadata: {name: interlock-controller-manager, namespace: interlock-system}
---
apiVersion: apiextensions.k8s.io/v1
kind: CustomResourceDefinition
metadata: {name: things.example.com}
spec:
  group: example.com
  scope: Namespaced
  names: {kind: Thing, plural: things}
  versions:
  - {name: v1, served: true, storage: true, schema: {openAPIV3Schema: {type: object}}}
`)
	s, err := stack.Start(ctx, stack.Options{
		Dir:     dir,
		Nodes:   controlplane.Nodes(1, 0),
		Config:  config,
		Manager: filepath.Join(dir, "no-such-manager"),
	})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := s.Stop(); err != nil {
			t.Error(err)
		}
	})

	if out, err := s.As(s.Kubeconfig()).RunWithInput(ctx, "{apiVersion: example.com/v1, kind: Thing, metadata: {name: a}}",
		"apply", "-f", "-"); err != nil || !strings.Contains(out, "thing.example.com/a created") {
		t.Errorf("what was installed is not served: %q, %v", out, err)
	}

	_, kubeconfig, err := s.ServiceAccount(ctx, stack.Namespace, stack.ServiceAccount)
	if err != nil {
		t.Fatal(err)
	}
	_, err = s.As(kubeconfig).Run(ctx, "get", "things")
	want := `User "system:serviceaccount:interlock-system:interlock-controller-manager" cannot list`
	if err == nil || !strings.Contains(err.Error(), want) {
		t.Errorf("the ServiceAccount has rights that it was not given: %v", err)
	}

	if _, err := s.StartManager(ctx); err == nil || !strings.Contains(err.Error(), "make build") {
		t.Errorf("StartManager = %v; want it to say how to build the manager", err)
	}
}

func write(t *testing.T, dir, name, content string) {
	t.Helper()
	if err := os.WriteFile(filepath.Join(dir, name), []byte(content), 0o600); err != nil {
		t.Fatal(err)
	}
}
