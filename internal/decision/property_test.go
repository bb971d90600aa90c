package decision_test

import (
	"slices"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"

	"github.com/interlock-dev/interlock/api/v1alpha1"
	"github.com/interlock-dev/interlock/internal/decision"
)

// TestSameInputSameBytes decides again with everything put in another order, on a clock of another place.
func TestSameInputSameBytes(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		in := drawInput(t)
		want := bytes(t, decision.Decide(in))
		other := copied(in)
		for i := range other.Policy.Spec.Levels {
			l := &other.Policy.Spec.Levels[i]
			for _, s := range []*v1alpha1.Standard{&l.Deployment, &l.Security} {
				if s.Safeguards != nil {
					s.Safeguards = rapid.Permutation(s.Safeguards).Draw(t, "order")
				}
			}
		}
		zone := time.FixedZone("elsewhere", rapid.IntRange(-12, 14).Draw(t, "hours from UTC")*3600)
		other.Now = other.Now.In(zone)
		for name, f := range other.Findings {
			if !f.ValidUntil.IsZero() {
				f.ValidUntil = f.ValidUntil.In(zone)
				other.Findings[name] = f
			}
		}
		if diff := cmp.Diff(want, bytes(t, decision.Decide(other))); diff != "" {
			t.Fatalf("in another order (-first +second):\n%s", diff)
		}
		if diff := cmp.Diff(want, bytes(t, decision.Decide(in))); diff != "" {
			t.Fatalf("decided twice (-first +second):\n%s", diff)
		}
	})
}

func TestInputIsNotMutated(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		in := drawInput(t)
		before := copied(in)
		v := decision.Decide(in)
		decision.AskedOf(in)
		decision.OnShortfall(in.Policy, now, in.Now, in.Model.Spec.AssessedLevel)
		decision.Digest(in.Policy, nil)
		for i := range v.Safeguards { // nor is the input reached through the verdict
			v.Safeguards[i].RequiredBy[0] = "changed"
			if v.Safeguards[i].ValidUntil != nil {
				v.Safeguards[i].ValidUntil.Time = time.Time{}
			}
		}
		if diff := cmp.Diff(before, in); diff != "" {
			t.Fatalf("input (-before +after):\n%s", diff)
		}
	})
}

// TestAgreesWithPlainReading compares the verdict with the rules written down once more, as simply as can be: one
// obligation after the other, nothing merged.
func TestAgreesWithPlainReading(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		in := drawInput(t)
		v := decision.Decide(in)
		if want := clearedByPlainReading(in); v.Cleared() != want {
			t.Fatalf("cleared: %v, want %v\n%s", v.Cleared(), want, text(v))
		}
		want := v1alpha1.OutcomeHeld
		switch {
		case v.Cleared():
			want = v1alpha1.OutcomeCleared
		case in.AdmittedPods > 0:
			want = v1alpha1.OutcomeRevoked
		}
		if v.Outcome != want {
			t.Fatalf("outcome %s, want %s", v.Outcome, want)
		}
	})
}

func clearedByPlainReading(in decision.Input) bool {
	place := func(name string) int {
		return slices.IndexFunc(in.Policy.Spec.Levels, func(l v1alpha1.Level) bool { return l.Name == name })
	}
	declared, baseline := place(in.Model.Spec.AssessedLevel), place(in.Policy.Spec.BaselineLevel)
	if declared < 0 || baseline < 0 {
		return false
	}
	var asked []v1alpha1.Obligation
	for _, l := range in.Policy.Spec.Levels[:max(declared, baseline)+1] {
		for _, s := range []v1alpha1.Standard{l.Deployment, l.Security} {
			if s.Unspecified != "" || len(s.Safeguards) == 0 && s.NotRequired == "" {
				return false
			}
			asked = append(asked, s.Safeguards...)
		}
	}
	var holding []string
	for _, o := range asked {
		if o.Force != v1alpha1.ForceDiscretionary && o.Force != v1alpha1.ForceRecommendation {
			holding = append(holding, o.Safeguard)
		}
	}
	for _, o := range asked {
		f, found := in.Findings[o.Safeguard]
		met := found && f.State == v1alpha1.SafeguardSatisfied &&
			(f.ValidUntil.IsZero() || in.Now.Before(f.ValidUntil.Truncate(time.Second))) &&
			(o.MinimumStrength == "" || slices.Index(strengths, f.Strength) >= slices.Index(strengths, o.MinimumStrength))
		if slices.Contains(holding, o.Safeguard) && !met {
			return false
		}
	}
	return len(holding) > 0
}

