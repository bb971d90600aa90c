package admission_test

import (
	"strings"
	"testing"

	corev1 "k8s.io/api/core/v1"
	apiadmission "k8s.io/apiserver/pkg/admission"

	"github.com/interlock-dev/interlock/api/v1alpha1"
	"github.com/interlock-dev/interlock/internal/admission"
)

// TestFloor is about what not even the operator may write into clearances, under a policy that asks every model for image-pinned.
func TestFloor(t *testing.T) {
	const (
		leavesOut = "no clearance leaves it out"
		form      = "a lease has a number, an end and the names of its rules"
		labels    = "what its labels say"
	)
	framework := admission.Framework{Name: "rsp-v2.2", Always: []string{"image-pinned", "no-rule"}}
	opus := cleared("opus", "09:00:00", "image-pinned", "no-host")
	lacking := cleared("opus", "09:00:00", "no-host")
	longer := cleared("opus", "10:00:00", "no-host")
	raw := func(leases, clearances string) *corev1.LimitRange {
		cm := clearing()
		cm.Annotations["interlock.dev/leases"], cm.Annotations["interlock.dev/clearances"] = leases, clearances
		return cm
	}
	narrowed := clearing(opus)
	narrowed.Annotations["interlock.dev/coverage"] = v1alpha1.CoverageAccelerators
	defaulted := clearing(opus)
	defaulted.Annotations["interlock.dev/defaultModel"] = "opus"
	ofAnother := clearing(opus)
	ofAnother.Annotations["interlock.dev/policy"] = "lax"
	labelled := clearing(lacking)
	labelled.Labels = map[string]string{"a": "b"}
	for name, tc := range map[string]struct {
		written, before *corev1.LimitRange
		labels          map[string]string // default: enforced
		frameworks      []admission.Framework
		denied          string
	}{
		"nothing":                         {written: clearing()},
		"all that is asked":               {written: clearing(opus)},
		"a rule is left out":              {written: clearing(lacking), denied: leavesOut},
		"all rules are left out":          {written: clearing(cleared("opus", "09:00:00")), denied: leavesOut},
		"of one of two models":            {written: clearing(opus, cleared("haiku", "09:00:00", "no-host")), denied: leavesOut},
		"a name that contains it":         {written: clearing(cleared("opus", "09:00:00", "no-image-pinned", "image-pinned-not")), denied: leavesOut},
		"a pod is exempted from it":       {written: clearing(opus.exempt("canary", "image-pinned", "09:00:00")), denied: leavesOut},
		"a pod is exempted from more":     {written: clearing(opus.exempt("canary", "image-pinned", "09:00:00").exempt("canary", "no-host", "09:00:00")), denied: leavesOut},
		"a pod is exempted from another":  {written: clearing(opus.exempt("canary", "no-host", "09:00:00"))},
		"a lease from before":             {written: clearing(lacking), before: clearing(lacking, cleared("haiku", "08:00:00"))},
		"a lease from before, longer":     {written: clearing(longer), before: clearing(lacking), denied: leavesOut},
		"a lease from before, taken back": {written: clearing(), before: clearing(lacking)},
		"what is only relabelled":         {written: labelled, before: clearing(lacking)},
		"the end behind the rules":        {written: raw("\n0 ,image-pinned, 2099-01-01T00:00:00Z ,,\n", "\nopus 0 ,image-pinned,\n"), denied: form},
		"the rules for a number":          {written: raw("\n,image-pinned, 2099-01-01T00:00:00Z ,,\n", "\nopus ,image-pinned,\n"), denied: form},
		"the rules for an end":            {written: raw("\n0 ,image-pinned, ,,\n", "\nopus 0\n"), denied: form},
		"no end of the rules":             {written: raw("\n0 2099-01-01T00:00:00Z ,image-pinned,no-host\n", "\nopus 0\n"), denied: form},
		"another coverage":                {written: narrowed, denied: labels},
		"the namespace's coverage":        {written: narrowed, labels: map[string]string{v1alpha1.EnforceLabel: "rsp-v2.2", v1alpha1.CoverageLabel: v1alpha1.CoverageAccelerators}},
		"another default model":           {written: defaulted, denied: labels},
		"another policy":                  {written: ofAnother, denied: labels},
		"of no enrolled namespace":        {written: clearing(), labels: map[string]string{"a": "b"}, denied: labels},
		"of an unknown policy":            {written: clearing(opus), frameworks: []admission.Framework{{Name: "other"}}, denied: "there is no ScalingPolicy"},
		"of no policy at all":             {written: clearing(opus), frameworks: []admission.Framework{}, denied: "there is no ScalingPolicy"},
		"nothing of an unknown policy":    {written: clearing(), frameworks: []admission.Framework{{Name: "other"}}},
		"what the policy does not ask":    {written: clearing(lacking), frameworks: []admission.Framework{{Name: "rsp-v2.2"}}},
		"what another policy asks":        {written: clearing(lacking), frameworks: []admission.Framework{{Name: "rsp-v2.2"}, {Name: "other", Always: []string{"image-pinned"}}}},
	} {
		t.Run(name, func(t *testing.T) {
			if tc.labels == nil {
				tc.labels = enforced
			}
			if tc.frameworks == nil {
				tc.frameworks = []admission.Framework{framework}
			}
			r := request{user: install.Username, operation: apiadmission.Create, object: tc.written, resource: corev1.SchemeGroupVersion.WithResource("limitranges")}
			if tc.before != nil {
				r.operation, r.old = apiadmission.Update, tc.before
			}
			denials := strings.Join(newAPIServer(t, admission.Policies(install, rulesOfTests(), tc.frameworks...), tc.labels).serve(t, r).denials, "\n")
			if denied := denials != ""; denied != (tc.denied != "") || !strings.Contains(denials, tc.denied) {
				t.Errorf("denials %q, want %q", denials, tc.denied)
			}
		})
	}
}
