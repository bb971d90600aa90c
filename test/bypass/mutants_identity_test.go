package bypass

const (
	floors     = "internal/admission/floor.go"
	identities = "internal/decision/identity.go"
)

// identityMutants are about the operator's own identity, identities that are no people, and what the garbage collector takes.
var identityMutants = []mutant{
	{"floor-open", "`interlock-ledgers`: no clearance leaves out what the policy asks of every model", "it may",
		[]change{{floors, `variables.added.all(l, l.contains(',%[2]s,')) &&`, `true &&`}},
		[]string{"30: with the identity of Interlock"}},
	{"floor-formless", "`interlock-ledgers`: a lease names its rules in its last part alone", "it may name them anywhere",
		[]change{{floors, `deny("!variables.clears || variables.leases.all(l, l.split`, `deny("true || variables.leases.all(l, l.split`}},
		[]string{"30: with the identity of Interlock"}},
	{"floor-exempted", "`interlock-ledgers`: no pod is exempted from what nobody can be", "it may be",
		[]change{{floors, `&& !variables.exempted.exists(es`, `&& true || !variables.exempted.exists(es`}},
		[]string{"30: with the identity of Interlock"}},
	{"floor-unlabelled", "`interlock-ledgers`: clearances say of their namespace what its labels say", "they say what they like",
		[]change{{floors, `deny(fmt.Sprintf("!variables.clears || variables.policy != '-' && %s`, `deny(fmt.Sprintf("true || variables.policy != '-' && %s`}},
		[]string{"30: with the identity of Interlock"}},
	{"floor-without-policy", "`interlock-ledgers`: nothing is cleared under a policy that does not exist", "it is",
		[]change{{floors, `deny(fmt.Sprintf("!variables.clears || variables.added.size() == 0`, `deny(fmt.Sprintf("true || variables.added.size() == 0`}},
		[]string{"30: with the identity of Interlock"}},
	{"owners-taken", "`interlock-authority`: what people sign, request or find bears no owner reference", "it may",
		[]change{{authority, `deny(fmt.Sprintf("object == null || !(%s) || %s.all(o, oldObject`, `deny(fmt.Sprintf("true || !(%s) || %s.all(o, oldObject`}},
		[]string{"54: what is approved, attested or found"}},
	{"danger-deletable", "`interlock-authority`: asks for the verb to withdraw what may be evidence of danger", "it does not",
		[]change{{authority, `deny(fmt.Sprintf("object != null || !(%s) || authorizer`, `deny(fmt.Sprintf("true || !(%s) || authorizer`}},
		[]string{"54: what may say"}},
	{"place-by-name", "evidence: a namespace is named with its UID", "its name alone will do",
		[]change{{attesting, `c.failed == "" && objection != ""`, `false && objection != ""`}},
		[]string{"21: evidence about a namespace"}},
	{"machines-approve", "`interlock-authority`: only people approve and request", "whoever has the verb does",
		[]change{{authority, `deny(fmt.Sprintf("!(%s) || !(%s || %s) || !request.userInfo`, `deny(fmt.Sprintf("true || !(%s) || !(%s || %s) || !request.userInfo`}},
		[]string{"55: a ServiceAccount"}},
	{"machines-count", "`objection`, `requesterObjection`: a ServiceAccount counts only if the policy says so", "it counts",
		[]change{{identities, `return slices.Contains(rule.ServiceAccounts, right)`, `return rule != nil || slices.Contains(rule.ServiceAccounts, right)`}},
		[]string{"55: a ServiceAccount"}},
}
