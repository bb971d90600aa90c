package attestation

import (
	"context"
	"fmt"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"
)

// ClusterID gives what identifies a cluster: the UID of its namespace kube-system, which lasts as long as the cluster.
func ClusterID(ctx context.Context, live client.Reader) (string, error) {
	list := &metav1.PartialObjectMetadataList{}
	list.SetGroupVersionKind(corev1.SchemeGroupVersion.WithKind("NamespaceList"))
	if err := live.List(ctx, list, client.MatchingFields{"metadata.name": metav1.NamespaceSystem}); err != nil {
		return "", fmt.Errorf("look up namespace %s: %w", metav1.NamespaceSystem, err)
	}
	if len(list.Items) != 1 || list.Items[0].UID == "" {
		return "", fmt.Errorf("namespace %s, whose UID identifies the cluster, was not found", metav1.NamespaceSystem)
	}
	return string(list.Items[0].UID), nil
}
