package history

import (
	"context"
	"fmt"
	"net/url"
	"path/filepath"
	"sync"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	networkingv1 "k8s.io/api/networking/v1"
	rbacv1 "k8s.io/api/rbac/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	utilruntime "k8s.io/apimachinery/pkg/util/runtime"
	clientgoscheme "k8s.io/client-go/kubernetes/scheme"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/interlock-dev/interlock/api/v1alpha1"
	"github.com/interlock-dev/interlock/internal/safeguard"
	"github.com/interlock-dev/interlock/internal/testing/builder"
	"github.com/interlock-dev/interlock/internal/testing/controlplane"
	"github.com/interlock-dev/interlock/internal/testing/proxy"
	"github.com/interlock-dev/interlock/internal/testing/stack"
	"github.com/interlock-dev/interlock/test/history/check"
)

// The models of a tenant, and what they need beside being declared.
const (
	// easy needs nothing but what all pods have.
	easy = "easy"
	// needy needs a NetworkPolicy.
	needy     = "needy"
	causeName = "limits"
	// signed has a NetworkPolicy, and needs an approval.
	signed       = "signed"
	approvalName = "signature"

	policy = "history"
	lease  = 20 * time.Second
	asl4   = "ASL-4"
	// officer approves in the role for which config/ has a ClusterRole.
	officer = "rhea"
	role    = "rso"
)

var models = []string{easy, needy, signed}

const (
	declaredCause = "ModelDeployment"
	limitsCause   = "NetworkPolicy " + causeName
)

func approvalCause(name string) string { return "Approval " + name }

// world is what the nemesis works on.
type world struct {
	cluster *stack.Stack
	// line is that between the API server and etcd.
	line *proxy.Line
	// copies are those that a second API server has of what is in etcd.
	copies *proxy.Etcd
	// admin does what is not asked of others, and officer approves. elsewhere is admin at the second API server.
	admin, officer, elsewhere client.Client
	tenants                   []string
	seats                     []*seat

	mu    sync.Mutex
	spans []check.Span
}

func newWorld(t *testing.T) *world {
	t.Helper()
	w := &world{tenants: []string{"tenant-a", "tenant-b"}}
	binary := filepath.Join(t.TempDir(), "manager")
	buildManager(t, binary)
	var err error
	w.cluster, err = stack.Start(t.Context(), stack.Options{Nodes: controlplane.Nodes(2, 0), Manager: binary,
		EtcdProxy: func(address string) (string, error) {
			var err error
			if w.line, err = proxy.StartLine(address); err != nil {
				return "", err
			}
			return w.line.Address(), nil
		}})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := w.cluster.Stop(); err != nil {
			t.Error(err)
		}
		_ = w.line.Close()
	})
	scheme := runtime.NewScheme()
	utilruntime.Must(clientgoscheme.AddToScheme(scheme))
	utilruntime.Must(v1alpha1.AddToScheme(scheme))
	if w.admin, err = client.New(w.cluster.RESTConfig(), client.Options{Scheme: scheme}); err != nil {
		t.Fatal(err)
	}
	config, _, err := w.cluster.User(officer)
	if err != nil {
		t.Fatal(err)
	}
	if w.officer, err = client.New(config, client.Options{Scheme: scheme}); err != nil {
		t.Fatal(err)
	}
	w.another(t, scheme)
	for clocks := draw(100); len(w.seats) < 2; {
		w.seats = append(w.seats, w.newSeat(t, clocks))
	}
	return w
}

// another starts a second API server, whose copies can be made to stand still.
func (w *world) another(t *testing.T, scheme *runtime.Scheme) {
	t.Helper()
	etcd, err := url.Parse(w.cluster.EtcdURL())
	if err != nil {
		t.Fatal(err)
	}
	if w.copies, err = proxy.StartEtcd(etcd.Host); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = w.copies.Close() })
	config, err := w.cluster.StartAnotherAPIServer(t.Context(), w.copies.Address())
	if err != nil {
		t.Fatal(err)
	}
	if w.elsewhere, err = client.New(config, client.Options{Scheme: scheme}); err != nil {
		t.Fatal(err)
	}
}

// needs says what the models need.
func (w *world) needs() map[string][]string {
	needs := map[string][]string{}
	for _, tenant := range w.tenants {
		needs[tenant+"/"+easy] = []string{declaredCause}
		needs[tenant+"/"+needy] = []string{declaredCause, limitsCause}
		needs[tenant+"/"+signed] = []string{declaredCause, approvalCause(approvalName)}
	}
	return needs
}

