package decision

import (
	"cmp"
	"crypto/sha256"
	"encoding/binary"
	"encoding/hex"
	"encoding/json"
	"slices"
	"time"

	"github.com/interlock-dev/interlock/api/v1alpha1"
)

// SpecDigest identifies the spec of an object, such as a Safeguard: in JSON, the fields in the order of their types and the
// keys of maps sorted. It costs some microseconds and a spec changes with the generation of its object only, so callers
// that decide often keep it by UID and generation.
func SpecDigest(spec any) string {
	text, err := json.Marshal(spec)
	if err != nil {
		return "" // a spec is made of what can be encoded
	}
	return digestOf(text)
}

// TrustDigest identifies whom a policy trusts under some names, and by which root.
func TrustDigest(trust *v1alpha1.Trust, names []string) string {
	if trust == nil {
		return ""
	}
	var signers []v1alpha1.Signer
	for i := range trust.Signers {
		if slices.Contains(names, trust.Signers[i].Name) {
			signers = append(signers, trust.Signers[i])
		}
	}
	slices.SortFunc(signers, func(a, b v1alpha1.Signer) int { return cmp.Compare(a.Name, b.Name) })
	text, err := json.Marshal(v1alpha1.Trust{Signers: signers, TrustedRoot: trust.TrustedRoot})
	if err != nil {
		return "" // it is made of what can be encoded
	}
	return digestOf(text)
}

func digestOf(content []byte) string {
	sum := sha256.Sum256(content)
	return "sha256:" + hex.EncodeToString(sum[:])
}

// DigestUsed identifies what a verdict used of the policy and its Safeguards, of which in.Specs holds the SpecDigest by name:
// the rules on assessments; of each threshold its name and definition, and what it leads to unless it is ruled out; the
// levels that are asked for on each axis, as far as they speak of the model's audience; the baseline, the lease, and the
// steps on a shortfall; the required Safeguards; and the sign-offs and waivers that count at these levels. A change that does
// not bear on the model leaves it, such as one of a higher level, of another audience, or of sources and of sign-offs for the
// reader. Where a Safeguard rests on evidence, in.Specs holds whom the policy trusts for it as well. It is empty when there
// is no policy.
func DigestUsed(in Input, v Verdict) string {
	if in.Policy == nil || in.Model == nil {
		return ""
	}
	u := used{text: make([]byte, 0, 8192), audience: audienceOf(in.Model)}
	u.add("policy", in.Policy.Name)
	u.addRules(in.Policy)
	tops := [len(axes)]int{}
	for i := range tops {
		tops[i] = max(level(in.Policy, in.Policy.Spec.BaselineLevel), level(in.Policy, in.Model.Spec.AssessedLevel))
	}
	thresholds := thresholdsOf(in.Policy)
	for i := range thresholds {
		ruledOut := i < len(v.Thresholds) && v.Thresholds[i].State == states[ruledOut] && v.Thresholds[i].Name == thresholds[i].definition.Name
		u.addThreshold(thresholds[i].definition, ruledOut)
		if ruledOut {
			continue
		}
		for _, d := range thresholds[i].definition.Demands {
			if axis := slices.Index(axes[:], d.Axis); axis >= 0 {
				tops[axis] = max(tops[axis], level(in.Policy, d.Level))
			}
		}
	}
	if v.Reason == v1alpha1.ReasonLevelUnknown {
		for _, name := range levelNames(in.Policy) { // it tells which there are
			u.add("level name", name)
		}
	} else {
		u.addLevels(in.Policy, tops)
	}
	u.add("baseline", in.Policy.Spec.BaselineLevel)
	end, renew := LeaseEnd(in.Policy, time.Time{})
	u.addNumbers(int64(end.Sub(renew)))
	for _, at := range ScheduleOf(in.Policy, v.DeploymentLevel, v.SecurityLevel) {
		u.addNumbers(int64(at))
	}
	for i := range v.Safeguards {
		u.add("safeguard", v.Safeguards[i].Name, in.Specs[v.Safeguards[i].Name])
	}
	u.addSignOffs(in.Policy, max(tops[0], tops[1]))
	return digestOf(u.text)
}

