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

// digested decides under a framework and gives the digest of what was used.
func digested(in decision.Input, f diff.Framework) string {
	in.Policy = f.Policy
	in.Specs = map[string]string{}
	for name, spec := range f.Safeguards {
		in.Specs[name] = decision.SpecDigest(&spec)
	}
	return decision.DigestUsed(in, decision.Decide(in))
}

// TestDigestOfWhatIsUsed changes one thing after the other in the framework of a model at ASL-2, served to everybody, of
// which CBRN-3 was reached and the rest ruled out: it is asked for ASL-3 on both axes.
func TestDigestOfWhatIsUsed(t *testing.T) {
	const general, trusted = v1alpha1.AudienceGeneral, v1alpha1.AudienceTrustedUsers
	for name, tc := range map[string]struct {
		change func(*diff.Framework)
		bears  bool
	}{
		"nothing":                 {func(*diff.Framework) {}, false},
		"the policy's name":       {func(f *diff.Framework) { f.Policy.Name = "other" }, true},
		"title, source, versions": {func(f *diff.Framework) { f.Policy.Spec.Title, f.Policy.Spec.Source.Version = "RSP 2", "2" }, false},
		"metadata and status": {func(f *diff.Framework) {
			f.Policy.ResourceVersion, f.Policy.Generation, f.Policy.Status.Digest = "9", 9, "sha256:x"
		}, false},
		"sign-offs and changelog": {func(f *diff.Framework) {
			f.Policy.Spec.SignOffs = []v1alpha1.SignOff{{Role: "RSO", Purpose: "approves"}}
			f.Policy.Spec.Changelog = []v1alpha1.ChangelogEntry{{Version: "2", Date: "2026-05-14", Summary: "reworded"}}
		}, false},
		"sources": {func(f *diff.Framework) {
			f.Policy.Spec.Levels[0].Security.Safeguards[0].Source = &v1alpha1.Source{Document: "RSP"}
		}, false},
		"the lease":                      {func(f *diff.Framework) { f.Policy.Spec.Lease = hours(2) }, true},
		"the lease, as it is by default": {func(f *diff.Framework) { f.Policy.Spec.Lease = hours(1) }, false},
		"the baseline":                   {func(f *diff.Framework) { f.Policy.Spec.BaselineLevel = "ASL-3" }, true},
		"an obligation less at the baseline": {func(f *diff.Framework) {
			f.Policy.Spec.Levels[0].Security = v1alpha1.Standard{NotRequired: "not any more"}
		}, true},
		"an obligation more at the highest level that is asked for": {func(f *diff.Framework) {
			s := &f.Policy.Spec.Levels[1].Security
			s.Safeguards = append(s.Safeguards, obligation("vetting"))
		}, true},
		"an obligation to another audience": {func(f *diff.Framework) {
			s := &f.Policy.Spec.Levels[1].Security
			s.Safeguards = append(s.Safeguards, v1alpha1.Obligation{Safeguard: "new", Audiences: []v1alpha1.Audience{trusted}})
		}, false},
		"an obligation to this audience": {func(f *diff.Framework) {
			s := &f.Policy.Spec.Levels[1].Security
			s.Safeguards = append(s.Safeguards, v1alpha1.Obligation{Safeguard: "new", Audiences: []v1alpha1.Audience{trusted, general}})
		}, true},
		"an obligation of a higher level": {func(f *diff.Framework) {
			f.Policy.Spec.Levels[2].Security = v1alpha1.Standard{Safeguards: []v1alpha1.Obligation{obligation("vetting")}}
		}, false},
		"a level above": {func(f *diff.Framework) {
			f.Policy.Spec.Levels = append(f.Policy.Spec.Levels, v1alpha1.Level{Name: "ASL-5"})
		}, false},
		"a level below": {func(f *diff.Framework) {
			f.Policy.Spec.Levels = slices.Insert(f.Policy.Spec.Levels, 0, v1alpha1.Level{Name: "ASL-1"})
		}, true},
		"a force": {func(f *diff.Framework) { f.Policy.Spec.Levels[0].Security.Safeguards[0].Force = v1alpha1.ForceLaw }, true},
		"a force, as by default": {func(f *diff.Framework) {
			f.Policy.Spec.Levels[0].Security.Safeguards[0].Force = v1alpha1.ForceBinding
		}, false},
		"a minimum of strength": {func(f *diff.Framework) {
			f.Policy.Spec.Levels[0].Security.Safeguards[0].MinimumStrength = v1alpha1.StrengthObserved
		}, true},
		"what is left open":       {func(f *diff.Framework) { f.Policy.Spec.Levels[1].Security.Unspecified = "there is more" }, true},
		"what is left open above": {func(f *diff.Framework) { f.Policy.Spec.Levels[2].Security.Unspecified = "there is more" }, false},
		"why nothing is required": {func(f *diff.Framework) { f.Policy.Spec.Levels[2].Deployment.NotRequired = "other words" }, false},
		"a step of this level":    {func(f *diff.Framework) { f.Policy.Spec.Levels[1].OnShortfall = evict(hours(1), nil) }, true},
		"a warning":               {func(f *diff.Framework) { f.Policy.Spec.Levels[1].OnShortfall = stepsOfKind(v1alpha1.ShortfallWarn) }, true},
		"isolation": {func(f *diff.Framework) {
			f.Policy.Spec.Levels[1].OnShortfall = stepsOfKind(v1alpha1.ShortfallIsolate)
		}, true},
		"a stop":                        {func(f *diff.Framework) { f.Policy.Spec.Levels[1].OnShortfall = stepsOfKind(v1alpha1.ShortfallStop) }, true},
		"a hold, which changes nothing": {func(f *diff.Framework) { f.Policy.Spec.Levels[1].OnShortfall = stepsOfKind(v1alpha1.ShortfallHold) }, false},
		"a step of a higher level":      {func(f *diff.Framework) { f.Policy.Spec.Levels[2].OnShortfall = evict(hours(1), nil) }, false},
		"how long assessments count":    {func(f *diff.Framework) { f.Policy.Spec.Assessment.MaxAgeMonths = new(int32(7)) }, true},
		"that growth counts":            {func(f *diff.Framework) { f.Policy.Spec.Assessment.MaxComputeFactor = new(int32(4)) }, true},
		"what the unassessed get":       {func(f *diff.Framework) { f.Policy.Spec.Assessment.Unassessed = v1alpha1.TreatHold }, true},
		"the same, as by default":       {func(f *diff.Framework) { f.Policy.Spec.Assessment.Unassessed = v1alpha1.TreatAsReached }, false},
		"what supersedes":               {func(f *diff.Framework) { f.Policy.Spec.Assessment.Supersession = v1alpha1.SupersedeNever }, true},
		"the definition of a threshold": {func(f *diff.Framework) { threshold(f, "CBRN-4").Definition = "cannot do it" }, true},
		"its domain and source": {func(f *diff.Framework) {
			threshold(f, "CBRN-4").Domain, threshold(f, "CBRN-4").Source.Section = "Bio", "2"
		}, false},
		"a threshold more": {func(f *diff.Framework) {
			f.Policy.Spec.Thresholds = append(f.Policy.Spec.Thresholds, v1alpha1.Threshold{Name: "New"})
		}, true},
		"a threshold less":                    {func(f *diff.Framework) { f.Policy.Spec.Thresholds = f.Policy.Spec.Thresholds[:4] }, true},
		"a demand of one that is reached":     {func(f *diff.Framework) { threshold(f, "CBRN-3").Demands[0].Force = v1alpha1.ForceLaw }, true},
		"one that counts only if it is found": {func(f *diff.Framework) { threshold(f, "CBRN-3").OnlyIfFound = new(true) }, true},
		"one ruled out that counts only so":   {func(f *diff.Framework) { threshold(f, "CBRN-4").OnlyIfFound = new(true) }, true},
		"a demand of one that is ruled out":   {func(f *diff.Framework) { threshold(f, "CBRN-4").Demands[0].Level = "ASL-3" }, false},
		"what is asked by one ruled out":      {func(f *diff.Framework) { threshold(f, "R&D-4").Safeguards = nil }, false},
		"what is left open by one ruled out":  {func(f *diff.Framework) { threshold(f, "R&D-4").Unspecified = "there is more" }, false},
		"what is left open by one reached":    {func(f *diff.Framework) { threshold(f, "CBRN-3").Unspecified = "there is more" }, true},
		"a safeguard by one reached": {func(f *diff.Framework) {
			threshold(f, "CBRN-3").Safeguards = []v1alpha1.Obligation{obligation("classifier")}
		}, true},
		"the order of things that have none": {func(f *diff.Framework) {
			slices.Reverse(f.Policy.Spec.Thresholds)
			slices.Reverse(threshold(f, "CBRN-3").Demands)
			slices.Reverse(f.Policy.Spec.Levels[1].Deployment.Safeguards)
		}, false},
		"an expression of a required Safeguard": {func(f *diff.Framework) {
			change(f, "classifier", func(s *v1alpha1.SafeguardSpec) { s.PodRule.Validations[0].Expression = "true" })
		}, true},
		"the remedy of a required Safeguard": {func(f *diff.Framework) {
			change(f, "classifier", func(s *v1alpha1.SafeguardSpec) { s.Remedy = "add it" })
		}, true},
		"a required Safeguard that is gone": {func(f *diff.Framework) { delete(f.Safeguards, "classifier") }, true},
		"a Safeguard that is not required": {func(f *diff.Framework) {
			change(f, "affirmative-case", func(s *v1alpha1.SafeguardSpec) { s.Evidence.Issuer = "anybody" })
		}, false},
		"a Safeguard for another audience": {func(f *diff.Framework) { delete(f.Safeguards, "vetting") }, false},
	} {
		t.Run(name, func(t *testing.T) {
			f := compared()
			in := assessed(f.Policy, filed("a", noon.AddDate(0, -1, 0), "CBRN-3 Reached", "CBRN-4 RuledOut", "R&D-4 RuledOut", "Cyber RuledOut", "Watched RuledOut"))
			before := digested(in, f)
			if len(before) != 71 || !strings.HasPrefix(before, "sha256:") {
				t.Fatalf("digest %q", before)
			}
			tc.change(&f)
			if after := digested(in, f); (after != before) != tc.bears {
				t.Errorf("changed: %v, want %v", after != before, tc.bears)
			}
		})
	}
}

