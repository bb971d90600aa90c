package decision_test

import (
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/interlock-dev/interlock/api/v1alpha1"
	"github.com/interlock-dev/interlock/internal/diff"
)

func TestDiffOfAuthority(t *testing.T) {
	const weakens, strengthens = diff.Weakens, diff.Strengthens
	for name, tc := range map[string]struct {
		change func(*v1alpha1.ScalingPolicySpec)
		want   []string // a line for each change
	}{
		"nothing":            {change: func(*v1alpha1.ScalingPolicySpec) {}},
		"a role has no say":  {change: func(p *v1alpha1.ScalingPolicySpec) { p.SignOffs = p.SignOffs[:1] }, want: []string{"Weakens sign-off rso of a ModelDeployment at ASL-3: 2 people, who have told Board -> nobody"}},
		"fewer people":       {change: func(p *v1alpha1.ScalingPolicySpec) { p.SignOffs[1].Approves[0].People = nil }, want: []string{"Weakens sign-off rso of a ModelDeployment at ASL-3: 2 people, who have told Board -> 1 people, who have told Board"}},
		"no notice":          {change: func(p *v1alpha1.ScalingPolicySpec) { p.SignOffs[1].Approves[0].NoticeTo = nil }, want: []string{"Weakens sign-off rso of a ModelDeployment at ASL-3: 2 people, who have told Board -> 2 people"}},
		"at lower levels":    {change: func(p *v1alpha1.ScalingPolicySpec) { p.SignOffs[1].Approves[0].FromLevel = "" }, want: []string{"Strengthens sign-off rso of a ModelDeployment at ASL-2: nobody -> 2 people, who have told Board"}},
		"a longer waiver":    {change: func(p *v1alpha1.ScalingPolicySpec) { p.Levels[0].LongestWaiver.Duration = 2 * time.Hour }, want: []string{"Weakens waiver ASL-2: waivers of up to 1h0m0s -> waivers of up to 2h0m0s"}},
		"a first waiver":     {change: func(p *v1alpha1.ScalingPolicySpec) { p.Levels[1].LongestWaiver = &metav1.Duration{Duration: time.Hour} }, want: []string{"Weakens waiver ASL-3: no waiver -> waivers of up to 1h0m0s"}},
		"no waiver any more": {change: func(p *v1alpha1.ScalingPolicySpec) { p.SignOffs = p.SignOffs[1:] }, want: []string{"Strengthens waiver ASL-2: waivers of up to 1h0m0s -> no waiver"}},
		"may be waived":      {change: func(p *v1alpha1.ScalingPolicySpec) { p.Levels[1].Security.Safeguards[0].Unwaivable = nil }, want: []string{"Weakens waiver b: cannot be waived -> may be waived"}},
	} {
		t.Run(name, func(t *testing.T) {
			old := lacking().Policy
			old.Spec.Levels = old.Spec.Levels[:2]
			old.Spec.Levels[0].LongestWaiver, old.Spec.Levels[1].LongestWaiver = &metav1.Duration{Duration: time.Hour}, nil
			old.Spec.Levels[1].Security.Safeguards[0].Unwaivable = new(true)
			rule := people(2, approvalRule(v1alpha1.SubjectDecision))
			rule.FromLevel, rule.NoticeTo = "ASL-3", []string{"Board"}
			old.Spec.SignOffs = []v1alpha1.SignOff{role("ceo", approvalRule(v1alpha1.SubjectWaiver)), role("rso", rule)}
			changed := old.DeepCopy()
			tc.change(&changed.Spec)
			told := func(before, after *v1alpha1.ScalingPolicy, effects map[diff.Effect]diff.Effect) []string {
				var lines []string
				for _, c := range diff.Compare(diff.Framework{Policy: before}, diff.Framework{Policy: after}) {
					if c.What != diff.SubjectText {
						was, is := c.Before, c.After
						if effects != nil {
							was, is = is, was
							c.Effect = effects[c.Effect]
						}
						lines = append(lines, string(c.Effect)+" "+string(c.What)+" "+c.Where+": "+was+" -> "+is)
					}
				}
				return lines
			}
			if diff := cmp.Diff(tc.want, told(old, changed, nil)); diff != "" {
				t.Errorf("-want +got:\n%s", diff)
			}
			if diff := cmp.Diff(tc.want, told(changed, old, map[diff.Effect]diff.Effect{weakens: strengthens, strengthens: weakens})); diff != "" {
				t.Errorf("the other way round (-want +got):\n%s", diff)
			}
		})
	}
}
