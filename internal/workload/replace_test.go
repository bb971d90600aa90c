package workload

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"pgregory.net/rapid"

	"github.com/interlock-dev/interlock/api/v1alpha1"
)

var begin = time.Date(2026, 5, 14, 8, 0, 0, 0, time.UTC)

// after gives a time so many seconds after the beginning.
func after(seconds float64) time.Time {
	return begin.Add(time.Duration(seconds * float64(time.Second)))
}

// of lets a pod be of a workload, ready, and made a while ago.
func of(owner string) func(*corev1.Pod) {
	return func(p *corev1.Pod) {
		p.CreationTimestamp = metav1.NewTime(after(-3600))
		p.Status.Conditions = []corev1.PodCondition{{Type: corev1.PodReady, Status: corev1.ConditionTrue}}
		p.OwnerReferences = []metav1.OwnerReference{{APIVersion: "apps/v1", Kind: "ReplicaSet", Name: owner, UID: types.UID(owner), Controller: new(true)}}
	}
}

func unready(p *corev1.Pod) { p.Status.Conditions = nil }

func made(seconds float64) func(*corev1.Pod) {
	return func(p *corev1.Pod) { p.CreationTimestamp = metav1.NewTime(after(seconds)) }
}

func bare(p *corev1.Pod) { p.OwnerReferences = nil }

func ofNode(p *corev1.Pod) { p.OwnerReferences[0].Kind = "Node" }

func toItsEnd(p *corev1.Pod) { p.Spec.RestartPolicy = corev1.RestartPolicyNever }

func outdated(name string, changes ...func(*corev1.Pod)) Replaceable {
	return Replaceable{Outdated: true, Pod: aPod(name, append([]func(*corev1.Pod){of("a")}, changes...)...)}
}

func held(p Replaceable) Replaceable {
	p.Held, p.Spec.SchedulingGates, p.Status.Conditions = true, []corev1.PodSchedulingGate{{Name: v1alpha1.ClearanceGate}}, nil
	return p
}

func inLine(name string, changes ...func(*corev1.Pod)) Replaceable {
	p := outdated(name, changes...)
	p.Outdated = false
	return p
}

