package decision_test

import (
	"fmt"
	"maps"
	"slices"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"pgregory.net/rapid"

	"github.com/interlock-dev/interlock/api/v1alpha1"
	"github.com/interlock-dev/interlock/internal/decision"
)

func binds(f v1alpha1.Force) bool {
	return f != v1alpha1.ForceDiscretionary && f != v1alpha1.ForceRecommendation
}

// loosened says in what a verdict asks for less than another; empty, in nothing. Two ways of no longer being held are no
// loosening: what was held for not being assessed is let go when an assessment settles it, also when that finds danger;
// and what was held because nothing at all was asked is let go when something is.
func loosened(in decision.Input, before, after decision.Verdict) string {
	place := func(name string) int {
		return slices.IndexFunc(in.Policy.Spec.Levels, func(l v1alpha1.Level) bool { return l.Name == name })
	}
	if place(after.DeploymentLevel) < place(before.DeploymentLevel) || place(after.SecurityLevel) < place(before.SecurityLevel) {
		return "a level is lower"
	}
	kept := map[string]v1alpha1.SafeguardResult{}
	for _, s := range after.Safeguards {
		kept[s.Name] = s
	}
	for _, s := range before.Safeguards {
		now, ok := kept[s.Name]
		switch {
		case !ok:
			return s.Name + " is no longer asked for"
		case binds(s.Force) && !binds(now.Force):
			return s.Name + " no longer binds"
		case s.State != v1alpha1.SafeguardSatisfied && now.State == v1alpha1.SafeguardSatisfied:
			return s.Name + " is shown more easily"
		}
	}
	for i, t := range after.Thresholds {
		if t.State == "RuledOut" && before.Thresholds[i].State != "RuledOut" {
			return t.Name + " is ruled out"
		}
	}
	if after.Cleared() && !before.Cleared() && before.Reason != v1alpha1.ReasonNotAssessed && before.Required > 0 {
		return "it is cleared"
	}
	if after.Cleared() && before.Cleared() && after.ValidUntil.After(before.ValidUntil) {
		return "the clearance is longer"
	}
	return ""
}

// dangers are ways in which more danger comes to be known, or less safety.
var dangers = map[string]func(*rapid.T, *decision.Input){
	"one more assessment that rules nothing out": func(t *rapid.T, in *decision.Input) {
		a := anAssessment(t, "z")
		a.Spec.Digests = []string{weights(1)}
		for i := range a.Spec.Outcomes {
			a.Spec.Outcomes[i].Outcome = pick(t, "danger", anyOutcome[1:])
		}
		in.Assessments = append(in.Assessments, a)
	},
	"a worse outcome": func(t *rapid.T, in *decision.Input) {
		if a := anyOf(t, in); a != nil && len(a.Spec.Outcomes) > 0 {
			o := &a.Spec.Outcomes[rapid.IntRange(0, len(a.Spec.Outcomes)-1).Draw(t, "outcome")]
			if at := slices.Index(anyOutcome[:4], o.Outcome); at >= 0 {
				o.Outcome = anyOutcome[rapid.IntRange(at, 3).Draw(t, "worse")]
			}
		}
	},
	"an outcome that is not known": func(t *rapid.T, in *decision.Input) {
		if a := anyOf(t, in); a != nil {
			for i := range a.Spec.Outcomes {
				if a.Spec.Outcomes[i].Outcome == v1alpha1.AssessmentRuledOut {
					a.Spec.Outcomes[i].Outcome = "ruled out"
				}
			}
		}
	},
	"what was ruled out is taken back": func(t *rapid.T, in *decision.Input) {
		if a := anyOf(t, in); a != nil {
			a.Spec.Outcomes = slices.DeleteFunc(a.Spec.Outcomes, func(o v1alpha1.ThresholdOutcome) bool { return o.Outcome == v1alpha1.AssessmentRuledOut })
		}
	},
	"nothing is superseded": func(t *rapid.T, in *decision.Input) {
		if a := anyOf(t, in); a != nil && !slices.ContainsFunc(a.Spec.Outcomes, func(o v1alpha1.ThresholdOutcome) bool { return o.Outcome != v1alpha1.AssessmentRuledOut }) {
			a.Spec.Supersedes = nil
		}
	},
	"what ruled out was made longer ago": func(t *rapid.T, in *decision.Input) {
		if a := anyOf(t, in); a != nil && len(a.Spec.Supersedes) == 0 {
			older := a.Spec.AssessedAt.AddDate(0, -rapid.IntRange(0, 12).Draw(t, "months earlier"), 0)
			superseded := slices.ContainsFunc(in.Assessments, func(b v1alpha1.CapabilityAssessment) bool { return slices.Contains(b.Spec.Supersedes, a.Name) })
			if !superseded && !a.Spec.AssessedAt.After(in.Now) {
				a.Spec.AssessedAt = metav1.Time{Time: older}
			}
		}
	},
	"the model has outgrown what was assessed": func(_ *rapid.T, in *decision.Input) { in.Model.Spec.Model.EffectiveCompute = "1e30" },
	"nobody says how large the model is":       func(_ *rapid.T, in *decision.Input) { in.Model.Spec.Model.EffectiveCompute = "" },
	"a threshold asks for more": func(t *rapid.T, in *decision.Input) {
		if len(in.Policy.Spec.Thresholds) > 0 {
			threshold := &in.Policy.Spec.Thresholds[0]
			threshold.Demands = append(threshold.Demands, v1alpha1.ThresholdDemand{
				Axis: pick(t, "axis", []v1alpha1.Axis{v1alpha1.AxisDeployment, v1alpha1.AxisSecurity}), Level: pick(t, "level", in.Policy.Spec.Levels).Name})
		}
	},
}

