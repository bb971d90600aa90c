package decision

import (
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/interlock-dev/interlock/api/v1alpha1"
)

// waiver is one of the model that has not been withdrawn.
type waiver struct {
	*v1alpha1.Waiver
	// begins and ends to the second, as the API keeps them.
	begins, ends time.Time
	approved     bool
	state        v1alpha1.WaiverState
	message      string
}

// maxWaivers is the most that the API takes.
const maxWaivers = 64

// waivers judges the waivers of the model, by name, and gives the sign-offs that they ask for.
func (in Input) waivers(req requirement) (all []waiver, signOffs []v1alpha1.SignOffResult) {
	for i := range in.Waivers {
		w := &in.Waivers[i]
		if w.Namespace == in.Model.Namespace && w.Spec.Model == in.Model.Name && w.DeletionTimestamp == nil {
			all = append(all, waiver{Waiver: w, begins: w.CreationTimestamp.UTC().Truncate(time.Second), ends: w.Spec.NotAfter.UTC().Truncate(time.Second)})
		}
	}
	if len(all) == 0 {
		return nil, nil
	}
	slices.SortFunc(all, func(a, b waiver) int { return strings.Compare(a.Name, b.Name) })
	asked := askedSignOffs(in.Policy, v1alpha1.SubjectWaiver, req.top)
	longest := longestWaiver(in.Policy, req.top)
	for i := range all {
		w := &all[i]
		if w.message = w.refusal(in, req, longest, asked); w.message != "" {
			w.state = v1alpha1.WaiverRefused
			continue
		}
		off := in.signedOff(subjectOfWaiver(w.Waiver), asked)
		w.approved = off.complete
		w.stand(in.Now, off.results)
		if w.state != v1alpha1.WaiverExpired {
			signOffs = append(signOffs, off.results...)
		}
	}
	for i := range all {
		w := &all[i]
		if w.state == v1alpha1.WaiverInForce && !w.excusesAnything(all) {
			w.message = "waives nothing more: another one of the same safeguards, with which it overlaps, has ended; withdraw that one before it ends to let this one count, or request anew"
		}
	}
	return all, signOffs
}

// refusal says why the policy does not allow a waiver; empty, it does.
func (w *waiver) refusal(in Input, req requirement, longest time.Duration, asked []askedSignOff) string {
	if longest <= 0 || len(asked) == 0 {
		return fmt.Sprintf("policy %s allows no waiver at level %s", in.PolicyName, in.Policy.Spec.Levels[req.top].Name)
	}
	if objection := w.requesterObjection(asked); objection != "" {
		return objection
	}
	if len(w.OwnerReferences) > 0 {
		return "it bears an owner reference, with whose owner it would vanish; request one without"
	}
	if d := w.ends.Sub(w.begins); d > longest {
		return fmt.Sprintf("it lasts %s, and policy %s allows %s at level %s; request a shorter one", d, in.PolicyName, longest, in.Policy.Spec.Levels[req.top].Name)
	}
	for i := range req.obligations {
		if o := &req.obligations[i]; o.unwaivable && slices.Contains(w.Spec.Safeguards, o.safeguard) {
			return fmt.Sprintf("policy %s lets no one be excused from safeguard %s; request one without it", in.PolicyName, o.safeguard)
		}
	}
	for _, s := range w.Spec.Safeguards {
		if len(w.Spec.Pods) > 0 && !in.PodRules[s] {
			return fmt.Sprintf("safeguard %s is no pod rule, so no single pod can be exempted from it; request one for the whole model, without pods", s)
		}
	}
	return ""
}

// requesterObjection says why nobody may have asked for a waiver in this way; empty, somebody may.
func (w *waiver) requesterObjection(asked []askedSignOff) string {
	by := RequesterOf(w.Waiver)[0]
	switch {
	case by == "":
		return "it does not say who asked for it"
	case isPartOfCluster(by):
		return OneLine(by, maxRemedy) + " is a part of the cluster and no person; have a person request it"
	case isServiceAccount(by) && slices.ContainsFunc(asked, func(a askedSignOff) bool { return !lets(a.rule, v1alpha1.ServiceAccountsRequest) }):
		return OneLine(by, maxRemedy) + " is a ServiceAccount, and the policy lets only people request waivers; have a person request it"
	}
	return ""
}

