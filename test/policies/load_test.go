package policies

import (
	"bytes"
	"os"
	"path/filepath"
	"slices"
	"testing"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/types"
	"sigs.k8s.io/yaml"

	"github.com/interlock-dev/interlock/api/v1alpha1"
	"github.com/interlock-dev/interlock/internal/safeguard"
)

const (
	packsDir   = "../../config/policies"
	samplesDir = "../../config/samples"
	rsp22      = "anthropic-rsp-v2.2"
)

// A pack is a framework as it is installed: one ScalingPolicy and the Safeguards that it names.
type pack struct {
	dir        string
	policy     *v1alpha1.ScalingPolicy
	safeguards map[string]*v1alpha1.Safeguard
}

func loadPacks(t *testing.T) map[string]pack {
	t.Helper()
	return map[string]pack{rsp22: loadPack(t, rsp22)}
}

func loadPack(t *testing.T, name string) pack {
	t.Helper()
	p := pack{dir: filepath.Join(packsDir, name), policy: &v1alpha1.ScalingPolicy{}, safeguards: map[string]*v1alpha1.Safeguard{}}
	read(t, filepath.Join(p.dir, "policy.yaml"), p.policy)
	files, err := filepath.Glob(filepath.Join(p.dir, "safeguards", "*.yaml"))
	if err != nil {
		t.Fatal(err)
	}
	for _, f := range files {
		if filepath.Base(f) == "kustomization.yaml" {
			continue
		}
		sg := &v1alpha1.Safeguard{}
		read(t, f, sg)
		if want := sg.Name + ".yaml"; filepath.Base(f) != want {
			t.Errorf("%s holds Safeguard %s: call it %s", f, sg.Name, want)
		}
		// A compiler keeps what it compiled by the identity that the API server gives.
		sg.UID = types.UID(sg.Name)
		p.safeguards[sg.Name] = sg
	}
	return p
}

// compile compiles Safeguards in the order of their names.
func compile(t *testing.T, safeguards map[string]*v1alpha1.Safeguard) []*safeguard.Compiled {
	t.Helper()
	compiler, err := safeguard.NewCompiler()
	if err != nil {
		t.Fatal(err)
	}
	var compiled []*safeguard.Compiled
	for _, name := range sortedKeys(safeguards) {
		c, err := compiler.Compile(safeguards[name])
		if err != nil {
			t.Errorf("Safeguard %s: %v", name, err)
			continue
		}
		compiled = append(compiled, c)
	}
	return compiled
}

// read decodes the only document of a file, and takes offence at a field that does not exist.
func read(t *testing.T, path string, into any) {
	t.Helper()
	documents := documentsOf(t, path)
	if len(documents) != 1 {
		t.Fatalf("%s has %d documents, want one", path, len(documents))
	}
	decode(t, path, documents[0], into)
}

func decode(t *testing.T, path string, document []byte, into any) {
	t.Helper()
	if err := yaml.UnmarshalStrict(document, into); err != nil {
		t.Fatalf("%s: %v", path, err)
	}
}

func documentsOf(t *testing.T, path string) [][]byte {
	t.Helper()
	content, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	return bytes.Split(content, []byte("\n---\n"))
}

// allContainers are the containers of every kind, as rules see them.
func allContainers(pod *corev1.Pod) []corev1.Container {
	all := slices.Concat(pod.Spec.InitContainers, pod.Spec.Containers)
	for _, e := range pod.Spec.EphemeralContainers {
		all = append(all, corev1.Container(e.EphemeralContainerCommon))
	}
	return all
}

func sortedKeys[V any](m map[string]V) []string {
	keys := make([]string, 0, len(m))
	for k := range m {
		keys = append(keys, k)
	}
	slices.Sort(keys)
	return keys
}
