package evidence_test

import (
	"crypto/elliptic"
	"encoding/base64"
	"encoding/json"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/secure-systems-lab/go-securesystemslib/dsse"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/interlock-dev/interlock/api/v1alpha1"
	"github.com/interlock-dev/interlock/internal/evidence"
	"github.com/interlock-dev/interlock/internal/testing/signing"
)

const reviewType = "https://interlock.dev/predicates/review-of-tests/v1"

var (
	made    = time.Date(2026, 5, 1, 12, 0, 0, 0, time.UTC)
	weights = "sha256:" + strings.Repeat("ab", 32)
	review  = signing.Review(reviewType, made, weights)
)

func trust(t testing.TB, keys map[string]signing.Key) *evidence.Trust {
	t.Helper()
	spec := &v1alpha1.Trust{}
	for name, key := range keys {
		spec.Signers = append(spec.Signers, v1alpha1.Signer{Name: name, Key: key.PEM})
	}
	parsed, err := evidence.ParseTrust(spec)
	if err != nil {
		t.Fatal(err)
	}
	return parsed
}

func TestVerifySaysWhoSignedWhatAndWhen(t *testing.T) {
	for name, key := range map[string]signing.Key{
		"ed25519": signing.Ed25519(), "P-256": signing.ECDSA(elliptic.P256()), "P-384": signing.ECDSA(elliptic.P384()), "RSA": signing.RSA(2048),
	} {
		t.Run(name, func(t *testing.T) {
			content := []byte(review.Sign(key))
			s, err := evidence.Verify(content, trust(t, map[string]signing.Key{"red-team": key, "other": signing.Ed25519()}))
			if err != nil {
				t.Fatal(err)
			}
			want := &evidence.Statement{
				Digest: evidence.Digest(content), Payload: evidence.Digest(review.JSON()),
				Signatures:    []evidence.Signature{{Key: s.Signatures[0].Key, Time: made}},
				PredicateType: reviewType, Subjects: []string{weights}, Time: made,
				Predicate: map[string]any{"kind": "Review", "result": "Passed", "time": "2026-05-01T12:00:00Z",
					"summary": "looked at in a test", "reviewers": []any{"tests"}},
			}
			if diff := cmp.Diff(want, s); diff != "" {
				t.Errorf("-want +got:\n%s", diff)
			}
		})
	}
}

