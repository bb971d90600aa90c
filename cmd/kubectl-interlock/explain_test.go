package main

import (
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	utilruntime "k8s.io/apimachinery/pkg/util/runtime"
	"k8s.io/cli-runtime/pkg/genericiooptions"
	testingclock "k8s.io/utils/clock/testing"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/client/fake"

	"github.com/interlock-dev/interlock/api/v1alpha1"
	"github.com/interlock-dev/interlock/internal/testing/builder"
)

// held is a model that lacks a safeguard and an approval, and for which another safeguard is waived.
func held() *v1alpha1.ModelDeployment {
	later := &metav1.Time{Time: now.Add(time.Hour)}
	md := builder.ModelDeployment("team-a", "llm").Level("ASL-3").Build()
	md.Generation = 2
	md.Status = v1alpha1.ModelDeploymentStatus{
		ObservedGeneration: 2, Policy: "rsp", Verdict: v1alpha1.OutcomeRevoked, DeploymentLevel: "ASL-3", SecurityLevel: "ASL-2",
		Conditions: []metav1.Condition{
			{Type: v1alpha1.ConditionReady, Status: metav1.ConditionFalse, Reason: v1alpha1.ReasonSafeguardsMissing, Message: "egress is missing" + escapes},
			{Type: v1alpha1.ConditionWaived, Status: metav1.ConditionTrue, Reason: v1alpha1.ReasonSafeguardsWaived, Message: "not repeated"},
			{Type: v1alpha1.ConditionRecorded, Status: metav1.ConditionFalse, Reason: v1alpha1.ReasonNotRecorded, Message: "the disk is full"}},
		Disputed: "declared ASL-2",
		Thresholds: []v1alpha1.ThresholdResult{{Name: "CBRN-3", State: "RuledOut", Assessment: "may", ValidUntil: later}, {Name: "Cyber", State: v1alpha1.ThresholdStale, Assessment: "april", TreatedAs: v1alpha1.TreatAsReached,
			Message: "CapabilityAssessment april ruled it out for 6 months, until 2026-10-01T00:00:00Z", Remedy: "assess the model again"}},
		SafeguardsMet: "1/3, 1 waived",
		Safeguards: []v1alpha1.SafeguardResult{
			{Name: "audited", RequiredBy: []string{"Security ASL-2"}, Force: v1alpha1.ForceBinding, State: v1alpha1.SafeguardSatisfied, Strength: v1alpha1.StrengthAttested, Message: "signed by red-team", ValidUntil: later},
			{Name: "classifier", RequiredBy: []string{"Deployment ASL-3"}, Force: v1alpha1.ForceBinding, State: v1alpha1.SafeguardWaived, Message: "no classifier", Waiver: "no-classifier", ValidUntil: later},
			{Name: "egress", RequiredBy: []string{"Deployment ASL-3: declared", "Security ASL-2"}, Force: v1alpha1.ForceLaw + escapes, State: v1alpha1.SafeguardMissing, Message: "anything may be reached" + escapes, Remedy: "add a NetworkPolicy\nsoon"}},
		SignOffs: []v1alpha1.SignOffResult{
			{Kind: v1alpha1.SubjectDecision, Name: "llm", Role: "ceo", People: 2, Approvers: []string{"cleo"}, Message: "old: it is of another digest", Remedy: "printf ..."},
			{Kind: v1alpha1.SubjectWaiver, Name: "no-classifier", Role: "rso", People: 1, Approvers: []string{"rhea" + escapes}}},
		Waivers: []v1alpha1.WaiverResult{
			{Name: "gone", State: v1alpha1.WaiverExpired, Message: "ended"}, {Name: "no-classifier", State: v1alpha1.WaiverInForce, Message: "in force"}},
		Shortfall: &v1alpha1.Shortfall{Since: metav1.Time{Time: now}, Step: "Isolate", NextStepTime: later, Blocked: "a budget"},
	}
	return md
}

func cleared(until time.Time) *v1alpha1.ModelDeployment {
	md := builder.ModelDeployment("team-a", "llm").Level("ASL-2").Build()
	md.Generation = 1
	md.Status = v1alpha1.ModelDeploymentStatus{
		ObservedGeneration: 1, Policy: "rsp", Verdict: v1alpha1.OutcomeCleared, DeploymentLevel: "ASL-2", SecurityLevel: "ASL-2", SafeguardsMet: "0/0",
		ValidUntil: &metav1.Time{Time: until}, Conditions: []metav1.Condition{{Type: v1alpha1.ConditionReady, Status: metav1.ConditionTrue, Reason: v1alpha1.ReasonCleared, Message: "all there"}}}
	return md
}

