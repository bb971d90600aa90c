package admission_test

import (
	"testing"

	"github.com/google/go-cmp/cmp"
	corev1 "k8s.io/api/core/v1"
	apiadmission "k8s.io/apiserver/pkg/admission"

	"github.com/interlock-dev/interlock/api/v1alpha1"
	"github.com/interlock-dev/interlock/internal/admission"
	"github.com/interlock-dev/interlock/internal/testing/builder"
)

// TestRulesSeeWhatTheModelDeclares lets the API server judge a claim by what the model of its pod declares, and by no
// other's.
func TestRulesSeeWhatTheModelDeclares(t *testing.T) {
	validations := []v1alpha1.PodValidation{{
		Expression: "object.spec.?volumes.orValue([]).all(v, ('pvc://' + v.persistentVolumeClaim.claimName) in weights) // only these",
		Message:    "not declared"}}
	rule := admission.Rule{Safeguard: "declared", Remedy: "declare it", Validations: validations}
	clearances := clearing(cleared("opus", "09:00:00", "declared").declaring("pvc://a", "pvc://b"), cleared("opus-4", "09:00:00", "declared").declaring("pvc://c", "pvc://opus"),
		cleared("pus", "09:00:00", "declared"), cleared("sonnet", "09:00:00", "declared"), cleared("free", "09:00:00").declaring("pvc://free"))
	short := newAPIServer(t, admission.Policies(install, append(rulesOfTests(), rule)), enforced).put(clearances)
	tooLong := newAPIServer(t, admission.Policies(install, append(long(), rule)), enforced).put(clearances)
	broken := []string{"Safeguard declared: not declared. declare it"}
	for name, tc := range map[string]struct {
		model, claim string
		want         []string
	}{
		"declared":                         {"opus", "a", nil},
		"declared second":                  {"opus", "b", nil},
		"not declared":                     {"opus", "x", broken},
		"declared by a longer name":        {"opus", "c", broken},
		"declared by a shorter name":       {"opus-4", "a", broken},
		"a part of what is declared":       {"opus", "", broken},
		"a name that ends like another":    {"pus", "a", broken},
		"a model that declares nothing":    {"sonnet", "a", broken},
		"nobody asks":                      {"free", "x", nil},
		"a claim that is called like that": {"opus-4", "opus", nil},
	} {
		for how, server := range map[string]*apiServer{"in one expression": short, "in validations": tooLong} {
			bothServers(t, name+"/"+how, server, func(t *testing.T, s *apiServer) {
				p := pod().Model(tc.model).Volume("weights", corev1.VolumeSource{
					PersistentVolumeClaim: &corev1.PersistentVolumeClaimVolumeSource{ClaimName: tc.claim}}).Build()
				made := s.serve(t, request{user: "ann", operation: apiadmission.Create, resource: pods, object: p})
				if diff := cmp.Diff(prefixed("interlock-admit: ", tc.want), made.denials); diff != "" {
					t.Errorf("a new pod (-want +got):\n%s", diff)
				}
				before := p.DeepCopy()
				before.Spec.Containers[0].Image = builder.TaggedImage
				changed := s.serve(t, request{user: "ann", operation: apiadmission.Update, resource: pods, object: p, old: before})
				if diff := cmp.Diff(prefixed("interlock-guard: ", tc.want), changed.denials); diff != "" {
					t.Errorf("a changed pod (-want +got):\n%s", diff)
				}
			})
		}
	}
}

func prefixed(prefix string, all []string) []string {
	var with []string
	for _, s := range all {
		with = append(with, prefix+s)
	}
	return with
}