func stepsOfKind(action v1alpha1.ShortfallAction) []v1alpha1.ShortfallStep {
	return []v1alpha1.ShortfallStep{{Action: action}}
}

// TestDigestGoesWithTheAudience holds that what is asked of trusted users bears on a model that is served to them.
func TestDigestGoesWithTheAudience(t *testing.T) {
	f := compared()
	in := assessed(f.Policy)
	in.Model.Spec.AssessedLevel, in.Model.Spec.Audience = "ASL-3", v1alpha1.AudienceTrustedUsers
	before := digested(in, f)
	delete(f.Safeguards, "vetting")
	if digested(in, f) == before {
		t.Error("it does not bear on the model")
	}
}

// TestDigestWithoutAVerdict holds what is given when hardly anything could be used.
func TestDigestWithoutAVerdict(t *testing.T) {
	f := compared()
	in := assessed(f.Policy)
	in.Model.Spec.AssessedLevel = "ASL-9"
	unknown := digested(in, f)
	f.Policy.Spec.Levels[2].Name = "ASL-9"
	if unknown == "" || digested(in, f) == unknown {
		t.Error("a level that is there now does not bear on a model whose level was not known")
	}
	none := in
	none.Model = nil
	if diff := cmp.Diff([]string{"", ""}, []string{digested(in, diff.Framework{}), digested(none, f)}); diff != "" {
		t.Errorf("without a policy, without a model (-want +got):\n%s", diff)
	}
}

