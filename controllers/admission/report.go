package admission

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"

	corev1 "k8s.io/api/core/v1"
	apiequality "k8s.io/apimachinery/pkg/api/equality"
	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/log"

	"github.com/interlock-dev/interlock/api/v1alpha1"
	"github.com/interlock-dev/interlock/controllers/status"
	"github.com/interlock-dev/interlock/internal/adjust"
	"github.com/interlock-dev/interlock/internal/admission"
	"github.com/interlock-dev/interlock/internal/decision"
)

// report says on each Safeguard and ScalingPolicy whether it is in use as written. It says so when the cache was behind.
func (r *Reconciler) report(ctx context.Context, safeguards []v1alpha1.Safeguard, policies []v1alpha1.ScalingPolicy, unusable map[string]error) (behind bool, err error) {
	var errs []error
	patch := func(o, before client.Object) (written bool) {
		written, late, err := status.Write(ctx, r.Client, before, o, FieldManager)
		behind = behind || late
		if err != nil {
			errs = append(errs, fmt.Errorf("report on %s: %w", o.GetName(), err))
		}
		return written
	}
	exists := map[string]bool{}
	for i := range safeguards {
		sg := &safeguards[i]
		exists[sg.Name] = true
		before := sg.DeepCopy()
		sg.Status.ObservedGeneration = sg.Generation
		meta.SetStatusCondition(&sg.Status.Conditions, safeguardReady(sg, unusable[sg.Name]))
		r.nodesClosed(sg)
		if !apiequality.Semantic.DeepEqual(before.Status, sg.Status) {
			patch(sg, before)
		}
	}
	for i := range policies {
		p := &policies[i]
		before := p.DeepCopy()
		p.Status.ObservedGeneration = p.Generation
		p.Status.Digest = decision.Digest(p, safeguards)
		meta.SetStatusCondition(&p.Status.Conditions, policyReady(p, exists, unusable, conflicts(p, safeguards)))
		signersKnown(p, safeguards)
		if !apiequality.Semantic.DeepEqual(before.Status, p.Status) && patch(p, before) {
			errs = append(errs, r.tell(ctx, before.Status.Digest, p))
		}
	}
	return behind, errors.Join(errs...)
}

// tell makes it seen by everybody that what a policy asks is another than before.
func (r *Reconciler) tell(ctx context.Context, before string, p *v1alpha1.ScalingPolicy) error {
	if before == "" || before == p.Status.Digest {
		return nil
	}
	models, err := r.modelsUnder(ctx, p.Name)
	count := fmt.Sprintf("%d models under it are judged anew", models)
	if err != nil {
		count = "all models under it are judged anew"
	}
	log.FromContext(ctx).Info("Policy changed", "policy", p.Name, "from", before, "to", p.Status.Digest, "models", models)
	r.Events.Eventf(p, nil, corev1.EventTypeNormal, v1alpha1.ReasonPolicyChanged, "Report",
		"the policy, or a Safeguard that it names, changed from digest %s to %s; %s", before, p.Status.Digest, count)
	return err
}

// modelsUnder counts the models in namespaces that name a policy in any of the labels.
func (r *Reconciler) modelsUnder(ctx context.Context, policy string) (int, error) {
	namespaces := &metav1.PartialObjectMetadataList{}
	namespaces.SetGroupVersionKind(corev1.SchemeGroupVersion.WithKind("NamespaceList"))
	models := &v1alpha1.ModelDeploymentList{}
	if err := errors.Join(r.Client.List(ctx, namespaces, client.UnsafeDisableDeepCopy), r.Client.List(ctx, models, client.UnsafeDisableDeepCopy)); err != nil {
		return 0, fmt.Errorf("count the models under ScalingPolicy %s: %w", policy, err)
	}
	under := map[string]bool{}
	for i := range namespaces.Items {
		labels := namespaces.Items[i].Labels
		for _, label := range v1alpha1.PolicyLabels {
			under[namespaces.Items[i].Name] = under[namespaces.Items[i].Name] || labels[label] == policy
		}
	}
	n := 0
	for i := range models.Items {
		if under[models.Items[i].Namespace] {
			n++
		}
	}
	return n, nil
}

func safeguardReady(sg *v1alpha1.Safeguard, err error) metav1.Condition {
	c := metav1.Condition{Type: v1alpha1.ConditionReady, ObservedGeneration: sg.Generation}
	switch {
	case err == nil:
		c.Status, c.Reason, c.Message = metav1.ConditionTrue, v1alpha1.ReasonAccepted, "in use"
	case errors.Is(err, adjust.ErrInvalid), sg.Spec.PodRule == nil && sg.Spec.Adjust != nil && errors.Is(err, errRefused):
		c.Status, c.Reason, c.Message = metav1.ConditionFalse, v1alpha1.ReasonInvalidAdjustment, err.Error()
	case sg.Spec.PodRule != nil || sg.Spec.Evidence != nil:
		c.Status, c.Reason, c.Message = metav1.ConditionFalse, v1alpha1.ReasonInvalidExpression, err.Error()
	default:
		c.Status, c.Reason, c.Message = metav1.ConditionFalse, v1alpha1.ReasonInvalidResourceRule, err.Error()
	}
	if err != nil {
		c.Message += "; models that need this Safeguard are held until it is corrected"
	}
	return c
}

// maxConflicts is the longest that is said of adjustments that do not agree.
const maxConflicts = 1024

// conflicts tells in which fields the adjustments of Safeguards that a policy names do not agree.
func conflicts(p *v1alpha1.ScalingPolicy, safeguards []v1alpha1.Safeguard) []string {
	named := decision.Named(p)
	var rules []admission.Rule
	for i := range safeguards {
		if rule, ok := admission.RuleOf(&safeguards[i]); ok && slices.Contains(named, safeguards[i].Name) {
			rules = append(rules, rule)
		}
	}
	var words []string
	for _, c := range admission.Conflicts(rules) {
		words = append(words, c.String())
	}
	return words
}

func policyReady(p *v1alpha1.ScalingPolicy, exists map[string]bool, unusable map[string]error, conflicts []string) metav1.Condition {
	var missing, broken []string
	for _, name := range decision.Named(p) {
		switch {
		case !exists[name]:
			missing = append(missing, name)
		case unusable[name] != nil:
			broken = append(broken, name)
		}
	}
	c := metav1.Condition{Type: v1alpha1.ConditionReady, Status: metav1.ConditionFalse, ObservedGeneration: p.Generation}
	switch {
	case len(missing) > 0:
		c.Reason = v1alpha1.ReasonSafeguardNotFound
		c.Message = fmt.Sprintf("Safeguards that do not exist: %s; models that need them are held", strings.Join(missing, ", "))
	case len(broken) > 0:
		c.Reason = v1alpha1.ReasonSafeguardNotReady
		c.Message = fmt.Sprintf("Safeguards that cannot be used: %s; models that need them are held", strings.Join(broken, ", "))
	case len(conflicts) > 0:
		c.Reason = v1alpha1.ReasonAdjustmentConflict
		c.Message = decision.OneLine(fmt.Sprintf("adjustments that do not agree: %s; models that need both Safeguards are held",
			strings.Join(conflicts, ", ")), maxConflicts)
	default:
		c.Status, c.Reason, c.Message = metav1.ConditionTrue, v1alpha1.ReasonAccepted, "in use"
	}
	return c
}
