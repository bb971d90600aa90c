package decision_test

import (
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/interlock-dev/interlock/api/v1alpha1"
	"github.com/interlock-dev/interlock/internal/decision"
	"github.com/interlock-dev/interlock/internal/testing/boundary"
)

// TestAssessmentAges holds the second at which an assessment becomes too old: calendar months after it was made, in UTC.
func TestAssessmentAges(t *testing.T) {
	for name, tc := range boundary.Ages {
		t.Run(name, func(t *testing.T) {
			in := assessed(framework(v1alpha1.AssessmentRules{MaxAgeMonths: &tc.Months}, "CBRN-3"),
				filed("a", tc.MadeAt(), "CBRN-3 RuledOut"))
			ends := tc.EndsAt()
			for _, at := range []struct {
				now  time.Time
				want string
			}{
				{tc.MadeAt(), "CBRN-3 RuledOut by a until " + tc.Ends},
				{ends.Add(-time.Second), "CBRN-3 RuledOut by a until " + tc.Ends},
				{ends.Add(-time.Nanosecond), "CBRN-3 RuledOut by a until " + tc.Ends},
				{ends, "CBRN-3 Stale by a, AsReached"},
				{ends.AddDate(100, 0, 0), "CBRN-3 Stale by a, AsReached"},
			} {
				in.Now = at.now
				v := decision.Decide(in)
				if diff := cmp.Diff([]string{at.want}, said(v)); diff != "" {
					t.Errorf("at %s (-want +got):\n%s", at.now, diff)
				}
				if in.Now.Before(ends) && (v.ValidUntil.After(ends) || v.Revisit.IsZero() || v.Revisit.After(ends)) {
					t.Errorf("at %s the clearance is valid until %s and looked at again at %s, but what it rests on ends at %s",
						at.now, v.ValidUntil, v.Revisit, ends)
				}
			}
		})
	}
}

func instant(t *testing.T, text string) time.Time {
	t.Helper()
	at, err := time.Parse(time.RFC3339Nano, text)
	if err != nil {
		t.Fatal(err)
	}
	return at
}

