package admission_test

import (
	"fmt"
	"maps"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/validation"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	apivalidation "k8s.io/apimachinery/pkg/util/validation"
	apiadmission "k8s.io/apiserver/pkg/admission"
	"pgregory.net/rapid"

	"github.com/interlock-dev/interlock/api/v1alpha1"
	"github.com/interlock-dev/interlock/internal/admission"
	"github.com/interlock-dev/interlock/internal/decision"
)

func TestClearances(t *testing.T) {
	for name, tc := range map[string]struct {
		models []standing
		want   map[string]string
	}{
		"none": {nil, nil},
		"one":  {[]standing{cleared("opus", "09:00:00", "b", "a")}, map[string]string{"clearances": "\nopus 0\n", "leases": "\n0 2026-05-14T09:00:00Z ,a,b,\n"}},
		"no rules": {[]standing{cleared("opus", "09:00:00")},
			map[string]string{"clearances": "\nopus 0\n", "leases": "\n0 2026-05-14T09:00:00Z ,,\n"}},
		"some with the same lease": {[]standing{cleared("sonnet", "09:00:00", "a", "b"), cleared("llama", "09:00:00", "b", "a"), cleared("haiku", "09:30:00", "b", "a"), cleared("opus", "09:00:00", "c")},
			map[string]string{"clearances": "\nhaiku 2\nllama 0\nopus 1\nsonnet 0\n", "leases": "\n2 2026-05-14T09:30:00Z ,a,b,\n0 2026-05-14T09:00:00Z ,a,b,\n1 2026-05-14T09:00:00Z ,c,\n"}},
		"an end in another place, with a fraction": {[]standing{{"opus", admission.Standing{ValidUntil: at("09:00:00").Add(999 * time.Millisecond).In(time.FixedZone("", 5*3600+1800))}}},
			map[string]string{"clearances": "\nopus 0\n", "leases": "\n0 2026-05-14T09:00:00Z ,,\n"}},
		"all there is of one": {[]standing{cleared("opus", "09:00:00", "a").exempt("x.y", "b", "08:30:00").exempt("x.y", "a", "08:30:00").exempt("canary", "a", "08:40:00").
			given("sandbox", "guard").declaring("s3://b", "oci://a")},
			map[string]string{"clearances": "\nopus 0\n", "leases": "\n0 2026-05-14T09:00:00Z ,a,\n", "adjustments": "\nopus ,guard,sandbox,\n", "weights": "\nopus oci://a s3://b\n",
				"exemptions": "\nopus/canary 2026-05-14T08:40:00Z,a\nopus/x.y 2026-05-14T08:30:00Z,a 2026-05-14T08:30:00Z,b\n"}},
		"some with the same openings": {[]standing{cleared("opus", "09:00:00").opening("b:in:|x|", "a:in:|x|"), standing{model: "held"}.opening("a:in:|x|", "b:in:|x|"), standing{model: "other"}.opening("c:in:|x|")},
			map[string]string{"clearances": "\nopus 0\n", "leases": "\n0 2026-05-14T09:00:00Z ,,\n", "openings": "\nheld 0\nopus 0\nother 1\n",
				"openedBy": "\n0 a:in:|x| b:in:|x|\n1 c:in:|x|\n"}},
		"one that is held": {[]standing{standing{model: "opus"}.exempt("canary", "a", "08:40:00").given("guard").declaring("oci://a")},
			map[string]string{"adjustments": "\nopus ,guard,\n", "weights": "\nopus oci://a\n"}},
	} {
		t.Run(name, func(t *testing.T) {
			want := map[string]string{"policy": "rsp-v2.2", "defaultModel": "", "coverage": "", "leases": "\n", "clearances": "\n", "exemptions": "\n", "adjustments": "\n", "connect": "\n", "weights": "\n",
				"openings": "\n", "openedBy": "\n", "sources": "\n"}
			maps.Copy(want, tc.want)
			want = keyed(want)
			data, left := clearancesOf(tc.models...).Annotations()
			if diff := cmp.Diff(want, data); diff != "" || left != nil {
				t.Errorf("left %q, data (-want +got):\n%s", left, diff)
			}
		})
	}
}

// keyed names texts as the annotations do.
func keyed(texts map[string]string) map[string]string {
	annotations := map[string]string{}
	for key, text := range texts {
		annotations["interlock.dev/"+key] = text
	}
	return annotations
}

