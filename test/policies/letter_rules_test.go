package policies

import (
	"maps"
	"slices"
	"strings"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/resource"
	"k8s.io/utils/ptr"
)

// letterCases are pods that meet the letter of a rule and defeat its purpose, and pods that only look like these.
func letterCases() map[string]ruleCases {
	return map[string]ruleCases{
		"guard-in-path":      listening(),
		"image-pinned":       csiImages(),
		"input-classifier":   startsFirst("input-classifier"),
		"no-host-access":     belowBaseline(),
		"no-legacy-token":    lastingCredentials(),
		"no-runtime-loading": otherSwitches(),
		"output-classifier":  startsFirst("output-classifier"),
	}
}

// server makes the container of the model another program, as its image has no entry point of its own.
func server(words ...string) func(*corev1.Pod) {
	return func(p *corev1.Pod) { p.Spec.Containers[0].Command, p.Spec.Containers[0].Args = words, nil }
}

// with gives the container of the model further words and variables.
func with(words []string, env ...corev1.EnvVar) func(*corev1.Pod) {
	return func(p *corev1.Pod) {
		c := &p.Spec.Containers[0]
		c.Args, c.Env = append(c.Args, words...), append(c.Env, env...)
	}
}

func both(changes ...func(*corev1.Pod)) func(*corev1.Pod) {
	return func(p *corev1.Pod) {
		for _, change := range changes {
			change(p)
		}
	}
}

func fromField(name, path string) corev1.EnvVar {
	return corev1.EnvVar{Name: name, ValueFrom: &corev1.EnvVarSource{FieldRef: &corev1.ObjectFieldSelector{FieldPath: path}}}
}

func fromSecret(name string) corev1.EnvVar {
	return corev1.EnvVar{Name: name, ValueFrom: &corev1.EnvVarSource{SecretKeyRef: &corev1.SecretKeySelector{Key: "k"}}}
}

func variable(name, value string) corev1.EnvVar { return corev1.EnvVar{Name: name, Value: value} }

// named makes variants of changes, in the order of their names.
func named(changes map[string]func(*corev1.Pod)) []variant {
	var all []variant
	for _, name := range slices.Sorted(maps.Keys(changes)) {
		all = append(all, variant{name, changes[name]})
	}
	return all
}

// initially puts an init container at a place, with an image as all have.
func initially(at int, change func(*corev1.Container)) func(*corev1.Pod) {
	return func(p *corev1.Pod) {
		c := corev1.Container{Name: "early", Image: pinned("registry.example.com/early"), SecurityContext: p.Spec.Containers[0].SecurityContext}
		change(&c)
		p.Spec.InitContainers = slices.Insert(p.Spec.InitContainers, at, c)
	}
}

