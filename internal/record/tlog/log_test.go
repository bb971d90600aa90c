package tlog

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"golang.org/x/mod/sumdb/note"
)

func signer(t *testing.T) note.Signer {
	t.Helper()
	s, _, err := Key(filepath.Join(t.TempDir(), "key"))
	if err != nil {
		t.Fatal(err)
	}
	return s
}

func open(t *testing.T, dir string, s note.Signer, from uint64) *Log {
	t.Helper()
	l, err := Open(context.Background(), dir, s, from) // what runs behind it outlasts t.Context, which ends before the cleanup
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(l.Close)
	return l
}

// followed is what a caller has followed.
type followed []string

func (f *followed) follow(index uint64, entry []byte) error {
	*f = append(*f, fmt.Sprintf("%d %s", index, entry))
	return nil
}

func these(entries ...string) func() ([][]byte, error) {
	return func() ([][]byte, error) {
		var all [][]byte
		for _, e := range entries {
			all = append(all, []byte(e))
		}
		return all, nil
	}
}

func TestAppendGoesOnWhereTheLogWasLeft(t *testing.T) {
	dir, s := t.TempDir(), signer(t)
	var first, second, third followed
	l := open(t, dir, s, 0)
	if err := l.Append(t.Context(), first.follow, these("a", "b")); err != nil {
		t.Fatal(err)
	}
	if err := l.Append(t.Context(), first.follow, these("c")); err != nil {
		t.Fatal(err)
	}
	if err := l.Finish(t.Context()); err != nil {
		t.Fatal(err)
	}
	if err := open(t, dir, s, 0).Append(t.Context(), second.follow, these("d")); err != nil {
		t.Fatal(err)
	}
	if err := open(t, dir, s, 2).Append(t.Context(), third.follow, these()); err != nil {
		t.Fatal(err)
	}
	for name, tc := range map[string]struct{ got, want followed }{
		"as it was written": {first, followed{"0 a", "1 b", "2 c"}},
		"opened again":      {second, followed{"0 a", "1 b", "2 c", "3 d"}},
		"known up to 2":     {third, followed{"2 c", "3 d"}},
	} {
		if diff := cmp.Diff(tc.want, tc.got); diff != "" {
			t.Errorf("%s: %s", name, diff)
		}
	}
}

func TestTwoWritersTakeTurns(t *testing.T) {
	dir, s := t.TempDir(), signer(t)
	const writers, rounds = 3, 20
	var group sync.WaitGroup
	for w := range writers {
		l := open(t, dir, s, 0)
		group.Go(func() {
			var all followed
			for range rounds {
				err := l.Append(t.Context(), all.follow, func() ([][]byte, error) {
					return [][]byte{fmt.Appendf(nil, "after %d by %d", len(all), w)}, nil
				})
				if err != nil {
					t.Error(err)
				}
			}
		})
	}
	group.Wait()
	var all followed
	if err := open(t, dir, s, 0).Append(t.Context(), all.follow, these()); err != nil {
		t.Fatal(err)
	}
	if len(all) != writers*rounds {
		t.Errorf("%d entries, want %d", len(all), writers*rounds)
	}
	for i, e := range all {
		var index, after, by int
		if _, err := fmt.Sscanf(e, "%d after %d by %d", &index, &after, &by); err != nil || index != i || after != i {
			t.Errorf("entry %d is %q: somebody wrote between its reading and its writing", i, e)
		}
	}
}

// holdWrites is the environment variable by which the test binary holds a lock of Tessera until its standard input ends.
const holdWrites = "INTERLOCK_TEST_HOLD_WRITES"

func TestMain(m *testing.M) {
	file := os.Getenv(holdWrites)
	if file == "" {
		os.Exit(m.Run())
	}
	f, err := os.OpenFile(file, os.O_RDWR, 0)
	if err == nil {
		err = syscall.FcntlFlock(f.Fd(), syscall.F_SETLKW, &syscall.Flock_t{Type: syscall.F_WRLCK, Whence: io.SeekStart})
	}
	fmt.Println("held", err)
	_, _ = io.Copy(io.Discard, os.Stdin)
}

