package canary

import (
	"errors"
	"strings"
	"testing"
	"time"
)

func TestKnowledge(t *testing.T) {
	begin := time.Date(2026, 5, 14, 8, 0, 0, 0, time.UTC)
	at := func(seconds int) time.Time { return begin.Add(time.Duration(seconds) * time.Second) }
	none := errors.New("API server https://192.0.2.2:6443: it cannot be reached")
	// step is a round that began then, or a repair.
	type step struct {
		seconds  int
		wrong    string
		repaired bool
		unasked  []error
	}
	for name, tc := range map[string]struct {
		steps []step
		now   int
		// doubt and told are parts of what is said; empty, nothing is. told is what comes of the last step.
		doubt, told string
		pause       time.Duration
	}{
		"nobody was asked": {nil, 0, "not shown yet", "", period},
		"right at first":   {[]step{{}}, 1, "", "EnforcementProven: the API servers show", period},
		"right again":      {[]step{{}, {seconds: 30}}, 31, "", "", period},
		"wrong at first": {[]step{{wrong: "it lets in a pod"}}, 1, "have not since this process leads: it lets in a pod",
			"EnforcementUnproven: ", again},
		"wrong after that": {[]step{{}, {seconds: 30, wrong: "it holds a pod"}}, 31, "last did at 2026-05-14T08:00:00Z: it holds a pod",
			"EnforcementUnproven: ", again},
		"wrong still":                   {[]step{{wrong: "a"}, {seconds: 2, wrong: "b"}}, 3, "b", "", again},
		"right after that":              {[]step{{wrong: "a"}, {seconds: 2}}, 3, "", "EnforcementProven", period},
		"no round ends":                 {[]step{{}}, 91, "asked for long", "EnforcementProven", period},
		"repaired":                      {[]step{{}, {seconds: 10, repaired: true}}, 11, "repaired at 2026-05-14T08:00:10Z", "", settling},
		"right too soon after a repair": {[]step{{}, {seconds: 10, repaired: true}, {seconds: 12}}, 13, "not shown since", "", settling},
		"right after a repair":          {[]step{{}, {seconds: 10, repaired: true}, {seconds: 13}}, 14, "", "EnforcementProven", period},
		"repaired during the round":     {[]step{{}, {seconds: 31, repaired: true}, {seconds: 30}}, 32, "not shown since", "", settling},
		"told once a repair was doubted": {[]step{{}, {seconds: 10, repaired: true}, {seconds: 12}, {seconds: 15}}, 16, "",
			"EnforcementProven", period},
		"one of two cannot be asked": {[]step{{unasked: []error{none}}}, 1, "",
			"nothing is known of 1 that cannot be asked: API server https://192.0.2.2", period},
	} {
		t.Run(name, func(t *testing.T) {
			var k knowledge
			var told string
			for _, s := range tc.steps {
				if told = ""; s.repaired {
					k.repair(at(s.seconds))
					continue
				}
				var err error
				if s.wrong != "" {
					err = errors.New(s.wrong)
				}
				k.missed(s.unasked)
				event, note := k.learn(at(s.seconds), err)
				if event != "" {
					told = string(event) + ": " + note
				}
			}
			doubt := ""
			if err := k.doubt(at(tc.now)); err != nil {
				doubt = err.Error()
			}
			for what, text := range map[string][2]string{"doubt": {doubt, tc.doubt}, "told": {told, tc.told}} {
				if !strings.Contains(text[0], text[1]) || text[1] == "" && text[0] != "" {
					t.Errorf("%s: %q, want %q", what, text[0], text[1])
				}
			}
			if got := k.pause(); got != tc.pause {
				t.Errorf("pause %v, want %v", got, tc.pause)
			}
		})
	}
}
