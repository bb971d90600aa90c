package surroundings

import (
	"context"
	"strings"
	"testing"
	"time"

	networkingv1 "k8s.io/api/networking/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/util/managedfields"
	clientgoscheme "k8s.io/client-go/kubernetes/scheme"
	"k8s.io/client-go/tools/events"
	"k8s.io/utils/clock"
	ctrl "sigs.k8s.io/controller-runtime"
	"sigs.k8s.io/controller-runtime/pkg/cache"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/client/fake"

	"github.com/interlock-dev/interlock/api/v1alpha1"
	"github.com/interlock-dev/interlock/controllers/fresh"
	"github.com/interlock-dev/interlock/controllers/verdicts"
	"github.com/interlock-dev/interlock/internal/adjust"
	"github.com/interlock-dev/interlock/internal/decision"
	"github.com/interlock-dev/interlock/internal/safeguard"
	"github.com/interlock-dev/interlock/internal/testing/builder"
	"github.com/interlock-dev/interlock/internal/verdict"
)

var (
	networkPolicy = networkingv1.SchemeGroupVersion.WithKind("NetworkPolicy")
	llm           = client.ObjectKey{Namespace: "serving", Name: "llm"}
	wall          = client.ObjectKey{Namespace: "serving", Name: "wall-llm"}
)

// everything is a cache that lags behind nothing, of which all has been read.
type everything struct {
	cache.Cache
	client.Reader
	// removed counts the informers that were.
	removed int
}

func (e *everything) RemoveInformer(context.Context, client.Object) error { e.removed++; return nil }

func (e *everything) Get(ctx context.Context, key client.ObjectKey, o client.Object, opts ...client.GetOption) error {
	return e.Reader.Get(ctx, key, o, opts...)
}

func (e *everything) List(ctx context.Context, list client.ObjectList, opts ...client.ListOption) error {
	return e.Reader.List(ctx, list, opts...)
}

type synced struct{ cache.Informer }

func (synced) HasSynced() bool { return true }

func newReconciler(t *testing.T, objects ...client.Object) *Reconciler {
	t.Helper()
	scheme := runtime.NewScheme()
	for _, add := range []func(*runtime.Scheme) error{clientgoscheme.AddToScheme, v1alpha1.AddToScheme} {
		if err := add(scheme); err != nil {
			t.Fatal(err)
		}
	}
	c := fake.NewClientBuilder().WithScheme(scheme).WithObjects(objects...).WithStatusSubresource(&v1alpha1.ModelDeployment{}).
		WithReturnManagedFields().WithTypeConverters(managedfields.NewDeducedTypeConverter()).Build()
	compiler, err := safeguard.NewCompiler()
	if err != nil {
		t.Fatal(err)
	}
	r := &Reconciler{Client: c, Live: c, Board: verdicts.NewBoard(), Compiler: compiler, Clock: clock.RealClock{}, Events: events.NewFakeRecorder(100)}
	r.kinds = newKinds(&everything{Reader: c}, c, c.RESTMapper(), r.Clock)
	r.kinds.informers[networkPolicy] = synced{}
	return r
}

func walled() *builder.SafeguardBuilder {
	return builder.Safeguard("wall").Egress().Around("networking.k8s.io/v1", "NetworkPolicy", "wall-$(model.name)",
		`{"spec": {"podSelector": {"matchLabels": {"interlock.dev/model": "$(model.name)"}}, "policyTypes": ["Egress"]}}`)
}

// judged is a verdict that asks for the Safeguard wall.
func judged(change func(*verdict.Judgement)) []verdict.Judgement {
	j := verdict.Judgement{Label: v1alpha1.EnforceLabel, Policy: "rsp", PolicyDigest: "sha256:1", Verdict: decision.Verdict{
		Outcome: v1alpha1.OutcomeHeld, Safeguards: []v1alpha1.SafeguardResult{{Name: "wall", Force: v1alpha1.ForceBinding}}}}
	if change != nil {
		change(&j)
	}
	return []verdict.Judgement{j}
}

func (r *Reconciler) reconcileOnce(t *testing.T) {
	t.Helper()
	if _, err := r.Reconcile(t.Context(), ctrl.Request{NamespacedName: llm}); err != nil {
		t.Fatal(err)
	}
}

func (r *Reconciler) isThere(t *testing.T) bool {
	t.Helper()
	err := r.Client.Get(t.Context(), wall, &networkingv1.NetworkPolicy{})
	if client.IgnoreNotFound(err) != nil {
		t.Fatal(err)
	}
	return !apierrors.IsNotFound(err)
}

