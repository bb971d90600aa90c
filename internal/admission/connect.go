package admission

import (
	"fmt"
	"strings"

	admissionv1 "k8s.io/api/admissionregistration/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/interlock-dev/interlock/api/v1alpha1"
)

// subresources are those of pods and Services by which a kind of request reaches a running pod.
var subresources = map[v1alpha1.ConnectKind]string{
	v1alpha1.ConnectExec: "exec", v1alpha1.ConnectAttach: "attach", v1alpha1.ConnectPortForward: "portforward", v1alpha1.ConnectProxy: "proxy",
}

// connect refuses requests into running pods where a model needs that. Such a request shows the API server no pod and so no
// label: it is refused for all pods of the namespace, whichever model they serve.
func connect(namespaces *metav1.LabelSelector, install Install, rules []Rule) Object {
	validations := []admissionv1.Validation{
		deny(fmt.Sprintf("'%s' in params.metadata.annotations", connectKey), "the clearances of the namespace cannot be read: Interlock writes them anew", "")}
	for _, r := range rules {
		if r.Connect != nil {
			validations = append(validations, deny(
				fmt.Sprintf("!(request.subResource in %s) || !%s || %s", list(kindsOf(r.Connect)), asks(textOf(connectKey), r.Safeguard), excepted(r.Connect)),
				ruleMessage(r, connectMessage(r.Connect)), ""))
		}
	}
	return validating(ConnectPolicy, admissionv1.ValidatingAdmissionPolicySpec{
		ParamKind: clearancesKind(),
		MatchConstraints: match(namespaces,
			resources("", "v1", []admissionv1.OperationType{admissionv1.Connect}, "pods/exec", "pods/attach", "pods/portforward", "pods/proxy", "services/proxy")),
		Variables:   []admissionv1.Variable{{Name: "credential", Expression: install.credential()}},
		Validations: validations,
	})
}

func kindsOf(c *v1alpha1.ConnectRule) []string {
	kinds := make([]string, 0, len(c.Refuse))
	for _, kind := range c.Refuse {
		kinds = append(kinds, subresources[kind])
	}
	return kinds
}

// excepted is CEL for whether the user may connect all the same. Whoever impersonates such a user may not: it would not be
// known who that was.
func excepted(c *v1alpha1.ConnectRule) string {
	var who []string
	for _, e := range c.Except {
		if e.User != "" {
			who = append(who, "request.userInfo.username == "+quoted(e.User))
		} else {
			who = append(who, quoted(e.Group)+" in request.userInfo.?groups.orValue([])")
		}
	}
	if len(who) == 0 {
		return "false"
	}
	return fmt.Sprintf("(variables.credential != '' && (%s))", strings.Join(who, " || "))
}

func connectMessage(c *v1alpha1.ConnectRule) string {
	who := "nobody"
	if len(c.Except) > 0 {
		who = "nobody but those whom the Safeguard excepts, under their own name,"
	}
	return fmt.Sprintf("a model of this namespace needs that %s reaches into its pods by %s, and the request does not tell whether the pod serves it",
		who, strings.Join(kindsOf(c), ", "))
}
