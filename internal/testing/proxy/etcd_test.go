package proxy

import (
	"bytes"
	"context"
	"io"
	"net"
	"net/http"
	"testing"
	"time"
)

// store answers over HTTP/2 as etcd does: what is written into a call comes back at once.
func store(t *testing.T, address string) (*http.Server, string) {
	t.Helper()
	listener, err := net.Listen("tcp", address)
	if err != nil {
		t.Fatal(err)
	}
	plain := &http.Protocols{}
	plain.SetUnencryptedHTTP2(true)
	s := &http.Server{Protocols: plain, Handler: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		w.WriteHeader(http.StatusOK)
		_ = http.NewResponseController(w).Flush()
		word := make([]byte, 1)
		for {
			if _, err := io.ReadFull(r.Body, word); err != nil {
				return
			}
			_, _ = w.Write(word)
			_ = http.NewResponseController(w).Flush()
		}
	})}
	go func() { _ = s.Serve(listener) }()
	t.Cleanup(func() { _ = s.Close() })
	return s, listener.Addr().String()
}

// call is one call that goes on.
type call struct {
	ask    *io.PipeWriter
	answer io.Reader
}

func open(t *testing.T, client *http.Client, url string) (*call, error) {
	t.Helper()
	body, ask := io.Pipe()
	request, err := http.NewRequestWithContext(t.Context(), http.MethodPost, url, body)
	if err != nil {
		t.Fatal(err)
	}
	response, err := client.Do(request)
	if err != nil {
		return nil, err
	}
	t.Cleanup(func() { _ = response.Body.Close() })
	return &call{ask, response.Body}, nil
}

// heard gives what comes back of a word, or the end of the call.
func (c *call) heard(word string) <-chan string {
	heard := make(chan string, 1)
	go func() {
		got := make([]byte, 1)
		if _, err := io.Copy(c.ask, bytes.NewBufferString(word)); err != nil {
			heard <- "no more"
		} else if _, err := io.ReadFull(c.answer, got); err != nil {
			heard <- "the end"
		} else {
			heard <- string(got)
		}
	}()
	return heard
}

func TestEtcdLetsWatchesStandStill(t *testing.T) {
	etcd, target := store(t, "127.0.0.1:0")
	e, err := StartEtcd(target)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = e.Close() })
	plain := &http.Protocols{}
	plain.SetUnencryptedHTTP2(true)
	client := &http.Client{Transport: &http.Transport{Protocols: plain}}
	watch, err := open(t, client, "http://"+e.Address()+etcdWatch)
	if err != nil {
		t.Fatal(err)
	}
	get, err := open(t, client, "http://"+e.Address()+"/etcdserverpb.KV/Range")
	if err != nil {
		t.Fatal(err)
	}

	if got := <-watch.heard("a"); got != "a" {
		t.Fatalf("a watch brought %q", got)
	}
	e.Stall()
	late := watch.heard("b")
	if got := <-get.heard("c"); got != "c" {
		t.Errorf("a read brought %q while watches stand still", got)
	}
	select {
	case got := <-late:
		t.Errorf("a watch that stands still brought %q", got)
	case <-time.After(50 * time.Millisecond):
	}
	e.Resume()
	if got := <-late; got != "b" {
		t.Errorf("a watch that goes on brought %q", got)
	}

	waiting := watch.heard("")
	_ = etcd.Close()
	if got := <-waiting; got != "the end" {
		t.Errorf("etcd is gone, and a watch brought %q", got)
	}
	if _, err := open(t, client, "http://"+e.Address()+etcdWatch); err == nil {
		t.Error("etcd is gone, and the proxy takes a call")
	}
	store(t, target)
	await(t, func() bool {
		again, err := open(t, client, "http://"+e.Address()+etcdWatch)
		return err == nil && <-again.heard("d") == "d"
	})
}

func await(t *testing.T, done func() bool) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 10*time.Second)
	defer cancel()
	for !done() {
		select {
		case <-ctx.Done():
			t.Fatal("etcd is back, and nothing comes through")
		case <-time.After(10 * time.Millisecond):
		}
	}
}
