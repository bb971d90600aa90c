package bypass

import (
	"context"
	"time"

	. "github.com/onsi/ginkgo/v2"
	. "github.com/onsi/gomega"
	corev1 "k8s.io/api/core/v1"
	networkingv1 "k8s.io/api/networking/v1"
	policyv1 "k8s.io/api/policy/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/util/intstr"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/interlock-dev/interlock/api/v1alpha1"
	"github.com/interlock-dev/interlock/internal/admission"
	"github.com/interlock-dev/interlock/internal/testing/builder"
)

const (
	// slowName evicts after a while, at ASL-3 alone.
	slowName = "bypass-slow"
	// forcingName evicts at once at ASL-3, and deletes after a while.
	forcingName = "bypass-forcing"
	// aWhile is enough for a shortfall to be undone and to come again.
	aWhile = 12 * time.Second
)

// shortfallPack has the policies of these specs.
func shortfallPack() []client.Object {
	after := func(name string, step v1alpha1.ShortfallStep) client.Object {
		level := builder.Level(builder.ASL3).Security(egressLimited).Build()
		level.OnShortfall = []v1alpha1.ShortfallStep{step}
		policy := builder.ScalingPolicy(name).Level(builder.Level(builder.ASL2).Deployment(imagePinned)).Build()
		policy.Spec.Levels = append(policy.Spec.Levels, level)
		return policy
	}
	while := &metav1.Duration{Duration: aWhile}
	return []client.Object{
		after(slowName, v1alpha1.ShortfallStep{Action: v1alpha1.ShortfallEvict, After: while}),
		after(forcingName, v1alpha1.ShortfallStep{Action: v1alpha1.ShortfallEvict, ForceAfter: while}),
	}
}

func shortfallTricks() {
	It("46: what is lost is brought back just before each step, and the step comes at its time", func(ctx SpecContext) {
		t := newTenant(ctx, slowName)
		t.limitEgress(ctx)
		pod := t.running(ctx, t.pod("x").Model(llama))
		since := t.flap(ctx, nil)
		t.waitGone(ctx, pod)
		Expect(time.Now()).To(BeTemporally(">=", since.Add(aWhile)))
	})

	It("46: it flaps while a budget protects the pod, which is deleted at its time", func(ctx SpecContext) {
		t := newTenant(ctx, forcingName)
		t.limitEgress(ctx)
		pod := t.running(ctx, t.pod("x").Model(llama))
		Expect(t.editor.Create(ctx, &policyv1.PodDisruptionBudget{
			ObjectMeta: metav1.ObjectMeta{Namespace: t.namespace, Name: "stay"},
			Spec: policyv1.PodDisruptionBudgetSpec{MaxUnavailable: new(intstr.FromInt32(0)),
				Selector: &metav1.LabelSelector{MatchLabels: map[string]string{v1alpha1.ModelLabel: llama}}}})).To(Succeed())
		since := t.flap(ctx, nil)
		t.waitGone(ctx, pod)
		Expect(time.Now()).To(BeTemporally(">=", since.Add(aWhile)))
	})

	It("46: neither a restart nor a declaration that is made anew ends a shortfall", func(ctx SpecContext) {
		t := newTenant(ctx, isolatingName)
		t.limitEgress(ctx)
		t.running(ctx, t.pod("x").Model(llama))
		t.flap(ctx, func() {
			Expect(manager.Kill()).To(Succeed())
			DeferCleanup(func(ctx SpecContext) {
				if !manager.Running() {
					startManager(ctx)
					waitEnforced(ctx)
				}
			})
			Expect(t.editor.Delete(ctx, builder.ModelDeployment(t.namespace, llama).Build())).To(Succeed())
			Expect(t.editor.Create(ctx, builder.ModelDeployment(t.namespace, llama).Level(builder.ASL3).Build())).To(Succeed())
			startManager(ctx)
		})
	})

	It("46: what is isolated stays so though the cause is undone, and new pods start", func(ctx SpecContext) {
		t := newTenant(ctx, isolatingName)
		t.limitEgress(ctx)
		t.running(ctx, t.pod("x").Model(llama))
		t.openEgress(ctx)
		isolation := &networkingv1.NetworkPolicy{}
		Eventually(ctx, func() error { return admin.Get(ctx, t.key("interlock-isolate-"+llama), isolation) }).Should(Succeed())
		t.limitEgress(ctx)
		t.waitVerdict(ctx, llama, v1alpha1.OutcomeCleared)
		t.running(ctx, t.pod("y").Model(llama))
		Consistently(ctx, func(g Gomega) {
			g.Expect(admin.Get(ctx, t.key("interlock-isolate-"+llama), isolation)).To(Succeed())
		}, "1s").Should(Succeed())
		Expect(t.shortfall(ctx).RememberedUntil).NotTo(BeNil())
	})

	It("46: a declaration that comes and goes does not keep its pods in service", func(ctx SpecContext) {
		t := newTenant(ctx, slowName)
		pod := t.running(ctx, t.pod("x").Model(small))
		strays := func() metav1.Time {
			return metav1.NewTime(admission.ShortfallOf(t.clearances(ctx).Annotations, admission.Strays).Since)
		}
		Expect(t.editor.Delete(ctx, builder.ModelDeployment(t.namespace, small).Build())).To(Succeed())
		Eventually(ctx, strays).ShouldNot(BeZero())
		since := strays()
		Expect(t.editor.Create(ctx, builder.ModelDeployment(t.namespace, small).Build())).To(Succeed())
		t.waitVerdict(ctx, small, v1alpha1.OutcomeCleared)
		Eventually(ctx, func() time.Time {
			return admission.ShortfallOf(t.clearances(ctx).Annotations, admission.Strays).QuietSince
		}).ShouldNot(BeZero())
		Expect(t.editor.Delete(ctx, builder.ModelDeployment(t.namespace, small).Build())).To(Succeed())
		t.waitGone(ctx, pod)
		Expect(strays()).To(Equal(since))
	})

	It("53: a namespace that terminates keeps no pod, though its clearances and declarations are gone", func(ctx SpecContext) {
		t := newTenant(ctx, forcingName)
		pod := t.stayer(ctx)
		Expect(admin.Delete(ctx, t.object(ctx))).To(Succeed())
		Eventually(ctx, func(g Gomega) {
			g.Expect(admin.Get(ctx, client.ObjectKeyFromObject(pod), pod)).To(Succeed())
			g.Expect(pod.DeletionTimestamp).NotTo(BeNil())
		}).Should(Succeed())
		Expect(client.IgnoreNotFound(t.editor.Delete(ctx, builder.ModelDeployment(t.namespace, small).Build()))).To(Succeed())
		Expect(client.IgnoreNotFound(t.owner.Delete(ctx, &corev1.LimitRange{
			ObjectMeta: metav1.ObjectMeta{Namespace: t.namespace, Name: v1alpha1.ClearancesName}}))).To(Succeed())
		t.waitGone(ctx, pod)
	})

	It("53: a pod's own grace of years does not outlast the policy", func(ctx SpecContext) {
		t := newTenant(ctx, evictingName)
		pods := []*corev1.Pod{t.stayer(ctx), t.stayer(ctx)}
		Expect(t.editor.Delete(ctx, pods[1])).To(Succeed()) // by its owner, in its own time
		Expect(t.editor.Delete(ctx, builder.ModelDeployment(t.namespace, small).Build())).To(Succeed())
		for _, pod := range pods {
			Eventually(ctx, func(g Gomega) {
				g.Expect(admin.Get(ctx, client.ObjectKeyFromObject(pod), pod)).To(Succeed())
				g.Expect(pod.DeletionTimestamp).NotTo(BeNil())
				g.Expect(pod.DeletionTimestamp.Time).To(BeTemporally("<", time.Now().Add(10*time.Minute)))
			}).Should(Succeed())
		}
	})
}

