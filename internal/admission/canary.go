package admission

import (
	"fmt"
	"strings"
	"time"

	admissionv1 "k8s.io/api/admissionregistration/v1"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/interlock-dev/interlock/api/v1alpha1"
)

// CanaryNamespace is the namespace by which Interlock finds out whether an API server enforces what it wrote. No pod ever runs there.
const CanaryNamespace = "interlock-canary"

// canaryLease is how long the model of a round is cleared. A clock that is behind the API server's by less does no harm.
const canaryLease = time.Hour

// A Canary is one round of questions to an API server. Each round clears a model of a name that was never used before, and no other: who
// answers by what was true earlier answers wrongly.
type Canary struct{ round, before int64 }

// NewCanary begins a round. Rounds are told apart by their beginning.
func NewCanary(now time.Time, before Canary) Canary { return Canary{now.UnixNano(), before.round} }

func modelOfRound(round int64) string { return fmt.Sprintf("canary-%d", round) }

// Clearances are what the API server is to read in this round.
func (c Canary) Clearances(now time.Time) Clearances {
	return Clearances{Policy: CanaryNamespace, Models: map[string]Standing{modelOfRound(c.round): {ValidUntil: now.Add(canaryLease)}}}
}

// A Question is a pod to be created by dry run, and what the API server must answer.
type Question struct {
	Pod *corev1.Pod
	// judge says what is wrong with an answer; empty, nothing is.
	judge func(born *corev1.Pod, refusal error) string
}

// Questions whose right answers show together that HoldPolicy and AdmitPolicy are in force, and that what they read is of this round.
func (c Canary) Questions() []Question {
	return []Question{
		{canaryPod("cleared", modelOfRound(c.round)), func(born *corev1.Pod, refusal error) string {
			switch {
			case refusal != nil:
				return fmt.Sprintf("it refuses a pod that was cleared: %v", refusal)
			case isGated(born):
				return "it holds a pod that was cleared"
			}
			return ""
		}},
		{canaryPod("held", modelOfRound(c.before)), func(born *corev1.Pod, refusal error) string {
			switch {
			case refusal != nil:
				return fmt.Sprintf("it refuses a pod that %s should hold: %v", HoldPolicy, refusal)
			case !isGated(born):
				return "it lets in a pod whose clearance was taken back"
			}
			return ""
		}},
		{canaryPod("nameless", ""), func(_ *corev1.Pod, refusal error) string {
			switch {
			case refusal == nil:
				return fmt.Sprintf("it lets in a pod that names no model, which %s should refuse", AdmitPolicy)
			case !strings.Contains(refusal.Error(), AdmitPolicy):
				return fmt.Sprintf("it does not come to judge a pod: %v", refusal)
			}
			return ""
		}},
	}
}

// Judge says what is wrong with an answer; empty, nothing is.
func (q Question) Judge(born *corev1.Pod, refusal error) string { return q.judge(born, refusal) }

func isGated(pod *corev1.Pod) bool {
	for _, gate := range pod.Spec.SchedulingGates {
		if gate.Name == v1alpha1.ClearanceGate {
			return true
		}
	}
	return false
}

// canaryPod is a pod that the strictest Pod Security level admits.
func canaryPod(name, model string) *corev1.Pod {
	pod := &corev1.Pod{
		ObjectMeta: metav1.ObjectMeta{Namespace: CanaryNamespace, Name: name},
		Spec: corev1.PodSpec{
			AutomountServiceAccountToken: new(false),
			SecurityContext: &corev1.PodSecurityContext{RunAsNonRoot: new(true),
				SeccompProfile: &corev1.SeccompProfile{Type: corev1.SeccompProfileTypeRuntimeDefault}},
			Containers: []corev1.Container{{
				Name: "canary", Image: "interlock.dev/canary@sha256:" + strings.Repeat("0", 64),
				SecurityContext: &corev1.SecurityContext{AllowPrivilegeEscalation: new(false), ReadOnlyRootFilesystem: new(true),
					Capabilities: &corev1.Capabilities{Drop: []corev1.Capability{"ALL"}}},
			}},
		},
	}
	if model != "" {
		pod.Labels = map[string]string{v1alpha1.ModelLabel: model}
	}
	return pod
}

// canary lets nobody create a pod in CanaryNamespace but Interlock, by dry run.
func canary(install Install) Object {
	return validating(CanaryPolicy, admissionv1.ValidatingAdmissionPolicySpec{
		MatchConstraints: match(canaryNamespace(), resources("", "v1", onCreate, "pods")),
		Validations: []admissionv1.Validation{
			deny(fmt.Sprintf("request.userInfo.username == %s && has(request.dryRun) && request.dryRun", quoted(install.Username)),
				"no pod runs in the namespace "+CanaryNamespace+": Interlock asks the API server there what it enforces", ""),
		},
	})
}

func canaryNamespace() *metav1.LabelSelector {
	return selector(metav1.LabelSelectorRequirement{
		Key: corev1.LabelMetadataName, Operator: metav1.LabelSelectorOpIn, Values: []string{CanaryNamespace}})
}
