package v1alpha1

import (
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

const (
	// LedgerName is the name of every ClearanceLedger.
	LedgerName = "interlock"
	// ClearancesName is the name of the LimitRange in a namespace that is enforced, whose annotations the API server reads at
	// every pod. It limits nothing.
	ClearancesName = "interlock-clearances"
)

// ClearanceLedgerSpec is what was decided of the models of a namespace, for people.
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

	// notices are what is said to whoever applies a workload, of each model under each policy that the namespace names.
	// +optional
	// +listType=atomic
	// +kubebuilder:validation:MaxItems=10000
	Notices []Notice `json:"notices,omitempty"`
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

	// weights are the sources that the model declares of its weights, if a Safeguard that it is asked for looks at them.
	// +optional
	// +listType=atomic
	// +kubebuilder:validation:MaxItems=16
	// +kubebuilder:validation:items:MinLength=7
	// +kubebuilder:validation:items:MaxLength=300
	Weights []string `json:"weights,omitempty"`
}

// ClearanceLedger holds what was decided of the models of a namespace, which the API server tells whoever applies a workload.
// What it enforces is in the LimitRange interlock-clearances beside it. Only the operator writes either.
// +kubebuilder:object:root=true
// +kubebuilder:resource:scope=Namespaced,categories=interlock
// +kubebuilder:printcolumn:name="Policy",type=string,JSONPath=`.spec.policy`
// +kubebuilder:printcolumn:name="Models",type=string,JSONPath=`.spec.notices[*].model`
// +kubebuilder:printcolumn:name="Age",type=date,JSONPath=`.metadata.creationTimestamp`
// +kubebuilder:validation:XValidation:rule="self.metadata.name == 'interlock'",message="the name of a ClearanceLedger is interlock"
type ClearanceLedger struct {
	metav1.TypeMeta `json:",inline"`

	// metadata is the standard object metadata.
	// +optional
	metav1.ObjectMeta `json:"metadata,omitempty"`

	// spec is what was decided. It is written also when there are no models.
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
