package manifests

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"k8s.io/apimachinery/pkg/types"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/interlock-dev/interlock/api/v1alpha1"
)

const several = `# A comment.
apiVersion: v1
kind: Pod
metadata: {name: first}
---
---
# Nothing here.
---
apiVersion: v1
kind: List
items:
- apiVersion: v1
  kind: Pod
  metadata: {name: second}
  spec:
    containers:
    - name: a
    - name: b
- apiVersion: v1
  kind: Pod
  metadata:
    name: third
--- # with a comment
{"apiVersion": "v1", "kind": "Pod", "metadata": {"name": "fourth"}}
`

func TestReadKnowsWhereEachObjectStands(t *testing.T) {
	for name, text := range map[string]string{"as written": several, "with Windows line ends": strings.ReplaceAll(several, "\n", "\r\n")} {
		t.Run(name, func(t *testing.T) {
			objects, problems := Read([]string{StandardInput}, strings.NewReader(text))
			if len(problems) > 0 {
				t.Fatal(problems)
			}
			got := map[string]string{}
			for _, o := range objects {
				got[o.GetName()] = o.At("metadata", "name").String()
			}
			got["container b"] = objects[1].At("spec", "containers", "1", "name").String()
			got["what is lacking"] = objects[1].At("spec", "nodeSelector").String()
			want := map[string]string{
				"first": "standard input:4:12", "second": "standard input:14:14", "third": "standard input:22:5", "fourth": "standard input:24:50",
				"container b": "standard input:18:7", "what is lacking": "standard input:15:3"}
			if diff := cmp.Diff(want, got); diff != "" {
				t.Error(diff)
			}
		})
	}
}

func TestReadGoesThroughFolders(t *testing.T) {
	dir := t.TempDir()
	for file, text := range map[string]string{
		"a.yaml": pod("a"), "below/b.yml": pod("b"), "below/c.json": `{"apiVersion": "v1", "kind": "Pod", "metadata": {"name": "c"}}`,
		".hidden/d.yaml": pod("d"), "notes.txt": "no manifest", "made/kustomization.yaml": "namePrefix: made-\nresources: [e.yaml]\n", "made/e.yaml": pod("e"),
	} {
		if err := os.MkdirAll(filepath.Dir(filepath.Join(dir, file)), 0o700); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(filepath.Join(dir, file), []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	objects, problems := Read([]string{dir}, nil)
	var names []string
	for _, o := range objects {
		names = append(names, o.GetName())
	}
	if diff := cmp.Diff([]string{"a", "b", "c", "made-e"}, names); diff != "" || len(problems) > 0 {
		t.Error(diff, problems)
	}
}

func pod(name string) string { return "apiVersion: v1\nkind: Pod\nmetadata: {name: " + name + "}\n" }

// TestWorldForgetsWhatAFileCannotKnow is what keeps a pull request from approving itself.
func TestWorldForgetsWhatAFileCannotKnow(t *testing.T) {
	const digest = "sha256:1111111111111111111111111111111111111111111111111111111111111111"
	objects, problems := Read([]string{StandardInput}, strings.NewReader(`
apiVersion: interlock.dev/v1alpha1
kind: Approval
metadata: {name: a, namespace: ns, uid: made-up, creationTimestamp: "2020-01-01T00:00:00Z", annotations: {interlock.dev/created-by: somebody, kept: "yes"}}
spec: {role: rso, subject: {kind: Waiver, name: w, digest: "`+digest+`"}, approver: {username: rhea}}
---
apiVersion: interlock.dev/v1alpha1
kind: ModelDeployment
metadata: {name: m, namespace: ns}
spec: {model: {name: m, digest: "`+digest+`"}, assessedLevel: L1}
status: {verdict: Cleared}
`))
	w := NewWorld(nil)
	now := time.Date(2026, 5, 14, 12, 0, 0, 0, time.UTC)
	if problems = append(problems, w.Apply(objects, now)...); len(problems) > 0 {
		t.Fatal(problems)
	}
	a, m := &v1alpha1.Approval{}, &v1alpha1.ModelDeployment{}
	for o, name := range map[client.Object]string{a: "a", m: "m"} {
		if err := w.Get(t.Context(), types.NamespacedName{Namespace: "ns", Name: name}, o); err != nil {
			t.Fatal(err)
		}
	}
	if a.Spec.Approver != nil || a.UID != "" || !a.CreationTimestamp.Time.Equal(now) {
		t.Errorf("the approval is believed: %+v", a)
	}
	if diff := cmp.Diff(map[string]string{"kept": "yes"}, a.Annotations); diff != "" {
		t.Error(diff)
	}
	if m.Status.Verdict != "" || m.Spec.Audience != v1alpha1.AudienceGeneral {
		t.Errorf("the model has status %q and audience %q, want none and the default", m.Status.Verdict, m.Spec.Audience)
	}
	list := &v1alpha1.ModelDeploymentList{}
	if err := w.List(t.Context(), list, client.MatchingFields{"digest": "sha256:2"}); err != nil || len(list.Items) != 0 {
		t.Errorf("an index selects %d models of other weights: %v", len(list.Items), err)
	}
}
