package stray

import (
	"k8s.io/apimachinery/pkg/labels"
	"k8s.io/apimachinery/pkg/selection"
	"sigs.k8s.io/controller-runtime/pkg/builder"
	"sigs.k8s.io/controller-runtime/pkg/event"
	"sigs.k8s.io/controller-runtime/pkg/predicate"

	"github.com/interlock-dev/interlock/api/v1alpha1"
)

var unnamedSelector = labels.NewSelector().Add(mustRequire(v1alpha1.ModelLabel, selection.DoesNotExist))

func mustRequire(key string, op selection.Operator) labels.Requirement {
	req, err := labels.NewRequirement(key, op, nil)
	if err != nil {
		panic(err)
	}
	return *req
}

// enrolmentChanged lets through what changes which pods are strays or what is done about them, and not each clearance.
func enrolmentChanged() builder.WatchesOption {
	return builder.WithPredicates(predicate.Funcs{UpdateFunc: func(e event.UpdateEvent) bool {
		before, ok1 := e.ObjectOld.(*v1alpha1.ClearanceLedger)
		after, ok2 := e.ObjectNew.(*v1alpha1.ClearanceLedger)
		return !ok1 || !ok2 || before.Spec.Policy != after.Spec.Policy || before.Spec.Coverage != after.Spec.Coverage
	}})
}

// deleted lets through nothing but deletions.
func deleted() builder.WatchesOption {
	return builder.WithPredicates(predicate.Funcs{
		CreateFunc:  func(event.CreateEvent) bool { return false },
		UpdateFunc:  func(event.UpdateEvent) bool { return false },
		GenericFunc: func(event.GenericEvent) bool { return false },
	})
}
