package integration

import (
	"maps"
	"strings"
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	utilruntime "k8s.io/apimachinery/pkg/util/runtime"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/interlock-dev/interlock/api/v1alpha1"
	"github.com/interlock-dev/interlock/internal/testing/builder"
)

// What the API server must not take of trust, sign-offs, waivers, evidence and adjustments.
func init() {
	maps.Copy(refused, map[string]refusal{
		"a signer without a key":        {trustWith(func(s *v1alpha1.Signer) { s.Key = "" }), "a signer has exactly one of key and keyless"},
		"a signer with two keys":        {trustWith(func(s *v1alpha1.Signer) { s.Keyless = keyless() }), "a signer has exactly one of key and keyless"},
		"a keyless signer without root": {trustWith(func(s *v1alpha1.Signer) { s.Key, s.Keyless = "", keyless() }), "a keyless signer needs trustedRoot"},
		"a key that ends before it begins": {trustWith(func(s *v1alpha1.Signer) {
			s.NotBefore, s.NotAfter = at("2026-02-01T00:00:00Z"), at("2026-01-01T00:00:00Z")
		}), "notBefore must come before notAfter"},
		"a key retired at no time": {trustWith(func(s *v1alpha1.Signer) {
			s.Revoked = &v1alpha1.Revocation{Reason: v1alpha1.RevocationRetired}
		}), "reason Retired needs the time at"},
		"a key compromised from a time on": {trustWith(func(s *v1alpha1.Signer) {
			s.Revoked = &v1alpha1.Revocation{Reason: v1alpha1.RevocationCompromised, At: at("2026-01-01T00:00:00Z")}
		}), "Compromised has none"},

		"a sign-off by nobody":  {signOffsWith(func(s *v1alpha1.SignOff) { s.ApproverRole = "" }), "approves needs approverRole"},
		"a sign-off of nothing": {signOffsWith(func(s *v1alpha1.SignOff) { s.Approves = nil }), "approverRole needs approves"},
		"an assessment approved from a level on": {signOffsWith(func(s *v1alpha1.SignOff) { s.Approves[0].FromLevel = builder.ASL2 }),
			"an assessment says at which level a model is"},
		"a ServiceAccount that requests what nobody requests": {signOffsWith(func(s *v1alpha1.SignOff) {
			s.Approves[0].Kind, s.Approves[0].ServiceAccounts = v1alpha1.SubjectDecision, []v1alpha1.ServiceAccountRight{v1alpha1.ServiceAccountsRequest}
		}), "only waivers are requested"},
		"a sign-off from no level":     {signOffsWith(func(s *v1alpha1.SignOff) { s.Approves[0].FromLevel = "ASL-9" }), "fromLevel of a sign-off must name one of levels"},
		"two sign-offs of one role":    {policyWith(func(p *v1alpha1.ScalingPolicySpec) { p.SignOffs = []v1alpha1.SignOff{signOff("RSO"), signOff("CEO")} }), "approverRole of each sign-off must be another"},
		"waivers that nobody approves": {policyWith(func(p *v1alpha1.ScalingPolicySpec) { p.Levels[0].LongestWaiver = lasting(time.Hour) }), "a level with longestWaiver needs a sign-off that approves kind Waiver"},
		"waivers for ever":             {policyWith(func(p *v1alpha1.ScalingPolicySpec) { p.Levels[0].LongestWaiver = lasting(2161 * time.Hour) }), "longestWaiver must be more than 0s and at most 2160h"},
		"waivers for no time":          {policyWith(func(p *v1alpha1.ScalingPolicySpec) { p.Levels[0].LongestWaiver = lasting(0) }), "longestWaiver must be more than 0s and at most 2160h"},

		"more signatures than signers": {safeguardWith(func(sg *v1alpha1.Safeguard) {
			sg.Spec = builder.Safeguard(sg.Name).Evidence("https://example.com/report", "red-team").EvidenceRule(
				func(e *v1alpha1.EvidenceRule) { e.Threshold = 2 }).Build().Spec
		}), "threshold must not be greater than the number of signers"},
		"an Attestation of two things": {attestationWith(func(a *v1alpha1.AttestationSpec) {
			a.OCI = "registry.example.com/evidence@" + builder.Digest
		}), "an Attestation has exactly one of content, oci and referrers"},
		"an Attestation of what refers to something and of that": {attestationWith(func(a *v1alpha1.AttestationSpec) {
			a.Referrers = &v1alpha1.Referrers{Subject: "registry.example.com/evidence@" + builder.Digest, ArtifactType: "application/json"}
		}), "an Attestation has exactly one of content, oci and referrers"},

		"an adjustment in our own name":  {adjustWith(func(p *v1alpha1.PodAdjustment) { p.Annotations = map[string]string{"interlock.dev/adjusted": "no"} }), "annotations of interlock.dev are Interlock's own"},
		"an adjustment with a long name": {adjustWith(func(p *v1alpha1.PodAdjustment) { p.Annotations = map[string]string{long(254): ""} }), "the name of an annotation has 253 characters at the most"},
		"an adjustment with a long label": {adjustWith(func(p *v1alpha1.PodAdjustment) {
			p.NodeSelector = map[string]string{"a": long(64)}
		}), "the name of a label has 317 characters at the most"},
		"an adjustment that lets all system calls": {adjustWith(func(p *v1alpha1.PodAdjustment) {
			p.SecurityContext = &v1alpha1.PodSecurity{SeccompProfile: &corev1.SeccompProfile{Type: corev1.SeccompProfileTypeUnconfined}}
		}), "an adjustment cannot take limits of system calls away"},
		"a volume of nothing": {adjustWith(func(p *v1alpha1.PodAdjustment) {
			p.Volumes = []v1alpha1.SidecarVolume{{Name: "scratch"}}
		}), "a volume is exactly one of emptyDir, projected and configMap"},
	})
	maps.Copy(unchangeable, map[string]change{
		"an Attestation": {attestationWith(func(*v1alpha1.AttestationSpec) {}), func(o client.Object) { o.(*v1alpha1.Attestation).Spec.Content = "{ }" },
			"an Attestation cannot be changed: make another"},
		"a waiver": {waiver, func(o client.Object) { o.(*v1alpha1.Waiver).Spec.Reason = "another" },
			"a waiver is never edited: delete it to withdraw it, and request another"},
		"an approval": {approval, func(o client.Object) { o.(*v1alpha1.Approval).Spec.Role = "ceo" },
			"an approval is never edited: delete it to withdraw it, and make another"},
	})
}

