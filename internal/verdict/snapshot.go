// Package verdict owns all that lies between objects as they are and the judgement on a model.
//
// A Gatherer reads objects into a Snapshot, and Judge makes judgements of that. Judge is pure: it reads nothing, and the time
// is part of the Snapshot. So an operator, the command line and reports judge alike, whatever the objects come from.
//
// It may import internal/decision and what that is given by: safeguard, admission, evidence and workload. It must not import
// controllers, and only gather.go and attestations.go read.
package verdict

import (
	"slices"
	"time"

	corev1 "k8s.io/api/core/v1"
	networkingv1 "k8s.io/api/networking/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"

	"github.com/interlock-dev/interlock/api/v1alpha1"
	"github.com/interlock-dev/interlock/internal/decision"
	"github.com/interlock-dev/interlock/internal/evidence"
	"github.com/interlock-dev/interlock/internal/safeguard"
)

// Snapshot is all that the judgement on one model rests on, as it was read. Nothing writes into it once it is gathered.
type Snapshot struct {
	// Now is the time of the judgement.
	Now time.Time
	// Model as it was declared. One that is not declared has a name and nothing else.
	Model *v1alpha1.ModelDeployment
	// Namespace of the model, without the label that enforces a policy where none is ever enforced.
	Namespace *metav1.PartialObjectMetadata
	// Enrolments of the namespace, in the order of v1alpha1.PolicyLabels.
	Enrolments []Enrolment
	// Safeguards are all that exist.
	Safeguards []v1alpha1.Safeguard
	// Enforcement says of the Safeguards with a rule for the API server, by name, whether API servers enforce it.
	Enforcement map[string]Enforcement
	// Assessments and RiskReports of the model's weights.
	Assessments []v1alpha1.CapabilityAssessment
	RiskReports []v1alpha1.RiskReport
	// Approvals in the namespace of the model and in SharedNamespace, which serves all, and Waivers in the namespace.
	Approvals       []v1alpha1.Approval
	Waivers         []v1alpha1.Waiver
	SharedNamespace string
	// Environment holds the digests by which statements name where the model is served.
	Environment safeguard.Environment
	// Pods of the model that have not ended, and all NetworkPolicies of the namespace.
	Pods            []*corev1.Pod
	NetworkPolicies []networkingv1.NetworkPolicy
	// WeightsNamed is what the owners of each pod name weights by, see safeguard.Surroundings. It is nil where no policy asks.
	WeightsNamed map[types.UID][]safeguard.Named
	// Clearances are what the API server enforces of the models of the namespace, see admission.Find.
	Clearances map[string]string
	// Shortfall is what is remembered of the model's shortfall.
	Shortfall decision.Shortfall
	// Reread is when objects are to be read again of whose changes nothing tells. Zero means that there are none.
	Reread time.Time
}

// Enrolment is one label of a namespace and the policy that it names.
type Enrolment struct {
	Label, PolicyName string
	// Policy is nil when it does not exist.
	Policy *v1alpha1.ScalingPolicy
	// Trust is whom the policy trusts, and Attested what Attestations bring under that. They are gathered for policies that
	// ask for evidence.
	Trust    *evidence.Trust
	Attested []safeguard.Attested
}

// Enforcement says whether API servers enforce what a Safeguard asks of them.
type Enforcement struct {
	// Wait is how long it takes until they do; zero, they do.
	Wait time.Duration
	// Refused says why they never will.
	Refused error
}

// Key names the model.
func (s *Snapshot) Key() types.NamespacedName {
	return types.NamespacedName{Namespace: s.Model.Namespace, Name: s.Model.Name}
}

// EnforcedPolicy is the policy that the namespace enforces. It is nil when there is none.
func (s *Snapshot) EnforcedPolicy() *v1alpha1.ScalingPolicy {
	for _, e := range s.Enrolments {
		if e.Label == v1alpha1.EnforceLabel {
			return e.Policy
		}
	}
	return nil
}

// Terminating says that the namespace is on its way out.
func (s *Snapshot) Terminating() bool { return s.Namespace.DeletionTimestamp != nil }

// Admitted are the pods past the gate.
func (s *Snapshot) Admitted() []*corev1.Pod {
	return slices.DeleteFunc(slices.Clone(s.Pods), safeguard.Held)
}

// Held are the pods at the gate.
func (s *Snapshot) Held() []*corev1.Pod {
	return slices.DeleteFunc(slices.Clone(s.Pods), func(p *corev1.Pod) bool { return !safeguard.Held(p) })
}
