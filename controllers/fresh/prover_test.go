package fresh

import (
	"context"
	"sync/atomic"
	"testing"
	"time"

	networkingv1 "k8s.io/api/networking/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	clientgoscheme "k8s.io/client-go/kubernetes/scheme"
	clocktesting "k8s.io/utils/clock/testing"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/client/fake"

	"github.com/interlock-dev/interlock/api/v1alpha1"
	"github.com/interlock-dev/interlock/internal/testing/builder"
)

const team = "team-a"

// TestALookBackBeginsAfterAllThatServed lets a proof serve once more, after the API server holds what the cache lacks. A look back that
// goes by that same proof does not count.
func TestALookBackBeginsAfterAllThatServed(t *testing.T) {
	for name, serve := range map[string]func(*Prover) error{
		"as it was made": func(*Prover) error { return nil },
		"once more, by whoever asks nobody": func(p *Prover) error {
			p.Last(team)
			return nil
		},
		"once more": func(p *Prover) error {
			_, err := p.Prove(t.Context(), team)
			return err
		},
	} {
		t.Run(name, func(t *testing.T) {
			w := newWorld(t)
			if _, err := w.Prove(t.Context(), team); err != nil {
				t.Fatal(err)
			}
			w.step(100 * time.Millisecond)
			opened := &networkingv1.NetworkPolicy{ObjectMeta: metav1.ObjectMeta{Namespace: team, Name: "open"}}
			if err := w.live.Create(t.Context(), opened); err != nil {
				t.Fatal(err)
			}
			if err := serve(w.Prover); err != nil {
				t.Fatal(err)
			}
			w.step(100 * time.Millisecond)
			w.lookBack(t.Context())
			for range 5 {
				w.step(900 * time.Millisecond)
				w.lookBack(t.Context())
			}
			if !w.cut["networkpolicies"] {
				t.Error("nobody noticed that the watch of NetworkPolicies stands still")
			}
		})
	}
}

func TestALookBackEnds(t *testing.T) {
	w := newWorld(t)
	if _, err := w.Prove(t.Context(), team); err != nil {
		t.Fatal(err)
	}
	w.step(900 * time.Millisecond)
	w.lookBack(t.Context())
	asked := w.asked.Load()
	w.step(900 * time.Millisecond)
	w.lookBack(t.Context())
	if asked == 0 || w.asked.Load() != asked {
		t.Errorf("%d lists at first, %d after nothing was loosened", asked, w.asked.Load())
	}
}

// world is a Prover, its cache, and an API server that may hold more.
type world struct {
	*Prover
	live  client.Client
	clock *clocktesting.FakePassiveClock
	cut   map[string]bool
	asked atomic.Int64
}

func newWorld(t *testing.T) *world {
	t.Helper()
	scheme := runtime.NewScheme()
	for _, add := range []func(*runtime.Scheme) error{clientgoscheme.AddToScheme, v1alpha1.AddToScheme} {
		if err := add(scheme); err != nil {
			t.Fatal(err)
		}
	}
	of := func() client.Client {
		return fake.NewClientBuilder().WithScheme(scheme).WithObjects(builder.Namespace(team).Enforce("policy").Build()).Build()
	}
	w := &world{live: of(), clock: clocktesting.NewFakePassiveClock(time.Now()), cut: map[string]bool{}}
	w.Prover = &Prover{Cache: of(), Live: counting{w.live, &w.asked}, Watches: w, Pulse: NewPulse(w.clock, nil)}
	return w
}

// Cut notes which watch was ended.
func (w *world) Cut(resource string) { w.cut[resource] = true }

func (w *world) step(d time.Duration) { w.clock.SetTime(w.clock.Now().Add(d)) }

// counting counts the lists that are read.
type counting struct {
	client.Reader
	lists *atomic.Int64
}

func (c counting) List(ctx context.Context, list client.ObjectList, opts ...client.ListOption) error {
	c.lists.Add(1)
	return c.Reader.List(ctx, list, opts...)
}
