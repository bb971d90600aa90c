package controllers

import (
	"context"
	"errors"

	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/interlock-dev/interlock/api/v1alpha1"
	"github.com/interlock-dev/interlock/controllers/approval"
	"github.com/interlock-dev/interlock/controllers/assessment"
	"github.com/interlock-dev/interlock/controllers/fallback"
	"github.com/interlock-dev/interlock/internal/verdict"
)

// AddIndexes adds the indexes that the controllers list by. The cluster is what identifies it in statements.
func AddIndexes(ctx context.Context, indexer client.FieldIndexer, cluster string) error {
	errs := []error{
		indexer.IndexField(ctx, &v1alpha1.ModelDeployment{}, fallback.ByFallback, fallback.Indexed),
		indexer.IndexField(ctx, &v1alpha1.CapabilityAssessment{}, assessment.BySuperseded, func(o client.Object) []string {
			return o.(*v1alpha1.CapabilityAssessment).Spec.Supersedes
		}),
		indexer.IndexField(ctx, &v1alpha1.Approval{}, approval.BySubject, func(o client.Object) []string {
			subject := o.(*v1alpha1.Approval).Spec.Subject
			return []string{approval.Subject(subject.Kind, subject.Name)}
		}),
	}
	for _, index := range verdict.Indexes(cluster) {
		errs = append(errs, indexer.IndexField(ctx, index.Object, index.Field, index.Extract))
	}
	return errors.Join(errs...)
}