// What was put around a model goes when it is known that nobody asks for it, and not when less is known than before.
func TestWhatBecomesOfAnObject(t *testing.T) {
	put := func(change func(*verdict.Judgement)) func(*testing.T, *Reconciler) {
		return func(_ *testing.T, r *Reconciler) { r.Board.Put(llm, judged(change), fresh.Proof{}) }
	}
	change := func(o client.Object, edit func()) func(*testing.T, *Reconciler) {
		return func(t *testing.T, r *Reconciler) {
			if err := r.Client.Get(t.Context(), client.ObjectKeyFromObject(o), o); err != nil {
				t.Fatal(err)
			}
			write := r.Client.Update
			if edit == nil {
				if err := r.Client.Delete(t.Context(), o); err != nil {
					t.Fatal(err)
				}
				return
			}
			edit()
			if err := write(t.Context(), o); err != nil {
				t.Fatal(err)
			}
		}
	}
	sg, md := walled().Build(), builder.ModelDeployment(llm.Namespace, llm.Name).Build()
	for name, tc := range map[string]struct {
		then  func(*testing.T, *Reconciler)
		stays bool
	}{
		"revoked": {put(func(j *verdict.Judgement) { j.Verdict.Outcome = v1alpha1.OutcomeRevoked }), true},
		"not decided yet, since the operator was restarted": {func(_ *testing.T, r *Reconciler) { r.Board = verdicts.NewBoard() }, true},
		"the policy is gone": {put(func(j *verdict.Judgement) { j.PolicyDigest, j.Verdict = "", decision.Verdict{} }), true},
		"its level is unknown": {put(func(j *verdict.Judgement) {
			j.Verdict = decision.Verdict{Reason: v1alpha1.ReasonLevelUnknown}
		}), true},
		"the Safeguard is gone":          {change(sg, nil), true},
		"the Safeguard cannot be used":   {change(sg, func() { sg.Generation, sg.Spec.Adjust.Objects[0].Kind, sg.Spec.Resource = 2, "Pod", nil }), true},
		"the Safeguard is not asked for": {put(func(j *verdict.Judgement) { j.Verdict.Safeguards = nil }), false},
		"it is only recommended":         {put(func(j *verdict.Judgement) { j.Verdict.Safeguards[0].Force = v1alpha1.ForceRecommendation }), false},
		"it is waived":                   {put(func(j *verdict.Judgement) { j.Verdict.Safeguards[0].State = v1alpha1.SafeguardWaived }), false},
		"only a warning is asked for":    {put(func(j *verdict.Judgement) { j.Label = v1alpha1.WarnLabel }), false},
		"the Safeguard adjusts nothing":  {change(sg, func() { sg.Generation, sg.Spec.Adjust = 2, nil }), false},
		"the declaration is gone":        {change(md, nil), false},
	} {
		t.Run(name, func(t *testing.T) {
			made := walled().Build()
			made.UID, made.Generation = "wall", 1
			r := newReconciler(t, made, builder.ModelDeployment(llm.Namespace, llm.Name).Build())
			r.Board.Put(llm, judged(nil), fresh.Proof{})
			r.reconcileOnce(t)
			if !r.isThere(t) {
				t.Fatal("it was never applied")
			}
			tc.then(t, r)
			r.reconcileOnce(t)
			if r.isThere(t) != tc.stays {
				t.Errorf("it is there: %t, want %t", r.isThere(t), tc.stays)
			}
		})
	}
}

func TestOursIsWhatOurManagerApplied(t *testing.T) {
	by := func(manager string, operation metav1.ManagedFieldsOperationType) []metav1.ManagedFieldsEntry {
		return []metav1.ManagedFieldsEntry{{Manager: "team", Operation: metav1.ManagedFieldsOperationUpdate}, {Manager: manager, Operation: operation}}
	}
	applied := by("interlock-adjust-wall", metav1.ManagedFieldsOperationApply)
	for name, tc := range map[string]struct {
		labels map[string]string
		fields []metav1.ManagedFieldsEntry
		want   bool
	}{
		"as it was applied":            {adjust.Labels("llm", "wall"), applied, true},
		"with its labels taken away":   {nil, applied, true},
		"a copy, labels and all":       {adjust.Labels("llm", "wall"), by("team", metav1.ManagedFieldsOperationApply), false},
		"of another Safeguard":         {adjust.Labels("llm", "other"), by("interlock-adjust-other", metav1.ManagedFieldsOperationApply), false},
		"of another model":             {adjust.Labels("other", "wall"), applied, false},
		"not by server-side apply":     {adjust.Labels("llm", "wall"), by("interlock-adjust-wall", metav1.ManagedFieldsOperationUpdate), false},
		"made by nobody that is known": {adjust.Labels("llm", "wall"), nil, false},
	} {
		t.Run(name, func(t *testing.T) {
			have := metadataOf(networkPolicy)
			have.Labels, have.ManagedFields = tc.labels, tc.fields
			if got := ours(have, "wall", "llm"); got != tc.want {
				t.Errorf("got %t", got)
			}
		})
	}
}

