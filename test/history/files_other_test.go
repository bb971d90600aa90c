//go:build !linux

package history

import "errors"

// limitFiles does nothing: only Linux limits what another process writes.
func limitFiles(int, uint64) error { return errors.ErrUnsupported }

func unlimitFiles(int) error { return nil }
