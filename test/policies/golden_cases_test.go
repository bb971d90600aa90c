package policies

import (
	"maps"
	"slices"
	"time"

	"github.com/interlock-dev/interlock/api/v1alpha1"
)

// What version 2.2 asks at each level, as far as rules about pods and networks show it.
var (
	rspASL2           = []string{"no-runtime-loading", "no-host-access", "weights-declared"}
	rspASL3Deployment = []string{"input-classifier", "output-classifier", "guard-in-path"}
	rspASL3Security   = []string{
		"dedicated-nodes", "egress-allow-list", "image-pinned", "no-interactive", "no-legacy-token", "pod-hardening"}
	rspASL3 = rspNames(rspASL3Deployment, rspASL3Security)
)

// And what evidence has to show.
var (
	rspASL2Evidence = []string{
		"rsp-capability-report", "rsp-officers-decision", "rsp-noncompliance-channel", "rsp-policy-changes-approved",
		"rsp-procedural-review", "rsp-model-card", "rsp-harmlessness-evaluation", "rsp-fine-tuning-protections", "bug-bounty",
		"rsp-security-programme", "weight-copy-registry", "weight-encryption", "vulnerability-management"}
	rspASL3DeploymentEvidence = []string{
		"misuse-threat-model", "misuse-red-team", "rapid-remediation", "rsp-monitoring-plan", "usage-monitoring",
		"rsp-third-party-environments", "rsp-safeguards-report-deployment", "rsp-follow-up-assessment"}
	rspASL3SecurityEvidence = []string{
		"security-threat-model", "access-management", "weight-access-review", "two-party-weight-access", "egress-rate-limit",
		"image-provenance", "rsp-sbom", "change-management", "execution-allow-listing", "rsp-tamper-evident-audit",
		"security-monitoring", "insider-programme", "rsp-security-resourcing", "security-audit", "security-red-team",
		"rsp-third-party-environments", "rsp-safeguards-report-security", "rsp-follow-up-assessment"}
	rspASL3Evidence = rspNames(rspASL3DeploymentEvidence, rspASL3SecurityEvidence)
)

// What version 3.4 asks.
var (
	rspGovernance34 = []string{"rsp-frontier-safety-roadmap", "rsp-noncompliance-channel", "rsp-policy-changes-approved",
		"rsp-procedural-review", "weights-declared"}
	rspReports34 = []string{"rsp-risk-report", "rsp-risk-report-approval"}
	// What is asked wherever a model is served, and what of a service to everybody alone: trusted users are exempt from classifiers.
	rspASL3Served34     = []string{"bug-bounty", "rapid-remediation", "usage-monitoring", "no-runtime-loading"}
	rspASL3Deployment34 = rspNames(rspASL3Deployment, rspASL3Served34, []string{"misuse-red-team"})
	rspASL3Security34   = rspNames(rspASL3Security, []string{
		"no-host-access", "egress-rate-limit", "two-party-weight-access", "change-management", "execution-allow-listing"})
	rspASL3At34 = rspNames(rspASL3Deployment34, rspASL3Security34)
	rspVetted34 = rspNames(rspASL3Served34, rspASL3Security34, []string{"vetted-users"})
)

// rspNames puts lists together, each name once.
func rspNames(lists ...[]string) []string {
	all := slices.Sorted(slices.Values(slices.Concat(lists...)))
	return slices.Compact(all)
}

// with completes what was found by thresholds that nobody spoke of, or whose state time has changed.
func (f rspFound) with(others rspFound) rspFound {
	all := maps.Clone(f)
	maps.Copy(all, others)
	return all
}

func rspCleared(level string, f rspFound, binding, reported []string) rspVerdict {
	return rspVerdict{Outcome: v1alpha1.OutcomeCleared, Reason: v1alpha1.ReasonCleared, Deployment: level, Security: level,
		Thresholds: f, Binding: binding, Reported: reported}
}

func (a rspVerdict) held(reason string) rspVerdict {
	a.Outcome, a.Reason = v1alpha1.OutcomeHeld, reason
	return a
}

func (a rspVerdict) disputed() rspVerdict {
	a.Disputed = true
	return a
}

func (a rspVerdict) at(deployment, security string) rspVerdict {
	a.Deployment, a.Security = deployment, security
	return a
}

