package evidence

import (
	"fmt"
	"regexp"
	"strings"

	"github.com/google/go-containerregistry/pkg/name"
)

var hostPattern = regexp.MustCompile(`^[a-z0-9]([a-z0-9.-]*[a-z0-9])?(:[0-9]{1,5})?$`)

// ParseReference reads the name of an OCI manifest by its digest. Anything else is refused: a tag, which can be moved, a
// tag beside a digest, which may disagree with it, and a registry that is not named.
func ParseReference(text string) (name.Digest, error) {
	repository, digest, ok := strings.Cut(text, "@")
	if !ok || !strings.HasPrefix(digest, "sha256:") || !sha256Pattern.MatchString(strings.TrimPrefix(digest, "sha256:")) {
		return name.Digest{}, fmt.Errorf("%.200q names no sha256 digest: name the manifest as REGISTRY/REPOSITORY@sha256:DIGEST", text)
	}
	host, path, ok := strings.Cut(repository, "/")
	if !ok || !hostPattern.MatchString(host) || !strings.ContainsAny(host, ".:") && host != "localhost" {
		return name.Digest{}, fmt.Errorf("%.200q names no registry: write REGISTRY/REPOSITORY@sha256:DIGEST", text)
	}
	if strings.Contains(path, ":") {
		return name.Digest{}, fmt.Errorf("%.200q has a tag besides the digest: leave the tag out", text)
	}
	reference, err := name.NewDigest(text, name.StrictValidation)
	if err != nil {
		return name.Digest{}, fmt.Errorf("%.200q: %w", text, err)
	}
	return reference, nil
}
