package attestation

import (
	"fmt"
	"maps"
	"sync"
	"time"

	"k8s.io/utils/clock"
)

const (
	// turnsEach is how many of a namespace are fetched at once: a registry that is slow, whoever named it, must not keep
	// the evidence of others waiting.
	turnsEach = 4
	// turnAfter is how long one waits that finds its namespace's turns taken.
	turnAfter = time.Second
	// shareBytes is how much a namespace may have fetched in shareTime.
	shareBytes = 16 << 20
	shareTime  = 10 * time.Minute
	// leastBytes have to be left of a share for a fetch to begin.
	leastBytes = maxAnswer
)

// shares are what namespaces may have fetched from registries, at once and over time, so that none takes it from the others.
type shares struct {
	clock clock.PassiveClock
	// shared is the namespace whose evidence serves all. It is no tenant's, and may have as much fetched as it names.
	shared string

	mu sync.Mutex
	of map[string]*share
}

// share of one namespace. What is spent of it comes back over time.
type share struct {
	taken int
	left  float64
	at    time.Time
}

func newShares(clock clock.PassiveClock, shared string) *shares {
	return &shares{clock: clock, shared: shared, of: map[string]*share{}}
}

// take gives a namespace a turn, or says why not and when to ask again.
func (s *shares) take(namespace string) (again time.Duration, why string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	own := s.now(namespace)
	switch {
	case own.taken >= turnsEach:
		return turnAfter, fmt.Sprintf("it waits for its turn: %d others of namespace %s are being fetched", own.taken, namespace)
	case own.left < leastBytes && namespace != s.shared:
		again = time.Duration((leastBytes - own.left) / shareBytes * float64(shareTime))
		return max(again, turnAfter), fmt.Sprintf("it waits: the Attestations of namespace %s have had their share fetched, %d MiB in %d minutes",
			namespace, shareBytes>>20, int(shareTime.Minutes()))
	}
	own.taken++
	return 0, ""
}

// now gives the share of a namespace with what has come back, and forgets those of namespaces that have all of theirs.
func (s *shares) now(namespace string) *share {
	now := s.clock.Now()
	for _, own := range s.of {
		own.left = min(own.left+max(now.Sub(own.at).Seconds(), 0)/shareTime.Seconds()*shareBytes, shareBytes)
		own.at = now
	}
	maps.DeleteFunc(s.of, func(_ string, own *share) bool { return own.taken == 0 && own.left >= shareBytes })
	if s.of[namespace] == nil {
		s.of[namespace] = &share{left: shareBytes, at: now}
	}
	return s.of[namespace]
}

func (s *shares) give(namespace string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.of[namespace].taken--
}

// spender notes what is read for a namespace that has a turn, and refuses more than its share.
func (s *shares) spender(namespace string) func(bytes int) error {
	return func(bytes int) error {
		s.mu.Lock()
		defer s.mu.Unlock()
		own := s.of[namespace]
		own.left -= float64(bytes)
		if own.left < 0 && namespace != s.shared {
			own.left = 0
			return fmt.Errorf("namespace %s has had its share fetched from registries, %d MiB in %d minutes", namespace, shareBytes>>20, int(shareTime.Minutes()))
		}
		return nil
	}
}
