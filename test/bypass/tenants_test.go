package bypass

import (
	"context"
	"fmt"
	"os"
	"strconv"
	"strings"
	"time"

	. "github.com/onsi/ginkgo/v2"
	. "github.com/onsi/gomega"
	"golang.org/x/sync/errgroup"
	corev1 "k8s.io/api/core/v1"
	networkingv1 "k8s.io/api/networking/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/interlock-dev/interlock/api/v1alpha1"
	"github.com/interlock-dev/interlock/internal/admission"
	"github.com/interlock-dev/interlock/internal/testing/builder"
)

// fat is about as large as an object gets.
const fat = 1300 << 10

// busyPatience is how long hundreds of models may take on a slow machine.
const busyPatience = time.Minute

// tenantLoad is what one tenant does to all.
func tenantLoad() {
	It("50: pods of 1.3 MB in a namespace that is not enrolled are not held in memory, and are judged when it is", func(ctx SpecContext) {
		t := newOutsider(ctx)
		before := metric(ctx, "go_memstats_heap_alloc_bytes")
		const many = 60
		var group errgroup.Group
		group.SetLimit(4)
		for i := range many {
			group.Go(func() error { return admin.Create(ctx, t.fatPod(fmt.Sprint("fat-", i), "somebody")) })
		}
		Expect(group.Wait()).To(Succeed())
		lax := t.fatPod("lax", small)
		lax.Spec.Containers[0].Image = "registry.example.com/server:latest"
		Expect(admin.Create(ctx, lax)).To(Succeed())
		Eventually(ctx, metric).WithArguments("go_memstats_heap_alloc_bytes").
			Should(BeNumerically("<", before+many*fat/2), "half of what these pods take")
		Consistently(ctx, metric).WithArguments("go_memstats_heap_alloc_bytes").Should(BeNumerically("<", before+many*fat/2))

		enrol := client.RawPatch(types.MergePatchType, fmt.Appendf(nil, `{"metadata":{"labels":{%q:%q}}}`, v1alpha1.EnforceLabel, policyName))
		Expect(admin.Patch(ctx, &corev1.Namespace{ObjectMeta: metav1.ObjectMeta{Name: t.namespace}}, enrol)).To(Succeed())
		Expect(admin.Create(ctx, builder.ModelDeployment(t.namespace, small).Build())).To(Succeed())
		t.waitMessage(ctx, small, imagePinned, "an image is not pinned by digest")
	})

	It("50: of what a namespace writes beyond its share nothing is known, which holds its models and no others", func(ctx SpecContext) {
		withShares(ctx, 4<<20)
		t, other := newTenant(ctx, policyName), newTenant(ctx, policyName)
		for _, one := range []*tenant{t, other} {
			one.limitEgress(ctx)
			one.waitVerdict(ctx, llama, v1alpha1.OutcomeCleared)
		}
		for i := range 4 {
			Expect(t.editor.Create(ctx, fatPolicy(t.namespace, fmt.Sprint("fat-", i)))).To(Succeed())
		}
		t.waitVerdict(ctx, llama, v1alpha1.OutcomeHeld)
		t.waitMessage(ctx, llama, egressLimited, `NetworkPolicy "fat-`)
		t.waitMessage(ctx, llama, egressLimited, "was not looked at, so it may allow everything: it takes ")
		Expect(metric(ctx, "interlock_unread_objects")).To(BeNumerically(">", 0))
		other.openEgress(ctx)
		other.waitVerdict(ctx, llama, v1alpha1.OutcomeHeld)
		other.limitEgress(ctx)
		other.waitVerdict(ctx, llama, v1alpha1.OutcomeCleared)
		t.waitVerdict(ctx, llama, v1alpha1.OutcomeHeld)

		for i := range 4 {
			Expect(t.editor.Delete(ctx, fatPolicy(t.namespace, fmt.Sprint("fat-", i)))).To(Succeed())
		}
		t.waitVerdict(ctx, llama, v1alpha1.OutcomeCleared)
	})

	It("51: a revocation in one namespace does not wait until all models of another have been judged", func(ctx SpecContext) {
		const many = 200
		busy, t := newTenant(ctx, policyName), newTenant(ctx, policyName)
		var group errgroup.Group
		group.SetLimit(8)
		for i := range many {
			group.Go(func() error {
				return busy.editor.Create(ctx, builder.ModelDeployment(busy.namespace, fmt.Sprint("m", i)).Level(builder.ASL3).Build())
			})
		}
		Expect(group.Wait()).To(Succeed())
		busy.limitEgress(ctx)
		t.limitEgress(ctx)
		t.waitVerdict(ctx, llama, v1alpha1.OutcomeCleared)
		Eventually(ctx, func(g Gomega) {
			g.Expect(busy.verdicts(ctx)).To(HaveKeyWithValue(v1alpha1.OutcomeCleared, many+2))
		}).WithTimeout(busyPatience).Should(Succeed())

		revoked := t.firstWithout(ctx, llama)
		held := busy.versionsOfHeld(ctx, many)
		busy.openEgress(ctx)
		t.openEgress(ctx)
		var at int
		Eventually(ctx, revoked).WithTimeout(busyPatience).Should(Receive(&at))
		var versions []int
		Eventually(ctx, held).WithTimeout(busyPatience).Should(Receive(&versions))
		later := 0
		for _, version := range versions {
			if version > at {
				later++
			}
		}
		AddReportEntry("models of the busy namespace that were judged later", ReportEntryVisibilityFailureOrVerbose, later)
		Expect(later).To(BeNumerically(">", many/4), "models of the busy namespace that were judged after the revocation took effect")
	})
}

