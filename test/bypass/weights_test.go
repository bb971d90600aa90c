package bypass

import (
	"context"
	"os"
	"path/filepath"
	"strings"

	. "github.com/onsi/ginkgo/v2"
	. "github.com/onsi/gomega"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/types"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/yaml"

	"github.com/interlock-dev/interlock/api/v1alpha1"
	"github.com/interlock-dev/interlock/internal/admission"
	"github.com/interlock-dev/interlock/internal/testing/builder"
)

// weightsName asks at ASL-2 that pods name no weights but those that are declared, by the Safeguard that is shipped.
const weightsName = "bypass-weights"

const (
	ourCommit = "9213176726f574b556790deb65791e0c5aa438b6"
	ourImage  = "registry.example.com:5000/models/small@sha256:5f70bf18a086007016e948b04aed3b82103a36bea41755b6cddfaf10ace3c6ef"
)

func weightsPack() []client.Object {
	GinkgoHelper()
	raw, err := os.ReadFile(filepath.Join("..", "..", "config", "policies", "anthropic-rsp-v2.2", "safeguards", "weights-declared.yaml"))
	Expect(err).NotTo(HaveOccurred())
	declared := &v1alpha1.Safeguard{}
	Expect(yaml.UnmarshalStrict(raw, declared)).To(Succeed())
	return []client.Object{declared, builder.ScalingPolicy(weightsName).Level(builder.Level(builder.ASL2).Deployment(declared.Name).EvictAfter(0)).
		Level(builder.Level(builder.ASL3).Security(egressLimited)).Build()}
}

// declare sets where a model may be loaded from, and returns once the API server knows.
func (t *tenant) declare(ctx context.Context, model string, sources ...string) {
	GinkgoHelper()
	Expect(t.declaring(ctx, model, sources...)).To(Succeed())
	Eventually(ctx, func(g Gomega) {
		g.Expect(admission.Find(t.clearances(ctx).Annotations, model).Weights).To(ContainElement(sources[0]))
	}).Should(Succeed())
}

func (t *tenant) declaring(ctx context.Context, model string, sources ...string) error {
	md := builder.ModelDeployment(t.namespace, model).Build()
	return patching("", types.MergePatchType, "", anything{"spec": anything{"model": anything{"sources": sources}}}).do(ctx, t.editor, md)
}

func args(a ...string) func(*corev1.Pod) {
	return func(p *corev1.Pod) { p.Spec.Containers[0].Args = a }
}

func volume(source corev1.VolumeSource) func(*corev1.Pod) {
	return func(p *corev1.Pod) {
		p.Spec.Volumes = append(p.Spec.Volumes, corev1.Volume{Name: "weights", VolumeSource: source})
	}
}

func image(reference string) func(*corev1.Pod) {
	return volume(corev1.VolumeSource{Image: &corev1.ImageVolumeSource{Reference: reference}})
}

// expectUndeclared tries to create pods that name weights in ways that must be refused.
func (t *tenant) expectUndeclared(ctx context.Context, model string, ways map[string]func(*corev1.Pod)) {
	GinkgoHelper()
	for way, change := range ways {
		Expect(t.editor.Create(ctx, t.pod("x").Model(model).With(change).Build())).To(beRefusedBy("interlock-admit", "Safeguard weights-declared"), way)
	}
}

