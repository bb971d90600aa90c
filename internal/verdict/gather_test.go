package verdict

import (
	"context"
	"errors"
	"slices"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/types"
	clientgoscheme "k8s.io/client-go/kubernetes/scheme"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/client/fake"
	"sigs.k8s.io/controller-runtime/pkg/client/interceptor"

	"github.com/interlock-dev/interlock/api/v1alpha1"
	"github.com/interlock-dev/interlock/internal/admission"
	"github.com/interlock-dev/interlock/internal/evidence"
	"github.com/interlock-dev/interlock/internal/safeguard"
	"github.com/interlock-dev/interlock/internal/testing/builder"
	"github.com/interlock-dev/interlock/internal/testing/signing"
	"github.com/interlock-dev/interlock/internal/workload"
)

// outside plays what no reader has.
type outside struct{}

func (outside) Trust(policy *v1alpha1.ScalingPolicy) (*evidence.Trust, error) {
	return evidence.ParseTrust(policy.Spec.Trust)
}

func (outside) Attested(a *v1alpha1.Attestation, _ *evidence.Trust) []safeguard.Attested {
	return []safeguard.Attested{{Name: a.Namespace + "/" + a.Name}}
}

func (outside) Check(sg *v1alpha1.Safeguard, _ time.Time) (time.Duration, error) {
	if sg.Name == "refused" {
		return 0, errors.New("too costly")
	}
	return time.Second, nil
}

func (outside) Weights(_ context.Context, pod *corev1.Pod) ([]workload.Named, error) {
	return []workload.Named{{Weights: "oci://a", Where: pod.Name}}, nil
}

func (outside) WeightsOfStopped(context.Context, types.NamespacedName) ([]workload.Named, error) {
	return nil, nil
}

const otherDigest = "sha256:ffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff"

// world holds what bears on the model llm in the namespace serving, and beside each such object one that does not.
func world() []client.Object {
	about := func(digest string) string { return signing.Review("urn:review", noon, digest).Sign(signing.Fixed(1)) }
	ended := builder.Pod("serving", "ended").Model("llm").Build()
	ended.Status.Phase = corev1.PodSucceeded
	owned := builder.Attestation("serving", "owned", about(builder.Digest))
	owned.OwnerReferences = []metav1.OwnerReference{{APIVersion: "v1", Kind: "ConfigMap", Name: "x", UID: "x"}}
	owned.CreationTimestamp = metav1.NewTime(noon)
	return []client.Object{
		builder.Namespace("serving").Enforce("rsp").Warn("gone").Audit("").Build(), builder.ModelDeployment("serving", "llm").Build(),
		builder.ScalingPolicy("rsp").Level(builder.Level(builder.ASL2).Deployment("reviewed", "weighed")).
			Trust("red-team", signing.Fixed(1).PEM).Build(),
		builder.Safeguard("reviewed").Evidence("urn:review", "red-team").Build(), builder.Safeguard("weighed").WorkloadWeights().Build(),
		builder.Safeguard("refused").PodRule("true", "").Build(), builder.Safeguard("settles").PodRule("true", "").Build(),
		builder.Assessment("about-it", noon).Build(), builder.Assessment("about-another", noon).Digests(otherDigest).Build(),
		builder.Approval("serving", "here").Build(), builder.Approval("interlock-system", "for-all").Build(),
		builder.Approval("other", "there").Build(),
		builder.Waiver("serving", "here").Build(), builder.Waiver("other", "there").Build(),
		builder.Pod("serving", "a").Model("llm").Build(), builder.Pod("serving", "b").Model("other").Build(), ended,
		builder.NetworkPolicy("serving", "here").Build(), builder.NetworkPolicy("other", "there").Build(),
		builder.Attestation("serving", "about-it", about(builder.Digest)),
		builder.Attestation("serving", "about-another", about(otherDigest)), owned,
		builder.AttestationIn("evidence", "fetched", "registry.example/x@"+builder.Digest),
		builder.Attestation("other", "there", about(builder.Digest)),
		builder.Clearances("serving", "rsp").Clear("llm", noon.Add(time.Hour), "reviewed").Build(),
	}
}

// gatherer reads from an API server that holds some objects, and fails on the kind that is named.
func gatherer(t testing.TB, failing string, objects ...client.Object) *Gatherer {
	t.Helper()
	scheme := runtime.NewScheme()
	for _, add := range []func(*runtime.Scheme) error{clientgoscheme.AddToScheme, v1alpha1.AddToScheme} {
		if err := add(scheme); err != nil {
			t.Fatal(err)
		}
	}
	fails := func(o runtime.Object) error {
		kinds, _, err := scheme.ObjectKinds(o)
		if err != nil { // metadata of a kind
			kinds = append(kinds, o.GetObjectKind().GroupVersionKind())
		}
		if kinds[0].Kind == failing {
			return errors.New("no answer")
		}
		return nil
	}
	b := fake.NewClientBuilder().WithScheme(scheme).WithObjects(objects...).WithInterceptorFuncs(interceptor.Funcs{
		Get: func(ctx context.Context, c client.WithWatch, key client.ObjectKey, o client.Object, opts ...client.GetOption) error {
			return errors.Join(fails(o), c.Get(ctx, key, o, opts...))
		},
		List: func(ctx context.Context, c client.WithWatch, list client.ObjectList, opts ...client.ListOption) error {
			return errors.Join(fails(list), c.List(ctx, list, opts...))
		}})
	for _, index := range Indexes("cluster") {
		b.WithIndex(index.Object, index.Field, index.Extract)
	}
	return &Gatherer{Reader: b.Build(), Install: admission.Install{Namespace: "interlock-system"}, EvidenceNamespace: "evidence",
		Cluster: "cluster", Evidence: outside{}, Rules: outside{}, Workloads: outside{}}
}

