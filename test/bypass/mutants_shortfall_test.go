package bypass

const (
	remembering = "internal/decision/remember.go"
	stepping    = "controllers/modeldeployment/steps.go"
	evicting    = "internal/workload/evict.go"
)

// shortfallMutants break what keeps a shortfall from being undone just before each step.
var shortfallMutants = []mutant{
	{"shortfall-forgotten", "`Quiet`: a shortfall ends after a time without one", "it ends at once",
		[]change{{remembering, `if s.Wait <= 0 || !now.Before(s.Ends()) {`, `if true || s.Wait <= 0 || !now.Before(s.Ends()) {`}},
		[]string{"46: what is lost", "46: it flaps", "46: neither a restart", "46: what is isolated", "46: a declaration that comes"}},
	{"shortfall-unwritten", "ledger controller: writes what is remembered of shortfalls", "it does not",
		[]change{{ledgers, `Shortfalls: r.Board.Shortfalls(ns.Name, o.Annotations, r.Clock.Now())}`, `Shortfalls: nil}`}},
		[]string{"46: neither a restart", "46: a declaration that comes"}},
	{"steps-undone", "model controller: takes back what was done once the shortfall is over", "it does so once no pod runs without clearance",
		[]change{{stepping, `	if known.IsZero() {`, `	if !known.Short() {`}},
		[]string{"46: what is isolated"}},
	{"strays-forgotten", "stray controller: remembers since when there were strays", "it does so only while there are some",
		[]change{{strays, `s := known.Quiet(now)`, `s := known.Quiet(now.AddDate(1, 0, 0)).Quiet(now.AddDate(2, 0, 0))`}},
		[]string{"46: a declaration that comes"}},
	{"terminating-spared", "stray controller: a namespace that terminates is dealt with as any other", "it is left alone",
		[]change{{strays, `	if !enforced {`, `	if !enforced || ns.DeletionTimestamp != nil {`}},
		[]string{"53: a namespace that terminates"}},
	{"grace-of-years", "`Evict`: a pod that takes too long to end is hurried", "one that is on its way out is left alone",
		[]change{{evicting, `case pod.DeletionTimestamp != nil && now.Before(end) && !pod.DeletionTimestamp.After(end):`, `case pod.DeletionTimestamp != nil:`}},
		[]string{"53: a namespace that terminates", "53: a pod's own grace"}},
	{"grace-unbounded", "`graceUntil`: a pod gets no more time than the policy allows", "it gets what it asks for",
		[]change{{evicting, `return max(min(own, int64(end.Sub(told(pod, now))/time.Second)), 1)`, `return max(own, 1)`}},
		[]string{"53: a namespace that terminates", "53: a pod's own grace"}},
}
