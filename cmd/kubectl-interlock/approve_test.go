package main

import (
	"context"
	"strings"
	"testing"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime"
	utilruntime "k8s.io/apimachinery/pkg/util/runtime"
	"k8s.io/cli-runtime/pkg/genericiooptions"
	testingclock "k8s.io/utils/clock/testing"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/client/fake"
	"sigs.k8s.io/controller-runtime/pkg/client/interceptor"

	"github.com/interlock-dev/interlock/api/v1alpha1"
	"github.com/interlock-dev/interlock/internal/decision"
	"github.com/interlock-dev/interlock/internal/testing/builder"
)

const escapes = "\u009b2J\u202e"

// approvable is one of each kind that can be approved, written or asked for by Ann, as the operator has seen them. What
// people write freely has escape sequences in it.
func approvable() []client.Object {
	byAnn := map[string]string{v1alpha1.CreatedByAnnotation: "ann", v1alpha1.EditedByAnnotation: "ann"}
	rule := func(kind v1alpha1.SubjectKind, noticeTo ...string) v1alpha1.ApprovalRule {
		return v1alpha1.ApprovalRule{Kind: kind, NoticeTo: noticeTo}
	}
	sg := builder.Safeguard("guard").Build()
	rsp := builder.ScalingPolicy("rsp").Level(builder.Level("ASL-2")).Level(builder.Level("ASL-3").Deployment("guard")).Build()
	rsp.Annotations = byAnn
	rsp.Spec.SignOffs = []v1alpha1.SignOff{{Role: "RSO", Purpose: "tests", ApproverRole: "rso", Approves: []v1alpha1.ApprovalRule{
		rule(v1alpha1.SubjectAssessment), rule(v1alpha1.SubjectWaiver), rule(v1alpha1.SubjectDecision, "Board"), rule(v1alpha1.SubjectPolicy), rule(v1alpha1.SubjectRiskReport)}}}
	rsp.Status.Digest = decision.Digest(rsp, []v1alpha1.Safeguard{*sg})
	other := builder.ScalingPolicy("other").Level(builder.Level("ASL-2")).Build()
	other.Spec.SignOffs = []v1alpha1.SignOff{{Role: "Chair", Purpose: "tests", ApproverRole: "chair", Approves: []v1alpha1.ApprovalRule{rule(v1alpha1.SubjectDecision)}}}

	assessment := builder.Assessment("may", now.AddDate(0, -1, 0)).Outcome(v1alpha1.AssessmentRuledOut, "CBRN-3").Outcome(v1alpha1.AssessmentReached, "CBRN"+escapes).Build()
	assessment.Annotations = byAnn
	assessment.Spec.Dissent = []v1alpha1.Dissent{{By: "Dan", Statement: "It\nwas too quick."}}
	waiver := builder.Waiver("team-a", "no-guard").Model("llm").Safeguards("guard").NotAfter(now.Add(time.Hour)).By("ann", now).Build()
	waiver.Spec.Reason = "Its image" + escapes + " has to be rebuilt."
	model := builder.ModelDeployment("team-a", "llm").Level("ASL-3").Build()
	model.Annotations, model.Generation = byAnn, 2
	model.Status = v1alpha1.ModelDeploymentStatus{
		ObservedGeneration: 2, Policy: "rsp", DecisionDigest: builder.Digest, DeploymentLevel: "ASL-3", SecurityLevel: "ASL-2",
		Thresholds: []v1alpha1.ThresholdResult{{Name: "CBRN-3", State: "RuledOut", Assessment: "may"}}}
	behind := model.DeepCopy()
	behind.Name, behind.Generation = "behind", 3
	unasked := model.DeepCopy()
	unasked.Name, unasked.Status.DecisionDigest = "unasked", ""
	report := &v1alpha1.RiskReport{ObjectMeta: metav1.ObjectMeta{Name: "q2", Annotations: byAnn}, Spec: v1alpha1.RiskReportSpec{
		Source: v1alpha1.Source{Document: "Risk Report"}, Document: builder.Digest, Date: "2026-05-01", Digests: []string{builder.Digest}}}
	stale := rsp.DeepCopy()
	stale.Name = "stale"
	own := builder.Waiver("team-a", "by-rhea").Model("llm").Safeguards("guard").NotAfter(now.Add(time.Hour)).By("rhea", now).Build()
	return []client.Object{sg, rsp, other, assessment, waiver, model, behind, unasked, report, stale, own}
}

