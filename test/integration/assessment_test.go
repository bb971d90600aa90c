package integration

import (
	"context"
	"crypto/sha256"
	"fmt"
	"time"

	. "github.com/onsi/ginkgo/v2"
	. "github.com/onsi/gomega"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/interlock-dev/interlock/api/v1alpha1"
	"github.com/interlock-dev/interlock/internal/decision"
	"github.com/interlock-dev/interlock/internal/testing/builder"
)

// threshold gives the policy of a world one that asks for the security standard of ASL-3, and rules on assessments.
func (w *world) threshold(rules v1alpha1.AssessmentRules) option {
	return func(p *v1alpha1.ScalingPolicySpec) {
		assessed := builder.ScalingPolicy("").Assessments(rules).Threshold(w.thresholdName(), builder.ASL3).Build().Spec
		p.Assessment, p.Thresholds = assessed.Assessment, assessed.Thresholds
	}
}

// thresholdName is that of the world's own threshold, since assessments are judged by the policies of all.
func (w *world) thresholdName() string { return w.policy + "-CBRN-3" }

// digest gives weights that only this world has.
func (w *world) digest(weights string) string {
	return fmt.Sprintf("sha256:%x", sha256.Sum256([]byte(w.ns+weights)))
}

// served is a model at ASL-2 whose weights are its own.
func (w *world) served(name string) *builder.ModelDeploymentBuilder {
	return builder.ModelDeployment(w.ns, name).Digest(w.digest(name))
}

// filed is an assessment of a model's weights, made some time ago, which finds something of the world's threshold.
func (w *world) filed(name, model string, age time.Duration, outcome v1alpha1.AssessmentOutcome) *builder.AssessmentBuilder {
	return builder.Assessment(w.ns+"-"+name, time.Now().Add(-age)).Digests(w.digest(model)).Outcome(outcome, w.thresholdName())
}

// file creates assessments, and takes them away after the test.
func file(ctx context.Context, assessments ...*builder.AssessmentBuilder) {
	GinkgoHelper()
	for _, b := range assessments {
		publish(ctx, b.Build())
	}
}

// publish creates an object of the cluster, and takes it away after the test.
func publish(ctx context.Context, o client.Object) {
	GinkgoHelper()
	create(ctx, o)
	DeferCleanup(func(ctx SpecContext) { Expect(client.IgnoreNotFound(api.Delete(ctx, o))).To(Succeed()) })
}

// riskReport covers the weights of one model.
func (w *world) riskReport(name, model string) *v1alpha1.RiskReport {
	return &v1alpha1.RiskReport{
		ObjectMeta: metav1.ObjectMeta{Name: w.ns + "-" + name},
		Spec: v1alpha1.RiskReportSpec{
			Source: v1alpha1.Source{Document: "Risk Report, " + name}, Document: w.digest(name), Date: "2026-05-01", Digests: []string{w.digest(model)}}}
}

func assessmentReady(name string) func(context.Context) (metav1.Condition, error) {
	return ready(&v1alpha1.CapabilityAssessment{ObjectMeta: metav1.ObjectMeta{Name: name}},
		func(a *v1alpha1.CapabilityAssessment) []metav1.Condition { return a.Status.Conditions })
}

// standing gives what is said of the world's threshold for a model, to be polled, as "Reached by w1-a".
func (w *world) standing(model string) func(context.Context) (string, error) {
	return func(ctx context.Context) (string, error) {
		md := &v1alpha1.ModelDeployment{}
		if err := api.Get(ctx, client.ObjectKey{Namespace: w.ns, Name: model}, md); err != nil {
			return "", err
		}
		for _, t := range md.Status.Thresholds {
			if t.Name != w.thresholdName() {
				continue
			}
			if t.Assessment == "" {
				return string(t.State), nil
			}
			return fmt.Sprintf("%s by %s", t.State, t.Assessment), nil
		}
		return "", nil
	}
}

// assessedWorld is one whose policy has a threshold.
func assessedWorld(ctx context.Context, rules v1alpha1.AssessmentRules, options ...option) *world {
	GinkgoHelper()
	w := namesOnly(ctx)
	w.createPolicy(ctx, append(options, w.threshold(rules))...)
	w.enrol(ctx)
	return w
}

const (
	ruledOut = v1alpha1.AssessmentRuledOut
	reached  = v1alpha1.AssessmentReached
	day      = 24 * time.Hour
)

