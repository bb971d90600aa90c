package main

import (
	"bytes"
	"fmt"
	"os"
	"strconv"
	"strings"
	"time"

	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/rest"
)

// The kernel counts processor time in these, on every platform that Go runs Linux on.
const tick = 10 * time.Millisecond

// cpu is the processor time that a process has used so far.
func cpu(pid int) (time.Duration, error) {
	content, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
	if err != nil {
		return 0, err
	}
	// The name of the command, in brackets, may hold blanks.
	_, rest, _ := bytes.Cut(content, []byte(") "))
	fields := strings.Fields(string(rest))
	const user, system = 11, 12 // utime and stime, counted from the field after the name
	if len(fields) <= system {
		return 0, fmt.Errorf("/proc/%d/stat has %d fields", pid, len(fields))
	}
	var ticks int64
	for _, i := range []int{user, system} {
		n, err := strconv.ParseInt(fields[i], 10, 64)
		if err != nil {
			return 0, err
		}
		ticks += n
	}
	return time.Duration(ticks) * tick, nil
}

// memory is the resident memory of a process in bytes.
func memory(pid int) (int64, error) {
	content, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", pid))
	if err != nil {
		return 0, err
	}
	for l := range strings.Lines(string(content)) {
		if fields := strings.Fields(l); len(fields) == 3 && fields[0] == "VmRSS:" {
			kib, err := strconv.ParseInt(fields[1], 10, 64)
			return kib * 1024, err
		}
	}
	return 0, fmt.Errorf("/proc/%d/status has no VmRSS", pid)
}

// child finds the process of a component, which this process has started.
func child(name string) (int, error) {
	tasks, err := os.ReadDir("/proc/self/task")
	if err != nil {
		return 0, err
	}
	for _, task := range tasks {
		children, err := os.ReadFile("/proc/self/task/" + task.Name() + "/children")
		if err != nil {
			continue // The thread has ended.
		}
		for _, pid := range strings.Fields(string(children)) {
			command, err := os.ReadFile("/proc/" + pid + "/cmdline")
			program, _, _ := strings.Cut(string(command), "\x00")
			if err == nil && strings.HasSuffix(program, "/"+name) {
				return strconv.Atoi(pid)
			}
		}
	}
	return 0, fmt.Errorf("no process %s among the children of this one", name)
}

// end kills a component that this process has started, and waits until it is gone.
func end(name string) error {
	pid, err := child(name)
	if err != nil {
		return err
	}
	process, err := os.FindProcess(pid)
	if err != nil {
		return err
	}
	if err := process.Kill(); err != nil {
		return fmt.Errorf("kill %s (pid %d): %w", name, pid, err)
	}
	return nil
}

func kubernetesVersion(config *rest.Config) (string, error) {
	clients, err := kubernetes.NewForConfig(config)
	if err != nil {
		return "", err
	}
	version, err := clients.Discovery().ServerVersion()
	if err != nil {
		return "", err
	}
	return version.GitVersion, nil
}
