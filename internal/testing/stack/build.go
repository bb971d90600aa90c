package stack

import (
	"context"
	"fmt"
	"os"
	"os/exec"

	"github.com/interlock-dev/interlock/internal/testing/controlplane"
)

// BuildManager builds the manager of the clone, as it stands, to a path. Go's cache makes the second time quick.
func BuildManager(ctx context.Context, path string) error {
	root, err := controlplane.ModuleRoot()
	if err != nil {
		return err
	}
	cmd := exec.CommandContext(ctx, "go", "build", "-C", root, "-o", path, ".")
	cmd.Stdout, cmd.Stderr = os.Stderr, os.Stderr
	if err := cmd.Run(); err != nil {
		return fmt.Errorf("build the manager: %w", err)
	}
	return nil
}
