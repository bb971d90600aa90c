package workload

import (
	"context"
	"fmt"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	appsv1 "k8s.io/api/apps/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/api/meta/testrestmapper"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/types"
	clientgoscheme "k8s.io/client-go/kubernetes/scheme"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/client/fake"
	"sigs.k8s.io/controller-runtime/pkg/client/interceptor"

	"github.com/interlock-dev/interlock/api/v1alpha1"
	"github.com/interlock-dev/interlock/internal/testing/builder"
)

func workloadsOn(t *testing.T, c client.WithWatch) *Workloads {
	t.Helper()
	kinds, err := LoadKinds("")
	if err != nil {
		t.Fatal(err)
	}
	return New(c, c, c.RESTMapper(), kinds)
}

func serverWith(t *testing.T, objects ...client.Object) client.WithWatch {
	t.Helper()
	scheme := runtime.NewScheme()
	if err := clientgoscheme.AddToScheme(scheme); err != nil {
		t.Fatal(err)
	}
	return fake.NewClientBuilder().WithScheme(scheme).WithRESTMapper(testrestmapper.TestOnlyStaticRESTMapper(scheme)).WithObjects(objects...).Build()
}

func deployment(model string, replicas int32) *appsv1.Deployment {
	template := builder.Pod("n", "")
	if model != "" {
		template.Model(model)
	}
	return &appsv1.Deployment{
		ObjectMeta: metav1.ObjectMeta{Namespace: "n", Name: "server", UID: "server-uid"},
		Spec:       appsv1.DeploymentSpec{Replicas: &replicas, Template: template.Template()},
	}
}

var serving = Ref{Group: "apps", Kind: "Deployment", Namespace: "n", Name: "server"}

// read gives what is stored of the server: its replicas, and whether it is marked.
func read(t *testing.T, c client.Client) (replicas int32, marked bool) {
	t.Helper()
	d := &appsv1.Deployment{}
	if err := c.Get(t.Context(), client.ObjectKey{Namespace: "n", Name: "server"}, d); err != nil {
		t.Fatal(err)
	}
	_, labelled := d.Labels[StoppedForLabel]
	_, noted := d.Annotations[StoppedAnnotation]
	if labelled != noted {
		t.Fatalf("label %v, annotation %v", d.Labels, d.Annotations)
	}
	return *d.Spec.Replicas, noted
}

func TestStop(t *testing.T) {
	for name, tc := range map[string]struct {
		model     string
		replicas  int32
		isDefault bool
		refused   string
		want      int32
		marked    bool
	}{
		"names the model":                          {"llm", 3, false, "", 0, true},
		"names none, and the model is the default": {"", 3, true, "", 0, true},
		"names none":                               {"", 3, false, "does not name model llm", 3, false},
		"names another":                            {"other", 3, false, "does not name model llm", 3, false},
		"names another, and llm is the default":    {"other", 3, true, "does not name model llm", 3, false},
		"stopped by its team":                      {"llm", 0, false, "", 0, false},
	} {
		t.Run(name, func(t *testing.T) {
			c := serverWith(t, deployment(tc.model, tc.replicas))
			w := workloadsOn(t, c)
			refused, err := w.Stop(t.Context(), serving, "llm", tc.isDefault)
			if err != nil || !strings.Contains(refused, tc.refused) || (refused == "") != (tc.refused == "") {
				t.Fatalf("stop: %q, %v; want %q", refused, err, tc.refused)
			}
			if replicas, marked := read(t, c); replicas != tc.want || marked != tc.marked {
				t.Errorf("replicas %d, marked %v; want %d, %v", replicas, marked, tc.want, tc.marked)
			}
			if got := len(w.StoppedFor(types.NamespacedName{Namespace: "n", Name: "llm"})) == 1; got != tc.marked {
				t.Errorf("remembered %v, want %v", got, tc.marked)
			}
		})
	}
}

