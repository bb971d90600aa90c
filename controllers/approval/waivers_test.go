package approval

import (
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"k8s.io/apimachinery/pkg/api/meta"
	"k8s.io/client-go/tools/events"

	"github.com/interlock-dev/interlock/api/v1alpha1"
	"github.com/interlock-dev/interlock/internal/testing/builder"
)

var noon = time.Date(2026, 5, 14, 12, 0, 0, 0, time.UTC)

// TestStand is about what is said of a waiver that lasts from noon until one, second by second.
func TestStand(t *testing.T) {
	decided := func(state v1alpha1.WaiverState) *v1alpha1.ModelDeployment {
		md := builder.ModelDeployment("serving", "opus").Build()
		md.Status.Waivers = []v1alpha1.WaiverResult{{Name: "other", State: v1alpha1.WaiverInForce}, {Name: "w", State: state, Message: "decided"}}
		return md
	}
	for name, tc := range map[string]struct {
		model  *v1alpha1.ModelDeployment
		after  time.Duration
		state  v1alpha1.WaiverState
		reason string
		ending bool
		next   time.Duration // zero, none
	}{
		"no model":            {model: &v1alpha1.ModelDeployment{}, reason: v1alpha1.ReasonModelUnknown, next: 45 * time.Minute},
		"not decided yet":     {model: builder.ModelDeployment("serving", "opus").Build(), reason: v1alpha1.ReasonNotDecided, next: 45 * time.Minute},
		"pending":             {model: decided(v1alpha1.WaiverPending), state: v1alpha1.WaiverPending, reason: "Pending", next: 45 * time.Minute},
		"in force":            {model: decided(v1alpha1.WaiverInForce), state: v1alpha1.WaiverInForce, reason: "InForce", next: 45 * time.Minute},
		"just before it ends": {model: decided(v1alpha1.WaiverInForce), after: 45*time.Minute - time.Second, state: v1alpha1.WaiverInForce, reason: "InForce", next: 45 * time.Minute},
		"about to end":        {model: decided(v1alpha1.WaiverInForce), after: 45 * time.Minute, state: v1alpha1.WaiverInForce, reason: "InForce", ending: true, next: time.Hour},
		"pending at the end":  {model: decided(v1alpha1.WaiverPending), after: 45 * time.Minute, state: v1alpha1.WaiverPending, reason: "Pending", next: time.Hour},
		"the last second":     {model: decided(v1alpha1.WaiverInForce), after: time.Hour - time.Second, state: v1alpha1.WaiverInForce, reason: "InForce", ending: true, next: time.Hour},
		"over":                {model: decided(v1alpha1.WaiverInForce), after: time.Hour, state: v1alpha1.WaiverExpired, reason: "Expired"},
		"refused and over":    {model: decided(v1alpha1.WaiverRefused), after: time.Hour, state: v1alpha1.WaiverRefused, reason: "Refused"},
	} {
		t.Run(name, func(t *testing.T) {
			w := builder.Waiver("serving", "w").Model("opus").Safeguards("a").NotAfter(noon.Add(time.Hour)).By("ann", noon).Build()
			var want time.Time
			if tc.next > 0 {
				want = noon.Add(tc.next)
			}
			if next := stand(w, tc.model, noon.Add(tc.after)); !next.Equal(want) {
				t.Errorf("looks again at %s, want %s", next, want)
			}
			ready := meta.FindStatusCondition(w.Status.Conditions, v1alpha1.ConditionReady)
			if w.Status.State != tc.state || ready.Reason != tc.reason || (ready.Status == "True") != (tc.state == v1alpha1.WaiverInForce) {
				t.Errorf("state %q, %v", w.Status.State, ready)
			}
			if ending := meta.IsStatusConditionTrue(w.Status.Conditions, v1alpha1.ConditionEnding); ending != tc.ending {
				t.Errorf("ending: %v", ending)
			}
		})
	}
}

// TestTell is about the events in the life of a waiver: each turn once.
func TestTell(t *testing.T) {
	recorder := events.NewFakeRecorder(10)
	r := &Waivers{Events: recorder}
	md := builder.ModelDeployment("serving", "opus").Build()
	w := builder.Waiver("serving", "w").Model("opus").Safeguards("a").NotAfter(noon.Add(time.Hour)).By("ann", noon).Build()
	at := func(after time.Duration, state v1alpha1.WaiverState) {
		md.Status.Waivers = []v1alpha1.WaiverResult{{Name: "w", State: state, Message: "decided"}}
		before := w.DeepCopy()
		stand(w, md, noon.Add(after))
		r.tell(before, w)
	}
	at(0, v1alpha1.WaiverPending)
	at(1, v1alpha1.WaiverPending)
	at(time.Minute, v1alpha1.WaiverInForce)
	at(50*time.Minute, v1alpha1.WaiverInForce)
	at(51*time.Minute, v1alpha1.WaiverInForce)
	at(time.Hour, v1alpha1.WaiverInForce)
	at(2*time.Hour, v1alpha1.WaiverExpired)
	close(recorder.Events)
	var told []string
	for e := range recorder.Events {
		told = append(told, e)
	}
	want := []string{
		"Normal WaiverPending decided", "Warning WaiverInForce decided",
		"Warning WaiverEnding ends at 2026-05-14T13:00:00Z: then model opus is held unless [a] is put in place",
		"Warning WaiverExpired ended at 2026-05-14T13:00:00Z",
	}
	if diff := cmp.Diff(want, told); diff != "" {
		t.Errorf("-want +got:\n%s", diff)
	}
}
