package main

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"golang.org/x/sync/errgroup"
	corev1 "k8s.io/api/core/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"
)

const (
	bareNamespace    = "bench-bare"
	webhookNamespace = "bench-webhooks"
	heldModel        = "the-held-model"
)

// arm is one line: pods of a model in a namespace, compared with the bare namespace.
type arm struct {
	name, namespace, model string
	held                   bool
	// budget is the least share; zero, there is none.
	budget float64
	// like names the arm of whose share this one must keep 0.9.
	like string
	// webhooks says that each pod must have gone through both.
	webhooks bool
}

// outcome is what was measured of one arm.
type outcome struct {
	shares []float64
	// cpu is the processor time for a pod in each round.
	cpu []time.Duration
}

// spread gives the quartiles of the shares, and what processor time a pod takes beyond a bare one. The lower quartile of
// that is from rounds in which little else ran, so on a machine that has other work it is the steadier figure.
func (o outcome) spread(b *bench) string {
	const calm = 0.25
	bare, own := quantile(b.bareCPU, calm), quantile(o.cpu, calm)
	return fmt.Sprintf("%.2f .. %.2f, CPU %+d µs = %.3f", quantile(o.shares, 0.25), quantile(o.shares, 0.75),
		(own - bare).Microseconds(), float64(bare)/float64(own))
}

// measureThroughput creates pods in turn in a bare namespace and in enrolled ones.
func measureThroughput(ctx context.Context, c config, cl *cluster, t *table) error {
	arms, err := cl.arms(ctx, c)
	if err != nil {
		return err
	}
	// The ledgers stand: from here on the API server alone is measured, without those that watch pods on the same cores.
	if c.withOperator && len(c.arms) == 0 {
		if err := cl.withOperator(ctx, c, t, arms[0]); err != nil {
			return err
		}
	}
	if err := cl.quiet(ctx); err != nil {
		return err
	}
	b, err := newBench(cl, c)
	if err != nil {
		return err
	}
	outcomes, err := b.run(ctx, arms)
	if err != nil {
		return err
	}
	for _, a := range arms {
		o := outcomes[a.name]
		share := median(o.shares)
		if a.budget == 0 {
			t.beside(a.name, fmt.Sprintf("%.2f", share), o.spread(b))
			continue
		}
		t.within(a.name, fmt.Sprintf(">= %.2f", a.budget), fmt.Sprintf("%.2f", share), o.spread(b), share >= a.budget)
	}
	for _, a := range arms {
		if like, ok := outcomes[a.like]; ok {
			kept := median(outcomes[a.name].shares) / median(like.shares)
			t.within(a.name+", of the share with 1", ">= 0.90", fmt.Sprintf("%.2f", kept), "", kept >= 0.9)
		}
	}
	t.note("A share is the pods created per second as a part of those in the bare namespace before and after: median of %d rounds of %d pods, "+
		"with quartiles. CPU: what API server, etcd and clients need for a pod beyond a bare one, which takes %d µs, and the share that "+
		"this alone would give. Bare: %.0f pods/s.",
		c.rounds, c.podsPerSlice, quantile(b.bareCPU, 0.25).Microseconds(), median(b.bareRates))
	return nil
}

// arms fills the namespaces: real ModelDeployments, whose ledgers the operator writes.
func (cl *cluster) arms(ctx context.Context, c config) ([]arm, error) {
	if err := cl.namespace(ctx, bareNamespace, ""); err != nil {
		return nil, err
	}
	var arms []arm
	for _, policy := range []struct{ name, words string }{{packPolicy, "pack"}, {plainPolicy, "no pod rules"}} {
		for _, n := range c.ledgers {
			ns := fmt.Sprintf("bench-%d-%s", n, strings.ReplaceAll(policy.words, " ", "-"))
			words := fmt.Sprintf("%d models, %s", n, policy.words)
			pair := []arm{
				{name: "cleared, " + words, namespace: ns, model: modelName(n / 2), budget: 0.9},
				{name: "held, " + words, namespace: ns, model: heldModel, held: true, budget: 0.6},
			}
			if n == slices.Max(c.ledgers) && n > 1 {
				pair[0].like, pair[1].like = "cleared, 1 models, "+policy.words, "held, 1 models, "+policy.words
			}
			pair = slices.DeleteFunc(pair, func(a arm) bool { return !c.wants(a.name) })
			if len(pair) == 0 {
				continue
			}
			if err := cl.fill(ctx, c, ns, policy.name, n); err != nil {
				return nil, err
			}
			arms = append(arms, pair...)
		}
	}
	hooks := arm{name: "no-op webhooks, mutating and validating", namespace: webhookNamespace, model: heldModel, webhooks: true}
	if !c.webhooks || !c.wants(hooks.name) {
		return arms, nil
	}
	if err := errors.Join(cl.namespace(ctx, webhookNamespace, ""), cl.serveWebhooks(ctx)); err != nil {
		return nil, err
	}
	ns := &corev1.Namespace{}
	if err := cl.client.Get(ctx, client.ObjectKey{Name: webhookNamespace}, ns); err != nil {
		return nil, err
	}
	ns.Labels[webhookLabel] = "on"
	return append(arms, hooks), cl.client.Update(ctx, ns)
}

func (c config) wants(name string) bool {
	return len(c.arms) == 0 || slices.ContainsFunc(c.arms, func(part string) bool { return strings.Contains(name, part) })
}

// fill makes a namespace with so many cleared models and one that is held.
func (cl *cluster) fill(ctx context.Context, c config, ns, policy string, models int) error {
	progress("fill the ledger of %s with %d models", ns, models)
	if err := cl.namespace(ctx, ns, policy); err != nil {
		return err
	}
	if err := cl.client.Create(ctx, egressPolicy(ns)); err != nil {
		return err
	}
	if err := cl.client.Create(ctx, model(ns, heldModel, heldLevel)); err != nil {
		return err
	}
	var work errgroup.Group
	work.SetLimit(c.clients)
	for i := range models {
		work.Go(func() error { return cl.client.Create(ctx, model(ns, modelName(i), clearedLevel)) })
	}
	if err := work.Wait(); err != nil {
		return err
	}
	if err := cl.untilCleared(ctx, ns, models); err != nil {
		return err
	}
	return errors.Join(cl.untilJudged(ctx, ns, modelName(models/2), false), cl.untilJudged(ctx, ns, heldModel, true))
}

// withOperator measures one line while the operator watches and judges each pod on the same cores.
func (cl *cluster) withOperator(ctx context.Context, c config, t *table, a arm) error {
	if err := cl.untilQuiet(ctx, cl.manager.PID()); err != nil {
		return err
	}
	b, err := newBench(cl, c)
	if err != nil {
		return err
	}
	outcomes, err := b.run(ctx, []arm{a})
	if err != nil {
		return err
	}
	o := outcomes[a.name]
	t.beside(a.name+", operator on the same cores", fmt.Sprintf("%.2f", median(o.shares)), o.spread(b))
	return nil
}

// quiet ends all that works against the API server beside the clients.
func (cl *cluster) quiet(ctx context.Context) error {
	if err := cl.untilQuiet(ctx, cl.manager.PID()); err != nil {
		return err
	}
	if err := cl.manager.Stop(ctx); err != nil {
		return err
	}
	return errors.Join(end("kube-scheduler"), end("kube-controller-manager"), end("kwok"))
}