// TestStopAndStart goes through the life of a stop, each time with nothing remembered but what the cluster holds.
func TestStopAndStart(t *testing.T) {
	c := serverWith(t, deployment("llm", 3))
	model := types.NamespacedName{Namespace: "n", Name: "llm"}
	again := func() *Workloads {
		w := workloadsOn(t, c)
		if _, err := w.Recall(t.Context()); err != nil {
			t.Fatal(err)
		}
		return w
	}
	if refused, err := again().Stop(t.Context(), serving, "llm", false); refused != "" || err != nil {
		t.Fatal(refused, err)
	}
	w := again()
	if diff := cmp.Diff([]Ref{serving}, w.StoppedFor(model)); diff != "" {
		t.Fatalf("stopped (-want +got):\n%s", diff)
	}
	if state, err := w.Look(t.Context(), serving); state != v1alpha1.WorkloadStopped || err != nil {
		t.Fatal(state, err)
	}
	if err := c.Patch(t.Context(), deployment("", 0), client.RawPatch(types.MergePatchType, []byte(`{"spec":{"replicas":5}}`))); err != nil {
		t.Fatal(err)
	}
	if state, err := w.Look(t.Context(), serving); state != v1alpha1.WorkloadStartedByOthers || err != nil {
		t.Fatal(state, err)
	}
	for _, w := range []*Workloads{again(), workloadsOn(t, c)} { // no matter whether it is remembered
		if _, err := w.Stop(t.Context(), serving, "llm", false); err != nil {
			t.Fatal(err)
		}
		if replicas, _ := read(t, c); replicas != 5 {
			t.Fatalf("fought an autoscaler down to %d", replicas)
		}
	}
	if err := again().Start(t.Context(), serving); err != nil {
		t.Fatal(err)
	}
	if replicas, marked := read(t, c); replicas != 5 || marked {
		t.Errorf("replicas %d, marked %v; want what others set, and no trace", replicas, marked)
	}
	if left := again().StoppedFor(model); len(left) > 0 {
		t.Errorf("still remembered: %v", left)
	}
}

// TestStartIsDoneByTheNextWhenItBreaksOff: whichever of its writes fails, the next to come restores the workload.
func TestStartIsDoneByTheNextWhenItBreaksOff(t *testing.T) {
	for failing := range 3 {
		t.Run(fmt.Sprintf("write %d", failing), func(t *testing.T) {
			writes := 0
			c := serverWith(t, deployment("llm", 3))
			broken := interceptor.NewClient(c, interceptor.Funcs{
				Patch: func(ctx context.Context, c client.WithWatch, o client.Object, p client.Patch, opts ...client.PatchOption) error {
					if writes++; writes > failing {
						return apierrors.NewServiceUnavailable("dies here")
					}
					return c.Patch(ctx, o, p, opts...)
				}})
			w := workloadsOn(t, broken)
			_, stopErr := w.Stop(t.Context(), serving, "llm", false)
			startErr := w.Start(t.Context(), serving)
			if stopErr == nil && startErr == nil {
				t.Fatal("nothing failed")
			}
			replicas, marked := read(t, c)
			if replicas == 0 && !marked {
				t.Fatal("stopped without a trace")
			}
			next := workloadsOn(t, c)
			if _, err := next.Recall(t.Context()); err != nil {
				t.Fatal(err)
			}
			for _, ref := range next.StoppedFor(types.NamespacedName{Namespace: "n", Name: "llm"}) {
				if err := next.Start(t.Context(), ref); err != nil {
					t.Fatal(err)
				}
			}
			if replicas, marked := read(t, c); replicas != 3 || marked {
				t.Errorf("replicas %d, marked %v; want 3 and no trace", replicas, marked)
			}
		})
	}
}

