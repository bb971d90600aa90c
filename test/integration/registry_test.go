package integration

import (
	"context"
	"fmt"
	"io"
	"log"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync/atomic"
	"time"

	"github.com/google/go-containerregistry/pkg/name"
	"github.com/google/go-containerregistry/pkg/registry"
	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/mutate"
	"github.com/google/go-containerregistry/pkg/v1/remote"
	"github.com/google/go-containerregistry/pkg/v1/types"
	. "github.com/onsi/ginkgo/v2"
	. "github.com/onsi/gomega"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/interlock-dev/interlock/api/v1alpha1"
	"github.com/interlock-dev/interlock/internal/testing/builder"
	"github.com/interlock-dev/interlock/internal/testing/signing"
)

// evidenceRefresh is how often the manager of the tests looks up what refers to something.
const evidenceRefresh = time.Second

// evidenceRegistry is one that the manager may ask, and that can be out of order.
type evidenceRegistry struct {
	server *httptest.Server
	broken atomic.Bool
	// asked counts the requests for layers.
	asked atomic.Int32
	// looked counts the requests for what refers to something.
	looked atomic.Int32
}

func newEvidenceRegistry() *evidenceRegistry {
	r := &evidenceRegistry{}
	genuine := registry.New(registry.Logger(log.New(io.Discard, "", 0)), registry.WithReferrersSupport(true))
	r.server = httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, req *http.Request) {
		if r.broken.Load() {
			http.Error(w, "out of order", http.StatusServiceUnavailable)
			return
		}
		if req.Method == http.MethodGet && strings.Contains(req.URL.Path, "/blobs/") {
			r.asked.Add(1)
		}
		if strings.Contains(req.URL.Path, "/referrers/") {
			r.looked.Add(1)
		}
		genuine.ServeHTTP(w, req)
	}))
	DeferCleanup(r.server.Close)
	return r
}

func (r *evidenceRegistry) host() string { return strings.TrimPrefix(r.server.URL, "http://") }

// push gives the reference of a manifest with one layer.
func (r *evidenceRegistry) push(content string) string {
	GinkgoHelper()
	return r.put(imageOf(content))
}

// refer is push of what refers to a subject.
func (r *evidenceRegistry) refer(subject, artifactType, content string) string {
	GinkgoHelper()
	digest, err := v1.NewHash(subject)
	Expect(err).NotTo(HaveOccurred())
	image := mutate.ConfigMediaType(imageOf(content), types.MediaType(artifactType))
	referring, ok := mutate.Subject(image, v1.Descriptor{MediaType: types.OCIManifestSchema1, Digest: digest}).(v1.Image)
	Expect(ok).To(BeTrue())
	return r.put(referring)
}

func imageOf(content string) v1.Image {
	GinkgoHelper()
	image, err := builder.EvidenceImage(content)
	Expect(err).NotTo(HaveOccurred())
	return image
}

func (r *evidenceRegistry) put(image v1.Image) string {
	GinkgoHelper()
	digest, err := image.Digest()
	Expect(err).NotTo(HaveOccurred())
	reference, err := name.NewDigest(r.host() + "/evidence@" + digest.String())
	Expect(err).NotTo(HaveOccurred())
	Expect(remote.Write(reference, image)).To(Succeed())
	return reference.String()
}

