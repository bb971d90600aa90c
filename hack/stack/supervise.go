//go:build unix

package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"runtime"

	"github.com/interlock-dev/interlock/internal/testing/stack"
)

// supervise runs the stack until ctx ends or a component of the control plane does.
func supervise(ctx context.Context, dir stateDir, assets string) error {
	lock, err := dir.lock()
	if err != nil {
		return err
	}
	// It is left to the end of the process to close the file: the lock is the sign that the process is there.
	defer runtime.KeepAlive(lock)
	told := state{PID: os.Getpid(), Phase: starting, Logs: dir.path("logs")}
	s, err := start(ctx, dir, assets, &told)
	if err != nil {
		told.Phase, told.Message = failed, err.Error()
		return errors.Join(err, dir.write(told))
	}
	told.Phase, told.Message = ready, ""
	err = errors.Join(dir.write(told), watch(ctx, s, os.Stderr))
	for _, m := range s.Managers() {
		err = errors.Join(err, m.Stop(context.WithoutCancel(ctx)))
	}
	return errors.Join(err, s.Stop(), dir.forget())
}

// start starts the stack with one manager, and tells of each step.
func start(ctx context.Context, dir stateDir, assets string, told *state) (*stack.Stack, error) {
	s, err := stack.Start(ctx, stack.Options{
		Dir:    string(dir),
		Assets: assets,
		Progress: func(step string) {
			told.Message = step
			if err := dir.write(*told); err != nil {
				fmt.Fprintf(os.Stderr, "%s: %v\n", step, err)
			}
		},
	})
	if err != nil {
		return nil, err
	}
	told.Kubeconfig, told.Kubectl = s.Kubeconfig(), s.KubectlPath()
	m, err := s.StartManager(ctx)
	if err != nil {
		return nil, errors.Join(err, s.Stop())
	}
	told.ManagerPID, told.MetricsURL, told.Record = m.PID(), m.MetricsURL(), s.Record()
	return s, nil
}

// watch returns when ctx ends, or with an error when the control plane is broken. A manager that ends is only
// written down: whoever killed it may want to see what then holds.
func watch(ctx context.Context, s *stack.Stack, log io.Writer) error {
	for _, m := range s.Managers() {
		go func() {
			<-m.Done()
			if ctx.Err() == nil {
				fmt.Fprintln(log, m.Report())
			}
		}()
	}
	select {
	case <-ctx.Done():
		return nil
	case err := <-s.Failed():
		return err
	}
}
