package attestation

import (
	"bytes"
	"encoding/base64"
	"fmt"
	"io"
	"log"
	"net/http"
	"net/http/httptest"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-containerregistry/pkg/name"
	"github.com/google/go-containerregistry/pkg/registry"
	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/empty"
	"github.com/google/go-containerregistry/pkg/v1/mutate"
	"github.com/google/go-containerregistry/pkg/v1/remote"
	"github.com/google/go-containerregistry/pkg/v1/static"
	"github.com/google/go-containerregistry/pkg/v1/types"
	testingclock "k8s.io/utils/clock/testing"

	"github.com/interlock-dev/interlock/api/v1alpha1"
	"github.com/interlock-dev/interlock/internal/evidence"
)

const (
	bundleType    = "application/vnd.dev.sigstore.bundle.v0.3+json"
	subjectDigest = "sha256:24278f9b0fdf0fa695e66cda8dd2828ec2737bd63069c92e2fb451240181be41"
)

const content = `{"payloadType":"application/vnd.in-toto+json"}`

// free is what nothing is counted by.
func free(int) error { return nil }

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
		"no layer":               {[]string{host}, push(t, server), "0 layers", true},
		"an index":               {[]string{host}, putIndex(t, server), "0 layers", true},
		"a large layer":          {[]string{host}, push(t, server, strings.Repeat("x", evidence.MaxSize+1)), "the most that is read", true},
		"another digest":         {[]string{host}, host + "/evidence@sha256:" + strings.Repeat("0", 64), "fetch the manifest", false},
		"a registry not allowed": {nil, good, "--evidence-registries", false},
		"another port":           {[]string{"127.0.0.1"}, good, "--evidence-registries", false},
		"a tag":                  {[]string{host}, host + "/evidence:latest", "names no sha256 digest", false},
	} {
		t.Run(name, func(t *testing.T) {
			got, err := Registries{Allowed: tc.allowed}.fetch(t.Context(), tc.reference, free)
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
		"an endless layer":    {on("/blobs/", endless), fmt.Sprintf("more than the %d bytes that its manifest says", len(content))},
	} {
		t.Run(name, func(t *testing.T) {
			evil = tc.evil
			got, err := Registries{Allowed: []string{strings.TrimPrefix(server.URL, "http://")}}.fetch(t.Context(), good, free)
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
				return Registries{Allowed: []string{host}}.refer(t.Context(), &v1alpha1.Referrers{Subject: host + "/evidence@" + subjectDigest, ArtifactType: bundleType}, known, free)
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
			if diff := cmp.Diff(map[string]string{"first": "<nil>", "second": "<nil>", "two": "<nil>", "layers": "<nil>"}, contents); diff != "" {
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
			got, err := Registries{Allowed: []string{host}}.refer(t.Context(), &v1alpha1.Referrers{Subject: host + "/evidence@" + subjectDigest, ArtifactType: bundleType}, nil, free)
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
	if _, err := newTransport("registry.example", nil, free).RoundTrip(req); err == nil || !strings.Contains(err.Error(), "another host") {
		t.Errorf("RoundTrip = %v", err)
	}
}

// Each layer of a manifest is evidence of its own, and one that is none hides no other.
func TestFetchLayers(t *testing.T) {
	server := httptest.NewServer(registry.New(registry.Logger(log.New(io.Discard, "", 0))))
	t.Cleanup(server.Close)
	many := func(n, size int) (layers []string) {
		for i := range n {
			layers = append(layers, fmt.Sprint(i)+strings.Repeat("x", size-len(fmt.Sprint(i))))
		}
		return layers
	}
	large := strings.Repeat("x", evidence.MaxSize+1)
	for name, tc := range map[string]struct {
		layers []string
		want   map[string]string
	}{
		"two":                       {[]string{"a", "b"}, map[string]string{"a": "<nil>", "b": "<nil>"}},
		"one twice":                 {[]string{"a", "a"}, map[string]string{"a": "<nil>"}},
		"one that is too large":     {[]string{"a", large, "b"}, map[string]string{"a": "<nil>", "b": "<nil>", "": "the layer has 1048577 bytes, and 1048576 are the most that is read"}},
		"too many":                  {many(maxLayers+1, 3), map[string]string{"": "the manifest has 33 layers; evidence is in 1 to 32"}},
		"too large together":        {many(5, evidence.MaxSize), map[string]string{"": "the layers have 5242880 bytes together, and 4194304 are the most that is read"}},
		"as large as they may be":   {many(1, evidence.MaxSize), map[string]string{many(1, evidence.MaxSize)[0]: "<nil>"}},
		"one that holds no letters": {[]string{"", "a"}, map[string]string{"a": "<nil>", "": "<nil>"}},
	} {
		t.Run(name, func(t *testing.T) {
			all, err := Registries{Allowed: []string{strings.TrimPrefix(server.URL, "http://")}}.fetch(t.Context(), push(t, server, tc.layers...), free)
			if err != nil {
				t.Fatal(err)
			}
			got, names := map[string]string{}, map[string]bool{}
			for _, f := range all {
				got[f.content], names[f.short()] = fmt.Sprint(f.err), true
			}
			if len(got) != len(tc.want) || len(names) != len(tc.want) {
				t.Errorf("fetch = %d of %d names, want %d", len(got), len(names), len(tc.want))
			}
			for content, err := range tc.want {
				if got[content] != err {
					t.Errorf("%.20q: %s, want %s", content, got[content], err)
				}
			}
		})
	}
}

// Layers lie elsewhere in most registries. What is sent there is the request and nothing else, and only where it may be.
func TestFetchLayersFromElsewhere(t *testing.T) {
	genuine := registry.New(registry.Logger(log.New(io.Discard, "", 0)))
	var to string
	hops := 0
	blobs := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		for _, header := range []string{"Authorization", "Cookie", "Referer"} {
			if r.Header.Get(header) != "" {
				t.Errorf("%s was sent to another host", header)
			}
		}
		if hops--; hops > 0 {
			http.Redirect(w, r, r.URL.Path, http.StatusFound)
			return
		}
		fmt.Fprint(w, content)
	}))
	t.Cleanup(blobs.Close)
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if user, password, _ := r.BasicAuth(); r.Method == http.MethodGet && (user != "reader" || password != "secret") {
			w.Header().Set("WWW-Authenticate", "Basic")
			w.WriteHeader(http.StatusUnauthorized)
			return
		}
		if r.Method == http.MethodGet && strings.Contains(r.URL.Path, "/blobs/") {
			w.Header().Set("Location", to)
			w.WriteHeader(http.StatusTemporaryRedirect)
			return
		}
		genuine.ServeHTTP(w, r)
	}))
	t.Cleanup(server.Close)
	host, elsewhere := strings.TrimPrefix(server.URL, "http://"), strings.TrimPrefix(blobs.URL, "http://")
	file := filepath.Join(t.TempDir(), ".dockerconfigjson")
	auth := base64.StdEncoding.EncodeToString([]byte("reader:secret"))
	if err := os.WriteFile(file, fmt.Appendf(nil, `{"auths":{%q:{"auth":%q}}}`, host, auth), 0o600); err != nil {
		t.Fatal(err)
	}
	reference := push(t, server, content)
	for name, tc := range map[string]struct {
		to    string
		hosts []string
		hops  int
		want  string
	}{
		"to a host that is listed":                {to: blobs.URL + "/x?signature=1", hosts: []string{elsewhere}},
		"on and on":                               {to: blobs.URL + "/x", hosts: []string{elsewhere}, hops: 3},
		"on and on and on":                        {to: blobs.URL + "/x", hosts: []string{elsewhere}, hops: 4, want: "more than 3 times"},
		"to a host that is not":                   {to: blobs.URL + "/x", want: "--evidence-blob-hosts"},
		"to another port":                         {to: blobs.URL + "/x", hosts: []string{"127.0.0.1"}, want: "--evidence-blob-hosts"},
		"to a host that looks like one":           {to: "http://" + elsewhere + "@example.com/x", hosts: []string{elsewhere}, want: "with credentials"},
		"with credentials":                        {to: "http://a:b@" + elsewhere + "/x", hosts: []string{elsewhere}, want: "with credentials"},
		"to a file":                               {to: "file:///etc/passwd", hosts: []string{"", elsewhere}, want: "from http to file"},
		"to nowhere":                              {want: "to nowhere"},
		"to where the machine's credentials are":  {to: "http://169.254.169.254/x", hosts: []string{elsewhere}, want: "--evidence-blob-hosts"},
		"to a name of the machine that is listed": {to: "http://loopback.example/x", hosts: []string{"loopback.example"}, want: "fetch the layer"},
	} {
		t.Run(name, func(t *testing.T) {
			to, hops = tc.to, tc.hops
			got, err := Registries{Allowed: []string{host}, BlobHosts: tc.hosts, Credentials: file}.fetch(t.Context(), reference, free)
			switch {
			case tc.want == "" && (err != nil || len(got) != 1 || got[0].content != content):
				t.Errorf("fetch = %+v, %v", got, err)
			case tc.want != "" && (err == nil || !strings.Contains(err.Error(), tc.want)):
				t.Errorf("fetch = %+v, %v; want %q", got, err, tc.want)
			}
		})
	}
	if _, err := (Registries{Allowed: []string{host}}).fetch(t.Context(), reference, free); err == nil {
		t.Error("fetched without credentials")
	}
}

