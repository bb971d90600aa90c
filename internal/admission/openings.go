package admission

import (
	"cmp"
	"fmt"
	"maps"
	"slices"
	"strings"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/labels"
	"k8s.io/apimachinery/pkg/selection"

	"github.com/interlock-dev/interlock/api/v1alpha1"
)

// An opening is what labels would bring a pod under an object of its namespace that breaks a safeguard of its model, such as
// a NetworkPolicy that allows all egress. As text it is requirements between semicolons, each KEY:in:|VALUE|VALUE| or
// KEY:notin:|VALUE|, and is met by a pod that meets them all. A label that is not there counts as one of the value "-", which
// no label can have. Neither keys nor values of labels hold any of the characters between.

const (
	absent = "-"
	// maxOpenings is the most that is kept of one model, in bytes. What it costs to judge a pod grows with it.
	maxOpenings = 32 << 10
)

// Openings writes openings as the API server reads them, in order; false if they are too many to be kept. Each must have a
// requirement.
func Openings(all []labels.Requirements) (openings []string, fits bool) {
	merged := map[string][]string{}
	for _, requirements := range all {
		rest, key, values := split(requirements)
		rest = key + "\n" + rest
		merged[rest] = append(merged[rest], values...)
	}
	size := 0
	for _, shape := range slices.Sorted(maps.Keys(merged)) {
		key, rest, _ := strings.Cut(shape, "\n")
		opening := rest
		if key != "" {
			opening = strings.TrimSuffix(requirement(key, "in", merged[shape])+";"+rest, ";")
		}
		openings = append(openings, opening)
		size += len(opening) + 1
	}
	return openings, size <= maxOpenings
}

// split takes the first requirement that lists values apart, so that openings which differ in these alone become one.
func split(requirements labels.Requirements) (rest, key string, values []string) {
	var others []string
	inOrder := slices.SortedFunc(slices.Values(requirements), func(a, b labels.Requirement) int {
		return cmp.Or(strings.Compare(a.Key(), b.Key()), strings.Compare(a.String(), b.String()))
	})
	for _, r := range inOrder {
		listed := r.ValuesUnsorted()
		operator := "in"
		switch r.Operator() {
		case selection.DoesNotExist:
			listed = []string{absent}
		case selection.Exists:
			operator, listed = "notin", []string{absent}
		case selection.NotIn, selection.NotEquals:
			operator = "notin"
		}
		if operator == "in" && key == "" {
			key, values = r.Key(), listed
			continue
		}
		others = append(others, requirement(r.Key(), operator, listed))
	}
	return strings.Join(others, ";"), key, values
}

func requirement(key, operator string, values []string) string {
	return fmt.Sprintf("%s:%s:|%s|", key, operator, strings.Join(slices.Compact(slices.Sorted(slices.Values(values))), "|"))
}

// noOpenings is CEL for whether no model of the namespace has any: of most, that is all that is looked at.
var noOpenings = fmt.Sprintf(`params.metadata.annotations[?'%s'].orValue('\n') == '\n'`, openingsKey)

// opened is CEL for the openings of a model that the pod meets.
func opened(model string) string {
	return fmt.Sprintf(`%s.split(' ').filter(o, o != '' && o.split(';').all(r, [r.split(':')].all(p,
  p[2].contains('|' + object.metadata.?labels[p[0]].orValue('%s') + '|') == (p[1] == 'in'))))`,
		lineOf(openedByKey, lineOf(openingsKey, model)), absent)
}

// isOpened is CEL for whether the pod meets an opening of a model.
func isOpened(model string) string {
	return fmt.Sprintf("!(%s || %s.size() == 0)", noOpenings, opened(model))
}

// openedMessage words it for `variables.opened` of `variables.named`.
var openedMessage = `'labels of the pod (' + variables.opened.map(o, o.split(';').map(r, r.split(':')[0]).join(', ')).join(' or ') +
  ') put it under a NetworkPolicy that lets it send traffic where model "' + variables.named +
  '" may not: have the pod go without them, or have that NetworkPolicy select other labels'`

// bindingLabels are the labels that the API server gives to a pod when it is bound, after those of its node. A safeguard
// expects any value of them.
var bindingLabels = []string{corev1.LabelTopologyZone, corev1.LabelTopologyRegion}

// otherLabels says whether a change of a pod changes any of its labels; labelledModel, whether it names a model before or after.
var (
	otherLabels   = `object.metadata.?labels.orValue({}) != oldObject.metadata.?labels.orValue({})`
	labelledModel = fmt.Sprintf(`('%[1]s' in object.metadata.?labels.orValue({}) || '%[1]s' in oldObject.metadata.?labels.orValue({}))`, v1alpha1.ModelLabel)
)
