package workload

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/utils/ptr"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/log"

	"github.com/interlock-dev/interlock/api/v1alpha1"
	"github.com/interlock-dev/interlock/internal/decision"
)

const (
	// settling is how long adjustments have to be known before a pod is replaced for them: until then an API server may
	// not give them to its successor.
	settling = 5 * time.Second
	// claiming is how long a model that means to begin waits, so that the others see it.
	claiming = time.Second
	// patience is how long pods may take to be ready before that counts as an obstacle.
	patience = 10 * time.Minute
	// longestRetry is the longest between two attempts that had no effect.
	longestRetry = 10 * time.Minute
)

// Replaceable is a pod of the model as far as its replacement is concerned.
type Replaceable struct {
	*corev1.Pod
	// Held at the gate.
	Held bool
	// Outdated pods lack what the model's pods are to be given.
	Outdated bool
}

// Rival is another model under the same policy, running pods of which are being replaced.
type Rival struct {
	Model types.NamespacedName
	// Last is when a pod of it was evicted.
	Last time.Time
}

// Replacement is what is known, at one moment, of the pods of a model some of which may have to be replaced.
type Replacement struct {
	Model types.NamespacedName
	Pods  []Replaceable
	// Cleared models alone have running pods replaced: what becomes of those of others the policy's steps say.
	Cleared bool
	// PerMinute is how many running pods the policy lets be replaced in a minute.
	PerMinute int
	// State is what was reported of it before; empty, nothing.
	State v1alpha1.ReplacementState
	// Since is when outdated pods were found first, and Last when one was taken out last.
	Since, Last time.Time
	// LastOfAll is when one was, of any model under the policy.
	LastOfAll time.Time
	Rivals    []Rival
	// Wanted is how many pods each controller wants, by its UID; of those that are missing it is not known.
	Wanted map[types.UID]int
}

// FindRivals finds the other models under a policy whose pods are being replaced, and when the last one was.
func (r *Replacement) FindRivals(ctx context.Context, reader client.Reader, policy string) error {
	models := &v1alpha1.ModelDeploymentList{}
	if err := reader.List(ctx, models, client.UnsafeDisableDeepCopy); err != nil {
		return fmt.Errorf("list ModelDeployments: %w", err)
	}
	for i := range models.Items {
		md := &models.Items[i]
		key, its := types.NamespacedName{Namespace: md.Namespace, Name: md.Name}, md.Status.Replacement
		if its == nil || md.Status.Policy != policy || key == r.Model {
			continue
		}
		rival := Rival{Model: key}
		if its.LastEvictionTime != nil {
			rival.Last = its.LastEvictionTime.Time
		}
		if rival.Last.After(r.LastOfAll) {
			r.LastOfAll = rival.Last
		}
		if its.State == v1alpha1.ReplacementReplacing {
			r.Rivals = append(r.Rivals, rival)
		}
	}
	return nil
}

// Plan is what to do next about outdated pods.
type Plan struct {
	// Delete these held pods, which serve nobody.
	Delete []*corev1.Pod
	// Evict this running one.
	Evict *corev1.Pod
	// Next is when to look again; zero, when something changes.
	Next time.Time
	// State and Message are to be reported; no state, there is nothing to report any more.
	State   v1alpha1.ReplacementState
	Message string
}

// Plan says what to do now. It is pure: who takes out a pod notes that as the last time.
func (r Replacement) Plan(now time.Time) Plan {
	held, waiting := triage(r.outdated(true))
	running, stays := triage(r.outdated(false))
	if rank(waiting.State) > rank(stays.State) {
		stays = waiting
	}
	if len(held)+len(running) == 0 {
		return r.finish(now, stays)
	}
	plan, other := r.planHeld(now, held), r.planRunning(now, running)
	plan.Evict, plan.Next = other.Evict, decision.Sooner(plan.Next, other.Next)
	if rank(other.State) > rank(plan.State) {
		plan.State, plan.Message = other.State, other.Message
	}
	return plan
}

