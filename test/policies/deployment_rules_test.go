package policies

import (
	"strings"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/util/intstr"
	"k8s.io/utils/ptr"
)

// inSidecar changes one of the sample's sidecars.
func inSidecar(name string, change func(*corev1.Container)) func(*corev1.Pod) {
	return func(p *corev1.Pod) {
		for i := range p.Spec.InitContainers {
			if p.Spec.InitContainers[i].Name == name {
				change(&p.Spec.InitContainers[i])
			}
		}
	}
}

// without removes a sidecar.
func without(p *corev1.Pod, name string) corev1.Container {
	for i, c := range p.Spec.InitContainers {
		if c.Name == name {
			p.Spec.InitContainers = append(p.Spec.InitContainers[:i:i], p.Spec.InitContainers[i+1:]...)
			return c
		}
	}
	panic("no sidecar is called " + name)
}

func classifier(name string) ruleCases {
	asContainer := func(change func(*corev1.Pod, *corev1.Container)) func(*corev1.Pod) {
		return func(p *corev1.Pod) {
			c := without(p, name)
			c.RestartPolicy = nil
			change(p, &c)
			p.Spec.Containers = append(p.Spec.Containers, c)
		}
	}
	return ruleCases{
		found: []variant{
			{"no such container", func(p *corev1.Pod) { without(p, name) }},
			{"only another classifier", func(p *corev1.Pod) {
				without(p, name)
				p.Spec.Containers[0].Name = strings.ReplaceAll(name, "-", "")
			}},
			{"one that ends before the model starts", inSidecar(name, func(c *corev1.Container) { c.RestartPolicy = nil })},
			{"one that is not restarted", inSidecar(name, func(c *corev1.Container) {
				c.RestartPolicy = ptr.To(corev1.ContainerRestartPolicyNever)
			})},
			{"one that a job leaves behind", asContainer(func(p *corev1.Pod, _ *corev1.Container) { p.Spec.RestartPolicy = corev1.RestartPolicyNever })},
			{"a container that is not restarted by itself", asContainer(func(_ *corev1.Pod, c *corev1.Container) {
				c.RestartPolicy = ptr.To(corev1.ContainerRestartPolicyOnFailure)
			})},
			{"an ephemeral one", func(p *corev1.Pod) {
				c := without(p, name)
				p.Spec.EphemeralContainers[0].EphemeralContainerCommon = corev1.EphemeralContainerCommon(c)
			}},
			{"a tag", inSidecar(name, func(c *corev1.Container) { c.Image = "registry.example.com/guards/" + name + ":v1" })},
			{"an upper-case digest", inSidecar(name, func(c *corev1.Container) { c.Image = "a@sha256:" + strings.ToUpper(digest[7:]) })},
			{"a truncated digest", inSidecar(name, func(c *corev1.Container) { c.Image = strings.TrimSuffix(c.Image, "0") + "x" })},
			{"no readinessProbe", inSidecar(name, func(c *corev1.Container) { c.ReadinessProbe = nil })},
			{"only a startupProbe", inSidecar(name, func(c *corev1.Container) { c.StartupProbe, c.ReadinessProbe = c.ReadinessProbe, nil })},
		},
		passed: []variant{
			{"a native sidecar", func(*corev1.Pod) {}},
			{"an ordinary container", asContainer(func(*corev1.Pod, *corev1.Container) {})},
			{"an ordinary guard", asContainer(func(_ *corev1.Pod, c *corev1.Container) { c.Name = "guard" })},
			{"an ordinary container of a pod as the API server completes it", asContainer(func(p *corev1.Pod, _ *corev1.Container) {
				p.Spec.RestartPolicy = corev1.RestartPolicyAlways
			})},
			{"a sidecar of a job", func(p *corev1.Pod) { p.Spec.RestartPolicy = corev1.RestartPolicyNever }},
			{"one guard for both ways", inSidecar(name, func(c *corev1.Container) { c.Name = "guard" })},
		},
	}
}

