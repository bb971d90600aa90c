package bypass

import (
	"context"
	"encoding/json"

	. "github.com/onsi/ginkgo/v2"
	. "github.com/onsi/gomega"
	gomegatypes "github.com/onsi/gomega/types"
	corev1 "k8s.io/api/core/v1"
	networkingv1 "k8s.io/api/networking/v1"
	rbacv1 "k8s.io/api/rbac/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/api/meta"
	"k8s.io/apimachinery/pkg/api/resource"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/interlock-dev/interlock/api/v1alpha1"
	"github.com/interlock-dev/interlock/internal/testing/builder"
	"github.com/interlock-dev/interlock/internal/testing/stack"
)

const (
	// walledName asks at ASL-2 that pods reach no more than the network of the firm, and puts a wall around models for it.
	walledName = "bypass-walled"
	walled     = "walled"
	// namesakesName asks at ASL-2 for objects that have just the names of models.
	namesakesName = "bypass-namesakes"
)

// wall has a text that looks like other things than a text.
const wall = `{"metadata": {"annotations": {"note": "$$(namespace)\"}}, {\"$(model.name)"}},
  "spec": {"podSelector": {"matchLabels": {"interlock.dev/model": "$(model.name)"}}, "policyTypes": ["Egress"],
    "egress": [{"to": [{"ipBlock": {"cidr": "10.0.0.0/8"}}]}]}}`

func surroundingsPack() []client.Object {
	return []client.Object{
		builder.Safeguard(walled).Egress("10.0.0.0/8").Around("networking.k8s.io/v1", "NetworkPolicy", "wall-$(model.name)", wall).Build(),
		builder.ScalingPolicy(walledName).Level(builder.Level(builder.ASL2).Security(walled)).
			Level(builder.Level(builder.ASL3).Security(egressLimited)).Build(),
	}
}

