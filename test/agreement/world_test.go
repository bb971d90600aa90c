package agreement

import (
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"sigs.k8s.io/yaml"

	"github.com/interlock-dev/interlock/internal/testing/controlplane"
)

// The policies under which worlds are drawn, with the folders that hold them. The second puts a NetworkPolicy around models by itself,
// and hardens pods.
var policies = map[string]string{
	"anthropic-rsp-v2.2": "config/policies/anthropic-rsp-v2.2",
	"helpful":            "test/agreement/testdata",
}

// world is what a team would apply: one namespace with all that is in it, and what was found of its model.
type world struct {
	name    string
	objects []*unstructured.Unstructured
	// changed says what was drawn, for whoever has to find out why two answers differ.
	changed []string
}

// manifests gives the world as a file.
func (w *world) manifests(t *testing.T) string {
	t.Helper()
	var all strings.Builder
	for _, o := range w.objects {
		text, err := yaml.Marshal(o.Object)
		if err != nil {
			t.Fatal(err)
		}
		all.WriteString("---\n" + string(text))
	}
	return all.String()
}

func (w *world) of(kind string) (all []*unstructured.Unstructured) {
	for _, o := range w.objects {
		if o.GetKind() == kind {
			all = append(all, o)
		}
	}
	return all
}

// modelsLast gives the objects in the order in which they are applied.
func (w *world) modelsLast() []*unstructured.Unstructured {
	others := slices.DeleteFunc(slices.Clone(w.objects), func(o *unstructured.Unstructured) bool { return o.GetKind() == "ModelDeployment" })
	return append(others, w.of("ModelDeployment")...)
}

// draw draws a world: the samples of config/samples, of which each part may be otherwise.
func draw(t *testing.T, r *rand.Rand, name string) *world {
	t.Helper()
	w := &world{name: name}
	digest := fmt.Sprintf("%016x%016x%016x%016x", r.Uint64(), r.Uint64(), r.Uint64(), r.Uint64())
	for _, file := range []string{"namespace", "modeldeployment", "assessment", "networkpolicy", "deployment-guarded"} {
		w.objects = append(w.objects, sample(t, file, name, digest)...)
	}
	if r.IntN(3) == 0 {
		w.objects = append(w.objects, second(sample(t, "deployment-bare", name, digest)[0]))
		w.changed = append(w.changed, "a second workload, bare")
	}
	for range r.IntN(4) {
		change := changes[r.IntN(len(changes))]
		if change.make(r, w) {
			w.changed = append(w.changed, change.name)
		}
	}
	return w
}

// sample reads a file of samples for a namespace and a model of its own: models of one cluster that name the same weights bear on
// one another.
func sample(t *testing.T, file, namespace, digest string) (all []*unstructured.Unstructured) {
	t.Helper()
	text := strings.NewReplacer(
		"team-a", namespace, "24278f9b0fdf0fa695e66cda8dd2828ec2737bd63069c92e2fb451240181be41", digest,
		"models/example-70b@", "models/"+namespace+"@", "replicas: 3", "replicas: 1", "name: example-70b-2026-11", "name: "+namespace,
	).Replace(read(t, "config/samples/"+file+".yaml"))
	for document := range strings.SplitSeq(text, "\n---\n") {
		o := &unstructured.Unstructured{}
		if err := yaml.Unmarshal([]byte(document), &o.Object); err != nil {
			t.Fatal(err)
		}
		all = append(all, o)
	}
	return all
}

func read(t *testing.T, file string) string {
	t.Helper()
	root, err := controlplane.ModuleRoot()
	if err != nil {
		t.Fatal(err)
	}
	text, err := os.ReadFile(filepath.Join(root, file))
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}

func second(o *unstructured.Unstructured) *unstructured.Unstructured {
	o.SetName("second")
	for _, path := range [][]string{{"spec", "selector", "matchLabels", "app"}, {"spec", "template", "metadata", "labels", "app"}} {
		set(o, "second", path...)
	}
	return o
}

func set(o *unstructured.Unstructured, value any, path ...string) {
	if err := unstructured.SetNestedField(o.Object, value, path...); err != nil {
		panic(err)
	}
}

// change is one thing that may be otherwise; false, it cannot be here.
type change struct {
	name string
	make func(r *rand.Rand, w *world) bool
}

// onPods changes the template of one of the Deployments.
func onPods(name string, do func(r *rand.Rand, template map[string]any)) change {
	return change{name, func(r *rand.Rand, w *world) bool {
		deployments := w.of("Deployment")
		if len(deployments) == 0 {
			return false
		}
		o := deployments[r.IntN(len(deployments))]
		do(r, o.Object["spec"].(map[string]any)["template"].(map[string]any))
		return true
	}}
}

func spec(template map[string]any) map[string]any { return template["spec"].(map[string]any) }

