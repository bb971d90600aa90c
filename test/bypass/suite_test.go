// Package bypass attacks Interlock on a real control plane, the way people with realistic rights would. Each spec begins
// with the number of the attack in README.md, which also says what was broken to see the spec fail.
package bypass

import (
	"context"
	"os"
	"path/filepath"
	"slices"
	"testing"
	"time"

	. "github.com/onsi/ginkgo/v2"
	. "github.com/onsi/gomega"
	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/types"
	utilruntime "k8s.io/apimachinery/pkg/util/runtime"
	clientgoscheme "k8s.io/client-go/kubernetes/scheme"
	"k8s.io/client-go/rest"
	ctrl "sigs.k8s.io/controller-runtime"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/client/apiutil"

	"github.com/interlock-dev/interlock/api/v1alpha1"
	"github.com/interlock-dev/interlock/internal/admission"
	"github.com/interlock-dev/interlock/internal/testing/builder"
	"github.com/interlock-dev/interlock/internal/testing/controlplane"
	"github.com/interlock-dev/interlock/internal/testing/stack"
)

var (
	cluster *stack.Stack
	manager *stack.Manager
	scheme  = runtime.NewScheme()
	mapper  meta.RESTMapper
	// admin may do everything.
	admin client.Client
	// binary is the path of the manager.
	binary string
	// hostile is the one registry that the manager may ask.
	hostile *hostileRegistry
)

// The one container, and ordered, since the last spec leaves wreckage behind.
var _ = Describe("Bypass", Ordered, ContinueOnFailure, func() {
	Describe("object tricks", objectTricks)
	Describe("workloads and mutators", workloadTricks)
	Describe("namespaces", namespaceTricks)
	Describe("gates and binding", gateTricks)
	Describe("authority", authorityTricks)
	Describe("approvals and waivers", approvalTricks)
	Describe("identities", identityTricks)
	Describe("evidence", evidenceTricks)
	Describe("signed weights", signedTricks)
	Describe("connections", connectTricks)
	Describe("fallback", fallbackTricks)
	Describe("weights", weightTricks)
	Describe("labels", labelTricks)
	Describe("the letter of a rule", letterTricks)
	Describe("surroundings", surroundingTricks)
	Describe("shortfalls", shortfallTricks)
	Describe("tenants", tenantLoad)
	Describe("faults", faults)
	Describe("pauses", Ordered, pauses)
	Describe("evidence that breaks things", evidenceFaults)
	Describe("stale clearances", staleness)
	Describe("enforcement removed", removal)
})

func TestBypass(t *testing.T) {
	if os.Getenv(controlplane.AssetsVariable) == "" {
		t.Skipf("starts a control plane: run it with `make test`, which sets %s", controlplane.AssetsVariable)
	}
	RegisterFailHandler(Fail)
	EnforceDefaultTimeoutsWhenUsingContexts()
	SetDefaultEventuallyTimeout(15 * time.Second)
	if os.Getenv(mutantVariable) != "" {
		SetDefaultEventuallyTimeout(5 * time.Second)
	}
	SetDefaultEventuallyPollingInterval(50 * time.Millisecond)
	RunSpecs(t, "Bypass")
}

var _ = BeforeSuite(func(ctx SpecContext) {
	ctrl.SetLogger(GinkgoLogr)
	utilruntime.Must(clientgoscheme.AddToScheme(scheme))
	utilruntime.Must(v1alpha1.AddToScheme(scheme))
	binary = filepath.Join(GinkgoT().TempDir(), "manager")
	built := make(chan error, 1)
	go func() { built <- buildManager(ctx, binary) }()

	var err error
	cluster, err = stack.Start(ctx, stack.Options{Nodes: controlplane.Nodes(2, 1), Manager: binary, Untyped: true})
	Expect(err).NotTo(HaveOccurred())
	DeferCleanup(cluster.Stop)
	web, err := rest.HTTPClientFor(cluster.RESTConfig())
	Expect(err).NotTo(HaveOccurred())
	mapper, err = apiutil.NewDynamicRESTMapper(cluster.RESTConfig(), web)
	Expect(err).NotTo(HaveOccurred())
	admin = clientOf(cluster.RESTConfig())
	applyChangedKinds(ctx)
	hostile = newHostileRegistry()

	for _, o := range slices.Concat(pack(), evidencePack(), signedPack(), closedPack(), weightsPack(), surroundingsPack(), shortfallPack(), letterPack()) {
		Expect(admin.Create(ctx, o)).To(Succeed())
	}
	makePeople(ctx)
	Expect(<-built).NotTo(HaveOccurred())
	startManager(ctx)
	waitEnforced(ctx)
}, NodeTimeout(5*time.Minute))

var _ = JustAfterEach(func() {
	if CurrentSpecReport().Failed() {
		AddReportEntry("manager", manager.Report().Error())
	}
})

// The policies of the suite. What all ask for at ASL-2 is in the hands of who writes the pod; what they ask for at ASL-3
// beyond that is a NetworkPolicy, which is how specs clear and revoke a model.
const (
	// policyName has a long lease, and leaves running pods alone.
	policyName = "bypass"
	// evictingName evicts at once.
	evictingName = "bypass-evicting"
	// shortName has the shortest lease there is.
	shortName = "bypass-short"
	// laxName asks for nothing but ASL-2.
	laxName = "bypass-lax"
	// isolatingName isolates at once, and evicts after an hour.
	isolatingName = "bypass-isolating"
	// adjustingName gives pods a guard at ASL-2, and at ASL-3 two things that exclude each other.
	adjustingName = "bypass-adjusting"
	// waivingName lets the officer and the chief together waive what it asks for at ASL-3, for an hour.
	waivingName = "bypass-waiving"
	// exemptingName lets them waive all that it asks for.
	exemptingName = "bypass-exempting"

	imagePinned   = "image-pinned"
	egressLimited = "egress-limited"
	guarded       = "guarded"
)

