package report_test

import (
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"

	"github.com/interlock-dev/interlock/api/v1alpha1"
	"github.com/interlock-dev/interlock/internal/report"
)

func goal(set, target v1alpha1.Date, updates ...v1alpha1.GoalUpdate) v1alpha1.Goal {
	return v1alpha1.Goal{Name: "inference", Pillar: "Security", Goal: "a prototype", DateSet: set, TargetDate: target, Updates: updates}
}

func update(date v1alpha1.Date, progress string, target v1alpha1.Date) v1alpha1.GoalUpdate {
	return v1alpha1.GoalUpdate{Date: date, Progress: progress, TargetDate: target, Text: "news"}
}

func instant(t *testing.T, text string) time.Time {
	t.Helper()
	if text == "" {
		return time.Time{}
	}
	at, err := time.Parse(time.RFC3339Nano, text)
	if err != nil {
		t.Fatal(err)
	}
	return at
}

func TestGoals(t *testing.T) {
	type stand struct {
		State  v1alpha1.GoalState
		Target v1alpha1.Date
		Former []v1alpha1.Date
		Next   string
	}
	moved := goal("2026-02-24", "2026-05-15", update("2026-03-01", "InProgress", ""), update("2026-05-20", "", "2026-09-30"))
	for name, tc := range map[string]struct {
		goal v1alpha1.Goal
		now  string
		want stand
	}{
		"not begun": {goal("2026-02-24", "2026-09-30"), "2026-05-01T12:00:00Z",
			stand{"Planned", "2026-09-30", nil, "2026-10-01T00:00:00Z"}},
		"its last second": {goal("2026-02-24", "2026-09-30"), "2026-09-30T23:59:59.999999999Z",
			stand{"Planned", "2026-09-30", nil, "2026-10-01T00:00:00Z"}},
		"its day is over": {goal("2026-02-24", "2026-09-30"), "2026-10-01T00:00:00Z",
			stand{"Missed", "2026-09-30", nil, ""}},
		"over here, and not in UTC": {goal("2026-02-24", "2026-09-30"), "2026-10-01T08:00:00+09:00",
			stand{"Planned", "2026-09-30", nil, "2026-10-01T00:00:00Z"}},
		"over in UTC, and not here": {goal("2026-02-24", "2026-09-30"), "2026-09-30T20:00:00-07:00",
			stand{"Missed", "2026-09-30", nil, ""}},
		"a leap day": {goal("2027-02-24", "2028-02-29"), "2028-02-29T12:00:00Z",
			stand{"Planned", "2028-02-29", nil, "2028-03-01T00:00:00Z"}},
		"the last day of a year": {goal("2026-02-24", "2026-12-31"), "2027-01-01T00:00:00Z",
			stand{"Missed", "2026-12-31", nil, ""}},
		"begun": {moved, "2026-03-01T00:00:00Z",
			stand{"InProgress", "2026-05-15", nil, "2026-05-16T00:00:00Z"}},
		"before the day of the first update": {moved, "2026-02-28T23:59:59Z",
			stand{"Planned", "2026-05-15", nil, "2026-03-01T00:00:00Z"}},
		"missed, and moved only later": {moved, "2026-05-19T23:59:59Z",
			stand{"Missed", "2026-05-15", nil, "2026-05-20T00:00:00Z"}},
		"moved": {moved, "2026-05-20T00:00:00Z",
			stand{"InProgress", "2026-09-30", []v1alpha1.Date{"2026-05-15"}, "2026-10-01T00:00:00Z"}},
		"moved and missed again": {moved, "2026-12-24T00:00:00Z",
			stand{"Missed", "2026-09-30", []v1alpha1.Date{"2026-05-15"}, ""}},
		"moved twice, and back": {
			goal("2026-01-01", "2026-05-15", update("2026-02-01", "", "2026-06-15"), update("2026-03-01", "", "2026-07-15"), update("2026-04-01", "", "2026-05-15")),
			"2026-04-01T00:00:00Z", stand{"Planned", "2026-05-15", []v1alpha1.Date{"2026-05-15", "2026-06-15", "2026-07-15"}, "2026-05-16T00:00:00Z"}},
		"moved to where it is": {goal("2026-01-01", "2026-05-15", update("2026-02-01", "", "2026-05-15")), "2026-04-01T00:00:00Z",
			stand{"Planned", "2026-05-15", nil, "2026-05-16T00:00:00Z"}},
		"moved to the past": {goal("2026-01-01", "2026-05-15", update("2026-02-01", "", "2026-01-15")), "2026-02-01T00:00:00Z",
			stand{"Missed", "2026-01-15", []v1alpha1.Date{"2026-05-15"}, ""}},
		"two updates of a day: the last stands": {goal("2026-01-01", "2026-05-15", update("2026-02-01", "Done", "2026-06-15"), update("2026-02-01", "InProgress", "2026-07-15")),
			"2026-02-01T00:00:00Z", stand{"InProgress", "2026-07-15", []v1alpha1.Date{"2026-05-15", "2026-06-15"}, "2026-07-16T00:00:00Z"}},
		"updates out of order": {goal("2026-01-01", "2026-05-15", update("2026-03-01", "Done", ""), update("2026-02-01", "InProgress", "2026-07-15")),
			"2026-04-01T00:00:00Z", stand{"Done", "2026-07-15", []v1alpha1.Date{"2026-05-15"}, ""}},
		"done in time": {goal("2026-01-01", "2026-05-15", update("2026-02-01", "Done", "")), "2026-12-24T00:00:00Z",
			stand{"Done", "2026-05-15", nil, ""}},
		"done late": {goal("2026-01-01", "2026-05-15", update("2026-06-01", "Done", "")), "2026-06-01T00:00:00Z",
			stand{"Done", "2026-05-15", nil, ""}},
		"to be done on a day that is announced": {goal("2026-01-01", "2026-05-15", update("2026-06-01", "Done", "")), "2026-05-31T23:59:59Z",
			stand{"Missed", "2026-05-15", nil, "2026-06-01T00:00:00Z"}},
		"dropped": {goal("2026-01-01", "2026-05-15", update("2026-02-01", "Dropped", "")), "2026-12-24T00:00:00Z",
			stand{"Dropped", "2026-05-15", nil, ""}},
		"begun again": {goal("2026-01-01", "2026-05-15", update("2026-02-01", "Done", ""), update("2026-03-01", "InProgress", "")), "2026-05-16T00:00:00Z",
			stand{"Missed", "2026-05-15", nil, ""}},
		"set for a day before it was set": {goal("2026-06-01", "2026-05-15"), "2026-06-01T00:00:00Z",
			stand{"Missed", "2026-05-15", nil, ""}},
	} {
		t.Run(name, func(t *testing.T) {
			statuses, next, err := report.Goals(v1alpha1.SafetyRoadmapSpec{Goals: []v1alpha1.Goal{tc.goal}}, instant(t, tc.now))
			if err != nil || len(statuses) != 1 {
				t.Fatalf("%v, %v", statuses, err)
			}
			s := statuses[0]
			got := stand{s.State, s.TargetDate, s.FormerTargetDates, ""}
			if !next.IsZero() {
				got.Next = next.Format(time.RFC3339)
			}
			if diff := cmp.Diff(tc.want, got); diff != "" {
				t.Errorf("(-want +got):\n%s", diff)
			}
		})
	}
}

