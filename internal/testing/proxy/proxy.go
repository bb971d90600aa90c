// Package proxy stands between a client and an API server, or between that and etcd, lets watches stand still while all else goes on,
// and dates answers otherwise.
//
// It speaks plain HTTP on loopback. It imports nothing of this module.
package proxy

import (
	"context"
	"fmt"
	"io"
	"log"
	"math"
	"net"
	"net/http"
	"net/http/httputil"
	"path"
	"sync"
	"time"

	"k8s.io/client-go/rest"
	"k8s.io/client-go/tools/clientcmd"
	clientcmdapi "k8s.io/client-go/tools/clientcmd/api"
)

// A Proxy hands requests on to one API server.
type Proxy struct {
	server *http.Server
	url    string

	mu sync.Mutex
	// begun counts the watches.
	begun   int
	stalled map[string]*stall
	// ahead is added to the dates of answers.
	ahead time.Duration
}

// stall lets watches of a resource stand still.
type stall struct {
	// last is the number of the last watch that stands still.
	last int
	// over is closed when they go on.
	over chan struct{}
}

// Start starts a proxy before the API server of a config. Whoever goes through it acts as the user of that config: kubectl
// and client-go send no credentials over plain HTTP.
func Start(config *rest.Config) (*Proxy, error) {
	transport, err := rest.TransportFor(config)
	if err != nil {
		return nil, err
	}
	target, _, err := rest.DefaultServerUrlFor(config)
	if err != nil {
		return nil, err
	}
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return nil, err
	}
	p := &Proxy{url: "http://" + listener.Addr().String(), stalled: map[string]*stall{}}
	p.server = &http.Server{Handler: &httputil.ReverseProxy{
		Rewrite:        func(r *httputil.ProxyRequest) { r.SetURL(target) },
		Transport:      transport,
		FlushInterval:  -1,
		ModifyResponse: p.alter,
		ErrorLog:       log.New(io.Discard, "", 0), // an API server that is killed ends a hundred watches
		ErrorHandler:   func(w http.ResponseWriter, _ *http.Request, _ error) { w.WriteHeader(http.StatusBadGateway) },
	}}
	go func() { _ = p.server.Serve(listener) }()
	return p, nil
}

// Close ends the proxy, and what goes through it.
func (p *Proxy) Close() error { return p.server.Close() }

// Kubeconfig writes a kubeconfig that goes through the proxy.
func (p *Proxy) Kubeconfig(path string) error {
	const name = "proxy"
	return clientcmd.WriteToFile(clientcmdapi.Config{
		Clusters:       map[string]*clientcmdapi.Cluster{name: {Server: p.url}},
		Contexts:       map[string]*clientcmdapi.Context{name: {Cluster: name}},
		CurrentContext: name,
	}, path)
}

// Stall lets the watches of a resource, such as networkpolicies, stand still: those there are, and new ones.
func (p *Proxy) Stall(resource string) { p.stall(resource, math.MaxInt) }

// StallOpen is Stall for those that there are.
func (p *Proxy) StallOpen(resource string) { p.stall(resource, 0) }

func (p *Proxy) stall(resource string, last int) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.stalled[resource] == nil {
		p.stalled[resource] = &stall{max(last, p.begun), make(chan struct{})}
	}
}

// Resume lets them go on, and loses nothing.
func (p *Proxy) Resume(resource string) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if s := p.stalled[resource]; s != nil {
		close(s.over)
		delete(p.stalled, resource)
	}
}

// Date lets answers be dated as if the API server's clock were ahead by so much of the clock of whoever asks.
func (p *Proxy) Date(ahead time.Duration) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.ahead = ahead
}

func (p *Proxy) alter(response *http.Response) error {
	p.mu.Lock()
	defer p.mu.Unlock()
	if dated, err := http.ParseTime(response.Header.Get("Date")); err == nil {
		response.Header.Set("Date", dated.Add(p.ahead).UTC().Format(http.TimeFormat))
	}
	request := response.Request
	if request.URL.Query().Get("watch") == "true" {
		p.begun++
		number, resource := p.begun, path.Base(request.URL.Path)
		response.Body = &body{response.Body, request.Context(), func() <-chan struct{} { return p.over(number, resource) }}
	}
	return nil
}

// over is closed when a watch goes on. It is nil while the watch does.
func (p *Proxy) over(number int, resource string) <-chan struct{} {
	p.mu.Lock()
	defer p.mu.Unlock()
	if s := p.stalled[resource]; s != nil && number <= s.last {
		return s.over
	}
	return nil
}

// body is the answer to a watch.
type body struct {
	io.ReadCloser
	ctx context.Context
	// over gives a channel that is closed when the watch goes on, and nil while it does.
	over func() <-chan struct{}
}

// Read gives nothing while the watch stands still.
func (b *body) Read(into []byte) (int, error) {
	n, err := b.ReadCloser.Read(into)
	over := b.over()
	if over == nil {
		return n, err
	}
	select {
	case <-over:
		return n, err
	case <-b.ctx.Done():
		return 0, fmt.Errorf("a watch that stood still: %w", b.ctx.Err())
	}
}
