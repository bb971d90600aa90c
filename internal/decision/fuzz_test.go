package decision_test

import (
	"encoding/json"
	"fmt"
	"testing"
	"time"

	"github.com/interlock-dev/interlock/api/v1alpha1"
	"github.com/interlock-dev/interlock/internal/decision"
)

// FuzzDecide decides on policies, models and findings as they may come in from files that no schema has checked.
func FuzzDecide(f *testing.F) {
	policy := newPolicy(newLevel("ASL-2", asks(binding("a")), nothing()), newLevel("ASL-3", asks(proven("b", v1alpha1.StrengthEnforced)), unspecified("x")))
	policy.Spec.Levels[0].OnShortfall = evicts(after(time.Minute), after(time.Hour))
	for _, seed := range []any{policy, &v1alpha1.ScalingPolicy{}, leaseOf(-1)} {
		spec, err := json.Marshal(seed)
		if err != nil {
			f.Fatal(err)
		}
		f.Add(spec, "ASL-2", "a", "Satisfied", "Enforced", "in place\n", int64(1_800_000_000), int64(1_800_000_600))
	}
	f.Fuzz(func(t *testing.T, spec []byte, assessed, name, state, strength, message string, at, end int64) {
		policy := &v1alpha1.ScalingPolicy{}
		if json.Unmarshal(spec, policy) != nil || min(at, end) < 0 || max(at, end) > 1<<37 { // years that JSON can tell
			return
		}
		in := decision.Input{Now: time.Unix(at, 0), PolicyName: name, Policy: policy, Model: newModel(assessed), Findings: map[string]decision.Finding{
			name: {State: v1alpha1.SafeguardState(state), Strength: v1alpha1.Strength(strength), Message: message, Remedy: message, ValidUntil: time.Unix(end, 0)}}}
		v := decision.Decide(in)
		if bytes(t, v) != bytes(t, decision.Decide(in)) {
			t.Fatal("decided twice, differently")
		}
		checkLine(t, "message", v.Message, 1, 1024)
		if v.Cleared() {
			if v.Required == 0 || v.Met != v.Required || !v.ValidUntil.After(in.Now) || end <= at {
				t.Fatalf("cleared:\n%s", text(v))
			}
			in.Findings = nil
			if decision.Decide(in).Cleared() {
				t.Fatal("cleared without a finding")
			}
		}
		m := decision.OnShortfall(policy, time.Unix(end, 0), in.Now, v.DeploymentLevel)
		if !m.Next.IsZero() && !m.Next.After(in.Now) || m.Force && !m.Evict {
			t.Fatalf("measures %+v", m)
		}
		decision.Digest(policy, nil)
	})
}

// BenchmarkDecideWithoutThresholds decides on 50 safeguards, all of which are in place. The goal is less than 30 microseconds.
func BenchmarkDecideWithoutThresholds(b *testing.B) {
	for _, met := range []bool{true, false} {
		b.Run(fmt.Sprintf("cleared=%v", met), func(b *testing.B) {
			var first, second []v1alpha1.Obligation
			findings := map[string]decision.Finding{}
			for i := range 50 {
				name := fmt.Sprintf("safeguard-%02d", i)
				findings[name] = until(inPlace(), now.Add(time.Duration(i+1)*time.Hour))
				first = append(first, proven(name, v1alpha1.StrengthObserved))
				if i%2 == 0 {
					second = append(second, binding(name))
				}
				if !met && i%5 == 0 {
					findings[name] = broken(v1alpha1.SafeguardMissing, "2 of 3 pods, such as vllm-0: no policy selects it", "add one")
				}
			}
			in := input(newPolicy(newLevel("ASL-2", asks(first...), nothing()), newLevel("ASL-3", asks(second...), nothing())), newModel("ASL-3"), findings)
			if v := decision.Decide(in); v.Cleared() != met || v.Required != 50 {
				b.Fatal(text(v))
			}
			b.ReportAllocs()
			for b.Loop() {
				decision.Decide(in)
			}
		})
	}
}
