package bypass

const (
	shares   = "internal/tenancy/shares.go"
	cutting  = "internal/tenancy/cut.go"
	queueing = "controllers/fair/queue.go"
	judging  = "internal/safeguard/egress/egress.go"
)

// tenantMutants let one tenant take from all.
var tenantMutants = []mutant{
	{"pods-of-anybody-are-held", "of pods in namespaces that are not enrolled only a stub is held (`internal/tenancy`)", "they are held whole",
		[]change{{shares, `	return s.account(namespace) != unenrolled`, `	return true`},
			{shares, `	case !s.fits(h):`, `	case false:`}},
		[]string{"50: pods of 1.3 MB"}},
	{"stubs-are-not-read-anew", "the stubs of a namespace that is enrolled are read anew (`controllers/tenants`)", "they stay stubs",
		[]change{{"controllers/tenants/keeper.go", `	if _, declared := stub.(*v1alpha1.Attestation); !declared && !k.Shares.Enrolled(stub.GetNamespace()) {`,
			`	if _, declared := stub.(*v1alpha1.Attestation); !declared {`}},
		[]string{"50: pods of 1.3 MB"}},
	{"unread-policies-allow-nothing", "a NetworkPolicy for which there was no room counts as one that allows everything (`internal/safeguard/egress`)",
		"it counts as none",
		[]change{{judging, `			violations = append(violations, fmt.Sprintf("%s was not looked at, so it may allow everything: %s", nameOf(policy), plain(why, maxReason)))
			continue`, `			_ = why
			continue`}},
		[]string{"50: of what a namespace writes"}},
	{"one-line-for-all", "namespaces take turns in the queues (`controllers/fair`)", "what all namespaces wait for is in one line",
		[]change{{queueing, `	urgent := q.urgent != nil && q.urgent(req)
	q.mu.Lock()
	defer q.mu.Unlock()
	if q.closed`, `	urgent := false
	q.mu.Lock()
	defer q.mu.Unlock()
	if q.closed`},
			{queueing, `	l.requests[req.Namespace] = append(l.requests[req.Namespace], req)`, `	l.requests[""] = append(l.requests[""], req)`},
			{queueing, `	if len(l.requests[req.Namespace]) == 0 {
		l.turns = append(l.turns, req.Namespace)
	}`, `	if len(l.requests[""]) == 0 {
		l.turns = append(l.turns, "")
	}`}},
		[]string{"51: a revocation in one namespace"}},
}
