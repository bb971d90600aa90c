package v1alpha1

// Labels of a Namespace. Whoever changes one of the first four needs the verb "enroll" on each ScalingPolicy that the
// labels named before or name afterwards.
const (
	// EnforceLabel names the ScalingPolicy that holds the pods of a namespace.
	EnforceLabel = "interlock.dev/enforce"
	// WarnLabel names a ScalingPolicy whose verdict is shown as a warning to whoever applies a workload.
	WarnLabel = "interlock.dev/warn"
	// AuditLabel names a ScalingPolicy whose verdict is written to the audit log of the API server.
	AuditLabel = "interlock.dev/audit"
	// CoverageLabel narrows which pods of a namespace must name a model; absent, all must.
	CoverageLabel = "interlock.dev/coverage"
	// CoverageAccelerators as the value of CoverageLabel asks only pods that request an extended resource (a GPU, a
	// TPU) or a device claim to name a model.
	CoverageAccelerators = "accelerators"
)

const (
	// ModelLabel on a pod names the ModelDeployment that it serves; on a namespace, the default for its pods. It
	// cannot change once the pod exists.
	ModelLabel = "interlock.dev/model"
	// ClearanceGate is the scheduling gate that holds a pod until its model is cleared.
	ClearanceGate = "interlock.dev/clearance"
	// AdjustedAnnotation on a pod names the Safeguards whose adjustments it was created with, each with a digest of what they
	// were: NAME:DIGEST, between commas.
	AdjustedAnnotation = "interlock.dev/adjusted"
	// UnreadAnnotation says why only a stub of an object is held in memory. It is never written to the API server, and what
	// others write there is not looked at.
	UnreadAnnotation = "interlock.dev/unread"
	// EnrollVerb is the RBAC verb on a ScalingPolicy that lets somebody put a namespace under it, or take it out.
	EnrollVerb = "enroll"
	// ApproveVerb is the RBAC verb on approvals, named by role, that lets somebody approve in that role. Only a right that
	// is granted for the whole cluster counts: in a namespace its owner may grant what he likes.
	ApproveVerb = "approve"
	// WithdrawVerb is the RBAC verb on a capabilityassessment or riskreport that lets somebody who may delete it do so although it
	// may be evidence of danger: a newer one that says so itself is the usual way.
	WithdrawVerb = "withdraw"
)

// Labels of an object that Interlock keeps around a model.
const (
	// AdjustedForLabel names the ModelDeployment that the object is for.
	AdjustedForLabel = "interlock.dev/adjusted-for"
	// AdjustedByLabel names the Safeguard that asks for it.
	AdjustedByLabel = "interlock.dev/adjusted-by"
)

// Annotations of a CapabilityAssessment, ModelDeployment, ScalingPolicy or Safeguard, which the API server writes: whoever
// wrote something cannot approve it.
const (
	// CreatedByAnnotation names the user who created the object.
	CreatedByAnnotation = "interlock.dev/created-by"
	// EditedByAnnotation names the user who last changed its spec.
	EditedByAnnotation = "interlock.dev/edited-by"
)

// PolicyLabels are the labels of a Namespace that name a ScalingPolicy.
var PolicyLabels = [...]string{EnforceLabel, WarnLabel, AuditLabel}

// ManagedByLabel is of every object that Interlock keeps, ManagedBy its value.
const (
	ManagedByLabel = "app.kubernetes.io/managed-by"
	ManagedBy      = "interlock"
)
