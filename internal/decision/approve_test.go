package decision_test

import (
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"pgregory.net/rapid"

	"github.com/interlock-dev/interlock/api/v1alpha1"
	"github.com/interlock-dev/interlock/internal/decision"
	"github.com/interlock-dev/interlock/internal/testing/builder"
)

const shared = "interlock-system"

func approvalRule(kind v1alpha1.SubjectKind) v1alpha1.ApprovalRule {
	return v1alpha1.ApprovalRule{Kind: kind}
}

func people(n int32, rule v1alpha1.ApprovalRule) v1alpha1.ApprovalRule {
	rule.People = &n
	return rule
}

func signedOffBy(policy *v1alpha1.ScalingPolicy, role string, rules ...v1alpha1.ApprovalRule) *v1alpha1.ScalingPolicy {
	policy.Spec.SignOffs = append(policy.Spec.SignOffs, v1alpha1.SignOff{Role: "Role " + role, Purpose: "tests", ApproverRole: role, Approves: rules})
	return policy
}

// decided is a model that has all it needs but the approval of the decision to serve it, which Ann declared and Ben last
// changed.
func decided(rules ...v1alpha1.SignOff) decision.Input {
	policy := newPolicy(newLevel("ASL-2", asks(binding("a")), nothing()), newLevel("ASL-3", nothing(), asks(binding("b"))))
	policy.Spec.SignOffs = rules
	in := input(policy, newModel("ASL-2"), map[string]decision.Finding{"a": inPlace(), "b": inPlace()})
	in.Model.Annotations = map[string]string{v1alpha1.CreatedByAnnotation: "ann", v1alpha1.EditedByAnnotation: "ben"}
	in.SharedNamespace = shared
	return in
}

func role(name string, rules ...v1alpha1.ApprovalRule) v1alpha1.SignOff {
	return v1alpha1.SignOff{Role: "Role " + name, Purpose: "tests", ApproverRole: name, Approves: rules}
}

// signed is an approval of the decision on a model, as it is now.
func signed(in decision.Input, role, by string) v1alpha1.Approval {
	a := builder.Approval(in.Model.Namespace, role+"-by-"+by).Role(role).
		Of(v1alpha1.SubjectDecision, in.Model.Name, decision.Decide(in).DecisionDigest).By(by).Build()
	a.CreationTimestamp = metav1.NewTime(in.Now.Add(-time.Minute))
	return *a
}

