//go:build unix

package main

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"syscall"
)

// A phase is how far the supervisor has come.
type phase string

const (
	starting phase = "Starting"
	ready    phase = "Ready"
	failed   phase = "Failed"
)

// A state is what the supervisor tells of itself, in state.json.
type state struct {
	// PID is that of the supervisor.
	PID   int   `json:"pid"`
	Phase phase `json:"phase"`
	// Message says what is being done, or what went wrong.
	Message    string `json:"message,omitempty"`
	Kubeconfig string `json:"kubeconfig,omitempty"`
	Kubectl    string `json:"kubectl,omitempty"`
	ManagerPID int    `json:"managerPID,omitempty"`
	MetricsURL string `json:"metricsURL,omitempty"`
	Logs       string `json:"logs,omitempty"`
	// Record is the folder of the decision record.
	Record string `json:"record,omitempty"`
}

// A stateDir is the folder of one stack.
type stateDir string

func (d stateDir) path(name string) string { return filepath.Join(string(d), name) }

// supervisorLog is where the supervisor writes what it has to say.
func (d stateDir) supervisorLog() string { return d.path("supervisor.log") }

// write replaces state.json in one step, so that a reader finds the old or the new one whole.
func (d stateDir) write(s state) error {
	content, err := json.MarshalIndent(s, "", "  ")
	if err != nil {
		return err
	}
	unfinished := d.path("state.json.new")
	if err := os.WriteFile(unfinished, append(content, '\n'), 0o600); err != nil {
		return err
	}
	return os.Rename(unfinished, d.path("state.json"))
}

// read returns what the supervisor pid told last; if it told nothing yet, that it is starting.
func (d stateDir) read(pid int) (state, error) {
	content, err := os.ReadFile(d.path("state.json"))
	if err != nil && !errors.Is(err, os.ErrNotExist) {
		return state{}, err
	}
	var s state
	if err == nil {
		if err := json.Unmarshal(content, &s); err != nil {
			return state{}, fmt.Errorf("%s: %w", d.path("state.json"), err)
		}
	}
	if s.PID != pid { // It is what an earlier supervisor left.
		return state{PID: pid, Phase: starting}, nil
	}
	return s, nil
}

// forget removes state.json.
func (d stateDir) forget() error {
	if err := os.Remove(d.path("state.json")); !errors.Is(err, os.ErrNotExist) {
		return err
	}
	return nil
}

// supervisor returns the pid of the process that supervises this stack, or 0 if there is none. It is the kernel that
// says so: the supervisor holds a lock, which ends with the process, so the pid is never that of another one.
func (d stateDir) supervisor() (int, error) {
	file, err := os.Open(d.path("lock"))
	if errors.Is(err, os.ErrNotExist) {
		return 0, nil
	}
	if err != nil {
		return 0, err
	}
	defer file.Close()
	lock := wholeFile()
	if err := syscall.FcntlFlock(file.Fd(), syscall.F_GETLK, lock); err != nil {
		return 0, fmt.Errorf("lock %s: %w", file.Name(), err)
	}
	if lock.Type == syscall.F_UNLCK {
		return 0, nil
	}
	if lock.Pid <= 0 {
		return 0, fmt.Errorf("%s is locked by a process that cannot be seen from here, say in another container", file.Name())
	}
	return int(lock.Pid), nil
}

// lock makes this process the supervisor, until it ends. The file must stay open, and this process must not open it
// again: the lock is gone as soon as either is closed.
func (d stateDir) lock() (*os.File, error) {
	file, err := os.OpenFile(d.path("lock"), os.O_CREATE|os.O_RDWR, 0o600)
	if err != nil {
		return nil, err
	}
	if err := syscall.FcntlFlock(file.Fd(), syscall.F_SETLK, wholeFile()); err != nil {
		return nil, errors.Join(fmt.Errorf("another supervisor holds %s: %w", file.Name(), err), file.Close())
	}
	return file, nil
}

func wholeFile() *syscall.Flock_t {
	return &syscall.Flock_t{Type: syscall.F_WRLCK, Whence: io.SeekStart}
}
