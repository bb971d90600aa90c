package integration

import (
	"encoding/json"
	"maps"
	"slices"
	"strings"
	"time"

	. "github.com/onsi/ginkgo/v2"
	. "github.com/onsi/gomega"
	apiextensionsv1 "k8s.io/apiextensions-apiserver/pkg/apis/apiextensions/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/interlock-dev/interlock/api/v1alpha1"
	"github.com/interlock-dev/interlock/internal/testing/builder"
)

const (
	oneMethod        = "a Safeguard has exactly one verification method"
	labelName        = "the name must be a DNS label: lower-case letters, digits and '-', 63 characters at the most"
	exactlyOneOf     = "a standard has exactly one of safeguards, unspecified and notRequired"
	leaseBounds      = "lease must be between 10s and 24h"
	fromOneToSixty3  = "the name must have 63 characters at the most"
	leadsToSomething = "a threshold leads to demands or safeguards, or says that these are unspecified or not required"
)

type refusal struct {
	object  func() client.Object
	message string
}

type change struct {
	object  func() client.Object
	change  func(client.Object)
	message string
}

// refused are objects that the API server must not take, and what it says of them. Each differs from one that it takes
// in nothing but what is wrong.
var refused = map[string]refusal{
	"a Safeguard without a method": {safeguardWith(func(sg *v1alpha1.Safeguard) { sg.Spec.PodRule = nil }), oneMethod},
	"a Safeguard with two methods": {safeguardWith(func(sg *v1alpha1.Safeguard) { sg.Spec.Resource = egress() }), oneMethod},
	"refused connections without a rule about pods": {safeguardWith(func(sg *v1alpha1.Safeguard) {
		sg.Spec.PodRule, sg.Spec.Resource = nil, egress()
		sg.Spec.Connect = &v1alpha1.ConnectRule{Refuse: []v1alpha1.ConnectKind{v1alpha1.ConnectPortForward}}
	}), "connect goes together with podRule"},
	"an exception for a user and a group": {safeguardWith(func(sg *v1alpha1.Safeguard) {
		sg.Spec.Connect = &v1alpha1.ConnectRule{Refuse: []v1alpha1.ConnectKind{v1alpha1.ConnectPortForward},
			Except: []v1alpha1.ConnectException{{User: "erin", Group: "on-call", Reason: "incidents"}}}
	}), "an exception has exactly one of user and group"},
	"a Safeguard named with a dot":   {safeguardWith(func(sg *v1alpha1.Safeguard) { sg.Name = "image.pinned" }), labelName},
	"a Safeguard with a long name":   {safeguardWith(func(sg *v1alpha1.Safeguard) { sg.Name = strings.Repeat("a", 64) }), labelName},
	"a message of two lines":         {safeguardWith(func(sg *v1alpha1.Safeguard) { sg.Spec.PodRule.Validations[0].Message = "a\nb" }), "should match"},
	"a Safeguard without a source":   {safeguardWith(func(sg *v1alpha1.Safeguard) { sg.Spec.Sources = nil }), "spec.sources"},
	"a Safeguard without a remedy":   {safeguardWith(func(sg *v1alpha1.Safeguard) { sg.Spec.Remedy = "" }), "spec.remedy"},
	"an allow-list of every address": {safeguardWith(func(sg *v1alpha1.Safeguard) { sg.Spec.PodRule, sg.Spec.Resource = nil, egress("10.0.0.0/8", "::/0") }), "a prefix of /0 is refused"},

	"a baseline that is no level":       {policyWith(func(p *v1alpha1.ScalingPolicySpec) { p.BaselineLevel = "ASL-9" }), "baselineLevel must name one of levels"},
	"a lease that is too short":         {policyWith(lease(9 * time.Second)), leaseBounds},
	"a lease that is too long":          {policyWith(lease(25 * time.Hour)), leaseBounds},
	"a level twice":                     {policyWith(func(p *v1alpha1.ScalingPolicySpec) { p.Levels = append(p.Levels, p.Levels[0]) }), "Duplicate value"},
	"a standard that says nothing":      {policyWith(func(p *v1alpha1.ScalingPolicySpec) { p.Levels[0].Security = v1alpha1.Standard{} }), "spec.levels[0].security"},
	"a standard that says two things":   {policyWith(func(p *v1alpha1.ScalingPolicySpec) { p.Levels[0].Deployment.NotRequired = "why" }), exactlyOneOf},
	"a security standard of two things": {policyWith(func(p *v1alpha1.ScalingPolicySpec) { p.Levels[0].Security.Unspecified = "why" }), exactlyOneOf},
	"a step before the shortfall":       {policyWith(evict(-time.Second, 0)), "after must not be negative"},
	"force before the shortfall": {policyWith(func(p *v1alpha1.ScalingPolicySpec) {
		evict(0, time.Second)(p)
		p.Levels[0].OnShortfall[0].ForceAfter.Duration = -time.Second
	}), "forceAfter must not be negative"},
	"force for what nothing delays": {policyWith(func(p *v1alpha1.ScalingPolicySpec) {
		evict(0, time.Second)(p)
		p.Levels[0].OnShortfall[0].Action = v1alpha1.ShortfallStop
	}), "forceAfter goes with the action Evict only"},
	"new pods held only later": {policyWith(step(v1alpha1.ShortfallHold, time.Second)), "Hold takes no after"},
	"a step nobody heard of":   {policyWith(step("Explode", 0)), "spec.levels[0].onShortfall[0].action"},
	"force before its step":    {policyWith(evict(time.Minute, time.Second)), "forceAfter must not be shorter than after"},
	"a policy with a long name": {func() client.Object {
		return builder.ScalingPolicy(strings.Repeat("a", 64)).Level(builder.Level("L")).Build()
	}, fromOneToSixty3},
	"a threshold without a sequel": {thresholdWith(func(t *v1alpha1.Threshold) { t.Demands = nil }), leadsToSomething},
	"a threshold of two minds":     {thresholdWith(func(t *v1alpha1.Threshold) { t.NotRequired = "why" }), "a threshold that requires nothing has no demands, safeguards or unspecified"},
	"a demand of no level":         {thresholdWith(func(t *v1alpha1.Threshold) { t.Demands[0].Level = "ASL-9" }), "each demand of a threshold must name one of levels"},

	"a threshold twice": {thresholdWith(func(*v1alpha1.Threshold) {}, func(p *v1alpha1.ScalingPolicySpec) { p.Thresholds = append(p.Thresholds, p.Thresholds[0]) }), "Duplicate value"},

	"an outcome of a threshold twice": {assessmentWith(func(a *v1alpha1.CapabilityAssessmentSpec) { a.Outcomes = append(a.Outcomes, a.Outcomes[0]) }), "Duplicate value"},
	"an outcome that nobody heard of": {assessmentWith(func(a *v1alpha1.CapabilityAssessmentSpec) { a.Outcomes[0].Outcome = "Cleared" }), "spec.outcomes[0].outcome"},
	"an assessment of nothing":        {assessmentWith(func(a *v1alpha1.CapabilityAssessmentSpec) { a.Outcomes = nil }), "spec.outcomes"},
	"an assessment of no weights":     {assessmentWith(func(a *v1alpha1.CapabilityAssessmentSpec) { a.Digests = nil }), "spec.digests"},
	"an assessment of bad weights":    {assessmentWith(func(a *v1alpha1.CapabilityAssessmentSpec) { a.Digests[0] = "sha256:" }), "spec.digests[0]"},
	"an assessment without a date":    {assessmentWith(func(a *v1alpha1.CapabilityAssessmentSpec) { a.AssessedAt = metav1.Time{} }), "spec.assessedAt"},
	"compute that is no figure":       {assessmentWith(func(a *v1alpha1.CapabilityAssessmentSpec) { a.EffectiveCompute = "much" }), "spec.effectiveCompute"},

	"a model named with a dot":         {modelWith(func(md *v1alpha1.ModelDeployment) { md.Name = "llm.v2" }), labelName},
	"a digest in capitals":             {modelWith(func(md *v1alpha1.ModelDeployment) { md.Spec.Model.Digest = strings.ToUpper(builder.Digest) }), "spec.model.digest"},
	"a digest that was cut":            {modelWith(func(md *v1alpha1.ModelDeployment) { md.Spec.Model.Digest = builder.Digest[:70] }), "spec.model.digest"},
	"a model as its own fallback":      {modelWith(func(md *v1alpha1.ModelDeployment) { md.Spec.Fallback = &v1alpha1.Fallback{ModelDeployment: md.Name} }), "a model cannot be its own fallback"},
	"a model without a level":          {modelWith(func(md *v1alpha1.ModelDeployment) { md.Spec.AssessedLevel = "" }), "spec.assessedLevel"},
	"an audience that nobody heard of": {modelWith(func(md *v1alpha1.ModelDeployment) { md.Spec.Audience = "Nobody" }), "spec.audience"},

	"a ledger of another name": {func() client.Object {
		return &v1alpha1.ClearanceLedger{ObjectMeta: metav1.ObjectMeta{Namespace: "default", Name: "other"}}
	}, "the name of a ClearanceLedger is interlock"},
}

