package policies

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/google/go-cmp/cmp"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/serializer"
	"k8s.io/apimachinery/pkg/util/validation"
	utilyaml "k8s.io/apimachinery/pkg/util/yaml"

	"github.com/interlock-dev/interlock/api/v1alpha1"
	"github.com/interlock-dev/interlock/internal/decision"
	"github.com/interlock-dev/interlock/internal/testing/controlplane"
	"github.com/interlock-dev/interlock/internal/testing/stack"
)

// builtPack is what kustomize makes of one folder of config/policies.
type builtPack struct {
	policies   []v1alpha1.ScalingPolicy
	safeguards map[string]v1alpha1.Safeguard
}

// policy is the one that a pack is about.
func (p builtPack) policy(t *testing.T) *v1alpha1.ScalingPolicy {
	t.Helper()
	if len(p.policies) != 1 {
		t.Fatalf("a pack has one ScalingPolicy, this has %d", len(p.policies))
	}
	return &p.policies[0]
}

var builtPacks = struct {
	sync.Mutex
	byName map[string]builtPack
}{byName: map[string]builtPack{}}

// buildPack builds a pack as its users do, with the kubectl of the control plane, and decodes it strictly.
func buildPack(t *testing.T, name string) builtPack {
	t.Helper()
	builtPacks.Lock()
	defer builtPacks.Unlock()
	if have, ok := builtPacks.byName[name]; ok {
		return have
	}
	assets, err := controlplane.Assets(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	cmd := exec.CommandContext(t.Context(), filepath.Join(assets, "kubectl"), "kustomize", packDir(t, name))
	var stderr bytes.Buffer
	cmd.Stderr = &stderr
	out, err := cmd.Output()
	if err != nil {
		t.Fatalf("kustomize %s: %v\n%s", name, err, stderr.String())
	}
	pack := builtPack{safeguards: map[string]v1alpha1.Safeguard{}}
	for _, object := range decodePack(t, out) {
		switch o := object.(type) {
		case *v1alpha1.ScalingPolicy:
			pack.policies = append(pack.policies, *o)
		case *v1alpha1.Safeguard:
			pack.safeguards[o.Name] = *o
		default:
			t.Fatalf("%s holds a %T", name, object)
		}
	}
	builtPacks.byName[name] = pack
	return pack
}

// decodeStrictly decodes YAML documents; a field that the API does not know, or that stands twice, is an error.
func decodePack(t *testing.T, text []byte) []runtime.Object {
	t.Helper()
	scheme := runtime.NewScheme()
	if err := v1alpha1.AddToScheme(scheme); err != nil {
		t.Fatal(err)
	}
	decoder := serializer.NewCodecFactory(scheme, serializer.EnableStrict).UniversalDeserializer()
	reader := utilyaml.NewYAMLReader(bufio.NewReader(bytes.NewReader(text)))
	var objects []runtime.Object
	for {
		doc, err := reader.Read()
		if errors.Is(err, io.EOF) {
			return objects
		}
		if err != nil {
			t.Fatal(err)
		}
		object, _, err := decoder.Decode(doc, nil, nil)
		if err != nil {
			t.Fatalf("%v\nin\n%s", err, doc)
		}
		objects = append(objects, object)
	}
}

func packConfigDir(t *testing.T, elements ...string) string {
	t.Helper()
	root, err := controlplane.ModuleRoot()
	if err != nil {
		t.Fatal(err)
	}
	return filepath.Join(append([]string{root, "config"}, elements...)...)
}

func packDir(t *testing.T, name string) string { return packConfigDir(t, "policies", name) }

// packNames are the folders of config/policies but the one with Safeguards that packs share.
func packNames(t *testing.T) []string {
	t.Helper()
	entries, err := os.ReadDir(packConfigDir(t, "policies"))
	if err != nil {
		t.Fatal(err)
	}
	var names []string
	for _, e := range entries {
		if e.IsDir() && e.Name() != "safeguards" {
			names = append(names, e.Name())
		}
	}
	for _, mine := range []string{packRSP22, packRSP22Complete, packRSP34} {
		if !slices.Contains(names, mine) {
			t.Fatalf("config/policies has no %s, but %v", mine, names)
		}
	}
	return names
}

func TestPacksAreWhole(t *testing.T) {
	for _, name := range packNames(t) {
		t.Run(name, func(t *testing.T) {
			pack := buildPack(t, name)
			policy := pack.policy(t)
			if policy.Name != name {
				t.Errorf("the policy of this folder is called %s", policy.Name)
			}
			if wrong := validation.IsDNS1123Subdomain(policy.Name); len(wrong) > 0 || len(policy.Name) > 63 {
				t.Errorf("no namespace can name this policy in a label: %v", wrong)
			}
			for _, sg := range decision.Named(policy) {
				if _, ok := pack.safeguards[sg]; !ok {
					t.Errorf("Safeguard %s is asked for and not in the pack", sg)
				}
			}
			for _, wrong := range append(packPolicyFaults(policy), packSafeguardFaults(pack)...) {
				t.Error(wrong)
			}
		})
	}
}

// packPolicyFaults says what is missing or doubled in a policy, whatever the API server would take.
func packPolicyFaults(policy *v1alpha1.ScalingPolicy) []string {
	f := packFaults{levels: map[string]bool{}}
	spec := policy.Spec
	f.source("the policy", &spec.Source)
	for _, l := range spec.Levels {
		f.once("level", l.Name)
		f.levels[l.Name] = true
		f.standard(l.Name+" Deployment", l.Deployment)
		f.standard(l.Name+" Security", l.Security)
	}
	if !f.levels[spec.BaselineLevel] {
		f.add("baselineLevel %s is no level", spec.BaselineLevel)
	}
	for _, th := range spec.Thresholds {
		f.once("threshold", th.Name)
		f.source("threshold "+th.Name, &th.Source)
		if len(th.Demands) == 0 && len(th.Safeguards) == 0 && th.Unspecified == "" && th.NotRequired == "" {
			f.add("threshold %s leads to nothing and does not say so", th.Name)
		}
		for _, d := range th.Demands {
			if !f.levels[d.Level] {
				f.add("threshold %s demands %s, which is no level", th.Name, d.Level)
			}
			// The source of the threshold is also that of what it leads to; a demand may have a closer one.
			if d.Source != nil {
				f.source(fmt.Sprintf("threshold %s, demand for %s %s", th.Name, d.Level, d.Axis), d.Source)
			}
		}
		f.obligations("threshold "+th.Name, th.Safeguards)
	}
	for _, s := range spec.SignOffs {
		f.once("sign-off", s.Role)
		f.source("sign-off of "+s.Role, s.Source)
	}
	return f.found
}

type packFaults struct {
	found  []string
	levels map[string]bool
	seen   []string
}

func (f *packFaults) add(format string, args ...any) {
	f.found = append(f.found, fmt.Sprintf(format, args...))
}

func (f *packFaults) once(what, name string) {
	key := what + " " + name
	if slices.Contains(f.seen, key) {
		f.add("%s stands twice", key)
	}
	f.seen = append(f.seen, key)
}

func (f *packFaults) source(of string, s *v1alpha1.Source) {
	switch {
	case s == nil:
		f.add("%s has no source", of)
	case s.Document == "" || s.Section == "":
		f.add("the source of %s lacks document or section: %+v", of, *s)
	}
}

func (f *packFaults) standard(of string, s v1alpha1.Standard) {
	says := 0
	for _, said := range []bool{len(s.Safeguards) > 0, s.Unspecified != "", s.NotRequired != ""} {
		if said {
			says++
		}
	}
	if says != 1 {
		f.add("%s says %d of: safeguards, unspecified, notRequired", of, says)
	}
	f.obligations(of, s.Safeguards)
}

func (f *packFaults) obligations(of string, obligations []v1alpha1.Obligation) {
	for _, o := range obligations {
		f.once(of+" asks for", o.Safeguard)
		f.source(of+", "+o.Safeguard, o.Source)
	}
}

// packPredicate is a predicate type of this project; others must be those of somebody else's standard.
var packPredicate = regexp.MustCompile(`^https://interlock\.dev/predicates/[a-z0-9]([a-z0-9-]*[a-z0-9])?/v[1-9][0-9]*$`)

func packSafeguardFaults(pack builtPack) []string {
	var f packFaults
	for name, sg := range pack.safeguards {
		if wrong := validation.IsDNS1123Label(name); len(wrong) > 0 {
			f.add("Safeguard %s: %v", name, wrong)
		}
		if sg.Spec.Title == "" || sg.Spec.Remedy == "" || len(sg.Spec.Sources) == 0 {
			f.add("Safeguard %s lacks title, remedy or sources", name)
		}
		for i := range sg.Spec.Sources {
			f.source("Safeguard "+name, &sg.Spec.Sources[i])
		}
		if sg.Spec.Evidence == nil {
			continue
		}
		predicate, err := url.Parse(sg.Spec.Evidence.PredicateType)
		if err != nil || predicate.Scheme != "https" ||
			predicate.Host == "interlock.dev" && !packPredicate.MatchString(predicate.String()) {
			f.add("Safeguard %s: predicate type %q", name, sg.Spec.Evidence.PredicateType)
		}
	}
	return f.found
}

// A Safeguard is cluster-scoped, so two packs that define the same name differently would overwrite each other.
func TestSafeguardsAreDefinedOnce(t *testing.T) {
	owner := map[string]string{}
	for _, name := range packNames(t) {
		for sg, have := range buildPack(t, name).safeguards {
			if first, ok := owner[sg]; ok {
				if diff := cmp.Diff(buildPack(t, first).safeguards[sg].Spec, have.Spec); diff != "" {
					t.Errorf("Safeguard %s is not the same in %s and %s:\n%s", sg, first, name, diff)
				}
				continue
			}
			owner[sg] = name
		}
	}
	files := map[string][]string{}
	err := filepath.WalkDir(packConfigDir(t, "policies"), func(path string, e fs.DirEntry, err error) error {
		if err != nil || e.IsDir() || filepath.Ext(path) != ".yaml" || filepath.Base(filepath.Dir(path)) != "safeguards" ||
			e.Name() == "kustomization.yaml" {
			return err
		}
		text, err := os.ReadFile(path)
		if err != nil {
			return err
		}
		for _, object := range decodePack(t, text) {
			sg, ok := object.(*v1alpha1.Safeguard)
			if !ok || sg.Name != strings.TrimSuffix(e.Name(), ".yaml") {
				t.Errorf("%s does not hold the Safeguard that it is named after", path)
				continue
			}
			files[sg.Name] = append(files[sg.Name], path)
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	if len(files) < len(owner) {
		t.Errorf("packs hold %d Safeguards, but only %d files were found", len(owner), len(files))
	}
	for name, paths := range files {
		if len(paths) > 1 {
			t.Errorf("Safeguard %s is defined in %v", name, paths)
		}
		if owner[name] == "" {
			t.Errorf("Safeguard %s is in no pack: %s lists it nowhere", name, paths[0])
		}
	}
}

// What a pack may say and strict decoding does not know, limits and CEL rules, the API server checks.
func TestPacksAndSamplesAreAcceptedByTheAPIServer(t *testing.T) {
	names := packNames(t)
	ctx, cancel := context.WithTimeout(t.Context(), packStartTimeout)
	defer cancel()
	s, err := stack.Start(ctx, stack.Options{Dir: t.TempDir(), Nodes: controlplane.Nodes(1, 0)})
	if err != nil {
		t.Fatal(err)
	}
	defer func() {
		if err := s.Stop(); err != nil {
			t.Error(err)
		}
	}()
	accepted := func(flag, path string) {
		t.Helper()
		out, err := s.Kubectl(ctx, "apply", "--server-side", "--dry-run=server", "--validate=strict", flag, path)
		if err != nil {
			t.Errorf("%v\n%s", err, out)
		}
	}
	for _, name := range names {
		accepted("-k", packDir(t, name))
	}
	for _, sample := range []string{"assessment.yaml", "roadmap.yaml"} {
		accepted("-f", packConfigDir(t, "samples", sample))
	}
}
