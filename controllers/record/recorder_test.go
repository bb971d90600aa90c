package record

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"golang.org/x/mod/sumdb/note"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/client-go/util/workqueue"
	clocktesting "k8s.io/utils/clock/testing"
	"sigs.k8s.io/controller-runtime/pkg/reconcile"

	"github.com/interlock-dev/interlock/api/v1alpha1"
	"github.com/interlock-dev/interlock/internal/decision"
	"github.com/interlock-dev/interlock/internal/record"
	"github.com/interlock-dev/interlock/internal/record/audit"
)

var start = time.Date(2026, 5, 14, 8, 0, 0, 0, time.UTC)

// memory is a store that can fail.
type memory struct {
	entries []string
	fails   error
	opened  int
}

func (m *memory) Open(_ context.Context, chains *record.Chains) (*record.Chains, error) {
	m.opened++
	if chains == nil {
		chains = record.NewChains(record.Snapshot{})
	}
	return chains, nil
}

func (m *memory) Append(_ context.Context, chains *record.Chains, next func() ([][]byte, error)) error {
	if m.fails != nil {
		return m.fails
	}
	for i := int(chains.Size()); i < len(m.entries); i++ {
		if err := chains.Follow(uint64(i), []byte(m.entries[i])); err != nil {
			return err
		}
	}
	entries, err := next()
	for _, e := range entries {
		if err := chains.Follow(chains.Size(), e); err != nil {
			return err
		}
		m.entries = append(m.entries, string(e))
	}
	return err
}

func (m *memory) Close(context.Context, *record.Chains) error { return nil }

// written gives the outcomes that were written on a model.
func (m *memory) written(t *testing.T, model string) (outcomes []string) {
	t.Helper()
	for _, e := range m.entries {
		s, err := record.Parse([]byte(e))
		if err != nil {
			t.Fatal(err)
		}
		if s.Predicate.Model.Name == model {
			outcomes = append(outcomes, strings.TrimSpace(string(s.Predicate.Verdict)+" "+s.Predicate.Reason))
		}
	}
	return outcomes
}

func recorder(t *testing.T, store Store) (*Recorder, workqueue.TypedRateLimitingInterface[reconcile.Request]) {
	t.Helper()
	r := NewRecorder(store, record.Verifier{ID: "operator"}, clocktesting.NewFakeClock(start), func() bool { return true })
	queue := workqueue.NewTypedRateLimitingQueue(workqueue.DefaultTypedControllerRateLimiter[reconcile.Request]())
	t.Cleanup(queue.ShutDown)
	if err := r.Changes().Start(t.Context(), queue); err != nil {
		t.Fatal(err)
	}
	return r, queue
}

func decided(model string, outcome v1alpha1.Outcome, reason string) record.Decision {
	return record.Decision{Model: types.NamespacedName{Namespace: "serving", Name: model}, At: start,
		Weights: "sha256:" + strings.Repeat("a", 64), Verdict: decision.Verdict{Outcome: outcome, Reason: reason}}
}

func ended(model string) record.Decision {
	return record.Ended(types.NamespacedName{Namespace: "serving", Name: model}, record.OutcomeUndeclared, start)
}

const cleared, held, revoked = v1alpha1.OutcomeCleared, v1alpha1.OutcomeHeld, v1alpha1.OutcomeRevoked

func TestAClearanceIsRecordedBeforeItIsSaidToBe(t *testing.T) {
	store := &memory{}
	r, queue := recorder(t, store)
	d := decided("llm", cleared, "R")
	if r.Note(d) {
		t.Error("recorded before anything was read")
	}
	if err := r.Write(t.Context()); err != nil {
		t.Fatal(err)
	}
	if woken, _ := queue.Get(); woken.Name != "llm" {
		t.Errorf("woke %v", woken)
	}
	later := d
	later.At, later.Verdict.ValidUntil = start.Add(time.Hour), start.Add(2*time.Hour)
	if !r.Note(d) || !r.Note(later) {
		t.Error("not recorded after it was written, or its renewal is not")
	}
	if r.Note(decided("llm", cleared, "Other")) {
		t.Error("another clearance counts as recorded")
	}
	if n, age := r.Backlog(); n != 1 || age != 0 {
		t.Errorf("backlog = %d, %v", n, age)
	}
}

