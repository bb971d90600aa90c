package controlplane

import (
	"fmt"
	"path/filepath"
	"strconv"
)

// stageFiles are the KWOK stages that make nodes Ready, and scheduled pods run, complete and go.
var stageFiles = []string{
	"node-initialize.yaml",
	"node-heartbeat-with-lease.yaml",
	"pod-ready.yaml",
	"pod-complete.yaml",
	"pod-delete.yaml",
}

func (cp *ControlPlane) etcdArgs() []string {
	url := "http://" + loopback(cp.etcdPort)
	return []string{
		"--data-dir=" + cp.path(etcdDir),
		"--listen-client-urls=" + url,
		"--advertise-client-urls=" + url,
		"--listen-peer-urls=http://127.0.0.1:0",
		// What is in it is thrown away at the end, so that there is nothing to lose by a crash of the machine.
		"--unsafe-no-fsync",
		// The only member waits an election timeout before it serves; at the default that is most of a second.
		"--heartbeat-interval=20",
		"--election-timeout=100",
		"--log-level=warn",
	}
}

func (cp *ControlPlane) argsOfAPIServer(port int, etcdAddress string) []string {
	return append([]string{
		"--etcd-servers=http://" + etcdAddress,
		"--bind-address=127.0.0.1",
		"--secure-port=" + strconv.Itoa(port),
		// Endpoints may not hold a loopback address; nothing here would use those of the Service "kubernetes".
		"--advertise-address=127.0.0.1",
		"--endpoint-reconciler-type=none",
		"--cert-dir=" + cp.path(pkiDir),
		"--tls-cert-file=" + cp.path(pkiDir, "apiserver.crt"),
		"--tls-private-key-file=" + cp.path(pkiDir, "apiserver.key"),
		"--client-ca-file=" + cp.path(pkiDir, "ca.crt"),
		"--service-account-issuer=https://kubernetes.default.svc",
		"--service-account-key-file=" + cp.path(pkiDir, "sa.pub"),
		"--service-account-signing-key-file=" + cp.path(pkiDir, "sa.key"),
		"--service-cluster-ip-range=10.96.0.0/16",
		// As an installed cluster has it, so that tests meet the same admission: ServiceAccount is on by default.
		"--authorization-mode=Node,RBAC",
		"--enable-admission-plugins=NodeRestriction",
		"--allow-privileged=true",
		// A test may create a thousand pods at once.
		"--max-requests-inflight=800",
		"--max-mutating-requests-inflight=400",
	}, cp.apiServerArgs...)
}

func (cp *ControlPlane) controllerManagerArgs() []string {
	controllers := "*,-kube-apiserver-serving-clustertrustbundle-publisher-controller"
	if cp.untyped {
		controllers += ",-validatingadmissionpolicy-status-controller"
	}
	return []string{
		"--kubeconfig=" + cp.path(pkiDir, "kube-controller-manager.kubeconfig"),
		"--leader-elect=false",
		"--secure-port=0",
		// Each controller is a user of its own, as policies see it in an installed cluster.
		"--use-service-account-credentials=true",
		"--service-account-private-key-file=" + cp.path(pkiDir, "sa.key"),
		"--root-ca-file=" + cp.path(pkiDir, "ca.crt"),
		"--controllers=" + controllers,
		"--kube-api-qps=500",
		"--kube-api-burst=1000",
		// So that no test waits long for an autoscaler.
		"--horizontal-pod-autoscaler-sync-period=2s",
		// A busy machine may hold up the heartbeats of KWOK; nodes are not to be lost by that.
		"--node-monitor-grace-period=5m",
	}
}

func (cp *ControlPlane) schedulerArgs() []string {
	return []string{
		"--kubeconfig=" + cp.path(pkiDir, "kube-scheduler.kubeconfig"),
		"--leader-elect=false",
		"--secure-port=0",
		"--kube-api-qps=500",
		"--kube-api-burst=1000",
	}
}

func (cp *ControlPlane) kwokArgs() []string {
	args := []string{
		"--kubeconfig=" + cp.path(pkiDir, "kwok.kubeconfig"),
		"--manage-nodes-with-annotation-selector=" + fakeNode + "=fake",
		"--server-address=" + loopback(cp.kwokPort),
		"--node-ip=127.0.0.1",
		fmt.Sprintf("--node-port=%d", cp.kwokPort),
		"--cidr=10.244.0.1/16",
	}
	for _, name := range stageFiles {
		args = append(args, "--config="+filepath.Join(cp.assets, "kwok-stages", name))
	}
	return args
}
