package admission

import (
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"
	"time"

	corev1 "k8s.io/api/core/v1"

	"github.com/interlock-dev/interlock/api/v1alpha1"
	"github.com/interlock-dev/interlock/internal/decision"
)

// Clearances is what the API server reads of a namespace for each of its pods: the data of the ConfigMap
// v1alpha1.ClearancesName. A ConfigMap, since the API server looks into a parameter of a built-in kind by reflection, key by
// key, and converts one of any other kind as a whole for each evaluation (docs/decisions/0030).
//
// Its keys are, each once for a namespace: policy, defaultModel, coverage (the labels of the namespace), and rules.SET, the
// names of Safeguards between commas (",image-pinned,no-host-access,"). For a model there are
//
//	model.NAME        if it is cleared: the first second at which new pods are refused, as RFC 3339 in UTC, a blank, and the
//	                  SET of the rules that apply ("2026-05-14T08:30:00Z 1"). Times of this one form compare as texts do.
//	exemptions.NAME   of single pods of a cleared model: "POD SAFEGUARD UNTIL" a line
//	adjustments.NAME  the Safeguards that give its new pods something, cleared or held, between commas
//	weights.NAME      what it declares of its weights, between blanks; only if a Safeguard asks
//
// Names of models are DNS labels and so have no dot: no key can be taken for another.
type Clearances struct {
	// Policy that is enforced; DefaultModel of pods that name none; Coverage, as the namespace's labels have them.
	Policy, DefaultModel, Coverage string
	// Models by the names of the ModelDeployments. One that is not among them is held.
	Models map[string]Standing
}

// Standing is what the API server enforces of one model.
type Standing struct {
	// ValidUntil is the end of the clearance, to the second; zero, there is none.
	ValidUntil time.Time
	// Rules are the names of the Safeguards that a cleared model is asked for.
	Rules []string
	// Exemptions of single pods of a cleared model.
	Exemptions []decision.Exemption
	// Adjustments are the names of the Safeguards that give its new pods something.
	Adjustments []string
	// Weights are the sources that it declares, if a Safeguard asks.
	Weights []string
}

// Keys and prefixes of the data. Those that stand alone have no dot.
const (
	policyKey       = "policy"
	defaultModelKey = "defaultModel"
	coverageKey     = "coverage"
	modelPrefix     = "model."
	rulesPrefix     = "rules."
	exemptPrefix    = "exemptions."
	adjustPrefix    = "adjustments."
	weightsPrefix   = "weights."
)

// maxData is the most that a ConfigMap holds, less some for what is not of models.
const maxData = 1_000_000

// Data gives the same bytes for the same clearances. Models for which there is no room are named: the API server knows
// nothing of them and so holds them.
func (c Clearances) Data() (data map[string]string, left []string) {
	data = map[string]string{policyKey: c.Policy, defaultModelKey: c.DefaultModel, coverageKey: c.Coverage}
	sets, size := c.ruleSets(), 0
	for names, set := range sets {
		data[rulesPrefix+set] = names
		size += len(rulesPrefix) + len(set) + len(names)
	}
	for _, name := range slices.Sorted(maps.Keys(c.Models)) {
		keys, taken := c.Models[name].keys(name, sets), 0
		for key, value := range keys {
			taken += len(key) + len(value)
		}
		if size+taken > maxData {
			left = append(left, name)
			continue
		}
		size += taken
		maps.Copy(data, keys)
	}
	return data, left
}

// ruleSets numbers the sets of rules that cleared models are asked for.
func (c Clearances) ruleSets() map[string]string {
	sets := map[string]string{}
	for _, s := range c.Models {
		if s.Cleared() {
			sets[RuleNames(s.Rules)] = ""
		}
	}
	for i, names := range slices.Sorted(maps.Keys(sets)) {
		sets[names] = strconv.Itoa(i)
	}
	return sets
}

