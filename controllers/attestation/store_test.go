package attestation

import (
	"errors"
	"fmt"
	"strings"
	"sync"
	"testing"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"

	"github.com/interlock-dev/interlock/api/v1alpha1"
	"github.com/interlock-dev/interlock/internal/evidence"
	"github.com/interlock-dev/interlock/internal/testing/builder"
	"github.com/interlock-dev/interlock/internal/testing/signing"
)

var (
	redTeam = signing.Fixed(1)
	review  = signing.Review("urn:x", time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC), builder.Digest)
)

func policy(generation int64, signers ...v1alpha1.Signer) *v1alpha1.ScalingPolicy {
	p := builder.ScalingPolicy("p").Build()
	p.UID, p.Generation = "p", generation
	if len(signers) > 0 {
		p.Spec.Trust = &v1alpha1.Trust{Signers: signers}
	}
	return p
}

func TestStoreVerifiesOnce(t *testing.T) {
	s := NewStore()
	typed := review
	typed.Type = evidence.TypeVulns
	typed.Predicate = map[string]any{"scanner": map[string]any{"uri": "x"}}
	typed.Time = time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC)
	content := typed.Sign(redTeam)
	trust, err := s.Trust(policy(1, v1alpha1.Signer{Name: "a", Key: redTeam.PEM}))
	if err != nil {
		t.Fatal(err)
	}
	var wait sync.WaitGroup
	statements := make([]*evidence.Statement, 50)
	for i := range statements {
		wait.Go(func() {
			a := builder.Attestation("n", fmt.Sprint(i), content)
			a.UID = types.UID(a.Name)
			statements[i] = s.Attested(a, trust).Statement
		})
	}
	wait.Wait()
	for _, got := range statements {
		if got == nil || got != statements[0] {
			t.Fatal("the same content was verified more than once")
		}
	}

	// Whether a signer is revoked, and what it is called, is not part of the question.
	revoked, err := s.Trust(policy(2, v1alpha1.Signer{Name: "b", Key: redTeam.PEM, Revoked: &v1alpha1.Revocation{Reason: v1alpha1.RevocationCompromised}}))
	if err != nil {
		t.Fatal(err)
	}
	again := s.Attested(builder.Attestation("n", "x", content), revoked)
	if again.Statement != statements[0] {
		t.Error("it was verified again since a signer was revoked")
	}
	if ok, why := revoked.Accepts("b", again.Statement.Signatures[0]); ok || why == nil {
		t.Errorf("Accepts = %v, %v; the signer is revoked", ok, why)
	}
	if other := s.Attested(builder.Attestation("n", "x", content), nobody); other.Statement != nil || !errors.Is(other.Err, evidence.ErrUntrusted) {
		t.Errorf("Attested = %+v under a policy that trusts nobody", other)
	}
}

func TestStoreIsBounded(t *testing.T) {
	s := NewStore()
	large := strings.Repeat("x", 1<<20)
	for i := range 3 * maxResults >> 20 {
		s.keepForTest(question{content: large, keys: fmt.Sprint(i)})
	}
	if kept := len(s.young) + len(s.old); kept > 2*maxResults>>20 {
		t.Errorf("%d MiB are kept", kept)
	}
	for i := range maxFetched>>20 + 1 {
		a := builder.AttestationIn("n", fmt.Sprint(i), "r")
		a.UID = types.UID(a.Name)
		err := s.put(a, []byte(large), nil)
		if full := i == maxFetched>>20; (err != nil) != full {
			t.Fatalf("put %d = %v", i, err)
		}
		if s.fetchedSize > maxFetched {
			t.Fatalf("%d bytes are kept", s.fetchedSize)
		}
	}
	s.forget(types.NamespacedName{Namespace: "n", Name: "0"})
	a := builder.AttestationIn("n", "new", "r")
	if err := s.put(a, []byte(large), nil); err != nil {
		t.Error(err)
	}
}

func (s *Store) keepForTest(q question) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.keep(q, answer{})
}

// What was fetched belongs to one object; another of its name begins anew.
func TestStoreTellsObjectsOfOneNameApart(t *testing.T) {
	s := NewStore()
	a := builder.AttestationIn("n", "x", "r")
	a.ObjectMeta = metav1.ObjectMeta{Namespace: "n", Name: "x", UID: "1"}
	if got := s.Attested(a, nobody); !got.Fetching {
		t.Errorf("Attested = %+v, want it on its way", got)
	}
	if err := s.put(a, nil, errors.New("refused")); err == nil {
		t.Error("put lost the error")
	}
	if got := s.Attested(a, nobody); !got.Unfetched || got.Err == nil {
		t.Errorf("Attested = %+v, want it not fetched", got)
	}
	if err := s.put(a, []byte(review.Sign(redTeam)), nil); err != nil {
		t.Fatal(err)
	}
	if got := s.Attested(a, nobody); got.Unfetched || got.Fetching || !errors.Is(got.Err, evidence.ErrUntrusted) {
		t.Errorf("Attested = %+v, want it judged", got)
	}
	a.UID = "2"
	if got := s.Attested(a, nobody); !got.Fetching {
		t.Errorf("Attested = %+v, want it on its way", got)
	}
}
