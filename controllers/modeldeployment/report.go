package modeldeployment

import (
	"context"
	"fmt"

	corev1 "k8s.io/api/core/v1"
	apiequality "k8s.io/apimachinery/pkg/api/equality"
	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/interlock-dev/interlock/api/v1alpha1"
	"github.com/interlock-dev/interlock/controllers/status"
	"github.com/interlock-dev/interlock/internal/decision"
	"github.com/interlock-dev/interlock/internal/verdict"
)

// The longest texts that the API takes.
const (
	maxMessage = 1024
	maxBlocked = 300
)

// report is the status of a model in the making.
type report struct {
	status v1alpha1.ModelDeploymentStatus
}

func newReport(known *verdict.Snapshot, judged *verdict.Result) *report {
	md := known.Model
	r := &report{status: v1alpha1.ModelDeploymentStatus{
		ObservedGeneration: md.Generation,
		Conditions:         append([]metav1.Condition(nil), md.Status.Conditions...),
		Objects:            md.Status.Objects, // which the package surroundings reports
		Pods:               &v1alpha1.PodCounts{Held: int32(len(known.Held())), Admitted: int32(len(known.Admitted()))},
	}}
	r.recorded("")
	if judged.IsEnforced {
		r.enforce(judged.Enforced)
	} else {
		r.ready(metav1.ConditionFalse, v1alpha1.ReasonNotEnrolled, fmt.Sprintf(
			"the namespace has no label %s, so nothing holds this model", v1alpha1.EnforceLabel))
	}
	for _, j := range judged.Judgements {
		if j.Label != v1alpha1.EnforceLabel {
			r.status.Previews = append(r.status.Previews, v1alpha1.Preview{
				Label: j.Label, Policy: j.Policy, Verdict: j.Verdict.Outcome,
				SafeguardsMet: j.Verdict.SafeguardsMet(), Message: bounded(j.Verdict.Message)})
		}
	}
	return r
}

func (r *report) enforce(j verdict.Judgement) {
	v := j.Verdict
	s := &r.status
	s.Policy, s.PolicyDigest, s.Verdict = j.Policy, j.PolicyDigest, v.Outcome
	s.DeploymentLevel, s.SecurityLevel, s.SafeguardsMet = v.DeploymentLevel, v.SecurityLevel, v.SafeguardsMet()
	s.Reported = bounded(v.Reported)
	s.Disputed, s.Thresholds, s.Safeguards = bounded(v.Disputed), v.Thresholds, boundedResults(v)
	s.DecisionDigest, s.SignOffs, s.Waivers = v.DecisionDigest, v.SignOffs, v.Waivers
	r.waived(v)
	s.Adjustments = shown(j.Adjustments)
	ready := metav1.ConditionFalse
	if v.Cleared() {
		ready = metav1.ConditionTrue
		s.ValidUntil = &metav1.Time{Time: v.ValidUntil}
	}
	r.ready(ready, v.Reason, bounded(v.Message))
}

// maxResults is the most safeguards that the API takes; the counts in safeguardsMet are of all.
const maxResults = 256

func shown(safeguards []string) []string { return safeguards[:min(len(safeguards), maxResults)] }

func boundedResults(v decision.Verdict) []v1alpha1.SafeguardResult {
	results := append([]v1alpha1.SafeguardResult(nil), v.Safeguards[:min(len(v.Safeguards), maxResults)]...)
	for i := range results {
		results[i].Message = bounded(results[i].Message)
	}
	return results
}

// waived says whether the model or a pod of it is excused from a safeguard. A model that never was need not be told.
func (r *report) waived(v decision.Verdict) {
	c := metav1.Condition{Type: v1alpha1.ConditionWaived, Status: metav1.ConditionFalse, Reason: v1alpha1.ReasonNothingWaived,
		Message: "no safeguard is waived", ObservedGeneration: r.status.ObservedGeneration}
	if waived := v.WaivedText(); waived != "" {
		c.Status, c.Reason, c.Message = metav1.ConditionTrue, v1alpha1.ReasonSafeguardsWaived, bounded(waived)
	} else if meta.FindStatusCondition(r.status.Conditions, v1alpha1.ConditionWaived) == nil {
		return
	}
	meta.SetStatusCondition(&r.status.Conditions, c)
}

