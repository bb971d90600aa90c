package fresh

import (
	"context"
	"errors"
	"io"
	"net/http"
	"net/http/httptest"
	"testing"
	"time"

	"k8s.io/client-go/rest"
	clocktesting "k8s.io/utils/clock/testing"
)

func TestAProofEndsWithTimeAndWithAGap(t *testing.T) {
	begin := time.Date(2026, 5, 14, 9, 0, 0, 0, time.UTC)
	for name, tc := range map[string]struct {
		// steps are how much later the pulse looked each time.
		steps []time.Duration
		holds bool
	}{
		"at once":               {nil, true},
		"the process runs":      {[]time.Duration{time.Second, time.Second, time.Second, time.Second, time.Second}, true},
		"it is too old":         {[]time.Duration{time.Second, time.Second, time.Second, time.Second, time.Second, time.Millisecond}, false},
		"the process stood":     {[]time.Duration{1001 * time.Millisecond}, false},
		"it stood, and goes on": {[]time.Duration{2 * time.Second, time.Millisecond, time.Millisecond}, false},
	} {
		t.Run(name, func(t *testing.T) {
			clock := clocktesting.NewFakePassiveClock(begin)
			pulse := NewPulse(clock, nil)
			proof := pulse.Begin()
			for _, step := range tc.steps {
				clock.SetTime(clock.Now().Add(step))
				pulse.look()
			}
			if got := proof.Holds(); got != tc.holds {
				t.Errorf("holds = %v, want %v", got, tc.holds)
			}
			if !pulse.Begin().Holds() {
				t.Error("a new proof does not hold")
			}
		})
	}
	if (Proof{}).Holds() {
		t.Error("no proof holds")
	}
}

func TestWhatACacheLacks(t *testing.T) {
	a, b, again := id{"n", "a", "1"}, id{"n", "b", "2"}, id{"n", "a", "3"}
	live := state{versions{a: "10", b: "20"}, "30"}
	for name, tc := range map[string]struct {
		cached  versions
		lacking bool
	}{
		"the same":                        {versions{a: "10", b: "20"}, false},
		"a change has not come":           {versions{a: "9", b: "20"}, true},
		"a change of more digits":         {versions{a: "8", b: "9"}, true},
		"an object has not come":          {versions{a: "10"}, true},
		"a deletion has not come":         {versions{a: "10", b: "20", {"n", "c", "4"}: "15"}, true},
		"the last write is what was gone": {versions{a: "10", b: "20", {"n", "c", "4"}: "30"}, true},
		"made anew has not come":          {versions{again: "5", b: "20"}, true},
		"the cache is ahead by a change":  {versions{a: "31", b: "20"}, false},
		"the cache is ahead by an object": {versions{a: "10", b: "20", {"n", "c", "4"}: "31"}, false},
		"no version at all":               {versions{a: "", b: "20"}, true},
		"nothing":                         {nil, true},
	} {
		t.Run(name, func(t *testing.T) {
			if got := live.lacking(tc.cached); got != tc.lacking {
				t.Errorf("lacking = %v, want %v", got, tc.lacking)
			}
		})
	}
}

func TestNoWriteIsSentWhoseProofLapsed(t *testing.T) {
	client, _, asked := server(t, func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(http.StatusNoContent) })
	clock := clocktesting.NewFakePassiveClock(time.Now())
	pulse := NewPulse(clock, nil)
	proof := pulse.Begin()
	clock.SetTime(clock.Now().Add(2 * time.Second))
	for name, tc := range map[string]struct {
		method string
		ctx    context.Context
		sent   bool
	}{
		"bound to nothing":    {http.MethodPut, t.Context(), true},
		"bound, and it holds": {http.MethodPut, Bind(t.Context(), pulse.Begin()), true},
		"bound, and lapsed":   {http.MethodPut, Bind(t.Context(), proof), false},
		"one of two lapsed":   {http.MethodPatch, Bind(t.Context(), pulse.Begin(), proof), false},
		"bound to no proof":   {http.MethodDelete, Bind(t.Context(), Proof{}), false},
		"reads are free":      {http.MethodGet, Bind(t.Context(), proof), true},
	} {
		t.Run(name, func(t *testing.T) {
			before := *asked
			request, err := http.NewRequestWithContext(tc.ctx, tc.method, client.url, nil)
			if err != nil {
				t.Fatal(err)
			}
			response, err := client.Do(request)
			if tc.sent != (err == nil) || tc.sent != (*asked > before) || !tc.sent && !errors.Is(err, ErrLapsed) {
				t.Errorf("error %v, %d requests; want it sent: %v", err, *asked-before, tc.sent)
			}
			if err == nil {
				_ = response.Body.Close()
			}
		})
	}
}

func TestAWatchThatStandsStillIsEnded(t *testing.T) {
	stand := func(w http.ResponseWriter, r *http.Request) {
		_, _ = io.WriteString(w, "{}")
		_ = http.NewResponseController(w).Flush()
		<-r.Context().Done()
	}
	for name, end := range map[string]func(*Transport){
		"it brings nothing":             func(transport *Transport) { transport.silence = 10 * time.Millisecond },
		"it is known to lack something": nil,
	} {
		t.Run(name, func(t *testing.T) {
			client, transport, _ := server(t, stand)
			if end != nil {
				end(transport)
			}
			request, err := http.NewRequestWithContext(t.Context(), http.MethodGet, client.url+"/apis/networking.k8s.io/v1/networkpolicies?watch=true", nil)
			if err != nil {
				t.Fatal(err)
			}
			response, err := client.Do(request)
			if err != nil {
				t.Fatal(err)
			}
			defer response.Body.Close()
			if end == nil {
				transport.Cut("networkpolicies")
			}
			if _, err := io.ReadAll(response.Body); err == nil {
				t.Error("it ended as if all had come")
			}
		})
	}
}

type testClient struct {
	*http.Client
	url string
}

// server answers a client whose requests go through a Transport, and counts what was asked.
func server(t *testing.T, answer http.HandlerFunc) (testClient, *Transport, *int) {
	t.Helper()
	asked := 0
	s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		asked++
		answer(w, r)
	}))
	t.Cleanup(s.Close)
	config := &rest.Config{Host: s.URL}
	transport := NewTransport(config)
	client, err := rest.HTTPClientFor(config)
	if err != nil {
		t.Fatal(err)
	}
	return testClient{client, s.URL}, transport, &asked
}
