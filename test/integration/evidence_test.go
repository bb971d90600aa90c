package integration

import (
	"context"
	"fmt"
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
	reviewType        = "https://interlock.dev/predicates/red-team-of-tests/v1"
	evidenceNamespace = "interlock-evidence"
)

// attestedWorld is a world whose baseline asks for evidence as well as for pinned images.
type attestedWorld struct {
	*world
	// reviewed is the name of the Safeguard that asks for evidence.
	reviewed string
	redTeam  signing.Key
	auditor  signing.Key
}

func newAttestedWorld(ctx context.Context, change func(*v1alpha1.EvidenceRule), options ...option) *attestedWorld {
	GinkgoHelper()
	a := &attestedWorld{world: namesOnly(ctx), redTeam: signing.Ed25519(), auditor: signing.Ed25519()}
	a.reviewed = a.ns + "-reviewed"
	sg := builder.Safeguard(a.reviewed).Remedy("have it tested").Evidence(reviewType, "red-team")
	if change != nil {
		sg.EvidenceRule(change)
	}
	create(ctx, sg.Build())
	DeferCleanup(func(ctx SpecContext) { Expect(client.IgnoreNotFound(api.Delete(ctx, sg.Build()))).To(Succeed()) })
	policy := func(p *v1alpha1.ScalingPolicySpec) {
		p.Levels[0].Deployment.Safeguards = append(p.Levels[0].Deployment.Safeguards, v1alpha1.Obligation{Safeguard: a.reviewed})
		p.Trust = &v1alpha1.Trust{Signers: []v1alpha1.Signer{{Name: "red-team", Key: a.redTeam.PEM}, {Name: "auditor", Key: a.auditor.PEM}}}
	}
	a.createPolicy(ctx, append([]option{policy}, options...)...)
	a.enrol(ctx)
	return a
}

// review is a statement that the model of the tests was reviewed some time ago.
func (a *attestedWorld) review(ago time.Duration, subjects ...string) signing.Statement {
	if len(subjects) == 0 {
		subjects = []string{builder.Digest}
	}
	return signing.Review(reviewType, time.Now().Add(-ago), subjects...)
}

func (a *attestedWorld) attestation(name, content string) *v1alpha1.Attestation {
	return builder.Attestation(a.ns, name, content)
}

func attestationReady(namespace, name string) func(context.Context) (metav1.Condition, error) {
	return ready(&v1alpha1.Attestation{ObjectMeta: metav1.ObjectMeta{Namespace: namespace, Name: name}},
		func(a *v1alpha1.Attestation) []metav1.Condition { return a.Status.Conditions })
}

// found gives what is said of the Safeguard that asks for evidence, to be polled.
func (a *attestedWorld) found(model string) func(context.Context) (string, error) {
	return func(ctx context.Context) (string, error) {
		md := &v1alpha1.ModelDeployment{}
		if err := api.Get(ctx, client.ObjectKey{Namespace: a.ns, Name: model}, md); err != nil {
			return "", err
		}
		for _, s := range md.Status.Safeguards {
			if s.Name == a.reviewed {
				return fmt.Sprintf("%s (%s): %s. %s", s.State, s.Strength, s.Message, s.Remedy), nil
			}
		}
		return "", nil
	}
}

func (a *attestedWorld) changeTrust(ctx context.Context, change func(*v1alpha1.Trust)) {
	GinkgoHelper()
	policy := a.scalingPolicy()
	update(ctx, policy, func() { change(policy.Spec.Trust) })
}

func clusterID(ctx context.Context) string {
	GinkgoHelper()
	ns := builder.Namespace("kube-system").Build()
	Expect(api.Get(ctx, client.ObjectKeyFromObject(ns), ns)).To(Succeed())
	return string(ns.UID)
}

// environmentOf is the digest by which statements name a namespace.
func environmentOf(ctx context.Context, namespace string) string {
	GinkgoHelper()
	ns := builder.Namespace(namespace).Build()
	Expect(api.Get(ctx, client.ObjectKeyFromObject(ns), ns)).To(Succeed())
	return evidence.EnvironmentSubject(clusterID(ctx), namespace, string(ns.UID))
}

func failedReview(s signing.Statement) signing.Statement {
	return s.With(map[string]any{"result": "Failed"})
}