// TestGoalsThatCannotBeRead holds that each is named, and that the others are told all the same.
func TestGoalsThatCannotBeRead(t *testing.T) {
	now := instant(t, "2026-05-14T12:00:00Z")
	for name, tc := range map[string]struct {
		goal v1alpha1.Goal
		want string
	}{
		"a day that is none":                   {goal("2026-01-01", "2026-02-30"), `goal inference: targetDate "2026-02-30" cannot be read`},
		"a leap day of no leap year":           {goal("2026-01-01", "2027-02-29"), `goal inference: targetDate "2027-02-29" cannot be read`},
		"a month that is none":                 {goal("2026-13-01", "2026-05-15"), `goal inference: dateSet "2026-13-01" cannot be read`},
		"no date":                              {goal("2026-01-01", ""), `goal inference: targetDate "" cannot be read`},
		"a time":                               {goal("2026-01-01", "2026-05-15T00:00:00Z"), `goal inference: targetDate "2026-05-15T00:00:00Z" cannot be read`},
		"a date of an update, also to come":    {goal("2026-01-01", "2026-05-15", update("2026-06-31", "", "")), `goal inference: date of an update "2026-06-31" cannot be read`},
		"no date of an update":                 {goal("2026-01-01", "2026-05-15", update("", "Done", "")), `goal inference: date of an update "" cannot be read`},
		"a target of an update, also to come":  {goal("2026-01-01", "2026-05-15", update("2026-06-30", "", "2026-00-01")), `goal inference: targetDate of an update "2026-00-01" cannot be read`},
		"progress that is not known":           {goal("2026-01-01", "2026-05-15", update("2026-02-01", "done", "")), `goal inference: progress of an update "done" cannot be read`},
		"progress that only the operator sees": {goal("2026-01-01", "2026-05-15", update("2026-02-01", "Missed", "")), `goal inference: progress of an update "Missed" cannot be read`},
	} {
		t.Run(name, func(t *testing.T) {
			good, other := goal("2026-01-01", "2026-07-15"), tc.goal
			good.Name, other.Name = "good", "other"
			statuses, next, err := report.Goals(v1alpha1.SafetyRoadmapSpec{Goals: []v1alpha1.Goal{tc.goal, good, other}}, now)
			if err == nil {
				t.Fatal("no error")
			}
			if diff := cmp.Diff(tc.want+"; goal other"+tc.want[len("goal inference"):], err.Error()); diff != "" {
				t.Errorf("error (-want +got):\n%s", diff)
			}
			if diff := cmp.Diff([]v1alpha1.GoalStatus{{Name: "good", State: "Planned", TargetDate: "2026-07-15"}}, statuses); diff != "" {
				t.Errorf("the others (-want +got):\n%s", diff)
			}
			if want := instant(t, "2026-07-16T00:00:00Z"); !next.Equal(want) {
				t.Errorf("next %s, want %s", next, want)
			}
		})
	}
}

