package ledger

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/types"
	clientgoscheme "k8s.io/client-go/kubernetes/scheme"
	"k8s.io/utils/clock"
	clocktesting "k8s.io/utils/clock/testing"
	ctrl "sigs.k8s.io/controller-runtime"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/client/fake"
	"sigs.k8s.io/controller-runtime/pkg/client/interceptor"

	"github.com/interlock-dev/interlock/api/v1alpha1"
	"github.com/interlock-dev/interlock/controllers/fresh"
	"github.com/interlock-dev/interlock/controllers/verdicts"
	"github.com/interlock-dev/interlock/internal/admission"
	"github.com/interlock-dev/interlock/internal/decision"
	"github.com/interlock-dev/interlock/internal/testing/builder"
	"github.com/interlock-dev/interlock/internal/verdict"
)

var (
	install = admission.Install{Namespace: "interlock-system"}
	nine    = time.Date(2026, 5, 14, 9, 0, 0, 0, time.UTC)
)

// cluster is a fake API server and what was written to it.
type cluster struct {
	client.Client
	board  *verdicts.Board
	writes []string
	// fails answers a write, named as in writes.
	fails map[string]error
}

func newCluster(t *testing.T, objects ...client.Object) *cluster {
	t.Helper()
	scheme := runtime.NewScheme()
	if err := errors.Join(clientgoscheme.AddToScheme(scheme), v1alpha1.AddToScheme(scheme)); err != nil {
		t.Fatal(err)
	}
	c := &cluster{board: verdicts.NewBoard(), fails: map[string]error{}}
	wrote := func(verb string, o client.Object) error {
		write := verb + " " + o.GetName()
		c.writes = append(c.writes, write)
		return c.fails[write]
	}
	c.Client = fake.NewClientBuilder().WithScheme(scheme).WithObjects(objects...).WithInterceptorFuncs(interceptor.Funcs{
		Create: func(ctx context.Context, w client.WithWatch, o client.Object, opts ...client.CreateOption) error {
			return errors.Join(wrote("create", o), w.Create(ctx, o, opts...))
		},
		Update: func(ctx context.Context, w client.WithWatch, o client.Object, opts ...client.UpdateOption) error {
			if err := wrote("update", o); err != nil {
				return err
			}
			return w.Update(ctx, o, opts...)
		},
		Delete: func(ctx context.Context, w client.WithWatch, o client.Object, opts ...client.DeleteOption) error {
			if (&client.DeleteOptions{}).ApplyOptions(opts).AsDeleteOptions().Preconditions == nil {
				t.Errorf("delete of %s without precondition", o.GetName())
			}
			return errors.Join(wrote("delete", o), w.Delete(ctx, o, opts...))
		},
	}).Build()
	return c
}

// reconcile looks at the namespace and gives what was written for it.
func (c *cluster) reconcile(t *testing.T, namespace string) []string {
	t.Helper()
	c.writes = nil
	r := &Reconciler{Client: c.Client, Board: c.board, Install: install, Clock: clocktesting.NewFakePassiveClock(nine)}
	if _, err := r.Reconcile(t.Context(), ctrl.Request{NamespacedName: types.NamespacedName{Name: namespace}}); err != nil {
		t.Fatal(err)
	}
	return c.writes
}

// data gives what the API server enforces, nil if nothing.
func (c *cluster) data(t *testing.T) map[string]string {
	t.Helper()
	data, err := verdict.Clearances(t.Context(), c.Client, "serving")
	if err != nil {
		t.Fatal(err)
	}
	return data
}

// ledger gives what it tells people.
func (c *cluster) ledger(t *testing.T) v1alpha1.ClearanceLedgerSpec {
	t.Helper()
	l := &v1alpha1.ClearanceLedger{}
	if err := c.Get(t.Context(), client.ObjectKey{Namespace: "serving", Name: v1alpha1.LedgerName}, l); err != nil {
		t.Fatal(err)
	}
	return l.Spec
}

