package decision_test

import (
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"pgregory.net/rapid"

	"github.com/interlock-dev/interlock/api/v1alpha1"
	"github.com/interlock-dev/interlock/internal/decision"
	"github.com/interlock-dev/interlock/internal/testing/builder"
)

// lacking is a model at ASL-3 that has a, and lacks b and c, of which c cannot be waived; b may be waived for a day.
func lacking() decision.Input {
	day := &metav1.Duration{Duration: 24 * time.Hour}
	week := &metav1.Duration{Duration: 7 * 24 * time.Hour}
	logging := binding("c")
	logging.Unwaivable = new(true)
	asl2 := newLevel("ASL-2", asks(binding("a")), nothing())
	asl3 := newLevel("ASL-3", nothing(), asks(binding("b")))
	asl4 := newLevel("ASL-4", asks(logging), nothing())
	asl2.LongestWaiver, asl3.LongestWaiver, asl4.LongestWaiver = week, day, week
	policy := signedOffBy(newPolicy(asl2, asl3, asl4), "rso", approvalRule(v1alpha1.SubjectWaiver))
	return input(policy, newModel("ASL-3"), map[string]decision.Finding{
		"a": inPlace(), "b": broken(v1alpha1.SafeguardMissing, "no b", "get b"), "c": broken(v1alpha1.SafeguardMissing, "no c", "get c")})
}

// waiverOf is one of safeguards, asked for by Ann some time ago, that ends in some time.
func waiverOf(name string, age, left time.Duration, safeguards ...string) *v1alpha1.Waiver {
	w := builder.Waiver("serving", name).Model("opus").Safeguards(safeguards...).NotAfter(now.Add(left)).By("ann", now.Add(-age)).Build()
	w.Spec.Ticket, w.Spec.InterimMeasure = "T-7", "staff look on"
	return w
}

func approvalOf(w *v1alpha1.Waiver, by string) v1alpha1.Approval {
	return *builder.Approval(w.Namespace, w.Name+"-by-"+by).Role("rso").Of(v1alpha1.SubjectWaiver, w.Name, decision.DigestOfWaiver(w)).By(by).Build()
}

func with(in decision.Input, waivers ...*v1alpha1.Waiver) decision.Input {
	for _, w := range waivers {
		in.Waivers = append(slices.Clone(in.Waivers), *w)
		in.Approvals = append(slices.Clone(in.Approvals), approvalOf(w, "rhea"))
	}
	return in
}

