package main

import (
	"context"
	"fmt"
	"strings"
	"time"

	"golang.org/x/sync/errgroup"
	corev1 "k8s.io/api/core/v1"
	networkingv1 "k8s.io/api/networking/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/apimachinery/pkg/util/intstr"
	"k8s.io/apimachinery/pkg/watch"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/interlock-dev/interlock/api/v1alpha1"
	"github.com/interlock-dev/interlock/internal/admission"
)

// What a tenant writes who means ill, with no more rights than the role edit and one on ModelDeployments gives.
const (
	hostileModels   = 300
	hostilePolicies = 30
	// hostilePeers make each policy about 600 kB.
	hostilePeers = 1000
	flapEvery    = 2 * time.Second
)

// measureHostile times the revocations of one tenant while another makes the operator work as hard as it can.
func measureHostile(ctx context.Context, c config, cl *cluster, t *table) error {
	const victim, hostile, name = "bench-victim", "bench-hostile", "a-model"
	for _, ns := range []string{victim, hostile} {
		if err := cl.namespace(ctx, ns, packPolicy); err != nil {
			return err
		}
	}
	if err := cl.client.Create(ctx, model(victim, name, clearedLevel)); err != nil {
		return err
	}
	if err := cl.measureRevocations(ctx, c, t, victim, name, "beside nobody"); err != nil {
		return err
	}
	progress("create %d models and %d NetworkPolicies of 600 kB in one namespace", hostileModels, hostilePolicies)
	var work errgroup.Group
	work.SetLimit(c.clients)
	for i := range hostileModels {
		work.Go(func() error { return cl.client.Create(ctx, model(hostile, fmt.Sprintf("m%d", i), clearedLevel)) })
	}
	for i := range hostilePolicies {
		work.Go(func() error { return cl.client.Create(ctx, hugePolicy(hostile, fmt.Sprintf("np%d", i))) })
	}
	if err := work.Wait(); err != nil {
		return err
	}
	flapping, stop := context.WithCancel(ctx)
	defer stop()
	work = errgroup.Group{}
	work.Go(func() error { return cl.flap(flapping, hostile, "np0") })
	if err := cl.measureRevocations(ctx, c, t, victim, name, fmt.Sprintf("beside %d models and %d MB of NetworkPolicies, one changing every %s",
		hostileModels, hostilePolicies*600/1000, flapEvery)); err != nil {
		return err
	}
	stop()
	if err := work.Wait(); err != nil {
		return err
	}
	most, err := status(cl.manager.PID(), "VmHWM")
	if err != nil {
		return err
	}
	t.within("operator beside that tenant, greatest resident memory", "< 512 MiB", fmt.Sprintf("%.0f MiB", float64(most)/(1<<20)), "", most < 512<<20)
	return nil
}

// measureRevocations takes the safeguard of a model away and gives it back, and times how soon the API server is told.
func (cl *cluster) measureRevocations(ctx context.Context, c config, t *table, ns, name, beside string) error {
	ctx, cancel := context.WithTimeout(ctx, time.Duration(c.revocations)*patience)
	defer cancel()
	watcher, err := cl.client.Watch(ctx, &corev1.ConfigMapList{}, client.InNamespace(ns), client.MatchingFields{metav1.ObjectNameField: v1alpha1.ClearancesName})
	if err != nil {
		return err
	}
	defer watcher.Stop()
	var revoked, cleared []time.Duration
	for range c.revocations {
		start := time.Now()
		if err := cl.client.Create(ctx, egressPolicy(ns)); err != nil {
			return err
		}
		if err := untilStanding(ctx, watcher, name, true); err != nil {
			return err
		}
		cleared, start = append(cleared, time.Since(start)), time.Now()
		if err := cl.client.Delete(ctx, egressPolicy(ns)); err != nil {
			return err
		}
		if err := untilStanding(ctx, watcher, name, false); err != nil {
			return err
		}
		revoked = append(revoked, time.Since(start))
	}
	ms := func(d time.Duration) string { return fmt.Sprintf("%d ms", d.Milliseconds()) }
	p99 := quantile(revoked, 0.99)
	t.within(fmt.Sprintf("revocation %s, p99 of %d", beside, len(revoked)), "< 1000 ms", ms(p99),
		fmt.Sprintf("p50 %s", ms(quantile(revoked, 0.5))), p99 < time.Second)
	t.beside(fmt.Sprintf("clearance %s, p99 of %d", beside, len(cleared)), ms(quantile(cleared, 0.99)), fmt.Sprintf("p50 %s", ms(quantile(cleared, 0.5))))
	return nil
}

func untilStanding(ctx context.Context, watcher watch.Interface, name string, cleared bool) error {
	for {
		select {
		case <-ctx.Done():
			return fmt.Errorf("wait for model %s to be cleared: %v: %w", name, cleared, ctx.Err())
		case e, ok := <-watcher.ResultChan():
			if !ok {
				return fmt.Errorf("the watch for clearances ended")
			}
			if cm, ok := e.Object.(*corev1.ConfigMap); ok && admission.Find(cm.Data, name).Cleared() == cleared {
				return nil
			}
		}
	}
}