// TestAssessmentIsOutgrown holds the factor of effective compute at which an assessment no longer rules anything out.
func TestAssessmentIsOutgrown(t *testing.T) {
	const ruledOut, stale = "CBRN-3 RuledOut by a", "CBRN-3 Stale by a, AsReached"
	for name, tc := range map[string]struct {
		served, assessed string
		factor           int32
		want             string
	}{
		"just four times":                     {"3.2e26", "8e25", 4, stale},
		"just four times, written otherwise":  {"320000000000000000e9", "0.8E+26", 4, stale},
		"a hair less":                         {"319999999999999999e9", "8e25", 4, ruledOut},
		"a hair more":                         {"320000000000000001e9", "8e25", 4, stale},
		"a little less":                       {"3.1e26", "8e25", 4, ruledOut},
		"the same model":                      {"8e25", "8e25", 4, ruledOut},
		"a smaller model":                     {"1e20", "8e25", 4, ruledOut},
		"any growth, and there is none":       {"8e25", "8e25", 1, stale},
		"any growth, and it is smaller":       {"7.9e25", "8e25", 1, ruledOut},
		"a factor that no figure is below":    {"1", "8e25", 0, stale},
		"a negative factor":                   {"1", "8e25", -4, stale},
		"the greatest factor":                 {"8e28", "8e25", 1000, stale},
		"below the greatest factor":           {"7.99e28", "8e25", 1000, ruledOut},
		"the greatest figures":                {"9999999999999999e99", "9999999999999999e98", 4, stale},
		"the greatest figures, below":         {"3999999999999999e99", "9999999999999999e98", 4, ruledOut},
		"a figure beyond any machine's":       {"1e308", "1e308", 4, ruledOut},
		"whole numbers":                       {"400", "100", 4, stale},
		"whole numbers below":                 {"399", "100", 4, ruledOut},
		"the served one says nothing":         {"", "8e25", 4, stale},
		"the assessed one says nothing":       {"8e25", "", 4, stale},
		"neither says anything":               {"", "", 4, stale},
		"none at all":                         {"0", "8e25", 4, stale},
		"none at all, assessed":               {"8e25", "0e9", 4, stale},
		"words":                               {"much", "8e25", 4, stale},
		"less than nothing":                   {"-8e25", "8e25", 4, stale},
		"a fraction":                          {"1/3", "8e25", 4, stale},
		"infinity":                            {"Inf", "Inf", 4, stale},
		"no number":                           {"NaN", "8e25", 4, stale},
		"a base that the API does not take":   {"0x10", "8e25", 4, stale},
		"separated digits":                    {"1_000", "8e25", 4, stale},
		"a space":                             {"8e25 ", "8e25", 4, stale},
		"two numbers":                         {"8e25e1", "8e25", 4, stale},
		"a negative exponent":                 {"8e-25", "8e25", 4, stale},
		"an exponent that is too large":       {"1e999999999", "1e999999999", 4, stale},
		"one that is too large, on one side":  {"8e25", "1e999999999", 4, stale},
		"more digits than the API takes":      {strings.Repeat("9", 21), "8e25", 4, stale},
		"far more digits than the API takes":  {strings.Repeat("9", 1_000_000), "8e25", 4, stale},
		"more digits, of the assessed weight": {"8e25", strings.Repeat("9", 21), 4, stale},
	} {
		t.Run(name, func(t *testing.T) {
			a := filed("a", noon.AddDate(0, -1, 0), "CBRN-3 RuledOut")
			a.Spec.EffectiveCompute = tc.assessed
			in := assessed(framework(v1alpha1.AssessmentRules{MaxComputeFactor: &tc.factor}, "CBRN-3"), a)
			in.Model.Spec.Model.EffectiveCompute = tc.served
			if diff := cmp.Diff([]string{tc.want}, said(decision.Decide(in))); diff != "" {
				t.Errorf("(-want +got):\n%s", diff)
			}
			in.Policy.Spec.Assessment = nil
			if diff := cmp.Diff([]string{ruledOut}, said(decision.Decide(in))); diff != "" {
				t.Errorf("where it does not matter (-want +got):\n%s", diff)
			}
		})
	}
}

