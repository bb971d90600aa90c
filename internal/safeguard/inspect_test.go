package safeguard

import (
	"fmt"
	"maps"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	corev1 "k8s.io/api/core/v1"
	networkingv1 "k8s.io/api/networking/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"pgregory.net/rapid"

	"github.com/interlock-dev/interlock/api/v1alpha1"
	"github.com/interlock-dev/interlock/internal/decision"
	"github.com/interlock-dev/interlock/internal/testing/builder"
)

var opus = types.NamespacedName{Namespace: "serving", Name: "opus"}

// judging is a Safeguard of the same name that is broken by pods which bear its name as a label.
func judging(name string) *Compiled {
	return &Compiled{Name: name, Remedy: "mend " + name, Strength: v1alpha1.StrengthEnforced,
		judge: func(pod *corev1.Pod, _ Surroundings) []string {
			if _, broken := pod.Labels[name]; broken {
				return []string{name + " is broken"}
			}
			return nil
		}}
}

func reporting(name string) *Compiled { return judging(name).OnlyReported() }

// aPod is past the gate, and breaks the Safeguards of these names.
func aPod(name string, breaks ...string) *corev1.Pod {
	pod := builder.Pod("serving", name).Model("opus").With(func(p *corev1.Pod) { p.UID = types.UID("uid-" + name) })
	for _, safeguard := range breaks {
		pod.Label(safeguard, "broken")
	}
	return pod.Build()
}

func held(pod *corev1.Pod) *corev1.Pod {
	pod.Spec.SchedulingGates = append(pod.Spec.SchedulingGates, corev1.PodSchedulingGate{Name: "another.example/gate"}, corev1.PodSchedulingGate{Name: v1alpha1.ClearanceGate})
	return pod
}

func ended(pod *corev1.Pod, phase corev1.PodPhase) *corev1.Pod {
	pod.Status.Phase = phase
	return pod
}

// leaving is told to end now and given some seconds.
func leaving(pod *corev1.Pod, seconds int64) *corev1.Pod {
	pod.DeletionTimestamp, pod.DeletionGracePeriodSeconds = &metav1.Time{Time: time.Time{}.Add(time.Duration(seconds) * time.Second)}, &seconds
	return pod
}

func leftLongAgo(pod *corev1.Pod) *corev1.Pod {
	pod = leaving(pod, 1)
	pod.DeletionTimestamp.Time = pod.DeletionTimestamp.Add(-overtime - time.Second)
	return pod
}

