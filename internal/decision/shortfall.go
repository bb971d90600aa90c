package decision

import (
	"slices"
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
}

// Step names the last of the steps that the measures take, in the order of what they cost.
func (m Measures) Step() v1alpha1.ShortfallAction {
	switch {
	case m.Stop:
		return v1alpha1.ShortfallStop
	case m.Evict:
		return v1alpha1.ShortfallEvict
	case m.Isolate:
		return v1alpha1.ShortfallIsolate
	case m.Warn:
		return v1alpha1.ShortfallWarn
	}
	return ""
}

// And gives the measures of both: what either takes is taken, and the next comes at the earlier time.
func (m Measures) And(other Measures) Measures {
	return Measures{
		Warn: m.Warn || other.Warn, Isolate: m.Isolate || other.Isolate, Evict: m.Evict || other.Evict,
		Force: m.Force || other.Force, Stop: m.Stop || other.Stop, Next: Sooner(m.Next, other.Next),
	}
}

// OnShortfall gives the measures of the policy against pods at the highest of some levels, for a shortfall that began at
// since. As with safeguards, what a lower level asks is asked of a higher one too: the strictest steps of all levels up to it
// apply. Levels that the policy does not know count as the baseline.
func OnShortfall(policy *v1alpha1.ScalingPolicy, since, now time.Time, levels ...string) Measures {
	var m Measures
	for _, step := range steps(policy, levels) {
		switch {
		case step.ForceAfter != nil && m.due(step.ForceAfter, since, now):
			m.Evict, m.Force = true, true
		case m.due(step.After, since, now):
			m.take(step.Action)
		}
	}
	return m
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

func (m *Measures) take(action v1alpha1.ShortfallAction) {
	switch action {
	case v1alpha1.ShortfallWarn:
		m.Warn = true
	case v1alpha1.ShortfallHold: // The API server does it, whatever the policy says.
	case v1alpha1.ShortfallIsolate:
		m.Isolate = true
	case v1alpha1.ShortfallEvict:
		m.Evict = true
	case v1alpha1.ShortfallStop:
		m.Stop = true
	}
}

// due says whether the time of a step has come, and if not notes it as the next.
func (m *Measures) due(after *metav1.Duration, since, now time.Time) bool {
	at := since
	if after != nil {
		at = since.Add(after.Duration)
	}
	if !now.Before(at) {
		return true
	}
	if m.Next.IsZero() || at.Before(m.Next) {
		m.Next = at
	}
	return false
}
