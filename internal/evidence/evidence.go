// Package evidence verifies signed statements: DSSE envelopes and Sigstore bundles with an in-toto statement inside.
//
// It says who signed what about which subjects and when, and nothing of what that means for a model: package safeguard
// does. It is pure: what it verifies and whom it trusts is handed to it, and it looks at no clock. It must import nothing
// of this project but the API types.
package evidence

import (
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"runtime/debug"
	"slices"
	"strings"
	"time"
)

// Limits of what is looked at. What exceeds them is refused as it is, not cut.
const (
	// MaxSize is the largest envelope or bundle, in bytes.
	MaxSize = 1 << 20
	// maxSignatures an envelope may bear.
	maxSignatures = 16
	// maxSubjects a statement may have.
	maxSubjects = 256
	// maxDepth is how deep JSON may be nested.
	maxDepth = 64
	// maxValues is how many values JSON may hold.
	maxValues = 100_000
)

// PayloadType is the one type of payload that is verified.
const PayloadType = "application/vnd.in-toto+json"

// Statement is an in-toto statement that somebody signed whom the policy trusts.
type Statement struct {
	// Digest of the envelope or bundle.
	Digest string
	// Payload is the digest of what was signed: two envelopes with one payload are one statement.
	Payload string
	// Signatures by trusted keys, one a key, by key.
	Signatures []Signature
	// PredicateType is a URI.
	PredicateType string
	// Subjects by digest, as "sha256:" and lower-case hexadecimal digits, sorted.
	Subjects []string
	// Predicate as JSON. Whole numbers are int64, others float64.
	Predicate map[string]any
	// Failed says what went wrong by the statement's own account; empty, nothing did.
	Failed string
	// Time is when what the statement is about was done by its own account, or when it was signed, if that is proven to be
	// earlier. It may lie in the future; whoever uses the statement has a clock and must look. Zero means that nothing says
	// when: only a statement on what a thing is may be undated.
	Time time.Time
}

// Signature is one that was verified.
type Signature struct {
	// Key identifies the key or the identity, whatever it is called.
	Key string
	// Time of signing. Of an undated statement it is the latest that it can be, and zero as long as that is not known either.
	Time time.Time
	// Proven says that a log or a timestamping authority vouches for the time; else it is the signer's word.
	Proven bool
}

// Undated says that nothing tells when the statement was made.
func (s *Statement) Undated() bool { return s.Time.IsZero() }

// SeenBy gives an undated statement that is known to have been there at a time: its signatures are no younger than that.
func (s *Statement) SeenBy(seen time.Time) *Statement {
	known := *s
	known.Signatures = slices.Clone(s.Signatures)
	for i := range known.Signatures {
		known.Signatures[i].Time = seen
	}
	return &known
}

// Panic is the error of a verification that broke down: it found out nothing.
type Panic struct{ cause any }

// Error says what happened, in one line.
func (p *Panic) Error() string { return fmt.Sprintf("the verifier itself failed: %v", p.cause) }

// Verify gives the statement in an envelope or bundle that at least one key of the trust has signed. The error says what
// is wrong with it. The same content and keys always give the same result; whether a signer is valid or revoked is not
// looked at here, but by Trust.Accepts.
func Verify(content []byte, trust *Trust) (s *Statement, err error) {
	defer func() {
		if cause := recover(); cause != nil {
			s, err = nil, &Panic{fmt.Sprintf("%v at %s", cause, firstFrames(debug.Stack()))}
		}
	}()
	p, err := parse(content)
	if err != nil {
		return nil, err
	}
	if p.statement.Signatures, err = p.signed(trust); err != nil {
		return nil, err
	}
	if err := p.statement.date(p.annotated); err != nil {
		return nil, err
	}
	return p.statement, nil
}

// Subjects gives the subjects that an envelope or bundle speaks of, by digest, with nothing verified; none, if it is no
// such thing, and false if reading it broke down. It tells where to look, and nothing else may rest on it.
func Subjects(content []byte) (subjects []string, ok bool) {
	defer func() {
		if cause := recover(); cause != nil {
			subjects, ok = nil, false
		}
	}()
	p, err := parse(content)
	if err != nil {
		return nil, true
	}
	return p.statement.Subjects, true
}

// Digest of content, as "sha256:" and hexadecimal digits.
func Digest(content []byte) string {
	sum := sha256.Sum256(content)
	return "sha256:" + hex.EncodeToString(sum[:])
}

// EnvironmentSubject gives the digest by which a statement names a cluster, or a namespace of it: that of "CLUSTER" or of
// "CLUSTER/NAMESPACE/UID", where the cluster is the UID of its namespace kube-system. Without its UID a name would stand for any
// namespace that is ever made under it.
func EnvironmentSubject(cluster string, within ...string) string {
	return Digest([]byte(strings.Join(append([]string{cluster}, within...), "/")))
}

// firstFrames gives a bounded part of a stack, in one line.
func firstFrames(stack []byte) string {
	const limit = 300
	return fmt.Sprintf("%.*q", limit, stack)
}
