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

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-containerregistry/pkg/name"
	"github.com/google/go-containerregistry/pkg/registry"
	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/empty"
	"github.com/google/go-containerregistry/pkg/v1/mutate"
	"github.com/google/go-containerregistry/pkg/v1/remote"
	"github.com/google/go-containerregistry/pkg/v1/static"
	"github.com/google/go-containerregistry/pkg/v1/types"

	"github.com/interlock-dev/interlock/api/v1alpha1"
	"github.com/interlock-dev/interlock/internal/evidence"
)

const (
	bundleType    = "application/vnd.dev.sigstore.bundle.v0.3+json"
	subjectDigest = "sha256:24278f9b0fdf0fa695e66cda8dd2828ec2737bd63069c92e2fb451240181be41"
)

const content = `{"payloadType":"application/vnd.in-toto+json"}`

// push puts an image of these layers into a registry, and gives its reference.
func push(t *testing.T, server *httptest.Server, layers ...string) string {
	t.Helper()
	return put(t, server, image(t, layers...))
}

// refer is push of what refers to a subject.
func refer(t *testing.T, server *httptest.Server, artifactType string, layers ...string) string {
	t.Helper()
	subject, err := v1.NewHash(subjectDigest)
	if err != nil {
		t.Fatal(err)
	}
	typed := mutate.ConfigMediaType(image(t, layers...), types.MediaType(artifactType))
	referring, ok := mutate.Subject(typed, v1.Descriptor{MediaType: types.OCIManifestSchema1, Digest: subject}).(v1.Image)
	if !ok {
		t.Fatal("a referrer is no image")
	}
	return put(t, server, referring)
}

func image(t *testing.T, layers ...string) v1.Image {
	t.Helper()
	image := mutate.MediaType(empty.Image, types.OCIManifestSchema1)
	for _, l := range layers {
		var err error
		if image, err = mutate.AppendLayers(image, static.NewLayer([]byte(l), "application/vnd.dsse.envelope.v1+json")); err != nil {
			t.Fatal(err)
		}
	}
	return image
}

func put(t *testing.T, server *httptest.Server, image v1.Image) string {
	t.Helper()
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
		never     bool // it will be anything else
	}{
		"one layer":              {[]string{host}, good, "", false},
		"two layers":             {[]string{host}, push(t, server, content, content+" "), "2 layers", true},
		"no layer":               {[]string{host}, push(t, server), "0 layers", true},
		"an index":               {[]string{host}, putIndex(t, server), "0 layers", true},
		"a large layer":          {[]string{host}, push(t, server, strings.Repeat("x", evidence.MaxSize+1)), "the most that is read", true},
		"another digest":         {[]string{host}, host + "/evidence@sha256:" + strings.Repeat("0", 64), "fetch the manifest", false},
		"a registry not allowed": {nil, good, "--evidence-registries", false},
		"another port":           {[]string{"127.0.0.1"}, good, "--evidence-registries", false},
		"a tag":                  {[]string{host}, host + "/evidence:latest", "names no sha256 digest", false},
	} {
		t.Run(name, func(t *testing.T) {
			got, err := Registries{Allowed: tc.allowed}.fetch(t.Context(), tc.reference)
			if never := err == nil && len(got) == 1 && got[0].err != nil; never != tc.never {
				t.Errorf("fetch = %+v, %v; found for ever: %v", got, err, never)
			} else if never {
				err = got[0].err
			}
			switch {
			case tc.want == "" && (err != nil || len(got) != 1 || got[0].content != content):
				t.Errorf("fetch = %+v, %v", got, err)
			case tc.want != "" && (err == nil || !strings.Contains(err.Error(), tc.want)):
				t.Errorf("fetch = %+v, %v; want %q", got, err, tc.want)
			}
		})
	}
}

// putIndex puts an index into a registry, which has no layers.
func putIndex(t *testing.T, server *httptest.Server) string {
	t.Helper()
	digest, err := empty.Index.Digest()
	if err != nil {
		t.Fatal(err)
	}
	reference, err := name.NewDigest(fmt.Sprintf("%s/evidence@%s", strings.TrimPrefix(server.URL, "http://"), digest))
	if err != nil {
		t.Fatal(err)
	}
	if err := remote.WriteIndex(reference, empty.Index); err != nil {
		t.Fatal(err)
	}
	return reference.String()
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
		"an endless manifest": {on("/manifests/", endless), "answers with more than the 2097152 bytes"},
		"an endless layer":    {on("/blobs/", endless), "more than the 1048576 bytes"},
	} {
		t.Run(name, func(t *testing.T) {
			evil = tc.evil
			got, err := Registries{Allowed: []string{strings.TrimPrefix(server.URL, "http://")}}.fetch(t.Context(), good)
			if err == nil || !strings.Contains(err.Error(), tc.want) {
				t.Errorf("fetch = %d, %v; want %q", len(got), err, tc.want)
			}
		})
	}
}

