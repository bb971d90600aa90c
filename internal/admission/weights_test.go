package admission_test

import (
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	corev1 "k8s.io/api/core/v1"
	apiadmission "k8s.io/apiserver/pkg/admission"

	"github.com/interlock-dev/interlock/api/v1alpha1"
	"github.com/interlock-dev/interlock/internal/admission"
	"github.com/interlock-dev/interlock/internal/testing/builder"
)

func TestWeights(t *testing.T) {
	for name, tc := range map[string]struct {
		sources map[string][]string
		want    string
	}{
		"none":                 {nil, ""},
		"a model without any":  {map[string][]string{"opus": nil}, ""},
		"one":                  {map[string][]string{"opus": {"s3://b", "oci://a"}}, "\nopus oci://a s3://b\n"},
		"several, by the name": {map[string][]string{"opus": {"s3://b"}, "haiku": {"s3://c"}, "none": {}}, "\nhaiku s3://c\nopus s3://b\n"},
	} {
		t.Run(name, func(t *testing.T) {
			got, left := admission.Weights(tc.sources)
			if got != tc.want || left != nil {
				t.Errorf("got %q, left out %q, want %q", got, left, tc.want)
			}
			for model, sources := range tc.sources {
				if diff := cmp.Diff(slices.Sorted(slices.Values(sources)), admission.FindWeights(got, model)); diff != "" {
					t.Errorf("found of %s (-want +got):\n%s", model, diff)
				}
			}
		})
	}
}

func TestWeightsThatLackRoomAreLeftOut(t *testing.T) {
	long := "s3://" + strings.Repeat("x", 300_000)
	lines, left := admission.Weights(map[string][]string{"a": {"s3://a"}, "b": {long}, "c": {long}, "d": {"s3://d"}})
	if diff := cmp.Diff([]string{"c"}, left); diff != "" {
		t.Errorf("left out (-want +got):\n%s", diff)
	}
	for model, want := range map[string]int{"a": 1, "b": 1, "c": 0, "d": 1} {
		if got := admission.FindWeights(lines, model); len(got) != want {
			t.Errorf("of %s %d sources are found, want %d", model, len(got), want)
		}
	}
}

// TestRulesSeeWhatTheModelDeclares lets the API server judge a claim by what the model of its pod declares, and by no
// other's.
func TestRulesSeeWhatTheModelDeclares(t *testing.T) {
	validations := []v1alpha1.PodValidation{{
		Expression: "object.spec.?volumes.orValue([]).all(v, ('pvc://' + v.persistentVolumeClaim.claimName) in weights) // only these",
		Message:    "not declared"}}
	rule := admission.Rule{Safeguard: "declared", Remedy: "declare it", Validations: validations}
	ledger := newLedger(cleared("opus", "09:00:00", "declared"), cleared("opus-4", "09:00:00", "declared"), cleared("pus", "09:00:00", "declared"),
		cleared("sonnet", "09:00:00", "declared"), cleared("free", "09:00:00"))
	ledger.Spec.Weights, _ = admission.Weights(map[string][]string{
		"opus": {"pvc://a", "pvc://b"}, "opus-4": {"pvc://c", "pvc://opus"}, "free": {"pvc://free"}})
	short := newAPIServer(t, admission.Policies(install, append(rulesOfTests(), rule)), enforced).put(ledger)
	tooLong := newAPIServer(t, admission.Policies(install, append(long(), rule)), enforced).put(ledger)
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
