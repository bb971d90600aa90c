package policies

import (
	"maps"
	"os"
	"slices"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/interlock-dev/interlock/api/v1alpha1"
	"github.com/interlock-dev/interlock/internal/decision"
)

// packStartTimeout bounds what waits for a control plane.
const packStartTimeout = 3 * time.Minute

const (
	packRSP22         = "anthropic-rsp-v2.2"
	packRSP22Complete = "anthropic-rsp-v2.2-complete"
	packRSP34         = "anthropic-rsp-v3.4"
)

// States of thresholds, short.
const (
	rspOut        = v1alpha1.ThresholdState(v1alpha1.AssessmentRuledOut)
	rspReached    = v1alpha1.ThresholdState(v1alpha1.AssessmentReached)
	rspUnclear    = v1alpha1.ThresholdState(v1alpha1.AssessmentInconclusive)
	rspSaturated  = v1alpha1.ThresholdState(v1alpha1.AssessmentSaturated)
	rspStale      = v1alpha1.ThresholdStale
	rspUnassessed = v1alpha1.ThresholdUnassessed
)

// rspFound are what a published document found of each threshold. One that it does not speak of is not in it.
type rspFound map[string]v1alpha1.ThresholdState

// rspModel is an assessment as a developer published it.
type rspModel struct {
	// source names the document and, where there is one, the section.
	source string
	at     time.Time
	found  rspFound
}

func rspDay(year int, month time.Month, d int) time.Time {
	return time.Date(year, month, d, 0, 0, 0, 0, time.UTC)
}

// What was published under version 2.2.
var (
	// Not ruled out for CBRN-3, "ruled out that it needs the ASL-4 Standard". Of the two checkpoint evaluations one was
	// below its limit and the other above it, and held to be saturated.
	rspOpus4 = rspModel{
		source: "Claude 4 system card, May 2025, 1.2.4 and 7.3; Activating AI Safety Level 3 Protections, 22 May 2025",
		at:     rspDay(2025, time.May, 22),
		found: rspFound{"CBRN-3": rspUnclear, "CBRN-4": rspOut, "AI R&D-4": rspOut, "AI R&D-5": rspOut,
			"Autonomy checkpoint": rspSaturated},
	}
	rspSonnet4 = rspModel{
		source: "Claude 4 system card, May 2025, 1.2.4 and 7.3",
		at:     rspDay(2025, time.May, 22),
		found: rspFound{"CBRN-3": rspOut, "CBRN-4": rspOut, "AI R&D-4": rspOut, "AI R&D-5": rspOut,
			"Autonomy checkpoint": rspSaturated},
	}
	// Tested for ASL-3 alone, and far below: what lies above follows. Of the card a digest was read.
	rspHaiku45 = rspModel{
		source: "Claude Haiku 4.5 system card, October 2025, RSP evaluations (secondary)",
		at:     rspDay(2025, time.October, 15),
		found: rspFound{"CBRN-3": rspOut, "CBRN-4": rspOut, "AI R&D-4": rspOut, "AI R&D-5": rspOut,
			"Autonomy checkpoint": rspOut},
	}
	// Released under ASL-3. The card tells of AI R&D-4 and CBRN-4 that they are not crossed, and not of the checkpoint.
	rspOpus45 = rspModel{
		source: "Claude Opus 4.5 system card, November 2025, 1.2",
		at:     rspDay(2025, time.November, 24),
		found:  rspFound{"CBRN-3": rspUnclear, "CBRN-4": rspOut, "AI R&D-4": rspOut, "AI R&D-5": rspOut},
	}
	// The determination was that AI R&D-4 is not crossed; the card also speaks of a grey zone in which it cannot be
	// cleanly ruled out, and an affirmative case was published for that reason. Cyber evaluations were saturated.
	rspOpus46 = rspModel{
		source: "Claude Opus 4.6 system card, February 2026, 1.2.4",
		at:     rspDay(2026, time.February, 5),
		found: rspFound{"CBRN-3": rspUnclear, "CBRN-4": rspOut, "AI R&D-4": rspOut, "AI R&D-5": rspOut,
			"Cyber operations": rspSaturated},
	}
	rspOpus46Grey = rspModel{
		source: "Claude Opus 4.6 system card, February 2026, 8.3",
		at:     rspDay(2026, time.February, 5),
		found: rspFound{"CBRN-3": rspUnclear, "CBRN-4": rspOut, "AI R&D-4": rspUnclear, "AI R&D-5": rspOut,
			"Cyber operations": rspSaturated},
	}
)