// flap changes a NetworkPolicy until it is told to stop.
func (cl *cluster) flap(ctx context.Context, namespace, name string) error {
	policy := &networkingv1.NetworkPolicy{ObjectMeta: metav1.ObjectMeta{Namespace: namespace, Name: name}}
	for i := 0; ; i++ {
		patch := fmt.Sprintf(`[{"op":"add","path":"/spec/egress/0/ports","value":[{"port":%d,"protocol":"TCP"}]}]`, i%1000+1)
		err := cl.client.Patch(ctx, policy, client.RawPatch(types.JSONPatchType, []byte(patch)))
		if ctx.Err() != nil {
			return nil
		}
		if err != nil {
			return err
		}
		select {
		case <-ctx.Done():
			return nil
		case <-time.After(flapEvery):
		}
	}
}

func hugePolicy(namespace, name string) *networkingv1.NetworkPolicy {
	peers := make([]networkingv1.NetworkPolicyPeer, hostilePeers)
	for j := range peers {
		values := make([]string, 20)
		for x := range values {
			values[x] = fmt.Sprintf("v%d-%d", j, x)
		}
		selector := func(key string, operator metav1.LabelSelectorOperator) *metav1.LabelSelector {
			return &metav1.LabelSelector{MatchExpressions: []metav1.LabelSelectorRequirement{{Key: fmt.Sprint(key, j), Operator: operator, Values: values}}}
		}
		peers[j] = networkingv1.NetworkPolicyPeer{
			PodSelector: selector("k", metav1.LabelSelectorOpIn), NamespaceSelector: selector("n", metav1.LabelSelectorOpNotIn)}
	}
	return &networkingv1.NetworkPolicy{
		ObjectMeta: metav1.ObjectMeta{Namespace: namespace, Name: name},
		Spec: networkingv1.NetworkPolicySpec{
			PolicyTypes: []networkingv1.PolicyType{networkingv1.PolicyTypeEgress},
			Egress: []networkingv1.NetworkPolicyEgressRule{{To: peers,
				Ports: []networkingv1.NetworkPolicyPort{{Protocol: new(corev1.ProtocolTCP), Port: new(intstr.FromInt32(1))}}}}}}
}

// fatPods are as large as pods get, and as many as the operator once died of.
const fatPods = 335

// measureFat looks at what a fresh operator needs beside the largest objects that the API server takes: pods in a namespace that is
// not enrolled, and pods and NetworkPolicies in one that is.
func measureFat(ctx context.Context, c config, cl *cluster, t *table) error {
	const outside, inside, ours = "bench-not-enrolled", "bench-enrolled", "bench-ours"
	if err := cl.held(ctx, c, ours); err != nil {
		return err
	}
	for ns, policy := range map[string]string{outside: "", inside: packPolicy} {
		if err := cl.namespace(ctx, ns, policy); err != nil {
			return err
		}
	}
	progress("create %d pods of 1.3 MB in a namespace that is not enrolled, and as much in one that is", fatPods)
	var work errgroup.Group
	work.SetLimit(2)
	for i := range fatPods {
		work.Go(func() error { return cl.client.Create(ctx, fatPod(outside, fmt.Sprintf("fat-%d", i))) })
	}
	for i := range fatPods / 2 {
		work.Go(func() error { return ignoreRefusal(cl.client.Create(ctx, fatPod(inside, fmt.Sprintf("fat-%d", i)))) })
		work.Go(func() error { return cl.client.Create(ctx, hugePolicy(inside, fmt.Sprintf("np%d", i))) })
	}
	if err := work.Wait(); err != nil {
		return err
	}
	after, err := cl.freshOperator(ctx)
	if err != nil {
		return err
	}
	t.within(fmt.Sprintf("operator beside %d pods of 1.3 MB and %d NetworkPolicies of 600 kB, greatest resident memory", fatPods+fatPods/2, fatPods/2),
		"< 512 MiB", fmt.Sprintf("%.0f MiB", float64(after.most)/(1<<20)), fmt.Sprintf("%.0f MiB at rest", float64(after.now)/(1<<20)), after.most < 512<<20)
	return nil
}

// ignoreRefusal takes no for an answer: what the API server refuses for its size takes no memory.
func ignoreRefusal(err error) error {
	if apierrors.IsForbidden(err) || apierrors.IsInvalid(err) {
		return nil
	}
	return err
}

func fatPod(namespace, name string) *corev1.Pod {
	pod := newPod(namespace, name, "x")
	pod.Spec.SchedulingGates = []corev1.PodSchedulingGate{{Name: "example.com/wait"}}
	pod.Spec.Containers[0].Args = []string{strings.Repeat("a", 1300<<10)}
	return pod
}
