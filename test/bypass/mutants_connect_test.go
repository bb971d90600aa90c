package bypass

const connecting = "internal/admission/connect.go"

// connectMutants break what keeps people out of running pods.
var connectMutants = []mutant{
	{"enters-by-exec", "`interlock-connect`: matches `pods/exec`", "it does not",
		[]change{{connecting, `"pods/exec", `, ``}}, []string{"59: nobody reaches"}},
	{"enters-by-service", "`interlock-connect`: matches `services/proxy`", "it does not",
		[]change{{connecting, `, "services/proxy"`, ``}}, []string{"59: nobody reaches"}},
	{"enters-posing", "`interlock-connect`: no exception for who impersonates", "there is",
		[]change{{connecting, `(variables.credential != '' && (%s))`, `(%s)`}}, []string{"59: nobody reaches"}},
	{"enters-when-revoked", "clearances: what is refused of a model is told also when it is held", "only while it is cleared",
		[]change{{"internal/admission/clearances.go", `if len(s.Connect) > 0 {`, `if s.Cleared() && len(s.Connect) > 0 {`}}, []string{"59: nobody reaches"}},
	{"enters-undeclared", "ledger controller: what is refused of a model is refused as long as it has pods", "as long as it is declared",
		[]change{{ledgers, `if err != nil || len(pods.Items) > 0 {`, `if false {`}}, []string{"59: nobody reaches"}},
}
