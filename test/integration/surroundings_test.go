package integration

import (
	"context"
	"time"

	. "github.com/onsi/ginkgo/v2"
	. "github.com/onsi/gomega"
	corev1 "k8s.io/api/core/v1"
	networkingv1 "k8s.io/api/networking/v1"
	rbacv1 "k8s.io/api/rbac/v1"
	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/interlock-dev/interlock/api/v1alpha1"
	"github.com/interlock-dev/interlock/internal/testing/builder"
)

// wall lets the pods of a model talk to its namespace alone.
const wall = `{"spec": {"podSelector": {"matchLabels": {"interlock.dev/model": "$(model.name)"}}, "policyTypes": ["Egress"],
  "egress": [{"to": [{"namespaceSelector": {"matchLabels": {"kubernetes.io/metadata.name": "$(namespace)"}}}]}]}}`

// walled is a world whose policy asks at ASL-2 for limited egress, and brings it about.
func walled(ctx context.Context) *world {
	GinkgoHelper()
	w := namesOnly(ctx)
	w.also(ctx, builder.Safeguard(w.policy+"-wall").Egress().Around("networking.k8s.io/v1", "NetworkPolicy", "wall-$(model.name)", wall).Build())
	w.createPolicy(ctx, demanding(w.policy+"-wall"))
	w.enrol(ctx)
	return w
}

func (w *world) networkPolicy(name string) *networkingv1.NetworkPolicy {
	return &networkingv1.NetworkPolicy{ObjectMeta: metav1.ObjectMeta{Namespace: w.ns, Name: name}}
}

// adjusted gives the Adjusted condition of a model, to be polled.
func (w *world) adjusted(model string) func(context.Context) (metav1.Condition, error) {
	return func(ctx context.Context) (metav1.Condition, error) {
		md := &v1alpha1.ModelDeployment{}
		if err := api.Get(ctx, client.ObjectKey{Namespace: w.ns, Name: model}, md); err != nil {
			return metav1.Condition{}, err
		}
		if c := meta.FindStatusCondition(md.Status.Conditions, v1alpha1.ConditionAdjusted); c != nil {
			return *c, nil
		}
		return metav1.Condition{}, nil
	}
}

func inPlace() OmegaMatcher {
	return condition(metav1.ConditionTrue, v1alpha1.ReasonObjectsInPlace, "objects in place: ")
}

