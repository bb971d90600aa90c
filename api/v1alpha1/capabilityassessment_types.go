package v1alpha1

import (
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

// CapabilityAssessmentSpec is what evaluations found for one model.
type CapabilityAssessmentSpec struct {
	// model is the name of the assessed model, as people call it.
	// +required
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=200
	Model string `json:"model,omitempty"`

	// digests of the weights that the assessment is about, each as "sha256:" and 64 lower-case hexadecimal digits. It
	// says nothing of any other weights.
	// +required
	// +listType=set
	// +kubebuilder:validation:MinItems=1
	// +kubebuilder:validation:MaxItems=32
	// +kubebuilder:validation:items:MinLength=71
	// +kubebuilder:validation:items:MaxLength=71
	// +kubebuilder:validation:items:Pattern=`^sha256:[0-9a-f]{64}$`
	Digests []string `json:"digests,omitempty"`

	// effectiveCompute of the model as it was assessed, in operations, such as "3.2e26".
	// +optional
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=20
	// +kubebuilder:validation:Pattern=`^[0-9]+(\.[0-9]+)?([eE]\+?[0-9]{1,2})?$`
	EffectiveCompute string `json:"effectiveCompute,omitempty"`

	// assessedAt is when the evaluations were finished: its age counts from here.
	// +required
	AssessedAt metav1.Time `json:"assessedAt,omitzero"`

	// evaluator who answers for it.
	// +required
	Evaluator Evaluator `json:"evaluator,omitzero"`

	// outcomes are one for each threshold that was looked at.
	// +required
	// +listType=map
	// +listMapKey=threshold
	// +kubebuilder:validation:MinItems=1
	// +kubebuilder:validation:MaxItems=64
	Outcomes []ThresholdOutcome `json:"outcomes,omitempty"`

	// links to reports, each pinned by the digest of what it leads to.
	// +optional
	// +listType=atomic
	// +kubebuilder:validation:MaxItems=32
	Links []Link `json:"links,omitempty"`

	// dissent is what those who took part and do not agree want on record.
	// +optional
	// +listType=atomic
	// +kubebuilder:validation:MaxItems=32
	Dissent []Dissent `json:"dissent,omitempty"`

	// supersedes names older assessments that this one puts out of force, where the policy's rule for that is met.
	// +optional
	// +listType=set
	// +kubebuilder:validation:MaxItems=32
	// +kubebuilder:validation:items:MinLength=1
	// +kubebuilder:validation:items:MaxLength=253
	Supersedes []string `json:"supersedes,omitempty"`
}

// Evaluator is who answers for an assessment.
type Evaluator struct {
	// name of the team or organisation.
	// +required
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=200
	Name string `json:"name,omitempty"`

	// independent says whether the evaluator has no tie to the developer of the model. Default: false.
	// +optional
	Independent *bool `json:"independent,omitempty"`
}

// AssessmentOutcome is what an evaluation found of one threshold. Only RuledOut clears.
// +kubebuilder:validation:Enum=RuledOut;Reached;Inconclusive;Saturated
type AssessmentOutcome string

const (
	// AssessmentRuledOut: the model has clearly not reached the threshold.
	AssessmentRuledOut AssessmentOutcome = "RuledOut"
	// AssessmentReached: it has.
	AssessmentReached AssessmentOutcome = "Reached"
	// AssessmentInconclusive: it could not be told.
	AssessmentInconclusive AssessmentOutcome = "Inconclusive"
	// AssessmentSaturated: the model did as well as the evaluation can measure, so it rules nothing out.
	AssessmentSaturated AssessmentOutcome = "Saturated"
)

// ThresholdOutcome is what was found of one threshold.
type ThresholdOutcome struct {
	// threshold is its name in the policy, such as "CBRN-3".
	// +required
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=63
	Threshold string `json:"threshold,omitempty"`

	// outcome of the evaluation.
	// +required
	Outcome AssessmentOutcome `json:"outcome,omitempty"`

	// method says how it was found out, in a few words.
	// +required
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=500
	Method string `json:"method,omitempty"`

	// summary of what was found.
	// +optional
	// +kubebuilder:validation:MaxLength=2000
	Summary string `json:"summary,omitempty"`
}

// Link leads to a document.
type Link struct {
	// name of the document.
	// +required
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=200
	Name string `json:"name,omitempty"`

	// uri where it is found.
	// +required
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=2000
	URI string `json:"uri,omitempty"`

	// digest of the document, as "sha256:" and 64 lower-case hexadecimal digits.
	// +required
	// +kubebuilder:validation:MinLength=71
	// +kubebuilder:validation:MaxLength=71
	// +kubebuilder:validation:Pattern=`^sha256:[0-9a-f]{64}$`
	Digest string `json:"digest,omitempty"`
}

// Dissent is what somebody who does not agree wants on record.
type Dissent struct {
	// by whom.
	// +required
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=200
	By string `json:"by,omitempty"`

	// statement in their words.
	// +required
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=4000
	Statement string `json:"statement,omitempty"`
}

// Reasons of the Ready condition of a CapabilityAssessment.
const (
	// ReasonDateInFuture: assessedAt has not come yet; until then the assessment rules nothing out.
	ReasonDateInFuture = "DateInFuture"
	// ReasonThresholdUnknown: no policy has a threshold that the assessment names.
	ReasonThresholdUnknown = "ThresholdUnknown"
	// ReasonModelUnknown: no ModelDeployment serves weights that the assessment is about.
	ReasonModelUnknown = "ModelUnknown"
)

// CapabilityAssessmentStatus is what the operator makes of the assessment.
type CapabilityAssessmentStatus struct {
	// observedGeneration is the generation of the spec that the rest of the status is about.
	// +optional
	// +kubebuilder:validation:Minimum=0
	ObservedGeneration int64 `json:"observedGeneration,omitempty"`

	// conditions hold Ready, False with a reason when the assessment cannot count as written.
	// +optional
	// +listType=map
	// +listMapKey=type
	// +kubebuilder:validation:MaxItems=8
	Conditions []metav1.Condition `json:"conditions,omitempty"`

	// supersededBy names the newest assessment that names this one as superseded; whether that counts is for each policy.
	// +optional
	// +kubebuilder:validation:MaxLength=253
	SupersededBy string `json:"supersededBy,omitempty"`

	// digest of the assessment, which approvals name.
	// +optional
	// +kubebuilder:validation:MaxLength=71
	Digest string `json:"digest,omitempty"`
}

// CapabilityAssessment is what evaluations found for one model: each threshold reached, not reached, or not ruled out.
// It is never edited: a newer one supersedes it.
// +kubebuilder:object:root=true
// +kubebuilder:subresource:status
// +kubebuilder:resource:scope=Cluster,categories=interlock,shortName=assessment
// +kubebuilder:printcolumn:name="Model",type=string,JSONPath=`.spec.model`
// +kubebuilder:printcolumn:name="Evaluator",type=string,JSONPath=`.spec.evaluator.name`
// +kubebuilder:printcolumn:name="Assessed",type=string,JSONPath=`.spec.assessedAt`
// +kubebuilder:printcolumn:name="Superseded",type=string,JSONPath=`.status.supersededBy`
// +kubebuilder:printcolumn:name="Ready",type=string,JSONPath=`.status.conditions[?(@.type=="Ready")].status`
// +kubebuilder:printcolumn:name="Digest",type=string,priority=1,JSONPath=`.status.digest`
// +kubebuilder:printcolumn:name="Message",type=string,priority=1,JSONPath=`.status.conditions[?(@.type=="Ready")].message`
// +kubebuilder:printcolumn:name="Age",type=date,JSONPath=`.metadata.creationTimestamp`
// +kubebuilder:validation:XValidation:rule="self.spec == oldSelf.spec",message="an assessment is never edited: file a new one that names this one in supersedes"
type CapabilityAssessment struct {
	metav1.TypeMeta `json:",inline"`

	// metadata is the standard object metadata.
	// +optional
	metav1.ObjectMeta `json:"metadata,omitempty"`

	// spec is what was found.
	// +required
	Spec CapabilityAssessmentSpec `json:"spec,omitzero"`

	// status is what the operator makes of it.
	// +optional
	Status CapabilityAssessmentStatus `json:"status,omitzero"`
}

// CapabilityAssessmentList is a list of CapabilityAssessment.
// +kubebuilder:object:root=true
type CapabilityAssessmentList struct {
	metav1.TypeMeta `json:",inline"`
	metav1.ListMeta `json:"metadata,omitempty"`
	Items           []CapabilityAssessment `json:"items"`
}
