package bypass

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"

	. "github.com/onsi/ginkgo/v2"
	. "github.com/onsi/gomega"
	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/yaml"

	"github.com/interlock-dev/interlock/api/v1alpha1"
	"github.com/interlock-dev/interlock/internal/admission"
	"github.com/interlock-dev/interlock/internal/testing/builder"
)

// letterName asks at ASL-2 for pod rules of the pack of version 2.2, as they are shipped.
const letterName = "bypass-letter"

func letterPack() []client.Object {
	GinkgoHelper()
	var objects []client.Object
	asked := []string{"guard-in-path", "input-classifier", "no-host-access", "no-legacy-token", "no-runtime-loading", "output-classifier"}
	for _, name := range asked {
		sg := &v1alpha1.Safeguard{}
		readShipped(filepath.Join("policies", "anthropic-rsp-v2.2", "safeguards", name+".yaml"), sg)
		objects = append(objects, sg)
	}
	return append(objects, builder.ScalingPolicy(letterName).Level(builder.Level(builder.ASL2).Deployment(asked...)).
		Level(builder.Level(builder.ASL3).Security(egressLimited)).Build())
}

// readShipped reads an object of config/.
func readShipped(path string, into any) {
	GinkgoHelper()
	raw, err := os.ReadFile(filepath.Join("..", "..", "config", path))
	Expect(err).NotTo(HaveOccurred())
	Expect(yaml.UnmarshalStrict(raw, into)).To(Succeed())
}

// guardedPod is a pod of the sample that has all in place.
func (t *tenant) guardedPod(changes ...func(*corev1.Pod)) *corev1.Pod {
	GinkgoHelper()
	d := &appsv1.Deployment{}
	readShipped(filepath.Join("samples", "deployment-guarded.yaml"), d)
	pod := t.pod("x").Model(small).Build()
	pod.Spec = d.Spec.Template.Spec
	for _, change := range changes {
		change(pod)
	}
	return pod
}

func command(words ...string) func(*corev1.Pod) {
	return func(p *corev1.Pod) {
		p.Spec.Containers[0].Command, p.Spec.Containers[0].Args = words, []string{"--host=127.0.0.1"}
	}
}

func variables(all ...corev1.EnvVar) func(*corev1.Pod) {
	return func(p *corev1.Pod) { p.Spec.Containers[0].Env = append(p.Spec.Containers[0].Env, all...) }
}

func mounted(source corev1.VolumeSource, path string) func(*corev1.Pod) {
	return func(p *corev1.Pod) {
		p.Spec.Volumes = append(p.Spec.Volumes, corev1.Volume{Name: "further", VolumeSource: source})
		c := &p.Spec.Containers[0]
		c.VolumeMounts = append(c.VolumeMounts, corev1.VolumeMount{Name: "further", MountPath: path})
	}
}

