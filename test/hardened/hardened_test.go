// Package hardened tries the static policies of config/hardened on a real API server that is started with them: what an admin of the
// cluster, who may do everything, cannot do to Interlock's enforcement any more.
package hardened

import (
	"context"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	admissionv1 "k8s.io/api/admissionregistration/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/apimachinery/pkg/util/wait"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/interlock-dev/interlock/api/v1alpha1"
	"github.com/interlock-dev/interlock/internal/admission"
	"github.com/interlock-dev/interlock/internal/testing/controlplane"
	"github.com/interlock-dev/interlock/internal/testing/stack"
)

const (
	onEnforcement = "interlock-enforcement.static.k8s.io"
	onKinds       = "interlock-kinds.static.k8s.io"
)

// kinds of admission objects.
var kinds = []string{
	"MutatingAdmissionPolicy", "MutatingAdmissionPolicyBinding", "ValidatingAdmissionPolicy", "ValidatingAdmissionPolicyBinding"}

func TestHardenedProfile(t *testing.T) {
	if os.Getenv(controlplane.AssetsVariable) == "" {
		t.Skip("starts a control plane: run it with `make test`")
	}
	ctx := t.Context()
	s, policies := start(ctx, t)
	admin := newClient(t, s)
	operator := operatorOf(ctx, t, s)
	all := ours(ctx, t, admin)

	t.Run("each of Interlock's admission objects stays as it is", func(t *testing.T) {
		for _, o := range all {
			for what, attack := range attacks() {
				expectRefused(t, what+" "+name(o), attack(ctx, admin, o), onEnforcement)
			}
			expectRefused(t, "delete as Interlock "+name(o), operator.Delete(ctx, copied(o)), onEnforcement)
		}
		for _, kind := range kinds {
			expectRefused(t, "delete all of "+kind, admin.DeleteAllOf(ctx, empty(kind)), onEnforcement)
			expectRefused(t, "create another "+kind, admin.Create(ctx, foreign(kind, "interlock-another")), onEnforcement)
		}
		if left := ours(ctx, t, admin); len(left) != len(all) {
			t.Errorf("%d of %d objects are left", len(left), len(all))
		}
	})

	t.Run("Interlock writes no others", func(t *testing.T) {
		for _, kind := range kinds {
			expectRefused(t, "create "+kind, operator.Create(ctx, foreign(kind, "others")), onEnforcement)
		}
	})

	t.Run("each of Interlock's kinds stays", func(t *testing.T) {
		crds := &unstructured.UnstructuredList{}
		crds.SetGroupVersionKind(schema.GroupVersionKind{Group: "apiextensions.k8s.io", Version: "v1", Kind: "CustomResourceDefinitionList"})
		if err := admin.List(ctx, crds); err != nil || len(crds.Items) == 0 {
			t.Fatalf("%d kinds: %v", len(crds.Items), err)
		}
		for i := range crds.Items {
			expectRefused(t, "delete "+crds.Items[i].GetName(), admin.Delete(ctx, &crds.Items[i]), onKinds)
		}
	})

	t.Run("Interlock goes on compiling what is asked for", func(t *testing.T) {
		safeguard := `{apiVersion: interlock.dev/v1alpha1, kind: Safeguard, metadata: {name: tried}, spec: {
  title: t, description: d, remedy: r, sources: [{document: d, section: s}],
  podRule: {validations: [{expression: "object.metadata.name != 'x'", message: m}]}}}`
		if _, err := s.As(s.Kubeconfig()).RunWithInput(ctx, safeguard, "apply", "-f", "-"); err != nil {
			t.Fatal(err)
		}
		if _, err := s.Kubectl(ctx, "wait", "--for=condition=Ready", "--timeout=30s", "safeguard/tried"); err != nil {
			t.Error(err)
		}
	})

	t.Run("others' objects are anybody's", func(t *testing.T) {
		for _, kind := range kinds {
			o := foreign(kind, "others")
			if err := admin.Create(ctx, o); err != nil {
				t.Fatal(err)
			}
			for what, attack := range attacks() {
				if err := attack(ctx, admin, o); err != nil {
					t.Errorf("%s %s: %v", what, name(o), err)
				}
			}
		}
	})

	// What is tried above can succeed: the refusals are those of the files.
	t.Run("without the files an admin can do all that", func(t *testing.T) {
		for _, file := range []string{"enforcement.yaml", "kinds.yaml"} {
			if err := os.Remove(filepath.Join(policies, file)); err != nil {
				t.Fatal(err)
			}
		}
		notice := all[len(all)-1]
		err := wait.PollUntilContextTimeout(ctx, 100*time.Millisecond, 2*time.Minute, true, func(ctx context.Context) (bool, error) {
			return admin.Delete(ctx, copied(notice), client.DryRunAll) == nil, nil
		})
		if err != nil {
			t.Fatal("the API server refuses it still")
		}
		for what, attack := range attacks() {
			if err := attack(ctx, admin, all[0]); err != nil {
				t.Errorf("%s %s: %v", what, name(all[0]), err)
			}
		}
	})
}

