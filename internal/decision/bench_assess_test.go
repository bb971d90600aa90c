package decision_test

import (
	"fmt"
	"testing"

	"github.com/interlock-dev/interlock/internal/decision"
	"github.com/interlock-dev/interlock/internal/diff"
)

// BenchmarkDecide is to stay under 30 microseconds: 50 safeguards, 20 thresholds, 10 assessments.
func BenchmarkDecide(b *testing.B) {
	in := large(50, 20, 10)
	if v := decision.Decide(in); !v.Cleared() || v.Required != 50 {
		b.Fatalf("%+v", v)
	}
	b.ReportAllocs()
	for b.Loop() {
		decision.Decide(in)
	}
}

// BenchmarkDecideAmongManyAssessments has 10,000 assessments of which 10 are of the model's weights.
func BenchmarkDecideAmongManyAssessments(b *testing.B) {
	in := large(50, 20, 10)
	for i := range 9_990 {
		other := *in.Assessments[i%10].DeepCopy()
		other.Name, other.Spec.Digests = fmt.Sprintf("other-%d", i), []string{weights(i + 2)}
		in.Assessments = append(in.Assessments, other)
	}
	b.ReportAllocs()
	for b.Loop() {
		decision.Decide(in)
	}
}

// BenchmarkDiff compares policies of 50 safeguards and 20 thresholds that differ in one obligation.
func BenchmarkDiff(b *testing.B) {
	before, after := large(50, 20, 0), large(50, 20, 0)
	after.Policy.Spec.Levels[2].Security.Safeguards = after.Policy.Spec.Levels[2].Security.Safeguards[1:]
	for b.Loop() {
		if changes := diff.Compare(diff.Framework{Policy: before.Policy}, diff.Framework{Policy: after.Policy}); len(changes) == 0 {
			b.Fatal("no change")
		}
	}
}
