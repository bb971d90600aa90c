package ledger

import (
	"context"
	"fmt"
	"sync"
	"time"

	corev1 "k8s.io/api/core/v1"
	apiequality "k8s.io/apimachinery/pkg/api/equality"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/util/workqueue"
	ctrl "sigs.k8s.io/controller-runtime"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/event"
	"sigs.k8s.io/controller-runtime/pkg/handler"
	"sigs.k8s.io/controller-runtime/pkg/reconcile"

	"github.com/interlock-dev/interlock/api/v1alpha1"
	"github.com/interlock-dev/interlock/internal/admission"
)

// gatherSources is how long the first change of what models declare waits for others: it is written to all namespaces.
const gatherSources = 200 * time.Millisecond

// sources remembers what the models of the cluster declare, until that changes.
type sources struct {
	mu       sync.Mutex
	fresh    bool
	declared []admission.Declaration
	// above says whether a level asks for more than another.
	above func(level, other string) bool
	// texts by namespace.
	texts map[string]string
}

// forget lets all be read anew; false if it would be in any case.
func (s *sources) forget() bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	remembered := s.fresh
	s.fresh = false
	return remembered
}

// of gives the sources as the API server reads them for the pods of a namespace.
func (s *sources) of(ctx context.Context, reader client.Reader, namespace string) (string, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if !s.fresh {
		if err := s.read(ctx, reader); err != nil {
			return "", err
		}
	}
	text, ok := s.texts[namespace]
	if !ok {
		text = admission.Sources(namespace, s.declared, s.above)
		s.texts[namespace] = text
	}
	return text, nil
}

func (s *sources) read(ctx context.Context, reader client.Reader) error {
	models, policies := &v1alpha1.ModelDeploymentList{}, &v1alpha1.ScalingPolicyList{}
	if err := reader.List(ctx, models, client.UnsafeDisableDeepCopy); err != nil {
		return fmt.Errorf("list ModelDeployments: %w", err)
	}
	if err := reader.List(ctx, policies, client.UnsafeDisableDeepCopy); err != nil {
		return fmt.Errorf("list ScalingPolicies: %w", err)
	}
	s.declared = admission.Declarations(models.Items)
	s.above, s.texts, s.fresh = admission.Above(policies.Items), map[string]string{}, true
	return nil
}

// declarationsHandler wakes all namespaces when what models declare changes.
func (r *Reconciler) declarationsHandler() handler.EventHandler {
	wake := func(ctx context.Context, q workqueue.TypedRateLimitingInterface[reconcile.Request]) {
		if !r.sources.forget() {
			return
		}
		namespaces := &metav1.PartialObjectMetadataList{}
		namespaces.SetGroupVersionKind(corev1.SchemeGroupVersion.WithKind("NamespaceList"))
		if err := r.Client.List(ctx, namespaces, client.HasLabels{v1alpha1.EnforceLabel}); err != nil {
			ctrl.LoggerFrom(ctx).Error(err, "List namespaces")
		}
		for i := range namespaces.Items {
			q.AddAfter(request(namespaces.Items[i].Name)[0], gatherSources)
		}
	}
	return handler.Funcs{
		CreateFunc: func(ctx context.Context, _ event.CreateEvent, q workqueue.TypedRateLimitingInterface[reconcile.Request]) {
			wake(ctx, q)
		},
		DeleteFunc: func(ctx context.Context, _ event.DeleteEvent, q workqueue.TypedRateLimitingInterface[reconcile.Request]) {
			wake(ctx, q)
		},
		UpdateFunc: func(ctx context.Context, e event.UpdateEvent, q workqueue.TypedRateLimitingInterface[reconcile.Request]) {
			before, ok1 := e.ObjectOld.(*v1alpha1.ModelDeployment)
			after, ok2 := e.ObjectNew.(*v1alpha1.ModelDeployment)
			if !ok1 || !ok2 || before.Spec.AssessedLevel != after.Spec.AssessedLevel || !apiequality.Semantic.DeepEqual(before.Spec.Model, after.Spec.Model) {
				wake(ctx, q)
			}
		},
	}
}