// TestSameDigestSameVerdict changes a policy in all sorts of ways: a verdict that differs, or other steps on a shortfall,
// have another digest.
func TestSameDigestSameVerdict(t *testing.T) {
	same := 0
	rapid.Check(t, func(t *rapid.T) {
		in := anyInput(t)
		if rapid.Bool().Draw(t, "declares a level that is not there") && onceIn(t, 4, "indeed") {
			in.Model.Spec.AssessedLevel = "New"
		}
		f := anyFramework(t)
		f.Policy = in.Policy
		other := copyOf(f)
		for range rapid.IntRange(0, 2).Draw(t, "changes") {
			stricter[pick(t, "change", slices.Sorted(maps.Keys(stricter)))](t, &other)
		}
		if digested(in, f) != digested(in, other) {
			return
		}
		same++
		before := decision.Decide(in)
		then := in
		then.Policy = other.Policy
		after := decision.Decide(then)
		if diff := cmp.Diff(verbatim(t, before), verbatim(t, after)); diff != "" {
			t.Fatalf("(-before +after):\n%s", diff)
		}
		since := metav1.NewTime(noon)
		for passed := range 10 {
			at := since.Add(time.Duration(passed) * time.Hour)
			if diff := cmp.Diff(decision.OnShortfall(in.Policy, noon, at, before.DeploymentLevel, before.SecurityLevel),
				decision.OnShortfall(other.Policy, noon, at, after.DeploymentLevel, after.SecurityLevel)); diff != "" {
				t.Fatalf("on a shortfall, after %d h (-before +after):\n%s", passed, diff)
			}
		}
	})
	if same == 0 {
		t.Error("no two digests were the same")
	}
}

func BenchmarkDigestUsed(b *testing.B) {
	in := large(50, 20, 10)
	v := decision.Decide(in)
	in.Specs = map[string]string{}
	for _, name := range decision.Named(in.Policy) {
		in.Specs[name] = decision.SpecDigest(&v1alpha1.SafeguardSpec{Title: name})
	}
	b.ReportAllocs()
	for b.Loop() {
		decision.DigestUsed(in, v)
	}
}
