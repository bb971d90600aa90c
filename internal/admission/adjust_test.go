package admission_test

import (
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/resource"
	"k8s.io/apimachinery/pkg/util/intstr"
	apiadmission "k8s.io/apiserver/pkg/admission"
	"pgregory.net/rapid"

	"github.com/interlock-dev/interlock/api/v1alpha1"
	"github.com/interlock-dev/interlock/internal/admission"
	"github.com/interlock-dev/interlock/internal/testing/builder"
)

// guardSidecar has in it what sidecars may have, in awkward words.
var guardSidecar = v1alpha1.Sidecar{
	Name: "guard", Image: builder.PinnedImage, Args: []string{`--say="it's"`, "a\nb\\", "é~1/"},
	Env:       []corev1.EnvVar{{Name: "NODE", ValueFrom: &corev1.EnvVarSource{FieldRef: &corev1.ObjectFieldSelector{FieldPath: "spec.nodeName"}}}},
	Ports:     []corev1.ContainerPort{{Name: "metrics", ContainerPort: 9090}},
	Resources: corev1.ResourceRequirements{Limits: corev1.ResourceList{corev1.ResourceCPU: resource.MustParse("250m")}},
	StartupProbe: &corev1.Probe{PeriodSeconds: 2, ProbeHandler: corev1.ProbeHandler{
		HTTPGet: &corev1.HTTPGetAction{Path: "/ready", Port: intstr.FromInt32(9090)}}},
	VolumeMounts:    []corev1.VolumeMount{{Name: "guard-token", MountPath: "/var/run/guard", ReadOnly: true}},
	SecurityContext: &corev1.SecurityContext{RunAsUser: new(int64(65532))},
}

var guardToken = v1alpha1.SidecarVolume{Name: "guard-token", Projected: &corev1.ProjectedVolumeSource{Sources: []corev1.VolumeProjection{{
	ServiceAccountToken: &corev1.ServiceAccountTokenProjection{Audience: "https://guard.example", ExpirationSeconds: new(int64(600)), Path: "token"}}}}}

// adjusting are the rules of tests that give something to pods.
func adjusting() []admission.Rule {
	return []admission.Rule{
		{Safeguard: "guard", Adjust: &v1alpha1.PodAdjustment{
			Annotations:    map[string]string{"kubernetes.io/egress-bandwidth": "10M", "guard.example/a~b": `"quoted"`},
			Sidecars:       []v1alpha1.Sidecar{guardSidecar},
			Volumes:        []v1alpha1.SidecarVolume{guardToken},
			ReadinessGates: []corev1.PodReadinessGate{{ConditionType: "guard.example/in-path"}}}},
		{Safeguard: "hardened", Remedy: "run as a user", Validations: []v1alpha1.PodValidation{{
			Expression: "object.spec.?securityContext.?runAsNonRoot.orValue(false)", Message: "may run as root"}},
			Adjust: &v1alpha1.PodAdjustment{
				SecurityContext: &v1alpha1.PodSecurity{RunAsNonRoot: new(true), RunAsUser: new(int64(1000)),
					SeccompProfile: &corev1.SeccompProfile{Type: corev1.SeccompProfileTypeRuntimeDefault}},
				ContainerSecurityContext: &v1alpha1.ContainerSecurity{AllowPrivilegeEscalation: new(false), ReadOnlyRootFilesystem: new(true),
					DropCapabilities: []string{"NET_RAW", "SYS_PTRACE"}}}},
		{Safeguard: "sandbox", Adjust: &v1alpha1.PodAdjustment{
			RuntimeClassName: "kata", NodeSelector: map[string]string{"example.com/pool": "models", "zone": "a"},
			Tolerations: []corev1.Toleration{{Key: "models", Operator: corev1.TolerationOpExists, Effect: corev1.TaintEffectNoSchedule}}}},
		{Safeguard: "second-guard", Adjust: &v1alpha1.PodAdjustment{
			Sidecars: []v1alpha1.Sidecar{guardSidecar, {Name: "second", Image: builder.PinnedImage}}, Volumes: []v1alpha1.SidecarVolume{guardToken}}},
	}
}

