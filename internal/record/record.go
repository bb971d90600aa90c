// Package record owns the form of the decision record: each change of a verdict as an in-toto Statement, chained by hash
// to the one before of the same model. Where it is kept is the matter of the packages below, tlog and audit.
//
// It is pure: no clock, no file, no network.
package record

import (
	"bytes"
	"cmp"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"slices"
	"strings"
	"time"

	"k8s.io/apimachinery/pkg/types"

	"github.com/interlock-dev/interlock/api/v1alpha1"
	"github.com/interlock-dev/interlock/internal/decision"
)

const (
	// StatementType is that of in-toto.
	StatementType = "https://in-toto.io/Statement/v1"
	// PredicateType is ours; docs/record.md tells its fields.
	PredicateType = "https://interlock.dev/decision/v1"
	// MediaType of an entry.
	MediaType = "application/vnd.in-toto+json"
)

// What ends a model's chain for the time being, beside the outcomes of a decision.
const (
	// OutcomeNotEnforced: the namespace is not enrolled any more, so nothing holds the model.
	OutcomeNotEnforced v1alpha1.Outcome = "NotEnforced"
	// OutcomeUndeclared: the ModelDeployment was deleted.
	OutcomeUndeclared v1alpha1.Outcome = "Undeclared"
)

// The most bytes of an entry, of which the log's format allows 65535, and of a message in it.
const (
	maxEntry   = 60_000
	maxMessage = 300
)

// Decision is a verdict to be recorded, with all that it rests on.
type Decision struct {
	// Model is the ModelDeployment.
	Model types.NamespacedName
	// Weights is the digest of the model's weights, as "sha256:...".
	Weights string
	// Policy that is enforced, and the digest of what the verdict used of it and of its Safeguards.
	Policy, PolicyDigest string
	// Inputs are the other objects that the verdict rests on.
	Inputs  []Input
	Verdict decision.Verdict
	// At is the time of the decision.
	At time.Time
	// Changes counts the decisions that took effect since the one that was recorded before, this one among them, where they
	// came faster than they are recorded; zero, it is the only one. ChangedSince is the time of the first.
	Changes      int
	ChangedSince time.Time
}

// After gives the decision as one that stands for an earlier one as well, which was not recorded. A clearance that was not
// recorded has not taken effect, and is no change.
func (d Decision) After(earlier Decision) Decision {
	changes, since := max(earlier.Changes, 1), earlier.ChangedSince
	if since.IsZero() {
		since = earlier.At
	}
	if earlier.Clears() {
		changes--
	}
	if changes > 0 {
		d.Changes, d.ChangedSince = changes+max(d.Changes, 1), since
	}
	return d
}

// Ended gives the end of a chain: OutcomeNotEnforced or OutcomeUndeclared.
func Ended(model types.NamespacedName, outcome v1alpha1.Outcome, at time.Time) Decision {
	return Decision{Model: model, Verdict: decision.Verdict{Outcome: outcome}, At: at}
}

// Ends says whether the decision ends a chain, and so needs one that it could end.
func (d Decision) Ends() bool {
	return d.Verdict.Outcome == OutcomeNotEnforced || d.Verdict.Outcome == OutcomeUndeclared
}

// Clears says whether the decision lets pods run.
func (d Decision) Clears() bool { return d.Verdict.Cleared() }

// Content identifies what was decided and by what, leaving out times, wording, and who decided: a lease that is renewed
// and a verdict that is derived again have the content that they had.
func (d Decision) Content() string { return d.statement(Verifier{}).content() }

