package evidence

import (
	"crypto"
	"crypto/rsa"
	"errors"
	"fmt"
	"time"

	"github.com/sigstore/sigstore-go/pkg/bundle"
	"github.com/sigstore/sigstore-go/pkg/root"
	"github.com/sigstore/sigstore-go/pkg/verify"
	"github.com/sigstore/sigstore/pkg/signature"

	"github.com/interlock-dev/interlock/api/v1alpha1"
)

// certifier verifies by the trusted root of a policy, offline.
type certifier struct {
	root     *root.TrustedRoot
	verifier *verify.Verifier
	policy   verify.PolicyBuilder
	keyless  bool
}

func newCertifier(spec *v1alpha1.Trust) (c *certifier, err error) {
	defer func() {
		if cause := recover(); cause != nil {
			c, err = nil, &Panic{cause}
		}
	}()
	if _, err := readObject([]byte(spec.TrustedRoot)); err != nil {
		return nil, err
	}
	trusted, err := root.NewTrustedRootFromJSON([]byte(spec.TrustedRoot))
	if err != nil {
		return nil, err
	}
	options := []verify.VerifierOption{verify.WithTransparencyLog(1), verify.WithObserverTimestamps(1), verify.WithoutStatementPredicate()}
	if len(trusted.CTLogs()) > 0 { // a private authority may have no log of certificates
		options = append(options, verify.WithSignedCertificateTimestamps(1))
	}
	verifier, err := verify.NewVerifier(trusted, options...)
	if err != nil {
		return nil, err
	}
	var identities []verify.PolicyOption
	for i := range spec.Signers {
		if k := spec.Signers[i].Keyless; k != nil {
			identity, err := verify.NewShortCertificateIdentity(k.Issuer, "", k.Identity, "")
			if err != nil {
				return nil, err
			}
			identities = append(identities, verify.WithCertificateIdentity(identity))
		}
	}
	return &certifier{
		root: trusted, verifier: verifier, keyless: len(identities) > 0,
		// The artefact is looked at where a statement is matched with a model: by the subjects.
		policy: verify.NewPolicy(verify.WithoutArtifactUnsafe(), identities...),
	}, nil
}

// certified verifies a bundle that was signed by a certified identity: the certificate, its identity and issuer, the
// proof that a log holds this envelope, and the time.
func (t *Trust) certified(b *bundle.Bundle) ([]Signature, error) {
	if t.certify == nil || !t.certify.keyless {
		return nil, fmt.Errorf("%w: it is signed with a certificate, and no keyless signer is trusted", ErrUntrusted)
	}
	result, err := t.certify.verifier.Verify(b, t.certify.policy)
	if err != nil {
		return nil, fmt.Errorf("%w: %w", ErrUntrusted, err)
	}
	if result.VerifiedIdentity == nil || len(result.VerifiedTimestamps) == 0 {
		return nil, errors.New("the bundle: its identity or time was not verified")
	}
	times := make([]time.Time, 0, len(result.VerifiedTimestamps))
	for _, v := range result.VerifiedTimestamps {
		times = append(times, v.Timestamp)
	}
	identity := v1alpha1.KeylessIdentity{
		Issuer: result.VerifiedIdentity.Issuer.Issuer, Identity: result.VerifiedIdentity.SubjectAlternativeName.SubjectAlternativeName}
	return []Signature{{Key: identityKey(identity), Time: earliest(times), Proven: true}}, nil
}

// timeOf gives the time at which a log or an authority saw the signature of a bundle that was signed with a key; zero, if
// the bundle brings no proof, or the policy nothing to verify it by. A proof that does not hold is an error.
func (c *certifier) timeOf(b *bundle.Bundle, key crypto.PublicKey) (time.Time, error) {
	if c == nil {
		return time.Time{}, nil
	}
	verifier, err := keyVerifier(key)
	if err != nil {
		return time.Time{}, err
	}
	trusted := root.TrustedMaterialCollection{c.root, root.NewTrustedPublicKeyMaterial(
		func(string) (root.TimeConstrainedVerifier, error) {
			return root.NewExpiringKey(verifier, time.Time{}, time.Time{}), nil
		})}
	var seen []root.Timestamp
	if entries, err := b.TlogEntries(); err != nil {
		return time.Time{}, fmt.Errorf("the bundle: %w", err)
	} else if len(entries) > 0 {
		if seen, err = verify.VerifyTlogEntry(b, trusted, 1, true); err != nil {
			return time.Time{}, fmt.Errorf("the bundle's proof of a transparency log: %w", err)
		}
	}
	if stamps, err := b.Timestamps(); err != nil {
		return time.Time{}, fmt.Errorf("the bundle: %w", err)
	} else if len(stamps) > 0 {
		stamped, err := verify.VerifySignedTimestampWithThreshold(b, trusted, 1)
		if err != nil {
			return time.Time{}, fmt.Errorf("the bundle's timestamp: %w", err)
		}
		for _, s := range stamped {
			seen = append(seen, *s)
		}
	}
	if len(seen) == 0 {
		return time.Time{}, nil
	}
	times := make([]time.Time, 0, len(seen))
	for _, s := range seen {
		times = append(times, s.Time)
	}
	return earliest(times), nil
}

// keyVerifier gives a key the form in which sigstore compares it with that in a log.
func keyVerifier(key crypto.PublicKey) (signature.Verifier, error) {
	if k, ok := key.(*rsa.PublicKey); ok {
		return signature.LoadRSAPSSVerifier(k, crypto.SHA256, nil)
	}
	return signature.LoadVerifier(key, crypto.SHA256)
}
