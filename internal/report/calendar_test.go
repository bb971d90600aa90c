package report_test

import (
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"pgregory.net/rapid"

	"github.com/interlock-dev/interlock/api/v1alpha1"
	"github.com/interlock-dev/interlock/internal/report"
)

var now = time.Date(2026, 5, 14, 12, 0, 0, 0, time.UTC)

func stamp(at time.Time) *metav1.Time { return &metav1.Time{Time: at} }

func weights(n int) string { return fmt.Sprintf("sha256:%064x", n) }

// model serves the nth weights, and was decided on by policies, of which the first is enforced.
func model(name string, n int, policies ...string) v1alpha1.ModelDeployment {
	m := v1alpha1.ModelDeployment{ObjectMeta: metav1.ObjectMeta{Namespace: "serving", Name: name},
		Spec: v1alpha1.ModelDeploymentSpec{Model: v1alpha1.Model{Name: name, Digest: weights(n)}}}
	for i, p := range policies {
		if i == 0 {
			m.Status.Policy = p
		} else {
			m.Status.Previews = append(m.Status.Previews, v1alpha1.Preview{Label: v1alpha1.WarnLabel, Policy: p})
		}
	}
	return m
}

func policy(name string, rules *v1alpha1.AssessmentRules, thresholds ...string) v1alpha1.ScalingPolicy {
	p := v1alpha1.ScalingPolicy{ObjectMeta: metav1.ObjectMeta{Name: name}, Spec: v1alpha1.ScalingPolicySpec{Assessment: rules}}
	for _, t := range thresholds {
		p.Spec.Thresholds = append(p.Spec.Thresholds, v1alpha1.Threshold{Name: t})
	}
	return p
}

func leased(p v1alpha1.ScalingPolicy, lease time.Duration) v1alpha1.ScalingPolicy {
	p.Spec.Lease = &metav1.Duration{Duration: lease}
	return p
}

func months(n int32) *v1alpha1.AssessmentRules { return &v1alpha1.AssessmentRules{MaxAgeMonths: &n} }

func filed(name string, at time.Time, n int, outcomes ...string) v1alpha1.CapabilityAssessment {
	a := v1alpha1.CapabilityAssessment{ObjectMeta: metav1.ObjectMeta{Name: name}, Spec: v1alpha1.CapabilityAssessmentSpec{
		Digests: []string{weights(n)}, AssessedAt: metav1.Time{Time: at}}}
	for _, o := range outcomes {
		threshold, outcome, _ := strings.Cut(o, " ")
		a.Spec.Outcomes = append(a.Spec.Outcomes, v1alpha1.ThresholdOutcome{Threshold: threshold, Outcome: v1alpha1.AssessmentOutcome(outcome)})
	}
	return a
}

func roadmap(goals ...v1alpha1.Goal) v1alpha1.SafetyRoadmap {
	return v1alpha1.SafetyRoadmap{ObjectMeta: metav1.ObjectMeta{Name: "frontier"}, Spec: v1alpha1.SafetyRoadmapSpec{Goals: goals}}
}

// written is a lapse as a person would read it.
func written(lapses []report.Lapse) []string {
	var lines []string
	for _, l := range lapses {
		line := fmt.Sprintf("%s %s %s: %s", l.At.Format(time.RFC3339), l.Kind, l.Name, l.What)
		if len(l.Models) > 0 {
			line += " | " + strings.Join(l.Models, ", ")
		}
		lines = append(lines, line)
	}
	return lines
}

