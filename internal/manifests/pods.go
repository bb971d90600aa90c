package manifests

import (
	"encoding/json"
	"fmt"
	"slices"
	"strings"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/types"

	"github.com/interlock-dev/interlock/internal/workload"
)

// Pod is one that a controller would make, as it stands before any admission policy has seen it.
type Pod struct {
	*corev1.Pod
	// Of is the workload that makes it, or the Pod itself.
	Of Object
	// Template is the path of its template in that; empty for a Pod.
	Template []string
}

// At gives the position of a field of the pod in its template.
func (p Pod) At(path ...string) Position {
	return p.Of.At(append(slices.Clone(p.Template), path...)...)
}

// Pods gives the pods that the controller of a workload would make, one for each template: its replicas are alike. The error says why
// a template makes none.
func Pods(o Object, kind *workload.Kind) (pods []Pod, err error) {
	for i, template := range kind.TemplatesIn(o.Object) {
		pod := &corev1.Pod{}
		content := map[string]any{"metadata": template.Content["metadata"], "spec": template.Content["spec"]}
		if content["metadata"] == nil {
			delete(content, "metadata")
		}
		if err := runtime.DefaultUnstructuredConverter.FromUnstructuredWithValidation(content, pod, true); err != nil {
			return nil, fmt.Errorf("%s: %w", strings.Join(template.Path, "."), withoutPrefix(err))
		}
		if len(pod.Spec.Containers) == 0 {
			return nil, fmt.Errorf("%s has no containers", strings.Join(append(template.Path, "spec"), "."))
		}
		identify(pod, o, i)
		claims(pod, o)
		SetDefaults(pod)
		pods = append(pods, Pod{pod, o, template.Path})
	}
	return pods, nil
}

// identify gives a pod a name of its own, and an identity that no pod of a cluster has.
func identify(pod *corev1.Pod, o Object, template int) {
	labels, annotations, name := pod.Labels, pod.Annotations, pod.Name
	pod.ObjectMeta = metav1.ObjectMeta{Namespace: o.GetNamespace(), Labels: labels, Annotations: annotations}
	if o.GetKind() != "Pod" || name == "" {
		name = fmt.Sprintf("%s-%d", o.GetName(), template)
	}
	pod.Name = name
	pod.UID = types.UID(fmt.Sprintf("%s/%s/%s", o.GetKind(), o.GetNamespace(), name))
	pod.Status.Phase = corev1.PodPending
}

// claims gives a pod of a StatefulSet the volumes of its claims, as its controller does.
func claims(pod *corev1.Pod, o Object) {
	if o.GetKind() != "StatefulSet" {
		return
	}
	var set struct {
		Spec struct {
			VolumeClaimTemplates []corev1.PersistentVolumeClaim `json:"volumeClaimTemplates"`
		} `json:"spec"`
	}
	raw, err := json.Marshal(o.Object)
	if err != nil || json.Unmarshal(raw, &set) != nil {
		return
	}
	for _, claim := range set.Spec.VolumeClaimTemplates {
		pod.Spec.Volumes = slices.DeleteFunc(pod.Spec.Volumes, func(v corev1.Volume) bool { return v.Name == claim.Name })
		pod.Spec.Volumes = append(pod.Spec.Volumes, corev1.Volume{Name: claim.Name, VolumeSource: corev1.VolumeSource{
			PersistentVolumeClaim: &corev1.PersistentVolumeClaimVolumeSource{ClaimName: fmt.Sprintf("%s-%s-0", claim.Name, o.GetName())}}})
	}
}
