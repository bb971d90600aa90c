package integration

import (
	"context"
	"fmt"
	"sync/atomic"

	. "github.com/onsi/ginkgo/v2"
	. "github.com/onsi/gomega"
	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/interlock-dev/interlock/api/v1alpha1"
	"github.com/interlock-dev/interlock/internal/admission"
	"github.com/interlock-dev/interlock/internal/testing/builder"
)

// world is a namespace under a policy, both of one test alone. The policy's baseline ASL-2 asks for pinned images;
// ASL-3 asks for a classifier container and for limited egress besides.
type world struct {
	ns     string
	policy string
	// Names of the Safeguards.
	pinned, classifier, egress string
}

var worlds atomic.Int32

// namesOnly gives a world of which nothing exists but the namespace, which is under no policy.
func namesOnly(ctx context.Context) *world {
	GinkgoHelper()
	name := fmt.Sprintf("w%d", worlds.Add(1))
	w := &world{ns: name, policy: name, pinned: name + "-pinned", classifier: name + "-classifier", egress: name + "-egress"}
	create(ctx, builder.Namespace(w.ns).Build())
	DeferCleanup(w.remove)
	// Pods cannot be created before the namespace has its service account.
	Eventually(ctx, func() error {
		return api.Get(ctx, client.ObjectKey{Namespace: w.ns, Name: "default"}, &corev1.ServiceAccount{})
	}).Should(Succeed())
	return w
}

// newWorld gives a world whose policy and Safeguards exist, and whose namespace is under the policy.
func newWorld(ctx context.Context, options ...option) *world {
	GinkgoHelper()
	w := namesOnly(ctx)
	w.createPolicy(ctx, options...)
	w.enrol(ctx)
	return w
}

func (w *world) createPolicy(ctx context.Context, options ...option) {
	GinkgoHelper()
	create(ctx, w.safeguards()...)
	create(ctx, w.scalingPolicy(options...))
}

// label sets labels of the namespace; an empty value takes one away.
func (w *world) label(ctx context.Context, labels map[string]string) {
	GinkgoHelper()
	ns := &corev1.Namespace{ObjectMeta: metav1.ObjectMeta{Name: w.ns}}
	update(ctx, ns, func() {
		for k, v := range labels {
			if v == "" {
				delete(ns.Labels, k)
				continue
			}
			ns.Labels[k] = v
		}
	})
}

func (w *world) enrol(ctx context.Context) {
	GinkgoHelper()
	w.label(ctx, map[string]string{v1alpha1.EnforceLabel: w.policy})
	w.awaitEnrolment(ctx)
}

// awaitEnrolment waits until the API server holds pods here: it may take a moment to see the namespace's labels, the
// ledger, and the policies for the first time.
func (w *world) awaitEnrolment(ctx context.Context) {
	GinkgoHelper()
	Eventually(ctx, func(g Gomega) {
		probe := w.pinnedPod("no-such-model").Build()
		g.Expect(api.Create(ctx, probe, client.DryRunAll)).To(Succeed())
		g.Expect(probe.Spec.SchedulingGates).To(ContainElement(corev1.PodSchedulingGate{Name: v1alpha1.ClearanceGate}))
	}).Should(Succeed())
}

// remove takes away what a test has left, and does not wait for it.
func (w *world) remove(ctx SpecContext) {
	objects := append(w.safeguards(), builder.Namespace(w.ns).Build(), w.scalingPolicy())
	for _, o := range objects {
		Expect(client.IgnoreNotFound(api.Delete(ctx, o))).To(Succeed())
	}
}

// create creates objects and fails the test if one is refused.
func create(ctx context.Context, objects ...client.Object) {
	GinkgoHelper()
	for _, o := range objects {
		Expect(api.Create(ctx, o)).To(Succeed())
	}
}

// update reads an object, changes it and writes it, again if somebody else wrote it meanwhile.
func update(ctx context.Context, o client.Object, change func()) {
	GinkgoHelper()
	Eventually(ctx, func() error {
		if err := api.Get(ctx, client.ObjectKeyFromObject(o), o); err != nil {
			return err
		}
		if o.GetLabels() == nil {
			o.SetLabels(map[string]string{})
		}
		change()
		return api.Update(ctx, o)
	}).Should(Succeed())
}

// apply runs kubectl apply as a cluster admin and returns what it prints.
func (w *world) apply(ctx context.Context, manifest string, args ...string) string {
	GinkgoHelper()
	out, err := st.As(st.Kubeconfig()).RunWithInput(ctx, manifest, append([]string{"apply", "-n", w.ns, "-f", "-"}, args...)...)
	Expect(err).NotTo(HaveOccurred())
	return out
}

