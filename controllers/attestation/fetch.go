package attestation

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"slices"
	"strings"
	"time"

	"github.com/google/go-containerregistry/pkg/authn"
	"github.com/google/go-containerregistry/pkg/name"
	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/remote"

	"github.com/interlock-dev/interlock/api/v1alpha1"
	"github.com/interlock-dev/interlock/internal/evidence"
)

const (
	// fetchTimeout is how long a registry may take for everything.
	fetchTimeout = 10 * time.Second
	// maxAnswer is how many bytes are read of one answer. The library would read 100 MiB of a manifest into memory.
	maxAnswer = 2 * evidence.MaxSize
	// maxReferrers is how many manifests may refer to one subject.
	maxReferrers = 32
)

// Registries fetches evidence from registries.
type Registries struct {
	// Allowed names the hosts that may be asked, with their ports. Who may create an Attestation could else make the operator
	// send requests wherever they like.
	Allowed []string
}

// notEvidence says that what a digest names is none, and never will be.
type notEvidence struct{ error }

// visit is a visit to one registry, on which no redirect is followed, no credential is sent, and no more is read than is
// used.
type visit struct {
	named   name.Digest
	options []remote.Option
	leave   func()
}

// visit begins a visit to the registry of what a text names. It has to be left.
func (r Registries) visit(ctx context.Context, text string) (*visit, error) {
	named, err := evidence.ParseReference(text)
	if err != nil {
		return nil, err
	}
	host := named.RegistryStr()
	if !slices.Contains(r.Allowed, host) {
		return nil, fmt.Errorf("registry %s is not one that the operator may ask: have it added to --evidence-registries", host)
	}
	ctx, cancel := context.WithTimeout(ctx, fetchTimeout)
	transport := newTransport(host)
	return &visit{
		named: named,
		leave: func() { cancel(); transport.base.CloseIdleConnections() },
		options: []remote.Option{
			remote.WithContext(ctx), remote.WithTransport(transport), remote.WithAuth(authn.Anonymous), remote.WithRetryBackoff(remote.Backoff{Steps: 1})},
	}, nil
}

// fetch gets the one layer of the manifest that a reference names.
func (r Registries) fetch(ctx context.Context, reference string) ([]found, error) {
	v, err := r.visit(ctx, reference)
	if err != nil {
		return nil, err
	}
	defer v.leave()
	f, err := v.find(v.named)
	if err != nil {
		return nil, err
	}
	return []found{f}, nil
}

// refer gets the layers of the manifests that refer to a subject, of those that are not known already. With an error it
// gives what could be had before.
func (r Registries) refer(ctx context.Context, to *v1alpha1.Referrers, known []found) ([]found, error) {
	v, err := r.visit(ctx, to.Subject)
	if err != nil {
		return nil, err
	}
	defer v.leave()
	index, err := remote.Referrers(v.named, append(v.options, remote.WithFilter("artifactType", to.ArtifactType))...)
	if err != nil {
		return nil, fmt.Errorf("look up referrers: %w", err)
	}
	manifest, err := index.IndexManifest()
	if err != nil {
		return nil, fmt.Errorf("look up referrers: %w", err)
	}
	var fresh []found
	for _, descriptor := range manifest.Manifests {
		digest := descriptor.Digest.String()
		if slices.ContainsFunc(slices.Concat(known, fresh), func(k found) bool { return k.digest == digest }) {
			continue
		}
		if len(known)+len(fresh) == maxReferrers {
			return nil, fmt.Errorf("more than %d manifests of type %s refer, or have referred, to %s: name the evidence by its digest", maxReferrers, to.ArtifactType, to.Subject)
		}
		f, err := v.find(v.named.Context().Digest(digest))
		if err != nil {
			return fresh, err
		}
		fresh = append(fresh, f)
	}
	return fresh, nil
}

// find gives what a manifest holds. That it can be no evidence is found out once: a digest names the same thing for ever.
func (v *visit) find(reference name.Digest) (found, error) {
	content, err := v.content(reference)
	if errors.As(err, &notEvidence{}) {
		return found{digest: reference.DigestStr(), err: err}, nil
	}
	return found{digest: reference.DigestStr(), content: string(content)}, err
}

