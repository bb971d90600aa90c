package policies

import (
	"k8s.io/apimachinery/pkg/types"

	"github.com/interlock-dev/interlock/api/v1alpha1"
)

var othersName = types.NamespacedName{Namespace: "serving", Name: "model"}

// What the packs ask for, level by level; what binds, then what is only reported.
var (
	openaiReport   = []string{"preparedness-capabilities-report"}
	openaiDisclose = []string{"preparedness-public-disclosure"}
	openaiDeploy   = []string{"misuse-threat-model", "preparedness-safeguards-report"}
	openaiC1       = []string{"preparedness-misuse-safeguards"}
	openaiC2       = []string{"preparedness-misalignment-safeguards"}
	openaiC3       = []string{
		"access-management", "bug-bounty", "change-management", "dedicated-nodes", "egress-allow-list", "image-pinned",
		"image-provenance", "no-host-access", "no-interactive", "no-legacy-token", "pod-hardening", "security-audit",
		"security-monitoring", "security-red-team", "security-threat-model", "vulnerability-management",
		"weight-access-review", "weight-encryption",
	}
	openaiExamples = []string{
		"guard-in-path", "input-classifier", "misuse-red-team", "output-classifier", "rapid-remediation", "usage-monitoring",
		"vetted-users",
	}
	openaiMay = []string{"two-party-weight-access"}

	openaiResearch = map[string]v1alpha1.ThresholdState{
		"Long-range-autonomy": othersUnassessedState, "Sandbagging": othersUnassessedState, "Autonomous-replication": othersUnassessedState,
		"Undermining-safeguards": othersUnassessedState, "Nuclear-and-radiological": othersUnassessedState,
	}

	fsfAssessed = []string{"fsf-capability-assessment"}
	fsfMisuse   = []string{"fsf-residual-risk", "fsf-safety-case", "fsf-security-adequacy", "fsf-security-level-2-plus"}
	fsfExamples = []string{
		"bug-bounty", "input-classifier", "misuse-red-team", "misuse-threat-model", "output-classifier", "rapid-remediation",
		"usage-monitoring", "vetted-users",
	}
	fsfSL2 = []string{
		"access-management", "image-pinned", "insider-programme", "no-host-access", "sandboxed-runtime", "security-monitoring",
		"security-red-team", "weight-access-review", "weight-copy-registry", "weight-encryption",
	}

	randSL1 = []string{"access-management", "no-host-access"}
	randSL2 = []string{"image-pinned", "no-legacy-token", "weight-copy-registry", "weight-encryption"}
	randSL3 = []string{
		"dedicated-nodes", "egress-allow-list", "insider-programme", "no-interactive", "pod-hardening", "rand-security-team",
		"rand-two-layers", "security-red-team", "security-threat-model", "weight-access-review",
	}
	randSL4 = []string{
		"confidential-computing", "confidential-runtime", "egress-rate-limit", "image-provenance", "rand-four-layers",
		"rand-hardware-output-limit",
	}
	randSL5 = []string{"rand-eight-layers", "rand-inference-hardware", "rand-isolated-network"}

	euScope = []string{"scope-determination"}
	euLaw   = []string{"eu-cybersecurity", "eu-incident-reporting", "eu-model-evaluation", "eu-risk-acceptance"}
	euRisk  = []string{"eu-risk-acceptance", "eu-safety-mitigations"}
	euCode  = []string{
		"access-management", "bug-bounty", "change-management", "egress-allow-list", "egress-rate-limit",
		"eu-external-evaluation", "eu-framework", "eu-model-report", "eu-physical-access", "eu-training-data-check",
		"insider-programme", "no-host-access", "no-interactive", "no-legacy-token", "pod-hardening", "security-monitoring",
		"security-red-team", "security-threat-model", "usage-monitoring", "vulnerability-management", "weight-access-review",
		"weight-copy-registry", "weight-encryption", "weights-declared", "workload-weights-declared",
	}
	euExamples = []string{
		"confidential-computing", "confidential-runtime", "input-classifier", "output-classifier", "sandboxed-runtime",
		"security-audit", "vetted-users",
	}

	sb53Every = []string{"sb53-incident-reporting"}
	sb53Large = []string{"sb53-framework", "sb53-weight-security"}
)