var _ = Describe("An assessment", func() {
	It("clears a model of what it rules out, and of nothing once a worse one is filed", func(ctx SpecContext) {
		w := assessedWorld(ctx, v1alpha1.AssessmentRules{})
		create(ctx, w.deployment("server", 1, w.pinnedPod("llm")))
		w.awaitPods(ctx, "llm", 1, beHeld())
		create(ctx, w.served("llm").Build())
		w.awaitHeld(ctx, "llm", 1)
		Eventually(w.standing("llm")).WithContext(ctx).Should(Equal("Unassessed"))
		status := w.model(ctx, "llm").Status
		Expect(status.SecurityLevel).To(Equal(builder.ASL3))
		Expect(status.DeploymentLevel).To(Equal(builder.ASL2))
		Expect(status.Disputed).To(Equal(fmt.Sprintf("declared ASL-2, but %s Unassessed asks for ASL-3 Security", w.thresholdName())))
		Expect(status.Safeguards).To(ContainElement(SatisfyAll(
			HaveField("Name", w.egress), HaveField("RequiredBy", ConsistOf(fmt.Sprintf("ASL-3 Security (%s Unassessed)", w.thresholdName()))))))

		By("ruling the threshold out")
		file(ctx, w.filed("good", "llm", day, ruledOut))
		Eventually(assessmentReady(w.ns + "-good")).WithContext(ctx).Should(condition(metav1.ConditionTrue, v1alpha1.ReasonAccepted, "counts"))
		w.awaitCleared(ctx, "llm", 1)
		Expect(w.standing("llm")(ctx)).To(Equal("RuledOut by " + w.ns + "-good"))
		Expect(w.model(ctx, "llm").Status.Disputed).To(BeEmpty())
		Expect(w.model(ctx, "llm").Status.SecurityLevel).To(Equal(builder.ASL2))

		By("filing others, older and newer, of which the worst counts")
		for _, o := range []struct {
			name    string
			age     time.Duration
			outcome v1alpha1.AssessmentOutcome
		}{
			{"saturated", 300 * day, v1alpha1.AssessmentSaturated},
			{"inconclusive", time.Hour, v1alpha1.AssessmentInconclusive},
			{"reached", 900 * day, reached},
			{"again", time.Minute, ruledOut},
		} {
			file(ctx, w.filed(o.name, "llm", o.age, o.outcome))
			worst := fmt.Sprintf("%s by %s-%s", o.outcome, w.ns, o.name)
			if o.outcome == ruledOut {
				worst = fmt.Sprintf("Reached by %s-reached", w.ns)
				Eventually(assessmentReady(w.ns + "-" + o.name)).WithContext(ctx).Should(HaveField("Status", metav1.ConditionTrue))
			}
			Eventually(w.standing("llm")).WithContext(ctx).Should(Equal(worst))
			Eventually(w.verdict("llm")).WithContext(ctx).Should(Equal(v1alpha1.OutcomeRevoked))
			Expect(w.enforced(ctx, "llm").Cleared()).To(BeFalse())
		}
		Expect(w.model(ctx, "llm").Status.Disputed).To(ContainSubstring(w.thresholdName() + " Reached asks for ASL-3 Security"))

		By("superseding all of them by name")
		file(ctx, w.filed("final", "llm", 0, ruledOut).Supersedes(w.ns+"-saturated", w.ns+"-inconclusive", w.ns+"-reached"))
		w.awaitCleared(ctx, "llm", 1)
		for _, name := range []string{"saturated", "inconclusive", "reached"} {
			Eventually(func(g Gomega) {
				a := &v1alpha1.CapabilityAssessment{}
				g.Expect(api.Get(ctx, client.ObjectKey{Name: w.ns + "-" + name}, a)).To(Succeed())
				g.Expect(a.Status.SupersededBy).To(Equal(w.ns + "-final"))
			}).Should(Succeed())
		}

		By("taking back all that clears")
		for _, name := range []string{"good", "again", "final"} {
			Expect(api.Delete(ctx, builder.Assessment(w.ns+"-"+name, time.Time{}).Build())).To(Succeed())
		}
		Eventually(w.verdict("llm")).WithContext(ctx).Should(Equal(v1alpha1.OutcomeRevoked))
		Eventually(w.standing("llm")).WithContext(ctx).Should(HavePrefix("Reached"))
	})

	It("is superseded only as the policy says", func(ctx SpecContext) {
		w := assessedWorld(ctx, v1alpha1.AssessmentRules{Supersession: v1alpha1.SupersedeNever})
		create(ctx, w.served("llm").Build())
		file(ctx, w.filed("bad", "llm", 2*day, reached), w.filed("good", "llm", day, ruledOut).Supersedes(w.ns+"-bad"))
		Eventually(w.standing("llm")).WithContext(ctx).Should(Equal("Reached by " + w.ns + "-bad"))
		Expect(w.verdict("llm")(ctx)).To(Equal(v1alpha1.OutcomeHeld))
	})

	It("becomes stale by time alone, after calendar months", func(ctx SpecContext) {
		// Four years, since a day's date may be missing in the month six months before.
		const months = 48
		w := assessedWorld(ctx, v1alpha1.AssessmentRules{MaxAgeMonths: new(int32(months))})
		create(ctx, w.served("llm").Build(), w.served("old").Build())
		Eventually(w.safeguardsMet("llm")).WithContext(ctx).Should(Equal("1/2"), "from when on nothing but the assessment is waited for")
		ends := time.Now().Truncate(time.Second).Add(10 * time.Second)
		made := decision.AddMonths(ends.UTC(), -months)
		file(ctx, w.filed("good", "llm", time.Since(made), ruledOut), w.filed("old", "old", time.Since(made)+time.Minute, ruledOut))
		Eventually(w.verdict("llm")).WithContext(ctx).Should(Equal(v1alpha1.OutcomeCleared))
		status := w.model(ctx, "llm").Status
		Expect(status.ValidUntil.Time).To(BeTemporally("==", ends), "a clearance ends with the assessment that it rests on")
		Eventually(w.standing("old")).WithContext(ctx).Should(Equal("Stale by " + w.ns + "-old"))
		Expect(w.verdict("old")(ctx)).To(Equal(v1alpha1.OutcomeHeld))

		pod := w.pinnedPod("llm").Build()
		create(ctx, pod)
		Expect(pod.CreationTimestamp.Time).To(BeTemporally("<", ends))
		Eventually(w.standing("llm")).WithContext(ctx).Should(Equal("Stale by " + w.ns + "-good"))
		Expect(time.Now()).To(BeTemporally(">=", ends))
		Eventually(w.verdict("llm")).WithContext(ctx).Should(Equal(v1alpha1.OutcomeRevoked))
	})

	It("is outgrown at the factor of effective compute, or where that cannot be told", func(ctx SpecContext) {
		w := assessedWorld(ctx, v1alpha1.AssessmentRules{MaxComputeFactor: new(int32(4))})
		for model, served := range map[string]string{"below": "3.999e26", "at": "4e26", "silent": ""} {
			create(ctx, w.served(model).EffectiveCompute(served).Build())
			file(ctx, w.filed(model, model, day, ruledOut).EffectiveCompute("1e26"))
		}
		Eventually(w.verdict("below")).WithContext(ctx).Should(Equal(v1alpha1.OutcomeCleared))
		for _, model := range []string{"at", "silent"} {
			Eventually(w.standing(model)).WithContext(ctx).Should(Equal(fmt.Sprintf("Stale by %s-%s", w.ns, model)))
			Expect(w.verdict(model)(ctx)).To(Equal(v1alpha1.OutcomeHeld))
		}

		By("training the model on")
		md := w.served("below").Build()
		update(ctx, md, func() { md.Spec.Model.EffectiveCompute = "4e26" })
		Eventually(w.verdict("below")).WithContext(ctx).Should(Equal(v1alpha1.OutcomeHeld))
	})

	It("that does not tell holds the model, whatever it has, where the policy says so", func(ctx SpecContext) {
		hold := v1alpha1.TreatHold
		w := assessedWorld(ctx, v1alpha1.AssessmentRules{Unassessed: hold, Stale: hold, Inconclusive: hold, MaxAgeMonths: new(int32(6))})
		create(ctx, w.denyEgress())
		for model, a := range map[string]struct {
			outcome v1alpha1.AssessmentOutcome
			age     time.Duration
			state   v1alpha1.ThresholdState
		}{
			"saturated":    {v1alpha1.AssessmentSaturated, day, "Saturated"},
			"inconclusive": {v1alpha1.AssessmentInconclusive, day, "Inconclusive"},
			"stale":        {ruledOut, 200 * day, v1alpha1.ThresholdStale},
			"unassessed":   {},
			"reached":      {reached, day, "Reached"},
		} {
			create(ctx, w.served(model).Level(builder.ASL3).Build())
			if a.outcome == "" {
				a.state = v1alpha1.ThresholdUnassessed
			} else {
				file(ctx, w.filed(model, model, a.age, a.outcome))
			}
			want := condition(metav1.ConditionFalse, v1alpha1.ReasonNotAssessed, fmt.Sprintf("%s (%s)", w.thresholdName(), a.state))
			if model == "reached" { // known, and so what it asks for is known and in place
				want = condition(metav1.ConditionTrue, v1alpha1.ReasonCleared, "")
			}
			Eventually(w.modelReady(model)).WithContext(ctx).Should(want, model)
		}
	})
})