// The thresholds of version 3.4, as its reports abbreviate them.
const (
	rspCB1        = "Non-novel chemical/biological weapons production"
	rspCB2        = "Novel chemical/biological weapons production"
	rspMisaligned = "Misaligned AI systems in high-stakes settings"
	rspAutoRnD    = "Automated R&D in key domains"
)

// What was published under version 3.4.
var (
	// "Act as though they meet" CB-1; CB-2 and automated R&D not met; misalignment is a concern in internal use.
	rspMythos5 = rspModel{
		source: "Anthropic Risk Report, August 2026, coverage date 15 July 2026, 1.2",
		at:     rspDay(2026, time.July, 15),
		found:  rspFound{rspCB1: rspUnclear, rspCB2: rspOut, rspMisaligned: rspReached, rspAutoRnD: rspOut},
	}
	// One model, served to vetted organisations as Mythos 5.1 and to everybody, with more safeguards, as Fable 5.1.
	rspMythos51 = rspModel{
		source: "Claude Fable 5.1 & Claude Mythos 5.1 system card, 1 September 2026, 2.1.2",
		at:     rspDay(2026, time.September, 1),
		found:  rspFound{rspCB1: rspUnclear, rspCB2: rspOut, rspMisaligned: rspReached, rspAutoRnD: rspOut},
	}
	// Not published of any model yet: the report expects to fail to rule CB-2 out for near-future ones.
	rspNearFuture = rspModel{
		source: "Anthropic Risk Report, August 2026, 4: expectation for near-future models",
		at:     rspDay(2026, time.September, 1),
		found:  rspFound{rspCB1: rspUnclear, rspCB2: rspUnclear, rspMisaligned: rspOut, rspAutoRnD: rspOut},
	}
	// Not published of any model.
	rspAutomated = rspModel{
		source: "none: what version 3.4 would ask of the first model that crosses the threshold",
		at:     rspDay(2026, time.September, 1),
		found:  rspFound{rspCB1: rspOut, rspCB2: rspOut, rspMisaligned: rspOut, rspAutoRnD: rspReached},
	}
)

// rspVerdict is what a framework asks of a model.
type rspVerdict struct {
	Outcome              v1alpha1.Outcome
	Reason               string
	Deployment, Security string
	// Disputed says that more is asked than was declared.
	Disputed bool
	// Thresholds in whatever state.
	Thresholds rspFound
	// Binding safeguards hold the model, Reported ones do not.
	Binding, Reported []string
}

// rspCase is one model under one pack.
type rspCase struct {
	pack     string
	model    rspModel
	declared string
	audience v1alpha1.Audience
	// after is how long after the assessment the model is decided on. Default: a day.
	after time.Duration
	// evidence verified: a later version of Interlock will do so. Default: none, as this version.
	evidence bool
	// without names evidence that is missing all the same.
	without string
	want    rspVerdict
}

func TestPublishedModels(t *testing.T) {
	for _, cases := range []map[string]rspCase{casesOfRSP22(), casesOfRSP22Complete(), casesOfRSP34()} {
		for _, name := range slices.Sorted(maps.Keys(cases)) {
			c := cases[name]
			t.Run(c.pack+"/"+name, func(t *testing.T) {
				in := c.input(buildPack(t, c.pack), t)
				got := rspSeen(decision.Decide(in))
				want := c.want
				want.Binding, want.Reported = slices.Sorted(slices.Values(want.Binding)), slices.Sorted(slices.Values(want.Reported))
				if diff := cmp.Diff(want, got, cmpopts.EquateEmpty()); diff != "" {
					t.Errorf("%s (-want +got):\n%s", c.model.source, diff)
				}
				named := slices.Sorted(slices.Values(append(slices.Clone(got.Binding), got.Reported...)))
				if diff := cmp.Diff(named, decision.Required(in), cmpopts.EquateEmpty()); diff != "" {
					t.Errorf("Required differs from the verdict (-verdict +Required):\n%s", diff)
				}
			})
		}
	}
}

const rspDigest = "sha256:" + "9f86d081884c7d659a2feaa0c55ad015a3bf4f1b2b0b822cd15d6c15b0f00a08"

