package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"sync/atomic"
	"time"

	"golang.org/x/sync/errgroup"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/client-go/rest"
	"sigs.k8s.io/controller-runtime/pkg/client"
)

// webhookCalls counts what the webhooks were asked.
var webhookCalls atomic.Int64

// bench creates pods as fast as the API server takes them.
type bench struct {
	config
	cluster *cluster
	clients []*http.Client
	// processes are those that work when a pod is created: the API server, etcd and this one.
	processes []int

	bareRates []float64
	bareCPU   []time.Duration
}

// newBench gives each client a connection of its own.
func newBench(cl *cluster, c config) (*bench, error) {
	b := &bench{config: c, cluster: cl}
	for range c.clients {
		tls, err := rest.TLSConfigFor(cl.RESTConfig())
		if err != nil {
			return nil, err
		}
		b.clients = append(b.clients, &http.Client{Transport: &http.Transport{TLSClientConfig: tls, ForceAttemptHTTP2: true}})
	}
	for _, name := range []string{"kube-apiserver", "etcd"} {
		pid, err := child(name)
		if err != nil {
			return nil, err
		}
		b.processes = append(b.processes, pid)
	}
	b.processes = append(b.processes, os.Getpid())
	return b, nil
}

// slice is what it took to create the pods of one slice.
type slice struct {
	rate float64       // pods per second
	cpu  time.Duration // of all processes for one pod
}

// cpu is the processor time that all processes have used.
func (b *bench) cpu() (time.Duration, error) {
	var sum time.Duration
	for _, pid := range b.processes {
		d, err := cpu(pid)
		if err != nil {
			return 0, err
		}
		sum += d
	}
	return sum, nil
}

// run measures the arms in rounds. Each arm stands between two slices of the bare namespace and is compared with their
// mean, so that what changes slowly on the machine falls out; the order turns from round to round.
func (b *bench) run(ctx context.Context, arms []arm) (map[string]outcome, error) {
	bare := arm{name: "bare", namespace: bareNamespace, model: heldModel}
	outcomes := map[string]outcome{}
	for round := range b.rounds + 1 {
		progress("round %d of %d", round, b.rounds)
		before, err := b.slice(ctx, bare)
		if err != nil {
			return nil, err
		}
		for i := range arms {
			a := arms[(i+round)%len(arms)]
			measured, err := b.slice(ctx, a)
			if err != nil {
				return nil, fmt.Errorf("%s: %w", a.name, err)
			}
			after, err := b.slice(ctx, bare)
			if err != nil {
				return nil, err
			}
			if round > 0 { // The first round warms up.
				o := outcomes[a.name]
				o.shares = append(o.shares, measured.rate/((before.rate+after.rate)/2))
				o.cpu = append(o.cpu, measured.cpu)
				outcomes[a.name] = o
				b.bareRates, b.bareCPU = append(b.bareRates, after.rate), append(b.bareCPU, after.cpu)
			}
			before = after
		}
	}
	return outcomes, nil
}

// slice creates pods, times it, looks whether they came out as the arm says, and takes them away again, so that etcd
// does not grow.
func (b *bench) slice(ctx context.Context, a arm) (slice, error) {
	bodies, err := b.bodies(a)
	if err != nil {
		return slice{}, err
	}
	calls := webhookCalls.Load()
	stop, err := b.startProfile(a)
	if err != nil {
		return slice{}, err
	}
	cpuBefore, err := b.cpu()
	if err != nil {
		return slice{}, err
	}
	start := time.Now()
	var work errgroup.Group
	for i, c := range b.clients {
		work.Go(func() error {
			for j := i; j < len(bodies); j += len(b.clients) {
				if err := b.create(ctx, c, a.namespace, bodies[j]); err != nil {
					return err
				}
			}
			return nil
		})
	}
	if err := work.Wait(); err != nil {
		return slice{}, err
	}
	took := time.Since(start)
	cpuAfter, err := b.cpu()
	if err != nil {
		return slice{}, err
	}
	stop()
	if want := int64(2 * len(bodies)); a.webhooks && webhookCalls.Load()-calls != want {
		return slice{}, fmt.Errorf("the webhooks were called %d times for %d pods", webhookCalls.Load()-calls, len(bodies))
	}
	s := slice{rate: float64(len(bodies)) / took.Seconds(), cpu: (cpuAfter - cpuBefore) / time.Duration(len(bodies))}
	return s, errors.Join(b.check(ctx, a, len(bodies)), b.cluster.client.DeleteAllOf(ctx, &corev1.Pod{}, client.InNamespace(a.namespace)))
}

// bodies encodes the pods of a slice beforehand: the clients share the cores with the API server.
func (b *bench) bodies(a arm) ([][]byte, error) {
	pod := newPod(a.namespace, "NAME", a.model)
	pod.Spec.SchedulerName = noScheduler
	encoded, err := json.Marshal(pod)
	if err != nil {
		return nil, err
	}
	pad(pod, len(encoded), b.podBytes)
	if encoded, err = json.Marshal(pod); err != nil {
		return nil, err
	}
	bodies := make([][]byte, b.podsPerSlice)
	for i := range bodies {
		bodies[i] = bytes.Replace(encoded, []byte(`"NAME"`), fmt.Appendf(nil, `"pod-%06d"`, i), 1)
	}
	return bodies, nil
}

func (b *bench) create(ctx context.Context, c *http.Client, namespace string, body []byte) error {
	url := b.cluster.RESTConfig().Host + "/api/v1/namespaces/" + namespace + "/pods"
	request, err := http.NewRequestWithContext(ctx, http.MethodPost, url, bytes.NewReader(body))
	if err != nil {
		return err
	}
	request.Header.Set("Content-Type", "application/json")
	response, err := c.Do(request)
	if err != nil {
		return err
	}
	defer response.Body.Close()
	answer, err := io.ReadAll(response.Body)
	if err == nil && response.StatusCode != http.StatusCreated {
		err = fmt.Errorf("create pod: %s: %s", response.Status, answer)
	}
	return err
}

func (b *bench) check(ctx context.Context, a arm, pods int) error {
	list := &corev1.PodList{}
	if err := b.cluster.client.List(ctx, list, client.InNamespace(a.namespace)); err != nil {
		return err
	}
	held := 0
	for i := range list.Items {
		if gated(&list.Items[i]) {
			held++
		}
	}
	want := 0
	if a.held {
		want = pods
	}
	if len(list.Items) != pods || held != want {
		return fmt.Errorf("%d pods, %d of them held, where %d and %d were to be", len(list.Items), held, pods, want)
	}
	return nil
}

// startProfile writes a CPU profile of the API server during a slice, of whole seconds, if profiles are asked for.
func (b *bench) startProfile(a arm) (stop func(), err error) {
	if b.profile == "" {
		return func() {}, nil
	}
	if err := os.MkdirAll(b.profile, 0o700); err != nil {
		return nil, err
	}
	name := strings.NewReplacer(" ", "-", ",", "").Replace(a.name) + time.Now().Format("-150405.000")
	done := make(chan struct{})
	request, err := http.NewRequest(http.MethodGet, b.cluster.RESTConfig().Host+"/debug/pprof/profile?seconds=1", nil)
	if err != nil {
		return nil, err
	}
	go func() {
		defer close(done)
		response, err := b.clients[0].Do(request)
		if err != nil {
			return
		}
		defer response.Body.Close()
		content, err := io.ReadAll(response.Body)
		if err == nil {
			_ = os.WriteFile(filepath.Join(b.profile, name+".pprof"), content, 0o600)
		}
	}()
	return func() { <-done }, nil
}
