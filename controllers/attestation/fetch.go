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
	"time"

	"github.com/google/go-containerregistry/pkg/authn"
	"github.com/google/go-containerregistry/pkg/name"
	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/remote"

	"github.com/interlock-dev/interlock/internal/evidence"
)

// fetchTimeout is how long a registry may take for everything.
const fetchTimeout = 10 * time.Second

// Registries fetches evidence from registries.
type Registries struct {
	// Allowed names the hosts that may be asked, with their ports. Who may create an Attestation could else make the operator
	// send requests wherever they like.
	Allowed []string
}

// fetch gives the one layer of the manifest that a reference names. No redirect is followed and no credential is sent, and
// no more is read than is used.
func (r Registries) fetch(ctx context.Context, text string) ([]byte, error) {
	reference, err := evidence.ParseReference(text)
	if err != nil {
		return nil, err
	}
	host := reference.RegistryStr()
	if !slices.Contains(r.Allowed, host) {
		return nil, fmt.Errorf("registry %s is not one that the operator may ask: have it added to --evidence-registries", host)
	}
	ctx, cancel := context.WithTimeout(ctx, fetchTimeout)
	defer cancel()
	transport := newTransport(host)
	defer transport.base.CloseIdleConnections()
	options := []remote.Option{
		remote.WithContext(ctx), remote.WithTransport(transport), remote.WithAuth(authn.Anonymous), remote.WithRetryBackoff(remote.Backoff{Steps: 1})}

	manifest, err := remote.Get(reference, options...)
	if err != nil {
		return nil, fmt.Errorf("fetch the manifest: %w", err)
	}
	// The library believes the server for manifests of one old kind.
	if got := evidence.Digest(manifest.Manifest); got != reference.DigestStr() {
		return nil, fmt.Errorf("the registry gave a manifest of digest %s", got)
	}
	parsed, err := v1.ParseManifest(bytes.NewReader(manifest.Manifest))
	if err != nil {
		return nil, fmt.Errorf("read the manifest: %w", err)
	}
	if len(parsed.Layers) != 1 {
		return nil, fmt.Errorf("the manifest has %d layers; evidence is one layer", len(parsed.Layers))
	}
	return layer(reference.Context(), parsed.Layers[0], options)
}

func layer(repository name.Repository, descriptor v1.Descriptor, options []remote.Option) ([]byte, error) {
	if descriptor.Size > evidence.MaxSize {
		return nil, fmt.Errorf("the layer has %d bytes, and %d are the most that is read", descriptor.Size, evidence.MaxSize)
	}
	blob, err := remote.Layer(repository.Digest(descriptor.Digest.String()), options...)
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
	return resp, nil
}
