package stack

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"

	"github.com/interlock-dev/interlock/internal/testing/controlplane"
)

// tags are those of `make build`.
const tags = "grpcnotrace"

// BuildManager builds the manager of the clone, as it stands, to a path, with further flags of go build. Go's cache makes the
// second time quick.
func BuildManager(ctx context.Context, path string, flags ...string) error {
	return build(ctx, path, ".", flags...)
}

// BuildPlugin builds the plugin of kubectl into the folder in which a stack's kubectl finds it, that of its manager.
func BuildPlugin(ctx context.Context, manager string) error {
	return build(ctx, filepath.Join(filepath.Dir(manager), "kubectl-interlock"), "./cmd/kubectl-interlock")
}

func build(ctx context.Context, path, program string, flags ...string) error {
	root, err := controlplane.ModuleRoot()
	if err != nil {
		return err
	}
	args := slices.Concat([]string{"build", "-C", root, "-tags=" + tags, "-o", path}, flags, []string{program})
	cmd := exec.CommandContext(ctx, "go", args...)
	cmd.Stdout, cmd.Stderr = os.Stderr, os.Stderr
	if err := cmd.Run(); err != nil {
		return fmt.Errorf("build %s: %w", path, err)
	}
	return nil
}