func casesOfRSP22() map[string]rspCase {
	unwatched := rspFound{"Cyber operations": rspUnassessed}
	noCheckpoint := rspFound{"Autonomy checkpoint": rspUnassessed}
	// Six calendar months from 22 May 2025.
	halfYear := rspDay(2025, time.November, 22).Sub(rspOpus4.at)
	lapsed := rspFound{"CBRN-3": rspUnclear, "CBRN-4": rspStale, "AI R&D-4": rspStale, "AI R&D-5": rspStale,
		"Autonomy checkpoint": rspSaturated, "Cyber operations": rspUnassessed}
	nothing := rspFound{"CBRN-3": rspUnassessed, "CBRN-4": rspUnassessed,
		"AI R&D-4": rspUnassessed, "AI R&D-5": rspUnassessed,
		"Autonomy checkpoint": rspUnassessed, "Cyber operations": rspUnassessed}

	cases := map[string]rspCase{
		// The checkpoint is not ruled out, and the text aims at ASL-3 Security by then: reported, not required.
		"Claude Sonnet 4": {model: rspSonnet4, declared: "ASL-2",
			want: rspCleared("ASL-2", rspSonnet4.found.with(unwatched), rspASL2, rspASL3Security)},
		"Claude Haiku 4.5": {model: rspHaiku45, declared: "ASL-2",
			want: rspCleared("ASL-2", rspHaiku45.found.with(unwatched), rspASL2, nil)},
		"Claude Opus 4": {model: rspOpus4, declared: "ASL-3",
			want: rspCleared("ASL-3", rspOpus4.found.with(unwatched), rspNames(rspASL2, rspASL3), nil)},
		// What cannot be ruled out counts as reached (3.3), whatever is declared.
		"Claude Opus 4, had it been declared at ASL-2": {model: rspOpus4, declared: "ASL-2",
			want: rspCleared("ASL-3", rspOpus4.found.with(unwatched), rspNames(rspASL2, rspASL3), nil).disputed()},
		"Claude Opus 4, in the last second of its assessment": {
			model: rspOpus4, declared: "ASL-3", after: halfYear - time.Second,
			want: rspCleared("ASL-3", rspOpus4.found.with(unwatched), rspNames(rspASL2, rspASL3), nil)},
		"Claude Opus 4, six months later": {model: rspOpus4, declared: "ASL-3", after: halfYear,
			want: rspCleared("ASL-4", lapsed, rspNames(rspASL2, rspASL3), nil).
				held(v1alpha1.ReasonSafeguardsUnspecified).disputed()},
		"Claude Opus 4.5": {model: rspOpus45, declared: "ASL-3",
			want: rspCleared("ASL-3", rspOpus45.found.with(unwatched).with(noCheckpoint), rspNames(rspASL2, rspASL3), nil)},
		"Claude Opus 4.6": {model: rspOpus46, declared: "ASL-3",
			want: rspCleared("ASL-3", rspOpus46.found.with(noCheckpoint), rspNames(rspASL2, rspASL3), nil)},
		// The affirmative case that AI R&D-4 asks for cannot be shown under this pack.
		"Claude Opus 4.6, in the grey zone": {model: rspOpus46Grey, declared: "ASL-3",
			want: rspCleared("ASL-3", rspOpus46Grey.found.with(noCheckpoint), rspNames(rspASL2, rspASL3), nil).
				held(v1alpha1.ReasonSafeguardsUnspecified)},
		"a model that nobody assessed": {model: rspModel{source: madeUp("section 3.3"), at: rspOpus4.at}, declared: "ASL-2",
			want: rspCleared("ASL-4", nothing, rspNames(rspASL2, rspASL3), nil).
				held(v1alpha1.ReasonSafeguardsUnspecified).disputed()},
		// A model whose one threshold is AI R&D-4 needs ASL-3 Security and no deployment standard.
		"a model that reached AI R&D-4 alone": {declared: "ASL-2",
			model: rspModel{source: madeUp("section 2"), at: rspOpus4.at, found: rspHaiku45.found.with(rspFound{"AI R&D-4": rspReached})},
			want: rspCleared("ASL-2", rspHaiku45.found.with(unwatched).with(rspFound{"AI R&D-4": rspReached}),
				rspNames(rspASL2, rspASL3Security), nil).at("ASL-2", "ASL-3").held(v1alpha1.ReasonSafeguardsUnspecified).disputed()},
	}
	return rspUnder(packRSP22, v1alpha1.AudienceGeneral, cases)
}

