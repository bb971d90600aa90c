package main

import (
	"context"
	"fmt"
	"time"

	"golang.org/x/sync/errgroup"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/watch"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/interlock-dev/interlock/api/v1alpha1"
)

// measureRelease times the release of many pods of many models by one change in each namespace, and then what the
// operator needs while nothing happens.
func measureRelease(ctx context.Context, c config, cl *cluster, t *table) error {
	namespaces := c.releaseModels / c.perNS
	for n := range namespaces {
		if err := cl.held(ctx, c, fmt.Sprintf("bench-release-%d", n)); err != nil {
			return err
		}
	}
	pods := c.releaseModels * c.podsPerModel
	took, err := cl.releaseAll(ctx, namespaces, pods)
	if err != nil {
		return err
	}
	t.within(fmt.Sprintf("%d pods of %d models released", pods, c.releaseModels), "< 20 s", fmt.Sprintf("%.1f s", took.Seconds()), "", took < 20*time.Second)
	return cl.idle(ctx, c, t, pods)
}

// held fills a namespace with models and pods that wait for nothing but the last safeguard.
func (cl *cluster) held(ctx context.Context, c config, ns string) error {
	progress("hold %d pods in %s", c.perNS*c.podsPerModel, ns)
	if err := cl.namespace(ctx, ns, packPolicy); err != nil {
		return err
	}
	if err := cl.untilJudged(ctx, ns, "probe", true); err != nil {
		return err
	}
	var work errgroup.Group
	work.SetLimit(c.clients)
	for m := range c.perNS {
		name := modelName(m)
		work.Go(func() error {
			if err := cl.client.Create(ctx, model(ns, name, clearedLevel)); err != nil {
				return err
			}
			for p := range c.podsPerModel {
				if err := cl.client.Create(ctx, newPod(ns, fmt.Sprintf("%s-%d", name, p), name)); err != nil {
					return err
				}
			}
			return cl.untilCounted(ctx, ns, name, c.podsPerModel)
		})
	}
	return work.Wait()
}

// untilCounted waits until the operator has seen so many pods of a model held.
func (cl *cluster) untilCounted(ctx context.Context, ns, name string, pods int) error {
	return cl.until(ctx, fmt.Sprintf("the operator to see %d held pods of %s/%s", pods, ns, name), func(ctx context.Context) (bool, error) {
		md := &v1alpha1.ModelDeployment{}
		err := cl.client.Get(ctx, client.ObjectKey{Namespace: ns, Name: name}, md)
		return err == nil && md.Status.Pods != nil && int(md.Status.Pods.Held) == pods, err
	})
}

func (cl *cluster) releaseAll(ctx context.Context, namespaces, pods int) (time.Duration, error) {
	ctx, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	start := time.Now()
	for n := range namespaces {
		if err := cl.client.Create(ctx, egressPolicy(fmt.Sprintf("bench-release-%d", n))); err != nil {
			return 0, err
		}
	}
	released := map[client.ObjectKey]bool{}
	for len(released) < pods {
		if err := cl.watchReleases(ctx, released, pods); err != nil {
			return 0, fmt.Errorf("%d of %d pods released: %w", len(released), pods, err)
		}
	}
	return time.Since(start), nil
}

// watchReleases notes which pods have lost the gate, until all have or the API server, which is busy, ends the watch.
func (cl *cluster) watchReleases(ctx context.Context, released map[client.ObjectKey]bool, pods int) error {
	note := func(pod *corev1.Pod) {
		if !gated(pod) {
			released[client.ObjectKeyFromObject(pod)] = true
		}
	}
	list := &corev1.PodList{}
	if err := cl.client.List(ctx, list, client.HasLabels{v1alpha1.ModelLabel}); err != nil {
		return err
	}
	for i := range list.Items {
		note(&list.Items[i])
	}
	watcher, err := cl.client.Watch(ctx, &corev1.PodList{}, client.HasLabels{v1alpha1.ModelLabel},
		&client.ListOptions{Raw: listFrom(list.ResourceVersion)})
	if err != nil {
		return err
	}
	defer watcher.Stop()
	for len(released) < pods {
		e, ok := <-watcher.ResultChan()
		if !ok {
			return ctx.Err()
		}
		if pod, isPod := e.Object.(*corev1.Pod); isPod && e.Type == watch.Modified {
			note(pod)
		}
	}
	return nil
}

// idle measures the operator once all pods run and it has come to rest.
func (cl *cluster) idle(ctx context.Context, c config, t *table, pods int) error {
	err := cl.until(ctx, "all pods to run", func(ctx context.Context) (bool, error) {
		list := &corev1.PodList{}
		err := cl.client.List(ctx, list, client.HasLabels{v1alpha1.ModelLabel})
		running := 0
		for i := range list.Items {
			if list.Items[i].Status.Phase == corev1.PodRunning {
				running++
			}
		}
		return running == pods, err
	})
	if err != nil {
		return err
	}
	pid := cl.manager.PID()
	if err := cl.untilQuiet(ctx, pid); err != nil {
		return err
	}
	before, err := cpu(pid)
	if err != nil {
		return err
	}
	start := time.Now()
	if err := pause(ctx, c.idle); err != nil {
		return err
	}
	after, err := cpu(pid)
	if err != nil {
		return err
	}
	rss, err := memory(pid)
	if err != nil {
		return err
	}
	share := float64(after-before) / float64(time.Since(start)) * 100
	t.within(fmt.Sprintf("operator at rest then, CPU over %.0f s", c.idle.Seconds()), "< 1 % of a core", fmt.Sprintf("%.2f %%", share), "", share < 1)
	mb := float64(rss) / 1e6
	t.within("operator at rest then, resident memory", "< 100 MB", fmt.Sprintf("%.0f MB", mb), "", mb < 100)
	return nil
}

// untilQuiet waits until a process has used less than a tick in twenty for two seconds: what was to be done is done.
func (cl *cluster) untilQuiet(ctx context.Context, pid int) error {
	const window = 2 * time.Second
	for {
		before, err := cpu(pid)
		if err != nil {
			return err
		}
		if err := pause(ctx, window); err != nil {
			return err
		}
		after, err := cpu(pid)
		if err != nil {
			return err
		}
		if after-before <= window/20 {
			return nil
		}
	}
}

func pause(ctx context.Context, d time.Duration) error {
	select {
	case <-ctx.Done():
		return ctx.Err()
	case <-time.After(d):
		return nil
	}
}

func listFrom(resourceVersion string) *metav1.ListOptions {
	return &metav1.ListOptions{ResourceVersion: resourceVersion}
}

// modelName is as long as names of models tend to be: 20 characters.
func modelName(i int) string { return fmt.Sprintf("served-model-%07d", i) }
