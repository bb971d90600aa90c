package safeguard

import (
	"fmt"
	"strings"
	"sync"
	"testing"
	"unicode"

	"github.com/google/go-cmp/cmp"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"

	"github.com/interlock-dev/interlock/api/v1alpha1"
	"github.com/interlock-dev/interlock/internal/testing/builder"
)

func newCompiler(t testing.TB) *Compiler {
	t.Helper()
	c, err := NewCompiler()
	if err != nil {
		t.Fatal(err)
	}
	return c
}

// ruled is a Safeguard of pod rules; each breaks with the message "rule N".
func ruled(name string, expressions ...string) *v1alpha1.Safeguard {
	rule := &v1alpha1.PodRule{}
	for i, expression := range expressions {
		rule.Validations = append(rule.Validations, v1alpha1.PodValidation{Expression: expression, Message: fmt.Sprintf("rule %d", i)})
	}
	return &v1alpha1.Safeguard{
		ObjectMeta: metav1.ObjectMeta{Name: name, UID: types.UID(name), Generation: 1},
		Spec:       v1alpha1.SafeguardSpec{Title: name, Remedy: "mend " + name, PodRule: rule},
	}
}

func walled(name string, cidrs ...string) *v1alpha1.Safeguard {
	return &v1alpha1.Safeguard{
		ObjectMeta: metav1.ObjectMeta{Name: name, UID: types.UID(name), Generation: 1},
		Spec: v1alpha1.SafeguardSpec{Title: name, Remedy: "mend " + name,
			Resource: &v1alpha1.ResourceRule{Egress: &v1alpha1.EgressRule{AllowedCIDRs: cidrs}}},
	}
}

func mustCompile(t testing.TB, sg *v1alpha1.Safeguard) *Compiled {
	t.Helper()
	compiled, err := newCompiler(t).Compile(sg)
	if err != nil {
		t.Fatal(err)
	}
	return compiled
}

// checkLine fails unless text is one line that a status can hold.
func checkLine(t interface{ Errorf(string, ...any) }, what, text string, most int) {
	if len(text) > most || strings.ContainsFunc(text, func(r rune) bool { return !unicode.IsPrint(r) }) {
		t.Errorf("%s is no line of at most %d bytes: %q", what, most, text)
	}
}

func TestCompileErrors(t *testing.T) {
	method := func(spec v1alpha1.SafeguardSpec) *v1alpha1.Safeguard { return &v1alpha1.Safeguard{Spec: spec} }
	for name, tc := range map[string]struct {
		safeguard *v1alpha1.Safeguard
		want      []string
	}{
		"syntax":                       {ruled("a", "true", "object.spec.("), []string{"spec.podRule.validations[1].expression: ", "1:13", "Syntax error"}},
		"several lines":                {ruled("a", "true &&\n  object.spec.hostNetwork == nope"), []string{"validations[0]", "2:30", "undeclared reference to 'nope'"}},
		"empty":                        {ruled("a", ""), []string{"validations[0]", "Syntax error"}},
		"only a comment":               {ruled("a", "// true"), []string{"validations[0]", "Syntax error"}},
		"a string":                     {ruled("a", "object.metadata.name + 'x'"), []string{"must yield a bool, but yields string"}},
		"a list":                       {ruled("a", "[true]"), []string{"must yield a bool, but yields list(bool)"}},
		"an optional bool":             {ruled("a", "optional.of(true)"), []string{"must yield a bool, but yields optional_type(bool)"}},
		"no such function":             {ruled("a", "object.spec.containers.every(c, true)"), []string{"undeclared reference to 'every'"}},
		"wrong types":                  {ruled("a", "'a' == 1"), []string{"no matching overload for '_==_'"}},
		"a broken pattern":             {ruled("a", "object.metadata.name.matches('(')"), []string{"invalid matches argument"}},
		"a bad time":                   {ruled("a", "timestamp('yesterday') < timestamp(object.metadata.creationTimestamp)"), []string{"invalid timestamp argument"}},
		"closing what it did not open": {ruled("a", "true) || (true"), []string{"Syntax error"}},
		"unclosed text":                {ruled("a", "object.metadata.name == 'a"), []string{"Syntax error"}},
		"too deep":                     {ruled("a", strings.Repeat("(", 400)+"true"+strings.Repeat(")", 400)), []string{"recursion"}},
		"too deep for a policy": {ruled("a", strings.Repeat("(", 245)+"true"+strings.Repeat(")", 245)),
			[]string{"validations[0].expression: is nested too deeply to be part of the policies that enforce it"}},
		"no method": {method(v1alpha1.SafeguardSpec{}), []string{"spec: no verification method that this version of Interlock knows"}},
		"a resource rule about nothing": {method(v1alpha1.SafeguardSpec{Resource: &v1alpha1.ResourceRule{}}),
			[]string{"spec: no verification method that this version of Interlock knows"}},
		"a range that is none":                {walled("a", "10.0.0.0/8", "10.0.0.0/99"), []string{"spec.resource.egress.allowedCIDRs: ", "10.0.0.0/99"}},
		"the ledger":                          {ruled("a", "params == null"), []string{"undeclared reference to 'params'"}},
		"the request":                         {ruled("a", "request.operation == 'CREATE'"), []string{"undeclared reference to 'request'"}},
		"what the pod was":                    {ruled("a", "oldObject == null"), []string{"undeclared reference to 'oldObject'"}},
		"the policy's variables":              {ruled("a", "variables.held"), []string{"undeclared reference to 'variables'"}},
		"the authorizer":                      {ruled("a", "authorizer.path('/').check('get').allowed()"), []string{"undeclared reference to 'authorizer'"}},
		"the namespace":                       {ruled("a", "namespaceObject.metadata.name == 'x'"), []string{"undeclared reference to 'namespaceObject'"}},
		"the name of a clearance in policies": {ruled("a", "clearance.models == ''"), []string{"undeclared reference to 'clearance'"}},
	} {
		t.Run(name, func(t *testing.T) {
			compiled, err := newCompiler(t).Compile(tc.safeguard)
			if err == nil || compiled != nil {
				t.Fatalf("compiled to %v, %v", compiled, err)
			}
			for _, part := range tc.want {
				if !strings.Contains(err.Error(), part) {
					t.Errorf("want %q in: %s", part, err)
				}
			}
			checkLine(t, "error", err.Error(), 1000)
		})
	}
}

