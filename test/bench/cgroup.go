package main

import (
	"fmt"
	"os"
	"path/filepath"
	"strconv"
)

// shippedLimit is what config/manager sets for the operator.
const shippedLimit = 512 << 20

// cgroup is a memory cgroup in which the operator is run.
type cgroup struct{ dir string }

// newCgroup makes a memory cgroup of the shipped limit. That takes root, and a cgroup file system that can be written.
func newCgroup() (*cgroup, error) {
	dir, limit := "/sys/fs/cgroup/interlock-bench", "memory.max"
	if _, err := os.Stat("/sys/fs/cgroup/memory"); err == nil {
		dir, limit = "/sys/fs/cgroup/memory/interlock-bench", "memory.limit_in_bytes"
	}
	if err := os.Mkdir(dir, 0o755); err != nil && !os.IsExist(err) {
		return nil, fmt.Errorf("make a memory cgroup, which takes root: %w", err)
	}
	c := &cgroup{dir}
	if err := os.WriteFile(filepath.Join(dir, limit), []byte(strconv.Itoa(shippedLimit)), 0o600); err != nil {
		return nil, fmt.Errorf("limit the memory of %s: %w", dir, err)
	}
	return c, nil
}

// wrap replaces a program by a script that joins the cgroup and then becomes the program.
func (c *cgroup) wrap(program string) error {
	if err := os.Rename(program, program+".bin"); err != nil {
		return err
	}
	script := fmt.Sprintf("#!/bin/sh\necho $$ > %s && exec %s --memory-limit=%d \"$@\"\n", filepath.Join(c.dir, "cgroup.procs"), program+".bin", shippedLimit)
	return os.WriteFile(program, []byte(script), 0o700)
}

// remove takes the cgroup away, which must be empty.
func (c *cgroup) remove() error { return os.Remove(c.dir) }
