// Package controllers wires the controllers to a manager.
//
// Each controller has a package of its own and is thin: it gathers, calls what decides or compiles, and writes. Nothing
// but the main package may import this tree.
package controllers

import (
	"context"
	"fmt"

	"k8s.io/utils/clock"
	ctrl "sigs.k8s.io/controller-runtime"

	admissionctrl "github.com/interlock-dev/interlock/controllers/admission"
	"github.com/interlock-dev/interlock/controllers/assessment"
	"github.com/interlock-dev/interlock/controllers/ledger"
	"github.com/interlock-dev/interlock/controllers/modeldeployment"
	"github.com/interlock-dev/interlock/controllers/stray"
	"github.com/interlock-dev/interlock/controllers/verdicts"
	"github.com/interlock-dev/interlock/internal/admission"
	"github.com/interlock-dev/interlock/internal/safeguard"
)

// SetupAll adds all controllers to the manager.
func SetupAll(ctx context.Context, mgr ctrl.Manager, install admission.Install) error {
	if err := AddIndexes(ctx, mgr.GetFieldIndexer()); err != nil {
		return fmt.Errorf("add indexes: %w", err)
	}
	compiler, err := safeguard.NewCompiler()
	if err != nil {
		return err
	}
	board := verdicts.NewBoard()
	recorder := mgr.GetEventRecorder("interlock")
	for _, c := range []interface{ SetupWithManager(ctrl.Manager) error }{
		&admissionctrl.Reconciler{Client: mgr.GetClient(), Live: mgr.GetAPIReader(), Compiler: compiler, Install: install, Events: recorder},
		&modeldeployment.Reconciler{Client: mgr.GetClient(), Board: board, Compiler: compiler, Clock: clock.RealClock{}, Events: recorder},
		&assessment.Reconciler{Client: mgr.GetClient(), Clock: clock.RealClock{}},
		&ledger.Reconciler{Client: mgr.GetClient(), Board: board, Install: install},
		&stray.Reconciler{Client: mgr.GetClient(), Live: mgr.GetAPIReader(), Clock: clock.RealClock{}, Events: recorder},
	} {
		if err := c.SetupWithManager(mgr); err != nil {
			return fmt.Errorf("set up %T: %w", c, err)
		}
	}
	return nil
}