func TestRedirectsLeadNowhereLessSafe(t *testing.T) {
	listed := []string{"blobs.example", "blobs.example:8443"}
	for name, tc := range map[string]struct {
		from, to string
		ok       bool
	}{
		"as it is":                {"https://registry.example/v2/x", "https://blobs.example/x", true},
		"with the port":           {"https://registry.example/v2/x", "https://blobs.example:443/x", true},
		"in large letters":        {"https://registry.example/v2/x", "https://BLOBS.example/x", true},
		"to another port":         {"https://registry.example/v2/x", "https://blobs.example:8443/x", true},
		"to a third port":         {"https://registry.example/v2/x", "https://blobs.example:9443/x", false},
		"without encryption":      {"https://registry.example/v2/x", "http://blobs.example/x", false},
		"with it, from without":   {"http://registry.local/v2/x", "https://blobs.example/x", true},
		"to a host below":         {"https://registry.example/v2/x", "https://x.blobs.example/x", false},
		"to a host that has it":   {"https://registry.example/v2/x", "https://blobs.example.evil/x", false},
		"to another scheme":       {"https://registry.example/v2/x", "ftp://blobs.example/x", false},
		"relative, on the listed": {"https://blobs.example/x", "/y", true},
	} {
		t.Run(name, func(t *testing.T) {
			from, err := url.Parse(tc.from)
			if err != nil {
				t.Fatal(err)
			}
			got, err := newTransport("registry.example", listed, free).target(from, &http.Response{Header: http.Header{"Location": {tc.to}}})
			if (err == nil) != tc.ok {
				t.Errorf("target = %v, %v", got, err)
			}
		})
	}
}

