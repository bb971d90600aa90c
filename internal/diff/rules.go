package diff

import (
	"fmt"
	"slices"
	"strings"

	"github.com/interlock-dev/interlock/api/v1alpha1"
	"github.com/interlock-dev/interlock/internal/decision"
)

// compareAssessment compares the rules on when assessments count. They bear on models by thresholds that both policies
// have and that lead to something.
func (d *difference) compareAssessment() {
	before, after := decision.RulesOf(d.before.Policy), decision.RulesOf(d.after.Policy)
	bears := d.rulesBear()
	note := func(where string, was, is fmt.Stringer, moved shift) {
		if was.String() == is.String() {
			return
		}
		why := "for each threshold"
		if !bears {
			moved, why = shift{}, "no threshold that both policies have leads to anything"
		}
		d.note(Change{What: SubjectAssessment, Where: where, Before: was.String(), After: is.String(), Why: why}, moved)
	}
	for _, limit := range []struct {
		where   string
		was, is limit
	}{
		{"maxAgeMonths", limit{before.MaxAgeMonths, "months"}, limit{after.MaxAgeMonths, "months"}},
		{"maxComputeFactor", limit{before.MaxComputeFactor, "times"}, limit{after.MaxComputeFactor, "times"}},
	} {
		note(limit.where, limit.was, limit.is, raised(-decision.Bound(limit.was.bound), -decision.Bound(limit.is.bound)))
	}
	for _, t := range []struct {
		where   string
		was, is v1alpha1.Treatment
	}{
		{"unassessed", before.Unassessed, after.Unassessed},
		{"stale", before.Stale, after.Stale},
		{"inconclusive", before.Inconclusive, after.Inconclusive},
	} {
		was, is := decision.TreatmentOf(t.was), decision.TreatmentOf(t.is)
		note(t.where, text(was), text(is), shift{weaker: was == v1alpha1.TreatHold, stronger: is == v1alpha1.TreatHold})
	}
	was, is := decision.SupersessionRank(before.Supersession), decision.SupersessionRank(after.Supersession)
	note("supersession", text(decision.Supersessions[was]), text(decision.Supersessions[is]), raised(was, is))
}

type text string

func (t text) String() string { return string(t) }

// limit is a bound that may be absent.
type limit struct {
	bound *int32
	unit  string
}

func (l limit) String() string {
	if l.bound == nil {
		return "no limit"
	}
	return fmt.Sprintf("%d %s", *l.bound, l.unit)
}

func (d *difference) rulesBear() bool {
	holds := d.holdsUnsettled(0) || d.holdsUnsettled(1)
	return slices.ContainsFunc(d.thresholds(), func(name string) bool {
		before, after := d.leadsTo(0, name), d.leadsTo(1, name)
		return before != "" && after != "" && (holds || before != nothing || after != nothing)
	})
}

// holdsUnsettled says whether a policy holds models in some case that is not settled by an assessment.
func (d *difference) holdsUnsettled(side int) bool {
	treatments := decision.TreatmentsUnder(decision.RulesOf(d.side(side).Policy))
	return slices.Contains(treatments, v1alpha1.TreatHold)
}

// method is how a Safeguard is verified: all checks must be met, within the limits of what they allow.
type method struct {
	// checks that must all be met.
	checks []string
	// allows lists what the checks let through.
	allows []string
	// believes lists those who may sign evidence, and threshold is how many of them must.
	believes  []string
	threshold int32
	// maxAgeDays of evidence; absent, any age.
	maxAgeDays *int32
}

// methodOf gives how a framework verifies a Safeguard; nothing, if it cannot.
func methodOf(f Framework, name string) method {
	spec, ok := f.Safeguards[name]
	var m method
	if !ok {
		return m
	}
	if spec.PodRule != nil {
		for _, v := range spec.PodRule.Validations {
			m.checks = append(m.checks, "pods meet "+oneSpaced(v.Expression))
		}
	}
	if spec.Resource != nil && spec.Resource.Egress != nil {
		m.checks = append(m.checks, "egress is closed but for what is allowed")
		m.allows = slices.Sorted(slices.Values(spec.Resource.Egress.AllowedCIDRs))
	}
	if spec.Resource != nil && spec.Resource.Weights != nil {
		m.checks = append(m.checks, "workloads name no weights but those that the model declares")
	}
	if e := spec.Evidence; e != nil {
		about := ""
		if e.Binding == v1alpha1.BindEnvironment {
			about = " about the environment"
		}
		m.checks = append(m.checks, fmt.Sprintf("statement %s%s by %s", e.PredicateType, about, e.Issuer))
		if e.Condition != "" {
			m.checks = append(m.checks, "the statement meets "+oneSpaced(e.Condition))
		}
		m.believes, m.threshold, m.maxAgeDays = slices.Sorted(slices.Values(e.Signers)), max(e.Threshold, 1), e.MaxAgeDays
	}
	slices.Sort(m.checks)
	m.checks = slices.Compact(m.checks)
	return m
}

