package v1alpha1

import (
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

const (
	// LedgerName is the name of the ClearanceLedger that the API server reads at every pod of an enrolled namespace.
	LedgerName = "interlock"
	// NoticesName is the name of the ClearanceLedger that it reads when a workload is applied: what is said to people.
	NoticesName = "interlock-notices"
)

// ClearanceLedgerSpec is what the API server knows of a namespace. The API server converts the whole object to CEL at
// every evaluation, so what is read for each pod is kept in few and long strings, and what people read in an object of
// its own.
// +structType=atomic
type ClearanceLedgerSpec struct {
	// policy is the name of the ScalingPolicy that is enforced.
	// +optional
	// +kubebuilder:validation:MaxLength=63
	Policy string `json:"policy,omitempty"`

	// defaultModel is the model of pods that name none, from the namespace's label.
	// +optional
	// +kubebuilder:validation:MaxLength=63
	DefaultModel string `json:"defaultModel,omitempty"`

	// coverage is the namespace's label interlock.dev/coverage; empty, every pod must name a model.
	// +optional
	// +kubebuilder:validation:MaxLength=63
	Coverage string `json:"coverage,omitempty"`

	// clearances of the models that may run. A model that is in none of them is held.
	// +optional
	// +listType=atomic
	// +kubebuilder:validation:MaxItems=10000
	Clearances []Clearance `json:"clearances,omitempty"`

	// adjustments of the models whose new pods are given something, whether they are cleared or held.
	// +optional
	// +listType=atomic
	// +kubebuilder:validation:MaxItems=10000
	Adjustments []ModelAdjustments `json:"adjustments,omitempty"`

	// weights are the sources that models declare of their weights, a line a model: a line break, the name of the
	// ModelDeployment, and each source, between blanks ("\nalpha oci://... s3://...\nbeta pvc://...\n"). Sources hold neither
	// blanks nor line breaks. Only of models that a Safeguard asks about.
	// +optional
	// +kubebuilder:validation:MaxLength=500000
	Weights string `json:"weights,omitempty"`

	// exemptions of single pods of cleared models from pod rules.
	// +optional
	// +listType=atomic
	// +kubebuilder:validation:MaxItems=10000
	Exemptions []PodExemption `json:"exemptions,omitempty"`

	// notices are what is said to whoever applies a workload; only in the ledger named interlock-notices.
	// +optional
	// +listType=atomic
	// +kubebuilder:validation:MaxItems=10000
	Notices []Notice `json:"notices,omitempty"`
}

// Clearance is the lease of all models that have the same pod rules and the same end.
type Clearance struct {
	// validUntil is the first second at which new pods are refused, as RFC 3339 in UTC ("2026-05-14T08:30:00Z").
	// Strings of this one form compare as times do.
	// +required
	// +kubebuilder:validation:MinLength=20
	// +kubebuilder:validation:MaxLength=20
	// +kubebuilder:validation:Pattern=`^[0-9]{4}-[0-9]{2}-[0-9]{2}T[0-9]{2}:[0-9]{2}:[0-9]{2}Z$`
	ValidUntil string `json:"validUntil,omitempty"`

	// rules are the names of the Safeguards whose pod rules apply, each between commas (",image-pinned,no-host-access,").
	// +required
	// +kubebuilder:validation:MinLength=2
	// +kubebuilder:validation:MaxLength=20000
	Rules string `json:"rules,omitempty"`

	// models are the names of the ModelDeployments, each between blanks (" alpha beta "). Names are DNS labels, so a
	// blank cannot be forged.
	// +required
	// +kubebuilder:validation:MinLength=3
	// +kubebuilder:validation:MaxLength=1000000
	Models string `json:"models,omitempty"`
}

// ModelAdjustments are the adjustments of all models that have the same.
type ModelAdjustments struct {
	// safeguards are the names of the Safeguards whose adjustments apply, each between commas (",guard,sandbox,").
	// +required
	// +kubebuilder:validation:MinLength=3
	// +kubebuilder:validation:MaxLength=20000
	Safeguards string `json:"safeguards,omitempty"`

	// models are the names of the ModelDeployments, each between blanks (" alpha beta ").
	// +required
	// +kubebuilder:validation:MinLength=3
	// +kubebuilder:validation:MaxLength=1000000
	Models string `json:"models,omitempty"`
}

// PodExemption excuses pods from one pod rule until one end.
type PodExemption struct {
	// validUntil is the first second at which it excuses no new pod, in the form of a clearance's.
	// +required
	// +kubebuilder:validation:MinLength=20
	// +kubebuilder:validation:MaxLength=20
	// +kubebuilder:validation:Pattern=`^[0-9]{4}-[0-9]{2}-[0-9]{2}T[0-9]{2}:[0-9]{2}:[0-9]{2}Z$`
	ValidUntil string `json:"validUntil,omitempty"`

	// safeguard is the name of the Safeguard whose pod rule does not apply.
	// +required
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=63
	Safeguard string `json:"safeguard,omitempty"`

	// pods are the names of the pods, each behind that of its model and a slash, and between blanks (" alpha/canary ").
	// +required
	// +kubebuilder:validation:MinLength=5
	// +kubebuilder:validation:MaxLength=100000
	Pods string `json:"pods,omitempty"`
}

// Notice is what is said of one model under one policy.
type Notice struct {
	// model is the name of the ModelDeployment.
	// +required
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=63
	Model string `json:"model,omitempty"`

	// label of the namespace under which the policy is evaluated, such as interlock.dev/warn.
	// +required
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=63
	Label string `json:"label,omitempty"`

	// rules are the names of the Safeguards whose pod rules apply, each between commas.
	// +required
	// +kubebuilder:validation:MinLength=2
	// +kubebuilder:validation:MaxLength=20000
	Rules string `json:"rules,omitempty"`

	// message says what is missing; empty when the model is cleared.
	// +optional
	// +kubebuilder:validation:MaxLength=1024
	Message string `json:"message,omitempty"`
}

// ClearanceLedger holds the verdicts on the models of a namespace, in the shape that the API server enforces. Only the
// operator writes it.
// +kubebuilder:object:root=true
// +kubebuilder:resource:scope=Namespaced,categories=interlock
// +kubebuilder:printcolumn:name="Policy",type=string,JSONPath=`.spec.policy`
// +kubebuilder:printcolumn:name="Until",type=string,JSONPath=`.spec.clearances[*].validUntil`
// +kubebuilder:printcolumn:name="Age",type=date,JSONPath=`.metadata.creationTimestamp`
// +kubebuilder:validation:XValidation:rule="self.metadata.name in ['interlock', 'interlock-notices']",message="the name of a ClearanceLedger is interlock or interlock-notices"
type ClearanceLedger struct {
	metav1.TypeMeta `json:",inline"`

	// metadata is the standard object metadata.
	// +optional
	metav1.ObjectMeta `json:"metadata,omitempty"`

	// spec is the verdicts. It is written also when there are none.
	// +required
	Spec ClearanceLedgerSpec `json:"spec"`
}

// ClearanceLedgerList is a list of ClearanceLedger.
// +kubebuilder:object:root=true
type ClearanceLedgerList struct {
	metav1.TypeMeta `json:",inline"`
	metav1.ListMeta `json:"metadata,omitempty"`
	Items           []ClearanceLedger `json:"items"`
}
