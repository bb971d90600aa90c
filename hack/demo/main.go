// Command demo tells the whole story on a real control plane: a model is held, released when its safeguards are in
// place, taken out when one is lost, and stays held when the operator is dead. Each step asserts; the first surprise
// ends it.
package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/signal"
	"path/filepath"
	"syscall"

	"github.com/interlock-dev/interlock/internal/testing/controlplane"
	"github.com/interlock-dev/interlock/internal/testing/stack"
)

func main() {
	ctx, cancel := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer cancel()
	if err := run(ctx); err != nil {
		fmt.Fprintf(os.Stderr, "\nThe demo met a surprise: %v\n", err)
		os.Exit(1)
	}
	fmt.Println(bold("\nEverything was as expected. `make up` leaves such a stack running for you to try."))
}

func run(ctx context.Context) (err error) {
	root, err := controlplane.ModuleRoot()
	if err != nil {
		return err
	}
	if err := os.Chdir(root); err != nil { // so that the paths in the commands are those of the clone
		return err
	}
	dir, err := os.MkdirTemp("", "interlock-demo-")
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, os.RemoveAll(dir)) }()

	manager := filepath.Join(dir, "manager")
	progress("build the manager")
	if err := stack.BuildManager(ctx, manager); err != nil {
		return err
	}
	s, err := stack.Start(ctx, stack.Options{Dir: filepath.Join(dir, "stack"), Manager: manager, Progress: progress})
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, s.Stop()) }()

	_, team, err := s.User("serving-team")
	if err != nil {
		return err
	}
	story := &story{stack: s, team: team, out: os.Stdout}
	tell(ctx, story)
	return story.err
}

func progress(step string) { fmt.Fprintf(os.Stderr, "... %s\n", step) }
