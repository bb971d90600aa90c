package history

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	networkingv1 "k8s.io/api/networking/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/interlock-dev/interlock/api/v1alpha1"
	"github.com/interlock-dev/interlock/internal/safeguard"
	"github.com/interlock-dev/interlock/internal/testing/builder"
	"github.com/interlock-dev/interlock/internal/testing/proxy"
	"github.com/interlock-dev/interlock/internal/testing/stack"
	"github.com/interlock-dev/interlock/test/history/check"
)

// draw gives what one worker draws from.
func draw(worker uint64) *rand.Rand { return rand.New(rand.NewPCG(*seed, worker)) }

// rest waits for a time between two.
func rest(ctx context.Context, r *rand.Rand, least, most time.Duration) {
	select {
	case <-ctx.Done():
	case <-time.After(least + time.Duration(r.Int64N(int64(most-least)))):
	}
}

// seat is a place for a manager, with a proxy before the API server.
type seat struct {
	name       string
	proxy      *proxy.Proxy
	kubeconfig string
	manager    *stack.Manager
}

func (w *world) newSeat(t *testing.T) *seat {
	t.Helper()
	operator, _, err := w.cluster.ServiceAccount(t.Context(), stack.Namespace, stack.ServiceAccount)
	if err != nil {
		t.Fatal(err)
	}
	s := &seat{name: fmt.Sprintf("manager %d", len(w.seats)), kubeconfig: filepath.Join(t.TempDir(), "kubeconfig")}
	if s.proxy, err = proxy.Start(operator); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = s.proxy.Close() })
	if err := s.proxy.Kubeconfig(s.kubeconfig); err != nil {
		t.Fatal(err)
	}
	if s.manager, err = w.cluster.StartManager(t.Context(), "--kubeconfig="+s.kubeconfig); err != nil {
		t.Fatal(err)
	}
	return s
}

// revive starts the manager of a seat again, if it has ended.
func (w *world) revive(t *testing.T, s *seat) {
	if s.manager.Running() {
		return
	}
	began := time.Now()
	m, err := w.cluster.StartManager(t.Context(), "--kubeconfig="+s.kubeconfig)
	if err != nil {
		t.Logf("start %s again: %v", s.name, err)
		return
	}
	s.manager = m
	w.note(t, began, "start of "+s.name)
}

func (w *world) note(t *testing.T, from time.Time, why string) {
	t.Logf("%s: %s, for %s", from.Format("15:04:05.000"), why, time.Since(from).Round(time.Millisecond))
	w.mu.Lock()
	defer w.mu.Unlock()
	w.spans = append(w.spans, check.Span{From: from, To: time.Now(), Why: why})
}

// An interference does harm for a while, and undoes it.
type interference struct {
	name string
	do   func(context.Context, *rand.Rand) error
}

// haunt interferes with one thing after another, and leaves all in order.
func (w *world) haunt(ctx context.Context, t *testing.T, r *rand.Rand) {
	all := w.interferences()
	for {
		rest(ctx, r, 500*time.Millisecond, 6*time.Second)
		if ctx.Err() != nil {
			break
		}
		i, began := all[r.IntN(len(all))], time.Now()
		if err := i.do(ctx, r); err != nil {
			t.Logf("%s: %v", i.name, err)
		}
		w.note(t, began, i.name)
		for _, s := range w.seats {
			w.revive(t, s)
		}
	}
	for _, s := range w.seats {
		w.revive(t, s)
	}
}

