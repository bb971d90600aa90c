// Command controlplane builds a Kubernetes control plane from Go modules: etcd, kube-apiserver,
// kube-controller-manager, kube-scheduler, kubectl and KWOK, which stands in for the kubelets.
//
// It prints the folder that holds them, and nothing else, on standard output; progress goes to standard error.
// A first run compiles for some minutes; every later run finds the folder in the user's cache and returns at once.
//
//	assets=$(go run -C hack/controlplane .)
//
// Versions stand in go.mod, nowhere else. If KUBEBUILDER_ASSETS is set, the binaries found there are used as they
// are and only what is lacking is built.
package main

import (
	"context"
	"fmt"
	"os"
	"os/signal"
	"path/filepath"
	"syscall"
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	dir, err := run(ctx)
	if err != nil {
		fmt.Fprintf(os.Stderr, "controlplane: %v\n", err)
		os.Exit(1)
	}
	fmt.Println(dir)
}

func run(ctx context.Context) (string, error) {
	tc, err := newToolchain(ctx)
	if err != nil {
		return "", err
	}
	userCache, err := os.UserCacheDir()
	if err != nil {
		return "", fmt.Errorf("no cache folder to keep the binaries in: %w; set HOME or XDG_CACHE_HOME", err)
	}
	components, err := findExisting(tc.components(), os.Getenv("KUBEBUILDER_ASSETS"))
	if err != nil {
		return "", err
	}
	c := cache{
		root:     filepath.Join(userCache, "interlock", "controlplane"),
		progress: os.Stderr,
		build:    tc.build,
		stages:   tc.copyStages,
	}
	return c.ensure(ctx, key(tc.kubernetes, tc.identity(), components), components)
}
