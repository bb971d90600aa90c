package safeguard

import (
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/interlock-dev/interlock/api/v1alpha1"
	"github.com/interlock-dev/interlock/internal/decision"
	"github.com/interlock-dev/interlock/internal/evidence"
	"github.com/interlock-dev/interlock/internal/testing/signing"
)

const redTeamType = "https://interlock.dev/predicates/misuse-red-team/v1"

var (
	today      = time.Date(2026, 6, 1, 12, 0, 0, 0, time.UTC)
	weights    = "sha256:" + strings.Repeat("ab", 32)
	otherModel = "sha256:" + strings.Repeat("cd", 32)
	here       = evidence.EnvironmentSubject("cluster", "serving", "uid-1")
	unbound    = evidence.EnvironmentSubject("cluster", "serving")
	cluster    = evidence.EnvironmentSubject("cluster")
	elsewhere  = evidence.EnvironmentSubject("cluster", "other", "uid-2")
	keyA, keyB = signing.Fixed(1), signing.Fixed(2)
	stranger   = signing.Fixed(3)
)

// days gives a statement that was made so many days ago and passed.
func days(ago float64, subjects ...string) signing.Statement {
	if len(subjects) == 0 {
		subjects = []string{weights}
	}
	return signing.Review(redTeamType, today.Add(-time.Duration(ago*24*float64(time.Hour))), subjects...)
}

func failing(s signing.Statement) signing.Statement {
	return s.With(map[string]any{"result": "Failed"})
}

// verified gives what becomes of contents, named a, b, c and so on, whoever their signers are.
func verified(t *testing.T, trust *evidence.Trust, contents ...string) []Attested {
	t.Helper()
	var all []Attested
	for i, content := range contents {
		s, err := evidence.Verify([]byte(content), trust)
		all = append(all, Attested{Name: "serving/" + string(rune('a'+i)), Statement: s, Err: err})
	}
	return all
}

