package stack

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
)

// Kubectl runs kubectl as one user of a stack.
type Kubectl struct {
	path       string
	kubeconfig string
	cache      string
	plugins    string
}

// As returns a kubectl that acts as the user of the kubeconfig at that path; see User and ServiceAccount.
func (s *Stack) As(kubeconfig string) Kubectl {
	return Kubectl{
		path:       s.KubectlPath(),
		kubeconfig: kubeconfig,
		// Not ~/.kube/cache: what kubectl remembers there of a port may stem from another stack.
		cache:   filepath.Join(filepath.Dir(s.Kubeconfig()), "users", "kubectl-cache"),
		plugins: filepath.Dir(s.options.Manager),
	}
}

// Kubectl runs kubectl as a cluster admin and returns all that it prints.
func (s *Stack) Kubectl(ctx context.Context, args ...string) (string, error) {
	return s.As(s.Kubeconfig()).Run(ctx, args...)
}

// Run runs kubectl and returns all that it prints. The error, too, holds what was run and what was printed. Plugins
// are found in the folder of the manager's binary.
func (k Kubectl) Run(ctx context.Context, args ...string) (string, error) {
	return k.RunWithInput(ctx, "", args...)
}

// RunWithInput is Run with input as standard input, say for "apply -f -".
func (k Kubectl) RunWithInput(ctx context.Context, input string, args ...string) (string, error) {
	cmd := exec.CommandContext(ctx, k.path, args...)
	cmd.Env = append(os.Environ(),
		"KUBECONFIG="+k.kubeconfig,
		"KUBECACHEDIR="+k.cache,
		"KUBERC=off", // No preferences of the user's.
		"PATH="+k.plugins+string(os.PathListSeparator)+os.Getenv("PATH"),
	)
	cmd.Stdin = strings.NewReader(input)
	out, err := cmd.CombinedOutput()
	if err != nil {
		return string(out), fmt.Errorf("kubectl %s: %w\n%s", strings.Join(args, " "), err, out)
	}
	return string(out), nil
}
