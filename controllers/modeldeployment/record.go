package modeldeployment

import (
	"context"
	"fmt"
	"time"

	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	ctrl "sigs.k8s.io/controller-runtime"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/interlock-dev/interlock/api/v1alpha1"
	"github.com/interlock-dev/interlock/controllers/verdicts"
	"github.com/interlock-dev/interlock/internal/decision"
	"github.com/interlock-dev/interlock/internal/record"
)

// post puts the judgements on the board, to be enforced, and what is remembered of a shortfall. A clearance gets there only once it is recorded: until then the
// board keeps what it has, by which a clearance that stands is neither taken back nor renewed.
func (r *Reconciler) post(now time.Time, g *gathered, judgements []verdicts.Judgement) (posted bool) {
	model := client.ObjectKeyFromObject(g.model)
	enforced, isEnforced := verdicts.Under(judgements, v1alpha1.EnforceLabel)
	switch {
	case !isEnforced:
		r.Record.Note(record.Ended(model, record.OutcomeNotEnforced, now))
	case enforced.Verdict.Cleared() && !r.Record.Note(g.record(now, enforced)):
		return false
	}
	r.Board.Put(model, judgements, g.proof)
	r.Board.Remember(model, g.known, g.shortfall, now)
	return true
}

// record gives a judgement as it is recorded, with the digests of what it rests on.
func (g *gathered) record(now time.Time, j verdicts.Judgement) record.Decision {
	d := record.Decision{
		Model: client.ObjectKeyFromObject(g.model), Weights: g.model.Spec.Model.Digest, At: now,
		Policy: j.Policy, PolicyDigest: j.PolicyDigest, Verdict: j.Verdict,
	}
	for _, o := range g.basis {
		d.Inputs = append(d.Inputs, record.Input(o))
	}
	for i := range j.Verdict.Safeguards {
		if compiled, ok := g.compiled[j.Verdict.Safeguards[i].Name]; ok {
			d.Inputs = append(d.Inputs, record.Input{Kind: "Safeguard", Name: j.Verdict.Safeguards[i].Name, Digest: compiled.SpecDigest})
		}
	}
	return d
}

// unrecorded notes what takes effect without waiting, and says why it is not recorded if that fails.
func (r *Reconciler) unrecorded(now time.Time, g *gathered, enforced verdicts.Judgement) (why string) {
	d := g.record(now, enforced)
	if enforced.Verdict.Cleared() || r.Record.Note(d) {
		return ""
	}
	return r.Record.Failure(d.Model)
}

// awaitRecord reports on a clearance that is not recorded, if that fails. Pods stay as they are: a log that cannot be
// written lets none in, and takes none out.
func (r *Reconciler) awaitRecord(ctx context.Context, now, next time.Time, g *gathered, judgements []verdicts.Judgement) (ctrl.Result, error) {
	why := r.Record.Failure(client.ObjectKeyFromObject(g.model))
	if why == "" { // it is being written, and then we are woken
		return ctrl.Result{RequeueAfter: revisit(now, next)}, nil
	}
	md := g.model.DeepCopy()
	rep := &report{status: *md.Status.DeepCopy()}
	if now.Before(g.lease) {
		rep.recorded(fmt.Sprintf("%s. The verdict has changed; until that is recorded, the clearance that stands is not renewed, and ends at %s",
			why, g.lease.Format(time.RFC3339)))
	} else {
		withheld := make([]verdicts.Judgement, len(judgements))
		for i, j := range judgements {
			if j.Label == v1alpha1.EnforceLabel {
				j.Verdict = j.Verdict.Unrecorded(why)
			}
			withheld[i] = j
		}
		rep = newReport(md, g, withheld)
		rep.recorded(why)
	}
	behind, err := r.report(ctx, md, rep)
	if behind {
		next = decision.Sooner(next, now.Add(catchUp))
	}
	return ctrl.Result{RequeueAfter: revisit(now, next)}, err
}

// recorded says why a verdict is not recorded; nothing is said when it is, or is about to be.
func (r *report) recorded(why string) {
	if why == "" {
		meta.RemoveStatusCondition(&r.status.Conditions, v1alpha1.ConditionRecorded)
		return
	}
	meta.SetStatusCondition(&r.status.Conditions, metav1.Condition{
		Type: v1alpha1.ConditionRecorded, Status: metav1.ConditionFalse, Reason: v1alpha1.ReasonNotRecorded,
		Message: bounded(why), ObservedGeneration: r.status.ObservedGeneration})
}
