package bypass

import (
	"context"

	. "github.com/onsi/ginkgo/v2"
	. "github.com/onsi/gomega"
	authorizationv1 "k8s.io/api/authorization/v1"
	corev1 "k8s.io/api/core/v1"
	rbacv1 "k8s.io/api/rbac/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/interlock-dev/interlock/api/v1alpha1"
	"github.com/interlock-dev/interlock/internal/testing/builder"
)

// People with realistic rights.
var (
	// editor has the built-in role edit in the namespace of each tenant.
	editor person
	// owner may do everything in the namespace of each tenant, as sloppy roles have it: all verbs on all resources.
	owner person
	// platform keeps namespaces, and may not enrol them.
	platform person
	// switcher keeps namespaces as well, and may enrol them under the lax policy alone.
	switcher person
	// enroller keeps namespaces as well, and may enrol them under any policy.
	enroller person
	// mutatorOwner is of another team, and writes MutatingAdmissionPolicies.
	mutatorOwner person
	// insider may do everything with the kinds of Interlock, and nothing with its admission policies.
	insider person
	// officer is the Responsible Scaling Officer, and may approve in that role.
	officer person
	// chief is the Chief Executive Officer, and may approve in that role.
	chief person
)

type person struct {
	client.Client
	name string
}

const ownerRole = "bypass-owner"

func makePeople(ctx context.Context) {
	GinkgoHelper()
	all := []string{rbacv1.VerbAll}
	namespaces := rbacv1.PolicyRule{
		APIGroups: []string{""}, Resources: []string{"namespaces", "namespaces/status", "namespaces/finalize"},
		Verbs: []string{"get", "list", "create", "update", "patch", "delete"}}
	enroll := rbacv1.PolicyRule{
		APIGroups: []string{v1alpha1.GroupVersion.Group}, Resources: []string{"scalingpolicies"}, Verbs: []string{v1alpha1.EnrollVerb}}
	enrollLax := *enroll.DeepCopy()
	enrollLax.ResourceNames = []string{laxName}

	grant(ctx, ownerRole, rbacv1.PolicyRule{APIGroups: []string{rbacv1.APIGroupAll}, Resources: []string{rbacv1.ResourceAll}, Verbs: all})
	editor = newPerson(ctx, "erin")
	owner = newPerson(ctx, "owen")
	platform = newPerson(ctx, "pat", namespaces)
	switcher = newPerson(ctx, "sven", namespaces, enrollLax)
	enroller = newPerson(ctx, "enid", namespaces, enroll)
	mutatorOwner = newPerson(ctx, "mona", rbacv1.PolicyRule{
		APIGroups: []string{"admissionregistration.k8s.io"},
		Resources: []string{"mutatingadmissionpolicies", "mutatingadmissionpolicybindings"}, Verbs: all})
	officer = newPerson(ctx, "rhea", approves("rso")...)
	chief = newPerson(ctx, "cleo", approves("ceo")...)
	insider = newPerson(ctx, "iris", rbacv1.PolicyRule{
		APIGroups: []string{v1alpha1.GroupVersion.Group}, Resources: []string{rbacv1.ResourceAll}, Verbs: all}, rbacv1.PolicyRule{
		APIGroups: []string{""}, Resources: []string{"configmaps", "limitranges"}, Verbs: all})
}

// approves are the rights of somebody who approves in a role.
func approves(role string) []rbacv1.PolicyRule {
	group := []string{v1alpha1.GroupVersion.Group}
	return []rbacv1.PolicyRule{
		{APIGroups: group, Resources: []string{"approvals"}, Verbs: []string{"get", "list", "delete", "patch", "create"}},
		{APIGroups: group, Resources: []string{"approvals"}, ResourceNames: []string{role}, Verbs: []string{v1alpha1.ApproveVerb}},
	}
}

// newPerson makes a user with a ClusterRole of these rules.
func newPerson(ctx context.Context, name string, rules ...rbacv1.PolicyRule) person {
	GinkgoHelper()
	config, _, err := cluster.User(name)
	Expect(err).NotTo(HaveOccurred())
	p := person{clientOf(config), name}
	if len(rules) == 0 {
		return p
	}
	grant(ctx, "bypass-"+name, rules...)
	Expect(admin.Create(ctx, &rbacv1.ClusterRoleBinding{
		ObjectMeta: metav1.ObjectMeta{Name: "bypass-" + name},
		RoleRef:    rbacv1.RoleRef{APIGroup: rbacv1.GroupName, Kind: "ClusterRole", Name: "bypass-" + name},
		Subjects:   p.subjects(),
	})).To(Succeed())
	rule := rules[0]
	p.waitMay(ctx, "", rule.Verbs[len(rule.Verbs)-1], rule.APIGroups[0], rule.Resources[0])
	return p
}

