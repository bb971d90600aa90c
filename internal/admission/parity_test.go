package admission_test

import (
	"fmt"
	"strings"
	"testing"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/resource"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	apiadmission "k8s.io/apiserver/pkg/admission"
	"pgregory.net/rapid"

	"github.com/interlock-dev/interlock/api/v1alpha1"
	"github.com/interlock-dev/interlock/internal/admission"
	"github.com/interlock-dev/interlock/internal/safeguard"
	"github.com/interlock-dev/interlock/internal/testing/builder"
)

func oneOf[T any](t *rapid.T, what string, values ...T) T {
	return rapid.SampledFrom(values).Draw(t, what)
}

// chance is true about once in n times.
func chance(t *rapid.T, what string, n int) bool { return rapid.IntRange(1, n).Draw(t, what) == 1 }

func drawResources(t *rapid.T) corev1.ResourceRequirements {
	list := func(what string) corev1.ResourceList {
		if !chance(t, what, 3) {
			return nil
		}
		names := rapid.SliceOfNDistinct(rapid.SampledFrom([]corev1.ResourceName{"cpu", "memory", "hugepages-2Mi", "nvidia.com/gpu", "google.com/tpu"}), 0, 2, rapid.ID)
		l := corev1.ResourceList{}
		for _, name := range names.Draw(t, what+" of") {
			l[name] = resource.MustParse(oneOf(t, what+" quantity", "1", "500m", "2Gi", "1e3", "0"))
		}
		return l
	}
	return corev1.ResourceRequirements{Limits: list("limits"), Requests: list("requests")}
}

func drawContainer(t *rapid.T) corev1.Container {
	c := corev1.Container{
		Name:      oneOf(t, "container", "server", "classifier", "proxy"),
		Image:     oneOf(t, "image", builder.PinnedImage, builder.TaggedImage, "busybox", ""),
		Resources: drawResources(t),
	}
	if chance(t, "has env", 3) {
		c.Env = []corev1.EnvVar{{Name: oneOf(t, "variable", "MODE", "NVIDIA_VISIBLE_DEVICES", "ASCEND_RT_VISIBLE_DEVICES", "VISIBLE_DEVICES"),
			Value: oneOf(t, "devices", "", "void", "none", "all", "0")}, {Name: "MODE", Value: oneOf(t, "env", "", "debug", "serve")}, {Name: "FROM", ValueFrom: &corev1.EnvVarSource{
			FieldRef: &corev1.ObjectFieldSelector{FieldPath: "metadata.name"}}}}
	}
	if chance(t, "has args", 3) {
		c.Args = rapid.SliceOfN(rapid.SampledFrom([]string{"--port=80", "--trust", ""}), 0, 3).Draw(t, "args")
	}
	if chance(t, "has ports", 4) {
		c.Ports = []corev1.ContainerPort{{ContainerPort: rapid.Int32Range(0, 65535).Draw(t, "port"), HostPort: oneOf[int32](t, "host port", 0, 80)}}
	}
	if chance(t, "has securityContext", 2) {
		c.SecurityContext = &corev1.SecurityContext{}
		if chance(t, "says privileged", 2) {
			c.SecurityContext.Privileged = new(rapid.Bool().Draw(t, "privileged"))
		}
		if chance(t, "says runAsUser", 2) {
			c.SecurityContext.RunAsUser = new(oneOf[int64](t, "user", 0, 1000))
		}
		if chance(t, "has capabilities", 3) {
			c.SecurityContext.Capabilities = &corev1.Capabilities{Drop: []corev1.Capability{oneOf[corev1.Capability](t, "drop", "ALL", "NET_RAW")}}
		}
	}
	return c
}