func anyOf(t *rapid.T, in *decision.Input) *v1alpha1.CapabilityAssessment {
	if len(in.Assessments) == 0 {
		return nil
	}
	return &in.Assessments[rapid.IntRange(0, len(in.Assessments)-1).Draw(t, "which assessment")]
}

func TestMoreDangerNeverLoosens(t *testing.T) {
	for name, endanger := range dangers {
		t.Run(name, func(t *testing.T) {
			rapid.Check(t, func(t *rapid.T) {
				in := anyInput(t)
				before := decision.Decide(in)
				worse := cloned(in)
				endanger(t, &worse)
				after := decision.Decide(worse)
				if how := loosened(in, before, after); how != "" {
					t.Fatalf("%s: from\n%sto\n%s%s", how, told(before), told(after), cmp.Diff(in, worse))
				}
			})
		})
	}
}

// TestMoreDangerTightens is the other side: each of the dangers does end some clearance, so that none of them passes for
// doing nothing.
func TestMoreDangerTightens(t *testing.T) {
	for name, endanger := range dangers {
		t.Run(name, func(t *testing.T) {
			ended := 0
			for seed := 0; seed < 40_000 && ended == 0; seed++ {
				rapid.Custom(func(t *rapid.T) int {
					in := anyInput(t)
					if decision.Decide(in).Cleared() {
						endanger(t, &in)
						if !decision.Decide(in).Cleared() {
							ended++
						}
					}
					return 0
				}).Example(seed)
			}
			if ended == 0 {
				t.Error("ended no clearance")
			}
		})
	}
}

// TestDangerIsStrictWhereNothingIsHeldUnassessed leaves no exception: where a policy takes all that is not ruled out as
// reached, danger never clears a model that was not cleared and of which something is asked.
func TestDangerIsStrictWhereNothingIsHeldUnassessed(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		in := anyInput(t)
		if r := in.Policy.Spec.Assessment; r != nil {
			r.Unassessed, r.Stale, r.Inconclusive = "", "", ""
		}
		before := decision.Decide(in)
		worse := cloned(in)
		for _, name := range some(t, "danger", slices.Sorted(maps.Keys(dangers))) {
			dangers[name](t, &worse)
		}
		after := decision.Decide(worse)
		if before.Reason == v1alpha1.ReasonNotAssessed || after.Cleared() && !before.Cleared() && before.Required > 0 {
			t.Fatalf("from\n%sto\n%s", told(before), told(after))
		}
	})
}