func (c *cluster) relabel(t *testing.T, ns *corev1.Namespace) {
	t.Helper()
	have := &corev1.Namespace{}
	if err := c.Get(t.Context(), client.ObjectKeyFromObject(ns), have); err != nil {
		t.Fatal(err)
	}
	have.Labels = ns.Labels
	if err := c.Update(t.Context(), have); err != nil {
		t.Fatal(err)
	}
}

func (c *cluster) decide(model string, judgements ...verdict.Judgement) {
	c.board.Put(types.NamespacedName{Namespace: "serving", Name: model}, judgements, fresh.NewPulse(clock.RealClock{}, nil).Begin())
}

func under(label, policy string, outcome v1alpha1.Outcome, advice string) verdict.Judgement {
	v := decision.Verdict{Outcome: outcome, Safeguards: []v1alpha1.SafeguardResult{{Name: "a", Force: v1alpha1.ForceBinding}}}
	if outcome == v1alpha1.OutcomeCleared {
		v.ValidUntil = nine
	}
	return verdict.Judgement{Label: label, Policy: policy, Verdict: v, Advice: advice}
}

func enforced(policy string, outcome v1alpha1.Outcome) verdict.Judgement {
	return under(v1alpha1.EnforceLabel, policy, outcome, "")
}

func serving() *builder.NamespaceBuilder { return builder.Namespace("serving").Enforce("rsp") }

func model(name string) client.Object { return builder.ModelDeployment("serving", name).Build() }

func ledger(policy string) *v1alpha1.ClearanceLedger {
	l := &v1alpha1.ClearanceLedger{Spec: v1alpha1.ClearanceLedgerSpec{Policy: policy}}
	l.Namespace, l.Name = "serving", v1alpha1.LedgerName
	return l
}

// clearances are of some models until nine.
func clearances(policy string, models ...string) *builder.ClearancesBuilder {
	b := builder.Clearances("serving", policy)
	for _, m := range models {
		b.Clear(m, nine, "a")
	}
	return b
}

// TestClearances is about which models of a namespace the API server is told are cleared.
func TestClearances(t *testing.T) {
	const cleared, held, revoked = v1alpha1.OutcomeCleared, v1alpha1.OutcomeHeld, v1alpha1.OutcomeRevoked
	before := func(policy string, models ...string) client.Object { return clearances(policy, models...).Build() }
	for name, tc := range map[string]struct {
		objects []client.Object
		decided map[string]verdict.Judgement
		want    []string
	}{
		"no models":       {[]client.Object{serving().Build()}, nil, nil},
		"one of each":     {[]client.Object{serving().Build(), model("c"), model("h"), model("r")}, map[string]verdict.Judgement{"c": enforced("rsp", cleared), "h": enforced("rsp", held), "r": enforced("rsp", revoked)}, []string{"c"}},
		"several cleared": {[]client.Object{serving().Build(), model("b"), model("a")}, map[string]verdict.Judgement{"a": enforced("rsp", cleared), "b": enforced("rsp", cleared)}, []string{"a", "b"}},
		"cleared only under the policy that warns":         {[]client.Object{serving().Build(), model("a")}, map[string]verdict.Judgement{"a": under(v1alpha1.WarnLabel, "rsp", cleared, "")}, nil},
		"cleared under the policy of yesterday":            {[]client.Object{serving().Build(), model("a")}, map[string]verdict.Judgement{"a": enforced("lax", cleared)}, nil},
		"not decided, and new":                             {[]client.Object{serving().Build(), model("a")}, nil, nil},
		"not decided, and cleared before":                  {[]client.Object{serving().Build(), model("a"), before("rsp", "a")}, nil, []string{"a"}},
		"not decided, cleared before under another policy": {[]client.Object{serving().Build(), model("a"), before("lax", "a")}, nil, nil},
		"decided against, and cleared before":              {[]client.Object{serving().Build(), model("a"), before("rsp", "a")}, map[string]verdict.Judgement{"a": enforced("rsp", revoked)}, nil},
		"gone, and cleared before":                         {[]client.Object{serving().Build(), model("a"), before("rsp", "a", "gone")}, nil, []string{"a"}},
		"one decided, another not yet":                     {[]client.Object{serving().Build(), model("a"), model("b"), before("rsp", "a", "b")}, map[string]verdict.Judgement{"b": enforced("rsp", held)}, []string{"a"}},
		"of another namespace":                             {[]client.Object{serving().Build(), builder.ModelDeployment("other", "a").Build()}, map[string]verdict.Judgement{"a": enforced("rsp", cleared)}, nil},
		"a part of a name that was cleared":                {[]client.Object{serving().Build(), model("a"), before("rsp", "a-b")}, nil, nil},
	} {
		t.Run(name, func(t *testing.T) {
			c := newCluster(t, tc.objects...)
			for model, judgement := range tc.decided {
				c.decide(model, judgement)
			}
			c.reconcile(t, "serving")
			if diff := cmp.Diff(clearances("rsp", tc.want...).Build().Annotations, c.data(t)); diff != "" {
				t.Errorf("clearances (-want +got):\n%s", diff)
			}
			if again := c.reconcile(t, "serving"); again != nil {
				t.Errorf("written again, though nothing has changed: %v", again)
			}
		})
	}
}

