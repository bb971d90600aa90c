package diff_test

import (
	"testing"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/interlock-dev/interlock/api/v1alpha1"
	"github.com/interlock-dev/interlock/internal/diff"
)

func TestDiffOfASigner(t *testing.T) {
	at := func(day int) *metav1.Time { return &metav1.Time{Time: time.Date(2026, 1, day, 0, 0, 0, 0, time.UTC)} }
	revoked := func(reason v1alpha1.RevocationReason, when *metav1.Time) *v1alpha1.Revocation {
		return &v1alpha1.Revocation{Reason: reason, At: when}
	}
	for name, tc := range map[string]struct {
		before, after v1alpha1.Signer
		want          []diff.Effect
	}{
		"the same":            {v1alpha1.Signer{Key: "a"}, v1alpha1.Signer{Key: "a\n"}, nil},
		"another key":         {v1alpha1.Signer{Key: "a"}, v1alpha1.Signer{Key: "b"}, []diff.Effect{diff.Weakens, diff.Strengthens}},
		"a later beginning":   {v1alpha1.Signer{Key: "a"}, v1alpha1.Signer{Key: "a", NotBefore: at(1)}, []diff.Effect{diff.Strengthens}},
		"a later end":         {v1alpha1.Signer{Key: "a", NotAfter: at(1)}, v1alpha1.Signer{Key: "a", NotAfter: at(2)}, []diff.Effect{diff.Weakens}},
		"retired":             {v1alpha1.Signer{Key: "a"}, v1alpha1.Signer{Key: "a", Revoked: revoked("Retired", at(1))}, []diff.Effect{diff.Strengthens}},
		"found compromised":   {v1alpha1.Signer{Key: "a", Revoked: revoked("Retired", at(1))}, v1alpha1.Signer{Key: "a", Revoked: revoked("Compromised", nil)}, []diff.Effect{diff.Strengthens}},
		"trusted again":       {v1alpha1.Signer{Key: "a", Revoked: revoked("Compromised", nil)}, v1alpha1.Signer{Key: "a"}, []diff.Effect{diff.Weakens}},
		"a period that moved": {v1alpha1.Signer{Key: "a", NotBefore: at(1), NotAfter: at(2)}, v1alpha1.Signer{Key: "a", NotBefore: at(3), NotAfter: at(4)}, []diff.Effect{diff.Weakens, diff.Strengthens}},
	} {
		t.Run(name, func(t *testing.T) {
			of := func(s v1alpha1.Signer) diff.Framework {
				f := compared()
				s.Name = "policy-team"
				f.Policy.Spec.Trust = &v1alpha1.Trust{Signers: []v1alpha1.Signer{s}}
				return f
			}
			changes := diff.Compare(of(tc.before), of(tc.after))
			var got []diff.Effect
			for _, c := range changes {
				if c.What != diff.SubjectTrust {
					t.Errorf("%+v", c)
				}
				got = append(got, c.Effect)
			}
			if len(got) != len(tc.want) {
				t.Fatalf("Diff = %+v, want %v", changes, tc.want)
			}
			for i := range got {
				if got[i] != tc.want[i] {
					t.Errorf("Diff = %+v, want %v", changes, tc.want)
				}
			}
		})
	}
}
