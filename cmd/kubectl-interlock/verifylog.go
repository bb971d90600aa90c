package main

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path"
	"slices"
	"strings"
	"text/tabwriter"
	"time"

	"github.com/spf13/cobra"

	"github.com/interlock-dev/interlock/internal/record"
	"github.com/interlock-dev/interlock/internal/record/audit"
)

type verifyLogOptions struct {
	*cluster
	key, checkpoint string
	model           string
	output          string
}

func newVerifyLog(c *cluster) *cobra.Command {
	o := &verifyLogOptions{cluster: c}
	cmd := &cobra.Command{
		Use:   "verify-log DIR",
		Short: "Verify a copy of the decision record, with no trust in the operator",
		Long: `Verify a copy of the decision record, with no trust in the operator or in whoever made the copy: that the checkpoint is signed
by the log's key; that all entries and tiles are those that it covers; that for each model no entry is missing and each
follows the one before; and, with --checkpoint, that nothing was taken out or rewritten since you last looked.

It needs no cluster. Get the key from whoever set the log up, not from the copy.`,
		Example: `  # The first time: keep the checkpoint that you have verified
  kubectl interlock verify-log ./record --key interlock-record.pub --checkpoint my-checkpoint

  # From then on, the same: the log must go on from what you kept, and what is new is kept
  kubectl interlock verify-log ./record --key interlock-record.pub --checkpoint my-checkpoint -o wide

  # What the decisions on one model rest on
  kubectl interlock verify-log ./record --key interlock-record.pub --model serving/llm`,
		Args:              cobra.ExactArgs(1),
		ValidArgsFunction: cobra.FixedCompletions(nil, cobra.ShellCompDirectiveFilterDirs),
		RunE: func(cmd *cobra.Command, args []string) error {
			return o.run(cmd.Context(), args[0])
		},
	}
	cmd.Flags().StringVar(&o.key, "key", "", "file with the public key of the log")
	cmd.Flags().StringVar(&o.checkpoint, "checkpoint", "", "file with the checkpoint that you keep: it is compared if it exists, and then written")
	cmd.Flags().StringVar(&o.model, "model", "", "list the decisions on the model NAMESPACE/NAME, and the digests of what each rests on")
	cmd.Flags().StringVarP(&o.output, "output", "o", "", "wide lists the last entry of each model")
	return cmd
}

func (o *verifyLogOptions) run(ctx context.Context, dir string) error {
	out := format(o.output)
	if err := out.check(asWide); err != nil {
		return err
	}
	if o.model != "" && strings.Count(o.model, "/") != 1 {
		return fmt.Errorf("--model is %q, and must be NAMESPACE/NAME", o.model)
	}
	if o.key == "" {
		return errors.New("--key is missing: name the file with the public key of the log")
	}
	key, err := os.ReadFile(o.key)
	if err != nil {
		return fmt.Errorf("read the public key: %w", err)
	}
	var older []byte
	if o.checkpoint != "" {
		older, err = os.ReadFile(o.checkpoint)
		if err != nil && !errors.Is(err, fs.ErrNotExist) {
			return fmt.Errorf("read the checkpoint that you keep: %w", err)
		}
	}
	var decisions []record.Predicate
	report, err := audit.Verify(ctx, dir, strings.TrimSpace(string(key)), older, func(s record.Statement) {
		if s.Subject[0].Name == o.model {
			decisions = append(decisions, s.Predicate)
		}
	})
	if err != nil {
		return err
	}
	if o.checkpoint != "" {
		if err := os.WriteFile(o.checkpoint, report.Checkpoint, 0o600); err != nil {
			return fmt.Errorf("keep the checkpoint: %w", err)
		}
	}
	o.print(report, out == asWide)
	if o.model != "" {
		o.printDecisions(decisions)
	}
	return nil
}

func (o *verifyLogOptions) print(report audit.Report, wide bool) {
	fmt.Fprintf(o.Out, "%s: %d entries on %d models, all as its checkpoint says\n", line(report.Origin), report.Size, len(report.Last))
	if report.Since > 0 {
		fmt.Fprintf(o.Out, "the first %d are those of the checkpoint that you kept\n", report.Since)
	}
	if !wide {
		return
	}
	w := tabwriter.NewWriter(o.Out, 0, 0, 3, ' ', 0)
	fmt.Fprintln(w, "NAMESPACE\tMODEL\tLAST VERDICT\tDECISIONS\tENTRY")
	for _, l := range report.Last {
		fmt.Fprintf(w, "%s\t%s\t%s\t%d\t%d\n", line(l.Model.Namespace), line(l.Model.Name), line(string(l.Verdict)), l.Sequence, l.Index)
	}
	_ = w.Flush() // the streams of a command do not fail in a way that it could tell
}

// printDecisions lists those on one model from the first on, with a line for each object that a decision rests on.
func (o *verifyLogOptions) printDecisions(decisions []record.Predicate) {
	if len(decisions) == 0 {
		fmt.Fprintf(o.Out, "nothing was decided of model %s\n", line(o.model))
		return
	}
	w := tabwriter.NewWriter(o.Out, 0, 0, 3, ' ', 0)
	fmt.Fprintln(w, "DECISION\tTIME\tVERDICT\tREASON\tRESTS ON\tDIGEST")
	for i := range decisions {
		p := &decisions[i]
		inputs := p.Inputs
		if p.Policy.Name != "" {
			inputs = slices.Insert(slices.Clone(inputs), 0, record.Input{Kind: "ScalingPolicy", Name: p.Policy.Name, Digest: p.Policy.Digest})
		}
		reason := line(p.Reason)
		if c := p.Coalesced; c != nil {
			reason += fmt.Sprintf(" (the last of %d since %s)", c.Changes, c.Since.UTC().Format(time.RFC3339))
		}
		first := fmt.Sprintf("%d\t%s\t%s\t%s", p.Sequence, p.TimeVerified.UTC().Format(time.RFC3339), line(string(p.Verdict)), reason)
		if len(inputs) == 0 {
			fmt.Fprintln(w, first+"\t\t")
		}
		for _, in := range inputs {
			fmt.Fprintf(w, "%s\t%s %s\t%s\n", first, line(in.Kind), line(path.Join(in.Namespace, in.Name)), line(in.Digest))
			first = "\t\t\t"
		}
	}
	_ = w.Flush()
}