// TestApprovals is about which approvals count for a decision in which the officer rso has a say.
func TestApprovals(t *testing.T) {
	ofDecision := approvalRule(v1alpha1.SubjectDecision)
	noticed := ofDecision
	noticed.NoticeTo = []string{"Board of Directors"}
	from3 := ofDecision
	from3.FromLevel = "ASL-3"
	change := func(f func(*v1alpha1.Approval)) func(decision.Input) []v1alpha1.Approval {
		return func(in decision.Input) []v1alpha1.Approval {
			a := signed(in, "rso", "rhea")
			f(&a)
			return []v1alpha1.Approval{a}
		}
	}
	by := func(roleAndPerson ...string) func(decision.Input) []v1alpha1.Approval {
		return func(in decision.Input) []v1alpha1.Approval {
			var all []v1alpha1.Approval
			for i := 0; i < len(roleAndPerson); i += 2 {
				all = append(all, signed(in, roleAndPerson[i], roleAndPerson[i+1]))
			}
			return all
		}
	}
	for name, tc := range map[string]struct {
		signOffs  []v1alpha1.SignOff
		approvals func(decision.Input) []v1alpha1.Approval
		then      func(*decision.Input) // happens after the approvals were made
		approvers []string              // of all roles
		says      string
		holds     bool
	}{
		"for the reader":           {signOffs: []v1alpha1.SignOff{{Role: "Board", Purpose: "is told"}}},
		"nobody":                   {signOffs: []v1alpha1.SignOff{role("rso", ofDecision)}, holds: true},
		"one":                      {signOffs: []v1alpha1.SignOff{role("rso", ofDecision)}, approvals: by("rso", "rhea"), approvers: []string{"rhea"}},
		"another role":             {signOffs: []v1alpha1.SignOff{role("rso", ofDecision)}, approvals: by("ceo", "rhea"), holds: true},
		"who declared the model":   {signOffs: []v1alpha1.SignOff{role("rso", ofDecision)}, approvals: by("rso", "ann"), holds: true, says: "somebody else must approve"},
		"who last changed it":      {signOffs: []v1alpha1.SignOff{role("rso", ofDecision)}, approvals: by("rso", "ben"), holds: true, says: "somebody else must approve"},
		"two, of whom one wrote":   {signOffs: []v1alpha1.SignOff{role("rso", ofDecision)}, approvals: by("rso", "ben", "rso", "rhea"), approvers: []string{"rhea"}},
		"one of two":               {signOffs: []v1alpha1.SignOff{role("rso", people(2, ofDecision))}, approvals: by("rso", "rhea"), approvers: []string{"rhea"}, holds: true},
		"the same twice":           {signOffs: []v1alpha1.SignOff{role("rso", people(2, ofDecision))}, approvals: by("rso", "rhea", "rso", "rhea"), approvers: []string{"rhea"}, holds: true},
		"two of two":               {signOffs: []v1alpha1.SignOff{role("rso", people(2, ofDecision))}, approvals: by("rso", "rhea", "rso", "cleo"), approvers: []string{"cleo", "rhea"}},
		"zero people is one":       {signOffs: []v1alpha1.SignOff{role("rso", people(0, ofDecision))}, holds: true},
		"one person in two roles":  {signOffs: []v1alpha1.SignOff{role("ceo", ofDecision), role("rso", ofDecision)}, approvals: by("ceo", "rhea", "rso", "rhea"), approvers: []string{"rhea"}, holds: true},
		"two people in two roles":  {signOffs: []v1alpha1.SignOff{role("ceo", ofDecision), role("rso", ofDecision)}, approvals: by("ceo", "rhea", "rso", "rhea", "ceo", "cleo"), approvers: []string{"cleo", "rhea"}},
		"below the level":          {signOffs: []v1alpha1.SignOff{role("rso", from3)}},
		"at the level":             {signOffs: []v1alpha1.SignOff{role("rso", from3)}, then: func(in *decision.Input) { in.Model.Spec.AssessedLevel = "ASL-3" }, holds: true},
		"without notice":           {signOffs: []v1alpha1.SignOff{role("rso", noticed)}, approvals: by("rso", "rhea"), holds: true, says: "notice was given to Board of Directors"},
		"with notice":              {signOffs: []v1alpha1.SignOff{role("rso", noticed)}, approvals: change(func(a *v1alpha1.Approval) { a.Spec.NoticeGivenTo = []string{"LTBT", "Board of Directors"} }), approvers: []string{"rhea"}},
		"another namespace":        {signOffs: []v1alpha1.SignOff{role("rso", ofDecision)}, approvals: change(func(a *v1alpha1.Approval) { a.Namespace = "other" }), holds: true},
		"the namespace for all":    {signOffs: []v1alpha1.SignOff{role("rso", ofDecision)}, approvals: change(func(a *v1alpha1.Approval) { a.Namespace = shared }), holds: true},
		"another model":            {signOffs: []v1alpha1.SignOff{role("rso", ofDecision)}, approvals: change(func(a *v1alpha1.Approval) { a.Spec.Subject.Name = "haiku" }), holds: true},
		"a Waiver of that name":    {signOffs: []v1alpha1.SignOff{role("rso", ofDecision)}, approvals: change(func(a *v1alpha1.Approval) { a.Spec.Subject.Kind = v1alpha1.SubjectWaiver }), holds: true},
		"another digest":           {signOffs: []v1alpha1.SignOff{role("rso", ofDecision)}, approvals: change(func(a *v1alpha1.Approval) { a.Spec.Subject.Digest = builder.Digest }), holds: true, says: "another digest"},
		"nobody is named":          {signOffs: []v1alpha1.SignOff{role("rso", ofDecision)}, approvals: change(func(a *v1alpha1.Approval) { a.Spec.Approver = nil }), holds: true, says: "does not say who"},
		"without a credential":     {signOffs: []v1alpha1.SignOff{role("rso", ofDecision)}, approvals: change(func(a *v1alpha1.Approval) { a.Spec.Approver.Credential = "" }), holds: true, says: "does not say who"},
		"not made yet":             {signOffs: []v1alpha1.SignOff{role("rso", ofDecision)}, approvals: change(func(a *v1alpha1.Approval) { a.CreationTimestamp = metav1.NewTime(now.Add(time.Second)) }), holds: true},
		"being withdrawn":          {signOffs: []v1alpha1.SignOff{role("rso", ofDecision)}, approvals: change(func(a *v1alpha1.Approval) { a.DeletionTimestamp = &metav1.Time{Time: now} }), holds: true},
		"the model is another":     {signOffs: []v1alpha1.SignOff{role("rso", ofDecision)}, approvals: by("rso", "rhea"), then: func(in *decision.Input) { in.Model.Spec.Model.Digest = builder.Digest }, holds: true, says: "another digest"},
		"another audience":         {signOffs: []v1alpha1.SignOff{role("rso", ofDecision)}, approvals: by("rso", "rhea"), then: func(in *decision.Input) { in.Model.Spec.Audience = v1alpha1.AudienceInternal }, holds: true},
		"another level":            {signOffs: []v1alpha1.SignOff{role("rso", ofDecision)}, approvals: by("rso", "rhea"), then: func(in *decision.Input) { in.Model.Spec.AssessedLevel = "ASL-3" }, holds: true},
		"a Safeguard asks another": {signOffs: []v1alpha1.SignOff{role("rso", ofDecision)}, approvals: by("rso", "rhea"), then: func(in *decision.Input) { in.Specs = map[string]string{"a": "sha256:other"} }, holds: true},
		"what was found is other": {signOffs: []v1alpha1.SignOff{role("rso", ofDecision)}, approvals: by("rso", "rhea"), approvers: []string{"rhea"},
			then: func(in *decision.Input) {
				in.Findings = map[string]decision.Finding{"a": until(inPlace(), now.Add(time.Minute))}
			}},
		"who wrote it is unknown": {signOffs: []v1alpha1.SignOff{role("rso", ofDecision)}, approvals: by("rso", "rhea"), holds: true, says: "who wrote the subject is not known",
			then: func(in *decision.Input) { in.Model.Annotations[v1alpha1.EditedByAnnotation] = "" }},
	} {
		t.Run(name, func(t *testing.T) {
			in := decided(tc.signOffs...)
			if tc.approvals != nil {
				in.Approvals = tc.approvals(in)
			}
			if tc.then != nil {
				tc.then(&in)
			}
			v := decision.Decide(in)
			if held := v.Reason == v1alpha1.ReasonNotApproved; held != tc.holds || v.Cleared() == held {
				t.Errorf("held %v, want %v: %s", held, tc.holds, text(v))
			}
			var approvers []string
			said := ""
			for _, s := range v.SignOffs {
				approvers, said = append(approvers, s.Approvers...), said+s.Message
				if lacks := len(s.Approvers) < int(s.People); lacks != (s.Remedy != "") {
					t.Errorf("remedy %q of %v", s.Remedy, s)
				}
			}
			slices.Sort(approvers)
			if diff := cmp.Diff(tc.approvers, approvers); diff != "" {
				t.Errorf("approvers (-want +got):\n%s", diff)
			}
			if !strings.Contains(said, tc.says) {
				t.Errorf("says %q, want %q", said, tc.says)
			}
		})
	}
}

