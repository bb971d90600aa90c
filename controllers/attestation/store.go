// Package attestation verifies Attestations and keeps what came of it in memory, reports on each, and finds the evidence
// for a model. It judges no model: that is internal/safeguard's. Nothing is read from a status.
package attestation

import (
	"cmp"
	"errors"
	"fmt"
	"runtime"
	"slices"
	"sync"
	"time"

	"golang.org/x/sync/singleflight"
	"k8s.io/apimachinery/pkg/types"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/event"
	"sigs.k8s.io/controller-runtime/pkg/handler"
	"sigs.k8s.io/controller-runtime/pkg/source"

	"github.com/interlock-dev/interlock/api/v1alpha1"
	"github.com/interlock-dev/interlock/internal/evidence"
	"github.com/interlock-dev/interlock/internal/safeguard"
	"github.com/interlock-dev/interlock/internal/tenancy"
)

// Limits of what is kept, in bytes of evidence.
const (
	// maxResults is how much evidence a generation of results may be about; two are kept. What is dropped is verified again
	// when it is asked for.
	maxResults = 16 << 20
	// maxFetched is how much is kept of what was fetched from registries, and maxFetchedEach how much of that for one namespace
	// that is not the one for all.
	maxFetched     = 32 << 20
	maxFetchedEach = 4 << 20
)

// Each failure to fetch doubles the wait for the next attempt.
const (
	shortestWait            = 5 * time.Millisecond
	longestWaitForReferrers = 10 * time.Second
)

// leaseOf is for how many times refresh what refers to a subject counts without having been found again.
const leaseOf = 3

