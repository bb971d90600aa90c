package policies

import (
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"

	"github.com/interlock-dev/interlock/api/v1alpha1"
	"github.com/interlock-dev/interlock/internal/decision"
)

// Lengths that the API server holds these texts to.
const (
	maxTitle       = 120
	maxLine        = 300
	maxDescription = 2000
	maxExpression  = 4096
)

func TestPacksListWhatTheyHold(t *testing.T) {
	for name, p := range loadPacks(t) {
		t.Run(name, func(t *testing.T) {
			if p.policy.Name != name {
				t.Errorf("the ScalingPolicy is called %s, its folder %s", p.policy.Name, name)
			}
			var kustomization struct {
				APIVersion string   `json:"apiVersion"`
				Kind       string   `json:"kind"`
				Resources  []string `json:"resources"`
			}
			read(t, filepath.Join(p.dir, "safeguards", "kustomization.yaml"), &kustomization)
			var want []string
			for sg := range p.safeguards {
				want = append(want, sg+".yaml")
			}
			if diff := cmp.Diff(want, kustomization.Resources, cmpopts.SortSlices(strings.Compare)); diff != "" {
				t.Errorf("kustomization.yaml does not list what is there (-there +listed):\n%s", diff)
			}
		})
	}
}

func TestPacksNameEverySafeguardOnce(t *testing.T) {
	for name, p := range loadPacks(t) {
		t.Run(name, func(t *testing.T) {
			named := map[string]int{}
			for _, o := range obligations(p.policy) {
				named[o.Safeguard]++
				if p.safeguards[o.Safeguard] == nil {
					t.Errorf("the policy names Safeguard %s, which is not in the pack", o.Safeguard)
				}
			}
			for sg := range p.safeguards {
				if named[sg] != 1 {
					t.Errorf("the policy names Safeguard %s %d times, want once: levels ask for what those below ask for", sg, named[sg])
				}
			}
		})
	}
}

// Safeguards are cluster-scoped: two packs that are both installed share those of one name.
func TestSafeguardsOfOneNameAreTheSameInAllPacks(t *testing.T) {
	seen := map[string]*v1alpha1.Safeguard{}
	for name, p := range loadPacks(t) {
		for _, sg := range p.safeguards {
			if before := seen[sg.Name]; before != nil {
				if diff := cmp.Diff(before, sg); diff != "" {
					t.Errorf("Safeguard %s of pack %s differs from that of another pack:\n%s", sg.Name, name, diff)
				}
			}
			seen[sg.Name] = sg
		}
	}
}

func TestPacksSayWhereEachDemandComesFrom(t *testing.T) {
	for name, p := range loadPacks(t) {
		t.Run(name, func(t *testing.T) {
			checkSource(t, "the policy", &p.policy.Spec.Source)
			for _, o := range obligations(p.policy) {
				checkSource(t, "the obligation "+o.Safeguard, o.Source)
			}
			for _, sg := range p.safeguards {
				if len(sg.Spec.Sources) == 0 {
					t.Errorf("Safeguard %s has no source", sg.Name)
				}
				for i := range sg.Spec.Sources {
					checkSource(t, "Safeguard "+sg.Name, &sg.Spec.Sources[i])
				}
			}
		})
	}
}

func checkSource(t *testing.T, who string, s *v1alpha1.Source) {
	t.Helper()
	if s == nil || s.Document == "" || s.Section == "" {
		t.Errorf("%s does not say which section of which document it rests on: %+v", who, s)
		return
	}
	if len(s.Document) > 200 || len(s.Section) > 200 || len(s.Version) > 50 {
		t.Errorf("%s: a source is too long: %+v", who, s)
	}
	if !slices.Contains([]string{"", "Primary", "Secondary", "Proposal"}, s.Standing) {
		t.Errorf("%s: standing %q is unknown", who, s.Standing)
	}
	if s.Version == "" && s.Standing != "Proposal" && strings.Contains(s.Document, "Policy") {
		t.Errorf("%s: a policy is cited without its version: %+v", who, s)
	}
}