// TestMostSevereOutcomeCounts holds which of several assessments decides, and what follows.
func TestMostSevereOutcomeCounts(t *testing.T) {
	day := func(n int) time.Time { return noon.AddDate(0, 0, n) }
	independent := func(a v1alpha1.CapabilityAssessment) v1alpha1.CapabilityAssessment {
		a.Spec.Evaluator.Independent = new(true)
		return a
	}
	dependent := func(a v1alpha1.CapabilityAssessment) v1alpha1.CapabilityAssessment {
		a.Spec.Evaluator.Independent = new(false)
		return a
	}
	sized := func(a v1alpha1.CapabilityAssessment) v1alpha1.CapabilityAssessment {
		a.Spec.EffectiveCompute = "1e26"
		return a
	}
	of := func(a v1alpha1.CapabilityAssessment, digests ...string) v1alpha1.CapabilityAssessment {
		a.Spec.Digests = digests
		return a
	}
	sixMonths := v1alpha1.AssessmentRules{MaxAgeMonths: new(int32(6))}
	under := func(rule v1alpha1.Supersession) v1alpha1.AssessmentRules {
		return v1alpha1.AssessmentRules{Supersession: rule}
	}
	all := func(a ...v1alpha1.CapabilityAssessment) []v1alpha1.CapabilityAssessment { return a }

	for name, tc := range map[string]struct {
		rules       v1alpha1.AssessmentRules
		assessments []v1alpha1.CapabilityAssessment
		want        []string
	}{
		"none": {want: []string{"CBRN-3 Unassessed, AsReached", "Cyber Unassessed, AsReached"}},
		"one, of one threshold": {
			assessments: all(filed("a", day(-1), "CBRN-3 RuledOut")),
			want:        []string{"CBRN-3 RuledOut by a", "Cyber Unassessed, AsReached"}},
		"each outcome": {
			assessments: all(filed("a", day(-1), "CBRN-3 Saturated", "Cyber Inconclusive")),
			want:        []string{"CBRN-3 Saturated by a, AsReached", "Cyber Inconclusive by a, AsReached"}},
		"an outcome that is not known, and none": {
			assessments: all(filed("a", day(-1), "CBRN-3 Excluded", "Cyber")),
			want:        []string{"CBRN-3 Inconclusive by a, AsReached", "Cyber Inconclusive by a, AsReached"}},
		"an outcome of another case": {
			assessments: all(filed("a", day(-1), "CBRN-3 ruledOut", "Cyber RULEDOUT")),
			want:        []string{"CBRN-3 Inconclusive by a, AsReached", "Cyber Inconclusive by a, AsReached"}},
		"a threshold of another policy": {
			assessments: all(filed("a", day(-1), "cbrn-3 RuledOut", "CBRN-4 RuledOut")),
			want:        []string{"CBRN-3 Unassessed, AsReached", "Cyber Unassessed, AsReached"}},
		"an old one that is worse": {
			assessments: all(filed("a", day(-900), "CBRN-3 Reached", "Cyber Saturated"), filed("b", day(-1), "CBRN-3 RuledOut", "Cyber RuledOut")),
			want:        []string{"CBRN-3 Reached by a, AsReached", "Cyber Saturated by a, AsReached"}},
		"worse from the one to the next": {
			assessments: all(filed("a", day(-4), "CBRN-3 RuledOut", "Cyber Saturated"), filed("b", day(-3), "CBRN-3 Saturated", "Cyber Inconclusive"),
				filed("c", day(-2), "CBRN-3 Inconclusive", "Cyber Reached")),
			want: []string{"CBRN-3 Inconclusive by c, AsReached", "Cyber Reached by c, AsReached"}},
		"both rule it out: the one that lasts": {
			rules:       sixMonths,
			assessments: all(filed("a", day(-1), "CBRN-3 RuledOut"), filed("b", day(-40), "CBRN-3 RuledOut", "Cyber RuledOut")),
			want:        []string{"CBRN-3 RuledOut by a until 2026-11-13T12:10:00Z", "Cyber RuledOut by b until 2026-10-04T12:10:00Z"}},
		"both rule it out, the newer for a shorter time": { // since it was made later on a longer day of the month
			rules: sixMonths,
			assessments: all(filed("a", time.Date(2026, 3, 31, 9, 0, 0, 0, time.UTC), "CBRN-3 RuledOut"),
				filed("b", time.Date(2026, 3, 30, 18, 0, 0, 0, time.UTC), "CBRN-3 RuledOut", "Cyber RuledOut")),
			want: []string{"CBRN-3 RuledOut by b until 2026-09-30T18:00:00Z", "Cyber RuledOut by b until 2026-09-30T18:00:00Z"}},
		"equally severe: the newer is named": {
			assessments: all(filed("a", day(-9), "CBRN-3 Reached"), filed("c", day(-2), "CBRN-3 Reached"), filed("b", day(-2), "CBRN-3 Reached", "Cyber RuledOut")),
			want:        []string{"CBRN-3 Reached by b, AsReached", "Cyber RuledOut by b"}},
		"stale beside one that is not": {
			rules:       sixMonths,
			assessments: all(filed("a", day(-400), "CBRN-3 RuledOut", "Cyber RuledOut"), filed("b", day(-1), "CBRN-3 RuledOut")),
			want:        []string{"CBRN-3 RuledOut by b until 2026-11-13T12:10:00Z", "Cyber Stale by a, AsReached"}},
		"what reached a threshold never ages": {
			rules:       v1alpha1.AssessmentRules{MaxAgeMonths: new(int32(6)), Stale: v1alpha1.TreatHold},
			assessments: all(filed("a", day(-4000), "CBRN-3 Reached", "Cyber RuledOut")),
			want:        []string{"CBRN-3 Reached by a, AsReached", "Cyber Stale by a, Hold"}},
		"held unassessed": {
			rules:       v1alpha1.AssessmentRules{Unassessed: v1alpha1.TreatHold},
			assessments: all(filed("a", day(-1), "CBRN-3 Inconclusive")),
			want:        []string{"CBRN-3 Inconclusive by a, AsReached", "Cyber Unassessed, Hold"}},
		"held when it could not be told": {
			rules:       v1alpha1.AssessmentRules{Inconclusive: v1alpha1.TreatHold},
			assessments: all(filed("a", day(-1), "CBRN-3 Inconclusive", "Cyber Saturated")),
			want:        []string{"CBRN-3 Inconclusive by a, Hold", "Cyber Saturated by a, Hold"}},
		"a treatment that is not known holds": {
			rules:       v1alpha1.AssessmentRules{Unassessed: "Ignore", Inconclusive: "Ignore"},
			assessments: all(filed("a", day(-1), "CBRN-3 Inconclusive")),
			want:        []string{"CBRN-3 Inconclusive by a, Hold", "Cyber Unassessed, Hold"}},
		"other weights": {
			assessments: all(of(filed("a", day(-1), "CBRN-3 RuledOut", "Cyber Reached"), weights(2)), of(filed("b", day(-1), "Cyber RuledOut"), weights(2), weights(1))),
			want:        []string{"CBRN-3 Unassessed, AsReached", "Cyber RuledOut by b"}},
		"superseded where the newer one speaks": {
			assessments: all(filed("a", day(-9), "CBRN-3 Reached", "Cyber Reached"), superseding(filed("b", day(-1), "CBRN-3 RuledOut"), "a")),
			want:        []string{"CBRN-3 RuledOut by b", "Cyber Reached by a, AsReached"}},
		"superseded by what is itself worse": {
			assessments: all(filed("a", day(-9), "CBRN-3 RuledOut"), superseding(filed("b", day(-1), "CBRN-3 Reached"), "a")),
			want:        []string{"CBRN-3 Reached by b, AsReached", "Cyber Unassessed, AsReached"}},
		"superseded by an older one": {
			assessments: all(filed("a", day(-9), "CBRN-3 Reached"), superseding(filed("b", day(-10), "CBRN-3 RuledOut"), "a")),
			want:        []string{"CBRN-3 Reached by a, AsReached", "Cyber Unassessed, AsReached"}},
		"superseded by one of the same second": {
			assessments: all(filed("a", day(-9), "CBRN-3 Reached"), superseding(filed("b", day(-9), "CBRN-3 RuledOut"), "a")),
			want:        []string{"CBRN-3 Reached by a, AsReached", "Cyber Unassessed, AsReached"}},
		"superseding itself": {
			assessments: all(superseding(filed("a", day(-9), "CBRN-3 Reached"), "a")),
			want:        []string{"CBRN-3 Reached by a, AsReached", "Cyber Unassessed, AsReached"}},
		"superseding what is not there": {
			assessments: all(filed("a", day(-9), "CBRN-3 Reached"), superseding(filed("b", day(-1), "CBRN-3 RuledOut"), "A", "aa", "")),
			want:        []string{"CBRN-3 Reached by a, AsReached", "Cyber Unassessed, AsReached"}},
		"superseded by one of other weights": {
			assessments: all(filed("a", day(-9), "CBRN-3 Reached"), of(superseding(filed("b", day(-1), "CBRN-3 RuledOut"), "a"), weights(2))),
			want:        []string{"CBRN-3 Reached by a, AsReached", "Cyber Unassessed, AsReached"}},
		"superseded by one that has become too old": {
			rules:       sixMonths,
			assessments: all(filed("a", day(-900), "CBRN-3 Reached"), superseding(filed("b", day(-800), "CBRN-3 RuledOut"), "a")),
			want:        []string{"CBRN-3 Stale by b, AsReached", "Cyber Unassessed, AsReached"}},
		"too old to supersede what still rules it out": {
			rules:       v1alpha1.AssessmentRules{MaxComputeFactor: new(int32(4))},
			assessments: all(sized(filed("a", day(-9), "CBRN-3 RuledOut")), superseding(filed("b", day(-1), "CBRN-3 RuledOut"), "a")),
			want:        []string{"CBRN-3 RuledOut by a", "Cyber Unassessed, AsReached"}},
		"one after the other": {
			assessments: all(filed("a", day(-9), "CBRN-3 Reached"), superseding(filed("b", day(-8), "CBRN-3 Inconclusive"), "a"), superseding(filed("c", day(-7), "CBRN-3 RuledOut"), "b")),
			want:        []string{"CBRN-3 RuledOut by c", "Cyber Unassessed, AsReached"}},
		"only the last of a row": {
			assessments: all(filed("a", day(-9), "CBRN-3 Reached"), filed("b", day(-8), "CBRN-3 Inconclusive"), superseding(filed("c", day(-7), "CBRN-3 RuledOut"), "b")),
			want:        []string{"CBRN-3 Reached by a, AsReached", "Cyber Unassessed, AsReached"}},
		"never superseded": {
			rules:       under(v1alpha1.SupersedeNever),
			assessments: all(filed("a", day(-9), "CBRN-3 Reached"), independent(superseding(filed("b", day(-1), "CBRN-3 RuledOut"), "a"))),
			want:        []string{"CBRN-3 Reached by a, AsReached", "Cyber Unassessed, AsReached"}},
		"under a rule that is not known": {
			rules:       under("Whenever"),
			assessments: all(filed("a", day(-9), "CBRN-3 Reached"), independent(superseding(filed("b", day(-1), "CBRN-3 RuledOut"), "a"))),
			want:        []string{"CBRN-3 Reached by a, AsReached", "Cyber Unassessed, AsReached"}},
		"superseded by the developer, under a rule that asks for an independent evaluator": {
			rules: under(v1alpha1.SupersedeIndependentEvaluator),
			assessments: all(filed("a", day(-9), "CBRN-3 Reached", "Cyber Reached"), superseding(filed("b", day(-1), "CBRN-3 RuledOut"), "a"),
				dependent(superseding(filed("c", day(-1), "Cyber RuledOut"), "a"))),
			want: []string{"CBRN-3 Reached by a, AsReached", "Cyber Reached by a, AsReached"}},
		"superseded by an independent evaluator": {
			rules:       under(v1alpha1.SupersedeIndependentEvaluator),
			assessments: all(independent(filed("a", day(-9), "CBRN-3 Reached")), independent(superseding(filed("b", day(-1), "CBRN-3 RuledOut"), "a"))),
			want:        []string{"CBRN-3 RuledOut by b", "Cyber Unassessed, AsReached"}},
	} {
		t.Run(name, func(t *testing.T) {
			in := assessed(framework(tc.rules, "CBRN-3", "Cyber"), tc.assessments...)
			in.Model.Spec.Model.EffectiveCompute = "1e26"
			if diff := cmp.Diff(tc.want, said(decision.Decide(in))); diff != "" {
				t.Errorf("(-want +got):\n%s", diff)
			}
		})
	}
}