// TestOrderOfInputsNeverMatters decides again with every list that has no order of its own in another, on another clock.
func TestOrderOfInputsNeverMatters(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		in := anyInput(t)
		other := cloned(in)
		zone := time.FixedZone("elsewhere", rapid.IntRange(-12, 14).Draw(t, "hours from UTC")*3600)
		other.Now = other.Now.In(zone)
		other.Assessments = shuffled(t, other.Assessments)
		for i := range other.Assessments {
			spec := &other.Assessments[i].Spec
			spec.Outcomes, spec.Digests, spec.Supersedes = shuffled(t, spec.Outcomes), shuffled(t, spec.Digests), shuffled(t, spec.Supersedes)
			spec.AssessedAt.Time = spec.AssessedAt.In(zone)
		}
		other.Policy.Spec.Thresholds = shuffled(t, other.Policy.Spec.Thresholds)
		for i := range other.Policy.Spec.Thresholds {
			threshold := &other.Policy.Spec.Thresholds[i]
			threshold.Demands, threshold.Safeguards = shuffled(t, threshold.Demands), shuffled(t, threshold.Safeguards)
		}
		for i := range other.Policy.Spec.Levels {
			l := &other.Policy.Spec.Levels[i]
			l.Deployment.Safeguards, l.Security.Safeguards = shuffled(t, l.Deployment.Safeguards), shuffled(t, l.Security.Safeguards)
		}
		if diff := cmp.Diff(verbatim(t, decision.Decide(in)), verbatim(t, decision.Decide(other))); diff != "" {
			t.Fatalf("in another order (-first +second):\n%s", diff)
		}
	})
}

func shuffled[T any](t *rapid.T, values []T) []T {
	if len(values) == 0 {
		return values
	}
	return rapid.Permutation(values).Draw(t, "order")
}

// TestTimeMovesAVerdictByANamedExpiryOnly decides again before the time at which the verdict says to look again.
func TestTimeMovesAVerdictByANamedExpiryOnly(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		in := anyInput(t)
		v := decision.Decide(in)
		span := int64(10 * 365 * 24 * time.Hour)
		if !v.Revisit.IsZero() {
			if !v.Revisit.After(in.Now) {
				t.Fatalf("to be looked at again at %s, which is not after %s", v.Revisit, in.Now)
			}
			span = int64(v.Revisit.Sub(in.Now)) - 1
		}
		if v.Cleared() && (!v.ValidUntil.After(in.Now) || v.Revisit.After(v.ValidUntil) || v.Revisit.IsZero()) {
			t.Fatalf("cleared until %s, to be looked at again at %s", v.ValidUntil, v.Revisit)
		}
		later := in
		later.Now = in.Now.Add(time.Duration(rapid.Int64Range(0, span).Draw(t, "passed")))
		if rapid.Bool().Draw(t, "the last moment") {
			later.Now = in.Now.Add(time.Duration(span))
		}
		if diff := cmp.Diff(verbatim(t, v), verbatim(t, decision.Decide(later))); diff != "" {
			t.Fatalf("at %s, to be looked at again at %s (-before +after):\n%s", later.Now, v.Revisit, diff)
		}
	})
}

// TestTimeNeverLoosens lets any time pass. What is dated in the future may clear from its date on, so it is left out.
func TestTimeNeverLoosens(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		in := anyInput(t)
		in.Assessments = slices.DeleteFunc(in.Assessments, func(a v1alpha1.CapabilityAssessment) bool { return a.Spec.AssessedAt.After(in.Now) })
		before := decision.Decide(in)
		later := in
		later.Now = in.Now.Add(time.Duration(rapid.Int64Range(0, int64(3*365*24*time.Hour)).Draw(t, "passed")))
		after := decision.Decide(later)
		before.ValidUntil = after.ValidUntil // a lease is renewed
		if how := loosened(in, before, after); how != "" {
			t.Fatalf("%s: from\n%sto\n%s", how, told(before), told(after))
		}
		if after.Cleared() && !before.Cleared() {
			t.Fatalf("cleared by time: from\n%sto\n%s", told(before), told(after))
		}
	})
}

// TestDeclarationOnlyRaises declares a higher level.
func TestDeclarationOnlyRaises(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		in := anyInput(t)
		before := decision.Decide(in)
		higher := cloned(in)
		from := slices.IndexFunc(in.Policy.Spec.Levels, func(l v1alpha1.Level) bool { return l.Name == in.Model.Spec.AssessedLevel })
		higher.Model.Spec.AssessedLevel = pick(t, "higher", in.Policy.Spec.Levels[from:]).Name
		after := decision.Decide(higher)
		if how := loosened(in, before, after); how != "" || after.Cleared() && !before.Cleared() && before.Required > 0 {
			t.Fatalf("%s: declared %s, from\n%sto\n%s", how, higher.Model.Spec.AssessedLevel, told(before), told(after))
		}
		if diff := cmp.Diff(before.Thresholds, after.Thresholds); diff != "" {
			t.Fatalf("what was found depends on what is declared:\n%s", diff)
		}
	})
}

