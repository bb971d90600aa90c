package verdict

import (
	"slices"
	"time"

	networkingv1 "k8s.io/api/networking/v1"

	"github.com/interlock-dev/interlock/api/v1alpha1"
	"github.com/interlock-dev/interlock/internal/admission"
	"github.com/interlock-dev/interlock/internal/decision"
	"github.com/interlock-dev/interlock/internal/safeguard"
	"github.com/interlock-dev/interlock/internal/workload"
)

// Judge judges the model of a snapshot under each policy that its namespace names. It is pure: of the compiler it uses nothing
// but what that makes of the Safeguards of the snapshot.
func Judge(compiler *safeguard.Compiler, s *Snapshot) Result {
	c := compileAll(compiler, s)
	r := Result{Judgements: make([]Judgement, 0, len(s.Enrolments)), Revisit: s.Reread, Stands: admission.Find(s.Clearances, s.Model.Name)}
	around := safeguard.Surroundings{Now: s.Now, Weights: s.Model.Spec.Model.Sources, Named: s.WeightsNamed}
	if len(s.Enrolments) > 0 {
		around.NetworkPolicies = withoutIsolation(s.NetworkPolicies)
	}
	for i := range s.Enrolments {
		e := &s.Enrolments[i]
		in := c.input(s, e)
		f := find(s, c, e, in, around, r.Stands.Cleared())
		r.Revisit = decision.Sooner(r.Revisit, f.revisit)
		in.Findings = f.byName
		if e.Label == v1alpha1.EnforceLabel {
			r.enforce(s, c, e, in, f)
			continue
		}
		r.add(s, c, e, in, f, decision.Decide(in))
	}
	r.Shortfall = remember(s, &r)
	return r
}

// withoutIsolation leaves out what isolates models: else what is done about a lack of NetworkPolicies would make up for it.
func withoutIsolation(policies []networkingv1.NetworkPolicy) []networkingv1.NetworkPolicy {
	return slices.DeleteFunc(slices.Clone(policies), func(p networkingv1.NetworkPolicy) bool {
		return workload.IsIsolation(&p)
	})
}

// input is what there is to decide by, but for the findings.
func (c compiled) input(s *Snapshot, e *Enrolment) decision.Input {
	in := decision.Input{
		Now: s.Now, PolicyName: e.PolicyName, Policy: e.Policy, Model: s.Model, AdmittedPods: len(s.Admitted()),
		Assessments: s.Assessments, RiskReports: s.RiskReports,
		Approvals: s.Approvals, Waivers: s.Waivers, SharedNamespace: s.SharedNamespace,
		Specs: c.specs(e.Policy), PodRules: c.podRules}
	if decision.AsksApprovalOf(e.Policy, v1alpha1.SubjectPolicy) {
		in.PolicyDigest, in.PolicyAuthors = decision.Digest(e.Policy, s.Safeguards), authorsOf(s, e.Policy)
	}
	return in
}

// authorsOf names who wrote a policy and the Safeguards that it names.
func authorsOf(s *Snapshot, policy *v1alpha1.ScalingPolicy) []string {
	authors := decision.AuthorsOf(policy.Annotations)
	named := decision.Named(policy)
	for i := range s.Safeguards {
		if slices.Contains(named, s.Safeguards[i].Name) {
			authors = append(authors, decision.AuthorsOf(s.Safeguards[i].Annotations)...)
		}
	}
	return authors
}

// enforce decides under the policy that is enforced. A model that is not cleared waits until the API server enforces all
// rules that it needs: until then nothing would keep out a pod that breaks one. A model that is cleared is not revoked because
// a rule is new; its pods are judged by it all the same.
func (r *Result) enforce(s *Snapshot, c compiled, e *Enrolment, in decision.Input, f findings) {
	v := decision.Decide(in)
	if !r.Stands.Cleared() {
		if until := c.settling(in.Findings, s.Now); !until.IsZero() {
			r.OnlyWaits = v.Cleared()
			r.Revisit = decision.Sooner(r.Revisit, until)
			v = decision.Decide(in)
		}
	}
	r.Basis = decision.Basis(in, v)
	for i := range v.Safeguards {
		if sg, ok := c.usable[v.Safeguards[i].Name]; ok {
			r.Basis = append(r.Basis, decision.Object{Kind: "Safeguard", Name: sg.Name, Digest: sg.SpecDigest})
		}
	}
	r.add(s, c, e, in, f, v)
	r.Enforced, r.IsEnforced, r.inspection = r.Judgements[len(r.Judgements)-1], true, f.inspection
	for _, rule := range c.given(r.Enforced.Adjustments) {
		r.Given = append(r.Given, rule.Given())
		r.Settles = r.Settles || c.wait[rule.Safeguard] > 0
	}
	r.OnlyUnfetched = r.Stands.Cleared() && f.lacksOnlyUnfetched(v)
}

// settling takes the Safeguards for unknown that are in place but for a rule that the API server does not enforce yet, and
// gives the time by which it does; zero, there are none.
func (c compiled) settling(findings map[string]decision.Finding, now time.Time) (until time.Time) {
	for name, wait := range c.wait {
		if f, asked := findings[name]; !asked || f.State != v1alpha1.SafeguardSatisfied {
			continue
		}
		findings[name] = decision.Finding{State: v1alpha1.SafeguardUnknown,
			Message: "the rule is new, and the API server does not enforce it yet", Remedy: "wait some seconds"}
		if at := now.Add(wait); at.After(until) {
			until = at
		}
	}
	return until
}

// add makes the judgement of a verdict.
func (r *Result) add(s *Snapshot, c compiled, e *Enrolment, in decision.Input, f findings, v decision.Verdict) {
	r.Revisit = decision.Sooner(r.Revisit, v.Revisit)
	holding := v.Rules()
	j := Judgement{
		Label: e.Label, Policy: e.PolicyName, PolicyDigest: decision.DigestUsed(in, v), Verdict: v,
		Advice: c.advice(s.Model.Name, e.PolicyName, v), Openings: f.openings}
	for _, rule := range c.given(holding) {
		j.Adjustments = append(j.Adjustments, rule.Safeguard)
	}
	if slices.ContainsFunc(holding, func(name string) bool { return c.rules[name].ReadsWeights() }) {
		j.Weights = slices.Sorted(slices.Values(s.Model.Spec.Model.Sources))
	}
	j.Connect = slices.DeleteFunc(holding, func(name string) bool { return c.rules[name].Connect == nil })
	r.Judgements = append(r.Judgements, j)
}
