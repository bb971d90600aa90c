// Package controlplane runs a real Kubernetes control plane on loopback for tests and for trying Interlock out: etcd,
// kube-apiserver, kube-controller-manager, kube-scheduler, and KWOK in place of kubelets.
//
// Every component is a child process that ends with this process, also when this process is killed. That, and
// restarting the API server on the same port and data, is why it starts etcd and the API server itself rather than
// through envtest of controller-runtime.
//
// It may import Kubernetes libraries, but nothing of this module except its own sub-packages.
package controlplane

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"sync"
	"time"

	"golang.org/x/sync/errgroup"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/rest"

	"github.com/interlock-dev/interlock/internal/testing/controlplane/process"
)

// Names of the components, which are also the names of their binaries and log files.
const (
	etcd              = "etcd"
	apiServer         = "kube-apiserver"
	otherAPIServer    = "another-kube-apiserver"
	controllerManager = "kube-controller-manager"
	scheduler         = "kube-scheduler"
	kwok              = "kwok"
)

// What the folder of a control plane holds.
const (
	etcdDir    = "etcd"
	logDir     = "logs"
	pkiDir     = "pki"
	userDir    = "users"
	kubeconfig = "kubeconfig"
)

// startTimeout bounds a start whose context has no nearer end. It takes seconds, but a busy machine is slow.
const startTimeout = 3 * time.Minute

// Options says how to start a control plane. The zero value will do.
type Options struct {
	// Dir is the folder for data, certificates, kubeconfigs and logs. It is created, and what an earlier control
	// plane left in it is removed. Stop leaves the logs. Default: a temporary folder, which Stop removes.
	Dir string
	// Assets is the folder that holds the binaries. Default: what the function Assets returns.
	Assets string
	// Nodes are created before anything else. Default: Nodes(10, 2).
	Nodes []Node
	// EtcdProxy is given the address of etcd, and gives that by which the API server reaches it. Default: the same.
	EtcdProxy func(address string) (string, error)
	// APIServerArgs are added to the command line of the API server.
	APIServerArgs []string
	// Untyped says that nobody checks the types of admission policies, which takes a third of the controller manager's time. It
	// changes their status alone.
	Untyped bool
}

// A ControlPlane is a running control plane.
type ControlPlane struct {
	dir, assets string
	temporary   bool
	nodes       []Node
	// apiServerArgs are added to those that it has anyway.
	apiServerArgs []string
	untyped       bool

	etcdPort, apiServerPort, kwokPort int
	// etcdAddress is where the API server looks for etcd.
	etcdAddress string

	ca     *authority
	config *rest.Config
	client kubernetes.Interface

	mu        sync.Mutex
	processes map[string]*process.Process
	failed    chan error
}

// Start starts a control plane, and returns when its nodes are Ready and pods can be created. ctx bounds the start
// alone; the control plane runs until Stop.
func Start(ctx context.Context, o Options) (*ControlPlane, error) {
	cp, err := prepare(ctx, o)
	if err != nil {
		return nil, fmt.Errorf("prepare control plane: %w", err)
	}
	ctx, cancel := context.WithTimeout(ctx, startTimeout)
	defer cancel()
	if err := cp.start(ctx); err != nil {
		return nil, errors.Join(err, cp.Stop())
	}
	return cp, nil
}

func prepare(ctx context.Context, o Options) (*ControlPlane, error) {
	cp := &ControlPlane{
		dir:           o.Dir,
		assets:        o.Assets,
		nodes:         o.Nodes,
		apiServerArgs: o.APIServerArgs,
		untyped:       o.Untyped,
		processes:     map[string]*process.Process{},
		failed:        make(chan error, 1),
	}
	var err error
	if cp.assets == "" {
		if cp.assets, err = Assets(ctx); err != nil {
			return nil, err
		}
	}
	if cp.nodes == nil {
		cp.nodes = Nodes(10, 2)
	}
	if cp.dir == "" {
		cp.temporary = true
		if cp.dir, err = os.MkdirTemp("", "interlock-controlplane-"); err != nil {
			return nil, err
		}
	}
	for _, port := range []*int{&cp.etcdPort, &cp.apiServerPort, &cp.kwokPort} {
		if *port, err = FreePort(); err != nil {
			return nil, err
		}
	}
	cp.etcdAddress = loopback(cp.etcdPort)
	if o.EtcdProxy != nil {
		if cp.etcdAddress, err = o.EtcdProxy(cp.etcdAddress); err != nil {
			return nil, err
		}
	}
	return cp, cp.prepareDir()
}