func weightTricks() {
	It("5: weights that the model does not declare are refused whatever a pod names them by, at its creation and later", func(ctx SpecContext) {
		t := newTenant(ctx, weightsName)
		t.limitEgress(ctx)
		t.waitVerdict(ctx, llama, v1alpha1.OutcomeCleared)
		t.declare(ctx, llama, "pvc://llama")
		t.declare(ctx, small, "oci://"+ourImage, "pvc://small", "s3://models/small")
		configMap := func(name string) *corev1.EnvVarSource {
			return &corev1.EnvVarSource{ConfigMapKeyRef: &corev1.ConfigMapKeySelector{LocalObjectReference: corev1.LocalObjectReference{Name: "c"}, Key: name}}
		}
		ways := map[string]func(*corev1.Pod){
			"arguments":             args("--model", "evil/model"),
			"arguments of a shell":  func(p *corev1.Pod) { p.Spec.Containers[0].Command = []string{"sh", "-c", "vllm serve evil/model"} },
			"an init container":     func(p *corev1.Pod) { p.Spec.InitContainers = initWith("s3://evil/model", "/mnt/models") },
			"an init container, S3": func(p *corev1.Pod) { p.Spec.InitContainers = initWith("S3://models/small", "/mnt/models") },
			"environment": func(p *corev1.Pod) {
				p.Spec.Containers[0].Env = []corev1.EnvVar{{Name: "HF_MODEL_ID", Value: "evil/model"}}
			},
			"a ConfigMap behind it": func(p *corev1.Pod) {
				p.Spec.Containers[0].Env = []corev1.EnvVar{{Name: "HF_MODEL_ID", ValueFrom: configMap("model")}}
			},
			"a ConfigMap behind an argument": func(p *corev1.Pod) {
				p.Spec.Containers[0].Env = []corev1.EnvVar{{Name: "WHICH", ValueFrom: configMap("model")}}
				p.Spec.Containers[0].Args = []string{"--model=$(WHICH)"}
			},
			"all of a ConfigMap": func(p *corev1.Pod) {
				p.Spec.Containers[0].EnvFrom = []corev1.EnvFromSource{{ConfigMapRef: &corev1.ConfigMapEnvSource{LocalObjectReference: corev1.LocalObjectReference{Name: "c"}}}}
			},
			"an image volume": image(builder.PinnedImage),
			"a claim":         volume(corev1.VolumeSource{PersistentVolumeClaim: &corev1.PersistentVolumeClaimVolumeSource{ClaimName: "evil"}}),
			"a node's folder": volume(corev1.VolumeSource{HostPath: &corev1.HostPathVolumeSource{Path: "/models/small"}}),
		}
		t.expectUndeclared(ctx, small, ways)
		t.expectUndeclared(ctx, llama, map[string]func(*corev1.Pod){"what another model declares": image(ourImage)})

		pod := t.running(ctx, t.pod("runs").Model(small).With(image(ourImage)))
		debugger := debugged(pod, builder.PinnedImage)
		debugger.Spec.EphemeralContainers[0].Args = []string{"--model", "evil/model"}
		Expect(t.owner.SubResource("ephemeralcontainers").Update(ctx, debugger)).To(beRefusedBy("interlock-guard", "Safeguard weights-declared"))
		t.expectUntouched(ctx, pod)
	})

	It("17: a name that can be moved to other weights is no source, and matches none", func(ctx SpecContext) {
		t := newTenant(ctx, weightsName)
		tagged := ourImage[:strings.Index(ourImage, "@")] + ":v1"
		for what, source := range map[string]string{"a tag": "oci://" + tagged, "neither tag nor digest": "oci://registry:5000/x", "a branch": "hf://example/small"} {
			Expect(t.declaring(ctx, small, source)).To(MatchError(ContainSubstring("spec.model.sources")), "declares %s", what)
		}
		t.declare(ctx, small, "oci://"+ourImage, "hf://example/small@"+ourCommit)
		t.expectUndeclared(ctx, small, map[string]func(*corev1.Pod){
			"a tag":                image(tagged),
			"no tag, but a port":   image("registry.example.com:5000/models/small"),
			"a tag and the digest": image(strings.Replace(ourImage, "@", ":v1@", 1)),
			"a branch":             args("--model", "example/small", "--revision", "main"),
			"no commit":            args("--model", "example/small"),
		})
		t.running(ctx, t.pod("runs").Model(small).With(image(ourImage)).With(args("--model", "example/small", "--revision", ourCommit)))
	})

	It("18: no other way of writing the name of declared weights is that name", func(ctx SpecContext) {
		t := newTenant(ctx, weightsName)
		for what, source := range map[string]string{
			"a tag and a digest":   "oci://" + strings.Replace(ourImage, "@", ":v1@", 1),
			"a digest in capitals": "oci://" + strings.ToUpper(ourImage),
			"a digest cut short":   "oci://" + ourImage[:len(ourImage)-1],
			"a look-alike letter":  "s3://m\u043edels/small",
			"a blank":              "s3://models/small pvc://evil",
			"a line":               "s3://models/small\nllama pvc://evil",
		} {
			Expect(t.declaring(ctx, small, source)).To(MatchError(ContainSubstring("spec.model.sources")), "declares %s", what)
		}
		t.declare(ctx, small, "oci://"+ourImage, "hf://example/small@"+ourCommit)
		t.expectUndeclared(ctx, small, map[string]func(*corev1.Pod){
			"another port":         image(strings.Replace(ourImage, ":5000", "", 1)),
			"the digest cut short": image(ourImage[:len(ourImage)-1]),
			"a capital":            args("--model", "Example/small", "--revision", ourCommit),
			"a look-alike letter":  args("--model", "ex\u0430mple/small", "--revision", ourCommit),
			"a commit cut short":   args("--model", "example/small", "--revision", ourCommit[:12]),
		})
	})

	It("19: no adapter is loaded onto a cleared model that does not declare it, and one that is no longer declared costs the clearance", func(ctx SpecContext) {
		t := newTenant(ctx, weightsName)
		t.declare(ctx, small, "s3://adapters/sql", "pvc://small")
		t.expectUndeclared(ctx, small, map[string]func(*corev1.Pod){
			"of vLLM":          args("--enable-lora", "--lora-modules", "sql=/mnt/sql", "evil=evil/adapter"),
			"of vLLM, as JSON": args("--lora-modules", `{"name": "evil", "path": "evil/adapter"}`),
			"of SGLang":        args("--lora-paths=evil=evil/adapter"),
			"of a variable": func(p *corev1.Pod) {
				p.Spec.Containers[0].Env = []corev1.EnvVar{{Name: "LORA_ADAPTERS", Value: "evil/adapter"}}
			},
			"of a storage-initializer": func(p *corev1.Pod) { p.Spec.InitContainers = initWith("s3://adapters/evil", "/mnt/lora/evil") },
			"of a download": func(p *corev1.Pod) {
				p.Spec.InitContainers = initWith("-o", "/mnt/lora/x", "https://evil.example.com/adapter")
			},
			"of a claim beside the base": volume(corev1.VolumeSource{PersistentVolumeClaim: &corev1.PersistentVolumeClaimVolumeSource{ClaimName: "evil"}}),
		})
		pod := t.running(ctx, t.pod("adapted").Model(small).With(args("--enable-lora", "--lora-modules=sql=/mnt/lora/sql")).With(func(p *corev1.Pod) {
			p.Spec.InitContainers = initWith("s3://adapters/sql", "/mnt/lora/sql")
		}))
		t.declare(ctx, small, "pvc://small")
		t.waitGone(ctx, pod)
	})
}

func initWith(args ...string) []corev1.Container {
	return []corev1.Container{{Name: "storage-initializer", Image: builder.PinnedImage, Args: args}}
}
