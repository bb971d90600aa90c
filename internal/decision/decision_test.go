package decision_test

import (
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/interlock-dev/interlock/api/v1alpha1"
	"github.com/interlock-dev/interlock/internal/decision"
)

// TestExplanations holds what a person reads of a verdict: by what each safeguard is required, what was found, until
// when, and what to do next.
func TestExplanations(t *testing.T) {
	policy := newPolicy(
		newLevel("ASL-2", asks(binding("input-classifier")), asks(binding("image-pinned"), forced("no-legacy-token", v1alpha1.ForceDiscretionary))),
		newLevel("ASL-3", asks(binding("output-classifier"), proven("image-pinned", v1alpha1.StrengthEnforced)),
			asks(binding("egress-allow-list"), forced("dedicated-nodes", v1alpha1.ForceLaw))),
		newLevel("ASL-4", nothing(), unspecified("section 7 leaves it to a later version")),
		newLevel("ASL-5", asks(binding("image-pinned")), v1alpha1.Standard{}),
	)
	reported := newPolicy(newLevel("ASL-1", asks(forced("image-pinned", v1alpha1.ForceRecommendation)), nothing()))
	all := map[string]decision.Finding{}
	for _, name := range []string{"input-classifier", "image-pinned", "no-legacy-token", "output-classifier", "egress-allow-list", "dedicated-nodes"} {
		all[name] = inPlace()
	}
	but := func(changed map[string]decision.Finding) map[string]decision.Finding {
		in := copied(input(nil, nil, all))
		for name, f := range changed {
			in.Findings[name] = f
		}
		return in.Findings
	}
	elsewhere := newPolicy(policy.Spec.Levels...)
	elsewhere.Spec.BaselineLevel = "ASL-9"

	for name, tc := range map[string]struct {
		in   decision.Input
		want string
	}{
		"no policy": {
			in: input(nil, newModel("ASL-2"), all),
			want: `Held, PolicyNotFound: ScalingPolicy "rsp-v2.2" does not exist; create it, or have the namespace's labels changed
`},
		"no model": {
			in: input(policy, nil, all),
			want: `Held, LevelUnknown: no ScalingPolicy, or no ModelDeployment that declares the model
`},
		"a level that the policy does not have": {
			in: input(policy, newModel("ASL-9"), all),
			want: `Held, LevelUnknown: assessedLevel "ASL-9" is not a level of policy rsp-v2.2, which has ASL-2, ASL-3, ASL-4, ASL-5
`},
		"a baseline that the policy does not have": {
			in: input(elsewhere, newModel("ASL-2"), all),
			want: `Held, LevelUnknown: baselineLevel "ASL-9" is not a level of policy rsp-v2.2
`},
		"all in place at the baseline": {
			in: input(policy, newModel("ASL-2"), all),
			want: `Cleared, Cleared: all 2 safeguards are in place
levels ASL-2 and ASL-2, "2/2" met
valid until 2026-05-14T09:00:00Z
look again at 2026-05-14T08:30:00Z
- image-pinned (Binding, Satisfied): in place
  by ASL-2 Security (baseline, declared)
- input-classifier (Binding, Satisfied): in place
  by ASL-2 Deployment (baseline, declared)
- no-legacy-token (Discretionary, Satisfied): in place
  by ASL-2 Security (baseline, declared)
`},
		"some missing, each in its own way": {
			in: input(policy, newModel("ASL-3"), but(map[string]decision.Finding{
				"egress-allow-list": broken(v1alpha1.SafeguardMissing, "2 of 3 pods, such as vllm-0: no policy selects it", "add a NetworkPolicy"),
				"image-pinned":      {State: v1alpha1.SafeguardSatisfied, Strength: v1alpha1.StrengthAttested, Message: "signed", Remedy: "pin the image"},
				"dedicated-nodes":   until(inPlace(), now),
				"no-legacy-token":   broken(v1alpha1.SafeguardMissing, "a token is mounted", "turn it off"),
			})),
			want: `Held, SafeguardsMissing: 3 of 5 safeguards missing: ` +
				`dedicated-nodes (Expired): ended at 2026-05-14T08:10:00Z: in place; ` +
				`egress-allow-list (Missing): 2 of 3 pods, such as vllm-0: no policy selects it; ` +
				`image-pinned (Missing): shown as Attested, but the policy asks for Enforced: signed
levels ASL-3 and ASL-3, "2/5" met
- dedicated-nodes (Law, Expired): ended at 2026-05-14T08:10:00Z: in place [until 2026-05-14T08:10:00Z] -> keep it so
  by ASL-3 Security (declared)
- egress-allow-list (Binding, Missing): 2 of 3 pods, such as vllm-0: no policy selects it -> add a NetworkPolicy
  by ASL-3 Security (declared)
- image-pinned (Binding, Missing): shown as Attested, but the policy asks for Enforced: signed -> pin the image
  by ASL-3 Deployment (declared); ASL-2 Security (baseline, declared)
- input-classifier (Binding, Satisfied): in place
  by ASL-2 Deployment (baseline, declared)
- no-legacy-token (Discretionary, Missing): a token is mounted -> turn it off
  by ASL-2 Security (baseline, declared)
- output-classifier (Binding, Satisfied): in place
  by ASL-3 Deployment (declared)
`},
		"more missing than are worth a line": {
			in: input(policy, newModel("ASL-3"), map[string]decision.Finding{"image-pinned": inPlace()}),
			want: `Held, SafeguardsMissing: 4 of 5 safeguards missing: ` +
				`dedicated-nodes (Unknown): Safeguard "dedicated-nodes" does not exist or was not looked at; ` +
				`egress-allow-list (Unknown): Safeguard "egress-allow-list" does not exist or was not looked at; ` +
				`input-classifier (Unknown): Safeguard "input-classifier" does not exist or was not looked at; and 1 more
`},
		"pods run without clearance": {
			in: func() decision.Input {
				in := input(newPolicy(policy.Spec.Levels[0]), newModel("ASL-2"), map[string]decision.Finding{
					"input-classifier": until(inPlace(), now.Add(90*time.Minute)),
					"image-pinned":     broken(v1alpha1.SafeguardUnknown, "the Safeguard cannot be used", "have it corrected"),
				})
				in.AdmittedPods = 2
				return in
			}(),
			want: `Revoked, SafeguardsMissing: 1 of 2 safeguards missing: image-pinned (Unknown): the Safeguard cannot be used
levels ASL-2 and ASL-2, "1/2" met
look again at 2026-05-14T09:40:00Z
- image-pinned (Binding, Unknown): the Safeguard cannot be used -> have it corrected
  by ASL-2 Security (baseline, declared)
- input-classifier (Binding, Satisfied): in place [until 2026-05-14T09:40:00Z]
  by ASL-2 Deployment (baseline, declared)
- no-legacy-token (Discretionary, Unknown): Safeguard "no-legacy-token" does not exist or was not looked at -> create the Safeguard, or have it taken out of the policy
  by ASL-2 Security (baseline, declared)
`},
		"a standard that the text leaves open": {
			in: input(policy, newModel("ASL-4"), all),
			want: `Held, SafeguardsUnspecified: the policy does not say what ASL-4 Security (declared) asks for: section 7 leaves it to a later version
`},
		"a standard that says nothing, beside one left open": {
			in: input(policy, newModel("ASL-5"), all),
			want: `Held, SafeguardsUnspecified: the policy does not say what ASL-4 Security (declared) asks for: section 7 leaves it to a later version; ` +
				`ASL-5 Security (declared) lists no safeguards and does not say that none is required
`},
		"nothing binds": {
			in: input(reported, newModel("ASL-1"), all),
			want: `Held, SafeguardsUnspecified: policy rsp-v2.2 asks for no safeguard that binds at level ASL-1; an empty list is not a clearance
levels ASL-1 and ASL-1, "" met
- image-pinned (Recommendation, Satisfied): in place
  by ASL-1 Deployment (baseline, declared)
`},
	} {
		t.Run(name, func(t *testing.T) {
			got := text(decision.Decide(tc.in))
			if strings.Count(tc.want, "\n") == 1 { // only the message is told
				got, _, _ = strings.Cut(got, "\n")
				got += "\n"
			}
			if diff := cmp.Diff(tc.want, got); diff != "" {
				t.Errorf("verdict (-want +got):\n%s", diff)
			}
		})
	}
}