// key identifies a method; empty, there is none.
func (m method) key() string {
	if len(m.checks) == 0 {
		return ""
	}
	return fmt.Sprintf("%q %q %q %d %s", m.checks, m.allows, m.believes, m.threshold, limit{m.maxAgeDays, "days"})
}

// compareVerification lists how Safeguards are verified otherwise than before. It matters where a Safeguard holds a model
// both before and after.
func (d *difference) compareVerification() {
	for _, p := range d.safeguards {
		if !p.both() {
			continue
		}
		before, after := methodOf(d.before, p.before), methodOf(d.after, p.after)
		if before.key() == after.key() {
			continue
		}
		holding := slices.ContainsFunc(d.probes, func(q probe) bool {
			s := q.strictness(p.name())
			return s[0] > 0 && s[1] > 0
		})
		d.compareMethods(p.name(), before, after, holding)
	}
}

func (d *difference) compareMethods(name string, before, after method, holding bool) {
	note := func(was, is []string, moved shift, why string) {
		if len(was)+len(is) == 0 {
			return
		}
		if !holding {
			moved, why = shift{}, "it holds no model both before and after"
		}
		d.note(Change{What: SubjectVerification, Where: name, Before: strings.Join(was, "; "), After: strings.Join(is, "; "), Why: why}, moved)
	}
	const none = "cannot be verified, which holds"
	switch {
	case before.key() == "":
		note([]string{none}, after.checks, shift{weaker: true}, "models that nothing could clear now can be cleared")
		return
	case after.key() == "":
		note(before.checks, []string{none}, shift{stronger: true}, "nothing can clear the models that need it")
		return
	}
	note(without(before.checks, after.checks), nil, shift{weaker: true}, "what it refused may pass")
	note(nil, without(after.checks, before.checks), shift{stronger: true}, "what passed may be refused")
	if len(without(before.checks, after.checks)) == len(before.checks) {
		return // nothing is left to which allowances and limits could belong
	}
	note(nil, without(after.allows, before.allows), shift{weaker: true}, "traffic there is allowed")
	note(without(before.allows, after.allows), nil, shift{stronger: true}, "traffic there is no longer allowed")
	note(nil, without(after.believes, before.believes), shift{weaker: true}, "what they sign counts")
	note(without(before.believes, after.believes), nil, shift{stronger: true}, "what they sign no longer counts")
	if before.threshold != after.threshold {
		note([]string{fmt.Sprintf("%d signers", before.threshold)}, []string{fmt.Sprintf("%d signers", after.threshold)},
			raised(before.threshold, after.threshold), "how many must have signed")
	}
	was, is := limit{before.maxAgeDays, "days"}, limit{after.maxAgeDays, "days"}
	if decision.Bound(was.bound) != decision.Bound(is.bound) {
		note([]string{was.String()}, []string{is.String()}, raised(-decision.Bound(was.bound), -decision.Bound(is.bound)), "how old the statement may be")
	}
}

// without gives the values that are not among others.
func without(values, others []string) []string {
	var left []string
	for _, v := range values {
		if !slices.Contains(others, v) {
			left = append(left, v)
		}
	}
	return left
}

// oneSpaced writes an expression with single spaces, so that another layout of it is not taken for another expression.
// Text in quotes stays as it is, and so does an expression in which quotes or comments need more than a glance.
func oneSpaced(expression string) string {
	for _, hard := range []string{`"""`, `'''`, `//`, `\`, `r"`, `r'`, `R"`, `R'`} {
		if strings.Contains(expression, hard) {
			return expression
		}
	}
	var b strings.Builder
	quote, space := rune(0), false
	for _, r := range expression {
		if quote == 0 && (r == ' ' || r == '\n' || r == '\t' || r == '\r') {
			space = b.Len() > 0
			continue
		}
		if space {
			b.WriteByte(' ')
			space = false
		}
		switch {
		case quote == 0 && (r == '"' || r == '\''):
			quote = r
		case r == quote:
			quote = 0
		}
		b.WriteRune(r)
	}
	return b.String()
}