// keys of one model.
func (s Standing) keys(name string, sets map[string]string) map[string]string {
	keys := map[string]string{}
	if s.Cleared() {
		keys[modelPrefix+name] = clock(s.ValidUntil) + " " + sets[RuleNames(s.Rules)]
		if len(s.Exemptions) > 0 {
			keys[exemptPrefix+name] = exemptionLines(s.Exemptions)
		}
	}
	if len(s.Adjustments) > 0 {
		keys[adjustPrefix+name] = RuleNames(s.Adjustments)
	}
	if len(s.Weights) > 0 {
		keys[weightsPrefix+name] = strings.Join(slices.Sorted(slices.Values(s.Weights)), " ")
	}
	return keys
}

// Cleared says whether the model is, however long ago that ended.
func (s Standing) Cleared() bool { return !s.ValidUntil.IsZero() }

// Equal says whether two standings come to the same.
func (s Standing) Equal(other Standing) bool {
	sets := Clearances{Models: map[string]Standing{"s": s, "other": other}}.ruleSets()
	return maps.Equal(s.keys("", sets), other.keys("", sets))
}

// PolicyOf gives the policy that is enforced by some data.
func PolicyOf(data map[string]string) string { return data[policyKey] }

// CoverageOf gives the coverage of the namespace.
func CoverageOf(data map[string]string) string { return data[coverageKey] }

// Find gives the standing of a model. A clearance that cannot be read is none.
func Find(data map[string]string, model string) Standing {
	s := Standing{Adjustments: names(data[adjustPrefix+model]), Weights: strings.Fields(data[weightsPrefix+model])}
	end, set, _ := strings.Cut(data[modelPrefix+model], " ")
	until, err := time.Parse(time.RFC3339, end)
	rules, known := data[rulesPrefix+set]
	if err != nil || !known {
		return s
	}
	s.ValidUntil, s.Rules, s.Exemptions = until, names(rules), exemptionsIn(data[exemptPrefix+model])
	return s
}

// Changed names the models whose standing differs between two states, in order.
func Changed(before, after map[string]string) []string {
	var changed []string
	for _, name := range slices.Compact(slices.Sorted(slices.Values(append(modelsIn(before), modelsIn(after)...)))) {
		if !Find(before, name).Equal(Find(after, name)) {
			changed = append(changed, name)
		}
	}
	return changed
}

// modelsIn names the models of which anything is said.
func modelsIn(data map[string]string) []string {
	var models []string
	for key := range data {
		if prefix, name, ofModel := strings.Cut(key, "."); ofModel && prefix+"." != rulesPrefix {
			models = append(models, name)
		}
	}
	return models
}

func exemptionLines(exemptions []decision.Exemption) string {
	lines := make([]string, 0, len(exemptions))
	for _, e := range exemptions {
		lines = append(lines, fmt.Sprintf("%s %s %s", e.Pod, e.Safeguard, clock(e.Until)))
	}
	slices.Sort(lines)
	return strings.Join(lines, "\n")
}

func exemptionsIn(lines string) []decision.Exemption {
	var all []decision.Exemption
	for line := range strings.Lines(lines) {
		parts := strings.Fields(line)
		if len(parts) != 3 {
			continue
		}
		if until, err := time.Parse(time.RFC3339, parts[2]); err == nil {
			all = append(all, decision.Exemption{Pod: parts[0], Safeguard: parts[1], Until: until})
		}
	}
	return all
}

// clock writes a time to the second, in the one form that compares as text.
func clock(t time.Time) string { return t.UTC().Truncate(time.Second).Format(time.RFC3339) }

// RuleNames writes names of Safeguards as the API server reads them, each between commas.
func RuleNames(safeguards []string) string {
	return "," + strings.Join(slices.Sorted(slices.Values(safeguards)), ",") + ","
}

func names(list string) []string {
	return strings.FieldsFunc(list, func(r rune) bool { return r == ',' })
}

// Adjusted says whether a pod was given what these Safeguards give. It goes by what the pod was created with, and is no
// verification: whoever edits the annotation deceives nobody but those who read it.
func Adjusted(pod *corev1.Pod, safeguards []string) bool {
	given := names(pod.Annotations[v1alpha1.AdjustedAnnotation])
	return !slices.ContainsFunc(safeguards, func(s string) bool { return !slices.Contains(given, s) })
}