func TestMayDial(t *testing.T) {
	for address, tc := range map[string]struct {
		listed []string
		ok     bool
	}{
		"192.0.2.1:443":               {nil, true},
		"10.0.0.1:443":                {nil, true},
		"127.0.0.1:5000":              {[]string{"registry.example"}, false},
		"[::1]:5000":                  {[]string{"localhost:5000"}, true},
		"127.0.0.2:5000":              {[]string{"127.0.0.1:5000"}, false},
		"127.0.0.1:5001":              {[]string{"127.0.0.1:5000"}, true},
		"169.254.169.254:80":          {[]string{"registry.example"}, false},
		"[fe80::1]:80":                {nil, false},
		"[::ffff:169.254.169.254]:80": {nil, false},
		"0.0.0.0:80":                  {nil, false},
		"224.0.0.1:80":                {nil, false},
	} {
		if err := mayDial(address, tc.listed); (err == nil) != tc.ok {
			t.Errorf("mayDial(%s) = %v", address, err)
		}
	}
}

func TestSharesOfNamespaces(t *testing.T) {
	clock := testingclock.NewFakePassiveClock(time.Date(2026, 6, 1, 12, 0, 0, 0, time.UTC))
	s := newShares(clock, "shared")
	for range turnsEach {
		if again, why := s.take("a"); again != 0 {
			t.Fatal(why)
		}
	}
	if again, why := s.take("a"); again != turnAfter || !strings.Contains(why, "waits for its turn") {
		t.Errorf("take = %s, %s", again, why)
	}
	if again, _ := s.take("b"); again != 0 {
		t.Error("one namespace takes the turns of another")
	}
	spend := s.spender("a")
	if err := spend(shareBytes); err != nil {
		t.Error(err)
	}
	if err := spend(1); err == nil || !strings.Contains(err.Error(), "share") {
		t.Errorf("spend = %v", err)
	}
	for range turnsEach {
		s.give("a")
	}
	s.give("b")
	again, why := s.take("a")
	if again <= turnAfter || again > shareTime || !strings.Contains(why, "share") {
		t.Errorf("take = %s, %s", again, why)
	}
	for range 2 {
		if again, _ := s.take("shared"); again != 0 {
			t.Error("what serves all waits")
		}
		if err := s.spender("shared")(10 * shareBytes); err != nil {
			t.Error(err)
		}
	}
	clock.SetTime(clock.Now().Add(again))
	if again, why := s.take("a"); again != 0 {
		t.Errorf("take = %s, %s when it was to ask again", again, why)
	}
	s.give("a")
	clock.SetTime(clock.Now().Add(10 * 11 * shareTime))
	if _, _ = s.take("c"); len(s.of) != 2 { // c, and the one for all, which still has its turns
		t.Errorf("%d namespaces are remembered", len(s.of))
	}
}
