package main

import (
	"cmp"
	"fmt"
	"io"
	"math"
	"os"
	"runtime"
	"slices"
	"strings"
	"text/tabwriter"
	"time"
)

// table collects the figures.
type table struct {
	machine string
	lines   []line
	notes   []string
}

type line struct{ name, budget, measured, spread, verdict string }

// within adds a figure that has a budget.
func (t *table) within(name, budget, measured, spread string, ok bool) {
	verdict := "ok"
	if !ok {
		verdict = "OVER"
	}
	t.add(line{name, budget, measured, spread, verdict})
}

// beside adds a figure that has none.
func (t *table) beside(name, measured, spread string) {
	t.add(line{name: name, measured: measured, spread: spread})
}

func (t *table) add(l line) {
	t.lines = append(t.lines, l)
	progress("%s: %s (budget %s) %s %s", l.name, l.measured, cmp.Or(l.budget, "-"), l.spread, l.verdict)
}

func (t *table) note(format string, args ...any) {
	t.notes = append(t.notes, fmt.Sprintf(format, args...))
}

func (t *table) print(w io.Writer) error {
	fmt.Fprintln(w, t.machine)
	fmt.Fprintln(w)
	tw := tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)
	fmt.Fprintln(tw, "FIGURE\tBUDGET\tMEASURED\tSPREAD\t")
	for _, l := range t.lines {
		fmt.Fprintf(tw, "%s\t%s\t%s\t%s\t%s\n", l.name, cmp.Or(l.budget, "-"), l.measured, cmp.Or(l.spread, "-"), l.verdict)
	}
	if err := tw.Flush(); err != nil {
		return err
	}
	for _, n := range t.notes {
		fmt.Fprintln(w, "\n"+n)
	}
	return nil
}

// machine says on what the figures were measured.
func machine(cl *cluster) (string, error) {
	version, err := kubernetesVersion(cl.RESTConfig())
	if err != nil {
		return "", err
	}
	load := "?"
	if content, err := os.ReadFile("/proc/loadavg"); err == nil {
		load = strings.Fields(string(content))[0]
	}
	return fmt.Sprintf("%s; %d cores (%s), %s, Kubernetes %s, load of the last minute at the start %s",
		time.Now().UTC().Format(time.DateOnly), runtime.NumCPU(), processor(), runtime.Version(), version, load), nil
}

func processor() string {
	content, err := os.ReadFile("/proc/cpuinfo")
	if err != nil {
		return runtime.GOARCH
	}
	for l := range strings.Lines(string(content)) {
		if name, value, ok := strings.Cut(l, ":"); ok && strings.TrimSpace(name) == "model name" {
			return strings.TrimSpace(value)
		}
	}
	return runtime.GOARCH
}

// quantile gives the smallest of the values that at least a share p of them do not exceed.
func quantile[T cmp.Ordered](values []T, p float64) T {
	sorted := slices.Sorted(slices.Values(values))
	return sorted[max(0, int(math.Ceil(p*float64(len(sorted))))-1)]
}

func median(values []float64) float64 {
	sorted := slices.Sorted(slices.Values(values))
	n := len(sorted)
	return (sorted[(n-1)/2] + sorted[n/2]) / 2
}
