package controlplane_test

import (
	"context"
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/api/resource"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/util/wait"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/rest"

	"github.com/interlock-dev/interlock/internal/testing/controlplane"
)

// parentVariable makes the test binary play a parent that is killed; it holds the folder of the control plane.
const parentVariable = "INTERLOCK_TEST_PARENT_DIR"

func TestMain(m *testing.M) {
	if dir := os.Getenv(parentVariable); dir != "" {
		playParent(dir)
		return
	}
	os.Exit(m.Run())
}

func TestControlPlane(t *testing.T) {
	needsAssets(t)
	ctx, cancel := context.WithTimeout(t.Context(), 3*time.Minute)
	defer cancel()
	dir := t.TempDir()
	started := time.Now()
	cp, err := controlplane.Start(ctx, controlplane.Options{Dir: dir, Nodes: controlplane.Nodes(3, 2)})
	if err != nil {
		t.Fatal(err)
	}
	t.Logf("started in %s", time.Since(started).Round(10*time.Millisecond))
	t.Cleanup(func() { _ = cp.Stop() })
	client := kubernetes.NewForConfigOrDie(cp.RESTConfig())

	t.Run("a Deployment of two becomes ready", func(t *testing.T) {
		deploymentBecomesReady(ctx, t, client, "before")
	})
	t.Run("a user has the rights of RBAC, and no others", func(t *testing.T) {
		config, kubeconfig, err := cp.User("ada", "serving-team")
		if err != nil {
			t.Fatal(err)
		}
		wantForbidden(ctx, t, config)
		out, err := exec.CommandContext(ctx, cp.KubectlPath(), "--kubeconfig="+kubeconfig, "auth", "whoami").CombinedOutput()
		if err != nil || !strings.Contains(string(out), "ada") || !strings.Contains(string(out), "serving-team") {
			t.Errorf("kubectl auth whoami: %v\n%s", err, out)
		}
	})
	t.Run("a ServiceAccount has the rights of RBAC, and no others", func(t *testing.T) {
		config, _, err := cp.ServiceAccount(ctx, "default", "default")
		if err != nil {
			t.Fatal(err)
		}
		wantForbidden(ctx, t, config)
	})
	t.Run("all goes on after the API server was killed", func(t *testing.T) {
		if err := cp.RestartAPIServer(ctx); err != nil {
			t.Fatal(err)
		}
		if _, err := client.AppsV1().Deployments("default").Get(ctx, "before", metav1.GetOptions{}); err != nil {
			t.Errorf("data is lost: %v", err)
		}
		deploymentBecomesReady(ctx, t, client, "after")
		select {
		case err := <-cp.Failed():
			t.Error(err)
		default:
		}
	})
	t.Run("Stop leaves no process and no credentials", func(t *testing.T) {
		if err := cp.Stop(); err != nil {
			t.Fatal(err)
		}
		if pids := processesOf(t, dir); len(pids) > 0 {
			t.Errorf("processes %v are left", pids)
		}
		left, err := filepath.Glob(filepath.Join(dir, "*"))
		if err != nil || len(left) != 1 || left[0] != cp.Logs() {
			t.Errorf("%v is left (%v), want only the logs", left, err)
		}
	})
}

func TestNoProcessOutlivesAKilledParent(t *testing.T) {
	needsAssets(t)
	if _, err := os.Stat("/proc/self/cmdline"); err != nil {
		t.Skip("only Linux ties the life of a child to its parent's")
	}
	dir := t.TempDir()
	parent := exec.CommandContext(t.Context(), os.Args[0])
	parent.Env = append(os.Environ(), parentVariable+"="+dir)
	parent.Stderr = os.Stderr
	ready, err := parent.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := parent.Start(); err != nil {
		t.Fatal(err)
	}
	if _, err := ready.Read(make([]byte, 1)); err != nil {
		t.Fatalf("the control plane did not start: %v", err)
	}
	if n := len(processesOf(t, dir)); n != 5 {
		t.Errorf("%d processes run, want 5", n)
	}
	if err := parent.Process.Signal(syscall.SIGKILL); err != nil {
		t.Fatal(err)
	}
	_ = parent.Wait()
	err = wait.PollUntilContextTimeout(t.Context(), 20*time.Millisecond, 5*time.Second, true,
		func(context.Context) (bool, error) { return len(processesOf(t, dir)) == 0, nil })
	if err != nil {
		t.Errorf("processes %v outlive their parent", processesOf(t, dir))
	}
}