// Where it was published.
var (
	sourceAgent = publicSource{
		document: "ChatGPT agent system card", version: "17 July 2025", section: "introduction; preparedness",
		url: "https://deploymentsafety.openai.com/chatgpt-agent", standing: publicToldOf,
		note: "the introduction was read (High in biology and chemistry as a precaution); that it is below High in " +
			"cybersecurity and self-improvement is from accounts; that Critical is ruled out for all models is in section 4.4 " +
			"of the Preparedness Framework",
	}
	sourceGPT5 = publicSource{
		document: "GPT-5 system card", version: "7 August 2025", section: "5.1.1, 5.1.2, 5.1.3",
		url: "https://cdn.openai.com/gpt-5-system-card.pdf", standing: publicRead,
		note: "that Critical is ruled out for all models is in section 4.4 of the Preparedness Framework",
	}
	sourceCodex53 = publicSource{
		document: "GPT-5.3-Codex system card", version: "5 February 2026", section: "pp. 4, 7, 11 to 13, 19",
		url: "https://deploymentsafety.openai.com/gpt-5-3-codex", standing: publicToldOf,
		note: "a digest of the card with its page numbers was read",
	}
	sourceFlash37 = publicSource{
		document: "Gemini 3.7 Flash model card", version: "August 2026", section: "Frontier Safety Assessment",
		url:      "https://storage.googleapis.com/deepmind-media/Model-Cards/Gemini-3-7-Flash-Model-Card.pdf",
		standing: publicRead, note: "the card prints no day: the 13th is assumed",
	}
	sourceDeepThink25 = publicSource{
		document: "Gemini 2.5 Deep Think model card", version: "1 August 2025", section: "Frontier Safety",
		url:      "https://storage.googleapis.com/deepmind-media/Model-Cards/Gemini-2-5-Deep-Think-Model-Card.pdf",
		standing: publicToldOf, note: "accounts that quote the card were read; they do not speak of deceptive alignment",
	}
	sourceLlama31 = publicSource{
		document: "The Llama 3 Herd of Models", version: "23 July 2024", section: "3.2, 5.4.5",
		url: "https://arxiv.org/abs/2407.21783", standing: publicRead,
		note: "that what it found of uplift answers for a tier of the provider's own framework is our reading",
	}
	sourceGPT3 = publicSource{
		document: "Language Models are Few-Shot Learners", version: "28 May 2020", section: "appendix D, table D.1",
		url: "https://arxiv.org/abs/2005.14165", standing: publicRead,
		note: "only the compute is from the paper; that no tier of the four risks is reached is assumed",
	}
	sourceFGF = publicSource{
		document: "OpenAI Frontier Governance Framework", version: "28 May 2026", section: "1",
		url:      "https://cdn.openai.com/pdf/e37d949b-8c9f-4d76-b99e-4272f4631a7e/openai-frontier-governance-framework.pdf",
		standing: publicRead, note: "it tells which models are covered, and not the revenue that makes a developer large",
	}
)

func othersModels() map[string]othersModel {
	models := map[string]othersModel{}
	for _, some := range []map[string]othersModel{openaiModels(), fsfModels(), randModels(), euModels(), sb53Models()} {
		for name, m := range some {
			models[name] = m
		}
	}
	return models
}