// newOutsider is a tenant of a namespace that is not enrolled.
func newOutsider(ctx context.Context) *tenant {
	GinkgoHelper()
	namespace := builder.Namespace("outside-").Build()
	Expect(admin.Create(ctx, namespace)).To(Succeed())
	t := &tenant{namespace: namespace.Name, editor: editor, owner: owner}
	t.bind(ctx, editor, "edit")
	t.waitServiceAccount(ctx)
	return t
}

func (t *tenant) fatPod(name, model string) *corev1.Pod {
	pod := t.pod(name).Model(model).Build()
	pod.Spec.SchedulingGates = []corev1.PodSchedulingGate{{Name: "example.com/wait"}}
	pod.Spec.Containers[0].Args = []string{strings.Repeat("a", fat)}
	return pod
}

// fatPolicy says much about ingress, and takes several times as much memory as text.
func fatPolicy(namespace, name string) *networkingv1.NetworkPolicy {
	peers := make([]networkingv1.NetworkPolicyPeer, 10_000)
	for i := range peers {
		peers[i].IPBlock = &networkingv1.IPBlock{CIDR: fmt.Sprintf("10.%d.%d.0/24", i/256, i%256)}
	}
	return &networkingv1.NetworkPolicy{ObjectMeta: metav1.ObjectMeta{Namespace: namespace, Name: name}, Spec: networkingv1.NetworkPolicySpec{
		PolicyTypes: []networkingv1.PolicyType{networkingv1.PolicyTypeIngress},
		Ingress:     []networkingv1.NetworkPolicyIngressRule{{From: peers}}}}
}

// withShares runs the manager with so many bytes for what tenants write, until the spec is over.
func withShares(ctx context.Context, total int64) {
	GinkgoHelper()
	restart := func(ctx context.Context, args ...string) {
		Expect(manager.Kill()).To(Succeed())
		startManager(ctx, args...)
		waitEnforced(ctx)
	}
	Expect(os.Setenv("GOMEMLIMIT", "off")).To(Succeed())
	defer func() { Expect(os.Unsetenv("GOMEMLIMIT")).To(Succeed()) }()
	restart(ctx, fmt.Sprintf("--memory-limit=%d", total*5))
	DeferCleanup(func(ctx SpecContext) { restart(ctx) })
}

// waitMessage waits until the status of a model says something of a safeguard.
func (t *tenant) waitMessage(ctx context.Context, model, safeguard, words string) {
	GinkgoHelper()
	Eventually(ctx, func(g Gomega) {
		md := &v1alpha1.ModelDeployment{}
		g.Expect(admin.Get(ctx, t.key(model), md)).To(Succeed())
		g.Expect(md.Status.Safeguards).To(ContainElement(And(HaveField("Name", safeguard), HaveField("Message", ContainSubstring(words)))))
	}).Should(Succeed())
}

// verdicts counts the models of the namespace by verdict.
func (t *tenant) verdicts(ctx context.Context) map[v1alpha1.Outcome]int {
	GinkgoHelper()
	list := &v1alpha1.ModelDeploymentList{}
	Expect(admin.List(ctx, list, client.InNamespace(t.namespace))).To(Succeed())
	n := map[v1alpha1.Outcome]int{}
	for i := range list.Items {
		n[list.Items[i].Status.Verdict]++
	}
	return n
}

// firstWithout gives the resourceVersion of the first clearances that lack a model.
func (t *tenant) firstWithout(ctx context.Context, model string) <-chan int {
	GinkgoHelper()
	at := make(chan int, 1)
	sent := false
	follow(ctx, t.namespace, &corev1.LimitRangeList{}, func(clearances *corev1.LimitRange) {
		if clearances.Name == v1alpha1.ClearancesName && !admission.Find(clearances.Annotations, model).Cleared() && !sent {
			sent = true
			at <- version(clearances)
		}
	})
	return at
}

// versionsOfHeld gives the resourceVersions at which so many models were first seen to be held.
func (t *tenant) versionsOfHeld(ctx context.Context, models int) <-chan []int {
	GinkgoHelper()
	all := make(chan []int, 1)
	var versions []int
	seen := map[string]bool{}
	follow(ctx, t.namespace, &v1alpha1.ModelDeploymentList{}, func(md *v1alpha1.ModelDeployment) {
		if md.Status.Verdict != v1alpha1.OutcomeHeld || seen[md.Name] {
			return
		}
		seen[md.Name] = true
		if versions = append(versions, version(md)); len(versions) == models {
			all <- versions
		}
	})
	return all
}

// follow watches the objects of a namespace until the spec is over.
func follow[T client.Object](ctx context.Context, namespace string, list client.ObjectList, see func(T)) {
	GinkgoHelper()
	watcher, err := client.NewWithWatch(cluster.RESTConfig(), client.Options{Scheme: scheme, Mapper: mapper})
	Expect(err).NotTo(HaveOccurred())
	events, err := watcher.Watch(ctx, list, client.InNamespace(namespace))
	Expect(err).NotTo(HaveOccurred())
	DeferCleanup(events.Stop)
	go func() {
		for e := range events.ResultChan() {
			if o, ok := e.Object.(T); ok {
				see(o)
			}
		}
	}()
}

func version(o client.Object) int {
	n, _ := strconv.Atoi(o.GetResourceVersion())
	return n
}
