package verdict

import (
	"time"

	corev1 "k8s.io/api/core/v1"

	"github.com/interlock-dev/interlock/api/v1alpha1"
	"github.com/interlock-dev/interlock/internal/admission"
	"github.com/interlock-dev/interlock/internal/decision"
	"github.com/interlock-dev/interlock/internal/safeguard"
)

// Judgement is a verdict under the policy that one label of the namespace names.
type Judgement struct {
	// Label of the namespace, such as interlock.dev/enforce.
	Label string
	// Policy that the label names.
	Policy string
	// PolicyDigest is the digest of what the verdict used of the policy and its Safeguards; empty when there is no such
	// policy.
	PolicyDigest string
	Verdict      decision.Verdict
	// Advice words what is missing besides pod rules, for whoever applies a workload; empty when nothing is.
	Advice string
	// Adjustments are the Safeguards that give new pods of the model something, in order.
	Adjustments []string
	// Connect are the Safeguards by which requests into running pods of the model's namespace are refused, in order.
	Connect []string
	// Weights are the sources that the model declares of its weights, in order, if a pod rule of it looks at them.
	Weights []string
	// Openings are the labels that would undo a safeguard of the model, as admission.Openings writes them.
	Openings []string
}

// Standing gives what the API server is to enforce of the model.
func (j Judgement) Standing() admission.Standing {
	s := admission.Standing{Adjustments: j.Adjustments, Connect: j.Connect, Weights: j.Weights, Openings: j.Openings}
	if j.Verdict.Cleared() {
		s.ValidUntil, s.Rules, s.Exemptions = j.Verdict.ValidUntil, j.Verdict.Rules(), j.Verdict.Exemptions
	}
	return s
}

// Under gives the judgement that a label of the namespace asks for.
func Under(judgements []Judgement, label string) (Judgement, bool) {
	for _, j := range judgements {
		if j.Label == label {
			return j, true
		}
	}
	return Judgement{}, false
}

// Result is all that is judged of one model.
type Result struct {
	// Judgements are one under each policy that the namespace names.
	Judgements []Judgement
	// Enforced is that under the policy that the namespace enforces, and IsEnforced false when it enforces none.
	Enforced   Judgement
	IsEnforced bool
	// Basis is what the enforced verdict rests on, with its Safeguards.
	Basis []decision.Object
	// Given is what the adjustments of the enforced judgement give to pods, see admission.Adjusted, and Settles says that the
	// API server does not enforce one of them yet.
	Given   []string
	Settles bool
	// OnlyWaits says that the model meets all that is asked, and waits only until the API server enforces a rule.
	OnlyWaits bool
	// OnlyUnfetched says that the model is cleared by the clearances, and that it lacks nothing but evidence that has not
	// been fetched since this process began.
	OnlyUnfetched bool
	// Stands is what the API server enforces of the model, by the clearances of the snapshot.
	Stands admission.Standing
	// Shortfall is what is remembered of the model's shortfall from now on.
	Shortfall decision.Shortfall
	// Revisit is when the model is to be judged anew though nothing changes. Zero means never.
	Revisit time.Time

	// inspection is that of the pods by the Safeguards of the enforced policy.
	inspection safeguard.Inspection
}

// Fit are those of some pods that break nothing which holds them.
func (r *Result) Fit(pods []*corev1.Pod) []*corev1.Pod {
	var fit []*corev1.Pod
	for _, pod := range pods {
		if r.inspection.Fit(pod) {
			fit = append(fit, pod)
		}
	}
	return fit
}

// Broken says what is wrong with a pod, by the name of the Safeguard.
func (r *Result) Broken(pod *corev1.Pod) map[string]string { return r.inspection.Violations[pod.UID] }

// Withheld gives the judgements while the clearance among them is withheld, since it is not recorded.
func (r *Result) Withheld(why string) Result {
	withheld := *r
	withheld.Enforced.Verdict = r.Enforced.Verdict.Unrecorded(why)
	withheld.Judgements = make([]Judgement, len(r.Judgements))
	for i, j := range r.Judgements {
		if j.Label == v1alpha1.EnforceLabel {
			j = withheld.Enforced
		}
		withheld.Judgements[i] = j
	}
	return withheld
}
