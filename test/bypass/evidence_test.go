package bypass

import (
	"context"
	"strings"
	"time"

	. "github.com/onsi/ginkgo/v2"
	. "github.com/onsi/gomega"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/interlock-dev/interlock/api/v1alpha1"
	"github.com/interlock-dev/interlock/internal/evidence"
	"github.com/interlock-dev/interlock/internal/testing/builder"
	"github.com/interlock-dev/interlock/internal/testing/signing"
)

const (
	// attestedName asks at ASL-3 for a statement by one signer, and countersignedName for one by two.
	attestedName      = "bypass-attested"
	countersignedName = "bypass-countersigned"

	// placedName asks at ASL-3 for a statement about the namespace.
	placedName = "bypass-placed"

	reviewType = "https://interlock.dev/predicates/review-of-tests/v1"
)

// Keys of the signers that the policies trust, each by the name of its variable, and of one whom they do not.
var redTeam, auditor, over, gone, stranger = signing.Fixed(1), signing.Fixed(2), signing.Fixed(3), signing.Fixed(4), signing.Fixed(5)

// evidencePack gives the policies that ask for evidence. What shows ASL-3 is evidence and nothing else.
func evidencePack() []client.Object {
	signers := []string{"red-team", "auditor", "over", "gone"}
	trusting := func(name, safeguard string) client.Object {
		p := builder.ScalingPolicy(name).Level(builder.Level(builder.ASL2).Deployment(imagePinned)).Level(builder.Level(builder.ASL3).Deployment(safeguard)).
			Trust("red-team", redTeam.PEM).Trust("auditor", auditor.PEM).Trust("over", over.PEM).Trust("gone", gone.PEM).Build()
		p.Spec.Trust.Signers[2].NotAfter = &metav1.Time{Time: time.Now().AddDate(0, 0, -1)}
		p.Spec.Trust.Signers[3].Revoked = &v1alpha1.Revocation{Reason: v1alpha1.RevocationCompromised}
		return p
	}
	return []client.Object{
		builder.Safeguard("reviewed").Evidence(reviewType, signers...).
			EvidenceRule(func(e *v1alpha1.EvidenceRule) { e.MaxAgeDays = new(int32(30)) }).Build(),
		builder.Safeguard("countersigned").Evidence(reviewType, signers...).
			EvidenceRule(func(e *v1alpha1.EvidenceRule) { e.Threshold = 2 }).Build(),
		builder.Safeguard("placed").Evidence(reviewType, signers...).
			EvidenceRule(func(e *v1alpha1.EvidenceRule) { e.Binding = v1alpha1.BindEnvironment }).Build(),
		trusting(attestedName, "reviewed"), trusting(countersignedName, "countersigned"), trusting(placedName, "placed"),
	}
}

func reviewed(ago time.Duration, subjects ...string) signing.Statement {
	if len(subjects) == 0 {
		subjects = []string{builder.Digest}
	}
	return signing.Review(reviewType, time.Now().Add(-ago), subjects...)
}

// bring makes Attestations in the tenant's namespace and waits until Interlock has looked at each.
func (t *tenant) bring(ctx context.Context, contents map[string]string) {
	GinkgoHelper()
	for name, content := range contents {
		t.bringTo(ctx, t.namespace, name, content)
	}
}

func (t *tenant) bringTo(ctx context.Context, namespace, name, content string) {
	GinkgoHelper()
	a := builder.Attestation(namespace, name, content)
	Expect(admin.Create(ctx, a)).To(Succeed())
	Eventually(ctx, func(g Gomega) {
		g.Expect(admin.Get(ctx, client.ObjectKeyFromObject(a), a)).To(Succeed())
		g.Expect(a.Status.Conditions).NotTo(BeEmpty(), name)
	}).Should(Succeed())
}

// staysHeld fails if a model that lacks nothing but evidence is cleared by what there is, and if it is not by a genuine
// statement.
func (t *tenant) staysHeld(ctx context.Context, genuine string) {
	GinkgoHelper()
	again := client.RawPatch(types.MergePatchType, []byte(`{"metadata":{"annotations":{"example.com/look":"again"}}}`))
	Expect(admin.Patch(ctx, builder.ModelDeployment(t.namespace, llama).Build(), again)).To(Succeed())
	Consistently(ctx, func(g Gomega) {
		md := &v1alpha1.ModelDeployment{}
		g.Expect(admin.Get(ctx, t.key(llama), md)).To(Succeed())
		g.Expect(md.Status.Verdict).To(Equal(v1alpha1.OutcomeHeld), "%+v", md.Status.Safeguards)
	}).WithTimeout(time.Second).Should(Succeed())
	t.bring(ctx, map[string]string{"genuine": genuine})
	t.waitVerdict(ctx, llama, v1alpha1.OutcomeCleared)
}

