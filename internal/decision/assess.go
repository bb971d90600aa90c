package decision

import (
	"fmt"
	"math/big"
	"slices"
	"time"

	"github.com/interlock-dev/interlock/api/v1alpha1"
)

// threshold is what all assessments of a model together say of one threshold.
type threshold struct {
	definition *v1alpha1.Threshold
	state      v1alpha1.ThresholdState
	treatment  v1alpha1.Treatment
	// assessment that decided, by name.
	assessment string
	// validUntil is when what rules it out becomes too old; zero, never.
	validUntil time.Time
}

func (t threshold) ruledOut() bool {
	return t.state == v1alpha1.ThresholdState(v1alpha1.AssessmentRuledOut)
}
func (t threshold) asReached() bool { return !t.ruledOut() && t.treatment != v1alpha1.TreatHold }
func (t threshold) holds() bool     { return !t.ruledOut() && t.treatment == v1alpha1.TreatHold }
func (t threshold) why() string     { return fmt.Sprintf("%s %s", t.definition.Name, t.state) }

// assess says for each threshold of the policy what the assessments of the model's weights say of it.
func assess(in Input) []threshold {
	if len(in.Policy.Spec.Thresholds) == 0 {
		return nil
	}
	rules := v1alpha1.AssessmentRules{}
	if in.Policy.Spec.Assessment != nil {
		rules = *in.Policy.Spec.Assessment
	}
	current := in.current(rules)
	thresholds := make([]threshold, 0, len(in.Policy.Spec.Thresholds))
	for i := range in.Policy.Spec.Thresholds {
		thresholds = append(thresholds, judge(&in.Policy.Spec.Thresholds[i], current, rules, in.Now))
	}
	return thresholds
}

// assessment is one that is about the model's weights and whose date has come.
type assessment struct {
	*v1alpha1.CapabilityAssessment
	// ends is when it no longer rules anything out; zero, never.
	ends time.Time
	// outgrown says that the served model has too much more effective compute than the assessed one, or that this cannot
	// be told.
	outgrown bool
}

// current gives the assessments that are about the model's weights and whose date has come, by name.
func (in Input) current(rules v1alpha1.AssessmentRules) []assessment {
	var current []assessment
	for i := range in.Assessments {
		a := &in.Assessments[i]
		if !slices.Contains(a.Spec.Digests, in.Model.Spec.Model.Digest) || in.Now.Before(a.Spec.AssessedAt.Time) {
			continue
		}
		c := assessment{CapabilityAssessment: a}
		if rules.MaxAgeMonths != nil {
			c.ends = AddMonths(a.Spec.AssessedAt.UTC(), int(*rules.MaxAgeMonths))
		}
		if rules.MaxComputeFactor != nil {
			c.outgrown = outgrown(in.Model.Spec.Model.EffectiveCompute, a.Spec.EffectiveCompute, *rules.MaxComputeFactor)
		}
		current = append(current, c)
	}
	slices.SortFunc(current, func(a, b assessment) int {
		if a.Name < b.Name {
			return -1
		}
		return 1
	})
	return current
}

// outgrown says whether a model has at least factor times the effective compute of the assessed one, or does not say.
func outgrown(served, assessed string, factor int32) bool {
	s, ok1 := new(big.Rat).SetString(served)
	a, ok2 := new(big.Rat).SetString(assessed)
	if !ok1 || !ok2 {
		return true
	}
	return s.Cmp(a.Mul(a, new(big.Rat).SetInt64(int64(factor)))) >= 0
}

