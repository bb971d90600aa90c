package bypass

import (
	"context"
	"slices"
	"time"

	. "github.com/onsi/ginkgo/v2"
	. "github.com/onsi/gomega"
	"github.com/onsi/gomega/types"
	admissionv1 "k8s.io/api/admissionregistration/v1"
	corev1 "k8s.io/api/core/v1"
	discoveryv1 "k8s.io/api/discovery/v1"
	eventsv1 "k8s.io/api/events/v1"
	rbacv1 "k8s.io/api/rbac/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/interlock-dev/interlock/api/v1alpha1"
	"github.com/interlock-dev/interlock/internal/admission"
	"github.com/interlock-dev/interlock/internal/testing/stack"
)

// staleness is about an API server that believes clearances of which nothing is true any more (kubernetes/kubernetes#130887).
func staleness() {
	It("45: whichever of our policies and bindings are gone for a while, verdicts of afterwards are enforced", func(ctx SpecContext) {
		t := newTenant(ctx, policyName)
		hold := []client.Object{named[admissionv1.MutatingAdmissionPolicyBinding](admission.HoldPolicy), named[admissionv1.MutatingAdmissionPolicy](admission.HoldPolicy)}
		var judging []client.Object
		for _, name := range []string{admission.AdmitPolicy, admission.GuardPolicy} {
			judging = append(judging, named[admissionv1.ValidatingAdmissionPolicy](name), named[admissionv1.ValidatingAdmissionPolicyBinding](name))
		}
		for _, gone := range []struct {
			what    string
			objects []client.Object
		}{
			{"the mutation's binding", hold[:1]}, {"the mutation", hold[1:]},
			{"both judgements, policies first", judging}, {"all", append(hold, judging...)},
		} {
			By("without " + gone.what)
			withoutManager()
			remove(ctx, gone.objects...)
			t.waitUnseen(ctx, gone.objects)
			startManager(ctx)
			waitEnforced(ctx)

			t.limitEgress(ctx)
			t.waitVerdict(ctx, llama, v1alpha1.OutcomeCleared)
			t.waitBorn(ctx, llama, Not(beHeld()))
			t.openEgress(ctx)
			t.waitVerdict(ctx, llama, v1alpha1.OutcomeHeld)
			t.waitBorn(ctx, llama, beHeld())
		}
	})

	It("45: a policy that stays away is told of in readiness, metrics and events until it is enforced again", func(ctx SpecContext) {
		waitContent(ctx)
		since := time.Now().Add(-time.Second)
		allow := forbidRepairs(ctx)
		remove(ctx, named[admissionv1.MutatingAdmissionPolicyBinding](admission.HoldPolicy))
		waitDoubt(ctx, since, "a pod that interlock-hold should hold")
		allow(ctx)
		waitContent(ctx)
		Expect(canaryEvents(ctx, since)).To(ContainElement(HaveField("Reason", "EnforcementProven")))
		waitEnforced(ctx)
	})

	It("45: an API server that goes by what was true before is noticed, and no repair counts", func(ctx SpecContext) {
		waitContent(ctx)
		remember := forgetClearances(ctx)
		since := time.Now().Add(-time.Second)
		remove(ctx, named[admissionv1.MutatingAdmissionPolicyBinding](admission.HoldPolicy))
		Eventually(ctx, func() error { return manager.Check(ctx, "canary") }).Should(MatchError(ContainSubstring("enforcement was repaired at")))
		waitDoubt(ctx, since, "it holds a pod that was cleared")
		Expect(metric(ctx, "interlock_enforcement_proven_timestamp_seconds")).To(BeNumerically("<", time.Now().Unix()-5))
		remember(ctx)
		waitContent(ctx)
		Expect(canaryEvents(ctx, since)).To(ContainElement(HaveField("Reason", "EnforcementProven")))
		waitEnforced(ctx)
	})

	It("45: a manager that stands by asks nobody, and one that takes over asks before it is ready", func(ctx SpecContext) {
		leader := manager
		var err error
		manager, err = cluster.StartManager(ctx)
		Expect(err).NotTo(HaveOccurred())
		DeferCleanup(func(ctx SpecContext) {
			Expect(manager.Kill()).To(Succeed())
			startManager(ctx)
			waitEnforced(ctx)
		})
		Consistently(ctx, func(g Gomega) {
			g.Expect(manager.Ready(ctx)).To(Succeed())
			g.Expect(metric(ctx, "interlock_enforcement_proven_timestamp_seconds")).To(BeZero())
		}).WithTimeout(3 * time.Second).Should(Succeed())
		Expect(leader.Kill()).To(Succeed())
		Eventually(ctx, func() error { return manager.Check(ctx, "canary") }).WithTimeout(time.Minute).
			Should(MatchError(ContainSubstring("have not shown yet")))
		waitContent(ctx)
	})

	It("45: an API server that cannot be asked is counted as one of which nothing is known", func(ctx SpecContext) {
		slice := &discoveryv1.EndpointSlice{
			ObjectMeta: metav1.ObjectMeta{Namespace: metav1.NamespaceDefault, Name: "unreachable",
				Labels: map[string]string{discoveryv1.LabelServiceName: "kubernetes"}},
			AddressType: discoveryv1.AddressTypeIPv4, Endpoints: []discoveryv1.Endpoint{{Addresses: []string{"192.0.2.1"}}},
			Ports: []discoveryv1.EndpointPort{{Name: new("https"), Port: new(int32(6443))}}}
		Expect(admin.Create(ctx, slice)).To(Succeed())
		DeferCleanup(func(ctx SpecContext) { Expect(admin.Delete(ctx, slice)).To(Succeed()) })
		Eventually(ctx, func(g Gomega) {
			g.Expect(metric(ctx, `interlock_enforcement_api_servers{answer="none"}`)).To(BeEquivalentTo(1))
			g.Expect(metric(ctx, `interlock_enforcement_api_servers{answer="right"}`)).To(BeEquivalentTo(1))
		}).WithTimeout(time.Minute).Should(Succeed())
		Expect(manager.Ready(ctx)).To(Succeed())
	})

	It("45: nobody runs a pod beside the canary", func(ctx SpecContext) {
		config, _, err := cluster.ServiceAccount(ctx, stack.Namespace, stack.ServiceAccount)
		Expect(err).NotTo(HaveOccurred())
		for _, question := range admission.NewCanary(time.Now(), admission.Canary{}).Questions()[:2] {
			for _, c := range []client.Client{admin, clientOf(config)} {
				Expect(c.Create(ctx, question.Pod.DeepCopy())).To(beRefusedBy(admission.CanaryPolicy, "no pod runs in the namespace interlock-canary"))
			}
		}
	})
}