// used gathers what a verdict used, each part with its length before it.
type used struct {
	text     []byte
	audience v1alpha1.Audience
}

func (u *used) add(parts ...string) {
	for _, p := range parts {
		u.text = binary.AppendUvarint(u.text, uint64(len(p)))
		u.text = append(u.text, p...)
	}
}

func (u *used) addNumbers(numbers ...int64) {
	for _, n := range numbers {
		u.text = binary.AppendVarint(u.text, n)
	}
}

// addSignOffs adds those that are asked for at a level, and what they let be waived.
func (u *used) addSignOffs(policy *v1alpha1.ScalingPolicy, top int) {
	for _, kind := range subjectKinds {
		for _, a := range askedSignOffs(policy, kind, top) {
			u.add("sign-off", string(kind), a.role)
			u.addNumbers(int64(a.people()))
			u.add(slices.Sorted(slices.Values(a.rule.NoticeTo))...)
			for _, right := range slices.Sorted(slices.Values(a.rule.ServiceAccounts)) {
				u.add("ServiceAccounts", string(right))
			}
		}
	}
	if longest := longestWaiver(policy, top); longest > 0 {
		u.add("waivers")
		u.addNumbers(int64(longest))
	}
}

func (u *used) addRules(policy *v1alpha1.ScalingPolicy) {
	if len(policy.Spec.Thresholds) == 0 {
		return
	}
	rules := RulesOf(policy)
	u.add("rules")
	for _, l := range []*int32{rules.MaxAgeMonths, rules.MaxComputeFactor} {
		u.addNumbers(Bound(l))
	}
	for _, t := range treatmentsUnder(rules) {
		u.add(string(t))
	}
	u.addNumbers(int64(SupersessionRank(rules.Supersession)))
}

func (u *used) addThreshold(t *v1alpha1.Threshold, ruledOut bool) {
	u.add("threshold", t.Name, t.Definition)
	if IsOnlyIfFound(t) { // which bears on a model for which it is ruled out too, once the assessment is too old
		u.add("only if found")
	}
	if ruledOut {
		return
	}
	demands := slices.SortedFunc(slices.Values(t.Demands), func(a, b v1alpha1.ThresholdDemand) int {
		return cmp.Or(cmp.Compare(a.Axis, b.Axis), cmp.Compare(a.Level, b.Level), cmp.Compare(a.Force, b.Force))
	})
	for _, d := range demands {
		u.add("demand", string(d.Axis), d.Level, string(orBinding(d.Force)))
	}
	u.add("unspecified", t.Unspecified)
	u.addObligations(t.Safeguards)
}

func (u *used) addLevels(policy *v1alpha1.ScalingPolicy, tops [len(axes)]int) {
	for axis, top := range tops {
		for i := range policy.Spec.Levels[:top+1] {
			l := &policy.Spec.Levels[i]
			s := standardOf(l, axes[axis])
			u.add("level", string(axes[axis]), l.Name, s.Unspecified)
			if len(s.Safeguards) == 0 && s.NotRequired == "" {
				u.add("says nothing")
			}
			u.addObligations(s.Safeguards)
		}
	}
}

// addObligations adds those to the model's audience, by name.
func (u *used) addObligations(obligations []v1alpha1.Obligation) {
	order := make([]int, 0, len(obligations))
	for i := range obligations {
		if o := &obligations[i]; len(o.Audiences) == 0 || slices.Contains(o.Audiences, u.audience) {
			order = append(order, i)
		}
	}
	slices.SortFunc(order, func(a, b int) int { return cmp.Compare(obligations[a].Safeguard, obligations[b].Safeguard) })
	for _, i := range order {
		o := &obligations[i]
		u.add("obligation", o.Safeguard, string(orBinding(o.Force)), string(o.MinimumStrength))
		if isUnwaivable(o) {
			u.add("unwaivable")
		}
	}
}