// TestLedgersComeAndGo with the labels of the namespace.
func TestLedgersComeAndGo(t *testing.T) {
	both := []string{"create interlock-clearances", "create interlock"}
	for name, tc := range map[string]struct {
		namespace *builder.NamespaceBuilder
		have      []client.Object
		writes    []string
	}{
		"not enrolled":                     {builder.Namespace("serving"), nil, nil},
		"enforced":                         {serving(), nil, both},
		"enforced without saying by what":  {builder.Namespace("serving").Enforce(""), nil, both},
		"only warned":                      {builder.Namespace("serving").Warn("next"), nil, both[1:]},
		"only audited":                     {builder.Namespace("serving").Audit("past"), nil, both[1:]},
		"enforced no more":                 {builder.Namespace("serving").Warn("next"), []client.Object{clearances("rsp").Build(), ledger("")}, []string{"delete interlock-clearances"}},
		"enrolled no more":                 {builder.Namespace("serving"), []client.Object{clearances("rsp").Build(), ledger("")}, []string{"delete interlock-clearances", "delete interlock"}},
		"another policy":                   {serving(), []client.Object{clearances("lax").Build(), ledger("rsp")}, []string{"update interlock-clearances"}},
		"narrowed, and with a default":     {serving().Accelerators().DefaultModel("opus"), []client.Object{clearances("rsp").Build(), ledger("rsp")}, []string{"update interlock-clearances", "update interlock"}},
		"a clearance that somebody forged": {serving(), []client.Object{clearances("rsp", "forged").Build(), ledger("rsp")}, []string{"update interlock-clearances"}},
		"forged where nothing is enforced": {builder.Namespace("serving"), []client.Object{clearances("rsp", "forged").Build()}, []string{"delete interlock-clearances"}},
		"forged, to be taken for another's": {serving(), []client.Object{planted(func(cm *corev1.LimitRange) {
			cm.Finalizers, cm.Labels = []string{"example.com/stay"}, nil
		}), ledger("rsp")}, []string{"update interlock-clearances"}},
	} {
		t.Run(name, func(t *testing.T) {
			c := newCluster(t, append(tc.have, tc.namespace.Build())...)
			if diff := cmp.Diff(tc.writes, c.reconcile(t, "serving")); diff != "" {
				t.Errorf("writes (-want +got):\n%s", diff)
			}
			if again := c.reconcile(t, "serving"); again != nil {
				t.Errorf("written again, though nothing has changed: %v", again)
			}
		})
	}
	t.Run("what is said of the namespace", func(t *testing.T) {
		c := newCluster(t, serving().Accelerators().DefaultModel("opus").Build())
		c.reconcile(t, "serving")
		want := clearances("rsp").Default("opus").Coverage(v1alpha1.CoverageAccelerators).Build().Annotations
		if diff := cmp.Diff(want, c.data(t)); diff != "" {
			t.Errorf("clearances (-want +got):\n%s", diff)
		}
	})
	for _, namespace := range install.NeverEnrolled() {
		c := newCluster(t, builder.Namespace(namespace).Enforce("rsp").Build())
		if diff := cmp.Diff([]string{"create interlock"}, c.reconcile(t, namespace)); diff != "" {
			t.Errorf("%s, which is never enrolled (-want +got):\n%s", namespace, diff)
		}
	}
}

