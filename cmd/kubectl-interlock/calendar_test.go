package main

import (
	"bytes"
	"strings"
	"testing"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	utilruntime "k8s.io/apimachinery/pkg/util/runtime"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/client/fake"

	"github.com/interlock-dev/interlock/api/v1alpha1"
)

const day = 24 * time.Hour

var (
	served   = "sha256:" + strings.Repeat("a", 64)
	unserved = "sha256:" + strings.Repeat("b", 64)
)

// fleet is a model in each of two namespaces, assessments of what is served and of what is not, and a roadmap. Each name
// that the API server leaves free has an escape sequence in it.
func fleet() []client.Object {
	model := func(namespace string, ends time.Duration) *v1alpha1.ModelDeployment {
		return &v1alpha1.ModelDeployment{
			ObjectMeta: metav1.ObjectMeta{Namespace: namespace, Name: "opus"},
			Spec:       v1alpha1.ModelDeploymentSpec{Model: v1alpha1.Model{Name: "opus", Digest: served}},
			Status: v1alpha1.ModelDeploymentStatus{Policy: "rsp", Safeguards: []v1alpha1.SafeguardResult{{
				Name: "red-team", Force: v1alpha1.ForceBinding, State: v1alpha1.SafeguardSatisfied, Strength: v1alpha1.StrengthAttested,
				ValidUntil: &metav1.Time{Time: now.Add(ends)},
			}}},
		}
	}
	assessment := func(name, digest string) *v1alpha1.CapabilityAssessment {
		return &v1alpha1.CapabilityAssessment{ObjectMeta: metav1.ObjectMeta{Name: name}, Spec: v1alpha1.CapabilityAssessmentSpec{
			Digests: []string{digest}, AssessedAt: metav1.Time{Time: now.AddDate(0, -5, 0)},
			Outcomes: []v1alpha1.ThresholdOutcome{{Threshold: "Cyber\u009b2J", Outcome: v1alpha1.AssessmentRuledOut}},
		}}
	}
	return []client.Object{
		model("team-a", 3*day), model("team-b", 80*day), assessment("of-opus", served), assessment("of-another", unserved),
		&v1alpha1.ScalingPolicy{ObjectMeta: metav1.ObjectMeta{Name: "rsp"}, Spec: v1alpha1.ScalingPolicySpec{
			Assessment: &v1alpha1.AssessmentRules{MaxAgeMonths: new(int32(6))},
			Thresholds: []v1alpha1.Threshold{{Name: "Cyber\u009b2J"}},
		}},
		&v1alpha1.SafetyRoadmap{ObjectMeta: metav1.ObjectMeta{Name: "frontier"}, Spec: v1alpha1.SafetyRoadmapSpec{Goals: []v1alpha1.Goal{
			{Name: "eyes\x1b[31m", Pillar: "Security\u202e", DateSet: "2026-01-01", TargetDate: "2026-09-30"},
			{Name: "bad\x1b[31m", Pillar: "Security", DateSet: "2026-01-01", TargetDate: "2026-02-30"},
		}}},
	}
}

func TestCalendar(t *testing.T) {
	scheme := runtime.NewScheme()
	utilruntime.Must(v1alpha1.AddToScheme(scheme))
	c := fake.NewClientBuilder().WithScheme(scheme).WithObjects(fleet()...).Build()
	for name, tc := range map[string]struct {
		scope  calendarScope
		days   int
		output format
		want   string
	}{
		"everything":           {calendarScope{all: true}, 150, asText, "calendar.txt"},
		"with models":          {calendarScope{all: true}, 90, asWide, "calendar-wide.txt"},
		"JSON":                 {calendarScope{all: true}, 90, asJSON, "calendar.json"},
		"YAML":                 {calendarScope{all: true}, 7, asYAML, "calendar.yaml"},
		"one namespace":        {calendarScope{namespace: "team-b"}, 90, asWide, "calendar-namespace.txt"},
		"nothing":              {calendarScope{namespace: "team-c"}, 90, asText, "calendar-nothing.txt"},
		"nothing, as JSON":     {calendarScope{namespace: "team-c"}, 90, asJSON, "calendar-nothing.json"},
		"nothing in all of it": {calendarScope{all: true}, 1, asText, "calendar-nothing-at-all.txt"},
	} {
		t.Run(name, func(t *testing.T) {
			in, err := tc.scope.read(t.Context(), c)
			if err != nil {
				t.Fatal(err)
			}
			var out, said bytes.Buffer
			if err := in.print(&out, &said, tc.output, now, tc.days); err != nil {
				t.Fatal(err)
			}
			checkVisible(t, &out)
			checkVisible(t, &said)
			golden(t, tc.want, out.String()+said.String())
		})
	}
}

func TestFew(t *testing.T) {
	for want, names := range map[string][]string{
		"": nil, "a/b": {"a/b"}, "a,b,c,d,e": {"a", "b", "c", "d", "e"}, "a,b,c,d,e + 2 more": {"a", "b", "c", "d", "e", "f", "g"},
	} {
		if got := few(names); got != want {
			t.Errorf("%v: %q, want %q", names, got, want)
		}
	}
}
