// Package controllers wires the controllers to a manager.
//
// Each controller has a package of its own and is thin: it gathers, calls what decides or compiles, and writes. Nothing
// but the main package may import this tree.
package controllers

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"time"

	"k8s.io/utils/clock"
	ctrl "sigs.k8s.io/controller-runtime"
	"sigs.k8s.io/controller-runtime/pkg/healthz"

	admissionctrl "github.com/interlock-dev/interlock/controllers/admission"
	"github.com/interlock-dev/interlock/controllers/approval"
	"github.com/interlock-dev/interlock/controllers/assessment"
	"github.com/interlock-dev/interlock/controllers/attestation"
	"github.com/interlock-dev/interlock/controllers/canary"
	"github.com/interlock-dev/interlock/controllers/expiry"
	"github.com/interlock-dev/interlock/controllers/fallback"
	"github.com/interlock-dev/interlock/controllers/fresh"
	"github.com/interlock-dev/interlock/controllers/ledger"
	"github.com/interlock-dev/interlock/controllers/metrics"
	"github.com/interlock-dev/interlock/controllers/modeldeployment"
	"github.com/interlock-dev/interlock/controllers/podrules"
	"github.com/interlock-dev/interlock/controllers/record"
	"github.com/interlock-dev/interlock/controllers/roadmap"
	"github.com/interlock-dev/interlock/controllers/stray"
	"github.com/interlock-dev/interlock/controllers/surroundings"
	"github.com/interlock-dev/interlock/controllers/tenants"
	"github.com/interlock-dev/interlock/controllers/verdicts"
	"github.com/interlock-dev/interlock/controllers/wake"
	"github.com/interlock-dev/interlock/internal/admission"
	"github.com/interlock-dev/interlock/internal/safeguard"
	"github.com/interlock-dev/interlock/internal/tenancy"
	"github.com/interlock-dev/interlock/internal/verdict"
	"github.com/interlock-dev/interlock/internal/workload"
)

// Evidence says where evidence may lie.
type Evidence struct {
	// Namespace holds evidence for the models of all namespaces.
	Namespace string
	// Registries are those from which evidence may be fetched.
	Registries attestation.Registries
	// Refresh is how often it is looked up what refers to something in a registry.
	Refresh time.Duration
}

