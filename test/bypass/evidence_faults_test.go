package bypass

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"log"
	"net/http"
	"net/http/httptest"
	"os"
	"strings"
	"sync/atomic"
	"time"

	"github.com/google/go-containerregistry/pkg/name"
	"github.com/google/go-containerregistry/pkg/registry"
	"github.com/google/go-containerregistry/pkg/v1/remote"
	"github.com/google/go-containerregistry/pkg/v1/types"
	. "github.com/onsi/ginkgo/v2"
	. "github.com/onsi/gomega"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/interlock-dev/interlock/api/v1alpha1"
	"github.com/interlock-dev/interlock/internal/testing/builder"
)

func evidenceFaults() {
	It("40: a registry that is slow, sends elsewhere or never ends clears nothing, keeps nobody else waiting, and costs little", func(ctx SpecContext) {
		slow, loud, greedy, neighbour := newTenant(ctx, attestedName), newTenant(ctx, attestedName), newTenant(ctx, attestedName), newTenant(ctx, attestedName)
		DeferCleanup(func(ctx SpecContext) {
			for _, t := range []*tenant{slow, loud, greedy, neighbour} {
				Expect(admin.DeleteAllOf(ctx, &v1alpha1.Attestation{}, client.InNamespace(t.namespace))).To(Succeed())
			}
		})
		genuine := reviewed(time.Hour).Sign(redTeam)
		for i := range 40 {
			Expect(admin.Create(ctx, builder.AttestationIn(slow.namespace, fmt.Sprintf("slow-%d", i), hostile.push("slow", fmt.Sprint(i))))).To(Succeed())
		}
		Eventually(ctx, hostile.waiting.Load).Should(BeNumerically(">", 0))

		By("fetching what is genuine meanwhile")
		Expect(admin.Create(ctx, builder.AttestationIn(neighbour.namespace, "genuine", hostile.push("evidence", genuine)))).To(Succeed())
		neighbour.waitVerdict(ctx, llama, v1alpha1.OutcomeCleared)

		By("reading no more than evidence can have, and asking nobody else")
		for repository, why := range map[string]string{
			"sends": "not followed but for layers", "sends-layer": "--evidence-blob-hosts", "sends-downhill": "--evidence-blob-hosts",
			"endless-layer": "more than the", "lies": "fetch the layer",
		} {
			Expect(admin.Create(ctx, builder.AttestationIn(loud.namespace, repository, hostile.push(repository, genuine)))).To(Succeed())
			Eventually(ctx, loud.attestation).WithArguments(ctx, repository).Should(And(HaveField("Reason", v1alpha1.ReasonNotFetched), HaveField("Message", ContainSubstring(why))))
		}
		Expect(hostile.elsewhere.Load()).To(BeZero())

		By("letting one that never ends have its share of what is read, and no more")
		Expect(admin.Create(ctx, builder.AttestationIn(greedy.namespace, "endless", hostile.push("endless", genuine)))).To(Succeed())
		Eventually(ctx, greedy.attestation).WithArguments(ctx, "endless").Should(And(HaveField("Reason", v1alpha1.ReasonNotFetched), HaveField("Message", ContainSubstring("have had their share fetched"))))
		Expect(admin.Create(ctx, builder.AttestationIn(greedy.namespace, "late", hostile.push("evidence", genuine)))).To(Succeed())
		Eventually(ctx, greedy.attestation).WithArguments(ctx, "late").Should(HaveField("Message", ContainSubstring("have had their share fetched")))
		other := newTenant(ctx, attestedName)
		Expect(admin.Create(ctx, builder.AttestationIn(other.namespace, "genuine", hostile.push("evidence", genuine)))).To(Succeed())
		other.waitVerdict(ctx, llama, v1alpha1.OutcomeCleared)
		Expect(hostile.largest.Load()).To(BeNumerically("<", 32<<20), "what lies in the buffers of sockets included")
		Expect(metric(ctx, "process_resident_memory_bytes")).To(BeNumerically("<", 300<<20))
		for _, t := range []*tenant{slow, loud, greedy} {
			t.waitVerdict(ctx, llama, v1alpha1.OutcomeHeld)
			Expect(t.evidenceState(ctx)).To(Equal(v1alpha1.SafeguardUnknown))
		}
	})

	It("42: what makes a verifier panic leaves that safeguard unknown, and the others as they are", func(ctx SpecContext) {
		withoutManager()
		sound := binary + ".sound"
		Expect(os.Rename(binary, sound)).To(Succeed())
		DeferCleanup(func() {
			Expect(manager.Kill()).To(Succeed())
			Expect(os.Rename(sound, binary)).To(Succeed())
		})
		Expect(buildManager(ctx, binary, breakdowns...)).To(Succeed())
		startManager(ctx)

		saying := func(summary string) string {
			return reviewed(time.Hour).With(map[string]any{"summary": summary}).Sign(redTeam)
		}
		for summary, said := range map[string]string{"break the verifier": "the verifier itself failed", "break the judge": "the check itself failed"} {
			t := newTenant(ctx, attestedName)
			t.bring(ctx, map[string]string{"breaks": saying(summary), "genuine": reviewed(time.Hour).Sign(redTeam)})
			Eventually(ctx, func(g Gomega) {
				md := &v1alpha1.ModelDeployment{}
				g.Expect(admin.Get(ctx, t.key(llama), md)).To(Succeed())
				g.Expect(md.Status.Verdict).To(Equal(v1alpha1.OutcomeHeld))
				g.Expect(md.Status.Safeguards).To(ContainElement(And(
					HaveField("Name", "reviewed"), HaveField("State", v1alpha1.SafeguardUnknown), HaveField("Message", ContainSubstring(said)))), summary)
			}).Should(Succeed())
			t.waitVerdict(ctx, small, v1alpha1.OutcomeCleared)
		}
		t := newTenant(ctx, policyName)
		t.running(ctx, t.pod("breaks").Model(small).Annotation("break", "the inspector"))
		Eventually(ctx, func(g Gomega) {
			md := &v1alpha1.ModelDeployment{}
			g.Expect(admin.Get(ctx, t.key(small), md)).To(Succeed())
			g.Expect(md.Status.Safeguards).To(ContainElement(And(HaveField("Name", imagePinned), HaveField("Message", ContainSubstring("the check itself failed")))))
		}).Should(Succeed())

		other := newTenant(ctx, attestedName)
		other.bring(ctx, map[string]string{"genuine": reviewed(time.Hour).Sign(redTeam)})
		other.waitVerdict(ctx, llama, v1alpha1.OutcomeCleared)
		Expect(manager.Running()).To(BeTrue(), "the same process, which was not started again")
	}, SpecTimeout(3*time.Minute))
}

