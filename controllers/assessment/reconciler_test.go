package assessment_test

import (
	"context"
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"k8s.io/apimachinery/pkg/api/meta"
	"k8s.io/apimachinery/pkg/runtime"
	clocktesting "k8s.io/utils/clock/testing"
	ctrl "sigs.k8s.io/controller-runtime"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/client/fake"
	"sigs.k8s.io/controller-runtime/pkg/client/interceptor"

	"github.com/interlock-dev/interlock/api/v1alpha1"
	"github.com/interlock-dev/interlock/controllers/assessment"
	"github.com/interlock-dev/interlock/internal/testing/builder"
	"github.com/interlock-dev/interlock/internal/verdict"
)

var (
	now   = time.Date(2026, 5, 14, 12, 10, 0, 0, time.UTC)
	other = "sha256:" + strings.Repeat("f", 64)
)

// world is a fake API server and a reconciler on it, with a clock that stands still until it is set.
type world struct {
	*assessment.Reconciler
	clock  *clocktesting.FakePassiveClock
	writes int
}

func newWorld(t *testing.T, objects ...client.Object) *world {
	t.Helper()
	scheme := runtime.NewScheme()
	if err := v1alpha1.AddToScheme(scheme); err != nil {
		t.Fatal(err)
	}
	w := &world{clock: clocktesting.NewFakePassiveClock(now)}
	c := fake.NewClientBuilder().WithScheme(scheme).WithObjects(objects...).WithStatusSubresource(&v1alpha1.CapabilityAssessment{}).
		WithIndex(&v1alpha1.ModelDeployment{}, verdict.ByDigest, func(o client.Object) []string {
			return []string{o.(*v1alpha1.ModelDeployment).Spec.Model.Digest}
		}).
		WithIndex(&v1alpha1.CapabilityAssessment{}, assessment.BySuperseded, func(o client.Object) []string {
			return o.(*v1alpha1.CapabilityAssessment).Spec.Supersedes
		}).
		WithInterceptorFuncs(interceptor.Funcs{SubResourcePatch: func(ctx context.Context, c client.Client, sub string, o client.Object, p client.Patch, opts ...client.SubResourcePatchOption) error {
			w.writes++
			return c.SubResource(sub).Patch(ctx, o, p, opts...)
		}}).Build()
	w.Reconciler = &assessment.Reconciler{Client: c, Clock: w.clock}
	return w
}

// reconcile gives what is said of an assessment, and when it is looked at again.
func (w *world) reconcile(t *testing.T, name string) (said string, status v1alpha1.CapabilityAssessmentStatus, again time.Duration) {
	t.Helper()
	result, err := w.Reconcile(t.Context(), ctrl.Request{NamespacedName: client.ObjectKey{Name: name}})
	if err != nil {
		t.Fatal(err)
	}
	a := &v1alpha1.CapabilityAssessment{}
	if err := w.Client.Get(t.Context(), client.ObjectKey{Name: name}, a); err != nil {
		t.Fatal(err)
	}
	ready := meta.FindStatusCondition(a.Status.Conditions, v1alpha1.ConditionReady)
	if ready == nil {
		t.Fatal("no condition Ready")
	}
	return string(ready.Status) + " " + ready.Reason + ": " + ready.Message, a.Status, result.RequeueAfter
}

func policy(thresholds ...string) client.Object {
	b := builder.ScalingPolicy("rsp").Level(builder.Level(builder.ASL2).Security("a"))
	for _, t := range thresholds {
		b.Threshold(t, builder.ASL2)
	}
	return b.Build()
}

func filed(name string, at time.Time) *builder.AssessmentBuilder {
	return builder.Assessment(name, at).Outcome(v1alpha1.AssessmentRuledOut, "CBRN-3")
}

func TestWhatIsSaidOfAnAssessment(t *testing.T) {
	served := builder.ModelDeployment("serving", "llm").Build()
	yesterday := now.AddDate(0, 0, -1)
	for name, tc := range map[string]struct {
		assessment *builder.AssessmentBuilder
		around     []client.Object
		said       string
		again      time.Duration
	}{
		"it counts": {
			filed("a", yesterday), []client.Object{served, policy("CBRN-3")}, "True Accepted: counts for the models that serve these weights", 0},
		"of several weights, one is served": {
			filed("a", yesterday).Digests(other, builder.Digest), []client.Object{served, policy("CBRN-3")}, "True Accepted: ", 0},
		"no model serves these weights": {
			filed("a", yesterday).Digests(other), []client.Object{served, policy("CBRN-3")},
			"False ModelUnknown: no ModelDeployment serves weights with one of these digests; compare spec.digests with spec.model.digest there", 0},
		"a threshold that no policy has": {
			filed("a", yesterday).Outcome(v1alpha1.AssessmentReached, "CBRN-9", "cbrn-3"), []client.Object{served, policy("CBRN-3")},
			"False ThresholdUnknown: no ScalingPolicy has a threshold named CBRN-9, cbrn-3; outcomes of others count", 0},
		"no policy at all": {
			filed("a", yesterday), []client.Object{served}, "False ThresholdUnknown: no ScalingPolicy has a threshold named CBRN-3; ", 0},
		"of the future": {
			filed("a", now.Add(time.Hour)), []client.Object{served, policy("CBRN-3")},
			"False DateInFuture: assessedAt is 2026-05-14T13:10:00Z, which has not come yet; until then it rules nothing out, while danger that it found counts", time.Hour},
		"of the next second":     {filed("a", now.Add(time.Second)), []client.Object{served, policy("CBRN-3")}, "False DateInFuture: ", time.Second},
		"of this very second":    {filed("a", now), []client.Object{served, policy("CBRN-3")}, "True Accepted: ", 0},
		"of a thousand years on": {filed("a", now.AddDate(1000, 0, 0)), []client.Object{served, policy("CBRN-3")}, "False DateInFuture: ", 1<<63 - 1},
	} {
		t.Run(name, func(t *testing.T) {
			w := newWorld(t, append(tc.around, tc.assessment.Build())...)
			said, _, again := w.reconcile(t, "a")
			if !strings.HasPrefix(said, tc.said) {
				t.Errorf("said %q, want %q", said, tc.said)
			}
			if again != tc.again {
				t.Errorf("looked at again after %s, want %s", again, tc.again)
			}
			if said, _, _ := w.reconcile(t, "a"); w.writes != 1 {
				t.Errorf("%d writes for %q, said twice", w.writes, said)
			}
		})
	}
}

