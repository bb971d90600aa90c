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
	source publicSource
	at     time.Time
	found  rspFound
}

func rspDay(year int, month time.Month, d int) time.Time {
	return time.Date(year, month, d, 0, 0, 0, 0, time.UTC)
}

// Where it was published.
var (
	sourceOpus4 = publicSource{
		document: "Claude Opus 4 & Claude Sonnet 4 system card", version: "May 2025", section: "1.2.4, 7.3",
		url:      "https://www-cdn.anthropic.com/6d8a8055020700718b0c49369f60816ba2a7c285/Claude%204%20System%20Card.pdf",
		standing: publicRead,
		note: "that Opus 4 needs no ASL-4 and Sonnet 4 no ASL-3 is also in the announcement of 22 May 2025, " +
			"https://www.anthropic.com/news/activating-asl3-protections",
	}
	sourceHaiku45 = publicSource{
		document: "Claude Haiku 4.5 system card", version: "October 2025", section: "1.2.2, 6.2.3, 6.3",
		url:      "https://www-cdn.anthropic.com/7aad69bf12627d42234e01ee7c36305dc2f6a970/Claude%20Haiku%204.5%20System%20Card.pdf",
		standing: publicRead,
		note:     "that the thresholds above ASL-3 are ruled out is our reading",
	}
	sourceOpus45 = publicSource{
		document: "Claude Opus 4.5 system card", version: "November 2025", section: "1.2.4",
		url:      "https://www-cdn.anthropic.com/bf10f64990cfda0ba858290be7b8cc6317685f47/Claude%20Opus%204.5%20System%20Card.pdf",
		standing: publicRead,
		note:     "that AI R&D-5 is ruled out follows from AI R&D-4",
	}
	sourceOpus46 = publicSource{
		document: "Claude Opus 4.6 system card", version: "February 2026", section: "1.2.4, 8.3",
		url:      "https://www-cdn.anthropic.com/6a5fa276ac68b9aeb0c8b6af5fa36326e0e166dd/Claude%20Opus%204.6%20System%20Card.pdf",
		standing: publicRead,
		note:     "that AI R&D-5 is ruled out follows from AI R&D-4",
	}
	sourceMythos5 = publicSource{
		document: "Anthropic Risk Report", version: "August 2026, coverage date 15 July 2026", section: "1.2",
		url: "https://anthropic.com/aug-2026-risk-report", standing: publicRead,
	}
	sourceMythos51 = publicSource{
		document: "Claude Fable 5.1 & Claude Mythos 5.1 system card", version: "1 September 2026", section: "2.1.2",
		url: "https://www-cdn.anthropic.com/0339e6a7c5c7b87f5c07798616dc32c215d14235/" +
			"Claude%20Fable%205.1%20&%20Claude%20Mythos%205.1%20System%20Card.pdf",
		standing: publicRead,
	}
)

// What was published under version 2.2.
var (
	// Not ruled out for CBRN-3, "ruled out that it needs the ASL-4 Standard". Of the two checkpoint evaluations one was
	// below its limit and the other above it, and held to be saturated.
	rspOpus4 = rspModel{
		source: sourceOpus4, at: rspDay(2025, time.May, 22),
		found: rspFound{"CBRN-3": rspUnclear, "CBRN-4": rspOut, "AI R&D-4": rspOut, "AI R&D-5": rspOut,
			"Autonomy checkpoint": rspSaturated},
	}
	rspSonnet4 = rspModel{
		source: sourceOpus4, at: rspDay(2025, time.May, 22),
		found: rspFound{"CBRN-3": rspOut, "CBRN-4": rspOut, "AI R&D-4": rspOut, "AI R&D-5": rspOut,
			"Autonomy checkpoint": rspSaturated},
	}
	// Tested for ASL-3, and far below: what lies above follows. 16.45 of 45 hard problems of the checkpoint evaluation
	// were solved, below half.
	rspHaiku45 = rspModel{
		source: sourceHaiku45, at: rspDay(2025, time.October, 15),
		found: rspFound{"CBRN-3": rspOut, "CBRN-4": rspOut, "AI R&D-4": rspOut, "AI R&D-5": rspOut,
			"Autonomy checkpoint": rspOut},
	}
	// Released under ASL-3. The card tells of AI R&D-4 and CBRN-4 that they are not crossed, and not of the checkpoint.
	rspOpus45 = rspModel{
		source: sourceOpus45, at: rspDay(2025, time.November, 24),
		found: rspFound{"CBRN-3": rspUnclear, "CBRN-4": rspOut, "AI R&D-4": rspOut, "AI R&D-5": rspOut},
	}
	// The determination was that AI R&D-4 is not crossed; the card also speaks of a grey zone in which it is difficult to
	// rule it out cleanly, and an affirmative case was published for that reason. Cyber evaluations were saturated. The
	// checkpoint evaluation is told of, and no determination on it.
	rspOpus46 = rspModel{
		source: sourceOpus46, at: rspDay(2026, time.February, 5),
		found: rspFound{"CBRN-3": rspUnclear, "CBRN-4": rspOut, "AI R&D-4": rspOut, "AI R&D-5": rspOut,
			"Cyber operations": rspSaturated},
	}
	rspOpus46Grey = rspModel{
		source: sourceOpus46, at: rspDay(2026, time.February, 5),
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

	rspBeyond       = "Beyond what was analysed publicly"
	rspBeyondInside = "Internal risks beyond what was analysed publicly"
)

// What was published under version 3.4.
var (
	// "Act as though they meet" CB-1; CB-2 and automated R&D not met; misalignment is a concern in internal use.
	rspMythos5 = rspModel{
		source: sourceMythos5, at: rspDay(2026, time.July, 15),
		found: rspFound{rspCB1: rspUnclear, rspCB2: rspOut, rspMisaligned: rspReached, rspAutoRnD: rspOut},
	}
	// One model, served to vetted organisations as Mythos 5.1 and to everybody, with more safeguards, as Fable 5.1.
	rspMythos51 = rspModel{
		source: sourceMythos51, at: rspDay(2026, time.September, 1),
		found: rspFound{rspCB1: rspUnclear, rspCB2: rspOut, rspMisaligned: rspReached, rspAutoRnD: rspOut},
	}
	rspNearFuture = rspModel{
		source: madeUp("what version 3.4 would ask of a model for which CB-2 is not ruled out"),
		at:     rspDay(2026, time.September, 1),
		found:  rspFound{rspCB1: rspUnclear, rspCB2: rspUnclear, rspMisaligned: rspOut, rspAutoRnD: rspOut},
	}
	rspAutomated = rspModel{
		source: madeUp("what version 3.4 would ask of the first model that crosses the threshold"),
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
	// without names a Safeguard that is not in place all the same.
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
				if diff := cmp.Diff(named, decision.AskedOf(in).Required, cmpopts.EquateEmpty()); diff != "" {
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
			Threshold: threshold, Outcome: v1alpha1.AssessmentOutcome(state), Method: c.model.source.String()})
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
		case name == c.without, sg.Spec.Evidence != nil && !c.evidence:
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