func TestApproveCommand(t *testing.T) {
	rule := approvalRule(v1alpha1.SubjectDecision)
	rule.NoticeTo = []string{"Board of O'Neill; $(reboot) `x`\n\"\\n"}
	in := decided(role("rso", rule))
	v := decision.Decide(in)
	want := `printf %s '{"apiVersion":"interlock.dev/v1alpha1","kind":"Approval","metadata":{"generateName":"rso-","namespace":"serving"},` +
		`"spec":{"noticeGivenTo":["Board of O'\''Neill; $(reboot) ` + "`x`" + `\n\"\\n"],"role":"rso",` +
		`"subject":{"kind":"ModelDeployment","name":"opus","digest":"` + v.DecisionDigest + `"}}}' | kubectl create -f -`
	if diff := cmp.Diff(want, v.SignOffs[0].Remedy); diff != "" {
		t.Errorf("-want +got:\n%s", diff)
	}
}

// TestAssessmentsUnapproved is about what an assessment says that nobody has approved: nothing that loosens.
func TestAssessmentsUnapproved(t *testing.T) {
	assessed := func(name string, outcome v1alpha1.AssessmentOutcome, age time.Duration, supersedes ...string) v1alpha1.CapabilityAssessment {
		a := builder.Assessment(name, now.Add(-age)).Digests(builder.Digest).Outcome(outcome, "CBRN-3").Build()
		a.Spec.Supersedes = supersedes
		a.Annotations = map[string]string{v1alpha1.EditedByAnnotation: "eve"}
		return *a
	}
	clears, danger := assessed("clear", v1alpha1.AssessmentRuledOut, time.Hour), assessed("danger", v1alpha1.AssessmentReached, 2*time.Hour)
	superseding := assessed("superseding", v1alpha1.AssessmentRuledOut, time.Minute, "danger")
	of := func(a v1alpha1.CapabilityAssessment, namespace, by string) v1alpha1.Approval {
		return *builder.Approval(namespace, "x").Role("rso").Of(v1alpha1.SubjectAssessment, a.Name, decision.DigestOfAssessment(&a)).By(by).Build()
	}
	rewritten := assessed("clear", v1alpha1.AssessmentRuledOut, time.Minute)
	for name, tc := range map[string]struct {
		filed     []v1alpha1.CapabilityAssessment
		approvals []v1alpha1.Approval
		want      string
	}{
		"not approved":                   {filed: []v1alpha1.CapabilityAssessment{clears}, want: "Unapproved"},
		"approved":                       {filed: []v1alpha1.CapabilityAssessment{clears}, approvals: []v1alpha1.Approval{of(clears, "serving", "rhea")}, want: "RuledOut"},
		"approved where all is":          {filed: []v1alpha1.CapabilityAssessment{clears}, approvals: []v1alpha1.Approval{of(clears, shared, "rhea")}, want: "RuledOut"},
		"approved elsewhere":             {filed: []v1alpha1.CapabilityAssessment{clears}, approvals: []v1alpha1.Approval{of(clears, "other", "rhea")}, want: "Unapproved"},
		"approved by the evaluator":      {filed: []v1alpha1.CapabilityAssessment{clears}, approvals: []v1alpha1.Approval{of(clears, "serving", "eve")}, want: "Unapproved"},
		"approved, and written anew":     {filed: []v1alpha1.CapabilityAssessment{rewritten}, approvals: []v1alpha1.Approval{of(clears, "serving", "rhea")}, want: "Unapproved"},
		"danger counts at once":          {filed: []v1alpha1.CapabilityAssessment{clears, danger}, approvals: []v1alpha1.Approval{of(clears, "serving", "rhea")}, want: "Reached"},
		"supersedes nothing":             {filed: []v1alpha1.CapabilityAssessment{danger, superseding}, want: "Reached"},
		"supersedes once it is approved": {filed: []v1alpha1.CapabilityAssessment{danger, superseding}, approvals: []v1alpha1.Approval{of(superseding, "serving", "rhea")}, want: "RuledOut"},
	} {
		t.Run(name, func(t *testing.T) {
			in := decided(role("rso", approvalRule(v1alpha1.SubjectAssessment)))
			in.Policy.Spec.Thresholds = []v1alpha1.Threshold{{Name: "CBRN-3", Demands: []v1alpha1.ThresholdDemand{{Axis: v1alpha1.AxisSecurity, Level: "ASL-3"}}}}
			in.Model.Spec.Model.Digest = builder.Digest
			in.Assessments, in.Approvals = tc.filed, tc.approvals
			v := decision.Decide(in)
			if got := string(v.Thresholds[0].State); got != tc.want {
				t.Errorf("%s, want %s", got, tc.want)
			}
			if wantLevel := map[bool]string{true: "ASL-2", false: "ASL-3"}[tc.want == "RuledOut"]; v.SecurityLevel != wantLevel {
				t.Errorf("asked for %s, want %s", v.SecurityLevel, wantLevel)
			}
		})
	}
}

