package modeldeployment_test

import (
	"context"
	"fmt"
	"path/filepath"
	"testing"
	"time"

	"k8s.io/apimachinery/pkg/api/meta"
	"k8s.io/apimachinery/pkg/runtime"
	clientgoscheme "k8s.io/client-go/kubernetes/scheme"
	"k8s.io/client-go/tools/events"
	"k8s.io/utils/clock"
	clocktesting "k8s.io/utils/clock/testing"
	ctrl "sigs.k8s.io/controller-runtime"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/client/fake"

	"github.com/interlock-dev/interlock/api/v1alpha1"
	"github.com/interlock-dev/interlock/controllers"
	"github.com/interlock-dev/interlock/controllers/attestation"
	"github.com/interlock-dev/interlock/controllers/fresh"
	"github.com/interlock-dev/interlock/controllers/ledger"
	"github.com/interlock-dev/interlock/controllers/modeldeployment"
	"github.com/interlock-dev/interlock/controllers/podrules"
	"github.com/interlock-dev/interlock/controllers/record"
	"github.com/interlock-dev/interlock/controllers/verdicts"
	"github.com/interlock-dev/interlock/internal/admission"
	decisionrecord "github.com/interlock-dev/interlock/internal/record"
	"github.com/interlock-dev/interlock/internal/safeguard"
	"github.com/interlock-dev/interlock/internal/testing/boundary"
	"github.com/interlock-dev/interlock/internal/testing/builder"
	"github.com/interlock-dev/interlock/internal/verdict"
	"github.com/interlock-dev/interlock/internal/workload"
)

// operator is the controllers that decide on one model and write its ledger, on a fake API server and with a clock that
// stands still until it is set.
type operator struct {
	client client.Client
	clock  *clocktesting.FakePassiveClock
	models *modeldeployment.Reconciler
	record *record.Recorder
	ledger *ledger.Reconciler
}

type indexes struct{ *fake.ClientBuilder }

func (i indexes) IndexField(_ context.Context, o client.Object, field string, extract client.IndexerFunc) error {
	i.WithIndex(o, field, extract)
	return nil
}

func newOperator(t *testing.T, objects ...client.Object) *operator {
	t.Helper()
	scheme := runtime.NewScheme()
	for _, add := range []func(*runtime.Scheme) error{clientgoscheme.AddToScheme, v1alpha1.AddToScheme} {
		if err := add(scheme); err != nil {
			t.Fatal(err)
		}
	}
	b := fake.NewClientBuilder().WithScheme(scheme).WithObjects(objects...).WithStatusSubresource(&v1alpha1.ModelDeployment{})
	if err := controllers.AddIndexes(t.Context(), indexes{b}, "cluster"); err != nil {
		t.Fatal(err)
	}
	return newOperatorOn(t, b.Build())
}

// newOperatorOn starts an operator on an API server, as after one that ended there.
func newOperatorOn(t *testing.T, server client.Client) *operator {
	t.Helper()
	compiler, err := safeguard.NewCompiler()
	if err != nil {
		t.Fatal(err)
	}
	o := &operator{client: server, clock: clocktesting.NewFakePassiveClock(time.Time{})}
	board, install := verdicts.NewBoard(), admission.Install{Namespace: "interlock-system", Username: "interlock"}
	o.ledger = &ledger.Reconciler{Client: o.client, Board: board, Install: install, Clock: o.clock}
	dir := t.TempDir()
	files := &record.Files{Dir: filepath.Join(dir, "log"), Key: filepath.Join(dir, "key")}
	t.Cleanup(func() { _ = files.Close(t.Context(), decisionrecord.NewChains(decisionrecord.Snapshot{})) }) // t.Context has ended by then
	o.record = record.NewRecorder(files, decisionrecord.Verifier{}, clock.RealClock{}, func() bool { return true })
	kinds, err := workload.LoadKinds("")
	if err != nil {
		t.Fatal(err)
	}
	workloads := workload.New(o.client, o.client, o.client.RESTMapper(), kinds)
	o.models = &modeldeployment.Reconciler{Client: o.client, Workloads: workloads, Board: board, Record: o.record, Compiler: compiler,
		Gatherer: &verdict.Gatherer{Reader: o.client, Install: install, EvidenceNamespace: "evidence", Cluster: "cluster",
			Evidence: attestation.NewStore(time.Minute, "evidence"), Rules: podrules.NewRegister(o.clock), Workloads: workloads, Memory: board},
		Fresh: &fresh.Prover{Cache: o.client, Live: o.client, Install: install, Evidence: "evidence", Pulse: fresh.NewPulse(clock.RealClock{}, nil)},
		Clock: o.clock, Events: events.NewFakeRecorder(100)}
	return o
}

// at lets the controllers do what there is to do at a time, and gives the model and how soon it is looked at again.
func (o *operator) at(t *testing.T, now time.Time) (*v1alpha1.ModelDeployment, time.Duration) {
	t.Helper()
	result := o.settle(t, now)
	md := &v1alpha1.ModelDeployment{}
	if err := o.client.Get(t.Context(), model, md); err != nil {
		t.Fatal(err)
	}
	return md, result.RequeueAfter
}

var model = client.ObjectKey{Namespace: "serving", Name: "llm"}

