package metrics

import (
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"sigs.k8s.io/controller-runtime/pkg/metrics"
)

var (
	waivedSafeguards = prometheus.NewDesc("interlock_waived_safeguards",
		"Safeguards of models that are waived and not met, by the ScalingPolicy that is enforced: one that two models are excused from "+
			"counts twice, and so does one that two pods of a model are exempted from.", []string{"policy"}, nil)
	firstWaiverEnd = prometheus.NewDesc("interlock_waiver_first_end_timestamp_seconds",
		"When the first of the waivers that are in force ends, and a model is held again unless its safeguard is in place, by the "+
			"ScalingPolicy that is enforced. Absent while none is.", []string{"policy"}, nil)
)

// Waived is what models are excused from under one policy.
type Waived struct {
	// Safeguards counts them.
	Safeguards int
	// FirstEnd is when the first of the waivers ends; zero, there is none.
	FirstEnd time.Time
}

// Waivers lets what is waived be counted by a function, by policy, which is called at each scrape.
func Waivers(count func() map[string]Waived) error {
	return metrics.Registry.Register(waivers(count))
}

type waivers func() map[string]Waived

// Describe tells both metrics.
func (waivers) Describe(descs chan<- *prometheus.Desc) {
	descs <- waivedSafeguards
	descs <- firstWaiverEnd
}

// Collect counts.
func (w waivers) Collect(values chan<- prometheus.Metric) {
	for policy, n := range w() {
		values <- prometheus.MustNewConstMetric(waivedSafeguards, prometheus.GaugeValue, float64(n.Safeguards), policy)
		if !n.FirstEnd.IsZero() {
			values <- prometheus.MustNewConstMetric(firstWaiverEnd, prometheus.GaugeValue, float64(n.FirstEnd.Unix()), policy)
		}
	}
}
