package policies

import (
	"slices"
	"strings"
	"testing"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/resource"
	"k8s.io/apimachinery/pkg/types"

	"github.com/interlock-dev/interlock/api/v1alpha1"
	"github.com/interlock-dev/interlock/internal/safeguard"
)

const (
	commit      = "9213176726f574b556790deb65791e0c5aa438b6"
	weightsHub  = "hf://example/example-70b@" + commit
	weightsOCI  = "oci://registry.example.com:5000/models/example-70b@" + digest
	weightsPVC  = "pvc://example-70b"
	weightsPart = "pvc://shared/example-70b"
	weightsS3   = "s3://models/example-70b"
	weightsWeb  = "https://models.example.com/example-70b.tar"
	weightsNFS  = "nfs://filer.example.com/models/example-70b"
)

// declaredSources is what the model of these tests declares.
func declaredSources() []string {
	return []string{weightsHub, weightsOCI, weightsPVC, weightsPart, weightsS3, weightsWeb, weightsNFS}
}

func imageVolume(reference string) func(*corev1.Pod) {
	return withVolume(corev1.VolumeSource{Image: &corev1.ImageVolumeSource{Reference: reference}}, "")
}

func aClaim(name, subPath string) func(*corev1.Pod) {
	return withVolume(corev1.VolumeSource{PersistentVolumeClaim: &corev1.PersistentVolumeClaimVolumeSource{ClaimName: name}}, subPath)
}

func withVolume(source corev1.VolumeSource, subPath string) func(*corev1.Pod) {
	return func(p *corev1.Pod) {
		p.Spec.Volumes = append(p.Spec.Volumes, corev1.Volume{Name: "more", VolumeSource: source})
		p.Spec.Containers[0].VolumeMounts = append(p.Spec.Containers[0].VolumeMounts, corev1.VolumeMount{Name: "more", MountPath: "/more", SubPath: subPath})
	}
}

