package decision

import (
	"cmp"
	"math/big"
	"slices"
	"strconv"
	"strings"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/interlock-dev/interlock/api/v1alpha1"
)

// threshold is what all assessments of a model together say of one threshold.
type threshold struct {
	definition *v1alpha1.Threshold
	severity   severity
	treatment  v1alpha1.Treatment
	// by is the assessment that decided; nil, none.
	by *assessment
	// why something is asked, such as "CBRN-3 Reached".
	why string
}

func (t *threshold) state() v1alpha1.ThresholdState { return states[t.severity] }

// validUntil is when what rules it out becomes too old; zero, never.
func (t *threshold) validUntil() time.Time {
	if t.severity == ruledOut {
		return t.by.ends
	}
	return time.Time{}
}

// asks says whether the model must have what the threshold leads to: unless it is ruled out, and so also while it holds
// the model. If not knowing asked for less than knowing, a finding that leaves all open would lower the level whose
// steps apply to running pods.
func (t *threshold) asks() bool { return t.treatment != "" }

// holds says whether the policy holds the model, whatever safeguards it has.
func (t *threshold) holds() bool { return t.treatment == v1alpha1.TreatHold }

func (t *threshold) result(in Input) v1alpha1.ThresholdResult {
	r := v1alpha1.ThresholdResult{Name: t.definition.Name, State: t.state(), TreatedAs: t.treatment}
	message, remedy := t.unsettled(in)
	r.Message, r.Remedy = OneLine(message, maxMessage), OneLine(remedy, maxRemedy)
	if t.by != nil {
		r.Assessment = t.by.Name
	}
	if end := t.validUntil(); !end.IsZero() {
		r.ValidUntil = &metav1.Time{Time: end}
	}
	return r
}

// Assessed tells for each threshold of the policy, by name, what the assessments of the model's weights say of it.
func Assessed(in Input) []v1alpha1.ThresholdResult {
	if in.Policy == nil || in.Model == nil {
		return nil
	}
	thresholds := assess(in)
	results := make([]v1alpha1.ThresholdResult, 0, len(thresholds))
	for i := range thresholds {
		results = append(results, thresholds[i].result(in))
	}
	return results
}

// severity orders what an assessment says of a threshold. Stale is the least: another assessment that still rules the
// threshold out stands beside it.
type severity uint8

const (
	silent severity = iota
	unapproved
	stale
	ruledOut
	saturated
	inconclusive
	reached
)

// states are the severities as the API writes them.
var states = [...]v1alpha1.ThresholdState{
	silent:       v1alpha1.ThresholdUnassessed,
	unapproved:   v1alpha1.ThresholdUnapproved,
	stale:        v1alpha1.ThresholdStale,
	ruledOut:     v1alpha1.ThresholdState(v1alpha1.AssessmentRuledOut),
	saturated:    v1alpha1.ThresholdState(v1alpha1.AssessmentSaturated),
	inconclusive: v1alpha1.ThresholdState(v1alpha1.AssessmentInconclusive),
	reached:      v1alpha1.ThresholdState(v1alpha1.AssessmentReached),
}

// assess says for each threshold of the policy, by name, what the assessments of the model's weights say of it: the most
// severe outcome that is not superseded.
func assess(in Input) []threshold {
	thresholds := thresholdsOf(in.Policy)
	if len(thresholds) == 0 {
		return nil
	}
	rules := RulesOf(in.Policy)
	treatments := treatmentsUnder(rules)
	filed := in.filed(rules)
	heard := hear(thresholds, filed)
	heard.supersede(filed, rules.Supersession)
	for i := range thresholds {
		t := &thresholds[i]
		for j := range filed {
			if said := heard.of(j, i); said.severity > t.severity && !said.superseded {
				t.severity, t.by = said.severity, &filed[j]
			}
		}
		if t.severity > ruledOut || !IsOnlyIfFound(t.definition) {
			t.treatment = treatments[t.severity]
		}
		if t.asks() {
			t.why = OneLine(t.definition.Name, maxReason/2) + " " + string(t.state())
		}
	}
	return thresholds
}