func TestFind(t *testing.T) {
	data := keyed(map[string]string{
		"leases":      "\n0 2026-05-14T09:00:00Z ,a,b,\n1 2026-05-14T09:30:00Z ,,\n2 tomorrow ,a,\n3 2026-05-14T09:00:00Z\n4 2026-05-14T09:00:00Z \n",
		"clearances":  "\nopus 0\nhaiku 1\nendless 2\nruleless 3\nruleless-too 4\nleaseless 7\nblank\n",
		"exemptions":  "\nopus/canary 2026-05-14T08:40:00Z,a\nbroken\nopus/x never,a\n",
		"adjustments": "\nendless ,guard,\n",
	})
	for model, want := range map[string]standing{
		"opus":         cleared("opus", "09:00:00", "a", "b").exempt("canary", "a", "08:40:00"),
		"haiku":        cleared("haiku", "09:30:00"),
		"opu":          {},
		"pus":          {},
		"0":            {},
		"endless":      standing{}.given("guard"),
		"ruleless":     {},
		"ruleless-too": {},
		"leaseless":    {},
		"blank":        {},
	} {
		if got := admission.Find(data, model); !got.Equal(want.Standing) || got.Cleared() != want.Cleared() {
			t.Errorf("%s: got %+v, want %+v", model, got, want.Standing)
		}
	}
}

func TestEqual(t *testing.T) {
	s := cleared("opus", "09:00:00", "b", "a").exempt("canary", "a", "08:40:00").given("guard").declaring("oci://a", "oci://b").opening("wide:in:|yes|")
	for name, tc := range map[string]struct {
		change func(*admission.Standing)
		want   bool
	}{
		"itself":              {func(*admission.Standing) {}, true},
		"rules in an order":   {func(o *admission.Standing) { o.Rules = []string{"a", "b"} }, true},
		"sources in an order": {func(o *admission.Standing) { o.Weights = []string{"oci://b", "oci://a"} }, true},
		"within the second": {func(o *admission.Standing) {
			o.ValidUntil = s.ValidUntil.Add(time.Second - 1).In(time.FixedZone("", 3600))
		}, true},
		"of another waiver": {func(o *admission.Standing) {
			o.Exemptions = []decision.Exemption{{Pod: "canary", Safeguard: "a", Until: at("08:40:00"), Waiver: "w"}}
		}, true},
		"a second later": {func(o *admission.Standing) { o.ValidUntil = s.ValidUntil.Add(time.Second) }, false},
		"not cleared":    {func(o *admission.Standing) { o.ValidUntil = time.Time{} }, false},
		"fewer rules":    {func(o *admission.Standing) { o.Rules = o.Rules[1:] }, false},
		"no exemption":   {func(o *admission.Standing) { o.Exemptions = nil }, false},
		"given more":     {func(o *admission.Standing) { o.Adjustments = []string{"guard", "sandbox"} }, false},
		"declares less":  {func(o *admission.Standing) { o.Weights = o.Weights[:1] }, false},
		"opened by less": {func(o *admission.Standing) { o.Openings = nil }, false},
	} {
		other := s.Standing
		tc.change(&other)
		if got := s.Equal(other); got != tc.want {
			t.Errorf("%s: %v", name, got)
		}
	}
}

// TestModelsWithoutRoomAreHeld fills the annotations: what does not fit is left out whole, so nothing runs by half of what binds it.
func TestModelsWithoutRoomAreHeld(t *testing.T) {
	long := strings.Repeat("x", 4000)
	t.Run("long lines", func(t *testing.T) {
		withoutRoom(t, func(int) standing { return cleared("", "09:00:00", "r").given("guard").declaring("s3://" + long) })
	})
	t.Run("leases of their own", func(t *testing.T) {
		withoutRoom(t, func(i int) standing { return cleared("", "09:00:00", long, fmt.Sprint(i)) })
	})
	t.Run("beside as many shortfalls and sources as there can be", func(t *testing.T) {
		full := admission.Clearances{Shortfalls: map[string]decision.Shortfall{}}
		var declared []admission.Declaration
		for i := range 2000 {
			full.Shortfalls[fmt.Sprintf("a-model-of-some-name-%d", i)] = decision.Shortfall{Since: time.Unix(int64(i), 0), Wait: time.Hour}
			declared = append(declared, admission.Declaration{Namespace: "far", Model: "m", Sources: []string{fmt.Sprintf("s3://bucket-%d/%s", i, long[:100])}})
		}
		full.Sources = admission.Sources("serving", declared, func(string, string) bool { return false })
		withoutRoomIn(t, full, func(int) standing { return cleared("", "09:00:00", "r").declaring("s3://" + long) })
	})
}