// SetupAll adds all controllers to the manager, and the checks by which it is ready: it has read what it watches, and, if
// it leads, has put all policies into the API server, which shows that it enforces them.
func SetupAll(ctx context.Context, mgr ctrl.Manager, install admission.Install, recorder *record.Recorder, kinds *workload.Kinds,
	places Evidence, transport *fresh.Transport, lead *fresh.Lead, shares *tenancy.Shares) error {
	cluster, err := attestation.ClusterID(ctx, mgr.GetAPIReader())
	if err != nil {
		return err
	}
	keeper := &tenants.Keeper{Shares: shares, Live: mgr.GetAPIReader(), Clock: transport.Clock}
	if err := keeper.Watch(ctx, mgr.GetCache()); err != nil {
		return err
	}
	if err := errors.Join(metrics.Held(shares.Count), metrics.Clock(transport.Clock.Ahead)); err != nil {
		return fmt.Errorf("register metrics: %w", err)
	}
	if err := AddIndexes(ctx, mgr.GetFieldIndexer(), cluster); err != nil {
		return fmt.Errorf("add indexes: %w", err)
	}
	store := attestation.NewStore(places.Refresh, places.Namespace)
	compiler, err := safeguard.NewCompiler()
	if err != nil {
		return err
	}
	board, rules := verdicts.NewBoard(), podrules.NewRegister(transport.Clock)
	if err := errors.Join(metrics.Models(board.Count), metrics.Waivers(board.CountWaived)); err != nil {
		return fmt.Errorf("register metrics: %w", err)
	}
	soon := &expiry.Counter{Client: mgr.GetClient(), Clock: transport.Clock, Leading: mgr.Elected()}
	if err := metrics.Expiries(soon.Count); err != nil {
		return fmt.Errorf("register metrics: %w", err)
	}
	if err := errors.Join(mgr.Add(recorder), metrics.Backlog(recorder.Backlog)); err != nil {
		return fmt.Errorf("set up the decision record: %w", err)
	}
	prover := &fresh.Prover{Cache: mgr.GetClient(), Live: mgr.GetAPIReader(), Watches: transport, Install: install,
		Evidence: places.Namespace, Pulse: fresh.NewPulse(clock.RealClock{}, lead)}
	go prover.Run(ctx)
	events := mgr.GetEventRecorder("interlock")
	workloads := workload.New(mgr.GetClient(), mgr.GetAPIReader(), mgr.GetRESTMapper(), kinds)
	gatherer := &verdict.Gatherer{Reader: mgr.GetClient(), Install: install, EvidenceNamespace: places.Namespace, Cluster: cluster,
		Evidence: store, Rules: rules, Stubs: keeper, Workloads: workloads, Memory: board}
	models := &wake.Models{Reader: mgr.GetClient(), SharedNamespace: install.Namespace, EvidenceNamespace: places.Namespace,
		Cluster: cluster, Speaks: store.Speaks}
	asking := canary.New(mgr.GetClient(), mgr.GetAPIReader(), mgr.GetConfig(), transport.Clock, events)
	if err := mgr.Add(asking); err != nil {
		return fmt.Errorf("set up the canary: %w", err)
	}
	enforcement := &admissionctrl.Reconciler{Client: mgr.GetClient(), Live: mgr.GetAPIReader(), Compiler: compiler, Rules: rules,
		Install: install, Events: events, Clock: transport.Clock, Canary: asking}
	for _, c := range []interface{ SetupWithManager(ctrl.Manager) error }{
		enforcement,
		&modeldeployment.Reconciler{Client: mgr.GetClient(), Gatherer: gatherer, Compiler: compiler, Board: board, Record: recorder,
			Workloads: workloads, Fresh: prover, Sources: modeldeployment.Sources{Models: models, Store: store, Rules: rules},
			Clock: transport.Clock, Events: events},
		&fallback.Reconciler{Client: mgr.GetClient(), Board: board, Traffic: workload.NewTraffic(mgr.GetClient(), mgr.GetAPIReader(), mgr.GetRESTMapper()), Install: install, Clock: transport.Clock, Events: events},
		&attestation.Reconciler{Client: mgr.GetClient(), Store: store, Registries: places.Registries, Clock: transport.Clock},
		&assessment.Reconciler{Client: mgr.GetClient(), Clock: transport.Clock},
		&approval.Reconciler{Client: mgr.GetClient()},
		&approval.Waivers{Client: mgr.GetClient(), Clock: transport.Clock, Events: events},
		&roadmap.Reconciler{Client: mgr.GetClient(), Clock: transport.Clock, Events: events},
		&ledger.Reconciler{Client: mgr.GetClient(), Board: board, Install: install, Clock: transport.Clock},
		&surroundings.Reconciler{Client: mgr.GetClient(), Live: mgr.GetAPIReader(), Board: board, Compiler: compiler, Clock: transport.Clock, Events: events},
		&stray.Reconciler{Client: mgr.GetClient(), Live: mgr.GetAPIReader(), Board: board, Install: install, Clock: transport.Clock, Events: events},
	} {
		if err := c.SetupWithManager(mgr); err != nil {
			return fmt.Errorf("set up %T: %w", c, err)
		}
	}
	return errors.Join(
		mgr.AddReadyzCheck("caches", func(req *http.Request) error { return cachesSynced(req.Context(), mgr) }),
		mgr.AddReadyzCheck("enforcement", whileLeading(mgr, enforcement.Enforcing)),
		mgr.AddReadyzCheck("canary", whileLeading(mgr, asking.Check)))
}

// whileLeading checks nothing in a manager that stands by: another sees to it.
func whileLeading(mgr ctrl.Manager, check func() error) healthz.Checker {
	return func(*http.Request) error {
		select {
		case <-mgr.Elected():
			return check()
		default:
			return nil
		}
	}
}

// patience is how long a readiness check waits: less than the second after which a kubelet gives up.
const patience = 500 * time.Millisecond

func cachesSynced(ctx context.Context, mgr ctrl.Manager) error {
	ctx, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	if !mgr.GetCache().WaitForCacheSync(ctx) {
		return errors.New("not all that is watched has been read yet")
	}
	return nil
}
