package bypass

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"

	. "github.com/onsi/ginkgo/v2"
	. "github.com/onsi/gomega"
	coordinationv1 "k8s.io/api/coordination/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/interlock-dev/interlock/internal/testing/controlplane"
	"github.com/interlock-dev/interlock/internal/testing/stack"
)

// mutantVariable names the mutant to build the manager as, see mutants_test.go. Unset, it is built as it is.
const mutantVariable = "INTERLOCK_BYPASS_MUTANT"

// buildManager builds the manager from the tree, with a mutant and what else is to be changed laid over it by the compiler;
// the tree stays as it is.
func buildManager(ctx context.Context, path string, further ...change) error {
	root, err := controlplane.ModuleRoot()
	if err != nil {
		return err
	}
	changed, err := changedFiles(root, further)
	if err != nil {
		return err
	}
	overlay, err := writeOverlay(root, filepath.Dir(path), changed)
	if err != nil {
		return err
	}
	out, err := exec.CommandContext(ctx, "go", "build", "-C", root, "-o", path, "-overlay", overlay, ".").CombinedOutput()
	if err != nil {
		return fmt.Errorf("build the manager: %w\n%s", err, out)
	}
	return nil
}

// changedFiles gives the files of the tree that the mutant and further edits change.
func changedFiles(root string, further []change) (map[string]string, error) {
	var m mutant
	if name := os.Getenv(mutantVariable); name != "" {
		var err error
		if m, err = mutantNamed(name); err != nil {
			return nil, err
		}
	}
	return apply(root, slices.Concat(m.edits, further))
}

// writeOverlay writes files that are changed, and the list of them for the compiler.
func writeOverlay(root, dir string, changed map[string]string) (string, error) {
	replace := map[string]string{}
	for file, content := range changed {
		at := filepath.Join(dir, strings.ReplaceAll(file, "/", "_"))
		if err := os.WriteFile(at, []byte(content), 0o600); err != nil {
			return "", err
		}
		replace[filepath.Join(root, file)] = at
	}
	list, err := json.Marshal(map[string]any{"Replace": replace})
	if err != nil {
		return "", err
	}
	path := filepath.Join(dir, "overlay.json")
	return path, os.WriteFile(path, list, 0o600)
}

// applyChangedKinds applies the kinds that the mutant changes, which are not compiled in.
func applyChangedKinds(ctx context.Context) {
	GinkgoHelper()
	root, err := controlplane.ModuleRoot()
	Expect(err).NotTo(HaveOccurred())
	changed, err := changedFiles(root, nil)
	Expect(err).NotTo(HaveOccurred())
	for file, content := range changed {
		if filepath.Ext(file) == ".yaml" {
			_, err := cluster.As(cluster.Kubeconfig()).RunWithInput(ctx, content, "replace", "-f", "-")
			Expect(err).NotTo(HaveOccurred())
		}
	}
}

// startManager starts the manager of the suite anew. It takes away the lease of a killed one first, which it would wait
// for otherwise.
func startManager(ctx context.Context, args ...string) {
	GinkgoHelper()
	lease := &coordinationv1.Lease{ObjectMeta: metav1.ObjectMeta{Namespace: stack.Namespace, Name: "manager.interlock.dev"}}
	Expect(client.IgnoreNotFound(admin.Delete(ctx, lease))).To(Succeed())
	var err error
	manager, err = cluster.StartManager(ctx, append(args, "--evidence-registries="+hostile.host(), "--evidence-blob-hosts="+strings.TrimPrefix(hostile.blobs.URL, "http://"))...)
	Expect(err).NotTo(HaveOccurred())
}

// withoutManager kills the manager, as a crash would, until the spec is over.
func withoutManager() {
	GinkgoHelper()
	Expect(manager.Kill()).To(Succeed())
	DeferCleanup(func(ctx SpecContext) {
		if manager.Running() {
			return
		}
		startManager(ctx)
		waitEnforced(ctx)
	})
}

// metric reads one figure that the manager serves.
func metric(ctx context.Context, name string) float64 {
	GinkgoHelper()
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, manager.MetricsURL(), nil)
	Expect(err).NotTo(HaveOccurred())
	response, err := http.DefaultClient.Do(request)
	Expect(err).NotTo(HaveOccurred())
	defer response.Body.Close()
	body, err := io.ReadAll(response.Body)
	Expect(err).NotTo(HaveOccurred())
	for line := range strings.Lines(string(body)) {
		var value float64
		if _, err := fmt.Sscanf(line, name+" %g", &value); err == nil {
			return value
		}
	}
	Fail("the manager serves no metric " + name)
	return 0
}