func TestInspect(t *testing.T) {
	foreign := aPod("gated-by-another", "a")
	foreign.Spec.SchedulingGates = []corev1.PodSchedulingGate{{Name: "another.example/gate"}}
	for name, tc := range map[string]struct {
		asked []*Compiled
		pods  []*corev1.Pod
		// want says of each Safeguard what was found, "" for in place.
		want map[string]string
		fit  []string
	}{
		"no pods": {
			asked: []*Compiled{judging("a")},
			want:  map[string]string{"a": "Satisfied: no pod yet; the API server refuses one that breaks it"},
		},
		"all is well": {
			asked: []*Compiled{judging("a"), judging("b")},
			pods:  []*corev1.Pod{aPod("x"), held(aPod("y"))},
			want:  map[string]string{"a": "", "b": ""},
			fit:   []string{"x", "y"},
		},
		"a running pod breaks one": {
			asked: []*Compiled{judging("a"), judging("b")},
			pods:  []*corev1.Pod{aPod("x", "b"), aPod("y")},
			want:  map[string]string{"a": "", "b": "Missing: 1 of 2 pods, such as x: b is broken"},
			fit:   []string{"y"},
		},
		"the first by name is the example": {
			asked: []*Compiled{judging("a")},
			pods:  []*corev1.Pod{aPod("z", "a"), aPod("y", "a"), aPod("x")},
			want:  map[string]string{"a": "Missing: 2 of 3 pods, such as y: a is broken"},
			fit:   []string{"x"},
		},
		"a rollout: old pods wait, new ones are fit": {
			asked: []*Compiled{judging("a"), judging("b")},
			pods:  []*corev1.Pod{held(aPod("old-1", "a")), held(aPod("old-2", "a", "b")), held(aPod("new"))},
			want:  map[string]string{"a": "", "b": ""},
			fit:   []string{"new"},
		},
		"a rollout: old pods wait, a new one runs": {
			asked: []*Compiled{judging("a")},
			pods:  []*corev1.Pod{held(aPod("old", "a")), aPod("new")},
			want:  map[string]string{"a": ""},
			fit:   []string{"new"},
		},
		"a rollout: old pods run": {
			asked: []*Compiled{judging("a")},
			pods:  []*corev1.Pod{aPod("old", "a"), held(aPod("new"))},
			want:  map[string]string{"a": "Missing: 1 of 2 pods, such as old: a is broken"},
			fit:   []string{"new"},
		},
		"a rollout mends one of two": {
			asked: []*Compiled{judging("a"), judging("b")},
			pods:  []*corev1.Pod{held(aPod("old", "a", "b")), held(aPod("new", "b"))},
			want:  map[string]string{"a": "", "b": "Missing: 1 of 1 pods, such as new: b is broken"},
		},
		"two ways of being broken": {
			asked: []*Compiled{judging("a"), judging("b")},
			pods:  []*corev1.Pod{held(aPod("x", "a")), held(aPod("y", "b"))},
			want:  map[string]string{"a": "Missing: 1 of 2 pods, such as x: a is broken", "b": "Missing: 1 of 2 pods, such as y: b is broken"},
		},
		"the gate of another does not hold": {
			asked: []*Compiled{judging("a")},
			pods:  []*corev1.Pod{foreign, aPod("y")},
			want:  map[string]string{"a": "Missing: 1 of 2 pods, such as gated-by-another: a is broken"},
			fit:   []string{"y"},
		},
		"what is only reported neither holds a pod nor a safeguard": {
			asked: []*Compiled{judging("a"), reporting("tip")},
			pods:  []*corev1.Pod{held(aPod("old", "a")), held(aPod("new", "tip"))},
			want:  map[string]string{"a": "", "tip": "Missing: 1 of 1 pods, such as new: tip is broken"},
			fit:   []string{"new"},
		},
		"ended pods": {
			asked: []*Compiled{judging("a")},
			pods:  []*corev1.Pod{ended(aPod("x", "a"), corev1.PodSucceeded), ended(aPod("y", "a"), corev1.PodFailed), ended(aPod("z"), corev1.PodRunning)},
			want:  map[string]string{"a": ""},
			fit:   []string{"x", "y", "z"},
		},
		"only ended pods": {
			asked: []*Compiled{judging("a")},
			pods:  []*corev1.Pod{ended(aPod("x", "a"), corev1.PodFailed)},
			want:  map[string]string{"a": "Satisfied: no pod yet; the API server refuses one that breaks it"},
			fit:   []string{"x"},
		},
		"a pod of unknown phase may run": {
			asked: []*Compiled{judging("a")},
			pods:  []*corev1.Pod{ended(aPod("x", "a"), corev1.PodUnknown)},
			want:  map[string]string{"a": "Missing: 1 of 1 pods, such as x: a is broken"},
		},
		"pods about to be gone": {
			asked: []*Compiled{judging("a")},
			pods:  []*corev1.Pod{leaving(aPod("x", "a"), 30), leaving(aPod("y", "a"), 0), aPod("z")},
			want:  map[string]string{"a": ""},
			fit:   []string{"x", "y", "z"},
		},
		"a pod that takes its time to go serves on": {
			asked: []*Compiled{judging("a")},
			pods:  []*corev1.Pod{leaving(aPod("x", "a"), 31), aPod("z")},
			want:  map[string]string{"a": "Missing: 1 of 2 pods, such as x: a is broken"},
			fit:   []string{"z"},
		},
		"a pod that is still there long after its time may run": {
			asked: []*Compiled{judging("a")},
			pods:  []*corev1.Pod{leftLongAgo(aPod("x", "a")), aPod("z")},
			want:  map[string]string{"a": "Missing: 1 of 2 pods, such as x: a is broken"},
			fit:   []string{"z"},
		},
		"a held pod that is there long after its time does not": {
			asked: []*Compiled{judging("a")},
			pods:  []*corev1.Pod{held(leftLongAgo(aPod("x", "a")))},
			want:  map[string]string{"a": "Satisfied: no pod yet; the API server refuses one that breaks it"},
			fit:   []string{"x"},
		},
		"a held pod that takes its time to go does not": {
			asked: []*Compiled{judging("a")},
			pods:  []*corev1.Pod{held(leaving(aPod("x", "a"), 3600))},
			want:  map[string]string{"a": "Satisfied: no pod yet; the API server refuses one that breaks it"},
			fit:   []string{"x"},
		},
	} {
		t.Run(name, func(t *testing.T) {
			in := Inspect(opus, tc.asked, tc.pods, Surroundings{})
			got := map[string]string{}
			for name, f := range in.Findings {
				got[name] = fmt.Sprintf("%s: %s", f.State, f.Message)
				if got[name] == "Satisfied: in place" {
					got[name] = ""
				}
				if f.Strength != v1alpha1.StrengthEnforced || f.Remedy != "mend "+name {
					t.Errorf("%s: strength %s, remedy %q", name, f.Strength, f.Remedy)
				}
			}
			if diff := cmp.Diff(tc.want, got); diff != "" {
				t.Errorf("findings (-want +got):\n%s", diff)
			}
			var fit []string
			for _, pod := range tc.pods {
				if in.Fit(pod) {
					fit = append(fit, pod.Name)
				}
			}
			slices.Sort(fit)
			if diff := cmp.Diff(tc.fit, fit); diff != "" {
				t.Errorf("fit (-want +got):\n%s", diff)
			}
		})
	}
}

