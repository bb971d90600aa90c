package fresh

import (
	"context"
	"fmt"
	"io"
	"net/http"
	"path"
	"sync"
	"time"

	"k8s.io/client-go/rest"
	"k8s.io/utils/clock"
)

// silence is how long a watch may bring nothing. The API server sends a bookmark about every minute.
const silence = 100 * time.Second

// Transport stands between the operator's clients and the API server. It sends no write whose proof has lapsed, ends watches that
// stand still, which are then begun again where they stopped, and sets the clock by what the API server answers.
type Transport struct {
	Clock *Clock

	silence time.Duration

	mu      sync.Mutex
	watches map[*watch]bool
}

// NewTransport wraps what a config makes of requests.
func NewTransport(config *rest.Config) *Transport {
	t := &Transport{Clock: NewClock(clock.RealClock{}), silence: silence, watches: map[*watch]bool{}}
	config.Wrap(func(next http.RoundTripper) http.RoundTripper { return roundTripper{t, next} })
	return t
}

type roundTripper struct {
	*Transport
	next http.RoundTripper
}

// RoundTrip sends one request.
func (r roundTripper) RoundTrip(request *http.Request) (*http.Response, error) {
	if lapsed(request) {
		if request.Body != nil {
			_ = request.Body.Close()
		}
		return nil, fmt.Errorf("%s %s is not sent: %w", request.Method, request.URL.Path, ErrLapsed)
	}
	if isWatch := request.URL.Query().Get("watch"); isWatch != "true" && isWatch != "1" {
		return r.send(request)
	}
	ctx, cancel := context.WithCancel(request.Context())
	response, err := r.send(request.WithContext(ctx))
	if err != nil {
		cancel()
		return nil, err
	}
	response.Body = r.begin(path.Base(request.URL.Path), response.Body, cancel)
	return response, nil
}

// WrappedRoundTripper gives what sends the requests, for client-go to cancel them there.
func (r roundTripper) WrappedRoundTripper() http.RoundTripper { return r.next }

func (r roundTripper) send(request *http.Request) (*http.Response, error) {
	sent := r.Clock.plain()
	response, err := r.next.RoundTrip(request)
	if err == nil {
		r.Clock.heard(request.Context(), sent, response)
	}
	return response, err
}

// watch is the answer to one, which goes on.
type watch struct {
	io.ReadCloser
	resource string
	of       *Transport
	cancel   context.CancelFunc
	silent   clock.Timer
}

func (t *Transport) begin(resource string, body io.ReadCloser, cancel context.CancelFunc) *watch {
	w := &watch{ReadCloser: body, resource: resource, of: t, cancel: cancel, silent: clock.RealClock{}.AfterFunc(t.silence, cancel)}
	t.mu.Lock()
	defer t.mu.Unlock()
	t.watches[w] = true
	return w
}

// Read notes that the watch lives.
func (w *watch) Read(p []byte) (int, error) {
	n, err := w.ReadCloser.Read(p)
	if n > 0 {
		w.silent.Reset(w.of.silence)
	}
	return n, err
}

// Close ends the watch.
func (w *watch) Close() error {
	w.silent.Stop()
	w.cancel()
	w.of.mu.Lock()
	delete(w.of.watches, w)
	w.of.mu.Unlock()
	return w.ReadCloser.Close()
}

// Cut ends the watches of a resource, such as networkpolicies.
func (t *Transport) Cut(resource string) {
	t.mu.Lock()
	defer t.mu.Unlock()
	for w := range t.watches {
		if w.resource == resource {
			w.cancel()
		}
	}
}
