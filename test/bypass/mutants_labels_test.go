package bypass

const openings = "internal/admission/openings.go"

// labelMutants break what keeps labels from undoing a safeguard, and a label from being borrowed.
var labelMutants = []mutant{
	{"born-open", "`interlock-admit`: no labels that open the pod", "the match condition does not look at them",
		[]change{{podPolicies, `inLease+" && !"+isOpened(modelOf)+meetsRules(rules)`, `inLease+meetsRules(rules)`}},
		[]string{"47: no label that would open"}},
	{"opened-later", "`interlock-guard`: no labels that open the pod", "a change of labels alone is not looked at",
		[]change{{podPolicies, `(!(%s) && %s && %s)", relabelled, noOpenings`, `(false && !(%s) && %s && %s)", relabelled, noOpenings`}},
		[]string{"47: no label that would open", "47: labels stay closed"}},
	{"opened-by-absence", "openings: a label that is not there counts", "it meets no requirement",
		[]change{{openings, `absent = "-"`, `absent = "~"`}, {openings, `object.metadata.?labels[p[0]].orValue('%s')`, `object.metadata.?labels[p[0]].orValue('-%s')`}},
		[]string{"47: no label that would open"}},
	{"status-labels", "`interlock-identity`: the status brings no labels along", "only the model is frozen",
		[]change{{podPolicies, `foreign, otherLabels, labelledModel)`, `foreign, relabelled, labelledModel)`}},
		[]string{"47: no label that would open"}},
	{"binding-labels", "`interlock-identity`: a Binding brings no labels along", "only the model is frozen",
		[]change{{podPolicies, `foreign := fmt.Sprintf("object.metadata.?labels.orValue({}).exists(k, !(k in %s))", list(bindingLabels))`,
			`foreign := fmt.Sprintf("object.metadata.?labels.orValue({}).exists(k, k in %s)", list([]string{v1alpha1.ModelLabel}))`}},
		[]string{"47: no label that would open"}},
	{"openings-unwritten", "gathering: the clearances carry what would open a model", "they do not",
		[]change{{verdicts, `Openings: f.openings}`, `Openings: nil}`}},
		[]string{"47: no label that would open", "47: a pod that got such a label", "47: labels stay closed"}},
	{"released-open", "`interlock-guard`: no labels that open a pod that is released", "the validation passes",
		[]change{{podPolicies, `deny(fmt.Sprintf("%s || %s || variables.opened.size() == 0", excuse, noOpenings),`,
			`deny(fmt.Sprintf("true || %s || %s || variables.opened.size() == 0", excuse, noOpenings),`}},
		[]string{"47: a pod that got such a label"}},
	{"label-borrowed", "`interlock-admit`: no weights that another model declares", "the match condition does not look at them",
		[]change{{podPolicies, `uncovered, namesTaken(modelOf))`, `uncovered, "false")`}}, []string{"48: what one model declares"}},
	{"sources-untold", "ledger controller: the clearances carry what other models declare", "they do not",
		[]change{{ledgers, `admission.Clearances{Sources: sources,`, `admission.Clearances{Sources: "",`}}, []string{"48: what one model declares"}},
}