// weightsDeclared are the cases of the Safeguard of that name. Each way to name weights stands there twice, with what is
// declared and with what is not.
func weightsDeclared() ruleCases {
	args := func(a ...string) func(*corev1.Container) {
		return func(c *corev1.Container) { c.Args = append(c.Args, a...) }
	}
	command := func(a ...string) func(*corev1.Container) {
		return func(c *corev1.Container) { c.Command, c.Args = a, nil }
	}
	env := func(name, value string) func(*corev1.Container) {
		return func(c *corev1.Container) { c.Env = append(c.Env, corev1.EnvVar{Name: name, Value: value}) }
	}
	onGPU := func(change func(*corev1.Container)) func(*corev1.Container) {
		return func(c *corev1.Container) {
			c.Resources.Limits = corev1.ResourceList{"nvidia.com/gpu": resource.MustParse("1")}
			change(c)
		}
	}
	var cases ruleCases
	for name, change := range map[string]func(*corev1.Container){
		"--model, a repository":             args("--model", "evil/other-70b"),
		"--model=":                          args("--model=evil/other-70b"),
		"--model, of our repository a head": args("--model", "example/example-70b"),
		"--model, another commit":           args("--model", "example/example-70b", "--revision", strings.Repeat("0", 40)),
		"--model, a commit cut short":       args("--model", "example/example-70b", "--revision", commit[:39]),
		"--model, two commits":              args("--model", "example/example-70b", "--revision="+commit, "--revision", "main"),
		"--model, look-alike letters":       args("--model", "ex\u0430mple/example-70b", "--revision", commit),
		"--model, a folder":                 args("--model", "evil"),
		"--model, a variable":               args("--model=$(MODEL)"),
		"--model, nothing":                  args("--model="),
		"--model in a shell":                command("sh", "-c", "exec vllm serve /m --port 80\t--model\n'evil/other-70b'"),
		"vllm serve":                        command("vllm", "serve", "evil/other-70b"),
		"vllm serve in a shell":             command("sh", "-c", "vllm serve evil/other-70b"),
		"--model-path":                      command("python3", "-m", "sglang.launch_server", "--model-path", "evil/other-70b"),
		"--model-id":                        args("--model-id", "evil/other-70b"),
		"--model-repository":                args("--model-repository=s3://evil/other"),
		"an adapter":                        args("--enable-lora", "--lora-modules", "sql=/adapters/sql", "evil=evil/adapter"),
		"an adapter as JSON":                args("--lora-modules", `{"name": "evil", "path": "evil/adapter"}`),
		"an adapter of SGLang":              args("--lora-paths", "evil=evil/adapter"),
		"a draft model":                     onGPU(args("--speculative-config", `{"model": "evil/draft", "num_speculative_tokens": 5}`)),
		"an argument alone":                 onGPU(args("evil/other-70b")),
		"a variable of the shell":           onGPU(command("sh", "-c", "M=evil/other-70b; exec server --weights $M")),
		"llama.cpp":                         command("llama-server", "-hf", "evil/other-70b"),
		"a storage initializer":             args("s3://evil/other", "/mnt/models"),
		"a bucket with more behind it":      args("s3://models/example-70b/../other", "/mnt/models"),
		"a scheme in upper case":            args("S3://models/example-70b"),
		"an image by tag":                   args("oci://registry.example.com:5000/models/example-70b:v1"),
		"an image by tag and digest":        args(strings.Replace(weightsOCI, "@", ":v1@", 1)),
		"a digest in upper case":            args(strings.ToUpper(weightsOCI)),
		"a digest cut short":                args(weightsOCI[:len(weightsOCI)-1]),
		"an image without its port":         args(strings.Replace(weightsOCI, ":5000", "", 1)),
		"a variable for a model":            env("HF_MODEL_ID", "evil/other-70b"),
		"a variable for a folder":           env("MODEL_ID", "evil"),
		"a variable for a bucket":           env("STORAGE_URI", "gs://evil/other"),
		"a variable of any name":            onGPU(env("WHAT", "evil/other-70b")),
		"a variable with a URI":             env("WHAT", "s3://evil/other"),
		"a variable for an adapter":         env("LORA_ADAPTERS", "evil/adapter"),
		"a variable that refers":            env("MODEL_NAME", "$(OTHER)"),
		"a variable from a ConfigMap": func(c *corev1.Container) {
			c.Env = append(c.Env, corev1.EnvVar{Name: "HF_MODEL_ID", ValueFrom: &corev1.EnvVarSource{ConfigMapKeyRef: &corev1.ConfigMapKeySelector{Key: "model"}}})
		},
	} {
		cases.found = append(cases.found, everywhere(name, change)...)
	}
	// A debugger takes no variables from elsewhere, and an init container no URL that is not declared.
	cases.found = append(cases.found, everywhere("all variables of a ConfigMap", func(c *corev1.Container) {
		c.EnvFrom = []corev1.EnvFromSource{{ConfigMapRef: &corev1.ConfigMapEnvSource{}}}
	})...)
	cases.found = append(cases.found, variant{"a download before the start", func(p *corev1.Pod) {
		p.Spec.InitContainers[len(p.Spec.InitContainers)-1].Args = []string{"-o", "/mnt/models/m", "https://evil.example.com/other.tar"}
	}})
	for name, change := range map[string]func(*corev1.Pod){
		"an image volume":                 imageVolume("registry.example.com/models/other@" + digest),
		"an image volume by tag":          imageVolume("registry.example.com:5000/models/example-70b:v1"),
		"an image volume without tag":     imageVolume("registry.example.com:5000/models/example-70b"),
		"an image volume, tag and digest": imageVolume("registry.example.com:5000/models/example-70b:v1@" + digest),
		"an image volume, upper case":     imageVolume("registry.example.com:5000/models/example-70b@SHA256:" + strings.ToUpper(digest[7:])),
		"an image volume, cut short":      imageVolume("registry.example.com:5000/models/example-70b@" + digest[:70]),
		"a claim":                         aClaim("other", ""),
		"a claim that begins alike":       aClaim("example-70", ""),
		"another part of a claim":         aClaim("shared", "other"),
		"all of a claim":                  aClaim("shared", ""),
		"NFS":                             withVolume(corev1.VolumeSource{NFS: &corev1.NFSVolumeSource{Server: "filer.example.com", Path: "/models/other"}}, ""),
		"a folder of the node":            withVolume(corev1.VolumeSource{HostPath: &corev1.HostPathVolumeSource{Path: "/models/example-70b"}}, ""),
		"a volume of a driver":            withVolume(corev1.VolumeSource{CSI: &corev1.CSIVolumeSource{Driver: "buckets.example.com"}}, ""),
		"a copy of a claim": withVolume(corev1.VolumeSource{Ephemeral: &corev1.EphemeralVolumeSource{VolumeClaimTemplate: &corev1.PersistentVolumeClaimTemplate{
			Spec: corev1.PersistentVolumeClaimSpec{DataSource: &corev1.TypedLocalObjectReference{Kind: "PersistentVolumeClaim", Name: "other"}}}}}, ""),
		"a claim that nothing mounts": func(p *corev1.Pod) { aClaim("other", "")(p); p.Spec.Containers[0].VolumeMounts = nil },
		"a claim as a device": func(p *corev1.Pod) {
			aClaim("shared", "example-70b")(p)
			p.Spec.Containers[0].VolumeDevices = []corev1.VolumeDevice{{Name: "more", DevicePath: "/dev/more"}}
		},
	} {
		cases.found = append(cases.found, variant{name, change})
	}

	cases.passed = []variant{{"the sample", func(*corev1.Pod) {}}}
	for name, change := range map[string]func(*corev1.Container){
		"--model, our commit":     onGPU(args("--model", "example/example-70b", "--revision", commit)),
		"--model, our commit, =":  onGPU(args("--revision="+commit, "--model=example/example-70b")),
		"vllm serve, our commit":  onGPU(command("vllm", "serve", "example/example-70b", "--revision", commit, "--port", "8000")),
		"--model, a path":         args("--model", "/mnt/models"),
		"an adapter at a path":    args("--enable-lora", "--lora-modules", "sql=/adapters/sql", "b=/adapters/b", "--max-loras", "2"),
		"a storage initializer":   args(weightsS3, "/mnt/models"),
		"the whole URI":           args("--model", weightsHub),
		"a name to be served by":  args("--served-model-name", "llama"),
		"Triton on what is there": args("tritonserver", "--model-store=/mnt/models", "--http-port=8080"),
		"where telemetry goes":    args("--otlp-traces-endpoint", "grpc://collector:4317"),
		"n-grams as a draft":      onGPU(args("--speculative-config", `{"method": "ngram", "num_speculative_tokens": 5}`)),
		"a variable, our commit":  func(c *corev1.Container) { env("HF_MODEL_ID", "example/example-70b")(c); env("REVISION", commit)(c) },
		"a variable with a path":  env("MODEL_ID", "/mnt/models"),
		"a variable with a name":  env("MODEL_NAME", "example"),
		"a server by its URL":     env("MODEL_SERVER", "http://localhost:8000/v1"),
		"a zone":                  onGPU(env("TZ", "Europe/Berlin")),
		"a token from a Secret": func(c *corev1.Container) {
			c.Env = append(c.Env, corev1.EnvVar{Name: "HF_TOKEN", ValueFrom: &corev1.EnvVarSource{SecretKeyRef: &corev1.SecretKeySelector{Key: "token"}}})
		},
	} {
		cases.passed = append(cases.passed, everywhere(name, change)...)
	}
	for name, change := range map[string]func(*corev1.Pod){
		"our image volume": imageVolume(strings.TrimPrefix(weightsOCI, "oci://")),
		"our claim":        aClaim("example-70b", "any/part"),
		"our part":         aClaim("shared", "example-70b"),
		"our NFS":          withVolume(corev1.VolumeSource{NFS: &corev1.NFSVolumeSource{Server: "filer.example.com", Path: "/models/example-70b"}}, ""),
		"scratch":          withVolume(corev1.VolumeSource{Ephemeral: &corev1.EphemeralVolumeSource{VolumeClaimTemplate: &corev1.PersistentVolumeClaimTemplate{}}}, ""),
		"a download that is declared": func(p *corev1.Pod) {
			p.Spec.InitContainers[len(p.Spec.InitContainers)-1].Args = []string{"-o", "/mnt/models/m", weightsWeb}
		},
	} {
		cases.passed = append(cases.passed, variant{name, change})
	}
	return cases
}

