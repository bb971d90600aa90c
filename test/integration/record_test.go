package integration

import (
	"context"
	"os"
	"strings"
	"time"

	. "github.com/onsi/ginkgo/v2"
	. "github.com/onsi/gomega"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/interlock-dev/interlock/api/v1alpha1"
	"github.com/interlock-dev/interlock/internal/decision"
	"github.com/interlock-dev/interlock/internal/evidence"
	"github.com/interlock-dev/interlock/internal/record"
	"github.com/interlock-dev/interlock/internal/record/audit"
	"github.com/interlock-dev/interlock/internal/testing/builder"
)

var _ = Describe("The decision record", func() {
	It("says of each model when it was cleared and when not any more, and verifies", func(ctx SpecContext) {
		w := newWorld(ctx, evict(0, 0))
		create(ctx, w.denyEgress(), w.modelDeployment("llm", builder.ASL3), w.deployment("llm", 1, w.fitPod("llm")))
		w.awaitCleared(ctx, "llm", 1)
		Eventually(w.recorded("llm")).WithContext(ctx).Should(HaveField("Verdict", v1alpha1.OutcomeCleared))
		cleared, err := w.recorded("llm")(ctx)
		Expect(err).NotTo(HaveOccurred())
		Expect(w.clearances(ctx).Annotations["interlock.dev/clearances"]).NotTo(BeEmpty())

		Expect(api.Delete(ctx, w.denyEgress())).To(Succeed())
		w.awaitHeld(ctx, "llm", 1)
		Eventually(w.recorded("llm")).WithContext(ctx).Should(HaveField("Verdict", v1alpha1.OutcomeHeld))
		held, err := w.recorded("llm")(ctx)
		Expect(err).NotTo(HaveOccurred())
		Expect(held.Sequence).To(BeNumerically(">", cleared.Sequence))

		Expect(api.Delete(ctx, w.modelDeployment("llm", builder.ASL3))).To(Succeed())
		Eventually(w.recorded("llm")).WithContext(ctx).Should(HaveField("Verdict", record.OutcomeUndeclared))
	})

	It("names by its digest what a clearance rests on, and says nothing anew for what decides nothing", func(ctx SpecContext) {
		w := newAttestedWorld(ctx, nil, waivable, signedOffBy("rso", v1alpha1.ApprovalRule{Kind: v1alpha1.SubjectWaiver}, v1alpha1.ApprovalRule{Kind: v1alpha1.SubjectDecision}))
		review := w.review(time.Hour).Sign(w.redTeam)
		waiver := builder.Waiver(w.ns, "no-classifier").Model("llm").Safeguards(w.classifier).NotAfter(time.Now().Add(50 * time.Minute)).Build()
		create(ctx, w.denyEgress(), w.modelDeployment("llm", builder.ASL3), w.deployment("llm", 1, w.pinnedPod("llm")), waiver, w.attestation("review", review))
		rso := w.newOfficer(ctx, "rhea", "rso")
		rso.approve(ctx, w.world, "llm", "rso", v1alpha1.SubjectWaiver)
		rso.approve(ctx, w.world, "llm", "rso", v1alpha1.SubjectDecision)
		w.awaitCleared(ctx, "llm", 1)
		approvals := &v1alpha1.ApprovalList{}
		Expect(api.List(ctx, approvals, client.InNamespace(w.ns))).To(Succeed())
		want := []record.Input{
			{Kind: "Attestation", Namespace: w.ns, Name: "review", Digest: evidence.Digest([]byte(review))},
			{Kind: "Waiver", Namespace: w.ns, Name: waiver.Name, Digest: w.signOffOf(ctx, v1alpha1.SubjectWaiver).Digest},
		}
		for _, a := range approvals.Items {
			want = append(want, record.Input{Kind: "Approval", Namespace: w.ns, Name: a.Name, Digest: decision.SpecDigest(a.Spec)})
		}
		Eventually(w.lastDecision("llm")).WithContext(ctx).Should(SatisfyAll(
			HaveField("Verdict", v1alpha1.OutcomeCleared), HaveField("Inputs", ContainElements(want))))
		before, err := w.lastDecision("llm")(ctx)
		Expect(err).NotTo(HaveOccurred())

		more := builder.Approval(w.ns, "more").Role("rso").Of(v1alpha1.SubjectDecision, "llm", w.model(ctx, "llm").Status.DecisionDigest).Build()
		Expect(w.newOfficer(ctx, "ann", "rso").Create(ctx, more)).To(Succeed())
		create(ctx, w.attestation("older", w.review(2*time.Hour).Sign(w.redTeam)), w.pinnedPod("llm").Build())
		w.awaitPods(ctx, "llm", 2, beRunning())
		Expect(w.lastDecision("llm")(ctx)).To(Equal(before))
	})

	It("lets no model in and keeps none from being taken out while it cannot be written", func(ctx SpecContext) {
		w := newWorld(ctx, evict(0, 0))
		create(ctx, w.denyEgress())
		w.clearedModel(ctx, "stays")
		create(ctx, w.modelDeployment("loses", builder.ASL3), w.deployment("loses", 1, w.fitPod("loses")))
		w.awaitCleared(ctx, "loses", 1)
		create(ctx, w.deployment("new", 1, w.pinnedPod("new")))
		w.awaitPods(ctx, "new", 1, beHeld())
		failures := metric("interlock_record_failures_total")

		restore := blockRecord()
		DeferCleanup(restore)
		history := w.watch(ctx)
		Expect(api.Delete(ctx, w.denyEgress())).To(Succeed())
		w.awaitHeld(ctx, "loses", 1)
		Eventually(w.conditionOf("loses", v1alpha1.ConditionRecorded)).WithContext(ctx).Should(condition(metav1.ConditionFalse, v1alpha1.ReasonNotRecorded, "log"))
		create(ctx, w.modelDeployment("new", builder.ASL2))
		Eventually(w.modelReady("new")).WithContext(ctx).Should(condition(metav1.ConditionFalse, v1alpha1.ReasonNotRecorded, "cannot be recorded"))
		Consistently(w.podsOf("new"), "2s").WithContext(ctx).Should(HaveEach(beHeld()))
		Expect(w.enforced(ctx, "new").Cleared()).To(BeFalse())
		create(ctx, w.pinnedPod("stays").Build())
		w.awaitPods(ctx, "stays", 2, beRunning())
		Expect(metric("interlock_record_failures_total")).To(BeNumerically(">", failures))
		Expect(metric("interlock_record_backlog")).To(BeNumerically(">=", 2))

		restore()
		w.awaitCleared(ctx, "new", 1)
		Eventually(w.recorded("new")).WithContext(ctx).Should(HaveField("Verdict", v1alpha1.OutcomeCleared))
		Eventually(w.recorded("loses")).WithContext(ctx).Should(HaveField("Verdict", v1alpha1.OutcomeHeld))
		Eventually(w.conditionOf("loses", v1alpha1.ConditionRecorded)).WithContext(ctx).Should(BeZero())
		Expect(history.of(dropsClearance("stays"))).To(BeEmpty())
		Eventually(func() float64 { return metric("interlock_record_backlog") }).Should(BeZero())
	})

	It("goes on after a restart, and is not told again what it holds", func(ctx SpecContext) {
		w := newWorld(ctx)
		create(ctx, w.denyEgress(), w.modelDeployment("llm", builder.ASL3), w.deployment("llm", 1, w.fitPod("llm")))
		w.awaitCleared(ctx, "llm", 1)
		Eventually(w.recorded("llm")).WithContext(ctx).Should(HaveField("Verdict", v1alpha1.OutcomeCleared))
		before, err := w.recorded("llm")(ctx)
		Expect(err).NotTo(HaveOccurred())
		w.clearedModel(ctx, "gone")
		Expect(manager.Kill()).To(Succeed())
		DeferCleanup(needManager)
		startManager(ctx)
		Expect(manager.Stop(ctx)).To(Succeed())
		Expect(api.Delete(ctx, w.modelDeployment("gone", builder.ASL2))).To(Succeed())
		startManager(ctx)
		create(ctx, w.modelDeployment("new", builder.ASL2)) // whose clearance comes after all that the manager decides when it begins
		Eventually(w.recorded("new"), "40s").WithContext(ctx).Should(HaveField("Verdict", v1alpha1.OutcomeCleared))
		Expect(w.recorded("llm")(ctx)).To(Equal(before))
		Eventually(w.recorded("gone")).WithContext(ctx).Should(HaveField("Verdict", record.OutcomeUndeclared))

		Expect(api.Delete(ctx, w.denyEgress())).To(Succeed())
		Eventually(w.recorded("llm")).WithContext(ctx).Should(SatisfyAll(
			HaveField("Verdict", v1alpha1.OutcomeRevoked), HaveField("Sequence", before.Sequence+1)))
	})
})

