package integration

import (
	"context"
	"fmt"
	"slices"
	"time"

	"github.com/google/go-cmp/cmp"
	. "github.com/onsi/ginkgo/v2"
	. "github.com/onsi/gomega"
	"golang.org/x/sync/errgroup"
	admissionv1 "k8s.io/api/admissionregistration/v1"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/meta"
	"k8s.io/apimachinery/pkg/runtime"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/interlock-dev/interlock/api/v1alpha1"
	"github.com/interlock-dev/interlock/internal/testing/builder"
)

var _ = Describe("What the API server is told", func() {
	It("is written once for many models", func(ctx SpecContext) {
		const models = 50
		w := newWorld(ctx)
		var creating errgroup.Group
		for i := range models {
			creating.Go(func() error { return api.Create(ctx, w.modelDeployment(fmt.Sprintf("m%d", i), builder.ASL3)) })
		}
		Expect(creating.Wait()).To(Succeed())
		for i := range models {
			Eventually(w.safeguardsMet(fmt.Sprintf("m%d", i))).WithContext(ctx).Should(Equal("2/3"))
		}
		history := w.watch(ctx)
		create(ctx, w.denyEgress())
		for i := range models {
			Eventually(w.verdict(fmt.Sprintf("m%d", i))).WithContext(ctx).Should(Equal(v1alpha1.OutcomeCleared))
		}
		Expect(len(history.of(func(e entry) bool { return e.clearances != nil }))).To(BeNumerically("<=", models/5))
	})

	It("is renewed, so that pods can be created over many half leases", func(ctx SpecContext) {
		const short = 10 * time.Second
		w := newWorld(ctx, lease(short))
		create(ctx, w.modelDeployment("llm", builder.ASL2))
		Eventually(w.verdict("llm")).WithContext(ctx).Should(Equal(v1alpha1.OutcomeCleared))
		ends := map[time.Time]bool{}
		Consistently(func(g Gomega) {
			pod := w.pinnedPod("llm").Build()
			g.Expect(api.Create(ctx, pod, client.DryRunAll)).To(Succeed())
			g.Expect(pod.Spec.SchedulingGates).To(BeEmpty())
			ends[w.enforced(ctx, "llm").ValidUntil] = true
		}, 3*short/2).WithContext(ctx).Should(Succeed())
		Expect(len(ends)).To(BeNumerically(">=", 3))
		Expect(w.clearances(ctx).ManagedFields).To(BeEmpty(), "every pod would pay for them")
		Expect(w.verdict("llm")(ctx)).To(Equal(v1alpha1.OutcomeCleared))
	})

	It("is still, as all that we write is, once nothing happens", func(ctx SpecContext) {
		w := newWorld(ctx)
		w.clearedModel(ctx, "good")
		create(ctx, w.modelDeployment("bad", builder.ASL3), w.deployment("bad", 1, w.loosePod("bad")))
		w.awaitHeld(ctx, "bad", 1)
		Eventually(w.safeguardsMet("bad")).WithContext(ctx).Should(Equal("0/3"))
		warned := namesOnly(ctx)
		warned.label(ctx, map[string]string{v1alpha1.WarnLabel: w.policy, v1alpha1.AuditLabel: w.policy})
		create(ctx, warned.modelDeployment("seen", builder.ASL3))
		Eventually(func() []v1alpha1.Preview { return warned.model(ctx, "seen").Status.Previews }).Should(HaveLen(2))

		before := settled(func() map[string]string { return versions(ctx, w.ns, warned.ns) })
		Consistently(func() string { return cmp.Diff(before, versions(ctx, w.ns, warned.ns)) }, "10s", "1s").Should(BeEmpty())
	})
})

// settled gives the versions once they have stayed the same for a while.
func settled(versions func() map[string]string) map[string]string {
	GinkgoHelper()
	var now map[string]string
	Eventually(func() string {
		last := now
		now = versions()
		return cmp.Diff(last, now)
	}, "1m", "2s").Should(BeEmpty())
	return now
}

// versions gives the resourceVersion of all that Interlock writes, of what is in namespaces only of that in some: what
// earlier tests have left is going still.
func versions(ctx context.Context, namespaces ...string) map[string]string {
	GinkgoHelper()
	all := map[string]string{}
	ours := client.MatchingLabels{v1alpha1.ManagedByLabel: v1alpha1.ManagedBy}
	for list, options := range map[client.ObjectList][]client.ListOption{
		&admissionv1.MutatingAdmissionPolicyList{}:          {ours},
		&admissionv1.MutatingAdmissionPolicyBindingList{}:   {ours},
		&admissionv1.ValidatingAdmissionPolicyList{}:        {ours},
		&admissionv1.ValidatingAdmissionPolicyBindingList{}: {ours},
		&v1alpha1.SafeguardList{}:                           nil,
		&v1alpha1.ScalingPolicyList{}:                       nil,
		&v1alpha1.ModelDeploymentList{}:                     nil,
		&v1alpha1.ClearanceLedgerList{}:                     nil,
		&corev1.LimitRangeList{}:                            {ours},
	} {
		Expect(api.List(ctx, list, options...)).To(Succeed())
		Expect(meta.EachListItem(list, func(o runtime.Object) error {
			item := o.(client.Object)
			if ns := item.GetNamespace(); ns != "" && !slices.Contains(namespaces, ns) {
				return nil
			}
			all[fmt.Sprintf("%T %s/%s", item, item.GetNamespace(), item.GetName())] = item.GetResourceVersion()
			return nil
		})).To(Succeed())
	}
	return all
}
