package admission_test

import (
	"fmt"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"k8s.io/apimachinery/pkg/util/validation"
	apiadmission "k8s.io/apiserver/pkg/admission"
	"pgregory.net/rapid"

	"github.com/interlock-dev/interlock/api/v1alpha1"
	"github.com/interlock-dev/interlock/internal/admission"
	"github.com/interlock-dev/interlock/internal/decision"
)

func TestClearances(t *testing.T) {
	for name, tc := range map[string]struct {
		entries []admission.Entry
		want    []v1alpha1.Clearance
	}{
		"none": {nil, []v1alpha1.Clearance{}},
		"one": {[]admission.Entry{cleared("opus", "09:00:00", "b", "a")},
			[]v1alpha1.Clearance{{ValidUntil: "2026-05-14T09:00:00Z", Rules: ",a,b,", Models: " opus "}}},
		"no rules": {[]admission.Entry{cleared("opus", "09:00:00")},
			[]v1alpha1.Clearance{{ValidUntil: "2026-05-14T09:00:00Z", Rules: ",,", Models: " opus "}}},
		"of the same lease and rules": {[]admission.Entry{cleared("sonnet", "09:00:00", "a", "b"), cleared("haiku", "09:00:00", "b", "a")},
			[]v1alpha1.Clearance{{ValidUntil: "2026-05-14T09:00:00Z", Rules: ",a,b,", Models: " haiku sonnet "}}},
		"by end, then by rules": {[]admission.Entry{cleared("a", "09:30:00"), cleared("b", "09:00:00", "y"), cleared("c", "09:00:00", "x")},
			[]v1alpha1.Clearance{
				{ValidUntil: "2026-05-14T09:00:00Z", Rules: ",x,", Models: " c "},
				{ValidUntil: "2026-05-14T09:00:00Z", Rules: ",y,", Models: " b "},
				{ValidUntil: "2026-05-14T09:30:00Z", Rules: ",,", Models: " a "}}},
		"an end in another place, with a fraction": {[]admission.Entry{{Model: "opus", ValidUntil: at("09:00:00").Add(999 * time.Millisecond).In(time.FixedZone("", 5*3600+1800))}},
			[]v1alpha1.Clearance{{ValidUntil: "2026-05-14T09:00:00Z", Rules: ",,", Models: " opus "}}},
	} {
		t.Run(name, func(t *testing.T) {
			if diff := cmp.Diff(tc.want, admission.Clearances(tc.entries)); diff != "" {
				t.Errorf("clearances (-want +got):\n%s", diff)
			}
		})
	}
}

func TestFind(t *testing.T) {
	clearances := []v1alpha1.Clearance{
		{ValidUntil: "2026-05-14T09:00:00Z", Rules: ",a,b,", Models: " opus sonnet-5 "},
		{ValidUntil: "2026-05-14T09:30:00Z", Rules: ",,", Models: " haiku "},
		{ValidUntil: "tomorrow", Rules: ",a,", Models: " broken "},
	}
	for model, want := range map[string]*admission.Entry{
		"opus":     {Model: "opus", ValidUntil: at("09:00:00"), Rules: []string{"a", "b"}},
		"sonnet-5": {Model: "sonnet-5", ValidUntil: at("09:00:00"), Rules: []string{"a", "b"}},
		"haiku":    {Model: "haiku", ValidUntil: at("09:30:00"), Rules: []string{}},
		"sonnet":   nil,
		"5":        nil,
		"opu":      nil,
		"":         nil,
		"broken":   nil,
	} {
		t.Run(model, func(t *testing.T) {
			got, found := admission.Find(clearances, model)
			if want == nil {
				if found {
					t.Errorf("found %+v", got)
				}
				return
			}
			if diff := cmp.Diff(*want, got); !found || diff != "" {
				t.Errorf("found: %v (-want +got):\n%s", found, diff)
			}
		})
	}
}

