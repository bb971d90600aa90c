package process

import "syscall"

// sysProcAttr has the kernel kill the child when its parent dies. The child leads a process group of its own, so
// that Ctrl-C in a terminal reaches the parent alone, which then ends its children in order.
func sysProcAttr() *syscall.SysProcAttr {
	return &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL, Setpgid: true}
}
