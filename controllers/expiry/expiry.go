// Package expiry counts what lapses soon, for the metrics. The calendar itself is in internal/report.
package expiry

import (
	"context"
	"time"

	"k8s.io/utils/clock"
	"sigs.k8s.io/controller-runtime/pkg/client"
	ctrllog "sigs.k8s.io/controller-runtime/pkg/log"

	"github.com/interlock-dev/interlock/api/v1alpha1"
	"github.com/interlock-dev/interlock/controllers/metrics"
	"github.com/interlock-dev/interlock/internal/report"
)

// patience is how long a scrape waits for what is to be counted, all of which is in the cache.
const patience = 5 * time.Second

// Counter counts what lapses.
type Counter struct {
	// Client reads the cache.
	Client client.Reader
	Clock  clock.PassiveClock
	// Leading is closed once this manager leads: another's counts are not to be added to its own.
	Leading <-chan struct{}
}

// Count counts by kind what lapses within each horizon. It gives nothing, not even zeros, when it cannot tell.
func (c *Counter) Count() map[metrics.Expiry]int {
	select {
	case <-c.Leading:
	default:
		return nil
	}
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	counts, err := c.count(ctx)
	if err != nil {
		ctrllog.Log.WithName("expiry").Error(err, "Not counted what lapses soon")
		return nil
	}
	return counts
}

func (c *Counter) count(ctx context.Context) (map[metrics.Expiry]int, error) {
	var (
		models      v1alpha1.ModelDeploymentList
		assessments v1alpha1.CapabilityAssessmentList
		policies    v1alpha1.ScalingPolicyList
		roadmaps    v1alpha1.SafetyRoadmapList
	)
	for _, list := range []client.ObjectList{&models, &assessments, &policies, &roadmaps} {
		if err := c.Client.List(ctx, list, client.UnsafeDisableDeepCopy); err != nil { // a calendar changes nothing of them
			return nil, err
		}
	}
	counts := map[metrics.Expiry]int{}
	for _, kind := range report.Kinds {
		for _, days := range report.Horizons {
			counts[metrics.Expiry{Kind: string(kind), Days: days}] = 0
		}
	}
	now := c.Clock.Now()
	farthest := now.AddDate(0, 0, report.Horizons[len(report.Horizons)-1])
	for _, l := range report.Calendar(now, farthest.Sub(now), models.Items, assessments.Items, policies.Items, roadmaps.Items) {
		for _, days := range report.Horizons {
			if l.Horizon(now) <= days {
				counts[metrics.Expiry{Kind: string(l.Kind), Days: days}]++
			}
		}
	}
	return counts, nil
}