// TestReplacementPlan says in one line what is planned at 8:01, for pods that were found outdated at 8:00.
func TestReplacementPlan(t *testing.T) {
	const waiting, replacing, blocked = v1alpha1.ReplacementWaiting, v1alpha1.ReplacementReplacing, v1alpha1.ReplacementBlocked
	model := types.NamespacedName{Namespace: "serving", Name: "llm"}
	rival := func(name string, last float64) []Rival {
		return []Rival{{Model: types.NamespacedName{Namespace: "serving", Name: name}, Last: after(last)}}
	}
	two := []Replaceable{outdated("p", made(-60)), outdated("q")}
	for name, tc := range map[string]struct {
		pods   []Replaceable
		change func(*Replacement)
		want   string
	}{
		"nothing outdated": {pods: []Replaceable{inLine("p")}, want: " - for ever"},
		"the oldest goes":  {pods: two, want: "Replacing evict q - at most 6 a minute - 10s"},
		"what is not ready serves nobody, and goes first": {pods: append([]Replaceable{outdated("r", unready)}, two...),
			want: "Replacing evict r - at most 6 a minute - 10s"},
		"first it says that it begins": {pods: two, change: func(r *Replacement) { r.State = waiting }, want: "Replacing - about to be replaced - 1s"},
		"what blocked it may be over":  {pods: two, change: func(r *Replacement) { r.State = blocked }, want: "Replacing evict q - at most 6 a minute - 10s"},
		"found just now": {pods: two, change: func(r *Replacement) { r.Since = after(58) },
			want: "Waiting - the adjustment is new, and the API server may not make it yet - 3s"},
		"one a moment ago": {pods: two, change: func(r *Replacement) { r.Last = after(53) }, want: "Replacing - at most 6 a minute - 3s"},
		"one of another model a moment ago": {pods: two, change: func(r *Replacement) { r.LastOfAll = after(57) },
			want: "Replacing - at most 6 a minute - 7s"},
		"as often as the policy says": {pods: two, change: func(r *Replacement) { r.Last, r.PerMinute = after(53), 60 }, want: "Replacing evict q - at most 60 a minute - 1s"},
		"never, says the policy": {pods: two, change: func(r *Replacement) { r.PerMinute = 0 },
			want: "Waiting - the policy has running pods stay as they are (replacementsPerMinute: 0) - for ever"},
		"not cleared": {pods: two, change: func(r *Replacement) { r.Cleared = false },
			want: "Waiting - the model is not cleared: what becomes of its running pods is for the policy's steps on a shortfall - for ever"},

		"another's turn":      {pods: two, change: func(r *Replacement) { r.State, r.Rivals = waiting, rival("zzz", 0) }, want: "Waiting - it is the turn of model serving/zzz - 10s"},
		"both began, by name": {pods: two, change: func(r *Replacement) { r.Last, r.Rivals = after(0), rival("abc", 0) }, want: "Waiting - it is the turn of model serving/abc - 10s"},
		"both began, and this one comes first": {pods: two, change: func(r *Replacement) { r.Last, r.Rivals = after(0), rival("zzz", 0) },
			want: "Replacing evict q - at most 6 a minute - 10s"},
		"the other is in the middle": {pods: two, change: func(r *Replacement) { r.Last, r.Rivals = after(0), rival("zzz", 1) },
			want: "Waiting - it is the turn of model serving/zzz - 10s"},

		"a successor that is not ready": {pods: append([]Replaceable{inLine("n", made(30), unready)}, two...), change: func(r *Replacement) { r.Last = after(30) },
			want: "Replacing - the next one waits until pod n is ready - 5s"},
		"a held one is not ready either": {pods: append([]Replaceable{held(inLine("n", made(30)))}, two...), change: func(r *Replacement) { r.Last = after(30) },
			want: "Replacing - the next one waits until pod n is ready - 5s"},
		"a successor that never becomes ready": {pods: append([]Replaceable{inLine("n", made(-700), unready)}, two...),
			change: func(r *Replacement) { r.Since, r.Last = after(-705), after(-700) }, want: "Blocked - the next one waits until pod n is ready - 5s"},
		"a successor that is not made yet": {pods: two, change: func(r *Replacement) { r.Wanted = map[types.UID]int{"a": 3} },
			want: "Replacing - the next one waits until what owns the pods has made as many as it wants: 2 of 3 - 5s"},
		"one on its way out, and nobody knows how many are wanted": {pods: append([]Replaceable{outdated("o", leaving(60, 0))}, two...),
			want: "Replacing - the next one waits until pod o is gone - 5s"},
		"one on its way out, and as many as are wanted": {pods: append([]Replaceable{outdated("o", leaving(60, 0))}, two...),
			change: func(r *Replacement) { r.Wanted = map[types.UID]int{"a": 2} }, want: "Replacing evict q - at most 6 a minute - 10s"},
		"a successor that was not adjusted": {pods: append([]Replaceable{outdated("n", made(50))}, two...), change: func(r *Replacement) { r.Last = after(50) },
			want: "Blocked - pod n was made to have the adjustments and lacks some - 40s"},
		"a successor that was not adjusted, and another attempt": {pods: []Replaceable{outdated("n", made(8))}, change: func(r *Replacement) { r.Last = after(8) },
			want: "Replacing evict n - at most 6 a minute - 10s"},

		"nothing controls it":         {pods: []Replaceable{outdated("p", bare)}, want: "Blocked - nothing would make pod p anew - for ever"},
		"of a node":                   {pods: []Replaceable{outdated("p", ofNode)}, want: "Blocked - nothing would make pod p anew - for ever"},
		"of a Job":                    {pods: []Replaceable{outdated("p", toItsEnd)}, want: "Waiting - pod p runs to its end - for ever"},
		"others beside such":          {pods: append([]Replaceable{outdated("b", bare), outdated("c", toItsEnd)}, two...), want: "Replacing evict q - at most 6 a minute - 10s"},
		"held":                        {pods: []Replaceable{held(outdated("p")), held(outdated("q")), held(inLine("r"))}, want: "Waiting delete p delete q - 2 held pods that lack adjustments are made anew - 5s"},
		"held, and not cleared":       {pods: []Replaceable{held(outdated("p"))}, change: func(r *Replacement) { r.Cleared = false }, want: "Waiting delete p - 1 held pods that lack adjustments are made anew - 5s"},
		"held, found just now":        {pods: []Replaceable{held(outdated("p"))}, change: func(r *Replacement) { r.Since = after(58) }, want: "Waiting - 1 held pods that lack adjustments are made anew - 3s"},
		"held again, after 5s":        {pods: []Replaceable{held(outdated("p", made(56)))}, change: func(r *Replacement) { r.Since, r.Last = after(50), after(55) }, want: "Blocked delete p - pod p was made to have the adjustments and lacks some - 5s"},
		"held again, too soon":        {pods: []Replaceable{held(outdated("p", made(41)))}, change: func(r *Replacement) { r.Last = after(40) }, want: "Blocked - pod p was made to have the adjustments and lacks some - 20s"},
		"held, and nothing controls":  {pods: []Replaceable{held(outdated("p", bare))}, want: "Blocked - nothing would make pod p anew - for ever"},
		"held, and of a Job":          {pods: []Replaceable{held(outdated("p", toItsEnd))}, want: "Blocked - pod p is to run to its end - for ever"},
		"held, and others that run":   {pods: append([]Replaceable{held(outdated("h"))}, two...), want: "Replacing delete h evict q - at most 6 a minute - 5s"},
		"done, the last is not ready": {pods: []Replaceable{inLine("n", unready, made(50))}, change: func(r *Replacement) { r.Last = after(50) }, want: "Replacing - the next one waits until pod n is ready - 5s"},
		"done, never ready":           {pods: []Replaceable{inLine("n", unready, made(-700))}, change: func(r *Replacement) { r.Since, r.Last = after(-705), after(-700) }, want: " - for ever"},
		"done, but just now":          {pods: []Replaceable{inLine("n")}, change: func(r *Replacement) { r.Last = after(55) }, want: "Waiting - no pod is left that lacks an adjustment - 5s"},
		"done":                        {pods: []Replaceable{inLine("n")}, change: func(r *Replacement) { r.Last = after(50) }, want: " - for ever"},
	} {
		t.Run(name, func(t *testing.T) {
			r := Replacement{Model: model, Pods: tc.pods, Cleared: true, PerMinute: 6, State: replacing, Since: begin}
			if tc.change != nil {
				tc.change(&r)
			}
			p := r.Plan(after(60))
			words := []string{string(p.State)}
			for _, pod := range p.Delete {
				words = append(words, "delete "+pod.Name)
			}
			if p.Evict != nil {
				words = append(words, "evict "+p.Evict.Name)
			}
			got := strings.Join(words, " ")
			want, message, _ := strings.Cut(tc.want, " - ")
			if message, next, ok := strings.Cut(message, " - "); ok {
				if !strings.Contains(p.Message, message) {
					t.Errorf("message = %q, want %q", p.Message, message)
				}
				want += " - " + next
			} else {
				want += " - " + message
			}
			if p.Next.IsZero() {
				got += " - for ever"
			} else {
				got += " - " + p.Next.Sub(after(60)).String()
			}
			if got != want {
				t.Errorf("planned %q, want %q", got, want)
			}
		})
	}
}