func withoutRoom(t *testing.T, model func(int) standing) {
	t.Helper()
	withoutRoomIn(t, admission.Clearances{}, model)
}

func withoutRoomIn(t *testing.T, full admission.Clearances, model func(int) standing) {
	t.Helper()
	c := clearancesOf(cleared("a", "09:00:00", "r"), cleared("z", "09:00:00", "r"))
	c.Shortfalls, c.Sources = full.Shortfalls, full.Sources
	for i := range 300 {
		c.Models[fmt.Sprintf("m-%03d", i)] = model(i).Standing
	}
	data, left := c.Annotations()
	size := 0
	for key, value := range data {
		size += len(key) + len(value)
	}
	if size > validation.TotalAnnotationSizeLimitB || size < validation.TotalAnnotationSizeLimitB*9/10 {
		t.Errorf("%d bytes, and annotations take %d", size, validation.TotalAnnotationSizeLimitB)
	}
	if len(left) < 10 || !slices.Contains(left, "m-299") || slices.Contains(left, "a") || slices.Contains(left, "z") {
		t.Errorf("left out: %q", left)
	}
	for name, want := range c.Models {
		switch got := admission.Find(data, name); {
		case slices.Contains(left, name) && !got.Equal(admission.Standing{}):
			t.Errorf("%s is left out, and this is in: %+v", name, got)
		case !slices.Contains(left, name) && !got.Equal(want):
			t.Errorf("%s is in as %+v", name, got)
		}
	}
}

// changed is by what the API server is told.
func changed(before, after admission.Clearances) []string {
	was, _ := before.Annotations()
	is, _ := after.Annotations()
	return admission.Changed(was, is)
}

func TestChanged(t *testing.T) {
	before := clearancesOf(cleared("stays", "09:00:00", "m"), cleared("goes", "09:00:00", "m"), cleared("renewed", "09:00:00", "m"), cleared("asked-more", "09:00:00", "m"),
		cleared("excused", "09:00:00", "m").exempt("canary", "m", "08:40:00"), standing{model: "given"}.given("guard"), standing{model: "declares"}.declaring("oci://a"), standing{model: "opened"}.opening("a:in:|x|"))
	after := clearancesOf(cleared("stays", "09:00:00", "m"), cleared("comes", "09:00:00", "m"), cleared("renewed", "09:30:00", "m"), cleared("asked-more", "09:00:00", "a", "m"),
		cleared("excused", "09:00:00", "m"), standing{model: "given"}.given("guard", "sandbox"), standing{model: "declares"}.declaring("oci://b"), standing{model: "opened"}.opening("a:in:|y|"))
	if diff := cmp.Diff([]string{"asked-more", "comes", "declares", "excused", "given", "goes", "opened", "renewed"}, changed(before, after)); diff != "" {
		t.Errorf("changed (-want +got):\n%s", diff)
	}
	if got := changed(before, before); len(got) != 0 {
		t.Errorf("changed from itself: %v", got)
	}
	if got := changed(before, clearancesOf()); len(got) != len(before.Models) {
		t.Errorf("all gone: %v", got)
	}
}

// drawName draws DNS labels that like to begin or end with each other.
func drawName(t *rapid.T, what string) string {
	return strings.Join(rapid.SliceOfN(rapid.SampledFrom([]string{"a", "b", "opus", "5"}), 1, 3).Draw(t, what), oneOf(t, "joint", "", "-"))
}

func drawNames(t *rapid.T, what string) []string {
	var names []string
	for range rapid.IntRange(0, 3).Draw(t, what) {
		if name := drawName(t, what); !slices.Contains(names, name) {
			names = append(names, name)
		}
	}
	return names
}

