package audit

import (
	"bytes"
	"context"
	"fmt"

	"github.com/transparency-dev/merkle/compact"
	"github.com/transparency-dev/merkle/rfc6962"
	"github.com/transparency-dev/tessera/api/layout"
)

// tree computes the tiles of a log from its entries, and compares each with the one in the log. Tessera's fsck does the
// same, but waits for ever when a tile is wrong (v1.0.4).
type tree struct {
	files   files
	nodes   *compact.Range
	pending map[tile][]byte
	// full are those to be compared.
	full []tile
}

type tile struct{ level, index uint64 }

func newTree(files files) *tree {
	return &tree{files: files, nodes: (&compact.RangeFactory{Hash: rfc6962.DefaultHasher.HashChildren}).NewEmptyRange(0),
		pending: map[tile][]byte{}}
}

func (t *tree) size() uint64 { return t.nodes.End() }

func (t *tree) add(ctx context.Context, entry []byte) error {
	if err := t.nodes.Append(rfc6962.DefaultHasher.HashLeaf(entry), t.visit); err != nil {
		return err
	}
	for _, full := range t.full {
		if err := t.compare(ctx, full); err != nil {
			return err
		}
	}
	t.full = t.full[:0]
	return nil
}

// visit takes each node that is complete; the lowest of each tile are kept in it.
func (t *tree) visit(id compact.NodeID, hash []byte) {
	if id.Level%layout.TileHeight != 0 {
		return
	}
	at := tile{uint64(id.Level) / layout.TileHeight, id.Index / layout.TileWidth}
	t.pending[at] = append(t.pending[at], hash...)
	if len(t.pending[at]) == layout.TileWidth*len(hash) {
		t.full = append(t.full, at)
	}
}

// root compares what is left, and gives the root of the tree.
func (t *tree) root(ctx context.Context) ([]byte, error) {
	for at := range t.pending {
		if err := t.compare(ctx, at); err != nil {
			return nil, err
		}
	}
	if t.size() == 0 {
		return rfc6962.DefaultHasher.EmptyRoot(), nil
	}
	return t.nodes.GetRootHash(nil)
}

func (t *tree) compare(ctx context.Context, at tile) error {
	want := t.pending[at]
	delete(t.pending, at)
	width := len(want) / rfc6962.DefaultHasher.Size()
	have, err := t.files.ReadTile(ctx, at.level, at.index, uint8(width%layout.TileWidth))
	if err != nil {
		return fmt.Errorf("read a tile: %w", err)
	}
	if n := len(have) / rfc6962.DefaultHasher.Size(); n == layout.TileWidth && width < n {
		have = have[:len(want)] // the log has grown since the checkpoint
	}
	if !bytes.Equal(have, want) {
		return fmt.Errorf("the tile %s is not that of the entries below it", layout.TilePath(at.level, at.index, uint8(width%layout.TileWidth)))
	}
	return nil
}