func openaiModels() map[string]othersModel {
	const pack = "openai-preparedness-v2"
	treatedAsHigh := map[string]v1alpha1.AssessmentOutcome{
		"Bio-High": othersInconclusive, "Bio-Critical": othersRuledOut, "Cyber-High": othersRuledOut, "Cyber-Critical": othersRuledOut,
		"Self-improvement-High": othersRuledOut, "Self-improvement-Critical": othersRuledOut,
	}
	bioStates := othersStates(openaiResearch, map[string]v1alpha1.ThresholdState{
		"Bio-High": othersInconclusiveState, "Bio-Critical": othersRuledOutState, "Cyber-High": othersRuledOutState,
		"Cyber-Critical": othersRuledOutState, "Self-improvement-High": othersRuledOutState, "Self-improvement-Critical": othersRuledOutState,
	})
	return map[string]othersModel{
		// No definitive evidence that it helps a novice to severe harm, treated as High in biology and chemistry as a
		// precaution; High in nothing else.
		"ChatGPT agent, for everybody": {
			pack: pack, source: sourceAgent, date: "2025-07-17", days: 1, declared: "High", audience: v1alpha1.AudienceGeneral, outcomes: treatedAsHigh,
			want: othersVerdict{
				Deployment: "High", Security: "High", Reason: v1alpha1.ReasonSafeguardsMissing, Thresholds: bioStates,
				Holding:  othersSorted(openaiReport, openaiDisclose, openaiDeploy, openaiC1, openaiC3),
				Reported: othersSorted(openaiExamples, openaiC2, openaiMay),
			}},
		// Treated as High in biology and chemistry in the same way. That it is used inside is ours: there, what is asked for
		// before external deployment falls away; the security controls do not.
		"gpt-5-thinking, inside": {
			pack: pack, source: sourceGPT5, date: "2025-08-07", days: 1, declared: "Below-High", audience: v1alpha1.AudienceInternal, outcomes: treatedAsHigh,
			want: othersVerdict{
				Deployment: "High", Security: "High", Reason: v1alpha1.ReasonSafeguardsMissing, Disputed: true, Thresholds: bioStates,
				Holding:  othersSorted(openaiReport, openaiDeploy, openaiC3),
				Reported: othersSorted(openaiC2, openaiMay),
			}},
		// Treated as High in cybersecurity, since it cannot be ruled out, and in biology and chemistry; below High in
		// self-improvement. High in cybersecurity asks for safeguards against misalignment inside the company.
		"GPT-5.3-Codex, inside": {
			pack: pack, source: sourceCodex53, date: "2026-02-05", days: 1, declared: "High", audience: v1alpha1.AudienceInternal,
			outcomes: map[string]v1alpha1.AssessmentOutcome{
				"Bio-High": othersInconclusive, "Bio-Critical": othersRuledOut, "Cyber-High": othersInconclusive, "Cyber-Critical": othersRuledOut,
				"Self-improvement-High": othersRuledOut, "Self-improvement-Critical": othersRuledOut,
			},
			want: othersVerdict{
				Deployment: "High", Security: "High", Reason: v1alpha1.ReasonSafeguardsMissing,
				Thresholds: othersStates(bioStates, map[string]v1alpha1.ThresholdState{"Cyber-High": othersInconclusiveState}),
				Holding:    othersSorted(openaiReport, openaiDeploy, openaiC2, openaiC3),
				Reported:   openaiMay,
			}},
		// Section 4.4 leaves open what Critical asks for, so it is held.
		"a model that nobody assessed": {
			pack: pack, source: madeUp("a model of which nobody has said anything"), date: "2026-10-01", days: 1, declared: "Below-High", audience: v1alpha1.AudienceGeneral,
			want: othersVerdict{
				Deployment: "Critical", Security: "Critical", Reason: v1alpha1.ReasonSafeguardsUnspecified, Disputed: true,
				Thresholds: othersStates(openaiResearch, map[string]v1alpha1.ThresholdState{
					"Bio-High": othersUnassessedState, "Bio-Critical": othersUnassessedState, "Cyber-High": othersUnassessedState,
					"Cyber-Critical": othersUnassessedState, "Self-improvement-High": othersUnassessedState,
					"Self-improvement-Critical": othersUnassessedState,
				}),
				Holding:  othersSorted(openaiReport, openaiDisclose, openaiDeploy, openaiC1, openaiC3),
				Reported: othersSorted(openaiExamples, openaiC2, openaiMay),
			}},
	}
}

