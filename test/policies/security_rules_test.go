package policies

import (
	"strings"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/util/intstr"
	"k8s.io/utils/ptr"
)

func volume(source corev1.VolumeSource) func(*corev1.Pod) {
	return func(p *corev1.Pod) {
		p.Spec.Volumes = append(p.Spec.Volumes, corev1.Volume{Name: "further", VolumeSource: source})
	}
}

func imagePinned() ruleCases {
	hex := strings.TrimPrefix(digest, "sha256:")
	bad := map[string]string{
		"a tag":                        "vllm/vllm-openai:v0.21.0",
		"no tag":                       "vllm/vllm-openai",
		"a port and no tag":            "registry:5000/x",
		"a port and a tag":             "registry:5000/x:1",
		"a tag and a digest":           "vllm/vllm-openai:latest@" + digest,
		"a port, a tag and a digest":   "registry:5000/x:1@" + digest,
		"a tag that looks like a port": "x:5000@" + digest,
		"an upper-case digest":         "x@sha256:" + strings.ToUpper(hex),
		"one upper-case digit":         "x@sha256:B" + hex[1:],
		"an upper-case algorithm":      "x@SHA256:" + hex,
		"a truncated digest":           "x@sha256:" + hex[:63],
		"a digest that is too long":    "x@" + digest + "0",
		"a digit that is none":         "x@sha256:" + hex[:63] + "g",
		"another algorithm":            "x@sha512:" + hex + hex,
		"a digest as a tag":            "x:" + hex,
		"a digest in the path":         "x/" + digest,
		"two digests":                  "x@" + digest + "@" + digest,
		"a digest without a name":      "@" + digest,
		"a digest alone":               digest,
		"a look-alike letter":          "vllm/vllm-\u043epenai@" + digest,
		"a look-alike @":               "vllm/vllm-openai\uff20" + digest,
		"a line after it":              "x@" + digest + "\ny",
		"a blank before it":            " x@" + digest,
		"a scheme":                     "docker://x@" + digest,
		"nothing":                      "",
	}
	good := map[string]string{
		"a short name":         "x@" + digest,
		"a name":               "vllm/vllm-openai@" + digest,
		"a registry":           "registry.example.com/a/b_c/d-e.f@" + digest,
		"a registry with port": "registry:5000/x@" + digest,
		"an address":           "10.0.0.1:5000/x@" + digest,
	}
	variants := func(images map[string]string) []variant {
		var all []variant
		for name, image := range images {
			all = append(all, everywhere(name, func(c *corev1.Container) { c.Image = image })...)
			all = append(all, variant{name + " in an image volume", volume(corev1.VolumeSource{Image: &corev1.ImageVolumeSource{Reference: image}})})
		}
		return all
	}
	return ruleCases{found: variants(bad), passed: variants(good)}
}