func startsFirst(name string) ruleCases {
	gpus := corev1.ResourceList{"nvidia.com/gpu": resource.MustParse("1")}
	mounting := func(volume string, readOnly bool) func(*corev1.Container) {
		return func(c *corev1.Container) {
			c.VolumeMounts = append(c.VolumeMounts, corev1.VolumeMount{Name: volume, MountPath: "/models", ReadOnly: readOnly})
		}
	}
	serving := map[string]func(*corev1.Container){
		"weights":            mounting("weights", true),
		"weights of a claim": mounting("claimed", true),
		"an accelerator":     func(c *corev1.Container) { c.Resources.Limits = gpus },
		"a claim of devices": func(c *corev1.Container) { c.Resources.Claims = []corev1.ResourceClaim{{Name: "gpu"}} },
		"a port":             func(c *corev1.Container) { c.Ports = []corev1.ContainerPort{{ContainerPort: 8000}} },
		"a block device": func(c *corev1.Container) {
			c.VolumeDevices = []corev1.VolumeDevice{{Name: "claimed", DevicePath: "/dev/w"}}
		},
	}
	claimed := func(p *corev1.Pod) {
		p.Spec.Volumes = append(p.Spec.Volumes, corev1.Volume{Name: "claimed", VolumeSource: corev1.VolumeSource{
			PersistentVolumeClaim: &corev1.PersistentVolumeClaimVolumeSource{ClaimName: "weights"}}})
	}
	always := func(change func(*corev1.Container)) func(*corev1.Container) {
		return func(c *corev1.Container) {
			c.RestartPolicy = ptr.To(corev1.ContainerRestartPolicyAlways)
			change(c)
		}
	}
	ordinary := func(p *corev1.Pod) { // the classifiers, behind the model
		for _, n := range []string{"input-classifier", "output-classifier"} {
			c := without(p, n)
			c.RestartPolicy = nil
			p.Spec.Containers = append(p.Spec.Containers, c)
		}
	}
	found, passed := map[string]func(*corev1.Pod){}, map[string]func(*corev1.Pod){}
	for what, change := range serving {
		found["an init container before it with "+what] = both(claimed, initially(0, change))
		found["a sidecar before it with "+what] = both(claimed, initially(0, always(change)))
		found["an init container before an ordinary guard with "+what] = both(claimed, ordinary, initially(0, change))
		passed["a sidecar behind it with "+what] = both(claimed, initially(2, always(change)))
	}
	found["an init container behind it with weights"] = initially(2, serving["weights"])
	found["an init container behind it with an accelerator"] = initially(2, serving["an accelerator"])
	found["one that serves what another fetched"] = both(initially(0, mounting("scratch", false)),
		initially(1, func(c *corev1.Container) { c.Name = "second"; mounting("scratch", true)(c) }))
	found["a decoy before it"] = both(initially(0, serving["weights"]), initially(0, always(func(c *corev1.Container) { c.Name = "guard" })))
	found["a hook that keeps an ordinary guard from starting"] = both(ordinary, func(p *corev1.Pod) {
		p.Spec.Containers[0].Lifecycle = &corev1.Lifecycle{PostStart: &corev1.LifecycleHandler{Exec: &corev1.ExecAction{Command: []string{"sleep", "9999999"}}}}
	})
	passed["a hook behind a sidecar"] = func(p *corev1.Pod) {
		p.Spec.Containers[0].Lifecycle = &corev1.Lifecycle{PostStart: &corev1.LifecycleHandler{Exec: &corev1.ExecAction{}}}
	}
	passed["an init container before it that does little"] = initially(0, func(c *corev1.Container) {
		c.Resources.Limits = corev1.ResourceList{"cpu": resource.MustParse("1"), "hugepages-2Mi": resource.MustParse("2Mi")}
	})
	passed["an init container before it that fetches"] = initially(0, mounting("scratch", false))
	passed["an init container behind it that fetches"] = both(claimed, initially(2, mounting("claimed", false)))
	passed["an init container behind it that reads what was fetched"] = initially(2, mounting("scratch", true))
	passed["an init container before an ordinary guard that fetches"] = both(ordinary, initially(0, mounting("scratch", false)))
	_ = name
	return ruleCases{found: named(found), passed: named(passed)}
}