func (w *world) interferences() []interference {
	all := []interference{
		{"API server restarts", func(ctx context.Context, _ *rand.Rand) error {
			return w.cluster.RestartAPIServer(context.WithoutCancel(ctx))
		}},
		{"etcd restarts", func(ctx context.Context, _ *rand.Rand) error {
			return w.cluster.RestartEtcd(context.WithoutCancel(ctx))
		}},
		{"hostile load", w.flood},
	}
	for _, component := range []string{"etcd", "kube-apiserver"} {
		all = append(all, interference{component + " is paused", func(ctx context.Context, r *rand.Rand) error {
			return pause(ctx, r, 3*time.Second, func(s os.Signal) error { return w.cluster.Signal(component, s) })
		}})
	}
	for _, s := range w.seats {
		paused := interference{s.name + " is paused", func(ctx context.Context, r *rand.Rand) error {
			return pause(ctx, r, 9900*time.Millisecond, func(signal os.Signal) error { return s.manager.Signal(signal) })
		}}
		stalled := interference{s.name + " has a watch that stands still", func(ctx context.Context, r *rand.Rand) error {
			resource := []string{"networkpolicies", "pods", "limitranges", "modeldeployments", "namespaces"}[r.IntN(5)]
			s.proxy.Stall(resource)
			rest(ctx, r, 500*time.Millisecond, 8*time.Second)
			s.proxy.Resume(resource)
			return nil
		}}
		killed := interference{s.name + " is killed", func(context.Context, *rand.Rand) error { return s.manager.Kill() }}
		all = append(all, paused, paused, paused, stalled, stalled, killed)
	}
	return all
}

// pause stops a process for a while.
func pause(ctx context.Context, r *rand.Rand, most time.Duration, signal func(os.Signal) error) error {
	if err := signal(syscall.SIGSTOP); err != nil {
		return err
	}
	rest(ctx, r, 100*time.Millisecond, most)
	return signal(syscall.SIGCONT)
}

// flood writes as much as a tenant can.
func (w *world) flood(ctx context.Context, r *rand.Rand) error {
	ctx, stop := context.WithTimeout(ctx, time.Second+time.Duration(r.Int64N(int64(4*time.Second))))
	defer stop()
	fat := &corev1.ConfigMap{ObjectMeta: metav1.ObjectMeta{Namespace: w.tenants[0], Name: "fat"}, Data: map[string]string{"x": strings.Repeat("x", 900_000)}}
	for n := 0; ctx.Err() == nil; n++ {
		o := fat.DeepCopy()
		o.Data["n"] = fmt.Sprint(n)
		if err := w.admin.Update(ctx, o); err != nil {
			_ = w.admin.Create(ctx, fat.DeepCopy())
		}
	}
	return w.admin.Delete(context.WithoutCancel(ctx), fat)
}

func limits(namespace string) *networkingv1.NetworkPolicy {
	return builder.NetworkPolicy(namespace, causeName).Model(needy).Build()
}

// flap lets what a model needs come and go.
func (w *world) flap(ctx context.Context, r *rand.Rand, namespace string) {
	for ctx.Err() == nil {
		_ = w.admin.Create(ctx, limits(namespace))
		rest(ctx, r, 50*time.Millisecond, 6*time.Second)
		_ = w.admin.Delete(ctx, limits(namespace))
		rest(ctx, r, 50*time.Millisecond, 4*time.Second)
	}
}

// serve creates pods of all models, and takes some away again.
func (w *world) serve(ctx context.Context, r *rand.Rand, namespace string) {
	for n := 0; ctx.Err() == nil; n++ {
		model := []string{needy, needy, easy}[r.IntN(3)]
		_ = w.admin.Create(ctx, builder.Pod(namespace, fmt.Sprintf("%s-%d", model, n)).Model(model).Build())
		rest(ctx, r, 50*time.Millisecond, 400*time.Millisecond)
		if n%20 == 19 {
			_ = w.clean(ctx, namespace)
		}
	}
}

// clean deletes pods, but for the last that wait.
func (w *world) clean(ctx context.Context, namespace string) error {
	pods := &corev1.PodList{}
	if err := w.admin.List(ctx, pods, client.InNamespace(namespace), client.HasLabels{v1alpha1.ModelLabel}); err != nil {
		return err
	}
	var errs []error
	for i := range pods.Items {
		if pod := &pods.Items[i]; !safeguard.Held(pod) || len(pods.Items) > 60 {
			errs = append(errs, w.admin.Delete(ctx, pod, client.GracePeriodSeconds(0)))
		}
	}
	return errors.Join(errs...)
}
