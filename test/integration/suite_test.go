// Package integration tests Interlock as its users meet it: a real API server with the controllers of Kubernetes, kubectl,
// and a manager process with just the rights that config/ gives it.
//
// Every test has a namespace, a policy and Safeguards of its own (see world), so that tests share the manager and
// nothing else.
package integration

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"testing"
	"time"

	. "github.com/onsi/ginkgo/v2"
	. "github.com/onsi/gomega"
	coordinationv1 "k8s.io/api/coordination/v1"
	apiextensionsv1 "k8s.io/apiextensions-apiserver/pkg/apis/apiextensions/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
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
	api client.WithWatch
	// evidenceStore is the registry from which managers may fetch evidence.
	evidenceStore *evidenceRegistry
	// manager is the one that runs. Tests that stop it start another.
	manager *stack.Manager
)

func TestIntegration(t *testing.T) {
	if os.Getenv(controlplane.AssetsVariable) == "" {
		t.Skipf("starts a control plane: run it with `make test`, which sets %s", controlplane.AssetsVariable)
	}
	RegisterFailHandler(Fail)
	EnforceDefaultTimeoutsWhenUsingContexts()
	SetDefaultEventuallyTimeout(30 * time.Second)
	SetDefaultEventuallyPollingInterval(50 * time.Millisecond)
	SetDefaultConsistentlyPollingInterval(200 * time.Millisecond)
	RunSpecs(t, "Integration")
}

var _ = BeforeSuite(func(ctx SpecContext) {
	ctrl.SetLogger(GinkgoLogr)
	binary := filepath.Join(GinkgoT().TempDir(), "manager")
	built := make(chan error, 1)
	go func() { built <- errors.Join(stack.BuildManager(ctx, binary), stack.BuildPlugin(ctx, binary)) }()
	var err error
	st, err = stack.Start(ctx, stack.Options{
		Nodes:    controlplane.Nodes(3, 1),
		Manager:  binary,
		Untyped:  GinkgoParallelProcess() > 1,
		Progress: func(step string) { GinkgoWriter.Println(step) },
	})
	Expect(err).NotTo(HaveOccurred())
	DeferCleanup(func() { Expect(st.Stop()).To(Succeed()) })

	scheme := runtime.NewScheme()
	utilruntime.Must(clientgoscheme.AddToScheme(scheme))
	utilruntime.Must(apiextensionsv1.AddToScheme(scheme))
	utilruntime.Must(v1alpha1.AddToScheme(scheme))
	api, err = client.NewWithWatch(st.RESTConfig(), client.Options{Scheme: scheme})
	Expect(err).NotTo(HaveOccurred())
	evidenceStore = newEvidenceRegistry()
	Expect(<-built).NotTo(HaveOccurred())
	startManager(ctx)
}, NodeTimeout(5*time.Minute))

// startManager starts a manager, beside the one that runs if there is one. The lease of one that was killed goes first: it
// would be waited for.
func startManager(ctx context.Context) {
	GinkgoHelper()
	if manager != nil && !manager.Running() {
		lease := &coordinationv1.Lease{ObjectMeta: metav1.ObjectMeta{Namespace: stack.Namespace, Name: "manager.interlock.dev"}}
		Expect(client.IgnoreNotFound(api.Delete(ctx, lease))).To(Succeed())
	}
	var err error
	manager, err = st.StartManager(ctx, "--evidence-registries="+evidenceStore.host(), "--evidence-refresh="+evidenceRefresh.String())
	Expect(err).NotTo(HaveOccurred())
}

// A failed test shows the end of the manager's log.
var _ = JustAfterEach(func() {
	if CurrentSpecReport().Failed() && manager != nil {
		AddReportEntry("manager", manager.Report().Error())
	}
})