// settle lets the controllers do what there is to do at a time.
func (o *operator) settle(t *testing.T, now time.Time) (result ctrl.Result) {
	t.Helper()
	o.clock.SetTime(now)
	for range 3 { // the verdict goes to the record, the ledger, and to the status once it stands there
		var err error
		if result, err = o.models.Reconcile(t.Context(), ctrl.Request{NamespacedName: model}); err != nil {
			t.Fatal(err)
		}
		if err := o.record.Write(t.Context()); err != nil {
			t.Fatal(err)
		}
		if _, err := o.ledger.Reconcile(t.Context(), ctrl.Request{NamespacedName: client.ObjectKey{Name: "serving"}}); err != nil {
			t.Fatal(err)
		}
	}
	return result
}

// TestTheControllerEndsAClearanceWithTheAssessment walks with the clock over the end of an assessment.
func TestTheControllerEndsAClearanceWithTheAssessment(t *testing.T) {
	for name, age := range boundary.Ages {
		t.Run(name, func(t *testing.T) {
			ends := age.EndsAt()
			o := newOperator(t,
				builder.Namespace("serving").Enforce("rsp").Build(), builder.ModelDeployment("serving", "llm").Build(),
				builder.Safeguard("egress").Egress().Build(),
				builder.NetworkPolicy("serving", "open").AllowCIDR("192.168.0.0/16").Build(),
				builder.ScalingPolicy("rsp").Lease(24*time.Hour).
					Level(builder.Level(builder.ASL2).Security("none")).Level(builder.Level(builder.ASL3).Security("egress")).
					Threshold("CBRN-3", builder.ASL3).Assessments(v1alpha1.AssessmentRules{MaxAgeMonths: &age.Months}).Build(),
				builder.Safeguard("none").Egress("192.168.0.0/16").Build(),
				builder.Assessment("a", age.MadeAt()).Outcome(v1alpha1.AssessmentRuledOut, "CBRN-3").Build())
			for _, before := range []time.Duration{time.Second, time.Millisecond, time.Nanosecond} {
				now := ends.Add(-before)
				md, again := o.at(t, now)
				if md.Status.Verdict != v1alpha1.OutcomeCleared || !md.Status.ValidUntil.Time.Equal(ends) {
					t.Errorf("%s before: %s until %s, want it cleared until %s", before, said(md), md.Status.ValidUntil, ends)
				}
				if again <= 0 || again > max(before, time.Millisecond) {
					t.Errorf("%s before: looked at again after %s", before, again)
				}
				if s := admission.Find(o.clearances(t), md.Name); s.ValidUntil.Format(time.RFC3339) != age.Ends {
					t.Errorf("%s before: cleared until %v", before, s.ValidUntil)
				}
			}
			for _, after := range []time.Duration{0, time.Nanosecond, time.Hour} {
				md, _ := o.at(t, ends.Add(after))
				if md.Status.Verdict != v1alpha1.OutcomeHeld || md.Status.Thresholds[0].State != v1alpha1.ThresholdStale || md.Status.ValidUntil != nil {
					t.Errorf("%s after: %s with %v, want it held since the assessment is stale", after, said(md), md.Status.Thresholds)
				}
				if admission.Find(o.clearances(t), md.Name).Cleared() {
					t.Errorf("%s after: still cleared", after)
				}
			}
		})
	}
}

// TestTheControllerRenewsALeaseAtItsHalf walks with the clock over a leap day with a lease of a day.
func TestTheControllerRenewsALeaseAtItsHalf(t *testing.T) {
	o := newOperator(t, builder.Namespace("serving").Enforce("rsp").Build(), builder.ModelDeployment("serving", "llm").Build(),
		builder.Safeguard("egress").Egress().Build(), builder.NetworkPolicy("serving", "closed").Build(),
		builder.ScalingPolicy("rsp").Lease(24*time.Hour).Level(builder.Level(builder.ASL2).Security("egress")).Build())
	for _, step := range []struct{ now, until, again string }{
		{"2028-02-28T12:00:00Z", "2028-02-29T12:00:00Z", "12h0m0s"},
		{"2028-02-28T23:59:59.999999999Z", "2028-02-29T12:00:00Z", "1ms"},
		{"2028-02-29T00:00:00Z", "2028-03-01T00:00:00Z", "12h0m0s"},
		{"2028-02-29T12:00:00Z", "2028-03-01T12:00:00Z", "12h0m0s"},
		{"2028-02-29T23:59:59Z", "2028-03-01T12:00:00Z", "1s"},
		{"2028-03-01T00:00:00Z", "2028-03-02T00:00:00Z", "12h0m0s"},
	} {
		now, err := time.Parse(time.RFC3339Nano, step.now)
		if err != nil {
			t.Fatal(err)
		}
		md, again := o.at(t, now)
		if md.Status.ValidUntil == nil || md.Status.ValidUntil.UTC().Format(time.RFC3339) != step.until || again.String() != step.again {
			t.Errorf("at %s: %s until %s, looked at again after %s; want %s and %s", step.now, said(md), md.Status.ValidUntil, again, step.until, step.again)
		}
	}
}

func (o *operator) clearances(t *testing.T) map[string]string {
	t.Helper()
	data, err := verdict.Clearances(t.Context(), o.client, "serving")
	if err != nil {
		t.Fatal(err)
	}
	return data
}

func said(md *v1alpha1.ModelDeployment) string {
	ready := meta.FindStatusCondition(md.Status.Conditions, v1alpha1.ConditionReady)
	if ready == nil {
		return "nothing"
	}
	return fmt.Sprintf("%s: %s", md.Status.Verdict, ready.Message)
}
