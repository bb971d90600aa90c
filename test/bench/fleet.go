package main

import (
	"context"
	"errors"
	"fmt"
	"time"

	"golang.org/x/sync/errgroup"
	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	policyv1 "k8s.io/api/policy/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/apimachinery/pkg/util/intstr"
	"k8s.io/apimachinery/pkg/watch"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/interlock-dev/interlock/api/v1alpha1"
)

const (
	// fleetPolicy evicts at once, and forceAfter deletes what a budget protects.
	fleetPolicy = "bench-fleet"
	forceAfter  = 90 * time.Second
	// perFleetNamespace workloads, each of a model of its own, have podsEach pods. Those of odd number have a budget, which lets
	// spared of them be without service.
	perFleetNamespace, podsEach, spared = 10, 20, 5
)

// fleet is the workloads of mixed kinds, and how many pods of each are in service, as a watch tells.
type fleet struct {
	*cluster
	namespaces []string

	inService map[client.ObjectKey]map[types.UID]bool
}

// measureFleet takes a safeguard from all workloads of a fleet and gives it back. It fails if a budget is violated before its
// time is up, if a pod stays in service after that, or does not come back.
func measureFleet(ctx context.Context, c config, cl *cluster, t *table) error {
	f := &fleet{cluster: cl}
	for n := range c.fleetNamespaces {
		f.namespaces = append(f.namespaces, fmt.Sprintf("bench-fleet-%d", n))
	}
	workloads := c.fleetNamespaces * perFleetNamespace
	pods := workloads * podsEach
	start := time.Now()
	if err := f.launch(ctx, c.clients); err != nil {
		return err
	}
	if err := f.watchUntil(ctx, "the fleet to be in service", func() bool { return f.count(every) == pods }); err != nil {
		return err
	}
	if err := f.untilBudgetsStand(ctx); err != nil {
		return err
	}
	t.beside(fmt.Sprintf("%d pods of %d workloads of four kinds run", pods, workloads), seconds(time.Since(start)), "")
	if err := f.lose(ctx, t, pods); err != nil {
		return err
	}
	return f.regain(ctx, t, pods)
}

// lose takes the safeguard away, until all pods are out of service.
func (f *fleet) lose(ctx context.Context, t *table, pods int) error {
	start := time.Now()
	for _, ns := range f.namespaces {
		if err := f.client.Delete(ctx, egressPolicy(ns)); err != nil {
			return err
		}
	}
	// None comes into service again before the safeguard is back, so the fewest are those of the last look.
	fewest, unprotected := podsEach, time.Duration(0)
	err := f.watchUntil(ctx, "all pods to be out", func() bool {
		passed := time.Since(start)
		if passed < forceAfter-time.Second { // the beginning is noted in whole seconds
			fewest = f.fewest()
		}
		if unprotected == 0 && f.count(unbudgeted) == 0 {
			unprotected = passed
		}
		return fewest < podsEach-spared || f.count(every) == 0
	})
	if err != nil {
		return err
	}
	took := time.Since(start)
	if fewest < podsEach-spared {
		return fmt.Errorf("a budget was violated after %s, before its time: %d of %d pods in service", seconds(took), fewest, podsEach)
	}
	t.beside(fmt.Sprintf("one safeguard lost, the %d pods without a budget out", pods/2), seconds(unprotected), "")
	t.within("fewest pods in service of a workload with a budget, before its deadline", fmt.Sprintf(">= %d of %d", podsEach-spared, podsEach), fmt.Sprint(fewest), "", true)
	t.beside(fmt.Sprintf("all %d pods out, with a deadline of %.0f s", pods, forceAfter.Seconds()), seconds(took), "")
	evictions, err := f.metrics(ctx, `result="blocked"`)
	if err != nil {
		return err
	}
	t.beside("evictions that a budget refused meanwhile", fmt.Sprintf("%.0f", evictions["interlock_evictions_total"]), "")
	return nil
}

// regain gives the safeguard back, until all pods are in service again.
func (f *fleet) regain(ctx context.Context, t *table, pods int) error {
	start := time.Now()
	for _, ns := range f.namespaces {
		if err := f.client.Create(ctx, egressPolicy(ns)); err != nil {
			return err
		}
	}
	if err := f.watchUntil(ctx, "all pods to be back", func() bool { return f.count(every) == pods }); err != nil {
		return err
	}
	t.beside(fmt.Sprintf("safeguard regained, all %d pods back", pods), seconds(time.Since(start)), "")
	return nil
}

func (f *fleet) launch(ctx context.Context, clients int) error {
	policy := plain(fleetPolicy, v1alpha1.ShortfallStep{Action: v1alpha1.ShortfallEvict, ForceAfter: &metav1.Duration{Duration: forceAfter}})
	if err := errors.Join(f.client.Create(ctx, policy), f.untilReady(ctx, fleetPolicy)); err != nil {
		return err
	}
	var work errgroup.Group
	work.SetLimit(clients)
	for _, ns := range f.namespaces {
		if err := errors.Join(f.namespace(ctx, ns, fleetPolicy), f.client.Create(ctx, egressPolicy(ns))); err != nil {
			return err
		}
		for i := range perFleetNamespace {
			work.Go(func() error {
				objects := []client.Object{model(ns, modelName(i), clearedLevel), fleetWorkload(ns, i)}
				if budgeted(i) {
					objects = append(objects, fleetBudget(ns, i))
				}
				for _, o := range objects {
					if err := f.client.Create(ctx, o); err != nil {
						return err
					}
				}
				return nil
			})
		}
	}
	return work.Wait()
}