var _ = Describe("Evidence", func() {
	It("clears a model once it is signed, and revokes it within seconds when the key is revoked", func(ctx SpecContext) {
		a := newAttestedWorld(ctx, nil, func(p *v1alpha1.ScalingPolicySpec) { p.Trust = nil })
		create(ctx, a.modelDeployment("llm", builder.ASL2), a.deployment("server", 1, a.pinnedPod("llm")))

		By("saying whom to add to which policy while nobody is trusted")
		Eventually(a.found("llm")).WithContext(ctx).Should(SatisfyAll(
			HavePrefix("Missing (Attested): policy "+a.policy+" trusts no signer red-team"), ContainSubstring("spec.trust.signers of ScalingPolicy "+a.policy)))
		policy := a.scalingPolicy()
		Eventually(ready(policy.DeepCopy(), func(p *v1alpha1.ScalingPolicy) []metav1.Condition {
			return renamed(p.Status.Conditions, v1alpha1.ConditionSignersKnown)
		})).WithContext(ctx).Should(condition(metav1.ConditionFalse, v1alpha1.ReasonSignersUnknown, "red-team (for "+a.reviewed+")"))
		update(ctx, policy, func() {
			policy.Spec.Trust = &v1alpha1.Trust{Signers: []v1alpha1.Signer{{Name: "red-team", Key: a.redTeam.PEM}}}
		})

		By("saying what statement is wanted")
		Eventually(a.found("llm")).WithContext(ctx).Should(ContainSubstring("no statement " + reviewType + " about the model, " + builder.Digest + " by red-team"))
		a.awaitHeld(ctx, "llm", 1)

		By("releasing the pod when it is there")
		create(ctx, a.attestation("review", a.review(time.Hour).Sign(a.redTeam)))
		a.awaitCleared(ctx, "llm", 1)
		Expect(a.found("llm")(ctx)).To(HavePrefix("Satisfied (Attested): signed by red-team on "))
		Eventually(attestationReady(a.ns, "review")).WithContext(ctx).Should(condition(metav1.ConditionTrue, v1alpha1.ReasonVerified, a.policy+"/red-team"))

		By("revoking it when the key is")
		begin := time.Now()
		a.changeTrust(ctx, func(t *v1alpha1.Trust) {
			t.Signers[0].Revoked = &v1alpha1.Revocation{Reason: v1alpha1.RevocationCompromised}
		})
		Eventually(func(ctx context.Context) bool { return a.enforced(ctx, "llm").Cleared() }).WithContext(ctx).WithTimeout(5 * time.Second).Should(BeFalse())
		AddReportEntry("from the revocation of the key to that of the model", ReportEntryVisibilityFailureOrVerbose, time.Since(begin).String())
		Eventually(a.verdict("llm")).WithContext(ctx).Should(Equal(v1alpha1.OutcomeRevoked))
		Eventually(a.found("llm")).WithContext(ctx).Should(ContainSubstring("red-team is revoked: Compromised"))
		Eventually(attestationReady(a.ns, "review")).WithContext(ctx).Should(condition(metav1.ConditionFalse, v1alpha1.ReasonUntrusted, "revoked"))
	})

	It("does not count that is forged, replayed, malformed or out of its time, and says why", func(ctx SpecContext) {
		a := newAttestedWorld(ctx, func(e *v1alpha1.EvidenceRule) { e.MaxAgeDays = new(int32(30)) })
		good, stranger := a.review(time.Hour), signing.Ed25519()
		other := "sha256:" + strings.Repeat("cd", 32)
		text := string(good.JSON())
		signed := func(payloadType, payload string) string {
			return signing.Text(signing.Envelope(payloadType, []byte(payload), a.redTeam))
		}
		forged := signing.Envelope(signing.PayloadType, failedReview(good).JSON(), a.redTeam)
		forged.Payload = signing.Envelope(signing.PayloadType, good.JSON(), stranger).Payload
		disguised := signing.Envelope(signing.PayloadType, good.JSON(), stranger)
		disguised.Signatures[0].KeyID = signing.Envelope(signing.PayloadType, good.JSON(), a.redTeam).Signatures[0].KeyID
		const verified, untrusted, malformed = v1alpha1.ReasonVerified, v1alpha1.ReasonUntrusted, v1alpha1.ReasonMalformed
		attacks := map[string]struct{ content, reason, message string }{
			"of-another-type":        {signing.Review(reviewType+"1", time.Now(), builder.Digest).Sign(a.redTeam), verified, "signed by"},
			"of-another-model":       {a.review(time.Hour, other).Sign(a.redTeam), verified, "signed by"},
			"of-the-namespace":       {a.review(time.Hour, environmentOf(ctx, a.ns)).Sign(a.redTeam), verified, "signed by"},
			"by-one-who-may-not":     {good.Sign(a.auditor), verified, "/auditor"},
			"by-a-stranger":          {good.Sign(stranger), untrusted, "no signature that counts"},
			"by-a-disguised-key":     {signing.Text(disguised), untrusted, "no signature that counts"},
			"with-another-payload":   {signing.Text(forged), untrusted, "no signature that counts"},
			"unparsable":             {signed(signing.PayloadType, "passed"), malformed, "the statement is not JSON"},
			"of-another-payloadtype": {signed("application/json", text), malformed, "payloadType"},
			"with-a-key-twice":       {signed(signing.PayloadType, strings.Replace(text, `"result":"Passed"`, `"result":"Failed","result":"Passed"`, 1)), malformed, "comes twice"},
			"with-nan":               {signed(signing.PayloadType, strings.Replace(text, `"result"`, `"score":NaN,"result"`, 1)), malformed, "not JSON"},
			"with-trailing-data":     {signed(signing.PayloadType, text+"{}"), malformed, "after the JSON object"},
			"deep":                   {signed(signing.PayloadType, strings.Replace(text, `"result"`, `"x":`+strings.Repeat("[", 5000)+strings.Repeat("]", 5000)+`,"result"`, 1)), malformed, "nested"},
			"too-old":                {a.review(31 * 24 * time.Hour).Sign(a.redTeam), verified, "signed by"},
			"of-the-future":          {a.review(-time.Hour).Sign(a.redTeam), verified, "does not count before"},
			"no-envelope":            {`{"kind":"Attestation"}`, malformed, "payloadType"},
			"without-time":           {good.With(map[string]any{"time": nil}).Sign(a.redTeam), malformed, "lacks time"},
		}
		for name, attack := range attacks {
			create(ctx, a.attestation(name, attack.content))
		}
		create(ctx, a.modelDeployment("llm", builder.ASL2), a.deployment("server", 1, a.pinnedPod("llm")))
		for name, attack := range attacks {
			status := metav1.ConditionFalse
			if attack.reason == verified {
				status = metav1.ConditionTrue
			}
			Eventually(attestationReady(a.ns, name)).WithContext(ctx).Should(condition(status, attack.reason, attack.message), name)
		}
		a.awaitHeld(ctx, "llm", 1)
		Consistently(a.verdict("llm")).WithContext(ctx).WithTimeout(time.Second).Should(Equal(v1alpha1.OutcomeHeld))
		Expect(a.found("llm")(ctx)).To(HavePrefix("Expired (Attested): ended at "))

		By("clearing it by the genuine one beside all those")
		create(ctx, a.attestation("good", good.Sign(a.redTeam)))
		a.awaitCleared(ctx, "llm", 1)
	})

	It("needs as many signers as are asked for, each with a key of its own", func(ctx SpecContext) {
		a := newAttestedWorld(ctx, func(e *v1alpha1.EvidenceRule) { e.Signers, e.Threshold = []string{"red-team", "auditor", "again"}, 2 },
			func(p *v1alpha1.ScalingPolicySpec) {
				p.Trust.Signers = append(p.Trust.Signers, v1alpha1.Signer{Name: "again", Key: "\n" + p.Trust.Signers[0].Key})
			})
		statement := a.review(time.Hour)
		twice := signing.Envelope(signing.PayloadType, statement.JSON(), a.redTeam, a.redTeam)
		twice.Signatures[0].KeyID, twice.Signatures[1].KeyID = "one", "two"
		create(ctx, a.modelDeployment("llm", builder.ASL2), a.attestation("twice", signing.Text(twice)), a.attestation("once-more", statement.Sign(a.redTeam)))
		Eventually(a.found("llm")).WithContext(ctx).Should(ContainSubstring("is signed by"))
		Consistently(a.verdict("llm")).WithContext(ctx).WithTimeout(time.Second).Should(Equal(v1alpha1.OutcomeHeld))

		create(ctx, a.attestation("the-other", statement.Sign(a.auditor)))
		Eventually(a.verdict("llm")).WithContext(ctx).Should(Equal(v1alpha1.OutcomeCleared))
	})

	It("that failed beats an older one that passed, and cannot be exchanged", func(ctx SpecContext) {
		a := newAttestedWorld(ctx, nil)
		create(ctx, a.modelDeployment("llm", builder.ASL2), a.attestation("passed", a.review(2*time.Hour).Sign(a.redTeam)))
		Eventually(a.verdict("llm")).WithContext(ctx).Should(Equal(v1alpha1.OutcomeCleared))

		failed := a.attestation("failed", failedReview(a.review(time.Hour)).Sign(a.redTeam))
		create(ctx, failed)
		Eventually(a.found("llm")).WithContext(ctx).Should(SatisfyAll(HavePrefix("Missing"), ContainSubstring("result is Failed")))
		Expect(a.verdict("llm")(ctx)).To(Equal(v1alpha1.OutcomeHeld))

		By("refusing to change it")
		Eventually(func(ctx context.Context) error {
			if err := api.Get(ctx, client.ObjectKeyFromObject(failed), failed); err != nil {
				return err
			}
			failed.Spec.Content = a.review(time.Minute).Sign(a.redTeam)
			return api.Update(ctx, failed)
		}).WithContext(ctx).Should(MatchError(ContainSubstring("cannot be changed")))
		By("not being moved by the older one again")
		create(ctx, a.attestation("passed-again", a.review(2*time.Hour).Sign(a.redTeam, a.auditor)))
		Consistently(a.verdict("llm")).WithContext(ctx).WithTimeout(time.Second).Should(Equal(v1alpha1.OutcomeHeld))

		create(ctx, a.attestation("mended", a.review(time.Minute).Sign(a.redTeam)))
		Eventually(a.verdict("llm")).WithContext(ctx).Should(Equal(v1alpha1.OutcomeCleared))
	})

	It("ends with its age to the second", func(ctx SpecContext) {
		a := newAttestedWorld(ctx, func(e *v1alpha1.EvidenceRule) { e.MaxAgeDays = new(int32(1)) })
		create(ctx, a.modelDeployment("llm", builder.ASL2))
		Eventually(a.safeguardsMet("llm")).WithContext(ctx).Should(Equal("1/2"), "from when on nothing but the evidence is waited for")
		end := time.Now().Add(6 * time.Second).Truncate(time.Second)
		create(ctx, a.attestation("review", signing.Review(reviewType, end.Add(-24*time.Hour), builder.Digest).Sign(a.redTeam)))
		Eventually(a.verdict("llm")).WithContext(ctx).Should(Equal(v1alpha1.OutcomeCleared))
		Expect(a.model(ctx, "llm").Status.ValidUntil.Time).To(BeTemporally("==", end))
		Eventually(a.verdict("llm")).WithContext(ctx).Should(Equal(v1alpha1.OutcomeHeld))
		Expect(time.Now()).To(BeTemporally(">=", end))
		Expect(a.found("llm")(ctx)).To(HavePrefix("Expired"))
	})

	It("counts where the model is and in the operator's namespace for evidence, and nowhere else", func(ctx SpecContext) {
		a := newAttestedWorld(ctx, func(e *v1alpha1.EvidenceRule) { e.Binding = v1alpha1.BindEnvironment })
		here := environmentOf(ctx, a.ns)
		neighbour := namesOnly(ctx)
		Expect(client.IgnoreAlreadyExists(api.Create(ctx, builder.Namespace(evidenceNamespace).Build()))).To(Succeed())
		there := environmentOf(ctx, neighbour.ns)
		create(ctx, a.modelDeployment("llm", builder.ASL2),
			builder.Attestation(neighbour.ns, "elsewhere", a.review(time.Hour, here).Sign(a.redTeam)),
			a.attestation("of-the-neighbour", a.review(time.Hour, there).Sign(a.redTeam)),
			a.attestation("of-another-cluster", a.review(time.Hour, evidence.EnvironmentSubject("another", a.ns)).Sign(a.redTeam)))
		for _, name := range []string{"of-the-neighbour", "of-another-cluster"} {
			Eventually(attestationReady(a.ns, name)).WithContext(ctx).Should(condition(metav1.ConditionTrue, v1alpha1.ReasonVerified, ""))
		}
		Eventually(a.found("llm")).WithContext(ctx).Should(ContainSubstring("about this namespace, " + here))
		Consistently(a.verdict("llm")).WithContext(ctx).WithTimeout(time.Second).Should(Equal(v1alpha1.OutcomeHeld))

		shared := builder.Attestation(evidenceNamespace, a.ns, a.review(time.Hour, here).Sign(a.redTeam))
		create(ctx, shared)
		Eventually(a.verdict("llm")).WithContext(ctx).Should(Equal(v1alpha1.OutcomeCleared))
		Expect(api.Delete(ctx, shared)).To(Succeed())
		Eventually(a.verdict("llm")).WithContext(ctx).Should(Equal(v1alpha1.OutcomeHeld))

		create(ctx, a.attestation("of-the-cluster", a.review(time.Hour, evidence.EnvironmentSubject(clusterID(ctx))).Sign(a.redTeam)))
		Eventually(a.verdict("llm")).WithContext(ctx).Should(Equal(v1alpha1.OutcomeCleared))
	})

	It("can be signed by an identity, with a log's proof", func(ctx SpecContext) {
		const issuer, identity = "https://accounts.example.com", "red-team@example.com"
		sigstore, another := signing.NewSigstore(), signing.NewSigstore()
		a := newAttestedWorld(ctx, func(e *v1alpha1.EvidenceRule) { e.Condition = "predicate.score >= 0.9" }, func(p *v1alpha1.ScalingPolicySpec) {
			p.Trust = &v1alpha1.Trust{TrustedRoot: sigstore.TrustedRoot(), Signers: []v1alpha1.Signer{
				{Name: "red-team", Keyless: &v1alpha1.KeylessIdentity{Issuer: issuer, Identity: identity}}}}
		})
		statement := a.review(time.Hour).With(map[string]any{"score": 0.95})
		create(ctx, a.modelDeployment("llm", builder.ASL2),
			a.attestation("of-another-log", another.Sign(issuer, identity, statement)),
			a.attestation("of-another-identity", sigstore.Sign(issuer, "mallory@example.com", statement)))
		for _, name := range []string{"of-another-log", "of-another-identity"} {
			Eventually(attestationReady(a.ns, name)).WithContext(ctx).Should(condition(metav1.ConditionFalse, v1alpha1.ReasonUntrusted, ""))
		}
		Expect(a.verdict("llm")(ctx)).To(Equal(v1alpha1.OutcomeHeld))
		create(ctx, a.attestation("review", sigstore.Sign(issuer, identity, statement)))
		Eventually(a.verdict("llm")).WithContext(ctx).Should(Equal(v1alpha1.OutcomeCleared))
	})

	It("is refused as it is written where no rule could be met", func(ctx SpecContext) {
		rule := func(change func(*v1alpha1.EvidenceRule)) *v1alpha1.Safeguard {
			return builder.Safeguard("refused").Evidence(reviewType, "a", "b").EvidenceRule(change).Build()
		}
		for name, tc := range map[string]struct {
			object client.Object
			want   string
		}{
			"a negative threshold": {rule(func(e *v1alpha1.EvidenceRule) { e.Threshold = -1 }), "threshold"},
			"nobody":               {rule(func(e *v1alpha1.EvidenceRule) { e.Signers = nil }), "signers"},
			"one signer twice":     {rule(func(e *v1alpha1.EvidenceRule) { e.Signers = []string{"a", "a"} }), "Duplicate value"},
			"three of two":         {rule(func(e *v1alpha1.EvidenceRule) { e.Threshold = 3 }), "must not be greater than the number of signers"},
			"a tag":                {builder.AttestationIn("default", "x", "registry.example/evidence:latest"), "spec.oci"},
			"a tag and a digest":   {builder.AttestationIn("default", "x", "registry.example/evidence:v1@"+builder.Digest), "spec.oci"},
			"what refers to a tag": {builder.AttestationAbout("default", "x", "registry.example/image:latest", "application/json"), "spec.referrers.subject"},
			"of no type":           {builder.AttestationAbout("default", "x", "registry.example/image@"+builder.Digest, "json"), "spec.referrers.artifactType"},
			"nothing at all":       {builder.Attestation("default", "x", ""), "spec"},
			"keyless without root": {builder.ScalingPolicy("refused").Level(builder.Level(builder.ASL2)).Build(), "needs trustedRoot"},
		} {
			if p, ok := tc.object.(*v1alpha1.ScalingPolicy); ok {
				p.Spec.Trust = &v1alpha1.Trust{Signers: []v1alpha1.Signer{{Name: "a", Keyless: &v1alpha1.KeylessIdentity{Issuer: "i", Identity: "j"}}}}
			}
			Expect(api.Create(ctx, tc.object, client.DryRunAll)).To(MatchError(ContainSubstring(tc.want)), name)
		}
		out, err := st.As(st.Kubeconfig()).RunWithInput(ctx, `{"apiVersion":"interlock.dev/v1alpha1","kind":"Safeguard","metadata":{"name":"refused"},`+
			`"spec":{"title":"x","remedy":"x","sources":[{"document":"x"}],"evidence":{"predicateType":"urn:x","issuer":"x","signers":["a"],"threshold":0}}}`, "apply", "--dry-run=server", "-f", "-")
		Expect(err).To(HaveOccurred(), out)
		Expect(err.Error()).To(ContainSubstring("should be greater than or equal to 1"))
	})
})

// renamed gives one condition under the name Ready, by which conditions are polled.
func renamed(conditions []metav1.Condition, name string) []metav1.Condition {
	var found []metav1.Condition
	for _, c := range conditions {
		if c.Type == name {
			c.Type = v1alpha1.ConditionReady
			found = append(found, c)
		}
	}
	return found
}