func trustWith(change func(*v1alpha1.Signer)) func() client.Object {
	return policyWith(func(p *v1alpha1.ScalingPolicySpec) {
		s := v1alpha1.Signer{Name: "red-team", Key: "-----BEGIN PUBLIC KEY-----"}
		change(&s)
		p.Trust = &v1alpha1.Trust{Signers: []v1alpha1.Signer{s}}
	})
}

func keyless() *v1alpha1.KeylessIdentity {
	return &v1alpha1.KeylessIdentity{Issuer: "https://accounts.example.com", Identity: "red-team@example.com"}
}

func signOff(role string) v1alpha1.SignOff {
	return v1alpha1.SignOff{Role: role, Purpose: "tests", ApproverRole: "rso",
		Approves: []v1alpha1.ApprovalRule{{Kind: v1alpha1.SubjectAssessment}}}
}

func signOffsWith(change func(*v1alpha1.SignOff)) func() client.Object {
	return policyWith(func(p *v1alpha1.ScalingPolicySpec) {
		s := signOff("RSO")
		change(&s)
		p.SignOffs = []v1alpha1.SignOff{s}
	})
}

func attestationWith(change func(*v1alpha1.AttestationSpec)) func() client.Object {
	return func() client.Object {
		a := builder.Attestation("default", "validation", "{}")
		change(&a.Spec)
		return a
	}
}

func adjustWith(change func(*v1alpha1.PodAdjustment)) func() client.Object {
	return safeguardWith(func(sg *v1alpha1.Safeguard) {
		p := &v1alpha1.PodAdjustment{}
		change(p)
		sg.Spec.Adjust = &v1alpha1.Adjustment{Pod: p}
	})
}

func waiver() client.Object {
	return builder.Waiver("default", "validation").Model("llm").Safeguards("image-pinned").NotAfter(time.Now().Add(time.Hour)).Build()
}

func approval() client.Object {
	return builder.Approval("default", "validation").Role("rso").Of(v1alpha1.SubjectPolicy, "rsp", builder.Digest).Build()
}

func lasting(d time.Duration) *metav1.Duration { return &metav1.Duration{Duration: d} }

func long(n int) string { return strings.Repeat("a", n) }

func at(text string) *metav1.Time {
	t, err := time.Parse(time.RFC3339, text)
	utilruntime.Must(err)
	return &metav1.Time{Time: t}
}