// unchangeable are objects that the API server takes, and changes of them that it does not.
var unchangeable = map[string]change{
	"an assessment": {assessment, func(o client.Object) {
		o.(*v1alpha1.CapabilityAssessment).Spec.Outcomes[0].Outcome = v1alpha1.AssessmentRuledOut
	},
		"an assessment is never edited"},
	"a risk report": {riskReport, func(o client.Object) { o.(*v1alpha1.RiskReport).Spec.Document = "sha256:" + strings.Repeat("0", 64) }, "a risk report is never edited"},
	"the date of a goal": {roadmap, func(o client.Object) { o.(*v1alpha1.SafetyRoadmap).Spec.Goals[0].TargetDate = "2028-01-01" },
		"targetDate is never changed"},
	"an update of a goal": {roadmap, func(o client.Object) { o.(*v1alpha1.SafetyRoadmap).Spec.Goals[0].Updates = nil },
		"updates are never taken back"},
}

var _ = Describe("The API", func() {
	for _, name := range slices.Sorted(maps.Keys(refused)) {
		It("refuses "+name, func(ctx SpecContext) {
			Expect(api.Create(ctx, refused[name].object(), client.DryRunAll)).To(MatchError(ContainSubstring(refused[name].message)))
		})
	}

	for _, name := range slices.Sorted(maps.Keys(unchangeable)) {
		It("refuses to change "+name, func(ctx SpecContext) {
			o := unchangeable[name].object()
			create(ctx, o)
			DeferCleanup(func(ctx SpecContext) { Expect(api.Delete(ctx, o)).To(Succeed()) })
			changed := o.DeepCopyObject().(client.Object)
			unchangeable[name].change(changed)
			Expect(api.Patch(ctx, changed, client.MergeFrom(o))).To(MatchError(ContainSubstring(unchangeable[name].message)))
		})
	}

	It("takes what the refused objects are made of", func(ctx SpecContext) {
		for _, make := range []func() client.Object{
			safeguardWith(func(*v1alpha1.Safeguard) {}), policyWith(lease(10 * time.Second)), policyWith(evict(0, time.Minute)),
			thresholdWith(func(*v1alpha1.Threshold) {}), modelWith(func(*v1alpha1.ModelDeployment) {}), assessment,
		} {
			Expect(api.Create(ctx, make(), client.DryRunAll)).To(Succeed())
		}
	})

	It("has no rule that these tests do not try", func(ctx SpecContext) {
		var tried []string
		for _, r := range refused {
			tried = append(tried, r.message)
		}
		for _, u := range unchangeable {
			tried = append(tried, u.message)
		}
		crds := &apiextensionsv1.CustomResourceDefinitionList{}
		Expect(api.List(ctx, crds)).To(Succeed())
		rules := 0
		for i := range crds.Items {
			for _, message := range messages(crds.Items[i].Spec.Versions[0].Schema.OpenAPIV3Schema) {
				rules++
				Expect(slices.ContainsFunc(tried, func(t string) bool { return strings.Contains(message, t) })).To(
					BeTrue(), "%s: %s", crds.Items[i].Name, message)
			}
		}
		Expect(rules).To(BeNumerically(">", 15))
	})
})

