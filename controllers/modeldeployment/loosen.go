package modeldeployment

import (
	"context"
	"errors"
	"fmt"
	"time"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/types"
	ctrl "sigs.k8s.io/controller-runtime"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/interlock-dev/interlock/api/v1alpha1"
	"github.com/interlock-dev/interlock/controllers/fresh"
	"github.com/interlock-dev/interlock/internal/admission"
	"github.com/interlock-dev/interlock/internal/verdict"
	"github.com/interlock-dev/interlock/internal/workload"
)

// judge gathers what is known of a model and judges it by that. If something would be loosened by that, it proves first that
// it is current, and then does both again.
func (r *Reconciler) judge(ctx context.Context, now time.Time, md *v1alpha1.ModelDeployment) (*pass, error) {
	proof := r.Fresh.Last(md.Namespace)
	for {
		snapshot, err := r.Gatherer.Gather(ctx, now, md)
		if err != nil {
			return nil, err
		}
		p := &pass{Snapshot: snapshot, judged: verdict.Judge(r.Compiler, snapshot), proof: proof}
		if proof.Holds() || !r.loosens(p) {
			return p, nil
		}
		if proof, err = r.prove(ctx, md.Namespace); err != nil {
			return nil, err
		}
		if err := r.Client.Get(ctx, client.ObjectKeyFromObject(md), md); err != nil {
			return nil, err
		}
	}
}

func (r *Reconciler) prove(ctx context.Context, namespace string) (fresh.Proof, error) {
	proof, err := r.Fresh.Prove(ctx, namespace)
	if err != nil {
		err = fmt.Errorf("prove that what is known of namespace %s is current: %w", namespace, err)
	}
	return proof, err
}

// loosens says whether something would be freed by the judgements: a clearance that is new, renewed or changed, a pod at the
// gate, or what was done on a shortfall.
func (r *Reconciler) loosens(p *pass) bool {
	enforced := p.judged.Enforced
	switch {
	case !p.judged.IsEnforced:
		return r.undoes(p.Snapshot) || len(p.Held()) > 0
	case enforced.Verdict.Outcome == v1alpha1.OutcomeRevoked:
		return false
	case !enforced.Verdict.Cleared():
		return r.undoes(p.Snapshot)
	}
	stands := admission.PolicyOf(p.Clearances) == enforced.Policy && p.judged.Stands.Equal(enforced.Standing())
	return !stands || r.undoes(p.Snapshot) || len(p.judged.Fit(p.Held())) > 0
}

// undoes says whether anything was done on a shortfall that can be taken back.
func (r *Reconciler) undoes(s *verdict.Snapshot) bool {
	return workload.Isolated(s.Key(), s.NetworkPolicies) || len(r.Workloads.StoppedFor(s.Key())) > 0
}

// undeclared sees to the pods of a model that is not declared. If their namespace is not enrolled (any more) they are
// free. In one that is, those at the gate stay there, and the package stray sees to the others. What was done about them is
// taken back once none of these is left and the shortfall is over, or the declaration could be taken back to undo it.
func (r *Reconciler) undeclared(ctx context.Context, now time.Time, model types.NamespacedName, proof fresh.Proof) (ctrl.Result, error) {
	s, err := r.Gatherer.GatherUndeclared(ctx, now, model)
	if err != nil {
		return ctrl.Result{}, client.IgnoreNotFound(err) // its namespace is gone
	}
	shortfall, enforced := verdict.Undeclared(s)
	r.Board.Remember(model, s.Shortfall, shortfall, now)
	if !shortfall.IsZero() {
		return again(now, shortfall.Ends()), nil
	}
	if !proof.Holds() && (r.undoes(s) || !enforced && len(s.Held()) > 0) {
		if proof, err = r.prove(ctx, model.Namespace); err != nil {
			return ctrl.Result{}, err
		}
		if err := r.Client.Get(ctx, model, &v1alpha1.ModelDeployment{}); !apierrors.IsNotFound(err) {
			return ctrl.Result{}, errors.Join(err, fresh.ErrLapsed) // it is declared after all
		}
		return r.undeclared(ctx, now, model, proof)
	}
	ctx = fresh.Bind(ctx, proof)
	err = r.standDown(ctx, s)
	if !enforced {
		err = errors.Join(err, r.release(ctx, s.Held()))
	}
	return ctrl.Result{}, err
}
