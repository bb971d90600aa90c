//go:build unix

package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"syscall"
	"time"

	"k8s.io/apimachinery/pkg/util/wait"
)

// patience is how long the supervisor may take to end everything in order before it is killed.
const patience = 45 * time.Second

// down ends the supervisor of this stack, and so all that it runs, and returns when it is gone.
func down(ctx context.Context, dir stateDir) error {
	pid, err := dir.supervisor()
	if err != nil {
		return err
	}
	if pid == 0 {
		fmt.Fprintln(os.Stderr, "The stack is not up.")
		return nil
	}
	if err := signalAndWait(ctx, dir, pid, syscall.SIGTERM, patience); err == nil {
		fmt.Fprintln(os.Stderr, "The stack is down.")
		return nil
	} else if !errors.Is(err, context.DeadlineExceeded) {
		return err
	}
	fmt.Fprintf(os.Stderr, "The supervisor (pid %d) did not end within %s and is killed.\n", pid, patience)
	return errors.Join(signalAndWait(ctx, dir, pid, syscall.SIGKILL, patience), dir.forget())
}

// signalAndWait sends the signal to the supervisor pid and waits until it no longer holds the lock.
func signalAndWait(ctx context.Context, dir stateDir, pid int, signal syscall.Signal, timeout time.Duration) error {
	if err := syscall.Kill(pid, signal); err != nil && !errors.Is(err, syscall.ESRCH) {
		return fmt.Errorf("end the supervisor (pid %d): %w", pid, err)
	}
	return wait.PollUntilContextTimeout(ctx, pollInterval, timeout, true, func(context.Context) (bool, error) {
		holder, err := dir.supervisor()
		return holder != pid, err
	})
}
