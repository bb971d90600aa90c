package evidence_test

import (
	"bytes"
	"crypto"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"encoding/json"
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/sigstore/sigstore/pkg/cryptoutils"
	"github.com/sigstore/sigstore/pkg/signature"
	sigstoredsse "github.com/sigstore/sigstore/pkg/signature/dsse"

	"github.com/interlock-dev/interlock/api/v1alpha1"
	"github.com/interlock-dev/interlock/internal/evidence"
	"github.com/interlock-dev/interlock/internal/testing/signing"
)

const (
	issuer   = "https://accounts.example.com"
	identity = "red-team@example.com"

	// Material that others made: bundles of npm, and the root of the public instance of Sigstore.
	publicRoot  = "examples/trusted-root-public-good.json"
	npmBundle   = "pkg/testing/data/bundles/sigstore.js@2.0.0-provenance.sigstore.json"
	npmIssuer   = "https://token.actions.githubusercontent.com"
	npmIdentity = "https://github.com/sigstore/sigstore-js/.github/workflows/release.yml@refs/heads/main"
)

func keyless(t testing.TB, trustedRoot, issuer, identity string) *evidence.Trust {
	t.Helper()
	parsed, err := evidence.ParseTrust(&v1alpha1.Trust{TrustedRoot: trustedRoot, Signers: []v1alpha1.Signer{
		{Name: "red-team", Keyless: &v1alpha1.KeylessIdentity{Issuer: issuer, Identity: identity}}}})
	if err != nil {
		t.Fatal(err)
	}
	return parsed
}

func TestVerifyBundlesByIdentity(t *testing.T) {
	sigstore, elsewhere := signing.NewSigstore(), signing.NewSigstore()
	statement := signing.Review(reviewType, time.Now().Add(time.Hour), weights) // dated later than it is logged
	content := sigstore.Sign(issuer, identity, statement)
	trusted := keyless(t, sigstore.TrustedRoot(), issuer, identity)
	s, err := evidence.Verify([]byte(content), trusted)
	if err != nil {
		t.Fatal(err)
	}
	if got := s.Signatures; len(got) != 1 || !got[0].Proven || s.Time.After(time.Now().Add(time.Minute)) || !s.Time.Equal(got[0].Time) {
		t.Errorf("signatures = %+v, time = %s; want one whose time is proven, and no later time believed", got, s.Time)
	}
	if ok, why := trusted.Accepts("red-team", s.Signatures[0]); !ok {
		t.Errorf("Accepts = %v", why)
	}

	other := sigstore.Sign(issuer, identity, signing.Review(reviewType, made, weights))
	exchange := func(part string) string { // puts a part of another genuine bundle into this one
		var a, b map[string]map[string]any
		mustUnmarshal(t, strings.Replace(content, `"mediaType":"`, `"mediaType":{"x":"`, 1), &a)
		mustUnmarshal(t, strings.Replace(other, `"mediaType":"`, `"mediaType":{"x":"`, 1), &b)
		a["verificationMaterial"][part] = b["verificationMaterial"][part]
		return signing.Text(map[string]any{
			"mediaType": "application/vnd.dev.sigstore.bundle.v0.3+json", "verificationMaterial": a["verificationMaterial"], "dsseEnvelope": a["dsseEnvelope"]})
	}
	for name, tc := range map[string]struct {
		content string
		trust   *evidence.Trust
	}{
		"another identity":                    {content, keyless(t, sigstore.TrustedRoot(), issuer, "mallory@example.com")},
		"an identity that begins alike":       {content, keyless(t, sigstore.TrustedRoot(), issuer, identity[:len(identity)-1])},
		"another issuer":                      {content, keyless(t, sigstore.TrustedRoot(), issuer+".evil", identity)},
		"another authority":                   {content, keyless(t, elsewhere.TrustedRoot(), issuer, identity)},
		"only keys are trusted":               {content, trust(t, map[string]signing.Key{"red-team": signing.Ed25519()})},
		"the log's proof of another envelope": {exchange("tlogEntries"), trusted},
		"the timestamp of another envelope":   {exchange("timestampVerificationData"), trusted},
		"the certificate of another envelope": {exchange("certificate"), trusted},
		"no log":                              {without(t, content, "tlogEntries"), trusted},
		"no timestamp":                        {without(t, content, "timestampVerificationData"), trusted},
	} {
		t.Run(name, func(t *testing.T) {
			if s, err := evidence.Verify([]byte(tc.content), tc.trust); err == nil {
				t.Errorf("Verify = %+v; want it refused", s)
			} else {
				t.Log(err)
			}
		})
	}
}