func casesOfRSP22Complete() map[string]rspCase {
	unwatched := rspFound{"Cyber operations": rspUnassessed}
	noCheckpoint := rspFound{"Autonomy checkpoint": rspUnassessed}
	whole2 := rspNames(rspASL2, rspASL2Evidence)
	whole3 := rspNames(whole2, rspASL3, rspASL3Evidence)
	general := rspNames(rspASL3Deployment, []string{"misuse-red-team"})
	vetted3 := append(slices.DeleteFunc(slices.Clone(whole3), func(s string) bool { return slices.Contains(general, s) }), "vetted-users")
	grey := rspOpus46Grey.found.with(noCheckpoint)
	case4 := []string{"rsp-affirmative-case-misalignment"}

	cases := map[string]rspCase{
		"Claude Opus 4, while no evidence can be verified": {model: rspOpus4, declared: "ASL-3",
			want: rspCleared("ASL-3", rspOpus4.found.with(unwatched), whole3, nil).held(v1alpha1.ReasonSafeguardsMissing)},
		"Claude Opus 4": {model: rspOpus4, declared: "ASL-3", evidence: true,
			want: rspCleared("ASL-3", rspOpus4.found.with(unwatched), whole3, nil)},
		"Claude Opus 4, to trusted users": {
			model: rspOpus4, declared: "ASL-3", evidence: true, audience: v1alpha1.AudienceTrustedUsers,
			want: rspCleared("ASL-3", rspOpus4.found.with(unwatched), vetted3, nil)},
		"Claude Sonnet 4": {model: rspSonnet4, declared: "ASL-2", evidence: true,
			want: rspCleared("ASL-2", rspSonnet4.found.with(unwatched), whole2,
				rspNames(rspASL3Security, rspASL3SecurityEvidence))},
		"Claude Haiku 4.5": {model: rspHaiku45, declared: "ASL-2", evidence: true,
			want: rspCleared("ASL-2", rspHaiku45.found.with(unwatched), whole2, nil)},
		"Claude Opus 4.6, in the grey zone": {model: rspOpus46Grey, declared: "ASL-3", evidence: true,
			want: rspCleared("ASL-3", grey, rspNames(whole3, case4), nil)},
		"Claude Opus 4.6, in the grey zone, without its sabotage risk report": {
			model: rspOpus46Grey, declared: "ASL-3", evidence: true, without: "rsp-affirmative-case-misalignment",
			want: rspCleared("ASL-3", grey, rspNames(whole3, case4), nil).held(v1alpha1.ReasonSafeguardsMissing)},
	}
	return rspUnder(packRSP22Complete, v1alpha1.AudienceGeneral, cases)
}

