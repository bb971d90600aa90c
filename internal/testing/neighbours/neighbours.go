// Package neighbours gets other projects as they were released: their files, and their controllers built from their own
// go.mod, so that tests run the very thing that clusters run and the operator's go.mod names none of it.
//
// It imports nothing of this module.
package neighbours

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"time"
)

// Module is another project at one version, with the sum of its content.
type Module struct {
	Path, Version, Sum string
	// Controller is the folder of the program that is its controller; empty, it is not built.
	Controller string
}

// Those whose controllers are built. Their webhooks label and default what their controllers rely on.
var (
	LeaderWorkerSet = Module{"sigs.k8s.io/lws", "v0.9.0", "h1:DcJCgxjjoGOx//QHZkeKpyiblxYq70aCRZNYSfykWyI=", "cmd"}
	JobSet          = Module{"sigs.k8s.io/jobset", "v0.12.0", "h1:YYPuV0px8Ongq/RXmJg6V0w2UC67aiR+rCMD06vhQQQ=", "."}
)

// Dir gives the folder of the module in the module cache, into which it is downloaded first if it is not there.
func (m Module) Dir(ctx context.Context) (string, error) {
	out, err := goCommand(ctx, os.TempDir(), "mod", "download", "-json", m.Path+"@"+m.Version) // outside of our module
	if err != nil {
		return "", fmt.Errorf("%w\n%s", err, out)
	}
	var got struct{ Dir, Sum string }
	if err := json.Unmarshal(out, &got); err != nil {
		return "", fmt.Errorf("go mod download -json %s: %w", m.Path, err)
	}
	if got.Sum != m.Sum {
		return "", fmt.Errorf("the content of %s %s has the sum %s, and not %s as it had", m.Path, m.Version, got.Sum, m.Sum)
	}
	return got.Dir, nil
}

// Binary gives the path of the module's controller. It is built once for each version and kept in the user's cache; the
// first time takes minutes.
func (m Module) Binary(ctx context.Context) (string, error) {
	caches, err := os.UserCacheDir()
	if err != nil {
		return "", fmt.Errorf("no cache folder to keep %s in: %w; set HOME or XDG_CACHE_HOME", m.Path, err)
	}
	name := fmt.Sprintf("%s-%s-%s-%s-%s", filepath.Base(m.Path), m.Version, runtime.Version(), runtime.GOOS, runtime.GOARCH)
	binary := filepath.Join(caches, "interlock", "neighbours", name)
	if _, err := os.Stat(binary); err == nil {
		return binary, nil
	}
	dir, err := m.Dir(ctx)
	if err != nil {
		return "", err
	}
	fmt.Fprintf(os.Stderr, "neighbours: build the controller of %s %s, which takes minutes the first time\n", m.Path, m.Version)
	started := time.Now()
	// By a rename, since another process may build the same.
	unfinished := fmt.Sprintf("%s.%d", binary, os.Getpid())
	_, err = goCommand(ctx, filepath.Join(dir, m.Controller), "build", "-trimpath", "-buildvcs=false", "-ldflags=-s -w", "-o", unfinished, ".")
	if err != nil {
		return "", errors.Join(err, os.RemoveAll(unfinished))
	}
	fmt.Fprintf(os.Stderr, "neighbours: %s built in %s\n", name, time.Since(started).Round(time.Second))
	return binary, os.Rename(unfinished, binary)
}

// goCommand runs the go command in a folder and returns what it prints. What the user has set for our module is not to bear on
// another.
func goCommand(ctx context.Context, dir string, args ...string) ([]byte, error) {
	cmd := exec.CommandContext(ctx, "go", args...)
	cmd.Dir = dir
	cmd.Env = append(os.Environ(), "CGO_ENABLED=0", "GOFLAGS=-mod=readonly", "GOWORK=off")
	cmd.Cancel = func() error { return cmd.Process.Signal(os.Interrupt) }
	cmd.WaitDelay = 10 * time.Second
	var stderr bytes.Buffer
	cmd.Stderr = &stderr
	out, err := cmd.Output()
	if err != nil {
		return out, fmt.Errorf("go %s in %s: %w\n%s", args[0], dir, err, bytes.TrimSpace(stderr.Bytes()))
	}
	return out, nil
}
