package proxy

import (
	"encoding/pem"
	"io"
	"net/http"
	"net/http/httptest"
	"testing"
	"time"

	"k8s.io/client-go/rest"
)

func TestWatchesStandStillAndGoOn(t *testing.T) {
	sent := make(chan string)
	api := httptest.NewTLSServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Query().Get("watch") == "" {
			_, _ = io.WriteString(w, "a list")
			return
		}
		for text := range sent {
			_, _ = io.WriteString(w, text)
			_ = http.NewResponseController(w).Flush()
		}
	}))
	t.Cleanup(api.Close)
	ca := pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: api.Certificate().Raw})
	p, err := Start(&rest.Config{Host: api.URL, TLSClientConfig: rest.TLSClientConfig{CAData: ca}})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = p.Close() })

	get := func(path string) io.Reader {
		response, err := http.Get(p.url + path)
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { _ = response.Body.Close() })
		if response.StatusCode != http.StatusOK {
			t.Fatalf("GET %s: %s", path, response.Status)
		}
		return response.Body
	}
	came := make(chan string)
	go func() { sent <- "1" }()
	watch := get("/apis/x/things?watch=true")
	go func() {
		for {
			buffer := make([]byte, 10)
			n, err := watch.Read(buffer)
			if err != nil {
				close(came)
				return
			}
			came <- string(buffer[:n])
		}
	}()
	if got := <-came; got != "1" {
		t.Errorf("got %q", got)
	}
	p.Stall("things")
	sent <- "2"
	select {
	case got := <-came:
		t.Errorf("a watch that stands still brought %q", got)
	case <-time.After(50 * time.Millisecond):
	}
	if list, err := io.ReadAll(get("/apis/x/things")); err != nil || string(list) != "a list" {
		t.Errorf("list: %q, %v", list, err)
	}
	p.Resume("things")
	if got := <-came; got != "2" {
		t.Errorf("got %q", got)
	}
	close(sent)
}