func TestAttest(t *testing.T) {
	revoked := func(r v1alpha1.Revocation) func(*v1alpha1.Trust) {
		return func(spec *v1alpha1.Trust) { spec.Signers[0].Revoked = &r }
	}
	for name, tc := range map[string]struct {
		rule     v1alpha1.EvidenceRule
		trust    func(*v1alpha1.Trust)
		contents []string
		more     []Attested
		// lookedUp is for how long each counts; absent, for ever.
		lookedUp []time.Duration
		standing bool
		want     string
		until    time.Time
		next     time.Time
	}{
		"signed by one who may": {
			contents: []string{days(10).Sign(keyA)},
			want:     "Satisfied: signed by a on 2026-05-22 (serving/a)",
		},
		"nothing": {
			want: "Missing: no statement " + redTeamType + " about the model, " + weights + " by 1 of a, b",
		},
		"until it is too old": {
			rule: v1alpha1.EvidenceRule{MaxAgeDays: new(int32(30))}, contents: []string{days(10).Sign(keyA)},
			want: "Satisfied: signed by a", until: today.AddDate(0, 0, 20),
		},
		"too old to the second": {
			rule: v1alpha1.EvidenceRule{MaxAgeDays: new(int32(30))}, contents: []string{days(30).Sign(keyA)},
			want: "Expired: ended at 2026-06-01T12:00:00Z, 30 days after it was made", until: today,
		},
		"dated in the future": {
			contents: []string{days(-1).Sign(keyA)},
			want:     "Missing: no statement", next: today.AddDate(0, 0, 1),
		},
		"found in a registry": {
			contents: []string{days(1).Sign(keyA)}, lookedUp: []time.Duration{time.Minute}, want: "Satisfied", next: today.Add(time.Minute),
		},
		"not found again": {
			contents: []string{days(1).Sign(keyA)}, lookedUp: []time.Duration{0},
			want: "Unknown: no statement " + redTeamType + " about the model, " + weights + " by 1 of a, b: serving/a was not found again by 2026-06-01T12:00:00Z",
		},
		"not found again, and brought besides": {
			contents: []string{days(1).Sign(keyA), days(1).Sign(keyA)}, lookedUp: []time.Duration{0}, want: "Satisfied: signed by a on 2026-05-31 (serving/b)",
		},
		"brought, and not found again besides": {
			contents: []string{days(1).Sign(keyA), days(1).Sign(keyA)}, lookedUp: []time.Duration{time.Hour, 0}, want: "Satisfied: signed by a on 2026-05-31 (serving/a)",
			next: today.Add(time.Hour),
		},
		"failed and not found again": {
			contents: []string{failing(days(1)).Sign(keyA), days(2).Sign(keyB)}, lookedUp: []time.Duration{0}, want: "Missing: failed on 2026-05-31",
		},
		"of two, one not found again": {
			rule: v1alpha1.EvidenceRule{Threshold: 2}, contents: []string{days(1).Sign(keyA), days(1).Sign(keyB)}, lookedUp: []time.Duration{0, time.Hour}, want: "Unknown: no statement",
		},
		"of another predicate type": {
			contents: []string{signing.Review("https://interlock.dev/predicates/bug-bounty/v1", today, weights).Sign(keyA)},
			want:     "Missing: no statement",
		},
		"of a type that begins alike": {
			contents: []string{signing.Review(redTeamType+"1", today, weights).Sign(keyA)},
			want:     "Missing: no statement",
		},
		"about another model":   {contents: []string{days(1, otherModel).Sign(keyA)}, want: "Missing: no statement"},
		"about the environment": {contents: []string{days(1, here).Sign(keyA)}, want: "Missing: no statement"},
		"about several things":  {contents: []string{days(1, otherModel, weights).Sign(keyA)}, want: "Satisfied"},
		"by a stranger":         {contents: []string{days(1).Sign(stranger)}, want: "Missing: no statement"},
		"by a trusted one who may not sign this": {
			rule: v1alpha1.EvidenceRule{Signers: []string{"b"}}, contents: []string{days(1).Sign(keyA)}, want: "Missing: no statement",
		},
		"about this namespace": {
			rule: v1alpha1.EvidenceRule{Binding: "Environment"}, contents: []string{days(1, here).Sign(keyA)}, want: "Satisfied",
		},
		"about the cluster": {
			rule: v1alpha1.EvidenceRule{Binding: "Environment"}, contents: []string{days(1, cluster).Sign(keyA)}, want: "Satisfied",
		},
		"about another namespace": {
			rule: v1alpha1.EvidenceRule{Binding: "Environment"}, contents: []string{days(1, elsewhere).Sign(keyA)}, want: "Missing: no statement " + redTeamType + " about this namespace, " + here,
		},
		"about the model alone, bound to the environment": {
			rule: v1alpha1.EvidenceRule{Binding: "Environment"}, contents: []string{days(1).Sign(keyA)}, want: "Missing: no statement",
		},

		"two of two": {
			rule: v1alpha1.EvidenceRule{Threshold: 2}, contents: []string{days(1).Sign(keyA, keyB)}, want: "Satisfied: signed by a, b",
		},
		"one of two": {
			rule: v1alpha1.EvidenceRule{Threshold: 2}, contents: []string{days(1).Sign(keyA)}, want: "Missing: no statement " + redTeamType + " about the model, " + weights + " by 2 of a, b: serving/a is signed by a only",
		},
		"one of two, twice": {
			rule: v1alpha1.EvidenceRule{Threshold: 2}, contents: []string{days(1).Sign(keyA, keyA), days(1).Sign(keyA)}, want: "Missing: no statement",
		},
		"one and a stranger": {
			rule: v1alpha1.EvidenceRule{Threshold: 2}, contents: []string{days(1).Sign(keyA, stranger)}, want: "Missing: no statement",
		},
		"one key under two names": {
			rule:     v1alpha1.EvidenceRule{Threshold: 2},
			trust:    func(spec *v1alpha1.Trust) { spec.Signers[1].Key = "\n" + spec.Signers[0].Key },
			contents: []string{days(1).Sign(keyA, keyA)}, want: "Missing: needs 2 signers, and a, b have 1 keys between them",
		},
		"two who signed the same in two envelopes": {
			rule: v1alpha1.EvidenceRule{Threshold: 2}, contents: []string{days(1).Sign(keyA), days(1).Sign(keyB)}, want: "Satisfied: signed by a, b",
		},
		"two who signed different things": {
			rule: v1alpha1.EvidenceRule{Threshold: 2}, contents: []string{days(1).Sign(keyA), days(2).Sign(keyB)}, want: "Missing: no statement",
		},

		"a newer one failed": {
			contents: []string{days(10).Sign(keyA), failing(days(5)).Sign(keyA)},
			want:     "Missing: failed on 2026-05-27 by the word of a (serving/b): result is Failed",
		},
		"a newer one failed, listed first": {
			contents: []string{failing(days(5)).Sign(keyA), days(10).Sign(keyA)}, want: "Missing: failed on 2026-05-27",
		},
		"one as new failed": {contents: []string{days(5).Sign(keyA), failing(days(5)).Sign(keyB)}, want: "Missing: failed on"},
		"an older one failed": {
			contents: []string{days(5).Sign(keyA), failing(days(10)).Sign(keyA)}, want: "Satisfied: signed by a on 2026-05-27",
		},
		"one of two says that it failed": {
			rule: v1alpha1.EvidenceRule{Threshold: 2}, contents: []string{days(10).Sign(keyA, keyB), failing(days(5)).Sign(keyB)}, want: "Missing: failed on",
		},
		"a stranger says that it failed": {contents: []string{days(10).Sign(keyA), failing(days(5)).Sign(stranger)}, want: "Satisfied"},
		"one dated in the future failed": {contents: []string{days(1).Sign(keyA), failing(days(-5)).Sign(keyA)}, want: "Missing: failed on 2026-06-06"},
		"one about another model failed": {contents: []string{days(10).Sign(keyA), failing(days(5, otherModel)).Sign(keyA)}, want: "Satisfied"},
		"the newer of two passes": {
			rule:     v1alpha1.EvidenceRule{MaxAgeDays: new(int32(30))},
			contents: []string{days(29).Sign(keyA), days(2).Sign(keyA)}, want: "Satisfied: signed by a on 2026-05-30", until: today.AddDate(0, 0, 28),
		},

		"meets the condition": {
			rule:     v1alpha1.EvidenceRule{Condition: "predicate.score >= 0.9 && predicate.attacks > 100"},
			contents: []string{days(1).With(map[string]any{"score": 0.95, "attacks": 101}).Sign(keyA)}, want: "Satisfied",
		},
		"a whole number for another": {
			rule:     v1alpha1.EvidenceRule{Condition: "predicate.score >= 0.9"},
			contents: []string{days(1).With(map[string]any{"score": 1}).Sign(keyA)}, want: "Satisfied",
		},
		"falls short of the condition": {
			rule:     v1alpha1.EvidenceRule{Condition: "predicate.score >= 0.9"},
			contents: []string{days(1).With(map[string]any{"score": 0.5}).Sign(keyA)}, want: "Missing: failed on 2026-05-31 by the word of a (serving/a): it does not meet the condition predicate.score >= 0.9",
		},
		"the condition cannot be evaluated": {
			rule:     v1alpha1.EvidenceRule{Condition: "predicate.score >= 0.9"},
			contents: []string{days(1).Sign(keyA)}, want: "Missing: failed on 2026-05-31 by the word of a (serving/a): the condition cannot be evaluated: no such key: score",
		},
		"the condition costs too much": {
			rule:     v1alpha1.EvidenceRule{Condition: "predicate.x.all(a, predicate.x.all(b, predicate.x.all(c, a + b + c > 0)))"},
			contents: []string{days(1).With(map[string]any{"x": make([]int, 1000)}).With(map[string]any{"x": ones(1000)}).Sign(keyA)},
			want:     "Missing: failed on 2026-05-31 by the word of a (serving/a): the condition cannot be evaluated: operation cancelled: actual cost limit exceeded",
		},
		"newer, short of the condition": {
			rule:     v1alpha1.EvidenceRule{Condition: "predicate.score >= 0.9"},
			contents: []string{days(9).With(map[string]any{"score": 0.95}).Sign(keyA), days(1).With(map[string]any{"score": 0.8}).Sign(keyA)},
			want:     "Missing: failed on 2026-05-31",
		},

		"a policy that trusts nobody": {
			trust: func(spec *v1alpha1.Trust) { *spec = v1alpha1.Trust{} }, contents: []string{days(1).Sign(keyA)},
			want: "Missing: policy p trusts no signer a, b to sign statements " + redTeamType,
		},
		"a policy that trusts one of two": {
			rule:  v1alpha1.EvidenceRule{Threshold: 2},
			trust: func(spec *v1alpha1.Trust) { spec.Signers = spec.Signers[:1] }, contents: []string{days(1).Sign(keyA, keyB)},
			want: "Missing: policy p trusts no signer b",
		},
		"a key that cannot be read": {
			trust: func(spec *v1alpha1.Trust) { spec.Signers[0].Key, spec.Signers[1].Key = "x", "y" }, contents: []string{days(1).Sign(keyA)},
			want: "Missing: policy p trusts no signer a (key: is not PEM",
		},
		"compromised": {
			trust: revoked(v1alpha1.Revocation{Reason: "Compromised"}), contents: []string{days(300).Sign(keyA)},
			want: "Missing: no statement " + redTeamType + " about the model, " + weights + " by 1 of a, b: serving/a: a is revoked: Compromised",
		},
		"retired before it signed": {
			trust: revoked(v1alpha1.Revocation{Reason: "Retired", At: &metav1.Time{Time: today.AddDate(0, 0, -2)}}), contents: []string{days(1).Sign(keyA)},
			want: "Missing: no statement",
		},
		"retired after it signed": {
			trust: revoked(v1alpha1.Revocation{Reason: "Retired", At: &metav1.Time{Time: today.AddDate(0, 0, -2)}}), contents: []string{days(3).Sign(keyA)},
			want: "Satisfied",
		},
		"another one signed what a compromised one did": {
			trust: revoked(v1alpha1.Revocation{Reason: "Compromised"}), contents: []string{days(3).Sign(keyA, keyB)}, want: "Satisfied: signed by b",
		},

		"one that is being fetched": {
			contents: []string{days(1).Sign(keyA)}, more: []Attested{{Name: "serving/z", Fetching: true}}, want: "Unknown: serving/z is being fetched",
		},
		"one that is being fetched for a model that is cleared": {
			standing: true, contents: []string{days(1).Sign(keyA)}, more: []Attested{{Name: "serving/z", Fetching: true}}, want: "Satisfied",
		},
		"the only one is being fetched for a model that is cleared": {
			standing: true, more: []Attested{{Name: "serving/z", Fetching: true}}, want: "Unknown: no statement",
		},
		"one for which there is no room in memory, for a model that is cleared": {
			standing: true, contents: []string{days(1).Sign(keyA)}, more: []Attested{{Name: "serving/z", Unread: true, Err: errors.New("it is large")}},
			want: "Unknown: serving/z was not looked at: it is large",
		},
		"one that could not be fetched": {
			contents: []string{days(1).Sign(keyA)}, more: []Attested{{Name: "serving/z", Unfetched: true, Err: errors.New("refused")}}, want: "Satisfied",
		},
		"the only one could not be fetched": {
			more: []Attested{{Name: "serving/z", Unfetched: true, Err: errors.New("refused")}},
			want: "Unknown: no statement " + redTeamType + " about the model, " + weights + " by 1 of a, b: serving/z: refused",
		},
		"about the environment without its UID": {
			rule: v1alpha1.EvidenceRule{Binding: "Environment"}, contents: []string{days(1, unbound).Sign(keyA)},
			want: "Missing: no statement " + redTeamType + " about this namespace, " + here + " by 1 of a, b: serving/a names this namespace without its UID",
		},
		"about the environment without its UID, failed": {
			rule: v1alpha1.EvidenceRule{Binding: "Environment"}, contents: []string{days(2, here).Sign(keyA), days(1, unbound).With(map[string]any{"result": "Failed"}).Sign(keyA)},
			want: "Missing: failed on",
		},
		"one that may vanish": {
			more: []Attested{vanishing(verified(t, mustTrust(t), days(1).Sign(keyA))[0])}, want: "Missing: no statement " + redTeamType + " about the model, " + weights + " by 1 of a, b: serving/a bears an owner reference",
		},
		"one that may vanish, failed": {
			contents: []string{days(2).Sign(keyA)},
			more:     []Attested{vanishing(verified(t, mustTrust(t), days(1).With(map[string]any{"result": "Failed"}).Sign(keyA))[0])}, want: "Missing: failed on",
		},
		"one that broke the verifier": {
			contents: []string{days(1).Sign(keyA)}, more: []Attested{{Name: "serving/z", Err: fmt.Errorf("x: %w", &evidence.Panic{})}}, want: "Unknown: serving/z: the verifier itself failed",
		},
	} {
		t.Run(name, func(t *testing.T) {
			spec := &v1alpha1.Trust{Signers: []v1alpha1.Signer{{Name: "a", Key: keyA.PEM}, {Name: "b", Key: keyB.PEM}}}
			if tc.trust != nil {
				tc.trust(spec)
			}
			trust, _ := evidence.ParseTrust(spec)
			rule := tc.rule
			rule.PredicateType, rule.Issuer = redTeamType, "the red team"
			if rule.Signers == nil {
				rule.Signers = []string{"a", "b"}
			}
			brought := verified(t, trust, tc.contents...)
			for i, counts := range tc.lookedUp {
				brought[i].Until = today.Add(counts)
			}
			got := mustCompile(t, attested(rule)).Attest(Case{
				Now: today, Policy: "p", Trust: trust, Weights: weights, Environment: Environment{Namespace: here, Cluster: cluster, WithoutUID: unbound}, Standing: tc.standing,
				Attested: append(brought, tc.more...),
			})
			if said := string(got.State) + ": " + got.Message; !strings.HasPrefix(said, tc.want) || !got.ValidUntil.Equal(tc.until) || !got.Next.Equal(tc.next) {
				t.Errorf("found %q until %s, next %s;\nwant  %q until %s, next %s", said, got.ValidUntil, got.Next, tc.want, tc.until, tc.next)
			}
			if got.Strength != v1alpha1.StrengthAttested || got.Remedy == "" {
				t.Errorf("strength %s, remedy %q", got.Strength, got.Remedy)
			}
			checkLine(t, "the message", got.Message, maxAttested)
		})
	}
}

