package main

import (
	"context"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"k8s.io/apimachinery/pkg/types"

	"github.com/interlock-dev/interlock/internal/decision"
	"github.com/interlock-dev/interlock/internal/record"
	"github.com/interlock-dev/interlock/internal/record/tlog"
)

// keepRecord writes decisions on a model as the operator does.
func keepRecord(t *testing.T, dir, key string, reasons ...string) {
	t.Helper()
	signer, _, err := tlog.Key(key)
	if err != nil {
		t.Fatal(err)
	}
	log, err := tlog.Open(context.Background(), dir, signer, 0)
	if err != nil {
		t.Fatal(err)
	}
	chains := record.NewChains(record.Snapshot{})
	model := types.NamespacedName{Namespace: "serving", Name: "llm"}
	for _, reason := range reasons {
		if err := log.Append(t.Context(), chains.Follow, func() ([][]byte, error) {
			last, _ := chains.Last(model)
			entry, err := record.Decision{Model: model, Weights: "sha256:" + strings.Repeat("a", 64), At: now,
				Policy: "rsp", PolicyDigest: "sha256:p", Inputs: []record.Input{{Kind: "Approval", Namespace: "serving", Name: "rso-" + reason, Digest: "sha256:a"}},
				Verdict: decision.Verdict{Outcome: "Held", Reason: reason}}.Entry(record.Verifier{ID: "operator"}, last)
			return [][]byte{entry}, err
		}); err != nil {
			t.Fatal(err)
		}
	}
	if err := log.Finish(t.Context()); err != nil {
		t.Fatal(err)
	}
}

func TestVerifyLogComparesWithWhatTheAuditorKept(t *testing.T) {
	dir := t.TempDir()
	in := func(name string) string { return filepath.Join(dir, name) }
	public := command(t, "", "new-log-key", "log.example.com", in("key"))
	if public.code != 0 {
		t.Fatal(public.err)
	}
	if err := os.WriteFile(in("key.pub"), []byte(public.out), 0o600); err != nil {
		t.Fatal(err)
	}
	verify := func(args ...string) ran {
		return command(t, "", append([]string{"verify-log", "--key", in("key.pub"), "--checkpoint", in("kept")}, args...)...)
	}
	want := func(got ran, want string) {
		t.Helper()
		if diff := cmp.Diff(want, got.out); diff != "" || got.code != 0 {
			t.Errorf("exit code %d, %s\n%s", got.code, got.err, diff)
		}
	}
	keepRecord(t, in("log"), in("key"), "A", "B")
	want(verify(in("log")), "log.example.com: 2 entries on 1 models, all as its checkpoint says\n")
	if err := os.CopyFS(in("copy"), os.DirFS(in("log"))); err != nil {
		t.Fatal(err)
	}
	keepRecord(t, in("log"), in("key"), "C")
	want(verify(in("log"), "-o", "wide"), `log.example.com: 3 entries on 1 models, all as its checkpoint says
the first 2 are those of the checkpoint that you kept
NAMESPACE   MODEL   LAST VERDICT   DECISIONS   ENTRY
serving     llm     Held           3           2
`)
	want(verify(in("log"), "--model", "serving/llm"), `log.example.com: 3 entries on 1 models, all as its checkpoint says
the first 3 are those of the checkpoint that you kept
DECISION   TIME                   VERDICT   REASON   RESTS ON                 DIGEST
1          2026-05-14T12:00:00Z   Held      A        ScalingPolicy rsp        sha256:p
                                                     Approval serving/rso-A   sha256:a
2          2026-05-14T12:00:00Z   Held      B        ScalingPolicy rsp        sha256:p
                                                     Approval serving/rso-B   sha256:a
3          2026-05-14T12:00:00Z   Held      C        ScalingPolicy rsp        sha256:p
                                                     Approval serving/rso-C   sha256:a
`)
	want(verify(in("log"), "--model", "serving/other"), `log.example.com: 3 entries on 1 models, all as its checkpoint says
the first 3 are those of the checkpoint that you kept
nothing was decided of model serving/other
`)
	if got := verify(in("log"), "--model", "llm"); got.code != 1 || !strings.Contains(got.err, "must be NAMESPACE/NAME") {
		t.Errorf("exit code %d, %s", got.code, got.err)
	}
	kept, err := os.ReadFile(in("kept"))
	if err != nil {
		t.Fatal(err)
	}
	for where, want := range map[string]string{"copy": "rolled back", "nothing": "no such file"} {
		if got := verify(in(where)); got.code != 1 || !strings.Contains(got.err, want) {
			t.Errorf("%s: exit code %d, %s", where, got.code, got.err)
		}
	}
	if again, err := os.ReadFile(in("kept")); err != nil || string(again) != string(kept) {
		t.Errorf("what was kept is lost: %v", err)
	}
}
