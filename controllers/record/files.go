package record

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"

	"golang.org/x/mod/sumdb/note"
	"sigs.k8s.io/controller-runtime/pkg/log"

	"github.com/interlock-dev/interlock/controllers/metrics"
	"github.com/interlock-dev/interlock/internal/record"
	"github.com/interlock-dev/interlock/internal/record/tlog"
)

// Files keep the record in a log of tiles in a folder.
type Files struct {
	// Dir is the folder.
	Dir string
	// Mounted is the folder into which a Secret with the key that signs checkpoints may be mounted; empty, none is.
	Mounted string
	// Key is the file with the key if there is no such Secret. It is made if it does not exist.
	Key string

	log *tlog.Log
	// saved is the size of the log at the last snapshot.
	saved uint64
}

// snapshot is the file that holds the last record of each model, so that a restart need not read the whole log. What it
// holds is checked by whoever audits the log, like all that goes on from it.
const snapshot = "last.json"

// saving is after how many entries the snapshot is written.
const saving = 1024

// Open opens the log, anew if it has failed.
func (f *Files) Open(ctx context.Context, chains *record.Chains) (*record.Chains, error) {
	if f.log != nil {
		f.log.Close()
		f.log = nil
	}
	signer, err := f.key(ctx)
	if err != nil {
		return nil, err
	}
	if chains == nil {
		last, err := f.load()
		if err != nil {
			return nil, err
		}
		chains, f.saved = record.NewChains(last), last.Size
	}
	f.log, err = tlog.Open(context.WithoutCancel(ctx), f.Dir, signer, chains.Size())
	return chains, err
}

func (f *Files) key(ctx context.Context) (note.Signer, error) {
	if f.Mounted != "" {
		if signer, err := tlog.MountedKey(f.Mounted); signer != nil || err != nil {
			return signer, err
		}
	}
	signer, public, err := tlog.Key(f.Key)
	if public != "" {
		log.FromContext(ctx).Info("Made a key for the decision record; give auditors the public one", "file", f.Key, "publicKey", public)
	}
	return signer, err
}

// Append writes entries.
func (f *Files) Append(ctx context.Context, chains *record.Chains, next func() ([][]byte, error)) error {
	before := chains.Size()
	err := f.log.Append(ctx, chains.Follow, next)
	metrics.RecordEntries.Add(float64(chains.Size() - before))
	if err == nil && chains.Size() >= f.saved+saving {
		err = f.save(chains)
	}
	return err
}

// Close waits for the last checkpoint.
func (f *Files) Close(ctx context.Context, chains *record.Chains) error {
	if f.log == nil {
		return nil
	}
	return errors.Join(f.log.Finish(ctx), f.save(chains))
}

func (f *Files) load() (last record.Snapshot, err error) {
	file := filepath.Join(f.Dir, snapshot)
	text, err := os.ReadFile(file)
	if errors.Is(err, fs.ErrNotExist) {
		return last, nil
	}
	if err != nil {
		return last, fmt.Errorf("read the decision record: %w", err)
	}
	if err := json.Unmarshal(text, &last); err != nil {
		return last, fmt.Errorf("read %s: %w; delete it, and it is made anew from the log", file, err)
	}
	return last, nil
}

func (f *Files) save(chains *record.Chains) error {
	last := chains.Snapshot()
	text, err := json.Marshal(last)
	if err != nil {
		return err
	}
	file := filepath.Join(f.Dir, snapshot)
	if err := errors.Join(os.WriteFile(file+".new", text, 0o600), os.Rename(file+".new", file)); err != nil {
		return fmt.Errorf("write %s: %w", file, err)
	}
	f.saved = last.Size
	return nil
}