func listening() ruleCases {
	gpuless := func(p *corev1.Pod) { p.Spec.Containers[0].Resources = corev1.ResourceRequirements{} }
	entryPoint := func(args ...string) func(*corev1.Pod) {
		return func(p *corev1.Pod) { p.Spec.Containers[0].Command, p.Spec.Containers[0].Args = nil, args }
	}
	podIP := fromField("POD_IP", "status.podIP")
	annotated := func(key, value string) func(*corev1.Pod) {
		return func(p *corev1.Pod) { p.Annotations = map[string]string{key: value} }
	}
	claiming := func(template string) func(*corev1.Pod) {
		return func(p *corev1.Pod) {
			p.Spec.ResourceClaims = []corev1.PodResourceClaim{{Name: "devices", ResourceClaimTemplateName: &template}}
		}
	}
	return ruleCases{
		found: named(map[string]func(*corev1.Pod){
			"vLLM by default":                       server("vllm", "serve", "/models/m"),
			"vLLM by default, without accelerator":  both(gpuless, server("vllm", "serve", "/models/m")),
			"vLLM by default, as a module":          server("python3", "-m", "vllm.entrypoints.openai.api_server", "--model=/m"),
			"vLLM by default, by its path":          server("/usr/local/bin/vllm", "serve", "/m"),
			"an image's own server by default":      entryPoint("--model=/models/m"),
			"an image's own server, nothing said":   entryPoint(),
			"TGI by default":                        server("text-generation-launcher", "--model-id=/m"),
			"Triton by default":                     server("tritonserver", "--model-repository=/m"),
			"Triton, one of two":                    server("tritonserver", "--model-repository=/m", "--http-address=127.0.0.1"),
			"llama-server by its image's variable":  server("/app/llama-server", "-m", "/m"),
			"Ollama by its image's variable":        server("ollama", "serve"),
			"LMDeploy by default":                   server("lmdeploy", "serve", "api_server", "/m"),
			"the pod's address":                     both(server("vllm", "serve", "/m", "--host=$(POD_IP)"), with(nil, podIP)),
			"the pod's address, apart":              both(server("vllm", "serve", "/m", "--host", "$(POD_IP)"), with(nil, podIP)),
			"the pod's addresses":                   both(server("vllm", "serve", "/m", "--host=$(A)"), with(nil, fromField("A", "status.podIPs"))),
			"the pod's address in another program":  both(gpuless, server("my-server", "-b", "$(POD_IP):80"), with(nil, podIP)),
			"the pod's address by a variable of it": both(server("vllm", "serve", "/m", "--host=$(H)"), with(nil, podIP, variable("H", "$(POD_IP)"))),
			"the pod's name":                        both(server("vllm", "serve", "/m", "--host=$(N)"), with(nil, fromField("N", "metadata.name"))),
			"some address":                          server("vllm", "serve", "/m", "--host=10.1.2.3"),
			"an address cut short":                  server("vllm", "serve", "/m", "--host=0"),
			"an address put together":               both(server("vllm", "serve", "/m", "--host=$(A).0"), with(nil, variable("A", "0.0.0"))),
			"loopback first":                        with([]string{"--host=$(POD_IP)"}, podIP),
			"loopback first, then cut short":        with([]string{"--hos", "10.1.2.3"}),
			"SGLang told otherwise":                 server("python3", "-m", "sglang.launch_server", "--host=10.1.2.3"),
			"a variable with the pod's address":     both(server("/app/llama-server", "-m", "/m"), with(nil, fromField("LLAMA_ARG_HOST", "status.podIP"))),
			"a variable that refers":                with(nil, podIP, variable("OLLAMA_HOST", "$(POD_IP)")),
			"all addresses, shortest":               server("my-server", "--bind=[::]:80"),
			"all addresses, ::0":                    with([]string{"--x=[::0]:80"}),
			"a shell":                               server("sh", "-c", "exec vllm serve /m --host 127.0.0.1"),
			"a shell by its path":                   server("/bin/bash", "-ec", "vllm serve /m --host 127.0.0.1"),
			"a shell by env":                        server("/usr/bin/env", "bash", "-c", "vllm serve /m --host 127.0.0.1"),
			"a program in words":                    server("python3", "-c", "import vllm"),
			"variables from elsewhere": func(p *corev1.Pod) {
				p.Spec.Containers[0].EnvFrom = []corev1.EnvFromSource{{ConfigMapRef: &corev1.ConfigMapEnvSource{}}}
			},
			"a second network":             annotated("k8s.v1.cni.cncf.io/networks", "default/uplink"),
			"another default network":      annotated("v1.multus-cni.io/default-network", "kube-system/other"),
			"interfaces of GKE":            annotated("networking.gke.io/interfaces", `[{"interfaceName":"eth1"}]`),
			"interfaces of DANM":           annotated("danm.k8s.io/interfaces", `[{"tenantNetwork":"x"}]`),
			"a second network in capitals": annotated("k8s.v1.cni.cncf.io/Networks", "default/uplink"),
			"a claim of NICs":              claiming("eight-nics"),
			"a claim of anything":          claiming("fast"),
			"a claim of both":              claiming("gpu-and-rdma"),
		}),
		passed: named(map[string]func(*corev1.Pod){
			"vLLM on loopback by name":     server("vllm", "serve", "/m", "--host=localhost"),
			"vLLM on IPv6 loopback":        server("vllm", "serve", "/m", "--host", "::1"),
			"vLLM in upper case":           server("vllm", "serve", "/m", "--host=LOCALHOST"),
			"vLLM on a socket":             server("vllm", "serve", "/m", "--uds=/run/vllm.sock"),
			"a worker of vLLM":             server("vllm", "serve", "/m", "--headless", "--data-parallel-rank=1"),
			"SGLang by default":            server("python3", "-m", "sglang.launch_server", "--model-path=/m"),
			"TGI on loopback":              server("text-generation-launcher", "--hostname=127.0.0.1"),
			"Triton on loopback":           server("tritonserver", "--http-address=127.0.0.1", "--grpc-address", "127.0.0.1"),
			"Triton without gRPC":          server("tritonserver", "--http-address=127.0.0.1", "--allow-grpc=false"),
			"llama-server by its variable": both(server("/app/llama-server", "-m", "/m"), with(nil, variable("LLAMA_ARG_HOST", "127.0.0.1"))),
			"Ollama by its variable":       both(entryPoint(), with(nil, variable("OLLAMA_HOST", "127.0.0.1:11434"))),
			"an image's own on loopback":   entryPoint("--model=/m", "--host=127.0.0.1"),
			"an address by a variable":     both(server("vllm", "serve", "/m", "--host=$(H)"), with(nil, variable("H", "127.0.0.1"))),
			"a client's host":              both(gpuless, server("shipper", "--host=collector.monitoring:4317", "--db=vllm")),
			"another field of the pod":     with([]string{"--served-model-name=$(N)"}, fromField("N", "metadata.name")),
			"the pod's address in env":     with(nil, fromField("VLLM_HOST_IP", "status.podIP")),
			"a shell without accelerator":  both(gpuless, server("sh", "-c", "tail -f /dev/null")),
			"an annotation that is empty":  annotated("k8s.v1.cni.cncf.io/networks", ""),
			"a status of the network":      annotated("k8s.v1.cni.cncf.io/network-status", `[{"name":"cluster"}]`),
			"what the network wrote":       annotated("k8s.ovn.org/pod-networks", `{"default":{}}`),
			"what Calico wrote":            annotated("cni.projectcalico.org/podIP", "10.0.0.1/32"),
			"a claim of GPUs":              claiming("gpu-h100"),
		}),
	}
}