// What shows a safeguard are the oldest Attestations with the signatures that are needed, and none beyond these.
func TestAttestNamesItsEvidence(t *testing.T) {
	for name, tc := range map[string]struct {
		threshold int32
		contents  []string
		want      string
	}{
		"one":                     {1, []string{days(1).Sign(keyA)}, "a"},
		"two that sign one":       {2, []string{days(1).Sign(keyA), days(1).Sign(keyB)}, "a b"},
		"one more than is needed": {1, []string{days(1).Sign(keyA), days(1).Sign(keyB)}, "a"},
		"the newer":               {1, []string{days(5).Sign(keyA), days(1).Sign(keyA)}, "b"},
		"one that fails":          {2, []string{days(5).Sign(keyA, keyB), failing(days(1)).Sign(keyA)}, "b"},
		"too few":                 {2, []string{days(1).Sign(keyA)}, ""},
		"of another model":        {1, []string{days(1, otherModel).Sign(keyA)}, ""},
	} {
		t.Run(name, func(t *testing.T) {
			trust, err := evidence.ParseTrust(&v1alpha1.Trust{Signers: []v1alpha1.Signer{{Name: "a", Key: keyA.PEM}, {Name: "b", Key: keyB.PEM}}})
			if err != nil {
				t.Fatal(err)
			}
			found := mustCompile(t, attested(v1alpha1.EvidenceRule{PredicateType: redTeamType, Signers: []string{"a", "b"}, Threshold: tc.threshold})).Attest(Case{
				Now: today, Trust: trust, Weights: weights, Environment: Environment{Namespace: here}, Attested: verified(t, trust, tc.contents...)})
			var names []string
			for _, o := range found.Evidence {
				i := int(o.Name[0] - 'a')
				if o != (decision.Object{Kind: "Attestation", Namespace: "serving", Name: o.Name, Digest: evidence.Digest([]byte(tc.contents[i]))}) {
					t.Errorf("%+v", o)
				}
				names = append(names, o.Name)
			}
			if got := strings.Join(names, " "); got != tc.want {
				t.Errorf("rests on %q, want %q: %s", got, tc.want, found.Message)
			}
		})
	}
}

