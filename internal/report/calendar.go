// Package report makes of what was declared and decided what people plan and publish by: the calendar of what lapses, and
// how the goals of a roadmap stand.
//
// It is pure: it reads no cluster and no clock. It must not import anything of this module but the API types and
// internal/decision.
package report

import (
	"cmp"
	"fmt"
	"math"
	"slices"
	"strings"
	"time"

	"github.com/interlock-dev/interlock/api/v1alpha1"
	"github.com/interlock-dev/interlock/internal/decision"
)

// Kind is what lapses.
type Kind string

const (
	// KindClearance is the lease of a model's clearance that the operator should have renewed by now.
	KindClearance Kind = "Clearance"
	// KindSafeguard is what was found of a Safeguard for a model.
	KindSafeguard Kind = "Safeguard"
	// KindAssessment is an assessment that becomes too old to rule out thresholds of a policy.
	KindAssessment Kind = "Assessment"
	// KindGoal is a goal of a roadmap whose day ends.
	KindGoal Kind = "Goal"
)

// Kinds are all there are.
var Kinds = []Kind{KindClearance, KindSafeguard, KindAssessment, KindGoal}

// Lapse is something that ends by itself.
type Lapse struct {
	// At is when it ends.
	At   time.Time
	Kind Kind
	// Name of what ends: of the model as namespace/name, of the assessment, or of the roadmap.
	Name string
	// What says what ends, in one line.
	What string
	// Models that it bears on, as namespace/name.
	Models []string
}

// Horizons are the numbers of days in which people plan.
var Horizons = []int{7, 30, 90}

// Horizon is the nearest of the Horizons within which it lapses; 0, none.
func (l Lapse) Horizon(now time.Time) int {
	for _, days := range Horizons {
		if !l.At.After(now.AddDate(0, 0, days)) {
			return days
		}
	}
	return 0
}

// Calendar lists what lapses from now on within a time, the soonest first: findings as the status of the models has them,
// assessments that become too old, goals whose day ends, and clearances that will not last. What is over already is not
// listed.
//
// A clearance ends within a lease, and the operator renews it at half of that. So it is listed only when less is left than
// a quarter: then nobody renews it, or something ends with it, which is listed as well.
//
// An assessment lapses under each policy that decides on a model of its weights, enforced or previewed, and under all that
// are given for models that none decides on yet and for weights that no model serves. One that is superseded, or beside
// which another still rules out the same, does not lapse. A goal that cannot be read is left out: Goals names it.
func Calendar(now time.Time, within time.Duration, models []v1alpha1.ModelDeployment, assessments []v1alpha1.CapabilityAssessment,
	policies []v1alpha1.ScalingPolicy, roadmaps []v1alpha1.SafetyRoadmap) []Lapse {
	c := calendar{now: now, until: now.Add(within), policies: policies}
	for i := range models {
		c.addModel(&models[i])
	}
	c.addAssessments(models, assessments)
	for i := range roadmaps {
		c.addRoadmap(&roadmaps[i])
	}
	slices.SortFunc(c.lapses, func(a, b Lapse) int {
		return cmp.Or(a.At.Compare(b.At), cmp.Compare(a.Kind, b.Kind), cmp.Compare(a.Name, b.Name), cmp.Compare(a.What, b.What))
	})
	return c.lapses
}

// calendar is the list in the making.
type calendar struct {
	now, until time.Time
	policies   []v1alpha1.ScalingPolicy
	lapses     []Lapse
}

func (c *calendar) add(l Lapse) {
	l.At = l.At.UTC()
	if !l.At.Before(c.now) && !l.At.After(c.until) {
		c.lapses = append(c.lapses, l)
	}
}

func nameOf(m *v1alpha1.ModelDeployment) string { return m.Namespace + "/" + m.Name }

func (c *calendar) addModel(m *v1alpha1.ModelDeployment) {
	s := &m.Status
	if s.Verdict == v1alpha1.OutcomeCleared && s.ValidUntil != nil && s.ValidUntil.Sub(c.now) < c.lease(s.Policy)/4 {
		c.add(Lapse{At: s.ValidUntil.Time, Kind: KindClearance, Name: nameOf(m), Models: []string{nameOf(m)},
			What: fmt.Sprintf("the clearance under %s, unless it is decided again", s.Policy)})
	}
	for i := range s.Safeguards {
		if r := &s.Safeguards[i]; r.State == v1alpha1.SafeguardSatisfied && r.ValidUntil != nil {
			c.add(Lapse{At: r.ValidUntil.Time, Kind: KindSafeguard, Name: nameOf(m), Models: []string{nameOf(m)},
				What: fmt.Sprintf("what shows %s (%s, %s)", r.Name, r.Force, r.Strength)})
		}
	}
}