// TestACopyOfAStoppedWorkloadWasNotStopped: neither a manifest that was saved meanwhile nor a child to which a controller
// handed labels and annotations on is started by what stands there of another.
func TestACopyOfAStoppedWorkloadWasNotStopped(t *testing.T) {
	d := deployment("llm", 0)
	d.Labels = map[string]string{StoppedForLabel: "llm"}
	d.Annotations = map[string]string{StoppedAnnotation: `{"uid":"another","former":1000}`}
	c := serverWith(t, d)
	w := workloadsOn(t, c)
	models, err := w.Recall(t.Context())
	if err != nil || len(models) > 0 {
		t.Errorf("recalled %v, %v", models, err)
	}
	if err := w.Start(t.Context(), serving); err != nil {
		t.Fatal(err)
	}
	if replicas, _ := read(t, c); replicas != 0 {
		t.Errorf("scaled to %d by what another was", replicas)
	}
}

func TestFormerValues(t *testing.T) {
	suspend := &Setting{Field: "spec.suspend", Value: true}
	stop := &Setting{Annotation: "serving.kserve.io/stop", Value: "true"}
	deep := &Setting{Field: "spec.rayClusterConfig.suspend", Value: true}
	object := func(spec map[string]any, annotations map[string]any) *unstructured.Unstructured {
		return &unstructured.Unstructured{Object: map[string]any{"spec": spec, "metadata": map[string]any{"annotations": annotations}}}
	}
	for name, tc := range map[string]struct {
		setting *Setting
		object  *unstructured.Unstructured
		former  string
		stops   bool
		restore map[string]any
	}{
		"a field that is not there": {suspend, object(nil, nil), "", false, map[string]any{"spec": map[string]any{"suspend": nil}}},
		"a field that stops":        {suspend, object(map[string]any{"suspend": true}, nil), "true", true, nil},
		"a field below another":     {deep, object(map[string]any{"rayClusterConfig": map[string]any{"suspend": false}}, nil), "false", false, nil},
		"an annotation that is not there": {stop, object(nil, nil), "", false,
			map[string]any{"metadata": map[string]any{"annotations": map[string]any{"serving.kserve.io/stop": nil}}}},
		"an annotation that does not stop": {stop, object(nil, map[string]any{"serving.kserve.io/stop": "false"}), `"false"`, false, nil},
		"an annotation that stops":         {stop, object(nil, map[string]any{"serving.kserve.io/stop": "true"}), `"true"`, true, nil},
	} {
		t.Run(name, func(t *testing.T) {
			former, err := tc.setting.read(tc.object)
			if err != nil || string(former) != tc.former || tc.setting.stops(former) != tc.stops {
				t.Fatalf("former %s, stops %v, %v; want %s, %v", former, tc.setting.stops(former), err, tc.former, tc.stops)
			}
			if tc.restore == nil {
				return
			}
			if diff := cmp.Diff(tc.restore, tc.setting.patch(former)); diff != "" {
				t.Errorf("patch that restores (-want +got):\n%s", diff)
			}
		})
	}
	if _, err := suspend.read(&unstructured.Unstructured{Object: map[string]any{"spec": "x"}}); err == nil {
		t.Error("an entry of the table that does not fit is not told")
	}
}

func TestModelsNamed(t *testing.T) {
	for name, tc := range map[string]struct {
		manifest any
		want     map[string]bool
	}{
		"none":         {map[string]any{"spec": []any{map[string]any{"x": "llm"}}}, map[string]bool{}},
		"in a list":    {map[string]any{"groups": []any{map[string]any{"labels": map[string]any{v1alpha1.ModelLabel: "a"}}}}, map[string]bool{"a": true}},
		"several":      {map[string]any{"a": map[string]any{v1alpha1.ModelLabel: "a"}, "b": map[string]any{v1alpha1.ModelLabel: "b"}}, map[string]bool{"a": true, "b": true}},
		"not a string": {map[string]any{v1alpha1.ModelLabel: map[string]any{}}, map[string]bool{}},
		"only stopped for": {map[string]any{"metadata": map[string]any{"labels": map[string]any{StoppedForLabel: "llm"}}},
			map[string]bool{}},
	} {
		t.Run(name, func(t *testing.T) {
			if diff := cmp.Diff(tc.want, modelsNamed(tc.manifest)); diff != "" {
				t.Errorf("models (-want +got):\n%s", diff)
			}
		})
	}
}
