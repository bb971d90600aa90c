package decision_test

import (
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/interlock-dev/interlock/api/v1alpha1"
	"github.com/interlock-dev/interlock/internal/decision"
)

// exempting is a waiver of the pod rule b for pods, or for the whole model if none is named.
func exempting(name string, age, left time.Duration, pods ...string) *v1alpha1.Waiver {
	w := waiverOf(name, age, left, "b")
	w.Spec.Pods = pods
	return w
}

// complete is a model that meets all that is asked, of which a and b are pod rules.
func complete() decision.Input {
	in := lacking()
	in.Findings["b"] = inPlace()
	in.PodRules = map[string]bool{"a": true, "b": true}
	return in
}

func TestExemptions(t *testing.T) {
	const hour = time.Hour
	edited := func(w *v1alpha1.Waiver, f func(*v1alpha1.Waiver)) *v1alpha1.Waiver {
		f(w)
		return w
	}
	for name, tc := range map[string]struct {
		waivers []*v1alpha1.Waiver
		then    func(*decision.Input)
		want    string // pod, safeguard, minutes left and waiver
		state   v1alpha1.WaiverState
		says    string
		waived  int
	}{
		"the pods that it names": {waivers: []*v1alpha1.Waiver{exempting("w", hour, hour, "x", "canary")}, want: "canary b 60 w, x b 60 w",
			state: v1alpha1.WaiverInForce, says: "for pods x, canary alone"},
		"not approved": {waivers: []*v1alpha1.Waiver{exempting("w", hour, hour, "canary")}, state: v1alpha1.WaiverPending,
			then: func(in *decision.Input) { in.Approvals = nil }},
		"approved for another pod": {waivers: []*v1alpha1.Waiver{exempting("w", hour, hour, "canary")}, state: v1alpha1.WaiverPending,
			then: func(in *decision.Input) { in.Waivers[0].Spec.Pods = []string{"other"} }},
		"over": {waivers: []*v1alpha1.Waiver{exempting("w", hour, hour, "canary")}, state: v1alpha1.WaiverExpired,
			then: func(in *decision.Input) { in.Now = in.Now.Add(hour) }},
		"of what is no pod rule": {waivers: []*v1alpha1.Waiver{exempting("w", hour, hour, "canary")}, state: v1alpha1.WaiverRefused, says: "no pod rule",
			then: func(in *decision.Input) { in.PodRules["b"] = false }},
		"of what cannot be waived": {waivers: []*v1alpha1.Waiver{exempting("w", hour, hour, "canary")}, state: v1alpha1.WaiverRefused, says: "excused from safeguard b",
			then: func(in *decision.Input) {
				in.Policy.Spec.Levels[1].Security.Safeguards[0].Unwaivable = new(true)
			}},
		"of a safeguard that is not asked for": {waivers: []*v1alpha1.Waiver{edited(exempting("w", hour, hour, "canary"), func(w *v1alpha1.Waiver) { w.Spec.Safeguards = []string{"z"} })},
			then: func(in *decision.Input) { in.PodRules["z"] = true }, state: v1alpha1.WaiverInForce},
		"of another model": {waivers: []*v1alpha1.Waiver{edited(exempting("w", hour, hour, "canary"), func(w *v1alpha1.Waiver) { w.Spec.Model = "haiku" })}},
		"of what is only recommended": {waivers: []*v1alpha1.Waiver{exempting("w", hour, hour, "canary")}, state: v1alpha1.WaiverInForce,
			then: func(in *decision.Input) {
				in.Policy.Spec.Levels[1].Security.Safeguards[0].Force = v1alpha1.ForceRecommendation
			}},
		"two for one pod: the strictest": {waivers: []*v1alpha1.Waiver{exempting("w", hour, hour, "canary"), exempting("v", hour, 10*time.Minute, "canary")}, want: "canary b 10 v", state: v1alpha1.WaiverInForce},
		"two for two pods":               {waivers: []*v1alpha1.Waiver{exempting("w", hour, hour, "canary"), exempting("v", hour, 10*time.Minute, "x")}, want: "canary b 60 w, x b 10 v", state: v1alpha1.WaiverInForce},
		"one outlasts another of the pod": {waivers: []*v1alpha1.Waiver{exempting("w", hour, hour, "canary", "x"), exempting("v", hour, 10*time.Minute, "canary")},
			then: func(in *decision.Input) { in.Now = in.Now.Add(20 * time.Minute) }, want: "x b 40 w", state: v1alpha1.WaiverInForce},
		"one outlasts another of the model": {waivers: []*v1alpha1.Waiver{exempting("w", hour, hour, "canary"), exempting("v", hour, 10*time.Minute)},
			then: func(in *decision.Input) { in.Now = in.Now.Add(20 * time.Minute) }, state: v1alpha1.WaiverInForce, says: "waives nothing more"},
		"beside one of the model": {waivers: []*v1alpha1.Waiver{exempting("w", hour, hour, "canary"), exempting("v", hour, 10*time.Minute)}, waived: 1, state: v1alpha1.WaiverInForce},
	} {
		t.Run(name, func(t *testing.T) {
			in := with(complete(), tc.waivers...)
			if tc.then != nil {
				tc.then(&in)
			}
			v := decision.Decide(in)
			var got []string
			exempt := map[string][]string{}
			for _, e := range v.Exemptions {
				got = append(got, fmt.Sprintf("%s %s %.0f %s", e.Pod, e.Safeguard, e.Until.Sub(in.Now).Minutes(), e.Waiver))
				exempt[e.Pod] = append(exempt[e.Pod], e.Safeguard)
			}
			if diff := cmp.Diff(tc.want, strings.Join(got, ", ")); diff != "" {
				t.Errorf("-want +got:\n%s", diff)
			}
			if asked := decision.AskedOf(in).Exempt; len(asked)+len(exempt) > 0 && !cmp.Equal(asked, exempt) {
				t.Errorf("asked otherwise: %v, not %v", asked, exempt)
			}
			state, says := v1alpha1.WaiverState(""), ""
			if i := slices.IndexFunc(v.Waivers, func(r v1alpha1.WaiverResult) bool { return r.Name == "w" }); i >= 0 {
				state, says = v.Waivers[i].State, v.Waivers[i].Message
			}
			if state != tc.state || !strings.Contains(says, tc.says) {
				t.Errorf("%s: %s; want %s: %s", state, says, tc.state, tc.says)
			}
			if v.Waived != tc.waived || !v.Cleared() {
				t.Errorf("%d waived, want %d: %s", v.Waived, tc.waived, text(v))
			}
			if e := v.Exemptions; len(e) > 0 && (!strings.Contains(v.WaivedText(), "b for pod "+e[0].Pod+" until") || v.SafeguardsMet() != "2/2, pods exempted" || !strings.Contains(v.Message, e[0].Pod)) {
				t.Errorf("not shown: %q, %q, %q", v.WaivedText(), v.SafeguardsMet(), v.Message)
			}
		})
	}
}

// TestAnExemptionNeverClears is about a model that lacks what single pods are exempted from.
func TestAnExemptionNeverClears(t *testing.T) {
	in := with(lacking(), exempting("w", time.Hour, time.Hour, "canary"))
	in.PodRules = map[string]bool{"b": true}
	if v := decision.Decide(in); v.Cleared() || v.Waived > 0 || v.Met != 1 {
		t.Error(text(v))
	}
	in.Findings["b"] = inPlace()
	names := basisOf(in)
	if want := []string{"Approval serving/w-by-rhea", "Waiver serving/w"}; !slices.Equal(names, want) {
		t.Errorf("rests on %v, want %v", names, want)
	}
}