// judge takes the most severe outcome that is not superseded.
func judge(definition *v1alpha1.Threshold, current []assessment, rules v1alpha1.AssessmentRules, now time.Time) threshold {
	t := threshold{definition: definition, state: v1alpha1.ThresholdUnassessed, treatment: orAsReached(rules.Unassessed)}
	worst := -1
	for _, a := range current {
		outcome, ok := outcomeOf(a, definition.Name)
		if !ok || superseded(a, definition.Name, current, rules.Supersession) {
			continue
		}
		state, treatment := a.says(outcome, rules, now)
		severity := severityOf(state)
		switch {
		case severity > worst:
			t.state, t.treatment, t.assessment, t.validUntil = state, treatment, a.Name, a.ends
			worst = severity
		case severity == worst && t.ruledOut() && later(a.ends, t.validUntil):
			t.assessment, t.validUntil = a.Name, a.ends
		}
	}
	if !t.ruledOut() {
		t.validUntil = time.Time{}
	}
	return t
}

// says gives what an outcome amounts to now, and what follows. An outcome that is not known rules nothing out.
func (a assessment) says(outcome v1alpha1.AssessmentOutcome, rules v1alpha1.AssessmentRules, now time.Time) (v1alpha1.ThresholdState, v1alpha1.Treatment) {
	switch outcome {
	case v1alpha1.AssessmentReached:
		return v1alpha1.ThresholdState(outcome), v1alpha1.TreatAsReached
	case v1alpha1.AssessmentRuledOut:
		if a.outgrown || !a.ends.IsZero() && !now.Before(a.ends) {
			return v1alpha1.ThresholdStale, orAsReached(rules.Stale)
		}
		return v1alpha1.ThresholdState(outcome), ""
	case v1alpha1.AssessmentSaturated:
		return v1alpha1.ThresholdState(outcome), orAsReached(rules.Inconclusive)
	default:
		return v1alpha1.ThresholdState(v1alpha1.AssessmentInconclusive), orAsReached(rules.Inconclusive)
	}
}

var severities = []v1alpha1.ThresholdState{
	v1alpha1.ThresholdStale, v1alpha1.ThresholdState(v1alpha1.AssessmentRuledOut),
	v1alpha1.ThresholdState(v1alpha1.AssessmentSaturated), v1alpha1.ThresholdState(v1alpha1.AssessmentInconclusive),
	v1alpha1.ThresholdState(v1alpha1.AssessmentReached),
}

// severityOf orders states. A stale one is the least: another that still rules the threshold out stands beside it.
func severityOf(s v1alpha1.ThresholdState) int { return slices.Index(severities, s) }

func outcomeOf(a assessment, name string) (v1alpha1.AssessmentOutcome, bool) {
	for i := range a.Spec.Outcomes {
		if a.Spec.Outcomes[i].Threshold == name {
			return a.Spec.Outcomes[i].Outcome, true
		}
	}
	return "", false
}

// superseded says whether a newer assessment of the same weights puts this one out of force for a threshold: it names
// this one, speaks of the threshold itself, and meets the policy's rule.
func superseded(a assessment, threshold string, current []assessment, rule v1alpha1.Supersession) bool {
	if rule == v1alpha1.SupersedeNever {
		return false
	}
	return slices.ContainsFunc(current, func(newer assessment) bool {
		if !slices.Contains(newer.Spec.Supersedes, a.Name) || !newer.Spec.AssessedAt.After(a.Spec.AssessedAt.Time) {
			return false
		}
		independent := newer.Spec.Evaluator.Independent != nil && *newer.Spec.Evaluator.Independent
		if rule == v1alpha1.SupersedeIndependentEvaluator && !independent {
			return false
		}
		_, speaks := outcomeOf(newer, threshold)
		return speaks
	})
}

// AddMonths adds calendar months, and takes the last day of a month that is too short: 31 August and six months is the
// last of February.
func AddMonths(t time.Time, months int) time.Time {
	added := t.AddDate(0, months, 0)
	if added.Day() != t.Day() {
		return added.AddDate(0, 0, -added.Day())
	}
	return added
}

// later says whether one end is later than another; zero is never, the latest of all.
func later(a, b time.Time) bool {
	return !b.IsZero() && (a.IsZero() || a.After(b))
}

func orAsReached(t v1alpha1.Treatment) v1alpha1.Treatment {
	if t == "" {
		return v1alpha1.TreatAsReached
	}
	return t
}