func attested(rule v1alpha1.EvidenceRule) *v1alpha1.Safeguard {
	return &v1alpha1.Safeguard{ObjectMeta: metav1.ObjectMeta{Name: "red-team"}, Spec: v1alpha1.SafeguardSpec{Remedy: "have it tested", Evidence: &rule}}
}

func ones(n int) []int {
	all := make([]int, n)
	for i := range all {
		all[i] = 1
	}
	return all
}

func TestEvidenceRulesThatNothingMeetsDoNotCompile(t *testing.T) {
	for name, tc := range map[string]struct {
		rule v1alpha1.EvidenceRule
		want string
	}{
		"nobody":                        {v1alpha1.EvidenceRule{}, "spec.evidence.signers"},
		"more than there are":           {v1alpha1.EvidenceRule{Signers: []string{"a"}, Threshold: 2}, "asks for 2 signers of 1"},
		"more than there are by name":   {v1alpha1.EvidenceRule{Signers: []string{"a", "a"}, Threshold: 2}, "asks for 2 signers of 1"},
		"a condition on the pod":        {v1alpha1.EvidenceRule{Signers: []string{"a"}, Condition: "object.x"}, "spec.evidence.condition: "},
		"a condition that is no bool":   {v1alpha1.EvidenceRule{Signers: []string{"a"}, Condition: "'x'"}, "must yield a bool"},
		"a condition with a bad regexp": {v1alpha1.EvidenceRule{Signers: []string{"a"}, Condition: "predicate.x.matches('(')"}, "spec.evidence.condition: "},
	} {
		t.Run(name, func(t *testing.T) {
			if _, err := newCompiler(t).Compile(attested(tc.rule)); err == nil || !strings.Contains(err.Error(), tc.want) {
				t.Errorf("Compile = %v, want %q", err, tc.want)
			}
		})
	}
}

