// Package docs runs the commands of the documentation, page by page, as a reader would.
package docs

import (
	"context"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/interlock-dev/interlock/internal/testing/controlplane"
	"github.com/interlock-dev/interlock/internal/testing/stack"
)

// pages are those that hold commands, in an order in which each finds what it says that it starts from.
var pages = []string{"install.md", "enrolment.md", "serving.md", "safeguards.md", "adjust.md", "evidence.md", "policies.md", "approvals.md", "cli.md", "workloads.md", "weights.md", "fallback.md", "operations.md", "record.md"}

func TestCommandsOfTheDocumentation(t *testing.T) {
	if os.Getenv(controlplane.AssetsVariable) == "" {
		t.Skip("needs a control plane: run `make test`")
	}
	ctx := t.Context()
	manager := filepath.Join(t.TempDir(), "manager")
	if err := stack.BuildManager(ctx, manager); err != nil {
		t.Fatal(err)
	}
	if err := stack.BuildPlugin(ctx, manager); err != nil {
		t.Fatal(err)
	}
	t.Setenv("PATH", filepath.Dir(manager)+string(os.PathListSeparator)+os.Getenv("PATH"))
	s, err := stack.Start(ctx, stack.Options{Manager: manager})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := s.Stop(); err != nil {
			t.Error(err)
		}
	})
	if _, err := s.StartManager(ctx); err != nil {
		t.Fatal(err)
	}
	t.Setenv("INTERLOCK_RECORD", s.Record())
	var last []string
	for _, page := range pages {
		for _, block := range blocks(t, page) {
			if strings.Contains(block, "kubectl delete") { // taking Interlock off comes after everything else
				last = append(last, block)
				continue
			}
			sh(ctx, t, s, page, block)
		}
	}
	for _, block := range last {
		sh(ctx, t, s, "install.md", block)
	}
}

// blocks gives the commands of a page: what stands in a fence marked sh.
func blocks(t *testing.T, page string) []string {
	t.Helper()
	root, err := controlplane.ModuleRoot()
	if err != nil {
		t.Fatal(err)
	}
	text, err := os.ReadFile(filepath.Join(root, "docs", page))
	if err != nil {
		t.Fatal(err)
	}
	var all []string
	for i, part := range strings.Split(string(text), "```") {
		if commands, ok := strings.CutPrefix(part, "sh\n"); ok && i%2 == 1 {
			all = append(all, commands)
		}
	}
	if len(all) == 0 {
		t.Fatalf("docs/%s holds no commands", page)
	}
	return all
}

func sh(ctx context.Context, t *testing.T, s *stack.Stack, page, commands string) {
	t.Helper()
	root, err := controlplane.ModuleRoot()
	if err != nil {
		t.Fatal(err)
	}
	cmd := exec.CommandContext(ctx, "sh", "-euc", commands)
	cmd.Dir = root
	cmd.Env = append(os.Environ(), "KUBECONFIG="+s.Kubeconfig(),
		"PATH="+filepath.Dir(s.KubectlPath())+string(os.PathListSeparator)+os.Getenv("PATH"))
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Fatalf("docs/%s: %v\n%s\n%s", page, err, commands, out)
	}
}