func otherSwitches() ruleCases {
	found, passed := map[string]func(*corev1.Pod){}, map[string]func(*corev1.Pod){}
	for name, e := range map[string]corev1.EnvVar{
		"NIM looks for adapters":      variable("NIM_PEFT_REFRESH_INTERVAL", "60"),
		"NIM, from elsewhere":         fromSecret("NIM_PEFT_REFRESH_INTERVAL"),
		"a folder of models":          variable("LLAMA_ARG_MODELS_DIR", "/models"),
		"a list of models":            variable("LLAMA_ARG_MODELS_PRESET", "/models.ini"),
		"adapters of Dynamo":          variable("DYN_LORA_ENABLED", "true"),
		"lower case":                  variable("vllm_allow_runtime_lora_updating", "true"),
		"adapters that are reloaded":  variable("SERVER_ADAPTER_RELOAD", "yes"),
		"adapters by another name":    variable("ENGINE_DYNAMIC_LORA_LOADING", "1"),
		"LMCache's own API":           variable("LMCACHE_INTERNAL_API_SERVER_ENABLED", "True"),
		"a value put together":        variable("VLLM_ALLOW_RUNTIME_LORA_UPDATING", "$(A)"),
		"a value that is not known":   variable("TS_ENABLE_MODEL_API", "enabled"),
		"plugins that look for LoRAs": variable("VLLM_ALLOW_RUNTIME_LORA_UPDATING", " true"),
	} {
		found[name] = with(nil, e)
	}
	x := variable("X", "lora")
	sglang := func(words ...string) func(*corev1.Pod) {
		return server(append([]string{"python3", "-m", "sglang.launch_server"}, words...)...)
	}
	triton := func(words ...string) func(*corev1.Pod) { return server(append([]string{"tritonserver"}, words...)...) }
	maps.Copy(found, map[string]func(*corev1.Pod){
		"a switch put together":             both(sglang("--enable-$(X)"), with(nil, x)),
		"a switch put together of two":      both(sglang("$(A)$(X)"), with(nil, variable("A", "--enable-"), x)),
		"a switch by a variable":            both(sglang("$(X)"), with(nil, variable("X", "--enable-lora"))),
		"a switch by a field":               both(sglang("--enable-$(X)"), with(nil, fromField("X", "metadata.labels['x']"))),
		"a switch by an annotation":         both(sglang("$(X)"), with(nil, fromField("X", "metadata.annotations['x']"))),
		"a switch by a Secret":              both(sglang("--enable-$(X)"), with(nil, fromSecret("X"))),
		"a word by a Secret":                both(sglang("$(X)"), with(nil, fromSecret("X"))),
		"a word by a variable of another":   both(sglang("$(X)"), with(nil, variable("X", "$(Y)"), variable("Y", "--enable-lora"))),
		"a word that is set twice":          both(sglang("--enable-$(X)"), with(nil, variable("X", "metrics"), x)),
		"a word from elsewhere":             both(sglang("--enable-$(X)"), func(p *corev1.Pod) { p.Spec.Containers[0].EnvFrom = []corev1.EnvFromSource{{}} }),
		"SGLang with '_'":                   sglang("--enable_lora"),
		"SGLang cut short":                  sglang("--enable-lor"),
		"SGLang's paths cut short":          sglang("--lora-pat", "a=/a"),
		"SGLang in capitals":                sglang("--ENABLE-LORA"),
		"Triton in capitals":                triton("--model-control-mode=EXPLICIT"),
		"Triton in mixed case":              triton("--model-control-mode", "Poll"),
		"Triton cut short":                  triton("--model-control-m=explicit"),
		"Triton with '_'":                   triton("--model_control_mode=explicit"),
		"Triton twice":                      triton("--model-control-mode=none", "--model-control-mode=explicit"),
		"Triton by a variable":              both(triton("--model-control-mode=$(M)"), with(nil, variable("M", "explicit"))),
		"Triton by a field":                 both(triton("--model-control-mode=$(M)"), with(nil, fromField("M", "metadata.labels['m']"))),
		"Triton with a value that is none?": triton("--model-control-mode=nonesuch"),
		"a folder of llama-server":          server("/app/llama-server", "--models-dir", "/models"),
		"a preset of llama-server":          server("/app/llama-server", "--models-preset=/models.ini"),
		"llama-server without a model":      server("/app/llama-server", "--host", "127.0.0.1"),
		"Ollama":                            server("ollama", "serve"),
		"LoRAX":                             server("lorax-launcher", "--model-id=/m"),
		"the AIBrix runtime":                server("aibrix_runtime", "--port=8080"),
		"KServe's agent with one dash":      server("/agent", "-enable-puller"),
		"TorchServe cut short":              server("torchserve", "--enable-mod", "--start"),
		"vLLM's weights by dots":            with([]string{"--weight-transfer-config.backend=nccl"}),
		"vLLM's weights with '_'":           with([]string{"--weight_transfer_config", "{}"}),
		"NIM in a shell":                    server("sh", "-c", "NIM_PEFT_REFRESH_INTERVAL=5 exec start"),
		"mistral.rs in a shell":             server("sh", "-c", "MISTRALRS_ALLOW_RUNTIME_LORA_UPDATING=1 exec mistralrs"),
		"a configuration polled, apart":     server("tensorflow_model_server", "--model_config_file_poll_wait_seconds", "5"),
		"a configuration polled at last":    server("tensorflow_model_server", "--model_config_file_poll_wait_seconds"),
	})
	maps.Copy(passed, map[string]func(*corev1.Pod){
		"NIM reads adapters once":     with(nil, variable("NIM_PEFT_SOURCE", "/models/loras"), variable("NIM_PEFT_REFRESH_INTERVAL", "0")),
		"NIM says nothing of it":      with(nil, variable("NIM_PEFT_SOURCE", "/models/loras")),
		"llama-server with a model":   server("/app/llama-server", "-m", "/m", "--host", "127.0.0.1"),
		"llama-server by variable":    both(server("/app/llama-server"), with(nil, variable("LLAMA_ARG_MODEL", "/m"))),
		"llama-server by repository":  server("/app/llama-server", "-hf", "org/model:Q4"),
		"Triton says none in capital": triton("--model-control-mode=NONE"),
		"Triton's other options":      triton("--model-repository=/m", "--model-config-name=x"),
		"SGLang without adapters":     sglang("--enable-metrics", "--model-path=/m"),
		"a secret by a variable":      with([]string{"--api-key=$(K)"}, fromSecret("K")),
		"a secret in a word":          with([]string{"--api-key", "$(K)"}, fromSecret("K")),
		"a name by a field":           with([]string{"--served-model-name", "$(N)"}, fromField("N", "metadata.name")),
		"a number by a variable":      with([]string{"--port", "$(P)"}, variable("P", "8000")),
		"a variable that is not set":  with([]string{"--note=$(NOBODY)"}),
		"a dollar sign":               with([]string{"--price=5$"}),
		"an adapter at the start":     with(nil, variable("LORA_ADAPTERS", "/models/a"), variable("ENABLE_LORA", "true")),
		"a long context":              with(nil, variable("VLLM_ALLOW_LONG_MAX_MODEL_LEN", "1")),
		"a client of Ollama":          with(nil, variable("OLLAMA_BASE_URL", "http://127.0.0.1")),
		"TorchServe without its API":  server("torchserve", "--start", "--models", "a=/a.mar"),
		"names of other options":      with([]string{"--enable-log-requests", "--model-loader-extra-config={}", "--max-model-len=8192"}),
	})
	return ruleCases{found: named(found), passed: named(passed)}
}