func (w *world) model(ctx context.Context, name string) *v1alpha1.ModelDeployment {
	GinkgoHelper()
	md := &v1alpha1.ModelDeployment{}
	Expect(api.Get(ctx, client.ObjectKey{Namespace: w.ns, Name: name}, md)).To(Succeed())
	return md
}

// verdict gives what is said of a model, to be polled. It holds only once the status is about the current spec.
func (w *world) verdict(name string) func(context.Context) (v1alpha1.Outcome, error) {
	return func(ctx context.Context) (v1alpha1.Outcome, error) {
		md := &v1alpha1.ModelDeployment{}
		err := api.Get(ctx, client.ObjectKey{Namespace: w.ns, Name: name}, md)
		if md.Status.ObservedGeneration != md.Generation {
			return "", err
		}
		return md.Status.Verdict, err
	}
}

// ready gives the Ready condition of an object, to be polled.
func ready[T client.Object](o T, conditions func(T) []metav1.Condition) func(context.Context) (metav1.Condition, error) {
	return func(ctx context.Context) (metav1.Condition, error) {
		if err := api.Get(ctx, client.ObjectKeyFromObject(o), o); err != nil {
			return metav1.Condition{}, err
		}
		for _, c := range conditions(o) {
			if c.Type == v1alpha1.ConditionReady && c.ObservedGeneration == o.GetGeneration() {
				return c, nil
			}
		}
		return metav1.Condition{}, nil
	}
}

func (w *world) modelReady(name string) func(context.Context) (metav1.Condition, error) {
	return ready(&v1alpha1.ModelDeployment{ObjectMeta: metav1.ObjectMeta{Namespace: w.ns, Name: name}},
		func(md *v1alpha1.ModelDeployment) []metav1.Condition { return md.Status.Conditions })
}

func safeguardReady(name string) func(context.Context) (metav1.Condition, error) {
	return ready(&v1alpha1.Safeguard{ObjectMeta: metav1.ObjectMeta{Name: name}},
		func(sg *v1alpha1.Safeguard) []metav1.Condition { return sg.Status.Conditions })
}

func policyReady(name string) func(context.Context) (metav1.Condition, error) {
	return ready(&v1alpha1.ScalingPolicy{ObjectMeta: metav1.ObjectMeta{Name: name}},
		func(p *v1alpha1.ScalingPolicy) []metav1.Condition { return p.Status.Conditions })
}

// condition matches a condition by its status, reason and a part of its message.
func condition(status metav1.ConditionStatus, reason, message string) OmegaMatcher {
	return SatisfyAll(
		HaveField("Status", status), HaveField("Reason", reason), HaveField("Message", ContainSubstring(message)))
}

// ledger is what people are told.
func (w *world) ledger(ctx context.Context) *v1alpha1.ClearanceLedger {
	GinkgoHelper()
	l := &v1alpha1.ClearanceLedger{}
	Expect(api.Get(ctx, client.ObjectKey{Namespace: w.ns, Name: v1alpha1.LedgerName}, l)).To(Succeed())
	return l
}

// clearances are what the API server enforces.
func (w *world) clearances(ctx context.Context) *corev1.LimitRange {
	GinkgoHelper()
	cm := &corev1.LimitRange{}
	Expect(api.Get(ctx, client.ObjectKey{Namespace: w.ns, Name: v1alpha1.ClearancesName}, cm)).To(Succeed())
	return cm
}

// enforced is what it enforces of one model.
func (w *world) enforced(ctx context.Context, model string) admission.Standing {
	GinkgoHelper()
	return admission.Find(w.clearances(ctx).Annotations, model)
}

func clears(clearances *corev1.LimitRange, model string) bool {
	return admission.Find(clearances.Annotations, model).Cleared()
}

// podsOf gives the pods of the namespace that name a model, to be polled.
func (w *world) podsOf(model string) func(context.Context) ([]corev1.Pod, error) {
	return w.podsBy(client.MatchingLabels{v1alpha1.ModelLabel: model})
}

// podsBy gives the pods of the namespace that bear labels, to be polled.
func (w *world) podsBy(labels client.MatchingLabels) func(context.Context) ([]corev1.Pod, error) {
	return func(ctx context.Context) ([]corev1.Pod, error) {
		pods := &corev1.PodList{}
		err := api.List(ctx, pods, client.InNamespace(w.ns), labels)
		return pods.Items, err
	}
}

func (w *world) getPod(name string) func(context.Context) (*corev1.Pod, error) {
	return func(ctx context.Context) (*corev1.Pod, error) {
		pod := &corev1.Pod{}
		return pod, api.Get(ctx, client.ObjectKey{Namespace: w.ns, Name: name}, pod)
	}
}

// gone matches the error of a look-up of what does not exist.
func gone(ctx context.Context, o client.Object) func() bool {
	return func() bool { return apierrors.IsNotFound(api.Get(ctx, client.ObjectKeyFromObject(o), o)) }
}
