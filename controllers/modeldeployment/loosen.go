package modeldeployment

import (
	"context"
	"errors"
	"fmt"
	"time"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	ctrl "sigs.k8s.io/controller-runtime"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/interlock-dev/interlock/api/v1alpha1"
	"github.com/interlock-dev/interlock/controllers/fresh"
	"github.com/interlock-dev/interlock/controllers/verdicts"
	"github.com/interlock-dev/interlock/internal/admission"
	"github.com/interlock-dev/interlock/internal/decision"
	"github.com/interlock-dev/interlock/internal/workload"
)

// decide gathers what is known of a model and decides by it. If something would be loosened by that, it proves first that
// it is current, and then does both again.
func (r *Reconciler) decide(ctx context.Context, now time.Time, md *v1alpha1.ModelDeployment) (*gathered, []verdicts.Judgement, error) {
	proof := r.Fresh.Last(md.Namespace)
	for {
		g, err := r.gather(ctx, now, md)
		if err != nil {
			return nil, nil, err
		}
		g.proof = proof
		judgements := g.decide(now)
		if proof.Holds() || !r.loosens(g, judgements) {
			return g, judgements, nil
		}
		if proof, err = r.Fresh.Prove(ctx, md.Namespace); err != nil {
			return nil, nil, fmt.Errorf("prove that what is known of namespace %s is current: %w", md.Namespace, err)
		}
		if err := r.Client.Get(ctx, client.ObjectKeyFromObject(md), md); err != nil {
			return nil, nil, err
		}
	}
}

// loosens says whether something would be freed by the judgements: a clearance that is new, renewed or changed, a pod at the
// gate, or what was done on a shortfall.
func (r *Reconciler) loosens(g *gathered, judgements []verdicts.Judgement) bool {
	model := client.ObjectKeyFromObject(g.model)
	enforced, isEnforced := verdicts.Under(judgements, v1alpha1.EnforceLabel)
	switch {
	case !isEnforced:
		return r.undoes(model, g) || len(g.held()) > 0
	case enforced.Verdict.Outcome == v1alpha1.OutcomeRevoked:
		return false
	case !enforced.Verdict.Cleared():
		return r.undoes(model, g)
	}
	stands := admission.PolicyOf(g.clearances) == enforced.Policy && admission.Find(g.clearances, model.Name).Equal(enforced.Standing())
	return !stands || r.undoes(model, g) || len(g.fit()) > 0
}

// undoes says whether anything was done on a shortfall that can be taken back.
func (r *Reconciler) undoes(model types.NamespacedName, g *gathered) bool {
	return workload.Isolated(model, g.networkPolicies) || len(r.Workloads.StoppedFor(model)) > 0
}

// undeclared sees to the pods of a model that is not declared. If their namespace is not enrolled (any more) they are
// free. In one that is, those at the gate stay there, and the package stray sees to the others. What was done about them is
// taken back once none of these is left and the shortfall is over, or the declaration could be taken back to undo it.
func (r *Reconciler) undeclared(ctx context.Context, now time.Time, model types.NamespacedName, proof fresh.Proof) (ctrl.Result, error) {
	ns, err := r.namespace(ctx, model.Namespace)
	if err != nil {
		return ctrl.Result{}, client.IgnoreNotFound(err)
	}
	pods, err := r.pods(ctx, model)
	if err != nil {
		return ctrl.Result{}, err
	}
	g := &gathered{model: &v1alpha1.ModelDeployment{ObjectMeta: metav1.ObjectMeta{Namespace: model.Namespace, Name: model.Name}}, pods: pods}
	if err := errors.Join(r.surroundings(ctx, g), r.clearance(ctx, g)); err != nil {
		return ctrl.Result{}, err
	}
	_, enforced := ns.Labels[v1alpha1.EnforceLabel]
	if enforced {
		if g.shortfall, err = r.rememberUndeclared(ctx, now, g, ns.Labels[v1alpha1.EnforceLabel]); err != nil {
			return ctrl.Result{}, err
		}
	}
	r.Board.Remember(model, g.known, g.shortfall, now)
	if !g.shortfall.IsZero() {
		return ctrl.Result{RequeueAfter: revisit(now, g.shortfall.Ends())}, nil
	}
	if !proof.Holds() && (r.undoes(model, g) || !enforced && len(g.held()) > 0) {
		if proof, err = r.Fresh.Prove(ctx, model.Namespace); err != nil {
			return ctrl.Result{}, fmt.Errorf("prove that what is known of namespace %s is current: %w", model.Namespace, err)
		}
		if err := r.Client.Get(ctx, model, &v1alpha1.ModelDeployment{}); !apierrors.IsNotFound(err) {
			return ctrl.Result{}, errors.Join(err, fresh.ErrLapsed) // it is declared after all
		}
		return r.undeclared(ctx, now, model, proof)
	}
	ctx = fresh.Bind(ctx, proof)
	err = r.standDown(ctx, model, g.networkPolicies)
	if !enforced {
		err = errors.Join(err, r.release(ctx, g.held()))
	}
	return ctrl.Result{}, err
}

// rememberUndeclared gives what is remembered of a model that is not declared: its pods past the gate run without clearance,
// and it may be of any level.
func (r *Reconciler) rememberUndeclared(ctx context.Context, now time.Time, g *gathered, name string) (decision.Shortfall, error) {
	if len(g.admitted()) == 0 {
		return g.known.Quiet(now), nil
	}
	policy := &v1alpha1.ScalingPolicy{}
	if name != "" { // which no policy has
		if err := r.Client.Get(ctx, client.ObjectKey{Name: name}, policy); client.IgnoreNotFound(err) != nil {
			return g.known, err
		}
	}
	return g.known.Continue(decision.ScheduleOf(policy, decision.EveryLevel(policy)...), now), nil
}
