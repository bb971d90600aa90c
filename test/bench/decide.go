package main

import (
	"context"
	"fmt"
	"os/exec"
	"regexp"
	"strconv"

	"github.com/interlock-dev/interlock/internal/testing/controlplane"
)

// measureDecide runs the benchmark of the decision itself, which needs no cluster.
func measureDecide(ctx context.Context, _ config, _ *cluster, t *table) error {
	root, err := controlplane.ModuleRoot()
	if err != nil {
		return err
	}
	command := exec.CommandContext(ctx, "go", "test", "-run=^$", "-bench=^BenchmarkDecide$", "-count=5", "./internal/decision")
	command.Dir = root
	out, err := command.CombinedOutput()
	if err != nil {
		return fmt.Errorf("%w: %s", err, out)
	}
	var took []float64
	for _, match := range regexp.MustCompile(`(?m)^BenchmarkDecide\S*\s+\d+\s+(\d+) ns/op`).FindAllSubmatch(out, -1) {
		ns, err := strconv.ParseFloat(string(match[1]), 64)
		if err != nil {
			return err
		}
		took = append(took, ns/1000)
	}
	if len(took) == 0 {
		return fmt.Errorf("the benchmark tells no time: %s", out)
	}
	us := func(v float64) string { return fmt.Sprintf("%.1f us", v) }
	t.within("one decision: 50 safeguards, 20 thresholds, 10 assessments", "< 30 us", us(median(took)),
		us(quantile(took, 0))+" .. "+us(quantile(took, 1)), median(took) < 30)
	return nil
}
