package admission

import (
	"cmp"
	"maps"
	"slices"
	"strings"
	"time"

	corev1 "k8s.io/api/core/v1"

	"github.com/interlock-dev/interlock/api/v1alpha1"
	"github.com/interlock-dev/interlock/internal/decision"
)

// Entry is the clearance of one model.
type Entry struct {
	// Model is the name of the ModelDeployment.
	Model string
	// ValidUntil is the end of the clearance, to the second.
	ValidUntil time.Time
	// Rules are the names of the Safeguards that the model is asked for.
	Rules []string
}

// Clearances packs entries into the shape that the API server reads: one item for all models that have the same rules
// and the same end, ordered, so that the same entries always give the same bytes.
func Clearances(entries []Entry) []v1alpha1.Clearance {
	type lease struct{ validUntil, rules string }
	models := map[lease][]string{}
	for _, e := range entries {
		l := lease{e.ValidUntil.UTC().Truncate(time.Second).Format(time.RFC3339), RuleNames(e.Rules)}
		models[l] = append(models[l], e.Model)
	}
	leases := slices.SortedFunc(maps.Keys(models), func(a, b lease) int {
		return cmp.Or(cmp.Compare(a.validUntil, b.validUntil), cmp.Compare(a.rules, b.rules))
	})
	clearances := make([]v1alpha1.Clearance, 0, len(leases))
	for _, l := range leases {
		slices.Sort(models[l])
		clearances = append(clearances, v1alpha1.Clearance{
			ValidUntil: l.validUntil, Rules: l.rules, Models: " " + strings.Join(models[l], " ") + " "})
	}
	return clearances
}

// Adjustments packs which adjustments apply to which model into the shape that the API server reads: one item for all
// models that have the same. Safeguards are by the name of the model.
func Adjustments(safeguards map[string][]string) []v1alpha1.ModelAdjustments {
	models := map[string][]string{}
	for model, names := range safeguards {
		if len(names) > 0 {
			models[RuleNames(names)] = append(models[RuleNames(names)], model)
		}
	}
	var all []v1alpha1.ModelAdjustments
	for _, names := range slices.Sorted(maps.Keys(models)) {
		slices.Sort(models[names])
		all = append(all, v1alpha1.ModelAdjustments{Safeguards: names, Models: " " + strings.Join(models[names], " ") + " "})
	}
	return all
}

// maxWeights is the most that is said of weights in a ledger.
const maxWeights = 500_000

// Weights packs what models declare of their weights into the shape that the API server reads. The models for which there
// is no room are named: to the API server they declare nothing.
func Weights(sources map[string][]string) (lines string, left []string) {
	var b strings.Builder
	for _, model := range slices.Sorted(maps.Keys(sources)) {
		line := model + " " + strings.Join(slices.Sorted(slices.Values(sources[model])), " ") + "\n"
		switch {
		case len(sources[model]) == 0:
		case b.Len()+len(line) >= maxWeights:
			left = append(left, model)
		default:
			b.WriteString(line)
		}
	}
	if b.Len() == 0 {
		return "", left
	}
	return "\n" + b.String(), left
}

// FindWeights gives what a model declares of its weights, in order.
func FindWeights(lines, model string) []string {
	_, line, found := strings.Cut(lines, "\n"+model+" ")
	if !found {
		return nil
	}
	line, _, _ = strings.Cut(line, "\n")
	return strings.Split(line, " ")
}

// FindAdjustments gives the Safeguards whose adjustments apply to a model.
func FindAdjustments(adjustments []v1alpha1.ModelAdjustments, model string) []string {
	for _, a := range adjustments {
		if strings.Contains(a.Models, " "+model+" ") {
			return names(a.Safeguards)
		}
	}
	return nil
}

// Adjusted says whether a pod was given what these Safeguards give. It goes by what the pod was created with, and is no
// verification: whoever edits the annotation deceives nobody but those who read it.
func Adjusted(pod *corev1.Pod, safeguards []string) bool {
	given := names(pod.Annotations[v1alpha1.AdjustedAnnotation])
	return !slices.ContainsFunc(safeguards, func(s string) bool { return !slices.Contains(given, s) })
}

