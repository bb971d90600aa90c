package decision

import (
	"fmt"
	"slices"
	"strings"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/interlock-dev/interlock/api/v1alpha1"
)

// Measures is what a policy does about running pods at one moment of a shortfall. New pods are held besides, always.
type Measures struct {
	// Warn people of it.
	Warn bool
	// Isolate the pods from the network.
	Isolate bool
	// Evict the pods through the eviction API.
	Evict bool
	// Force deletes those that a budget protects; it implies Evict.
	Force bool
	// Stop the workloads that make them.
	Stop bool
	// Next is when more is done; zero, never.
	Next time.Time
	// ForceAt is when Force comes, or came; zero, never.
	ForceAt time.Time
}

// measure is one thing that is done about running pods.
type measure struct {
	// action is the step of a policy that asks for it.
	action v1alpha1.ShortfallAction
	// offset is the time from the beginning of the shortfall, by such a step; nil, the step does not ask for it.
	offset func(*v1alpha1.ShortfallStep) *metav1.Duration
	// of is where Measures hold it.
	of func(*Measures) *bool
	// past is what has become of the pods.
	past string
	// words tell people what is done.
	words string
}

// measures are all that there are, in the order of what they cost. What is done and when, what people are told, what is
// compared, and what a digest covers are derived from this table. Hold is none: the API server does it, whatever the policy
// says.
var measures = [...]measure{
	{v1alpha1.ShortfallWarn, afterOf, func(m *Measures) *bool { return &m.Warn }, "warned of",
		"pods run without clearance; status.shortfall tells what comes next"},
	{v1alpha1.ShortfallIsolate, afterOf, func(m *Measures) *bool { return &m.Isolate }, "isolated",
		"pods that run without clearance are cut off from the network"},
	{v1alpha1.ShortfallEvict, evictionAfter, func(m *Measures) *bool { return &m.Evict }, "evicted",
		"pods that run without clearance are taken out"},
	{v1alpha1.ShortfallEvict, func(s *v1alpha1.ShortfallStep) *metav1.Duration { return s.ForceAfter }, func(m *Measures) *bool { return &m.Force },
		"deleted", "pods that run without clearance are deleted, whatever protects them"},
	{v1alpha1.ShortfallStop, afterOf, func(m *Measures) *bool { return &m.Stop }, "stopped",
		"the workloads whose pods run without clearance are stopped"},
}

func afterOf(s *v1alpha1.ShortfallStep) *metav1.Duration {
	if s.After == nil {
		return &metav1.Duration{}
	}
	return s.After
}

// evictionAfter is no later than force, which implies it.
func evictionAfter(s *v1alpha1.ShortfallStep) *metav1.Duration {
	after := afterOf(s)
	if s.ForceAfter != nil && s.ForceAfter.Duration < after.Duration {
		return s.ForceAfter
	}
	return after
}

// Step names the last of the steps that the measures take, in the order of what they cost.
func (m Measures) Step() v1alpha1.ShortfallAction {
	for _, row := range slices.Backward(measures[:]) {
		if *row.of(&m) {
			return row.action
		}
	}
	return ""
}

// StepWords tell people what a step does.
func StepWords(step v1alpha1.ShortfallAction) string {
	i := slices.IndexFunc(measures[:], func(row measure) bool { return row.action == step })
	if i < 0 {
		return "new pods are held"
	}
	return measures[i].words
}

// And gives measures that take all that either takes, each at its earlier time.
func (m Measures) And(other Measures) Measures {
	for _, row := range measures {
		*row.of(&m) = *row.of(&m) || *row.of(&other)
	}
	m.Next, m.ForceAt = Sooner(m.Next, other.Next), Sooner(m.ForceAt, other.ForceAt)
	return m
}

// OnShortfall gives the measures of the policy against pods at the highest of some levels, for a shortfall that began at
// since. As with safeguards, what a lower level asks is asked of a higher one too: the strictest steps of all levels up to it
// apply. Levels that the policy does not know count as the baseline.
func OnShortfall(policy *v1alpha1.ScalingPolicy, since, now time.Time, levels ...string) Measures {
	var m Measures
	for i, offset := range ScheduleOf(policy, levels...) {
		if offset == never {
			continue
		}
		at, taken := since.Add(offset), measures[i].of(&m)
		if now.Before(at) {
			m.Next = Sooner(m.Next, at)
		} else {
			*taken = true
		}
		if taken == &m.Force {
			m.ForceAt = at
		}
	}
	return m
}

// Schedule is when each measure is taken, as the time from the beginning of a shortfall.
type Schedule [len(measures)]time.Duration

const never time.Duration = -1

// ScheduleOf gives when a policy takes the measures against pods at the highest of some levels, see OnShortfall.
func ScheduleOf(policy *v1alpha1.ScalingPolicy, levels ...string) Schedule {
	var s Schedule
	for i := range s {
		s[i] = never
	}
	for _, step := range steps(policy, levels) {
		for i, row := range measures {
			if row.action != step.Action {
				continue
			}
			if at := row.offset(&step); at != nil && (s[i] == never || at.Duration < s[i]) {
				s[i] = max(at.Duration, 0)
			}
		}
	}
	return s
}

// EveryLevel names all levels of a policy: the strictest steps of any apply to what may be at whichever.
func EveryLevel(policy *v1alpha1.ScalingPolicy) []string {
	if policy == nil {
		return nil
	}
	return levelNames(policy)
}

func (s Schedule) String() string {
	var parts []string
	for i, at := range s {
		if at != never {
			parts = append(parts, fmt.Sprintf("%s after %s", measures[i].past, at))
		}
	}
	if len(parts) == 0 {
		return "pods that run stay"
	}
	return strings.Join(parts, ", ")
}

// DefaultReplacementsPerMinute is how many running pods are replaced in a minute when the policy does not say.
const DefaultReplacementsPerMinute = 6

// ReplacementsPerMinute gives how many running pods of cleared models the policy lets be replaced in a minute.
func ReplacementsPerMinute(policy *v1alpha1.ScalingPolicy) int {
	if policy == nil || policy.Spec.ReplacementsPerMinute == nil {
		return DefaultReplacementsPerMinute
	}
	return int(*policy.Spec.ReplacementsPerMinute)
}

// Stops says whether the policy stops the workloads of models at some levels, however late.
func Stops(policy *v1alpha1.ScalingPolicy, levels ...string) bool {
	return slices.ContainsFunc(steps(policy, levels), func(s v1alpha1.ShortfallStep) bool { return s.Action == v1alpha1.ShortfallStop })
}

// steps lists those of the highest of some levels and of all levels before it.
func steps(policy *v1alpha1.ScalingPolicy, levels []string) []v1alpha1.ShortfallStep {
	if policy == nil {
		return nil
	}
	i := level(policy, policy.Spec.BaselineLevel)
	for _, name := range levels {
		i = max(i, level(policy, name))
	}
	var all []v1alpha1.ShortfallStep
	for _, l := range policy.Spec.Levels[:i+1] {
		all = append(all, l.OnShortfall...)
	}
	return all
}
