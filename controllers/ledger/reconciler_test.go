package ledger

import (
	"context"
	"errors"
	"fmt"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"
	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/types"
	clientgoscheme "k8s.io/client-go/kubernetes/scheme"
	ctrl "sigs.k8s.io/controller-runtime"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/client/fake"
	"sigs.k8s.io/controller-runtime/pkg/client/interceptor"

	"github.com/interlock-dev/interlock/api/v1alpha1"
	"github.com/interlock-dev/interlock/controllers/verdicts"
	"github.com/interlock-dev/interlock/internal/admission"
	"github.com/interlock-dev/interlock/internal/decision"
	"github.com/interlock-dev/interlock/internal/testing/builder"
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
	r := &Reconciler{Client: c.Client, Board: c.board, Install: install}
	if _, err := r.Reconcile(t.Context(), ctrl.Request{NamespacedName: types.NamespacedName{Name: namespace}}); err != nil {
		t.Fatal(err)
	}
	return c.writes
}

// spec gives a ledger, nil if there is none.
func (c *cluster) spec(t *testing.T, name string) *v1alpha1.ClearanceLedgerSpec {
	t.Helper()
	ledger := &v1alpha1.ClearanceLedger{}
	err := c.Get(t.Context(), client.ObjectKey{Namespace: "serving", Name: name}, ledger)
	if apierrors.IsNotFound(err) {
		return nil
	}
	if err != nil {
		t.Fatal(err)
	}
	return &ledger.Spec
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

func (c *cluster) decide(model string, judgements ...verdicts.Judgement) {
	c.board.Put(types.NamespacedName{Namespace: "serving", Name: model}, judgements)
}

func under(label, policy string, outcome v1alpha1.Outcome, advice string) verdicts.Judgement {
	v := decision.Verdict{Outcome: outcome, Safeguards: []v1alpha1.SafeguardResult{{Name: "a", Force: v1alpha1.ForceBinding}}}
	if outcome == v1alpha1.OutcomeCleared {
		v.ValidUntil = nine
	}
	return verdicts.Judgement{Label: label, Policy: policy, Verdict: v, Advice: advice}
}

func enforced(policy string, outcome v1alpha1.Outcome) verdicts.Judgement {
	return under(v1alpha1.EnforceLabel, policy, outcome, "")
}

func serving() *builder.NamespaceBuilder { return builder.Namespace("serving").Enforce("rsp") }

func model(name string) client.Object { return builder.ModelDeployment("serving", name).Build() }

func ledger(name, policy string, entries ...admission.Entry) *v1alpha1.ClearanceLedger {
	l := &v1alpha1.ClearanceLedger{Spec: v1alpha1.ClearanceLedgerSpec{Policy: policy, Clearances: admission.Clearances(entries)}}
	l.Namespace, l.Name = "serving", name
	return l
}

func clearances(models ...string) []v1alpha1.Clearance {
	var entries []admission.Entry
	for _, m := range models {
		entries = append(entries, admission.Entry{Model: m, ValidUntil: nine, Rules: []string{"a"}})
	}
	return admission.Clearances(entries)
}

// TestClearances is about which models the ledger of a namespace clears.
func TestClearances(t *testing.T) {
	const cleared, held, revoked = v1alpha1.OutcomeCleared, v1alpha1.OutcomeHeld, v1alpha1.OutcomeRevoked
	before := func(policy string, models ...string) *v1alpha1.ClearanceLedger {
		l := ledger(v1alpha1.LedgerName, policy)
		l.Spec.Clearances = clearances(models...)
		return l
	}
	for name, tc := range map[string]struct {
		objects []client.Object
		decided map[string]verdicts.Judgement
		want    []v1alpha1.Clearance
	}{
		"no models":       {[]client.Object{serving().Build()}, nil, nil},
		"one of each":     {[]client.Object{serving().Build(), model("c"), model("h"), model("r")}, map[string]verdicts.Judgement{"c": enforced("rsp", cleared), "h": enforced("rsp", held), "r": enforced("rsp", revoked)}, clearances("c")},
		"several cleared": {[]client.Object{serving().Build(), model("b"), model("a")}, map[string]verdicts.Judgement{"a": enforced("rsp", cleared), "b": enforced("rsp", cleared)}, clearances("a", "b")},
		"cleared only under the policy that warns":         {[]client.Object{serving().Build(), model("a")}, map[string]verdicts.Judgement{"a": under(v1alpha1.WarnLabel, "rsp", cleared, "")}, nil},
		"cleared under the policy of yesterday":            {[]client.Object{serving().Build(), model("a")}, map[string]verdicts.Judgement{"a": enforced("lax", cleared)}, nil},
		"not decided, and new":                             {[]client.Object{serving().Build(), model("a")}, nil, nil},
		"not decided, and cleared before":                  {[]client.Object{serving().Build(), model("a"), before("rsp", "a")}, nil, clearances("a")},
		"not decided, cleared before under another policy": {[]client.Object{serving().Build(), model("a"), before("lax", "a")}, nil, nil},
		"decided against, and cleared before":              {[]client.Object{serving().Build(), model("a"), before("rsp", "a")}, map[string]verdicts.Judgement{"a": enforced("rsp", revoked)}, nil},
		"gone, and cleared before":                         {[]client.Object{serving().Build(), model("a"), before("rsp", "a", "gone")}, nil, clearances("a")},
		"one decided, another not yet":                     {[]client.Object{serving().Build(), model("a"), model("b"), before("rsp", "a", "b")}, map[string]verdicts.Judgement{"b": enforced("rsp", held)}, clearances("a")},
		"of another namespace":                             {[]client.Object{serving().Build(), builder.ModelDeployment("other", "a").Build()}, map[string]verdicts.Judgement{"a": enforced("rsp", cleared)}, nil},
		"a part of a name that was cleared":                {[]client.Object{serving().Build(), model("a"), before("rsp", "a-b")}, nil, nil},
	} {
		t.Run(name, func(t *testing.T) {
			c := newCluster(t, tc.objects...)
			for model, judgement := range tc.decided {
				c.decide(model, judgement)
			}
			c.reconcile(t, "serving")
			got := c.spec(t, v1alpha1.LedgerName)
			want := &v1alpha1.ClearanceLedgerSpec{Policy: "rsp", Clearances: tc.want}
			if diff := cmp.Diff(want, got, cmpopts.EquateEmpty()); diff != "" {
				t.Errorf("ledger (-want +got):\n%s", diff)
			}
			if again := c.reconcile(t, "serving"); again != nil {
				t.Errorf("written again, though nothing has changed: %v", again)
			}
		})
	}
}

// TestLedgersComeAndGo with the labels of the namespace.
func TestLedgersComeAndGo(t *testing.T) {
	both := []string{"create interlock", "create interlock-notices"}
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
		"enforced no more":                 {builder.Namespace("serving").Warn("next"), []client.Object{ledger(v1alpha1.LedgerName, "rsp"), ledger(v1alpha1.NoticesName, "")}, []string{"delete interlock"}},
		"enrolled no more":                 {builder.Namespace("serving"), []client.Object{ledger(v1alpha1.LedgerName, "rsp"), ledger(v1alpha1.NoticesName, "")}, []string{"delete interlock", "delete interlock-notices"}},
		"another policy":                   {serving(), []client.Object{ledger(v1alpha1.LedgerName, "lax"), ledger(v1alpha1.NoticesName, "rsp")}, []string{"update interlock"}},
		"narrowed, and with a default":     {serving().Accelerators().DefaultModel("opus"), []client.Object{ledger(v1alpha1.LedgerName, "rsp"), ledger(v1alpha1.NoticesName, "rsp")}, []string{"update interlock", "update interlock-notices"}},
		"a clearance that somebody forged": {serving(), []client.Object{ledger(v1alpha1.LedgerName, "rsp", admission.Entry{Model: "forged", ValidUntil: nine}), ledger(v1alpha1.NoticesName, "rsp")}, []string{"update interlock"}},
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
	t.Run("what the ledger says of the namespace", func(t *testing.T) {
		c := newCluster(t, serving().Accelerators().DefaultModel("opus").Build())
		c.reconcile(t, "serving")
		want := &v1alpha1.ClearanceLedgerSpec{Policy: "rsp", DefaultModel: "opus", Coverage: v1alpha1.CoverageAccelerators}
		if diff := cmp.Diff(want, c.spec(t, v1alpha1.LedgerName), cmpopts.EquateEmpty()); diff != "" {
			t.Errorf("ledger (-want +got):\n%s", diff)
		}
	})
	for _, namespace := range install.NeverEnrolled() {
		c := newCluster(t, builder.Namespace(namespace).Enforce("rsp").Build())
		if diff := cmp.Diff([]string{"create interlock-notices"}, c.reconcile(t, namespace)); diff != "" {
			t.Errorf("%s, which is never enrolled (-want +got):\n%s", namespace, diff)
		}
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
	if diff := cmp.Diff([]string{"update interlock", "update interlock-notices"}, c.reconcile(t, "serving")); diff != "" {
		t.Errorf("writes (-want +got):\n%s", diff)
	}
	if spec := c.spec(t, v1alpha1.LedgerName); len(spec.Clearances) != 1 {
		t.Errorf("%d clearances of one lease", len(spec.Clearances))
	}
	c.decide("model-007", enforced("rsp", v1alpha1.OutcomeRevoked))
	c.reconcile(t, "serving")
	spec := c.spec(t, v1alpha1.LedgerName)
	for name, want := range map[string]bool{"model-006": true, "model-007": false, "model-008": true} {
		if _, found := admission.Find(spec.Clearances, name); found != want {
			t.Errorf("%s is cleared: %v", name, found)
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
	want := &v1alpha1.ClearanceLedgerSpec{Policy: "stricter"}
	if diff := cmp.Diff(want, c.spec(t, v1alpha1.LedgerName), cmpopts.EquateEmpty()); diff != "" {
		t.Errorf("before it is decided anew (-want +got):\n%s", diff)
	}
	c.decide("opus", enforced("stricter", v1alpha1.OutcomeCleared))
	c.reconcile(t, "serving")
	want.Clearances = clearances("opus")
	if diff := cmp.Diff(want, c.spec(t, v1alpha1.LedgerName), cmpopts.EquateEmpty()); diff != "" {
		t.Errorf("after (-want +got):\n%s", diff)
	}
}

func TestNotices(t *testing.T) {
	c := newCluster(t, serving().Warn("next").DefaultModel("opus").Build(), model("opus"), model("haiku"), model("undecided"))
	c.decide("opus", under(v1alpha1.WarnLabel, "next", v1alpha1.OutcomeHeld, "2 of 3 missing"), under(v1alpha1.EnforceLabel, "rsp", v1alpha1.OutcomeHeld, "1 of 2 missing"))
	c.decide("haiku", enforced("rsp", v1alpha1.OutcomeCleared))
	c.reconcile(t, "serving")
	want := &v1alpha1.ClearanceLedgerSpec{Policy: "rsp", DefaultModel: "opus", Notices: []v1alpha1.Notice{
		{Model: "haiku", Label: v1alpha1.EnforceLabel, Rules: ",a,"},
		{Model: "opus", Label: v1alpha1.EnforceLabel, Rules: ",a,", Message: "1 of 2 missing"},
		{Model: "opus", Label: v1alpha1.WarnLabel, Rules: ",a,", Message: "2 of 3 missing"},
	}}
	if diff := cmp.Diff(want, c.spec(t, v1alpha1.NoticesName)); diff != "" {
		t.Errorf("notices (-want +got):\n%s", diff)
	}
	if spec := c.spec(t, v1alpha1.LedgerName); spec.Notices != nil {
		t.Errorf("words for people are in the ledger that is read for each pod: %v", spec.Notices)
	}
}

// TestFailedWrites: nobody is told that a write went well which did not, and another's write is no failure.
func TestFailedWrites(t *testing.T) {
	resource := v1alpha1.GroupVersion.WithResource("clearanceledgers").GroupResource()
	for name, tc := range map[string]struct {
		err    error
		failed bool
	}{
		"conflict": {apierrors.NewConflict(resource, "interlock", errors.New("changed")), false},
		"refused":  {apierrors.NewForbidden(resource, "interlock", errors.New("no")), true},
		"down":     {errors.New("connection refused"), true},
	} {
		t.Run(name, func(t *testing.T) {
			c := newCluster(t, serving().Build(), model("opus"), ledger(v1alpha1.LedgerName, "rsp"))
			c.decide("opus", enforced("rsp", v1alpha1.OutcomeCleared))
			c.fails["update interlock"] = tc.err
			r := &Reconciler{Client: c.Client, Board: c.board, Install: install}
			result, err := r.Reconcile(t.Context(), ctrl.Request{NamespacedName: types.NamespacedName{Name: "serving"}})
			if (err != nil) != tc.failed || err == nil && result.RequeueAfter <= 0 {
				t.Errorf("result %+v, error %v", result, err)
			}
			if spec := c.spec(t, v1alpha1.LedgerName); len(spec.Clearances) != 0 {
				t.Errorf("ledger %+v", spec)
			}
			delete(c.fails, "update interlock")
			c.reconcile(t, "serving")
			if diff := cmp.Diff(clearances("opus"), c.spec(t, v1alpha1.LedgerName).Clearances); diff != "" {
				t.Errorf("tried again (-want +got):\n%s", diff)
			}
		})
	}
}
