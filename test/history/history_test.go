// Package history lets clients, tenants and the operator run for a time in which a nemesis does its worst, and checks what
// happened. The nemesis draws from a seed; time and load make no two runs the same.
package history

import (
	"context"
	"encoding/json"
	"flag"
	"fmt"
	"maps"
	"os"
	"slices"
	"sync"
	"testing"
	"time"

	ctrl "sigs.k8s.io/controller-runtime"
	"sigs.k8s.io/controller-runtime/pkg/log/zap"

	"github.com/interlock-dev/interlock/api/v1alpha1"
	"github.com/interlock-dev/interlock/internal/record"
	"github.com/interlock-dev/interlock/internal/record/audit"
	"github.com/interlock-dev/interlock/internal/testing/controlplane"
	"github.com/interlock-dev/interlock/test/history/check"
)

var (
	duration = flag.Duration("history.duration", 0, "how long the nemesis is at work; 0, it does nothing")
	clocks   = flag.Bool("history.clocks", false, "let the managers' clocks be wrong, which takes minutes to build at the first time")
	seed     = flag.Uint64("history.seed", 0, "what it draws from; 0, a new one")
	keep     = flag.String("history.keep", "", "file into which the history is written, for whoever wants to look at it")
)

var bounds = check.Bounds{
	Lag: 3 * time.Second, TakenOut: 10 * time.Second, Fresh: 2 * time.Second, Lease: lease + 2*time.Second, Revoked: 5 * time.Second,
	Cleared: 15 * time.Second}

func TestHistory(t *testing.T) {
	if os.Getenv(controlplane.AssetsVariable) == "" {
		t.Skipf("starts a control plane: run it with `make history`, which sets %s", controlplane.AssetsVariable)
	}
	if *duration == 0 {
		t.Skip("takes its time: run it with `make history`")
	}
	if *seed == 0 {
		*seed = uint64(time.Now().UnixNano())
	}
	t.Logf("seed %d, for %s: repeat it with `make history SEED=%d DURATION=%s`", *seed, *duration, *seed, *duration)
	ctrl.SetLogger(zap.New(zap.WriteTo(os.Stderr)))

	w := newWorld(t)
	recording, stop := context.WithCancel(t.Context())
	rec := newRecorder(w.cluster.EtcdURL(), w.tenants)
	var recorder sync.WaitGroup
	recorder.Go(func() { rec.run(recording, func(err error) { t.Errorf("the history is not whole: %v", err) }) })

	w.populate(t)
	w.live(t)
	end := time.Now()
	stop()
	recorder.Wait()
	h := check.History{Events: rec.history(), Needs: w.needs(), Hindered: w.spans, Record: w.record(t), End: end}
	if *keep != "" {
		written, err := json.MarshalIndent(h, "", " ")
		if err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(*keep, written, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	tell(t, h)
	for _, v := range check.Check(h, bounds) {
		t.Error(v)
	}
}

// tell says how much happened, so that nobody takes an empty history for a good one.
func tell(t *testing.T, h check.History) {
	t.Helper()
	count := map[string]int{}
	for _, e := range h.Events {
		switch {
		case e.Kind == check.Pod && e.There && e.Gated:
			count["pods seen at the gate"]++
		case e.Kind == check.Pod && e.There:
			count["pods seen past the gate"]++
		case e.Kind == check.Clearance && e.There:
			count["clearances"]++
		case e.Kind == check.Clearance:
			count["revocations"]++
		case e.Kind == check.Cause && !e.There:
			count["causes gone"]++
		}
	}
	interferences := map[string]int{}
	for _, s := range h.Hindered {
		interferences[s.Why]++
	}
	t.Logf("%v, %d entries of the record; deadlines ran for %s", count, len(h.Record), check.Unhindered(h).Round(time.Second))
	for _, why := range slices.Sorted(maps.Keys(interferences)) {
		t.Logf("%d times: %s", interferences[why], why)
	}
	for _, what := range []string{"clearances", "revocations", "pods seen past the gate", "pods seen at the gate", "causes gone"} {
		if count[what] == 0 {
			t.Errorf("the history shows no %s", what)
		}
	}
}

// record ends the managers and reads the decision record, as an auditor would.
func (w *world) record(t *testing.T) []check.Decision {
	t.Helper()
	for _, s := range w.seats {
		if err := s.manager.Stop(t.Context()); err != nil {
			t.Error(err)
		}
	}
	key, err := os.ReadFile(w.cluster.Record() + ".key.pub")
	if err != nil {
		t.Fatal(err)
	}
	decisions := []check.Decision{}
	report, err := audit.Verify(t.Context(), w.cluster.Record(), string(key), nil, func(s record.Statement) {
		p := s.Predicate
		d := check.Decision{
			Model: fmt.Sprintf("%s/%s", p.Model.Namespace, p.Model.Name), At: p.TimeVerified, Cleared: p.Verdict == v1alpha1.OutcomeCleared}
		for _, input := range p.Inputs {
			if input.Kind == "Approval" {
				d.Approvals = append(d.Approvals, approvalCause(input.Name))
			}
		}
		decisions = append(decisions, d)
	})
	if err != nil {
		t.Errorf("the decision record does not stand an audit at %d entries: %v", report.Size, err)
	}
	return decisions
}
