package history

import (
	"context"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"net/http"
	"os"
	"path/filepath"
	"regexp"
	"syscall"
	"testing"
	"time"

	"github.com/interlock-dev/interlock/internal/testing/proxy"
	"github.com/interlock-dev/interlock/internal/testing/stack"
	"github.com/interlock-dev/interlock/test/history/check"
)

const (
	// recovery is how long it may take until another manager leads: a lease of ten seconds has to be over.
	recovery = 12 * time.Second
	// reconnect is how long it may take until the one that leads goes on.
	reconnect = 4 * time.Second
	// renewal is how long a leader lives without the API server.
	renewal = 5 * time.Second
)

// seat is a place for a manager, with a proxy before the API server.
type seat struct {
	name       string
	proxy      *proxy.Proxy
	kubeconfig string
	manager    *stack.Manager
}

func (w *world) newSeat(t *testing.T, r *rand.Rand) *seat {
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
	if err := w.start(t.Context(), t, r, s); err != nil {
		t.Fatal(err)
	}
	return s
}

// revive starts the manager of a seat again, if it has ended.
func (w *world) revive(t *testing.T, r *rand.Rand, s *seat) {
	if s.manager.Running() {
		return
	}
	began := time.Now()
	if err := w.start(t.Context(), t, r, s); err != nil {
		t.Log(err)
		return
	}
	w.note(t, began, interference{name: "a manager starts", toll: recovery})
}

// leader gives the seat whose manager leads.
func (w *world) leader(ctx context.Context) (*seat, error) {
	for _, s := range w.seats {
		if s.leads(ctx) {
			return s, nil
		}
	}
	return nil, errors.New("nobody leads now")
}

var leading = regexp.MustCompile(`(?m)^leader_election_master_status\{.*\} 1$`)

func (s *seat) leads(ctx context.Context) bool {
	ctx, cancel := context.WithTimeout(ctx, time.Second)
	defer cancel()
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, s.manager.MetricsURL(), nil)
	if err != nil {
		return false
	}
	response, err := http.DefaultClient.Do(request)
	if err != nil {
		return false
	}
	defer response.Body.Close()
	text, err := io.ReadAll(response.Body)
	return err == nil && leading.Match(text)
}

// An interference does harm for a while, and undoes it.
type interference struct {
	name string
	// store says that an API server or etcd is what it harms.
	store bool
	// stale says that it makes the copies of one API server stand still, and harms nothing else.
	stale bool
	// toll is how long Interlock may take to act again.
	toll time.Duration
	do   func(context.Context, *rand.Rand) error
}

func (w *world) note(t *testing.T, from time.Time, i interference) {
	to := time.Now()
	t.Logf("%s: %s, for %s", from.Format("15:04:05.000"), i.name, to.Sub(from).Round(time.Millisecond))
	toll := i.toll
	if to.Sub(from) > renewal {
		toll = recovery
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	w.spans = append(w.spans, check.Span{From: from, To: to, Over: to.Add(toll), Store: i.store, Stale: i.stale, Why: i.name})
}

// haunt interferes with one thing after another, leaves all alone now and then, and all in order at the end.
func (w *world) haunt(ctx context.Context, t *testing.T, r *rand.Rand) {
	all := append(w.storeInterferences(), w.managerInterferences()...)
	for {
		w.wait(ctx, t, r, 500*time.Millisecond, 6*time.Second)
		if r.IntN(6) == 0 {
			w.wait(ctx, t, r, recovery, 3*recovery)
		}
		if ctx.Err() != nil {
			break
		}
		i, began := all[r.IntN(len(all))], time.Now()
		if err := i.do(ctx, r); err != nil {
			t.Logf("%s: %v", i.name, err)
		}
		w.note(t, began, i)
	}
	w.reviveAll(t, r)
}

// wait rests between two times, and starts managers that end meanwhile, as a kubelet does.
func (w *world) wait(ctx context.Context, t *testing.T, r *rand.Rand, least, most time.Duration) {
	until := time.Now().Add(least + time.Duration(r.Int64N(int64(most-least))))
	for ctx.Err() == nil && time.Now().Before(until) {
		w.reviveAll(t, r)
		rest(ctx, r, 400*time.Millisecond, 600*time.Millisecond)
	}
}

func (w *world) reviveAll(t *testing.T, r *rand.Rand) {
	for _, s := range w.seats {
		w.revive(t, r, s)
	}
}

func (w *world) managerInterferences() []interference {
	all := []interference{
		{name: "the leader is killed", toll: recovery, do: func(ctx context.Context, _ *rand.Rand) error {
			leader, err := w.leader(ctx)
			if err != nil {
				return err
			}
			return leader.manager.Kill()
		}},
		{name: "the leader is paused", toll: reconnect, do: func(ctx context.Context, r *rand.Rand) error {
			leader, err := w.leader(ctx)
			if err != nil {
				return err
			}
			return pause(ctx, r, 20*time.Second, leader.manager.Signal)
		}},
		{name: "hostile load", toll: reconnect, do: w.flood},
		{name: "the volume of the record is full", toll: reconnect, do: w.fillRecord},
	}
	for _, s := range w.seats {
		paused := interference{name: s.name + " is paused", toll: reconnect, do: func(ctx context.Context, r *rand.Rand) error {
			return pause(ctx, r, 9900*time.Millisecond, s.manager.Signal)
		}}
		stalled := interference{name: s.name + " has a watch that stands still", toll: reconnect, do: s.stall}
		killed := interference{name: s.name + " is killed", toll: recovery, do: func(context.Context, *rand.Rand) error {
			return s.manager.Kill()
		}}
		all = append(all, paused, paused, stalled, stalled, killed)
	}
	return all
}

// stall lets the watches of one kind stand still for a while.
func (s *seat) stall(ctx context.Context, r *rand.Rand) error {
	kinds := []string{"networkpolicies", "pods", "limitranges", "modeldeployments", "namespaces", "approvals"}
	resource := kinds[r.IntN(len(kinds))]
	s.proxy.Stall(resource)
	rest(ctx, r, 500*time.Millisecond, 8*time.Second)
	s.proxy.Resume(resource)
	return nil
}

// pause stops a process for a while.
func pause(ctx context.Context, r *rand.Rand, most time.Duration, signal func(os.Signal) error) error {
	if err := signal(syscall.SIGSTOP); err != nil {
		return err
	}
	rest(ctx, r, 100*time.Millisecond, most)
	return signal(syscall.SIGCONT)
}

// fillRecord lets files grow no more: what the managers write then fails as on a full disk.
func (w *world) fillRecord(ctx context.Context, r *rand.Rand) error {
	limit := r.Uint64N(4000)
	for _, s := range w.seats {
		if err := limitFiles(s.manager.PID(), limit); err != nil {
			return err
		}
	}
	rest(ctx, r, time.Second, 10*time.Second)
	var errs []error
	for _, s := range w.seats {
		if s.manager.Running() {
			errs = append(errs, unlimitFiles(s.manager.PID()))
		}
	}
	return errors.Join(errs...)
}
