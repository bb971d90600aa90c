package decision_test

import (
	"fmt"
	"strings"
	"testing"
	"unicode/utf8"

	"github.com/google/go-cmp/cmp"

	"github.com/interlock-dev/interlock/api/v1alpha1"
	"github.com/interlock-dev/interlock/internal/decision"
)

// TestWhatAPersonReads holds the texts: which threshold or declaration asks for each safeguard, what is disputed, and why
// a model is held.
func TestWhatAPersonReads(t *testing.T) {
	month := noon.AddDate(0, -1, 0)
	for name, tc := range map[string]struct {
		outcomes []string
		change   func(*decision.Input)
		want     string
	}{
		"all ruled out": {
			outcomes: []string{"CBRN-3 RuledOut", "CBRN-4 RuledOut", "R&D-4 RuledOut", "Cyber RuledOut", "Watched RuledOut"},
			want: `Cleared, Cleared: all 2 safeguards are in place
levels ASL-2 and ASL-2
* CBRN-3 RuledOut by a until 2026-10-14T12:10:00Z
* CBRN-4 RuledOut by a until 2026-10-14T12:10:00Z
* Cyber RuledOut by a until 2026-10-14T12:10:00Z
* R&D-4 RuledOut by a until 2026-10-14T12:10:00Z
* Watched RuledOut by a until 2026-10-14T12:10:00Z
- image-pinned (Binding, Satisfied) by ASL-2 Security (baseline, declared)
- usage-policy (Binding, Satisfied) by ASL-2 Deployment (baseline, declared)
`},
		"one reached on both axes, one only watched": {
			outcomes: []string{"CBRN-3 Reached", "CBRN-4 RuledOut", "R&D-4 RuledOut", "Cyber RuledOut", "Watched Reached"},
			want: `Cleared, Cleared: all 4 safeguards are in place
levels ASL-3 and ASL-3
disputed: declared ASL-2, but CBRN-3 Reached asks for ASL-3 Deployment and ASL-3 Security
* CBRN-3 Reached by a, AsReached
* CBRN-4 RuledOut by a until 2026-10-14T12:10:00Z
* Cyber RuledOut by a until 2026-10-14T12:10:00Z
* R&D-4 RuledOut by a until 2026-10-14T12:10:00Z
* Watched Reached by a, AsReached
- classifier (Binding, Satisfied) by ASL-3 Deployment (CBRN-3 Reached)
- egress-closed (Binding, Satisfied) by ASL-3 Security (CBRN-3 Reached)
- image-pinned (Binding, Satisfied) by ASL-2 Security (CBRN-3 Reached, baseline, declared)
- usage-policy (Binding, Satisfied) by ASL-2 Deployment (CBRN-3 Reached, baseline, declared)
`},
		"a threshold that asks for safeguards besides a level, and one that only recommends": {
			outcomes: []string{"CBRN-3 RuledOut", "CBRN-4 RuledOut", "R&D-4 Reached", "Cyber Reached", "Watched RuledOut"},
			change: func(in *decision.Input) {
				in.Findings["affirmative-case"] = decision.Finding{State: v1alpha1.SafeguardSatisfied, Strength: v1alpha1.StrengthDeclared, Message: "a document"}
			},
			want: `Held, SafeguardsMissing: 1 of 4 safeguards missing: affirmative-case (Missing): shown as Declared, but the policy asks for Attested: a document
levels ASL-2 and ASL-3
disputed: declared ASL-2, but R&D-4 Reached asks for ASL-3 Security
* CBRN-3 RuledOut by a until 2026-10-14T12:10:00Z
* CBRN-4 RuledOut by a until 2026-10-14T12:10:00Z
* Cyber Reached by a, AsReached
* R&D-4 Reached by a, AsReached
* Watched RuledOut by a until 2026-10-14T12:10:00Z
- affirmative-case (Binding, Missing) by R&D-4 Reached
- egress-closed (Binding, Satisfied) by ASL-3 Security (Cyber Reached, R&D-4 Reached); R&D-4 Reached
- image-pinned (Binding, Satisfied) by ASL-2 Security (Cyber Reached, R&D-4 Reached, baseline, declared)
- usage-policy (Binding, Satisfied) by ASL-2 Deployment (baseline, declared)
`},
		"only recommended": {
			outcomes: []string{"CBRN-3 RuledOut", "CBRN-4 RuledOut", "R&D-4 RuledOut", "Cyber Reached", "Watched RuledOut"},
			change:   func(in *decision.Input) { delete(in.Findings, "egress-closed") },
			want: `Cleared, Cleared: all 2 safeguards are in place
levels ASL-2 and ASL-2
* CBRN-3 RuledOut by a until 2026-10-14T12:10:00Z
* CBRN-4 RuledOut by a until 2026-10-14T12:10:00Z
* Cyber Reached by a, AsReached
* R&D-4 RuledOut by a until 2026-10-14T12:10:00Z
* Watched RuledOut by a until 2026-10-14T12:10:00Z
- egress-closed (Recommendation, Unknown) by ASL-3 Security (Cyber Reached)
- image-pinned (Binding, Satisfied) by ASL-2 Security (Cyber Reached, baseline, declared)
- usage-policy (Binding, Satisfied) by ASL-2 Deployment (baseline, declared)
`},
		"a level that is not written, only recommended": {
			outcomes: []string{"CBRN-3 RuledOut", "CBRN-4 Reached", "R&D-4 Reached", "Cyber Reached", "Watched RuledOut"},
			change: func(in *decision.Input) {
				t := in.Policy.Spec.Thresholds
				t[1].Demands[0].Force = v1alpha1.ForceDiscretionary
				t[3].Demands = append(t[3].Demands, t[3].Demands[0], t[3].Demands[0])
				for i := range t[3].Demands {
					t[3].Demands[i].Level = "ASL-4"
				}
			},
			want: `Cleared, Cleared: all 4 safeguards are in place
levels ASL-2 and ASL-3
disputed: declared ASL-2, but R&D-4 Reached asks for ASL-3 Security
reported: the policy does not say what ASL-4 Security (CBRN-4 Reached, Cyber Reached) asks for with force Discretionary: not written yet
* CBRN-3 RuledOut by a until 2026-10-14T12:10:00Z
* CBRN-4 Reached by a, AsReached
* Cyber Reached by a, AsReached
* R&D-4 Reached by a, AsReached
* Watched RuledOut by a until 2026-10-14T12:10:00Z
- affirmative-case (Binding, Satisfied) by R&D-4 Reached
- egress-closed (Binding, Satisfied) by ASL-3 Security (CBRN-4 Reached, Cyber Reached, R&D-4 Reached); R&D-4 Reached
- image-pinned (Binding, Satisfied) by ASL-2 Security (CBRN-4 Reached, Cyber Reached, R&D-4 Reached, baseline, declared)
- usage-policy (Binding, Satisfied) by ASL-2 Deployment (baseline, declared)
`},
		"a level that is not written": {
			outcomes: []string{"CBRN-3 RuledOut", "CBRN-4 Saturated", "R&D-4 RuledOut", "Cyber RuledOut", "Watched RuledOut"},
			change:   func(in *decision.Input) { in.Policy.Spec.Assessment.Inconclusive = "" },
			want: `Held, SafeguardsUnspecified: the policy does not say what ASL-4 Security (CBRN-4 Saturated) asks for: not written yet
levels ASL-2 and ASL-4
disputed: declared ASL-2, but CBRN-4 Saturated asks for ASL-4 Security
* CBRN-3 RuledOut by a until 2026-10-14T12:10:00Z
* CBRN-4 Saturated by a, AsReached
* Cyber RuledOut by a until 2026-10-14T12:10:00Z
* R&D-4 RuledOut by a until 2026-10-14T12:10:00Z
* Watched RuledOut by a until 2026-10-14T12:10:00Z
- egress-closed (Binding, Satisfied) by ASL-3 Security (CBRN-4 Saturated)
- image-pinned (Binding, Satisfied) by ASL-2 Security (CBRN-4 Saturated, baseline, declared)
- usage-policy (Binding, Satisfied) by ASL-2 Deployment (baseline, declared)
`},
		"held until it is assessed": {
			outcomes: []string{"CBRN-3 RuledOut", "CBRN-4 RuledOut", "R&D-4 Saturated", "Cyber RuledOut", "Watched Inconclusive"},
			want: `Held, NotAssessed: policy rsp holds the model until assessments settle R&D-4 (Saturated), Watched (Inconclusive); file a CapabilityAssessment
levels ASL-2 and ASL-3
disputed: declared ASL-2, but R&D-4 Saturated asks for ASL-3 Security
* CBRN-3 RuledOut by a until 2026-10-14T12:10:00Z
* CBRN-4 RuledOut by a until 2026-10-14T12:10:00Z
* Cyber RuledOut by a until 2026-10-14T12:10:00Z
* R&D-4 Saturated by a, Hold
* Watched Inconclusive by a, Hold
- affirmative-case (Binding, Satisfied) by R&D-4 Saturated
- egress-closed (Binding, Satisfied) by ASL-3 Security (R&D-4 Saturated); R&D-4 Saturated
- image-pinned (Binding, Satisfied) by ASL-2 Security (R&D-4 Saturated, baseline, declared)
- usage-policy (Binding, Satisfied) by ASL-2 Deployment (baseline, declared)
`},
		"a declaration that raises, served to trusted users": {
			outcomes: []string{"CBRN-3 Reached", "CBRN-4 RuledOut", "R&D-4 RuledOut", "Cyber RuledOut", "Watched RuledOut"},
			change: func(in *decision.Input) {
				in.Model.Spec.AssessedLevel, in.Model.Spec.Audience = "ASL-3", v1alpha1.AudienceTrustedUsers
			},
			want: `Cleared, Cleared: all 4 safeguards are in place
levels ASL-3 and ASL-3
* CBRN-3 Reached by a, AsReached
* CBRN-4 RuledOut by a until 2026-10-14T12:10:00Z
* Cyber RuledOut by a until 2026-10-14T12:10:00Z
* R&D-4 RuledOut by a until 2026-10-14T12:10:00Z
* Watched RuledOut by a until 2026-10-14T12:10:00Z
- classifier (Binding, Satisfied) by ASL-3 Deployment (CBRN-3 Reached, declared)
- egress-closed (Binding, Satisfied) by ASL-3 Security (CBRN-3 Reached, declared)
- image-pinned (Binding, Satisfied) by ASL-2 Security (CBRN-3 Reached, baseline, declared)
- usage-policy (Binding, Satisfied) by ASL-2 Deployment (CBRN-3 Reached, baseline, declared)
- vetting (Discretionary, Satisfied) by ASL-3 Deployment (CBRN-3 Reached, declared)
`},
		"a threshold whose demand is of no level": {
			outcomes: []string{"CBRN-3 Reached"},
			change:   func(in *decision.Input) { in.Policy.Spec.Thresholds[0].Demands[0].Level = "ASL-9" },
			want: `Held, LevelUnknown: threshold CBRN-3 of policy rsp demands "ASL-9", which is not a level of it
`},
		"a threshold whose demand is on no axis": {
			outcomes: []string{"CBRN-3 Reached"},
			change:   func(in *decision.Input) { in.Policy.Spec.Thresholds[0].Demands[1].Axis = "Secrecy" },
			want: `Held, LevelUnknown: threshold CBRN-3 of policy rsp demands ASL-3 on "Secrecy", which is not an axis
`},
		"a threshold that leaves open what it asks for": {
			outcomes: []string{"CBRN-3 RuledOut", "CBRN-4 RuledOut", "R&D-4 RuledOut", "Cyber Reached", "Watched RuledOut"},
			change: func(in *decision.Input) {
				for i := range in.Policy.Spec.Thresholds {
					in.Policy.Spec.Thresholds[i].Unspecified = "a later version says"
				}
			},
			want: `Held, SafeguardsUnspecified: the policy does not say all that Cyber asks for (Reached): a later version says
levels ASL-2 and ASL-2
* CBRN-3 RuledOut by a until 2026-10-14T12:10:00Z
* CBRN-4 RuledOut by a until 2026-10-14T12:10:00Z
* Cyber Reached by a, AsReached
* R&D-4 RuledOut by a until 2026-10-14T12:10:00Z
* Watched RuledOut by a until 2026-10-14T12:10:00Z
- egress-closed (Recommendation, Satisfied) by ASL-3 Security (Cyber Reached)
- image-pinned (Binding, Satisfied) by ASL-2 Security (Cyber Reached, baseline, declared)
- usage-policy (Binding, Satisfied) by ASL-2 Deployment (baseline, declared)
`},
	} {
		t.Run(name, func(t *testing.T) {
			in := assessed(rsp(), filed("a", month, tc.outcomes...))
			if tc.change != nil {
				tc.change(&in)
			}
			if diff := cmp.Diff(tc.want, told(decision.Decide(in))); diff != "" {
				t.Errorf("(-want +got):\n%s", diff)
			}
		})
	}
}