// What is signed by somebody trusted and is still not what it must be.
func TestVerifyRefusesWhatIsNotAStatement(t *testing.T) {
	key := signing.Ed25519()
	trusted := trust(t, map[string]signing.Key{"red-team": key})
	payload := func(text string) string {
		return signing.Text(signing.Envelope(signing.PayloadType, []byte(text), key))
	}
	good := string(review.JSON())
	replaced := func(old, with string) string {
		t.Helper()
		if !strings.Contains(good, old) {
			t.Fatalf("%s is not in %s", old, good)
		}
		return payload(strings.Replace(good, old, with, 1))
	}
	many := review
	for range 300 {
		many.Subjects = append(many.Subjects, weights)
	}
	for name, tc := range map[string]struct{ content, want string }{
		"payloadType of something else":         {signing.Text(signing.Envelope("application/json", []byte(good), key)), "payloadType"},
		"payloadType in other letters":          {signing.Text(signing.Envelope("Application/vnd.in-toto+json", []byte(good), key)), "payloadType"},
		"payloadType with a space":              {signing.Text(signing.Envelope("application/vnd.in-toto+json ", []byte(good), key)), "payloadType"},
		"unparsable payload though signed":      {payload("not JSON"), "the statement is not JSON"},
		"an array":                              {payload("[]"), "not a JSON object"},
		"trailing data":                         {payload(good + "{}"), "after the JSON object"},
		"a key twice":                           {replaced(`"predicateType"`, `"predicateType":"x","predicateType"`), "comes twice"},
		"a key twice, deep":                     {replaced(`"result":"Passed"`, `"result":"Passed","result":"Failed"`), "comes twice"},
		"a key twice, once escaped":             {replaced(`"result":"Passed"`, `"result":"Passed","resul\u0074":"Failed"`), "comes twice"},
		"NaN":                                   {replaced(`"result"`, `"score":NaN,"result"`), "not JSON"},
		"Infinity by a huge exponent":           {replaced(`"result"`, `"score":1e999,"result"`), "does not fit"},
		"a whole number beyond 64 bits":         {replaced(`"result"`, `"score":92233720368547758080,"result"`), "does not fit"},
		"deep nesting":                          {replaced(`"result"`, `"x":`+strings.Repeat("[", 200)+strings.Repeat("]", 200)+`,"result"`), "nested deeper"},
		"many values":                           {replaced(`"result"`, `"x":[`+strings.Repeat("1,", 100_000)+`1],"result"`), "more than"},
		"not UTF-8":                             {payload("{\"a\":\"\xff\"}"), "UTF-8"},
		"another kind of statement":             {replaced("in-toto.io/Statement/v1", "in-toto.io/Statement/v2"), "wrong statement type"},
		"no subject":                            {payload(strings.Replace(good, `"subject":[`, `"subjects":[`, 1)), "subject required"},
		"too many subjects":                     {many.Sign(key), "301 subjects"},
		"a subject without digest":              {replaced(`"digest":{"sha256":"`+strings.TrimPrefix(weights, "sha256:")+`"}`, `"digest":{}`), "digest required"},
		"a truncated digest":                    {replaced(strings.TrimPrefix(weights, "sha256:"), "abab"), "64 lower-case"},
		"an upper-case digest":                  {replaced(strings.TrimPrefix(weights, "sha256:"), strings.Repeat("AB", 32)), "64 lower-case"},
		"no predicate type":                     {replaced(reviewType, ""), "predicate type required"},
		"predicate in other letters":            {replaced(`"predicate":`, `"Predicate":`), "predicate is not a JSON object"},
		"no time":                               {review.With(map[string]any{"time": nil}).Sign(key), "lacks time"},
		"a time that is none":                   {review.With(map[string]any{"time": "yesterday"}).Sign(key), "is not a time"},
		"no signature":                          {signing.Text(dsse.Envelope{PayloadType: signing.PayloadType, Payload: base64.StdEncoding.EncodeToString([]byte(good))}), "0 signatures"},
		"many signatures":                       {review.Sign(repeat(key, 17)...), "17 signatures"},
		"keys of the envelope in other letters": {strings.Replace(review.Sign(key), `"payloadType"`, `"PayloadType"`, 1), "payloadType"},
		"more than an envelope":                 {review.Sign(key) + " {}", "after the JSON object"},
		"more than a MiB":                       {review.With(map[string]any{"x": strings.Repeat("x", evidence.MaxSize)}).Sign(key), "the most that is read"},
		"a bundle of a bare file":               {`{"mediaType":"application/vnd.dev.sigstore.bundle.v0.3+json","messageSignature":{}}`, "no dsseEnvelope"},
		"a bundle without material":             {`{"mediaType":"application/vnd.dev.sigstore.bundle.v0.3+json","dsseEnvelope":` + review.Sign(key) + `}`, "the bundle"},
	} {
		t.Run(name, func(t *testing.T) {
			s, err := evidence.Verify([]byte(tc.content), trusted)
			if s != nil || err == nil || !strings.Contains(err.Error(), tc.want) {
				t.Errorf("Verify = %v, %v; want an error that says %q", s, err, tc.want)
			}
		})
	}
}

func repeat(key signing.Key, times int) []signing.Key {
	keys := make([]signing.Key, times)
	for i := range keys {
		keys[i] = key
	}
	return keys
}