// TestSurroundingsAreJudgedWithoutPods: what lies around the pods can be in place, or not, before there is one.
func TestSurroundingsAreJudgedWithoutPods(t *testing.T) {
	wall := mustCompile(t, walled("wall", "10.0.0.0/8"))
	closed := *builder.NetworkPolicy("serving", "deny").Model("opus").Build()
	other := *builder.NetworkPolicy("serving", "deny").Model("haiku").Build()
	for name, tc := range map[string]struct {
		policies []networkingv1.NetworkPolicy
		pods     []*corev1.Pod
		state    v1alpha1.SafeguardState
	}{
		"no policy, no pod":                   {nil, nil, v1alpha1.SafeguardMissing},
		"a policy, no pod":                    {[]networkingv1.NetworkPolicy{closed}, nil, v1alpha1.SafeguardSatisfied},
		"a policy of another model, no pod":   {[]networkingv1.NetworkPolicy{other}, nil, v1alpha1.SafeguardMissing},
		"no policy, a pod":                    {nil, []*corev1.Pod{aPod("x")}, v1alpha1.SafeguardMissing},
		"a policy, a pod":                     {[]networkingv1.NetworkPolicy{closed}, []*corev1.Pod{aPod("x")}, v1alpha1.SafeguardSatisfied},
		"a policy, a pod on the host network": {[]networkingv1.NetworkPolicy{closed}, []*corev1.Pod{builder.Pod("serving", "x").Model("opus").HostNetwork().Build()}, v1alpha1.SafeguardMissing},
	} {
		t.Run(name, func(t *testing.T) {
			f := Inspect(opus, []*Compiled{wall}, tc.pods, Surroundings{NetworkPolicies: tc.policies}).Findings["wall"]
			if f.State != tc.state || f.Strength != v1alpha1.StrengthObserved {
				t.Errorf("found %s (%s): %s, want %s", f.State, f.Strength, f.Message, tc.state)
			}
		})
	}
}

// TestPodLabelsThatCanChangeDoNotHoldAnything: a policy that selects by a label which can be edited away governs nothing.
func TestPodLabelsThatCanChangeDoNotHoldAnything(t *testing.T) {
	wall := mustCompile(t, walled("wall"))
	byApp := *builder.NetworkPolicy("serving", "deny").Selecting("app", "vllm").Build()
	pod := aPod("x")
	pod.Labels["app"] = "vllm"
	f := Inspect(opus, []*Compiled{wall}, []*corev1.Pod{pod}, Surroundings{NetworkPolicies: []networkingv1.NetworkPolicy{byApp}}).Findings["wall"]
	if f.State != v1alpha1.SafeguardMissing {
		t.Errorf("found %s: %s", f.State, f.Message)
	}
}