// drawPod draws pods of many shapes, with fields absent, empty and set.
func drawPod(t *rapid.T) *builder.PodBuilder {
	return builder.Pod("serving", "vllm-0").With(func(p *corev1.Pod) {
		containers := rapid.SliceOfN(rapid.Custom(drawContainer), 1, 3)
		p.Spec.Containers = containers.Draw(t, "containers")
		p.Spec.InitContainers = rapid.OneOf(rapid.Just[[]corev1.Container](nil), containers).Draw(t, "init containers")
		for _, key := range []string{"app", "tier", "empty"} {
			if chance(t, "label "+key, 2) {
				metav1.SetMetaDataLabel(&p.ObjectMeta, key, oneOf(t, "label", "", "a", "b"))
			}
		}
		if chance(t, "has annotations", 2) {
			p.Annotations = map[string]string{"number": oneOf(t, "annotation", "", "7", "x\ny")}
			p.Annotations[oneOf(t, "key", "number", "cdi.k8s.io/gpu", "gpu-fraction", "aliyun.com/gpu-mem", "example.com/cpu-set", "input")] = "1"
		}
		p.Spec.HostNetwork, p.Spec.HostPID = chance(t, "host network", 4), chance(t, "host pid", 4)
		p.Spec.NodeSelector = oneOf(t, "node selector", nil, map[string]string{}, map[string]string{"pool": "gpu"})
		p.Spec.RuntimeClassName = oneOf(t, "runtime class", nil, new(""), new("kata"), new("kata-qemu-nvidia-gpu"), new("gvisor"))
		p.Spec.AutomountServiceAccountToken = oneOf(t, "automount", nil, new(true), new(false))
		p.Spec.TerminationGracePeriodSeconds = oneOf(t, "grace", nil, new(int64(0)), new(int64(3600)))
		p.Spec.SecurityContext = oneOf(t, "pod securityContext", nil, &corev1.PodSecurityContext{}, &corev1.PodSecurityContext{RunAsNonRoot: new(true)})
		p.Spec.Overhead = oneOf(t, "overhead", nil, corev1.ResourceList{}, corev1.ResourceList{"cpu": resource.MustParse("100m")})
		if chance(t, "has volumes", 2) {
			p.Spec.Volumes = []corev1.Volume{oneOf(t, "volume",
				corev1.Volume{Name: "host", VolumeSource: corev1.VolumeSource{HostPath: &corev1.HostPathVolumeSource{Path: oneOf(t, "path",
					"/", "/dev/nvidia0", "/dev", "/development", "/var/log", "/var/log/../../dev", "//dev", "dev", "/run/x.sock"), Type: new(corev1.HostPathDirectory)}}},
				corev1.Volume{Name: "empty", VolumeSource: corev1.VolumeSource{EmptyDir: &corev1.EmptyDirVolumeSource{SizeLimit: new(resource.MustParse("1Gi"))}}},
				corev1.Volume{Name: "weights", VolumeSource: corev1.VolumeSource{Image: &corev1.ImageVolumeSource{Reference: builder.TaggedImage}}})}
		}
		if chance(t, "tolerates", 3) {
			p.Spec.Tolerations = []corev1.Toleration{{Key: "gpu", Operator: corev1.TolerationOpExists, TolerationSeconds: oneOf(t, "for", nil, new(int64(0)))}}
		}
		if chance(t, "claims", 6) {
			p.Spec.ResourceClaims = []corev1.PodResourceClaim{{Name: "gpu", ResourceClaimName: new("gpu")}}
		}
	})
}