// TestRulingOutNeverRaises adds an assessment that rules thresholds out and is neither too old nor of the future. It may
// leave a threshold open that was reached, by superseding only that, and a policy may hold models for it.
func TestRulingOutNeverRaises(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		in := anyInput(t)
		in.Model.Spec.Model.EffectiveCompute = "1e26"
		more := cloned(in)
		a := filed("z", in.Now)
		a.Spec.EffectiveCompute, a.Spec.Supersedes = "1e27", some(t, "supersedes", assessmentNames)
		for _, name := range some(t, "ruled out", thresholdNames) {
			a.Spec.Outcomes = append(a.Spec.Outcomes, v1alpha1.ThresholdOutcome{Threshold: name, Outcome: v1alpha1.AssessmentRuledOut})
		}
		more.Assessments = append(more.Assessments, a)
		before, after := decision.Decide(in), decision.Decide(more)
		for _, name := range after.Rules() {
			if !slices.Contains(before.Rules(), name) {
				t.Fatalf("%s is asked for: from\n%sto\n%s", name, told(before), told(after))
			}
		}
		if before.Cleared() && !after.Cleared() && after.Required > 0 && after.Reason != v1alpha1.ReasonNotAssessed {
			t.Fatalf("not cleared any more: from\n%sto\n%s", told(before), told(after))
		}
	})
}

// TestStaleRulingOutRaisesToStaleAtMost adds an assessment that ruled thresholds out long ago: a threshold may turn from
// unassessed to stale, and nothing else.
func TestStaleRulingOutRaisesToStaleAtMost(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		in := anyInput(t)
		a := filed("z", in.Now.AddDate(-20, 0, 0))
		for _, name := range some(t, "ruled out", thresholdNames) {
			a.Spec.Outcomes = append(a.Spec.Outcomes, v1alpha1.ThresholdOutcome{Threshold: name, Outcome: v1alpha1.AssessmentRuledOut})
		}
		more := cloned(in)
		more.Assessments = append(more.Assessments, a)
		before, after := decision.Decide(in), decision.Decide(more)
		for i, now := range after.Thresholds {
			was := before.Thresholds[i]
			rulesOut := now.State == "RuledOut" && (in.Policy.Spec.Assessment == nil || in.Policy.Spec.Assessment.MaxAgeMonths == nil)
			if now.State != was.State && !(was.State == v1alpha1.ThresholdUnassessed || was.State == v1alpha1.ThresholdStale) ||
				now.State != was.State && now.State != v1alpha1.ThresholdStale && !rulesOut {
				t.Fatalf("%s: from %s to %s", now.Name, was.State, now.State)
			}
		}
	})
}

// TestSupersedingOnlyByTheRule takes back what supersedes in vain, which changes nothing.
func TestSupersedingOnlyByTheRule(t *testing.T) {
	for name, inVain := range map[string]func(in *decision.Input, newer *v1alpha1.CapabilityAssessment, older string) bool{
		"the policy lets none": func(in *decision.Input, _ *v1alpha1.CapabilityAssessment, _ string) bool {
			return in.Policy.Spec.Assessment != nil && in.Policy.Spec.Assessment.Supersession == v1alpha1.SupersedeNever
		},
		"the evaluator is not independent": func(in *decision.Input, newer *v1alpha1.CapabilityAssessment, _ string) bool {
			return in.Policy.Spec.Assessment != nil && in.Policy.Spec.Assessment.Supersession == v1alpha1.SupersedeIndependentEvaluator &&
				(newer.Spec.Evaluator.Independent == nil || !*newer.Spec.Evaluator.Independent)
		},
		"it is not newer": func(in *decision.Input, newer *v1alpha1.CapabilityAssessment, older string) bool {
			return slices.ContainsFunc(in.Assessments, func(a v1alpha1.CapabilityAssessment) bool {
				return a.Name == older && !newer.Spec.AssessedAt.After(a.Spec.AssessedAt.Time)
			})
		},
		"its date has not come": func(in *decision.Input, newer *v1alpha1.CapabilityAssessment, _ string) bool {
			return newer.Spec.AssessedAt.After(in.Now)
		},
		"it is about other weights": func(_ *decision.Input, newer *v1alpha1.CapabilityAssessment, _ string) bool {
			return !slices.Contains(newer.Spec.Digests, weights(1))
		},
		"it speaks of no threshold": func(_ *decision.Input, newer *v1alpha1.CapabilityAssessment, _ string) bool {
			return !slices.ContainsFunc(newer.Spec.Outcomes, func(o v1alpha1.ThresholdOutcome) bool { return slices.Contains(thresholdNames, o.Threshold) })
		},
		"there is no such assessment": func(in *decision.Input, _ *v1alpha1.CapabilityAssessment, older string) bool {
			return !slices.ContainsFunc(in.Assessments, func(a v1alpha1.CapabilityAssessment) bool { return a.Name == older })
		},
	} {
		t.Run(name, func(t *testing.T) {
			rapid.Check(t, func(t *rapid.T) {
				in := anyInput(t)
				without := cloned(in)
				for i := range without.Assessments {
					a := &without.Assessments[i]
					a.Spec.Supersedes = slices.DeleteFunc(a.Spec.Supersedes, func(older string) bool { return inVain(&in, a, older) })
				}
				if diff := cmp.Diff(verbatim(t, decision.Decide(in)), verbatim(t, decision.Decide(without))); diff != "" {
					t.Fatalf("(-with +without):\n%s", diff)
				}
			})
		})
	}
}

