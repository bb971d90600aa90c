package main

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"
	"time"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/interlock-dev/interlock/api/v1alpha1"
	"github.com/interlock-dev/interlock/internal/decision"
)

// subjects are the kinds that can be approved, by the names that kubectl and people have for them.
var subjects = []struct {
	kind  v1alpha1.SubjectKind
	names []string
}{
	{v1alpha1.SubjectAssessment, []string{"capabilityassessment", "capabilityassessments", "assessment", "assessments"}},
	{v1alpha1.SubjectWaiver, []string{"waiver", "waivers"}},
	{v1alpha1.SubjectDecision, []string{"modeldeployment", "modeldeployments", "mdl"}},
	{v1alpha1.SubjectPolicy, []string{"scalingpolicy", "scalingpolicies", "rsp"}},
	{v1alpha1.SubjectRiskReport, []string{"riskreport", "riskreports"}},
}

// subjectOf reads KIND NAME, or KIND/NAME.
func subjectOf(args []string) (v1alpha1.SubjectKind, string, error) {
	if len(args) == 1 {
		args = strings.SplitN(args[0], "/", 2)
	}
	if len(args) != 2 || args[1] == "" {
		return "", "", errors.New("name what you approve: KIND NAME or KIND/NAME, such as waiver no-input-classifier")
	}
	known := make([]string, 0, len(subjects))
	for _, s := range subjects {
		if slices.Contains(s.names, strings.ToLower(args[0])) {
			return s.kind, args[1], nil
		}
		known = append(known, s.names[0])
	}
	return "", "", fmt.Errorf("%q is not a kind that is approved, which are %s", args[0], strings.Join(known, ", "))
}

// subject is what is to be approved, as it is now.
type subject struct {
	kind    v1alpha1.SubjectKind
	key     client.ObjectKey
	digest  string
	authors []string
	// policy is the only one whose sign-offs bear on it; empty, any may.
	policy string
	facts  facts
}

// String names it for people. It has not been through line yet.
func (s *subject) String() string {
	if s.key.Namespace == "" {
		return fmt.Sprintf("%s %s", s.kind, s.key.Name)
	}
	return fmt.Sprintf("%s %s/%s", s.kind, s.key.Namespace, s.key.Name)
}

// under says whether the sign-offs of a policy bear on it.
func (s *subject) under(policy string) bool { return s.policy == "" || s.policy == policy }

// readSubject reads what is to be approved. A field that this program does not know is an error: nobody would be shown it,
// and the digest would be of something else.
func readSubject(ctx context.Context, c client.Client, kind v1alpha1.SubjectKind, key client.ObjectKey) (*subject, error) {
	if decision.ClusterScoped(kind) {
		key.Namespace = ""
	}
	s := &subject{kind: kind, key: key}
	u := &unstructured.Unstructured{}
	u.SetGroupVersionKind(v1alpha1.GroupVersion.WithKind(string(kind)))
	err := c.Get(ctx, key, u)
	switch {
	case apierrors.IsNotFound(err):
		return nil, fmt.Errorf("there is no %s", s)
	case err != nil:
		return nil, fmt.Errorf("read %s: %w", s, err)
	}
	o, err := c.Scheme().New(u.GroupVersionKind())
	if err != nil {
		return nil, err
	}
	if err := decode(u, o); err != nil {
		return nil, fmt.Errorf("this program does not know all that is in it, so take one of the operator's version: %w", err)
	}
	if err := s.describe(ctx, c, o); err != nil {
		return nil, err
	}
	s.facts.add("written by", strings.TrimPrefix(strings.Join(s.authors, ", "), ", ")) // the first may not be known
	s.facts.add("digest", s.digest)
	s.facts.add("all of it", s.command())
	return s, nil
}

// command shows the whole object.
func (s *subject) command() string {
	command := fmt.Sprintf("kubectl get %s %s", strings.ToLower(string(s.kind)), s.key.Name)
	if s.key.Namespace != "" {
		command += " -n " + s.key.Namespace
	}
	return command + " -o yaml"
}

func (s *subject) describe(ctx context.Context, c client.Reader, o any) error {
	s.digest, s.authors = decision.Approvable(o)
	slices.Sort(s.authors)
	s.authors = slices.Compact(s.authors)
	switch o := o.(type) {
	case *v1alpha1.CapabilityAssessment:
		s.facts = assessmentFacts(&o.Spec)
	case *v1alpha1.Waiver:
		s.facts = waiverFacts(&o.Spec)
	case *v1alpha1.RiskReport:
		s.facts = riskReportFacts(&o.Spec)
	case *v1alpha1.ModelDeployment:
		if o.Status.ObservedGeneration != o.Generation {
			return fmt.Errorf("the operator has not decided on the last change of %s yet: try again, and if it stays so, look whether the operator runs", s)
		}
		if s.digest == "" {
			return fmt.Errorf("nobody asks for the approval of %s: policy %s, which is enforced here, has no sign-off that approves kind %s", s, cmp.Or(o.Status.Policy, "none"), s.kind)
		}
		s.policy, s.facts = o.Status.Policy, decisionFacts(o)
	case *v1alpha1.ScalingPolicy:
		safeguards := &v1alpha1.SafeguardList{}
		if err := c.List(ctx, safeguards); err != nil {
			return fmt.Errorf("list Safeguards: %w", err)
		}
		if s.digest == "" || s.digest != decision.Digest(o, safeguards.Items) {
			return fmt.Errorf("the operator has not seen the last change of %s or of a Safeguard that it names yet: try again, and if it stays so, look whether the operator runs and is of this program's version", s)
		}
		s.policy, s.facts = o.Name, policyFacts(&o.Spec, decision.Named(o))
	}
	return nil
}