func TestPolicyApproved(t *testing.T) {
	for name, tc := range map[string]struct {
		digest, namespace string
		authors           []string
		cleared           bool
	}{
		"its digest":            {digest: builder.Digest, namespace: "serving", authors: []string{"sam"}, cleared: true},
		"where all is approved": {digest: builder.Digest, namespace: shared, authors: []string{"sam"}, cleared: true},
		"another digest":        {digest: "sha256:other", namespace: "serving", authors: []string{"sam"}},
		"no digest is known":    {digest: "", namespace: "serving", authors: []string{"sam"}},
		"by who wrote a part":   {digest: builder.Digest, namespace: "serving", authors: []string{"sam", "rhea"}},
		"a part is anybody's":   {digest: builder.Digest, namespace: "serving", authors: []string{"sam", ""}},
		"nobody is known":       {digest: builder.Digest, namespace: "serving"},
	} {
		t.Run(name, func(t *testing.T) {
			in := decided(role("rso", approvalRule(v1alpha1.SubjectPolicy)))
			in.PolicyDigest, in.PolicyAuthors = tc.digest, tc.authors
			in.Approvals = []v1alpha1.Approval{*builder.Approval(tc.namespace, "x").Role("rso").Of(v1alpha1.SubjectPolicy, "rsp-v2.2", builder.Digest).By("rhea").Build()}
			if v := decision.Decide(in); v.Cleared() != tc.cleared {
				t.Error(text(v))
			}
		})
	}
}

