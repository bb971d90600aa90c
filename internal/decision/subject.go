package decision

import (
	"slices"

	"github.com/interlock-dev/interlock/api/v1alpha1"
)

// subject is something that people approve, by its digest.
type subject struct {
	kind         v1alpha1.SubjectKind
	name, digest string
	// authors wrote it or asked for it, and so cannot approve it. An empty one is somebody of whom it is not known who they
	// are: then nobody can be shown to be somebody else.
	authors []string
}

var subjectKinds = []v1alpha1.SubjectKind{v1alpha1.SubjectAssessment, v1alpha1.SubjectWaiver, v1alpha1.SubjectDecision, v1alpha1.SubjectPolicy, v1alpha1.SubjectRiskReport}

// ClusterScoped says whether subjects of a kind are in no namespace.
func ClusterScoped(kind v1alpha1.SubjectKind) bool {
	return kind == v1alpha1.SubjectAssessment || kind == v1alpha1.SubjectPolicy || kind == v1alpha1.SubjectRiskReport
}

// Approvable gives the digest by which approvals must name an object, and those who wrote it or asked for it, who cannot
// approve it. What a policy asks and what a decision rests on is more than the object itself: these digests are read where
// the operator has put them, and are empty before. So are those of what nobody approves.
func Approvable(o any) (digest string, authors []string) {
	switch o := o.(type) {
	case *v1alpha1.CapabilityAssessment:
		return DigestOfAssessment(o), AuthorsOf(o.Annotations)
	case *v1alpha1.RiskReport:
		return DigestOfRiskReport(o), AuthorsOf(o.Annotations)
	case *v1alpha1.Waiver:
		return DigestOfWaiver(o), RequesterOf(o)
	case *v1alpha1.ModelDeployment:
		return o.Status.DecisionDigest, AuthorsOf(o.Annotations)
	case *v1alpha1.ScalingPolicy:
		return o.Status.Digest, AuthorsOf(o.Annotations)
	}
	return "", nil
}

// DigestOfAssessment identifies what an assessment says.
func DigestOfAssessment(a *v1alpha1.CapabilityAssessment) string {
	return digestOfParts(v1alpha1.SubjectAssessment, a.Name, a.Spec)
}

func subjectOfAssessment(a *v1alpha1.CapabilityAssessment) subject {
	return subject{v1alpha1.SubjectAssessment, a.Name, DigestOfAssessment(a), AuthorsOf(a.Annotations)}
}

// DigestOfRiskReport identifies a report: its document, and what it covers.
func DigestOfRiskReport(r *v1alpha1.RiskReport) string {
	return digestOfParts(v1alpha1.SubjectRiskReport, r.Name, r.Spec)
}

// riskReports are those that cover the model and were filed last: several, if it was in the same second. Older ones are not
// fallen back on: what is known now is in the newest.
func (in Input) riskReports() (last []*v1alpha1.RiskReport) {
	for i := range in.RiskReports {
		r := &in.RiskReports[i]
		if !slices.Contains(r.Spec.Digests, in.Model.Spec.Model.Digest) {
			continue
		}
		if len(last) > 0 && r.CreationTimestamp.After(last[0].CreationTimestamp.Time) {
			last = nil
		}
		if len(last) == 0 || r.CreationTimestamp.Equal(&last[0].CreationTimestamp) {
			last = append(last, r)
		}
	}
	return last
}

func subjectOfWaiver(w *v1alpha1.Waiver) subject {
	return subject{v1alpha1.SubjectWaiver, w.Name, DigestOfWaiver(w), RequesterOf(w)}
}

// DigestOfWaiver identifies what a waiver asks, of which model, and who asks.
func DigestOfWaiver(w *v1alpha1.Waiver) string {
	return digestOfParts(v1alpha1.SubjectWaiver, w.Namespace, w.Name, w.Spec)
}

// digestOfDecision identifies the decision to serve a model: what is served, what its policy asks, and on which
// assessments that rests. What was found of its safeguards is no part of it: that changes from day to day, and a model
// that lacks one is held whatever was approved.
func digestOfDecision(in Input, v Verdict) string {
	parts := []any{v1alpha1.SubjectDecision, in.Model.Namespace, in.Model.Name, in.Model.Spec, DigestUsed(in, v)}
	for i := range v.Thresholds {
		t := &v.Thresholds[i]
		parts = append(parts, t.Name, t.State, t.Assessment)
		if at := slices.IndexFunc(in.Assessments, func(a v1alpha1.CapabilityAssessment) bool { return a.Name == t.Assessment }); at >= 0 {
			parts = append(parts, DigestOfAssessment(&in.Assessments[at]))
		}
	}
	return digestOfParts(parts...)
}

func digestOfParts(parts ...any) string { return SpecDigest(parts) }

// AuthorsOf names who created an object and who last edited it, as its annotations say; an empty name is not known.
func AuthorsOf(annotations map[string]string) []string {
	authors := []string{annotations[v1alpha1.EditedByAnnotation]}
	if by := annotations[v1alpha1.CreatedByAnnotation]; by != "" {
		authors = append(authors, by)
	}
	return authors
}

// RequesterOf names who asked for a waiver; an empty name is not known.
func RequesterOf(w *v1alpha1.Waiver) []string {
	if w.Spec.Requester == nil {
		return []string{""}
	}
	return []string{w.Spec.Requester.Username}
}