func grant(ctx context.Context, role string, rules ...rbacv1.PolicyRule) {
	GinkgoHelper()
	Expect(admin.Create(ctx, &rbacv1.ClusterRole{ObjectMeta: metav1.ObjectMeta{Name: role}, Rules: rules})).To(Succeed())
}

func (p person) subjects() []rbacv1.Subject {
	return []rbacv1.Subject{{APIGroup: rbacv1.GroupName, Kind: rbacv1.UserKind, Name: p.name}}
}

// waitMay waits until the API server knows of a right, so that a refusal is that of Interlock.
func (p person) waitMay(ctx context.Context, namespace, verb, group, resource string) {
	GinkgoHelper()
	Eventually(ctx, func(g Gomega) {
		review := &authorizationv1.SelfSubjectAccessReview{Spec: authorizationv1.SelfSubjectAccessReviewSpec{
			ResourceAttributes: &authorizationv1.ResourceAttributes{Namespace: namespace, Verb: verb, Group: group, Resource: resource}}}
		g.Expect(p.Create(ctx, review)).To(Succeed())
		g.Expect(review.Status.Allowed).To(BeTrue(), "%s may not %s %s", p.name, verb, resource)
	}).Should(Succeed())
}

// The models of a tenant.
const (
	// small was assessed at ASL-2, so it is cleared from the start.
	small = "small"
	// llama was assessed at ASL-3, so it is held until its egress is limited.
	llama = "llama"
)

// tenant is a namespace of its own for each spec, with people in it and two models.
type tenant struct {
	namespace     string
	editor, owner client.Client
}

// newTenant makes a tenant under a policy, and returns once both models have their verdicts.
func newTenant(ctx context.Context, policy string, change ...func(*builder.NamespaceBuilder)) *tenant {
	GinkgoHelper()
	b := builder.Namespace("tenant-").Enforce(policy)
	for _, f := range change {
		f(b)
	}
	namespace := b.Build()
	Expect(admin.Create(ctx, namespace)).To(Succeed())
	t := &tenant{namespace: namespace.Name, editor: editor, owner: owner}
	t.bind(ctx, editor, "edit")
	t.bind(ctx, owner, ownerRole)
	editor.waitMay(ctx, t.namespace, "create", "", "pods")
	owner.waitMay(ctx, t.namespace, "patch", "", "pods")
	Expect(editor.Create(ctx, builder.ModelDeployment(t.namespace, small).Build())).To(Succeed())
	Expect(editor.Create(ctx, builder.ModelDeployment(t.namespace, llama).Level(builder.ASL3).Build())).To(Succeed())
	t.waitServiceAccount(ctx)
	if manager != nil && manager.Running() {
		t.waitVerdict(ctx, small, v1alpha1.OutcomeCleared)
		t.waitVerdict(ctx, llama, v1alpha1.OutcomeHeld)
	}
	return t
}

// waitServiceAccount waits until pods can be created at all.
func (t *tenant) waitServiceAccount(ctx context.Context) {
	GinkgoHelper()
	Eventually(ctx, func(g Gomega) {
		g.Expect(admin.Get(ctx, t.key("default"), &corev1.ServiceAccount{})).To(Succeed())
	}).Should(Succeed())
}

func (t *tenant) bind(ctx context.Context, p person, role string) {
	GinkgoHelper()
	Expect(admin.Create(ctx, &rbacv1.RoleBinding{
		ObjectMeta: metav1.ObjectMeta{Namespace: t.namespace, Name: p.name},
		RoleRef:    rbacv1.RoleRef{APIGroup: rbacv1.GroupName, Kind: "ClusterRole", Name: role},
		Subjects:   p.subjects(),
	})).To(Succeed())
}

func (t *tenant) key(name string) client.ObjectKey {
	return client.ObjectKey{Namespace: t.namespace, Name: name}
}

func (t *tenant) pod(name string) *builder.PodBuilder { return builder.Pod(t.namespace, name) }

// waitVerdict waits for a verdict on a model, as people see it.
func (t *tenant) waitVerdict(ctx context.Context, model string, want v1alpha1.Outcome) {
	GinkgoHelper()
	Eventually(ctx, func(g Gomega) {
		md := &v1alpha1.ModelDeployment{}
		g.Expect(t.editor.Get(ctx, t.key(model), md)).To(Succeed())
		g.Expect(md.Status.Verdict).To(Equal(want), "verdict on %s: %v", model, md.Status)
	}).Should(Succeed())
}

// limitEgress brings about what llama lacks.
func (t *tenant) limitEgress(ctx context.Context) {
	GinkgoHelper()
	Expect(admin.Create(ctx, builder.NetworkPolicy(t.namespace, "no-egress").Build())).To(Succeed())
}