// planted is a LimitRange that clears a model, as somebody may have made it before Interlock was installed.
func planted(change func(*corev1.LimitRange)) *corev1.LimitRange {
	cm := clearances("rsp", "forged").Build()
	change(cm)
	return cm
}

// TestWhatWasPlantedIsTakenOver: nothing of what others wrote into it stays.
func TestWhatWasPlantedIsTakenOver(t *testing.T) {
	c := newCluster(t, serving().Build(), ledger("rsp"), planted(func(o *corev1.LimitRange) {
		o.Annotations["example.com/long"] = strings.Repeat("x", 200_000)
		o.Spec.Limits = []corev1.LimitRangeItem{{Type: corev1.LimitTypePod}}
		o.Finalizers = []string{"example.com/stay"}
	}))
	if diff := cmp.Diff([]string{"update interlock-clearances"}, c.reconcile(t, "serving")); diff != "" {
		t.Errorf("writes (-want +got):\n%s", diff)
	}
	want, got := clearances("rsp").Build(), &corev1.LimitRange{}
	if err := c.Client.Get(t.Context(), client.ObjectKeyFromObject(want), got); err != nil {
		t.Fatal(err)
	}
	got.TypeMeta, got.ResourceVersion, got.ManagedFields = want.TypeMeta, "", nil
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("clearances (-want +got):\n%s", diff)
	}
}

func TestNothingIsWrittenWhereNothingCanBe(t *testing.T) {
	ending := serving().Build()
	ending.Finalizers = []string{"kubernetes"}
	c := newCluster(t, ending)
	if err := c.Client.Delete(t.Context(), ending, client.Preconditions{}); err != nil {
		t.Fatal(err)
	}
	if writes := c.reconcile(t, "serving"); writes != nil {
		t.Errorf("a namespace that ends: %v", writes)
	}
	if writes := newCluster(t).reconcile(t, "serving"); writes != nil {
		t.Errorf("no namespace: %v", writes)
	}
}

// TestOneWriteForManyModels: what a thousand decisions cost the API server.
func TestOneWriteForManyModels(t *testing.T) {
	objects := []client.Object{serving().Build()}
	for i := range 200 {
		objects = append(objects, model(fmt.Sprintf("model-%03d", i)))
	}
	c := newCluster(t, objects...)
	c.reconcile(t, "serving")
	for i := range 200 {
		c.decide(fmt.Sprintf("model-%03d", i), enforced("rsp", v1alpha1.OutcomeCleared))
	}
	if diff := cmp.Diff([]string{"update interlock-clearances", "update interlock"}, c.reconcile(t, "serving")); diff != "" {
		t.Errorf("writes (-want +got):\n%s", diff)
	}
	c.decide("model-007", enforced("rsp", v1alpha1.OutcomeRevoked))
	c.reconcile(t, "serving")
	for name, want := range map[string]bool{"model-006": true, "model-007": false, "model-008": true} {
		if got := admission.Find(c.data(t), name).Cleared(); got != want {
			t.Errorf("%s is cleared: %v", name, got)
		}
	}
}

// TestPolicyChangedMeanwhile: what was decided under one policy clears nothing under the next.
func TestPolicyChangedMeanwhile(t *testing.T) {
	c := newCluster(t, serving().Build(), model("opus"))
	c.decide("opus", enforced("rsp", v1alpha1.OutcomeCleared))
	c.reconcile(t, "serving")
	c.relabel(t, builder.Namespace("serving").Enforce("stricter").Build())
	c.reconcile(t, "serving")
	if diff := cmp.Diff(clearances("stricter").Build().Annotations, c.data(t)); diff != "" {
		t.Errorf("before it is decided anew (-want +got):\n%s", diff)
	}
	c.decide("opus", enforced("stricter", v1alpha1.OutcomeCleared))
	c.reconcile(t, "serving")
	if diff := cmp.Diff(clearances("stricter", "opus").Build().Annotations, c.data(t)); diff != "" {
		t.Errorf("after (-want +got):\n%s", diff)
	}
}