func TestSafeguardsSpeakToPeople(t *testing.T) {
	for name, p := range loadPacks(t) {
		for _, sg := range p.safeguards {
			t.Run(name+"/"+sg.Name, func(t *testing.T) {
				checkText(t, "title", sg.Spec.Title, maxTitle)
				checkText(t, "remedy", sg.Spec.Remedy, maxLine)
				if sg.Spec.Control == "" {
					t.Error("control is empty")
				}
				if len(sg.Spec.Description) > maxDescription || !strings.Contains(sg.Spec.Description, "Does not show:") {
					t.Errorf("the description must say in %d characters what is not shown", maxDescription)
				}
				if sg.Spec.PodRule == nil {
					return
				}
				for _, v := range sg.Spec.PodRule.Validations {
					checkText(t, "message", v.Message, maxLine)
					if len(v.Expression) > maxExpression {
						t.Errorf("an expression has %d characters, want at most %d", len(v.Expression), maxExpression)
					}
				}
			})
		}
	}
}

// checkText holds a text to one line without a full stop, since it is put into a sentence.
func checkText(t *testing.T, field, text string, limit int) {
	t.Helper()
	if text == "" || len(text) > limit || strings.ContainsAny(text, "\n\r") || strings.TrimRight(text, ". ") != text {
		t.Errorf("%s must be one line of 1 to %d characters without a full stop: %q", field, limit, text)
	}
}

func TestSafeguardsCompile(t *testing.T) {
	for name, p := range loadPacks(t) {
		t.Run(name, func(t *testing.T) {
			if got := len(compile(t, p.safeguards)); got != len(p.safeguards) {
				t.Errorf("%d of %d Safeguards compile", got, len(p.safeguards))
			}
		})
	}
}

func TestStandardsSayOneThing(t *testing.T) {
	for name, p := range loadPacks(t) {
		t.Run(name, func(t *testing.T) {
			names := map[string]bool{}
			for _, l := range p.policy.Spec.Levels {
				if names[l.Name] {
					t.Errorf("level %s is there twice", l.Name)
				}
				names[l.Name] = true
				for axis, s := range map[v1alpha1.Axis]v1alpha1.Standard{
					v1alpha1.AxisDeployment: l.Deployment, v1alpha1.AxisSecurity: l.Security} {
					said := 0
					for _, is := range []bool{len(s.Safeguards) > 0, s.Unspecified != "", s.NotRequired != ""} {
						if is {
							said++
						}
					}
					if said != 1 {
						t.Errorf("%s %s must have one of safeguards, unspecified and notRequired", l.Name, axis)
					}
				}
			}
			if !names[p.policy.Spec.BaselineLevel] {
				t.Errorf("baselineLevel %s is not a level", p.policy.Spec.BaselineLevel)
			}
		})
	}
}

func TestRSP22IsWhatItSays(t *testing.T) {
	p := loadPack(t, rsp22)
	spec := p.policy.Spec
	if spec.BaselineLevel != "ASL-2" || spec.Lease.Duration != time.Hour {
		t.Errorf("baseline %s, lease %s; want ASL-2 and 1h", spec.BaselineLevel, spec.Lease.Duration)
	}
	type level struct{ Name, After, ForceAfter string }
	var got []level
	for _, l := range spec.Levels {
		if len(l.OnShortfall) != 1 || l.OnShortfall[0].Action != v1alpha1.ShortfallEvict {
			t.Fatalf("%s: onShortfall is %+v, want one eviction", l.Name, l.OnShortfall)
		}
		got = append(got, level{l.Name, l.OnShortfall[0].After.Duration.String(), l.OnShortfall[0].ForceAfter.Duration.String()})
	}
	want := []level{{"ASL-2", "1h0m0s", "4h0m0s"}, {"ASL-3", "30s", "15m0s"}, {"ASL-4", "0s", "5m0s"}}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("levels (-want +got):\n%s", diff)
	}
	for _, o := range obligations(p.policy) {
		if o.Force != "" && o.Force != v1alpha1.ForceBinding {
			t.Errorf("%s is %s, but version 2.2 binds", o.Safeguard, o.Force)
		}
	}
	required := decision.AskedOf(decision.Input{Policy: p.policy, Model: &v1alpha1.ModelDeployment{Spec: v1alpha1.ModelDeploymentSpec{AssessedLevel: "ASL-3"}}}).Required
	if diff := cmp.Diff(sortedKeys(p.safeguards), required); diff != "" {
		t.Errorf("ASL-3 asks for (-all of the pack +asked for):\n%s", diff)
	}
}

func obligations(p *v1alpha1.ScalingPolicy) []v1alpha1.Obligation {
	var all []v1alpha1.Obligation
	for _, l := range p.Spec.Levels {
		all = append(all, slices.Concat(l.Deployment.Safeguards, l.Security.Safeguards)...)
	}
	return all
}