func guardInPath() ruleCases {
	tcp := corev1.ProbeHandler{TCPSocket: &corev1.TCPSocketAction{Port: intstr.FromInt32(8000)}}
	http := corev1.ProbeHandler{HTTPGet: &corev1.HTTPGetAction{Port: intstr.FromInt32(8000)}}
	grpc := corev1.ProbeHandler{GRPC: &corev1.GRPCAction{Port: 8000}}
	var found []variant
	for name, change := range map[string]func(*corev1.Container){
		"a port":             func(c *corev1.Container) { c.Ports = []corev1.ContainerPort{{ContainerPort: 8000}} },
		"a port for metrics": func(c *corev1.Container) { c.Ports = []corev1.ContainerPort{{Name: "metrics", ContainerPort: 9400}} },
		"an HTTP probe":      func(c *corev1.Container) { c.ReadinessProbe = &corev1.Probe{ProbeHandler: http} },
		"a TCP probe":        func(c *corev1.Container) { c.LivenessProbe = &corev1.Probe{ProbeHandler: tcp} },
		"a gRPC probe":       func(c *corev1.Container) { c.StartupProbe = &corev1.Probe{ProbeHandler: grpc} },
		"a hook over HTTP": func(c *corev1.Container) {
			c.Lifecycle = &corev1.Lifecycle{PreStop: &corev1.LifecycleHandler{HTTPGet: http.HTTPGet}}
		},
		"a hook over TCP": func(c *corev1.Container) {
			c.Lifecycle = &corev1.Lifecycle{PostStart: &corev1.LifecycleHandler{TCPSocket: tcp.TCPSocket}}
		},
		"--host=0.0.0.0": func(c *corev1.Container) { c.Args = []string{"--host=0.0.0.0"} },
		"--host 0.0.0.0": func(c *corev1.Container) { c.Args = []string{"--host", "0.0.0.0", "--port", "8000"} },
		"0.0.0.0 in a shell": func(c *corev1.Container) {
			c.Command = []string{"sh", "-c", "exec vllm serve m --host 0.0.0.0 --port 8000"}
		},
		"tcp://0.0.0.0:8000":  func(c *corev1.Container) { c.Args = []string{"--bind=tcp://0.0.0.0:8000"} },
		"--host=::":           func(c *corev1.Container) { c.Args = []string{"--host=::"} },
		"--host ::":           func(c *corev1.Container) { c.Args = []string{"--host", "::"} },
		"[::]:8000":           func(c *corev1.Container) { c.Args = []string{"--listen=[::]:8000"} },
		"HOST=0.0.0.0":        func(c *corev1.Container) { c.Env = []corev1.EnvVar{{Name: "HOST", Value: "0.0.0.0"}} },
		"OLLAMA_HOST":         func(c *corev1.Container) { c.Env = []corev1.EnvVar{{Name: "OLLAMA_HOST", Value: "0.0.0.0:11434"}} },
		"HOST=::":             func(c *corev1.Container) { c.Env = []corev1.EnvVar{{Name: "HOST", Value: "::"}} },
		"HOST=[::]":           func(c *corev1.Container) { c.Env = []corev1.EnvVar{{Name: "HOST", Value: "[::]"}} },
		"a list of addresses": func(c *corev1.Container) { c.Env = []corev1.EnvVar{{Name: "HOSTS", Value: "127.0.0.1,0.0.0.0"}} },
	} {
		found = append(found, everywhere(name, change)...)
	}
	return ruleCases{
		found: append(found,
			variant{"a port of a container named almost like a guard", inSidecar("shipper", func(c *corev1.Container) {
				c.Name, c.Ports = "guards", []corev1.ContainerPort{{ContainerPort: 8000}}
			})}),
		passed: []variant{
			{"the sample", func(*corev1.Pod) {}},
			{"a guard's probe, port and address", inSidecar("output-classifier", func(c *corev1.Container) {
				c.Args, c.Ports = []string{"--listen=0.0.0.0:8081"}, []corev1.ContainerPort{{ContainerPort: 8081}}
				c.ReadinessProbe = &corev1.Probe{ProbeHandler: http}
			})},
			{"one guard", inSidecar("input-classifier", func(c *corev1.Container) { c.Name = "guard" })},
			{"exec probes", func(p *corev1.Pod) {
				exec := &corev1.Probe{ProbeHandler: corev1.ProbeHandler{Exec: &corev1.ExecAction{Command: []string{"true"}}}}
				p.Spec.Containers[0].LivenessProbe, p.Spec.Containers[0].StartupProbe = exec, exec
			}},
			{"hooks that run or sleep", func(p *corev1.Pod) {
				p.Spec.Containers[0].Lifecycle = &corev1.Lifecycle{
					PostStart: &corev1.LifecycleHandler{Exec: &corev1.ExecAction{}}, PreStop: &corev1.LifecycleHandler{Sleep: &corev1.SleepAction{Seconds: 5}}}
			}},
			{"private ranges that end in 0.0.0.0", func(p *corev1.Pod) {
				p.Spec.Containers[0].Env = append(p.Spec.Containers[0].Env,
					corev1.EnvVar{Name: "NO_PROXY", Value: "127.0.0.1,10.0.0.0/8,fd00::/8,localhost"}, corev1.EnvVar{Name: "UPSTREAM", Value: "10.0.0.0"})
			}},
			{"two colons that are no address", func(p *corev1.Pod) {
				p.Spec.Containers[0].Env = append(p.Spec.Containers[0].Env, corev1.EnvVar{Name: "RUST_LOG", Value: "tower::service=info"})
				p.Spec.Containers[0].Args = append(p.Spec.Containers[0].Args, "--host=::1")
			}},
		},
	}
}

