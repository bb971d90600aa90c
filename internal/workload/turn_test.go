package workload

import (
	"encoding/json"
	"fmt"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/meta/testrestmapper"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/types"
	clientgoscheme "k8s.io/client-go/kubernetes/scheme"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/client/fake"
	"sigs.k8s.io/yaml"

	"github.com/interlock-dev/interlock/api/v1alpha1"
)

// road is an API server with what leads clients to model big, whose fallback is model small.
type road struct {
	client.WithWatch
	ready bool
}

func roadWith(t *testing.T, objects ...client.Object) *road {
	t.Helper()
	scheme := runtime.NewScheme()
	if err := clientgoscheme.AddToScheme(scheme); err != nil {
		t.Fatal(err)
	}
	route := schema.GroupVersionKind{Group: GatewayGroup, Version: "v1", Kind: "HTTPRoute"}
	scheme.AddKnownTypeWithName(route, &unstructured.Unstructured{})
	scheme.AddKnownTypeWithName(route.GroupVersion().WithKind("HTTPRouteList"), &unstructured.UnstructuredList{})
	return &road{fake.NewClientBuilder().WithScheme(scheme).
		WithRESTMapper(testrestmapper.TestOnlyStaticRESTMapper(scheme)).WithObjects(objects...).Build(), true}
}

func (r *road) fallback() Fallback {
	return Fallback{Model: "big", Instead: "small", Ready: func(map[string]string) bool { return r.ready }}
}

func service(name string, selector map[string]string) *corev1.Service {
	return &corev1.Service{
		ObjectMeta: metav1.ObjectMeta{Namespace: "n", Name: name, UID: types.UID(name + "-uid")}, Spec: corev1.ServiceSpec{Selector: selector}}
}

func route(t *testing.T, rules string) *unstructured.Unstructured {
	t.Helper()
	o := &unstructured.Unstructured{}
	err := yaml.Unmarshal([]byte(`{apiVersion: gateway.networking.k8s.io/v1, kind: HTTPRoute, metadata: {namespace: "n", name: chat, uid: r, labels: {interlock.dev/model: big}}, spec: {rules: `+rules+`}}`), &o.Object)
	if err != nil {
		t.Fatal(err)
	}
	return o
}

// now gives the field that leads clients, as JSON, and whether our marks are there.
func (r *road) now(t *testing.T, turning Turning) (field string, marked bool) {
	t.Helper()
	o := r.read(t, turning.Ref)
	value, _, err := unstructured.NestedFieldNoCopy(o.Object, turning.field()...)
	if err != nil {
		t.Fatal(err)
	}
	raw, err := json.Marshal(value)
	if err != nil {
		t.Fatal(err)
	}
	_, labelled := o.GetLabels()[FallbackLabel]
	_, noted := o.GetAnnotations()[TurnedAnnotation]
	if labelled != noted {
		t.Errorf("label %v, annotation %v", o.GetLabels(), o.GetAnnotations())
	}
	return string(raw), noted
}

func (r *road) read(t *testing.T, ref Ref) *unstructured.Unstructured {
	t.Helper()
	o := &unstructured.Unstructured{}
	if err := r.traffic().get(t.Context(), ref, o); err != nil {
		t.Fatal(err)
	}
	return o
}

// write lets somebody else set the field.
func (r *road) write(t *testing.T, turning Turning, value string) {
	t.Helper()
	o := r.read(t, turning.Ref)
	var v any
	if err := yaml.Unmarshal([]byte(value), &v); err != nil {
		t.Fatal(err)
	}
	if err := unstructured.SetNestedField(o.Object, v, turning.field()...); err != nil {
		t.Fatal(err)
	}
	if err := r.Update(t.Context(), o); err != nil {
		t.Fatal(err)
	}
}

func (r *road) traffic() *Traffic { return NewTraffic(r, r, r.RESTMapper()) }

// recalled is a Traffic that knows nothing but what the cluster holds.
func (r *road) recalled(t *testing.T) *Traffic {
	t.Helper()
	traffic := r.traffic()
	if _, err := traffic.Recall(t.Context()); err != nil {
		t.Fatal(err)
	}
	return traffic
}

var bigByApp = map[string]string{"app": "big", v1alpha1.ModelLabel: "big"}

const mixed = `[{matches: [{path: {value: /v1}}], backendRefs: [{name: big, port: 80, weight: 9}, {name: other, port: 80}, {name: big, namespace: elsewhere}, {group: inference.networking.k8s.io, kind: InferencePool, name: big}]}, {filters: [{type: RequestRedirect}]}]`

