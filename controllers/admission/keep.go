package admission

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"

	admissionv1 "k8s.io/api/admissionregistration/v1"
	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/types"
	clientretry "k8s.io/client-go/util/retry"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/log"

	"github.com/interlock-dev/interlock/api/v1alpha1"
	"github.com/interlock-dev/interlock/controllers/metrics"
	"github.com/interlock-dev/interlock/internal/admission"
)

// keepAll brings all objects to what they should be.
func (r *Reconciler) keepAll(ctx context.Context, objects []admission.Object) error {
	var errs []error
	for _, o := range objects {
		kept, drift, err := r.keep(ctx, o)
		if err != nil {
			errs = append(errs, fmt.Errorf("keep %s: %w", key(o), err))
			continue
		}
		r.written[key(o)] = o
		if drift != "" {
			r.repaired = true
			r.alarm(ctx, key(o), kept, drift)
		}
	}
	return errors.Join(errs...)
}

func key(o admission.Object) string {
	return o.GetObjectKind().GroupVersionKind().Kind + "/" + o.GetName()
}

// keep brings one object to what it should be, and returns it as the API server has it, and what somebody else had done
// to it. It replaces the whole spec, since what others have put beside our fields (an exclusion, a match condition) could
// switch it off.
func (r *Reconciler) keep(ctx context.Context, want admission.Object) (kept admission.Object, drift string, err error) {
	have, err := r.read(ctx, r.Client, want)
	if err == nil && admission.Same(want, have) {
		return have, "", nil
	}
	// The API server writes the status of a policy after each change of it, which no event tells us of: without another
	// look the repair would wait for its turn.
	err = clientretry.OnError(clientretry.DefaultRetry, apierrors.IsConflict, func() error {
		kept, drift, err = r.replace(ctx, want)
		return err
	})
	return kept, drift, err
}

// replace reads past the cache, which may be behind our own last write, and is blind to an object that lacks our label.
func (r *Reconciler) replace(ctx context.Context, want admission.Object) (kept admission.Object, drift string, err error) {
	written, kept := r.written[key(want)], want.DeepCopyObject().(admission.Object)
	have, err := r.read(ctx, r.Live, want)
	switch {
	case apierrors.IsNotFound(err):
		if written != nil {
			drift = "was deleted"
		}
		return kept, drift, r.Client.Create(ctx, kept, client.FieldOwner(FieldManager))
	case err != nil:
		return nil, "", err
	case written != nil && !admission.Same(written, have):
		drift = "was changed"
	}
	if admission.Same(want, have) {
		return have, "", nil
	}
	kept.SetResourceVersion(have.GetResourceVersion())
	return kept, drift, r.Client.Update(ctx, kept, client.FieldOwner(FieldManager))
}

// read gives the object as it is now, in an object of its own, so that nothing of what it should be shows through.
func (r *Reconciler) read(ctx context.Context, from client.Reader, want admission.Object) (admission.Object, error) {
	o, err := r.Client.Scheme().New(want.GetObjectKind().GroupVersionKind())
	if err != nil {
		return nil, err
	}
	have := o.(admission.Object)
	return have, from.Get(ctx, client.ObjectKeyFromObject(want), have)
}

// alarm tells that an object had been tampered with. The event is on the object as it was written: with its UID `kubectl
// describe` shows it, and with its resourceVersion each repair has an event of its own, where a second one on the same
// reference would wait for half an hour to be counted.
func (r *Reconciler) alarm(ctx context.Context, name string, o admission.Object, drift string) {
	log.FromContext(ctx).Info("Repaired drift of enforcement", "object", name, "drift", drift)
	metrics.DriftRepairs.Inc()
	r.Canary.Repaired()
	r.Events.Eventf(o, nil, corev1.EventTypeWarning, "EnforcementDrift", "Repair",
		"%s %s and has been written again; it counts as repaired once API servers show that they enforce it (EnforcementProven)", name, drift)
}

// isolate finds the rules that the API server refuses though each compiles: those that are nested too deeply inside the
// policy's own expressions, or that make it too long. The elder is kept, so that a new Safeguard cannot push out others.
func (r *Reconciler) isolate(ctx context.Context, ruled []*v1alpha1.Safeguard) (map[types.UID]error, error) {
	elderFirst := slices.SortedFunc(slices.Values(ruled), func(a, b *v1alpha1.Safeguard) int {
		return cmp.Or(a.CreationTimestamp.Compare(b.CreationTimestamp.Time), cmp.Compare(a.Name, b.Name))
	})
	refused := map[types.UID]error{}
	var accepted []*v1alpha1.Safeguard
	for _, sg := range elderFirst {
		candidate := append(slices.Clone(accepted), sg)
		err := r.tryOut(ctx, admission.Policies(r.Install, rules(candidate, nil)))
		switch {
		case err == nil:
			accepted = candidate
		case tooMuch(err):
			refused[sg.UID] = err
		default:
			return nil, fmt.Errorf("try out the rule of Safeguard %s: %w", sg.Name, err)
		}
	}
	return refused, nil
}

// tryOut asks the API server whether it would take the policies that have rules in them.
func (r *Reconciler) tryOut(ctx context.Context, objects []admission.Object) error {
	for _, o := range objects {
		switch o.(type) {
		case *admissionv1.ValidatingAdmissionPolicy, *admissionv1.MutatingAdmissionPolicy:
		default:
			continue
		}
		have, err := r.read(ctx, r.Live, o)
		attempt := o.DeepCopyObject().(client.Object)
		switch {
		case apierrors.IsNotFound(err):
			err = r.Client.Create(ctx, attempt, client.DryRunAll)
		case err == nil:
			attempt.SetResourceVersion(have.GetResourceVersion())
			err = r.Client.Update(ctx, attempt, client.DryRunAll)
		}
		if err != nil {
			return err
		}
	}
	return nil
}

// tooMuch says whether the API server refuses an object for what is in it, or for its size.
func tooMuch(err error) bool {
	return apierrors.IsInvalid(err) || apierrors.IsRequestEntityTooLargeError(err)
}

// summary gives the end of an error in one line: before it, the API server quotes the expression in full.
func summary(err error) string {
	const shown = 300
	text := strings.Join(strings.Fields(err.Error()), " ")
	if len(text) > shown {
		text = "..." + strings.ToValidUTF8(text[len(text)-shown:], "")
	}
	return text
}
