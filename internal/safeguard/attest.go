package safeguard

import (
	"cmp"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/interlock-dev/interlock/api/v1alpha1"
	"github.com/interlock-dev/interlock/internal/decision"
	"github.com/interlock-dev/interlock/internal/evidence"
)

// Attested is what became of one statement that an Attestation brings, or of the Attestation, if that is not known.
type Attested struct {
	// Name of the Attestation, as "namespace/name", and the digest of the statement's manifest, if it brings several.
	Name string
	// Statement that was verified; nil, if none was.
	Statement *evidence.Statement
	// Err says why there is none.
	Err error
	// Fetching says that nobody knows yet what it says, since it is being fetched for the first time.
	Fetching bool
	// Unfetched says that nobody knows yet what it says, since it could not be fetched.
	Unfetched bool
	// Leaving says why it may be gone at any moment, so that it shows nothing of good; empty, it may not.
	Leaving string
	// Unread says that nobody knows what it says, since there is no room for it in memory.
	Unread bool
	// Until is when it ceases to show anything unless it is found again: a newer one that failed may lie beside it. Zero,
	// it does not.
	Until time.Time
}

// lapsed says that nobody has looked for long enough whether there is a newer one.
func (a *Attested) lapsed(now time.Time) bool { return !a.Until.IsZero() && !now.Before(a.Until) }

// Environment holds the digests by which statements name where a model is served.
type Environment struct {
	// Namespace names it with its UID, and Cluster the whole cluster.
	Namespace, Cluster string
	// WithoutUID names any namespace of its name, also one that was there before: what failed in it counts, and nothing else.
	WithoutUID string
}

// Case is what there is to judge one model by, under one policy.
type Case struct {
	Now time.Time
	// Policy is the name of the policy, and Trust whom it trusts.
	Policy string
	Trust  *evidence.Trust
	// Weights is the digest of the model's weights.
	Weights string
	// Environment is where it is served.
	Environment Environment
	// Standing says that the model is cleared now. Then what is still being fetched takes nothing away.
	Standing bool
	// Attested is what was found in the places where evidence for this model may lie, the oldest first.
	Attested []Attested
}

// evidenceRule is an EvidenceRule ready for use.
type evidenceRule struct {
	spec v1alpha1.EvidenceRule
	// condition says in what a predicate falls short; nothing when it does not.
	condition func(predicate map[string]any) string
}

// evidence compiles a rule on evidence.
func (c *Compiler) evidence(spec *v1alpha1.EvidenceRule) (*evidenceRule, error) {
	rule := &evidenceRule{spec: *spec, condition: func(map[string]any) string { return "" }}
	rule.spec.Threshold = max(spec.Threshold, 1)
	signers := slices.Compact(slices.Sorted(slices.Values(spec.Signers)))
	if len(signers) == 0 {
		return nil, errors.New("spec.evidence.signers: names nobody who may sign")
	}
	if int(rule.spec.Threshold) > len(signers) {
		return nil, fmt.Errorf("spec.evidence.threshold: asks for %d signers of %d", rule.spec.Threshold, len(signers))
	}
	rule.spec.Signers = signers
	if spec.Condition == "" {
		return rule, nil
	}
	program, err := c.program(c.predicates, spec.Condition)
	if err != nil {
		return nil, fmt.Errorf("spec.evidence.condition: %w", err)
	}
	rule.condition = func(predicate map[string]any) string {
		switch result, _, err := program.Eval(map[string]any{"predicate": predicate}); {
		case err != nil:
			return fmt.Sprintf("the condition cannot be evaluated: %v", err)
		case result.Value() != true:
			return "it does not meet the condition " + oneLine(spec.Condition)
		}
		return ""
	}
	return rule, nil
}

// Attestable says whether the Safeguard is verified by evidence, and so judged by Attest rather than Inspect.
func (c *Compiled) Attestable() bool { return c.evidence != nil }

// Signers names who may sign the evidence.
func (c *Compiled) Signers() []string { return c.evidence.spec.Signers }

