package history

import "golang.org/x/sys/unix"

// limitFiles lets no file of a process grow beyond so many bytes. It takes no more rights than to have started it.
func limitFiles(pid int, most uint64) error {
	limit := unix.Rlimit{Cur: most, Max: unix.RLIM_INFINITY}
	return unix.Prlimit(pid, unix.RLIMIT_FSIZE, &limit, nil)
}

func unlimitFiles(pid int) error { return limitFiles(pid, unix.RLIM_INFINITY) }