// attacks change an object, or take it away. They are dry runs, which admission treats as any other request, so that none spoils what the
// next one needs.
func attacks() map[string]func(context.Context, client.Client, *unstructured.Unstructured) error {
	return map[string]func(context.Context, client.Client, *unstructured.Unstructured) error{
		"delete": func(ctx context.Context, c client.Client, o *unstructured.Unstructured) error {
			return c.Delete(ctx, copied(o), client.DryRunAll)
		},
		"delete what a selector finds": func(ctx context.Context, c client.Client, o *unstructured.Unstructured) error {
			return c.DeleteAllOf(ctx, copied(o), client.MatchingFields{"metadata.name": o.GetName()}, client.DryRunAll)
		},
		"update": func(ctx context.Context, c client.Client, o *unstructured.Unstructured) error {
			changed := copied(o)
			if err := c.Get(ctx, client.ObjectKeyFromObject(o), changed); err != nil {
				return err
			}
			changed.SetAnnotations(map[string]string{"changed": "yes"})
			return c.Update(ctx, changed, client.DryRunAll)
		},
		"patch": func(ctx context.Context, c client.Client, o *unstructured.Unstructured) error {
			return c.Patch(ctx, copied(o), client.RawPatch(types.MergePatchType, []byte(`{"metadata":{"labels":null}}`)), client.DryRunAll)
		},
		"apply": func(ctx context.Context, c client.Client, o *unstructured.Unstructured) error {
			applied := empty(o.GetKind())
			applied.SetName(o.GetName())
			applied.SetAnnotations(map[string]string{"changed": "yes"})
			return c.Apply(ctx, client.ApplyConfigurationFromUnstructured(applied),
				client.FieldOwner("admin"), client.ForceOwnership, client.DryRunAll)
		},
		"own": func(ctx context.Context, c client.Client, o *unstructured.Unstructured) error {
			owner := `{"metadata":{"ownerReferences":[{"apiVersion":"v1","kind":"Node","name":"gone","uid":"0"}]}}`
			return c.Patch(ctx, copied(o), client.RawPatch(types.MergePatchType, []byte(owner)), client.DryRunAll)
		},
	}
}

// expectRefused wants a refusal by a policy.
func expectRefused(t *testing.T, what string, err error, policy string) {
	t.Helper()
	if err == nil || !strings.Contains(err.Error(), policy) {
		t.Errorf("%s: %v, want a refusal by %q", what, err, policy)
	}
}