// simulated models whose pods are replaced by the plans alone, which are made at any time, by operators that know nothing
// but what is in status.
type simulated struct {
	now       time.Time
	perMinute int
	models    []*simulatedModel
	born      int
	evictions []time.Time
}

type simulatedModel struct {
	name types.NamespacedName
	pods []Replaceable
	// readyAfter is how long a pod takes to be ready, and leavesAfter to go.
	readyAfter, leavesAfter time.Duration
	known                   bool
	leaves                  map[types.UID]time.Time
	// status
	state       v1alpha1.ReplacementState
	since, last time.Time
	next        time.Time
}

func (s *simulated) look(t *rapid.T, m *simulatedModel) {
	r := Replacement{Model: m.name, Pods: m.pods, Cleared: true, PerMinute: s.perMinute, State: m.state, Since: m.since, Last: m.last}
	if m.known {
		r.Wanted = map[types.UID]int{types.UID(m.name.Name): 3}
	}
	if m.since.IsZero() {
		r.Since = s.now.Truncate(time.Second)
	}
	disturbed := 0
	for _, other := range s.models {
		if other == m {
			continue
		}
		if other.last.After(r.LastOfAll) {
			r.LastOfAll = other.last
		}
		if other.state == v1alpha1.ReplacementReplacing {
			r.Rivals = append(r.Rivals, Rival{other.name, other.last})
		}
		if !whole(other) {
			disturbed++
		}
	}
	plan := r.Plan(s.now)
	if plan.Evict != nil {
		if !whole(m) || disturbed > 0 {
			t.Fatalf("%s: evicts %s while %d other models miss pods", s.now, plan.Evict.Name, disturbed)
		}
		if controller(plan.Evict) == "" || plan.Evict.Spec.RestartPolicy == corev1.RestartPolicyNever {
			t.Fatalf("evicts pod %s, which nothing makes anew", plan.Evict.Name)
		}
		s.evictions = append(s.evictions, s.now)
		m.last = s.now.Truncate(time.Second)
		m.leaves[plan.Evict.UID] = s.now.Add(m.leavesAfter)
		i := slices.IndexFunc(m.pods, func(p Replaceable) bool { return p.UID == plan.Evict.UID })
		gone := m.pods[i].DeepCopy()
		gone.DeletionTimestamp = new(metav1.NewTime(s.now))
		m.pods[i].Pod = gone
		if m.known { // as a Deployment does
			s.birth(m)
		}
	}
	m.state, m.next = plan.State, plan.Next
	if m.since = r.Since; plan.State == "" {
		m.since, m.last = time.Time{}, time.Time{}
	}
}