// TestCompileErrorsAreBounded: CEL quotes the whole expression with each of up to a hundred errors.
func TestCompileErrorsAreBounded(t *testing.T) {
	_, err := newCompiler(t).Compile(ruled("a", strings.Repeat("nope || ", 500)+"nope"))
	if err == nil {
		t.Fatal("compiled")
	}
	checkLine(t, "error", err.Error(), 1000)
}

func TestPodRules(t *testing.T) {
	pod := builder.Pod("serving", "vllm-0").Model("opus").Annotation("lines", "a\nb").GPUs(2).
		InitContainer("fetch", builder.TaggedImage).With(func(p *corev1.Pod) {
		p.Spec.EphemeralContainers = []corev1.EphemeralContainer{{EphemeralContainerCommon: corev1.EphemeralContainerCommon{Name: "debug", Image: "busybox"}}}
	}).Build()
	wide := pod.DeepCopy()
	for i := range 200 {
		wide.Spec.Containers = append(wide.Spec.Containers, corev1.Container{Name: fmt.Sprintf("c%d", i)})
	}
	const cubic = `object.spec.containers.all(a, object.spec.containers.all(b, object.spec.containers.all(c, a.name + b.name + c.name != 'x')))`
	for name, tc := range map[string]struct {
		pod         *corev1.Pod
		expressions []string
		want        string
	}{
		"met":                               {pod, []string{"object.spec.containers.size() == 1"}, ""},
		"one of two broken":                 {pod, []string{"false", "true"}, "rule 0"},
		"both broken":                       {pod, []string{"false", "object.metadata.name == 'x'"}, "rule 0; rule 1"},
		"a comment at the end":              {pod, []string{"object.spec.containers.size() == 1 // just one"}, ""},
		"a comment at the end, broken":      {pod, []string{"object.spec.containers.size() == 2 // two"}, "rule 0"},
		"over lines":                        {pod, []string{"object.spec.containers\n  .all(c, // each\n c.image.contains('@sha256:'))"}, ""},
		"init containers":                   {pod, []string{"object.spec.initContainers.all(c, c.image.contains('@sha256:'))"}, "rule 0"},
		"ephemeral containers":              {pod, []string{"!has(object.spec.ephemeralContainers)"}, "rule 0"},
		"an absent list, asked in safety":   {builder.Pod("a", "b").Build(), []string{"object.spec.?initContainers.orValue([]).size() == 0"}, ""},
		"an absent list, asked carelessly":  {builder.Pod("a", "b").Build(), []string{"object.spec.initContainers.size() == 0"}, "the rule cannot be evaluated: no such key: initContainers"},
		"not a bool in the end":             {pod, []string{"object.metadata.name"}, "rule 0"},
		"a bool that only turns out as one": {pod, []string{"object.spec.automountServiceAccountToken == false"}, ""},
		"the kind, which clients drop":      {pod, []string{"object.kind == 'Pod' && object.apiVersion == 'v1'"}, ""},
		"quantities":                        {pod, []string{"quantity(object.spec.containers[0].resources.limits['nvidia.com/gpu']).compareTo(quantity('2')) == 0"}, ""},
		"words of the pod in an error": {pod, []string{"object.metadata.labels[object.metadata.annotations['lines']] == ''"},
			"the rule cannot be evaluated: no such key: a b"},
		"more than it may cost": {wide, []string{cubic}, "the rule cannot be evaluated: operation cancelled: actual cost limit exceeded"},
	} {
		t.Run(name, func(t *testing.T) {
			before := tc.pod.DeepCopy()
			got := mustCompile(t, ruled("a", tc.expressions...)).violations(tc.pod, Surroundings{})
			if diff := cmp.Diff(tc.want, got); diff != "" {
				t.Errorf("violations (-want +got):\n%s", diff)
			}
			if diff := cmp.Diff(before, tc.pod); diff != "" {
				t.Errorf("the pod has changed (-before +after):\n%s", diff)
			}
		})
	}
}

