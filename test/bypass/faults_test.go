package bypass

import (
	"context"
	"fmt"
	"slices"
	"time"

	. "github.com/onsi/ginkgo/v2"
	. "github.com/onsi/gomega"
	"golang.org/x/sync/errgroup"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/interlock-dev/interlock/api/v1alpha1"
	"github.com/interlock-dev/interlock/internal/admission"
	"github.com/interlock-dev/interlock/internal/testing/builder"
)

// never is a model that no spec clears.
const never = "never"

func faults() {
	It("34: a manager that is killed while it releases pods frees none that are not cleared, and the next one goes on", func(ctx SpecContext) {
		const many = 100
		t := newTenant(ctx, policyName)
		t.declareNever(ctx)
		t.createMany(ctx, llama, many)
		t.createMany(ctx, never, 20)
		runs := t.running(ctx, t.pod("runs").Model(small))
		released := t.firstRelease(ctx, llama)
		Expect(admin.Create(ctx, builder.NetworkPolicy(t.namespace, "of-llama").Model(llama).Build())).To(Succeed())
		Eventually(ctx, released).WithPolling(time.Millisecond).Should(Receive())
		withoutManager()

		free := t.count(ctx, llama, freed)
		Expect(free).To(And(BeNumerically(">", 0), BeNumerically("<", many)), "killed in the middle")
		AddReportEntry("released before the kill", ReportEntryVisibilityFailureOrVerbose, free)
		for _, pod := range t.pods(ctx, v1alpha1.ModelLabel, llama) {
			if gatedBy(&pod, v1alpha1.ClearanceGate) {
				expectRefused(ctx, t.editor, &pod, gateRemovals()[:1], "interlock-guard", "only Interlock takes the scheduling gate")
				break
			}
		}
		startManager(ctx)
		Eventually(ctx, t.count).WithArguments(ctx, llama, freed).Should(Equal(many))
		Expect(t.count(ctx, never, freed)).To(BeZero(), "a gate that is gone does not come back, so none was ever free")
		t.expectUntouched(ctx, runs)
	})

	It("34: whenever a manager is killed between verdict and ledger, the next one derives the verdict anew", func(ctx SpecContext) {
		t := newTenant(ctx, evictingName)
		t.declareNever(ctx)
		runs := t.running(ctx, t.pod("runs").Model(small))
		for round, reached := range []func(*corev1.Pod) bool{
			func(*corev1.Pod) bool { return true }, // at once
			func(*corev1.Pod) bool { return slices.Contains(t.clearedModels(ctx), llama) },
			func(pod *corev1.Pod) bool {
				Expect(admin.Get(ctx, client.ObjectKeyFromObject(pod), pod)).To(Succeed())
				return freed(pod)
			},
		} {
			pod := t.waiting(ctx, t.pod(fmt.Sprintf("round-%d", round)).Model(llama))
			waiting := t.waiting(ctx, t.pod(fmt.Sprintf("never-%d", round)).Model(never))
			policy := builder.NetworkPolicy(t.namespace, "of-llama").Model(llama).Build()
			Expect(admin.Create(ctx, policy)).To(Succeed())
			Eventually(ctx, reached).WithArguments(pod).WithPolling(time.Millisecond).Should(BeTrue())
			Expect(manager.Kill()).To(Succeed())
			Expect(admin.Delete(ctx, policy)).To(Succeed())
			startManager(ctx)

			t.waitVerdict(ctx, never, v1alpha1.OutcomeHeld)
			Eventually(ctx, func(g Gomega) {
				g.Expect(t.clearedModels(ctx)).To(ConsistOf(small))
				g.Expect(t.count(ctx, llama, freed)).To(BeZero(), "pods that were released before the kill are evicted")
			}).Should(Succeed())
			t.expectUntouched(ctx, waiting)
			t.expectUntouched(ctx, runs)
			Expect(client.IgnoreNotFound(admin.Delete(ctx, pod))).To(Succeed())
		}
	})

	It("34: two managers that act at the same time free nothing that is not cleared, and settle", func(ctx SpecContext) {
		t := newTenant(ctx, evictingName)
		t.declareNever(ctx)
		second, err := cluster.StartManager(ctx, "--leader-elect=false")
		Expect(err).NotTo(HaveOccurred())
		DeferCleanup(second.Kill)
		waiting := t.waiting(ctx, t.pod("never").Model(never))
		runs := t.running(ctx, t.pod("runs").Model(small))
		d := deployment(t.pod("x").Model(llama).Label("app", "llama"), "llama", 5)
		Expect(t.editor.Create(ctx, d)).To(Succeed())
		for range 2 {
			Expect(admin.Create(ctx, builder.NetworkPolicy(t.namespace, "of-llama").Model(llama).Build())).To(Succeed())
			Eventually(ctx, t.count).WithArguments(ctx, llama, freed).Should(Equal(5))
			Expect(admin.Delete(ctx, builder.NetworkPolicy(t.namespace, "of-llama").Build())).To(Succeed())
			Eventually(ctx, t.count).WithArguments(ctx, llama, freed).Should(BeZero())
			Eventually(ctx, t.count).WithArguments(ctx, llama, held).Should(Equal(5))
		}
		Expect(t.clearedModels(ctx)).To(ConsistOf(small))
		t.expectUntouched(ctx, waiting)
		t.expectUntouched(ctx, runs)

		// They agree, so neither undoes what the other wrote: two that did not would never be still for so long.
		settled := func() []string {
			md := &v1alpha1.ModelDeployment{}
			Expect(admin.Get(ctx, t.key(llama), md)).To(Succeed())
			return []string{t.clearances(ctx).ResourceVersion, md.ResourceVersion}
		}
		t.waitVerdict(ctx, llama, v1alpha1.OutcomeHeld)
		var last []string
		Eventually(ctx, func() bool {
			before := last
			last = settled()
			return slices.Equal(before, last)
		}).WithPolling(time.Second).Should(BeTrue())
	})

	It("35: when Interlock is dead for longer than the lease, no new pod starts, those that run go on, and a new manager restores", func(ctx SpecContext) {
		t := newTenant(ctx, shortName)
		runs := t.running(ctx, t.pod("runs").Model(small))
		waiting := t.waiting(ctx, t.pod("waiting").Model(llama))
		withoutManager()
		Expect(t.editor.Create(ctx, t.pod("in-time").Model(small).Build())).To(Succeed(), "the lease still lasts: no outage")

		until := admission.Find(t.clearances(ctx).Annotations, small).ValidUntil.Format(time.RFC3339)
		Eventually(ctx, func() error {
			return t.editor.Create(ctx, t.pod("late").Model(small).Build(), client.DryRunAll)
		}).Should(beRefusedBy("interlock-admit", fmt.Sprintf(`the clearance of model "small" ran out at %s`, until)))
		end, err := time.Parse(time.RFC3339, until)
		Expect(err).NotTo(HaveOccurred())
		Expect(time.Now()).To(BeTemporally("~", end, 2*time.Second), "refused when the lease ended, neither before nor long after")

		backdated := t.pod("backdated").Model(small).With(func(p *corev1.Pod) { p.CreationTimestamp = metav1.NewTime(end.Add(-time.Hour)) })
		for _, b := range []*builder.PodBuilder{backdated, t.pod("generated-").Model(small), t.pod("placed").Model(small).Node("node-0")} {
			Expect(t.editor.Create(ctx, b.Build())).To(beRefusedBy("interlock-admit", "ran out at"))
		}
		rs := replicaSet(t.pod("x").Model(small).Label("app", "more"), "more", 3)
		Expect(t.editor.Create(ctx, rs)).To(Succeed())
		Eventually(ctx, func(g Gomega) {
			g.Expect(admin.Get(ctx, client.ObjectKeyFromObject(rs), rs)).To(Succeed())
			g.Expect(rs.Status.Conditions).To(ContainElement(HaveField("Message", ContainSubstring("ran out at"))))
		}).Should(Succeed())
		Expect(t.pods(ctx, "app", "more")).To(BeEmpty())
		expectRefused(ctx, t.editor, waiting, gateRemovals()[:1], "interlock-guard", "only Interlock takes the scheduling gate")
		t.expectUntouched(ctx, waiting)
		t.expectUntouched(ctx, runs)

		startManager(ctx)
		Eventually(ctx, func() error {
			return t.editor.Create(ctx, t.pod("late").Model(small).Build(), client.DryRunAll)
		}).Should(Succeed())
		t.expectUntouched(ctx, runs)
	})

	It("35: a namespace that is enrolled while Interlock is dead starts nothing", func(ctx SpecContext) {
		withoutManager()
		t := newTenant(ctx, policyName)
		for _, b := range []*builder.PodBuilder{t.pod("x").Model(small), t.pod("x").Model(llama), t.pod("x")} {
			Expect(t.editor.Create(ctx, b.Build())).To(MatchError(ContainSubstring("no params found for policy binding with `Deny` parameterNotFoundAction")))
		}
		startManager(ctx)
		t.waitVerdict(ctx, small, v1alpha1.OutcomeCleared)
		t.running(ctx, t.pod("runs").Model(small))
	})
}