func TestBaselineIsAskedOfWhatDeclaresLess(t *testing.T) {
	policy := newPolicy(newLevel("ASL-1", nothing(), nothing()), newLevel("ASL-2", asks(binding("a")), nothing()), newLevel("ASL-3", asks(binding("b")), nothing()))
	policy.Spec.BaselineLevel = "ASL-2"
	v := decision.Decide(input(policy, newModel("ASL-1"), map[string]decision.Finding{"a": inPlace()}))
	want := `Cleared, Cleared: all 1 safeguards are in place
levels ASL-2 and ASL-2, "1/1" met
valid until 2026-05-14T09:00:00Z
look again at 2026-05-14T08:30:00Z
- a (Binding, Satisfied): in place
  by ASL-2 Deployment (baseline)
`
	if diff := cmp.Diff(want, text(v)); diff != "" {
		t.Errorf("verdict (-want +got):\n%s", diff)
	}
}

func TestNames(t *testing.T) {
	policy := newPolicy(
		newLevel("ASL-2", asks(binding("c"), forced("b", v1alpha1.ForceDiscretionary)), asks(binding("c"))),
		newLevel("ASL-3", nothing(), asks(forced("a", v1alpha1.ForceLaw), forced("d", v1alpha1.ForceRecommendation))))
	if diff := cmp.Diff([]string{"a", "b", "c", "d"}, decision.Named(policy)); diff != "" {
		t.Errorf("Named (-want +got):\n%s", diff)
	}
	if diff := cmp.Diff([]string{"b", "c"}, decision.AskedOf(decision.Input{Policy: policy, Model: newModel("ASL-2")}).Required); diff != "" {
		t.Errorf("Required at ASL-2 (-want +got):\n%s", diff)
	}
	if diff := cmp.Diff([]string{"a", "b", "c", "d"}, decision.AskedOf(decision.Input{Policy: policy, Model: newModel("ASL-3")}).Required); diff != "" {
		t.Errorf("Required at ASL-3 (-want +got):\n%s", diff)
	}
	if diff := cmp.Diff([]string{"b", "d"}, decision.AskedOf(decision.Input{Policy: policy, Model: newModel("ASL-3")}).Reported); diff != "" {
		t.Errorf("Reported at ASL-3 (-want +got):\n%s", diff)
	}
	if got := decision.AskedOf(decision.Input{Policy: policy, Model: newModel("ASL-9")}).Required; got != nil {
		t.Errorf("Required at a level that does not exist: %v", got)
	}
	if got := decision.AskedOf(decision.Input{Policy: nil, Model: newModel("ASL-2")}).Required; got != nil {
		t.Errorf("Required by no policy: %v", got)
	}
	if diff := cmp.Diff([]string{"a", "c"}, decision.Decide(input(policy, newModel("ASL-3"), nil)).Rules()); diff != "" {
		t.Errorf("Rules, which are those that hold (-want +got):\n%s", diff)
	}
}

