package verdict

import (
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	corev1 "k8s.io/api/core/v1"
	networkingv1 "k8s.io/api/networking/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"

	"github.com/interlock-dev/interlock/api/v1alpha1"
	"github.com/interlock-dev/interlock/internal/decision"
	"github.com/interlock-dev/interlock/internal/evidence"
	"github.com/interlock-dev/interlock/internal/safeguard"
	"github.com/interlock-dev/interlock/internal/testing/builder"
	"github.com/interlock-dev/interlock/internal/testing/signing"
)

var noon = time.Date(2026, 6, 1, 12, 0, 0, 0, time.UTC)

// snapshot is one of a model whose policy asks for limited egress and for images by digest, and which has both; changed then.
func snapshot(changes ...func(*Snapshot)) *Snapshot {
	s := &Snapshot{
		Now: noon, Model: builder.ModelDeployment("serving", "llm").Build(), SharedNamespace: "interlock-system",
		Namespace: &metav1.PartialObjectMetadata{ObjectMeta: builder.Namespace("serving").Enforce("rsp").Build().ObjectMeta},
		Enrolments: []Enrolment{{Label: v1alpha1.EnforceLabel, PolicyName: "rsp",
			Policy: builder.ScalingPolicy("rsp").Level(builder.Level(builder.ASL2).Deployment("pinned").Security("closed")).Build()}},
		Safeguards:      []v1alpha1.Safeguard{*builder.Safeguard("closed").Egress().Build(), *pinned()},
		NetworkPolicies: []networkingv1.NetworkPolicy{*builder.NetworkPolicy("serving", "closed").Build()},
	}
	for _, change := range changes {
		change(s)
	}
	return s
}

func pinned() *v1alpha1.Safeguard {
	return builder.Safeguard("pinned").PodRule("object.spec.containers.all(c, c.image.contains('@'))", "names an image by tag").Build()
}

func pod(name string, change func(*builder.PodBuilder) *builder.PodBuilder) *corev1.Pod {
	p := change(builder.Pod("serving", name).Model("llm").Image(builder.PinnedImage)).Build()
	p.UID = types.UID(name)
	return p
}

func running(b *builder.PodBuilder) *builder.PodBuilder { return b }
func gated(b *builder.PodBuilder) *builder.PodBuilder   { return b.Gate(v1alpha1.ClearanceGate) }
func tagged(b *builder.PodBuilder) *builder.PodBuilder  { return gated(b).Image(builder.TaggedImage) }

// isolation cuts the model off.
func isolation() *networkingv1.NetworkPolicy {
	p := builder.NetworkPolicy("serving", "interlock-isolate-llm").Model("llm").Build()
	p.Spec.PolicyTypes = []networkingv1.PolicyType{networkingv1.PolicyTypeIngress, networkingv1.PolicyTypeEgress}
	return p
}

func pods(pods ...*corev1.Pod) func(*Snapshot) { return func(s *Snapshot) { s.Pods = pods } }

func open(s *Snapshot) { s.NetworkPolicies = nil }

func cleared(s *Snapshot) {
	s.Clearances = builder.Clearances("serving", "rsp").Clear("llm", noon.Add(time.Hour), "closed", "pinned").Build().Annotations
}

func pending(s *Snapshot) { s.Enforcement = map[string]Enforcement{"pinned": {Wait: 2 * time.Second}} }

func adjusting(name, class string) v1alpha1.Safeguard {
	sg := builder.Safeguard(name).PodRule("true", "").AdjustPod(v1alpha1.PodAdjustment{RuntimeClassName: class}).Build()
	return *sg
}

