package v1alpha1

import (
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/runtime"
)

// Adjustment is what Interlock does to bring a safeguard about. Whether that was enough is for the verification method
// to say.
// +kubebuilder:validation:MinProperties=1
type Adjustment struct {
	// pod is what new pods of the models that need the Safeguard are given.
	// +optional
	Pod *PodAdjustment `json:"pod,omitempty"`

	// objects are what Interlock applies in the namespace of each model that needs the Safeguard, and keeps there for as long
	// as it does.
	// +optional
	// +listType=atomic
	// +kubebuilder:validation:MinItems=1
	// +kubebuilder:validation:MaxItems=8
	Objects []AdjustmentObject `json:"objects,omitempty"`
}

// AdjustmentObject is an object around a model, such as a NetworkPolicy. In its name, and in every text of its manifest,
// $(model.name) stands for the name of the ModelDeployment, $(model.digest) for the digest of its weights, $(namespace) for
// its namespace, $(policy.name) and $(safeguard.name) for those that ask for the object, and $$ for a dollar sign. Any other
// $(...) is refused.
type AdjustmentObject struct {
	// apiVersion of the object, such as networking.k8s.io/v1.
	// +required
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=317
	// +kubebuilder:validation:Pattern=`^([a-z0-9]([-a-z0-9.]*[a-z0-9])?/)?v[a-z0-9]+$`
	APIVersion string `json:"apiVersion,omitempty"`

	// kind of the object, a namespaced one. Kinds that run pods, give rights or change what the API server does are refused.
	// +required
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=63
	// +kubebuilder:validation:Pattern=`^[A-Z][A-Za-z0-9]*$`
	Kind string `json:"kind,omitempty"`

	// name of the object. It holds $(model.name), so that each model has its own.
	// +required
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=253
	// +kubebuilder:validation:XValidation:rule="self.contains('$(model.name)')",message="the name must hold $(model.name), so that each model of a namespace has an object of its own"
	Name string `json:"name,omitempty"`

	// manifest is the rest of the object as one would write it, 16 KiB at the most: its spec, say, and of its metadata only
	// labels and annotations. Nothing in it is left out or defaulted by Interlock.
	// +required
	// +kubebuilder:validation:Type=object
	// +kubebuilder:validation:MinProperties=1
	// +kubebuilder:pruning:PreserveUnknownFields
	Manifest *runtime.RawExtension `json:"manifest,omitempty"`
}

// PodAdjustment is a fragment of a pod. What of it a new pod lacks is added; what the pod has already stays as it is,
// also where it says something else: then the verification method judges it.
// +kubebuilder:validation:MinProperties=1
type PodAdjustment struct {
	// annotations that a pod gets unless it has them with any value, such as kubernetes.io/egress-bandwidth.
	// +optional
	// +kubebuilder:validation:MinProperties=1
	// +kubebuilder:validation:MaxProperties=16
	// +kubebuilder:validation:XValidation:rule="self.all(key, key.size() <= 253 && self[key].size() <= 1024)",message="the name of an annotation has 253 characters at the most, its value 1024"
	// +kubebuilder:validation:XValidation:rule="self.all(key, !key.startsWith('interlock.dev/'))",message="annotations of interlock.dev are Interlock's own"
	Annotations map[string]string `json:"annotations,omitempty"`

	// nodeSelector holds the labels of nodes that a pod asks for unless it asks for others by the same keys.
	// +optional
	// +kubebuilder:validation:MinProperties=1
	// +kubebuilder:validation:MaxProperties=16
	// +kubebuilder:validation:XValidation:rule="self.all(key, key.size() <= 317 && self[key].size() <= 63)",message="the name of a label has 317 characters at the most, its value 63"
	NodeSelector map[string]string `json:"nodeSelector,omitempty"`

	// tolerations that a pod gets beside its own.
	// +optional
	// +listType=atomic
	// +kubebuilder:validation:MinItems=1
	// +kubebuilder:validation:MaxItems=16
	Tolerations []corev1.Toleration `json:"tolerations,omitempty"`

	// runtimeClassName that a pod gets unless it names one.
	// +optional
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=253
	RuntimeClassName string `json:"runtimeClassName,omitempty"`

	// securityContext of the pod: each field that the pod does not set.
	// +optional
	SecurityContext *PodSecurity `json:"securityContext,omitempty"`

	// containerSecurityContext is for every container of the pod, init containers among them, but not for the sidecars
	// that adjustments add: each field that the container does not set.
	// +optional
	ContainerSecurityContext *ContainerSecurity `json:"containerSecurityContext,omitempty"`

	// sidecars are containers that start before all others and run as long as the pod does: init containers with
	// restartPolicy Always. A pod that has a container of that name keeps its own.
	// +optional
	// +listType=map
	// +listMapKey=name
	// +kubebuilder:validation:MinItems=1
	// +kubebuilder:validation:MaxItems=4
	Sidecars []Sidecar `json:"sidecars,omitempty"`

	// volumes that sidecars mount. A pod that has a volume of that name keeps its own.
	// +optional
	// +listType=map
	// +listMapKey=name
	// +kubebuilder:validation:MinItems=1
	// +kubebuilder:validation:MaxItems=8
	Volumes []SidecarVolume `json:"volumes,omitempty"`

	// readinessGates are conditions that must be True, besides its own, for the pod to be ready.
	// +optional
	// +listType=map
	// +listMapKey=conditionType
	// +kubebuilder:validation:MinItems=1
	// +kubebuilder:validation:MaxItems=4
	ReadinessGates []corev1.PodReadinessGate `json:"readinessGates,omitempty"`
}

