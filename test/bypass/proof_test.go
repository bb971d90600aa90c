package bypass

import (
	"encoding/json"
	"flag"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/onsi/ginkgo/v2/types"

	"github.com/interlock-dev/interlock/internal/testing/controlplane"
)

// proveVariable asks for the proof, which takes some minutes: the names of mutants, with commas between, or "all".
const proveVariable = "INTERLOCK_BYPASS_PROVE"

var update = flag.Bool("update", false, "write the table of proofs into README.md")

// TestMutantsFitTheTree sees to it that no mutant falls behind what it breaks.
func TestMutantsFitTheTree(t *testing.T) {
	root, err := controlplane.ModuleRoot()
	if err != nil {
		t.Fatal(err)
	}
	for _, m := range mutants {
		t.Run(m.name, func(t *testing.T) {
			if _, err := apply(root, slices.Concat(m.edits, breakdowns)); err != nil {
				t.Error(err)
			}
			for _, red := range m.red {
				if !slices.ContainsFunc(specs(t), func(text string) bool { return strings.HasPrefix(text, red) }) {
					t.Errorf("no spec begins with %q", red)
				}
			}
		})
	}
}

// TestEverySpecHasAMutant sees to it that no spec goes without proof, and that README.md tells the proofs there are.
func TestEverySpecHasAMutant(t *testing.T) {
	var table strings.Builder
	table.WriteString("| attack | what must hold | defence | broken to see it fail | mutant |\n|---|---|---|---|---|\n")
	for _, text := range specs(t) {
		proved := false
		number, claim, _ := strings.Cut(text, ": ")
		for _, m := range mutants {
			if slices.ContainsFunc(m.red, func(red string) bool { return strings.HasPrefix(text, red) }) {
				fmt.Fprintf(&table, "| %s | %s | %s | %s | `%s` |\n", number, claim, m.defence, m.broken, m.name)
				proved = true
			}
		}
		if !proved {
			t.Errorf("nothing was broken to see this fail: %s", text)
		}
	}
	readme, err := os.ReadFile("README.md")
	if err != nil {
		t.Fatal(err)
	}
	_, have, _ := strings.Cut(string(readme), "<!-- proofs -->\n")
	if *update {
		whole := strings.TrimSuffix(string(readme), have) + table.String()
		if err := os.WriteFile("README.md", []byte(whole), 0o600); err != nil {
			t.Fatal(err)
		}
		return
	}
	if diff := cmp.Diff(table.String(), have); diff != "" {
		t.Errorf("README.md does not end with the table of proofs (-want +have):\n%s", diff)
	}
}

// TestEverySpecCanFail builds each mutant, runs the specs that must fail on it, and sees them fail.
func TestEverySpecCanFail(t *testing.T) {
	asked := os.Getenv(proveVariable)
	if asked == "" {
		t.Skipf("set %s to all, or to the names of mutants, to prove that the specs can fail", proveVariable)
	}
	for _, m := range mutants {
		if asked != "all" && !slices.Contains(strings.Split(asked, ","), m.name) {
			continue
		}
		t.Run(m.name, func(t *testing.T) {
			report := filepath.Join(t.TempDir(), "report.json")
			var focus []string
			for _, red := range m.red {
				focus = append(focus, regexp.QuoteMeta(red))
			}
			cmd := exec.CommandContext(t.Context(), os.Args[0], "-test.run=^TestBypass$", "-test.timeout=5m",
				"-ginkgo.no-color", "-ginkgo.json-report="+report, "-ginkgo.focus="+strings.Join(focus, "|"))
			cmd.Env = append(os.Environ(), mutantVariable+"="+m.name)
			out, _ := cmd.CombinedOutput() // it fails: that is the point
			failed := failures(t, report, out)
			for _, red := range m.red {
				if !slices.ContainsFunc(failed, func(text string) bool { return strings.HasPrefix(text, red) }) {
					t.Errorf("holds though it should not: %s", red)
				}
			}
			if t.Failed() {
				t.Logf("%s", out)
			}
		})
	}
}

// failures reads from a report which specs failed of themselves.
func failures(t *testing.T, path string, out []byte) []string {
	t.Helper()
	raw, err := os.ReadFile(path)
	if err != nil {
		t.Fatalf("no report: %v\n%s", err, out)
	}
	var reports []types.Report
	if err := json.Unmarshal(raw, &reports); err != nil {
		t.Fatal(err)
	}
	var failed []string
	for _, report := range reports {
		for _, spec := range report.SpecReports {
			if spec.LeafNodeType == types.NodeTypeIt && spec.Failed() && spec.Failure.FailureNodeContext != types.FailureNodeInContainer {
				failed = append(failed, spec.LeafNodeText)
			}
		}
	}
	return failed
}

var spec = regexp.MustCompile(`(?m)^\t+It\("([0-9]+: [^"]+)"`)

// specs gives the texts of all specs, by number. A text that is completed at run time ends where that begins.
func specs(t *testing.T) []string {
	t.Helper()
	files, err := filepath.Glob("*_test.go")
	if err != nil {
		t.Fatal(err)
	}
	var texts []string
	for _, file := range files {
		content, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		for _, match := range spec.FindAllStringSubmatch(string(content), -1) {
			texts = append(texts, match[1])
		}
	}
	slices.SortStableFunc(texts, func(a, b string) int {
		var i, j int
		_, _ = fmt.Sscan(strings.SplitN(a, ":", 2)[0], &i)
		_, _ = fmt.Sscan(strings.SplitN(b, ":", 2)[0], &j)
		return i - j
	})
	return texts
}