// TestThresholdsThatCountOnlyIfFound holds that such a threshold asks for nothing until an assessment finds it, and then for all.
func TestThresholdsThatCountOnlyIfFound(t *testing.T) {
	for name, tc := range map[string]struct {
		filed []v1alpha1.CapabilityAssessment
		want  string
		level string
	}{
		"nobody speaks of it": {nil, "CBRN-3 Unassessed", "ASL-2"},
		"it is ruled out":     {[]v1alpha1.CapabilityAssessment{filed("a", noon.AddDate(0, -1, 0), "CBRN-3 RuledOut")}, "CBRN-3 RuledOut by a until 2026-10-14T12:10:00Z", "ASL-2"},
		"it was ruled out":    {[]v1alpha1.CapabilityAssessment{filed("a", noon.AddDate(-1, 0, 0), "CBRN-3 RuledOut")}, "CBRN-3 Stale by a", "ASL-2"},
		"it is left open":     {[]v1alpha1.CapabilityAssessment{filed("a", noon, "CBRN-3 Inconclusive")}, "CBRN-3 Inconclusive by a, AsReached", "ASL-3"},
		"it is reached":       {[]v1alpha1.CapabilityAssessment{filed("a", noon, "CBRN-3 Reached")}, "CBRN-3 Reached by a, AsReached", "ASL-3"},
	} {
		t.Run(name, func(t *testing.T) {
			policy := framework(v1alpha1.AssessmentRules{MaxAgeMonths: new(int32(6))}, "CBRN-3")
			policy.Spec.Thresholds[0].OnlyIfFound = new(true)
			v := decision.Decide(assessed(policy, tc.filed...))
			if diff := cmp.Diff([]string{tc.want}, said(v)); diff != "" || v.SecurityLevel != tc.level {
				t.Errorf("%s, want %s (-want +got):\n%s", v.SecurityLevel, tc.level, diff)
			}
		})
	}
}

