package builder

import (
	"slices"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"

	"github.com/interlock-dev/interlock/api/v1alpha1"
)

// Levels that the policies of tests have.
const (
	ASL2 = "ASL-2"
	ASL3 = "ASL-3"
)

// ScalingPolicyBuilder makes a ScalingPolicy.
type ScalingPolicyBuilder struct{ policy v1alpha1.ScalingPolicy }

// ScalingPolicy begins a policy without levels. The first that is added is the baseline.
func ScalingPolicy(name string) *ScalingPolicyBuilder {
	return &ScalingPolicyBuilder{v1alpha1.ScalingPolicy{
		ObjectMeta: metav1.ObjectMeta{Name: name},
		Spec:       v1alpha1.ScalingPolicySpec{Title: "Policy " + name, Source: v1alpha1.Source{Document: "tests"}},
	}}
}

// Lease sets how long a clearance lasts.
func (b *ScalingPolicyBuilder) Lease(lease time.Duration) *ScalingPolicyBuilder {
	b.policy.Spec.Lease = &metav1.Duration{Duration: lease}
	return b
}

// Baseline sets the level that is asked of every model.
func (b *ScalingPolicyBuilder) Baseline(level string) *ScalingPolicyBuilder {
	b.policy.Spec.BaselineLevel = level
	return b
}

// Level adds a level above those there are.
func (b *ScalingPolicyBuilder) Level(level *LevelBuilder) *ScalingPolicyBuilder {
	b.policy.Spec.Levels = append(b.policy.Spec.Levels, level.Build())
	if b.policy.Spec.BaselineLevel == "" {
		b.policy.Spec.BaselineLevel = b.policy.Spec.Levels[0].Name
	}
	return b
}

// Threshold adds one that asks for a level of security.
func (b *ScalingPolicyBuilder) Threshold(name, level string) *ScalingPolicyBuilder {
	b.policy.Spec.Thresholds = append(b.policy.Spec.Thresholds, v1alpha1.Threshold{
		Name: name, Domain: "tests", Definition: "can do what " + name + " is about", Source: v1alpha1.Source{Document: "tests"},
		Demands: []v1alpha1.ThresholdDemand{{Axis: v1alpha1.AxisSecurity, Level: level}}})
	return b
}

// Assessments sets when assessments count.
func (b *ScalingPolicyBuilder) Assessments(rules v1alpha1.AssessmentRules) *ScalingPolicyBuilder {
	b.policy.Spec.Assessment = &rules
	return b
}

// Build gives the policy.
func (b *ScalingPolicyBuilder) Build() *v1alpha1.ScalingPolicy { return b.policy.DeepCopy() }

// LevelBuilder makes a Level.
type LevelBuilder struct{ level v1alpha1.Level }

// Level begins a level that asks for nothing on either axis.
func Level(name string) *LevelBuilder {
	nothing := v1alpha1.Standard{NotRequired: "tests ask for nothing here"}
	return &LevelBuilder{v1alpha1.Level{Name: name, Deployment: nothing, Security: nothing}}
}

// Deployment sets the Safeguards that the level adds on the axis of deployment.
func (b *LevelBuilder) Deployment(safeguards ...string) *LevelBuilder {
	b.level.Deployment = standard(safeguards)
	return b
}

// Security sets the Safeguards that the level adds on the axis of security.
func (b *LevelBuilder) Security(safeguards ...string) *LevelBuilder {
	b.level.Security = standard(safeguards)
	return b
}

// Standard sets what the level asks on an axis, in full.
func (b *LevelBuilder) Standard(axis v1alpha1.Axis, s v1alpha1.Standard) *LevelBuilder {
	if axis == v1alpha1.AxisDeployment {
		b.level.Deployment = s
	} else {
		b.level.Security = s
	}
	return b
}

// EvictAfter lets pods be evicted this long after a shortfall began.
func (b *LevelBuilder) EvictAfter(after time.Duration) *LevelBuilder {
	b.evict().After = &metav1.Duration{Duration: after}
	return b
}

// ForceAfter lets pods that a budget protects be deleted this long after a shortfall began.
func (b *LevelBuilder) ForceAfter(after time.Duration) *LevelBuilder {
	b.evict().ForceAfter = &metav1.Duration{Duration: after}
	return b
}

func (b *LevelBuilder) evict() *v1alpha1.ShortfallStep {
	if len(b.level.OnShortfall) == 0 {
		b.level.OnShortfall = []v1alpha1.ShortfallStep{{Action: v1alpha1.ShortfallEvict}}
	}
	return &b.level.OnShortfall[0]
}

// Build gives the level.
func (b *LevelBuilder) Build() v1alpha1.Level { return *b.level.DeepCopy() }