// Finding is what was found of a Safeguard by evidence.
type Finding struct {
	decision.Finding
	// Next is when a statement that is dated in the future comes to count, or one has to have been found again; zero, there
	// is none.
	Next time.Time
	// Unfetched says that it might have been satisfied by what has not been fetched since this process began.
	Unfetched bool
}

// Attest judges a Safeguard by evidence.
//
// A statement passes if enough signers of the rule have signed it, each with a key of its own, it is not older than the
// rule allows, and it meets the condition. It fails if it says so of itself or does not meet the condition; then one signer
// is enough, and its date may lie in the future. The newest that passes counts, unless one that fails is as new.
func (c *Compiled) Attest(in Case) (f Finding) {
	f.Finding = decision.Finding{State: v1alpha1.SafeguardMissing, Strength: c.Strength, Remedy: c.Remedy}
	defer func() {
		if r := recover(); r != nil {
			f.Finding = decision.Finding{State: v1alpha1.SafeguardUnknown, Strength: c.Strength, Remedy: c.Remedy,
				Message: oneLine(fmt.Sprintf("the check itself failed: %v", r))}
		}
	}()
	if nobody := c.evidence.unresolved(in); nobody != "" {
		f.Message, f.Remedy = nobody, fmt.Sprintf("have the safety team add them to spec.trust.signers of ScalingPolicy %s, as %s", in.Policy, c.evidence.spec.Issuer)
		return f
	}
	m := c.evidence.match(in)
	passes, fails := m.newest(in.Now)
	switch {
	case m.unknown != "":
		f.State, f.Message = v1alpha1.SafeguardUnknown, m.unknown
	case fails != nil && (passes == nil || !passes.time.After(fails.time)):
		f.Message, f.Evidence = fmt.Sprintf("failed %s by the word of %s (%s): %s", fails.on(), fails.by(), fails.name, fails.failed), fails.shown
	case passes == nil:
		f.Message = m.nothing(c.evidence, in)
		if m.unfetched {
			f.State = v1alpha1.SafeguardUnknown
		}
	default:
		f.State, f.ValidUntil, f.Evidence = v1alpha1.SafeguardSatisfied, c.evidence.end(passes.time), passes.shown
		m.next = decision.Sooner(m.next, passes.until)
		f.Message = fmt.Sprintf("signed by %s %s (%s)", passes.by(), passes.on(), passes.name)
		if !f.ValidUntil.IsZero() && !in.Now.Before(f.ValidUntil) {
			f.State = v1alpha1.SafeguardExpired
			f.Message = fmt.Sprintf("ended at %s, %d days after it was made: %s", f.ValidUntil.UTC().Format(time.RFC3339), *c.evidence.spec.MaxAgeDays, f.Message)
		}
	}
	f.Message, f.Next = oneLine(f.Message), m.next
	f.Unfetched = m.unfetched && f.State == v1alpha1.SafeguardUnknown
	return f
}

// unresolved says whom the rule names that the policy does not trust, if those whom it trusts cannot be enough.
func (r *evidenceRule) unresolved(in Case) string {
	var absent []string
	able := map[string]bool{}
	for _, name := range r.spec.Signers {
		key, why := in.Trust.Key(name)
		switch {
		case why != nil:
			absent = append(absent, fmt.Sprintf("%s (%v)", name, why))
		case key == "":
			absent = append(absent, name)
		default:
			able[key] = true
		}
	}
	switch {
	case len(able) >= int(r.spec.Threshold):
		return ""
	case len(absent) == 0:
		return fmt.Sprintf("needs %d signers, and %s have %d keys between them in policy %s",
			r.spec.Threshold, strings.Join(r.spec.Signers, ", "), len(able), in.Policy)
	}
	return fmt.Sprintf("policy %s trusts no signer %s to sign statements %s", in.Policy, strings.Join(absent, ", "), r.spec.PredicateType)
}

// candidate is a statement about the right thing that signers of the rule have signed, in one Attestation or several.
type candidate struct {
	name    string
	time    time.Time
	failed  string
	keys    []string
	signers []string
	// shown are the Attestations with the signatures that are needed, and no more.
	shown []decision.Object
	// until is when the first of the Attestations that bring it has to have been found again; zero, never.
	until time.Time
}

