package history

import (
	"context"
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/interlock-dev/interlock/internal/testing/stack"
)

// aheadVariable tells a manager that buildManager built by how many seconds its machine's clock is ahead.
const aheadVariable = "INTERLOCK_HISTORY_CLOCK_AHEAD"

// skewSource joins the package time of such a manager.
const skewSource = `package time

import "syscall"

var ahead = func() int64 {
	text, _ := syscall.Getenv("` + aheadVariable + `")
	n, _ := atoi(text)
	return int64(n)
}()
`

// buildManager builds the manager. If clocks are to be wrong, it has a package time of its own: Go reads the clock of the machine
// without the C library, so nothing from outside could make that wrong for one process.
func buildManager(t *testing.T, binary string) {
	t.Helper()
	var flags []string
	if *clocks {
		flags = append(flags, "-overlay="+wrongTime(t))
	}
	if err := stack.BuildManager(t.Context(), binary, flags...); err != nil {
		t.Fatal(err)
	}
}

// wrongTime writes a package time for Go's overlay, and gives the path of that.
func wrongTime(t *testing.T) string {
	t.Helper()
	root, err := exec.CommandContext(t.Context(), "go", "env", "GOROOT").Output()
	if err != nil {
		t.Fatal(err)
	}
	folder, theirs := t.TempDir(), filepath.Join(strings.TrimSpace(string(root)), "src", "time")
	source, err := os.ReadFile(filepath.Join(theirs, "time.go"))
	if err != nil {
		t.Fatal(err)
	}
	const now = "func Now() Time {\n\tsec, nsec, mono := runtimeNow()\n"
	if !strings.Contains(string(source), now) {
		t.Fatalf("time.Now of this version of Go does not begin with %q: its clock cannot be made wrong", now)
	}
	ours := map[string]string{
		"time.go": strings.Replace(string(source), now, now+"\tsec += ahead\n", 1),
		"skew.go": skewSource,
	}
	replace := map[string]string{}
	for name, text := range ours {
		path := filepath.Join(folder, name)
		if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		replace[filepath.Join(theirs, name)] = path
	}
	overlay := filepath.Join(folder, "overlay.json")
	text, err := json.Marshal(map[string]any{"Replace": replace})
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(overlay, text, 0o600); err != nil {
		t.Fatal(err)
	}
	return overlay
}

// start starts a manager. If clocks are to be wrong, its own is by up to an hour more often than not.
func (w *world) start(ctx context.Context, t *testing.T, r *rand.Rand, s *seat) error {
	wrong := []time.Duration{0, 0, -time.Hour, -20 * time.Second, 20 * time.Second, time.Hour}
	ahead := wrong[r.IntN(len(wrong))]
	if !*clocks {
		ahead = 0
	}
	if err := os.Setenv(aheadVariable, strconv.Itoa(int(ahead.Seconds()))); err != nil {
		return err
	}
	m, err := w.cluster.StartManager(ctx, "--kubeconfig="+s.kubeconfig)
	if err != nil {
		return fmt.Errorf("start %s: %w", s.name, err)
	}
	t.Logf("%s starts with a clock that is ahead by %s", s.name, ahead)
	s.manager = m
	return nil
}
