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

	// shortfall is set while pods of the model run without clearance, and for a while after that, see rememberedUntil; where
	// the policy stops workloads, until the model is cleared.
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