// TestRiskReportApproved is about the report that was filed last of those that cover the model: older ones are not fallen
// back on.
func TestRiskReportApproved(t *testing.T) {
	report := func(name string, age time.Duration, digest, author string) v1alpha1.RiskReport {
		return v1alpha1.RiskReport{
			ObjectMeta: metav1.ObjectMeta{
				Name: name, CreationTimestamp: metav1.NewTime(now.Add(-age)),
				Annotations: map[string]string{v1alpha1.CreatedByAnnotation: author, v1alpha1.EditedByAnnotation: author}},
			Spec: v1alpha1.RiskReportSpec{
				Source: v1alpha1.Source{Document: "Risk Report"}, Document: builder.Digest, Date: "2026-05-01", Digests: []string{digest}}}
	}
	may, june := report("may", 48*time.Hour, builder.Digest, "sam"), report("june", time.Hour, builder.Digest, "sam")
	approvalOf := func(r v1alpha1.RiskReport, by string) v1alpha1.Approval {
		return *builder.Approval(shared, "of-"+r.Name).Role("rso").Of(v1alpha1.SubjectRiskReport, r.Name, decision.DigestOfRiskReport(&r)).By(by).Build()
	}
	changed := may
	changed.Spec.Document = "sha256:" + strings.Repeat("9", 64)
	for name, tc := range map[string]struct {
		filed     []v1alpha1.RiskReport
		approvals []v1alpha1.Approval
		cleared   bool
		says      string
	}{
		"none is filed":             {says: "no RiskReport covers the model's weights"},
		"one of other weights":      {filed: []v1alpha1.RiskReport{report("may", time.Hour, "sha256:other", "sam")}, says: "no RiskReport covers the model's weights"},
		"not approved":              {filed: []v1alpha1.RiskReport{may}, says: "0 of 1 in role rso approved RiskReport may"},
		"approved":                  {filed: []v1alpha1.RiskReport{may}, approvals: []v1alpha1.Approval{approvalOf(may, "rhea")}, cleared: true},
		"by who wrote it":           {filed: []v1alpha1.RiskReport{may}, approvals: []v1alpha1.Approval{approvalOf(may, "sam")}, says: "0 of 1 in role rso"},
		"another document":          {filed: []v1alpha1.RiskReport{changed}, approvals: []v1alpha1.Approval{approvalOf(may, "rhea")}, says: "0 of 1 in role rso"},
		"the older one is approved": {filed: []v1alpha1.RiskReport{june, may}, approvals: []v1alpha1.Approval{approvalOf(may, "rhea")}, says: "RiskReport june"},
		"filed in the same second":  {filed: []v1alpha1.RiskReport{may, report("other", 48*time.Hour, builder.Digest, "sam")}, approvals: []v1alpha1.Approval{approvalOf(may, "rhea")}, says: "RiskReport other"},
		"the newer one is approved": {filed: []v1alpha1.RiskReport{june, may}, approvals: []v1alpha1.Approval{approvalOf(june, "rhea")}, cleared: true},
	} {
		t.Run(name, func(t *testing.T) {
			in := decided(role("rso", approvalRule(v1alpha1.SubjectRiskReport)))
			in.Model.Spec.Model.Digest = builder.Digest
			in.RiskReports, in.Approvals = tc.filed, tc.approvals
			v := decision.Decide(in)
			if v.Cleared() != tc.cleared || !strings.Contains(text(v), tc.says) {
				t.Errorf("%s, want it to say %q", text(v), tc.says)
			}
			in.Policy.Spec.SignOffs = nil
			if v := decision.Decide(in); !v.Cleared() {
				t.Errorf("a policy that asks for no approval: %s", text(v))
			}
		})
	}
}

