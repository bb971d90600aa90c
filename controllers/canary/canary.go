// Package canary finds out whether the API servers enforce what Interlock wrote. It changes the clearances of a namespace in which no pod
// ever runs, and asks each API server by dry run what becomes of pods there. internal/admission says which, and judges the answers. So an
// API server is noticed that reads what was true some time ago, or that has lost a policy.
//
// What it cannot see: an API server that it cannot reach, policies other than HoldPolicy and AdmitPolicy, and other namespaces.
package canary

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/rest"
	"k8s.io/client-go/tools/events"
	"k8s.io/utils/clock"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/log"

	"github.com/interlock-dev/interlock/api/v1alpha1"
	"github.com/interlock-dev/interlock/controllers/metrics"
	"github.com/interlock-dev/interlock/internal/admission"
)

// FieldManager owns the clearances of the canary's namespace.
const FieldManager = "interlock-canary"

// Canary asks in rounds. It is safe for concurrent use.
type Canary struct {
	Client client.Client
	// Live reads past the cache.
	Live   client.Reader
	Config *rest.Config
	Clock  clock.Clock
	Events events.EventRecorder

	last    admission.Canary
	clients map[string]client.Client
	// on is what events are about: the clearances as they were last written.
	on   *corev1.LimitRange
	soon chan struct{}

	mu    sync.Mutex
	known knowledge
}

// New returns a Canary that has asked nobody yet.
func New(c client.Client, live client.Reader, config *rest.Config, clk clock.Clock, recorder events.EventRecorder) *Canary {
	return &Canary{Client: c, Live: live, Config: config, Clock: clk, Events: recorder, on: clearances(), soon: make(chan struct{}, 1)}
}

func clearances() *corev1.LimitRange {
	return &corev1.LimitRange{
		TypeMeta:   metav1.TypeMeta{APIVersion: corev1.SchemeGroupVersion.String(), Kind: "LimitRange"},
		ObjectMeta: metav1.ObjectMeta{Namespace: admission.CanaryNamespace, Name: v1alpha1.ClearancesName}}
}

// Repaired tells that enforcement was repaired, which counts only once the API servers show it.
func (c *Canary) Repaired() {
	c.mu.Lock()
	c.known.repair(c.Clock.Now())
	c.mu.Unlock()
	select {
	case c.soon <- struct{}{}:
	default: // One that waits says all there is to say.
	}
}

// Check gives an error unless the API servers have shown lately, and since the last repair, that they enforce what was written.
func (c *Canary) Check() error {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.known.doubt(c.Clock.Now())
}

// NeedLeaderElection lets one manager ask at a time: two would take each other's clearances away.
func (c *Canary) NeedLeaderElection() bool { return true }

// Start asks until the end.
func (c *Canary) Start(ctx context.Context) error {
	for {
		began := c.Clock.Now()
		err := c.round(ctx, began)
		if ctx.Err() != nil {
			return nil
		}
		c.report(ctx, began, err)
		c.rest(ctx)
	}
}

// rest waits until the next round, which is earlier when enforcement is repaired meanwhile.
func (c *Canary) rest(ctx context.Context) {
	next := c.next()
	for {
		select {
		case <-ctx.Done():
			return
		case <-c.soon:
			if sooner := c.next(); sooner.Before(next) {
				next = sooner
			}
		case <-c.Clock.After(next.Sub(c.Clock.Now())):
			return
		}
	}
}

func (c *Canary) next() time.Time {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.Clock.Now().Add(c.known.pause())
}

// round clears a model of a new name and asks all API servers about it. The error says which answer wrongly, and how.
func (c *Canary) round(ctx context.Context, now time.Time) error {
	next := admission.NewCanary(now, c.last)
	if err := c.write(ctx, next.Clearances(now)); err != nil {
		return fmt.Errorf("change clearances to ask about: %w", err)
	}
	c.last = next
	servers, err := c.servers(ctx)
	if err != nil {
		return err
	}
	found := askAll(ctx, servers, next.Questions())
	metrics.APIServers(found.right, len(found.wrong), len(found.none))
	c.mu.Lock()
	news := c.known.missed(found.none)
	c.mu.Unlock()
	if news {
		log.FromContext(ctx).Info("API servers that cannot be asked", "asked", found.right+len(found.wrong), "not", errors.Join(found.none...))
	}
	return found.err()
}

// report tells what was found, and on a change whoever looks at events.
func (c *Canary) report(ctx context.Context, began time.Time, err error) {
	c.mu.Lock()
	event, note := c.known.learn(began, err)
	c.mu.Unlock()
	if err == nil {
		metrics.Proven(began)
	} else {
		log.FromContext(ctx).Error(err, "The API servers do not show that they enforce what Interlock writes")
	}
	switch event {
	case proven:
		log.FromContext(ctx).Info("The API servers show that they enforce what Interlock writes")
		c.Events.Eventf(c.on, nil, corev1.EventTypeNormal, string(event), "Ask", "%s", note)
	case unproven:
		c.Events.Eventf(c.on, nil, corev1.EventTypeWarning, string(event), "Ask", "%s", note)
	}
}

// write puts the clearances of a round into the API server, where its namespace is as it was installed.
func (c *Canary) write(ctx context.Context, of admission.Clearances) error {
	ns := &metav1.PartialObjectMetadata{}
	ns.SetGroupVersionKind(corev1.SchemeGroupVersion.WithKind("Namespace"))
	if err := c.Client.Get(ctx, client.ObjectKey{Name: admission.CanaryNamespace}, ns); err != nil {
		return fmt.Errorf("%w; apply config/canary", err)
	}
	if ns.Labels[v1alpha1.EnforceLabel] != admission.CanaryNamespace {
		return fmt.Errorf("the namespace %[1]s lacks the label %[2]s=%[1]s; apply config/canary",
			admission.CanaryNamespace, v1alpha1.EnforceLabel)
	}
	o := clearances()
	missing := c.Live.Get(ctx, client.ObjectKeyFromObject(o), o)
	if client.IgnoreNotFound(missing) != nil {
		return missing
	}
	o.Annotations, _ = of.Annotations()
	o.Labels = map[string]string{v1alpha1.ManagedByLabel: v1alpha1.ManagedBy}
	o.Finalizers, o.OwnerReferences, o.Spec = nil, nil, corev1.LimitRangeSpec{}
	write := func() error { return c.Client.Update(ctx, o, client.FieldOwner(FieldManager)) }
	if apierrors.IsNotFound(missing) {
		write = func() error { return c.Client.Create(ctx, o, client.FieldOwner(FieldManager)) }
	}
	if err := write(); err != nil {
		return err
	}
	o.TypeMeta = clearances().TypeMeta
	c.on = o
	return nil
}