func TestAnOperatorThatMayBeDeposedWritesNothing(t *testing.T) {
	store := &memory{}
	r, _ := recorder(t, store)
	leads := false
	r.leads = func() bool { return leads }
	d := decided("llm", revoked, "R")
	r.Note(d)
	if err := r.Write(t.Context()); err != nil {
		t.Fatal(err)
	}
	if n, _ := r.Backlog(); n != 1 || r.Note(d) {
		t.Errorf("%d decisions wait, want the one", n)
	}
	leads = true
	if err := r.Write(t.Context()); err != nil {
		t.Fatal(err)
	}
	if n, _ := r.Backlog(); n != 0 || !r.Note(d) {
		t.Errorf("it leads, and %d decisions wait", n)
	}
}

func TestWhatIsWrittenWhenTheLogCanBeWrittenAgain(t *testing.T) {
	many := make([]record.Decision, 0, 2*maxWaiting)
	for i := range 2 * maxWaiting {
		many = append(many, decided("llm", held, fmt.Sprint(i)))
	}
	for name, tc := range map[string]struct {
		notes []record.Decision
		want  []string
	}{
		"a clearance that waited":                      {[]record.Decision{decided("llm", cleared, "A")}, []string{"Cleared A"}},
		"not one that was overtaken":                   {[]record.Decision{decided("llm", cleared, "A"), decided("llm", cleared, "B")}, []string{"Cleared B"}},
		"nor one that was taken back":                  {[]record.Decision{decided("llm", cleared, "A"), decided("llm", held, "B")}, []string{"Held B"}},
		"each revocation":                              {[]record.Decision{decided("llm", revoked, "A"), decided("llm", held, "B"), decided("llm", cleared, "C")}, []string{"Revoked A", "Held B", "Cleared C"}},
		"a revocation of what is cleared again as was": {[]record.Decision{decided("llm", revoked, "A"), decided("llm", cleared, "First")}, []string{"Revoked A", "Cleared First"}},
		"what is said twice, once":                     {[]record.Decision{decided("llm", revoked, "A"), decided("llm", revoked, "A")}, []string{"Revoked A"}},
		"nothing that is as it was":                    {[]record.Decision{decided("llm", cleared, "First")}, nil},
		"the end":                                      {[]record.Decision{ended("llm")}, []string{"Undeclared"}},
		"no more than there is room for":               {many, nil},
	} {
		t.Run(name, func(t *testing.T) {
			store := &memory{}
			r, _ := recorder(t, store)
			r.Note(decided("llm", cleared, "First"))
			if err := r.Write(t.Context()); err != nil {
				t.Fatal(err)
			}
			store.fails = errors.New("disk full")
			for _, d := range tc.notes {
				r.Note(d)
				r.fail(r.Write(t.Context()))
			}
			store.fails = nil
			if err := r.Write(t.Context()); err != nil {
				t.Fatal(err)
			}
			got := store.written(t, "llm")[1:]
			if len(tc.notes) > maxWaiting {
				if len(got) != maxWaiting || got[len(got)-1] != fmt.Sprintf("Held %d", len(tc.notes)-1) {
					t.Errorf("wrote %d, the last %s", len(got), got[len(got)-1])
				}
				return
			}
			if !slices.Equal(got, tc.want) {
				t.Errorf("wrote %v, want %v", got, tc.want)
			}
			if n, _ := r.Backlog(); n != 0 {
				t.Errorf("%d are left", n)
			}
		})
	}
}

func TestWhatEndsNeedsABeginning(t *testing.T) {
	store := &memory{}
	r, _ := recorder(t, store)
	r.Note(ended("never-seen"))
	if err := r.Write(t.Context()); err != nil {
		t.Fatal(err)
	}
	if !r.Note(ended("never-seen")) || !r.Note(ended("nor-this")) || len(store.entries) != 0 {
		t.Errorf("wrote %v", store.entries)
	}
}

func TestAFailureIsToldToWhoWaitsInItsFirstWordsUntilItIsOver(t *testing.T) {
	store := &memory{fails: errors.New("disk full at 1")}
	r, queue := recorder(t, store)
	d := decided("llm", cleared, "R")
	r.Note(d)
	r.fail(r.Write(t.Context()))
	if woken, _ := queue.Get(); woken.Name != "llm" {
		t.Errorf("woke %v", woken)
	}
	store.fails = errors.New("disk full at 2")
	r.fail(r.Write(t.Context()))
	if got := r.Failure(d.Model); got != "disk full at 1" {
		t.Errorf("failure = %q", got)
	}
	store.fails = nil
	if err := r.Write(t.Context()); err != nil || r.Failure(d.Model) != "" || store.opened != 3 {
		t.Errorf("%v, failure %q, opened %d times, want 3: anew after each failure", err, r.Failure(d.Model), store.opened)
	}
}