// mount adds a volume, unless one of its name is there.
func mount(template map[string]any, volume map[string]any) {
	volumes, _ := spec(template)["volumes"].([]any)
	if !slices.ContainsFunc(volumes, func(v any) bool { return v.(map[string]any)["name"] == volume["name"] }) {
		spec(template)["volumes"] = append(volumes, volume)
	}
}

// container gives one of the containers.
func container(r *rand.Rand, template map[string]any) map[string]any {
	all := spec(template)["containers"].([]any)
	if init, ok := spec(template)["initContainers"].([]any); ok {
		all = append(append([]any{}, all...), init...)
	}
	return all[r.IntN(len(all))].(map[string]any)
}

// without takes one of several fields away.
func without(fields ...string) func(r *rand.Rand, o map[string]any) {
	return func(r *rand.Rand, o map[string]any) { delete(o, fields[r.IntN(len(fields))]) }
}

var changes = []change{
	{"another policy", func(_ *rand.Rand, w *world) bool {
		set(w.of("Namespace")[0], "helpful", "metadata", "labels", "interlock.dev/enforce")
		return true
	}},
	{"no policy", func(_ *rand.Rand, w *world) bool {
		unstructured.RemoveNestedField(w.of("Namespace")[0].Object, "metadata", "labels", "interlock.dev/enforce")
		return true
	}},
	{"a policy that does not exist", func(_ *rand.Rand, w *world) bool {
		set(w.of("Namespace")[0], "no-such-policy", "metadata", "labels", "interlock.dev/enforce")
		return true
	}},
	{"coverage of accelerators", func(_ *rand.Rand, w *world) bool {
		set(w.of("Namespace")[0], "accelerators", "metadata", "labels", "interlock.dev/coverage")
		return true
	}},
	{"a default model", func(_ *rand.Rand, w *world) bool {
		set(w.of("Namespace")[0], "example-70b", "metadata", "labels", "interlock.dev/model")
		return true
	}},
	{"another level", func(r *rand.Rand, w *world) bool {
		set(w.of("ModelDeployment")[0], []string{"ASL-2", "ASL-4", "ASL-9"}[r.IntN(3)], "spec", "assessedLevel")
		return true
	}},
	{"another audience", func(r *rand.Rand, w *world) bool {
		set(w.of("ModelDeployment")[0], []string{"Internal", "TrustedUsers"}[r.IntN(2)], "spec", "audience")
		return true
	}},
	{"no effective compute", func(_ *rand.Rand, w *world) bool {
		unstructured.RemoveNestedField(w.of("ModelDeployment")[0].Object, "spec", "model", "effectiveCompute")
		return true
	}},
	{"no sources", func(_ *rand.Rand, w *world) bool {
		unstructured.RemoveNestedField(w.of("ModelDeployment")[0].Object, "spec", "model", "sources")
		return true
	}},
	{"an old assessment", func(r *rand.Rand, w *world) bool {
		set(w.of("CapabilityAssessment")[0], fmt.Sprintf("2026-0%d-16T09:00:00Z", 1+r.IntN(6)), "spec", "assessedAt")
		return true
	}},
	{"other outcomes", func(r *rand.Rand, w *world) bool {
		o := w.of("CapabilityAssessment")[0]
		outcomes, _, _ := unstructured.NestedSlice(o.Object, "spec", "outcomes")
		outcomes[r.IntN(len(outcomes))].(map[string]any)["outcome"] = []string{"Reached", "RuledOut", "Inconclusive"}[r.IntN(3)]
		set(o, outcomes, "spec", "outcomes")
		return true
	}},
	{"an assessment of other weights", func(_ *rand.Rand, w *world) bool {
		set(w.of("CapabilityAssessment")[0], []any{"sha256:" + strings.Repeat("0", 64)}, "spec", "digests")
		return true
	}},
	{"no egress policy", func(_ *rand.Rand, w *world) bool {
		for i, o := range w.objects {
			if o.GetKind() == "NetworkPolicy" {
				w.objects = append(w.objects[:i], w.objects[i+1:]...)
				return true
			}
		}
		return false
	}},
	{"open egress", func(_ *rand.Rand, w *world) bool {
		all := w.of("NetworkPolicy")
		if len(all) == 0 {
			return false
		}
		set(all[0], []any{map[string]any{}}, "spec", "egress")
		set(all[0], []any{"Egress"}, "spec", "policyTypes")
		return true
	}},
	{"egress for other labels", func(_ *rand.Rand, w *world) bool {
		all := w.of("NetworkPolicy")
		if len(all) == 0 {
			return false
		}
		set(all[0], map[string]any{"app": "example-70b"}, "spec", "podSelector", "matchLabels")
		return true
	}},
	{"another kind", func(r *rand.Rand, w *world) bool {
		all := w.of("Deployment")
		if len(all) == 0 {
			return false
		}
		become(all[0], []string{"StatefulSet", "ReplicaSet", "DaemonSet", "Job", "Pod"}[r.IntN(5)])
		return true
	}},
	onPods("a model that is not declared", func(_ *rand.Rand, template map[string]any) {
		template["metadata"].(map[string]any)["labels"].(map[string]any)["interlock.dev/model"] = "unheard-of"
	}),
	onPods("no model", func(_ *rand.Rand, template map[string]any) {
		delete(template["metadata"].(map[string]any)["labels"].(map[string]any), "interlock.dev/model")
	}),
	onPods("no accelerator", func(_ *rand.Rand, template map[string]any) {
		for _, c := range spec(template)["containers"].([]any) {
			delete(c.(map[string]any), "resources")
		}
	}),
	onPods("an image by tag", func(r *rand.Rand, template map[string]any) {
		container(r, template)["image"] = "registry.example.com/x:1.2"
	}),
	onPods("an image without a tag", func(r *rand.Rand, template map[string]any) {
		container(r, template)["image"] = "registry.example.com/x"
	}),
	onPods("a field of the pod less", func(r *rand.Rand, template map[string]any) {
		without("automountServiceAccountToken", "securityContext", "nodeSelector", "tolerations", "initContainers")(r, spec(template))
	}),
	onPods("a field of a container less", func(r *rand.Rand, template map[string]any) {
		c := container(r, template)
		without("securityContext", "readinessProbe", "args", "env", "resources", "restartPolicy", "command")(r, c)
		if _, restarts := c["restartPolicy"]; !restarts {
			delete(c, "readinessProbe") // which only sidecars and containers may have
		}
	}),
	onPods("listens everywhere", func(_ *rand.Rand, template map[string]any) {
		c := spec(template)["containers"].([]any)[0].(map[string]any)
		c["args"] = []any{"--host=0.0.0.0", "--port=8000"}
	}),
	onPods("a port of the model", func(_ *rand.Rand, template map[string]any) {
		c := spec(template)["containers"].([]any)[0].(map[string]any)
		c["ports"] = []any{map[string]any{"containerPort": int64(8000)}}
	}),
	onPods("a token for another service", func(r *rand.Rand, template map[string]any) {
		projected := map[string]any{"audience": "vault", "path": "token"}
		if r.IntN(2) == 0 {
			projected["expirationSeconds"] = int64(7200)
		}
		mount(template, map[string]any{"name": "vault",
			"projected": map[string]any{"sources": []any{map[string]any{"serviceAccountToken": projected}}}})
	}),
	onPods("privileged", func(r *rand.Rand, template map[string]any) {
		container(r, template)["securityContext"] = map[string]any{"privileged": true}
	}),
	onPods("the host's network", func(_ *rand.Rand, template map[string]any) { spec(template)["hostNetwork"] = true }),
	onPods("a directory of the host", func(_ *rand.Rand, template map[string]any) {
		mount(template, map[string]any{"name": "host", "hostPath": map[string]any{"path": "/data"}})
	}),
	onPods("other weights", func(_ *rand.Rand, template map[string]any) {
		mount(template, map[string]any{"name": "other",
			"image": map[string]any{"reference": "registry.example.com/models/other@sha256:" + strings.Repeat("1", 64)}})
	}),
	onPods("variables from elsewhere", func(r *rand.Rand, template map[string]any) {
		container(r, template)["envFrom"] = []any{map[string]any{"configMapRef": map[string]any{"name": "x"}}}
	}),
	onPods("through a shell", func(_ *rand.Rand, template map[string]any) {
		c := spec(template)["containers"].([]any)[0].(map[string]any)
		c["command"] = []any{"sh", "-c", "vllm serve $MODEL --host 127.0.0.1"}
	}),
	onPods("labels that open", func(_ *rand.Rand, template map[string]any) {
		template["metadata"].(map[string]any)["labels"].(map[string]any)["role"] = "gateway"
	}),
}

// become makes a workload of another kind of a Deployment.
func become(o *unstructured.Unstructured, kind string) {
	spec := o.Object["spec"].(map[string]any)
	template := spec["template"].(map[string]any)
	switch kind {
	case "Pod":
		labels := template["metadata"].(map[string]any)["labels"]
		o.Object = map[string]any{"apiVersion": "v1", "kind": "Pod", "spec": template["spec"],
			"metadata": map[string]any{"name": o.GetName(), "namespace": o.GetNamespace(), "labels": labels}}
	case "Job":
		o.SetAPIVersion("batch/v1")
		template["spec"].(map[string]any)["restartPolicy"] = "Never"
		o.Object["spec"] = map[string]any{"template": template}
	case "StatefulSet":
		spec["serviceName"] = "none"
	case "DaemonSet":
		delete(spec, "replicas")
	}
	o.SetKind(kind)
}
