package admission

import (
	"cmp"
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/interlock-dev/interlock/api/v1alpha1"
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

// RuleNames writes names of Safeguards as ledgers hold them, each between commas.
func RuleNames(safeguards []string) string {
	names := slices.Sorted(slices.Values(safeguards))
	return "," + strings.Join(names, ",") + ","
}

// Entries unpacks what Clearances packed, by model. A clearance that cannot be read clears nothing.
func Entries(clearances []v1alpha1.Clearance) map[string]Entry {
	entries := map[string]Entry{}
	for _, c := range clearances {
		until, err := time.Parse(time.RFC3339, c.ValidUntil)
		if err != nil {
			continue
		}
		rules := strings.FieldsFunc(c.Rules, func(r rune) bool { return r == ',' })
		for _, model := range strings.Fields(c.Models) {
			entries[model] = Entry{Model: model, ValidUntil: until, Rules: rules}
		}
	}
	return entries
}
