package main

import (
	"context"
	"fmt"
	"io"
	"os"
	"strings"
	"time"

	"k8s.io/apimachinery/pkg/util/wait"

	"github.com/interlock-dev/interlock/internal/testing/stack"
)

// patience is how long a step may take to come true, and poll how often it is looked at.
const (
	patience = 60 * time.Second
	poll     = 200 * time.Millisecond
)

// story runs kubectl for all to see, and stops at the first surprise. Commands are split at blanks, so no word of
// theirs can hold one.
type story struct {
	stack *stack.Stack
	// team is the kubeconfig of somebody who has the built-in role edit in the namespace, and runs the cluster's
	// namespaces, but may not enrol them.
	team string
	out  io.Writer
	err  error
}

// surprise is what was expected and did not happen.
type surprise struct{ expected, got string }

func (s surprise) Error() string {
	return fmt.Sprintf("expected %s, but got:\n%s", s.expected, s.got)
}

// say puts a line of plain words over what follows.
func (s *story) say(format string, args ...any) {
	if s.err == nil {
		fmt.Fprintf(s.out, "\n%s\n", bold("## "+fmt.Sprintf(format, args...)))
	}
}

// run shows a command of the cluster's admin and what it prints, which must hold all that is wanted.
func (s *story) run(ctx context.Context, command string, want ...string) {
	s.show(ctx, s.stack.As(s.stack.Kubeconfig()), "", command, nil, want)
}

// feed is run with input for a command that reads it.
func (s *story) feed(ctx context.Context, input, command string, want ...string) {
	s.show(ctx, s.stack.As(s.stack.Kubeconfig()), input, command, nil, want)
}

// refused shows a command that the API server must refuse in the wanted words. input is what it reads.
func (s *story) refused(ctx context.Context, kubeconfig, input, command string, want ...string) {
	must := true
	s.show(ctx, s.stack.As(kubeconfig), input, command, &must, want)
}

func (s *story) show(ctx context.Context, kubectl stack.Kubectl, input, command string, mustFail *bool, want []string) {
	if s.err != nil {
		return
	}
	out, err := kubectl.RunWithInput(ctx, input, strings.Fields(command)...)
	s.print(command, out)
	switch {
	case mustFail == nil && err != nil:
		s.err = surprise{"kubectl " + command + " to succeed", out}
	case mustFail != nil && err == nil:
		s.err = surprise{"kubectl " + command + " to be refused", out}
	}
	for _, w := range want {
		if s.err == nil && !strings.Contains(out, w) {
			s.err = surprise{fmt.Sprintf("the output of kubectl %s to hold %q", command, w), out}
		}
	}
}

// until waits until the output of a command is as wanted, then shows it.
func (s *story) until(ctx context.Context, what, command string, wanted func(out string) bool) {
	if s.err != nil {
		return
	}
	var out string
	err := wait.PollUntilContextTimeout(ctx, poll, patience, true, func(ctx context.Context) (bool, error) {
		var err error
		out, err = s.stack.Kubectl(ctx, strings.Fields(command)...)
		return err == nil && wanted(out), nil
	})
	s.print(command, out)
	if err != nil {
		s.err = surprise{fmt.Sprintf("within %s %s", patience, what), out}
	}
}

// query runs a command that is not shown and returns what it prints.
func (s *story) query(ctx context.Context, command string) string {
	if s.err != nil {
		return ""
	}
	out, err := s.stack.Kubectl(ctx, strings.Fields(command)...)
	s.err = err
	return out
}

func (s *story) print(command, out string) {
	fmt.Fprintf(s.out, "$ kubectl %s\n%s", quoted(command), out)
	if !strings.HasSuffix(out, "\n") {
		fmt.Fprintln(s.out)
	}
}

// quoted writes a command as it is typed into a shell.
func quoted(command string) string {
	all := strings.Fields(command)
	for i, word := range all {
		if strings.ContainsAny(word, `{}[]"\`) {
			all[i] = "'" + word + "'"
		}
	}
	return strings.Join(all, " ")
}

// contains gives a condition that holds when the output has all the texts.
func contains(texts ...string) func(string) bool {
	return func(out string) bool {
		for _, t := range texts {
			if !strings.Contains(out, t) {
				return false
			}
		}
		return true
	}
}

// count gives a condition that holds when the output has a text so many times and another never.
func count(text string, times int, never string) func(string) bool {
	return func(out string) bool { return strings.Count(out, text) == times && !strings.Contains(out, never) }
}

func bold(text string) string {
	if info, err := os.Stdout.Stat(); err != nil || info.Mode()&os.ModeCharDevice == 0 {
		return text
	}
	return "\x1b[1m" + text + "\x1b[0m"
}
