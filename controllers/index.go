package controllers

import (
	"context"
	"errors"

	corev1 "k8s.io/api/core/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/interlock-dev/interlock/api/v1alpha1"
	"github.com/interlock-dev/interlock/controllers/approval"
	"github.com/interlock-dev/interlock/controllers/assessment"
	"github.com/interlock-dev/interlock/controllers/attestation"
	"github.com/interlock-dev/interlock/controllers/fallback"
	"github.com/interlock-dev/interlock/controllers/modeldeployment"
)

// AddIndexes adds the indexes that the controllers list by. The cluster is what identifies it in statements.
func AddIndexes(ctx context.Context, indexer client.FieldIndexer, cluster string) error {
	return errors.Join(
		indexer.IndexField(ctx, &corev1.Pod{}, modeldeployment.PodsByModel, func(o client.Object) []string {
			return []string{o.GetLabels()[v1alpha1.ModelLabel]}
		}),
		indexer.IndexField(ctx, &v1alpha1.ModelDeployment{}, assessment.ByDigest, func(o client.Object) []string {
			return []string{o.(*v1alpha1.ModelDeployment).Spec.Model.Digest}
		}),
		indexer.IndexField(ctx, &v1alpha1.ModelDeployment{}, fallback.ByFallback, fallback.Indexed),
		indexer.IndexField(ctx, &v1alpha1.CapabilityAssessment{}, assessment.ByDigest, func(o client.Object) []string {
			return o.(*v1alpha1.CapabilityAssessment).Spec.Digests
		}),
		indexer.IndexField(ctx, &v1alpha1.CapabilityAssessment{}, assessment.BySuperseded, func(o client.Object) []string {
			return o.(*v1alpha1.CapabilityAssessment).Spec.Supersedes
		}),
		indexer.IndexField(ctx, &v1alpha1.RiskReport{}, assessment.ByDigest, func(o client.Object) []string {
			return o.(*v1alpha1.RiskReport).Spec.Digests
		}),
		indexer.IndexField(ctx, &v1alpha1.Attestation{}, attestation.BySubject, attestation.Subjects),
		indexer.IndexField(ctx, &v1alpha1.ModelDeployment{}, attestation.BySubject, attestation.SubjectsOf(cluster)),
		indexer.IndexField(ctx, &v1alpha1.Approval{}, approval.BySubject, func(o client.Object) []string {
			subject := o.(*v1alpha1.Approval).Spec.Subject
			return []string{approval.Subject(subject.Kind, subject.Name)}
		}),
	)
}
