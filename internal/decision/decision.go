// Package decision owns the verdict on a model: what its policy requires of it, whether that is in place, until when,
// and what is done about running pods when it is not.
//
// It is pure. Time is an input, the same input gives the same verdict, and there is no second implementation: the
// controllers, the command line and the reports all call it. It must not import anything but the API types and the
// standard library.
package decision

import (
	"cmp"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"slices"
	"strings"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/interlock-dev/interlock/api/v1alpha1"
)

// DefaultLease is how long a clearance lasts when the policy does not say.
const DefaultLease = time.Hour

// Input is all that a verdict rests on.
type Input struct {
	// Now is the time of the decision.
	Now time.Time
	// PolicyName is the policy that the namespace names, whether it exists or not.
	PolicyName string
	// Policy is nil when it does not exist.
	Policy *v1alpha1.ScalingPolicy
	// Model is what was declared.
	Model *v1alpha1.ModelDeployment
	// Assessments of the model; those of other weights are ignored.
	Assessments []v1alpha1.CapabilityAssessment
	// RiskReports that cover the model; those of other weights are ignored.
	RiskReports []v1alpha1.RiskReport
	// Findings hold what was found of each Safeguard, by its name. What is not here is unknown.
	Findings map[string]Finding
	// AdmittedPods counts the living pods of the model that are past the gate.
	AdmittedPods int
	// Specs holds the SpecDigest of Safeguards by their name.
	Specs map[string]string
	// PodRules names the Safeguards by which each pod is judged by itself: from no other can single pods be exempted.
	PodRules map[string]bool
	// Approvals and Waivers in the model's namespace; those of other subjects and models are ignored.
	Approvals []v1alpha1.Approval
	Waivers   []v1alpha1.Waiver
	// SharedNamespace is one whose Approvals of what is in no namespace, which are among Approvals, count for all models.
	SharedNamespace string
	// PolicyDigest identifies the policy with its Safeguards, and PolicyAuthors are who last wrote these. They are needed
	// only where AsksApprovalOf the policy itself.
	PolicyDigest  string
	PolicyAuthors []string
}

// Finding is what a verification method found of one Safeguard for one model.
type Finding struct {
	State    v1alpha1.SafeguardState
	Strength v1alpha1.Strength
	// Message says what was found, in one line.
	Message string
	// Remedy says what to do when it is not satisfied.
	Remedy string
	// ValidUntil is when the finding ends by itself; zero, it does not.
	ValidUntil time.Time
	// Evidence is what shows this; none, if it is seen on the cluster.
	Evidence []Object
}

// Verdict is the decision on one model.
type Verdict struct {
	Outcome v1alpha1.Outcome
	// Reason is one of the reasons of the Ready condition.
	Reason string
	// Message says why, in one line.
	Message string
	// DeploymentLevel and SecurityLevel are the levels required on each axis.
	DeploymentLevel, SecurityLevel string
	// Disputed says that more is asked than the model declares, and why.
	Disputed string
	// Reported says what is asked for by what does not hold the model, and left open.
	Reported string
	// Thresholds of the policy, and what the assessments say of each.
	Thresholds []v1alpha1.ThresholdResult
	// Safeguards are those required, by name.
	Safeguards []v1alpha1.SafeguardResult
	// Met, Waived and Required count the safeguards that hold the model.
	Met, Waived, Required int
	// DecisionDigest identifies the decision to serve the model, for people to approve.
	DecisionDigest string
	// SignOffs that the policy asks for, those that are missing first.
	SignOffs []v1alpha1.SignOffResult
	// Waivers of the model, by name.
	Waivers []v1alpha1.WaiverResult
	// Exemptions of single pods, by pod and Safeguard.
	Exemptions []Exemption
	// ValidUntil is the end of the clearance; zero unless cleared.
	ValidUntil time.Time
	// Revisit is when time alone may change the verdict; zero, it cannot.
	Revisit time.Time
}

// Cleared says whether pods of the model may run.
func (v Verdict) Cleared() bool { return v.Outcome == v1alpha1.OutcomeCleared }

