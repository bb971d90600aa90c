package admission

import (
	"fmt"
	"slices"

	admissionv1 "k8s.io/api/admissionregistration/v1"

	"github.com/interlock-dev/interlock/api/v1alpha1"
)

// The floor under clearances: what the API server asks of them when they are written, by whomever. The operator decides what is
// cleared, and whoever has stolen its identity could write that a model is cleared and asked for nothing. So clearances say of
// their namespace what its labels say, are of a policy that exists, and ask for every pod rule that this policy asks of every model
// and lets nobody waive. It costs nothing when a pod is created, since that is judged when the clearances are written.
//
// A lease that was there before may stay as it is, so that a clearance can be taken back at any moment, also while the API server
// has heard of a change of policy and the operator has not judged all models by it. It cannot be made longer.
//
// CanaryNamespace is under no ScalingPolicy. What is cleared there clears nothing: CanaryPolicy lets no pod in.

// floorVariables are what the validations of floor share.
func floorVariables() []admissionv1.Variable {
	text := func(object, key string) string {
		return fmt.Sprintf("%s.metadata.?annotations['%s'].orValue('')", object, key)
	}
	lines := func(text string) string { return text + `.split('\n').filter(l, l != '')` }
	return []admissionv1.Variable{
		{Name: "clears", Expression: fmt.Sprintf("request.resource.resource == 'limitranges' && object != null && object.metadata.name == '%s' && "+
			"(oldObject == null || object.metadata.?annotations != oldObject.metadata.?annotations)", v1alpha1.ClearancesName)},
		{Name: "policy", Expression: fmt.Sprintf("namespaceObject.metadata.?labels['%s'].orValue('-')", v1alpha1.EnforceLabel)},
		// Each lease without its number: its end and its rules.
		{Name: "leases", Expression: lines(text("object", leasesKey))},
		{Name: "before", Expression: fmt.Sprintf("oldObject == null ? [] : %s.map(l, l.split(' ', 2)[?1].orValue(''))", lines(text("oldObject", leasesKey)))},
		{Name: "added", Expression: "variables.leases.filter(l, !(l.split(' ', 2)[?1].orValue('') in variables.before))"},
		{Name: "exempted", Expression: lines(text("object", exemptionsKey)) + ".map(l, l.split(' '))"},
	}
}

// floor refuses clearances that leave out what they may not. Names of rules stand in the last of the three parts of a lease alone,
// so that whatever part of a line the API server is led to read as a clearance, it names them.
func floor(rules []Rule, frameworks []Framework) []admissionv1.Validation {
	label := func(key, name string) string {
		return fmt.Sprintf("object.metadata.?annotations['%s'].orValue('') == namespaceObject.metadata.?labels['%s'].orValue('%s')", key, name, "")
	}
	var known []string
	for _, f := range frameworks {
		known = append(known, f.Name)
	}
	validations := []admissionv1.Validation{
		deny(fmt.Sprintf("!variables.clears || variables.policy != '-' && %s && %s && %s",
			label(policyKey, v1alpha1.EnforceLabel), label(defaultModelKey, v1alpha1.ModelLabel), label(coverageKey, v1alpha1.CoverageLabel)),
			"clearances say of their namespace what its labels say, and are only of one that is enrolled", ""),
		deny("!variables.clears || variables.leases.all(l, l.split(' ').size() == 3 && l.endsWith(',') && l.split(' ')[2].startsWith(',') && !(l.split(' ')[0] + l.split(' ')[1]).contains(','))",
			"a lease has a number, an end and the names of its rules", ""),
		deny(fmt.Sprintf("!variables.clears || variables.added.size() == 0 || variables.policy != '' && variables.policy in %s || request.namespace == %s",
			list(known), quoted(CanaryNamespace)),
			"there is no ScalingPolicy of the name in the namespace's label "+v1alpha1.EnforceLabel+", so nothing is cleared", ""),
	}
	for _, r := range rules {
		var under []string
		for _, f := range frameworks {
			if slices.Contains(f.Always, r.Safeguard) {
				under = append(under, f.Name)
			}
		}
		if len(r.Validations) == 0 || len(under) == 0 {
			continue
		}
		validations = append(validations, deny(
			fmt.Sprintf("!variables.clears || !(variables.policy in %s) || variables.added.all(l, l.contains(',%[2]s,')) && !variables.exempted.exists(es, es.exists(e, e.endsWith(',%[2]s')))",
				list(under), r.Safeguard),
			fmt.Sprintf("the policy asks every model for Safeguard %s and lets nobody waive it: no clearance leaves it out", r.Safeguard), ""))
	}
	return validations
}
