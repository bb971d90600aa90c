package admission

import (
	"fmt"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/interlock-dev/interlock/internal/decision"
)

func TestShortfallsAreKept(t *testing.T) {
	nine := time.Date(2026, 5, 14, 9, 0, 0, 0, time.UTC)
	want := map[string]decision.Shortfall{
		"llama":   {Since: nine, Wait: 15 * time.Minute},
		"llama-2": {Since: nine.Add(time.Hour), Wait: 30 * time.Second, QuietSince: nine.Add(2 * time.Hour)},
		Strays:    {Since: nine.Add(-time.Hour), Wait: 0},
	}
	data, left := Clearances{Policy: "rsp", Shortfalls: want}.Annotations()
	if diff := cmp.Diff(want, ShortfallsOf(data)); diff != "" || left != nil {
		t.Errorf("left %v (-want +got):\n%s", left, diff)
	}
	for _, model := range []string{"llama", "llama-2", Strays, "gone", ""} {
		if diff := cmp.Diff(want[model], ShortfallOf(data, model)); diff != "" {
			t.Errorf("%s (-want +got):\n%s", model, diff)
		}
	}
	if text := data[shortfallsKey]; text != "\n* 2026-05-14T08:00:00Z 0s -\nllama 2026-05-14T09:00:00Z 15m0s -\nllama-2 2026-05-14T10:00:00Z 30s 2026-05-14T11:00:00Z\n" {
		t.Errorf("%q", text)
	}
}

func TestShortfallsThatCannotBeReadAreNone(t *testing.T) {
	for _, text := range []string{"", "\n", "\nllama\n", "\nllama x 1s -\n", "\nllama 2026-05-14T09:00:00Z x -\n", "\nllama 2026-05-14T09:00:00Z 1s x\n"} {
		data := map[string]string{shortfallsKey: text}
		if got := ShortfallsOf(data); len(got) != 0 || !ShortfallOf(data, "llama").IsZero() {
			t.Errorf("%q: %v", text, got)
		}
	}
}

func TestShortfallsTakeNoMoreRoomThanTheirs(t *testing.T) {
	nine := time.Date(2026, 5, 14, 9, 0, 0, 0, time.UTC)
	all := map[string]decision.Shortfall{"first": {Since: nine, Wait: time.Hour}}
	for i := range 5000 {
		all[fmt.Sprintf("model-%d", i)] = decision.Shortfall{Since: nine.Add(time.Second), Wait: time.Hour}
	}
	data, _ := Clearances{Shortfalls: all}.Annotations()
	if n := len(data[shortfallsKey]); n > maxShortfalls+1 || ShortfallOf(data, "first").IsZero() {
		t.Errorf("%d bytes, and the first: %+v", n, ShortfallOf(data, "first"))
	}
}