// TestTurnAndReturn goes there and back, each step by somebody who remembers nothing but what the cluster holds.
func TestTurnAndReturn(t *testing.T) {
	toSmall := []v1alpha1.FallbackBackend{{Service: "big", FallbackService: "small"}}
	small := func() client.Object {
		return service("small", map[string]string{v1alpha1.ModelLabel: "small", "x": "y"})
	}
	for name, tc := range map[string]struct {
		turning Turning
		object  client.Object
		want    string
	}{
		"Service": {TurnService("n", "chat", "small", map[string]string{"role": "head"}), service("chat", bigByApp),
			`{"interlock.dev/model":"small","role":"head"}`},
		"HTTPRoute": {TurnRoute("n", "chat", toSmall), route(t, mixed),
			`[{"backendRefs":[{"name":"small","port":80,"weight":9},{"name":"other","port":80},{"name":"big","namespace":"elsewhere"},{"group":"inference.networking.k8s.io","kind":"InferencePool","name":"big"}],"matches":[{"path":{"value":"/v1"}}]},{"filters":[{"type":"RequestRedirect"}]}]`},
	} {
		t.Run(name, func(t *testing.T) {
			r := roadWith(t, tc.object, small())
			before, _ := r.now(t, tc.turning)
			for range 2 { // the second time there is nothing to do
				turned, err := r.recalled(t).Turn(t.Context(), tc.turning, r.fallback())
				if err != nil || !turned.Leads {
					t.Fatalf("%+v, %v", turned, err)
				}
			}
			if got, marked := r.now(t, tc.turning); got != tc.want || !marked {
				t.Errorf("turned to %s, marked %v\nwant      %s", got, marked, tc.want)
			}
			for range 2 {
				traffic := r.recalled(t)
				if err := traffic.Return(t.Context(), tc.turning.Ref); err != nil {
					t.Fatal(err)
				}
				if left := traffic.TurnedFor(types.NamespacedName{Namespace: "n", Name: "big"}); len(left) > 0 {
					t.Errorf("still remembered: %v", left)
				}
			}
			if got, marked := r.now(t, tc.turning); got != before || marked {
				t.Errorf("returned to %s, marked %v\nwant        %s", got, marked, before)
			}
			for _, e := range r.read(t, tc.turning.Ref).GetManagedFields() {
				if e.Manager == TrafficManager {
					t.Errorf("we still own %s", e.FieldsV1)
				}
			}
		})
	}
}

func TestTurnRefuses(t *testing.T) {
	chat := TurnService("n", "chat", "small", nil)
	web := TurnRoute("n", "chat", []v1alpha1.FallbackBackend{{Service: "big", FallbackService: "small"}})
	small := service("small", map[string]string{v1alpha1.ModelLabel: "small"})
	forged := service("chat", map[string]string{"app": "big"})
	forged.Annotations = map[string]string{TurnedAnnotation: `{"uid": "of-another", "former": {"app": "evil"}}`}
	for name, tc := range map[string]struct {
		turning   Turning
		objects   []client.Object
		isDefault bool
		notReady  bool
		why       string
	}{
		"names no model":                         {turning: chat, objects: []client.Object{service("chat", map[string]string{"app": "big"})}, why: "does not name model big"},
		"names another":                          {turning: chat, objects: []client.Object{service("chat", map[string]string{v1alpha1.ModelLabel: "other"})}, isDefault: true, why: "does not name model big"},
		"names none, with a mark that is copied": {turning: chat, objects: []client.Object{forged}, why: "does not name model big"},
		"no selector":                            {turning: chat, objects: []client.Object{service("chat", nil)}, isDefault: true, why: "has no selector"},
		"no ready pod":                           {turning: chat, objects: []client.Object{service("chat", bigByApp)}, notReady: true, why: "no pod of model small"},
		"does not exist":                         {turning: chat, why: "does not exist"},
		"route without the Service":              {turning: web, objects: []client.Object{route(t, `[{backendRefs: [{name: other}]}]`), small}, why: "none of its backendRefs"},
		"no Service of the fallback":             {turning: web, objects: []client.Object{route(t, mixed)}, why: "Service small of the fallback does not exist"},
		"Service picks by something else":        {turning: web, objects: []client.Object{route(t, mixed), service("small", map[string]string{"app": "small"})}, why: "may pick pods of other models"},
		"Service picks the model":                {turning: web, objects: []client.Object{route(t, mixed), service("small", bigByApp)}, why: "may pick pods of other models"},
		"Service picks no ready pod":             {turning: web, objects: []client.Object{route(t, mixed), small}, notReady: true, why: "no pod of model small that Service small would pick"},
	} {
		t.Run(name, func(t *testing.T) {
			r := roadWith(t, tc.objects...)
			r.ready = !tc.notReady
			f := r.fallback()
			f.IsDefault = tc.isDefault
			traffic := r.traffic()
			turned, err := traffic.Turn(t.Context(), tc.turning, f)
			if err != nil || turned.Leads || !strings.Contains(turned.Why, tc.why) {
				t.Errorf("%+v, %v; want %q", turned, err, tc.why)
			}
			if len(traffic.led) > 0 {
				t.Errorf("remembered: %v", traffic.led)
			}
		})
	}
}