func surroundingTricks() {
	It("10: what is kept around a model counts no more when a team edits, takes over or deletes it, which is told, and is made anew", func(ctx SpecContext) {
		t := newTenant(ctx, walledName)
		t.running(ctx, t.pod("runs").Model(small))
		kept := &networkingv1.NetworkPolicy{ObjectMeta: metav1.ObjectMeta{Namespace: t.namespace, Name: "wall-" + small}}
		t.waitAdjusted(ctx, small, metav1.ConditionTrue, v1alpha1.ReasonObjectsInPlace, "objects in place: 1")

		everywhere := []anything{{}}
		open := anything{"spec": anything{"egress": everywhere}}
		for _, attack := range []edit{
			patching("merge patch", types.MergePatchType, "", open),
			patching("JSON patch", types.JSONPatchType, "", []anything{{"op": "replace", "path": "/spec/egress", "value": everywhere}}),
			patching("server-side apply with force", types.ApplyPatchType, "", open),
			patching("merge patch that has it select no pods", types.MergePatchType, "",
				anything{"spec": anything{"podSelector": anything{"matchLabels": anything{v1alpha1.ModelLabel: "nobody"}}}}),
			patching("merge patch that has nobody own it", types.MergePatchType, "",
				anything{"metadata": anything{"managedFields": everywhere}, "spec": anything{"egress": everywhere}}),
			updating("", func(p *networkingv1.NetworkPolicy) { p.Spec.Egress = []networkingv1.NetworkPolicyEgressRule{{}} }),
		} {
			By(attack.form)
			Expect(attack.do(ctx, t.editor, kept)).To(Succeed())
			t.waitVerdict(ctx, small, v1alpha1.OutcomeRevoked)
			t.waitAdjusted(ctx, small, metav1.ConditionFalse, v1alpha1.ReasonObjectConflict, "NetworkPolicy wall-small: ")
			Expect(t.editor.Delete(ctx, kept)).To(Succeed())
			t.waitVerdict(ctx, small, v1alpha1.OutcomeCleared)
			t.waitAdjusted(ctx, small, metav1.ConditionTrue, v1alpha1.ReasonObjectsInPlace, "objects in place: 1")
		}

		By("server-side apply as the manager that Interlock is here")
		Expect(admin.Get(ctx, client.ObjectKeyFromObject(kept), kept)).To(Succeed())
		Expect(kept.Annotations).To(HaveKeyWithValue("note", `$(namespace)"}}, {"small`))
		asInterlock := client.FieldOwner("interlock-adjust-" + walled)
		forged, err := json.Marshal(applied(kept, open))
		Expect(err).NotTo(HaveOccurred())
		Expect(t.editor.Patch(ctx, kept.DeepCopy(), client.RawPatch(types.ApplyPatchType, forged), client.ForceOwnership, asInterlock)).To(Succeed())
		Eventually(ctx, func(g Gomega) {
			now := &networkingv1.NetworkPolicy{}
			g.Expect(admin.Get(ctx, client.ObjectKeyFromObject(kept), now)).To(Succeed())
			g.Expect(now.Spec).To(Equal(kept.Spec))
			g.Expect(now.Labels).To(Equal(kept.Labels))
		}).Should(Succeed())
		t.waitVerdict(ctx, small, v1alpha1.OutcomeCleared)

		By("deletion where a quota keeps it from being made anew")
		Expect(t.owner.Create(ctx, &corev1.ResourceQuota{ObjectMeta: metav1.ObjectMeta{Namespace: t.namespace, Name: "none"}, Spec: corev1.ResourceQuotaSpec{
			Hard: corev1.ResourceList{"count/networkpolicies.networking.k8s.io": resource.MustParse("0")}}})).To(Succeed())
		Eventually(ctx, func() error {
			return t.editor.Create(ctx, builder.NetworkPolicy(t.namespace, "probe").Build(), client.DryRunAll)
		}).Should(Satisfy(apierrors.IsForbidden))
		Expect(t.editor.Delete(ctx, kept)).To(Succeed())
		t.waitVerdict(ctx, small, v1alpha1.OutcomeRevoked)
		t.waitAdjusted(ctx, small, metav1.ConditionFalse, v1alpha1.ReasonObjectsNotInPlace, "NetworkPolicy wall-small: the API server refuses it: ")
		Eventually(ctx, func(g Gomega) {
			late := t.pod("late").Model(small).Build()
			g.Expect(t.editor.Create(ctx, late, client.DryRunAll)).To(Succeed())
			g.Expect(late).To(beHeld())
		}).Should(Succeed())
	})

	It("32: what a Safeguard puts around a model stays in the model's namespace and in its place, and bears no name of Interlock's own", func(ctx SpecContext) {
		const egress = `"egress": [{"to": [{"namespaceSelector": {"matchLabels": {"kubernetes.io/metadata.name": "$(namespace)"}}}]}]`
		for name, trick := range map[string]struct{ name, manifest, words string }{
			"elsewhere": {"a-$(model.name)", `{"metadata": {"namespace": "kube-system"}}`, "only labels and annotations can be set"},
			"no-place":  {"../a-$(model.name)", `{"spec": {` + egress + `}}`, "a lowercase RFC 1123 subdomain"},
			"isolation": {"interlock-isolate-$(model.name)", `{"spec": {` + egress + `}}`, `begins with "interlock-"`},
			"others":    {"a-$(model.name)", `{"metadata": {"labels": {"interlock.dev/adjusted-for": "$(model.name)"}}}`, "it is Interlock's own"},
			"key":       {"a-$(model.name)", `{"spec": {"podSelector": {"matchLabels": {"$(model.name)": "x"}}}}`, "only values can"},
			"nested":    {"a-$(model.name)", `{"metadata": {"labels": {"a": "$($(model.name))"}}}`, "is not known"},
		} {
			sg := builder.Safeguard("tricky-"+name).PodRule("true", "never").Around("networking.k8s.io/v1", "NetworkPolicy", trick.name, trick.manifest).Build()
			Expect(insider.Create(ctx, sg)).To(Succeed(), name)
			DeferCleanup(func(ctx SpecContext) { Expect(insider.Delete(ctx, sg)).To(Succeed()) })
			Eventually(ctx, func(g Gomega) {
				g.Expect(admin.Get(ctx, client.ObjectKeyFromObject(sg), sg)).To(Succeed())
				g.Expect(sg.Status.Conditions).To(ContainElement(conditionOf(v1alpha1.ConditionReady, metav1.ConditionFalse, v1alpha1.ReasonInvalidAdjustment, trick.words)))
			}).Should(Succeed(), name)
		}

		t := newNamesakes(ctx)
		hostile := builder.ModelDeployment(t.namespace, "hostile").Build()
		hostile.Spec.Model.Digest += `", "namespace": "kube-system`
		Expect(t.editor.Create(ctx, hostile)).To(beRefusedByKubernetes("spec.model.digest"))
		Expect(t.editor.Create(ctx, builder.ModelDeployment(t.namespace, "$(namespace)").Build())).To(beRefusedByKubernetes("metadata.name"))
		for _, name := range []string{v1alpha1.ClearancesName, "interlock-isolate-" + small} {
			Expect(t.editor.Create(ctx, builder.ModelDeployment(t.namespace, name).Build())).To(Succeed())
			words := `: .name: "` + name + `" begins with "interlock-"`
			t.waitAdjusted(ctx, name, metav1.ConditionFalse, v1alpha1.ReasonObjectsNotInPlace, "ConfigMap $(model.name)"+words)
			t.waitAdjusted(ctx, name, metav1.ConditionFalse, v1alpha1.ReasonObjectsNotInPlace, "NetworkPolicy $(model.name)"+words)
			Expect(admin.Get(ctx, t.key(name), &networkingv1.NetworkPolicy{})).To(Satisfy(apierrors.IsNotFound))
		}
		Expect(t.clearances(ctx).Annotations).NotTo(HaveKey("planted"))
	})
}

