package integration

import (
	"fmt"
	"io"
	"net/http"
	"regexp"
	"strconv"

	. "github.com/onsi/ginkgo/v2"
	. "github.com/onsi/gomega"
	admissionv1 "k8s.io/api/admissionregistration/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/interlock-dev/interlock/api/v1alpha1"
	"github.com/interlock-dev/interlock/internal/admission"
	"github.com/interlock-dev/interlock/internal/testing/builder"
)

var _ = Describe("The manager's metrics", func() {
	It("tell what it does", func(ctx SpecContext) {
		w := newWorld(ctx, evict(0, 0))
		released, written, evicted := metric(`interlock_gates_released_total`),
			metric(`interlock_ledger_writes_total{ledger="interlock"}`), metric(`interlock_evictions_total{result="evicted"}`)
		counted := func(mode, outcome string) func() float64 {
			return func() float64 {
				return metric(fmt.Sprintf("interlock_models{mode=%q,outcome=%q,policy=%q}", mode, outcome, w.policy))
			}
		}
		models := func(outcome string) func() float64 { return counted("enforce", outcome) }
		create(ctx, w.denyEgress(), w.deployment("good", 1, w.fitPod("good")))
		w.awaitPods(ctx, "good", 1, beHeld())
		create(ctx, w.modelDeployment("good", builder.ASL3), w.modelDeployment("bad", "ASL-9"))
		w.awaitCleared(ctx, "good", 1)
		Eventually(models("Cleared")).Should(BeEquivalentTo(1))
		Eventually(models("Held")).Should(BeEquivalentTo(1))
		w.label(ctx, map[string]string{v1alpha1.WarnLabel: w.policy})
		Eventually(counted("warn", "Held")).Should(BeEquivalentTo(1))
		Expect(counted("audit", "Held")()).To(BeZero())
		Expect(metric(`interlock_gates_released_total`)).To(BeNumerically(">", released))
		Expect(metric(`interlock_ledger_writes_total{ledger="interlock"}`)).To(BeNumerically(">", written))

		Expect(api.Delete(ctx, w.denyEgress())).To(Succeed())
		w.awaitHeld(ctx, "good", 1)
		Eventually(models("Held")).Should(BeEquivalentTo(2))
		Expect(metric(`interlock_evictions_total{result="evicted"}`)).To(BeNumerically(">", evicted))
	})

	It("raise the alarm for what others do to its policies, and not for what it does itself", func(ctx SpecContext) {
		const repairs = "interlock_enforcement_drift_repairs_total"
		before := metric(repairs)
		newWorld(ctx).clearedModel(ctx, "llm") // new Safeguards change the policies
		Expect(metric(repairs)).To(BeEquivalentTo(before))

		binding := &admissionv1.ValidatingAdmissionPolicyBinding{ObjectMeta: metav1.ObjectMeta{Name: admission.NoticePolicy + "-warn"}}
		Expect(api.Delete(ctx, binding)).To(Succeed())
		Eventually(func() float64 { return metric(repairs) }).Should(BeEquivalentTo(before + 1))
	})
})

var _ = Describe("The manager's policies", func() {
	// Serial, for only the first process has types checked: see BeforeSuite.
	It("have no expression that Kubernetes warns of", Serial, func(ctx SpecContext) {
		newWorld(ctx)
		Eventually(func(g Gomega) {
			policies := &admissionv1.ValidatingAdmissionPolicyList{}
			g.Expect(api.List(ctx, policies, client.MatchingLabels{v1alpha1.ManagedByLabel: v1alpha1.ManagedBy})).To(Succeed())
			g.Expect(policies.Items).NotTo(BeEmpty())
			for _, p := range policies.Items {
				g.Expect(p.Status.ObservedGeneration).To(Equal(p.Generation), p.Name)
				g.Expect(p.Status.TypeChecking).To(HaveValue(HaveField("ExpressionWarnings", BeEmpty())), p.Name)
			}
		}).Should(Succeed())
	})
})

// metric gives the value of a metric of the manager that runs; 0 when there is none.
func metric(name string) float64 {
	GinkgoHelper()
	response, err := http.Get(manager.MetricsURL())
	Expect(err).NotTo(HaveOccurred())
	defer func() { Expect(response.Body.Close()).To(Succeed()) }()
	text, err := io.ReadAll(response.Body)
	Expect(err).NotTo(HaveOccurred())
	line := regexp.MustCompile(`(?m)^` + regexp.QuoteMeta(name) + ` (.*)$`).FindSubmatch(text)
	if line == nil {
		return 0
	}
	value, err := strconv.ParseFloat(string(line[1]), 64)
	Expect(err).NotTo(HaveOccurred())
	return value
}
