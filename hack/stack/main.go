//go:build unix

// Command stack starts a local control plane with Interlock on it and leaves it running:
//
//	go run ./hack/stack up      start it, unless it is up; prints how to reach it
//	go run ./hack/stack down    end it, and wait until no process of it is left
//
// What runs, runs under one supervisor, which is found by the lock that it holds on a file in the state folder. So
// `down` can never end a process that is not the stack's, and when the supervisor ends, however, all the rest does.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"os"
	"os/signal"
	"path/filepath"
	"syscall"

	"github.com/interlock-dev/interlock/internal/testing/controlplane"
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	if err := run(ctx, os.Args[1:]); err != nil {
		fmt.Fprintf(os.Stderr, "stack: %v\n", err)
		os.Exit(1)
	}
}

func run(ctx context.Context, args []string) error {
	usage := errors.New("usage: go run ./hack/stack up|down [--dir FOLDER]")
	if len(args) == 0 {
		return usage
	}
	flags := flag.NewFlagSet(args[0], flag.ContinueOnError)
	dir := flags.String("dir", "", "folder for the state of the stack (default .run in the clone)")
	assets := flags.String("assets", "", "folder of the control plane's binaries (default: they are built)")
	if err := flags.Parse(args[1:]); err != nil {
		return err
	}
	if flags.NArg() > 0 {
		return usage
	}
	state, err := openState(*dir)
	if err != nil {
		return err
	}
	switch args[0] {
	case "up":
		return up(ctx, state, *assets)
	case "down":
		return down(ctx, state)
	case "supervise": // What `up` leaves running.
		return supervise(ctx, state, *assets)
	default:
		return usage
	}
}

// openState makes the state folder, which is .run in the clone unless dir names another.
func openState(dir string) (stateDir, error) {
	if dir == "" {
		root, err := controlplane.ModuleRoot()
		if err != nil {
			return "", err
		}
		dir = filepath.Join(root, ".run")
	}
	dir, err := filepath.Abs(dir)
	if err != nil {
		return "", err
	}
	return stateDir(dir), os.MkdirAll(dir, 0o700)
}
