package modeldeployment

import (
	"sync"
	"time"

	"k8s.io/apimachinery/pkg/types"

	"github.com/interlock-dev/interlock/api/v1alpha1"
)

// shortfalls remembers since when models run without clearance. Status holds it over a restart; this holds it over a
// declaration that is taken back and made anew, by which the steps could be put off for ever.
type shortfalls struct {
	mu    sync.Mutex
	since map[types.NamespacedName]time.Time
}

// begin gives the earliest that is known of a shortfall that lasts: what is remembered, what was reported, or now. The
// API keeps no fractions of a second.
func (s *shortfalls) begin(model types.NamespacedName, reported *v1alpha1.Shortfall, now time.Time) time.Time {
	s.mu.Lock()
	defer s.mu.Unlock()
	since := now.UTC().Truncate(time.Second)
	if reported != nil && !reported.Since.IsZero() && reported.Since.Time.Before(since) {
		since = reported.Since.Time
	}
	if known, ok := s.since[model]; ok && known.Before(since) {
		since = known
	}
	if s.since == nil {
		s.since = map[types.NamespacedName]time.Time{}
	}
	s.since[model] = since
	return since
}

// known says whether a shortfall has begun and not ended.
func (s *shortfalls) known(model types.NamespacedName, reported *v1alpha1.Shortfall) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	_, ok := s.since[model]
	return ok || reported != nil
}

// end forgets a shortfall.
func (s *shortfalls) end(model types.NamespacedName) {
	s.mu.Lock()
	defer s.mu.Unlock()
	delete(s.since, model)
}