func pack() []client.Object {
	asl2 := builder.Level(builder.ASL2).Deployment(imagePinned)
	evicting := builder.Level(builder.ASL2).Deployment(imagePinned).EvictAfter(0)
	asl3 := func() *builder.LevelBuilder { return builder.Level(builder.ASL3).Security(egressLimited) }
	isolating := asl3().Build()
	isolating.OnShortfall = []v1alpha1.ShortfallStep{{Action: v1alpha1.ShortfallIsolate},
		{Action: v1alpha1.ShortfallEvict, After: &metav1.Duration{Duration: time.Hour}}}
	isolatingPolicy := builder.ScalingPolicy(isolatingName).Level(asl2).Build()
	isolatingPolicy.Spec.Levels = append(isolatingPolicy.Spec.Levels, isolating)
	pool := func(name string) client.Object {
		return builder.Safeguard("in-"+name).PodRule("true", "never").AdjustPod(v1alpha1.PodAdjustment{NodeSelector: map[string]string{"pool": name}}).Build()
	}
	waiving := builder.ScalingPolicy(waivingName).Level(asl2).Level(asl3()).Build()
	for i := range waiving.Spec.Levels {
		waiving.Spec.Levels[i].LongestWaiver = &metav1.Duration{Duration: time.Hour}
	}
	for _, role := range []string{"ceo", "rso"} {
		waiving.Spec.SignOffs = append(waiving.Spec.SignOffs, v1alpha1.SignOff{
			Role: role, Purpose: "approves waivers", ApproverRole: role, Approves: []v1alpha1.ApprovalRule{{Kind: v1alpha1.SubjectWaiver}}})
	}
	exempting := waiving.DeepCopy()
	exempting.Name = exemptingName
	waiving.Spec.Levels[0].Deployment.Safeguards[0].Unwaivable = new(true)
	return []client.Object{
		waiving, exempting, isolatingPolicy, pool("a"), pool("b"),
		builder.Safeguard(guarded).PodRule("object.spec.?initContainers.orValue([]).exists(c, c.name == 'guard')", "no guard").
			AdjustPod(v1alpha1.PodAdjustment{Sidecars: []v1alpha1.Sidecar{{Name: "guard", Image: builder.PinnedImage}}}).Build(),
		builder.ScalingPolicy(adjustingName).Level(builder.Level(builder.ASL2).Deployment(guarded)).
			Level(builder.Level(builder.ASL3).Deployment("in-a", "in-b")).Build(),
		builder.Safeguard(imagePinned).PodRule(builder.ImagesPinned, "an image is not pinned by digest").Build(),
		builder.Safeguard(egressLimited).Egress().Build(),
		builder.ScalingPolicy(policyName).Level(asl2).Level(asl3()).Build(),
		builder.ScalingPolicy(evictingName).Level(evicting).Level(asl3().EvictAfter(0)).Build(),
		builder.ScalingPolicy(shortName).Lease(10 * time.Second).Level(asl2).Level(asl3()).Build(),
		builder.ScalingPolicy(laxName).Level(asl2).Level(builder.Level(builder.ASL3)).Build(),
	}
}

func clientOf(config *rest.Config) client.Client {
	GinkgoHelper()
	c, err := client.New(config, client.Options{Scheme: scheme, Mapper: mapper})
	Expect(err).NotTo(HaveOccurred())
	return c
}

// waitEnforced waits until the API server has loaded all that the manager wrote.
func waitEnforced(ctx context.Context) {
	GinkgoHelper()
	if os.Getenv(mutantVariable) != "" { // which may lack the very thing that would be waited for
		Eventually(ctx, func() int { return len(ours(ctx)) }).Should(BeNumerically(">=", 16))
		time.Sleep(time.Second)
		return
	}
	t := newTenant(ctx, policyName)
	Eventually(ctx, func(g Gomega) {
		pod := t.pod("probe").Model("nobody").Build()
		g.Expect(t.editor.Create(ctx, pod, client.DryRunAll)).To(Succeed())
		g.Expect(pod).To(beHeld())
		g.Expect(t.editor.Create(ctx, t.pod("probe").Build(), client.DryRunAll)).To(beRefusedBy(admission.AdmitPolicy, ""))
	}).Should(Succeed())

	pod := t.waiting(ctx, t.pod("probe").Model("nobody"))
	relabel := client.RawPatch(types.MergePatchType, []byte(`{"metadata":{"labels":{"interlock.dev/model":"a","interlock.dev/enforce":"b"}}}`))
	Eventually(ctx, func(g Gomega) {
		g.Expect(admin.Patch(ctx, pod.DeepCopy(), relabel, client.DryRunAll)).To(beRefusedBy(admission.GuardPolicy, ""))
		g.Expect(admin.SubResource("status").Patch(ctx, pod.DeepCopy(), relabel, client.DryRunAll)).To(beRefusedBy(admission.IdentityPolicy, ""))
		g.Expect(admin.Delete(ctx, t.clearances(ctx), client.DryRunAll)).To(beRefusedBy(admission.LedgerPolicy, ""))
		g.Expect(platform.Patch(ctx, t.object(ctx), relabel, client.DryRunAll)).To(beRefusedBy(admission.EnrolmentPolicy, ""))
		g.Expect(officer.Create(ctx, t.approval("probe", "rso"), client.DryRunAll)).To(Succeed())
		g.Expect(officer.Create(ctx, t.approval("probe", "ceo"), client.DryRunAll)).To(beRefusedBy(admission.AuthorityPolicy, ""))
	}).Should(Succeed())
}