// Unrecorded gives what becomes of a clearance that cannot be recorded, and so does not take effect. It is never a
// revocation: no pod is taken out because a log cannot be written.
func (v Verdict) Unrecorded(why string) Verdict {
	if v.Cleared() {
		v.ValidUntil = time.Time{}
		v.hold(v1alpha1.ReasonNotRecorded, fmt.Sprintf("%s, but the decision cannot be recorded and so does not take effect: %s; have the decision record repaired",
			v.Message, why))
	}
	return v
}

// SafeguardsMet writes the count of safeguards met and required, as "3/5" or "3/5, 1 waived"; empty when nothing could be
// required.
func (v Verdict) SafeguardsMet() string {
	if v.Required == 0 {
		return ""
	}
	if v.Waived > 0 {
		return fmt.Sprintf("%d/%d, %d waived", v.Met, v.Required, v.Waived)
	}
	if len(v.Exemptions) > 0 {
		return fmt.Sprintf("%d/%d, pods exempted", v.Met, v.Required)
	}
	return fmt.Sprintf("%d/%d", v.Met, v.Required)
}

// Decide gives the verdict on a model. Whatever is not known, not found or not understood holds it.
func Decide(in Input) Verdict {
	v := decide(in)
	if v.Outcome == v1alpha1.OutcomeHeld && in.AdmittedPods > 0 {
		v.Outcome = v1alpha1.OutcomeRevoked
	}
	return v
}

func decide(in Input) Verdict {
	if in.Policy == nil {
		return held(v1alpha1.ReasonPolicyNotFound, fmt.Sprintf(
			"ScalingPolicy %q does not exist; create it, or have the namespace's labels changed", in.PolicyName))
	}
	req, err := require(in)
	if err != nil {
		return held(v1alpha1.ReasonLevelUnknown, err.Error())
	}
	v := Verdict{DeploymentLevel: req.deployment, SecurityLevel: req.security, Disputed: req.disputed,
		Reported: OneLine(strings.Join(req.reported, "; "), maxMessage)}
	waivers, waiverSignOffs := in.waivers(req)
	v.judge(in, req, waivers)
	v.exempt(waivers)
	v.wait(in.Now, waivers)
	notAssessed := v.weigh(in, req.thresholds)
	notApproved := v.signOff(in, req, waiverSignOffs)

	switch {
	case len(notAssessed) > 0:
		v.hold(v1alpha1.ReasonNotAssessed, fmt.Sprintf("policy %s holds the model until assessments settle %s; file a CapabilityAssessment",
			in.PolicyName, strings.Join(notAssessed, ", ")))
	case len(req.unspecified) > 0:
		v.hold(v1alpha1.ReasonSafeguardsUnspecified, strings.Join(req.unspecified, "; "))
	case v.Required == 0:
		v.hold(v1alpha1.ReasonSafeguardsUnspecified, fmt.Sprintf(
			"policy %s asks for no safeguard that binds at level %s; an empty list is not a clearance", in.PolicyName, v.DeploymentLevel))
	case v.Met+v.Waived < v.Required:
		v.hold(v1alpha1.ReasonSafeguardsMissing, missing(v))
	case len(notApproved) > 0:
		v.hold(v1alpha1.ReasonNotApproved, fmt.Sprintf("policy %s holds the model until it is approved: %s; see signOffs in its status for how",
			in.PolicyName, strings.Join(notApproved, "; ")))
	default:
		v.clear(in, req.thresholds)
	}
	v.await(in)
	return v
}

// weigh notes what the assessments say of each threshold, and returns those for which the policy holds the model.
func (v *Verdict) weigh(in Input, thresholds []threshold) (notAssessed []string) {
	v.Thresholds = make([]v1alpha1.ThresholdResult, 0, len(thresholds))
	for i := range thresholds {
		t := &thresholds[i]
		v.Thresholds = append(v.Thresholds, t.result(in))
		v.Revisit = Sooner(v.Revisit, t.validUntil())
		if t.holds() {
			notAssessed = append(notAssessed, fmt.Sprintf("%s (%s)", t.definition.Name, t.state()))
		}
	}
	return notAssessed
}

