//go:build !linux

package process

import "syscall"

// sysProcAttr asks for nothing: only Linux can tie a child's life to its parent's.
func sysProcAttr() *syscall.SysProcAttr { return nil }