// givenTo has a cleared model and a held one of which the pods are given something, and another.
func givenTo(safeguards ...string) admission.Clearances {
	return clearancesOf(cleared("opus", "09:00:00").given(safeguards...), standing{model: "haiku"}.given(safeguards...), standing{model: "sonnet"})
}

// marks are what pods say that Safeguards, between commas, gave them.
func marks(safeguards string) string {
	var all []string
	for _, name := range strings.Split(safeguards, ",") {
		i := slices.IndexFunc(adjusting(), func(r admission.Rule) bool { return r.Safeguard == name })
		all = append(all, adjusting()[i].Given())
	}
	return strings.Join(all, ",")
}

// asCreated is what becomes of a pod, less what the API server sets on any.
func asCreated(t *testing.T, s *apiServer, p *corev1.Pod) *corev1.Pod {
	t.Helper()
	a := s.serve(t, request{user: "ann", operation: apiadmission.Create, resource: pods, object: p})
	if len(a.denials) > 0 {
		t.Fatalf("denied: %v", a.denials)
	}
	made := podOf(t, a.object)
	made.TypeMeta, made.UID, made.CreationTimestamp = p.TypeMeta, p.UID, p.CreationTimestamp
	return made
}

func sidecarOf(s v1alpha1.Sidecar) corev1.Container {
	return corev1.Container{Name: s.Name, Image: s.Image, Args: s.Args, Env: s.Env, Ports: s.Ports, Resources: s.Resources, StartupProbe: s.StartupProbe,
		VolumeMounts: s.VolumeMounts, SecurityContext: s.SecurityContext, RestartPolicy: new(corev1.ContainerRestartPolicyAlways)}
}

var guardVolume = corev1.Volume{Name: "guard-token", VolumeSource: corev1.VolumeSource{Projected: guardToken.Projected}}