func names(list string) []string {
	return strings.FieldsFunc(list, func(r rune) bool { return r == ',' })
}

// RuleNames writes names of Safeguards as ledgers hold them, each between commas.
func RuleNames(safeguards []string) string {
	return "," + strings.Join(slices.Sorted(slices.Values(safeguards)), ",") + ","
}

// Find gives the clearance of a model, if it has one that can be read.
func Find(clearances []v1alpha1.Clearance, model string) (Entry, bool) {
	for _, c := range clearances {
		if !strings.Contains(c.Models, " "+model+" ") {
			continue
		}
		until, err := time.Parse(time.RFC3339, c.ValidUntil)
		if err != nil {
			return Entry{}, false
		}
		return Entry{Model: model, ValidUntil: until, Rules: names(c.Rules)}, true
	}
	return Entry{}, false
}

// Equal says whether two entries clear the same model until the same second under the same rules.
func (e Entry) Equal(other Entry) bool {
	return e.Model == other.Model && e.ValidUntil.Unix() == other.ValidUntil.Unix() && RuleNames(e.Rules) == RuleNames(other.Rules)
}

// Exempt gives the exemptions of the pods of models, by model, in the shape that the API server reads: one item for all that
// are from the same Safeguard and have the same end.
func Exempt(models map[string][]decision.Exemption) []v1alpha1.PodExemption {
	pods := map[v1alpha1.PodExemption][]string{}
	for model, all := range models {
		for _, e := range all {
			from := v1alpha1.PodExemption{ValidUntil: e.Until.UTC().Truncate(time.Second).Format(time.RFC3339), Safeguard: e.Safeguard}
			pods[from] = append(pods[from], model+"/"+e.Pod)
		}
	}
	var packed []v1alpha1.PodExemption
	for from, names := range pods {
		slices.Sort(names)
		from.Pods = " " + strings.Join(names, " ") + " "
		packed = append(packed, from)
	}
	slices.SortFunc(packed, func(a, b v1alpha1.PodExemption) int {
		return cmp.Or(cmp.Compare(a.ValidUntil, b.ValidUntil), cmp.Compare(a.Safeguard, b.Safeguard))
	})
	return packed
}

// FindExemptions gives those of the pods of a model, by Safeguard and pod; those whose end cannot be read are none.
func FindExemptions(packed []v1alpha1.PodExemption, model string) []decision.Exemption {
	var all []decision.Exemption
	for _, p := range packed {
		until, err := time.Parse(time.RFC3339, p.ValidUntil)
		if err != nil {
			continue
		}
		for _, name := range strings.Fields(p.Pods) {
			if of, pod, _ := strings.Cut(name, "/"); of == model {
				all = append(all, decision.Exemption{Pod: pod, Safeguard: p.Safeguard, Until: until})
			}
		}
	}
	return all
}

// SameExemptions says whether two lists of one model come to the same in a ledger.
func SameExemptions(a, b []decision.Exemption) bool {
	return slices.Equal(Exempt(map[string][]decision.Exemption{"": a}), Exempt(map[string][]decision.Exemption{"": b}))
}

// Changed names the models whose clearance or exemptions differ between two states of a ledger.
func Changed(before, after v1alpha1.ClearanceLedgerSpec) []string {
	standing := func(spec v1alpha1.ClearanceLedgerSpec) map[string]string {
		by := map[string]string{}
		for _, c := range spec.Clearances {
			for _, model := range strings.Fields(c.Models) {
				by[model] = c.ValidUntil + c.Rules
			}
		}
		for _, e := range spec.Exemptions {
			for _, pod := range strings.Fields(e.Pods) {
				model, _, _ := strings.Cut(pod, "/")
				by[model] += e.ValidUntil + e.Safeguard + " " + pod
			}
		}
		return by
	}
	old, now := standing(before), standing(after)
	var changed []string
	for model := range now {
		if old[model] != now[model] {
			changed = append(changed, model)
		}
	}
	for model := range old {
		if _, ok := now[model]; !ok {
			changed = append(changed, model)
		}
	}
	slices.Sort(changed)
	return changed
}