func noHostAccess() ruleCases {
	get := corev1.ProbeHandler{HTTPGet: &corev1.HTTPGetAction{Host: "169.254.169.254", Port: intstr.FromInt32(80)}}
	dial := corev1.ProbeHandler{TCPSocket: &corev1.TCPSocketAction{Host: "10.0.0.1", Port: intstr.FromInt32(80)}}
	found := []variant{
		{"the network of the node", func(p *corev1.Pod) { p.Spec.HostNetwork = true }},
		{"the processes of the node", func(p *corev1.Pod) { p.Spec.HostPID = true }},
		{"the IPC of the node", func(p *corev1.Pod) { p.Spec.HostIPC = true }},
		{"a HostProcess pod", func(p *corev1.Pod) {
			p.Spec.SecurityContext.WindowsOptions = &corev1.WindowsSecurityContextOptions{HostProcess: ptr.To(true)}
		}},
		{"a hostPath", volume(corev1.VolumeSource{HostPath: &corev1.HostPathVolumeSource{Path: "/"}})},
	}
	for name, change := range map[string]func(*corev1.Container){
		"privileged": func(c *corev1.Container) { c.SecurityContext.Privileged = ptr.To(true) },
		"a HostProcess": func(c *corev1.Container) {
			c.SecurityContext.WindowsOptions = &corev1.WindowsSecurityContextOptions{HostProcess: ptr.To(true)}
		},
		"a hostPort": func(c *corev1.Container) {
			c.Ports = []corev1.ContainerPort{{ContainerPort: 80}, {ContainerPort: 81, HostPort: 81}}
		},
		"a host in a livenessProbe":  func(c *corev1.Container) { c.LivenessProbe = &corev1.Probe{ProbeHandler: get} },
		"a host in a readinessProbe": func(c *corev1.Container) { c.ReadinessProbe = &corev1.Probe{ProbeHandler: dial} },
		"a host in a startupProbe":   func(c *corev1.Container) { c.StartupProbe = &corev1.Probe{ProbeHandler: get} },
		"a host in a postStart hook": func(c *corev1.Container) {
			c.Lifecycle = &corev1.Lifecycle{PostStart: &corev1.LifecycleHandler{HTTPGet: get.HTTPGet}}
		},
		"a host in a preStop hook": func(c *corev1.Container) {
			c.Lifecycle = &corev1.Lifecycle{PreStop: &corev1.LifecycleHandler{TCPSocket: dial.TCPSocket}}
		},
	} {
		found = append(found, everywhere(name, change)...)
	}
	return ruleCases{
		found: found,
		passed: []variant{
			{"the sample", func(*corev1.Pod) {}},
			{"what is said to be off", func(p *corev1.Pod) {
				p.Spec.SecurityContext.WindowsOptions = &corev1.WindowsSecurityContextOptions{HostProcess: ptr.To(false)}
				p.Spec.Containers[0].SecurityContext.Privileged = ptr.To(false)
			}},
			{"no securityContext", func(p *corev1.Pod) { p.Spec.SecurityContext, p.Spec.Containers[0].SecurityContext = nil, nil }},
			{"a port of its own", func(p *corev1.Pod) { p.Spec.Containers[0].Ports = []corev1.ContainerPort{{ContainerPort: 8000}} }},
			{"probes and hooks of its own", func(p *corev1.Pod) {
				get := corev1.ProbeHandler{HTTPGet: &corev1.HTTPGetAction{Port: intstr.FromInt32(80)}}
				dial := corev1.ProbeHandler{TCPSocket: &corev1.TCPSocketAction{Port: intstr.FromInt32(80)}}
				c := &p.Spec.Containers[0]
				c.LivenessProbe, c.ReadinessProbe, c.StartupProbe = &corev1.Probe{ProbeHandler: get}, &corev1.Probe{ProbeHandler: dial}, &corev1.Probe{ProbeHandler: get}
				c.Lifecycle = &corev1.Lifecycle{
					PostStart: &corev1.LifecycleHandler{HTTPGet: get.HTTPGet}, PreStop: &corev1.LifecycleHandler{TCPSocket: dial.TCPSocket}}
			}},
			{"no volumes", func(p *corev1.Pod) { p.Spec.Volumes = nil }},
		},
	}
}

