package decision

import (
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/interlock-dev/interlock/api/v1alpha1"
)

// Measures is what a policy does about running pods at one moment of a shortfall.
type Measures struct {
	// Evict the pods through the eviction API.
	Evict bool
	// Force deletes those that a budget protects; it implies Evict.
	Force bool
	// Next is when more is done; zero, never.
	Next time.Time
}

// Step names the step that the measures take.
func (m Measures) Step() v1alpha1.ShortfallAction {
	if m.Evict {
		return v1alpha1.ShortfallEvict
	}
	return ""
}

// OnShortfall gives the measures of the policy against pods at the highest of some levels, for a shortfall that began at
// since. As with safeguards, what a lower level asks is asked of a higher one too: the strictest steps of all levels up to it
// apply. Levels that the policy does not know count as the baseline.
func OnShortfall(policy *v1alpha1.ScalingPolicy, since, now time.Time, levels ...string) Measures {
	var m Measures
	if policy == nil {
		return m
	}
	i := level(policy, policy.Spec.BaselineLevel)
	for _, name := range levels {
		i = max(i, level(policy, name))
	}
	if i < 0 {
		return m
	}
	for _, l := range policy.Spec.Levels[:i+1] {
		for _, step := range l.OnShortfall {
			switch {
			case step.ForceAfter != nil && m.due(step.ForceAfter, since, now):
				m.Evict, m.Force = true, true
			case m.due(step.After, since, now):
				m.Evict = true
			}
		}
	}
	return m
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