func csiImages() ruleCases {
	attributes := func(key, value string) func(*corev1.Pod) {
		return volume(corev1.VolumeSource{CSI: &corev1.CSIVolumeSource{Driver: "any.example.com", VolumeAttributes: map[string]string{key: value}}})
	}
	found, passed := map[string]func(*corev1.Pod){}, map[string]func(*corev1.Pod){}
	for _, value := range []string{"registry.example.com/models/m:latest", "registry.example.com/models/m", "registry:5000/m:v1", "m:v1", "m",
		"oci://registry.example.com/m:v1", "registry.example.com/m:v1@" + digest, "registry.example.com/m@sha256:" + strings.ToUpper(digest[7:]),
		"registry.example.com/m@" + digest[:70], "Registry.Example.com/m@" + digest} {
		found["a reference "+value] = attributes("model.csi.modelpack.org/reference", value)
		found["an image "+value] = attributes("image", value)
	}
	for _, value := range []string{"registry.example.com/models/m:latest", "registry:5000/m:v1", "oci://registry.example.com/m", "models/m:v1",
		"REGISTRY.example.com/m:v1", "registry.example.com/m:v1@" + digest, "registry.example.com/m@sha512:" + digest[7:]} {
		found["whatever it is called, "+value] = attributes("source", value)
	}
	for key, value := range map[string]string{
		"model.csi.modelpack.org/reference": "registry.example.com/models/m@" + digest, "image": "oci://registry.example.com/m@" + digest,
		"source": "registry.example.com/m@" + digest, "secretProviderClass": "vault", "bucketName": "models", "mountOptions": "ro,uid=1000",
		"csi.cert-manager.io/dns-names": "a.b.svc.cluster.local", "csi.cert-manager.io/uri-names": "spiffe://cluster.local/ns/a/sa/b",
		"server": "nfs.example.com", "share": "/exports/models", "size": "1Gi", "pullImage": "true", "csi.storage.k8s.io/ephemeral": "true",
	} {
		passed["an attribute "+key] = attributes(key, value)
	}
	passed["a CSI volume without attributes"] = volume(corev1.VolumeSource{CSI: &corev1.CSIVolumeSource{Driver: "any.example.com"}})
	return ruleCases{found: named(found), passed: named(passed)}
}