// signOffOf gives what is said on the model llm of the sign-off of a kind.
func (w *world) signOffOf(ctx context.Context, kind v1alpha1.SubjectKind) v1alpha1.SignOffResult {
	GinkgoHelper()
	found, err := w.signOff("llm", "rso", kind)(ctx)
	Expect(err).NotTo(HaveOccurred())
	return found
}

// verifyRecord verifies the log, and shows each decision on a model.
func (w *world) verifyRecord(ctx context.Context, model string, show func(record.Predicate)) (audit.Report, error) {
	key, err := os.ReadFile(st.Record() + ".key.pub")
	if err != nil {
		return audit.Report{}, err
	}
	return audit.Verify(ctx, st.Record(), strings.TrimSpace(string(key)), nil, func(s record.Statement) {
		if s.Predicate.Model == (record.Model{Namespace: w.ns, Name: model}) {
			show(s.Predicate)
		}
	})
}

// lastDecision gives the last decision on a model in a log that verifies, to be polled: checkpoints come once a second.
func (w *world) lastDecision(model string) func(context.Context) (record.Predicate, error) {
	return func(ctx context.Context) (last record.Predicate, err error) {
		_, err = w.verifyRecord(ctx, model, func(p record.Predicate) { last = p })
		return last, err
	}
}

