package record

import (
	"encoding/json"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"

	"github.com/interlock-dev/interlock/api/v1alpha1"
	"github.com/interlock-dev/interlock/internal/decision"
)

var (
	now      = time.Date(2026, 5, 14, 8, 0, 0, 0, time.UTC)
	llm      = types.NamespacedName{Namespace: "serving", Name: "llm"}
	weights  = "sha256:" + strings.Repeat("a", 64)
	operator = Verifier{ID: "system:serviceaccount:interlock-system:interlock-controller-manager", Version: "v0.1.0"}
)

func cleared() Decision {
	return Decision{
		Model: llm, Weights: weights, Policy: "rsp", PolicyDigest: "sha256:" + strings.Repeat("b", 64), At: now,
		Inputs: []Input{{Kind: "CapabilityAssessment", Name: "a1", Digest: "sha256:" + strings.Repeat("c", 64)}},
		Verdict: decision.Verdict{
			Outcome: v1alpha1.OutcomeCleared, Reason: v1alpha1.ReasonCleared, Message: "all 1 safeguards are in place",
			DeploymentLevel: "ASL-3", SecurityLevel: "ASL-2", ValidUntil: now.Add(time.Hour),
			Safeguards: []v1alpha1.SafeguardResult{{
				Name: "egress", RequiredBy: []string{"security ASL-2: declared"}, State: v1alpha1.SafeguardSatisfied,
				Strength: v1alpha1.StrengthObserved, Message: "2 pods <shown>", ValidUntil: &metav1.Time{Time: now.Add(time.Minute)}}},
		},
	}
}

func TestEntryIsAnInTotoStatement(t *testing.T) {
	entry, err := cleared().Entry(operator, Link{Sequence: 6, Digest: "sha256:before"})
	if err != nil {
		t.Fatal(err)
	}
	var got map[string]any
	if err := json.Unmarshal(entry, &got); err != nil {
		t.Fatal(err)
	}
	want := map[string]any{
		"_type":         "https://in-toto.io/Statement/v1",
		"subject":       []any{map[string]any{"name": "serving/llm", "digest": map[string]any{"sha256": strings.Repeat("a", 64)}}},
		"predicateType": "https://interlock.dev/decision/v1",
		"predicate": map[string]any{
			"verifier":        map[string]any{"id": operator.ID, "version": "v0.1.0"},
			"timeVerified":    "2026-05-14T08:00:00Z",
			"model":           map[string]any{"namespace": "serving", "name": "llm"},
			"policy":          map[string]any{"name": "rsp", "digest": "sha256:" + strings.Repeat("b", 64)},
			"inputs":          []any{map[string]any{"kind": "CapabilityAssessment", "name": "a1", "digest": "sha256:" + strings.Repeat("c", 64)}},
			"verdict":         "Cleared",
			"reason":          "Cleared",
			"message":         "all 1 safeguards are in place",
			"deploymentLevel": "ASL-3",
			"securityLevel":   "ASL-2",
			"safeguards": []any{map[string]any{
				"name": "egress", "requiredBy": []any{"security ASL-2: declared"}, "state": "Satisfied", "strength": "Observed",
				"message": "2 pods <shown>", "validUntil": "2026-05-14T08:01:00Z"}},
			"validUntil": "2026-05-14T09:00:00Z",
			"content":    cleared().Content(),
			"sequence":   float64(7),
			"previous":   "sha256:before",
		},
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Error(diff)
	}
	again, _ := cleared().Entry(operator, Link{Sequence: 6, Digest: "sha256:before"})
	if string(again) != string(entry) {
		t.Error("the same decision has other bytes the second time")
	}
}