func TestEqual(t *testing.T) {
	e := cleared("opus", "09:00:00", "a", "b")
	for name, tc := range map[string]struct {
		other admission.Entry
		want  bool
	}{
		"itself":               {e, true},
		"rules in other order": {cleared("opus", "09:00:00", "b", "a"), true},
		"within the second":    {admission.Entry{Model: "opus", ValidUntil: e.ValidUntil.Add(time.Second - 1).In(time.FixedZone("", 3600)), Rules: e.Rules}, true},
		"another model":        {cleared("haiku", "09:00:00", "a", "b"), false},
		"the next second":      {cleared("opus", "09:00:01", "a", "b"), false},
		"one rule more":        {cleared("opus", "09:00:00", "a", "b", "c"), false},
		"one rule less":        {cleared("opus", "09:00:00", "a"), false},
	} {
		if got := e.Equal(tc.other); got != tc.want {
			t.Errorf("%s: %v", name, got)
		}
	}
}

// changed is by clearances alone.
func changed(before, after []v1alpha1.Clearance) []string {
	return admission.Changed(v1alpha1.ClearanceLedgerSpec{Clearances: before}, v1alpha1.ClearanceLedgerSpec{Clearances: after})
}

func TestExempt(t *testing.T) {
	exempt := func(pod, safeguard, end string) decision.Exemption {
		return decision.Exemption{Pod: pod, Safeguard: safeguard, Until: at(end), Waiver: "w"}
	}
	models := map[string][]decision.Exemption{
		"opus":  {exempt("canary", "a", "09:00:00"), exempt("canary", "b", "09:00:00"), exempt("x.y", "a", "09:00:00")},
		"haiku": {exempt("canary", "a", "09:00:00"), exempt("late", "a", "09:30:00")},
		"none":  nil,
	}
	packed := admission.Exempt(models)
	want := []v1alpha1.PodExemption{
		{ValidUntil: "2026-05-14T09:00:00Z", Safeguard: "a", Pods: " haiku/canary opus/canary opus/x.y "},
		{ValidUntil: "2026-05-14T09:00:00Z", Safeguard: "b", Pods: " opus/canary "},
		{ValidUntil: "2026-05-14T09:30:00Z", Safeguard: "a", Pods: " haiku/late "},
	}
	if diff := cmp.Diff(want, packed); diff != "" {
		t.Errorf("-want +got:\n%s", diff)
	}
	for model, all := range models {
		if !admission.SameExemptions(admission.FindExemptions(packed, model), all) {
			t.Errorf("%s: found %v, want %v", model, admission.FindExemptions(packed, model), all)
		}
	}
	if found := admission.FindExemptions(packed, "opu"); len(found) > 0 {
		t.Errorf("found by a part of the name: %v", found)
	}
	if admission.SameExemptions(models["opus"], models["opus"][1:]) {
		t.Error("one more makes no difference")
	}
	spec := v1alpha1.ClearanceLedgerSpec{Exemptions: packed}
	if got := admission.Changed(spec, v1alpha1.ClearanceLedgerSpec{Exemptions: packed[:2]}); !slices.Equal(got, []string{"haiku"}) {
		t.Errorf("changed: %v", got)
	}
}

func TestChanged(t *testing.T) {
	before := admission.Clearances([]admission.Entry{cleared("stays", "09:00:00", "a"), cleared("goes", "09:00:00", "a"),
		cleared("renewed", "09:00:00", "a"), cleared("asked-more", "09:00:00", "a")})
	after := admission.Clearances([]admission.Entry{cleared("stays", "09:00:00", "a"), cleared("comes", "09:00:00", "a"),
		cleared("renewed", "09:30:00", "a"), cleared("asked-more", "09:00:00", "a", "b")})
	if diff := cmp.Diff([]string{"asked-more", "comes", "goes", "renewed"}, changed(before, after)); diff != "" {
		t.Errorf("changed (-want +got):\n%s", diff)
	}
	if got := changed(before, before); len(got) != 0 {
		t.Errorf("changed from itself: %v", got)
	}
	if diff := cmp.Diff([]string{"asked-more", "goes", "renewed", "stays"}, changed(before, nil)); diff != "" {
		t.Errorf("all gone (-want +got):\n%s", diff)
	}
}

// drawName draws DNS labels that like to begin or end with each other.
func drawName(t *rapid.T, what string) string {
	return strings.Join(rapid.SliceOfN(rapid.SampledFrom([]string{"a", "b", "opus", "5"}), 1, 3).Draw(t, what), oneOf(t, "joint", "", "-"))
}