// TestSupersedingOnlyWhereTheNewerOneSpeaks compares thresholds of which no newer assessment speaks with what they are
// when nothing is superseded at all.
func TestSupersedingOnlyWhereTheNewerOneSpeaks(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		in := anyInput(t)
		without := cloned(in)
		spoken := map[string]bool{}
		for i := range without.Assessments {
			spec := &without.Assessments[i].Spec
			for _, o := range spec.Outcomes {
				spoken[o.Threshold] = spoken[o.Threshold] || len(spec.Supersedes) > 0
			}
			spec.Supersedes = nil
		}
		before, after := decision.Decide(in), decision.Decide(without)
		for i := range before.Thresholds {
			if spoken[before.Thresholds[i].Name] {
				continue
			}
			if diff := cmp.Diff(before.Thresholds[i], after.Thresholds[i]); diff != "" {
				t.Fatalf("(-with +without):\n%s", diff)
			}
		}
	})
}

// TestOtherWeightsAreIgnored adds assessments of another model, whatever they say and supersede.
func TestOtherWeightsAreIgnored(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		in := anyInput(t)
		more := cloned(in)
		for i := range rapid.IntRange(1, 5).Draw(t, "more") {
			a := anAssessment(t, fmt.Sprintf("other-%d", i))
			a.Spec.Digests = []string{weights(2), "", "sha256:"}
			more.Assessments = append(more.Assessments, a)
		}
		if diff := cmp.Diff(verbatim(t, decision.Decide(in)), verbatim(t, decision.Decide(more))); diff != "" {
			t.Fatalf("(-without +with):\n%s", diff)
		}
	})
}

// TestAssessmentsAreNotMutated also changes the verdict, through which the input must not be reached either.
func TestAssessmentsAreNotMutated(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		in := anyInput(t)
		before := cloned(in)
		v := decision.Decide(in)
		decision.AskedOf(in)
		decision.Named(in.Policy)
		for i := range v.Thresholds {
			if v.Thresholds[i].ValidUntil != nil {
				v.Thresholds[i].ValidUntil.Time = time.Time{}
			}
			v.Thresholds[i].Name = "changed"
		}
		for i := range v.Safeguards {
			by := v.Safeguards[i].RequiredBy
			v.Safeguards[i].RequiredBy = append(by, "more")
			by[0] = "changed"
		}
		if diff := cmp.Diff(before, in); diff != "" {
			t.Fatalf("(-before +after):\n%s", diff)
		}
	})
}

// TestAssessedAgreesWithTheVerdict holds that there is one account of what assessments say.
func TestAssessedAgreesWithTheVerdict(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		in := anyInput(t)
		if diff := cmp.Diff(decision.Decide(in).Thresholds, decision.Assessed(in)); diff != "" {
			t.Fatalf("(-verdict +assessed):\n%s", diff)
		}
	})
	if got := decision.Assessed(decision.Input{}); got != nil {
		t.Errorf("without a policy: %v", got)
	}
}
