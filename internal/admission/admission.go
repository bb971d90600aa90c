// Package admission owns what the API server enforces: it compiles policy to MutatingAdmissionPolicy and
// ValidatingAdmissionPolicy objects, and verdicts to what these read.
//
// It is pure: it returns objects and applies none. It must not import controllers, nor anything that talks to an API
// server.
//
// Where the cost lies: for each policy the API server evaluates match conditions, validations and their messages each with an
// activation of its own. So what is read for every pod is decided in one match condition, which is false for a pod that is
// as it should be, and words are found only once that is true.
package admission

import (
	"cmp"
	"slices"

	admissionv1 "k8s.io/api/admissionregistration/v1"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"

	"github.com/interlock-dev/interlock/api/v1alpha1"
	"github.com/interlock-dev/interlock/internal/decision"
)

// Names of the policies; each binding has the name of its policy, or begins with it.
const (
	HoldPolicy      = "interlock-hold"
	AdmitPolicy     = "interlock-admit"
	GuardPolicy     = "interlock-guard"
	IdentityPolicy  = "interlock-identity"
	LedgerPolicy    = "interlock-ledgers"
	EnrolmentPolicy = "interlock-enrolment"
	NoticePolicy    = "interlock-notice"
	AuditPolicy     = "interlock-audit"
	StampPolicy     = "interlock-stamp"
	AuthorityPolicy = "interlock-authority"
	ConnectPolicy   = "interlock-connect"
	CanaryPolicy    = "interlock-canary"
)

// Install is what the policies have to know of the installation.
type Install struct {
	// Username is the operator's own, "system:serviceaccount:NAMESPACE:NAME".
	Username string
	// Namespace is the operator's own, which can never be enrolled.
	Namespace string
	// Credential is the key of a user's extra in which the authenticator notes the credential. Default: DefaultCredential.
	Credential string
}

// Rule is what one Safeguard asks of pods, known to compile, and what it gives them.
type Rule struct {
	// Safeguard is its name.
	Safeguard string
	// Remedy tells a person what to do.
	Remedy string
	// Validations that a pod must all meet.
	Validations []v1alpha1.PodValidation
	// Adjust is what new pods are given; nil, nothing.
	Adjust *v1alpha1.PodAdjustment
	// Connect refuses requests into running pods. Nil means that none is refused.
	Connect *v1alpha1.ConnectRule
}

// RuleOf gives what a Safeguard asks of pods and gives them; false, neither.
func RuleOf(sg *v1alpha1.Safeguard) (Rule, bool) {
	rule := Rule{Safeguard: sg.Name, Remedy: sg.Spec.Remedy, Connect: sg.Spec.Connect}
	if sg.Spec.PodRule != nil {
		rule.Validations = sg.Spec.PodRule.Validations
	}
	if sg.Spec.Adjust != nil {
		rule.Adjust = sg.Spec.Adjust.Pod
	}
	return rule, rule.Validations != nil || rule.Adjust != nil || rule.Connect != nil
}

// Framework is what the API server has to know of a ScalingPolicy itself.
type Framework struct {
	// Name of the policy, as the labels of namespaces have it.
	Name string
	// Always names the Safeguards that every clearance under it asks for.
	Always []string
	// ApproverRoles are those in which it lets ServiceAccounts approve something.
	ApproverRoles []string
	// MayRequest says that it lets ServiceAccounts request waivers.
	MayRequest bool
}

// FrameworkOf gives what the API server has to know of a policy.
func FrameworkOf(p *v1alpha1.ScalingPolicy) Framework {
	return Framework{
		Name: p.Name, Always: decision.AlwaysAsked(p),
		ApproverRoles: decision.ServiceAccountApprovers(p), MayRequest: decision.ServiceAccountsRequest(p)}
}

// Object is a policy or a binding, with every default filled in, so that what the API server stores compares equal.
type Object interface {
	metav1.Object
	runtime.Object
}

// Policies compiles all policies and their bindings, for namespaces under these frameworks. The order of neither rules nor
// frameworks matters.
func Policies(install Install, rules []Rule, frameworks ...Framework) []Object {
	rules = slices.SortedFunc(slices.Values(rules), func(a, b Rule) int { return cmp.Compare(a.Safeguard, b.Safeguard) })
	frameworks = slices.SortedFunc(slices.Values(frameworks), func(a, b Framework) int { return cmp.Compare(a.Name, b.Name) })
	enrolled := selector(exists(v1alpha1.EnforceLabel), metav1.LabelSelectorRequirement{
		Key: corev1.LabelMetadataName, Operator: metav1.LabelSelectorOpNotIn, Values: install.NeverEnrolled()})
	onlyWarned := selector(exists(v1alpha1.WarnLabel), metav1.LabelSelectorRequirement{
		Key: v1alpha1.EnforceLabel, Operator: metav1.LabelSelectorOpDoesNotExist})
	return []Object{
		hold(enrolled, rules), holdBinding(enrolled),
		admit(enrolled, rules), binding(AdmitPolicy, AdmitPolicy, admissionv1.Deny, enrolled, clearances()),
		guard(enrolled, install, rules), binding(GuardPolicy, GuardPolicy, admissionv1.Deny, enrolled, clearances()),
		identity(enrolled), binding(IdentityPolicy, IdentityPolicy, admissionv1.Deny, enrolled, nil),
		connect(enrolled, install, rules), binding(ConnectPolicy, ConnectPolicy, admissionv1.Deny, enrolled, clearances()),
		ledgers(install, rules, frameworks), binding(LedgerPolicy, LedgerPolicy, admissionv1.Deny, selector(), nil),
		enrolment(install), binding(EnrolmentPolicy, EnrolmentPolicy, admissionv1.Deny, selector(), nil),
		notice(NoticePolicy, rules, v1alpha1.EnforceLabel, v1alpha1.WarnLabel),
		binding(NoticePolicy+"-enforce", NoticePolicy, admissionv1.Warn, enrolled, notices()),
		binding(NoticePolicy+"-warn", NoticePolicy, admissionv1.Warn, onlyWarned, notices()),
		notice(AuditPolicy, rules, v1alpha1.AuditLabel),
		binding(AuditPolicy, AuditPolicy, admissionv1.Audit, selector(exists(v1alpha1.AuditLabel)), notices()),
		stamp(install), stampBinding(),
		authority(install, frameworks), binding(AuthorityPolicy, AuthorityPolicy, admissionv1.Deny, selector(), nil),
		canary(install), binding(CanaryPolicy, CanaryPolicy, admissionv1.Deny, canaryNamespace(), nil),
	}
}

