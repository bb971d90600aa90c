package attestation

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"
	"time"

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
	// maxLayers is how many layers of a manifest may be evidence, and maxManifest how many bytes they may have together.
	maxLayers   = 32
	maxManifest = 4 * evidence.MaxSize
	// maxReferrers is how many manifests may refer to one subject.
	maxReferrers = 32
)

// Registries fetches evidence from registries.
type Registries struct {
	// Allowed names the hosts that may be asked, with their ports. Who may create an Attestation could else make the operator
	// send requests wherever they like.
	Allowed []string
	// BlobHosts are further hosts to which these may redirect for layers.
	BlobHosts []string
	// Credentials is a file with credentials for registries, as in a Secret of type kubernetes.io/dockerconfigjson. Empty:
	// they are asked without.
	Credentials string
}

// notEvidence says that what a digest names is none, and never will be.
type notEvidence struct{ error }

// visit is a visit to one registry, on which no more is read than is used.
type visit struct {
	named   name.Digest
	options []remote.Option
	leave   func()
}

// visit begins a visit to the registry of what a text names. It has to be left. What is read is told to spend.
func (r Registries) visit(ctx context.Context, text string, spend func(int) error) (*visit, error) {
	named, err := evidence.ParseReference(text)
	if err != nil {
		return nil, err
	}
	host := named.RegistryStr()
	if !slices.Contains(r.Allowed, host) {
		return nil, fmt.Errorf("registry %s is not one that the operator may ask: have it added to --evidence-registries", host)
	}
	auth, err := r.credentials(host)
	if err != nil {
		return nil, err
	}
	ctx, cancel := context.WithTimeout(ctx, fetchTimeout)
	transport := newTransport(host, slices.Concat(r.Allowed, r.BlobHosts), spend)
	return &visit{
		named: named,
		leave: func() { cancel(); transport.base.CloseIdleConnections() },
		options: []remote.Option{
			remote.WithContext(ctx), remote.WithTransport(transport), remote.WithAuth(auth), remote.WithRetryBackoff(remote.Backoff{Steps: 1})},
	}, nil
}

// fetch gets the layers of the manifest that a reference names.
func (r Registries) fetch(ctx context.Context, reference string, spend func(int) error) ([]found, error) {
	v, err := r.visit(ctx, reference, spend)
	if err != nil {
		return nil, err
	}
	defer v.leave()
	return v.find(v.named)
}

// refer gets the layers of the manifests that refer to a subject, of those that are not known already. With an error it
// gives what could be had before.
func (r Registries) refer(ctx context.Context, to *v1alpha1.Referrers, known []found, spend func(int) error) ([]found, error) {
	v, err := r.visit(ctx, to.Subject, spend)
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
	seen := map[string]bool{}
	for _, k := range known {
		seen[k.digest] = true
	}
	for _, descriptor := range manifest.Manifests {
		digest := descriptor.Digest.String()
		if seen[digest] {
			continue
		}
		if len(seen) == maxReferrers {
			return nil, fmt.Errorf("more than %d manifests of type %s refer, or have referred, to %s: name the evidence by its digest", maxReferrers, to.ArtifactType, to.Subject)
		}
		f, err := v.find(v.named.Context().Digest(digest))
		if err != nil {
			return fresh, err
		}
		seen[digest], fresh = true, append(fresh, f...)
	}
	return fresh, nil
}

// find gives what each layer of a manifest holds. What can be no evidence is found out once, since a digest names the same
// thing for ever, and hides no other layer. If one cannot be had, none is given: a failure may be in it.
func (v *visit) find(reference name.Digest) ([]found, error) {
	layers, err := v.layers(reference)
	if errors.As(err, &notEvidence{}) {
		return []found{{digest: reference.DigestStr(), err: err}}, nil
	}
	if err != nil {
		return nil, err
	}
	all := make([]found, 0, len(layers))
	for _, descriptor := range layers {
		f := found{digest: reference.DigestStr()}
		if len(layers) > 1 {
			f.layer = descriptor.Digest.String()
		}
		content, err := v.layer(reference.Context(), descriptor)
		switch {
		case errors.As(err, &notEvidence{}):
			f.err = err
		case err != nil:
			return nil, err
		}
		f.content = string(content)
		all = append(all, f)
	}
	return all, nil
}

// layers gives the layers of a manifest, each once.
func (v *visit) layers(reference name.Digest) ([]v1.Descriptor, error) {
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
	if n := len(parsed.Layers); n < 1 || n > maxLayers {
		return nil, notEvidence{fmt.Errorf("the manifest has %d layers; evidence is in 1 to %d", n, maxLayers)}
	}
	var layers []v1.Descriptor
	var size int64
	for _, l := range parsed.Layers {
		if slices.ContainsFunc(layers, func(other v1.Descriptor) bool { return other.Digest == l.Digest }) {
			continue
		}
		if l.Size >= 0 && l.Size <= evidence.MaxSize {
			size += l.Size
		}
		layers = append(layers, l)
	}
	if size > maxManifest {
		return nil, notEvidence{fmt.Errorf("the layers have %d bytes together, and %d are the most that is read", size, int64(maxManifest))}
	}
	return layers, nil
}

func (v *visit) layer(repository name.Repository, descriptor v1.Descriptor) ([]byte, error) {
	if descriptor.Size < 0 || descriptor.Size > evidence.MaxSize {
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
	content, err := io.ReadAll(io.LimitReader(body, descriptor.Size+1))
	switch {
	case err != nil:
		return nil, fmt.Errorf("fetch the layer: %w", err)
	case int64(len(content)) > descriptor.Size:
		return nil, fmt.Errorf("fetch the layer: it has more than the %d bytes that its manifest says", descriptor.Size)
	case evidence.Digest(content) != descriptor.Digest.String():
		return nil, errors.New("fetch the layer: the registry gave one of another digest")
	case int64(len(content)) < descriptor.Size:
		return nil, notEvidence{fmt.Errorf("the layer has %d bytes, and its manifest says %d", len(content), descriptor.Size)}
	}
	return content, nil
}