// TestOperatorAndAPIServerAgree lets both judge the same pods by the same rules: what one lets pass and the other does
// not would be either a hole, or a pod that is released for ever in vain.
func TestOperatorAndAPIServerAgree(t *testing.T) {
	const every = "[object.spec.containers, object.spec.?initContainers.orValue([])].all(cs, cs.all(c, %s))"
	for name, expression := range map[string]string{
		"always":                          "true",
		"never":                           "false",
		"images":                          fmt.Sprintf(every, "c.image.matches('^[^@]+@sha256:[0-9a-f]{64}$')"),
		"an absent list, in safety":       "object.spec.?initContainers.orValue([]).size() == 0",
		"an absent list, carelessly":      "object.spec.initContainers.size() == 0",
		"an empty map":                    "has(object.spec.nodeSelector) && object.spec.nodeSelector.size() > 0",
		"an absent map, carelessly":       "object.spec.nodeSelector['pool'] == 'gpu'",
		"a field that is false":           "!object.spec.hostNetwork",
		"a field that is false, with has": "!has(object.spec.hostNetwork) && !has(object.spec.hostPID)",
		"a pointer":                       "has(object.spec.automountServiceAccountToken) && object.spec.automountServiceAccountToken == false",
		"a pointer to nothing":            "has(object.spec.runtimeClassName) ? object.spec.runtimeClassName != '' : true",
		"a number":                        "object.spec.?terminationGracePeriodSeconds.orValue(30) <= 30",
		"an empty struct":                 "!has(object.spec.securityContext)",
		"structs in structs":              fmt.Sprintf(every, "!c.?securityContext.?privileged.orValue(false)"),
		"equal structs":                   "object.spec.containers.all(c, c == object.spec.containers[0])",
		"structs that are not there":      "object.spec.containers[0].securityContext.capabilities.drop == ['ALL']",
		"quantities":                      fmt.Sprintf(every, "!has(c.resources.limits) || c.resources.limits.all(k, quantity(c.resources.limits[k]).compareTo(quantity('2')) <= 0)"),
		"quantities as text":              fmt.Sprintf(every, "c.?resources.?requests[?'cpu'].orValue('1') in ['1', '500m']"),
		"keys":                            fmt.Sprintf(every, "!c.?resources.limits.orValue({}).exists(k, k.contains('/'))"),
		"labels":                          "object.metadata.?labels['app'].orValue('') in ['a', '']",
		"labels, carelessly":              "object.metadata.labels['app'] == 'a'",
		"all labels":                      "object.metadata.labels.all(k, object.metadata.labels[k] != '')",
		"two variables":                   "object.metadata.labels.all(k, v, k != v)",
		"words that are no number":        "int(object.metadata.annotations['number']) == 7",
		"absorbed errors":                 "object.spec.initContainers.size() > 0 || object.spec.containers.size() > 1",
		"no bool":                         "object.metadata.name",
		"a bool in the end":               "object.spec.automountServiceAccountToken",
		"or nothing":                      "dyn(object.spec.?automountServiceAccountToken.orValue(null))",
		"kind and version":                "object.kind == 'Pod' && object.apiVersion == 'v1'",
		"the status":                      "!has(object.status.phase) || object.status.phase != 'Running'",
		"when it was made":                "timestamp(object.metadata.creationTimestamp) > timestamp('2026-01-01T00:00:00Z')",
		"who it is":                       "object.metadata.namespace == 'serving' && object.metadata.?generateName.orValue('') == ''",
		"environment":                     fmt.Sprintf(every, "!c.?env.orValue([]).exists(e, e.name == 'MODE' && e.?value.orValue('') == 'debug')"),
		"arguments":                       fmt.Sprintf(every, "!('--trust' in c.?args.orValue([]))"),
		"ports":                           fmt.Sprintf(every, "c.?ports.orValue([]).all(p, !has(p.hostPort) && p.containerPort < 1024)"),
		"volumes":                         "!object.spec.?volumes.orValue([]).exists(v, has(v.hostPath) || has(v.image))",
		"a size":                          "object.spec.?volumes.orValue([]).all(v, !has(v.emptyDir) || quantity(v.emptyDir.sizeLimit) == quantity('1024Mi'))",
		"a comment":                       "object.spec.containers.size() == 1 // only one",
		"over lines":                      "object.spec.containers\n\n.size() // of them\n == 1",
		"text over lines":                 "object.metadata.?annotations['number'].orValue('') != '''x\ny'''",
		"a variable called like ours":     "[object.spec].all(clearance, clearance.containers.all(params, params.image != ''))",
		"all containers":                  "containers.all(c, c.image.matches('^[^@]+@sha256:[0-9a-f]{64}$'))",
		"the number of containers":        "containers.size() == 2 && containers[0].name == 'server'",
		"containers of another type":      "containers == 'server' || containers + 1 == 2",
		"containers of one's own":         "[object.spec.containers].all(containers, containers.exists(c, c.name == 'proxy'))",
		"containers and weights":          "containers.exists(c, ('oci://' + c.image) in weights)",
		"what is declared":                "weights.size() == 2 && weights.exists(w, w == 's3://b')",
		"images that are declared":        "object.spec.?volumes.orValue([]).all(v, !has(v.image) || ('oci://' + v.image.?reference.orValue('')) in weights)",
		"much":                            fmt.Sprintf(every, "object.spec.containers.all(a, object.spec.containers.all(b, a.name + b.name + c.name != ''))"),
	} {
		t.Run(name, func(t *testing.T) {
			compiler, err := safeguard.NewCompiler()
			if err != nil {
				t.Fatal(err)
			}
			validations := []v1alpha1.PodValidation{{Expression: expression, Message: "broken"}}
			compiled, err := compiler.Compile(&v1alpha1.Safeguard{ObjectMeta: metav1.ObjectMeta{Name: "rule"},
				Spec: v1alpha1.SafeguardSpec{PodRule: &v1alpha1.PodRule{Validations: validations}}})
			if err != nil {
				t.Fatal(err)
			}
			server := newAPIServer(t, admission.Policies(install, append(rulesOfTests(), admission.Rule{Safeguard: "rule", Validations: validations})), enforced).
				put(clearing(cleared("opus", "09:00:00", "rule").declaring(declaredInTests...)))
			rapid.Check(t, func(t *rapid.T) {
				server.before137 = rapid.Bool().Draw(t, "before 1.37")
				made := server.serve(t, request{user: "ann", operation: apiadmission.Create, resource: pods, object: drawPod(t).Model("opus").Build()})
				p := podOf(t, made.object)
				p.TypeMeta = metav1.TypeMeta{} // as clients show it
				broken := brokenFor(compiled, p)
				if (broken != "") != (len(made.denials) > 0) {
					t.Fatalf("a new pod: the operator says %q, the API server %q", broken, made.denials)
				}
				gated := p.DeepCopy()
				gated.Spec.SchedulingGates = []corev1.PodSchedulingGate{{Name: gate}}
				released := server.serve(t, request{user: install.Username, operation: apiadmission.Update, resource: pods, object: p, old: gated})
				if (broken != "") != (len(released.denials) > 0) {
					t.Fatalf("release of a pod: the operator says %q, the API server %q", broken, released.denials)
				}
			})
		})
	}
}

