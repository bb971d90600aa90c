package admission

import (
	"cmp"
	"crypto/sha256"
	"encoding/json"
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/interlock-dev/interlock/api/v1alpha1"
)

// piece is one thing that adjustments give to a pod. All is CEL: `object` is the pod as it came, so the pieces do not
// see one another, and their order does not matter.
type piece struct {
	// field tells people what is set; two pieces with one field and different values are in conflict.
	field string
	// value in JSON.
	value string
	// lacked is whether the pod lacks it.
	lacked string
	// parents are what must exist before it, as JSON pointers, the outermost first, each with its empty value.
	parents []parent
	// path to add it at, a JSON pointer; in a piece for containers, within a container.
	path string
	// container is whether it is for each container, which is `c` in lacked and in the parents.
	container bool
	// safeguards that give it, and those whose other value for the field goes before.
	safeguards, yields []string
	// given is how pods say that these Safeguards gave them something.
	given []string
}

type parent struct{ path, absent, empty string }

// wanted is CEL for whether the Safeguards that apply, a text with each name between commas, give the piece.
func (p piece) wanted(names string) string {
	wanted := asksAny(names, p.safeguards)
	if len(p.yields) > 0 {
		wanted += " && !" + asksAny(names, p.yields)
	}
	return wanted
}

func asksAny(names string, safeguards []string) string {
	asked := make([]string, 0, len(safeguards))
	for _, s := range safeguards {
		asked = append(asked, asks(names, s))
	}
	return "(" + strings.Join(asked, " || ") + ")"
}

// pieces takes the adjustments of all rules apart. What several Safeguards give alike is one piece.
func pieces(rules []Rule) []piece {
	var all []piece
	for _, r := range rules {
		if r.Adjust == nil {
			continue
		}
		for _, p := range piecesOf(r.Adjust) {
			p.safeguards, p.given = []string{r.Safeguard}, []string{r.Given()}
			same := slices.IndexFunc(all, func(o piece) bool { return o.field == p.field && o.value == p.value })
			if same >= 0 {
				all[same].safeguards, all[same].given = append(all[same].safeguards, r.Safeguard), append(all[same].given, r.Given())
				continue
			}
			all = append(all, p)
		}
	}
	for i := range all {
		for _, earlier := range all[:i] {
			if earlier.field == all[i].field {
				all[i].yields = append(all[i].yields, earlier.safeguards...)
			}
		}
	}
	return all
}

// digestMark stands between the name of a Safeguard, which cannot hold it, and the digest of what it gives.
const digestMark = ":"

// Given is how a pod says in its annotation that the Safeguard gave it something, and what: so a pod that was given what the
// Safeguard gave formerly can be told from one that has what it gives now.
func (r Rule) Given() string {
	return fmt.Sprintf("%s%s%.4x", r.Safeguard, digestMark, sha256.Sum256([]byte(asJSON(r.Adjust))))
}

// Conflict is a field to which two Safeguards would give different values.
type Conflict struct{ Field, One, Other string }

func (c Conflict) String() string {
	return fmt.Sprintf("Safeguards %s and %s set %s to different values", c.One, c.Other, c.Field)
}

// Conflicts finds where the adjustments of Safeguards that may apply to one pod do not agree.
func Conflicts(rules []Rule) []Conflict {
	rules = slices.SortedFunc(slices.Values(rules), func(a, b Rule) int { return cmp.Compare(a.Safeguard, b.Safeguard) })
	var conflicts []Conflict
	for _, p := range pieces(rules) {
		for _, other := range p.yields {
			conflicts = append(conflicts, Conflict{Field: p.field, One: other, Other: p.safeguards[0]})
		}
	}
	return conflicts
}

func piecesOf(a *v1alpha1.PodAdjustment) []piece {
	var all []piece
	entries := func(pointer, field, cel string, values map[string]string) {
		for _, key := range slices.Sorted(maps.Keys(values)) {
			all = append(all, piece{
				field: fmt.Sprintf("%s[%s]", field, key), value: asJSON(values[key]),
				lacked:  fmt.Sprintf("!(%s in %s.orValue({}))", quoted(key), cel),
				parents: []parent{{pointer, "!" + cel + ".hasValue()", "{}"}}, path: pointer + "/" + escaped(key)})
		}
	}
	entries("/metadata/annotations", "metadata.annotations", "object.metadata.?annotations", a.Annotations)
	entries("/spec/nodeSelector", "spec.nodeSelector", "object.spec.?nodeSelector", a.NodeSelector)
	if a.RuntimeClassName != "" {
		all = append(all, piece{field: "spec.runtimeClassName", value: asJSON(a.RuntimeClassName),
			lacked: "!has(object.spec.runtimeClassName)", path: "/spec/runtimeClassName"})
	}
	for _, t := range a.Tolerations {
		all = append(all, item("spec.tolerations", "["+asJSON(t)+"]", t, fmt.Sprintf(
			"t, t.?key.orValue('') == %s && t.?operator.orValue('Equal') == %s && t.?value.orValue('') == %s && t.?effect.orValue('') == %s",
			quoted(t.Key), quoted(cmp.Or(string(t.Operator), "Equal")), quoted(t.Value), quoted(string(t.Effect)))))
	}
	for _, v := range a.Volumes {
		all = append(all, item("spec.volumes", "["+v.Name+"]", v, "v, v.name == "+quoted(v.Name)))
	}
	for _, g := range a.ReadinessGates {
		all = append(all, item("spec.readinessGates", "["+string(g.ConditionType)+"]", g, "g, g.conditionType == "+quoted(string(g.ConditionType))))
	}
	for _, s := range a.Sidecars {
		all = append(all, sidecar(s))
	}
	return append(append(all, podSecurity(a.SecurityContext)...), containerSecurity(a.ContainerSecurityContext)...)
}

