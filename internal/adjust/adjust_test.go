package adjust

import (
	"encoding/json"
	"errors"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"sigs.k8s.io/yaml"

	"github.com/interlock-dev/interlock/api/v1alpha1"
	"github.com/interlock-dev/interlock/internal/workload"
)

var llm = Values{Model: "llm", Digest: "sha256:" + strings.Repeat("a", 64), Namespace: "serving", Policy: "rsp-v2.2", Safeguard: "egress"}

// safeguardWith makes a Safeguard with one object, a NetworkPolicy unless change says otherwise.
func safeguardWith(t *testing.T, manifest string, change func(*v1alpha1.AdjustmentObject)) *v1alpha1.Safeguard {
	t.Helper()
	raw, err := yaml.YAMLToJSON([]byte(manifest))
	if err != nil {
		t.Fatal(err)
	}
	o := v1alpha1.AdjustmentObject{APIVersion: "networking.k8s.io/v1", Kind: "NetworkPolicy", Name: "egress-$(model.name)",
		Manifest: &runtime.RawExtension{Raw: raw}}
	if change != nil {
		change(&o)
	}
	return &v1alpha1.Safeguard{ObjectMeta: metav1.ObjectMeta{Name: "egress"},
		Spec: v1alpha1.SafeguardSpec{Adjust: &v1alpha1.Adjustment{Objects: []v1alpha1.AdjustmentObject{o}}}}
}

func TestObjectHoldsTheValuesOfTheModel(t *testing.T) {
	templates, err := Parse(safeguardWith(t, `
metadata:
  labels: {team: "of-$(namespace)"}
  annotations: {example.com/why: "$(safeguard.name) of $(policy.name) for $(model.digest), $$(5)"}
spec:
  podSelector: {matchLabels: {interlock.dev/model: $(model.name)}}
  policyTypes: [Egress]
  egress: [{ports: [{port: 53, protocol: UDP}]}]
`, nil))
	if err != nil {
		t.Fatal(err)
	}
	got, err := templates[0].Object(llm)
	if err != nil {
		t.Fatal(err)
	}
	want := map[string]any{
		"apiVersion": "networking.k8s.io/v1", "kind": "NetworkPolicy",
		"metadata": map[string]any{"name": "egress-llm", "namespace": "serving",
			"labels": map[string]any{"team": "of-serving", v1alpha1.ManagedByLabel: v1alpha1.ManagedBy, v1alpha1.AdjustedForLabel: "llm",
				v1alpha1.AdjustedByLabel: "egress"},
			"annotations": map[string]any{"example.com/why": "egress of rsp-v2.2 for " + llm.Digest + ", $(5)"}},
		"spec": map[string]any{
			"podSelector": map[string]any{"matchLabels": map[string]any{"interlock.dev/model": "llm"}},
			"policyTypes": []any{"Egress"},
			"egress":      []any{map[string]any{"ports": []any{map[string]any{"port": int64(53), "protocol": "UDP"}}}}},
	}
	if diff := cmp.Diff(want, got.Object); diff != "" {
		t.Errorf("-want +got:\n%s", diff)
	}
}

