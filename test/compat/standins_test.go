package compat

import (
	"context"
	"fmt"
	"time"

	. "github.com/onsi/ginkgo/v2"
	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/apimachinery/pkg/util/wait"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/interlock-dev/interlock/internal/testing/builder"
)

// standIn does for one workload what its controller would, as far as its pods are concerned.
type standIn func(ctx context.Context, o *unstructured.Unstructured) error

// run lets a stand-in see to a workload until the test ends.
func (s standIn) run(o *unstructured.Unstructured) {
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan struct{})
	DeferCleanup(func() { cancel(); <-done })
	go func() {
		defer close(done)
		_ = wait.PollUntilContextCancel(ctx, 200*time.Millisecond, true, func(ctx context.Context) (bool, error) {
			now := &unstructured.Unstructured{}
			now.SetGroupVersionKind(o.GroupVersionKind())
			if err := api.Get(ctx, client.ObjectKeyFromObject(o), now); err != nil {
				return false, nil
			}
			if err := s(ctx, now); err != nil && ctx.Err() == nil && !apierrors.IsConflict(err) {
				GinkgoWriter.Println("stand-in for", o.GetKind(), err)
			}
			return false, nil
		})
	}()
}

// rayCluster makes a head and the workers of each group, none while it is suspended.
func rayCluster(ctx context.Context, o *unstructured.Unstructured) error {
	n := 0
	if suspended, _, _ := unstructured.NestedBool(o.Object, "spec", "suspend"); !suspended {
		n = 1
		groups, _, _ := unstructured.NestedSlice(o.Object, "spec", "workerGroupSpecs")
		for _, g := range groups {
			replicas, _, _ := unstructured.NestedInt64(g.(map[string]any), "replicas")
			n += int(replicas)
		}
	}
	return pods(ctx, o, n)
}

// rayService makes a RayCluster by its config, and hands on whether that is suspended.
func rayService(ctx context.Context, o *unstructured.Unstructured) error {
	config, _, _ := unstructured.NestedMap(o.Object, "spec", "rayClusterConfig")
	cluster := child(o, schema.GroupVersionKind{Group: "ray.io", Version: "v1", Kind: "RayCluster"}, o.GetName()+"-1")
	cluster.Object["spec"] = config
	if err := api.Create(ctx, cluster); !apierrors.IsAlreadyExists(err) {
		return err
	}
	if err := api.Get(ctx, client.ObjectKeyFromObject(cluster), cluster); err != nil {
		return err
	}
	want, _, _ := unstructured.NestedBool(config, "suspend")
	have, _, _ := unstructured.NestedBool(cluster.Object, "spec", "suspend")
	if want != have {
		if err := unstructured.SetNestedField(cluster.Object, want, "spec", "suspend"); err != nil {
			return err
		}
		if err := api.Update(ctx, cluster); err != nil {
			return err
		}
	}
	return rayCluster(ctx, cluster)
}

// inferenceService makes a Deployment, and deletes it while the service is stopped.
func inferenceService(ctx context.Context, o *unstructured.Unstructured) error {
	d := deployment(o, o.GetName()+"-predictor", 1)
	if o.GetAnnotations()["serving.kserve.io/stop"] == "true" {
		return client.IgnoreNotFound(api.Delete(ctx, d, client.PropagationPolicy(metav1.DeletePropagationBackground)))
	}
	return ignoreExists(api.Create(ctx, d))
}

// llmInferenceService makes a Deployment of as many replicas.
func llmInferenceService(ctx context.Context, o *unstructured.Unstructured) error {
	replicas, found, _ := unstructured.NestedInt64(o.Object, "spec", "replicas")
	if !found {
		replicas = 1
	}
	d := deployment(o, o.GetName()+"-kserve", int32(replicas))
	return scaled(ctx, d, func() bool {
		differs := *d.Spec.Replicas != int32(replicas)
		d.Spec.Replicas = new(int32(replicas))
		return differs
	})
}

// knativeService makes a Configuration, that a Revision, and that a Deployment.
func knativeService(ctx context.Context, o *unstructured.Unstructured) error {
	template, _, _ := unstructured.NestedMap(o.Object, "spec", "template")
	configuration := child(o, schema.GroupVersionKind{Group: "serving.knative.dev", Version: "v1", Kind: "Configuration"}, o.GetName())
	configuration.Object["spec"] = map[string]any{"template": template}
	revision := func() *unstructured.Unstructured {
		r := child(configuration, schema.GroupVersionKind{Group: "serving.knative.dev", Version: "v1", Kind: "Revision"}, o.GetName()+"-00001")
		r.Object["spec"] = template["spec"]
		return r
	}
	if err := made(ctx, configuration); err != nil {
		return err
	}
	r := revision()
	if err := made(ctx, r); err != nil {
		return err
	}
	return ignoreExists(api.Create(ctx, deployment(r, r.GetName()+"-deployment", 1)))
}

