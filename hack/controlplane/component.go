package main

import (
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
)

// A component is one binary of the control plane.
type component struct {
	// name is the file name of the binary.
	name string
	// pkg is the import path of its main package.
	pkg string
	// version is shown to people while it builds.
	version string
	// existing is the absolute path of a binary that the user has already; it is linked rather than built.
	existing string
	// stamp tells one content of existing from another.
	stamp string
}

// findExisting marks the components that assets, the folder KUBEBUILDER_ASSETS names, already holds.
// An empty assets means that the user has none.
func findExisting(components []component, assets string) ([]component, error) {
	if assets == "" {
		return components, nil
	}
	assets, err := filepath.Abs(assets)
	if err != nil {
		return nil, fmt.Errorf("KUBEBUILDER_ASSETS: %w", err)
	}
	if _, err := os.Stat(assets); err != nil {
		return nil, fmt.Errorf("KUBEBUILDER_ASSETS: %w; correct it, or unset it to have all binaries built", err)
	}
	found := make([]component, len(components))
	for i, c := range components {
		info, err := os.Stat(filepath.Join(assets, c.name))
		switch {
		case err == nil:
			c.existing = filepath.Join(assets, c.name)
			c.stamp = fmt.Sprintf("%d %d", info.Size(), info.ModTime().UnixNano())
		case !errors.Is(err, fs.ErrNotExist):
			return nil, fmt.Errorf("KUBEBUILDER_ASSETS: %w", err)
		}
		found[i] = c
	}
	return found, nil
}

// key names the folder for these components: the version, for people, and a digest of everything that determines
// the bytes in it, so that a folder which exists under the right name is the right one.
func key(version, identity string, components []component) string {
	h := sha256.New()
	fmt.Fprintf(h, "%q\n", identity)
	for _, c := range components {
		fmt.Fprintf(h, "%q %q %q %q\n", c.name, c.pkg, c.existing, c.stamp)
	}
	return version + "-" + hex.EncodeToString(h.Sum(nil))[:12]
}