// wait looks again when a waiver begins or ends.
func (v *Verdict) wait(now time.Time, waivers []waiver) {
	v.Waivers = make([]v1alpha1.WaiverResult, 0, min(len(waivers), maxWaivers))
	for i := range waivers {
		w := &waivers[i]
		for _, at := range []time.Time{w.begins, w.ends} {
			if now.Before(at) {
				v.Revisit = Sooner(v.Revisit, at)
			}
		}
		if len(v.Waivers) < maxWaivers {
			v.Waivers = append(v.Waivers, v1alpha1.WaiverResult{Name: w.Name, State: w.state, Message: OneLine(w.message, maxMessage)})
		}
	}
}

// await looks again when an assessment that is dated in the future comes to count.
func (v *Verdict) await(in Input) {
	for i := range in.Assessments {
		if a := &in.Assessments[i]; in.Now.Before(a.Spec.AssessedAt.Time) && in.concerns(a) {
			v.Revisit = Sooner(v.Revisit, a.Spec.AssessedAt.UTC())
		}
	}
}

// Asked names the Safeguards that are asked of a model; nil where that cannot be told.
type Asked struct {
	// Required are all, whatever their force.
	Required []string
	// Reported are those of them that do not hold the model.
	Reported []string
	// Waived are those from which waivers excuse the model now, whether they are in place or not.
	Waived []string
	// Exempt are those from which waivers excuse single pods now, by the name of the pod.
	Exempt map[string][]string
}

// Holds says whether a Safeguard holds the model while it is not in place.
func (a Asked) Holds(safeguard string) bool {
	return slices.Contains(a.Required, safeguard) && !slices.Contains(a.Reported, safeguard) && !slices.Contains(a.Waived, safeguard)
}

// AskedOf tells what is asked of a model. Findings are not looked at.
func AskedOf(in Input) Asked {
	req, err := require(in)
	if err != nil {
		return Asked{}
	}
	var waivers []waiver
	if in.Model != nil {
		waivers, _ = in.waivers(req)
	}
	asked := Asked{Required: make([]string, 0, len(req.obligations))}
	for i := range req.obligations {
		o := &req.obligations[i]
		asked.Required = append(asked.Required, o.safeguard)
		switch {
		case !holds(o.force):
			asked.Reported = append(asked.Reported, o.safeguard)
		case excuse(waivers, o.safeguard, wholeModel) != nil:
			asked.Waived = append(asked.Waived, o.safeguard)
		default:
			for _, e := range exemptions(waivers, o.safeguard) {
				if asked.Exempt == nil {
					asked.Exempt = map[string][]string{}
				}
				asked.Exempt[e.Pod] = append(asked.Exempt[e.Pod], e.Safeguard)
			}
		}
	}
	return asked
}

// Digest identifies a policy together with the Safeguards that it names: whatever changes what is asked changes it.
func Digest(policy *v1alpha1.ScalingPolicy, safeguards []v1alpha1.Safeguard) string {
	h := sha256.New()
	encode := json.NewEncoder(h)
	write := func(name string, spec any) {
		_ = encode.Encode(name)
		_ = encode.Encode(spec)
	}
	write(policy.Name, policy.Spec)
	named := Named(policy)
	for _, sg := range slices.SortedFunc(slices.Values(safeguards), func(a, b v1alpha1.Safeguard) int { return cmp.Compare(a.Name, b.Name) }) {
		if slices.Contains(named, sg.Name) {
			write(sg.Name, sg.Spec)
		}
	}
	return "sha256:" + hex.EncodeToString(h.Sum(nil))
}

// Named lists the Safeguards that a policy names at any level, sorted.
func Named(policy *v1alpha1.ScalingPolicy) []string {
	var names []string
	add := func(obligations []v1alpha1.Obligation) {
		for _, o := range obligations {
			names = append(names, o.Safeguard)
		}
	}
	for _, l := range policy.Spec.Levels {
		add(l.Deployment.Safeguards)
		add(l.Security.Safeguards)
	}
	for i := range policy.Spec.Thresholds {
		add(policy.Spec.Thresholds[i].Safeguards)
	}
	slices.Sort(names)
	return slices.Compact(names)
}

func held(reason, message string) Verdict {
	var v Verdict
	v.hold(reason, message)
	return v
}

func (v *Verdict) hold(reason, message string) {
	v.Outcome, v.Reason, v.Message = v1alpha1.OutcomeHeld, reason, OneLine(message, maxMessage)
}