func standard(safeguards []string) v1alpha1.Standard {
	var s v1alpha1.Standard
	for _, name := range safeguards {
		s.Safeguards = append(s.Safeguards, v1alpha1.Obligation{Safeguard: name, Force: v1alpha1.ForceBinding})
	}
	return s
}

// SafeguardBuilder makes a Safeguard.
type SafeguardBuilder struct{ safeguard v1alpha1.Safeguard }

// Safeguard begins a Safeguard that has no verification method yet: add one.
func Safeguard(name string) *SafeguardBuilder {
	return &SafeguardBuilder{v1alpha1.Safeguard{
		ObjectMeta: metav1.ObjectMeta{Name: name},
		Spec: v1alpha1.SafeguardSpec{
			Title: "Safeguard " + name, Remedy: "Do what " + name + " asks for.", Sources: []v1alpha1.Source{{Document: "tests"}}},
	}}
}

// Remedy sets what a person is told to do.
func (b *SafeguardBuilder) Remedy(remedy string) *SafeguardBuilder {
	b.safeguard.Spec.Remedy = remedy
	return b
}

// PodRule adds CEL that a pod must meet, and what is said of one that does not.
func (b *SafeguardBuilder) PodRule(expression, message string) *SafeguardBuilder {
	if b.safeguard.Spec.PodRule == nil {
		b.safeguard.Spec.PodRule = &v1alpha1.PodRule{}
	}
	rule := b.safeguard.Spec.PodRule
	rule.Validations = append(rule.Validations, v1alpha1.PodValidation{Expression: expression, Message: message})
	return b
}

// AdjustPod gives new pods something.
func (b *SafeguardBuilder) AdjustPod(adjust v1alpha1.PodAdjustment) *SafeguardBuilder {
	b.safeguard.Spec.Adjust = &v1alpha1.Adjustment{Pod: &adjust}
	return b
}

// Around puts an object around models. The manifest is in JSON.
func (b *SafeguardBuilder) Around(apiVersion, kind, name, manifest string) *SafeguardBuilder {
	if b.safeguard.Spec.Adjust == nil {
		b.safeguard.Spec.Adjust = &v1alpha1.Adjustment{}
	}
	b.safeguard.Spec.Adjust.Objects = append(b.safeguard.Spec.Adjust.Objects, v1alpha1.AdjustmentObject{
		APIVersion: apiVersion, Kind: kind, Name: name, Manifest: &runtime.RawExtension{Raw: []byte(manifest)}})
	return b
}

// Egress asks that pods send traffic nowhere outside the cluster but to these ranges.
func (b *SafeguardBuilder) Egress(allowedCIDRs ...string) *SafeguardBuilder {
	b.safeguard.Spec.Resource = &v1alpha1.ResourceRule{Egress: &v1alpha1.EgressRule{AllowedCIDRs: slices.Clone(allowedCIDRs)}}
	return b
}

// WorkloadWeights asks that workloads name no weights but those that the model declares.
func (b *SafeguardBuilder) WorkloadWeights() *SafeguardBuilder {
	b.safeguard.Spec.Resource = &v1alpha1.ResourceRule{Weights: &v1alpha1.WeightsRule{}}
	return b
}

// Build gives the Safeguard.
func (b *SafeguardBuilder) Build() *v1alpha1.Safeguard { return b.safeguard.DeepCopy() }

// ImagesPinned is CEL for a pod that names every image, of whatever kind of container or volume, by digest.
const ImagesPinned = `containers.all(c, c.image.contains('@sha256:')) &&
object.spec.?volumes.orValue([]).all(v, !has(v.image) || v.image.?reference.orValue('').contains('@sha256:'))`

// Trust lets somebody sign evidence by a key.
func (b *ScalingPolicyBuilder) Trust(signer, key string) *ScalingPolicyBuilder {
	if b.policy.Spec.Trust == nil {
		b.policy.Spec.Trust = &v1alpha1.Trust{}
	}
	b.policy.Spec.Trust.Signers = append(b.policy.Spec.Trust.Signers, v1alpha1.Signer{Name: signer, Key: key})
	return b
}

// Evidence asks for a statement that one of some signers has signed.
func (b *SafeguardBuilder) Evidence(predicateType string, signers ...string) *SafeguardBuilder {
	b.safeguard.Spec.Evidence = &v1alpha1.EvidenceRule{PredicateType: predicateType, Issuer: "tests", Signers: signers}
	return b
}

// EvidenceRule changes what is asked of the statement.
func (b *SafeguardBuilder) EvidenceRule(change func(*v1alpha1.EvidenceRule)) *SafeguardBuilder {
	change(b.safeguard.Spec.Evidence)
	return b
}
