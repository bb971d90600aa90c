// Package tlog keeps the decision record in a tamper-evident log of tiles (c2sp.org/tlog-tiles) on local files, by
// github.com/transparency-dev/tessera. It knows entries as bytes, and nothing of what they say.
package tlog

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"time"

	"github.com/transparency-dev/tessera"
	"github.com/transparency-dev/tessera/api"
	"github.com/transparency-dev/tessera/api/layout"
	"github.com/transparency-dev/tessera/client"
	"github.com/transparency-dev/tessera/storage/posix"
	"golang.org/x/mod/sumdb/note"
	"k8s.io/apimachinery/pkg/util/wait"
)

const (
	// MaxBatch is the most entries that one Append takes.
	MaxBatch = 256
	// gathering is how long Tessera waits for more of a batch. We gather ourselves.
	gathering = 2 * time.Millisecond
	// publishing is the least time between two checkpoints.
	publishing = time.Second
	// patience bounds what may hang, such as a lock that another process holds.
	patience = 10 * time.Second
	// retryLock is how often a lock is tried that another process holds.
	retryLock = 5 * time.Millisecond
)

// The locks of Tessera, which panics when it cannot open one (docs/decisions/0016-tessera.md).
var tesseraLocks = []string{"treeState.lock", "publish.lock", "gcState.lock"}

// ErrShorter says that entries are gone that were in the log.
var ErrShorter = errors.New("entries are gone: the log was cut or replaced by an older copy; restore it")

// A Log is open for appending. Several processes may have it open; they take turns. Its methods are not safe for
// concurrent use.
type Log struct {
	dir      string
	appender *tessera.Appender
	reader   tessera.LogReader
	shutdown func(context.Context) error
	cancel   context.CancelFunc
	// next is the index of the first entry that has not been followed.
	next uint64
	// writing are entries that Tessera has been given and may write at any moment.
	writing sync.WaitGroup
}

// Open opens the log in a folder. It is followed from an index on, before which the caller knows the entries already; from
// 0 on, a log begins where there is none.
func Open(ctx context.Context, dir string, signer note.Signer, from uint64) (*Log, error) {
	l := &Log{dir: dir, next: from}
	if from == 0 {
		if err := l.begin(); err != nil {
			return nil, fmt.Errorf("begin the log: %w", err)
		}
	}
	if err := errors.Join(l.probe(), l.isSignedBy(signer)); err != nil {
		return nil, err
	}
	unlock, err := l.lock(ctx) // else Tessera waits for as long as another writes
	if err != nil {
		return nil, err
	}
	defer unlock()
	ctx, l.cancel = context.WithCancel(ctx)
	driver, err := posix.New(ctx, posix.Config{Path: dir})
	if err != nil {
		l.Close()
		return nil, fmt.Errorf("open the log: %w", err)
	}
	options := tessera.NewAppendOptions().WithCheckpointSigner(signer).WithBatching(MaxBatch, gathering).
		WithCheckpointInterval(publishing).WithCheckpointRepublishInterval(0)
	if l.appender, l.shutdown, l.reader, err = tessera.NewAppender(ctx, driver, options); err != nil {
		l.Close()
		return nil, fmt.Errorf("open the log: %w", err)
	}
	return l, nil
}

// begin makes the locks of Tessera, of which some come to be only when they are needed.
func (l *Log) begin() error {
	if err := os.MkdirAll(filepath.Join(l.dir, ".state"), 0o755); err != nil {
		return err
	}
	for _, name := range tesseraLocks {
		f, err := os.OpenFile(filepath.Join(l.dir, ".state", name), os.O_RDWR|os.O_CREATE, 0o644)
		if err != nil {
			return err
		}
		if err := f.Close(); err != nil {
			return err
		}
	}
	return nil
}

// isSignedBy says whether the last checkpoint is signed by a key; with another the log would be another's. It tells keys
// apart by their ids, which is no proof: that is for auditors.
func (l *Log) isSignedBy(signer note.Signer) error {
	text, err := os.ReadFile(filepath.Join(l.dir, layout.CheckpointPath))
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err != nil {
		return fmt.Errorf("open the log: %w", err)
	}
	var by *note.UnverifiedNoteError
	if _, err := note.Open(text, note.VerifierList()); !errors.As(err, &by) {
		return fmt.Errorf("open the log: its checkpoint cannot be read: %w", err)
	}
	var names []string
	for _, s := range by.Note.UnverifiedSigs {
		if s.Name == signer.Name() && s.Hash == signer.KeyHash() {
			return nil
		}
		names = append(names, fmt.Sprintf("%s+%08x", s.Name, s.Hash))
	}
	return fmt.Errorf("the key of the record is %s+%08x, and the log in %s is signed by %s: put that key back, or begin a new log in an empty folder",
		signer.Name(), signer.KeyHash(), l.dir, strings.Join(names, ", "))
}

// Close lets go of the log, and of the lock once nothing that was to be appended can be written any more. What was appended is
// under the next checkpoint of whoever opens the log again.
func (l *Log) Close() {
	go func() {
		l.writing.Wait() // Tessera never says what became of entries that it had not begun to write
		l.cancel()
	}()
}

// Finish waits until a checkpoint covers what was appended, and lets go of the log.
func (l *Log) Finish(ctx context.Context) error {
	defer l.Close()
	return l.shutdown(ctx)
}