// TestUnspecifiedHoldsBesideSafeguards holds that a standard which lists safeguards and says that others are left open
// holds the model; the API refuses to take one.
func TestUnspecifiedHoldsBesideSafeguards(t *testing.T) {
	in := assessed(framework(v1alpha1.AssessmentRules{}))
	in.Policy.Spec.Levels[0].Security.Unspecified = "the rest is not written yet"
	v := decision.Decide(in)
	if v.Reason != v1alpha1.ReasonSafeguardsUnspecified || len(v.Safeguards) != 2 {
		t.Errorf("%s", told(v))
	}
}

// TestUnknownAudienceIsTheWidest holds that an audience which is not known is none of the narrow ones.
func TestUnknownAudienceIsTheWidest(t *testing.T) {
	policy := framework(v1alpha1.AssessmentRules{})
	policy.Spec.Levels[0].Deployment.Safeguards[0].Audiences = []v1alpha1.Audience{v1alpha1.AudienceGeneral}
	for audience, want := range map[v1alpha1.Audience][]string{
		"":                            {"image-pinned", "usage-policy"},
		v1alpha1.AudienceGeneral:      {"image-pinned", "usage-policy"},
		"Everybody":                   {"image-pinned", "usage-policy"},
		"internal":                    {"image-pinned", "usage-policy"},
		v1alpha1.AudienceInternal:     {"image-pinned"},
		v1alpha1.AudienceTrustedUsers: {"image-pinned"},
	} {
		in := assessed(policy)
		in.Model.Spec.Audience = audience
		if diff := cmp.Diff(want, decision.AskedOf(in).Required); diff != "" {
			t.Errorf("audience %q (-want +got):\n%s", audience, diff)
		}
	}
}