func (s *subject) print(w io.Writer) {
	fmt.Fprintln(w, line(s.String()))
	s.facts.print(w)
}

func assessmentFacts(a *v1alpha1.CapabilityAssessmentSpec) (f facts) {
	f.add("model", a.Model)
	f.add("weights", strings.Join(a.Digests, ", "))
	by := a.Evaluator.Name
	if a.Evaluator.Independent != nil && *a.Evaluator.Independent {
		by += ", independent of the developer"
	}
	f.add("assessed", fmt.Sprintf("%s by %s", a.AssessedAt.UTC().Format(time.RFC3339), by))
	for i := range a.Outcomes {
		f.add(string(a.Outcomes[i].Outcome), fmt.Sprintf("%s: %s", a.Outcomes[i].Threshold, a.Outcomes[i].Method))
	}
	for i := range a.Dissent {
		f.add("dissent", fmt.Sprintf("%s: %s", a.Dissent[i].By, a.Dissent[i].Statement))
	}
	f.add("supersedes", strings.Join(a.Supersedes, ", "))
	return f
}

func waiverFacts(w *v1alpha1.WaiverSpec) (f facts) {
	f.add("model", w.Model)
	f.add("goes without", strings.Join(w.Safeguards, ", "))
	f.add("only on pods", strings.Join(w.Pods, ", "))
	f.add("until", w.NotAfter.UTC().Format(time.RFC3339))
	f.add("reason", w.Reason)
	f.add("instead", w.InterimMeasure)
	f.add("ticket", w.Ticket)
	return f
}

func riskReportFacts(r *v1alpha1.RiskReportSpec) (f facts) {
	f.add("report", strings.TrimSpace(r.Source.Document+" "+r.Source.Version))
	f.add("document", r.Document)
	f.add("as of", string(r.Date))
	f.add("covers", strings.Join(r.Digests, ", "))
	return f
}

func decisionFacts(md *v1alpha1.ModelDeployment) (f facts) {
	f.add("serves", fmt.Sprintf("%s to audience %s", md.Spec.Model.Name, md.Spec.Audience))
	f.add("weights", md.Spec.Model.Digest)
	f.add("sources", strings.Join(md.Spec.Model.Sources, ", "))
	f.add("declared", md.Spec.AssessedLevel)
	f.add("required", fmt.Sprintf("deployment %s, security %s, by policy %s", md.Status.DeploymentLevel, md.Status.SecurityLevel, md.Status.Policy))
	f.add("disputed", md.Status.Disputed)
	for i := range md.Status.Thresholds {
		f.add("threshold", thresholdText(&md.Status.Thresholds[i]))
	}
	if md.Spec.Fallback != nil {
		f.add("fallback", md.Spec.Fallback.ModelDeployment)
	}
	return f
}

// thresholdText gives the state of a threshold, its reason, its consequence and the remedy.
func thresholdText(t *v1alpha1.ThresholdResult) string {
	text := fmt.Sprintf("%s: %s", t.Name, t.State)
	switch {
	case t.Message != "":
		text += ", since " + t.Message
	case t.Assessment != "":
		text += " by " + t.Assessment
	}
	switch {
	case t.TreatedAs == v1alpha1.TreatHold:
		text += "; the model is held for that"
	case t.TreatedAs == v1alpha1.TreatAsReached && t.State != v1alpha1.ThresholdState(v1alpha1.AssessmentReached):
		text += "; it counts as reached"
	}
	if t.Remedy != "" {
		text += "; to settle it, " + t.Remedy
	}
	return text
}

func policyFacts(p *v1alpha1.ScalingPolicySpec, safeguards []string) (f facts) {
	f.add("title", p.Title)
	f.add("encodes", strings.TrimSpace(p.Source.Document+" "+p.Source.Version))
	levels := make([]string, 0, len(p.Levels))
	for i := range p.Levels {
		levels = append(levels, p.Levels[i].Name)
	}
	f.add("levels", fmt.Sprintf("%s; every model gets %s", strings.Join(levels, ", "), p.BaselineLevel))
	f.add("thresholds", fmt.Sprint(len(p.Thresholds)))
	f.add("safeguards", strings.Join(safeguards, ", "))
	if p.Trust != nil {
		signers := make([]string, 0, len(p.Trust.Signers))
		for i := range p.Trust.Signers {
			signers = append(signers, p.Trust.Signers[i].Name)
		}
		f.add("trusts", strings.Join(signers, ", "))
	}
	return f
}