// openEgress takes it away again.
func (t *tenant) openEgress(ctx context.Context) {
	GinkgoHelper()
	Expect(admin.Delete(ctx, builder.NetworkPolicy(t.namespace, "no-egress").Build())).To(Succeed())
}

// running creates a pod of a cleared model as the editor, and returns it once it runs.
func (t *tenant) running(ctx context.Context, b *builder.PodBuilder) *corev1.Pod {
	GinkgoHelper()
	pod := b.Build()
	Expect(t.editor.Create(ctx, pod)).To(Succeed())
	t.waitRunning(ctx, pod)
	return pod
}

// waiting creates a pod of a held model as the editor.
func (t *tenant) waiting(ctx context.Context, b *builder.PodBuilder) *corev1.Pod {
	GinkgoHelper()
	pod := b.Build()
	Expect(t.editor.Create(ctx, pod)).To(Succeed())
	Expect(pod).To(beHeld())
	return pod
}

func (t *tenant) waitRunning(ctx context.Context, pod *corev1.Pod) {
	GinkgoHelper()
	Eventually(ctx, func(g Gomega) {
		g.Expect(admin.Get(ctx, client.ObjectKeyFromObject(pod), pod)).To(Succeed())
		g.Expect(pod.Status.Phase).To(Equal(corev1.PodRunning), "pod %s: gates %v, %v", pod.Name, pod.Spec.SchedulingGates, pod.Status.Conditions)
	}).Should(Succeed())
}

// expectUntouched asserts that an attack has left the pod alone: held or running as it was, and of the same model.
func (t *tenant) expectUntouched(ctx context.Context, pod *corev1.Pod) {
	GinkgoHelper()
	now := &corev1.Pod{}
	Expect(admin.Get(ctx, client.ObjectKeyFromObject(pod), now)).To(Succeed())
	Expect(now.UID).To(Equal(pod.UID))
	Expect(now.Labels).To(HaveKeyWithValue(v1alpha1.ModelLabel, pod.Labels[v1alpha1.ModelLabel]))
	Expect(now.Spec.SchedulingGates).To(Equal(pod.Spec.SchedulingGates))
	Expect(now.Spec.NodeName).To(Equal(pod.Spec.NodeName))
	Expect(images(now)).To(Equal(images(pod)))
}

func images(pod *corev1.Pod) []string {
	var all []string
	for _, c := range pod.Spec.InitContainers {
		all = append(all, c.Image)
	}
	for _, c := range pod.Spec.Containers {
		all = append(all, c.Image)
	}
	for _, c := range pod.Spec.EphemeralContainers {
		all = append(all, c.Image)
	}
	return all
}

// pods lists the pods of the tenant that bear a label.
func (t *tenant) pods(ctx context.Context, key, value string) []corev1.Pod {
	GinkgoHelper()
	list := &corev1.PodList{}
	Expect(admin.List(ctx, list, client.InNamespace(t.namespace), client.MatchingLabels{key: value})).To(Succeed())
	return list.Items
}

// waitRunningSoon creates a pod of a cleared model that comes with a gate, and waits until it runs.
func (t *tenant) waitRunningSoon(ctx context.Context, pod *corev1.Pod) {
	GinkgoHelper()
	Expect(t.editor.Create(ctx, pod)).To(Succeed())
	t.waitRunning(ctx, pod)
}

// waitGone waits until a pod is no more, or has been replaced.
func (t *tenant) waitGone(ctx context.Context, pod *corev1.Pod) {
	GinkgoHelper()
	Eventually(ctx, func(g Gomega) {
		now := &corev1.Pod{}
		err := admin.Get(ctx, client.ObjectKeyFromObject(pod), now)
		g.Expect(err != nil || now.UID != pod.UID).To(BeTrue(), "pod %s still runs", pod.Name)
		g.Expect(client.IgnoreNotFound(err)).To(Succeed())
	}).Should(Succeed())
}

// nodeIdentity acts as the kubelet of a node.
func nodeIdentity(_ context.Context, name string) client.Client {
	GinkgoHelper()
	config, _, err := cluster.User("system:node:"+name, "system:nodes")
	Expect(err).NotTo(HaveOccurred())
	return clientOf(config)
}

// onNode names the node as the owner of the pod, as kubelets must.
func onNode(ctx context.Context, pod *corev1.Pod) *corev1.Pod {
	GinkgoHelper()
	node := &corev1.Node{}
	Expect(admin.Get(ctx, client.ObjectKey{Name: pod.Spec.NodeName}, node)).To(Succeed())
	pod.OwnerReferences = []metav1.OwnerReference{{APIVersion: "v1", Kind: "Node", Name: node.Name, UID: node.UID, Controller: new(true)}}
	return pod
}