// reviewed asks for a review as well, of which this is known.
func reviewed(found ...safeguard.Attested) func(*Snapshot) {
	return func(s *Snapshot) {
		s.Safeguards = append(s.Safeguards, *builder.Safeguard("reviewed").Evidence("urn:review", "red-team").Build())
		e := &s.Enrolments[0]
		e.Policy = builder.ScalingPolicy("rsp").Level(builder.Level(builder.ASL2).Deployment("pinned", "reviewed").Security("closed")).
			Trust("red-team", signing.Fixed(1).PEM).Build()
		e.Trust, _ = evidence.ParseTrust(e.Policy.Spec.Trust)
		e.Attested = found
	}
}

func asks(safeguards ...v1alpha1.Safeguard) func(*Snapshot) {
	return func(s *Snapshot) {
		s.Safeguards = safeguards
		var names []string
		for i := range safeguards {
			names = append(names, safeguards[i].Name)
		}
		s.Enrolments[0].Policy = builder.ScalingPolicy("rsp").Level(builder.Level(builder.ASL2).Deployment(names...)).Build()
	}
}

// seen is what the tests look at of a result.
type seen struct {
	// Judgements by label and policy, with all that is not in place.
	Judgements []string
	Fit        []string
	Given      int
	Settles, OnlyWaits, OnlyUnfetched, Short,
	// Stands says that the clearances clear the model.
	Stands bool
	Again time.Duration
}

func see(s *Snapshot, r Result) seen {
	var got seen
	for _, j := range r.Judgements {
		text := fmt.Sprintf("%s %s: %s", strings.TrimPrefix(j.Label, "interlock.dev/"), j.Policy, j.Verdict.Outcome)
		for _, sg := range j.Verdict.Safeguards {
			if sg.State != v1alpha1.SafeguardSatisfied {
				text += fmt.Sprintf("; %s %s: %s", sg.Name, sg.State, sg.Message)
			}
		}
		got.Judgements = append(got.Judgements, text)
	}
	for _, pod := range r.Fit(s.Held()) {
		got.Fit = append(got.Fit, pod.Name)
	}
	got.Given, got.Settles, got.OnlyWaits, got.OnlyUnfetched = len(r.Given), r.Settles, r.OnlyWaits, r.OnlyUnfetched
	got.Short, got.Stands = r.Shortfall.Short(), r.Stands.Cleared()
	if !r.Revisit.IsZero() {
		got.Again = r.Revisit.Sub(s.Now)
	}
	return got
}