// rank orders states by how much they say.
func rank(s v1alpha1.ReplacementState) int {
	return slices.Index([]v1alpha1.ReplacementState{"", v1alpha1.ReplacementWaiting, v1alpha1.ReplacementReplacing, v1alpha1.ReplacementBlocked}, s)
}

// Count gives how many pods are outdated.
func (r Replacement) Count() int { return len(r.outdated(true)) + len(r.outdated(false)) }

// outdated pods that are not on their way out, held or running, in the order in which they are replaced: those that serve
// nobody yet go first, then the oldest.
func (r Replacement) outdated(held bool) []*corev1.Pod {
	var pods []*corev1.Pod
	for _, p := range r.Pods {
		if p.Outdated && p.Held == held && p.DeletionTimestamp == nil {
			pods = append(pods, p.Pod)
		}
	}
	slices.SortFunc(pods, func(a, b *corev1.Pod) int {
		return cmp.Or(readiness(a)-readiness(b), a.CreationTimestamp.Compare(b.CreationTimestamp.Time), cmp.Compare(a.Name, b.Name))
	})
	return pods
}

// finish ends a replacement once the last successor is ready, and not before it would have been time for the next one:
// successors that are made without adjustments as well are no new beginning. Then just what stays is to be reported.
func (r Replacement) finish(now time.Time, stays Plan) Plan {
	pause := r.retry()
	if r.Cleared {
		pause = r.gap()
	}
	waits, since := r.unready()
	switch {
	case r.Last.IsZero():
	case r.State == v1alpha1.ReplacementReplacing && waits != "" && now.Before(since.Add(patience)):
		return Plan{State: v1alpha1.ReplacementReplacing, Message: waits, Next: now.Add(r.look())}
	case now.Before(r.Last.Add(pause)):
		stays.Next = r.Last.Add(pause)
		if stays.State == "" {
			stays.State, stays.Message = v1alpha1.ReplacementWaiting, "no pod is left that lacks an adjustment"
		}
	}
	return stays
}

// planHeld takes held pods away: they serve nobody, so no budget counts, and what controls them makes others. Where the API
// servers do not adjust these either, it tries again more and more seldom.
func (r Replacement) planHeld(now time.Time, pods []*corev1.Pod) Plan {
	if len(pods) == 0 {
		return Plan{}
	}
	due := r.Since.Add(settling)
	if !r.Last.IsZero() {
		due = later(due, r.Last.Add(r.retry()))
	}
	plan := Plan{State: v1alpha1.ReplacementWaiting, Message: fmt.Sprintf("%d held pods that lack adjustments are made anew", len(pods))}
	if now.Before(due) {
		plan.Next = due
	} else {
		plan.Delete, plan.Next = pods, now.Add(settling)
	}
	if pod := r.disobeyed(pods); pod != nil {
		plan.State, plan.Message = v1alpha1.ReplacementBlocked, unadjusted(pod)
	}
	return plan
}

