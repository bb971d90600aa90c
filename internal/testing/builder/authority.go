package builder

import (
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/interlock-dev/interlock/api/v1alpha1"
)

// ApprovalBuilder makes an Approval.
type ApprovalBuilder struct{ approval v1alpha1.Approval }

// Approval begins an approval in the role "rso".
func Approval(namespace, name string) *ApprovalBuilder {
	b := &ApprovalBuilder{v1alpha1.Approval{ObjectMeta: named(name), Spec: v1alpha1.ApprovalSpec{Role: "rso"}}}
	b.approval.Namespace = namespace
	return b
}

// Role sets the role in which it is approved.
func (b *ApprovalBuilder) Role(role string) *ApprovalBuilder {
	b.approval.Spec.Role = role
	return b
}

// Of sets what is approved.
func (b *ApprovalBuilder) Of(kind v1alpha1.SubjectKind, name, digest string) *ApprovalBuilder {
	b.approval.Spec.Subject = v1alpha1.Subject{Kind: kind, Name: name, Digest: digest}
	return b
}

// NoticeGivenTo names who was told.
func (b *ApprovalBuilder) NoticeGivenTo(bodies ...string) *ApprovalBuilder {
	b.approval.Spec.NoticeGivenTo = bodies
	return b
}

// By sets the approver, as the API server does.
func (b *ApprovalBuilder) By(username string) *ApprovalBuilder {
	b.approval.Spec.Approver = &v1alpha1.Requester{Username: username, Credential: "X509SHA256=" + username}
	return b
}

// Build gives the approval.
func (b *ApprovalBuilder) Build() *v1alpha1.Approval { return b.approval.DeepCopy() }

// WaiverBuilder makes a Waiver.
type WaiverBuilder struct{ waiver v1alpha1.Waiver }

// Waiver begins a waiver: add a model, safeguards and an end.
func Waiver(namespace, name string) *WaiverBuilder {
	b := &WaiverBuilder{v1alpha1.Waiver{ObjectMeta: named(name), Spec: v1alpha1.WaiverSpec{
		Reason: "tests need it", Ticket: "T-1", InterimMeasure: "somebody watches"}}}
	b.waiver.Namespace = namespace
	return b
}

// Model sets the model that is excused.
func (b *WaiverBuilder) Model(model string) *WaiverBuilder {
	b.waiver.Spec.Model = model
	return b
}

// Safeguards sets those from which it is.
func (b *WaiverBuilder) Safeguards(safeguards ...string) *WaiverBuilder {
	b.waiver.Spec.Safeguards = safeguards
	return b
}

// Pods names those that alone are excused.
func (b *WaiverBuilder) Pods(pods ...string) *WaiverBuilder {
	b.waiver.Spec.Pods = pods
	return b
}

// NotAfter sets the end.
func (b *WaiverBuilder) NotAfter(end time.Time) *WaiverBuilder {
	b.waiver.Spec.NotAfter = metav1.NewTime(end)
	return b
}

// By sets who asked for it and when, as the API server does.
func (b *WaiverBuilder) By(username string, at time.Time) *WaiverBuilder {
	b.waiver.Spec.Requester = &v1alpha1.Requester{Username: username, Credential: "X509SHA256=" + username}
	b.waiver.CreationTimestamp = metav1.NewTime(at)
	return b
}

// Build gives the waiver.
func (b *WaiverBuilder) Build() *v1alpha1.Waiver { return b.waiver.DeepCopy() }
