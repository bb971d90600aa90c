package main

import (
	"fmt"
	"os"
	"strconv"
	"strings"
	"time"

	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/rest"
)

// cpu is the processor time that the threads of a process have used so far. A thread that has ended is not counted, but
// programs in Go keep theirs.
func cpu(pid int) (time.Duration, error) {
	dir := fmt.Sprintf("/proc/%d/task", pid)
	tasks, err := os.ReadDir(dir)
	if err != nil {
		return 0, err
	}
	var sum time.Duration
	for _, task := range tasks {
		content, err := os.ReadFile(dir + "/" + task.Name() + "/schedstat")
		if err != nil {
			continue // The thread has ended.
		}
		used, _, _ := strings.Cut(string(content), " ")
		ns, err := strconv.ParseInt(used, 10, 64)
		if err != nil {
			return 0, err
		}
		sum += time.Duration(ns)
	}
	return sum, nil
}

// memory is the resident memory of a process in bytes.
func memory(pid int) (int64, error) { return status(pid, "VmRSS") }

// status reads a size in bytes from what the kernel tells of a process.
func status(pid int, name string) (int64, error) {
	content, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", pid))
	if err != nil {
		return 0, err
	}
	for l := range strings.Lines(string(content)) {
		if fields := strings.Fields(l); len(fields) == 3 && fields[0] == name+":" {
			kib, err := strconv.ParseInt(fields[1], 10, 64)
			return kib * 1024, err
		}
	}
	return 0, fmt.Errorf("/proc/%d/status has no %s", pid, name)
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