// TestNotKnowingIsNotClearance takes one thing that is known away from a model that is cleared.
func TestNotKnowingIsNotClearance(t *testing.T) {
	aHolding := func(t *rapid.T, in decision.Input) string {
		return oneOf(t, "safeguard", decision.Decide(in).Rules()...)
	}
	change := func(in *decision.Input, name string, change func(*decision.Finding)) {
		f := in.Findings[name]
		change(&f)
		in.Findings[name] = f
	}
	aStandard := func(t *rapid.T, in *decision.Input) *v1alpha1.Standard {
		level := decision.Decide(*in).DeploymentLevel
		top := slices.IndexFunc(in.Policy.Spec.Levels, func(l v1alpha1.Level) bool { return l.Name == level })
		l := &in.Policy.Spec.Levels[rapid.IntRange(0, top).Draw(t, "level")]
		if rapid.Bool().Draw(t, "security") {
			return &l.Security
		}
		return &l.Deployment
	}
	for name, forget := range map[string]func(*rapid.T, *decision.Input){
		"policy":      func(_ *rapid.T, in *decision.Input) { in.Policy = nil },
		"model":       func(_ *rapid.T, in *decision.Input) { in.Model = nil },
		"no finding":  func(_ *rapid.T, in *decision.Input) { in.Findings = nil },
		"one finding": func(t *rapid.T, in *decision.Input) { delete(in.Findings, aHolding(t, *in)) },
		"what a finding says": func(t *rapid.T, in *decision.Input) {
			change(in, aHolding(t, *in), func(f *decision.Finding) {
				f.State = oneOf(t, "state", "", v1alpha1.SafeguardUnknown, "satisfied", "Lost")
			})
		},
		"that a finding is not over": func(t *rapid.T, in *decision.Input) {
			change(in, aHolding(t, *in), func(f *decision.Finding) { f.ValidUntil = in.Now })
		},
		"the declared level": func(t *rapid.T, in *decision.Input) {
			in.Model.Spec.AssessedLevel = oneOf(t, "level", "", "asl-3", "ASL-3 ", "ASL-9")
		},
		"the baseline": func(t *rapid.T, in *decision.Input) { in.Policy.Spec.BaselineLevel = oneOf(t, "baseline", "", "ASL-9") },
		"the levels":   func(_ *rapid.T, in *decision.Input) { in.Policy.Spec.Levels = nil },
		"a standard":   func(t *rapid.T, in *decision.Input) { *aStandard(t, in) = v1alpha1.Standard{} },
		"a standard, and it is said so": func(t *rapid.T, in *decision.Input) {
			aStandard(t, in).Unspecified = "not yet"
		},
		"all that binds": func(t *rapid.T, in *decision.Input) {
			for i := range in.Policy.Spec.Levels {
				l := &in.Policy.Spec.Levels[i]
				for _, s := range []*v1alpha1.Standard{&l.Deployment, &l.Security} {
					*s = v1alpha1.Standard{NotRequired: "lost"}
				}
			}
		},
		"how much it binds": func(t *rapid.T, in *decision.Input) {
			delete(in.Findings, aHolding(t, *in))
			for i := range in.Policy.Spec.Levels {
				l := &in.Policy.Spec.Levels[i]
				for _, s := range []*v1alpha1.Standard{&l.Deployment, &l.Security} {
					for j := range s.Safeguards {
						s.Safeguards[j].Force = "Hallowed"
					}
				}
			}
		},
		"how well a safeguard must be shown": func(t *rapid.T, in *decision.Input) {
			s := aStandard(t, in)
			s.Safeguards = append(s.Safeguards, v1alpha1.Obligation{Safeguard: aHolding(t, *in), MinimumStrength: "Hallowed"})
		},
	} {
		t.Run(name, func(t *testing.T) {
			rapid.Check(t, func(t *rapid.T) {
				in := copied(drawCleared(t))
				forget(t, &in)
				if v := decision.Decide(in); v.Cleared() || !v.ValidUntil.IsZero() {
					t.Fatalf("cleared without knowing:\n%s", text(v))
				}
			})
		})
	}
}