// judge sets what was found of each required safeguard, and when the first of that ends by itself.
func (v *Verdict) judge(in Input, req requirement, waivers []waiver) {
	v.Safeguards = make([]v1alpha1.SafeguardResult, len(req.obligations))
	for i := range req.obligations {
		o := &req.obligations[i]
		f, looked := in.Findings[o.safeguard]
		if !looked {
			f = Finding{Message: fmt.Sprintf("Safeguard %q does not exist or was not looked at", o.safeguard),
				Remedy: "create the Safeguard, or have it taken out of the policy"}
		}
		r := &v.Safeguards[i]
		*r = result(f, o, in.Now)
		if holds(r.Force) {
			v.waive(r, excuse(waivers, o.safeguard, wholeModel))
		}
		if f.State == v1alpha1.SafeguardSatisfied && r.ValidUntil != nil && in.Now.Before(r.ValidUntil.Time) {
			v.Revisit = Sooner(v.Revisit, r.ValidUntil.Time)
		}
		if holds(r.Force) {
			v.Required++
			if r.State == v1alpha1.SafeguardSatisfied {
				v.Met++
			}
		}
	}
}

// waive lets a waiver excuse the model from a safeguard, also from one that is in place: the API server does not enforce it
// meanwhile, and whoever reads this is to know.
func (v *Verdict) waive(r *v1alpha1.SafeguardResult, w *waiver) {
	if w == nil {
		return
	}
	v.Waived++
	found := r.Message
	if found == "" {
		found = string(r.State)
	}
	r.State, r.Waiver, r.ValidUntil = v1alpha1.SafeguardWaived, w.Name, &metav1.Time{Time: w.ends}
	r.Message = OneLine(fmt.Sprintf("waived until %s by %s (%s; meanwhile: %s): %s", w.ends.Format(time.RFC3339), w.Name,
		w.Spec.Ticket, OneLine(w.Spec.InterimMeasure, maxRemedy), found), maxMessage)
}

// clear ends the clearance at the nearest expiry of anything that it rests on.
func (v *Verdict) clear(in Input, thresholds []threshold) {
	v.Outcome, v.Reason = v1alpha1.OutcomeCleared, v1alpha1.ReasonCleared
	v.Message = fmt.Sprintf("all %d safeguards are in place", v.Required)
	if len(v.Exemptions) > 0 {
		v.Message = OneLine(fmt.Sprintf("all %d safeguards are in place, but for single pods: %s", v.Required, v.WaivedText()), maxMessage)
	}
	if v.Waived > 0 {
		v.Message = OneLine(fmt.Sprintf("%d of %d safeguards are in place, %d waived: %s", v.Met, v.Required, v.Waived, v.WaivedText()), maxMessage)
	}
	end, renew := LeaseEnd(in.Policy, in.Now)
	v.ValidUntil, v.Revisit = end, Sooner(v.Revisit, renew)
	for i := range thresholds {
		v.ValidUntil = Sooner(v.ValidUntil, thresholds[i].validUntil())
	}
	for i := range v.Safeguards {
		if r := &v.Safeguards[i]; r.ValidUntil != nil && holds(r.Force) {
			v.ValidUntil = Sooner(v.ValidUntil, r.ValidUntil.Time)
		}
	}
}

// shortestLease is the least that a grid of whole seconds can tell into halves.
const shortestLease = 2 * time.Second

// LeaseEnd gives the end of a clearance that is decided now, and when to renew it. Ends lie on a grid of half leases, so
// that a clearance lasts between a half and a whole lease, a verdict does not change from one moment to the next, and
// all models under a policy share few ends. A lease that is too short to keep lasts as short as can be.
func LeaseEnd(policy *v1alpha1.ScalingPolicy, now time.Time) (end, renew time.Time) {
	lease := DefaultLease
	if policy.Spec.Lease != nil {
		lease = max(policy.Spec.Lease.Duration, shortestLease)
	}
	half := (lease / 2).Truncate(time.Second)
	slot := now.UTC().Truncate(half)
	return slot.Add(2 * half), slot.Add(half)
}