// declareNever declares a model that stays held.
func (t *tenant) declareNever(ctx context.Context) {
	GinkgoHelper()
	Expect(t.editor.Create(ctx, builder.ModelDeployment(t.namespace, never).Level(builder.ASL3).Build())).To(Succeed())
	t.waitVerdict(ctx, never, v1alpha1.OutcomeHeld)
}

// createMany creates held pods of a model.
func (t *tenant) createMany(ctx context.Context, model string, n int) {
	GinkgoHelper()
	var group errgroup.Group
	group.SetLimit(8)
	for range n {
		group.Go(func() error { return t.editor.Create(ctx, t.pod(model+"-").Model(model).Build()) })
	}
	Expect(group.Wait()).To(Succeed())
	Expect(t.count(ctx, model, held)).To(Equal(n))
}

func held(pod *corev1.Pod) bool { return gatedBy(pod, v1alpha1.ClearanceGate) }

// freed says whether a pod is past the gate and not on its way out.
func freed(pod *corev1.Pod) bool { return !held(pod) && pod.DeletionTimestamp == nil }

// count counts the pods of a model of which something holds.
func (t *tenant) count(ctx context.Context, model string, holds func(*corev1.Pod) bool) int {
	GinkgoHelper()
	n := 0
	for _, pod := range t.pods(ctx, v1alpha1.ModelLabel, model) {
		if holds(&pod) {
			n++
		}
	}
	return n
}

// firstRelease tells when the first pod of a model is past the gate.
func (t *tenant) firstRelease(ctx context.Context, model string) <-chan string {
	GinkgoHelper()
	watcher, err := client.NewWithWatch(cluster.RESTConfig(), client.Options{Scheme: scheme, Mapper: mapper})
	Expect(err).NotTo(HaveOccurred())
	events, err := watcher.Watch(ctx, &corev1.PodList{}, client.InNamespace(t.namespace), client.MatchingLabels{v1alpha1.ModelLabel: model})
	Expect(err).NotTo(HaveOccurred())
	DeferCleanup(events.Stop)
	released := make(chan string, 1)
	go func() {
		for e := range events.ResultChan() {
			if pod, ok := e.Object.(*corev1.Pod); ok && freed(pod) {
				released <- pod.Name
				return
			}
		}
	}()
	return released
}

// clearedModels lists those that are.
func (t *tenant) clearedModels(ctx context.Context) []string {
	GinkgoHelper()
	var models []string
	data := t.clearances(ctx).Annotations
	for _, name := range admission.Changed(nil, data) {
		if admission.Find(data, name).Cleared() {
			models = append(models, name)
		}
	}
	return models
}
