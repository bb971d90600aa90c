// Command neighbours builds the controllers of other projects beside which test/compat runs Interlock. A first run compiles for
// some minutes; every later one finds them in the user's cache. It prints where they are.
package main

import (
	"context"
	"fmt"
	"os"
	"os/signal"
	"syscall"

	"github.com/interlock-dev/interlock/internal/testing/neighbours"
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	for _, m := range []neighbours.Module{neighbours.LeaderWorkerSet, neighbours.JobSet} {
		binary, err := m.Binary(ctx)
		if err != nil {
			fmt.Fprintln(os.Stderr, "neighbours:", err)
			os.Exit(1)
		}
		fmt.Println(binary)
	}
}
