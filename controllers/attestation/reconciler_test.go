package attestation

import (
	"io"
	"log"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/google/go-containerregistry/pkg/registry"
	testingclock "k8s.io/utils/clock/testing"

	"github.com/interlock-dev/interlock/api/v1alpha1"
	"github.com/interlock-dev/interlock/internal/evidence"
	"github.com/interlock-dev/interlock/internal/testing/builder"
)

// What a digest names is asked for until it is had, and no more often than it may do any good: at first at once, then ever
// more seldom, whatever else happens.
func TestFetchAgain(t *testing.T) {
	const refresh, watched = 10 * time.Minute, 2 * time.Hour
	var down bool
	visits := 0
	genuine := registry.New(registry.Logger(log.New(io.Discard, "", 0)), registry.WithReferrersSupport(true))
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.Method == http.MethodGet && (strings.Contains(r.URL.Path, "/manifests/sha256:") || strings.Contains(r.URL.Path, "/referrers/")) {
			visits++
			if down {
				w.WriteHeader(http.StatusServiceUnavailable)
				return
			}
		}
		genuine.ServeHTTP(w, r)
	}))
	t.Cleanup(server.Close)
	host := strings.TrimPrefix(server.URL, "http://")
	oci := func(reference string) *v1alpha1.Attestation { return builder.AttestationIn("n", "x", reference) }
	for name, tc := range map[string]struct {
		attestation *v1alpha1.Attestation
		down        bool
		// visits in the first second, and in all the time that is watched, the fewest and the most.
		first, least, most int
		had                bool
		// pieces that are found, one unless it says more.
		pieces int
	}{
		"evidence":               {attestation: oci(push(t, server, content)), first: 1, least: 1, most: 1, had: true},
		"two layers":             {attestation: oci(push(t, server, content, content+" ")), first: 1, least: 1, most: 1, had: true, pieces: 2},
		"no layer":               {attestation: oci(push(t, server)), first: 1, least: 1, most: 1, had: true},
		"an index":               {attestation: oci(putIndex(t, server)), first: 1, least: 1, most: 1, had: true},
		"more than the bound":    {attestation: oci(push(t, server, strings.Repeat("x", evidence.MaxSize+1))), first: 1, least: 1, most: 1, had: true},
		"not there":              {attestation: oci(host + "/evidence@" + builder.Digest), first: 8, least: 28, most: 28},
		"a registry that is out": {attestation: oci(push(t, server, content+" ")), down: true, first: 8, least: 28, most: 28},
		"referrers":              {attestation: builder.AttestationAbout("n", "x", host+"/evidence@"+subjectDigest, bundleType), first: 1, least: 10, most: 12, had: true},
		"referrers, and it is out": { // what was found would cease to count
			attestation: builder.AttestationAbout("n", "x", host+"/evidence@"+subjectDigest, bundleType), down: true, first: 8, least: 730, most: 730},
	} {
		t.Run(name, func(t *testing.T) {
			begin := time.Date(2026, 6, 1, 12, 0, 0, 0, time.UTC)
			clock := testingclock.NewFakePassiveClock(begin)
			r := &Reconciler{Store: NewStore(refresh, "shared"), Registries: Registries{Allowed: []string{host}}, Clock: clock, shares: newShares(clock, "shared")}
			down, visits = tc.down, 0
			first := 0
			for clock.Now().Before(begin.Add(watched)) && visits <= tc.most {
				next, _ := r.fetch(t.Context(), tc.attestation)
				before := visits
				if r.fetch(t.Context(), tc.attestation); visits != before {
					t.Fatalf("asked again %s before its time", next)
				}
				for len(r.Store.arrivals) > 0 {
					<-r.Store.arrivals
				}
				if next == 0 {
					break
				}
				clock.SetTime(clock.Now().Add(next))
				if clock.Since(begin) <= time.Second {
					first = visits + 1
				}
			}
			if first = max(first, 1); first != tc.first || visits < tc.least || visits > tc.most {
				t.Errorf("asked %d times in the first second and %d times in all, want %d and %d to %d", first, visits, tc.first, tc.least, tc.most)
			}
			down = false
			clock.SetTime(clock.Now().Add(refresh))
			before := visits
			r.fetch(t.Context(), tc.attestation)
			if d := r.Store.download(tc.attestation); tc.had && tc.attestation.Spec.OCI != "" && (visits != before || len(d.found) != max(tc.pieces, 1)) {
				t.Errorf("had %+v, and asked %d times more", d, visits-before)
			} else if !tc.had && visits == before {
				t.Error("not asked again")
			}
		})
	}
}