// IsOnlyIfFound says whether a threshold asks for nothing until an assessment finds it.
func IsOnlyIfFound(t *v1alpha1.Threshold) bool { return t.OnlyIfFound != nil && *t.OnlyIfFound }

func thresholdsOf(policy *v1alpha1.ScalingPolicy) []threshold {
	thresholds := make([]threshold, len(policy.Spec.Thresholds))
	for i := range thresholds {
		thresholds[i].definition = &policy.Spec.Thresholds[i]
	}
	slices.SortFunc(thresholds, func(a, b threshold) int { return strings.Compare(a.definition.Name, b.definition.Name) })
	return thresholds
}

// treatmentsUnder gives what follows from each severity; nothing, only if the threshold is ruled out.
func treatmentsUnder(rules v1alpha1.AssessmentRules) [len(states)]v1alpha1.Treatment {
	return [...]v1alpha1.Treatment{
		silent:       known(rules.Unassessed),
		unapproved:   known(rules.Unassessed),
		stale:        known(rules.Stale),
		ruledOut:     "",
		saturated:    known(rules.Inconclusive),
		inconclusive: known(rules.Inconclusive),
		reached:      v1alpha1.TreatAsReached,
	}
}

// known holds models where the treatment is not understood.
func known(t v1alpha1.Treatment) v1alpha1.Treatment {
	if t == "" || t == v1alpha1.TreatAsReached {
		return v1alpha1.TreatAsReached
	}
	return v1alpha1.TreatHold
}

// assessment is one that is about the model's weights.
type assessment struct {
	*v1alpha1.CapabilityAssessment
	// ends is when it no longer rules anything out; zero, never.
	ends time.Time
	// future says that its date has not come: what it found of danger counts, what it clears or supersedes does not yet.
	future bool
	// approved says that it has the sign-offs that the policy asks for: what it found of danger counts without.
	approved bool
	// tooOld says that it no longer rules anything out, by its age or because the model has outgrown it.
	tooOld, outgrown bool
}

// filed gives the assessments that are about the model's weights: first those that rule out the longest, then the newest.
func (in Input) filed(rules v1alpha1.AssessmentRules) []assessment {
	var filed []assessment
	asked := askedSignOffs(in.Policy, v1alpha1.SubjectAssessment, len(in.Policy.Spec.Levels))
	for i := range in.Assessments {
		a := assessment{CapabilityAssessment: &in.Assessments[i]}
		if !in.concerns(a.CapabilityAssessment) {
			continue
		}
		a.future = in.Now.Before(a.Spec.AssessedAt.Time)
		a.approved = in.approved(a.CapabilityAssessment, asked)
		if rules.MaxAgeMonths != nil {
			// Whole seconds, since the API keeps no fractions of an expiry.
			a.ends = AddMonths(a.Spec.AssessedAt.UTC().Truncate(time.Second), int(*rules.MaxAgeMonths))
			a.tooOld = !in.Now.Before(a.ends)
		}
		if rules.MaxComputeFactor != nil && outgrown(in.Model.Spec.Model.EffectiveCompute, a.Spec.EffectiveCompute, *rules.MaxComputeFactor) {
			a.tooOld, a.outgrown = true, true
		}
		filed = append(filed, a)
	}
	slices.SortFunc(filed, func(a, b assessment) int {
		return cmp.Or(b.ends.Compare(a.ends), b.Spec.AssessedAt.Compare(a.Spec.AssessedAt.Time), strings.Compare(a.Name, b.Name))
	})
	return filed
}

// concerns says whether an assessment is about the model's weights.
func (in Input) concerns(a *v1alpha1.CapabilityAssessment) bool {
	return slices.Contains(a.Spec.Digests, in.Model.Spec.Model.Digest)
}

// statement is what one assessment says of one threshold.
type statement struct {
	severity   severity
	superseded bool
}

// statements are what each assessment says of each threshold.
type statements struct {
	all        []statement
	thresholds int
}

func (s statements) of(assessment, threshold int) *statement {
	return &s.all[assessment*s.thresholds+threshold]
}

