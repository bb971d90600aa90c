package roadmap_test

import (
	"context"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/client-go/tools/events"
	clocktesting "k8s.io/utils/clock/testing"
	ctrl "sigs.k8s.io/controller-runtime"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/client/fake"
	"sigs.k8s.io/controller-runtime/pkg/client/interceptor"

	"github.com/interlock-dev/interlock/api/v1alpha1"
	"github.com/interlock-dev/interlock/controllers/roadmap"
)

type world struct {
	*roadmap.Reconciler
	clock  *clocktesting.FakePassiveClock
	events *events.FakeRecorder
	writes int
}

func newWorld(t *testing.T, goals ...v1alpha1.Goal) *world {
	t.Helper()
	scheme := runtime.NewScheme()
	if err := v1alpha1.AddToScheme(scheme); err != nil {
		t.Fatal(err)
	}
	w := &world{clock: clocktesting.NewFakePassiveClock(time.Time{}), events: events.NewFakeRecorder(10)}
	c := fake.NewClientBuilder().WithScheme(scheme).WithStatusSubresource(&v1alpha1.SafetyRoadmap{}).
		WithObjects(&v1alpha1.SafetyRoadmap{ObjectMeta: metav1.ObjectMeta{Name: "frontier"}, Spec: v1alpha1.SafetyRoadmapSpec{Goals: goals}}).
		WithInterceptorFuncs(interceptor.Funcs{SubResourcePatch: func(ctx context.Context, c client.Client, sub string, o client.Object, p client.Patch, opts ...client.SubResourcePatchOption) error {
			w.writes++
			return c.SubResource(sub).Patch(ctx, o, p, opts...)
		}}).Build()
	w.Reconciler = &roadmap.Reconciler{Client: c, Clock: w.clock, Events: w.events}
	return w
}

func goal(name string, target v1alpha1.Date, updates ...v1alpha1.GoalUpdate) v1alpha1.Goal {
	return v1alpha1.Goal{Name: name, Pillar: "Security", Goal: "to be done", DateSet: "2026-02-24", TargetDate: target, Updates: updates}
}

// at gives how the roadmap stands at a time, and when it is looked at again.
func (w *world) at(t *testing.T, now string) (said string, status v1alpha1.SafetyRoadmapStatus, again time.Duration) {
	t.Helper()
	instant, err := time.Parse(time.RFC3339Nano, now)
	if err != nil {
		t.Fatal(err)
	}
	w.clock.SetTime(instant)
	key := client.ObjectKey{Name: "frontier"}
	result, err := w.Reconcile(t.Context(), ctrl.Request{NamespacedName: key})
	if err != nil {
		t.Fatal(err)
	}
	have := &v1alpha1.SafetyRoadmap{}
	if err := w.Client.Get(t.Context(), key, have); err != nil {
		t.Fatal(err)
	}
	ready := meta.FindStatusCondition(have.Status.Conditions, v1alpha1.ConditionReady)
	if ready == nil {
		t.Fatal("no condition Ready")
	}
	return string(ready.Status) + " " + ready.Reason + ": " + ready.Message, have.Status, result.RequeueAfter
}

