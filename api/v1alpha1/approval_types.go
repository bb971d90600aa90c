package v1alpha1

import (
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

// ApprovalSpec says what is approved, in which role, and by whom.
type ApprovalSpec struct {
	// subject is what is approved. The approval dies with the digest: once the subject says something else, it counts no
	// more.
	// +required
	Subject Subject `json:"subject,omitzero"`

	// role in which it is approved, as approverRole of the policy's signOffs names it. It takes the RBAC verb "approve" on
	// approvals of this name, granted for the whole cluster.
	// +required
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=63
	// +kubebuilder:validation:Pattern=`^[a-z0-9]([-a-z0-9]*[a-z0-9])?$`
	Role string `json:"role,omitempty"`

	// comment that the approver wants on record.
	// +optional
	// +kubebuilder:validation:MaxLength=4000
	Comment string `json:"comment,omitempty"`

	// noticeGivenTo names the bodies that the approver has told before this goes ahead, where the policy's noticeTo asks
	// for that.
	// +optional
	// +listType=set
	// +kubebuilder:validation:MaxItems=8
	// +kubebuilder:validation:items:MinLength=1
	// +kubebuilder:validation:items:MaxLength=120
	NoticeGivenTo []string `json:"noticeGivenTo,omitempty"`

	// approver is whose request made this Approval. The API server writes it: what a manifest says here is overwritten.
	// When it was approved is the creation time.
	// +optional
	Approver *Requester `json:"approver,omitempty"`
}

// SubjectKind is a kind that can be approved. The subject of a ModelDeployment is the decision to serve it.
// +kubebuilder:validation:Enum=CapabilityAssessment;Waiver;ModelDeployment;ScalingPolicy;RiskReport
type SubjectKind string

const (
	// SubjectAssessment: unless it is approved, it rules nothing out and supersedes nothing.
	SubjectAssessment SubjectKind = "CapabilityAssessment"
	// SubjectWaiver: unless it is approved, it waives nothing.
	SubjectWaiver SubjectKind = "Waiver"
	// SubjectDecision: unless the decision to serve it is approved, the model is held.
	SubjectDecision SubjectKind = "ModelDeployment"
	// SubjectPolicy: unless it is approved, all models under it are held.
	SubjectPolicy SubjectKind = "ScalingPolicy"
	// SubjectRiskReport: unless one covers the model, and the last of those that do is approved, the model is held.
	SubjectRiskReport SubjectKind = "RiskReport"
)

// Subject is what an Approval is about: something in the same namespace, or of the cluster.
type Subject struct {
	// kind of the subject.
	// +required
	Kind SubjectKind `json:"kind,omitempty"`

	// name of the subject.
	// +required
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=253
	// +kubebuilder:validation:Pattern=`^[a-z0-9]([-.a-z0-9]*[a-z0-9])?$`
	Name string `json:"name,omitempty"`

	// digest of what is approved, to be copied from the subject's status: digest, or decisionDigest of a ModelDeployment.
	// +required
	// +kubebuilder:validation:MinLength=71
	// +kubebuilder:validation:MaxLength=71
	// +kubebuilder:validation:Pattern=`^sha256:[0-9a-f]{64}$`
	Digest string `json:"digest,omitempty"`
}

// Requester is who made a request, as the API server knew them.
type Requester struct {
	// username by which they authenticated.
	// +optional
	// +kubebuilder:validation:MaxLength=1024
	Username string `json:"username,omitempty"`

	// uid of the user, where the authenticator knows one.
	// +optional
	// +kubebuilder:validation:MaxLength=1024
	UID string `json:"uid,omitempty"`

	// credential by which they authenticated, such as "X509SHA256=..." or "JTI=...": it leads to the very certificate or
	// token. A request that impersonates somebody has none, unless whoever makes it may impersonate credentials as well.
	// +optional
	// +kubebuilder:validation:MaxLength=1024
	Credential string `json:"credential,omitempty"`
}

// Reasons of the Ready condition of an Approval.
const (
	// ReasonSubjectNotFound: there is nothing of that kind and name here.
	ReasonSubjectNotFound = "SubjectNotFound"
	// ReasonSubjectChanged: the subject says something else than what was approved.
	ReasonSubjectChanged = "SubjectChanged"
	// ReasonSelfApproval: the approver wrote the subject, or asked for it.
	ReasonSelfApproval = "SelfApproval"
	// ReasonAuthorUnknown: it is not known who wrote the subject, or who approved.
	ReasonAuthorUnknown = "AuthorUnknown"
	// ReasonNotAPerson: a part of the cluster approved, such as a node.
	ReasonNotAPerson = "NotAPerson"
	// ReasonOwned: it bears an owner reference, so the garbage collector could take it away.
	ReasonOwned = "Owned"
)

// ApprovalStatus is what the operator makes of the approval. It clears nothing: every decision looks at the spec anew.
type ApprovalStatus struct {
	// observedGeneration is the generation of the spec that the rest of the status is about.
	// +optional
	// +kubebuilder:validation:Minimum=0
	ObservedGeneration int64 `json:"observedGeneration,omitempty"`

	// conditions hold Ready, False with a reason when the approval does not count.
	// +optional
	// +listType=map
	// +listMapKey=type
	// +kubebuilder:validation:MaxItems=8
	Conditions []metav1.Condition `json:"conditions,omitempty"`
}

// Approval is the sign-off of one person on one thing, as it was when they signed. It is never edited; deleting it
// withdraws it.
// +kubebuilder:object:root=true
// +kubebuilder:subresource:status
// +kubebuilder:resource:scope=Namespaced,categories=interlock
// +kubebuilder:printcolumn:name="Role",type=string,JSONPath=`.spec.role`
// +kubebuilder:printcolumn:name="Kind",type=string,JSONPath=`.spec.subject.kind`
// +kubebuilder:printcolumn:name="Subject",type=string,JSONPath=`.spec.subject.name`
// +kubebuilder:printcolumn:name="Approver",type=string,JSONPath=`.spec.approver.username`
// +kubebuilder:printcolumn:name="Ready",type=string,JSONPath=`.status.conditions[?(@.type=="Ready")].status`
// +kubebuilder:printcolumn:name="Message",type=string,priority=1,JSONPath=`.status.conditions[?(@.type=="Ready")].message`
// +kubebuilder:printcolumn:name="Age",type=date,JSONPath=`.metadata.creationTimestamp`
// +kubebuilder:validation:XValidation:rule="self.spec == oldSelf.spec",message="an approval is never edited: delete it to withdraw it, and make another"
type Approval struct {
	metav1.TypeMeta `json:",inline"`

	// metadata is the standard object metadata.
	// +optional
	metav1.ObjectMeta `json:"metadata,omitempty"`

	// spec is what is approved.
	// +required
	Spec ApprovalSpec `json:"spec,omitzero"`

	// status is what the operator makes of it.
	// +optional
	Status ApprovalStatus `json:"status,omitzero"`
}

// ApprovalList is a list of Approval.
// +kubebuilder:object:root=true
type ApprovalList struct {
	metav1.TypeMeta `json:",inline"`
	metav1.ListMeta `json:"metadata,omitempty"`
	Items           []Approval `json:"items"`
}
