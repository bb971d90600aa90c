package main

import (
	"context"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"time"
)

// heartbeat is how often a build that goes on says so.
const heartbeat = 15 * time.Second

// A cache holds one folder per key. A folder comes into being whole, by a rename, or not at all.
type cache struct {
	root     string
	progress io.Writer
	// build compiles a component into the file out.
	build func(ctx context.Context, c component, out string) error
	// stages fills dir with the stage files of KWOK.
	stages func(ctx context.Context, dir string) error
}

// ensure returns the folder for key, and fills it first if it is not there.
func (c *cache) ensure(ctx context.Context, key string, components []component) (string, error) {
	dir := filepath.Join(c.root, key)
	if complete(dir, components) {
		return dir, nil
	}
	if err := os.MkdirAll(c.root, 0o755); err != nil {
		return "", err
	}
	unlock, err := lock(ctx, filepath.Join(c.root, key+".lock"), func() {
		fmt.Fprintf(c.progress, "controlplane: another process builds %s; waiting for it\n", key)
	})
	if err != nil {
		return "", err
	}
	defer unlock()
	if complete(dir, components) {
		return dir, nil
	}
	return dir, c.fill(ctx, dir, components)
}

// complete reports whether dir holds every component. Since dir appears by a rename, it lacks one only if someone
// took it away, or if a binary that was linked is gone.
func complete(dir string, components []component) bool {
	for _, c := range components {
		if info, err := os.Stat(filepath.Join(dir, c.name)); err != nil || !info.Mode().IsRegular() {
			return false
		}
	}
	return true
}

// fill makes everything in a folder beside dir, then renames that to dir. The caller holds the lock, so what lies
// about from an interrupted build can be removed.
func (c *cache) fill(ctx context.Context, dir string, components []component) error {
	unfinished := dir + ".unfinished"
	for _, stale := range []string{unfinished, dir} {
		if err := os.RemoveAll(stale); err != nil {
			return err
		}
	}
	if err := os.Mkdir(unfinished, 0o755); err != nil {
		return err
	}
	started := time.Now()
	for i, comp := range components {
		step := fmt.Sprintf("[%d/%d] %s", i+1, len(components), comp.name)
		if err := c.make(ctx, step, comp, filepath.Join(unfinished, comp.name)); err != nil {
			return fmt.Errorf("%s: %w", comp.name, err)
		}
	}
	if err := c.stages(ctx, filepath.Join(unfinished, "kwok-stages")); err != nil {
		return err
	}
	if err := os.Rename(unfinished, dir); err != nil {
		return err
	}
	fmt.Fprintf(c.progress, "controlplane: ready in %s after %s\n", dir, elapsed(started))
	return nil
}

// make puts one component at the path out, and tells of it.
func (c *cache) make(ctx context.Context, step string, comp component, out string) error {
	if comp.existing != "" {
		fmt.Fprintf(c.progress, "%s from %s\n", step, comp.existing)
		return os.Symlink(comp.existing, out)
	}
	started := time.Now()
	done := make(chan error, 1)
	go func() { done <- c.build(ctx, comp, out) }()
	tick := time.NewTicker(heartbeat)
	defer tick.Stop()
	for {
		select {
		case err := <-done:
			if err == nil {
				fmt.Fprintf(c.progress, "%s %s built in %s\n", step, comp.version, elapsed(started))
			}
			return err
		case <-tick.C:
			fmt.Fprintf(c.progress, "%s %s ... %s\n", step, comp.version, elapsed(started))
		}
	}
}

func elapsed(since time.Time) time.Duration {
	return time.Since(since).Round(time.Second)
}