// A judge that panics has found out nothing, and the others go on.
func TestAttestThatPanicsIsUnknown(t *testing.T) {
	compiled := mustCompile(t, attested(v1alpha1.EvidenceRule{PredicateType: redTeamType, Signers: []string{"a"}}))
	compiled.evidence.condition = func(map[string]any) string { panic("broken") }
	trust, err := evidence.ParseTrust(&v1alpha1.Trust{Signers: []v1alpha1.Signer{{Name: "a", Key: keyA.PEM}}})
	if err != nil {
		t.Fatal(err)
	}
	in := Case{Now: today, Trust: trust, Weights: weights, Environment: Environment{Namespace: here}, Attested: verified(t, trust, days(1).Sign(keyA))}
	if got := compiled.Attest(in); got.State != v1alpha1.SafeguardUnknown || !strings.Contains(got.Message, "the check itself failed: broken") {
		t.Errorf("found %+v", got)
	}
	in.Trust = nil
	if got := compiled.Attest(in); got.State != v1alpha1.SafeguardUnknown {
		t.Errorf("found %+v", got)
	}
}

// More evidence that something failed never helps, and less evidence that it passed never helps.
func TestAttestIsMonotonic(t *testing.T) {
	trust, err := evidence.ParseTrust(&v1alpha1.Trust{Signers: []v1alpha1.Signer{{Name: "a", Key: keyA.PEM}, {Name: "b", Key: keyB.PEM}}})
	if err != nil {
		t.Fatal(err)
	}
	compiled := mustCompile(t, attested(v1alpha1.EvidenceRule{PredicateType: redTeamType, Signers: []string{"a", "b"}, Threshold: 2, MaxAgeDays: new(int32(20))}))
	var contents []string
	for _, ago := range []float64{-1, 1, 5, 10, 25} {
		contents = append(contents, days(ago).Sign(keyA), days(ago).Sign(keyB), failing(days(ago)).Sign(keyA))
	}
	all := verified(t, trust, contents...)
	satisfied := func(set int) bool {
		in := Case{Now: today, Trust: trust, Weights: weights, Environment: Environment{Namespace: here}}
		for i := range all {
			if set&(1<<i) != 0 {
				in.Attested = append(in.Attested, all[i])
			}
		}
		f := compiled.Attest(in)
		return f.State == v1alpha1.SafeguardSatisfied
	}
	results := make([]bool, 1<<len(all))
	for set := range results {
		results[set] = satisfied(set)
	}
	for set, ok := range results {
		for i := range all {
			bit := 1 << i
			if set&bit == 0 && all[i].Statement.Failed != "" && !ok && results[set|bit] {
				t.Fatalf("%b is not satisfied, and is with %s, which failed", set, all[i].Name)
			}
			if set&bit != 0 && all[i].Statement.Failed == "" && !ok && results[set&^bit] {
				t.Fatalf("%b is not satisfied, and is without %s, which passed", set, all[i].Name)
			}
		}
	}
}