// noted does as the API server: it notes who approved.
func noted(ctx context.Context, c client.WithWatch, o client.Object, options ...client.CreateOption) error {
	o.(*v1alpha1.Approval).Spec.Approver = &v1alpha1.Requester{Username: "rhea", Credential: "X509SHA256=rhea"}
	return c.Create(ctx, o, options...)
}

// newer marks an object that is to be read with a field that this program does not know.
const newer = "newer"

func ofANewerVersion(ctx context.Context, c client.WithWatch, key client.ObjectKey, o client.Object, options ...client.GetOption) error {
	if err := c.Get(ctx, key, o, options...); err != nil || o.GetAnnotations()[newer] == "" {
		return err
	}
	return unstructured.SetNestedField(o.(*unstructured.Unstructured).Object, "low", "spec", "severity")
}

// approved is what became of an approval.
type approved struct {
	ran
	approvals []v1alpha1.Approval
}

func approve(t *testing.T, stdin string, o approveOptions, subject string, objects ...client.Object) (got approved) {
	t.Helper()
	scheme := runtime.NewScheme()
	utilruntime.Must(v1alpha1.AddToScheme(scheme))
	c := fake.NewClientBuilder().WithScheme(scheme).WithObjects(objects...).WithInterceptorFuncs(interceptor.Funcs{Create: noted, Get: ofANewerVersion}).Build()
	streams, in, out, errOut := genericiooptions.NewTestIOStreams()
	in.WriteString(stdin)
	o.cluster = &cluster{IOStreams: streams, PassiveClock: testingclock.NewFakePassiveClock(now)}
	if o.role == "" {
		o.role = "rso"
	}
	if o.dryRun == "" {
		o.dryRun = "none"
	}
	kind, name, err := subjectOf([]string{subject})
	if err == nil {
		err = o.approve(t.Context(), c, kind, client.ObjectKey{Namespace: "team-a", Name: name})
	}
	checkVisible(t, out)
	checkVisible(t, errOut)
	got.ran = ran{out: out.String(), err: errOut.String()}
	if err != nil {
		got.code, got.err = 1, got.err+"error: "+err.Error()
	}
	list := &v1alpha1.ApprovalList{}
	if err := c.List(t.Context(), list); err != nil {
		t.Fatal(err)
	}
	got.approvals = list.Items
	return got
}

// What is approved is shown, and what is created counts for what was shown.
func TestApprove(t *testing.T) {
	objects := approvable()
	for name, o := range map[string]client.Object{
		"assessment/may": objects[3], "waiver/no-guard": objects[4], "mdl/llm": objects[5], "rsp/rsp": objects[1], "RiskReport/q2": objects[8],
	} {
		t.Run(name, func(t *testing.T) {
			got := approve(t, "y\n", approveOptions{comment: "Agreed.", noticeGivenTo: []string{"Board"}}, name, objects...)
			if got.code != 0 || len(got.approvals) != 1 {
				t.Fatalf("ended with %d, said %q, created %d", got.code, got.err, len(got.approvals))
			}
			a := &got.approvals[0]
			digest, authors := decision.Approvable(o)
			if reason, why := decision.Objection(a, digest, authors); reason != "" || digest == "" {
				t.Errorf("the approval %+v does not count: %s", a.Spec, why)
			}
			if a.Namespace != "team-a" || a.Spec.Role != "rso" || a.Spec.Subject.Name != o.GetName() || a.Spec.Comment != "Agreed." || len(a.Spec.NoticeGivenTo) != 1 {
				t.Errorf("approval %+v", a)
			}
			kind, _, _ := strings.Cut(strings.ToLower(name), "/")
			golden(t, "approve-"+kind+".txt", got.err)
		})
	}
}