// TestJudgesThatFail: one that panics, or has nothing to say that could be shown, has not found the pod to be as it
// should be, and those beside it go on.
func TestJudgesThatFail(t *testing.T) {
	failing := func(judge func(*corev1.Pod, Surroundings) []string) *Compiled {
		a := judging("failing")
		a.judge = judge
		return a
	}
	for name, tc := range map[string]struct {
		judge func(*corev1.Pod, Surroundings) []string
		want  string
	}{
		"panic": {func(*corev1.Pod, Surroundings) []string { panic("line one\nline two") }, "the check itself failed: line one line two"},
		"nil in a map": {func(p *corev1.Pod, _ Surroundings) []string {
			var m map[string][]int
			return []string{p.Name[m["x"][1]:]}
		}, "the check itself failed: runtime error"},
		"says nothing":   {func(*corev1.Pod, Surroundings) []string { return []string{""} }, "it is broken, in words that cannot be shown"},
		"says blanks":    {func(*corev1.Pod, Surroundings) []string { return []string{" \t "} }, "it is broken, in words that cannot be shown"},
		"cannot be seen": {func(*corev1.Pod, Surroundings) []string { return []string{"\u200b\x1b"} }, "it is broken, in words that cannot be shown"},
		"much":           {func(*corev1.Pod, Surroundings) []string { return []string{strings.Repeat("x", 9000)} }, strings.Repeat("x", 200)},
		"many":           {func(*corev1.Pod, Surroundings) []string { return slices.Repeat([]string{"x"}, 9000) }, "x; x; x"},
	} {
		t.Run(name, func(t *testing.T) {
			pod := aPod("pod")
			in := Inspect(opus, []*Compiled{failing(tc.judge), judging("other")}, []*corev1.Pod{pod}, Surroundings{})
			f := in.Findings["failing"]
			if f.State != v1alpha1.SafeguardMissing || !strings.Contains(f.Message, tc.want) || in.Fit(pod) {
				t.Errorf("fit: %v, %s: %s", in.Fit(pod), f.State, f.Message)
			}
			checkLine(t, "message", f.Message, 1024)
			if in.Findings["other"].State != v1alpha1.SafeguardSatisfied {
				t.Errorf("the other: %+v", in.Findings["other"])
			}
		})
	}
}

var letters = []string{"a", "b", "c"}

func drawPods(t *rapid.T) []*corev1.Pod {
	var pods []*corev1.Pod
	for i := range rapid.IntRange(0, 5).Draw(t, "pods") {
		broken := rapid.SliceOfNDistinct(rapid.SampledFrom(letters), 0, 3, rapid.ID).Draw(t, "breaks")
		pod := aPod(fmt.Sprintf("pod-%d", i), broken...)
		switch rapid.IntRange(0, 5).Draw(t, "is") {
		case 0, 1:
			held(pod)
		case 2:
			leaving(pod, rapid.Int64Range(0, 60).Draw(t, "seconds to go"))
		case 3:
			ended(pod, rapid.SampledFrom([]corev1.PodPhase{corev1.PodFailed, corev1.PodSucceeded, corev1.PodPending, corev1.PodRunning}).Draw(t, "phase"))
		}
		pods = append(pods, pod)
	}
	return pods
}

// drawAsked asks for all three Safeguards, some of which are only reported.
func drawAsked(t *rapid.T) []*Compiled {
	var asked []*Compiled
	for _, name := range letters {
		a := judging(name)
		if rapid.IntRange(0, 3).Draw(t, "is only reported") == 0 {
			a = a.OnlyReported()
		}
		asked = append(asked, a)
	}
	return asked
}