func TestVerifyRefusesWhatNobodyTrustedSigned(t *testing.T) {
	key, other := signing.Ed25519(), signing.Ed25519()
	trusted := trust(t, map[string]signing.Key{"red-team": key})
	nobody, err := evidence.ParseTrust(nil)
	if err != nil {
		t.Fatal(err)
	}
	envelope := func(change func(*dsse.Envelope)) string {
		e := signing.Envelope(signing.PayloadType, review.JSON(), key)
		change(e)
		return signing.Text(e)
	}
	failed := base64.StdEncoding.EncodeToString(review.With(map[string]any{"result": "Failed"}).JSON())
	for name, tc := range map[string]struct {
		content string
		trust   *evidence.Trust
	}{
		"another key":                 {review.Sign(other), trusted},
		"a policy that trusts nobody": {review.Sign(key), nobody},
		"payload exchanged":           {envelope(func(e *dsse.Envelope) { e.Payload = failed }), trusted},
		"signature changed":           {envelope(func(e *dsse.Envelope) { e.Signatures[0].Sig = "AAAA" + e.Signatures[0].Sig[4:] }), trusted},
		"another key by the key's id": {envelope(func(e *dsse.Envelope) {
			theirs := signing.Envelope(signing.PayloadType, review.JSON(), other)
			theirs.Signatures[0].KeyID = e.Signatures[0].KeyID
			*e = *theirs
		}), trusted},
	} {
		t.Run(name, func(t *testing.T) {
			if s, err := evidence.Verify([]byte(tc.content), tc.trust); err == nil || !strings.Contains(err.Error(), "is by a key that is trusted") {
				t.Errorf("Verify = %v, %v", s, err)
			}
		})
	}
}

// One key counts once, however often it signs and whatever it calls itself; what it calls itself does not matter.
func TestSignaturesAreCountedByKey(t *testing.T) {
	a, b := signing.Ed25519(), signing.Ed25519()
	trusted := trust(t, map[string]signing.Key{"a": a, "b": b})
	renamed := signing.Envelope(signing.PayloadType, review.JSON(), a, a, a)
	for i := range renamed.Signatures {
		renamed.Signatures[i].KeyID = string(rune('x' + i))
	}
	for name, tc := range map[string]struct {
		content string
		want    int
	}{
		"twice by one":          {review.Sign(a, a), 1},
		"by ids of its own":     {signing.Text(renamed), 1},
		"by two":                {review.Sign(a, b), 2},
		"by two and a stranger": {review.Sign(signing.Ed25519(), b, a), 2},
	} {
		t.Run(name, func(t *testing.T) {
			s, err := evidence.Verify([]byte(tc.content), trusted)
			if err != nil || len(s.Signatures) != tc.want {
				t.Errorf("Verify = %+v, %v; want %d signatures", s, err, tc.want)
			}
		})
	}
	same, err := evidence.ParseTrust(&v1alpha1.Trust{Signers: []v1alpha1.Signer{{Name: "a", Key: a.PEM}, {Name: "b", Key: "\n" + a.PEM + "\n"}}})
	if err == nil || !strings.Contains(err.Error(), "count as one") {
		t.Errorf("ParseTrust = %v; want it told that two signers have one key", err)
	}
	if s, err := evidence.Verify([]byte(review.Sign(a)), same); err != nil || len(s.Signatures) != 1 {
		t.Errorf("Verify = %+v, %v; want one signature", s, err)
	}
}