func casesOfRSP34() map[string]rspCase {
	cb := []string{"rsp-strong-argument-small-teams"}
	sabotage := []string{"rsp-strong-argument-sabotage"}
	told := rspNames(cb, sabotage, []string{"rsp-risk-report-names-model"})
	// Nobody found that these go beyond what was analysed publicly.
	not := rspFound{rspBeyond: rspUnassessed, rspBeyondInside: rspUnassessed}
	below := rspFound{rspCB1: rspOut, rspCB2: rspOut, rspMisaligned: rspOut, rspAutoRnD: rspOut}
	general := rspNames(rspGovernance34, rspReports34, rspASL3At34)
	vetted := rspNames(rspGovernance34, rspReports34, rspVetted34)
	beyond, beyondInside := rspMythos51, rspMythos5
	beyond.found = rspMythos51.found.with(rspFound{rspBeyond: rspReached})
	beyondInside.found = rspMythos5.found.with(rspFound{rspBeyondInside: rspReached})

	cases := map[string]rspCase{
		// Released after the coverage date of the last report: its system card analyses it, and no report names it yet.
		"Claude Fable 5.1, to everybody, named by no report": {model: rspMythos51, declared: "ASL-3", evidence: true,
			without: "rsp-risk-report-names-model",
			want:    rspCleared("ASL-3", rspMythos51.found.with(not), general, told)},
		"Claude Fable 5.1, while no report is current": {model: rspMythos51, declared: "ASL-3", evidence: true, without: "rsp-risk-report",
			want: rspCleared("ASL-3", rspMythos51.found.with(not), general, told).held(v1alpha1.ReasonSafeguardsMissing)},
		"Claude Fable 5.1, while no evidence can be verified": {model: rspMythos51, declared: "ASL-3",
			want: rspCleared("ASL-3", rspMythos51.found.with(not), general, told).held(v1alpha1.ReasonSafeguardsMissing)},
		"Claude Fable 5.1, had it gone beyond what was analysed publicly": {model: beyond, declared: "ASL-3", evidence: true,
			want: rspCleared("ASL-3", beyond.found.with(rspFound{rspBeyondInside: rspUnassessed}),
				rspNames(general, []string{"rsp-off-cycle-analysis"}), told)},
		"Claude Fable 5.1, had it gone beyond and nobody analysed it": {model: beyond, declared: "ASL-3", evidence: true,
			without: "rsp-off-cycle-analysis",
			want: rspCleared("ASL-3", beyond.found.with(rspFound{rspBeyondInside: rspUnassessed}),
				rspNames(general, []string{"rsp-off-cycle-analysis"}), told).held(v1alpha1.ReasonSafeguardsMissing)},
		// The same weights: vetted users, and classifiers relaxed.
		"Claude Mythos 5.1, to vetted organisations": {model: rspMythos51, declared: "ASL-3", evidence: true,
			audience: v1alpha1.AudienceTrustedUsers, without: "input-classifier",
			want: rspCleared("ASL-3", rspMythos51.found.with(not), vetted, told)},
		"Claude Mythos 5.1, to organisations that nobody vetted": {model: rspMythos51, declared: "ASL-3", evidence: true,
			audience: v1alpha1.AudienceTrustedUsers, without: "vetted-users",
			want: rspCleared("ASL-3", rspMythos51.found.with(not), vetted, told).held(v1alpha1.ReasonSafeguardsMissing)},
		// Reports cover internal models only for what they may do there: misalignment, automated R&D.
		"Claude Mythos 5, inside the company": {model: rspMythos5, declared: "ASL-3", evidence: true,
			audience: v1alpha1.AudienceInternal,
			want:     rspCleared("ASL-3", rspMythos5.found.with(not), vetted, rspNames(cb, sabotage))},
		// Its analysis is due within 30 days, so it is told of.
		"Claude Mythos 5, inside the company, had its risks gone beyond": {model: beyondInside, declared: "ASL-3", evidence: true,
			audience: v1alpha1.AudienceInternal, without: "rsp-off-cycle-analysis",
			want: rspCleared("ASL-3", beyondInside.found.with(rspFound{rspBeyond: rspUnassessed}), vetted,
				rspNames(cb, sabotage, []string{"rsp-off-cycle-analysis"}))},
		"a model like Claude Haiku 4.5, inside the company": {declared: "ASL-2", evidence: true,
			audience: v1alpha1.AudienceInternal,
			model:    rspModel{source: madeUp("below every threshold"), at: rspMythos5.at, found: below},
			want:     rspCleared("ASL-2", below.with(not), rspGovernance34, nil)},
		// SL4 is recommended and so never the level that holds.
		"a model for which CB-2 is not ruled out": {model: rspNearFuture, declared: "ASL-3", evidence: true,
			want: rspCleared("ASL-3", rspNearFuture.found.with(not),
				rspNames(general, []string{"rsp-expanded-coverage", "rsp-threat-pathways-shared"}),
				rspNames(cb, []string{"rsp-strong-argument-resourced-actors", "rsp-security-near-sl4", "rsp-risk-report-names-model"}))},
		"a model that automates R&D": {model: rspAutomated, declared: "ASL-2", evidence: true,
			want: rspCleared("ASL-2", rspAutomated.found.with(not),
				rspNames(rspGovernance34, rspReports34, []string{"rsp-external-review"}),
				rspNames(rspASL3At34, []string{"rsp-moonshot-security-research", "rsp-eyes-on-everything",
					"rsp-alignment-assessment", "rsp-internal-red-teaming", "rsp-strong-argument-state-actors", "rsp-strong-argument-insiders",
					"rsp-strong-argument-model-goals", "rsp-security-near-sl4", "rsp-risk-report-names-model"}))},
	}
	return rspUnder(packRSP34, v1alpha1.AudienceGeneral, cases)
}

// rspUnder sets what cases of one pack have in common.
func rspUnder(pack string, audience v1alpha1.Audience, cases map[string]rspCase) map[string]rspCase {
	for name, c := range cases {
		c.pack = pack
		if c.audience == "" {
			c.audience = audience
		}
		cases[name] = c
	}
	return cases
}