func TestJudge(t *testing.T) {
	const limit = 30 * time.Minute // half of the lease
	for name, tc := range map[string]struct {
		changes []func(*Snapshot)
		want    seen
	}{
		"all is in place":               {nil, seen{Judgements: []string{"enforce rsp: Cleared"}, Again: limit}},
		"the namespace names no policy": {[]func(*Snapshot){func(s *Snapshot) { s.Enrolments = nil }}, seen{}},
		"the policy does not exist": {[]func(*Snapshot){func(s *Snapshot) { s.Enrolments[0].Policy = nil }},
			seen{Judgements: []string{"enforce rsp: Held"}}},
		"something is missing and no pod runs": {[]func(*Snapshot){open}, seen{Judgements: []string{
			"enforce rsp: Held; closed Missing: no NetworkPolicy with policyType Egress selects the pod"}}},
		"something is missing and a pod runs": {[]func(*Snapshot){open, pods(pod("a", running))}, seen{Short: true, Judgements: []string{
			"enforce rsp: Revoked; closed Missing: 1 of 1 pods, such as a: no NetworkPolicy with policyType Egress selects the pod"}}},
		"what isolates a model is no evidence": {[]func(*Snapshot){open, func(s *Snapshot) {
			s.NetworkPolicies = append(s.NetworkPolicies, *isolation())
		}}, seen{Judgements: []string{"enforce rsp: Held; closed Missing: no NetworkPolicy with policyType Egress selects the pod"}}},
		"only the pods that break nothing are fit": {[]func(*Snapshot){pods(pod("a", tagged), pod("b", gated))},
			seen{Judgements: []string{"enforce rsp: Cleared"}, Fit: []string{"b"}, Again: limit}},
		"another policy warns": {[]func(*Snapshot){open, func(s *Snapshot) {
			next := builder.ScalingPolicy("next").Level(builder.Level(builder.ASL2).Deployment("pinned")).Build()
			s.Enrolments = append(s.Enrolments, Enrolment{Label: v1alpha1.WarnLabel, PolicyName: "next", Policy: next})
		}}, seen{Again: limit, Judgements: []string{
			"enforce rsp: Held; closed Missing: no NetworkPolicy with policyType Egress selects the pod", "warn next: Cleared"}}},
		"a Safeguard cannot be used": {[]func(*Snapshot){func(s *Snapshot) { s.Safeguards[1].Spec.PodRule.Validations[0].Expression = "1 +" }},
			seen{Judgements: []string{"enforce rsp: Held; pinned Unknown: the Safeguard cannot be used: ~"}}},
		"the API server refuses a rule": {[]func(*Snapshot){func(s *Snapshot) {
			s.Enforcement = map[string]Enforcement{"pinned": {Refused: errors.New("too costly")}}
		}}, seen{Judgements: []string{"enforce rsp: Held; pinned Unknown: the Safeguard cannot be used: too costly"}}},
		"the API server does not enforce a rule yet": {[]func(*Snapshot){pending}, seen{OnlyWaits: true, Again: 2 * time.Second,
			Judgements: []string{"enforce rsp: Held; pinned Unknown: the rule is new, and the API server does not enforce it yet"}}},
		"nor does it, and the model is cleared": {[]func(*Snapshot){pending, cleared},
			seen{Judgements: []string{"enforce rsp: Cleared"}, Stands: true, Again: limit}},
		"nor does it, and something else is missing": {[]func(*Snapshot){pending, open}, seen{Again: 2 * time.Second, Judgements: []string{
			"enforce rsp: Held; closed Missing: no NetworkPolicy with policyType Egress selects the pod; " +
				"pinned Unknown: the rule is new, and the API server does not enforce it yet"}}},
		"nor does it, and pods run on": {[]func(*Snapshot){pending, pods(pod("a", running))}, seen{OnlyWaits: true, Again: 2 * time.Second,
			Judgements: []string{"enforce rsp: Revoked; pinned Unknown: the rule is new, and the API server does not enforce it yet"}}},
		"adjustments give something": {[]func(*Snapshot){asks(adjusting("a", "gvisor"))},
			seen{Judgements: []string{"enforce rsp: Cleared"}, Given: 1, Again: limit}},
		"adjustments give nothing yet": {[]func(*Snapshot){asks(adjusting("a", "gvisor")), cleared, func(s *Snapshot) {
			s.Enforcement = map[string]Enforcement{"a": {Wait: time.Second}}
		}}, seen{Judgements: []string{"enforce rsp: Cleared"}, Given: 1, Settles: true, Stands: true, Again: limit}},
		"adjustments contradict each other": {[]func(*Snapshot){asks(adjusting("a", "gvisor"), adjusting("b", "kata"))}, seen{Given: 2,
			Judgements: []string{"enforce rsp: Held; a Unknown: ~; b Unknown: ~"}}},
		"evidence is missing": {[]func(*Snapshot){reviewed(), cleared}, seen{Stands: true, Judgements: []string{
			"enforce rsp: Held; reviewed Missing: ~"}}},
		"evidence was not fetched": {[]func(*Snapshot){reviewed(unfetched)}, seen{Judgements: []string{
			"enforce rsp: Held; reviewed Unknown: ~"}}},
		"nor was it, and the model is cleared": {[]func(*Snapshot){reviewed(unfetched), cleared}, seen{Stands: true, OnlyUnfetched: true, Judgements: []string{
			"enforce rsp: Held; reviewed Unknown: ~"}}},
		"nor was it, and something else is lost": {[]func(*Snapshot){reviewed(unfetched), cleared, open}, seen{Stands: true, Judgements: []string{
			"enforce rsp: Held; closed Missing: no NetworkPolicy with policyType Egress selects the pod; reviewed Unknown: ~"}}},
	} {
		t.Run(name, func(t *testing.T) {
			s := snapshot(tc.changes...)
			before := asText(t, s)
			got := see(s, judge(t, s))
			if diff := cmp.Diff(tc.want, got, cmp.FilterValues(elided, cmp.Comparer(matches))); diff != "" {
				t.Errorf("-want +got:\n%s", diff)
			}
			if diff := cmp.Diff(got, see(s, judge(t, s))); diff != "" {
				t.Errorf("judged again (-first +second):\n%s", diff)
			}
			if diff := cmp.Diff(before, asText(t, s)); diff != "" {
				t.Errorf("judging wrote into the snapshot (-before +after):\n%s", diff)
			}
		})
	}
}