// waitContent waits until the manager is ready, and its canary has been answered rightly.
func waitContent(ctx context.Context) {
	GinkgoHelper()
	Eventually(ctx, func(g Gomega) {
		g.Expect(manager.Ready(ctx)).To(Succeed())
		g.Expect(metric(ctx, "interlock_enforcement_proven_timestamp_seconds")).To(BeNumerically(">", 0))
		g.Expect(metric(ctx, `interlock_enforcement_api_servers{answer="wrong"}`)).To(BeZero())
	}).WithTimeout(time.Minute).Should(Succeed())
}

// waitDoubt waits until the manager says everywhere that something is wrong.
func waitDoubt(ctx context.Context, since time.Time, wrong string) {
	GinkgoHelper()
	Eventually(ctx, func(g Gomega) {
		g.Expect(manager.Ready(ctx)).NotTo(Succeed())
		g.Expect(manager.Check(ctx, "canary")).To(MatchError(ContainSubstring(wrong)))
		g.Expect(metric(ctx, `interlock_enforcement_api_servers{answer="wrong"}`)).To(BeNumerically(">", 0))
		g.Expect(canaryEvents(ctx, since)).To(ContainElement(And(
			HaveField("Reason", "EnforcementUnproven"), HaveField("Type", "Warning"), HaveField("Note", ContainSubstring(wrong)))))
	}).WithTimeout(time.Minute).Should(Succeed())
}

// forbidRepairs takes the right to create policies and bindings from the operator, until the function that it returns is called.
func forbidRepairs(ctx context.Context) (allow func(context.Context)) {
	GinkgoHelper()
	role := &rbacv1.ClusterRole{}
	Expect(admin.Get(ctx, client.ObjectKey{Name: "interlock-manager"}, role)).To(Succeed())
	rules := role.DeepCopy().Rules
	for i, rule := range role.Rules {
		if slices.Contains(rule.APIGroups, admissionv1.GroupName) {
			role.Rules[i].Verbs = slices.DeleteFunc(rule.Verbs, func(verb string) bool { return verb == "create" })
		}
	}
	Expect(admin.Update(ctx, role)).To(Succeed())
	allow = func(ctx context.Context) {
		role.Rules = rules
		Expect(admin.Update(ctx, role)).To(Succeed())
	}
	DeferCleanup(allow)
	return allow
}