// start starts Interlock on an API server with the static policies, in a folder of their own.
func start(ctx context.Context, t *testing.T) (s *stack.Stack, policies string) {
	t.Helper()
	root, err := controlplane.ModuleRoot()
	if err != nil {
		t.Fatal(err)
	}
	manager := filepath.Join(t.TempDir(), "manager")
	if err := stack.BuildManager(ctx, manager); err != nil {
		t.Fatal(err)
	}
	hardened, policies := filepath.Join(root, "config", "hardened"), t.TempDir()
	if err := os.CopyFS(policies, os.DirFS(filepath.Join(hardened, "policies"))); err != nil {
		t.Fatal(err)
	}
	config, err := os.ReadFile(filepath.Join(hardened, "admission-configuration.yaml"))
	if err != nil {
		t.Fatal(err)
	}
	at := filepath.Join(t.TempDir(), "admission-configuration.yaml")
	if err := os.WriteFile(at, []byte(strings.Replace(string(config), "/etc/kubernetes/interlock", policies, 1)), 0o600); err != nil {
		t.Fatal(err)
	}
	s, err = stack.Start(ctx, stack.Options{
		Manager: manager, Nodes: controlplane.Nodes(1, 0), APIServerArgs: []string{"--admission-control-config-file=" + at}})
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
	return s, policies
}

func newClient(t *testing.T, s *stack.Stack) client.Client {
	t.Helper()
	c, err := client.New(s.RESTConfig(), client.Options{})
	if err != nil {
		t.Fatal(err)
	}
	return c
}

// operatorOf gives a client with Interlock's token and the right to do everything, as whoever has stolen it may get.
func operatorOf(ctx context.Context, t *testing.T, s *stack.Stack) client.Client {
	t.Helper()
	if _, err := s.Kubectl(ctx, "create", "clusterrolebinding", "stolen", "--clusterrole=cluster-admin",
		"--serviceaccount="+stack.Namespace+":"+stack.ServiceAccount); err != nil {
		t.Fatal(err)
	}
	config, _, err := s.ServiceAccount(ctx, stack.Namespace, stack.ServiceAccount)
	if err != nil {
		t.Fatal(err)
	}
	c, err := client.New(config, client.Options{})
	if err != nil {
		t.Fatal(err)
	}
	return c
}

// ours gives all admission objects of Interlock's.
func ours(ctx context.Context, t *testing.T, c client.Client) []*unstructured.Unstructured {
	t.Helper()
	var all []*unstructured.Unstructured
	for _, want := range admission.Policies(admission.Install{}, nil) {
		o := empty(want.GetObjectKind().GroupVersionKind().Kind)
		if err := c.Get(ctx, client.ObjectKey{Name: want.GetName()}, o); err != nil {
			t.Errorf("get %s: %v", want.GetName(), err)
			continue
		}
		if o.GetLabels()[v1alpha1.ManagedByLabel] != v1alpha1.ManagedBy {
			t.Errorf("%s is not Interlock's", name(o))
		}
		all = append(all, o)
	}
	return all
}

func name(o *unstructured.Unstructured) string { return o.GetKind() + "/" + o.GetName() }

func empty(kind string) *unstructured.Unstructured {
	o := &unstructured.Unstructured{}
	o.SetGroupVersionKind(admissionv1.SchemeGroupVersion.WithKind(kind))
	return o
}

func copied(o *unstructured.Unstructured) *unstructured.Unstructured { return o.DeepCopy() }

// foreign is an admission object that does nothing.
func foreign(kind, name string) *unstructured.Unstructured {
	matching := map[string]any{"resourceRules": []any{map[string]any{
		"apiGroups": []any{"example.com"}, "apiVersions": []any{"v1"}, "operations": []any{"CREATE"}, "resources": []any{"things"}}}}
	o := empty(kind)
	o.SetName(name)
	o.Object["spec"] = map[string]map[string]any{
		"ValidatingAdmissionPolicy": {"matchConstraints": matching, "validations": []any{map[string]any{"expression": "true"}}},
		"MutatingAdmissionPolicy": {"matchConstraints": matching, "reinvocationPolicy": "Never", "mutations": []any{map[string]any{
			"patchType": "JSONPatch", "jsonPatch": map[string]any{
				"expression": `[JSONPatch{op: "test", path: "/kind", value: "Thing"}]`}}}},
		"ValidatingAdmissionPolicyBinding": {"policyName": "none", "validationActions": []any{"Deny"}},
		"MutatingAdmissionPolicyBinding":   {"policyName": "none"},
	}[kind]
	return o
}
