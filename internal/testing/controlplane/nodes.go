package controlplane

import (
	"context"
	"fmt"
	"maps"
	"slices"
	"time"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/resource"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/util/wait"
	"k8s.io/client-go/kubernetes"
)

// fakeNode is the annotation by which KWOK knows the nodes that it plays the kubelet of.
const fakeNode = "kwok.x-k8s.io/node"

// settleInterval is how often the start of a control plane looks whether it has settled.
const settleInterval = 50 * time.Millisecond

// A Node is a node that KWOK plays. It has 32 CPUs, 256Gi of memory and room for 500 pods.
type Node struct {
	Name   string
	Labels map[string]string
	Taints []corev1.Taint
	// Extra is what the node offers beside CPU, memory and pods, such as "nvidia.com/gpu": "8".
	Extra map[corev1.ResourceName]string
}

// Nodes returns n nodes, node-0 and so on, of which the first gpu have eight "nvidia.com/gpu".
func Nodes(n, gpu int) []Node {
	nodes := make([]Node, n)
	for i := range nodes {
		nodes[i].Name = fmt.Sprintf("node-%d", i)
		if i < gpu {
			nodes[i].Extra = map[corev1.ResourceName]string{"nvidia.com/gpu": "8"}
		}
	}
	return nodes
}

// object is the Node as the API server shall have it.
func (n Node) object() (*corev1.Node, error) {
	offers := corev1.ResourceList{
		corev1.ResourceCPU:    resource.MustParse("32"),
		corev1.ResourceMemory: resource.MustParse("256Gi"),
		corev1.ResourcePods:   resource.MustParse("500"),
	}
	for _, name := range slices.Sorted(maps.Keys(n.Extra)) {
		quantity, err := resource.ParseQuantity(n.Extra[name])
		if err != nil {
			return nil, fmt.Errorf("node %s: %s: %q: %w", n.Name, name, n.Extra[name], err)
		}
		offers[name] = quantity
	}
	labels := map[string]string{
		corev1.LabelHostname:   n.Name,
		corev1.LabelOSStable:   "linux",
		corev1.LabelArchStable: "amd64",
	}
	maps.Copy(labels, n.Labels)
	return &corev1.Node{
		ObjectMeta: metav1.ObjectMeta{Name: n.Name, Labels: labels, Annotations: map[string]string{fakeNode: "fake"}},
		Spec:       corev1.NodeSpec{Taints: n.Taints},
		Status:     corev1.NodeStatus{Allocatable: offers, Capacity: offers},
	}, nil
}

// createNodes creates the nodes. It comes before all else, since KWOK leaves pods alone that were bound to a node
// before it knew the node.
func createNodes(ctx context.Context, client kubernetes.Interface, nodes []Node) error {
	for _, n := range nodes {
		object, err := n.object()
		if err != nil {
			return err
		}
		if _, err := client.CoreV1().Nodes().Create(ctx, object, metav1.CreateOptions{}); err != nil {
			return fmt.Errorf("create node %s: %w", n.Name, err)
		}
	}
	return nil
}

// waitSettled waits until pods can be created and will be scheduled: every node is Ready and free of the taint that
// a new node has, and the namespace "default" has its service account.
func waitSettled(ctx context.Context, client kubernetes.Interface) error {
	var lacking error
	err := wait.PollUntilContextCancel(ctx, settleInterval, true, func(ctx context.Context) (bool, error) {
		lacking = settled(ctx, client)
		return lacking == nil, nil
	})
	if err != nil {
		return fmt.Errorf("the control plane did not settle: %w: %w", err, lacking)
	}
	return nil
}

func settled(ctx context.Context, client kubernetes.Interface) error {
	nodes, err := client.CoreV1().Nodes().List(ctx, metav1.ListOptions{})
	if err != nil {
		return err
	}
	for _, node := range nodes.Items {
		if !usable(&node) {
			return fmt.Errorf("node %s is not Ready yet", node.Name)
		}
	}
	_, err = client.CoreV1().ServiceAccounts("default").Get(ctx, "default", metav1.GetOptions{})
	return err
}

func usable(node *corev1.Node) bool {
	ready := slices.ContainsFunc(node.Status.Conditions, func(c corev1.NodeCondition) bool {
		return c.Type == corev1.NodeReady && c.Status == corev1.ConditionTrue
	})
	tainted := slices.ContainsFunc(node.Spec.Taints, func(t corev1.Taint) bool {
		return t.Key == corev1.TaintNodeNotReady
	})
	return ready && !tainted
}
