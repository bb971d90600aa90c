package main

import (
	"context"
	"fmt"
	"time"

	corev1 "k8s.io/api/core/v1"
	networkingv1 "k8s.io/api/networking/v1"
	"k8s.io/apimachinery/pkg/watch"
	"sigs.k8s.io/controller-runtime/pkg/client"
)

// measureLatency times how long after the last safeguard is asked for a pod that waits for it is rid of its gate.
func measureLatency(ctx context.Context, c config, cl *cluster, t *table) error {
	const ns, name = "bench-latency", "a-model"
	if err := cl.namespace(ctx, ns, packPolicy); err != nil {
		return err
	}
	if err := cl.client.Create(ctx, model(ns, name, clearedLevel)); err != nil {
		return err
	}
	if err := cl.untilJudged(ctx, ns, name, true); err != nil {
		return err
	}
	var took []time.Duration
	for i := range c.latencyTries + 1 {
		d, err := cl.release(ctx, ns, name, fmt.Sprintf("pod-%d", i))
		if err != nil {
			return fmt.Errorf("try %d: %w", i, err)
		}
		if i > 0 { // The first warms up.
			took = append(took, d)
		}
	}
	ms := func(d time.Duration) string { return fmt.Sprintf("%.0f ms", float64(d.Microseconds())/1000) }
	p99 := quantile(took, 0.99)
	t.beside(fmt.Sprintf("last safeguard to gate gone, p50 of %d", len(took)), ms(quantile(took, 0.5)), "")
	t.within(fmt.Sprintf("last safeguard to gate gone, p99 of %d", len(took)), "< 1000 ms", ms(p99),
		fmt.Sprintf("%s .. %s", ms(quantile(took, 0)), ms(quantile(took, 1))), p99 < time.Second)
	return nil
}

// release has a pod held, puts the last safeguard in place, and takes both away again.
func (cl *cluster) release(ctx context.Context, ns, modelName, podName string) (time.Duration, error) {
	ctx, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	pod := newPod(ns, podName, modelName)
	if err := cl.client.Create(ctx, pod); err != nil {
		return 0, err
	}
	if !gated(pod) {
		return 0, fmt.Errorf("pod %s is not held", podName)
	}
	if err := cl.untilCounted(ctx, ns, modelName, 1); err != nil {
		return 0, err
	}
	watcher, err := cl.client.Watch(ctx, &corev1.PodList{}, client.InNamespace(ns), &client.ListOptions{
		Raw: listFrom(pod.ResourceVersion)})
	if err != nil {
		return 0, err
	}
	defer watcher.Stop()

	start := time.Now()
	if err := cl.client.Create(ctx, egressPolicy(ns)); err != nil {
		return 0, err
	}
	if err := untilGateless(ctx, watcher, podName); err != nil {
		return 0, err
	}
	took := time.Since(start)

	if err := cl.client.Delete(ctx, pod, client.GracePeriodSeconds(0)); err != nil {
		return 0, err
	}
	if err := cl.client.DeleteAllOf(ctx, &networkingv1.NetworkPolicy{}, client.InNamespace(ns)); err != nil {
		return 0, err
	}
	return took, cl.untilJudged(ctx, ns, modelName, true)
}

func untilGateless(ctx context.Context, watcher watch.Interface, name string) error {
	for {
		select {
		case <-ctx.Done():
			return fmt.Errorf("wait for pod %s to be released: %w", name, ctx.Err())
		case e, ok := <-watcher.ResultChan():
			if !ok {
				return fmt.Errorf("the watch for pod %s ended", name)
			}
			if pod, isPod := e.Object.(*corev1.Pod); isPod && e.Type == watch.Modified && pod.Name == name && !gated(pod) {
				return nil
			}
		}
	}
}