// item is one of a list, which the pod lacks unless one exists as CEL says.
func item(list, key string, value any, exists string) piece {
	pointer, cel := "/"+strings.ReplaceAll(list, ".", "/"), "object."+strings.ReplaceAll(list, ".", ".?")
	return piece{field: list + key, value: asJSON(value), lacked: fmt.Sprintf("!%s.orValue([]).exists(%s)", cel, exists),
		parents: []parent{{pointer, "!" + cel + ".hasValue()", "[]"}}, path: pointer + "/-"}
}

// sidecarField begins the field of a sidecar.
const sidecarField = "spec.initContainers["

// sidecar starts before the init containers that the pod has, so these are guarded as well.
func sidecar(s v1alpha1.Sidecar) piece {
	p := item("spec.initContainers", "["+s.Name+"]", struct {
		v1alpha1.Sidecar
		RestartPolicy string `json:"restartPolicy"`
	}{s, "Always"}, "c, c.name == "+quoted(s.Name))
	p.lacked += " && !object.spec.containers.exists(c, c.name == " + quoted(s.Name) + ")"
	p.path = "/spec/initContainers/0"
	return p
}

func podSecurity(s *v1alpha1.PodSecurity) []piece {
	var all []piece
	const pointer, cel = "/spec/securityContext", "object.spec.?securityContext"
	set := map[string]json.RawMessage{}
	if err := json.Unmarshal([]byte(asJSON(s)), &set); err != nil {
		panic(err) // what was just written can be read
	}
	for _, field := range slices.Sorted(maps.Keys(set)) {
		all = append(all, piece{field: "spec.securityContext." + field, value: string(set[field]),
			lacked:  fmt.Sprintf("!%s.?%s.hasValue()", cel, field),
			parents: []parent{{pointer, "!" + cel + ".hasValue()", "{}"}}, path: pointer + "/" + field})
	}
	return all
}

// mayEscalate is CEL for a container to which the API server lets nobody deny the escalation of privileges.
const mayEscalate = `(c.?securityContext.?privileged.orValue(false) ||
  c.?securityContext.?capabilities.?add.orValue([]).exists(a, a in ['SYS_ADMIN', 'CAP_SYS_ADMIN']))`

func containerSecurity(s *v1alpha1.ContainerSecurity) []piece {
	if s == nil {
		return nil
	}
	const cel = "c.?securityContext"
	security := parent{"/securityContext", "!" + cel + ".hasValue()", "{}"}
	var all []piece
	scalar := func(field string, value *bool, unless string) {
		if value != nil {
			all = append(all, piece{container: true, field: "spec.containers[*].securityContext." + field, value: asJSON(value),
				lacked: fmt.Sprintf("!%s.?%s.hasValue()%s", cel, field, unless), parents: []parent{security}, path: "/securityContext/" + field})
		}
	}
	scalar("allowPrivilegeEscalation", s.AllowPrivilegeEscalation, " && !"+mayEscalate)
	scalar("readOnlyRootFilesystem", s.ReadOnlyRootFilesystem, "")
	for _, capability := range s.DropCapabilities {
		all = append(all, piece{container: true,
			field: fmt.Sprintf("spec.containers[*].securityContext.capabilities.drop[%s]", capability), value: asJSON(capability),
			lacked: fmt.Sprintf("!%s.?capabilities.?drop.orValue([]).exists(d, d == 'ALL' || d == %s)", cel, quoted(capability)),
			parents: []parent{security,
				{"/securityContext/capabilities", "!" + cel + ".?capabilities.hasValue()", "{}"},
				{"/securityContext/capabilities/drop", "!" + cel + ".?capabilities.?drop.hasValue()", "[]"}},
			path: "/securityContext/capabilities/drop/-"})
	}
	return all
}
