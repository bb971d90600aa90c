package audit

import (
	"context"
	"fmt"
	"io/fs"
	"math/rand/v2"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"golang.org/x/mod/sumdb/note"
	"k8s.io/apimachinery/pkg/types"

	"github.com/interlock-dev/interlock/api/v1alpha1"
	"github.com/interlock-dev/interlock/internal/decision"
	"github.com/interlock-dev/interlock/internal/record"
	"github.com/interlock-dev/interlock/internal/record/tlog"
)

// models are those that decisions are made on, in turn.
const models = 3

// writer keeps a record as the operator does.
type writer struct {
	t           *testing.T
	dir, public string
	signer      note.Signer
	chains      *record.Chains
}

func newWriter(t *testing.T) *writer {
	t.Helper()
	w := &writer{t: t, dir: t.TempDir(), chains: record.NewChains(record.Snapshot{})}
	var err error
	if w.signer, w.public, err = tlog.Key(filepath.Join(t.TempDir(), "key")); err != nil {
		t.Fatal(err)
	}
	return w
}

// write makes n decisions, and waits until a checkpoint covers them.
func (w *writer) write(n int, outcome v1alpha1.Outcome) {
	w.t.Helper()
	log, err := tlog.Open(context.Background(), w.dir, w.signer, 0)
	if err != nil {
		w.t.Fatal(err)
	}
	w.chains = record.NewChains(record.Snapshot{})
	for done := 0; done < n; {
		err = log.Append(w.t.Context(), w.chains.Follow, func() (entries [][]byte, err error) {
			for i := 0; i < models && done < n && err == nil; i++ {
				entries = append(entries, nil)
				entries[i], err = w.entry(i, done, outcome)
				done++
			}
			return entries, err
		})
		if err != nil {
			w.t.Fatal(err)
		}
	}
	if err := log.Finish(w.t.Context()); err != nil {
		w.t.Fatal(err)
	}
}

func (w *writer) entry(model, reason int, outcome v1alpha1.Outcome) ([]byte, error) {
	d := record.Decision{
		Model:   types.NamespacedName{Namespace: "serving", Name: fmt.Sprintf("llm-%d", model)},
		Weights: "sha256:" + strings.Repeat("a", 64), At: time.Unix(int64(reason), 0),
		Verdict: decision.Verdict{Outcome: outcome, Reason: fmt.Sprintf("Reason%d", reason)},
	}
	last, _ := w.chains.Last(d.Model)
	return d.Entry(record.Verifier{ID: "operator"}, last)
}

func (w *writer) checkpoint() []byte {
	w.t.Helper()
	text, err := os.ReadFile(filepath.Join(w.dir, "checkpoint"))
	if err != nil {
		w.t.Fatal(err)
	}
	return text
}

// of gives the files that a log of 300 entries is made of; those of smaller sizes stay beside them for a while.
func of300(t *testing.T, dir string) []string {
	t.Helper()
	var all []string
	err := filepath.WalkDir(dir, func(path string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() {
			return err
		}
		name := strings.TrimPrefix(path, dir+"/")
		switch name {
		case "checkpoint", "tile/0/000", "tile/0/001.p/44", "tile/1/000.p/1", "tile/entries/000", "tile/entries/001.p/44":
			all = append(all, path)
		}
		return nil
	})
	if err != nil || len(all) != 6 {
		t.Fatalf("files %v, %v", all, err)
	}
	return all
}

func TestVerifyFindsWhatWasTamperedWith(t *testing.T) {
	w := newWriter(t)
	w.write(100, v1alpha1.OutcomeHeld)
	older := w.checkpoint()
	w.write(200, v1alpha1.OutcomeCleared)
	report, err := Verify(t.Context(), w.dir, w.public, older, nil)
	if err != nil {
		t.Fatal(err)
	}
	if report.Size != 300 || report.Since != 100 || len(report.Last) != models || report.Last[2].Sequence+report.Last[1].Sequence+report.Last[0].Sequence != 300 {
		t.Errorf("%+v", report)
	}
	random := rand.New(rand.NewPCG(1, 2))
	for _, file := range of300(t, w.dir) {
		text, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		at := random.Perm(len(text))
		for _, i := range at[:min(25, len(at))] {
			changed := append([]byte{}, text...)
			changed[i] ^= 0x40
			tamper(t, w, file, changed, fmt.Sprintf("byte %d flipped", i))
		}
		tamper(t, w, file, text[:len(text)-1], "cut by a byte")
		tamper(t, w, file, text[:len(text)/2], "cut by half")
		tamper(t, w, file, nil, "emptied")
		tamper(t, w, file, append(append([]byte{}, text...), 0, 1, 'x'), "something added")
		if err := os.Rename(file, file+"-"); err != nil {
			t.Fatal(err)
		}
		if _, err := Verify(t.Context(), w.dir, w.public, nil, nil); err == nil {
			t.Errorf("%s: gone, and nobody noticed", file)
		}
		if err := os.Rename(file+"-", file); err != nil {
			t.Fatal(err)
		}
	}
	if _, err := Verify(t.Context(), w.dir, w.public, nil, nil); err != nil {
		t.Errorf("restored: %v", err)
	}
}

