package tlog

import (
	"crypto/rand"
	"encoding/hex"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"

	"golang.org/x/mod/sumdb/note"
)

// Key reads the key in a file, in the format of notes (golang.org/x/mod/sumdb/note). If there is none it makes one there, of which public is not empty, and writes the public
// key beside it into a file that ends in .pub.
func Key(file string) (signer note.Signer, public string, err error) {
	text, err := os.ReadFile(file)
	if errors.Is(err, fs.ErrNotExist) {
		text, public, err = createKey(file)
	}
	if err != nil {
		return nil, "", fmt.Errorf("read the key of the record: %w", err)
	}
	signer, err = note.NewSigner(strings.TrimSpace(string(text)))
	if err != nil {
		return nil, "", fmt.Errorf("read the key of the record in %s: %w; make one with `kubectl interlock new-log-key`", file, err)
	}
	return signer, public, nil
}

// createKey makes a key in a file that does not exist, or reads that of another process that was faster.
func createKey(file string) (text []byte, public string, err error) {
	suffix := make([]byte, 4)
	if _, err := rand.Read(suffix); err != nil {
		return nil, "", err
	}
	private, public, err := note.GenerateKey(rand.Reader, "interlock-record-"+hex.EncodeToString(suffix))
	if err != nil {
		return nil, "", err
	}
	if err := os.MkdirAll(filepath.Dir(file), 0o755); err != nil {
		return nil, "", err
	}
	temporary, err := os.CreateTemp(filepath.Dir(file), filepath.Base(file)) // which only we may read
	if err != nil {
		return nil, "", err
	}
	defer func() { _ = os.Remove(temporary.Name()) }()
	_, err = temporary.WriteString(private + "\n")
	if err := errors.Join(err, temporary.Sync(), temporary.Close()); err != nil {
		return nil, "", err
	}
	if err := os.Link(temporary.Name(), file); errors.Is(err, fs.ErrExist) {
		text, err := os.ReadFile(file)
		return text, "", err
	} else if err != nil {
		return nil, "", err
	}
	return []byte(private), public, os.WriteFile(file+".pub", []byte(public+"\n"), 0o644)
}