// planRunning takes out one pod at a time, and the next when all others are ready again.
func (r Replacement) planRunning(now time.Time, pods []*corev1.Pod) Plan {
	if len(pods) == 0 {
		return Plan{}
	}
	wait := func(until time.Time, format string, args ...any) Plan {
		return Plan{State: v1alpha1.ReplacementWaiting, Message: fmt.Sprintf(format, args...), Next: until}
	}
	switch {
	case !r.Cleared:
		return wait(time.Time{}, "the model is not cleared: what becomes of its running pods is for the policy's steps on a shortfall")
	case r.PerMinute == 0:
		return wait(time.Time{}, "the policy has running pods stay as they are (replacementsPerMinute: 0)")
	case now.Before(r.Since.Add(settling)):
		return wait(r.Since.Add(settling), "the adjustment is new, and the API server may not make it yet")
	}
	if rival, first := r.first(); !first {
		return wait(now.Add(max(claiming, r.gap())), "it is the turn of model %s", rival)
	}
	if r.State != v1alpha1.ReplacementReplacing && r.State != v1alpha1.ReplacementBlocked {
		return Plan{State: v1alpha1.ReplacementReplacing, Message: "running pods are about to be replaced", Next: now.Add(claiming)}
	}
	if pod := r.disobeyed(pods); pod != nil && now.Before(r.Last.Add(r.retry())) {
		return Plan{State: v1alpha1.ReplacementBlocked, Message: unadjusted(pod), Next: r.Last.Add(r.retry())}
	}
	if waits, since := r.unready(); waits != "" {
		plan := Plan{State: v1alpha1.ReplacementReplacing, Message: waits, Next: now.Add(r.look())}
		if !now.Before(since.Add(patience)) {
			plan.State = v1alpha1.ReplacementBlocked
		}
		return plan
	}
	due := later(r.Last, r.LastOfAll).Add(r.gap())
	if now.Before(due) {
		return Plan{State: v1alpha1.ReplacementReplacing, Message: r.pace(), Next: due}
	}
	return Plan{State: v1alpha1.ReplacementReplacing, Message: r.pace(), Evict: pods[0], Next: now.Add(max(claiming, r.gap()))}
}

func (r Replacement) pace() string {
	return fmt.Sprintf("running pods are replaced one by one, at most %d a minute", r.PerMinute)
}

// gap is the least time between two evictions.
func (r Replacement) gap() time.Duration {
	if r.PerMinute == 0 {
		return 0
	}
	return time.Minute / time.Duration(r.PerMinute)
}

// look is when to look again at pods on whose readiness the next one waits, of which nobody is woken.
func (r Replacement) look() time.Duration { return min(max(r.gap(), claiming), settling) }

// retry is how long to wait after an attempt: as long as has been tried, so that it doubles.
func (r Replacement) retry() time.Duration {
	return min(max(r.Last.Sub(r.Since), settling), longestRetry)
}

// first says whether it is this model's turn, and if not whose. A model that has begun goes on before one that has not.
func (r Replacement) first() (rival types.NamespacedName, first bool) {
	for _, other := range r.Rivals {
		before := r.State != v1alpha1.ReplacementReplacing ||
			cmp.Or(other.Last.Compare(r.Last), cmp.Compare(r.Model.String(), other.Model.String())) > 0
		if before {
			return other.Model, false
		}
	}
	return types.NamespacedName{}, true
}

// disobeyed gives a pod that was made after adjustments were known and one was taken out for them, and lacks some.
func (r Replacement) disobeyed(pods []*corev1.Pod) *corev1.Pod {
	known := later(r.Last, r.Since.Add(settling))
	i := slices.IndexFunc(pods, func(p *corev1.Pod) bool { return !r.Last.IsZero() && !p.CreationTimestamp.Time.Before(known) })
	if i < 0 {
		return nil
	}
	return pods[i]
}

func unadjusted(pod *corev1.Pod) string {
	return fmt.Sprintf("pod %s was made to have the adjustments and lacks some: see whether MutatingAdmissionPolicy "+
		"interlock-hold and its binding are in place, and whether another mutator undoes them", pod.Name)
}

// unready says for what the next eviction has to wait, and since when; empty, for nothing. The successors that a controller has not made
// yet count as well, and so does a pod that is on its way out where nobody knows how many are wanted. Outdated pods that are
// not ready do not: they are the next to go.
func (r Replacement) unready() (waits string, since time.Time) {
	since = later(r.Since, r.Last)
	present, leaving := map[types.UID]int{}, map[types.UID]string{}
	var newest *corev1.Pod
	for _, p := range r.Pods {
		owner := controller(p.Pod)
		switch {
		case p.DeletionTimestamp != nil:
			leaving[owner] = p.Name
			continue
		case !p.Outdated && !Ready(p.Pod) && (newest == nil || p.CreationTimestamp.After(newest.CreationTimestamp.Time)):
			newest = p.Pod
		}
		present[owner]++
	}
	if newest != nil {
		return fmt.Sprintf("the next one waits until pod %s is ready", newest.Name), later(since, newest.CreationTimestamp.Time)
	}
	for owner, wanted := range r.Wanted {
		if present[owner] < wanted {
			return fmt.Sprintf("the next one waits until what owns the pods has made as many as it wants: %d of %d", present[owner], wanted), since
		}
	}
	for owner, name := range leaving {
		if _, known := r.Wanted[owner]; !known {
			return fmt.Sprintf("the next one waits until pod %s is gone", name), since
		}
	}
	return "", time.Time{}
}

