package modeldeployment

import (
	"context"
	"fmt"
	"time"

	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	ctrl "sigs.k8s.io/controller-runtime"

	"github.com/interlock-dev/interlock/api/v1alpha1"
	"github.com/interlock-dev/interlock/internal/decision"
	"github.com/interlock-dev/interlock/internal/record"
)

// post puts the judgements on the board, to be enforced, and what is remembered of a shortfall. A clearance gets there only
// once it is recorded. Until then the board keeps what it has, so a clearance that stands is neither taken back nor renewed.
func (r *Reconciler) post(p *pass) (posted bool) {
	switch {
	case !p.judged.IsEnforced:
		r.Record.Note(record.Ended(p.Key(), record.OutcomeNotEnforced, p.Now))
	case p.judged.Enforced.Verdict.Cleared() && !r.Record.Note(p.record()):
		return false
	}
	r.Board.Put(p.Key(), p.judged.Judgements, p.proof)
	r.Board.Remember(p.Key(), p.Shortfall, p.judged.Shortfall, p.Now)
	return true
}

// record gives the judgement that is enforced as it is recorded, with the digests of what it rests on.
func (p *pass) record() record.Decision {
	j := p.judged.Enforced
	d := record.Decision{
		Model: p.Key(), Weights: p.Model.Spec.Model.Digest, At: p.Now, Policy: j.Policy, PolicyDigest: j.PolicyDigest, Verdict: j.Verdict}
	for _, o := range p.judged.Basis {
		d.Inputs = append(d.Inputs, record.Input(o))
	}
	return d
}

// unrecorded notes what takes effect without waiting, and says why it is not recorded if that fails.
func (r *Reconciler) unrecorded(p *pass) (why string) {
	if p.judged.Enforced.Verdict.Cleared() || r.Record.Note(p.record()) {
		return ""
	}
	return r.Record.Failure(p.Key())
}

// awaitRecord reports on a clearance that is not recorded, if that fails. Pods stay as they are: a log that cannot be
// written lets none in, and takes none out.
func (r *Reconciler) awaitRecord(ctx context.Context, p *pass) (ctrl.Result, error) {
	why := r.Record.Failure(p.Key())
	if why == "" { // it is being written, and then we are woken
		return again(p.Now, p.judged.Revisit), nil
	}
	md, lease := p.Model.DeepCopy(), p.judged.Stands.ValidUntil
	rep := &report{status: *md.Status.DeepCopy()}
	if p.Now.Before(lease) {
		rep.recorded(fmt.Sprintf("%s. The verdict has changed; until that is recorded, the clearance that stands is not renewed, and ends at %s",
			why, lease.Format(time.RFC3339)))
	} else {
		withheld := p.judged.Withheld(why)
		rep = newReport(p.Snapshot, &withheld)
		rep.recorded(why)
	}
	next := p.judged.Revisit
	behind, err := r.report(ctx, md, rep)
	if behind {
		next = decision.Sooner(next, p.Now.Add(catchUp))
	}
	return again(p.Now, next), err
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
