package policies

import (
	"fmt"
	"slices"
	"strings"
	"testing"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/utils/ptr"

	"github.com/interlock-dev/interlock/internal/safeguard"
)

// variant is a change of a pod that meets every rule.
type variant struct {
	name   string
	change func(*corev1.Pod)
}

// ruleCases tells for one Safeguard what it must find, and what it must let pass.
type ruleCases struct{ found, passed []variant }

// richPod is the guarded sample with a container of every kind besides, all as they should be.
func richPod(t *testing.T) *corev1.Pod {
	t.Helper()
	pod := samplePod(t, "deployment-guarded.yaml")
	like := func(name string) corev1.Container {
		c := corev1.Container{Name: name, Image: pinned("registry.example.com/tools/" + name)}
		c.SecurityContext = pod.Spec.Containers[0].SecurityContext.DeepCopy()
		return c
	}
	sidecar := like("shipper")
	sidecar.RestartPolicy = ptr.To(corev1.ContainerRestartPolicyAlways)
	pod.Spec.InitContainers = append(pod.Spec.InitContainers, sidecar, like("prepare"))
	pod.Spec.EphemeralContainers = []corev1.EphemeralContainer{
		{EphemeralContainerCommon: corev1.EphemeralContainerCommon(like("debugger"))}}
	return pod
}

// everywhere makes a variant of a change of one container for each kind of container.
func everywhere(name string, change func(*corev1.Container)) []variant {
	byName := func(containers []corev1.Container, name string) *corev1.Container {
		return &containers[slices.IndexFunc(containers, func(c corev1.Container) bool { return c.Name == name })]
	}
	return []variant{
		{name + " in a container", func(p *corev1.Pod) { change(byName(p.Spec.Containers, "vllm")) }},
		{name + " in an init container", func(p *corev1.Pod) { change(byName(p.Spec.InitContainers, "prepare")) }},
		{name + " in a sidecar", func(p *corev1.Pod) { change(byName(p.Spec.InitContainers, "shipper")) }},
		{name + " in an ephemeral container", func(p *corev1.Pod) {
			c := corev1.Container(p.Spec.EphemeralContainers[0].EphemeralContainerCommon)
			change(&c)
			p.Spec.EphemeralContainers[0].EphemeralContainerCommon = corev1.EphemeralContainerCommon(c)
		}},
	}
}

// cases of every Safeguard with a pod rule; those of one topic are in a file of their own.
func cases() map[string]ruleCases {
	all := map[string]ruleCases{
		"dedicated-nodes":    dedicatedNodes(),
		"guard-in-path":      guardInPath(),
		"image-pinned":       imagePinned(),
		"input-classifier":   classifier("input-classifier"),
		"no-host-access":     noHostAccess(),
		"no-interactive":     noInteractive(),
		"no-legacy-token":    noLegacyToken(),
		"no-runtime-loading": noRuntimeLoading(),
		"output-classifier":  classifier("output-classifier"),
		"pod-hardening":      podHardening(),
	}
	for name, more := range letterCases() {
		all[name] = ruleCases{found: append(all[name].found, more.found...), passed: append(all[name].passed, more.passed...)}
	}
	return all
}

// judge says what a Safeguard finds amiss with a pod.
func judge(t *testing.T, compiled []*safeguard.Compiled, name string, pod *corev1.Pod) string {
	t.Helper()
	i := slices.IndexFunc(compiled, func(c *safeguard.Compiled) bool { return c.Name == name })
	if i < 0 {
		t.Fatalf("no Safeguard is called %s", name)
	}
	in := safeguard.Inspect(types.NamespacedName{Namespace: pod.Namespace, Name: "example-70b"},
		compiled[i:i+1], []*corev1.Pod{pod}, safeguard.Surroundings{Weights: sampleModel(t).Spec.Model.Sources})
	return in.Violations[pod.UID][name]
}

func TestPodRules(t *testing.T) {
	p := loadPack(t, rsp22)
	compiled := compile(t, p.safeguards)
	tables := cases()
	for name, sg := range p.safeguards {
		if sg.Spec.PodRule == nil || name == "weights-declared" { // which TestWeightsDeclared is about
			continue
		}
		table, ok := tables[name]
		if !ok {
			t.Errorf("no cases for Safeguard %s", name)
			continue
		}
		t.Run(name, func(t *testing.T) {
			unseen := map[string]bool{}
			for _, v := range sg.Spec.PodRule.Validations {
				unseen[v.Message] = true
			}
			for _, v := range table.found {
				t.Run("finds "+v.name, func(t *testing.T) {
					pod := richPod(t)
					v.change(pod)
					wrong := judge(t, compiled, name, pod)
					if wrong == "" || strings.Contains(wrong, "cannot be evaluated") {
						t.Errorf("judged %q", wrong)
					}
					for message := range unseen {
						if strings.Contains(wrong, message) {
							delete(unseen, message)
						}
					}
				})
			}
			for _, v := range table.passed {
				t.Run("passes "+v.name, func(t *testing.T) {
					pod := richPod(t)
					v.change(pod)
					if wrong := judge(t, compiled, name, pod); wrong != "" {
						t.Errorf("judged %q", wrong)
					}
				})
			}
			for message := range unseen {
				t.Errorf("no case is found by the validation %q", message)
			}
		})
	}
}

