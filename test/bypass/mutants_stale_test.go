package bypass

const operatorRole = "config/rbac/role.yaml"

// staleMutants break what keeps an API server from believing clearances that are no more, or what notices it.
var staleMutants = []mutant{
	{"clearances-in-configmap", "`interlock-hold` and `interlock-admit`: read a kind that the API server itself keeps reading", "they read a ConfigMap",
		[]change{
			{policies, `Kind: "LimitRange"}`, `Kind: "ConfigMap"}`},
			{ledgers, "\tif err == nil {\n\t\tledger :=", `	if err == nil && r.enforced(ns) {
		err = r.Client.Update(ctx, &corev1.ConfigMap{ObjectMeta: metav1.ObjectMeta{Namespace: req.Name, Name: clearances.Name, Annotations: clearances.Annotations}})
		if apierrors.IsNotFound(err) {
			err = r.Client.Create(ctx, &corev1.ConfigMap{ObjectMeta: metav1.ObjectMeta{Namespace: req.Name, Name: clearances.Name, Annotations: clearances.Annotations}})
		}
	}
	if err == nil {
		ledger :=`},
			{operatorRole, "  - limitranges\n  verbs:\n  - get\n", "  - limitranges\n  - configmaps\n  verbs:\n  - get\n"},
			{operatorRole, "  - limitranges\n  verbs:\n  - delete\n", "  - limitranges\n  - configmaps\n  verbs:\n  - delete\n"},
			{operatorRole, "  - limitranges\n  - pods/eviction\n", "  - limitranges\n  - configmaps\n  - pods/eviction\n"},
		},
		[]string{"45: whichever of our policies"}},
	{"canary-gullible", "canary: an answer is right only if policies are in force and go by what was written last", "any answer is",
		[]change{{"controllers/canary/servers.go", `why := q.Judge(answer, err); why != ""`, `why := q.Judge(answer, err); false`}},
		[]string{"45: a policy that stays away", "45: an API server that goes by what was true before"}},
	{"canary-silent", "canary: tells of wrong answers in an event and readiness", "it only logs them",
		[]change{{"controllers/canary/canary.go", "c.known.learn(began, err)", "c.known.learn(began, nil)"}},
		[]string{"45: a policy that stays away", "45: an API server that goes by what was true before"}},
	{"repair-trusted", "canary: a repair counts once API servers show it", "it counts at once",
		[]change{{"controllers/canary/knowledge.go", "k.repaired, k.believed = when, false", "k.believed = when.IsZero()"}},
		[]string{"45: an API server that goes by what was true before"}},
	{"canary-of-all", "canary: only the manager that leads asks", "each does",
		[]change{{"controllers/canary/canary.go", "NeedLeaderElection() bool { return true }", "NeedLeaderElection() bool { return false }"}},
		[]string{"45: a manager that stands by"}},
	{"canary-blinkered", "canary: asks each API server behind the Service `kubernetes`", "it asks the one that it talks to",
		[]change{{"controllers/canary/servers.go", "range hosts(known) {", "range hosts(known)[:0] {"}},
		[]string{"45: an API server that cannot be asked"}},
	{"canary-inhabited", "`interlock-canary`: no pod runs beside the canary", "any may",
		[]change{{"internal/admission/canary.go", `deny(fmt.Sprintf("request.userInfo`, `deny(fmt.Sprintf("true || request.userInfo`}},
		[]string{"45: nobody runs a pod beside"}},
}
