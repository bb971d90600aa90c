package bypass

const sizes = "internal/admission/size.go"

// letterMutants break what sees through pods that meet the letter of a rule, or are too large to be judged.
var letterMutants = []mutant{
	{"references-unresolved", "`commands`: values stand for `$(NAME)`", "they do not",
		[]change{{ruling, `!text.contains('$(') && text.split(`, `text.split(`}}, []string{"49: a switch is found"}},
	{"case-matters", "`commands`: in lower case, with '-' for '_'", "as they stand",
		[]change{{ruling, `' ').lowerAscii().replace('_', '-')].map(text,`, `' ')].map(text,`}}, []string{"49: a switch is found"}},
	{"letter-unasked", "`interlock-admit`: pod rules, judged after all mutation", "the match condition does not look at rules",
		[]change{{podPolicies, `isOpened(modelOf)+meetsRules(rules)), uncovered`, `isOpened(modelOf)), uncovered`}}, []string{"49: a pod that meets"}},
	{"size-unbounded", "`small`: what is too large is not judged", "everything is small",
		[]change{{sizes, `small = fmt.Sprintf("(%s`, `small = fmt.Sprintf("(true || %s`}}, []string{"52: a pod that is too large"}},
	{"variables-uncounted", "`uncovered`: looks at variables that add devices", "it looks at none",
		[]change{{coverage, `!e.name.matches('%s') || !has(e.valueFrom)`, `true || !e.name.matches('%s') || !has(e.valueFrom)`}},
		[]string{"60: where only accelerators"}},
}