func tamper(t *testing.T, w *writer, file string, text []byte, what string) {
	t.Helper()
	whole, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(file, text, 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := Verify(t.Context(), w.dir, w.public, nil, nil); err == nil {
		t.Errorf("%s: %s, and nobody noticed", file, what)
	}
	if err := os.WriteFile(file, whole, 0o600); err != nil {
		t.Fatal(err)
	}
}

func TestVerifyFindsARollbackAndAnotherHistory(t *testing.T) {
	w, other := newWriter(t), newWriter(t)
	w.write(30, v1alpha1.OutcomeHeld)
	short := t.TempDir()
	if err := os.CopyFS(short, os.DirFS(w.dir)); err != nil {
		t.Fatal(err)
	}
	early := w.checkpoint()
	w.write(10, v1alpha1.OutcomeCleared)
	later := w.checkpoint()

	rewritten := newWriter(t) // whoever holds the key can sign another history
	rewritten.signer, rewritten.public = w.signer, w.public
	rewritten.write(60, v1alpha1.OutcomeCleared)
	other.write(1, v1alpha1.OutcomeHeld)
	forged := newWriter(t) // whoever does not can only put an old checkpoint on it
	forged.write(40, v1alpha1.OutcomeCleared)
	if err := os.WriteFile(filepath.Join(forged.dir, "checkpoint"), later, 0o600); err != nil {
		t.Fatal(err)
	}

	for name, tc := range map[string]struct {
		dir, public string
		older       []byte
		want        string
	}{
		"goes on":                       {w.dir, w.public, early, ""},
		"the same":                      {w.dir, w.public, later, ""},
		"rolled back":                   {short, w.public, later, "rolled back"},
		"rewritten":                     {rewritten.dir, w.public, later, "its first 40 entries were others"},
		"rewritten, and nothing kept":   {rewritten.dir, w.public, nil, ""},
		"under a checkpoint of others":  {forged.dir, w.public, nil, "not those that the checkpoint covers"},
		"the key of another":            {w.dir, other.public, nil, "is not signed by"},
		"an older checkpoint of others": {w.dir, w.public, other.checkpoint(), "older checkpoint is not signed by"},
		"no key":                        {w.dir, "k", nil, "read the public key"},
		"no log":                        {t.TempDir(), w.public, nil, "no such file"},
	} {
		t.Run(name, func(t *testing.T) {
			_, err := Verify(t.Context(), tc.dir, tc.public, tc.older, nil)
			if (err == nil) != (tc.want == "") || err != nil && !strings.Contains(err.Error(), tc.want) {
				t.Errorf("err = %v, want %q", err, tc.want)
			}
		})
	}
}

func TestVerifyFindsABrokenChainThatWasSigned(t *testing.T) {
	w := newWriter(t)
	w.write(6, v1alpha1.OutcomeHeld)
	log, err := tlog.Open(context.Background(), w.dir, w.signer, 0)
	if err != nil {
		t.Fatal(err)
	}
	hidden, err := record.Decision{Model: types.NamespacedName{Namespace: "serving", Name: "llm-0"}}.Entry(record.Verifier{}, record.Link{})
	if err != nil {
		t.Fatal(err)
	}
	ignore := func(uint64, []byte) error { return nil }
	if err := log.Append(t.Context(), ignore, func() ([][]byte, error) { return [][]byte{hidden}, nil }); err != nil {
		t.Fatal(err)
	}
	if err := log.Finish(t.Context()); err != nil {
		t.Fatal(err)
	}
	if _, err := Verify(t.Context(), w.dir, w.public, nil, nil); err == nil || !strings.Contains(err.Error(), "entry 6 does not follow") {
		t.Errorf("err = %v", err)
	}
}