func TestParseTrustRefusesKeysThatDoNotCount(t *testing.T) {
	good := signing.Ed25519().PEM
	for name, tc := range map[string]struct {
		signer v1alpha1.Signer
		want   string
	}{
		"nothing":          {v1alpha1.Signer{Key: "x"}, "BEGIN PUBLIC KEY"},
		"a private key":    {v1alpha1.Signer{Key: strings.ReplaceAll(good, "PUBLIC", "PRIVATE")}, "BEGIN PUBLIC KEY"},
		"two keys":         {v1alpha1.Signer{Key: good + good}, "has one key"},
		"P-521":            {v1alpha1.Signer{Key: signing.ECDSA(elliptic.P521()).PEM}, "P-521"},
		"P-224":            {v1alpha1.Signer{Key: signing.ECDSA(elliptic.P224()).PEM}, "key"},
		"RSA of 1024 bits": {v1alpha1.Signer{Key: weakRSA}, "1024 bits"},
		"keyless, no root": {v1alpha1.Signer{Keyless: &v1alpha1.KeylessIdentity{Issuer: "i", Identity: "j"}}, "no trustedRoot"},
		"garbage inside":   {v1alpha1.Signer{Key: "-----BEGIN PUBLIC KEY-----\nAAAA\n-----END PUBLIC KEY-----\n"}, "key"},
	} {
		t.Run(name, func(t *testing.T) {
			tc.signer.Name = "red-team"
			parsed, err := evidence.ParseTrust(&v1alpha1.Trust{Signers: []v1alpha1.Signer{tc.signer, {Name: "good", Key: good}}})
			if err == nil || !strings.Contains(err.Error(), "red-team") || !strings.Contains(err.Error(), tc.want) {
				t.Errorf("ParseTrust = %v; want it to name red-team and %q", err, tc.want)
			}
			if key, why := parsed.Key("red-team"); why == nil {
				t.Errorf("Key(red-team) = %q; want it known to be broken", key)
			}
			if key, why := parsed.Key("good"); key == "" || why != nil {
				t.Errorf("Key(good) = %q, %v; a broken signer must not break others", key, why)
			}
		})
	}
}

const weakRSA = `-----BEGIN PUBLIC KEY-----
MIGfMA0GCSqGSIb3DQEBAQUAA4GNADCBiQKBgQCy/X1XuJGt7UP4DbgaXvhkkKr9
hHI9SHaxhEx3+cpH9DfzW2NAYuw3nAUN6RDmjkP3J6lfKweQewmx6RmgUEvY2GhU
Xmwf8m+SJdwH9v2rx8o/SmuF4thkGekPf4WwZy55Icvo1WMtQ+BwINsiSbHJLaxT
QCIxsdFELcxTHIkptQIDAQAB
-----END PUBLIC KEY-----
`

func TestAcceptsByPeriodAndRevocation(t *testing.T) {
	key := signing.Ed25519()
	at := func(d time.Duration) *metav1.Time { return &metav1.Time{Time: made.Add(d)} }
	for name, tc := range map[string]struct {
		signer v1alpha1.Signer
		want   string
	}{
		"no limits":                    {v1alpha1.Signer{}, ""},
		"at its first moment":          {v1alpha1.Signer{NotBefore: at(0)}, ""},
		"before its first moment":      {v1alpha1.Signer{NotBefore: at(time.Second)}, "before its validity began"},
		"at its last moment":           {v1alpha1.Signer{NotAfter: at(0)}, ""},
		"after its last moment":        {v1alpha1.Signer{NotAfter: at(-time.Second)}, "after its validity ended"},
		"retired later":                {v1alpha1.Signer{Revoked: &v1alpha1.Revocation{Reason: "Retired", At: at(time.Second)}}, ""},
		"retired at that moment":       {v1alpha1.Signer{Revoked: &v1alpha1.Revocation{Reason: "Retired", At: at(0)}}, "after it was revoked"},
		"compromised":                  {v1alpha1.Signer{Revoked: &v1alpha1.Revocation{Reason: "Compromised"}}, "Compromised"},
		"compromised, dated later":     {v1alpha1.Signer{Revoked: &v1alpha1.Revocation{Reason: "Compromised", At: at(time.Hour)}}, "Compromised"},
		"revoked for an unknown cause": {v1alpha1.Signer{Revoked: &v1alpha1.Revocation{Reason: "Other", At: at(time.Hour)}}, "revoked"},
	} {
		t.Run(name, func(t *testing.T) {
			tc.signer.Name, tc.signer.Key = "red-team", key.PEM
			parsed, err := evidence.ParseTrust(&v1alpha1.Trust{Signers: []v1alpha1.Signer{tc.signer}})
			if err != nil {
				t.Fatal(err)
			}
			s, err := evidence.Verify([]byte(review.Sign(key)), parsed)
			if err != nil {
				t.Fatal(err)
			}
			ok, why := parsed.Accepts("red-team", s.Signatures[0])
			if ok != (tc.want == "") || (why == nil) != ok || why != nil && !strings.Contains(why.Error(), tc.want) {
				t.Errorf("Accepts = %v, %v; want %q", ok, why, tc.want)
			}
			if ok, why := parsed.Accepts("stranger", s.Signatures[0]); ok || why != nil {
				t.Errorf("Accepts(stranger) = %v, %v", ok, why)
			}
		})
	}
}