// newNamesakes makes a tenant whose models have ConfigMaps and NetworkPolicies of their own names put around them, which the
// operator has the right to do.
func newNamesakes(ctx context.Context) *tenant {
	GinkgoHelper()
	name := "namesake"
	for _, o := range []client.Object{
		&rbacv1.ClusterRole{ObjectMeta: metav1.ObjectMeta{Name: "bypass-" + name, Labels: map[string]string{"interlock.dev/aggregate-to-manager": "true"}},
			Rules: []rbacv1.PolicyRule{{APIGroups: []string{""}, Resources: []string{"configmaps"}, Verbs: []string{rbacv1.VerbAll}}}},
		builder.Safeguard(name).PodRule("true", "never").
			Around("v1", "ConfigMap", "$(model.name)", `{"data": {"planted": "yes"}}`).
			Around("networking.k8s.io/v1", "NetworkPolicy", "$(model.name)", `{"spec": {"podSelector": {}, "policyTypes": ["Ingress"]}}`).Build(),
		builder.ScalingPolicy(namesakesName).Level(builder.Level(builder.ASL2).Deployment(name)).
			Level(builder.Level(builder.ASL3).Security(egressLimited)).Build(),
	} {
		Expect(admin.Create(ctx, o)).To(Succeed())
		DeferCleanup(func(ctx SpecContext) { Expect(admin.Delete(ctx, o)).To(Succeed()) })
	}
	config, _, err := cluster.ServiceAccount(ctx, stack.Namespace, stack.ServiceAccount)
	Expect(err).NotTo(HaveOccurred())
	person{clientOf(config), stack.ServiceAccount}.waitMay(ctx, "", "patch", "", "configmaps")
	return newTenant(ctx, namesakesName)
}

func conditionOf(kind string, status metav1.ConditionStatus, reason, words string) gomegatypes.GomegaMatcher {
	return And(HaveField("Type", kind), HaveField("Status", status), HaveField("Reason", reason), HaveField("Message", ContainSubstring(words)))
}

// waitAdjusted waits until this is said of the objects around a model.
func (t *tenant) waitAdjusted(ctx context.Context, model string, status metav1.ConditionStatus, reason, words string) {
	GinkgoHelper()
	Eventually(ctx, func(g Gomega) {
		md := &v1alpha1.ModelDeployment{}
		g.Expect(t.editor.Get(ctx, t.key(model), md)).To(Succeed())
		g.Expect(meta.FindStatusCondition(md.Status.Conditions, v1alpha1.ConditionAdjusted)).To(HaveValue(
			conditionOf(v1alpha1.ConditionAdjusted, status, reason, words)), "objects: %v", md.Status.Objects)
	}).Should(Succeed())
}
