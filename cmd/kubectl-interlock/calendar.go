package main

import (
	"context"
	"fmt"
	"io"
	"strconv"
	"strings"
	"text/tabwriter"
	"time"

	"github.com/spf13/cobra"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/interlock-dev/interlock/api/v1alpha1"
	"github.com/interlock-dev/interlock/internal/report"
)

type calendarOptions struct {
	*cluster
	within        string
	allNamespaces bool
	output        string
}

func newCalendar(c *cluster) *cobra.Command {
	o := &calendarOptions{cluster: c}
	cmd := &cobra.Command{
		Use:   "calendar",
		Short: "List what lapses in the next days",
		Long: `List what lapses in the next days, the soonest first: assessments that become too old, what was found of safeguards,
clearances that the operator should have renewed by now, and goals of roadmaps whose day ends.

For a namespace it lists what bears on the models there. With --all-namespaces it lists everything, so also the goals
of roadmaps and the assessments of weights that no model serves.`,
		Example: `  # What bears on the models of a namespace
  kubectl interlock calendar -n team-a

  # Everything that lapses within a month, with the models that it bears on
  kubectl interlock calendar -A --within 30d -o wide`,
		Args:              cobra.NoArgs,
		ValidArgsFunction: cobra.NoFileCompletions,
		RunE: func(cmd *cobra.Command, _ []string) error {
			return o.run(cmd.Context())
		},
	}
	cmd.Flags().StringVar(&o.within, "within", "90d", "how far to look ahead, in days")
	cmd.Flags().BoolVarP(&o.allNamespaces, "all-namespaces", "A", false, "list everything, in all namespaces and in none")
	cmd.Flags().StringVarP(&o.output, "output", "o", "", "wide, json or yaml")
	return cmd
}

func (o *calendarOptions) run(ctx context.Context) error {
	out := format(o.output)
	if err := out.check(asWide, asJSON, asYAML); err != nil {
		return err
	}
	days, err := daysOf(o.within)
	if err != nil {
		return err
	}
	c, namespace, err := o.here()
	if err != nil {
		return err
	}
	in, err := calendarScope{namespace: namespace, all: o.allNamespaces}.read(ctx, c)
	if err != nil {
		return err
	}
	return in.print(o.Out, o.ErrOut, out, o.Now(), days)
}

// maxDays is the farthest that one can look ahead.
const maxDays = 3650

// daysOf reads a number of days, such as "30d".
func daysOf(text string) (int, error) {
	digits, ok := strings.CutSuffix(text, "d")
	days, err := strconv.Atoi(digits)
	if !ok || err != nil || days < 1 || days > maxDays {
		return 0, fmt.Errorf("--within is %q, but must be a number of days from 1d to %dd, such as 30d", text, maxDays)
	}
	return days, nil
}

// calendarScope is where a calendar looks.
type calendarScope struct {
	namespace string
	all       bool
}

func (s calendarScope) String() string {
	if s.all {
		return "in any namespace"
	}
	return fmt.Sprintf("for the models of namespace %s; --all-namespaces lists everything", line(s.namespace))
}

// calendarInput is all that a calendar is made of.
type calendarInput struct {
	scope       calendarScope
	models      v1alpha1.ModelDeploymentList
	assessments v1alpha1.CapabilityAssessmentList
	policies    v1alpha1.ScalingPolicyList
	roadmaps    v1alpha1.SafetyRoadmapList
}

func (s calendarScope) read(ctx context.Context, c client.Reader) (*calendarInput, error) {
	in := &calendarInput{scope: s}
	var where []client.ListOption
	if !s.all {
		where = append(where, client.InNamespace(s.namespace))
	}
	if err := c.List(ctx, &in.models, where...); err != nil {
		return nil, fmt.Errorf("list ModelDeployments: %w", err)
	}
	if err := c.List(ctx, &in.assessments); err != nil {
		return nil, fmt.Errorf("list CapabilityAssessments: %w", err)
	}
	if err := c.List(ctx, &in.policies); err != nil {
		return nil, fmt.Errorf("list ScalingPolicies: %w", err)
	}
	if !s.all {
		return in, nil
	}
	if err := c.List(ctx, &in.roadmaps); err != nil {
		return nil, fmt.Errorf("list SafetyRoadmaps: %w", err)
	}
	return in, nil
}

// print prints a calendar, and says beside it what is on none, or that it is empty.
func (in *calendarInput) print(out, beside io.Writer, as format, now time.Time, days int) error {
	for i := range in.roadmaps.Items {
		r := &in.roadmaps.Items[i]
		if _, _, err := report.Goals(r.Spec, now); err != nil {
			fmt.Fprintln(beside, line(fmt.Sprintf("warning: SafetyRoadmap %s: %v", r.Name, err)))
		}
	}
	lapses := in.lapses(now, days)
	switch {
	case as == asJSON || as == asYAML:
		return as.encode(out, map[string]any{"withinDays": days, "lapses": lapses})
	case len(lapses) == 0:
		fmt.Fprintf(beside, "Nothing lapses within %dd %s.\n", days, in.scope)
		return nil
	}
	return printLapses(out, lapses, as == asWide)
}

// lapse is what calendar prints of a lapse.
type lapse struct {
	At time.Time `json:"at"`
	// WithinDays is the nearest of the usual horizons; 0, none.
	WithinDays int         `json:"withinDays,omitempty"`
	Kind       report.Kind `json:"kind"`
	Name       string      `json:"name"`
	What       string      `json:"what"`
	Models     []string    `json:"models"`
}

func (in *calendarInput) lapses(now time.Time, days int) []lapse {
	lapses := []lapse{}
	for _, l := range report.Calendar(now, now.AddDate(0, 0, days).Sub(now),
		in.models.Items, in.assessments.Items, in.policies.Items, in.roadmaps.Items) {
		if in.scope.all || len(l.Models) > 0 {
			lapses = append(lapses, lapse{l.At, l.Horizon(now), l.Kind, line(l.Name), line(l.What), lines(l.Models)})
		}
	}
	return lapses
}

func printLapses(w io.Writer, lapses []lapse, wide bool) error {
	table := tabwriter.NewWriter(w, 0, 8, 3, ' ', 0)
	row := func(models string, cells ...string) {
		if wide {
			cells = append(cells, models)
		}
		fmt.Fprintln(table, strings.Join(cells, "\t"))
	}
	row("MODELS", "WITHIN", "AT", "KIND", "NAME", "WHAT")
	for i := range lapses {
		l := &lapses[i]
		within := "-"
		if l.WithinDays > 0 {
			within = fmt.Sprintf("%dd", l.WithinDays)
		}
		row(few(l.Models), within, l.At.Format(time.RFC3339), string(l.Kind), l.Name, l.What)
	}
	return table.Flush()
}

// few shows the first of many names.
func few(names []string) string {
	const shown = 5
	if len(names) <= shown {
		return strings.Join(names, ",")
	}
	return fmt.Sprintf("%s + %d more", strings.Join(names[:shown], ","), len(names)-shown)
}
