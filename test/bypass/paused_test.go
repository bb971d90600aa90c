package bypass

import (
	"context"
	"fmt"
	"path/filepath"
	"slices"
	"syscall"
	"time"

	. "github.com/onsi/ginkgo/v2"
	. "github.com/onsi/gomega"
	admissionv1 "k8s.io/api/admissionregistration/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/interlock-dev/interlock/api/v1alpha1"
	"github.com/interlock-dev/interlock/internal/admission"
	"github.com/interlock-dev/interlock/internal/testing/builder"
	"github.com/interlock-dev/interlock/internal/testing/proxy"
	"github.com/interlock-dev/interlock/internal/testing/stack"
)

// watchesOfPolicies is the resource of which the manager's watch is made to stand still.
const watchesOfPolicies = "networkpolicies"

func pauses() {
	var between *proxy.Proxy
	BeforeAll(func(ctx SpecContext) {
		operator, _, err := cluster.ServiceAccount(ctx, stack.Namespace, stack.ServiceAccount)
		Expect(err).NotTo(HaveOccurred())
		between, err = proxy.Start(operator)
		Expect(err).NotTo(HaveOccurred())
		DeferCleanup(between.Close)
		kubeconfig := filepath.Join(GinkgoT().TempDir(), "kubeconfig")
		Expect(between.Kubeconfig(kubeconfig)).To(Succeed())
		withoutManager()
		startManager(ctx, "--kubeconfig="+kubeconfig, "--leader-elect=false") // so that it may be paused for as long as it takes
		waitEnforced(ctx)
		DeferCleanup(func() { Expect(manager.Kill()).To(Succeed()) }) // after which one is started that goes through no proxy
	})

	It("37: while a watch stands still, nothing is cleared by what it does not tell", func(ctx SpecContext) {
		t := newTenant(ctx, policyName)
		t.limitEgress(ctx)
		t.waitVerdict(ctx, llama, v1alpha1.OutcomeCleared)
		between.Stall(watchesOfPolicies)
		DeferCleanup(between.Resume, watchesOfPolicies)
		t.openEgress(ctx)
		time.Sleep(time.Second) // in which the proof by which llama was cleared has served its time
		waiting := t.waiting(ctx, t.pod("waiting").Model("late"))
		t.declareLate(ctx, "late")

		Consistently(ctx, t.clearedModels).WithTimeout(3 * time.Second).ShouldNot(ContainElement("late"))
		t.expectUntouched(ctx, waiting)
		between.Resume(watchesOfPolicies)
		t.waitVerdict(ctx, "late", v1alpha1.OutcomeHeld)
		Eventually(ctx, t.clearedModels).Should(ConsistOf(small))
		t.expectUntouched(ctx, waiting)
	})

	It("37: a watch that stands still is begun again within moments of what was cleared last", func(ctx SpecContext) {
		t := newTenant(ctx, policyName)
		t.limitEgress(ctx)
		t.waitVerdict(ctx, llama, v1alpha1.OutcomeCleared)
		between.StallOpen(watchesOfPolicies)
		DeferCleanup(between.Resume, watchesOfPolicies)
		t.openEgress(ctx)
		t.declareLate(ctx, "late")
		t.waitVerdict(ctx, "late", v1alpha1.OutcomeHeld)
		Eventually(ctx, t.clearedModels).Should(ConsistOf(small))
	})

	It("38: a manager whose clock is an hour off sets leases by the API server's clock", func(ctx SpecContext) {
		t := newTenant(ctx, shortName)
		DeferCleanup(between.Date, time.Duration(0))
		for _, ahead := range []time.Duration{-time.Hour, time.Hour, 0} {
			between.Date(ahead)
			Eventually(ctx, func() time.Time { return admission.Find(t.clearances(ctx).Annotations, small).ValidUntil }).
				WithTimeout(20 * time.Second).Should(BeTemporally("~", time.Now().Add(ahead), 40*time.Second))
		}
	})

	It("57: a manager that was paused at any moment clears and releases nothing by what it knew before", func(ctx SpecContext) {
		t := newTenant(ctx, policyName)
		for _, moment := range []time.Duration{0, 10, 20, 35, 50, 80} {
			t.limitEgress(ctx)
			t.waitVerdict(ctx, llama, v1alpha1.OutcomeCleared)
			late := fmt.Sprintf("late-%d", moment)
			waiting := t.waiting(ctx, t.pod(late).Model(late))
			t.declareLate(ctx, late)
			time.Sleep(moment * time.Millisecond) // in the midst of what the manager does about that
			pause(ctx)
			cleared := t.clearedModels(ctx)
			between.Stall(watchesOfPolicies) // which is slower than all else when the manager goes on
			t.openEgress(ctx)
			resume()
			if !slices.Contains(cleared, late) {
				Consistently(ctx, t.clearedModels).WithTimeout(time.Second).ShouldNot(ContainElement(late))
				t.expectUntouched(ctx, waiting)
			}
			between.Resume(watchesOfPolicies)
			Eventually(ctx, t.clearedModels).Should(ConsistOf(small))
		}
	})

	It("58: a pod that came in after its model was revoked is taken out at once, and one that ran before is not", func(ctx SpecContext) {
		t := newTenant(ctx, policyName) // which lets running pods be
		t.limitEgress(ctx)
		t.waitVerdict(ctx, llama, v1alpha1.OutcomeCleared)
		ran := t.running(ctx, t.pod("ran").Model(llama))
		t.openEgress(ctx)
		t.waitVerdict(ctx, llama, v1alpha1.OutcomeRevoked)
		pause(ctx)
		// As if the API server had not heard of it: neither of the policies looks at a pod.
		blind := client.RawPatch(types.JSONPatchType, []byte(`[{"op": "replace", "path": "/spec/matchConditions", "value": [{"name": "never", "expression": "false"}]}]`))
		Expect(admin.Patch(ctx, &admissionv1.MutatingAdmissionPolicy{ObjectMeta: metav1.ObjectMeta{Name: admission.HoldPolicy}}, blind)).To(Succeed())
		Expect(admin.Patch(ctx, &admissionv1.ValidatingAdmissionPolicy{ObjectMeta: metav1.ObjectMeta{Name: admission.AdmitPolicy}}, blind)).To(Succeed())
		Eventually(ctx, func(g Gomega) {
			pod := t.pod("probe").Model(llama).Build()
			g.Expect(t.editor.Create(ctx, pod, client.DryRunAll)).To(Succeed())
			g.Expect(gatedBy(pod, v1alpha1.ClearanceGate)).To(BeFalse())
		}).Should(Succeed())
		intruder := t.pod("intruder").Model(llama).Build()
		Expect(t.editor.Create(ctx, intruder)).To(Succeed())
		resume()
		t.waitGone(ctx, intruder)
		t.expectUntouched(ctx, ran)
		waitEnforced(ctx)
	})
}

// declareLate declares a model that lacks just what llama does.
func (t *tenant) declareLate(ctx context.Context, name string) {
	GinkgoHelper()
	Expect(t.editor.Create(ctx, builder.ModelDeployment(t.namespace, name).Level(builder.ASL3).Build())).To(Succeed())
}

// pause lets the manager stand still until resume.
func pause(ctx context.Context) {
	GinkgoHelper()
	Expect(syscall.Kill(manager.PID(), syscall.SIGSTOP)).To(Succeed())
	DeferCleanup(resume)
	Consistently(ctx, manager.Running).WithTimeout(1200 * time.Millisecond).Should(BeTrue())
}

func resume() {
	if manager.Running() {
		Expect(syscall.Kill(manager.PID(), syscall.SIGCONT)).To(Succeed())
	}
}