// prepareDir makes the folders, and writes what the components read.
func (cp *ControlPlane) prepareDir() error {
	if err := errors.Join(cp.removeData(), os.RemoveAll(cp.Logs())); err != nil {
		return err
	}
	for _, name := range []string{logDir, pkiDir, userDir} {
		if err := os.MkdirAll(cp.path(name), 0o700); err != nil {
			return err
		}
	}
	var err error
	if cp.ca, err = newAuthority(); err != nil {
		return err
	}
	if err := cp.ca.writePKI(cp.path(pkiDir)); err != nil {
		return err
	}
	if cp.config, err = cp.writeUser(cp.Kubeconfig(), "admin", "system:masters"); err != nil {
		return err
	}
	for name, groups := range map[string][]string{
		controllerManager: nil,
		scheduler:         nil,
		// KWOK does the work of every kubelet.
		kwok: {"system:masters"},
	} {
		if _, err := cp.writeUser(cp.path(pkiDir, name+".kubeconfig"), "system:"+name, groups...); err != nil {
			return err
		}
	}
	cp.client, err = kubernetes.NewForConfig(cp.config)
	return err
}

func (cp *ControlPlane) start(ctx context.Context) error {
	if err := cp.startEtcd(ctx); err != nil {
		return err
	}
	if err := cp.startAPIServer(ctx); err != nil {
		return err
	}
	if err := createNodes(ctx, cp.client, cp.nodes); err != nil {
		return err
	}
	return cp.startClients(ctx)
}

// startClients starts what works against the API server, and waits until it has done its first work.
func (cp *ControlPlane) startClients(ctx context.Context) error {
	var starts errgroup.Group
	for name, args := range map[string][]string{
		controllerManager: cp.controllerManagerArgs(),
		scheduler:         cp.schedulerArgs(),
		kwok:              cp.kwokArgs(),
	} {
		starts.Go(func() error {
			_, err := cp.run(name, args)
			return err
		})
	}
	if err := starts.Wait(); err != nil {
		return err
	}
	return cp.untilFailure(ctx, func(ctx context.Context) error { return waitSettled(ctx, cp.client) })
}

// untilFailure runs do, and gives up early if a component ends meanwhile.
func (cp *ControlPlane) untilFailure(ctx context.Context, do func(context.Context) error) error {
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	finished := make(chan struct{})
	defer close(finished)
	go func() {
		select {
		case err := <-cp.failed:
			cancel(err)
		case <-finished:
		}
	}()
	err := do(ctx)
	if err != nil {
		return errors.Join(err, context.Cause(ctx))
	}
	return nil
}

func (cp *ControlPlane) startEtcd(ctx context.Context) error {
	p, err := cp.run(etcd, cp.etcdArgs())
	if err != nil {
		return err
	}
	return p.WaitReady(ctx, func(ctx context.Context) error {
		request, err := http.NewRequestWithContext(ctx, http.MethodGet, "http://"+loopback(cp.etcdPort)+"/health", nil)
		if err != nil {
			return err
		}
		response, err := http.DefaultClient.Do(request)
		if err != nil {
			return err
		}
		if response.StatusCode != http.StatusOK {
			err = errors.New(response.Status)
		}
		return errors.Join(err, response.Body.Close())
	})
}

func (cp *ControlPlane) startAPIServer(ctx context.Context) error {
	p, err := cp.run(apiServer, cp.argsOfAPIServer(cp.apiServerPort, cp.etcdAddress))
	if err != nil {
		return err
	}
	return p.WaitReady(ctx, ready(cp.client))
}

// StartAnotherAPIServer starts a second API server over the same etcd, which it looks for at an address, and returns a config of the
// same cluster admin for it. KillAPIServer and its kin leave it alone.
func (cp *ControlPlane) StartAnotherAPIServer(ctx context.Context, etcdAddress string) (*rest.Config, error) {
	port, err := FreePort()
	if err != nil {
		return nil, err
	}
	config := cp.RESTConfig()
	config.Host = "https://" + loopback(port)
	client, err := kubernetes.NewForConfig(config)
	if err != nil {
		return nil, err
	}
	p, err := cp.runBinary(otherAPIServer, apiServer, cp.argsOfAPIServer(port, etcdAddress))
	if err != nil {
		return nil, err
	}
	ctx, cancel := context.WithTimeout(ctx, startTimeout)
	defer cancel()
	return config, p.WaitReady(ctx, ready(client))
}

func ready(client kubernetes.Interface) func(context.Context) error {
	return func(ctx context.Context) error {
		return client.Discovery().RESTClient().Get().AbsPath("/readyz").Do(ctx).Error()
	}
}

// StartAPIServer starts the API server again after KillAPIServer, on the port and the data it had, and returns when it
// is ready and pods get scheduled again.
//
// The controller manager, the scheduler and KWOK are started anew: after an outage they would wait for up to half a
// minute before they connect again, and in an installed cluster they would have lost their leases and restarted too.
func (cp *ControlPlane) StartAPIServer(ctx context.Context) error {
	if err := cp.startAPIServer(ctx); err != nil {
		return err
	}
	if err := cp.kill(controllerManager, scheduler, kwok); err != nil {
		return err
	}
	return cp.startClients(ctx)
}

