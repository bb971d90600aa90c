package main

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"maps"
	"slices"

	"github.com/spf13/cobra"

	"github.com/interlock-dev/interlock/internal/diff"
)

// exitWeakens is what diff ends with when something weakens: neither 1, which is an error, nor 2, which shells use.
const exitWeakens exitCode = 3

type diffOptions struct {
	*cluster
	filename string
	output   string
}

func newDiff(c *cluster) *cobra.Command {
	o := &diffOptions{cluster: c}
	cmd := &cobra.Command{
		Use:   "diff (BEFORE AFTER | -f AFTER [NAME])",
		Short: "Tell what a change of a policy weakens and strengthens",
		Long: `Tell what a change of a ScalingPolicy or its Safeguards means for models: each change weakens, strengthens or is
neutral, judged by what is required of models, not by text.

BEFORE and AFTER are files, folders, kustomizations or "-" (what has a "/" or ends in .yaml, .yml or .json, or is "." or
".."), or else names of policies on the cluster. With -f, what is on the cluster is compared with what it would be
after an apply. Safeguards that files do not hold are those of the cluster, if one side is on it.

Ends with 0 if nothing weakens, 3 if something does, and 1 on an error.`,
		Example: `  # What would it change to apply this policy?
  kubectl interlock diff -f config/policies/anthropic-rsp-v2.2

  # Two versions in files, as a pipeline does it: no cluster is needed
  kubectl interlock diff main/policies/rsp branch/policies/rsp

  # Two policies on the cluster
  kubectl interlock diff anthropic-rsp-v2.2 anthropic-rsp-v3.4`,
		Args:              cobra.MaximumNArgs(2),
		ValidArgsFunction: cobra.NoFileCompletions,
		RunE: func(cmd *cobra.Command, args []string) error {
			return o.run(cmd.Context(), args)
		},
	}
	cmd.Flags().StringVarP(&o.filename, "filename", "f", "", "file, folder or kustomization with the policy as it is to be")
	cmd.Flags().StringVarP(&o.output, "output", "o", "", "json or yaml")
	return cmd
}

func (o *diffOptions) run(ctx context.Context, args []string) error {
	out := format(o.output)
	if err := out.check(asJSON, asYAML); err != nil {
		return err
	}
	before, after, err := o.sides(args)
	if err != nil {
		return err
	}
	was, is, err := o.read(ctx, before, after)
	if err != nil {
		return err
	}
	comparisons := compare(was, is)
	if out == asText {
		printComparisons(o.Out, comparisons)
	} else if err := out.encode(o.Out, map[string]any{"comparisons": comparisons}); err != nil {
		return err
	}
	if slices.ContainsFunc(comparisons, comparison.weakens) {
		return exitWeakens
	}
	return nil
}

// sides gives the operands; an empty BEFORE stands for the policies of the cluster of the same names.
func (o *diffOptions) sides(args []string) (before, after string, err error) {
	switch {
	case o.filename == "" && len(args) == 2:
		return args[0], args[1], nil
	case o.filename == "":
		return "", "", errors.New("name what to compare: BEFORE AFTER, or -f AFTER for a comparison with the cluster")
	case len(args) == 2:
		return "", "", errors.New("with -f there is one NAME at the most, of a policy on the cluster")
	case len(args) == 1 && isPath(args[0]):
		return "", "", fmt.Errorf("with -f, NAME is a policy on the cluster, and %q looks like a path; compare files with: kubectl interlock diff BEFORE AFTER", args[0])
	case len(args) == 1:
		return args[0], o.filename, nil
	}
	return "", o.filename, nil
}