// TestAdjustedPods is what pods are given.
func TestAdjustedPods(t *testing.T) {
	hardenedContainer := &corev1.SecurityContext{AllowPrivilegeEscalation: new(false), ReadOnlyRootFilesystem: new(true),
		Capabilities: &corev1.Capabilities{Drop: []corev1.Capability{"NET_RAW", "SYS_PTRACE"}}}
	adjusted := func(names string) func(*corev1.Pod) {
		return func(p *corev1.Pod) {
			if p.Annotations == nil {
				p.Annotations = map[string]string{}
			}
			p.Annotations[v1alpha1.AdjustedAnnotation] = marks(names)
		}
	}
	hardenedPod := func(p *corev1.Pod) {
		adjusted("hardened")(p)
		p.Spec.SecurityContext = &corev1.PodSecurityContext{RunAsNonRoot: new(true), RunAsUser: new(int64(1000)),
			SeccompProfile: &corev1.SeccompProfile{Type: corev1.SeccompProfileTypeRuntimeDefault}}
	}
	unescalating := func(c *corev1.Container) {
		c.SecurityContext.ReadOnlyRootFilesystem = new(true)
		c.SecurityContext.Capabilities.Drop = append(c.SecurityContext.Capabilities.Drop, "NET_RAW", "SYS_PTRACE")
	}
	for name, tc := range map[string]struct {
		safeguards []string
		pod        *builder.PodBuilder
		want       func(*corev1.Pod)
	}{
		"a model that is given nothing": {[]string{"guard"}, pod().Model("sonnet").Gate(gate), func(*corev1.Pod) {}},
		"guard": {[]string{"guard"}, pod().Model("opus"), func(p *corev1.Pod) {
			p.Annotations = map[string]string{"kubernetes.io/egress-bandwidth": "10M", "guard.example/a~b": `"quoted"`, v1alpha1.AdjustedAnnotation: marks("guard")}
			p.Spec.InitContainers = []corev1.Container{sidecarOf(guardSidecar)}
			p.Spec.Volumes = []corev1.Volume{guardVolume}
			p.Spec.ReadinessGates = []corev1.PodReadinessGate{{ConditionType: "guard.example/in-path"}}
		}},
		"a held pod as well, with its gate": {[]string{"sandbox"}, pod().Model("haiku"), func(p *corev1.Pod) {
			adjusted("sandbox")(p)
			p.Spec.SchedulingGates = []corev1.PodSchedulingGate{{Name: gate}}
			p.Spec.RuntimeClassName = new("kata")
			p.Spec.NodeSelector = map[string]string{"example.com/pool": "models", "zone": "a"}
			p.Spec.Tolerations = []corev1.Toleration{{Key: "models", Operator: corev1.TolerationOpExists, Effect: corev1.TaintEffectNoSchedule}}
		}},
		"before the init containers there are, in the order of names": {[]string{"second-guard", "guard"},
			pod().Model("opus").InitContainer("fetch", builder.PinnedImage).Annotation("guard.example/a~b", "own").Annotation("kubernetes.io/egress-bandwidth", "5M").
				With(func(p *corev1.Pod) {
					p.Spec.ReadinessGates = []corev1.PodReadinessGate{{ConditionType: "guard.example/in-path"}}
				}), func(p *corev1.Pod) {
				adjusted("guard,second-guard")(p)
				p.Spec.InitContainers = append([]corev1.Container{sidecarOf(guardSidecar), {Name: "second", Image: builder.PinnedImage,
					RestartPolicy: new(corev1.ContainerRestartPolicyAlways)}}, p.Spec.InitContainers...)
				p.Spec.Volumes = []corev1.Volume{guardVolume}
			}},
		"what a pod says itself stays": {[]string{"guard", "sandbox"}, pod().Model("opus").Container("guard", builder.TaggedImage).
			Annotation("kubernetes.io/egress-bandwidth", "100M").Annotation("guard.example/a~b", "").With(func(p *corev1.Pod) {
			p.Spec.RuntimeClassName = new("runc")
			p.Spec.NodeSelector = map[string]string{"example.com/pool": "other"}
			p.Spec.Volumes = []corev1.Volume{{Name: "guard-token"}}
			p.Spec.Tolerations = []corev1.Toleration{{Key: "models", Effect: corev1.TaintEffectNoSchedule}}
			p.Spec.ReadinessGates = []corev1.PodReadinessGate{{ConditionType: "other"}}
		}), func(p *corev1.Pod) {
			adjusted("guard,sandbox")(p)
			p.Spec.NodeSelector["zone"] = "a"
			p.Spec.Tolerations = append(p.Spec.Tolerations, corev1.Toleration{Key: "models", Operator: corev1.TolerationOpExists, Effect: corev1.TaintEffectNoSchedule})
			p.Spec.ReadinessGates = append(p.Spec.ReadinessGates, corev1.PodReadinessGate{ConditionType: "guard.example/in-path"})
		}},
		"every container but the sidecars of adjustments": {[]string{"hardened", "second-guard"},
			pod().Model("opus").InitContainer("fetch", builder.PinnedImage).Sidecar("proxy", builder.PinnedImage), func(p *corev1.Pod) {
				hardenedPod(p)
				adjusted("hardened,second-guard")(p)
				p.Spec.Containers[0].SecurityContext = hardenedContainer
				p.Spec.InitContainers[0].SecurityContext = hardenedContainer
				p.Spec.InitContainers[1].SecurityContext = hardenedContainer
				p.Spec.InitContainers = append([]corev1.Container{sidecarOf(guardSidecar), {Name: "second", Image: builder.PinnedImage,
					RestartPolicy: new(corev1.ContainerRestartPolicyAlways)}}, p.Spec.InitContainers...)
				p.Spec.Volumes = []corev1.Volume{guardVolume}
			}},
		"what is stricter stays": {[]string{"hardened"}, pod().Model("opus").With(func(p *corev1.Pod) {
			p.Spec.SecurityContext = &corev1.PodSecurityContext{RunAsNonRoot: new(true), RunAsUser: new(int64(7)),
				SeccompProfile: &corev1.SeccompProfile{Type: corev1.SeccompProfileTypeLocalhost, LocalhostProfile: new("strict.json")}}
			p.Spec.Containers[0].SecurityContext = &corev1.SecurityContext{AllowPrivilegeEscalation: new(false), ReadOnlyRootFilesystem: new(true),
				Capabilities: &corev1.Capabilities{Drop: []corev1.Capability{"ALL"}}}
		}), adjusted("hardened")},
		"a Safeguard that the policy does not know yet": {[]string{"new", "sandbox"}, pod().Model("opus").With(func(p *corev1.Pod) {
			p.Spec.RuntimeClassName = new("runc")
			p.Spec.NodeSelector = map[string]string{"example.com/pool": "models", "zone": "a"}
			p.Spec.Tolerations = []corev1.Toleration{{Key: "models", Operator: corev1.TolerationOpExists, Effect: corev1.TaintEffectNoSchedule}}
		}), adjusted("sandbox")},
		"none but Safeguards that the policy does not know yet": {[]string{"new"}, pod().Model("opus"), func(*corev1.Pod) {}},
		"what a pod says of adjustments is ours to say": {[]string{"sandbox"}, pod().Model("opus").Annotation(v1alpha1.AdjustedAnnotation, "guard").With(func(p *corev1.Pod) {
			p.Spec.RuntimeClassName = new("runc")
			p.Spec.NodeSelector = map[string]string{"example.com/pool": "models", "zone": "a"}
			p.Spec.Tolerations = []corev1.Toleration{{Key: "models", Operator: corev1.TolerationOpExists, Effect: corev1.TaintEffectNoSchedule}}
		}), adjusted("sandbox")},
		"where the API server refuses it, nothing": {[]string{"hardened"}, pod().Model("opus").Container("driver", builder.PinnedImage).With(func(p *corev1.Pod) {
			p.Spec.Containers[0].SecurityContext = &corev1.SecurityContext{Privileged: new(true), Capabilities: &corev1.Capabilities{}}
			p.Spec.Containers[1].SecurityContext = &corev1.SecurityContext{
				Capabilities: &corev1.Capabilities{Add: []corev1.Capability{"SYS_ADMIN"}, Drop: []corev1.Capability{"CHOWN"}}}
		}), func(p *corev1.Pod) {
			hardenedPod(p)
			unescalating(&p.Spec.Containers[0])
			unescalating(&p.Spec.Containers[1])
		}},
		"all but one thing": {[]string{"hardened"}, pod().Model("opus").With(func(p *corev1.Pod) {
			hardenedPod(p)
			delete(p.Annotations, v1alpha1.AdjustedAnnotation)
			p.Spec.Containers[0].SecurityContext = hardenedContainer.DeepCopy()
			p.Spec.Containers[0].SecurityContext.ReadOnlyRootFilesystem = nil
		}), func(p *corev1.Pod) {
			adjusted("hardened")(p)
			p.Spec.Containers[0].SecurityContext.ReadOnlyRootFilesystem = new(true)
		}},
	} {
		bothServers(t, name, newAPIServer(t, admission.Policies(install, adjusting()), enforced).put(enforcing(givenTo(tc.safeguards...))), func(t *testing.T, s *apiServer) {
			want := tc.pod.Build()
			tc.want(want)
			made := asCreated(t, s, tc.pod.Build())
			if diff := cmp.Diff(want, made, cmpopts.EquateEmpty()); diff != "" {
				t.Errorf("what becomes of the pod (-want +got):\n%s", diff)
			}
			if diff := cmp.Diff(made, asCreated(t, s, made), cmpopts.EquateEmpty()); diff != "" {
				t.Errorf("and what becomes of that (-once +twice):\n%s", diff)
			}
		})
	}
}