func TestOrderDoesNotMatterAndNothingIsChanged(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		pods, asked := drawPods(t), drawAsked(t)
		var before []*corev1.Pod
		for _, pod := range pods {
			before = append(before, pod.DeepCopy())
		}
		want := Inspect(opus, asked, pods, Surroundings{})
		if diff := cmp.Diff(before, pods); diff != "" {
			t.Fatalf("pods (-before +after):\n%s", diff)
		}
		if len(pods) > 0 {
			pods = rapid.Permutation(pods).Draw(t, "other order of pods")
		}
		got := Inspect(opus, rapid.Permutation(asked).Draw(t, "other order of Safeguards"), pods, Surroundings{})
		if diff := cmp.Diff(want.Findings, got.Findings); diff != "" {
			t.Fatalf("findings (-want +got):\n%s", diff)
		}
		for _, pod := range pods {
			if want.Fit(pod) != got.Fit(pod) {
				t.Fatalf("pod %s is fit: %v, then %v", pod.Name, want.Fit(pod), got.Fit(pod))
			}
		}
	})
}

// TestWhatRunsIsFitWhereAllIsInPlace is what releasing pods rests on: where all that holds is in place, no running pod
// breaks any of it, and if pods wait and none runs, at least one of them can be released.
func TestWhatRunsIsFitWhereAllIsInPlace(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		pods, asked := drawPods(t), drawAsked(t)
		in := Inspect(opus, asked, pods, Surroundings{})
		for _, a := range asked {
			if !a.onlyReported && in.Findings[a.Name].State != v1alpha1.SafeguardSatisfied {
				return
			}
		}
		waiting, running, released := 0, 0, 0
		for _, pod := range pods {
			switch {
			case !Living(pod) || pod.DeletionTimestamp != nil && *pod.DeletionGracePeriodSeconds <= 30:
			case Held(pod):
				waiting++
				if in.Fit(pod) {
					released++
				}
			default:
				running++
				if !in.Fit(pod) {
					t.Fatalf("pod %s runs, breaks what holds, and all is said to be in place", pod.Name)
				}
			}
		}
		if waiting > 0 && running == 0 && released == 0 {
			t.Fatalf("all is said to be in place, and none of %d pods can be released", waiting)
		}
	})
}

// TestARunningPodThatBreaksShows: adding one never makes anything look better.
func TestARunningPodThatBreaksShows(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		pods, asked := drawPods(t), drawAsked(t)
		before := Inspect(opus, asked, pods, Surroundings{}).Findings
		name := rapid.SampledFrom(letters).Draw(t, "broken")
		after := Inspect(opus, asked, append(pods, aPod("added", name)), Surroundings{}).Findings
		if after[name].State != v1alpha1.SafeguardMissing {
			t.Fatalf("%s: %+v", name, after[name])
		}
		for _, pod := range (&Inspection{}).counting(pods, time.Time{}) { // those that run have not become fewer
			for _, other := range letters {
				if _, broken := pod.Labels[other]; broken && !Held(pod) && after[other].State != v1alpha1.SafeguardMissing {
					t.Fatalf("%s was %+v, and is %+v", other, before[other], after[other])
				}
			}
		}
	})
}

// TestReportedUnderOnePolicyOnly: what one policy only reports, another may hold pods for.
func TestReportedUnderOnePolicyOnly(t *testing.T) {
	kept, pod := judging("a"), aPod("x", "a")
	if reported := kept.OnlyReported(); !Inspect(opus, []*Compiled{reported}, []*corev1.Pod{pod}, Surroundings{}).Fit(pod) {
		t.Error("a pod is held for what is only reported")
	}
	if Inspect(opus, []*Compiled{kept}, []*corev1.Pod{pod}, Surroundings{}).Fit(pod) {
		t.Error("a pod is let through for what another policy only reports")
	}
}

