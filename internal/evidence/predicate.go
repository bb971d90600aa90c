package evidence

import (
	"cmp"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"strings"
	"time"
)

// Predicate types of which more is known than that they are JSON.
const (
	TypeTestResult   = "https://in-toto.io/attestation/test-result/v0.1"
	TypeVulns        = "https://in-toto.io/attestation/vulns/v0.2"
	TypeProvenance   = "https://slsa.dev/provenance/v1"
	TypeVSA          = "https://slsa.dev/verification_summary/v1"
	TypeCycloneDX    = "https://cyclonedx.org/bom"
	TypeModelSigning = "https://model_signing/signature/v1.0"
	// TypesOfInterlock begins the types that Interlock defines for reports, reviews and drills.
	TypesOfInterlock = "https://interlock.dev/predicates/"
)

// predicate is what is known of a type: how to read whether something failed, and where its time stands.
type predicate struct {
	read func(s *Statement) (failed string, err error)
	time []string
	// lasting types say what a thing is, and not what was done at a time. Their statements need no time.
	lasting bool
}

var predicates = map[string]predicate{
	TypeTestResult:   {read: testResult},
	TypeVulns:        {read: needs("scanner", "uri"), time: []string{"metadata", "scanFinishedOn"}},
	TypeProvenance:   {read: provenance, time: []string{"runDetails", "metadata", "finishedOn"}},
	TypeVSA:          {read: summary, time: []string{"timeVerified"}},
	TypeCycloneDX:    {read: billOfMaterials, time: []string{"metadata", "timestamp"}},
	TypeModelSigning: {read: modelSigning, lasting: true},
}

func predicateOf(predicateType string) predicate {
	if strings.HasPrefix(predicateType, TypesOfInterlock) {
		return predicate{read: interlock, time: []string{"time"}}
	}
	return predicates[predicateType]
}

// readPredicate says what failed by the predicate's own account. The error says what makes it none of its type. Of types
// that are not known it says nothing.
func readPredicate(s *Statement) (failed string, err error) {
	if read := predicateOf(s.PredicateType).read; read != nil {
		return read(s)
	}
	return "", nil
}

// predicateTime gives the time that the predicate's type has a field for; zero, if it has none or the field is absent.
func predicateTime(s *Statement) (time.Time, error) {
	path := predicateOf(s.PredicateType).time
	if len(path) == 0 {
		return time.Time{}, nil
	}
	text := at(s.Predicate, path...)
	if text == "" {
		return time.Time{}, nil
	}
	when, err := readTime(text)
	if err != nil {
		return time.Time{}, fmt.Errorf("%s: %w", strings.Join(path, "."), err)
	}
	return when, nil
}

func needs(path ...string) func(*Statement) (string, error) {
	return func(s *Statement) (string, error) {
		if at(s.Predicate, path...) == "" {
			return "", fmt.Errorf("lacks %s", strings.Join(path, "."))
		}
		return "", nil
	}
}

// outcome reads a field that says whether what was done came out well.
func outcome(s *Statement, field string, good ...string) (string, error) {
	value := at(s.Predicate, field)
	if value == "" {
		return "", fmt.Errorf("lacks %s", field)
	}
	for _, g := range good {
		if value == g {
			return "", nil
		}
	}
	return fmt.Sprintf("%s is %.40s", field, value), nil
}

func testResult(s *Statement) (string, error) {
	failed, err := outcome(s, "result", "PASSED", "WARNED")
	if tests, _ := s.Predicate["failedTests"].([]any); failed == "" && err == nil && len(tests) > 0 {
		return fmt.Sprintf("%d tests failed", len(tests)), nil
	}
	return failed, err
}

func provenance(s *Statement) (string, error) {
	_, err1 := needs("buildDefinition", "buildType")(s)
	_, err2 := needs("runDetails", "builder", "id")(s)
	return "", cmp.Or(err1, err2)
}

func summary(s *Statement) (string, error) {
	if _, err := needs("verifier", "id")(s); err != nil {
		return "", err
	}
	return outcome(s, "verificationResult", "PASSED")
}

func billOfMaterials(s *Statement) (string, error) {
	if format := at(s.Predicate, "bomFormat"); format != "CycloneDX" {
		return "", fmt.Errorf("bomFormat is %.40q, not \"CycloneDX\"", format)
	}
	return "", nil
}

// modelSigning compares the subject with the files that the predicate lists: it is the digest of their digests.
func modelSigning(s *Statement) (string, error) {
	resources, _ := s.Predicate["resources"].([]any)
	if len(resources) == 0 {
		return "", errors.New("lists no resources")
	}
	root := sha256.New()
	for i, r := range resources {
		resource, _ := r.(map[string]any)
		digest, err := hex.DecodeString(at(resource, "digest"))
		if err != nil || len(digest) == 0 {
			return "", fmt.Errorf("resource %d has no digest", i+1)
		}
		root.Write(digest)
	}
	want := "sha256:" + hex.EncodeToString(root.Sum(nil))
	if len(s.Subjects) != 1 || s.Subjects[0] != want {
		return "", fmt.Errorf("the files that it lists have the digest %s, and the subject has another", want)
	}
	return "", nil
}

// interlock reads the predicates of our own: docs/evidence.md gives each field.
func interlock(s *Statement) (string, error) {
	if at(s.Predicate, "time") == "" {
		return "", errors.New("lacks time, at which the work was finished")
	}
	if at(s.Predicate, "summary") == "" {
		return "", errors.New("lacks summary")
	}
	var missing string
	switch kind := at(s.Predicate, "kind"); kind {
	case "Report":
		if !sha256Pattern.MatchString(at(s.Predicate, "report", "digest", "sha256")) {
			missing = "report.digest.sha256, the digest of the report in full"
		}
	case "Review":
		if !hasText(s.Predicate["reviewers"]) {
			missing = "reviewers"
		}
	case "Drill":
		if at(s.Predicate, "scenario") == "" {
			missing = "scenario"
		} else if !hasText(s.Predicate["participants"]) {
			missing = "participants"
		}
	default:
		return "", fmt.Errorf("kind is %.40q; it must be Report, Review or Drill", kind)
	}
	if missing != "" {
		return "", fmt.Errorf("lacks %s", missing)
	}
	switch result := at(s.Predicate, "result"); result {
	case "Passed":
		return "", nil
	case "Failed":
		return "result is Failed", nil
	default:
		return "", fmt.Errorf("result is %.40q; it must be Passed or Failed", result)
	}
}

// hasText says whether a value is a list of texts, none of them empty.
func hasText(value any) bool {
	list, _ := value.([]any)
	for _, v := range list {
		if text, ok := v.(string); !ok || text == "" {
			return false
		}
	}
	return len(list) > 0
}