// Enforced says by which policy the pods of a namespace are held, if by any: also by one without a name, which holds them all.
func (i Install) Enforced(ns metav1.Object) (policy string, enforced bool) {
	if slices.Contains(i.NeverEnrolled(), ns.GetName()) {
		return "", false
	}
	policy, enforced = ns.GetLabels()[v1alpha1.EnforceLabel]
	return policy, enforced
}

// NeverEnrolled lists the namespaces that no policy can be put over: the cluster, or Interlock, would not come up again.
func (i Install) NeverEnrolled() []string {
	return []string{metav1.NamespaceSystem, metav1.NamespacePublic, corev1.NamespaceNodeLease, i.Namespace}
}

func selector(requirements ...metav1.LabelSelectorRequirement) *metav1.LabelSelector {
	return &metav1.LabelSelector{MatchExpressions: requirements}
}

func exists(label string) metav1.LabelSelectorRequirement {
	return metav1.LabelSelectorRequirement{Key: label, Operator: metav1.LabelSelectorOpExists}
}

// clearances are what pods are judged by: where there are none, nothing is let in.
func clearances() *admissionv1.ParamRef {
	return &admissionv1.ParamRef{Name: v1alpha1.ClearancesName, ParameterNotFoundAction: new(admissionv1.DenyAction)}
}

// notices are advice: where there are none, nothing is said.
func notices() *admissionv1.ParamRef {
	return &admissionv1.ParamRef{Name: v1alpha1.LedgerName, ParameterNotFoundAction: new(admissionv1.AllowAction)}
}

func meta(name string) metav1.ObjectMeta {
	return metav1.ObjectMeta{Name: name, Labels: map[string]string{v1alpha1.ManagedByLabel: v1alpha1.ManagedBy}}
}

func clearancesKind() *admissionv1.ParamKind {
	return &admissionv1.ParamKind{APIVersion: corev1.SchemeGroupVersion.String(), Kind: "LimitRange"}
}

func validating(name string, spec admissionv1.ValidatingAdmissionPolicySpec) *admissionv1.ValidatingAdmissionPolicy {
	if spec.FailurePolicy == nil {
		spec.FailurePolicy = new(admissionv1.Fail)
	}
	return &admissionv1.ValidatingAdmissionPolicy{
		TypeMeta:   metav1.TypeMeta{APIVersion: admissionv1.SchemeGroupVersion.String(), Kind: "ValidatingAdmissionPolicy"},
		ObjectMeta: meta(name), Spec: spec}
}

func binding(name, policy string, action admissionv1.ValidationAction, namespaces *metav1.LabelSelector, param *admissionv1.ParamRef) Object {
	return &admissionv1.ValidatingAdmissionPolicyBinding{
		TypeMeta:   metav1.TypeMeta{APIVersion: admissionv1.SchemeGroupVersion.String(), Kind: "ValidatingAdmissionPolicyBinding"},
		ObjectMeta: meta(name),
		Spec: admissionv1.ValidatingAdmissionPolicyBindingSpec{
			PolicyName: policy, ParamRef: param, ValidationActions: []admissionv1.ValidationAction{action},
			MatchResources: match(namespaces)}}
}

// match selects the resources of some operations in some namespaces.
func match(namespaces *metav1.LabelSelector, rules ...admissionv1.NamedRuleWithOperations) *admissionv1.MatchResources {
	return &admissionv1.MatchResources{
		MatchPolicy: new(admissionv1.Equivalent), NamespaceSelector: namespaces, ObjectSelector: selector(), ResourceRules: rules}
}

func resources(group, version string, operations []admissionv1.OperationType, names ...string) admissionv1.NamedRuleWithOperations {
	return admissionv1.NamedRuleWithOperations{RuleWithOperations: admissionv1.RuleWithOperations{
		Operations: operations,
		Rule: admissionv1.Rule{
			APIGroups: []string{group}, APIVersions: []string{version}, Resources: names, Scope: new(admissionv1.AllScopes)}}}
}

var (
	onCreate = []admissionv1.OperationType{admissionv1.Create}
	onUpdate = []admissionv1.OperationType{admissionv1.Update}
	onApply  = []admissionv1.OperationType{admissionv1.Create, admissionv1.Update}
	onWrite  = []admissionv1.OperationType{admissionv1.Create, admissionv1.Update, admissionv1.Delete}
)