func names[T any, P interface {
	*T
	client.Object
}](all []T) []string {
	var names []string
	for i := range all {
		o := P(&all[i])
		name := o.GetName()
		if o.GetNamespace() != "" {
			name = o.GetNamespace() + "/" + name
		}
		names = append(names, name)
	}
	return names
}

func TestGather(t *testing.T) {
	g := gatherer(t, "", world()...)
	s, err := g.Gather(t.Context(), noon, builder.ModelDeployment("serving", "llm").Build())
	if err != nil {
		t.Fatal(err)
	}
	got := map[string][]string{
		"Safeguards": names(s.Safeguards), "Assessments": names(s.Assessments), "Approvals": names(s.Approvals),
		"Waivers": names(s.Waivers), "NetworkPolicies": names(s.NetworkPolicies),
	}
	for _, pod := range s.Pods {
		got["Pods"] = append(got["Pods"], pod.Name)
	}
	for _, e := range s.Enrolments {
		text := e.Label + " " + e.PolicyName
		if e.Policy == nil {
			text += " which does not exist"
		}
		got["Enrolments"] = append(got["Enrolments"], text)
		for _, a := range e.Attested {
			if a.Leaving != "" {
				a.Name += " is leaving"
			}
			got["Attested"] = append(got["Attested"], a.Name)
		}
	}
	for name, e := range s.Enforcement {
		got["Enforcement"] = append(got["Enforcement"], name)
		if refused := e.Refused != nil; refused != (name == "refused") || e.Wait > 0 == refused {
			t.Errorf("%s: %+v", name, e)
		}
	}
	slices.Sort(got["Enforcement"])
	want := map[string][]string{
		"Safeguards": {"refused", "reviewed", "settles", "weighed"}, "Assessments": {"about-it"},
		"Approvals": {"serving/here", "interlock-system/for-all"}, "Waivers": {"serving/here"}, "NetworkPolicies": {"serving/here"},
		"Pods": {"a"}, "Attested": {"evidence/fetched", "serving/about-it", "serving/owned is leaving"}, "Enforcement": {"refused", "settles"},
		"Enrolments": {"interlock.dev/enforce rsp", "interlock.dev/warn gone which does not exist", "interlock.dev/audit  which does not exist"},
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("-want +got:\n%s", diff)
	}
	if !admission.Find(s.Clearances, "llm").Cleared() {
		t.Errorf("clearances %v", s.Clearances)
	}
	if named := s.WeightsNamed[s.Pods[0].UID]; len(named) == 0 || !s.Reread.Equal(noon.Add(rereadOwners)) {
		t.Errorf("weights %v, to be read again at %s", named, s.Reread)
	}
}

// What cannot be read is no reason to judge without it.
func TestGatherFails(t *testing.T) {
	for _, kind := range []string{"Namespace", "ScalingPolicy", "SafeguardList", "CapabilityAssessmentList", "RiskReportList", "ApprovalList",
		"WaiverList", "PodList", "NetworkPolicyList", "LimitRange", "AttestationList"} {
		t.Run(kind, func(t *testing.T) {
			if s, err := gatherer(t, kind, world()...).Gather(t.Context(), noon, builder.ModelDeployment("serving", "llm").Build()); err == nil {
				t.Errorf("gathered %+v", s)
			}
		})
	}
}

func TestGatherInANamespaceThatIsNeverEnrolled(t *testing.T) {
	g := gatherer(t, "", builder.Namespace("kube-system").Enforce("rsp").Warn("rsp").Build())
	s, err := g.Gather(t.Context(), noon, builder.ModelDeployment("kube-system", "llm").Build())
	if err != nil {
		t.Fatal(err)
	}
	if len(s.Enrolments) != 1 || s.Enrolments[0].Label != v1alpha1.WarnLabel {
		t.Errorf("enrolments %+v", s.Enrolments)
	}
}

func TestGatherUndeclared(t *testing.T) {
	s, err := gatherer(t, "", world()...).GatherUndeclared(t.Context(), noon, types.NamespacedName{Namespace: "serving", Name: "llm"})
	if err != nil {
		t.Fatal(err)
	}
	if len(s.Pods) != 1 || len(s.NetworkPolicies) != 1 || s.EnforcedPolicy() == nil || s.Clearances == nil {
		t.Errorf("gathered %+v", s)
	}
}