// Entry writes the statement of a decision that follows the link before it; that is the zero Link if there is none.
func (d Decision) Entry(by Verifier, previous Link) ([]byte, error) {
	s := d.statement(by)
	s.Predicate.Sequence = previous.Sequence + 1
	s.Predicate.Previous = previous.Digest
	if d.Ends() {
		s.Subject[0].Digest = previous.weights()
	}
	s.Predicate.Content = s.content()
	entry, err := encode(s)
	if err == nil && len(entry) > maxEntry {
		for i := range s.Predicate.Safeguards {
			s.Predicate.Safeguards[i].Message, s.Predicate.Safeguards[i].RequiredBy = "", nil
		}
		entry, err = encode(s)
	}
	if err != nil {
		return nil, err
	}
	if len(entry) > maxEntry {
		return nil, fmt.Errorf("the record of ModelDeployment %s would take %d bytes, and the log takes %d: have the policy ask for fewer safeguards",
			d.Model, len(entry), maxEntry)
	}
	return entry, nil
}

func (d Decision) statement(by Verifier) Statement {
	v := d.Verdict
	p := Predicate{
		Verifier: by, TimeVerified: d.At.UTC().Truncate(time.Second), Model: Model{Namespace: d.Model.Namespace, Name: d.Model.Name},
		Policy: Policy{Name: d.Policy, Digest: d.PolicyDigest}, Inputs: slices.Clone(d.Inputs),
		Verdict: v.Outcome, Reason: v.Reason, Message: decision.OneLine(v.Message, maxMessage),
		DeploymentLevel: v.DeploymentLevel, SecurityLevel: v.SecurityLevel,
	}
	slices.SortFunc(p.Inputs, func(a, b Input) int {
		return cmp.Or(cmp.Compare(a.Kind, b.Kind), cmp.Compare(a.Namespace, b.Namespace), cmp.Compare(a.Name, b.Name), cmp.Compare(a.Digest, b.Digest))
	})
	if d.Changes > 0 {
		p.Coalesced = &Coalesced{Changes: d.Changes, Since: d.ChangedSince.UTC().Truncate(time.Second)}
		if p.Coalesced.Since.After(p.TimeVerified) { // the clock was put back
			p.Coalesced.Since = p.TimeVerified
		}
	}
	if !v.ValidUntil.IsZero() {
		p.ValidUntil = new(v.ValidUntil.UTC())
	}
	for i := range v.Thresholds {
		t := &v.Thresholds[i]
		p.Thresholds = append(p.Thresholds, Threshold{Name: t.Name, State: t.State, Assessment: t.Assessment, TreatedAs: t.TreatedAs})
	}
	for i := range v.Safeguards {
		r := &v.Safeguards[i]
		s := Safeguard{Name: r.Name, Force: r.Force, RequiredBy: r.RequiredBy, State: r.State, Strength: r.Strength,
			Message: decision.OneLine(r.Message, maxMessage)}
		if r.ValidUntil != nil {
			s.ValidUntil = new(r.ValidUntil.UTC())
		}
		p.Safeguards = append(p.Safeguards, s)
	}
	for _, e := range v.Exemptions {
		p.Exemptions = append(p.Exemptions, Exemption{Pod: e.Pod, Safeguard: e.Safeguard, Waiver: e.Waiver})
	}
	return Statement{
		Type: StatementType, PredicateType: PredicateType, Predicate: p,
		Subject: []Subject{{Name: d.Model.String(), Digest: digestSet(d.Weights)}},
	}
}

func digestSet(digest string) map[string]string {
	algorithm, hash, _ := strings.Cut(digest, ":")
	return map[string]string{algorithm: hash}
}

func encode(s Statement) ([]byte, error) {
	var out bytes.Buffer
	encoder := json.NewEncoder(&out)
	encoder.SetEscapeHTML(false)
	if err := encoder.Encode(s); err != nil {
		return nil, fmt.Errorf("encode the record of ModelDeployment %s: %w", s.Predicate.Model.key(), err)
	}
	return bytes.TrimSpace(out.Bytes()), nil
}

func digestOf(content []byte) string {
	sum := sha256.Sum256(content)
	return "sha256:" + hex.EncodeToString(sum[:])
}