func TestPodRulesPassTheRichPod(t *testing.T) {
	p := loadPack(t, rsp22)
	compiled := compile(t, p.safeguards)
	for name, sg := range p.safeguards {
		if sg.Spec.PodRule == nil || name == "no-interactive" { // which finds the ephemeral container
			continue
		}
		if wrong := judge(t, compiled, name, richPod(t)); wrong != "" {
			t.Errorf("%s: %s", name, wrong)
		}
	}
}

// A rule that meets an error finds something wrong with every pod, so it must not take for granted what may be absent.
func TestPodRulesTakeNothingForGranted(t *testing.T) {
	compiled := compile(t, loadPack(t, rsp22).safeguards)
	hollow := corev1.Container{
		Name: "hollow", SecurityContext: &corev1.SecurityContext{
			Capabilities: &corev1.Capabilities{}, SeccompProfile: &corev1.SeccompProfile{}, AppArmorProfile: &corev1.AppArmorProfile{},
			SELinuxOptions: &corev1.SELinuxOptions{}, WindowsOptions: &corev1.WindowsSecurityContextOptions{}},
		LivenessProbe: &corev1.Probe{}, ReadinessProbe: &corev1.Probe{}, StartupProbe: &corev1.Probe{},
		Lifecycle: &corev1.Lifecycle{PreStop: &corev1.LifecycleHandler{}},
		Ports:     []corev1.ContainerPort{{}}, Env: []corev1.EnvVar{{}}, Args: []string{""}, Command: []string{""},
		EnvFrom: []corev1.EnvFromSource{{}}, VolumeMounts: []corev1.VolumeMount{{}},
	}
	guard := hollow
	guard.Name = "guard"
	pods := map[string]corev1.PodSpec{
		"the least pod": {Containers: []corev1.Container{{Name: "main"}}},
		"no image": {Containers: []corev1.Container{{Name: "guard"}}, InitContainers: []corev1.Container{{Name: "input-classifier"}},
			Volumes: []corev1.Volume{{Name: "v", VolumeSource: corev1.VolumeSource{Image: &corev1.ImageVolumeSource{}}}}},
		"empty structures": {
			Containers: []corev1.Container{hollow}, InitContainers: []corev1.Container{guard},
			EphemeralContainers: []corev1.EphemeralContainer{{EphemeralContainerCommon: corev1.EphemeralContainerCommon(hollow)}},
			SecurityContext: &corev1.PodSecurityContext{SeccompProfile: &corev1.SeccompProfile{}, Sysctls: []corev1.Sysctl{{}},
				SELinuxOptions: &corev1.SELinuxOptions{}, WindowsOptions: &corev1.WindowsSecurityContextOptions{}},
			Affinity: &corev1.Affinity{NodeAffinity: &corev1.NodeAffinity{RequiredDuringSchedulingIgnoredDuringExecution: &corev1.NodeSelector{
				NodeSelectorTerms: []corev1.NodeSelectorTerm{{}, {MatchExpressions: []corev1.NodeSelectorRequirement{{}}}}}}},
			Tolerations: []corev1.Toleration{{}},
			Volumes: []corev1.Volume{{}, {VolumeSource: corev1.VolumeSource{Projected: &corev1.ProjectedVolumeSource{}}},
				{VolumeSource: corev1.VolumeSource{Projected: &corev1.ProjectedVolumeSource{Sources: []corev1.VolumeProjection{
					{}, {ServiceAccountToken: &corev1.ServiceAccountTokenProjection{}}, {Secret: &corev1.SecretProjection{}}}}}},
				{VolumeSource: corev1.VolumeSource{Secret: &corev1.SecretVolumeSource{}}}},
		},
		"empty structures above": {
			Containers: []corev1.Container{{}}, SecurityContext: &corev1.PodSecurityContext{},
			Affinity: &corev1.Affinity{NodeAffinity: &corev1.NodeAffinity{RequiredDuringSchedulingIgnoredDuringExecution: &corev1.NodeSelector{}}},
		},
	}
	for name, spec := range pods {
		t.Run(name, func(t *testing.T) {
			pod := &corev1.Pod{Spec: spec}
			pod.UID = "pod"
			for _, c := range compiled {
				if wrong := judge(t, compiled, c.Name, pod); strings.Contains(wrong, "cannot be evaluated") {
					t.Errorf("%s: %s", c.Name, wrong)
				}
			}
		})
	}
}

func TestCasesAreDistinct(t *testing.T) {
	for name, table := range cases() {
		seen := map[string]bool{}
		for _, v := range slices.Concat(table.found, table.passed) {
			if seen[v.name] {
				t.Errorf("%s: two cases are called %q", name, v.name)
			}
			seen[v.name] = true
		}
	}
}

const digest = "sha256:b17ef6d19c7a5b1ee83b907c595526dcb1eb06db8227d650d5dda0a9f4ce8cd9"

func pinned(name string) string { return fmt.Sprintf("%s@%s", name, digest) }