func TestParseRefuses(t *testing.T) {
	kind := func(apiVersion, kind string) func(*v1alpha1.AdjustmentObject) {
		return func(o *v1alpha1.AdjustmentObject) { o.APIVersion, o.Kind = apiVersion, kind }
	}
	named := func(name string) func(*v1alpha1.AdjustmentObject) {
		return func(o *v1alpha1.AdjustmentObject) { o.Name = name }
	}
	for name, tc := range map[string]struct {
		manifest string
		change   func(*v1alpha1.AdjustmentObject)
		want     string
	}{
		"an unknown placeholder":       {"spec: {a: [{b: $(model.secret)}]}", nil, ".manifest.spec.a[0].b: $(model.secret) is not known"},
		"one that is not closed":       {"spec: {a: $(model.name}", nil, "$(model.name is not known"},
		"code":                         {"spec: {a: $(model.name + 'x')}", nil, "is not known"},
		"one in a key":                 {"spec: {$(model.name): x}", nil, ".manifest.spec: the key"},
		"a namespace":                  {"metadata: {namespace: kube-system}", nil, ".manifest.metadata.namespace: only labels and annotations"},
		"a name in the manifest":       {"metadata: {name: other}", nil, ".manifest.metadata.name: only"},
		"an owner":                     {"metadata: {ownerReferences: []}", nil, ".manifest.metadata.ownerReferences: only"},
		"a finalizer":                  {"metadata: {finalizers: [x]}", nil, ".manifest.metadata.finalizers: only"},
		"our label":                    {"metadata: {labels: {interlock.dev/adjusted-for: x}}", nil, "it is Interlock's own"},
		"our label below":              {"metadata: {labels: {a.interlock.dev/x: x}}", nil, "it is Interlock's own"},
		"the label of who manages it":  {"metadata: {labels: {app.kubernetes.io/managed-by: Helm}}", nil, "it is Interlock's own"},
		"a label that is no text":      {"metadata: {labels: {a: 1}}", nil, "put it in quotes"},
		"labels that are no map":       {"metadata: {labels: [a]}", nil, "it must be a map"},
		"metadata that is no object":   {"metadata: x", nil, "it must be an object"},
		"another kind in the manifest": {"kind: Secret", nil, ".manifest.kind: it cannot be set here"},
		"a status":                     {"status: {}", nil, ".manifest.status: it cannot be set here"},
		"no manifest":                  {"{}", func(o *v1alpha1.AdjustmentObject) { o.Manifest = nil }, ".manifest: it is empty"},
		"a long manifest":              {"spec: " + strings.Repeat("x", largest), nil, "16384 are the most"},
		"a name for all models":        {"spec: {}", named("egress"), ".name: it must hold $(model.name)"},
		"a name that cannot be":        {"spec: {}", named("Egress_$(model.name)"), `.name: "Egress_mmm`},
		"a digest in the name":         {"spec: {}", named("$(model.name)-$(model.digest)"), "sha256:"},
		"a name that can get too long": {"spec: {}", named(strings.Repeat("x", 200) + "$(model.name)"), "253 characters"},
		"the name of an isolation":     {"spec: {}", named("interlock-isolate-$(model.name)"), "as only Interlock's own objects do"},
		"pods":                         {"spec: {}", kind("v1", "Pod"), ".kind: Pod is refused"},
		"Secrets":                      {"spec: {}", kind("v1", "Secret"), ".kind: Secret is refused"},
		"ServiceAccounts":              {"spec: {}", kind("v1", "ServiceAccount"), "is refused"},
		"Endpoints":                    {"spec: {}", kind("v1", "Endpoints"), "is refused"},
		"EndpointSlices":               {"spec: {}", kind("discovery.k8s.io/v1", "EndpointSlice"), "turns the traffic"},
		"RoleBindings":                 {"spec: {}", kind("rbac.authorization.k8s.io/v1", "RoleBinding"), "gives rights"},
		"admission policies":           {"spec: {}", kind("admissionregistration.k8s.io/v1", "ValidatingAdmissionPolicyBinding"), "changes what the API server does"},
		"our kinds":                    {"spec: {}", kind("interlock.dev/v1alpha1", "ClearanceLedger"), "is Interlock's own"},
		"kinds below our group":        {"spec: {}", kind("more.interlock.dev/v1", "Thing"), "is Interlock's own"},
		"Applications":                 {"spec: {}", kind("argoproj.io/v1alpha1", "Application"), "is refused"},
		"Kustomizations":               {"spec: {}", kind("kustomize.toolkit.fluxcd.io/v1", "Kustomization"), "makes objects of any kind"},
	} {
		t.Run(name, func(t *testing.T) {
			templates, err := Parse(safeguardWith(t, tc.manifest, tc.change))
			if err == nil || !strings.Contains(err.Error(), tc.want) || !errors.Is(err, ErrInvalid) || strings.Contains(err.Error(), "\n") {
				t.Errorf("got %v and %v, want one line with %q", templates, err, tc.want)
			}
		})
	}
}

// No kind that Interlock can stop may be made by it: whoever writes a Safeguard would run pods by the operator's rights.
func TestNoKindOfWorkloadMayBe(t *testing.T) {
	kinds, err := workload.LoadKinds("")
	if err != nil {
		t.Fatal(err)
	}
	for kind := range kinds.All() {
		if gk := (schema.GroupKind{Group: kind.Group, Kind: kind.Kind}); Refused(gk) == "" {
			t.Errorf("%s may be put around a model", gk)
		}
	}
}

// A model's name cannot make an object one of Interlock's own, which it would take for the isolation of another model.
func TestTheNameOfAModelMakesNoObjectOurs(t *testing.T) {
	templates, err := Parse(safeguardWith(t, "spec: {}", func(o *v1alpha1.AdjustmentObject) { o.Name = "$(model.name)-x" }))
	if err != nil {
		t.Fatal(err)
	}
	v := llm
	v.Model = "interlock-isolate-other"
	if o, err := templates[0].Object(v); err == nil {
		t.Errorf("got %s", o.GetName())
	}
}

// FuzzFill holds that values change no structure: what is filled in differs from the template in texts alone, and a value
// that looks like a placeholder stays as it is.
func FuzzFill(f *testing.F) {
	f.Add(`{"spec":{"a":["$(model.name)",1,null,true]}}`, "llm")
	f.Add(`{"spec":"$$(model.name) $(namespace)$"}`, `x"},"b":{"c`)
	f.Add(`{"a":"$(model.digest)$(model.name)"}`, "$(model.digest)")
	f.Add(`{"a":"$($(model.name))"}`, "model.name")
	f.Fuzz(func(t *testing.T, manifest, value string) {
		var template map[string]any
		if json.Unmarshal([]byte(manifest), &template) != nil {
			return
		}
		const mark = "\x00"
		plain, err := Values{Model: mark, Digest: mark, Namespace: mark, Policy: mark, Safeguard: mark}.fill(template, "")
		got, err2 := Values{Model: value, Digest: value, Namespace: value, Policy: value, Safeguard: value}.fill(template, "")
		if (err == nil) != (err2 == nil) {
			t.Fatalf("the value decides whether it can be filled in: %v, %v", err, err2)
		}
		if err != nil {
			return
		}
		if strings.Contains(manifest, mark) || strings.Contains(manifest, `\u0000`) {
			return
		}
		if diff := cmp.Diff(replaced(plain, mark, value), got); diff != "" {
			t.Errorf("-want +got:\n%s", diff)
		}
	})
}

func replaced(value any, old, by string) any {
	switch value := value.(type) {
	case string:
		return strings.ReplaceAll(value, old, by)
	case []any:
		list := make([]any, len(value))
		for i := range value {
			list[i] = replaced(value[i], old, by)
		}
		return list
	case map[string]any:
		fields := make(map[string]any, len(value))
		for key := range value {
			fields[key] = replaced(value[key], old, by)
		}
		return fields
	default:
		return value
	}
}
