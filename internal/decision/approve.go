package decision

import (
	"cmp"
	"encoding/json"
	"fmt"
	"slices"
	"strings"

	"github.com/interlock-dev/interlock/api/v1alpha1"
)

// askedSignOff is what one role has to approve.
type askedSignOff struct {
	role string
	rule *v1alpha1.ApprovalRule
}

func (a askedSignOff) people() int {
	if a.rule.People == nil {
		return 1
	}
	return int(max(*a.rule.People, 1))
}

// askedSignOffs are the sign-offs that a policy asks for a kind of subject, of a model at a level, by role. A level that is
// not one of the policy's is taken for the lowest.
func askedSignOffs(policy *v1alpha1.ScalingPolicy, kind v1alpha1.SubjectKind, at int) []askedSignOff {
	var all []askedSignOff
	for i := range policy.Spec.SignOffs {
		s := &policy.Spec.SignOffs[i]
		for j := range s.Approves {
			if rule := &s.Approves[j]; rule.Kind == kind && at >= level(policy, rule.FromLevel) {
				all = append(all, askedSignOff{s.ApproverRole, rule})
			}
		}
	}
	slices.SortStableFunc(all, func(a, b askedSignOff) int { return strings.Compare(a.role, b.role) })
	return all
}

// AsksApprovalOf says whether a policy asks, at any level, for approvals of a kind.
func AsksApprovalOf(policy *v1alpha1.ScalingPolicy, kind v1alpha1.SubjectKind) bool {
	return policy != nil && len(askedSignOffs(policy, kind, len(policy.Spec.Levels))) > 0
}

// NoticeAsked gives the bodies that whoever approves a kind of subject in a role must have told before, under a policy, at
// some level; false, if the policy asks for that approval at none.
func NoticeAsked(policy *v1alpha1.ScalingPolicy, kind v1alpha1.SubjectKind, role string) (bodies []string, asked bool) {
	for _, a := range askedSignOffs(policy, kind, len(policy.Spec.Levels)) {
		if a.role == role {
			bodies, asked = append(bodies, a.rule.NoticeTo...), true
		}
	}
	return bodies, asked
}

// signOffs are what each role has approved of a subject.
type signOffs struct {
	results []v1alpha1.SignOffResult
	// complete says that nothing is missing.
	complete bool
	// by are the approvals that count, and no more of them than are asked for.
	by []*v1alpha1.Approval
}

// signedOff tells for each role what it has approved of a subject. A person counts in one role only.
func (in Input) signedOff(s subject, asked []askedSignOff) signOffs {
	candidates, notes := make([][]*v1alpha1.Approval, len(asked)), make([][]string, len(asked))
	for i := range in.Approvals {
		a := &in.Approvals[i]
		if !in.reaches(a, &s) {
			continue
		}
		for role := range asked {
			if asked[role].role != a.Spec.Role {
				continue
			}
			if why := s.objection(a, asked[role].rule); why != "" {
				notes[role] = append(notes[role], a.Name+": "+why)
			} else {
				candidates[role] = append(candidates[role], a)
			}
		}
	}
	given := seat(asked, candidates)
	off := signOffs{complete: true}
	for role, a := range asked {
		slices.Sort(notes[role])
		r := v1alpha1.SignOffResult{Kind: s.kind, Name: s.name, Role: a.role, Digest: s.digest, People: int32(a.people())}
		for _, approval := range given[role] {
			r.Approvers = append(r.Approvers, approval.Spec.Approver.Username)
		}
		slices.Sort(r.Approvers)
		if len(given[role]) < a.people() {
			off.complete = false
			r.Message = OneLine(strings.Join(notes[role], "; "), maxMessage)
			r.Remedy = in.approveCommand(s, a)
		}
		off.results, off.by = append(off.results, r), append(off.by, given[role]...)
	}
	return off
}

// reaches says whether an approval is about a subject, and of a namespace that may speak of it: that of the model, or for
// what is in no namespace, the one that serves all.
func (in Input) reaches(a *v1alpha1.Approval, s *subject) bool {
	if a.Spec.Subject.Kind != s.kind || a.Spec.Subject.Name != s.name || a.DeletionTimestamp != nil || in.Now.Before(a.CreationTimestamp.Time) {
		return false
	}
	return a.Namespace == in.Model.Namespace || ClusterScoped(s.kind) && in.SharedNamespace != "" && a.Namespace == in.SharedNamespace
}

