package decision_test

import (
	"maps"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"pgregory.net/rapid"

	"github.com/interlock-dev/interlock/api/v1alpha1"
	"github.com/interlock-dev/interlock/internal/decision"
	"github.com/interlock-dev/interlock/internal/diff"
)

// anyFramework draws a policy with steps and a lease, and Safeguards each of which is verified in its own way.
func anyFramework(t *rapid.T) diff.Framework {
	f := diff.Framework{Policy: anyPolicy(t), Safeguards: map[string]v1alpha1.SafeguardSpec{}}
	if rapid.Bool().Draw(t, "has lease") {
		f.Policy.Spec.Lease = &metav1.Duration{Duration: time.Duration(rapid.IntRange(2, 100).Draw(t, "lease")) * time.Minute}
	}
	// All levels have the same steps: those of a level stand alone, so a higher one with later steps would be laxer there.
	if rapid.Bool().Draw(t, "has steps") {
		steps := someSteps(t)
		for i := range f.Policy.Spec.Levels {
			f.Policy.Spec.Levels[i].OnShortfall = steps
		}
	}
	for i, name := range safeguardNames {
		spec := v1alpha1.SafeguardSpec{Title: name, Remedy: "mend " + name}
		switch (i + rapid.IntRange(0, 3).Draw(t, "method")) % 4 {
		case 0:
			continue // it does not exist
		case 1:
			spec.PodRule = &v1alpha1.PodRule{}
			for _, e := range append(some(t, "expression", []string{"has(object.a)", "has(object.b)"}), "object.name == '"+name+"'") {
				spec.PodRule.Validations = append(spec.PodRule.Validations, v1alpha1.PodValidation{Expression: e, Message: name})
			}
		case 2:
			spec.Resource = &v1alpha1.ResourceRule{Egress: &v1alpha1.EgressRule{AllowedCIDRs: append(some(t, "range", []string{"10.0.0.0/8"}), "192.0.2."+name[1:]+"/32")}}
		case 3:
			spec.Evidence = &v1alpha1.EvidenceRule{PredicateType: "urn:" + name, Issuer: "team"}
			if rapid.Bool().Draw(t, "ages") {
				spec.Evidence.MaxAgeDays = new(rapid.Int32Range(1, 365).Draw(t, "days"))
			}
		}
		f.Safeguards[name] = spec
	}
	return f
}

// someSteps draws steps of all actions.
func someSteps(t *rapid.T) []v1alpha1.ShortfallStep {
	var steps []v1alpha1.ShortfallStep
	for _, action := range shortfallActions {
		if rapid.Bool().Draw(t, "has "+string(action)) {
			steps = append(steps, aStep(t, action))
		}
	}
	return steps
}

// shortfallActions are all that the API takes.
var shortfallActions = []v1alpha1.ShortfallAction{
	v1alpha1.ShortfallWarn, v1alpha1.ShortfallHold, v1alpha1.ShortfallIsolate, v1alpha1.ShortfallEvict, v1alpha1.ShortfallStop}

func aStep(t *rapid.T, action v1alpha1.ShortfallAction) v1alpha1.ShortfallStep {
	step := v1alpha1.ShortfallStep{Action: action}
	if action != v1alpha1.ShortfallHold {
		step.After = hours(rapid.IntRange(0, 5).Draw(t, "after"))
	}
	if action == v1alpha1.ShortfallEvict && rapid.Bool().Draw(t, "by force") {
		step.ForceAfter = hours(rapid.IntRange(5, 9).Draw(t, "force after"))
	}
	return step
}

func aStandardIn(t *rapid.T, f *diff.Framework) *v1alpha1.Standard {
	l := &f.Policy.Spec.Levels[rapid.IntRange(0, len(f.Policy.Spec.Levels)-1).Draw(t, "level")]
	return pick(t, "axis", []*v1alpha1.Standard{&l.Deployment, &l.Security})
}

func aThresholdIn(t *rapid.T, f *diff.Framework) *v1alpha1.Threshold {
	if len(f.Policy.Spec.Thresholds) == 0 {
		return &v1alpha1.Threshold{}
	}
	return &f.Policy.Spec.Thresholds[rapid.IntRange(0, len(f.Policy.Spec.Thresholds)-1).Draw(t, "threshold")]
}

