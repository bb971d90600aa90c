package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strconv"
	"strings"
	"time"

	"golang.org/x/sync/errgroup"
	corev1 "k8s.io/api/core/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/interlock-dev/interlock/api/v1alpha1"
)

// policyNamespaces is over how many namespaces the models are spread that a changed policy is tried on.
const policyNamespaces = 20

// measurePolicyChange times how long all models are judged anew after their policy has changed.
func measurePolicyChange(ctx context.Context, c config, cl *cluster, t *table) error {
	if err := cl.declare(ctx, c); err != nil {
		return err
	}
	if err := cl.changeNoVerdict(ctx, c.models, t); err != nil {
		return err
	}
	if err := cl.changeEveryVerdict(ctx, c.models, t); err != nil {
		return err
	}
	rss, err := memory(cl.manager.PID())
	t.beside("operator then, resident memory", fmt.Sprintf("%.0f MB", float64(rss)/1e6), "")
	return err
}

// policyBudget is how long a change of the policy of all models may take.
const policyBudget = time.Minute

// changeNoVerdict changes the policy so that nothing else is asked of any model, where nothing may be written.
func (cl *cluster) changeNoVerdict(ctx context.Context, models int, t *table) error {
	before, err := cl.versions(ctx)
	if err != nil {
		return err
	}
	took, err := cl.untilJudgedAnew(ctx, models, func() error {
		return cl.changePolicy(ctx, func(p *v1alpha1.ScalingPolicySpec) { p.Title += ", reworded" })
	})
	if err != nil {
		return err
	}
	after, err := cl.versions(ctx)
	if err != nil {
		return err
	}
	written := 0
	for name, version := range after {
		if before[name] != version {
			written++
		}
	}
	t.within(fmt.Sprintf("policy changed, and no verdict of %d models", models), "< 60 s", seconds(took), "", took < policyBudget)
	t.within("writes to models and ledgers for it", "0", strconv.Itoa(written), "", written == 0)
	return nil
}

// changeEveryVerdict changes the policy so that every model is held: first in the ledgers, from where on the API server
// holds their pods, and then in the status of each.
func (cl *cluster) changeEveryVerdict(ctx context.Context, models int, t *table) error {
	before, err := cl.metrics(ctx, ofLedgers)
	if err != nil {
		return err
	}
	start := time.Now()
	var enforced, reported time.Duration
	var work errgroup.Group
	work.Go(func() (err error) {
		reported, err = cl.untilAllHeld(ctx, models, func() error { return cl.changePolicy(ctx, leaveOpen) })
		return err
	})
	work.Go(func() error {
		for n := range policyNamespaces {
			if err := cl.untilCleared(ctx, policyNamespace(n), 0); err != nil {
				return err
			}
		}
		enforced = time.Since(start)
		return nil
	})
	if err := work.Wait(); err != nil {
		return err
	}
	after, err := cl.metrics(ctx, ofLedgers)
	if err != nil {
		return err
	}
	const writes = "interlock_ledger_writes_total"
	t.within(fmt.Sprintf("policy changed, every verdict of %d models enforced", models), "< 60 s", seconds(enforced), "", enforced < policyBudget)
	t.beside("and reported in the status of each, with an Event", seconds(reported), "")
	t.beside("writes to ledgers for it", fmt.Sprintf("%.0f", after[writes]-before[writes]), "")
	return nil
}

// leaveOpen lets the policy ask for what nobody can have.
func leaveOpen(p *v1alpha1.ScalingPolicySpec) {
	for i := range p.Levels {
		p.Levels[i].Security = v1alpha1.Standard{Unspecified: "a benchmark asks for what nobody has"}
	}
}

func seconds(d time.Duration) string { return fmt.Sprintf("%.1f s", d.Seconds()) }

// declare declares all models and waits until all are cleared.
func (cl *cluster) declare(ctx context.Context, c config) error {
	start := time.Now()
	each := c.models / policyNamespaces
	var work errgroup.Group
	work.SetLimit(c.clients)
	for n := range policyNamespaces {
		ns := policyNamespace(n)
		if err := errors.Join(cl.namespace(ctx, ns, packPolicy), cl.client.Create(ctx, egressPolicy(ns))); err != nil {
			return err
		}
		for m := range each {
			work.Go(func() error { return cl.client.Create(ctx, model(ns, modelName(m), clearedLevel)) })
		}
	}
	if err := work.Wait(); err != nil {
		return err
	}
	progress("%d models declared after %s", c.models, seconds(time.Since(start)))
	for n := range policyNamespaces {
		if err := cl.untilCleared(ctx, policyNamespace(n), each); err != nil {
			return err
		}
	}
	err := cl.until(ctx, "the status of all models", func(ctx context.Context) (bool, error) {
		models := &v1alpha1.ModelDeploymentList{}
		err := cl.client.List(ctx, models)
		for i := range models.Items {
			if models.Items[i].Status.Verdict != v1alpha1.OutcomeCleared {
				return false, err
			}
		}
		return len(models.Items) == c.models, err
	})
	progress("%d models cleared after %s", c.models, seconds(time.Since(start)))
	return errors.Join(err, cl.untilQuiet(ctx, cl.manager.PID()))
}

