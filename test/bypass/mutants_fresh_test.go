package bypass

const (
	proving = "controllers/fresh/prover.go"
)

// freshMutants believe what the operator holds in its caches.
var freshMutants = []mutant{
	{"caches-believed", "operator: what its caches hold is compared with the API server before anything is loosened", "every cache passes",
		[]change{{proving, `if live.lacking(known) {`, `if false && live.lacking(known) {`}},
		[]string{"37: while a watch stands still", "57: a manager that was paused"}},
	{"stalls-unnoticed", "operator: a watch that lacks something for long is begun again", "it is left alone",
		[]change{{proving, `		p.Watches.Cut(resource)
`, ``}},
		[]string{"37: a watch that stands still"}},
	{"own-clock-believed", "operator: it goes by the API server's clock", "it goes by that of its machine",
		[]change{{"controllers/fresh/clock.go", `	c.ahead = min(max(c.ahead, least), most)
`, `	_ = min(max(c.ahead, least), most)
`}},
		[]string{"38: a manager whose clock is an hour off"}},
	{"intruders-stay", "operator: a pod that came in after the revocation is taken out at once", "it is treated as one that ran",
		[]change{{"internal/workload/intruders.go", `err == nil && order > 0`, `err == nil && order > 0 && false`}},
		[]string{"58: a pod that came in"}},
}
