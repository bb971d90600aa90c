package admission

import (
	"github.com/prometheus/client_golang/prometheus"
	"sigs.k8s.io/controller-runtime/pkg/metrics"
)

// driftRepairs counts how often an admission policy or binding of ours had been changed or deleted by somebody else.
var driftRepairs = prometheus.NewCounter(prometheus.CounterOpts{
	Name: "interlock_enforcement_drift_repairs_total",
	Help: "Admission policies and bindings of Interlock that somebody else changed or deleted, and that were restored.",
})

func init() { metrics.Registry.MustRegister(driftRepairs) }