func TestExplain(t *testing.T) {
	changed := cleared(now.Add(time.Second))
	changed.Generation = 2
	unenrolled := builder.ModelDeployment("team-a", "llm").Build()
	unenrolled.Generation = 1
	unenrolled.Status = v1alpha1.ModelDeploymentStatus{ObservedGeneration: 1, Conditions: []metav1.Condition{
		{Type: v1alpha1.ConditionReady, Status: metav1.ConditionFalse, Reason: v1alpha1.ReasonNotEnrolled, Message: "nothing is enforced here"}}}
	fallenBack := cleared(now.Add(time.Second))
	fallenBack.Status.Conditions = append(fallenBack.Status.Conditions,
		metav1.Condition{Type: v1alpha1.ConditionFallenBack, Status: metav1.ConditionTrue, Reason: "X", Message: "small serves"},
		metav1.Condition{Type: v1alpha1.ConditionAdjusted, Status: metav1.ConditionTrue, Reason: v1alpha1.ReasonObjectsInPlace, Message: "not told"})
	for name, tc := range map[string]struct {
		model  *v1alpha1.ModelDeployment
		output string
		want   string
	}{
		"revoked":         {held(), "", "explain.txt"},
		"JSON":            {held(), "json", "explain.json"},
		"YAML":            {held(), "yaml", "explain.yaml"},
		"cleared":         {cleared(now.Add(time.Second)), "", "explain-cleared.txt"},
		"lapsed":          {cleared(now), "", "explain-lapsed.txt"},
		"changed since":   {changed, "", "explain-changed.txt"},
		"not enrolled":    {unenrolled, "", "explain-unenrolled.txt"},
		"not seen":        {builder.ModelDeployment("team-a", "llm").Build(), "", "explain-unseen.txt"},
		"on its fallback": {fallenBack, "", "explain-fallback.txt"},
	} {
		t.Run(name, func(t *testing.T) {
			scheme := runtime.NewScheme()
			utilruntime.Must(v1alpha1.AddToScheme(scheme))
			waiver := builder.Waiver("team-a", "no-classifier").Model("llm").Safeguards("classifier").NotAfter(now.Add(time.Hour)).By("ann"+escapes, now).Build()
			elsewhere := builder.Waiver("team-b", "gone").Model("llm").Safeguards("classifier").NotAfter(now.Add(time.Hour)).By("ann", now).Build()
			c := fake.NewClientBuilder().WithScheme(scheme).WithObjects(tc.model, waiver, elsewhere).Build()
			streams, _, out, errOut := genericiooptions.NewTestIOStreams()
			o := &explainOptions{cluster: &cluster{IOStreams: streams, PassiveClock: testingclock.NewFakePassiveClock(now)}, output: tc.output}
			if err := o.explain(t.Context(), c, client.ObjectKeyFromObject(tc.model)); err != nil || errOut.Len() > 0 {
				t.Fatalf("%v, said %q", err, errOut)
			}
			checkVisible(t, out)
			golden(t, tc.want, out.String())
			if err := o.explain(t.Context(), c, client.ObjectKey{Namespace: "team-a", Name: "nope"}); err == nil || !strings.Contains(err.Error(), "there is no ModelDeployment team-a/nope") {
				t.Errorf("explained what is not there: %v", err)
			}
		})
	}
}

// TestExplainAShortfallThatIsRemembered: people are told until when, and what comes if it is not over by then.
func TestExplainAShortfallThatIsRemembered(t *testing.T) {
	at := func(minutes int) *metav1.Time {
		return &metav1.Time{Time: time.Date(2026, 5, 14, 10, minutes, 0, 0, time.UTC)}
	}
	got := shortfallFacts(&v1alpha1.Shortfall{Since: *at(2), Step: v1alpha1.ShortfallIsolate, NextStepTime: at(12), QuietSince: at(7), RememberedUntil: at(17)})
	want := facts{
		{"shortfall", "of 2026-05-14T10:02:00Z, remembered until 2026-05-14T10:17:00Z: no pod has run without clearance since 2026-05-14T10:07:00Z"},
		{"last step", "Isolate"},
		{"next step", "2026-05-14T10:12:00Z, if a pod runs without clearance again before the shortfall is over"},
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
}