// objection says why an approval does not count under a rule; empty, it does.
func (s *subject) objection(a *v1alpha1.Approval, rule *v1alpha1.ApprovalRule) string {
	if _, message := Objection(a, s.digest, s.authors); message != "" {
		return message
	}
	if isServiceAccount(a.Spec.Approver.Username) && !lets(rule, v1alpha1.ServiceAccountsApprove) {
		return OneLine(a.Spec.Approver.Username, maxRemedy) + " is a ServiceAccount, and the policy lets only people approve this"
	}
	for _, body := range rule.NoticeTo {
		if !slices.Contains(a.Spec.NoticeGivenTo, body) {
			return "it does not say that notice was given to " + body
		}
	}
	return ""
}

// Objection says why an approval does not count for a subject with this digest and these authors, whatever the policy; with
// no reason, it does.
func Objection(a *v1alpha1.Approval, digest string, authors []string) (reason, message string) {
	switch by := a.Spec.Approver; {
	case by == nil || by.Username == "" || by.Credential == "":
		return v1alpha1.ReasonAuthorUnknown, "it does not say who approved"
	case isPartOfCluster(by.Username):
		return v1alpha1.ReasonNotAPerson, OneLine(by.Username, maxRemedy) + " is a part of the cluster and no person: have a person approve it"
	case len(a.OwnerReferences) > 0:
		return v1alpha1.ReasonOwned, "it bears an owner reference, with whose owner it would vanish: approve anew without one"
	case a.Spec.Subject.Digest != digest || digest == "":
		return v1alpha1.ReasonSubjectChanged, "it is of another digest: the subject has changed since, or nobody asks for its approval"
	case slices.Contains(authors, by.Username):
		return v1alpha1.ReasonSelfApproval, OneLine(by.Username, maxRemedy) + " wrote what is approved, or asked for it: somebody else must approve it"
	case len(authors) == 0 || slices.Contains(authors, ""):
		return v1alpha1.ReasonAuthorUnknown, "who wrote the subject is not known, so nobody can be shown to be somebody else: have it written anew, without impersonation"
	}
	return "", ""
}

// seat gives as many people as can be to the roles, each to one: every person who has no seat yet is tried, and moves others
// on where they have another role. Who approved the most roles cannot keep somebody else's only seat. Who approved first is
// tried first, so that approvals beyond those that are asked for change nothing.
func seat(asked []askedSignOff, candidates [][]*v1alpha1.Approval) [][]*v1alpha1.Approval {
	for role := range candidates {
		slices.SortFunc(candidates[role], func(a, b *v1alpha1.Approval) int {
			return cmp.Or(a.CreationTimestamp.Compare(b.CreationTimestamp.Time), cmp.Compare(a.Namespace, b.Namespace), cmp.Compare(a.Name, b.Name))
		})
	}
	given := make([][]*v1alpha1.Approval, len(asked))
	var fill func(role int, tried map[string]bool) bool
	fill = func(role int, tried map[string]bool) bool {
		for _, approval := range candidates[role] {
			person := approval.Spec.Approver.Username
			if tried[person] {
				continue
			}
			tried[person] = true
			is := func(other *v1alpha1.Approval) bool { return other.Spec.Approver.Username == person }
			at := slices.IndexFunc(given, func(people []*v1alpha1.Approval) bool { return slices.ContainsFunc(people, is) })
			if at == role {
				continue
			}
			if at < 0 || fill(at, tried) {
				if at >= 0 {
					given[at] = slices.DeleteFunc(given[at], is)
				}
				given[role] = append(given[role], approval)
				return true
			}
		}
		return false
	}
	for role := range asked {
		for len(given[role]) < asked[role].people() && fill(role, map[string]bool{}) {
		}
	}
	return given
}

// approveCommand is what somebody in the role runs. All that goes into it is made of letters, digits, '-' and '.', but for
// the names of the bodies, which are quoted for JSON and for the shell.
func (in Input) approveCommand(s subject, a askedSignOff) string {
	if s.digest == "" {
		return ""
	}
	spec := map[string]any{"role": a.role, "subject": v1alpha1.Subject{Kind: s.kind, Name: s.name, Digest: s.digest}}
	if len(a.rule.NoticeTo) > 0 {
		spec["noticeGivenTo"] = a.rule.NoticeTo
	}
	text, err := json.Marshal(map[string]any{
		"apiVersion": v1alpha1.GroupVersion.String(), "kind": "Approval",
		"metadata": map[string]string{"namespace": in.Model.Namespace, "generateName": a.role + "-"}, "spec": spec})
	if err != nil {
		return ""
	}
	const command, most = "printf %%s '%s' | kubectl create -f -", 2048
	line := fmt.Sprintf(command, strings.ReplaceAll(OneLine(string(text), most), "'", `'\''`))
	if len(line) > most {
		return fmt.Sprintf("create an Approval in role %s of %s %s with the digest beside", a.role, s.kind, s.name)
	}
	return line
}