// TestStrongestForceOfDemands holds that a level asked for by several thresholds binds as its strongest demand does, and
// that a demand never makes an obligation bind more than its own text.
func TestStrongestForceOfDemands(t *testing.T) {
	const binding, law, discretionary, recommendation = v1alpha1.ForceBinding, v1alpha1.ForceLaw, v1alpha1.ForceDiscretionary, v1alpha1.ForceRecommendation
	for name, tc := range map[string]struct {
		demands    []v1alpha1.Force
		obligation v1alpha1.Force
		want       v1alpha1.Force
		level      string
	}{
		"binding":                          {[]v1alpha1.Force{binding}, binding, binding, "ASL-3"},
		"both by default":                  {[]v1alpha1.Force{""}, "", binding, "ASL-3"},
		"law":                              {[]v1alpha1.Force{law}, binding, law, "ASL-3"},
		"recommended":                      {[]v1alpha1.Force{recommendation}, binding, recommendation, "ASL-2"},
		"recommended and discretionary":    {[]v1alpha1.Force{recommendation, discretionary}, binding, discretionary, "ASL-2"},
		"recommended and binding":          {[]v1alpha1.Force{binding, recommendation}, binding, binding, "ASL-3"},
		"binding, of what is recommended":  {[]v1alpha1.Force{binding}, recommendation, recommendation, "ASL-3"},
		"a force of demand not known":      {[]v1alpha1.Force{recommendation, "Sworn"}, binding, binding, "ASL-3"},
		"a force of obligation not known":  {[]v1alpha1.Force{law}, "Sworn", law, "ASL-3"},
		"both forces are not known":        {[]v1alpha1.Force{"Sworn"}, "Sworn", "Sworn", "ASL-3"},
		"an unknown force, only suggested": {[]v1alpha1.Force{discretionary}, "Sworn", discretionary, "ASL-2"},
	} {
		t.Run(name, func(t *testing.T) {
			policy := framework(v1alpha1.AssessmentRules{}, "T1", "T2")
			policy.Spec.Levels[1].Security.Safeguards[0].Force = tc.obligation
			for i, force := range tc.demands {
				policy.Spec.Thresholds[i].Demands[0].Force = force
			}
			policy.Spec.Thresholds = policy.Spec.Thresholds[:len(tc.demands)]
			v := decision.Decide(assessed(policy))
			got := v1alpha1.Force("not asked")
			for _, s := range v.Safeguards {
				if s.Name == "egress-closed" {
					got = s.Force
				}
			}
			if diff := cmp.Diff([]string{string(tc.want), tc.level}, []string{string(got), v.SecurityLevel}); diff != "" {
				t.Errorf("(-want +got):\n%s", diff)
			}
		})
	}
}