func fsfModels() map[string]othersModel {
	const pack = "deepmind-fsf-v3.1"
	return map[string]othersModel{
		// Alert thresholds of CBRN and cyber are reached, and no tracked or critical capability level is.
		"Gemini 3.7 Flash": {
			pack: pack, source: sourceFlash37, date: "2026-08-13", days: 1, declared: "Below-TCL", audience: v1alpha1.AudienceGeneral,
			outcomes: map[string]v1alpha1.AssessmentOutcome{
				"CBRN-uplift-TCL": othersRuledOut, "CBRN-uplift-1": othersRuledOut, "Cyber-uplift-1": othersRuledOut, "Harmful-manipulation-1": othersRuledOut,
				"Stealth-and-situational-awareness-TCL": othersRuledOut, "ML-RD-acceleration-1": othersRuledOut, "ML-RD-automation-1": othersRuledOut,
			},
			want: othersVerdict{
				Deployment: "Below-TCL", Security: "Below-TCL", Reason: v1alpha1.ReasonSafeguardsMissing,
				Thresholds: map[string]v1alpha1.ThresholdState{
					"CBRN-uplift-TCL": othersRuledOutState, "CBRN-uplift-1": othersRuledOutState, "Cyber-uplift-1": othersRuledOutState,
					"Harmful-manipulation-1": othersRuledOutState, "Stealth-and-situational-awareness-TCL": othersRuledOutState,
					"ML-RD-acceleration-1": othersRuledOutState, "ML-RD-automation-1": othersRuledOutState,
				},
				Holding: fsfAssessed,
			}},
		// The early warning for CBRN uplift was reached, and more evaluation was needed to tell the level; that for cyber was
		// reached, too, and the level was not; ML R&D stayed below. The framework of that time had no level for manipulation
		// and no tracked levels, so nothing is said of them.
		"Gemini 2.5 Deep Think": {
			pack: pack, source: sourceDeepThink25, date: "2025-08-01", days: 1, declared: "Below-TCL", audience: v1alpha1.AudienceGeneral,
			outcomes: map[string]v1alpha1.AssessmentOutcome{
				"CBRN-uplift-1": othersInconclusive, "Cyber-uplift-1": othersRuledOut,
				"ML-RD-acceleration-1": othersRuledOut, "ML-RD-automation-1": othersRuledOut,
			},
			want: othersVerdict{
				Deployment: "CCL-SL2-plus", Security: "CCL-SL2-plus", Reason: v1alpha1.ReasonSafeguardsMissing, Disputed: true,
				Thresholds: map[string]v1alpha1.ThresholdState{
					"CBRN-uplift-TCL": othersUnassessedState, "CBRN-uplift-1": othersInconclusiveState, "Cyber-uplift-1": othersRuledOutState,
					"Harmful-manipulation-1": othersUnassessedState, "Stealth-and-situational-awareness-TCL": othersUnassessedState,
					"ML-RD-acceleration-1": othersRuledOutState, "ML-RD-automation-1": othersRuledOutState,
				},
				Holding:  othersSorted(fsfAssessed, fsfMisuse),
				Reported: othersSorted(fsfExamples, fsfSL2),
			}},
	}
}

func randModels() map[string]othersModel {
	// RAND-A2849-1 ties its levels to attackers, not to models: a model gets what it declares.
	at := func(level string, safeguards ...[]string) othersModel {
		return othersModel{pack: "rand-sl", source: madeUp("a model that declares " + level), date: "2026-10-01", days: 1, declared: level, audience: v1alpha1.AudienceGeneral,
			want: othersVerdict{Deployment: level, Security: level, Reason: v1alpha1.ReasonSafeguardsMissing, Holding: othersSorted(safeguards...)}}
	}
	return map[string]othersModel{
		"declared SL1": at("SL1", randSL1),
		"declared SL3": at("SL3", randSL1, randSL2, randSL3),
		"declared SL5": at("SL5", randSL1, randSL2, randSL3, randSL4, randSL5),
	}
}

func euModels() map[string]othersModel {
	const pack = "eu-gpai-code"
	// 3.8e25 operations went into Llama 3.1 405B, above the presumption of Article 51(2). Uplift studies for chemical and
	// biological weapons and for cyber attacks found none of significance; radiological and nuclear ones were not studied,
	// so the four together are not ruled out. The text does not speak of control and manipulation.
	llama := othersModel{
		pack: pack, source: sourceLlama31, date: "2024-07-23", days: 1, declared: "No-systemic-risk", audience: v1alpha1.AudienceGeneral,
		outcomes: map[string]v1alpha1.AssessmentOutcome{
			"High-impact-capabilities": othersReached, "CBRN": othersInconclusive, "Cyber-offence": othersRuledOut,
		},
		want: othersVerdict{
			Deployment: "Systemic-risk", Security: "Systemic-risk", Reason: v1alpha1.ReasonSafeguardsMissing, Disputed: true,
			Thresholds: map[string]v1alpha1.ThresholdState{
				"High-impact-capabilities": othersReachedState, "CBRN": othersInconclusiveState, "Cyber-offence": othersRuledOutState,
				"Loss-of-control": othersUnassessedState, "Harmful-manipulation": othersUnassessedState,
			},
			Holding:  othersSorted(euScope, euLaw, euRisk),
			Reported: othersSorted(euCode, euExamples),
		}}
	// The same by a provider that signed the Code: what the Code asks for binds.
	signed := llama
	signed.declared, signed.want.Disputed = "Code-signatory", false
	signed.source.note += "; that its provider signed the Code is assumed"
	signed.want.Deployment, signed.want.Security = "Code-signatory", "Code-signatory"
	signed.want.Holding, signed.want.Reported = othersSorted(euScope, euLaw, euRisk, euCode), euExamples
	// Half a year later nothing is ruled out any more (Measure 7.6): 184 days after 23 July is 23 January.
	stale := llama
	stale.days = 184
	stale.want.Thresholds = othersStates(llama.want.Thresholds, map[string]v1alpha1.ThresholdState{"Cyber-offence": othersStaleState})
	return map[string]othersModel{
		"Llama 3.1 405B":                    llama,
		"Llama 3.1 405B, by a signatory":    signed,
		"Llama 3.1 405B, half a year later": stale,
		// 3.14e23 operations went into it.
		"GPT-3 175B": {
			pack: pack, source: sourceGPT3, date: "2020-05-28", days: 1, declared: "No-systemic-risk", audience: v1alpha1.AudienceGeneral,
			outcomes: map[string]v1alpha1.AssessmentOutcome{
				"High-impact-capabilities": othersRuledOut, "CBRN": othersRuledOut, "Cyber-offence": othersRuledOut, "Loss-of-control": othersRuledOut,
				"Harmful-manipulation": othersRuledOut,
			},
			want: othersVerdict{
				Deployment: "No-systemic-risk", Security: "No-systemic-risk", Reason: v1alpha1.ReasonSafeguardsMissing,
				Thresholds: map[string]v1alpha1.ThresholdState{
					"High-impact-capabilities": othersRuledOutState, "CBRN": othersRuledOutState, "Cyber-offence": othersRuledOutState,
					"Loss-of-control": othersRuledOutState, "Harmful-manipulation": othersRuledOutState,
				},
				Holding: euScope,
			}},
	}
}

