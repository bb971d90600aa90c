package v1alpha1

import "k8s.io/apimachinery/pkg/util/intstr"

// Fallback says which model serves while another is not cleared, and how clients get to it.
// +kubebuilder:validation:XValidation:rule="has(self.services) || has(self.httpRoutes)",message="name in services or httpRoutes what clients go through"
type Fallback struct {
	// modelDeployment is the name of the ModelDeployment that serves meanwhile. It is of the same namespace, required at
	// levels not above those of this one, and names no fallback itself. Clients are turned to it only while it is cleared and
	// a pod of it is ready.
	// +required
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=63
	ModelDeployment string `json:"modelDeployment,omitempty"`

	// services by which clients reach the model.
	// +optional
	// +listType=map
	// +listMapKey=name
	// +kubebuilder:validation:MinItems=1
	// +kubebuilder:validation:MaxItems=16
	Services []FallbackService `json:"services,omitempty"`

	// httpRoutes of the Gateway API by which clients reach the model.
	// +optional
	// +listType=map
	// +listMapKey=name
	// +kubebuilder:validation:MinItems=1
	// +kubebuilder:validation:MaxItems=16
	HTTPRoutes []FallbackRoute `json:"httpRoutes,omitempty"`
}

// FallbackMode says whose a Service is.
// +kubebuilder:validation:Enum=Turn;Own
type FallbackMode string

const (
	// FallbackTurn: it is somebody else's. Its selector is changed while the model falls back, and put back.
	FallbackTurn FallbackMode = "Turn"
	// FallbackOwn: Interlock makes it, and nothing that others wrote is touched.
	FallbackOwn FallbackMode = "Own"
)

// FallbackService is a Service that picks pods of the model, or of its fallback.
// +kubebuilder:validation:XValidation:rule="(self.mode == 'Own') == has(self.ports)",message="ports are needed in mode Own, and are those of the Service itself in mode Turn"
// +kubebuilder:validation:XValidation:rule="self.mode == 'Own' || !has(self.selector)",message="the selector is that of the Service itself in mode Turn"
type FallbackService struct {
	// name of the Service.
	// +required
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=63
	// +kubebuilder:validation:Pattern=`^[a-z]([-a-z0-9]*[a-z0-9])?$`
	Name string `json:"name,omitempty"`

	// mode says whose the Service is. Default: Turn, it is somebody else's, and names this model in the label
	// interlock.dev/model, on itself or in its selector.
	// +optional
	// +kubebuilder:default=Turn
	Mode FallbackMode `json:"mode,omitempty"`

	// selector holds the labels of the pods of this model that the Service picks, besides interlock.dev/model; only in mode
	// Own. Default: all pods of the model.
	// +optional
	// +kubebuilder:validation:MinProperties=1
	// +kubebuilder:validation:MaxProperties=8
	// +kubebuilder:validation:XValidation:rule="self.all(key, key.size() <= 317 && self[key].size() <= 63)",message="the name of a label has 317 characters at the most, its value 63"
	// +kubebuilder:validation:XValidation:rule="!('interlock.dev/model' in self)",message="interlock.dev/model is part of it in any case"
	Selector map[string]string `json:"selector,omitempty"`

	// fallbackSelector holds the labels of the pods of the fallback that the Service picks, besides interlock.dev/model.
	// Default: all pods of the fallback.
	// +optional
	// +kubebuilder:validation:MinProperties=1
	// +kubebuilder:validation:MaxProperties=8
	// +kubebuilder:validation:XValidation:rule="self.all(key, key.size() <= 317 && self[key].size() <= 63)",message="the name of a label has 317 characters at the most, its value 63"
	// +kubebuilder:validation:XValidation:rule="!('interlock.dev/model' in self)",message="interlock.dev/model is part of it in any case"
	FallbackSelector map[string]string `json:"fallbackSelector,omitempty"`

	// ports of the Service; only in mode Own.
	// +optional
	// +listType=map
	// +listMapKey=name
	// +kubebuilder:validation:MinItems=1
	// +kubebuilder:validation:MaxItems=16
	Ports []FallbackPort `json:"ports,omitempty"`
}

// FallbackPort is a port of a Service that Interlock makes.
type FallbackPort struct {
	// name of the port.
	// +required
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=63
	// +kubebuilder:validation:Pattern=`^[a-z0-9]([-a-z0-9]*[a-z0-9])?$`
	Name string `json:"name,omitempty"`

	// port that clients use.
	// +required
	// +kubebuilder:validation:Minimum=1
	// +kubebuilder:validation:Maximum=65535
	Port int32 `json:"port,omitempty"`

	// targetPort of the pods: a number, or the name that the pods of both models give to the one they listen on. Default:
	// the same as port.
	// +optional
	TargetPort *intstr.IntOrString `json:"targetPort,omitempty"`

	// appProtocol that is spoken, such as "kubernetes.io/h2c". Default: none is said.
	// +optional
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=253
	AppProtocol string `json:"appProtocol,omitempty"`
}

// FallbackRoute is an HTTPRoute in which the Services of the model are replaced by those of its fallback. It names this model
// in the label interlock.dev/model.
type FallbackRoute struct {
	// name of the HTTPRoute.
	// +required
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=253
	Name string `json:"name,omitempty"`

	// backends say which Service of the namespace takes the place of which in backendRefs.
	// +required
	// +listType=map
	// +listMapKey=service
	// +kubebuilder:validation:MinItems=1
	// +kubebuilder:validation:MaxItems=16
	Backends []FallbackBackend `json:"backends,omitempty"`
}

// FallbackBackend is a Service and the one that takes its place. The port stays what it is.
// +kubebuilder:validation:XValidation:rule="self.service != self.fallbackService",message="service and fallbackService must differ"
type FallbackBackend struct {
	// service of the model.
	// +required
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=63
	Service string `json:"service,omitempty"`

	// fallbackService is the Service of the fallback: its selector holds interlock.dev/model with the name of the fallback,
	// so that it picks the pods of no other model.
	// +required
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=63
	FallbackService string `json:"fallbackService,omitempty"`
}

// ConditionFallenBack is True while all that a ModelDeployment names in spec.fallback leads to its fallback.
const ConditionFallenBack = "FallenBack"

// Reasons of the FallenBack condition of a ModelDeployment.
const (
	// ReasonFallenBack: clients are with the fallback.
	ReasonFallenBack = "FallenBack"
	// ReasonAwaitingPods: clients are with the fallback until a pod of the model, which is cleared, is ready.
	ReasonAwaitingPods = "AwaitingPods"
	// ReasonNotNeeded: clients are with the model.
	ReasonNotNeeded = "NotNeeded"
	// ReasonFallbackNotFound: the fallback does not exist in this namespace.
	ReasonFallbackNotFound = "FallbackNotFound"
	// ReasonFallbackChained: the fallback names a fallback itself, or is the model.
	ReasonFallbackChained = "FallbackChained"
	// ReasonFallbackNotCleared: the fallback is not cleared.
	ReasonFallbackNotCleared = "FallbackNotCleared"
	// ReasonFallbackAbove: more is asked of the fallback than of the model, or that cannot be told.
	ReasonFallbackAbove = "FallbackAbove"
	// ReasonFallbackNotReady: no pod of the fallback is ready.
	ReasonFallbackNotReady = "FallbackNotReady"
	// ReasonNotTurned: something that spec.fallback names cannot be turned, and the message says what and why.
	ReasonNotTurned = "NotTurned"
	// ReasonContested: something else, such as a GitOps tool, keeps undoing it.
	ReasonContested = "Contested"
)
