// Package process runs the programs of a test stack as children that end with the process that started them,
// however that one ends.
//
// It knows nothing of what it runs, and imports nothing of this module.
package process

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"runtime"
	"syscall"
	"time"

	"k8s.io/apimachinery/pkg/util/wait"
)

const (
	// readyInterval is how often WaitReady asks.
	readyInterval = 25 * time.Millisecond
	// logTail is how much of a log an error quotes.
	logTail = 2000
)

// A Spec tells what to run.
type Spec struct {
	// Name is what errors call the process.
	Name string
	// Path is the binary.
	Path string
	Args []string
	// Log is the file to which standard output and error are appended.
	Log string
}

// A Process is a running, or ended, child.
type Process struct {
	spec Spec
	cmd  *exec.Cmd
	// done is closed when the process is gone; err is set before.
	done chan struct{}
	err  error
}

// Start starts a process. On Linux the kernel kills it when this process dies, even of SIGKILL. Elsewhere it
// outlives a parent that is killed, so Stop or Kill it.
func Start(spec Spec) (*Process, error) {
	log, err := os.OpenFile(spec.Log, os.O_CREATE|os.O_WRONLY|os.O_APPEND, 0o600)
	if err != nil {
		return nil, fmt.Errorf("start %s: %w", spec.Name, err)
	}
	cmd := exec.Command(spec.Path, spec.Args...)
	cmd.Stdout, cmd.Stderr = log, log
	cmd.SysProcAttr = sysProcAttr()
	p := &Process{spec: spec, cmd: cmd, done: make(chan struct{})}
	started := make(chan error)
	go p.run(log, started)
	if err := <-started; err != nil {
		return nil, fmt.Errorf("start %s: %w", spec.Name, err)
	}
	return p, nil
}

// run starts the command and waits for its end on one OS thread, since Linux takes the end of the thread that
// started a child for the end of its parent.
func (p *Process) run(log *os.File, started chan<- error) {
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	defer log.Close()
	err := p.cmd.Start()
	started <- err
	if err != nil {
		return
	}
	p.err = p.cmd.Wait()
	close(p.done)
}

// PID is the id of the process.
func (p *Process) PID() int { return p.cmd.Process.Pid }

// Done is closed when the process has ended.
func (p *Process) Done() <-chan struct{} { return p.done }

// Running tells whether the process has not ended yet.
func (p *Process) Running() bool {
	select {
	case <-p.done:
		return false
	default:
		return true
	}
}

// Signal sends the process a signal.
func (p *Process) Signal(signal os.Signal) error {
	if err := p.cmd.Process.Signal(signal); err != nil {
		return fmt.Errorf("send %s to %s (pid %d): %w", signal, p.spec.Name, p.PID(), err)
	}
	return nil
}

// Kill ends the process at once with SIGKILL and waits until it is gone. It does nothing to one that has ended.
func (p *Process) Kill() error {
	if err := p.cmd.Process.Kill(); err != nil && !errors.Is(err, os.ErrProcessDone) {
		return fmt.Errorf("kill %s (pid %d): %w", p.spec.Name, p.PID(), err)
	}
	<-p.done
	return nil
}

// Stop asks the process to end with SIGTERM and waits until it is gone. If ctx ends first, it kills the process and
// says so in the error.
func (p *Process) Stop(ctx context.Context) error {
	if err := p.cmd.Process.Signal(syscall.SIGTERM); err != nil && !errors.Is(err, os.ErrProcessDone) {
		return fmt.Errorf("stop %s (pid %d): %w", p.spec.Name, p.PID(), err)
	}
	select {
	case <-p.done:
		return nil
	case <-ctx.Done():
		err := fmt.Errorf("%s (pid %d) did not end on SIGTERM and was killed: %w", p.spec.Name, p.PID(), context.Cause(ctx))
		return errors.Join(err, p.Kill())
	}
}

// WaitReady polls ready until it returns nil. It fails as soon as the process ends, or when ctx does; the error then
// holds the last answer of ready and the end of the log.
func (p *Process) WaitReady(ctx context.Context, ready func(context.Context) error) error {
	var last error
	err := wait.PollUntilContextCancel(ctx, readyInterval, true, func(ctx context.Context) (bool, error) {
		if !p.Running() {
			return false, p.Report()
		}
		last = ready(ctx)
		return last == nil, nil
	})
	if err == nil || !p.Running() {
		return err
	}
	return fmt.Errorf("%s did not become ready: %w", p.spec.Name, errors.Join(err, last, p.Report()))
}

// Report describes the state of the process as an error: whether it runs, its exit status, and the end of its log.
func (p *Process) Report() error {
	state := fmt.Sprintf("runs with pid %d", p.PID())
	if !p.Running() {
		state = fmt.Sprintf("ended: %v", p.err)
		if p.err == nil {
			state = "ended with status 0"
		}
	}
	return fmt.Errorf("%s %s; the end of its log %s:\n%s", p.spec.Name, state, p.spec.Log, tail(p.spec.Log))
}

func tail(path string) []byte {
	content, err := os.ReadFile(path)
	if err != nil {
		return []byte(err.Error())
	}
	if len(content) > logTail {
		content = content[len(content)-logTail:]
		if _, rest, found := bytes.Cut(content, []byte("\n")); found {
			content = rest
		}
	}
	return bytes.TrimSpace(content)
}