// declaredInTests is what the model declares of its weights.
var declaredInTests = []string{"oci://" + builder.TaggedImage, "s3://b"}

// brokenFor says what the operator finds wrong with a pod.
func brokenFor(compiled *safeguard.Compiled, p *corev1.Pod) string {
	in := safeguard.Inspect(types.NamespacedName{Namespace: "serving", Name: "opus"}, []*safeguard.Compiled{compiled}, []*corev1.Pod{p}, safeguard.Surroundings{Weights: declaredInTests})
	if f := in.Findings[compiled.Name]; f.State != v1alpha1.SafeguardSatisfied {
		return f.Message
	}
	return ""
}

// TestCoveredAgreesWithTheAPIServer compares the operator's inventory of strays with what the API server lets pass
// without a model.
func TestCoveredAgreesWithTheAPIServer(t *testing.T) {
	server := newAPIServer(t, admission.Policies(install, nil), enforced)
	rapid.Check(t, func(t *rapid.T) {
		server.before137 = rapid.Bool().Draw(t, "before 1.37")
		coverage := oneOf(t, "coverage", "", v1alpha1.CoverageAccelerators, v1alpha1.CoverageAccelerators, "everything")
		server.put(enforcing(admission.Clearances{Coverage: coverage}))
		p := drawPod(t).Build()
		a := server.serve(t, request{user: "ann", operation: apiadmission.Create, resource: pods, object: p})
		if covered := admission.Covered(p, coverage); covered != (len(a.denials) > 0) {
			t.Fatalf("coverage %q: the operator says that a model must be named: %v, the API server %q", coverage, covered, a.denials)
		}
	})
}

// TestRulesThatCannotBeEvaluatedDeny shows what becomes of a rule that looks at what is not there.
func TestRulesThatCannotBeEvaluatedDeny(t *testing.T) {
	rules := []admission.Rule{{Safeguard: "careless", Remedy: "look first", Validations: []v1alpha1.PodValidation{
		{Expression: "object.spec.nodeSelector['pool'] == 'gpu'", Message: "not on the GPU pool"}}}}
	server := newAPIServer(t, admission.Policies(install, rules), enforced).
		put(clearing(cleared("opus", "09:00:00", "careless"), cleared("haiku", "09:00:00")))
	for model, denied := range map[string]bool{"opus": true, "haiku": false} {
		bothServers(t, model, server, func(t *testing.T, s *apiServer) {
			a := s.serve(t, request{user: "ann", operation: apiadmission.Create, resource: pods, object: pod().Model(model).Build()})
			if len(a.denials) > 0 != denied {
				t.Errorf("denials %q, want some: %v", a.denials, denied)
			}
			if denied && !strings.Contains(a.denials[0], "no such key: nodeSelector") {
				t.Errorf("denied without saying why: %s", a.denials[0])
			}
		})
	}
}