func letterTricks() {
	It("49: a switch is found however it is spelt, and whatever puts it together", func(ctx SpecContext) {
		t := newTenant(ctx, letterName)
		Expect(t.editor.Create(ctx, t.guardedPod(), client.DryRunAll)).To(Succeed(), "the sample has all in place")
		sglang := []string{"python3", "-m", "sglang.launch_server"}
		together := t.guardedPod(command(append(sglang, "--enable-$(X)")...), variables(corev1.EnvVar{Name: "X", Value: "lora"}))
		Expect(t.editor.Create(ctx, together, client.DryRunAll)).To(beRefusedBy(admission.AdmitPolicy, "Safeguard no-runtime-loading"), "put together")
		for how, words := range map[string][]string{
			"in capitals": {"tritonserver", "--http-address=127.0.0.1", "--grpc-address=127.0.0.1", "--model-control-mode=EXPLICIT"},
			"cut short":   append(sglang, "--enable-lor"),
			"with '_'":    append(sglang, "--enable_lora"),
		} {
			Expect(t.editor.Create(ctx, t.guardedPod(command(words...)), client.DryRunAll)).
				To(beRefusedBy(admission.AdmitPolicy, "Safeguard no-runtime-loading"), how)
		}
	})

	It("49: a pod that meets the letter of a rule and defeats its purpose is refused", func(ctx SpecContext) {
		t := newTenant(ctx, letterName)
		day := int32(86400)
		for safeguard, change := range map[string]func(*corev1.Pod){
			"input-classifier": func(p *corev1.Pod) { // the model is an init container that never ends
				model := p.Spec.Containers[0]
				model.ReadinessProbe = nil
				guard := p.Spec.InitContainers[1]
				guard.Name, guard.RestartPolicy = "guard", nil
				p.Spec.InitContainers, p.Spec.Containers = []corev1.Container{model}, []corev1.Container{guard}
			},
			"guard-in-path": func(p *corev1.Pod) {
				p.Spec.Containers[0].Args = []string{"--host=$(POD_IP)"}
				variables(corev1.EnvVar{Name: "POD_IP", ValueFrom: &corev1.EnvVarSource{FieldRef: &corev1.ObjectFieldSelector{FieldPath: "status.podIP"}}})(p)
			},
			"no-host-access": func(p *corev1.Pod) {
				p.Spec.Containers[0].SecurityContext = &corev1.SecurityContext{Capabilities: &corev1.Capabilities{Add: []corev1.Capability{"ALL"}}}
			},
			"no-legacy-token": mounted(corev1.VolumeSource{Secret: &corev1.SecretVolumeSource{SecretName: "legacy"}}, "/var/run/secrets/kubernetes.io//serviceaccount"),
		} {
			Expect(t.editor.Create(ctx, t.guardedPod(change), client.DryRunAll)).To(beRefusedBy(admission.AdmitPolicy, "Safeguard "+safeguard), safeguard)
		}
		Expect(t.editor.Create(ctx, t.guardedPod(func(p *corev1.Pod) {
			p.Annotations = map[string]string{"k8s.v1.cni.cncf.io/networks": "default/uplink"}
		}), client.DryRunAll)).To(beRefusedBy(admission.AdmitPolicy, "k8s.v1.cni.cncf.io/networks"))
		Expect(t.editor.Create(ctx, t.guardedPod(mounted(corev1.VolumeSource{Projected: &corev1.ProjectedVolumeSource{Sources: []corev1.VolumeProjection{
			{PodCertificate: &corev1.PodCertificateProjection{SignerName: "example.com/any", KeyType: "ED25519", MaxExpirationSeconds: &day,
				CredentialBundlePath: "c.pem"}}}}}, "/id")), client.DryRunAll)).To(beRefusedBy(admission.AdmitPolicy, "pod certificate"))
	})

	It("52: a pod that is too large to be judged is refused in words about itself, held or not", func(ctx SpecContext) {
		t := newTenant(ctx, policyName)
		many := make([]corev1.EnvVar, 25_000)
		for i := range many {
			many[i].Name = fmt.Sprintf("V%d", i)
		}
		for _, model := range []string{small, llama} {
			pod := t.pod("x").Model(model).With(variables(many...)).Build()
			Expect(t.editor.Create(ctx, pod, client.DryRunAll)).To(beRefusedBy(admission.AdmitPolicy, "25000 environment variables"), model)
		}
		long := t.pod("x").Model(small).With(args(strings.Repeat("x", 100_000))).Build()
		Expect(t.editor.Create(ctx, long, client.DryRunAll)).To(beRefusedBy(admission.AdmitPolicy, "characters"))
		Expect(t.editor.Create(ctx, t.pod("x").Model(small).With(variables(many[:500]...)).Build(), client.DryRunAll)).To(Succeed())
	})

	It("60: where only accelerators are covered, one that is had without a request counts", func(ctx SpecContext) {
		t := newTenant(ctx, policyName, func(b *builder.NamespaceBuilder) { b.Accelerators() })
		annotated := func(key string) func(*corev1.Pod) {
			return func(p *corev1.Pod) { p.Annotations = map[string]string{key: "nvidia.com/gpu=all"} }
		}
		for how, change := range map[string]func(*corev1.Pod){
			"a variable": variables(corev1.EnvVar{Name: "NVIDIA_VISIBLE_DEVICES", Value: "all"}),
			"a fraction": annotated("gpu-fraction"),
			"CDI":        annotated("cdi.k8s.io/gpu"),
			"a device":   volume(corev1.VolumeSource{HostPath: &corev1.HostPathVolumeSource{Path: "/dev/nvidia0"}}),
			"a privileged": func(p *corev1.Pod) {
				p.Spec.Containers[0].SecurityContext = &corev1.SecurityContext{Privileged: new(true)}
			},
		} {
			Expect(t.editor.Create(ctx, t.pod("x").With(change).Build(), client.DryRunAll)).To(beRefusedBy(admission.AdmitPolicy, "must name the ModelDeployment"), how)
		}
		none := variables(corev1.EnvVar{Name: "NVIDIA_VISIBLE_DEVICES", Value: "void"})
		Expect(t.editor.Create(ctx, t.pod("x").With(none).Build(), client.DryRunAll)).To(Succeed())
	})
}
