package decision

import (
	"cmp"
	"slices"

	"github.com/interlock-dev/interlock/api/v1alpha1"
)

// Object is something that a verdict rests on.
type Object struct {
	// Kind, and Namespace unless the kind is in none.
	Kind, Namespace, Name string
	// Digest of what it says.
	Digest string
}

// Basis names what a verdict rests on besides the policy, its Safeguards and what is seen on the cluster: the assessments that
// decide on a threshold, the evidence that shows or refutes a safeguard which holds the model, the waivers that excuse it from
// one, the risk report where one has to be approved, and the approvals by which these, the decision or the policy count. What
// is there and decides nothing is left out, and so are approvals beyond those that are asked for.
func Basis(in Input, v Verdict) []Object {
	if in.Policy == nil || in.Model == nil {
		return nil
	}
	top := max(level(in.Policy, v.DeploymentLevel), level(in.Policy, v.SecurityLevel), 0)
	var basis []Object
	approved := func(s subject, from int) {
		if off := in.signedOff(s, askedSignOffs(in.Policy, s.kind, from)); off.complete {
			for _, a := range off.by {
				basis = append(basis, Object{"Approval", a.Namespace, a.Name, SpecDigest(a.Spec)})
			}
		}
	}
	for i := range in.Assessments {
		if a := &in.Assessments[i]; slices.ContainsFunc(v.Thresholds, func(t v1alpha1.ThresholdResult) bool { return t.Assessment == a.Name }) {
			basis = append(basis, Object{Kind: string(v1alpha1.SubjectAssessment), Name: a.Name, Digest: DigestOfAssessment(a)})
			if loosens(a) {
				approved(subjectOfAssessment(a), len(in.Policy.Spec.Levels))
			}
		}
	}
	waivers := map[string]bool{}
	for i := range v.Safeguards {
		switch s := &v.Safeguards[i]; {
		case s.State == v1alpha1.SafeguardWaived:
			waivers[s.Waiver] = true
		case holds(s.Force):
			basis = append(basis, in.Findings[s.Name].Evidence...)
		}
	}
	for _, e := range v.Exemptions {
		waivers[e.Waiver] = true
	}
	for i := range in.Waivers {
		if w := &in.Waivers[i]; waivers[w.Name] && w.Namespace == in.Model.Namespace {
			basis = append(basis, Object{string(v1alpha1.SubjectWaiver), w.Namespace, w.Name, DigestOfWaiver(w)})
			approved(subjectOfWaiver(w), top)
		}
	}
	for _, s := range in.decided(v.DecisionDigest) {
		if s.kind == v1alpha1.SubjectRiskReport && len(askedSignOffs(in.Policy, s.kind, top)) > 0 {
			basis = append(basis, Object{Kind: string(s.kind), Name: s.name, Digest: s.digest})
		}
		approved(s, top)
	}
	slices.SortFunc(basis, func(a, b Object) int {
		return cmp.Or(cmp.Compare(a.Kind, b.Kind), cmp.Compare(a.Namespace, b.Namespace), cmp.Compare(a.Name, b.Name), cmp.Compare(a.Digest, b.Digest))
	})
	return slices.Compact(basis)
}