// hangWrites has whatever is written to a log hang until it is called off. The lock is one between processes, so another holds it.
func hangWrites(t *testing.T, dir string) (goOn func()) {
	t.Helper()
	holder := exec.Command(os.Args[0])
	holder.Env = append(os.Environ(), holdWrites+"="+filepath.Join(dir, ".state", "treeState.lock"))
	input, err := holder.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	output, err := holder.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := holder.Start(); err != nil {
		t.Fatal(err)
	}
	goOn = sync.OnceFunc(func() {
		if err := errors.Join(input.Close(), holder.Wait()); err != nil {
			t.Error(err)
		}
	})
	t.Cleanup(goOn)
	if said, err := bufio.NewReader(output).ReadString('\n'); said != "held <nil>\n" {
		t.Fatal(said, err)
	}
	return goOn
}

// An operator that is stopped while it writes comes back when its patience is long over, and its entry is written even so.
func TestNobodyAppendsWhileAnEntryMayStillCome(t *testing.T) {
	dir, s := t.TempDir(), signer(t)
	var first, second followed
	l := open(t, dir, s, 0)
	if err := l.Append(t.Context(), first.follow, these("a")); err != nil {
		t.Fatal(err)
	}
	successor := open(t, dir, s, 0)
	goOn := hangWrites(t, dir)
	soon, cancel := context.WithTimeout(t.Context(), 100*time.Millisecond)
	defer cancel()
	if err := l.Append(soon, first.follow, these("b")); !errors.Is(err, context.DeadlineExceeded) {
		t.Fatalf("a write that hangs: %v", err)
	}
	l.Close()
	soon, cancel = context.WithTimeout(t.Context(), 100*time.Millisecond)
	defer cancel()
	if _, err := Open(soon, dir, s, 0); !errors.Is(err, context.DeadlineExceeded) {
		t.Fatalf("opened while an entry might come: %v", err)
	}
	soon, cancel = context.WithTimeout(t.Context(), 100*time.Millisecond)
	defer cancel()
	if err := successor.Append(soon, second.follow, these("c")); !errors.Is(err, context.DeadlineExceeded) {
		t.Fatalf("the successor asked for its entries while one might come: %v, followed %q", err, second)
	}
	goOn()
	if err := successor.Append(t.Context(), second.follow, these("c")); err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(followed{"0 a", "1 b", "2 c"}, second); diff != "" {
		t.Error(diff)
	}
}

func TestACheckpointFromTheFutureKeepsNoneFromBeingPublished(t *testing.T) {
	dir, s := t.TempDir(), signer(t)
	l := open(t, dir, s, 0)
	if err := l.Append(t.Context(), new(followed).follow, these("a")); err != nil {
		t.Fatal(err)
	}
	if err := l.Finish(t.Context()); err != nil {
		t.Fatal(err)
	}
	future := time.Now().Add(time.Hour)
	if err := os.Chtimes(filepath.Join(dir, "checkpoint"), future, future); err != nil {
		t.Fatal(err)
	}
	l = open(t, dir, s, 1)
	if err := l.Append(t.Context(), new(followed).follow, these("b")); err != nil {
		t.Fatal(err)
	}
	soon, cancel := context.WithTimeout(t.Context(), 20*time.Second)
	defer cancel()
	if err := l.Finish(soon); err != nil {
		t.Errorf("no checkpoint covers what was appended: %v", err)
	}
}

