package main

import (
	"context"
	"errors"
	"fmt"
	"time"

	corev1 "k8s.io/api/core/v1"
	networkingv1 "k8s.io/api/networking/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	utilruntime "k8s.io/apimachinery/pkg/util/runtime"
	"k8s.io/apimachinery/pkg/util/wait"
	clientgoscheme "k8s.io/client-go/kubernetes/scheme"
	"k8s.io/client-go/rest"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/interlock-dev/interlock/api/v1alpha1"
	"github.com/interlock-dev/interlock/internal/admission"
	"github.com/interlock-dev/interlock/internal/testing/controlplane"
	"github.com/interlock-dev/interlock/internal/testing/stack"
)

// patience bounds every wait for something that is due at once.
const patience = 5 * time.Minute

// cluster is a stack with a manager and the policies.
type cluster struct {
	*stack.Stack
	client  client.WithWatch
	manager *stack.Manager
}

func start(ctx context.Context, manager string) (*cluster, error) {
	nodes := controlplane.Nodes(10, 2)
	for i := range nodes {
		nodes[i].Labels = map[string]string{dedicatedLabel: dedicated}
	}
	s, err := stack.Start(ctx, stack.Options{Manager: manager, Nodes: nodes, Progress: func(step string) { progress("%s", step) }})
	if err != nil {
		return nil, err
	}
	cl := &cluster{Stack: s}
	if err := cl.prepare(ctx); err != nil {
		return nil, errors.Join(err, s.Stop())
	}
	return cl, nil
}

func (cl *cluster) prepare(ctx context.Context) error {
	scheme := runtime.NewScheme()
	utilruntime.Must(clientgoscheme.AddToScheme(scheme))
	utilruntime.Must(v1alpha1.AddToScheme(scheme))
	var err error
	config := cl.RESTConfig()
	config.WarningHandler = rest.NoWarnings{} // that what is created is held is what is measured
	if cl.client, err = client.NewWithWatch(config, client.Options{Scheme: scheme}); err != nil {
		return err
	}
	if cl.manager, err = cl.StartManager(ctx); err != nil {
		return err
	}
	if err := cl.applyPolicies(ctx); err != nil {
		return err
	}
	for _, name := range []string{packPolicy, plainPolicy} {
		if err := cl.untilReady(ctx, name); err != nil {
			return err
		}
	}
	return nil
}

// untilReady waits until a ScalingPolicy is in use.
func (cl *cluster) untilReady(ctx context.Context, name string) error {
	return cl.until(ctx, "ScalingPolicy "+name+" to be in use", func(ctx context.Context) (bool, error) {
		policy := &v1alpha1.ScalingPolicy{}
		if err := cl.client.Get(ctx, client.ObjectKey{Name: name}, policy); err != nil {
			return false, err
		}
		for _, c := range policy.Status.Conditions {
			if c.Type == v1alpha1.ConditionReady && c.Status == metav1.ConditionTrue {
				return true, nil
			}
		}
		return false, nil
	})
}

// namespace creates one and waits for its service account, without which there are no pods. The policy may be "".
func (cl *cluster) namespace(ctx context.Context, name, policy string) error {
	ns := &corev1.Namespace{ObjectMeta: metav1.ObjectMeta{Name: name, Labels: map[string]string{}}}
	if policy != "" {
		ns.Labels[v1alpha1.EnforceLabel] = policy
	}
	if err := cl.client.Create(ctx, ns); err != nil {
		return err
	}
	return cl.until(ctx, "the service account of namespace "+name, func(ctx context.Context) (bool, error) {
		err := cl.client.Get(ctx, client.ObjectKey{Namespace: name, Name: "default"}, &corev1.ServiceAccount{})
		return err == nil, client.IgnoreNotFound(err)
	})
}

// untilCleared waits until a namespace has cleared so many models.
func (cl *cluster) untilCleared(ctx context.Context, namespace string, models int) error {
	return cl.until(ctx, fmt.Sprintf("%[2]d models of %[1]s to be cleared", namespace, models), func(ctx context.Context) (bool, error) {
		clearances := &corev1.LimitRange{}
		err := cl.client.Get(ctx, client.ObjectKey{Namespace: namespace, Name: v1alpha1.ClearancesName}, clearances)
		return err == nil && len(admission.Changed(nil, clearances.Annotations)) == models, client.IgnoreNotFound(err)
	})
}

// untilJudged waits until the API server judges pods as the ledger says: it reads the ledger from a cache of its own.
func (cl *cluster) untilJudged(ctx context.Context, namespace, model string, held bool) error {
	return cl.until(ctx, fmt.Sprintf("pods of %s/%s to be judged", namespace, model), func(ctx context.Context) (bool, error) {
		pod := newPod(namespace, "probe", model)
		err := cl.client.Create(ctx, pod, client.DryRunAll)
		if apierrors.IsForbidden(err) {
			return false, nil
		}
		return err == nil && gated(pod) == held, err
	})
}

func (cl *cluster) until(ctx context.Context, what string, done func(context.Context) (bool, error)) error {
	if err := wait.PollUntilContextTimeout(ctx, 50*time.Millisecond, patience, true, done); err != nil {
		return fmt.Errorf("wait for %s: %w", what, err)
	}
	return nil
}

// egressPolicy is the safeguard that comes last: no pod of the namespace may send traffic anywhere.
func egressPolicy(namespace string) *networkingv1.NetworkPolicy {
	return &networkingv1.NetworkPolicy{
		ObjectMeta: metav1.ObjectMeta{Namespace: namespace, Name: "no-egress"},
		Spec:       networkingv1.NetworkPolicySpec{PolicyTypes: []networkingv1.PolicyType{networkingv1.PolicyTypeEgress}},
	}
}

func model(namespace, name, level string) *v1alpha1.ModelDeployment {
	return &v1alpha1.ModelDeployment{
		ObjectMeta: metav1.ObjectMeta{Namespace: namespace, Name: name},
		Spec: v1alpha1.ModelDeploymentSpec{
			Model:         v1alpha1.Model{Name: "a model", Digest: digest, EffectiveCompute: compute},
			AssessedLevel: level,
		},
	}
}