func sb53Models() map[string]othersModel {
	const pack = "california-sb53"
	states := func(frontier, large v1alpha1.ThresholdState) map[string]v1alpha1.ThresholdState {
		return map[string]v1alpha1.ThresholdState{"Frontier-model": frontier, "Large-frontier-developer": large}
	}
	// The framework by which a large frontier developer means to meet this act. So its frontier models are covered.
	covered := map[string]v1alpha1.AssessmentOutcome{"Frontier-model": othersReached, "Large-frontier-developer": othersReached}
	return map[string]othersModel{
		"a frontier model of a large developer, for everybody": {
			pack: pack, source: sourceFGF, date: "2026-05-28", days: 1, declared: "Large-frontier-developer", audience: v1alpha1.AudienceGeneral, outcomes: covered,
			want: othersVerdict{
				Deployment: "Large-frontier-developer", Security: "Large-frontier-developer", Reason: v1alpha1.ReasonSafeguardsMissing,
				Thresholds: states(othersReachedState, othersReachedState),
				Holding:    othersSorted(euScope, sb53Every, sb53Large, []string{"sb53-transparency-report", "sb53-risk-summaries"}),
			}},
		"a frontier model of a large developer, inside": {
			pack: pack, source: sourceFGF, date: "2026-05-28", days: 1, declared: "Not-covered", audience: v1alpha1.AudienceInternal, outcomes: covered,
			want: othersVerdict{
				Deployment: "Large-frontier-developer", Security: "Large-frontier-developer", Reason: v1alpha1.ReasonSafeguardsMissing,
				Disputed:   true,
				Thresholds: states(othersReachedState, othersReachedState),
				Holding:    othersSorted(euScope, sb53Every, sb53Large, []string{"sb53-internal-use"}),
			}},
		// § 22757.11(h) and (j): who trained above 10^26 operations owes a transparency report whatever its revenue.
		"a frontier model of a small developer": {
			pack: pack, source: madeUp("a developer below the revenue that makes one large"), date: "2026-05-28", days: 1, declared: "Frontier-developer", audience: v1alpha1.AudienceTrustedUsers,
			outcomes: map[string]v1alpha1.AssessmentOutcome{"Frontier-model": othersReached, "Large-frontier-developer": othersRuledOut},
			want: othersVerdict{
				Deployment: "Frontier-developer", Security: "Frontier-developer", Reason: v1alpha1.ReasonSafeguardsMissing,
				Thresholds: states(othersReachedState, othersRuledOutState),
				Holding:    othersSorted(euScope, sb53Every, []string{"sb53-transparency-report"}),
			}},
		// 3.8e25 operations, below 10^26.
		"Llama 3.1 405B, in California": {
			pack: pack, source: sourceLlama31, date: "2024-07-23", days: 1, declared: "Not-covered", audience: v1alpha1.AudienceGeneral,
			outcomes: map[string]v1alpha1.AssessmentOutcome{"Frontier-model": othersRuledOut, "Large-frontier-developer": othersRuledOut},
			want: othersVerdict{
				Deployment: "Not-covered", Security: "Not-covered", Reason: v1alpha1.ReasonSafeguardsMissing,
				Thresholds: states(othersRuledOutState, othersRuledOutState), Holding: euScope,
			}},
	}
}