// Tests run as root, whom no mode of a folder keeps out: what is gone cannot be written by anybody.
func TestAppendSaysWhyItCannotWriteAndGoesOnAfterwards(t *testing.T) {
	for name, away := range map[string]func(t *testing.T, dir string) (restore func()){
		"the folder is away": func(t *testing.T, dir string) func() {
			return rename(t, dir, dir+".away")
		},
		"its state is away": func(t *testing.T, dir string) func() {
			return rename(t, filepath.Join(dir, ".state"), filepath.Join(dir, ".away"))
		},
		"its lock cannot be opened": func(t *testing.T, dir string) func() {
			lock := filepath.Join(dir, ".state", "treeState.lock")
			restore := rename(t, lock, lock+".away")
			if err := os.Mkdir(lock, 0o755); err != nil {
				t.Fatal(err)
			}
			return func() {
				if err := os.Remove(lock); err != nil {
					t.Fatal(err)
				}
				restore()
			}
		},
		"a file stands where the folder was": func(t *testing.T, dir string) func() {
			restore := rename(t, dir, dir+".away")
			if err := os.WriteFile(dir, nil, 0o600); err != nil {
				t.Fatal(err)
			}
			return func() {
				if err := os.Remove(dir); err != nil {
					t.Fatal(err)
				}
				restore()
			}
		},
		"the entries cannot be written": func(t *testing.T, dir string) func() {
			restore := rename(t, filepath.Join(dir, "tile"), filepath.Join(dir, "away"))
			if err := os.WriteFile(filepath.Join(dir, "tile"), nil, 0o600); err != nil {
				t.Fatal(err)
			}
			return func() {
				if err := os.Remove(filepath.Join(dir, "tile")); err != nil {
					t.Fatal(err)
				}
				restore()
			}
		},
	} {
		t.Run(name, func(t *testing.T) {
			dir, s := filepath.Join(t.TempDir(), "log"), signer(t)
			l := open(t, dir, s, 0)
			var all followed
			if err := l.Append(t.Context(), all.follow, these("a")); err != nil {
				t.Fatal(err)
			}
			restore := away(t, dir)
			for range 3 {
				if err := l.Append(t.Context(), all.follow, these("lost")); err == nil {
					t.Fatal("wrote what cannot be written")
				}
			}
			restore()
			if err := l.Append(t.Context(), all.follow, these("b")); err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(followed{"0 a", "1 b"}, all); diff != "" {
				t.Error(diff)
			}
		})
	}
}

func rename(t *testing.T, from, to string) (back func()) {
	t.Helper()
	if err := os.Rename(from, to); err != nil {
		t.Fatal(err)
	}
	return func() {
		if err := os.Rename(to, from); err != nil {
			t.Fatal(err)
		}
	}
}

func TestOpenMakesNoNewLogOfOneThatIsKnown(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "log")
	if _, err := Open(t.Context(), dir, signer(t), 1); err == nil {
		t.Error("began a new log in the place of one that had entries")
	}
	if _, err := os.Stat(dir); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("left something behind: %v", err)
	}
}

func TestAppendNoticesThatEntriesAreGone(t *testing.T) {
	dir, s := t.TempDir(), signer(t)
	var all followed
	l := open(t, dir, s, 0)
	state := filepath.Join(dir, ".state", "treeState")
	older := func() []byte {
		if err := l.Append(t.Context(), all.follow, these("a")); err != nil {
			t.Fatal(err)
		}
		text, err := os.ReadFile(state)
		if err != nil {
			t.Fatal(err)
		}
		return text
	}()
	if err := l.Append(t.Context(), all.follow, these("b")); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(state, older, 0o600); err != nil {
		t.Fatal(err)
	}
	if err := l.Append(t.Context(), all.follow, these("c")); !errors.Is(err, ErrShorter) {
		t.Errorf("err = %v, want %v", err, ErrShorter)
	}
	if err := open(t, dir, s, 2).Append(t.Context(), all.follow, these("c")); !errors.Is(err, ErrShorter) {
		t.Errorf("opened again: err = %v, want %v", err, ErrShorter)
	}
}

func TestKeyIsMadeOnceAndKept(t *testing.T) {
	file := filepath.Join(t.TempDir(), "folder", "key")
	first, public, err := Key(file)
	if err != nil {
		t.Fatal(err)
	}
	verifier, err := note.NewVerifier(public)
	if err != nil || verifier.KeyHash() != first.KeyHash() {
		t.Errorf("public key %q does not fit: %v", public, err)
	}
	if text, err := os.ReadFile(file + ".pub"); err != nil || string(text) != public+"\n" {
		t.Errorf("%q, %v", text, err)
	}
	again, public, err := Key(file)
	if err != nil || public != "" || again.KeyHash() != first.KeyHash() {
		t.Errorf("made another: %q, %v", public, err)
	}
	if info, err := os.Stat(file); err != nil || info.Mode().Perm() != 0o600 {
		t.Errorf("others may read it: %v, %v", info.Mode(), err)
	}
	if err := os.WriteFile(file, []byte("PRIVATE+KEY+x"), 0o600); err != nil {
		t.Fatal(err)
	}
	if _, _, err := Key(file); err == nil {
		t.Error("took a key that is none")
	}
}