// Without a yes nothing is approved, and what is only tried leaves nothing.
func TestApproveCreatesNothing(t *testing.T) {
	const waiver = "waiver/no-guard"
	for name, tc := range map[string]struct {
		stdin   string
		options approveOptions
		subject string
		objects func([]client.Object)
		fails   bool
		want    string
	}{
		"no answer":         {subject: waiver, fails: true, want: "nothing was approved: answer y, or say --yes"},
		"no":                {stdin: "n\n", subject: waiver, fails: true, want: "nothing was approved"},
		"a long yes":        {stdin: "yes!\n", subject: waiver, fails: true, want: "nothing was approved"},
		"client dry run":    {options: approveOptions{dryRun: "client"}, subject: waiver, want: "rso-... created (client dry run)"},
		"server dry run":    {options: approveOptions{dryRun: "server"}, subject: waiver, want: "as rhea, in namespace team-a; asked for by ScalingPolicy rsp"},
		"as YAML":           {options: approveOptions{dryRun: "client", output: "yaml"}, subject: waiver, want: "apiVersion: interlock.dev/v1alpha1\nkind: Approval\nmetadata:\n  generateName: rso-\n  namespace: team-a\nspec:\n  role: rso\n  subject:\n    digest: sha256:"},
		"another digest":    {options: approveOptions{digest: builder.Digest}, subject: waiver, fails: true, want: "and not " + builder.Digest + " of --digest"},
		"not there":         {subject: "waiver/nope", fails: true, want: "there is no Waiver team-a/nope"},
		"one's own":         {options: approveOptions{yes: true}, subject: "waiver/by-rhea", fails: true, want: "would not count: rhea wrote what is approved, or asked for it"},
		"by whom?":          {options: approveOptions{yes: true}, subject: "rsp/rsp", objects: func(o []client.Object) { o[1].SetAnnotations(nil) }, fails: true, want: "who wrote the subject is not known"},
		"no such role":      {options: approveOptions{role: "ceo"}, subject: waiver, fails: true, want: `no ScalingPolicy that bears on it asks for the approval of Waiver team-a/no-guard in role "ceo"`},
		"a role elsewhere":  {options: approveOptions{role: "chair"}, subject: "mdl/llm", fails: true, want: "no ScalingPolicy that bears on it asks"},
		"nobody was told":   {subject: "mdl/llm", fails: true, want: `asks that Board be told before: tell them, and say so with --notice-given-to="Board"`},
		"behind":            {subject: "mdl/behind", fails: true, want: "the operator has not decided on the last change of ModelDeployment team-a/behind yet"},
		"nobody asks":       {subject: "mdl/unasked", fails: true, want: "nobody asks for the approval"},
		"a stale policy":    {subject: "rsp/stale", fails: true, want: "the operator has not seen the last change of ScalingPolicy stale or of a Safeguard"},
		"a newer Safeguard": {subject: "rsp/rsp", objects: func(o []client.Object) { o[0].(*v1alpha1.Safeguard).Spec.Title = "another" }, fails: true, want: "the operator has not seen the last change of ScalingPolicy rsp"},
		"a field not known": {subject: waiver, objects: func(o []client.Object) { o[4].SetAnnotations(map[string]string{newer: "true"}) }, fails: true,
			want: `take one of the operator's version: Waiver no-guard: strict decoding error: unknown field "spec.severity"`},
	} {
		t.Run(name, func(t *testing.T) {
			objects := approvable()
			if tc.objects != nil {
				tc.objects(objects)
			}
			got := approve(t, tc.stdin, tc.options, tc.subject, objects...)
			if fails := got.code != 0; fails != tc.fails || !strings.Contains(got.out+got.err, tc.want) {
				t.Errorf("ended with %d, printed %q, said %q; want %q", got.code, got.out, got.err, tc.want)
			}
			if len(got.approvals) > 0 {
				t.Errorf("created %+v", got.approvals)
			}
		})
	}
}
