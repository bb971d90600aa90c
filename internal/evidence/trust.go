package evidence

import (
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/rsa"
	"crypto/x509"
	"encoding/pem"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/secure-systems-lab/go-securesystemslib/dsse"
	"github.com/secure-systems-lab/go-securesystemslib/signerverifier"

	"github.com/interlock-dev/interlock/api/v1alpha1"
)

// Sizes of RSA keys, in bits.
const (
	minRSA = 2048
	maxRSA = 8192
)

// Trust is whom a policy trusts, ready for use. It is safe for concurrent use.
type Trust struct {
	// Keys identifies the keys, identities and the trusted root, whatever they are called and whether or not they are
	// revoked: Verify gives the same under two trusts that have the same.
	Keys string

	signers map[string]signer
	keys    *dsse.EnvelopeVerifier
	certify *certifier
}

// signer is one that can be used, or says why it cannot.
type signer struct {
	key                 string
	notBefore, notAfter time.Time
	revoked             *v1alpha1.Revocation
	broken              error
}

// ParseTrust makes what a policy says ready for use; a policy that says nothing trusts nobody. The error tells of all
// that cannot be used or is not as it looks. The Trust can be used all the same: what is broken is nobody's.
func ParseTrust(spec *v1alpha1.Trust) (*Trust, error) {
	t := &Trust{signers: map[string]signer{}}
	if spec == nil {
		return t, nil
	}
	var errs []error
	if spec.TrustedRoot != "" {
		var err error
		if t.certify, err = newCertifier(spec); err != nil {
			errs = append(errs, fmt.Errorf("trustedRoot: %w", err))
		}
	}
	verifiers := map[string]dsse.Verifier{}
	names := map[string][]string{}
	for i := range spec.Signers {
		given := &spec.Signers[i]
		s, verifier := t.parseSigner(given)
		if s.broken != nil {
			errs = append(errs, fmt.Errorf("signer %s: %w", given.Name, s.broken))
		} else {
			names[s.key] = append(names[s.key], given.Name)
		}
		if verifier != nil {
			verifiers[s.key] = verifier
		}
		t.signers[given.Name] = s
	}
	for _, key := range slices.Sorted(maps.Keys(names)) {
		if same := names[key]; len(same) > 1 {
			errs = append(errs, fmt.Errorf("signers %s have one key and count as one", strings.Join(same, ", ")))
		}
	}
	t.Keys = Digest([]byte(strings.Join(slices.Sorted(maps.Keys(names)), "\n") + "\n" + spec.TrustedRoot))
	if len(verifiers) > 0 {
		ordered := make([]dsse.Verifier, 0, len(verifiers))
		for _, key := range slices.Sorted(maps.Keys(verifiers)) {
			ordered = append(ordered, verifiers[key])
		}
		var err error
		if t.keys, err = dsse.NewEnvelopeVerifier(ordered...); err != nil {
			errs = append(errs, err)
		}
	}
	return t, errors.Join(errs...)
}

func (t *Trust) parseSigner(given *v1alpha1.Signer) (signer, dsse.Verifier) {
	s := signer{revoked: given.Revoked}
	if given.NotBefore != nil {
		s.notBefore = given.NotBefore.Time
	}
	if given.NotAfter != nil {
		s.notAfter = given.NotAfter.Time
	}
	switch {
	case given.Keyless != nil && t.certify == nil:
		s.broken = errors.New("is keyless, and there is no trustedRoot that can be used")
	case given.Keyless != nil:
		s.key = identityKey(*given.Keyless)
	default:
		var verifier dsse.Verifier
		verifier, s.key, s.broken = parseKey(given.Key)
		return s, verifier
	}
	return s, nil
}