// Append follows what others have appended, asks for the next entries, which are to go on from there, and appends and
// follows them. Nobody else appends meanwhile. When it returns without error the entries are on the disk, and the next
// checkpoint covers them.
//
// After an error some of the entries may be in the log. The next Append follows them. It waits until they can come no more, since
// entries that come between would be made to follow the same ones: such as when a process is stopped while it writes, or when a disk
// hangs.
func (l *Log) Append(ctx context.Context, follow func(index uint64, entry []byte) error, next func() ([][]byte, error)) error {
	ctx, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	unlock, err := l.lock(ctx)
	if err != nil {
		return err
	}
	entries, err := l.prepare(ctx, follow, next)
	if err != nil || len(entries) == 0 {
		unlock()
		return err
	}
	written := make(chan error, 1)
	l.writing.Go(func() {
		err := l.write(ctx, entries)
		unlock()
		written <- err
	})
	select {
	case err := <-written:
		if err != nil {
			return err
		}
		return l.catchUp(ctx, follow)
	case <-ctx.Done():
		return fmt.Errorf("write: %w", ctx.Err())
	}
}

// prepare follows what others have appended, and gives the next entries.
func (l *Log) prepare(ctx context.Context, follow func(index uint64, entry []byte) error, next func() ([][]byte, error)) ([][]byte, error) {
	if err := l.catchUp(ctx, follow); err != nil {
		return nil, err
	}
	entries, err := next()
	if err != nil || len(entries) == 0 {
		return nil, err
	}
	return entries, l.probe()
}

// write returns once no entry can be written any more, however long that takes.
func (l *Log) write(ctx context.Context, entries [][]byte) error {
	futures := make([]tessera.IndexFuture, len(entries))
	for i, e := range entries {
		futures[i] = l.appender.Add(ctx, tessera.NewEntry(e))
	}
	var failed error
	for _, written := range futures {
		if _, err := written(); err != nil && failed == nil {
			failed = fmt.Errorf("write: %w", err)
		}
	}
	if failed != nil {
		return failed
	}
	return l.letPublish()
}

// letPublish sees to it that the next checkpoint comes. Tessera waits until the last one is old enough by our clock, so one that
// another node with a clock ahead of ours has published would keep it waiting for as long as the clocks differ.
func (l *Log) letPublish() error {
	file := filepath.Join(l.dir, layout.CheckpointPath)
	info, err := os.Stat(file)
	if errors.Is(err, fs.ErrNotExist) { // then Tessera waits for nothing
		return nil
	}
	if err != nil {
		return fmt.Errorf("look at the checkpoint: %w", err)
	}
	now := time.Now() //nolint:forbidigo // Tessera goes by this clock, and by no other
	if !info.ModTime().After(now) {
		return nil
	}
	if err := os.Chtimes(file, now, now.Add(-publishing)); err != nil {
		return fmt.Errorf("date the checkpoint anew, which is from the future by the clock of this node: %w", err)
	}
	return nil
}

// catchUp follows what is in the log and has not been followed.
func (l *Log) catchUp(ctx context.Context, follow func(index uint64, entry []byte) error) error {
	size, err := l.reader.IntegratedSize(ctx)
	if err != nil {
		return fmt.Errorf("read the size of the log: %w", err)
	}
	if size < l.next {
		return fmt.Errorf("the log has %d entries and had %d: %w", size, l.next, ErrShorter)
	}
	if size == l.next {
		return nil
	}
	of := func(context.Context) (uint64, error) { return size, nil }
	for e, err := range client.Entries(client.EntryBundles(ctx, 1, of, l.reader.ReadEntryBundle, l.next, size-l.next), unbundle) {
		if err != nil {
			return fmt.Errorf("read the log: %w", err)
		}
		if err := follow(e.Index, e.Entry); err != nil {
			return err
		}
		l.next = e.Index + 1
	}
	if l.next != size {
		return fmt.Errorf("read the log: it has %d entries, of which %d could be read", size, l.next)
	}
	return nil
}

func unbundle(raw []byte) ([][]byte, error) {
	var bundle api.EntryBundle
	err := bundle.UnmarshalText(raw)
	return bundle.Entries, err
}

// probe says why the log cannot be written, if that can be told before Tessera tries.
func (l *Log) probe() error {
	for _, name := range tesseraLocks {
		f, err := os.OpenFile(filepath.Join(l.dir, ".state", name), os.O_RDWR, 0)
		if err != nil {
			return fmt.Errorf("the log cannot be written: %w", err)
		}
		if err := f.Close(); err != nil {
			return fmt.Errorf("the log cannot be written: %w", err)
		}
	}
	return nil
}

// lock keeps others from appending between what we have read and what we write. It waits for no longer than our patience.
func (l *Log) lock(ctx context.Context) (unlock func(), err error) {
	ctx, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	f, err := os.OpenFile(filepath.Join(l.dir, "append.lock"), os.O_RDWR|os.O_CREATE, 0o644)
	if err != nil {
		return nil, fmt.Errorf("lock the log: %w", err)
	}
	err = wait.PollUntilContextCancel(ctx, retryLock, true, func(context.Context) (bool, error) {
		err := syscall.Flock(int(f.Fd()), syscall.LOCK_EX|syscall.LOCK_NB)
		if errors.Is(err, syscall.EWOULDBLOCK) || errors.Is(err, syscall.EINTR) {
			return false, nil
		}
		return err == nil, err
	})
	if err != nil {
		return nil, errors.Join(fmt.Errorf("lock the log: %w", err), f.Close())
	}
	return func() { _ = f.Close() }, nil // which unlocks
}
