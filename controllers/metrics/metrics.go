// Package metrics owns all metrics of Interlock. Each is served on the manager's metrics endpoint, beside those of
// controller-runtime.
//
// The values of labels are bounded: they are words of ours, or names of ScalingPolicies that exist. Nothing that a
// serving team can choose, such as the name of a namespace or model, is one.
package metrics

import (
	"errors"
	"fmt"
	"sync"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"sigs.k8s.io/controller-runtime/pkg/metrics"

	"github.com/interlock-dev/interlock/internal/workload"
)

var (
	// GatesReleased counts pods that were let past the gate.
	GatesReleased = prometheus.NewCounter(prometheus.CounterOpts{
		Name: "interlock_gates_released_total",
		Help: "Pods from which Interlock took its scheduling gate.",
	})

	evictions = prometheus.NewCounterVec(prometheus.CounterOpts{
		Name: "interlock_evictions_total",
		Help: "Attempts to take a pod out of service that runs without clearance, by result: evicted, deleted (by force of " +
			"the policy's deadline), blocked (by a disruption budget; tried again) or failed (tried again).",
	}, []string{"result"})

	// DriftRepairs counts admission policies and bindings that were restored.
	DriftRepairs = prometheus.NewCounter(prometheus.CounterOpts{
		Name: "interlock_enforcement_drift_repairs_total",
		Help: "Admission policies and bindings of Interlock that somebody else changed or deleted, and that were restored. " +
			"Any increase is an alarm.",
	})

	proven = prometheus.NewGauge(prometheus.GaugeOpts{
		Name: "interlock_enforcement_proven_timestamp_seconds",
		Help: "When all API servers that could be asked last showed, by dry run of pods, that they enforce what Interlock writes; 0 for never. " +
			"They are asked twice a minute. Its age is an alarm from two minutes on.",
	})

	apiServers = prometheus.NewGaugeVec(prometheus.GaugeOpts{
		Name: "interlock_enforcement_api_servers",
		Help: "API servers that are known, by what they answered when last asked whether they enforce what Interlock writes: right, wrong, " +
			"or none (they could not be reached). Any wrong one is an alarm.",
	}, []string{"answer"})

	// WatchesCut counts watches that were begun again because they stood still.
	WatchesCut = prometheus.NewCounterVec(prometheus.CounterOpts{
		Name: "interlock_watches_cut_total",
		Help: "Watches that brought nothing more though the API server held something newer, and were begun again, by resource. " +
			"Meanwhile nothing was loosened in the namespace that asked. Any increase is an alarm.",
	}, []string{"resource"})

	// LedgerWrites counts writes of what the API server reads.
	LedgerWrites = prometheus.NewCounterVec(prometheus.CounterOpts{
		Name: "interlock_ledger_writes_total",
		Help: "Writes of what the API server reads of a namespace, by name: interlock-clearances (what it enforces) or " +
			"interlock (the ClearanceLedger: what it says to people).",
	}, []string{"ledger"})

	// RecordEntries counts what this process has seen come into the decision record.
	RecordEntries = prometheus.NewCounter(prometheus.CounterOpts{
		Name: "interlock_record_entries_total",
		Help: "Entries of the decision record that this process has written, or read when it began.",
	})

	// RecordFailures counts attempts to write the decision record that failed.
	RecordFailures = prometheus.NewCounter(prometheus.CounterOpts{
		Name: "interlock_record_failures_total",
		Help: "Attempts to write the decision record that failed; they are repeated. Any increase is an alarm: new clearances wait.",
	})
)

// verdicts counts models, at each scrape anew.
var verdicts = prometheus.NewDesc("interlock_models",
	"ModelDeployments, by what the namespace does with a ScalingPolicy (mode: enforce, warn or audit; a model counts once in "+
		"each), by that policy (empty when it does not exist), and by the outcome under it: Cleared, Held or Revoked.",
	[]string{"mode", "policy", "outcome"}, nil)

// lapsing counts what lapses, at each scrape anew.
var lapsing = prometheus.NewDesc("interlock_expiries",
	"What lapses within 7, 30 and 90 days (what lapses within 7 is counted in all three), by kind: Assessment (becomes too old), "+
		"Safeguard (what was found of one for a model ends), Goal (of a roadmap, its day ends) or Clearance (less than a quarter of "+
		"its lease is left, so nobody renews it or something ends with it).",
	[]string{"kind", "within"}, nil)

func init() {
	metrics.Registry.MustRegister(GatesReleased, evictions, DriftRepairs, proven, apiServers, WatchesCut, LedgerWrites, RecordEntries, RecordFailures, depths{})
	Evicted(workload.Eviction{}) // so that a rate can be taken from the first on
}

// Evicted counts attempts to take pods out of service.
func Evicted(e workload.Eviction) {
	for result, n := range map[string]int{"evicted": e.Evicted, "deleted": e.Deleted, "blocked": e.Blocked, "failed": e.Failed} {
		evictions.WithLabelValues(result).Add(float64(n))
	}
}

