package v1alpha1

import (
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

// Trust says whose signatures count as evidence. It stands in the policy and nowhere else.
// +kubebuilder:validation:XValidation:rule="!self.signers.exists(s, has(s.keyless)) || has(self.trustedRoot)",message="a keyless signer needs trustedRoot: nothing else says which certificates and logs are genuine"
type Trust struct {
	// signers whose statements count, by the names that Safeguards use.
	// +required
	// +listType=map
	// +listMapKey=name
	// +kubebuilder:validation:MinItems=1
	// +kubebuilder:validation:MaxItems=64
	Signers []Signer `json:"signers,omitempty"`

	// trustedRoot is a Sigstore trusted root as JSON: the certificate authorities, transparency logs and timestamping
	// authorities by which keyless signatures, and the times of others, are verified. It is used as it stands and never
	// fetched. Absent: there are no keyless signers, and nobody but the signer vouches for a time.
	// +optional
	// +kubebuilder:validation:MinLength=2
	// +kubebuilder:validation:MaxLength=65536
	TrustedRoot string `json:"trustedRoot,omitempty"`
}

// Signer is somebody who signs evidence, by a key or by an identity.
// +kubebuilder:validation:XValidation:rule="has(self.key) != has(self.keyless)",message="a signer has exactly one of key and keyless"
// +kubebuilder:validation:XValidation:rule="!has(self.notBefore) || !has(self.notAfter) || self.notBefore < self.notAfter",message="notBefore must come before notAfter"
type Signer struct {
	// name of the signer, such as "red-team", by which Safeguards ask for it.
	// +required
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=63
	// +kubebuilder:validation:Pattern=`^[a-z0-9]([a-z0-9-]*[a-z0-9])?$`
	Name string `json:"name,omitempty"`

	// key is a public key in PEM ("BEGIN PUBLIC KEY"): Ed25519, ECDSA on P-256 (with SHA-256) or P-384 (with SHA-384), or
	// RSA of 2048 to 8192 bits, which signs as RSA-PSS with SHA-256.
	// +optional
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=4096
	Key string `json:"key,omitempty"`

	// keyless is an identity that a certificate authority of trustedRoot certifies.
	// +optional
	Keyless *KeylessIdentity `json:"keyless,omitempty"`

	// notBefore is the first moment at which a signature of this signer counts. Absent: there is none.
	// +optional
	NotBefore *metav1.Time `json:"notBefore,omitempty"`

	// notAfter is the last moment at which a signature of this signer counts. Absent: there is none.
	// +optional
	NotAfter *metav1.Time `json:"notAfter,omitempty"`

	// revoked says that the signer is not trusted any more. Absent: it is.
	// +optional
	Revoked *Revocation `json:"revoked,omitempty"`
}

// KeylessIdentity is who a certificate is made out to. Both must match to the letter.
type KeylessIdentity struct {
	// issuer is the URL of the OpenID Connect provider that vouches for the identity, such as
	// "https://accounts.google.com".
	// +required
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=500
	Issuer string `json:"issuer,omitempty"`

	// identity is the subject alternative name of the certificate: an e-mail address, or the URI of a workflow.
	// +required
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=1000
	Identity string `json:"identity,omitempty"`
}

// RevocationReason is why a signer is not trusted any more.
// +kubebuilder:validation:Enum=Compromised;Retired
type RevocationReason string

const (
	// RevocationCompromised: others may have signed in the signer's name, and dated it as they liked. Nothing counts that
	// it ever signed.
	RevocationCompromised RevocationReason = "Compromised"
	// RevocationRetired: the signer has stopped. What it signed before counts.
	RevocationRetired RevocationReason = "Retired"
)

// Revocation says since when and why a signer is not trusted.
// +kubebuilder:validation:XValidation:rule="(self.reason == 'Retired') == has(self.at)",message="reason Retired needs the time at, and Compromised has none: nothing counts, whenever it was signed"
type Revocation struct {
	// reason of the revocation.
	// +required
	Reason RevocationReason `json:"reason,omitempty"`

	// at is from when signatures do not count any more.
	// +optional
	At *metav1.Time `json:"at,omitempty"`
}