// TestTurnGivesUp: something else undoes the turn each time. It is turned a few times, and again after it was returned.
func TestTurnGivesUp(t *testing.T) {
	chat := TurnService("n", "chat", "small", nil)
	r := roadWith(t, service("chat", bigByApp))
	traffic := r.traffic()
	for range 2 {
		for i := range mostTurns + 2 {
			turned, err := traffic.Turn(t.Context(), chat, r.fallback())
			if err != nil || turned.Leads != (i < mostTurns) || turned.Contested != (i >= mostTurns) {
				t.Fatalf("attempt %d: %+v, %v", i, turned, err)
			}
			r.write(t, chat, `{app: big, team: theirs}`)
		}
		if err := traffic.Return(t.Context(), chat.Ref); err != nil {
			t.Fatal(err)
		}
		if got, marked := r.now(t, chat); got != `{"app":"big","team":"theirs"}` || marked {
			t.Fatalf("returned to %s, marked %v, over what somebody else wrote", got, marked)
		}
		r.write(t, chat, `{app: big, interlock.dev/model: big}`)
	}
}

// TestReturnKeepsEdits: what somebody else wrote meanwhile stays, and nothing leads to the fallback for ever.
func TestReturnKeepsEdits(t *testing.T) {
	one := []v1alpha1.FallbackBackend{{Service: "big", FallbackService: "small"}}
	two := append([]v1alpha1.FallbackBackend{{Service: "huge", FallbackService: "small"}}, one...)
	for name, tc := range map[string]struct {
		before   string
		backends []v1alpha1.FallbackBackend
		edit     string
		want     string
	}{
		"undone":             {`[{backendRefs: [{name: big}]}]`, one, `[{backendRefs: [{name: big, port: 81}]}]`, `[{"backendRefs":[{"name":"big","port":81}]}]`},
		"another rule":       {`[{backendRefs: [{name: big}]}]`, one, `[{backendRefs: [{name: small, port: 81}]}, {name: new}]`, `[{"backendRefs":[{"name":"big","port":81}]},{"name":"new"}]`},
		"to something else":  {`[{backendRefs: [{name: big}]}]`, one, `[{backendRefs: [{name: third}]}]`, `[{"backendRefs":[{"name":"third"}]}]`},
		"both stood there":   {`[{backendRefs: [{name: big}, {name: small}]}]`, one, `[{backendRefs: [{name: small}, {name: small}]}, {name: new}]`, `[{"backendRefs":[{"name":"big"},{"name":"small"}]}]`},
		"two for one":        {`[{backendRefs: [{name: big}, {name: huge}]}]`, two, `[{backendRefs: [{name: small}]}]`, `[{"backendRefs":[{"name":"big"},{"name":"huge"}]}]`},
		"two, and no edit":   {`[{backendRefs: [{name: big}, {name: huge}]}]`, two, "", `[{"backendRefs":[{"name":"big"},{"name":"huge"}]}]`},
		"all rules are gone": {`[{backendRefs: [{name: big}]}]`, one, `[]`, `[]`},
	} {
		t.Run(name, func(t *testing.T) {
			web := TurnRoute("n", "chat", tc.backends)
			r := roadWith(t, route(t, tc.before), service("small", map[string]string{v1alpha1.ModelLabel: "small"}))
			if turned, err := r.traffic().Turn(t.Context(), web, r.fallback()); err != nil || !turned.Leads {
				t.Fatal(turned, err)
			}
			if tc.edit != "" {
				r.write(t, web, tc.edit)
			}
			if err := r.recalled(t).Return(t.Context(), web.Ref); err != nil {
				t.Fatal(err)
			}
			if got, marked := r.now(t, web); got != tc.want || marked {
				t.Errorf("%s, marked %v\nwant %s", got, marked, tc.want)
			}
		})
	}
}