// Proven notes when the API servers were asked that then showed that they enforce what Interlock writes.
func Proven(when time.Time) { proven.Set(float64(when.UnixMilli()) / 1000) }

// APIServers notes how many API servers answered rightly and wrongly, and how many gave no answer.
func APIServers(right, wrong, none int) {
	for answer, n := range map[string]int{"right": right, "wrong": wrong, "none": none} {
		apiServers.WithLabelValues(answer).Set(float64(n))
	}
}

// Held lets what is held in memory of tenants' objects be counted by a function, which is called at each scrape.
func Held(count func() (bytes int64, refused int)) error {
	return errors.Join(
		metrics.Registry.Register(prometheus.NewGaugeFunc(prometheus.GaugeOpts{
			Name: "interlock_held_bytes",
			Help: "Memory that is taken by what is held of tenants' objects, about.",
		}, func() float64 { bytes, _ := count(); return float64(bytes) })),
		metrics.Registry.Register(prometheus.NewGaugeFunc(prometheus.GaugeOpts{
			Name: "interlock_unread_objects",
			Help: "Objects of enrolled namespaces that are not looked at, since their namespace has no room for them in memory: the models " +
				"that they concern are held. Above 0 somebody writes more than Interlock can hold.",
		}, func() float64 { _, refused := count(); return float64(refused) })))
}

// Clock lets a function say, at each scrape, how far the API server's clock is ahead of that of this machine.
func Clock(ahead func() time.Duration) error {
	return metrics.Registry.Register(prometheus.NewGaugeFunc(prometheus.GaugeOpts{
		Name: "interlock_api_server_clock_ahead_seconds",
		Help: "How far the API server's clock is ahead of that of this machine, to about a second. Interlock goes by the API server's. " +
			"Beyond 5 either way, clocks are not kept in step.",
	}, func() float64 { return ahead().Seconds() }))
}

// queues are those of which the depth is served, by the name of the controller.
var queues sync.Map

// QueueDepth lets the requests that wait in the queue of a controller be counted by a function, which is called at each scrape.
func QueueDepth(controller string, count func() int) { queues.Store(controller, count) }

var depth = prometheus.NewDesc("interlock_queue_depth",
	"Requests that wait for a worker, by controller. Namespaces take turns, so a long queue of one does not delay others.", []string{"controller"}, nil)

type depths struct{}

// Describe tells the one metric.
func (depths) Describe(descs chan<- *prometheus.Desc) { descs <- depth }

// Collect counts.
func (depths) Collect(values chan<- prometheus.Metric) {
	queues.Range(func(controller, count any) bool {
		values <- prometheus.MustNewConstMetric(depth, prometheus.GaugeValue, float64(count.(func() int)()), controller.(string))
		return true
	})
}

// Backlog lets the decisions that wait to be recorded be counted by a function, which is called at each scrape.
func Backlog(count func() (n int, age time.Duration)) error {
	return errors.Join(
		metrics.Registry.Register(prometheus.NewGaugeFunc(prometheus.GaugeOpts{
			Name: "interlock_record_backlog",
			Help: "Decisions that are not in the decision record yet.",
		}, func() float64 { n, _ := count(); return float64(n) })),
		metrics.Registry.Register(prometheus.NewGaugeFunc(prometheus.GaugeOpts{
			Name: "interlock_record_lag_seconds",
			Help: "Age of the oldest decision that is not in the decision record yet; 0 when all are.",
		}, func() float64 { _, age := count(); return age.Seconds() })))
}

// Standing is what models are counted by.
type Standing struct {
	// Mode is what the namespace does with the policy: enforce, warn or audit.
	Mode string
	// Policy that it names; empty when it does not exist.
	Policy  string
	Outcome string
}

// Models lets the models be counted by a function, which is called at each scrape.
func Models(count func() map[Standing]int) error {
	return metrics.Registry.Register(models(count))
}

type models func() map[Standing]int

// Describe tells the one metric.
func (models) Describe(descs chan<- *prometheus.Desc) { descs <- verdicts }

// Collect counts.
func (m models) Collect(values chan<- prometheus.Metric) {
	for s, n := range m() {
		values <- prometheus.MustNewConstMetric(verdicts, prometheus.GaugeValue, float64(n), s.Mode, s.Policy, s.Outcome)
	}
}

// Expiry is what lapses are counted by.
type Expiry struct {
	Kind string
	// Days within which it lapses.
	Days int
}

// Expiries lets lapses be counted by a function, which is called at each scrape; what it does not give is not told.
func Expiries(count func() map[Expiry]int) error {
	return metrics.Registry.Register(expiries(count))
}

type expiries func() map[Expiry]int

// Describe tells the one metric.
func (expiries) Describe(descs chan<- *prometheus.Desc) { descs <- lapsing }

// Collect counts.
func (e expiries) Collect(values chan<- prometheus.Metric) {
	for x, n := range e() {
		values <- prometheus.MustNewConstMetric(lapsing, prometheus.GaugeValue, float64(n), x.Kind, fmt.Sprintf("%dd", x.Days))
	}
}