// worse lists what makes an input worse: evidence of safety lost, evidence of danger found, more asked. None may turn a
// model that is not cleared into one that is.
var worse = map[string]func(*rapid.T, *decision.Input){
	"a finding is lost": func(t *rapid.T, in *decision.Input) { delete(in.Findings, oneOf(t, "lost", names...)) },
	"a finding is worse": func(t *rapid.T, in *decision.Input) {
		name := oneOf(t, "worse", names...)
		if f, ok := in.Findings[name]; ok {
			f.State = oneOf(t, "state", states[1:]...)
			in.Findings[name] = f
		}
	},
	"a finding is weaker": func(t *rapid.T, in *decision.Input) {
		name := oneOf(t, "weaker", names...)
		if f, ok := in.Findings[name]; ok {
			f.Strength = strengths[rapid.IntRange(0, max(0, slices.Index(strengths, f.Strength))).Draw(t, "strength")]
			in.Findings[name] = f
		}
	},
	"a finding ends sooner": func(t *rapid.T, in *decision.Input) {
		name := oneOf(t, "sooner", names...)
		f, ok := in.Findings[name]
		if at := drawTime(t, "end"); ok && (f.ValidUntil.IsZero() || at.Before(f.ValidUntil)) {
			f.ValidUntil = at
			in.Findings[name] = f
		}
	},
	"time passes": func(t *rapid.T, in *decision.Input) {
		in.Now = in.Now.Add(time.Duration(rapid.Int64Range(0, int64(48*time.Hour)).Draw(t, "passed")))
	},
	"the declared level is higher": func(t *rapid.T, in *decision.Input) {
		if i := place(in.Policy, in.Model.Spec.AssessedLevel); i >= 0 {
			in.Model.Spec.AssessedLevel = oneOf(t, "declared", in.Policy.Spec.Levels[i:]...).Name
		}
	},
	"the baseline is higher": func(t *rapid.T, in *decision.Input) {
		if i := place(in.Policy, in.Policy.Spec.BaselineLevel); i >= 0 {
			in.Policy.Spec.BaselineLevel = oneOf(t, "baseline", in.Policy.Spec.Levels[i:]...).Name
		}
	},
	"more is asked": func(t *rapid.T, in *decision.Input) {
		if s := aFilledStandard(t, in.Policy); s != nil {
			s.Safeguards = append(s.Safeguards, drawObligation(t))
		}
	},
	"it binds more": func(t *rapid.T, in *decision.Input) {
		if o := anObligation(t, in.Policy); o != nil {
			o.Force = forces[rapid.IntRange(slices.Index(forces, o.Force), len(forces)-1).Draw(t, "force")]
		}
	},
	"it must be shown better": func(t *rapid.T, in *decision.Input) {
		if o := anObligation(t, in.Policy); o != nil {
			o.MinimumStrength = strengths[rapid.IntRange(slices.Index(strengths, o.MinimumStrength), len(strengths)-1).Draw(t, "minimum")]
		}
	},
	"a level comes in between": func(t *rapid.T, in *decision.Input) {
		at := rapid.IntRange(0, len(in.Policy.Spec.Levels)).Draw(t, "at")
		in.Policy.Spec.Levels = slices.Insert(in.Policy.Spec.Levels, at, newLevel("ASL-new", drawStandard(t), drawStandard(t)))
	},
	"a standard turns out to be open": func(t *rapid.T, in *decision.Input) {
		if s := aFilledStandard(t, in.Policy); s != nil {
			s.Unspecified = "not yet"
		}
	},
}

func place(policy *v1alpha1.ScalingPolicy, level string) int {
	return slices.IndexFunc(policy.Spec.Levels, func(l v1alpha1.Level) bool { return l.Name == level })
}

// aFilledStandard is one that asks for something: saying for the first time what a standard asks is no more and no less
// than was asked before.
func aFilledStandard(t *rapid.T, policy *v1alpha1.ScalingPolicy) *v1alpha1.Standard {
	l := &policy.Spec.Levels[rapid.IntRange(0, len(policy.Spec.Levels)-1).Draw(t, "level")]
	s := oneOf(t, "axis", &l.Deployment, &l.Security)
	if len(s.Safeguards) == 0 {
		return nil
	}
	return s
}

func anObligation(t *rapid.T, policy *v1alpha1.ScalingPolicy) *v1alpha1.Obligation {
	s := aFilledStandard(t, policy)
	if s == nil {
		return nil
	}
	return &s.Safeguards[rapid.IntRange(0, len(s.Safeguards)-1).Draw(t, "obligation")]
}

// TestWorseNeverClears leaves out models of which nothing that binds was asked: those are held for that very reason, and
// asking for something that is in place ends it.
func TestWorseNeverClears(t *testing.T) {
	for name, worsen := range worse {
		t.Run(name, func(t *testing.T) {
			rapid.Check(t, func(t *rapid.T) {
				in := drawInput(t)
				before := decision.Decide(in)
				worsened := copied(in)
				worsen(t, &worsened)
				after := decision.Decide(worsened)
				if after.Cleared() && !before.Cleared() && before.Required > 0 {
					t.Fatalf("from\n%sto\n%s", text(before), text(after))
				}
			})
		})
	}
}

// TestWorseRevokes is the other side of TestWorseNeverClears: each way of being worse does end some clearance, so that
// none of them passes for doing nothing.
func TestWorseRevokes(t *testing.T) {
	for name, worsen := range worse {
		t.Run(name, func(t *testing.T) {
			cleared, ended := 0, 0
			for seed := range 3000 {
				rapid.Custom(func(t *rapid.T) int {
					in := drawInput(t)
					if !decision.Decide(in).Cleared() {
						return 0
					}
					cleared++
					worsen(t, &in)
					if !decision.Decide(in).Cleared() {
						ended++
					}
					return 0
				}).Example(seed)
			}
			if ended == 0 {
				t.Errorf("ended none of %d clearances", cleared)
			}
		})
	}
}