// result says whether what was found meets what is asked at a time.
func result(f Finding, o *obligation, now time.Time) v1alpha1.SafeguardResult {
	r := v1alpha1.SafeguardResult{
		Name: o.safeguard, RequiredBy: o.requiredBy, Force: o.force,
		State: f.State, Strength: f.Strength, Message: f.Message, Remedy: f.Remedy, ValidUntil: f.ends(),
	}
	switch {
	case f.State == v1alpha1.SafeguardMissing || f.State == v1alpha1.SafeguardExpired:
	case f.State != v1alpha1.SafeguardSatisfied:
		r.State = v1alpha1.SafeguardUnknown
	case r.ValidUntil != nil && !now.Before(r.ValidUntil.Time):
		r.State = v1alpha1.SafeguardExpired
		r.Message = fmt.Sprintf("ended at %s: %s", r.ValidUntil.Format(time.RFC3339), f.Message)
	case rank(f.Strength) < demanded(o.minimumStrength):
		r.State = v1alpha1.SafeguardMissing
		r.Message = fmt.Sprintf("shown as %s, but the policy asks for %s: %s", f.Strength, o.minimumStrength, f.Message)
	default:
		r.Remedy = ""
	}
	r.Message, r.Remedy = OneLine(r.Message, maxMessage), OneLine(r.Remedy, maxRemedy)
	return r
}

// missing words what keeps a model from being cleared, the first three in full.
func missing(v Verdict) string {
	const shown = 3
	var parts []string
	for _, r := range v.Safeguards {
		if holds(r.Force) && r.State != v1alpha1.SafeguardSatisfied && r.State != v1alpha1.SafeguardWaived {
			parts = append(parts, fmt.Sprintf("%s (%s): %s", r.Name, r.State, r.Message))
		}
	}
	text := strings.Join(parts[:min(shown, len(parts))], "; ")
	if len(parts) > shown {
		text += fmt.Sprintf("; and %d more", len(parts)-shown)
	}
	return fmt.Sprintf("%d of %d safeguards missing: %s", v.Required-v.Met-v.Waived, v.Required, text)
}

// holds says whether an obligation of this force keeps a model from being served.
func holds(f v1alpha1.Force) bool {
	return f != v1alpha1.ForceDiscretionary && f != v1alpha1.ForceRecommendation
}

var strengths = []v1alpha1.Strength{
	v1alpha1.StrengthDeclared, v1alpha1.StrengthAttested, v1alpha1.StrengthObserved, v1alpha1.StrengthEnforced,
}

// rank orders proofs from the weakest; an unknown one is weaker than all.
func rank(s v1alpha1.Strength) int { return slices.Index(strengths, s) }

// demanded orders what a policy asks for, in the ranks of proofs: nothing is met by any, and by none what is unknown.
func demanded(s v1alpha1.Strength) int {
	if i := rank(s); i >= 0 || s == "" {
		return i
	}
	return len(strengths)
}

// ends gives the second in which a satisfied finding ends by itself, since the API keeps no fractions: an expiry is
// never shown later than it is. Nil, it does not.
func (f Finding) ends() *metav1.Time {
	if f.ValidUntil.IsZero() {
		return nil
	}
	return &metav1.Time{Time: f.ValidUntil.UTC().Truncate(time.Second)}
}

// Sooner gives the earlier of two times, of which zero is never.
func Sooner(a, b time.Time) time.Time {
	if a.IsZero() || !b.IsZero() && b.Before(a) {
		return b
	}
	return a
}

// WaivedText names the Safeguards from which the model or a pod is excused, and until when; empty, there are none.
func (v Verdict) WaivedText() string {
	var parts []string
	for _, r := range v.Safeguards {
		if r.State == v1alpha1.SafeguardWaived {
			parts = append(parts, fmt.Sprintf("%s until %s by %s", r.Name, r.ValidUntil.UTC().Format(time.RFC3339), r.Waiver))
		}
	}
	for _, e := range v.Exemptions {
		parts = append(parts, e.Safeguard+" "+e.text())
	}
	return OneLine(strings.Join(parts, ", "), maxMessage)
}

// Rules names the Safeguards that hold the model and are not waived.
func (v Verdict) Rules() []string {
	var names []string
	for _, r := range v.Safeguards {
		if holds(r.Force) && r.State != v1alpha1.SafeguardWaived {
			names = append(names, r.Name)
		}
	}
	return names
}
