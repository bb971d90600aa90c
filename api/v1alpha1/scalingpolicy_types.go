package v1alpha1

import (
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

// ScalingPolicySpec is a Responsible Scaling Policy as data.
// +kubebuilder:validation:XValidation:rule="self.levels.exists(l, l.name == self.baselineLevel)",message="baselineLevel must name one of levels"
// +kubebuilder:validation:XValidation:rule="!has(self.thresholds) || self.thresholds.all(t, !has(t.demands) || t.demands.all(d, self.levels.exists(l, l.name == d.level)))",message="each demand of a threshold must name one of levels"
// +kubebuilder:validation:XValidation:rule="!has(self.signOffs) || self.signOffs.all(s, !has(s.approves) || s.approves.all(a, !has(a.fromLevel) || self.levels.exists(l, l.name == a.fromLevel)))",message="fromLevel of a sign-off must name one of levels"
// +kubebuilder:validation:XValidation:rule="!has(self.signOffs) || self.signOffs.all(s, !has(s.approverRole) || self.signOffs.exists_one(t, has(t.approverRole) && t.approverRole == s.approverRole))",message="approverRole of each sign-off must be another"
// +kubebuilder:validation:XValidation:rule="!self.levels.exists(l, has(l.longestWaiver)) || (has(self.signOffs) && self.signOffs.exists(s, has(s.approves) && s.approves.exists(a, a.kind == 'Waiver')))",message="a level with longestWaiver needs a sign-off that approves kind Waiver"
type ScalingPolicySpec struct {
	// title of the framework, as people call it.
	// +required
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=200
	Title string `json:"title,omitempty"`

	// source is the text that this policy encodes.
	// +required
	Source Source `json:"source,omitzero"`

	// levels from the least to the most strict. A level asks for its own safeguards and for those of all levels
	// before it.
	// +required
	// +listType=map
	// +listMapKey=name
	// +kubebuilder:validation:MinItems=1
	// +kubebuilder:validation:MaxItems=16
	Levels []Level `json:"levels,omitempty"`

	// thresholds of capability, each of which an assessment has to rule out unless the model is to have the safeguards
	// that it leads to.
	// +optional
	// +listType=map
	// +listMapKey=name
	// +kubebuilder:validation:MaxItems=64
	Thresholds []Threshold `json:"thresholds,omitempty"`

	// assessment says when an assessment counts, and what a model gets for which none does. Absent: assessments count
	// for ever, and a threshold that none rules out is taken as reached.
	// +optional
	Assessment *AssessmentRules `json:"assessment,omitempty"`

	// signOffs lists the roles whose approval the framework asks for. Those that say in approves what they approve bind; the
	// others are for the reader.
	// +optional
	// +listType=map
	// +listMapKey=role
	// +kubebuilder:validation:MaxItems=16
	SignOffs []SignOff `json:"signOffs,omitempty"`

	// trust says whose signatures count as evidence. Absent: nobody's, so whatever needs evidence is missing.
	// +optional
	Trust *Trust `json:"trust,omitempty"`

	// changelog says what each version of this policy changed, the newest first.
	// +optional
	// +listType=atomic
	// +kubebuilder:validation:MaxItems=64
	Changelog []ChangelogEntry `json:"changelog,omitempty"`

	// baselineLevel is what is asked of every model on both axes, whatever it declares.
	// +required
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=63
	BaselineLevel string `json:"baselineLevel,omitempty"`

	// lease is how long a clearance lasts at the most without being decided again, between 10s and 24h: the time for
	// which models keep scaling when the operator is dead. The operator renews at half of it. Default: 1h.
	// +optional
	// +kubebuilder:default="1h"
	// +kubebuilder:validation:Type=string
	// +kubebuilder:validation:MaxLength=20
	// +kubebuilder:validation:XValidation:rule="duration(self) >= duration('10s') && duration(self) <= duration('24h')",message="lease must be between 10s and 24h"
	Lease *metav1.Duration `json:"lease,omitempty"`

	// replacementsPerMinute is how many running pods of cleared models are evicted in a minute at the most, over all models
	// under the policy and one model after the other, because they were created before an adjustment that their model needs.
	// 0: none, they run on. Default: 6.
	// +optional
	// +kubebuilder:validation:Minimum=0
	// +kubebuilder:validation:Maximum=600
	ReplacementsPerMinute *int32 `json:"replacementsPerMinute,omitempty"`
}

// Threshold is a capability that asks for more safeguards.
// +kubebuilder:validation:XValidation:rule="has(self.demands) || has(self.safeguards) || has(self.unspecified) || has(self.notRequired)",message="a threshold leads to demands or safeguards, or says that these are unspecified or not required"
// +kubebuilder:validation:XValidation:rule="!has(self.notRequired) || (!has(self.demands) && !has(self.safeguards) && !has(self.unspecified))",message="a threshold that requires nothing has no demands, safeguards or unspecified"
type Threshold struct {
	// name of the threshold, such as "CBRN-3".
	// +required
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=63
	// +kubebuilder:validation:Pattern=`^[^[:cntrl:]]+$`
	Name string `json:"name,omitempty"`

	// domain that it belongs to, such as "Cyber operations".
	// +required
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=120
	Domain string `json:"domain,omitempty"`

	// definition says what a model that reached it can do.
	// +required
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=2000
	Definition string `json:"definition,omitempty"`

	// source of the definition and of what it leads to.
	// +required
	Source Source `json:"source,omitzero"`

	// demands are the levels that it asks for, on each axis separately.
	// +optional
	// +listType=atomic
	// +kubebuilder:validation:MinItems=1
	// +kubebuilder:validation:MaxItems=8
	Demands []ThresholdDemand `json:"demands,omitempty"`

	// safeguards that it asks for besides levels, such as an affirmative case on misalignment.
	// +optional
	// +listType=map
	// +listMapKey=safeguard
	// +kubebuilder:validation:MinItems=1
	// +kubebuilder:validation:MaxItems=64
	Safeguards []Obligation `json:"safeguards,omitempty"`

	// unspecified says which of the safeguards that the threshold asks for the text, or this pack, does not tell. A
	// model that may have reached the threshold is held.
	// +optional
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=500
	Unspecified string `json:"unspecified,omitempty"`

	// notRequired says why the threshold asks for nothing, such as one that is only watched.
	// +optional
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=500
	NotRequired string `json:"notRequired,omitempty"`

	// onlyIfFound lets the threshold ask for nothing unless an assessment finds it Reached, Inconclusive or Saturated. It is for what the
	// text leaves to the developer to determine, such as that a model goes beyond all that were analysed publicly (Anthropic RSP
	// v3.4, section 3.1). Default: false, so a threshold that nobody rules out asks for something.
	// +optional
	OnlyIfFound *bool `json:"onlyIfFound,omitempty"`
}

// ThresholdDemand asks for a level on one axis.
type ThresholdDemand struct {
	// axis of the demand.
	// +required
	Axis Axis `json:"axis,omitempty"`

	// level that is asked for.
	// +required
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=63
	Level string `json:"level,omitempty"`

	// force of the demand: the safeguards of the level bind no stronger than this. Default: Binding.
	// +optional
	// +kubebuilder:default=Binding
	Force Force `json:"force,omitempty"`

	// source says where the text asks for this.
	// +optional
	Source *Source `json:"source,omitempty"`
}

// Treatment is what a model gets for a threshold that no assessment rules out.
// +kubebuilder:validation:Enum=AsReached;Hold
type Treatment string

const (
	// TreatAsReached: the model must have what the threshold asks for, as if it had been reached (Anthropic RSP v2.2,
	// section 3.3).
	TreatAsReached Treatment = "AsReached"
	// TreatHold: the model is held until it is assessed, and what the threshold asks for is asked for besides.
	TreatHold Treatment = "Hold"
)

// AssessmentRules say when an assessment counts.
type AssessmentRules struct {
	// maxAgeMonths is the age in calendar months at which an assessment no longer rules anything out: one of 31 August
	// with an age of 6 ends on the last of February, at the time of day at which it was made. Absent: never.
	// +optional
	// +kubebuilder:validation:Minimum=1
	// +kubebuilder:validation:Maximum=120
	MaxAgeMonths *int32 `json:"maxAgeMonths,omitempty"`

	// maxComputeFactor is how many times the effective compute of the assessed model the served model may have before
	// the assessment no longer rules anything out; at the factor itself it does not. Then both must say their effective
	// compute. Absent: it does not matter.
	// +optional
	// +kubebuilder:validation:Minimum=1
	// +kubebuilder:validation:Maximum=1000
	MaxComputeFactor *int32 `json:"maxComputeFactor,omitempty"`

	// unassessed is what a model gets for a threshold that no assessment speaks of. Default: AsReached.
	// +optional
	// +kubebuilder:default=AsReached
	Unassessed Treatment `json:"unassessed,omitempty"`

	// stale is what a model gets for a threshold that only assessments which are too old rule out. Default: AsReached.
	// +optional
	// +kubebuilder:default=AsReached
	Stale Treatment `json:"stale,omitempty"`

	// inconclusive is what a model gets for a threshold whose worst outcome is Inconclusive or Saturated. Default:
	// AsReached.
	// +optional
	// +kubebuilder:default=AsReached
	Inconclusive Treatment `json:"inconclusive,omitempty"`

	// supersession says when a newer assessment puts an older one, which it names, out of force. Default: Named.
	// +optional
	// +kubebuilder:default=Named
	Supersession Supersession `json:"supersession,omitempty"`
}

// Supersession says what it takes for a newer assessment to put an older one out of force.
// +kubebuilder:validation:Enum=Named;IndependentEvaluator;Never
type Supersession string

const (
	// SupersedeNamed: the newer one names it.
	SupersedeNamed Supersession = "Named"
	// SupersedeIndependentEvaluator: the newer one names it and is by an evaluator independent of the developer.
	SupersedeIndependentEvaluator Supersession = "IndependentEvaluator"
	// SupersedeNever: the most severe outcome counts for ever.
	SupersedeNever Supersession = "Never"
)

// SignOff is an approval that the framework asks for.
// +kubebuilder:validation:XValidation:rule="has(self.approves) == has(self.approverRole)",message="approves needs approverRole, and approverRole needs approves"
type SignOff struct {
	// role of who approves or is told, such as "Responsible Scaling Officer".
	// +required
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=120
	Role string `json:"role,omitempty"`

	// purpose says what the role approves, or is told of, and when.
	// +required
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=500
	Purpose string `json:"purpose,omitempty"`

	// approverRole is the name by which Approvals and RBAC know the role, such as "rso".
	// +optional
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=63
	// +kubebuilder:validation:Pattern=`^[a-z0-9]([-a-z0-9]*[a-z0-9])?$`
	ApproverRole string `json:"approverRole,omitempty"`

	// approves says what does not count unless people in this role approve it. Absent: the sign-off is for the reader, and
	// holds nothing.
	// +optional
	// +listType=map
	// +listMapKey=kind
	// +kubebuilder:validation:MinItems=1
	// +kubebuilder:validation:MaxItems=5
	Approves []ApprovalRule `json:"approves,omitempty"`

	// source says where the text asks for this.
	// +optional
	Source *Source `json:"source,omitempty"`
}

// ApprovalRule says what people in a role have to approve. One person counts in one role only for the same thing, and
// never for what they wrote or asked for themselves.
// +kubebuilder:validation:XValidation:rule="!has(self.fromLevel) || self.kind != 'CapabilityAssessment'",message="an assessment says at which level a model is, so its approval cannot depend on the level"
// +kubebuilder:validation:XValidation:rule="!has(self.serviceAccounts) || self.kind == 'Waiver' || !('Request' in self.serviceAccounts)",message="only waivers are requested: a ServiceAccount that writes anything else needs no leave for it"
type ApprovalRule struct {
	// kind of what is approved.
	// +required
	Kind SubjectKind `json:"kind,omitempty"`

	// people is how many different ones must approve in this role. Default: 1.
	// +optional
	// +kubebuilder:default=1
	// +kubebuilder:validation:Minimum=1
	// +kubebuilder:validation:Maximum=16
	People *int32 `json:"people,omitempty"`

	// fromLevel is the lowest level, on either axis, at which a model must have this approval. Absent: at every level.
	// +optional
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=63
	FromLevel string `json:"fromLevel,omitempty"`

	// noticeTo names the bodies that each approver must have told before, such as "Board of Directors": an approval that
	// does not list them in noticeGivenTo does not count.
	// +optional
	// +listType=set
	// +kubebuilder:validation:MaxItems=8
	// +kubebuilder:validation:items:MinLength=1
	// +kubebuilder:validation:items:MaxLength=120
	NoticeTo []string `json:"noticeTo,omitempty"`

	// serviceAccounts says what a ServiceAccount may do here. Whoever may ask for a token of one acts under its name, so by
	// default an approval or a request for a waiver counts only if a person made it. A waiver that a ServiceAccount requests needs
	// Request in every rule that applies to it. No other name that begins with "system:", such as a node's, ever counts.
	// +optional
	// +listType=set
	// +kubebuilder:validation:MinItems=1
	// +kubebuilder:validation:MaxItems=2
	ServiceAccounts []ServiceAccountRight `json:"serviceAccounts,omitempty"`
}

// ServiceAccountRight is something that a policy lets ServiceAccounts do.
// +kubebuilder:validation:Enum=Approve;Request
type ServiceAccountRight string

const (
	// ServiceAccountsApprove: the approval of a ServiceAccount counts as that of a person.
	ServiceAccountsApprove ServiceAccountRight = "Approve"
	// ServiceAccountsRequest: a ServiceAccount may request the waiver that is approved.
	ServiceAccountsRequest ServiceAccountRight = "Request"
)

// ChangelogEntry says what a version of the policy changed.
type ChangelogEntry struct {
	// version of the text or of this policy.
	// +required
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=50
	Version string `json:"version,omitempty"`

	// date of the version, as "2026-05-14".
	// +required
	// +kubebuilder:validation:MinLength=10
	// +kubebuilder:validation:MaxLength=10
	// +kubebuilder:validation:Pattern=`^[0-9]{4}-[0-9]{2}-[0-9]{2}$`
	Date string `json:"date,omitempty"`

	// summary of what changed.
	// +required
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=2000
	Summary string `json:"summary,omitempty"`
}

// Level is one AI Safety Level, or the like of another framework.
type Level struct {
	// name of the level, such as "ASL-3".
	// +required
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=63
	// +kubebuilder:validation:Pattern=`^[A-Za-z0-9]([A-Za-z0-9._-]*[A-Za-z0-9])?$`
	Name string `json:"name,omitempty"`

	// deployment is the level's deployment standard.
	// +required
	Deployment Standard `json:"deployment,omitzero"`

	// security is the level's security standard.
	// +required
	Security Standard `json:"security,omitzero"`

	// onShortfall lists what is done about running pods when a model of this level is not cleared, counted from when
	// the shortfall began; the steps of the levels before it apply as well. New pods are held at once whatever stands
	// here. Default: nothing but that.
	// +optional
	// +listType=map
	// +listMapKey=action
	// +kubebuilder:validation:MaxItems=5
	OnShortfall []ShortfallStep `json:"onShortfall,omitempty"`

	// longestWaiver is the longest time for which a safeguard of a model at this level may be waived, at most 2160h (90
	// days). The shortest of this and all levels before it applies. Absent: no safeguard may be waived at this level.
	// +optional
	// +kubebuilder:validation:Type=string
	// +kubebuilder:validation:MaxLength=20
	// +kubebuilder:validation:XValidation:rule="duration(self) > duration('0s') && duration(self) <= duration('2160h')",message="longestWaiver must be more than 0s and at most 2160h"
	LongestWaiver *metav1.Duration `json:"longestWaiver,omitempty"`
}

// Standard is what a level asks on one axis: safeguards, or explicitly nothing, or something that the text leaves open.
// +kubebuilder:validation:XValidation:rule="(has(self.safeguards) ? 1 : 0) + (has(self.unspecified) ? 1 : 0) + (has(self.notRequired) ? 1 : 0) == 1",message="a standard has exactly one of safeguards, unspecified and notRequired"
type Standard struct {
	// safeguards that this level adds on this axis.
	// +optional
	// +listType=map
	// +listMapKey=safeguard
	// +kubebuilder:validation:MinItems=1
	// +kubebuilder:validation:MaxItems=64
	Safeguards []Obligation `json:"safeguards,omitempty"`

	// unspecified says why the text does not tell the safeguards of this level yet. A model that needs it is held.
	// +optional
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=500
	Unspecified string `json:"unspecified,omitempty"`

	// notRequired says why this level adds nothing on this axis.
	// +optional
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=500
	NotRequired string `json:"notRequired,omitempty"`
}

// Obligation asks for one Safeguard.
type Obligation struct {
	// safeguard is the name of the Safeguard.
	// +required
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=63
	Safeguard string `json:"safeguard,omitempty"`

	// force of the obligation. Default: Binding.
	// +optional
	// +kubebuilder:default=Binding
	Force Force `json:"force,omitempty"`

	// audiences for which this is asked. Absent: all. A model that says nothing of its audience has the widest.
	// +optional
	// +listType=set
	// +kubebuilder:validation:MinItems=1
	// +kubebuilder:validation:MaxItems=3
	Audiences []Audience `json:"audiences,omitempty"`

	// minimumStrength is the weakest proof that counts. Absent: any.
	// +optional
	MinimumStrength Strength `json:"minimumStrength,omitempty"`

	// unwaivable says that no Waiver can cover the Safeguard, as of audit, logging and canaries. Default: false.
	// +optional
	Unwaivable *bool `json:"unwaivable,omitempty"`

	// source says where the text asks for this.
	// +optional
	Source *Source `json:"source,omitempty"`
}

// ShortfallAction is a step that is taken when a model is not cleared while pods of it run.
// +kubebuilder:validation:Enum=Warn;Hold;Isolate;Evict;Stop
type ShortfallAction string

const (
	// ShortfallWarn tells people, by an Event and in status, and does nothing else.
	ShortfallWarn ShortfallAction = "Warn"
	// ShortfallHold holds new pods. That is done at once whatever the policy says; naming it changes nothing.
	ShortfallHold ShortfallAction = "Hold"
	// ShortfallIsolate keeps the pods, for forensics, and puts a NetworkPolicy on them that allows no traffic. Since
	// NetworkPolicies only add up, status names those of others that still allow some.
	ShortfallIsolate ShortfallAction = "Isolate"
	// ShortfallEvict evicts the pods through the eviction API, so disruption budgets are respected; the replacements
	// come up held.
	ShortfallEvict ShortfallAction = "Evict"
	// ShortfallStop stops the workloads in the way of their kinds, which no disruption budget delays. They are started
	// again once the model is cleared and the shortfall is over.
	ShortfallStop ShortfallAction = "Stop"
)

// ShortfallStep is one step on the way from holding new pods to having none left.
// +kubebuilder:validation:XValidation:rule="!has(self.forceAfter) || !has(self.after) || duration(self.forceAfter) >= duration(self.after)",message="forceAfter must not be shorter than after"
// +kubebuilder:validation:XValidation:rule="!has(self.forceAfter) || self.action == 'Evict'",message="forceAfter goes with the action Evict only: nothing delays the others"
// +kubebuilder:validation:XValidation:rule="self.action != 'Hold' || !has(self.after) || duration(self.after) == duration('0s')",message="Hold takes no after: new pods are held at once, always"
type ShortfallStep struct {
	// action of this step.
	// +required
	Action ShortfallAction `json:"action,omitempty"`

	// after is the time from the beginning of the shortfall to this step. Default: 0s, at once.
	// +optional
	// +kubebuilder:default="0s"
	// +kubebuilder:validation:Type=string
	// +kubebuilder:validation:MaxLength=20
	// +kubebuilder:validation:XValidation:rule="duration(self) >= duration('0s')",message="after must not be negative"
	After *metav1.Duration `json:"after,omitempty"`

	// forceAfter is the time from the beginning of the shortfall to when pods that a disruption budget still protects
	// are deleted. Absent: never, a budget may block for ever.
	// +optional
	// +kubebuilder:validation:Type=string
	// +kubebuilder:validation:MaxLength=20
	// +kubebuilder:validation:XValidation:rule="duration(self) >= duration('0s')",message="forceAfter must not be negative"
	ForceAfter *metav1.Duration `json:"forceAfter,omitempty"`
}

// ScalingPolicyStatus is what the operator makes of the policy.
type ScalingPolicyStatus struct {
	// observedGeneration is the generation of the spec that the rest of the status is about.
	// +optional
	// +kubebuilder:validation:Minimum=0
	ObservedGeneration int64 `json:"observedGeneration,omitempty"`

	// conditions hold Ready, False with a reason when something that the policy names is missing or broken.
	// +optional
	// +listType=map
	// +listMapKey=type
	// +kubebuilder:validation:MaxItems=8
	Conditions []metav1.Condition `json:"conditions,omitempty"`

	// digest of the policy and of the Safeguards that it names, which approvals of the policy name.
	// +optional
	// +kubebuilder:validation:MaxLength=71
	Digest string `json:"digest,omitempty"`
}

// ScalingPolicy is a framework as data: levels, and the safeguards of each level's deployment and security standard.
// +kubebuilder:object:root=true
// +kubebuilder:subresource:status
// +kubebuilder:resource:scope=Cluster,categories=interlock,shortName=rsp
// +kubebuilder:printcolumn:name="Title",type=string,JSONPath=`.spec.title`
// +kubebuilder:printcolumn:name="Baseline",type=string,JSONPath=`.spec.baselineLevel`
// +kubebuilder:printcolumn:name="Lease",type=string,JSONPath=`.spec.lease`
// +kubebuilder:printcolumn:name="Ready",type=string,JSONPath=`.status.conditions[?(@.type=="Ready")].status`
// +kubebuilder:printcolumn:name="Digest",type=string,priority=1,JSONPath=`.status.digest`
// +kubebuilder:printcolumn:name="Message",type=string,priority=1,JSONPath=`.status.conditions[?(@.type=="Ready")].message`
// +kubebuilder:printcolumn:name="Age",type=date,JSONPath=`.metadata.creationTimestamp`
// +kubebuilder:validation:XValidation:rule="self.metadata.name.size() <= 63",message="the name must have 63 characters at the most, since namespaces name the policy in a label"
type ScalingPolicy struct {
	metav1.TypeMeta `json:",inline"`

	// metadata is the standard object metadata.
	// +optional
	metav1.ObjectMeta `json:"metadata,omitempty"`

	// spec is the framework as the safety team writes it.
	// +required
	Spec ScalingPolicySpec `json:"spec,omitzero"`

	// status is what the operator makes of it.
	// +optional
	Status ScalingPolicyStatus `json:"status,omitzero"`
}

// ScalingPolicyList is a list of ScalingPolicy.
// +kubebuilder:object:root=true
type ScalingPolicyList struct {
	metav1.TypeMeta `json:",inline"`
	metav1.ListMeta `json:"metadata,omitempty"`
	Items           []ScalingPolicy `json:"items"`
}
