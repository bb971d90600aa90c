package policies

import (
	"bytes"
	"encoding/json"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/util/yaml"

	"github.com/interlock-dev/interlock/api/v1alpha1"
	"github.com/interlock-dev/interlock/internal/decision"
	"github.com/interlock-dev/interlock/internal/safeguard"
)

const (
	othersRuledOut     = v1alpha1.AssessmentRuledOut
	othersReached      = v1alpha1.AssessmentReached
	othersInconclusive = v1alpha1.AssessmentInconclusive

	othersRuledOutState     = v1alpha1.ThresholdState(v1alpha1.AssessmentRuledOut)
	othersReachedState      = v1alpha1.ThresholdState(v1alpha1.AssessmentReached)
	othersInconclusiveState = v1alpha1.ThresholdState(v1alpha1.AssessmentInconclusive)
	othersStaleState        = v1alpha1.ThresholdStale
	othersUnassessedState   = v1alpha1.ThresholdUnassessed
)

// An othersModel is a model as a public text describes it, put under one pack.
type othersModel struct {
	pack   string
	source publicSource
	// date of the text; the decision is made after days more.
	date     string
	days     int
	declared string
	audience v1alpha1.Audience
	outcomes map[string]v1alpha1.AssessmentOutcome
	want     othersVerdict
}

// An othersVerdict is what must come out: levels, threshold states and safeguards by name, apart those that hold the
// model and those that are reported.
type othersVerdict struct {
	Deployment, Security string
	Reason               string
	Disputed             bool
	Thresholds           map[string]v1alpha1.ThresholdState
	Holding, Reported    []string
}

func othersRead(t *testing.T, into any, path ...string) {
	t.Helper()
	data, err := os.ReadFile(filepath.Join(append([]string{"..", "..", "config", "policies"}, path...)...))
	if err != nil {
		t.Fatal(err)
	}
	if data, err = yaml.ToJSON(data); err != nil {
		t.Fatal(err)
	}
	decoder := json.NewDecoder(bytes.NewReader(data))
	decoder.DisallowUnknownFields()
	if err := decoder.Decode(into); err != nil {
		t.Fatalf("%s: %v", filepath.Join(path...), err)
	}
}

func othersPack(t *testing.T, name string) *v1alpha1.ScalingPolicy {
	t.Helper()
	policy := &v1alpha1.ScalingPolicy{}
	othersRead(t, policy, name, "policy.yaml")
	if policy.Name != name {
		t.Fatalf("pack %s holds policy %s", name, policy.Name)
	}
	return policy
}

const othersDigest = "sha256:0f3a9d1c5b7e2846a1c3e5d7f9b0a2c4e6d8f0a1b3c5d7e9f1a3b5c7d9e0f2a4"

func (m othersModel) input(t *testing.T) decision.Input {
	t.Helper()
	date, err := time.Parse(time.DateOnly, m.date)
	if err != nil {
		t.Fatal(err)
	}
	in := decision.Input{
		Now: date.AddDate(0, 0, m.days), PolicyName: m.pack, Policy: othersPack(t, m.pack),
		Model: &v1alpha1.ModelDeployment{Spec: v1alpha1.ModelDeploymentSpec{
			Model: v1alpha1.Model{Name: "model", Digest: othersDigest}, AssessedLevel: m.declared, Audience: m.audience}},
	}
	a := v1alpha1.CapabilityAssessment{ObjectMeta: metav1.ObjectMeta{Name: "public-text"}, Spec: v1alpha1.CapabilityAssessmentSpec{
		Model: "model", Digests: []string{othersDigest}, AssessedAt: metav1.NewTime(date),
		Evaluator: v1alpha1.Evaluator{Name: "developer"}}}
	for _, name := range slices.Sorted(maps.Keys(m.outcomes)) {
		a.Spec.Outcomes = append(a.Spec.Outcomes, v1alpha1.ThresholdOutcome{
			Threshold: name, Outcome: m.outcomes[name], Method: m.source.String()})
	}
	if len(m.outcomes) > 0 {
		in.Assessments = []v1alpha1.CapabilityAssessment{a}
	}
	return in
}