// PodSecurity is the part of a pod's securityContext that an adjustment can set, and only to what is strict.
// +kubebuilder:validation:MinProperties=1
type PodSecurity struct {
	// runAsNonRoot lets no container run as root.
	// +optional
	// +kubebuilder:validation:Enum=true
	RunAsNonRoot *bool `json:"runAsNonRoot,omitempty"`

	// runAsUser is the user that containers run as unless they say otherwise.
	// +optional
	// +kubebuilder:validation:Minimum=1
	// +kubebuilder:validation:Maximum=2147483647
	RunAsUser *int64 `json:"runAsUser,omitempty"`

	// runAsGroup is the group that containers run as unless they say otherwise.
	// +optional
	// +kubebuilder:validation:Minimum=1
	// +kubebuilder:validation:Maximum=2147483647
	RunAsGroup *int64 `json:"runAsGroup,omitempty"`

	// seccompProfile limits the system calls of all containers.
	// +optional
	// +kubebuilder:validation:XValidation:rule="self.type in ['RuntimeDefault', 'Localhost']",message="an adjustment cannot take limits of system calls away"
	SeccompProfile *corev1.SeccompProfile `json:"seccompProfile,omitempty"`
}

// ContainerSecurity is the part of a container's securityContext that an adjustment can set, and only to what is strict.
// +kubebuilder:validation:MinProperties=1
type ContainerSecurity struct {
	// allowPrivilegeEscalation lets no process gain more rights than its parent. It is not set on a container that is
	// privileged or has CAP_SYS_ADMIN, which the API server would refuse.
	// +optional
	// +kubebuilder:validation:Enum=false
	AllowPrivilegeEscalation *bool `json:"allowPrivilegeEscalation,omitempty"`

	// readOnlyRootFilesystem lets the container write nowhere but in volumes.
	// +optional
	// +kubebuilder:validation:Enum=true
	ReadOnlyRootFilesystem *bool `json:"readOnlyRootFilesystem,omitempty"`

	// dropCapabilities are added to those that the container drops, unless it drops ALL.
	// +optional
	// +listType=set
	// +kubebuilder:validation:MinItems=1
	// +kubebuilder:validation:MaxItems=16
	// +kubebuilder:validation:items:MinLength=1
	// +kubebuilder:validation:items:MaxLength=63
	DropCapabilities []string `json:"dropCapabilities,omitempty"`
}

// Sidecar is a container, with the fields of one that a guard needs.
type Sidecar struct {
	// name of the container.
	// +required
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=63
	// +kubebuilder:validation:Pattern=`^[a-z0-9]([-a-z0-9]*[a-z0-9])?$`
	Name string `json:"name,omitempty"`

	// image of the container; name it by digest.
	// +required
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=500
	Image string `json:"image,omitempty"`

	// command that runs instead of the image's own.
	// +optional
	// +listType=atomic
	// +kubebuilder:validation:MaxItems=32
	// +kubebuilder:validation:items:MaxLength=1024
	Command []string `json:"command,omitempty"`

	// args of the command.
	// +optional
	// +listType=atomic
	// +kubebuilder:validation:MaxItems=64
	// +kubebuilder:validation:items:MaxLength=1024
	Args []string `json:"args,omitempty"`

	// env is the container's environment.
	// +optional
	// +listType=map
	// +listMapKey=name
	// +kubebuilder:validation:MaxItems=32
	Env []corev1.EnvVar `json:"env,omitempty"`

	// ports that the container listens on.
	// +optional
	// +listType=atomic
	// +kubebuilder:validation:MaxItems=16
	Ports []corev1.ContainerPort `json:"ports,omitempty"`

	// resources that the container needs.
	// +optional
	Resources corev1.ResourceRequirements `json:"resources,omitzero"`

	// volumeMounts of the container.
	// +optional
	// +listType=map
	// +listMapKey=mountPath
	// +kubebuilder:validation:MaxItems=16
	VolumeMounts []corev1.VolumeMount `json:"volumeMounts,omitempty"`

	// startupProbe that must succeed before the next container starts.
	// +optional
	StartupProbe *corev1.Probe `json:"startupProbe,omitempty"`

	// readinessProbe that must succeed for the pod to be ready.
	// +optional
	ReadinessProbe *corev1.Probe `json:"readinessProbe,omitempty"`

	// securityContext of the container.
	// +optional
	SecurityContext *corev1.SecurityContext `json:"securityContext,omitempty"`
}

// SidecarVolume is a volume of a kind that a sidecar may be given: none that holds files of the host.
// +kubebuilder:validation:XValidation:rule="(has(self.emptyDir) ? 1 : 0) + (has(self.projected) ? 1 : 0) + (has(self.configMap) ? 1 : 0) == 1",message="a volume is exactly one of emptyDir, projected and configMap"
type SidecarVolume struct {
	// name of the volume.
	// +required
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=63
	// +kubebuilder:validation:Pattern=`^[a-z0-9]([-a-z0-9]*[a-z0-9])?$`
	Name string `json:"name,omitempty"`

	// emptyDir is room that goes with the pod.
	// +optional
	EmptyDir *corev1.EmptyDirVolumeSource `json:"emptyDir,omitempty"`

	// projected is made of service account tokens, Secrets, ConfigMaps and the pod's own fields.
	// +optional
	Projected *corev1.ProjectedVolumeSource `json:"projected,omitempty"`

	// configMap of the pod's namespace.
	// +optional
	ConfigMap *corev1.ConfigMapVolumeSource `json:"configMap,omitempty"`
}
