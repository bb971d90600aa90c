package decision_test

import (
	"slices"
	"strings"
	"testing"
	"time"
	"unicode"
	"unicode/utf8"

	"github.com/google/go-cmp/cmp"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"pgregory.net/rapid"

	"github.com/interlock-dev/interlock/api/v1alpha1"
	"github.com/interlock-dev/interlock/internal/decision"
)

// TestVerdictFitsTheAPI decides on texts that anybody may have written, and holds what is said to the limits of the
// ModelDeployment's status.
func TestVerdictFitsTheAPI(t *testing.T) {
	drawText := rapid.OneOf(rapid.String(), rapid.StringN(0, -1, 5000),
		rapid.SampledFrom([]string{"a\nb", "\x1b[31mred", "x\u202egnp.exe", "\xff\xfe", strings.Repeat("é", 2000), " \t ", "<script>"}))
	rapid.Check(t, func(t *rapid.T) {
		in := drawInput(t)
		for name, f := range in.Findings {
			f.Message, f.Remedy = drawText.Draw(t, "message"), drawText.Draw(t, "remedy")
			in.Findings[name] = f
		}
		if chance(t, "open standard", 3) {
			in.Policy.Spec.Levels[0].Deployment.Unspecified = drawText.Draw(t, "unspecified")
		}
		in.Model.Spec.AssessedLevel = rapid.OneOf(rapid.SampledFrom(levels), drawText).Draw(t, "assessed")
		v := decision.Decide(in)
		checkLine(t, "message", v.Message, 1, 1024)
		if len(v.SafeguardsMet()) > 20 {
			t.Fatalf("safeguardsMet %q", v.SafeguardsMet())
		}
		for _, s := range v.Safeguards {
			checkLine(t, "message of "+s.Name, s.Message, 0, 1024)
			checkLine(t, "remedy of "+s.Name, s.Remedy, 0, 300)
			if s.State == v1alpha1.SafeguardSatisfied && s.Remedy != "" {
				t.Fatalf("%s is satisfied, and yet: %s", s.Name, s.Remedy)
			}
			if !slices.Contains(states, s.State) {
				t.Fatalf("state %q", s.State)
			}
			if len(s.RequiredBy) < 1 || len(s.RequiredBy) > 32 {
				t.Fatalf("required by %q", s.RequiredBy)
			}
			for _, by := range s.RequiredBy {
				checkLine(t, "requiredBy", by, 1, 200)
			}
		}
		if !slices.IsSortedFunc(v.Safeguards, func(a, b v1alpha1.SafeguardResult) int { return strings.Compare(a.Name, b.Name) }) {
			t.Fatalf("not by name: %v", v.Safeguards)
		}
	})
}

func checkLine(t interface{ Fatalf(string, ...any) }, what, text string, least, most int) {
	odd := func(r rune) bool { return !unicode.IsPrint(r) }
	if len(text) < least || len(text) > most || !utf8.ValidString(text) || strings.ContainsFunc(text, odd) || text != strings.TrimSpace(text) {
		t.Fatalf("%s is no line of at most %d bytes: %q", what, most, text)
	}
}

func TestOneLine(t *testing.T) {
	for name, tc := range map[string]struct{ in, want string }{
		"as it is":            {"no policy selects it", "no policy selects it"},
		"lines":               {"one\ntwo\r\n\n  three\t\n", "one two three"},
		"separators of text":  {"one\u2028two\u0085three\u00a0four", "one two three four"},
		"a terminal's tricks": {"\x1b[31mred\x1b[0m \x07bell", "[31mred[0m bell"},
		"right to left":       {"cod\u202egpj.exe", "codgpj.exe"},
		"not UTF-8":           {"a\xffb", "a\ufffdb"},
		"just fits":           {strings.Repeat("x", 30), strings.Repeat("x", 30)},
		"too long":            {strings.Repeat("x", 31), strings.Repeat("x", 27) + "..."},
		"cut in a letter":     {strings.Repeat("é", 20), strings.Repeat("é", 13) + "..."},
	} {
		t.Run(name, func(t *testing.T) {
			got := decision.OneLine(tc.in, 30)
			if diff := cmp.Diff(tc.want, got); diff != "" {
				t.Errorf("line (-want +got):\n%s", diff)
			}
			if again := decision.OneLine(got, 30); again != got {
				t.Errorf("twice is not once: %q, then %q", got, again)
			}
		})
	}
}

