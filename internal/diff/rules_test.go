package diff_test

import (
	"slices"
	"testing"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/interlock-dev/interlock/api/v1alpha1"
	"github.com/interlock-dev/interlock/internal/diff"
)

// TestDiffOfRules holds how changes of the rules on assessments, of the lease, of how Safeguards are verified and of
// mere words are told and judged.
func TestDiffOfRules(t *testing.T) {
	rename := func(f *diff.Framework, from, to string) {
		f.Safeguards[to] = f.Safeguards[from]
		delete(f.Safeguards, from)
		for i := range f.Policy.Spec.Levels {
			l := &f.Policy.Spec.Levels[i]
			for _, o := range [][]v1alpha1.Obligation{l.Deployment.Safeguards, l.Security.Safeguards} {
				for j := range o {
					if o[j].Safeguard == from {
						o[j].Safeguard = to
					}
				}
			}
		}
	}
	checkDiff(t, map[string]diffCase{
		"a definition": {
			after: func(f *diff.Framework) {
				threshold(f, "CBRN-3").Definition = "cannot do it"
			},
			want: []string{
				"Neutral text CBRN-3: definition: can do it -> cannot do it | outcomes count by the threshold's name: whether the same models reach it is for people to compare",
			},
		},
		"what the API fills in": {
			after: func(f *diff.Framework) {
				f.Policy.Spec.Lease = hours(1)
				f.Policy.Spec.Assessment.Supersession, f.Policy.Spec.Assessment.Stale = v1alpha1.SupersedeNamed, v1alpha1.TreatAsReached
				f.Policy.Spec.Levels[0].Security.Safeguards[0].Force = v1alpha1.ForceBinding
				threshold(f, "R&D-4").Demands[0].Force = v1alpha1.ForceBinding
				f.Policy.Spec.Source.Standing = "Primary"
			},
		},
		"a longer lease": {
			before: func(f *diff.Framework) {
				f.Policy.Spec.Lease = hours(1)
			},
			after: func(f *diff.Framework) {
				f.Policy.Spec.Lease = hours(2)
			},
			want: []string{
				"Weakens lease : 1h0m0s -> 2h0m0s | a clearance lasts this long with nobody to renew it",
			},
		},
		"leases that are the same in whole seconds": {
			before: func(f *diff.Framework) {
				f.Policy.Spec.Lease = &metav1.Duration{Duration: 60 * time.Second}
			},
			after: func(f *diff.Framework) {
				f.Policy.Spec.Lease = &metav1.Duration{Duration: 61 * time.Second}
			},
		},
		"assessments count longer": {
			after: func(f *diff.Framework) {
				f.Policy.Spec.Assessment.MaxAgeMonths = new(int32(12))
			},
			want: []string{
				"Weakens assessment maxAgeMonths: 6 months -> 12 months | for each threshold",
			},
		},
		"assessments count for ever": {
			after: func(f *diff.Framework) {
				f.Policy.Spec.Assessment.MaxAgeMonths = nil
			},
			want: []string{
				"Weakens assessment maxAgeMonths: 6 months -> no limit | for each threshold",
			},
		},
		"growth counts": {
			after: func(f *diff.Framework) {
				f.Policy.Spec.Assessment.MaxComputeFactor = new(int32(4))
			},
			want: []string{
				"Strengthens assessment maxComputeFactor: no limit -> 4 times | for each threshold",
			},
		},
		"no rules at all": {
			after: func(f *diff.Framework) {
				f.Policy.Spec.Assessment = nil
			},
			want: []string{
				"Weakens assessment inconclusive: Hold -> AsReached | for each threshold",
				"Weakens assessment maxAgeMonths: 6 months -> no limit | for each threshold",
			},
		},
		"models are held unassessed": {
			after: func(f *diff.Framework) {
				f.Policy.Spec.Assessment.Unassessed = v1alpha1.TreatHold
			},
			want: []string{
				"Strengthens assessment unassessed: AsReached -> Hold | for each threshold",
			},
		},
		"a treatment that is not known": {
			after: func(f *diff.Framework) {
				f.Policy.Spec.Assessment.Stale = "Ignore"
			},
			want: []string{
				"Strengthens assessment stale: AsReached -> Hold | for each threshold",
			},
		},
		"nothing is superseded": {
			before: func(f *diff.Framework) {
				f.Policy.Spec.Assessment.Supersession = v1alpha1.SupersedeIndependentEvaluator
			},
			after: func(f *diff.Framework) {
				f.Policy.Spec.Assessment.Supersession = v1alpha1.SupersedeNever
			},
			want: []string{
				"Strengthens assessment supersession: IndependentEvaluator -> Never | for each threshold",
			},
		},
		"rules where no threshold leads to anything": {
			before: func(f *diff.Framework) {
				f.Policy.Spec.Assessment = nil
				f.Policy.Spec.Thresholds = f.Policy.Spec.Thresholds[4:]
			},
			after: func(f *diff.Framework) {
				f.Policy.Spec.Assessment = &v1alpha1.AssessmentRules{MaxAgeMonths: new(int32(6))}
				f.Policy.Spec.Thresholds = f.Policy.Spec.Thresholds[4:]
			},
			want: []string{
				"Neutral assessment maxAgeMonths: no limit -> 6 months | no threshold that both policies have leads to anything",
			},
		},
		"rules where no threshold leads to anything but being held": {
			before: func(f *diff.Framework) {
				f.Policy.Spec.Assessment = nil
				f.Policy.Spec.Thresholds = f.Policy.Spec.Thresholds[4:]
			},
			after: func(f *diff.Framework) {
				f.Policy.Spec.Assessment = &v1alpha1.AssessmentRules{MaxAgeMonths: new(int32(6)), Stale: v1alpha1.TreatHold}
				f.Policy.Spec.Thresholds = f.Policy.Spec.Thresholds[4:]
			},
			want: []string{
				"Strengthens assessment maxAgeMonths: no limit -> 6 months | for each threshold",
				"Strengthens assessment stale: AsReached -> Hold | for each threshold",
			},
		},
		"a safeguard's name": {
			after: func(f *diff.Framework) {
				rename(f, "image-pinned", "images-by-digest")
			},
			want: []string{
				"Neutral safeguard image-pinned: image-pinned -> images-by-digest | renamed: it is verified in the same way",
			},
		},
		"a safeguard's name and what it checks": {
			after: func(f *diff.Framework) {
				rename(f, "image-pinned", "images-by-digest")
				change(f, "images-by-digest", func(s *v1alpha1.SafeguardSpec) { s.PodRule.Validations = s.PodRule.Validations[:1] })
			},
			want: []string{
				"Weakens safeguard image-pinned: Binding -> not asked for | of every model",
				"Strengthens safeguard images-by-digest: not asked for -> Binding | of every model",
			},
		},
		"an expression more": {
			after: func(f *diff.Framework) {
				change(f, "classifier", func(s *v1alpha1.SafeguardSpec) {
					s.PodRule.Validations = append(s.PodRule.Validations, v1alpha1.PodValidation{Expression: "true", Message: "m"})
				})
			},
			want: []string{
				"Strengthens verification classifier:  -> pods meet true | what passed may be refused",
				"Neutral text classifier: messages: it is not so -> it is not so; m | it holds no model",
			},
		},
		"an expression less": {
			after: func(f *diff.Framework) {
				change(f, "image-pinned", func(s *v1alpha1.SafeguardSpec) { s.PodRule.Validations = s.PodRule.Validations[1:] })
			},
			want: []string{
				`Weakens verification image-pinned: pods meet object.spec.containers.all(c, c.image.contains("@sha256:")) ->  | what it refused may pass`,
				"Neutral text image-pinned: messages: it is not so; it is not so -> it is not so | it holds no model",
			},
		},
		"an expression by another": {
			after: func(f *diff.Framework) {
				change(f, "classifier", func(s *v1alpha1.SafeguardSpec) { s.PodRule.Validations[0].Expression = "true" })
			},
			want: []string{
				"Weakens verification classifier: pods meet object.spec.containers.exists(c, c.name == 'guard') ->  | what it refused may pass",
				"Strengthens verification classifier:  -> pods meet true | what passed may be refused",
			},
		},
		"expressions in another order and layout": {
			after: func(f *diff.Framework) {
				change(f, "image-pinned", func(s *v1alpha1.SafeguardSpec) {
					slices.Reverse(s.PodRule.Validations)
					s.PodRule.Validations[1].Expression = "object.spec.containers.all(c,\n    c.image.contains(\"@sha256:\"))\n"
				})
			},
		},
		"another layout where that takes more than a glance": {
			before: func(f *diff.Framework) {
				change(f, "classifier", func(s *v1alpha1.SafeguardSpec) {
					s.PodRule.Validations[0].Expression = "true || // false &&\nfalse"
				})
			},
			after: func(f *diff.Framework) {
				change(f, "classifier", func(s *v1alpha1.SafeguardSpec) {
					s.PodRule.Validations[0].Expression = "true || // false && false"
				})
			},
			want: []string{
				"Weakens verification classifier: pods meet true || // false && false ->  | what it refused may pass",
				"Strengthens verification classifier:  -> pods meet true || // false && false | what passed may be refused",
			},
		},
		"a policy where there was none": {
			before: func(f *diff.Framework) {
				f.Policy = nil
			},
			want: []string{
				"Weakens policy : no such policy -> rsp | a policy that does not exist holds every model",
			},
		},
		"a space in a text of an expression": {
			after: func(f *diff.Framework) {
				change(f, "classifier", func(s *v1alpha1.SafeguardSpec) {
					s.PodRule.Validations[0].Expression = "object.spec.containers.exists(c, c.name == 'guard ')"
				})
			},
			want: []string{
				"Weakens verification classifier: pods meet object.spec.containers.exists(c, c.name == 'guard') ->  | what it refused may pass",
				"Strengthens verification classifier:  -> pods meet object.spec.containers.exists(c, c.name == 'guard ') | what passed may be refused",
			},
		},
		"a range more": {
			after: func(f *diff.Framework) {
				change(f, "egress-closed", func(s *v1alpha1.SafeguardSpec) {
					s.Resource.Egress.AllowedCIDRs = []string{"192.0.2.0/24", "10.0.0.0/8"}
				})
			},
			want: []string{
				"Weakens verification egress-closed:  -> 192.0.2.0/24 | traffic there is allowed",
			},
		},
		"a range less": {
			after: func(f *diff.Framework) {
				change(f, "egress-closed", func(s *v1alpha1.SafeguardSpec) { s.Resource.Egress.AllowedCIDRs = nil })
			},
			want: []string{
				"Strengthens verification egress-closed: 10.0.0.0/8 ->  | traffic there is no longer allowed",
			},
		},
		"another method": {
			after: func(f *diff.Framework) {
				change(f, "egress-closed", func(s *v1alpha1.SafeguardSpec) {
					s.Resource, s.Evidence = nil, &v1alpha1.EvidenceRule{PredicateType: "urn:egress", Issuer: "network team"}
				})
			},
			want: []string{
				"Weakens verification egress-closed: egress is closed but for what is allowed ->  | what it refused may pass",
				"Strengthens verification egress-closed:  -> statement urn:egress by network team | what passed may be refused",
			},
		},
		"evidence that may be older": {
			after: func(f *diff.Framework) {
				change(f, "usage-policy", func(s *v1alpha1.SafeguardSpec) { s.Evidence.MaxAgeDays = nil })
			},
			want: []string{
				"Weakens verification usage-policy: 180 days -> no limit | how old the statement may be",
			},
		},
		"evidence by others": {
			after: func(f *diff.Framework) {
				change(f, "usage-policy", func(s *v1alpha1.SafeguardSpec) { s.Evidence.Issuer = "anybody" })
			},
			want: []string{
				"Weakens verification usage-policy: statement urn:usage by policy team ->  | what it refused may pass",
				"Strengthens verification usage-policy:  -> statement urn:usage by anybody | what passed may be refused",
			},
		},
		"evidence by more signers": {
			after: func(f *diff.Framework) {
				change(f, "usage-policy", func(s *v1alpha1.SafeguardSpec) { s.Evidence.Signers = []string{"policy-team", "sales"} })
			},
			want: []string{
				"Weakens verification usage-policy:  -> sales | what they sign counts",
			},
		},
		"evidence by two": {
			after: func(f *diff.Framework) {
				change(f, "usage-policy", func(s *v1alpha1.SafeguardSpec) { s.Evidence.Threshold = 2 })
			},
			want: []string{
				"Strengthens verification usage-policy: 1 signers -> 2 signers | how many must have signed",
			},
		},
		"evidence about something else": {
			after: func(f *diff.Framework) {
				change(f, "usage-policy", func(s *v1alpha1.SafeguardSpec) { s.Evidence.Binding = v1alpha1.BindEnvironment })
			},
			want: []string{
				"Weakens verification usage-policy: statement urn:usage by policy team ->  | what it refused may pass",
				"Strengthens verification usage-policy:  -> statement urn:usage about the environment by policy team | what passed may be refused",
			},
		},
		"evidence on a condition": {
			after: func(f *diff.Framework) {
				change(f, "usage-policy", func(s *v1alpha1.SafeguardSpec) { s.Evidence.Condition = "predicate.score > 0.9" })
			},
			want: []string{
				"Strengthens verification usage-policy:  -> the statement meets predicate.score > 0.9 | what passed may be refused",
			},
		},
		"a signer more": {
			after: func(f *diff.Framework) {
				f.Policy.Spec.Trust = &v1alpha1.Trust{Signers: []v1alpha1.Signer{{Name: "policy-team", Keyless: &v1alpha1.KeylessIdentity{Issuer: "i", Identity: "j"}}}}
			},
			want: []string{
				"Weakens trust policy-team: nobody -> j of i by root sha256:e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855 | when what it signs counts",
			},
		},
		"a signer that no safeguard names": {
			after: func(f *diff.Framework) {
				f.Policy.Spec.Trust = &v1alpha1.Trust{Signers: []v1alpha1.Signer{{Name: "sales", Keyless: &v1alpha1.KeylessIdentity{Issuer: "i", Identity: "j"}}}}
			},
			want: []string{
				"Neutral trust sales: nobody -> j of i by root sha256:e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855 | no safeguard that holds a model both before and after asks for it",
			},
		},
		"a safeguard that does not exist any more": {
			after: func(f *diff.Framework) {
				delete(f.Safeguards, "classifier")
			},
			want: []string{
				"Strengthens verification classifier: pods meet object.spec.containers.exists(c, c.name == 'guard') -> cannot be verified, which holds | nothing can clear the models that need it",
			},
		},
		"a method of a safeguard that holds nobody": {
			after: func(f *diff.Framework) {
				change(f, "vetting", func(s *v1alpha1.SafeguardSpec) { s.Evidence.Issuer = "anybody" })
			},
			want: []string{
				"Neutral verification vetting:  -> statement urn:vetting by anybody | it holds no model both before and after",
				"Neutral verification vetting: statement urn:vetting by trust team ->  | it holds no model both before and after",
			},
		},
		"a safeguard that no policy names": {
			after: func(f *diff.Framework) {
				f.Safeguards["other"] = v1alpha1.SafeguardSpec{Title: "other"}
			},
		},
		"wording": {
			after: func(f *diff.Framework) {
				f.Policy.Spec.Title, f.Policy.Spec.Source.Version = "RSP, second edition", "2"
				f.Policy.Spec.ReplacementsPerMinute = new(int32(0))
				f.Policy.Spec.SignOffs = []v1alpha1.SignOff{{Role: "RSO", Purpose: "approves"}}
				f.Policy.Spec.Changelog = []v1alpha1.ChangelogEntry{{Version: "2", Date: "2026-05-14", Summary: "reworded"}}
				f.Policy.Spec.Levels[2].Security.Unspecified = "still not written"
				f.Policy.Spec.Levels[0].Security.Safeguards[0].Source = &v1alpha1.Source{Document: "RSP", Section: "4.2"}
				threshold(f, "Watched").Domain = "Elections"
				change(f, "classifier", func(s *v1alpha1.SafeguardSpec) {
					s.Title, s.Remedy, s.PodRule.Validations[0].Message = "guard", "add the guard", "no guard"
				})
			},
			want: []string{
				"Neutral text ASL-2 Security: source of image-pinned:  -> RSP, 4.2 | it holds no model",
				"Neutral text ASL-4 Security: why it is left open: not written yet -> still not written | it holds no model",
				"Neutral text Watched: domain: CBRN -> Elections | it holds no model",
				"Neutral text changelog of 2, 2026-05-14:  -> reworded | it holds no model",
				"Neutral text classifier: messages: it is not so -> no guard | it holds no model",
				"Neutral text classifier: remedy: mend it -> add the guard | it holds no model",
				"Neutral text classifier: title: pods -> guard | it holds no model",
				"Neutral text replacements a minute: 6 -> 0 | it holds no model",
				"Neutral text sign-off of RSO:  -> approves | it holds no model",
				"Neutral text source:  -> 2 | it holds no model",
				"Neutral text title: RSP -> RSP, second edition | it holds no model",
			},
		},
		"no policy at all": {
			after: func(f *diff.Framework) {
				f.Policy = nil
			},
			want: []string{
				"Strengthens policy : rsp -> no such policy | a policy that does not exist holds every model",
			},
		},
	})
}