func (r *report) ready(status metav1.ConditionStatus, reason, message string) {
	meta.SetStatusCondition(&r.status.Conditions, metav1.Condition{
		Type: v1alpha1.ConditionReady, Status: status, Reason: reason, Message: message,
		ObservedGeneration: r.status.ObservedGeneration})
}

// report writes the status if it differs, and after that an event if the verdict has changed. It says so when the cache
// was behind what has been reported already: then nothing is written, and nothing is told twice.
func (r *Reconciler) report(ctx context.Context, md *v1alpha1.ModelDeployment, report *report) (behind bool, err error) {
	before := md.DeepCopy()
	md.Status = report.status
	if apiequality.Semantic.DeepEqual(before.Status, md.Status) {
		return false, nil
	}
	written, behind, err := status.Write(ctx, r.Client, before, md, FieldManager)
	if !written {
		return behind, err
	}
	r.tell(before, md)
	return false, nil
}

func (r *Reconciler) tell(before, after *v1alpha1.ModelDeployment) {
	if before.Status.Verdict != after.Status.Verdict && after.Status.Verdict != "" {
		kind := corev1.EventTypeWarning
		if after.Status.Verdict == v1alpha1.OutcomeCleared {
			kind = corev1.EventTypeNormal
		}
		message := meta.FindStatusCondition(after.Status.Conditions, v1alpha1.ConditionReady).Message
		r.Events.Eventf(after, nil, kind, string(after.Status.Verdict), "Decide", "%s", message)
	}
	if before.Status.Verdict != "" && after.Status.Verdict == "" {
		r.Events.Eventf(after, nil, corev1.EventTypeWarning, v1alpha1.ReasonNotEnrolled, "Decide",
			"the namespace was taken out of policy %s: nothing holds this model any more", before.Status.Policy)
	}
	if was, is := waivedOf(before), waivedOf(after); was != is && is != "" {
		r.Events.Eventf(after, nil, corev1.EventTypeWarning, v1alpha1.ReasonSafeguardsWaived, "Decide", "%s", is)
	}
	if s := after.Status.Shortfall; s != nil && s.Step != "" && (before.Status.Shortfall == nil || before.Status.Shortfall.Step != s.Step) {
		r.Events.Eventf(after, nil, corev1.EventTypeWarning, string(s.Step), "Shortfall",
			"%s, as policy %s says", decision.StepWords(s.Step), after.Status.Policy)
	}
	r.tellReplacement(before, after)
}

// tellReplacement tells when running pods begin to be replaced, and when that meets an obstacle.
func (r *Reconciler) tellReplacement(before, after *v1alpha1.ModelDeployment) {
	is, was := after.Status.Replacement, v1alpha1.ReplacementState("")
	if before.Status.Replacement != nil {
		was = before.Status.Replacement.State
	}
	switch {
	case is == nil || is.State == was:
	case is.State == v1alpha1.ReplacementReplacing && is.LastEvictionTime == nil:
		r.Events.Eventf(after, nil, corev1.EventTypeNormal, "ReplacingPods", "Replace",
			"%d pods were created before an adjustment that the model needs: %s", is.Outdated, is.Message)
	case is.State == v1alpha1.ReplacementBlocked:
		r.Events.Eventf(after, nil, corev1.EventTypeWarning, "ReplacementBlocked", "Replace", "%s", is.Message)
	}
}

// waivedOf says what is waived; empty, nothing is.
func waivedOf(md *v1alpha1.ModelDeployment) string {
	if c := meta.FindStatusCondition(md.Status.Conditions, v1alpha1.ConditionWaived); c != nil && c.Status == metav1.ConditionTrue {
		return c.Message
	}
	return ""
}

func bounded(text string) string { return decision.OneLine(text, maxMessage) }