func TestContentChangesWithWhatWasDecidedAndNotWithTimeOrWording(t *testing.T) {
	for name, tc := range map[string]struct {
		change func(*Decision)
		same   bool
	}{
		"a later time":                       {func(d *Decision) { d.At = now.Add(time.Hour) }, true},
		"a renewed lease":                    {func(d *Decision) { d.Verdict.ValidUntil = now.Add(2 * time.Hour) }, true},
		"another message":                    {func(d *Decision) { d.Verdict.Message = "m" }, true},
		"another wording of a finding":       {func(d *Decision) { d.Verdict.Safeguards[0].Message = "3 pods" }, true},
		"a renewed finding":                  {func(d *Decision) { d.Verdict.Safeguards[0].ValidUntil = nil }, true},
		"inputs in another order":            {func(d *Decision) { d.Inputs = append([]Input{}, d.Inputs...) }, true},
		"another outcome":                    {func(d *Decision) { d.Verdict.Outcome = v1alpha1.OutcomeRevoked }, false},
		"another reason":                     {func(d *Decision) { d.Verdict.Reason = v1alpha1.ReasonNotAssessed }, false},
		"another policy":                     {func(d *Decision) { d.Policy = "other" }, false},
		"another policy digest":              {func(d *Decision) { d.PolicyDigest = "sha256:x" }, false},
		"other weights":                      {func(d *Decision) { d.Weights = "sha256:x" }, false},
		"another model":                      {func(d *Decision) { d.Model.Name = "other" }, false},
		"an input more":                      {func(d *Decision) { d.Inputs = append(d.Inputs, Input{Kind: "Approval"}) }, false},
		"an input changed":                   {func(d *Decision) { d.Inputs = []Input{{Kind: "CapabilityAssessment", Name: "a1", Digest: "sha256:x"}} }, false},
		"an input of another namespace":      {func(d *Decision) { d.Inputs = append(d.Inputs[:0:0], d.Inputs[0]); d.Inputs[0].Namespace = "n" }, false},
		"a level":                            {func(d *Decision) { d.Verdict.SecurityLevel = "ASL-3" }, false},
		"a finding":                          {func(d *Decision) { d.Verdict.Safeguards[0].State = v1alpha1.SafeguardMissing }, false},
		"a weaker proof":                     {func(d *Decision) { d.Verdict.Safeguards[0].Strength = v1alpha1.StrengthDeclared }, false},
		"a threshold":                        {func(d *Decision) { d.Verdict.Thresholds = []v1alpha1.ThresholdResult{{Name: "cbrn"}} }, false},
		"the end of enforcement":             {func(d *Decision) { *d = Ended(llm, OutcomeNotEnforced, now) }, false},
		"the declaration that is taken back": {func(d *Decision) { *d = Ended(llm, OutcomeUndeclared, now) }, false},
	} {
		t.Run(name, func(t *testing.T) {
			changed := cleared()
			tc.change(&changed)
			if got := changed.Content() == cleared().Content(); got != tc.same {
				t.Errorf("same content = %v, want %v", got, tc.same)
			}
		})
	}
}

func TestEntryFitsTheLog(t *testing.T) {
	d := cleared()
	for i := range 256 {
		d.Verdict.Safeguards = append(d.Verdict.Safeguards, v1alpha1.SafeguardResult{
			Name: fmt.Sprintf("safeguard-%d", i), State: v1alpha1.SafeguardMissing, Message: strings.Repeat("m", 1024),
			RequiredBy: []string{strings.Repeat("r", 200)}})
	}
	entry, err := d.Entry(operator, Link{})
	if err != nil || len(entry) > maxEntry {
		t.Fatalf("%d bytes, %v", len(entry), err)
	}
	s, err := Parse(entry)
	if err != nil || len(s.Predicate.Safeguards) != 257 || s.Predicate.Content != d.Content() {
		t.Errorf("lost more than words: %d safeguards, %v", len(s.Predicate.Safeguards), err)
	}
	for i := range d.Verdict.Safeguards {
		d.Verdict.Safeguards[i].Name = strings.Repeat("n", 253)
	}
	if _, err := d.Entry(operator, Link{}); err == nil || !strings.Contains(err.Error(), "fewer safeguards") {
		t.Errorf("err = %v, want one that says what to do", err)
	}
}