// lease gives how long clearances last under a policy; one that does not exist renews none.
func (c *calendar) lease(policy string) time.Duration {
	for i := range c.policies {
		if c.policies[i].Name == policy {
			end, renew := decision.LeaseEnd(&c.policies[i], c.now)
			return 2 * end.Sub(renew)
		}
	}
	return math.MaxInt64
}

// served is what the age of assessments depends on: models that agree in it are looked at once.
type served struct{ policy, digest, effectiveCompute string }

// ending is an assessment that ends under a policy.
type ending struct {
	assessment, policy string
	at                 time.Time
}

func (c *calendar) addAssessments(models []v1alpha1.ModelDeployment, assessments []v1alpha1.CapabilityAssessment) {
	byDigest := map[string][]v1alpha1.CapabilityAssessment{}
	for i := range assessments {
		for _, digest := range assessments[i].Spec.Digests {
			byDigest[digest] = append(byDigest[digest], assessments[i])
		}
	}
	serving := map[served][]string{}
	isServed := map[string]bool{}
	for i := range models {
		m := &models[i]
		isServed[m.Spec.Model.Digest] = true
		for _, policy := range c.deciding(m) {
			key := served{policy, m.Spec.Model.Digest, m.Spec.Model.EffectiveCompute}
			serving[key] = append(serving[key], nameOf(m))
		}
	}
	for digest, about := range byDigest {
		if isServed[digest] {
			continue
		}
		for i := range c.policies {
			for j := range about { // as if it were served as it was assessed
				serving[served{c.policies[i].Name, digest, about[j].Spec.EffectiveCompute}] = nil
			}
		}
	}

	thresholds, bearOn := map[ending][]string{}, map[ending][]string{}
	for key, names := range serving {
		for e, ruledOut := range c.endings(key, byDigest[key.digest]) {
			thresholds[e] = append(thresholds[e], ruledOut...)
			bearOn[e] = append(bearOn[e], names...)
		}
	}
	for e, names := range thresholds {
		c.add(Lapse{At: e.at, Kind: KindAssessment, Name: e.assessment, Models: unique(bearOn[e]),
			What: fmt.Sprintf("ruling out %s under %s", strings.Join(unique(names), ", "), e.policy)})
	}
}

// deciding names the policies that decide on a model.
func (c *calendar) deciding(m *v1alpha1.ModelDeployment) []string {
	names := []string{m.Status.Policy}
	for _, p := range m.Status.Previews {
		names = append(names, p.Policy)
	}
	names = slices.DeleteFunc(names, func(name string) bool { return name == "" })
	if len(names) > 0 {
		return unique(names)
	}
	for i := range c.policies {
		names = append(names, c.policies[i].Name)
	}
	return names
}

// endings gives for each assessment that ends under a policy the thresholds that it rules out.
func (c *calendar) endings(key served, assessments []v1alpha1.CapabilityAssessment) map[ending][]string {
	policy := slices.IndexFunc(c.policies, func(p v1alpha1.ScalingPolicy) bool { return p.Name == key.policy })
	if policy < 0 {
		return nil
	}
	ends := map[ending][]string{}
	for _, r := range decision.Assessed(decision.Input{
		Now: c.now, Policy: &c.policies[policy], Assessments: assessments,
		Model: &v1alpha1.ModelDeployment{Spec: v1alpha1.ModelDeploymentSpec{
			Model: v1alpha1.Model{Digest: key.digest, EffectiveCompute: key.effectiveCompute}}},
	}) {
		if r.ValidUntil != nil {
			e := ending{r.Assessment, key.policy, r.ValidUntil.Time}
			ends[e] = append(ends[e], r.Name)
		}
	}
	return ends
}

func unique(names []string) []string {
	slices.Sort(names)
	return slices.Compact(names)
}

func (c *calendar) addRoadmap(r *v1alpha1.SafetyRoadmap) {
	for i := range r.Spec.Goals {
		g, err := stand(&r.Spec.Goals[i], c.now)
		if err != nil || !g.open() {
			continue
		}
		c.add(Lapse{At: g.ends, Kind: KindGoal, Name: r.Name,
			What: fmt.Sprintf("the day of goal %s (%s, %s)", g.status.Name, r.Spec.Goals[i].Pillar, g.status.State)})
	}
}