func drawEntries(t *rapid.T) []admission.Entry {
	draw := rapid.Custom(func(t *rapid.T) admission.Entry {
		e := admission.Entry{Model: drawName(t, "model"), ValidUntil: at("08:10:00").Add(time.Duration(rapid.IntRange(-3, 3).Draw(t, "seconds")) * time.Second)}
		for range rapid.IntRange(0, 3).Draw(t, "rules") {
			if name := drawName(t, "rule"); !slices.Contains(e.Rules, name) {
				e.Rules = append(e.Rules, name)
			}
		}
		return e
	})
	return rapid.SliceOfNDistinct(draw, 0, 12, func(e admission.Entry) string { return e.Model }).Draw(t, "entries")
}

var (
	shapeOfModels = regexp.MustCompile(`^ ([a-z0-9-]+ )+$`)
	shapeOfRules  = regexp.MustCompile(`^,([a-z0-9-]+,)*$|^,,$`)
)

// TestLedgersHoldWhatIsPutIn: whatever is packed is found again, and nothing else is; the order in which it came does
// not show.
func TestLedgersHoldWhatIsPutIn(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		entries := drawEntries(t)
		clearances := admission.Clearances(entries)
		if len(entries) > 0 {
			shuffled := rapid.Permutation(entries).Draw(t, "shuffled")
			if diff := cmp.Diff(clearances, admission.Clearances(shuffled)); diff != "" {
				t.Fatalf("in another order (-first +second):\n%s", diff)
			}
		}
		for _, e := range entries {
			if got, found := admission.Find(clearances, e.Model); !found || !got.Equal(e) {
				t.Fatalf("%+v: found %v, %+v, in %q", e, found, got, clearances)
			}
		}
		other := drawName(t, "other")
		isIn := slices.ContainsFunc(entries, func(e admission.Entry) bool { return e.Model == other })
		if _, found := admission.Find(clearances, other); found != isIn {
			t.Fatalf("%q is in %q: %v", other, clearances, found)
		}
		for i, c := range clearances {
			if !shapeOfModels.MatchString(c.Models) || !shapeOfRules.MatchString(c.Rules) || len(c.ValidUntil) != 20 {
				t.Fatalf("shape of %q", c)
			}
			if i > 0 && clearances[i-1].ValidUntil > c.ValidUntil {
				t.Fatalf("not by their end: %q", clearances)
			}
		}
	})
}

func TestChangedIsWhatDiffers(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		before, after := drawEntries(t), drawEntries(t)
		var want []string
		for _, e := range before {
			i := slices.IndexFunc(after, func(o admission.Entry) bool { return o.Model == e.Model })
			if i < 0 || !after[i].Equal(e) {
				want = append(want, e.Model)
			}
		}
		for _, e := range after {
			if !slices.ContainsFunc(before, func(o admission.Entry) bool { return o.Model == e.Model }) {
				want = append(want, e.Model)
			}
		}
		slices.Sort(want)
		got := changed(admission.Clearances(before), admission.Clearances(after))
		if diff := cmp.Diff(want, got); diff != "" {
			t.Fatalf("changed (-want +got):\n%s", diff)
		}
	})
}

// TestAPIServerReadsLedgersAsTheOperatorDoes draws ledgers and pods: a pod runs at once when the operator would say that
// its model is cleared and its lease lasts, is refused when its lease is over, and waits otherwise.
func TestAPIServerReadsLedgersAsTheOperatorDoes(t *testing.T) {
	server := newAPIServer(t, admission.Policies(install, nil), enforced)
	rapid.Check(t, func(t *rapid.T) {
		entries := drawEntries(t)
		server.put(newLedger(entries...))
		server.before137 = rapid.Bool().Draw(t, "before 1.37")
		model := drawName(t, "asked")
		want := "waits"
		if e, found := admission.Find(server.ledgers[v1alpha1.LedgerName].Spec.Clearances, model); found {
			want = "is refused"
			if server.now.Before(e.ValidUntil) {
				want = "runs"
			}
		}
		a := server.serve(t, request{user: "ann", operation: apiadmission.Create, resource: pods, object: pod().Model(model).Build()})
		got := "runs"
		switch {
		case len(a.denials) > 0:
			got = "is refused"
		case gatesOf(podOf(t, a.object)) == gate:
			got = "waits"
		}
		if got != want {
			t.Fatalf("a pod of %q %s, want that it %s: %q, %q", model, got, want, server.ledgers[v1alpha1.LedgerName].Spec.Clearances, a.denials)
		}
	})
}