func TestWhatCannotBeWrittenHoldsUpItsOwnModelAlone(t *testing.T) {
	store := &memory{}
	r, _ := recorder(t, store)
	large := decided("large", cleared, "R")
	for range 300 {
		large.Verdict.Safeguards = append(large.Verdict.Safeguards, v1alpha1.SafeguardResult{Name: strings.Repeat("n", 253)})
	}
	r.Note(large)
	r.Note(decided("llm", cleared, "R"))
	if err := r.Write(t.Context()); err != nil {
		t.Fatal(err)
	}
	if r.Note(large) || !strings.Contains(r.Failure(large.Model), "fewer safeguards") {
		t.Errorf("failure = %q", r.Failure(large.Model))
	}
	if !r.Note(decided("llm", cleared, "R")) || r.Failure(types.NamespacedName{Namespace: "serving", Name: "llm"}) != "" {
		t.Error("the other waits as well")
	}
	if r.Note(decided("large", cleared, "R")) || r.Failure(large.Model) != "" {
		t.Error("still refused when it is small")
	}
}

func TestModelsOfTheRecordAreLookedAtWhenItBegins(t *testing.T) {
	store := &memory{}
	before, _ := recorder(t, store)
	before.Note(decided("gone", cleared, "R"))
	if err := before.Write(t.Context()); err != nil {
		t.Fatal(err)
	}
	for name, begin := range map[string]func() workqueue.TypedRateLimitingInterface[reconcile.Request]{
		"when it is read": func() workqueue.TypedRateLimitingInterface[reconcile.Request] {
			r, queue := recorder(t, store)
			if err := r.Write(t.Context()); err != nil {
				t.Fatal(err)
			}
			return queue
		},
		"when somebody listens": func() workqueue.TypedRateLimitingInterface[reconcile.Request] {
			r := NewRecorder(store, record.Verifier{}, clocktesting.NewFakeClock(start), func() bool { return true })
			if err := r.Write(t.Context()); err != nil {
				t.Fatal(err)
			}
			queue := workqueue.NewTypedRateLimitingQueue(workqueue.DefaultTypedControllerRateLimiter[reconcile.Request]())
			t.Cleanup(queue.ShutDown)
			if err := r.Changes().Start(t.Context(), queue); err != nil {
				t.Fatal(err)
			}
			return queue
		},
	} {
		t.Run(name, func(t *testing.T) {
			if queue := begin(); queue.Len() != 1 {
				t.Errorf("%d are looked at, want the one that may be gone", queue.Len())
			}
		})
	}
}

func TestTwoLeadersContinueEachOther(t *testing.T) {
	store := &memory{}
	one, _ := recorder(t, store)
	two, _ := recorder(t, store)
	for i, r := range []*Recorder{one, two, one, two} {
		r.Note(decided("llm", held, fmt.Sprint(i)))
		if err := r.Write(t.Context()); err != nil {
			t.Fatal(err)
		}
	}
	if diff := cmp.Diff([]string{"Held 0", "Held 1", "Held 2", "Held 3"}, store.written(t, "llm")); diff != "" {
		t.Error(diff)
	}
}

func TestFilesAreContinuedAfterARestart(t *testing.T) {
	for name, meanwhile := range map[string]func(t *testing.T, dir string){
		"as they were":         func(*testing.T, string) {},
		"without the snapshot": func(t *testing.T, dir string) { remove(t, filepath.Join(dir, snapshot)) },
	} {
		t.Run(name, func(t *testing.T) {
			dir := t.TempDir()
			files := func() *Files { return &Files{Dir: filepath.Join(dir, "log"), Key: filepath.Join(dir, "key")} }
			first, _ := recorder(t, files())
			first.Note(decided("llm", cleared, "R"))
			first.Note(decided("other", held, "R"))
			if err := errors.Join(first.Write(t.Context()), first.finish()); err != nil {
				t.Fatal(err)
			}
			meanwhile(t, filepath.Join(dir, "log"))

			second, _ := recorder(t, files())
			second.Note(decided("llm", cleared, "R"))
			second.Note(decided("other", held, "Now"))
			if err := errors.Join(second.Write(t.Context()), second.finish()); err != nil {
				t.Fatal(err)
			}
			if got := second.following.Size(); got != 3 || !second.Note(decided("llm", cleared, "R")) {
				t.Errorf("%d entries, want 3", got)
			}
		})
	}
}

