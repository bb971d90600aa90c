// Package audit verifies a copy of the decision record with no trust in whoever wrote or keeps it: the copy, the public
// key of the log and, best, a checkpoint that the auditor kept from before are all it takes.
package audit

import (
	"bytes"
	"context"
	"fmt"

	formats "github.com/transparency-dev/formats/log"
	"github.com/transparency-dev/merkle/proof"
	"github.com/transparency-dev/merkle/rfc6962"
	"github.com/transparency-dev/tessera/api"
	"github.com/transparency-dev/tessera/api/layout"
	"github.com/transparency-dev/tessera/client"
	"golang.org/x/mod/sumdb/note"

	"github.com/interlock-dev/interlock/internal/record"
)

// Report tells what was verified.
type Report struct {
	// Origin is the name of the log.
	Origin string
	// Size is the number of entries that the checkpoint covers.
	Size uint64
	// Since is the size at the older checkpoint; 0 without one.
	Since uint64
	// Checkpoint is the text to keep for the next time.
	Checkpoint []byte
	// Last is the last record of each model.
	Last []record.Link
}

// Verify checks a copy of the log in a folder: that the checkpoint is signed with the key; that all entries and tiles are
// those that it covers; that the log goes on from an older checkpoint, if one is given; and that the entries are decisions
// which follow each other without a gap for each model. Each decision is shown on the way, unless show is nil; nothing of
// them is to be believed unless there is no error in the end.
func Verify(ctx context.Context, dir, publicKey string, older []byte, show func(record.Statement)) (Report, error) {
	key, err := note.NewVerifier(publicKey)
	if err != nil {
		return Report{}, fmt.Errorf("read the public key: %w", err)
	}
	files := files{client.FileFetcher{Root: dir}}
	now, text, _, err := client.FetchCheckpoint(ctx, files.ReadCheckpoint, key, key.Name())
	if err != nil {
		return Report{}, fmt.Errorf("the checkpoint in %s is not signed by %s: %w", dir, key.Name(), err)
	}
	report := Report{Origin: now.Origin, Size: now.Size, Checkpoint: text}
	if len(older) > 0 {
		if report.Since, err = consistent(ctx, files, key, now, older); err != nil {
			return report, err
		}
	}
	chains := record.NewChains(record.Snapshot{})
	err = whole(ctx, files, now, func(index uint64, entry []byte) error {
		if err := chains.Follow(index, entry); err != nil || show == nil {
			return err
		}
		s, err := record.Parse(entry)
		show(s)
		return err
	})
	if err != nil {
		return report, err
	}
	report.Last = chains.Snapshot().Last
	return report, nil
}

// consistent says at which size the older checkpoint was, if the log goes on from there.
func consistent(ctx context.Context, files files, key note.Verifier, now *formats.Checkpoint, older []byte) (uint64, error) {
	before, _, _, err := formats.ParseCheckpoint(older, key.Name(), key)
	if err != nil {
		return 0, fmt.Errorf("the older checkpoint is not signed by %s: %w", key.Name(), err)
	}
	if before.Size > now.Size {
		return 0, fmt.Errorf("the log was rolled back: it has %d entries, and had %d at the older checkpoint", now.Size, before.Size)
	}
	var path [][]byte
	if before.Size > 0 && before.Size < now.Size {
		builder, err := client.NewProofBuilder(ctx, now.Size, files.ReadTile)
		if err == nil {
			path, err = builder.ConsistencyProof(ctx, before.Size, now.Size)
		}
		if err != nil {
			return 0, fmt.Errorf("prove that the log goes on from the older checkpoint: %w", err)
		}
	}
	if err := proof.VerifyConsistency(rfc6962.DefaultHasher, before.Size, now.Size, path, before.Hash, now.Hash); err != nil {
		return 0, fmt.Errorf("the log does not go on from the older checkpoint: its first %d entries were others: %w", before.Size, err)
	}
	return before.Size, nil
}

// whole reads all entries, has their chains followed, and compares the tree that they make with the tiles and the checkpoint.
func whole(ctx context.Context, files files, now *formats.Checkpoint, follow func(index uint64, entry []byte) error) error {
	tree := newTree(files)
	if now.Size > 0 {
		of := func(context.Context) (uint64, error) { return now.Size, nil }
		for e, err := range client.Entries(client.EntryBundles(ctx, 1, of, files.ReadEntryBundle, 0, now.Size), unbundle) {
			if err != nil {
				return fmt.Errorf("read the entries: %w", err)
			}
			if err := tree.add(ctx, e.Entry); err != nil {
				return fmt.Errorf("entry %d: %w", e.Index, err)
			}
			if err := follow(e.Index, e.Entry); err != nil {
				return err
			}
		}
	}
	root, err := tree.root(ctx)
	if err != nil {
		return err
	}
	if tree.size() != now.Size || !bytes.Equal(root, now.Hash) {
		return fmt.Errorf("the entries are not those that the checkpoint covers: %d entries with root %x, not %d with root %x",
			tree.size(), root, now.Size, now.Hash)
	}
	return nil
}

// files reads a log, and refuses bundles that do not hold as many entries as they should, over which the library panics or
// says nothing.
type files struct{ client.FileFetcher }

// ReadEntryBundle reads one file of entries.
func (f files) ReadEntryBundle(ctx context.Context, index uint64, partial uint8) ([]byte, error) {
	raw, err := f.FileFetcher.ReadEntryBundle(ctx, index, partial)
	if err != nil {
		return nil, err
	}
	entries, err := unbundle(raw)
	if err != nil {
		return nil, fmt.Errorf("entries from %d on: %w", index*layout.EntryBundleWidth, err)
	}
	if n := len(entries); n != layout.EntryBundleWidth && (partial == 0 || n != int(partial)) {
		return nil, fmt.Errorf("the file of entries from %d on holds %d", index*layout.EntryBundleWidth, n)
	}
	return raw, nil
}

func unbundle(raw []byte) ([][]byte, error) {
	var bundle api.EntryBundle
	err := bundle.UnmarshalText(raw)
	return bundle.Entries, err
}
