package diff

import (
	"fmt"
	"math"
	"slices"
	"strings"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/interlock-dev/interlock/api/v1alpha1"
	"github.com/interlock-dev/interlock/internal/decision"
)

// trusted is what a policy says of one signer; nothing, if it says nothing.
type trusted struct {
	credential string
	// from and until are when signatures count, in seconds.
	from, until int64
}

func (t trusted) String() string {
	if t.credential == "" {
		return "nobody"
	}
	words := []string{t.credential}
	if t.from != math.MinInt64 {
		words = append(words, "from "+stamp(t.from))
	}
	switch t.until {
	case math.MaxInt64:
	case math.MinInt64:
		words = append(words, "never, since it is compromised")
	default:
		words = append(words, "until "+stamp(t.until))
	}
	return strings.Join(words, " ")
}

// trustOf gives the signers of a policy by name.
func trustOf(policy *v1alpha1.ScalingPolicy) map[string]trusted {
	signers := map[string]trusted{}
	if policy.Spec.Trust == nil {
		return signers
	}
	for i := range policy.Spec.Trust.Signers {
		s := &policy.Spec.Trust.Signers[i]
		t := trusted{credential: "key " + decision.DigestOfText(strings.TrimSpace(s.Key)), from: seconds(s.NotBefore, math.MinInt64), until: seconds(s.NotAfter, math.MaxInt64)}
		if k := s.Keyless; k != nil {
			t.credential = fmt.Sprintf("%s of %s by root %s", k.Identity, k.Issuer, decision.DigestOfText(policy.Spec.Trust.TrustedRoot))
		}
		if s.Revoked != nil {
			t.until = min(t.until, seconds(s.Revoked.At, math.MinInt64))
		}
		signers[s.Name] = t
	}
	return signers
}

// compareTrust lists whose signatures count otherwise than before. It bears on models by the Safeguards that name the
// signer and that hold a model both before and after.
func (d *difference) compareTrust() {
	before, after := trustOf(d.before.Policy), trustOf(d.after.Policy)
	for name := range before {
		if _, ok := after[name]; !ok {
			d.noteTrust(name, before[name], trusted{}, shift{stronger: true})
		}
	}
	for name, is := range after {
		was, ok := before[name]
		switch {
		case !ok:
			d.noteTrust(name, trusted{}, is, shift{weaker: true})
		case was.credential != is.credential:
			d.noteTrust(name, was, is, shift{weaker: true, stronger: true})
		case was != is:
			moved := raised(was.from, is.from)
			moved.add(raised(is.until, was.until))
			d.noteTrust(name, was, is, moved)
		}
	}
}

func (d *difference) noteTrust(name string, was, is trusted, moved shift) {
	why := "when what it signs counts"
	if !d.relies(name) {
		moved, why = shift{}, "no safeguard that holds a model both before and after asks for it"
	}
	d.note(Change{What: SubjectTrust, Where: name, Before: was.String(), After: is.String(), Why: why}, moved)
}

// relies says whether a Safeguard that holds a model both before and after names a signer.
func (d *difference) relies(signer string) bool {
	return slices.ContainsFunc(d.safeguards, func(p pair) bool {
		named := slices.Contains(methodOf(d.before, p.before).believes, signer) || slices.Contains(methodOf(d.after, p.after).believes, signer)
		return named && p.both() && slices.ContainsFunc(d.probes, func(q probe) bool {
			s := q.strictness(p.name())
			return s[0] > 0 && s[1] > 0
		})
	})
}

func seconds(t *metav1.Time, absent int64) int64 {
	if t == nil {
		return absent
	}
	return t.Unix()
}

func stamp(seconds int64) string { return time.Unix(seconds, 0).UTC().Format(time.RFC3339) }
