package admission

import (
	"cmp"
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

// Clearances is what the API server reads of a namespace for each of its pods: annotations of the LimitRange
// v1alpha1.ClearancesName, which limits nothing. The API server keeps reading LimitRanges whatever becomes of our policies, and of
// ConfigMaps not (docs/decisions/0031). It looks into a parameter of a built-in kind by reflection, or copies its maps but no text,
// and writes out and reads back one of any other kind, for each evaluation (docs/decisions/0030). So there are few keys, and long
// texts. The keys, here without "interlock.dev/", are policy, defaultModel and coverage, the labels of the namespace, and texts of
// lines with a line break on either side, each of which begins with a name and a blank:
//
//	leases       "LEASE UNTIL RULES": the first second at which new pods are refused, as RFC 3339 in UTC, and the names of the
//	             Safeguards whose rules apply, between commas ("0 2026-05-14T08:30:00Z ,image-pinned,no-host-access,"). Times
//	             of this one form compare as texts do.
//	clearances   "MODEL LEASE" of those that are cleared
//	exemptions   "MODEL/POD UNTIL,SAFEGUARD ...", of single pods of cleared models
//	adjustments  "MODEL NAMES": the Safeguards that give its new pods something, cleared or held, between commas
//	connect      "MODEL NAMES": the Safeguards by which requests into running pods of the namespace are refused, cleared or held
//	weights      "MODEL SOURCE ...": what it declares of its weights, only if a Safeguard asks
//	openings     "MODEL OPENINGS": what labels its pods may not bear, cleared or held, if there are any
//	openedBy     "OPENINGS OPENING ...": see Openings
//	shortfalls   what the operator remembers, see shortfallsKey; absent, nothing
//	sources      what the models of the cluster declare of their weights: see Sources
//
// Names of models are DNS labels, and labels of pods have neither blanks nor line breaks: no name is found within another.
type Clearances struct {
	// Policy that is enforced; DefaultModel of pods that name none; Coverage, as the namespace's labels have them.
	Policy, DefaultModel, Coverage string
	// Sources is what other models declare of their weights, as the function of that name writes it.
	Sources string
	// Models by the names of the ModelDeployments. One that is not among them is held.
	Models map[string]Standing
	// Shortfalls that are remembered, by the names of models, declared or not.
	Shortfalls map[string]decision.Shortfall
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
	// Connect are the names of the Safeguards by which requests into running pods of its namespace are refused.
	Connect []string
	// Weights are the sources that it declares, if a Safeguard asks.
	Weights []string
	// Openings are the labels that would undo a safeguard of it, as Openings writes them.
	Openings []string
}

// Keys of the annotations.
const (
	policyKey       = "interlock.dev/policy"
	defaultModelKey = "interlock.dev/defaultModel"
	coverageKey     = "interlock.dev/coverage"
	leasesKey       = "interlock.dev/leases"
	clearancesKey   = "interlock.dev/clearances"
	exemptionsKey   = "interlock.dev/exemptions"
	adjustmentsKey  = "interlock.dev/adjustments"
	connectKey      = "interlock.dev/connect"
	weightsKey      = "interlock.dev/weights"
	openingsKey     = "interlock.dev/openings"
	openedByKey     = "interlock.dev/openedBy"
	sourcesKey      = "interlock.dev/sources"
)

// textKeys are those whose texts have a line for each model, or for what several share.
var textKeys = []string{leasesKey, clearancesKey, exemptionsKey, adjustmentsKey, connectKey, weightsKey, openingsKey, openedByKey}

// maxData is the most that is written, of the 256 KiB that the annotations of an object may have. Shortfalls and the sources of
// other models have bounds of their own and come first; models have the rest.
const maxData = 240_000

// Annotations gives the same bytes for the same clearances. Models for which there is no room are named: the API server knows
// nothing of them and so holds them.
func (c Clearances) Annotations() (data map[string]string, left []string) {
	data = map[string]string{policyKey: c.Policy, defaultModelKey: c.DefaultModel, coverageKey: c.Coverage, sourcesKey: cmp.Or(c.Sources, "\n")}
	if text := shortfallLines(c.Shortfalls); text != "" {
		data[shortfallsKey] = text
	}
	shared, written := c.shared(), map[string]bool{}
	texts, size := map[string]*strings.Builder{}, len(data[shortfallsKey])+len(c.Sources)
	for _, key := range textKeys {
		texts[key] = &strings.Builder{}
		texts[key].WriteByte('\n')
	}
	for _, name := range slices.Sorted(maps.Keys(c.Models)) {
		s := c.Models[name]
		lines, lease, openings, taken := s.lines(name, shared), s.lease(), s.openings(), 0
		if s.Cleared() && !written[lease] {
			lines[leasesKey] = fmt.Sprintf("%s %s\n", shared[lease], lease)
		}
		if openings != "" && !written[openings] {
			lines[openedByKey] = fmt.Sprintf("%s %s\n", shared[openings], openings)
		}
		for _, text := range lines {
			taken += len(text)
		}
		if size+taken > maxData {
			left = append(left, name)
			continue
		}
		size += taken
		written[lease], written[openings] = true, true
		for key, text := range lines {
			texts[key].WriteString(text)
		}
	}
	for key, text := range texts {
		data[key] = text.String()
	}
	return data, left
}

// shared numbers what many models have alike: the leases of those that are cleared, and openings.
func (c Clearances) shared() map[string]string {
	leases, openings := map[string]bool{}, map[string]bool{}
	for _, s := range c.Models {
		if s.Cleared() {
			leases[s.lease()] = true
		}
		if len(s.Openings) > 0 {
			openings[s.openings()] = true
		}
	}
	shared := map[string]string{}
	for _, texts := range []map[string]bool{leases, openings} {
		for i, text := range slices.Sorted(maps.Keys(texts)) {
			shared[text] = strconv.Itoa(i)
		}
	}
	return shared
}

func (s Standing) lease() string { return clock(s.ValidUntil) + " " + RuleNames(s.Rules) }

func (s Standing) openings() string {
	return strings.Join(slices.Sorted(slices.Values(s.Openings)), " ")
}

// lines of one model, by key.
func (s Standing) lines(name string, shared map[string]string) map[string]string {
	lines := map[string]string{}
	if s.Cleared() {
		lines[clearancesKey] = fmt.Sprintf("%s %s\n", name, shared[s.lease()])
		lines[exemptionsKey] = exemptionLines(name, s.Exemptions)
	}
	if len(s.Adjustments) > 0 {
		lines[adjustmentsKey] = fmt.Sprintf("%s %s\n", name, RuleNames(s.Adjustments))
	}
	if len(s.Connect) > 0 {
		lines[connectKey] = fmt.Sprintf("%s %s\n", name, RuleNames(s.Connect))
	}
	if len(s.Weights) > 0 {
		lines[weightsKey] = fmt.Sprintf("%s %s\n", name, strings.Join(slices.Sorted(slices.Values(s.Weights)), " "))
	}
	if len(s.Openings) > 0 {
		lines[openingsKey] = fmt.Sprintf("%s %s\n", name, shared[s.openings()])
	}
	return lines
}

// Cleared says whether the model is, however long ago that ended.
func (s Standing) Cleared() bool { return !s.ValidUntil.IsZero() }

// Equal says whether two standings come to the same.
func (s Standing) Equal(other Standing) bool {
	shared := Clearances{Models: map[string]Standing{"s": s, "other": other}}.shared()
	return maps.Equal(s.lines("", shared), other.lines("", shared))
}

// PolicyOf gives the policy that is enforced by some data.
func PolicyOf(data map[string]string) string { return data[policyKey] }

// CoverageOf gives the coverage of the namespace.
func CoverageOf(data map[string]string) string { return data[coverageKey] }

// Find gives the standing of a model. A clearance that cannot be read is none.
func Find(data map[string]string, model string) Standing {
	s := Standing{Adjustments: names(line(data[adjustmentsKey], model)), Connect: names(line(data[connectKey], model)), Weights: strings.Fields(line(data[weightsKey], model)),
		Openings: strings.Fields(line(data[openedByKey], line(data[openingsKey], model)))}
	end, rules, _ := strings.Cut(line(data[leasesKey], line(data[clearancesKey], model)), " ")
	until, err := time.Parse(time.RFC3339, end)
	if err != nil || rules == "" {
		return s
	}
	s.ValidUntil, s.Rules, s.Exemptions = until, names(rules), exemptionsOf(data[exemptionsKey], model)
	return s
}

// Connected gives the Safeguards by which requests into running pods are refused, by the models that need them.
func Connected(data map[string]string) map[string][]string {
	connected := map[string][]string{}
	for text := range strings.Lines(data[connectKey]) {
		if name, list, ok := strings.Cut(strings.TrimSuffix(text, "\n"), " "); ok {
			connected[name] = names(list)
		}
	}
	return connected
}

// line gives what stands behind a name.
func line(text, name string) string {
	_, rest, _ := strings.Cut(text, "\n"+name+" ")
	found, _, _ := strings.Cut(rest, "\n")
	return found
}

// Changed names the models whose standing differs between two states, in order.
func Changed(before, after map[string]string) []string {
	var changed []string
	was, is := told(before), told(after)
	for _, name := range slices.Compact(slices.Sorted(slices.Values(slices.AppendSeq(slices.Collect(maps.Keys(was)), maps.Keys(is))))) {
		if was[name] != is[name] && !Find(before, name).Equal(Find(after, name)) {
			changed = append(changed, name)
		}
	}
	return changed
}

// told gives all that is said of each model, in one text. What Find reads of a model is in it, and its text is read once for
// all models.
func told(data map[string]string) map[string]string {
	models := map[string]string{}
	shared := map[string]map[string]string{clearancesKey: numbered(data[leasesKey]), openingsKey: numbered(data[openedByKey])}
	for _, key := range []string{clearancesKey, exemptionsKey, adjustmentsKey, connectKey, weightsKey, openingsKey} {
		for text := range strings.Lines(data[key]) {
			name, said, ok := strings.Cut(text, " ")
			if !ok {
				continue
			}
			if texts, ok := shared[key]; ok {
				said = texts[strings.TrimSuffix(said, "\n")]
			}
			model, _, _ := strings.Cut(name, "/")
			models[model] += key + " " + name + " " + said
		}
	}
	return models
}

// numbered gives what several models share, by its number.
func numbered(text string) map[string]string {
	texts := map[string]string{}
	for line := range strings.Lines(text) {
		number, said, _ := strings.Cut(line, " ")
		texts[number] += said
	}
	return texts
}

// exemptionLines has a line a pod.
func exemptionLines(model string, exemptions []decision.Exemption) string {
	pods := map[string][]string{}
	for _, e := range exemptions {
		pods[e.Pod] = append(pods[e.Pod], clock(e.Until)+","+e.Safeguard)
	}
	var b strings.Builder
	for _, pod := range slices.Sorted(maps.Keys(pods)) {
		slices.Sort(pods[pod])
		fmt.Fprintf(&b, "%s/%s %s\n", model, pod, strings.Join(pods[pod], " "))
	}
	return b.String()
}

func exemptionsOf(text, model string) []decision.Exemption {
	var all []decision.Exemption
	for text := range strings.Lines(text) {
		name, tokens, _ := strings.Cut(text, " ")
		of, pod, _ := strings.Cut(name, "/")
		for _, token := range strings.Fields(tokens) {
			end, safeguard, _ := strings.Cut(token, ",")
			if until, err := time.Parse(time.RFC3339, end); err == nil && of == model {
				all = append(all, decision.Exemption{Pod: pod, Safeguard: safeguard, Until: until})
			}
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

// Adjusted says whether a pod was given all of this, each as Rule.Given says it. It goes by what the pod was created with, and
// is no verification: whoever edits the annotation deceives nobody but those who read it.
func Adjusted(pod *corev1.Pod, wanted []string) bool {
	given := names(pod.Annotations[v1alpha1.AdjustedAnnotation])
	return !slices.ContainsFunc(wanted, func(w string) bool { return !slices.Contains(given, w) })
}
