package podrules

import (
	"errors"
	"testing"
	"time"

	"k8s.io/apimachinery/pkg/types"
	clocktesting "k8s.io/utils/clock/testing"

	"github.com/interlock-dev/interlock/api/v1alpha1"
)

func TestCheck(t *testing.T) {
	start := time.Date(2026, 5, 14, 8, 0, 0, 0, time.UTC)
	sg := func(generation int64) *v1alpha1.Safeguard {
		s := &v1alpha1.Safeguard{}
		s.UID, s.Generation = "a", generation
		return s
	}
	refused := map[types.UID]error{"a": errors.New("too deep")}
	type step struct {
		after   time.Duration
		stored  *v1alpha1.Safeguard
		refused map[types.UID]error
		renewed bool
	}
	for name, tc := range map[string]struct {
		steps []step
		ask   *v1alpha1.Safeguard
		at    time.Duration
		wait  time.Duration
		err   string
	}{
		"never stored":               {ask: sg(1), wait: settling},
		"just stored":                {steps: []step{{stored: sg(1)}}, ask: sg(1), at: time.Second, wait: settling - time.Second},
		"stored a while ago":         {steps: []step{{stored: sg(1)}}, ask: sg(1), at: time.Minute},
		"an older generation stored": {steps: []step{{stored: sg(1)}}, ask: sg(2), at: time.Minute, wait: settling},
		"stored again as it was":     {steps: []step{{stored: sg(1)}, {after: time.Minute, stored: sg(1)}}, ask: sg(1), at: time.Minute},
		"stored anew": {steps: []step{{stored: sg(1)}, {after: time.Minute, stored: sg(2)}},
			ask: sg(2), at: time.Minute, wait: settling},
		"restored after it was tampered with": {steps: []step{{stored: sg(1)}, {after: time.Minute, stored: sg(1), renewed: true}},
			ask: sg(1), at: time.Minute, wait: settling},
		"refused": {steps: []step{{stored: sg(1), refused: refused}}, ask: sg(1), at: time.Minute,
			err: "the API server does not enforce it: too deep"},
		"refused first, taken then": {steps: []step{{stored: sg(1), refused: refused}, {after: time.Minute, stored: sg(1)}},
			ask: sg(1), at: time.Minute, wait: settling},
		"gone": {steps: []step{{stored: sg(1)}, {after: time.Minute}}, ask: sg(1), at: time.Hour, wait: settling},
	} {
		t.Run(name, func(t *testing.T) {
			clock := clocktesting.NewFakeClock(start)
			r := NewRegister(clock)
			for _, s := range tc.steps {
				clock.SetTime(start.Add(s.after))
				var stored []*v1alpha1.Safeguard
				if s.stored != nil {
					stored = append(stored, s.stored)
				}
				r.Set(stored, s.refused, s.renewed)
			}
			wait, err := r.Check(tc.ask, start.Add(tc.at))
			if wait != tc.wait {
				t.Errorf("wait = %v, want %v", wait, tc.wait)
			}
			if tc.err == "" && err != nil || tc.err != "" && (err == nil || err.Error() != tc.err) {
				t.Errorf("error = %v, want %q", err, tc.err)
			}
		})
	}
}
