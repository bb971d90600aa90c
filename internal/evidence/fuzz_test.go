package evidence_test

import (
	"crypto/elliptic"
	"encoding/json"
	"errors"
	"fmt"
	"reflect"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/interlock-dev/interlock/api/v1alpha1"
	"github.com/interlock-dev/interlock/internal/evidence"
	"github.com/interlock-dev/interlock/internal/testing/signing"
)

// sound fails unless what came out of a verification can be relied on: no panic, and a statement that is whole.
func sound(t *testing.T, content []byte, trusted *evidence.Trust) *evidence.Statement {
	t.Helper()
	s, err := evidence.Verify(content, trusted)
	var broken *evidence.Panic
	if errors.As(err, &broken) {
		t.Fatal(err)
	}
	if err != nil {
		return nil
	}
	if len(s.Signatures) == 0 || len(s.Subjects) == 0 || s.PredicateType == "" || s.Predicate == nil || s.Time.IsZero() {
		t.Fatalf("Verify = %+v, which is not whole", s)
	}
	if again, err := evidence.Verify(content, trusted); err != nil || !reflect.DeepEqual(s, again) {
		t.Fatalf("Verify = %+v and then %+v, %v", s, again, err)
	}
	if subjects, ok := evidence.Subjects(content); !ok || !reflect.DeepEqual(subjects, s.Subjects) {
		t.Fatalf("Subjects = %v; those that were verified are %v", subjects, s.Subjects)
	}
	return s
}

func FuzzEnvelope(f *testing.F) {
	key := signing.Fixed(1)
	trusted := trust(f, map[string]signing.Key{"a": key})
	genuine := evidence.Digest(review.JSON())
	f.Add(review.Sign(key))
	f.Add(review.Sign(signing.Fixed(2), key))
	f.Add(`{"payloadType":"application/vnd.in-toto+json","payload":"e30=","signatures":[{"sig":"AA=="}]}`)
	f.Fuzz(func(t *testing.T, content string) {
		if s := sound(t, []byte(content), trusted); s != nil && s.Payload != genuine {
			t.Fatalf("%q verifies, which nobody signed", content)
		}
	})
}

func FuzzBundle(f *testing.F) {
	folder := moduleFolder(f, "github.com/sigstore/sigstore-go")
	content := read(f, folder, npmBundle)
	trusted := keyless(f, read(f, folder, publicRoot), npmIssuer, npmIdentity)
	genuine := evidence.Digest(payloadOf(f, content))
	f.Add(content)
	f.Add(strings.Replace(content, "certificate", "publicKey", 1))
	f.Add(`{"mediaType":"application/vnd.dev.sigstore.bundle.v0.3+json","dsseEnvelope":{}}`)
	f.Fuzz(func(t *testing.T, content string) {
		if s := sound(t, []byte(content), trusted); s != nil && s.Payload != genuine {
			t.Fatalf("%q verifies, which nobody signed", content)
		}
	})
}

// What is signed can be anything as well.
func FuzzStatement(f *testing.F) {
	key := signing.Fixed(1)
	trusted := trust(f, map[string]signing.Key{"a": key})
	f.Add(string(review.JSON()))
	f.Add(`{"_type":"https://in-toto.io/Statement/v1","subject":[{"digest":{"sha256":"x"}}],"predicateType":"x","predicate":{}}`)
	f.Fuzz(func(t *testing.T, payload string) {
		sound(t, []byte(signing.Text(signing.Envelope(signing.PayloadType, []byte(payload), key))), trusted)
	})
}

func FuzzPredicate(f *testing.F) {
	key := signing.Fixed(1)
	trusted := trust(f, map[string]signing.Key{"a": key})
	types := []string{evidence.TypeTestResult, evidence.TypeVulns, evidence.TypeProvenance, evidence.TypeVSA, evidence.TypeCycloneDX,
		evidence.TypeModelSigning, evidence.TypesOfInterlock + "x/v1", "urn:x"}
	for i := range types {
		f.Add(uint8(i), `{"result":"PASSED","time":"2026-05-01T12:00:00Z","resources":[{"digest":"00"}],"metadata":{"timestamp":1}}`)
	}
	f.Add(uint8(6), signing.Text(review.Predicate))
	f.Fuzz(func(t *testing.T, which uint8, predicate string) {
		if !json.Valid([]byte(predicate)) {
			return
		}
		payload := fmt.Sprintf(`{"_type":"https://in-toto.io/Statement/v1","subject":[{"digest":{"sha256":%q},"annotations":{"interlock.dev/time":"2026-05-01T12:00:00Z"}}],"predicateType":%q,"predicate":%s}`,
			strings.TrimPrefix(weights, "sha256:"), types[int(which)%len(types)], predicate)
		sound(t, []byte(signing.Text(signing.Envelope(signing.PayloadType, []byte(payload), key))), trusted)
	})
}