// KillAPIServer kills the API server, as a crash would; the other components go on without it. StartAPIServer brings
// it back.
func (cp *ControlPlane) KillAPIServer() error { return cp.kill(apiServer) }

// kill kills components that run, and forgets them, so that they can be started again.
func (cp *ControlPlane) kill(names ...string) error {
	var kills errgroup.Group
	cp.mu.Lock()
	for _, name := range names {
		if p := cp.processes[name]; p != nil {
			delete(cp.processes, name)
			kills.Go(p.Kill)
		}
	}
	cp.mu.Unlock()
	return kills.Wait()
}

// RestartAPIServer kills the API server, starts it again on the same port and data, and returns when it is ready.
func (cp *ControlPlane) RestartAPIServer(ctx context.Context) error {
	if err := cp.KillAPIServer(); err != nil {
		return err
	}
	return cp.StartAPIServer(ctx)
}

// RestartEtcd kills etcd, starts it again on the same port and data, and returns when it serves. The API server connects to it
// by itself.
func (cp *ControlPlane) RestartEtcd(ctx context.Context) error {
	if err := cp.kill(etcd); err != nil {
		return err
	}
	return cp.startEtcd(ctx)
}

// EtcdURL is where etcd serves its clients, without asking who they are.
func (cp *ControlPlane) EtcdURL() string { return "http://" + loopback(cp.etcdPort) }

// Signal sends a signal to a component, such as etcd or kube-apiserver. One that was stopped by it goes on by another.
func (cp *ControlPlane) Signal(component string, signal os.Signal) error {
	cp.mu.Lock()
	defer cp.mu.Unlock()
	p := cp.processes[component]
	if p == nil {
		return fmt.Errorf("%s does not run", component)
	}
	return p.Signal(signal)
}

// run starts a component and watches it: if it ends of itself, Failed tells.
func (cp *ControlPlane) run(name string, args []string) (*process.Process, error) {
	return cp.runBinary(name, name, args)
}

func (cp *ControlPlane) runBinary(name, binary string, args []string) (*process.Process, error) {
	cp.mu.Lock()
	defer cp.mu.Unlock()
	if p := cp.processes[name]; p != nil && p.Running() {
		return nil, fmt.Errorf("%s runs already, with pid %d", name, p.PID())
	}
	p, err := process.Start(process.Spec{
		Name: name,
		Path: filepath.Join(cp.assets, binary),
		Args: args,
		Log:  filepath.Join(cp.Logs(), name+".log"),
	})
	if err != nil {
		return nil, err
	}
	cp.processes[name] = p
	go cp.watch(name, p)
	return p, nil
}

func (cp *ControlPlane) watch(name string, p *process.Process) {
	<-p.Done()
	cp.mu.Lock()
	meant := cp.processes[name] != p
	cp.mu.Unlock()
	if meant {
		return
	}
	select {
	case cp.failed <- p.Report():
	default: // The first failure is the one that explains the rest.
	}
}

// Failed receives an error when a component ends that was not told to.
func (cp *ControlPlane) Failed() <-chan error { return cp.failed }

// RESTConfig returns a config of a cluster admin, without a limit on the client's side.
func (cp *ControlPlane) RESTConfig() *rest.Config { return rest.CopyConfig(cp.config) }

// Kubeconfig is the path of a kubeconfig of the same cluster admin.
func (cp *ControlPlane) Kubeconfig() string { return cp.path(kubeconfig) }

// KubectlPath is the path of the kubectl binary.
func (cp *ControlPlane) KubectlPath() string { return filepath.Join(cp.assets, "kubectl") }

// Logs is the folder that holds a log file for each component.
func (cp *ControlPlane) Logs() string { return cp.path(logDir) }

func (cp *ControlPlane) path(names ...string) string {
	return filepath.Join(append([]string{cp.dir}, names...)...)
}

// Stop kills every component, waits until all are gone, and removes the data: everything, or all but the logs if
// Options.Dir was given. It may be called twice.
func (cp *ControlPlane) Stop() error {
	if err := cp.kill(kwok, scheduler, controllerManager, otherAPIServer, apiServer, etcd); err != nil {
		return err
	}
	if cp.temporary {
		return os.RemoveAll(cp.dir)
	}
	return cp.removeData()
}

// removeData removes all but the logs.
func (cp *ControlPlane) removeData() error {
	var errs []error
	for _, name := range []string{etcdDir, pkiDir, userDir, kubeconfig} {
		errs = append(errs, os.RemoveAll(cp.path(name)))
	}
	return errors.Join(errs...)
}
