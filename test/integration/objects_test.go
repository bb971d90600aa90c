package integration

import (
	"context"
	"time"

	. "github.com/onsi/ginkgo/v2"
	. "github.com/onsi/gomega"
	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	policyv1 "k8s.io/api/policy/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/util/intstr"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/interlock-dev/interlock/api/v1alpha1"
	"github.com/interlock-dev/interlock/internal/testing/builder"
)

const (
	pinnedMessage     = "an image is not pinned by digest"
	pinnedRemedy      = "name each image by digest"
	classifier        = "input-classifier"
	classifierMessage = "no container input-classifier"
	classifierRule    = "object.spec.containers.exists(c, c.name == '" + classifier + "')"
)

// longLease lets no renewal fall into a test, but at two moments of the day.
const longLease = 24 * time.Hour

func (w *world) safeguards() []client.Object {
	return []client.Object{
		builder.Safeguard(w.pinned).Remedy(pinnedRemedy).PodRule(builder.ImagesPinned, pinnedMessage).Build(),
		builder.Safeguard(w.classifier).Remedy("add the container").PodRule(classifierRule, classifierMessage).Build(),
		builder.Safeguard(w.egress).Remedy("apply a NetworkPolicy").Egress().Build(),
	}
}

func (w *world) scalingPolicy(options ...option) *v1alpha1.ScalingPolicy {
	asl2 := builder.Level(builder.ASL2).Deployment(w.pinned)
	asl3 := builder.Level(builder.ASL3).Deployment(w.classifier).Security(w.egress)
	policy := builder.ScalingPolicy(w.policy).Lease(longLease).Level(asl2).Level(asl3).Build()
	for _, o := range options {
		o(&policy.Spec)
	}
	return policy
}

// option changes the policy of a world before it is made.
type option func(*v1alpha1.ScalingPolicySpec)

// evict lets every level evict after a time, and delete what a budget protects after another; zero, never.
func evict(after, force time.Duration) option {
	return func(p *v1alpha1.ScalingPolicySpec) {
		step := v1alpha1.ShortfallStep{Action: v1alpha1.ShortfallEvict, After: &metav1.Duration{Duration: after}}
		if force > 0 {
			step.ForceAfter = &metav1.Duration{Duration: force}
		}
		for i := range p.Levels {
			p.Levels[i].OnShortfall = []v1alpha1.ShortfallStep{step}
		}
	}
}

// step lets every level take one more step after a time.
func step(action v1alpha1.ShortfallAction, after time.Duration) option {
	return func(p *v1alpha1.ScalingPolicySpec) {
		for i := range p.Levels {
			l := &p.Levels[i]
			l.OnShortfall = append(l.OnShortfall, v1alpha1.ShortfallStep{Action: action, After: &metav1.Duration{Duration: after}})
		}
	}
}

func lease(d time.Duration) option {
	return func(p *v1alpha1.ScalingPolicySpec) { p.Lease = &metav1.Duration{Duration: d} }
}

func (w *world) modelDeployment(name, level string) *v1alpha1.ModelDeployment {
	return builder.ModelDeployment(w.ns, name).Level(level).Build()
}

// loosePod breaks what ASL-2 asks for, a pinnedPod meets it, and a fitPod meets what ASL-3 asks of the pod itself.
func (w *world) loosePod(model string) *builder.PodBuilder {
	return w.pinnedPod(model).Image(builder.TaggedImage)
}

func (w *world) pinnedPod(model string) *builder.PodBuilder {
	return builder.Pod(w.ns, model+"-").Model(model)
}

func (w *world) fitPod(model string) *builder.PodBuilder {
	return w.pinnedPod(model).Container(classifier, builder.PinnedImage)
}

func (w *world) deployment(name string, replicas int32, pod *builder.PodBuilder) *appsv1.Deployment {
	return &appsv1.Deployment{
		ObjectMeta: metav1.ObjectMeta{Namespace: w.ns, Name: name},
		Spec: appsv1.DeploymentSpec{
			Replicas: &replicas,
			Selector: &metav1.LabelSelector{MatchLabels: map[string]string{"app": name}},
			Template: pod.Label("app", name).Template(),
		},
	}
}

// noEviction is a budget that lets no pod that bears a label be evicted.
func (w *world) noEviction(name, key, value string) *policyv1.PodDisruptionBudget {
	return &policyv1.PodDisruptionBudget{
		ObjectMeta: metav1.ObjectMeta{Namespace: w.ns, Name: name},
		Spec: policyv1.PodDisruptionBudgetSpec{
			MaxUnavailable: new(intstr.FromInt32(0)),
			Selector:       &metav1.LabelSelector{MatchLabels: map[string]string{key: value}}},
	}
}

// clearedModel declares a model at ASL-2 with one pod, and waits until that runs.
func (w *world) clearedModel(ctx context.Context, name string) {
	GinkgoHelper()
	create(ctx, w.modelDeployment(name, builder.ASL2), w.deployment(name, 1, w.pinnedPod(name)))
	w.awaitCleared(ctx, name, 1)
}

// awaitCleared waits until a model is cleared and just so many pods of it are there, all running.
func (w *world) awaitCleared(ctx context.Context, model string, pods int) {
	GinkgoHelper()
	Eventually(w.verdict(model)).WithContext(ctx).Should(Equal(v1alpha1.OutcomeCleared))
	w.awaitPods(ctx, model, pods, beRunning())
}

// awaitHeld waits until just so many pods of a model are there, all at the gate.
func (w *world) awaitHeld(ctx context.Context, model string, pods int) {
	GinkgoHelper()
	w.awaitPods(ctx, model, pods, beHeld())
	Eventually(w.verdict(model)).WithContext(ctx).Should(Equal(v1alpha1.OutcomeHeld))
}

// awaitAdmitted waits until the operator knows of just so many pods of a model that are past the gate.
func (w *world) awaitAdmitted(ctx context.Context, model string, pods int32) {
	GinkgoHelper()
	Eventually(func() *v1alpha1.PodCounts { return w.model(ctx, model).Status.Pods }).Should(HaveValue(Equal(v1alpha1.PodCounts{Admitted: pods})))
}

func (w *world) awaitPods(ctx context.Context, model string, n int, each OmegaMatcher) {
	GinkgoHelper()
	Eventually(w.podsOf(model)).WithContext(ctx).Should(SatisfyAll(HaveLen(n), HaveEach(each)))
}

// What a pod can be: waiting at our gate, or past it and running.
func beHeld() OmegaMatcher {
	return SatisfyAll(haveGate(v1alpha1.ClearanceGate), HaveField("Spec.NodeName", BeEmpty()))
}

func beRunning() OmegaMatcher {
	return SatisfyAll(HaveField("Spec.SchedulingGates", BeEmpty()), HaveField("Status.Phase", corev1.PodRunning),
		HaveField("DeletionTimestamp", BeNil()))
}

func haveGate(name string) OmegaMatcher {
	return HaveField("Spec.SchedulingGates", ContainElement(corev1.PodSchedulingGate{Name: name}))
}

func haveImage(image string) OmegaMatcher {
	return HaveField("Spec.Containers", ContainElement(HaveField("Image", image)))
}