var unfetched = safeguard.Attested{Name: "serving/review", Err: errors.New("no route"), Unfetched: true}

// elided says that one text leaves something out for which it has a tilde, and matches that the other is like the rest of it.
func elided(a, b string) bool { return strings.Contains(a, "~") != strings.Contains(b, "~") }

func matches(a, b string) bool {
	if !strings.Contains(a, "~") {
		a, b = b, a
	}
	for _, part := range strings.Split(a, "~") {
		_, rest, found := strings.Cut(b, part)
		if !found {
			return false
		}
		b = rest
	}
	return true
}

func judge(t *testing.T, s *Snapshot) Result {
	t.Helper()
	compiler, err := safeguard.NewCompiler()
	if err != nil {
		t.Fatal(err)
	}
	return Judge(compiler, s)
}

func asText(t *testing.T, s *Snapshot) string {
	t.Helper()
	text, err := json.Marshal([]any{
		s.Model, s.Namespace, len(s.Enrolments), s.Safeguards, s.Pods, s.NetworkPolicies, s.Clearances, s.Enforcement})
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}

func TestAdvice(t *testing.T) {
	for name, tc := range map[string]struct {
		changes []func(*Snapshot)
		want    string
	}{
		"nothing is missing": {nil, ""},
		"only a pod rule is": {[]func(*Snapshot){pods(pod("a", tagged))}, ""},
		"something else is": {[]func(*Snapshot){open},
			`model "llm" is not cleared under rsp: closed: no NetworkPolicy with policyType Egress selects the pod. `},
		"the policy is": {[]func(*Snapshot){func(s *Snapshot) { s.Enrolments[0].Policy = nil }}, `model "llm" is not cleared under rsp: `},
	} {
		t.Run(name, func(t *testing.T) {
			if got := judge(t, snapshot(tc.changes...)).Enforced.Advice; !strings.HasPrefix(got, tc.want) || (got == "") != (tc.want == "") {
				t.Errorf("advice %q, want %q", got, tc.want)
			}
		})
	}
}

func TestTheBasisNamesWhatTheVerdictRestsOn(t *testing.T) {
	s := snapshot(func(s *Snapshot) {
		s.Safeguards = append(s.Safeguards, *builder.Safeguard("not-asked-for").Egress().Build())
	})
	var got []string
	for _, o := range judge(t, s).Basis {
		if !strings.HasPrefix(o.Digest, "sha256:") {
			t.Errorf("%s %s has no digest", o.Kind, o.Name)
		}
		got = append(got, o.Kind+" "+o.Name)
	}
	if diff := cmp.Diff([]string{"Safeguard closed", "Safeguard pinned"}, got); diff != "" {
		t.Errorf("-want +got:\n%s", diff)
	}
}

