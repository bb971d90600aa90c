package compat

import (
	"context"
	"crypto/tls"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"net"
	"os"
	"path/filepath"

	. "github.com/onsi/ginkgo/v2"
	. "github.com/onsi/gomega"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"

	"github.com/interlock-dev/interlock/internal/testing/controlplane"
	"github.com/interlock-dev/interlock/internal/testing/controlplane/process"
	"github.com/interlock-dev/interlock/internal/testing/neighbours"
)

// neighbour is another project whose controller runs beside ours, as a process with the rights of its ServiceAccount.
type neighbour struct {
	neighbours.Module
	// name is that of the project, of which its namespace, its ServiceAccount and the group of its configuration are made.
	name string
}

var neighboursOfOurs = []neighbour{
	{neighbours.LeaderWorkerSet, "lws"},
	{neighbours.JobSet, "jobset"},
}

// start installs all that the project installs, but for the Deployment of its controller and the Services that lead to it: the
// API server reaches its webhooks on loopback.
func (n neighbour) start(ctx context.Context) {
	GinkgoHelper()
	binary, err := n.Binary(ctx)
	Expect(err).NotTo(HaveOccurred())
	port, err := controlplane.FreePort()
	Expect(err).NotTo(HaveOccurred())
	installed, webhooks := n.manifests(ctx, port)
	n.apply(ctx, installed)

	_, kubeconfig, err := st.ServiceAccount(ctx, n.name+"-system", n.name+"-controller-manager")
	Expect(err).NotTo(HaveOccurred())
	controller, err := process.Start(process.Spec{
		Name: n.name, Path: binary, Log: filepath.Join(st.Logs(), n.name+".log"),
		Args: []string{"--config=" + n.config(port), "--kubeconfig=" + kubeconfig},
	})
	Expect(err).NotTo(HaveOccurred())
	DeferCleanup(controller.Kill)
	Expect(controller.WaitReady(ctx, func(ctx context.Context) error {
		conn, err := (&tls.Dialer{Config: &tls.Config{InsecureSkipVerify: true}}).DialContext(ctx, "tcp", loopback(port))
		if err != nil {
			return err
		}
		return conn.Close()
	})).To(Succeed())
	n.apply(ctx, webhooks)
}

func loopback(port int) string { return net.JoinHostPort("127.0.0.1", fmt.Sprint(port)) }

// config writes the configuration of the controller, and the certificate that it shows.
func (n neighbour) config(port int) string {
	GinkgoHelper()
	dir := GinkgoT().TempDir()
	Expect(st.ServingCertificate(dir)).To(Succeed())
	health, err := controlplane.FreePort()
	Expect(err).NotTo(HaveOccurred())
	config := fmt.Sprintf(`
apiVersion: config.%s.x-k8s.io/v1alpha1
kind: Configuration
webhook: {host: 127.0.0.1, port: %d, certDir: %s}
health: {healthProbeBindAddress: 127.0.0.1:%d}
metrics: {bindAddress: "0"}
leaderElection: {leaderElect: false}
internalCertManagement: {enable: false}
`, n.name, port, dir, health)
	path := filepath.Join(dir, "config.yaml")
	Expect(os.WriteFile(path, []byte(config), 0o600)).To(Succeed())
	return path
}

// manifests gives what the project installs, and apart from that the webhooks, which come last: nothing that they look at can be
// made before they answer.
func (n neighbour) manifests(ctx context.Context, port int) (installed, webhooks []*unstructured.Unstructured) {
	GinkgoHelper()
	dir, err := n.Dir(ctx)
	Expect(err).NotTo(HaveOccurred())
	out, err := st.Kubectl(ctx, "kustomize", filepath.Join(dir, "config", "default"))
	Expect(err).NotTo(HaveOccurred())
	for _, o := range decode([]byte(out)) {
		switch o.GetKind() {
		case "Deployment", "Service":
		case "MutatingWebhookConfiguration", "ValidatingWebhookConfiguration":
			turn(o, port)
			webhooks = append(webhooks, o)
		default:
			installed = append(installed, o)
		}
	}
	Expect(webhooks).NotTo(BeEmpty(), n.name)
	return installed, webhooks
}

// turn has the API server call webhooks at a port on loopback.
func turn(configuration *unstructured.Unstructured, port int) {
	GinkgoHelper()
	webhooks, _, err := unstructured.NestedSlice(configuration.Object, "webhooks")
	Expect(err).NotTo(HaveOccurred())
	for _, w := range webhooks {
		webhook := w.(map[string]any)
		path, found, err := unstructured.NestedString(webhook, "clientConfig", "service", "path")
		Expect(found, err).To(BeTrue())
		webhook["clientConfig"] = map[string]any{
			"url": "https://" + loopback(port) + path, "caBundle": base64.StdEncoding.EncodeToString(st.RESTConfig().CAData)}
	}
	Expect(unstructured.SetNestedSlice(configuration.Object, webhooks, "webhooks")).To(Succeed())
}

func (n neighbour) apply(ctx context.Context, objects []*unstructured.Unstructured) {
	GinkgoHelper()
	list := map[string]any{"apiVersion": "v1", "kind": "List", "items": objects}
	raw, err := json.Marshal(list)
	Expect(err).NotTo(HaveOccurred())
	_, err = st.As(st.Kubeconfig()).RunWithInput(ctx, string(raw), "apply", "--server-side", "-f", "-")
	Expect(err).NotTo(HaveOccurred(), n.name)
}
