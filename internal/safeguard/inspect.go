package safeguard

import (
	"cmp"
	"fmt"
	"math"
	"slices"
	"strings"
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/utils/ptr"

	"github.com/interlock-dev/interlock/api/v1alpha1"
	"github.com/interlock-dev/interlock/internal/decision"
	"github.com/interlock-dev/interlock/internal/tenancy"
)

// Inspection is what was found of one model's pods.
type Inspection struct {
	// Findings by the name of the Safeguard.
	Findings map[string]decision.Finding
	// Violations say what is wrong with each pod, by the name of the Safeguard.
	Violations map[types.UID]map[string]string
	// Revisit is when a pod on its way out counts again unless it is gone by then. Zero means that there is none.
	Revisit time.Time

	// breaks counts the Safeguards that hold a pod.
	breaks map[types.UID]int
}

// Fit says whether a pod breaks nothing that holds it.
func (i Inspection) Fit(pod *corev1.Pod) bool { return i.breaks[pod.UID] == 0 }

// Living says whether a pod may run or come to run: it has not ended.
func Living(pod *corev1.Pod) bool {
	return pod.Status.Phase != corev1.PodSucceeded && pod.Status.Phase != corev1.PodFailed
}

// Held says whether a pod carries the gate.
func Held(pod *corev1.Pod) bool {
	return slices.ContainsFunc(pod.Spec.SchedulingGates, func(g corev1.PodSchedulingGate) bool { return g.Name == v1alpha1.ClearanceGate })
}

const (
	// drain is the longest that a pod on its way out may take for it not to count any more. One that takes longer serves on,
	// and with a long grace period does so for as long as it likes.
	drain = 30 * time.Second
	// overtime is how long after its time such a pod may still be there. Its node has to say that it ended, and where the node
	// says nothing the pod may run on.
	overtime = 10 * time.Second
)

// drains says whether a pod is about to be gone, and until when that is believed.
func drains(pod *corev1.Pod, now time.Time) (until time.Time, ok bool) {
	if pod.DeletionTimestamp == nil || time.Duration(ptr.Deref(pod.DeletionGracePeriodSeconds, 0))*time.Second > drain {
		return time.Time{}, false
	}
	until = pod.DeletionTimestamp.Add(overtime)
	return until, now.Before(until)
}

// counting are the pods that run, or may come to run, for more than a moment.
func (i *Inspection) counting(pods []*corev1.Pod, now time.Time) []*corev1.Pod {
	return slices.DeleteFunc(slices.Clone(pods), func(pod *corev1.Pod) bool {
		if !Living(pod) || pod.DeletionTimestamp != nil && Held(pod) {
			return true
		}
		until, ok := drains(pod, now)
		if ok {
			i.Revisit = decision.Sooner(i.Revisit, until)
		}
		return ok
	})
}

// Inspect judges the pods of one model by each Safeguard.
//
// A held pod endangers nobody, so of these only the ones that are held by the fewest safeguards count: the old pods of a
// rollout, waiting at the gate, neither keep the new ones from being released nor hide what has been mended. Where
// there is no pod yet, methods that look at the surroundings judge a pod that carries nothing but the model's label.
func Inspect(model types.NamespacedName, safeguards []*Compiled, pods []*corev1.Pod, around Surroundings) Inspection {
	in := Inspection{Findings: map[string]decision.Finding{}, Violations: map[types.UID]map[string]string{}, breaks: map[types.UID]int{}}
	pods = in.counting(pods, around.Now)
	slices.SortFunc(pods, func(a, b *corev1.Pod) int { return strings.Compare(a.Name, b.Name) })
	for _, pod := range pods {
		for _, sg := range safeguards {
			wrong := sg.violations(pod, around)
			if wrong == "" || slices.Contains(around.Exempt[pod.Name], sg.Name) {
				continue
			}
			if in.Violations[pod.UID] == nil {
				in.Violations[pod.UID] = map[string]string{}
			}
			in.Violations[pod.UID][sg.Name] = wrong
			if !sg.onlyReported {
				in.breaks[pod.UID]++
			}
		}
	}
	counted := in.counted(pods)
	for _, sg := range safeguards {
		in.Findings[sg.Name] = in.finding(sg, model, counted, around)
	}
	return in
}

// counted drops the held pods that more safeguards hold than another pod.
func (i Inspection) counted(pods []*corev1.Pod) []*corev1.Pod {
	fewest := math.MaxInt
	for _, pod := range pods {
		fewest = min(fewest, i.breaks[pod.UID])
	}
	return slices.DeleteFunc(slices.Clone(pods), func(p *corev1.Pod) bool { return Held(p) && i.breaks[p.UID] > fewest })
}

func (i Inspection) finding(sg *Compiled, model types.NamespacedName, pods []*corev1.Pod, around Surroundings) decision.Finding {
	f := decision.Finding{State: v1alpha1.SafeguardSatisfied, Strength: sg.Strength, Message: "in place", Remedy: sg.Remedy}
	if len(pods) == 0 {
		if !sg.needsNoPod {
			f.Message = "no pod yet; the API server refuses one that breaks it"
			return f
		}
		if wrong := sg.violations(leastPod(model), around); wrong != "" {
			f.State, f.Message = v1alpha1.SafeguardMissing, wrong
		}
		return f
	}
	breaking := slices.DeleteFunc(slices.Clone(pods), func(p *corev1.Pod) bool { return i.Violations[p.UID][sg.Name] == "" })
	if len(breaking) > 0 {
		f.State = v1alpha1.SafeguardMissing
		f.Message = fmt.Sprintf("%d of %d pods, such as %s: %s", len(breaking), len(pods), breaking[0].Name, i.Violations[breaking[0].UID][sg.Name])
	}
	return f
}

// leastPod is what every pod of a model is at the least.
func leastPod(model types.NamespacedName) *corev1.Pod {
	return &corev1.Pod{ObjectMeta: metav1.ObjectMeta{
		Namespace: model.Namespace, Labels: map[string]string{v1alpha1.ModelLabel: model.Name}}}
}

// violations words what is wrong with a pod in one line, empty when nothing is. A judge that panics has found out
// nothing, which is not clearance.
func (c *Compiled) violations(pod *corev1.Pod, around Surroundings) (wrong string) {
	defer func() {
		if r := recover(); r != nil {
			wrong = decision.OneLine(fmt.Sprintf("the check itself failed: %v", r), maxMessage)
		}
	}()
	if tenancy.IsStub(pod) {
		return decision.OneLine("it was not looked at: "+pod.Annotations[v1alpha1.UnreadAnnotation], maxMessage)
	}
	said := c.judge(pod, around)
	if len(said) == 0 {
		return ""
	}
	return cmp.Or(decision.OneLine(strings.Join(said, "; "), maxMessage), "it is broken, in words that cannot be shown")
}

// maxMessage is the longest that is said of one pod.
const maxMessage = 300