func FuzzReference(f *testing.F) {
	f.Add("registry.example:5000/a/b@" + weights)
	f.Add("registry.example/evidence:v1@" + weights)
	f.Add("a/b@sha256:" + strings.Repeat("A", 64))
	f.Fuzz(func(t *testing.T, text string) {
		r, err := evidence.ParseReference(text)
		if err != nil {
			return
		}
		if r.Name() != text {
			t.Fatalf("ParseReference(%q) = %q: two ways to write one thing", text, r.Name())
		}
	})
}

// Whom a policy trusts is read by libraries as well. Whatever it says, a signer has a key that counts or says why not.
func FuzzTrust(f *testing.F) {
	folder := moduleFolder(f, "github.com/sigstore/sigstore-go")
	key, root := signing.Fixed(1).PEM, signing.NewSigstore().TrustedRoot()
	f.Add(key, root)
	f.Add(weakRSA, read(f, folder, publicRoot))
	f.Add("-----BEGIN PUBLIC KEY-----\nAAAA\n-----END PUBLIC KEY-----\n", `{"mediaType":"application/vnd.dev.sigstore.trustedroot+json;version=0.1","tlogs":[{}],"ctlogs":[{"publicKey":{}}]}`)
	f.Fuzz(func(t *testing.T, key, root string) {
		trusted, err := evidence.ParseTrust(&v1alpha1.Trust{TrustedRoot: root, Signers: []v1alpha1.Signer{
			{Name: "key", Key: key}, {Name: "identity", Keyless: &v1alpha1.KeylessIdentity{Issuer: issuer, Identity: identity}}}})
		var broken *evidence.Panic
		if errors.As(err, &broken) {
			t.Fatal(err)
		}
		for _, name := range []string{"key", "identity"} {
			if key, why := trusted.Key(name); (key == "") == (why == nil) {
				t.Fatalf("Key(%s) = %q, %v", name, key, why)
			}
		}
	})
}

// BenchmarkTenThousand verifies 10,000 attestations from cold, half of them envelopes under one of four kinds of keys and
// half bundles with a log's proof, with as many workers as there are processors.
func BenchmarkTenThousand(b *testing.B) {
	const count = 10_000
	keys := map[string]signing.Key{"a": signing.Ed25519(), "b": signing.ECDSA(elliptic.P256()), "c": signing.ECDSA(elliptic.P384()), "d": signing.RSA(3072)}
	sigstore := signing.NewSigstore()
	spec := &v1alpha1.Trust{TrustedRoot: sigstore.TrustedRoot(), Signers: []v1alpha1.Signer{
		{Name: "e", Keyless: &v1alpha1.KeylessIdentity{Issuer: issuer, Identity: identity}}}}
	names := []string{"a", "b", "c", "d"}
	for _, name := range names {
		spec.Signers = append(spec.Signers, v1alpha1.Signer{Name: name, Key: keys[name].PEM})
	}
	contents := make(chan []byte, count)
	all := make([][]byte, 0, count)
	for i := range count {
		statement := signing.Review(reviewType, made.Add(time.Duration(i)*time.Second), weights)
		if i%2 == 0 {
			all = append(all, []byte(statement.Sign(keys[names[i/2%4]])))
		} else {
			all = append(all, []byte(sigstore.Sign(issuer, identity, statement)))
		}
	}
	for b.Loop() {
		trusted, err := evidence.ParseTrust(spec)
		if err != nil {
			b.Fatal(err)
		}
		for _, content := range all {
			contents <- content
		}
		var done sync.WaitGroup
		for range 2 {
			done.Go(func() {
				for {
					select {
					case content := <-contents:
						if _, err := evidence.Verify(content, trusted); err != nil {
							b.Error(err)
						}
					default:
						return
					}
				}
			})
		}
		done.Wait()
	}
	b.ReportMetric(float64(b.Elapsed().Seconds())/float64(b.N), "s/10000")
}