func TestWaivers(t *testing.T) {
	good := func() *v1alpha1.Waiver { return waiverOf("w", time.Hour, 10*time.Minute, "b") }
	changed := func(f func(*v1alpha1.Waiver)) func() decision.Input {
		return func() decision.Input {
			w := good()
			f(w)
			return with(lacking(), w)
		}
	}
	later := func(in decision.Input, d time.Duration) decision.Input {
		in.Now = in.Now.Add(d)
		return in
	}
	for name, tc := range map[string]struct {
		in    func() decision.Input
		state v1alpha1.WaiverState // empty, it is not one of the model
		says  string
		waits bool // the model is held
	}{
		"in force": {in: changed(func(*v1alpha1.Waiver) {}), state: v1alpha1.WaiverInForce, says: "until 2026-05-14T08:20:00Z: b"},
		"not approved": {in: func() decision.Input {
			in := with(lacking(), good())
			in.Approvals = nil
			return in
		}, state: v1alpha1.WaiverPending, says: "0 of 1 in role rso", waits: true},
		"approved by who asked": {in: func() decision.Input {
			in := with(lacking(), good())
			in.Approvals = []v1alpha1.Approval{approvalOf(good(), "ann")}
			return in
		}, state: v1alpha1.WaiverPending, waits: true},
		"approved as another": {in: func() decision.Input {
			in := with(lacking(), good())
			in.Waivers[0].Spec.Safeguards = append(in.Waivers[0].Spec.Safeguards, "a")
			return in
		}, state: v1alpha1.WaiverPending, waits: true},
		"approved where all is": {in: func() decision.Input {
			in := with(lacking(), good())
			in.SharedNamespace, in.Approvals[0].Namespace = shared, shared
			return in
		}, state: v1alpha1.WaiverPending, waits: true},
		"the last moment":       {in: func() decision.Input { return later(with(lacking(), good()), 10*time.Minute-1) }, state: v1alpha1.WaiverInForce},
		"its end":               {in: func() decision.Input { return later(with(lacking(), good()), 10*time.Minute) }, state: v1alpha1.WaiverExpired, says: "ended at 2026-05-14T08:20:00Z", waits: true},
		"as long as may be":     {in: changed(func(w *v1alpha1.Waiver) { w.Spec.NotAfter = metav1.NewTime(now.Add(23 * time.Hour)) }), state: v1alpha1.WaiverInForce},
		"too long":              {in: changed(func(w *v1alpha1.Waiver) { w.Spec.NotAfter = metav1.NewTime(now.Add(23*time.Hour + time.Second)) }), state: v1alpha1.WaiverRefused, says: "lasts 24h0m1s, and policy rsp-v2.2 allows 24h0m0s at level ASL-3", waits: true},
		"of another model":      {in: changed(func(w *v1alpha1.Waiver) { w.Spec.Model = "haiku" }), waits: true},
		"of another namespace":  {in: changed(func(w *v1alpha1.Waiver) { w.Namespace = "other" }), waits: true},
		"withdrawn":             {in: changed(func(w *v1alpha1.Waiver) { w.DeletionTimestamp = &metav1.Time{Time: now} }), waits: true},
		"of another safeguard":  {in: changed(func(w *v1alpha1.Waiver) { w.Spec.Safeguards = []string{"a"} }), state: v1alpha1.WaiverInForce, waits: true},
		"of all":                {in: changed(func(w *v1alpha1.Waiver) { w.Spec.Safeguards = []string{"*"} }), state: v1alpha1.WaiverInForce, waits: true},
		"of a part of the name": {in: changed(func(w *v1alpha1.Waiver) { w.Spec.Safeguards = []string{""} }), state: v1alpha1.WaiverInForce, waits: true},
		"nobody asked":          {in: changed(func(w *v1alpha1.Waiver) { w.Spec.Requester = nil }), state: v1alpha1.WaiverRefused, says: "who asked", waits: true},
		"made later":            {in: changed(func(w *v1alpha1.Waiver) { w.CreationTimestamp = metav1.NewTime(now.Add(time.Minute)) }), state: v1alpha1.WaiverPending, says: "begins at", waits: true},
		"no role approves any":  {in: func() decision.Input { in := with(lacking(), good()); in.Policy.Spec.SignOffs = nil; return in }, state: v1alpha1.WaiverRefused, says: "allows no waiver at level ASL-3", waits: true},
		"the level lets none": {in: func() decision.Input {
			in := with(lacking(), good())
			in.Policy.Spec.Levels[1].LongestWaiver = nil
			return in
		}, state: v1alpha1.WaiverRefused, says: "allows no waiver at level ASL-3", waits: true},
		"a lower level is lax": {in: func() decision.Input {
			in := with(lacking(), good())
			in.Policy.Spec.Levels[0].LongestWaiver = nil
			return in
		}, state: v1alpha1.WaiverRefused, waits: true},
		"a higher level is lax": {in: func() decision.Input {
			in := with(lacking(), good())
			in.Policy.Spec.Levels[2].LongestWaiver = nil
			return in
		}, state: v1alpha1.WaiverInForce},
		"what cannot be waived": {in: func() decision.Input {
			in := with(lacking(), waiverOf("w", 0, time.Minute, "b", "c"))
			in.Model.Spec.AssessedLevel = "ASL-4"
			return in
		}, state: v1alpha1.WaiverRefused, says: "excused from safeguard c", waits: true},
		"cannot, asked twice": {in: func() decision.Input {
			in := with(lacking(), waiverOf("w", 0, time.Minute, "b", "c"))
			in.Policy.Spec.Levels[1].Security.Safeguards = append(in.Policy.Spec.Levels[1].Security.Safeguards, binding("c"))
			in.Model.Spec.AssessedLevel = "ASL-4"
			return in
		}, state: v1alpha1.WaiverRefused, waits: true},
		"what is in place":      {in: func() decision.Input { in := with(lacking(), good()); in.Findings["b"] = inPlace(); return in }, state: v1alpha1.WaiverInForce},
		"what nobody looked at": {in: func() decision.Input { in := with(lacking(), good()); delete(in.Findings, "b"); return in }, state: v1alpha1.WaiverInForce},
		"what only is reported": {in: func() decision.Input {
			in := with(lacking(), good())
			in.Policy.Spec.Levels[1].Security = asks(forced("b", v1alpha1.ForceRecommendation))
			return in
		}, state: v1alpha1.WaiverInForce},
		"level that is not one": {in: func() decision.Input { in := with(lacking(), good()); in.Model.Spec.AssessedLevel = "ASL-9"; return in }, waits: true},
		"no policy":             {in: func() decision.Input { in := with(lacking(), good()); in.Policy = nil; return in }, waits: true},
		"threshold not assessed": {in: func() decision.Input {
			in := with(lacking(), good())
			in.Policy.Spec.Thresholds = []v1alpha1.Threshold{{Name: "CBRN", Safeguards: []v1alpha1.Obligation{binding("c")}}}
			return in
		}, state: v1alpha1.WaiverInForce, waits: true},
	} {
		t.Run(name, func(t *testing.T) {
			v := decision.Decide(tc.in())
			if v.Cleared() == tc.waits {
				t.Errorf("cleared %v: %s", v.Cleared(), text(v))
			}
			var state v1alpha1.WaiverState
			if len(v.Waivers) > 0 {
				state = v.Waivers[0].State
				if !strings.Contains(v.Waivers[0].Message, tc.says) {
					t.Errorf("says %q, want %q", v.Waivers[0].Message, tc.says)
				}
			}
			if state != tc.state {
				t.Errorf("state %q, want %q: %v", state, tc.state, v.Waivers)
			}
		})
	}
}