// TestSeats compares who counts in which role with all ways to seat people, one by one.
func TestSeats(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		roles, persons := []string{"board", "ceo", "rso"}, []string{"p", "q", "r", "s"}
		var rules []v1alpha1.SignOff
		want := map[string]int{}
		for _, r := range roles {
			n := rapid.IntRange(0, 2).Draw(t, "people as "+r)
			if want[r] = n; n > 0 {
				rules = append(rules, role(r, people(int32(n), approvalRule(v1alpha1.SubjectDecision))))
			}
		}
		in := decided(rules...)
		holds := map[string][]string{}
		for _, r := range roles {
			for _, p := range persons {
				if rapid.Bool().Draw(t, p+" as "+r) {
					in.Approvals = append(in.Approvals, signed(in, r, p))
					holds[p] = append(holds[p], r)
				}
			}
		}
		in.Approvals = rapid.Permutation(in.Approvals).Draw(t, "order")
		var canSeat func(persons []string, left map[string]int) bool
		canSeat = func(persons []string, left map[string]int) bool {
			if len(persons) == 0 {
				return left["board"] <= 0 && left["ceo"] <= 0 && left["rso"] <= 0
			}
			for _, r := range append(holds[persons[0]], "nowhere") {
				left[r]--
				if canSeat(persons[1:], left) {
					left[r]++
					return true
				}
				left[r]++
			}
			return false
		}
		v := decision.Decide(in)
		if possible := canSeat(persons, want); v.Cleared() != possible {
			t.Fatalf("cleared %v, possible %v: %v", v.Cleared(), possible, v.SignOffs)
		}
		seated := map[string]bool{}
		for _, s := range v.SignOffs {
			for _, p := range s.Approvers {
				if seated[p] || !slices.Contains(holds[p], s.Role) {
					t.Fatalf("%s sits twice, or where they did not approve: %v", p, v.SignOffs)
				}
				seated[p] = true
			}
		}
	})
}

// TestFewerApprovalsNeverClear takes approvals away, or lets one become that of an author.
func TestFewerApprovalsNeverClear(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		rule := approvalRule(v1alpha1.SubjectDecision)
		in := decided(role("ceo", people(rapid.Int32Range(1, 2).Draw(t, "chiefs"), rule)), role("rso", people(rapid.Int32Range(1, 2).Draw(t, "officers"), rule)))
		for i := range rapid.IntRange(0, 6).Draw(t, "approvals") {
			a := signed(in, oneOf(t, "role", "ceo", "rso"), oneOf(t, "by", "p", "q", "r", "s"))
			a.Name = fmt.Sprint(i)
			in.Approvals = append(in.Approvals, a)
		}
		fewer := in
		fewer.Approvals = slices.Clone(in.Approvals)
		if len(fewer.Approvals) > 0 {
			i := rapid.IntRange(0, len(fewer.Approvals)-1).Draw(t, "lost")
			if rapid.Bool().Draw(t, "becomes an author's") {
				fewer.Approvals[i].Spec.Approver = &v1alpha1.Requester{Username: "ann", Credential: "x"}
			} else {
				fewer.Approvals = slices.Delete(fewer.Approvals, i, i+1)
			}
		}
		if !decision.Decide(in).Cleared() && decision.Decide(fewer).Cleared() {
			t.Fatalf("cleared by fewer approvals: %v", decision.Decide(fewer).SignOffs)
		}
	})
}

