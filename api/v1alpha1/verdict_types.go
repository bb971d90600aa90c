package v1alpha1

import (
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

// Outcome of a decision on a model.
// +kubebuilder:validation:Enum=Cleared;Held;Revoked
type Outcome string

const (
	// OutcomeCleared: everything that is required is in place; pods run.
	OutcomeCleared Outcome = "Cleared"
	// OutcomeHeld: something is missing; new pods wait and none runs.
	OutcomeHeld Outcome = "Held"
	// OutcomeRevoked: something is missing while pods run; new pods wait, and the policy's steps apply to those.
	OutcomeRevoked Outcome = "Revoked"
)

// SafeguardState is what was found of one safeguard for one model.
// +kubebuilder:validation:Enum=Satisfied;Missing;Expired;Unknown;Waived
type SafeguardState string

const (
	// SafeguardSatisfied: it is in place.
	SafeguardSatisfied SafeguardState = "Satisfied"
	// SafeguardMissing: it is not in place.
	SafeguardMissing SafeguardState = "Missing"
	// SafeguardExpired: what showed it is too old.
	SafeguardExpired SafeguardState = "Expired"
	// SafeguardUnknown: it could not be found out. Not knowing is not clearance.
	SafeguardUnknown SafeguardState = "Unknown"
	// SafeguardWaived: a Waiver excuses the model from it for a time, whether it is in place or not. The API server does
	// not enforce it meanwhile.
	SafeguardWaived SafeguardState = "Waived"
)

// ConditionWaived is True while a Waiver excuses the model from a safeguard.
const ConditionWaived = "Waived"

// Reasons of the Waived condition of a ModelDeployment.
const (
	// ReasonSafeguardsWaived: at least one safeguard is waived.
	ReasonSafeguardsWaived = "SafeguardsWaived"
	// ReasonNothingWaived: none is.
	ReasonNothingWaived = "NothingWaived"
)

// ConditionAdjusted is there while Safeguards put objects around the model (spec.adjust.objects), and True when all are in
// place as written.
const ConditionAdjusted = "Adjusted"

// Reasons of the Adjusted condition of a ModelDeployment.
const (
	// ReasonObjectsInPlace: all objects are there as written.
	ReasonObjectsInPlace = "ObjectsInPlace"
	// ReasonObjectConflict: somebody else holds a field of an object, or has an object of that name.
	ReasonObjectConflict = "ObjectConflict"
	// ReasonObjectsNotInPlace: an object is not there yet, or cannot be.
	ReasonObjectsNotInPlace = "ObjectsNotInPlace"
)

// Reasons of the Ready condition of a ModelDeployment.
const (
	// ReasonCleared: everything that is required is in place.
	ReasonCleared = "Cleared"
	// ReasonSafeguardsMissing: at least one required safeguard is not in place or not known to be.
	ReasonSafeguardsMissing = "SafeguardsMissing"
	// ReasonSafeguardsUnspecified: the policy does not tell the safeguards of a level that the model needs.
	ReasonSafeguardsUnspecified = "SafeguardsUnspecified"
	// ReasonNotAssessed: the policy holds models of which an assessment does not rule a threshold out.
	ReasonNotAssessed = "NotAssessed"
	// ReasonNotApproved: a sign-off is missing without which the policy holds the model.
	ReasonNotApproved = "NotApproved"
	// ReasonPolicyNotFound: the namespace names a ScalingPolicy that does not exist.
	ReasonPolicyNotFound = "PolicyNotFound"
	// ReasonLevelUnknown: assessedLevel is not a level of the policy.
	ReasonLevelUnknown = "LevelUnknown"
	// ReasonNotRecorded: the decision is not in the decision record, since that cannot be written; what clears a model does
	// not take effect before.
	ReasonNotRecorded = "NotRecorded"
	// ReasonNotEnrolled: no label of the namespace names a policy to enforce, so nothing holds this model.
	ReasonNotEnrolled = "NotEnrolled"
)

// SafeguardResult is what the decision says of one safeguard.
type SafeguardResult struct {
	// name of the Safeguard.
	// +required
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=63
	Name string `json:"name,omitempty"`

	// requiredBy lists the axes and levels that ask for it, and why the model is at that level.
	// +required
	// +listType=atomic
	// +kubebuilder:validation:MinItems=1
	// +kubebuilder:validation:MaxItems=32
	// +kubebuilder:validation:items:MaxLength=200
	RequiredBy []string `json:"requiredBy,omitempty"`

	// force is the strongest of the obligations that ask for it.
	// +required
	Force Force `json:"force,omitempty"`

	// state is what was found.
	// +required
	State SafeguardState `json:"state,omitempty"`

	// strength of the proof.
	// +optional
	Strength Strength `json:"strength,omitempty"`

	// message says what was found, in one line.
	// +optional
	// +kubebuilder:validation:MaxLength=1024
	Message string `json:"message,omitempty"`

	// remedy says what to do next; empty when the safeguard is satisfied.
	// +optional
	// +kubebuilder:validation:MaxLength=300
	Remedy string `json:"remedy,omitempty"`

	// validUntil is when what was found ends by itself; absent, it does not.
	// +optional
	ValidUntil *metav1.Time `json:"validUntil,omitempty"`

	// waiver is the name of the Waiver that excuses the model from it, and ends the soonest of those that do.
	// +optional
	// +kubebuilder:validation:MaxLength=253
	Waiver string `json:"waiver,omitempty"`
}

// SignOffResult is what the decision says of the approval of one thing in one role.
type SignOffResult struct {
	// kind of what is to be approved.
	// +required
	Kind SubjectKind `json:"kind,omitempty"`

	// name of what is to be approved.
	// +required
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=253
	Name string `json:"name,omitempty"`

	// role in which it is to be approved.
	// +required
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=63
	Role string `json:"role,omitempty"`

	// digest of what is to be approved.
	// +optional
	// +kubebuilder:validation:MaxLength=71
	Digest string `json:"digest,omitempty"`

	// people is how many must approve.
	// +required
	// +kubebuilder:validation:Minimum=1
	People int32 `json:"people,omitempty"`

	// approvers are those whose approval counts.
	// +optional
	// +listType=atomic
	// +kubebuilder:validation:MaxItems=16
	// +kubebuilder:validation:items:MaxLength=1024
	Approvers []string `json:"approvers,omitempty"`

	// message says which approvals do not count, and why.
	// +optional
	// +kubebuilder:validation:MaxLength=1024
	Message string `json:"message,omitempty"`

	// remedy is the command by which somebody in the role approves; empty when enough have.
	// +optional
	// +kubebuilder:validation:MaxLength=2048
	Remedy string `json:"remedy,omitempty"`
}

// WaiverResult is what the decision says of one Waiver of the model.
type WaiverResult struct {
	// name of the Waiver.
	// +required
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=253
	Name string `json:"name,omitempty"`

	// state of the Waiver.
	// +required
	State WaiverState `json:"state,omitempty"`

	// message says why, in one line.
	// +optional
	// +kubebuilder:validation:MaxLength=1024
	Message string `json:"message,omitempty"`
}

// ThresholdState is what all assessments together say of one threshold.
// +kubebuilder:validation:Enum=RuledOut;Reached;Inconclusive;Saturated;Stale;Unapproved;Unassessed
type ThresholdState string

const (
	// ThresholdStale: only assessments that are too old rule it out.
	ThresholdStale ThresholdState = "Stale"
	// ThresholdUnapproved: only assessments that lack a sign-off rule it out.
	ThresholdUnapproved ThresholdState = "Unapproved"
	// ThresholdUnassessed: no assessment speaks of it.
	ThresholdUnassessed ThresholdState = "Unassessed"
)

// ThresholdResult is what the decision says of one capability threshold.
type ThresholdResult struct {
	// name of the threshold.
	// +required
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=63
	Name string `json:"name,omitempty"`

	// state is what all assessments together say of it.
	// +required
	State ThresholdState `json:"state,omitempty"`

	// assessment is the name of the CapabilityAssessment that decided.
	// +optional
	// +kubebuilder:validation:MaxLength=253
	Assessment string `json:"assessment,omitempty"`

	// treatedAs says what follows from a state other than RuledOut.
	// +optional
	TreatedAs Treatment `json:"treatedAs,omitempty"`

	// message says why no assessment rules it out; absent where one does, or finds it reached.
	// +optional
	// +kubebuilder:validation:MaxLength=1024
	Message string `json:"message,omitempty"`

	// remedy says what to do about that.
	// +optional
	// +kubebuilder:validation:MaxLength=300
	Remedy string `json:"remedy,omitempty"`

	// validUntil is when the assessment that rules it out becomes too old; absent, it does not.
	// +optional
	ValidUntil *metav1.Time `json:"validUntil,omitempty"`
}