func rulesIn(f *diff.Framework) *v1alpha1.AssessmentRules {
	if f.Policy.Spec.Assessment == nil {
		f.Policy.Spec.Assessment = &v1alpha1.AssessmentRules{}
	}
	return f.Policy.Spec.Assessment
}

// stricter lists ways to make a framework stricter.
var stricter = map[string]func(*rapid.T, *diff.Framework){
	"an obligation more": func(t *rapid.T, f *diff.Framework) {
		s := aStandardIn(t, f)
		s.Safeguards, s.NotRequired = append(s.Safeguards, anObligationOf(t, pick(t, "safeguard", append(safeguardNames, "s5")))), ""
	},
	"an obligation of a threshold more": func(t *rapid.T, f *diff.Framework) {
		th := aThresholdIn(t, f)
		th.Safeguards = append(th.Safeguards, anObligationOf(t, pick(t, "safeguard", append(safeguardNames, "s5"))))
	},
	"a demand more": func(t *rapid.T, f *diff.Framework) {
		th := aThresholdIn(t, f)
		th.Demands = append(th.Demands, v1alpha1.ThresholdDemand{Axis: v1alpha1.AxisSecurity, Level: pick(t, "level", f.Policy.Spec.Levels).Name, Force: pick(t, "force", anyForce)})
	},
	"a threshold more": func(t *rapid.T, f *diff.Framework) {
		f.Policy.Spec.Thresholds = append(f.Policy.Spec.Thresholds, v1alpha1.Threshold{Name: "New", Safeguards: someObligations(t),
			Demands: []v1alpha1.ThresholdDemand{{Axis: v1alpha1.AxisSecurity, Level: pick(t, "level", f.Policy.Spec.Levels).Name}}})
	},
	"a force that holds": func(t *rapid.T, f *diff.Framework) {
		s := aStandardIn(t, f)
		for i := range s.Safeguards {
			s.Safeguards[i].Force = v1alpha1.ForceLaw
		}
	},
	"a better proof": func(t *rapid.T, f *diff.Framework) {
		s := aStandardIn(t, f)
		for i := range s.Safeguards {
			at := slices.Index(anyStrength, s.Safeguards[i].MinimumStrength)
			s.Safeguards[i].MinimumStrength = pick(t, "strength", anyStrength[at:])
		}
	},
	"all audiences": func(t *rapid.T, f *diff.Framework) {
		s := aStandardIn(t, f)
		for i := range s.Safeguards {
			s.Safeguards[i].Audiences = nil
		}
	},
	"a standard left open": func(t *rapid.T, f *diff.Framework) {
		s := aStandardIn(t, f)
		s.Unspecified, s.NotRequired = "there is more", ""
	},
	"a threshold left open": func(t *rapid.T, f *diff.Framework) { aThresholdIn(t, f).Unspecified = "there is more" },
	"a higher baseline": func(t *rapid.T, f *diff.Framework) {
		at := slices.IndexFunc(f.Policy.Spec.Levels, func(l v1alpha1.Level) bool { return l.Name == f.Policy.Spec.BaselineLevel })
		f.Policy.Spec.BaselineLevel = pick(t, "baseline", f.Policy.Spec.Levels[at:]).Name
	},
	"a level more": func(t *rapid.T, f *diff.Framework) {
		at := rapid.IntRange(0, len(f.Policy.Spec.Levels)).Draw(t, "at")
		l := v1alpha1.Level{Name: "New", Deployment: aStandardOf(t), Security: aStandardOf(t), OnShortfall: f.Policy.Spec.Levels[max(0, at-1)].OnShortfall}
		f.Policy.Spec.Levels = slices.Insert(f.Policy.Spec.Levels, at, l)
	},
	"a shorter lease": func(_ *rapid.T, f *diff.Framework) {
		f.Policy.Spec.Lease = &metav1.Duration{Duration: 90 * time.Second}
	},
	"eviction at once, at every level": func(_ *rapid.T, f *diff.Framework) {
		for i := range f.Policy.Spec.Levels {
			l := &f.Policy.Spec.Levels[i]
			l.OnShortfall = append(slices.Clone(l.OnShortfall), evict(nil, hours(0))...)
		}
	},
	"a step more, at every level": func(t *rapid.T, f *diff.Framework) {
		step := aStep(t, pick(t, "action", shortfallActions))
		for i := range f.Policy.Spec.Levels {
			l := &f.Policy.Spec.Levels[i]
			l.OnShortfall = append(slices.Clone(l.OnShortfall), step)
		}
	},
	"assessments count for a month": func(_ *rapid.T, f *diff.Framework) { rulesIn(f).MaxAgeMonths = new(int32(1)) },
	"assessments count for the same model only": func(_ *rapid.T, f *diff.Framework) {
		rulesIn(f).MaxComputeFactor = new(int32(1))
	},
	"held unassessed":       func(_ *rapid.T, f *diff.Framework) { rulesIn(f).Unassessed = v1alpha1.TreatHold },
	"held stale":            func(_ *rapid.T, f *diff.Framework) { rulesIn(f).Stale = v1alpha1.TreatHold },
	"held inconclusive":     func(_ *rapid.T, f *diff.Framework) { rulesIn(f).Inconclusive = v1alpha1.TreatHold },
	"nothing is superseded": func(_ *rapid.T, f *diff.Framework) { rulesIn(f).Supersession = v1alpha1.SupersedeNever },
	"one more expression": func(t *rapid.T, f *diff.Framework) {
		change(f, pick(t, "safeguard", safeguardNames), func(s *v1alpha1.SafeguardSpec) {
			if s.PodRule != nil {
				s.PodRule.Validations = append(s.PodRule.Validations, v1alpha1.PodValidation{Expression: "has(object.c)"})
			}
		})
	},
	"no traffic at all": func(t *rapid.T, f *diff.Framework) {
		change(f, pick(t, "safeguard", safeguardNames), func(s *v1alpha1.SafeguardSpec) {
			if s.Resource != nil {
				s.Resource.Egress.AllowedCIDRs = nil
			}
		})
	},
	"fresh evidence": func(t *rapid.T, f *diff.Framework) {
		change(f, pick(t, "safeguard", safeguardNames), func(s *v1alpha1.SafeguardSpec) {
			if s.Evidence != nil {
				s.Evidence.MaxAgeDays = new(int32(1))
			}
		})
	},
	"a safeguard that cannot be verified": func(t *rapid.T, f *diff.Framework) { delete(f.Safeguards, pick(t, "safeguard", safeguardNames)) },
}