// Store keeps what was fetched and verified. It is safe for concurrent use.
type Store struct {
	refresh time.Duration
	// shared is the namespace whose evidence serves all.
	shared string
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

// download is what came of fetching for an Attestation. With nothing found, no time and no error it is on its way.
type download struct {
	uid   types.UID
	found []found
	// err says why the last attempt came to nothing.
	err error
	// attempted is when that was, and wait for how long there is no other; zero, unless it came to nothing.
	attempted time.Time
	wait      time.Duration
	// listed is when it was last known all that refers to a subject; zero, never.
	listed time.Time
}

// found is evidence in a manifest, by the digest of that. The error says that there will never be any in it.
type found struct {
	digest string
	// layer is the digest of the layer if there are several.
	layer   string
	content string
	err     error
}

// short is a name for it among the others of an Attestation.
func (f *found) short() string {
	digest := cmp.Or(f.layer, f.digest)
	return digest[:min(len(digest), len("sha256:")+12)]
}

func (d *download) size() (size int) {
	for i := range d.found {
		size += len(d.found[i].content)
	}
	return size
}

type parsedTrust struct {
	generation int64
	trust      *evidence.Trust
	err        error
}

// NewStore returns a Store that holds nothing. What refers to a subject is to be looked up every refresh, and what is in the
// shared namespace serves all.
func NewStore(refresh time.Duration, shared string) *Store {
	return &Store{
		refresh: refresh, shared: shared,
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

// Attested gives what becomes of the statements that an Attestation brings under a trust, and verifies them if that has
// not been done. There are none if a registry has none.
func (s *Store) Attested(a *v1alpha1.Attestation, trust *evidence.Trust) []safeguard.Attested {
	name := a.Namespace + "/" + a.Name
	if tenancy.IsAttestationStub(a) {
		return []safeguard.Attested{{Name: name, Err: errors.New(a.Annotations[v1alpha1.UnreadAnnotation]), Unread: true}}
	}
	if a.Spec.Content != "" {
		return []safeguard.Attested{s.attested(a, name, a.Spec.Content, trust)}
	}
	d := s.download(a)
	results := make([]safeguard.Attested, 0, len(d.found)+1)
	for _, f := range d.found {
		result := safeguard.Attested{Name: name, Err: f.err}
		if f.err == nil {
			result = s.attested(a, name, f.content, trust)
		}
		if a.Spec.Referrers != nil || f.layer != "" {
			result.Name = name + "@" + f.short()
		}
		if a.Spec.Referrers != nil {
			// Long ago, if not all of it has been seen yet: what failed counts even so, and nothing else.
			result.Until = d.listed.Add(leaseOf * s.refresh)
		}
		results = append(results, result)
	}
	if d.never(a) {
		results = append(results, safeguard.Attested{Name: name, Err: d.err, Unfetched: d.err != nil, Fetching: d.err == nil})
	}
	return results
}

// never says that it has not been found out yet what there is.
func (d *download) never(a *v1alpha1.Attestation) bool {
	if a.Spec.Referrers != nil {
		return d.listed.IsZero()
	}
	return len(d.found) == 0
}

// attested gives what becomes of one content that an Attestation brings. The API server noted when the Attestation was made,
// and what it holds or names by a digest cannot be younger. What refers to something may be.
func (s *Store) attested(a *v1alpha1.Attestation, name, content string, trust *evidence.Trust) safeguard.Attested {
	verified := s.answer(question{content, trust.Keys}, trust)
	switch statement := verified.statement; {
	case statement == nil || !statement.Undated():
		return safeguard.Attested{Name: name, Statement: statement, Err: verified.err}
	case a.Spec.Referrers != nil:
		return safeguard.Attested{Name: name, Err: errUndatedReferrer}
	default:
		return safeguard.Attested{Name: name, Statement: statement.SeenBy(a.CreationTimestamp.Time)}
	}
}

var errUndatedReferrer = fmt.Errorf("nothing says when the statement was made, and what refers to a subject may come at any time: "+
	"give its subject the annotation %s, or bring it in an Attestation of its own", evidence.TimeAnnotation)

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

// put notes what came of fetching. What was fetched once stays as long as the Attestation does and this process lives: a
// digest names one thing for ever, and a registry that forgets what failed may have a reason to.
func (s *Store) put(a *v1alpha1.Attestation, d download) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	key := client.ObjectKeyFromObject(a)
	before := s.fetched[key]
	if before.uid != a.UID {
		before = download{}
	}
	d.uid, d.found = a.UID, append(slices.Clip(before.found), d.found...)
	replaced := s.fetched[key]
	rest := s.fetchedSize - replaced.size()
	if err := s.room(key, d.size(), rest); err != nil {
		d.found, d.listed, d.err = before.found, before.listed, err
	}
	if d.err != nil {
		d.wait = min(max(2*before.wait, shortestWait), s.longestWait(a))
	}
	s.fetchedSize = rest + d.size()
	s.fetched[key] = d
	return d.err
}

// room says why there is none for what was fetched for an Attestation, beside the rest of what is kept.
func (s *Store) room(key types.NamespacedName, size, rest int) error {
	own := 0
	for other, d := range s.fetched {
		if other.Namespace == key.Namespace && other != key {
			own += d.size()
		}
	}
	switch {
	case own+size > maxFetchedEach && key.Namespace != s.shared:
		return fmt.Errorf("namespace %s names more evidence in registries than the %d MiB that are kept for it; put some of it into Attestations",
			key.Namespace, maxFetchedEach>>20)
	case rest+size > maxFetched:
		return fmt.Errorf("more evidence is named in registries than the %d MiB that are kept; put some of it into Attestations", maxFetched>>20)
	}
	return nil
}

// longestWait is how long after a failure it is tried again at the latest.
func (s *Store) longestWait(a *v1alpha1.Attestation) time.Duration {
	if a.Spec.Referrers != nil { // what was found ceases to count unless it is looked up again
		return min(longestWaitForReferrers, s.refresh)
	}
	return s.refresh
}

// forget drops what was fetched for an Attestation that is gone.
func (s *Store) forget(key types.NamespacedName) {
	s.mu.Lock()
	defer s.mu.Unlock()
	gone := s.fetched[key]
	s.fetchedSize -= gone.size()
	delete(s.fetched, key)
}

// Arrivals is a source that tells of Attestations whose content has come from a registry, or was not to be had.
func (s *Store) Arrivals(h handler.EventHandler) source.Source {
	return source.Channel(s.arrivals, h)
}

// Speaks gives the subjects that an Attestation is about by its own account; false, if that is not known.
func (s *Store) Speaks(a *v1alpha1.Attestation) (subjects []string, known bool) {
	if a.Spec.Content != "" {
		return evidence.Subjects([]byte(a.Spec.Content))
	}
	d := s.download(a)
	known = !d.never(a)
	for _, f := range d.found {
		about, ok := evidence.Subjects([]byte(f.content))
		subjects, known = append(subjects, about...), known && ok
	}
	return subjects, known
}
