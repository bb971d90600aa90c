package fallback

import (
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/types"
	clientgoscheme "k8s.io/client-go/kubernetes/scheme"
	clocktesting "k8s.io/utils/clock/testing"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/client/fake"

	"github.com/interlock-dev/interlock/api/v1alpha1"
	"github.com/interlock-dev/interlock/controllers/fresh"
	"github.com/interlock-dev/interlock/controllers/verdicts"
	"github.com/interlock-dev/interlock/internal/decision"
	"github.com/interlock-dev/interlock/internal/testing/builder"
	"github.com/interlock-dev/interlock/internal/verdict"
)

// TestStanding: a model is what this process has decided, if the API server enforces that, and nothing else.
func TestStanding(t *testing.T) {
	now := time.Date(2026, time.May, 14, 9, 0, 0, 0, time.UTC)
	scheme := runtime.NewScheme()
	for _, add := range []func(*runtime.Scheme) error{clientgoscheme.AddToScheme, v1alpha1.AddToScheme} {
		if err := add(scheme); err != nil {
			t.Fatal(err)
		}
	}
	for name, tc := range map[string]struct {
		decided v1alpha1.Outcome
		until   time.Duration
		policy  string
		want    v1alpha1.Outcome
	}{
		"cleared":                          {v1alpha1.OutcomeCleared, time.Hour, "rsp", v1alpha1.OutcomeCleared},
		"cleared, and not enforced yet":    {v1alpha1.OutcomeCleared, 0, "rsp", ""},
		"cleared, and the lease has ended": {v1alpha1.OutcomeCleared, -time.Second, "rsp", ""},
		"cleared under another policy":     {v1alpha1.OutcomeCleared, time.Hour, "lax", ""},
		"revoked":                          {v1alpha1.OutcomeRevoked, 0, "rsp", v1alpha1.OutcomeRevoked},
		"revoked, and still enforced":      {v1alpha1.OutcomeRevoked, time.Hour, "rsp", ""},
		"not decided, and enforced":        {"", time.Hour, "rsp", ""},
	} {
		t.Run(name, func(t *testing.T) {
			clearances := builder.Clearances("n", "rsp")
			if tc.until != 0 {
				clearances.Clear("big", now.Add(tc.until))
			}
			pod := func(name string, ready corev1.ConditionStatus) *corev1.Pod {
				p := builder.Pod("n", name).Model("big").Build()
				p.Status.Conditions = []corev1.PodCondition{{Type: corev1.PodReady, Status: ready}}
				return p
			}
			held := builder.Pod("n", "held").Model("big").Gate(v1alpha1.ClearanceGate).Build()
			held.Status.Conditions = []corev1.PodCondition{{Type: corev1.PodReady, Status: corev1.ConditionTrue}}
			leaving := pod("leaving", corev1.ConditionTrue)
			leaving.DeletionTimestamp, leaving.Finalizers = &metav1.Time{Time: now}, []string{"example.com/wait"}
			c := fake.NewClientBuilder().WithScheme(scheme).
				WithIndex(&corev1.Pod{}, verdict.ByModel, func(o client.Object) []string { return []string{o.GetLabels()[v1alpha1.ModelLabel]} }).
				WithObjects(builder.ModelDeployment("n", "big").Build(), pod("a", corev1.ConditionTrue), pod("b", corev1.ConditionFalse), held, leaving).Build()
			r := &Reconciler{Client: c, Board: verdicts.NewBoard(), Clock: clocktesting.NewFakePassiveClock(now)}
			big := types.NamespacedName{Namespace: "n", Name: "big"}
			if tc.decided != "" {
				r.Board.Put(big, []verdict.Judgement{{Label: v1alpha1.EnforceLabel, Policy: tc.policy, Verdict: decision.Verdict{Outcome: tc.decided}}}, fresh.Proof{})
			}
			s, _, err := r.standing(t.Context(), big, clearances.Build().Annotations)
			if err != nil || s.Outcome != tc.want || s.Ready != 1 || s.Admitted != 3 {
				t.Errorf("%+v, %v; want %q", s, err, tc.want)
			}
		})
	}
}