func podHardening() ruleCases {
	pod := func(change func(*corev1.PodSecurityContext)) func(*corev1.Pod) {
		return func(p *corev1.Pod) { change(p.Spec.SecurityContext) }
	}
	var found []variant
	for name, change := range map[string]func(*corev1.SecurityContext){
		"root by request":           func(s *corev1.SecurityContext) { s.RunAsNonRoot = ptr.To(false) },
		"user 0":                    func(s *corev1.SecurityContext) { s.RunAsUser = ptr.To[int64](0) },
		"escalation":                func(s *corev1.SecurityContext) { s.AllowPrivilegeEscalation = ptr.To(true) },
		"escalation by default":     func(s *corev1.SecurityContext) { s.AllowPrivilegeEscalation = nil },
		"a writable root":           func(s *corev1.SecurityContext) { s.ReadOnlyRootFilesystem = ptr.To(false) },
		"a writable root unsaid":    func(s *corev1.SecurityContext) { s.ReadOnlyRootFilesystem = nil },
		"capabilities unsaid":       func(s *corev1.SecurityContext) { s.Capabilities = nil },
		"some capabilities dropped": func(s *corev1.SecurityContext) { s.Capabilities.Drop = []corev1.Capability{"NET_RAW"} },
		"a capability added": func(s *corev1.SecurityContext) {
			s.Capabilities.Add = []corev1.Capability{"NET_BIND_SERVICE", "SYS_ADMIN"}
		},
		"no seccomp": func(s *corev1.SecurityContext) {
			s.SeccompProfile = &corev1.SeccompProfile{Type: corev1.SeccompProfileTypeUnconfined}
		},
		"an unmasked /proc": func(s *corev1.SecurityContext) { s.ProcMount = ptr.To(corev1.UnmaskedProcMount) },
		"no AppArmor": func(s *corev1.SecurityContext) {
			s.AppArmorProfile = &corev1.AppArmorProfile{Type: corev1.AppArmorProfileTypeUnconfined}
		},
		"another SELinux type": func(s *corev1.SecurityContext) { s.SELinuxOptions = &corev1.SELinuxOptions{Type: "spc_t"} },
		"an SELinux user":      func(s *corev1.SecurityContext) { s.SELinuxOptions = &corev1.SELinuxOptions{User: "system_u"} },
		"an SELinux role":      func(s *corev1.SecurityContext) { s.SELinuxOptions = &corev1.SELinuxOptions{Role: "system_r"} },
	} {
		found = append(found, everywhere(name, func(c *corev1.Container) { change(c.SecurityContext) })...)
	}
	found = append(found, everywhere("no securityContext", func(c *corev1.Container) { c.SecurityContext = nil })...)
	found = append(found,
		variant{"no securityContext of the pod", func(p *corev1.Pod) { p.Spec.SecurityContext = nil }},
		variant{"root of the pod", pod(func(s *corev1.PodSecurityContext) { s.RunAsNonRoot = ptr.To(false) })},
		variant{"root of the pod unsaid", pod(func(s *corev1.PodSecurityContext) { s.RunAsNonRoot = nil })},
		variant{"user 0 of the pod", pod(func(s *corev1.PodSecurityContext) { s.RunAsUser = ptr.To[int64](0) })},
		variant{"no seccomp of the pod", pod(func(s *corev1.PodSecurityContext) { s.SeccompProfile.Type = corev1.SeccompProfileTypeUnconfined })},
		variant{"no seccomp of the pod, though its containers have it", func(p *corev1.Pod) {
			p.Spec.SecurityContext.SeccompProfile.Type = corev1.SeccompProfileTypeUnconfined
			for _, c := range allContainers(p) {
				c.SecurityContext.SeccompProfile = &corev1.SeccompProfile{Type: corev1.SeccompProfileTypeRuntimeDefault}
			}
		}},
		variant{"seccomp of the pod unsaid", pod(func(s *corev1.PodSecurityContext) { s.SeccompProfile = nil })},
		variant{"no AppArmor of the pod", pod(func(s *corev1.PodSecurityContext) {
			s.AppArmorProfile = &corev1.AppArmorProfile{Type: corev1.AppArmorProfileTypeUnconfined}
		})},
		variant{"no AppArmor by annotation", func(p *corev1.Pod) {
			p.Annotations = map[string]string{"container.apparmor.security.beta.kubernetes.io/vllm": "unconfined"}
		}},
		variant{"an SELinux type of the pod", pod(func(s *corev1.PodSecurityContext) { s.SELinuxOptions = &corev1.SELinuxOptions{Type: "spc_t"} })},
		variant{"an SELinux user of the pod", pod(func(s *corev1.PodSecurityContext) { s.SELinuxOptions = &corev1.SELinuxOptions{User: "u"} })},
		variant{"an SELinux role of the pod", pod(func(s *corev1.PodSecurityContext) { s.SELinuxOptions = &corev1.SELinuxOptions{Role: "r"} })},
		variant{"an unsafe sysctl", pod(func(s *corev1.PodSecurityContext) { s.Sysctls = []corev1.Sysctl{{Name: "kernel.msgmax"}} })},
		variant{"a hostPath", volume(corev1.VolumeSource{HostPath: &corev1.HostPathVolumeSource{Path: "/"}})},
		variant{"nfs", volume(corev1.VolumeSource{NFS: &corev1.NFSVolumeSource{Server: "s", Path: "/"}})},
		variant{"iscsi", volume(corev1.VolumeSource{ISCSI: &corev1.ISCSIVolumeSource{}})},
		variant{"a flexVolume", volume(corev1.VolumeSource{FlexVolume: &corev1.FlexVolumeSource{}})},
		variant{"a volume of no known type", volume(corev1.VolumeSource{})},
	)
	return ruleCases{
		found: found,
		passed: append(everywhere("what the pod leaves to its containers", func(*corev1.Container) {}), []variant{
			{"each container by itself", func(p *corev1.Pod) {
				p.Spec.SecurityContext = nil
				for _, c := range allContainers(p) {
					c.SecurityContext.RunAsNonRoot = ptr.To(true)
					c.SecurityContext.SeccompProfile = &corev1.SeccompProfile{Type: corev1.SeccompProfileTypeRuntimeDefault}
				}
			}},
			{"profiles on the node", func(p *corev1.Pod) {
				p.Spec.SecurityContext.SeccompProfile = &corev1.SeccompProfile{Type: corev1.SeccompProfileTypeLocalhost}
				p.Spec.SecurityContext.AppArmorProfile = &corev1.AppArmorProfile{Type: corev1.AppArmorProfileTypeLocalhost}
				p.Annotations = map[string]string{
					"container.apparmor.security.beta.kubernetes.io/vllm":    "localhost/x",
					"container.apparmor.security.beta.kubernetes.io/prepare": "runtime/default",
					"container.apparmor.security.beta.kubernetes.io/shipper": "",
					"example.com/apparmor":                                   "unconfined",
				}
			}},
			{"a low port", func(p *corev1.Pod) {
				p.Spec.Containers[0].SecurityContext.Capabilities.Add = []corev1.Capability{"NET_BIND_SERVICE"}
			}},
			{"safe sysctls", func(p *corev1.Pod) {
				for _, name := range []string{"kernel.shm_rmid_forced", "net.ipv4.ip_local_port_range", "net.ipv4.ip_local_reserved_ports",
					"net.ipv4.ip_unprivileged_port_start", "net.ipv4.ping_group_range", "net.ipv4.tcp_fin_timeout",
					"net.ipv4.tcp_keepalive_intvl", "net.ipv4.tcp_keepalive_probes", "net.ipv4.tcp_keepalive_time", "net.ipv4.tcp_syncookies"} {
					p.Spec.SecurityContext.Sysctls = append(p.Spec.SecurityContext.Sysctls, corev1.Sysctl{Name: name, Value: "1"})
				}
			}},
			{"defaults spelt out", func(p *corev1.Pod) {
				p.Spec.SecurityContext.SELinuxOptions = &corev1.SELinuxOptions{Type: "container_t"}
				p.Spec.Containers[0].SecurityContext.ProcMount = ptr.To(corev1.DefaultProcMount)
				p.Spec.Containers[0].SecurityContext.SELinuxOptions = &corev1.SELinuxOptions{Type: "container_t", Level: "s0:c1,c2"}
				p.Spec.Containers[0].SecurityContext.RunAsUser = ptr.To[int64](1000)
			}},
			{"further SELinux types", func(p *corev1.Pod) {
				p.Spec.SecurityContext.SELinuxOptions = &corev1.SELinuxOptions{Type: "container_init_t"}
				p.Spec.Containers[0].SecurityContext.SELinuxOptions = &corev1.SELinuxOptions{Type: "container_init_t"}
				p.Spec.InitContainers[0].SecurityContext.SELinuxOptions = &corev1.SELinuxOptions{Type: "container_kvm_t"}
			}},
			{"another SELinux type for virtual machines", func(p *corev1.Pod) {
				p.Spec.SecurityContext.SELinuxOptions = &corev1.SELinuxOptions{Type: "container_kvm_t"}
			}},
			{"no volumes", func(p *corev1.Pod) { p.Spec.Volumes = nil }},
			{"a volume claim", volume(corev1.VolumeSource{PersistentVolumeClaim: &corev1.PersistentVolumeClaimVolumeSource{}})},
			{"a CSI volume", volume(corev1.VolumeSource{CSI: &corev1.CSIVolumeSource{}})},
			{"a ConfigMap", volume(corev1.VolumeSource{ConfigMap: &corev1.ConfigMapVolumeSource{}})},
			{"a Secret", volume(corev1.VolumeSource{Secret: &corev1.SecretVolumeSource{}})},
			{"a projected volume", volume(corev1.VolumeSource{Projected: &corev1.ProjectedVolumeSource{}})},
			{"an ephemeral volume", volume(corev1.VolumeSource{Ephemeral: &corev1.EphemeralVolumeSource{}})},
			{"the downward API", volume(corev1.VolumeSource{DownwardAPI: &corev1.DownwardAPIVolumeSource{}})},
		}...),
	}
}

