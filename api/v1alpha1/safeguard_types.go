package v1alpha1

import (
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

// SafeguardSpec is one control: what it is, and the one method by which it is verified.
// +kubebuilder:validation:XValidation:rule="!has(self.connect) || has(self.podRule)",message="connect goes together with podRule: the API server enforces both"
// +kubebuilder:validation:XValidation:rule="(has(self.podRule) ? 1 : 0) + (has(self.resource) ? 1 : 0) + (has(self.evidence) ? 1 : 0) == 1",message="a Safeguard has exactly one verification method: podRule, resource or evidence"
type SafeguardSpec struct {
	// title says what is safeguarded, in a few words.
	// +required
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=120
	Title string `json:"title,omitempty"`

	// control is the identifier in a control catalogue, such as "S-09".
	// +optional
	// +kubebuilder:validation:MaxLength=40
	Control string `json:"control,omitempty"`

	// description says what the safeguard is for, and what it does not show.
	// +optional
	// +kubebuilder:validation:MaxLength=2000
	Description string `json:"description,omitempty"`

	// sources are the texts that ask for the control.
	// +required
	// +listType=atomic
	// +kubebuilder:validation:MinItems=1
	// +kubebuilder:validation:MaxItems=16
	Sources []Source `json:"sources,omitempty"`

	// remedy tells a person in one line what to do when the safeguard is missing.
	// +required
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=300
	Remedy string `json:"remedy,omitempty"`

	// podRule verifies by CEL on the final pod: the API server refuses pods that break it, the controller finds those
	// that ran before.
	// +optional
	PodRule *PodRule `json:"podRule,omitempty"`

	// resource verifies by what the controller sees of the objects around the pods.
	// +optional
	Resource *ResourceRule `json:"resource,omitempty"`

	// evidence verifies by a signed in-toto statement in an Attestation.
	// +optional
	Evidence *EvidenceRule `json:"evidence,omitempty"`

	// connect refuses requests that reach into running pods, in each namespace in which a model needs the Safeguard. Absent:
	// none is refused.
	// +optional
	Connect *ConnectRule `json:"connect,omitempty"`

	// adjust is what Interlock does to bring the safeguard about, which the verification method then judges. Absent:
	// nothing.
	// +optional
	Adjust *Adjustment `json:"adjust,omitempty"`
}

// EvidenceRule says which signed statement shows a safeguard that no state of a cluster can show.
// +kubebuilder:validation:XValidation:rule="!has(self.threshold) || self.threshold <= size(self.signers)",message="threshold must not be greater than the number of signers: nothing could meet it"
type EvidenceRule struct {
	// predicateType of the in-toto statement, a URI. No other counts.
	// +required
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=300
	PredicateType string `json:"predicateType,omitempty"`

	// issuer says for the reader who makes the statement, such as "red team independent of the developers".
	// +required
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=200
	Issuer string `json:"issuer,omitempty"`

	// signers that may sign it, by their names in trust.signers of the policy that asks for the safeguard. A name that the
	// policy does not have is nobody.
	// +required
	// +listType=set
	// +kubebuilder:validation:MinItems=1
	// +kubebuilder:validation:MaxItems=16
	// +kubebuilder:validation:items:MinLength=1
	// +kubebuilder:validation:items:MaxLength=63
	// +kubebuilder:validation:items:Pattern=`^[a-z0-9]([a-z0-9-]*[a-z0-9])?$`
	Signers []string `json:"signers,omitempty"`

	// threshold is how many of them must have signed the same statement, each with a key of its own. Default: 1.
	// +optional
	// +kubebuilder:default=1
	// +kubebuilder:validation:Minimum=1
	// +kubebuilder:validation:Maximum=16
	Threshold int32 `json:"threshold,omitempty"`

	// maxAgeDays is how old the statement may be, in days of 24 hours. One that says no time does not count then. Absent: as
	// old as the model.
	// +optional
	// +kubebuilder:validation:Minimum=1
	// +kubebuilder:validation:Maximum=3650
	MaxAgeDays *int32 `json:"maxAgeDays,omitempty"`

	// binding says what the statement must be about. Default: Model.
	// +optional
	// +kubebuilder:default=Model
	Binding EvidenceBinding `json:"binding,omitempty"`

	// condition is CEL that yields true when the statement shows the safeguard. The variable `predicate` is the predicate
	// of the statement; there are no other variables. A condition that cannot be evaluated is not met. Absent: a statement
	// that does not say of itself that something failed is enough.
	// +optional
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=4096
	Condition string `json:"condition,omitempty"`
}

// EvidenceBinding is what a statement must be about.
// +kubebuilder:validation:Enum=Model;Environment
type EvidenceBinding string

const (
	// BindModel: a subject of the statement has the digest of the model's weights.
	BindModel EvidenceBinding = "Model"
	// BindEnvironment: a subject of the statement is the namespace of the model in this cluster, or the whole cluster.
	BindEnvironment EvidenceBinding = "Environment"
)

// PodRule is CEL over the pod.
type PodRule struct {
	// validations that a pod must all meet.
	// +required
	// +listType=atomic
	// +kubebuilder:validation:MinItems=1
	// +kubebuilder:validation:MaxItems=8
	Validations []PodValidation `json:"validations,omitempty"`
}

// ConnectRule refuses requests that reach into running pods, whatever RBAC allows. Such a request names a pod and shows the API
// server none of its labels. So it is refused for all pods of a namespace in which a model needs the Safeguard, also for those
// of other models and of none.
type ConnectRule struct {
	// refuse are the kinds of request that are refused.
	// +required
	// +listType=set
	// +kubebuilder:validation:MinItems=1
	// +kubebuilder:validation:MaxItems=4
	Refuse []ConnectKind `json:"refuse,omitempty"`

	// except are those who may connect all the same, such as who is on call for incidents. Absent: nobody, not even an
	// administrator. An exception does not count for whoever impersonates them.
	// +optional
	// +listType=atomic
	// +kubebuilder:validation:MaxItems=16
	Except []ConnectException `json:"except,omitempty"`
}

// ConnectKind is a kind of request that reaches into a running pod.
// +kubebuilder:validation:Enum=Exec;Attach;PortForward;Proxy
type ConnectKind string

const (
	// ConnectExec runs a command in a container: `kubectl exec` and `kubectl cp`.
	ConnectExec ConnectKind = "Exec"
	// ConnectAttach attaches to what runs in a container.
	ConnectAttach ConnectKind = "Attach"
	// ConnectPortForward opens a connection to a port of the pod, whichever policies stand around it.
	ConnectPortForward ConnectKind = "PortForward"
	// ConnectProxy lets the API server send requests to a port of the pod, or to a Service of the namespace.
	ConnectProxy ConnectKind = "Proxy"
)

// ConnectException is a user or a group.
// +kubebuilder:validation:XValidation:rule="has(self.user) != has(self.group)",message="an exception has exactly one of user and group"
type ConnectException struct {
	// user is the name by which the API server knows a user.
	// +optional
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=253
	User string `json:"user,omitempty"`

	// group is the name of a group.
	// +optional
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=253
	Group string `json:"group,omitempty"`

	// reason says why, for the reader.
	// +required
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=300
	Reason string `json:"reason,omitempty"`
}

// AllContainers is the CEL over a Pod, `object`, that the variable `containers` of pod rules stands for.
// The lists are made dynamic, since those of ephemeral containers are of another type than the others.
const AllContainers = "dyn(object.spec.containers) + dyn(object.spec.?initContainers.orValue([])) + " +
	"dyn(object.spec.?ephemeralContainers.orValue([]))"

// Commands is the CEL that the variable `commands` of pod rules stands for, once `containers` is there. Kubelets put values
// for $(NAME), servers take '_' for '-' in the name of an option, and some read values in any case: so it is resolved, in lower
// case and with '-' for '_'. What has no $(NAME) and no line break is made in one go, which is cheaper.
const Commands = "[containers.map(c, " + words + `)].map(all, [(' ' + all.join(' \n ') + ' ').lowerAscii().replace('_', '-')].map(text,
  !text.contains('$(') && text.split('\n').size() == all.size() ? text.split('\n') :
  containers.map(c, [` + words + `].map(words, words.contains('$(') ?
    [words.replace('$$(', '$?').split('$(', 2)].map(halves, halves.size() < 2 ? halves[0] : halves[0] + halves[1].split('$(').map(reference,
      [reference.split(')', 2)].map(name, [c.?env.orValue([]).filter(e, e.name == name[0])].map(set,
        (set.size() == 0 ? (c.?envFrom.orValue([]).size() > 0 ? '$?' : '$(' + name[0] + ')') :
         set.size() > 1 || set[0].?value.orValue('').contains('$(') ? '$?' :
         !has(set[0].valueFrom) ? set[0].?value.orValue('') :
         set[0].valueFrom.?fieldRef.fieldPath.orValue('').startsWith('status.podIP') ? '$ip' :
         has(set[0].valueFrom.resourceFieldRef) || has(set[0].valueFrom.fieldRef) &&
           !set[0].valueFrom.?fieldRef.fieldPath.orValue('').startsWith('metadata.annotations') ? '$field' : '$?') +
        (name.size() > 1 ? name[1] : ''))[0])[0]).join(''))[0] : words).map(words, (' ' + words + ' ').lowerAscii().replace('_', '-'))[0]))[0])[0]`

// words is CEL for the command and the arguments of a container, `c`, in one text.
const words = "(has(c.command) ? c.command + c.?args.orValue([]) : c.?args.orValue([])).join(' ')"

// PodValidation is one CEL expression, as in a ValidatingAdmissionPolicy.
type PodValidation struct {
	// expression is CEL that yields true when the pod is as it should be. The variable `object` is the Pod, `containers` the
	// list of all its containers (ordinary ones, init containers with the sidecars, ephemeral ones), `commands` a list of
	// texts, and `weights` the list of sources that its ModelDeployment declares of its weights, as text; there are no
	// other variables. commands[i] is what containers[i] is started with, its command and arguments with a blank around each,
	// as servers understand them: in lower case, with '-' for '_', and with values for $(NAME). What stands there instead of
	// a value is '$ip' for an address of the pod, '$field' for another field of it, and '$?' for what nobody can see.
	// +required
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=4096
	Expression string `json:"expression,omitempty"`

	// message says what is wrong when the expression yields false, in one line.
	// +required
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=300
	// +kubebuilder:validation:Pattern=`^[^\n\r]+$`
	Message string `json:"message,omitempty"`
}

// ResourceRule says what the controller looks at.
// +kubebuilder:validation:XValidation:rule="has(self.egress) != has(self.weights)",message="resource has exactly one of egress and weights"
type ResourceRule struct {
	// egress judges the union of all NetworkPolicies that select a pod.
	// +optional
	Egress *EgressRule `json:"egress,omitempty"`

	// weights judges what the owners of a pod name weights by, such as storageUri of an InferenceService.
	// +optional
	Weights *WeightsRule `json:"weights,omitempty"`
}

// WeightsRule asks that the workloads which own a pod, each as its kind does, name no weights but those that the
// ModelDeployment declares in spec.model.sources. They are compared byte by byte. It takes no parameters.
type WeightsRule struct{}

// EgressRule asks that a pod can send traffic only where it is listed. The NetworkPolicies that select a pod add up, so
// their union is judged: at least one must govern egress and select the pod by nothing but the model label (or all pods
// of the namespace), since other labels can be edited on a living pod; no rule may allow traffic to everywhere; peers
// outside the cluster must lie within allowedCIDRs. A pod on the host's network fails, since no policy applies to it.
type EgressRule struct {
	// allowedCIDRs are the address ranges, IPv4 or IPv6, that an ipBlock may name. Absent: none, so only peers inside
	// the cluster.
	// +optional
	// +kubebuilder:validation:XValidation:rule="self.all(c, !c.endsWith('/0'))",message="an allow-list cannot hold every address: a prefix of /0 is refused"
	// +listType=set
	// +kubebuilder:validation:MaxItems=64
	// +kubebuilder:validation:items:MinLength=1
	// +kubebuilder:validation:items:MaxLength=50
	AllowedCIDRs []string `json:"allowedCIDRs,omitempty"`
}

// SafeguardStatus is what the operator makes of the Safeguard.
type SafeguardStatus struct {
	// observedGeneration is the generation of the spec that the rest of the status is about.
	// +optional
	// +kubebuilder:validation:Minimum=0
	ObservedGeneration int64 `json:"observedGeneration,omitempty"`

	// conditions hold Ready, False with a reason when the verification method cannot be used.
	// +optional
	// +listType=map
	// +listMapKey=type
	// +kubebuilder:validation:MaxItems=8
	Conditions []metav1.Condition `json:"conditions,omitempty"`
}

// Safeguard is one control and the way it is verified. Several policies can ask for the same one.
// +kubebuilder:object:root=true
// +kubebuilder:subresource:status
// +kubebuilder:resource:scope=Cluster,categories=interlock
// +kubebuilder:printcolumn:name="Title",type=string,JSONPath=`.spec.title`
// +kubebuilder:printcolumn:name="Control",type=string,JSONPath=`.spec.control`
// +kubebuilder:printcolumn:name="Ready",type=string,JSONPath=`.status.conditions[?(@.type=="Ready")].status`
// +kubebuilder:printcolumn:name="Message",type=string,priority=1,JSONPath=`.status.conditions[?(@.type=="Ready")].message`
// +kubebuilder:printcolumn:name="Age",type=date,JSONPath=`.metadata.creationTimestamp`
// +kubebuilder:validation:XValidation:rule="!format.dns1123Label().validate(self.metadata.name).hasValue()",message="the name must be a DNS label: lower-case letters, digits and '-', 63 characters at the most"
type Safeguard struct {
	metav1.TypeMeta `json:",inline"`

	// metadata is the standard object metadata.
	// +optional
	metav1.ObjectMeta `json:"metadata,omitempty"`

	// spec is the control as the safety team writes it.
	// +required
	Spec SafeguardSpec `json:"spec,omitzero"`

	// status is what the operator makes of it.
	// +optional
	Status SafeguardStatus `json:"status,omitzero"`
}

// SafeguardList is a list of Safeguard.
// +kubebuilder:object:root=true
type SafeguardList struct {
	metav1.TypeMeta `json:",inline"`
	metav1.ListMeta `json:"metadata,omitempty"`
	Items           []Safeguard `json:"items"`
}
