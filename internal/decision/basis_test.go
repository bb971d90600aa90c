package decision_test

import (
	"fmt"
	"slices"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"pgregory.net/rapid"

	"github.com/interlock-dev/interlock/api/v1alpha1"
	"github.com/interlock-dev/interlock/internal/decision"
)

// approvedBy adds an approval of a subject in the role rso, made some time ago.
func approvedBy(in *decision.Input, person string, age time.Duration, kind v1alpha1.SubjectKind, name, digest string) {
	a := signed(*in, "rso", person)
	a.Name, a.CreationTimestamp = fmt.Sprintf("%s-by-%s", name, person), metav1.NewTime(in.Now.Add(-age))
	a.Spec.Subject = v1alpha1.Subject{Kind: kind, Name: name, Digest: digest}
	in.Approvals = append(slices.Clone(in.Approvals), a)
}

// resting is a model that is cleared on one object of each kind: the assessment "may" that rules out CBRN-3, evidence for
// Safeguard a, a waiver of Safeguard b, and approvals by Rhea of all that is asked for.
func resting() decision.Input {
	var rules []v1alpha1.ApprovalRule
	for _, kind := range []v1alpha1.SubjectKind{v1alpha1.SubjectAssessment, v1alpha1.SubjectWaiver, v1alpha1.SubjectDecision} {
		rules = append(rules, approvalRule(kind))
	}
	in := decided(role("rso", rules...))
	for i := range in.Policy.Spec.Levels {
		in.Policy.Spec.Levels[i].LongestWaiver = &metav1.Duration{Duration: 24 * time.Hour}
	}
	in.Policy.Spec.Thresholds = []v1alpha1.Threshold{{Name: "CBRN-3", Demands: []v1alpha1.ThresholdDemand{{Axis: v1alpha1.AxisSecurity, Level: "ASL-3"}}}}
	in.Model.Spec.AssessedLevel, in.Model.Spec.Model.Digest = "ASL-3", weights(1)
	for name, age := range map[string]int{"may": 1, "april": 30} {
		a := filed(name, in.Now.AddDate(0, 0, -age), "CBRN-3 RuledOut")
		a.Annotations = map[string]string{v1alpha1.EditedByAnnotation: "eve"}
		in.Assessments = append(in.Assessments, a)
		approvedBy(&in, "rhea", time.Hour, v1alpha1.SubjectAssessment, name, decision.DigestOfAssessment(&a))
	}
	shown := inPlace()
	shown.Evidence = []decision.Object{{Kind: "Attestation", Namespace: "serving", Name: "report", Digest: weights(7)}}
	unneeded := broken(v1alpha1.SafeguardMissing, "no b", "get b")
	unneeded.Evidence = []decision.Object{{Kind: "Attestation", Namespace: "serving", Name: "failed", Digest: weights(8)}}
	in.Findings = map[string]decision.Finding{"a": shown, "b": unneeded}
	for name, left := range map[string]time.Duration{"w": time.Hour, "longer": 2 * time.Hour} {
		w := waiverOf(name, time.Minute, left, "b")
		in.Waivers = append(in.Waivers, *w)
		approvedBy(&in, "rhea", time.Hour, v1alpha1.SubjectWaiver, name, decision.DigestOfWaiver(w))
	}
	approvedBy(&in, "rhea", time.Hour, v1alpha1.SubjectDecision, "opus", decision.Decide(in).DecisionDigest)
	return in
}

func basisOf(in decision.Input) []string {
	var names []string
	for _, o := range decision.Basis(in, decision.Decide(in)) {
		names = append(names, fmt.Sprintf("%s %s/%s", o.Kind, o.Namespace, o.Name))
		if o.Digest == "" {
			names = append(names, "without a digest")
		}
	}
	return names
}

func TestBasis(t *testing.T) {
	all := []string{
		"Approval serving/may-by-rhea", "Approval serving/opus-by-rhea", "Approval serving/w-by-rhea",
		"Attestation serving/report", "CapabilityAssessment /may", "Waiver serving/w"}
	without := func(names ...string) []string {
		return slices.DeleteFunc(slices.Clone(all), func(n string) bool { return slices.Contains(names, n) })
	}
	for name, tc := range map[string]struct {
		change func(*decision.Input)
		want   []string
		held   bool
	}{
		"all that decides, and nothing else": {func(*decision.Input) {}, all, false},
		"an approval more, with a name that comes before": {func(in *decision.Input) {
			approvedBy(in, "abe", time.Minute, v1alpha1.SubjectDecision, "opus", decision.Decide(*in).DecisionDigest)
		}, all, false},
		"approvals that lack another": {func(in *decision.Input) {
			in.Policy.Spec.SignOffs[0].Approves[2].People = new(int32(2))
			approvedBy(in, "rhea", time.Hour, v1alpha1.SubjectDecision, "opus", decision.Decide(*in).DecisionDigest)
		}, without("Approval serving/opus-by-rhea"), true},
		"a waiver that has ended": {func(in *decision.Input) { in.Now = in.Now.Add(3 * time.Hour) },
			append(without("Waiver serving/w", "Approval serving/w-by-rhea"), "Attestation serving/failed"), true},
		"evidence for what does not hold": {func(in *decision.Input) {
			in.Policy.Spec.Levels[0].Deployment.Safeguards[0].Force = v1alpha1.ForceRecommendation
			approvedBy(in, "rhea", time.Hour, v1alpha1.SubjectDecision, "opus", decision.Decide(*in).DecisionDigest)
		}, without("Attestation serving/report"), false},
		"no policy": {func(in *decision.Input) { in.Policy = nil }, nil, true},
	} {
		t.Run(name, func(t *testing.T) {
			in := resting()
			tc.change(&in)
			slices.Sort(tc.want)
			if diff := cmp.Diff(tc.want, basisOf(in)); diff != "" {
				t.Errorf("-want +got:\n%s", diff)
			}
			if v := decision.Decide(in); v.Cleared() == tc.held {
				t.Error(text(v))
			}
		})
	}
}

// TestBasisIsTheSameWhatever is about what must not write a second record: another order, and approvals, waivers and
// assessments that decide nothing.
func TestBasisIsTheSameWhatever(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		in := resting()
		want := decision.Basis(in, decision.Decide(in))
		for i := range rapid.IntRange(0, 3).Draw(t, "approvals more") {
			approvedBy(&in, oneOf(t, "by", "abe", "rhea", "zoe"), time.Minute, v1alpha1.SubjectDecision, "opus", decision.Decide(in).DecisionDigest)
			in.Approvals[len(in.Approvals)-1].Name = fmt.Sprint(i)
		}
		if rapid.Bool().Draw(t, "an older assessment") {
			in.Assessments = append(in.Assessments, filed("march", in.Now.AddDate(0, -2, 0), "CBRN-3 RuledOut"))
		}
		in.Approvals, in.Waivers, in.Assessments = shuffled(t, in.Approvals), shuffled(t, in.Waivers), shuffled(t, in.Assessments)
		if diff := cmp.Diff(want, decision.Basis(in, decision.Decide(in))); diff != "" {
			t.Fatalf("-before +after:\n%s", diff)
		}
	})
}
