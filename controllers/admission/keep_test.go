package admission

import (
	"context"
	"encoding/json"
	"strings"
	"testing"
	"time"

	admissionv1 "k8s.io/api/admissionregistration/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/api/meta"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/types"
	clientgoscheme "k8s.io/client-go/kubernetes/scheme"
	"k8s.io/client-go/tools/events"
	clocktesting "k8s.io/utils/clock/testing"
	ctrl "sigs.k8s.io/controller-runtime"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/client/fake"
	"sigs.k8s.io/controller-runtime/pkg/client/interceptor"

	"github.com/interlock-dev/interlock/api/v1alpha1"
	"github.com/interlock-dev/interlock/controllers/podrules"
	"github.com/interlock-dev/interlock/internal/admission"
	"github.com/interlock-dev/interlock/internal/safeguard"
	"github.com/interlock-dev/interlock/internal/testing/builder"
)

var now = time.Date(2026, 5, 14, 8, 0, 0, 0, time.UTC)

// reconciler returns one whose API server refuses policies in which the text stands, and the events that it sends.
func reconciler(t *testing.T, text string, objects ...client.Object) (*Reconciler, *events.FakeRecorder) {
	t.Helper()
	scheme := runtime.NewScheme()
	for _, add := range []func(*runtime.Scheme) error{clientgoscheme.AddToScheme, v1alpha1.AddToScheme} {
		if err := add(scheme); err != nil {
			t.Fatal(err)
		}
	}
	refuse := func(o client.Object) error {
		raw, err := json.Marshal(o)
		if _, ok := o.(*admissionv1.ValidatingAdmissionPolicy); ok && err == nil && strings.Contains(string(raw), text) {
			return apierrors.NewInvalid(schema.GroupKind{Kind: "ValidatingAdmissionPolicy"}, o.GetName(), nil)
		}
		return err
	}
	c := fake.NewClientBuilder().WithScheme(scheme).WithObjects(objects...).
		WithStatusSubresource(&v1alpha1.Safeguard{}, &v1alpha1.ScalingPolicy{}).
		WithInterceptorFuncs(interceptor.Funcs{
			Create: func(ctx context.Context, c client.WithWatch, o client.Object, opts ...client.CreateOption) error {
				if err := refuse(o); err != nil {
					return err
				}
				return c.Create(ctx, o, opts...)
			},
			Update: func(ctx context.Context, c client.WithWatch, o client.Object, opts ...client.UpdateOption) error {
				if err := refuse(o); err != nil {
					return err
				}
				return c.Update(ctx, o, opts...)
			},
		}).Build()
	compiler, err := safeguard.NewCompiler()
	if err != nil {
		t.Fatal(err)
	}
	recorder := events.NewFakeRecorder(20)
	return &Reconciler{
		Client: c, Live: c, Compiler: compiler, Rules: podrules.NewRegister(clocktesting.NewFakePassiveClock(now)),
		Events: recorder, Canary: &canary{}, written: map[string]admission.Object{}}, recorder
}

// canary counts the repairs that it is told of.
type canary struct{ repairs int }

func (c *canary) Repaired() { c.repairs++ }

func ruled(name string) *v1alpha1.Safeguard {
	sg := builder.Safeguard(name).PodRule("object.metadata.name != '"+name+"'", "never").Build()
	sg.UID, sg.Generation = types.UID("uid-"+name), 1
	return sg
}

func run(t *testing.T, r *Reconciler) {
	t.Helper()
	if _, err := r.Reconcile(t.Context(), ctrl.Request{}); err != nil {
		t.Fatal(err)
	}
}

func TestOneRuleThatTheAPIServerRefusesKeepsNoOtherFromBeingEnforced(t *testing.T) {
	r, _ := reconciler(t, "b-refused", ruled("a"), ruled("b-refused"), ruled("c"))
	run(t, r)

	admit := &admissionv1.ValidatingAdmissionPolicy{}
	if err := r.Client.Get(t.Context(), client.ObjectKey{Name: admission.AdmitPolicy}, admit); err != nil {
		t.Fatal(err)
	}
	text, err := json.Marshal(admit)
	if err != nil {
		t.Fatal(err)
	}
	for name, enforced := range map[string]bool{"a": true, "b-refused": false, "c": true} {
		sg := &v1alpha1.Safeguard{}
		if err := r.Client.Get(t.Context(), client.ObjectKey{Name: name}, sg); err != nil {
			t.Fatal(err)
		}
		if got := strings.Contains(string(text), "Safeguard "+name+":"); got != enforced {
			t.Errorf("%s enforced = %v, want %v", name, got, enforced)
		}
		if got := meta.IsStatusConditionTrue(sg.Status.Conditions, v1alpha1.ConditionReady); got != enforced {
			t.Errorf("%s ready = %v, want %v: %v", name, got, enforced, sg.Status.Conditions)
		}
		if _, err := r.Rules.Check(sg, now); (err == nil) != enforced {
			t.Errorf("%s is said to be enforced: %v, want %v", name, err, enforced)
		}
	}
	if err := r.Enforcing(); err != nil {
		t.Errorf("Enforcing() = %v; all that can be enforced is", err)
	}
}

func TestAlarmIsRaisedForWhatOthersDoAndNotForOurOwnChanges(t *testing.T) {
	r, recorder := reconciler(t, "nothing is refused", ruled("a"))
	clock := clocktesting.NewFakePassiveClock(now)
	r.Rules = podrules.NewRegister(clock)
	if err := r.Enforcing(); err == nil {
		t.Error("Enforcing() = nil before anything was put into the API server")
	}
	run(t, r)
	if err := r.Client.Create(t.Context(), ruled("b")); err != nil {
		t.Fatal(err)
	}
	run(t, r)
	if n := len(recorder.Events); n != 0 {
		t.Fatalf("%d events after a Safeguard was added: %s", n, <-recorder.Events)
	}

	clock.SetTime(now.Add(time.Hour))
	if wait, err := r.Rules.Check(ruled("a"), clock.Now()); wait != 0 || err != nil {
		t.Fatalf("Check = %v, %v; want the rule in force by now", wait, err)
	}
	guard := &admissionv1.ValidatingAdmissionPolicy{}
	if err := r.Client.Get(t.Context(), client.ObjectKey{Name: admission.GuardPolicy}, guard); err != nil {
		t.Fatal(err)
	}
	guard.Spec.Validations = nil
	if err := r.Client.Update(t.Context(), guard); err != nil {
		t.Fatal(err)
	}
	run(t, r)
	if n := len(recorder.Events); n != 1 {
		t.Errorf("%d events after a policy was emptied, want 1", n)
	}
	if got := r.Canary.(*canary).repairs; got != 1 {
		t.Errorf("the canary was told of %d repairs, want 1", got)
	}
	if err := r.Client.Get(t.Context(), client.ObjectKey{Name: admission.GuardPolicy}, guard); err != nil {
		t.Fatal(err)
	}
	if len(guard.Spec.Validations) == 0 {
		t.Error("the policy was not restored")
	}
	if wait, err := r.Rules.Check(ruled("a"), clock.Now()); wait == 0 || err != nil {
		t.Errorf("Check = %v, %v; a rule comes into force anew when its policy was restored", wait, err)
	}
}