var _ = Describe("Objects around a model", func() {
	It("bring a safeguard about, are kept, fought over with nobody, and removed when they are asked for no more", func(ctx SpecContext) {
		w := walled(ctx)
		w.clearedModel(ctx, "llm")
		Eventually(w.adjusted("llm")).WithContext(ctx).Should(inPlace())
		policy := w.networkPolicy("wall-llm")
		Expect(api.Get(ctx, client.ObjectKeyFromObject(policy), policy)).To(Succeed())
		Expect(policy.Spec.PodSelector.MatchLabels).To(HaveKeyWithValue(v1alpha1.ModelLabel, "llm"))
		Expect(policy.Labels).To(HaveKeyWithValue(v1alpha1.AdjustedByLabel, w.policy+"-wall"))
		Expect(policy.OwnerReferences).To(ConsistOf(HaveField("UID", w.model(ctx, "llm").UID)))

		By("repairing what is taken away")
		first := policy.UID
		Expect(api.Delete(ctx, policy)).To(Succeed())
		Eventually(ctx, func(g Gomega) {
			g.Expect(api.Get(ctx, client.ObjectKeyFromObject(policy), policy)).To(Succeed())
			g.Expect(policy.UID).NotTo(Equal(first))
		}).Should(Succeed())
		update(ctx, policy, func() { policy.Labels, policy.OwnerReferences, policy.Spec.Egress = nil, nil, nil })
		Eventually(ctx, func(g Gomega) {
			g.Expect(api.Get(ctx, client.ObjectKeyFromObject(policy), policy)).To(Succeed())
			g.Expect(policy.Labels).To(HaveKeyWithValue(v1alpha1.AdjustedForLabel, "llm"))
			g.Expect(policy.OwnerReferences).NotTo(BeEmpty())
			g.Expect(policy.Spec.Egress).NotTo(BeEmpty())
		}).Should(Succeed())
		Eventually(w.adjusted("llm")).WithContext(ctx).Should(inPlace())

		By("leaving what somebody else has set, and saying so")
		open := networkingv1.NetworkPolicyEgressRule{To: []networkingv1.NetworkPolicyPeer{{IPBlock: &networkingv1.IPBlock{CIDR: "0.0.0.0/0"}}}}
		Expect(api.Get(ctx, client.ObjectKeyFromObject(policy), policy)).To(Succeed())
		policy.Spec.Egress = []networkingv1.NetworkPolicyEgressRule{open}
		Expect(api.Update(ctx, policy, client.FieldOwner("team"))).To(Succeed())
		Eventually(w.adjusted("llm")).WithContext(ctx).Should(condition(metav1.ConditionFalse, v1alpha1.ReasonObjectConflict,
			`NetworkPolicy wall-llm: somebody else has set .spec.egress (conflict with "team"`))
		Eventually(w.verdict("llm")).WithContext(ctx).Should(Equal(v1alpha1.OutcomeRevoked))
		version := policy.ResourceVersion
		Consistently(ctx, func(g Gomega) {
			g.Expect(api.Get(ctx, client.ObjectKeyFromObject(policy), policy)).To(Succeed())
			g.Expect(policy.ResourceVersion).To(Equal(version))
		}, "1s").Should(Succeed())
		Expect(api.Delete(ctx, policy)).To(Succeed())
		Eventually(w.verdict("llm")).WithContext(ctx).Should(Equal(v1alpha1.OutcomeCleared))
		Eventually(w.adjusted("llm")).WithContext(ctx).Should(inPlace())

		By("leaving alone what is not ours, be it there under our name or a copy of ours")
		foreign, copied := w.networkPolicy("wall-other"), w.networkPolicy("copy")
		foreign.Spec.PolicyTypes = []networkingv1.PolicyType{networkingv1.PolicyTypeIngress}
		Expect(api.Get(ctx, client.ObjectKeyFromObject(policy), policy)).To(Succeed())
		copied.Labels, copied.Spec = policy.Labels, policy.Spec
		create(ctx, foreign, copied, w.modelDeployment("other", builder.ASL2))
		Eventually(w.adjusted("other")).WithContext(ctx).Should(condition(metav1.ConditionFalse, v1alpha1.ReasonObjectConflict,
			"NetworkPolicy wall-other: one of that name is there that Interlock did not make"))
		Expect(api.Get(ctx, client.ObjectKeyFromObject(foreign), foreign)).To(Succeed())
		Expect(foreign.Labels).To(BeEmpty())
		Expect(api.Delete(ctx, foreign)).To(Succeed())
		Eventually(w.adjusted("other")).WithContext(ctx).Should(inPlace())

		By("removing what was dropped while the operator was dead")
		Expect(manager.Kill()).To(Succeed())
		DeferCleanup(needManager)
		sg := &v1alpha1.Safeguard{ObjectMeta: metav1.ObjectMeta{Name: w.policy + "-wall"}}
		update(ctx, sg, func() { sg.Spec.Adjust = nil })
		startManager(ctx)
		Eventually(gone(ctx, w.networkPolicy("wall-llm"))).Should(BeTrue())
		Eventually(gone(ctx, w.networkPolicy("wall-other"))).Should(BeTrue())
		Eventually(w.adjusted("llm")).WithContext(ctx).Should(Equal(metav1.Condition{}))
		Expect(w.model(ctx, "llm").Status.Objects).To(BeEmpty())
		Expect(gone(ctx, copied)()).To(BeFalse())
	})

	It("of which the operator has no right, or the cluster no kind, are asked for in clear words, and follow when that has come", func(ctx SpecContext) {
		w := namesOnly(ctx)
		note := w.policy + "-note"
		w.also(ctx, builder.Safeguard(note).PodRule("true", "never").
			Around("v1", "LimitRange", "limits-$(model.name)", `{"spec": {"limits": [{"type": "PersistentVolumeClaim", "min": {"storage": "1Gi"}}]}}`).
			Around("walls.example.com/v1", "Wall", "wall-$(model.name)", `{"spec": {}}`).
			Around("networking.k8s.io/v1", "NetworkPolicy", "bad-$(model.name)", `{"spec": {"podSelector": {}, "walls": 4}}`).Build())
		w.createPolicy(ctx, demanding(note))
		w.enrol(ctx)
		w.clearedModel(ctx, "llm") // what the objects are for is for the method to say
		Eventually(w.adjusted("llm")).WithContext(ctx).Should(condition(metav1.ConditionFalse, v1alpha1.ReasonObjectsNotInPlace,
			"LimitRange limits-llm: the operator has no right to keep limitranges; have it given by a ClusterRole with the label interlock.dev/aggregate-to-manager"))
		Expect(w.adjusted("llm")(ctx)).To(HaveField("Message", SatisfyAll(
			ContainSubstring("Wall wall-llm: the cluster has no kind Wall in walls.example.com/v1 (yet)"),
			ContainSubstring("NetworkPolicy bad-llm: the API server does not take it: "), ContainSubstring(".spec.walls"))))

		w.also(ctx, &rbacv1.ClusterRole{
			ObjectMeta: metav1.ObjectMeta{Name: w.policy, Labels: map[string]string{"interlock.dev/aggregate-to-manager": "true"}},
			Rules: []rbacv1.PolicyRule{{APIGroups: []string{""}, Resources: []string{"limitranges"},
				Verbs: []string{"get", "list", "watch", "create", "patch", "delete"}}}})
		limits := &corev1.LimitRange{ObjectMeta: metav1.ObjectMeta{Namespace: w.ns, Name: "limits-llm"}}
		Eventually(func() bool { return gone(ctx, limits)() }).WithTimeout(time.Minute).Should(BeFalse())

		By("going with the enrolment")
		w.label(ctx, map[string]string{v1alpha1.EnforceLabel: ""})
		Eventually(gone(ctx, limits)).Should(BeTrue())
	})
})

