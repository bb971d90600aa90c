package expiry_test

import (
	"context"
	"errors"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	utilruntime "k8s.io/apimachinery/pkg/util/runtime"
	testingclock "k8s.io/utils/clock/testing"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/client/fake"
	"sigs.k8s.io/controller-runtime/pkg/client/interceptor"

	"github.com/interlock-dev/interlock/api/v1alpha1"
	"github.com/interlock-dev/interlock/controllers/expiry"
	"github.com/interlock-dev/interlock/controllers/metrics"
)

const day = 24 * time.Hour

var now = time.Date(2026, 5, 14, 12, 0, 0, 0, time.UTC)

// model has findings that end after each of some times.
func model(ends ...time.Duration) *v1alpha1.ModelDeployment {
	m := &v1alpha1.ModelDeployment{ObjectMeta: metav1.ObjectMeta{Namespace: "team-a", Name: "llm"}}
	for _, after := range ends {
		m.Status.Safeguards = append(m.Status.Safeguards, v1alpha1.SafeguardResult{
			Name: after.String(), State: v1alpha1.SafeguardSatisfied, ValidUntil: &metav1.Time{Time: now.Add(after)}})
	}
	return m
}

func counter(list error, leads bool, objects ...client.Object) *expiry.Counter {
	scheme := runtime.NewScheme()
	utilruntime.Must(v1alpha1.AddToScheme(scheme))
	c := fake.NewClientBuilder().WithScheme(scheme).WithObjects(objects...).WithInterceptorFuncs(interceptor.Funcs{
		List: func(ctx context.Context, c client.WithWatch, l client.ObjectList, options ...client.ListOption) error {
			if _, ok := l.(*v1alpha1.SafetyRoadmapList); ok && list != nil {
				return list
			}
			return c.List(ctx, l, options...)
		}}).Build()
	leading := make(chan struct{})
	if leads {
		close(leading)
	}
	return &expiry.Counter{Client: c, Clock: testingclock.NewFakePassiveClock(now), Leading: leading}
}

func TestCount(t *testing.T) {
	roadmap := &v1alpha1.SafetyRoadmap{ObjectMeta: metav1.ObjectMeta{Name: "frontier"}, Spec: v1alpha1.SafetyRoadmapSpec{
		Goals: []v1alpha1.Goal{{Name: "soon", DateSet: "2026-01-01", TargetDate: "2026-06-01"}}}}
	got := counter(nil, true, model(7*day, 7*day+time.Second, 90*day, 90*day+time.Second), roadmap).Count()
	want := map[metrics.Expiry]int{
		{Kind: "Clearance", Days: 7}: 0, {Kind: "Clearance", Days: 30}: 0, {Kind: "Clearance", Days: 90}: 0,
		{Kind: "Safeguard", Days: 7}: 1, {Kind: "Safeguard", Days: 30}: 2, {Kind: "Safeguard", Days: 90}: 3,
		{Kind: "Assessment", Days: 7}: 0, {Kind: "Assessment", Days: 30}: 0, {Kind: "Assessment", Days: 90}: 0,
		{Kind: "Goal", Days: 7}: 0, {Kind: "Goal", Days: 30}: 1, {Kind: "Goal", Days: 90}: 1,
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
}

// Zeros would say that nothing lapses, and those of a manager that stands by would be added to the leader's.
func TestNothingIsCountedThatIsNotKnown(t *testing.T) {
	for name, c := range map[string]*expiry.Counter{
		"it does not lead": counter(nil, false, model(day)),
		"it cannot list":   counter(errors.New("no"), true, model(day)),
	} {
		if got := c.Count(); got != nil {
			t.Errorf("%s: %v", name, got)
		}
	}
}
