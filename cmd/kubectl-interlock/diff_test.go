package main

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

func TestDiff(t *testing.T) {
	const before, after = "testdata/before.yaml", "testdata/after.yaml"
	for name, tc := range map[string]struct {
		args []string
		want string
		code int
	}{
		"both ways":                        {[]string{before, after}, "diff.txt", 3},
		"JSON":                             {[]string{before, after, "-o", "json"}, "diff.json", 3},
		"YAML":                             {[]string{before, after, "--output=yaml"}, "diff.yaml", 3},
		"the same":                         {[]string{before, before}, "diff-same.txt", 0},
		"the same, as JSON":                {[]string{before, before, "-o", "json"}, "diff-same.json", 0},
		"only stronger":                    {[]string{before, "testdata/stronger"}, "diff-stronger.txt", 0},
		"only weaker":                      {[]string{"testdata/stronger", before}, "diff-weaker.txt", 3},
		"by name, where there are several": {[]string{before, "testdata/several"}, "diff-several.txt", 3},
	} {
		t.Run(name, func(t *testing.T) {
			got := command(t, "", append([]string{"diff"}, tc.args...)...)
			if got.code != tc.code || got.err != "" {
				t.Errorf("ended with %d and said %q, want %d", got.code, got.err, tc.code)
			}
			golden(t, tc.want, got.out)
		})
	}
}

// golden compares with a file of testdata, or writes it if UPDATE_GOLDEN is set.
func golden(t *testing.T, name, got string) {
	t.Helper()
	path := filepath.Join("testdata", "golden", name)
	if os.Getenv("UPDATE_GOLDEN") != "" {
		if err := os.WriteFile(path, []byte(got), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(string(want), got); diff != "" {
		t.Errorf("%s (-want +got):\n%s", path, diff)
	}
}

// Whoever writes a policy that somebody else compares must not be able to write to that terminal.
func TestDiffPrintsNoEscapes(t *testing.T) {
	const escape = `\e[31m\a\u009b2J\u202e`
	policy := func(title, level string) string {
		return `
apiVersion: interlock.dev/v1alpha1
kind: ScalingPolicy
metadata: {name: "tiny` + escape + `"}
spec:
  title: "` + title + escape + `"
  source: {document: Tiny, section: "1"}
  baselineLevel: "Low` + escape + `"
  levels:
  - name: "Low` + escape + `"
    deployment: {notRequired: nothing}
    security: {notRequired: nothing}
  - name: "High` + escape + `"
    deployment: {unspecified: "` + title + escape + `"}
    security: {safeguards: [{safeguard: "pinned` + escape + `"}]}
  thresholds:
  - name: "Cyber` + escape + `"
    domain: "Cyber` + escape + `"
    definition: "` + title + escape + `"
    source: {document: Tiny, section: "1"}
    demands: [{axis: Security, level: "` + level + escape + `"}]
---
apiVersion: interlock.dev/v1alpha1
kind: Safeguard
metadata: {name: "pinned` + escape + `"}
spec:
  title: "` + title + escape + `"
  podRule: {validations: [{expression: "` + title + escape + `", message: "` + title + escape + `"}]}
`
	}
	path := filepath.Join(t.TempDir(), "after.yaml")
	if err := os.WriteFile(path, []byte(policy("second", "High")), 0o644); err != nil {
		t.Fatal(err)
	}
	for _, output := range []string{"", "json", "yaml"} {
		got := command(t, policy("first", "Low"), "diff", "-", path, "-o", output) // checks what is printed
		if !strings.Contains(got.out, "tiny[31m2J") || got.err != "" {
			t.Errorf("-o %q: printed %q and said %q", output, got.out, got.err)
		}
	}
}
