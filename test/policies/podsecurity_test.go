package policies

import (
	"testing"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/util/intstr"
	"k8s.io/pod-security-admission/api"
	"k8s.io/pod-security-admission/policy"
	"k8s.io/utils/ptr"
	"pgregory.net/rapid"
)

// apparmor begins the annotations by which AppArmor was set before there was a field.
const apparmor = "container.apparmor.security.beta.kubernetes.io/"

// loosened are changes by which a pod, or a container of it, may fall below a Pod Security Standard. Some do not.
var (
	podLoosened = []func(*corev1.Pod){
		func(p *corev1.Pod) { p.Spec.HostNetwork = true },
		func(p *corev1.Pod) { p.Spec.HostPID = true },
		func(p *corev1.Pod) { p.Spec.HostIPC = true },
		volume(corev1.VolumeSource{HostPath: &corev1.HostPathVolumeSource{Path: "/"}}),
		volume(corev1.VolumeSource{NFS: &corev1.NFSVolumeSource{Server: "s", Path: "/"}}),
		volume(corev1.VolumeSource{ISCSI: &corev1.ISCSIVolumeSource{}}),
		volume(corev1.VolumeSource{PersistentVolumeClaim: &corev1.PersistentVolumeClaimVolumeSource{ClaimName: "c"}}),
		func(p *corev1.Pod) { p.Annotations = map[string]string{apparmor + "vllm": "unconfined"} },
		func(p *corev1.Pod) { p.Annotations = map[string]string{apparmor + "x": "localhost/y"} },
		func(p *corev1.Pod) { p.Spec.SecurityContext = nil },
	}
	podContextLoosened = []func(*corev1.PodSecurityContext){
		func(s *corev1.PodSecurityContext) { s.SeccompProfile = &corev1.SeccompProfile{Type: "Unconfined"} },
		func(s *corev1.PodSecurityContext) { s.SeccompProfile = nil },
		func(s *corev1.PodSecurityContext) { s.AppArmorProfile = &corev1.AppArmorProfile{Type: "Unconfined"} },
		func(s *corev1.PodSecurityContext) { s.SELinuxOptions = &corev1.SELinuxOptions{Type: "spc_t"} },
		func(s *corev1.PodSecurityContext) {
			s.SELinuxOptions = &corev1.SELinuxOptions{Type: "container_engine_t"}
		},
		func(s *corev1.PodSecurityContext) { s.SELinuxOptions = &corev1.SELinuxOptions{User: "u"} },
		func(s *corev1.PodSecurityContext) { s.SELinuxOptions = &corev1.SELinuxOptions{Role: "r"} },
		func(s *corev1.PodSecurityContext) { s.Sysctls = []corev1.Sysctl{{Name: "kernel.msgmax"}} },
		func(s *corev1.PodSecurityContext) { s.Sysctls = []corev1.Sysctl{{Name: "net.ipv4.tcp_rmem"}} },
		func(s *corev1.PodSecurityContext) { s.RunAsNonRoot = ptr.To(false) },
		func(s *corev1.PodSecurityContext) { s.RunAsNonRoot = nil },
		func(s *corev1.PodSecurityContext) { s.RunAsUser = ptr.To[int64](0) },
		func(s *corev1.PodSecurityContext) {
			s.WindowsOptions = &corev1.WindowsSecurityContextOptions{HostProcess: ptr.To(true)}
		},
	}
	containerLoosened = []func(*corev1.Container){
		func(c *corev1.Container) { c.SecurityContext = nil },
		func(c *corev1.Container) { c.Ports = []corev1.ContainerPort{{ContainerPort: 80, HostPort: 80}} },
		func(c *corev1.Container) {
			c.LivenessProbe = &corev1.Probe{ProbeHandler: corev1.ProbeHandler{HTTPGet: &corev1.HTTPGetAction{Host: "10.0.0.1", Port: intstr.FromInt32(80)}}}
		},
		func(c *corev1.Container) {
			c.StartupProbe = &corev1.Probe{ProbeHandler: corev1.ProbeHandler{TCPSocket: &corev1.TCPSocketAction{Host: "10.0.0.1", Port: intstr.FromInt32(80)}}}
		},
		func(c *corev1.Container) {
			c.Lifecycle = &corev1.Lifecycle{PreStop: &corev1.LifecycleHandler{HTTPGet: &corev1.HTTPGetAction{Host: "x", Port: intstr.FromInt32(80)}}}
		},
	}
	contextLoosened = []func(*corev1.SecurityContext){
		func(s *corev1.SecurityContext) { s.Privileged = ptr.To(true) },
		func(s *corev1.SecurityContext) { s.AllowPrivilegeEscalation = ptr.To(true) },
		func(s *corev1.SecurityContext) { s.AllowPrivilegeEscalation = nil },
		func(s *corev1.SecurityContext) {
			s.Capabilities = &corev1.Capabilities{Add: []corev1.Capability{"ALL"}}
		},
		func(s *corev1.SecurityContext) {
			s.Capabilities = &corev1.Capabilities{Add: []corev1.Capability{"CHOWN", "NET_RAW"}}
		},
		func(s *corev1.SecurityContext) {
			s.Capabilities = &corev1.Capabilities{Add: []corev1.Capability{"CHOWN"}}
		},
		func(s *corev1.SecurityContext) {
			s.Capabilities = &corev1.Capabilities{Drop: []corev1.Capability{"NET_RAW"}}
		},
		func(s *corev1.SecurityContext) { s.ProcMount = ptr.To(corev1.UnmaskedProcMount) },
		func(s *corev1.SecurityContext) { s.SeccompProfile = &corev1.SeccompProfile{Type: "Unconfined"} },
		func(s *corev1.SecurityContext) { s.AppArmorProfile = &corev1.AppArmorProfile{Type: "Unconfined"} },
		func(s *corev1.SecurityContext) { s.SELinuxOptions = &corev1.SELinuxOptions{Type: "spc_t"} },
		func(s *corev1.SecurityContext) { s.SELinuxOptions = &corev1.SELinuxOptions{User: "u"} },
		func(s *corev1.SecurityContext) { s.SELinuxOptions = &corev1.SELinuxOptions{Role: "r"} },
		func(s *corev1.SecurityContext) { s.RunAsNonRoot = ptr.To(false) },
		func(s *corev1.SecurityContext) { s.RunAsUser = ptr.To[int64](0) },
		func(s *corev1.SecurityContext) {
			s.WindowsOptions = &corev1.WindowsSecurityContextOptions{HostProcess: ptr.To(true)}
		},
	}
)

