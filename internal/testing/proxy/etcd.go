package proxy

import (
	"context"
	"io"
	"log"
	"net"
	"net/http"
	"net/http/httputil"
	"sync"
)

// etcdWatch is the path of the gRPC call by which API servers watch etcd.
const etcdWatch = "/etcdserverpb.Watch/Watch"

// An Etcd stands between an API server and etcd, and lets watches stand still while all else goes on. It is otherwise what the
// wire would be: while etcd is away nobody can connect, and a connection that etcd ends is ended at both ends.
type Etcd struct {
	server   *http.Server
	listener net.Listener
	target   string

	mu    sync.Mutex
	conns map[net.Conn]bool
	// still is closed when watches go on. It is nil while they do.
	still chan struct{}
}

// StartEtcd starts a proxy before the etcd of an address.
func StartEtcd(target string) (*Etcd, error) {
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return nil, err
	}
	e := &Etcd{target: target, conns: map[net.Conn]bool{}}
	e.listener = etcdListener{listener, e}
	plain := &http.Protocols{}
	plain.SetUnencryptedHTTP2(true)
	e.server = &http.Server{
		Protocols: plain,
		ConnState: e.follow,
		ErrorLog:  log.New(io.Discard, "", 0),
		Handler: &httputil.ReverseProxy{
			Rewrite:        func(r *httputil.ProxyRequest) { r.Out.URL.Scheme, r.Out.URL.Host = "http", target },
			Transport:      &http.Transport{Protocols: plain, DialContext: e.dial},
			FlushInterval:  -1,
			ModifyResponse: e.slow,
			ErrorLog:       log.New(io.Discard, "", 0),
			ErrorHandler:   func(http.ResponseWriter, *http.Request, error) { panic(http.ErrAbortHandler) },
		},
	}
	go func() { _ = e.server.Serve(e.listener) }()
	return e, nil
}

// Address is where the proxy listens.
func (e *Etcd) Address() string { return e.listener.Addr().String() }

// Close ends the proxy, and what goes through it.
func (e *Etcd) Close() error { return e.server.Close() }

// Stall lets all watches stand still.
func (e *Etcd) Stall() {
	e.mu.Lock()
	defer e.mu.Unlock()
	if e.still == nil {
		e.still = make(chan struct{})
	}
}

// Resume lets them go on, and loses nothing.
func (e *Etcd) Resume() {
	e.mu.Lock()
	defer e.mu.Unlock()
	if e.still != nil {
		close(e.still)
		e.still = nil
	}
}

// follow keeps the connections that there are.
func (e *Etcd) follow(c net.Conn, state http.ConnState) {
	e.mu.Lock()
	defer e.mu.Unlock()
	switch state {
	case http.StateNew:
		e.conns[c] = true
	case http.StateClosed, http.StateHijacked:
		delete(e.conns, c)
	}
}

// hangUp ends the connections that there are.
func (e *Etcd) hangUp() {
	e.mu.Lock()
	defer e.mu.Unlock()
	for c := range e.conns {
		_ = c.Close()
	}
}

func (e *Etcd) dial(ctx context.Context, network, _ string) (net.Conn, error) {
	c, err := (&net.Dialer{}).DialContext(ctx, network, e.target)
	if err != nil {
		e.hangUp()
		return nil, err
	}
	return etcdConn{c, e}, nil
}

// etcdConn is a connection to etcd. What came over it ends with it.
type etcdConn struct {
	net.Conn
	proxy *Etcd
}

func (c etcdConn) Read(into []byte) (int, error) {
	n, err := c.Conn.Read(into)
	if err != nil {
		c.proxy.hangUp()
	}
	return n, err
}

// etcdListener takes no connection while etcd takes none.
type etcdListener struct {
	net.Listener
	proxy *Etcd
}

// Accept gives the next connection that came while etcd could be reached.
func (l etcdListener) Accept() (net.Conn, error) {
	for {
		near, err := l.Listener.Accept()
		if err != nil {
			return nil, err
		}
		far, err := net.Dial("tcp", l.proxy.target)
		if err != nil {
			_ = near.Close()
			continue
		}
		_ = far.Close()
		return near, nil
	}
}

func (e *Etcd) slow(response *http.Response) error {
	if response.Request.URL.Path == etcdWatch {
		response.Body = &body{response.Body, response.Request.Context(), e.over}
	}
	return nil
}

// over is closed when watches go on. It is nil while they do.
func (e *Etcd) over() <-chan struct{} {
	e.mu.Lock()
	defer e.mu.Unlock()
	return e.still
}
