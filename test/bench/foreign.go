package main

import (
	"context"
	"fmt"

	"golang.org/x/sync/errgroup"
)

// measureForeign compares what a fresh operator needs beside many pods of others with what it needs beside none. It manages some
// pods in either case.
func measureForeign(ctx context.Context, c config, cl *cluster, t *table) error {
	const ours, foreign = "bench-ours", "bench-foreign"
	if err := cl.held(ctx, c, ours); err != nil {
		return err
	}
	beside, err := cl.freshOperator(ctx)
	if err != nil {
		return err
	}
	if err := cl.namespace(ctx, foreign, ""); err != nil {
		return err
	}
	progress("create %d pods of others", c.foreignPods)
	var work errgroup.Group
	work.SetLimit(c.clients)
	for i := range c.foreignPods {
		work.Go(func() error {
			pod := newPod(foreign, fmt.Sprintf("pod-%d", i), "")
			pod.Spec.SchedulerName = noScheduler
			return cl.client.Create(ctx, pod)
		})
	}
	if err := work.Wait(); err != nil {
		return err
	}
	after, err := cl.freshOperator(ctx)
	if err != nil {
		return err
	}
	const slack = 1.1 // of two fresh operators beside none the one may need so much more than the other
	for _, figure := range []struct {
		name          string
		beside, after int64
	}{{"resident memory at rest", beside.now, after.now}, {"greatest resident memory since its start", beside.most, after.most}} {
		t.within(fmt.Sprintf("operator beside %d pods of others, %s", c.foreignPods, figure.name), fmt.Sprintf("~ %.0f MB beside none", float64(figure.beside)/1e6),
			fmt.Sprintf("%.0f MB", float64(figure.after)/1e6), "", float64(figure.after) <= slack*float64(figure.beside))
	}
	return nil
}

// footprint is the resident memory of a process: now, and the most that it ever was.
type footprint struct{ now, most int64 }

// freshOperator replaces the operator, and measures the new one when it has read all that it watches and is at rest.
func (cl *cluster) freshOperator(ctx context.Context) (footprint, error) {
	if err := cl.manager.Stop(ctx); err != nil {
		return footprint{}, err
	}
	var err error
	if cl.manager, err = cl.StartManager(ctx, "--leader-elect=false"); err != nil {
		return footprint{}, err
	}
	pid := cl.manager.PID()
	if err := cl.untilQuiet(ctx, pid); err != nil {
		return footprint{}, err
	}
	now, err := memory(pid)
	if err != nil {
		return footprint{}, err
	}
	most, err := status(pid, "VmHWM")
	return footprint{now, most}, err
}
