package diff_test

import (
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/interlock-dev/interlock/internal/diff"
	"github.com/interlock-dev/interlock/internal/testing/frameworks"
)

// Short names for what is used at every turn.
var (
	change     = frameworks.Change
	compared   = frameworks.Compared
	copyOf     = frameworks.CopyOf
	lines      = frameworks.Lines
	count      = frameworks.Count
	hours      = frameworks.Hours
	evict      = frameworks.Evict
	obligation = frameworks.Obligation
	threshold  = frameworks.Threshold
)

// diffCase is how one framework becomes another, and what is told of it.
type diffCase struct {
	before, after func(*diff.Framework)
	want          []string
}

// checkDiff also compares the other way round, and holds that frameworks are left as they are.
func checkDiff(t *testing.T, cases map[string]diffCase) {
	for name, tc := range cases {
		t.Run(name, func(t *testing.T) {
			before, after := compared(), compared()
			if tc.before != nil {
				tc.before(&before)
			}
			if tc.after != nil {
				tc.after(&after)
			}
			unchanged := [2]diff.Framework{copyOf(before), copyOf(after)}
			got := diff.Compare(before, after)
			if d := cmp.Diff(tc.want, lines(got)); d != "" {
				t.Errorf("(-want +got):\n%s", d)
			}
			back := diff.Compare(after, before)
			if count(got, diff.Weakens) != count(back, diff.Strengthens) || count(got, diff.Strengthens) != count(back, diff.Weakens) || len(got) != len(back) {
				t.Errorf("the other way round:\n%s", strings.Join(lines(back), "\n"))
			}
			if d := cmp.Diff(unchanged, [2]diff.Framework{before, after}); d != "" {
				t.Errorf("mutated (-before +after):\n%s", d)
			}
		})
	}
}