func TestBrokenSaysAllThatIsWrongWithAPod(t *testing.T) {
	s := snapshot(open, pods(pod("a", tagged)))
	r := judge(t, s)
	want := map[string]string{"pinned": "names an image by tag", "closed": "no NetworkPolicy with policyType Egress selects the pod"}
	if diff := cmp.Diff(want, r.Broken(s.Pods[0])); diff != "" {
		t.Errorf("-want +got:\n%s", diff)
	}
}

func TestWithheld(t *testing.T) {
	r := judge(t, snapshot())
	w := r.Withheld("the disk is full")
	if w.Enforced.Verdict.Cleared() || w.Judgements[0].Verdict.Cleared() {
		t.Errorf("withheld, it is %s", w.Enforced.Verdict.Outcome)
	}
	if !r.Enforced.Verdict.Cleared() || !r.Judgements[0].Verdict.Cleared() {
		t.Errorf("what was withheld has changed to %s", r.Enforced.Verdict.Outcome)
	}
}

func TestShortfall(t *testing.T) {
	began := noon.Add(-time.Minute)
	known := decision.Shortfall{Since: began, Wait: time.Hour}
	policy := func(steps ...v1alpha1.ShortfallAction) func(*Snapshot) {
		return func(s *Snapshot) {
			for _, action := range steps {
				level := &s.Enrolments[0].Policy.Spec.Levels[0]
				level.OnShortfall = append(level.OnShortfall, v1alpha1.ShortfallStep{Action: action, After: &metav1.Duration{Duration: time.Hour}})
			}
		}
	}
	remembered := func(s *Snapshot) { s.Shortfall = known }
	quiet := known
	quiet.QuietSince = noon
	for name, tc := range map[string]struct {
		changes []func(*Snapshot)
		want    decision.Shortfall
	}{
		"there was none": {nil, decision.Shortfall{}},
		"it begins": {[]func(*Snapshot){policy("Evict"), open, pods(pod("a", running))},
			decision.Shortfall{Since: noon, Wait: time.Hour}},
		"it goes on":                      {[]func(*Snapshot){policy("Evict"), remembered, open, pods(pod("a", running))}, known},
		"no pod runs any more":            {[]func(*Snapshot){policy("Evict"), remembered, open}, quiet},
		"nor does one, but it is to stop": {[]func(*Snapshot){policy("Stop"), remembered, open}, known},
		"the model is cleared":            {[]func(*Snapshot){policy("Stop"), remembered}, quiet},
		"nothing is enforced any more":    {[]func(*Snapshot){remembered, func(s *Snapshot) { s.Enrolments = nil }}, decision.Shortfall{}},
		"it only waits for a rule":        {[]func(*Snapshot){policy("Evict"), remembered, pending, pods(pod("a", running))}, known},
	} {
		t.Run(name, func(t *testing.T) {
			if diff := cmp.Diff(tc.want, judge(t, snapshot(tc.changes...)).Shortfall); diff != "" {
				t.Errorf("-want +got:\n%s", diff)
			}
		})
	}
}

func TestUndeclared(t *testing.T) {
	for name, tc := range map[string]struct {
		changes       []func(*Snapshot)
		short, enrols bool
	}{
		"no pod runs":                {nil, false, true},
		"pods run without clearance": {[]func(*Snapshot){pods(pod("a", running))}, true, true},
		"pods wait":                  {[]func(*Snapshot){pods(pod("a", gated))}, false, true},
		"the policy does not exist": {[]func(*Snapshot){pods(pod("a", running)), func(s *Snapshot) { s.Enrolments[0].Policy = nil }},
			true, true},
		"the namespace enforces none": {[]func(*Snapshot){pods(pod("a", running)), func(s *Snapshot) { s.Namespace.Labels = nil }}, false, false},
	} {
		t.Run(name, func(t *testing.T) {
			s, enforced := Undeclared(snapshot(tc.changes...))
			if s.Short() != tc.short || enforced != tc.enrols {
				t.Errorf("short %v, enforced %v; want %v and %v", s.Short(), enforced, tc.short, tc.enrols)
			}
		})
	}
}
