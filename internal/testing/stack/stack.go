// Package stack runs Interlock on a real control plane on loopback: it installs what config/ holds with the real
// kubectl, and runs managers as local processes that have just the rights of the ServiceAccount they get in a cluster.
//
// It may import internal/testing/controlplane, and nothing else of this module: what it tests, it starts as users do.
package stack

import (
	"context"
	"errors"
	"fmt"
	"path/filepath"
	"sync"

	"github.com/interlock-dev/interlock/internal/testing/controlplane"
)

// Where Interlock is installed, and as whom its manager runs.
const (
	Namespace      = "interlock-system"
	ServiceAccount = "interlock-controller-manager"
)

// Options says how to start a stack. The zero value will do inside a clone.
type Options struct {
	// Dir is the folder for data, kubeconfigs and logs. Default: a temporary folder, which Stop removes.
	Dir string
	// Assets is the folder that holds the binaries of the control plane. Default: what controlplane.Assets returns.
	Assets string
	// Nodes are the nodes there are. Default: ten, of which two have GPUs.
	Nodes []controlplane.Node
	// APIServerArgs are added to the command line of the API server.
	APIServerArgs []string
	// Config is the kustomization to install. Default: config/local of the clone.
	Config string
	// Manager is the path of the manager's binary. Default: bin/manager of the clone, which must have been built.
	Manager string
	// EtcdProxy stands between the API server and etcd, see controlplane.Options.
	EtcdProxy func(address string) (string, error)
	// Untyped says that nobody checks the types of admission policies, see controlplane.Options.
	Untyped bool
	// Progress is told each step that is about to be done. Default: nobody.
	Progress func(step string)
}

// A Stack is a control plane on which Interlock is installed.
type Stack struct {
	*controlplane.ControlPlane

	options Options

	mu       sync.Mutex
	managers []*Manager
}

// Start starts a control plane and installs Interlock on it. It starts no manager: see StartManager. ctx bounds the
// start alone; the stack runs until Stop.
func Start(ctx context.Context, o Options) (*Stack, error) {
	if err := o.setDefaults(); err != nil {
		return nil, err
	}
	o.Progress("start the control plane")
	cp, err := controlplane.Start(ctx, controlplane.Options{
		Dir: o.Dir, Assets: o.Assets, Nodes: o.Nodes, EtcdProxy: o.EtcdProxy, APIServerArgs: o.APIServerArgs, Untyped: o.Untyped,
	})
	if err != nil {
		return nil, err
	}
	s := &Stack{ControlPlane: cp, options: o}
	if err := s.install(ctx); err != nil {
		return nil, errors.Join(fmt.Errorf("install Interlock: %w", err), s.Stop())
	}
	return s, nil
}

func (o *Options) setDefaults() error {
	if o.Progress == nil {
		o.Progress = func(string) {}
	}
	if o.Config != "" && o.Manager != "" {
		return nil
	}
	root, err := controlplane.ModuleRoot()
	if err != nil {
		return err
	}
	if o.Config == "" {
		o.Config = filepath.Join(root, "config", "local")
	}
	if o.Manager == "" {
		o.Manager = filepath.Join(root, "bin", "manager")
	}
	return nil
}

// install applies the kustomization and waits until the API server serves the kinds in it.
func (s *Stack) install(ctx context.Context) error {
	s.options.Progress("install Interlock from " + s.options.Config)
	if _, err := s.Kubectl(ctx, "apply", "--server-side", "-k", s.options.Config); err != nil {
		return err
	}
	_, err := s.Kubectl(ctx, "wait", "--for=condition=Established", "--timeout=60s", "crd", "--all")
	return err
}

// Stop kills the managers and the control plane, and waits until all are gone. It may be called twice.
func (s *Stack) Stop() error {
	var errs []error
	for _, m := range s.Managers() {
		errs = append(errs, m.Kill())
	}
	return errors.Join(append(errs, s.ControlPlane.Stop())...)
}
