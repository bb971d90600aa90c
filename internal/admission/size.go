package admission

import (
	"fmt"

	admissionv1 "k8s.io/api/admissionregistration/v1"

	"github.com/interlock-dev/interlock/api/v1alpha1"
)

// The largest pod that is judged. Rules look at each of these, so an unbounded pod would cost the API server seconds, and a dry
// run of one costs its author nothing.
const (
	maxContainers = 100
	maxVariables  = 1000
	maxWords      = 1000
	maxMounts     = 1000
	maxVolumes    = 500
	maxKeys       = 500
	maxText       = 32_768
)

// Sizes of a pod in CEL. They count before they look.
var (
	countContainers = "(object.spec.containers.size() + object.spec.?initContainers.orValue([]).size() + object.spec.?ephemeralContainers.orValue([]).size())"
	countVariables  = counted("(has(c.env) ? c.env.size() : 0) + (has(c.envFrom) ? c.envFrom.size() : 0)")
	countWords      = counted("(has(c.command) ? c.command.size() : 0) + (has(c.args) ? c.args.size() : 0)")
	countMounts     = counted("(has(c.volumeMounts) ? c.volumeMounts.size() : 0) + (has(c.ports) ? c.ports.size() : 0)")
	countVolumes    = "(has(object.spec.volumes) ? object.spec.volumes.size() : 0)"
	countKeys       = "(object.metadata.?annotations.orValue({}).size() + object.metadata.?labels.orValue({}).size())"
	countText       = counted("(has(c.command) ? c.command.map(w, w.size()).sum() : 0) + (has(c.args) ? c.args.map(w, w.size()).sum() : 0) +\n" +
		"    (has(c.env) ? c.env.map(e, has(e.value) ? e.value.size() : 0).sum() : 0)")

	// small says whether a pod is small enough to be judged.
	small = fmt.Sprintf("(%s <= %d && %s <= %d && %s <= %d &&\n  %s <= %d &&\n  %s <= %d &&\n  %s <= %d &&\n  %s <= %d)",
		countContainers, maxContainers, countVolumes, maxVolumes, countKeys, maxKeys, countVariables, maxVariables,
		countWords, maxWords, countMounts, maxMounts, countText, maxText)
)

// counted is CEL for the sum of an expression over all containers, `c`.
func counted(expression string) string {
	return fmt.Sprintf("[dyn(%s)].map(containers, containers.map(c, %s).sum())[0]", v1alpha1.AllContainers, expression)
}

// fits refuses a pod that is too large to be judged, and says how large it is. What else is asked of pods excuses such a pod by
// the variable `large`, so that nothing looks at all of it.
func fits() admissionv1.Validation {
	return deny("!variables.large", "the pod is too large to be judged", fmt.Sprintf(
		`'the pod has ' + string(%s) + ' containers with ' + string(%s) + ' environment variables, ' + string(%s) + ' words of commands and arguments, ' +
  string(%s) + ' mounts and ports, ' + string(%s) + ' volumes, and ' + string(%s) +
  ' labels and annotations; Interlock judges pods of up to %d, %d, %d, %d, %d and %d, and %d characters in variables and words: make it smaller'`,
		countContainers, countVariables, countWords, countMounts, countVolumes, countKeys,
		maxContainers, maxVariables, maxWords, maxMounts, maxVolumes, maxKeys, maxText))
}
