package v1alpha1

import (
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

// RiskReportSpec says which document is the risk report of which models (Anthropic RSP v3.0 and later, section 3).
// +kubebuilder:validation:XValidation:rule="self == oldSelf",message="a risk report is never edited: file another, which then counts"
type RiskReportSpec struct {
	// source is the text as it is published, or where it is kept.
	// +required
	Source Source `json:"source,omitzero"`

	// document is the digest of the document, as "sha256:" and 64 lower-case hexadecimal digits: who approves the report
	// approves these bytes.
	// +required
	// +kubebuilder:validation:MinLength=71
	// +kubebuilder:validation:MaxLength=71
	// +kubebuilder:validation:Pattern=`^sha256:[0-9a-f]{64}$`
	Document string `json:"document,omitempty"`

	// date as of which the report covers its models.
	// +required
	Date Date `json:"date,omitempty"`

	// digests of the weights that it covers.
	// +required
	// +listType=set
	// +kubebuilder:validation:MinItems=1
	// +kubebuilder:validation:MaxItems=256
	// +kubebuilder:validation:items:MinLength=71
	// +kubebuilder:validation:items:MaxLength=71
	// +kubebuilder:validation:items:Pattern=`^sha256:[0-9a-f]{64}$`
	Digests []string `json:"digests,omitempty"`
}

// RiskReport is a published analysis of the risk of models. Where a policy asks for its approval, a model is held until
// the report that was filed last of those that cover it is approved; if several were in one second, all of them.
// +kubebuilder:object:root=true
// +kubebuilder:resource:scope=Cluster,categories=interlock
// +kubebuilder:printcolumn:name="Date",type=string,JSONPath=`.spec.date`
// +kubebuilder:printcolumn:name="Document",type=string,JSONPath=`.spec.document`
// +kubebuilder:printcolumn:name="Age",type=date,JSONPath=`.metadata.creationTimestamp`
type RiskReport struct {
	metav1.TypeMeta `json:",inline"`

	// metadata is the standard object metadata.
	// +optional
	metav1.ObjectMeta `json:"metadata,omitempty"`

	// spec says which document it is, and what it covers.
	// +required
	Spec RiskReportSpec `json:"spec,omitzero"`
}

// RiskReportList is a list of RiskReport.
// +kubebuilder:object:root=true
type RiskReportList struct {
	metav1.TypeMeta `json:",inline"`
	metav1.ListMeta `json:"metadata,omitempty"`
	Items           []RiskReport `json:"items"`
}
