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

// Mounted is the name of the file with the key where it is mounted from a Secret.
const Mounted = "record.key"

// MountedKey reads the key in a folder into which a Secret is mounted; nil, if none is. Nothing stands in for a Secret that
// is there and cannot be used: the log would be signed by a key that nobody has been given.
func MountedKey(folder string) (note.Signer, error) {
	entries, err := os.ReadDir(folder)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil //nolint:nilnil // there is no key, and nothing is wrong
	}
	if err != nil {
		return nil, fmt.Errorf("read the key of the record, mounted from a Secret: %w", err)
	}
	var names []string
	for _, e := range entries {
		if !strings.HasPrefix(e.Name(), "..") { // what the kubelet keeps there for itself
			names = append(names, e.Name())
		}
	}
	if len(names) == 0 {
		return nil, nil //nolint:nilnil // the Secret is optional
	}
	file := filepath.Join(folder, Mounted)
	text, err := os.ReadFile(file)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, fmt.Errorf("the Secret that is mounted at %s holds %s and no %s, under which the key of the record must be", folder, strings.Join(names, ", "), Mounted)
	}
	if err != nil {
		return nil, fmt.Errorf("read the key of the record, mounted from a Secret: %w", err)
	}
	return signerOf(file, text)
}

// Key reads the key in a file, in the format of notes (golang.org/x/mod/sumdb/note). If there is none it makes one there, of
// which public is not empty, and writes the public key beside it into a file that ends in .pub.
func Key(file string) (signer note.Signer, public string, err error) {
	text, err := os.ReadFile(file)
	if errors.Is(err, fs.ErrNotExist) {
		text, public, err = createKey(file)
	}
	if err != nil {
		return nil, "", fmt.Errorf("read the key of the record: %w", err)
	}
	signer, err = signerOf(file, text)
	return signer, public, err
}

func signerOf(file string, text []byte) (note.Signer, error) {
	signer, err := note.NewSigner(strings.TrimSpace(string(text)))
	if err != nil {
		return nil, fmt.Errorf("read the key of the record in %s: %w; make one with `kubectl interlock new-log-key`", file, err)
	}
	return signer, nil
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
