package decision

import (
	"math"
	"slices"
	"time"

	"github.com/interlock-dev/interlock/api/v1alpha1"
)

// What this package knows of a policy by itself, for who compares policies.

// Never is the time in a Schedule of a measure that is not taken.
const Never = never

// Required is what a policy asks of one model.
type Required struct {
	// DeploymentLevel and SecurityLevel are the highest levels that hold the model on each axis.
	DeploymentLevel, SecurityLevel string
	Safeguards                     []RequiredSafeguard
	// Unspecified says what is asked for and not told.
	Unspecified []string
}

// RequiredSafeguard is what is asked about one Safeguard.
type RequiredSafeguard struct {
	Name            string
	Force           v1alpha1.Force
	MinimumStrength v1alpha1.Strength
}

// Strictness orders what may be asked about a Safeguard. What does not hold the model is zero.
func (r RequiredSafeguard) Strictness() int {
	if !holds(r.Force) {
		return 0
	}
	return demanded(r.MinimumStrength) + 2
}

// Require gives what a policy asks of one model.
func Require(in Input) (Required, error) {
	req, err := require(in)
	r := Required{DeploymentLevel: req.deployment, SecurityLevel: req.security, Unspecified: req.unspecified}
	for _, o := range req.obligations {
		r.Safeguards = append(r.Safeguards, RequiredSafeguard{o.safeguard, o.force, o.minimumStrength})
	}
	return r, err
}

// RequiredSignOff is what one role has to approve, and how many people of it.
type RequiredSignOff struct {
	Role   string
	People int
	Rule   *v1alpha1.ApprovalRule
}

// RequiredSignOffs are those that a policy asks for a kind of subject, of a model at the level of a place, by role.
func RequiredSignOffs(policy *v1alpha1.ScalingPolicy, kind v1alpha1.SubjectKind, place int) []RequiredSignOff {
	var all []RequiredSignOff
	for _, a := range askedSignOffs(policy, kind, place) {
		all = append(all, RequiredSignOff{a.role, a.people(), a.rule})
	}
	return all
}

// SubjectKinds are the kinds of what is approved.
func SubjectKinds() []v1alpha1.SubjectKind { return subjectKinds }

// LevelPlace gives the place of a level in the policy's order, or -1.
func LevelPlace(policy *v1alpha1.ScalingPolicy, name string) int { return level(policy, name) }

// Axes are those on which levels have a standard.
func Axes() []v1alpha1.Axis { return axes[:] }

// StandardOf gives the standard of a level on an axis.
func StandardOf(l *v1alpha1.Level, axis v1alpha1.Axis) *v1alpha1.Standard { return standardOf(l, axis) }

// ForceOf gives the force that is meant; none stands for a binding one.
func ForceOf(f v1alpha1.Force) v1alpha1.Force { return orBinding(f) }

// TreatmentOf gives how a threshold is treated that is not settled; what is not known holds.
func TreatmentOf(t v1alpha1.Treatment) v1alpha1.Treatment { return known(t) }

// TreatmentsUnder gives how thresholds are treated, by what assessments say of them.
func TreatmentsUnder(rules v1alpha1.AssessmentRules) []v1alpha1.Treatment {
	treatments := treatmentsUnder(rules)
	return treatments[:]
}

// IsUnwaivable says whether nobody may waive what an obligation asks for.
func IsUnwaivable(o *v1alpha1.Obligation) bool { return isUnwaivable(o) }

// LongestWaiver is the longest for which something may be waived at the level of a place.
func LongestWaiver(policy *v1alpha1.ScalingPolicy, place int) time.Duration {
	return longestWaiver(policy, place)
}

// RulesOf gives the rules of a policy on when assessments count; none, where it has none.
func RulesOf(policy *v1alpha1.ScalingPolicy) v1alpha1.AssessmentRules {
	if policy.Spec.Assessment == nil {
		return v1alpha1.AssessmentRules{}
	}
	return *policy.Spec.Assessment
}

// Bound gives a bound that may be absent, which lets everything pass.
func Bound(bound *int32) int64 {
	if bound == nil {
		return math.MaxInt64
	}
	return int64(*bound)
}

// Supersessions are the ways in which one assessment may supersede another, the laxest first.
var Supersessions = []v1alpha1.Supersession{
	v1alpha1.SupersedeNamed, v1alpha1.SupersedeIndependentEvaluator, v1alpha1.SupersedeNever,
}

// SupersessionRank gives the place of one among Supersessions. One that is not known counts as the strictest.
func SupersessionRank(s v1alpha1.Supersession) int {
	if s == "" {
		return 0
	}
	if i := slices.Index(Supersessions, s); i >= 0 {
		return i
	}
	return len(Supersessions) - 1
}

// DigestOfText identifies a text, such as a key.
func DigestOfText(text string) string { return digestOf([]byte(text)) }
