package decision_test

import (
	"testing"

	"github.com/interlock-dev/interlock/internal/decision"
)

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
