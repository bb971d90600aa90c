//go:build unix

package main

import (
	"os"
	"os/exec"
	"syscall"
	"testing"
)

// holderVariable makes the test binary play a supervisor; it holds the state folder.
const holderVariable = "INTERLOCK_TEST_STATE_DIR"

func TestMain(m *testing.M) {
	if dir := os.Getenv(holderVariable); dir != "" {
		lock, err := stateDir(dir).lock()
		if err != nil {
			os.Exit(1)
		}
		_, _ = os.Stdout.WriteString("locked")
		_, _ = os.Stdin.Read(make([]byte, 1)) // until killed
		_ = lock.Close()
		return
	}
	os.Exit(m.Run())
}

func TestTheSupervisorIsWhoHoldsTheLock(t *testing.T) {
	dir := stateDir(t.TempDir())
	wantSupervisor(t, dir, 0)

	holder := exec.CommandContext(t.Context(), os.Args[0])
	holder.Env = append(os.Environ(), holderVariable+"="+string(dir))
	if _, err := holder.StdinPipe(); err != nil {
		t.Fatal(err)
	}
	locked, err := holder.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := holder.Start(); err != nil {
		t.Fatal(err)
	}
	if _, err := locked.Read(make([]byte, 1)); err != nil {
		t.Fatalf("the other process did not get the lock: %v", err)
	}
	wantSupervisor(t, dir, holder.Process.Pid)
	if _, err := dir.lock(); err == nil {
		t.Error("a second supervisor gets the lock")
	}

	if err := holder.Process.Signal(syscall.SIGKILL); err != nil {
		t.Fatal(err)
	}
	_ = holder.Wait()
	wantSupervisor(t, dir, 0)
}

func TestStateOfAnEarlierSupervisorIsNotBelieved(t *testing.T) {
	dir := stateDir(t.TempDir())
	if err := dir.write(state{PID: 17, Phase: ready, Kubeconfig: "kubeconfig"}); err != nil {
		t.Fatal(err)
	}
	if s, err := dir.read(17); err != nil || s.Phase != ready {
		t.Errorf("read(17) = %+v, %v; want what was written", s, err)
	}
	if s, err := dir.read(18); err != nil || s.Phase != starting || s.Kubeconfig != "" {
		t.Errorf("read(18) = %+v, %v; want that it is starting", s, err)
	}
	if err := dir.forget(); err != nil {
		t.Fatal(err)
	}
	if s, err := dir.read(17); err != nil || s.Phase != starting {
		t.Errorf("read(17) = %+v, %v; want that it is starting", s, err)
	}
}

func wantSupervisor(t *testing.T, dir stateDir, want int) {
	t.Helper()
	if pid, err := dir.supervisor(); err != nil || pid != want {
		t.Errorf("supervisor() = %d, %v; want %d", pid, err, want)
	}
}