// whole says whether a model has all its pods, ready.
func whole(m *simulatedModel) bool {
	there := 0
	for _, p := range m.pods {
		if p.DeletionTimestamp == nil && Ready(p.Pod) && controller(p.Pod) != "" && p.Spec.RestartPolicy != corev1.RestartPolicyNever {
			there++
		}
	}
	return there >= 3
}

func (s *simulated) birth(m *simulatedModel) {
	s.born++
	m.pods = append(m.pods, inLine(fmt.Sprintf("new-%d", s.born), of(m.name.Name), made(s.now.Sub(begin).Seconds()), unready))
}

// pass lets time go by: pods become ready, or go and are made anew.
func (s *simulated) pass(d time.Duration) {
	s.now = s.now.Add(d)
	for _, m := range s.models {
		for i, p := range m.pods {
			if p.DeletionTimestamp == nil && !Ready(p.Pod) && !s.now.Before(p.CreationTimestamp.Add(m.readyAfter)) {
				of(m.name.Name)(m.pods[i].Pod)
			}
		}
		for uid, at := range m.leaves {
			if s.now.Before(at) {
				continue
			}
			m.pods = slices.DeleteFunc(m.pods, func(p Replaceable) bool { return p.UID == uid })
			delete(m.leaves, uid)
			if !m.known { // as a StatefulSet does
				s.birth(m)
			}
		}
	}
}