func noRuntimeLoading() ruleCases {
	env := func(e corev1.EnvVar) func(*corev1.Container) {
		return func(c *corev1.Container) { c.Env = append(c.Env, e) }
	}
	args := func(a ...string) func(*corev1.Container) {
		return func(c *corev1.Container) { c.Args = append(c.Args, a...) }
	}
	var found []variant
	for name, change := range map[string]func(*corev1.Container){
		"adapters by request, on":     env(corev1.EnvVar{Name: "VLLM_ALLOW_RUNTIME_LORA_UPDATING", Value: "True"}),
		"adapters by request, 1":      env(corev1.EnvVar{Name: "VLLM_ALLOW_RUNTIME_LORA_UPDATING", Value: "1"}),
		"a value from elsewhere":      env(corev1.EnvVar{Name: "VLLM_ALLOW_RUNTIME_LORA_UPDATING", ValueFrom: &corev1.EnvVarSource{}}),
		"a value that refers":         env(corev1.EnvVar{Name: "VLLM_ALLOW_RUNTIME_LORA_UPDATING", Value: "$(LORA)"}),
		"endpoints for development":   env(corev1.EnvVar{Name: "VLLM_SERVER_DEV_MODE", Value: "1"}),
		"the model API of TorchServe": env(corev1.EnvVar{Name: "TS_ENABLE_MODEL_API", Value: "true"}),
		"adapters of mistral.rs":      env(corev1.EnvVar{Name: "MISTRALRS_ALLOW_RUNTIME_LORA_UPDATING", Value: "1"}),
		"adapters of SGLang": func(c *corev1.Container) {
			c.Command, c.Args = []string{"python3", "-m", "sglang.launch_server"}, []string{"--enable-lora"}
		},
		"adapters of SGLang, some named": args("-m", "sglang.launch_server", "--lora-paths", "a=/adapters/a"),
		"a configuration that is polled": args("--model_config_file_poll_wait_seconds=60"),
		"a puller of models":             args("--enable-puller", "--config-dir", "/mnt/configs"),
		"--enable-model-api":             args("--enable-model-api"),
		"--weight-transfer-config":       args("--weight-transfer-config", `{"backend": "nccl"}`),
		"explicit model control":         args("--model-control-mode=explicit"),
		"polling model control":          args("--model-control-mode", "poll"),
		"a variable set in a shell": func(c *corev1.Container) {
			c.Command, c.Args = []string{"sh", "-c"}, []string{"VLLM_ALLOW_RUNTIME_LORA_UPDATING=1 exec vllm serve m"}
		},
		"development in a shell":   args("-c", "VLLM_SERVER_DEV_MODE=1 exec vllm serve m"),
		"the model API in a shell": args("-c", "export TS_ENABLE_MODEL_API=true; exec torchserve"),
		"a switch in the command":  func(c *corev1.Container) { c.Command = []string{"tritonserver", "--model-control-mode=explicit"} },
	} {
		found = append(found, everywhere(name, change)...)
	}
	passed := []variant{{"the sample", func(*corev1.Pod) {}}}
	for name, change := range map[string]func(*corev1.Container){
		"adapters by request, off":  env(corev1.EnvVar{Name: "VLLM_ALLOW_RUNTIME_LORA_UPDATING", Value: "false"}),
		"adapters by request, Off":  env(corev1.EnvVar{Name: "VLLM_ALLOW_RUNTIME_LORA_UPDATING", Value: "False"}),
		"adapters by request, OFF":  env(corev1.EnvVar{Name: "VLLM_ALLOW_RUNTIME_LORA_UPDATING", Value: "FALSE"}),
		"adapters by request, 0":    env(corev1.EnvVar{Name: "VLLM_ALLOW_RUNTIME_LORA_UPDATING", Value: "0"}),
		"an empty variable":         env(corev1.EnvVar{Name: "VLLM_SERVER_DEV_MODE"}),
		"another variable":          env(corev1.EnvVar{Name: "VLLM_LOGGING_LEVEL", ValueFrom: &corev1.EnvVarSource{}}),
		"a configuration read once": args("--model_config_file_poll_wait_seconds=0", "--port=8500"),
		"no model control":          args("--model-control-mode=none"),
		"no model control, apart":   args("--model-control-mode", "none"),
		"adapters at the start":     args("--enable-lora", "--lora-modules=a=/adapters/a"),
	} {
		passed = append(passed, everywhere(name, change)...)
	}
	return ruleCases{found: found, passed: passed}
}