// TestTheDateComes looks again at the moment that was named, a nanosecond before, and after.
func TestTheDateComes(t *testing.T) {
	at := time.Date(2028, 2, 29, 0, 0, 0, 0, time.UTC)
	w := newWorld(t, builder.ModelDeployment("serving", "llm").Build(), policy("CBRN-3"), filed("a", at).Build())
	for _, step := range []struct {
		now  time.Time
		want string
	}{
		{now, "False DateInFuture"}, {at.Add(-time.Nanosecond), "False DateInFuture"}, {at, "True Accepted"}, {at.AddDate(10, 0, 0), "True Accepted"},
	} {
		w.clock.SetTime(step.now)
		said, _, again := w.reconcile(t, "a")
		if !strings.HasPrefix(said, step.want+": ") {
			t.Errorf("at %s: %q, want %s", step.now, said, step.want)
		}
		if want := max(at.Sub(step.now), 0); again != want {
			t.Errorf("at %s: looked at again after %s, want %s", step.now, again, want)
		}
	}
}

func TestSupersededBy(t *testing.T) {
	day := func(n int) time.Time { return now.AddDate(0, 0, n) }
	for name, tc := range map[string]struct {
		others []client.Object
		want   string
	}{
		"none":                     {nil, ""},
		"one that does not say so": {[]client.Object{filed("b", day(-1)).Build()}, ""},
		"a newer one":              {[]client.Object{filed("b", day(-1)).Supersedes("a").Build()}, "b"},
		"one among others":         {[]client.Object{filed("b", day(-1)).Supersedes("x", "a").Build()}, "b"},
		"an older one":             {[]client.Object{filed("b", day(-10)).Supersedes("a").Build()}, ""},
		"one of the same second":   {[]client.Object{filed("b", day(-9)).Supersedes("a").Build()}, ""},
		"the newest of several": {[]client.Object{filed("b", day(-3)).Supersedes("a").Build(), filed("c", day(-1)).Supersedes("a").Build(),
			filed("d", day(-2)).Supersedes("a").Build()}, "c"},
	} {
		t.Run(name, func(t *testing.T) {
			w := newWorld(t, append(tc.others, filed("a", day(-9)).Build())...)
			_, status, _ := w.reconcile(t, "a")
			if diff := cmp.Diff(tc.want, status.SupersededBy); diff != "" {
				t.Errorf("(-want +got):\n%s", diff)
			}
		})
	}
}

func TestWhatCannotBeReadIsAnErrorAndNothingIsSaid(t *testing.T) {
	for _, kind := range []client.ObjectList{&v1alpha1.ScalingPolicyList{}, &v1alpha1.ModelDeploymentList{}, &v1alpha1.CapabilityAssessmentList{}} {
		w := newWorld(t, filed("a", now.AddDate(0, 0, -1)).Build())
		broken := errors.New("etcd is slow")
		w.Client = interceptor.NewClient(w.Client.(client.WithWatch), interceptor.Funcs{
			List: func(ctx context.Context, c client.WithWatch, list client.ObjectList, opts ...client.ListOption) error {
				if cmp.Equal(list, kind) {
					return broken
				}
				return c.List(ctx, list, opts...)
			}})
		_, err := w.Reconcile(t.Context(), ctrl.Request{NamespacedName: client.ObjectKey{Name: "a"}})
		if !errors.Is(err, broken) || w.writes != 0 {
			t.Errorf("%T cannot be read: %v, %d writes", kind, err, w.writes)
		}
	}
}

func TestAnAssessmentThatIsGone(t *testing.T) {
	if result, err := newWorld(t).Reconcile(t.Context(), ctrl.Request{NamespacedName: client.ObjectKey{Name: "a"}}); err != nil || result != (ctrl.Result{}) {
		t.Errorf("Reconcile = %v, %v", result, err)
	}
}