func TestPredicates(t *testing.T) {
	key := signing.Ed25519()
	trusted := trust(t, map[string]signing.Key{"a": key})
	later := made.Add(time.Hour)
	signed := func(predicateType, predicate string, annotated time.Time) string {
		s := signing.Statement{Type: predicateType, Subjects: []string{weights}, Time: annotated}
		if err := json.Unmarshal([]byte(predicate), &s.Predicate); err != nil {
			t.Fatal(err)
		}
		return s.Sign(key)
	}
	const (
		when  = `"2026-05-01T12:00:00Z"`
		files = `{"serialization":{},"resources":[{"name":"a","algorithm":"sha256","digest":"` +
			`e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"}]}`
		filesDigest = "sha256:5df6e0e2761359d30a8275058e299fcc0381534545f55cf43e41983f5d4c9456"
	)
	var none time.Time
	for name, tc := range map[string]struct {
		content string
		time    time.Time
		failed  string
		err     string
	}{
		"test result that passed":    {signed(evidence.TypeTestResult, `{"result":"PASSED"}`, made), made, "", ""},
		"test result that warned":    {signed(evidence.TypeTestResult, `{"result":"WARNED"}`, made), made, "", ""},
		"test result that failed":    {signed(evidence.TypeTestResult, `{"result":"FAILED"}`, made), made, "result is FAILED", ""},
		"test result against itself": {signed(evidence.TypeTestResult, `{"result":"PASSED","failedTests":["a"]}`, made), made, "1 tests failed", ""},
		"test result without result": {signed(evidence.TypeTestResult, `{}`, made), none, "", "lacks result"},
		"test result without time":   {signed(evidence.TypeTestResult, `{"result":"PASSED"}`, none), none, "", "nothing says when"},
		"provenance": {signed(evidence.TypeProvenance, `{"buildDefinition":{"buildType":"b"},"runDetails":{"builder":{"id":"c"},"metadata":{"finishedOn":`+when+`}}}`, later),
			made, "", ""},
		"provenance without builder": {signed(evidence.TypeProvenance, `{"buildDefinition":{"buildType":"b"}}`, made), none, "", "runDetails.builder.id"},
		"VSA that passed":            {signed(evidence.TypeVSA, `{"verifier":{"id":"v"},"timeVerified":`+when+`,"verificationResult":"PASSED"}`, none), made, "", ""},
		"VSA that failed":            {signed(evidence.TypeVSA, `{"verifier":{"id":"v"},"timeVerified":`+when+`,"verificationResult":"FAILED"}`, none), made, "verificationResult is FAILED", ""},
		"VSA of nobody":              {signed(evidence.TypeVSA, `{"timeVerified":`+when+`,"verificationResult":"PASSED"}`, none), none, "", "verifier.id"},
		"ML-BOM":                     {signed(evidence.TypeCycloneDX, `{"bomFormat":"CycloneDX","specVersion":"1.6","metadata":{"timestamp":`+when+`}}`, none), made, "", ""},
		"BOM of another format":      {signed(evidence.TypeCycloneDX, `{"bomFormat":"SPDX"}`, made), none, "", "bomFormat"},
		"vulnerabilities":            {signed(evidence.TypeVulns, `{"scanner":{"uri":"s"},"metadata":{"scanFinishedOn":`+when+`}}`, none), made, "", ""},
		"signed model": {signing.Statement{Type: evidence.TypeModelSigning, Subjects: []string{filesDigest}, Time: made,
			Predicate: object(t, files)}.Sign(key), made, "", ""},
		"signed model without time": {signing.Statement{Type: evidence.TypeModelSigning, Subjects: []string{filesDigest},
			Predicate: object(t, files)}.Sign(key), none, "", ""},
		"signed model without time, bundled": {signing.ModelSigning(strings.Repeat("0", 64)).Bundle(key), none, "", ""},
		"signed model of other files": {signing.Statement{Type: evidence.TypeModelSigning, Subjects: []string{weights}, Time: made,
			Predicate: object(t, files)}.Sign(key), none, "", "the subject has another"},
		"report":                    {review.With(map[string]any{"kind": "Report", "report": map[string]any{"digest": map[string]any{"sha256": strings.Repeat("0", 64)}}}).Sign(key), made, "", ""},
		"report without the report": {review.With(map[string]any{"kind": "Report"}).Sign(key), none, "", "report.digest.sha256"},
		"review that failed":        {review.With(map[string]any{"result": "Failed"}).Sign(key), made, "result is Failed", ""},
		"review of a third result":  {review.With(map[string]any{"result": "passed"}).Sign(key), none, "", "must be Passed or Failed"},
		"review by nobody":          {review.With(map[string]any{"reviewers": []string{}}).Sign(key), none, "", "reviewers"},
		"drill":                     {review.With(map[string]any{"kind": "Drill", "scenario": "s", "participants": []string{"p"}}).Sign(key), made, "", ""},
		"drill of nobody":           {review.With(map[string]any{"kind": "Drill", "scenario": "s"}).Sign(key), none, "", "participants"},
		"without kind":              {review.With(map[string]any{"kind": nil}).Sign(key), none, "", "Report, Review or Drill"},
		"of an unknown type":        {signed("https://example.com/x", `{"time":"2020-01-01T00:00:00Z"}`, made), made, "", ""},
	} {
		t.Run(name, func(t *testing.T) {
			s, err := evidence.Verify([]byte(tc.content), trusted)
			if tc.err != "" {
				if err == nil || !strings.Contains(err.Error(), tc.err) {
					t.Errorf("Verify = %v; want %q", err, tc.err)
				}
				return
			}
			if err != nil || !s.Time.Equal(tc.time) || s.Failed != tc.failed {
				t.Errorf("Verify = %+v, %v; want time %s and failed %q", s, err, tc.time, tc.failed)
			}
		})
	}
}