func TestDigest(t *testing.T) {
	policy := newPolicy(newLevel("ASL-2", asks(binding("a"), binding("b")), nothing()), newLevel("ASL-3", nothing(), asks(binding("c"))))
	safeguard := func(name, remedy string) v1alpha1.Safeguard {
		return v1alpha1.Safeguard{ObjectMeta: metav1.ObjectMeta{Name: name}, Spec: v1alpha1.SafeguardSpec{Title: name, Remedy: remedy,
			PodRule: &v1alpha1.PodRule{Validations: []v1alpha1.PodValidation{{Expression: "true", Message: "m"}}}}}
	}
	all := []v1alpha1.Safeguard{safeguard("a", "do"), safeguard("b", "do"), safeguard("c", "do"), safeguard("unrelated", "do")}
	digest := decision.Digest(policy, all)
	if len(digest) != 71 || !strings.HasPrefix(digest, "sha256:") {
		t.Errorf("digest %q", digest)
	}
	onlyA, onlyB := safeguard("a", "do"), safeguard("a", "do")
	onlyB.Name = "b"
	if decision.Digest(policy, []v1alpha1.Safeguard{onlyA}) == decision.Digest(policy, []v1alpha1.Safeguard{onlyB}) {
		t.Error("it does not matter which of two Safeguards is missing")
	}
	for name, tc := range map[string]struct {
		change func(*v1alpha1.ScalingPolicy, *[]v1alpha1.Safeguard)
		same   bool
	}{
		"nothing":                        {func(*v1alpha1.ScalingPolicy, *[]v1alpha1.Safeguard) {}, true},
		"the order of Safeguards":        {func(_ *v1alpha1.ScalingPolicy, s *[]v1alpha1.Safeguard) { slices.Reverse(*s) }, true},
		"an unrelated Safeguard changed": {func(_ *v1alpha1.ScalingPolicy, s *[]v1alpha1.Safeguard) { (*s)[3].Spec.Remedy = "other" }, true},
		"an unrelated Safeguard gone":    {func(_ *v1alpha1.ScalingPolicy, s *[]v1alpha1.Safeguard) { *s = (*s)[:3] }, true},
		"an unrelated Safeguard more": {func(_ *v1alpha1.ScalingPolicy, s *[]v1alpha1.Safeguard) {
			*s = append(*s, safeguard("d", "do"))
		}, true},
		"status and metadata": {func(p *v1alpha1.ScalingPolicy, s *[]v1alpha1.Safeguard) {
			p.ResourceVersion, p.Generation, p.Status.Digest = "9", 9, "x"
			(*s)[0].ResourceVersion, (*s)[0].Status.ObservedGeneration = "9", 9
		}, true},
		"the policy's name": {func(p *v1alpha1.ScalingPolicy, _ *[]v1alpha1.Safeguard) { p.Name = "other" }, false},
		"the lease": {func(p *v1alpha1.ScalingPolicy, _ *[]v1alpha1.Safeguard) {
			p.Spec.Lease = &metav1.Duration{Duration: time.Minute}
		}, false},
		"the baseline": {func(p *v1alpha1.ScalingPolicy, _ *[]v1alpha1.Safeguard) { p.Spec.BaselineLevel = "ASL-3" }, false},
		"an obligation's force": {func(p *v1alpha1.ScalingPolicy, _ *[]v1alpha1.Safeguard) {
			p.Spec.Levels[0].Deployment.Safeguards[0].Force = "Law"
		}, false},
		"an obligation's strength": {func(p *v1alpha1.ScalingPolicy, _ *[]v1alpha1.Safeguard) {
			p.Spec.Levels[1].Security.Safeguards[0].MinimumStrength = "Attested"
		}, false},
		"the order of levels": {func(p *v1alpha1.ScalingPolicy, _ *[]v1alpha1.Safeguard) { slices.Reverse(p.Spec.Levels) }, false},
		"a Safeguard's expression": {func(_ *v1alpha1.ScalingPolicy, s *[]v1alpha1.Safeguard) {
			(*s)[1].Spec.PodRule.Validations[0].Expression = "1 == 1"
		}, false},
		"a Safeguard's remedy": {func(_ *v1alpha1.ScalingPolicy, s *[]v1alpha1.Safeguard) { (*s)[2].Spec.Remedy = "other" }, false},
		"a Safeguard gone":     {func(_ *v1alpha1.ScalingPolicy, s *[]v1alpha1.Safeguard) { *s = (*s)[1:] }, false},
		"two Safeguards in each other's place": {func(_ *v1alpha1.ScalingPolicy, s *[]v1alpha1.Safeguard) {
			(*s)[0].Name, (*s)[1].Name = (*s)[1].Name, (*s)[0].Name
		}, false},
	} {
		t.Run(name, func(t *testing.T) {
			p, s := policy.DeepCopy(), []v1alpha1.Safeguard{}
			for i := range all {
				s = append(s, *all[i].DeepCopy())
			}
			tc.change(p, &s)
			if got := decision.Digest(p, s); (got == digest) != tc.same {
				t.Errorf("digest stays the same: %v, want %v", got == digest, tc.same)
			}
		})
	}
}