func lastingCredentials() ruleCases {
	certificate := func(seconds *int32) func(*corev1.Pod) {
		return volume(corev1.VolumeSource{Projected: &corev1.ProjectedVolumeSource{Sources: []corev1.VolumeProjection{
			{ConfigMap: &corev1.ConfigMapProjection{}},
			{PodCertificate: &corev1.PodCertificateProjection{SignerName: "example.com/any", KeyType: "ED25519", MaxExpirationSeconds: seconds}}}}})
	}
	mounted := func(source corev1.VolumeSource, path string) func(*corev1.Pod) {
		return both(volume(source), func(p *corev1.Pod) {
			c := &p.Spec.Containers[0]
			c.VolumeMounts = append(c.VolumeMounts, corev1.VolumeMount{Name: "further", MountPath: path})
		})
	}
	items := []corev1.KeyToPath{{Key: "token", Path: "kubernetes.io/serviceaccount/token"}}
	secret := corev1.VolumeSource{Secret: &corev1.SecretVolumeSource{SecretName: "legacy"}}
	found, passed := map[string]func(*corev1.Pod){}, map[string]func(*corev1.Pod){}
	for _, path := range []string{"/var/run/secrets/kubernetes.io//serviceaccount", "/var/run/secrets//kubernetes.io/serviceaccount",
		"/var/run/secrets/./kubernetes.io/serviceaccount", "/var/run/secrets/x/../kubernetes.io/serviceaccount", "/run/secrets/kubernetes.io/serviceaccount/",
		"/var/run/secrets/kubernetes.io", "/var/run/secrets/kubernetes.io/serviceaccount/token", "/var/run/secrets/x/..", "var/run/secrets/kubernetes.io/serviceaccount",
		"//run/secrets", "/run/./secrets"} {
		found["a Secret at "+path] = mounted(secret, path)
	}
	maps.Copy(found, map[string]func(*corev1.Pod){
		"a certificate for 91 days":             certificate(ptr.To[int32](7862400)),
		"a certificate for a day, by default":   certificate(nil),
		"a certificate for an hour and a bit":   certificate(ptr.To[int32](3601)),
		"a Secret above, with its place inside": mounted(corev1.VolumeSource{Secret: &corev1.SecretVolumeSource{Items: items}}, "/var/run/secrets"),
		"a projected Secret above": mounted(corev1.VolumeSource{Projected: &corev1.ProjectedVolumeSource{Sources: []corev1.VolumeProjection{
			{Secret: &corev1.SecretProjection{Items: items}}}}}, "/run/secrets"),
		"a ConfigMap in the place": mounted(corev1.VolumeSource{ConfigMap: &corev1.ConfigMapVolumeSource{}}, "/var/run/secrets/kubernetes.io/serviceaccount"),
		"a CSI volume in the place": mounted(corev1.VolumeSource{CSI: &corev1.CSIVolumeSource{Driver: "secrets-store.csi.k8s.io"}},
			"/var/run/secrets/kubernetes.io/serviceaccount"),
	})
	for _, path := range []string{"/etc/tls", "/var/run/secrets/app", "/run/secrets", "/etc/.config", "/srv/a..b"} {
		passed["a Secret at "+path] = mounted(secret, path)
	}
	passed["a certificate for an hour"] = certificate(ptr.To[int32](3600))
	return ruleCases{found: named(found), passed: named(passed)}
}