func TestAdjustedSumsUp(t *testing.T) {
	is := func(state v1alpha1.ObjectState) v1alpha1.ObjectResult {
		return v1alpha1.ObjectResult{Kind: "NetworkPolicy", Name: strings.ToLower(string(state)), State: state, Message: "for a reason"}
	}
	for name, tc := range map[string]struct {
		results         []v1alpha1.ObjectResult
		reason, message string
	}{
		"nothing asked for":      {nil, "", ""},
		"all in place":           {[]v1alpha1.ObjectResult{is(v1alpha1.ObjectApplied), is(v1alpha1.ObjectApplied)}, v1alpha1.ReasonObjectsInPlace, "objects in place: 2"},
		"one is pending":         {[]v1alpha1.ObjectResult{is(v1alpha1.ObjectApplied), is(v1alpha1.ObjectPending)}, v1alpha1.ReasonObjectsNotInPlace, "NetworkPolicy pending: for a reason"},
		"a conflict goes before": {[]v1alpha1.ObjectResult{is(v1alpha1.ObjectConflict), is(v1alpha1.ObjectFailed)}, v1alpha1.ReasonObjectConflict, "NetworkPolicy conflict: for a reason; NetworkPolicy failed: for a reason"},
		"and after":              {[]v1alpha1.ObjectResult{is(v1alpha1.ObjectFailed), is(v1alpha1.ObjectForeign)}, v1alpha1.ReasonObjectConflict, "NetworkPolicy failed: for a reason; NetworkPolicy foreign: for a reason"},
	} {
		t.Run(name, func(t *testing.T) {
			conditions := []metav1.Condition{{Type: v1alpha1.ConditionAdjusted, Status: metav1.ConditionTrue}}
			setAdjusted(&conditions, tc.results, 1)
			c := meta.FindStatusCondition(conditions, v1alpha1.ConditionAdjusted)
			if c == nil {
				c = &metav1.Condition{}
			}
			if c.Reason != tc.reason || c.Message != tc.message || (c.Status == metav1.ConditionTrue) != (tc.reason == v1alpha1.ReasonObjectsInPlace) {
				t.Errorf("got %s %s: %s", c.Status, c.Reason, c.Message)
			}
		})
	}
}

// A kind is given up when no Safeguard names it and no model has an object of it.
func TestKindsInUseAreRetained(t *testing.T) {
	configMap := schema.GroupVersionKind{Version: "v1", Kind: "ConfigMap"}
	for name, tc := range map[string]struct {
		objects []client.Object
		want    bool
	}{
		"nobody names it":  {nil, false},
		"a Safeguard does": {[]client.Object{builder.Safeguard("a").Around("v1", "ConfigMap", "a-$(model.name)", "{}").Build()}, true},
		"a model has one": {[]client.Object{func() client.Object {
			md := builder.ModelDeployment("serving", "llm").Build()
			md.Status.Objects = []v1alpha1.ObjectResult{{Safeguard: "a", APIVersion: "v1", Kind: "ConfigMap", Name: "a-llm"}}
			return md
		}()}, true},
	} {
		t.Run(name, func(t *testing.T) {
			r := newReconciler(t, tc.objects...)
			all := r.kinds.cache.(*everything)
			r.kinds.informers = map[schema.GroupVersionKind]cache.Informer{configMap: synced{}}
			if _, err := r.Reconcile(t.Context(), ctrl.Request{}); err != nil {
				t.Fatal(err)
			}
			if _, followed := r.kinds.informers[configMap]; followed != tc.want || (all.removed == 0) != tc.want {
				t.Errorf("followed: %t, removed: %d", followed, all.removed)
			}
		})
	}
}

// Workloads and rights are not even watched, whatever the status of a model claims to have.
func TestKindsThatAreRefusedAreNotFollowed(t *testing.T) {
	r := newReconciler(t)
	ready, why, err := r.kinds.follow(t.Context(), schema.GroupVersionKind{Version: "v1", Kind: "Pod"})
	if ready || err != nil || !strings.Contains(why, "none of the core kinds") {
		t.Errorf("got %t, %q, %v", ready, why, err)
	}
	if wait := sooner(0, time.Second); wait != time.Second {
		t.Errorf("a wait that never ends goes before %s", wait)
	}
}
