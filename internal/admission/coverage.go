package admission

import (
	"fmt"
	"regexp"
	"slices"
	"strings"

	corev1 "k8s.io/api/core/v1"

	"github.com/interlock-dev/interlock/api/v1alpha1"
)

// Patterns by which a pod is known to come by an accelerator without asking for one. The API server and the operator read the
// same text, which both take for a regular expression of the same kind (RE2).
const (
	// variablesOfDevices are variables for which a container runtime adds devices, unless their value is one of noDevices.
	variablesOfDevices = `^[A-Z0-9]+(_RT)?_VISIBLE_(DEVICES|CORES)$`
	// keysOfDevices are keys of annotations and labels: those of CDI, and of schedulers that share GPUs.
	keysOfDevices = `(?i)^cdi[.]k8s[.]io/|(^|[./_-])v?[gtn]pu([./_-]|$)|(^|[.])nvidia[.]com/`
	// runtimesOfDevices are names of runtime classes.
	runtimesOfDevices = `(?i)nvidia|[gtn]pu|rocm|habana|ascend|cdi`
	// pathsOfDevices are paths of the node that hold devices, or sockets by which more can be had, and paths that are not
	// written plainly.
	pathsOfDevices = `^/*$|^/(dev|sys|proc|run|var/run|etc/cdi|var/run/cdi|var/lib/kubelet)(/|$)|//|/[.][.]?(/|$)|nvidia|^[^/]`
)

// noDevices are values of a variable that ask for none.
var noDevices = []string{"", "void", "none"}

var (
	deviceVariable = regexp.MustCompile(variablesOfDevices)
	deviceKey      = regexp.MustCompile(keysOfDevices)
	deviceRuntime  = regexp.MustCompile(runtimesOfDevices)
	devicePath     = regexp.MustCompile(pathsOfDevices)
)

// uncovered is CEL for whether the pod need not name a model: the namespace covers accelerators only, and the pod has no sign
// of one. Those are: an extended resource (their names, and no others, have a domain), a device claim, a privileged container,
// and what the patterns above find.
var uncovered = fmt.Sprintf(`(%s == '%s' && object.spec.?resourceClaims.orValue([]).size() == 0 &&
  !object.spec.?runtimeClassName.orValue('').matches('%s') &&
  [object.metadata.?annotations.orValue({}), object.metadata.?labels.orValue({})].all(m, m.all(k, !k.matches('%s'))) &&
  object.spec.?volumes.orValue([]).all(v, !has(v.hostPath) || !v.hostPath.path.matches('%s')) &&
  (%s).all(c, !c.?securityContext.privileged.orValue(false) &&
    c.?env.orValue([]).all(e, !e.name.matches('%s') || !has(e.valueFrom) && e.?value.orValue('') in %s)) &&
  [dyn(object.spec.containers), dyn(object.spec.?initContainers.orValue([]))].all(cs, cs.all(c,
    !c.?resources.limits.orValue({}).exists(r, r.contains('/')) && !c.?resources.requests.orValue({}).exists(r, r.contains('/')))))`,
	textOf(coverageKey), v1alpha1.CoverageAccelerators, runtimesOfDevices, keysOfDevices, pathsOfDevices, v1alpha1.AllContainers, variablesOfDevices, list(noDevices))

// Covered says whether a pod must name a model, as `uncovered` says the opposite of in CEL.
func Covered(pod *corev1.Pod, coverage string) bool {
	if coverage != v1alpha1.CoverageAccelerators || len(pod.Spec.ResourceClaims) > 0 {
		return true
	}
	if pod.Spec.RuntimeClassName != nil && deviceRuntime.MatchString(*pod.Spec.RuntimeClassName) {
		return true
	}
	for _, keys := range []map[string]string{pod.Annotations, pod.Labels} {
		for key := range keys {
			if deviceKey.MatchString(key) {
				return true
			}
		}
	}
	mountsDevices := func(v corev1.Volume) bool { return v.HostPath != nil && devicePath.MatchString(v.HostPath.Path) }
	if slices.ContainsFunc(pod.Spec.Volumes, mountsDevices) {
		return true
	}
	containers := slices.Concat(pod.Spec.Containers, pod.Spec.InitContainers)
	for _, e := range pod.Spec.EphemeralContainers {
		containers = append(containers, corev1.Container(e.EphemeralContainerCommon))
	}
	return slices.ContainsFunc(containers, hasDevices)
}

// hasDevices says whether a container asks for an extended resource, or comes by devices without.
func hasDevices(c corev1.Container) bool {
	if c.SecurityContext != nil && c.SecurityContext.Privileged != nil && *c.SecurityContext.Privileged {
		return true
	}
	for _, list := range []corev1.ResourceList{c.Resources.Limits, c.Resources.Requests} {
		for name := range list {
			if strings.Contains(string(name), "/") {
				return true
			}
		}
	}
	return slices.ContainsFunc(c.Env, func(e corev1.EnvVar) bool {
		return deviceVariable.MatchString(e.Name) && (e.ValueFrom != nil || !slices.Contains(noDevices, e.Value))
	})
}
