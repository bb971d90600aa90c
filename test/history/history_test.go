// Package history lets clients, tenants and the operator run for a time in which a nemesis does its worst, and checks what
// happened. The nemesis draws from a seed; time and load make no two runs the same.
package history

import (
	"context"
	"encoding/json"
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"sync"
	"testing"
	"time"

	"k8s.io/apimachinery/pkg/runtime"
	utilruntime "k8s.io/apimachinery/pkg/util/runtime"
	clientgoscheme "k8s.io/client-go/kubernetes/scheme"
	ctrl "sigs.k8s.io/controller-runtime"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/log/zap"

	"github.com/interlock-dev/interlock/api/v1alpha1"
	"github.com/interlock-dev/interlock/internal/record"
	"github.com/interlock-dev/interlock/internal/record/audit"
	"github.com/interlock-dev/interlock/internal/testing/builder"
	"github.com/interlock-dev/interlock/internal/testing/controlplane"
	"github.com/interlock-dev/interlock/internal/testing/stack"
	"github.com/interlock-dev/interlock/test/history/check"
)

var (
	duration = flag.Duration("history.duration", 0, "how long the nemesis is at work; 0, it does nothing")
	seed     = flag.Uint64("history.seed", 0, "what it draws from; 0, a new one")
	keep     = flag.String("history.keep", "", "file into which the history is written, for whoever wants to look at it")
)

const (
	// quiet is how long all is left alone at the end, so that what is due can be done.
	quiet = 15 * time.Second
	// recovery is how long after an interference deadlines begin to run: another manager leads once a lease of ten seconds is over.
	recovery = 12 * time.Second
)

var bounds = check.Bounds{Lag: 3 * time.Second, TakenOut: 10 * time.Second, Fresh: 2 * time.Second, Revoked: 5 * time.Second, Cleared: 15 * time.Second}

func TestHistory(t *testing.T) {
	if os.Getenv(controlplane.AssetsVariable) == "" {
		t.Skipf("starts a control plane: run it with `make history`, which sets %s", controlplane.AssetsVariable)
	}
	if *duration == 0 {
		t.Skip("takes its time: run it with `make history`")
	}
	if *seed == 0 {
		*seed = uint64(time.Now().UnixNano())
	}
	t.Logf("seed %d, for %s: repeat it with `make history SEED=%d DURATION=%s`", *seed, *duration, *seed, *duration)
	ctrl.SetLogger(zap.New(zap.WriteTo(os.Stderr)))

	w := newWorld(t)
	recording, stop := context.WithCancel(t.Context())
	rec := newRecorder(w.cluster.EtcdURL(), w.tenants)
	var recorder sync.WaitGroup
	recorder.Go(func() { rec.run(recording, func(err error) { t.Errorf("the history is not whole: %v", err) }) })

	w.populate(t)
	w.live(t)
	end := time.Now()
	stop()
	recorder.Wait()
	h := check.History{Events: rec.history(), Hindered: w.hindered(recovery), Record: w.record(t), End: end}
	if *keep != "" {
		written, err := json.MarshalIndent(h, "", " ")
		if err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(*keep, written, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	tell(t, h)
	for _, v := range check.Check(h, bounds) {
		t.Error(v)
	}
}

// tell says how much happened, so that nobody takes an empty history for a good one.
func tell(t *testing.T, h check.History) {
	t.Helper()
	count := map[string]int{}
	for _, e := range h.Events {
		switch {
		case e.Kind == check.Pod && e.There && e.Gated:
			count["pods seen at the gate"]++
		case e.Kind == check.Pod && e.There:
			count["pods seen past the gate"]++
		case e.Kind == check.Clearance && e.There:
			count["clearances"]++
		case e.Kind == check.Clearance:
			count["revocations"]++
		case e.Kind == check.Cause && !e.There:
			count["causes gone"]++
		}
	}
	t.Logf("%v, %d interferences, %d entries of the record", count, len(h.Hindered), len(h.Record))
	for _, what := range []string{"clearances", "revocations", "pods seen past the gate", "pods seen at the gate"} {
		if count[what] == 0 {
			t.Errorf("the history shows no %s", what)
		}
	}
}

// The models of a tenant.
const (
	// easy needs nothing but what all pods have.
	easy = "easy"
	// needy needs a NetworkPolicy.
	needy     = "needy"
	causeName = "limits"
	policy    = "history"
)

// world is what the nemesis works on.
type world struct {
	cluster *stack.Stack
	admin   client.Client
	tenants []string
	seats   []*seat

	mu    sync.Mutex
	spans []check.Span
}

func newWorld(t *testing.T) *world {
	t.Helper()
	scheme := runtime.NewScheme()
	utilruntime.Must(clientgoscheme.AddToScheme(scheme))
	utilruntime.Must(v1alpha1.AddToScheme(scheme))
	w := &world{tenants: []string{"tenant-a", "tenant-b"}}
	binary := filepath.Join(t.TempDir(), "manager")
	if err := stack.BuildManager(t.Context(), binary); err != nil {
		t.Fatal(err)
	}
	var err error
	if w.cluster, err = stack.Start(t.Context(), stack.Options{Nodes: controlplane.Nodes(2, 0), Manager: binary}); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := w.cluster.Stop(); err != nil {
			t.Error(err)
		}
	})
	if w.admin, err = client.New(w.cluster.RESTConfig(), client.Options{Scheme: scheme}); err != nil {
		t.Fatal(err)
	}
	for range 2 {
		w.seats = append(w.seats, w.newSeat(t))
	}
	return w
}

