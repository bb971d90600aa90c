package v1alpha1

import (
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

// SafetyRoadmapSpec is a frontier safety roadmap: goals with dates (Anthropic RSP v3.0 and later).
type SafetyRoadmapSpec struct {
	// source is the text that the roadmap is published in.
	// +optional
	Source *Source `json:"source,omitempty"`

	// goals of the roadmap.
	// +required
	// +listType=map
	// +listMapKey=name
	// +kubebuilder:validation:MinItems=1
	// +kubebuilder:validation:MaxItems=128
	Goals []Goal `json:"goals,omitempty"`
}

// Goal is something to be done by a day.
// +kubebuilder:validation:XValidation:rule="self.targetDate == oldSelf.targetDate",message="targetDate is never changed: move it by an update, which keeps its history"
// +kubebuilder:validation:XValidation:rule="!has(oldSelf.updates) || (has(self.updates) && oldSelf.updates.all(u, self.updates.exists(v, v == u)))",message="updates are never taken back: add another"
type Goal struct {
	// name of the goal, a DNS label.
	// +required
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=63
	// +kubebuilder:validation:Pattern=`^[a-z0-9]([a-z0-9-]*[a-z0-9])?$`
	Name string `json:"name,omitempty"`

	// pillar that it belongs to, such as "Security".
	// +required
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=120
	Pillar string `json:"pillar,omitempty"`

	// goal says what is to be done.
	// +required
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=2000
	Goal string `json:"goal,omitempty"`

	// dateSet is the day on which the goal was set, as "2026-02-24".
	// +required
	DateSet Date `json:"dateSet,omitempty"`

	// targetDate is the day by whose end it was to be done when it was set. It is never changed: updates move it, and so
	// keep its history.
	// +required
	TargetDate Date `json:"targetDate,omitempty"`

	// updates to the goal, the oldest first.
	// +optional
	// +listType=atomic
	// +kubebuilder:validation:MaxItems=64
	Updates []GoalUpdate `json:"updates,omitempty"`
}

// Date is a day as "2026-02-24", in UTC.
// +kubebuilder:validation:MinLength=10
// +kubebuilder:validation:MaxLength=10
// +kubebuilder:validation:Pattern=`^[0-9]{4}-[0-9]{2}-[0-9]{2}$`
type Date string

// GoalUpdate is what was said of a goal on a day.
type GoalUpdate struct {
	// date of the update.
	// +required
	Date Date `json:"date,omitempty"`

	// progress of the goal from this day. Absent: as before.
	// +optional
	// +kubebuilder:validation:Enum=Planned;InProgress;Done;Dropped
	Progress string `json:"progress,omitempty"`

	// targetDate moves the goal to another day. Absent: as before.
	// +optional
	TargetDate Date `json:"targetDate,omitempty"`

	// text says what has happened.
	// +required
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=2000
	Text string `json:"text,omitempty"`
}

// GoalState is how a goal stands today.
// +kubebuilder:validation:Enum=Planned;InProgress;Done;Dropped;Missed
type GoalState string

const (
	// GoalPlanned: not begun.
	GoalPlanned GoalState = "Planned"
	// GoalInProgress: begun.
	GoalInProgress GoalState = "InProgress"
	// GoalDone: done.
	GoalDone GoalState = "Done"
	// GoalDropped: given up, openly.
	GoalDropped GoalState = "Dropped"
	// GoalMissed: its day is over and it is not done.
	GoalMissed GoalState = "Missed"
)

// Reasons of the Ready condition of a SafetyRoadmap.
const (
	// ReasonOnTrack: no goal is past its date.
	ReasonOnTrack = "OnTrack"
	// ReasonGoalsMissed: the day of a goal is over, and it is not done.
	ReasonGoalsMissed = "GoalsMissed"
	// ReasonGoalUnreadable: a goal has a date that is none; it is left out of the status.
	ReasonGoalUnreadable = "GoalUnreadable"
)

// GoalStatus is how a goal stands.
type GoalStatus struct {
	// name of the goal.
	// +required
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=63
	Name string `json:"name,omitempty"`

	// state today.
	// +required
	State GoalState `json:"state,omitempty"`

	// targetDate that holds today.
	// +required
	TargetDate Date `json:"targetDate,omitempty"`

	// formerTargetDates are those that it was moved from, the oldest first.
	// +optional
	// +listType=atomic
	// +kubebuilder:validation:MaxItems=65
	FormerTargetDates []Date `json:"formerTargetDates,omitempty"`
}

// SafetyRoadmapStatus is how the goals stand today.
type SafetyRoadmapStatus struct {
	// observedGeneration is the generation of the spec that the rest of the status is about.
	// +optional
	// +kubebuilder:validation:Minimum=0
	ObservedGeneration int64 `json:"observedGeneration,omitempty"`

	// conditions hold Ready, False while a goal is missed or a date cannot be read.
	// +optional
	// +listType=map
	// +listMapKey=type
	// +kubebuilder:validation:MaxItems=8
	Conditions []metav1.Condition `json:"conditions,omitempty"`

	// goals tell how each stands.
	// +optional
	// +listType=map
	// +listMapKey=name
	// +kubebuilder:validation:MaxItems=128
	Goals []GoalStatus `json:"goals,omitempty"`

	// goalsDone counts the goals done and set, as "3/5".
	// +optional
	// +kubebuilder:validation:MaxLength=20
	GoalsDone string `json:"goalsDone,omitempty"`

	// goalsMissed counts the goals whose day is over and which are not done.
	// +optional
	// +kubebuilder:validation:Minimum=0
	GoalsMissed int32 `json:"goalsMissed"`
}

// SafetyRoadmap is a frontier safety roadmap: goals with dates, and how they stand.
// +kubebuilder:object:root=true
// +kubebuilder:subresource:status
// +kubebuilder:resource:scope=Cluster,categories=interlock,shortName=roadmap
// +kubebuilder:printcolumn:name="Done",type=string,JSONPath=`.status.goalsDone`
// +kubebuilder:printcolumn:name="Missed",type=integer,JSONPath=`.status.goalsMissed`
// +kubebuilder:printcolumn:name="Ready",type=string,JSONPath=`.status.conditions[?(@.type=="Ready")].status`
// +kubebuilder:printcolumn:name="Message",type=string,priority=1,JSONPath=`.status.conditions[?(@.type=="Ready")].message`
// +kubebuilder:printcolumn:name="Age",type=date,JSONPath=`.metadata.creationTimestamp`
type SafetyRoadmap struct {
	metav1.TypeMeta `json:",inline"`

	// metadata is the standard object metadata.
	// +optional
	metav1.ObjectMeta `json:"metadata,omitempty"`

	// spec is the roadmap as it is published.
	// +required
	Spec SafetyRoadmapSpec `json:"spec,omitzero"`

	// status is how its goals stand today.
	// +optional
	Status SafetyRoadmapStatus `json:"status,omitzero"`
}

// SafetyRoadmapList is a list of SafetyRoadmap.
// +kubebuilder:object:root=true
type SafetyRoadmapList struct {
	metav1.TypeMeta `json:",inline"`
	metav1.ListMeta `json:"metadata,omitempty"`
	Items           []SafetyRoadmap `json:"items"`
}
