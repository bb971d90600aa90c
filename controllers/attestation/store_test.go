package attestation

import (
	"errors"
	"fmt"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"

	"github.com/interlock-dev/interlock/api/v1alpha1"
	"github.com/interlock-dev/interlock/internal/evidence"
	"github.com/interlock-dev/interlock/internal/safeguard"
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
	s := NewStore(time.Minute, "shared")
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
			statements[i] = one(t, s, a, trust).Statement
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
	again := one(t, s, builder.Attestation("n", "x", content), revoked)
	if again.Statement != statements[0] {
		t.Error("it was verified again since a signer was revoked")
	}
	if ok, why := revoked.Accepts("b", again.Statement.Signatures[0]); ok || why == nil {
		t.Errorf("Accepts = %v, %v; the signer is revoked", ok, why)
	}
	if other := one(t, s, builder.Attestation("n", "x", content), nobody); other.Statement != nil || !errors.Is(other.Err, evidence.ErrUntrusted) {
		t.Errorf("Attested = %+v under a policy that trusts nobody", other)
	}
}

func TestStoreIsBounded(t *testing.T) {
	s := NewStore(time.Minute, "shared")
	large := strings.Repeat("x", 1<<20)
	for i := range 3 * maxResults >> 20 {
		s.keepForTest(question{content: large, keys: fmt.Sprint(i)})
	}
	if kept := len(s.young) + len(s.old); kept > 2*maxResults>>20 {
		t.Errorf("%d MiB are kept", kept)
	}
	for i := range maxFetched>>20 + 1 {
		a := builder.AttestationIn("shared", fmt.Sprint(i), "r")
		a.UID = types.UID(a.Name)
		err := s.put(a, download{found: []found{{content: large}}})
		if full := i == maxFetched>>20; (err != nil) != full {
			t.Fatalf("put %d = %v", i, err)
		}
		if s.fetchedSize > maxFetched {
			t.Fatalf("%d bytes are kept", s.fetchedSize)
		}
	}
	for i := range 6 {
		s.forget(types.NamespacedName{Namespace: "shared", Name: fmt.Sprint(i)})
	}
	for i := range maxFetchedEach>>20 + 1 {
		a := builder.AttestationIn("n", fmt.Sprint(i), "r")
		err := s.put(a, download{found: []found{{content: large}}})
		if full := i == maxFetchedEach>>20; (err != nil) != full || full && !strings.Contains(err.Error(), "namespace n") {
			t.Fatalf("put %d = %v", i, err)
		}
	}
	if err := s.put(builder.AttestationIn("another", "new", "r"), download{found: []found{{content: large}}}); err != nil {
		t.Error(err)
	}
}

func (s *Store) keepForTest(q question) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.keep(q, answer{})
}

// one gives what becomes of an Attestation that brings one statement.
func one(t *testing.T, s *Store, a *v1alpha1.Attestation, trust *evidence.Trust) safeguard.Attested {
	t.Helper()
	all := s.Attested(a, trust)
	if len(all) != 1 {
		t.Errorf("Attested = %+v, want one", all)
		return safeguard.Attested{}
	}
	return all[0]
}