// rollout makes a ReplicaSet of as many replicas.
func rollout(ctx context.Context, o *unstructured.Unstructured) error {
	replicas, _, _ := unstructured.NestedInt64(o.Object, "spec", "replicas")
	set := &appsv1.ReplicaSet{ObjectMeta: childMeta(o, o.GetName()+"-1"), Spec: appsv1.ReplicaSetSpec{
		Replicas: new(int32(replicas)),
		Selector: &metav1.LabelSelector{MatchLabels: map[string]string{"app": o.GetName()}},
		Template: builder.Pod("", "").Label("app", o.GetName()).Template(),
	}}
	return scaled(ctx, set, func() bool {
		differs := *set.Spec.Replicas != int32(replicas)
		set.Spec.Replicas = new(int32(replicas))
		return differs
	})
}

// cronJob lets the time of its first run be past.
func cronJob(ctx context.Context, o *unstructured.Unstructured) error {
	if _, found, _ := unstructured.NestedString(o.Object, "status", "lastScheduleTime"); found {
		return nil
	}
	patch := fmt.Sprintf(`{"status": {"lastScheduleTime": %q}}`, time.Now().Add(-2*time.Minute).Format(time.RFC3339))
	return api.Status().Patch(ctx, o, client.RawPatch(types.MergePatchType, []byte(patch)))
}

// fleet makes a pod for each ship.
func fleet(ctx context.Context, o *unstructured.Unstructured) error {
	ships, _, _ := unstructured.NestedInt64(o.Object, "spec", "ships")
	return pods(ctx, o, int(ships))
}

// pods sees to it that an object owns just so many.
func pods(ctx context.Context, owner *unstructured.Unstructured, n int) error {
	list := &corev1.PodList{}
	if err := api.List(ctx, list, client.InNamespace(owner.GetNamespace()), client.MatchingLabels{"app": owner.GetName()}); err != nil {
		return err
	}
	var living []*corev1.Pod
	for i := range list.Items {
		if list.Items[i].DeletionTimestamp == nil {
			living = append(living, &list.Items[i])
		}
	}
	for ; len(living) > n; living = living[1:] {
		if err := client.IgnoreNotFound(api.Delete(ctx, living[0])); err != nil {
			return err
		}
	}
	for range n - len(living) {
		pod := builder.Pod(owner.GetNamespace(), owner.GetName()+"-").Label("app", owner.GetName()).Owner(controller(owner)).Build()
		if err := api.Create(ctx, pod); err != nil {
			return err
		}
	}
	return nil
}

func deployment(owner *unstructured.Unstructured, name string, replicas int32) *appsv1.Deployment {
	return &appsv1.Deployment{ObjectMeta: childMeta(owner, name), Spec: appsv1.DeploymentSpec{
		Replicas: &replicas,
		Selector: &metav1.LabelSelector{MatchLabels: map[string]string{"app": name}},
		Template: builder.Pod("", "").Label("app", name).Template(),
	}}
}

// scaled creates an object, or updates it if it differs.
func scaled(ctx context.Context, o client.Object, differs func() bool) error {
	err := api.Create(ctx, o.DeepCopyObject().(client.Object))
	if !apierrors.IsAlreadyExists(err) {
		return err
	}
	if err := api.Get(ctx, client.ObjectKeyFromObject(o), o); err != nil || !differs() {
		return err
	}
	return api.Update(ctx, o)
}

// made creates an object unless it exists, and reads it.
func made(ctx context.Context, o *unstructured.Unstructured) error {
	if err := api.Create(ctx, o.DeepCopy()); !apierrors.IsAlreadyExists(err) && err != nil {
		return err
	}
	return api.Get(ctx, client.ObjectKeyFromObject(o), o)
}

func ignoreExists(err error) error {
	if apierrors.IsAlreadyExists(err) {
		return nil
	}
	return err
}

func child(owner *unstructured.Unstructured, kind schema.GroupVersionKind, name string) *unstructured.Unstructured {
	o := &unstructured.Unstructured{Object: map[string]any{}}
	o.SetGroupVersionKind(kind)
	o.SetNamespace(owner.GetNamespace())
	o.SetName(name)
	o.SetOwnerReferences([]metav1.OwnerReference{controller(owner)})
	return o
}

func childMeta(owner *unstructured.Unstructured, name string) metav1.ObjectMeta {
	return metav1.ObjectMeta{Namespace: owner.GetNamespace(), Name: name, OwnerReferences: []metav1.OwnerReference{controller(owner)}}
}

func controller(owner *unstructured.Unstructured) metav1.OwnerReference {
	return metav1.OwnerReference{
		APIVersion: owner.GetAPIVersion(), Kind: owner.GetKind(), Name: owner.GetName(), UID: owner.GetUID(), Controller: new(true)}
}
