package builder

import (
	"fmt"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/resource"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/interlock-dev/interlock/api/v1alpha1"
)

// GPU is the extended resource that nodes of tests offer.
const GPU corev1.ResourceName = "nvidia.com/gpu"

// PodBuilder makes a Pod, or the template of one.
type PodBuilder struct{ pod corev1.Pod }

// Pod begins a pod with one container, "server", of a pinned image, that names no model. A name that ends in "-" is
// completed by the API server.
func Pod(namespace, name string) *PodBuilder {
	b := &PodBuilder{corev1.Pod{
		ObjectMeta: named(name),
		Spec: corev1.PodSpec{
			Containers:                    []corev1.Container{{Name: "server", Image: PinnedImage}},
			TerminationGracePeriodSeconds: new(int64(1)),
			AutomountServiceAccountToken:  new(false),
		},
	}}
	b.pod.Namespace = namespace
	return b
}

// Model names the model that the pod serves.
func (b *PodBuilder) Model(model string) *PodBuilder { return b.Label(v1alpha1.ModelLabel, model) }

// Label sets a label.
func (b *PodBuilder) Label(key, value string) *PodBuilder {
	setLabel(&b.pod, key, value)
	return b
}

// Annotation sets an annotation.
func (b *PodBuilder) Annotation(key, value string) *PodBuilder {
	if b.pod.Annotations == nil {
		b.pod.Annotations = map[string]string{}
	}
	b.pod.Annotations[key] = value
	return b
}

// Owner adds an owner that is said to control the pod.
func (b *PodBuilder) Owner(owner metav1.OwnerReference) *PodBuilder {
	b.pod.OwnerReferences = append(b.pod.OwnerReferences, owner)
	return b
}

// Finalizer adds a finalizer.
func (b *PodBuilder) Finalizer(finalizer string) *PodBuilder {
	b.pod.Finalizers = append(b.pod.Finalizers, finalizer)
	return b
}

// Image sets the image of the first container.
func (b *PodBuilder) Image(image string) *PodBuilder {
	b.pod.Spec.Containers[0].Image = image
	return b
}

// Env sets a variable of the first container's environment.
func (b *PodBuilder) Env(name, value string) *PodBuilder {
	c := &b.pod.Spec.Containers[0]
	c.Env = append(c.Env, corev1.EnvVar{Name: name, Value: value})
	return b
}

// Container adds a container.
func (b *PodBuilder) Container(name, image string) *PodBuilder {
	b.pod.Spec.Containers = append(b.pod.Spec.Containers, corev1.Container{Name: name, Image: image})
	return b
}

// InitContainer adds an init container.
func (b *PodBuilder) InitContainer(name, image string) *PodBuilder {
	b.pod.Spec.InitContainers = append(b.pod.Spec.InitContainers, corev1.Container{Name: name, Image: image})
	return b
}

// Sidecar adds an init container that keeps running.
func (b *PodBuilder) Sidecar(name, image string) *PodBuilder {
	b.pod.Spec.InitContainers = append(b.pod.Spec.InitContainers, corev1.Container{
		Name: name, Image: image, RestartPolicy: new(corev1.ContainerRestartPolicyAlways)})
	return b
}

// Volume adds a volume.
func (b *PodBuilder) Volume(name string, source corev1.VolumeSource) *PodBuilder {
	b.pod.Spec.Volumes = append(b.pod.Spec.Volumes, corev1.Volume{Name: name, VolumeSource: source})
	return b
}

// GPUs asks for accelerators in the first container.
func (b *PodBuilder) GPUs(n int) *PodBuilder {
	b.pod.Spec.Containers[0].Resources = gpus(n)
	return b
}

// GPUsInInit asks for accelerators in the init containers there are.
func (b *PodBuilder) GPUsInInit(n int) *PodBuilder {
	for i := range b.pod.Spec.InitContainers {
		b.pod.Spec.InitContainers[i].Resources = gpus(n)
	}
	return b
}

func gpus(n int) corev1.ResourceRequirements {
	return corev1.ResourceRequirements{Limits: corev1.ResourceList{GPU: resource.MustParse(fmt.Sprint(n))}}
}

// Gate adds a scheduling gate.
func (b *PodBuilder) Gate(name string) *PodBuilder {
	b.pod.Spec.SchedulingGates = append(b.pod.Spec.SchedulingGates, corev1.PodSchedulingGate{Name: name})
	return b
}

// Node sets the node that the pod runs on, past the scheduler.
func (b *PodBuilder) Node(name string) *PodBuilder {
	b.pod.Spec.NodeName = name
	return b
}

// Scheduler sets which scheduler places the pod.
func (b *PodBuilder) Scheduler(name string) *PodBuilder {
	b.pod.Spec.SchedulerName = name
	return b
}

// HostPID lets the pod see the processes of its node.
func (b *PodBuilder) HostPID() *PodBuilder {
	b.pod.Spec.HostPID = true
	return b
}

// HostNetwork puts the pod on the network of its node.
func (b *PodBuilder) HostNetwork() *PodBuilder {
	b.pod.Spec.HostNetwork = true
	return b
}

// RestartPolicy sets when containers are started again.
func (b *PodBuilder) RestartPolicy(p corev1.RestartPolicy) *PodBuilder {
	b.pod.Spec.RestartPolicy = p
	return b
}

// With changes the pod in a way that has no method.
func (b *PodBuilder) With(change func(*corev1.Pod)) *PodBuilder {
	change(&b.pod)
	return b
}

// Build gives the pod.
func (b *PodBuilder) Build() *corev1.Pod { return b.pod.DeepCopy() }

// Template gives the same as the template of a workload.
func (b *PodBuilder) Template() corev1.PodTemplateSpec {
	pod := b.Build()
	return corev1.PodTemplateSpec{
		ObjectMeta: metav1.ObjectMeta{Labels: pod.Labels, Annotations: pod.Annotations, Finalizers: pod.Finalizers},
		Spec:       pod.Spec,
	}
}
