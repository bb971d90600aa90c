package admission_test

import (
	"errors"
	"slices"
	"strings"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	apiadmission "k8s.io/apiserver/pkg/admission"

	"github.com/interlock-dev/interlock/api/v1alpha1"
	"github.com/interlock-dev/interlock/internal/admission"
)

// TestCanary: an API server that enforces what was written answers rightly, and none that lacks a policy or reads what was true before.
func TestCanary(t *testing.T) {
	now := at("08:10:00")
	first := admission.NewCanary(now, admission.Canary{})
	second := admission.NewCanary(now.Add(time.Minute), first)
	all := admission.Policies(install, nil)
	without := func(name string) []admission.Object {
		return slices.DeleteFunc(slices.Clone(all), func(o admission.Object) bool { return o.GetName() == name })
	}
	for name, tc := range map[string]struct {
		policies []admission.Object
		reads    admission.Canary
		want     string
	}{
		"as it should be":         {all, second, ""},
		"reads what was before":   {all, first, "it holds a pod that was cleared"},
		"lacks the mutation":      {without(admission.HoldPolicy), second, "interlock-hold should hold"},
		"lacks the judgement":     {without(admission.AdmitPolicy), second, "interlock-admit should refuse"},
		"lacks both":              {nil, second, "lets in a pod whose clearance was taken back"},
		"has never read anything": {all, admission.Canary{}, "it refuses a pod that was cleared"},
	} {
		t.Run(name, func(t *testing.T) {
			server := canaryServer(t, tc.policies)
			if tc.reads != (admission.Canary{}) {
				annotations, _ := tc.reads.Clearances(now).Annotations()
				server.put(&corev1.LimitRange{ObjectMeta: metav1.ObjectMeta{Name: v1alpha1.ClearancesName, Annotations: annotations}})
			}
			var wrong []string
			for _, q := range second.Questions() {
				born, refusal := ask(t, server, install.Username, q.Pod, true)
				if why := q.Judge(born, refusal); why != "" {
					wrong = append(wrong, why)
				}
			}
			if got := strings.Join(wrong, "; "); !strings.Contains(got, tc.want) || tc.want == "" && got != "" {
				t.Errorf("wrong: %q, want %q", got, tc.want)
			}
		})
	}
}

// TestNobodyRunsPodsBesideTheCanary: neither does Interlock.
func TestNobodyRunsPodsBesideTheCanary(t *testing.T) {
	c := admission.NewCanary(at("08:10:00"), admission.Canary{})
	annotations, _ := c.Clearances(at("08:10:00")).Annotations()
	server := canaryServer(t, admission.Policies(install, nil)).
		put(&corev1.LimitRange{ObjectMeta: metav1.ObjectMeta{Name: v1alpha1.ClearancesName, Annotations: annotations}})
	for _, tc := range []struct {
		user   string
		dryRun bool
		may    bool
	}{{install.Username, true, true}, {install.Username, false, false}, {"ann", true, false}, {"ann", false, false}} {
		if _, refusal := ask(t, server, tc.user, c.Questions()[0].Pod, tc.dryRun); (refusal == nil) != tc.may {
			t.Errorf("%+v: %v", tc, refusal)
		}
	}
}

func canaryServer(t *testing.T, policies []admission.Object) *apiServer {
	return newAPIServer(t, policies, map[string]string{
		corev1.LabelMetadataName: admission.CanaryNamespace, v1alpha1.EnforceLabel: admission.CanaryNamespace})
}

func ask(t *testing.T, server *apiServer, user string, pod *corev1.Pod, dryRun bool) (*corev1.Pod, error) {
	pod = pod.DeepCopy()
	pod.TypeMeta = metav1.TypeMeta{APIVersion: "v1", Kind: "Pod"}
	a := server.serve(t, request{user: user, operation: apiadmission.Create, resource: pods, object: pod, dryRun: dryRun})
	if len(a.denials) > 0 {
		return nil, errors.New(strings.Join(a.denials, "; "))
	}
	return podOf(t, a.object), nil
}
