package adjust

import (
	"slices"
	"strings"

	"k8s.io/apimachinery/pkg/runtime/schema"

	"github.com/interlock-dev/interlock/api/v1alpha1"
)

// Groups of which no kind may be put around a model, with those below them: whoever writes a Safeguard would have the
// operator do what he may not do himself. That the operator lacks the right to write a kind is the other defence.
var refusedGroups = []struct {
	groups []string
	why    string
}{
	{[]string{"rbac.authorization.k8s.io", "authorization.k8s.io", "authentication.k8s.io", "certificates.k8s.io"}, "gives rights or identities"},
	{[]string{"admissionregistration.k8s.io", "apiextensions.k8s.io", "apiregistration.k8s.io", "kyverno.io", "gatekeeper.sh"},
		"changes what the API server does"},
	{[]string{v1alpha1.GroupVersion.Group}, "is Interlock's own"},
	{[]string{"apps", "batch", "extensions", "argoproj.io", "jobset.x-k8s.io", "leaderworkerset.x-k8s.io", "ray.io", "serving.knative.dev",
		"serving.kserve.io", "kubeflow.org", "tekton.dev"}, "runs pods"},
	{[]string{"fluxcd.io", "operators.coreos.com", "crossplane.io"}, "makes objects of any kind"},
	{[]string{"discovery.k8s.io"}, "turns the traffic of Services"},
}

// Of the core group only these may be: the others run pods, hold secrets, are identities or turn traffic.
var coreKinds = []string{"ConfigMap", "LimitRange", "ResourceQuota", "Service"}

// Refused says why no Safeguard may put a kind around models; empty, it may.
func Refused(kind schema.GroupKind) string {
	if kind.Group == "" && !slices.Contains(coreKinds, kind.Kind) {
		return "is none of the core kinds that may be: " + strings.Join(coreKinds, ", ")
	}
	for _, r := range refusedGroups {
		if slices.ContainsFunc(r.groups, func(group string) bool { return within(kind.Group, group) }) {
			return r.why
		}
	}
	return ""
}

// within says whether a group is another or below it.
func within(group, other string) bool {
	return group == other || strings.HasSuffix(group, "."+other)
}