func mustUnmarshal(t *testing.T, text string, into *map[string]map[string]any) {
	t.Helper()
	text = strings.Replace(text, `.v0.3+json"`, `.v0.3+json"}`, 1)
	if err := json.Unmarshal([]byte(text), into); err != nil {
		t.Fatalf("%v in %.200s", err, text)
	}
}

func without(t *testing.T, content, part string) string {
	t.Helper()
	var b map[string]any
	if err := json.Unmarshal([]byte(content), &b); err != nil {
		t.Fatal(err)
	}
	delete(b["verificationMaterial"].(map[string]any), part)
	return signing.Text(b)
}

// What an implementation that is not ours signed verifies, and tampered with it does not.
func TestVerifiesWhatOthersSigned(t *testing.T) {
	folder := moduleFolder(t, "github.com/sigstore/sigstore-go")
	root := read(t, folder, publicRoot)
	for name, tc := range map[string]struct {
		path, predicate, issuer, identity string
		year                              int
	}{
		"SLSA provenance v1, statement v1, by a workflow":     {npmBundle, evidence.TypeProvenance, npmIssuer, npmIdentity, 2023},
		"SLSA provenance v0.2, statement v0.1, by a workflow": {"examples/bundle-provenance.json", "https://slsa.dev/provenance/v0.2", npmIssuer, npmIdentity, 2023},
		"SLSA provenance v0.2, statement v0.1, by a person": {"pkg/testing/data/bundles/dsse.sigstore.json", "https://slsa.dev/provenance/v0.2",
			"https://github.com/login/oauth", "brian@dehamer.com", 2022},
	} {
		t.Run(name, func(t *testing.T) {
			trusted := keyless(t, root, tc.issuer, tc.identity)
			content := read(t, folder, tc.path)
			s, err := evidence.Verify([]byte(content), trusted)
			if err != nil {
				t.Fatal(err)
			}
			if s.PredicateType != tc.predicate || !s.Signatures[0].Proven || s.Time.Year() != tc.year || !strings.HasPrefix(s.Subjects[0], "sha512:") {
				t.Errorf("Verify = %s %s %v %+v", s.PredicateType, s.Time, s.Subjects, s.Signatures)
			}
			for i := 0; i < len(content); i += len(content)/97 + 1 {
				tampered := []byte(content)
				tampered[i] ^= 1
				if s, err := evidence.Verify(tampered, trusted); err == nil && s.Payload != evidence.Digest(payloadOf(t, content)) {
					t.Errorf("byte %d changed, and the changed statement verifies", i)
				}
			}
		})
	}
	for path, want := range map[string]string{
		"dsse-2sigs.sigstore.json": "one signature", "othername.sigstore.json": "no dsseEnvelope", "public-key-validity.sigstore.json": "no dsseEnvelope",
	} {
		content := read(t, folder, "pkg/testing/data/bundles/"+path)
		if _, err := evidence.Verify([]byte(content), keyless(t, root, issuer, identity)); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("Verify(%s) = %v; want %q", path, err, want)
		}
	}
}

