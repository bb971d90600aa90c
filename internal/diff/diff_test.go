package diff_test

import (
	"slices"
	"testing"

	"github.com/interlock-dev/interlock/api/v1alpha1"
	"github.com/interlock-dev/interlock/internal/diff"
)

// TestDiffOfWhatIsAsked holds how changes of levels, thresholds, obligations and steps are told and judged.
func TestDiffOfWhatIsAsked(t *testing.T) {
	const general, trusted = v1alpha1.AudienceGeneral, v1alpha1.AudienceTrustedUsers
	checkDiff(t, map[string]diffCase{
		"nothing": {},
		"an obligation less": {
			after: func(f *diff.Framework) {
				f.Policy.Spec.Levels[0].Security = v1alpha1.Standard{NotRequired: "not any more"}
			},
			want: []string{
				"Weakens safeguard image-pinned: Binding -> not asked for | of every model",
				"Neutral text ASL-2 Security: why nothing is required:  -> not any more | it holds no model",
			},
		},
		"an obligation more, for one audience": {
			after: func(f *diff.Framework) {
				l := &f.Policy.Spec.Levels[1]
				l.Security.Safeguards = append(l.Security.Safeguards, v1alpha1.Obligation{Safeguard: "vetting", Audiences: []v1alpha1.Audience{general}})
			},
			want: []string{
				"Strengthens safeguard vetting: not asked for -> Binding | of models at ASL-3 served to General; models that reach CBRN-3 served to General; models that reach R&D-4 served to General",
				"Neutral safeguard vetting: not asked for -> Recommendation | of models that reach Cyber served to General",
			},
		},
		"audiences that change": {
			before: func(f *diff.Framework) {
				f.Policy.Spec.Levels[0].Deployment.Safeguards[0].Audiences = []v1alpha1.Audience{general}
			},
			after: func(f *diff.Framework) {
				f.Policy.Spec.Levels[0].Deployment.Safeguards[0].Audiences = []v1alpha1.Audience{trusted}
			},
			want: []string{
				"Weakens safeguard usage-policy: Binding -> not asked for | of every model served to General",
				"Strengthens safeguard usage-policy: not asked for -> Binding | of every model served to TrustedUsers",
			},
		},
		"a safeguard that moves up": {
			after: func(f *diff.Framework) {
				from, to := &f.Policy.Spec.Levels[0].Deployment, &f.Policy.Spec.Levels[1].Deployment
				to.Safeguards = append(to.Safeguards, from.Safeguards...)
				*from = v1alpha1.Standard{NotRequired: "moved"}
			},
			want: []string{
				"Weakens safeguard usage-policy: Binding -> not asked for | of every model",
				"Neutral text ASL-2 Deployment: why nothing is required:  -> moved | it holds no model",
			},
		},
		"a safeguard that moves down": {
			after: func(f *diff.Framework) {
				from, to := &f.Policy.Spec.Levels[1].Security, &f.Policy.Spec.Levels[0].Security
				to.Safeguards = append(to.Safeguards, from.Safeguards...)
				*from = v1alpha1.Standard{NotRequired: "moved"}
			},
			want: []string{
				"Strengthens safeguard egress-closed: Recommendation -> Binding | of models that reach Cyber",
				"Strengthens safeguard egress-closed: not asked for -> Binding | of every model",
				"Neutral text ASL-3 Security: why nothing is required:  -> moved | it holds no model",
			},
		},
		"a safeguard that moves where nobody is asked otherwise": {
			before: func(f *diff.Framework) {
				f.Policy.Spec.BaselineLevel = "ASL-3"
			},
			after: func(f *diff.Framework) {
				f.Policy.Spec.BaselineLevel = "ASL-3"
				from, to := &f.Policy.Spec.Levels[0].Deployment, &f.Policy.Spec.Levels[1].Security
				to.Safeguards = append(to.Safeguards, from.Safeguards...)
				*from = v1alpha1.Standard{NotRequired: "moved"}
			},
			want: []string{
				"Neutral safeguard usage-policy: ASL-2 Deployment (Binding) -> ASL-3 Security (Binding) | the same is asked of every model",
				"Neutral text ASL-2 Deployment: why nothing is required:  -> moved | it holds no model",
			},
		},
		"a safeguard that is asked for twice": {
			after: func(f *diff.Framework) {
				l := &f.Policy.Spec.Levels[1]
				l.Security.Safeguards = append(l.Security.Safeguards, obligation("image-pinned"))
			},
			want: []string{
				"Neutral safeguard image-pinned: ASL-2 Security (Binding) -> ASL-2 Security (Binding), ASL-3 Security (Binding) | the same is asked of every model",
			},
		},
		"a force that no longer holds": {
			after: func(f *diff.Framework) {
				f.Policy.Spec.Levels[1].Deployment.Safeguards[0].Force = v1alpha1.ForceDiscretionary
			},
			want: []string{
				"Weakens safeguard classifier: Binding -> Discretionary | of models at ASL-3; models that reach CBRN-3",
			},
		},
		"a force that holds as well": {
			after: func(f *diff.Framework) {
				f.Policy.Spec.Levels[0].Security.Safeguards[0].Force = v1alpha1.ForceLaw
			},
			want: []string{
				"Neutral safeguard image-pinned: Binding -> Law | of every model",
			},
		},
		"what holds nobody": {
			after: func(f *diff.Framework) {
				l := &f.Policy.Spec.Levels[1].Deployment
				l.Safeguards = l.Safeguards[:1]
			},
			want: []string{
				"Neutral safeguard vetting: Discretionary -> not asked for | of models at ASL-3 served to TrustedUsers; models that reach CBRN-3 served to TrustedUsers",
			},
		},
		"a proof that may be weaker": {
			before: func(f *diff.Framework) {
				f.Policy.Spec.Levels[0].Security.Safeguards[0].MinimumStrength = v1alpha1.StrengthEnforced
			},
			after: func(f *diff.Framework) {
				f.Policy.Spec.Levels[0].Security.Safeguards[0].MinimumStrength = v1alpha1.StrengthAttested
			},
			want: []string{
				"Weakens safeguard image-pinned: Binding, at least Enforced -> Binding, at least Attested | of every model",
			},
		},
		"a proof of an unknown strength": {
			after: func(f *diff.Framework) {
				f.Policy.Spec.Levels[0].Security.Safeguards[0].MinimumStrength = "Sworn"
			},
			want: []string{
				"Strengthens safeguard image-pinned: Binding -> Binding, at least Sworn | of every model",
			},
		},
		"the baseline": {
			after: func(f *diff.Framework) {
				f.Policy.Spec.BaselineLevel = "ASL-3"
			},
			want: []string{
				"Strengthens baseline : ASL-2 -> ASL-3 | judged by what is asked of every model",
				"Strengthens safeguard classifier: not asked for -> Binding | of every model",
				"Strengthens safeguard egress-closed: Recommendation -> Binding | of models that reach Cyber",
				"Strengthens safeguard egress-closed: not asked for -> Binding | of every model",
				"Neutral safeguard vetting: not asked for -> Discretionary | of every model served to TrustedUsers",
			},
		},
		"a baseline that is no level": {
			after: func(f *diff.Framework) {
				f.Policy.Spec.BaselineLevel = "ASL-9"
			},
			want: []string{
				"Strengthens baseline : ASL-2 -> ASL-9 | judged by what is asked of every model",
				`Strengthens level ASL-2: its safeguards clear it -> nothing clears it | baselineLevel "ASL-9" is not a level of policy rsp`,
				`Strengthens level ASL-3: its safeguards clear it -> nothing clears it | baselineLevel "ASL-9" is not a level of policy rsp`,
				`Strengthens threshold CBRN-3: its safeguards clear it -> nothing clears it | baselineLevel "ASL-9" is not a level of policy rsp`,
				`Strengthens threshold Cyber: its safeguards clear it -> nothing clears it | baselineLevel "ASL-9" is not a level of policy rsp`,
				`Strengthens threshold R&D-4: its safeguards clear it -> nothing clears it | baselineLevel "ASL-9" is not a level of policy rsp`,
				`Strengthens threshold Watched: its safeguards clear it -> nothing clears it | baselineLevel "ASL-9" is not a level of policy rsp`,
			},
		},
		"a level that is no longer left open": {
			after: func(f *diff.Framework) {
				f.Policy.Spec.Levels[2].Security = v1alpha1.Standard{Safeguards: []v1alpha1.Obligation{obligation("affirmative-case")}}
			},
			want: []string{
				"Weakens level ASL-4: nothing clears it -> its safeguards clear it | the policy does not say what ASL-4 Security (declared) asks for: not written yet",
				"Weakens threshold CBRN-4: nothing clears it -> its safeguards clear it | the policy does not say what ASL-4 Security (CBRN-4 Reached) asks for: not written yet",
				"Neutral safeguard affirmative-case: not asked for -> Binding | of models at ASL-4; models that reach CBRN-4, which are held whatever they have",
				"Neutral text ASL-4 Security: why it is left open: not written yet ->  | it holds no model",
			},
		},
		"a level that says nothing at all": {
			after: func(f *diff.Framework) {
				f.Policy.Spec.Levels[2].Security = v1alpha1.Standard{}
			},
			want: []string{
				"Neutral text ASL-4 Security: why it is left open: not written yet ->  | it holds no model",
			},
		},
		"a level that says it requires nothing": {
			before: func(f *diff.Framework) {
				f.Policy.Spec.Levels[2].Security = v1alpha1.Standard{}
			},
			after: func(f *diff.Framework) {
				f.Policy.Spec.Levels[2].Security = v1alpha1.Standard{NotRequired: "really nothing"}
			},
			want: []string{
				"Weakens level ASL-4: nothing clears it -> its safeguards clear it | ASL-4 Security (declared) lists no safeguards and does not say that none is required",
				"Weakens threshold CBRN-4: nothing clears it -> its safeguards clear it | ASL-4 Security (CBRN-4 Reached) lists no safeguards and does not say that none is required",
				"Neutral text ASL-4 Security: why nothing is required:  -> really nothing | it holds no model",
			},
		},
		"a level that goes": {
			after: func(f *diff.Framework) {
				f.Policy.Spec.Levels = f.Policy.Spec.Levels[:2]
				threshold(f, "CBRN-4").Demands[0].Level = "ASL-3"
			},
			want: []string{
				"Weakens level ASL-4: ASL-4 -> no such level | judged by what is asked at the next level below where it is not there; a model that declares it there is held",
				"Weakens level ASL-4: nothing clears it -> its safeguards clear it | the policy does not say what ASL-4 Security (declared) asks for: not written yet",
				"Weakens threshold CBRN-4: ASL-4 Security -> ASL-3 Security | judged by what is asked of models that reach it",
				"Weakens threshold CBRN-4: nothing clears it -> its safeguards clear it | the policy does not say what ASL-4 Security (CBRN-4 Reached) asks for: not written yet",
			},
		},
		"a level in between": {
			after: func(f *diff.Framework) {
				f.Policy.Spec.Levels = slices.Insert(f.Policy.Spec.Levels, 1, v1alpha1.Level{Name: "ASL-2+",
					Deployment: v1alpha1.Standard{NotRequired: "as below"}, Security: v1alpha1.Standard{Safeguards: []v1alpha1.Obligation{obligation("affirmative-case")}}})
			},
			want: []string{
				"Strengthens level ASL-2+: no such level -> ASL-2+ | judged by what is asked at the next level below where it is not there; a model that declares it there is held",
				"Strengthens safeguard affirmative-case: not asked for -> Binding | of models at ASL-2+; models at ASL-3; models that reach CBRN-3",
				"Neutral safeguard affirmative-case: not asked for -> Recommendation | of models that reach Cyber",
			},
		},
		"a level that adds nothing": {
			after: func(f *diff.Framework) {
				f.Policy.Spec.Levels = slices.Insert(f.Policy.Spec.Levels, 1, v1alpha1.Level{Name: "ASL-2+",
					Deployment: v1alpha1.Standard{NotRequired: "as below"}, Security: v1alpha1.Standard{NotRequired: "as below"}})
			},
			want: []string{
				"Neutral level ASL-2+: no such level -> ASL-2+ | judged by what is asked at the next level below where it is not there; a model that declares it there is held",
			},
		},
		"a level's name": {
			after: func(f *diff.Framework) {
				f.Policy.Spec.Levels[1].Name = "L3"
				for i := range f.Policy.Spec.Thresholds {
					for j := range f.Policy.Spec.Thresholds[i].Demands {
						if d := &f.Policy.Spec.Thresholds[i].Demands[j]; d.Level == "ASL-3" {
							d.Level = "L3"
						}
					}
				}
			},
			want: []string{
				"Neutral level ASL-3: ASL-3 -> L3 | models that declare ASL-3 are held until they declare L3",
			},
		},
		"another level in its place": {
			after: func(f *diff.Framework) {
				f.Policy.Spec.Levels[2] = v1alpha1.Level{Name: "SL4",
					Deployment: v1alpha1.Standard{NotRequired: "nothing is published"}, Security: v1alpha1.Standard{Safeguards: []v1alpha1.Obligation{obligation("affirmative-case")}}}
				threshold(f, "CBRN-4").Demands[0].Level = "SL4"
			},
			want: []string{
				"Weakens level ASL-4: ASL-4 -> no such level | judged by what is asked at the next level below where it is not there; a model that declares it there is held",
				"Weakens level ASL-4: nothing clears it -> its safeguards clear it | the policy does not say what ASL-4 Security (declared) asks for: not written yet",
				"Weakens threshold CBRN-4: ASL-4 Security -> SL4 Security | judged by what is asked of models that reach it",
				"Weakens threshold CBRN-4: nothing clears it -> its safeguards clear it | the policy does not say what ASL-4 Security (CBRN-4 Reached) asks for: not written yet",
				"Strengthens level SL4: no such level -> SL4 | judged by what is asked at the next level below where it is not there; a model that declares it there is held",
				"Strengthens safeguard affirmative-case: not asked for -> Binding | of models at SL4",
			},
		},
		"a threshold less, while more is asked of every model": {
			after: func(f *diff.Framework) {
				f.Policy.Spec.Levels[0].Security.Safeguards = append(f.Policy.Spec.Levels[0].Security.Safeguards, obligation("affirmative-case"))
				f.Policy.Spec.Thresholds = f.Policy.Spec.Thresholds[1:]
			},
			want: []string{
				"Weakens safeguard classifier: Binding -> not asked for | of models that reach CBRN-3",
				"Weakens safeguard egress-closed: Binding -> not asked for | of models that reach CBRN-3",
				"Weakens threshold CBRN-3: ASL-3 Deployment, ASL-3 Security -> no such threshold | judged by what is asked of models that reach it",
				"Strengthens safeguard affirmative-case: not asked for -> Binding | of every model",
				"Neutral safeguard vetting: Discretionary -> not asked for | of models that reach CBRN-3 served to TrustedUsers",
			},
		},
		"a baseline's name": {
			after: func(f *diff.Framework) {
				f.Policy.Spec.Levels[0].Name, f.Policy.Spec.BaselineLevel = "L2", "L2"
			},
			want: []string{
				"Neutral level ASL-2: ASL-2 -> L2 | models that declare ASL-2 are held until they declare L2",
			},
		},
		"levels in another order": {
			after: func(f *diff.Framework) {
				slices.Reverse(f.Policy.Spec.Levels[:2])
			},
			want: []string{
				"Strengthens level order: ASL-2, ASL-3, ASL-4 -> ASL-3, ASL-2, ASL-4 | judged by what is asked at each level",
				"Strengthens safeguard classifier: not asked for -> Binding | of every model",
				"Strengthens safeguard egress-closed: Recommendation -> Binding | of models that reach Cyber",
				"Strengthens safeguard egress-closed: not asked for -> Binding | of every model",
				"Neutral safeguard vetting: not asked for -> Discretionary | of every model served to TrustedUsers",
			},
		},
		"a threshold less": {
			after: func(f *diff.Framework) {
				f.Policy.Spec.Thresholds = f.Policy.Spec.Thresholds[1:]
			},
			want: []string{
				"Weakens safeguard classifier: Binding -> not asked for | of models that reach CBRN-3",
				"Weakens safeguard egress-closed: Binding -> not asked for | of models that reach CBRN-3",
				"Weakens threshold CBRN-3: ASL-3 Deployment, ASL-3 Security -> no such threshold | judged by what is asked of models that reach it",
				"Neutral safeguard vetting: Discretionary -> not asked for | of models that reach CBRN-3 served to TrustedUsers",
			},
		},
		"a threshold that was only watched": {
			after: func(f *diff.Framework) {
				f.Policy.Spec.Thresholds = f.Policy.Spec.Thresholds[:4]
			},
			want: []string{
				"Weakens threshold Watched: nothing -> no such threshold | judged by what is asked of models that reach it",
			},
		},
		"a threshold that was only watched, where none is held unassessed": {
			before: func(f *diff.Framework) {
				f.Policy.Spec.Assessment.Inconclusive = ""
			},
			after: func(f *diff.Framework) {
				f.Policy.Spec.Assessment.Inconclusive = ""
				f.Policy.Spec.Thresholds = f.Policy.Spec.Thresholds[:4]
			},
			want: []string{
				"Neutral threshold Watched: nothing -> no such threshold | judged by what is asked of models that reach it",
			},
		},
		"a threshold that counts only if it is found": {
			after: func(f *diff.Framework) {
				threshold(f, "CBRN-3").OnlyIfFound = new(true)
			},
			want: []string{
				"Weakens threshold CBRN-3: ASL-3 Deployment, ASL-3 Security -> ASL-3 Deployment, ASL-3 Security, only if found | judged by what is asked of models that reach it",
			},
		},
		"a threshold that counts also if nobody rules it out": {
			before: func(f *diff.Framework) {
				threshold(f, "CBRN-3").OnlyIfFound = new(true)
			},
			after: func(f *diff.Framework) {
				threshold(f, "CBRN-3").OnlyIfFound = nil
			},
			want: []string{
				"Strengthens threshold CBRN-3: ASL-3 Deployment, ASL-3 Security, only if found -> ASL-3 Deployment, ASL-3 Security | judged by what is asked of models that reach it",
			},
		},
		"a threshold by another name": {
			after: func(f *diff.Framework) {
				threshold(f, "CBRN-3").Name = "Chem-bio"
			},
			want: []string{
				"Weakens safeguard classifier: Binding -> not asked for | of models that reach CBRN-3",
				"Weakens safeguard egress-closed: Binding -> not asked for | of models that reach CBRN-3",
				"Weakens threshold CBRN-3: ASL-3 Deployment, ASL-3 Security -> no such threshold | judged by what is asked of models that reach it",
				"Strengthens safeguard classifier: not asked for -> Binding | of models that reach Chem-bio",
				"Strengthens safeguard egress-closed: not asked for -> Binding | of models that reach Chem-bio",
				"Strengthens threshold Chem-bio: no such threshold -> ASL-3 Deployment, ASL-3 Security | judged by what is asked of models that reach it",
				"Neutral safeguard vetting: Discretionary -> not asked for | of models that reach CBRN-3 served to TrustedUsers",
				"Neutral safeguard vetting: not asked for -> Discretionary | of models that reach Chem-bio served to TrustedUsers",
			},
		},
		"a demand on the other axis": {
			after: func(f *diff.Framework) {
				d := threshold(f, "R&D-4")
				d.Demands[0].Axis = v1alpha1.AxisDeployment
			},
			want: []string{
				"Strengthens safeguard classifier: not asked for -> Binding | of models that reach R&D-4",
				"Strengthens threshold R&D-4: ASL-3 Security, affirmative-case (Binding, at least Attested), egress-closed (Law) -> ASL-3 Deployment, affirmative-case (Binding, at least Attested), egress-closed (Law) | judged by what is asked of models that reach it",
				"Neutral safeguard egress-closed: Binding -> Law | of models that reach R&D-4",
				"Neutral safeguard vetting: not asked for -> Discretionary | of models that reach R&D-4 served to TrustedUsers",
			},
		},
		"a demand of a higher level": {
			after: func(f *diff.Framework) {
				threshold(f, "R&D-4").Demands[0].Level = "ASL-4"
			},
			want: []string{
				"Strengthens threshold R&D-4: ASL-3 Security, affirmative-case (Binding, at least Attested), egress-closed (Law) -> ASL-4 Security, affirmative-case (Binding, at least Attested), egress-closed (Law) | judged by what is asked of models that reach it",
				"Strengthens threshold R&D-4: its safeguards clear it -> nothing clears it | the policy does not say what ASL-4 Security (R&D-4 Reached) asks for: not written yet",
			},
		},
		"a demand that only recommends": {
			after: func(f *diff.Framework) {
				threshold(f, "R&D-4").Demands[0].Force = v1alpha1.ForceRecommendation
			},
			want: []string{
				"Neutral safeguard egress-closed: Binding -> Law | of models that reach R&D-4",
				"Neutral threshold R&D-4: ASL-3 Security, affirmative-case (Binding, at least Attested), egress-closed (Law) -> ASL-3 Security (Recommendation), affirmative-case (Binding, at least Attested), egress-closed (Law) | judged by what is asked of models that reach it",
			},
		},
		"a demand that binds": {
			after: func(f *diff.Framework) {
				threshold(f, "Cyber").Demands[0].Force = ""
			},
			want: []string{
				"Strengthens safeguard egress-closed: Recommendation -> Binding | of models that reach Cyber",
				"Strengthens threshold Cyber: ASL-3 Security (Recommendation) -> ASL-3 Security | judged by what is asked of models that reach it",
			},
		},
		"a demand of no level": {
			after: func(f *diff.Framework) {
				threshold(f, "R&D-4").Demands[0].Level = "ASL-9"
			},
			want: []string{
				"Strengthens threshold R&D-4: ASL-3 Security, affirmative-case (Binding, at least Attested), egress-closed (Law) -> ASL-9 Security, affirmative-case (Binding, at least Attested), egress-closed (Law) | judged by what is asked of models that reach it",
				`Strengthens threshold R&D-4: its safeguards clear it -> nothing clears it | threshold R&D-4 of policy rsp demands "ASL-9", which is not a level of it`,
			},
		},
		"a safeguard besides a level": {
			after: func(f *diff.Framework) {
				threshold(f, "R&D-4").Safeguards = threshold(f, "R&D-4").Safeguards[1:]
			},
			want: []string{
				"Weakens safeguard affirmative-case: Binding, at least Attested -> not asked for | of models that reach R&D-4",
				"Weakens threshold R&D-4: ASL-3 Security, affirmative-case (Binding, at least Attested), egress-closed (Law) -> ASL-3 Security, egress-closed (Law) | judged by what is asked of models that reach it",
			},
		},
		"what a threshold leaves open": {
			after: func(f *diff.Framework) {
				threshold(f, "CBRN-3").Unspecified = "there is more"
			},
			want: []string{
				"Strengthens threshold CBRN-3: ASL-3 Deployment, ASL-3 Security -> ASL-3 Deployment, ASL-3 Security, what is left open | judged by what is asked of models that reach it",
				"Strengthens threshold CBRN-3: its safeguards clear it -> nothing clears it | the policy does not say all that CBRN-3 asks for (Reached): there is more",
				"Neutral text CBRN-3: why it is left open:  -> there is more | it holds no model",
			},
		},
		"thresholds, obligations and demands in another order": {
			after: func(f *diff.Framework) {
				slices.Reverse(f.Policy.Spec.Thresholds)
				slices.Reverse(threshold(f, "R&D-4").Safeguards)
				slices.Reverse(threshold(f, "CBRN-3").Demands)
				slices.Reverse(f.Policy.Spec.Levels[1].Deployment.Safeguards)
			},
		},
		"a step on shortfall": {
			after: func(f *diff.Framework) {
				f.Policy.Spec.Levels[1].OnShortfall = evict(hours(1), nil)
			},
			want: []string{
				"Strengthens shortfall : pods that run stay -> evicted after 1h0m0s | of models at ASL-3; models at ASL-4; models that reach CBRN-3; models that reach CBRN-4; models that reach R&D-4",
			},
		},
		"a step at the baseline": {
			after: func(f *diff.Framework) {
				f.Policy.Spec.Levels[0].OnShortfall = evict(nil, hours(2))
			},
			want: []string{
				"Strengthens shortfall : pods that run stay -> evicted after 0s, deleted after 2h0m0s | of every model",
			},
		},
		"a step that comes later": {
			before: func(f *diff.Framework) {
				f.Policy.Spec.Levels[1].OnShortfall = evict(hours(1), hours(3))
			},
			after: func(f *diff.Framework) {
				f.Policy.Spec.Levels[1].OnShortfall = evict(hours(2), hours(3))
			},
			want: []string{
				"Weakens shortfall : evicted after 1h0m0s, deleted after 3h0m0s -> evicted after 2h0m0s, deleted after 3h0m0s | of models at ASL-3; models at ASL-4; models that reach CBRN-3; models that reach CBRN-4; models that reach R&D-4",
			},
		},
		"a step that comes later and force that comes sooner": {
			before: func(f *diff.Framework) {
				f.Policy.Spec.Levels[1].OnShortfall = evict(hours(1), hours(4))
			},
			after: func(f *diff.Framework) {
				f.Policy.Spec.Levels[1].OnShortfall = evict(hours(2), hours(3))
			},
			want: []string{
				"Weakens shortfall : evicted after 1h0m0s, deleted after 4h0m0s -> evicted after 2h0m0s, deleted after 3h0m0s | of models at ASL-3; models at ASL-4; models that reach CBRN-3; models that reach CBRN-4; models that reach R&D-4",
				"Strengthens shortfall : evicted after 1h0m0s, deleted after 4h0m0s -> evicted after 2h0m0s, deleted after 3h0m0s | of models at ASL-3; models at ASL-4; models that reach CBRN-3; models that reach CBRN-4; models that reach R&D-4",
			},
		},
		"steps written otherwise": {
			before: func(f *diff.Framework) {
				f.Policy.Spec.Levels[1].OnShortfall = evict(nil, nil)
			},
			after: func(f *diff.Framework) {
				f.Policy.Spec.Levels[1].OnShortfall = evict(hours(0), nil)
			},
		},
	})
}
