package stack

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/interlock-dev/interlock/api/v1alpha1"
	"github.com/interlock-dev/interlock/internal/testing/controlplane"
	"github.com/interlock-dev/interlock/internal/testing/controlplane/process"
)

const (
	// managerReady bounds how long a manager may take to become ready.
	managerReady = time.Minute
	// managerStop bounds how long a manager may take to end on SIGTERM.
	managerStop = 30 * time.Second
)

// A Manager is a manager that runs, or ran, as a local process.
type Manager struct {
	process *process.Process
	log     string
	metrics string
	health  string
}

// StartManager starts a manager and returns when it is ready but for its canary. Several may run: one of them leads. args are added to
// its command line, and win over the flags that it has anyway.
func (s *Stack) StartManager(ctx context.Context, args ...string) (*Manager, error) {
	s.options.Progress("start the manager")
	if _, err := os.Stat(s.options.Manager); err != nil {
		return nil, fmt.Errorf("no manager to start: %w; build it with `make build`", err)
	}
	_, kubeconfig, err := s.ServiceAccount(ctx, Namespace, ServiceAccount)
	if err != nil {
		return nil, err
	}
	m, err := s.launch(kubeconfig, args)
	if err != nil {
		return nil, err
	}
	ctx, cancel := context.WithTimeout(ctx, managerReady)
	defer cancel()
	// A mutant of test/bypass may not be content with its canary ever, and what a test waits for it knows best.
	ready := func(ctx context.Context) error { return m.ask(ctx, "?exclude=canary") }
	if err := m.process.WaitReady(ctx, ready); err != nil {
		return nil, errors.Join(err, m.Kill())
	}
	if len(s.Managers()) > 1 {
		return m, nil
	}
	if err := m.process.WaitReady(ctx, s.stamps); err != nil {
		return nil, errors.Join(err, m.Kill())
	}
	return m, nil
}

// stamps says whether the API server notes who writes a model. For some seconds after Interlock is installed it refuses to:
// mutating policies look up the schema of a kind, and it looks for new ones every five seconds.
func (s *Stack) stamps(ctx context.Context) error {
	const probe = `{"apiVersion": "interlock.dev/v1alpha1", "kind": "ModelDeployment", "metadata": {"name": "probe", "namespace": "default"},
  "spec": {"model": {"name": "probe", "digest": "sha256:0000000000000000000000000000000000000000000000000000000000000000"}, "assessedLevel": "none"}}`
	out, err := s.As(s.Kubeconfig()).RunWithInput(ctx, probe, "create", "--dry-run=server", "--output=yaml", "--filename=-")
	if err == nil && !strings.Contains(out, v1alpha1.CreatedByAnnotation) {
		err = errors.New("the API server does not note yet who writes a model")
	}
	return err
}

func (s *Stack) launch(kubeconfig string, args []string) (*Manager, error) {
	metrics, err := controlplane.FreePort()
	if err != nil {
		return nil, err
	}
	health, err := controlplane.FreePort()
	if err != nil {
		return nil, err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	name := fmt.Sprintf("manager-%d", len(s.managers)+1)
	m := &Manager{
		log:     filepath.Join(s.Logs(), name+".log"),
		metrics: fmt.Sprintf("http://127.0.0.1:%d/metrics", metrics),
		health:  fmt.Sprintf("http://127.0.0.1:%d/readyz", health),
	}
	flags := []string{
		"--kubeconfig=" + kubeconfig,
		fmt.Sprintf("--metrics-bind-address=127.0.0.1:%d", metrics),
		fmt.Sprintf("--health-probe-bind-address=127.0.0.1:%d", health),
		"--leader-elect=true",
		"--record-dir=" + s.Record(),
		"--record-key=" + s.Record() + ".key",
	}
	m.process, err = process.Start(process.Spec{
		Name: name,
		Path: s.options.Manager,
		Args: slices.Concat(flags, args),
		Log:  m.log,
	})
	if err != nil {
		return nil, err
	}
	s.managers = append(s.managers, m)
	return m, nil
}

// Record is the folder of the decision record, which all managers share. Its public key is beside it, in a file of the
// same name that ends in .key.pub.
func (s *Stack) Record() string { return filepath.Join(filepath.Dir(s.Logs()), "record") }

// Managers returns all managers that were started, in that order, also those that have ended.
func (s *Stack) Managers() []*Manager {
	s.mu.Lock()
	defer s.mu.Unlock()
	return slices.Clone(s.managers)
}

// Ready gives an error unless the manager says that it is ready.
func (m *Manager) Ready(ctx context.Context) error { return m.ask(ctx, "") }

// Check gives what one check of the manager's readiness says.
func (m *Manager) Check(ctx context.Context, name string) error { return m.ask(ctx, "/"+name) }

func (m *Manager) ask(ctx context.Context, what string) error {
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, m.health+what, nil)
	if err != nil {
		return err
	}
	response, err := http.DefaultClient.Do(request)
	if err != nil {
		return err
	}
	defer response.Body.Close()
	text, err := io.ReadAll(response.Body)
	if err == nil && response.StatusCode != http.StatusOK {
		err = fmt.Errorf("%s: %s", response.Status, text)
	}
	return err
}

// Signal sends the manager a signal, such as one that pauses it.
func (m *Manager) Signal(signal os.Signal) error { return m.process.Signal(signal) }

// Kill ends the manager at once with SIGKILL, as a crash would, and waits until it is gone. Its lease stays, so
// another manager leads only when that has run out.
func (m *Manager) Kill() error { return m.process.Kill() }

// Stop ends the manager with SIGTERM, as an upgrade would, and waits until it is gone.
func (m *Manager) Stop(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, managerStop)
	defer cancel()
	return m.process.Stop(ctx)
}

// PID is the id of the manager's process.
func (m *Manager) PID() int { return m.process.PID() }

// Done is closed when the manager has ended.
func (m *Manager) Done() <-chan struct{} { return m.process.Done() }

// Running says whether the manager has not ended.
func (m *Manager) Running() bool {
	select {
	case <-m.Done():
		return false
	default:
		return true
	}
}

// Report describes, as an error, whether the manager runs or how it ended, and quotes the end of its log.
func (m *Manager) Report() error { return m.process.Report() }

// Log is the path of the manager's log.
func (m *Manager) Log() string { return m.log }

// MetricsURL is where the manager serves its metrics.
func (m *Manager) MetricsURL() string { return m.metrics }
