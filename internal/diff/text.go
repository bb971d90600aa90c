package diff

import (
	"fmt"
	"slices"
	"strconv"
	"strings"

	"github.com/interlock-dev/interlock/api/v1alpha1"
	"github.com/interlock-dev/interlock/internal/decision"
)

// texts are words by where they stand.
type texts map[string]string

// compareTexts lists what differs in words only, of the policies themselves and of what both have.
func (d *difference) compareTexts() {
	before, after := policyTexts(d.before.Policy), policyTexts(d.after.Policy)
	for _, t := range []texts{before, after} {
		for where := range t {
			d.compareText(where, before[where], after[where])
		}
	}
	before, after = d.texts(0), d.texts(1)
	for where := range before {
		if is, ok := after[where]; ok {
			d.compareText(where, before[where], is)
		}
	}
}

func (d *difference) compareText(where, before, after string) {
	if before == after {
		return
	}
	why := "it holds no model"
	if strings.HasSuffix(where, definition) {
		why = "outcomes count by the threshold's name: whether the same models reach it is for people to compare"
	}
	d.note(Change{What: SubjectText, Where: where, Before: before, After: after, Why: why}, shift{})
}

func policyTexts(policy *v1alpha1.ScalingPolicy) texts {
	spec := &policy.Spec
	t := texts{"title": spec.Title, "source": cited(&spec.Source), "replacements a minute": strconv.Itoa(decision.ReplacementsPerMinute(policy))}
	for _, s := range spec.SignOffs {
		t["sign-off of "+s.Role] = s.Purpose
		t["sign-off of "+s.Role+": source"] = cited(s.Source)
	}
	for _, c := range spec.Changelog {
		t[fmt.Sprintf("changelog of %s, %s", c.Version, c.Date)] = c.Summary
	}
	return t
}

const definition = ": definition"

// texts of levels, thresholds, obligations and Safeguards, by the names that these have in both frameworks.
func (d *difference) texts(side int) texts {
	t := texts{}
	f := d.side(side)
	sources := func(where string, obligations []v1alpha1.Obligation) {
		for _, o := range obligations {
			t[where+": source of "+nameOf(d.safeguards, side, o.Safeguard)] = cited(o.Source)
		}
	}
	for i := range f.Policy.Spec.Levels {
		l := &f.Policy.Spec.Levels[i]
		for _, axis := range decision.Axes() {
			where, s := nameOf(d.levels, side, l.Name)+" "+string(axis), decision.StandardOf(l, axis)
			t[where+": why it is left open"], t[where+": why nothing is required"] = s.Unspecified, s.NotRequired
			sources(where, s.Safeguards)
		}
	}
	for i := range f.Policy.Spec.Thresholds {
		th := &f.Policy.Spec.Thresholds[i]
		t[th.Name+": domain"], t[th.Name+definition], t[th.Name+": source"] = th.Domain, th.Definition, cited(&th.Source)
		t[th.Name+": why it is left open"], t[th.Name+": why nothing is required"] = th.Unspecified, th.NotRequired
		for _, demand := range th.Demands {
			t[fmt.Sprintf("%s: source of %s %s", th.Name, nameOf(d.levels, side, demand.Level), demand.Axis)] = cited(demand.Source)
		}
		sources(th.Name, th.Safeguards)
	}
	for _, p := range d.safeguards {
		if sg, ok := f.Safeguards[p.of(side)]; ok {
			t.addSafeguard(p.name(), &sg)
		}
	}
	return t
}

func (t texts) addSafeguard(name string, sg *v1alpha1.SafeguardSpec) {
	t[name+": title"], t[name+": control"], t[name+": description"], t[name+": remedy"] = sg.Title, sg.Control, sg.Description, sg.Remedy
	var sources, messages []string
	for i := range sg.Sources {
		sources = append(sources, cited(&sg.Sources[i]))
	}
	if sg.PodRule != nil {
		for _, v := range sg.PodRule.Validations {
			messages = append(messages, v.Message)
		}
	}
	slices.Sort(sources)
	slices.Sort(messages)
	t[name+": sources"], t[name+": messages"] = strings.Join(sources, "; "), strings.Join(messages, "; ")
}

// cited writes a source as one would quote it.
func cited(s *v1alpha1.Source) string {
	if s == nil {
		return ""
	}
	parts := slices.DeleteFunc([]string{s.Document, s.Version, s.Section, s.Standing}, func(p string) bool { return p == "" || p == "Primary" })
	return strings.Join(parts, ", ")
}
