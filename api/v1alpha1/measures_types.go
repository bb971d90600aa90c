package v1alpha1

import (
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

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

// Shortfall tells how far the policy's steps have come for pods that run without clearance, or did so a while ago.
type Shortfall struct {
	// since is when the shortfall began: the steps count from here.
	// +required
	Since metav1.Time `json:"since,omitzero"`

	// step is the last of those that were taken; empty before the first. New pods of a model that is not cleared are held
	// all the while.
	// +optional
	Step ShortfallAction `json:"step,omitempty"`

	// nextStepTime is when the next step, or force, comes; absent when none is left. While no pod runs without clearance
	// it is taken only if one does so again, and then at once if its time has passed.
	// +optional
	NextStepTime *metav1.Time `json:"nextStepTime,omitempty"`

	// quietSince is since when no pod has run without clearance; absent, some do.
	// +optional
	QuietSince *metav1.Time `json:"quietSince,omitempty"`

	// rememberedUntil is when the shortfall is over if no pod runs without clearance until then. What was isolated or
	// stopped stays so until then, and a step that falls due is taken as soon as a pod runs without clearance again.
	// +optional
	RememberedUntil *metav1.Time `json:"rememberedUntil,omitempty"`

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
