package record

import (
	"cmp"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"sync"

	"k8s.io/apimachinery/pkg/types"

	"github.com/interlock-dev/interlock/api/v1alpha1"
)

// Link is what the next record of a model needs to know of the last one.
type Link struct {
	Model Model `json:"model"`
	// Index of the entry in the log.
	Index    uint64           `json:"index"`
	Sequence int64            `json:"sequence"`
	Verdict  v1alpha1.Outcome `json:"verdict"`
	// Digest of the entry.
	Digest  string            `json:"digest"`
	Content string            `json:"content"`
	Weights map[string]string `json:"weights"`
}

func (l Link) weights() map[string]string {
	if l.Weights == nil {
		return map[string]string{}
	}
	return l.Weights
}

// Parse reads an entry: one statement of ours. Fields that it does not know are of a later version.
func Parse(entry []byte) (Statement, error) {
	var s Statement
	if err := json.Unmarshal(entry, &s); err != nil {
		return s, fmt.Errorf("not a statement: %w", err)
	}
	c := s.Predicate.Coalesced
	switch {
	case c != nil && (c.Changes < 2 || c.Since.IsZero() || c.Since.After(s.Predicate.TimeVerified)):
		return s, fmt.Errorf("it stands for %d decisions since %s, which cannot be: it was made at %s", c.Changes, c.Since, s.Predicate.TimeVerified)
	case s.Type != StatementType:
		return s, fmt.Errorf("_type is %q, not %q", s.Type, StatementType)
	case s.PredicateType != PredicateType:
		return s, fmt.Errorf("predicateType is %q, not %q", s.PredicateType, PredicateType)
	case len(s.Subject) != 1 || s.Subject[0].Name != s.Predicate.Model.key().String():
		return s, errors.New("its subject is not its one model")
	}
	return s, nil
}

// Chains follow the records of all models, and hold the last of each. They are safe for concurrent use.
type Chains struct {
	mu   sync.Mutex
	size uint64
	last map[types.NamespacedName]Link
}

// Snapshot is what Chains hold after some entries of the log.
type Snapshot struct {
	// Size is the number of entries.
	Size uint64 `json:"size"`
	// Last record of each model, in the order of the log.
	Last []Link `json:"last"`
}

// NewChains begins where a snapshot was taken; the zero Snapshot is the start of a log.
func NewChains(s Snapshot) *Chains {
	c := &Chains{size: s.Size, last: make(map[types.NamespacedName]Link, len(s.Last))}
	for _, l := range s.Last {
		c.last[l.Model.key()] = l
	}
	return c
}

// Size is the number of entries that were followed.
func (c *Chains) Size() uint64 {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.size
}

// Last gives the last record of a model; false when there is none.
func (c *Chains) Last(model types.NamespacedName) (Link, bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	l, ok := c.last[model]
	return l, ok
}

// Living counts the models of a namespace whose chains have not ended.
func (c *Chains) Living(namespace string) (n int) {
	c.mu.Lock()
	defer c.mu.Unlock()
	for model, l := range c.last {
		if model.Namespace == namespace && l.Verdict != OutcomeNotEnforced && l.Verdict != OutcomeUndeclared {
			n++
		}
	}
	return n
}

// Snapshot gives what the chains hold now.
func (c *Chains) Snapshot() Snapshot {
	c.mu.Lock()
	defer c.mu.Unlock()
	s := Snapshot{Size: c.size, Last: make([]Link, 0, len(c.last))}
	for _, l := range c.last {
		s.Last = append(s.Last, l)
	}
	slices.SortFunc(s.Last, func(a, b Link) int { return cmp.Compare(a.Index, b.Index) })
	return s
}

// Follow takes the next entry of the log. It is an error if that does not continue the chain of its model.
func (c *Chains) Follow(index uint64, entry []byte) error {
	s, err := Parse(entry)
	if err != nil {
		return fmt.Errorf("entry %d: %w", index, err)
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	if index != c.size {
		return fmt.Errorf("entry %d comes where entry %d was to come", index, c.size)
	}
	key, p := s.Predicate.Model.key(), &s.Predicate
	before := c.last[key]
	if p.Sequence != before.Sequence+1 || p.Previous != before.Digest {
		return fmt.Errorf("entry %d does not follow the one before on %s: it is number %d after %q, and number %d is %q",
			index, key, p.Sequence, p.Previous, before.Sequence, before.Digest)
	}
	c.size++
	c.last[key] = Link{Model: p.Model, Index: index, Sequence: p.Sequence, Verdict: p.Verdict,
		Digest: digestOf(entry), Content: p.Content, Weights: s.Subject[0].Digest}
	return nil
}
