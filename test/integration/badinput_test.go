package integration

import (
	"context"
	"fmt"
	"strings"

	. "github.com/onsi/ginkgo/v2"
	. "github.com/onsi/gomega"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/interlock-dev/interlock/api/v1alpha1"
	"github.com/interlock-dev/interlock/internal/testing/builder"
)

// costly is CEL that compiles and costs more than an evaluation may.
var costly = func() string {
	digits := "[0,1,2,3,4,5,6,7,8,9,10,11,12,13,14,15,16,17,18,19]"
	expression := "a+b+c+d+e >= 0"
	for _, v := range []string{"e", "d", "c", "b", "a"} {
		expression = fmt.Sprintf("%s.all(%s, %s)", digits, v, expression)
	}
	return expression
}()

// nested is CEL that compiles alone, and is too deep inside another expression.
var nested = strings.Repeat("(", 249) + "true" + strings.Repeat(")", 249)

var _ = Describe("Bad input", Ordered, func() {
	// A bystander has nothing to do with what is bad: it must not even be written. The status of its pod is the kubelet's.
	var bystander *world
	var before map[string]string
	standing := func(ctx context.Context) map[string]string {
		GinkgoHelper()
		Expect(bystander.verdict("bystander")(ctx)).To(Equal(v1alpha1.OutcomeCleared))
		pods, err := bystander.podsOf("bystander")(ctx)
		Expect(err).NotTo(HaveOccurred())
		versions := map[string]string{
			"model": bystander.model(ctx, "bystander").ResourceVersion, "clearances": bystander.clearances(ctx).ResourceVersion}
		for i := range pods {
			versions[pods[i].Name] = fmt.Sprint(pods[i].UID, pods[i].Generation, pods[i].DeletionTimestamp, pods[i].Labels, pods[i].Annotations)
		}
		return versions
	}
	BeforeAll(func(ctx SpecContext) {
		bystander = newWorld(ctx)
		bystander.clearedModel(ctx, "bystander")
		settled(func() map[string]string { return standing(ctx) })
	})
	BeforeEach(func(ctx SpecContext) { before = standing(ctx) })
	AfterEach(func(ctx SpecContext) {
		Expect(standing(ctx)).To(Equal(before))
		By("clearing a new model meanwhile")
		create(ctx, bystander.modelDeployment("new", builder.ASL2))
		Eventually(bystander.verdict("new")).WithContext(ctx).Should(Equal(v1alpha1.OutcomeCleared))
		Expect(api.Create(ctx, bystander.loosePod("new").Build())).To(MatchError(ContainSubstring(pinnedMessage)))
		Expect(api.Delete(ctx, bystander.modelDeployment("new", builder.ASL2))).To(Succeed())
		Eventually(func() bool { return bystander.enforced(ctx, "new").Cleared() }).Should(BeFalse())
	})

	// What is wrong with the Safeguard of ASL-3; the model of ASL-2 in the same namespace goes on.
	DescribeTable("in a Safeguard", func(ctx SpecContext, change func(*v1alpha1.Safeguard), safeguard, policy OmegaMatcher, found OmegaMatcher) {
		w := namesOnly(ctx)
		for _, o := range w.safeguards() {
			if sg := o.(*v1alpha1.Safeguard); sg.Name == w.classifier {
				change(sg)
			}
			create(ctx, o)
		}
		create(ctx, w.scalingPolicy(), w.denyEgress())
		w.enrol(ctx)
		w.clearedModel(ctx, "good")
		create(ctx, w.deployment("bad", 1, w.fitPod("bad")))
		w.awaitPods(ctx, "bad", 1, beHeld())
		create(ctx, w.modelDeployment("bad", builder.ASL3))

		Eventually(safeguardReady(w.classifier)).WithContext(ctx).Should(safeguard)
		Eventually(policyReady(w.policy)).WithContext(ctx).Should(policy)
		w.awaitHeld(ctx, "bad", 1)
		Eventually(func() []v1alpha1.SafeguardResult { return w.model(ctx, "bad").Status.Safeguards }).Should(
			ContainElement(SatisfyAll(HaveField("Name", w.classifier), found)))
		Expect(w.verdict("good")(ctx)).To(Equal(v1alpha1.OutcomeCleared))

		By("correcting it")
		sg := builder.Safeguard(w.classifier).Build()
		update(ctx, sg, func() {
			sg.Spec.PodRule, sg.Spec.Resource = builder.Safeguard("").PodRule(classifierRule, classifierMessage).Build().Spec.PodRule, nil
		})
		Eventually(safeguardReady(w.classifier)).WithContext(ctx).Should(condition(metav1.ConditionTrue, v1alpha1.ReasonAccepted, "in use"))
		Eventually(policyReady(w.policy)).WithContext(ctx).Should(condition(metav1.ConditionTrue, v1alpha1.ReasonAccepted, "in use"))
		w.awaitCleared(ctx, "bad", 1)
	},
		Entry("CEL that does not compile", rule("object.spec.nope("),
			condition(metav1.ConditionFalse, v1alpha1.ReasonInvalidExpression, "spec.podRule.validations[0].expression"),
			condition(metav1.ConditionFalse, v1alpha1.ReasonSafeguardNotReady, "classifier"),
			HaveField("State", v1alpha1.SafeguardUnknown)),
		Entry("CEL over something that is not there", rule("params.spec.policy == ''"),
			condition(metav1.ConditionFalse, v1alpha1.ReasonInvalidExpression, "undeclared reference to 'params'"),
			condition(metav1.ConditionFalse, v1alpha1.ReasonSafeguardNotReady, "classifier"),
			HaveField("Message", ContainSubstring("undeclared reference"))),
		Entry("CEL that yields no bool", rule("object.spec.containers.size()"),
			condition(metav1.ConditionFalse, v1alpha1.ReasonInvalidExpression, "must yield a bool"),
			condition(metav1.ConditionFalse, v1alpha1.ReasonSafeguardNotReady, "classifier"),
			HaveField("State", v1alpha1.SafeguardUnknown)),
		Entry("CEL that compiles alone, and is too deep inside the policies", rule(nested),
			condition(metav1.ConditionFalse, v1alpha1.ReasonInvalidExpression, "nested too deeply"),
			condition(metav1.ConditionFalse, v1alpha1.ReasonSafeguardNotReady, "classifier"),
			SatisfyAll(HaveField("State", v1alpha1.SafeguardUnknown), HaveField("Message", ContainSubstring("nested too deeply")))),
		Entry("CEL that costs more than it may", rule(costly),
			condition(metav1.ConditionTrue, v1alpha1.ReasonAccepted, "in use"),
			condition(metav1.ConditionTrue, v1alpha1.ReasonAccepted, "in use"),
			SatisfyAll(HaveField("State", v1alpha1.SafeguardMissing), HaveField("Message", ContainSubstring("cannot be evaluated")))),
		Entry("an address range that is none", func(sg *v1alpha1.Safeguard) {
			sg.Spec = builder.Safeguard(sg.Name).Egress("10.0.0.0/99").Build().Spec
		},
			condition(metav1.ConditionFalse, v1alpha1.ReasonInvalidResourceRule, "10.0.0.0/99"),
			condition(metav1.ConditionFalse, v1alpha1.ReasonSafeguardNotReady, "classifier"),
			SatisfyAll(HaveField("State", v1alpha1.SafeguardUnknown), HaveField("Message", ContainSubstring("10.0.0.0/99")))),
	)

	It("such as a policy that names a Safeguard which does not exist holds the models that need it", func(ctx SpecContext) {
		w := newWorld(ctx, func(p *v1alpha1.ScalingPolicySpec) {
			p.Levels[1].Security = builder.Level("").Security("no-such-safeguard").Build().Security
		})
		w.clearedModel(ctx, "good")
		create(ctx, w.modelDeployment("bad", builder.ASL3), w.deployment("bad", 1, w.fitPod("bad")))
		Eventually(policyReady(w.policy)).WithContext(ctx).Should(condition(metav1.ConditionFalse, v1alpha1.ReasonSafeguardNotFound, "no-such-safeguard"))
		w.awaitHeld(ctx, "bad", 1)
		Eventually(w.modelReady("bad")).WithContext(ctx).Should(
			condition(metav1.ConditionFalse, v1alpha1.ReasonSafeguardsMissing, `"no-such-safeguard" does not exist`))
		Expect(w.verdict("good")(ctx)).To(Equal(v1alpha1.OutcomeCleared))
	})

	It("such as a level that the policy does not have holds the model", func(ctx SpecContext) {
		w := newWorld(ctx)
		w.clearedModel(ctx, "good")
		create(ctx, w.modelDeployment("bad", "ASL-9"), w.deployment("bad", 1, w.fitPod("bad")))
		w.awaitHeld(ctx, "bad", 1)
		Eventually(w.modelReady("bad")).WithContext(ctx).Should(SatisfyAll(
			condition(metav1.ConditionFalse, v1alpha1.ReasonLevelUnknown, `"ASL-9"`), HaveField("Message", ContainSubstring("ASL-2, ASL-3"))))
		Expect(w.verdict("good")(ctx)).To(Equal(v1alpha1.OutcomeCleared))
	})

	It("such as a namespace that names a policy which does not exist holds its models", func(ctx SpecContext) {
		w := namesOnly(ctx)
		w.label(ctx, map[string]string{v1alpha1.EnforceLabel: "no-such-policy"})
		w.awaitEnrolment(ctx)
		create(ctx, w.modelDeployment("bad", builder.ASL2), w.deployment("bad", 1, w.fitPod("bad")))
		w.awaitHeld(ctx, "bad", 1)
		Eventually(w.modelReady("bad")).WithContext(ctx).Should(condition(metav1.ConditionFalse, v1alpha1.ReasonPolicyNotFound, `"no-such-policy"`))
		Expect(w.model(ctx, "bad").Status.Policy).To(Equal("no-such-policy"))
	})

	It("such as a label without a value holds its models", func(ctx SpecContext) {
		w := namesOnly(ctx)
		ns := builder.Namespace(w.ns).Build()
		update(ctx, ns, func() { ns.Labels[v1alpha1.EnforceLabel] = "" })
		w.awaitEnrolment(ctx)
		create(ctx, w.modelDeployment("bad", builder.ASL2), w.deployment("bad", 1, w.fitPod("bad")))
		w.awaitHeld(ctx, "bad", 1)
		Eventually(w.modelReady("bad")).WithContext(ctx).Should(condition(metav1.ConditionFalse, v1alpha1.ReasonPolicyNotFound, "does not exist"))
	})

	It("such as a model in a namespace that is under no policy is said to be held by nothing", func(ctx SpecContext) {
		w := namesOnly(ctx)
		create(ctx, w.modelDeployment("bad", builder.ASL2), w.deployment("bad", 1, w.loosePod("bad")))
		Eventually(w.modelReady("bad")).WithContext(ctx).Should(condition(metav1.ConditionFalse, v1alpha1.ReasonNotEnrolled, v1alpha1.EnforceLabel))
		Expect(w.model(ctx, "bad").Status.Verdict).To(BeEmpty())
		w.awaitPods(ctx, "bad", 1, beRunning())
	})
})

func rule(expression string) func(*v1alpha1.Safeguard) {
	return func(sg *v1alpha1.Safeguard) { sg.Spec.PodRule.Validations[0].Expression = expression }
}
