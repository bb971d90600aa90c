package decision

import (
	"fmt"

	"github.com/interlock-dev/interlock/api/v1alpha1"
)

// Standing is how a model stands when it is decided where clients go.
type Standing struct {
	// Name of the ModelDeployment.
	Name string
	// Declaration of the model; nil, there is none.
	Declaration *v1alpha1.ModelDeployment
	// Outcome that is decided and that the API server enforces; empty while the two are not known to agree.
	Outcome v1alpha1.Outcome
	// DeploymentLevel and SecurityLevel are what is required of it.
	DeploymentLevel, SecurityLevel string
	// Admitted pods are past the gate, and of these some are Ready.
	Admitted, Ready int
}

func (s Standing) cleared() bool { return s.Outcome == v1alpha1.OutcomeCleared }

// FallbackInput is all that it rests on where the clients of a model go that names a fallback.
type FallbackInput struct {
	// Enforced says that a policy is enforced on the namespace. It may not exist.
	Enforced bool
	Policy   *v1alpha1.ScalingPolicy
	// Model is the one that clients want, Fallback the one that serves meanwhile.
	Model, Fallback Standing
}

// Course is what is done about the clients of a model.
type Course string

const (
	// CourseStay: they stay where they are.
	CourseStay Course = "Stay"
	// CourseTurn: they are turned to the fallback.
	CourseTurn Course = "Turn"
	// CourseReturn: they go back to the model.
	CourseReturn Course = "Return"
)

// FallbackVerdict is where the clients of a model go, and why.
type FallbackVerdict struct {
	Course Course
	// Reason and Message are for the condition FallenBack.
	Reason, Message string
}

// FallBack decides where the clients of a model go that names a fallback. They are turned only to a model that is cleared,
// and go back only to one that is: if neither is, they stay where they are, and the steps of the policy see to the pods.
func FallBack(in FallbackInput) FallbackVerdict {
	reason, unfit := unfitness(in)
	switch {
	case !in.Enforced:
		return FallbackVerdict{CourseReturn, v1alpha1.ReasonNotNeeded, "no policy is enforced on the namespace, so nothing holds the model"}
	case in.Model.Outcome == "":
		return FallbackVerdict{CourseStay, v1alpha1.ReasonNotNeeded, "the model has not been decided yet"}
	case in.Model.cleared():
		v := FallbackVerdict{CourseReturn, v1alpha1.ReasonNotNeeded, "the model is cleared"}
		if in.Model.Ready == 0 { // to go back now would be an outage
			v = FallbackVerdict{CourseStay, v1alpha1.ReasonAwaitingPods, "the model is cleared, and no pod of it is ready yet"}
		}
		if unfit != "" {
			v.Message += "; it could not fall back now: " + unfit
		}
		return v
	case unfit != "":
		return FallbackVerdict{CourseStay, reason, fmt.Sprintf("the model is %s; %s", in.Model.Outcome, unfit)}
	}
	return FallbackVerdict{CourseTurn, v1alpha1.ReasonFallenBack, fmt.Sprintf("the model is %s, and model %s serves", in.Model.Outcome, in.Fallback.Name)}
}

// unfitness says why clients cannot be turned to the fallback; empty, they can.
func unfitness(in FallbackInput) (reason, message string) {
	f := in.Fallback
	switch {
	case f.Declaration == nil:
		return v1alpha1.ReasonFallbackNotFound, fmt.Sprintf(
			"there is no ModelDeployment %q in this namespace to fall back on; declare it, or name another in spec.fallback.modelDeployment", f.Name)
	case f.Name == in.Model.Name || f.Declaration.Spec.Fallback != nil:
		return v1alpha1.ReasonFallbackChained, fmt.Sprintf(
			"model %s, the fallback, names a fallback itself, and no chain of them is followed; take its spec.fallback away, or name another model", f.Name)
	case !f.cleared():
		return v1alpha1.ReasonFallbackNotCleared, fmt.Sprintf("model %s, the fallback, is not cleared; its own conditions say what it lacks", f.Name)
	}
	if why := above(in.Policy, f, in.Model); why != "" {
		return v1alpha1.ReasonFallbackAbove, fmt.Sprintf("%s; name a model in spec.fallback.modelDeployment of which no more is required", why)
	}
	if f.Ready == 0 {
		return v1alpha1.ReasonFallbackNotReady, fmt.Sprintf("no pod of model %s, the fallback, is ready; see to the workload that serves it", f.Name)
	}
	return "", ""
}

// above says on which axis more is required of one model than of another; empty, on none. A level that the policy does
// not know is above all.
func above(policy *v1alpha1.ScalingPolicy, one, other Standing) string {
	if policy == nil {
		return "the policy that is enforced does not exist, so it cannot be told what is required"
	}
	for _, axis := range []struct{ name, one, other string }{
		{"deployment", one.DeploymentLevel, other.DeploymentLevel}, {"security", one.SecurityLevel, other.SecurityLevel},
	} {
		mine, its := level(policy, axis.one), level(policy, axis.other)
		switch {
		case mine < 0 || its < 0:
			return fmt.Sprintf("it cannot be told whether more is required of model %s, the fallback, than of %s on the %s axis", one.Name, other.Name, axis.name)
		case mine > its:
			return fmt.Sprintf("model %s, the fallback, is required at %s on the %s axis, which is above %s of model %s", one.Name, axis.one, axis.name, axis.other, other.Name)
		}
	}
	return ""
}

// MayReturn says whether what the declaration of a model does not name any more, or whose declaration is gone, may lead to
// the model again. While pods of it run without clearance it may not, or a declaration could be changed to send clients
// back to them.
func MayReturn(enforced bool, model Standing) bool {
	return !enforced || model.cleared() || model.Admitted == 0
}