func TestChainsFollowOnlyWhatContinuesThem(t *testing.T) {
	entry := func(d Decision, previous Link) []byte {
		t.Helper()
		e, err := d.Entry(operator, previous)
		if err != nil {
			t.Fatal(err)
		}
		return e
	}
	c := NewChains(Snapshot{})
	first := entry(cleared(), Link{})
	if err := c.Follow(0, first); err != nil {
		t.Fatal(err)
	}
	one, _ := c.Last(llm)
	revoked := cleared()
	revoked.Verdict.Outcome = v1alpha1.OutcomeRevoked
	second := entry(revoked, one)
	for name, bad := range map[string][]byte{
		"again":              first,
		"without the last":   entry(revoked, Link{Sequence: 1}),
		"a gap":              entry(revoked, Link{Sequence: 2, Digest: one.Digest}),
		"after another":      entry(revoked, Link{Sequence: 1, Digest: "sha256:x"}),
		"no statement":       []byte("{"),
		"more than one":      append(second[:len(second):len(second)], "{}"...),
		"another type":       []byte(strings.Replace(string(second), "Statement/v1", "Statement/v2", 1)),
		"another predicate":  []byte(strings.Replace(string(second), "decision/v1", "decision/v2", 1)),
		"two subjects":       []byte(strings.Replace(string(second), `"subject":[`, `"subject":[{"name":"x","digest":{}},`, 1)),
		"of another subject": []byte(strings.Replace(string(second), `"name":"serving/llm"`, `"name":"serving/other"`, 1)),
	} {
		if err := c.Follow(1, bad); err == nil {
			t.Errorf("%s: followed", name)
		}
	}
	if err := c.Follow(2, second); err == nil {
		t.Error("followed over a gap")
	}
	if err := c.Follow(1, second); err != nil {
		t.Fatal(err)
	}
	two, _ := c.Last(llm)
	if err := c.Follow(2, entry(Ended(llm, OutcomeUndeclared, now), two)); err != nil {
		t.Fatal(err)
	}
	three, _ := c.Last(llm)
	want := Link{Model: Model{"serving", "llm"}, Index: 2, Sequence: 3, Verdict: OutcomeUndeclared, Digest: three.Digest,
		Content: Ended(llm, OutcomeUndeclared, now).Content(), Weights: map[string]string{"sha256": strings.Repeat("a", 64)}}
	if diff := cmp.Diff(Snapshot{Size: 3, Last: []Link{want}}, NewChains(c.Snapshot()).Snapshot()); diff != "" {
		t.Error(diff)
	}
}

// TestADecisionStandsForThoseBefore counts what took effect.
func TestADecisionStandsForThoseBefore(t *testing.T) {
	at := func(second int, outcome v1alpha1.Outcome) Decision {
		return Decision{At: time.Unix(int64(second), 0), Verdict: decision.Verdict{Outcome: outcome}}
	}
	const cleared, revoked = v1alpha1.OutcomeCleared, v1alpha1.OutcomeRevoked
	for name, tc := range map[string]struct {
		decisions []Decision
		changes   int
		since     time.Time
	}{
		"one": {[]Decision{at(1, revoked)}, 0, time.Time{}},
		"two": {[]Decision{at(1, revoked), at(2, revoked)}, 2, time.Unix(1, 0)},
		"a clearance that was not recorded has not taken effect": {[]Decision{at(1, cleared), at(2, revoked)}, 0, time.Time{}},
		"nor one in between": {[]Decision{at(1, revoked), at(2, cleared), at(3, revoked)}, 2, time.Unix(1, 0)},
		"a clearance at the end is the change that is recorded": {[]Decision{at(1, revoked), at(2, revoked), at(3, cleared)}, 3, time.Unix(1, 0)},
	} {
		t.Run(name, func(t *testing.T) {
			d := tc.decisions[0]
			for _, next := range tc.decisions[1:] {
				d = next.After(d)
			}
			if d.Changes != tc.changes || !d.ChangedSince.Equal(tc.since) {
				t.Errorf("%d since %s", d.Changes, d.ChangedSince)
			}
		})
	}
}