func (c *candidate) by() string { return strings.Join(c.signers, ", ") }

// on says when it was made, as far as that is known.
func (c *candidate) on() string {
	if c.time.IsZero() {
		return "at a time that it does not say"
	}
	return "on " + day(c.time)
}

// timeOf gives the time by which a statement is older or newer than another. One that is undated is as old as can be if it
// passes, and as new as can be if it fails: whoever brings it anew must not outdate a failure by that.
func (c *candidate) timeOf(s *evidence.Statement, signed time.Time) time.Time {
	if s.Undated() && c.failed != "" {
		return signed
	}
	return s.Time
}

// matched is what came of looking through the Attestations.
type matched struct {
	candidates map[string]*candidate
	threshold  int
	next       time.Time
	// unknown says what could not be found out.
	unknown string
	// unfetched says that what there is has not all been seen.
	unfetched bool
	// refused says why signatures by signers of the rule do not count.
	refused []string
}

func (r *evidenceRule) match(in Case) *matched {
	m := &matched{candidates: map[string]*candidate{}, threshold: int(r.spec.Threshold)}
	subjects := []string{in.Environment.Namespace, in.Environment.Cluster, in.Environment.WithoutUID}
	if r.spec.Binding != v1alpha1.BindEnvironment {
		subjects = []string{in.Weights}
	}
	for i := range in.Attested {
		a := &in.Attested[i]
		var broken *evidence.Panic
		switch {
		case a.Unread:
			m.unknown = cmp.Or(m.unknown, fmt.Sprintf("%s was not looked at: %v", a.Name, a.Err))
		case a.Fetching && !in.Standing:
			m.unknown, m.unfetched = cmp.Or(m.unknown, a.Name+" is being fetched"), true
		case a.Fetching:
			m.refused, m.unfetched = append(m.refused, a.Name+" is being fetched"), true
		case a.Unfetched:
			m.refused, m.unfetched = append(m.refused, fmt.Sprintf("%s: %v", a.Name, a.Err)), true
		case errors.As(a.Err, &broken):
			m.unknown = cmp.Or(m.unknown, fmt.Sprintf("%s: %v", a.Name, broken))
		case a.Statement == nil || a.Statement.PredicateType != r.spec.PredicateType:
		case slices.ContainsFunc(subjects, func(s string) bool { return slices.Contains(a.Statement.Subjects, s) }):
			m.add(r, in, a)
		}
	}
	return m
}

// add counts the signatures of one Attestation that are by signers of the rule.
func (m *matched) add(r *evidenceRule, in Case, a *Attested) {
	for _, signature := range a.Statement.Signatures {
		for _, signer := range r.spec.Signers {
			ok, why := in.Trust.Accepts(signer, signature)
			if why != nil {
				m.refused = append(m.refused, fmt.Sprintf("%s: %v", a.Name, why))
			}
			if ok {
				m.count(r, in, a, signer, signature)
			}
		}
	}
}

func (m *matched) count(r *evidenceRule, in Case, a *Attested, signer string, signature evidence.Signature) {
	key, signed := signature.Key, signature.Time
	c, ok := m.candidates[a.Statement.Payload]
	if !ok {
		c = &candidate{name: a.Name, failed: cmp.Or(a.Statement.Failed, r.condition(a.Statement.Predicate))}
		c.time = c.timeOf(a.Statement, signed)
	}
	switch {
	case c.failed == "" && a.lapsed(in.Now):
		m.unfetched = true
		m.refused = append(m.refused, fmt.Sprintf("%s was not found again by %s", a.Name, a.Until.UTC().Format(time.RFC3339)))
		return
	case c.failed == "" && a.Statement.Undated() && r.spec.MaxAgeDays != nil:
		m.refused = append(m.refused, fmt.Sprintf("%s does not say when it was made, and counts for %d days only: give its subject the annotation %s",
			a.Name, *r.spec.MaxAgeDays, evidence.TimeAnnotation))
		return
	}
	if objection := cmp.Or(a.Leaving, r.withoutUID(in, a.Statement)); c.failed == "" && objection != "" {
		m.refused = append(m.refused, a.Name+" "+objection)
		return
	}
	m.candidates[a.Statement.Payload], c.until = c, decision.Sooner(c.until, a.Until)
	// A later signature does not make what was done any newer, nor does one that says no time make it older.
	if made := c.timeOf(a.Statement, signed); c.time.IsZero() || !made.IsZero() && made.Before(c.time) {
		c.time = made
	}
	if !slices.Contains(c.keys, key) {
		c.keys = append(c.keys, key)
		c.signers = append(c.signers, signer)
		slices.Sort(c.signers)
		if len(c.shown) < m.threshold {
			namespace, name, _ := strings.Cut(a.Name, "/")
			name, _, _ = strings.Cut(name, "@")
			c.shown = append(c.shown, decision.Object{Kind: "Attestation", Namespace: namespace, Name: name, Digest: a.Statement.Digest})
		}
	}
}

