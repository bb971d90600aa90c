package admission

import (
	"cmp"
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/interlock-dev/interlock/internal/decision"
)

// shortfallsKey holds what is remembered of shortfalls, "MODEL SINCE WAIT QUIET" in lines as those of Clearances. The API
// server does not look at it. It lies here since nobody but the operator can write or delete this object, while a
// ModelDeployment and its status can be deleted and made anew.
const shortfallsKey = "interlock.dev/shortfalls"

// Strays stands for a model where a shortfall is that of pods that no declared model answers for. No model has such a name.
const Strays = "*"

// maxShortfalls is the most that is written of shortfalls: room for some five hundred. Those that began first go before.
const maxShortfalls = 50_000

// none stands for a time that is not there.
const none = "-"

// ShortfallsOf gives what is remembered of the models of a namespace.
func ShortfallsOf(data map[string]string) map[string]decision.Shortfall {
	all := map[string]decision.Shortfall{}
	for text := range strings.Lines(data[shortfallsKey]) {
		if model, rest, ok := strings.Cut(strings.TrimSuffix(text, "\n"), " "); ok {
			if s := shortfallOf(rest); !s.IsZero() {
				all[model] = s
			}
		}
	}
	return all
}

// ShortfallOf gives what is remembered of one model.
func ShortfallOf(data map[string]string, model string) decision.Shortfall {
	return shortfallOf(line(data[shortfallsKey], model))
}

func shortfallOf(text string) decision.Shortfall {
	fields := strings.Fields(text)
	if len(fields) != 3 {
		return decision.Shortfall{}
	}
	since, err1 := time.Parse(time.RFC3339, fields[0])
	wait, err2 := time.ParseDuration(fields[1])
	s := decision.Shortfall{Since: since, Wait: wait}
	var err3 error
	if fields[2] != none {
		s.QuietSince, err3 = time.Parse(time.RFC3339, fields[2])
	}
	if err1 != nil || err2 != nil || err3 != nil {
		return decision.Shortfall{}
	}
	return s
}

// shortfallLines writes what is remembered; empty, nothing is.
func shortfallLines(all map[string]decision.Shortfall) string {
	models := slices.SortedFunc(maps.Keys(all), func(a, b string) int {
		return cmp.Or(all[a].Since.Compare(all[b].Since), cmp.Compare(a, b))
	})
	var b strings.Builder
	for _, model := range models {
		s, quiet := all[model], none
		if !s.QuietSince.IsZero() {
			quiet = clock(s.QuietSince)
		}
		text := fmt.Sprintf("%s %s %s %s\n", model, clock(s.Since), s.Wait, quiet)
		if s.IsZero() || b.Len()+len(text) > maxShortfalls {
			continue
		}
		b.WriteString(text)
	}
	if b.Len() == 0 {
		return ""
	}
	return "\n" + b.String()
}