// TestWaysToAnAccelerator tells which pods must name a model where only accelerators are covered, and which need not.
func TestWaysToAnAccelerator(t *testing.T) {
	server := newAPIServer(t, admission.Policies(install, nil), enforced).
		put(enforcing(admission.Clearances{Coverage: v1alpha1.CoverageAccelerators}))
	env := func(e corev1.EnvVar) func(*corev1.Pod) {
		return func(p *corev1.Pod) { p.Spec.Containers[0].Env = []corev1.EnvVar{e} }
	}
	annotated := func(key string) func(*corev1.Pod) {
		return func(p *corev1.Pod) { p.Annotations = map[string]string{key: "1"} }
	}
	host := func(path string) func(*corev1.Pod) {
		return func(p *corev1.Pod) {
			p.Spec.Volumes = []corev1.Volume{{Name: "h", VolumeSource: corev1.VolumeSource{HostPath: &corev1.HostPathVolumeSource{Path: path}}}}
		}
	}
	runtimeClass := func(name string) func(*corev1.Pod) {
		return func(p *corev1.Pod) { p.Spec.RuntimeClassName = &name }
	}
	for name, c := range map[string]struct {
		change  func(*corev1.Pod)
		covered bool
	}{
		"a variable":               {env(corev1.EnvVar{Name: "NVIDIA_VISIBLE_DEVICES", Value: "all"}), true},
		"a variable from a Secret": {env(corev1.EnvVar{Name: "NVIDIA_VISIBLE_DEVICES", ValueFrom: &corev1.EnvVarSource{}}), true},
		"a variable of another":    {env(corev1.EnvVar{Name: "AMD_VISIBLE_DEVICES", Value: "0"}), true},
		"a fraction":               {annotated("gpu-fraction"), true},
		"memory of a GPU":          {annotated("gpu-memory"), true},
		"CDI":                      {annotated("cdi.k8s.io/gpu"), true},
		"a device":                 {host("/dev/nvidia0"), true},
		"a device by a detour":     {host("/opt/../dev"), true},
		"the whole node":           {host("/"), true},
		"a runtime class":          {runtimeClass("nvidia"), true},
		"privileged": {func(p *corev1.Pod) {
			p.Spec.Containers[0].SecurityContext = &corev1.SecurityContext{Privileged: new(true)}
		}, true},
		"nothing":               {func(*corev1.Pod) {}, false},
		"a variable for none":   {env(corev1.EnvVar{Name: "NVIDIA_VISIBLE_DEVICES", Value: "void"}), false},
		"another variable":      {env(corev1.EnvVar{Name: "LOG_LEVEL", Value: "all"}), false},
		"another annotation":    {annotated("prometheus.io/scrape"), false},
		"logs of the node":      {host("/var/log"), false},
		"another runtime class": {runtimeClass("gvisor"), false},
	} {
		t.Run(name, func(t *testing.T) {
			p := pod().Build()
			p.Labels = nil
			c.change(p)
			a := server.serve(t, request{user: "ann", operation: apiadmission.Create, resource: pods, object: p})
			if denied := len(a.denials) > 0; denied != c.covered || admission.Covered(p, v1alpha1.CoverageAccelerators) != c.covered {
				t.Errorf("the API server says %q, the operator %v, want %v", a.denials, !c.covered, c.covered)
			}
		})
	}
}

// TestTooLarge shows that a pod that is too large is refused in words about itself, whoever it belongs to, and whether it is held.
func TestTooLarge(t *testing.T) {
	server := newAPIServer(t, admission.Policies(install, rulesOfTests()), enforced).put(clearing(cleared("opus", "09:00:00", "image-pinned")))
	variables := func(n int) func(*corev1.Pod) {
		return func(p *corev1.Pod) {
			for i := range n {
				p.Spec.Containers[0].Env = append(p.Spec.Containers[0].Env, corev1.EnvVar{Name: fmt.Sprintf("V%d", i)})
			}
		}
	}
	for name, c := range map[string]struct {
		change func(*corev1.Pod)
		said   string
	}{
		"many variables":    {variables(25_000), "25000 environment variables"},
		"a variable more":   {variables(1001), "1001 environment variables"},
		"many in one model": {variables(1000), ""},
		"a long text":       {func(p *corev1.Pod) { p.Spec.Containers[0].Args = []string{strings.Repeat("x", 40_000)} }, "32768 characters"},
		"a text":            {func(p *corev1.Pod) { p.Spec.Containers[0].Args = []string{strings.Repeat("x", 30_000)} }, ""},
		"many words":        {func(p *corev1.Pod) { p.Spec.Containers[0].Args = make([]string, 2000) }, "2000 words"},
		"many containers": {func(p *corev1.Pod) {
			p.Spec.InitContainers = make([]corev1.Container, 200)
			for i := range p.Spec.InitContainers {
				p.Spec.InitContainers[i].Image = builder.PinnedImage
			}
		}, "201 containers"},
	} {
		for _, model := range []string{"opus", "unknown"} {
			t.Run(name+" of "+model, func(t *testing.T) {
				p := pod().Model(model).Build()
				c.change(p)
				a := server.serve(t, request{user: "ann", operation: apiadmission.Create, resource: pods, object: p})
				if c.said == "" {
					if len(a.denials) > 0 {
						t.Errorf("denied: %q", a.denials)
					}
					return
				}
				if len(a.denials) == 0 || !strings.Contains(strings.Join(a.denials, " "), c.said) {
					t.Errorf("denials %.300q, want one that says %q", a.denials, c.said)
				}
			})
		}
	}
}
