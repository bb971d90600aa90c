package evidence

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"time"

	"github.com/secure-systems-lab/go-securesystemslib/dsse"
	"github.com/sigstore/sigstore-go/pkg/bundle"
)

// ErrUntrusted says that a statement can be read, and that nobody who is trusted has signed it.
var ErrUntrusted = errors.New("it bears no signature that counts")

// signed verifies the signatures, and gives those by trusted keys, one a key.
func (p *parsed) signed(trust *Trust) ([]Signature, error) {
	if p.bundle == nil {
		return p.signedByKeys(trust)
	}
	b := &bundle.Bundle{}
	if err := b.UnmarshalJSON(p.bundle); err != nil {
		return nil, fmt.Errorf("the bundle: %w", err)
	}
	material, err := b.VerificationContent()
	if err != nil {
		return nil, fmt.Errorf("the bundle: %w", err)
	}
	if len(p.envelope.Signatures) != 1 {
		return nil, errors.New("the bundle's envelope must have one signature")
	}
	if material.Certificate() != nil {
		return trust.certified(b)
	}
	accepted, err := p.acceptedKeys(trust)
	if err != nil {
		return nil, err
	}
	s := Signature{Key: accepted[0].KeyID}
	if s.Time, err = trust.certify.timeOf(b, accepted[0].Public); err != nil {
		return nil, err
	}
	s.Proven = !s.Time.IsZero()
	return []Signature{s}, nil
}

func (p *parsed) signedByKeys(trust *Trust) ([]Signature, error) {
	accepted, err := p.acceptedKeys(trust)
	if err != nil {
		return nil, err
	}
	keys := map[string]bool{}
	for _, a := range accepted {
		keys[a.KeyID] = true
	}
	signatures := make([]Signature, 0, len(keys))
	for _, key := range slices.Sorted(maps.Keys(keys)) {
		signatures = append(signatures, Signature{Key: key})
	}
	return signatures, nil
}

// acceptedKeys gives the trusted keys that have signed the envelope, at least one.
func (p *parsed) acceptedKeys(trust *Trust) ([]dsse.AcceptedKey, error) {
	if trust.keys != nil {
		accepted, err := trust.keys.Verify(context.Background(), p.envelope)
		if err == nil && len(accepted) > 0 {
			return accepted, nil
		}
	}
	return nil, fmt.Errorf("%w: none of its signatures is by a key that is trusted", ErrUntrusted)
}

// earliest gives the first of some times, in UTC.
func earliest(times []time.Time) time.Time {
	return slices.MinFunc(times, time.Time.Compare).UTC()
}