func TestWhatMethodsProve(t *testing.T) {
	for name, tc := range map[string]struct {
		safeguard *v1alpha1.Safeguard
		strength  v1alpha1.Strength
	}{
		"podRule":  {ruled("a", "true"), v1alpha1.StrengthEnforced},
		"resource": {walled("a"), v1alpha1.StrengthObserved},
	} {
		if got := mustCompile(t, tc.safeguard); got.Strength != tc.strength || got.Name != "a" || got.Remedy != "mend a" {
			t.Errorf("%s: %+v", name, got)
		}
	}
}

func TestCompilerKeepsWhatItCompiled(t *testing.T) {
	c := newCompiler(t)
	compile := func(sg *v1alpha1.Safeguard) *Compiled {
		t.Helper()
		compiled, err := c.Compile(sg)
		if err != nil {
			t.Fatal(err)
		}
		return compiled
	}
	first := ruled("a", "true")
	kept := compile(first)
	if compile(ruled("a", "true")) != kept {
		t.Error("the same identity and generation is compiled twice")
	}
	changed := ruled("a", "false")
	changed.Generation = 2
	if got := compile(changed).judge(&corev1.Pod{}, Surroundings{}); len(got) != 1 {
		t.Errorf("a new generation goes by the old rule: %q", got)
	}
	again := ruled("a", "false")
	again.UID = "created anew"
	if got := compile(again).judge(&corev1.Pod{}, Surroundings{}); len(got) != 1 {
		t.Errorf("a Safeguard created anew goes by the rule of its namesake: %q", got)
	}

	broken := ruled("b", "nope")
	for range 2 {
		if _, err := c.Compile(broken); err == nil {
			t.Error("an error is forgotten")
		}
	}
	mended := ruled("b", "true")
	mended.Generation = 2
	compile(mended)

	current := compile(mended)
	c.Forget([]v1alpha1.Safeguard{*mended})
	if compile(mended) != current {
		t.Error("what is excepted is forgotten")
	}
	c.Forget(nil)
	if len(c.kept) != 0 {
		t.Errorf("kept for ever: %v", c.kept)
	}
}

// TestSafeguardsFromFilesHaveNoIdentity: two that the API server has never seen are not the same for that.
func TestSafeguardsFromFilesHaveNoIdentity(t *testing.T) {
	c := newCompiler(t)
	for _, name := range []string{"a", "b"} {
		sg := ruled(name, "object.metadata.name == '"+name+"'")
		sg.UID, sg.Generation = "", 0
		compiled, err := c.Compile(sg)
		if err != nil {
			t.Fatal(err)
		}
		if got := compiled.judge(builder.Pod("x", name).Build(), Surroundings{}); compiled.Name != name || got != nil {
			t.Errorf("Safeguard %s was compiled to %s: %q", name, compiled.Name, got)
		}
	}
}

func TestCompilerServesManyAtOnce(t *testing.T) {
	c := newCompiler(t)
	pods := []*corev1.Pod{builder.Pod("x", "a").Build(), builder.Pod("x", "b").Build()}
	var wg sync.WaitGroup
	for worker := range 8 {
		wg.Go(func() {
			for i := range 40 {
				name := []string{"a", "b"}[(worker+i)%2]
				sg := ruled(name, "object.metadata.name == '"+name+"'")
				compiled, err := c.Compile(sg)
				if err != nil {
					t.Error(err)
					return
				}
				for _, pod := range pods {
					if got := compiled.judge(pod, Surroundings{}); (got == nil) != (pod.Name == name) {
						t.Errorf("rule %s on pod %s: %q", name, pod.Name, got)
					}
				}
				if i%10 == 0 {
					c.Forget(nil)
				}
			}
		})
	}
	wg.Wait()
}