// input is the model as it was published, with every rule about pods and networks met.
func (c rspCase) input(pack builtPack, t *testing.T) decision.Input {
	t.Helper()
	model := &v1alpha1.ModelDeployment{}
	model.Name, model.Namespace = "golden", "golden"
	model.Spec.Model = v1alpha1.Model{Name: "golden", Digest: rspDigest, EffectiveCompute: "1e26"}
	model.Spec.AssessedLevel, model.Spec.Audience = c.declared, c.audience

	a := v1alpha1.CapabilityAssessment{}
	a.Name = "golden"
	a.Spec = v1alpha1.CapabilityAssessmentSpec{
		Model: "golden", Digests: []string{rspDigest}, EffectiveCompute: "1e26", AssessedAt: metav1.NewTime(c.model.at)}
	for threshold, state := range c.model.found {
		a.Spec.Outcomes = append(a.Spec.Outcomes, v1alpha1.ThresholdOutcome{
			Threshold: threshold, Outcome: v1alpha1.AssessmentOutcome(state), Method: c.model.source})
	}
	after := c.after
	if after == 0 {
		after = 24 * time.Hour
	}
	in := decision.Input{
		Now: c.model.at.Add(after), PolicyName: c.pack, Policy: pack.policy(t), Model: model,
		Findings: map[string]decision.Finding{},
	}
	if len(a.Spec.Outcomes) > 0 {
		in.Assessments = []v1alpha1.CapabilityAssessment{a}
	}
	for name, sg := range pack.safeguards {
		f := decision.Finding{State: v1alpha1.SafeguardSatisfied, Strength: v1alpha1.StrengthEnforced}
		switch {
		case sg.Spec.Evidence != nil && (!c.evidence || name == c.without):
			f = decision.Finding{State: v1alpha1.SafeguardUnknown, Message: "not verified"}
		case sg.Spec.Evidence != nil:
			f.Strength = v1alpha1.StrengthAttested
		case sg.Spec.Resource != nil:
			f.Strength = v1alpha1.StrengthObserved
		}
		in.Findings[name] = f
	}
	return in
}

func rspSeen(v decision.Verdict) rspVerdict {
	got := rspVerdict{
		Outcome: v.Outcome, Reason: v.Reason, Deployment: v.DeploymentLevel, Security: v.SecurityLevel,
		Disputed: v.Disputed != "", Thresholds: rspFound{},
	}
	for _, t := range v.Thresholds {
		got.Thresholds[t.Name] = t.State
	}
	for _, s := range v.Safeguards {
		if s.Force == v1alpha1.ForceDiscretionary || s.Force == v1alpha1.ForceRecommendation {
			got.Reported = append(got.Reported, s.Name)
		} else {
			got.Binding = append(got.Binding, s.Name)
		}
	}
	return got
}

// The sample model and its assessment show a reader what a cleared model looks like, so it had better be cleared.
func TestSampleModelIsCleared(t *testing.T) {
	read := func(name string) []byte {
		t.Helper()
		text, err := os.ReadFile(packConfigDir(t, "samples", name))
		if err != nil {
			t.Fatal(err)
		}
		return text
	}
	model, ok := decodePack(t, read("modeldeployment.yaml"))[0].(*v1alpha1.ModelDeployment)
	if !ok {
		t.Fatal("modeldeployment.yaml holds something else")
	}
	assessment, ok := decodePack(t, read("assessment.yaml"))[0].(*v1alpha1.CapabilityAssessment)
	if !ok {
		t.Fatal("assessment.yaml holds something else")
	}
	bare := rspCase{pack: packRSP22, model: rspModel{at: assessment.Spec.AssessedAt.Time}}
	in := bare.input(buildPack(t, packRSP22), t)
	in.Model, in.Assessments = model, []v1alpha1.CapabilityAssessment{*assessment}

	v := decision.Decide(in)
	want := rspVerdict{
		Outcome: v1alpha1.OutcomeCleared, Reason: v1alpha1.ReasonCleared, Deployment: "ASL-3", Security: "ASL-3",
		Thresholds: rspFound{"CBRN-3": rspReached, "CBRN-4": rspOut, "AI R&D-4": rspOut, "AI R&D-5": rspOut,
			"Autonomy checkpoint": rspOut, "Cyber operations": rspUnclear},
		Binding: slices.Sorted(slices.Values(rspNames(rspASL2, rspASL3))),
	}
	if diff := cmp.Diff(want, rspSeen(v), cmpopts.EquateEmpty()); diff != "" {
		t.Errorf("-want +got:\n%s\n%s", diff, v.Message)
	}
}
