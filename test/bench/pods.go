package main

import (
	"strings"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/resource"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/util/intstr"

	"github.com/interlock-dev/interlock/api/v1alpha1"
)

// What all models here are.
const digest, compute = "sha256:0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef", "1e25"

// dedicatedLabel marks nodes that serve models and nothing else.
const dedicatedLabel, dedicated = "interlock.dev.node-restriction.kubernetes.io/dedicated", "weights"

// noScheduler is the name of no scheduler, so that whoever names it stays Pending.
const noScheduler = "nobody"

// newPod gives a pod that serves a model and meets every rule of the policies. model may be "".
func newPod(namespace, name, model string) *corev1.Pod {
	pod := &corev1.Pod{
		TypeMeta: metav1.TypeMeta{APIVersion: "v1", Kind: "Pod"},
		ObjectMeta: metav1.ObjectMeta{
			Namespace: namespace, Name: name,
			Labels: map[string]string{"app.kubernetes.io/name": "inference", "app.kubernetes.io/component": "server", "pod-template-hash": "7c9f6d5b8d"},
		},
		Spec: corev1.PodSpec{
			AutomountServiceAccountToken: new(false),
			NodeSelector:                 map[string]string{dedicatedLabel: dedicated},
			Tolerations: []corev1.Toleration{{
				Key: dedicatedLabel, Operator: corev1.TolerationOpEqual, Value: dedicated, Effect: corev1.TaintEffectNoSchedule}},
			SecurityContext: &corev1.PodSecurityContext{
				RunAsNonRoot: new(true), RunAsUser: new(int64(65532)), FSGroup: new(int64(65532)),
				SeccompProfile: &corev1.SeccompProfile{Type: corev1.SeccompProfileTypeRuntimeDefault}},
			InitContainers: []corev1.Container{container("fetch-weights"), classifier("input-classifier"), classifier("output-classifier")},
			Containers:     []corev1.Container{container("server")},
			Volumes: []corev1.Volume{
				{Name: "weights", VolumeSource: corev1.VolumeSource{EmptyDir: &corev1.EmptyDirVolumeSource{}}},
				{Name: "scratch", VolumeSource: corev1.VolumeSource{EmptyDir: &corev1.EmptyDirVolumeSource{}}},
			},
		},
	}
	if model != "" {
		pod.Labels[v1alpha1.ModelLabel] = model
	}
	return pod
}

func container(name string) corev1.Container {
	small := corev1.ResourceList{corev1.ResourceCPU: resource.MustParse("1m"), corev1.ResourceMemory: resource.MustParse("1Mi")}
	return corev1.Container{
		Name: name, Image: "registry.example.com/serving/" + name + "@" + digest,
		Args:      []string{"--host=127.0.0.1", "--port=8000", "--model=/weights", "--max-model-len=32768"},
		Env:       []corev1.EnvVar{{Name: "POD_NAME", ValueFrom: &corev1.EnvVarSource{FieldRef: &corev1.ObjectFieldSelector{FieldPath: "metadata.name"}}}},
		Resources: corev1.ResourceRequirements{Requests: small, Limits: small},
		SecurityContext: &corev1.SecurityContext{
			AllowPrivilegeEscalation: new(false), ReadOnlyRootFilesystem: new(true), Privileged: new(false), RunAsNonRoot: new(true),
			Capabilities: &corev1.Capabilities{Drop: []corev1.Capability{"ALL"}}},
		VolumeMounts: []corev1.VolumeMount{{Name: "weights", MountPath: "/weights", ReadOnly: true}, {Name: "scratch", MountPath: "/tmp"}},
	}
}

// classifier is a native sidecar that takes the traffic.
func classifier(name string) corev1.Container {
	c := container(name)
	c.RestartPolicy = new(corev1.ContainerRestartPolicyAlways)
	c.ReadinessProbe = &corev1.Probe{ProbeHandler: corev1.ProbeHandler{HTTPGet: &corev1.HTTPGetAction{Path: "/ready", Port: intstr.FromInt32(8080)}}}
	return c
}

// pad brings the JSON of a pod to a size with an annotation.
func pad(pod *corev1.Pod, have, want int) {
	const frame = len(`"annotations":{"example.com/note":""},`)
	if missing := want - have - frame; missing > 0 {
		pod.Annotations = map[string]string{"example.com/note": strings.Repeat("x", missing)}
	}
}

func gated(pod *corev1.Pod) bool {
	for _, g := range pod.Spec.SchedulingGates {
		if g.Name == v1alpha1.ClearanceGate {
			return true
		}
	}
	return false
}