// TestReplacementIsGradual: however many models there are, and whenever anybody looks: one pod at a time, not oftener than
// the policy says, and in the end all are replaced.
func TestReplacementIsGradual(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		s := &simulated{now: begin, perMinute: rapid.IntRange(1, 120).Draw(t, "per minute")}
		for i := range rapid.IntRange(1, 3).Draw(t, "models") {
			name := fmt.Sprintf("m%d", i)
			m := &simulatedModel{name: types.NamespacedName{Name: name}, leaves: map[types.UID]time.Time{}, known: rapid.Bool().Draw(t, "known"),
				readyAfter:  time.Duration(rapid.IntRange(0, 30_000).Draw(t, "ready after")) * time.Millisecond,
				leavesAfter: time.Duration(rapid.IntRange(0, 30_000).Draw(t, "leaves after")) * time.Millisecond}
			for j := range 3 {
				m.pods = append(m.pods, outdated(fmt.Sprintf("%s-%d", name, j), of(name)))
			}
			m.pods = append(m.pods, outdated(name+"-bare", bare), outdated(name+"-job", of(name+"-job"), toItsEnd))
			s.models = append(s.models, m)
		}
		end := s.now.Add(3 * time.Hour)
		for s.now.Before(end) && slices.ContainsFunc(s.models, func(m *simulatedModel) bool { return !replaced(m) }) {
			s.pass(time.Duration(rapid.IntRange(1, 1500).Draw(t, "ms")) * time.Millisecond)
			random := rapid.IntRange(0, len(s.models)).Draw(t, "somebody looks")
			for i, m := range s.models {
				if i == random || m.next.IsZero() || !s.now.Before(m.next) {
					s.look(t, m)
				}
			}
		}
		for _, m := range s.models {
			if !replaced(m) {
				t.Fatalf("%s is left as it was: %s", m.name, m.state)
			}
		}
		gap := time.Minute / time.Duration(s.perMinute)
		for i := 1; i < len(s.evictions); i++ {
			if d := s.evictions[i].Sub(s.evictions[i-1]); d < gap-time.Second {
				t.Fatalf("evictions %s apart; the policy says %s", d, gap)
			}
		}
	})
}

func replaced(m *simulatedModel) bool {
	return !slices.ContainsFunc(m.pods, func(p Replaceable) bool {
		return p.Outdated && controller(p.Pod) != "" && p.Spec.RestartPolicy != corev1.RestartPolicyNever
	})
}

// TestRetriesGrow: where nobody adjusts pods, held ones are not made anew for ever at the same pace.
func TestRetriesGrow(t *testing.T) {
	r := Replacement{Since: begin, Pods: []Replaceable{held(outdated("p"))}}
	var at []string
	for now := begin; now.Before(after(4000)); now = now.Add(time.Second) {
		plan := r.Plan(now)
		r.State = plan.State
		if len(plan.Delete) > 0 {
			at = append(at, now.Sub(begin).String())
			r.Last = now
			r.Pods = []Replaceable{held(outdated("p", made(now.Sub(begin).Seconds())))}
		}
	}
	want := []string{"5s", "10s", "20s", "40s", "1m20s", "2m40s", "5m20s", "10m40s", "20m40s", "30m40s", "40m40s", "50m40s", "1h0m40s"}
	if diff := cmp.Diff(want, at); diff != "" {
		t.Errorf("tried at (-want +got):\n%s", diff)
	}
}

func TestDo(t *testing.T) {
	gvr := corev1.Resource("pods")
	for name, tc := range map[string]struct {
		answer error
		took   bool
		state  v1alpha1.ReplacementState
		err    string
	}{
		"goes":     {took: true, state: v1alpha1.ReplacementReplacing},
		"is gone":  {answer: apierrors.NewNotFound(gvr, "p"), took: true, state: v1alpha1.ReplacementReplacing},
		"a budget": {answer: apierrors.NewTooManyRequests("Cannot evict pod", 10), state: v1alpha1.ReplacementBlocked},
		"a fault":  {answer: apierrors.NewForbidden(gvr, "p", errors.New("no")), state: v1alpha1.ReplacementBlocked, err: "replace pod p"},
	} {
		t.Run(name, func(t *testing.T) {
			s := &server{answers: map[string]error{"p": tc.answer}}
			plan := &Plan{Evict: aPod("p"), State: v1alpha1.ReplacementReplacing}
			took, err := plan.Do(t.Context(), s)
			if took != tc.took || plan.State != tc.state || (err != nil) != (tc.err != "") || err != nil && !strings.Contains(err.Error(), tc.err) {
				t.Errorf("Do = %v, %v and %s: %q", took, err, plan.State, plan.Message)
			}
			if diff := cmp.Diff([]string{"eviction serving/p of uid-p within 30s"}, s.asked); diff != "" {
				t.Errorf("asked (-want +got):\n%s", diff)
			}
		})
	}
}