// TestARoadmapOverTime walks with the clock over the days of a goal that is moved, and of one that stays.
func TestARoadmapOverTime(t *testing.T) {
	moved := goal("moonshot", "2028-02-29", v1alpha1.GoalUpdate{Date: "2028-03-05", TargetDate: "2028-08-31", Text: "it takes longer"},
		v1alpha1.GoalUpdate{Date: "2028-08-31", Progress: "Done", Text: "done"})
	w := newWorld(t, moved, goal("inference", "2028-12-31"))
	writes := 0
	for _, step := range []struct {
		now, said string
		done      string
		missed    int32
		moonshot  v1alpha1.GoalStatus
		again     time.Duration
		event     string
		quiet     bool
	}{
		{now: "2028-02-28T12:00:00Z", said: "True OnTrack: no goal is past its date", done: "0/2",
			moonshot: v1alpha1.GoalStatus{Name: "moonshot", State: "Planned", TargetDate: "2028-02-29"}, again: 36 * time.Hour},
		{now: "2028-02-29T23:59:59.999999999Z", said: "True OnTrack: no goal is past its date", done: "0/2",
			moonshot: v1alpha1.GoalStatus{Name: "moonshot", State: "Planned", TargetDate: "2028-02-29"}, again: time.Millisecond, quiet: true},
		{now: "2028-03-01T00:00:00Z", said: "False GoalsMissed: goals missed: moonshot", done: "0/2", missed: 1,
			moonshot: v1alpha1.GoalStatus{Name: "moonshot", State: "Missed", TargetDate: "2028-02-29"}, again: 4 * 24 * time.Hour,
			event: "Warning GoalsMissed goals missed: moonshot"},
		{now: "2028-03-04T23:59:59Z", said: "False GoalsMissed: goals missed: moonshot", done: "0/2", missed: 1,
			moonshot: v1alpha1.GoalStatus{Name: "moonshot", State: "Missed", TargetDate: "2028-02-29"}, again: time.Second, quiet: true},
		{now: "2028-03-05T00:00:00Z", said: "True OnTrack: no goal is past its date", done: "0/2",
			moonshot: v1alpha1.GoalStatus{Name: "moonshot", State: "Planned", TargetDate: "2028-08-31", FormerTargetDates: []v1alpha1.Date{"2028-02-29"}},
			again:    179 * 24 * time.Hour},
		{now: "2028-08-31T00:00:00Z", said: "True OnTrack: no goal is past its date", done: "1/2",
			moonshot: v1alpha1.GoalStatus{Name: "moonshot", State: "Done", TargetDate: "2028-08-31", FormerTargetDates: []v1alpha1.Date{"2028-02-29"}},
			again:    123 * 24 * time.Hour},
		{now: "2029-01-01T00:00:00Z", said: "False GoalsMissed: goals missed: inference", done: "1/2", missed: 1,
			moonshot: v1alpha1.GoalStatus{Name: "moonshot", State: "Done", TargetDate: "2028-08-31", FormerTargetDates: []v1alpha1.Date{"2028-02-29"}},
			event:    "Warning GoalsMissed goals missed: inference"},
	} {
		said, status, again := w.at(t, step.now)
		if diff := cmp.Diff(step.said, said); diff != "" {
			t.Errorf("at %s (-want +got):\n%s", step.now, diff)
		}
		if diff := cmp.Diff(step.moonshot, status.Goals[0]); diff != "" {
			t.Errorf("at %s (-want +got):\n%s", step.now, diff)
		}
		if status.GoalsDone != step.done || status.GoalsMissed != step.missed {
			t.Errorf("at %s: %s done, %d missed; want %s and %d", step.now, status.GoalsDone, status.GoalsMissed, step.done, step.missed)
		}
		if again != step.again {
			t.Errorf("at %s: looked at again after %s, want %s", step.now, again, step.again)
		}
		if !step.quiet {
			writes++
		}
		if w.writes != writes {
			t.Errorf("at %s: %d writes, want %d", step.now, w.writes, writes)
		}
		if got := w.told(); got != step.event {
			t.Errorf("at %s: told %q, want %q", step.now, got, step.event)
		}
	}
}

// told gives the events since the last call.
func (w *world) told() string {
	var all []string
	for len(w.events.Events) > 0 {
		all = append(all, <-w.events.Events)
	}
	return strings.Join(all, "; ")
}

func TestAGoalThatCannotBeReadHidesNoOther(t *testing.T) {
	w := newWorld(t, goal("bad", "2026-02-30"), goal("late", "2026-03-01"))
	said, status, _ := w.at(t, "2026-05-14T12:00:00Z")
	if diff := cmp.Diff(`False GoalUnreadable: goal bad: targetDate "2026-02-30" cannot be read`, said); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
	if status.GoalsDone != "0/2" || status.GoalsMissed != 1 || len(status.Goals) != 1 {
		t.Errorf("%s done, %d missed, of %v", status.GoalsDone, status.GoalsMissed, status.Goals)
	}
}

func TestARoadmapThatIsGone(t *testing.T) {
	w := newWorld(t)
	if result, err := w.Reconcile(t.Context(), ctrl.Request{NamespacedName: client.ObjectKey{Name: "gone"}}); err != nil || result != (ctrl.Result{}) {
		t.Errorf("Reconcile = %v, %v", result, err)
	}
}