// TestWaivedVerdict is about what is said of a model that is excused.
func TestWaivedVerdict(t *testing.T) {
	in := with(lacking(), waiverOf("w", time.Hour, 10*time.Minute, "b"))
	v := decision.Decide(in)
	want := `Cleared, Cleared: 1 of 2 safeguards are in place, 1 waived: b until 2026-05-14T08:20:00Z by w
levels ASL-3 and ASL-3, "1/2, 1 waived" met
valid until 2026-05-14T08:20:00Z
look again at 2026-05-14T08:20:00Z
- a (Binding, Satisfied): in place
  by ASL-2 Deployment (baseline, declared)
- b (Binding, Waived): waived until 2026-05-14T08:20:00Z by w (T-7; meanwhile: staff look on): no b [until 2026-05-14T08:20:00Z] -> get b
  by ASL-3 Security (declared)
`
	if diff := cmp.Diff(want, text(v)); diff != "" {
		t.Errorf("-want +got:\n%s", diff)
	}
	if diff := cmp.Diff([]string{"a"}, v.Rules()); diff != "" {
		t.Errorf("rules that the API server enforces (-want +got):\n%s", diff)
	}
	if diff := cmp.Diff([]string{"b"}, decision.AskedOf(in).Waived); diff != "" {
		t.Errorf("waived (-want +got):\n%s", diff)
	}
}

// TestOverlappingWaivers is about several waivers of one safeguard.
func TestOverlappingWaivers(t *testing.T) {
	const m = time.Minute
	short, long := waiverOf("short", 60*m, 10*m, "b"), waiverOf("long", 30*m, 60*m, "b")
	ended, next := waiverOf("ended", 60*m, -10*m, "b"), waiverOf("next", 5*m, 60*m, "b")
	other := waiverOf("other", 60*m, -10*m, "a")
	for name, tc := range map[string]struct {
		waivers []*v1alpha1.Waiver
		pending []*v1alpha1.Waiver // not approved
		by      string             // empty, none excuses
	}{
		"the stricter counts":                     {waivers: []*v1alpha1.Waiver{long, short}, by: "short"},
		"whatever their order":                    {waivers: []*v1alpha1.Waiver{short, long}, by: "short"},
		"one that has ended takes others with it": {waivers: []*v1alpha1.Waiver{ended, long}},
		"one made after its end counts":           {waivers: []*v1alpha1.Waiver{ended, next}, by: "next"},
		"also beside one that was taken along":    {waivers: []*v1alpha1.Waiver{ended, long, next}, by: "next"},
		"one that was never approved does not":    {waivers: []*v1alpha1.Waiver{long}, pending: []*v1alpha1.Waiver{ended}, by: "long"},
		"one of another safeguard does not":       {waivers: []*v1alpha1.Waiver{other, long}, by: "long"},
	} {
		t.Run(name, func(t *testing.T) {
			in := with(lacking(), tc.waivers...)
			for _, w := range tc.pending {
				in.Waivers = append(in.Waivers, *w)
			}
			v := decision.Decide(in)
			by := ""
			for _, s := range v.Safeguards {
				by += s.Waiver
			}
			if by != tc.by || v.Cleared() != (tc.by != "") {
				t.Errorf("excused by %q, want %q: %s", by, tc.by, text(v))
			}
		})
	}
}