func TestCalendar(t *testing.T) {
	const day = 24 * time.Hour
	february := time.Date(2026, 2, 28, 10, 0, 0, 0, time.UTC)
	superseding := func(a v1alpha1.CapabilityAssessment, older string) v1alpha1.CapabilityAssessment {
		a.Spec.Supersedes = []string{older}
		return a
	}
	sized := func(a v1alpha1.CapabilityAssessment, compute string) v1alpha1.CapabilityAssessment {
		a.Spec.EffectiveCompute = compute
		return a
	}
	cleared := func(m v1alpha1.ModelDeployment, until time.Time) v1alpha1.ModelDeployment {
		m.Status.Verdict, m.Status.ValidUntil = v1alpha1.OutcomeCleared, stamp(until)
		return m
	}
	found := func(m v1alpha1.ModelDeployment, results ...v1alpha1.SafeguardResult) v1alpha1.ModelDeployment {
		m.Status.Safeguards = results
		return m
	}
	result := func(name string, state v1alpha1.SafeguardState, until *metav1.Time) v1alpha1.SafeguardResult {
		return v1alpha1.SafeguardResult{Name: name, State: state, Force: v1alpha1.ForceBinding, Strength: v1alpha1.StrengthAttested, ValidUntil: until}
	}
	type all struct {
		models      []v1alpha1.ModelDeployment
		assessments []v1alpha1.CapabilityAssessment
		policies    []v1alpha1.ScalingPolicy
		roadmaps    []v1alpha1.SafetyRoadmap
	}
	for name, tc := range map[string]struct {
		within time.Duration
		in     all
		want   []string
	}{
		"nothing": {within: 90 * day},
		"a clearance": {30 * day, all{models: []v1alpha1.ModelDeployment{cleared(model("opus", 1, "rsp"), now.Add(time.Hour))}},
			[]string{"2026-05-14T13:00:00Z Clearance serving/opus: the clearance under rsp, unless it is decided again | serving/opus"}},
		"the first and the last moment": {7 * day, all{models: []v1alpha1.ModelDeployment{
			cleared(model("before", 1, "rsp"), now.Add(-time.Second)), cleared(model("first", 1, "rsp"), now),
			cleared(model("last", 1, "rsp"), now.Add(7*day)), cleared(model("after", 1, "rsp"), now.Add(7*day+time.Second))}},
			[]string{
				"2026-05-14T12:00:00Z Clearance serving/first: the clearance under rsp, unless it is decided again | serving/first",
				"2026-05-21T12:00:00Z Clearance serving/last: the clearance under rsp, unless it is decided again | serving/last",
			}},
		"a clearance that the operator renews, and one that it should have": {7 * day, all{
			models: []v1alpha1.ModelDeployment{
				cleared(model("renewed", 1, "hour"), now.Add(15*time.Minute)), cleared(model("late", 1, "hour"), now.Add(15*time.Minute-time.Second)),
				cleared(model("short", 1, "minute"), now.Add(15*time.Second)), cleared(model("short-late", 1, "minute"), now.Add(14*time.Second))},
			policies: []v1alpha1.ScalingPolicy{policy("hour", nil), leased(policy("minute", nil), time.Minute)}},
			[]string{
				"2026-05-14T12:00:14Z Clearance serving/short-late: the clearance under minute, unless it is decided again | serving/short-late",
				"2026-05-14T12:14:59Z Clearance serving/late: the clearance under hour, unless it is decided again | serving/late",
			}},
		"what is not cleared has no clearance": {7 * day, all{models: []v1alpha1.ModelDeployment{func() v1alpha1.ModelDeployment {
			m := cleared(model("opus", 1, "rsp"), now.Add(time.Hour))
			m.Status.Verdict = v1alpha1.OutcomeRevoked
			return m
		}()}}, nil},
		"findings": {90 * day, all{models: []v1alpha1.ModelDeployment{found(model("opus", 1, "rsp"),
			result("red-team", v1alpha1.SafeguardSatisfied, stamp(now.Add(40*day))),
			result("audit", v1alpha1.SafeguardSatisfied, stamp(now.Add(91*day))),
			result("drill", v1alpha1.SafeguardExpired, stamp(now.Add(time.Hour))),
			result("pinned", v1alpha1.SafeguardSatisfied, nil))}},
			[]string{"2026-06-23T12:00:00Z Safeguard serving/opus: what shows red-team (Binding, Attested) | serving/opus"}},
		"an assessment under each policy": {180 * day, all{
			models:      []v1alpha1.ModelDeployment{model("opus", 1, "six", "four", "none"), model("twin", 1, "six"), model("other", 2, "six")},
			assessments: []v1alpha1.CapabilityAssessment{filed("feb", february, 1, "CBRN-3 RuledOut", "Cyber RuledOut", "AI-4 Reached", "Unknown RuledOut")},
			policies:    []v1alpha1.ScalingPolicy{policy("six", months(6), "Cyber", "CBRN-3", "AI-4"), policy("four", months(4), "Cyber"), policy("none", nil, "Cyber"), policy("unused", months(3), "Cyber")}},
			[]string{
				"2026-06-28T10:00:00Z Assessment feb: ruling out Cyber under four | serving/opus",
				"2026-08-28T10:00:00Z Assessment feb: ruling out CBRN-3, Cyber under six | serving/opus, serving/twin",
			}},
		"a policy that is not there": {180 * day, all{
			models:      []v1alpha1.ModelDeployment{model("opus", 1, "gone")},
			assessments: []v1alpha1.CapabilityAssessment{filed("feb", february, 1, "Cyber RuledOut")},
			policies:    []v1alpha1.ScalingPolicy{policy("six", months(6), "Cyber")}}, nil},
		"a model that none decides on, and weights that none serves": {180 * day, all{
			models:      []v1alpha1.ModelDeployment{model("opus", 1)},
			assessments: []v1alpha1.CapabilityAssessment{filed("a", february, 1, "Cyber RuledOut"), sized(filed("b", february, 2, "Cyber RuledOut"), "1e26"), filed("c", february, 3, "Cyber RuledOut")},
			policies: []v1alpha1.ScalingPolicy{policy("six", months(6), "Cyber"), policy("five", months(5), "CBRN-3"),
				policy("grown", &v1alpha1.AssessmentRules{MaxAgeMonths: new(int32(4)), MaxComputeFactor: new(int32(4))}, "Cyber")}},
			[]string{
				"2026-06-28T10:00:00Z Assessment b: ruling out Cyber under grown",
				"2026-08-28T10:00:00Z Assessment a: ruling out Cyber under six | serving/opus",
				"2026-08-28T10:00:00Z Assessment b: ruling out Cyber under six",
				"2026-08-28T10:00:00Z Assessment c: ruling out Cyber under six",
			}},
		"what no longer counts does not lapse": {180 * day, all{
			models: []v1alpha1.ModelDeployment{model("opus", 1, "six"), model("grown", 2, "compute")},
			assessments: []v1alpha1.CapabilityAssessment{
				filed("old", february.AddDate(-1, 0, 0), 1, "Cyber RuledOut"),
				filed("covered", february, 1, "Cyber RuledOut"), filed("covering", february.AddDate(0, 1, 0), 1, "Cyber RuledOut"),
				filed("danger", february, 1, "CBRN-3 Inconclusive"), filed("beside", february, 1, "CBRN-3 RuledOut"),
				filed("replaced", february, 1, "AI-4 Reached"), superseding(filed("replacing", february.AddDate(0, 2, 0), 1, "AI-4 RuledOut"), "replaced"),
				filed("to-come", now.AddDate(0, 1, 0), 1, "Stealth RuledOut"),
				filed("outgrown", february, 2, "Cyber RuledOut"),
			},
			policies: []v1alpha1.ScalingPolicy{policy("six", months(6), "AI-4", "CBRN-3", "Cyber", "Stealth"),
				policy("compute", &v1alpha1.AssessmentRules{MaxAgeMonths: new(int32(6)), MaxComputeFactor: new(int32(4))}, "Cyber")}},
			[]string{
				"2026-09-28T10:00:00Z Assessment covering: ruling out Cyber under six | serving/opus",
				"2026-10-28T10:00:00Z Assessment replacing: ruling out AI-4 under six | serving/opus",
			}},
		"goals": {90 * day, all{roadmaps: []v1alpha1.SafetyRoadmap{roadmap(
			v1alpha1.Goal{Name: "soon", Pillar: "Security", DateSet: "2026-01-01", TargetDate: "2026-05-14"},
			v1alpha1.Goal{Name: "missed", Pillar: "Security", DateSet: "2026-01-01", TargetDate: "2026-05-13"},
			v1alpha1.Goal{Name: "moved", Pillar: "Alignment", DateSet: "2026-01-01", TargetDate: "2026-05-13", Updates: []v1alpha1.GoalUpdate{update("2026-05-14", "InProgress", "2026-06-30")}},
			v1alpha1.Goal{Name: "done", Pillar: "Alignment", DateSet: "2026-01-01", TargetDate: "2026-06-13", Updates: []v1alpha1.GoalUpdate{update("2026-05-14", "Done", "")}},
			v1alpha1.Goal{Name: "bad", Pillar: "Alignment", DateSet: "2026-01-01", TargetDate: "2026-06-31"},
			v1alpha1.Goal{Name: "far", Pillar: "Policy", DateSet: "2026-01-01", TargetDate: "2026-08-12"})}},
			[]string{
				"2026-05-15T00:00:00Z Goal frontier: the day of goal soon (Security, Planned)",
				"2026-07-01T00:00:00Z Goal frontier: the day of goal moved (Alignment, InProgress)",
			}},
		"all together, by time": {90 * day, all{
			models:      []v1alpha1.ModelDeployment{found(cleared(model("opus", 1, "six"), now.Add(time.Minute)), result("red-team", v1alpha1.SafeguardSatisfied, stamp(now.Add(40*day))))},
			assessments: []v1alpha1.CapabilityAssessment{filed("jan", time.Date(2026, 1, 31, 10, 0, 0, 0, time.FixedZone("", 3600)), 1, "Cyber RuledOut")},
			policies:    []v1alpha1.ScalingPolicy{policy("six", months(6), "Cyber")},
			roadmaps:    []v1alpha1.SafetyRoadmap{roadmap(v1alpha1.Goal{Name: "soon", Pillar: "Security", DateSet: "2026-01-01", TargetDate: "2026-05-31"})}},
			[]string{
				"2026-05-14T12:01:00Z Clearance serving/opus: the clearance under six, unless it is decided again | serving/opus",
				"2026-06-01T00:00:00Z Goal frontier: the day of goal soon (Security, Planned)",
				"2026-06-23T12:00:00Z Safeguard serving/opus: what shows red-team (Binding, Attested) | serving/opus",
				"2026-07-31T09:00:00Z Assessment jan: ruling out Cyber under six | serving/opus",
			}},
	} {
		t.Run(name, func(t *testing.T) {
			before := fmt.Sprint(tc.in)
			got := report.Calendar(now, tc.within, tc.in.models, tc.in.assessments, tc.in.policies, tc.in.roadmaps)
			if diff := cmp.Diff(tc.want, written(got)); diff != "" {
				t.Errorf("(-want +got):\n%s", diff)
			}
			if after := fmt.Sprint(tc.in); before != after { // it is given what a cache holds
				t.Errorf("made of\n%s\nit left\n%s", before, after)
			}
			slices.Reverse(tc.in.models)
			slices.Reverse(tc.in.assessments)
			slices.Reverse(tc.in.policies)
			slices.Reverse(tc.in.roadmaps)
			elsewhere := now.In(time.FixedZone("elsewhere", -8*3600))
			if diff := cmp.Diff(tc.want, written(report.Calendar(elsewhere, tc.within, tc.in.models, tc.in.assessments, tc.in.policies, tc.in.roadmaps))); diff != "" {
				t.Errorf("in another order, on another clock (-want +got):\n%s", diff)
			}
		})
	}
}