func drawClearances(t *rapid.T) admission.Clearances {
	c := clearancesOf()
	for range rapid.IntRange(0, 12).Draw(t, "models") {
		s := admission.Standing{Rules: drawNames(t, "rules"), Adjustments: drawNames(t, "adjustments"), Connect: drawNames(t, "connect"), Weights: drawNames(t, "weights")}
		for _, key := range drawNames(t, "openings") {
			s.Openings = append(s.Openings, key+":in:|x|")
		}
		if rapid.Bool().Draw(t, "cleared") {
			s.ValidUntil = at("08:10:00").Add(time.Duration(rapid.IntRange(-3, 3).Draw(t, "seconds")) * time.Second)
		}
		for _, pod := range drawNames(t, "exempted") {
			s.Exemptions = append(s.Exemptions, decision.Exemption{Pod: pod, Safeguard: drawName(t, "from"), Until: at("08:30:00")})
		}
		c.Models[drawName(t, "model")] = s
	}
	return c
}

// TestClearancesHoldWhatIsPutIn: whatever is packed is found again, and nothing else is.
func TestClearancesHoldWhatIsPutIn(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		c := drawClearances(t)
		data, _ := c.Annotations()
		if again, _ := c.Annotations(); !maps.Equal(data, again) {
			t.Fatalf("first %q, then %q", data, again)
		}
		for name, s := range c.Models {
			if got := admission.Find(data, name); !got.Equal(s) || got.Cleared() != s.Cleared() {
				t.Fatalf("%s: found %+v of %+v in %q", name, got, s, data)
			}
		}
		other := drawName(t, "other")
		if _, isIn := c.Models[other]; !isIn && !admission.Find(data, other).Equal(admission.Standing{}) {
			t.Fatalf("%q is found in %q", other, data)
		}
	})
}

func TestChangedIsWhatDiffers(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		before, after := drawClearances(t), drawClearances(t)
		var want []string
		for name := range maps.Keys(before.Models) {
			if !after.Models[name].Equal(before.Models[name]) {
				want = append(want, name)
			}
		}
		for name, s := range after.Models {
			if _, was := before.Models[name]; !was && !s.Equal(admission.Standing{}) {
				want = append(want, name)
			}
		}
		slices.Sort(want)
		if diff := cmp.Diff(want, changed(before, after)); diff != "" {
			t.Fatalf("changed (-want +got):\n%s", diff)
		}
	})
}