// messages gives those of all CEL rules of a schema.
func messages(schema *apiextensionsv1.JSONSchemaProps) []string {
	GinkgoHelper()
	text, err := json.Marshal(schema)
	Expect(err).NotTo(HaveOccurred())
	var tree any
	Expect(json.Unmarshal(text, &tree)).To(Succeed())
	return messagesIn(tree)
}

func messagesIn(node any) []string {
	var all []string
	switch node := node.(type) {
	case []any:
		for _, child := range node {
			all = append(all, messagesIn(child)...)
		}
	case map[string]any:
		if rules, ok := node["x-kubernetes-validations"].([]any); ok {
			for _, r := range rules {
				message, _ := r.(map[string]any)["message"].(string)
				all = append(all, message) // a rule without a message of its own is found by no test
			}
		}
		for _, child := range node {
			all = append(all, messagesIn(child)...)
		}
	}
	return all
}

func egress(cidrs ...string) *v1alpha1.ResourceRule {
	return builder.Safeguard("").Egress(cidrs...).Build().Spec.Resource
}

func safeguardWith(change func(*v1alpha1.Safeguard)) func() client.Object {
	return func() client.Object {
		sg := builder.Safeguard("validation").PodRule("true", "never").Build()
		change(sg)
		return sg
	}
}

