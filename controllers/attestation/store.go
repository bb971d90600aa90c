// Package attestation verifies Attestations and keeps what came of it in memory, reports on each, and finds the evidence
// for a model. It judges no model: that is internal/safeguard's. Nothing is read from a status.
package attestation

import (
	"fmt"
	"runtime"
	"sync"

	"golang.org/x/sync/singleflight"
	"k8s.io/apimachinery/pkg/types"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/event"
	"sigs.k8s.io/controller-runtime/pkg/handler"
	"sigs.k8s.io/controller-runtime/pkg/source"

	"github.com/interlock-dev/interlock/api/v1alpha1"
	"github.com/interlock-dev/interlock/internal/evidence"
	"github.com/interlock-dev/interlock/internal/safeguard"
)

// Limits of what is kept, in bytes of evidence.
const (
	// maxResults is how much evidence a generation of results may be about; two are kept. What is dropped is verified again
	// when it is asked for.
	maxResults = 64 << 20
	// maxFetched is how much is kept of what was fetched from registries.
	maxFetched = 32 << 20
)

// Store keeps what was fetched and verified. It is safe for concurrent use.
type Store struct {
	// verify may take all processors and no more.
	workers chan struct{}
	once    singleflight.Group

	mu sync.Mutex
	// young and old are two generations of results: what is used moves to the young one, and when that is full the old one
	// is dropped.
	young, old map[question]answer
	size       int
	fetched    map[types.NamespacedName]download
	// fetchedSize is the sum of what fetched holds.
	fetchedSize int
	trusts      map[types.UID]parsedTrust
	arrivals    chan event.GenericEvent
}

// question is what a result is the answer to: the same content under the same keys is verified once.
type question struct{ content, keys string }

type answer struct {
	statement *evidence.Statement
	err       error
}

// download is what came of fetching. Without content and error it is on its way.
type download struct {
	uid     types.UID
	content string
	err     error
}

type parsedTrust struct {
	generation int64
	trust      *evidence.Trust
	err        error
}

// NewStore returns a Store that holds nothing.
func NewStore() *Store {
	return &Store{
		workers: make(chan struct{}, runtime.GOMAXPROCS(0)),
		young:   map[question]answer{}, old: map[question]answer{}, fetched: map[types.NamespacedName]download{},
		trusts: map[types.UID]parsedTrust{}, arrivals: make(chan event.GenericEvent, 64)}
}

// Trust gives whom a policy trusts. The error tells of what cannot be used.
func (s *Store) Trust(policy *v1alpha1.ScalingPolicy) (*evidence.Trust, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	have, ok := s.trusts[policy.UID]
	if !ok || have.generation != policy.Generation || policy.UID == "" {
		have = parsedTrust{generation: policy.Generation}
		have.trust, have.err = evidence.ParseTrust(policy.Spec.Trust)
		s.trusts[policy.UID] = have
	}
	return have.trust, have.err
}

// Attested gives what becomes of an Attestation under a trust, and verifies it if that has not been done.
func (s *Store) Attested(a *v1alpha1.Attestation, trust *evidence.Trust) safeguard.Attested {
	result := safeguard.Attested{Name: a.Namespace + "/" + a.Name}
	content := a.Spec.Content
	if a.Spec.OCI != "" {
		d := s.download(a)
		if result.Err = d.err; d.err != nil {
			result.Unfetched = true
			return result
		}
		if content = d.content; content == "" {
			result.Fetching = true
			return result
		}
	}
	verified := s.answer(question{content, trust.Keys}, trust)
	result.Statement, result.Err = verified.statement, verified.err
	return result
}

func (s *Store) answer(q question, trust *evidence.Trust) answer {
	if known, ok := s.known(q); ok {
		return known
	}
	verified, _, _ := s.once.Do(q.content+"\n"+q.keys, func() (any, error) {
		if known, ok := s.known(q); ok {
			return known, nil
		}
		s.workers <- struct{}{}
		defer func() { <-s.workers }()
		var a answer
		a.statement, a.err = evidence.Verify([]byte(q.content), trust)
		s.mu.Lock()
		defer s.mu.Unlock()
		s.keep(q, a)
		return a, nil
	})
	return verified.(answer)
}

func (s *Store) known(q question) (answer, bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if a, ok := s.young[q]; ok {
		return a, true
	}
	a, ok := s.old[q]
	if ok {
		s.keep(q, a)
	}
	return a, ok
}

func (s *Store) keep(q question, a answer) {
	const overhead = 1 << 10
	if s.size += len(q.content) + overhead; s.size > maxResults {
		s.young, s.old, s.size = map[question]answer{}, s.young, len(q.content)+overhead
	}
	s.young[q] = a
}

// download gives what came of fetching for an Attestation.
func (s *Store) download(a *v1alpha1.Attestation) download {
	s.mu.Lock()
	defer s.mu.Unlock()
	if d := s.fetched[client.ObjectKeyFromObject(a)]; d.uid == a.UID {
		return d
	}
	return download{}
}

// put notes what came of fetching. What was fetched once stays: a digest names one thing for ever.
func (s *Store) put(a *v1alpha1.Attestation, content []byte, err error) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	key := client.ObjectKeyFromObject(a)
	s.fetchedSize -= len(s.fetched[key].content)
	if s.fetchedSize+len(content) > maxFetched {
		content, err = nil, fmt.Errorf("more evidence is named in registries than the %d MiB that are kept; put some of it into Attestations", maxFetched>>20)
	}
	s.fetchedSize += len(content)
	s.fetched[key] = download{a.UID, string(content), err}
	return err
}

// forget drops what was fetched for an Attestation that is gone.
func (s *Store) forget(key types.NamespacedName) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.fetchedSize -= len(s.fetched[key].content)
	delete(s.fetched, key)
}

// Arrivals is a source that tells of Attestations whose content has come from a registry, or was not to be had.
func (s *Store) Arrivals(h handler.EventHandler) source.Source {
	return source.Channel(s.arrivals, h)
}

// Speaks gives the subjects that an Attestation is about by its own account; false, if that is not known.
func (s *Store) Speaks(a *v1alpha1.Attestation) ([]string, bool) {
	content := a.Spec.Content
	if a.Spec.OCI != "" {
		content = s.download(a).content
	}
	return evidence.Subjects([]byte(content)), content != ""
}