// TestFutureAssessments holds that a date which has not come clears and supersedes nothing, that danger counts all the
// same, and that the model is looked at again on the date.
func TestFutureAssessments(t *testing.T) {
	date := noon.Add(90 * time.Second)
	type moment struct {
		Said    []string
		Cleared bool
		Revisit time.Time
	}
	renewal := noon.Add(20 * time.Minute)
	past := filed("a", noon.AddDate(0, -1, 0), "CBRN-3 RuledOut")
	for name, tc := range map[string]struct {
		assessments  []v1alpha1.CapabilityAssessment
		before, then moment
	}{
		"ruled out": {
			[]v1alpha1.CapabilityAssessment{filed("f", date, "CBRN-3 RuledOut")},
			moment{[]string{"CBRN-3 Unassessed, Hold"}, false, date},
			moment{[]string{"CBRN-3 RuledOut by f"}, true, renewal}},
		"reached": {
			[]v1alpha1.CapabilityAssessment{past, filed("f", date, "CBRN-3 Reached")},
			moment{[]string{"CBRN-3 Reached by f, AsReached"}, true, date},
			moment{[]string{"CBRN-3 Reached by f, AsReached"}, true, renewal}},
		"inconclusive, superseding what rules it out": {
			[]v1alpha1.CapabilityAssessment{past, superseding(filed("f", date, "CBRN-3 Inconclusive"), "a")},
			moment{[]string{"CBRN-3 Inconclusive by f, Hold"}, false, date},
			moment{[]string{"CBRN-3 Inconclusive by f, Hold"}, false, time.Time{}}},
		"superseding a danger": {
			[]v1alpha1.CapabilityAssessment{filed("a", noon.AddDate(0, -1, 0), "CBRN-3 Saturated"), superseding(filed("f", date, "CBRN-3 RuledOut"), "a")},
			moment{[]string{"CBRN-3 Saturated by a, Hold"}, false, date},
			moment{[]string{"CBRN-3 RuledOut by f"}, true, renewal}},
		"of other weights": {
			func() []v1alpha1.CapabilityAssessment {
				other := filed("f", date, "CBRN-3 Reached")
				other.Spec.Digests = []string{weights(2)}
				return []v1alpha1.CapabilityAssessment{past, other}
			}(),
			moment{[]string{"CBRN-3 RuledOut by a"}, true, renewal},
			moment{[]string{"CBRN-3 RuledOut by a"}, true, renewal}},
	} {
		t.Run(name, func(t *testing.T) {
			in := assessed(framework(v1alpha1.AssessmentRules{Unassessed: v1alpha1.TreatHold, Inconclusive: v1alpha1.TreatHold}, "CBRN-3"), tc.assessments...)
			for _, at := range []struct {
				now  time.Time
				want moment
			}{{noon, tc.before}, {date.Add(-time.Nanosecond), tc.before}, {date, tc.then}} {
				in.Now = at.now
				v := decision.Decide(in)
				if diff := cmp.Diff(at.want, moment{said(v), v.Cleared(), v.Revisit}); diff != "" {
					t.Errorf("at %s (-want +got):\n%s", at.now, diff)
				}
			}
		})
	}
}