func belowBaseline() ruleCases {
	var found []variant
	for name, change := range map[string]func(*corev1.SecurityContext){
		"all capabilities": func(s *corev1.SecurityContext) {
			s.Capabilities = &corev1.Capabilities{Add: []corev1.Capability{"ALL"}}
		},
		"a raw socket": func(s *corev1.SecurityContext) {
			s.Capabilities = &corev1.Capabilities{Add: []corev1.Capability{"NET_RAW"}}
		},
		"lower case": func(s *corev1.SecurityContext) {
			s.Capabilities = &corev1.Capabilities{Add: []corev1.Capability{"chown"}}
		},
		"an unmasked /proc":  func(s *corev1.SecurityContext) { s.ProcMount = ptr.To(corev1.UnmaskedProcMount) },
		"no seccomp":         func(s *corev1.SecurityContext) { s.SeccompProfile = &corev1.SeccompProfile{Type: "Unconfined"} },
		"no AppArmor":        func(s *corev1.SecurityContext) { s.AppArmorProfile = &corev1.AppArmorProfile{Type: "Unconfined"} },
		"an SELinux type":    func(s *corev1.SecurityContext) { s.SELinuxOptions = &corev1.SELinuxOptions{Type: "spc_t"} },
		"an SELinux user":    func(s *corev1.SecurityContext) { s.SELinuxOptions = &corev1.SELinuxOptions{User: "u"} },
		"an SELinux role":    func(s *corev1.SecurityContext) { s.SELinuxOptions = &corev1.SELinuxOptions{Role: "r"} },
		"privileged as well": func(s *corev1.SecurityContext) { s.Privileged = ptr.To(true) },
	} {
		found = append(found, everywhere(name, func(c *corev1.Container) { change(c.SecurityContext) })...)
	}
	ofPod := func(change func(*corev1.PodSecurityContext)) func(*corev1.Pod) {
		return func(p *corev1.Pod) { change(p.Spec.SecurityContext) }
	}
	return ruleCases{
		found: append(found, named(map[string]func(*corev1.Pod){
			"no seccomp of the pod":      ofPod(func(s *corev1.PodSecurityContext) { s.SeccompProfile.Type = "Unconfined" }),
			"no AppArmor of the pod":     ofPod(func(s *corev1.PodSecurityContext) { s.AppArmorProfile = &corev1.AppArmorProfile{Type: "Unconfined"} }),
			"an SELinux type of the pod": ofPod(func(s *corev1.PodSecurityContext) { s.SELinuxOptions = &corev1.SELinuxOptions{Type: "spc_t"} }),
			"an unsafe sysctl":           ofPod(func(s *corev1.PodSecurityContext) { s.Sysctls = []corev1.Sysctl{{Name: "kernel.msgmax"}} }),
			"no AppArmor by annotation": func(p *corev1.Pod) {
				p.Annotations = map[string]string{"container.apparmor.security.beta.kubernetes.io/vllm": "unconfined"}
			},
		})...),
		passed: named(map[string]func(*corev1.Pod){
			"root": func(p *corev1.Pod) {
				p.Spec.SecurityContext, p.Spec.Containers[0].SecurityContext = nil, &corev1.SecurityContext{RunAsUser: ptr.To[int64](0)}
			},
			"the capabilities that containers have": func(p *corev1.Pod) {
				p.Spec.Containers[0].SecurityContext.Capabilities = &corev1.Capabilities{Add: []corev1.Capability{"CHOWN", "NET_BIND_SERVICE"}}
			},
		}),
	}
}
