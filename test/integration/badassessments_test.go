package integration

import (
	"fmt"
	"time"

	. "github.com/onsi/ginkgo/v2"
	. "github.com/onsi/gomega"
	"golang.org/x/sync/errgroup"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/interlock-dev/interlock/api/v1alpha1"
	"github.com/interlock-dev/interlock/internal/testing/builder"
)

var _ = Describe("Bad input to assessing", func() {
	It("such as an assessment of a threshold that no policy has clears nothing", func(ctx SpecContext) {
		w := assessedWorld(ctx, v1alpha1.AssessmentRules{})
		create(ctx, w.served("llm").Build())
		misspelt := w.policy + "-cbrn-3"
		file(ctx, builder.Assessment(w.ns+"-a", time.Now()).Digests(w.digest("llm")).Outcome(ruledOut, misspelt))
		Eventually(assessmentReady(w.ns + "-a")).WithContext(ctx).Should(
			condition(metav1.ConditionFalse, v1alpha1.ReasonThresholdUnknown, misspelt))
		Eventually(w.standing("llm")).WithContext(ctx).Should(Equal("Unassessed"))
		Expect(w.verdict("llm")(ctx)).To(Equal(v1alpha1.OutcomeHeld))

		By("giving the policy such a threshold, beside the one it has")
		policy := w.scalingPolicy()
		update(ctx, policy, func() {
			more := policy.Spec.Thresholds[0].DeepCopy()
			more.Name = misspelt
			policy.Spec.Thresholds = append(policy.Spec.Thresholds, *more)
		})
		Eventually(assessmentReady(w.ns + "-a")).WithContext(ctx).Should(condition(metav1.ConditionTrue, v1alpha1.ReasonAccepted, ""))
		Eventually(func() []v1alpha1.ThresholdResult { return w.model(ctx, "llm").Status.Thresholds }).Should(HaveLen(2))
		Expect(w.verdict("llm")(ctx)).To(Equal(v1alpha1.OutcomeHeld))
	})

	It("such as an assessment of weights that nobody serves clears nothing", func(ctx SpecContext) {
		w := assessedWorld(ctx, v1alpha1.AssessmentRules{})
		create(ctx, w.served("llm").Build())
		file(ctx, w.filed("a", "other", day, ruledOut))
		Eventually(assessmentReady(w.ns + "-a")).WithContext(ctx).Should(
			condition(metav1.ConditionFalse, v1alpha1.ReasonModelUnknown, "compare spec.digests with spec.model.digest"))
		Eventually(w.standing("llm")).WithContext(ctx).Should(Equal("Unassessed"))
		Expect(w.verdict("llm")(ctx)).To(Equal(v1alpha1.OutcomeHeld))

		By("serving them")
		create(ctx, w.served("other").Build())
		Eventually(assessmentReady(w.ns + "-a")).WithContext(ctx).Should(condition(metav1.ConditionTrue, v1alpha1.ReasonAccepted, ""))
		Eventually(w.verdict("other")).WithContext(ctx).Should(Equal(v1alpha1.OutcomeCleared))
		Expect(w.verdict("llm")(ctx)).To(Equal(v1alpha1.OutcomeHeld))
	})

	It("such as a date in the future rules out nothing until it has come, while danger counts at once", func(ctx SpecContext) {
		w := assessedWorld(ctx, v1alpha1.AssessmentRules{})
		create(ctx, w.denyEgress(), w.served("soon").Build(), w.served("never").Build(), w.served("danger").Build())
		const soon = 8 * time.Second
		comes := time.Now().Add(soon)
		file(ctx, w.filed("soon", "soon", -soon, ruledOut), w.filed("never", "never", -200*365*day, ruledOut),
			w.filed("known", "danger", day, ruledOut), w.filed("danger", "danger", -30*day, reached))
		for _, name := range []string{"soon", "never", "danger"} {
			Eventually(assessmentReady(w.ns + "-" + name)).WithContext(ctx).Should(
				condition(metav1.ConditionFalse, v1alpha1.ReasonDateInFuture, "has not come yet"))
		}
		Eventually(w.standing("danger")).WithContext(ctx).Should(Equal("Reached by " + w.ns + "-danger"))
		Eventually(w.standing("soon")).WithContext(ctx).Should(Equal("RuledOut by " + w.ns + "-soon"))
		Expect(time.Now()).To(BeTemporally(">", comes.Add(-time.Second)), "dates have whole seconds")
		Eventually(assessmentReady(w.ns + "-soon")).WithContext(ctx).Should(condition(metav1.ConditionTrue, v1alpha1.ReasonAccepted, ""))
		Expect(w.standing("never")(ctx)).To(Equal("Unassessed"))
	})

	It("such as a level taken out of a policy holds the models that declare it, and no level is left hanging", func(ctx SpecContext) {
		w := namesOnly(ctx)
		asl4 := builder.Level("ASL-4").Deployment(w.classifier).Build()
		w.createPolicy(ctx, w.threshold(v1alpha1.AssessmentRules{}), func(p *v1alpha1.ScalingPolicySpec) { p.Levels = append(p.Levels, asl4) })
		w.enrol(ctx)
		create(ctx, w.denyEgress(), w.modelDeployment("high", "ASL-4"), w.modelDeployment("low", builder.ASL2))
		for _, model := range []string{"high", "low"} {
			Eventually(w.verdict(model)).WithContext(ctx).Should(Equal(v1alpha1.OutcomeCleared))
		}

		By("taking out one that a threshold demands")
		policy := w.scalingPolicy()
		Expect(api.Get(ctx, client.ObjectKeyFromObject(policy), policy)).To(Succeed())
		torn := policy.DeepCopy()
		torn.Spec.Levels = append(torn.Spec.Levels[:1:1], asl4)
		Expect(api.Update(ctx, torn)).To(MatchError(ContainSubstring("each demand of a threshold must name one of levels")))

		By("taking out one that a model declares")
		update(ctx, policy, func() { policy.Spec.Levels = policy.Spec.Levels[:2] })
		Eventually(w.modelReady("high")).WithContext(ctx).Should(
			condition(metav1.ConditionFalse, v1alpha1.ReasonLevelUnknown, `assessedLevel "ASL-4" is not a level of policy `+w.policy+`, which has ASL-2, ASL-3`))
		Expect(w.enforced(ctx, "high").Cleared()).To(BeFalse())
		Expect(w.verdict("low")(ctx)).To(Equal(v1alpha1.OutcomeCleared))
	})

	// The benchmark files ten thousand (docs/benchmarks.md).
	It("such as a thousand assessments, of one model and of others, hides none that found danger", func(ctx SpecContext) {
		const each = 500
		w := assessedWorld(ctx, v1alpha1.AssessmentRules{MaxAgeMonths: new(int32(120))})
		create(ctx, w.served("llm").Build(), w.served("bystander").Build())
		file(ctx, w.filed("bystander", "bystander", day, ruledOut))
		Eventually(w.verdict("bystander")).WithContext(ctx).Should(Equal(v1alpha1.OutcomeCleared))
		bystander := w.model(ctx, "bystander").ResourceVersion
		DeferCleanup(func(ctx SpecContext) {
			Expect(api.DeleteAllOf(ctx, &v1alpha1.CapabilityAssessment{}, client.MatchingLabels{"flood": w.ns})).To(Succeed())
		})

		flood := errgroup.Group{}
		flood.SetLimit(16)
		for i := range each {
			for model, outcome := range map[string]v1alpha1.AssessmentOutcome{"llm": ruledOut, fmt.Sprint("other-", i): reached} {
				flood.Go(func() error {
					a := w.filed(fmt.Sprintf("%s-%d", model, i), model, time.Duration(i)*time.Hour, outcome).Build()
					a.Labels = map[string]string{"flood": w.ns}
					return api.Create(ctx, a)
				})
			}
		}
		Expect(flood.Wait()).To(Succeed())
		Eventually(w.verdict("llm")).WithContext(ctx).Should(Equal(v1alpha1.OutcomeCleared))
		file(ctx, w.filed("danger", "llm", day, reached))
		Eventually(w.verdict("llm"), "5s").WithContext(ctx).Should(Equal(v1alpha1.OutcomeHeld))
		Eventually(assessmentReady(fmt.Sprintf("%s-other-%d-%d", w.ns, each-1, each-1))).WithContext(ctx).Should(
			condition(metav1.ConditionFalse, v1alpha1.ReasonModelUnknown, ""))
		Expect(w.model(ctx, "bystander").ResourceVersion).To(Equal(bystander))
	})
})
