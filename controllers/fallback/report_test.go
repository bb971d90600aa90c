package fallback

import (
	"strings"
	"testing"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/tools/events"

	"github.com/interlock-dev/interlock/api/v1alpha1"
	"github.com/interlock-dev/interlock/internal/decision"
	"github.com/interlock-dev/interlock/internal/testing/builder"
	"github.com/interlock-dev/interlock/internal/workload"
)

func TestConditionOf(t *testing.T) {
	leads, home := workload.Turned{Leads: true}, workload.Turned{}
	refused, contested := workload.Turned{Why: "no such thing"}, workload.Turned{Why: "undone", Contested: true}
	turn := decision.FallbackVerdict{Course: decision.CourseTurn, Reason: v1alpha1.ReasonFallenBack, Message: "m"}
	awaits := decision.FallbackVerdict{Course: decision.CourseStay, Reason: v1alpha1.ReasonAwaitingPods, Message: "m"}
	unfit := decision.FallbackVerdict{Course: decision.CourseStay, Reason: v1alpha1.ReasonFallbackNotCleared, Message: "m"}
	back := decision.FallbackVerdict{Course: decision.CourseReturn, Reason: v1alpha1.ReasonNotNeeded, Message: "m"}
	for name, tc := range map[string]struct {
		verdict decision.FallbackVerdict
		have    []workload.Turned
		status  metav1.ConditionStatus
		reason  string
		message string
	}{
		"all turned":                 {turn, []workload.Turned{leads, leads}, metav1.ConditionTrue, v1alpha1.ReasonFallenBack, "m; Service a, Service b lead to model small"},
		"one refused":                {turn, []workload.Turned{leads, refused}, metav1.ConditionFalse, v1alpha1.ReasonNotTurned, "m; Service a lead to model small; not turned: Service b: no such thing"},
		"one contested":              {turn, []workload.Turned{contested, refused}, metav1.ConditionFalse, v1alpha1.ReasonContested, "not turned: Service a: undone; Service b"},
		"turned, and unfit by now":   {unfit, []workload.Turned{leads, leads}, metav1.ConditionTrue, v1alpha1.ReasonFallbackNotCleared, "m; Service a"},
		"unfit from the start":       {unfit, []workload.Turned{home, home}, metav1.ConditionFalse, v1alpha1.ReasonFallbackNotCleared, "m"},
		"turned, and awaits pods":    {awaits, []workload.Turned{leads, leads}, metav1.ConditionTrue, v1alpha1.ReasonAwaitingPods, "m"},
		"awaits pods where they are": {awaits, []workload.Turned{home, home}, metav1.ConditionFalse, v1alpha1.ReasonNotNeeded, "m"},
		"back":                       {back, []workload.Turned{home, home}, metav1.ConditionFalse, v1alpha1.ReasonNotNeeded, "m"},
	} {
		t.Run(name, func(t *testing.T) {
			md := builder.ModelDeployment("n", "big").Build()
			md.Spec.Fallback = &v1alpha1.Fallback{ModelDeployment: "small"}
			var outcomes []outcome
			for i, turned := range tc.have {
				outcomes = append(outcomes, outcome{workload.Ref{Kind: "Service", Name: string(rune('a' + i))}, turned})
			}
			c := conditionOf(md, tc.verdict, outcomes)
			if c.Status != tc.status || c.Reason != tc.reason || !strings.Contains(c.Message, tc.message) {
				t.Errorf("%s, %s: %s\nwant %s, %s: %s", c.Status, c.Reason, c.Message, tc.status, tc.reason, tc.message)
			}
		})
	}
}

func TestTell(t *testing.T) {
	is := func(status metav1.ConditionStatus, reason string) *metav1.Condition {
		return &metav1.Condition{Status: status, Reason: reason, Message: "m"}
	}
	home, gone := is(metav1.ConditionFalse, v1alpha1.ReasonNotNeeded), is(metav1.ConditionTrue, v1alpha1.ReasonFallenBack)
	for name, tc := range map[string]struct {
		was, is *metav1.Condition
		want    string
	}{
		"nothing to tell at first":  {nil, home, ""},
		"gone":                      {home, gone, "Warning FallenBack m"},
		"gone from the start":       {nil, gone, "Warning FallenBack m"},
		"still gone":                {gone, gone, ""},
		"awaits pods":               {gone, is(metav1.ConditionTrue, v1alpha1.ReasonAwaitingPods), "Normal AwaitingPods m"},
		"returned":                  {gone, home, "Normal Returned"},
		"not asked for any more":    {gone, nil, "Normal Returned"},
		"never went, and need not":  {is(metav1.ConditionFalse, v1alpha1.ReasonFallbackNotReady), home, ""},
		"should go, and cannot":     {home, is(metav1.ConditionFalse, v1alpha1.ReasonFallbackNotCleared), "Warning FallbackNotCleared m"},
		"cannot, for another cause": {is(metav1.ConditionFalse, v1alpha1.ReasonFallbackNotCleared), is(metav1.ConditionFalse, v1alpha1.ReasonNotTurned), "Warning NotTurned m"},
	} {
		t.Run(name, func(t *testing.T) {
			recorder := events.NewFakeRecorder(2)
			(&Reconciler{Events: recorder}).tell(builder.ModelDeployment("n", "big").Build(), tc.was, tc.is)
			got := ""
			if len(recorder.Events) > 0 {
				got = <-recorder.Events
			}
			if len(recorder.Events) > 0 || !strings.HasPrefix(got, tc.want) || (got == "") != (tc.want == "") {
				t.Errorf("told %q, want %q", got, tc.want)
			}
		})
	}
}