var _ = Describe("Evidence in a registry", func() {
	It("is fetched once by its digest, and a restart while the registry is down revokes nothing", func(ctx SpecContext) {
		a := newAttestedWorld(ctx, nil)
		reference := evidenceStore.push(a.review(time.Hour).Sign(a.redTeam))
		create(ctx, a.modelDeployment("llm", builder.ASL2), a.deployment("server", 1, a.pinnedPod("llm")),
			builder.AttestationIn(a.ns, "review", reference))
		a.awaitCleared(ctx, "llm", 1)
		Eventually(attestationReady(a.ns, "review")).WithContext(ctx).Should(condition(metav1.ConditionTrue, v1alpha1.ReasonVerified, "red-team"))
		asked := evidenceStore.asked.Load()
		a.changeTrust(ctx, func(t *v1alpha1.Trust) { t.Signers = t.Signers[:1] })
		Consistently(a.verdict("llm")).WithContext(ctx).WithTimeout(time.Second).Should(Equal(v1alpha1.OutcomeCleared))
		Expect(evidenceStore.asked.Load()).To(Equal(asked), "what a digest names is fetched once")

		By("saying why what is named there does not count, which takes nothing away")
		fetching := a.watch(ctx)
		create(ctx, builder.AttestationIn(a.ns, "of-another-registry", "registry.example/evidence@"+builder.Digest),
			builder.AttestationIn(a.ns, "gone", evidenceStore.host()+"/evidence@"+builder.Digest))
		Eventually(attestationReady(a.ns, "of-another-registry")).WithContext(ctx).Should(
			condition(metav1.ConditionFalse, v1alpha1.ReasonNotFetched, "--evidence-registries"))
		Eventually(attestationReady(a.ns, "gone")).WithContext(ctx).Should(condition(metav1.ConditionFalse, v1alpha1.ReasonNotFetched, "fetch the manifest"))
		Expect(fetching.of(dropsClearance("llm"))).To(BeEmpty())

		By("restarting while the registry is out of order")
		Expect(manager.Stop(ctx)).To(Succeed())
		DeferCleanup(needManager)
		evidenceStore.broken.Store(true)
		DeferCleanup(func() { evidenceStore.broken.Store(false) })
		history := a.watch(ctx)
		startManager(ctx)
		create(ctx, a.modelDeployment("new", builder.ASL2))
		Eventually(a.found("new")).WithContext(ctx).Should(HavePrefix("Unknown"))
		Consistently(func(ctx context.Context) bool { return a.enforced(ctx, "llm").Cleared() }).WithContext(ctx).WithTimeout(2 * time.Second).Should(BeTrue())
		Expect(a.verdict("new")(ctx)).To(Equal(v1alpha1.OutcomeHeld))

		By("mending the registry")
		evidenceStore.broken.Store(false)
		Eventually(a.verdict("new")).WithContext(ctx).Should(Equal(v1alpha1.OutcomeCleared))
		Expect(history.of(dropsClearance("llm"))).To(BeEmpty())
		Expect(a.podsOf("llm")(ctx)).To(HaveEach(beRunning()))
	})

	It("is found by what it refers to, looked up again, and does not count for long when it cannot be", func(ctx SpecContext) {
		const bundles = "application/vnd.dev.sigstore.bundle.v0.3+json"
		a := newAttestedWorld(ctx, nil)
		image := "sha256:" + strings.Repeat("0", 32) + fmt.Sprintf("%032x", time.Now().UnixNano())
		create(ctx, a.modelDeployment("llm", builder.ASL2), builder.AttestationAbout(a.ns, "of-the-image", evidenceStore.host()+"/evidence@"+image, bundles))
		found := attestationReady(a.ns, "of-the-image")
		Eventually(found).WithContext(ctx).Should(condition(metav1.ConditionFalse, v1alpha1.ReasonNoneFound, "nothing of this type"))
		Expect(a.verdict("llm")(ctx)).To(Equal(v1alpha1.OutcomeHeld))

		By("finding what comes later, and taking nobody's word but the signer's")
		other := "sha256:" + strings.Repeat("cd", 32)
		evidenceStore.refer(image, bundles, a.review(3*time.Hour).Sign(signing.Ed25519()))
		evidenceStore.refer(image, bundles, a.review(3*time.Hour, other).Sign(a.redTeam))
		evidenceStore.refer(image, "application/vnd.example", a.review(3*time.Hour).Sign(a.redTeam))
		Eventually(found).WithContext(ctx).Should(condition(metav1.ConditionTrue, v1alpha1.ReasonVerified, "/red-team"))
		Expect(a.verdict("llm")(ctx)).To(Equal(v1alpha1.OutcomeHeld))
		evidenceStore.refer(image, bundles, a.review(3*time.Hour).Sign(a.redTeam))
		Eventually(a.verdict("llm")).WithContext(ctx).Should(Equal(v1alpha1.OutcomeCleared))

		By("holding it by a newer one that failed, which the registry cannot take back")
		failed := evidenceStore.refer(image, bundles, failedReview(a.review(2*time.Hour)).Sign(a.redTeam))
		Eventually(a.found("llm")).WithContext(ctx).Should(ContainSubstring("result is Failed"))
		reference, err := name.NewDigest(failed)
		Expect(err).NotTo(HaveOccurred())
		Expect(remote.Delete(reference)).To(Succeed())
		asked := evidenceStore.asked.Load()
		Consistently(a.verdict("llm")).WithContext(ctx).WithTimeout(2 * evidenceRefresh).Should(Equal(v1alpha1.OutcomeHeld))
		Expect(evidenceStore.asked.Load()).To(Equal(asked), "what a digest names is fetched once")

		By("ending with the lease of what was found, and not before")
		evidenceStore.refer(image, bundles, a.review(time.Hour).Sign(a.redTeam))
		Eventually(a.verdict("llm")).WithContext(ctx).Should(Equal(v1alpha1.OutcomeCleared))
		Eventually(evidenceStore.looked.Load).Should(BeNumerically(">", evidenceStore.looked.Load()), "by which the lease begins anew")
		evidenceStore.broken.Store(true)
		DeferCleanup(func() { evidenceStore.broken.Store(false) })
		begin := time.Now()
		Eventually(a.verdict("llm")).WithContext(ctx).Should(Equal(v1alpha1.OutcomeHeld))
		Expect(time.Since(begin)).To(BeNumerically(">", evidenceRefresh), "one that cannot be looked up for once is no reason")
		Expect(a.found("llm")(ctx)).To(ContainSubstring("result is Failed"), "what failed has no lease")
		evidenceStore.broken.Store(false)
		Eventually(a.verdict("llm")).WithContext(ctx).Should(Equal(v1alpha1.OutcomeCleared))
	})
})