// TestRulesOfALedgerAreReadWhole: a Safeguard whose name is a part of another's is not asked for with it.
func TestRulesOfALedgerAreReadWhole(t *testing.T) {
	breaks := []v1alpha1.PodValidation{{Expression: "false", Message: "broken"}}
	for _, asked := range []string{"a", "a-b", "b", "opus-a", "a5"} {
		for _, rule := range []string{"a", "a-b", "b", "opus-a", "a5"} {
			server := newAPIServer(t, admission.Policies(install, []admission.Rule{{Safeguard: rule, Validations: breaks}}), enforced).
				put(newLedger(cleared("opus", "09:00:00", "first", asked, "last")))
			a := server.serve(t, request{user: "ann", operation: apiadmission.Create, resource: pods, object: pod().Model("opus").Build()})
			if denied := len(a.denials) > 0; denied != (asked == rule) {
				t.Errorf("asked for %s, broken %s: %q", asked, rule, a.denials)
			}
		}
	}
}

// FuzzLedger packs two models of any names, and looks for a third. The API keeps names to DNS labels, in which no blank
// or comma can be; a label of a pod may have other characters besides, but none of these two.
func FuzzLedger(f *testing.F) {
	for _, seed := range [][5]string{
		{"opus", "haiku", "opus", "a", "b"}, {"opus", "opus-5", "5", "a", "a-b"}, {"a", "b", "a b", "x", ","}, {"a", "b", " ", "", ""},
		{"a", "a", "", "x,y", "y"}, {"a b", "c", "b", "x", "x"}, {"A.b_C", "a", "A.b_C", "-", "--"}, {"a\u00a0b", "c", "b", "a", "b"}, {"a\tb", "c", "a", "a", "b"},
	} {
		f.Add(seed[0], seed[1], seed[2], seed[3], seed[4])
	}
	f.Fuzz(func(t *testing.T, first, second, asked, ruleOfFirst, ruleOfSecond string) {
		for _, name := range []string{first, second, ruleOfFirst, ruleOfSecond} {
			if validation.IsDNS1123Label(name) != nil {
				return
			}
		}
		if first == second || len(validation.IsValidLabelValue(asked)) > 0 {
			return
		}
		entries := []admission.Entry{cleared(first, "09:00:00", ruleOfFirst), cleared(second, "09:30:00", ruleOfSecond)}
		together := []admission.Entry{cleared(first, "09:00:00", ruleOfFirst, ruleOfSecond), cleared(second, "09:00:00", ruleOfSecond, ruleOfFirst)}
		for _, packed := range [][]admission.Entry{entries, together} {
			clearances := admission.Clearances(packed)
			got, found := admission.Find(clearances, asked)
			i := slices.IndexFunc(packed, func(e admission.Entry) bool { return e.Model == asked })
			if found != (i >= 0) || found && !got.Equal(packed[i]) {
				t.Errorf("%q in %q: %v, %+v", asked, clearances, found, got)
			}
			for j, e := range packed {
				names := admission.RuleNames(e.Rules)
				if strings.Contains(names, ","+asked+",") != slices.Contains(e.Rules, asked) {
					t.Errorf("rule %q in %q of model %d", asked, names, j)
				}
			}
			if names := changed(nil, clearances); len(names) != 2 {
				t.Errorf("changed: %q", names)
			}
		}
	})
}

// BenchmarkClearances packs the ledger of a thousand models.
func BenchmarkClearances(b *testing.B) {
	var entries []admission.Entry
	for i := range 1000 {
		entries = append(entries, admission.Entry{Model: fmt.Sprintf("model-%04d", i), ValidUntil: at("09:00:00").Add(time.Duration(i%2) * time.Hour), Rules: []string{"a", "b", "c"}})
	}
	b.ReportAllocs()
	for b.Loop() {
		admission.Clearances(entries)
	}
}