// flap takes a safeguard of llama away, brings it back, and takes it away again; in between it does what it is told. The
// shortfall is the same one, whose beginning it returns.
func (t *tenant) flap(ctx context.Context, between func()) time.Time {
	GinkgoHelper()
	t.openEgress(ctx)
	t.waitVerdict(ctx, llama, v1alpha1.OutcomeRevoked)
	since := t.shortfall(ctx).Since
	Eventually(ctx, time.Now).Should(BeTemporally(">", since.Add(2*time.Second))) // another beginning would show
	t.limitEgress(ctx)
	t.waitVerdict(ctx, llama, v1alpha1.OutcomeCleared)
	if between != nil {
		between()
		t.waitVerdict(ctx, llama, v1alpha1.OutcomeCleared)
	}
	t.openEgress(ctx)
	t.waitVerdict(ctx, llama, v1alpha1.OutcomeRevoked)
	Eventually(ctx, func(g Gomega) {
		s := t.shortfall(ctx)
		g.Expect(s.QuietSince).To(BeNil())
		g.Expect(s.Since).To(Equal(since))
	}).Should(Succeed())
	return since.Time
}

// shortfall gives what is said of that of llama.
func (t *tenant) shortfall(ctx context.Context) v1alpha1.Shortfall {
	GinkgoHelper()
	md := &v1alpha1.ModelDeployment{}
	Expect(t.editor.Get(ctx, t.key(llama), md)).To(Succeed())
	Expect(md.Status.Shortfall).NotTo(BeNil(), "%v", md.Status)
	return *md.Status.Shortfall
}

// stayer is a pod of the cleared model that takes ten years to end, on a node whose kubelet says nothing.
func (t *tenant) stayer(ctx context.Context) *corev1.Pod {
	GinkgoHelper()
	node := &corev1.Node{ObjectMeta: metav1.ObjectMeta{GenerateName: t.namespace + "-silent-"}, Spec: corev1.NodeSpec{Unschedulable: true}}
	Expect(admin.Create(ctx, node)).To(Succeed())
	DeferCleanup(func(ctx SpecContext) { Expect(admin.Delete(ctx, node)).To(Succeed()) })
	pod := t.pod(node.Name).Model(small).With(func(p *corev1.Pod) {
		p.Spec.NodeName, p.Spec.TerminationGracePeriodSeconds = node.Name, new(int64(315360000))
	}).Build()
	Expect(t.editor.Create(ctx, pod)).To(Succeed())
	return pod
}