// What a registry has shown once it cannot take back, and what it has not shown again for long counts no more.
func TestStoreKeepsWhatWasFoundAndSaysUntilWhen(t *testing.T) {
	s := NewStore(time.Minute, "shared")
	now := time.Date(2026, 6, 1, 12, 0, 0, 0, time.UTC)
	a := builder.AttestationAbout("n", "x", "r", bundleType)
	a.UID = "1"
	passed, failed := found{digest: "sha256:" + strings.Repeat("a", 64), content: review.Sign(redTeam)}, found{digest: "sha256:" + strings.Repeat("b", 64), content: "{}"}
	step := func(d download, want ...string) {
		t.Helper()
		_ = s.put(a, d)
		var got []string
		for _, r := range s.Attested(a, nobody) {
			line := fmt.Sprintf("%s fetching %t unfetched %t", r.Name, r.Fetching, r.Unfetched)
			if !r.Until.IsZero() {
				line += " until " + r.Until.Sub(now).String()
			}
			got = append(got, line)
		}
		if diff := cmp.Diff(want, got); diff != "" {
			t.Errorf("-want +got:\n%s", diff)
		}
	}
	if got := one(t, s, a, nobody); !got.Fetching {
		t.Errorf("Attested = %+v, want it on its way", got)
	}
	step(download{err: errors.New("refused")}, "n/x fetching false unfetched true")
	step(download{listed: now})
	step(download{listed: now, found: []found{passed}}, "n/x@sha256:aaaaaaaaaaaa fetching false unfetched false until 3m0s")
	step(download{listed: now, err: errors.New("refused")}, "n/x@sha256:aaaaaaaaaaaa fetching false unfetched false until 3m0s")
	step(download{listed: now.Add(time.Minute), found: []found{failed}},
		"n/x@sha256:aaaaaaaaaaaa fetching false unfetched false until 4m0s", "n/x@sha256:bbbbbbbbbbbb fetching false unfetched false until 4m0s")
	if subjects, known := s.Speaks(a); !known || len(subjects) != 1 || subjects[0] != builder.Digest {
		t.Errorf("Speaks = %v, %v", subjects, known)
	}
	a.UID = "2"
	if got := one(t, s, a, nobody); !got.Fetching {
		t.Errorf("Attested = %+v, want another object to begin anew", got)
	}
	_ = s.put(a, download{found: []found{passed}, err: errors.New("the rest was not to be had")})
	if got := s.Attested(a, nobody); len(got) != 2 || got[0].Until.IsZero() || got[0].Until.After(now) || !got[1].Unfetched {
		t.Errorf("Attested = %+v; what was seen in part counts no more than if it had lapsed", got)
	}
}

// What was fetched belongs to one object; another of its name begins anew.
func TestStoreTellsObjectsOfOneNameApart(t *testing.T) {
	s := NewStore(time.Minute, "shared")
	a := builder.AttestationIn("n", "x", "r")
	a.ObjectMeta = metav1.ObjectMeta{Namespace: "n", Name: "x", UID: "1"}
	if got := one(t, s, a, nobody); !got.Fetching {
		t.Errorf("Attested = %+v, want it on its way", got)
	}
	if err := s.put(a, download{err: errors.New("refused")}); err == nil {
		t.Error("put lost the error")
	}
	if got := one(t, s, a, nobody); !got.Unfetched || got.Err == nil {
		t.Errorf("Attested = %+v, want it not fetched", got)
	}
	if err := s.put(a, download{found: []found{{content: review.Sign(redTeam)}}}); err != nil {
		t.Fatal(err)
	}
	if got := one(t, s, a, nobody); got.Unfetched || got.Fetching || !errors.Is(got.Err, evidence.ErrUntrusted) {
		t.Errorf("Attested = %+v, want it judged", got)
	}
	a.UID = "2"
	if got := one(t, s, a, nobody); !got.Fetching {
		t.Errorf("Attested = %+v, want it on its way", got)
	}
}

// What says no time was there when the API server noted the Attestation that brings it, unless it may have come later.
func TestStoreSaysWhenTheUndatedWasSeen(t *testing.T) {
	s := NewStore(time.Minute, "shared")
	content := signing.ModelSigning(strings.Repeat("ab", 32)).Bundle(redTeam)
	trust, err := s.Trust(policy(1, v1alpha1.Signer{Name: "a", Key: redTeam.PEM}))
	if err != nil {
		t.Fatal(err)
	}
	noted := time.Date(2026, 6, 1, 12, 0, 0, 0, time.UTC)
	brought, named, referring := builder.Attestation("n", "brought", content), builder.AttestationIn("n", "named", "r"), builder.AttestationAbout("n", "referring", "r", bundleType)
	for _, a := range []*v1alpha1.Attestation{brought, named, referring} {
		a.UID, a.CreationTimestamp = types.UID(a.Name), metav1.Time{Time: noted}
		_ = s.put(a, download{found: []found{{digest: "sha256:" + strings.Repeat("a", 64), content: content}}, listed: noted})
	}
	for _, a := range []*v1alpha1.Attestation{brought, named} {
		if got := one(t, s, a, trust); got.Statement == nil || !got.Statement.Signatures[0].Time.Equal(noted) || !got.Statement.Undated() {
			t.Errorf("%s: Attested = %+v", a.Name, got)
		}
	}
	if got := one(t, s, referring, trust); got.Statement != nil || !errors.Is(got.Err, errUndatedReferrer) {
		t.Errorf("Attested = %+v", got)
	}
}