// newest gives the newest statement that passes and the newest that fails, nil if there is none, and notes when the next
// that passes comes to count.
func (m *matched) newest(now time.Time) (passes, fails *candidate) {
	newer := func(a, b *candidate) *candidate {
		if b == nil || a.time.After(b.time) || a.time.Equal(b.time) && a.name < b.name {
			return a
		}
		return b
	}
	for _, c := range m.candidates {
		switch {
		case c.failed != "":
			fails = newer(c, fails)
		case len(c.keys) < m.threshold:
		case c.time.After(now):
			if m.next.IsZero() || c.time.Before(m.next) {
				m.next = c.time
			}
		default:
			passes = newer(c, passes)
		}
	}
	return passes, fails
}

// nothing says what is wanted, and what comes nearest.
func (m *matched) nothing(r *evidenceRule, in Case) string {
	var near []string
	for _, c := range m.candidates {
		if len(c.keys) < m.threshold {
			near = append(near, fmt.Sprintf("%s is signed by %s only", c.name, c.by()))
		} else {
			near = append(near, fmt.Sprintf("%s is dated %s, which has not come yet", c.name, c.time.UTC().Format(time.RFC3339)))
		}
	}
	near = append(near, m.refused...)
	slices.Sort(near)
	wanted := fmt.Sprintf("no statement %s about %s by %s", r.spec.PredicateType, r.subject(in), r.who())
	if len(near) > 0 {
		return wanted + ": " + strings.Join(slices.Compact(near), "; ")
	}
	return wanted
}

// withoutUID says that a statement names the model's namespace by its name alone; empty, it does not.
func (r *evidenceRule) withoutUID(in Case, s *evidence.Statement) string {
	if r.spec.Binding != v1alpha1.BindEnvironment || slices.Contains(s.Subjects, in.Environment.Namespace) || slices.Contains(s.Subjects, in.Environment.Cluster) {
		return ""
	}
	return "names this namespace without its UID, as one that was deleted may have been: have it signed about CLUSTER/NAMESPACE/UID"
}

func (r *evidenceRule) subject(in Case) string {
	if r.spec.Binding == v1alpha1.BindEnvironment {
		return "this namespace, " + in.Environment.Namespace
	}
	return "the model, " + in.Weights
}

func (r *evidenceRule) who() string {
	names := strings.Join(r.spec.Signers, ", ")
	if len(r.spec.Signers) == 1 {
		return names
	}
	return fmt.Sprintf("%d of %s", r.spec.Threshold, names)
}

// end gives when a statement becomes too old; zero, never.
func (r *evidenceRule) end(made time.Time) time.Time {
	if r.spec.MaxAgeDays == nil {
		return time.Time{}
	}
	return made.Add(time.Duration(*r.spec.MaxAgeDays) * 24 * time.Hour)
}

func day(t time.Time) string { return t.UTC().Format(time.DateOnly) }

func oneLine(text string) string { return decision.OneLine(text, maxAttested) }

// maxAttested is the longest that is said of evidence: a digest and some names must fit.
const maxAttested = 600
