package builder

import (
	"slices"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/interlock-dev/interlock/api/v1alpha1"
)

// AssessmentBuilder makes a CapabilityAssessment.
type AssessmentBuilder struct {
	assessment v1alpha1.CapabilityAssessment
}

// Assessment begins an assessment of the weights that models of tests have, made at a time. It has no outcome yet: add one.
func Assessment(name string, assessedAt time.Time) *AssessmentBuilder {
	return &AssessmentBuilder{v1alpha1.CapabilityAssessment{
		ObjectMeta: metav1.ObjectMeta{Name: name},
		Spec: v1alpha1.CapabilityAssessmentSpec{
			Model: "llm", Digests: []string{Digest}, AssessedAt: metav1.NewTime(assessedAt), Evaluator: v1alpha1.Evaluator{Name: "tests"}},
	}}
}

// Outcome adds what was found of thresholds.
func (b *AssessmentBuilder) Outcome(outcome v1alpha1.AssessmentOutcome, thresholds ...string) *AssessmentBuilder {
	for _, t := range thresholds {
		b.assessment.Spec.Outcomes = append(b.assessment.Spec.Outcomes, v1alpha1.ThresholdOutcome{Threshold: t, Outcome: outcome, Method: "a test"})
	}
	return b
}

// Digests sets the weights that it is about.
func (b *AssessmentBuilder) Digests(digests ...string) *AssessmentBuilder {
	b.assessment.Spec.Digests = slices.Clone(digests)
	return b
}

// EffectiveCompute sets that of the assessed model.
func (b *AssessmentBuilder) EffectiveCompute(operations string) *AssessmentBuilder {
	b.assessment.Spec.EffectiveCompute = operations
	return b
}

// Supersedes names assessments that it puts out of force.
func (b *AssessmentBuilder) Supersedes(names ...string) *AssessmentBuilder {
	b.assessment.Spec.Supersedes = slices.Clone(names)
	return b
}

// Build gives the assessment.
func (b *AssessmentBuilder) Build() *v1alpha1.CapabilityAssessment { return b.assessment.DeepCopy() }