// TestTimeMovesGoalsAtNamedTimesOnly tells goals again before the time at which they are said to change next.
func TestTimeMovesGoalsAtNamedTimesOnly(t *testing.T) {
	begin := time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC)
	rapid.Check(t, func(t *rapid.T) {
		date := func(what string) v1alpha1.Date {
			return v1alpha1.Date(begin.AddDate(0, 0, rapid.IntRange(0, 60).Draw(t, what)).Format(time.DateOnly))
		}
		var spec v1alpha1.SafetyRoadmapSpec
		for range rapid.IntRange(1, 3).Draw(t, "goals") {
			g := goal(date("set"), date("target"))
			for range rapid.IntRange(0, 3).Draw(t, "updates") {
				u := update(date("update"), rapid.SampledFrom([]string{"", "Planned", "InProgress", "Done", "Dropped"}).Draw(t, "progress"), "")
				if rapid.Bool().Draw(t, "moved") {
					u.TargetDate = date("moved to")
				}
				g.Updates = append(g.Updates, u)
			}
			spec.Goals = append(spec.Goals, g)
		}
		before := *spec.DeepCopy()
		now := begin.Add(time.Duration(rapid.Int64Range(0, int64(70*24*time.Hour)).Draw(t, "now")))
		statuses, next, err := report.Goals(spec, now)
		if err != nil {
			t.Fatal(err)
		}
		span := int64(1000 * 24 * time.Hour)
		if !next.IsZero() {
			if !next.After(now) {
				t.Fatalf("next %s, which is not after %s", next, now)
			}
			span = int64(next.Sub(now)) - 1
		}
		later, _, _ := report.Goals(spec, now.Add(time.Duration(rapid.Int64Range(0, span).Draw(t, "passed"))))
		if diff := cmp.Diff(statuses, later); diff != "" {
			t.Fatalf("before %s (-before +after):\n%s", next, diff)
		}
		if diff := cmp.Diff(before, spec); diff != "" {
			t.Fatalf("mutated (-before +after):\n%s", diff)
		}
	})
}