func policyNamespace(n int) string { return fmt.Sprintf("bench-policy-%d", n) }

// changePolicy changes the policy of all models.
func (cl *cluster) changePolicy(ctx context.Context, change func(*v1alpha1.ScalingPolicySpec)) error {
	policy := &v1alpha1.ScalingPolicy{}
	if err := cl.client.Get(ctx, client.ObjectKey{Name: packPolicy}, policy); err != nil {
		return err
	}
	change(&policy.Spec)
	return cl.client.Update(ctx, policy)
}

// versions gives the resourceVersion of each model and of the clearances of each namespace.
func (cl *cluster) versions(ctx context.Context) (map[string]string, error) {
	versions := map[string]string{}
	models, clearances := &v1alpha1.ModelDeploymentList{}, &corev1.LimitRangeList{}
	err := errors.Join(cl.client.List(ctx, models), cl.client.List(ctx, clearances, client.MatchingLabels{v1alpha1.ManagedByLabel: v1alpha1.ManagedBy}))
	for i := range models.Items {
		versions["model "+models.Items[i].Namespace+"/"+models.Items[i].Name] = models.Items[i].ResourceVersion
	}
	for i := range clearances.Items {
		versions["clearances of "+clearances.Items[i].Namespace] = clearances.Items[i].ResourceVersion
	}
	return versions, err
}

// untilJudgedAnew changes something and waits until the controller has looked at all models since and has nothing left to
// do. Where nothing is written, only its own metrics tell.
func (cl *cluster) untilJudgedAnew(ctx context.Context, models int, change func() error) (time.Duration, error) {
	const reconciled, waiting, busy = "controller_runtime_reconcile_total", "workqueue_depth", "controller_runtime_active_workers"
	before, err := cl.metrics(ctx, ofModels)
	if err != nil {
		return 0, err
	}
	start := time.Now()
	if err := change(); err != nil {
		return 0, err
	}
	err = cl.until(ctx, "all models to be judged anew", func(ctx context.Context) (bool, error) {
		now, err := cl.metrics(ctx, ofModels)
		return err == nil && now[reconciled]-before[reconciled] >= float64(models) && now[waiting]+now[busy] == 0, err
	})
	return time.Since(start), err
}

// Labels of the metrics of the controller that decides on models, and of those on ledgers.
const (
	ofModels  = `controller="modeldeployment"`
	ofLedgers = `ledger="`
)

// metrics gives the manager's metrics that have a label, summed over their other labels.
func (cl *cluster) metrics(ctx context.Context, label string) (map[string]float64, error) {
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, cl.manager.MetricsURL(), http.NoBody)
	if err != nil {
		return nil, err
	}
	response, err := http.DefaultClient.Do(request)
	if err != nil {
		return nil, err
	}
	defer response.Body.Close()
	text, err := io.ReadAll(response.Body)
	if err != nil {
		return nil, err
	}
	sums := map[string]float64{}
	for line := range strings.Lines(string(text)) {
		name, rest, _ := strings.Cut(line, "{")
		labels, value, ok := strings.Cut(rest, "} ")
		if !ok || !strings.Contains(labels, label) {
			continue
		}
		n, err := strconv.ParseFloat(strings.TrimSpace(value), 64)
		if err != nil {
			return nil, err
		}
		sums[name] += n
	}
	return sums, nil
}

// untilAllHeld changes something and waits until the status of every model says that it is held.
func (cl *cluster) untilAllHeld(ctx context.Context, models int, change func() error) (time.Duration, error) {
	list := &v1alpha1.ModelDeploymentList{}
	if err := cl.client.List(ctx, list, client.Limit(1)); err != nil {
		return 0, err
	}
	ctx, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	watcher, err := cl.client.Watch(ctx, &v1alpha1.ModelDeploymentList{}, &client.ListOptions{Raw: listFrom(list.ResourceVersion)})
	if err != nil {
		return 0, err
	}
	defer watcher.Stop()
	start := time.Now()
	if err := change(); err != nil {
		return 0, err
	}
	held := map[client.ObjectKey]bool{}
	for len(held) < models {
		select {
		case <-ctx.Done():
			return 0, fmt.Errorf("%d of %d models held: %w", len(held), models, ctx.Err())
		case e, ok := <-watcher.ResultChan():
			if !ok {
				return 0, fmt.Errorf("the watch ended with %d of %d models held", len(held), models)
			}
			if md, isModel := e.Object.(*v1alpha1.ModelDeployment); isModel && md.Status.Verdict == v1alpha1.OutcomeHeld {
				held[client.ObjectKeyFromObject(md)] = true
			}
		}
	}
	return time.Since(start), nil
}