// A statement on what a thing is may say no time. Whoever brings it anew makes it no newer, and one that fails no older.
func TestAttestUndated(t *testing.T) {
	files := strings.Repeat("ab", 32)
	undated := signing.ModelSigning(files)
	shards := undated.With(map[string]any{"serialization": map[string]any{"method": "shards"}})
	dated := undated
	dated.Time = today.AddDate(0, 0, -5)
	ago := func(days int) time.Time { return today.AddDate(0, 0, -days) }
	type brought struct {
		content signing.Statement
		seen    time.Time
	}
	for name, tc := range map[string]struct {
		rule    v1alpha1.EvidenceRule
		signer  v1alpha1.Signer
		brought []brought
		want    string
	}{
		"counts":                          {brought: []brought{{undated, ago(1)}}, want: "Satisfied: signed by a at a time that it does not say (serving/a)"},
		"fails though a pass came later":  {brought: []brought{{shards, ago(3)}, {undated, ago(1)}}, want: "Missing: failed on 2026-05-29"},
		"fails beside an older dated one": {brought: []brought{{shards, ago(3)}, {dated, ago(1)}}, want: "Missing: failed on 2026-05-29"},
		"a newer dated one passes":        {brought: []brought{{shards, ago(7)}, {dated, ago(1)}}, want: "Satisfied: signed by a on 2026-05-27 (serving/b)"},
		"brought anew, a failure is no older": {brought: []brought{{shards, ago(7)}, {dated, ago(1)}, {shards, ago(1)}},
			want: "Satisfied: signed by a on 2026-05-27 (serving/b)"},
		"asked for its age": {rule: v1alpha1.EvidenceRule{MaxAgeDays: new(int32(30))}, brought: []brought{{undated, ago(1)}},
			want: "Missing: no statement https://model_signing/signature/v1.0 about the model, " + undated.Subjects[0] + " by a: serving/a does not say when it was made"},
		"seen before its signer retired": {signer: v1alpha1.Signer{Revoked: &v1alpha1.Revocation{Reason: v1alpha1.RevocationRetired, At: &metav1.Time{Time: ago(1)}}},
			brought: []brought{{undated, ago(2)}}, want: "Satisfied"},
		"seen after its signer retired": {signer: v1alpha1.Signer{Revoked: &v1alpha1.Revocation{Reason: v1alpha1.RevocationRetired, At: &metav1.Time{Time: ago(2)}}},
			brought: []brought{{undated, ago(1)}}, want: "Missing: no statement"},
		"seen before its signer's time": {signer: v1alpha1.Signer{NotBefore: &metav1.Time{Time: ago(1)}}, brought: []brought{{undated, ago(2)}}, want: "Missing: no statement"},
		"seen within its signer's time": {signer: v1alpha1.Signer{NotBefore: &metav1.Time{Time: ago(2)}}, brought: []brought{{undated, ago(1)}}, want: "Satisfied"},
		"never seen, of a signer whose time is limited": {signer: v1alpha1.Signer{Revoked: &v1alpha1.Revocation{Reason: v1alpha1.RevocationRetired, At: &metav1.Time{Time: ago(1)}}},
			brought: []brought{{undated, time.Time{}}}, want: "Missing: no statement"},
		"by a key that was stolen": {signer: v1alpha1.Signer{Revoked: &v1alpha1.Revocation{Reason: v1alpha1.RevocationCompromised}},
			brought: []brought{{undated, ago(1)}}, want: "Missing: no statement"},
	} {
		t.Run(name, func(t *testing.T) {
			tc.signer.Name, tc.signer.Key = "a", keyA.PEM
			trust, err := evidence.ParseTrust(&v1alpha1.Trust{Signers: []v1alpha1.Signer{tc.signer}})
			if err != nil {
				t.Fatal(err)
			}
			rule := tc.rule
			rule.PredicateType, rule.Signers, rule.Condition = evidence.TypeModelSigning, []string{"a"}, "predicate.serialization.method == 'files'"
			in := Case{Now: today, Policy: "p", Trust: trust, Weights: undated.Subjects[0]}
			for i, b := range tc.brought {
				a := verified(t, trust, b.content.Bundle(keyA))[0]
				if a.Statement == nil {
					t.Fatal(a.Err)
				}
				a.Name = "serving/" + string(rune('a'+i))
				if a.Statement.Undated() {
					a.Statement = a.Statement.SeenBy(b.seen)
				}
				in.Attested = append(in.Attested, a)
			}
			got := mustCompile(t, attested(rule)).Attest(in)
			if said := string(got.State) + ": " + got.Message; !strings.HasPrefix(said, tc.want) {
				t.Errorf("found %q, want %q", said, tc.want)
			}
		})
	}
}

func vanishing(a Attested) Attested {
	a.Leaving = "bears an owner reference"
	return a
}

func mustTrust(t *testing.T) *evidence.Trust {
	t.Helper()
	trust, refused := evidence.ParseTrust(&v1alpha1.Trust{Signers: []v1alpha1.Signer{{Name: "a", Key: keyA.PEM}, {Name: "b", Key: keyB.PEM}}})
	if refused != nil {
		t.Fatal(refused)
	}
	return trust
}
