package evidence

import (
	"encoding/base64"
	"errors"
	"fmt"
	"regexp"
	"slices"
	"time"

	intoto "github.com/in-toto/attestation/go/v1"
	"github.com/secure-systems-lab/go-securesystemslib/dsse"
	"google.golang.org/protobuf/types/known/structpb"
)

// parsed is what could be read, with nothing verified.
type parsed struct {
	envelope  *dsse.Envelope
	statement *Statement
	// annotated is the time that the subjects' annotations give, if any.
	annotated time.Time
	// bundle is the text of a Sigstore bundle; absent for a bare envelope.
	bundle []byte
}

func parse(content []byte) (*parsed, error) {
	outer, err := readObject(content)
	if err != nil {
		return nil, fmt.Errorf("the content %w", err)
	}
	p := &parsed{}
	envelope := outer
	if _, isBundle := outer["mediaType"]; isBundle {
		p.bundle = content
		var ok bool
		if envelope, ok = outer["dsseEnvelope"].(map[string]any); !ok {
			return nil, errors.New("the bundle has no dsseEnvelope: a signature of a bare file says nothing of a safeguard")
		}
	}
	if p.envelope, err = readEnvelope(envelope); err != nil {
		return nil, err
	}
	payload, err := p.envelope.DecodeB64Payload()
	if err != nil {
		return nil, fmt.Errorf("the envelope's payload: %w", err)
	}
	if p.statement, p.annotated, err = readStatement(payload); err != nil {
		return nil, err
	}
	p.statement.Digest, p.statement.Payload = Digest(content), Digest(payload)
	return p, nil
}

// readEnvelope takes what the DSSE specification names, to the letter of the key. The ids of keys are dropped: anybody
// can write what they like there.
func readEnvelope(object map[string]any) (*dsse.Envelope, error) {
	e := &dsse.Envelope{PayloadType: at(object, "payloadType"), Payload: at(object, "payload")}
	if e.PayloadType != PayloadType {
		return nil, fmt.Errorf("the envelope's payloadType is %.80q; only %q is verified", e.PayloadType, PayloadType)
	}
	signatures, _ := object["signatures"].([]any)
	if len(signatures) == 0 || len(signatures) > maxSignatures {
		return nil, fmt.Errorf("the envelope has %d signatures; it must have 1 to %d", len(signatures), maxSignatures)
	}
	for i, s := range signatures {
		signature, _ := s.(map[string]any)
		sig := at(signature, "sig")
		if sig == "" {
			return nil, fmt.Errorf("the envelope's signature %d is empty", i+1)
		}
		if _, err := base64.StdEncoding.DecodeString(sig); err != nil {
			return nil, fmt.Errorf("the envelope's signature %d is not base64", i+1)
		}
		e.Signatures = append(e.Signatures, dsse.Signature{Sig: sig})
	}
	return e, nil
}

// TimeAnnotation of a subject gives the time of a statement whose predicate has no field for it.
const TimeAnnotation = "interlock.dev/time"

func readStatement(payload []byte) (*Statement, time.Time, error) {
	object, err := readObject(payload)
	if err != nil {
		return nil, time.Time{}, fmt.Errorf("the statement %w", err)
	}
	predicate, ok := object["predicate"].(map[string]any)
	if !ok {
		return nil, time.Time{}, errors.New("the statement's predicate is not a JSON object")
	}
	subjects, _ := object["subject"].([]any)
	if len(subjects) > maxSubjects {
		return nil, time.Time{}, fmt.Errorf("the statement has %d subjects; %d are the most that is read", len(subjects), maxSubjects)
	}
	s := &Statement{PredicateType: at(object, "predicateType"), Predicate: predicate}
	whole := &intoto.Statement{Type: at(object, "_type"), PredicateType: s.PredicateType, Predicate: &structpb.Struct{}}
	var annotated time.Time
	for i, value := range subjects {
		descriptor, when, err := readSubject(value)
		if err != nil {
			return nil, time.Time{}, fmt.Errorf("the statement's subject %d: %w", i+1, err)
		}
		if !annotated.IsZero() && !when.IsZero() && !annotated.Equal(when) {
			return nil, time.Time{}, fmt.Errorf("the statement's subjects give two times, %s and %s",
				annotated.Format(time.RFC3339), when.Format(time.RFC3339))
		}
		if !when.IsZero() {
			annotated = when
		}
		whole.Subject = append(whole.Subject, descriptor)
		for algorithm, digest := range descriptor.Digest {
			s.Subjects = append(s.Subjects, algorithm+":"+digest)
		}
	}
	if err := whole.Validate(); err != nil {
		return nil, time.Time{}, fmt.Errorf("the statement: %w", err)
	}
	slices.Sort(s.Subjects)
	s.Subjects = slices.Compact(s.Subjects)
	if s.Failed, err = readPredicate(s); err != nil {
		return nil, time.Time{}, fmt.Errorf("the predicate %s: %w", s.PredicateType, err)
	}
	return s, annotated, nil
}

var sha256Pattern = regexp.MustCompile(`^[0-9a-f]{64}$`)

func readSubject(value any) (*intoto.ResourceDescriptor, time.Time, error) {
	object, ok := value.(map[string]any)
	if !ok {
		return nil, time.Time{}, errors.New("is not a JSON object")
	}
	r := &intoto.ResourceDescriptor{Name: at(object, "name"), Uri: at(object, "uri"), Digest: map[string]string{}}
	digests, _ := object["digest"].(map[string]any)
	for algorithm := range digests {
		r.Digest[algorithm] = at(digests, algorithm)
	}
	if digest, ok := r.Digest["sha256"]; ok && !sha256Pattern.MatchString(digest) {
		return nil, time.Time{}, fmt.Errorf("the sha256 digest %.80q is not 64 lower-case hexadecimal digits", digest)
	}
	annotations, _ := object["annotations"].(map[string]any)
	if _, ok := annotations[TimeAnnotation]; !ok {
		return r, time.Time{}, nil
	}
	when, err := readTime(at(annotations, TimeAnnotation))
	if err != nil {
		return nil, time.Time{}, fmt.Errorf("annotation %s: %w", TimeAnnotation, err)
	}
	return r, when, nil
}

func readTime(text string) (time.Time, error) {
	when, err := time.Parse(time.RFC3339, text)
	if err != nil || when.Year() < 2000 {
		return time.Time{}, fmt.Errorf("%.40q is not a time as 2026-01-31T12:00:00Z", text)
	}
	return when.UTC(), nil
}

// date sets the time of the statement: that which its predicate gives, else that of its subjects' annotation, else that
// of signing, and never later than a proven time of signing. Signatures without a proven time have the statement's word.
// Only a statement of a lasting type may have none of these.
func (s *Statement) date(annotated time.Time) error {
	claimed, err := predicateTime(s)
	if err != nil {
		return fmt.Errorf("the predicate %s: %w", s.PredicateType, err)
	}
	if claimed.IsZero() {
		claimed = annotated
	}
	s.Time = claimed
	for i := range s.Signatures {
		signature := &s.Signatures[i]
		if signature.Proven && (s.Time.IsZero() || signature.Time.Before(s.Time)) {
			s.Time = signature.Time
		}
	}
	if s.Undated() && !predicateOf(s.PredicateType).lasting {
		return fmt.Errorf("nothing says when the statement was made: give the subject the annotation %s, or sign into a transparency log", TimeAnnotation)
	}
	for i := range s.Signatures {
		if !s.Signatures[i].Proven {
			s.Signatures[i].Time = s.Time
		}
	}
	return nil
}