func drawWaiver(t *rapid.T, name string) *v1alpha1.Waiver {
	age := time.Duration(rapid.IntRange(0, 30).Draw(t, "age of "+name)) * time.Minute
	left := time.Duration(rapid.IntRange(-10, 30).Draw(t, "what is left of "+name)) * time.Minute
	return waiverOf(name, age, max(left, -age), rapid.SliceOfNDistinct(rapid.SampledFrom([]string{"a", "b"}), 1, 2, rapid.ID[string]).Draw(t, "safeguards of "+name)...)
}

// TestWaiversNeverAddUp draws approved waivers of which any two were in force together: what all together excuse, each that
// is about it excuses alone, and for no longer.
func TestWaiversNeverAddUp(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		bare := lacking()
		bare.Findings["a"] = broken(v1alpha1.SafeguardMissing, "no a", "get a")
		var all []*v1alpha1.Waiver
		for _, name := range []string{"x", "y", "z"}[:rapid.IntRange(1, 3).Draw(t, "waivers")] {
			all = append(all, drawWaiver(t, name))
		}
		overlap := func(v, w *v1alpha1.Waiver) bool {
			return v.CreationTimestamp.Before(&w.Spec.NotAfter) && w.CreationTimestamp.Before(&v.Spec.NotAfter)
		}
		together := decision.Decide(with(bare, all...))
		for _, s := range together.Safeguards {
			if s.State != v1alpha1.SafeguardWaived {
				continue
			}
			by := all[slices.IndexFunc(all, func(w *v1alpha1.Waiver) bool { return w.Name == s.Waiver })]
			for _, w := range all {
				if !slices.Contains(w.Spec.Safeguards, s.Name) || !overlap(by, w) {
					continue
				}
				alone := decision.Decide(with(bare, w)).Safeguards
				i := slices.IndexFunc(alone, func(r v1alpha1.SafeguardResult) bool { return r.Name == s.Name })
				if alone[i].State != v1alpha1.SafeguardWaived || alone[i].ValidUntil.Before(s.ValidUntil) {
					t.Fatalf("%s is waived until %s, and by %s alone it is %s until %s", s.Name, s.ValidUntil, w.Name, alone[i].State, alone[i].ValidUntil)
				}
			}
		}
		if together.Cleared() && !together.ValidUntil.IsZero() {
			for _, s := range together.Safeguards {
				if s.State == v1alpha1.SafeguardWaived && together.ValidUntil.After(s.ValidUntil.Time) {
					t.Fatalf("the clearance outlasts a waiver: %s", text(together))
				}
			}
		}
	})
}

// TestWaiversOnlyExcuse draws inputs of all kinds: waivers that do not count change nothing but what is said of waivers, and
// those that do clear no model that would not be cleared if what they name were in place.
func TestWaiversOnlyExcuse(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		in := drawInput(t)
		in.Model.Namespace = "serving"
		for i := range in.Policy.Spec.Levels {
			if !chance(t, "no waivers at this level", 4) {
				in.Policy.Spec.Levels[i].LongestWaiver = &metav1.Duration{Duration: time.Hour}
			}
		}
		signedOffBy(in.Policy, "rso", approvalRule(v1alpha1.SubjectWaiver))
		w := drawWaiver(t, "w")
		w.Spec.Safeguards = rapid.SliceOfNDistinct(rapid.SampledFrom(names), 1, 3, rapid.ID[string]).Draw(t, "safeguards")
		without, unapproved := decision.Decide(in), copied(in)
		unapproved.Waivers = []v1alpha1.Waiver{*w}
		if v := decision.Decide(unapproved); v.Outcome != without.Outcome || v.Waived > 0 {
			t.Fatalf("a waiver that nobody approved changes the outcome:\n%s%s", text(without), text(v))
		}
		v := decision.Decide(with(in, w))
		ideal := copied(in)
		for _, name := range w.Spec.Safeguards {
			f := inPlace()
			ideal.Findings[name] = f
		}
		if v.Cleared() && !decision.Decide(ideal).Cleared() {
			t.Fatalf("cleared by more than an excuse: %s", text(v))
		}
		if v.Met > without.Met {
			t.Fatalf("what is waived counts as met: %s", text(v))
		}
	})
}