var _ = Describe("A Safeguard whose objects cannot be used", func() {
	It("is refused, and holds the models that need it", func(ctx SpecContext) {
		w := namesOnly(ctx)
		bad := w.policy + "-bad"
		w.also(ctx, builder.Safeguard(bad).PodRule("true", "never").Around("rbac.authorization.k8s.io/v1", "RoleBinding", "give-$(model.name)",
			`{"roleRef": {"kind": "ClusterRole", "name": "cluster-admin"}}`).Build())
		w.createPolicy(ctx, demanding(bad))
		w.enrol(ctx)
		create(ctx, w.modelDeployment("llm", builder.ASL2))
		Eventually(safeguardReady(bad)).WithContext(ctx).Should(condition(metav1.ConditionFalse, v1alpha1.ReasonInvalidAdjustment,
			"spec.adjust.objects[0].kind: RoleBinding.rbac.authorization.k8s.io is refused, since it gives rights or identities"))
		Eventually(w.modelReady("llm")).WithContext(ctx).Should(condition(metav1.ConditionFalse, v1alpha1.ReasonSafeguardsMissing, "cannot be used"))
		nameless := builder.Safeguard(w.policy+"-shared").PodRule("true", "never").Around("networking.k8s.io/v1", "NetworkPolicy", "shared", wall).Build()
		Expect(api.Create(ctx, nameless)).To(MatchError(ContainSubstring("the name must hold $(model.name)")))
	})
})