// What refers to a subject is found by the referrers API and by the tag that stands for it where there is none, once each.
func TestRefer(t *testing.T) {
	for name, api := range map[string]bool{"by the API": true, "by the tag": false} {
		t.Run(name, func(t *testing.T) {
			layers := 0
			genuine := registry.New(registry.Logger(log.New(io.Discard, "", 0)), registry.WithReferrersSupport(api))
			server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
				if r.Method == http.MethodGet && strings.Contains(r.URL.Path, "/blobs/") {
					layers++
				}
				genuine.ServeHTTP(w, r)
			}))
			t.Cleanup(server.Close)
			host := strings.TrimPrefix(server.URL, "http://")
			look := func(known []found) ([]found, error) {
				return Registries{Allowed: []string{host}}.refer(t.Context(), &v1alpha1.Referrers{Subject: host + "/evidence@" + subjectDigest, ArtifactType: bundleType}, known)
			}
			if got, err := look(nil); err != nil || len(got) != 0 {
				t.Fatalf("refer = %+v, %v where there is nothing", got, err)
			}
			refer(t, server, bundleType, "first")
			refer(t, server, bundleType, "second")
			refer(t, server, bundleType, "two", "layers")
			refer(t, server, "application/vnd.example", "of another type")
			push(t, server, "not referring")
			first, err := look(nil)
			if err != nil {
				t.Fatal(err)
			}
			contents := map[string]string{}
			for _, f := range first {
				contents[f.content] = fmt.Sprint(f.err)
			}
			if diff := cmp.Diff(map[string]string{"first": "<nil>", "second": "<nil>", "": "the manifest has 2 layers; evidence is one layer"}, contents); diff != "" {
				t.Errorf("-want +got:\n%s", diff)
			}
			before := layers
			refer(t, server, bundleType, "third")
			more, err := look(first)
			if err != nil || len(more) != 1 || more[0].content != "third" || layers != before+1 {
				t.Errorf("refer = %+v, %v with %d layers fetched; want the third alone", more, err, layers-before)
			}
			for i := range maxReferrers {
				refer(t, server, bundleType, fmt.Sprint(i))
			}
			if got, err := look(nil); err == nil || !strings.Contains(err.Error(), "more than 32 manifests") {
				t.Errorf("refer = %d, %v; want too many refused", len(got), err)
			}
		})
	}
}

// A registry that leaves something out does not get away with it, as far as that can be seen.
func TestReferToARegistryThatIsUpToSomething(t *testing.T) {
	var evil func(w http.ResponseWriter, r *http.Request) bool
	genuine := registry.New(registry.Logger(log.New(io.Discard, "", 0)), registry.WithReferrersSupport(true))
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if evil == nil || !evil(w, r) {
			genuine.ServeHTTP(w, r)
		}
	}))
	t.Cleanup(server.Close)
	host := strings.TrimPrefix(server.URL, "http://")
	refer(t, server, bundleType, "first")
	hidden := refer(t, server, bundleType, "second")
	for name, tc := range map[string]struct {
		evil func(http.ResponseWriter, *http.Request) bool
		want string
	}{
		"keeps a manifest to itself": {func(w http.ResponseWriter, r *http.Request) bool {
			if !strings.HasSuffix(r.URL.Path, hidden[strings.Index(hidden, "@")+1:]) {
				return false
			}
			w.WriteHeader(http.StatusNotFound)
			return true
		}, "fetch the manifest"},
		"keeps the layers to itself": {func(w http.ResponseWriter, r *http.Request) bool {
			if !strings.Contains(r.URL.Path, "/blobs/") {
				return false
			}
			w.WriteHeader(http.StatusForbidden)
			return true
		}, "fetch the layer"},
		"gives pages": {func(w http.ResponseWriter, r *http.Request) bool {
			if strings.Contains(r.URL.Path, "/referrers/") {
				w.Header().Set("Link", `<?n=1>; rel="next"`)
			}
			return false
		}, "page by page"},
		"gives an endless list": {func(w http.ResponseWriter, r *http.Request) bool {
			if !strings.Contains(r.URL.Path, "/referrers/") {
				return false
			}
			w.Header().Set("Content-Type", string(types.OCIImageIndex))
			for r.Context().Err() == nil {
				if _, err := w.Write(bytes.Repeat([]byte(" "), 1<<16)); err != nil {
					break
				}
			}
			return true
		}, "answers with more than"},
		"gives what is no list": {func(w http.ResponseWriter, r *http.Request) bool {
			if !strings.Contains(r.URL.Path, "/referrers/") {
				return false
			}
			w.Header().Set("Content-Type", string(types.OCIImageIndex))
			fmt.Fprint(w, "[]")
			return true
		}, "look up referrers"},
		"is out of order": {func(w http.ResponseWriter, _ *http.Request) bool {
			w.WriteHeader(http.StatusServiceUnavailable)
			return true
		}, "look up referrers"},
	} {
		t.Run(name, func(t *testing.T) {
			evil = tc.evil
			got, err := Registries{Allowed: []string{host}}.refer(t.Context(), &v1alpha1.Referrers{Subject: host + "/evidence@" + subjectDigest, ArtifactType: bundleType}, nil)
			if err == nil || !strings.Contains(err.Error(), tc.want) {
				t.Errorf("refer = %+v, %v; want %q", got, err, tc.want)
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