// content gives the one layer of a manifest.
func (v *visit) content(reference name.Digest) ([]byte, error) {
	if !strings.HasPrefix(reference.DigestStr(), "sha256:") {
		return nil, notEvidence{fmt.Errorf("%s is not named by a sha256 digest", reference.DigestStr())}
	}
	manifest, err := remote.Get(reference, v.options...)
	if err != nil {
		return nil, fmt.Errorf("fetch the manifest: %w", err)
	}
	// The library believes the server for manifests of one old kind.
	if got := evidence.Digest(manifest.Manifest); got != reference.DigestStr() {
		return nil, fmt.Errorf("the registry gave a manifest of digest %s", got)
	}
	parsed, err := v1.ParseManifest(bytes.NewReader(manifest.Manifest))
	if err != nil {
		return nil, notEvidence{fmt.Errorf("read the manifest: %w", err)}
	}
	if len(parsed.Layers) != 1 {
		return nil, notEvidence{fmt.Errorf("the manifest has %d layers; evidence is one layer", len(parsed.Layers))}
	}
	return v.layer(reference.Context(), parsed.Layers[0])
}

func (v *visit) layer(repository name.Repository, descriptor v1.Descriptor) ([]byte, error) {
	if descriptor.Size > evidence.MaxSize {
		return nil, notEvidence{fmt.Errorf("the layer has %d bytes, and %d are the most that is read", descriptor.Size, evidence.MaxSize)}
	}
	blob, err := remote.Layer(repository.Digest(descriptor.Digest.String()), v.options...)
	if err != nil {
		return nil, fmt.Errorf("fetch the layer: %w", err)
	}
	body, err := blob.Compressed()
	if err != nil {
		return nil, fmt.Errorf("fetch the layer: %w", err)
	}
	defer body.Close()
	content, err := io.ReadAll(io.LimitReader(body, evidence.MaxSize+1))
	switch {
	case err != nil:
		return nil, fmt.Errorf("fetch the layer: %w", err)
	case len(content) > evidence.MaxSize:
		return nil, fmt.Errorf("the layer has more than the %d bytes that are read", evidence.MaxSize)
	case evidence.Digest(content) != descriptor.Digest.String():
		return nil, errors.New("the registry gave a layer of another digest")
	}
	return content, nil
}

// transport sends requests to one host and takes no answer that leads elsewhere.
type transport struct {
	host string
	base *http.Transport
}

func newTransport(host string) *transport {
	return &transport{host: host, base: &http.Transport{
		DialContext:            (&net.Dialer{Timeout: fetchTimeout / 2}).DialContext,
		TLSHandshakeTimeout:    fetchTimeout / 2,
		ResponseHeaderTimeout:  fetchTimeout / 2,
		MaxResponseHeaderBytes: 64 << 10,
		DisableCompression:     true,
	}}
}

// RoundTrip implements http.RoundTripper.
func (t *transport) RoundTrip(req *http.Request) (*http.Response, error) {
	if req.URL.Host != t.host {
		return nil, fmt.Errorf("the registry sends to another host, %s; that is not followed", req.URL.Host)
	}
	resp, err := t.base.RoundTrip(req)
	if err != nil {
		return nil, err
	}
	if resp.StatusCode >= 300 && resp.StatusCode < 400 {
		resp.Body.Close()
		return nil, fmt.Errorf("the registry redirects (%s); that is not followed", resp.Status)
	}
	if strings.Contains(req.URL.Path, "/referrers/") && resp.Header.Get("Link") != "" {
		resp.Body.Close()
		return nil, errors.New("the registry gives referrers page by page, and the library would read but the first")
	}
	resp.Body = &bounded{ReadCloser: resp.Body, left: maxAnswer}
	return resp, nil
}

// bounded is a body that ends with an error when it is longer than what may be read.
type bounded struct {
	io.ReadCloser
	left int
}

// Read implements io.Reader.
func (b *bounded) Read(p []byte) (int, error) {
	if b.left <= 0 {
		return 0, fmt.Errorf("the registry answers with more than the %d bytes that are read", maxAnswer)
	}
	n, err := b.ReadCloser.Read(p[:min(len(p), b.left)])
	b.left -= n
	return n, err
}
