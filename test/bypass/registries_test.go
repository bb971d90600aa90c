package bypass

import (
	"context"
	"strings"
	"time"

	. "github.com/onsi/ginkgo/v2"
	. "github.com/onsi/gomega"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/interlock-dev/interlock/api/v1alpha1"
	"github.com/interlock-dev/interlock/internal/evidence"
	"github.com/interlock-dev/interlock/internal/testing/builder"
	"github.com/interlock-dev/interlock/internal/testing/signing"
)

const (
	// signedName asks at ASL-3 that the weights are signed, file by file.
	signedName = "bypass-signed"
	// signed is a model of it.
	signed = "signed"
)

var (
	// training is who signs the weights.
	training = signing.Fixed(6)
	// byFile is the signature of the model's weights, which says no time, and byShard another that does not meet the condition.
	byFile  = signing.ModelSigning(strings.Repeat("ab", 32), strings.Repeat("cd", 32))
	byShard = byFile.With(map[string]any{"serialization": map[string]any{"method": "shards"}})
)

// signedPack gives the policy that asks for signed weights.
func signedPack() []client.Object {
	return []client.Object{
		builder.Safeguard("weights-signed").Evidence(evidence.TypeModelSigning, "training").
			EvidenceRule(func(e *v1alpha1.EvidenceRule) { e.Condition = "predicate.serialization.method == 'files'" }).Build(),
		builder.ScalingPolicy(signedName).Level(builder.Level(builder.ASL2).Deployment(imagePinned)).
			Level(builder.Level(builder.ASL3).Deployment("weights-signed")).Trust("training", training.PEM).Build(),
	}
}

// newSigned makes a tenant with a model that lacks nothing but a signature.
func newSigned(ctx context.Context) *tenant {
	GinkgoHelper()
	t := newTenant(ctx, signedName)
	Expect(t.editor.Create(ctx, builder.ModelDeployment(t.namespace, signed).Level(builder.ASL3).Digest(byFile.Subjects[0]).Build())).To(Succeed())
	t.waitVerdict(ctx, signed, v1alpha1.OutcomeHeld)
	return t
}

func signedTricks() {
	It("27: each layer of a manifest is evidence of its own: one that failed counts beside those that passed, and what is none hides neither", func(ctx SpecContext) {
		t := newTenant(ctx, attestedName)
		bring := func(name, repository string, layers ...string) {
			Expect(admin.Create(ctx, builder.AttestationIn(t.namespace, name, hostile.push(repository, layers...)))).To(Succeed())
		}
		failed := reviewed(time.Hour).With(map[string]any{"result": "Failed"}).Sign(redTeam)
		bring("passed-first", "elsewhere", "no evidence", reviewed(3*time.Hour).Sign(redTeam), strings.Repeat("x", evidence.MaxSize+1))
		t.waitVerdict(ctx, llama, v1alpha1.OutcomeCleared)
		bring("failed-among-others", "elsewhere", "none either", reviewed(2*time.Hour).Sign(redTeam), failed)
		t.waitVerdict(ctx, llama, v1alpha1.OutcomeHeld)
		bring("passed-again", "elsewhere", reviewed(time.Minute).Sign(redTeam))
		t.waitVerdict(ctx, llama, v1alpha1.OutcomeCleared)
	})

	It("26: a signature that says no time counts from when it was brought, and not once its signer had retired", func(ctx SpecContext) {
		early, late := newSigned(ctx), newSigned(ctx)
		early.bring(ctx, map[string]string{"in-time": byFile.Bundle(training)})
		early.waitVerdict(ctx, signed, v1alpha1.OutcomeCleared)

		time.Sleep(time.Until(time.Now().Truncate(time.Second).Add(time.Second))) // the API server notes whole seconds
		retired := metav1.NewTime(time.Now())
		trust := func(ctx context.Context, change func(*v1alpha1.Signer)) {
			policy := &v1alpha1.ScalingPolicy{}
			Expect(admin.Get(ctx, client.ObjectKey{Name: signedName}, policy)).To(Succeed())
			change(&policy.Spec.Trust.Signers[0])
			Expect(admin.Update(ctx, policy)).To(Succeed())
		}
		trust(ctx, func(s *v1alpha1.Signer) {
			s.Revoked = &v1alpha1.Revocation{Reason: v1alpha1.RevocationRetired, At: &retired}
		})
		DeferCleanup(func(ctx SpecContext) { trust(ctx, func(s *v1alpha1.Signer) { s.Revoked = nil }) })
		late.bring(ctx, map[string]string{"too-late": byFile.Bundle(training)})
		Eventually(ctx, late.attestation).WithArguments(ctx, "too-late").Should(And(HaveField("Reason", v1alpha1.ReasonUntrusted), HaveField("Message", ContainSubstring("training signed at"))))
		late.waitVerdict(ctx, signed, v1alpha1.OutcomeHeld)
		early.waitVerdict(ctx, signed, v1alpha1.OutcomeCleared)
	})

	It("27: nobody outdates a failing statement that says no time by bringing a passing one anew", func(ctx SpecContext) {
		t := newSigned(ctx)
		t.bring(ctx, map[string]string{"passes": byFile.Bundle(training)})
		t.waitVerdict(ctx, signed, v1alpha1.OutcomeCleared)
		t.bring(ctx, map[string]string{"fails": byShard.Bundle(training)})
		t.waitVerdict(ctx, signed, v1alpha1.OutcomeHeld)

		time.Sleep(time.Until(time.Now().Truncate(time.Second).Add(time.Second)))
		Expect(admin.Delete(ctx, builder.Attestation(t.namespace, "passes", ""))).To(Succeed())
		t.bring(ctx, map[string]string{"passes-again": byFile.Bundle(training)})
		Consistently(ctx, func(g Gomega) {
			md := &v1alpha1.ModelDeployment{}
			g.Expect(admin.Get(ctx, t.key(signed), md)).To(Succeed())
			g.Expect(md.Status.Verdict).To(Equal(v1alpha1.OutcomeHeld), "%+v", md.Status.Safeguards)
		}).WithTimeout(time.Second).Should(Succeed())
		dated := byFile
		dated.Time = time.Now()
		t.bring(ctx, map[string]string{"passes-later": dated.Bundle(training)})
		t.waitVerdict(ctx, signed, v1alpha1.OutcomeCleared)
	})
}
