package v1alpha1

import (
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

// WaiverSpec asks that a model be served for a time although some of its safeguards are not in place.
type WaiverSpec struct {
	// model is the name of the ModelDeployment in this namespace.
	// +required
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=63
	// +kubebuilder:validation:Pattern=`^[a-z0-9]([-a-z0-9]*[a-z0-9])?$`
	Model string `json:"model,omitempty"`

	// safeguards that are waived, each by its name: there are no wildcards.
	// +required
	// +listType=set
	// +kubebuilder:validation:MinItems=1
	// +kubebuilder:validation:MaxItems=16
	// +kubebuilder:validation:items:MinLength=1
	// +kubebuilder:validation:items:MaxLength=63
	// +kubebuilder:validation:items:Pattern=`^[a-z0-9]([-a-z0-9]*[a-z0-9])?$`
	Safeguards []string `json:"safeguards,omitempty"`

	// pods to exempt, each by its name: then these alone may run without the safeguards, which must be pod rules, and the
	// model's other pods may not. There are no wildcards. By default the whole model may be served without them.
	// +optional
	// +listType=set
	// +kubebuilder:validation:MinItems=1
	// +kubebuilder:validation:MaxItems=16
	// +kubebuilder:validation:items:MinLength=1
	// +kubebuilder:validation:items:MaxLength=253
	// +kubebuilder:validation:items:Pattern=`^[a-z0-9]([-a-z0-9]*[a-z0-9])?(\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*$`
	Pods []string `json:"pods,omitempty"`

	// reason why the model is to be served all the same.
	// +required
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=2000
	Reason string `json:"reason,omitempty"`

	// ticket under which the work to put the safeguards in place is followed.
	// +required
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=200
	Ticket string `json:"ticket,omitempty"`

	// interimMeasure says what is done instead in the meantime.
	// +required
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=2000
	InterimMeasure string `json:"interimMeasure,omitempty"`

	// notAfter is the second at which the waiver ends. From its creation until then may be no longer than longestWaiver of
	// the policy's levels.
	// +required
	NotAfter metav1.Time `json:"notAfter,omitzero"`

	// requester is whose request made this Waiver. The API server writes it: what a manifest says here is overwritten.
	// +optional
	Requester *Requester `json:"requester,omitempty"`
}

// WaiverState is how far a waiver has come.
// +kubebuilder:validation:Enum=Pending;InForce;Expired;Refused
type WaiverState string

const (
	// WaiverPending: sign-offs are missing; it waives nothing.
	WaiverPending WaiverState = "Pending"
	// WaiverInForce: it waives its safeguards until it ends.
	WaiverInForce WaiverState = "InForce"
	// WaiverExpired: it has ended, or one with which it overlaps has.
	WaiverExpired WaiverState = "Expired"
	// WaiverRefused: the policy does not allow it; it waives nothing.
	WaiverRefused WaiverState = "Refused"
)

// ConditionEnding is True while a Waiver is in force and near its end: in its last day, or its last quarter if that is
// shorter.
const ConditionEnding = "Ending"

// Reasons of the conditions of a Waiver, besides its states.
const (
	// ReasonNotDecided: no policy that is enforced has been asked about the model yet.
	ReasonNotDecided = "NotDecided"
	// ReasonEndsSoon: the waiver is near its end.
	ReasonEndsSoon = "EndsSoon"
	// ReasonNotYet: it is not.
	ReasonNotYet = "NotYet"
)

// WaiverStatus is what the operator makes of the waiver. It clears nothing: every decision looks at the spec anew.
type WaiverStatus struct {
	// observedGeneration is the generation of the spec that the rest of the status is about.
	// +optional
	// +kubebuilder:validation:Minimum=0
	ObservedGeneration int64 `json:"observedGeneration,omitempty"`

	// conditions hold Ready, True while the waiver is in force, and Ending, True while it is and is near its end.
	// +optional
	// +listType=map
	// +listMapKey=type
	// +kubebuilder:validation:MaxItems=8
	Conditions []metav1.Condition `json:"conditions,omitempty"`

	// digest of the waiver, which approvals name.
	// +optional
	// +kubebuilder:validation:MaxLength=71
	Digest string `json:"digest,omitempty"`

	// state of the waiver under the policy that the namespace enforces; empty when there is no such model.
	// +optional
	State WaiverState `json:"state,omitempty"`
}

// Waiver is a time-boxed exception: one model, or some named pods of it, may run without some named safeguards. It is never edited; deleting it
// withdraws it.
// +kubebuilder:object:root=true
// +kubebuilder:subresource:status
// +kubebuilder:resource:scope=Namespaced,categories=interlock
// +kubebuilder:printcolumn:name="Model",type=string,JSONPath=`.spec.model`
// +kubebuilder:printcolumn:name="Safeguards",type=string,JSONPath=`.spec.safeguards`
// +kubebuilder:printcolumn:name="Pods",type=string,priority=1,JSONPath=`.spec.pods`
// +kubebuilder:printcolumn:name="Requester",type=string,JSONPath=`.spec.requester.username`
// +kubebuilder:printcolumn:name="Until",type=string,JSONPath=`.spec.notAfter`
// +kubebuilder:printcolumn:name="State",type=string,JSONPath=`.status.state`
// +kubebuilder:printcolumn:name="Digest",type=string,priority=1,JSONPath=`.status.digest`
// +kubebuilder:printcolumn:name="Message",type=string,priority=1,JSONPath=`.status.conditions[?(@.type=="Ready")].message`
// +kubebuilder:printcolumn:name="Age",type=date,JSONPath=`.metadata.creationTimestamp`
// +kubebuilder:validation:XValidation:rule="self.spec == oldSelf.spec",message="a waiver is never edited: delete it to withdraw it, and request another"
type Waiver struct {
	metav1.TypeMeta `json:",inline"`

	// metadata is the standard object metadata.
	// +optional
	metav1.ObjectMeta `json:"metadata,omitempty"`

	// spec is what is waived.
	// +required
	Spec WaiverSpec `json:"spec,omitzero"`

	// status is what the operator makes of it.
	// +optional
	Status WaiverStatus `json:"status,omitzero"`
}

// WaiverList is a list of Waiver.
// +kubebuilder:object:root=true
type WaiverList struct {
	metav1.TypeMeta `json:",inline"`
	metav1.ListMeta `json:"metadata,omitempty"`
	Items           []Waiver `json:"items"`
}