// forgetClearances keeps what the canary writes without effect, as in an API server whose cache stands still, until the function that it
// returns is called.
func forgetClearances(ctx context.Context) (remember func(context.Context)) {
	GinkgoHelper()
	meta := metav1.ObjectMeta{Name: "forget-clearances"}
	policy := &admissionv1.MutatingAdmissionPolicy{ObjectMeta: meta, Spec: admissionv1.MutatingAdmissionPolicySpec{
		FailurePolicy: new(admissionv1.Fail), ReinvocationPolicy: admissionv1.NeverReinvocationPolicy,
		MatchConstraints: &admissionv1.MatchResources{ResourceRules: []admissionv1.NamedRuleWithOperations{{
			RuleWithOperations: admissionv1.RuleWithOperations{
				Operations: []admissionv1.OperationType{admissionv1.Create, admissionv1.Update},
				Rule:       admissionv1.Rule{APIGroups: []string{""}, APIVersions: []string{"v1"}, Resources: []string{"limitranges"}}}}}},
		Mutations: []admissionv1.Mutation{{PatchType: admissionv1.PatchTypeJSONPatch, JSONPatch: &admissionv1.JSONPatch{
			Expression: `[JSONPatch{op: "add", path: "/metadata/annotations/interlock.dev~1clearances", value: "\n"}]`}}},
	}}
	binding := &admissionv1.MutatingAdmissionPolicyBinding{ObjectMeta: meta, Spec: admissionv1.MutatingAdmissionPolicyBindingSpec{
		PolicyName: policy.Name, MatchResources: &admissionv1.MatchResources{
			NamespaceSelector: &metav1.LabelSelector{MatchLabels: map[string]string{corev1.LabelMetadataName: admission.CanaryNamespace}}}}}
	remember = func(ctx context.Context) {
		for _, o := range []client.Object{binding, policy} {
			Expect(client.IgnoreNotFound(admin.Delete(ctx, o))).To(Succeed())
		}
	}
	DeferCleanup(remember)
	for _, o := range []client.Object{policy, binding} {
		Expect(mutatorOwner.Create(ctx, o)).To(Succeed())
	}
	return remember
}

// canaryEvents gives those of the canary that are no older.
func canaryEvents(ctx context.Context, since time.Time) []eventsv1.Event {
	GinkgoHelper()
	list := &eventsv1.EventList{}
	Expect(admin.List(ctx, list, client.InNamespace(admission.CanaryNamespace))).To(Succeed())
	return slices.DeleteFunc(list.Items, func(e eventsv1.Event) bool { return e.EventTime.Time.Before(since) })
}

// waitUnseen waits until the API server goes by none of these objects.
func (t *tenant) waitUnseen(ctx context.Context, gone []client.Object) {
	GinkgoHelper()
	for _, o := range gone {
		switch o.GetName() {
		case admission.HoldPolicy:
			Eventually(ctx, func(g Gomega) {
				pod := t.pod("probe").Model(llama).Build()
				if t.editor.Create(ctx, pod, client.DryRunAll) == nil {
					g.Expect(pod).NotTo(beHeld())
				}
			}).Should(Succeed())
		case admission.AdmitPolicy:
			Eventually(ctx, func() error { return t.editor.Create(ctx, t.pod("probe").Build(), client.DryRunAll) }).
				ShouldNot(beRefusedBy(admission.AdmitPolicy, ""))
		}
	}
}

// waitBorn waits until a new pod of a model would be as it should be.
func (t *tenant) waitBorn(ctx context.Context, model string, should types.GomegaMatcher) {
	GinkgoHelper()
	Eventually(ctx, func(g Gomega) {
		pod := t.pod("probe").Model(model).Build()
		g.Expect(t.editor.Create(ctx, pod, client.DryRunAll)).To(Succeed())
		g.Expect(pod).To(should)
	}).Should(Succeed())
}
