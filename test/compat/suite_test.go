// Package compat tests Interlock beside other projects: with the real definitions of their kinds and the manifests that they
// ship as samples, both read from their modules. The controllers of LeaderWorkerSet and JobSet run as they were released; where a
// kind's controller cannot be built from a Go module, a stand-in makes the pods.
package compat

import (
	"os"
	"path/filepath"
	"testing"
	"time"

	. "github.com/onsi/ginkgo/v2"
	. "github.com/onsi/gomega"
	"k8s.io/apimachinery/pkg/runtime"
	utilruntime "k8s.io/apimachinery/pkg/util/runtime"
	clientgoscheme "k8s.io/client-go/kubernetes/scheme"
	ctrl "sigs.k8s.io/controller-runtime"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/interlock-dev/interlock/api/v1alpha1"
	"github.com/interlock-dev/interlock/internal/testing/controlplane"
	"github.com/interlock-dev/interlock/internal/testing/stack"
)

var (
	st *stack.Stack
	// api is a cluster admin's client, which reads the API server and no cache.
	api     client.WithWatch
	manager *stack.Manager
)

func TestCompat(t *testing.T) {
	if os.Getenv(controlplane.AssetsVariable) == "" {
		t.Skipf("starts a control plane: run it with `make test`, which sets %s", controlplane.AssetsVariable)
	}
	RegisterFailHandler(Fail)
	EnforceDefaultTimeoutsWhenUsingContexts()
	SetDefaultEventuallyTimeout(40 * time.Second)
	SetDefaultEventuallyPollingInterval(100 * time.Millisecond)
	SetDefaultConsistentlyPollingInterval(200 * time.Millisecond)
	RunSpecs(t, "Compat")
}

var _ = BeforeSuite(func(ctx SpecContext) {
	ctrl.SetLogger(GinkgoLogr)
	dir := GinkgoT().TempDir()
	binary := filepath.Join(dir, "manager")
	Expect(stack.BuildManager(ctx, binary)).To(Succeed())
	var err error
	st, err = stack.Start(ctx, stack.Options{Nodes: controlplane.Nodes(3, 1), Manager: binary, Untyped: true})
	Expect(err).NotTo(HaveOccurred())
	DeferCleanup(func() { Expect(st.Stop()).To(Succeed()) })

	scheme := runtime.NewScheme()
	utilruntime.Must(clientgoscheme.AddToScheme(scheme))
	utilruntime.Must(v1alpha1.AddToScheme(scheme))
	api, err = client.NewWithWatch(st.RESTConfig(), client.Options{Scheme: scheme})
	Expect(err).NotTo(HaveOccurred())

	// The kinds come after the manager: none of them is needed for it to start.
	kinds := filepath.Join(dir, "kinds.yaml")
	Expect(os.WriteFile(kinds, []byte(fleetKind), 0o600)).To(Succeed())
	manager, err = st.StartManager(ctx, "--workload-kinds="+kinds)
	Expect(err).NotTo(HaveOccurred())
	for _, n := range neighboursOfOurs {
		n.start(ctx)
	}
	installKinds(ctx)
}, NodeTimeout(15*time.Minute))

// A failed test shows the end of the manager's log.
var _ = JustAfterEach(func() {
	if CurrentSpecReport().Failed() && manager != nil {
		AddReportEntry("manager", manager.Report().Error())
	}
})