// recorded gives the last record of a model in a log that verifies, to be polled.
func (w *world) recorded(model string) func(context.Context) (record.Link, error) {
	return func(ctx context.Context) (record.Link, error) {
		report, err := w.verifyRecord(ctx, model, func(record.Predicate) {})
		for _, l := range report.Last {
			if l.Model == (record.Model{Namespace: w.ns, Name: model}) {
				return l, err
			}
		}
		return record.Link{}, err
	}
}

// blockRecord puts a file where the folder of the record was, by which nobody can write it, and returns what undoes that.
func blockRecord() (restore func()) {
	GinkgoHelper()
	dir := st.Record()
	Expect(os.Rename(dir, dir+".away")).To(Succeed())
	Expect(os.WriteFile(dir, nil, 0o600)).To(Succeed())
	blocked := true
	return func() {
		if !blocked {
			return
		}
		blocked = false
		Expect(os.Remove(dir)).To(Succeed())
		Expect(os.Rename(dir+".away", dir)).To(Succeed())
	}
}

// conditionOf gives a condition of a model, to be polled; the zero one if it is not there.
func (w *world) conditionOf(model, kind string) func(context.Context) (metav1.Condition, error) {
	return func(ctx context.Context) (metav1.Condition, error) {
		md := w.model(ctx, model)
		for _, c := range md.Status.Conditions {
			if c.Type == kind {
				return c, nil
			}
		}
		return metav1.Condition{}, nil
	}
}
