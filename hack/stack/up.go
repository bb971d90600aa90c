//go:build unix

package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"syscall"
	"time"

	"k8s.io/apimachinery/pkg/util/wait"

	"github.com/interlock-dev/interlock/internal/testing/controlplane"
	"github.com/interlock-dev/interlock/internal/testing/stack"
)

// pollInterval is how often `up` and `down` look at what the supervisor does.
const pollInterval = 50 * time.Millisecond

// up starts the stack, unless it is up, and prints how to reach it.
func up(ctx context.Context, dir stateDir, assets string) error {
	pid, err := dir.supervisor()
	if err != nil {
		return err
	}
	if pid != 0 {
		fmt.Fprintln(os.Stderr, "The stack is up already. `make down` ends it.")
		s, err := follow(ctx, dir, pid)
		if err != nil {
			return err
		}
		tell(s)
		return nil
	}
	if pid, err = launch(ctx, dir, assets); err != nil {
		return err
	}
	s, err := follow(ctx, dir, pid)
	if ctx.Err() != nil {
		// Whoever interrupts `up` does not want what it has begun.
		return errors.Join(err, down(context.WithoutCancel(ctx), dir))
	}
	if err != nil {
		return err
	}
	tell(s)
	return nil
}

// launch builds what is needed and starts the supervisor in a session of its own, so that it outlives this process
// and its terminal.
func launch(ctx context.Context, dir stateDir, assets string) (int, error) {
	if assets == "" {
		var err error
		if assets, err = controlplane.Assets(ctx); err != nil {
			return 0, err
		}
	}
	fmt.Fprintln(os.Stderr, "... build the manager")
	if err := stack.BuildManager(ctx, filepath.Join("bin", "manager")); err != nil {
		return 0, err
	}
	self, err := os.Executable()
	if err != nil {
		return 0, err
	}
	log, err := os.OpenFile(dir.supervisorLog(), os.O_CREATE|os.O_WRONLY|os.O_TRUNC|os.O_APPEND, 0o600)
	if err != nil {
		return 0, err
	}
	defer log.Close()
	cmd := exec.Command(self, "supervise", "--dir", string(dir), "--assets", assets)
	cmd.Stdout, cmd.Stderr = log, log
	cmd.SysProcAttr = &syscall.SysProcAttr{Setsid: true}
	if err := cmd.Start(); err != nil {
		return 0, fmt.Errorf("start the supervisor: %w", err)
	}
	go func() { _ = cmd.Wait() }() // So that it is seen to be gone when it ends while this process runs.
	return cmd.Process.Pid, nil
}

// follow shows what the supervisor pid does until the stack is ready.
func follow(ctx context.Context, dir stateDir, pid int) (state, error) {
	var s state
	shown := ""
	err := wait.PollUntilContextCancel(ctx, pollInterval, true, func(context.Context) (bool, error) {
		var err error
		if s, err = dir.read(pid); err != nil {
			return false, err
		}
		if s.Phase == failed {
			return false, errors.New(s.Message)
		}
		if s.Phase == starting && s.Message != shown {
			fmt.Fprintf(os.Stderr, "... %s\n", s.Message)
			shown = s.Message
		}
		if s.Phase == ready {
			return true, nil
		}
		if syscall.Kill(pid, 0) != nil {
			// Of two that were started at once, the other may have come first.
			if holder, err := dir.supervisor(); err != nil || holder != 0 {
				pid = holder
				return false, err
			}
			log, err := os.ReadFile(dir.supervisorLog())
			return false, errors.Join(fmt.Errorf("the supervisor ended before the stack was ready:\n%s", log), err)
		}
		return false, nil
	})
	return s, err
}

// tell prints what a shell needs on standard output, and the rest on standard error.
func tell(s state) {
	fmt.Fprintf(os.Stderr, "Interlock is up; its manager has pid %d. Logs are in %s. `make down` ends it.\n\n", s.ManagerPID, s.Logs)
	fmt.Printf("export KUBECONFIG=%s\n", s.Kubeconfig)
	fmt.Printf("export INTERLOCK_RECORD=%s # the decision record, see docs/record.md\n", s.Record)
	if _, err := exec.LookPath("kubectl"); err != nil {
		fmt.Printf("export PATH=$PATH:%s # for its kubectl, since there is none\n", filepath.Dir(s.Kubectl))
	}
}