func othersSeen(v decision.Verdict) othersVerdict {
	seen := othersVerdict{Deployment: v.DeploymentLevel, Security: v.SecurityLevel, Reason: v.Reason, Disputed: v.Disputed != ""}
	for _, t := range v.Thresholds {
		if seen.Thresholds == nil {
			seen.Thresholds = map[string]v1alpha1.ThresholdState{}
		}
		seen.Thresholds[t.Name] = t.State
	}
	seen.Holding = v.Rules()
	for _, s := range v.Safeguards {
		if !slices.Contains(seen.Holding, s.Name) {
			seen.Reported = append(seen.Reported, s.Name)
		}
	}
	return seen
}

// in place finds every one of these safeguards.
func othersInPlace(names []string) map[string]decision.Finding {
	findings := map[string]decision.Finding{}
	for _, name := range names {
		findings[name] = decision.Finding{State: v1alpha1.SafeguardSatisfied, Strength: v1alpha1.StrengthEnforced}
	}
	return findings
}

func othersSorted(lists ...[]string) []string {
	return slices.Compact(slices.Sorted(slices.Values(slices.Concat(lists...))))
}

func othersStates(lists ...map[string]v1alpha1.ThresholdState) map[string]v1alpha1.ThresholdState {
	states := map[string]v1alpha1.ThresholdState{}
	for _, l := range lists {
		maps.Copy(states, l)
	}
	return states
}

// What a model gets, and that it is cleared when all that holds it is in place and not when one of these is missing.
func TestOtherFrameworksGolden(t *testing.T) {
	for name, m := range othersModels() {
		t.Run(name, func(t *testing.T) {
			in := m.input(t)
			if diff := cmp.Diff(m.want, othersSeen(decision.Decide(in))); diff != "" {
				t.Fatalf("%s: verdict (-want +got):\n%s", m.source, diff)
			}
			if diff := cmp.Diff(othersSorted(m.want.Holding, m.want.Reported), decision.AskedOf(in).Required); diff != "" {
				t.Errorf("required (-want +got):\n%s", diff)
			}
			in.Findings = othersInPlace(m.want.Holding)
			if got, want := decision.Decide(in).Cleared(), m.want.Reason == v1alpha1.ReasonSafeguardsMissing; got != want {
				t.Errorf("with all that holds it in place: cleared %v, want %v", got, want)
			}
			for _, missing := range m.want.Holding {
				in.Findings = othersInPlace(m.want.Holding)
				delete(in.Findings, missing)
				if decision.Decide(in).Cleared() {
					t.Errorf("cleared without %s", missing)
				}
			}
		})
	}
}

