package decision

import (
	"cmp"
	"fmt"
	"slices"
	"time"

	"github.com/interlock-dev/interlock/api/v1alpha1"
)

// Exemption excuses one pod of a model from one pod rule.
type Exemption struct {
	Pod, Safeguard string
	// Waiver is the name of that which excuses it, and Until its end.
	Waiver string
	Until  time.Time
}

func (e Exemption) text() string {
	return fmt.Sprintf("for pod %s until %s by %s", e.Pod, e.Until.Format(time.RFC3339), e.Waiver)
}

// exemptions gives those from one Safeguard, by pod.
func exemptions(all []waiver, safeguard string) []Exemption {
	var pods []string
	for i := range all {
		if w := &all[i]; w.state == v1alpha1.WaiverInForce && slices.Contains(w.Spec.Safeguards, safeguard) {
			pods = append(pods, w.Spec.Pods...)
		}
	}
	slices.Sort(pods)
	var exempt []Exemption
	for _, pod := range slices.Compact(pods) {
		if w := excuse(all, safeguard, pod); w != nil {
			exempt = append(exempt, Exemption{Pod: pod, Safeguard: safeguard, Waiver: w.Name, Until: w.ends})
		}
	}
	return exempt
}

// exempt excuses single pods from what holds the model and is not waived altogether. Whoever reads what was found of it is
// told for which pods that says nothing.
func (v *Verdict) exempt(waivers []waiver) {
	for i := range v.Safeguards {
		r := &v.Safeguards[i]
		if !holds(r.Force) || r.State == v1alpha1.SafeguardWaived {
			continue
		}
		for _, e := range exemptions(waivers, r.Name) {
			v.Exemptions = append(v.Exemptions, e)
			r.Message = OneLine(fmt.Sprintf("waived %s; %s", e.text(), r.Message), maxMessage)
		}
	}
	slices.SortFunc(v.Exemptions, func(a, b Exemption) int {
		return cmp.Or(cmp.Compare(a.Pod, b.Pod), cmp.Compare(a.Safeguard, b.Safeguard))
	})
}