// What cosign signs with a key of one's own, which it does by this library.
func TestVerifiesWhatSigstoreSigned(t *testing.T) {
	p256, err1 := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	p384, err2 := ecdsa.GenerateKey(elliptic.P384(), rand.Reader)
	rsaKey, err3 := rsa.GenerateKey(rand.Reader, 2048)
	_, ed25519Key, err4 := ed25519.GenerateKey(rand.Reader)
	if err := errors.Join(err1, err2, err3, err4); err != nil {
		t.Fatal(err)
	}
	for name, tc := range map[string]struct {
		load func() (signature.Signer, error)
		want string
	}{
		"P-256":   {func() (signature.Signer, error) { return signature.LoadECDSASigner(p256, crypto.SHA256) }, ""},
		"P-384":   {func() (signature.Signer, error) { return signature.LoadECDSASigner(p384, crypto.SHA384) }, ""},
		"Ed25519": {func() (signature.Signer, error) { return signature.LoadED25519Signer(ed25519Key) }, ""},
		"RSA-PSS": {func() (signature.Signer, error) {
			return signature.LoadRSAPSSSigner(rsaKey, crypto.SHA256, &rsa.PSSOptions{SaltLength: rsa.PSSSaltLengthEqualsHash})
		}, ""},
		"RSA-PSS with the longest salt": {func() (signature.Signer, error) { return signature.LoadRSAPSSSigner(rsaKey, crypto.SHA256, nil) }, "no signature that counts"},
		"P-384 with SHA-256":            {func() (signature.Signer, error) { return signature.LoadECDSASigner(p384, crypto.SHA256) }, "no signature that counts"},
		"RSA of PKCS #1 v1.5":           {func() (signature.Signer, error) { return signature.LoadRSAPKCS1v15Signer(rsaKey, crypto.SHA256) }, "no signature that counts"},
	} {
		t.Run(name, func(t *testing.T) {
			signer, err := tc.load()
			if err != nil {
				t.Fatal(err)
			}
			content, err := sigstoredsse.WrapSigner(signer, evidence.PayloadType).SignMessage(bytes.NewReader(review.JSON()))
			if err != nil {
				t.Fatal(err)
			}
			public, err := signer.PublicKey()
			if err != nil {
				t.Fatal(err)
			}
			pem, err := cryptoutils.MarshalPublicKeyToPEM(public)
			if err != nil {
				t.Fatal(err)
			}
			trusted, err := evidence.ParseTrust(&v1alpha1.Trust{Signers: []v1alpha1.Signer{{Name: "red-team", Key: string(pem)}}})
			if err != nil {
				t.Fatal(err)
			}
			s, err := evidence.Verify(content, trusted)
			if tc.want != "" {
				if err == nil || !strings.Contains(err.Error(), tc.want) {
					t.Errorf("Verify = %+v, %v; want %q", s, err, tc.want)
				}
				return
			}
			if err != nil || s.Payload != evidence.Digest(review.JSON()) || len(s.Signatures) != 1 {
				t.Fatalf("Verify = %+v, %v", s, err)
			}
			for i := 0; i < len(content); i += len(content)/61 + 1 {
				tampered := bytes.Clone(content)
				tampered[i] ^= 1
				if s, err := evidence.Verify(tampered, trusted); err == nil && s.Payload != evidence.Digest(review.JSON()) {
					t.Errorf("byte %d changed, and the changed statement verifies", i)
				}
			}
		})
	}
}

// The registry of npm signs with a key and logs it.
func TestVerifiesBundlesSignedWithAKeyByOthers(t *testing.T) {
	folder := moduleFolder(t, "github.com/sigstore/sigstore-go")
	content := read(t, folder, "examples/bundle-publish.json")
	spec := &v1alpha1.Trust{Signers: []v1alpha1.Signer{{Name: "npm", Key: read(t, folder, "examples/publish_key.pub")}}, TrustedRoot: read(t, folder, publicRoot)}
	trusted, err := evidence.ParseTrust(spec)
	if err != nil {
		t.Fatal(err)
	}
	s, err := evidence.Verify([]byte(content), trusted)
	if err != nil {
		t.Fatal(err)
	}
	if len(s.Signatures) != 1 || !s.Signatures[0].Proven || s.Time.Year() != 2023 {
		t.Errorf("Verify = %s %+v", s.Time, s.Signatures)
	}
	spec.TrustedRoot = signing.NewSigstore().TrustedRoot()
	if trusted, err = evidence.ParseTrust(spec); err != nil {
		t.Fatal(err)
	}
	if s, err := evidence.Verify([]byte(content), trusted); err == nil || !strings.Contains(err.Error(), "proof of a transparency log") {
		t.Errorf("Verify = %+v, %v; the log is not one that the policy knows", s, err)
	}
}

func payloadOf(t testing.TB, content string) []byte {
	t.Helper()
	var b struct {
		Envelope struct{ Payload []byte } `json:"dsseEnvelope"`
	}
	if err := json.Unmarshal([]byte(content), &b); err != nil {
		t.Fatal(err)
	}
	return b.Envelope.Payload
}

func moduleFolder(t testing.TB, module string) string {
	t.Helper()
	out, err := exec.Command("go", "list", "-m", "-f", "{{.Dir}}", module).Output()
	if err != nil {
		t.Fatal(err)
	}
	return strings.TrimSpace(string(out))
}

func read(t testing.TB, folder, path string) string {
	t.Helper()
	text, err := os.ReadFile(filepath.Join(folder, path))
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}