func (w *waiver) stand(now time.Time, results []v1alpha1.SignOffResult) {
	switch {
	case !now.Before(w.ends):
		w.state, w.message = v1alpha1.WaiverExpired, "ended at "+w.ends.Format(time.RFC3339)
	case !w.approved:
		var lacks []string
		for _, r := range results {
			if !given(&r) {
				lacks = append(lacks, approvers(&r))
			}
		}
		w.state, w.message = v1alpha1.WaiverPending, "approved by "+strings.Join(lacks, ", ")
	case now.Before(w.begins):
		w.state, w.message = v1alpha1.WaiverPending, "begins at "+w.begins.Format(time.RFC3339)
	default:
		w.state = v1alpha1.WaiverInForce
		w.message = fmt.Sprintf("until %s: %s", w.ends.Format(time.RFC3339), strings.Join(w.Spec.Safeguards, ", "))
		if len(w.Spec.Pods) > 0 {
			w.message += " for pods " + strings.Join(w.Spec.Pods, ", ") + " alone"
		}
	}
}

// longestWaiver is the shortest time of all levels up to one; zero, if any of them allows none.
func longestWaiver(policy *v1alpha1.ScalingPolicy, top int) time.Duration {
	var longest time.Duration
	for i := range policy.Spec.Levels[:top+1] {
		l := policy.Spec.Levels[i].LongestWaiver
		if l == nil {
			return 0
		}
		if longest == 0 || l.Duration < longest {
			longest = l.Duration
		}
	}
	return longest
}

// wholeModel stands for all pods of a model, where one could be named.
const wholeModel = ""

// excuse gives the waiver that excuses the whole model or one pod from a safeguard now, nil when none does: of all that do
// the one that ends the soonest, and no longer than any other lasts that is in force together with it.
func excuse(all []waiver, safeguard, pod string) *waiver {
	var strictest *waiver
	for i := range all {
		w := &all[i]
		if w.state == v1alpha1.WaiverInForce && w.excuses(safeguard, pod, all) && (strictest == nil || w.ends.Before(strictest.ends)) {
			strictest = w
		}
	}
	if strictest == nil {
		return nil
	}
	excused := *strictest
	for i := range all {
		if w := &all[i]; w.state == v1alpha1.WaiverInForce && w.covers(safeguard, pod) && w.ends.Before(excused.ends) {
			excused.ends = w.ends
		}
	}
	return &excused
}

// covers says whether a waiver is about a safeguard of the whole model or of one pod. One for the model covers its pods.
func (w *waiver) covers(safeguard, pod string) bool {
	return slices.Contains(w.Spec.Safeguards, safeguard) && (len(w.Spec.Pods) == 0 || pod != wholeModel && slices.Contains(w.Spec.Pods, pod))
}

// excusesAnything says whether a waiver excuses the model, or a pod that it names, from any safeguard that it names.
func (w *waiver) excusesAnything(all []waiver) bool {
	pods := w.Spec.Pods
	if len(pods) == 0 {
		pods = []string{wholeModel}
	}
	return slices.ContainsFunc(w.Spec.Safeguards, func(s string) bool {
		return slices.ContainsFunc(pods, func(pod string) bool { return w.excuses(s, pod, all) })
	})
}

// excuses says whether a waiver that has not ended covers a safeguard, and does not outlast another one of the same
// safeguard that was in force together with it and has ended: waivers never add up.
func (w *waiver) excuses(safeguard, pod string, all []waiver) bool {
	return w.covers(safeguard, pod) && !slices.ContainsFunc(all, func(other waiver) bool {
		return other.state == v1alpha1.WaiverExpired && other.approved && w.begins.Before(other.ends) && other.covers(safeguard, pod)
	})
}
