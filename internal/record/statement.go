package record

import (
	"time"

	"k8s.io/apimachinery/pkg/types"

	"github.com/interlock-dev/interlock/api/v1alpha1"
)

// Statement is the in-toto Statement v1 of one decision.
type Statement struct {
	Type string `json:"_type"`
	// Subject is one: the model by the name of its ModelDeployment, and the digest of its weights.
	Subject       []Subject `json:"subject"`
	PredicateType string    `json:"predicateType"`
	Predicate     Predicate `json:"predicate"`
}

// Subject of a Statement.
type Subject struct {
	Name   string            `json:"name"`
	Digest map[string]string `json:"digest"`
}

// Predicate says what was decided, by whom, and by what. Fields that a SLSA verification summary has as well are named as
// there.
type Predicate struct {
	Verifier     Verifier  `json:"verifier"`
	TimeVerified time.Time `json:"timeVerified"`
	Model        Model     `json:"model"`
	Policy       Policy    `json:"policy"`
	// Inputs are the objects that the verdict rests on.
	Inputs  []Input          `json:"inputs,omitempty"`
	Verdict v1alpha1.Outcome `json:"verdict"`
	Reason  string           `json:"reason,omitempty"`
	Message string           `json:"message,omitempty"`

	DeploymentLevel string      `json:"deploymentLevel,omitempty"`
	SecurityLevel   string      `json:"securityLevel,omitempty"`
	Thresholds      []Threshold `json:"thresholds,omitempty"`
	Safeguards      []Safeguard `json:"safeguards,omitempty"`
	// Exemptions of single pods of the model from safeguards.
	Exemptions []Exemption `json:"exemptions,omitempty"`
	// ValidUntil is the end of the first lease. Leases are renewed without a record while the content stays as it is.
	ValidUntil *time.Time `json:"validUntil,omitempty"`

	// Coalesced is there where decisions came faster than they are recorded.
	Coalesced *Coalesced `json:"coalesced,omitempty"`

	// Content is the digest of the statement without times, wording, verifier, coalesced, and these three fields.
	Content string `json:"content,omitempty"`
	// Sequence counts the decisions on the model, from 1.
	Sequence int64 `json:"sequence,omitempty"`
	// Previous is the digest of the entry before of the same model; empty at the first.
	Previous string `json:"previous,omitempty"`
}

// Coalesced says that a record stands for several decisions, of which only the last is told.
type Coalesced struct {
	// Changes counts the decisions that took effect since the record before, this one among them.
	Changes int `json:"changes"`
	// Since is the time of the first.
	Since time.Time `json:"since"`
}

// Verifier is who decided.
type Verifier struct {
	// ID is the user as whom the operator acts.
	ID      string `json:"id"`
	Version string `json:"version,omitempty"`
}

// Model is a ModelDeployment.
type Model struct {
	Namespace string `json:"namespace"`
	Name      string `json:"name"`
}

func (m Model) key() types.NamespacedName {
	return types.NamespacedName{Namespace: m.Namespace, Name: m.Name}
}

// Policy is the ScalingPolicy that is enforced; without a digest, there is none of this name.
type Policy struct {
	Name   string `json:"name,omitempty"`
	Digest string `json:"digest,omitempty"`
}

// Input is an object that a verdict rests on.
type Input struct {
	Kind string `json:"kind"`
	// Namespace is empty where the kind is in none.
	Namespace string `json:"namespace,omitempty"`
	Name      string `json:"name"`
	Digest    string `json:"digest"`
}

// Threshold is what the assessments said of a capability threshold.
type Threshold struct {
	Name       string                  `json:"name"`
	State      v1alpha1.ThresholdState `json:"state"`
	Assessment string                  `json:"assessment,omitempty"`
	TreatedAs  v1alpha1.Treatment      `json:"treatedAs,omitempty"`
}

// Safeguard is what was found of a safeguard that is required.
type Safeguard struct {
	Name       string                  `json:"name"`
	Force      v1alpha1.Force          `json:"force,omitempty"`
	RequiredBy []string                `json:"requiredBy,omitempty"`
	State      v1alpha1.SafeguardState `json:"state"`
	Strength   v1alpha1.Strength       `json:"strength,omitempty"`
	Message    string                  `json:"message,omitempty"`
	ValidUntil *time.Time              `json:"validUntil,omitempty"`
}

// Exemption is one pod that a waiver excuses from a safeguard.
type Exemption struct {
	Pod       string `json:"pod"`
	Safeguard string `json:"safeguard"`
	Waiver    string `json:"waiver"`
}

// content gives the digest of what is the same as long as nothing is decided anew.
func (s Statement) content() string {
	p := &s.Predicate
	p.Verifier, p.TimeVerified, p.ValidUntil, p.Message = Verifier{}, time.Time{}, nil, ""
	p.Coalesced, p.Content, p.Sequence, p.Previous = nil, "", 0, ""
	if p.Verdict == OutcomeNotEnforced || p.Verdict == OutcomeUndeclared {
		s.Subject = nil
	}
	safeguards := make([]Safeguard, len(p.Safeguards))
	for i, f := range p.Safeguards {
		f.RequiredBy, f.Message, f.ValidUntil = nil, "", nil
		safeguards[i] = f
	}
	p.Safeguards = safeguards
	text, err := encode(s)
	if err != nil {
		return "" // a statement is made of what can be encoded
	}
	return digestOf(text)
}