// What each threshold asks for by itself: all others are ruled out.
func TestOtherFrameworksThresholds(t *testing.T) {
	type asks struct{ Deployment, Security, Reason string }
	const missing, unspecified = v1alpha1.ReasonSafeguardsMissing, v1alpha1.ReasonSafeguardsUnspecified
	for pack, want := range map[string]map[string]asks{
		"openai-preparedness-v2": {
			"Bio-High":                  {"High", "High", missing},
			"Bio-Critical":              {"Critical", "Critical", unspecified},
			"Cyber-High":                {"High", "High", missing},
			"Cyber-Critical":            {"Critical", "Critical", unspecified},
			"Self-improvement-High":     {"Below-High", "High", missing},
			"Self-improvement-Critical": {"Critical", "Critical", unspecified},
			"Long-range-autonomy":       {"Below-High", "Below-High", missing},
			"Sandbagging":               {"Below-High", "Below-High", missing},
			"Autonomous-replication":    {"Below-High", "Below-High", missing},
			"Undermining-safeguards":    {"Below-High", "Below-High", missing},
			"Nuclear-and-radiological":  {"Below-High", "Below-High", missing},
		},
		"deepmind-fsf-v3.1": {
			"CBRN-uplift-TCL":                       {"TCL", "TCL", missing},
			"CBRN-uplift-1":                         {"CCL-SL2-plus", "CCL-SL2-plus", missing},
			"Cyber-uplift-1":                        {"CCL-SL2-plus", "CCL-SL2-plus", missing},
			"Harmful-manipulation-1":                {"CCL-SL2-plus", "CCL-SL2-plus", missing},
			"Stealth-and-situational-awareness-TCL": {"TCL", "TCL", missing},
			"ML-RD-acceleration-1":                  {"CCL-SL3", "CCL-SL3", missing},
			"ML-RD-automation-1":                    {"CCL-SL4", "CCL-SL4", missing},
		},
		"rand-sl": {},
		"eu-gpai-code": {
			"High-impact-capabilities": {"Systemic-risk", "Systemic-risk", missing},
			"CBRN":                     {"No-systemic-risk", "No-systemic-risk", missing},
			"Loss-of-control":          {"No-systemic-risk", "No-systemic-risk", missing},
			"Cyber-offence":            {"No-systemic-risk", "No-systemic-risk", missing},
			"Harmful-manipulation":     {"No-systemic-risk", "No-systemic-risk", missing},
		},
		"california-sb53": {
			"Frontier-model":           {"Frontier-developer", "Not-covered", missing},
			"Large-frontier-developer": {"Large-frontier-developer", "Large-frontier-developer", missing},
		},
	} {
		t.Run(pack, func(t *testing.T) {
			policy := othersPack(t, pack)
			got := map[string]asks{}
			for i := range policy.Spec.Thresholds {
				m := othersModel{pack: pack, date: "2026-10-01", days: 1, declared: policy.Spec.BaselineLevel,
					outcomes: map[string]v1alpha1.AssessmentOutcome{}}
				for j := range policy.Spec.Thresholds {
					m.outcomes[policy.Spec.Thresholds[j].Name] = othersRuledOut
				}
				m.outcomes[policy.Spec.Thresholds[i].Name] = othersReached
				v := decision.Decide(m.input(t))
				got[policy.Spec.Thresholds[i].Name] = asks{v.DeploymentLevel, v.SecurityLevel, v.Reason}
			}
			if diff := cmp.Diff(want, got); diff != "" {
				t.Errorf("(-want +got):\n%s", diff)
			}
		})
	}
}

// The shared rules about pods accept and refuse what they say.
func TestOtherFrameworksPodRules(t *testing.T) {
	compiler, err := safeguard.NewCompiler()
	if err != nil {
		t.Fatal(err)
	}
	for name, runtimes := range map[string]map[string]bool{
		"confidential-runtime": {
			"kata-qemu-snp": true, "kata-qemu-nvidia-gpu-tdx": true, "kata-qemu-se": true, "kata-cc-isolation": true,
			"": false, "kata": false, "kata-qemu": false, "gvisor": false, "runc": false, "not-kata-qemu-snp": false,
			"kata-qemu-snp-not": false,
		},
		"sandboxed-runtime": {
			"gvisor": true, "runsc": true, "kata": true, "kata-qemu": true, "kata-qemu-snp": true,
			"": false, "runc": false, "nvidia": false, "mygvisor": false, "gvisorless": false,
		},
	} {
		t.Run(name, func(t *testing.T) {
			sg := v1alpha1.Safeguard{}
			othersRead(t, &sg, "safeguards", name+".yaml")
			compiled, err := compiler.Compile(&sg)
			if err != nil {
				t.Fatal(err)
			}
			compiler.Forget(nil)
			for runtime, fits := range runtimes {
				pod := &corev1.Pod{ObjectMeta: metav1.ObjectMeta{Name: "pod", UID: "1"}}
				if runtime != "" {
					pod.Spec.RuntimeClassName = &runtime
				}
				in := safeguard.Inspect(othersName, []*safeguard.Compiled{compiled}, []*corev1.Pod{pod}, safeguard.Surroundings{})
				if in.Fit(pod) != fits {
					t.Errorf("runtimeClassName %q fits: %v, want %v", runtime, !fits, fits)
				}
			}
		})
	}
}