func TestHorizon(t *testing.T) {
	for after, want := range map[time.Duration]int{
		0: 7, 7 * 24 * time.Hour: 7, 7*24*time.Hour + 1: 30, 30 * 24 * time.Hour: 30, 30*24*time.Hour + 1: 90,
		90 * 24 * time.Hour: 90, 90*24*time.Hour + 1: 0,
	} {
		if got := (report.Lapse{At: now.Add(after)}).Horizon(now); got != want {
			t.Errorf("after %s: %d, want %d", after, got, want)
		}
	}
}

// TestCalendarLosesNothing draws assessments, and holds that a longer calendar begins with the shorter one.
func TestCalendarLosesNothing(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		var assessments []v1alpha1.CapabilityAssessment
		for i := range rapid.IntRange(0, 5).Draw(t, "assessments") {
			at := now.AddDate(0, 0, -rapid.IntRange(-30, 300).Draw(t, "days ago"))
			assessments = append(assessments, filed(fmt.Sprintf("a%d", i), at, rapid.IntRange(1, 3).Draw(t, "weights"),
				rapid.SampledFrom([]string{"Cyber RuledOut", "CBRN-3 RuledOut", "Cyber Reached"}).Draw(t, "outcome")))
		}
		models := []v1alpha1.ModelDeployment{model("opus", 1, "six", "four"), model("sonnet", 2)}
		policies := []v1alpha1.ScalingPolicy{policy("six", months(6), "Cyber", "CBRN-3"), policy("four", months(4), "Cyber")}
		short := time.Duration(rapid.Int64Range(0, int64(200*24*time.Hour)).Draw(t, "within"))
		few, many := report.Calendar(now, short, models, assessments, policies, nil), report.Calendar(now, 2*short, models, assessments, policies, nil)
		if len(few) > len(many) || cmp.Diff(written(few), written(many[:len(few)])) != "" {
			t.Fatalf("within %s\n%v\nand within twice that\n%v", short, written(few), written(many))
		}
		for _, l := range many[len(few):] {
			if !l.At.After(now.Add(short)) {
				t.Fatalf("not within %s: %v", short, written([]report.Lapse{l}))
			}
		}
	})
}

// BenchmarkCalendar is a large fleet: ten thousand models of a thousand weights, each assessed ten times.
func BenchmarkCalendar(b *testing.B) {
	var models []v1alpha1.ModelDeployment
	var assessments []v1alpha1.CapabilityAssessment
	for i := range 10_000 {
		models = append(models, model(fmt.Sprintf("model-%d", i), i%1000, "six"))
		assessments = append(assessments, filed(fmt.Sprintf("a-%d", i), now.AddDate(0, 0, -i/1000), i%1000, "Cyber RuledOut", "CBRN-3 RuledOut"))
	}
	policies := []v1alpha1.ScalingPolicy{policy("six", months(6), "Cyber", "CBRN-3")}
	for b.Loop() {
		if got := report.Calendar(now, 365*24*time.Hour, models, assessments, policies, nil); len(got) != 1000 {
			b.Fatal(len(got))
		}
	}
}