// approved says whether an assessment has the sign-offs without which it loosens nothing.
func (in Input) approved(a *v1alpha1.CapabilityAssessment, asked []askedSignOff) bool {
	if len(asked) == 0 {
		return true
	}
	return in.signedOff(subjectOfAssessment(a), asked).complete
}

// loosens says whether an assessment says anything that needs approval: danger that it found counts without.
func loosens(a *v1alpha1.CapabilityAssessment) bool {
	return len(a.Spec.Supersedes) > 0 ||
		slices.ContainsFunc(a.Spec.Outcomes, func(o v1alpha1.ThresholdOutcome) bool { return o.Outcome == v1alpha1.AssessmentRuledOut })
}

// maxSignOffs is the most that the API takes.
const maxSignOffs = 64

// signOff notes what was approved, and returns the sign-offs without which the policy holds the model. Those of
// assessments and waivers are not among these: without them, the one rules nothing out, and the other waives nothing.
func (v *Verdict) signOff(in Input, req requirement, waiverSignOffs []v1alpha1.SignOffResult) (missing []string) {
	if AsksApprovalOf(in.Policy, v1alpha1.SubjectDecision) {
		v.DecisionDigest = digestOfDecision(in, *v)
	}
	if asked := askedSignOffs(in.Policy, v1alpha1.SubjectAssessment, req.top); len(asked) > 0 {
		for i := range in.Assessments {
			if a := &in.Assessments[i]; in.concerns(a) && loosens(a) {
				v.SignOffs = append(v.SignOffs, in.signedOff(subjectOfAssessment(a), asked).results...)
			}
		}
	}
	v.SignOffs = append(v.SignOffs, waiverSignOffs...)
	if len(askedSignOffs(in.Policy, v1alpha1.SubjectRiskReport, req.top)) > 0 && len(in.riskReports()) == 0 {
		missing = append(missing, "no RiskReport covers the model's weights, so none is approved: file one")
	}
	for _, s := range in.decided(v.DecisionDigest) {
		results := in.signedOff(s, askedSignOffs(in.Policy, s.kind, req.top)).results
		for _, r := range results {
			if !given(&r) {
				missing = append(missing, fmt.Sprintf("%s approved %s %s", approvers(&r), r.Kind, r.Name))
			}
		}
		v.SignOffs = append(v.SignOffs, results...)
	}
	slices.SortStableFunc(v.SignOffs, compareSignOffs)
	v.SignOffs = v.SignOffs[:min(len(v.SignOffs), maxSignOffs)]
	return missing
}

// decided are the subjects without whose approval a policy holds a model.
func (in Input) decided(digest string) []subject {
	subjects := []subject{
		{v1alpha1.SubjectDecision, in.Model.Name, digest, AuthorsOf(in.Model.Annotations)},
		{v1alpha1.SubjectPolicy, in.Policy.Name, in.PolicyDigest, in.PolicyAuthors},
	}
	for _, r := range in.riskReports() {
		subjects = append(subjects, subject{v1alpha1.SubjectRiskReport, r.Name, DigestOfRiskReport(r), AuthorsOf(r.Annotations)})
	}
	return subjects
}

// given says whether enough people have approved.
func given(r *v1alpha1.SignOffResult) bool { return len(r.Approvers) >= int(r.People) }

func approvers(r *v1alpha1.SignOffResult) string {
	return fmt.Sprintf("%d of %d in role %s", len(r.Approvers), r.People, r.Role)
}

// compareSignOffs orders them by what is missing, and by their names.
func compareSignOffs(a, b v1alpha1.SignOffResult) int {
	switch {
	case !given(&a) && given(&b):
		return -1
	case given(&a) && !given(&b):
		return 1
	}
	return strings.Compare(fmt.Sprint(a.Kind, "/", a.Name, "/", a.Role), fmt.Sprint(b.Kind, "/", b.Name, "/", b.Role))
}