// What people approve is named by the very digest that the decision asks for, whatever it is.
func TestApprovable(t *testing.T) {
	in := decided(role("rso", approvalRule(v1alpha1.SubjectAssessment), approvalRule(v1alpha1.SubjectWaiver), approvalRule(v1alpha1.SubjectDecision),
		approvalRule(v1alpha1.SubjectPolicy), approvalRule(v1alpha1.SubjectRiskReport)))
	in.Policy.Spec.Levels[0].LongestWaiver = &metav1.Duration{Duration: time.Hour}
	assessment := builder.Assessment("may", in.Now).Outcome(v1alpha1.AssessmentRuledOut, "x").Digests(in.Model.Spec.Model.Digest).Build()
	waiver := builder.Waiver(in.Model.Namespace, "w").Model(in.Model.Name).Safeguards("a").NotAfter(in.Now.Add(time.Minute)).By("ann", in.Now).Build()
	report := &v1alpha1.RiskReport{ObjectMeta: metav1.ObjectMeta{Name: "q2"}, Spec: v1alpha1.RiskReportSpec{Digests: []string{in.Model.Spec.Model.Digest}}}
	in.Assessments, in.Waivers, in.RiskReports = []v1alpha1.CapabilityAssessment{*assessment}, []v1alpha1.Waiver{*waiver}, []v1alpha1.RiskReport{*report}
	in.PolicyDigest = decision.Digest(in.Policy, nil)
	v := decision.Decide(in)
	in.Policy.Status.Digest, in.Model.Status.DecisionDigest = in.PolicyDigest, v.DecisionDigest
	subjects := map[v1alpha1.SubjectKind]any{
		v1alpha1.SubjectAssessment: assessment, v1alpha1.SubjectWaiver: waiver, v1alpha1.SubjectDecision: in.Model,
		v1alpha1.SubjectPolicy: in.Policy, v1alpha1.SubjectRiskReport: report}
	if len(v.SignOffs) != len(subjects) {
		t.Errorf("%d sign-offs, want one of each kind: %+v", len(v.SignOffs), v.SignOffs)
	}
	for _, s := range v.SignOffs {
		if digest, _ := decision.Approvable(subjects[s.Kind]); digest != s.Digest || digest == "" {
			t.Errorf("%s: Approvable = %q, and %q is asked for", s.Kind, digest, s.Digest)
		}
	}
	if digest, authors := decision.Approvable(&v1alpha1.Safeguard{}); digest != "" || authors != nil {
		t.Errorf("a Safeguard is not approved, but is named by %q", digest)
	}
}

func TestNoticeAsked(t *testing.T) {
	noticed := approvalRule(v1alpha1.SubjectDecision)
	noticed.NoticeTo, noticed.FromLevel = []string{"Board"}, "ASL-3"
	in := decided(role("ceo", approvalRule(v1alpha1.SubjectDecision)), role("rso", noticed))
	for name, tc := range map[string]struct {
		kind   v1alpha1.SubjectKind
		role   string
		bodies []string
		asked  bool
	}{
		"of nobody":             {v1alpha1.SubjectDecision, "ceo", nil, true},
		"of one, at some level": {v1alpha1.SubjectDecision, "rso", []string{"Board"}, true},
		"another kind":          {v1alpha1.SubjectWaiver, "rso", nil, false},
		"another role":          {v1alpha1.SubjectDecision, "cso", nil, false},
	} {
		t.Run(name, func(t *testing.T) {
			bodies, asked := decision.NoticeAsked(in.Policy, tc.kind, tc.role)
			if diff := cmp.Diff(tc.bodies, bodies); diff != "" || asked != tc.asked {
				t.Errorf("asked %v (-want +got):\n%s", asked, diff)
			}
		})
	}
}
