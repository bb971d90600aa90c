package modeldeployment

import (
	"testing"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/runtime"
	clientgoscheme "k8s.io/client-go/kubernetes/scheme"
	"k8s.io/client-go/tools/events"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/client/fake"

	"github.com/interlock-dev/interlock/api/v1alpha1"
	"github.com/interlock-dev/interlock/internal/safeguard"
	"github.com/interlock-dev/interlock/internal/testing/builder"
)

// reconciler returns one whose API server holds the objects, and the events that it sends.
func reconciler(t *testing.T, objects ...client.Object) (*Reconciler, *events.FakeRecorder) {
	t.Helper()
	scheme := runtime.NewScheme()
	for _, add := range []func(*runtime.Scheme) error{clientgoscheme.AddToScheme, v1alpha1.AddToScheme} {
		if err := add(scheme); err != nil {
			t.Fatal(err)
		}
	}
	recorder := events.NewFakeRecorder(10)
	return &Reconciler{
		Client: fake.NewClientBuilder().WithScheme(scheme).WithObjects(objects...).
			WithStatusSubresource(&v1alpha1.ModelDeployment{}).Build(),
		Events: recorder,
	}, recorder
}

func TestReleaseTakesNoGateFromAPodThatChangedSinceItWasJudged(t *testing.T) {
	pod := builder.Pod("n", "a").Model("llm").Gate("example.com/other").Gate(v1alpha1.ClearanceGate).Build()
	for name, tc := range map[string]struct {
		changed bool
		held    bool
	}{
		"as judged": {changed: false, held: false},
		"changed":   {changed: true, held: true},
	} {
		t.Run(name, func(t *testing.T) {
			r, _ := reconciler(t, pod.DeepCopy())
			judged, now := &corev1.Pod{}, &corev1.Pod{}
			if err := r.Client.Get(t.Context(), client.ObjectKeyFromObject(pod), judged); err != nil {
				t.Fatal(err)
			}
			if tc.changed {
				changed := judged.DeepCopy()
				changed.Spec.Containers[0].Image = builder.TaggedImage
				if err := r.Client.Update(t.Context(), changed); err != nil {
					t.Fatal(err)
				}
			}
			if err := r.release(t.Context(), []*corev1.Pod{judged}); err != nil {
				t.Errorf("release = %v; a pod that changed is judged again, and no error", err)
			}
			if err := r.Client.Get(t.Context(), client.ObjectKeyFromObject(pod), now); err != nil {
				t.Fatal(err)
			}
			if got := safeguard.Held(now); got != tc.held {
				t.Errorf("held = %v, want %v", got, tc.held)
			}
			if now.Spec.SchedulingGates[0].Name != "example.com/other" {
				t.Errorf("the gate of somebody else went: %v", now.Spec.SchedulingGates)
			}
		})
	}
}

func TestReportWritesAndTellsNothingFromACacheThatIsBehind(t *testing.T) {
	r, recorder := reconciler(t, builder.ModelDeployment("n", "llm").Build())
	cached := &v1alpha1.ModelDeployment{}
	if err := r.Client.Get(t.Context(), client.ObjectKey{Namespace: "n", Name: "llm"}, cached); err != nil {
		t.Fatal(err)
	}
	verdict := func(o v1alpha1.Outcome) *report {
		rep := &report{status: v1alpha1.ModelDeploymentStatus{Verdict: o}}
		rep.ready("False", "Tests", "in a test")
		return rep
	}
	stale := cached.DeepCopy()
	behind, err := r.report(t.Context(), cached, verdict(v1alpha1.OutcomeHeld))
	if behind || err != nil || len(recorder.Events) != 1 {
		t.Fatalf("report = %v, %v with %d events; want it written and told", behind, err, len(recorder.Events))
	}
	behind, err = r.report(t.Context(), stale, verdict(v1alpha1.OutcomeCleared))
	if !behind || err != nil || len(recorder.Events) != 1 {
		t.Errorf("report = %v, %v with %d events; want it to say that it is behind, and nothing told", behind, err, len(recorder.Events))
	}
	now := &v1alpha1.ModelDeployment{}
	if err := r.Client.Get(t.Context(), client.ObjectKey{Namespace: "n", Name: "llm"}, now); err != nil {
		t.Fatal(err)
	}
	if now.Status.Verdict != v1alpha1.OutcomeHeld {
		t.Errorf("verdict = %s; a newer status was written over", now.Status.Verdict)
	}
}