func evidenceTricks() {
	It("20: a genuine statement of another predicate type does not count", func(ctx SpecContext) {
		t := newTenant(ctx, attestedName)
		other := reviewed(time.Hour)
		other.Type = "https://interlock.dev/predicates/another-review/v1"
		longer, bare := reviewed(time.Hour), reviewed(time.Hour)
		longer.Type, bare.Type = reviewType+"/", strings.TrimSuffix(reviewType, "/v1")
		t.bring(ctx, map[string]string{"other": other.Sign(redTeam), "longer": longer.Sign(redTeam), "bare": bare.Sign(redTeam)})
		t.staysHeld(ctx, reviewed(time.Hour).Sign(redTeam))
	})

	It("21: a genuine statement about another model, or about where it is served, does not count", func(ctx SpecContext) {
		t := newTenant(ctx, attestedName)
		t.bring(ctx, map[string]string{
			"another-model": reviewed(time.Hour, "sha256:"+strings.Repeat("cd", 32)).Sign(redTeam),
			"another-place": reviewed(time.Hour, evidence.EnvironmentSubject("cluster", t.namespace)).Sign(redTeam),
		})
		t.staysHeld(ctx, reviewed(time.Hour).Sign(redTeam))
	})

	It("21: evidence about a namespace is not inherited by one that is made anew under its name", func(ctx SpecContext) {
		t := newTenant(ctx, placedName)
		cluster := &corev1.Namespace{}
		Expect(admin.Get(ctx, client.ObjectKey{Name: metav1.NamespaceSystem}, cluster)).To(Succeed())
		names := func(within ...string) string {
			return reviewed(time.Hour, evidence.EnvironmentSubject(string(cluster.UID), within...)).Sign(redTeam)
		}
		t.bring(ctx, map[string]string{"by-its-name": names(t.namespace), "of-the-former": names(t.namespace, "5e3cdcd1-3d35-4d20-a8b5-7d6a8a0a8a77")})
		Eventually(ctx, func(g Gomega) {
			md := &v1alpha1.ModelDeployment{}
			g.Expect(admin.Get(ctx, t.key(llama), md)).To(Succeed())
			g.Expect(md.Status.Safeguards).To(ContainElement(HaveField("Message", ContainSubstring("by-its-name names this namespace without its UID"))))
		}).Should(Succeed())
		t.staysHeld(ctx, names(t.namespace, string(t.object(ctx).GetUID())))
	})

	It("22: a key that signs twice, under whatever ids and in whatever envelopes, is one signer", func(ctx SpecContext) {
		t := newTenant(ctx, countersignedName)
		s := reviewed(time.Hour)
		ids := signing.Envelope(signing.PayloadType, s.JSON(), redTeam, redTeam)
		ids.Signatures[0].KeyID, ids.Signatures[1].KeyID = "red-team", "auditor"
		t.bring(ctx, map[string]string{
			"twice": s.Sign(redTeam, redTeam), "by-ids": signing.Text(ids), "apart": s.Sign(redTeam), "with-a-stranger": s.Sign(redTeam, stranger)})
		t.staysHeld(ctx, s.Sign(redTeam, auditor))
	})

	It("23: a rule that asks for nobody is refused, and a signature is by the key that made it, whatever ids stand beside it", func(ctx SpecContext) {
		for wrong, rule := range map[string]string{
			`"threshold":0,"signers":["red-team"]`:            "should be greater than or equal to 1",
			`"threshold":-1,"signers":["red-team"]`:           "should be greater than or equal to 1",
			`"threshold":1,"signers":[]`:                      "should have at least 1 items",
			`"threshold":2,"signers":["red-team"]`:            "must not be greater than the number of signers",
			`"threshold":2,"signers":["red-team","red-team"]`: "Duplicate value",
		} {
			_, err := cluster.As(cluster.Kubeconfig()).RunWithInput(ctx, `{"apiVersion":"interlock.dev/v1alpha1","kind":"Safeguard","metadata":{"name":"nobody"},
				"spec":{"title":"x","remedy":"x","sources":[{"document":"x"}],"evidence":{"predicateType":"urn:x","issuer":"x",`+wrong+`}}}`, "create", "--dry-run=server", "-f", "-")
			Expect(err).To(MatchError(ContainSubstring(rule)), wrong)
		}
		trusting := func(signers ...v1alpha1.Signer) client.Object {
			p := builder.ScalingPolicy("nobody").Level(builder.Level(builder.ASL2)).Build()
			p.Spec.Trust = &v1alpha1.Trust{Signers: signers}
			return p
		}
		red := v1alpha1.Signer{Name: "red-team", Key: redTeam.PEM}
		Expect(admin.Create(ctx, trusting(), client.DryRunAll)).To(MatchError(ContainSubstring("spec.trust.signers")))
		Expect(admin.Create(ctx, trusting(red, red), client.DryRunAll)).To(MatchError(ContainSubstring("Duplicate value")))
		Expect(admin.Create(ctx, trusting(v1alpha1.Signer{Name: "red-team"}), client.DryRunAll)).To(MatchError(ContainSubstring("exactly one of key and keyless")))

		t := newTenant(ctx, attestedName)
		s := reviewed(time.Hour)
		theirs, err := evidence.Verify([]byte(s.Sign(redTeam)), trustOf(red))
		Expect(err).NotTo(HaveOccurred())
		posing := func(id string, keys ...signing.Key) string {
			e := signing.Envelope(signing.PayloadType, s.JSON(), keys...)
			for i := range e.Signatures {
				e.Signatures[i].KeyID = id
			}
			return signing.Text(e)
		}
		known := signing.Envelope(signing.PayloadType, s.JSON(), redTeam).Signatures[0].KeyID
		t.bring(ctx, map[string]string{
			"by-our-id": posing(theirs.Signatures[0].Key, stranger), "by-its-id": posing(known, stranger), "by-name": posing("red-team", stranger),
			"one-id-for-two": posing(known, stranger, over), "no-id": posing("", stranger),
		})
		t.staysHeld(ctx, posing("nobody knows this id", redTeam))
	})

	It("24: what is signed and cannot be understood does not count", func(ctx SpecContext) {
		t := newTenant(ctx, attestedName)
		s := reviewed(time.Hour)
		text := string(s.JSON())
		contents := map[string]string{
			"no-result": s.With(map[string]any{"result": nil}).Sign(redTeam), "another-result": s.With(map[string]any{"result": "passed"}).Sign(redTeam),
			"no-kind": s.With(map[string]any{"kind": nil}).Sign(redTeam), "by-nobody": s.With(map[string]any{"reviewers": []string{}}).Sign(redTeam),
		}
		for name, payload := range map[string]string{
			"empty": "", "cut": text[:len(text)-1], "an-array": "[" + text + "]", "no-predicate": strings.Replace(text, `"predicate":`, `"predikate":`, 1),
			"predicate-of-text": `{"_type":"https://in-toto.io/Statement/v1","predicateType":"` + reviewType + `","predicate":"Passed","subject":[]}`,
			"another-statement": strings.Replace(text, "Statement/v1", "Statement/v9", 1), "half-a-digest": strings.Replace(text, builder.Digest[7:], builder.Digest[7:39], 1),
		} {
			contents[name] = signing.Text(signing.Envelope(signing.PayloadType, []byte(payload), redTeam))
		}
		t.bring(ctx, contents)
		t.staysHeld(ctx, s.Sign(redTeam))
	})

	It("25: what two readers could read differently does not count, though it is signed", func(ctx SpecContext) {
		t := newTenant(ctx, attestedName)
		text := string(reviewed(time.Hour).JSON())
		signed := func(payloadType, payload string) string {
			return signing.Text(signing.Envelope(payloadType, []byte(payload), redTeam))
		}
		t.bring(ctx, map[string]string{
			"a-key-twice":          signed(signing.PayloadType, strings.Replace(text, `"result":"Passed"`, `"result":"Failed","result":"Passed"`, 1)),
			"another-payload-type": signed("application/vnd.example+json", text),
			"not-json":             signed(signing.PayloadType, "passed"),
			"more":                 signed(signing.PayloadType, text+text),
		})
		t.staysHeld(ctx, reviewed(time.Hour).Sign(redTeam))
	})

	It("26: what is signed before or after its time, or by a key that is over or revoked, does not count", func(ctx SpecContext) {
		t := newTenant(ctx, attestedName)
		t.bring(ctx, map[string]string{
			"tomorrow": reviewed(-24 * time.Hour).Sign(redTeam), "too-old": reviewed(31 * 24 * time.Hour).Sign(redTeam),
			"by-one-over": reviewed(time.Hour).Sign(over), "by-one-gone": reviewed(10 * 24 * time.Hour).Sign(gone), "by-a-stranger": reviewed(time.Hour).Sign(stranger),
		})
		t.staysHeld(ctx, reviewed(time.Hour).Sign(redTeam))
	})

	It("27: a newer result that failed is not outvoted by older ones that passed", func(ctx SpecContext) {
		t := newTenant(ctx, attestedName)
		t.bring(ctx, map[string]string{
			"failed": reviewed(2 * time.Hour).With(map[string]any{"result": "Failed"}).Sign(auditor),
			"older":  reviewed(3*time.Hour).Sign(redTeam, auditor), "oldest": reviewed(4 * time.Hour).Sign(redTeam),
		})
		t.staysHeld(ctx, reviewed(time.Hour).Sign(redTeam))
	})

	It("32: evidence in another namespace does not count without that namespace's being for all", func(ctx SpecContext) {
		t, neighbour := newTenant(ctx, attestedName), newTenant(ctx, policyName)
		t.bringTo(ctx, neighbour.namespace, "review", reviewed(time.Hour).Sign(redTeam))
		t.staysHeld(ctx, reviewed(time.Hour).Sign(redTeam))
	})
}

func trustOf(signers ...v1alpha1.Signer) *evidence.Trust {
	GinkgoHelper()
	trust, err := evidence.ParseTrust(&v1alpha1.Trust{Signers: signers})
	Expect(err).NotTo(HaveOccurred())
	return trust
}
