package v1alpha1

import (
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

// ModelDeploymentSpec says which model a namespace serves, and at which level it was assessed.
type ModelDeploymentSpec struct {
	// model is the identity of what is served.
	// +required
	Model Model `json:"model,omitzero"`

	// assessedLevel is the level at which the model was assessed, one of the policy's levels, such as "ASL-3". It can
	// only raise what is asked: the policy's baseline applies whatever stands here.
	// +required
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=63
	AssessedLevel string `json:"assessedLevel,omitempty"`

	// audience is to whom the model is served. Default: General, the widest.
	// +optional
	// +kubebuilder:default=General
	Audience Audience `json:"audience,omitempty"`

	// fallback is the model that serves while this one is not cleared, and how clients get to it. Default: none.
	// +optional
	Fallback *Fallback `json:"fallback,omitempty"`
}

// Model is the identity of a model.
type Model struct {
	// name of the model, as people call it.
	// +required
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=200
	Name string `json:"name,omitempty"`

	// digest of the model's weights, as "sha256:" and 64 lower-case hexadecimal digits.
	// +required
	// +kubebuilder:validation:MinLength=71
	// +kubebuilder:validation:MaxLength=71
	// +kubebuilder:validation:Pattern=`^sha256:[0-9a-f]{64}$`
	Digest string `json:"digest,omitempty"`

	// effectiveCompute that went into the model, in operations, such as "3.2e26": training compute scaled by gains in
	// efficiency since. Needed where the policy compares it with that of the assessed model.
	// +optional
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=20
	// +kubebuilder:validation:Pattern=`^[0-9]+(\.[0-9]+)?([eE]\+?[0-9]{1,2})?$`
	EffectiveCompute string `json:"effectiveCompute,omitempty"`

	// sources are all the places that the weights may be loaded from, as URIs: "oci://REGISTRY/NAME@sha256:..." (an image
	// volume, or a model image), "hf://ORGANISATION/NAME@COMMIT", "pvc://CLAIM" or "pvc://CLAIM/PATH", "s3://BUCKET/PATH",
	// and any other scheme. They are compared byte by byte with what pods and workloads name, by Safeguards that ask for it.
	// An image or a Hugging Face repository must be named by what cannot move: a digest without a tag, a commit. Absent:
	// none.
	// +optional
	// +listType=set
	// +kubebuilder:validation:MaxItems=16
	// +kubebuilder:validation:items:MinLength=7
	// +kubebuilder:validation:items:MaxLength=300
	// +kubebuilder:validation:items:Pattern=`^[a-z][a-z0-9+.-]*://[!-~]+$`
	// +kubebuilder:validation:XValidation:rule="self.all(s, !s.startsWith('oci://') || s.matches('^oci://[a-z0-9.-]+(:[0-9]+)?(/[a-z0-9._-]+)+@sha256:[0-9a-f]{64}$'))",message="a source oci:// is REGISTRY/NAME@sha256: and 64 lower-case hexadecimal digits, without a tag: a tag can be moved to other weights"
	// +kubebuilder:validation:XValidation:rule="self.all(s, !s.startsWith('hf://') || s.matches('^hf://[A-Za-z0-9._-]+/[A-Za-z0-9._-]+[@:][0-9a-f]{40}$'))",message="a source hf:// is ORGANISATION/NAME@COMMIT with a commit of 40 lower-case hexadecimal digits: a branch can be moved to other weights"
	Sources []string `json:"sources,omitempty"`
}

// Audience is to whom a model is served.
// +kubebuilder:validation:Enum=Internal;TrustedUsers;General
type Audience string

const (
	// AudienceInternal is the developer's own staff.
	AudienceInternal Audience = "Internal"
	// AudienceTrustedUsers are vetted users.
	AudienceTrustedUsers Audience = "TrustedUsers"
	// AudienceGeneral is everybody else.
	AudienceGeneral Audience = "General"
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

	// validUntil is when the assessment that rules it out becomes too old; absent, it does not.
	// +optional
	ValidUntil *metav1.Time `json:"validUntil,omitempty"`
}

// PodCounts counts the living pods of a model.
type PodCounts struct {
	// held pods carry the gate.
	// +optional
	// +kubebuilder:validation:Minimum=0
	Held int32 `json:"held"`

	// admitted pods do not: they run, or may start to.
	// +optional
	// +kubebuilder:validation:Minimum=0
	Admitted int32 `json:"admitted"`
}

// WorkloadState is what a workload of a model does.
// +kubebuilder:validation:Enum=Running;Held;Stopped;StartedByOthers;CannotBeStopped
type WorkloadState string

const (
	// WorkloadRunning: pods of it run, or may start to.
	WorkloadRunning WorkloadState = "Running"
	// WorkloadHeld: all its pods wait at the gate.
	WorkloadHeld WorkloadState = "Held"
	// WorkloadStopped: Interlock stopped it, and starts it again when the model is cleared.
	WorkloadStopped WorkloadState = "Stopped"
	// WorkloadStartedByOthers: Interlock stopped it, and something else, such as an autoscaler, has started it since. It
	// is not stopped again: its new pods are held.
	WorkloadStartedByOthers WorkloadState = "StartedByOthers"
	// WorkloadCannotBeStopped: the policy asks for it to be stopped, and the message says why it is not.
	WorkloadCannotBeStopped WorkloadState = "CannotBeStopped"
)

// Workload is what owns pods of a model.
type Workload struct {
	// group of the kind; empty for the core group.
	// +optional
	// +kubebuilder:validation:MaxLength=253
	Group string `json:"group,omitempty"`

	// kind such as Deployment, or Pod for one that nothing owns.
	// +required
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=63
	Kind string `json:"kind,omitempty"`

	// name of the workload.
	// +required
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=253
	Name string `json:"name,omitempty"`

	// state it is in.
	// +required
	State WorkloadState `json:"state,omitempty"`

	// pods counts its living pods that serve the model.
	// +optional
	// +kubebuilder:validation:Minimum=0
	Pods int32 `json:"pods"`

	// message says why, for a state that is not to be expected.
	// +optional
	// +kubebuilder:validation:MaxLength=300
	Message string `json:"message,omitempty"`
}

// ObjectState is what has become of an object around a model.
// +kubebuilder:validation:Enum=Applied;Pending;Conflict;Foreign;Failed
type ObjectState string

const (
	// ObjectApplied: it is there as written.
	ObjectApplied ObjectState = "Applied"
	// ObjectPending: it is about to be applied.
	ObjectPending ObjectState = "Pending"
	// ObjectConflict: it is there, and somebody else has set a field to another value. Interlock does not take it back.
	ObjectConflict ObjectState = "Conflict"
	// ObjectForeign: an object of that name is there which Interlock did not make for this. It is left alone.
	ObjectForeign ObjectState = "Foreign"
	// ObjectFailed: it cannot be applied, or not be removed, and the message says why.
	ObjectFailed ObjectState = "Failed"
)

// ObjectResult tells of one object around a model.
type ObjectResult struct {
	// safeguard that asks for it.
	// +required
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=63
	Safeguard string `json:"safeguard,omitempty"`

	// apiVersion of the object.
	// +required
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=317
	APIVersion string `json:"apiVersion,omitempty"`

	// kind of the object.
	// +required
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=63
	Kind string `json:"kind,omitempty"`

	// name of the object.
	// +required
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=253
	Name string `json:"name,omitempty"`

	// state it is in.
	// +required
	State ObjectState `json:"state,omitempty"`

	// message says why, for a state other than Applied.
	// +optional
	// +kubebuilder:validation:MaxLength=300
	Message string `json:"message,omitempty"`
}

// Shortfall tells how far the policy's steps have come for pods that run without clearance.
type Shortfall struct {
	// since is when the shortfall began: the steps count from here.
	// +required
	Since metav1.Time `json:"since,omitzero"`

	// step that is being taken now, the last of those whose time has come; empty before the first. New pods are held all
	// the while.
	// +optional
	Step ShortfallAction `json:"step,omitempty"`

	// nextStepTime is when the next step, or force, comes; absent when none is left.
	// +optional
	NextStepTime *metav1.Time `json:"nextStepTime,omitempty"`

	// blocked says what keeps pods from being evicted, such as a disruption budget.
	// +optional
	// +kubebuilder:validation:MaxLength=300
	Blocked string `json:"blocked,omitempty"`

	// exposed says which NetworkPolicies still allow traffic of pods that are isolated; empty when none does.
	// +optional
	// +kubebuilder:validation:MaxLength=300
	Exposed string `json:"exposed,omitempty"`
}

// ReplacementState is how the replacement of pods goes.
// +kubebuilder:validation:Enum=Waiting;Replacing;Blocked
type ReplacementState string

const (
	// ReplacementWaiting: it goes on by itself, such as when it is this model's turn.
	ReplacementWaiting ReplacementState = "Waiting"
	// ReplacementReplacing: running pods of this model are replaced, one after the other.
	ReplacementReplacing ReplacementState = "Replacing"
	// ReplacementBlocked: something has to be done about what the message says.
	ReplacementBlocked ReplacementState = "Blocked"
)

// Replacement tells how far pods have come that were created before an adjustment that the model needs.
type Replacement struct {
	// state of the replacement.
	// +required
	State ReplacementState `json:"state,omitempty"`

	// outdated counts the living pods that were created without an adjustment that the model needs.
	// +optional
	// +kubebuilder:validation:Minimum=0
	Outdated int32 `json:"outdated"`

	// since is when the first of them was found.
	// +required
	Since metav1.Time `json:"since,omitzero"`

	// lastEvictionTime is when one was taken out last; absent before the first.
	// +optional
	LastEvictionTime *metav1.Time `json:"lastEvictionTime,omitempty"`

	// message says what is done, what it waits for, or what stands in the way.
	// +optional
	// +kubebuilder:validation:MaxLength=300
	Message string `json:"message,omitempty"`
}

// Preview is the verdict of a policy that is not enforced.
type Preview struct {
	// label of the namespace that asks for the preview: interlock.dev/warn or interlock.dev/audit.
	// +required
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=63
	Label string `json:"label,omitempty"`

	// policy is the name of the ScalingPolicy.
	// +required
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=63
	Policy string `json:"policy,omitempty"`

	// verdict it would give.
	// +required
	Verdict Outcome `json:"verdict,omitempty"`

	// safeguardsMet counts the safeguards met and required, as "3/5".
	// +optional
	// +kubebuilder:validation:MaxLength=20
	SafeguardsMet string `json:"safeguardsMet,omitempty"`

	// message says why, in one line.
	// +optional
	// +kubebuilder:validation:MaxLength=1024
	Message string `json:"message,omitempty"`
}

// ModelDeploymentStatus is the verdict on the model under the policy that the namespace enforces.
type ModelDeploymentStatus struct {
	// observedGeneration is the generation of the spec that the rest of the status is about.
	// +optional
	// +kubebuilder:validation:Minimum=0
	ObservedGeneration int64 `json:"observedGeneration,omitempty"`

	// conditions hold Ready, True when the model is cleared; Waived, True while a safeguard of it is waived; FallenBack, True
	// while its fallback serves; and Adjusted, False while an object that a Safeguard puts around it is not as written.
	// +optional
	// +listType=map
	// +listMapKey=type
	// +kubebuilder:validation:MaxItems=8
	Conditions []metav1.Condition `json:"conditions,omitempty"`

	// policy is the name of the ScalingPolicy that is enforced.
	// +optional
	// +kubebuilder:validation:MaxLength=63
	Policy string `json:"policy,omitempty"`

	// policyDigest is the digest of all that the verdict used of the policy and its Safeguards: a change of these that
	// does not bear on the model leaves it.
	// +optional
	// +kubebuilder:validation:MaxLength=71
	PolicyDigest string `json:"policyDigest,omitempty"`

	// verdict on the model.
	// +optional
	Verdict Outcome `json:"verdict,omitempty"`

	// deploymentLevel is the level required on the deployment axis.
	// +optional
	// +kubebuilder:validation:MaxLength=63
	DeploymentLevel string `json:"deploymentLevel,omitempty"`

	// securityLevel is the level required on the security axis.
	// +optional
	// +kubebuilder:validation:MaxLength=63
	SecurityLevel string `json:"securityLevel,omitempty"`

	// disputed says that more is asked of the model than it declares, and why; empty when it is not.
	// +optional
	// +kubebuilder:validation:MaxLength=1024
	Disputed string `json:"disputed,omitempty"`

	// reported says which standards are asked of the model by what does not hold it, such as a Recommendation, while the
	// text leaves open what they consist of; empty when none is. Where it does tell, their Safeguards are in safeguards.
	// +optional
	// +kubebuilder:validation:MaxLength=1024
	Reported string `json:"reported,omitempty"`

	// thresholds tells for each capability threshold of the policy what the assessments say of it.
	// +optional
	// +listType=map
	// +listMapKey=name
	// +kubebuilder:validation:MaxItems=64
	Thresholds []ThresholdResult `json:"thresholds,omitempty"`

	// safeguardsMet counts the safeguards met and required, of those that hold the model, as "3/5" or "3/5, 1 waived".
	// +optional
	// +kubebuilder:validation:MaxLength=20
	SafeguardsMet string `json:"safeguardsMet,omitempty"`

	// validUntil is when the clearance ends unless it is decided again; absent unless cleared.
	// +optional
	ValidUntil *metav1.Time `json:"validUntil,omitempty"`

	// safeguards tells for each required safeguard by what it is required, what was found, and what to do.
	// +optional
	// +listType=map
	// +listMapKey=name
	// +kubebuilder:validation:MaxItems=256
	Safeguards []SafeguardResult `json:"safeguards,omitempty"`

	// decisionDigest is the digest of the decision to serve this model: of what is served, under which policy, and on which
	// assessments. Approvals of the ModelDeployment name it.
	// +optional
	// +kubebuilder:validation:MaxLength=71
	DecisionDigest string `json:"decisionDigest,omitempty"`

	// signOffs tells for each thing that the policy wants approved, and each role, who has approved and what to do. Those
	// that are missing come first; the rest of more than 64 is not shown.
	// +optional
	// +listType=map
	// +listMapKey=kind
	// +listMapKey=name
	// +listMapKey=role
	// +kubebuilder:validation:MaxItems=64
	SignOffs []SignOffResult `json:"signOffs,omitempty"`

	// waivers tells for each Waiver of the model whether it is in force; the rest of more than 64 is not shown.
	// +optional
	// +listType=map
	// +listMapKey=name
	// +kubebuilder:validation:MaxItems=64
	Waivers []WaiverResult `json:"waivers,omitempty"`

	// adjustments name the Safeguards that give new pods of the model something (spec.adjust.pod). A pod that was given
	// something says so in the annotation interlock.dev/adjusted.
	// +optional
	// +listType=set
	// +kubebuilder:validation:MaxItems=256
	// +kubebuilder:validation:items:MaxLength=63
	Adjustments []string `json:"adjustments,omitempty"`

	// objects tells of each object that Safeguards put around the model (spec.adjust.objects); the rest of more than 128 is
	// not shown.
	// +optional
	// +listType=atomic
	// +kubebuilder:validation:MaxItems=128
	Objects []ObjectResult `json:"objects,omitempty"`

	// pods counts the living pods of the model.
	// +optional
	Pods *PodCounts `json:"pods,omitempty"`

	// workloads lists what owns the pods of the model, the first 64 by kind and name.
	// +optional
	// +listType=atomic
	// +kubebuilder:validation:MaxItems=64
	Workloads []Workload `json:"workloads,omitempty"`

	// shortfall is set while the model is not cleared and pods of it run; where the policy stops workloads, until the model
	// is cleared.
	// +optional
	Shortfall *Shortfall `json:"shortfall,omitempty"`

	// replacement is set while pods run or wait that were created before an adjustment which the model needs.
	// +optional
	Replacement *Replacement `json:"replacement,omitempty"`

	// previews are the verdicts of policies that the namespace only warns of or audits.
	// +optional
	// +listType=map
	// +listMapKey=label
	// +kubebuilder:validation:MaxItems=2
	Previews []Preview `json:"previews,omitempty"`
}

// ModelDeployment declares that a namespace serves a model. Pods belong to it by the label interlock.dev/model.
// +kubebuilder:object:root=true
// +kubebuilder:subresource:status
// +kubebuilder:resource:scope=Namespaced,categories=interlock,shortName=mdl
// +kubebuilder:printcolumn:name="Model",type=string,JSONPath=`.spec.model.name`
// +kubebuilder:printcolumn:name="ASL",type=string,JSONPath=`.spec.assessedLevel`
// +kubebuilder:printcolumn:name="Policy",type=string,JSONPath=`.status.policy`
// +kubebuilder:printcolumn:name="Verdict",type=string,JSONPath=`.status.verdict`
// +kubebuilder:printcolumn:name="Safeguards",type=string,JSONPath=`.status.safeguardsMet`
// +kubebuilder:printcolumn:name="Until",type=string,JSONPath=`.status.validUntil`
// +kubebuilder:printcolumn:name="Message",type=string,priority=1,JSONPath=`.status.conditions[?(@.type=="Ready")].message`
// +kubebuilder:printcolumn:name="Age",type=date,JSONPath=`.metadata.creationTimestamp`
// +kubebuilder:validation:XValidation:rule="!has(self.spec.fallback) || self.spec.fallback.modelDeployment != self.metadata.name",message="a model cannot be its own fallback"
// +kubebuilder:validation:XValidation:rule="!format.dns1123Label().validate(self.metadata.name).hasValue()",message="the name must be a DNS label: lower-case letters, digits and '-', 63 characters at the most, since pods name the model in a label"
type ModelDeployment struct {
	metav1.TypeMeta `json:",inline"`

	// metadata is the standard object metadata.
	// +optional
	metav1.ObjectMeta `json:"metadata,omitempty"`

	// spec is what the serving team declares.
	// +required
	Spec ModelDeploymentSpec `json:"spec,omitzero"`

	// status is the verdict.
	// +optional
	Status ModelDeploymentStatus `json:"status,omitzero"`
}

// ModelDeploymentList is a list of ModelDeployment.
// +kubebuilder:object:root=true
type ModelDeploymentList struct {
	metav1.TypeMeta `json:",inline"`
	metav1.ListMeta `json:"metadata,omitempty"`
	Items           []ModelDeployment `json:"items"`
}