// triage gives the pods that can be replaced, and says of the others what is to be reported.
func triage(pods []*corev1.Pod) (able []*corev1.Pod, stays Plan) {
	var ending *corev1.Pod
	for _, p := range pods {
		switch {
		case controller(p) == "":
			stays.State = v1alpha1.ReplacementBlocked
			stays.Message = fmt.Sprintf("nothing would make pod %s anew: delete it, and create it again", p.Name)
		case p.Spec.RestartPolicy != "" && p.Spec.RestartPolicy != corev1.RestartPolicyAlways:
			ending = p
		default:
			able = append(able, p)
		}
	}
	if stays.State == "" && ending != nil {
		stays.State = v1alpha1.ReplacementWaiting
		stays.Message = fmt.Sprintf("pod %s runs to its end, and is left to it, since what owns it would count it as failed", ending.Name)
		if len(ending.Spec.SchedulingGates) > 0 {
			stays.State = v1alpha1.ReplacementBlocked
			stays.Message = fmt.Sprintf("pod %s is to run to its end, and what owns it would count it as failed: suspend and resume its Job, "+
				"which then makes it anew", ending.Name)
		}
	}
	return able, stays
}

// controller gives what makes a pod anew; nothing does that for a static pod, which its node owns.
func controller(pod *corev1.Pod) types.UID {
	owner := metav1.GetControllerOf(pod)
	if owner == nil || owner.Kind == "Node" {
		return ""
	}
	return owner.UID
}

// Ready says whether a pod is ready.
func Ready(pod *corev1.Pod) bool {
	return slices.ContainsFunc(pod.Status.Conditions, func(c corev1.PodCondition) bool {
		return c.Type == corev1.PodReady && c.Status == corev1.ConditionTrue
	})
}

// readiness is 1 for a pod that is ready, and 0 for others.
func readiness(pod *corev1.Pod) int {
	if Ready(pod) {
		return 1
	}
	return 0
}

func later(a, b time.Time) time.Time {
	if a.After(b) {
		return a
	}
	return b
}

// Do takes out what is planned, and says whether any pod went. A budget that forbids it is no error, but is reported.
func (p *Plan) Do(ctx context.Context, c client.Client) (took bool, err error) {
	var errs []error
	for _, pod := range p.Delete {
		log.FromContext(ctx).Info("Replacing held pod that lacks adjustments", "pod", client.ObjectKeyFromObject(pod))
		err := c.Delete(ctx, pod, client.Preconditions{UID: &pod.UID, ResourceVersion: &pod.ResourceVersion})
		switch {
		case ignoreGone(err) != nil:
			errs = append(errs, fmt.Errorf("replace pod %s: %w", pod.Name, err))
		case err == nil:
			took = true
		}
	}
	if p.Evict == nil {
		return took, errors.Join(errs...)
	}
	err = evict(ctx, c, p.Evict, ptr.Deref(p.Evict.Spec.TerminationGracePeriodSeconds, corev1.DefaultTerminationGracePeriodSeconds))
	if err == nil {
		return true, errors.Join(errs...)
	}
	p.State, p.Message = v1alpha1.ReplacementBlocked, fmt.Sprintf("pod %s cannot be replaced: %s", p.Evict.Name, wording(err))
	if !blocked(err) {
		errs = append(errs, fmt.Errorf("replace pod %s: %w", p.Evict.Name, err))
	}
	return took, errors.Join(errs...)
}
