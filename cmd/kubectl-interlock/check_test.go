package main

import (
	"encoding/json"
	"strings"
	"testing"
)

const (
	checkedPolicy = "testdata/check/policy.yaml"
	checkedTeam   = "testdata/check/team.yaml"
)

func TestCheckSaysWhatWouldBecomeOfManifests(t *testing.T) {
	passing := `
apiVersion: interlock.dev/v1alpha1
kind: ModelDeployment
metadata: {name: small}
spec:
  model: {name: small, digest: "sha256:1111111111111111111111111111111111111111111111111111111111111111"}
  assessedLevel: L1
`
	for name, tc := range map[string]struct {
		args   []string
		stdin  string
		code   int
		golden string
	}{
		"a team":                   {[]string{"-f", checkedTeam, "-f", checkedPolicy}, "", 1, "check.txt"},
		"a folder":                 {[]string{"-f", "testdata/check"}, "", 1, "check-folder.txt"},
		"as JSON":                  {[]string{"-f", checkedTeam, "-f", checkedPolicy, "-o", "json"}, "", 1, "check.json"},
		"as SARIF":                 {[]string{"-f", checkedTeam, "-f", checkedPolicy, "-o", "sarif"}, "", 1, "check.sarif"},
		"as JUnit":                 {[]string{"-f", checkedTeam, "-f", checkedPolicy, "-o", "junit"}, "", 1, "check.junit.xml"},
		"as annotations":           {[]string{"-f", checkedTeam, "-f", checkedPolicy, "-o", "github"}, "", 1, "check.github"},
		"under a policy of choice": {[]string{"-f", "-", "-f", checkedPolicy, "--policy", "tiny", "-n", "elsewhere"}, passing, 0, "check-passing.txt"},
		"under no policy":          {[]string{"-f", "-", "-f", checkedPolicy}, passing, 1, "check-unknown.txt"},
		"with Windows line ends":   {[]string{"-f", "-", "-f", checkedPolicy, "--policy", "tiny", "-n", "elsewhere"}, strings.ReplaceAll(passing, "\n", "\r\n"), 0, "check-passing.txt"},
	} {
		t.Run(name, func(t *testing.T) {
			got := command(t, tc.stdin, append([]string{"check"}, tc.args...)...)
			if got.code != tc.code || got.err != "" {
				t.Errorf("ended with %d, and said %q", got.code, got.err)
			}
			golden(t, tc.golden, got.out)
		})
	}
}

// TestCheckSaysOnceWhatCannotBeUsed has one line for each fault, and all else is judged even so.
func TestCheckSaysOnceWhatCannotBeUsed(t *testing.T) {
	const model = "apiVersion: interlock.dev/v1alpha1\nkind: ModelDeployment\nmetadata: {name: x}\n"
	bomb := "a: &a [x,x,x,x,x,x,x,x,x]\n"
	for i, letter := range "bcdefghi" {
		bomb += strings.ReplaceAll(string(letter)+": &"+string(letter)+" [_,_,_,_,_,_,_,_,_]\n", "_", "*"+string("abcdefgh"[i]))
	}
	for name, tc := range map[string]struct{ stdin, want string }{
		"nothing":             {"", "error: standard input: it holds no object"},
		"only comments":       {"# a\n---\n# b\n", "error: standard input: it holds no object"},
		"a key twice":         {"a: 1\nb: 2\na: 3\n", `error: standard input:3: key "a" already set in map`},
		"anchors that expand": {bomb, "error: standard input:1: document contains excessive aliasing"},
		"no text":             {"\x00\xff", "error: standard input:1: it is no text in UTF-8"},
		"no YAML":             {model + "spec: [", "error: standard input:4: did not find expected node content"},
		"no manifest":         {"just a text", "error: standard input:1: it is no manifest"},
		"a list":              {"- a\n", "error: standard input:1: it is no manifest"},
		"no name":             {"apiVersion: v1\nkind: Pod\n", "error: standard input:1: Pod has no metadata.name"},
		"a field too many":    {model + "spec: {weight: 1}\n", "error: standard input:1:1: ModelDeployment default/x: spec.weight is no field of a ModelDeployment"},
		"a field missing":     {model + "spec: {assessedLevel: L1}\n", "spec.model: Required value"},
		"an unknown version":  {strings.Replace(model, "v1alpha1", "v9", 1), "is no kind of this version of Interlock"},
		"a bad name":          {strings.Replace(model, "name: x", `name: "a/b"`, 1) + "spec: {model: {name: x, digest: x}}\n", "metadata.name"},
		"an escape":           {strings.Replace(model, "name: x", `name: "\e[2J"`, 1) + "spec: {}\n", "error: standard input:1:1: ModelDeployment default/"},
	} {
		t.Run(name, func(t *testing.T) {
			got := command(t, tc.stdin, "check", "-f", "-", "-f", checkedTeam, "-f", checkedPolicy)
			if got.code != 2 || !strings.Contains(got.err, tc.want) || strings.Count(got.err, "\n") != 1 {
				t.Errorf("ended with %d and said %q, want one line with %q", got.code, got.err, tc.want)
			}
			if !strings.Contains(got.out, "ModelDeployment team/small: Cleared") {
				t.Errorf("the rest was not judged: %q", got.out)
			}
		})
	}
}

