package builder

import (
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/interlock-dev/interlock/api/v1alpha1"
	"github.com/interlock-dev/interlock/internal/admission"
)

// ClearancesBuilder makes what the API server is told of a namespace.
type ClearancesBuilder struct {
	namespace  string
	clearances admission.Clearances
}

// Clearances begins with those of no model under a policy.
func Clearances(namespace, policy string) *ClearancesBuilder {
	return &ClearancesBuilder{namespace, admission.Clearances{Policy: policy, Models: map[string]admission.Standing{}}}
}

// Default names the model of pods that name none.
func (b *ClearancesBuilder) Default(model string) *ClearancesBuilder {
	b.clearances.DefaultModel = model
	return b
}

// Coverage says which pods must name a model.
func (b *ClearancesBuilder) Coverage(coverage string) *ClearancesBuilder {
	b.clearances.Coverage = coverage
	return b
}

// Clear clears a model until a time, asked for by some Safeguards.
func (b *ClearancesBuilder) Clear(model string, until time.Time, rules ...string) *ClearancesBuilder {
	return b.Model(model, admission.Standing{ValidUntil: until, Rules: rules})
}

// Model gives all of a model.
func (b *ClearancesBuilder) Model(name string, s admission.Standing) *ClearancesBuilder {
	b.clearances.Models[name] = s
	return b
}

// Build gives the LimitRange.
func (b *ClearancesBuilder) Build() *corev1.LimitRange {
	annotations, _ := b.clearances.Annotations()
	return &corev1.LimitRange{ObjectMeta: metav1.ObjectMeta{Namespace: b.namespace, Name: v1alpha1.ClearancesName,
		Annotations: annotations, Labels: map[string]string{v1alpha1.ManagedByLabel: v1alpha1.ManagedBy}}}
}
