package diff

import (
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/interlock-dev/interlock/api/v1alpha1"
	"github.com/interlock-dev/interlock/internal/decision"
)

// compareAuthority lists what changes of who has to approve, of what may be waived, and for how long.
func (d *difference) compareAuthority() {
	for _, p := range d.levels {
		if !p.both() {
			continue
		}
		at := [2]int{decision.LevelPlace(d.before.Policy, p.before), decision.LevelPlace(d.after.Policy, p.after)}
		d.compareSignOffs(p.name(), at)
		was, is := waivable(d.before.Policy, at[0]), waivable(d.after.Policy, at[1])
		if was != is {
			d.note(Change{What: SubjectWaiver, Where: p.name(), Before: waiverText(was), After: waiverText(is), Why: "for how long a model at this level may do without a safeguard"},
				raised(-was, -is))
		}
	}
	for _, p := range d.safeguards {
		if was, is := unwaivable(d.before.Policy, p.before), unwaivable(d.after.Policy, p.after); p.both() && was != is {
			d.note(Change{What: SubjectWaiver, Where: p.name(), Before: unwaivableText(was), After: unwaivableText(is), Why: "whether a waiver may name it"},
				shift{weaker: was, stronger: is})
		}
	}
}

// compareSignOffs lists how many people have to approve what at a level, by role.
func (d *difference) compareSignOffs(name string, at [2]int) {
	for _, kind := range decision.SubjectKinds() {
		before, after := decision.RequiredSignOffs(d.before.Policy, kind, at[0]), decision.RequiredSignOffs(d.after.Policy, kind, at[1])
		if kind == v1alpha1.SubjectWaiver && (len(before) == 0 || len(after) == 0) {
			continue // where nobody may approve one there is none
		}
		var roles []string
		for _, a := range slices.Concat(before, after) {
			roles = append(roles, a.Role)
		}
		slices.Sort(roles)
		for _, role := range slices.Compact(roles) {
			was, is := peopleIn(before, role), peopleIn(after, role)
			if was.String() != is.String() {
				d.note(Change{What: SubjectSignOff, Where: fmt.Sprintf("%s of a %s at %s", role, kind, name), Before: was.String(), After: is.String(),
					Why: "who has to approve it before it counts"}, was.to(is))
			}
		}
	}
}

// say is what a role has to say: how many people, who each must have told whom, and what ServiceAccounts may do in their place.
type say struct {
	people          int
	notice          []string
	serviceAccounts []string
}

func peopleIn(asked []decision.RequiredSignOff, role string) say {
	var s say
	for _, a := range asked {
		if a.Role == role {
			s.people += a.People
			s.notice = append(s.notice, a.Rule.NoticeTo...)
			for _, right := range a.Rule.ServiceAccounts {
				s.serviceAccounts = append(s.serviceAccounts, strings.ToLower(string(right)))
			}
		}
	}
	slices.Sort(s.notice)
	slices.Sort(s.serviceAccounts)
	s.serviceAccounts = slices.Compact(s.serviceAccounts)
	return s
}

func (s say) to(after say) shift {
	moved := raised(s.people, after.people)
	if s.people > 0 && after.people > 0 {
		moved.add(shift{weaker: len(without(s.notice, after.notice)) > 0, stronger: len(without(after.notice, s.notice)) > 0})
		moved.add(shift{weaker: len(without(after.serviceAccounts, s.serviceAccounts)) > 0, stronger: len(without(s.serviceAccounts, after.serviceAccounts)) > 0})
	}
	return moved
}

func (s say) String() string {
	if s.people == 0 {
		return "nobody"
	}
	text := fmt.Sprintf("%d people", s.people)
	if len(s.notice) > 0 {
		text += ", who have told " + strings.Join(s.notice, ", ")
	}
	if len(s.serviceAccounts) > 0 {
		text += ", ServiceAccounts may " + strings.Join(s.serviceAccounts, " and ")
	}
	return text
}

// waivable is the longest waiver at a level; zero, there can be none.
func waivable(policy *v1alpha1.ScalingPolicy, at int) time.Duration {
	if len(decision.RequiredSignOffs(policy, v1alpha1.SubjectWaiver, at)) == 0 {
		return 0
	}
	return decision.LongestWaiver(policy, at)
}

func waiverText(longest time.Duration) string {
	if longest == 0 {
		return "no waiver"
	}
	return "waivers of up to " + longest.String()
}

// unwaivable says whether any obligation of a policy keeps a Safeguard from being waived.
func unwaivable(policy *v1alpha1.ScalingPolicy, safeguard string) bool {
	never := func(obligations []v1alpha1.Obligation) bool {
		return slices.ContainsFunc(obligations, func(o v1alpha1.Obligation) bool { return o.Safeguard == safeguard && decision.IsUnwaivable(&o) })
	}
	return slices.ContainsFunc(policy.Spec.Levels, func(l v1alpha1.Level) bool { return never(l.Deployment.Safeguards) || never(l.Security.Safeguards) }) ||
		slices.ContainsFunc(policy.Spec.Thresholds, func(t v1alpha1.Threshold) bool { return never(t.Safeguards) })
}

func unwaivableText(never bool) string {
	if never {
		return "cannot be waived"
	}
	return "may be waived"
}
