package admission

import (
	"encoding/json"
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/interlock-dev/interlock/api/v1alpha1"
)

// containerLists are where a pod that is created has containers, each with its JSON pointer.
var containerLists = []struct{ pointer, cel string }{
	{"/spec/containers", "object.spec.containers"},
	{"/spec/initContainers", "object.spec.?initContainers.orValue([])"},
}

// lacking is CEL for whether the pod lacks anything that the Safeguards which apply give it, or does not say that it was
// given that. There must be such Safeguards.
func lacking(pieces []piece, names string) string {
	sidecars := sidecarNames(pieces)
	parts := []string{fmt.Sprintf("object.metadata.?annotations[%s].orValue('') != %s", quoted(v1alpha1.AdjustedAnnotation), said(pieces, names))}
	for _, p := range pieces {
		lacked := p.lacked
		if p.container {
			var lists []string
			for _, l := range containerLists {
				lists = append(lists, fmt.Sprintf("%s.exists(c, !(c.name in %s) && %s)", l.cel, sidecars, lacked))
			}
			lacked = "(" + strings.Join(lists, " || ") + ")"
		}
		parts = append(parts, fmt.Sprintf("(%s && %s)", p.wanted(names), lacked))
	}
	return "(" + strings.Join(parts, " ||\n  ") + ")"
}

// said is CEL for how the annotation of a pod names what it was given by those Safeguards that this policy knows. The
// clearances may be ahead of it by a Safeguard or two, and a pod must not say that it was given what it was not.
func said(pieces []piece, names string) string {
	var marks, pairs []string
	for _, p := range pieces {
		marks = append(marks, p.given...)
	}
	slices.Sort(marks)
	for _, mark := range slices.Compact(marks) {
		safeguard, _, _ := strings.Cut(mark, digestMark)
		pairs = append(pairs, fmt.Sprintf("[',%s,', '%s']", safeguard, mark))
	}
	return fmt.Sprintf("[%s].map(s, %s.contains(s[0]), s[1]).join(',')", strings.Join(pairs, ", "), names)
}

// lacksForModel is CEL, without variables, for whether the pod lacks anything that its model is to be given.
func lacksForModel(pieces []piece) string {
	return fmt.Sprintf("[%s].exists(given, given != '' && %s)", lineOf(adjustmentsKey, modelOf), lacking(pieces, "given"))
}

// given are the Safeguards whose adjustments apply to the pod, each between commas.
var given = lineOf(adjustmentsKey, "variables.model")

const givenNames = "variables.given"

// patchAdjustments is CEL for what the pod is given. Containers come first: what is added to the list of init containers
// moves those that are there.
func patchAdjustments(pieces []piece) string {
	var lists []string
	for _, l := range containerLists {
		lists = append(lists, patchContainers(pieces, l.pointer, l.cel)...)
	}
	return "(!variables.lacking ? [] :\n" + strings.Join(append(lists, patchPod(pieces)), " +\n") + ")"
}

func patchPod(pieces []piece) string {
	operations := []string{
		operation("!object.metadata.?annotations.hasValue()", "/metadata/annotations", "{}"),
		operation("true", "/metadata/annotations/"+escaped(v1alpha1.AdjustedAnnotation), said(pieces, givenNames)),
	}
	made := map[string]bool{"/metadata/annotations": true}
	var last []string
	for _, p := range pieces {
		if p.container {
			continue
		}
		for _, parent := range newParents(p, made) {
			operations = append(operations, operation(asksAny(givenNames, allOf(pieces, parent.path))+" && "+parent.absent, parent.path, parent.empty))
		}
		add := operation(fmt.Sprintf("%s && %s", p.wanted(givenNames), p.lacked), p.path, literal(p.value))
		if strings.HasSuffix(p.path, "/0") {
			last = append(last, add)
			continue
		}
		operations = append(operations, add)
	}
	slices.Reverse(last) // each goes before those that are there
	return "[" + strings.Join(append(operations, last...), ",\n") + "]"
}

// newParents gives what must be made for a piece and has not been made, and notes that it is.
func newParents(p piece, made map[string]bool) []parent {
	var parents []parent
	for _, parent := range p.parents {
		if !made[parent.path] {
			parents = append(parents, parent)
			made[parent.path] = true
		}
	}
	return parents
}

// allOf names the Safeguards with a piece below a path.
func allOf(pieces []piece, path string) []string {
	var names []string
	for _, p := range pieces {
		for _, parent := range p.parents {
			if parent.path == path {
				names = append(names, p.safeguards...)
			}
		}
	}
	slices.Sort(names)
	return slices.Compact(names)
}

// operation is an element of a list of patches that is there only if CEL says so.
func operation(when, path, value string) string {
	return fmt.Sprintf(`?(%s ? optional.of(JSONPatch{op: "add", path: %s, value: %s}) : optional.none())`, when, quoted(path), value)
}

// patchContainers gives lists of patches, one for each thing that containers of a list are given.
func patchContainers(pieces []piece, pointer, cel string) []string {
	sidecars := sidecarNames(pieces)
	var lists []string
	add := func(when, path, value string) {
		lists = append(lists, fmt.Sprintf(
			`%s.transformList(i, c, !(c.name in %s) && %s, JSONPatch{op: "add", path: %s + string(i) + %s, value: %s})`,
			cel, sidecars, when, quoted(pointer+"/"), quoted(path), value))
	}
	made := map[string]bool{}
	for _, p := range pieces {
		if !p.container {
			continue
		}
		for _, parent := range newParents(p, made) {
			add(asksAny(givenNames, allOf(pieces, parent.path))+" && "+parent.absent, parent.path, parent.empty)
		}
		add(fmt.Sprintf("%s && %s", p.wanted(givenNames), p.lacked), p.path, literal(p.value))
	}
	return lists
}

// sidecarNames is CEL for the names of the sidecars that adjustments add, which are as they are written.
func sidecarNames(pieces []piece) string {
	var names []string
	for _, p := range pieces {
		if name, ok := strings.CutPrefix(p.field, sidecarField); ok {
			names = append(names, quoted(strings.TrimSuffix(name, "]")))
		}
	}
	return "[" + strings.Join(names, ", ") + "]"
}

// literal writes JSON as CEL. Every element is of the dynamic type, since CEL takes no list or map of mixed types.
func literal(text string) string {
	decoder := json.NewDecoder(strings.NewReader(text))
	decoder.UseNumber()
	var value any
	if err := decoder.Decode(&value); err != nil {
		panic(err) // asJSON wrote it
	}
	return celOf(value)
}

func celOf(value any) string {
	switch v := value.(type) {
	case map[string]any:
		var entries []string
		for _, key := range slices.Sorted(maps.Keys(v)) {
			entries = append(entries, fmt.Sprintf("%s: dyn(%s)", quoted(key), celOf(v[key])))
		}
		return "{" + strings.Join(entries, ", ") + "}"
	case []any:
		var items []string
		for _, item := range v {
			items = append(items, fmt.Sprintf("dyn(%s)", celOf(item)))
		}
		return "[" + strings.Join(items, ", ") + "]"
	case string:
		return quoted(v)
	case nil:
		return "null"
	default: // numbers and booleans
		return fmt.Sprint(v)
	}
}

// asJSON writes a part of an API object.
func asJSON(value any) string {
	text, err := json.Marshal(value)
	if err != nil {
		panic(err) // such parts have come as JSON
	}
	return string(text)
}

// escaped writes a key as a token of a JSON pointer.
func escaped(key string) string { return strings.NewReplacer("~", "~0", "/", "~1").Replace(key) }