// needsAssets skips a test where there is no control plane built, since that takes minutes.
func needsAssets(t *testing.T) {
	t.Helper()
	if os.Getenv(controlplane.AssetsVariable) == "" {
		t.Skipf("starts a control plane: run it with `make test`, which sets %s", controlplane.AssetsVariable)
	}
}

// playParent starts a control plane, says so on standard output, and waits to be killed.
func playParent(dir string) {
	if _, err := controlplane.Start(context.Background(), controlplane.Options{Dir: dir}); err != nil {
		_, _ = os.Stderr.WriteString(err.Error() + "\n")
		os.Exit(1)
	}
	_, _ = os.Stdout.WriteString("ready")
	select {}
}

// processesOf returns the ids of the processes that were started with a path in dir.
func processesOf(t *testing.T, dir string) []string {
	t.Helper()
	files, err := filepath.Glob("/proc/[0-9]*/cmdline")
	if err != nil {
		t.Fatal(err)
	}
	var pids []string
	for _, file := range files {
		content, err := os.ReadFile(file)
		if errors.Is(err, os.ErrNotExist) || errors.Is(err, syscall.ESRCH) {
			continue
		}
		if strings.Contains(string(content), dir+"/") {
			pids = append(pids, filepath.Base(filepath.Dir(file)))
		}
	}
	return pids
}

func deploymentBecomesReady(ctx context.Context, t *testing.T, client kubernetes.Interface, name string) {
	t.Helper()
	deployments := client.AppsV1().Deployments("default")
	started := time.Now()
	if _, err := deployments.Create(ctx, deployment(name), metav1.CreateOptions{}); err != nil {
		t.Fatal(err)
	}
	var last appsv1.DeploymentStatus
	err := wait.PollUntilContextTimeout(ctx, 50*time.Millisecond, 30*time.Second, true,
		func(ctx context.Context) (bool, error) {
			d, err := deployments.Get(ctx, name, metav1.GetOptions{})
			if err != nil {
				return false, err
			}
			last = d.Status
			return last.ReadyReplicas == 2, nil
		})
	if err != nil {
		t.Fatalf("Deployment %s is not ready: %v: %+v", name, err, last)
	}
	t.Logf("Deployment %s ready in %s", name, time.Since(started).Round(10*time.Millisecond))
}

func deployment(name string) *appsv1.Deployment {
	labels := map[string]string{"app": name}
	replicas := int32(2)
	return &appsv1.Deployment{
		ObjectMeta: metav1.ObjectMeta{Name: name},
		Spec: appsv1.DeploymentSpec{
			Replicas: &replicas,
			Selector: &metav1.LabelSelector{MatchLabels: labels},
			Template: corev1.PodTemplateSpec{
				ObjectMeta: metav1.ObjectMeta{Labels: labels},
				Spec: corev1.PodSpec{Containers: []corev1.Container{{
					Name:  "server",
					Image: "example.com/server",
					Resources: corev1.ResourceRequirements{
						Limits: corev1.ResourceList{"nvidia.com/gpu": resource.MustParse("4")},
					},
				}}},
			},
		},
	}
}

func wantForbidden(ctx context.Context, t *testing.T, config *rest.Config) {
	t.Helper()
	client, err := kubernetes.NewForConfig(config)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := client.CoreV1().Secrets("default").List(ctx, metav1.ListOptions{}); !apierrors.IsForbidden(err) {
		t.Errorf("listing Secrets: %v, want forbidden", err)
	}
}