// TestDefaultModelIsAdjusted is of pods whose model is the namespace's.
func TestDefaultModelIsAdjusted(t *testing.T) {
	clearances := givenTo("sandbox")
	clearances.DefaultModel = "opus"
	bothServers(t, "default", newAPIServer(t, admission.Policies(install, adjusting()), enforced).put(enforcing(clearances)), func(t *testing.T, s *apiServer) {
		made := asCreated(t, s, pod().Build())
		if *made.Spec.RuntimeClassName != "kata" || made.Labels[v1alpha1.ModelLabel] != "opus" {
			t.Errorf("made %v", made)
		}
	})
}

// TestRuleJudgesWhatWasAdjusted is what a pod that says otherwise comes to.
func TestRuleJudgesWhatWasAdjusted(t *testing.T) {
	server := newAPIServer(t, admission.Policies(install, adjusting()), enforced).put(clearing(cleared("opus", "09:00:00", "hardened").given("hardened")))
	rootly := pod().Model("opus").With(func(p *corev1.Pod) { p.Spec.SecurityContext = &corev1.PodSecurityContext{RunAsNonRoot: new(false)} }).Build()
	a := server.serve(t, request{user: "ann", operation: apiadmission.Create, resource: pods, object: rootly})
	if diff := cmp.Diff([]string{"interlock-admit: Safeguard hardened: may run as root. run as a user"}, a.denials); diff != "" {
		t.Errorf("denials (-want +got):\n%s", diff)
	}
	if *podOf(t, a.object).Spec.SecurityContext.RunAsNonRoot {
		t.Error("what the team said was overwritten")
	}
	asCreated(t, server, pod().Model("opus").Build())
}