func policyWith(change option) func() client.Object {
	return func() client.Object {
		p := builder.ScalingPolicy("validation").Level(builder.Level(builder.ASL2).Deployment("a")).Build()
		change(&p.Spec)
		return p
	}
}

func thresholdWith(change func(*v1alpha1.Threshold), options ...option) func() client.Object {
	return policyWith(func(p *v1alpha1.ScalingPolicySpec) {
		t := v1alpha1.Threshold{
			Name: "CBRN-3", Domain: "CBRN", Definition: "uplift", Source: v1alpha1.Source{Document: "tests"},
			Demands: []v1alpha1.ThresholdDemand{{Axis: v1alpha1.AxisSecurity, Level: builder.ASL2}}}
		change(&t)
		p.Thresholds = []v1alpha1.Threshold{t}
		for _, o := range options {
			o(p)
		}
	})
}

func modelWith(change func(*v1alpha1.ModelDeployment)) func() client.Object {
	return func() client.Object {
		md := builder.ModelDeployment("default", "validation").Build()
		change(md)
		return md
	}
}

func assessment() client.Object {
	return builder.Assessment("validation", time.Now()).Outcome(reached, "CBRN-3").Build()
}

func assessmentWith(change func(*v1alpha1.CapabilityAssessmentSpec)) func() client.Object {
	return func() client.Object {
		a := assessment().(*v1alpha1.CapabilityAssessment)
		change(&a.Spec)
		return a
	}
}

func riskReport() client.Object {
	return &v1alpha1.RiskReport{
		ObjectMeta: metav1.ObjectMeta{Name: "validation"},
		Spec: v1alpha1.RiskReportSpec{
			Source: v1alpha1.Source{Document: "Risk Report"}, Document: builder.Digest, Date: "2026-05-01", Digests: []string{builder.Digest}},
	}
}

func roadmap() client.Object {
	return &v1alpha1.SafetyRoadmap{
		ObjectMeta: metav1.ObjectMeta{Name: "validation"},
		Spec: v1alpha1.SafetyRoadmapSpec{Goals: []v1alpha1.Goal{{
			Name: "a", Pillar: "Security", Goal: "to be done", DateSet: "2026-01-01", TargetDate: "2027-01-01",
			Updates: []v1alpha1.GoalUpdate{{Date: "2026-02-01", Text: "begun"}}}}},
	}
}