// populate makes the policy, the officer and the tenants.
func (w *world) populate(t *testing.T) {
	t.Helper()
	scaling := builder.ScalingPolicy(policy).Lease(lease).
		Level(builder.Level(builder.ASL2).Deployment("image-pinned").EvictAfter(4 * time.Second)).
		Level(builder.Level(builder.ASL3).Security("egress-limited").EvictAfter(4 * time.Second)).
		Level(builder.Level(asl4).EvictAfter(4 * time.Second)).Build()
	scaling.Spec.SignOffs = []v1alpha1.SignOff{{Role: "Officer", Purpose: "tests", ApproverRole: role,
		Approves: []v1alpha1.ApprovalRule{{Kind: v1alpha1.SubjectDecision, FromLevel: asl4}}}}
	objects := []client.Object{
		builder.Safeguard("image-pinned").PodRule(builder.ImagesPinned, "an image is not pinned by digest").Build(),
		builder.Safeguard("egress-limited").Egress().Build(),
		scaling, bound("interlock-approver"), bound("interlock-approve-" + role),
	}
	for _, name := range w.tenants {
		objects = append(objects, builder.Namespace(name).Enforce(policy).Build(), declared(name),
			builder.ModelDeployment(name, needy).Level(builder.ASL3).Build(),
			builder.ModelDeployment(name, signed).Level(asl4).Build(),
			builder.NetworkPolicy(name, "lasting-"+causeName).Model(signed).Build())
	}
	for _, o := range objects {
		eventually(t, func(ctx context.Context) error { return client.IgnoreAlreadyExists(w.admin.Create(ctx, o)) })
	}
}

func bound(clusterRole string) *rbacv1.ClusterRoleBinding {
	return &rbacv1.ClusterRoleBinding{
		ObjectMeta: metav1.ObjectMeta{Name: officer + "-" + clusterRole},
		RoleRef:    rbacv1.RoleRef{APIGroup: rbacv1.GroupName, Kind: "ClusterRole", Name: clusterRole},
		Subjects:   []rbacv1.Subject{{APIGroup: rbacv1.GroupName, Kind: rbacv1.UserKind, Name: officer}}}
}

func declared(namespace string) *v1alpha1.ModelDeployment {
	return builder.ModelDeployment(namespace, easy).Build()
}

func limits(namespace string) *networkingv1.NetworkPolicy {
	return builder.NetworkPolicy(namespace, causeName).Model(needy).Build()
}

// eventually tries something until it succeeds.
func eventually(t *testing.T, do func(context.Context) error) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 2*time.Minute)
	defer cancel()
	for {
		err := do(ctx)
		if err == nil {
			return
		}
		select {
		case <-ctx.Done():
			t.Fatal(err)
		case <-time.After(100 * time.Millisecond):
		}
	}
}

// live lets tenants and nemesis work for the time that is asked, and then leaves all alone until all conforms and is served.
func (w *world) live(t *testing.T) {
	t.Helper()
	working, stop := context.WithTimeout(t.Context(), *duration)
	defer stop()
	var workers sync.WaitGroup
	for i, name := range w.tenants {
		first := uint64(i) * 10
		workers.Go(func() { w.flap(working, draw(first+1), name) })
		workers.Go(func() { w.serve(working, draw(first+2), name) })
		workers.Go(func() { w.sign(working, draw(first+3), name) })
		workers.Go(func() { w.declare(working, draw(first+4), name) })
	}
	workers.Go(func() { w.haunt(working, t, draw(0)) })
	workers.Wait()
	for _, name := range w.tenants {
		eventually(t, func(ctx context.Context) error { return client.IgnoreAlreadyExists(w.admin.Create(ctx, limits(name))) })
		eventually(t, func(ctx context.Context) error {
			return client.IgnoreAlreadyExists(w.admin.Create(ctx, declared(name)))
		})
		eventually(t, func(ctx context.Context) error { return client.IgnoreAlreadyExists(w.approve(ctx, name)) })
	}
	w.settle(t)
}

// settle waits until nothing waits at a gate, or for so long that what does is held for ever by the measure of the checker.
func (w *world) settle(t *testing.T) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), recovery+bounds.Cleared+5*time.Second)
	defer cancel()
	for ctx.Err() == nil {
		held, err := w.held(ctx)
		if err == nil && held == 0 {
			return
		}
		select {
		case <-ctx.Done():
			t.Logf("%d pods wait to the end (%v)", held, err)
		case <-time.After(time.Second):
		}
	}
}

// held counts the pods at gates. It sees to it that each model has a pod, which waits while the model is not cleared.
func (w *world) held(ctx context.Context) (int, error) {
	n := 0
	for _, tenant := range w.tenants {
		for _, model := range models {
			if err := w.admin.Create(ctx, builder.Pod(tenant, model+"-last").Model(model).Build()); client.IgnoreAlreadyExists(err) != nil {
				return n, fmt.Errorf("create the last pod: %w", err)
			}
		}
		pods := &corev1.PodList{}
		if err := w.admin.List(ctx, pods, client.InNamespace(tenant), client.HasLabels{v1alpha1.ModelLabel}); err != nil {
			return n, err
		}
		for i := range pods.Items {
			if safeguard.Held(&pods.Items[i]) {
				n++
			}
		}
	}
	return n, nil
}
