package integration

import (
	"context"
	"strings"

	. "github.com/onsi/ginkgo/v2"
	. "github.com/onsi/gomega"
	eventsv1 "k8s.io/api/events/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/interlock-dev/interlock/api/v1alpha1"
	"github.com/interlock-dev/interlock/internal/testing/builder"
)

var _ = Describe("A changed policy", func() {
	It("is told of, and writes nothing to the models on which the change does not bear", func(ctx SpecContext) {
		w := newWorld(ctx)
		create(ctx, w.denyEgress(), w.modelDeployment("low", builder.ASL2), w.modelDeployment("high", builder.ASL3))
		for _, model := range []string{"low", "high"} {
			Eventually(w.verdict(model)).WithContext(ctx).Should(Equal(v1alpha1.OutcomeCleared))
		}
		Eventually(policyReady(w.policy)).WithContext(ctx).Should(condition(metav1.ConditionTrue, v1alpha1.ReasonAccepted, "in use"))
		policy := w.scalingPolicy()
		change := func(do func(*v1alpha1.ScalingPolicySpec)) {
			GinkgoHelper()
			Expect(api.Get(ctx, client.ObjectKeyFromObject(policy), policy)).To(Succeed())
			before := policy.Status.Digest
			update(ctx, policy, func() { do(&policy.Spec) })
			Eventually(w.policyChanges(before)).WithContext(ctx).Should(ConsistOf(SatisfyAll(
				ContainSubstring("from digest "+before+" to sha256:"), HaveSuffix("; 2 models under it are judged anew"))))
		}
		before := settled(func() map[string]string { return w.versions(ctx, "low", "high") })

		By("rewording it")
		change(func(p *v1alpha1.ScalingPolicySpec) { p.Title, p.Source.Version = "RSP, reworded", "2" })
		Consistently(func() map[string]string { return w.versions(ctx, "low", "high") }, "2s").Should(Equal(before))

		By("asking less of the higher level")
		digests := []string{w.model(ctx, "low").Status.PolicyDigest, w.model(ctx, "high").Status.PolicyDigest}
		change(func(p *v1alpha1.ScalingPolicySpec) {
			p.Levels[1].Security = v1alpha1.Standard{NotRequired: "not any more"}
		})
		Eventually(func() string { return w.model(ctx, "high").Status.PolicyDigest }).Should(SatisfyAll(Not(Equal(digests[1])), HavePrefix("sha256:")))
		Expect(w.model(ctx, "high").Status.SafeguardsMet).To(Equal("2/2"))
		Expect(w.model(ctx, "low").Status.PolicyDigest).To(Equal(digests[0]))
		Expect(w.model(ctx, "low").ResourceVersion).To(Equal(before["low"]))
	})
})

// versions gives the resourceVersions of models and of what the API server is told of them.
func (w *world) versions(ctx context.Context, models ...string) map[string]string {
	GinkgoHelper()
	versions := map[string]string{}
	for _, name := range models {
		versions[name] = w.model(ctx, name).ResourceVersion
	}
	versions["clearances"] = w.clearances(ctx).ResourceVersion
	versions["ledger"] = w.ledger(ctx).ResourceVersion
	return versions
}

// policyChanges gives what is told of changes of the world's policy from a digest, to be polled.
func (w *world) policyChanges(digest string) func(context.Context) ([]string, error) {
	return func(ctx context.Context) ([]string, error) {
		list := &eventsv1.EventList{}
		err := api.List(ctx, list)
		var told []string
		for _, e := range list.Items {
			if e.Regarding.Name == w.policy && e.Reason == v1alpha1.ReasonPolicyChanged && strings.Contains(e.Note, "from digest "+digest) {
				told = append(told, e.Note)
			}
		}
		return told, err
	}
}