// TestHoldAsksForNoLess holds that a model which is held until it is assessed has the steps and the safeguards of one
// that is treated as if it had reached the threshold.
func TestHoldAsksForNoLess(t *testing.T) {
	type asked struct {
		Deployment, Security string
		Names                []string
	}
	ask := func(treatment v1alpha1.Treatment) asked {
		v := decision.Decide(assessed(framework(v1alpha1.AssessmentRules{Inconclusive: treatment}, "CBRN-3"),
			filed("a", noon.AddDate(0, -1, 0), "CBRN-3 Inconclusive")))
		return asked{v.DeploymentLevel, v.SecurityLevel, v.Rules()}
	}
	want := asked{"ASL-2", "ASL-3", []string{"egress-closed", "image-pinned", "usage-policy"}}
	if diff := cmp.Diff(want, ask(v1alpha1.TreatAsReached)); diff != "" {
		t.Errorf("as reached (-want +got):\n%s", diff)
	}
	if diff := cmp.Diff(want, ask(v1alpha1.TreatHold)); diff != "" {
		t.Errorf("held (-want +got):\n%s", diff)
	}
}

// TestManyAssessments holds that those of other weights cost next to nothing, and that thousands of the same weights are
// read as few are.
func TestManyAssessments(t *testing.T) {
	few := large(50, 20, 10)
	many := few
	many.Assessments = slices.Clone(few.Assessments)
	for i := range 9_990 {
		other := few.Assessments[i%10]
		other.Name, other.Spec.Digests = fmt.Sprintf("other-%d", i), []string{weights(2), weights(3)}
		many.Assessments = append(many.Assessments, other)
	}
	if diff := cmp.Diff(decision.Decide(few), decision.Decide(many)); diff != "" {
		t.Errorf("with those of other weights (-few +many):\n%s", diff)
	}
	ofFew, ofMany := testing.AllocsPerRun(20, func() { decision.Decide(few) }), testing.AllocsPerRun(20, func() { decision.Decide(many) })
	if ofMany > ofFew+1 {
		t.Errorf("%v allocations with 10 assessments, %v with 10,000 of which 10 matter", ofFew, ofMany)
	}

	same := large(50, 20, 0)
	for i := range 10_000 {
		a := few.Assessments[0]
		a.ObjectMeta = metav1.ObjectMeta{Name: fmt.Sprintf("same-%d", i)}
		a.Spec.AssessedAt.Time = noon.AddDate(0, -1, 0).Add(time.Duration(i) * time.Second)
		a.Spec.Supersedes = nil
		for j := max(0, i-32); j < i; j++ {
			a.Spec.Supersedes = append(a.Spec.Supersedes, fmt.Sprintf("same-%d", j))
		}
		same.Assessments = append(same.Assessments, a)
	}
	v := decision.Decide(same)
	if want := "same-9999"; !v.Cleared() || v.Thresholds[0].Assessment != want {
		t.Errorf("with 10,000 of the same weights: %+v", v.Thresholds[0])
	}
}

// TestAddMonths holds what other packages build on.
func TestAddMonths(t *testing.T) {
	for name, tc := range map[string]struct {
		from   string
		months int
		want   string
	}{
		"none":                      {"2026-01-31T10:00:00Z", 0, "2026-01-31T10:00:00Z"},
		"to a shorter month":        {"2026-08-31T10:00:00Z", 6, "2027-02-28T10:00:00Z"},
		"to a leap day":             {"2027-08-31T10:00:00Z", 6, "2028-02-29T10:00:00Z"},
		"back":                      {"2026-03-31T10:00:00Z", -1, "2026-02-28T10:00:00Z"},
		"over years":                {"2024-02-29T23:59:59Z", 36, "2027-02-28T23:59:59Z"},
		"in the time zone it is in": {"2026-01-31T23:00:00-11:00", 1, "2026-02-28T23:00:00-11:00"},
	} {
		t.Run(name, func(t *testing.T) {
			if diff := cmp.Diff(tc.want, decision.AddMonths(instant(t, tc.from), tc.months).Format(time.RFC3339)); diff != "" {
				t.Errorf("(-want +got):\n%s", diff)
			}
		})
	}
}
