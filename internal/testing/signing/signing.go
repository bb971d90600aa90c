// Package signing makes signed evidence for tests: real keys, real envelopes, and a Sigstore of its own.
package signing

import (
	"context"
	"crypto"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"crypto/sha256"
	"crypto/x509"
	"encoding/hex"
	"encoding/json"
	"encoding/pem"
	"fmt"
	"maps"
	"strings"
	"time"

	"github.com/secure-systems-lab/go-securesystemslib/dsse"
	"github.com/secure-systems-lab/go-securesystemslib/signerverifier"
)

// PayloadType of an in-toto statement.
const PayloadType = "application/vnd.in-toto+json"

// Key is a pair of keys that signs.
type Key struct {
	// PEM of the public key.
	PEM    string
	signer dsse.Signer
}

// Ed25519 makes a key.
func Ed25519() Key {
	_, private, err := ed25519.GenerateKey(rand.Reader)
	must(err)
	return newKey(private)
}

// Fixed gives the Ed25519 key of a number, the same each time.
func Fixed(number byte) Key {
	seed := make([]byte, ed25519.SeedSize)
	seed[0] = number
	return newKey(ed25519.NewKeyFromSeed(seed))
}

// ECDSA makes a key on a curve.
func ECDSA(curve elliptic.Curve) Key {
	private, err := ecdsa.GenerateKey(curve, rand.Reader)
	must(err)
	return newKey(private)
}

// RSA makes a key of some bits.
func RSA(bits int) Key {
	private, err := rsa.GenerateKey(rand.Reader, bits)
	must(err)
	return newKey(private)
}

func newKey(private crypto.Signer) Key {
	der, err := x509.MarshalPKCS8PrivateKey(private)
	must(err)
	loaded, err := signerverifier.LoadKey(pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: der}))
	must(err)
	public, err := x509.MarshalPKIXPublicKey(private.Public())
	must(err)
	k := Key{PEM: string(pem.EncodeToMemory(&pem.Block{Type: "PUBLIC KEY", Bytes: public}))}
	switch loaded.KeyType {
	case signerverifier.ED25519KeyType:
		k.signer, err = signerverifier.NewED25519SignerVerifierFromSSLibKey(loaded)
	case signerverifier.ECDSAKeyType:
		k.signer, err = signerverifier.NewECDSASignerVerifierFromSSLibKey(loaded)
	default:
		k.signer, err = signerverifier.NewRSAPSSSignerVerifierFromSSLibKey(loaded)
	}
	must(err)
	return k
}

// Envelope signs a payload of any type with keys.
func Envelope(payloadType string, payload []byte, keys ...Key) *dsse.Envelope {
	var whole *dsse.Envelope
	for _, k := range keys {
		signer, err := dsse.NewEnvelopeSigner(k.signer)
		must(err)
		e, err := signer.SignPayload(context.Background(), payloadType, payload)
		must(err)
		if whole == nil {
			whole = e
			continue
		}
		whole.Signatures = append(whole.Signatures, e.Signatures...)
	}
	return whole
}

// Statement is an in-toto statement in the making.
type Statement struct {
	Type      string
	Subjects  []string
	Predicate map[string]any
	// Time is an annotation of the subjects; none, if it is zero.
	Time time.Time
}

// JSON of the statement. Subjects are digests as "sha256:0123...".
func (s Statement) JSON() []byte {
	subjects := []map[string]any{}
	for _, digest := range s.Subjects {
		algorithm, value, _ := strings.Cut(digest, ":")
		subject := map[string]any{"name": "subject", "digest": map[string]string{algorithm: value}}
		if !s.Time.IsZero() {
			subject["annotations"] = map[string]string{"interlock.dev/time": s.Time.UTC().Format(time.RFC3339Nano)}
		}
		subjects = append(subjects, subject)
	}
	text, err := json.Marshal(map[string]any{
		"_type": "https://in-toto.io/Statement/v1", "subject": subjects, "predicateType": s.Type, "predicate": s.Predicate})
	must(err)
	return text
}

// Sign gives the text of an envelope with the statement, signed with keys.
func (s Statement) Sign(keys ...Key) string { return Text(Envelope(PayloadType, s.JSON(), keys...)) }

// ModelSigning gives a statement on what the files of a model are, as model_signing makes it of their digests in hexadecimal
// digits: it says no time.
func ModelSigning(files ...string) Statement {
	root, resources := sha256.New(), []any{}
	for i, digest := range files {
		raw, err := hex.DecodeString(digest)
		must(err)
		root.Write(raw)
		resources = append(resources, map[string]any{"algorithm": "sha256", "digest": digest, "name": fmt.Sprintf("model-%05d.safetensors", i)})
	}
	return Statement{Type: "https://model_signing/signature/v1.0", Subjects: []string{"sha256:" + hex.EncodeToString(root.Sum(nil))},
		Predicate: map[string]any{"serialization": map[string]any{"method": "files", "hash_type": "sha256"}, "resources": resources}}
}

// Bundle gives the text of a Sigstore bundle that is signed with a key, and is in no log.
func (s Statement) Bundle(key Key) string {
	return Text(map[string]any{
		"mediaType":            "application/vnd.dev.sigstore.bundle.v0.3+json",
		"verificationMaterial": map[string]any{"publicKey": map[string]any{"hint": "a hint that nobody need believe"}, "tlogEntries": []any{}},
		"dsseEnvelope":         Envelope(PayloadType, s.JSON(), key)})
}

// With gives the statement with further fields of its predicate; a nil value takes one away.
func (s Statement) With(fields map[string]any) Statement {
	s.Predicate = maps.Clone(s.Predicate)
	for k, v := range fields {
		if v == nil {
			delete(s.Predicate, k)
			continue
		}
		s.Predicate[k] = v
	}
	return s
}

// Review gives a statement of one of Interlock's own types that something was reviewed, and passed.
func Review(predicateType string, when time.Time, subjects ...string) Statement {
	return Statement{Type: predicateType, Subjects: subjects, Predicate: map[string]any{
		"kind": "Review", "result": "Passed", "time": when.UTC().Format(time.RFC3339Nano),
		"summary": "looked at in a test", "reviewers": []string{"tests"}}}
}

// Text of what is JSON.
func Text(v any) string {
	text, err := json.Marshal(v)
	must(err)
	return string(text)
}

func must(err error) {
	if err != nil {
		panic(err)
	}
}
