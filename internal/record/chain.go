package record

import (
	"cmp"
	"encoding/json"
	"errors"
	"fmt"
	"slices"

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
	switch {
	case s.Type != StatementType:
		return s, fmt.Errorf("_type is %q, not %q", s.Type, StatementType)
	case s.PredicateType != PredicateType:
		return s, fmt.Errorf("predicateType is %q, not %q", s.PredicateType, PredicateType)
	case len(s.Subject) != 1 || s.Subject[0].Name != s.Predicate.Model.key().String():
		return s, errors.New("its subject is not its one model")
	}
	return s, nil
}

// Chains follow the records of all models, and hold the last of each.
type Chains struct {
	last map[types.NamespacedName]Link
}

// NewChains begins with the links that are known; none, at the start of a log.
func NewChains(links ...Link) *Chains {
	c := &Chains{last: make(map[types.NamespacedName]Link, len(links))}
	for _, l := range links {
		c.last[l.Model.key()] = l
	}
	return c
}

// Last gives the last record of a model; false when there is none.
func (c *Chains) Last(model types.NamespacedName) (Link, bool) {
	l, ok := c.last[model]
	return l, ok
}

// Links gives the last record of each model, in the order of the log.
func (c *Chains) Links() []Link {
	links := make([]Link, 0, len(c.last))
	for _, l := range c.last {
		links = append(links, l)
	}
	slices.SortFunc(links, func(a, b Link) int { return cmp.Compare(a.Index, b.Index) })
	return links
}

// Follow takes the next entry of the log. It is an error if that does not continue the chain of its model.
func (c *Chains) Follow(index uint64, entry []byte) error {
	s, err := Parse(entry)
	if err != nil {
		return fmt.Errorf("entry %d: %w", index, err)
	}
	key, p := s.Predicate.Model.key(), &s.Predicate
	before := c.last[key]
	if p.Sequence != before.Sequence+1 || p.Previous != before.Digest {
		return fmt.Errorf("entry %d does not follow the one before on %s: it is number %d after %q, and number %d is %q",
			index, key, p.Sequence, p.Previous, before.Sequence, before.Digest)
	}
	c.last[key] = Link{Model: p.Model, Index: index, Sequence: p.Sequence, Verdict: p.Verdict,
		Digest: digestOf(entry), Content: p.Content, Weights: s.Subject[0].Digest}
	return nil
}