// What config/samples/evidence shows counts, once somebody has signed it.
func TestSamples(t *testing.T) {
	key := signing.Ed25519()
	trusted := trust(t, map[string]signing.Key{"a": key})
	got := map[string]string{}
	for _, pattern := range []string{"statement.json", "statements/*.json"} {
		files, err := filepath.Glob("../../config/samples/evidence/" + pattern)
		if err != nil {
			t.Fatal(err)
		}
		for _, file := range files {
			payload, err := os.ReadFile(file)
			if err != nil {
				t.Fatal(err)
			}
			s, err := evidence.Verify([]byte(signing.Text(signing.Envelope(signing.PayloadType, payload, key))), trusted)
			if err != nil || s.Failed != "" || !s.Time.Equal(time.Date(2026, 10, 1, 12, 0, 0, 0, time.UTC)) {
				t.Errorf("%s: Verify = %+v, %v", file, s, err)
				continue
			}
			got[strings.TrimSuffix(filepath.Base(file), ".json")] = s.PredicateType
		}
	}
	want := map[string]string{
		"test-result": evidence.TypeTestResult, "slsa-provenance": evidence.TypeProvenance, "slsa-verification-summary": evidence.TypeVSA,
		"cyclonedx-ml-bom": evidence.TypeCycloneDX, "model-signing": evidence.TypeModelSigning,
		"statement": evidence.TypesOfInterlock + "misuse-red-team/v1", "review": evidence.TypesOfInterlock + "security-review/v1", "drill": evidence.TypesOfInterlock + "incident-drill/v1",
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("-want +got:\n%s", diff)
	}
}