// attestation gives the Ready condition of an Attestation.
func (t *tenant) attestation(ctx context.Context, name string) (metav1.Condition, error) {
	a := &v1alpha1.Attestation{}
	if err := admin.Get(ctx, t.key(name), a); err != nil || len(a.Status.Conditions) == 0 {
		return metav1.Condition{}, err
	}
	return a.Status.Conditions[0], nil
}

// evidenceState gives what is found of the safeguard that asks for evidence.
func (t *tenant) evidenceState(ctx context.Context) v1alpha1.SafeguardState {
	GinkgoHelper()
	md := &v1alpha1.ModelDeployment{}
	Expect(admin.Get(ctx, t.key(llama), md)).To(Succeed())
	for _, s := range md.Status.Safeguards {
		if s.Name == "reviewed" {
			return s.State
		}
	}
	return ""
}

// hostileRegistry serves what is in it, and is up to something in some of its repositories.
type hostileRegistry struct {
	server *httptest.Server
	// back is the same registry without its tricks, to be filled.
	back *httptest.Server
	// blobs is where the manager may be sent for layers.
	blobs *httptest.Server
	// elsewhere counts what came to another server that it sends to, waiting whoever waits for an answer, and largest is the
	// most that it got rid of in one answer.
	elsewhere, waiting, largest atomic.Int64
}

func newHostileRegistry() *hostileRegistry {
	h := &hostileRegistry{}
	another := httptest.NewServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) { h.elsewhere.Add(1) }))
	DeferCleanup(another.Close)
	genuine := registry.New(registry.Logger(log.New(io.Discard, "", 0)))
	h.blobs = httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if strings.HasPrefix(r.URL.Path, "/v2/sends-downhill/") {
			http.Redirect(w, r, another.URL+r.URL.Path, http.StatusFound)
			return
		}
		genuine.ServeHTTP(w, r)
	}))
	DeferCleanup(h.blobs.Close)
	h.back = httptest.NewServer(genuine)
	DeferCleanup(h.back.Close)
	h.server = httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		parts := strings.Split(r.URL.Path, "/") // "", v2, the repository, manifests or blobs, the digest
		if len(parts) < 5 {
			genuine.ServeHTTP(w, r)
			return
		}
		switch parts[2] + "/" + parts[3] {
		case "slow/manifests":
			h.waiting.Add(1)
			<-r.Context().Done()
		case "sends/manifests", "sends-layer/blobs":
			http.Redirect(w, r, another.URL+r.URL.Path, http.StatusTemporaryRedirect)
		case "elsewhere/blobs", "sends-downhill/blobs":
			http.Redirect(w, r, h.blobs.URL+r.URL.Path, http.StatusTemporaryRedirect)
		case "endless/manifests", "endless-layer/blobs":
			w.Header().Set("Content-Type", string(types.OCIManifestSchema1))
			h.pour(w)
		case "lies/blobs":
			fmt.Fprint(w, reviewed(time.Minute).Sign(redTeam))
		default:
			genuine.ServeHTTP(w, r)
		}
	}))
	DeferCleanup(func() {
		h.server.CloseClientConnections()
		h.server.Close()
	})
	return h
}

// pour writes 10 GB, or as much as is taken.
func (h *hostileRegistry) pour(w http.ResponseWriter) {
	chunk := bytes.Repeat([]byte("x"), 1<<16)
	var sent int64
	for sent < 10<<30 {
		n, err := w.Write(chunk)
		sent += int64(n)
		if err != nil {
			break
		}
	}
	for largest := h.largest.Load(); sent > largest && !h.largest.CompareAndSwap(largest, sent); largest = h.largest.Load() {
	}
}

func (h *hostileRegistry) host() string { return strings.TrimPrefix(h.server.URL, "http://") }

// push puts a manifest with layers into a repository, and gives its reference.
func (h *hostileRegistry) push(repository string, layers ...string) string {
	GinkgoHelper()
	image, err := builder.EvidenceImage(layers...)
	Expect(err).NotTo(HaveOccurred())
	digest, err := image.Digest()
	Expect(err).NotTo(HaveOccurred())
	reference, err := name.NewDigest(fmt.Sprintf("%s/%s@%s", strings.TrimPrefix(h.back.URL, "http://"), repository, digest))
	Expect(err).NotTo(HaveOccurred())
	Expect(remote.Write(reference, image)).To(Succeed())
	return fmt.Sprintf("%s/%s@%s", h.host(), repository, digest)
}
