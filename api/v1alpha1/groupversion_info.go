// Package v1alpha1 holds the kinds of the API group interlock.dev.
//
// It says what can be written and what each word means; it has no logic and must not import any other package of the
// project.
//
// +kubebuilder:object:generate=true
// +groupName=interlock.dev
package v1alpha1

import (
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/schema"
)

// GroupVersion is the group and version of all kinds in this package.
var GroupVersion = schema.GroupVersion{Group: "interlock.dev", Version: "v1alpha1"}

var (
	// SchemeBuilder collects the kinds of this package.
	SchemeBuilder = runtime.NewSchemeBuilder(addKnownTypes)
	// AddToScheme adds the kinds of this package to a scheme.
	AddToScheme = SchemeBuilder.AddToScheme
)

func addKnownTypes(scheme *runtime.Scheme) error {
	scheme.AddKnownTypes(GroupVersion,
		&ScalingPolicy{}, &ScalingPolicyList{},
		&Safeguard{}, &SafeguardList{},
		&CapabilityAssessment{}, &CapabilityAssessmentList{},
		&RiskReport{}, &RiskReportList{},
		&SafetyRoadmap{}, &SafetyRoadmapList{},
		&ModelDeployment{}, &ModelDeploymentList{},
		&Attestation{}, &AttestationList{},
		&Approval{}, &ApprovalList{},
		&Waiver{}, &WaiverList{},
		&ClearanceLedger{}, &ClearanceLedgerList{},
	)
	metav1.AddToGroupVersion(scheme, GroupVersion)
	return nil
}