// TestAPIServerReadsClearancesAsTheOperatorDoes draws clearances and pods: a pod runs at once when the operator would say that
// its model is cleared and its lease lasts, is refused when its lease is over, and waits otherwise.
func TestAPIServerReadsClearancesAsTheOperatorDoes(t *testing.T) {
	server := newAPIServer(t, admission.Policies(install, nil), enforced)
	rapid.Check(t, func(t *rapid.T) {
		data, _ := drawClearances(t).Annotations()
		server.put(&corev1.LimitRange{ObjectMeta: metav1.ObjectMeta{Name: v1alpha1.ClearancesName, Annotations: data}})
		server.before137 = rapid.Bool().Draw(t, "before 1.37")
		model := drawName(t, "asked")
		want := "waits"
		if s := admission.Find(data, model); s.Cleared() {
			want = "is refused"
			if server.now.Before(s.ValidUntil) {
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
			t.Fatalf("a pod of %q %s, want that it %s: %q, %q", model, got, want, data, a.denials)
		}
	})
}

// TestClearancesThatCannotBeRead are refused by the API server: whoever broke them has cleared nothing.
func TestClearancesThatCannotBeRead(t *testing.T) {
	for name, data := range map[string]map[string]string{
		"nothing at all":   nil,
		"no clearances":    {"leases": "\n0 2026-05-14T09:00:00Z ,,\n"},
		"no leases":        {"clearances": "\nopus 0\n"},
		"no lease named":   {"clearances": "\nopus \n", "leases": "\n0 2026-05-14T09:00:00Z ,,\n"},
		"no such lease":    {"clearances": "\nopus 7\n", "leases": "\n0 2026-05-14T09:00:00Z ,,\n"},
		"no time":          {"clearances": "\nopus 0\n", "leases": "\n0 always ,,\n"},
		"no rules":         {"clearances": "\nopus 0\n", "leases": "\n0 2026-05-14T09:00:00Z\n"},
		"nothing of rules": {"clearances": "\nopus 0\n", "leases": "\n0 2026-05-14T09:00:00Z \n"},
	} {
		server := newAPIServer(t, admission.Policies(install, rulesOfTests()), enforced).
			put(&corev1.LimitRange{ObjectMeta: metav1.ObjectMeta{Name: v1alpha1.ClearancesName, Annotations: keyed(data)}})
		bothServers(t, name, server, func(t *testing.T, s *apiServer) {
			p := pod().Model("opus").Build()
			a := s.serve(t, request{user: "ann", operation: apiadmission.Create, resource: pods, object: p})
			if len(a.denials) == 0 && gatesOf(podOf(t, a.object)) != gate {
				t.Error("a new pod runs")
			}
		})
	}
}

// TestRulesAreReadWhole: a Safeguard whose name is a part of another's is not asked for with it.
func TestRulesAreReadWhole(t *testing.T) {
	breaks := []v1alpha1.PodValidation{{Expression: "false", Message: "broken"}}
	for _, asked := range []string{"a", "a-b", "b", "opus-a", "a5"} {
		for _, rule := range []string{"a", "a-b", "b", "opus-a", "a5"} {
			server := newAPIServer(t, admission.Policies(install, []admission.Rule{{Safeguard: rule, Validations: breaks}}), enforced).
				put(clearing(cleared("opus", "09:00:00", "first", asked, "last")))
			a := server.serve(t, request{user: "ann", operation: apiadmission.Create, resource: pods, object: pod().Model("opus").Build()})
			if denied := len(a.denials) > 0; denied != (asked == rule) {
				t.Errorf("asked for %s, broken %s: %q", asked, rule, a.denials)
			}
		}
	}
}

// FuzzClearances packs two models of any names, and looks for a third. The API keeps names to DNS labels, in which no dot,
// blank or comma can be; a label of a pod may have dots besides.
func FuzzClearances(f *testing.F) {
	for _, seed := range [][5]string{
		{"opus", "haiku", "opus", "a", "b"}, {"opus", "opus-5", "5", "a", "a-b"}, {"a", "b", "a b", "x", ","}, {"a", "b", " ", "", ""},
		{"a", "a", "", "x,y", "y"}, {"a b", "c", "b", "x", "x"}, {"A.b_C", "a", "A.b_C", "-", "--"}, {"model", "rules", "rules.0", "0", "1"},
		{"0", "1", "0", "0", "1"}, {"policy", "coverage", "model.policy", "a", "b"},
	} {
		f.Add(seed[0], seed[1], seed[2], seed[3], seed[4])
	}
	f.Fuzz(func(t *testing.T, first, second, asked, ruleOfFirst, ruleOfSecond string) {
		for _, name := range []string{first, second, ruleOfFirst, ruleOfSecond} {
			if apivalidation.IsDNS1123Label(name) != nil {
				return
			}
		}
		if first == second || len(apivalidation.IsValidLabelValue(asked)) > 0 {
			return
		}
		apart := clearancesOf(cleared(first, "09:00:00", ruleOfFirst), cleared(second, "09:30:00", ruleOfSecond))
		together := clearancesOf(cleared(first, "09:00:00", ruleOfFirst, ruleOfSecond), cleared(second, "09:00:00", ruleOfSecond, ruleOfFirst))
		for _, c := range []admission.Clearances{apart, together} {
			data, _ := c.Annotations()
			if got := admission.Find(data, asked); !got.Equal(c.Models[asked]) || got.Cleared() != c.Models[asked].Cleared() {
				t.Errorf("%q in %q: %+v", asked, data, got)
			}
			for _, s := range c.Models {
				names := admission.RuleNames(s.Rules)
				if strings.Contains(names, ","+asked+",") != slices.Contains(s.Rules, asked) {
					t.Errorf("rule %q in %q", asked, names)
				}
			}
			if names := admission.Changed(nil, data); len(names) != 2 {
				t.Errorf("changed: %q", names)
			}
		}
	})
}

// BenchmarkClearances packs a thousand models.
func BenchmarkClearances(b *testing.B) {
	c := clearancesOf()
	for i := range 1000 {
		name := fmt.Sprintf("model-%04d", i)
		c.Models[name] = admission.Standing{ValidUntil: at("09:00:00").Add(time.Duration(i%2) * time.Hour), Rules: []string{"a", "b", "c"}}
	}
	b.ReportAllocs()
	for b.Loop() {
		c.Annotations()
	}
}
