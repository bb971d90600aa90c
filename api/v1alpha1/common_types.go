package v1alpha1

// Axis is one of the two independent standards of a level: an AI Safety Level asks for deployment safeguards and for
// security safeguards separately (Anthropic RSP v2.2, sections 2 and 4).
// +kubebuilder:validation:Enum=Deployment;Security
type Axis string

const (
	// AxisDeployment is about misuse of the model by those it is served to.
	AxisDeployment Axis = "Deployment"
	// AxisSecurity is about theft of the model's weights.
	AxisSecurity Axis = "Security"
)

// Force says how an obligation binds. Binding and Law hold a model; Discretionary and Recommendation are reported.
// +kubebuilder:validation:Enum=Binding;Law;Discretionary;Recommendation
type Force string

const (
	// ForceBinding is what the framework promises unconditionally.
	ForceBinding Force = "Binding"
	// ForceLaw is what a statute or regulation asks.
	ForceLaw Force = "Law"
	// ForceDiscretionary is what the developer means to do and may deviate from.
	ForceDiscretionary Force = "Discretionary"
	// ForceRecommendation is what the text asks of the industry and promises for nobody.
	ForceRecommendation Force = "Recommendation"
)

// Strength is how well a verification method proves a safeguard, from the strongest: Enforced (the API server refuses
// what breaks it), Observed (the controller sees it in the cluster), Attested (a trusted signature says so), Declared.
// +kubebuilder:validation:Enum=Enforced;Observed;Attested;Declared
type Strength string

const (
	// StrengthEnforced means that the API server refuses what would break the safeguard.
	StrengthEnforced Strength = "Enforced"
	// StrengthObserved means that the controller sees the safeguard in the state of the cluster.
	StrengthObserved Strength = "Observed"
	// StrengthAttested means that a statement signed by a trusted party says so.
	StrengthAttested Strength = "Attested"
	// StrengthDeclared means that somebody says so.
	StrengthDeclared Strength = "Declared"
)

// Source says where a figure or a rule comes from.
type Source struct {
	// document is the title of the text, such as "Anthropic Responsible Scaling Policy".
	// +required
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=200
	Document string `json:"document"`

	// version of the document, such as "2.2".
	// +optional
	// +kubebuilder:validation:MaxLength=50
	Version string `json:"version,omitempty"`

	// section of the document, such as "4.2" or "Appendix B".
	// +optional
	// +kubebuilder:validation:MaxLength=200
	Section string `json:"section,omitempty"`

	// standing says whether the primary text was read (Primary), somebody else's account of it (Secondary), or
	// whether this is a proposal of the pack's authors (Proposal). Default: Primary.
	// +optional
	// +kubebuilder:default=Primary
	// +kubebuilder:validation:Enum=Primary;Secondary;Proposal
	Standing string `json:"standing,omitempty"`
}

// Condition types and reasons shared by the kinds.
const (
	// ConditionReady is the summary that kstatus, Flux and Argo CD read. On a ModelDeployment True means cleared; on
	// a ScalingPolicy or Safeguard, that it is in use as written.
	ConditionReady = "Ready"
	// ConditionRecorded is there, and False, only while the verdict on a ModelDeployment cannot be written into the
	// decision record.
	ConditionRecorded = "Recorded"

	// ConditionSignersKnown says on a ScalingPolicy whether it trusts all signers that its Safeguards ask for.
	ConditionSignersKnown = "SignersKnown"

	// ConditionNodesClosed says on a Safeguard that refuses connections whether RBAC lets anybody past that: nodes/proxy
	// reaches into containers without admission. It is a finding, and holds no model.
	ConditionNodesClosed = "NodesClosed"
	// ReasonNodeAccess: the message names who has nodes/proxy.
	ReasonNodeAccess = "NodeAccess"
	// ReasonNoNodeAccess: nobody but the cluster's own components and system:masters has it.
	ReasonNoNodeAccess = "NoNodeAccess"
	// ReasonNodeAccessUnknown: it could not be looked up.
	ReasonNodeAccessUnknown = "NodeAccessUnknown"

	// ReasonAccepted: the ScalingPolicy or Safeguard is valid and in use.
	ReasonAccepted = "Accepted"
	// ReasonInvalidExpression: a CEL expression of the Safeguard does not compile; the models that need it are held.
	ReasonInvalidExpression = "InvalidExpression"
	// ReasonInvalidResourceRule: the resource rule of the Safeguard cannot be read; the models that need it are held.
	ReasonInvalidResourceRule = "InvalidResourceRule"
	// ReasonInvalidAdjustment: the API server does not take what the Safeguard gives to pods, or the objects that it puts
	// around models cannot be used; the models that need it are held.
	ReasonInvalidAdjustment = "InvalidAdjustment"
	// ReasonAdjustmentConflict: two Safeguards that the ScalingPolicy names set a field of pods to different values; the
	// models that need both are held.
	ReasonAdjustmentConflict = "AdjustmentConflict"
	// ReasonSafeguardNotFound: the ScalingPolicy names a Safeguard that does not exist.
	ReasonSafeguardNotFound = "SafeguardNotFound"
	// ReasonSignersUnknown: Safeguards ask for signers that the ScalingPolicy does not trust; what they would show is missing.
	ReasonSignersUnknown = "SignersUnknown"
	// ReasonInvalidTrust: a key or the trusted root of the ScalingPolicy cannot be used; it is nobody's.
	ReasonInvalidTrust = "InvalidTrust"
	// ReasonSafeguardNotReady: the ScalingPolicy names a Safeguard that was not accepted.
	ReasonSafeguardNotReady = "SafeguardNotReady"

	// ReasonPolicyChanged is of an Event on a ScalingPolicy: its digest is another than before.
	ReasonPolicyChanged = "PolicyChanged"
)