func dedicatedNodes() ruleCases {
	const key = "interlock.dev.node-restriction.kubernetes.io/dedicated"
	affinity := func(terms ...corev1.NodeSelectorTerm) func(*corev1.Pod) {
		return func(p *corev1.Pod) {
			p.Spec.NodeSelector = nil
			p.Spec.Affinity = &corev1.Affinity{NodeAffinity: &corev1.NodeAffinity{
				RequiredDuringSchedulingIgnoredDuringExecution: &corev1.NodeSelector{NodeSelectorTerms: terms}}}
		}
	}
	term := func(key string, operator corev1.NodeSelectorOperator, values ...string) corev1.NodeSelectorTerm {
		return corev1.NodeSelectorTerm{MatchExpressions: []corev1.NodeSelectorRequirement{{Key: key, Operator: operator, Values: values}}}
	}
	toleration := func(t corev1.Toleration) func(*corev1.Pod) {
		return func(p *corev1.Pod) { p.Spec.Tolerations = []corev1.Toleration{t} }
	}
	return ruleCases{
		found: []variant{
			{"no node selector", func(p *corev1.Pod) { p.Spec.NodeSelector = nil }},
			{"another label", func(p *corev1.Pod) { p.Spec.NodeSelector = map[string]string{"dedicated": "models"} }},
			{"a label that kubelets can set", func(p *corev1.Pod) { p.Spec.NodeSelector = map[string]string{"interlock.dev/dedicated": "models"} }},
			{"a preference", func(p *corev1.Pod) {
				p.Spec.NodeSelector = nil
				p.Spec.Affinity = &corev1.Affinity{NodeAffinity: &corev1.NodeAffinity{PreferredDuringSchedulingIgnoredDuringExecution: []corev1.PreferredSchedulingTerm{
					{Weight: 100, Preference: term(key, corev1.NodeSelectorOpIn, "models")}}}}
			}},
			{"no terms", affinity()},
			{"the opposite", affinity(term(key, corev1.NodeSelectorOpNotIn, "models"))},
			{"nodes without the label", affinity(term(key, corev1.NodeSelectorOpDoesNotExist))},
			{"an alternative to dedicated nodes", affinity(term(key, corev1.NodeSelectorOpExists), term("kubernetes.io/os", corev1.NodeSelectorOpIn, "linux"))},
			{"a term of fields alone", affinity(corev1.NodeSelectorTerm{MatchFields: []corev1.NodeSelectorRequirement{
				{Key: "metadata.name", Operator: corev1.NodeSelectorOpIn, Values: []string{"node-0"}}}})},
			{"no toleration", func(p *corev1.Pod) { p.Spec.Tolerations = nil }},
			{"another toleration", toleration(corev1.Toleration{Key: "nvidia.com/gpu", Operator: corev1.TolerationOpExists})},
			{"a toleration of eviction alone", toleration(corev1.Toleration{Key: key, Operator: corev1.TolerationOpExists, Effect: corev1.TaintEffectNoExecute})},
			{"a toleration of everything alone", toleration(corev1.Toleration{Operator: corev1.TolerationOpExists})},
		},
		passed: []variant{
			{"the sample", func(*corev1.Pod) {}},
			{"an affinity", affinity(term(key, corev1.NodeSelectorOpIn, "models", "guards"))},
			{"alternatives of which each demands it", affinity(term(key, corev1.NodeSelectorOpExists), term(key, corev1.NodeSelectorOpIn, "models"))},
			{"a selector beside an affinity", func(p *corev1.Pod) {
				selector := p.Spec.NodeSelector
				affinity(term("kubernetes.io/os", corev1.NodeSelectorOpIn, "linux"))(p)
				p.Spec.NodeSelector = selector
			}},
			{"a toleration of every effect", toleration(corev1.Toleration{Key: key, Operator: corev1.TolerationOpEqual, Value: "models"})},
		},
	}
}