// TestReportingChangesNothingElse: a Safeguard that is only reported has no say in what else is found, nor in which pods
// are fit.
func TestReportingChangesNothingElse(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		pods := drawPods(t)
		without := Inspect(opus, []*Compiled{judging("a"), judging("b")}, pods, Surroundings{})
		with := Inspect(opus, []*Compiled{reporting("c"), judging("a"), judging("b")}, pods, Surroundings{})
		others := maps.Clone(with.Findings)
		delete(others, "c")
		if diff := cmp.Diff(without.Findings, others); diff != "" {
			t.Fatalf("findings (-without +with):\n%s", diff)
		}
		for _, pod := range pods {
			if without.Fit(pod) != with.Fit(pod) {
				t.Fatalf("pod %s is fit: %v, and with a report %v", pod.Name, without.Fit(pod), with.Fit(pod))
			}
		}
	})
}

func FuzzCompile(f *testing.F) {
	for _, expression := range []string{
		"true", "object.spec.containers.all(c, c.image.matches('^[^@]+@sha256:[0-9a-f]{64}$'))", "true // so", "'''\n'''== ''",
		"object.metadata.?labels['x'].orValue('') in ['a', 'b']", "((((", "object.spec.containers.map(c, c.name).join('\\u001b')", "\xff", "1/0 == 1",
		"object.spec.containers.exists_one(i, v, i == 0)", "quantity('1Ki').isInteger()", "cidr('10.0.0.0/8').containsIP('10.1.1.1')", "{}[?'a'].hasValue()",
	} {
		f.Add(expression)
	}
	c := newCompiler(f)
	pods := []*corev1.Pod{{}, builder.Pod("serving", "vllm-0").Model("opus").GPUs(1).Sidecar("classifier", builder.PinnedImage).Build()}
	f.Fuzz(func(t *testing.T, expression string) {
		sg := ruled("fuzzed", expression)
		sg.UID = ""
		compiled, err := c.Compile(sg)
		if err != nil {
			checkLine(t, "error", err.Error(), 1000)
			return
		}
		for _, pod := range pods {
			before := pod.DeepCopy()
			first := compiled.violations(pod, Surroundings{})
			checkLine(t, "violation", first, 300)
			if again := compiled.violations(pod, Surroundings{}); again != first {
				t.Errorf("judged %q, then %q", first, again)
			}
			if diff := cmp.Diff(before, pod); diff != "" {
				t.Errorf("the pod has changed:\n%s", diff)
			}
		}
	})
}

// BenchmarkInspect judges the 100 pods of a model by eight rules.
func BenchmarkInspect(b *testing.B) {
	var asked []*Compiled
	for i := range 8 {
		asked = append(asked, mustCompile(b, ruled(fmt.Sprintf("rule-%d", i),
			"[object.spec.containers, object.spec.?initContainers.orValue([])].all(cs, cs.all(c, c.image.matches('^[^@]+@sha256:[0-9a-f]{64}$')))")))
	}
	var pods []*corev1.Pod
	for i := range 100 {
		pods = append(pods, aPod(fmt.Sprintf("pod-%d", i)))
	}
	var findings map[string]decision.Finding
	b.ReportAllocs()
	for b.Loop() {
		findings = Inspect(opus, asked, pods, Surroundings{}).Findings
	}
	if findings["rule-0"].State != v1alpha1.SafeguardSatisfied {
		b.Fatal(findings)
	}
}

// An exemption is of one pod from one Safeguard.
func TestInspectLeavesOutWhatAPodIsExemptedFrom(t *testing.T) {
	pods := []*corev1.Pod{aPod("canary", "a", "b"), aPod("other", "a")}
	in := Inspect(opus, []*Compiled{judging("a"), judging("b")}, pods, Surroundings{Exempt: map[string][]string{"canary": {"a"}}})
	if a, b := in.Findings["a"], in.Findings["b"]; !strings.HasPrefix(a.Message, "1 of 2 pods, such as other") || !strings.HasPrefix(b.Message, "1 of 2 pods, such as canary") {
		t.Errorf("a: %s; b: %s", a.Message, b.Message)
	}
	in = Inspect(opus, []*Compiled{judging("a"), judging("b")}, pods[:1], Surroundings{Exempt: map[string][]string{"canary": {"a", "b"}}})
	if !in.Fit(pods[0]) || in.Findings["a"].State != v1alpha1.SafeguardSatisfied {
		t.Errorf("not fit: %v", in.Findings)
	}
}