func TestWeightsDeclared(t *testing.T) {
	sg := &v1alpha1.Safeguard{}
	othersRead(t, sg, "anthropic-rsp-v2.2", "safeguards", "weights-declared.yaml")
	compiled := compile(t, map[string]*v1alpha1.Safeguard{sg.Name: sg})[0]
	wrong := func(t *testing.T, change func(*corev1.Pod), weights ...string) string {
		pod := richPod(t)
		pod.Spec.Volumes = slices.DeleteFunc(pod.Spec.Volumes, func(v corev1.Volume) bool { return v.Image != nil || v.PersistentVolumeClaim != nil })
		change(pod)
		in := safeguard.Inspect(types.NamespacedName{Namespace: pod.Namespace, Name: "example-70b"},
			[]*safeguard.Compiled{compiled}, []*corev1.Pod{pod}, safeguard.Surroundings{Weights: weights})
		return in.Violations[pod.UID][sg.Name]
	}
	cases := weightsDeclared()
	for _, v := range cases.found {
		if said := wrong(t, v.change, declaredSources()...); said == "" || strings.Contains(said, "cannot be evaluated") {
			t.Errorf("%s: judged %q", v.name, said)
		}
	}
	for _, v := range cases.passed {
		if said := wrong(t, v.change, declaredSources()...); said != "" {
			t.Errorf("%s: judged %q", v.name, said)
		}
	}
	if said := wrong(t, imageVolume(strings.TrimPrefix(weightsOCI, "oci://"))); said == "" {
		t.Error("a model that declares nothing may name weights")
	}
}