// hear notes what each assessment says of each threshold.
func hear(thresholds []threshold, filed []assessment) statements {
	s := statements{make([]statement, len(filed)*len(thresholds)), len(thresholds)}
	places := make(map[string]int, len(thresholds))
	for i := range thresholds {
		places[thresholds[i].definition.Name] = i
	}
	for j := range filed {
		i := -1
		for k := range filed[j].Spec.Outcomes {
			o := &filed[j].Spec.Outcomes[k]
			if i++; i >= len(thresholds) || thresholds[i].definition.Name != o.Threshold { // most are in order
				place, ok := places[o.Threshold]
				if !ok {
					continue
				}
				i = place
			}
			said := s.of(j, i)
			said.severity = max(said.severity, filed[j].severity(o.Outcome))
		}
	}
	return s
}

// severity is what an outcome amounts to now. One that is not known rules nothing out.
func (a *assessment) severity(outcome v1alpha1.AssessmentOutcome) severity {
	switch {
	case outcome == v1alpha1.AssessmentReached:
		return reached
	case outcome == v1alpha1.AssessmentSaturated:
		return saturated
	case outcome != v1alpha1.AssessmentRuledOut:
		return inconclusive
	case a.future:
		return silent
	case a.tooOld:
		return stale
	case !a.approved:
		return unapproved
	}
	return ruledOut
}

// supersede puts statements out of force that rule nothing out, where a newer assessment of the same weights names
// theirs, speaks of the threshold itself, and meets the policy's rule. One that rules a threshold out needs none: what is
// worse counts anyway, and what once ruled it out as well must not take it away by becoming too old.
func (s statements) supersede(filed []assessment, rule v1alpha1.Supersession) {
	places := make(map[string]int, len(filed))
	for k := range filed {
		places[filed[k].Name] = k
	}
	for j := range filed {
		newer := &filed[j]
		if newer.future || !newer.approved || !newer.mayBy(rule) {
			continue
		}
		for _, name := range newer.Spec.Supersedes {
			k, ok := places[name]
			if !ok || !newer.Spec.AssessedAt.After(filed[k].Spec.AssessedAt.Time) {
				continue
			}
			for i := range s.thresholds {
				if said := s.of(k, i); said.severity > ruledOut && s.of(j, i).severity != silent {
					said.superseded = true
				}
			}
		}
	}
}

// mayBy says whether an assessment may supersede under the policy's rule; under one that is not known, none may.
func (a *assessment) mayBy(rule v1alpha1.Supersession) bool {
	switch rule {
	case "", v1alpha1.SupersedeNamed:
		return true
	case v1alpha1.SupersedeIndependentEvaluator:
		return a.Spec.Evaluator.Independent != nil && *a.Spec.Evaluator.Independent
	}
	return false
}

// outgrown says whether a model has at least factor times the effective compute of the assessed one, or whether that
// cannot be told.
func outgrown(served, assessed string, factor int32) bool {
	s, ok1 := operations(served)
	a, ok2 := operations(assessed)
	if !ok1 || !ok2 || factor < 1 {
		return true
	}
	if ratio := s / a / float64(factor); ratio < 0.999 || ratio > 1.001 {
		return ratio > 1
	}
	// Too near to tell from rounded figures, which are all that is quick to read.
	exact, ok1 := new(big.Rat).SetString(served)
	limit, ok2 := new(big.Rat).SetString(assessed)
	return !ok1 || !ok2 || exact.Cmp(limit.Mul(limit, new(big.Rat).SetInt64(int64(factor)))) >= 0
}

// maxFigure is the longest figure that the API takes.
const maxFigure = 20

// operations reads a figure such as "3.2e26", rounded. Nothing at all is no figure.
func operations(figure string) (float64, bool) {
	for i := range len(figure) {
		if c := figure[i]; (c < '0' || c > '9') && c != '.' && c != 'e' && c != 'E' && c != '+' {
			return 0, false // what else ParseFloat reads, such as "Inf" or "0x1p4", is no figure
		}
	}
	if len(figure) > maxFigure {
		return 0, false
	}
	f, err := strconv.ParseFloat(figure, 64)
	return f, err == nil && f > 0
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