func object(t *testing.T, text string) map[string]any {
	t.Helper()
	var o map[string]any
	if err := json.Unmarshal([]byte(text), &o); err != nil {
		t.Fatal(err)
	}
	return o
}

// What model_signing v1.1.1 writes with a key has neither a time nor a log entry.
func TestVerifiesWhatModelSigningSigned(t *testing.T) {
	trusted, err := evidence.ParseTrust(&v1alpha1.Trust{Signers: []v1alpha1.Signer{{Name: "training", Key: read(t, "testdata", "model_signing.pub")}}})
	if err != nil {
		t.Fatal(err)
	}
	s, err := evidence.Verify([]byte(read(t, "testdata", "model.sig")), trusted)
	if err != nil {
		t.Fatal(err)
	}
	want := []string{"sha256:1a92a59f282f88c9b2f5d9cb2d0317ef19c4470dcba83885da3c0fdae4840eae"}
	if diff := cmp.Diff(want, s.Subjects); diff != "" || !s.Undated() || s.PredicateType != evidence.TypeModelSigning {
		t.Errorf("%+v\n-want +got:\n%s", s, diff)
	}
	if ok, why := trusted.Accepts("training", s.SeenBy(made).Signatures[0]); !ok {
		t.Errorf("Accepts = %v, %v", ok, why)
	}
	if !s.Signatures[0].Time.IsZero() {
		t.Error("SeenBy changed what others see")
	}
}

func TestSubjectsGiveTwoTimes(t *testing.T) {
	key := signing.Ed25519()
	text := string(signing.Statement{Type: "urn:x", Subjects: []string{weights, weights}, Time: made, Predicate: map[string]any{}}.JSON())
	text = strings.Replace(text, "2026-05-01", "2026-06-01", 1)
	content := signing.Text(signing.Envelope(signing.PayloadType, []byte(text), key))
	if _, err := evidence.Verify([]byte(content), trust(t, map[string]signing.Key{"a": key})); err == nil || !strings.Contains(err.Error(), "two times") {
		t.Errorf("Verify = %v", err)
	}
}

// The digests are those that docs/evidence.md lets people compute with printf and sha256sum.
func TestEnvironmentSubject(t *testing.T) {
	for name, tc := range map[string]struct {
		within []string
		want   string
	}{
		"a namespace":       {[]string{"chat", "66666666"}, evidence.Digest([]byte("11111111-2222-3333-4444-555555555555/chat/66666666"))},
		"the whole cluster": {nil, evidence.Digest([]byte("11111111-2222-3333-4444-555555555555"))},
	} {
		t.Run(name, func(t *testing.T) {
			if got := evidence.EnvironmentSubject("11111111-2222-3333-4444-555555555555", tc.within...); got != tc.want {
				t.Errorf("EnvironmentSubject = %s, want %s", got, tc.want)
			}
		})
	}
}

func TestParseReference(t *testing.T) {
	digest := "@" + weights
	for text, ok := range map[string]bool{
		"registry.example/evidence" + digest:                           true,
		"registry.example:5000/a/b" + digest:                           true,
		"localhost:5000/x" + digest:                                    true,
		"registry.example/evidence":                                    false,
		"registry.example/evidence:latest":                             false,
		"registry:5000/x":                                              false,
		"registry.example/evidence:v1" + digest:                        false,
		"evidence" + digest:                                            false,
		"library/evidence" + digest:                                    false,
		"registry.example/evidence@sha256:" + strings.Repeat("A", 64):  false,
		"registry.example/evidence@sha256:abab":                        false,
		"registry.example/evidence@sha512:" + strings.Repeat("a", 128): false,
		"registry.example/evidеnce" + digest:                           false, // with a Cyrillic e
		"registry.example/Evidence" + digest:                           false,
		"https://registry.example/evidence" + digest:                   false,
		"": false,
	} {
		if _, err := evidence.ParseReference(text); (err == nil) != ok {
			t.Errorf("ParseReference(%q) = %v, want it accepted: %v", text, err, ok)
		}
	}
}
