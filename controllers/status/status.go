// Package status writes what controllers report.
package status

import (
	"context"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"sigs.k8s.io/controller-runtime/pkg/client"
)

// Write writes the status of an object, which is after, where it differs from before. It writes nothing over a version
// that is newer than before, and says that the cache was behind; nor to what is gone.
func Write(ctx context.Context, c client.Client, before, after client.Object, manager string) (written, behind bool, err error) {
	patch := client.MergeFromWithOptions(before, client.MergeFromWithOptimisticLock{})
	err = c.Status().Patch(ctx, after, patch, client.FieldOwner(manager))
	if apierrors.IsConflict(err) {
		return false, true, nil
	}
	return err == nil, false, client.IgnoreNotFound(err)
}
