package modeldeployment_test

import (
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	corev1 "k8s.io/api/core/v1"
	networkingv1 "k8s.io/api/networking/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/interlock-dev/interlock/api/v1alpha1"
	"github.com/interlock-dev/interlock/internal/testing/builder"
)

var flapBegins = time.Date(2026, time.January, 1, 0, 0, 0, 0, time.UTC)

// second gives a time of the tests below.
func second(n int) time.Time { return flapBegins.Add(time.Duration(n) * time.Second) }

// flapping is a model that runs, and whose egress is limited. Its policy isolates at once, evicts after a minute, and deletes
// after ten.
func flapping(t *testing.T) *operator {
	t.Helper()
	minutes := func(n int) *metav1.Duration { return &metav1.Duration{Duration: time.Duration(n) * time.Minute} }
	policy := builder.ScalingPolicy("rsp").Lease(24 * time.Hour).Level(builder.Level(builder.ASL2).Security("egress")).Build()
	policy.Spec.Levels[0].OnShortfall = []v1alpha1.ShortfallStep{
		{Action: v1alpha1.ShortfallIsolate}, {Action: v1alpha1.ShortfallEvict, After: minutes(1), ForceAfter: minutes(10)}}
	o := newOperator(t, policy,
		builder.Namespace("serving").Enforce("rsp").Build(), builder.ModelDeployment("serving", "llm").Build(),
		builder.Safeguard("egress").Egress().Build(), builder.NetworkPolicy("serving", "no-egress").Build(),
		builder.Pod("serving", "a").Model("llm").With(func(p *corev1.Pod) { p.CreationTimestamp = metav1.NewTime(second(-60)) }).Build())
	if md, _ := o.at(t, second(0)); md.Status.Verdict != v1alpha1.OutcomeCleared {
		t.Fatalf("it begins as %s", said(md))
	}
	return o
}

// open takes away what limits egress, and limit brings it back.
func (o *operator) open(t *testing.T) {
	t.Helper()
	if err := o.client.Delete(t.Context(), builder.NetworkPolicy("serving", "no-egress").Build()); err != nil {
		t.Fatal(err)
	}
}

func (o *operator) limit(t *testing.T) {
	t.Helper()
	if err := o.client.Create(t.Context(), builder.NetworkPolicy("serving", "no-egress").Build()); err != nil {
		t.Fatal(err)
	}
}

func (o *operator) there(t *testing.T, name string, object client.Object) bool {
	t.Helper()
	err := o.client.Get(t.Context(), client.ObjectKey{Namespace: "serving", Name: name}, object)
	if err != nil && !apierrors.IsNotFound(err) {
		t.Fatal(err)
	}
	return err == nil
}

// TestWhatIsUndoneJustBeforeAStepPutsItOff holds that it does not, whatever happens in between.
func TestWhatIsUndoneJustBeforeAStepPutsItOff(t *testing.T) {
	restart := func(t *testing.T, o *operator) *operator { return newOperatorOn(t, o.client) }
	recreate := func(t *testing.T, o *operator) *operator {
		t.Helper()
		if err := o.client.Delete(t.Context(), builder.ModelDeployment("serving", "llm").Build()); err != nil {
			t.Fatal(err)
		}
		o.settle(t, second(62))
		if err := o.client.Create(t.Context(), builder.ModelDeployment("serving", "llm").Build()); err != nil {
			t.Fatal(err)
		}
		return o
	}
	for name, between := range map[string]func(*testing.T, *operator) *operator{
		"nothing else":                              func(_ *testing.T, o *operator) *operator { return o },
		"the operator is restarted":                 restart,
		"the declaration is made anew":              recreate,
		"the declaration is made anew, and restart": func(t *testing.T, o *operator) *operator { return restart(t, recreate(t, restart(t, o))) },
		"the declaration is made anew while the operator is down": func(t *testing.T, o *operator) *operator {
			if err := o.client.Delete(t.Context(), builder.ModelDeployment("serving", "llm").Build()); err != nil {
				t.Fatal(err)
			}
			if err := o.client.Create(t.Context(), builder.ModelDeployment("serving", "llm").Build()); err != nil {
				t.Fatal(err)
			}
			return restart(t, o)
		},
	} {
		t.Run(name, func(t *testing.T) {
			o := flapping(t)
			o.open(t)
			o.at(t, second(10))
			o.limit(t)
			if md, _ := o.at(t, second(60)); md.Status.Verdict != v1alpha1.OutcomeCleared {
				t.Fatalf("mended, it is %s", said(md))
			}
			o = between(t, o)
			md, again := o.at(t, second(63))
			want := &v1alpha1.Shortfall{Since: metav1.NewTime(second(10)), Step: v1alpha1.ShortfallIsolate, NextStepTime: new(metav1.NewTime(second(70))),
				QuietSince: new(metav1.NewTime(second(60))), RememberedUntil: new(metav1.NewTime(second(120)))}
			if name != "nothing else" && name != "the operator is restarted" { // its pod was that of no declared model for a while
				want = md.Status.Shortfall
			}
			if diff := cmp.Diff(want, md.Status.Shortfall); diff != "" || want == nil || !want.Since.Equal(new(metav1.NewTime(second(10)))) || again > time.Hour {
				t.Errorf("again in %s: %+v (-want +got):\n%s", again, want, diff)
			}
			o.open(t)
			o.at(t, second(65))
			if o.at(t, second(69)); !o.there(t, "a", &corev1.Pod{}) {
				t.Error("evicted before its time")
			}
			if o.at(t, second(70)); o.there(t, "a", &corev1.Pod{}) {
				t.Error("not evicted a minute after the beginning")
			}
		})
	}
}

// TestStepsAreTakenBackAtTheEnd: what was isolated stays so until the shortfall is over, though somebody takes it away, and
// pods that came since are none of those.
func TestStepsAreTakenBackAtTheEnd(t *testing.T) {
	o, isolation := flapping(t), &networkingv1.NetworkPolicy{}
	isolated := func() bool { return o.there(t, "interlock-isolate-llm", isolation) }
	o.open(t)
	if o.at(t, second(10)); !isolated() {
		t.Fatal("not isolated")
	}
	o.limit(t)
	if o.at(t, second(20)); !isolated() {
		t.Error("no longer isolated once it is mended")
	}
	if err := o.client.Delete(t.Context(), isolation); err != nil {
		t.Fatal(err)
	}
	if o.at(t, second(30)); !isolated() {
		t.Error("somebody has ended its isolation")
	}
	if md, _ := o.at(t, second(79)); !isolated() || md.Status.Shortfall == nil {
		t.Error("forgotten too soon")
	}
	if md, _ := o.at(t, second(80)); isolated() || md.Status.Shortfall != nil {
		t.Errorf("isolated %v, with a shortfall of %+v, after a minute without one", isolated(), md.Status.Shortfall)
	}

	o.open(t)
	o.at(t, second(90))
	o.limit(t)
	o.at(t, second(100))
	if err := o.client.Delete(t.Context(), builder.Pod("serving", "a").Build()); err != nil {
		t.Fatal(err)
	}
	fresh := builder.Pod("serving", "b").Model("llm").With(func(p *corev1.Pod) { p.CreationTimestamp = metav1.NewTime(second(105)) }).Build()
	if err := o.client.Create(t.Context(), fresh); err != nil {
		t.Fatal(err)
	}
	if md, _ := o.at(t, second(110)); isolated() || md.Status.Shortfall == nil {
		t.Errorf("isolated %v, with a shortfall of %+v: no pod of it has run without clearance", isolated(), md.Status.Shortfall)
	}
}