func TestDiffOfTheSameIsEmpty(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		f := anyFramework(t)
		other := copyOf(f)
		spec := &other.Policy.Spec
		spec.Thresholds = shuffled(t, spec.Thresholds)
		for i := range spec.Thresholds {
			spec.Thresholds[i].Demands, spec.Thresholds[i].Safeguards = shuffled(t, spec.Thresholds[i].Demands), shuffled(t, spec.Thresholds[i].Safeguards)
		}
		for i := range spec.Levels {
			l := &spec.Levels[i]
			for _, s := range []*v1alpha1.Standard{&l.Deployment, &l.Security} {
				s.Safeguards = shuffled(t, s.Safeguards)
				for j := range s.Safeguards {
					if o := &s.Safeguards[j]; o.Force == "" {
						o.Force = v1alpha1.ForceBinding // as the API fills it in
					}
				}
			}
		}
		if spec.Lease == nil {
			spec.Lease = hours(1)
		}
		for name := range other.Safeguards {
			change(&other, name, func(s *v1alpha1.SafeguardSpec) {
				if s.PodRule != nil {
					s.PodRule.Validations = shuffled(t, s.PodRule.Validations)
				}
			})
		}
		if changes := diff.Compare(f, other); len(changes) > 0 {
			t.Fatalf("%s", strings.Join(lines(changes), "\n"))
		}
	})
}

