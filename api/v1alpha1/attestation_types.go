package v1alpha1

import (
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

// AttestationSpec holds a signed statement, or says where it lies.
// +kubebuilder:validation:XValidation:rule="[has(self.content), has(self.oci), has(self.referrers)].filter(h, h).size() == 1",message="an Attestation has exactly one of content, oci and referrers"
type AttestationSpec struct {
	// content is a DSSE envelope or a Sigstore bundle as JSON, to the letter, with an in-toto statement inside. 1 MiB at
	// the most.
	// +optional
	// +kubebuilder:validation:MinLength=2
	// +kubebuilder:validation:MaxLength=1048576
	Content string `json:"content,omitempty"`

	// oci names an OCI manifest by its digest, whose one layer is such an envelope or bundle. A tag is refused,
	// since it can be moved.
	// +optional
	// +kubebuilder:validation:MinLength=73
	// +kubebuilder:validation:MaxLength=512
	// +kubebuilder:validation:Pattern=`^[a-z0-9]([a-z0-9.-]*[a-z0-9])?(:[0-9]{1,5})?(/[a-z0-9]+([._-]+[a-z0-9]+)*)+@sha256:[0-9a-f]{64}$`
	OCI string `json:"oci,omitempty"`

	// referrers names all evidence that a registry has on something by what that is. What is there is looked up again from
	// time to time.
	// +optional
	Referrers *Referrers `json:"referrers,omitempty"`
}

// Referrers names the manifests of a registry that refer to another by their field subject. 32 at the most are read; if
// there are more, none is.
type Referrers struct {
	// subject is the OCI manifest that they refer to, by its digest, such as that of the image with the model's weights.
	// It need not be there. What a statement is about is said by its own subjects, not by this.
	// +required
	// +kubebuilder:validation:MinLength=73
	// +kubebuilder:validation:MaxLength=512
	// +kubebuilder:validation:Pattern=`^[a-z0-9]([a-z0-9.-]*[a-z0-9])?(:[0-9]{1,5})?(/[a-z0-9]+([._-]+[a-z0-9]+)*)+@sha256:[0-9a-f]{64}$`
	Subject string `json:"subject,omitempty"`

	// artifactType of those that are read, such as "application/vnd.dev.sigstore.bundle.v0.3+json". The one layer of each is
	// an envelope or bundle.
	// +required
	// +kubebuilder:validation:MinLength=3
	// +kubebuilder:validation:MaxLength=255
	// +kubebuilder:validation:Pattern=`^[A-Za-z0-9][A-Za-z0-9!#$&^_.+-]*/[A-Za-z0-9][A-Za-z0-9!#$&^_.+-]*$`
	ArtifactType string `json:"artifactType,omitempty"`
}

// Reasons of the Ready condition of an Attestation.
const (
	// ReasonVerified: a signer that some policy trusts has signed it. Whether it shows a safeguard of a model is said there.
	ReasonVerified = "Verified"
	// ReasonMalformed: it is not an envelope or bundle with an in-toto statement inside.
	ReasonMalformed = "Malformed"
	// ReasonUntrusted: no policy trusts any signature that it bears.
	ReasonUntrusted = "Untrusted"
	// ReasonNotFetched: what spec.oci or spec.referrers names could not be fetched yet.
	ReasonNotFetched = "NotFetched"
	// ReasonNoneFound: the registry has nothing of the kind that spec.referrers names.
	ReasonNoneFound = "NoneFound"
)

// AttestationStatus tells people what the operator makes of the Attestation. Nothing is decided by it.
type AttestationStatus struct {
	// observedGeneration is the generation of the spec that the rest of the status is about.
	// +optional
	// +kubebuilder:validation:Minimum=0
	ObservedGeneration int64 `json:"observedGeneration,omitempty"`

	// conditions hold Ready, False with a reason when the statement does not count for any policy.
	// +optional
	// +listType=map
	// +listMapKey=type
	// +kubebuilder:validation:MaxItems=8
	Conditions []metav1.Condition `json:"conditions,omitempty"`

	// predicateType of the statement; of the newest, if there are several. So are time and subjects.
	// +optional
	// +kubebuilder:validation:MaxLength=300
	PredicateType string `json:"predicateType,omitempty"`

	// time at which the statement says that what it is about was done, or at which it was signed, if that is earlier. Absent:
	// it says none, as a statement on what a thing is may.
	// +optional
	Time *metav1.Time `json:"time,omitempty"`

	// signers whose signatures it bears, as "policy/signer", the first of them.
	// +optional
	// +listType=set
	// +kubebuilder:validation:MaxItems=32
	// +kubebuilder:validation:items:MaxLength=127
	Signers []string `json:"signers,omitempty"`

	// subjects that the statement is about, by digest, the first of them.
	// +optional
	// +listType=set
	// +kubebuilder:validation:MaxItems=16
	// +kubebuilder:validation:items:MaxLength=200
	Subjects []string `json:"subjects,omitempty"`
}

// Attestation is a signed statement that a safeguard is in place, or is not. It counts for the models of its namespace
// that it is about; in the operator's evidence namespace, for those of all namespaces.
// +kubebuilder:object:root=true
// +kubebuilder:subresource:status
// +kubebuilder:resource:scope=Namespaced,categories=interlock
// +kubebuilder:printcolumn:name="Predicate",type=string,JSONPath=`.status.predicateType`
// +kubebuilder:printcolumn:name="Signers",type=string,JSONPath=`.status.signers`
// +kubebuilder:printcolumn:name="Time",type=date,JSONPath=`.status.time`
// +kubebuilder:printcolumn:name="Ready",type=string,JSONPath=`.status.conditions[?(@.type=="Ready")].status`
// +kubebuilder:printcolumn:name="Message",type=string,priority=1,JSONPath=`.status.conditions[?(@.type=="Ready")].message`
// +kubebuilder:printcolumn:name="Age",type=date,JSONPath=`.metadata.creationTimestamp`
type Attestation struct {
	metav1.TypeMeta `json:",inline"`

	// metadata is the standard object metadata.
	// +optional
	metav1.ObjectMeta `json:"metadata,omitempty"`

	// spec is the statement. It cannot be changed: make another Attestation.
	// +required
	// +kubebuilder:validation:XValidation:rule="self == oldSelf",message="an Attestation cannot be changed: make another"
	Spec AttestationSpec `json:"spec,omitzero"`

	// status tells people what the operator makes of it.
	// +optional
	Status AttestationStatus `json:"status,omitzero"`
}

// AttestationList is a list of Attestation.
// +kubebuilder:object:root=true
type AttestationList struct {
	metav1.TypeMeta `json:",inline"`
	metav1.ListMeta `json:"metadata,omitempty"`
	Items           []Attestation `json:"items"`
}