// parseKey reads one public key, of a kind and strength that counts.
func parseKey(text string) (dsse.Verifier, string, error) {
	block, rest := pem.Decode([]byte(text))
	if block == nil || block.Type != "PUBLIC KEY" {
		return nil, "", errors.New("key: is not PEM with BEGIN PUBLIC KEY")
	}
	if len(strings.TrimSpace(string(rest))) > 0 {
		return nil, "", errors.New("key: has something after the first PEM block; a signer has one key")
	}
	public, err := x509.ParsePKIXPublicKey(block.Bytes)
	if err != nil {
		return nil, "", fmt.Errorf("key: %w", err)
	}
	switch k := public.(type) {
	case ed25519.PublicKey:
	case *ecdsa.PublicKey:
		if k.Curve != elliptic.P256() && k.Curve != elliptic.P384() {
			return nil, "", fmt.Errorf("key: ECDSA on %s; only P-256 and P-384 count", k.Curve.Params().Name)
		}
	case *rsa.PublicKey:
		if bits := k.N.BitLen(); bits < minRSA || bits > maxRSA {
			return nil, "", fmt.Errorf("key: RSA of %d bits; only %d to %d count", bits, minRSA, maxRSA)
		}
	default:
		return nil, "", errors.New("key: only Ed25519, ECDSA and RSA count")
	}
	der, err := x509.MarshalPKIXPublicKey(public) // canonical, so that one key has one name
	if err != nil {
		return nil, "", fmt.Errorf("key: %w", err)
	}
	loaded, err := signerverifier.LoadKey(pem.EncodeToMemory(&pem.Block{Type: "PUBLIC KEY", Bytes: der}))
	if err != nil {
		return nil, "", fmt.Errorf("key: %w", err)
	}
	loaded.KeyID = "key " + Digest(der)
	verifier, err := newVerifier(loaded)
	return verifier, loaded.KeyID, err
}

func newVerifier(key *signerverifier.SSLibKey) (dsse.Verifier, error) {
	switch key.KeyType {
	case signerverifier.ED25519KeyType:
		return signerverifier.NewED25519SignerVerifierFromSSLibKey(key)
	case signerverifier.ECDSAKeyType:
		return signerverifier.NewECDSASignerVerifierFromSSLibKey(key)
	case signerverifier.RSAKeyType:
		return signerverifier.NewRSAPSSSignerVerifierFromSSLibKey(key)
	default:
		return nil, fmt.Errorf("key: kind %s does not count", key.KeyType)
	}
}

func identityKey(identity v1alpha1.KeylessIdentity) string {
	return fmt.Sprintf("identity %q %q", identity.Issuer, identity.Identity)
}

// Key identifies the key or identity of a signer; empty, if there is no signer of this name. The error says why one that
// there is cannot be used.
func (t *Trust) Key(name string) (string, error) {
	s := t.signers[name]
	return s.key, s.broken
}

// Bearers names the signers whose a signature is, whether or not it counts.
func (t *Trust) Bearers(signature Signature) []string {
	var names []string
	for name, s := range t.signers {
		if s.broken == nil && s.key == signature.Key {
			names = append(names, name)
		}
	}
	slices.Sort(names)
	return names
}

// Accepts says whether a signature is one of the signer's and counts; the error says why one of the signer's does not.
func (t *Trust) Accepts(name string, signature Signature) (bool, error) {
	s, known := t.signers[name]
	if !known || s.broken != nil || s.key != signature.Key {
		return false, nil
	}
	when := signature.Time
	limited := !s.notBefore.IsZero() || !s.notAfter.IsZero() || s.revoked != nil
	switch {
	case when.IsZero() && limited:
		return false, fmt.Errorf("nothing says when %s signed it, and the policy counts its signatures by their time", name)
	case !s.notBefore.IsZero() && when.Before(s.notBefore):
		return false, fmt.Errorf("%s signed at %s, before its validity began at %s", name, stamp(when), stamp(s.notBefore))
	case !s.notAfter.IsZero() && when.After(s.notAfter):
		return false, fmt.Errorf("%s signed at %s, after its validity ended at %s", name, stamp(when), stamp(s.notAfter))
	case s.revoked == nil:
		return true, nil
	case s.revoked.Reason == v1alpha1.RevocationRetired && s.revoked.At != nil && when.Before(s.revoked.At.Time):
		return true, nil
	case s.revoked.Reason == v1alpha1.RevocationRetired && s.revoked.At != nil:
		return false, fmt.Errorf("%s signed at %s, after it was revoked at %s", name, stamp(when), stamp(s.revoked.At.Time))
	default:
		return false, fmt.Errorf("%s is revoked: %s", name, s.revoked.Reason)
	}
}

func stamp(t time.Time) string { return t.UTC().Format(time.RFC3339) }
