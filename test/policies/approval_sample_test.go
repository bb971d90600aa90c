package policies

import (
	"path/filepath"
	"testing"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/interlock-dev/interlock/api/v1alpha1"
	"github.com/interlock-dev/interlock/internal/decision"
)

// The samples are a waiver that the pack allows, and the approval without which it waives nothing: the other role's is like it.
func TestSampleOfAWaiverAndItsApproval(t *testing.T) {
	waiver, approval := &v1alpha1.Waiver{}, &v1alpha1.Approval{}
	read(t, filepath.Join(samplesDir, "approvals", "waiver.yaml"), waiver)
	read(t, filepath.Join(samplesDir, "approvals", "approval.yaml"), approval)
	waiver.CreationTimestamp = metav1.NewTime(waiver.Spec.NotAfter.Add(-20 * 24 * time.Hour))
	waiver.Spec.Requester = &v1alpha1.Requester{Username: "tess", Credential: "X509SHA256=tess"}
	approval.Spec.Subject.Digest = decision.DigestOfWaiver(waiver)
	approval.Spec.Approver = &v1alpha1.Requester{Username: "rhea", Credential: "X509SHA256=rhea"}
	other := approval.DeepCopy()
	other.Spec.Role, other.Spec.Approver.Username = "ceo", "cleo"

	p, signOffs := loadPack(t, rsp22), &v1alpha1.ScalingPolicy{}
	read(t, filepath.Join(p.dir, "thresholds.yaml"), signOffs) // which kustomize merges into the policy
	p.policy.Spec.SignOffs = signOffs.Spec.SignOffs
	model := sampleModel(t)
	in := decision.Input{Now: waiver.CreationTimestamp.Add(time.Hour), PolicyName: p.policy.Name, Policy: p.policy, Model: model,
		Waivers: []v1alpha1.Waiver{*waiver}, Approvals: []v1alpha1.Approval{*approval, *other}, Findings: map[string]decision.Finding{}}
	for _, name := range decision.AskedOf(in).Required {
		in.Findings[name] = decision.Finding{State: v1alpha1.SafeguardSatisfied, Strength: v1alpha1.StrengthEnforced}
	}
	in.Findings["input-classifier"] = decision.Finding{State: v1alpha1.SafeguardMissing, Message: "no classifier"}
	if v := decision.Decide(in); !v.Cleared() || v.Waived != 1 {
		t.Errorf("%s: %s; %v", v.Outcome, v.Message, v.Waivers)
	}
	in.Approvals = in.Approvals[1:]
	if v := decision.Decide(in); v.Cleared() || v.Waivers[0].State != v1alpha1.WaiverPending {
		t.Errorf("without the approval: %s: %s; %v", v.Outcome, v.Message, v.Waivers)
	}
}