func noLegacyToken() ruleCases {
	const place = "/var/run/secrets/kubernetes.io/serviceaccount"
	project := func(sources ...corev1.VolumeProjection) corev1.VolumeSource {
		return corev1.VolumeSource{Projected: &corev1.ProjectedVolumeSource{Sources: sources}}
	}
	token := func(seconds *int64) corev1.VolumeProjection {
		return corev1.VolumeProjection{ServiceAccountToken: &corev1.ServiceAccountTokenProjection{Audience: "keys", ExpirationSeconds: seconds, Path: "token"}}
	}
	secret := corev1.VolumeProjection{Secret: &corev1.SecretProjection{}}
	mounted := func(name string, source corev1.VolumeSource, path string) []variant {
		all := everywhere(name, func(c *corev1.Container) {
			c.VolumeMounts = append(c.VolumeMounts, corev1.VolumeMount{Name: "further", MountPath: path})
		})
		for i, v := range all {
			all[i].change = func(p *corev1.Pod) {
				volume(source)(p)
				v.change(p)
			}
		}
		return all
	}
	found := []variant{
		{"a token mounted unasked", func(p *corev1.Pod) { p.Spec.AutomountServiceAccountToken = ptr.To(true) }},
		{"a token mounted by default", func(p *corev1.Pod) { p.Spec.AutomountServiceAccountToken = nil }},
		{"a token for a day", volume(project(token(ptr.To[int64](86400))))},
		{"a token as the API server mounts it", volume(project(corev1.VolumeProjection{ConfigMap: &corev1.ConfigMapProjection{}}, token(ptr.To[int64](3607))))},
	}
	found = append(found, mounted("a Secret in the place", corev1.VolumeSource{Secret: &corev1.SecretVolumeSource{SecretName: "s"}}, place)...)
	found = append(found, mounted("a projected Secret in the place", project(secret), "/run/secrets/kubernetes.io/serviceaccount/")...)
	passed := []variant{
		{"the sample", func(*corev1.Pod) {}},
		{"a token for an hour", volume(project(token(ptr.To[int64](3600))))},
		{"a token for the default time", volume(project(token(nil)))},
		{"no volumes", func(p *corev1.Pod) { p.Spec.Volumes = nil }},
	}
	passed = append(passed, mounted("a Secret elsewhere", corev1.VolumeSource{Secret: &corev1.SecretVolumeSource{SecretName: "s"}}, "/etc/tls")...)
	passed = append(passed, mounted("a short token in the place", project(token(nil)), place)...)
	return ruleCases{found: found, passed: passed}
}

func noInteractive() ruleCases {
	alone := func(change func(*corev1.Container)) func(*corev1.Pod) {
		return func(p *corev1.Pod) {
			p.Spec.EphemeralContainers = nil
			change(&p.Spec.Containers[0])
		}
	}
	found := append(everywhere("stdin", func(c *corev1.Container) { c.Stdin = true }), everywhere("tty", func(c *corev1.Container) { c.TTY = true })...)
	return ruleCases{
		found: append(found,
			variant{"an ephemeral container", func(*corev1.Pod) {}},
			variant{"stdin alone", alone(func(c *corev1.Container) { c.Stdin = true })},
			variant{"tty alone", alone(func(c *corev1.Container) { c.TTY = true })},
			variant{"stdin of an init container alone", func(p *corev1.Pod) {
				p.Spec.EphemeralContainers = nil
				p.Spec.InitContainers[0].Stdin = true
			}}),
		passed: []variant{{"the sample", alone(func(*corev1.Container) {})}},
	}
}