// populate makes the policy and the tenants.
func (w *world) populate(t *testing.T) {
	t.Helper()
	objects := []client.Object{
		builder.Safeguard("image-pinned").PodRule(builder.ImagesPinned, "an image is not pinned by digest").Build(),
		builder.Safeguard("egress-limited").Egress().Build(),
		builder.ScalingPolicy(policy).Lease(20 * time.Second).
			Level(builder.Level(builder.ASL2).Deployment("image-pinned").EvictAfter(4 * time.Second)).
			Level(builder.Level(builder.ASL3).Security("egress-limited").EvictAfter(4 * time.Second)).Build(),
	}
	for _, name := range w.tenants {
		objects = append(objects, builder.Namespace(name).Enforce(policy).Build(),
			builder.ModelDeployment(name, easy).Build(), builder.ModelDeployment(name, needy).Level(builder.ASL3).Build())
	}
	for _, o := range objects {
		eventually(t, func(ctx context.Context) error { return client.IgnoreAlreadyExists(w.admin.Create(ctx, o)) })
	}
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

// live lets tenants and nemesis work for the time that is asked, and then leaves all alone.
func (w *world) live(t *testing.T) {
	t.Helper()
	working, stop := context.WithTimeout(t.Context(), *duration)
	defer stop()
	var workers sync.WaitGroup
	for i, name := range w.tenants {
		workers.Go(func() { w.flap(working, draw(uint64(i)+1), name) })
		workers.Go(func() { w.serve(working, draw(uint64(i)+11), name) })
	}
	workers.Go(func() { w.haunt(working, t, draw(0)) })
	workers.Wait()
	for _, name := range w.tenants {
		eventually(t, func(ctx context.Context) error { return client.IgnoreAlreadyExists(w.admin.Create(ctx, limits(name))) })
	}
	time.Sleep(quiet)
}

// hindered gives the interferences, each with the time that it takes to recover from it.
func (w *world) hindered(recovery time.Duration) []check.Span {
	w.mu.Lock()
	defer w.mu.Unlock()
	spans := slices.Clone(w.spans)
	for i := range spans {
		spans[i].To = spans[i].To.Add(recovery)
	}
	return spans
}

// record ends the managers and reads the decision record, as an auditor would.
func (w *world) record(t *testing.T) []check.Decision {
	t.Helper()
	for _, s := range w.seats {
		if err := s.manager.Stop(t.Context()); err != nil {
			t.Error(err)
		}
	}
	key, err := os.ReadFile(w.cluster.Record() + ".key.pub")
	if err != nil {
		t.Fatal(err)
	}
	decisions := []check.Decision{}
	report, err := audit.Verify(t.Context(), w.cluster.Record(), string(key), nil, func(s record.Statement) {
		p := s.Predicate
		decisions = append(decisions, check.Decision{
			Model: fmt.Sprintf("%s/%s", p.Model.Namespace, p.Model.Name), At: p.TimeVerified, Cleared: p.Verdict == v1alpha1.OutcomeCleared})
	})
	if err != nil {
		t.Errorf("the decision record does not stand an audit at %d entries: %v", report.Size, err)
	}
	return decisions
}