// TestReasonsFitTheAPI asks for one safeguard by more levels and thresholds than the API takes reasons.
func TestReasonsFitTheAPI(t *testing.T) {
	policy := framework(v1alpha1.AssessmentRules{})
	policy.Spec.Levels = nil
	one := v1alpha1.Standard{Safeguards: []v1alpha1.Obligation{{Safeguard: "image-pinned"}}}
	for i := range 16 {
		policy.Spec.Levels = append(policy.Spec.Levels, v1alpha1.Level{Name: fmt.Sprintf("ASL-%d%s", i+1, strings.Repeat("x", 40)), Deployment: one, Security: one})
	}
	policy.Spec.BaselineLevel = policy.Spec.Levels[0].Name
	for i := range 64 {
		policy.Spec.Thresholds = append(policy.Spec.Thresholds, v1alpha1.Threshold{Name: fmt.Sprintf("%s-%02d", strings.Repeat("é", 30), i),
			Safeguards: one.Safeguards, Demands: []v1alpha1.ThresholdDemand{{Axis: v1alpha1.AxisSecurity, Level: policy.Spec.Levels[15].Name}}})
	}
	in := assessed(policy)
	in.Model.Spec.AssessedLevel = policy.Spec.BaselineLevel
	v := decision.Decide(in)
	if len(v.Safeguards) != 1 {
		t.Fatalf("%d safeguards", len(v.Safeguards))
	}
	by := v.Safeguards[0].RequiredBy
	if want := "and 50 more"; len(by) != 32 || by[31] != want { // 81 reasons: 1 of deployment, 16 of security, 64 of thresholds
		t.Errorf("%d reasons, the last %q, want 32 and %q", len(by), by[len(by)-1], want)
	}
	for _, reason := range by {
		if len(reason) > 200 || !utf8.ValidString(reason) {
			t.Errorf("reason of %d bytes: %q", len(reason), reason)
		}
	}
	if want := "ASL-1"; !strings.HasPrefix(by[0], want) {
		t.Errorf("the first reason is %q, want one that begins with %s", by[0], want)
	}
}

// TestNamesOfThresholdsStayOnOneLine holds that a name which the API lets through cannot put lines or a terminal's escape
// sequences into what is told.
func TestNamesOfThresholdsStayOnOneLine(t *testing.T) {
	in := assessed(framework(v1alpha1.AssessmentRules{}, "CBRN\n3\x1b[31m"))
	v := decision.Decide(in)
	want := []string{"declared ASL-2, but CBRN 3[31m Unassessed asks for ASL-3 Security", "ASL-3 Security (CBRN 3[31m Unassessed)"}
	if diff := cmp.Diff(want, []string{v.Disputed, v.Safeguards[0].RequiredBy[0]}); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
}