// TestStrongestOfSeveralDemands is about a Safeguard that several levels and axes ask for in different ways.
func TestStrongestOfSeveralDemands(t *testing.T) {
	ask := func(force v1alpha1.Force, atLeast v1alpha1.Strength) v1alpha1.Standard {
		return asks(v1alpha1.Obligation{Safeguard: "a", Force: force, MinimumStrength: atLeast})
	}
	for name, tc := range map[string]struct {
		first, second v1alpha1.Standard
		found         v1alpha1.Strength
		force         v1alpha1.Force
		state         v1alpha1.SafeguardState
	}{
		"the later binds":                 {ask(v1alpha1.ForceDiscretionary, ""), ask(v1alpha1.ForceBinding, ""), v1alpha1.StrengthDeclared, v1alpha1.ForceBinding, v1alpha1.SafeguardSatisfied},
		"the earlier binds":               {ask(v1alpha1.ForceLaw, ""), ask(v1alpha1.ForceRecommendation, ""), v1alpha1.StrengthDeclared, v1alpha1.ForceLaw, v1alpha1.SafeguardSatisfied},
		"no force means that it binds":    {ask("", ""), ask(v1alpha1.ForceDiscretionary, ""), v1alpha1.StrengthDeclared, v1alpha1.ForceBinding, v1alpha1.SafeguardSatisfied},
		"an unknown force binds":          {ask(v1alpha1.ForceBinding, ""), ask("Sworn", ""), v1alpha1.StrengthDeclared, v1alpha1.ForceBinding, v1alpha1.SafeguardSatisfied},
		"the stronger proof is asked for": {ask("", v1alpha1.StrengthObserved), ask("", v1alpha1.StrengthAttested), v1alpha1.StrengthAttested, v1alpha1.ForceBinding, v1alpha1.SafeguardMissing},
		"whichever asks for it":           {ask("", v1alpha1.StrengthAttested), ask("", v1alpha1.StrengthObserved), v1alpha1.StrengthAttested, v1alpha1.ForceBinding, v1alpha1.SafeguardMissing},
		"just strong enough":              {ask("", v1alpha1.StrengthAttested), ask("", v1alpha1.StrengthObserved), v1alpha1.StrengthObserved, v1alpha1.ForceBinding, v1alpha1.SafeguardSatisfied},
		"what may be met by less, too":    {ask("", v1alpha1.StrengthEnforced), ask(v1alpha1.ForceDiscretionary, v1alpha1.StrengthDeclared), v1alpha1.StrengthObserved, v1alpha1.ForceBinding, v1alpha1.SafeguardMissing},
		"an unknown proof proves nothing": {ask("", v1alpha1.StrengthDeclared), nothing(), "Sworn", v1alpha1.ForceBinding, v1alpha1.SafeguardMissing},
		"nothing meets an unknown demand": {ask("", "Sworn"), ask("", v1alpha1.StrengthEnforced), v1alpha1.StrengthEnforced, v1alpha1.ForceBinding, v1alpha1.SafeguardMissing},
		"not even itself":                 {ask("", "Sworn"), nothing(), "Sworn", v1alpha1.ForceBinding, v1alpha1.SafeguardMissing},
	} {
		t.Run(name, func(t *testing.T) {
			policy := newPolicy(newLevel("ASL-2", tc.first, nothing()), newLevel("ASL-3", nothing(), tc.second))
			f := inPlace()
			f.Strength = tc.found
			v := decision.Decide(input(policy, newModel("ASL-3"), map[string]decision.Finding{"a": f}))
			got := v.Safeguards[0]
			if got.Force != tc.force || got.State != tc.state {
				t.Errorf("got %s, %s (%s), want %s, %s", got.Force, got.State, got.Message, tc.force, tc.state)
			}
			if cleared := tc.state == v1alpha1.SafeguardSatisfied; v.Cleared() != cleared {
				t.Errorf("cleared: %v, want %v: %s", v.Cleared(), cleared, v.Message)
			}
		})
	}
}