// The key of a Secret goes before the one of the file, which is not even made.
func TestTheKeyOfASecretSigns(t *testing.T) {
	for name, given := range map[string]bool{"from a Secret": true, "of an optional Secret that is not there": false} {
		t.Run(name, func(t *testing.T) {
			dir := t.TempDir()
			f := &Files{Dir: filepath.Join(dir, "log"), Mounted: filepath.Join(dir, "secret"), Key: filepath.Join(dir, "key")}
			write(t, filepath.Join(f.Mounted, "..data", "x"), "")
			want := ""
			if given {
				private, public, err := note.GenerateKey(rand.Reader, "log.example.com")
				if err != nil {
					t.Fatal(err)
				}
				write(t, filepath.Join(f.Mounted, "record.key"), private)
				want = public
			}
			for range 2 { // and after a restart
				r, _ := recorder(t, f)
				r.Note(decided("llm", cleared, "R"))
				if err := errors.Join(r.Write(t.Context()), r.finish()); err != nil {
					t.Fatal(err)
				}
				f = &Files{Dir: f.Dir, Mounted: f.Mounted, Key: f.Key}
			}
			if public, err := os.ReadFile(f.Key + ".pub"); (err == nil) == given {
				t.Errorf("a key beside the log: %q, %v", public, err)
			} else if !given {
				want = strings.TrimSpace(string(public))
			}
			if report, err := audit.Verify(t.Context(), f.Dir, want, nil, nil); err != nil || report.Size != 1 {
				t.Errorf("%d entries, %v", report.Size, err)
			}
		})
	}
}

func TestFilesSayWhatIsWrongWithThem(t *testing.T) {
	for name, tc := range map[string]struct {
		wrong func(t *testing.T, f *Files)
		want  string
	}{
		"no folder can be made":    {func(t *testing.T, f *Files) { write(t, f.Dir, "") }, "not a directory"},
		"no key":                   {func(t *testing.T, f *Files) { write(t, f.Key, "k") }, "read the key of the record"},
		"a Secret without the key": {func(t *testing.T, f *Files) { write(t, filepath.Join(f.Mounted, "tls.key"), "k") }, "holds tls.key and no record.key"},
		"a Secret with no key":     {func(t *testing.T, f *Files) { write(t, filepath.Join(f.Mounted, "record.key"), "PRIVATE+KEY+x") }, "new-log-key"},
		"a key that is no file":    {func(t *testing.T, f *Files) { write(t, filepath.Join(f.Mounted, "record.key", "x"), "") }, "mounted from a Secret"},
		"the log of another key": {func(t *testing.T, f *Files) {
			other, _ := recorder(t, &Files{Dir: f.Dir, Key: f.Key + ".other"})
			other.Note(decided("llm", cleared, "R"))
			if err := errors.Join(other.Write(t.Context()), other.finish()); err != nil {
				t.Fatal(err)
			}
		}, "put that key back"},
		"a checkpoint that is none": {func(t *testing.T, f *Files) { write(t, filepath.Join(f.Dir, "checkpoint"), "x") }, "cannot be read"},
		"a broken snapshot":         {func(t *testing.T, f *Files) { write(t, filepath.Join(f.Dir, snapshot), "{") }, "delete it"},
		"a log that was emptied": {func(t *testing.T, f *Files) {
			write(t, filepath.Join(f.Dir, snapshot), `{"size":7}`)
			write(t, filepath.Join(f.Dir, ".state", "treeState.lock"), "")
			write(t, filepath.Join(f.Dir, ".state", "publish.lock"), "")
			write(t, filepath.Join(f.Dir, ".state", "gcState.lock"), "")
		}, "entries are gone"},
	} {
		t.Run(name, func(t *testing.T) {
			f := &Files{Dir: filepath.Join(t.TempDir(), "log"), Mounted: filepath.Join(t.TempDir(), "secret"), Key: filepath.Join(t.TempDir(), "key")}
			tc.wrong(t, f)
			r, _ := recorder(t, f)
			if err := r.Write(t.Context()); err == nil || !strings.Contains(err.Error(), tc.want) {
				t.Errorf("err = %v, want %q", err, tc.want)
			}
			if r.Note(decided("llm", cleared, "R")) {
				t.Error("cleared all the same")
			}
		})
	}
}

func write(t *testing.T, file, text string) {
	t.Helper()
	if err := errors.Join(os.MkdirAll(filepath.Dir(file), 0o755), os.WriteFile(file, []byte(text), 0o600)); err != nil {
		t.Fatal(err)
	}
}

func remove(t *testing.T, file string) {
	t.Helper()
	if err := os.Remove(file); err != nil {
		t.Fatal(err)
	}
}