// TestAdjustmentsInAnyOrder draws which Safeguards apply, in which order they come, and what of it a pod has already.
func TestAdjustmentsInAnyOrder(t *testing.T) {
	names := []string{"guard", "hardened", "sandbox", "second-guard"}
	servers := map[string]*apiServer{}
	for _, order := range [][]int{{0, 1, 2, 3}, {3, 2, 1, 0}, {2, 0, 3, 1}} {
		var rules []admission.Rule
		for _, i := range order {
			rules = append(rules, adjusting()[i])
		}
		servers[fmt.Sprint(order)] = newAPIServer(t, admission.Policies(install, rules), enforced)
	}
	rapid.Check(t, func(rt *rapid.T) {
		first := rapid.SliceOfDistinct(rapid.SampledFrom(names), func(s string) string { return s }).Draw(rt, "first")
		more := rapid.SliceOfDistinct(rapid.SampledFrom(names), func(s string) string { return s }).Draw(rt, "more")
		all := map[string]bool{}
		for _, s := range append(append([]string(nil), first...), more...) {
			all[s] = true
		}
		var union []string
		for s := range all {
			union = append(union, s)
		}
		var want *corev1.Pod
		for order, server := range servers {
			made := asCreated(t, server.put(enforcing(givenTo(union...))), pod().Model("opus").InitContainer("fetch", builder.PinnedImage).Build())
			if want == nil {
				want = made
			}
			if diff := cmp.Diff(want, made); diff != "" {
				rt.Fatalf("the order %s matters (-want +got):\n%s", order, diff)
			}
			again := asCreated(t, server, made)
			if diff := cmp.Diff(made, again); diff != "" {
				rt.Fatalf("not idempotent (-once +twice):\n%s", diff)
			}
		}
	})
}

