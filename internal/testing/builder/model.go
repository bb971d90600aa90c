package builder

import (
	corev1 "k8s.io/api/core/v1"
	networkingv1 "k8s.io/api/networking/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/interlock-dev/interlock/api/v1alpha1"
)

// NamespaceBuilder makes a Namespace.
type NamespaceBuilder struct{ namespace corev1.Namespace }

// Namespace begins a namespace that is not enrolled. A name that ends in "-" is completed by the API server.
func Namespace(name string) *NamespaceBuilder {
	return &NamespaceBuilder{corev1.Namespace{ObjectMeta: named(name)}}
}

// Enforce lets a ScalingPolicy hold the pods of the namespace.
func (b *NamespaceBuilder) Enforce(policy string) *NamespaceBuilder {
	return b.Label(v1alpha1.EnforceLabel, policy)
}

// Warn lets a ScalingPolicy warn whoever applies a workload.
func (b *NamespaceBuilder) Warn(policy string) *NamespaceBuilder {
	return b.Label(v1alpha1.WarnLabel, policy)
}

// Audit lets the verdict under a ScalingPolicy be written to the audit log.
func (b *NamespaceBuilder) Audit(policy string) *NamespaceBuilder {
	return b.Label(v1alpha1.AuditLabel, policy)
}

// Accelerators narrows which pods must name a model to those that ask for an accelerator.
func (b *NamespaceBuilder) Accelerators() *NamespaceBuilder {
	return b.Label(v1alpha1.CoverageLabel, v1alpha1.CoverageAccelerators)
}

// DefaultModel sets the model of pods that name none.
func (b *NamespaceBuilder) DefaultModel(model string) *NamespaceBuilder {
	return b.Label(v1alpha1.ModelLabel, model)
}

// Label sets a label.
func (b *NamespaceBuilder) Label(key, value string) *NamespaceBuilder {
	setLabel(&b.namespace, key, value)
	return b
}

// Build gives the namespace.
func (b *NamespaceBuilder) Build() *corev1.Namespace { return b.namespace.DeepCopy() }

// ModelDeploymentBuilder makes a ModelDeployment.
type ModelDeploymentBuilder struct{ model v1alpha1.ModelDeployment }

// ModelDeployment begins a model that was assessed at ASL2 and is served to everybody.
func ModelDeployment(namespace, name string) *ModelDeploymentBuilder {
	return &ModelDeploymentBuilder{v1alpha1.ModelDeployment{
		ObjectMeta: metav1.ObjectMeta{Namespace: namespace, Name: name},
		Spec: v1alpha1.ModelDeploymentSpec{
			Model: v1alpha1.Model{Name: name, Digest: Digest}, AssessedLevel: ASL2, Audience: v1alpha1.AudienceGeneral},
	}}
}

// Level sets the level at which the model was assessed.
func (b *ModelDeploymentBuilder) Level(level string) *ModelDeploymentBuilder {
	b.model.Spec.AssessedLevel = level
	return b
}

// Audience sets to whom the model is served.
func (b *ModelDeploymentBuilder) Audience(audience v1alpha1.Audience) *ModelDeploymentBuilder {
	b.model.Spec.Audience = audience
	return b
}

// Sources sets where the weights may be loaded from.
func (b *ModelDeploymentBuilder) Sources(sources ...string) *ModelDeploymentBuilder {
	b.model.Spec.Model.Sources = sources
	return b
}

// Digest sets the weights that are served.
func (b *ModelDeploymentBuilder) Digest(digest string) *ModelDeploymentBuilder {
	b.model.Spec.Model.Digest = digest
	return b
}

// EffectiveCompute sets that of the served model.
func (b *ModelDeploymentBuilder) EffectiveCompute(operations string) *ModelDeploymentBuilder {
	b.model.Spec.Model.EffectiveCompute = operations
	return b
}

// Build gives the model.
func (b *ModelDeploymentBuilder) Build() *v1alpha1.ModelDeployment { return b.model.DeepCopy() }

// NetworkPolicyBuilder makes a NetworkPolicy.
type NetworkPolicyBuilder struct{ policy networkingv1.NetworkPolicy }

// NetworkPolicy begins a policy that denies all pods of the namespace all egress.
func NetworkPolicy(namespace, name string) *NetworkPolicyBuilder {
	return &NetworkPolicyBuilder{networkingv1.NetworkPolicy{
		ObjectMeta: metav1.ObjectMeta{Namespace: namespace, Name: name},
		Spec:       networkingv1.NetworkPolicySpec{PolicyTypes: []networkingv1.PolicyType{networkingv1.PolicyTypeEgress}},
	}}
}

// Model lets the policy select the pods of one model only.
func (b *NetworkPolicyBuilder) Model(model string) *NetworkPolicyBuilder {
	return b.Selecting(v1alpha1.ModelLabel, model)
}

// Selecting adds a label that pods must bear to be selected.
func (b *NetworkPolicyBuilder) Selecting(key, value string) *NetworkPolicyBuilder {
	if b.policy.Spec.PodSelector.MatchLabels == nil {
		b.policy.Spec.PodSelector.MatchLabels = map[string]string{}
	}
	b.policy.Spec.PodSelector.MatchLabels[key] = value
	return b
}

// AllowCIDR allows egress to ranges of addresses.
func (b *NetworkPolicyBuilder) AllowCIDR(cidrs ...string) *NetworkPolicyBuilder {
	var rule networkingv1.NetworkPolicyEgressRule
	for _, cidr := range cidrs {
		rule.To = append(rule.To, networkingv1.NetworkPolicyPeer{IPBlock: &networkingv1.IPBlock{CIDR: cidr}})
	}
	return b.Egress(rule)
}

// AllowPods allows egress to the pods of the namespace that bear a label.
func (b *NetworkPolicyBuilder) AllowPods(key, value string) *NetworkPolicyBuilder {
	selector := &metav1.LabelSelector{MatchLabels: map[string]string{key: value}}
	return b.Egress(networkingv1.NetworkPolicyEgressRule{To: []networkingv1.NetworkPolicyPeer{{PodSelector: selector}}})
}

// Egress adds a rule. One without peers allows everything.
func (b *NetworkPolicyBuilder) Egress(rule networkingv1.NetworkPolicyEgressRule) *NetworkPolicyBuilder {
	b.policy.Spec.Egress = append(b.policy.Spec.Egress, rule)
	return b
}

// Build gives the policy.
func (b *NetworkPolicyBuilder) Build() *networkingv1.NetworkPolicy { return b.policy.DeepCopy() }

// named gives the metadata for a name, or for a generateName if it ends in "-".
func named(name string) metav1.ObjectMeta {
	if name != "" && name[len(name)-1] == '-' {
		return metav1.ObjectMeta{GenerateName: name}
	}
	return metav1.ObjectMeta{Name: name}
}