// loosen makes up to three changes of a pod, each of it or of one container.
func loosen(t *rapid.T, p *corev1.Pod) {
	for range rapid.IntRange(1, 3).Draw(t, "changes") {
		containers := everywhere("", func(c *corev1.Container) {
			if rapid.Bool().Draw(t, "of the context") {
				if c.SecurityContext != nil {
					s := c.SecurityContext.DeepCopy()
					rapid.SampledFrom(contextLoosened).Draw(t, "change of a context")(s)
					c.SecurityContext = s
				}
				return
			}
			rapid.SampledFrom(containerLoosened).Draw(t, "change of a container")(c)
		})
		switch rapid.IntRange(0, 2).Draw(t, "what") {
		case 0:
			rapid.SampledFrom(podLoosened).Draw(t, "change of the pod")(p)
		case 1:
			if p.Spec.SecurityContext != nil {
				rapid.SampledFrom(podContextLoosened).Draw(t, "change of the pod's context")(p.Spec.SecurityContext)
			}
		case 2:
			rapid.SampledFrom(containers).Draw(t, "container").change(p)
		}
	}
}

// TestRulesAskForPodSecurityStandards holds the rules against what Kubernetes itself makes of its standards: what that refuses
// at "baseline" the pack refuses at its lowest level, and what it refuses at "restricted" at ASL-3.
func TestRulesAskForPodSecurityStandards(t *testing.T) {
	compiled := compile(t, loadPack(t, rsp22).safeguards)
	oracle, err := policy.NewEvaluator(policy.DefaultChecks(), nil)
	if err != nil {
		t.Fatal(err)
	}
	allowed := func(p *corev1.Pod, level api.Level) bool {
		return policy.AggregateCheckResults(oracle.EvaluatePod(api.LevelVersion{Level: level, Version: api.LatestVersion()}, &p.ObjectMeta, &p.Spec)).Allowed
	}
	if p := richPod(t); !allowed(p, api.LevelRestricted) {
		t.Fatal("the pod that is loosened is none that is restricted")
	}
	rich := richPod(t)
	var refused, passed int
	rapid.Check(t, func(rt *rapid.T) {
		p := rich.DeepCopy()
		loosen(rt, p)
		host, hardening := judge(t, compiled, "no-host-access", p), judge(t, compiled, "pod-hardening", p)
		baseline := allowed(p, api.LevelBaseline)
		if !baseline && host == "" {
			rt.Error("Kubernetes refuses the pod at \"baseline\", and no-host-access does not")
		}
		if !allowed(p, api.LevelRestricted) && host == "" && hardening == "" {
			rt.Error("Kubernetes refuses the pod at \"restricted\", and neither no-host-access nor pod-hardening does")
		}
		if baseline && host != "" {
			rt.Errorf("Kubernetes lets the pod in at \"baseline\", and no-host-access says: %s", host)
		}
		if baseline {
			passed++
		} else {
			refused++
		}
	})
	if refused < 10 || passed < 10 {
		t.Errorf("drawn were %d pods below the baseline and %d that are not: too few of one kind", refused, passed)
	}
}