func TestCheckRefusesWhatItCannotDo(t *testing.T) {
	for name, tc := range map[string]struct {
		args []string
		want string
	}{
		"nothing named":       {nil, "name what to check: -f FILENAME or -k FOLDER"},
		"no such file":        {[]string{"-f", "testdata/nope.yaml"}, "testdata/nope.yaml: no such file or directory"},
		"no such format":      {[]string{"-f", checkedTeam, "-o", "xml"}, "can be json, yaml, sarif, junit, github"},
		"no such cluster":     {[]string{"-f", checkedTeam, "--cluster", "--server=http://127.0.0.1:1"}, "connection refused"},
		"the same twice":      {[]string{"-f", checkedTeam, "-f", checkedTeam, "-f", checkedPolicy}, "it stands at testdata/check/team.yaml:2:1 already; keep one of the two"},
		"only other kinds":    {[]string{"-f", checkedPolicy}, "there is nothing to check: none of the manifests is a ModelDeployment or a workload"},
		"no kustomization":    {[]string{"-k", "testdata/check"}, "unable to find one of 'kustomization.yaml'"},
		"an empty folder":     {[]string{"-f", t.TempDir()}, "the folder holds no manifests"},
		"no table of kinds":   {[]string{"-f", checkedTeam, "--workload-kinds", "nope.yaml"}, "nope.yaml"},
		"an argument besides": {[]string{"x"}, `unknown command "x"`},
	} {
		t.Run(name, func(t *testing.T) {
			got := command(t, "", append([]string{"check"}, tc.args...)...)
			if got.code == 0 || !strings.Contains(got.err, tc.want) || !strings.HasPrefix(got.err, "error: ") {
				t.Errorf("ended with %d and said %q, want %q", got.code, got.err, tc.want)
			}
		})
	}
}

// TestCheckPointsAtWhatIsToBeChanged goes by what an editor would jump to.
func TestCheckPointsAtWhatIsToBeChanged(t *testing.T) {
	got := command(t, "", "check", "-f", checkedTeam, "-f", checkedPolicy, "-o", "json")
	var result struct {
		Workloads []struct {
			Name     string
			Findings []struct {
				Safeguard string
				At        struct {
					File         string
					Line, Column int
				}
			}
		}
	}
	if err := json.Unmarshal([]byte(got.out), &result); err != nil {
		t.Fatal(err)
	}
	for _, w := range result.Workloads {
		if w.Name != "tagged" {
			continue
		}
		if len(w.Findings) != 1 || w.Findings[0].At.Line != 47 || w.Findings[0].At.Column != 11 || w.Findings[0].Safeguard != "pinned" {
			t.Errorf("found %+v, want pinned at the spec of the template, 47:11", w.Findings)
		}
		return
	}
	t.Error("no such workload")
}