// read reads both sides.
func (o *diffOptions) read(ctx context.Context, before, after string) (was, is frameworks, err error) {
	live := noFrameworks("cluster")
	afterIsPath := o.filename != "" || isPath(after)
	if !isPath(before) || !afterIsPath {
		c, err := o.connect()
		if err != nil {
			return was, is, err
		}
		if live, err = readCluster(ctx, c); err != nil {
			return was, is, err
		}
	}
	if is, err = o.side(after, afterIsPath, live); err != nil {
		return was, is, err
	}
	if afterIsPath {
		if err := is.complete(); err != nil {
			return was, is, err
		}
	}
	if before == "" {
		return live.among(is), is, nil
	}
	if was, err = o.side(before, isPath(before), live); err != nil {
		return was, is, err
	}
	if (!isPath(before) || !afterIsPath) && len(was.policies) != len(is.policies) {
		return was, is, errors.New("a policy of the cluster is compared with one policy, and there are several in " + cmp.Or(o.filename, after))
	}
	return was, is, nil
}

func (o *diffOptions) side(operand string, path bool, live frameworks) (frameworks, error) {
	if !path {
		return live.only(operand)
	}
	f, err := readPath(operand, o.In)
	return f.over(live), err
}

// comparison is what diff prints of two versions of one policy.
type comparison struct {
	Before  version  `json:"before"`
	After   version  `json:"after"`
	Changes []change `json:"changes"`
}

// version names a policy, and where it was read; without a name, it is not there.
type version struct {
	Policy string `json:"policy,omitempty"`
	From   string `json:"from"`
}

func (v version) String() string {
	return fmt.Sprintf("%s (%s)", cmp.Or(v.Policy, "no policy"), v.From)
}

type change struct {
	Effect diff.Effect  `json:"effect"`
	What   diff.Subject `json:"what"`
	Where  string       `json:"where,omitempty"`
	Before string       `json:"before,omitempty"`
	After  string       `json:"after,omitempty"`
	Why    string       `json:"why"`
}

func (c comparison) weakens() bool { return c.count(diff.Weakens) > 0 }

func (c comparison) count(e diff.Effect) int {
	n := 0
	for i := range c.Changes {
		if c.Changes[i].Effect == e {
			n++
		}
	}
	return n
}

// compare compares the one policy of each side, or else those of one name.
func compare(was, is frameworks) []comparison {
	before, after := slices.Sorted(maps.Keys(was.policies)), slices.Sorted(maps.Keys(is.policies))
	if len(before) == 1 && len(after) == 1 {
		return []comparison{newComparison(was, is, before[0], after[0])}
	}
	names := slices.Concat(before, after)
	slices.Sort(names)
	comparisons := make([]comparison, 0, len(names))
	for _, name := range slices.Compact(names) {
		comparisons = append(comparisons, newComparison(was, is, name, name))
	}
	return comparisons
}

func newComparison(was, is frameworks, before, after string) comparison {
	c := comparison{Before: was.version(before), After: is.version(after), Changes: []change{}}
	for _, d := range diff.Compare(was.framework(before), is.framework(after)) {
		c.Changes = append(c.Changes, change{d.Effect, d.What, line(d.Where), line(d.Before), line(d.After), line(d.Why)})
	}
	return c
}

func (f frameworks) version(policy string) version {
	v := version{From: line(f.from)}
	if f.policies[policy] != nil {
		v.Policy = line(policy)
	}
	return v
}

func printComparisons(w io.Writer, comparisons []comparison) {
	for i, c := range comparisons {
		if i > 0 {
			fmt.Fprintln(w)
		}
		fmt.Fprintf(w, "%s -> %s\n", c.Before, c.After)
		if len(c.Changes) == 0 {
			fmt.Fprintln(w, "Nothing differs.")
			continue
		}
		fmt.Fprintf(w, "%d weaken, %d strengthen, %d are neutral.\n",
			c.count(diff.Weakens), c.count(diff.Strengthens), c.count(diff.Neutral))
		for i := range c.Changes {
			c.Changes[i].print(w)
		}
	}
}

func (c *change) print(w io.Writer) {
	fmt.Fprintf(w, "\n%s: %s", c.Effect, c.What)
	if c.Where != "" {
		fmt.Fprintf(w, " %s", c.Where)
	}
	fmt.Fprintln(w)
	for _, part := range []struct{ name, text string }{{"before", c.Before}, {"after", c.After}, {"why", c.Why}} {
		if part.text != "" {
			fmt.Fprintf(w, "  %-7s %s\n", part.name, part.text)
		}
	}
}
