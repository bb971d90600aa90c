// Package tenancy owns how much of what tenants write is held in memory.
//
// What is held of one namespace may take no more than is free, so one that writes without end gets half of all there is, two get
// a third each, and there is always room for the others. Of what is beyond its share only a stub is held (see Cut), which is
// judged as not known. Namespaces that are not enrolled share one account, and of their pods and NetworkPolicies only stubs are
// held, since nothing there is judged.
//
// It must not import controllers or a client: what it cuts is handed to it.
package tenancy

import (
	"sync"

	"k8s.io/apimachinery/pkg/types"
)

// Small is the size in bytes up to which an object is held in any case: it takes hardly more than its stub would.
const Small = 2 << 10

// unenrolled is the account of all namespaces that are not enrolled. No namespace has such a name.
const unenrolled = ""

// Shares keeps account of what is held of each namespace. It is safe for concurrent use.
type Shares struct {
	total int64
	// own are the namespaces of the operator, where no tenant writes.
	own map[string]bool

	mu       sync.Mutex
	enrolled map[string]bool
	used     int64
	accounts map[string]int64
	held     map[types.UID]holding
	// refused has the sizes of objects for which there was no room.
	refused map[types.UID]holding
}

type holding struct {
	account string
	size    int64
}

// NewShares returns Shares of a total in bytes. The own namespaces are those of the operator.
func NewShares(total int64, own ...string) *Shares {
	s := &Shares{total: total, own: map[string]bool{}, enrolled: map[string]bool{}, accounts: map[string]int64{},
		held: map[types.UID]holding{}, refused: map[types.UID]holding{}}
	for _, namespace := range own {
		s.own[namespace] = true
	}
	return s
}

// Enrol notes whether a namespace is enrolled. It bears on what is taken from then on.
func (s *Shares) Enrol(namespace string, enrolled bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if enrolled {
		s.enrolled[namespace] = true
	} else {
		delete(s.enrolled, namespace)
	}
}

// Enrolled says whether a namespace is enrolled, or one of the operator's own.
func (s *Shares) Enrolled(namespace string) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.account(namespace) != unenrolled
}

func (s *Shares) account(namespace string) string {
	if s.enrolled[namespace] || s.own[namespace] {
		return namespace
	}
	return unenrolled
}

// Take asks for room for an object in the share of its namespace, in place of what is held of it already. What is in the operator's
// own namespaces takes no part in it: who may write there is trusted, and takes nothing from tenants.
func (s *Shares) Take(namespace string, uid types.UID, size int64) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.release(uid)
	h := holding{s.account(namespace), size}
	switch {
	case size <= Small || s.own[h.account]:
		return true
	case !s.fits(h):
		s.refused[uid] = h
		return false
	}
	s.used += size
	s.accounts[h.account] += size
	s.held[uid] = h
	return true
}

// fits says whether an account would hold no more with something than would be free then.
func (s *Shares) fits(h holding) bool {
	return s.accounts[h.account]+h.size <= s.total-s.used-h.size
}

// MayFit says whether there may be room now for an object that was refused before.
func (s *Shares) MayFit(uid types.UID) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	h, refused := s.refused[uid]
	return !refused || s.fits(h)
}

// Release gives the room of an object back.
func (s *Shares) Release(uid types.UID) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.release(uid)
}

func (s *Shares) release(uid types.UID) {
	delete(s.refused, uid)
	h, ok := s.held[uid]
	if !ok {
		return
	}
	delete(s.held, uid)
	s.used -= h.size
	if s.accounts[h.account] -= h.size; s.accounts[h.account] == 0 {
		delete(s.accounts, h.account)
	}
}

// Count gives the bytes that are held, and how many objects there was no room for.
func (s *Shares) Count() (held int64, refused int) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.used, len(s.refused)
}