func TestConflicts(t *testing.T) {
	rule := func(name string, adjust v1alpha1.PodAdjustment) admission.Rule {
		return admission.Rule{Safeguard: name, Adjust: &adjust}
	}
	for name, tc := range map[string]struct {
		rules []admission.Rule
		want  []admission.Conflict
	}{
		"none": {rules: adjusting()},
		"the same value": {rules: []admission.Rule{rule("a", v1alpha1.PodAdjustment{RuntimeClassName: "kata"}),
			rule("b", v1alpha1.PodAdjustment{RuntimeClassName: "kata"})}},
		"a scalar": {[]admission.Rule{rule("b", v1alpha1.PodAdjustment{RuntimeClassName: "kata"}), rule("a", v1alpha1.PodAdjustment{RuntimeClassName: "gvisor"})},
			[]admission.Conflict{{Field: "spec.runtimeClassName", One: "a", Other: "b"}}},
		"a key": {[]admission.Rule{rule("a", v1alpha1.PodAdjustment{NodeSelector: map[string]string{"pool": "x", "zone": "a"}}),
			rule("b", v1alpha1.PodAdjustment{NodeSelector: map[string]string{"pool": "y", "zone": "a"}})},
			[]admission.Conflict{{Field: "spec.nodeSelector[pool]", One: "a", Other: "b"}}},
		"a sidecar": {[]admission.Rule{rule("a", v1alpha1.PodAdjustment{Sidecars: []v1alpha1.Sidecar{guardSidecar}}),
			rule("b", v1alpha1.PodAdjustment{Sidecars: []v1alpha1.Sidecar{{Name: "guard", Image: "other"}}})},
			[]admission.Conflict{{Field: "spec.initContainers[guard]", One: "a", Other: "b"}}},
		"a user, of three": {[]admission.Rule{
			rule("a", v1alpha1.PodAdjustment{SecurityContext: &v1alpha1.PodSecurity{RunAsUser: new(int64(1))}}),
			rule("b", v1alpha1.PodAdjustment{SecurityContext: &v1alpha1.PodSecurity{RunAsUser: new(int64(2))}}),
			rule("c", v1alpha1.PodAdjustment{SecurityContext: &v1alpha1.PodSecurity{RunAsUser: new(int64(1))}})},
			[]admission.Conflict{{Field: "spec.securityContext.runAsUser", One: "a", Other: "b"}, {Field: "spec.securityContext.runAsUser", One: "c", Other: "b"}}},
	} {
		t.Run(name, func(t *testing.T) {
			if diff := cmp.Diff(tc.want, admission.Conflicts(tc.rules)); diff != "" {
				t.Errorf("conflicts (-want +got):\n%s", diff)
			}
		})
	}
}

// TestWhatIsGivenAnewIsTold is of a pod that was given something before a Safeguard gave something else.
func TestWhatIsGivenAnewIsTold(t *testing.T) {
	before := asCreated(t, newAPIServer(t, admission.Policies(install, adjusting()), enforced).put(enforcing(givenTo("guard", "sandbox"))), pod().Model("opus").Build())
	changed := adjusting()
	changed[2].Adjust.RuntimeClassName = "kata-2"
	changed[2].Remedy = "in other words"
	after := asCreated(t, newAPIServer(t, admission.Policies(install, changed), enforced).put(enforcing(givenTo("guard", "sandbox"))), pod().Model("opus").Build())
	for name, tc := range map[string]struct {
		pod  *corev1.Pod
		rule admission.Rule
		want bool
	}{
		"has what is given":                 {before, adjusting()[2], true},
		"has what was given formerly":       {before, changed[2], false},
		"has what is given now":             {after, changed[2], true},
		"has something that did not change": {before, changed[0], true},
		"has nothing of it":                 {before, changed[1], false},
	} {
		t.Run(name, func(t *testing.T) {
			if got := admission.Adjusted(tc.pod, []string{tc.rule.Given()}); got != tc.want {
				t.Errorf("the pod says %q, the rule gives %q: %v, want %v", tc.pod.Annotations[v1alpha1.AdjustedAnnotation], tc.rule.Given(), got, tc.want)
			}
		})
	}
}
