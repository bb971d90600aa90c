package attestation

import (
	"bytes"
	"fmt"
	"io"
	"log"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/google/go-containerregistry/pkg/name"
	"github.com/google/go-containerregistry/pkg/registry"
	"github.com/google/go-containerregistry/pkg/v1/empty"
	"github.com/google/go-containerregistry/pkg/v1/mutate"
	"github.com/google/go-containerregistry/pkg/v1/remote"
	"github.com/google/go-containerregistry/pkg/v1/static"
	"github.com/google/go-containerregistry/pkg/v1/types"

	"github.com/interlock-dev/interlock/internal/evidence"
)

const content = `{"payloadType":"application/vnd.in-toto+json"}`

// push puts an image of these layers into a registry, and gives its reference and what the registry then holds.
func push(t *testing.T, server *httptest.Server, layers ...string) string {
	t.Helper()
	image := mutate.MediaType(empty.Image, types.OCIManifestSchema1)
	for _, l := range layers {
		var err error
		if image, err = mutate.AppendLayers(image, static.NewLayer([]byte(l), "application/vnd.dsse.envelope.v1+json")); err != nil {
			t.Fatal(err)
		}
	}
	digest, err := image.Digest()
	if err != nil {
		t.Fatal(err)
	}
	reference, err := name.NewDigest(fmt.Sprintf("%s/evidence@%s", strings.TrimPrefix(server.URL, "http://"), digest))
	if err != nil {
		t.Fatal(err)
	}
	if err := remote.Write(reference, image); err != nil {
		t.Fatal(err)
	}
	return reference.String()
}

func TestFetch(t *testing.T) {
	server := httptest.NewServer(registry.New(registry.Logger(log.New(io.Discard, "", 0))))
	t.Cleanup(server.Close)
	host := strings.TrimPrefix(server.URL, "http://")
	good := push(t, server, content)
	for name, tc := range map[string]struct {
		allowed   []string
		reference string
		want      string
	}{
		"one layer":              {[]string{host}, good, ""},
		"two layers":             {[]string{host}, push(t, server, content, content+" "), "2 layers"},
		"no layer":               {[]string{host}, push(t, server), "0 layers"},
		"a large layer":          {[]string{host}, push(t, server, strings.Repeat("x", evidence.MaxSize+1)), "the most that is read"},
		"another digest":         {[]string{host}, host + "/evidence@sha256:" + strings.Repeat("0", 64), "fetch the manifest"},
		"a registry not allowed": {nil, good, "--evidence-registries"},
		"another port":           {[]string{"127.0.0.1"}, good, "--evidence-registries"},
		"a tag":                  {[]string{host}, host + "/evidence:latest", "names no sha256 digest"},
	} {
		t.Run(name, func(t *testing.T) {
			got, err := Registries{Allowed: tc.allowed}.fetch(t.Context(), tc.reference)
			switch {
			case tc.want == "" && (err != nil || string(got) != content):
				t.Errorf("fetch = %q, %v", got, err)
			case tc.want != "" && (err == nil || !strings.Contains(err.Error(), tc.want)):
				t.Errorf("fetch = %q, %v; want %q", got, err, tc.want)
			}
		})
	}
}

// A registry that lies, sends elsewhere, or never ends.
func TestFetchFromARegistryThatIsUpToSomething(t *testing.T) {
	genuine := registry.New(registry.Logger(log.New(io.Discard, "", 0)))
	elsewhere := httptest.NewServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) { t.Error("another host was asked") }))
	t.Cleanup(elsewhere.Close)
	var evil func(w http.ResponseWriter, r *http.Request) bool
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if evil == nil || !evil(w, r) {
			genuine.ServeHTTP(w, r)
		}
	}))
	t.Cleanup(server.Close)
	good := push(t, server, content)
	digest := good[strings.Index(good, "@")+1:]
	on := func(part string, do http.HandlerFunc) func(http.ResponseWriter, *http.Request) bool {
		return func(w http.ResponseWriter, r *http.Request) bool {
			if !strings.Contains(r.URL.Path, part) {
				return false
			}
			do(w, r)
			return true
		}
	}
	sends := func(code int) http.HandlerFunc {
		return func(w http.ResponseWriter, r *http.Request) { http.Redirect(w, r, elsewhere.URL+r.URL.Path, code) }
	}
	endless := func(w http.ResponseWriter, r *http.Request) {
		for r.Context().Err() == nil {
			if _, err := w.Write(bytes.Repeat([]byte("x"), 1<<16)); err != nil {
				return
			}
		}
	}
	for name, tc := range map[string]struct {
		evil func(http.ResponseWriter, *http.Request) bool
		want string
	}{
		"another layer": {on("/blobs/", func(w http.ResponseWriter, _ *http.Request) { fmt.Fprint(w, strings.ToUpper(content)) }), "fetch the layer"},
		"another manifest of an old kind": {on("/manifests/", func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("Content-Type", string(types.DockerManifestSchema1Signed))
			w.Header().Set("Docker-Content-Digest", digest)
			fmt.Fprint(w, `{"schemaVersion":2,"layers":[]}`)
		}), "gave a manifest of digest"},
		"redirects the manifest": {on("/manifests/", sends(http.StatusTemporaryRedirect)), "not followed"},
		"redirects within": {on("/manifests/", func(w http.ResponseWriter, r *http.Request) {
			if !strings.Contains(r.URL.RawQuery, "again") {
				http.Redirect(w, r, r.URL.Path+"?again", http.StatusFound)
				return
			}
			genuine.ServeHTTP(w, r)
		}), "not followed"},
		"redirects the layer": {on("/blobs/", sends(http.StatusFound)), "not followed"},
		"wants a token from elsewhere": {on("/v2/", func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("WWW-Authenticate", `Bearer realm="`+elsewhere.URL+`/token",service="x"`)
			w.WriteHeader(http.StatusUnauthorized)
		}), "fetch the manifest"},
		"an endless manifest": {on("/manifests/", endless), "fetch the manifest"},
		"an endless layer":    {on("/blobs/", endless), "more than the 1048576 bytes"},
	} {
		t.Run(name, func(t *testing.T) {
			evil = tc.evil
			got, err := Registries{Allowed: []string{strings.TrimPrefix(server.URL, "http://")}}.fetch(t.Context(), good)
			if err == nil || !strings.Contains(err.Error(), tc.want) {
				t.Errorf("fetch = %.100q, %v; want %q", got, err, tc.want)
			}
		})
	}
}

func TestTransportAsksOneHost(t *testing.T) {
	elsewhere := httptest.NewServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) { t.Error("another host was asked") }))
	t.Cleanup(elsewhere.Close)
	req, err := http.NewRequestWithContext(t.Context(), http.MethodGet, elsewhere.URL+"/v2/", nil)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := newTransport("registry.example").RoundTrip(req); err == nil || !strings.Contains(err.Error(), "another host") {
		t.Errorf("RoundTrip = %v", err)
	}
}
