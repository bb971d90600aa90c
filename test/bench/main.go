// Command bench measures what Interlock is fast at and what it costs, on a real control plane on loopback: how soon a
// pod is released, how long a thousand take, what the operator needs when nothing happens, and what share of the pod
// creations of a bare namespace an enrolled one keeps. docs/benchmarks.md says how and why.
//
// Missed budgets do not fail it: timings depend on the machine. Errors do.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"os"
	"os/signal"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"time"

	ctrl "sigs.k8s.io/controller-runtime"
	"sigs.k8s.io/controller-runtime/pkg/log/zap"

	"github.com/interlock-dev/interlock/internal/testing/stack"
)

// config is how much is measured.
type config struct {
	// only names the parts that are run; empty, all.
	only []string
	// profile is a folder for CPU profiles of the API server; empty, none.
	profile string
	// arms, if any, are the only ones that are measured of the throughput.
	arms []string

	latencyTries           int
	idle                   time.Duration
	rounds, podsPerSlice   int
	ledgers                []int
	releaseModels, perNS   int
	podsPerModel           int
	models, assessments    int
	fleetNamespaces        int
	foreignPods            int
	revocations            int
	clients, podBytes      int
	webhooks, withOperator bool
	// limited runs the operator in a memory cgroup of the shipped limit.
	limited bool
}

func main() {
	c := config{
		latencyTries: 200, idle: 3 * time.Minute, rounds: 60, podsPerSlice: 100, ledgers: []int{1, 100, 1000},
		releaseModels: 100, perNS: 10, podsPerModel: 10, models: 10_000, assessments: 10_000, fleetNamespaces: 10, foreignPods: 20_000, revocations: 100, clients: 8, podBytes: 4096, webhooks: true, withOperator: true,
	}
	quick := flag.Bool("quick", false, "Measure less often: figures within a few minutes, with more noise.")
	only := flag.String("only", "", "Run only these parts, of decide,latency,release,assessments,policychange,fleet,foreign,hostile,fat,throughput.")
	arms := flag.String("lines", "", "Measure the throughput only of lines whose name contains one of these texts, between semicolons.")
	flag.IntVar(&c.rounds, "rounds", c.rounds, "Rounds of the throughput.")
	flag.IntVar(&c.podsPerSlice, "pods", c.podsPerSlice, "Pods of each line in a round of the throughput.")
	flag.StringVar(&c.profile, "profile", "", "Write CPU profiles of the API server for each line of the throughput into this folder.")
	flag.BoolVar(&c.limited, "limited", false, "Run the operator in a memory cgroup of the limit that config/manager sets; takes root.")
	flag.Parse()
	if *quick {
		c.latencyTries, c.idle, c.rounds, c.podsPerSlice, c.models, c.assessments = 30, 20*time.Second, 10, 100, 1000, 1000
		c.fleetNamespaces, c.foreignPods, c.revocations = 2, 5000, 20
	}
	c.only, c.arms = split(*only, ','), split(*arms, ';')
	ctrl.SetLogger(zap.New(zap.WriteTo(os.Stderr)))

	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	if err := run(ctx, c); err != nil {
		fmt.Fprintln(os.Stderr, "bench:", err)
		stop()
		os.Exit(1)
	}
}

func split(list string, by rune) []string {
	return strings.FieldsFunc(list, func(r rune) bool { return r == by })
}

func (c config) runs(part string) bool { return len(c.only) == 0 || slices.Contains(c.only, part) }

// run measures each part on a control plane of its own, so that none finds what another left behind.
func run(ctx context.Context, c config) error {
	dir, err := os.MkdirTemp("", "interlock-bench-")
	if err != nil {
		return err
	}
	defer os.RemoveAll(dir)
	manager := filepath.Join(dir, "manager")
	if err := stack.BuildManager(ctx, manager); err != nil {
		return err
	}
	if c.limited {
		group, err := newCgroup()
		if err != nil {
			return fmt.Errorf("skipped, since the operator cannot be limited: %w", err)
		}
		defer func() { _ = group.remove() }()
		if err := group.wrap(manager); err != nil {
			return err
		}
	}
	t := &table{}
	for _, part := range []struct {
		name    string
		measure func(context.Context, config, *cluster, *table) error
	}{
		{"decide", measureDecide},
		{"latency", measureLatency},
		{"release", measureRelease},
		{"assessments", measureAssessments},
		{"policychange", measurePolicyChange},
		{"fleet", measureFleet},
		{"foreign", measureForeign},
		{"hostile", measureHostile},
		{"fat", measureFat},
		{"throughput", measureThroughput},
	} {
		if !c.runs(part.name) {
			continue
		}
		if err := on(ctx, c, manager, t, part.measure); err != nil {
			return fmt.Errorf("measure %s: %w", part.name, err)
		}
	}
	return t.print(os.Stdout)
}

func on(ctx context.Context, c config, manager string, t *table,
	measure func(context.Context, config, *cluster, *table) error) error {
	cl, err := start(ctx, manager)
	if err != nil {
		return err
	}
	if t.machine == "" {
		if t.machine, err = machine(cl); err != nil {
			return errors.Join(err, cl.Stop())
		}
	}
	return errors.Join(measure(ctx, c, cl, t), cl.Stop())
}

// progress tells on standard error what is being done, so that standard output holds the table alone.
func progress(format string, args ...any) {
	fmt.Fprintf(os.Stderr, time.Now().Format("15:04:05 ")+format+"\n", args...)
}
