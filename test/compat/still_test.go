package compat

import (
	"context"
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	. "github.com/onsi/ginkgo/v2"
	. "github.com/onsi/gomega"
)

// awaitStill waits until nothing has been written for a time.
func awaitStill(ctx context.Context, period time.Duration, versions func(context.Context) map[string]string) {
	GinkgoHelper()
	last, since := versions(ctx), time.Now()
	var changed []string
	Eventually(func() error {
		now := versions(ctx)
		if !maps.Equal(now, last) {
			changed = differing(last, now)
			last, since = now, time.Now()
		}
		if quiet := time.Since(since); quiet < period {
			return fmt.Errorf("written %s ago: %s", quiet.Round(time.Second), strings.Join(changed, ", "))
		}
		return nil
	}).WithTimeout(30*time.Second + 2*period).Should(Succeed())
}

func differing(before, after map[string]string) []string {
	var names []string
	for name, version := range after {
		if before[name] != version {
			names = append(names, name)
		}
	}
	for name := range before {
		if _, there := after[name]; !there {
			names = append(names, name+" (gone)")
		}
	}
	slices.Sort(names)
	return names
}