// TestDiffMirrors compares frameworks that have nothing to do with each other, and such as differ a little, both ways.
func TestDiffMirrors(t *testing.T) {
	mirror := map[diff.Effect]diff.Effect{
		diff.Weakens: diff.Strengthens, diff.Strengthens: diff.Weakens, diff.Neutral: diff.Neutral}
	rapid.Check(t, func(t *rapid.T) {
		before := anyFramework(t)
		after := anyFramework(t)
		if rapid.Bool().Draw(t, "related") {
			after = copyOf(before)
			for _, name := range some(t, "stricter", slices.Sorted(maps.Keys(stricter))) {
				stricter[name](t, &after)
			}
		}
		var want []string
		for _, c := range diff.Compare(before, after) {
			c.Before, c.After, c.Effect, c.Why = c.After, c.Before, mirror[c.Effect], ""
			want = append(want, lines([]diff.Change{c})...)
		}
		var got []string
		for _, c := range diff.Compare(after, before) {
			c.Why = ""
			got = append(got, lines([]diff.Change{c})...)
		}
		slices.Sort(want)
		slices.Sort(got)
		if diff := cmp.Diff(want, got); diff != "" {
			t.Fatalf("(-mirrored +the other way round):\n%s", diff)
		}
	})
}

func TestStricterNeverWeakens(t *testing.T) {
	for name, change := range stricter {
		t.Run(name, func(t *testing.T) {
			rapid.Check(t, func(t *rapid.T) {
				before := anyFramework(t)
				after := copyOf(before)
				change(t, &after)
				if there := diff.Compare(before, after); count(there, diff.Weakens) > 0 {
					t.Fatalf("made stricter:\n%s", strings.Join(lines(there), "\n"))
				}
				if back := diff.Compare(after, before); count(back, diff.Strengthens) > 0 {
					t.Fatalf("taken back:\n%s", strings.Join(lines(back), "\n"))
				}
			})
		})
	}
}

// TestStricterStrengthens is the other side: each way of being stricter is seen.
func TestStricterStrengthens(t *testing.T) {
	for name, change := range stricter {
		t.Run(name, func(t *testing.T) {
			seen := 0
			for seed := 0; seed < 500 && seen == 0; seed++ {
				rapid.Custom(func(t *rapid.T) int {
					before := anyFramework(t)
					after := copyOf(before)
					change(t, &after)
					seen += count(diff.Compare(before, after), diff.Strengthens)
					return 0
				}).Example(seed)
			}
			if seen == 0 {
				t.Error("never seen as stricter")
			}
		})
	}
}

// TestWhatDoesNotWeakenClearsNoModel puts drawn models to both policies: where no change weakens, none is cleared that was
// not, and none is asked for less unless no safeguard clears it. This holds the comparison to the decision itself.
func TestWhatDoesNotWeakenClearsNoModel(t *testing.T) {
	tightened := false
	check := func(t *rapid.T) int {
		in := anyInput(t)
		before := diff.Framework{Policy: in.Policy}
		after := copyOf(before)
		for range rapid.IntRange(1, 4).Draw(t, "changes") {
			change := stricter[pick(t, "stricter", slices.Sorted(maps.Keys(stricter)))]
			if onceIn(t, 3, "laxer") { // taken back from what there was
				laxer := copyOf(after)
				change(t, &laxer)
				before, after = laxer, before
				in.Policy = before.Policy
			} else {
				change(t, &after)
			}
		}
		if count(diff.Compare(before, after), diff.Weakens) > 0 {
			return 0
		}
		then := in
		then.Policy = after.Policy
		was, is := decision.Decide(in), decision.Decide(then)
		if was.Reason == v1alpha1.ReasonLevelUnknown || is.Reason == v1alpha1.ReasonLevelUnknown {
			return 0 // it must declare another level first
		}
		tightened = tightened || !is.Cleared() && was.Cleared()
		if is.Cleared() && !was.Cleared() && was.Required > 0 {
			t.Fatalf("cleared, from\n%sto\n%swith\n%s", told(was), told(is), strings.Join(lines(diff.Compare(before, after)), "\n"))
		}
		if is.Reason != v1alpha1.ReasonCleared && is.Reason != v1alpha1.ReasonSafeguardsMissing {
			return 0 // no safeguard clears it
		}
		for _, name := range was.Rules() {
			if !slices.Contains(is.Rules(), name) {
				t.Fatalf("%s is asked for no longer, from\n%sto\n%s", name, told(was), told(is))
			}
		}
		return 0
	}
	rapid.Check(t, func(t *rapid.T) { check(t) })
	for seed := 0; !tightened; seed++ { // the same each time, while those above may all be of little use
		if seed == 1000 {
			t.Fatal("no model was held in the end that was cleared before")
		}
		rapid.Custom(check).Example(seed)
	}
}