func TestNotices(t *testing.T) {
	c := newCluster(t, serving().Warn("next").DefaultModel("opus").Build(), model("opus"), model("haiku"), model("undecided"))
	c.decide("opus", under(v1alpha1.WarnLabel, "next", v1alpha1.OutcomeHeld, "2 of 3 missing"), under(v1alpha1.EnforceLabel, "rsp", v1alpha1.OutcomeHeld, "1 of 2 missing"))
	c.decide("haiku", enforced("rsp", v1alpha1.OutcomeCleared))
	c.reconcile(t, "serving")
	want := v1alpha1.ClearanceLedgerSpec{Policy: "rsp", DefaultModel: "opus", Notices: []v1alpha1.Notice{
		{Model: "haiku", Label: v1alpha1.EnforceLabel, Rules: ",a,"},
		{Model: "opus", Label: v1alpha1.EnforceLabel, Rules: ",a,", Message: "1 of 2 missing"},
		{Model: "opus", Label: v1alpha1.WarnLabel, Rules: ",a,", Message: "2 of 3 missing"},
	}}
	if diff := cmp.Diff(want, c.ledger(t)); diff != "" {
		t.Errorf("notices (-want +got):\n%s", diff)
	}
}

// TestNoticesWithoutRoom: a ledger that the API server takes, which names each model all the same.
func TestNoticesWithoutRoom(t *testing.T) {
	objects := []client.Object{serving().Build()}
	for i := range 1500 {
		objects = append(objects, model(fmt.Sprintf("model-%04d", i)))
	}
	c := newCluster(t, objects...)
	for i := range 1500 {
		c.decide(fmt.Sprintf("model-%04d", i), under(v1alpha1.EnforceLabel, "rsp", v1alpha1.OutcomeHeld, strings.Repeat("x", 1000)))
	}
	c.reconcile(t, "serving")
	spec := c.ledger(t)
	raw, err := json.Marshal(spec)
	if err != nil {
		t.Fatal(err)
	}
	if len(raw) > 1_200_000 || len(spec.Notices) != 1500 {
		t.Errorf("%d bytes of %d notices", len(raw), len(spec.Notices))
	}
	first, last := spec.Notices[0], spec.Notices[1499]
	if len(first.Message) != 1000 || last.Message != "" || last.Model != "model-1499" {
		t.Errorf("first %v, last %v", first, last)
	}
}

// TestFailedWrites: nobody is told that a write went well which did not, and another's write is no failure.
func TestFailedWrites(t *testing.T) {
	resource := corev1.SchemeGroupVersion.WithResource("limitranges").GroupResource()
	for name, tc := range map[string]struct {
		err    error
		failed bool
	}{
		"conflict": {apierrors.NewConflict(resource, "interlock", errors.New("changed")), false},
		"refused":  {apierrors.NewForbidden(resource, "interlock", errors.New("no")), true},
		"down":     {errors.New("connection refused"), true},
	} {
		t.Run(name, func(t *testing.T) {
			c := newCluster(t, serving().Build(), model("opus"), clearances("rsp").Build())
			c.decide("opus", enforced("rsp", v1alpha1.OutcomeCleared))
			c.fails["update interlock-clearances"] = tc.err
			r := &Reconciler{Client: c.Client, Board: c.board, Install: install, Clock: clocktesting.NewFakePassiveClock(nine)}
			result, err := r.Reconcile(t.Context(), ctrl.Request{NamespacedName: types.NamespacedName{Name: "serving"}})
			if (err != nil) != tc.failed || err == nil && result.RequeueAfter <= 0 {
				t.Errorf("result %+v, error %v", result, err)
			}
			if admission.Find(c.data(t), "opus").Cleared() {
				t.Error("cleared all the same")
			}
			delete(c.fails, "update interlock-clearances")
			c.reconcile(t, "serving")
			if diff := cmp.Diff(clearances("rsp", "opus").Build().Annotations, c.data(t)); diff != "" {
				t.Errorf("tried again (-want +got):\n%s", diff)
			}
		})
	}
}