// TestReturnOfAnEditedService: a selector to which somebody has added something still leads to the fallback, and is not
// taken for what the team wants.
func TestReturnOfAnEditedService(t *testing.T) {
	r := roadWith(t, service("chat", bigByApp))
	for _, labels := range []map[string]string{nil, nil, {"role": "head"}} {
		if turned, err := r.recalled(t).Turn(t.Context(), TurnService("n", "chat", "small", labels), r.fallback()); err != nil || !turned.Leads {
			t.Fatal(turned, err)
		}
		if got, _ := r.now(t, TurnService("n", "chat", "small", nil)); labels != nil && got != `{"interlock.dev/model":"small","role":"head"}` {
			t.Errorf("turned to %s, not as it is declared now", got)
		}
		r.write(t, TurnService("n", "chat", "small", nil), `{interlock.dev/model: small, track: stable}`)
	}
	chat := TurnService("n", "chat", "small", nil)
	if err := r.recalled(t).Return(t.Context(), chat.Ref); err != nil {
		t.Fatal(err)
	}
	if got, marked := r.now(t, chat); got != `{"app":"big","interlock.dev/model":"big"}` || marked {
		t.Errorf("returned to %s, marked %v", got, marked)
	}
}

// TestTurnToAnotherFallback keeps what stood there at first.
func TestTurnToAnotherFallback(t *testing.T) {
	r := roadWith(t, service("chat", bigByApp))
	for _, fallback := range []string{"small", "tiny"} {
		f := r.fallback()
		f.Instead = fallback
		if turned, err := r.recalled(t).Turn(t.Context(), TurnService("n", "chat", fallback, nil), f); err != nil || !turned.Leads {
			t.Fatal(turned, err)
		}
	}
	chat := TurnService("n", "chat", "tiny", nil)
	if got, _ := r.now(t, chat); got != `{"interlock.dev/model":"tiny"}` {
		t.Errorf("turned to %s", got)
	}
	if err := r.recalled(t).Return(t.Context(), chat.Ref); err != nil {
		t.Fatal(err)
	}
	if got, _ := r.now(t, chat); got != `{"app":"big","interlock.dev/model":"big"}` {
		t.Errorf("returned to %s", got)
	}
}

func TestOwn(t *testing.T) {
	md := &v1alpha1.ModelDeployment{ObjectMeta: metav1.ObjectMeta{Namespace: "n", Name: "big", UID: "big-uid"}}
	spec := v1alpha1.FallbackService{Name: "chat", Mode: v1alpha1.FallbackOwn, Ports: []v1alpha1.FallbackPort{{Name: "http", Port: 80}}}
	toSmall := SelectorOf("small", nil)
	r := roadWith(t)
	key := client.ObjectKey{Namespace: "n", Name: "chat"}
	for i, step := range []struct {
		selector map[string]string
		change   func(*corev1.Service)
		want     string
	}{
		{selector: nil, want: "big"},
		{selector: toSmall, want: "small"},
		{selector: nil, want: "small"},
		{selector: toSmall, change: func(s *corev1.Service) { s.Spec.Selector, s.Spec.Ports, s.Labels = bigByApp, nil, nil }, want: "small"},
		{selector: SelectorOf("big", nil), want: "big"},
	} {
		have := &corev1.Service{}
		if step.change != nil {
			if err := r.Get(t.Context(), key, have); err != nil {
				t.Fatal(err)
			}
			step.change(have)
			if err := r.Update(t.Context(), have); err != nil {
				t.Fatal(err)
			}
		}
		selector, why, err := r.recalled(t).Own(t.Context(), md, Owning{Spec: spec, Selector: step.selector})
		if diff := cmp.Diff(SelectorOf(step.want, nil), selector); diff != "" || why != "" || err != nil {
			t.Fatalf("step %d: %s, %v\n%s", i, why, err, diff)
		}
		if err := r.Get(t.Context(), key, have); err != nil || len(have.Spec.Ports) != 1 || have.Labels[FallbackLabel] != "big" || !cmp.Equal(have.Spec.Selector, selector) {
			t.Fatalf("step %d: %v, %+v", i, err, have)
		}
	}

	t.Run("leaves alone what others made", func(t *testing.T) {
		r := roadWith(t, service("chat", bigByApp))
		_, why, err := r.traffic().Own(t.Context(), md, Owning{Spec: spec, Selector: toSmall})
		if err != nil || !strings.Contains(why, "did not make it") {
			t.Error(why, err)
		}
		if err := r.traffic().Disown(t.Context(), md, Ref{Kind: "Service", Namespace: "n", Name: "chat"}); err != nil {
			t.Error(err)
		}
		if err := r.Get(t.Context(), key, &corev1.Service{}); err != nil {
			t.Error(err)
		}
	})
	t.Run("goes", func(t *testing.T) {
		traffic := r.recalled(t)
		owned := traffic.OwnedFor(types.NamespacedName{Namespace: "n", Name: "big"})
		if fmt.Sprint(owned) != "[Service chat]" {
			t.Fatal(owned)
		}
		if err := traffic.Disown(t.Context(), md, owned[0]); err != nil {
			t.Fatal(err)
		}
		if err := r.Get(t.Context(), key, &corev1.Service{}); client.IgnoreNotFound(err) != nil || err == nil {
			t.Error(err)
		}
	})
}