// fleetWorkload is one of four kinds, by its number.
func fleetWorkload(ns string, i int) client.Object {
	name := modelName(i)
	pod := newPod(ns, "", name)
	pod.Labels["app"] = name
	meta := metav1.ObjectMeta{Namespace: ns, Name: name}
	template := corev1.PodTemplateSpec{ObjectMeta: metav1.ObjectMeta{Labels: pod.Labels}, Spec: pod.Spec}
	selector := &metav1.LabelSelector{MatchLabels: map[string]string{"app": name}}
	replicas := new(int32(podsEach))
	switch {
	case i < 4:
		return &appsv1.Deployment{ObjectMeta: meta, Spec: appsv1.DeploymentSpec{Replicas: replicas, Selector: selector, Template: template}}
	case i < 7:
		return &appsv1.StatefulSet{ObjectMeta: meta, Spec: appsv1.StatefulSetSpec{
			Replicas: replicas, Selector: selector, Template: template, PodManagementPolicy: appsv1.ParallelPodManagement}}
	case i < 9:
		return &appsv1.ReplicaSet{ObjectMeta: meta, Spec: appsv1.ReplicaSetSpec{Replicas: replicas, Selector: selector, Template: template}}
	default:
		return &corev1.ReplicationController{ObjectMeta: meta, Spec: corev1.ReplicationControllerSpec{
			Replicas: replicas, Selector: selector.MatchLabels, Template: &template}}
	}
}

func budgeted(i int) bool { return i%2 == 1 }

func fleetBudget(ns string, i int) *policyv1.PodDisruptionBudget {
	return &policyv1.PodDisruptionBudget{
		ObjectMeta: metav1.ObjectMeta{Namespace: ns, Name: modelName(i)},
		Spec: policyv1.PodDisruptionBudgetSpec{
			MaxUnavailable: new(intstr.FromInt32(spared)), Selector: &metav1.LabelSelector{MatchLabels: map[string]string{"app": modelName(i)}}},
	}
}

// untilBudgetsStand waits until Kubernetes has counted what each budget protects.
func (f *fleet) untilBudgetsStand(ctx context.Context) error {
	return f.until(ctx, "the budgets to stand", func(ctx context.Context) (bool, error) {
		list := &policyv1.PodDisruptionBudgetList{}
		err := f.client.List(ctx, list)
		for i := range list.Items {
			if list.Items[i].Status.DisruptionsAllowed != spared {
				return false, err
			}
		}
		return true, err
	})
}

// watchUntil follows the pods until done is true.
func (f *fleet) watchUntil(ctx context.Context, what string, done func() bool) error {
	ctx, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	for !done() {
		if err := f.follow(ctx, done); err != nil {
			return fmt.Errorf("wait for %s, with %d pods in service: %w", what, f.count(every), err)
		}
	}
	return nil
}

// follow reads how the pods are, and then each change, until done is true or the API server, which is busy, ends the watch.
func (f *fleet) follow(ctx context.Context, done func() bool) error {
	list := &corev1.PodList{}
	if err := f.client.List(ctx, list, client.HasLabels{v1alpha1.ModelLabel}); err != nil {
		return err
	}
	f.inService = map[client.ObjectKey]map[types.UID]bool{}
	for _, ns := range f.namespaces {
		for i := range perFleetNamespace {
			f.inService[client.ObjectKey{Namespace: ns, Name: modelName(i)}] = map[types.UID]bool{}
		}
	}
	for i := range list.Items {
		f.note(&list.Items[i], watch.Added)
	}
	watcher, err := f.client.Watch(ctx, &corev1.PodList{}, client.HasLabels{v1alpha1.ModelLabel},
		&client.ListOptions{Raw: listFrom(list.ResourceVersion)})
	if err != nil {
		return err
	}
	defer watcher.Stop()
	tick := time.NewTicker(100 * time.Millisecond)
	defer tick.Stop()
	for !done() {
		select {
		case e, ok := <-watcher.ResultChan():
			if !ok {
				return ctx.Err()
			}
			if pod, isPod := e.Object.(*corev1.Pod); isPod {
				f.note(pod, e.Type)
			}
		case <-tick.C: // done may be a matter of time
		}
	}
	return nil
}

func (f *fleet) note(pod *corev1.Pod, event watch.EventType) {
	of := client.ObjectKey{Namespace: pod.Namespace, Name: pod.Labels[v1alpha1.ModelLabel]}
	if f.inService[of] == nil {
		return
	}
	if event != watch.Deleted && pod.DeletionTimestamp == nil && pod.Status.Phase == corev1.PodRunning {
		f.inService[of][pod.UID] = true
	} else {
		delete(f.inService[of], pod.UID)
	}
}

// count sums up the pods in service of the workloads that a function picks.
func (f *fleet) count(picks func(model string) bool) int {
	n := 0
	for of, pods := range f.inService {
		if picks(of.Name) {
			n += len(pods)
		}
	}
	return n
}

// fewest is how many pods are in service of the workload with a budget that has the fewest.
func (f *fleet) fewest() int {
	least := podsEach
	for of, pods := range f.inService {
		if !unbudgeted(of.Name) {
			least = min(least, len(pods))
		}
	}
	return least
}

func every(string) bool { return true }

func unbudgeted(model string) bool {
	for i := range perFleetNamespace {
		if modelName(i) == model {
			return !budgeted(i)
		}
	}
	return false
}
